//! The HTTP response cache: what may be kept of a response, how long it is fresh, which request it answers and with what.
//!
//! The rules ([`freshness`], [`vary`], [`conditional`], [`range`], [`answer`]) are functions of headers and a time. The
//! storage ([`memory`]) keeps heads and bodies in memory, within bounds, by least recent use, and knows of HTTP only what
//! the rules tell it; a storage on disk would stand in its place. Nothing here waits, and nothing does I/O.
//!
//! Invariants:
//! - what is answered is fresh by the clock that was passed in, and complete: a body that broke off is never stored;
//! - a zone sees its own responses alone, and a named cache its own within the zone;
//! - memory, of what is stored and of what is still arriving, stays within [`CacheLimits`]; what is evicted for that is
//!   counted.
//!
//! Sources: RFC 9110 and RFC 9111; the Workers documentation (Cache API) where it goes further.

pub mod answer;
pub mod conditional;
mod directives;
pub mod freshness;
pub mod memory;
pub mod range;
#[cfg(test)]
mod testing;
pub mod vary;

pub use directives::Directives;
pub use freshness::{NotStored, StoredHead};
pub use memory::{CacheLimits, CacheUsage, Found, MemoryCache, Put, Refused, Scope, Upload, Zone};
