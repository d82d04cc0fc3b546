//! What all connections of a listener share.

use crate::log::AccessLog;
use crate::options::EdgeOptions;
use crate::site::Sites;
use atoll_model::RequestId;
use atoll_stdx::TaskGroup;
use atoll_worker::{Cancel, Dispatch};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Ids are unique in the process, whatever number of listeners it has.
static NEXT_REQUEST: AtomicU64 = AtomicU64::new(1);

pub(crate) struct Front {
    pub(crate) options: EdgeOptions,
    pub(crate) sites: Arc<dyn Sites>,
    pub(crate) dispatch: Arc<dyn Dispatch>,
    pub(crate) log: Arc<dyn AccessLog>,
    /// The TLS side, if the listener has one; replaced when the certificate is.
    pub(crate) acceptor: RwLock<Option<TlsAcceptor>>,
    pub(crate) counters: Counters,
    /// Connections, and the sockets that were connections.
    pub(crate) connections: TaskGroup,
    /// What works for a connection and ends with it: request bodies, HTTP/2 streams.
    pub(crate) helpers: TaskGroup,
    /// Finish what is in flight. Set by [`Front::finish`].
    pub(crate) stop: CancellationToken,
    /// The same for those who ask at every request: the token takes a lock to say it.
    pub(crate) stopping: AtomicBool,
    /// Let go of everything.
    pub(crate) cut: Cancel,
}

/// What happened to a listener's connections.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) closed: AtomicU64,
    pub(crate) handshakes_failed: AtomicU64,
    pub(crate) accept_errors: AtomicU64,
}

impl Front {
    /// From now on what is in flight is finished and nothing else is begun.
    pub(crate) fn finish(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.cancel();
    }

    /// Whether [`Front::finish`] was called.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.acceptor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs `future`, which waits for a client's first bytes, until the listener has stopped and what the client may still
    /// be sending has had its time. `None` if that came first.
    pub(crate) async fn while_served<F: Future>(&self, future: F) -> Option<F::Output> {
        let over = async {
            self.stop.cancelled().await;
            tokio::time::sleep(self.options.limits.closing_idle_timeout).await;
        };
        tokio::select! {
            biased;
            done = future => Some(done),
            () = over => None,
        }
    }

    pub(crate) fn next_request(&self) -> RequestId {
        RequestId(NEXT_REQUEST.fetch_add(1, Ordering::Relaxed))
    }
}
