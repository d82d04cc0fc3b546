//! The way of one answer from an instance to whoever waits for it.
//!
//! ```text
//! owed --send, or the reply is dropped--> answered: taken by the receiver, or by the sink
//! ```
//!
//! - A job is answered exactly once, whoever comes first: its [`Reply`], or a [`ReplyInstead`] of it. A reply that is dropped
//!   answers [`FaultKind::Internal`].
//! - What counts the job counts it until then, also when nobody waits for the answer any more.
//! - A receiver's wake may wait for the end of the instance's turn ([`crate::wakes`]).
//!
//! Both ends are one piece of memory under one lock, which each of them takes once or twice: this is on the way of every request.

use crate::wakes::wake;
use crate::{Fault, FaultKind, Outcome};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What a job becomes.
pub type Answer = Result<Outcome, Fault>;

/// What a job may be counted by: its worker, its tenant.
const COUNTERS: usize = 2;

/// Takes an answer from whichever thread gives it: what a [`Reply`] that is no channel answers to.
pub trait AnswerSink: Send + std::fmt::Debug {
    /// Takes the answer; gives it back if nobody waits for it any more.
    fn answer(self: Box<Self>, answer: Answer) -> Result<(), Answer>;

    /// True once nobody waits for the answer.
    fn is_closed(&self) -> bool;
}

/// Who gets the answer.
#[derive(Debug)]
enum To {
    /// The receiver, if it is still there.
    Receiver,
    Sink(Box<dyn AnswerSink>),
}

#[derive(Debug)]
struct State {
    /// `None` once it is answered.
    to: Option<To>,
    /// Each goes down by one when the job is answered.
    in_flight: [Option<Arc<AtomicU32>>; COUNTERS],
    /// On its way to the receiver.
    answer: Option<Answer>,
    receiver_gone: bool,
    waker: Option<Waker>,
}

type Shared = Arc<Mutex<State>>;

#[inline]
fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    // Every critical section is a few field writes.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers, if nobody has. Gives the answer back if it comes too late, or nobody waits for it any more.
#[inline]
fn send(shared: &Shared, answer: Answer) -> Result<(), Answer> {
    let mut state = lock(shared);
    let Some(to) = state.to.take() else {
        return Err(answer);
    };
    for in_flight in state.in_flight.iter().flatten() {
        in_flight.fetch_sub(1, Ordering::Relaxed);
    }
    match to {
        To::Receiver if state.receiver_gone => return Err(answer),
        To::Receiver => state.answer = Some(answer),
        To::Sink(sink) => {
            drop(state);
            return sink.answer(answer);
        }
    }
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        wake(waker);
    }
    Ok(())
}

/// Answers a job exactly once. Dropped unanswered it answers [`FaultKind::Internal`].
#[derive(Debug)]
pub struct Reply(
    /// `None` only in one that has answered.
    Option<Shared>,
);

/// Answers in a [`Reply`]'s place where whoever has that cannot: its thread does not come back.
#[derive(Debug)]
pub struct ReplyInstead(Shared);

impl ReplyInstead {
    /// Answers, unless the reply has answered.
    pub fn send(&self, answer: Answer) {
        // Nobody waits for it, or has got another one.
        let _ = send(&self.0, answer);
    }

    /// Whether there is nothing to answer any more.
    pub fn is_answered(&self) -> bool {
        lock(&self.0).to.is_none()
    }
}

impl Reply {
    #[inline]
    fn new(to: To) -> (Self, Shared) {
        let shared = Arc::new(Mutex::new(State {
            to: Some(to),
            in_flight: [const { None }; COUNTERS],
            answer: None,
            receiver_gone: false,
            waker: None,
        }));
        (Self(Some(shared.clone())), shared)
    }

    /// A reply and the receiver of its answer.
    #[inline]
    pub fn channel() -> (Self, AnswerReceiver) {
        let (reply, shared) = Self::new(To::Receiver);
        (reply, AnswerReceiver { shared, taken: false })
    }

    /// A reply that calls `sink`.
    pub fn to(sink: Box<dyn AnswerSink>) -> Self {
        Self::new(To::Sink(sink)).0
    }

    /// As [`Reply::channel`], for a job that the counters (at most two count) count already: they go down by one with the
    /// answer, also when the receiver is long gone.
    pub fn counted(in_flight: &[&Arc<AtomicU32>]) -> (Self, AnswerReceiver) {
        let (reply, rx) = Self::channel();
        reply.count(in_flight);
        (reply, rx)
    }

    /// Has the counters (at most two), which count the job already, go down by one with the answer.
    #[inline]
    pub fn count(&self, in_flight: &[&Arc<AtomicU32>]) {
        let Some(shared) = &self.0 else { return };
        let mut state = lock(shared);
        if state.to.is_some() {
            for (place, counter) in state.in_flight.iter_mut().zip(in_flight) {
                *place = Some(Arc::clone(counter));
            }
        }
    }

    /// Whether the job was answered by another way.
    pub fn is_answered(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| lock(shared).to.is_none())
    }

    /// Another way to answer the same job; `None` of one that has answered.
    pub fn instead(&self) -> Option<ReplyInstead> {
        self.0.clone().map(ReplyInstead)
    }

    /// Answers. Gives the outcome back if nobody waits for it any more.
    #[inline]
    pub fn send(mut self, answer: Answer) -> Result<(), Answer> {
        match self.0.take() {
            Some(shared) => send(&shared, answer),
            None => Err(answer),
        }
    }

    /// True once nobody waits for the answer.
    #[inline]
    pub fn is_closed(&self) -> bool {
        let Some(shared) = &self.0 else { return true };
        let state = lock(shared);
        match &state.to {
            Some(To::Receiver) => state.receiver_gone,
            Some(To::Sink(sink)) => sink.is_closed(),
            None => true,
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take().filter(|shared| lock(shared).to.is_some()) {
            let fault = Fault::new(FaultKind::Internal, "the worker's isolate went away before it answered");
            // Nobody waits for it, or has got another one.
            let _ = send(&shared, Err(fault));
        }
    }
}

/// Where the answer comes out, once. Dropping it does not stop the job.
#[derive(Debug)]
pub struct AnswerReceiver {
    shared: Shared,
    taken: bool,
}

impl Future for AnswerReceiver {
    type Output = Answer;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        debug_assert!(!self.taken, "the answer came out already");
        let mut state = lock(&self.shared);
        if state.answer.is_some()
            && let Some(answer) = state.answer.take()
        {
            drop(state);
            self.taken = true;
            return Poll::Ready(answer);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for AnswerReceiver {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        let unread = {
            let mut state = lock(&self.shared);
            state.receiver_gone = true;
            (state.answer.take(), state.waker.take())
        };
        drop(unread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn answer() -> Answer {
        Ok(Outcome::Test)
    }

    #[tokio::test]
    async fn an_answer_arrives_once_whoever_comes_first() {
        let (reply, mut rx) = Reply::channel();
        assert!((&mut rx).now_or_never().is_none());
        reply.send(answer()).unwrap();
        assert!(matches!(rx.await, Ok(Outcome::Test)));
        let (reply, rx) = Reply::channel();
        let waiting = tokio::spawn(rx);
        tokio::task::yield_now().await;
        reply.send(answer()).unwrap();
        assert!(matches!(waiting.await.unwrap(), Ok(Outcome::Test)));
    }

    #[test]
    fn each_side_sees_the_other_go() {
        let (reply, rx) = Reply::channel();
        assert!(!reply.is_closed());
        drop(rx);
        assert!(reply.is_closed() && !reply.is_answered());
        assert!(reply.send(answer()).is_err());
        let (reply, rx) = Reply::channel();
        drop(reply);
        let fault = rx.now_or_never().unwrap().unwrap_err();
        assert_eq!(fault.kind, FaultKind::Internal);
    }

    #[test]
    fn who_comes_second_is_too_late_and_a_job_is_counted_down_once() {
        let count = Arc::new(AtomicU32::new(2));
        let (reply, rx) = Reply::counted(&[&count]);
        let instead = reply.instead().unwrap();
        assert!(!instead.is_answered() && !reply.is_answered());
        instead.send(answer());
        assert!(instead.is_answered() && reply.is_answered() && reply.is_closed());
        assert!(reply.send(Err(Fault::new(FaultKind::Canceled, "late"))).is_err());
        instead.send(Err(Fault::new(FaultKind::Canceled, "late")));
        assert!(matches!(rx.now_or_never(), Some(Ok(Outcome::Test))));
        assert_eq!(count.load(Ordering::Relaxed), 1);
        // Also when nobody waits.
        let (reply, rx) = Reply::counted(&[&count]);
        drop(rx);
        drop(reply);
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }
}
