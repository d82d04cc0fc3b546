//! What workers do, as spans: the events that they handle, and their calls of the network and of KV.
//!
//! Everything is told on this side of a process boundary: the context of an event goes into its isolate and comes back with each
//! call, so that a child process tells nothing itself. Names are OpenTelemetry's semantic conventions (HTTP client, FaaS, database).
//!
//! An outgoing request carries the context in `traceparent` and `tracestate`, unless the worker has set `traceparent` itself.

use async_trait::async_trait;
use atoll_model::{NamespaceId, WorkerName, WorkerVersion};
use atoll_worker::{
    BindingError, ConnectError, ConnectRequest, Connection, Event, EventContext, Fault, FaultKind, KvEntry, KvList,
    KvListOptions, KvNamespace, KvPut, NameError, NameQuestion, NameRecord, OpenSpan, Outbound, OutboundRequest,
    Outcome, Response, SpanKind, Tracer,
};
use http::{HeaderName, HeaderValue};
use std::sync::Arc;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What kind of event it is: the span's name, and `faas.trigger`.
fn kind(event: &Event) -> Option<(&'static str, &'static str)> {
    Some(match event {
        Event::Fetch(_) => ("fetch", "http"),
        Event::Scheduled(_) => ("scheduled", "timer"),
        Event::Rpc(_) => ("rpc", "other"),
        Event::Tail(_) => ("tail", "other"),
        Event::Test => ("test", "other"),
        // Nobody's request.
        Event::Describe => return None,
    })
}

/// The span of an event; what its worker calls is below it from now on.
pub(crate) fn event(
    tracer: Option<&Arc<dyn Tracer>>,
    worker: &WorkerName,
    ctx: &mut EventContext,
    event: &Event,
) -> Option<OpenSpan> {
    let tracer = tracer?;
    let (name, trigger) = kind(event)?;
    let mut span = OpenSpan::begin(tracer, ctx.trace.as_ref(), SpanKind::Internal, || {
        format!("worker {name}")
    });
    span.set("faas.name", || worker.as_str());
    span.set("faas.trigger", || trigger);
    span.set("atoll.account", || ctx.tenant.as_str());
    if let Some(entrypoint) = &ctx.entry.name {
        span.set("atoll.entrypoint", || &**entrypoint);
    }
    if let Event::Scheduled(tick) = event {
        span.set("faas.cron", || tick.cron.as_str());
    }
    ctx.trace = Some(span.context().clone());
    Some(span)
}

/// What came of an event.
pub(crate) fn outcome(span: Option<OpenSpan>, outcome: &Result<Outcome, Fault>) {
    let Some(mut span) = span else { return };
    match outcome {
        Ok(Outcome::Fetch(response)) => {
            span.set("http.response.status_code", || i64::from(response.head.status));
        }
        Ok(_) => {}
        Err(fault) if fault.kind == FaultKind::Canceled => span.set("atoll.canceled", || true),
        Err(fault) => {
            span.set("error.type", || format!("{:?}", fault.kind));
            span.fail(&fault.message);
        }
    }
}

/// The network of a worker, with its requests as spans.
pub(crate) fn outbound(
    tracer: Option<&Arc<dyn Tracer>>,
    version: &WorkerVersion,
    inner: Arc<dyn Outbound>,
) -> Arc<dyn Outbound> {
    match tracer {
        None => inner,
        Some(tracer) => Arc::new(TracedOutbound {
            tracer: tracer.clone(),
            worker: version.name.clone(),
            inner,
        }),
    }
}

struct TracedOutbound {
    tracer: Arc<dyn Tracer>,
    worker: WorkerName,
    inner: Arc<dyn Outbound>,
}

/// Scheme, host and port of a URL in the URL Standard's normal form: `https`, `example.com`, 443.
fn place(url: &str) -> Option<(&str, &str, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let after_address = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[after_address..].rfind(':') {
        Some(at) => {
            let at = after_address + at;
            (&authority[..at], authority[at + 1..].parse().ok()?)
        }
        None => (authority, if scheme == "https" { 443 } else { 80 }),
    };
    Some((scheme, host, port))
}

#[async_trait]
impl Outbound for TracedOutbound {
    async fn fetch(&self, ctx: &EventContext, mut request: OutboundRequest) -> Result<Response, BindingError> {
        let head = &mut request.request.head;
        let mut span = OpenSpan::begin(&self.tracer, ctx.trace.as_ref(), SpanKind::Client, || {
            head.method.as_str().to_owned()
        });
        if span.is_sampled() {
            span.set("http.request.method", || head.method.as_str());
            span.set("faas.name", || self.worker.as_str());
            if let Some((scheme, host, port)) = place(&head.url) {
                span.set("url.scheme", || scheme);
                span.set("server.address", || host);
                span.set("server.port", || i64::from(port));
            }
        }
        if !head.headers.contains_key(&TRACEPARENT) {
            let context = span.context();
            // Digits and dashes.
            if let Ok(value) = HeaderValue::try_from(context.traceparent()) {
                head.headers.insert(TRACEPARENT, value);
            }
            if let Some(Ok(value)) = context.state.as_deref().map(HeaderValue::from_str)
                && !head.headers.contains_key(&TRACESTATE)
            {
                head.headers.insert(TRACESTATE, value);
            }
        }
        let answer = self.inner.fetch(ctx, request).await;
        match &answer {
            Ok(response) => {
                span.set("http.response.status_code", || i64::from(response.head.status));
                if response.head.redirects > 0 {
                    span.set("atoll.redirects", || i64::from(response.head.redirects));
                }
                if response.head.status >= 400 {
                    span.set("error.type", || response.head.status.to_string());
                    span.fail(format_args!("status {}", response.head.status));
                }
            }
            Err(error) => failed(&mut span, error),
        }
        answer
    }

    async fn connect(&self, ctx: &EventContext, request: ConnectRequest) -> Result<Connection, ConnectError> {
        let mut span = OpenSpan::begin(&self.tracer, ctx.trace.as_ref(), SpanKind::Client, || {
            "connect".to_owned()
        });
        span.set("server.address", || request.host.as_str());
        span.set("server.port", || i64::from(request.port));
        let answer = self.inner.connect(ctx, request).await;
        if let Err(error) = &answer {
            span.set("error.type", || format!("{:?}", error.kind));
            span.fail(&error.message);
        }
        answer
    }

    async fn resolve(&self, ctx: &EventContext, question: NameQuestion) -> Result<Vec<NameRecord>, NameError> {
        let mut span = OpenSpan::begin(&self.tracer, ctx.trace.as_ref(), SpanKind::Client, || {
            "resolve".to_owned()
        });
        span.set("dns.question.name", || question.name.as_str());
        let answer = self.inner.resolve(ctx, question).await;
        if let Err(error) = &answer {
            span.set("error.type", || format!("{:?}", error.kind));
            span.fail(&error.message);
        }
        answer
    }
}

fn failed(span: &mut OpenSpan, error: &BindingError) {
    span.set("error.type", || format!("{:?}", error.kind));
    span.fail(&error.message);
}

/// A namespace, with its operations as spans.
pub(crate) fn kv(
    tracer: Option<&Arc<dyn Tracer>>,
    namespace: &NamespaceId,
    inner: Arc<dyn KvNamespace>,
) -> Arc<dyn KvNamespace> {
    match tracer {
        None => inner,
        Some(tracer) => Arc::new(TracedKv {
            tracer: tracer.clone(),
            namespace: namespace.clone(),
            inner,
        }),
    }
}

struct TracedKv {
    tracer: Arc<dyn Tracer>,
    namespace: NamespaceId,
    inner: Arc<dyn KvNamespace>,
}

impl TracedKv {
    fn begin(&self, ctx: &EventContext, operation: &'static str, keys: usize) -> OpenSpan {
        let mut span = OpenSpan::begin(&self.tracer, ctx.trace.as_ref(), SpanKind::Client, || {
            format!("kv {operation}")
        });
        span.set("db.system.name", || "atoll.kv");
        span.set("db.operation.name", || operation);
        span.set("db.namespace", || self.namespace.as_str());
        // Keys may be secrets: their number is enough.
        span.set("db.operation.batch.size", || i64::try_from(keys).unwrap_or(i64::MAX));
        span
    }
}

fn told<T>(mut span: OpenSpan, answer: Result<T, BindingError>) -> Result<T, BindingError> {
    if let Err(error) = &answer {
        failed(&mut span, error);
    }
    answer
}

#[async_trait]
impl KvNamespace for TracedKv {
    async fn get(&self, ctx: &EventContext, keys: Vec<String>) -> Result<Vec<Option<KvEntry>>, BindingError> {
        let span = self.begin(ctx, "get", keys.len());
        told(span, self.inner.get(ctx, keys).await)
    }

    async fn put(&self, ctx: &EventContext, put: KvPut) -> Result<(), BindingError> {
        let span = self.begin(ctx, "put", 1);
        told(span, self.inner.put(ctx, put).await)
    }

    async fn delete(&self, ctx: &EventContext, keys: Vec<String>) -> Result<(), BindingError> {
        let span = self.begin(ctx, "delete", keys.len());
        told(span, self.inner.delete(ctx, keys).await)
    }

    async fn list(&self, ctx: &EventContext, options: KvListOptions) -> Result<KvList, BindingError> {
        let span = self.begin(ctx, "list", 0);
        told(span, self.inner.list(ctx, options).await)
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn places_of_urls() {
        let check = |url: &str, expected: Option<(&str, &str, u16)>| assert_eq!(place(url), expected, "{url}");
        check("https://example.com/a?b", Some(("https", "example.com", 443)));
        check("http://example.com", Some(("http", "example.com", 80)));
        check("http://127.0.0.1:8080/", Some(("http", "127.0.0.1", 8080)));
        check("https://[::1]/", Some(("https", "[::1]", 443)));
        check("https://[::1]:81?x", Some(("https", "[::1]", 81)));
        check("nothing", None);
    }
}
