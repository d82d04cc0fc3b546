//! The limits of Workers KV, checked by this crate. The waist has constants of its own for engines; a test in the host
//! holds the two equal.
//!
//! Source: the Workers KV documentation, limits and API pages.

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
/// The most bytes of values of one bulk read: 25 MiB.
pub const BULK_BYTES_MAX: usize = 25 * 1024 * 1024;
/// The most keys of one page of a list, and the default.
pub const LIST_LIMIT_MAX: u32 = 1000;
/// The most keys of one delete.
pub const DELETE_KEYS_MAX: usize = 1000;
/// The longest tenant or namespace id, bytes. Ours, not the platform's.
pub const SCOPE_ID_BYTES_MAX: usize = 256;
/// How long one operation may take before it is given up, seconds. Ours: a store that does not answer must not hold a
/// request for ever. A write that is given up may still be stored.
pub const OPERATION_SECS_MAX: u64 = 30;
