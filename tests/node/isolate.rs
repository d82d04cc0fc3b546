//! An isolate on the calling thread, with a deadline.

use async_trait::async_trait;
use atoll_js::{JsEngine, JsEngineOptions, StartupSnapshot};
use atoll_model::{RequestId, TenantId, WorkerName, WorkerVersion};
use atoll_stdx::SystemClock;
use atoll_worker::{
    BindingError, Body, Cancel, Engine, Environment, Event, EventContext, Fault, FaultKind, Instance, InstanceState,
    Job, JsException, LogRecord, LogSink, Outbound, OutboundRequest, Outcome, Reply, Request, RequestHead, Response,
};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::Poll;
use std::time::Duration;

/// A test's answers are verdicts.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// What the harness prints when the test calls `process.exit`.
const EXIT: &str = "process.exit was called";

/// Keeps what nobody caught, and whether the test has ended itself; printed lines only for development.
#[derive(Default)]
struct Logs {
    exceptions: Mutex<Vec<String>>,
    exited: AtomicBool,
}

impl LogSink for Logs {
    fn log(&self, record: LogRecord) {
        if record.message == EXIT {
            self.exited.store(true, Ordering::Relaxed);
            return;
        }
        if std::env::var_os("ATOLL_NODE_FILTER").is_some() {
            println!("    {}", record.message);
        }
    }

    fn exception(&self, _request_id: Option<RequestId>, exception: JsException) {
        let mut exceptions = self.exceptions.lock().unwrap_or_else(PoisonError::into_inner);
        exceptions.push(exception.stack);
    }
}

/// The selected tests need no network.
struct Nowhere;

#[async_trait]
impl Outbound for Nowhere {
    async fn fetch(&self, _ctx: &EventContext, _request: OutboundRequest) -> Result<Response, BindingError> {
        Err(BindingError::unavailable("there is no network here"))
    }
}

/// A worker and the tokio that drives it.
pub struct Isolate {
    logs: Arc<Logs>,
    instance: Box<dyn Instance>,
    runtime: tokio::runtime::Runtime,
    /// Ends the watchdog when it is dropped.
    _alive: mpsc::Sender<()>,
}

impl Isolate {
    /// Starts the worker; after `deadline` it is ended wherever it is.
    pub fn start(version: WorkerVersion, deadline: Duration) -> Result<Self, String> {
        atoll_js::init();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| error.to_string())?;
        let logs = Arc::new(Logs::default());
        let env = Environment {
            bindings: Vec::new(),
            own: atoll_worker::ServiceStub::nowhere(),
            outbound: Arc::new(Nowhere),
            outbound_route: atoll_worker::OutboundRoute::Network,
            cache: Arc::new(atoll_worker::cache::NoCache),
            logs: logs.clone(),
            clock: Arc::new(SystemClock),
        };
        let engine = JsEngine::new(JsEngineOptions {
            startup_snapshot: Some(StartupSnapshot {
                heap: atoll_js_snapshot::STARTUP_SNAPSHOT,
                later: atoll_js_snapshot::LATER_SCRIPTS,
            }),
            // Tests make functions from text, to have functions without a name and the like.
            conformance: true,
        });
        let instance = {
            let _inside = runtime.enter();
            engine
                .instantiate(Arc::new(version), env)
                .map_err(|fault| fault.to_string())?
        };
        let interrupt = instance.interrupt();
        let (alive, ended) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            if ended.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout) {
                interrupt.terminate(Fault::new(
                    FaultKind::ExceededCpu,
                    format!("not done after {deadline:?}"),
                ));
            }
        });
        Ok(Self {
            logs,
            instance,
            runtime,
            _alive: alive,
        })
    }

    /// Asks the worker for a path and returns the answer's text.
    pub fn get(&mut self, path: &str) -> Result<String, String> {
        let (reply, mut answer) = Reply::channel();
        let ctx = EventContext {
            tenant: TenantId::new("node"),
            worker: WorkerName::new("test"),
            request_id: RequestId(1),
            cancel: Cancel::new(),
            trace: None,
            version: Default::default(),
            entry: atoll_worker::Entry::default(),
            route: None,
        };
        let head = RequestHead {
            method: http::Method::GET,
            url: format!("http://test.example{path}"),
            headers: http::HeaderMap::new(),
            protocol: "HTTP/1.1",
            tls_version: "",
            client: None,
            peer: None,
            upgrade_websocket: false,
            cf: None,
        };
        let event = Event::Fetch(Request {
            head: Box::new(head),
            body: Body::Empty,
        });
        self.instance.deliver(Box::new(Job { ctx, event, reply }));
        let instance = &mut self.instance;
        let outcome = self.runtime.block_on(poll_fn(|cx| {
            instance.poll(cx);
            std::pin::Pin::new(&mut answer).poll(cx)
        }));
        let response = match outcome {
            Ok(Outcome::Fetch(response)) => response,
            Ok(other) => return Err(format!("{other:?}")),
            Err(fault) => return Err(fault.to_string()),
        };
        let mut body = Box::pin(response.body.collect(ANSWER_BYTES_MAX));
        let instance = &mut self.instance;
        let bytes = self.runtime.block_on(poll_fn(|cx| {
            instance.poll(cx);
            body.as_mut().poll(cx)
        }));
        let bytes = bytes.map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Takes turns until nothing is unfinished, or the test has called `process.exit`.
    pub fn settle(&mut self) -> Result<(), String> {
        let (instance, exited) = (&mut self.instance, &self.logs.exited);
        let state = self.runtime.block_on(poll_fn(|cx| match instance.poll(cx) {
            state @ (InstanceState::Idle | InstanceState::Broken) => Poll::Ready(state),
            state if exited.load(Ordering::Relaxed) => Poll::Ready(state),
            _ => Poll::Pending,
        }));
        match state {
            InstanceState::Broken => Err("the isolate was ended: out of time or memory".to_owned()),
            _ => Ok(()),
        }
    }

    /// What nobody caught.
    pub fn exceptions(&self) -> Vec<String> {
        let mut exceptions = self.logs.exceptions.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *exceptions)
    }
}
