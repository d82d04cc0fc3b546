//! What the APIs of a control plane stand on: one value that they share.

use crate::calls::Calls;
use crate::catalog::Catalog;
use crate::fleet::Pops;
use crate::preflight::Preflight;
use crate::telemetry::Telemetry;
use atoll_model::VersionId;
use atoll_stdx::Clock;
use atoll_store::artifact::{SigningKey, TrustedKeys};
use atoll_store::blob::BlobStore;
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// See the module. Shared as an `Arc`.
pub struct ControlState {
    /// The catalog while this control plane leads, as the handle that belongs to its epoch; `None`: another one leads, and what
    /// needs a leader is answered 503. A request uses the handle that it found when it began.
    pub leading: watch::Receiver<Option<Catalog>>,
    /// The catalog to read from, whoever leads. Of no epoch: nothing is changed through it.
    pub reading: Catalog,
    /// Modules, assets, manifests, signatures.
    pub blobs: Arc<dyn BlobStore>,
    /// Signs artifacts.
    pub signing: Arc<SigningKey>,
    /// Whose artifacts count: the signing key's, and those of keys that were used before it.
    pub trusted: TrustedKeys,
    /// Tries uploads.
    pub preflight: Arc<dyn Preflight>,
    /// The live PoPs.
    pub pops: Arc<dyn Pops>,
    /// What PoPs tell of the workers' lives.
    pub telemetry: Arc<dyn Telemetry>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Where workers are reached.
    pub addresses: Addresses,
    /// This release, as it is shown.
    pub release: String,
    /// What became of the calls.
    pub calls: Arc<Calls>,
    /// The text of `/metrics`, OpenMetrics.
    pub metrics: Metrics,
}

/// Makes the text of `/metrics`.
pub type Metrics = Arc<dyn Fn() -> BoxFuture<'static, Result<String, fmt::Error>> + Send + Sync>;

impl fmt::Debug for ControlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { release, addresses, .. } = self;
        write!(f, "ControlState({release}, {addresses:?})")
    }
}

/// This control plane does not lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this control plane does not lead; another one does, or none has begun to yet")]
pub struct NotLeading;

/// A leader's name in the catalog: its address, if it has one that others can use, and its process.
pub fn leader_name(url: Option<&str>, listens: &dyn fmt::Display, pid: u32) -> String {
    match url {
        Some(url) => format!("{url} (process {pid})"),
        None => format!("{listens} (process {pid})"),
    }
}

/// The address in a leader's name.
pub fn leader_url(name: &str) -> Option<&str> {
    let url = name.split(' ').next()?;
    (url.starts_with("https://") || url.starts_with("http://")).then_some(url)
}

impl ControlState {
    /// The catalog, if this control plane leads.
    pub fn catalog(&self) -> Result<Catalog, NotLeading> {
        self.leading.borrow().clone().ok_or(NotLeading)
    }
}

/// Where workers are reached: `WORKER.SUBDOMAIN.DOMAIN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The platform's domains.
    pub domains: Vec<String>,
    /// `http` or `https`.
    pub scheme: String,
    /// The port that clients come to, if it is not the scheme's own.
    pub port: Option<u16>,
}

impl Addresses {
    /// URLs of a name below an account's subdomain, one for each domain.
    fn of(&self, name: &str, subdomain: Option<&str>) -> Vec<String> {
        let Some(subdomain) = subdomain else {
            return Vec::new();
        };
        let port = self.port.map_or_else(String::new, |port| format!(":{port}"));
        let url = |domain: &String| format!("{}://{name}.{subdomain}.{domain}{port}", self.scheme);
        self.domains.iter().map(url).collect()
    }

    /// Of a worker. `subdomain`: its account's, if it has chosen one.
    pub fn worker(&self, worker: &str, subdomain: Option<&str>) -> Vec<String> {
        self.of(worker, subdomain)
    }

    /// Of an alias.
    pub fn alias(&self, alias: &str, worker: &str, subdomain: Option<&str>) -> Vec<String> {
        self.of(&format!("{alias}-{worker}"), subdomain)
    }

    /// Of a version: the first eight digits of its id.
    pub fn version(&self, version: &VersionId, worker: &str, subdomain: Option<&str>) -> Vec<String> {
        let first: String = version.as_str().chars().take(8).collect();
        self.of(&format!("{first}-{worker}"), subdomain)
    }
}
