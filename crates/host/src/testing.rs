//! Fakes for this crate's tests: an engine whose workers throw their version's id.

use crate::bindings::analytics::AnalyticsSource;
use crate::bindings::rate_limit::RateLimits;
use crate::environment::{KvSource, OutboundSource, Reach};
use crate::host::{Host, HostOptions};
use async_trait::async_trait;
use atoll_cache::{CacheLimits, MemoryCache};
use atoll_model::{CompatDate, Limits, NamespaceId, RequestId, TenantId, WorkerName, WorkerVersion};
use atoll_pool::{Pool, PoolOptions};
use atoll_stdx::SystemClock;
use atoll_worker::{
    AnalyticsDataset, BindingError, Cancel, DataPoint, Engine, Environment, Event, EventContext, Fault, FaultKind,
    Fetcher, Instance, InstanceState, Interrupt, Job, KvEntry, KvList, KvListOptions, KvNamespace, KvPut, Outbound,
    OutboundRequest, Request, Response, ScheduledEvent,
};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

struct Nothing;

fn unavailable<T>() -> Result<T, BindingError> {
    Err(BindingError::unavailable("not in this test"))
}

#[async_trait]
impl Outbound for Nothing {
    async fn fetch(&self, _: &EventContext, _: OutboundRequest) -> Result<Response, BindingError> {
        unavailable()
    }
}

impl OutboundSource for Nothing {
    fn open(&self, _: &WorkerVersion) -> Arc<dyn Outbound> {
        Arc::new(Nothing)
    }
}

#[async_trait]
impl Fetcher for Nothing {
    async fn fetch(&self, _: &EventContext, _: Request) -> Result<Response, BindingError> {
        unavailable()
    }
}

#[async_trait]
impl KvNamespace for Nothing {
    async fn get(&self, _: &EventContext, _: Vec<String>) -> Result<Vec<Option<KvEntry>>, BindingError> {
        unavailable()
    }
    async fn put(&self, _: &EventContext, _: KvPut) -> Result<(), BindingError> {
        unavailable()
    }
    async fn delete(&self, _: &EventContext, _: Vec<String>) -> Result<(), BindingError> {
        unavailable()
    }
    async fn list(&self, _: &EventContext, _: KvListOptions) -> Result<KvList, BindingError> {
        unavailable()
    }
}

impl AnalyticsDataset for Nothing {
    fn write(&self, _: DataPoint) {}
}

impl AnalyticsSource for Nothing {
    fn open(&self, _: &str) -> Arc<dyn AnalyticsDataset> {
        Arc::new(Nothing)
    }
}

impl KvSource for Nothing {
    fn open(&self, _: &TenantId, _: &NamespaceId) -> Arc<dyn KvNamespace> {
        Arc::new(Nothing)
    }
}

pub(crate) fn assets() -> Arc<dyn Fetcher> {
    Arc::new(Nothing)
}

pub(crate) fn reach() -> Reach {
    Reach {
        tracer: None,
        kv: Arc::new(Nothing),
        analytics: Arc::new(Nothing),
        rate_limits: Arc::new(RateLimits::new(Arc::new(SystemClock))),
        cache: Arc::new(MemoryCache::new(CacheLimits::default(), Arc::new(SystemClock), 0)),
        outbound: Arc::new(Nothing),
        clock: Arc::new(SystemClock),
    }
}

pub(crate) fn version(name: &str, id: &str) -> WorkerVersion {
    WorkerVersion {
        tenant: TenantId::new("t"),
        name: WorkerName::new(name),
        id: id.into(),
        main_module: "index.js".into(),
        modules: Vec::new(),
        compat_date: CompatDate::NEWEST,
        compat_flags: Vec::new(),
        bindings: Vec::new(),
        crons: Vec::new(),
        tail_consumers: Vec::new(),
        limits: Limits::default(),
        outbound: Default::default(),
        created_ms: 0,
        tag: String::new(),
    }
}

pub(crate) fn context() -> EventContext {
    EventContext {
        tenant: TenantId::new("t"),
        worker: WorkerName::new("w"),
        request_id: RequestId(1),
        cancel: Cancel::new(),
        trace: None,
        version: Default::default(),
        entry: atoll_worker::Entry::default(),
        route: None,
    }
}

pub(crate) fn event(what: &str) -> Event {
    Event::Scheduled(ScheduledEvent {
        cron: what.into(),
        scheduled_ms: 0,
    })
}

pub(crate) fn host(gate: &Gate) -> Arc<Host> {
    let pool = Arc::new(Pool::new(PoolOptions::default()).unwrap());
    let engine = Arc::new(FakeEngine { gate: gate.clone() });
    Host::new(HostOptions::new(pool, engine, reach()))
}

#[derive(Default)]
struct GateState {
    open: bool,
    entered: bool,
    waker: Option<Waker>,
}

/// Where "hold" jobs wait.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<GateState>>);

impl Gate {
    pub(crate) fn open(&self) {
        let mut state = self.0.lock().unwrap();
        state.open = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    pub(crate) async fn entered(&self) {
        while !self.0.lock().unwrap().entered {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn enter(&self, waker: &Waker) -> bool {
        let mut state = self.0.lock().unwrap();
        state.entered = true;
        state.waker = Some(waker.clone());
        state.open
    }
}

struct FakeEngine {
    gate: Gate,
}

impl Engine for FakeEngine {
    fn instantiate(&self, version: Arc<WorkerVersion>, _: Environment) -> Result<Box<dyn Instance>, Fault> {
        if version.id == "broken" {
            return Err(Fault::new(FaultKind::Startup, "a syntax error"));
        }
        Ok(Box::new(FakeInstance {
            version,
            gate: self.gate.clone(),
            jobs: Vec::new(),
        }))
    }
}

struct FakeInstance {
    version: Arc<WorkerVersion>,
    gate: Gate,
    jobs: Vec<Job>,
}

struct Deaf;

impl Interrupt for Deaf {
    fn terminate(&self, _: Fault) {}
}

impl Instance for FakeInstance {
    fn deliver(&mut self, job: Box<Job>) {
        self.jobs.push(*job);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> InstanceState {
        for job in std::mem::take(&mut self.jobs) {
            let hold = matches!(&job.event, Event::Scheduled(event) if event.cron == "hold");
            if hold && !self.gate.enter(cx.waker()) {
                self.jobs.push(job);
                continue;
            }
            let fault = Fault::new(FaultKind::Exception, self.version.id.clone());
            let _ = job.reply.send(Err(fault));
        }
        if self.jobs.is_empty() {
            InstanceState::Idle
        } else {
            InstanceState::Busy
        }
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::new(Deaf)
    }
}
