//! Events in flight of an account, over all its workers and their versions, wherever they run: one more than it may have is refused.
//!
//! An event counts until it is answered. A call of another worker of the same account is an event of its own.

use crate::logs::LogHub;
use atoll_model::{Limit, TenantId};
use atoll_worker::{Fault, FaultKind};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// All accounts that have a version running.
#[derive(Default)]
pub(crate) struct Crowds {
    accounts: Mutex<HashMap<TenantId, Weak<Crowd>>>,
}

/// One account's.
pub(crate) struct Crowd {
    in_flight: AtomicU32,
    max: AtomicU32,
    logs: Arc<LogHub>,
}

/// An event in flight.
pub(crate) struct Inside(Arc<Crowd>);

impl Crowds {
    /// The account's, which may have this many in flight from now on.
    pub(crate) fn of(&self, account: &TenantId, max: u32, logs: &Arc<LogHub>) -> Arc<Crowd> {
        // Map operations only: a panic elsewhere cannot leave them half-done.
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = accounts.get(account).and_then(Weak::upgrade) {
            known.max.store(max, Ordering::Relaxed);
            return known;
        }
        accounts.retain(|_, crowd| crowd.strong_count() > 0);
        let crowd = Arc::new(Crowd {
            in_flight: AtomicU32::new(0),
            max: AtomicU32::new(max),
            logs: logs.clone(),
        });
        accounts.insert(account.clone(), Arc::downgrade(&crowd));
        crowd
    }
}

impl Crowd {
    /// One more, until what is returned is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Inside, Fault> {
        let max = self.max.load(Ordering::Relaxed);
        // Counted before it is looked at: of two at a time only one is the last.
        let inside = Inside(self.clone());
        if self.in_flight.fetch_add(1, Ordering::Relaxed) < max {
            return Ok(inside);
        }
        drop(inside);
        self.logs.limits().count(Limit::TenantInFlight);
        let text = format!("{max} events are in flight for this account's workers already");
        Err(Fault::limit(
            FaultKind::Overloaded,
            Limit::TenantInFlight,
            max.into(),
            &text,
        ))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_is_refused_until_another_ends() {
        let (crowds, logs) = (Crowds::default(), LogHub::new());
        let (one, other) = (TenantId::new("a"), TenantId::new("b"));
        let crowd = crowds.of(&one, 2, &logs);
        let (first, _second) = (crowd.enter().ok().unwrap(), crowd.enter().ok().unwrap());
        // Another version of another worker, of the same account.
        let same = crowds.of(&one, 2, &logs);
        let fault = same.enter().err().unwrap();
        assert_eq!(fault.kind, FaultKind::Overloaded);
        let hit = fault.limit.unwrap();
        assert_eq!((hit.limit, hit.value), (Limit::TenantInFlight, 2));
        assert!(crowds.of(&other, 2, &logs).enter().is_ok());
        drop(first);
        let _third = same.enter().ok().unwrap();
        assert!(same.enter().is_err());
        // The account may have more from now on.
        assert!(crowds.of(&one, 3, &logs).enter().is_ok());
    }
}
