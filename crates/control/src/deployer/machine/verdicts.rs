//! Judges what bakes and what is watched.

use super::super::bake::{Bake, CALM_MS, SHORT_MS};
use super::super::gate::{Evidence, Verdict, judge, judge_calm, judge_live};
use super::super::lanes::Tally;
use super::keys::{Key, Stage, named};
use super::{Deployer, FLEET};
use atoll_model::EdgeKey;

/// What is to become of a key.
enum Decision {
    Approve,
    Fail(String),
    TakeBack(String),
}

impl Deployer {
    pub(super) fn judge_all(&mut self, now_ms: u64) {
        let mut decisions = Vec::new();
        let ready = self.canary_is_ready();
        for (key, found) in &self.keys {
            if let Some(reason) = self.judge_watch(found) {
                decisions.push((key.clone(), Decision::TakeBack(reason)));
            } else if ready && let Some(decision) = self.judge_trial(key, found, now_ms) {
                decisions.push((key.clone(), decision));
            }
        }
        // Routes go before the workers that they no longer need, and after those that they do.
        let order = |key: &EdgeKey| {
            let removed = self.keys.get(key).is_some_and(|found| found.asked.is_none());
            let worker = matches!(key, EdgeKey::Worker(..));
            match (key, removed) {
                (EdgeKey::Account(_), false) => 0,
                (_, false) if worker => 1,
                (_, true) if worker => 3,
                (EdgeKey::Account(_), true) => 4,
                _ => 2,
            }
        };
        decisions.sort_by_key(|(key, _)| order(key));
        for (key, decision) in decisions {
            match decision {
                Decision::Fail(reason) => self.fail_trial(&key, &reason),
                Decision::TakeBack(reason) => self.fail_watch(&key, &reason, now_ms),
                Decision::Approve => {
                    // What it needs must be at the fleet, too; otherwise it stays at the canary until it is.
                    if self.keys.get(&key).is_some_and(|found| !self.lacks(&key, found, FLEET)) {
                        self.approve(&key, now_ms);
                    }
                }
            }
        }
        self.progress(now_ms);
    }

    fn judge_watch(&self, found: &Key) -> Option<String> {
        let watch = found.watch.as_ref()?;
        let mut old = watch.past.everywhere;
        old.add(&watch.beside);
        let evidence = |new: &Tally| Evidence {
            new: *new,
            old,
            // It is everywhere, with other shares of the requests than the past had of each place.
            old_here: Tally::default(),
            meanwhile: watch.beside,
        };
        watch.judged.iter().find_map(|(version, new)| {
            let reason = judge_live(&evidence(new), watch.unproven)?;
            Some(named(version, watch.judged.len(), reason))
        })
    }

    fn judge_trial(&self, key: &EdgeKey, found: &Key, now_ms: u64) -> Option<Decision> {
        let trial = found.trial.as_ref()?;
        let Stage::Baking { since_ms } = trial.stage else {
            return None;
        };
        let baked_ms = now_ms.saturating_sub(since_ms);
        match trial.bake {
            Bake::None => Some(Decision::Approve),
            Bake::Short => (baked_ms >= SHORT_MS).then_some(Decision::Approve),
            Bake::Calm => {
                let past = self.account_of(key).map(|account| self.history.of_account(&account));
                let evidence = Evidence {
                    new: trial.new,
                    old: past.unwrap_or_default().everywhere,
                    ..Evidence::default()
                };
                match judge_calm(&evidence) {
                    Some(reason) => Some(Decision::Fail(reason)),
                    None => (baked_ms >= CALM_MS).then_some(Decision::Approve),
                }
            }
            Bake::Gate => {
                let EdgeKey::Worker(account, worker) = key else {
                    return None;
                };
                let past = self.history.of(account, worker);
                let mut waits = false;
                for (version, new) in &trial.judged {
                    match judge(&found.evidence(trial, new, &past), baked_ms) {
                        Verdict::Wait => waits = true,
                        Verdict::Pass { .. } => {}
                        Verdict::Fail(reason) => {
                            return Some(Decision::Fail(named(version, trial.judged.len(), reason)));
                        }
                    }
                }
                (!waits).then_some(Decision::Approve)
            }
        }
    }
}
