//! What the link costs: CPU, bytes and system calls for each event, beside the same worker called without it.
//!
//! `cargo run --release -p atoll-link --example link_cost [EVENTS]`. The worker answers from a thread of its own, as an
//! isolate does; the parent and the child are threads of this process with a runtime each, joined by a pair of UNIX
//! sockets. CPU is that of all threads (`/proc/self/task`), so other load on the machine changes little. Each figure is the
//! median of the rounds, in which the ways take turns.

use async_trait::async_trait;
use atoll_link::{LinkStats, ParentLink, RemoteSlot, Runner, Running, SegmentReader, SegmentWriter, serve};
use atoll_model::{CompatDate, Limits, RequestId, TenantId, WorkerName, WorkerVersion};
use atoll_stdx::{SystemClock, TaskGroup};
use atoll_worker::cache::NoCache;
use atoll_worker::{
    Binding, BindingError, Body, Cancel, Entry, Environment, Event, EventContext, Fault, Job, JsException, KvEntry,
    KvList, KvListOptions, KvNamespace, KvPut, LogRecord, LogSink, Outbound, OutboundRequest, OutboundRoute, Outcome,
    Reply, Request, RequestHead, Response, ResponseHead, ServiceStub,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;
const BUILD: &str = "link_cost";

/// A store that answers at once; a network that is not there.
struct Nothing;

#[async_trait]
impl KvNamespace for Nothing {
    async fn get(&self, _: &EventContext, keys: Vec<String>) -> Result<Vec<Option<KvEntry>>, BindingError> {
        let entry = KvEntry {
            value: Bytes::from_static(&[7; 100]),
            metadata: None,
            expiration: None,
        };
        Ok(keys.iter().map(|_| Some(entry.clone())).collect())
    }

    async fn put(&self, _: &EventContext, _: KvPut) -> Result<(), BindingError> {
        Ok(())
    }

    async fn delete(&self, _: &EventContext, _: Vec<String>) -> Result<(), BindingError> {
        Ok(())
    }

    async fn list(&self, _: &EventContext, _: KvListOptions) -> Result<KvList, BindingError> {
        Err(BindingError::unavailable("not measured"))
    }
}

#[async_trait]
impl Outbound for Nothing {
    async fn fetch(&self, _: &EventContext, _: OutboundRequest) -> Result<Response, BindingError> {
        Err(BindingError::unavailable("not measured"))
    }
}

impl LogSink for Nothing {
    fn log(&self, _: LogRecord) {}

    fn exception(&self, _: Option<RequestId>, _: JsException) {}
}

fn environment() -> Environment {
    Environment {
        bindings: vec![("KV".to_owned(), Binding::Kv(Arc::new(Nothing)))],
        outbound: Arc::new(Nothing),
        outbound_route: OutboundRoute::Network,
        own: ServiceStub::nowhere(),
        cache: Arc::new(NoCache),
        logs: Arc::new(Nothing),
        clock: Arc::new(SystemClock),
    }
}

/// A thread that answers jobs, a batch at a time.
struct Isolate {
    queue: Mutex<VecDeque<Job>>,
    filled: Condvar,
    environment: Environment,
}

impl Isolate {
    fn start(environment: Environment) -> Arc<Self> {
        let isolate = Arc::new(Self {
            queue: Mutex::default(),
            filled: Condvar::new(),
            environment,
        });
        let thread = isolate.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            loop {
                let batch = {
                    let mut queue = thread.queue.lock().unwrap();
                    while queue.is_empty() {
                        queue = thread.filled.wait(queue).unwrap();
                    }
                    std::mem::take(&mut *queue)
                };
                runtime.block_on(async {
                    let answers = batch.into_iter().map(|job| thread.answer(job));
                    futures_util::future::join_all(answers).await;
                });
            }
        });
        isolate
    }

    async fn answer(&self, job: Job) {
        let Event::Fetch(request) = &job.event else { return };
        let body = match request.head.url.as_str() {
            "http://localhost/kv" => {
                let Binding::Kv(kv) = &self.environment.bindings[0].1 else {
                    return;
                };
                let entries = kv.get(&job.ctx, vec!["key".to_owned()]).await.unwrap();
                Body::Full(entries.into_iter().flatten().next().unwrap().value)
            }
            "http://localhost/stream" => {
                let (tx, rx) = atoll_worker::body::channel(atoll_worker::body::CREDIT_DEFAULT, None);
                for _ in 0..4 {
                    tx.send(atoll_worker::Frame::Data(Bytes::from_static(&[b'x'; 1000])))
                        .unwrap();
                }
                tx.finish();
                Body::Stream(rx)
            }
            _ => Body::from("Hello, world!"),
        };
        let mut head = ResponseHead::new(200);
        head.headers
            .insert("content-type", HeaderValue::from_static("text/plain;charset=UTF-8"));
        let _ = job.reply.send(Ok(Outcome::Fetch(Box::new(Response {
            head,
            body,
            websocket: None,
        }))));
    }

    fn push(&self, job: Job) {
        let mut queue = self.queue.lock().unwrap();
        queue.push_back(job);
        let first = queue.len() == 1;
        drop(queue);
        if first {
            self.filled.notify_one();
        }
    }
}

struct Isolates;

#[async_trait]
impl Running for Isolate {
    fn submit(&self, job: Job) {
        self.push(job);
    }

    async fn ready(&self) -> Result<(), Fault> {
        Ok(())
    }

    async fn retire(&self, _: Duration) -> usize {
        0
    }
}

impl Runner for Isolates {
    fn start(&self, _: Arc<WorkerVersion>, environment: Environment, _ahead: bool) -> Arc<dyn Running> {
        Isolate::start(environment)
    }
}

enum Way {
    Direct(Arc<Isolate>),
    Linked(RemoteSlot),
}

impl Way {
    async fn ask(&self, path: &'static str) {
        let (ctx, event) = event(path);
        let outcome = match self {
            Self::Direct(isolate) => {
                let (reply, answer) = Reply::channel();
                isolate.push(Job { ctx, event, reply });
                answer.await
            }
            Self::Linked(slot) => slot.dispatch(ctx, event).await,
        };
        let Ok(Outcome::Fetch(response)) = outcome else {
            panic!("{outcome:?}")
        };
        response.body.collect(1 << 20).await.unwrap();
    }
}

/// As a browser's request arrives from the front.
fn event(path: &'static str) -> (EventContext, Event) {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "localhost"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101"),
        ("accept", "text/html,application/xhtml+xml"),
        ("accept-encoding", "gzip, deflate, br"),
        ("cf-connecting-ip", "127.0.0.1"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let ctx = EventContext {
        tenant: TenantId::new("t"),
        worker: WorkerName::new("w"),
        request_id: RequestId(1),
        cancel: Cancel::new(),
        trace: None,
        version: Default::default(),
        entry: Entry::default(),
        route: None,
    };
    let head = Box::new(RequestHead {
        method: Method::GET,
        url: format!("http://localhost{path}"),
        headers,
        protocol: "HTTP/1.1",
        tls_version: "",
        client: None,
        peer: Some(([127, 0, 0, 1], 50_000).into()),
        upgrade_websocket: false,
        cf: None,
    });
    let body = Body::Empty;
    (ctx, Event::Fetch(Request { head, body }))
}

/// Nanoseconds on a processor, of all threads.
fn cpu() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
        .filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

async fn round(way: &Arc<Way>, path: &'static str, at_once: usize, events: usize) -> (f64, f64) {
    let (before, begun) = (cpu(), Instant::now());
    let clients: Vec<_> = (0..at_once)
        .map(|_| {
            let way = way.clone();
            tokio::spawn(async move {
                for _ in 0..events / at_once {
                    way.ask(path).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let events = (events / at_once * at_once) as f64;
    let micros = (cpu() - before) as f64 / 1000.0;
    (micros / events, begun.elapsed().as_secs_f64() * 1e6 / events)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let events = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (parent, child) = std::os::unix::net::UnixStream::pair().unwrap();
    parent.set_nonblocking(true).unwrap();
    child.set_nonblocking(true).unwrap();
    let (reader, file) = SegmentReader::new().unwrap();
    let writer = SegmentWriter::new(file).ok();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let child = tokio::net::UnixStream::from_std(child).unwrap();
            serve(child, writer, Arc::new(Isolates), BUILD, Arc::new(SystemClock)).await;
        });
    });
    runtime.block_on(async move {
        let parent = tokio::net::UnixStream::from_std(parent).unwrap();
        let link = ParentLink::open(parent, Some(reader), BUILD, &TaskGroup::new());
        let version = Arc::new(WorkerVersion {
            tenant: TenantId::new("t"),
            name: WorkerName::new("w"),
            id: "1".to_owned(),
            main_module: "index.js".to_owned(),
            modules: Vec::new(),
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
        let slot = link.start(version, environment(), true);
        slot.ready().await.unwrap();
        let linked = Arc::new(Way::Linked(slot));
        let direct = Arc::new(Way::Direct(Isolate::start(environment())));
        println!("| event | at once | direct, us CPU | link, us CPU | more, us | bytes out + in | writes + reads |");
        println!("|---|---:|---:|---:|---:|---:|---:|");
        for path in ["/hello", "/kv", "/stream"] {
            for at_once in [1, 8, 64] {
                let events = if at_once == 1 { events / 5 } else { events };
                round(&direct, path, at_once, events / 5).await;
                round(&linked, path, at_once, events / 5).await;
                let (mut direct_us, mut linked_us) = (Vec::new(), Vec::new());
                let before = link.stats();
                for _ in 0..ROUNDS {
                    direct_us.push(round(&direct, path, at_once, events).await.0);
                    linked_us.push(round(&linked, path, at_once, events).await.0);
                }
                let after = link.stats();
                let per = |read: fn(&LinkStats) -> u64| {
                    (read(&after) - read(&before)) as f64 / (after.calls - before.calls) as f64
                };
                let (direct_us, linked_us) = (median(direct_us), median(linked_us));
                println!(
                    "| {path} | {at_once} | {direct_us:.2} | {linked_us:.2} | {:.2} | {:.0} + {:.0} | {:.2} + {:.2} |",
                    linked_us - direct_us,
                    per(|stats| stats.bytes_out),
                    per(|stats| stats.bytes_in),
                    per(|stats| stats.writes),
                    per(|stats| stats.reads),
                );
            }
        }
    });
}
