//! The last phase: one record per request.

use crate::site::{Led, Site};
use crate::trace;
use atoll_model::{Limit, RequestId, TenantId, VersionId, WorkerName};
use atoll_worker::{FaultKind, OpenSpan, RouteNumber, TraceContext};
use http::Method;
use http::uri::PathAndQuery;
use std::borrow::Cow;
use std::net::SocketAddr;
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
    /// The host that was asked for, as the site was looked up; empty if the request was refused before.
    pub host: String,
    /// `HTTP/1.1`, `HTTP/2`.
    pub protocol: &'static str,
    /// Who asked.
    pub peer: SocketAddr,
    /// Whose site it was, if one was found.
    pub tenant: Option<TenantId>,
    /// The route's pattern, or the custom domain's name, that led there; none: the worker's own name did, or nothing.
    pub route: Option<Led>,
    /// The worker that was asked, if one was.
    pub worker: Option<WorkerName>,
    /// The version that was asked, or whose assets answered, where several serve.
    pub version: Option<VersionId>,
    /// The event's id, as error answers and the worker's own records show it; none without an event.
    pub request_id: Option<RequestId>,
    /// The front's own limit that the request broke (its status is 413, 414 or 431), or the answer's headers (500).
    pub limit: Option<Limit>,
}

/// Takes access records.
pub trait AccessLog: Send + Sync + 'static {
    /// Takes one record, on the I/O thread: it must not block.
    fn request(&self, record: AccessRecord);
}

/// A request that has no response yet. Dropped before it has one, it logs that the client went away.
pub(crate) struct Pending<'c> {
    log: &'c dyn AccessLog,
    start: Instant,
    request: Option<(Method, PathAndQuery)>,
    pub(crate) protocol: &'static str,
    pub(crate) peer: SocketAddr,
    pub(crate) host: String,
    tenant: Option<TenantId>,
    route: Option<Led>,
    worker: Option<WorkerName>,
    version: Option<VersionId>,
    request_id: Option<RequestId>,
    limit: Option<Limit>,
    span: Option<Box<OpenSpan>>,
}

impl<'c> Pending<'c> {
    /// `target`: none if none was sent, which counts as `/`.
    pub(crate) fn new(
        log: &'c dyn AccessLog,
        method: Method,
        target: Option<PathAndQuery>,
        protocol: &'static str,
        peer: SocketAddr,
    ) -> Self {
        Self {
            log,
            start: Instant::now(),
            request: Some((method, target.unwrap_or_else(|| PathAndQuery::from_static("/")))),
            protocol,
            peer,
            host: String::new(),
            tenant: None,
            route: None,
            worker: None,
            version: None,
            request_id: None,
            limit: None,
            span: None,
        }
    }

    /// Where its parts stand in a trace.
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        self.span.as_ref().map(|span| span.context().clone())
    }

    /// It is a span of a trace, which ends with the response's head.
    pub(crate) fn traced(&mut self, span: OpenSpan) {
        self.span = Some(Box::new(span));
    }

    /// The request is for this host.
    pub(crate) fn is_for(&mut self, host: &str) {
        host.clone_into(&mut self.host);
    }

    /// The request is this site's, found by that route.
    pub(crate) fn is_of(&mut self, site: &Site, route: Option<Led>) {
        self.tenant = Some(site.tenant.clone());
        self.route = route;
        self.version.clone_from(&site.version);
    }

    /// What stands for the route that led there.
    pub(crate) fn route(&self) -> Option<RouteNumber> {
        self.route.as_ref().and_then(|route| route.number)
    }

    /// The request became this event.
    pub(crate) fn becomes(&mut self, worker: &WorkerName, id: RequestId) {
        self.worker = Some(worker.clone());
        self.request_id = Some(id);
    }

    /// It broke a limit of the front.
    pub(crate) fn broke(&mut self, limit: Limit) {
        self.limit = Some(limit);
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
            if let Some(mut span) = self.span.take().filter(|span| span.is_sampled()) {
                trace::tell(&mut span, &method, &target, status, fault, self);
            }
            self.log.request(AccessRecord {
                method,
                target,
                status,
                reason,
                elapsed: self.start.elapsed(),
                fault,
                host: std::mem::take(&mut self.host),
                protocol: self.protocol,
                peer: self.peer,
                tenant: self.tenant.take(),
                route: self.route.take(),
                worker: self.worker.take(),
                version: self.version.take(),
                request_id: self.request_id,
                limit: self.limit,
            });
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.record(STATUS_CLIENT_GONE, Cow::Borrowed("Client Closed Request"), None);
    }
}
