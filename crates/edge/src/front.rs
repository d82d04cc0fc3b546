//! What all connections of a listener share.

use crate::log::AccessLog;
use crate::options::EdgeOptions;
use crate::site::Sites;
use atoll_model::RequestId;
use atoll_stdx::TaskGroup;
use atoll_worker::Dispatch;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_util::sync::CancellationToken;

/// Ids are unique in the process, whatever number of listeners it has.
static NEXT_REQUEST: AtomicU64 = AtomicU64::new(1);

pub(crate) struct Front {
    pub(crate) options: EdgeOptions,
    pub(crate) sites: Arc<dyn Sites>,
    pub(crate) dispatch: Arc<dyn Dispatch>,
    pub(crate) log: Arc<dyn AccessLog>,
    /// Connections, and the sockets that were connections.
    pub(crate) connections: TaskGroup,
    /// What works for a connection and ends with it: request bodies, HTTP/2 streams.
    pub(crate) helpers: TaskGroup,
    /// Finish what is in flight.
    pub(crate) stop: CancellationToken,
    /// Let go of everything.
    pub(crate) cut: CancellationToken,
}

impl Front {
    pub(crate) fn next_request(&self) -> RequestId {
        RequestId(NEXT_REQUEST.fetch_add(1, Ordering::Relaxed))
    }
}
