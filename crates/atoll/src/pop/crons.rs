//! Crons of the configuration: kept as it changes, so that a change costs what changed.

use atoll_host::Crons as OfWorker;
use atoll_model::edge::{EdgeEntry, EdgeKey};
use atoll_model::{EdgeConfig, TenantId, WorkerName};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Crons {
    workers: Mutex<BTreeMap<(TenantId, WorkerName), Vec<String>>>,
}

impl Crons {
    /// From one configuration to the next. True if anything is to be fired otherwise than before.
    pub(crate) fn update(&self, before: &EdgeConfig, after: &EdgeConfig) -> bool {
        let delta = before.delta_to(after);
        // Map operations only.
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = false;
        for change in delta.changes {
            let EdgeKey::Worker(account, worker) = change.key else {
                continue;
            };
            let expressions = match change.entry {
                Some(EdgeEntry::Worker(entry)) => entry.crons,
                _ => Vec::new(),
            };
            let key = (account, worker);
            changed |= match expressions.is_empty() {
                true => workers.remove(&key).is_some(),
                false => workers.insert(key, expressions.clone()) != Some(expressions),
            };
        }
        changed
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<OfWorker> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let workers = workers.iter().map(|((tenant, worker), expressions)| OfWorker {
            tenant: tenant.clone(),
            worker: worker.clone(),
            expressions: expressions.clone(),
        });
        workers.collect()
    }
}
