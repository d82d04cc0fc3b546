//! How events met their worker: warm, cold, pre-warmed; and what the worker has used. Counted by worker, across versions; for an
//! event that was not warm the record of its request is told as well.
//!
//! Where a worker runs, here or in a child process, tells of the events that were not warm ([`atoll_worker::LogSink::start`]),
//! before they can be answered. All others were.

use atoll_model::{RequestId, TenantId, WorkerName};
use atoll_worker::{StartKind, StartNote, Usage};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Events that were not warm and whose request has no record yet; the oldest is forgotten beyond that.
const RECENT_MAX: usize = 4096;
/// Under what name dynamic workers are counted: their own come from workers. No worker has it: names do not begin with a dot.
pub const DYNAMIC: &str = ".dynamic";

/// How many events met their worker how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartCounts {
    /// It ran.
    pub warm: u64,
    /// It did not: they waited for a start.
    pub cold: u64,
    /// It had been started ahead; they were the first.
    pub prewarmed: u64,
}

/// What a worker has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageCounts {
    /// CPU, microseconds.
    pub cpu_us: u64,
    /// Requests and connections to the network.
    pub subrequests: u64,
}

/// One worker's counters.
#[derive(Debug, Default)]
pub(crate) struct WorkerStarts {
    events: AtomicU64,
    cold: AtomicU64,
    prewarmed: AtomicU64,
    cpu_us: AtomicU64,
    subrequests: AtomicU64,
}

impl WorkerStarts {
    /// The worker has used so much more.
    pub(crate) fn used(&self, usage: &Usage) {
        self.cpu_us.fetch_add(usage.cpu_us, Ordering::Relaxed);
        self.subrequests.fetch_add(usage.subrequests, Ordering::Relaxed);
    }

    pub(crate) fn usage(&self) -> UsageCounts {
        UsageCounts {
            cpu_us: self.cpu_us.load(Ordering::Relaxed),
            subrequests: self.subrequests.load(Ordering::Relaxed),
        }
    }

    /// An event was accepted.
    pub(crate) fn event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> StartCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (cold, prewarmed) = (read(&self.cold), read(&self.prewarmed));
        StartCounts {
            // An event that is told of is counted a moment later.
            warm: read(&self.events).saturating_sub(cold + prewarmed),
            cold,
            prewarmed,
        }
    }
}

/// All workers' counters.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    workers: RwLock<HashMap<(TenantId, WorkerName), Arc<WorkerStarts>>>,
    recent: Mutex<VecDeque<StartNote>>,
    recent_count: AtomicUsize,
}

impl Starts {
    /// The counters of a worker; those of dynamic workers are their account's together.
    pub(crate) fn of(&self, tenant: &TenantId, worker: &WorkerName) -> Arc<WorkerStarts> {
        // A dynamic worker has its parent's name, a slash, and an id.
        let name = match worker.as_str().contains('/') {
            true => WorkerName::new(DYNAMIC),
            false => worker.clone(),
        };
        let key = (tenant.clone(), name);
        if let Some(known) = self.workers.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.clone();
        }
        let mut workers = self.workers.write().unwrap_or_else(PoisonError::into_inner);
        workers.entry(key).or_default().clone()
    }

    /// An event that was not warm.
    pub(crate) fn note(&self, worker: &WorkerStarts, note: StartNote) {
        match note.kind {
            StartKind::Warm => return,
            StartKind::Cold => worker.cold.fetch_add(1, Ordering::Relaxed),
            StartKind::Prewarmed => worker.prewarmed.fetch_add(1, Ordering::Relaxed),
        };
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(note);
        self.recent_count.store(recent.len(), Ordering::Release);
    }

    /// How an event met its worker, once: for the record of its request.
    pub(crate) fn take(&self, request_id: RequestId) -> StartKind {
        if self.recent_count.load(Ordering::Acquire) == 0 {
            return StartKind::Warm;
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = recent.iter().position(|note| note.request_id == request_id);
        let note = at.and_then(|at| recent.remove(at));
        self.recent_count.store(recent.len(), Ordering::Release);
        note.map_or(StartKind::Warm, |note| note.kind)
    }

    /// What every worker that ever ran has used, in no order.
    pub(crate) fn usage(&self) -> Vec<(TenantId, WorkerName, UsageCounts)> {
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        let rows = workers.iter();
        rows.map(|((tenant, worker), starts)| (tenant.clone(), worker.clone(), starts.usage()))
            .collect()
    }

    /// Every worker that ever ran, in no order.
    pub(crate) fn all(&self) -> Vec<(TenantId, WorkerName, StartCounts)> {
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        let rows = workers.iter();
        rows.map(|((tenant, worker), starts)| (tenant.clone(), worker.clone(), starts.counts()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: StartKind, id: u64) -> StartNote {
        StartNote {
            kind,
            request_id: RequestId(id),
        }
    }

    #[test]
    fn what_is_not_told_was_warm() {
        let starts = Starts::default();
        let (tenant, name) = (TenantId::new("t"), WorkerName::new("w"));
        let worker = starts.of(&tenant, &name);
        for id in 0..10 {
            worker.event();
            if id == 3 {
                starts.note(&worker, note(StartKind::Cold, id));
            }
        }
        starts.note(&worker, note(StartKind::Prewarmed, 4));
        let expected = StartCounts {
            warm: 8,
            cold: 1,
            prewarmed: 1,
        };
        assert_eq!(starts.all(), [(tenant.clone(), name, expected)]);
        let taken: Vec<_> = [3, 3, 4, 5].map(|id| starts.take(RequestId(id))).into();
        use StartKind::{Cold, Prewarmed, Warm};
        assert_eq!(taken, [Cold, Warm, Prewarmed, Warm]);
        // A dynamic worker's name is not a label.
        starts.of(&tenant, &WorkerName::new("w/x")).event();
        starts.of(&tenant, &WorkerName::new("w/y")).event();
        let dynamic = starts.of(&tenant, &WorkerName::new("v/z")).counts();
        assert_eq!((dynamic.warm, starts.all().len()), (2, 2));
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let starts = Starts::default();
        let worker = WorkerStarts::default();
        for id in 0..RECENT_MAX as u64 + 1 {
            starts.note(&worker, note(StartKind::Cold, id));
        }
        assert_eq!(starts.take(RequestId(0)), StartKind::Warm);
        assert_eq!(starts.take(RequestId(1)), StartKind::Cold);
        assert_eq!(worker.counts().cold, RECENT_MAX as u64 + 1);
    }
}
