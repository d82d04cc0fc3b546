//! What accompanies an event through every layer, as an explicit value.

use crate::{Entry, TraceContext};
use atoll_model::{RequestId, TenantId, WorkerName};
use tokio_util::sync::CancellationToken;

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
    pub cancel: CancellationToken,
    /// Where it stands in a trace, if traces are made: the parent of what it does.
    pub trace: Option<TraceContext>,
    /// Which entrypoint it is for.
    pub entry: Entry,
}
