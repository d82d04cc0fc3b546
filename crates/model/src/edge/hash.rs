//! The hash of a configuration, as a tree of three levels: entry, bucket, root. All are SHA-256 of a tagged text, so that
//! a hash of one level is never one of another.
//!
//! ```text
//! entry   SHA-256("atoll edge entry 1"  || u32 LE length of key || key || entry)      key, entry: postcard
//! bucket  SHA-256("atoll edge bucket 1" || entry hashes in ascending order)     zeros if it is empty
//! root    SHA-256("atoll edge root 1"   || bucket hashes)
//! ```
//!
//! An entry lies in the bucket that the first ten bits of SHA-256(key) name. The catalog keeps the hashes of all buckets
//! beside the entries, so a change reads and hashes one bucket.

use super::{EdgeEntry, EdgeKey};
use crate::BlobHash;
use sha2::{Digest as _, Sha256};

/// How many buckets there are.
pub const BUCKETS: usize = 1024;
/// The hash of a bucket without entries.
pub const EMPTY_BUCKET: Digest = BlobHash([0; 32]);

/// A hash in this tree.
pub type Digest = BlobHash;

/// A value of ours in the binary codec: no map without keys in order, no floats, so one value has one text.
pub(super) fn bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    // Writing into a vector cannot fail, and no type here refuses to be written (no unsized sequences).
    postcard::to_allocvec(value).unwrap_or_default()
}

/// A key as it is stored and hashed.
pub fn key_bytes(key: &EdgeKey) -> Vec<u8> {
    bytes(key)
}

/// An entry as it is stored and hashed.
pub fn entry_bytes(entry: &EdgeEntry) -> Vec<u8> {
    bytes(entry)
}

/// The bucket of a key that is written as `key`.
pub fn bucket_of_bytes(key: &[u8]) -> usize {
    let hash = Sha256::digest(key);
    usize::from(u16::from_be_bytes([hash[0], hash[1]]) >> 6)
}

pub(super) fn bucket_of(key: &EdgeKey) -> usize {
    bucket_of_bytes(&bytes(key))
}

/// The hash of an entry, from what is stored.
pub fn entry(key: &[u8], entry: &[u8]) -> Digest {
    let mut hash = Sha256::new_with_prefix("atoll edge entry 1");
    hash.update((key.len() as u32).to_le_bytes());
    hash.update(key);
    hash.update(entry);
    BlobHash(hash.finalize().into())
}

/// The hash of a bucket whose entries have these hashes, in whatever order.
pub fn bucket(mut entries: Vec<Digest>) -> Digest {
    if entries.is_empty() {
        return EMPTY_BUCKET;
    }
    entries.sort_unstable();
    let mut hash = Sha256::new_with_prefix("atoll edge bucket 1");
    for entry in entries {
        hash.update(entry.0);
    }
    BlobHash(hash.finalize().into())
}

/// The hash of everything.
pub fn root(buckets: &[Digest]) -> Digest {
    let mut hash = Sha256::new_with_prefix("atoll edge root 1");
    for bucket in buckets {
        hash.update(bucket.0);
    }
    BlobHash(hash.finalize().into())
}

/// Where an entry lies, and its hash.
pub(super) fn place(key: &EdgeKey, value: &EdgeEntry) -> (usize, Digest) {
    let (key, value) = (bytes(key), bytes(value));
    (bucket_of_bytes(&key), entry(&key, &value))
}

/// Reads a key as it is stored.
pub fn read_key(bytes: &[u8]) -> Option<EdgeKey> {
    read(bytes)
}

/// Reads an entry as it is stored.
pub fn read_entry(bytes: &[u8]) -> Option<EdgeEntry> {
    read(bytes)
}

fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(value)
}
