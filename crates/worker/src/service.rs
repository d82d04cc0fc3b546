//! Calls from worker to worker: which entrypoint an event is for, and the capability that carries it there.
//!
//! A [`ServiceStub`] is what a service binding holds, and what `ctx.exports` and loaded workers give out: a way to one
//! entrypoint of one worker, with the props that the entrypoint is to see. It takes whole [`Event`]s, so that a fetch, an
//! RPC session ([`crate::rpc`]) and whatever events come later go the same way.
//!
//! Failures are [`Fault`]s, which the caller's engine throws as exceptions. A chain of workers that call each other is cut
//! at [`CALL_DEPTH_MAX`].

use crate::{Event, EventContext, Fault, Outcome};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// How many workers may call each other in a chain, the first one not counted. A worker that calls itself without end
/// meets this.
pub const CALL_DEPTH_MAX: u32 = 32;

/// What an entrypoint sees as `ctx.props`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Props {
    /// JSON, from a configuration.
    Json(Arc<str>),
    /// The engine's structured clone, from code.
    Clone(Bytes),
}

/// Which part of a worker an event is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The export that handles it; `None` for the default export.
    pub name: Option<Arc<str>>,
    /// `ctx.props`; `None` is an empty object.
    pub props: Option<Props>,
    /// How many workers stand between the first event and this one.
    pub depth: u32,
}

/// A worker that takes events from other workers.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Runs `event`. `ctx.entry` says which entrypoint; whose worker it is, and which, the service knows itself.
    async fn dispatch(&self, ctx: EventContext, event: Event) -> Result<Outcome, Fault>;
}

/// One entrypoint of a service, with its props.
#[derive(Clone)]
pub struct ServiceStub {
    /// The worker.
    pub service: Arc<dyn Service>,
    /// The export; `None` for the default one.
    pub entrypoint: Option<Arc<str>>,
    /// What it sees as `ctx.props`.
    pub props: Option<Props>,
}

impl fmt::Debug for ServiceStub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceStub")
            .field("entrypoint", &self.entrypoint)
            .finish_non_exhaustive()
    }
}

/// The service of a worker that is in no table, and that nothing can call.
struct Nowhere;

#[async_trait]
impl Service for Nowhere {
    async fn dispatch(&self, ctx: EventContext, _: Event) -> Result<Outcome, Fault> {
        let text = format!("Worker \"{}\" cannot be called: no host runs it.", ctx.worker);
        Err(Fault::new(crate::FaultKind::NotFound, text))
    }
}

impl ServiceStub {
    /// A stub of a worker that no host runs: each call fails.
    pub fn nowhere() -> Self {
        Self::new(Arc::new(Nowhere))
    }

    /// The default entrypoint of `service`, without props.
    pub fn new(service: Arc<dyn Service>) -> Self {
        Self {
            service,
            entrypoint: None,
            props: None,
        }
    }

    /// Runs `event` in the entrypoint. `ctx` is the caller's, one level deeper than the caller's own.
    pub async fn dispatch(&self, mut ctx: EventContext, event: Event) -> Result<Outcome, Fault> {
        ctx.entry.name.clone_from(&self.entrypoint);
        ctx.entry.props.clone_from(&self.props);
        if ctx.entry.depth > CALL_DEPTH_MAX {
            return Err(Fault::new(
                crate::FaultKind::TooDeep,
                format!(
                    "Subrequest depth limit exceeded. This request recursed through Workers too many times: {CALL_DEPTH_MAX} \
                     calls deep. This can happen if a Worker calls itself, or other Workers, recursively."
                ),
            ));
        }
        self.service.dispatch(ctx, event).await
    }
}
