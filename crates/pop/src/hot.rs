//! Which workers have traffic: they are ready before it comes again.
//!
//! A worker stays in the list for [`KEPT_MS`] after its last request here, or after the control plane named it as one with traffic
//! elsewhere. The list is written to disk now and then; what was lost of it costs a cold start.

use atoll_model::{TenantId, WorkerName};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How long a worker is remembered, milliseconds: a day, so that whoever comes every morning is expected.
pub(crate) const KEPT_MS: u64 = 24 * 60 * 60 * 1000;
/// The most workers that are remembered, and started ahead when a PoP starts.
pub(crate) const HOT_MAX: usize = 1_000;

pub(crate) type Key = (TenantId, WorkerName);

#[derive(Debug, Default)]
pub(crate) struct Hot {
    workers: Mutex<HashMap<Key, u64>>,
}

impl Hot {
    pub fn new(list: Vec<(TenantId, WorkerName, u64)>) -> Self {
        let workers = list
            .into_iter()
            .map(|(account, worker, seen)| ((account, worker), seen));
        Self {
            workers: Mutex::new(workers.take(HOT_MAX).collect()),
        }
    }

    /// It has traffic. Gives whether it had none before.
    pub fn touch(&self, account: &TenantId, worker: &WorkerName, now_ms: u64) -> bool {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (account.clone(), worker.clone());
        if let Some(seen) = workers.get_mut(&key) {
            *seen = now_ms;
            return false;
        }
        if workers.len() >= HOT_MAX {
            // The one that was not seen for longest; never so many that a search hurts.
            let oldest = workers
                .iter()
                .min_by_key(|(_, seen)| **seen)
                .map(|(key, _)| key.clone());
            oldest.and_then(|key| workers.remove(&key));
        }
        workers.insert(key, now_ms);
        true
    }

    pub fn has(&self, account: &TenantId, worker: &WorkerName) -> bool {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.contains_key(&(account.clone(), worker.clone()))
    }

    /// Forgets who was not seen for long, and gives the others, the newest first.
    pub fn list(&self, now_ms: u64) -> Vec<(TenantId, WorkerName, u64)> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|_, seen| now_ms.saturating_sub(*seen) < KEPT_MS);
        let list = workers
            .iter()
            .map(|((account, worker), seen)| (account.clone(), worker.clone(), *seen));
        let mut list: Vec<_> = list.collect();
        list.sort_by_key(|(_, _, seen)| std::cmp::Reverse(*seen));
        list
    }
}
