//! Faults as answers. The one place where a fault becomes a status.

use crate::body::EdgeBody;
use crate::identify::{Client, Refusal};
use crate::options::ErrorDetail;
use crate::page::{self, Page};
use crate::site::SiteFailure;
use atoll_model::RequestId;
use atoll_worker::{Fault, FaultKind};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

/// What `Retry-After` says, seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain;charset=UTF-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html;charset=UTF-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// The page runs no script and loads nothing, whatever a message contains.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");

/// The status by which a fault is reported.
pub(crate) fn status(kind: FaultKind) -> StatusCode {
    match kind {
        FaultKind::Exception
        | FaultKind::BadResponse
        | FaultKind::NoHandler
        | FaultKind::Startup
        | FaultKind::NeverSettles
        | FaultKind::ExceededCpu
        | FaultKind::ExceededMemory
        | FaultKind::ExceededWall
        | FaultKind::TooDeep
        | FaultKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        FaultKind::Overloaded | FaultKind::Draining | FaultKind::Canceled => StatusCode::SERVICE_UNAVAILABLE,
        FaultKind::NotFound => StatusCode::NOT_FOUND,
        // The event may have been carried out in part, so it is not offered to be sent again.
        FaultKind::Crashed => StatusCode::BAD_GATEWAY,
    }
}

/// What a worker is answered that fetches from one that does not run, as the peer answers it. No client sees this.
pub fn absent_worker(text: String) -> atoll_worker::Response {
    atoll_worker::Response {
        head: atoll_worker::ResponseHead::new(StatusCode::SERVICE_UNAVAILABLE.as_u16()),
        body: text.into(),
        websocket: None,
    }
}

/// One line for people.
fn title(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Exception => "The worker threw an exception",
        FaultKind::BadResponse => "The worker returned no usable response",
        FaultKind::NoHandler => "The worker has no handler for this event",
        FaultKind::Startup => "The worker did not start",
        FaultKind::NeverSettles => "The worker's response can never arrive",
        FaultKind::ExceededCpu => "The worker used more CPU time than it may",
        FaultKind::ExceededMemory => "The worker ran out of memory",
        FaultKind::ExceededWall => "The worker took longer than it may",
        FaultKind::Overloaded => "Too many requests wait for this worker",
        FaultKind::TooDeep => "Workers call each other in too long a chain",
        FaultKind::NotFound => "No such worker",
        FaultKind::Canceled => "The request was cancelled",
        FaultKind::Draining => "The server is stopping",
        FaultKind::Crashed => "The worker's process ended",
        FaultKind::Internal => "Internal error",
    }
}

/// Answers with a fault.
pub(crate) fn answer(fault: &Fault, detail: ErrorDetail, client: &Client, id: RequestId) -> Response<EdgeBody> {
    let status = status(fault.kind);
    let note = fault.pass_through.then_some(
        "passThroughOnException() was called, but no origin stands behind this address: there is nothing to pass the \
         request to.",
    );
    let mut response = match detail {
        ErrorDetail::Terse => terse(status, title(fault.kind), code(fault.kind), client, id),
        ErrorDetail::Developer if wants_html(client) => html(
            status,
            client,
            &page::render(&Page {
                status,
                title: title(fault.kind),
                message: &fault.message,
                exception: fault.exception.as_deref(),
                detail: None,
                note,
                request_id: Some(id),
            }),
        ),
        ErrorDetail::Developer => {
            let mut body = match &fault.exception {
                Some(exception) if !exception.stack.is_empty() => exception.stack.clone(),
                _ => fault.message.clone(),
            };
            if let Some(note) = note {
                body.push_str("\n\n");
                body.push_str(note);
            }
            text(status, client, body)
        }
    };
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

/// Answers for a site that cannot serve.
pub(crate) fn site_failure(failure: &SiteFailure, detail: ErrorDetail, client: &Client) -> Response<EdgeBody> {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    match detail {
        ErrorDetail::Terse => text(status, client, "This site cannot be served at the moment.".to_owned()),
        ErrorDetail::Developer if wants_html(client) => html(
            status,
            client,
            &page::render(&Page {
                status,
                title: &failure.title,
                message: "",
                exception: None,
                detail: Some(&failure.detail),
                note: None,
                request_id: None,
            }),
        ),
        ErrorDetail::Developer => text(status, client, format!("{}\n\n{}", failure.title, failure.detail)),
    }
}

/// Answers a request that is refused at the door. Who sends one is told the reason in both details: it is about the
/// request, not about the worker.
pub(crate) fn refusal(refusal: &Refusal, head_only: bool) -> Response<EdgeBody> {
    let client = Client {
        head_only,
        accept: None,
        accept_encoding: None,
    };
    let mut response = text(refusal.status, &client, refusal.reason.clone().into_owned());
    let headers = response.headers_mut();
    if refusal.status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    // Where the next request begins is not to be trusted after a malformed one.
    let connection = if refusal.status == StatusCode::UPGRADE_REQUIRED {
        "upgrade, close"
    } else {
        "close"
    };
    headers.insert(header::CONNECTION, HeaderValue::from_static(connection));
    response
}

/// Nothing is configured for this host or path.
pub(crate) fn not_found(client: &Client, detail: ErrorDetail, host: &str) -> Response<EdgeBody> {
    let body = match detail {
        ErrorDetail::Developer => format!("Nothing is served here: no worker and no assets answer for {host:?}."),
        ErrorDetail::Terse => "Not Found".to_owned(),
    };
    text(StatusCode::NOT_FOUND, client, body)
}

/// The account behind this address is suspended.
pub(crate) fn suspended(client: &Client) -> Response<EdgeBody> {
    let body = "What is served here is suspended.".to_owned();
    text(StatusCode::FORBIDDEN, client, body)
}

fn terse(status: StatusCode, title: &str, code: Option<u16>, client: &Client, id: RequestId) -> Response<EdgeBody> {
    let code = code.map_or_else(String::new, |code| format!("error code: {code}\n"));
    text(status, client, format!("{title}.\n{code}Request {id}\n"))
}

/// The number by which the platform's documentation tells a worker's failure ("Errors and exceptions", runtime errors).
fn code(kind: FaultKind) -> Option<u16> {
    match kind {
        FaultKind::Exception | FaultKind::BadResponse | FaultKind::NeverSettles => Some(1101),
        FaultKind::ExceededCpu | FaultKind::ExceededMemory | FaultKind::ExceededWall => Some(1102),
        FaultKind::TooDeep => Some(1019),
        _ => None,
    }
}

fn wants_html(client: &Client) -> bool {
    let accept = client.accept.as_ref().and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| {
        let essence = |member: &str| {
            member
                .split(';')
                .next()
                .unwrap_or("")
                .trim()
                .eq_ignore_ascii_case("text/html")
        };
        accept.split(',').any(essence)
    })
}

/// A plain answer of the front's own.
pub(crate) fn text(status: StatusCode, client: &Client, body: String) -> Response<EdgeBody> {
    own(status, TEXT, client, body.into())
}

fn html(status: StatusCode, client: &Client, body: &str) -> Response<EdgeBody> {
    let mut response = own(status, HTML, client, Bytes::copy_from_slice(body.as_bytes()));
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    response
}

fn own(status: StatusCode, content_type: HeaderValue, client: &Client, body: Bytes) -> Response<EdgeBody> {
    let length = body.len();
    let mut response = Response::new(if client.head_only {
        EdgeBody::Empty
    } else {
        EdgeBody::Full(body)
    });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    if client.head_only {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}
