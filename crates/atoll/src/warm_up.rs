//! Runs a small worker once, so that what the engine makes only once in a process is there before the first tenant's.

use async_trait::async_trait;
use atoll_model::{CompatDate, Limits, Module, ModuleKind, RequestId, TenantId, WorkerName, WorkerVersion};
use atoll_pool::Pool;
use atoll_stdx::SystemClock;
use atoll_worker::{
    BindingError, Body, Cancel, Engine, Entry, Environment, Event, EventContext, JsException, LogRecord, LogSink,
    Outbound, OutboundRequest, OutboundRoute, Request, RequestHead, Response, ServiceStub,
};
use std::sync::Arc;
use std::time::Duration;

/// How long it may take. It takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// Uses what most workers use.
const SCRIPT: &str = r#"
export default {
    async fetch(request) {
        const url = new URL(request.url);
        const body = JSON.stringify({ path: url.pathname, text: await request.text(), now: Date.now() });
        return new Response(new TextEncoder().encode(body), { headers: { "content-type": "application/json" } });
    },
};
"#;

/// The worker's network and console: it asks nothing of either.
struct Nowhere;

#[async_trait]
impl Outbound for Nowhere {
    async fn fetch(&self, _ctx: &EventContext, _request: OutboundRequest) -> Result<Response, BindingError> {
        Err(BindingError::unavailable("there is no network here"))
    }
}

impl LogSink for Nowhere {
    fn log(&self, _record: LogRecord) {}

    fn exception(&self, _request_id: Option<RequestId>, _exception: JsException) {}
}

/// Runs it and takes it away again.
pub(crate) async fn run(pool: &Pool, engine: Arc<dyn Engine>) -> Result<(), String> {
    let slot = pool.start(engine, Arc::new(version()), environment());
    let dispatched = tokio::time::timeout(PATIENCE, slot.dispatch(context(), event())).await;
    let outcome = dispatched.map_err(|_| "the engine does not answer".to_owned())?;
    outcome.map_err(|fault| format!("the engine does not work: {fault}"))?;
    slot.retire(PATIENCE).await;
    Ok(())
}

fn version() -> WorkerVersion {
    WorkerVersion {
        tenant: TenantId::new("atoll"),
        name: WorkerName::new("warm-up"),
        id: "warm-up".to_owned(),
        main_module: "worker.js".to_owned(),
        modules: vec![Module {
            name: "worker.js".to_owned(),
            kind: ModuleKind::Esm,
            content: SCRIPT.into(),
            source_map: None,
        }],
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

fn environment() -> Environment {
    Environment {
        bindings: Vec::new(),
        own: ServiceStub::nowhere(),
        outbound: Arc::new(Nowhere),
        outbound_route: OutboundRoute::Denied,
        cache: Arc::new(atoll_worker::cache::NoCache),
        logs: Arc::new(Nowhere),
        clock: Arc::new(SystemClock),
    }
}

fn context() -> EventContext {
    EventContext {
        tenant: TenantId::new("atoll"),
        worker: WorkerName::new("warm-up"),
        request_id: RequestId(0),
        cancel: Cancel::new(),
        trace: None,
        version: Default::default(),
        entry: Entry::default(),
        route: None,
    }
}

fn event() -> Event {
    Event::Fetch(Request {
        head: Box::new(RequestHead {
            method: Default::default(),
            url: "http://warm-up.invalid/?a=1".to_owned(),
            headers: Default::default(),
            protocol: "HTTP/1.1",
            tls_version: "",
            client: None,
            peer: None,
            upgrade_websocket: false,
            cf: None,
        }),
        body: Body::Empty,
    })
}
