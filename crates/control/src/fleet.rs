//! What the APIs need of the live PoPs ([`Pops`]). Sessions with PoPs implement it; [`RecordedPops`] does for tests.
//!
//! The catalog is intent. After a change that made a revision, whoever made it calls [`Pops::changed`]; what was missed (a
//! crash between the two) is found when PoPs connect and by the next look at the catalog, so the call is a hint for speed alone.

mod recorded;

pub use recorded::RecordedPops;

use crate::catalog::{Caller, CatalogError};
use async_trait::async_trait;
use atoll_api::rest;
use atoll_model::{DeploymentId, NamespaceId, Revision, TenantId, WorkerName};
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long one question to a PoP may take.
pub const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The most items of a tail that wait for their reader; more are counted and dropped.
pub const TAIL_WAITING_MAX: usize = 1_024;

/// Why PoPs did not do what they were asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PopsError {
    /// None is connected.
    #[error("no PoP is connected; look at `atoll pops` and start one")]
    NoPops,
    /// There is no PoP of that name.
    #[error("there is no PoP \"{0}\"")]
    Unknown(String),
    /// None answered in time.
    #[error("PoP {pop} did not answer within {} s; try again", ANSWER_MAX.as_secs())]
    Late {
        /// Which.
        pop: String,
    },
    /// The PoP refused.
    #[error("PoP {pop} refused: {reason}")]
    Refused {
        /// Which.
        pop: String,
        /// In its words.
        reason: String,
    },
    /// There are as many of these as there may be.
    #[error("there are {limit} {what} already; end one of them or try again later")]
    Full {
        /// What.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// What is asked for does not fit what there is now.
    #[error("{0}")]
    Conflict(String),
    /// It could not be done; this side's fault.
    #[error("{0}")]
    Failed(String),
    /// The caller's words make no sense.
    #[error("{0}")]
    Invalid(String),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// A tail that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailAsk {
    /// Whose worker.
    pub account: TenantId,
    /// Which.
    pub worker: WorkerName,
    /// JSON, as the tails endpoint of Cloudflare's API takes it: `{"filters": [..]}`.
    pub filters: String,
    /// When it ends by itself.
    pub expires_ms: u64,
    /// The most events per second from each PoP; more are counted and dropped.
    pub rate_max: u32,
}

/// What comes of a tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailItem {
    /// An event: one JSON object as a `trace-v1` client takes it.
    Event(String),
    /// Events that matched and are not shown.
    Dropped(u64),
}

/// A tail. Dropping it ends it on the PoPs; it ends by itself when its time is over.
#[derive(Debug)]
pub struct Tail {
    /// How many PoPs are watched as it begins. PoPs that come later are watched, too.
    pub pops: u32,
    /// What comes of it, at most [`TAIL_WAITING_MAX`] waiting.
    pub items: mpsc::Receiver<TailItem>,
}

/// A KV pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvPair {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// JSON.
    pub metadata: Option<String>,
    /// Seconds since the Unix epoch.
    pub expiration: Option<u64>,
}

/// An edit of a namespace. It is one step: a PoP has all of it or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvEdit {
    /// Whose.
    pub account: TenantId,
    /// Which.
    pub namespace: NamespaceId,
    /// What is put.
    pub put: Vec<KvPair>,
    /// What is removed.
    pub delete: Vec<String>,
    /// All of it goes, before anything is put.
    pub clear: bool,
}

/// A part of the keys of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvKeys {
    /// The keys in the order of their bytes, with empty values.
    pub keys: Vec<KvPair>,
    /// Where the next part begins; none: this is the last.
    pub cursor: Option<String>,
}

/// What is asked of a namespace's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvKeysAsk {
    /// Whose.
    pub account: TenantId,
    /// Which.
    pub namespace: NamespaceId,
    /// What keys begin with; may be empty.
    pub prefix: String,
    /// [`KvKeys::cursor`] of the part before.
    pub cursor: Option<String>,
    /// The most keys: 1 to 1,000.
    pub limit: u32,
}

/// What the control plane tells of the whole besides its catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetState {
    /// The newest publication.
    pub publication: u64,
    /// Changes that are not everywhere yet.
    pub staged: u64,
    /// What needs somebody's attention.
    pub alarms: Vec<rest::Alarm>,
}

/// The live PoPs, and what is on its way to them.
#[async_trait]
pub trait Pops: std::fmt::Debug + Send + Sync + 'static {
    /// The catalog has a new revision. Never blocks.
    fn changed(&self, revision: Revision);
    /// Every PoP that ever joined, by name.
    async fn pops(&self) -> Result<Vec<rest::Pop>, PopsError>;
    /// Publications, staged changes, alarms.
    async fn state(&self) -> Result<FleetState, PopsError>;
    /// What was counted since the process began to lead: what, how often.
    fn counted(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
    /// How far a deployment is; `None`: it is not known (any more).
    async fn rollout(
        &self,
        account: &TenantId,
        worker: &WorkerName,
        deployment: &DeploymentId,
    ) -> Result<Option<rest::Rollout>, PopsError>;
    /// Where a PoP that is alive serves its clients: `http://host:port` or `https://host:port`. Not always the same one.
    fn target(&self) -> Option<String>;
    /// Begins a tail.
    async fn tail(&self, ask: TailAsk) -> Result<Tail, PopsError>;
    /// Makes an edit durable and sends it on its way; gives its position. `caller` is for its idempotency key and the audit log.
    async fn kv_edit(&self, caller: &Caller, edit: KvEdit) -> Result<u64, PopsError>;
    /// The values of keys, in their order.
    async fn kv_values(
        &self,
        account: &TenantId,
        namespace: &NamespaceId,
        keys: Vec<String>,
    ) -> Result<Vec<Option<KvPair>>, PopsError>;
    /// Keys of a namespace.
    async fn kv_keys(&self, ask: KvKeysAsk) -> Result<KvKeys, PopsError>;
    /// A join token for one PoP, once. `region` of `None`: the PoP says it.
    async fn join_token(
        &self,
        caller: &Caller,
        region: Option<String>,
        ttl: Duration,
    ) -> Result<rest::JoinToken, PopsError>;
    /// Whose certificates count between nodes, and who has one of the authority that signs.
    async fn authority(&self) -> Result<rest::Authority, PopsError>;
    /// Takes the next step of replacing the authority.
    async fn change_authority(
        &self,
        caller: &Caller,
        change: rest::ChangeAuthority,
    ) -> Result<rest::Authority, PopsError>;
    /// Ends a PoP's certificate and session for good.
    async fn revoke(&self, caller: &Caller, name: &str) -> Result<(), PopsError>;
}
