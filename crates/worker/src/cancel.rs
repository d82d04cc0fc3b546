//! Whoever asked went away.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    /// Made for the first one who waits.
    token: OnceLock<CancellationToken>,
}

/// Says once, to all that have it, that nobody waits for an event any more.
///
/// Every request has one, and hardly any is waited for: until then it is a flag, whose copies cost nothing. A
/// [`CancellationToken`] takes a lock for each copy, each look and each end.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Inner>);

impl Cancel {
    /// One that is not cancelled.
    #[inline]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says so. Again is no different.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        // Either this sees the token that `token` has made, or that one sees the flag.
        fence(Ordering::SeqCst);
        if let Some(token) = self.0.token.get() {
            token.cancel();
        }
    }

    /// Whether it has been said.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        let inner = &*self.0;
        inner.cancelled.load(Ordering::Acquire) || inner.token.get().is_some_and(CancellationToken::is_cancelled)
    }

    /// The same as a token: either is cancelled with the other.
    pub fn token(&self) -> &CancellationToken {
        let token = self.0.token.get_or_init(CancellationToken::new);
        fence(Ordering::SeqCst);
        if self.0.cancelled.load(Ordering::Acquire) {
            token.cancel();
        }
        token
    }

    /// Waits until it is said.
    pub async fn cancelled(&self) {
        self.token().cancelled().await;
    }
}

impl From<CancellationToken> for Cancel {
    fn from(token: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            cancelled: AtomicBool::new(false),
            token: OnceLock::from(token),
        }))
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn it_is_said_to_all_before_and_after() {
        let cancel = Cancel::new();
        let other = cancel.clone();
        assert!(!other.is_cancelled() && other.cancelled().now_or_never().is_none());
        cancel.cancel();
        cancel.cancel();
        assert!(other.is_cancelled() && other.token().is_cancelled());
        assert!(cancel.cancelled().now_or_never().is_some());
        let unseen = Cancel::new();
        unseen.cancel();
        assert!(unseen.cancelled().now_or_never().is_some());
    }

    #[test]
    fn a_token_and_its_cancel_are_cancelled_with_each_other() {
        let token = CancellationToken::new();
        let cancel = Cancel::from(token.child_token());
        token.cancel();
        assert!(cancel.is_cancelled() && format!("{cancel:?}") == "Cancel(true)");
        let token = CancellationToken::new();
        Cancel::from(token.clone()).cancel();
        assert!(token.is_cancelled());
    }

    #[test]
    fn who_begins_to_wait_meanwhile_is_told() {
        for _ in 0..300 {
            let (cancel, both) = (Cancel::new(), std::sync::Barrier::new(2));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    both.wait();
                    cancel.cancel();
                });
                both.wait();
                // Not before the one or the other has looked again.
                let token = cancel.token().clone();
                while !token.is_cancelled() {
                    std::hint::spin_loop();
                }
            });
        }
    }
}
