//! The clients: each asks, checks, and asks again until it is told to stop.

use crate::tally::{Kind, Tally};
use crate::{Options, Random};
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;

/// How long an answer may take. Generous: a debug build on a busy machine.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// The longest pause of a client between two requests, milliseconds.
const THINK_MS_MAX: u64 = 6;
/// The most pieces of a streamed answer.
const PIECES_MAX: u64 = 24;
/// How many clients of each kind.
const KEPT: u64 = 8;
const NEW: u64 = 3;
const STREAMED: u64 = 3;
const UPLOADS: u64 = 2;
pub const HTTP2: u64 = 2;
/// Streams of one HTTP/2 connection.
const HTTP2_STREAMS: u64 = 4;
const SOCKETS: u64 = 2;

type Body = BoxBody<Bytes, Infallible>;

/// Running clients.
pub struct Clients {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Clients {
    /// Lets each finish what it has asked.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
    }
}

/// Starts all of them.
pub fn start(options: &Options, address: SocketAddr, tally: &Arc<Tally>) -> Clients {
    let stop = CancellationToken::new();
    let (seed, socket_lifetime) = (options.seed, options.mode.socket_lifetime());
    let mut tasks = JoinSet::new();
    let mut stream = 0;
    let mut clients = |kind: Kind, count: u64| {
        for _ in 0..count {
            stream += 1;
            let client = Client {
                kind,
                address,
                random: Random::new(seed, stream),
                socket_lifetime,
                tally: tally.clone(),
                stop: stop.clone(),
            };
            tasks.spawn(client.run());
        }
    };
    clients(Kind::Kept, KEPT);
    clients(Kind::New, NEW);
    clients(Kind::Streamed, STREAMED);
    clients(Kind::Upload, UPLOADS);
    clients(Kind::Http2, options.http2);
    clients(Kind::Socket, SOCKETS);
    Clients { stop, tasks }
}

struct Client {
    kind: Kind,
    address: SocketAddr,
    random: Random,
    /// How long a socket is used before this side closes it.
    socket_lifetime: Duration,
    tally: Arc<Tally>,
    stop: CancellationToken,
}

/// What to ask, and what the answer must be.
struct Ask {
    target: String,
    upload: Option<Vec<Bytes>>,
    expected: Vec<u8>,
}

impl Ask {
    fn new(random: &mut Random, kind: Kind) -> Self {
        let n = random.below(1_000_000);
        let any = random.below(3);
        match (kind, any) {
            (Kind::Streamed, _) | (Kind::Http2, 1) => {
                let pieces = 1 + random.below(PIECES_MAX);
                Self {
                    target: format!("/stream?n={pieces}"),
                    upload: None,
                    expected: (0..pieces)
                        .flat_map(|piece| format!("piece {piece};").into_bytes())
                        .collect(),
                }
            }
            (Kind::Upload, _) | (Kind::Http2, 2) => {
                let pieces: Vec<Bytes> = (0..1 + random.below(8))
                    .map(|piece| Bytes::from(format!("{n} {piece} ").repeat(1 + random.below(200) as usize)))
                    .collect();
                Self {
                    target: "/echo".to_owned(),
                    expected: pieces.concat(),
                    upload: Some(pieces),
                }
            }
            _ => Self {
                target: format!("/hello?n={n}"),
                upload: None,
                expected: format!("hello {n}").into_bytes(),
            },
        }
    }

    fn request(&self, address: SocketAddr, http2: bool) -> Result<Request<Body>> {
        let method = if self.upload.is_some() { "POST" } else { "GET" };
        let (uri, host) = if http2 {
            (format!("http://{address}{}", self.target), None)
        } else {
            (self.target.clone(), Some(address.to_string()))
        };
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let body = match &self.upload {
            None => Empty::new().boxed(),
            Some(pieces) => {
                // A piece at a time with a moment between, so that the upload is under way when the server stops.
                let pieces = stream::iter(pieces.clone()).then(|piece| async {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    Ok::<_, Infallible>(Frame::data(piece))
                });
                BodyExt::boxed(StreamBody::new(Unshared(Box::pin(pieces))))
            }
        };
        Ok(request.body(body)?)
    }

    async fn check(&self, response: Response<Incoming>) -> Result<()> {
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| anyhow!("the answer to {} broke off: {}", self.target, causes(&error)))?;
        if status != 200 || body.to_bytes() != self.expected {
            bail!("{} was answered with {status} and another body", self.target);
        }
        Ok(())
    }
}

/// `BoxBody` asks for `Sync`, which a stream that is only ever polled by its owner need not be.
struct Unshared<T>(std::pin::Pin<Box<dyn futures_util::Stream<Item = T> + Send>>);

// SAFETY: the stream is reached only through `&mut self` (there is no method on `&self`), so no two threads can use it at once.
unsafe impl<T> Sync for Unshared<T> {}

impl<T> futures_util::Stream for Unshared<T> {
    type Item = T;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T>> {
        self.0.as_mut().poll_next(context)
    }
}

/// An error with all its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Whether the server said in HTTP/2 that it did not process the request (RFC 9113 section 8.7): by REFUSED_STREAM, or by a
/// GOAWAY without an error whose last stream is lower. The library ends exactly those streams with the GOAWAY's error, and
/// gives it to a request that meets one before it has a stream.
fn is_refused(error: &hyper::Error) -> bool {
    let Some(error) = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>()) else {
        return false;
    };
    let goodbye = error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
    goodbye || error.reason() == Some(h2::Reason::REFUSED_STREAM)
}

/// What to do after a request that got no answer.
enum Again {
    NotSent,
    Refused,
    Failed(anyhow::Error),
}

fn unanswered(error: TrySendError<Request<Body>>) -> Again {
    let mut error = error;
    if error.take_message().is_some() {
        return Again::NotSent;
    }
    let error = error.into_error();
    if is_refused(&error) {
        return Again::Refused;
    }
    Again::Failed(anyhow!("no answer: {}", causes(&error)))
}

impl Client {
    async fn run(mut self) {
        while !self.stop.is_cancelled() {
            let outcome = match self.kind {
                Kind::Http2 => self.http2().await,
                Kind::Socket => self.socket().await,
                _ => self.http1().await,
            };
            if let Err(error) = outcome {
                self.tally.fail(self.kind, format!("{error:#}"));
            }
        }
    }

    async fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.address)
            .await
            .context("the connection was refused")?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn think(&mut self) {
        let pause = Duration::from_millis(self.random.below(THINK_MS_MAX));
        tokio::time::sleep(pause).await;
    }

    fn again(&self, again: Again) -> Result<()> {
        match again {
            Again::NotSent => self.tally.not_sent(self.kind),
            Again::Refused => self.tally.refused(self.kind),
            Again::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// One connection, to its end: the server's goodbye, or with new connections one request.
    async fn http1(&mut self) -> Result<()> {
        let (mut sender, connection) = http1::handshake::<_, Body>(TokioIo::new(self.connect().await?)).await?;
        let connection = tokio::spawn(connection);
        while !self.stop.is_cancelled() {
            // Fails once the connection is closed: nothing was asked then.
            if sender.ready().await.is_err() {
                break;
            }
            let ask = Ask::new(&mut self.random, self.kind);
            let request = ask.request(self.address, false)?;
            let answer = timeout(ANSWER_DEADLINE, sender.try_send_request(request)).await;
            match answer.with_context(|| format!("no answer to {} in time", ask.target))? {
                Ok(response) => {
                    let whole = timeout(ANSWER_DEADLINE, ask.check(response)).await;
                    whole.with_context(|| format!("the answer to {} did not end in time", ask.target))??;
                    self.tally.ok(self.kind);
                }
                Err(error) => {
                    self.again(unanswered(error))?;
                    break;
                }
            }
            if self.kind == Kind::New {
                break;
            }
            self.think().await;
        }
        drop(sender);
        // What ended the connection was told by the requests.
        let _ = connection.await;
        Ok(())
    }

    /// One connection with several streams, to its end.
    async fn http2(&mut self) -> Result<()> {
        let io = TokioIo::new(self.connect().await?);
        let (sender, connection) = http2::handshake::<_, _, Body>(TokioExecutor::new(), io).await?;
        let connection = tokio::spawn(connection);
        let mut streams = JoinSet::new();
        for stream in 0..HTTP2_STREAMS {
            let mut client = Client {
                kind: self.kind,
                address: self.address,
                random: Random::new(self.random.below(u64::MAX), stream),
                socket_lifetime: self.socket_lifetime,
                tally: self.tally.clone(),
                stop: self.stop.clone(),
            };
            let sender = sender.clone();
            streams.spawn(async move { client.http2_stream(sender).await });
        }
        drop(sender);
        let mut outcome = Ok(());
        while let Some(ended) = streams.join_next().await {
            outcome = outcome.and(ended?);
        }
        let _ = connection.await;
        outcome
    }

    async fn http2_stream(&mut self, mut sender: http2::SendRequest<Body>) -> Result<()> {
        while !self.stop.is_cancelled() {
            if sender.ready().await.is_err() {
                break;
            }
            let ask = Ask::new(&mut self.random, self.kind);
            let request = ask.request(self.address, true)?;
            let answer = timeout(ANSWER_DEADLINE, sender.try_send_request(request)).await;
            match answer.with_context(|| format!("no answer to {} in time", ask.target))? {
                Ok(response) => {
                    let whole = timeout(ANSWER_DEADLINE, ask.check(response)).await;
                    whole.with_context(|| format!("the answer to {} did not end in time", ask.target))??;
                    self.tally.ok(self.kind);
                }
                Err(error) => {
                    self.again(unanswered(error))?;
                    break;
                }
            }
            self.think().await;
        }
        Ok(())
    }

    /// One socket: messages and their echoes, until the server says goodbye.
    async fn socket(&mut self) -> Result<()> {
        let stream = self.connect().await?;
        let url = format!("ws://{}/socket", self.address);
        let (mut socket, _) = timeout(ANSWER_DEADLINE, tokio_tungstenite::client_async(url, stream))
            .await
            .context("no handshake in time")?
            .context("the handshake")?;
        let end = Instant::now() + self.socket_lifetime;
        while !self.stop.is_cancelled() && Instant::now() < end {
            let text = format!("message {}", self.random.below(1_000_000));
            // A closing socket takes nothing more: its close frame is read below.
            let sent = socket.send(Message::text(text.clone())).await.is_ok();
            let answer = timeout(ANSWER_DEADLINE, socket.next())
                .await
                .context("no echo in time")?;
            match answer {
                Some(Ok(Message::Text(echo))) if sent && echo.as_str() == text => self.tally.ok(self.kind),
                Some(Ok(Message::Close(Some(frame)))) if frame.code == CloseCode::Away => {
                    self.tally.goodbye();
                    // Our answer to the close frame, and the end of the connection.
                    while let Ok(Some(Ok(_))) = timeout(ANSWER_DEADLINE, socket.next()).await {}
                    return Ok(());
                }
                Some(Ok(other)) => bail!("another message than the echo: {other:?}"),
                Some(Err(error)) => bail!("the socket broke: {error}"),
                None => bail!("the socket ended without a close frame"),
            }
            self.think().await;
        }
        let _ = socket.close(None).await;
        while let Ok(Some(Ok(_))) = timeout(ANSWER_DEADLINE, socket.next()).await {}
        Ok(())
    }
}
