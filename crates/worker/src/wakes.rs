//! Wakes that wait for the end of a turn.
//!
//! What an instance gives away in a turn (answers, pieces of bodies) is taken by tasks of other threads. Waking one costs a
//! system call and, where the two share a core, a switch to it and back. In a turn with several events the wakes are
//! gathered and given together: what was given away can be seen at once by whoever looks, only nobody is woken for it yet.
//!
//! A wake waits no longer than the turn, nor much longer than [`HELD_MAX`]: a wake that comes later gives all that wait, and
//! a turn in which none comes is looked at by the watchdog ([`Wakes::holds`], [`Wakes::give`]).

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// When a wake has waited for this long, the next one gives it.
pub const HELD_MAX: Duration = Duration::from_micros(200);

thread_local! {
    /// Where this thread's wakes go; at once where there is none.
    static HERE: RefCell<Option<Arc<Wakes>>> = const { RefCell::new(None) };
    /// When this thread last looked at the clock, until a wake has used that.
    static LOOKED: Cell<Option<Instant>> = const { Cell::new(None) };
}

#[derive(Debug, Default)]
struct Held {
    wakers: Vec<Waker>,
    since: Option<Instant>,
}

/// The wakes that one thread's turns hold back. Written by that thread, looked at by the watchdog's.
#[derive(Debug, Default)]
pub struct Wakes {
    held: Mutex<Held>,
    holds: AtomicBool,
}

impl Wakes {
    /// Runs `turn` on the calling thread and gives its wakes afterwards, also if it panics.
    pub fn during<T>(self: &Arc<Self>, turn: impl FnOnce() -> T) -> T {
        struct Over<'a>(&'a Wakes, Option<Arc<Wakes>>);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                HERE.set(self.1.take());
                LOOKED.set(None);
                self.0.give();
            }
        }
        LOOKED.set(None);
        let before = HERE.replace(Some(self.clone()));
        let _over = Over(self, before);
        turn()
    }

    /// Whether any wait.
    pub fn holds(&self) -> bool {
        self.holds.load(Ordering::Relaxed)
    }

    /// Gives those that wait.
    pub fn give(&self) {
        if !self.holds() {
            return;
        }
        let mut wakers = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            self.holds.store(false, Ordering::Relaxed);
            held.since = None;
            std::mem::take(&mut held.wakers)
        };
        wakers.drain(..).for_each(Waker::wake);
        // The room is kept for the next turn.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.wakers.capacity() == 0 {
            held.wakers = wakers;
        }
    }

    #[inline]
    fn hold(&self, waker: Waker) {
        let overdue = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            // One that waits need not wait twice.
            if !held.wakers.last().is_some_and(|last| last.will_wake(&waker)) {
                held.wakers.push(waker);
            }
            self.holds.store(true, Ordering::Relaxed);
            // As of the event's begin: those that waited through it are given with the next event's wake, or at the turn's end.
            let now = LOOKED.take().unwrap_or_else(Instant::now);
            let since = *held.since.get_or_insert(now);
            now.saturating_duration_since(since) >= HELD_MAX
        };
        if overdue {
            self.give();
        }
    }
}

/// Whether the calling thread is in a turn that gathers its wakes.
pub fn are_gathered() -> bool {
    HERE.with_borrow(Option::is_some)
}

/// Wakes: at the end of the turn, if the calling thread is in one that gathers its wakes; otherwise at once.
#[inline]
pub fn wake(waker: Waker) {
    let waker = HERE.with_borrow(|here| match here {
        Some(wakes) => {
            wakes.hold(waker);
            None
        }
        None => Some(waker),
    });
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The calling thread begins something and has looked at the clock: the next wake counts from `now`, and does not look again.
/// Most events give one wake, and each look costs as much as the rest of it.
#[inline]
pub fn looked(now: Instant) {
    LOOKED.set(Some(now));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counted() -> (Arc<Count>, Waker) {
        let count = Arc::<Count>::default();
        (count.clone(), count.into())
    }

    #[test]
    fn wakes_wait_for_the_end_of_the_turn() {
        let (count, waker) = counted();
        let seen = || count.0.load(Ordering::Relaxed);
        wake(waker.clone());
        assert_eq!(seen(), 1, "outside of a turn");
        let wakes = Arc::<Wakes>::default();
        wakes.during(|| {
            wake(waker.clone());
            // Twice in a row is once.
            wake(waker.clone());
            assert_eq!((seen(), wakes.holds(), are_gathered()), (1, true, true));
        });
        assert_eq!((seen(), wakes.holds(), are_gathered()), (2, false, false));
        wake(waker);
        assert_eq!(seen(), 3);
    }

    #[test]
    fn a_late_wake_and_the_watchdog_give_what_waits() {
        let (count, waker) = counted();
        let seen = || count.0.load(Ordering::Relaxed);
        let wakes = Arc::<Wakes>::default();
        wakes.during(|| {
            wake(waker.clone());
            wakes.give();
            assert_eq!(seen(), 1);
            wake(waker.clone());
            let begin = Instant::now();
            while begin.elapsed() <= HELD_MAX {
                std::hint::spin_loop();
            }
            wake(waker.clone());
            assert_eq!(seen(), 2);
        });
        assert_eq!(seen(), 2);
    }

    #[test]
    fn a_look_at_the_clock_is_used_once_and_ends_with_the_turn() {
        let (count, waker) = counted();
        let seen = || count.0.load(Ordering::Relaxed);
        let wakes = Arc::<Wakes>::default();
        let before = |by: Duration| Instant::now().checked_sub(by).expect("the machine runs for longer");
        wakes.during(|| {
            looked(before(HELD_MAX * 2));
            wake(waker.clone());
            assert_eq!(seen(), 0, "held since then");
            wake(waker.clone());
            assert_eq!(seen(), 1, "now it is overdue");
            looked(before(HELD_MAX * 2));
        });
        wakes.during(|| {
            assert_eq!(LOOKED.get(), None);
            wake(waker.clone());
        });
        assert_eq!(seen(), 2);
    }

    #[test]
    fn a_panic_gives_them() {
        let (count, waker) = counted();
        let wakes = Arc::<Wakes>::default();
        let turn = || {
            wakes.during(|| {
                wake(waker.clone());
                panic!("as a turn may");
            });
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(turn)).is_err());
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        wake(waker);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }
}
