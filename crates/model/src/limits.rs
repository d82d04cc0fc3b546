//! What a worker may use. Every limit has a named default; its enforcement stands beside the code that spends it.

use serde::{Deserialize, Serialize};

/// Limits of one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// JavaScript heap of one isolate, bytes.
    pub heap_bytes: u64,
    /// How long module evaluation may take before the worker counts as broken, milliseconds of wall time.
    pub startup_ms: u64,
    /// CPU that one turn of the isolate may use, milliseconds. An event whose work is spread over many turns is not stopped
    /// by it yet.
    pub cpu_ms: u64,
    /// Events that wait for or run in one worker; one more is refused.
    pub in_flight_max: u32,
    /// Sub-requests (outgoing fetches, binding calls) of one event. Kept with the version, not enforced yet: nothing counts
    /// them by event so far.
    pub subrequests_max: u32,
}

impl Limits {
    /// 128 MiB of JavaScript heap.
    pub const HEAP_BYTES_DEFAULT: u64 = 128 * 1024 * 1024;
    /// One second of start-up.
    pub const STARTUP_MS_DEFAULT: u64 = 1_000;
    /// 30 seconds of CPU.
    pub const CPU_MS_DEFAULT: u64 = 30_000;
    /// 10,000 events.
    pub const IN_FLIGHT_MAX_DEFAULT: u32 = 10_000;
    /// 10,000 sub-requests.
    pub const SUBREQUESTS_MAX_DEFAULT: u32 = 10_000;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            heap_bytes: Self::HEAP_BYTES_DEFAULT,
            startup_ms: Self::STARTUP_MS_DEFAULT,
            cpu_ms: Self::CPU_MS_DEFAULT,
            in_flight_max: Self::IN_FLIGHT_MAX_DEFAULT,
            subrequests_max: Self::SUBREQUESTS_MAX_DEFAULT,
        }
    }
}
