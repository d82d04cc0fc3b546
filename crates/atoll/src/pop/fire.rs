//! Crons of a PoP: each tick is one PoP's, by rendezvous over those that are alive.

use super::runtime::PopRuntime;
use crate::platform::Platform;
use crate::serve::Recorder;
use atoll_host::{Tick, TickEnd, Triggers};
use atoll_pop::Agent;
use std::sync::Arc;
use std::time::Duration;

/// Begins to fire what the configuration says.
pub(crate) fn start(runtime: &Arc<PopRuntime>, agent: &Arc<Agent>, recorder: Arc<Recorder>, platform: &Platform) {
    let told = recorder.clone();
    let on_tick = move |tick: &Tick, end: &TickEnd| told.tick(tick, end);
    let owner = agent.clone();
    let owns = move |tick: &Tick| {
        let tick = atoll_pop::fleet::Tick {
            account: tick.tenant.clone(),
            worker: tick.worker.clone(),
            cron: tick.cron.clone(),
            due_ms: tick.scheduled_ms,
        };
        // Who comes later than first fires only what nobody has acknowledged, which nobody can yet say without a store of all
        // PoPs: the first alone fires.
        owner.turn(&tick) == Some(Duration::ZERO)
    };
    let triggers = Triggers::owned(
        platform.host.clone(),
        recorder,
        platform.clock.clone(),
        Box::new(on_tick),
        Box::new(owns),
    );
    // Set once, as this is called once.
    let _ = runtime.triggers.set(triggers);
}
