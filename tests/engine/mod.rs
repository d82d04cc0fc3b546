//! Runs one worker inside the engine, in this process: for suites by others, which are scripts and not HTTP.
//!
//! How to run a script in an isolate and get its output:
//!
//! ```ignore
//! engine::init();                                    // first thing in main, before any thread
//! let output = engine::Run {
//!     modules: vec![engine::esm("main.js", "export default { async fetch(request) { ... return new Response(text) } }")],
//!     input: plan_as_json.into(),                    // the handler reads it with `request.text()`
//!     limit: Duration::from_secs(30),
//!     outbound: Arc::new(network),                   // what `fetch` reaches
//!     flags: &[],
//! }
//! .start();
//! output.response; // Ok(the response's body) or the fault (uncaught exception, limit, never settles)
//! output.lines;    // what console printed, line by line, also when there is no response
//! output.exceptions;
//! ```
//!
//! The module `atoll:script` gives `runScript(source, name)`: a classic script, evaluated in the isolate's global scope
//! (sloppy mode, global declarations), which returns its completion value. Code from strings is allowed too.
//!
//! Every run has a thread, a tokio and an isolate of its own, which end with it. A run over its limit is terminated, in a
//! loop of JavaScript too, and says so in its fault.

use atoll_js::{JsEngine, JsEngineOptions, StartupSnapshot};
use atoll_model::{CompatDate, Limits, Module, ModuleKind, RequestId, TenantId, WorkerName, WorkerVersion};
use atoll_stdx::SystemClock;
use atoll_worker::{
    Body, Cancel, Engine, Environment, Event, EventContext, Fault, FaultKind, Instance, Job, JsException, LogRecord,
    LogSink, Outbound, Outcome, Reply, Request, RequestHead,
};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// The stack of a run's thread, bytes. V8 uses one MiB of it; the rest is for unoptimized Rust between.
const STACK_BYTES: usize = 8 << 20;
/// The longest output that is read, bytes.
const OUTPUT_BYTES_MAX: u64 = 256 << 20;
/// How long a run may take to end beyond its limit.
const GRACE: Duration = Duration::from_secs(3);
/// A run's JavaScript heap, bytes: suites make larger values than a worker may hold.
const HEAP_BYTES: u64 = 1 << 30;
/// Array buffers, and WebAssembly memory, of the isolate of a run.
const BUFFER_BYTES: u64 = 8 << 30;

/// Starts V8. Before any thread exists.
pub fn init() {
    atoll_js::init();
}

/// One worker, one event.
pub struct Run {
    /// The worker's modules; the first is the main one and handles `fetch`.
    pub modules: Vec<Module>,
    /// The body of the event's request.
    pub input: Vec<u8>,
    /// Wall time, start-up included.
    pub limit: Duration,
    /// What `fetch` reaches.
    pub outbound: Arc<dyn Outbound>,
    /// Compatibility flags.
    pub flags: &'static [&'static str],
}

/// What a run left.
#[derive(Debug)]
pub struct Output {
    /// The body of the response.
    pub response: Result<String, Fault>,
    /// What the console printed.
    pub lines: Vec<String>,
    /// What was thrown and caught by nobody.
    pub exceptions: Vec<JsException>,
}

/// An ECMAScript module.
pub fn esm(name: &str, source: impl Into<Vec<u8>>) -> Module {
    Module {
        name: name.to_owned(),
        kind: ModuleKind::Esm,
        content: source.into().into(),
        source_map: None,
    }
}

#[derive(Default)]
struct Logs {
    lines: Mutex<Vec<String>>,
    exceptions: Mutex<Vec<JsException>>,
}

impl LogSink for Logs {
    fn log(&self, record: LogRecord) {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(record.message);
    }

    fn exception(&self, _request_id: Option<RequestId>, exception: JsException) {
        self.exceptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(exception);
    }
}

impl Run {
    /// Runs the worker and waits for it.
    pub fn start(self) -> Output {
        let logs = Arc::new(Logs::default());
        let (interrupts, interrupt) = mpsc::channel();
        let (answers, answer) = mpsc::channel();
        let limit = self.limit;
        let thread = {
            let logs = logs.clone();
            std::thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn(move || {
                    // Receivers wait for as long as this runs.
                    let _ = answers.send(self.run(logs, &interrupts));
                })
                .expect("a thread")
        };
        let mut answered = true;
        // A little more than the limit that the run itself keeps: only a run that cannot keep it is terminated.
        let response = match answer.recv_timeout(limit + GRACE) {
            Ok(response) => response,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let fault = Fault::new(FaultKind::ExceededCpu, format!("over its limit of {limit:?}"));
                match interrupt.try_recv() {
                    Ok(interrupt) => {
                        let interrupt: Arc<dyn atoll_worker::Interrupt> = interrupt;
                        interrupt.terminate(fault.clone());
                        answer.recv_timeout(GRACE).unwrap_or_else(|_| {
                            answered = false;
                            Err(fault)
                        })
                    }
                    Err(_) => {
                        answered = false;
                        Err(fault)
                    }
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(Fault::new(FaultKind::Internal, "the run's thread panicked"))
            }
        };
        // A thread that does not end is left behind: its test has failed, the others go on.
        if answered {
            let _ = thread.join();
        }
        let take =
            |lines: &Mutex<Vec<String>>| std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
        let exceptions = std::mem::take(&mut *logs.exceptions.lock().unwrap_or_else(PoisonError::into_inner));
        Output {
            response,
            lines: take(&logs.lines),
            exceptions,
        }
    }

    fn run(
        self,
        logs: Arc<Logs>,
        interrupts: &mpsc::Sender<Arc<dyn atoll_worker::Interrupt>>,
    ) -> Result<String, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| Fault::new(FaultKind::Internal, error.to_string()))?;
        let env = Environment {
            bindings: Vec::new(),
            own: atoll_worker::ServiceStub::nowhere(),
            outbound: self.outbound.clone(),
            outbound_route: atoll_worker::OutboundRoute::Network,
            cache: Arc::new(atoll_worker::cache::NoCache),
            logs,
            clock: Arc::new(SystemClock),
        };
        let engine = JsEngine::new(JsEngineOptions {
            startup_snapshot: Some(StartupSnapshot {
                heap: atoll_js_snapshot::STARTUP_SNAPSHOT,
                later: atoll_js_snapshot::LATER_SCRIPTS,
            }),
            conformance: true,
        });
        let version = WorkerVersion {
            tenant: TenantId::new("suite"),
            name: WorkerName::new("suite"),
            id: "suite".into(),
            main_module: self.modules[0].name.clone(),
            modules: self.modules,
            compat_date: CompatDate::new(2026, 8, 1),
            compat_flags: self.flags.iter().map(|&flag| flag.into()).collect(),
            bindings: Vec::new(),
            crons: Vec::new(),
            tail_consumers: Vec::new(),
            // Suites print their results and allocate what they like: a run's own time limit is what ends it.
            limits: Limits {
                heap_bytes: HEAP_BYTES,
                buffer_bytes: BUFFER_BYTES,
                wasm_bytes: BUFFER_BYTES,
                log_bytes_max: u64::MAX,
                timers_max: u32::MAX,
                ..Limits::default()
            },
            outbound: Default::default(),
            created_ms: 0,
            tag: String::new(),
        };
        let mut instance = {
            let _inside = runtime.enter();
            engine.instantiate(Arc::new(version), env)?
        };
        // Nobody listening: the run is over its limit already, and this result is not read.
        let _ = interrupts.send(instance.interrupt());
        let limit = self.limit;
        let answer = runtime.block_on(async {
            tokio::time::timeout(limit, answer(instance.as_mut(), self.input))
                .await
                .unwrap_or_else(|_| {
                    Err(Fault::new(
                        FaultKind::ExceededCpu,
                        format!("over its limit of {limit:?}"),
                    ))
                })
        });
        let _inside = runtime.enter();
        drop(instance);
        answer
    }
}

/// Delivers the event, takes turns until it is answered, and reads the answer.
async fn answer(instance: &mut dyn Instance, input: Vec<u8>) -> Result<String, Fault> {
    let (reply, mut reply_to) = Reply::channel();
    let head = RequestHead {
        method: http::Method::POST,
        url: "http://suite.test/".into(),
        headers: http::HeaderMap::new(),
        protocol: "HTTP/1.1",
        tls_version: "",
        client: None,
        peer: None,
        upgrade_websocket: false,
        cf: None,
    };
    let ctx = EventContext {
        tenant: TenantId::new("suite"),
        worker: WorkerName::new("suite"),
        request_id: RequestId(1),
        cancel: Cancel::new(),
        trace: None,
        version: Default::default(),
        entry: atoll_worker::Entry::default(),
        route: None,
    };
    let body = Body::Full(input.into());
    instance.deliver(Box::new(Job {
        ctx,
        event: Event::Fetch(Request {
            head: Box::new(head),
            body,
        }),
        reply,
    }));
    let outcome = poll_fn(|cx| {
        instance.poll(cx);
        Pin::new(&mut reply_to).poll(cx)
    })
    .await?;
    let Outcome::Fetch(response) = outcome else {
        return Err(Fault::new(FaultKind::Internal, "another outcome than a response"));
    };
    let mut body = Box::pin(response.body.collect(OUTPUT_BYTES_MAX));
    let bytes = poll_fn(|cx| {
        instance.poll(cx);
        body.as_mut().poll(cx)
    })
    .await
    .map_err(|error| Fault::new(FaultKind::Internal, error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
