//! How a listener behaves.

use crate::geo::GeoDatabases;
use crate::limits::EdgeLimits;
use atoll_stdx::{Clock, SystemClock};
use atoll_worker::Tracer;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Options of [`crate::Edge::bind`].
#[derive(Debug, Clone)]
pub struct EdgeOptions {
    /// TLS, or plain text.
    pub tls: Option<TlsOptions>,
    /// Share the port with other processes of the same user (`SO_REUSEPORT`), so that a successor can listen before this one
    /// stops. The socket then listens from [`crate::Edge::open`] on, not from its binding.
    pub reuse_port: bool,
    /// How much an error answer tells.
    pub error_detail: ErrorDetail,
    /// Serve `/cdn-cgi/handler/scheduled` and `/__scheduled`, by which a developer fires the `scheduled` handler. Never
    /// on an address that strangers reach.
    pub local_triggers: bool,
    /// Where clients are, if there are databases.
    pub geo: Option<Arc<GeoDatabases>>,
    /// Limits and deadlines.
    pub limits: EdgeLimits,
    /// Makes traces, if any are made.
    pub tracer: Option<Tracing>,
    /// Where connections live, if not on the runtime that accepts them.
    pub homes: Option<Places>,
    /// The wall clock, for a scheduled event without a time of its own.
    pub clock: Arc<dyn Clock>,
}

impl Default for EdgeOptions {
    fn default() -> Self {
        Self {
            tls: None,
            reuse_port: false,
            error_detail: ErrorDetail::Terse,
            local_triggers: false,
            geo: None,
            limits: EdgeLimits::default(),
            tracer: None,
            homes: None,
            clock: Arc::new(SystemClock),
        }
    }
}

/// A tracer, as options hold it.
#[derive(Clone)]
pub struct Tracing(pub Arc<dyn Tracer>);

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracing")
    }
}

/// Where a connection may live.
pub trait Homes: Send + Sync {
    /// The runtime where one that comes now should live; `None` for the one that accepts it. Must not block.
    fn home(&self) -> Option<Handle>;
}

/// Homes, as options hold them.
#[derive(Clone)]
pub struct Places(pub Arc<dyn Homes>);

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Places")
    }
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsOptions {
    /// A new certificate, signed by itself, for these DNS names or IP addresses. For development.
    SelfSigned {
        /// `localhost`, `127.0.0.1` ...
        names: Vec<String>,
    },
    /// PEM files.
    Pem {
        /// The certificate chain, the server's own first.
        certificates: PathBuf,
        /// The private key (PKCS#8, PKCS#1 or SEC1).
        key: PathBuf,
    },
}

/// How much an error answer tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ErrorDetail {
    /// Message, stack and cause; as a page for browsers.
    Developer,
    /// The kind and the request's id, nothing of the worker's inside.
    #[default]
    Terse,
}
