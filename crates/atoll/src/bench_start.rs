//! `atoll __bench-start --isolates N --bundle FILE`: what `cargo xtask bench start` asks. It starts N isolates of one
//! module, one after the other, through the same pool and engine as a server, keeps them all, and prints one JSON object:
//! how long each took from "no isolate" to "modules evaluated" (microseconds), and the resident memory before and after.

use async_trait::async_trait;
use atoll_model::{CompatDate, Limits, Module, ModuleKind, RequestId, TenantId, WorkerName, WorkerVersion};
use atoll_pool::Pool;
use atoll_stdx::SystemClock;
use atoll_worker::{
    BindingError, Engine, Environment, EventContext, JsException, LogRecord, LogSink, Outbound, OutboundRequest,
    Response,
};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

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
}

impl Words {
    /// `--isolates N --bundle FILE`, in any order.
    pub fn read(words: &[String]) -> Result<Self, String> {
        let value = |name: &str| {
            let at = words.iter().position(|word| word == name);
            at.and_then(|at| words.get(at + 1))
                .ok_or_else(|| format!("__bench-start needs {name} and a value"))
        };
        let isolates = value("--isolates")?;
        Ok(Self {
            isolates: isolates
                .parse()
                .map_err(|_| format!("--isolates {isolates}: not a number"))?,
            bundle: value("--bundle")?.clone(),
        })
    }
}

/// Runs it and returns the JSON text.
pub(crate) async fn run(words: &Words, engine: Arc<dyn Engine>, pool: &Pool) -> Result<String, String> {
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
    let rss_before = resident_bytes()?;
    let mut slots = Vec::with_capacity(words.isolates);
    let mut start_us = String::new();
    for index in 0..words.isolates {
        let start = Instant::now();
        let slot = pool.start(engine.clone(), version.clone(), environment.clone());
        slot.ready().await.map_err(|fault| fault.to_string())?;
        let comma = if index == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(start_us, "{comma}{:.1}", start.elapsed().as_secs_f64() * 1e6);
        slots.push(slot);
    }
    let rss_after = resident_bytes()?;
    Ok(format!(
        "{{\"isolates\": {}, \"start_us\": [{start_us}], \"rss_before\": {rss_before}, \"rss_after\": {rss_after}}}",
        slots.len()
    ))
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
