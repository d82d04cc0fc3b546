//! The way of one answer from an instance to the task that waits for it.
//!
//! A channel for one value. Unlike a general one its wake may wait for the end of the instance's turn ([`crate::wakes`]).

use crate::wakes::wake;
use crate::{Fault, Outcome};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What a job becomes.
pub type Answer = Result<Outcome, Fault>;

/// The sender went away without an answer. Who has a [`crate::Reply`] never sees this: one that is dropped answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the job was lost")]
pub struct Lost;

#[derive(Debug, Default)]
struct Shared {
    answer: Option<Answer>,
    /// The sender is gone, with or without an answer.
    sent: bool,
    receiver_gone: bool,
    waker: Option<Waker>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Every critical section is a few field writes.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the answer is put.
#[derive(Debug)]
pub(crate) struct AnswerSender(Arc<Mutex<Shared>>);

/// Where the answer comes out. Dropping it does not stop the job.
#[derive(Debug)]
pub struct AnswerReceiver(Arc<Mutex<Shared>>);

pub(crate) fn channel() -> (AnswerSender, AnswerReceiver) {
    let shared = Arc::<Mutex<Shared>>::default();
    (AnswerSender(shared.clone()), AnswerReceiver(shared))
}

impl AnswerSender {
    /// Gives the answer back if nobody waits for it any more.
    pub(crate) fn send(self, answer: Answer) -> Result<(), Answer> {
        let mut shared = lock(&self.0);
        if shared.receiver_gone {
            return Err(answer);
        }
        shared.answer = Some(answer);
        Ok(())
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.0).receiver_gone
    }
}

impl Drop for AnswerSender {
    fn drop(&mut self) {
        let waker = {
            let mut shared = lock(&self.0);
            shared.sent = true;
            shared.waker.take()
        };
        if let Some(waker) = waker {
            wake(waker);
        }
    }
}

impl Future for AnswerReceiver {
    type Output = Result<Answer, Lost>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut shared = lock(&self.0);
        if shared.answer.is_some()
            && let Some(answer) = shared.answer.take()
        {
            return Poll::Ready(Ok(answer));
        }
        if shared.sent {
            return Poll::Ready(Err(Lost));
        }
        match &mut shared.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for AnswerReceiver {
    fn drop(&mut self) {
        let unread = {
            let mut shared = lock(&self.0);
            shared.receiver_gone = true;
            // Mostly it has been read, and is too large to be moved for nothing.
            let answer = match shared.answer {
                None => None,
                Some(_) => shared.answer.take(),
            };
            (answer, shared.waker.take())
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
        let (tx, mut rx) = channel();
        assert!((&mut rx).now_or_never().is_none());
        tx.send(answer()).unwrap();
        assert!(matches!(rx.await, Ok(Ok(Outcome::Test))));
        let (tx, rx) = channel();
        let waiting = tokio::spawn(rx);
        tokio::task::yield_now().await;
        tx.send(answer()).unwrap();
        assert!(matches!(waiting.await.unwrap(), Ok(Ok(Outcome::Test))));
    }

    #[test]
    fn each_side_sees_the_other_go() {
        let (tx, rx) = channel();
        assert!(!tx.is_closed());
        drop(rx);
        assert!(tx.is_closed());
        assert!(tx.send(answer()).is_err());
        let (tx, rx) = channel();
        drop(tx);
        assert!(matches!(rx.now_or_never(), Some(Err(Lost))));
    }
}
