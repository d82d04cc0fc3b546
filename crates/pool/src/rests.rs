//! Idle isolates give memory back one after the other. Each collects all its garbage in a turn of its own, which takes milliseconds
//! and a run permit: those that became idle together would keep whoever comes behind all of them.
//!
//! Invariant: at most one that was told has not rested yet, but for one that takes longer than [`RESTS_WITHIN`].

use crate::options::REST_AFTER;
use crate::slot::Slot;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// One that was told and has not rested after this has work again, or no permit: the next is told.
const RESTS_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct State {
    /// Slots with isolates that should rest.
    due: VecDeque<Weak<Slot>>,
    /// When the one was told that has not rested yet.
    told: Option<Instant>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Rests {
    state: Mutex<State>,
}

impl Rests {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Under the lock are field writes only.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks anew which of `slots` have isolates that should rest.
    pub(crate) fn find(&self, slots: &[Arc<Slot>]) {
        let due = slots.iter().filter(|slot| slot.rest_is_due(REST_AFTER));
        let due = due.map(Arc::downgrade).collect();
        self.lock().due = due;
    }

    pub(crate) fn some_are_due(&self) -> bool {
        !self.lock().due.is_empty()
    }

    /// Tells the next one, if nobody else is at it.
    pub(crate) fn next(&self, now: Instant) {
        loop {
            let slot = {
                let mut state = self.lock();
                let waits = state
                    .told
                    .is_some_and(|told| now.saturating_duration_since(told) < RESTS_WITHIN);
                if waits {
                    return;
                }
                state.told = None;
                let Some(slot) = state.due.pop_front() else { return };
                // Before it is told: it may be over at once.
                state.told = Some(now);
                slot
            };
            let (told, more) = slot.upgrade().map_or((false, false), |slot| slot.rest_one(REST_AFTER));
            if more {
                self.lock().due.push_back(slot);
            }
            if told {
                return;
            }
            self.is_over();
        }
    }

    /// The one that was told has rested.
    pub(crate) fn is_over(&self) {
        self.lock().told = None;
    }
}
