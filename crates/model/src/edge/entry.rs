//! The entries of an edge configuration and what makes one well formed.
//!
//! A worker's entry says which versions serve which share and where each one's artifact is; all else of a version (modules,
//! bindings, limits, dates) is in the artifact's manifest, which is immutable and found by its hash. So an entry is small,
//! and a deployment changes one.

use crate::limits::{AccountLimits, Limits};
use crate::{AliasName, BlobHash, DeploymentId, DomainName, RoutePattern, SecretName, TenantId, VersionId, WorkerName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fmt;

/// The longest name or id, bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// The sum of the weights of a deployment's shares: a weight is a hundredth of a percent.
pub const WEIGHT_WHOLE: u16 = 10_000;
/// The most versions that serve at a time.
pub const SHARES_MAX: usize = 8;
/// The most aliases of a worker.
pub const ALIASES_MAX: usize = 1_000;
/// The most cron expressions of a worker.
pub const CRONS_MAX: usize = 250;
/// The longest tag of a version, bytes.
pub const TAG_BYTES_MAX: usize = 1_000;
/// The most versions that have addresses of their own and no share.
pub const RECENT_MAX: usize = 10;
/// The most secrets of a version.
pub const SECRETS_MAX: usize = 1_000;

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EdgeKey {
    /// An account.
    Account(TenantId),
    /// A worker of an account.
    Worker(TenantId, WorkerName),
    /// A route, by its pattern as [`RoutePattern`] writes it. A pattern is one account's.
    Route(String),
    /// A custom domain.
    Domain(DomainName),
}

impl fmt::Display for EdgeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => write!(f, "account {account}"),
            Self::Worker(account, worker) => write!(f, "worker {worker} of account {account}"),
            Self::Route(pattern) => write!(f, "route {pattern}"),
            Self::Domain(name) => write!(f, "domain {name}"),
        }
    }
}

/// What a PoP must know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EdgeEntry {
    /// See [`EdgeAccount`].
    Account(EdgeAccount),
    /// See [`EdgeWorker`].
    Worker(EdgeWorker),
    /// See [`EdgeRoute`].
    Route(EdgeRoute),
    /// See [`EdgeDomain`].
    Domain(EdgeDomain),
}

/// An account: what its workers may use together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeAccount {
    /// Its workers are not run; requests to them are refused.
    pub suspended: bool,
    /// Limits that differ from the default, by key: of [`AccountLimits`] and, as ceilings, of [`Limits`].
    pub limits: BTreeMap<String, u64>,
    /// The label below the platform's own domains under which its workers are reached: `WORKER.LABEL.DOMAIN`. One account's.
    pub subdomain: Option<String>,
}

impl EdgeAccount {
    /// The keys of limits that are an account's own.
    pub const OWN_LIMITS: [&'static str; 3] = ["tenant_in_flight_max", "log_bytes_per_second", "log_burst_bytes"];

    /// The account's limits over these defaults. The error is a key that is not known.
    pub fn limits_over(&self, mut limits: AccountLimits) -> Result<AccountLimits, &str> {
        for (key, value) in &self.limits {
            match key.as_str() {
                "tenant_in_flight_max" => limits.in_flight_max = u32::try_from(*value).unwrap_or(u32::MAX),
                "log_bytes_per_second" => limits.log_bytes_per_second = *value,
                "log_burst_bytes" => limits.log_burst_bytes = *value,
                other if limits.worker.set(other, *value) => {}
                other => return Err(other),
            }
        }
        Ok(limits)
    }
}

/// A version's share of the traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Which version.
    pub version: VersionId,
    /// The manifest of its artifact.
    pub artifact: BlobHash,
    /// Hundredths of a percent; all shares together are [`WEIGHT_WHOLE`].
    pub weight: u16,
    /// Its secrets. Their values are asked for when the version is started.
    pub secrets: Vec<SecretRef>,
    /// When the version was made, milliseconds since the Unix epoch: its metadata's `timestamp`.
    pub created_ms: u64,
    /// Its metadata's `tag`.
    pub tag: Option<String>,
}

/// A secret of a version: a name, and which of its values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SecretRef {
    /// Its name, which is the binding's.
    pub name: SecretName,
    /// Counts up with every value that the name is given.
    pub revision: u64,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeWorker {
    /// The deployment that the shares are of.
    pub deployment: DeploymentId,
    /// Who serves. In the order in which they divide the range of the sticky hash: a version whose share grows keeps
    /// whom it had if it stands first.
    pub shares: Vec<Share>,
    /// Names for versions beside the deployment.
    pub aliases: Vec<Alias>,
    /// The newest versions that have no share (their weights are 0): reached at addresses of their own. Empty without
    /// `previews`.
    pub recent: Vec<Share>,
    /// Cron expressions.
    pub crons: Vec<String>,
    /// Is it reached at its name below the platform's own domain?
    pub subdomain: bool,
    /// Are its versions reached at addresses of their own?
    pub previews: bool,
}

/// A name that points at one version, or at two with weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Its name.
    pub name: AliasName,
    /// Who serves.
    pub shares: Vec<Share>,
}

/// Whose the requests of a pattern are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeRoute {
    /// The account.
    pub account: TenantId,
    /// The worker; `None`: no worker, whatever a wider pattern says.
    pub worker: Option<WorkerName>,
}

/// Whose the requests of a host are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeDomain {
    /// The account.
    pub account: TenantId,
    /// The worker.
    pub worker: WorkerName,
}

/// An entry that is not well formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// A key and an entry of different kinds.
    #[error("the entry of {key} is of another kind than its key")]
    Kind {
        /// The key.
        key: String,
    },
    /// A key that came before.
    #[error("{key} stands twice in the configuration")]
    Twice {
        /// The key.
        key: String,
    },
    /// More than [`super::ENTRIES_MAX`].
    #[error("the configuration has more than {limit} entries")]
    TooMany {
        /// The bound.
        limit: usize,
    },
    /// Something in it is out of its bounds.
    #[error("{key}: {what}")]
    Content {
        /// The key.
        key: String,
        /// What is wrong.
        what: String,
    },
}

/// Are these shares that can serve: one or more, at most [`SHARES_MAX`], of different versions, none without weight, and
/// [`WEIGHT_WHOLE`] in all?
pub fn check_shares(shares: &[Share]) -> Result<(), String> {
    if shares.is_empty() || shares.len() > SHARES_MAX {
        return Err(format!("it has {} versions; 1 to {SHARES_MAX} can serve", shares.len()));
    }
    let mut seen = HashSet::new();
    let mut sum = 0u32;
    for share in shares {
        name("version", share.version.as_str())?;
        if !seen.insert(&share.version) {
            return Err(format!("version {} has two shares", share.version));
        }
        if share.weight == 0 {
            return Err(format!("version {} has a share of nothing", share.version));
        }
        sum += u32::from(share.weight);
        check_version(share)?;
    }
    if sum != u32::from(WEIGHT_WHOLE) {
        return Err(format!("its shares are {} % in all, not 100 %", f64::from(sum) / 100.0));
    }
    Ok(())
}

/// What a share says of its version.
fn check_version(share: &Share) -> Result<(), String> {
    bound("secrets", share.secrets.len(), SECRETS_MAX)?;
    let mut names = HashSet::new();
    for secret in &share.secrets {
        name("secret", secret.name.as_str())?;
        if !names.insert(&secret.name) {
            return Err(format!("secret {} stands twice", secret.name));
        }
    }
    if share.tag.as_ref().is_some_and(|tag| tag.len() > TAG_BYTES_MAX) {
        return Err(format!(
            "the tag of version {} is longer than {TAG_BYTES_MAX} bytes",
            share.version
        ));
    }
    Ok(())
}

/// The share that a request belongs to whose sticky hash is `point`, of `0..WEIGHT_WHOLE` (what is beyond counts as the
/// end). `None` only if there are no shares.
pub fn pick(shares: &[Share], point: u16) -> Option<&Share> {
    let mut end = 0u32;
    shares
        .iter()
        .find(|share| {
            end += u32::from(share.weight);
            u32::from(point) < end
        })
        .or(shares.last())
}

impl EdgeEntry {
    /// Is it well formed, as the entry of `key`?
    pub fn check(&self, key: &EdgeKey) -> Result<(), EntryError> {
        let checked = match (key, self) {
            (EdgeKey::Account(id), Self::Account(entry)) => check_account(id, entry),
            (EdgeKey::Worker(account, worker), Self::Worker(entry)) => check_worker(account, worker, entry),
            (EdgeKey::Route(pattern), Self::Route(entry)) => check_route(pattern, entry),
            (EdgeKey::Domain(domain), Self::Domain(entry)) => check_domain(domain, entry),
            _ => return Err(EntryError::Kind { key: key.to_string() }),
        };
        checked.map_err(|what| EntryError::Content {
            key: key.to_string(),
            what,
        })
    }
}

fn bound(what: &str, found: usize, limit: usize) -> Result<(), String> {
    if found > limit {
        return Err(format!("it has {found} {what}; {limit} is the most"));
    }
    Ok(())
}

fn name(what: &str, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("its {what} has no name"));
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(format!("the name of its {what} is longer than {NAME_BYTES_MAX} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("the name of its {what} has control characters"));
    }
    Ok(())
}

fn check_account(id: &TenantId, entry: &EdgeAccount) -> Result<(), String> {
    name("account", id.as_str())?;
    if let Some(label) = &entry.subdomain {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let edges = label.starts_with('-') || label.ends_with('-');
        if label.is_empty() || label.len() > 63 || edges || !label.bytes().all(legal) {
            return Err(format!("\"{label}\" is no label of a host name"));
        }
    }
    let mut limits = Limits::default();
    for key in entry.limits.keys() {
        if !EdgeAccount::OWN_LIMITS.contains(&key.as_str()) && !limits.set(key, 0) {
            return Err(format!(
                "the limit \"{key}\" is not known to this release; upgrade it first"
            ));
        }
    }
    Ok(())
}

fn check_worker(account: &TenantId, worker: &WorkerName, entry: &EdgeWorker) -> Result<(), String> {
    name("account", account.as_str())?;
    name("worker", worker.as_str())?;
    name("deployment", entry.deployment.as_str())?;
    check_shares(&entry.shares)?;
    bound("aliases", entry.aliases.len(), ALIASES_MAX)?;
    let mut seen = HashSet::new();
    for alias in &entry.aliases {
        name("alias", alias.name.as_str())?;
        if !seen.insert(&alias.name) {
            return Err(format!("alias {} stands twice", alias.name));
        }
        if alias.shares.len() > 2 {
            return Err(format!("alias {} points at more than two versions", alias.name));
        }
        check_shares(&alias.shares).map_err(|what| format!("alias {}: {what}", alias.name))?;
    }
    bound("versions without a share", entry.recent.len(), RECENT_MAX)?;
    let mut seen = HashSet::new();
    for recent in &entry.recent {
        name("version", recent.version.as_str())?;
        check_version(recent)?;
        if recent.weight != 0 || !seen.insert(&recent.version) {
            return Err(format!(
                "version {} without a share has one, or stands twice",
                recent.version
            ));
        }
    }
    bound("cron expressions", entry.crons.len(), CRONS_MAX)?;
    entry.crons.iter().try_for_each(|cron| name("cron expression", cron))
}

fn check_route(pattern: &str, entry: &EdgeRoute) -> Result<(), String> {
    let read = RoutePattern::parse(pattern).map_err(|error| error.to_string())?;
    if read.to_string() != pattern {
        return Err(format!("the pattern's one spelling is \"{read}\""));
    }
    name("account", entry.account.as_str())?;
    entry
        .worker
        .iter()
        .try_for_each(|worker| name("worker", worker.as_str()))
}

fn check_domain(domain: &DomainName, entry: &EdgeDomain) -> Result<(), String> {
    name("domain", domain.as_str())?;
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    let text = domain.as_str();
    let labels_fit = text.split('.').all(|label| !label.is_empty() && label.len() <= 63);
    if !text.chars().all(legal) || !labels_fit {
        return Err("a domain is a host name in lower case, without a trailing dot".to_owned());
    }
    name("account", entry.account.as_str())?;
    name("worker", entry.worker.as_str())
}
