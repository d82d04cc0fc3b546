//! What a version uses, on its way to whoever counts it.

use serde::{Deserialize, Serialize};

/// What a version has used since that was last told, by whichever part of it tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU of isolates' threads and of those that help them, microseconds.
    pub cpu_us: u64,
    /// Requests and connections to the network.
    pub subrequests: u64,
    /// Answers of the response cache.
    pub cache_hits: u64,
    /// Questions that it could not answer.
    pub cache_misses: u64,
    /// What the version holds now, where it runs; `None`: it is not said.
    pub held: Option<Held>,
}

/// What a version holds in one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Isolates.
    pub isolates: u32,
    /// Bytes of all of them: heap, buffers, WebAssembly. Measured when an isolate is made and when it rests.
    pub memory_bytes: u64,
}
