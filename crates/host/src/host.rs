//! The table of workers and the way of an event into the pool.

use crate::DeployError;
use crate::cordon::{Cordon, CordonStats};
use crate::crowd::{Crowd, Crowds};
use crate::entrypoints::Entrypoints;
use crate::environment::{Reach, environment};
use crate::logs::{FailedEvent, LogHub};
use crate::running::{Place, Running, UnderWay};
use crate::services::Services;
use crate::spans;
use crate::starts::{StartCounts, UsageCounts};
use crate::tail::{Consumer, traced};
use crate::versions::{Chosen, Fetched, VersionSource, Versions, VersionsOptions};
use crate::watch::{self, EventEnd, EventWatch};
use atoll_model::{AccountLimits, RequestId, TenantId, WorkerName, WorkerVersion};
use atoll_pool::{Pool, PoolStats, Refusal, SlotStats};
use atoll_stdx::TaskGroup;
use atoll_worker::{
    AnswerReceiver, Cancel, Dispatch, Dispatched, Engine, Entry, Environment, Event, EventContext, Export, Fault,
    FaultKind, Fetcher, Job, OpenSpan, Outcome, Response, ServiceStub, SpanPlace, StartKind, TraceContext,
    VersionChoice,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// How long a replaced version may go on with what it has in flight when nothing else is said; as long as the Workers
/// platform gives `waitUntil`.
const RETIRE_GRACE_DEFAULT: Duration = Duration::from_secs(30);
/// Ids of the host's own events have this bit, so that they differ from the front's.
pub(crate) const OWN_EVENTS: u64 = 1 << 63;
/// Versions that may go under one event before it is given up.
const TRIES_MAX: u32 = 8;

/// What a host is made of.
pub struct HostOptions {
    /// Runs the isolates.
    pub pool: Arc<Pool>,
    /// Makes them.
    pub engine: Arc<dyn Engine>,
    /// Runs them in child processes instead.
    pub cordon: Option<Arc<Cordon>>,
    /// What workers reach.
    pub reach: Reach,
    /// Takes what they print.
    pub logs: Arc<LogHub>,
    /// Owns the host's tasks.
    pub tasks: TaskGroup,
    /// How long a replaced version may go on with what it has in flight.
    pub retire_grace: Duration,
    /// What a worker is answered that fetches from one that does not run; without, the fetch throws. Whoever chooses statuses
    /// gives this.
    pub absent_worker: Option<AbsentWorker>,
    /// What each account may use over all its workers; their own limits are capped by it.
    pub account: AccountLimits,
}

/// See [`HostOptions::absent_worker`].
pub type AbsentWorker = fn(&WorkerName) -> Response;

impl HostOptions {
    /// With the defaults for the rest.
    pub fn new(pool: Arc<Pool>, engine: Arc<dyn Engine>, reach: Reach) -> Self {
        Self {
            pool,
            engine,
            cordon: None,
            reach,
            logs: LogHub::new(),
            tasks: TaskGroup::new(),
            retire_grace: RETIRE_GRACE_DEFAULT,
            absent_worker: None,
            account: AccountLimits::default(),
        }
    }
}

struct Active {
    slot: Arc<Running>,
    /// The number of the deploy that put it here.
    deploy: u64,
    entrypoints: Entrypoints,
}

/// A version that has started and gets no events yet.
pub struct Prepared {
    version: Arc<WorkerVersion>,
    active: Active,
}

type Table = HashMap<TenantId, HashMap<WorkerName, Active>>;

/// Counters of a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostStats {
    /// Workers in the table.
    pub workers: usize,
    /// The pool's.
    pub pool: PoolStats,
    /// The cordon's, if there is one.
    pub cordon: Option<CordonStats>,
}

/// A worker in the table, and where its running version stands.
#[derive(Debug, Clone)]
pub struct WorkerStats {
    /// Whose it is.
    pub tenant: TenantId,
    /// The worker.
    pub worker: WorkerName,
    /// The running version's id.
    pub version: String,
    /// Its slot's counters.
    pub slot: SlotStats,
}

/// Runs workers. Make one per process and give it to the front as its [`Dispatch`].
pub struct Host {
    pub(crate) pool: Arc<Pool>,
    engine: Arc<dyn Engine>,
    /// Given once, at the latest before the first worker.
    cordon: OnceLock<Arc<Cordon>>,
    reach: Reach,
    logs: Arc<LogHub>,
    tasks: TaskGroup,
    retire_grace: Duration,
    absent_worker: Option<AbsentWorker>,
    account: AccountLimits,
    table: RwLock<Table>,
    /// Workers beside the table, which run when events come for them.
    versions: OnceLock<Arc<Versions>>,
    watch: OnceLock<Arc<dyn EventWatch>>,
    services: Services,
    crowds: Crowds,
    deploys: AtomicU64,
    requests: AtomicU64,
}

impl Host {
    /// A host without workers.
    pub fn new(options: HostOptions) -> Arc<Self> {
        Arc::new_cyclic(|host| Self {
            services: Services::of(host.clone()),
            pool: options.pool,
            engine: options.engine,
            cordon: options.cordon.map(OnceLock::from).unwrap_or_default(),
            reach: options.reach,
            logs: options.logs,
            tasks: options.tasks,
            retire_grace: options.retire_grace,
            absent_worker: options.absent_worker,
            account: options.account,
            table: RwLock::default(),
            versions: OnceLock::new(),
            watch: OnceLock::new(),
            crowds: Crowds::default(),
            deploys: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        })
    }

    /// Has workers run in child processes from now on. Without effect on those that run, and if there are such already.
    pub fn isolate(&self, cordon: Arc<Cordon>) {
        // Whoever came first stays.
        let _ = self.cordon.set(cordon);
    }

    /// The child processes that workers run in, if they do.
    pub fn cordon(&self) -> Option<&Arc<Cordon>> {
        self.cordon.get()
    }

    /// Has workers that are not in the table run when events come for them, from now on. Must be called inside the tokio
    /// runtime that serves, once; who comes later gets the first one's.
    pub fn versions_from(self: &Arc<Self>, source: Arc<dyn VersionSource>, options: VersionsOptions) -> Arc<Versions> {
        let versions = self.versions.get_or_init(|| {
            let versions = Versions::new(source, options, Arc::downgrade(self));
            let (stopping, swept) = (self.tasks.stopping(), Arc::downgrade(&versions));
            self.tasks.spawn(async move {
                stopping.run_until_cancelled(Versions::sweep(swept)).await;
            });
            versions
        });
        versions.clone()
    }

    /// Has this one be told of every event, from now on. Given once; who comes later is not told.
    pub fn watch(&self, watch: Arc<dyn EventWatch>) {
        // Whoever came first stays.
        let _ = self.watch.set(watch);
    }

    // A panic under the lock cannot leave the table half-changed: every critical section is one insert or remove.
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where workers' output goes.
    pub fn logs(&self) -> &Arc<LogHub> {
        &self.logs
    }

    /// An id for an event that does not come from the front.
    pub fn next_request_id(&self) -> RequestId {
        RequestId(OWN_EVENTS | self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Starts `version` and, once its modules have been evaluated, puts it in the place of the worker's running version,
    /// which then finishes what it has in flight. On failure the running version stays. `assets` answers the version's
    /// asset binding.
    pub async fn deploy(
        &self,
        version: Arc<WorkerVersion>,
        assets: Option<Arc<dyn Fetcher>>,
    ) -> Result<(), DeployError> {
        self.commit(self.prepare(version, assets).await?)
    }

    /// The first half of [`Host::deploy`]: starts `version` and waits until its modules have been evaluated. It gets no
    /// events before [`Host::commit`]; dropped before that, it goes.
    pub async fn prepare(
        &self,
        version: Arc<WorkerVersion>,
        assets: Option<Arc<dyn Fetcher>>,
    ) -> Result<Prepared, DeployError> {
        self.prepare_within(Fetched {
            version,
            assets,
            account: self.account.clone(),
        })
        .await
    }

    /// As [`Host::prepare`], under the limits of its own account.
    pub async fn prepare_within(&self, fetched: Fetched) -> Result<Prepared, DeployError> {
        let deploy = self.deploys.fetch_add(1, Ordering::Relaxed);
        let slot = self.start_in_environment(fetched, true)?;
        slot.ready().await?;
        let entrypoints = Entrypoints::of(&slot, self.next_request_id()).await;
        Ok(Prepared {
            version: slot.version().clone(),
            active: Active {
                slot,
                deploy,
                entrypoints,
            },
        })
    }

    /// What a version that was started ahead exports.
    pub async fn exports(&self, prepared: &Prepared) -> Result<Vec<Export>, Fault> {
        let version = &prepared.version;
        let ctx = EventContext {
            tenant: version.tenant.clone(),
            worker: version.name.clone(),
            request_id: self.next_request_id(),
            cancel: Cancel::new(),
            trace: None,
            entry: Entry::default(),
            version: VersionChoice::default(),
            route: None,
        };
        match prepared.active.slot.run(ctx, Event::Describe).await {
            Ok(Ok(Outcome::Described(exports))) => Ok(exports),
            Ok(Err(fault)) | Err(Refusal::Fault(fault)) => Err(fault),
            Ok(Ok(_)) | Err(Refusal::Retired(..)) => {
                Err(Fault::new(FaultKind::Draining, "the version is going already"))
            }
        }
    }

    /// Starts a version for an event, or ahead of it. Does not wait until it has started.
    pub(crate) fn start_fetched(&self, fetched: Fetched, ahead: bool) -> Result<Arc<Running>, Fault> {
        self.start_in_environment(fetched, ahead).map_err(|error| match error {
            DeployError::Start(fault) => fault,
            error => Fault::new(FaultKind::Startup, error.to_string()),
        })
    }

    fn start_in_environment(&self, fetched: Fetched, ahead: bool) -> Result<Arc<Running>, DeployError> {
        let Fetched {
            version,
            assets,
            account,
        } = fetched;
        let version = capped(version, &account);
        let mut environment = environment(
            &version,
            assets.as_ref(),
            &self.reach,
            &self.logs,
            &self.services,
            &account,
        )?;
        let consumers = version.tail_consumers.iter().map(|name| Consumer {
            name: name.clone(),
            stub: ServiceStub::new(self.services.service(&version.tenant, name)),
        });
        environment.logs = traced(
            environment.logs,
            version.tenant.clone(),
            consumers.collect(),
            &self.tasks,
        );
        let crowd = self.crowds.of(&version.tenant, account.in_flight_max, &self.logs);
        Ok(self.start_within(version, environment, ahead, Some(crowd)))
    }

    /// The second half of [`Host::deploy`]: events go to the prepared version from now on. Must be called inside a tokio
    /// runtime. Fails if a newer deploy of the same worker came first, or if this is the worker's first one and a service
    /// binding (of it, or of another worker to it) names an entrypoint that is not there.
    pub fn commit(&self, prepared: Prepared) -> Result<(), DeployError> {
        let Prepared { version, active } = prepared;
        let old = {
            let mut table = self.write();
            let workers = table.entry(version.tenant.clone()).or_default();
            let newer = |known: &Active| known.deploy > active.deploy;
            if workers.get(&version.name).is_some_and(newer) {
                drop(table);
                return Err(DeployError::Superseded {
                    worker: version.name.to_string(),
                });
            }
            let others = workers.iter().map(|(name, other)| (name, &other.entrypoints));
            if let Some(missing) = active.entrypoints.missing(&version.name, others) {
                // Workers that run are changed one after the other: what does not fit yet may fit with the next.
                if !workers.contains_key(&version.name) {
                    return Err(missing);
                }
                tracing::warn!("{missing}");
            }
            workers.insert(version.name.clone(), active)
        };
        if let Some(old) = old {
            self.retire(old.slot);
        }
        Ok(())
    }

    /// Takes a worker out of the table; it finishes what it has in flight. False if there was none.
    pub fn remove(&self, tenant: &TenantId, worker: &WorkerName) -> bool {
        let old = {
            let mut table = self.write();
            let Some(workers) = table.get_mut(tenant) else {
                return false;
            };
            let old = workers.remove(worker);
            if workers.is_empty() {
                table.remove(tenant);
            }
            old
        };
        old.map(|old| self.retire(old.slot)).is_some()
    }

    /// Starts an isolate, beside the table: `ahead`, or for an event that waits.
    pub(crate) fn start(&self, version: Arc<WorkerVersion>, environment: Environment, ahead: bool) -> Arc<Running> {
        self.start_within(version, environment, ahead, None)
    }

    fn start_within(
        &self,
        version: Arc<WorkerVersion>,
        environment: Environment,
        ahead: bool,
        crowd: Option<Arc<Crowd>>,
    ) -> Arc<Running> {
        let starts = self.logs.starts().of(&version.tenant, &version.name);
        let place = match self.cordon.get() {
            Some(cordon) => Place::Away(cordon.slot(version, environment)),
            None if ahead => Place::Here(self.pool.start(self.engine.clone(), version, environment)),
            None => Place::Here(self.pool.start_cold(self.engine.clone(), version, environment)),
        };
        Arc::new(Running::new(place, starts, crowd))
    }

    pub(crate) fn absent_worker(&self) -> Option<AbsentWorker> {
        self.absent_worker
    }

    pub(crate) fn tasks(&self) -> &TaskGroup {
        &self.tasks
    }

    /// Lets a slot finish what it has. Must be called inside a tokio runtime, as its callers are.
    pub(crate) fn retire(&self, slot: Arc<Running>) {
        let grace = self.retire_grace;
        let stopping = self.tasks.stopping();
        self.tasks.spawn(async move {
            let version = slot.version().clone();
            let cut = tokio::select! {
                cut = slot.retire(grace) => cut,
                // The host's own shutdown drains the pool, this slot with it.
                () = stopping.cancelled() => 0,
            };
            if cut > 0 {
                tracing::warn!(worker = %version.name, version = version.id, "a replaced version was cut off");
            }
        });
    }

    /// Finishes what is in flight, at most `grace`, then ends the isolates. Events that come later are refused with
    /// [`FaultKind::Draining`]. Returns how many isolates were cut off.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        let cut = match self.cordon.get() {
            Some(cordon) => cordon.shutdown(grace).await,
            None => self.pool.drain(grace).await,
        };
        self.tasks.drain(Duration::ZERO).await;
        cut
    }

    /// Has each child process followed by a fresh one, without losing an event, and says how many; `None` if workers run in
    /// this process.
    pub async fn restart_children(&self) -> Option<usize> {
        match self.cordon.get() {
            Some(cordon) => Some(cordon.restart().await),
            None => None,
        }
    }

    /// Events for the worker will come soon: has it started, if it does not run and there is room. Returns at once; unknown
    /// workers are passed over.
    pub fn expect(&self, tenant: &TenantId, worker: &WorkerName) {
        if let Some(slot) = self.slot(tenant, worker) {
            slot.expect();
        } else if let Some(versions) = self.versions.get() {
            self.expect_one_of(versions, tenant, worker);
        }
    }

    fn expect_one_of(&self, versions: &Arc<Versions>, tenant: &TenantId, worker: &WorkerName) {
        let Chosen::Version(version) = versions.choose(tenant, worker, &VersionChoice::default()) else {
            return;
        };
        if let Some(slot) = versions.running(tenant, worker, &version) {
            return slot.expect();
        }
        let (versions, tenant, worker) = (versions.clone(), tenant.clone(), worker.clone());
        self.tasks.spawn(async move {
            // Whoever comes is told why not.
            let _ = versions.obtain(&tenant, &worker, &version, true).await;
        });
    }

    /// The slot of the version that is to answer the event, where that is known and it runs.
    fn at_hand(&self, ctx: &EventContext, worker: &WorkerName) -> Option<Arc<Running>> {
        if let Some(slot) = self.slot(&ctx.tenant, worker) {
            return Some(slot);
        }
        let versions = self.versions.get()?;
        versions.running(&ctx.tenant, worker, ctx.version.exactly.as_ref()?)
    }

    /// The slot of the version that is to answer the event.
    async fn chosen(&self, ctx: &mut EventContext, worker: &WorkerName) -> Result<Arc<Running>, Fault> {
        let unknown = || Fault::new(FaultKind::NotFound, format!("there is no worker \"{worker}\""));
        if let Some(slot) = self.at_hand(ctx, worker) {
            return Ok(slot);
        }
        let versions = self.versions.get().ok_or_else(unknown)?;
        match versions.choose(&ctx.tenant, worker, &ctx.version) {
            Chosen::Version(version) => {
                let slot = versions.obtain(&ctx.tenant, worker, &version, false).await;
                ctx.version.exactly = Some(version);
                slot
            }
            Chosen::Unknown => Err(unknown()),
            Chosen::Refused(fault) => Err(fault),
        }
    }

    /// How events met their workers: every worker that ever ran here or in a child, in no order.
    pub fn starts(&self) -> Vec<(TenantId, WorkerName, StartCounts)> {
        self.logs.starts().all()
    }

    /// What every worker that ever ran here or in a child has used, in no order.
    pub fn usage(&self) -> Vec<(TenantId, WorkerName, UsageCounts)> {
        self.logs.starts().usage()
    }

    /// How an event met its worker; told once.
    pub fn start_of(&self, request_id: RequestId) -> StartKind {
        self.logs.starts().take(request_id)
    }

    /// Counters.
    pub fn stats(&self) -> HostStats {
        HostStats {
            workers: self.read().values().map(HashMap::len).sum::<usize>()
                + self.versions.get().map_or(0, |versions| versions.stats().live),
            pool: self.pool.stats(),
            cordon: self.cordon.get().map(|cordon| cordon.stats()),
        }
    }

    /// Every worker in the table, in no order.
    pub fn workers(&self) -> Vec<WorkerStats> {
        let table = self.read();
        let slots = table.values().flat_map(HashMap::values).map(|active| &*active.slot);
        let mut workers: Vec<_> = slots.map(stats_of).collect();
        drop(table);
        if let Some(versions) = self.versions.get() {
            workers.extend(versions.all().iter().map(|slot| stats_of(slot)));
        }
        workers
    }

    fn slot(&self, tenant: &TenantId, worker: &WorkerName) -> Option<Arc<Running>> {
        Some(self.read().get(tenant)?.get(worker)?.slot.clone())
    }
}

impl Prepared {
    /// The version, and the slot in which it runs.
    pub(crate) fn into_running(self) -> (Arc<WorkerVersion>, Arc<Running>) {
        (self.version, self.active.slot)
    }

    /// The version.
    pub fn version(&self) -> &Arc<WorkerVersion> {
        &self.version
    }
}

/// The version with no limit beyond its account's.
fn capped(version: Arc<WorkerVersion>, account: &AccountLimits) -> Arc<WorkerVersion> {
    let limits = version.limits.capped(&account.worker);
    if limits == version.limits {
        return version;
    }
    let mut version = Arc::unwrap_or_clone(version);
    version.limits = limits;
    Arc::new(version)
}

fn stats_of(slot: &Running) -> WorkerStats {
    let version = slot.version();
    WorkerStats {
        tenant: version.tenant.clone(),
        worker: version.name.clone(),
        version: version.id.clone(),
        slot: slot.stats(),
    }
}

impl Dispatch for Host {
    /// A worker that runs here has the event when this returns; what waits for it is then its answer alone.
    fn dispatch<'a>(&'a self, worker: &WorkerName, ctx: EventContext, event: Event) -> Dispatched<'a> {
        self.dispatch_telling(worker, ctx, event, None)
    }
}

/// Hears of events that end in a fault.
pub trait FaultWatch: Send + Sync {
    /// An event of the worker did, before whoever waits for its answer has that.
    fn failed(&self, worker: &WorkerName, id: RequestId, fault: &Fault);
}

/// Who hears of an event's fault, and what it is to hear.
struct Hearer<'a> {
    watch: &'a dyn FaultWatch,
    worker: WorkerName,
    id: RequestId,
}

impl Hearer<'_> {
    fn hears(hearer: Option<Self>, answer: &Result<Outcome, Fault>) {
        if let (Some(hearer), Err(fault)) = (hearer, answer) {
            hearer.watch.failed(&hearer.worker, hearer.id, fault);
        }
    }
}

impl Host {
    /// As [`Dispatch::dispatch`], and `watch` hears of a fault: without a future of its own around each event's.
    pub fn dispatch_telling<'a>(
        &'a self,
        worker: &WorkerName,
        mut ctx: EventContext,
        event: Event,
        watch: Option<&'a dyn FaultWatch>,
    ) -> Dispatched<'a> {
        let id = ctx.request_id;
        let hearer = watch.map(|watch| Hearer {
            watch,
            worker: worker.clone(),
            id,
        });
        let span = spans::event(self.reach.tracer.as_ref(), worker, &mut ctx, &event);
        let Some(slot) = self.at_hand(&ctx, worker).filter(|slot| slot.is_here()) else {
            return self.dispatch_later(worker, ctx, event, None, (hearer, span));
        };
        let (job, answer) = Job::new(ctx, event);
        match self.give(slot, job, answer) {
            Given::Taken(answer) if span.is_none() => Box::pin(answer.come(&self.logs, hearer)),
            Given::Taken(answer) => Box::pin(async move {
                let answer = answer.come(&self.logs, hearer).await;
                spans::outcome(span, &answer);
                answer
            }),
            Given::Refused(fault) => {
                let answer = Err(fault);
                Hearer::hears(hearer, &answer);
                spans::outcome(span, &answer);
                Box::pin(std::future::ready(answer))
            }
            Given::Back(slot, job) => {
                let Job { mut ctx, event, .. } = *job;
                // The version may have lost its share meanwhile.
                ctx.version.exactly = None;
                self.dispatch_later(worker, ctx, event, Some(slot), (hearer, span))
            }
        }
    }

    /// The same of an event whose version does not run here now.
    fn dispatch_later<'a>(
        &'a self,
        worker: &WorkerName,
        ctx: EventContext,
        event: Event,
        tried: Option<Arc<Running>>,
        (hearer, span): (Option<Hearer<'a>>, Option<OpenSpan>),
    ) -> Dispatched<'a> {
        let worker = worker.clone();
        Box::pin(async move {
            let answer = self.run(&worker, ctx, event, tried).await;
            Hearer::hears(hearer, &answer);
            spans::outcome(span, &answer);
            answer
        })
    }
}

/// What became of an event that was given to a version that runs here.
enum Given {
    Taken(Expected),
    Refused(Fault),
    /// The version is on its way out.
    Back(Arc<Running>, Box<Job>),
}

/// An answer that comes.
struct Expected {
    answer: UnderWay,
    watched: Option<Box<dyn EventEnd>>,
    told: Option<Told>,
    /// Alive for as long as it owes this.
    slot: Arc<Running>,
}

/// What is told of an event that ends in a fault.
struct Told {
    request_id: RequestId,
    span: Option<SpanPlace>,
}

impl Told {
    /// `None`: a deployment's look at a version is nobody's event.
    fn of(ctx: &EventContext, event: &Event) -> Option<Self> {
        watch::origin(ctx, event)?;
        Some(Self {
            request_id: ctx.request_id,
            span: ctx.trace.as_ref().map(TraceContext::place),
        })
    }

    fn failed(self, fault: &Fault) -> FailedEvent {
        FailedEvent {
            request_id: self.request_id,
            span: self.span,
            fault: fault.clone(),
        }
    }
}

impl Expected {
    async fn come(self, logs: &Arc<LogHub>, hearer: Option<Hearer<'_>>) -> Result<Outcome, Fault> {
        let answer = self.answer.await;
        if let (Err(fault), Some(told)) = (&answer, self.told) {
            logs.failed(self.slot.version(), fault.kind, || told.failed(fault));
        }
        Hearer::hears(hearer, &answer);
        if let Some(watched) = self.watched {
            watched.ends(Some(&answer));
        }
        answer
    }
}

impl Host {
    /// Gives an event to a version that runs here; `answer` is where its reply comes out.
    fn give(&self, slot: Arc<Running>, job: Box<Job>, answer: AnswerReceiver) -> Given {
        let watched = self.watched(&slot, &job.ctx, &job.event);
        let told = Told::of(&job.ctx, &job.event);
        match slot.begin(job, answer) {
            Ok(answer) => Given::Taken(Expected {
                answer,
                watched,
                told,
                slot,
            }),
            Err((_, Some(fault))) => {
                if let Some(told) = told {
                    self.logs.failed(slot.version(), fault.kind, || told.failed(&fault));
                }
                if let Some(watched) = watched {
                    watched.ends(Some(&Err(fault.clone())));
                }
                Given::Refused(fault)
            }
            Err((job, None)) => {
                if let Some(watched) = watched {
                    watched.ends(None);
                }
                Given::Back(slot, job)
            }
        }
    }

    fn watched(&self, slot: &Running, ctx: &EventContext, event: &Event) -> Option<Box<dyn EventEnd>> {
        let watch = self.watch.get()?;
        watch.begins(slot.version(), watch::origin(ctx, event)?)
    }

    /// Has the running version handle an event; one that is replaced meanwhile hands it to its successor. `tried`: one that
    /// has given it back.
    async fn run(
        &self,
        worker: &WorkerName,
        ctx: EventContext,
        event: Event,
        mut tried: Option<Arc<Running>>,
    ) -> Result<Outcome, Fault> {
        let (mut ctx, mut event) = (ctx, event);
        for _ in 0..TRIES_MAX {
            let slot = self.chosen(&mut ctx, worker).await?;
            if tried.as_ref().is_some_and(|tried| Arc::ptr_eq(tried, &slot)) {
                // Retired without a successor: the host is going down.
                break;
            }
            let watched = self.watched(&slot, &ctx, &event);
            let told = Told::of(&ctx, &event);
            let answer = match slot.run(ctx, event).await {
                Ok(answer) => answer,
                Err(Refusal::Fault(fault)) => Err(fault),
                Err(Refusal::Retired(same_ctx, same_event)) => {
                    if let Some(watched) = watched {
                        watched.ends(None);
                    }
                    (ctx, event) = (same_ctx, same_event);
                    // The version may have lost its share meanwhile.
                    ctx.version.exactly = None;
                    tried = Some(slot);
                    continue;
                }
            };
            if let (Err(fault), Some(told)) = (&answer, told) {
                self.logs.failed(slot.version(), fault.kind, || told.failed(fault));
            }
            if let Some(watched) = watched {
                watched.ends(Some(&answer));
            }
            return answer;
        }
        Err(Fault::new(FaultKind::Draining, "the server is stopping"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Gate, context, event, host, version};

    async fn ask(host: &Host, what: &str) -> Result<(), (FaultKind, String)> {
        let outcome = host.dispatch(&WorkerName::new("w"), context(), event(what)).await;
        outcome.map(|_| ()).map_err(|fault| (fault.kind, fault.message))
    }

    /// The id of the version that answers: workers here throw it.
    async fn answered_by(host: &Host) -> String {
        match ask(host, "who").await {
            Err((FaultKind::Exception, id)) => id,
            other => panic!("{other:?}"),
        }
    }

    async fn deploy(host: &Host, id: &str) -> Result<(), DeployError> {
        host.deploy(Arc::new(version("w", id)), None).await
    }

    #[tokio::test]
    async fn a_deploy_replaces_and_a_failed_one_does_not() {
        let host = host(&Gate::default());
        assert_eq!(ask(&host, "who").await.unwrap_err().0, FaultKind::NotFound);
        deploy(&host, "1").await.unwrap();
        assert_eq!(answered_by(&host).await, "1");
        deploy(&host, "2").await.unwrap();
        assert_eq!(answered_by(&host).await, "2");
        let error = deploy(&host, "broken").await.unwrap_err();
        assert!(
            matches!(&error, DeployError::Start(fault) if fault.kind == FaultKind::Startup),
            "{error:?}"
        );
        assert_eq!(answered_by(&host).await, "2");
        assert_eq!(host.stats().workers, 1);
        assert!(host.remove(&TenantId::new("t"), &WorkerName::new("w")));
        assert!(!host.remove(&TenantId::new("t"), &WorkerName::new("w")));
        assert_eq!(ask(&host, "who").await.unwrap_err().0, FaultKind::NotFound);
    }

    #[tokio::test]
    async fn a_prepared_version_gets_no_events_before_its_commit() {
        let host = host(&Gate::default());
        deploy(&host, "1").await.unwrap();
        let prepare = |id: &str| host.prepare(Arc::new(version("w", id)), None);
        drop(prepare("2").await.unwrap());
        let third = prepare("3").await.unwrap();
        assert_eq!(answered_by(&host).await, "1");
        let fourth = prepare("4").await.unwrap();
        host.commit(fourth).unwrap();
        assert_eq!(answered_by(&host).await, "4");
        let late = host.commit(third).unwrap_err();
        assert!(matches!(late, DeployError::Superseded { .. }), "{late:?}");
        let workers = host.workers();
        assert_eq!((workers.len(), workers[0].version.as_str()), (1, "4"));
    }

    #[tokio::test]
    async fn what_is_in_flight_finishes_on_the_old_version() {
        let gate = Gate::default();
        let host = host(&gate);
        deploy(&host, "1").await.unwrap();
        let held = tokio::spawn({
            let host = host.clone();
            async move { ask(&host, "hold").await }
        });
        gate.entered().await;
        deploy(&host, "2").await.unwrap();
        assert_eq!(answered_by(&host).await, "2");
        gate.open();
        assert_eq!(held.await.unwrap(), Err((FaultKind::Exception, "1".into())));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_event_is_lost_to_deploys() {
        let host = host(&Gate::default());
        deploy(&host, "0").await.unwrap();
        let mut askers = Vec::new();
        let stop = tokio_util::sync::CancellationToken::new();
        for _ in 0..4 {
            let (host, stop) = (host.clone(), stop.clone());
            askers.push(tokio::spawn(async move {
                let mut answers = 0;
                while !stop.is_cancelled() {
                    answered_by(&host).await;
                    answers += 1;
                }
                answers
            }));
        }
        for id in 1..=50 {
            deploy(&host, &id.to_string()).await.unwrap();
        }
        stop.cancel();
        for asker in askers {
            assert!(asker.await.unwrap() > 0);
        }
        assert_eq!(answered_by(&host).await, "50");
        assert_eq!(host.shutdown(Duration::from_secs(30)).await, 0);
        assert_eq!(ask(&host, "who").await.unwrap_err().0, FaultKind::Draining);
    }

    #[tokio::test]
    async fn the_hosts_own_ids_are_not_the_fronts() {
        let host = host(&Gate::default());
        let (first, second) = (host.next_request_id(), host.next_request_id());
        assert_ne!(first, second);
        assert!(first.0 >= OWN_EVENTS);
    }
}
