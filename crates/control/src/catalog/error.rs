//! Why the catalog refused or failed.

use crate::audit::Broken;
use crate::secrets::VaultError;
use atoll_model::Quota;
use atoll_store::sql::SqlError;

/// What the catalog can answer instead of a result. Nothing of a refused change is stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// It does not exist, or not in this account.
    #[error("there is no {what} \"{name}\"")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// It exists already.
    #[error("{what} \"{name}\" exists already{by}")]
    Exists {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// Whose it is, if that may be said: begins with a space.
        by: String,
    },
    /// Something is not as the change needs it.
    #[error("{0}")]
    Conflict(String),
    /// The caller's words make no sense.
    #[error("{0}")]
    Invalid(String),
    /// The account has as much as it may have.
    #[error("the account's quota {} is {limit}, this would make {found}; remove something or ask the operator for more", quota.key())]
    Quota {
        /// Which.
        quota: Quota,
        /// Its value.
        limit: u64,
        /// What there would be.
        found: u64,
    },
    /// An idempotency key that came with another request before.
    #[error("the idempotency key was used for another request; use a new key for each request")]
    KeyReused,
    /// The token is not known, is expired or revoked. Which, is not said.
    #[error("the API token is not valid; log in again or ask for a new one")]
    Unauthenticated,
    /// Another control plane leads by now.
    #[error("this control plane led in epoch {own}, but {leader} has taken over in epoch {epoch}; ask that one")]
    Deposed {
        /// The epoch of this one.
        own: u64,
        /// The epoch of today.
        epoch: u64,
        /// Who leads.
        leader: String,
    },
    /// A secret cannot be sealed or opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The audit log is not what was written.
    #[error(transparent)]
    Audit(#[from] Broken),
    /// What is stored contradicts itself.
    #[error("the catalog is damaged: {0}; restore it from a copy")]
    Damaged(String),
    /// The database.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl CatalogError {
    pub(super) fn missing(what: &'static str, name: impl ToString) -> Self {
        let name = name.to_string();
        Self::NotFound { what, name }
    }

    pub(super) fn exists(what: &'static str, name: impl ToString) -> Self {
        let (name, by) = (name.to_string(), String::new());
        Self::Exists { what, name, by }
    }
}
