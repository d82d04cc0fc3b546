//! What PoPs tell of the workers' lives, and what is answered about it ([`Telemetry`]).
//!
//! Log records come in batches ([`pop::Shipment`]), counts of requests every second ([`pop::Health`]). Nothing here is durable or
//! complete: it is bounded, and what is dropped is counted.

mod memory;

pub use memory::{MemoryTelemetry, MemoryTelemetryOptions};

use atoll_api::{pop, rest};
use atoll_model::{TenantId, WorkerName};

/// Upper bounds of the counts of [`pop::VersionHealth::latency`], milliseconds; one more count is of what took longer.
pub const LATENCY_BOUNDS_MS: [u64; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];
/// The levels of records, the mildest first.
pub const LEVELS: [&str; 5] = ["debug", "info", "log", "warn", "error"];

/// Keeps what PoPs tell, and answers questions. Calls never wait for anything but a short lock.
pub trait Telemetry: std::fmt::Debug + Send + Sync + 'static {
    /// A batch of log records.
    fn ingest_shipment(&self, pop: &str, shipment: &pop::Shipment);
    /// What happened since the PoP's last word.
    fn ingest_health(&self, pop: &str, health: &pop::Health);
    /// Records of a worker.
    fn logs(&self, account: &TenantId, worker: &WorkerName, query: &LogQuery) -> rest::Logs;
    /// Counts of an account's workers.
    fn metrics(&self, account: &TenantId, query: &MetricQuery) -> rest::Metrics;
}

/// Which records. What is `None` asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// From this time on.
    pub since_ms: Option<u64>,
    /// Before this time.
    pub until_ms: Option<u64>,
    /// Of this level or a worse one: an index of [`LEVELS`].
    pub level: usize,
    /// With this text in them.
    pub search: Option<String>,
    /// Of this request.
    pub request: Option<String>,
    /// Those that came after the record of this number.
    pub after: Option<u64>,
    /// The most records.
    pub limit: usize,
}

/// Which counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricQuery {
    /// Of one worker.
    pub worker: Option<WorkerName>,
    /// From this time on.
    pub from_ms: u64,
    /// Before this time.
    pub to_ms: u64,
    /// Milliseconds of a point: a multiple of [`MemoryTelemetry::STEP_MS`].
    pub step_ms: u64,
    /// Tell workers apart.
    pub by_worker: bool,
    /// Tell versions apart.
    pub by_version: bool,
    /// Tell routes apart: of what came by a route or a custom domain alone, all versions together.
    pub by_route: bool,
    /// Tell PoPs apart.
    pub by_pop: bool,
}
