//! The control plane: what accounts have deployed, who may change it, and the record of who did.
//!
//! - [`catalog`]: accounts, workers, versions, deployments, routes, domains, namespaces, secrets, tokens, roles, quotas, in
//!   transactions over a database; each change is one transaction with its audit entry and, where PoPs are concerned, a
//!   new revision of the edge configuration;
//! - [`audit`]: the hash chain of the audit log and its verification;
//! - [`secrets`]: envelope encryption of secrets at rest;
//! - [`tokens`]: the form of API tokens and what of them is stored.

pub mod audit;
pub mod catalog;
pub mod secrets;
pub mod tokens;

pub use catalog::{Caller, Catalog, CatalogError};
