//! Runs one worker on the calling thread, as the pool's isolate threads do.

use async_trait::async_trait;
use atoll_js::{JsEngine, JsEngineOptions, StartupSnapshot};
use atoll_model::{
    CompatDate, Limits, Module, ModuleKind, RequestId, TenantId, UnbuiltBinding, WorkerName, WorkerVersion,
};
use atoll_stdx::SystemClock;
use atoll_worker::{
    Binding, BindingError, Body, Engine, Environment, Event, EventContext, Fault, Fetcher, Instance, InstanceState,
    Job, JsException, LimitHit, LogRecord, LogSink, NameError, NameQuestion, NameRecord, Outbound, OutboundRequest,
    Outcome, Reply, Request, RequestHead, Response, ResponseHead,
};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, Once};
use std::task::Poll;
use tokio_util::sync::CancellationToken;

/// What the worker printed and threw outside of answers.
#[derive(Default)]
pub struct Logs {
    pub lines: Mutex<Vec<String>>,
    pub exceptions: Mutex<Vec<JsException>>,
    pub limits: Mutex<Vec<LimitHit>>,
}

impl LogSink for Logs {
    fn log(&self, record: LogRecord) {
        self.lines
            .lock()
            .unwrap()
            .push(format!("{:?} {}", record.level, record.message));
    }

    fn exception(&self, _request_id: Option<RequestId>, exception: JsException) {
        self.exceptions.lock().unwrap().push(exception);
    }

    fn limit(&self, hit: LimitHit) {
        self.limits.lock().unwrap().push(hit);
    }
}

/// Answers every request with its own description; `/slow` never.
struct Echo;

impl Echo {
    async fn answer(&self, request: Request) -> Result<Response, BindingError> {
        if request.head.url.ends_with("/slow") {
            std::future::pending::<()>().await;
        }
        if request.head.url.ends_with("/refuse") {
            return Err(BindingError::unavailable("connect to 127.0.0.1:1 refused"));
        }
        let mut head = ResponseHead::new(200);
        head.headers
            .insert("x-method", request.head.method.as_str().parse().unwrap());
        head.headers.insert("x-url", request.head.url.parse().unwrap());
        for (name, value) in &request.head.headers {
            head.headers.append(
                http::HeaderName::try_from(format!("echo-{name}")).unwrap(),
                value.clone(),
            );
        }
        Ok(Response {
            head,
            body: request.body,
            websocket: None,
        })
    }
}

#[async_trait]
impl Outbound for Echo {
    async fn fetch(&self, _ctx: &EventContext, request: OutboundRequest) -> Result<Response, BindingError> {
        self.answer(request.request).await
    }

    /// A zone of its own: see `names.rs`.
    async fn resolve(&self, _ctx: &EventContext, question: NameQuestion) -> Result<Vec<NameRecord>, NameError> {
        crate::names::answer(&question)
    }
}

#[async_trait]
impl Fetcher for Echo {
    async fn fetch(&self, _ctx: &EventContext, request: Request) -> Result<Response, BindingError> {
        self.answer(request).await
    }
}

pub fn module(name: &str, kind: ModuleKind, content: impl AsRef<[u8]>) -> Module {
    Module {
        name: name.to_owned(),
        kind,
        content: content.as_ref().to_vec().into(),
        source_map: None,
    }
}

pub fn version(modules: Vec<Module>) -> WorkerVersion {
    WorkerVersion {
        tenant: TenantId::new("t"),
        name: WorkerName::new("w"),
        id: "v1".into(),
        main_module: modules[0].name.clone(),
        modules,
        compat_date: CompatDate::new(2026, 8, 1),
        compat_flags: vec!["nodejs_als".into()],
        bindings: Vec::new(),
        crons: Vec::new(),
        tail_consumers: Vec::new(),
        limits: Limits::default(),
        outbound: Default::default(),
        created_ms: 0,
        tag: String::new(),
    }
}

/// What a worker of these tests reaches.
fn environment(logs: &Arc<Logs>) -> Environment {
    Environment {
        bindings: vec![
            ("GREETING".into(), Binding::Text("hi".into())),
            ("CONFIG".into(), Binding::Json("{\"a\":[1]}".into())),
            ("ECHO".into(), Binding::Fetcher(Arc::new(Echo))),
            (
                "DB".into(),
                Binding::Unbuilt(UnbuiltBinding {
                    kind: "D1 database".into(),
                    target: "main".into(),
                }),
            ),
        ],
        own: atoll_worker::ServiceStub::nowhere(),
        outbound: Arc::new(Echo),
        outbound_route: atoll_worker::OutboundRoute::Network,
        cache: Arc::new(atoll_worker::cache::NoCache),
        logs: logs.clone(),
        clock: Arc::new(SystemClock),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
}

/// An engine with this build's startup snapshot.
///
/// The first isolate of a process is made by reading the snapshot, the others from the image of what was read; nearly all isolates
/// of a server are others, so the tests look at those.
pub fn engine(options: JsEngineOptions) -> JsEngine {
    static FIRST: Once = Once::new();
    FIRST.call_once(|| {
        let runtime = runtime();
        let _inside = runtime.enter();
        drop(first_engine(JsEngineOptions::default()).prepare().unwrap());
    });
    first_engine(options)
}

/// The same, also where the process has no isolate yet.
pub fn first_engine(options: JsEngineOptions) -> JsEngine {
    JsEngine::new(JsEngineOptions {
        startup_snapshot: Some(StartupSnapshot {
            heap: atoll_js_snapshot::STARTUP_SNAPSHOT,
            later: atoll_js_snapshot::LATER_SCRIPTS,
        }),
        ..options
    })
}

/// A worker and the tokio that drives it.
pub struct Driver {
    pub logs: Arc<Logs>,
    instance: Box<dyn Instance>,
    runtime: tokio::runtime::Runtime,
}

impl Driver {
    pub fn new(modules: Vec<Module>) -> Self {
        Self::with(version(modules))
    }

    pub fn with(version: WorkerVersion) -> Self {
        Self::with_options(version, JsEngineOptions::default())
    }

    /// The startup snapshot of `options` is always this build's.
    pub fn with_options(version: WorkerVersion, options: JsEngineOptions) -> Self {
        atoll_js::init();
        Self::with_engine(version, &engine(options))
    }

    pub fn with_engine(version: WorkerVersion, engine: &JsEngine) -> Self {
        let runtime = runtime();
        let logs = Arc::new(Logs::default());
        let instance = {
            let _inside = runtime.enter();
            engine.instantiate(Arc::new(version), environment(&logs)).unwrap()
        };
        Self {
            logs,
            instance,
            runtime,
        }
    }

    /// An isolate that waits until it is somebody's; gives it to the version that is returned by `whose`.
    pub fn prepared(engine: &JsEngine, whose: impl FnOnce() -> WorkerVersion) -> Self {
        let runtime = runtime();
        let logs = Arc::new(Logs::default());
        let instance = {
            let _inside = runtime.enter();
            let prepared = engine.prepare().unwrap().unwrap();
            prepared.instantiate(Arc::new(whose()), environment(&logs)).unwrap()
        };
        Self {
            logs,
            instance,
            runtime,
        }
    }

    /// A worker of one module.
    pub fn source(source: &str) -> Self {
        Self::new(vec![module("index.js", ModuleKind::Esm, source)])
    }

    /// Delivers the event and takes turns until it is answered.
    pub fn event(&mut self, event: Event, cancel: CancellationToken) -> Result<Outcome, Fault> {
        let (reply, mut answer) = Reply::channel();
        let ctx = EventContext {
            tenant: TenantId::new("t"),
            worker: WorkerName::new("w"),
            request_id: RequestId(1),
            cancel: cancel.into(),
            trace: None,
            version: Default::default(),
            entry: atoll_worker::Entry::default(),
            route: None,
        };
        self.instance.deliver(Box::new(Job { ctx, event, reply }));
        let instance = &mut self.instance;
        self.runtime.block_on(poll_fn(|cx| {
            instance.poll(cx);
            std::pin::Pin::new(&mut answer).poll(cx)
        }))
    }

    /// Takes turns until nothing is unfinished.
    pub fn settle(&mut self) -> InstanceState {
        let instance = &mut self.instance;
        self.runtime.block_on(poll_fn(|cx| match instance.poll(cx) {
            state @ (InstanceState::Idle | InstanceState::Broken) => Poll::Ready(state),
            _ => Poll::Pending,
        }))
    }

    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<Response, Fault> {
        let mut map = http::HeaderMap::new();
        for (name, value) in headers {
            map.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let head = RequestHead {
            method: method.parse().unwrap(),
            url: format!("http://example.com{path}"),
            headers: map,
            protocol: "HTTP/1.1",
            tls_version: "",
            client: None,
            peer: None,
            upgrade_websocket: false,
            cf: None,
        };
        let head = Box::new(head);
        match self.event(Event::Fetch(Request { head, body }), CancellationToken::new())? {
            Outcome::Fetch(response) => Ok(*response),
            other => panic!("{other:?}"),
        }
    }

    /// Reads a response's body while the worker goes on.
    pub fn text(&mut self, response: Response) -> String {
        let instance = &mut self.instance;
        let mut body = Box::pin(response.body.collect(1 << 30));
        let bytes = self.runtime.block_on(poll_fn(|cx| {
            instance.poll(cx);
            body.as_mut().poll(cx)
        }));
        String::from_utf8(bytes.unwrap().to_vec()).unwrap()
    }

    pub fn get(&mut self, path: &str) -> String {
        let response = self.request("GET", path, &[], Body::Empty).unwrap();
        self.text(response)
    }

    pub fn instance(&mut self) -> &mut dyn Instance {
        &mut *self.instance
    }

    pub fn interrupt(&self) -> Arc<dyn atoll_worker::Interrupt> {
        self.instance.interrupt()
    }
}

/// A handler's body, run once; what it returns (as JSON) must be `expected`.
#[track_caller]
pub fn check(code: &str, expected: &str) {
    let source = format!(
        "export default {{ async fetch(request, env, ctx) {{ const run = async () => {{ {code} }}; \
         return Response.json(await run() ?? null); }} }}"
    );
    let mut driver = Driver::source(&source);
    let response = driver.request(
        "POST",
        "/path?q=1",
        &[("x-a", "b"), ("cookie", "c=d")],
        Body::from("body"),
    );
    match response {
        Ok(response) => assert_eq!(driver.text(response), expected, "{code}"),
        Err(fault) => panic!("{code}\n{fault}\n{:?}", fault.exception.as_ref().map(|e| &e.stack)),
    }
}
