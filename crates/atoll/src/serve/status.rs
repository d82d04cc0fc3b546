//! Whether this process should get requests, and why not.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Readiness. A process is alive as long as it can say so.
#[derive(Debug)]
pub(crate) struct Status {
    /// Why it is not ready; `None` if it is.
    unready: Mutex<Option<Cow<'static, str>>>,
    reloaded: AtomicU64,
    reloads_failed: AtomicU64,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            unready: Mutex::new(Some("starting".into())),
            reloaded: AtomicU64::new(0),
            reloads_failed: AtomicU64::new(0),
        }
    }
}

impl Status {
    fn lock(&self) -> MutexGuard<'_, Option<Cow<'static, str>>> {
        self.unready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it is not ready; `None` if it is.
    pub(crate) fn unready(&self) -> Option<Cow<'static, str>> {
        self.lock().clone()
    }

    pub(crate) fn ready(&self) {
        *self.lock() = None;
    }

    pub(crate) fn not_ready(&self, why: impl Into<Cow<'static, str>>) {
        *self.lock() = Some(why.into());
    }

    /// Counts a deployment after the first.
    pub(crate) fn reloaded(&self, ok: bool) {
        let count = if ok { &self.reloaded } else { &self.reloads_failed };
        count.fetch_add(1, Relaxed);
    }

    /// Reloads that worked, and that failed.
    pub(crate) fn reloads(&self) -> (u64, u64) {
        (self.reloaded.load(Relaxed), self.reloads_failed.load(Relaxed))
    }
}
