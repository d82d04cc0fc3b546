//! The threads on which an isolate's blocking work runs (key generation, password hashes): what CPU they use.
//!
//! tokio makes them when there is work and ends them after a while without. Each reports at its beginning and its end; in
//! between its clock can be read from any thread.

use crate::sys::{CpuClock, cpu_of_this_thread_ns};
use atoll_worker::HelperClock;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct Threads {
    running: Vec<CpuClock>,
    /// Threads without a clock are counted, no more.
    unknown: usize,
    /// What threads that are gone have used, nanoseconds.
    ended_ns: u64,
}

/// The helpers of one isolate.
#[derive(Debug, Default)]
pub(crate) struct Helpers(Mutex<Threads>);

impl Helpers {
    fn lock(&self) -> MutexGuard<'_, Threads> {
        // Under the lock are field writes and clock reads only.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calling thread is a helper from now on.
    pub(crate) fn begin(&self) {
        let mut threads = self.lock();
        match CpuClock::of_this_thread() {
            Some(clock) => threads.running.push(clock),
            None => threads.unknown += 1,
        }
    }

    /// The calling thread ends.
    pub(crate) fn end(&self) {
        let mut threads = self.lock();
        let own = CpuClock::of_this_thread();
        match threads.running.iter().position(|clock| Some(*clock) == own) {
            Some(at) => {
                threads.running.swap_remove(at);
                threads.ended_ns += cpu_of_this_thread_ns();
            }
            None => threads.unknown = threads.unknown.saturating_sub(1),
        }
    }

    /// Threads that are there.
    pub(crate) fn count(&self) -> usize {
        let threads = self.lock();
        threads.running.len() + threads.unknown
    }
}

impl HelperClock for Helpers {
    fn cpu_ns(&self) -> u64 {
        let threads = self.lock();
        let running = threads.running.iter().filter_map(|clock| clock.read_ns());
        threads.ended_ns + running.sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::sync::{Arc, mpsc};

    #[test]
    fn helpers_are_read_while_they_run_and_count_after_they_ended() {
        let helpers = Arc::new(Helpers::default());
        let own = helpers.clone();
        let (worked, seen) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            own.begin();
            let mut n = 0u64;
            while cpu_of_this_thread_ns() < 3_000_000 {
                n = black_box(n.wrapping_add(1));
            }
            worked.send(()).unwrap();
            wait.recv().unwrap();
            own.end();
        });
        seen.recv().unwrap();
        assert_eq!(helpers.count(), 1);
        let running = helpers.cpu_ns();
        assert!(running >= 3_000_000, "{running}");
        go.send(()).unwrap();
        thread.join().unwrap();
        assert_eq!(helpers.count(), 0);
        assert!(helpers.cpu_ns() >= running);
    }
}
