//! Dynamic workers: what a `worker_loaders` binding starts.
//!
//! A version of a worker has one table of dynamic workers; it goes with the version, and they with it. An entry is a dynamic
//! worker: its code once it has been supplied, and the slot in which it runs. At most [`LOADED_MAX`] entries are kept; beyond
//! that the one that was used longest ago is evicted: its id is forgotten, so that the next question for it asks for the
//! code again, and its isolate finishes what it has and goes. Who still holds a service of an evicted worker can go on using
//! it: it starts again, as any isolate may.
//!
//! ```text
//! asked for -> waits for code -> runs <-> evicted
//!                    \-> failed (kept for FAILURE_KEPT if who had the code threw, or its modules did not start; else asked for anew)
//! ```
//!
//! A dynamic worker belongs to the tenant of the worker that loads it, has no bindings but what that worker gives it, no
//! cache, and never more CPU or memory.

use crate::host::Host;
use crate::logs::{LogHub, LogOrigin};
use crate::running::Running;
use crate::tail::{Consumer, traced};
use async_trait::async_trait;
use atoll_model::{Limits, WorkerName, WorkerVersion};
use atoll_pool::Refusal;
use atoll_stdx::Clock;
use atoll_worker::loader::CodeAsk;
use atoll_worker::{
    Binding, BindingError, Body, CacheKey, CodeSink, Environment, Event, EventContext, Fault, FaultKind, JsException,
    Outbound, OutboundRequest, OutboundRoute, Outcome, Response, ResponseCache, ResponseHead, Service, ServiceStub,
    WorkerCode, WorkerLoader,
};
use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Dynamic workers that one version of a worker keeps.
pub(crate) const LOADED_MAX: usize = 50;
/// How long a dynamic worker for which there was no code, or whose modules did not start, is answered from memory before its
/// code is asked for again.
const FAILURE_KEPT: Duration = Duration::from_secs(5);
/// How often an event that meets a slot which has just been evicted is given to a new one.
const STARTS_MAX: u32 = 4;
/// Characters of an id that logs show.
const ID_SHOWN_MAX: usize = 64;

/// What all dynamic workers of a version have from it.
pub(crate) struct Origin {
    pub host: Weak<Host>,
    pub version: Arc<WorkerVersion>,
    pub outbound: Arc<dyn Outbound>,
    pub logs: Arc<LogHub>,
    pub clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Table {
    /// Binding and id.
    ids: HashMap<(usize, Arc<str>), Arc<Entry>>,
    /// Used longest ago first. What only its holder keeps alive is weak.
    recent: VecDeque<Weak<Entry>>,
}

/// The dynamic workers of one version.
pub(crate) struct Loaders {
    origin: Origin,
    /// Where isolates that go are waited for; `None` outside of a runtime, where nobody waits.
    runtime: Option<Handle>,
    table: Mutex<Table>,
    made: AtomicU64,
}

/// One `worker_loaders` binding: its ids are its own.
pub(crate) struct LoaderBinding {
    pub loaders: Arc<Loaders>,
    pub binding: usize,
}

/// What a dynamic worker is started from.
struct Made {
    version: Arc<WorkerVersion>,
    environment: Environment,
}

#[derive(Clone)]
enum Phase {
    Waiting,
    Ready(Arc<Made>),
    Failed(Fault),
}

struct Entry {
    loaders: Weak<Loaders>,
    id: Option<(usize, Arc<str>)>,
    phase: watch::Sender<Phase>,
    slot: Mutex<Option<Arc<Running>>>,
    /// Until when a failure stands; `None` while there is none.
    failed_until: Mutex<Option<Instant>>,
}

/// The service of an entry.
struct Dynamic {
    entry: Arc<Entry>,
}

/// Takes an entry's code. Dropped without, it fails the entry.
struct Sink {
    entry: Option<Arc<Entry>>,
}

fn draining() -> Fault {
    Fault::new(FaultKind::Draining, "the server is stopping")
}

impl Loaders {
    pub fn new(origin: Origin) -> Arc<Self> {
        Arc::new(Self {
            origin,
            runtime: Handle::try_current().ok(),
            table: Mutex::default(),
            made: AtomicU64::new(0),
        })
    }

    // Under the lock are lookups and moves only.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `entry` has just been used; who was used longest ago may have to go.
    fn touch(&self, entry: &Arc<Entry>) {
        let mut evicted = Vec::new();
        {
            let mut table = self.lock();
            let this = Arc::downgrade(entry);
            table
                .recent
                .retain(|other| other.strong_count() > 0 && !other.ptr_eq(&this));
            table.recent.push_back(this);
            while table.recent.len() > LOADED_MAX {
                let Some(oldest) = table.recent.pop_front().and_then(|oldest| oldest.upgrade()) else {
                    continue;
                };
                if let Some(id) = &oldest.id
                    && table.ids.get(id).is_some_and(|held| Arc::ptr_eq(held, &oldest))
                {
                    table.ids.remove(id);
                }
                evicted.push(oldest);
            }
        }
        for entry in evicted {
            entry.stop(self);
        }
    }

    fn retire(&self, slot: Arc<Running>) {
        match (self.origin.host.upgrade(), &self.runtime) {
            (Some(host), Some(runtime)) => {
                // The caller may be on an isolate's own runtime, which ends with the isolate.
                let _inside = runtime.enter();
                host.retire(slot);
            }
            // Dropped, it finishes what it has.
            _ => drop(slot),
        }
    }

    fn make(&self, entry: &Arc<Entry>, code: WorkerCode) -> Made {
        let Origin {
            version: parent,
            outbound,
            logs,
            clock,
            host,
        } = &self.origin;
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let shown: String = match &entry.id {
            Some((_, id)) => id.chars().take(ID_SHOWN_MAX).collect(),
            None => format!("({number})"),
        };
        let name = WorkerName::new(format!("{}/{shown}", parent.name));
        let limits = Limits {
            cpu_ms: code
                .cpu_ms
                .map_or(parent.limits.cpu_ms, |ms| ms.min(parent.limits.cpu_ms)),
            subrequests_max: code.subrequests_max.map_or(parent.limits.subrequests_max, |max| {
                max.min(parent.limits.subrequests_max)
            }),
            ..parent.limits.clone()
        };
        let version = WorkerVersion {
            tenant: parent.tenant.clone(),
            name: name.clone(),
            id: format!("{}/{number}", parent.id),
            main_module: code.main_module,
            modules: code.modules,
            compat_date: code.compat_date,
            compat_flags: code.compat_flags,
            bindings: Vec::new(),
            crons: Vec::new(),
            tail_consumers: Vec::new(),
            limits,
            outbound: parent.outbound.clone(),
            created_ms: clock.now_ms(),
            tag: String::new(),
        };
        let sink = logs.sink(LogOrigin {
            tenant: parent.tenant.clone(),
            worker: name.clone(),
            version: "".into(),
        });
        let consumers = code.tails.into_iter().map(|stub| Consumer {
            name: parent.name.clone(),
            stub,
        });
        let logs = match (host.upgrade(), &self.runtime) {
            (Some(host), Some(runtime)) => {
                let _inside = runtime.enter();
                traced(sink, parent.tenant.clone(), consumers.collect(), host.tasks())
            }
            _ => sink,
        };
        let environment = Environment {
            bindings: code
                .env
                .into_iter()
                .map(|(name, value)| (name, Binding::Cloned(value)))
                .collect(),
            own: ServiceStub::new(Arc::new(Own(Arc::downgrade(entry)))),
            outbound: match code.outbound {
                OutboundRoute::Network => outbound.clone(),
                OutboundRoute::Denied | OutboundRoute::Service(_) => Arc::new(NoNetwork),
            },
            outbound_route: code.outbound,
            cache: Arc::new(NoCacheConfigured),
            logs,
            clock: clock.clone(),
        };
        Made {
            version: Arc::new(version),
            environment,
        }
    }
}

impl WorkerLoader for LoaderBinding {
    fn get(&self, id: Option<Arc<str>>, ask: CodeAsk) -> Arc<dyn Service> {
        let key = id.map(|id| (self.binding, id));
        let (entry, new) = {
            let mut table = self.loaders.lock();
            let known = key.as_ref().and_then(|key| table.ids.get(key));
            match known.filter(|entry| !entry.is_forgotten()) {
                Some(entry) => (entry.clone(), false),
                None => {
                    let entry = Arc::new(Entry {
                        loaders: Arc::downgrade(&self.loaders),
                        id: key.clone(),
                        phase: watch::Sender::new(Phase::Waiting),
                        slot: Mutex::default(),
                        failed_until: Mutex::default(),
                    });
                    if let Some(key) = key {
                        table.ids.insert(key, entry.clone());
                    }
                    (entry, true)
                }
            }
        };
        self.loaders.touch(&entry);
        if new {
            let sink = Sink {
                entry: Some(entry.clone()),
            };
            // Whoever does not listen drops the sink, which fails the entry.
            let _ = ask.send(Box::new(sink));
        }
        Arc::new(Dynamic { entry })
    }
}

impl CodeSink for Sink {
    fn supply(mut self: Box<Self>, code: Result<WorkerCode, Fault>) {
        let Some(entry) = self.entry.take() else { return };
        let code = match code {
            Ok(code) => code,
            Err(fault) => return entry.fail(fault, FAILURE_KEPT),
        };
        let Some(loaders) = entry.loaders.upgrade() else {
            return entry.fail(draining(), Duration::ZERO);
        };
        let made = Arc::new(loaders.make(&entry, code));
        entry.phase.send_replace(Phase::Ready(made.clone()));
        if let Err(fault) = entry.slot(&made) {
            entry.fail(fault, Duration::ZERO);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            let text = "The event that was to load this dynamic Worker ended before it had the code.";
            entry.fail(Fault::new(FaultKind::Startup, text), Duration::ZERO);
        }
    }
}

impl Entry {
    fn slots(&self) -> MutexGuard<'_, Option<Arc<Running>>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its failure stands no longer: who asks for it now is to bring the code again.
    fn is_forgotten(&self) -> bool {
        let until = *self.failed_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() >= until)
    }

    fn fail(&self, fault: Fault, kept: Duration) {
        *self.failed_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + kept);
        self.phase.send_replace(Phase::Failed(fault));
        let slot = self.slots().take();
        if let (Some(slot), Some(loaders)) = (slot, self.loaders.upgrade()) {
            loaders.retire(slot);
        }
    }

    /// The isolate goes; the code stays with those who hold the entry.
    fn stop(&self, loaders: &Loaders) {
        let slot = self.slots().take();
        if let Some(slot) = slot {
            loaders.retire(slot);
        }
    }

    /// Forgets a slot that takes no more events.
    fn retired(&self, gone: &Arc<Running>) {
        let mut slot = self.slots();
        if slot.as_ref().is_some_and(|slot| Arc::ptr_eq(slot, gone)) {
            *slot = None;
        }
    }

    /// The code, once it is there.
    async fn made(&self) -> Result<Arc<Made>, Fault> {
        let mut phase = self.phase.subscribe();
        let settled = phase.wait_for(|phase| !matches!(phase, Phase::Waiting)).await;
        match settled.as_deref() {
            Ok(Phase::Ready(made)) => Ok(made.clone()),
            Ok(Phase::Failed(fault)) => Err(fault.clone()),
            // The sender is the entry's own.
            Ok(Phase::Waiting) | Err(_) => Err(draining()),
        }
    }

    /// The slot in which it runs; a new one if it has none.
    fn slot(self: &Arc<Self>, made: &Made) -> Result<Arc<Running>, Fault> {
        let loaders = self.loaders.upgrade().ok_or_else(draining)?;
        let host = loaders.origin.host.upgrade().ok_or_else(draining)?;
        let slot = {
            let mut slot = self.slots();
            slot.get_or_insert_with(|| host.start(made.version.clone(), made.environment.clone(), false))
                .clone()
        };
        loaders.touch(self);
        Ok(slot)
    }

    async fn dispatch(self: &Arc<Self>, mut ctx: EventContext, mut event: Event) -> Result<Outcome, Fault> {
        let made = self.made().await?;
        ctx.tenant = made.version.tenant.clone();
        ctx.worker = made.version.name.clone();
        for _ in 0..STARTS_MAX {
            let slot = self.slot(&made)?;
            match slot.ready().await {
                // Evicted before it had started.
                Err(fault) if fault.kind == FaultKind::Draining => {
                    self.retired(&slot);
                    continue;
                }
                Err(fault) => {
                    let fault = start_fault(&fault);
                    self.fail(fault.clone(), FAILURE_KEPT);
                    return Err(fault);
                }
                Ok(()) => {}
            }
            match slot.run(ctx, event).await {
                Ok(answer) => return answer,
                Err(Refusal::Fault(fault)) => return Err(fault),
                Err(Refusal::Retired(same_ctx, same_event)) => (ctx, event) = (same_ctx, same_event),
            }
            self.retired(&slot);
        }
        Err(draining())
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let slot = self.slots().take();
        if let (Some(slot), Some(loaders)) = (slot, self.loaders.upgrade()) {
            loaders.retire(slot);
        }
    }
}

/// A start-up's failure in the platform's words.
fn start_fault(fault: &Fault) -> Fault {
    let mut text = "Failed to start Worker:\n".to_owned();
    match fault.exception.as_deref() {
        Some(JsException {
            name, message, frames, ..
        }) => {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "Uncaught {name}{}{message}",
                if name.is_empty() { "" } else { ": " }
            );
            for frame in frames {
                let _ = write!(text, "\n  at {}:{}:{}", frame.file, frame.line, frame.column);
                if !frame.function.is_empty() {
                    let _ = write!(text, " in {}", frame.function);
                }
            }
        }
        None => text.push_str(&fault.message),
    }
    Fault::new(fault.kind, text)
}

#[async_trait]
impl Service for Dynamic {
    async fn dispatch(&self, mut ctx: EventContext, event: Event) -> Result<Outcome, Fault> {
        let host = self
            .entry
            .loaders
            .upgrade()
            .and_then(|loaders| loaders.origin.host.upgrade());
        ctx.request_id = host.ok_or_else(draining)?.next_request_id();
        self.entry.dispatch(ctx, event).await
    }
}

/// A dynamic worker as it calls itself.
struct Own(Weak<Entry>);

#[async_trait]
impl Service for Own {
    async fn dispatch(&self, ctx: EventContext, event: Event) -> Result<Outcome, Fault> {
        let entry = self.0.upgrade().ok_or_else(draining)?;
        Dynamic { entry }.dispatch(ctx, event).await
    }
}

/// The network of a worker that has none. The engine says so before it asks; this is for one that does not.
struct NoNetwork;

#[async_trait]
impl Outbound for NoNetwork {
    async fn fetch(&self, _: &EventContext, _: OutboundRequest) -> Result<Response, BindingError> {
        Err(BindingError::rejected("this worker has no way out of its own"))
    }
}

/// The cache of a worker that has none.
struct NoCacheConfigured;

fn no_cache<T>() -> Result<T, BindingError> {
    Err(BindingError::rejected("No Cache was configured"))
}

#[async_trait]
impl ResponseCache for NoCacheConfigured {
    async fn find(&self, _: &EventContext, _: CacheKey) -> Result<Option<Response>, BindingError> {
        no_cache()
    }

    async fn put(&self, _: &EventContext, _: CacheKey, _: ResponseHead, _: Body) -> Result<(), BindingError> {
        no_cache()
    }

    async fn delete(&self, _: &EventContext, _: CacheKey) -> Result<bool, BindingError> {
        no_cache()
    }
}
