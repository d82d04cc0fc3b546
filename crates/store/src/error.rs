//! Why a store refused or failed, on what, and what to do about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a store can answer instead of a result. Cheap to clone: one failed sync is told to every waiter of its group.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process (or another handle in this one) has the directory open.
    #[error(
        "the store in {} is open in another process{}; stop that process or choose another directory",
        path.display(),
        holder.map_or_else(String::new, |pid| format!(" (pid {pid})"))
    )]
    Locked {
        /// The store's directory.
        path: PathBuf,
        /// Who holds it, where known.
        holder: Option<u32>,
    },
    /// Written by a newer release.
    #[error(
        "the store in {} has format {found}, this release reads up to {supported}; start the newer release that wrote it, \
         or restore a copy from before the upgrade",
        path.display()
    )]
    NewerFormat {
        /// The store's directory.
        path: PathBuf,
        /// The version on disk.
        found: u32,
        /// The newest version this release reads.
        supported: u32,
    },
    /// The directory holds something that is not a store of ours.
    #[error("{} is not an Atoll store: {detail}; choose an empty directory or restore the missing file", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// Bytes on disk are not what was written.
    #[error("the store in {} is damaged: {detail}; restore it from a copy", path.display())]
    Corrupt {
        /// The store's directory.
        path: PathBuf,
        /// What did not fit.
        detail: String,
    },
    /// Commits that had been acknowledged are missing after recovery: the disk lost or damaged synced bytes.
    #[error(
        "the store in {} lost acknowledged commits {} to {acknowledged}: the disk damaged synced data; restore it from a \
         copy, or delete the file {} to go on without them",
        path.display(), recovered + 1, marker.display()
    )]
    LostCommits {
        /// The store's directory.
        path: PathBuf,
        /// The last commit that recovery found.
        recovered: u64,
        /// The last commit that was acknowledged.
        acknowledged: u64,
        /// The file that knows of the acknowledgement.
        marker: PathBuf,
    },
    /// Too little room on the disk to accept a write. Nothing was written; reads go on; writes work again once there is
    /// room.
    #[error(
        "no room for a write: {} has {available} bytes free and {reserve} are kept in reserve; free some space",
        path.display()
    )]
    DiskFull {
        /// The store's directory.
        path: PathBuf,
        /// Bytes free on its file system.
        available: u64,
        /// Bytes that must stay free.
        reserve: u64,
    },
    /// An operation of the file system failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Arc<std::io::Error>,
    },
    /// A write failed half way. It and whatever waited with it may or may not be stored; the store takes no more writes.
    #[error(
        "writing failed ({cause}); it is unknown whether this write is stored, and the store is closed for writes until it is reopened"
    )]
    WriteFailed {
        /// What the engine said.
        cause: Arc<str>,
    },
    /// The store is closed, or closed itself after a failed write.
    #[error("the store is closed: {reason}")]
    Closed {
        /// Why.
        reason: Arc<str>,
    },
    /// More work is queued than the store takes.
    #[error("the store has {limit} {what} waiting; try again later")]
    Overloaded {
        /// What is queued.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// A bound of the interface is broken; the caller's fault.
    #[error("{what} of {got} bytes breaks the store's limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        got: usize,
        /// The bound.
        limit: usize,
    },
    /// A batch has too many operations; the caller's fault.
    #[error("a batch of {got} operations breaks the store's limit of {limit}")]
    TooMany {
        /// How many.
        got: usize,
        /// The bound.
        limit: usize,
    },
    /// A key the store keeps for itself, or an empty one; the caller's fault.
    #[error("a key must not be empty nor start with byte {}", crate::RESERVED_FIRST_BYTE)]
    ReservedKey,
    /// What the batch expected of a key was not so; nothing of it was written.
    #[error("a key has changed since it was read")]
    Conflict,
}

impl StoreError {
    /// An operation of the file system failed.
    pub(crate) fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            doing,
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }

    /// A store that takes no more work.
    pub(crate) fn closed(reason: impl Into<Arc<str>>) -> Self {
        Self::Closed { reason: reason.into() }
    }
}
