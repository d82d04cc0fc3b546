//! The harness: two runtimes, servers, requests.

use atoll_egress::{AddressPolicy, Egress, EgressOptions, Resolve};
use atoll_model::{RequestId, TenantId, WorkerName};
use atoll_stdx::TaskGroup;
use atoll_worker::{
    BindingError, Body, EventContext, Outbound, OutboundRequest, Redirect, Request, RequestHead, Response,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};

/// More than any test body.
pub const ALL: u64 = 256 * 1024 * 1024;

pub type Served = http::Response<http_body_util::combinators::BoxBody<Bytes, std::io::Error>>;

/// Where a test's servers and sockets live.
#[derive(Clone)]
pub struct Net {
    pub io: Handle,
    pub tasks: TaskGroup,
}

/// Runs a test body without an I/O driver under it.
pub fn run<F: Future<Output = ()>>(test: impl FnOnce(Net) -> F) {
    let io = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let net = Net {
        io: io.handle().clone(),
        tasks: TaskGroup::new(),
    };
    let caller = Builder::new_current_thread().enable_time().build().unwrap();
    caller
        .block_on(async { tokio::time::timeout(std::time::Duration::from_secs(60), test(net)).await })
        .expect("hung");
    io.shutdown_background();
}

/// A server and how many connections it has accepted.
#[derive(Clone)]
pub struct Server {
    pub at: SocketAddr,
    pub connections: Arc<AtomicUsize>,
}

impl Server {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    pub fn accepted(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Net {
    pub fn options(&self) -> EgressOptions {
        EgressOptions::new(
            AddressPolicy::public_and_loopback(),
            self.io.clone(),
            self.tasks.clone(),
        )
    }

    pub fn egress(&self) -> Arc<Egress> {
        Egress::new(self.options())
    }

    pub fn egress_with(&self, change: impl FnOnce(&mut EgressOptions)) -> Arc<Egress> {
        let mut options = self.options();
        change(&mut options);
        Egress::new(options)
    }

    /// `serve` gets each connection with its number, from 0.
    pub async fn raw<F>(&self, serve: impl Fn(usize, TcpStream) -> F + Send + Sync + 'static) -> Server
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let (ready, at) = tokio::sync::oneshot::channel();
        self.io.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            ready.send(listener.local_addr().unwrap()).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(count.fetch_add(1, Ordering::SeqCst), stream));
            }
        });
        Server {
            at: at.await.unwrap(),
            connections,
        }
    }

    /// An HTTP/1.1 server.
    pub async fn http<F>(&self, answer: impl Fn(http::Request<Incoming>) -> F + Clone + Send + Sync + 'static) -> Server
    where
        F: Future<Output = Served> + Send + 'static,
    {
        self.raw(move |_, stream| {
            let answer = answer.clone();
            async move {
                let service = hyper::service::service_fn(move |request| {
                    let answer = answer(request);
                    async move { Ok::<_, std::convert::Infallible>(answer.await) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        })
        .await
    }

    /// Answers every connection's first request head with these bytes, then closes.
    pub async fn scripted(&self, answer: impl Into<Vec<u8>>) -> Server {
        let answer: Arc<[u8]> = answer.into().into();
        self.raw(move |_, mut stream| {
            let answer = answer.clone();
            async move {
                read_head(&mut stream).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
                // Whatever else the client sends is read, so that closing does not reset what was written.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        })
        .await
    }
}

/// A port that is taken, so that no other test gets it, and refuses connections, as nobody listens.
pub struct Nobody {
    pub at: SocketAddr,
    _socket: socket2::Socket,
}

impl Nobody {
    pub fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Self {
            at: socket.local_addr().unwrap().as_socket().unwrap(),
            _socket: socket,
        }
    }
}

/// Reads up to the end of a request head; gives it as text.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

pub fn full(status: u16, body: impl Into<Bytes>) -> Served {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed();
    http::Response::builder().status(status).body(body).unwrap()
}

/// What the server saw, as text: method, target, the interesting headers, body.
pub async fn describe(request: http::Request<Incoming>) -> String {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    let mut fields: Vec<_> = parts.headers.iter().collect();
    fields.sort_by_key(|(name, _)| name.as_str());
    for (name, value) in fields {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    text + "\n" + &String::from_utf8_lossy(&body)
}

pub fn context_of(tenant: &str) -> EventContext {
    EventContext {
        tenant: TenantId::new(tenant),
        worker: WorkerName::new("test"),
        request_id: RequestId(1),
        cancel: Default::default(),
        trace: None,
        version: Default::default(),
        entry: atoll_worker::Entry::default(),
        route: None,
    }
}

pub struct Ask(pub OutboundRequest);

pub fn get(url: impl Into<String>) -> Ask {
    ask("GET", url)
}

pub fn ask(method: &str, url: impl Into<String>) -> Ask {
    let head = RequestHead {
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        url: url.into(),
        headers: HeaderMap::new(),
        protocol: "",
        tls_version: "",
        client: None,
        peer: None,
        upgrade_websocket: false,
        cf: None,
    };
    Ask(OutboundRequest {
        request: Request {
            head: Box::new(head),
            body: Body::Empty,
        },
        redirect: Redirect::Follow,
        redirects_max: 20,
    })
}

impl Ask {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.0
            .request
            .head
            .headers
            .append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.0.request.body = body.into();
        self
    }

    pub fn redirect(mut self, redirect: Redirect) -> Self {
        self.0.redirect = redirect;
        self
    }

    pub fn websocket(mut self) -> Self {
        self.0.request.head.upgrade_websocket = true;
        self
    }

    pub async fn send(self, egress: &Egress) -> Result<Response, BindingError> {
        egress.fetch(&context_of("t"), self.0).await
    }

    pub async fn send_as(self, egress: &Egress, tenant: &str) -> Result<Response, BindingError> {
        egress.fetch(&context_of(tenant), self.0).await
    }

    /// The body as text; the fetch has to succeed.
    pub async fn text(self, egress: &Egress) -> String {
        text(self.send(egress).await.unwrap()).await
    }

    /// Status and whole body, or the error of either.
    pub async fn outcome(self, egress: &Egress) -> Result<(u16, String), String> {
        let response = self.send(egress).await.map_err(|error| error.message)?;
        let status = response.head.status;
        let body = response
            .body
            .collect(ALL)
            .await
            .map_err(|error| format!("body: {error}"))?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

pub async fn text(response: Response) -> String {
    String::from_utf8_lossy(&response.body.collect(ALL).await.unwrap()).into_owned()
}

/// A resolver that answers from a script: each call takes the next answer of its name; the last one stays.
#[derive(Default)]
pub struct Names(Mutex<Vec<(String, VecDeque<Vec<IpAddr>>)>>);

impl Names {
    pub fn new(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let parse = |list: &&[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        let names = names
            .iter()
            .map(|(name, answers)| (name.to_string(), answers.iter().map(parse).collect()));
        Arc::new(Self(Mutex::new(names.collect())))
    }
}

#[async_trait::async_trait]
impl Resolve for Names {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let mut names = self.0.lock().unwrap();
        let Some((_, answers)) = names.iter_mut().find(|(name, _)| name == host) else {
            return Err("no such host".to_owned());
        };
        Ok(if answers.len() > 1 {
            answers.pop_front().unwrap()
        } else {
            answers[0].clone()
        })
    }
}
