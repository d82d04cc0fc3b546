//! What the pool asks of the kernel: a thread's CPU clock and its priority. Linux.

use std::fmt;
use std::mem::MaybeUninit;

/// The CPU clock of one thread, readable from any thread while that one lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuClock(libc::clockid_t);

impl CpuClock {
    /// The calling thread's.
    pub(crate) fn of_this_thread() -> Option<Self> {
        let mut clock = MaybeUninit::uninit();
        // SAFETY: `pthread_self` is always valid for the caller, and `clock` is a place for one clock id.
        let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), clock.as_mut_ptr()) };
        // SAFETY: a result of zero says that the id was written.
        (failed == 0).then(|| Self(unsafe { clock.assume_init() }))
    }

    /// CPU the thread has used, nanoseconds; `None` once it is gone. A system call (half a microsecond).
    pub(crate) fn read_ns(self) -> Option<u64> {
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: `time` is a place for one timespec; a clock id of a dead thread is refused, not undefined.
        let failed = unsafe { libc::clock_gettime(self.0, time.as_mut_ptr()) };
        if failed != 0 {
            return None;
        }
        // SAFETY: a result of zero says that the time was written.
        let time = unsafe { time.assume_init() };
        Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }
}

/// CPU the calling thread has used, nanoseconds.
pub(crate) fn cpu_of_this_thread_ns() -> u64 {
    CpuClock(libc::CLOCK_THREAD_CPUTIME_ID).read_ns().unwrap_or(0)
}

/// The calling thread is scheduled as others are, but waking it no longer takes the CPU from whoever runs: an I/O thread
/// that hands over one request goes on to the next, and those that came meanwhile make one turn. Where the system does not
/// allow it, nothing is different but the figures.
pub fn wake_without_preempting() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and `parameters` is read only during the call. The policy needs no privilege.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) } != 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), "the thread keeps the scheduling policy of the process");
    }
}

/// Names the calling thread, as far as a name goes (15 bytes). For those who look at a process.
pub(crate) fn name_this_thread(name: &str) {
    let mut bytes = [0_u8; 16];
    let kept = name.bytes().filter(|byte| *byte != 0).take(bytes.len() - 1);
    for (place, byte) in bytes.iter_mut().zip(kept) {
        *place = byte;
    }
    // SAFETY: the kernel reads at most sixteen bytes up to a zero, which is there.
    unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr()) };
}

/// A kernel thread id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadId(libc::pid_t);

impl ThreadId {
    /// The calling thread's.
    pub(crate) fn of_this_thread() -> Self {
        // SAFETY: takes nothing and cannot fail.
        Self(unsafe { libc::gettid() })
    }
}

/// Lowers and restores threads' priorities. Injected, because restoring needs a privilege that tests may have.
pub trait Priority: fmt::Debug + Send + Sync + 'static {
    /// Lets others go first. False if the system refused.
    fn lower(&self, thread: ThreadId) -> bool;
    /// Undoes [`Priority::lower`]. False if the system refused, as it does without `CAP_SYS_NICE`.
    fn restore(&self, thread: ThreadId) -> bool;
}

/// How many nice levels a demoted thread is lowered.
pub const DEMOTION_NICE: i32 = 10;

/// The kernel's nice levels: a thread [`DEMOTION_NICE`] below the process's own weighs about a tenth.
#[derive(Debug)]
pub struct NicePriority {
    base: i32,
}

impl NicePriority {
    /// Levels relative to that of the calling thread.
    pub fn new() -> Self {
        // SAFETY: reads a number. -1 may be a level or an error; both serve as a level.
        let base = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        Self { base }
    }

    fn set(thread: ThreadId, nice: i32) -> bool {
        // SAFETY: plain numbers. On Linux PRIO_PROCESS with a thread id acts on that thread alone. A thread that is gone
        // is an error; the id of one of this process's threads cannot have passed to another process's while its
        // isolate is registered.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, thread.0 as libc::id_t, nice) == 0 }
    }
}

impl Default for NicePriority {
    fn default() -> Self {
        Self::new()
    }
}

impl Priority for NicePriority {
    fn lower(&self, thread: ThreadId) -> bool {
        Self::set(thread, (self.base + DEMOTION_NICE).min(19))
    }

    fn restore(&self, thread: ThreadId) -> bool {
        Self::set(thread, self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn the_cpu_clock_counts_work_and_ends_with_its_thread() {
        let (clock, used) = std::thread::spawn(|| {
            let clock = CpuClock::of_this_thread().unwrap();
            let before = clock.read_ns().unwrap();
            let mut n = 0u64;
            while clock.read_ns().unwrap() < before + 1_000_000 {
                n = black_box(n.wrapping_add(1));
            }
            (clock, clock.read_ns().unwrap())
        })
        .join()
        .unwrap();
        assert!(used >= 1_000_000);
        // The kernel says that a thread has ended a moment before it forgets its number.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while clock.read_ns().is_some() {
            assert!(
                std::time::Instant::now() < deadline,
                "the clock of a thread that ended goes on"
            );
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_thread_can_be_lowered_by_another() {
        let priority = NicePriority::new();
        let nice = || {
            // SAFETY: reads a number.
            unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
        };
        let base = nice();
        let lowered = std::thread::spawn(move || {
            let own = ThreadId::of_this_thread();
            let ok = std::thread::spawn(move || priority.lower(own)).join().unwrap();
            (ok, nice())
        })
        .join()
        .unwrap();
        assert_eq!(lowered, (true, (base + DEMOTION_NICE).min(19)));
        assert_eq!(nice(), base);
    }
}
