//! Accepting connections of nodes: TLS first, then who it is goes along with every request.

use super::{PeerCertificate, PeerName};
use atoll_stdx::TaskGroup;
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

/// How long a handshake may take.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// The most handshakes at a time; more wait in the kernel's queue.
pub const HANDSHAKES_MAX: usize = 256;
/// How long after an error of `accept` (too many files) the next try is.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end. A part of every request's extensions.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its certificate, verified; `None`: it came without one.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// The authority that made it, DER, if it was sent along.
    pub authority: Option<Arc<Vec<u8>>>,
    /// Where it calls from.
    pub address: SocketAddr,
}

impl Caller {
    /// Its name as a PoP, and its certificate.
    pub fn pop(&self) -> Option<(&str, &PeerCertificate)> {
        let certificate = self.certificate.as_deref()?;
        match &certificate.name {
            PeerName::Pop(name) => Some((name, certificate)),
            PeerName::Control => None,
        }
    }
}

/// A connection of a node.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    caller: Caller,
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Accepts connections as a member of the group until it stops. What comes out is what tonic's server takes.
pub fn accept(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    tasks: &TaskGroup,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(16);
    let (acceptor, stop) = (TlsAcceptor::from(config), tasks.stopping());
    let (room, group) = (Arc::new(Semaphore::new(HANDSHAKES_MAX)), tasks.clone());
    tasks.spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                () = sender.closed() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection of a node could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Never closed.
            let Ok(permit) = room.clone().acquire_owned().await else {
                return;
            };
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            group.spawn(async move {
                let _permit = permit;
                // Small messages both ways.
                let _ = stream.set_nodelay(true);
                let shaken = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await;
                let stream = match shaken {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => {
                        tracing::info!(%address, %error, "a node's handshake failed");
                        return;
                    }
                    Err(_) => {
                        tracing::info!(%address, "a node's handshake took too long");
                        return;
                    }
                };
                let caller = caller(&stream, address);
                // Nobody listens any more: the server is going down.
                let _ = sender.send(Ok(Connection { stream, caller })).await;
            });
        }
    });
    ReceiverStream::new(receiver)
}

fn caller(stream: &TlsStream<TcpStream>, address: SocketAddr) -> Caller {
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    // The verifier has read it before.
    let certificate = chain.first().and_then(|leaf| PeerCertificate::read(leaf).ok());
    Caller {
        certificate: certificate.map(Arc::new),
        authority: chain.get(1).map(|authority| Arc::new(authority.to_vec())),
        address,
    }
}
