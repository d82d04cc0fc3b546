//! The process of a PoP: its parts made, joined, and taken down in order.

use super::runtime::PopRuntime;
use super::sites::{Loads, PopSites};
use super::tails::Tails;
use super::{Meters, fire};
use crate::platform::{self, Platform};
use crate::roles::file::{Settings, address};
use crate::roles::running::Running;
use crate::serve::meters::{Meters as ServeMeters, kind_name};
use crate::serve::metrics::Sources;
use crate::serve::status::Status;
use crate::serve::{Journal, Recorded, Recorder, admin, printed, service_manager};
use crate::up::child::abandoned;
use crate::{Isolates, cordon, cores, engine};
use async_trait::async_trait;
use atoll_api::pop::LogRecord;
use atoll_cli::args::Isolation;
use atoll_edge::assets::{AssetBlobs, BlobReader};
use atoll_edge::{Edge, EdgeLimits, EdgeOptions, ErrorDetail, TlsOptions};
use atoll_egress::AddressPolicy;
use atoll_host::{LogEvent, LogTail, VersionsOptions};
use atoll_model::edge::Share;
use atoll_model::{BlobHash, TenantId, WorkerName};
use atoll_pop::{Agent, LoadedVersion, ObjectLimits, Options, StartError};
use atoll_stdx::TaskGroup;
use atoll_store::blob::{BlobStore, blob_key};
use atoll_worker::{JsException, LogLevel};
use bytes::Bytes;
use serde_json::json;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Once the listener stops: how long a connection without a request is kept for the one that its client may be sending.
const CLOSING_IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// What workers print waits here on its way to the journal, and to the control plane.
const PRINTED_DEPTH: usize = 8_192;
/// How often sites that nobody asks for are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How long the agent, and the last answers about health, may take to end.
const END_GRACE: Duration = Duration::from_secs(2);

/// Runs until it is told to stop.
pub(crate) async fn run(settings: Settings, journal: Arc<Journal>, recorded: Recorded) -> ExitCode {
    match serve(&settings, &journal, recorded).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            journal.say("error", what);
            ExitCode::FAILURE
        }
    }
}

/// Where versions and their blobs come from: the agent, once it is open.
struct FromAgent(Arc<Agent>);

impl fmt::Debug for FromAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromAgent")
    }
}

#[async_trait]
impl Loads for FromAgent {
    async fn load(
        &self,
        account: &TenantId,
        worker: &WorkerName,
        share: &Share,
    ) -> Result<Arc<LoadedVersion>, StartError> {
        self.0.version(account, worker, share).await
    }

    fn touched(&self, account: &TenantId, worker: &WorkerName) {
        self.0.touched(account, worker);
    }
}

/// Static assets' bytes.
#[derive(Debug)]
pub(crate) struct AssetObjects(pub(crate) Arc<dyn BlobStore>);

#[async_trait]
impl AssetBlobs for AssetObjects {
    async fn read(&self, blob: &BlobHash, range: Range<u64>) -> Result<Bytes, String> {
        let object = self.0.get(&blob_key(blob), Some(range)).await;
        object.map(|object| object.bytes).map_err(|error| error.to_string())
    }
}

async fn serve(settings: &Settings, journal: &Arc<Journal>, recorded: Recorded) -> Result<(), String> {
    // Before anything is opened or started: no child is to have it too.
    let inherited = service_manager::inherited().map_err(|error| format!("http.listen: {error}"))?;
    let data = data_directory(settings)?;
    Running::forget(&data);
    let listen = match &inherited {
        Some(listener) => listener.local_addr().map_err(|error| format!("http.listen: {error}"))?,
        None => settings.address("http.listen"),
    };
    let options = options(settings, &data, listen)?;
    let token = options.join_token.is_some();
    let agent = Agent::open(options).await.map_err(|error| error.to_string())?;
    if !token && !agent.status().joined {
        return Err(
            "this PoP has not joined yet and has no join token: `atoll pops join-token` makes one; give it as \
                    control.join_token_file, or in ATOLL_CONTROL_JOIN_TOKEN"
                .to_owned(),
        );
    }
    let platform = make_platform(settings, agent.name()).await?;
    let opened = platform.stores.open_all(&data).await;
    opened.map_err(|failure| format!("{}: {}", failure.title, failure.detail))?;
    platform.keep_code(&data).await;
    let platform = Arc::new(platform);
    let meters = Arc::<Meters>::default();
    platform.host.watch(meters.clone());
    platform.host.logs().watch_usage(meters.clone());
    let blobs = BlobReader::new(
        Arc::new(AssetObjects(agent.objects())),
        tokio::runtime::Handle::current(),
    );
    let sites = PopSites::new(platform.host.clone(), blobs, meters.clone());
    sites.load_by(Arc::new(FromAgent(agent.clone())));
    let versions = platform.host.versions_from(
        sites.clone(),
        VersionsOptions {
            idle_for: settings.duration("workers.idle"),
            code_bytes_max: settings.number("workers.code_bytes"),
        },
    );
    let tails = Tails::new(platform.clock.clone());
    platform.host.logs().tap(tails.clone());
    let runtime = PopRuntime::new(platform.clone(), sites.clone(), versions, meters.clone(), tails);
    let server = Server::new(
        settings,
        inherited,
        &agent,
        platform,
        runtime,
        meters,
        journal.clone(),
        recorded,
    )
    .await?;
    server.run(settings, data).await
}

/// Made so that its owner alone may look into it.
fn data_directory(settings: &Settings) -> Result<PathBuf, String> {
    use std::os::unix::fs::DirBuilderExt as _;
    let path = settings.path("data.directory").unwrap_or_default();
    let failed = |error: std::io::Error| format!("data.directory {}: {error}", path.display());
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&path).map_err(failed)?;
    path.canonicalize().map_err(failed)
}

fn options(settings: &Settings, data: &std::path::Path, http: SocketAddr) -> Result<Options, String> {
    let join_token = match settings.path("control.join_token_file") {
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(token) => Some(token.trim().to_owned()),
            // It is needed once.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(format!("control.join_token_file {}: {error}", path.display())),
        },
        None => settings.some_text("control.join_token").map(str::to_owned),
    };
    let urls = settings
        .text("control.url")
        .split(',')
        .map(str::trim)
        .filter(|url| !url.is_empty());
    let control = urls.map(|url| {
        url.strip_prefix("https://")
            .unwrap_or(url)
            .trim_end_matches('/')
            .to_owned()
    });
    let name = settings.some_text("pop.name").map_or_else(host_name, str::to_owned);
    let scheme = if settings.some_text("http.tls_certificates").is_some() {
        "https"
    } else {
        "http"
    };
    let public = settings
        .some_text("http.public_url")
        .map_or_else(|| format!("{scheme}://{http}"), str::to_owned);
    Ok(Options {
        directory: data.to_owned(),
        control: control.collect(),
        name,
        region: settings.text("pop.region").to_owned(),
        join_token,
        public_address: public,
        neighbour_listen: Some(settings.address("neighbour.listen")),
        neighbour_address: settings.some_text("neighbour.address").map(str::to_owned),
        objects: ObjectLimits::default(),
        store: None,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        clock: Arc::new(atoll_stdx::SystemClock),
    })
}

/// The host's name, as far as it can be a PoP's.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let first = name.trim().split('.').next().unwrap_or_default().to_ascii_lowercase();
    let legal: String = first
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(63)
        .collect();
    let legal = legal.trim_matches('-').to_owned();
    if legal.is_empty() { "pop".to_owned() } else { legal }
}

/// The isolation that a setting names.
pub(crate) fn isolation(word: &str) -> Isolation {
    match word {
        "shared" => Isolation::Shared,
        "dedicated" => Isolation::Dedicated,
        _ => Isolation::Cordon,
    }
}

async fn make_platform(settings: &Settings, name: &str) -> Result<Platform, String> {
    let mut policy = AddressPolicy::public();
    for entry in settings.list("workers.allow_net") {
        policy.permit(entry.parse().map_err(|error| format!("workers.allow_net: {error}"))?);
    }
    let per_core = usize::try_from(settings.number("workers.per_core")).unwrap_or(1);
    let isolates = Isolates::of_a_server(cores() * per_core);
    let isolation = isolation(settings.text("workers.isolation"));
    let cordon = cordon::cordon(isolation, &isolates, settings.flag("workers.allow_downgrade"))?;
    if let Some(cordon) = &cordon {
        cordon.ready().await.map_err(|error| {
            format!(
                "workers cannot run with workers.isolation = \"{}\" here: {error}\n\"shared\" runs them in the server's own \
                 process; workers.allow_downgrade goes on with the layers that are there",
                isolation.word()
            )
        })?;
    }
    // Of several PoPs that send to one collector it must be seen which one said something.
    let who = [
        ("service.instance.id", name),
        ("cloud.region", settings.text("pop.region")),
    ];
    crate::platform_of(engine(), cordon, isolates, policy, &who)
}

/// What serves, listening.
struct Server {
    agent: Arc<Agent>,
    platform: Arc<Platform>,
    runtime: Arc<PopRuntime>,
    recorder: Arc<Recorder>,
    sources: Arc<Sources>,
    status: Arc<Status>,
    journal: Arc<Journal>,
    edge: Edge,
    admin: Option<TcpListener>,
    /// Of the agent.
    agent_tasks: TaskGroup,
    tasks: TaskGroup,
}

impl Server {
    #[allow(
        clippy::too_many_arguments,
        reason = "parts that are made one after the other, each once"
    )]
    async fn new(
        settings: &Settings,
        inherited: Option<std::net::TcpListener>,
        agent: &Arc<Agent>,
        platform: Arc<Platform>,
        runtime: Arc<PopRuntime>,
        meters: Arc<Meters>,
        journal: Arc<Journal>,
        recorded: Recorded,
    ) -> Result<Self, String> {
        let status = Arc::<Status>::default();
        let serve_meters = Arc::new(ServeMeters::by_route(platform.host.logs().clone()));
        let sources = Arc::new(Sources {
            host: platform.host.clone(),
            stores: platform.stores.clone(),
            cache: platform.cache.clone(),
            code: platform.code.clone(),
            otlp: platform.otlp.clone(),
            meters: serve_meters.clone(),
            journal: journal.clone(),
            status: status.clone(),
            edge: OnceLock::new(),
            pop: Some(agent.clone()),
        });
        let tasks = TaskGroup::new();
        if recorded.printed.is_some() || recorded.faults {
            let tail = platform.host.logs().tail(PRINTED_DEPTH);
            tasks.spawn(printed(tail, journal.clone(), recorded, tasks.stopping()));
        }
        let tail = platform.host.logs().tail(PRINTED_DEPTH);
        tasks.spawn(ship(tail, agent.clone(), tasks.stopping()));
        let recorder = Arc::new(Recorder {
            host: platform.host.clone(),
            journal: journal.clone(),
            meters: serve_meters,
            recorded,
            versions: Some(meters),
        });
        let listen = settings.address("http.listen");
        let tls = match (settings.path("http.tls_certificates"), settings.path("http.tls_key")) {
            (Some(certificates), Some(key)) => Some(TlsOptions::Pem { certificates, key }),
            (None, None) => None,
            _ => return Err("http.tls_certificates and http.tls_key go together".to_owned()),
        };
        let databases: Vec<PathBuf> = settings.list("http.geo_databases").iter().map(PathBuf::from).collect();
        let options = EdgeOptions {
            geo: platform::geo(&databases, listen).map_err(|error| format!("http.geo_databases: {error:?}"))?,
            tls,
            reuse_port: settings.flag("http.reuse_port") && inherited.is_none(),
            error_detail: ErrorDetail::Terse,
            local_triggers: false,
            limits: EdgeLimits {
                closing_idle_timeout: CLOSING_IDLE_TIMEOUT,
                ..EdgeLimits::default()
            },
            clock: platform.clock.clone(),
            tracer: platform.tracing(),
            homes: None,
        };
        let (sites, events) = (runtime.sites.clone(), recorder.clone());
        let edge = match inherited {
            Some(listener) => Edge::inherit(listener, options, sites, events, recorder.clone()),
            None => Edge::bind(listen, options, sites, events, recorder.clone()).await,
        };
        let edge = edge.map_err(|error| format!("http.listen {listen}: {error}"))?;
        // Set once: there is one listener.
        let _ = sources.edge.set(edge.handle());
        let admin = match settings.some_text("admin.listen") {
            None => None,
            Some(text) => {
                let failed = |error: &dyn fmt::Display| format!("admin.listen {text}: {error}");
                let address = address(text).map_err(|error| failed(&error))?;
                Some(TcpListener::bind(address).await.map_err(|error| failed(&error))?)
            }
        };
        Ok(Self {
            agent: agent.clone(),
            platform,
            runtime,
            recorder,
            sources,
            status,
            journal,
            edge,
            admin,
            agent_tasks: TaskGroup::new(),
            tasks,
        })
    }

    async fn run(self, settings: &Settings, data: PathBuf) -> Result<(), String> {
        let stopped = signal()?;
        let http = self.edge.local_addr();
        let admin = self.admin.as_ref().and_then(|listener| listener.local_addr().ok());
        self.platform.listeners.add(http);
        if let Some(listener) = self.admin {
            if let Some(admin) = admin {
                self.platform.listeners.add(admin);
            }
            self.tasks
                .spawn(admin::serve(listener, self.sources.clone(), self.tasks.clone()));
        }
        fire::start(&self.runtime, &self.agent, self.recorder.clone(), &self.platform);
        let started = self.agent.start(self.runtime.clone(), &self.agent_tasks).await;
        started.map_err(|error| error.to_string())?;
        let peers = self.agent.neighbour_address().and_then(|address| address.parse().ok());
        let running = Running {
            pid: std::process::id(),
            http,
            scheme: if settings.some_text("http.tls_certificates").is_some() {
                "https"
            } else {
                "http"
            }
            .to_owned(),
            peers,
            admin,
        };
        running
            .tell(&data)
            .map_err(|error| format!("{}: {error}", data.display()))?;
        self.status
            .not_ready("waiting for a configuration from the control plane");
        let (sites, sweeping) = (self.runtime.sites.clone(), self.tasks.stopping());
        self.tasks.spawn(async move {
            let sweep = async {
                loop {
                    tokio::time::sleep(SWEEP_EVERY).await;
                    sites.sweep();
                }
            };
            sweeping.run_until_cancelled(sweep).await;
        });
        let stop = CancellationToken::new();
        let serving = tokio::spawn(self.edge.serve(stop.clone(), Duration::MAX));
        self.journal
            .say("info", format!("{} listens on {http}", self.agent.name()));
        let mut activated = self.runtime.activated.subscribe();
        tokio::pin!(stopped);
        let told_early = tokio::select! {
            publication = activated.wait_for(|publication| *publication > 0) => {
                let publication = publication.map_or(0, |publication| *publication);
                self.status.ready();
                service_manager::notify("READY=1");
                self.journal.say("info", format!("ready: publication {publication}, {} workers", self.runtime.sites.workers()));
                false
            }
            () = &mut stopped => true,
        };
        if !told_early {
            stopped.await;
        }
        self.status.not_ready("stopping");
        service_manager::notify("STOPPING=1");
        self.journal.say("info", "stopping".to_owned());
        self.agent.drain();
        if let Some(triggers) = self.runtime.triggers.get() {
            triggers.stop();
        }
        tokio::time::sleep(settings.duration("drain.delay")).await;
        let grace = settings.duration("drain.grace");
        let deadline = Instant::now() + grace;
        stop.cancel();
        if tokio::time::timeout(grace, serving).await.is_err() {
            self.journal.say(
                "warn",
                "connections were cut off: they took longer than drain.grace".to_owned(),
            );
        }
        self.agent_tasks.drain(END_GRACE).await;
        self.platform.shutdown(deadline).await;
        self.tasks.drain(END_GRACE).await;
        Running::forget(&data);
        Ok(())
    }
}

/// Resolves when the process is told to stop, or whoever started it is gone.
pub(crate) fn signal() -> Result<impl Future<Output = ()>, String> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| format!("signals cannot be handled: {error}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = abandoned() => {}
        }
    })
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Log => "log",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

fn thrown(exception: &JsException) -> serde_json::Value {
    json!({ "message": exception.message, "name": exception.name, "stack": exception.stack })
}

/// Takes what workers print and throw to the control plane, until it is told to stop and all is taken.
async fn ship(mut tail: LogTail, agent: Arc<Agent>, stopping: CancellationToken) {
    let shipper = agent.shipper();
    while let Some(event) = tail.next_until(&stopping).await {
        let lost = tail.take_dropped();
        if lost > 0 {
            shipper.lost("tail", lost);
        }
        let (origin, level, request, time_ms, json) = match &*event {
            LogEvent::Record(origin, record) => {
                let json = json!({ "message": record.message });
                (
                    origin,
                    level(record.level),
                    record.request_id,
                    record.timestamp_ms,
                    json,
                )
            }
            LogEvent::Exception(origin, request, exception) => (origin, "error", *request, 0, thrown(exception)),
            LogEvent::Failed(origin, failed) => {
                let fault = &failed.fault;
                let mut json = fault
                    .exception
                    .as_deref()
                    .map_or_else(|| json!({ "message": fault.message }), thrown);
                json["outcome"] = kind_name(fault.kind).into();
                (origin, "error", Some(failed.request_id), 0, json)
            }
        };
        let time_ms = match time_ms {
            0 => atoll_stdx::Clock::now_ms(&atoll_stdx::SystemClock),
            time_ms => time_ms,
        };
        shipper.log(LogRecord {
            time_ms,
            account: origin.tenant.to_string(),
            worker: origin.worker.to_string(),
            version: origin.version.to_string(),
            level: level.to_owned(),
            request: request.map_or_else(String::new, |request| request.to_string()),
            json: json.to_string(),
        });
    }
}
