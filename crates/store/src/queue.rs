//! Work for the store's own threads: a queue between async callers and blocking consumers.
//!
//! It holds no more than its callers let it (the committer's callers hold permits, the readers' callers ask
//! [`WorkQueue::push`] with a bound). Once closed it takes nothing new; consumers still get what it holds.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};

#[derive(Debug)]
pub(crate) struct WorkQueue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// Why an item was not taken; the item goes back to its owner.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused<T> {
    Full(T),
    Closed(T),
}

impl<T> WorkQueue<T> {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                closed: false,
            }),
            ready: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // No code runs under the lock that can panic half way through a change.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Queues `item` if fewer than `limit` are waiting.
    pub(crate) fn push(&self, item: T, limit: usize) -> Result<(), Refused<T>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed(item));
        }
        if state.items.len() >= limit {
            return Err(Refused::Full(item));
        }
        state.items.push_back(item);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Blocks until there is an item; `None` once the queue is closed and empty.
    pub(crate) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                return Some(item);
            }
            if state.closed {
                return None;
            }
            state = self
                .ready
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Blocks until there is an item, then takes as many as are there while the sum of their weights stays below `limit`;
    /// always at least one. Empty once the queue is closed and empty.
    pub(crate) fn pop_group(&self, limit: usize, weight: impl Fn(&T) -> usize) -> Vec<T> {
        let Some(first) = self.pop() else { return Vec::new() };
        let mut sum = weight(&first);
        let mut group = vec![first];
        let mut state = self.lock();
        while let Some(next) = state.items.front() {
            sum += weight(next);
            if sum > limit {
                break;
            }
            group.extend(state.items.pop_front());
        }
        group
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_bounded_and_what_is_queued_survives_the_closing() {
        let queue = WorkQueue::new();
        for weight in [5, 3, 3, 50, 1] {
            queue.push(weight, 5).unwrap();
        }
        assert_eq!(queue.push(1, 5), Err(Refused::Full(1)));
        queue.close();
        assert_eq!(queue.push(1, 9), Err(Refused::Closed(1)));
        let group = || queue.pop_group(10, |weight| *weight);
        assert_eq!(group(), [5, 3]);
        assert_eq!(group(), [3]);
        assert_eq!(group(), [50]);
        assert_eq!(group(), [1]);
        assert_eq!(group(), [0; 0]);
        assert_eq!(queue.pop(), None);
    }
}
