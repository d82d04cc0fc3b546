//! What a worker sees of the machine: which version of it runs, what its bindings reach, where its output goes.
//!
//! [`Host`] is what the front dispatches to. It keeps a table of workers, each with the slot of its running version;
//! [`Host::deploy`] makes the version's environment, starts it, waits for its modules and only then puts it in the place
//! of the old one, which finishes what it has in flight. No event is lost to a deploy: one that meets a slot that has
//! just gone is given to its successor.
//!
//! Stores never call up into this crate; it pulls from them. `triggers` pulls what is due by the clock.

mod bindings;
mod bucket;
mod code_store;
mod cordon;
mod counted;
mod crowd;
mod entrypoints;
mod environment;
mod error;
mod homes;
mod host;
mod inspect;
mod loader;
mod logs;
mod routes;
mod running;
mod services;
mod spans;
mod starts;
mod tail;
#[cfg(test)]
mod testing;
mod triggers;
mod versions;
mod watch;

pub use bindings::analytics::{AnalyticsFiles, AnalyticsSource, FILE_BYTES_MAX as ANALYTICS_FILE_BYTES_MAX};
pub use bindings::cache::{CacheBinding, CacheSource};
pub use bindings::kv::{KvBinding, KvBindings, KvMeter, KvUsage};
pub use bindings::rate_limit::{KEYS_MAX as RATE_LIMIT_KEYS_MAX, RateLimits};
pub use code_store::{CODE_BYTES_MAX, CODE_DISK_MAX, CODE_MEMORY_MAX, CodeStats, CodeStore};
pub use cordon::{
    CHILD_WAIT_MAX, CHILDREN_MIN, ChildCommand, Cordon, CordonOptions, CordonStats, START_MAX as CHILD_START_MAX,
};
pub use environment::{KvSource, OutboundSource, Reach};
pub use error::DeployError;
pub use host::{AbsentWorker, FaultWatch, Host, HostOptions, HostStats, Prepared, WorkerStats};
pub use inspect::{CLIENTS_MAX as DEBUGGING_CLIENTS_MAX, Debuggers};
pub use logs::{
    FailedEvent, LogEvent, LogHub, LogOrigin, LogTail, TAIL_BYTES_MAX, TAIL_DEPTH_MAX, TraceTap, UsageWatch,
};
pub use routes::{ROUTES_MAX, RouteCounts, Routes};
pub use services::absent as absent_worker;
pub use starts::{DYNAMIC as DYNAMIC_WORKERS, StartCounts, UsageCounts};
pub use triggers::{
    CRONS_MAX, Crons, LATE_MAX as CRON_LATE_MAX, OnTick, Ownership, Skipped, TICKS_AT_ONCE_MAX, Tick, TickEnd,
    Triggers, Turn, WARM_AHEAD, check_cron,
};
pub use versions::{
    Chosen, FAILED_FOR as VERSION_FAILED_FOR, Fetched, VersionSource, Versions, VersionsOptions, VersionsStats,
};
pub use watch::{EventEnd, EventWatch, Origin};
