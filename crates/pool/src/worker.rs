//! A worker version as those outside the pool hold it.

use crate::queue::Why;
use crate::slot::{Answer, Refusal, Slot};
use atoll_model::WorkerVersion;
use atoll_worker::{AnswerReceiver, Event, EventContext, Fault, FaultKind, Job, Outcome};
use std::sync::Arc;
use std::time::Duration;

/// A slot's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlotStats {
    /// Events accepted and not answered.
    pub in_flight: u32,
    /// Of these, not yet given to an isolate.
    pub queued: usize,
    /// Isolates with a thread.
    pub isolates: usize,
    /// What these hold, bytes, as far as it was measured.
    pub memory_bytes: u64,
}

/// A worker version that runs. Dropping it retires it without waiting: what is in flight finishes.
#[derive(Debug)]
pub struct WorkerSlot {
    slot: Arc<Slot>,
}

impl WorkerSlot {
    pub(crate) fn new(slot: Arc<Slot>) -> Self {
        Self { slot }
    }

    /// The version.
    pub fn version(&self) -> &Arc<WorkerVersion> {
        self.slot.version()
    }

    /// Queues an event, at once. The answer comes through the returned future.
    pub fn submit(&self, ctx: EventContext, event: Event) -> Result<Answer, Refusal> {
        self.slot.submit(ctx, event)
    }

    /// As [`WorkerSlot::submit`], of a job and where its answer comes out ([`Job::new`]). Given back with the reason, or without
    /// one if the slot has been retired.
    ///
    /// # Errors
    /// As for [`WorkerSlot::submit`].
    pub fn submit_job(&self, job: Box<Job>, answer: AnswerReceiver) -> Result<Answer, (Box<Job>, Option<Fault>)> {
        self.slot.submit_job(job, answer)
    }

    /// Runs an event. A retired slot answers [`FaultKind::Draining`]; who has a successor uses [`WorkerSlot::submit`].
    pub async fn dispatch(&self, ctx: EventContext, event: Event) -> Result<Outcome, Fault> {
        match self.submit(ctx, event) {
            Ok(answer) => answer.await,
            Err(Refusal::Fault(fault)) => Err(fault),
            Err(Refusal::Retired(..)) => Err(Fault::new(FaultKind::Draining, "the worker's version was retired")),
        }
    }

    /// Queues a job, at once; answered through its own reply, also when it is refused.
    pub fn run(&self, job: Job) {
        if let Err((job, fault)) = self.slot.accept(Box::new(job)) {
            let retired = || Fault::new(FaultKind::Draining, "the worker's version was retired");
            // Who does not wait any more has gone.
            let _ = job.reply.send(Err(fault.unwrap_or_else(retired)));
        }
    }

    /// Waits until the modules have been evaluated for the first time: how that went.
    pub async fn ready(&self) -> Result<(), Fault> {
        let mut ready = self.slot.started();
        match ready.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(result)) => result.clone(),
            _ => Err(Fault::new(FaultKind::Internal, "the worker's slot is gone")),
        }
    }

    /// Takes no more events, finishes those in flight with their `waitUntil`, then drops the isolates and their threads.
    /// What is unfinished after `grace` is ended with [`FaultKind::Draining`]. Returns how many isolates that were.
    pub async fn retire(&self, grace: Duration) -> usize {
        self.slot.retire(grace).await
    }

    /// Events will come: has an isolate made, if there is none and there is room.
    pub fn expect(&self) {
        self.slot.warm(Why::Expected);
    }

    /// Whether all its isolates have nothing unfinished: no event, no `waitUntil`, no socket.
    pub fn is_idle(&self) -> bool {
        self.slot.is_idle()
    }

    /// Where the slot stands.
    pub fn stats(&self) -> SlotStats {
        self.slot.stats()
    }
}

impl Drop for WorkerSlot {
    fn drop(&mut self) {
        self.slot.close();
    }
}
