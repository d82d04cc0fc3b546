//! `atoll __bench-start --isolates N --bundle FILE [--code-cache] [--pooled] [--distinct] [--idle SECONDS]`: what `cargo xtask bench start` asks. It
//! starts N isolates of one module, one after the other, through the same pool and engine as a server, has each answer one
//! request, keeps them all, and prints one JSON object: how long each took from "no isolate" to "modules evaluated" and to
//! the answer (microseconds), and the resident memory before, and after so many seconds without an event.
//!
//! With `--code-cache` an isolate that is not counted fills the cache first. With `--pooled` each start waits until an isolate is
//! ready, and that wait is not counted. With `--distinct` each isolate is another worker's,
//! with a text of its own.

use async_trait::async_trait;
use atoll_host::{CODE_MEMORY_MAX, CodeStore};
use atoll_js::JsEngine;
use atoll_model::{CompatDate, Limits, Module, ModuleKind, RequestId, TenantId, WorkerName, WorkerVersion};
use atoll_pool::{Answer, Pool, WorkerSlot};
use atoll_stdx::SystemClock;
use atoll_worker::{
    BindingError, Body, Cancel, Engine, Entry, Environment, Event, EventContext, JsException, LogRecord, LogSink,
    Outbound, OutboundRequest, Request, RequestHead, Response,
};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The isolates' network and console: nothing is asked of either.
struct Nowhere;

#[async_trait]
impl Outbound for Nowhere {
    async fn fetch(&self, _ctx: &EventContext, _request: OutboundRequest) -> Result<Response, BindingError> {
        Err(BindingError::unavailable("there is no network in this benchmark"))
    }
}

impl LogSink for Nowhere {
    fn log(&self, _record: LogRecord) {}

    fn exception(&self, _request_id: Option<RequestId>, _exception: JsException) {}
}

/// The words after `__bench-start`.
pub(crate) struct Words {
    isolates: usize,
    bundle: String,
    code_cache: bool,
    pooled: bool,
    distinct: bool,
    idle: Duration,
}

/// How long the warm-up may take until its code is kept, and an isolate until it is ready.
const WARM_UP_MAX: Duration = Duration::from_secs(10);

/// Between two looks whether it is. Nobody is to be disturbed by them.
const LOOK: Duration = Duration::from_millis(5);

impl Words {
    /// Isolates that are to be ready.
    pub fn ready_max(&self) -> usize {
        usize::from(self.pooled)
    }

    /// The words, in any order.
    pub fn read(words: &[String]) -> Result<Self, String> {
        let value = |name: &str| {
            let at = words.iter().position(|word| word == name);
            at.and_then(|at| words.get(at + 1))
                .ok_or_else(|| format!("__bench-start needs {name} and a value"))
        };
        let given = |name: &str| words.iter().any(|word| word == name);
        let number = |name: &str| {
            let text = value(name)?;
            text.parse::<u32>().map_err(|_| format!("{name} {text}: not a number"))
        };
        Ok(Self {
            isolates: number("--isolates")? as usize,
            bundle: value("--bundle")?.clone(),
            code_cache: given("--code-cache"),
            pooled: given("--pooled"),
            distinct: given("--distinct"),
            idle: Duration::from_secs(if given("--idle") { number("--idle")?.into() } else { 0 }),
        })
    }
}

/// Runs it and returns the JSON text.
pub(crate) async fn run(words: &Words, mut engine: JsEngine, pool: &Pool) -> Result<String, String> {
    let code = std::fs::read(Path::new(&words.bundle)).map_err(|error| format!("{}: {error}", words.bundle))?;
    let version = Arc::new(WorkerVersion {
        tenant: TenantId::new("bench"),
        name: WorkerName::new("bench"),
        id: "bench".to_owned(),
        main_module: "worker.js".to_owned(),
        modules: vec![Module {
            name: "worker.js".to_owned(),
            kind: ModuleKind::Esm,
            content: code.into(),
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
    });
    let environment = Environment {
        bindings: Vec::new(),
        own: atoll_worker::ServiceStub::nowhere(),
        outbound: Arc::new(Nowhere),
        outbound_route: atoll_worker::OutboundRoute::Network,
        cache: Arc::new(atoll_worker::cache::NoCache),
        logs: Arc::new(Nowhere),
        clock: Arc::new(SystemClock),
    };
    let code = CodeStore::in_memory(CODE_MEMORY_MAX);
    if words.code_cache {
        engine = engine.with_code_cache(code.clone());
    }
    let engine: Arc<dyn Engine> = Arc::new(engine);
    if words.pooled && !words.code_cache {
        // The first start is what has isolates made ahead.
        let slot = pool.start(engine.clone(), version.clone(), environment.clone());
        ask(&slot)?.await.map_err(|fault| fault.to_string())?;
    }
    if words.code_cache {
        let slot = pool.start(engine.clone(), version.clone(), environment.clone());
        ask(&slot)?.await.map_err(|fault| fault.to_string())?;
        let begin = Instant::now();
        while code.stats().kept == 0 {
            if begin.elapsed() > WARM_UP_MAX {
                return Err("the warm-up's code is not kept".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let rss_before = resident_bytes()?;
    let mut slots = Vec::with_capacity(words.isolates);
    let (mut start_us, mut answer_us) = (Vec::new(), Vec::new());
    for index in 0..words.isolates {
        let version = if words.distinct {
            other(&version, index)
        } else {
            version.clone()
        };
        if words.pooled {
            one_is_ready(pool).await?;
        }
        let begin = Instant::now();
        let slot = pool.start(engine.clone(), version, environment.clone());
        let answer = ask(&slot)?;
        slot.ready().await.map_err(|fault| fault.to_string())?;
        start_us.push(begin.elapsed().as_secs_f64() * 1e6);
        answer.await.map_err(|fault| fault.to_string())?;
        answer_us.push(begin.elapsed().as_secs_f64() * 1e6);
        slots.push(slot);
    }
    tokio::time::sleep(words.idle).await;
    let rss_after = resident_bytes()?;
    Ok(serde_json::json!({
        "isolates": slots.len(),
        "start_us": start_us,
        "answer_us": answer_us,
        "rss_before": rss_before,
        "rss_after": rss_after,
        "code_used": code.stats().used,
    })
    .to_string())
}

/// Waits until an isolate is ready.
async fn one_is_ready(pool: &Pool) -> Result<(), String> {
    let begin = Instant::now();
    while pool.stats().ready == 0 {
        if begin.elapsed() > WARM_UP_MAX {
            return Err("no isolate is made ahead".to_owned());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Another worker with the same text, of which it has a copy.
fn other(version: &WorkerVersion, index: usize) -> Arc<WorkerVersion> {
    let mut other = version.clone();
    other.name = WorkerName::new(format!("bench-{index}"));
    for module in &mut other.modules {
        module.content = module.content.to_vec().into();
    }
    Arc::new(other)
}

/// A plain request.
fn ask(slot: &WorkerSlot) -> Result<Answer, String> {
    let ctx = EventContext {
        tenant: TenantId::new("bench"),
        worker: WorkerName::new("bench"),
        request_id: RequestId(1),
        cancel: Cancel::new(),
        trace: None,
        version: Default::default(),
        entry: Entry::default(),
        route: None,
    };
    let head = Box::new(RequestHead {
        method: http::Method::GET,
        url: "http://localhost/".to_owned(),
        headers: http::HeaderMap::new(),
        protocol: "HTTP/1.1",
        tls_version: "",
        client: None,
        peer: None,
        upgrade_websocket: false,
        cf: None,
    });
    let event = Event::Fetch(Request {
        head,
        body: Body::Empty,
    });
    slot.submit(ctx, event)
        .map_err(|_| "the pool takes no request".to_owned())
}

/// Resident memory of this process, from `/proc/self/status`.
fn resident_bytes() -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| format!("/proc/self/status: {error}"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| "/proc/self/status has no VmRSS".to_owned())
}
