//! How far a deployment is, as people are told ([`Rollout`]) and as it is stored.

pub use atoll_api::rest::{Rollout, RolloutPops, RolloutState};

const ALL: [RolloutState; 6] = [
    RolloutState::Probing,
    RolloutState::Baking,
    RolloutState::Rolling,
    RolloutState::Live,
    RolloutState::RolledBack,
    RolloutState::Superseded,
];

/// A state as it is stored.
pub(crate) fn state_name(state: RolloutState) -> &'static str {
    match state {
        RolloutState::Probing => "probing",
        RolloutState::Baking => "baking",
        RolloutState::Rolling => "rolling",
        RolloutState::Live => "live",
        RolloutState::RolledBack => "rolled_back",
        RolloutState::Superseded => "superseded",
    }
}

/// Reads a state.
pub(crate) fn state_from_name(name: &str) -> Option<RolloutState> {
    ALL.into_iter().find(|state| state_name(*state) == name)
}

/// Of a deployment that the catalog has just taken.
pub(crate) fn begun(since_ms: u64) -> Rollout {
    Rollout {
        state: RolloutState::Probing,
        unproven: false,
        canary: None,
        requests: 0,
        errors: 0,
        reason: None,
        since_ms,
        pops: RolloutPops::default(),
    }
}
