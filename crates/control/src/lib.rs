//! The control plane: what accounts have deployed, who may change it, and the record of who did.
//!
//! - [`catalog`]: accounts, workers, versions, deployments, routes, domains, namespaces, secrets, tokens, roles, quotas, in
//!   transactions over a database; each change is one transaction with its audit entry and, where PoPs are concerned, a
//!   new revision of the edge configuration;
//! - [`deployer`]: which of it PoPs run: the canary first, then everybody, and back if it fails;
//! - [`audit`]: the hash chain of the audit log and its verification;
//! - [`secrets`]: envelope encryption of secrets at rest;
//! - [`tokens`]: the form of API tokens and what of them is stored;
//! - [`http`]: the REST API under `/v1` and the listener; [`state`]: what the APIs stand on;
//! - [`upload`]: how an upload becomes a version, with its trial ([`preflight`]);
//! - [`collect`]: blobs that no version needs any more;
//! - [`authority`]: certificates of nodes; [`pops`]: the sessions of PoPs; [`fleet`]: what the APIs need of them;
//! - [`cloudflare`]: the subset of Cloudflare's API that wrangler speaks;
//! - [`telemetry`]: what PoPs tell of the workers' lives.

pub mod audit;
pub mod authority;
pub mod calls;
pub mod catalog;
pub mod cloudflare;
pub mod collect;
pub mod deployer;
pub mod fleet;
pub mod http;
pub mod pops;
pub mod preflight;
pub mod secrets;
pub mod state;
pub mod telemetry;
pub mod tokens;
pub mod upload;

pub use catalog::{Caller, Catalog, CatalogError};
pub use fleet::{Pops, PopsError};
pub use preflight::Preflight;
pub use state::ControlState;
pub use telemetry::Telemetry;
