//! A worker of the tests' own, its environment, and the two ways to reach it: directly, or over a link.

use async_trait::async_trait;
use atoll_link::{LinkError, ParentLink, RemoteSlot, Runner, Running, SegmentReader, SegmentWriter, serve};
use atoll_model::{CompatDate, Limits, Module, ModuleKind, RequestId, TenantId, WorkerName, WorkerVersion};
use atoll_stdx::{SystemClock, TaskGroup};
use atoll_worker::{
    AnalyticsDataset, Binding, BindingError, Body, CacheKey, Cancel, CodeAsk, CodeSink, ConnectError, ConnectRequest,
    Connection, DataPoint, Entry, Environment, Event, EventContext, Fault, FaultKind, Fetcher, Job, JsException,
    KvEntry, KvKey, KvList, KvListOptions, KvNamespace, KvPut, LimitHit, LogRecord, LogSink, NameData, NameError,
    NameErrorKind, NameKind, NameQuestion, NameRecord, Outbound, OutboundRequest, OutboundRoute, Outcome, Props,
    RateLimitAsk, RateLimiter, Request, RequestHead, Response, ResponseCache, ResponseHead, RouteNumber, Service,
    ServiceStub, StartKind, StartNote, TraceContext, Usage, WorkerCode, WorkerLoader,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// What both ends agree on.
pub const BUILD: &str = "test-build";

/// The worker: what it does with an event.
pub type Worker =
    Arc<dyn Fn(EventContext, Event, Environment) -> BoxFuture<'static, Result<Outcome, Fault>> + Send + Sync>;

/// A worker from an async function.
pub fn worker<F, R>(f: F) -> Worker
where
    F: Fn(EventContext, Event, Environment) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Outcome, Fault>> + Send + 'static,
{
    Arc::new(move |ctx, event, env| Box::pin(f(ctx, event, env)))
}

/// What happened outside of the worker.
#[derive(Default)]
pub struct Record {
    pub logs: Mutex<Vec<LogRecord>>,
    pub exceptions: Mutex<Vec<JsException>>,
    pub limits: Mutex<Vec<LimitHit>>,
    pub used: Mutex<Vec<Usage>>,
    pub starts: Mutex<Vec<StartNote>>,
    pub traces: Mutex<Vec<String>>,
    pub points: Mutex<Vec<DataPoint>>,
    /// Whom capabilities were called for: tenant, worker, request.
    pub callers: Mutex<Vec<(String, String, u64)>>,
}

impl Record {
    fn called(&self, ctx: &EventContext) {
        let caller = (ctx.tenant.to_string(), ctx.worker.to_string(), ctx.request_id.0);
        self.callers.lock().unwrap().push(caller);
    }
}

/// KV in memory.
pub struct MemoryKv {
    record: Arc<Record>,
    entries: Mutex<BTreeMap<String, KvEntry>>,
}

#[async_trait]
impl KvNamespace for MemoryKv {
    async fn get(&self, ctx: &EventContext, keys: Vec<String>) -> Result<Vec<Option<KvEntry>>, BindingError> {
        self.record.called(ctx);
        if keys.iter().any(|key| key == "slow") {
            tokio::task::yield_now().await;
        }
        if keys.iter().any(|key| key == "never") {
            std::future::pending::<()>().await;
        }
        let entries = self.entries.lock().unwrap();
        Ok(keys.iter().map(|key| entries.get(key).cloned()).collect())
    }

    async fn put(&self, ctx: &EventContext, put: KvPut) -> Result<(), BindingError> {
        self.record.called(ctx);
        if put.key.is_empty() {
            return Err(BindingError::invalid("empty key"));
        }
        let entry = KvEntry {
            value: put.value,
            metadata: put.metadata,
            expiration: put.expiration.or(put.expiration_ttl),
        };
        self.entries.lock().unwrap().insert(put.key, entry);
        Ok(())
    }

    async fn delete(&self, _: &EventContext, keys: Vec<String>) -> Result<(), BindingError> {
        let mut entries = self.entries.lock().unwrap();
        keys.iter().for_each(|key| drop(entries.remove(key)));
        Ok(())
    }

    async fn list(&self, _: &EventContext, options: KvListOptions) -> Result<KvList, BindingError> {
        let entries = self.entries.lock().unwrap();
        let keys = entries.iter().filter(|(name, _)| name.starts_with(&options.prefix));
        let keys = keys.take(options.limit as usize).map(|(name, entry)| KvKey {
            name: name.clone(),
            expiration: entry.expiration,
            metadata: entry.metadata.clone(),
        });
        Ok(KvList {
            keys: keys.collect(),
            cursor: options.cursor,
        })
    }
}

/// Answers a request with its own method, URL, headers and body.
pub struct Echo(pub Arc<Record>);

pub fn echo(request: Request) -> Response {
    let mut head = ResponseHead::new(201);
    head.status_text = request.head.method.to_string();
    head.url = request.head.url;
    head.headers = request.head.headers;
    Response {
        head,
        body: request.body,
        websocket: None,
    }
}

#[async_trait]
impl Fetcher for Echo {
    async fn fetch(&self, ctx: &EventContext, request: Request) -> Result<Response, BindingError> {
        self.0.called(ctx);
        Ok(echo(request))
    }
}

#[async_trait]
impl Outbound for Echo {
    async fn fetch(&self, ctx: &EventContext, request: OutboundRequest) -> Result<Response, BindingError> {
        self.0.called(ctx);
        if request.request.head.upgrade_websocket {
            // A server that sends back what it gets.
            let (mut theirs, mut ours) = atoll_worker::socket::pair();
            theirs.protocol = "chat".to_owned();
            tokio::spawn(async move {
                while let Some(message) = ours.rx.recv().await {
                    ours.tx.room().await;
                    if ours.tx.send(message).is_err() {
                        return;
                    }
                }
            });
            return Ok(Response {
                head: ResponseHead::new(101),
                body: Body::Empty,
                websocket: Some(theirs),
            });
        }
        if request.request.head.url.ends_with("/never") {
            ctx.cancel.cancelled().await;
            self.0.traces.lock().unwrap().push("outbound cancelled".to_owned());
            std::future::pending::<()>().await;
        }
        Ok(echo(request.request))
    }

    async fn connect(&self, ctx: &EventContext, request: ConnectRequest) -> Result<Connection, ConnectError> {
        self.0.called(ctx);
        super::raw::connect(request)
    }

    async fn resolve(&self, ctx: &EventContext, question: NameQuestion) -> Result<Vec<NameRecord>, NameError> {
        self.0.called(ctx);
        let record = |data| Ok(vec![NameRecord { ttl: 7, data }]);
        match question.kind {
            NameKind::Lookup => record(NameData::Address([192, 0, 2, 1].into())),
            NameKind::Txt => record(NameData::Texts(vec![question.name, String::new()])),
            NameKind::Mx => record(NameData::Mx {
                priority: 10,
                exchange: "mx.test".to_owned(),
            }),
            _ => Err(NameError::new(NameErrorKind::NotFound, question.name)),
        }
    }
}

struct Counter(Mutex<u32>);

#[async_trait]
impl RateLimiter for Counter {
    async fn limit(&self, _: &EventContext, _: &str, ask: RateLimitAsk) -> Result<bool, BindingError> {
        let mut used = self.0.lock().unwrap();
        *used += ask.delta.max(1);
        Ok(f64::from(*used) <= ask.limit.unwrap_or(3.0))
    }
}

struct Points(Arc<Record>);

impl AnalyticsDataset for Points {
    fn write(&self, point: DataPoint) {
        self.0.points.lock().unwrap().push(point);
    }
}

struct Logs(Arc<Record>);

impl LogSink for Logs {
    fn log(&self, record: LogRecord) {
        self.0.logs.lock().unwrap().push(record);
    }

    fn exception(&self, _: Option<RequestId>, exception: JsException) {
        self.0.exceptions.lock().unwrap().push(exception);
    }

    fn limit(&self, hit: LimitHit) {
        self.0.limits.lock().unwrap().push(hit);
    }

    fn start(&self, note: StartNote) {
        self.0.starts.lock().unwrap().push(note);
    }

    fn used(&self, usage: Usage) {
        self.0.used.lock().unwrap().push(usage);
    }

    fn traces(&self) -> bool {
        true
    }

    fn trace(&self, item: String) {
        self.0.traces.lock().unwrap().push(item);
    }
}

#[derive(Default)]
struct Cache(Mutex<BTreeMap<String, (ResponseHead, Bytes)>>);

#[async_trait]
impl ResponseCache for Cache {
    async fn find(&self, _: &EventContext, key: CacheKey) -> Result<Option<Response>, BindingError> {
        let stored = self.0.lock().unwrap().get(&key.url).cloned();
        Ok(stored.map(|(head, body)| Response {
            head,
            body: Body::Full(body),
            websocket: None,
        }))
    }

    async fn put(&self, _: &EventContext, key: CacheKey, head: ResponseHead, body: Body) -> Result<(), BindingError> {
        let body = body.collect(1 << 30).await;
        let body = body.map_err(|error| BindingError::unavailable(error.to_string()))?;
        self.0.lock().unwrap().insert(key.url, (head, body));
        Ok(())
    }

    async fn delete(&self, _: &EventContext, key: CacheKey) -> Result<bool, BindingError> {
        Ok(self.0.lock().unwrap().remove(&key.url).is_some())
    }
}

/// Another worker, which runs where the environment is: it says who was called.
struct Other {
    worker: Worker,
    environment: Mutex<Option<Environment>>,
}

#[async_trait]
impl Service for Other {
    async fn dispatch(&self, mut ctx: EventContext, event: Event) -> Result<Outcome, Fault> {
        ctx.tenant = TenantId::new("t");
        ctx.worker = WorkerName::new("other");
        let environment = self.environment.lock().unwrap().clone().unwrap();
        (self.worker)(ctx, event, environment).await
    }
}

/// A loader whose workers tell of their code; the id `known` is never asked for.
struct Loader;

type Supplied = Option<Result<Arc<WorkerCode>, Fault>>;

struct Loaded(tokio::sync::watch::Receiver<Supplied>);

struct Sink(Option<tokio::sync::watch::Sender<Supplied>>);

impl CodeSink for Sink {
    fn supply(mut self: Box<Self>, code: Result<WorkerCode, Fault>) {
        self.0.take().unwrap().send_replace(Some(code.map(Arc::new)));
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(told) = self.0.take() {
            told.send_replace(Some(Err(Fault::new(FaultKind::Startup, "no code"))));
        }
    }
}

impl WorkerLoader for Loader {
    fn get(&self, id: Option<Arc<str>>, ask: CodeAsk) -> Arc<dyn Service> {
        let (told, code) = tokio::sync::watch::channel(None);
        if id.as_deref() == Some("known") {
            told.send_replace(Some(Err(Fault::new(FaultKind::Exception, "known already"))));
        } else {
            let _ = ask.send(Box::new(Sink(Some(told))));
        }
        Arc::new(Loaded(code))
    }
}

#[async_trait]
impl Service for Loaded {
    async fn dispatch(&self, ctx: EventContext, _: Event) -> Result<Outcome, Fault> {
        let mut code = self.0.clone();
        let code = code.wait_for(Option::is_some).await.unwrap().clone().unwrap()?;
        let OutboundRoute::Service(outbound) = &code.outbound else {
            panic!()
        };
        let ask = |stub: &ServiceStub| {
            let (stub, ctx) = (stub.clone(), ctx.clone());
            async move {
                match stub.dispatch(ctx, Event::Fetch(request("/props", Body::Empty))).await {
                    Ok(Outcome::Fetch(response)) => text(response.body).await,
                    other => panic!("{other:?}"),
                }
            }
        };
        let (name, value) = &code.env[0];
        let modules: usize = code.modules.iter().map(|module| module.content.len()).sum();
        respond(format!(
            "{:?} {:?} {} {modules} {name} {} {} | {} | {} | {}",
            ctx.entry.name,
            ctx.entry.props,
            code.main_module,
            value.table,
            value.data.len(),
            ask(outbound).await,
            ask(&value.services[0]).await,
            ask(&code.tails[0]).await,
        ))
    }
}

/// The environment of all tests, by the places of its bindings.
pub mod place {
    pub const TEXT: usize = 0;
    pub const KV: usize = 1;
    pub const FETCHER: usize = 2;
    pub const LIMIT: usize = 3;
    pub const POINTS: usize = 4;
    pub const SERVICE: usize = 5;
    pub const SECRET: usize = 6;
    pub const LOADER: usize = 7;
}

pub fn environment(record: &Arc<Record>, other: &Worker) -> Environment {
    let kv = MemoryKv {
        record: record.clone(),
        entries: Mutex::default(),
    };
    let service = Arc::new(Other {
        worker: other.clone(),
        environment: Mutex::default(),
    });
    let bindings = [
        ("TEXT", Binding::Text("text".to_owned())),
        ("KV", Binding::Kv(Arc::new(kv))),
        ("FETCHER", Binding::Fetcher(Arc::new(Echo(record.clone())))),
        ("LIMIT", Binding::RateLimit(Arc::new(Counter(Mutex::default())))),
        ("POINTS", Binding::Analytics(Arc::new(Points(record.clone())))),
        (
            "SERVICE",
            Binding::Service(ServiceStub {
                service: service.clone(),
                entrypoint: Some("Api".into()),
                props: Some(Props::Json("{\"a\":1}".into())),
            }),
        ),
        (
            "SECRET",
            Binding::StoreSecret {
                name: "s".to_owned(),
                value: Some("v".to_owned()),
            },
        ),
        ("LOADER", Binding::Loader(Arc::new(Loader))),
    ];
    let environment = Environment {
        bindings: bindings.map(|(name, binding)| (name.to_owned(), binding)).into(),
        outbound: Arc::new(Echo(record.clone())),
        outbound_route: OutboundRoute::Network,
        own: ServiceStub::new(service.clone()),
        cache: Arc::new(Cache::default()),
        logs: Arc::new(Logs(record.clone())),
        clock: Arc::new(SystemClock),
    };
    *service.environment.lock().unwrap() = Some(environment.clone());
    environment
}

pub fn version() -> WorkerVersion {
    let module = |name: &str, content: Vec<u8>, source_map: Option<&'static str>| Module {
        name: name.to_owned(),
        kind: ModuleKind::Esm,
        content: content.into(),
        source_map: source_map.map(|map| Bytes::from_static(map.as_bytes())),
    };
    WorkerVersion {
        tenant: TenantId::new("t"),
        name: WorkerName::new("w"),
        id: "1".to_owned(),
        main_module: "index.js".to_owned(),
        modules: vec![
            module("index.js", b"export default {}".to_vec(), Some("{}")),
            module("large.js", vec![b' '; 300 * 1024], None),
        ],
        compat_date: CompatDate::new(2026, 1, 1),
        compat_flags: vec!["nodejs_compat".to_owned()],
        bindings: Vec::new(),
        crons: Vec::new(),
        tail_consumers: Vec::new(),
        limits: Limits::default(),
        outbound: Default::default(),
        created_ms: 7,
        tag: String::new(),
    }
}

/// Runs the tests' worker where a pool would run isolates.
pub struct FakeRunner {
    pub worker: Worker,
}

struct FakeRunning {
    worker: Worker,
    version: Arc<WorkerVersion>,
    environment: Environment,
    tasks: TaskGroup,
}

impl Runner for FakeRunner {
    fn start(&self, version: Arc<WorkerVersion>, environment: Environment, ahead: bool) -> Arc<dyn Running> {
        assert!(ahead);
        Arc::new(FakeRunning {
            worker: self.worker.clone(),
            version,
            environment,
            tasks: TaskGroup::new(),
        })
    }
}

#[async_trait]
impl Running for FakeRunning {
    fn submit(&self, job: Job) {
        let Job { ctx, event, reply } = job;
        let work = (self.worker)(ctx, event, self.environment.clone());
        self.tasks.spawn(async move {
            let _ = reply.send(work.await);
        });
    }

    async fn ready(&self) -> Result<(), Fault> {
        assert_eq!(
            format!("{:?}", self.version.modules),
            format!("{:?}", version().modules)
        );
        match self.version.id.as_str() {
            "broken" => Err(Fault::new(FaultKind::Startup, "SyntaxError")),
            _ => Ok(()),
        }
    }

    fn expect(&self) {
        self.environment.logs.start(StartNote {
            kind: StartKind::Prewarmed,
            request_id: RequestId(7),
        });
    }

    async fn retire(&self, grace: Duration) -> usize {
        self.tasks.drain(grace).await
    }
}

/// Where the worker runs.
pub enum World {
    Direct {
        worker: Worker,
        environment: Environment,
        record: Arc<Record>,
    },
    Linked(Linked),
}

pub struct Linked {
    pub slot: RemoteSlot,
    pub link: ParentLink,
    pub record: Arc<Record>,
    pub child: tokio::task::JoinHandle<LinkError>,
}

/// Both ends over the two ends of a stream, and a segment that they share.
pub fn link<P, C>(parent: P, child: C, worker: Worker, other: &Worker) -> Linked
where
    P: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (reader, file) = SegmentReader::new().unwrap();
    link_with(
        (parent, Some(reader)),
        (child, SegmentWriter::new(file).ok()),
        worker,
        other,
    )
}

/// Both ends over the two ends of a stream.
pub fn link_with<P, C>(
    (parent, reader): (P, Option<SegmentReader>),
    (child, writer): (C, Option<SegmentWriter>),
    worker: Worker,
    other: &Worker,
) -> Linked
where
    P: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let record = Arc::<Record>::default();
    let runner = Arc::new(FakeRunner { worker });
    let child = tokio::spawn(async move { serve(child, writer, runner, BUILD, Arc::new(SystemClock)).await });
    let link = ParentLink::open(parent, reader, BUILD, &TaskGroup::new());
    let slot = link.start(Arc::new(version()), environment(&record, other), true);
    Linked {
        slot,
        link,
        record,
        child,
    }
}

impl World {
    pub fn direct(worker: Worker, other: &Worker) -> Self {
        let record = Arc::<Record>::default();
        Self::Direct {
            worker,
            environment: environment(&record, other),
            record,
        }
    }

    pub fn record(&self) -> &Arc<Record> {
        match self {
            Self::Direct { record, .. } => record,
            Self::Linked(linked) => &linked.record,
        }
    }

    pub async fn dispatch(&self, ctx: EventContext, event: Event) -> Result<Outcome, Fault> {
        match self {
            Self::Direct {
                worker, environment, ..
            } => worker(ctx, event, environment.clone()).await,
            Self::Linked(linked) => linked.slot.dispatch(ctx, event).await,
        }
    }

    /// Fetches; anything but a response is a failed test.
    pub async fn fetch(&self, path: &str, body: Body) -> Response {
        match self.dispatch(context(), Event::Fetch(request(path, body))).await {
            Ok(Outcome::Fetch(response)) => *response,
            other => panic!("{path}: {other:?}"),
        }
    }
}

pub fn context() -> EventContext {
    EventContext {
        tenant: TenantId::new("t"),
        worker: WorkerName::new("w"),
        request_id: RequestId(42),
        cancel: Cancel::new(),
        trace: TraceContext::read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some("a=1")),
        version: Default::default(),
        entry: Entry::default(),
        route: Some(RouteNumber(NonZeroU32::MIN)),
    }
}

pub fn request(path: &str, body: Body) -> Request {
    let mut headers = HeaderMap::new();
    headers.insert("x-test", http::HeaderValue::from_static("1"));
    Request {
        head: Box::new(RequestHead {
            method: Method::POST,
            url: format!("http://localhost{path}"),
            headers,
            protocol: "HTTP/1.1",
            tls_version: "",
            client: None,
            peer: None,
            upgrade_websocket: false,
            cf: None,
        }),
        body,
    }
}

pub fn respond(body: impl Into<Body>) -> Result<Outcome, Fault> {
    Ok(Outcome::Fetch(Box::new(Response {
        head: ResponseHead::new(200),
        body: body.into(),
        websocket: None,
    })))
}

pub async fn text(body: Body) -> String {
    String::from_utf8(body.collect(1 << 30).await.unwrap().to_vec()).unwrap()
}

/// Polls a condition that is about to hold. The test's own time limit is the deadline.
pub async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
