//! Opens connections: TCP to judged addresses, TLS, the protocol that ALPN chose.
//!
//! Addresses are tried in order, families alternating, each with a head start (RFC 8305). The connected peer is compared
//! with the address that was judged. Every connection holds a permit for as long as it lives.

use crate::error::{EgressError, target};
use crate::limits::{
    ATTEMPT_DELAY, ATTEMPTS_MAX, H2_CONNECTION_WINDOW, H2_HEADER_LIST_MAX, H2_PING_INTERVAL, H2_PING_TIMEOUT,
    H2_STREAM_WINDOW, TCP_KEEPALIVE, Timeouts,
};
use crate::pool::{Capacity, Origin, Sender};
use crate::tls::TlsRoots;
use crate::upload::Upload;
use atoll_stdx::TaskGroup;
use atoll_worker::ConnectErrorKind;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Makes connections.
pub(crate) struct Connector {
    /// Offers HTTP/2 and HTTP/1.1.
    tls_any: Arc<ClientConfig>,
    /// Offers HTTP/1.1 only: for WebSocket.
    tls_h1: Arc<ClientConfig>,
    /// Offers nothing: what is spoken on a raw connection is the worker's affair.
    tls_raw: Arc<ClientConfig>,
    permits: Arc<Semaphore>,
    connections_max: usize,
    timeouts: Timeouts,
    tasks: TaskGroup,
}

/// What a new connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Requests.
    Http,
    /// One request that turns into a WebSocket.
    WebSocket,
    /// Bytes.
    Raw,
}

impl Connector {
    pub fn new(roots: &TlsRoots, connections_max: usize, timeouts: Timeouts, tasks: TaskGroup) -> Self {
        Self {
            tls_any: roots.client(&[b"h2", b"http/1.1"]),
            tls_h1: roots.client(&[b"http/1.1"]),
            tls_raw: roots.client(&[]),
            permits: Arc::new(Semaphore::new(connections_max)),
            connections_max,
            timeouts,
            tasks,
        }
    }

    /// The right to one more connection; `make_room` is called if there is none at once.
    pub async fn permit(&self, origin: &Origin, make_room: impl FnOnce()) -> Result<OwnedSemaphorePermit, EgressError> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        make_room();
        match timeout(self.timeouts.resolve, self.permits.clone().acquire_owned()).await {
            // The semaphore is never closed.
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(EgressError::Busy {
                target: format!("{}:{}", origin.host, origin.port),
                limit: self.connections_max,
            }),
        }
    }

    /// Connects to the first of `addresses` that answers.
    pub async fn open(
        &self,
        origin: &Origin,
        addresses: &[IpAddr],
        purpose: Purpose,
        permit: OwnedSemaphorePermit,
    ) -> Result<(Sender, IpAddr), EgressError> {
        let (stream, address) = self.dial(origin, addresses).await?;
        let where_to = target(&origin.host, SocketAddr::new(address, origin.port));
        let late = || EgressError::Connect {
            target: where_to.clone(),
            reason: format!("timed out after {:?} in its handshake", self.timeouts.handshake),
            kind: ConnectErrorKind::TimedOut,
        };
        let handshake = async {
            if !origin.tls {
                return self.speak_h1(origin, stream, purpose, permit).await;
            }
            let stream = self.encrypt(origin, stream, purpose).await?;
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                self.speak_h2(origin, stream, permit).await
            } else {
                self.speak_h1(origin, stream, purpose, permit).await
            }
        };
        let sender = timeout(self.timeouts.handshake, handshake)
            .await
            .map_err(|_| late())??;
        Ok((sender, address))
    }

    /// TCP to the first of `addresses` that answers.
    pub async fn dial(&self, origin: &Origin, addresses: &[IpAddr]) -> Result<(TcpStream, IpAddr), EgressError> {
        let mut waiting = alternate(addresses).into_iter().take(ATTEMPTS_MAX).peekable();
        let mut attempts = FuturesUnordered::new();
        let mut first_error = None;
        loop {
            if let Some(address) = waiting.next() {
                attempts.push(self.dial_one(origin, address));
            }
            tokio::select! {
                Some(result) = attempts.next() => match result {
                    Ok(connected) => return Ok(connected),
                    Err(error) => {
                        first_error.get_or_insert(error);
                    }
                },
                () = tokio::time::sleep(ATTEMPT_DELAY), if waiting.peek().is_some() => {}
            }
            if attempts.is_empty() && waiting.peek().is_none() {
                return Err(first_error.unwrap_or_else(|| EgressError::Resolve {
                    host: origin.host.to_string(),
                    reason: "the name has no address".to_owned(),
                }));
            }
        }
    }

    async fn dial_one(&self, origin: &Origin, address: IpAddr) -> Result<(TcpStream, IpAddr), EgressError> {
        let socket = SocketAddr::new(address, origin.port);
        let name = target(&origin.host, socket);
        let stream = match timeout(self.timeouts.connect, TcpStream::connect(socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(EgressError::connect(&name, &error)),
            Err(_) => {
                return Err(EgressError::Connect {
                    target: name,
                    reason: format!("timed out after {:?}", self.timeouts.connect),
                    kind: ConnectErrorKind::TimedOut,
                });
            }
        };
        // The kernel connects to what it is told; this holds it to that even if a proxying layer is slipped in below.
        if stream.peer_addr().ok() != Some(socket) {
            return Err(EgressError::Connect {
                target: name,
                reason: "failed: the peer is not the address that was checked".to_owned(),
                kind: ConnectErrorKind::Failed,
            });
        }
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(TCP_KEEPALIVE)
            .with_interval(TCP_KEEPALIVE);
        // Without these two a connection is slower to send and slower to notice a dead peer, but it works.
        let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let _ = stream.set_nodelay(true);
        Ok((stream, address))
    }

    /// The TLS handshake, for `origin.host`.
    pub async fn encrypt(
        &self,
        origin: &Origin,
        stream: TcpStream,
        purpose: Purpose,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, EgressError> {
        let failed = |reason: String| EgressError::Tls {
            host: origin.host.to_string(),
            reason,
        };
        let bare = origin.host.trim_start_matches('[').trim_end_matches(']');
        let bare = bare.strip_suffix('.').unwrap_or(bare);
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| failed("the host is no name that a certificate can have".to_owned()))?;
        let config = match purpose {
            Purpose::Http => &self.tls_any,
            Purpose::WebSocket => &self.tls_h1,
            Purpose::Raw => &self.tls_raw,
        };
        let connector = TlsConnector::from(config.clone());
        // Boxed: the handshake's state is large.
        Box::pin(connector.connect(name, stream))
            .await
            .map_err(|error| failed(tls_reason(&error)))
    }

    async fn speak_h1<T>(
        &self,
        origin: &Origin,
        stream: T,
        purpose: Purpose,
        permit: OwnedSemaphorePermit,
    ) -> Result<Sender, EgressError>
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
        TokioIo<T>: Read + Write,
    {
        let handshake = http1::Builder::new().handshake::<_, Upload>(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| broken(origin, &error))?;
        let host = origin.host.clone();
        self.tasks.spawn(async move {
            let outcome = match purpose {
                Purpose::Http | Purpose::Raw => connection.await,
                Purpose::WebSocket => connection.with_upgrades().await,
            };
            if let Err(error) = outcome {
                tracing::debug!(%host, %error, "outgoing HTTP/1.1 connection ended");
            }
            drop(permit);
        });
        Ok(Sender::H1(sender))
    }

    async fn speak_h2<T>(&self, origin: &Origin, stream: T, permit: OwnedSemaphorePermit) -> Result<Sender, EgressError>
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let handshake = http2::Builder::new(GroupExecutor(self.tasks.clone()))
            .timer(TokioTimer::new())
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .max_header_list_size(H2_HEADER_LIST_MAX)
            .keep_alive_interval(H2_PING_INTERVAL)
            .keep_alive_timeout(H2_PING_TIMEOUT)
            .handshake::<_, Upload>(TokioIo::new(stream))
            .await;
        let (sender, connection) = handshake.map_err(|error| broken(origin, &error))?;
        let capacity = Capacity::new(connection.current_max_send_streams());
        let host = origin.host.clone();
        let watched = capacity.clone();
        self.tasks.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let driven = std::future::poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                watched.set(connection.current_max_send_streams());
                polled
            });
            if let Err(error) = driven.await {
                tracing::debug!(%host, %error, "outgoing HTTP/2 connection ended");
            }
            drop(permit);
        });
        Ok(Sender::H2(sender, capacity))
    }
}

/// Runs what HTTP/2 needs besides its connection in the group that drains.
#[derive(Debug, Clone)]
struct GroupExecutor(TaskGroup);

impl<F> hyper::rt::Executor<F> for GroupExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

fn broken(origin: &Origin, error: &hyper::Error) -> EgressError {
    EgressError::Exchange {
        host: origin.host.to_string(),
        reason: crate::error::root_cause(error),
    }
}

/// The order to try: as given, but the families take turns, beginning with the first one's.
fn alternate(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let Some(first) = addresses.first() else {
        return Vec::new();
    };
    let (mut own, mut other): (Vec<_>, Vec<_>) = addresses
        .iter()
        .copied()
        .partition(|address| address.is_ipv4() == first.is_ipv4());
    own.reverse();
    other.reverse();
    let mut order = Vec::with_capacity(addresses.len());
    while !own.is_empty() || !other.is_empty() {
        order.extend(own.pop());
        order.extend(other.pop());
    }
    order
}

fn tls_reason(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(_)) => "the peer does not speak TLS on this port".to_owned(),
        Some(tls) => tls.to_string(),
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the peer closed the connection during the handshake".to_owned()
        }
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let check = |input: &[&str], expected: &[&str]| {
            let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
            assert_eq!(alternate(&parse(input)), parse(expected));
        };
        check(&[], &[]);
        check(&["1.1.1.1", "2.2.2.2"], &["1.1.1.1", "2.2.2.2"]);
        check(&["::1", "::2", "1.1.1.1"], &["::1", "1.1.1.1", "::2"]);
        check(&["1.1.1.1", "::1", "::2", "::3"], &["1.1.1.1", "::1", "::2", "::3"]);
    }
}
