//! Waits beside a connection: the listener's stop, a deadline. The connection's task is woken for every request, and these
//! hardly ever; so they are asked again only when they may be over.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::task::coop;

/// What is known of one wait.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// Whom it wakes when it is over.
    registered: Option<Waker>,
}

impl Beside {
    /// Polls the wait, unless it will wake this task and, as `may_be_over` says, is not over.
    pub(crate) fn poll<F: Future>(
        &mut self,
        wait: Pin<&mut F>,
        may_be_over: bool,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let registered = self.registered.as_ref();
        if !may_be_over && registered.is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        let polled = wait.poll(cx);
        // What finds the task's budget spent has it polled again, and has registered nothing.
        let registered = polled.is_pending() && coop::has_budget_remaining();
        self.registered = registered.then(|| cx.waker().clone());
        polled
    }

    /// It waits for something else from now on.
    pub(crate) fn begins_anew(&mut self) {
        self.registered = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::Wake;

    /// Whoever waits. Wakers of one are known by their address; those that the libraries have for nobody need not be.
    struct Waiter;

    impl Wake for Waiter {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn a_wait_is_asked_again_when_it_may_be_over_or_another_waits() {
        let mut asked = 0;
        let mut wait = pin!(poll_fn(|_| {
            asked += 1;
            if asked < 4 { Poll::Pending } else { Poll::Ready(()) }
        }));
        let mut beside = Beside::default();
        let wakers = [Waker::from(Arc::new(Waiter)), Waker::from(Arc::new(Waiter))];
        let mut one = Context::from_waker(&wakers[0]);
        let mut other = Context::from_waker(&wakers[1]);
        for _ in 0..3 {
            assert!(beside.poll(wait.as_mut(), false, &mut one).is_pending());
        }
        assert!(beside.poll(wait.as_mut(), false, &mut other).is_pending());
        beside.begins_anew();
        assert!(beside.poll(wait.as_mut(), false, &mut other).is_pending());
        assert!(beside.poll(wait.as_mut(), false, &mut other).is_pending());
        assert!(beside.poll(wait.as_mut(), true, &mut other).is_ready());
        assert_eq!(asked, 4);
    }
}
