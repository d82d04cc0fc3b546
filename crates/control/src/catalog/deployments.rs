//! Deployments: which versions get which share of a worker's requests; and aliases, names for versions beside them.

use super::change::{Action, Changing};
use super::versions::{of, page};
use super::{Caller, Catalog, CatalogError, Done, Result, check_name, check_text, check_uuid};
use atoll_model::edge::{SHARES_MAX, WEIGHT_WHOLE};
use atoll_model::{AliasName, DeploymentId, EdgeKey, Quota, TenantId, VersionId, WorkerName};
use atoll_store::sql::{Row, Transaction};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why there is a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentKind {
    /// Somebody asked for it.
    Deploy,
    /// Somebody went back to what was there before.
    Rollback,
    /// A health gate went back to what was there before.
    AutomaticRollback,
    /// A secret got a new value.
    Secret,
}

impl DeploymentKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
            Self::AutomaticRollback => "automatic_rollback",
            Self::Secret => "secret",
        }
    }

    pub(super) fn from_name(name: &str) -> Result<Self> {
        let all = [Self::Deploy, Self::Rollback, Self::AutomaticRollback, Self::Secret];
        let found = all.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| CatalogError::Damaged(format!("there is no kind of deployment \"{name}\"")))
    }
}

/// A version and its share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitOf {
    /// Which version.
    pub version: VersionId,
    /// Hundredths of a percent.
    pub weight: u16,
}

/// What comes with a deployment.
#[derive(Debug, Clone)]
pub struct NewDeployment {
    /// Its id, made by the caller: a UUID.
    pub id: DeploymentId,
    /// Where it came from: `wrangler`, `cli`, `api`.
    pub source: String,
    /// A message for people.
    pub message: Option<String>,
    /// The deployment that is to be replaced: if another one serves by now, nothing is done. `None` asks for nothing.
    pub replaces: Option<DeploymentId>,
    /// It goes to all PoPs at once, without a canary before them. Each still starts it before it serves.
    pub immediate: bool,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// Counts up within the worker; the greatest serves.
    pub number: u64,
    /// Why it is there.
    pub kind: DeploymentKind,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Who made it.
    pub author: String,
    /// Where it came from.
    pub source: String,
    /// A message for people.
    pub message: Option<String>,
    /// It goes to all PoPs at once, without a canary before them.
    #[serde(default)]
    pub immediate: bool,
    /// Who serves.
    pub split: Vec<SplitOf>,
}

const COLUMNS: &str = "number, id, kind, created_ms, author, source, message, immediate";

fn split(row: &Row, first: usize) -> Result<SplitOf> {
    Ok(SplitOf {
        version: VersionId::new(row.text(first)?),
        weight: u16::try_from(row.int(first + 1)?)
            .map_err(|_| CatalogError::Damaged("a weight is out of range".to_owned()))?,
    })
}

fn deployment(
    transaction: &mut dyn Transaction,
    account: &TenantId,
    worker: &WorkerName,
    row: &Row,
) -> Result<Deployment> {
    let number = row.unsigned(0)?;
    let [account_value, worker_value] = of(account, worker);
    let shares = transaction.query(
        "SELECT version, weight FROM deployment_shares WHERE account = $1 AND worker = $2 AND number = $3 ORDER BY place",
        &[account_value, worker_value, number.into()],
    )?;
    Ok(Deployment {
        number,
        id: DeploymentId::new(row.text(1)?),
        kind: DeploymentKind::from_name(row.text(2)?)?,
        created_ms: row.unsigned(3)?,
        author: row.text(4)?.to_owned(),
        source: row.text(5)?.to_owned(),
        message: row.opt_text(6)?.map(str::to_owned),
        immediate: row.flag(7)?,
        split: shares.iter().map(|row| split(row, 0)).collect::<Result<_>>()?,
    })
}

/// Shares that can serve. What the edge configuration would refuse as well, in the words of whoever deploys.
fn check_split(split: &[SplitOf], most: usize) -> Result<()> {
    let refused = |what: String| Err(CatalogError::Invalid(what));
    if split.is_empty() || split.len() > most {
        return refused(format!("{} versions are named; 1 to {most} can serve", split.len()));
    }
    for (at, one) in split.iter().enumerate() {
        if one.weight == 0 {
            return refused(format!("version {} has a share of 0 %; leave it out", one.version));
        }
        if split[..at].iter().any(|other| other.version == one.version) {
            return refused(format!("version {} is named twice", one.version));
        }
    }
    let sum: u32 = split.iter().map(|one| u32::from(one.weight)).sum();
    if sum != u32::from(WEIGHT_WHOLE) {
        let percent = f64::from(sum) / 100.0;
        return refused(format!("the shares are {percent} % in all; they must be 100 %"));
    }
    Ok(())
}

impl Changing<'_> {
    /// Who serves now.
    pub(super) fn serving(&mut self, account: &TenantId, worker: &WorkerName) -> Result<Vec<(VersionId, u16)>> {
        let rows = self.query(
            "SELECT version, weight FROM deployment_shares WHERE account = $1 AND worker = $2 AND number =
                (SELECT max(number) FROM deployments WHERE account = $1 AND worker = $2) ORDER BY place",
            &of(account, worker),
        )?;
        let pair = |row: &Row| split(row, 0).map(|split| (split.version, split.weight));
        rows.iter().map(pair).collect()
    }

    fn newest_deployment(&mut self, account: &TenantId, worker: &WorkerName) -> Result<Option<Deployment>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM deployments WHERE account = $1 AND worker = $2 ORDER BY number DESC LIMIT 1"
        );
        let row = self.first(&sql, &of(account, worker))?;
        row.map(|row| deployment(self.transaction, account, worker, &row))
            .transpose()
    }

    /// Makes a deployment.
    pub(super) fn store_deployment(
        &mut self,
        account: &TenantId,
        worker: &WorkerName,
        author: &str,
        kind: DeploymentKind,
        split: &[SplitOf],
        new: &NewDeployment,
    ) -> Result<Deployment> {
        self.need_worker(account, worker)?;
        for one in split {
            self.version(account, worker, &one.version)?;
        }
        if let Some(expected) = &new.replaces {
            let serving = self.newest_deployment(account, worker)?.map(|deployment| deployment.id);
            if serving.as_ref() != Some(expected) {
                return Err(CatalogError::Conflict(format!(
                    "deployment {expected} of {worker} is no longer the one that serves; look at what does and decide again"
                )));
            }
        }
        let numbers = self.query(
            "UPDATE workers SET next_deployment = next_deployment + 1 WHERE account = $1 AND name = $2
             RETURNING next_deployment",
            &of(account, worker),
        )?;
        let number = numbers
            .first()
            .ok_or_else(|| CatalogError::missing("worker", worker))?
            .unsigned(0)?
            - 1;
        let stored = Deployment {
            id: new.id.clone(),
            number,
            kind,
            created_ms: self.now_ms,
            author: author.to_owned(),
            source: new.source.clone(),
            message: new.message.clone(),
            immediate: new.immediate,
            split: split.to_vec(),
        };
        let made = self.execute(
            "INSERT INTO deployments (account, worker, number, id, kind, created_ms, author, source, message,
                immediate) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING",
            &[
                account.as_str().into(),
                worker.as_str().into(),
                number.into(),
                stored.id.as_str().into(),
                kind.name().into(),
                stored.created_ms.into(),
                author.into(),
                stored.source.as_str().into(),
                stored.message.as_deref().into(),
                stored.immediate.into(),
            ],
        )?;
        if made == 0 {
            return Err(CatalogError::exists("deployment", &stored.id));
        }
        self.begin_rollout(account, worker, &stored)?;
        for (place, one) in split.iter().enumerate() {
            self.execute(
                "INSERT INTO deployment_shares (account, worker, number, place, version, weight)
                 VALUES ($1, $2, $3, $4, $5, $6)",
                &[
                    account.as_str().into(),
                    worker.as_str().into(),
                    number.into(),
                    place.into(),
                    one.version.as_str().into(),
                    one.weight.into(),
                ],
            )?;
        }
        let kept = self.quota(account, Quota::Deployments)?.max(1);
        self.execute(
            "DELETE FROM deployments WHERE account = $1 AND worker = $2 AND number <= $3",
            &[
                account.as_str().into(),
                worker.as_str().into(),
                number.saturating_sub(kept).into(),
            ],
        )?;
        self.note("deployment", stored.id.as_str());
        let split: Vec<String> = split
            .iter()
            .map(|one| format!("{}@{}", one.version, one.weight))
            .collect();
        self.note("split", split);
        if stored.immediate {
            self.note("immediate", true);
        }
        self.touch(EdgeKey::Worker(account.clone(), worker.clone()));
        Ok(stored)
    }
}

fn check_new(new: &NewDeployment) -> Result<()> {
    check_uuid("deployment", new.id.as_str())?;
    check_text("source", &new.source)?;
    new.message
        .iter()
        .try_for_each(|message| check_text("message", message))
}

impl Catalog {
    /// Has these versions serve: one transaction with its revision and its audit entry.
    pub async fn deploy(
        &self,
        caller: &Caller,
        account: TenantId,
        worker: WorkerName,
        split: Vec<SplitOf>,
        new: NewDeployment,
    ) -> Result<Done<Deployment>> {
        check_split(&split, SHARES_MAX)?;
        check_new(&new)?;
        let author = caller.actor.clone();
        self.change(
            caller,
            Action::of(&account, "worker.deploy", &worker),
            move |changing| changing.store_deployment(&account, &worker, &author, DeploymentKind::Deploy, &split, &new),
        )
        .await
    }

    /// Goes back: to a version, or to what served before the deployment that serves now. A health gate's way back is
    /// `automatic`; it names the deployment that it judged in `new.replaces`, and does nothing if another one serves.
    pub async fn rollback(
        &self,
        caller: &Caller,
        account: TenantId,
        worker: WorkerName,
        to: Option<VersionId>,
        automatic: bool,
        new: NewDeployment,
    ) -> Result<Done<Deployment>> {
        check_new(&new)?;
        let author = caller.actor.clone();
        let kind = if automatic {
            DeploymentKind::AutomaticRollback
        } else {
            DeploymentKind::Rollback
        };
        self.change(
            caller,
            Action::of(&account, "worker.rollback", &worker),
            move |changing| {
                let split = match &to {
                    Some(version) => vec![SplitOf {
                        version: version.clone(),
                        weight: WEIGHT_WHOLE,
                    }],
                    None => changing.last_other(&account, &worker)?,
                };
                changing.store_deployment(&account, &worker, &author, kind, &split, &new)
            },
        )
        .await
    }

    /// Deployments, the newest first, with numbers below `before`.
    pub async fn deployments(
        &self,
        account: TenantId,
        worker: WorkerName,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Deployment>> {
        self.read(move |transaction| {
            let rows = page(
                transaction,
                "deployments",
                COLUMNS,
                of(&account, &worker),
                before,
                limit,
            )?;
            let deployment = |row| deployment(transaction, &account, &worker, row);
            rows.iter().map(deployment).collect()
        })
        .await
    }

    /// A deployment by its id.
    pub async fn deployment(&self, account: TenantId, worker: WorkerName, id: DeploymentId) -> Result<Deployment> {
        self.read(move |transaction| {
            let sql = format!("SELECT {COLUMNS} FROM deployments WHERE account = $1 AND worker = $2 AND id = $3");
            let [account_value, worker_value] = of(&account, &worker);
            let rows = transaction.query(&sql, &[account_value, worker_value, id.as_str().into()])?;
            let row = rows.first().ok_or_else(|| CatalogError::missing("deployment", &id))?;
            deployment(transaction, &account, &worker, row)
        })
        .await
    }

    /// Points an alias at one version, or at two with weights. Of no versions: removes it.
    pub async fn set_alias(
        &self,
        caller: &Caller,
        account: TenantId,
        worker: WorkerName,
        alias: AliasName,
        split: Vec<SplitOf>,
    ) -> Result<Done<()>> {
        check_name("alias", alias.as_str())?;
        if !split.is_empty() {
            check_split(&split, 2)?;
        }
        let action = Action::of(&account, "worker.alias", format!("{worker}:{alias}"));
        self.change(caller, action, move |changing| {
            changing.need_worker(&account, &worker)?;
            for one in &split {
                changing.version(&account, &worker, &one.version)?;
            }
            let [account_value, worker_value] = of(&account, &worker);
            let removed = changing.execute(
                "DELETE FROM aliases WHERE account = $1 AND worker = $2 AND name = $3",
                &[account_value, worker_value, alias.as_str().into()],
            )?;
            if split.is_empty() && removed == 0 {
                return Err(CatalogError::missing("alias", &alias));
            }
            for (place, one) in split.iter().enumerate() {
                changing.execute(
                    "INSERT INTO aliases (account, worker, name, place, version, weight) VALUES ($1, $2, $3, $4, $5, $6)",
                    &[
                        account.as_str().into(),
                        worker.as_str().into(),
                        alias.as_str().into(),
                        place.into(),
                        one.version.as_str().into(),
                        one.weight.into(),
                    ],
                )?;
            }
            let count = changing.count(
                "SELECT count(DISTINCT name) FROM aliases WHERE account = $1 AND worker = $2",
                &of(&account, &worker),
            )?;
            changing.within(&account, Quota::Aliases, count)?;
            let split: Vec<String> = split.iter().map(|one| format!("{}@{}", one.version, one.weight)).collect();
            changing.note("split", split);
            changing.touch(EdgeKey::Worker(account.clone(), worker.clone()));
            Ok(())
        })
        .await
    }

    /// The aliases of a worker.
    pub async fn aliases(&self, account: TenantId, worker: WorkerName) -> Result<BTreeMap<AliasName, Vec<SplitOf>>> {
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT name, version, weight FROM aliases WHERE account = $1 AND worker = $2 ORDER BY name, place",
                &of(&account, &worker),
            )?;
            let mut aliases: BTreeMap<AliasName, Vec<SplitOf>> = BTreeMap::new();
            for row in &rows {
                aliases
                    .entry(AliasName::new(row.text(0)?))
                    .or_default()
                    .push(split(row, 1)?);
            }
            Ok(aliases)
        })
        .await
    }
}

impl Changing<'_> {
    /// Who served last before the present deployment, if it was not the same.
    fn last_other(&mut self, account: &TenantId, worker: &WorkerName) -> Result<Vec<SplitOf>> {
        self.need_worker(account, worker)?;
        let sql = format!(
            "SELECT {COLUMNS} FROM deployments WHERE account = $1 AND worker = $2 ORDER BY number DESC LIMIT 100"
        );
        let rows = self.query(&sql, &of(account, worker))?;
        let mut newest = None;
        for row in &rows {
            let found = deployment(self.transaction, account, worker, row)?;
            match &newest {
                None => newest = Some(found.split),
                Some(present) if *present != found.split => return Ok(found.split),
                Some(_) => {}
            }
        }
        Err(CatalogError::Conflict(format!(
            "there is nothing to go back to: no other versions of {worker} served before; name the version to go back to"
        )))
    }
}
