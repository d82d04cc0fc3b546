//! The Analytics Engine binding's capability. Source: Cloudflare's documentation, "Workers Analytics Engine", limits.

use serde::{Deserialize, Serialize};

/// The most blobs of a data point, and the most doubles.
pub const FIELDS_MAX: usize = 20;
/// The most indexes of a data point.
pub const INDEXES_MAX: usize = 1;
/// The longest index, bytes.
pub const INDEX_BYTES_MAX: usize = 96;
/// All blobs of a data point together, bytes.
pub const BLOBS_BYTES_MAX: usize = 16 * 1024;
/// The most data points that one event may write.
pub const POINTS_PER_EVENT_MAX: u32 = 250;

/// Takes data points.
pub trait AnalyticsDataset: Send + Sync + 'static {
    /// Queues a point. Never waits and never fails: where points come faster than they can be stored, some are dropped,
    /// and their number is told in the log.
    fn write(&self, point: DataPoint);
}

/// One measurement. The engine has checked it against the limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataPoint {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// The sampling key, if there is one.
    pub indexes: Vec<String>,
    /// The dimensions; bytes that are not UTF-8 are replaced.
    pub blobs: Vec<Option<String>>,
    /// The numbers.
    pub doubles: Vec<f64>,
}
