//! The pool itself: slots, the watchdog's thread, drain.

use crate::home::{HomeId, Homes};
use crate::isolate::{self, End};
use crate::keep::GreedyDual;
use crate::memory::Memory;
use crate::options::{
    AbandonHook, EXTRA_KEPT, EXTRA_SHARE, HOUSEKEEPING_EVERY, PoolOptions, PoolStats, ROOM_WAIT_MAX, STACK_BYTES,
};
use crate::permits::{Permits, Verdict};
use crate::queue::Why;
use crate::ready::{self, Ready};
use crate::rests::Rests;
use crate::room::Room;
use crate::slot::Slot;
use crate::time::Monotonic;
use crate::worker::WorkerSlot;
use atoll_model::{TenantId, WorkerVersion};
use atoll_worker::{Engine, Environment, Fault, FaultKind};
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// The watchdog looks this many times during [`PoolOptions::turn_max`].
const SCANS_PER_TURN: u32 = 4;
/// While no turn takes long it looks so many times less often. What a loop may use beyond its limit grows by a period for each.
const CALM_PERIODS: u32 = 2;
/// It looks no more often than this.
const SCAN_MIN: Duration = Duration::from_millis(1);

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) replaced: AtomicU64,
    pub(crate) terminated: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    pub(crate) started: AtomicU64,
    pub(crate) start_failures: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) jobs: AtomicU64,
    pub(crate) overloaded: AtomicU64,
    pub(crate) spent: AtomicU64,
    pub(crate) grown: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) visits: AtomicU64,
    pub(crate) ready_used: AtomicU64,
}

/// What a tenant's workers have in flight together.
#[derive(Debug)]
pub(crate) struct TenantLoad {
    pub(crate) in_flight: Arc<AtomicU32>,
    pub(crate) max: u32,
    /// Isolates beyond each worker's first.
    pub(crate) extra: AtomicU32,
    pub(crate) extra_max: u32,
}

/// A slot that waits for room.
struct Crowded {
    slot: Arc<Slot>,
    until: Instant,
    /// An idle isolate has been told to go for it.
    evicted: bool,
}

/// What slots and the watchdog share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) permits: Arc<Permits>,
    pub(crate) counters: Counters,
    on_abandon: Option<AbandonHook>,
    /// Isolates that the process has room for.
    isolates_max: usize,
    room: Room,
    tenants: Mutex<HashMap<TenantId, Weak<TenantLoad>>>,
    tenant_in_flight_max: u32,
    pub(crate) isolates_per_worker: usize,
    memory: Option<Arc<dyn Memory>>,
    time: Arc<dyn Monotonic>,
    pub(crate) ready: Ready,
    homes: OnceLock<Arc<Homes>>,
    pub(crate) rests: Rests,
    policy: Mutex<GreedyDual>,
    slots: Mutex<Vec<Weak<Slot>>>,
    /// Slots whose jobs wait behind busy isolates.
    watched: Mutex<Vec<Weak<Slot>>>,
    /// Slots that wait for a thread; `None` once the watchdog is gone.
    asked: Mutex<Option<Vec<Arc<Slot>>>>,
    watchdog: OnceLock<Thread>,
    stop: AtomicBool,
}

impl Shared {
    /// The load of a tenant, shared by its workers.
    pub(crate) fn tenant(&self, tenant: &TenantId) -> Arc<TenantLoad> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = tenants.get(tenant).and_then(Weak::upgrade) {
            return load;
        }
        tenants.retain(|_, load| load.strong_count() > 0);
        let load = Arc::new(TenantLoad {
            in_flight: Arc::default(),
            max: self.tenant_in_flight_max,
            extra: AtomicU32::new(0),
            extra_max: u32::try_from(self.isolates_max / EXTRA_SHARE).unwrap_or(u32::MAX),
        });
        tenants.insert(tenant.clone(), Arc::downgrade(&load));
        load
    }

    pub(crate) fn isolates_max(&self) -> usize {
        self.isolates_max
    }

    /// Whether there is room for one more isolate.
    pub(crate) fn has_room(&self) -> bool {
        let members = self.permits.counts().members;
        members < self.isolates_max && self.room.admits(members, self.now())
    }

    /// Whether an isolate may move into a home.
    pub(crate) fn is_open(&self, home: HomeId) -> bool {
        self.homes.get().is_some_and(|homes| homes.is_open(home))
    }

    pub(crate) fn now(&self) -> Instant {
        self.time.now()
    }

    fn slots(&self) -> Vec<Arc<Slot>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().filter_map(Weak::upgrade).collect()
    }

    /// Has the watchdog visit `slot` until nothing waits there.
    pub(crate) fn watch_over(&self, slot: &Arc<Slot>) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.push(Arc::downgrade(slot));
    }

    /// Visits those that are watched. True if any is still.
    fn visit(&self) -> bool {
        let watched = std::mem::take(&mut *self.watched.lock().unwrap_or_else(PoisonError::into_inner));
        let wanted = |slot: &Weak<Slot>| slot.upgrade().is_some_and(|slot| slot.visit());
        let again: Vec<_> = watched.into_iter().filter(wanted).collect();
        let more = !again.is_empty();
        self.counters.visits.fetch_add(1, Ordering::Relaxed);
        self.watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(again);
        more
    }

    /// Gives back isolates and memory that are not used, and ends idle isolates if memory is short. True if there will be
    /// more to do although nothing runs.
    fn keep_house(&self) -> bool {
        let slots = self.slots();
        let mut later = self.ready.count() > 0;
        for slot in &slots {
            later |= slot.keep_house(EXTRA_KEPT);
        }
        self.rests.find(&slots);
        // However busy it is: one now and then.
        self.rests.next(self.now());
        self.keep_room();
        if let Some(memory) = &self.memory {
            let held = slots.iter().map(|slot| slot.held_bytes()).sum();
            let excess = memory.read(held).map_or(0, |reading| reading.excess());
            if excess > 0 {
                let (count, bytes) = self.evict(&slots, |_, bytes| bytes >= excess);
                tracing::info!(count, bytes, "memory is short: idle isolates were ended");
            }
        }
        later
    }

    /// Ends idle isolates where the process has come to have nearly as many memory mappings as it may.
    fn keep_room(&self) {
        let excess = self.room.excess(self.permits.counts().members, self.now());
        if excess > 0 {
            let (count, _) = self.evict(&self.slots(), |count, _| count >= excess);
            tracing::warn!(
                count,
                "the process has nearly as many memory mappings as vm.max_map_count allows: idle isolates were ended; \
                 sysctl -w vm.max_map_count=1048576 gives them room"
            );
        }
    }

    /// Ends idle isolates, those of workers that have several first, then the least dear, until `enough` of them and of
    /// their bytes. How many, and how much they held.
    fn evict(&self, slots: &[Arc<Slot>], enough: impl Fn(usize, u64) -> bool) -> (usize, u64) {
        let mut policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut count, mut bytes) = (0, 0);
        while !enough(count, bytes) {
            let offers = slots.iter().filter_map(|slot| Some((slot.offers(&policy)?, slot)));
            let cheapest = offers.min_by(|((last, one), _), ((other_last, other), _)| {
                last.cmp(other_last).then_with(|| one.total_cmp(other))
            });
            let Some(((last, priority), slot)) = cheapest else {
                break;
            };
            // Busy meanwhile: the next.
            let Some(held) = slot.give_up_one() else { continue };
            if last {
                policy.evicted(priority);
            }
            count += 1;
            bytes += held;
        }
        self.counters.evicted.fetch_add(count as u64, Ordering::Relaxed);
        (count, bytes)
    }

    /// Has the watchdog make a thread for `slot`. Not the caller: a new thread inherits its maker's priority, and the
    /// caller may be a demoted isolate's.
    pub(crate) fn ask_for_isolate(&self, slot: Arc<Slot>) {
        if let Some(fault) = slot.too_much_left() {
            let id = slot.register();
            return slot.ended(id, End::NotStarted(fault));
        }
        if self.homes.get().is_none()
            && let Some(give) = self.ready.take(slot.engine(), self.now())
        {
            let id = slot.register();
            // The thread waits for nothing else; it was counted when it was made.
            if give.send((slot.clone(), id)).is_err() {
                let fault = Fault::new(FaultKind::Internal, "the thread of a ready isolate is gone");
                slot.ended(id, End::NotStarted(fault));
            }
            return self.wake_watchdog();
        }
        {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            match asked.as_mut() {
                Some(asked) => asked.push(slot),
                None => {
                    drop(asked);
                    return refuse(&slot);
                }
            }
        }
        self.wake_watchdog();
    }

    fn wake_watchdog(&self) {
        if let Some(watchdog) = self.watchdog.get() {
            watchdog.unpark();
        }
    }

    /// Tells whoever wants to know that work of a worker could not be ended.
    pub(crate) fn tell_abandoned(&self, version: &WorkerVersion, fault: &Fault) {
        if let Some(hook) = &self.on_abandon {
            (hook.0)(version, fault);
        }
    }

    fn watch(self: &Arc<Self>, turn_max: Duration) {
        let period = (turn_max / SCANS_PER_TURN).max(SCAN_MIN);
        let mut crowded: Vec<Crowded> = Vec::new();
        let mut next_house = Instant::now() + HOUSEKEEPING_EVERY;
        // Whether there is more to do when nothing runs; nobody knows before the house was kept.
        let mut later = true;
        while !self.stop.load(Ordering::Acquire) {
            let asked = {
                let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
                asked.as_mut().map(std::mem::take).unwrap_or_default()
            };
            let some = !asked.is_empty();
            self.make(asked, &mut crowded);
            // Those who ask come first.
            if !some && let Some(engine) = self.ready.level(self.has_room(), self.now()) {
                ready::make(self, engine);
            }
            let scan = self.permits.scan(Instant::now(), period);
            let quiet = scan.is_none();
            let calm = scan.as_ref().is_none_or(|scan| scan.calm);
            for verdict in scan.into_iter().flat_map(|scan| scan.verdicts) {
                self.execute(verdict);
            }
            // What rests takes a permit, and collects all garbage in its turn.
            if self.permits.has_free() {
                self.rests.next(self.now());
            }
            let watching = self.visit() || !crowded.is_empty() || self.ready.holds_back() || self.rests.some_are_due();
            let now = Instant::now();
            // What runs leaves something to be looked at afterwards.
            later |= !quiet;
            if !quiet {
                self.keep_room();
            }
            if now >= next_house {
                later = self.keep_house();
                next_house = now + HOUSEKEEPING_EVERY;
            }
            match (quiet && !watching, later) {
                // While turns come and go by themselves it is enough to find the one that stays.
                (false, _) if calm && !watching => std::thread::park_timeout(period * CALM_PERIODS),
                (false, _) => std::thread::park_timeout(period),
                (true, true) => std::thread::park_timeout(next_house.saturating_duration_since(now)),
                // Unparked by the first turn, by a wish for an isolate and by the pool's end.
                (true, false) => std::thread::park(),
            }
        }
        self.ready.clear();
        let left = self.asked.lock().unwrap_or_else(PoisonError::into_inner).take();
        left.iter().flatten().for_each(refuse);
        crowded.iter().for_each(|one| refuse(&one.slot));
    }

    /// Makes threads for those that asked. One that is needed waits for room, and an idle isolate of another ends for it.
    fn make(&self, asked: Vec<Arc<Slot>>, crowded: &mut Vec<Crowded>) {
        let now = Instant::now();
        let new = asked.into_iter().map(|slot| Crowded {
            slot,
            until: now + ROOM_WAIT_MAX,
            evicted: false,
        });
        for mut one in std::mem::take(crowded).into_iter().chain(new) {
            if crowded.is_empty() && self.has_room() {
                self.spawn(one.slot);
            } else if !one.slot.asked_why().is_some_and(Why::is_needed) {
                one.slot.forgo();
            } else if now >= one.until {
                no_room(&one.slot);
            } else {
                let make_room = || self.ready.shed() || self.evict(&self.slots(), |count, _| count >= 1).0 > 0;
                one.evicted = one.evicted || make_room();
                crowded.push(one);
            }
        }
    }

    fn spawn(&self, slot: Arc<Slot>) {
        if let Some(fault) = slot.too_much_left() {
            let id = slot.register();
            return slot.ended(id, End::NotStarted(fault));
        }
        let which = match slot.asked_why() {
            Some(Why::Here(home)) => Some(home),
            _ => None,
        };
        let homes = self.homes.get().filter(|_| slot.may_live_at_home());
        let home = homes.and_then(|homes| homes.take(which));
        if which.is_some() && home.is_none() {
            // Others were there first.
            return slot.forgo();
        }
        slot.permits().reserve();
        if let Some(home) = home {
            let id = slot.register_at(Some(home.id()));
            return home.drive(slot, id);
        }
        let id = slot.register();
        let name: String = slot.version().name.as_str().chars().take(15).collect();
        let isolate_slot = slot.clone();
        let spawned = std::thread::Builder::new()
            .name(name.replace('\0', ""))
            .stack_size(STACK_BYTES)
            .spawn(move || isolate::run(&isolate_slot, id));
        if let Err(error) = spawned {
            slot.permits().forgo();
            let text = format!("the system refused a thread for the worker's isolate: {error}");
            slot.ended(id, End::NotStarted(Fault::new(FaultKind::Overloaded, text)));
        }
    }

    fn execute(&self, verdict: Verdict) {
        match verdict {
            Verdict::Terminate(interrupt, fault) => {
                self.counters.terminated.fetch_add(1, Ordering::Relaxed);
                interrupt.terminate(fault);
            }
            Verdict::Insist(interrupt) => interrupt.insist(),
            Verdict::Look(interrupt) => interrupt.look(),
            Verdict::Wake(wakes) => wakes.give(),
            Verdict::Abandon(slot, isolate, fault) => {
                if let Some(slot) = slot.upgrade() {
                    slot.abandon(isolate, fault);
                }
            }
        }
    }
}

/// Answers a wish for an isolate when the pool is gone.
fn refuse(slot: &Arc<Slot>) {
    let id = slot.register();
    let fault = Fault::new(FaultKind::Draining, "the pool of isolates has stopped");
    slot.ended(id, End::NotStarted(fault));
}

/// Answers a wish for an isolate when there is no room for it.
fn no_room(slot: &Arc<Slot>) {
    let id = slot.register();
    slot.ended(id, End::NotStarted(slot.no_room()));
}

/// Runs workers. Dropping it stops the watchdog; call [`Pool::drain`] first.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    /// A pool with its watchdog. Fails if the system refuses the watchdog's thread.
    ///
    /// An engine that must be initialized before the first thread is initialized before this.
    pub fn new(options: PoolOptions) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            permits: Arc::new(Permits::new(&options)),
            counters: Counters::default(),
            on_abandon: options.on_abandon,
            isolates_max: options.isolates_max,
            room: Room::new(options.mappings),
            tenants: Mutex::default(),
            tenant_in_flight_max: options.tenant_in_flight_max,
            isolates_per_worker: options.isolates_per_worker.max(1),
            memory: options.memory,
            time: options.time,
            ready: Ready::new(options.ready_max),
            homes: OnceLock::new(),
            rests: Rests::default(),
            policy: Mutex::default(),
            slots: Mutex::default(),
            watched: Mutex::default(),
            asked: Mutex::new(Some(Vec::new())),
            watchdog: OnceLock::new(),
            stop: AtomicBool::new(false),
        });
        let watched = shared.clone();
        let turn_max = options.turn_max;
        let watchdog = std::thread::Builder::new()
            .name("atoll-watchdog".to_owned())
            .spawn(move || watched.watch(turn_max))?;
        let thread = watchdog.thread().clone();
        shared.permits.set_watchdog(thread.clone());
        let _ = shared.watchdog.set(thread.clone());
        // It may have gone to sleep before anybody knew how to wake it.
        thread.unpark();
        Ok(Self { shared })
    }

    /// Makes `count` homes, in which isolates of deployed versions live from now on: for a process with one worker. With `moves` one
    /// that was made elsewhere is replaced by one where its events come. Once; further calls give those that are there.
    ///
    /// # Errors
    /// The system refuses threads or descriptors.
    pub fn open_homes(&self, count: usize, moves: bool) -> io::Result<Arc<Homes>> {
        if self.shared.homes.get().is_none() {
            let _ = self.shared.homes.set(Arc::new(Homes::open(count, moves)?));
        }
        self.homes().ok_or_else(|| io::Error::other("no homes: this is a bug"))
    }

    /// The homes, if any were made.
    pub fn homes(&self) -> Option<Arc<Homes>> {
        self.shared.homes.get().cloned()
    }

    /// Starts `version` on a thread of its own, or in a home, and returns at once; [`WorkerSlot::ready`] says when it runs.
    pub fn start(&self, engine: Arc<dyn Engine>, version: Arc<WorkerVersion>, environment: Environment) -> WorkerSlot {
        self.start_for(Why::Deploy, engine, version, environment)
    }

    /// The same for an event that is about to come, and meets a cold worker.
    pub fn start_cold(
        &self,
        engine: Arc<dyn Engine>,
        version: Arc<WorkerVersion>,
        environment: Environment,
    ) -> WorkerSlot {
        self.start_for(Why::Event, engine, version, environment)
    }

    fn start_for(
        &self,
        why: Why,
        engine: Arc<dyn Engine>,
        version: Arc<WorkerVersion>,
        environment: Environment,
    ) -> WorkerSlot {
        let slot = Slot::new(self.shared.clone(), engine, version, environment, why == Why::Deploy);
        let mut slots = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        drop(slots);
        slot.warm(why);
        WorkerSlot::new(slot)
    }

    /// Retires every slot at once, each with `grace`. Returns how many isolates were still busy when it was over.
    pub async fn drain(&self, grace: Duration) -> usize {
        let slots = self.shared.slots();
        for slot in &slots {
            slot.close();
        }
        let deadline = Instant::now() + grace;
        let mut killed = 0;
        for slot in slots {
            killed += slot.retire(deadline.saturating_duration_since(Instant::now())).await;
        }
        killed
    }

    /// Gives back what is not used, as the watchdog has it done every [`HOUSEKEEPING_EVERY`].
    pub fn keep_house(&self) {
        self.shared.keep_house();
    }

    /// Counters.
    pub fn stats(&self) -> PoolStats {
        let permits = self.shared.permits.counts();
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolStats {
            isolates: permits.members.saturating_sub(self.shared.ready.count()),
            waiting: permits.waiting,
            running: permits.running,
            turns: permits.turns,
            waits: permits.waits,
            revoked: permits.revoked,
            replaced: read(&counters.replaced),
            terminated: read(&counters.terminated),
            abandoned: read(&counters.abandoned),
            started: read(&counters.started),
            start_failures: read(&counters.start_failures),
            panics: read(&counters.panics),
            jobs: read(&counters.jobs),
            overloaded: read(&counters.overloaded),
            spent: read(&counters.spent),
            isolates_max: self.shared.isolates_max,
            grown: read(&counters.grown),
            evicted: read(&counters.evicted),
            visits: read(&counters.visits),
            ready: self.shared.ready.count(),
            ready_used: read(&counters.ready_used),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(watchdog) = self.shared.watchdog.get() {
            watchdog.unpark();
        }
    }
}
