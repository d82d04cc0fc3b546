//! A raw connection as two byte streams with credit. The real socket, its TLS and its deadlines belong to whoever dialled
//! it (`egress`).
//!
//! | what the worker does | what happens to the connection |
//! |---|---|
//! | [`crate::BodySender::finish`] | what was sent is sent, then the write side is closed (FIN); reading goes on |
//! | drops the sender unfinished | the connection is broken off |
//! | drops the receiver | what arrives is thrown away; once the sender has finished, too, the connection is closed |
//! | asks for [`StartTls`], then finishes the sender | what was sent is sent, then the handshake follows on the same connection |
//!
//! The other side's FIN ends the receiver as complete; a lost connection ends it with an error, and the sender's reader
//! goes away.

use crate::{BodyReceiver, BodySender};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use tokio::sync::oneshot;

/// Where to connect, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectRequest {
    /// A host name or an address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// TLS from the start, later, or never.
    pub transport: SecureTransport,
    /// The name that the certificate must have; `host` if `None`.
    pub server_name: Option<String>,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecureTransport {
    /// Never.
    #[default]
    Off,
    /// Before the first byte.
    On,
    /// When it is asked for: [`Connection::start_tls`].
    StartTls,
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    /// Bytes to the other side.
    pub tx: BodySender,
    /// Bytes from the other side.
    pub rx: BodyReceiver,
    /// The other side's address: the one that was judged.
    pub remote: SocketAddr,
    /// This side's address.
    pub local: SocketAddr,
    /// The protocol that ALPN chose; empty for none.
    pub alpn: String,
    /// With [`SecureTransport::StartTls`]: where to ask for TLS, once.
    pub start_tls: Option<oneshot::Sender<StartTls>>,
}

/// Asks for TLS on a connection that began without. [`Connection::tx`] must be finished afterwards; both of its streams are
/// over, and the answer has new ones.
#[derive(Debug)]
pub struct StartTls {
    /// The name that the certificate must have; the host that was dialled if `None`.
    pub server_name: Option<String>,
    /// Gets the encrypted connection.
    pub reply: oneshot::Sender<Result<Connection, ConnectError>>,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    /// The kind.
    pub kind: ConnectErrorKind,
    /// What failed, on what, and why.
    pub message: String,
}

/// Kinds of [`ConnectError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConnectErrorKind {
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The name does not resolve.
    NotFound,
    /// A rule of this machine forbids the address or the port.
    Denied,
    /// The TLS handshake failed.
    Tls,
    /// No way leads to the host.
    HostUnreachable,
    /// No way leads to its network.
    NetworkUnreachable,
    /// Anything else: the other side broke off, all connections are in use.
    Failed,
}

impl ConnectError {
    /// An error.
    pub fn new(kind: ConnectErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}
