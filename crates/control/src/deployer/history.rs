//! How workers did before: counts by worker over the last minutes, so that a new version has something to be compared with.
//!
//! A control plane that begins goes on with what another one stored. What is stored is bounded: with each [`History::due_to_keep`]
//! some of those whose counts have changed, in turn, each of them every [`KEEP_EVERY_MS`] at most; so of a platform of very many
//! workers with traffic only a part is kept, and of each of the others up to that much is missing.

use super::lanes::Tally;
use atoll_model::{DeploymentId, TenantId, WorkerName};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Half of what is remembered, milliseconds: counts are between one and two of these old at most.
pub const HISTORY_MS: u64 = 5 * 60_000;
/// The most workers of which something is remembered; those with the least recent traffic are not.
pub const HISTORIES_MAX: usize = 100_000;
/// What is kept of a worker is stored anew after this long at the earliest, milliseconds.
pub const KEEP_EVERY_MS: u64 = 30_000;
/// How many workers are looked at, and how many are stored, at a time.
const KEEP_LOOKED_AT: usize = 5_000;
const KEPT_AT_ONCE: usize = 500;
/// What was stored longer ago says nothing any more, milliseconds.
pub const KEPT_FOR_MS: u64 = 2 * HISTORY_MS;

/// Counts of two periods: the present one and the one before.
#[derive(Debug, Clone, Default)]
struct Rolling {
    before: Tally,
    now: Tally,
}

impl Rolling {
    fn sum(&self) -> Tally {
        let mut sum = self.before;
        sum.add(&self.now);
        sum
    }

    fn turn(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}

#[derive(Debug, Clone, Default)]
struct Worker {
    everywhere: Rolling,
    canary: Rolling,
    /// Something was added since it was stored.
    changed: bool,
    /// When it was stored; 0: never.
    kept_ms: u64,
}

impl Worker {
    fn past(&self) -> Past {
        Past {
            everywhere: self.everywhere.sum(),
            canary: self.canary.sum(),
        }
    }
}

/// What is remembered of a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Past {
    /// On all PoPs.
    pub everywhere: Tally,
    /// On the PoP that is the canary.
    pub canary: Tally,
}

/// What is stored of a deployment that serves, or did until lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPast {
    /// Whose.
    pub account: TenantId,
    /// Which worker.
    pub worker: WorkerName,
    /// Which deployment: counts of another one are not its past.
    pub deployment: DeploymentId,
    /// Its counts.
    pub past: Past,
}

/// See the module.
#[derive(Debug, Default)]
pub struct History {
    workers: BTreeMap<(TenantId, WorkerName), Worker>,
    turned_ms: u64,
    /// Who was looked at last, of those to keep.
    looked_at: Option<(TenantId, WorkerName)>,
}

impl History {
    /// Adds what a PoP reports of an approved version.
    pub fn add(&mut self, account: &TenantId, worker: &WorkerName, tally: &Tally, on_canary: bool) {
        let key = (account.clone(), worker.clone());
        if !self.workers.contains_key(&key) && self.workers.len() >= HISTORIES_MAX {
            return;
        }
        let of = self.workers.entry(key).or_default();
        of.changed = true;
        of.everywhere.now.add(tally);
        if on_canary {
            of.canary.now.add(tally);
        }
    }

    /// What is known of a worker.
    pub fn of(&self, account: &TenantId, worker: &WorkerName) -> Past {
        let found = self.workers.get(&(account.clone(), worker.clone()));
        found.map_or_else(Past::default, Worker::past)
    }

    /// What another control plane knew of a worker, as the older half of what is remembered.
    pub fn begin_with(&mut self, account: &TenantId, worker: &WorkerName, past: Past, now_ms: u64) {
        self.turned_ms = now_ms;
        let key = (account.clone(), worker.clone());
        if self.workers.len() >= HISTORIES_MAX {
            return;
        }
        let of = self.workers.entry(key).or_default();
        of.kept_ms = now_ms;
        (of.everywhere.before, of.canary.before) = (past.everywhere, past.canary);
    }

    /// Some of those whose counts are to be stored now; they count as stored.
    pub fn due_to_keep(&mut self, now_ms: u64) -> Vec<((TenantId, WorkerName), Past)> {
        let from = self.looked_at.take().map_or(Bound::Unbounded, Bound::Excluded);
        let mut keep = Vec::new();
        let mut last = None;
        for (at, (key, worker)) in self.workers.range_mut((from, Bound::Unbounded)).enumerate() {
            if at == KEEP_LOOKED_AT || keep.len() == KEPT_AT_ONCE {
                self.looked_at = last;
                break;
            }
            last = Some(key.clone());
            let long_ago = worker.kept_ms == 0 || now_ms.saturating_sub(worker.kept_ms) >= KEEP_EVERY_MS;
            if worker.changed && long_ago {
                (worker.changed, worker.kept_ms) = (false, now_ms);
                keep.push((key.clone(), worker.past()));
            }
        }
        keep
    }

    /// What is known of all workers of an account.
    pub fn of_account(&self, account: &TenantId) -> Past {
        let mut past = Past::default();
        let from = (account.clone(), WorkerName::new(""));
        for (_, worker) in self.workers.range(from..).take_while(|((of, _), _)| of == account) {
            past.everywhere.add(&worker.everywhere.sum());
            past.canary.add(&worker.canary.sum());
        }
        past
    }

    /// A worker serves another version: what comes from now on is of that one.
    pub fn begin_anew(&mut self, account: &TenantId, worker: &WorkerName) {
        self.workers.remove(&(account.clone(), worker.clone()));
    }

    /// Another PoP is the canary.
    pub fn another_canary(&mut self) {
        for worker in self.workers.values_mut() {
            worker.canary = Rolling::default();
        }
    }

    /// Lets old counts go.
    pub fn tick(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.turned_ms) < HISTORY_MS {
            return;
        }
        self.turned_ms = now_ms;
        self.workers.retain(|_, worker| {
            worker.everywhere.turn();
            worker.canary.turn();
            worker.everywhere.before != Tally::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(requests: u64) -> Tally {
        Tally {
            requests,
            ..Tally::default()
        }
    }

    #[test]
    fn what_changed_is_kept_in_turn_and_not_too_often() {
        let account = TenantId::new("acme");
        let mut history = History::default();
        let name = |at: usize| WorkerName::new(format!("w{at:04}"));
        for at in 0..KEPT_AT_ONCE + 20 {
            history.add(&account, &name(at), &tally(1), at == 0);
        }
        let first = history.due_to_keep(1_000);
        assert_eq!(first.len(), KEPT_AT_ONCE);
        assert_eq!((first[0].1.everywhere.requests, first[0].1.canary.requests), (1, 1));
        let second = history.due_to_keep(6_000);
        assert_eq!((second.len(), &second[0].0.1), (20, &name(KEPT_AT_ONCE)));
        history.add(&account, &name(3), &tally(1), false);
        assert_eq!(history.due_to_keep(11_000).len(), 0);
        let again = history.due_to_keep(1_000 + KEEP_EVERY_MS);
        assert_eq!((again.len(), again[0].1.everywhere.requests), (1, 2));
        assert_eq!(history.due_to_keep(500_000).len(), 0);
    }

    #[test]
    fn what_was_kept_is_the_past_for_a_while() {
        let (account, worker) = (TenantId::new("acme"), WorkerName::new("w"));
        let kept = Past {
            everywhere: tally(70),
            canary: tally(20),
        };
        let mut history = History::default();
        history.begin_with(&account, &worker, kept, 1_000_000);
        history.tick(1_000_100);
        assert_eq!(history.of(&account, &worker), kept);
        history.add(&account, &worker, &tally(5), false);
        assert_eq!(history.of(&account, &worker).everywhere.requests, 75);
        history.tick(1_000_000 + HISTORY_MS);
        assert_eq!(history.of(&account, &worker).everywhere.requests, 5);
        assert_eq!(history.of(&account, &worker).canary.requests, 0);
    }
}
