//! What accompanies an event through every layer, as an explicit value.

use crate::{Cancel, Entry, RouteNumber, TraceContext};
use atoll_model::{RequestId, TenantId, VersionId, WorkerName};
use std::sync::Arc;

/// Who an event belongs to and when it is off. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EventContext {
    /// Whose worker.
    pub tenant: TenantId,
    /// Which worker.
    pub worker: WorkerName,
    /// This event.
    pub request_id: RequestId,
    /// Cancelled when whoever asked went away (the client closed its connection, the trigger gave up).
    pub cancel: Cancel,
    /// Where it stands in a trace, if traces are made: the parent of what it does.
    pub trace: Option<TraceContext>,
    /// Which entrypoint it is for.
    pub entry: Entry,
    /// Which version of the worker answers, where several do.
    pub version: VersionChoice,
    /// The route that led to it, if one did and is counted. It goes along with calls: what they come to counts for the route where
    /// its own worker does it, whoever called that in between, and nowhere else.
    pub route: Option<RouteNumber>,
}

/// Which of a worker's versions is to answer. Where one version serves alone it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionChoice {
    /// This one; `None`: one that has a share of the traffic.
    pub exactly: Option<VersionId>,
    /// Who comes with the same key comes to the same version, as far as the shares allow; `None`: each event draws anew. Calls
    /// of other workers take it along.
    pub key: Option<Arc<str>>,
}
