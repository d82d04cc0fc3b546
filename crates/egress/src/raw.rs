//! Raw connections: bytes both ways, TLS from the start, later or never.
//!
//! ```text
//! dialling --> open --both directions over, or one broke--> closed
//!               |  ^
//!      StartTls v  | handshake done (its failure closes)
//!              encrypting
//! ```
//!
//! A direction moves only as fast as its reader takes bytes. What ends what: see [`atoll_worker::connection`]. A write that
//! makes no progress for [`crate::Timeouts::body_idle`] counts as a lost connection; reading has no deadline, since
//! databases are silent for long.

use crate::connect::Purpose;
use crate::error::{EgressError, target};
use crate::exchange::Exchange;
use crate::fetch::Fetch;
use crate::policy::AddressPolicy;
use crate::pool::Origin;
use atoll_worker::body::{CREDIT_DEFAULT, channel};
use atoll_worker::{
    BodyError, BodyReceiver, BodySender, ConnectError, ConnectErrorKind, ConnectRequest, Connection, Frame,
    SecureTransport, StartTls,
};
use bytes::{Bytes, BytesMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;

/// Bytes that are read at a time.
const READ_CHUNK: usize = 64 * 1024;
/// What JavaScript is told when the other side vanishes: the platform's words.
const LOST: &str = "Network connection lost.";

pub(crate) type Reply = oneshot::Sender<Result<Connection, ConnectError>>;

/// A dialled connection that is not yet anybody's.
struct Open {
    stream: TcpStream,
    origin: Origin,
    remote: SocketAddr,
    local: SocketAddr,
    /// Goes back when the connection is over.
    _permit: OwnedSemaphorePermit,
}

/// Runs until the connection is over or nobody wants it any more.
pub(crate) async fn run(fetch: Arc<Fetch>, policy: Arc<AddressPolicy>, request: ConnectRequest, mut reply: Reply) {
    let exchange = &fetch.exchange;
    let opened = tokio::select! {
        opened = Box::pin(open(exchange, &policy, &request)) => opened,
        () = reply.closed() => return,
    };
    let open = match opened {
        Ok(open) => open,
        Err(error) => return drop(reply.send(Err(connect_error(&error)))),
    };
    match request.transport {
        SecureTransport::Off => plain(exchange, open, reply, false).await,
        SecureTransport::StartTls => plain(exchange, open, reply, true).await,
        SecureTransport::On => encrypted(exchange, open, request.server_name, reply).await,
    }
}

async fn open(exchange: &Exchange, policy: &AddressPolicy, request: &ConnectRequest) -> Result<Open, EgressError> {
    let origin = Origin {
        tls: request.transport == SecureTransport::On,
        host: request.host.to_ascii_lowercase().into(),
        port: request.port,
    };
    let addresses = exchange
        .judged(&origin, |host, address, port| policy.check_raw(host, address, port))
        .await?;
    let permit = exchange.connector.permit(&origin, || exchange.pool.evict()).await?;
    let (stream, address) = exchange.connector.dial(&origin, &addresses).await?;
    let remote = SocketAddr::new(address, origin.port);
    let local = stream
        .local_addr()
        .map_err(|error| EgressError::connect(&target(&origin.host, remote), &error))?;
    Ok(Open {
        stream,
        origin,
        remote,
        local,
        _permit: permit,
    })
}

/// The worker's ends, and this side's.
fn ends(
    remote: SocketAddr,
    local: SocketAddr,
    alpn: String,
    start_tls: Option<oneshot::Sender<StartTls>>,
) -> (Connection, BodyReceiver, BodySender) {
    let (tx, up) = channel(CREDIT_DEFAULT, None);
    let (down, rx) = channel(CREDIT_DEFAULT, None);
    let connection = Connection {
        tx,
        rx,
        remote,
        local,
        alpn,
        start_tls,
    };
    (connection, up, down)
}

async fn plain(exchange: &Exchange, mut open: Open, reply: Reply, upgradable: bool) {
    let (ask, mut asked) = oneshot::channel();
    let (connection, up, down) = ends(open.remote, open.local, String::new(), upgradable.then_some(ask));
    if reply.send(Ok(connection)).is_err() {
        return;
    }
    let stall = exchange.timeouts.body_idle;
    if let Some(StartTls { server_name, reply }) = splice(&mut open.stream, up, down, &mut asked, stall).await {
        Box::pin(encrypted(exchange, open, server_name, reply)).await;
    }
}

async fn encrypted(exchange: &Exchange, open: Open, server_name: Option<String>, mut reply: Reply) {
    let Open {
        stream,
        mut origin,
        remote,
        local,
        _permit,
    } = open;
    if let Some(name) = server_name {
        origin.host = name.into();
    }
    let within = exchange.timeouts.handshake;
    let handshake = async {
        match timeout(within, exchange.connector.encrypt(&origin, stream, Purpose::Raw)).await {
            Ok(outcome) => outcome.map_err(|error| connect_error(&error)),
            Err(_) => {
                let message = format!("TLS with {} timed out after {within:?}", origin.host);
                Err(ConnectError::new(ConnectErrorKind::TimedOut, message))
            }
        }
    };
    let encrypted = tokio::select! {
        encrypted = handshake => encrypted,
        () = reply.closed() => return,
    };
    let mut stream = match encrypted {
        Ok(stream) => stream,
        Err(error) => return drop(reply.send(Err(error))),
    };
    let alpn = stream.get_ref().1.alpn_protocol().unwrap_or_default();
    let alpn = String::from_utf8_lossy(alpn).into_owned();
    let (connection, up, down) = ends(remote, local, alpn, None);
    // Nobody can ask: the sender is gone at once.
    let (_, mut never) = oneshot::channel();
    if reply.send(Ok(connection)).is_ok() {
        splice(&mut stream, up, down, &mut never, exchange.timeouts.body_idle).await;
    }
}

/// How the worker's direction ended.
enum Up {
    /// It asks for TLS; everything before that was sent.
    StartTls(StartTls),
    /// Everything was sent, and the write side is closed.
    Finished,
    /// The worker dropped it, or the connection is lost.
    Broken,
}

/// Moves bytes until both directions are over or one broke; with `asked`, until TLS is to begin.
async fn splice<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    up: BodyReceiver,
    down: BodySender,
    asked: &mut oneshot::Receiver<StartTls>,
    stall: Duration,
) -> Option<StartTls> {
    let (read, write) = tokio::io::split(stream);
    let mut reading = std::pin::pin!(downwards(read, &down));
    let mut writing = std::pin::pin!(upwards(write, up, asked, stall));
    let ended = tokio::select! {
        ended = &mut writing => ended,
        whole = &mut reading => {
            return match whole {
                // The worker may go on sending.
                true => match writing.await {
                    Up::StartTls(start) => Some(start),
                    Up::Finished | Up::Broken => None,
                },
                false => None,
            };
        }
    };
    match ended {
        Up::StartTls(start) => return Some(start),
        Up::Finished => tokio::select! {
            _ = reading => {}
            () = down.closed() => {}
        },
        Up::Broken => down.fail(BodyError::Failed(LOST.to_owned())),
    }
    None
}

/// Network to worker; true if it ended as it should.
async fn downwards(mut stream: impl AsyncRead + Unpin, worker: &BodySender) -> bool {
    let mut buffer = BytesMut::new();
    let mut heard = true;
    loop {
        if heard && worker.ready().await.is_err() {
            heard = false;
        }
        buffer.reserve(READ_CHUNK);
        let read = tokio::select! {
            read = stream.read_buf(&mut buffer) => read,
            () = worker.closed(), if heard => {
                heard = false;
                continue;
            }
        };
        match read {
            Ok(0) => {
                worker.finish();
                return true;
            }
            // TLS without its closing alert: as most clients do, this counts as an end.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                worker.finish();
                return true;
            }
            // Nobody listens: read on, so that the other side is not held up and its end is noticed.
            Ok(_) if !heard => buffer.clear(),
            Ok(_) => {
                let _ = worker.send(Frame::Data(buffer.split().freeze()));
            }
            Err(error) => {
                tracing::debug!(%error, "raw connection lost");
                worker.fail(BodyError::Failed(LOST.to_owned()));
                return false;
            }
        }
    }
}

async fn upwards(
    mut stream: impl AsyncWrite + Unpin,
    mut worker: BodyReceiver,
    asked: &mut oneshot::Receiver<StartTls>,
    stall: Duration,
) -> Up {
    loop {
        let data: Bytes = match worker.frame().await {
            Some(Ok(Frame::Data(data))) => data,
            Some(Ok(Frame::Trailers(_))) => continue,
            Some(Err(_)) => return Up::Broken,
            None => break,
        };
        let sent = async {
            stream.write_all(&data).await?;
            stream.flush().await
        };
        if !matches!(timeout(stall, sent).await, Ok(Ok(()))) {
            return Up::Broken;
        }
    }
    if let Ok(start) = asked.try_recv() {
        return Up::StartTls(start);
    }
    match timeout(stall, stream.shutdown()).await {
        Ok(Ok(())) => Up::Finished,
        _ => Up::Broken,
    }
}

fn connect_error(error: &EgressError) -> ConnectError {
    let kind = error.kind().unwrap_or(ConnectErrorKind::Failed);
    let message = match error {
        EgressError::Denied { host, address, reason } => {
            format!("connect to {host} ({address}) is not allowed: {reason}")
        }
        other => other.to_string(),
    };
    ConnectError::new(kind, message)
}
