//! What the catalog asks for, what becomes of it: approved, failed, taken back.

use super::super::bake::{Bake, bake, judged, serve_the_same};
use super::super::history::{KeptPast, Past};
use super::super::lanes::Tally;
use super::keys::{Key, NO_FACTS, Stage, Trial, Watch, Withdrawal, digest};
use super::{Deployer, ROLLING_MAX_MS, WATCH_MS, Withdraw, reason};
use crate::catalog::{DeploymentFacts, DeploymentKind, Intent, IntentDelta, SplitOf, StagedKey, StagedPhase};
use crate::deployer::rollout::{Rollout, RolloutState, begun};
use atoll_model::{DeploymentId, EdgeConfig, EdgeEntry, EdgeKey, VersionId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who serves by an entry.
fn split(entry: &EdgeEntry) -> Vec<SplitOf> {
    let EdgeEntry::Worker(worker) = entry else {
        return Vec::new();
    };
    let of = |share: &atoll_model::Share| SplitOf {
        version: share.version.clone(),
        weight: share.weight,
    };
    worker.shares.iter().map(of).collect()
}

/// Versions of which nothing is known yet.
fn counted(versions: impl IntoIterator<Item = VersionId>) -> BTreeMap<VersionId, Tally> {
    versions
        .into_iter()
        .map(|version| (version, Tally::default()))
        .collect()
}

fn trial(of: &Key, order: u64) -> Trial {
    Trial {
        bake: bake(of.approved.as_deref(), of.asked.as_deref(), of.facts),
        stage: Stage::Waiting,
        judged: counted(judged(of.approved.as_deref(), of.asked.as_deref())),
        new: Tally::default(),
        beside: Tally::default(),
        meanwhile: Tally::default(),
        order,
    }
}

impl Deployer {
    /// Goes on with what another control plane, or this one before it ended, had begun.
    pub(super) fn resume(&mut self, intent: &Intent, head: &EdgeConfig, now_ms: u64) {
        for kept in &intent.pasts {
            let serves = self.lanes[super::FLEET].get(&EdgeKey::Worker(kept.account.clone(), kept.worker.clone()));
            if Self::deployment_of(serves) == Some(&kept.deployment) {
                self.history.begin_with(&kept.account, &kept.worker, kept.past, now_ms);
            }
        }
        for staged in &intent.staged {
            self.resume_key(intent, staged, head.get(&staged.key).cloned(), now_ms);
        }
        self.told = intent.rollouts.clone();
        self.told.retain(|_, rollout| !rollout.state.is_final());
    }

    fn resume_key(&mut self, intent: &Intent, staged: &StagedKey, asked: Option<Arc<EdgeEntry>>, now_ms: u64) {
        let StagedKey { key, approved, .. } = staged;
        let facts = Self::deployment_of(asked.as_ref()).and_then(|id| intent.deployments.get(id));
        let mut found = Key {
            approved: approved.clone(),
            asked: asked.clone(),
            facts: facts.copied().unwrap_or(NO_FACTS),
            trial: None,
            watch: None,
            losses: staged.losses,
            losses_alone: 0,
            losses_beside: 0,
            failed: None,
        };
        let past_of = |deployment: Option<&DeploymentId>| {
            let kept = intent.pasts.iter().find(|kept| Some(&kept.deployment) == deployment);
            kept.map_or_else(Past::default, |kept| kept.past)
        };
        let watched = matches!(staged.phase, StagedPhase::Rolling | StagedPhase::Watching);
        if watched && let Some(id) = Self::deployment_of(approved.as_ref()) {
            let told = intent.rollouts.get(id);
            found.watch = Some(Watch {
                previous: staged.previous.clone(),
                judged: counted(judged(staged.previous.as_deref(), approved.as_deref())),
                new: Tally::default(),
                beside: Tally::default(),
                past: past_of(Self::deployment_of(staged.previous.as_ref())),
                unproven: told.is_some_and(|told| told.unproven),
                baked: told.map_or_else(Tally::default, |told| Tally {
                    requests: told.requests,
                    server_errors: told.errors,
                    ..Tally::default()
                }),
                publications: [0, 0],
                behind: self.pops.keys().cloned().collect(),
                anywhere: false,
                untried: intent.deployments.get(id).is_some_and(|facts| facts.immediate),
                losses: 0,
                gone: BTreeMap::new(),
                spared_until_ms: 0,
                approved_ms: staged.since_ms.min(now_ms),
                // Of another clock, perhaps: never longer than a whole watch from now.
                since_ms: staged.since_ms.clamp(now_ms.saturating_sub(WATCH_MS), now_ms),
                live: staged.phase == StagedPhase::Watching,
                note: told.and_then(|told| told.reason.clone()),
            });
        }
        if asked != *approved {
            let rolled_back = found
                .tries_deployment()
                .and_then(|id| intent.rollouts.get(id))
                .filter(|rollout| rollout.state == RolloutState::RolledBack);
            let same = staged.phase == StagedPhase::Held && staged.judged == digest(key, asked.as_ref());
            let held = rolled_back.and_then(|rollout| rollout.reason.clone()).or_else(|| {
                let why = || staged.reason.clone().unwrap_or_else(|| "it failed".to_owned());
                same.then(why)
            });
            let mut trial = self.trial(&found);
            if let Some(reason) = held {
                let withdrawal = Self::withdrawal(&found);
                trial.stage = Stage::Held { reason, withdrawal };
            }
            found.trial = Some(trial);
        }
        self.keys.insert(key.clone(), found);
        let at_once = |found: &Key| {
            found
                .trial
                .as_ref()
                .is_some_and(|trial| !trial.stage.is_held() && trial.bake == Bake::None)
        };
        if self.keys.get(key).is_some_and(at_once) {
            self.approve(key, now_ms);
        } else if self
            .keys
            .get(key)
            .is_some_and(|found| found.trial.is_none() && found.watch.is_none())
        {
            self.tidy(key);
        }
    }

    /// A trial from its beginning.
    fn trial(&mut self, of: &Key) -> Trial {
        self.order += 1;
        trial(of, self.order)
    }

    /// The catalog asks for more or other.
    pub(super) fn intent(&mut self, intent: IntentDelta, now_ms: u64) {
        if intent.delta.from != self.revision {
            let (from, here) = (intent.delta.from, self.revision);
            self.alarm(
                "intent",
                format!("a change begins at revision {from}, not at {here}; it is left out"),
            );
            return;
        }
        self.revision = intent.delta.to;
        for change in intent.delta.changes {
            let asked = change.entry.map(Arc::new);
            let facts = Self::deployment_of(asked.as_ref()).and_then(|id| intent.deployments.get(id));
            self.ask(&change.key, asked, facts.copied().unwrap_or(NO_FACTS), now_ms);
        }
    }

    fn ask(&mut self, key: &EdgeKey, asked: Option<Arc<EdgeEntry>>, facts: DeploymentFacts, now_ms: u64) {
        let mut found = self.keys.remove(key).unwrap_or_else(|| {
            let approved = self.lanes[super::FLEET].get(key).cloned();
            Key {
                asked: approved.clone(),
                approved,
                facts,
                trial: None,
                watch: None,
                losses: 0,
                losses_alone: 0,
                losses_beside: 0,
                failed: None,
            }
        });
        let before = found.tries_deployment().cloned();
        found.asked = asked;
        found.facts = facts;
        let same_deployment = before.is_some() && before.as_ref() == found.tries_deployment();
        if found.asked == found.approved {
            found.trial = None;
            found.forget_losses();
        } else if same_deployment && found.trial.is_some() {
            // The same deployment with other addresses: its judgement goes on, and one that failed has failed.
            if let Some(trial) = &mut found.trial
                && let Stage::Probing { publication, .. } = &mut trial.stage
            {
                *publication = 0;
            }
        } else {
            found.forget_losses();
            found.trial = Some(self.trial(&found));
        }
        let at_once = found
            .trial
            .as_ref()
            .is_some_and(|trial| !trial.stage.is_held() && trial.bake == Bake::None);
        self.keys.insert(key.clone(), found);
        if at_once {
            self.approve(key, now_ms);
        } else {
            self.tidy(key);
        }
    }

    /// What is tried goes to everybody.
    pub(super) fn approve(&mut self, key: &EdgeKey, now_ms: u64) {
        let behind = self.pops.keys().cloned().collect();
        let Some(found) = self.keys.get_mut(key) else { return };
        let Some(trial) = found.trial.take() else { return };
        let deployed = found.tries_deployment().is_some();
        let same = serve_the_same(found.approved.as_deref(), found.asked.as_deref());
        let previous = std::mem::replace(&mut found.approved, found.asked.clone());
        found.forget_losses();
        found.failed = None;
        if let Some(watch) = found.watch.as_mut().filter(|_| deployed && same) {
            // The same versions under another name: what is being watched is still that.
            watch.publications = [0, 0];
            watch.behind = behind;
            watch.anywhere = false;
            watch.live = false;
            watch.note = None;
        } else if deployed {
            let EdgeKey::Worker(account, worker) = key else { return };
            let past = self.history.of(account, worker);
            self.history.begin_anew(account, worker);
            if let Some(deployment) = Self::deployment_of(previous.as_ref()).cloned() {
                self.pending.write.pasts.push(KeptPast {
                    account: account.clone(),
                    worker: worker.clone(),
                    deployment,
                    past,
                });
            }
            // Whoever goes back knows why: requests do not send them forward again.
            let forward = found.facts.kind != DeploymentKind::Rollback;
            found.watch = Some(Watch {
                previous,
                unproven: trial.is_unproven(),
                judged: if forward {
                    counted(trial.judged.into_keys())
                } else {
                    BTreeMap::new()
                },
                new: Tally::default(),
                beside: Tally::default(),
                past,
                baked: trial.new,
                publications: [0, 0],
                behind,
                anywhere: false,
                untried: !trial.stage.is_at_canary(),
                losses: 0,
                gone: BTreeMap::new(),
                spared_until_ms: 0,
                approved_ms: now_ms,
                since_ms: now_ms,
                live: false,
                note: None,
            });
        } else if found.asked.is_none() {
            found.watch = None;
        }
        self.tidy(key);
    }

    /// What the catalog can do about what failed: have what the fleet has serve again, if there is something and it is not the same.
    fn withdrawal(of: &Key) -> Withdrawal {
        let same = serve_the_same(of.approved.as_deref(), of.asked.as_deref());
        match (&of.approved, of.tries_deployment()) {
            (Some(_), Some(_)) if !same => Withdrawal::Due,
            _ => Withdrawal::Never,
        }
    }

    /// What is tried has failed: the canary goes back, the fleet never had it.
    pub(super) fn fail_trial(&mut self, key: &EdgeKey, why: &str) {
        let Some(found) = self.keys.get_mut(key) else { return };
        let withdrawal = Self::withdrawal(found);
        let Some(trial) = &mut found.trial else { return };
        let reason = reason(why);
        trial.stage = Stage::Held {
            reason: reason.clone(),
            withdrawal,
        };
        self.tidy(key);
        self.alarm(
            "rolled_back",
            format!("{key}: {reason}; the fleet stays with what it had"),
        );
    }

    /// What was approved has failed after all: everybody goes back.
    pub(super) fn fail_watch(&mut self, key: &EdgeKey, why: &str, now_ms: u64) {
        let Some(found) = self.keys.get_mut(key) else { return };
        let Some(watch) = found.watch.take() else { return };
        let reason = reason(why);
        let failed = std::mem::replace(&mut found.approved, watch.previous);
        if found.asked == failed || found.tries_deployment() == Self::deployment_of(failed.as_ref()) {
            self.order += 1;
            let mut trial = trial(found, self.order);
            trial.new = watch.new;
            trial.stage = Stage::Held {
                reason: reason.clone(),
                withdrawal: Self::withdrawal(found),
            };
            found.trial = Some(trial);
        } else {
            // Something newer is asked for already; it is compared with what the fleet has now.
            let id = Self::deployment_of(failed.as_ref()).cloned();
            found.failed = id.map(|id| {
                let rollout = Rollout {
                    state: RolloutState::RolledBack,
                    unproven: watch.unproven,
                    requests: watch.new.requests,
                    errors: watch.new.errors(),
                    reason: Some(reason.clone()),
                    ..begun(now_ms)
                };
                (id, rollout)
            });
        }
        if let EdgeKey::Worker(account, worker) = key {
            self.history.begin_anew(account, worker);
        }
        self.tidy(key);
        self.alarm("rolled_back", format!("{key}: {reason}; every PoP goes back"));
    }

    /// Asks the catalog to take back what failed.
    pub(super) fn ask_withdrawals(&mut self, now_ms: u64) {
        let mut asked = Vec::new();
        for (key, found) in &mut self.keys {
            let EdgeKey::Worker(account, worker) = key else {
                continue;
            };
            let (Some(deployment), Some(back_to)) = (found.tries_deployment().cloned(), found.approved.clone()) else {
                continue;
            };
            let Some(trial) = &mut found.trial else { continue };
            let (requests, errors) = (trial.new.requests, trial.new.errors());
            let Stage::Held { reason, withdrawal } = &mut trial.stage else {
                continue;
            };
            let due = match *withdrawal {
                Withdrawal::Never => false,
                Withdrawal::Due => true,
                Withdrawal::Asked(at) => now_ms.saturating_sub(at) >= super::WITHDRAW_AGAIN_MS,
            };
            if !due {
                continue;
            }
            *withdrawal = Withdrawal::Asked(now_ms);
            asked.push(Withdraw {
                account: account.clone(),
                worker: worker.clone(),
                deployment,
                back_to: split(&back_to),
                rollout: Rollout {
                    state: RolloutState::RolledBack,
                    canary: self.canary.as_ref().map(|canary| canary.name.to_string()),
                    requests,
                    errors,
                    reason: Some(reason.clone()),
                    ..begun(now_ms)
                },
            });
        }
        self.pending.out.withdraw.extend(asked);
    }

    /// The catalog's answer.
    pub(super) fn withdrawn(&mut self, key: &EdgeKey, deployment: &DeploymentId, impossible: Option<String>) {
        let Some(found) = self.keys.get_mut(key) else { return };
        if found.tries_deployment() != Some(deployment) {
            return;
        }
        if let (Some(why), Some(trial)) = (impossible, &mut found.trial)
            && let Stage::Held { withdrawal, .. } = &mut trial.stage
        {
            *withdrawal = Withdrawal::Never;
            self.alarm(
                "withdrawal",
                format!("{key}: the catalog cannot take deployment {deployment} back ({why}); the fleet goes on with what it has"),
            );
        }
    }

    /// Moves approved deployments on: to live, and out of sight.
    pub(super) fn progress(&mut self, now_ms: u64) {
        let mut late = Vec::new();
        let mut over = Vec::new();
        let mut live = Vec::new();
        for (key, found) in &mut self.keys {
            let Some(watch) = &mut found.watch else { continue };
            let age = now_ms.saturating_sub(watch.since_ms);
            if !watch.live && watch.publications != [0, 0] {
                let everywhere = watch.anywhere && watch.behind.is_empty();
                if everywhere || watch.anywhere && age >= ROLLING_MAX_MS {
                    watch.live = true;
                    watch.since_ms = now_ms;
                    live.push(key.clone());
                    if !everywhere {
                        let names: Vec<&str> = watch.behind.iter().take(5).map(|pop| pop.as_str()).collect();
                        let (count, names) = (watch.behind.len(), names.join(", "));
                        watch.note = Some(format!("{count} PoPs have not acknowledged it yet: {names}"));
                        late.push(format!(
                            "{key}: {count} PoPs have not acknowledged it within {} s: {names}",
                            ROLLING_MAX_MS / 1000
                        ));
                    }
                }
            } else if watch.live && age >= WATCH_MS {
                over.push(key.clone());
            }
        }
        for key in live {
            self.pending.dirty.insert(key);
        }
        for message in late {
            self.alarm("straggler", message);
        }
        for key in over {
            if let Some(found) = self.keys.get_mut(&key) {
                found.watch = None;
            }
            self.tidy(&key);
        }
    }

    /// What is needed before a key may go to the canary: an account, a worker; and nobody who still needs what it removes.
    pub(super) fn lacks(&self, key: &EdgeKey, found: &Key, lane: usize) -> bool {
        let has = |key: &EdgeKey| match self.pending.touched.get(key) {
            Some(both) => both[lane].is_some(),
            None => self.lanes[lane].get(key).is_some(),
        };
        let needed = super::super::bake::needs(found.asked.as_deref());
        if needed.is_some_and(|(account, worker)| !has(&EdgeKey::Worker(account.clone(), worker.clone()))) {
            return true;
        }
        match (key, &found.asked) {
            (EdgeKey::Worker(account, _), Some(_)) => !has(&EdgeKey::Account(account.clone())),
            (EdgeKey::Worker(account, worker), None) => self.keys.iter().any(|(other, at)| {
                other != key
                    && self
                        .pending_entry(other, at, lane)
                        .is_some_and(|entry| super::super::bake::needs(Some(entry)) == Some((account, worker)))
            }),
            _ => false,
        }
    }

    /// What this step makes of a staged key in a lane.
    fn pending_entry<'a>(&'a self, key: &EdgeKey, found: &'a Key, lane: usize) -> Option<&'a EdgeEntry> {
        match self.pending.touched.get(key) {
            Some(both) => both[lane].as_deref(),
            None if lane == super::FLEET => found.approved.as_deref(),
            None => self.lanes[lane].get(key).map(|entry| &**entry),
        }
    }

    /// Routes at the canary whose worker was taken from it wait again.
    pub(super) fn send_back_dependents(&mut self) {
        let mut back = Vec::new();
        for (key, found) in &self.keys {
            let at_canary = found.trial.as_ref().is_some_and(|trial| trial.stage.is_at_canary());
            let Some((account, worker)) = super::super::bake::needs(found.asked.as_deref()) else {
                continue;
            };
            let worker = EdgeKey::Worker(account.clone(), worker.clone());
            let gone = match self.pending.touched.get(&worker) {
                Some(both) => both[super::CANARY].is_none(),
                None => self.lanes[super::CANARY].get(&worker).is_none(),
            };
            if at_canary && gone {
                back.push(key.clone());
            }
        }
        for key in back {
            if let Some(trial) = self.keys.get_mut(&key).and_then(|found| found.trial.as_mut()) {
                trial.stage = Stage::Waiting;
                trial.forget_counts();
            }
            self.touch(&key);
        }
    }

    /// What failed and stays as it was until the catalog asks for something else, with the reason. Not what the catalog is asked
    /// to take back.
    pub fn held(&self) -> BTreeMap<EdgeKey, String> {
        let held = self
            .keys
            .iter()
            .filter_map(|(key, found)| match &found.trial.as_ref()?.stage {
                Stage::Held {
                    reason,
                    withdrawal: Withdrawal::Never,
                } => Some((key.clone(), reason.clone())),
                _ => None,
            });
        held.collect()
    }

    /// Of what is staged, by account and so on: for those who show it.
    pub fn stages(&self) -> BTreeMap<EdgeKey, &'static str> {
        let name = |found: &Key| match (&found.trial, &found.watch) {
            (Some(trial), _) => match trial.stage {
                Stage::Waiting => "waiting",
                Stage::Probing { .. } => "probing",
                Stage::Baking { .. } => "baking",
                Stage::Held { .. } => "held",
            },
            (None, Some(watch)) if watch.live => "watched",
            (None, _) => "rolling",
        };
        self.keys
            .iter()
            .map(|(key, found)| (key.clone(), name(found)))
            .collect()
    }
}
