//! The KV binding's capability, with the limits of the Workers platform.
//!
//! Source: the Workers KV documentation (limits; write key-value pairs; read; list) as summarised with each constant.

use crate::{BindingError, EventContext};
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The longest key, bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = 512;
/// The largest value: 25 MiB.
pub const VALUE_BYTES_MAX: usize = 25 * 1024 * 1024;
/// The largest metadata, bytes of serialized JSON.
pub const METADATA_BYTES_MAX: usize = 1024;
/// The shortest time to live, and the nearest absolute expiration, seconds from now.
pub const TTL_SECS_MIN: u64 = 60;
/// The most keys of one bulk read.
pub const BULK_KEYS_MAX: usize = 100;
/// The most keys of one page of a list, and the default.
pub const LIST_LIMIT_MAX: u32 = 1000;

/// A KV namespace as one worker sees it: scoped to its tenant, metered.
///
/// A write that returns `Ok` is durable; the next read in this process sees it.
#[async_trait]
pub trait KvNamespace: Send + Sync + 'static {
    /// Reads keys; the answers stand in the order of `keys`, `None` for what is absent or expired.
    async fn get(&self, ctx: &EventContext, keys: Vec<String>) -> Result<Vec<Option<KvEntry>>, BindingError>;
    /// Writes one key.
    async fn put(&self, ctx: &EventContext, put: KvPut) -> Result<(), BindingError>;
    /// Deletes keys; absent ones are no error.
    async fn delete(&self, ctx: &EventContext, keys: Vec<String>) -> Result<(), BindingError>;
    /// One page of keys in order of their UTF-8 bytes.
    async fn list(&self, ctx: &EventContext, options: KvListOptions) -> Result<KvList, BindingError>;
}

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvEntry {
    /// The bytes.
    pub value: Bytes,
    /// Serialized JSON.
    pub metadata: Option<String>,
    /// Seconds since the Unix epoch.
    pub expiration: Option<u64>,
}

/// A write. The engine has resolved options into these; the namespace checks the limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvPut {
    /// The key.
    pub key: String,
    /// The bytes.
    pub value: Bytes,
    /// Serialized JSON.
    pub metadata: Option<String>,
    /// Absolute, seconds since the Unix epoch. Wins nothing: with `expiration_ttl` too, the latter counts.
    pub expiration: Option<u64>,
    /// Relative, seconds from now.
    pub expiration_ttl: Option<u64>,
}

/// What to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvListOptions {
    /// Only keys that start with this.
    pub prefix: String,
    /// 1 to [`LIST_LIMIT_MAX`].
    pub limit: u32,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// A page of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvList {
    /// In order.
    pub keys: Vec<KvKey>,
    /// Where the next page starts; `None` if this was the last.
    pub cursor: Option<String>,
}

/// A key in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvKey {
    /// The key.
    pub name: String,
    /// Seconds since the Unix epoch.
    pub expiration: Option<u64>,
    /// Serialized JSON.
    pub metadata: Option<String>,
}
