//! The catalog: what every account has, and what the edge has to know of it.
//!
//! Every change is one transaction ([`change`]): its rows, what it does to the edge configuration (a new revision, if
//! anything), its audit entry, and the stored answer to its idempotency key. It is there wholly or not at all, and it is
//! durable when it is answered. The edge configuration is derived: a change only says which entries it has touched, and the
//! transaction makes them anew from the rows ([`edge`]).
//!
//! Invariants:
//! - versions and secrets' values never change once they are stored; what changes is which of them is used;
//! - the entries of the edge configuration are what the rows say ([`Catalog::check`] compares all of them);
//! - revisions count up by one, without gaps;
//! - the audit log is never changed, only added to, and each entry is chained to the one before it;
//! - no operation gives a secret's value or a token back, but [`Catalog::open_secrets`], for whoever starts a worker.

mod accounts;
mod change;
mod cloudflare;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod deployments;
mod edge;
mod error;
mod history;
mod hosts;
mod leader;
mod orphans;
mod pops;
mod routes;
mod schema;
mod secrets;
mod staging;
mod tokens;
mod versions;

pub use accounts::{Account, AccountChange, Namespace};
pub use change::{Caller, Done, Idempotency};
pub use cloudflare::{AssetHash, AssetUpload};
pub use deployments::{Deployment, DeploymentKind, NewDeployment, SplitOf};
pub use error::CatalogError;
pub use history::{AuditRecord, ConfigHead};
pub use hosts::{GUESTS_MAX, Host};
pub use pops::{
    JOIN_TOKEN_LIFE_MAX_MS, JOIN_TOKEN_LIFE_MS, JoinTokenFacts, KV_EDITS_MAX, KV_INLINE_BYTES_MAX, KvEdit, KvLogged,
    KvValue, NewJoinToken, PopRecord, REGION_BYTES_MAX,
};
pub use routes::{Domain, Route};
pub use secrets::{SecretFacts, SecretPut};
pub use staging::{DeploymentFacts, Intent, IntentDelta, KeptStanding, StageWrite, StagedKey, StagedPhase, Withdrawal};
pub use tokens::{Identity, NewToken, Role, TokenFacts, TokenRights};
pub use versions::{KeepSecrets, NewVersion, Version, Worker};

use crate::secrets::Vault;
use atoll_model::Revision;
use atoll_stdx::Clock;
use atoll_store::sql::{Database, SqlError, Transaction, migrate};
use std::sync::Arc;
use tokio::sync::watch;

/// The longest free text of a caller (message, tag, title), bytes.
pub const TEXT_BYTES_MAX: usize = 1_000;
/// The most items of a page.
pub const PAGE_MAX: u32 = 1_000;

type Result<T, E = CatalogError> = std::result::Result<T, E>;

/// See the module. Clones are the same catalog.
#[derive(Debug, Clone)]
pub struct Catalog {
    database: Arc<dyn Database>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    /// The platform's own domains: see `hosts.rs`.
    reserved: Arc<[String]>,
    /// The epoch that this handle's changes belong to; `None`: they are not fenced.
    epoch: Option<u64>,
    /// The newest revision that a change through this handle or its clones has made.
    revised: Arc<watch::Sender<Revision>>,
}

impl Catalog {
    /// Opens the catalog in a database, and brings its schema up to this release's.
    pub async fn open(database: Arc<dyn Database>, vault: Arc<Vault>, clock: Arc<dyn Clock>) -> Result<Self> {
        let now_ms = clock.now_ms();
        migrate(&*database, schema::STEPS, now_ms).await?;
        let catalog = Self {
            database,
            vault,
            clock,
            reserved: Arc::default(),
            epoch: None,
            revised: Arc::new(watch::Sender::new(Revision(0))),
        };
        catalog.database.write(edge::begin).await?;
        Ok(catalog)
    }

    /// Tells of every new revision that comes through this handle or its clones, the newest only. Other processes over the
    /// same database are not seen: who must not miss theirs asks [`Self::config_head`] now and then.
    pub fn revised(&self) -> watch::Receiver<Revision> {
        self.revised.subscribe()
    }

    /// The handle, of a platform whose workers are reached below these domains: no route takes their names.
    #[must_use]
    pub fn with_domains(mut self, domains: &[String]) -> Self {
        self.reserved = domains.iter().map(|domain| domain.to_ascii_lowercase()).collect();
        self
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut dyn Transaction) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.database.read(work).await
    }
}

/// A text of the caller's that is stored as it is.
fn check_text(what: &str, text: &str) -> Result<()> {
    if text.len() > TEXT_BYTES_MAX || text.contains('\0') {
        return Err(CatalogError::Invalid(format!(
            "the {what} is longer than {TEXT_BYTES_MAX} bytes or has NUL in it"
        )));
    }
    Ok(())
}

/// A name that is a part of addresses: lower-case letters, digits, `-` and `_`, at most 63.
fn check_name(what: &str, name: &str) -> Result<()> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !starts || name.len() > 63 || !name.bytes().all(legal) {
        return Err(CatalogError::Invalid(format!(
            "{name:?} is no name of a {what}: 1 to 63 lower-case letters, digits, - and _, the first a letter or a digit"
        )));
    }
    Ok(())
}

/// An id of ours: a UUID.
fn check_uuid(what: &str, id: &str) -> Result<()> {
    match uuid::Uuid::parse_str(id) {
        Ok(read) if read.hyphenated().to_string() == id => Ok(()),
        _ => Err(CatalogError::Invalid(format!(
            "{id:?} is no id of a {what}: a UUID in lower case"
        ))),
    }
}

fn randomness(bytes: &mut [u8]) -> Result<()> {
    aws_lc_rs::rand::fill(bytes)
        .map_err(|_| CatalogError::Sql(SqlError::Failed("the system gives no randomness".into())))
}

/// A new UUID, version 4.
pub fn new_uuid() -> Result<String> {
    let mut bytes = [0; 16];
    randomness(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .hyphenated()
        .to_string())
}

/// A new id of 32 hexadecimal digits: accounts, namespaces, routes.
pub fn new_hex_id() -> Result<String> {
    let mut bytes = [0; 16];
    randomness(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
