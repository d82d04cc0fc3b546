//! Isolates that are ready and nobody's: made ahead, each on a thread of its own which waits, and handed to the next worker that
//! needs one. How many there are follows from how often that happened lately.

use crate::blocking::Helpers;
use crate::isolate;
use crate::options::STACK_BYTES;
use crate::permits::Permits;
use crate::pool::Shared;
use crate::slot::Slot;
use atoll_model::{Limits, TenantId};
use atoll_worker::{Engine, Prepared};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};

/// Most ready isolates of a process.
pub const READY_MAX: usize = 8;
/// How long a start counts: what is demanded is known from about this much of the past.
pub const DEMAND_WINDOW: Duration = Duration::from_secs(60);
/// Starts within the window below which nothing is kept ready: three minutes after a single one.
const DEMAND_MIN: f64 = 0.05;
/// What making one is taken to take while nothing has been measured.
const MAKE_ASSUMED: Duration = Duration::from_millis(5);
/// How long at most no successor is made of one that was taken: who took it needs the core until its modules have been evaluated,
/// and would wait for it where cores are few. Twice what a large bundle takes.
pub const HELD_BACK: Duration = Duration::from_millis(50);
/// Whose turn it is while one is made: nobody's, but nobody's turns are shared out as everybody's are.
const NOBODY: &str = "";

/// How many isolates were wanted lately. Pure.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    /// Starts, fading.
    starts: f64,
    at: Option<Instant>,
    make: Option<Duration>,
}

impl Demand {
    fn fade(&mut self, now: Instant) {
        if let Some(at) = self.at {
            let windows = now.saturating_duration_since(at).as_secs_f64() / DEMAND_WINDOW.as_secs_f64();
            self.starts *= (-windows).exp();
        }
        self.at = Some(now);
    }

    /// A worker wanted an isolate.
    pub(crate) fn started(&mut self, now: Instant) {
        self.fade(now);
        self.starts += 1.0;
    }

    /// Making one took so long.
    pub(crate) fn made(&mut self, took: Duration) {
        self.make = Some(match self.make {
            None => took,
            Some(make) => (make * 3 + took) / 4,
        });
    }

    /// How many should be ready: as many as are wanted while one is being made, and twice the deviation of that more.
    pub(crate) fn target(&mut self, max: usize, now: Instant) -> usize {
        self.fade(now);
        if self.starts < DEMAND_MIN {
            return 0;
        }
        let make = self.make.unwrap_or(MAKE_ASSUMED);
        let meanwhile = self.starts / DEMAND_WINDOW.as_secs_f64() * make.as_secs_f64();
        let wanted = meanwhile + 2.0 * meanwhile.sqrt();
        // Not negative and far below what would not fit.
        (wanted.ceil() as usize).max(1).min(max)
    }
}

/// What a parked thread is given.
type Given = (Arc<Slot>, u64);

#[derive(Default)]
struct State {
    /// What they are made by.
    engine: Option<Arc<dyn Engine>>,
    parked: Vec<mpsc::SyncSender<Given>>,
    making: bool,
    /// None is made before: one was taken.
    not_before: Option<Instant>,
    /// The engine makes none.
    none: bool,
    demand: Demand,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Ready {
    state: Mutex<State>,
    max: usize,
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ready").field("max", &self.max).finish_non_exhaustive()
    }
}

impl Ready {
    /// At most `max`.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            state: Mutex::default(),
            max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Under the lock are field writes only.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker of `engine` wants an isolate: one that is ready, if there is one.
    pub(crate) fn take(&self, engine: &Arc<dyn Engine>, now: Instant) -> Option<mpsc::SyncSender<Given>> {
        if self.max == 0 {
            return None;
        }
        let mut state = self.lock();
        let own = state.engine.get_or_insert_with(|| engine.clone());
        if !std::ptr::addr_eq(Arc::as_ptr(own), Arc::as_ptr(engine)) {
            return None;
        }
        state.demand.started(now);
        let taken = state.parked.pop();
        if taken.is_some() {
            // Takes that follow do not put it off any further.
            state.not_before.get_or_insert(now + HELD_BACK);
        }
        taken
    }

    /// A start is over: what was put off for it may be done.
    pub(crate) fn start_is_over(&self) {
        if self.max != 0 {
            self.lock().not_before = None;
        }
    }

    /// Whether one is to be made, only not yet.
    pub(crate) fn holds_back(&self) -> bool {
        self.max != 0 && self.lock().not_before.is_some()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().parked.len()
    }

    /// Ends those that are too many, and says by which engine one should be made, if one should.
    pub(crate) fn level(&self, has_room: bool, now: Instant) -> Option<Arc<dyn Engine>> {
        if self.max == 0 {
            return None;
        }
        let mut state = self.lock();
        let target = state.demand.target(self.max, now);
        // Their threads see that nothing will come, and end.
        let keep = target.min(state.parked.len());
        let unwanted = state.parked.split_off(keep);
        if state.not_before.is_some_and(|at| now >= at) {
            state.not_before = None;
        }
        let may = has_room && !state.none && !state.making && state.not_before.is_none();
        let wants = may && state.parked.len() < target;
        let engine = state.engine.clone().filter(|_| wants);
        state.making |= engine.is_some();
        drop(state);
        drop(unwanted);
        engine
    }

    /// Gives one up for others' room. False if there is none.
    pub(crate) fn shed(&self) -> bool {
        self.lock().parked.pop().is_some()
    }

    /// Ends all.
    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        state.none = true;
        let unwanted = std::mem::take(&mut state.parked);
        drop(state);
        drop(unwanted);
    }

    /// One was made and waits; refused if none are wanted any more.
    fn park(&self, give: mpsc::SyncSender<Given>, took: Duration) {
        let mut state = self.lock();
        state.making = false;
        state.demand.made(took);
        if !state.none {
            state.parked.push(give);
        }
    }

    fn failed(&self, none: bool) {
        let mut state = self.lock();
        state.making = false;
        state.none |= none;
    }
}

/// Has one made, on a thread of its own. Called on the watchdog's thread, whose priority it inherits.
pub(crate) fn make(shared: &Arc<Shared>, engine: Arc<dyn Engine>) {
    shared.permits.reserve();
    let maker = shared.clone();
    let spawned = std::thread::Builder::new()
        .name("atoll-ready".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || run(&maker, &engine));
    if let Err(error) = spawned {
        shared.permits.forgo();
        shared.ready.failed(false);
        tracing::warn!(%error, "the system refused a thread for an isolate that was to be ready");
    }
}

/// The thread's main function.
fn run(shared: &Arc<Shared>, engine: &Arc<dyn Engine>) {
    let permits: Arc<Permits> = shared.permits.clone();
    let helpers = Arc::<Helpers>::default();
    let Ok(runtime) = isolate::runtime(&helpers, false) else {
        permits.forgo();
        shared.ready.failed(false);
        return;
    };
    let mut member = permits.join(
        &TenantId::new(NOBODY),
        &Limits::default(),
        Weak::new(),
        0,
        Arc::default(),
        None,
    );
    member.acquire();
    let began = shared.now();
    let made = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { engine.prepare() })));
    let took = shared.now().saturating_duration_since(began);
    member.release();
    drop(member);
    let prepared: Box<dyn Prepared> = match made {
        Ok(Ok(Some(prepared))) => prepared,
        Ok(Ok(None)) => return shared.ready.failed(true),
        Ok(Err(fault)) => {
            tracing::warn!(%fault, "no isolate could be made ahead");
            return shared.ready.failed(true);
        }
        Err(_) => {
            shared.counters.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!("the engine panicked while it made an isolate ahead; no more are made");
            return shared.ready.failed(true);
        }
    };
    // It takes room, whoever it will belong to.
    permits.reserve();
    let (give, given) = mpsc::sync_channel(1);
    shared.ready.park(give, took);
    match given.recv() {
        Ok((slot, id)) => {
            shared.counters.ready_used.fetch_add(1, Ordering::Relaxed);
            isolate::run_prepared(&slot, id, runtime, helpers, prepared);
        }
        Err(_) => {
            permits.forgo();
            let _inside = runtime.enter();
            if catch_unwind(AssertUnwindSafe(move || drop(prepared))).is_err() {
                shared.counters.panics.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_model::WorkerVersion;
    use atoll_worker::{Environment, Fault, Instance};

    struct NoEngine;

    impl Engine for NoEngine {
        fn instantiate(&self, _: Arc<WorkerVersion>, _: Environment) -> Result<Box<dyn Instance>, Fault> {
            unreachable!("nothing is started here")
        }
    }

    #[test]
    fn who_takes_one_starts_before_its_successor_is_made() {
        let (ready, now) = (Ready::new(2), Instant::now());
        let engine: Arc<dyn Engine> = Arc::new(NoEngine);
        assert!(ready.take(&engine, now).is_none() && !ready.holds_back());
        assert!(ready.level(true, now).is_some(), "the first start has one made");
        let (give, _given) = mpsc::sync_channel(1);
        ready.park(give, Duration::from_millis(5));
        assert!(ready.take(&engine, now).is_some() && ready.holds_back());
        let early = now + HELD_BACK / 2;
        assert!(ready.level(true, early).is_none() && ready.holds_back());
        // A second wish in the meantime changes nothing.
        assert!(ready.take(&engine, early).is_none());
        assert!(ready.level(true, now + HELD_BACK).is_some() && !ready.holds_back());
        // A start that is over puts nothing off any longer.
        let (give, _given) = mpsc::sync_channel(1);
        ready.park(give, Duration::from_millis(5));
        assert!(ready.take(&engine, now).is_some() && ready.level(true, now).is_none());
        ready.start_is_over();
        assert!(!ready.holds_back() && ready.level(true, now).is_some());
    }

    #[test]
    fn as_many_are_ready_as_are_wanted_while_one_is_made() {
        let target = |starts_a_second: u32, make_ms: u64| {
            let begin = Instant::now();
            let mut demand = Demand::default();
            demand.made(Duration::from_millis(make_ms));
            let starts = starts_a_second * 600;
            for start in 0..starts {
                demand.started(begin + Duration::from_secs(600) * start / starts);
            }
            demand.target(READY_MAX, begin + Duration::from_secs(600))
        };
        assert_eq!(target(1, 4), 1);
        assert_eq!(target(100, 4), 2);
        assert_eq!(target(200, 10), 5);
        assert_eq!(target(1_000, 50), READY_MAX);
    }

    #[test]
    fn nothing_is_kept_ready_when_nothing_was_wanted_for_long() {
        let begin = Instant::now();
        let mut demand = Demand::default();
        assert_eq!(demand.target(8, begin), 0);
        demand.started(begin);
        assert_eq!(demand.target(8, begin), 1);
        assert_eq!(demand.target(8, begin + 2 * DEMAND_WINDOW), 1);
        assert_eq!(demand.target(8, begin + 3 * DEMAND_WINDOW), 0);
    }
}
