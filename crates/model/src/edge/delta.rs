//! What changed between two revisions, and how it is applied.

use super::{Bucket, Digest, ENTRIES_MAX, EdgeConfig, EdgeEntry, EdgeKey, EntryError, Revision, Stored, hash};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One changed entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub key: EdgeKey,
    /// What it is now; `None`: it is gone.
    pub entry: Option<EdgeEntry>,
}

/// The way from one revision to a later one. Whoever holds exactly `from` with exactly `from_root` can apply it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigDelta {
    /// The revision that it changes.
    pub from: Revision,
    /// Its hash.
    pub from_root: Digest,
    /// The revision that it makes.
    pub to: Revision,
    /// Its hash.
    pub to_root: Digest,
    /// In the order of the keys; a key stands once.
    pub changes: Vec<Change>,
}

/// Why a delta does not apply. The configuration it was applied to is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// It changes another revision.
    #[error(
        "the change leads from revision {from} to {to}, but revision {have} is here; ask for the changes since {have}"
    )]
    Base {
        /// What it changes.
        from: Revision,
        /// What it makes.
        to: Revision,
        /// What is here.
        have: Revision,
    },
    /// It does not lead forward.
    #[error("the change leads from revision {from} back to {to}")]
    Backward {
        /// What it changes.
        from: Revision,
        /// What it makes.
        to: Revision,
    },
    /// The same number, but other entries.
    #[error("revision {revision} is not the same on both sides; ask for the whole configuration")]
    Diverged {
        /// The revision.
        revision: Revision,
    },
    /// What comes out is not what the sender has.
    #[error("applying the change did not make the revision {to} that its sender has; ask for the whole configuration")]
    Result {
        /// The revision.
        to: Revision,
    },
    /// An entry of it is not well formed.
    #[error(transparent)]
    Entry(#[from] EntryError),
}

impl ConfigDelta {
    /// Checks what can be checked without the configuration: entries, order, direction.
    pub fn check(&self) -> Result<(), ApplyError> {
        if self.to <= self.from {
            return Err(ApplyError::Backward {
                from: self.from,
                to: self.to,
            });
        }
        for pair in self.changes.windows(2) {
            if pair[0].key >= pair[1].key {
                let key = pair[1].key.to_string();
                return Err(EntryError::Twice { key }.into());
            }
        }
        for change in &self.changes {
            if let Some(entry) = &change.entry {
                entry.check(&change.key)?;
            }
        }
        Ok(())
    }

    /// This change and the one that follows it, as one. `None` if `next` does not follow.
    pub fn then(self, next: Self) -> Option<Self> {
        if self.to != next.from || self.to_root != next.from_root {
            return None;
        }
        let mut changes: BTreeMap<EdgeKey, Option<EdgeEntry>> = BTreeMap::new();
        for change in self.changes.into_iter().chain(next.changes) {
            changes.insert(change.key, change.entry);
        }
        Some(Self {
            from: self.from,
            from_root: self.from_root,
            to: next.to,
            to_root: next.to_root,
            changes: changes.into_iter().map(|(key, entry)| Change { key, entry }).collect(),
        })
    }
}

impl EdgeConfig {
    /// The configuration that the delta leads to. What did not change is shared with `self`.
    pub fn apply(&self, delta: &ConfigDelta) -> Result<Self, ApplyError> {
        delta.check()?;
        if delta.from != self.revision {
            return Err(ApplyError::Base {
                from: delta.from,
                to: delta.to,
                have: self.revision,
            });
        }
        if delta.from_root != self.root {
            return Err(ApplyError::Diverged {
                revision: self.revision,
            });
        }
        let next = self.changed(delta.to, &delta.changes)?;
        if next.root != delta.to_root {
            return Err(ApplyError::Result { to: delta.to });
        }
        Ok(next)
    }

    /// The next revision: these changes, and their delta.
    pub fn change(&self, to: Revision, mut changes: Vec<Change>) -> Result<(Self, ConfigDelta), ApplyError> {
        changes.sort_by(|a, b| a.key.cmp(&b.key));
        let mut delta = ConfigDelta {
            from: self.revision,
            from_root: self.root,
            to,
            to_root: self.root,
            changes,
        };
        delta.check()?;
        let next = self.changed(to, &delta.changes)?;
        delta.to_root = next.root;
        Ok((next, delta))
    }

    /// The same revision with these entries instead: what a node serves that could not take over all of it.
    pub fn with(&self, changes: &[Change]) -> Result<Self, EntryError> {
        for change in changes {
            if let Some(entry) = &change.entry {
                entry.check(&change.key)?;
            }
        }
        self.changed(self.revision, changes)
    }

    /// What leads from here to `later`.
    pub fn delta_to(&self, later: &Self) -> ConfigDelta {
        let mut changes = Vec::new();
        for (here, there) in self.buckets.iter().zip(&later.buckets) {
            if Arc::ptr_eq(here, there) {
                continue;
            }
            let keys: BTreeSet<&EdgeKey> = here.entries.keys().chain(there.entries.keys()).collect();
            for key in keys {
                let digest = |bucket: &Bucket| bucket.entries.get(key).map(|stored| stored.digest);
                if digest(here) != digest(there) {
                    changes.push(Change {
                        key: key.clone(),
                        entry: there.entries.get(key).map(|stored| (*stored.entry).clone()),
                    });
                }
            }
        }
        changes.sort_by(|a, b| a.key.cmp(&b.key));
        ConfigDelta {
            from: self.revision,
            from_root: self.root,
            to: later.revision,
            to_root: later.root,
            changes,
        }
    }

    fn changed(&self, to: Revision, changes: &[Change]) -> Result<Self, EntryError> {
        let mut next = self.clone();
        next.revision = to;
        let mut touched = BTreeSet::new();
        for change in changes {
            let (at, stored) = match &change.entry {
                None => (hash::bucket_of(&change.key), None),
                Some(entry) => {
                    let (at, digest) = hash::place(&change.key, entry);
                    let entry = Arc::new(entry.clone());
                    (at, Some(Stored { entry, digest }))
                }
            };
            // Copies the bucket at its first change; the other buckets stay shared.
            let entries = &mut Arc::make_mut(&mut next.buckets[at]).entries;
            match stored {
                Some(stored) => {
                    if entries.insert(change.key.clone(), stored).is_none() {
                        next.len += 1;
                    }
                }
                None => {
                    if entries.remove(&change.key).is_some() {
                        next.len -= 1;
                    }
                }
            }
            touched.insert(at);
        }
        if next.len > ENTRIES_MAX {
            return Err(EntryError::TooMany { limit: ENTRIES_MAX });
        }
        for at in touched {
            next.hashes[at] = next.buckets[at].hash();
        }
        next.root = hash::root(&next.hashes);
        Ok(next)
    }
}
