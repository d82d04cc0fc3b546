//! The last phase: one record per request.

use atoll_worker::FaultKind;
use http::Method;
use http::uri::PathAndQuery;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The status in the log (never on the wire) of a request whose client went away before its response began.
pub const STATUS_CLIENT_GONE: u16 = 499;

/// A request and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRecord {
    /// The method, as sent.
    pub method: Method,
    /// Path and query, as sent.
    pub target: PathAndQuery,
    /// The response's status, or [`STATUS_CLIENT_GONE`].
    pub status: u16,
    /// The reason phrase.
    pub reason: Cow<'static, str>,
    /// From the request's head to the response's head.
    pub elapsed: Duration,
    /// The fault that the response reports, if the worker gave none of its own.
    pub fault: Option<FaultKind>,
}

/// Takes access records.
pub trait AccessLog: Send + Sync + 'static {
    /// Takes one record, on the I/O thread: it must not block.
    fn request(&self, record: AccessRecord);
}

/// A request that has no response yet. Dropped before it has one, it logs that the client went away.
pub(crate) struct Pending {
    log: Arc<dyn AccessLog>,
    start: Instant,
    request: Option<(Method, PathAndQuery)>,
}

impl Pending {
    pub(crate) fn new(log: Arc<dyn AccessLog>, method: Method, target: PathAndQuery) -> Self {
        Self {
            log,
            start: Instant::now(),
            request: Some((method, target)),
        }
    }

    /// The response's head is ready.
    pub(crate) fn answered(mut self, status: http::StatusCode, reason: Option<String>, fault: Option<FaultKind>) {
        let reason = match reason {
            Some(reason) => Cow::Owned(reason),
            None => Cow::Borrowed(status.canonical_reason().unwrap_or("")),
        };
        self.record(status.as_u16(), reason, fault);
    }

    fn record(&mut self, status: u16, reason: Cow<'static, str>, fault: Option<FaultKind>) {
        if let Some((method, target)) = self.request.take() {
            self.log.request(AccessRecord {
                method,
                target,
                status,
                reason,
                elapsed: self.start.elapsed(),
                fault,
            });
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.record(STATUS_CLIENT_GONE, Cow::Borrowed("Client Closed Request"), None);
    }
}
