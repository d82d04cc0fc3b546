//! Monotonic time, passed in: what waits for a keep-alive can be tested without waiting.

use std::fmt;
use std::time::Instant;

/// Tells the time by which queues and keep-alives are measured. Limits of CPU and the watchdog's own pace are not.
pub trait Monotonic: Send + Sync + fmt::Debug + 'static {
    /// Now. Never goes back.
    fn now(&self) -> Instant;
}

/// The system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemTime;

impl Monotonic for SystemTime {
    fn now(&self) -> Instant {
        Instant::now()
    }
}
