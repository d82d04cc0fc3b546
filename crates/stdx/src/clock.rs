//! The wall clock as a value that is passed in, so that expiry and timestamps can be tested without waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Reads the wall clock. Libraries take one of these instead of calling [`SystemTime::now`].
pub trait Clock: Send + Sync + std::fmt::Debug + 'static {
    /// Milliseconds since the Unix epoch, UTC. May go backwards when an operator sets the clock.
    fn now_ms(&self) -> u64;

    /// As [`Clock::now_ms`], some milliseconds late at most, for a third of the price: for what is done for every request.
    fn coarse_ms(&self) -> u64 {
        self.now_ms()
    }

    /// Whole seconds since the Unix epoch, rounded down.
    fn now_secs(&self) -> u64 {
        self.now_ms() / 1000
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        // A clock before 1970 is a broken machine; zero makes everything look unexpired rather than panicking.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64)
    }

    #[cfg(target_os = "linux")]
    fn coarse_ms(&self) -> u64 {
        of_kernel(rustix::time::ClockId::RealtimeCoarse)
    }
}

/// Milliseconds of a clock that never goes backwards, since an unknown moment: as cheap and as late as [`Clock::coarse_ms`]. For
/// deadlines that are far longer.
pub fn coarse_monotonic_ms() -> u64 {
    #[cfg(target_os = "linux")]
    return of_kernel(rustix::time::ClockId::MonotonicCoarse);
    #[cfg(not(target_os = "linux"))]
    {
        static BEGIN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
        BEGIN.elapsed().as_millis() as u64
    }
}

/// A clock of the kernel as its last tick left it, milliseconds.
#[cfg(target_os = "linux")]
fn of_kernel(clock: rustix::time::ClockId) -> u64 {
    let now = rustix::time::clock_gettime(clock);
    // Before 1970 as in `now_ms`.
    u64::try_from(now.tv_sec).map_or(0, |seconds| seconds * 1000 + now.tv_nsec as u64 / 1_000_000)
}

/// A clock that moves only when told to. Clones share the same time.
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    now_ms: Arc<AtomicU64>,
}

impl ManualClock {
    /// Starts at `now_ms` milliseconds since the Unix epoch.
    pub fn new(now_ms: u64) -> Self {
        Self {
            now_ms: Arc::new(AtomicU64::new(now_ms)),
        }
    }

    /// Moves forward by `ms` milliseconds.
    pub fn advance_ms(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Jumps to `now_ms`, backwards too.
    pub fn set_ms(&self, now_ms: u64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_clocks_are_behind_by_little() {
        // A tick is 10 ms at most, unless the machine's host takes the time away: then a later look is on time.
        let on_time = |_| {
            let before = SystemClock.now_ms();
            let coarse = SystemClock.coarse_ms();
            coarse + 20 >= before && coarse <= SystemClock.now_ms()
        };
        assert!((0..1000).any(on_time));
        let begin = coarse_monotonic_ms();
        while coarse_monotonic_ms() == begin {
            std::thread::yield_now();
        }
        assert!(coarse_monotonic_ms() > begin);
        assert_eq!(ManualClock::new(7).coarse_ms(), 7);
    }
}
