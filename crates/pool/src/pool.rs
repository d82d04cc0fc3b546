//! The pool itself: slots, the watchdog's thread, drain.

use crate::isolate::{self, End};
use crate::options::{AbandonHook, PoolOptions, PoolStats, STACK_BYTES};
use crate::permits::{Permits, Verdict};
use crate::slot::{Slot, WorkerSlot};
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
}

/// What a tenant's workers have in flight together.
#[derive(Debug)]
pub(crate) struct TenantLoad {
    pub(crate) in_flight: Arc<AtomicU32>,
    pub(crate) max: u32,
}

/// What slots and the watchdog share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) permits: Arc<Permits>,
    pub(crate) counters: Counters,
    on_abandon: Option<AbandonHook>,
    /// Isolates that the process has room for.
    isolates_max: usize,
    tenants: Mutex<HashMap<TenantId, Weak<TenantLoad>>>,
    tenant_in_flight_max: u32,
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
        });
        tenants.insert(tenant.clone(), Arc::downgrade(&load));
        load
    }

    pub(crate) fn isolates_max(&self) -> usize {
        self.isolates_max
    }

    /// Whether there is room for one more isolate.
    pub(crate) fn has_room(&self) -> bool {
        self.permits.counts().members < self.isolates_max
    }

    /// Has the watchdog make a thread for `slot`. Not the caller: a new thread inherits its maker's priority, and the
    /// caller may be a demoted isolate's.
    pub(crate) fn ask_for_isolate(&self, slot: Arc<Slot>) {
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

    fn watch(&self, turn_max: Duration) {
        let period = (turn_max / SCANS_PER_TURN).max(SCAN_MIN);
        while !self.stop.load(Ordering::Acquire) {
            let asked = {
                let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
                asked.as_mut().map(std::mem::take).unwrap_or_default()
            };
            asked.into_iter().for_each(spawn);
            match self.permits.scan(Instant::now()) {
                // Unparked by the first turn, by a wish for an isolate and by the pool's end.
                None => std::thread::park(),
                Some(verdicts) => {
                    verdicts.into_iter().for_each(|verdict| self.execute(verdict));
                    std::thread::park_timeout(period);
                }
            }
        }
        let left = self.asked.lock().unwrap_or_else(PoisonError::into_inner).take();
        left.iter().flatten().for_each(refuse);
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

fn spawn(slot: Arc<Slot>) {
    let id = slot.register();
    if !slot.has_room() {
        return slot.ended(id, End::NotStarted(slot.no_room()));
    }
    if let Some(fault) = slot.too_much_left() {
        return slot.ended(id, End::NotStarted(fault));
    }
    let name: String = slot.version().name.as_str().chars().take(15).collect();
    let isolate_slot = slot.clone();
    let spawned = std::thread::Builder::new()
        .name(name.replace('\0', ""))
        .stack_size(STACK_BYTES)
        .spawn(move || isolate::run(&isolate_slot, id));
    if let Err(error) = spawned {
        let text = format!("the system refused a thread for the worker's isolate: {error}");
        slot.ended(id, End::NotStarted(Fault::new(FaultKind::Overloaded, text)));
    }
}

/// Runs workers. Dropping it stops the watchdog; call [`Pool::drain`] first.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    slots: Mutex<Vec<Weak<Slot>>>,
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
            tenants: Mutex::default(),
            tenant_in_flight_max: options.tenant_in_flight_max,
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
        Ok(Self {
            shared,
            slots: Mutex::default(),
        })
    }

    /// Starts `version` on a thread of its own and returns at once; [`WorkerSlot::ready`] says when it runs.
    pub fn start(&self, engine: Arc<dyn Engine>, version: Arc<WorkerVersion>, environment: Environment) -> WorkerSlot {
        let slot = Slot::new(self.shared.clone(), engine, version, environment);
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        drop(slots);
        slot.warm();
        WorkerSlot::new(slot)
    }

    /// Retires every slot at once, each with `grace`. Returns how many isolates were still busy when it was over.
    pub async fn drain(&self, grace: Duration) -> usize {
        let slots: Vec<Arc<Slot>> = {
            let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.iter().filter_map(Weak::upgrade).collect()
        };
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

    /// Counters.
    pub fn stats(&self) -> PoolStats {
        let permits = self.shared.permits.counts();
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolStats {
            isolates: permits.members,
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
