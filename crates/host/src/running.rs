//! A version that runs: in this process, or in child processes.

use crate::cordon::CordonSlot;
use crate::crowd::Crowd;
use crate::starts::WorkerStarts;
use atoll_model::WorkerVersion;
use atoll_pool::{Refusal, SlotStats, WorkerSlot};
use atoll_worker::{Event, EventContext, Fault, Outcome};
use std::sync::Arc;
use std::time::Duration;

/// Where a version runs.
pub(crate) enum Place {
    Here(WorkerSlot),
    Away(Arc<CordonSlot>),
}

/// A version that runs, and its worker's counters.
pub(crate) struct Running {
    place: Place,
    starts: Arc<WorkerStarts>,
    /// Its account's events; none for a version that another one made, whose event counts.
    crowd: Option<Arc<Crowd>>,
}

impl Running {
    pub(crate) fn new(place: Place, starts: Arc<WorkerStarts>, crowd: Option<Arc<Crowd>>) -> Self {
        Self { place, starts, crowd }
    }

    pub(crate) fn version(&self) -> &Arc<WorkerVersion> {
        match &self.place {
            Place::Here(slot) => slot.version(),
            Place::Away(slot) => slot.version(),
        }
    }

    /// Waits until the modules have been evaluated for the first time: how that went.
    pub(crate) async fn ready(&self) -> Result<(), Fault> {
        match &self.place {
            Place::Here(slot) => slot.ready().await,
            Place::Away(slot) => slot.ready().await,
        }
    }

    /// Runs an event; given back if the version was retired.
    pub(crate) async fn run(&self, ctx: EventContext, event: Event) -> Result<Result<Outcome, Fault>, Refusal> {
        // Asked by a deployment, not by anybody's request.
        let counts = !matches!(event, Event::Describe);
        let _inside = match self.crowd.as_ref().filter(|_| counts) {
            Some(crowd) => Some(crowd.enter().map_err(Refusal::Fault)?),
            None => None,
        };
        let answer = match &self.place {
            Place::Here(slot) => {
                let answer = slot.submit(ctx, event)?;
                if counts {
                    self.starts.event();
                }
                return Ok(answer.await);
            }
            Place::Away(slot) => slot.run(ctx, event).await,
        };
        if counts && answer.is_ok() {
            self.starts.event();
        }
        answer
    }

    /// Events will come: has an isolate started, if there is none and there is room. Returns at once.
    pub(crate) fn expect(&self) {
        match &self.place {
            Place::Here(slot) => slot.expect(),
            Place::Away(slot) => slot.expect(),
        }
    }

    /// Nothing of it is unfinished, as far as this process knows.
    pub(crate) fn is_idle(&self) -> bool {
        match &self.place {
            Place::Here(slot) => slot.is_idle(),
            Place::Away(slot) => slot.stats().in_flight == 0,
        }
    }

    /// Where it stands.
    pub(crate) fn stats(&self) -> SlotStats {
        match &self.place {
            Place::Here(slot) => slot.stats(),
            Place::Away(slot) => slot.stats(),
        }
    }

    /// Takes no more events and finishes those in flight, within `grace`. Returns how many isolates were cut off.
    pub(crate) async fn retire(&self, grace: Duration) -> usize {
        match &self.place {
            Place::Here(slot) => slot.retire(grace).await,
            Place::Away(slot) => slot.retire(grace).await,
        }
    }
}
