//! The edge configuration: all that a PoP must know to serve, as one immutable, numbered value.
//!
//! It is a set of entries by key. A revision differs from the one before it by a few entries, so what travels is a
//! [`ConfigDelta`], and a new value shares with the old one what did not change. Entries lie in [`BUCKETS`] buckets by the
//! hash of their key; a bucket has a hash over its entries and the configuration one over its buckets ([`hash`]), so
//! both planes know after every delta that they hold the same, at the cost of one bucket.
//!
//! Invariants:
//! - the hash depends on the entries alone: not on their history, not on the revision;
//! - a value that was decoded has passed [`EdgeEntry::check`] for every entry: nothing behind it needs to fear an empty
//!   deployment or shares that do not add up;
//! - what cannot be read is refused as a whole ([`CodecError`], [`ApplyError`]) and the value before it stays.

mod codec;
mod delta;
mod entry;
pub mod hash;
mod standing;
#[cfg(test)]
mod tests;

pub use codec::{CodecError, DELTA_BYTES_MAX, FORMAT_VERSION, FULL_BYTES_MAX};
pub use delta::{ApplyError, Change, ConfigDelta};
pub use entry::{
    ALIASES_MAX, Alias, CRONS_MAX, EdgeAccount, EdgeDomain, EdgeEntry, EdgeKey, EdgeRoute, EdgeWorker, EntryError,
    NAME_BYTES_MAX, RECENT_MAX, SECRETS_MAX, SHARES_MAX, SecretRef, Share, TAG_BYTES_MAX, WEIGHT_WHOLE, check_shares,
    pick,
};
pub use hash::{BUCKETS, Digest};
pub use standing::{Counts, EMPTIED_FROM, Emptied, Standing};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The most entries of a configuration.
pub const ENTRIES_MAX: usize = 2_000_000;

/// The number of an edge configuration. The first one that says anything is 1; each change counts one up, also one that
/// takes another back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[derive(Debug, Clone)]
struct Stored {
    entry: Arc<EdgeEntry>,
    digest: Digest,
}

#[derive(Debug, Clone, Default)]
struct Bucket {
    entries: BTreeMap<EdgeKey, Stored>,
}

impl Bucket {
    fn hash(&self) -> Digest {
        hash::bucket(self.entries.values().map(|stored| stored.digest).collect())
    }
}

/// See the module.
#[derive(Clone)]
pub struct EdgeConfig {
    revision: Revision,
    /// [`BUCKETS`] of them.
    buckets: Vec<Arc<Bucket>>,
    /// Their hashes.
    hashes: Vec<Digest>,
    root: Digest,
    len: usize,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        let hashes = vec![hash::EMPTY_BUCKET; BUCKETS];
        Self {
            revision: Revision(0),
            buckets: vec![Arc::default(); BUCKETS],
            root: hash::root(&hashes),
            hashes,
            len: 0,
        }
    }
}

impl EdgeConfig {
    /// A configuration of these entries; the first that is not well formed is the error. A key that comes twice is an
    /// error, too.
    pub fn from_entries(
        revision: Revision,
        entries: impl IntoIterator<Item = (EdgeKey, EdgeEntry)>,
    ) -> Result<Self, EntryError> {
        let mut buckets = vec![Bucket::default(); BUCKETS];
        let mut len = 0;
        for (key, entry) in entries {
            entry.check(&key)?;
            let (bucket, digest) = hash::place(&key, &entry);
            let stored = Stored {
                entry: Arc::new(entry),
                digest,
            };
            if len == ENTRIES_MAX {
                return Err(EntryError::TooMany { limit: ENTRIES_MAX });
            }
            len += 1;
            let at = key.clone();
            if buckets[bucket].entries.insert(key, stored).is_some() {
                return Err(EntryError::Twice { key: at.to_string() });
            }
        }
        let hashes: Vec<Digest> = buckets.iter().map(Bucket::hash).collect();
        Ok(Self {
            revision,
            buckets: buckets.into_iter().map(Arc::new).collect(),
            root: hash::root(&hashes),
            hashes,
            len,
        })
    }

    /// The same entries under another number. What is counted in its own way (a catalog's changes, publications to PoPs) must
    /// not be mixed: a PoP knows one count.
    #[must_use]
    pub fn renumbered(&self, revision: Revision) -> Self {
        Self {
            revision,
            ..self.clone()
        }
    }

    /// Its number.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The hash over all entries.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entry of a key.
    pub fn get(&self, key: &EdgeKey) -> Option<&Arc<EdgeEntry>> {
        let stored = self.buckets[hash::bucket_of(key)].entries.get(key)?;
        Some(&stored.entry)
    }

    /// All entries, in no order that means anything.
    pub fn entries(&self) -> impl Iterator<Item = (&EdgeKey, &Arc<EdgeEntry>)> {
        self.buckets
            .iter()
            .flat_map(|bucket| bucket.entries.iter().map(|(key, stored)| (key, &stored.entry)))
    }
}

impl fmt::Debug for EdgeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            revision, len, root, ..
        } = self;
        write!(f, "EdgeConfig(revision {revision}, {len} entries, {root:?})")
    }
}

impl PartialEq for EdgeConfig {
    /// Of the same number and with the same entries.
    fn eq(&self, other: &Self) -> bool {
        self.revision == other.revision && self.root == other.root
    }
}
