//! Holds a child to its limits without its word: what it burns and how much memory it has, the kernel says.
//!
//! In an honest child each event ends by its own limits, at their sharp values. A child that was taken over, or whose own
//! watch is stuck, ends here. What its process burned is held against what its events may use:
//!
//! ```text
//! for every moment t0 so far: burned(t0 .. now) <= what was open at t0 + what was opened since + a share of the wall time
//! ```
//!
//! An event is open until it is answered and its `waitUntil` must be over; it is worth its CPU limit and the start of an
//! isolate. The engine's own threads (compiler, garbage) are known, because they were there before any foreign code; what they
//! burn is not counted, as long as all threads together burn no more than four times what events may.
//!
//! The bound is one for all events of a child: among many others' open events one that burns alone stays within the sum, and
//! the child's own watch is what ends it. It is never too strict: no honest child ends here.

use super::child::Child;
use atoll_link::{SlotMeter, segment};
use atoll_model::{Limit, Limits};
use atoll_worker::{Fault, FaultKind};
use std::collections::{HashMap, VecDeque};
use std::fs;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Between two looks at a child with open events, and at one without.
const LOOK_BUSY: Duration = Duration::from_millis(50);
const LOOK_IDLE: Duration = Duration::from_millis(500);
/// CPU beyond what events account for, milliseconds: a child ends what it can end within a quarter of this.
const GRACE_MS: i64 = 1_000;
/// The same where the engine's threads are counted, too.
const GRACE_OF_ALL_MS: i64 = 2_000;
/// How much of what events may use all threads together may burn.
const ALL: i64 = 4;
/// CPU that a child may use for itself (isolates that are made ahead or put away, garbage): one part in so many of the wall
/// time.
const OWN_SHARE: u32 = 50;
/// Hundredths of a second: the unit of `/proc/PID/stat`, on every architecture (`USER_HZ`).
const TICK_MS: i64 = 10;
/// How fine the time of answers is kept.
const LINGER_STEP: Duration = Duration::from_secs(1);

/// What bounds a child's memory, if nothing else has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Most resident bytes.
    pub(super) bytes: u64,
}

/// The process whose threads run workers: that of `started`, or the first of the pid namespace that it made.
pub(super) fn inner_process(started: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{started}/task/{started}/children")).unwrap_or_default();
    let first = children.split_ascii_whitespace().next();
    first.and_then(|id| id.parse().ok()).unwrap_or(started)
}

/// Looks at `child`, whose process was made ready just now, until it is over.
pub(super) async fn hold(child: Weak<Child>, process: u32, memory: Memory) {
    let engine = threads(process);
    let (mut ledger, mut of_all) = (Ledger::new(GRACE_MS), Ledger::new(GRACE_OF_ALL_MS));
    let mut slots: HashMap<u64, Account> = HashMap::new();
    // What versions that are no more were granted.
    let mut past_ms = 0_i64;
    let began = Instant::now();
    let base_ms = cpu_ms(&format!("/proc/{process}/stat")).unwrap_or_default();
    let engine_ms = || -> i64 {
        let of = |thread: &u32| cpu_ms(&format!("/proc/{process}/task/{thread}/stat"));
        engine.iter().filter_map(of).sum()
    };
    let engine_base_ms = engine_ms();
    loop {
        let Some(held) = child.upgrade().filter(|child| !child.is_over()) else {
            return;
        };
        let running = held.meters();
        for (number, limits, meter) in &running {
            slots
                .entry(*number)
                .or_insert_with(|| Account::new(limits, meter.clone()));
        }
        let now = Instant::now();
        let past_before_ms = past_ms;
        let (mut granted_ms, mut open_ms, mut most, mut busy) = (0, 0, 0, false);
        slots.retain(|number, account| {
            let (open, answered) = account.look(now);
            busy |= open > 0;
            let granted = account.worth_ms.saturating_mul(account.submitted as i64);
            granted_ms += granted;
            open_ms += account.worth_ms.saturating_mul((open + answered) as i64);
            if open > 0 {
                most = most.max(account.cpu_ms);
            }
            let done = open + answered == 0 && !running.iter().any(|(known, ..)| known == number);
            if done {
                past_ms += granted;
            }
            !done
        });
        granted_ms += past_before_ms;
        // Without the process there is nothing to hold.
        let Some(burned_ms) = cpu_ms(&format!("/proc/{process}/stat")) else {
            return;
        };
        let own_ms = i64::try_from((now.duration_since(began) / OWN_SHARE).as_millis()).unwrap_or(i64::MAX);
        let balance_ms = burned_ms - base_ms - granted_ms - own_ms;
        let of_all_ms = balance_ms - (ALL - 1) * granted_ms;
        // The engine's threads are read only when it matters.
        let exceeded = of_all.exceeded(of_all_ms)
            || (ledger.exceeded(balance_ms) && ledger.exceeded(balance_ms - (engine_ms() - engine_base_ms)));
        if exceeded {
            held.condemn(burnt(most));
            return;
        }
        ledger.note(balance_ms, open_ms);
        of_all.note(of_all_ms, ALL * open_ms);
        if resident_bytes(process).is_some_and(|bytes| bytes > memory.bytes) {
            held.condemn(too_large(memory.bytes));
            return;
        }
        drop(held);
        tokio::time::sleep(if busy { LOOK_BUSY } else { LOOK_IDLE }).await;
    }
}

/// The fault of events whose child burned more CPU than they may.
fn burnt(limit_ms: u64) -> Fault {
    const WHY: &str = "the process that ran the worker used more CPU than all of its events may, and was ended";
    Fault::limit(FaultKind::ExceededCpu, Limit::Cpu, limit_ms, WHY)
}

/// The fault of events whose child had more memory than it may.
pub(super) fn too_large(bytes: u64) -> Fault {
    const WHY: &str = "the process that ran the worker had more memory than it may, and was ended";
    Fault::limit(FaultKind::ExceededMemory, Limit::ChildMemory, bytes, WHY)
}

/// The one bound, as `balance(now) <= balance(t0) + open(t0) + grace` for all `t0`, where a balance is what was burned less
/// what was granted.
#[derive(Debug)]
struct Ledger {
    grace_ms: i64,
    /// The least `balance + open` so far.
    floor_ms: Option<i64>,
}

impl Ledger {
    fn new(grace_ms: i64) -> Self {
        Self {
            grace_ms,
            floor_ms: None,
        }
    }

    fn exceeded(&self, balance_ms: i64) -> bool {
        self.floor_ms.is_some_and(|floor| balance_ms > floor + self.grace_ms)
    }

    fn note(&mut self, balance_ms: i64, open_ms: i64) {
        let now = balance_ms.saturating_add(open_ms);
        self.floor_ms = Some(self.floor_ms.map_or(now, |floor| floor.min(now)));
    }
}

/// A version in this child, and how many events it has had.
struct Account {
    /// CPU that one event may use.
    cpu_ms: u64,
    /// The same, and the start of an isolate, for which any event may be the reason.
    worth_ms: i64,
    linger: Duration,
    meter: SlotMeter,
    submitted: u64,
    /// How many had been answered, and when that was seen; oldest first.
    answered: VecDeque<(Instant, u64)>,
}

impl Account {
    fn new(limits: &Limits, meter: SlotMeter) -> Self {
        let worth_ms = limits.cpu_ms.saturating_add(limits.startup_ms);
        Self {
            cpu_ms: limits.cpu_ms,
            // A day is as good as no limit, and sums of it do not overflow.
            worth_ms: worth_ms.min(24 * 3600 * 1000) as i64,
            linger: Duration::from_millis(limits.wait_until_ms),
            meter,
            submitted: 0,
            answered: VecDeque::new(),
        }
    }

    /// Events that are not answered, and those whose `waitUntil` may still run.
    fn look(&mut self, now: Instant) -> (u64, u64) {
        // First what is in flight: an event that comes in between counts as answered, which is never too strict.
        let in_flight = u64::from(self.meter.in_flight.load(Ordering::Acquire));
        // The first start of the version.
        self.submitted = self.meter.submitted.load(Ordering::Acquire) + 1;
        let answered = self.submitted.saturating_sub(in_flight);
        let since = |at: Instant| now.saturating_duration_since(at);
        if self.answered.back().is_none_or(|(at, _)| since(*at) >= LINGER_STEP) {
            self.answered.push_back((now, answered));
        }
        // The last one that is old enough stays.
        while let [_, (at, _), ..] = *self.answered.make_contiguous()
            && since(at) >= self.linger
        {
            self.answered.pop_front();
        }
        let before = match self.answered.front() {
            Some((at, count)) if since(*at) >= self.linger => *count,
            _ => 0,
        };
        (in_flight, answered.saturating_sub(before))
    }
}

/// The threads of a process.
fn threads(process: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// User and system time of a process or thread, from its `stat` (proc_pid_stat(5)).
fn cpu_ms(path: &str) -> Option<i64> {
    cpu_of_stat(&fs::read_to_string(path).ok()?)
}

fn cpu_of_stat(stat: &str) -> Option<i64> {
    // The name, in parentheses, may contain anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: i64 = fields.next()?.parse().ok()?;
    let system: i64 = fields.next()?.parse().ok()?;
    Some((user + system) * TICK_MS)
}

fn resident_bytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    // What it shares with us is no more than that, and not what workers take.
    let shared = (kib("RssShmem:").unwrap_or(0) * 1024).min(segment::BYTES as u64);
    Some((kib("VmRSS:")? * 1024).saturating_sub(shared))
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_stdx::SplitMix64;

    fn account(linger_ms: u64) -> Account {
        let limits = Limits {
            cpu_ms: 500,
            startup_ms: 100,
            wait_until_ms: linger_ms,
            ..Limits::default()
        };
        Account::new(&limits, SlotMeter::default())
    }

    #[test]
    fn events_count_until_their_wait_until_must_be_over() {
        let mut account = account(2_000);
        let at = |ms: u64, began: Instant| began + Duration::from_millis(ms);
        let began = Instant::now();
        let submit = |account: &Account, count: u64| {
            account.meter.submitted.fetch_add(count, Ordering::Relaxed);
            account.meter.in_flight.fetch_add(count as u32, Ordering::Relaxed);
        };
        // The start of the version counts as an event that is answered.
        assert_eq!(account.look(began), (0, 1));
        submit(&account, 3);
        assert_eq!(account.look(at(1_000, began)), (3, 1));
        account.meter.in_flight.fetch_sub(2, Ordering::Relaxed);
        assert_eq!(account.look(at(2_000, began)), (1, 2));
        assert_eq!(account.look(at(3_000, began)), (1, 2));
        // Answered between one and two seconds: over two seconds after the later of both.
        assert_eq!(account.look(at(4_000, began)), (1, 0));
        account.meter.in_flight.fetch_sub(1, Ordering::Relaxed);
        assert_eq!(account.look(at(5_000, began)), (0, 1));
        assert_eq!(account.look(at(7_000, began)), (0, 0));
        assert!(account.answered.len() < 6);
    }

    /// Honest children, at random: each event burns at most what it is worth while it is open. None is ever over the bound.
    #[test]
    fn no_honest_child_is_over_the_bound() {
        for seed in 0..500 {
            let mut rng = SplitMix64::new(seed);
            let (mut ledger, mut burned, mut granted) = (Ledger::new(GRACE_MS), 0_i64, 0_i64);
            let mut open: Vec<i64> = Vec::new();
            for _ in 0..300 {
                let more = rng.below(3) as usize;
                open.extend(std::iter::repeat_n(600, more));
                granted += 600 * more as i64;
                for left in &mut open {
                    let spent = (rng.below(200) as i64).min(*left);
                    *left -= spent;
                    burned += spent;
                }
                open.retain(|_| rng.below(5) > 0);
                assert!(!ledger.exceeded(burned - granted), "seed {seed}");
                ledger.note(burned - granted, open.len() as i64 * 600);
            }
        }
    }

    #[test]
    fn one_event_that_burns_on_is_over_it() {
        let mut ledger = Ledger::new(GRACE_MS);
        // Idle; an event worth 600 comes; it burns.
        ledger.note(0, 0);
        let burning = |burned: i64| burned - 600;
        ledger.note(burning(0), 600);
        assert!(!ledger.exceeded(burning(600 + GRACE_MS)));
        assert!(ledger.exceeded(burning(601 + GRACE_MS)));
        // One that burns with nothing open at all, after ten thousand honest events.
        let granted = 600 * 10_001;
        let spent = 5 * 10_001;
        ledger.note(spent - granted, 0);
        assert!(ledger.exceeded(spent + GRACE_MS + 1 - granted));
    }

    #[test]
    fn the_kernels_figures_are_read() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 90 0 0 0 12 34 0 0 20 0 3 0 99 1000 250 18446744073709551615";
        assert_eq!(cpu_of_stat(stat), Some(460));
        assert_eq!(cpu_of_stat("7 (a"), None);
        let own = std::process::id();
        assert!(cpu_ms(&format!("/proc/{own}/stat")).is_some());
        assert!(resident_bytes(own).is_some_and(|bytes| bytes > 100_000));
        assert!(!threads(own).is_empty());
        assert_eq!(inner_process(u32::MAX), u32::MAX);
    }
}
