//! Events' answers, and what a request shows of itself.

use crate::exception::from_js_error;
use crate::ops::body::{Sender, Source};
use crate::ops::websocket::Socket;
use crate::ops::{isolate, text};
use atoll_worker::wire::HEADERS_MAX;
use atoll_worker::{Body, Fault, FaultKind, JsException, Outcome, Request, Response, ResponseHead, WebSocketEnd};
use bytes::Bytes;
use deno_core::convert::ByteString;
use deno_core::error::JsError;
use deno_core::{OpState, op2, v8};
use deno_error::JsErrorBox;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;

/// A header list as one Latin-1 string: names and values, each followed by NUL but the last.
pub(crate) fn headers_to_wire(headers: &HeaderMap) -> Vec<u8> {
    let mut wire = Vec::with_capacity(headers.len() * 40);
    add_headers(headers, &mut wire);
    wire
}

fn add_headers(headers: &HeaderMap, wire: &mut Vec<u8>) {
    let start = wire.len();
    for (name, value) in headers {
        if wire.len() > start {
            wire.push(0);
        }
        wire.extend_from_slice(name.as_str().as_bytes());
        wire.push(0);
        wire.extend_from_slice(value.as_bytes());
    }
}

/// Versions of HTTP and TLS, as `js/13_request.js` has them.
const PROTOCOLS: [&str; 3] = ["HTTP/1.0", "HTTP/1.1", "HTTP/2"];
const TLS_VERSIONS: [&str; 3] = ["", "TLSv1.2", "TLSv1.3"];

/// All that JavaScript can ask of a request without a body of which no more is known than its head: a letter for the versions,
/// then the headers' wire form. Unlike a native source it leaves nothing behind for the garbage collector to end. False, and
/// `wire` as it was, for any other request.
pub(crate) fn plain_request(request: &Request, wire: &mut Vec<u8>) -> bool {
    let head = &request.head;
    let is_plain = matches!(request.body, Body::Empty) && head.client.is_none() && head.cf.is_none();
    let place = |list: &[&str], text: &str| list.iter().position(|known| *known == text);
    let (true, Some(protocol), Some(tls)) = (
        is_plain,
        place(&PROTOCOLS, head.protocol),
        place(&TLS_VERSIONS, head.tls_version),
    ) else {
        return false;
    };
    // Less than ten.
    wire.push(b'a' + (protocol * TLS_VERSIONS.len() + tls) as u8);
    add_headers(&head.headers, wire);
    true
}

/// Ends the isolate because the worker asks for it: every event that it serves is answered with a fault that says so.
#[op2(fast)]
pub(crate) fn op_isolate_abort(state: &OpState, #[string] reason: &str) {
    let reason = if reason.is_empty() {
        "no reason was given"
    } else {
        reason
    };
    if let Some(interrupt) = isolate(state).interrupt.get() {
        let message = format!("the worker ended its isolate with abortIsolate(): {reason}");
        interrupt.terminate_blindly(Fault::new(FaultKind::Exception, message));
    }
}

/// What most answers say of themselves: nothing is copied for it, and nothing checked.
fn known_value(value: &[u8]) -> Option<HeaderValue> {
    const TEXT: HeaderValue = HeaderValue::from_static("text/plain;charset=UTF-8");
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    const HTML: HeaderValue = HeaderValue::from_static("text/html;charset=UTF-8");
    match value {
        b"text/plain;charset=UTF-8" => Some(TEXT),
        b"application/json" => Some(JSON),
        b"text/html;charset=UTF-8" => Some(HTML),
        _ => None,
    }
}

/// The list in a wire string. JavaScript has checked names and values; what it let through and HTTP does not (control
/// characters in values) is the worker's error.
pub(crate) fn headers_from_wire(wire: &[u8]) -> Result<HeaderMap, JsErrorBox> {
    let mut headers = HeaderMap::new();
    if wire.is_empty() {
        return Ok(headers);
    }
    let mut fields = wire.split(|byte| *byte == 0);
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let show = || String::from_utf8_lossy(name).into_owned();
        let header = HeaderName::from_bytes(name)
            .map_err(|_| JsErrorBox::type_error(format!("Invalid header name \"{}\".", show())))?;
        let value = known_value(value).map_or_else(|| HeaderValue::from_bytes(value), Ok);
        let value = value.map_err(|_| {
            JsErrorBox::type_error(format!(
                "Invalid value of header \"{}\": it holds a control character.",
                show()
            ))
        })?;
        // The map panics at 2^15; whoever adds some on the way has room.
        if headers.len() >= HEADERS_MAX {
            let message = format!("A message cannot have more than {HEADERS_MAX} header fields.");
            return Err(JsErrorBox::type_error(message));
        }
        headers.append(header, value);
    }
    Ok(headers)
}

/// The request's headers in wire form.
#[op2]
pub(crate) fn op_request_headers(#[cppgc] source: &Source) -> ByteString {
    let wire = source
        .request
        .as_ref()
        .map(|(head, _)| headers_to_wire(&head.headers))
        .unwrap_or_default();
    ByteString::from(wire)
}

/// `request.cf` as JSON.
#[op2]
#[string]
pub(crate) fn op_request_cf(#[cppgc] source: &Source) -> String {
    let Some((head, _)) = &source.request else {
        return "{}".to_owned();
    };
    if head.protocol.is_empty() {
        // From a worker, which said what it is to be, if anything.
        return head.cf.as_deref().unwrap_or_default().to_owned();
    }
    let accept = head
        .headers
        .get(http::header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let mut cf = serde_json::json!({
        "httpProtocol": head.protocol,
        "tlsVersion": head.tls_version,
        "clientAcceptEncoding": accept,
        "edgeRequestKeepAliveStatus": 1,
    });
    if let Some(client) = &head.client
        && let (Some(cf), Ok(serde_json::Value::Object(more))) = (cf.as_object_mut(), serde_json::to_value(&**client))
    {
        cf.extend(more);
    }
    cf.to_string()
}

/// Resolves with true when the client went away.
#[op2]
pub(crate) fn op_request_canceled(#[cppgc] source: &Source) -> impl Future<Output = bool> + use<> {
    let cancel = source.request.as_ref().map(|(_, ctx)| ctx.cancel.clone());
    async move {
        match cancel {
            Some(cancel) => {
                cancel.cancelled().await;
                true
            }
            None => false,
        }
    }
}

/// As [`op_request_canceled`], of an event by its id.
#[op2]
pub(crate) fn op_event_canceled(state: &OpState, #[smi] id: u32) -> impl Future<Output = bool> + use<> {
    let cancel = isolate(state).cancel_of(id);
    async move {
        match cancel {
            Some(cancel) => {
                cancel.cancelled().await;
                true
            }
            None => false,
        }
    }
}

fn head(status: u16, status_text: String, wire: &[u8], manual_encoding: bool) -> Result<ResponseHead, JsErrorBox> {
    Ok(ResponseHead {
        status_text,
        headers: headers_from_wire(wire)?,
        manual_encoding,
        ..ResponseHead::new(status)
    })
}

fn answer(state: &OpState, id: u32, head: ResponseHead, body: Body, websocket: Option<WebSocketEnd>) {
    let response = Response { head, body, websocket };
    isolate(state).answer(id, Ok(Outcome::Fetch(Box::new(response))));
}

/// Flags of an answer, as `js/91_dispatch.js` has them: the worker has encoded the body itself; nothing else holds the event,
/// which is over with this.
const MANUAL_ENCODING: u32 = 1;
const LAST: u32 = 2;

fn respond(state: &OpState, id: u32, flags: u32, head: ResponseHead, body: Body) {
    answer(state, id, head, body, None);
    if flags & LAST != 0 {
        isolate(state).over(id);
    }
}

/// Answers with text.
#[op2(fast)]
pub(crate) fn op_respond_text(
    scope: &mut v8::PinScope<'_, '_>,
    state: &OpState,
    #[smi] id: u32,
    #[smi] status: u16,
    #[string] status_text: String,
    #[string(onebyte)] headers: Cow<'_, [u8]>,
    #[smi] flags: u32,
    content: v8::Local<'_, v8::String>,
) -> Result<(), JsErrorBox> {
    let head = head(status, status_text, &headers, flags & MANUAL_ENCODING != 0)?;
    let content = Bytes::from(text(scope, content));
    respond(state, id, flags, head, Body::Full(content));
    Ok(())
}

/// Answers with bytes.
#[op2(fast)]
pub(crate) fn op_respond_bytes(
    state: &OpState,
    #[smi] id: u32,
    #[smi] status: u16,
    #[string] status_text: String,
    #[string(onebyte)] headers: Cow<'_, [u8]>,
    #[smi] flags: u32,
    #[buffer] bytes: &[u8],
) -> Result<(), JsErrorBox> {
    let head = head(status, status_text, &headers, flags & MANUAL_ENCODING != 0)?;
    respond(state, id, flags, head, Body::Full(Bytes::copy_from_slice(bytes)));
    Ok(())
}

/// Answers without a body.
#[op2(fast)]
pub(crate) fn op_respond_empty(
    state: &OpState,
    #[smi] id: u32,
    #[smi] status: u16,
    #[string] status_text: String,
    #[string(onebyte)] headers: Cow<'_, [u8]>,
    #[smi] flags: u32,
) -> Result<(), JsErrorBox> {
    let head = head(status, status_text, &headers, flags & MANUAL_ENCODING != 0)?;
    respond(state, id, flags, head, Body::Empty);
    Ok(())
}

/// Answers with a body that came from outside and that nobody looked into.
#[op2(fast)]
pub(crate) fn op_respond_native(
    state: &OpState,
    #[smi] id: u32,
    #[smi] status: u16,
    #[string] status_text: String,
    #[string(onebyte)] headers: Cow<'_, [u8]>,
    #[smi] flags: u32,
    #[cppgc] source: &Source,
) -> Result<(), JsErrorBox> {
    let head = head(status, status_text, &headers, flags & MANUAL_ENCODING != 0)?;
    respond(state, id, flags, head, source.take());
    Ok(())
}

/// Answers with a stream, and returns where its bytes go.
#[op2]
#[cppgc]
pub(crate) fn op_respond_stream(
    state: &OpState,
    #[smi] id: u32,
    #[smi] status: u16,
    #[string] status_text: String,
    #[string(onebyte)] headers: Cow<'_, [u8]>,
    manual_encoding: bool,
    length: f64,
) -> Result<Sender, JsErrorBox> {
    let head = head(status, status_text, &headers, manual_encoding)?;
    let (sender, receiver) = Sender::channel(length);
    answer(state, id, head, Body::Stream(receiver), None);
    Ok(sender)
}

/// Answers with 101. `passed_on` is a socket from outside that travels on; otherwise a new one is made and returned.
#[op2]
#[cppgc]
pub(crate) fn op_respond_websocket(
    state: &OpState,
    #[smi] id: u32,
    #[string(onebyte)] headers: Cow<'_, [u8]>,
    #[cppgc] passed_on: Option<&Socket>,
) -> Result<Option<Socket>, JsErrorBox> {
    let head = head(101, String::new(), &headers, false)?;
    if let Some(socket) = passed_on {
        let end = socket
            .take()
            .ok_or_else(|| JsErrorBox::type_error("Can't return a WebSocket that is in use."))?;
        answer(state, id, head, Body::Empty, Some(end));
        return Ok(None);
    }
    let (theirs, mine) = atoll_worker::socket::pair();
    answer(state, id, head, Body::Empty, Some(theirs));
    Ok(Some(Socket::new(mine)))
}

/// The `scheduled` handler is done.
#[op2(fast)]
pub(crate) fn op_scheduled_done(state: &OpState, #[smi] id: u32, no_retry: bool) {
    isolate(state).answer(id, Ok(Outcome::Scheduled { no_retry }));
}

/// The `test` handler is done.
#[op2(fast)]
pub(crate) fn op_test_done(state: &OpState, #[smi] id: u32) {
    isolate(state).answer(id, Ok(Outcome::Test));
}

/// What the worker exports, as JSON.
#[op2(fast)]
pub(crate) fn op_described(state: &OpState, #[smi] id: u32, #[string] exports: &str) -> Result<(), JsErrorBox> {
    let exports = serde_json::from_str(exports).map_err(|error| JsErrorBox::type_error(error.to_string()))?;
    isolate(state).answer(id, Ok(Outcome::Described(exports)));
    Ok(())
}

fn exception(scope: &mut v8::PinScope<'_, '_>, error: v8::Local<'_, v8::Value>) -> JsException {
    let error = v8::Local::new(scope, error);
    from_js_error(&JsError::from_v8_exception(scope, error))
}

/// Tells the isolate's debugger, if it has one.
fn show(scope: &mut v8::PinScope<'_, '_>, state: &OpState, error: v8::Local<'_, v8::Value>) {
    let debugger = isolate(state).debugger.borrow().upgrade();
    if let Some(debugger) = debugger {
        debugger.exception_thrown(scope, error);
    }
}

/// The handler failed. `kind` as in `js/91_dispatch.js`.
#[op2(fast)]
pub(crate) fn op_fail(
    scope: &mut v8::PinScope<'_, '_>,
    state: &OpState,
    #[smi] id: u32,
    #[smi] kind: u8,
    error: v8::Local<'_, v8::Value>,
    pass_through: bool,
) {
    let kind = match kind {
        1 => FaultKind::BadResponse,
        2 => FaultKind::NoHandler,
        _ => FaultKind::Exception,
    };
    if kind == FaultKind::Exception {
        show(scope, state, error);
    }
    let exception = explained(scope, state, error);
    let mut fault = match kind {
        FaultKind::NoHandler => Fault::new(kind, exception.message),
        _ => Fault::exception(kind, exception),
    };
    fault.pass_through = pass_through;
    isolate(state).answer(id, Err(fault));
}

/// The exception, with the limit behind it where V8 does not say.
fn explained(scope: &mut v8::PinScope<'_, '_>, state: &OpState, error: v8::Local<'_, v8::Value>) -> JsException {
    let mut exception = exception(scope, error);
    if let Some(buffers) = isolate(state).buffers.get() {
        buffers.explain(&mut exception);
    }
    exception
}

/// An exception that no answer carries.
#[op2(fast)]
pub(crate) fn op_report_exception(scope: &mut v8::PinScope<'_, '_>, state: &OpState, error: v8::Local<'_, v8::Value>) {
    show(scope, state, error);
    let exception = explained(scope, state, error);
    isolate(state).report(exception);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_wire_round_trip() {
        let mut headers = HeaderMap::new();
        headers.append("a", HeaderValue::from_static("1"));
        headers.append("set-cookie", HeaderValue::from_static(""));
        headers.append("set-cookie", HeaderValue::from_bytes(b"\xe9").unwrap());
        assert_eq!(headers_from_wire(&headers_to_wire(&headers)).unwrap(), headers);
        let many = |count: usize| vec!["x\0y"; count].join("\0").into_bytes();
        assert_eq!(headers_from_wire(&many(HEADERS_MAX)).unwrap().len(), HEADERS_MAX);
        assert!(headers_from_wire(&many(HEADERS_MAX + 1)).is_err());
        assert_eq!(headers_from_wire(b"").unwrap(), HeaderMap::new());
        assert!(headers_from_wire(b"a\0\x01").is_err());
        assert!(headers_from_wire(b"a b\0x").is_err());
    }
}
