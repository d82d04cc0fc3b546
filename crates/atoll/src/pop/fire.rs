//! Crons of a PoP: each tick is one PoP's, by rendezvous over those that are alive, and its successors' if it dies.

use super::runtime::PopRuntime;
use crate::platform::Platform;
use crate::serve::Recorder;
use atoll_host::{Ownership, Skipped, Tick, TickEnd, Triggers, Turn};
use atoll_pop::Agent;
use atoll_pop::{fleet, ticks};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// The agent knows whose a tick is, and tells others what became of its own.
struct Owner(Arc<Agent>);

fn of_fleet(tick: &Tick) -> fleet::Tick {
    fleet::Tick {
        account: tick.tenant.clone(),
        worker: tick.worker.clone(),
        cron: tick.cron.clone(),
        due_ms: tick.scheduled_ms,
    }
}

impl Owner {
    fn owns(&self, tick: &fleet::Tick) -> bool {
        self.0.turn(tick) == Some(Duration::ZERO)
    }

    fn ended(&self, tick: &Tick, end: &TickEnd) {
        let tick = of_fleet(tick);
        let over = match end {
            TickEnd::Fired(..) => true,
            // The one before it still runs here: nobody is to fire it. Others have nothing to say of it.
            TickEnd::Skipped(Skipped::Overlap) => self.owns(&tick),
            TickEnd::Skipped(Skipped::Missed) => false,
        };
        if over {
            self.0.tick_is_over(&tick);
        }
    }
}

impl Ownership for Owner {
    fn expects(&self, tick: &Tick) -> bool {
        self.owns(&of_fleet(tick))
    }

    fn turn(&self, tick: &Tick) -> Turn {
        let tick = of_fleet(tick);
        match self.0.turn_of(&tick) {
            ticks::Turn::Now => Turn::Now,
            ticks::Turn::Never => Turn::Never,
            ticks::Turn::After(successor) => {
                let agent = self.0.clone();
                Turn::Later(Box::pin(async move { agent.succeeds(&tick, &successor).await }))
            }
        }
    }

    fn begins(&self, tick: &Tick) {
        self.0.tick_begins(&of_fleet(tick));
    }

    fn missed(&self, tick: &Tick) -> Option<BoxFuture<'static, bool>> {
        let (agent, tick) = (self.0.clone(), of_fleet(tick));
        Some(Box::pin(async move { agent.was_missed(&tick).await }))
    }
}

/// Begins to fire what the configuration says.
pub(crate) fn start(runtime: &Arc<PopRuntime>, agent: &Arc<Agent>, recorder: Arc<Recorder>, platform: &Platform) {
    let (told, owner) = (recorder.clone(), Owner(agent.clone()));
    let on_tick = move |tick: &Tick, end: &TickEnd| {
        owner.ended(tick, end);
        told.tick(tick, end);
    };
    let triggers = Triggers::owned(
        platform.host.clone(),
        recorder,
        platform.clock.clone(),
        Box::new(on_tick),
        Box::new(Owner(agent.clone())),
    );
    if let Some(until_ms) = agent.was_there_until() {
        triggers.absent_since(until_ms);
    }
    // What it had not come to the end of before it was started again.
    for tick in agent.left_over() {
        let left = Tick {
            tenant: tick.account.clone(),
            worker: tick.worker.clone(),
            cron: tick.cron.clone(),
            scheduled_ms: tick.due_ms,
        };
        let agent = agent.clone();
        triggers.again(left, Box::pin(async move { agent.is_left_over(&tick).await }));
    }
    // Set once, as this is called once.
    let _ = runtime.triggers.set(triggers);
}
