//! Run permits: as many turns at once as there are cores, shared out fairly between tenants.
//!
//! Every isolate thread is a [`Member`]. It blocks in [`Member::acquire`] until it may run a turn and gives the permit
//! back in [`Member::release`], which hands it straight to the next in the queue. The watchdog calls [`Permits::scan`]:
//! it takes the permit back from a turn that overstays while others wait (the turn goes on without one, on its own
//! thread, at lowered priority) and says which turns have exceeded their limits.
//!
//! A tenant is charged the wall time of short turns at once (an upper bound of their CPU, and free to read) and settles
//! with the thread's CPU clock, a system call, once that is worth it ([`SETTLE_TURN`], [`SETTLE_TOTAL`]).
//!
//! One lock, held for a few field writes; threads are woken after it is released.

use crate::fair::{FairQueue, TenantKey};
use crate::options::{DEBT_MAX, INSIST_AFTER, PoolOptions, QUANTUM, TERMINATION_GRACE};
use crate::slot::Slot;
use crate::sys::{CpuClock, Priority, ThreadId, cpu_of_this_thread_ns};
use atoll_model::{Limit, Limits, TenantId};
use atoll_worker::{CpuGauge, Fault, FaultKind, Interrupt, Wakes};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// A turn longer than this is charged by the CPU clock.
const SETTLE_TURN: Duration = Duration::from_micros(200);
/// So are short turns when this much wall time has gathered.
const SETTLE_TOTAL: Duration = Duration::from_millis(2);
/// Scans without a turn after which the watchdog sleeps until the next turn begins.
const QUIET_SCANS: u32 = 40;
/// See [`Terminated::had`].
const PATIENCE: u32 = 8;
/// `Seat::start_base_ns` outside of start-up.
const NOT_STARTING: u64 = u64::MAX;

/// What other threads may know and do about a member.
#[derive(Debug)]
pub(crate) struct Seat {
    thread: Thread,
    id: ThreadId,
    clock: Option<CpuClock>,
    granted: AtomicBool,
    revoked: AtomicBool,
    demoted: AtomicBool,
    /// CPU the thread had used when the worker's own start-up began.
    start_base_ns: AtomicU64,
    interrupt: OnceLock<Interrupter>,
    gauge: OnceLock<Arc<CpuGauge>>,
    /// Those that the thread's turn holds back.
    wakes: Arc<Wakes>,
    limits: Limits,
    slot: Weak<Slot>,
    isolate: u64,
    /// Of a home: set while a turn takes long.
    stalled: Option<Arc<AtomicBool>>,
}

impl Seat {
    fn is_exempt(&self) -> bool {
        self.interrupt
            .get()
            .is_some_and(|interrupter| interrupter.0.is_exempt())
    }
}

struct Interrupter(Arc<dyn Interrupt>);

impl std::fmt::Debug for Interrupter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interrupt")
    }
}

/// A turn that was told to end.
#[derive(Debug)]
struct Terminated {
    since: Instant,
    /// The thread's CPU then.
    cpu_ns: u64,
    fault: Fault,
}

impl Terminated {
    /// Whether it has had `time`, on a core, to end. A thread that gets no core, because the machine is busy, has not refused
    /// to; one that waits for something, without using any, is given [`PATIENCE`] times as long.
    fn had(&self, time: Duration, seat: &Seat, now: Instant) -> bool {
        let waited = now.saturating_duration_since(self.since);
        if waited < time {
            return false;
        }
        let Some(cpu_ns) = seat.clock.and_then(CpuClock::read_ns) else {
            return true;
        };
        let used = Duration::from_nanos(cpu_ns.saturating_sub(self.cpu_ns));
        used >= time / 2 || waited >= time * PATIENCE
    }
}

#[derive(Debug)]
struct Turn {
    since: Instant,
    permit: bool,
    /// The thread's CPU when the watchdog first saw what runs in this turn, and which spell of the gauge that is.
    first_seen: Option<(u64, u64)>,
    terminated: Option<Terminated>,
    insisted: bool,
    abandoned: bool,
}

#[derive(Debug)]
struct Entry {
    seat: Arc<Seat>,
    tenant: TenantId,
    key: TenantKey,
    turn: Option<Turn>,
}

#[derive(Debug)]
struct State {
    free: usize,
    queue: FairQueue<usize>,
    tenants: HashMap<TenantId, TenantKey>,
    members: Vec<Option<Entry>>,
    vacant: Vec<usize>,
    running: Vec<usize>,
    quiet_scans: u32,
    watchdog_asleep: bool,
    counts: PermitCounts,
}

/// Counters of [`Permits`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PermitCounts {
    pub(crate) members: usize,
    pub(crate) waiting: usize,
    pub(crate) running: usize,
    pub(crate) turns: u64,
    pub(crate) waits: u64,
    pub(crate) revoked: u64,
}

/// What the watchdog must do after a scan, without the lock.
pub(crate) enum Verdict {
    /// End the turn.
    Terminate(Arc<dyn Interrupt>, Fault),
    /// The turn was to end and goes on: end it by other means.
    Insist(Arc<dyn Interrupt>),
    /// Have the instance see what it runs.
    Look(Arc<dyn Interrupt>),
    /// The turn takes long: give the wakes that it holds back.
    Wake(Arc<Wakes>),
    /// The turn was to end and did not: go on without the thread.
    Abandon(Weak<Slot>, u64, Fault),
}

/// What a scan found.
pub(crate) struct Scan {
    pub(crate) verdicts: Vec<Verdict>,
    /// No turn has run for long and nobody waits for a permit: nothing is overdue soon.
    pub(crate) calm: bool,
}

/// The permits of a pool.
#[derive(Debug)]
pub(crate) struct Permits {
    state: Mutex<State>,
    turn_max: Duration,
    priority: Arc<dyn Priority>,
    watchdog: OnceLock<Thread>,
}

impl Permits {
    pub(crate) fn new(options: &PoolOptions) -> Self {
        let ns = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        Self {
            state: Mutex::new(State {
                free: options.permits.max(1),
                queue: FairQueue::new(ns(QUANTUM), ns(DEBT_MAX)),
                tenants: HashMap::new(),
                members: Vec::new(),
                vacant: Vec::new(),
                running: Vec::new(),
                quiet_scans: 0,
                watchdog_asleep: false,
                counts: PermitCounts::default(),
            }),
            turn_max: options.turn_max,
            priority: options.priority.clone(),
            watchdog: OnceLock::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock calls foreign code but the thread priority, so a panic cannot leave it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells which thread scans, so that a first turn can wake it.
    pub(crate) fn set_watchdog(&self, thread: Thread) {
        let _ = self.watchdog.set(thread);
    }

    /// A thread is being made that will [`Permits::join`]: counted from now on, so that no more are made than there is room for.
    pub(crate) fn reserve(&self) {
        self.lock().counts.members += 1;
    }

    /// It will not.
    pub(crate) fn forgo(&self) {
        self.lock().counts.members -= 1;
    }

    /// Makes the calling thread a member, which was counted already. `stalled`: others' tasks are on this thread, and somebody wants
    /// to know when they wait.
    pub(crate) fn join(
        self: &Arc<Self>,
        tenant: &TenantId,
        limits: &Limits,
        slot: Weak<Slot>,
        isolate: u64,
        cpu_ns: Arc<AtomicI64>,
        stalled: Option<Arc<AtomicBool>>,
    ) -> Member {
        let clock = CpuClock::of_this_thread();
        let seat = Arc::new(Seat {
            thread: std::thread::current(),
            id: ThreadId::of_this_thread(),
            clock,
            granted: AtomicBool::new(false),
            revoked: AtomicBool::new(false),
            demoted: AtomicBool::new(false),
            start_base_ns: AtomicU64::new(NOT_STARTING),
            interrupt: OnceLock::new(),
            gauge: OnceLock::new(),
            wakes: Arc::default(),
            limits: limits.clone(),
            slot,
            isolate,
            stalled,
        });
        let mut state = self.lock();
        let key = match state.tenants.get(tenant).copied() {
            Some(key) => {
                state.queue.join_again(key);
                key
            }
            None => {
                let key = state.queue.join();
                state.tenants.insert(tenant.clone(), key);
                key
            }
        };
        let entry = Some(Entry {
            seat: seat.clone(),
            tenant: tenant.clone(),
            key,
            turn: None,
        });
        let index = match state.vacant.pop() {
            Some(index) => {
                state.members[index] = entry;
                index
            }
            None => {
                state.members.push(entry);
                state.members.len() - 1
            }
        };
        drop(state);
        Member {
            permits: self.clone(),
            index,
            key,
            seat,
            since: Instant::now(),
            held: false,
            settled_ns: clock.and_then(CpuClock::read_ns).unwrap_or(0),
            unsettled: Duration::ZERO,
            helpers_ns: 0,
            cpu_ns,
        }
    }

    /// Looks at every running turn; one that has run for less than `young` is taken for one of those that end by themselves.
    /// `None` when nothing has run for a while and the caller may sleep until it is unparked.
    pub(crate) fn scan(&self, now: Instant, young: Duration) -> Option<Scan> {
        let mut verdicts = Vec::new();
        let mut calm = true;
        let mut state = self.lock();
        if state.running.is_empty() {
            state.quiet_scans += 1;
            if state.quiet_scans >= QUIET_SCANS {
                state.watchdog_asleep = true;
                return None;
            }
            return Some(Scan { verdicts, calm });
        }
        state.quiet_scans = 0;
        let woken = self.revoke_overdue(&mut state, now);
        calm &= state.queue.waiting() == 0;
        let State { running, members, .. } = &mut *state;
        for index in running.iter() {
            let Some(entry) = members[*index].as_mut() else {
                continue;
            };
            if let (Some(turn), seat) = (entry.turn.as_mut(), &entry.seat) {
                if seat.wakes.holds() {
                    verdicts.push(Verdict::Wake(seat.wakes.clone()));
                }
                if let Some(stalled) = &seat.stalled
                    && now.saturating_duration_since(turn.since) >= self.turn_max
                {
                    stalled.store(true, Ordering::Relaxed);
                }
                verdicts.extend(judge(turn, seat, now));
                calm &= now.saturating_duration_since(turn.since) < young;
            }
        }
        drop(state);
        unpark(woken);
        Some(Scan { verdicts, calm })
    }

    /// Whether a turn could begin at once.
    pub(crate) fn has_free(&self) -> bool {
        self.lock().free > 0
    }

    pub(crate) fn counts(&self) -> PermitCounts {
        let state = self.lock();
        PermitCounts {
            waiting: state.queue.waiting(),
            running: state.running.len(),
            ..state.counts
        }
    }

    /// Takes permits back from turns that overstay, one per waiting member at most, oldest first.
    fn revoke_overdue(&self, state: &mut State, now: Instant) -> Vec<Arc<Seat>> {
        let mut woken = Vec::new();
        while state.queue.waiting() > 0 {
            let State { running, members, .. } = &mut *state;
            let oldest = running
                .iter()
                .filter_map(|index| {
                    let turn = members[*index].as_ref()?.turn.as_ref()?;
                    (turn.permit && now.saturating_duration_since(turn.since) >= self.turn_max)
                        .then_some((turn.since, *index))
                })
                .min();
            let Some((_, index)) = oldest else { break };
            if let Some(entry) = members[index].as_mut()
                && let Some(turn) = entry.turn.as_mut()
            {
                turn.permit = false;
                entry.seat.revoked.store(true, Ordering::Relaxed);
                // A thread that stays lowered is replaced, and with it would go whoever is attached to it.
                // So would the connections beside it.
                if !entry.seat.is_exempt() && entry.seat.stalled.is_none() && self.priority.lower(entry.seat.id) {
                    entry.seat.demoted.store(true, Ordering::Relaxed);
                }
            }
            state.counts.revoked += 1;
            state.free += 1;
            woken.extend(grant(state, now));
        }
        woken
    }
}

/// Gives a free permit to the next in the queue.
fn grant(state: &mut State, now: Instant) -> Option<Arc<Seat>> {
    if state.free == 0 {
        return None;
    }
    let index = state.queue.pop()?;
    state.free -= 1;
    begin(state, index, now);
    let seat = state.members[index].as_ref()?.seat.clone();
    seat.granted.store(true, Ordering::Release);
    Some(seat)
}

fn begin(state: &mut State, index: usize, since: Instant) {
    if let Some(entry) = state.members[index].as_mut() {
        entry.turn = Some(Turn {
            since,
            permit: true,
            first_seen: None,
            terminated: None,
            insisted: false,
            abandoned: false,
        });
    }
    state.running.push(index);
    state.counts.turns += 1;
}

fn unpark(seats: impl IntoIterator<Item = Arc<Seat>>) {
    for seat in seats {
        seat.thread.unpark();
    }
}

/// Holds a running turn against its worker's limits.
fn judge(turn: &mut Turn, seat: &Seat, now: Instant) -> Option<Verdict> {
    if let Some(terminated) = &turn.terminated {
        if !turn.insisted && terminated.had(INSIST_AFTER, seat, now) {
            turn.insisted = true;
            return seat
                .interrupt
                .get()
                .map(|interrupt| Verdict::Insist(interrupt.0.clone()));
        }
        let overdue = !turn.abandoned && terminated.had(TERMINATION_GRACE, seat, now);
        turn.abandoned |= overdue;
        return overdue.then(|| Verdict::Abandon(seat.slot.clone(), seat.isolate, terminated.fault.clone()));
    }
    let interrupt = seat.interrupt.get()?;
    let gauge = seat.gauge.get();
    let cpu_ns = seat.clock?.read_ns()?;
    let terminated = |fault| Terminated {
        since: now,
        cpu_ns,
        fault,
    };
    if let Some(fault) = interrupt.0.doomed() {
        turn.terminated = Some(terminated(fault));
        return None;
    }
    if interrupt.0.is_exempt() {
        // The limits begin anew when it ends.
        turn.first_seen = None;
        if seat.start_base_ns.load(Ordering::Relaxed) != NOT_STARTING {
            seat.start_base_ns.store(cpu_ns, Ordering::Relaxed);
        }
        return None;
    }
    let ns = |ms: u64| ms.saturating_mul(1_000_000);
    let (spell, left_ns) = gauge.map_or((0, ns(seat.limits.cpu_ms)), |gauge| gauge.spell());
    let first_seen_ns = match turn.first_seen {
        Some((first_seen_ns, seen)) if seen == spell => first_seen_ns,
        _ => {
            turn.first_seen = Some((cpu_ns, spell));
            cpu_ns
        }
    };
    let start_base_ns = seat.start_base_ns.load(Ordering::Relaxed);
    let fault = if start_base_ns != NOT_STARTING {
        let limit = seat.limits.startup_ms;
        (cpu_ns.saturating_sub(start_base_ns) > ns(limit)).then(|| startup_fault(limit))
    } else {
        (cpu_ns.saturating_sub(first_seen_ns) > left_ns).then(|| Fault::exceeded_cpu(seat.limits.cpu_ms))
    };
    let Some(fault) = fault else {
        let unsure = gauge.is_some_and(|gauge| gauge.wants_look());
        return unsure.then(|| Verdict::Look(interrupt.0.clone()));
    };
    turn.terminated = Some(terminated(fault.clone()));
    Some(Verdict::Terminate(interrupt.0.clone(), fault))
}

/// The fault of a worker that did not get through its start-up in time.
pub(crate) fn startup_fault(limit_ms: u64) -> Fault {
    let text = format!(
        "the worker's modules were not evaluated within {limit_ms} ms: move long work from module top level into a handler"
    );
    Fault::limit(FaultKind::Startup, Limit::Startup, limit_ms, &text)
}

/// An isolate's thread as the permits know it. Stays on its thread.
#[derive(Debug)]
pub(crate) struct Member {
    permits: Arc<Permits>,
    index: usize,
    key: TenantKey,
    seat: Arc<Seat>,
    since: Instant,
    held: bool,
    /// The CPU clock when it was last read.
    settled_ns: u64,
    /// Wall time charged since.
    unsettled: Duration,
    /// CPU of the helpers when it was last read.
    helpers_ns: u64,
    /// All that the worker's threads have used. What a turn was charged too much is taken back when the clock is read.
    cpu_ns: Arc<AtomicI64>,
}

impl Member {
    /// Blocks until this thread may run a turn. Returns how long it waited.
    pub(crate) fn acquire(&mut self) -> Duration {
        let now = Instant::now();
        self.since = now;
        self.held = true;
        let mut state = self.permits.lock();
        let wake_watchdog = std::mem::take(&mut state.watchdog_asleep);
        if wake_watchdog {
            state.quiet_scans = 0;
        }
        let at_once = state.free > 0 && state.queue.waiting() == 0;
        let mut woken = Vec::new();
        if at_once {
            state.free -= 1;
            begin(&mut state, self.index, now);
        } else {
            state.counts.waits += 1;
            let (key, index) = (self.key, self.index);
            state.queue.push(key, index);
            woken = self.permits.revoke_overdue(&mut state, now);
        }
        drop(state);
        unpark(woken);
        if wake_watchdog && let Some(watchdog) = self.permits.watchdog.get() {
            watchdog.unpark();
        }
        if at_once {
            return Duration::ZERO;
        }
        while !self.seat.granted.swap(false, Ordering::Acquire) {
            std::thread::park();
        }
        self.since = Instant::now();
        self.since.saturating_duration_since(now)
    }

    /// May the thread run another turn under the same permit?
    pub(crate) fn may_keep(&self) -> bool {
        !self.seat.revoked.load(Ordering::Relaxed) && self.since.elapsed() < QUANTUM
    }

    /// Ends the turn. False if the thread was demoted and stays so.
    pub(crate) fn release(&mut self) -> bool {
        let now = Instant::now();
        let cost_ns = self.cost(now.saturating_duration_since(self.since));
        self.cpu_ns.fetch_add(cost_ns, Ordering::Relaxed);
        let mut healthy = true;
        self.held = false;
        let mut state = self.permits.lock();
        // Under the lock under which it is set.
        if let Some(stalled) = &self.seat.stalled {
            stalled.store(false, Ordering::Relaxed);
        }
        state.queue.charge(self.key, cost_ns);
        if let Some(at) = state.running.iter().position(|index| *index == self.index) {
            state.running.swap_remove(at);
        }
        let turn = state.members[self.index].as_mut().and_then(|entry| entry.turn.take());
        let mut woken = None;
        if turn.is_some_and(|turn| turn.permit) {
            state.free += 1;
            woken = grant(&mut state, now);
        }
        if self.seat.revoked.swap(false, Ordering::Relaxed) && self.seat.demoted.load(Ordering::Relaxed) {
            healthy = self.permits.priority.restore(self.seat.id);
            self.seat.demoted.store(!healthy, Ordering::Relaxed);
        }
        drop(state);
        unpark(woken);
        healthy
    }

    /// What to charge for a turn of `held` wall time; negative if earlier turns were charged too much.
    fn cost(&mut self, held: Duration) -> i64 {
        let ns = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        if held < SETTLE_TURN && self.unsettled + held < SETTLE_TOTAL {
            self.unsettled += held;
            return ns(held);
        }
        let Some(cpu_ns) = self.seat.clock.and_then(CpuClock::read_ns) else {
            return ns(held);
        };
        let mut used_ns = i64::try_from(cpu_ns.saturating_sub(self.settled_ns)).unwrap_or(i64::MAX);
        if self.seat.stalled.is_some() {
            // Between turns the thread works for the connections.
            used_ns = used_ns.min(ns(self.unsettled + held));
        }
        let cost_ns = used_ns.saturating_sub(ns(self.unsettled));
        self.settled_ns = cpu_ns;
        self.unsettled = Duration::ZERO;
        let helpers_ns = self.seat.gauge.get().map_or(0, |gauge| gauge.helpers_ns());
        let helped_ns = helpers_ns.saturating_sub(self.helpers_ns);
        self.helpers_ns = helpers_ns;
        self.cpu_ns
            .fetch_add(i64::try_from(helped_ns).unwrap_or(i64::MAX), Ordering::Relaxed);
        cost_ns
    }

    /// When it got the permit of its last turn.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// The instance is made and its modules are evaluated from now on, under the start-up limit.
    pub(crate) fn starting(&mut self, interrupt: Arc<dyn Interrupt>, gauge: Option<Arc<CpuGauge>>) {
        if let Some(gauge) = gauge {
            gauge.set_clock(cpu_of_this_thread_ns);
            // Helpers of the thread's isolates before this one.
            self.helpers_ns = gauge.helpers_ns();
            let _ = self.seat.gauge.set(gauge);
        }
        let _ = self.seat.interrupt.set(Interrupter(interrupt));
        let base_ns = self.seat.clock.and_then(CpuClock::read_ns).unwrap_or(NOT_STARTING);
        self.seat.start_base_ns.store(base_ns, Ordering::Relaxed);
    }

    /// An event went over the soft limit: the instance should be replaced.
    pub(crate) fn is_spent(&self) -> bool {
        self.seat.gauge.get().is_some_and(|gauge| gauge.is_spent())
    }

    /// Where the wakes of a turn with several events wait for its end.
    pub(crate) fn wakes(&self) -> &Arc<Wakes> {
        &self.seat.wakes
    }

    /// Start-up is over.
    pub(crate) fn started(&self) {
        self.seat.start_base_ns.store(NOT_STARTING, Ordering::Relaxed);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.held {
            self.release();
        }
        let mut state = self.permits.lock();
        state.counts.members -= 1;
        let Some(entry) = state.members[self.index].take() else {
            return;
        };
        state.vacant.push(self.index);
        if state.queue.leave(entry.key) {
            state.tenants.remove(&entry.tenant);
        }
    }
}
