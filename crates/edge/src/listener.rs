//! Accepting connections, and letting go of them.
//!
//! ```text
//! bound --serve--> accepting --stop--> finishing what is in flight --grace over--> cut
//! ```

use crate::connection::Connection;
use crate::error::EdgeError;
use crate::front::Front;
use crate::identify::Origin;
use crate::log::AccessLog;
use crate::options::EdgeOptions;
use crate::protocol;
use crate::site::Sites;
use crate::tls;
use atoll_stdx::TaskGroup;
use atoll_worker::Dispatch;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Connections that wait in the kernel.
const BACKLOG: u32 = 1024;
/// How long to leave a listener alone that has no descriptors or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long cut connections may take to drop what they hold; they do nothing else any more.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);

/// A bound listener.
pub struct Edge {
    listener: TcpListener,
    local_addr: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    front: Arc<Front>,
}

impl Edge {
    /// Binds `addr` (port 0 for a free one) and sets TLS up. Nothing is served before [`Edge::serve`]; connections that
    /// come earlier wait.
    pub async fn bind(
        addr: SocketAddr,
        options: EdgeOptions,
        sites: Arc<dyn Sites>,
        dispatch: Arc<dyn Dispatch>,
        log: Arc<dyn AccessLog>,
    ) -> Result<Self, EdgeError> {
        let acceptor = options.tls.as_ref().map(tls::acceptor).transpose()?;
        let failed = |source| EdgeError::Listen { addr, source };
        let listener = listen(addr).map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            local_addr,
            acceptor,
            front: Arc::new(Front {
                options,
                sites,
                dispatch,
                log,
                connections: TaskGroup::new(),
                helpers: TaskGroup::new(),
                stop: CancellationToken::new(),
                cut: CancellationToken::new(),
            }),
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `stop` is cancelled, then accepts nothing new, finishes what is in flight and closes. Connections
    /// that are not done after `grace` are cut; returns how many. Dropping the future cuts them all at once.
    pub async fn serve(self, stop: CancellationToken, grace: Duration) -> usize {
        let front = self.front;
        let _cut = front.cut.clone().drop_guard();
        let permits = Arc::new(Semaphore::new(front.options.limits.connections_max.max(1)));
        let _ = stop
            .run_until_cancelled(accept(&self.listener, self.acceptor.as_ref(), &front, &permits))
            .await;
        // Refuses connections from here on, those in the kernel's queue included.
        drop(self.listener);
        front.stop.cancel();
        let cut = front.connections.drain(grace).await;
        front.cut.cancel();
        front.connections.drain(CUT_TIMEOUT).await;
        front.helpers.drain(CUT_TIMEOUT).await;
        cut
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    // A restart must not wait for the old connections' last packets.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it: peers that vanished without a word are found in the end.
    socket.set_keepalive(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: &TcpListener, acceptor: Option<&TlsAcceptor>, front: &Arc<Front>, permits: &Arc<Semaphore>) {
    loop {
        // The semaphore is never closed.
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let acceptor = acceptor.cloned();
                front
                    .connections
                    .spawn(connection(stream, peer, acceptor, front.clone(), permit));
            }
            Err(error) if is_of_one_connection(&error) => tracing::debug!(%error, "a connection ended in the queue"),
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    front: Arc<Front>,
    _permit: OwnedSemaphorePermit,
) {
    // Small writes (a chunk, a frame) are for now, not for when more comes. Failing that only costs latency.
    let _ = stream.set_nodelay(true);
    let cut = front.cut.clone();
    let served = async {
        let Some(acceptor) = acceptor else {
            let origin = Origin::new(peer, ("", ""), front.options.geo.as_deref());
            let connection = Arc::new(Connection::new(front, origin));
            return protocol::serve_plain(stream, connection).await;
        };
        let limit = front.options.limits.tls_handshake_timeout;
        let stopping = front.stop.clone();
        let handshake = tokio::time::timeout(limit, acceptor.accept(stream));
        match stopping.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => {
                let (tls, h2) = tls::outcome(stream.get_ref().1);
                let origin = Origin::new(peer, tls, front.options.geo.as_deref());
                let connection = Arc::new(Connection::new(front, origin));
                protocol::serve(stream, connection, h2).await;
            }
            Some(Ok(Err(error))) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Some(Err(_)) => tracing::debug!(%peer, "TLS handshake timed out"),
            None => {}
        }
    };
    // Boxed: the idle connection's memory is its buffers', not the largest path's through its handlers.
    let _ = cut.run_until_cancelled(Box::pin(served)).await;
}
