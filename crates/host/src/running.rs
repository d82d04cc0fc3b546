//! A version that runs: in this process, or in child processes.

use crate::cordon::CordonSlot;
use crate::crowd::{Crowd, Inside};
use crate::starts::WorkerStarts;
use atoll_model::WorkerVersion;
use atoll_pool::{Answer, Refusal, SlotStats, WorkerSlot};
use atoll_worker::{AnswerReceiver, Event, EventContext, Fault, Job, Outcome};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
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

/// The answer of an event that a version here has taken.
pub(crate) struct UnderWay {
    answer: Answer,
    _inside: Option<Inside>,
}

impl Future for UnderWay {
    type Output = Result<Outcome, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx)
    }
}

/// Whether an event is anybody's: a deployment asks what a version exports.
fn counts(event: &Event) -> bool {
    !matches!(event, Event::Describe)
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

    /// Whether it runs in this process.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self.place, Place::Here(_))
    }

    /// Has one that runs here take an event, at once; `answer` is where its reply comes out. Given back with the reason, or without
    /// one if the version was retired, or runs elsewhere.
    pub(crate) fn begin(&self, job: Box<Job>, answer: AnswerReceiver) -> Result<UnderWay, (Box<Job>, Option<Fault>)> {
        let Place::Here(slot) = &self.place else {
            return Err((job, None));
        };
        let counts = counts(&job.event);
        let inside = match self.enter(counts) {
            Ok(inside) => inside,
            Err(fault) => return Err((job, Some(fault))),
        };
        let answer = slot.submit_job(job, answer)?;
        if counts {
            self.starts.event();
        }
        Ok(UnderWay {
            answer,
            _inside: inside,
        })
    }

    /// Runs an event; given back if the version was retired.
    pub(crate) async fn run(&self, ctx: EventContext, event: Event) -> Result<Result<Outcome, Fault>, Refusal> {
        let slot = match &self.place {
            Place::Here(_) => {
                let (job, answer) = Job::new(ctx, event);
                return Ok(self.begin(job, answer)?.await);
            }
            Place::Away(slot) => slot,
        };
        let counts = counts(&event);
        let _inside = self.enter(counts).map_err(Refusal::Fault)?;
        let answer = slot.run(ctx, event).await;
        if counts && answer.is_ok() {
            self.starts.event();
        }
        answer
    }

    /// One event more of its account, if there may be one.
    fn enter(&self, counts: bool) -> Result<Option<Inside>, Fault> {
        let crowd = self.crowd.as_ref().filter(|_| counts);
        crowd.map(Crowd::enter).transpose()
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
