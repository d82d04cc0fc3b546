//! The binary form of configurations and deltas: on the way to PoPs and on their disks.
//!
//! ```text
//! "ATEC"                    4 bytes
//! kind                      'F' a whole configuration, 'D' a delta
//! format                    1 byte; this release writes and reads 1
//! SHA-256 of the payload    32 bytes
//! payload                   postcard: the delta; or (revision, root, entries in the order of their keys)
//! ```
//!
//! The hash tells damage from nonsense: a payload that passes it and does not decode was written wrong. Whatever comes out
//! of a decoder has been checked; nothing here panics.

use super::{ApplyError, ConfigDelta, Digest, EdgeConfig, EdgeEntry, EdgeKey, EntryError, Revision};
use crate::BlobHash;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// The format that this release writes, and the newest that it reads.
pub const FORMAT_VERSION: u8 = 1;
/// The most bytes of a whole configuration.
pub const FULL_BYTES_MAX: usize = 512 << 20;
/// The most bytes of a delta. What is larger travels as a whole configuration.
pub const DELTA_BYTES_MAX: usize = 16 << 20;

const MAGIC: &[u8; 4] = b"ATEC";
const HEAD_BYTES: usize = 4 + 1 + 1 + 32;
const FULL: u8 = b'F';
const DELTA: u8 = b'D';

/// Why bytes are no configuration or delta.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Something else entirely.
    #[error("these bytes are no {what} of the edge configuration")]
    Foreign {
        /// What was expected.
        what: &'static str,
    },
    /// Written by a newer release.
    #[error(
        "the {what} of the edge configuration has format {found}, this release reads up to {FORMAT_VERSION}; upgrade this \
         node (PoPs are upgraded before the control plane), until then it goes on with the revision that it has"
    )]
    NewerFormat {
        /// What was read.
        what: &'static str,
        /// Its format.
        found: u8,
    },
    /// More bytes than it may have.
    #[error("a {what} of the edge configuration of {found} bytes breaks the limit of {limit}")]
    TooLarge {
        /// What was read.
        what: &'static str,
        /// Its bytes.
        found: usize,
        /// The bound.
        limit: usize,
    },
    /// Bytes were changed or are missing.
    #[error("the {what} of the edge configuration is damaged; fetch it again")]
    Damaged {
        /// What was read.
        what: &'static str,
    },
    /// Whole, but written wrong.
    #[error("the {what} of the edge configuration does not decode: {detail}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// What the decoder says.
        detail: String,
    },
    /// It decodes, but an entry is not well formed.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A delta that cannot apply to anything.
    #[error(transparent)]
    Delta(#[from] ApplyError),
    /// The entries are not those that its hash is of.
    #[error("the entries of revision {revision} are not those that its hash was made of; fetch it again")]
    Root {
        /// Its number.
        revision: Revision,
    },
}

fn what(kind: u8) -> &'static str {
    if kind == FULL { "whole" } else { "delta" }
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[kind, FORMAT_VERSION]);
    bytes.extend_from_slice(&BlobHash::of(payload).0);
    bytes.extend_from_slice(payload);
    bytes
}

fn payload(kind: u8, bytes: &[u8], limit: usize) -> Result<&[u8], CodecError> {
    let what = what(kind);
    if bytes.len() > limit {
        let found = bytes.len();
        return Err(CodecError::TooLarge { what, found, limit });
    }
    let rest = bytes.strip_prefix(MAGIC).ok_or(CodecError::Foreign { what })?;
    match rest {
        [found, ..] if *found != kind => Err(CodecError::Foreign { what }),
        [_, format, rest @ ..] if *format == FORMAT_VERSION => {
            let (hash, payload) = rest.split_at_checked(32).ok_or(CodecError::Damaged { what })?;
            if BlobHash::of(payload).0 != hash {
                return Err(CodecError::Damaged { what });
            }
            Ok(payload)
        }
        [_, 0, ..] => Err(CodecError::Foreign { what }),
        [_, format, ..] => Err(CodecError::NewerFormat { what, found: *format }),
        _ => Err(CodecError::Damaged { what }),
    }
}

fn decode<'a, T: Deserialize<'a>>(kind: u8, payload: &'a [u8]) -> Result<T, CodecError> {
    let malformed = |detail: String| CodecError::Malformed {
        what: what(kind),
        detail,
    };
    let (value, rest) = postcard::take_from_bytes(payload).map_err(|error| malformed(error.to_string()))?;
    if !rest.is_empty() {
        return Err(malformed(format!("{} bytes are left over", rest.len())));
    }
    Ok(value)
}

impl ConfigDelta {
    /// The delta as bytes.
    pub fn encode(&self) -> Vec<u8> {
        frame(DELTA, &super::hash::bytes(self))
    }

    /// Reads a delta; its entries are well formed.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let delta: Self = decode(DELTA, payload(DELTA, bytes, DELTA_BYTES_MAX)?)?;
        delta.check()?;
        Ok(delta)
    }
}

/// The entries of a configuration, written in the order of their keys without a copy of them.
struct Sorted<'a>(Vec<(&'a EdgeKey, &'a Arc<EdgeEntry>)>);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(key, entry)| (key, &***entry)))
    }
}

/// Entries that must come in the order of their keys, each key once.
struct InOrder(Vec<(EdgeKey, EdgeEntry)>);

impl<'de> Deserialize<'de> for InOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = InOrder;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("entries in the order of their keys")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<InOrder, A::Error> {
                let mut entries: Vec<(EdgeKey, EdgeEntry)> = Vec::new();
                while let Some((key, entry)) = sequence.next_element::<(EdgeKey, EdgeEntry)>()? {
                    if entries.last().is_some_and(|(last, _)| *last >= key) {
                        return Err(serde::de::Error::custom("entries out of order"));
                    }
                    if entries.len() == super::ENTRIES_MAX {
                        return Err(serde::de::Error::custom("too many entries"));
                    }
                    entries.push((key, entry));
                }
                Ok(InOrder(entries))
            }
        }
        deserializer.deserialize_seq(Entries)
    }
}

impl EdgeConfig {
    /// The whole configuration as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut entries: Vec<_> = self.entries().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        frame(FULL, &super::hash::bytes(&(self.revision, self.root, Sorted(entries))))
    }

    /// Reads a whole configuration; its entries are well formed and are those of its hash.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let payload = payload(FULL, bytes, FULL_BYTES_MAX)?;
        let (revision, root, InOrder(entries)): (Revision, Digest, InOrder) = decode(FULL, payload)?;
        let config = Self::from_entries(revision, entries)?;
        if config.root() != root {
            return Err(CodecError::Root { revision });
        }
        Ok(config)
    }
}
