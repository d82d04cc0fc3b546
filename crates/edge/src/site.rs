//! What stands behind a host name.

use crate::assets::AssetServer;
use atoll_model::{TenantId, WorkerName};
use std::sync::Arc;

/// What answers the requests of a host.
pub struct Site {
    /// Whose it is.
    pub tenant: TenantId,
    /// The worker, if there is one: a site may be assets alone.
    pub worker: Option<WorkerName>,
    /// Static assets, asked before the worker.
    pub assets: Option<Arc<AssetServer>>,
    /// Bytes of a request's body, if not the listener's [`crate::EdgeLimits::body_bytes_max`].
    pub body_bytes_max: Option<u64>,
    /// Every request is answered with this instead (500): the build is broken, for one.
    pub failure: Option<SiteFailure>,
}

/// Why a site cannot serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteFailure {
    /// One line: what failed.
    pub title: String,
    /// Where and why; may have lines. No escape sequences.
    pub detail: String,
}

/// Finds sites.
pub trait Sites: Send + Sync + 'static {
    /// The site of `host` (the name alone, in lower case, without a port) at `path` (as sent, from its `/` to before the
    /// query). Called once per request, on the I/O thread: it must not block. What it returns stays this request's site to
    /// its end, whatever replaces it meanwhile.
    fn site(&self, host: &str, path: &str) -> Option<Arc<Site>>;

    /// A client has named `host` (in lower case) in a TLS handshake: a request for it will probably come. Called on the I/O
    /// thread for every handshake, with whatever strangers send: it must be quick and promise nothing.
    fn expected(&self, _host: &str) {}
}
