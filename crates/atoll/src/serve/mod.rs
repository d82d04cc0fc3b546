//! `atoll serve`'s server: the real edge, host, pool and stores, behind the interface that the command line drives.
//!
//! ```text
//! listen -> bound --first deploy--> serving --deploy--> serving --shutdown--> gone
//! ```
//!
//! A deployment is one step: every project starts before any takes over, and one that does not start leaves everything as it
//! was. A stop loses nothing: readiness goes first, then, after the delay, the listener; what is in flight finishes; stores
//! close last. Health and metrics are answered from the first moment to the last.

pub(crate) mod admin;
mod journal;
pub(crate) mod meters;
pub(crate) mod metrics;
pub(crate) mod process;
mod program;
mod record;
pub(crate) mod service_manager;
mod sites;
pub(crate) mod status;

pub(crate) use journal::{Journal, JournalTerminal};
pub(crate) use program::ProgramLayer;
pub(crate) use record::Style;

use crate::platform::{self, Patience, Platform};
use crate::serve::meters::Meters;
use crate::serve::metrics::Sources;
use crate::serve::record::Record;
use crate::serve::sites::ServeSites;
use crate::serve::status::Status;
use async_trait::async_trait;
use atoll_cli::serve::{Deployment, Isolated, Isolation, Listening, Phase, ServeListen, ServeTarget};
use atoll_cli::target::{Failure, ListenError};
use atoll_edge::{AccessLog, AccessRecord, Edge, EdgeLimits, EdgeOptions, ErrorDetail};
use atoll_host::{Cordon, Crons, FaultWatch, Host, LogEvent, LogTail, Tick, TickEnd, Triggers, check_cron};
use atoll_model::{RequestId, TenantId, WorkerName};
use atoll_stdx::TaskGroup;
use atoll_worker::{Dispatch, Dispatched, Event, EventContext, Fault, FaultKind, LogLevel, StartKind};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What workers print waits here on its way to the journal.
const PRINTED_DEPTH: usize = 8192;
/// Once the listener stops: how long a connection without a request is kept for the one that its client may be sending.
const CLOSING_IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long stored state that a predecessor holds is waited for, where the port is shared or inherited.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the last answers about health may take.
const ADMIN_GRACE: Duration = Duration::from_secs(1);

/// The least severe things that are recorded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded {
    /// Requests.
    pub(crate) requests: bool,
    /// Faults and exceptions.
    pub(crate) faults: bool,
    /// What workers print, from this level on.
    pub(crate) printed: Option<LogLevel>,
}

#[derive(Default)]
struct State {
    bound: Option<Edge>,
    serving: Option<JoinHandle<usize>>,
    /// The socket is or may be another process's too.
    shared: bool,
    workers: Vec<(TenantId, WorkerName)>,
}

/// The server behind `atoll serve`.
pub(crate) struct ServeServer {
    platform: Platform,
    sites: Arc<ServeSites>,
    recorder: Arc<Recorder>,
    sources: Arc<Sources>,
    status: Arc<Status>,
    stop: CancellationToken,
    admin: TaskGroup,
    deployed: AtomicBool,
    isolation: OnceLock<Isolation>,
    cordons: Cordons,
    /// Fires crons, from the first deployment on.
    triggers: Triggers,
    state: Mutex<State>,
}

/// Makes the child processes that an isolation asks for, if it does.
pub(crate) type Cordons = Box<dyn Fn(Isolation) -> Result<Option<Arc<Cordon>>, String> + Send + Sync>;

impl ServeServer {
    /// A server that is not listening yet. Must be called inside the tokio runtime that serves.
    pub(crate) fn new(platform: Platform, journal: Arc<Journal>, recorded: Recorded, cordons: Cordons) -> Self {
        let (status, meters) = (Arc::<Status>::default(), Arc::<Meters>::default());
        let sources = Arc::new(Sources {
            host: platform.host.clone(),
            stores: platform.stores.clone(),
            cache: platform.cache.clone(),
            code: platform.code.clone(),
            otlp: platform.otlp.clone(),
            meters: meters.clone(),
            journal: journal.clone(),
            status: status.clone(),
            edge: OnceLock::new(),
            pop: None,
        });
        if recorded.printed.is_some() || recorded.faults {
            let tail = platform.host.logs().tail(PRINTED_DEPTH);
            // For as long as there are workers.
            tokio::spawn(printed(tail, journal.clone(), recorded, CancellationToken::new()));
        }
        let recorder = Arc::new(Recorder {
            host: platform.host.clone(),
            journal,
            meters,
            recorded,
            versions: None,
        });
        let told = recorder.clone();
        let on_tick = move |tick: &Tick, end: &TickEnd| told.tick(tick, end);
        let triggers = Triggers::new(
            platform.host.clone(),
            recorder.clone(),
            platform.clock.clone(),
            Box::new(on_tick),
        );
        Self {
            recorder,
            triggers,
            sites: Arc::new(ServeSites::new(platform.host.clone())),
            platform,
            sources,
            status,
            stop: CancellationToken::new(),
            admin: TaskGroup::new(),
            deployed: AtomicBool::new(false),
            isolation: OnceLock::new(),
            cordons,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every critical section is a few field writes and, once, a call of the system for the socket.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen_admin(&self, address: SocketAddr) -> Result<SocketAddr, ListenError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse {
                host: address.ip(),
                port: address.port(),
            },
            _ => ListenError::Other {
                address,
                cause: error.to_string(),
            },
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let (sources, tasks) = (self.sources.clone(), self.admin.clone());
        self.admin.spawn(admin::serve(listener, sources, tasks));
        Ok(bound)
    }

    /// Begins to accept connections. The socket listens when this returns, also on a shared port: what is told to be ready
    /// refuses nobody.
    fn serve(&self) -> Result<(), Failure> {
        let mut state = self.lock();
        if let Some(mut edge) = state.bound.take() {
            edge.open().map_err(|error| Failure {
                title: "The listener cannot be opened".to_owned(),
                detail: error.to_string(),
                fatal: true,
            })?;
            // The grace is known when the shutdown comes, and kept there.
            state.serving = Some(tokio::spawn(edge.serve(self.stop.clone(), Duration::MAX)));
        }
        Ok(())
    }

    fn isolation(&self) -> Isolation {
        self.isolation.get().copied().unwrap_or_default()
    }

    /// Child processes, from the first deployment on that has a worker: one that only has files needs none.
    async fn lock_in(&self, deployment: &Deployment) -> Result<(), Failure> {
        let host = &self.platform.host;
        let failure = |detail: String| Failure {
            title: format!("Workers cannot run with isolation \"{}\" here", self.isolation().word()),
            detail: format!(
                "{detail}\n--isolation shared runs them in the server's own process; --allow-downgrade goes on with the layers \
                 that are there, and logs those that are not."
            ),
            fatal: true,
        };
        if self.isolation() == Isolation::Alone {
            let opened = host.open_homes(crate::cores(), true);
            opened.map_err(|error| failure(format!("the system refuses threads or descriptors: {error}.")))?;
        }
        if host.cordon().is_none()
            && deployment.projects.iter().any(|project| project.worker.is_some())
            && let Some(cordon) = (self.cordons)(self.isolation()).map_err(failure)?
        {
            host.isolate(cordon);
        }
        match host.cordon() {
            Some(cordon) => cordon.ready().await.map_err(|error| failure(error.to_string())),
            None => Ok(()),
        }
    }

    async fn replace(&self, deployment: &Deployment) -> Result<(), Failure> {
        self.lock_in(deployment).await?;
        let waits = || {
            self.status
                .not_ready("waiting for the stored state that another process holds");
            tracing::warn!("another process holds the stored state: waiting until it ends");
            if let Some(edge) = &mut self.lock().bound
                && let Err(error) = edge.open_behind()
            {
                tracing::error!(%error, "the listener cannot be opened");
            }
        };
        let patience = Patience {
            limit: TAKEOVER_TIMEOUT,
            begins: &waits,
        };
        let first = !self.deployed.load(Ordering::Acquire);
        let patience = (first && self.lock().shared).then_some(&patience);
        let crons = crons(deployment)?;
        let mut prepared = Vec::with_capacity(deployment.projects.len());
        for project in &deployment.projects {
            prepared.push(self.platform.prepare(project, patience).await?);
        }
        let mut sites = Vec::with_capacity(prepared.len());
        for ready in prepared {
            for warning in &ready.warnings {
                tracing::warn!("{warning}");
            }
            sites.push(Arc::new(self.platform.commit(ready)?));
        }
        let routes = deployment
            .routes
            .iter()
            .filter_map(|(pattern, place)| Some((pattern.clone(), sites.get(*place)?.clone())));
        self.sites.set(routes.collect());
        // What cannot be read was refused before.
        let _ = self.triggers.set(&crons);
        let workers: Vec<_> = sites
            .iter()
            .filter_map(|site| Some((site.tenant.clone(), site.worker.clone()?)))
            .collect();
        let old = std::mem::replace(&mut self.lock().workers, workers.clone());
        for gone in old.iter().filter(|old| !workers.contains(old)) {
            self.platform.remove(gone);
        }
        Ok(())
    }
}

#[async_trait]
impl ServeTarget for ServeServer {
    async fn isolate(&self, isolation: Isolation) -> Result<(), Failure> {
        // Set once, and never changed.
        let _ = self.isolation.set(isolation);
        Ok(())
    }

    fn isolated(&self) -> Isolated {
        let mode = self.isolation();
        let told = match self.platform.host.cordon() {
            Some(cordon) => cordon.to_string(),
            None if mode <= Isolation::Shared => format!("in this process (isolation \"{}\")", mode.word()),
            None => format!("in child processes, once there is one (isolation \"{}\")", mode.word()),
        };
        Isolated { mode, told }
    }

    async fn listen(&self, listen: &ServeListen) -> Result<Listening, ListenError> {
        let address = SocketAddr::new(listen.public.host, listen.public.port);
        let inherited = service_manager::inherited().map_err(|error| ListenError::Other {
            address,
            cause: error.to_string(),
        })?;
        let shared = listen.reuse_port || inherited.is_some();
        let options = EdgeOptions {
            geo: platform::geo(&listen.public.geo, address)?,
            tls: platform::certificate(&listen.public),
            reuse_port: listen.reuse_port && inherited.is_none(),
            error_detail: ErrorDetail::Terse,
            local_triggers: false,
            limits: EdgeLimits {
                closing_idle_timeout: CLOSING_IDLE_TIMEOUT,
                ..EdgeLimits::default()
            },
            tracer: self.platform.tracing(),
            homes: Some(self.platform.homes()),
            clock: self.platform.clock.clone(),
        };
        let (sites, recorder) = (self.sites.clone(), self.recorder.clone());
        let was_inherited = inherited.is_some();
        let edge = match inherited {
            Some(listener) => Edge::inherit(listener, options, sites, recorder.clone(), recorder),
            None => Edge::bind(address, options, sites, recorder.clone(), recorder).await,
        };
        let edge = edge.map_err(|error| platform::listen_error(error, address))?;
        let public = edge.local_addr();
        // Set once: there is one listener.
        let _ = self.sources.edge.set(edge.handle());
        let admin = match listen.admin {
            Some(address) => Some(self.listen_admin(address).await?),
            None => None,
        };
        self.platform.listeners.add(public);
        if let Some(admin) = admin {
            self.platform.listeners.add(admin);
        }
        let mut state = self.lock();
        state.bound = Some(edge);
        state.shared = shared;
        Ok(Listening {
            public,
            admin,
            inherited: was_inherited,
        })
    }

    async fn deploy(&self, deployment: Deployment) -> Result<(), Failure> {
        let outcome = self.replace(&deployment).await;
        if self.deployed.load(Ordering::Acquire) {
            self.status.reloaded(outcome.is_ok());
        }
        outcome?;
        self.serve()?;
        self.deployed.store(true, Ordering::Release);
        Ok(())
    }

    async fn renew_certificate(&self) -> Result<(), Failure> {
        let Some(edge) = self.sources.edge.get() else {
            return Ok(());
        };
        edge.renew_certificate().map_err(|error| Failure {
            title: "The certificate was not read again: the one before goes on".to_owned(),
            detail: error.to_string(),
            fatal: false,
        })
    }

    async fn restart_children(&self) -> Result<usize, Failure> {
        self.platform.restart_children().await.ok_or_else(|| Failure {
            title: "There are no child processes to replace".to_owned(),
            detail: "Workers run in this process: --isolation cordon gives them processes of their own.".to_owned(),
            fatal: false,
        })
    }

    fn phase(&self, phase: Phase) {
        match phase {
            Phase::Ready => {
                self.status.ready();
                service_manager::notify("READY=1");
            }
            // What was served goes on.
            Phase::Reloading => {
                let now = service_manager::monotonic_us();
                service_manager::notify(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
            }
            Phase::Stopping => {
                self.status.not_ready("stopping");
                service_manager::notify("STOPPING=1");
            }
        }
    }

    async fn shutdown(&self, delay: Duration, grace: Duration) -> usize {
        self.status.not_ready("stopping");
        // A successor fires what comes next.
        self.triggers.stop();
        tokio::time::sleep(delay).await;
        let deadline = Instant::now() + grace;
        let serving = {
            let mut state = self.lock();
            drop(state.bound.take());
            state.serving.take()
        };
        self.stop.cancel();
        let mut cut = 0;
        if let Some(mut serving) = serving {
            match tokio::time::timeout(grace, &mut serving).await {
                Ok(ended) => cut = ended.unwrap_or_default(),
                Err(_) => {
                    let open = || self.sources.edge.get().map_or(0, |edge| edge.stats().open);
                    cut = usize::try_from(open()).unwrap_or(usize::MAX);
                    serving.abort();
                }
            }
        }
        self.platform.shutdown(deadline).await;
        self.admin.drain(ADMIN_GRACE).await;
        cut
    }
}

/// The front's way to the host, and its log: everything that happens to a request passes here.
pub(crate) struct Recorder {
    pub(crate) host: Arc<Host>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) recorded: Recorded,
    /// Where several versions serve.
    pub(crate) versions: Option<Arc<crate::pop::Meters>>,
}

impl AccessLog for Recorder {
    fn request(&self, record: AccessRecord) {
        self.meters.request(&record);
        if let Some(limit) = record.limit {
            self.host.logs().limits().count(limit);
        }
        if !self.recorded.requests && self.versions.is_none() {
            return;
        }
        // Refused, it met no worker.
        let refused = matches!(
            record.fault,
            Some(FaultKind::NotFound | FaultKind::Overloaded | FaultKind::Draining)
        );
        let id = record.request_id.filter(|_| record.worker.is_some() && !refused);
        let start = id.map(|id| self.host.start_of(id));
        if let Some(versions) = &self.versions {
            versions.request(&record, start.unwrap_or(StartKind::Warm));
        }
        if self.recorded.requests {
            self.journal.record(Record::Request(record, start));
        }
    }
}

impl FaultWatch for Recorder {
    fn failed(&self, worker: &WorkerName, id: RequestId, fault: &Fault) {
        let worker = worker.clone();
        match fault.exception.as_deref() {
            Some(exception) => {
                let exception = exception.clone();
                self.journal.record(Record::Exception(worker, Some(id), exception));
            }
            None if matches!(fault.kind, FaultKind::Canceled | FaultKind::Draining) => {}
            None => self.journal.record(Record::Fault(worker, id, fault.clone())),
        }
    }
}

impl Recorder {
    pub(crate) fn tick(&self, tick: &Tick, end: &TickEnd) {
        self.meters.tick(tick, end);
        if self.recorded.requests {
            let start = self.host.start_of(tick.id());
            self.journal.record(Record::Cron(tick.clone(), end.clone(), start));
        }
    }
}

/// What is to be fired by the clock.
fn crons(deployment: &Deployment) -> Result<Vec<Crons>, Failure> {
    let workers = deployment.projects.iter().filter_map(|project| project.worker.as_ref());
    workers
        .map(|version| {
            for expression in &version.crons {
                check_cron(expression).map_err(|fault| Failure {
                    title: format!("The crons of {} cannot be fired", version.name),
                    detail: fault.message,
                    fatal: false,
                })?;
            }
            Ok(Crons {
                tenant: version.tenant.clone(),
                worker: version.name.clone(),
                expressions: version.crons.clone(),
            })
        })
        .collect()
}

impl Dispatch for Recorder {
    fn dispatch<'a>(&'a self, worker: &WorkerName, ctx: EventContext, event: Event) -> Dispatched<'a> {
        let watch = self.recorded.faults.then_some(self as &dyn FaultWatch);
        self.host.dispatch_telling(worker, ctx, event, watch)
    }
}

/// Moves what workers print to the journal, until it is told to stop and all is moved.
pub(crate) async fn printed(mut tail: LogTail, journal: Arc<Journal>, recorded: Recorded, stopping: CancellationToken) {
    while let Some(event) = tail.next_until(&stopping).await {
        journal.lost(tail.take_dropped());
        match &*event {
            LogEvent::Record(from, record) => {
                if recorded.printed.is_some_and(|least| record.level >= least) {
                    journal.record(Record::Printed(from.worker.clone(), record.clone()));
                }
            }
            LogEvent::Exception(from, id, exception) => {
                if recorded.faults {
                    journal.record(Record::Exception(from.worker.clone(), *id, exception.clone()));
                }
            }
            // The recorder has told it already.
            LogEvent::Failed(..) => {}
        }
    }
}
