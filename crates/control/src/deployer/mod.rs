//! The deployer: what each PoP runs of what the catalog asks for. Every change is staged: the canary first, then everybody.

mod lanes;
pub(crate) mod rollout;

pub use lanes::{
    Applied, LATENCY_BOUNDS_MS, LATENCY_BUCKETS, Lane, Lanes, Publication, RefusedWorker, Report, StartedVersion,
    Tally, VersionHealth,
};
pub use rollout::{Rollout, RolloutPops, RolloutState};
