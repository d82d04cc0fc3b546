//! Local durability: what a node keeps on its own disk.
//!
//! Three seams, each with a contract suite that every implementation passes:
//! - [`Keyspace`]: ordered byte keys with atomic durable commits and snapshot reads. [`LsmKeyspace`] (fjall with a group
//!   commit of our own) and [`SimDisk`] (loses what was not synced when it crashes; for the simulator and tests);
//! - [`sql::Database`]: relational records in transactions. SQLite here, PostgreSQL in `backends`;
//! - [`blob::BlobStore`]: bytes by key, conditional writes, content addressing. A directory here, S3 in `backends`;
//!   [`artifact`] keeps signed artifacts in it.
//!
//! Invariants:
//! - a commit is answered `Ok` only after its bytes are on stable storage; readers never see a commit before that;
//! - a commit is atomic: after any crash all of it is there or none;
//! - nothing here blocks the caller's thread: the store owns its threads, and answers through [`Reply`];
//! - everything on disk carries a format version, and a newer one is refused before anything is changed.

pub mod artifact;
pub mod blob;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod error;
mod format;
mod group;
mod keyspace;
mod lsm;
mod queue;
mod sim;
pub mod sql;

pub use error::StoreError;
pub use format::FORMAT_VERSION;
pub use keyspace::{
    BATCH_BYTES_MAX, BATCH_OPS_MAX, Batch, CommitSeq, Filter, KEY_BYTES_MAX, Keyspace, PAGE_BYTES_MAX, Page,
    RESERVED_FIRST_BYTE, Reply, SCAN_EXAMINE_MAX, Scan, VALUE_BYTES_MAX, Verdict,
};
pub use lsm::{LsmKeyspace, LsmOptions, LsmStats};
pub use sim::{SimDisk, SimKeyspace};
