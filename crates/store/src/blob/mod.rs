//! Bytes by key: artifacts and other blobs, in a directory ([`DirectoryStore`]) or in a service that speaks S3.
//!
//! A key is a path of plain letters ([`check_key`]). An object is written whole or not at all, and every write may say what
//! it expects to find ([`Expect`]). On top of that stand content-addressed blobs: [`put_blob`] stores bytes under their
//! SHA-256, once, and [`get_blob`] answers nothing that does not have it.
//!
//! Invariants:
//! - `Ok` of a write means durable, and readers see the old object or the new one, never a mixture;
//! - of writes that expect the same state of a key, one succeeds;
//! - an etag is of a content: it changes whenever the bytes do.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod directory;

pub use directory::DirectoryStore;

use atoll_model::BlobHash;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// The longest key, bytes.
pub const KEY_BYTES_MAX: usize = 512;
/// The most bytes of an object.
pub const OBJECT_BYTES_MAX: usize = 128 << 20;
/// The most keys of a page of a list.
pub const PAGE_KEYS_MAX: usize = 1_000;

/// Why a store refused or failed. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BlobError {
    /// There is no such object.
    #[error("there is no object \"{key}\"")]
    NotFound {
        /// Its key.
        key: String,
    },
    /// What the write expected is not so; nothing was written.
    #[error("object \"{key}\" is not as expected: it exists already, or was changed or removed meanwhile")]
    Conflict {
        /// Its key.
        key: String,
    },
    /// The key is not one; the caller's fault.
    #[error(
        "\"{key}\" is no key: 1 to {KEY_BYTES_MAX} of a-z A-Z 0-9 . _ - =, in parts between slashes, none of them empty, . or .."
    )]
    Key {
        /// What was given.
        key: String,
    },
    /// A range that is not within the object; the caller's fault.
    #[error("bytes {start} to {end} are not within \"{key}\", which has {size}")]
    Range {
        /// Its key.
        key: String,
        /// First byte.
        start: u64,
        /// One after the last.
        end: u64,
        /// Its size.
        size: u64,
    },
    /// Too large; the caller's fault.
    #[error("an object of {found} bytes breaks the store's limit of {OBJECT_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        found: u64,
    },
    /// The bytes are not those that were stored.
    #[error("object \"{key}\" is damaged: {detail}; remove it and upload it again, or restore it from a copy")]
    Corrupt {
        /// Its key.
        key: String,
        /// What did not fit.
        detail: String,
    },
    /// The directory is not usable.
    #[error(transparent)]
    Store(#[from] crate::StoreError),
    /// The service cannot be reached or refuses.
    #[error("the object store failed on \"{key}\": {cause}")]
    Failed {
        /// The key.
        key: String,
        /// What it says.
        cause: Arc<str>,
    },
}

/// What a write expects of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: whatever is there is replaced.
    Anything,
    /// That there is no object.
    Absent,
    /// That the object has this etag.
    Etag(Etag),
}

/// Names the content of an object within its store. Opaque.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Etag(pub Arc<str>);

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectFacts {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub size: u64,
    /// Its content's name. Of lists: `None` where the store does not say.
    pub etag: Option<Etag>,
}

/// An object, or a range of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The bytes that were asked for.
    pub bytes: Bytes,
    /// The whole object's size.
    pub size: u64,
    /// Its content's name.
    pub etag: Etag,
}

/// A part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of the keys' bytes.
    pub objects: Vec<ObjectFacts>,
    /// There is more after the last of them.
    pub more: bool,
}

/// A store of objects.
#[async_trait::async_trait]
pub trait BlobStore: std::fmt::Debug + Send + Sync + 'static {
    /// Writes an object.
    async fn put(&self, key: &str, bytes: Bytes, expect: Expect) -> Result<Etag, BlobError>;
    /// Reads an object, or a range of it.
    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Object, BlobError>;
    /// What is known of an object.
    async fn head(&self, key: &str) -> Result<ObjectFacts, BlobError>;
    /// Removes an object. One that is not there is no error.
    async fn delete(&self, key: &str) -> Result<(), BlobError>;
    /// Objects whose key begins with `prefix` (empty, or whole parts that end in a slash) and comes after `after`, at most
    /// [`PAGE_KEYS_MAX`] or `limit`.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page, BlobError>;
}

/// Is it a key?
pub fn check_key(key: &str) -> Result<(), BlobError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'=' | b'/');
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    // A part becomes a file name, which is at most 255 bytes almost everywhere.
    let fits =
        key.len() <= KEY_BYTES_MAX && key.bytes().all(legal) && key.split('/').all(|p| part(p) && p.len() <= 200);
    if fits {
        return Ok(());
    }
    Err(BlobError::Key {
        key: key.chars().take(100).collect(),
    })
}

/// Is it the beginning of keys: empty, or whole parts with a slash behind?
pub fn check_prefix(prefix: &str) -> Result<(), BlobError> {
    match prefix.strip_suffix('/') {
        Some(key) => check_key(key),
        None if prefix.is_empty() => Ok(()),
        None => Err(BlobError::Key { key: prefix.to_owned() }),
    }
}

/// Is it an object's size?
pub fn check_size(bytes: &Bytes) -> Result<(), BlobError> {
    if bytes.len() > OBJECT_BYTES_MAX {
        let found = bytes.len() as u64;
        return Err(BlobError::TooLarge { found });
    }
    Ok(())
}

/// Where a blob lies.
pub fn blob_key(hash: &BlobHash) -> String {
    let hash = hash.to_string();
    // The first level keeps a directory's files few.
    format!("blobs/{}/{hash}", &hash[..2])
}

/// Stores bytes under their hash, unless they are there.
pub async fn put_blob(store: &dyn BlobStore, bytes: Bytes) -> Result<BlobHash, BlobError> {
    let hash = BlobHash::of(&bytes);
    match store.put(&blob_key(&hash), bytes, Expect::Absent).await {
        Ok(_) | Err(BlobError::Conflict { .. }) => Ok(hash),
        Err(error) => Err(error),
    }
}

/// The bytes of a hash, and no others.
pub async fn get_blob(store: &dyn BlobStore, hash: &BlobHash) -> Result<Bytes, BlobError> {
    let key = blob_key(hash);
    let object = store.get(&key, None).await?;
    let found = BlobHash::of(&object.bytes);
    if found != *hash {
        let detail = format!("its bytes have the hash {found}");
        return Err(BlobError::Corrupt { key, detail });
    }
    Ok(object.bytes)
}

/// Are the bytes of a hash there?
pub async fn has_blob(store: &dyn BlobStore, hash: &BlobHash) -> Result<bool, BlobError> {
    match store.head(&blob_key(hash)).await {
        Ok(_) => Ok(true),
        Err(BlobError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
