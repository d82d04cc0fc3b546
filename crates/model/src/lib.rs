//! The nouns that the control plane, the PoPs and the command line exchange: ids, a worker's version, its bindings,
//! limits and compatibility date, the artifact that is uploaded, and the edge configuration that says what runs where.
//!
//! Pure data: no sockets, no files, no engines. A type belongs here only if both planes speak of it; what crosses from
//! the front to an engine lives in `worker`, what only one crate needs lives there.

pub mod access;
pub mod artifact;
pub mod assets;
pub mod binding;
pub mod blob;
pub mod compat;
pub mod edge;
pub mod ids;
pub mod limits;
pub mod node_modules;
pub mod outbound;
pub mod quota;
pub mod reference;
pub mod route;
pub mod version;

pub use access::{Action, Permission, Permissions, Resource};
pub use artifact::{Manifest, ManifestError};
pub use assets::{AssetsConfig, HtmlHandling, NotFoundHandling, RunWorkerFirst};
pub use binding::{BindingSpec, UnbuiltBinding};
pub use blob::BlobHash;
pub use compat::{CompatDate, CompatDateError, CompatFlags};
pub use edge::{ConfigDelta, EdgeConfig, EdgeEntry, EdgeKey, Revision, Share};
pub use ids::{
    AliasName, DeploymentId, DomainName, NamespaceId, PopName, RequestId, SecretName, TenantId, TokenId, VersionId,
    WorkerName,
};
pub use limits::{AccountLimits, Limit, LimitFacts, Limits, Unit};
pub use outbound::{AddressEntry, AddressEntryError, OutboundEntry, OutboundRules};
pub use quota::Quota;
pub use route::{RoutePattern, RoutePatternError};
pub use version::{Module, ModuleKind, WorkerVersion};
