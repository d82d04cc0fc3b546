//! What keeps a directory from being served.

use atoll_assets::{FILE_BYTES_MAX, FILES_MAX, WorkerFirstError};
use std::path::PathBuf;

/// Why [`super::AssetServer::open`] or [`super::AssetServer::rescan`] failed. All but [`AssetError::Io`] and
/// [`AssetError::NoRuntime`] are for the worker's developer to change; after a failed rescan what was served before is
/// served on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssetError {
    /// The directory is missing or is no directory.
    #[error("the assets directory {path} cannot be used: {reason}")]
    Directory {
        /// The directory, as configured.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A file or directory cannot be read.
    #[error("the asset {path} cannot be read: {reason}")]
    Io {
        /// The path inside the assets directory.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// Too many files.
    #[error(
        "the assets directory has more than {FILES_MAX} files: name the right directory, or leave some out with \
         .assetsignore"
    )]
    TooManyFiles,
    /// A file is too large.
    #[error(
        "the asset {path} has {size} bytes, more than the {FILE_BYTES_MAX} allowed: leave it out with .assetsignore, or \
         keep it in object storage"
    )]
    FileTooLarge {
        /// The path inside the assets directory.
        path: String,
        /// Bytes.
        size: u64,
    },
    /// A rule file is too large to be one.
    #[error("{name} has {size} bytes, more than the {limit} allowed")]
    RuleFileTooLarge {
        /// `_redirects`, `_headers` or `.assetsignore`.
        name: &'static str,
        /// Bytes.
        size: u64,
        /// The limit, bytes.
        limit: u64,
    },
    /// `run_worker_first` cannot be used.
    #[error(transparent)]
    WorkerFirst(#[from] WorkerFirstError),
    /// Opened outside of a tokio runtime, on which files would be read.
    #[error("assets were opened outside of a runtime")]
    NoRuntime,
}
