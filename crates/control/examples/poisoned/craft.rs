//! Configurations and deltas as bytes that no encoder of ours would write, with whatever hashes are wanted.

use atoll_model::edge::hash::{self, BUCKETS};
use atoll_model::{BlobHash, EdgeConfig, EdgeEntry, EdgeKey};

/// What comes before the payload: magic, kind, format, hash.
pub const HEAD_BYTES: usize = 4 + 1 + 1 + 32;
pub const WHOLE: u8 = b'F';
pub const DELTA: u8 = b'D';

/// An entry as it travels.
pub type Pair = (Vec<u8>, Vec<u8>);

pub fn pair(key: &EdgeKey, entry: &EdgeEntry) -> Pair {
    (hash::key_bytes(key), hash::entry_bytes(entry))
}

/// The entries of a configuration in the order of their keys.
pub fn sorted(config: &EdgeConfig) -> Vec<(EdgeKey, EdgeEntry)> {
    let mut all: Vec<_> = config
        .entries()
        .map(|(key, entry)| (key.clone(), EdgeEntry::clone(entry)))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// A payload in its frame, whose hash is right.
pub fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"ATEC".to_vec();
    bytes.extend_from_slice(&[kind, 1]);
    bytes.extend_from_slice(&BlobHash::of(payload).0);
    bytes.extend_from_slice(payload);
    bytes
}

/// A number as the codec writes it: seven bits a byte, the lowest first.
pub fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// The hash over these entries, as if they were well formed.
pub fn root(pairs: &[Pair]) -> BlobHash {
    let mut buckets = vec![Vec::new(); BUCKETS];
    for (key, entry) in pairs {
        buckets[hash::bucket_of_bytes(key)].push(hash::entry(key, entry));
    }
    let hashes: Vec<BlobHash> = buckets.into_iter().map(hash::bucket).collect();
    hash::root(&hashes)
}

/// The payload of a whole configuration that says it has `count` entries.
pub fn payload(revision: u64, root: &BlobHash, count: u64, pairs: &[Pair]) -> Vec<u8> {
    let mut bytes = varint(revision);
    bytes.extend_from_slice(&root.0);
    bytes.extend(varint(count));
    for (key, entry) in pairs {
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(entry);
    }
    bytes
}

/// A whole configuration of these entries, right in everything but what they are.
pub fn whole(revision: u64, pairs: &[Pair]) -> Vec<u8> {
    frame(WHOLE, &payload(revision, &root(pairs), pairs.len() as u64, pairs))
}
