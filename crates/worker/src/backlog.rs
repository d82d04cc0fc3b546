//! How much waits in one direction of a queue of messages, and who wants to know when it becomes less.
//!
//! One waker is kept, of whoever asked last: a producer has one place that waits.

use futures_util::task::AtomicWaker;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// What a message costs beside its bytes, so that a flood of empty ones counts too.
pub(crate) const MESSAGE_COST_BYTES: usize = 64;

/// What waits.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: AtomicUsize,
    /// The bytes and each message's own cost.
    cost: AtomicUsize,
    /// Wake when the cost is less than this.
    below: AtomicUsize,
    waker: AtomicWaker,
}

impl Backlog {
    /// A message of `bytes` is queued.
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.cost.fetch_add(bytes + MESSAGE_COST_BYTES, Ordering::SeqCst);
    }

    /// A message of `bytes` was taken.
    pub(crate) fn take(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        let cost = bytes + MESSAGE_COST_BYTES;
        let left = self.cost.fetch_sub(cost, Ordering::SeqCst).saturating_sub(cost);
        if left < self.below.load(Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    /// The consumer went away.
    pub(crate) fn gone(&self) {
        self.waker.wake();
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn cost(&self) -> usize {
        self.cost.load(Ordering::SeqCst)
    }

    /// Until the cost is less than `cost` or `closed` says yes. With zero only the latter counts.
    pub(crate) fn poll_below(&self, cost: usize, closed: impl Fn() -> bool, cx: &mut Context<'_>) -> Poll<()> {
        // Registered before the look, so that a message taken in between is not missed.
        self.below.store(cost, Ordering::SeqCst);
        self.waker.register(cx.waker());
        if self.cost() < cost || closed() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
