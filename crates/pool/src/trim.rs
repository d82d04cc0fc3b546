//! Memory that a broken isolate leaves behind goes back to the system.
//!
//! The C library keeps what is freed below a block that is still in use, 64 MiB at a time, and with large blocks it learns to keep
//! more: after a worker that filled its buffers, 440 MiB of its 500 stayed the process's. Here it is asked to give back every free page,
//! once an isolate broke.
//!
//! That takes each of the library's arenas for a moment, so it is done at most once in [`PAUSE`], by the thread of an isolate that ended
//! anyway; whoever breaks meanwhile is served by the next time. Nothing fails here: without it the memory is used again by others.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two times.
const PAUSE: Duration = Duration::from_secs(1);

/// Who asks, and when it was done last.
struct Trim {
    wanted: AtomicBool,
    last: Mutex<Option<Instant>>,
}

static TRIM: Trim = Trim::new();

/// Gives free memory back to the system, on a thread that has nothing else to do: it may sleep for [`PAUSE`].
pub(crate) fn after_a_broken_isolate() {
    TRIM.run(PAUSE, give_back);
}

impl Trim {
    const fn new() -> Self {
        Self {
            wanted: AtomicBool::new(false),
            last: Mutex::new(None),
        }
    }

    /// Has `work` run after this call began, by this thread or by the one that is at it, and `pause` after it ran last.
    fn run(&self, pause: Duration, work: impl Fn()) {
        self.wanted.store(true, Ordering::SeqCst);
        // Who has the lock looks again after letting go of it.
        while self.wanted.load(Ordering::SeqCst) {
            let Ok(mut last) = self.last.try_lock() else {
                return;
            };
            if let Some(at) = *last {
                sleep(pause.saturating_sub(at.elapsed()));
            }
            if self.wanted.swap(false, Ordering::SeqCst) {
                work();
            }
            *last = Some(Instant::now());
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_back() {
    // SAFETY: it may be called at any time, from any thread.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

#[cfg(test)]
mod tests {
    use super::Trim;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Barrier, mpsc};
    use std::time::Duration;

    #[test]
    fn those_who_ask_meanwhile_are_served_once_by_who_is_at_it() {
        let trim = Trim::new();
        let times = AtomicUsize::new(0);
        let (inside, go_on) = (Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                trim.run(Duration::ZERO, || {
                    if times.fetch_add(1, Ordering::SeqCst) == 0 {
                        inside.wait();
                        go_on.wait();
                    }
                });
            });
            inside.wait();
            let (returned, returns) = mpsc::channel();
            for _ in 0..3 {
                let returned = returned.clone();
                let trim = &trim;
                scope.spawn(move || {
                    trim.run(Duration::ZERO, || unreachable!("another thread is at it"));
                    returned.send(()).unwrap();
                });
            }
            (0..3).for_each(|_| returns.recv().unwrap());
            assert_eq!(times.load(Ordering::SeqCst), 1);
            go_on.wait();
        });
        assert_eq!(times.load(Ordering::SeqCst), 2);
        trim.run(Duration::ZERO, || {
            times.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(times.load(Ordering::SeqCst), 3);
    }
}
