//! What stands behind a host name.

use crate::assets::AssetServer;
use atoll_model::{TenantId, VersionId, WorkerName};
use atoll_worker::{Fault, RouteNumber};
use http::HeaderMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What answers the requests of a host.
pub struct Site {
    /// Whose it is.
    pub tenant: TenantId,
    /// The worker, if there is one: a site may be assets alone.
    pub worker: Option<WorkerName>,
    /// The version that answers, where several serve.
    pub version: Option<VersionId>,
    /// Static assets, asked before the worker.
    pub assets: Option<Arc<AssetServer>>,
    /// Bytes of a request's body, if not the listener's [`crate::EdgeLimits::body_bytes_max`].
    pub body_bytes_max: Option<u64>,
    /// Every request is answered with this instead (500): the build is broken, for one.
    pub failure: Option<SiteFailure>,
}

impl Site {
    /// Its worker, if every request is for it, whatever it asks for.
    pub(crate) fn asks_at_once(&self) -> Option<&WorkerName> {
        let alone = self.assets.is_none() && self.failure.is_none();
        self.worker.as_ref().filter(|_| alone)
    }
}

/// Why a site cannot serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteFailure {
    /// One line: what failed.
    pub title: String,
    /// Where and why; may have lines. No escape sequences.
    pub detail: String,
}

/// What a site is looked up by.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The host's name alone, in lower case, without a port.
    pub host: &'a str,
    /// As sent, from its `/` to before the query.
    pub path: &'a str,
    /// The request's.
    pub headers: &'a HeaderMap,
}

/// A site that is being made ready.
pub type Soon = Pin<Box<dyn Future<Output = Found> + Send>>;

/// What was found.
pub enum Found {
    /// Nothing is served there.
    Nothing,
    /// This answers.
    Site(Arc<Site>),
    /// Something answers, once it is there.
    Soon(Soon),
    /// Something would answer, but its account is suspended.
    Suspended,
    /// Something would answer, but cannot be had.
    Failed(Fault),
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Site(site) => write!(f, "Site({} {:?} {:?})", site.tenant, site.worker, site.version),
            Self::Soon(_) => f.write_str("Soon"),
            Self::Suspended => f.write_str("Suspended"),
            Self::Failed(fault) => write!(f, "Failed({fault})"),
        }
    }
}

/// What a request was found to lead to.
#[derive(Debug)]
pub struct Lookup {
    /// What answers it.
    pub found: Found,
    /// What led there; none: the worker's own name did.
    pub route: Option<Led>,
}

/// What led a request to its site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Led {
    /// The route's pattern, or the custom domain's name.
    pub pattern: Arc<str>,
    /// What stands for it where the event goes, if it is counted.
    pub number: Option<RouteNumber>,
}

impl From<Found> for Lookup {
    fn from(found: Found) -> Self {
        Self { found, route: None }
    }
}

/// Finds sites.
pub trait Sites: Send + Sync + 'static {
    /// The site of `host` (the name alone, in lower case, without a port) at `path` (as sent, from its `/` to before the
    /// query). It must not block. What it returns stays this request's site to its end, whatever replaces it meanwhile.
    fn site(&self, host: &str, path: &str) -> Option<Arc<Site>>;

    /// What answers a request. Called once for each, on the I/O thread: it must not block.
    fn find(&self, asked: &Asked<'_>) -> Lookup {
        self.site(asked.host, asked.path)
            .map_or(Found::Nothing, Found::Site)
            .into()
    }

    /// A client has named `host` (in lower case) in a TLS handshake: a request for it will probably come. Called on the I/O
    /// thread for every handshake, with whatever strangers send: it must be quick and promise nothing.
    fn expected(&self, _host: &str) {}
}
