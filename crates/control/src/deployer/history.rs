//! How workers did before: counts by worker over the last minutes, so that a new version has something to be compared with.

use super::lanes::Tally;
use atoll_model::{TenantId, WorkerName};
use std::collections::BTreeMap;

/// Half of what is remembered, milliseconds: counts are between one and two of these old at most.
pub const HISTORY_MS: u64 = 5 * 60_000;
/// The most workers of which something is remembered; those with the least recent traffic are not.
pub const HISTORIES_MAX: usize = 100_000;

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
}

/// What is remembered of a worker.
#[derive(Debug, Clone, Copy, Default)]
pub struct Past {
    /// On all PoPs.
    pub everywhere: Tally,
    /// On the PoP that is the canary.
    pub canary: Tally,
}

/// See the module.
#[derive(Debug, Default)]
pub struct History {
    workers: BTreeMap<(TenantId, WorkerName), Worker>,
    turned_ms: u64,
}

impl History {
    /// Adds what a PoP reports of an approved version.
    pub fn add(&mut self, account: &TenantId, worker: &WorkerName, tally: &Tally, on_canary: bool) {
        let key = (account.clone(), worker.clone());
        if !self.workers.contains_key(&key) && self.workers.len() >= HISTORIES_MAX {
            return;
        }
        let of = self.workers.entry(key).or_default();
        of.everywhere.now.add(tally);
        if on_canary {
            of.canary.now.add(tally);
        }
    }

    /// What is known of a worker.
    pub fn of(&self, account: &TenantId, worker: &WorkerName) -> Past {
        let found = self.workers.get(&(account.clone(), worker.clone()));
        found.map_or_else(Past::default, |found| Past {
            everywhere: found.everywhere.sum(),
            canary: found.canary.sum(),
        })
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
