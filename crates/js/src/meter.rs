//! CPU by event. An isolate runs many events by turns; each is charged with what it used, over all its turns.
//!
//! Who runs is known *exactly* while a handler is called (with the microtasks that follow at once), while a timer's callback
//! runs, and throughout any turn in which one event alone is open. In the rest (continuations of several events that wait
//! for I/O) the watchdog interrupts every few milliseconds and the continuation found there is charged with the time since
//! the turn's last mark: an event that computes is found in proportion to what it computes, one that only waits never.
//!
//! Marks read the wall clock, which is cheap and an upper bound. When enough has gathered ([`SETTLE`]) the thread's CPU
//! clock, a system call, says how much of it was really used, and the shares are settled with that.
//!
//! What is settled is also told as the CPU of the route that led to the event, if one did: more than nothing waits no longer
//! than [`TELL`] for that, as long as there are turns.
//!
//! Work on helpers' threads (key generation, password hashes) is charged to the events that asked: as many pieces run at a
//! time as there are threads, in the order in which they were asked for, and share what the threads used. Nobody interrupts
//! it; while there is any, the instance looks every [`HELPERS_LOOK`]. An event whose work goes on is not forgotten when it
//! ends.

use atoll_worker::{CpuGauge, RouteNumber};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Wall time after which shares are settled.
const SETTLE: Duration = Duration::from_millis(1);

/// Time after which less is settled, too, so that whoever counts by route hears of it.
const TELL: Duration = Duration::from_secs(1);

/// How often helpers' threads are looked at while they work.
pub(crate) const HELPERS_LOOK: Duration = Duration::from_millis(5);
/// Pieces of work that run at a time, as the pool has it (`BLOCKING_THREADS_MAX`).
const HELPERS_MAX: usize = 4;

/// Ids are consecutive numbers: spreading them is enough.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }
    fn write_u32(&mut self, id: u32) {
        // Fibonacci hashing: 2^64 over the golden ratio.
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// A table by event id.
pub(crate) type ById<T> = HashMap<u32, T, BuildHasherDefault<IdHasher>>;

/// Some events' ids.
pub(crate) type Ids = HashSet<u32, BuildHasherDefault<IdHasher>>;

/// Who runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Running {
    /// No worker's code.
    Nothing,
    Event(u32, Option<RouteNumber>),
    /// One of several.
    Unknown,
}

/// An event that is open.
#[derive(Debug)]
struct Charged {
    used_ns: u64,
    route: Option<RouteNumber>,
}

/// Wall time of an event that is not settled. It may be over by then; its route is not.
struct Share {
    event: u32,
    route: Option<RouteNumber>,
    wall: Duration,
}

struct Inner {
    running: Running,
    since: Instant,
    shares: Vec<Share>,
    /// When shares were settled last.
    settled_at: Option<Instant>,
    /// Wall time of the worker's code since the CPU clock was read, whoever it belongs to.
    unsettled: Duration,
    settled_cpu_ns: u64,
    /// Open events.
    charged: ById<Charged>,
    exceeded: Option<u32>,
    /// Pieces of work on helpers' threads, oldest first: each one's number, and the event that asked.
    helping: VecDeque<(u32, u32)>,
    /// Events that are over but for such work.
    closed: Vec<u32>,
    last_help: u32,
    helpers_seen_ns: u64,
}

/// Charges events. See the module.
pub(crate) struct Meter {
    gauge: Arc<CpuGauge>,
    hard_ns: u64,
    soft_ns: u64,
    /// The watchdog looks at every turn, whoever runs.
    looks_always: Cell<bool>,
    inner: RefCell<Inner>,
}

impl Meter {
    pub fn new(hard_ms: u64, soft_ms: u64) -> Self {
        let ns = |ms: u64| ms.saturating_mul(1_000_000);
        Self {
            gauge: Arc::default(),
            hard_ns: ns(hard_ms),
            soft_ns: ns(soft_ms),
            looks_always: Cell::new(false),
            inner: RefCell::new(Inner {
                running: Running::Nothing,
                since: Instant::now(),
                shares: Vec::new(),
                settled_at: None,
                unsettled: Duration::ZERO,
                settled_cpu_ns: 0,
                charged: ById::default(),
                exceeded: None,
                helping: VecDeque::new(),
                closed: Vec::new(),
                last_help: 0,
                helpers_seen_ns: 0,
            }),
        }
    }

    pub fn gauge(&self) -> &Arc<CpuGauge> {
        &self.gauge
    }

    /// Whether a debugger holds the isolate: then nothing is charged.
    pub fn suspend(&self, suspended: bool) {
        if self.gauge.is_suspended() != suspended {
            self.gauge.suspend(suspended);
        }
    }

    /// From now on the watchdog looks at every turn: something is to be held that only a look shows.
    pub fn look_always(&self) {
        if !self.looks_always.replace(true) {
            self.gauge.want_look(true);
        }
    }

    /// An event begins, which that route led to.
    pub fn open(&self, id: u32, route: Option<RouteNumber>) {
        let charged = Charged { used_ns: 0, route };
        self.inner.borrow_mut().charged.insert(id, charged);
    }

    /// An event is over.
    pub fn close(&self, id: u32) {
        let mut inner = self.inner.borrow_mut();
        if inner.helping.iter().all(|(_, event)| *event != id) {
            inner.charged.remove(&id);
        } else {
            inner.closed.push(id);
        }
    }

    /// Work for the event begins, or waits to begin, on a helper's thread. Gives its number.
    pub fn help_begins(&self, id: u32) -> u32 {
        self.charge_helpers();
        let mut inner = self.inner.borrow_mut();
        inner.last_help = inner.last_help.wrapping_add(1);
        let number = inner.last_help;
        inner.helping.push_back((number, id));
        number
    }

    /// It is done.
    pub fn help_ends(&self, number: u32) {
        self.charge_helpers();
        let mut inner = self.inner.borrow_mut();
        let Some(at) = inner.helping.iter().position(|(own, _)| *own == number) else {
            return;
        };
        let Some((_, event)) = inner.helping.remove(at) else {
            return;
        };
        if inner.helping.iter().any(|(_, other)| *other == event) {
            return;
        }
        if let Some(at) = inner.closed.iter().position(|closed| *closed == event) {
            inner.closed.swap_remove(at);
            inner.charged.remove(&event);
        }
    }

    /// Whether there is work on helpers' threads.
    pub fn is_helped(&self) -> bool {
        !self.inner.borrow().helping.is_empty()
    }

    /// Charges what helpers' threads have used since the last time.
    pub fn charge_helpers(&self) {
        let now_ns = self.gauge.helpers_ns();
        let mut inner = self.inner.borrow_mut();
        let used = now_ns.saturating_sub(inner.helpers_seen_ns);
        inner.helpers_seen_ns = now_ns;
        let Inner {
            helping,
            charged,
            exceeded,
            ..
        } = &mut *inner;
        let sharing = helping.len().min(HELPERS_MAX) as u64;
        if used == 0 || sharing == 0 || self.gauge.is_suspended() {
            return;
        }
        for (_, id) in helping.iter().take(HELPERS_MAX) {
            if let Some(route) = charged.get(id).and_then(|event| event.route) {
                self.gauge.used_by_route(route, used / sharing);
            }
            self.charge(charged, exceeded, *id, used / sharing);
        }
    }

    /// Adds to what an event has used.
    fn charge(&self, charged: &mut ById<Charged>, exceeded: &mut Option<u32>, id: u32, charge_ns: u64) {
        let Some(event) = charged.get_mut(&id) else { return };
        event.used_ns = event.used_ns.saturating_add(charge_ns);
        if event.used_ns > self.hard_ns {
            exceeded.get_or_insert(id);
        }
        if event.used_ns > self.soft_ns {
            self.gauge.set_spent();
        }
    }

    /// The event with this id runs from now on; 0 or one that is over: nobody known.
    pub fn runs(&self, id: u32, now: Instant) {
        let mut inner = self.inner.borrow_mut();
        let running = match inner.charged.get(&id) {
            Some(event) => Running::Event(id, event.route),
            None => inner.whoever(),
        };
        self.switch(&mut inner, running, now);
    }

    /// Whatever is ready runs from now on.
    pub fn runs_whatever_is_ready(&self, now: Instant) {
        let mut inner = self.inner.borrow_mut();
        let running = inner.whoever();
        self.switch(&mut inner, running, now);
    }

    /// The turn is over.
    pub fn rests(&self, now: Instant) {
        self.switch(&mut self.inner.borrow_mut(), Running::Nothing, now);
    }

    /// The event with this id was found running where nobody was known to.
    pub fn found(&self, id: u32, now: Instant) {
        let mut inner = self.inner.borrow_mut();
        if inner.running != Running::Unknown {
            return;
        }
        let Some(event) = inner.charged.get(&id) else { return };
        inner.running = Running::Event(id, event.route);
        self.take(&mut inner, now);
        self.settle(&mut inner);
        inner.running = Running::Unknown;
    }

    /// The event that went over the hard limit, if one did. Told once.
    pub fn take_exceeded(&self) -> Option<u32> {
        self.inner.borrow_mut().exceeded.take()
    }

    /// Whether one did.
    pub fn has_exceeded(&self) -> bool {
        self.inner.borrow().exceeded.is_some()
    }

    /// CPU the event has used, milliseconds.
    pub fn cpu_ms(&self, id: u32, now: Instant) -> f64 {
        let mut inner = self.inner.borrow_mut();
        self.take(&mut inner, now);
        self.settle(&mut inner);
        inner.charged.get(&id).map_or(0.0, |event| event.used_ns as f64 / 1e6)
    }

    fn switch(&self, inner: &mut Inner, running: Running, now: Instant) {
        if inner.running == running && running != Running::Nothing {
            return;
        }
        self.take(inner, now);
        let late = |at: Instant| now.saturating_duration_since(at) >= TELL;
        if inner.unsettled >= SETTLE || (!inner.shares.is_empty() && inner.settled_at.is_none_or(late)) {
            inner.settled_at = Some(now);
            self.settle(inner);
        }
        inner.running = running;
        let left_ns = match running {
            Running::Nothing => u64::MAX,
            // However many share it, nobody may use more than this at once.
            Running::Unknown => self.hard_ns,
            Running::Event(id, _) => {
                // Wall time that is not settled may be less CPU: it does not count before it is known.
                let used_ns = inner.charged.get(&id).map_or(0, |event| event.used_ns);
                self.hard_ns.saturating_sub(used_ns)
            }
        };
        self.gauge
            .want_look(running == Running::Unknown || self.looks_always.get());
        self.gauge.begin(left_ns);
    }

    /// Books the time since the last mark on whoever ran.
    fn take(&self, inner: &mut Inner, now: Instant) {
        let elapsed = now.saturating_duration_since(inner.since);
        inner.since = now;
        if inner.running == Running::Nothing || self.gauge.is_suspended() {
            return;
        }
        inner.unsettled += elapsed;
        if let Running::Event(event, route) = inner.running {
            match inner.shares.last_mut() {
                Some(share) if share.event == event => share.wall += elapsed,
                _ => inner.shares.push(Share {
                    event,
                    route,
                    wall: elapsed,
                }),
            }
        }
    }

    /// Turns wall time into CPU.
    fn settle(&self, inner: &mut Inner) {
        let wall_ns = inner.unsettled.as_nanos();
        let cpu_ns = match self.gauge.cpu_ns() {
            Some(now_ns) => {
                let used_ns = now_ns.saturating_sub(inner.settled_cpu_ns);
                inner.settled_cpu_ns = now_ns;
                // Between turns the thread works too, for nobody.
                u128::from(used_ns).min(wall_ns)
            }
            None => wall_ns,
        };
        inner.unsettled = Duration::ZERO;
        let Inner {
            shares,
            charged,
            exceeded,
            ..
        } = inner;
        for Share { event, route, wall } in shares.drain(..) {
            // Shares add up to no more than `wall_ns`, which is not 0 where there is a share that is not.
            let charge_ns = wall.as_nanos() * cpu_ns / wall_ns.max(1);
            let charge_ns = u64::try_from(charge_ns).unwrap_or(u64::MAX);
            if let Some(route) = route {
                self.gauge.used_by_route(route, charge_ns);
            }
            self.charge(charged, exceeded, event, charge_ns);
        }
    }
}

impl Drop for Meter {
    /// What was not settled is told as its routes' all the same.
    fn drop(&mut self) {
        let mut inner = self.inner.borrow_mut();
        if !inner.shares.is_empty() {
            self.settle(&mut inner);
        }
    }
}

impl Inner {
    /// The only open event, if there is one.
    fn whoever(&self) -> Running {
        match self.charged.len() {
            0 => Running::Nothing,
            1 => self
                .charged
                .iter()
                .next()
                .map_or(Running::Nothing, |(id, event)| Running::Event(*id, event.route)),
            _ => Running::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A meter whose wall time is what the test says.
    struct World {
        meter: Meter,
        now: Instant,
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    impl World {
        fn new(hard_ms: u64, soft_ms: u64, events: &[u32]) -> Self {
            let meter = Meter::new(hard_ms, soft_ms);
            let now = Instant::now();
            events.iter().for_each(|id| meter.open(*id, None));
            meter.rests(now);
            Self { meter, now }
        }

        /// A turn in which the event's handler runs for so long.
        fn handler(&mut self, id: u32, time: Duration) {
            self.meter.runs(id, self.now);
            self.now += time;
            self.meter.rests(self.now);
        }

        fn used_ms(&self, id: u32) -> f64 {
            self.meter.cpu_ms(id, self.now)
        }
    }

    #[test]
    fn turns_add_up_to_exactly_the_limit() {
        let mut world = World::new(30, 10, &[1]);
        for _ in 0..3 {
            world.handler(1, ms(10));
        }
        assert_eq!(world.used_ms(1), 30.0);
        assert_eq!(world.meter.take_exceeded(), None);
        world.handler(1, Duration::from_nanos(1));
        world.used_ms(1);
        assert_eq!(world.meter.take_exceeded(), Some(1));
        assert_eq!(world.meter.take_exceeded(), None);
    }

    #[test]
    fn the_soft_limit_only_asks_for_another_isolate() {
        let mut world = World::new(30, 10, &[1]);
        world.handler(1, ms(10));
        assert!(!world.meter.gauge().is_spent());
        world.handler(1, ms(1));
        assert!(world.meter.gauge().is_spent());
        assert_eq!(world.meter.take_exceeded(), None);
    }

    #[test]
    fn short_turns_count() {
        let mut world = World::new(1_000, 1_000, &[1, 2]);
        for _ in 0..1_000 {
            world.handler(1, Duration::from_micros(20));
            world.handler(2, Duration::from_micros(10));
        }
        assert_eq!((world.used_ms(1), world.used_ms(2)), (20.0, 10.0));
    }

    #[test]
    fn one_open_event_pays_for_the_whole_turn_and_of_several_who_was_found() {
        let mut world = World::new(1_000, 1_000, &[1]);
        world.meter.runs_whatever_is_ready(world.now);
        world.now += ms(5);
        world.meter.rests(world.now);
        assert_eq!(world.used_ms(1), 5.0);
        world.meter.open(2, None);
        world.meter.runs_whatever_is_ready(world.now);
        assert!(world.meter.gauge().wants_look());
        world.now += ms(7);
        world.meter.found(2, world.now);
        world.now += ms(2);
        world.meter.rests(world.now);
        assert!(!world.meter.gauge().wants_look());
        assert_eq!((world.used_ms(1), world.used_ms(2)), (5.0, 7.0));
        // Nobody runs between turns, and who is over pays nothing.
        world.now += ms(100);
        world.meter.close(2);
        world.handler(2, ms(3));
        assert_eq!((world.used_ms(1), world.used_ms(2)), (8.0, 0.0));
    }

    #[test]
    fn the_budget_of_a_spell_is_what_is_left() {
        let mut world = World::new(30, 30, &[1, 2]);
        world.handler(1, ms(10));
        world.used_ms(1);
        let (before, nothing) = world.meter.gauge().spell();
        assert_eq!(nothing, u64::MAX);
        world.meter.runs(1, world.now);
        let (spell, left_ns) = world.meter.gauge().spell();
        assert!(spell > before);
        assert_eq!(left_ns, 20_000_000);
        world.meter.runs(2, world.now);
        assert_eq!(world.meter.gauge().spell().1, 30_000_000);
    }

    #[derive(Debug, Default)]
    struct FakeHelpers(std::sync::atomic::AtomicU64);

    impl atoll_worker::HelperClock for FakeHelpers {
        fn cpu_ns(&self) -> u64 {
            self.0.load(std::sync::atomic::Ordering::Relaxed)
        }
    }

    #[test]
    fn work_of_helpers_is_charged_to_those_who_asked() {
        let world = World::new(30, 30, &[1, 2]);
        let clock = Arc::new(FakeHelpers::default());
        world.meter.gauge().set_helpers(clock.clone());
        let worked = |ms: u64| {
            clock.0.fetch_add(ms * 1_000_000, std::sync::atomic::Ordering::Relaxed);
        };
        // Before anybody asked it was nobody's.
        worked(100);
        let first = world.meter.help_begins(1);
        worked(6);
        world.meter.charge_helpers();
        assert_eq!((world.used_ms(1), world.used_ms(2)), (6.0, 0.0));
        let second = world.meter.help_begins(2);
        worked(8);
        world.meter.help_ends(first);
        assert_eq!((world.used_ms(1), world.used_ms(2)), (10.0, 4.0));
        // What waits behind the threads that there are costs nothing yet.
        let waiting: Vec<u32> = (0..HELPERS_MAX).map(|_| world.meter.help_begins(1)).collect();
        worked(8);
        world.meter.charge_helpers();
        assert_eq!((world.used_ms(1), world.used_ms(2)), (16.0, 6.0));
        // An event that is over goes on paying, and can exceed its limit.
        world.meter.close(1);
        world.meter.help_ends(second);
        worked(14);
        world.meter.charge_helpers();
        assert_eq!(world.meter.take_exceeded(), None);
        worked(1);
        world.meter.charge_helpers();
        assert_eq!(world.meter.take_exceeded(), Some(1));
        for number in waiting {
            assert!(world.meter.is_helped());
            world.meter.help_ends(number);
        }
        assert!(!world.meter.is_helped());
        assert_eq!(world.used_ms(1), 0.0);
    }

    #[test]
    fn a_route_is_charged_with_its_events_also_with_those_that_are_over() {
        let mut world = World::new(1_000, 1_000, &[3]);
        let routes = Arc::new(atoll_worker::RouteCpu::default());
        world.meter.gauge().set_routes(routes.clone());
        let [shop, blog] = [1, 2].map(|number| RouteNumber(std::num::NonZeroU32::new(number).unwrap()));
        world.meter.open(1, Some(shop));
        world.meter.open(2, Some(blog));
        // So little is not settled at once, but told all the same: the first, and what is a second old.
        world.handler(1, Duration::from_micros(300));
        world.meter.close(1);
        assert_eq!(routes.take(u64::MAX), [(shop, 300)]);
        world.handler(2, Duration::from_micros(200));
        world.meter.close(2);
        assert_eq!(routes.take(u64::MAX), []);
        // What runs for nobody's route is nobody's.
        world.handler(3, ms(20));
        assert_eq!(routes.take(u64::MAX), [(blog, 200)]);
        world.meter.open(4, Some(shop));
        world.handler(4, Duration::from_micros(100));
        assert_eq!(routes.take(u64::MAX), []);
        world.now += TELL;
        world.handler(4, Duration::from_micros(100));
        assert_eq!(routes.take(u64::MAX), [(shop, 100)]);
    }

    #[test]
    fn a_route_is_charged_with_the_work_of_helpers_for_its_events() {
        let world = World::new(30, 30, &[]);
        let (clock, routes) = (
            Arc::new(FakeHelpers::default()),
            Arc::new(atoll_worker::RouteCpu::default()),
        );
        world.meter.gauge().set_helpers(clock.clone());
        world.meter.gauge().set_routes(routes.clone());
        let shop = RouteNumber(std::num::NonZeroU32::MIN);
        world.meter.open(1, Some(shop));
        let work = world.meter.help_begins(1);
        world.meter.close(1);
        clock.0.fetch_add(6_000_000, std::sync::atomic::Ordering::Relaxed);
        world.meter.help_ends(work);
        assert_eq!(routes.take(u64::MAX), [(shop, 6_000)]);
    }

    thread_local! {
        static CPU_NS: Cell<u64> = const { Cell::new(0) };
    }

    #[test]
    fn wall_time_without_cpu_is_not_charged() {
        let mut world = World::new(1_000, 1_000, &[1, 2]);
        world.meter.gauge().set_clock(|| CPU_NS.get());
        world.meter.runs(1, world.now);
        world.now += ms(30);
        world.meter.runs(2, world.now);
        world.now += ms(10);
        CPU_NS.set(4_000_000);
        world.meter.rests(world.now);
        // The first was settled before anything was used, by the clock; the second got what there was.
        assert_eq!((world.used_ms(1), world.used_ms(2)), (0.0, 4.0));
        // A debugger's pause is nobody's.
        world.meter.runs(1, world.now);
        world.meter.gauge().suspend(true);
        world.now += ms(50);
        CPU_NS.set(50_000_000);
        world.meter.rests(world.now);
        world.meter.gauge().suspend(false);
        assert_eq!(world.used_ms(1), 0.0);
    }
}
