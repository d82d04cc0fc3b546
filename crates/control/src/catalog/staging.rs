//! What PoPs are to have, as far as it is not what was last asked for; and how far each deployment is.
//!
//! Whoever changes an entry of the edge configuration notes, in the same transaction, what the entry was before
//! ([`note`]): that is what the fleet goes on with. So an entry that nobody has approved is never taken for an approved one,
//! however a control plane ends. From then on the row is the deployer's: it moves `approved` on, and removes the row when there
//! is nothing left to say.
//!
//! Invariants:
//! - a key without a row is at the fleet as `edge_entries` has it;
//! - a row is only removed in a transaction that sees the approved entry in `edge_entries`;
//! - the publication number only goes up.

use super::change::{Action, Changing};
use super::{Caller, Catalog, CatalogError, Deployment, DeploymentKind, Done, NewDeployment, Result, SplitOf, edge};
use crate::deployer::{KEPT_FOR_MS, KeptPast, Past, Rollout, RolloutPops, RolloutState, Tally, rollout};
use atoll_model::edge::{Counts, Digest, hash};
use atoll_model::{
    BlobHash, ConfigDelta, DeploymentId, EdgeConfig, EdgeEntry, EdgeKey, PopName, Revision, TenantId, WorkerName,
};
use atoll_store::sql::{Row, Transaction, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many rows are read at a time.
const PAGE: usize = 10_000;

/// What became of a changed entry so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StagedPhase {
    /// It is new: it waits for its canary or bakes there.
    Staged,
    /// It is approved and on its way to all PoPs.
    Rolling,
    /// All PoPs have it; a clear failure still takes it back.
    Watching,
    /// It failed, and the catalog still asks for it: the fleet stays with what was approved before.
    Held,
}

impl StagedPhase {
    fn name(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Rolling => "rolling",
            Self::Watching => "watching",
            Self::Held => "held",
        }
    }

    fn from_name(name: &str) -> Result<Self> {
        let all = [Self::Staged, Self::Rolling, Self::Watching, Self::Held];
        let found = all.into_iter().find(|phase| phase.name() == name);
        found.ok_or_else(|| CatalogError::Damaged(format!("there is no phase \"{name}\"")))
    }
}

/// A key whose entry at the fleet is not simply what the catalog asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedKey {
    /// Which.
    pub key: EdgeKey,
    /// What the fleet has; `None`: nothing.
    pub approved: Option<Arc<EdgeEntry>>,
    /// What it had before that, to go back to while `approved` is on its way or watched.
    pub previous: Option<Arc<EdgeEntry>>,
    /// How far it is.
    pub phase: StagedPhase,
    /// The entry that the phase is of, if it was one ([`hash::entry`]).
    pub judged: Option<Digest>,
    /// When the phase began, milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// How many canaries were lost while it baked.
    pub losses: u32,
    /// Why it is held.
    pub reason: Option<String>,
}

/// What the deployer must know of a deployment beyond its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeploymentFacts {
    /// Why there is one.
    pub kind: DeploymentKind,
    /// It goes to all PoPs at once.
    pub immediate: bool,
}

/// All that a deployer begins with.
#[derive(Debug, Clone)]
pub struct Intent {
    /// What the catalog asks for.
    pub head: EdgeConfig,
    /// Where the fleet differs from it, or may have to go back.
    pub staged: Vec<StagedKey>,
    /// Of the deployments that serve the staged keys.
    pub deployments: BTreeMap<DeploymentId, DeploymentFacts>,
    /// How far those are.
    pub rollouts: BTreeMap<DeploymentId, Rollout>,
    /// The last publication number.
    pub publication: Revision,
    /// The PoP that baked last.
    pub canary: Option<PopName>,
    /// How deployments that serve, or did until lately, were doing.
    pub pasts: Vec<KeptPast>,
    /// How much the PoPs were told to have; `None`: nothing is known of it.
    pub standing: Option<KeptStanding>,
}

/// How much there was in the configuration that PoPs were told to have. Whoever begins with a catalog that has as much knows by it
/// that what is fewer than at the peak became so by changes of the catalog, one by one, and was not lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptStanding {
    /// At the last publication.
    pub counts: Counts,
    /// The most of each kind since `since_ms`.
    pub peak: Counts,
    /// The most of each kind in the time before that.
    pub peak_before: Counts,
    /// When the present time began, milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// What a later revision asks for.
#[derive(Debug, Clone)]
pub struct IntentDelta {
    /// The way there.
    pub delta: ConfigDelta,
    /// Of the deployments that its workers have.
    pub deployments: BTreeMap<DeploymentId, DeploymentFacts>,
}

/// What a deployer has decided, to be stored in one transaction before PoPs are told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageWrite {
    /// The last publication number that is used.
    pub publication: Revision,
    /// The PoP that bakes.
    pub canary: Option<PopName>,
    /// Rows as they are to be.
    pub put: Vec<StagedKey>,
    /// Keys that the fleet has like this, and nothing else is to be said of. If the catalog asks for another entry by now, the
    /// key stays staged.
    pub settled: Vec<(EdgeKey, Option<Arc<EdgeEntry>>)>,
    /// How far deployments are.
    pub rollouts: Vec<(DeploymentId, Rollout)>,
    /// How deployments were doing.
    pub pasts: Vec<KeptPast>,
    /// How much the fleet is told to have; `None`: as it was stored.
    pub standing: Option<KeptStanding>,
}

/// A deployment that is taken back.
#[derive(Debug, Clone)]
pub struct Withdrawal {
    /// Whose.
    pub account: TenantId,
    /// Of which worker.
    pub worker: WorkerName,
    /// Which: nothing is done if another one serves by now.
    pub judged: DeploymentId,
    /// Who serves instead.
    pub back_to: Vec<SplitOf>,
    /// What is told of it from now on.
    pub rollout: Rollout,
    /// The id of the deployment that goes back, made by the caller.
    pub id: DeploymentId,
}

/// Notes what an entry was before it is changed.
pub(super) fn note(transaction: &mut dyn Transaction, key: &[u8], before: Option<&[u8]>, now_ms: u64) -> Result<()> {
    transaction.execute(
        "INSERT INTO staging (key, approved, phase, since_ms) VALUES ($1, $2, $3, $4) ON CONFLICT (key) DO NOTHING",
        &[
            key.into(),
            before.into(),
            StagedPhase::Staged.name().into(),
            now_ms.into(),
        ],
    )?;
    Ok(())
}

fn damaged(what: &str) -> CatalogError {
    CatalogError::Damaged(what.to_owned())
}

fn opt_blob(row: &Row, column: usize) -> Result<Option<&[u8]>> {
    match row.0.get(column) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => Ok(Some(row.blob(column)?)),
    }
}

fn opt_entry(row: &Row, column: usize) -> Result<Option<Arc<EdgeEntry>>> {
    let read = |bytes| hash::read_entry(bytes).ok_or_else(|| damaged("a staged entry cannot be read"));
    Ok(opt_blob(row, column)?.map(read).transpose()?.map(Arc::new))
}

fn entry_value(entry: Option<&Arc<EdgeEntry>>) -> Value {
    entry.map(|entry| hash::entry_bytes(entry)).into()
}

fn staged_key(row: &Row) -> Result<StagedKey> {
    let judged: Option<[u8; 32]> = match opt_blob(row, 3)? {
        Some(_) => Some(row.hash(3)?),
        None => None,
    };
    Ok(StagedKey {
        key: hash::read_key(row.blob(0)?).ok_or_else(|| damaged("a staged key cannot be read"))?,
        approved: opt_entry(row, 1)?,
        previous: opt_entry(row, 2)?,
        judged: judged.map(BlobHash),
        phase: StagedPhase::from_name(row.text(4)?)?,
        since_ms: row.unsigned(5)?,
        losses: u32::try_from(row.unsigned(6)?).unwrap_or(u32::MAX),
        reason: row.opt_text(7)?.map(str::to_owned),
    })
}

fn all_staged(transaction: &mut dyn Transaction) -> Result<Vec<StagedKey>> {
    let mut staged = Vec::new();
    let mut after: Vec<u8> = Vec::new();
    loop {
        let rows = transaction.query(
            "SELECT key, approved, previous, judged, phase, since_ms, losses, reason FROM staging
             WHERE key > $1 ORDER BY key LIMIT $2",
            &[after.into(), PAGE.into()],
        )?;
        for row in &rows {
            staged.push(staged_key(row)?);
        }
        match rows.last() {
            Some(last) if rows.len() == PAGE => after = last.blob(0)?.to_vec(),
            _ => return Ok(staged),
        }
    }
}

fn facts(transaction: &mut dyn Transaction, id: &DeploymentId) -> Result<Option<DeploymentFacts>> {
    let rows = transaction.query(
        "SELECT kind, immediate FROM deployments WHERE id = $1",
        &[id.as_str().into()],
    )?;
    let read = |row: &Row| {
        Ok::<_, CatalogError>(DeploymentFacts {
            kind: DeploymentKind::from_name(row.text(0)?)?,
            immediate: row.flag(1)?,
        })
    };
    rows.first().map(read).transpose()
}

fn read_rollout(transaction: &mut dyn Transaction, id: &DeploymentId) -> Result<Option<Rollout>> {
    let rows = transaction.query(
        "SELECT state, unproven, canary, requests, errors, reason, since_ms, applied, total FROM rollouts
         WHERE deployment = $1",
        &[id.as_str().into()],
    )?;
    let count = |row: &Row, column| Ok::<_, CatalogError>(u32::try_from(row.unsigned(column)?).unwrap_or(u32::MAX));
    let read = |row: &Row| {
        Ok::<_, CatalogError>(Rollout {
            state: rollout::state_from_name(row.text(0)?)
                .ok_or_else(|| damaged("a rollout's state is none that there is"))?,
            unproven: row.flag(1)?,
            canary: row.opt_text(2)?.map(str::to_owned),
            requests: row.unsigned(3)?,
            errors: row.unsigned(4)?,
            reason: row.opt_text(5)?.map(str::to_owned),
            since_ms: row.unsigned(6)?,
            pops: RolloutPops {
                applied: count(row, 7)?,
                total: count(row, 8)?,
            },
        })
    };
    rows.first().map(read).transpose()
}

fn write_rollout(transaction: &mut dyn Transaction, id: &DeploymentId, now: &Rollout) -> Result<()> {
    // A deployment that is gone takes its rollout along.
    transaction.execute(
        "UPDATE rollouts SET state = $2, unproven = $3, canary = $4, requests = $5, errors = $6, reason = $7,
            since_ms = $8, applied = $9, total = $10 WHERE deployment = $1",
        &[
            id.as_str().into(),
            rollout::state_name(now.state).into(),
            now.unproven.into(),
            now.canary.as_deref().into(),
            now.requests.into(),
            now.errors.into(),
            now.reason.as_deref().into(),
            now.since_ms.into(),
            now.pops.applied.into(),
            now.pops.total.into(),
        ],
    )?;
    Ok(())
}

/// What is young enough of what was kept. What cannot be read is left out: without it deployments are compared with less.
fn pasts(transaction: &mut dyn Transaction, now_ms: u64) -> Result<Vec<KeptPast>> {
    let rows = transaction.query(
        "SELECT account, worker, deployment, everywhere, canary FROM pasts WHERE at_ms > $1",
        &[now_ms.saturating_sub(KEPT_FOR_MS).into()],
    )?;
    let mut pasts = Vec::with_capacity(rows.len());
    for row in &rows {
        let (Some(everywhere), Some(canary)) = (Tally::from_text(row.text(3)?), Tally::from_text(row.text(4)?)) else {
            continue;
        };
        pasts.push(KeptPast {
            account: TenantId::new(row.text(0)?),
            worker: WorkerName::new(row.text(1)?),
            deployment: DeploymentId::new(row.text(2)?),
            past: Past { everywhere, canary },
        });
    }
    Ok(pasts)
}

fn keep_pasts(transaction: &mut dyn Transaction, pasts: &[KeptPast], now_ms: u64) -> Result<()> {
    if pasts.is_empty() {
        return Ok(());
    }
    transaction.execute(
        "DELETE FROM pasts WHERE at_ms <= $1",
        &[now_ms.saturating_sub(KEPT_FOR_MS).into()],
    )?;
    for kept in pasts {
        transaction.execute(
            "INSERT INTO pasts (deployment, account, worker, everywhere, canary, at_ms)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (deployment) DO UPDATE SET everywhere = excluded.everywhere, canary = excluded.canary,
                at_ms = excluded.at_ms",
            &[
                kept.deployment.as_str().into(),
                kept.account.as_str().into(),
                kept.worker.as_str().into(),
                kept.past.everywhere.to_text().into(),
                kept.past.canary.to_text().into(),
                now_ms.into(),
            ],
        )?;
    }
    Ok(())
}

/// What cannot be read, because another release wrote it, is not known.
fn read_standing(transaction: &mut dyn Transaction) -> Result<Option<KeptStanding>> {
    let rows = transaction.query("SELECT kept FROM standing WHERE one = 1", &[])?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(serde_json::from_str(row.text(0)?).ok())
}

fn write_standing(transaction: &mut dyn Transaction, standing: &KeptStanding) -> Result<()> {
    let text = serde_json::to_string(standing).map_err(|error| CatalogError::Invalid(error.to_string()))?;
    transaction.execute(
        "INSERT INTO standing (one, kept) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET kept = excluded.kept",
        &[text.as_str().into()],
    )?;
    Ok(())
}

fn deployment_of(entry: &EdgeEntry) -> Option<&DeploymentId> {
    match entry {
        EdgeEntry::Worker(worker) => Some(&worker.deployment),
        _ => None,
    }
}

fn put(transaction: &mut dyn Transaction, row: &StagedKey) -> Result<()> {
    transaction.execute(
        "INSERT INTO staging (key, approved, previous, judged, phase, since_ms, losses, reason)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (key) DO UPDATE SET approved = excluded.approved, previous = excluded.previous,
            judged = excluded.judged, phase = excluded.phase, since_ms = excluded.since_ms, losses = excluded.losses,
            reason = excluded.reason",
        &[
            hash::key_bytes(&row.key).into(),
            entry_value(row.approved.as_ref()),
            entry_value(row.previous.as_ref()),
            row.judged.map(|digest| digest.0).into(),
            row.phase.name().into(),
            row.since_ms.into(),
            row.losses.into(),
            row.reason.as_deref().into(),
        ],
    )?;
    Ok(())
}

fn settle(
    transaction: &mut dyn Transaction,
    key: &EdgeKey,
    approved: Option<&Arc<EdgeEntry>>,
    now_ms: u64,
) -> Result<()> {
    let key_bytes = hash::key_bytes(key);
    let rows = transaction.query(
        "SELECT entry FROM edge_entries WHERE key = $1",
        &[key_bytes.clone().into()],
    )?;
    let asked = rows.first().map(|row| row.blob(0)).transpose()?;
    transaction.execute("DELETE FROM staging WHERE key = $1", &[key_bytes.clone().into()])?;
    let approved = approved.map(|entry| hash::entry_bytes(entry));
    if asked != approved.as_deref() {
        note(transaction, &key_bytes, approved.as_deref(), now_ms)?;
    }
    Ok(())
}

impl Changing<'_> {
    /// A deployment is there; nothing came of it yet, and nothing will come of those before it that nobody has approved.
    pub(super) fn begin_rollout(&mut self, account: &TenantId, worker: &WorkerName, new: &Deployment) -> Result<()> {
        let begun = rollout::begun(self.now_ms);
        self.execute(
            "INSERT INTO rollouts (deployment, state, since_ms) VALUES ($1, $2, $3)",
            &[
                new.id.as_str().into(),
                rollout::state_name(begun.state).into(),
                begun.since_ms.into(),
            ],
        )?;
        self.execute(
            "UPDATE rollouts SET state = $4, since_ms = $5 WHERE state IN ($6, $7) AND deployment IN
                (SELECT id FROM deployments WHERE account = $1 AND worker = $2 AND number < $3)",
            &[
                account.as_str().into(),
                worker.as_str().into(),
                new.number.into(),
                rollout::state_name(RolloutState::Superseded).into(),
                self.now_ms.into(),
                rollout::state_name(RolloutState::Probing).into(),
                rollout::state_name(RolloutState::Baking).into(),
            ],
        )?;
        Ok(())
    }
}

impl Catalog {
    /// All that a deployer begins with, of one moment.
    pub async fn intent(&self) -> Result<Intent> {
        let now_ms = self.clock.now_ms();
        self.read(move |transaction| {
            let head = edge::whole(transaction)?;
            let staged = all_staged(transaction)?;
            let mut deployments = BTreeMap::new();
            let mut rollouts = BTreeMap::new();
            for staged in &staged {
                let asked = head.get(&staged.key).map(|entry| &**entry);
                for id in [asked, staged.approved.as_deref()]
                    .into_iter()
                    .flatten()
                    .filter_map(deployment_of)
                {
                    if let Some(found) = facts(transaction, id)? {
                        deployments.insert(id.clone(), found);
                    }
                    if let Some(found) = read_rollout(transaction, id)? {
                        rollouts.insert(id.clone(), found);
                    }
                }
            }
            let rows = transaction.query("SELECT number, canary FROM publication WHERE one = 1", &[])?;
            let row = rows
                .first()
                .ok_or_else(|| damaged("the publication number is missing"))?;
            Ok(Intent {
                standing: read_standing(transaction)?,
                pasts: pasts(transaction, now_ms)?,
                head,
                staged,
                deployments,
                rollouts,
                publication: Revision(row.unsigned(0)?),
                canary: row.opt_text(1)?.map(PopName::new),
            })
        })
        .await
    }

    /// What was asked for after a revision; `None`: nothing. [`CatalogError::NotFound`]: it is too far back, begin anew with
    /// [`Self::intent`].
    pub async fn intent_since(&self, from: Revision) -> Result<Option<IntentDelta>> {
        self.read(move |transaction| {
            let Some(delta) = edge::since(transaction, from)? else {
                return Ok(None);
            };
            let mut deployments = BTreeMap::new();
            for id in delta
                .changes
                .iter()
                .filter_map(|change| deployment_of(change.entry.as_ref()?))
            {
                if let Some(found) = facts(transaction, id)? {
                    deployments.insert(id.clone(), found);
                }
            }
            Ok(Some(IntentDelta { delta, deployments }))
        })
        .await
    }

    /// Stores what a deployer has decided, in its epoch or not at all. A publication number that is not greater than the stored
    /// one changes nothing of it.
    pub async fn stage(&self, write: StageWrite) -> Result<()> {
        let (epoch, clock, vault) = (self.epoch, self.clock.clone(), self.vault.clone());
        self.database
            .write(move |transaction| {
                let now_ms = clock.now_ms();
                if let Some(epoch) = epoch {
                    Changing::new(transaction, now_ms, &vault).need_epoch(epoch)?;
                }
                transaction.execute(
                    "UPDATE publication SET number = CASE WHEN number < $1 THEN $1 ELSE number END, canary = $2 WHERE one = 1",
                    &[
                        write.publication.0.into(),
                        write.canary.as_ref().map(PopName::as_str).into(),
                    ],
                )?;
                for row in &write.put {
                    put(transaction, row)?;
                }
                for (key, approved) in &write.settled {
                    settle(transaction, key, approved.as_ref(), now_ms)?;
                }
                for (id, rollout) in &write.rollouts {
                    write_rollout(transaction, id, rollout)?;
                }
                if let Some(standing) = &write.standing {
                    write_standing(transaction, standing)?;
                }
                keep_pasts(transaction, &write.pasts, now_ms)
            })
            .await
    }

    /// Takes a deployment back: what served before it serves again, and the deployment's rollout says why.
    /// [`CatalogError::Conflict`]: another one serves by now, nothing was done.
    pub async fn withdraw(&self, caller: &Caller, withdrawal: Withdrawal) -> Result<Done<Deployment>> {
        let author = caller.actor.clone();
        let Withdrawal {
            account,
            worker,
            judged,
            back_to,
            rollout,
            id,
        } = withdrawal;
        let action = Action::of(&account, "worker.rollback", &worker);
        let new = NewDeployment {
            id,
            source: "health-gate".to_owned(),
            message: rollout.reason.clone(),
            replaces: Some(judged.clone()),
            immediate: false,
        };
        self.change(caller, action, move |changing| {
            changing.note("judged", judged.as_str());
            let kind = DeploymentKind::AutomaticRollback;
            let done = changing.store_deployment(&account, &worker, &author, kind, &back_to, &new)?;
            write_rollout(changing.transaction, &judged, &rollout)?;
            Ok(done)
        })
        .await
    }

    /// How far a deployment is, as it was stored last. [`CatalogError::NotFound`]: there is no such deployment, or it is from
    /// before deployments were staged.
    pub async fn rollout(&self, deployment: DeploymentId) -> Result<Rollout> {
        self.read(move |transaction| {
            read_rollout(transaction, &deployment)?
                .ok_or_else(|| CatalogError::missing("rollout of deployment", &deployment))
        })
        .await
    }

    /// The keys whose entry at the fleet is not simply what the catalog asks for.
    pub async fn staged(&self) -> Result<Vec<StagedKey>> {
        self.read(all_staged).await
    }
}
