//! Why a KV operation was refused or failed, in the words that developers know from the platform.

use crate::limits::*;
use atoll_store::StoreError;

/// An operation, as the platform's messages name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reading one key.
    Get,
    /// Reading several.
    GetBulk,
    /// Writing.
    Put,
    /// Deleting.
    Delete,
    /// Listing; the platform's messages call it a GET.
    List,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Get | Self::List => "GET",
            Self::GetBulk => "GET_BULK",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        })
    }
}

/// Whose fault, and therefore what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An argument that no store would take; the platform throws a `TypeError`.
    Argument,
    /// A rule or limit of the store; trying the same again fails again.
    Rule,
    /// The store; trying again may work.
    Store,
}

/// A KV operation that did not happen (or, for [`KvError::Store`] and [`KvError::Deadline`], may not have).
#[derive(Debug, Clone, thiserror::Error)]
pub enum KvError {
    /// A key that can never be one.
    #[error("{0}")]
    KeyName(&'static str),
    /// A rule or limit.
    #[error("KV {operation} failed: {status} {message}")]
    Rejected {
        /// What was tried.
        operation: Operation,
        /// The number the platform puts into its message. Text only: nobody answers a request with it.
        status: u16,
        /// The rule, the limit and the value.
        message: String,
    },
    /// A tenant's or namespace's id that cannot be stored.
    #[error("a {what} id of {got} bytes is not between 1 and {SCOPE_ID_BYTES_MAX} bytes long")]
    Scope {
        /// Which id.
        what: &'static str,
        /// Its length in bytes.
        got: usize,
    },
    /// A record written by a newer release.
    #[error(
        "KV {operation} failed: the record has format {found}, this release reads up to {supported}; start the newer release \
         that wrote it"
    )]
    NewerRecord {
        /// What was tried.
        operation: Operation,
        /// The record's version.
        found: u8,
        /// The newest this release reads.
        supported: u8,
    },
    /// A record that is not what was written.
    #[error("KV {operation} failed: a stored record is damaged ({detail}); restore the store from a copy")]
    Damaged {
        /// What was tried.
        operation: Operation,
        /// What did not fit.
        detail: &'static str,
    },
    /// The store refused or failed.
    #[error("KV {operation} failed: {source}")]
    Store {
        /// What was tried.
        operation: Operation,
        /// Why.
        source: StoreError,
    },
    /// The store did not answer in time.
    #[error(
        "KV {operation} failed: the store did not answer within {OPERATION_SECS_MAX} s; a write may still be stored"
    )]
    Deadline {
        /// What was tried.
        operation: Operation,
    },
}

impl KvError {
    pub(crate) fn rejected(operation: Operation, status: u16, message: String) -> Self {
        Self::Rejected {
            operation,
            status,
            message,
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::KeyName(_) => Fault::Argument,
            Self::Rejected { .. } | Self::Scope { .. } => Fault::Rule,
            Self::NewerRecord { .. } | Self::Damaged { .. } | Self::Store { .. } | Self::Deadline { .. } => {
                Fault::Store
            }
        }
    }
}
