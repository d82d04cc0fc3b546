//! A front with a fake dispatcher, and a raw HTTP/1 client.

use atoll_edge::assets::AssetServer;
use atoll_edge::{AccessLog, AccessRecord, Edge, EdgeError, EdgeOptions, ErrorDetail, Site, SiteFailure, Sites};
use atoll_model::{TenantId, WorkerName};
use atoll_worker::{
    Body, BodySender, Dispatch, Event, EventContext, Fault, FaultKind, Foreign, Frame, JsException, Outcome, Place,
    Request, Response, ResponseHead, StackFrame, WebSocketEnd, WsMessage, body, socket,
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Foreign bytes that do not change, and how many of them were copied.
pub struct Kept {
    memory: Arc<[u8]>,
    from: usize,
    copied: Arc<AtomicUsize>,
}

impl Place for Kept {
    fn read(&self, from: usize, to: &mut [u8]) {
        let from = self.from + from;
        to.copy_from_slice(&self.memory[from..from + to.len()]);
        self.copied.fetch_add(to.len(), Ordering::Relaxed);
    }
}

/// `size` bytes of `memory` as another process's.
pub fn foreign(memory: &Arc<[u8]>, from: usize, size: usize, copied: &Arc<AtomicUsize>) -> Foreign {
    let place = Kept {
        memory: memory.clone(),
        from,
        copied: copied.clone(),
    };
    // SAFETY: the place keeps the memory.
    unsafe { Foreign::new(NonNull::from(&memory[from..][..size][0]), size, Box::new(place)) }
}

pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing came"))
}

/// What the fake dispatcher hands to the test.
#[derive(Debug)]
pub enum Seen {
    /// `/gate`: the sender of the response's body.
    Stream(BodySender),
    /// `/hang`, `/upload`: the request's context and body.
    Held(EventContext, Body),
    /// `/ws`: the worker's end.
    Socket(WebSocketEnd),
    /// A scheduled event: cron and time.
    Scheduled(String, u64),
}

pub struct Fake {
    seen: mpsc::UnboundedSender<Seen>,
}

fn outcome(head: ResponseHead, body: Body) -> Result<Outcome, Fault> {
    Ok(Outcome::Fetch(Box::new(Response {
        head,
        body,
        websocket: None,
    })))
}

pub fn head(status: u16, headers: &[(&str, &str)]) -> ResponseHead {
    let mut head = ResponseHead::new(status);
    for (name, value) in headers {
        head.headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    head
}

pub fn exception() -> JsException {
    JsException {
        name: "TypeError".into(),
        message: "<b> is not a function".into(),
        stack: "TypeError: <b> is not a function\n    at render (src/index.ts:3:9)".into(),
        frames: vec![StackFrame {
            function: "render".into(),
            file: "src/index.ts".into(),
            line: 3,
            column: 9,
        }],
    }
}

fn kind(name: &str) -> FaultKind {
    match name {
        "exception" => FaultKind::Exception,
        "bad-response" => FaultKind::BadResponse,
        "no-handler" => FaultKind::NoHandler,
        "startup" => FaultKind::Startup,
        "never-settles" => FaultKind::NeverSettles,
        "cpu" => FaultKind::ExceededCpu,
        "memory" => FaultKind::ExceededMemory,
        "overloaded" => FaultKind::Overloaded,
        "not-found" => FaultKind::NotFound,
        "canceled" => FaultKind::Canceled,
        "draining" => FaultKind::Draining,
        "internal" => FaultKind::Internal,
        other => panic!("no fault {other}"),
    }
}

impl Dispatch for Fake {
    fn dispatch<'a>(&'a self, _: &WorkerName, ctx: EventContext, event: Event) -> atoll_worker::Dispatched<'a> {
        Box::pin(self.answer(ctx, event))
    }
}

impl Fake {
    async fn answer(&self, ctx: EventContext, event: Event) -> Result<Outcome, Fault> {
        match event {
            Event::Rpc(_) | Event::Tail(_) | Event::Test | Event::Describe => {
                Err(Fault::new(FaultKind::Internal, "the front makes no such events"))
            }
            Event::Fetch(request) => self.fetch(ctx, request).await,
            Event::Scheduled(event) => {
                self.seen
                    .send(Seen::Scheduled(event.cron.clone(), event.scheduled_ms))
                    .unwrap();
                match event.cron.as_str() {
                    "throw" => Err(Fault::exception(FaultKind::Exception, exception())),
                    "none" => Err(Fault::new(FaultKind::NoHandler, "no scheduled handler")),
                    cron => Ok(Outcome::Scheduled {
                        no_retry: cron == "no retry",
                    }),
                }
            }
        }
    }
}

impl Fake {
    async fn fetch(&self, ctx: EventContext, request: Request) -> Result<Outcome, Fault> {
        let Request { head: asked, body } = request;
        let after_scheme = asked.url.split_once("://").unwrap().1;
        let target = &after_scheme[after_scheme.find('/').unwrap()..];
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let text = |text: &str| {
            outcome(
                head(200, &[("content-type", "text/plain")]),
                Body::from(text.to_owned()),
            )
        };
        match path {
            // What the worker was given.
            "/request" => {
                let mut out = format!(
                    "{} {} {} tls={} ws={}\n",
                    asked.method, asked.url, asked.protocol, asked.tls_version, asked.upgrade_websocket
                );
                for (name, value) in &asked.headers {
                    writeln!(out, "{name}: {}", String::from_utf8_lossy(value.as_bytes())).unwrap();
                }
                text(&out)
            }
            "/body" => {
                let kind = match &body {
                    Body::Empty => "empty".to_owned(),
                    Body::Full(bytes) => format!("full {}", bytes.len()),
                    Body::Stream(stream) => format!("stream {:?}", stream.length),
                };
                match body.collect(1 << 30).await {
                    Ok(bytes) => text(&format!("{kind}; {}", bytes.len())),
                    Err(error) => text(&format!("{kind}; {error}")),
                }
            }
            "/trailers" => {
                let mut out = String::new();
                if let Body::Stream(mut stream) = body {
                    while let Some(frame) = stream.frame().await {
                        match frame {
                            Ok(Frame::Data(data)) => out.push_str(&String::from_utf8_lossy(&data)),
                            Ok(Frame::Trailers(trailers)) => {
                                write!(out, "|{}", trailers["x-sum"].to_str().unwrap()).unwrap()
                            }
                            Err(error) => write!(out, "!{error}").unwrap(),
                        }
                    }
                }
                text(&out)
            }
            "/echo" => outcome(head(200, &[("content-type", "application/octet-stream")]), body),
            "/ignore" => text("ignored"),
            // A response made of the query: `status=..&header=name:value&body=..`.
            "/respond" => {
                let mut made = ResponseHead::new(200);
                let mut content = Body::Empty;
                for pair in query.split('&') {
                    let (name, value) = pair.split_once('=').unwrap();
                    let value = value.replace('+', " ").replace('\'', "\"");
                    match name {
                        "status" => made.status = value.parse().unwrap(),
                        "reason" => made.status_text = value,
                        "manual" => made.manual_encoding = true,
                        "body" => content = Body::from(value),
                        "size" => content = Body::from("x".repeat(value.parse().unwrap())),
                        "large" => {
                            let (name, size) = value.split_once(':').unwrap();
                            made.headers.insert(
                                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                                HeaderValue::from_str(&"x".repeat(size.parse().unwrap())).unwrap(),
                            );
                        }
                        "header" => {
                            let (name, value) = value.split_once(':').unwrap();
                            made.headers.append(
                                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                                HeaderValue::from_str(value).unwrap(),
                            );
                        }
                        other => panic!("no part {other}"),
                    }
                }
                outcome(made, content)
            }
            // A response whose body the test writes: `type=..&length=..`.
            "/gate" => {
                let mut made = ResponseHead::new(200);
                let mut length = None;
                for pair in query.split('&').filter(|pair| !pair.is_empty()) {
                    match pair.split_once('=').unwrap() {
                        ("type", value) => {
                            made.headers
                                .insert("content-type", HeaderValue::from_str(value).unwrap());
                        }
                        ("trailer", value) => {
                            made.headers.insert("trailer", HeaderValue::from_str(value).unwrap());
                        }
                        ("length", value) => length = Some(value.parse().unwrap()),
                        other => panic!("no part {other:?}"),
                    }
                }
                let (sender, receiver) = body::channel(body::CREDIT_DEFAULT, length);
                self.seen.send(Seen::Stream(sender)).unwrap();
                outcome(made, Body::Stream(receiver))
            }
            "/hang" => {
                self.seen.send(Seen::Held(ctx.clone(), body)).unwrap();
                ctx.cancel.cancelled().await;
                Err(Fault::new(FaultKind::Canceled, "canceled"))
            }
            // Answers at once and leaves the request's body to the test.
            "/upload" => {
                self.seen.send(Seen::Held(ctx, body)).unwrap();
                text("took it")
            }
            "/ws" => {
                let (ours, theirs) = socket::pair();
                self.seen.send(Seen::Socket(ours)).unwrap();
                websocket(theirs, query)
            }
            "/ws-echo" => {
                let (mut ours, theirs) = socket::pair();
                tokio::spawn(async move {
                    while let Some(message) = ours.rx.recv().await {
                        let last = matches!(message, WsMessage::Close { .. });
                        if ours.tx.send(message).is_err() || last {
                            break;
                        }
                    }
                });
                websocket(theirs, query)
            }
            _ => match path.strip_prefix("/fault/") {
                Some("thrown") => Err(Fault::exception(FaultKind::Exception, exception())),
                Some("pass-through") => Err(Fault {
                    pass_through: true,
                    ..Fault::exception(FaultKind::Exception, exception())
                }),
                Some(name) => Err(Fault::new(kind(name), format!("the cause of {name}"))),
                None => text("hello"),
            },
        }
    }
}

fn websocket(mut end: WebSocketEnd, protocol: &str) -> Result<Outcome, Fault> {
    end.protocol = protocol.to_owned();
    Ok(Outcome::Fetch(Box::new(Response {
        head: ResponseHead::new(101),
        body: Body::Empty,
        websocket: Some(end),
    })))
}

struct OneSite {
    names: Arc<Mutex<Vec<String>>>,
    site: Arc<Site>,
    broken: Arc<Site>,
}

impl Sites for OneSite {
    fn site(&self, host: &str, _path: &str) -> Option<Arc<Site>> {
        match host {
            "nowhere.test" => None,
            "broken.test" => Some(self.broken.clone()),
            _ => Some(self.site.clone()),
        }
    }

    fn expected(&self, host: &str) {
        self.names.lock().unwrap().push(host.to_owned());
    }
}

#[derive(Default)]
pub struct Records(Mutex<Vec<AccessRecord>>);

impl Records {
    pub fn all(&self) -> Vec<AccessRecord> {
        self.0.lock().unwrap().clone()
    }
}

impl AccessLog for Records {
    fn request(&self, record: AccessRecord) {
        self.0.lock().unwrap().push(record);
    }
}

/// A running front.
pub struct Server {
    pub addr: SocketAddr,
    pub log: Arc<Records>,
    /// Names heard in TLS handshakes.
    pub names: Arc<Mutex<Vec<String>>>,
    pub stop: CancellationToken,
    pub serving: JoinHandle<usize>,
    seen: mpsc::UnboundedReceiver<Seen>,
}

pub fn options() -> EdgeOptions {
    EdgeOptions {
        error_detail: ErrorDetail::Developer,
        local_triggers: true,
        ..EdgeOptions::default()
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::with(options(), PATIENCE).await
    }

    /// What binding an address that may be taken says.
    pub async fn try_bind(addr: SocketAddr) -> Result<Self, EdgeError> {
        Self::bind(addr, None, true, options(), PATIENCE).await
    }

    /// What binding with options that may be unusable says.
    pub async fn try_with(options: EdgeOptions) -> Result<Self, EdgeError> {
        Self::bind(LOOPBACK, None, true, options, PATIENCE).await
    }

    pub async fn with(options: EdgeOptions, grace: Duration) -> Self {
        Self::serving(None, true, options, grace).await
    }

    pub async fn serving(
        assets: Option<Arc<AssetServer>>,
        worker: bool,
        options: EdgeOptions,
        grace: Duration,
    ) -> Self {
        Self::bind(LOOPBACK, assets, worker, options, grace).await.unwrap()
    }

    async fn bind(
        addr: SocketAddr,
        assets: Option<Arc<AssetServer>>,
        worker: bool,
        options: EdgeOptions,
        grace: Duration,
    ) -> Result<Self, EdgeError> {
        let (seen, seen_rx) = mpsc::unbounded_channel();
        let site = |failure| {
            Arc::new(Site {
                tenant: TenantId::new("tenant"),
                worker: worker.then(|| WorkerName::new("worker")),
                version: None,
                assets: assets.clone(),
                body_bytes_max: None,
                failure,
            })
        };
        let names = Arc::<Mutex<Vec<String>>>::default();
        let sites = OneSite {
            names: names.clone(),
            site: site(None),
            broken: site(Some(SiteFailure {
                title: "The build failed".into(),
                detail: "src/index.ts:1:7: unexpected <token>".into(),
            })),
        };
        let log = Arc::new(Records::default());
        let edge = Edge::bind(addr, options, Arc::new(sites), Arc::new(Fake { seen }), log.clone()).await?;
        let stop = CancellationToken::new();
        Ok(Self {
            addr: edge.local_addr(),
            log,
            names,
            serving: tokio::spawn(edge.serve(stop.clone(), grace)),
            stop,
            seen: seen_rx,
        })
    }

    pub async fn connect(&self) -> Raw<TcpStream> {
        Raw::new(TcpStream::connect(self.addr).await.unwrap())
    }

    /// Sends `request` on a connection of its own and reads one answer.
    pub async fn ask(&self, request: &str) -> Answer {
        let mut raw = self.connect().await;
        raw.send(request).await;
        raw.answer().await
    }

    pub async fn get(&self, target: &str, headers: &str) -> Answer {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: site.test\r\n{headers}\r\n"))
            .await
    }

    pub async fn seen(&mut self) -> Seen {
        within("the dispatcher", self.seen.recv()).await.unwrap()
    }

    pub async fn stream(&mut self) -> BodySender {
        match self.seen().await {
            Seen::Stream(sender) => sender,
            other => panic!("{other:?}"),
        }
    }

    pub async fn held(&mut self) -> (EventContext, Body) {
        match self.seen().await {
            Seen::Held(ctx, body) => (ctx, body),
            other => panic!("{other:?}"),
        }
    }

    pub async fn socket(&mut self) -> WebSocketEnd {
        match self.seen().await {
            Seen::Socket(end) => end,
            other => panic!("{other:?}"),
        }
    }

    /// Stops it; how many connections were cut.
    pub async fn stop(self) -> usize {
        self.stop.cancel();
        within("the end", self.serving).await.unwrap()
    }
}

/// A response as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub reason: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub trailers: Vec<(String, String)>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A raw HTTP/1 client.
pub struct Raw<S> {
    pub stream: S,
    read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("writing", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    async fn more(&mut self) -> bool {
        // A reset is an end, too: a refused request's rest may still be unread at the other side.
        within("reading", self.stream.read_buf(&mut self.read))
            .await
            .unwrap_or(0)
            > 0
    }

    pub async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8(self.read.drain(..end + 2).take(end).collect()).unwrap();
                return line;
            }
            assert!(
                self.more().await,
                "closed within a line: {:?}",
                String::from_utf8_lossy(&self.read)
            );
        }
    }

    pub async fn exactly(&mut self, count: usize) -> Bytes {
        while self.read.len() < count {
            assert!(self.more().await, "closed {} bytes early", count - self.read.len());
        }
        self.read.drain(..count).collect()
    }

    /// A GET on a connection that the server may close before it answers; `None` then.
    pub async fn try_get(&mut self, target: &str) -> Option<Answer> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await.ok()?;
        if self.read.is_empty() && !self.more().await {
            return None;
        }
        Some(self.answer().await)
    }

    async fn fields(&mut self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        loop {
            let line = self.line().await;
            if line.is_empty() {
                return fields;
            }
            let (name, value) = line.split_once(':').unwrap();
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// The status line and headers.
    pub async fn head(&mut self) -> Answer {
        let line = self.line().await;
        let mut parts = line.splitn(3, ' ');
        assert!(parts.next().unwrap().starts_with("HTTP/1."), "{line:?}");
        Answer {
            status: parts.next().unwrap().parse().unwrap(),
            reason: parts.next().unwrap_or("").to_owned(),
            headers: self.fields().await,
            body: Bytes::new(),
            trailers: Vec::new(),
        }
    }

    /// One chunk; empty for the last, whose trailers follow.
    pub async fn chunk(&mut self) -> Bytes {
        let line = self.line().await;
        let size = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("chunk size {line:?}"));
        if size == 0 {
            return Bytes::new();
        }
        let data = self.exactly(size + 2).await;
        assert_eq!(&data[size..], b"\r\n");
        data.slice(..size)
    }

    /// A whole answer to anything but HEAD.
    pub async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        if matches!(answer.status, 101 | 204 | 304) {
            return answer;
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            let mut body = Vec::new();
            loop {
                let chunk = self.chunk().await;
                if chunk.is_empty() {
                    break;
                }
                body.extend_from_slice(&chunk);
            }
            answer.trailers = self.fields().await;
            answer.body = body.into();
        } else if let Some(length) = answer.header("content-length") {
            answer.body = self.exactly(length.parse().unwrap()).await;
        } else {
            answer.body = self.rest().await;
        }
        answer
    }

    /// Everything up to the end of the connection.
    pub async fn rest(&mut self) -> Bytes {
        while self.more().await {}
        std::mem::take(&mut self.read).into()
    }

    pub async fn assert_closed(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }
}
