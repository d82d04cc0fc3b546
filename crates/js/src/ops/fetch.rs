//! Outgoing requests: through the host's network, or to a binding.

use crate::exception::binding_error;
use crate::ops::body::Source;
use crate::ops::event::{headers_from_wire, headers_to_wire};
use crate::ops::isolate;
use crate::ops::socket::failure_code;
use crate::ops::websocket::Socket;
use crate::state::IsolateState;
use atoll_model::RequestId;
use atoll_worker::{
    Binding, BindingError, BindingErrorKind, Body, ConnectErrorKind, Entry, EventContext, OutboundRequest, Redirect,
    Request, RequestHead, Response,
};
use bytes::Bytes;
use deno_core::convert::ByteString;
use deno_core::{JsBuffer, OpState, ToV8, op2, v8};
use deno_error::JsErrorBox;
use http::{HeaderMap, Method};
use std::cell::RefCell;
use std::rc::Rc;
use tokio_util::sync::CancellationToken;

/// What goes with calls that belong to no particular event: the isolate's own identity.
pub(crate) fn call_context(state: &OpState, cancel: CancellationToken) -> EventContext {
    let isolate = isolate(state);
    let (trace, route) = isolate.caller();
    EventContext {
        tenant: isolate.version.tenant.clone(),
        worker: isolate.version.name.clone(),
        request_id: RequestId(0),
        cancel: cancel.into(),
        trace,
        route,
        version: Default::default(),
        entry: Entry::default(),
    }
}

/// A token by which a fetch can be cancelled.
#[op2(fast)]
#[smi]
pub(crate) fn op_fetch_token(state: &OpState) -> u32 {
    isolate(state).fetches.borrow_mut().insert(CancellationToken::new()) as u32
}

/// Cancels the fetch with this token, if it is still running.
#[op2(fast)]
pub(crate) fn op_fetch_cancel(state: &OpState, #[smi] token: u32) {
    if let Some(token) = isolate(state).fetches.borrow().get(token as usize) {
        token.cancel();
    }
}

/// A response as JavaScript takes it apart.
pub(crate) struct Reply(pub Response);

impl<'a> ToV8<'a> for Reply {
    type Error = JsErrorBox;

    fn to_v8<'i>(self, scope: &mut v8::PinScope<'a, 'i>) -> Result<v8::Local<'a, v8::Value>, Self::Error> {
        let Response { head, body, websocket } = self.0;
        let text = |scope: &mut v8::PinScope<'a, 'i>, text: &str| {
            v8::String::new(scope, text).ok_or_else(|| JsErrorBox::range_error("text too long"))
        };
        let null = v8::null(scope);
        let no_body = matches!(head.status, 101 | 204 | 205 | 304);
        let body: v8::Local<'a, v8::Value> = match body {
            Body::Empty => null.into(),
            _ if no_body => null.into(),
            body => deno_core::cppgc::make_cppgc_object(scope, Source::body(body)).into(),
        };
        let socket: v8::Local<'a, v8::Value> = match websocket {
            None => null.into(),
            Some(end) => {
                let protocol = text(scope, &end.protocol)?;
                let socket = deno_core::cppgc::make_cppgc_object(scope, Socket::new(end));
                v8::Array::new_with_elements(scope, &[socket.into(), protocol.into()]).into()
            }
        };
        let headers = ByteString::from(headers_to_wire(&head.headers))
            .to_v8(scope)
            .map_err(|_| JsErrorBox::range_error("headers too long"))?;
        let fields = [
            v8::Integer::new(scope, i32::from(head.status)).into(),
            text(scope, &head.status_text)?.into(),
            headers,
            text(scope, &head.url)?.into(),
            v8::Integer::new_from_unsigned(scope, head.redirects).into(),
            body,
            socket,
            v8::Boolean::new(scope, head.manual_encoding).into(),
        ];
        Ok(v8::Array::new_with_elements(scope, &fields).into())
    }
}

/// What JavaScript says instead of a number of redirects.
const REDIRECT_MANUAL: i32 = -1;
const REDIRECT_ERROR: i32 = -2;

/// What came of a request: a response, or `[code, message]` where the network failed.
pub(crate) enum Fetched {
    Reply(Reply),
    Failed(ConnectErrorKind, String),
}

impl<'a> ToV8<'a> for Fetched {
    type Error = JsErrorBox;

    fn to_v8<'i>(self, scope: &mut v8::PinScope<'a, 'i>) -> Result<v8::Local<'a, v8::Value>, Self::Error> {
        let (kind, message) = match self {
            Self::Reply(reply) => return reply.to_v8(scope),
            Self::Failed(kind, message) => (kind, message),
        };
        let text = |scope: &mut v8::PinScope<'a, 'i>, text: &str| {
            v8::String::new(scope, text).ok_or_else(|| JsErrorBox::range_error("text too long"))
        };
        let fields = [text(scope, failure_code(kind))?.into(), text(scope, &message)?.into()];
        Ok(v8::Array::new_with_elements(scope, &fields).into())
    }
}

/// Sends a request. `target` is a binding's index, or negative for the network. At most one of the bodies is given.
/// `redirects` is how many may be followed, or one of the modes.
#[op2]
#[allow(clippy::too_many_arguments, reason = "an op's arguments are its wire format")]
pub(crate) fn op_fetch(
    state: Rc<RefCell<OpState>>,
    #[smi] token: u32,
    #[smi] target: i32,
    #[string] method: String,
    #[string] url: String,
    #[string] headers: String,
    #[smi] redirects: i32,
    #[buffer] bytes: Option<JsBuffer>,
    #[cppgc] source: Option<&Source>,
) -> impl Future<Output = Result<Fetched, JsErrorBox>> + use<> {
    let state = state.borrow();
    let isolate = isolate(&state);
    let call = Call::begin(&isolate, token);
    let body = body_of(bytes, source);
    let (redirect, redirects_max) = match redirects {
        REDIRECT_MANUAL => (Redirect::Manual, 0),
        REDIRECT_ERROR => (Redirect::Error, 0),
        most => (Redirect::Follow, u32::try_from(most).unwrap_or(0)),
    };
    let request = request_of(&method, url, &latin1(&headers), body);
    let ctx = call_context(&state, call.cancel.clone());
    let way = usize::try_from(target)
        .ok()
        .map(|index| isolate.env.bindings[index].1.clone());
    let outbound = isolate.env.outbound.clone();
    call.run(async move {
        let request = request?;
        let response = match way {
            None => {
                let request = OutboundRequest {
                    request,
                    redirect,
                    redirects_max,
                };
                outbound.fetch(&ctx, request).await
            }
            Some(Binding::Fetcher(fetcher)) => fetcher.fetch(&ctx, request).await,
            Some(_) => Err(BindingError::invalid("this binding has no fetch method")),
        };
        match response {
            Ok(response) => Ok(Fetched::Reply(Reply(response))),
            Err(BindingError {
                kind: BindingErrorKind::Network(kind),
                message,
            }) => Ok(Fetched::Failed(kind, message)),
            Err(error) => Err(binding_error(error)),
        }
    })
}

/// A request that is under way, and its cancellation by token.
pub(crate) struct Call {
    isolate: Rc<IsolateState>,
    token: u32,
    pub cancel: CancellationToken,
}

impl Call {
    /// The call of `token`, which [`op_fetch_token`] gave.
    pub fn begin(isolate: &Rc<IsolateState>, token: u32) -> Self {
        let cancel = isolate.fetches.borrow().get(token as usize).cloned();
        Self {
            isolate: isolate.clone(),
            token,
            cancel: cancel.unwrap_or_default(),
        }
    }

    /// Runs it, until it is cancelled; its token is used up then.
    pub async fn run<T>(self, call: impl Future<Output = Result<T, JsErrorBox>>) -> Result<T, JsErrorBox> {
        // Who stops waiting tells the other side, whose request.signal aborts.
        let guard = self.cancel.clone().drop_guard();
        let result = tokio::select! {
            result = call => {
                // The body may still stream; its reader's going ends that.
                guard.disarm();
                result
            }
            () = self.cancel.cancelled() => Err(JsErrorBox::new("DOMExceptionAbortError", "The operation was aborted")),
        };
        self.isolate.fetches.borrow_mut().try_remove(self.token as usize);
        result
    }
}

/// The body of a request: at most one of the two is given.
pub(crate) fn body_of(bytes: Option<JsBuffer>, source: Option<&Source>) -> Body {
    match (bytes, source) {
        (Some(bytes), _) => Body::Full(Bytes::copy_from_slice(&bytes)),
        (_, Some(source)) => source.take(),
        _ => Body::Empty,
    }
}

/// The bytes of a string that JavaScript has checked to hold Latin-1 alone.
pub(crate) fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| c as u8).collect()
}

pub(crate) fn request_of(method: &str, url: String, headers: &[u8], body: Body) -> Result<Request, JsErrorBox> {
    let headers = headers_from_wire(headers)?;
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| JsErrorBox::type_error(format!("Invalid HTTP method \"{method}\".")))?;
    let upgrade_websocket = asks_for_websocket(&headers);
    let head = Box::new(RequestHead {
        method,
        url,
        headers,
        protocol: "HTTP/1.1",
        tls_version: "",
        client: None,
        peer: None,
        upgrade_websocket,
        cf: None,
    });
    Ok(Request { head, body })
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
