//! What can go wrong on the way out, in the words of whoever wrote the `fetch`.
//!
//! Every message names the host (and, after resolution, the address) it is about. [`EgressError::into_binding`] chooses
//! the kind by whose fault it is: the caller's arguments, a rule of this machine, or the network and the other side.

use atoll_worker::{BindingError, ConnectErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Why an outgoing request failed.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The URL is none this crate can fetch.
    #[error("cannot fetch {url:?}: {reason}")]
    Url {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The method is one that the Fetch Standard forbids.
    #[error("the method {0} is forbidden in fetch")]
    Method(String),
    /// The name does not resolve.
    #[error("cannot resolve {host}: {reason}")]
    Resolve {
        /// The host name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// Every address of the host is outside what the policy allows.
    #[error("fetch to {host} ({address}) is not allowed: {reason}")]
    Denied {
        /// The host, as in the URL.
        host: String,
        /// The (first) address it resolved to.
        address: IpAddr,
        /// Which rule refused it.
        reason: String,
    },
    /// No connection.
    #[error("connect to {target} {reason}")]
    Connect {
        /// `host:port`, with the address in brackets where the host is a name.
        target: String,
        /// `refused`, `timed out after 10s` and so on: a predicate.
        reason: String,
        /// The same as a kind.
        kind: ConnectErrorKind,
    },
    /// Every connection this process may hold is in use.
    #[error("connect to {target} failed: all {limit} outgoing connections are in use")]
    Busy {
        /// `host:port`.
        target: String,
        /// The limit.
        limit: usize,
    },
    /// The TLS handshake failed.
    #[error("TLS with {host} failed: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// What rustls or the peer said.
        reason: String,
    },
    /// The peer did not answer in time.
    #[error("{host} sent no response head within {waited:?}")]
    HeadTimeout {
        /// The host.
        host: String,
        /// How long.
        waited: Duration,
    },
    /// The connection broke before the response head was complete.
    #[error("{host} closed the connection before its response was complete")]
    Closed {
        /// The host.
        host: String,
    },
    /// The peer's answer is not HTTP as it should be.
    #[error("{host} sent an invalid response: {reason}")]
    BadResponse {
        /// The host.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// Another failure of the exchange.
    #[error("the request to {host} failed: {reason}")]
    Exchange {
        /// The host.
        host: String,
        /// What failed.
        reason: String,
    },
    /// The request's own body failed while it was sent.
    #[error("the request body failed while it was sent to {host}: {reason}")]
    RequestBody {
        /// The host.
        host: String,
        /// What the body's producer said.
        reason: String,
    },
    /// A redirect cannot be followed.
    #[error("redirect from {from} cannot be followed: {reason}")]
    Redirect {
        /// The URL that answered with the redirect.
        from: String,
        /// Why not.
        reason: String,
    },
    /// A file of root certificates cannot be used.
    #[error("root certificates in {path:?}: {reason}")]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl EgressError {
    /// As the waist carries it.
    pub fn into_binding(self) -> BindingError {
        let message = self.to_string();
        if let Some(kind) = self.kind() {
            return BindingError::network(kind, message);
        }
        match self {
            Self::Url { .. } | Self::Method(_) | Self::Redirect { .. } => BindingError::invalid(message),
            _ => BindingError::unavailable(message),
        }
    }

    /// What failed of the network; `None` where it did its part.
    pub(crate) fn kind(&self) -> Option<ConnectErrorKind> {
        match self {
            Self::Resolve { .. } => Some(ConnectErrorKind::NotFound),
            Self::Denied { .. } => Some(ConnectErrorKind::Denied),
            Self::Connect { kind, .. } => Some(*kind),
            Self::Tls { .. } => Some(ConnectErrorKind::Tls),
            Self::HeadTimeout { .. } => Some(ConnectErrorKind::TimedOut),
            Self::Busy { .. } | Self::Closed { .. } | Self::Exchange { .. } => Some(ConnectErrorKind::Failed),
            Self::Url { .. }
            | Self::Method(_)
            | Self::BadResponse { .. }
            | Self::RequestBody { .. }
            | Self::Redirect { .. }
            | Self::Roots { .. } => None,
        }
    }

    /// A failed connection attempt; `target` is what the message names.
    pub(crate) fn connect(target: &str, error: &std::io::Error) -> Self {
        let (kind, reason) = match error.kind() {
            std::io::ErrorKind::ConnectionRefused => (ConnectErrorKind::Refused, "refused".to_owned()),
            std::io::ErrorKind::NetworkUnreachable => (
                ConnectErrorKind::NetworkUnreachable,
                "failed: the network is unreachable".to_owned(),
            ),
            std::io::ErrorKind::HostUnreachable => (
                ConnectErrorKind::HostUnreachable,
                "failed: the host is unreachable".to_owned(),
            ),
            std::io::ErrorKind::TimedOut => (ConnectErrorKind::TimedOut, "timed out".to_owned()),
            _ => (ConnectErrorKind::Failed, format!("failed: {error}")),
        };
        Self::Connect {
            target: target.to_owned(),
            reason,
            kind,
        }
    }
}

impl From<EgressError> for BindingError {
    fn from(error: EgressError) -> Self {
        error.into_binding()
    }
}

/// `example.com:443 (192.0.2.1)`, or just the socket address where the host is a literal.
pub(crate) fn target(host: &str, address: SocketAddr) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(_) => address.to_string(),
        Err(_) => format!("{host}:{} ({})", address.port(), address.ip()),
    }
}

/// The deepest cause's text, for errors that say only "error in connection" at the top.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
