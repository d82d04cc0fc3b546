//! What a pool can be told, and its counters.

use crate::capacity::Capacity;
use crate::memory::Memory;
use crate::room::{Mappings, ProcessMappings};
use crate::sys::{NicePriority, Priority};
use crate::time::{Monotonic, SystemTime};
use atoll_model::{AccountLimits, WorkerVersion};
use atoll_worker::Fault;
use std::sync::Arc;
use std::time::Duration;

/// Stack of an isolate's thread. V8 takes at most 984 KiB of it (its default on 64 bit, measured down from where the
/// isolate was made); the rest is for the engine's own frames, which are large without optimization. Pages that are
/// never touched cost address space only.
pub const STACK_BYTES: usize = 2 * 1024 * 1024;
/// How long a turn may hold its permit while others wait. With 10 ms a neighbour of a worker that spins until it is stopped, again and
/// again, waited 11 ms at p99 on one core (`cargo xtask bench neighbour`).
pub const TURN_MAX_DEFAULT: Duration = Duration::from_millis(5);
/// CPU that one tenant may use before the next waiting tenant is served.
pub const QUANTUM: Duration = Duration::from_millis(1);
/// The most that a tenant can owe: one that used more is forgiven the rest.
pub const DEBT_MAX: Duration = Duration::from_millis(200);
/// Jobs that are delivered to an instance before one turn.
pub const BATCH_MAX: usize = 128;
/// How long a terminated turn may go on before the engine is told to end it by other means: without the place where it was.
pub const INSIST_AFTER: Duration = Duration::from_millis(10);
/// How long a terminated turn may go on before its thread is given up and the worker gets a new isolate.
pub const TERMINATION_GRACE: Duration = Duration::from_millis(250);
/// Isolates of one worker version that were given up because what they do cannot be ended, and go on. With so many it gets no
/// further one until one of them has ended.
pub const LEFT_MAX: u32 = 2;
/// Threads of one isolate for the engine's blocking helpers (key generation and the like).
pub const BLOCKING_THREADS_MAX: usize = 4;
/// The first pause between start attempts of a worker that does not start, or breaks again and again. It doubles up to
/// [`BACKOFF_MAX`].
pub const BACKOFF_FIRST: Duration = Duration::from_millis(50);
/// The longest pause between start attempts.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Isolates that may break one after the other, none of which got through a single turn with an event, before pauses
/// begin.
pub const BREAKS_WITHOUT_PAUSE: u32 = 3;

/// How often the pool looks for isolates to give back, while there could be some.
pub const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(1);
/// How long an isolate beyond a worker's first is kept idle.
pub const EXTRA_KEPT: Duration = Duration::from_secs(30);
/// How long an isolate is idle before it is told to give memory back.
pub const REST_AFTER: Duration = Duration::from_secs(10);
/// What part of all isolates those beyond each worker's first may be, for all workers of an account together: one in so many.
pub const EXTRA_SHARE: usize = 4;
/// How long a worker waits for room: for an isolate that becomes idle and ends for it.
pub const ROOM_WAIT_MAX: Duration = Duration::from_millis(500);

/// What a pool can be told.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// How many turns may run at once; at least 1.
    pub permits: usize,
    /// See [`TURN_MAX_DEFAULT`].
    pub turn_max: Duration,
    /// How threads that overstay are lowered.
    pub priority: Arc<dyn Priority>,
    /// Isolates that may live at once; a worker that needs one more is answered [`atoll_worker::FaultKind::Overloaded`].
    /// See [`crate::Capacity`].
    pub isolates_max: usize,
    /// How many memory mappings the process may have, and has; without, nobody counts them.
    pub mappings: Option<Arc<dyn Mappings>>,
    /// Isolates that one worker may have, while its queue stands ([`crate::DELAY_TARGET`]). More than [`Self::permits`] help
    /// nothing.
    pub isolates_per_worker: usize,
    /// Isolates that may be kept ready for whichever worker needs one next; 0 for none. See [`crate::READY_MAX`].
    pub ready_max: usize,
    /// How much memory the process may use, and uses; without, isolates end for others' room alone.
    pub memory: Option<Arc<dyn Memory>>,
    /// By which queues and keep-alives are measured.
    pub time: Arc<dyn Monotonic>,
    /// Events of all of a tenant's workers that may wait or run at once. See [`atoll_model::AccountLimits`].
    pub tenant_in_flight_max: u32,
    /// Told when a terminated turn did not end, before its thread is given up. A process that was made for this, a child of
    /// a server, ends itself here.
    pub on_abandon: Option<AbandonHook>,
}

/// What is told that a turn did not end.
pub type OnAbandon = dyn Fn(&WorkerVersion, &Fault) + Send + Sync;

/// See [`PoolOptions::on_abandon`]. Called with the worker's version and the fault that ended the turn, once the events of its
/// isolate are answered: on the watchdog's thread, where nothing is watched until it returns, or, for blocking work that goes on,
/// on the isolate's.
#[derive(Clone)]
pub struct AbandonHook(pub Arc<OnAbandon>);

impl std::fmt::Debug for AbandonHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AbandonHook")
    }
}

/// Below this many, a process says at its start how few isolates it has room for.
pub const ISOLATES_COMFORTABLE: usize = 1_000;

impl PoolOptions {
    /// The defaults, with as many isolates as this process has room for: that figure is logged, as a warning where it is
    /// small.
    pub fn of_this_process() -> Self {
        let capacity = Capacity::of_this_process();
        let (isolates_max, _) = capacity.isolates();
        if isolates_max < ISOLATES_COMFORTABLE {
            let advice = capacity.advice().unwrap_or_default();
            tracing::warn!("{capacity}: {advice}");
        } else {
            tracing::info!("{capacity}");
        }
        Self {
            isolates_max,
            mappings: ProcessMappings::of_this_process().map(|mappings| Arc::new(mappings) as _),
            ..Self::default()
        }
    }
}

impl Default for PoolOptions {
    /// As many permits as this process has cores, one isolate for each worker.
    fn default() -> Self {
        Self {
            permits: std::thread::available_parallelism().map_or(1, usize::from),
            turn_max: TURN_MAX_DEFAULT,
            priority: Arc::new(NicePriority::new()),
            isolates_max: usize::MAX,
            mappings: None,
            isolates_per_worker: 1,
            ready_max: 0,
            memory: None,
            time: Arc::new(SystemTime),
            tenant_in_flight_max: AccountLimits::IN_FLIGHT_MAX_DEFAULT,
            on_abandon: None,
        }
    }
}

/// A pool's counters since it was made, and where it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Isolates with a thread, now.
    pub isolates: usize,
    /// Isolates that wait for a permit, now.
    pub waiting: usize,
    /// Turns that run, now: with a permit, or after it was taken back.
    pub running: usize,
    /// Turns begun.
    pub turns: u64,
    /// Times a thread had to wait for a permit.
    pub waits: u64,
    /// Permits taken back from turns that overstayed.
    pub revoked: u64,
    /// Isolates replaced because their thread stayed demoted.
    pub replaced: u64,
    /// Turns terminated: CPU, start-up time.
    pub terminated: u64,
    /// Threads given up because a terminated turn did not end.
    pub abandoned: u64,
    /// Instances made.
    pub started: u64,
    /// Instances that did not finish their start.
    pub start_failures: u64,
    /// Instances that panicked.
    pub panics: u64,
    /// Jobs accepted.
    pub jobs: u64,
    /// Jobs refused because too many were in flight, or too many isolates lived.
    pub overloaded: u64,
    /// Isolates replaced because an event went over its soft CPU limit.
    pub spent: u64,
    /// See [`PoolOptions::isolates_max`].
    pub isolates_max: usize,
    /// Isolates asked for because a worker's queue stood.
    pub grown: u64,
    /// Idle isolates ended because memory or room was short.
    pub evicted: u64,
    /// Isolates that are ready and nobody's, now.
    pub ready: usize,
    /// Starts that took one of these.
    pub ready_used: u64,
    /// Times that the watchdog looked at workers whose events wait.
    pub visits: u64,
}
