//! A request as a span: its context from the client's headers, and what is said of it.
//!
//! Source: OpenTelemetry semantic conventions, "HTTP spans" (server). Paths and queries are not told whole: a query may hold
//! secrets, and a name must be of a small set.

use crate::log::{Pending, STATUS_CLIENT_GONE};
use atoll_worker::{FaultKind, OpenSpan, SpanKind, TraceContext, Tracer};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method};
use std::sync::Arc;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What the client's headers say. Several `traceparent` are none; several `tracestate` are one list.
fn sent(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let parent = parents.next()?.to_str().ok()?;
    if parents.next().is_some() {
        return None;
    }
    let states: Vec<&str> = headers
        .get_all(TRACESTATE)
        .iter()
        .filter_map(|state| state.to_str().ok())
        .collect();
    let state = (!states.is_empty()).then(|| states.join(","));
    TraceContext::read(parent, state.as_deref())
}

/// The span of a request.
pub(crate) fn begin(tracer: &Arc<dyn Tracer>, method: &Method, headers: &HeaderMap) -> OpenSpan {
    let parent = sent(headers);
    OpenSpan::begin(tracer, parent.as_ref(), SpanKind::Server, || known(method).to_owned())
}

/// A method of a small set.
fn known(method: &Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH") => known,
        _ => "_OTHER",
    }
}

/// Says of the span what became of its request.
pub(crate) fn tell(
    span: &mut OpenSpan,
    method: &Method,
    target: &PathAndQuery,
    status: u16,
    fault: Option<FaultKind>,
    request: &Pending,
) {
    span.set("http.request.method", || known(method));
    span.set("url.path", || target.path());
    span.set("server.address", || request.host.as_str());
    span.set("network.protocol.version", || {
        request.protocol.rsplit('/').next().unwrap_or_default()
    });
    span.set("client.address", || request.peer.ip().to_string());
    if status != STATUS_CLIENT_GONE {
        span.set("http.response.status_code", || i64::from(status));
    }
    match fault {
        Some(kind) => {
            span.set("error.type", || format!("{kind:?}"));
            span.fail(format!("{kind:?}"));
        }
        None if status == STATUS_CLIENT_GONE => span.fail("the client went away"),
        None if status >= 500 => {
            span.set("error.type", || status.to_string());
            span.fail(format!("status {status}"));
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn contexts_of_headers() {
        let check = |headers: &[(HeaderName, &str)], expected: Option<Option<&str>>| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name, HeaderValue::from_str(value).unwrap());
            }
            let found = sent(&map);
            assert_eq!(
                found.as_ref().map(|context| context.state.as_deref()),
                expected,
                "{headers:?}"
            );
        };
        check(&[], None);
        check(&[(TRACEPARENT, PARENT)], Some(None));
        check(&[(TRACEPARENT, PARENT), (TRACEPARENT, PARENT)], None);
        check(&[(TRACEPARENT, "nonsense"), (TRACESTATE, "a=1")], None);
        check(
            &[(TRACEPARENT, PARENT), (TRACESTATE, "a=1"), (TRACESTATE, "b=2")],
            Some(Some("a=1,b=2")),
        );
    }
}
