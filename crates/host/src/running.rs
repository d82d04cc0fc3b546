//! A version that runs: in this process, or in child processes.

use crate::cordon::CordonSlot;
use atoll_model::WorkerVersion;
use atoll_pool::{Refusal, SlotStats, WorkerSlot};
use atoll_worker::{Event, EventContext, Fault, Outcome};
use std::sync::Arc;
use std::time::Duration;

/// Where a version runs.
pub(crate) enum Running {
    Here(WorkerSlot),
    Away(Arc<CordonSlot>),
}

impl Running {
    pub(crate) fn version(&self) -> &Arc<WorkerVersion> {
        match self {
            Self::Here(slot) => slot.version(),
            Self::Away(slot) => slot.version(),
        }
    }

    /// Waits until the modules have been evaluated for the first time: how that went.
    pub(crate) async fn ready(&self) -> Result<(), Fault> {
        match self {
            Self::Here(slot) => slot.ready().await,
            Self::Away(slot) => slot.ready().await,
        }
    }

    /// Runs an event; given back if the version was retired.
    pub(crate) async fn run(&self, ctx: EventContext, event: Event) -> Result<Result<Outcome, Fault>, Refusal> {
        match self {
            Self::Here(slot) => Ok(slot.submit(ctx, event)?.await),
            Self::Away(slot) => slot.run(ctx, event).await,
        }
    }

    /// Where it stands.
    pub(crate) fn stats(&self) -> SlotStats {
        match self {
            Self::Here(slot) => slot.stats(),
            Self::Away(slot) => slot.stats(),
        }
    }

    /// Takes no more events and finishes those in flight, within `grace`. Returns how many isolates were cut off.
    pub(crate) async fn retire(&self, grace: Duration) -> usize {
        match self {
            Self::Here(slot) => slot.retire(grace).await,
            Self::Away(slot) => slot.retire(grace).await,
        }
    }
}
