//! The nouns that the control plane, the PoPs and the command line exchange: ids, a worker's version, its bindings,
//! limits and compatibility date.
//!
//! Pure data: no sockets, no files, no engines. A type belongs here only if both planes speak of it; what crosses from
//! the front to an engine lives in `worker`, what only one crate needs lives there.

pub mod assets;
pub mod binding;
pub mod compat;
pub mod ids;
pub mod limits;
pub mod node_modules;
pub mod outbound;
pub mod reference;
pub mod route;
pub mod version;

pub use assets::{AssetsConfig, HtmlHandling, NotFoundHandling, RunWorkerFirst};
pub use binding::{BindingSpec, UnbuiltBinding};
pub use compat::{CompatDate, CompatDateError, CompatFlags};
pub use ids::{NamespaceId, RequestId, TenantId, WorkerName};
pub use limits::{AccountLimits, Limit, LimitFacts, Limits, Unit};
pub use outbound::{AddressEntry, AddressEntryError, OutboundEntry, OutboundRules};
pub use route::{RoutePattern, RoutePatternError};
pub use version::{Module, ModuleKind, WorkerVersion};
