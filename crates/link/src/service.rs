//! A service of the other side.

use crate::LinkError;
use crate::convert::{self, EventParts};
use crate::core::{Core, Waiting};
use crate::error::CallError;
use crate::message::Message;
use crate::parent::Patience;
use crate::wire::{CallHead, CallWire};
use async_trait::async_trait;
use atoll_worker::{Event, EventContext, Fault, FaultKind, LimitHit, Outcome, Service};
use std::sync::Arc;
use std::time::Duration;

/// Calls of it go over the link; dropping it releases the original.
pub(crate) struct PeerService {
    core: Arc<Core>,
    id: u64,
}

impl PeerService {
    pub(crate) fn import(core: &Arc<Core>, id: u64) -> Arc<Self> {
        let service = Arc::new(Self { core: core.clone(), id });
        core.import(Arc::as_ptr(&service).cast::<()>() as usize, id);
        service
    }
}

impl Drop for PeerService {
    fn drop(&mut self) {
        self.core
            .release(std::ptr::from_ref(self).cast::<()>() as usize, self.id);
    }
}

#[async_trait]
impl Service for PeerService {
    async fn dispatch(&self, ctx: EventContext, event: Event) -> Result<Outcome, Fault> {
        let message = event_message(To::Service(self.id), &ctx, event);
        let waiting = Waiting::begin(&self.core, message, Some(ctx.cancel.token().clone()), None);
        outcome(&self.core, waiting, &ctx, None).await
    }
}

/// To what of the other side an event goes.
pub(crate) enum To {
    /// A service, by the number of its export.
    Service(u64),
    /// A slot; `traces`: somebody takes trace items.
    Slot { slot: u64, traces: bool },
}

/// The call that brings an event to a slot of the other side, or to a service of it.
pub(crate) fn event_message(to: To, ctx: &EventContext, event: Event) -> Message {
    let mut message = Message::default();
    let parts = EventParts::new(event, &mut message);
    let (ctx, event) = (convert::context(ctx), parts.wire());
    let (export, call) = match to {
        To::Slot { slot, traces } => {
            let call = CallWire::Event {
                slot,
                traces,
                ctx,
                event,
            };
            (None, call)
        }
        To::Service(export) => (Some(export), CallWire::Service { ctx, event }),
    };
    message.head(&CallHead { export, call });
    message
}

/// Waits for an event's outcome, and passes a cancellation on meanwhile. Whoever uses up the patience ends the link.
pub(crate) async fn outcome(
    core: &Arc<Core>,
    waiting: Result<Waiting, CallError>,
    ctx: &EventContext,
    patience: Option<Patience>,
) -> Result<Outcome, Fault> {
    let mut waiting = waiting.map_err(|error| convert::lost(&error))?;
    let wall = patience.and_then(|patience| patience.wall);
    let answer = tokio::select! {
        biased;
        answer = &mut waiting => Ok(answer),
        () = ctx.cancel.cancelled() => {
            waiting.cancel();
            match patience {
                None => Ok(waiting.await),
                Some(Patience { cancelled: (hit, within), .. }) => {
                    tokio::time::timeout(within, waiting).await.map_err(|_| hit)
                }
            }
        }
        hit = expired(wall), if wall.is_some() => Err(hit),
    };
    let answer = answer.map_err(|hit| {
        core.close(LinkError::Overdue(hit));
        overdue(hit)
    })?;
    match convert::parse_answer(answer.map_err(|error| convert::lost(&error))?) {
        Ok(answer) => answer,
        Err(error) => {
            let text = format!("the worker's process answered what is no outcome: {error}");
            core.close(error);
            Err(Fault::new(FaultKind::Internal, text))
        }
    }
}

async fn expired(wall: Option<(LimitHit, Duration)>) -> LimitHit {
    match wall {
        Some((hit, within)) => {
            tokio::time::sleep(within).await;
            hit
        }
        None => std::future::pending().await,
    }
}

/// The fault of events whose child gave one of them no answer.
pub(crate) fn overdue(hit: LimitHit) -> Fault {
    const WHY: &str = "the process that ran the worker gave an event no answer by its time limit, and was ended";
    Fault::limit(FaultKind::ExceededWall, hit.limit, hit.value, WHY)
}
