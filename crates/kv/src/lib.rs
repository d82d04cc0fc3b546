//! Workers KV: namespaces of keys with values, metadata and expiration, over one ordered keyspace.
//!
//! [`Kv`] is a store of namespaces; [`Namespace`] is one of them, scoped to its tenant in every stored key. Semantics and
//! messages are the platform's (Workers KV documentation; messages as Miniflare and `workerd` give them), with one thing
//! stronger: a write that returned is durable and visible to every later read on this node.
//!
//! Invariants:
//! - a key's record, its index entry and its expiry entry change in one atomic commit, so they agree after any crash;
//! - an expired key is hidden from reads and lists from that second on, whether or not the sweep has come to it;
//! - the sweep removes a key only if it still is the one it saw: it never removes a newer write.
//!
//! Failure: what breaks a rule is refused before the store is touched; what the store refuses is passed on with its reason;
//! an operation that takes longer than [`limits::OPERATION_SECS_MAX`] is given up (a write may still be stored).

mod check;
mod cursor;
mod error;
mod keys;
pub mod limits;
mod namespace;
mod record;
mod sweep;
#[cfg(test)]
mod tests;

pub use check::{Inspection, inspect};
pub use error::{Fault, KvError, Operation};
pub use namespace::{Entry, Key, List, ListOptions, Namespace, Put};
pub use record::RECORD_VERSION;
pub use sweep::{SWEEP_BATCH_MAX, SweepReport};

use atoll_model::{NamespaceId, TenantId};
use atoll_stdx::Clock;
use atoll_store::Keyspace;
use std::sync::Arc;

/// All namespaces of a node. Clones are handles to the same store.
#[derive(Debug, Clone)]
pub struct Kv {
    keyspace: Arc<dyn Keyspace>,
    clock: Arc<dyn Clock>,
}

impl Kv {
    /// Namespaces in `keyspace`, with expirations by `clock`.
    pub fn new(keyspace: Arc<dyn Keyspace>, clock: Arc<dyn Clock>) -> Self {
        Self { keyspace, clock }
    }

    /// One namespace. It exists as soon as something is written to it.
    ///
    /// # Errors
    /// [`KvError::Scope`] for an empty or overlong id.
    pub fn namespace(&self, tenant: &TenantId, namespace: &NamespaceId) -> Result<Namespace, KvError> {
        Namespace::open(self.clone(), tenant.as_str(), namespace.as_str())
    }
}
