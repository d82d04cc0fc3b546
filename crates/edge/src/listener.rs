//! Accepting connections, and letting go of them.
//!
//! ```text
//! bound --serve--> accepting --stop--> finishing what is in flight --grace over--> cut
//! ```
//!
//! A stop resets no connection that the kernel had taken: what waits in the queue is accepted before the socket is closed.

use crate::beside::Beside;
use crate::body::CancelOnDrop;
use crate::connection::Connection;
use crate::error::EdgeError;
use crate::front::{Counters, Front};
use crate::handover;
use crate::identify::Origin;
use crate::log::AccessLog;
use crate::options::EdgeOptions;
use crate::protocol;
use crate::site::Sites;
use crate::tls;
use atoll_stdx::TaskGroup;
use atoll_worker::{Cancel, Dispatch};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Connections that wait in the kernel.
pub(crate) const BACKLOG: u32 = 1024;
/// How long to leave a listener alone that has no descriptors or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// With a shared port: how long connections are still accepted after new ones go to a successor. Handshakes that began
/// before that complete meanwhile; a round trip is shorter.
const HANDOVER_LINGER: Duration = Duration::from_secs(1);
/// A grace that a clock can be advanced by.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long cut connections may take to drop what they hold; they do nothing else any more.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);

/// A bound listener.
pub struct Edge {
    socket: Socket,
    local_addr: SocketAddr,
    /// The socket is another's too (a service manager's): what waits in its queue is not ours to lose.
    inherited: bool,
    front: Arc<Front>,
}

enum Socket {
    /// Has its address; connections are refused.
    Bound(TcpSocket),
    /// The kernel takes connections.
    Listening(TcpListener),
    /// The system did not let it listen.
    Refused,
}

/// A listener's connections so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EdgeStats {
    /// Connections accepted.
    pub accepted: u64,
    /// Of these, open now.
    pub open: u64,
    /// TLS handshakes that failed or took too long.
    pub handshakes_failed: u64,
    /// Times the system could not give a connection: no descriptors, no memory.
    pub accept_errors: u64,
}

/// A view of a listener that serves.
#[derive(Clone)]
pub struct EdgeHandle(Arc<Front>);

impl EdgeHandle {
    /// Its connections.
    pub fn stats(&self) -> EdgeStats {
        let counters = &self.0.counters;
        // Read in this order, so that a connection that ends meanwhile cannot make the difference negative.
        let closed = counters.closed.load(Ordering::Acquire);
        let accepted = counters.accepted.load(Ordering::Relaxed);
        EdgeStats {
            accepted,
            open: accepted.saturating_sub(closed),
            handshakes_failed: counters.handshakes_failed.load(Ordering::Relaxed),
            accept_errors: counters.accept_errors.load(Ordering::Relaxed),
        }
    }

    /// Reads the certificate's files again; connections from now on get the new one. On failure the old one stays.
    pub fn renew_certificate(&self) -> Result<(), EdgeError> {
        let Some(options) = &self.0.options.tls else {
            return Ok(());
        };
        let renewed = tls::acceptor(options, self.0.sites.clone())?;
        *self.0.acceptor.write().unwrap_or_else(PoisonError::into_inner) = Some(renewed);
        Ok(())
    }
}

impl Edge {
    /// Binds `addr` (port 0 for a free one) and sets TLS up. Nothing is served before [`Edge::serve`]; connections that
    /// come earlier wait. With [`EdgeOptions::reuse_port`] the socket does not listen yet: see [`Edge::open`].
    pub async fn bind(
        addr: SocketAddr,
        options: EdgeOptions,
        sites: Arc<dyn Sites>,
        dispatch: Arc<dyn Dispatch>,
        log: Arc<dyn AccessLog>,
    ) -> Result<Self, EdgeError> {
        let failed = |source| EdgeError::Listen { addr, source };
        let socket = bound(addr, options.reuse_port).map_err(failed)?;
        let local_addr = socket.local_addr().map_err(failed)?;
        let waits = options.reuse_port;
        let mut edge = Self {
            socket: Socket::Bound(socket),
            local_addr,
            inherited: false,
            front: front(options, sites, dispatch, log)?,
        };
        if !waits {
            edge.open()?;
        }
        Ok(edge)
    }

    /// Takes over a socket that listens already, from a service manager for one. Whoever else holds it keeps it open, so
    /// that connections wait in its queue when this process goes.
    pub fn inherit(
        listener: std::net::TcpListener,
        options: EdgeOptions,
        sites: Arc<dyn Sites>,
        dispatch: Arc<dyn Dispatch>,
        log: Arc<dyn AccessLog>,
    ) -> Result<Self, EdgeError> {
        let failed = |source| EdgeError::Listen {
            addr: SocketAddr::from(([0, 0, 0, 0], 0)),
            source,
        };
        let local_addr = listener.local_addr().map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        Ok(Self {
            socket: Socket::Listening(listener),
            local_addr,
            inherited: true,
            front: front(options, sites, dispatch, log)?,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// A view of it that outlives [`Edge::serve`]'s taking it.
    pub fn handle(&self) -> EdgeHandle {
        EdgeHandle(self.front.clone())
    }

    /// Makes the socket listen, if it does not yet: from now on connections wait for [`Edge::serve`].
    pub fn open(&mut self) -> Result<(), EdgeError> {
        let failed = |source| EdgeError::Listen {
            addr: self.local_addr,
            source,
        };
        self.socket = match std::mem::replace(&mut self.socket, Socket::Refused) {
            Socket::Bound(socket) => Socket::Listening(socket.listen(BACKLOG).map_err(failed)?),
            other => other,
        };
        Ok(())
    }

    /// As [`Edge::open`] on a shared port, but behind the process that has it: connections keep going there until it leaves,
    /// and wait here from then on.
    pub fn open_behind(&mut self) -> Result<(), EdgeError> {
        self.open()?;
        if let Socket::Listening(listener) = &self.socket
            && !self.inherited
            && let Err(error) = handover::steer_to_first(listener)
        {
            tracing::warn!(%error, "new connections cannot be steered to the predecessor: some wait for it to leave");
        }
        Ok(())
    }

    /// Serves until `stop` is cancelled, then accepts nothing new, finishes what is in flight and closes. Connections
    /// that are not done after `grace` are cut; returns how many. Dropping the future cuts them all at once.
    pub async fn serve(mut self, stop: CancellationToken, grace: Duration) -> usize {
        if let Err(error) = self.open() {
            tracing::error!(%error, "the listener cannot be opened");
            return 0;
        }
        let Self {
            socket,
            inherited,
            front,
            ..
        } = self;
        let Socket::Listening(listener) = socket else { return 0 };
        let _cut = CancelOnDrop::new(front.cut.clone());
        let permits = Arc::new(Semaphore::new(front.options.limits.connections_max.max(1)));
        let _ = stop.run_until_cancelled(accept(&listener, &front, &permits)).await;
        let deadline = tokio::time::Instant::now() + grace.min(FOREVER);
        front.finish();
        if front.options.reuse_port {
            match handover::steer_to_successor(&listener) {
                // Handshakes that had begun for this socket complete on it: they are served here.
                Ok(()) => {
                    let last = accept(&listener, &front, &permits);
                    let _ = tokio::time::timeout(HANDOVER_LINGER.min(grace), last).await;
                }
                Err(error) => tracing::warn!(%error, "new connections cannot be steered to a successor"),
            }
        }
        if inherited {
            drop(listener);
        } else {
            close(listener, &front, &permits);
        }
        let cut = front
            .connections
            .drain(deadline.saturating_duration_since(tokio::time::Instant::now()))
            .await;
        front.cut.cancel();
        front.connections.drain(CUT_TIMEOUT).await;
        front.helpers.drain(CUT_TIMEOUT).await;
        cut
    }
}

fn front(
    options: EdgeOptions,
    sites: Arc<dyn Sites>,
    dispatch: Arc<dyn Dispatch>,
    log: Arc<dyn AccessLog>,
) -> Result<Arc<Front>, EdgeError> {
    let acceptor = options
        .tls
        .as_ref()
        .map(|tls| tls::acceptor(tls, sites.clone()))
        .transpose()?;
    Ok(Arc::new(Front {
        options,
        sites,
        dispatch,
        log,
        acceptor: RwLock::new(acceptor),
        counters: Counters::default(),
        connections: TaskGroup::new(),
        helpers: TaskGroup::new(),
        stop: CancellationToken::new(),
        stopping: AtomicBool::new(false),
        cut: Cancel::new(),
    }))
}

pub(crate) fn bound(addr: SocketAddr, reuse_port: bool) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    // A restart must not wait for the old connections' last packets.
    socket.set_reuseaddr(true)?;
    #[cfg(unix)]
    socket.set_reuseport(reuse_port)?;
    // Accepted connections inherit it: peers that vanished without a word are found in the end.
    socket.set_keepalive(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Takes what has completed its handshake, then closes: the kernel resets what is left in a queue.
fn close(listener: TcpListener, front: &Arc<Front>, permits: &Arc<Semaphore>) {
    let Ok(listener) = listener.into_std() else { return };
    while let Ok(permit) = permits.clone().try_acquire_owned() {
        match listener.accept() {
            Ok((stream, peer)) => {
                if stream.set_nonblocking(true).is_ok()
                    && let Ok(stream) = TcpStream::from_std(stream)
                {
                    take(stream, peer, front, permit);
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => return,
        }
    }
}

fn take(stream: TcpStream, peer: SocketAddr, front: &Arc<Front>, permit: OwnedSemaphorePermit) {
    front.counters.accepted.fetch_add(1, Ordering::Relaxed);
    let open = Open(front.clone());
    let home = front.options.homes.as_ref().and_then(|places| places.0.home());
    let Some(home) = home else {
        return front.connections.spawn(connection(stream, peer, open, permit));
    };
    // Taken off this runtime's list of sockets, and put on the other's by the other.
    let stream = stream.into_std();
    let there = async move {
        match stream.and_then(TcpStream::from_std) {
            Ok(stream) => connection(stream, peer, open, permit).await,
            Err(error) => {
                tracing::warn!(%peer, %error, "a connection was lost on its way to the thread it was to live on")
            }
        }
    };
    front.connections.spawn_on(&home, there);
}

/// Counts a connection's end.
struct Open(Arc<Front>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counters.closed.fetch_add(1, Ordering::Release);
    }
}

async fn accept(listener: &TcpListener, front: &Arc<Front>, permits: &Arc<Semaphore>) {
    loop {
        // The semaphore is never closed.
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => take(stream, peer, front, permit),
            Err(error) if is_of_one_connection(&error) => tracing::debug!(%error, "a connection ended in the queue"),
            Err(error) => {
                front.counters.accept_errors.fetch_add(1, Ordering::Relaxed);
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

async fn connection(stream: TcpStream, peer: SocketAddr, open: Open, _permit: OwnedSemaphorePermit) {
    let front = open.0.clone();
    // Small writes (a chunk, a frame) are for now, not for when more comes. Failing that only costs latency.
    let _ = stream.set_nodelay(true);
    let cut = front.cut.clone();
    let served = async {
        let Some(acceptor) = front.acceptor() else {
            let origin = Origin::new(peer, ("", ""), front.options.geo.as_deref());
            let connection = Arc::new(Connection::new(front, origin));
            return protocol::serve_plain(stream, connection).await;
        };
        let limit = front.options.limits.tls_handshake_timeout;
        let handshake = tokio::time::timeout(limit, acceptor.accept(stream));
        match front.while_served(handshake).await {
            Some(Ok(Ok(stream))) => {
                let (tls, h2) = tls::outcome(stream.get_ref().1);
                let origin = Origin::new(peer, tls, front.options.geo.as_deref());
                let connection = Arc::new(Connection::new(front, origin));
                protocol::serve(stream, connection, h2).await;
            }
            Some(Ok(Err(error))) => {
                front.counters.handshakes_failed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%peer, %error, "TLS handshake failed");
            }
            Some(Err(_)) => {
                front.counters.handshakes_failed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%peer, "TLS handshake timed out");
            }
            None => {}
        }
    };
    // Boxed: the idle connection's memory is its buffers', not the largest path's through its handlers.
    let (mut served, mut cutting) = (Box::pin(served), pin!(cut.cancelled()));
    let mut beside = Beside::default();
    poll_fn(|cx| {
        if beside.poll(cutting.as_mut(), cut.is_cancelled(), cx).is_ready() {
            return Poll::Ready(());
        }
        served.as_mut().poll(cx)
    })
    .await;
}
