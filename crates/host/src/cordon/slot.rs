//! A worker's version behind the cordon: started in a child when its first event comes there, and retired wherever it runs.

use super::Cordon;
use super::child::Child;
use super::place::Place;
use atoll_link::{RemoteRefusal, RemoteSlot};
use atoll_model::WorkerVersion;
use atoll_pool::{Refusal, SlotStats};
use atoll_worker::{Environment, Event, EventContext, Fault, FaultKind, Outcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Children that may end under one event before it was sent, until it is given up.
const TRIES_MAX: u32 = 4;

/// A version that runs in children. Dropping it retires it without waiting.
pub(crate) struct CordonSlot {
    number: u64,
    cordon: Arc<Cordon>,
    version: Arc<WorkerVersion>,
    environment: Environment,
    /// Where it may run, best first.
    places: Vec<Arc<Place>>,
    retired: AtomicBool,
}

impl CordonSlot {
    pub(super) fn new(
        number: u64,
        cordon: Arc<Cordon>,
        version: Arc<WorkerVersion>,
        environment: Environment,
        places: Vec<Arc<Place>>,
    ) -> Self {
        Self {
            number,
            cordon,
            version,
            environment,
            places,
            retired: AtomicBool::new(false),
        }
    }

    /// Tells the slots of a cordon apart.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn version(&self) -> &Arc<WorkerVersion> {
        &self.version
    }

    pub(super) fn environment(&self) -> Environment {
        self.environment.clone()
    }

    /// Starts the version in the tenant's first child and waits for its modules.
    pub(crate) async fn ready(&self) -> Result<(), Fault> {
        let mut last = None;
        for _ in 0..TRIES_MAX {
            let child = self.cordon.child(&self.places, self.number).await?;
            let Some(worker) = child.worker(self, true) else {
                continue;
            };
            match worker.ready().await {
                Err(_) if child.is_over() => last = child.verdict().await,
                answer => return answer,
            }
        }
        Err(last.unwrap_or_else(unlucky))
    }

    /// Events will come: has it started in the child that would take them, if one is there.
    pub(crate) fn expect(&self) {
        let child = self.cordon.child_now(&self.places, self.number);
        if let Some(worker) = child.and_then(|child| child.worker(self, true)) {
            worker.expect();
        }
    }

    /// It was retired: nothing may start it any more.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Runs an event. Given back if the version was retired.
    pub(crate) async fn run(&self, ctx: EventContext, event: Event) -> Result<Result<Outcome, Fault>, Refusal> {
        let (mut ctx, mut event) = (ctx, event);
        for _ in 0..TRIES_MAX {
            if self.is_retired() || self.cordon.is_stopping() {
                return Err(Refusal::Retired(ctx, event));
            }
            let child = match self.cordon.child(&self.places, self.number).await {
                Ok(child) => child,
                Err(fault) => return Err(Refusal::Fault(fault)),
            };
            let Some(worker) = child.worker(self, false) else {
                continue;
            };
            match worker.submit(ctx, event) {
                Ok(answer) => {
                    let answer = answer.wait().await;
                    return Ok(match answer {
                        Err(fault) => Err(of_end(&child, fault).await),
                        outcome => outcome,
                    });
                }
                Err(RemoteRefusal::Fault(fault)) => return Err(Refusal::Fault(of_end(&child, fault).await)),
                Err(RemoteRefusal::Retired(same_ctx, same_event)) => (ctx, event) = (same_ctx, same_event),
            }
        }
        Err(Refusal::Fault(unlucky()))
    }

    /// Where it stands, as far as this process knows: what waits and what runs in a child is not told apart.
    pub(crate) fn stats(&self) -> SlotStats {
        let children = self.cordon.children();
        let workers = children.iter().filter_map(|child| child.running(self.number));
        workers.fold(SlotStats::default(), |sum, worker| SlotStats {
            in_flight: sum.in_flight + worker.in_flight(),
            // Where the child has not said it yet, one is being made.
            isolates: sum.isolates + worker.isolates().max(1),
            memory_bytes: sum.memory_bytes.saturating_add(worker.memory_bytes()),
            ..sum
        })
    }

    /// Takes no more events and finishes those in flight, within `grace`. Returns how many isolates were cut off.
    pub(crate) async fn retire(&self, grace: Duration) -> usize {
        let retired = self
            .take()
            .into_iter()
            .map(|worker| async move { worker.retire(grace).await });
        futures_util::future::join_all(retired).await.into_iter().sum()
    }

    fn take(&self) -> Vec<Arc<RemoteSlot>> {
        self.retired.store(true, Ordering::Release);
        self.cordon
            .children()
            .iter()
            .filter_map(|child| child.take(self.number))
            .collect()
    }
}

impl Drop for CordonSlot {
    fn drop(&mut self) {
        // What runs on finishes what it has.
        self.take();
    }
}

/// What a fault says when its child is no more: it was not the worker's answer.
async fn of_end(child: &Child, fault: Fault) -> Fault {
    if fault.kind != FaultKind::Internal || !child.is_over() {
        return fault;
    }
    let crashed = || {
        Fault::new(
            FaultKind::Crashed,
            "the process that ran the worker ended before the event was over; another process takes what comes next",
        )
    };
    // Why is known when the process is over, which is a matter of milliseconds after its link.
    child.verdict().await.unwrap_or_else(crashed)
}

fn unlucky() -> Fault {
    Fault::new(
        FaultKind::Overloaded,
        format!("{TRIES_MAX} processes ended, one after the other, before one of them could take the event"),
    )
}
