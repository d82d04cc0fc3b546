//! The protocol of a connection, and its HTTP library.

use crate::beside::Beside;
use crate::connection::{CLOSING_LOOK, Connection, Verdict};
use crate::direct::{self, Rest};
use crate::io::Io;
use crate::limits::{H2_CONNECTION_WINDOW, H2_SEND_BUFFER, H2_STREAM_WINDOW, H2_STREAMS_MAX, HEADER_LINES_READ_MAX};
use crate::route;
use bytes::{Bytes, BytesMut};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

/// How an HTTP/2 connection begins (RFC 9113 section 3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a plain-text connection: HTTP/2 if it begins so ("prior knowledge"), else HTTP/1.
pub(crate) async fn serve_plain<S>(mut stream: S, connection: Arc<Connection>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut start = BytesMut::with_capacity(1024);
    let front = &connection.front;
    let sniff = tokio::time::timeout(front.options.limits.head_timeout, sniff(&mut stream, &mut start));
    match front.while_served(sniff).await {
        Some(Ok(Ok(Some(true)))) => http2(Io::new(stream, start.freeze(), connection.clone()), connection).await,
        Some(Ok(Ok(Some(false)))) => http1(Io::new(stream, Bytes::new(), connection.clone()), start, connection).await,
        // Closed or silent before a first byte, or the server has stopped before it: nothing is owed.
        _ => {}
    }
}

/// Serves a connection whose protocol is known.
pub(crate) async fn serve<S>(stream: S, connection: Arc<Connection>, h2: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = Io::new(stream, Bytes::new(), connection.clone());
    if h2 {
        http2(io, connection).await;
    } else {
        http1(io, BytesMut::new(), connection).await;
    }
}

/// Reads until it is clear whether this is the HTTP/2 preface. `None` if the client closes first.
async fn sniff<S: AsyncRead + Unpin>(stream: &mut S, start: &mut BytesMut) -> std::io::Result<Option<bool>> {
    loop {
        if stream.read_buf(start).await? == 0 {
            return Ok(None);
        }
        let seen = start.len().min(H2_PREFACE.len());
        if start[..seen] != H2_PREFACE[..seen] {
            return Ok(Some(false));
        }
        if seen == H2_PREFACE.len() {
            return Ok(Some(true));
        }
    }
}

/// What may have arrived of a request beside a head of the largest size.
const HEAD_SLACK_BYTES: usize = 64 * 1024;

/// `start`: what has been read already.
async fn http1<S>(io: Io<S>, start: BytesMut, connection: Arc<Connection>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let leaving = AtomicBool::new(false);
    let plain = direct::converse(io, start, connection.clone(), &leaving);
    let leave = |_: Pin<&mut _>| leaving.store(true, Ordering::Relaxed);
    if let Some(Rest::Library(io, ahead)) = drive(pin!(plain), leave, &connection, false).await {
        http1_library(io.scanned(ahead), connection).await;
    }
}

async fn http1_library<S>(io: Io<S>, connection: Arc<Connection>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    // Deadlines are ours (`drive`): the library's own would cost a timer per request.
    builder.header_read_timeout(None);
    // The parser's own bound is inexact: it counts what happens to have arrived. The head's is held in `identify`.
    builder.max_buf_size(connection.front.options.limits.head_bytes_max + HEAD_SLACK_BYTES);
    builder.max_headers(HEADER_LINES_READ_MAX);
    let requests = connection.clone();
    let service = service_fn(move |request| {
        let connection = requests.clone();
        async move {
            let (parts, body) = request.into_parts();
            Ok::<_, Infallible>(route::handle(&connection, Box::new(parts), Some(body)).await)
        }
    });
    let served = builder.serve_connection(TokioIo::new(io), service).with_upgrades();
    drive(pin!(served), |served| served.graceful_shutdown(), &connection, false).await;
}

async fn http2<S>(io: Io<S>, connection: Arc<Connection>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &connection.front.options.limits;
    let mut builder = http2::Builder::new(Helpers(connection.clone()));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_send_buf_size(H2_SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.idle_timeout)
        .enable_connect_protocol();
    let requests = connection.clone();
    let service = service_fn(move |request| {
        let connection = requests.clone();
        async move {
            let (parts, body) = request.into_parts();
            Ok::<_, Infallible>(route::handle(&connection, Box::new(parts), Some(body)).await)
        }
    });
    let served = builder.serve_connection(TokioIo::new(io), service);
    drive(pin!(served), |served| served.graceful_shutdown(), &connection, true).await;
}

/// Polls a connection to its end, under its deadlines and the listener's stop. `None` if it was cut or broke.
///
/// A stop must not break the request that a client sends at that moment. HTTP/2 has a goodbye that loses nothing: GOAWAY
/// names the last stream that will be answered, and the library sends it twice with a round trip between (RFC 9113 section
/// 6.8); it goes out once the connection has carried a request. HTTP/1 has none but `Connection: close` on a response, which
/// `route` sets from the stop on; an idle connection is kept for the request that may be on its way.
async fn drive<C, T, E>(
    mut served: Pin<&mut C>,
    goodbye: impl Fn(Pin<&mut C>),
    connection: &Connection,
    http2: bool,
) -> Option<T>
where
    C: Future<Output = Result<T, E>>,
    E: std::fmt::Display,
{
    let stop = &connection.front.stop;
    let limits = &connection.front.options.limits;
    let at_once = limits.closing_idle_timeout.is_zero();
    let mut leaving = false;
    let mut stopped = None;
    let Verdict::Wait(wait) = connection.verdict(stopped) else {
        return None;
    };
    let mut stopping = pin!(stop.cancelled());
    let mut timer = pin!(tokio::time::sleep(wait));
    let (mut beside_stop, mut beside_timer) = (Beside::default(), Beside::default());
    loop {
        let woken = poll_fn(|cx| {
            if let Poll::Ready(ended) = served.as_mut().poll(cx) {
                return Poll::Ready(Woken::Ended(ended));
            }
            if stopped.is_none() {
                let over = connection.front.is_stopping();
                if beside_stop.poll(stopping.as_mut(), over, cx).is_ready() {
                    return Poll::Ready(Woken::Stopped);
                }
            }
            let over = timer.is_elapsed();
            beside_timer.poll(timer.as_mut(), over, cx).map(|()| Woken::Late)
        });
        match woken.await {
            Woken::Ended(Ok(rest)) => return Some(rest),
            Woken::Ended(Err(error)) => {
                tracing::debug!(peer = %connection.origin.peer, %error, "connection ended");
                return None;
            }
            Woken::Stopped => {
                stopped = Some(Instant::now());
                if at_once && !leaving {
                    leaving = true;
                    goodbye(served.as_mut());
                }
                timer.as_mut().reset(tokio::time::Instant::now());
            }
            Woken::Late => {
                if stopped.is_some() && http2 && !leaving && connection.started() > 0 {
                    leaving = true;
                    goodbye(served.as_mut());
                }
                let wait = match connection.verdict(stopped) {
                    Verdict::Wait(wait) if stopped.is_some() && http2 && !leaving => wait.min(CLOSING_LOOK),
                    Verdict::Wait(wait) => wait,
                    Verdict::HeadTooSlow => {
                        tracing::debug!(peer = %connection.origin.peer, "a request's head took too long");
                        return None;
                    }
                    Verdict::Idle => {
                        if !leaving {
                            leaving = true;
                            goodbye(served.as_mut());
                        }
                        limits.idle_timeout
                    }
                };
                timer.as_mut().reset(tokio::time::Instant::now() + wait);
            }
        }
        beside_timer.begins_anew();
    }
}

/// Why a connection is looked at.
enum Woken<T> {
    /// It is over.
    Ended(T),
    /// The listener stops.
    Stopped,
    /// A deadline may have passed.
    Late,
}

/// Runs an HTTP/2 connection's streams as members of the listener's group.
#[derive(Clone)]
struct Helpers(Arc<Connection>);

impl<F> hyper::rt::Executor<F> for Helpers
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        let cut = self.0.front.cut.clone();
        self.0.front.helpers.spawn(async move {
            let _ = cut.token().run_until_cancelled(task).await;
        });
    }
}
