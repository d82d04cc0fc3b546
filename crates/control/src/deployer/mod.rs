//! The deployer: what each PoP runs of what the catalog asks for. Every change is staged: the canary first, then everybody.

mod bake;
mod drive;
mod gate;
mod history;
mod lanes;
mod machine;
mod ripening;
pub(crate) mod rollout;
mod statistics;

pub use drive::{ALARMS_KEPT, Board, REPORTS_MAX, SteadyClock, Surroundings, reports, run};
pub use gate::{BAKE_MAX_MS, BAKE_MIN_MS, Evidence, REQUESTS_MIN, REQUESTS_WANTED, Verdict, judge, judge_live};
pub use history::{KEPT_FOR_MS, KeptPast, Past};
pub use lanes::{
    Applied, LATE_MS, LATENCY_BOUNDS_MS, LATENCY_BUCKETS, Lane, Lanes, Publication, RefusedWorker, Report,
    StartedVersion, Tally, VersionHealth,
};
pub use machine::{
    Alarm, CANARY_GRACE_MS, Deployer, Input, LOSSES_MAX, Outputs, ROLLING_MAX_MS, TICK_MS, WATCH_MS, Withdraw,
};
pub use rollout::{Rollout, RolloutPops, RolloutState};
