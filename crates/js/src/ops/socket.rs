//! Raw connections, for `js/17_sockets.js`. Their bytes go through the ops of bodies.

use crate::ops::body::{Sender, Source};
use crate::ops::fetch::call_context;
use crate::ops::isolate;
use atoll_worker::{
    Body, ConnectError, ConnectErrorKind, ConnectRequest, Connection, SecureTransport, StartTls as Ask,
};
use deno_core::{GarbageCollected, OpState, ToV8, op2, v8};
use deno_error::JsErrorBox;
use std::cell::RefCell;
use std::rc::Rc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Where TLS is asked for, once.
pub(crate) struct StartTls(RefCell<Option<oneshot::Sender<Ask>>>);

// SAFETY: holds no traced references.
unsafe impl GarbageCollected for StartTls {
    fn trace(&self, _visitor: &mut v8::cppgc::Visitor) {}

    fn get_name(&self) -> &'static std::ffi::CStr {
        c"StartTls"
    }
}

/// A connection as `[source, sender, remote address, remote port, local address, local port, alpn, start TLS or null]`, or
/// `[code, message]` where there is none.
pub(crate) struct Outcome(Result<Connection, ConnectError>);

impl<'a> ToV8<'a> for Outcome {
    type Error = JsErrorBox;

    fn to_v8<'i>(self, scope: &mut v8::PinScope<'a, 'i>) -> Result<v8::Local<'a, v8::Value>, Self::Error> {
        let text = |scope: &mut v8::PinScope<'a, 'i>, text: &str| {
            v8::String::new(scope, text).ok_or_else(|| JsErrorBox::range_error("text too long"))
        };
        let connection = match self.0 {
            Ok(connection) => connection,
            Err(error) => {
                let fields = [
                    text(scope, failure_code(error.kind))?.into(),
                    text(scope, &error.message)?.into(),
                ];
                return Ok(v8::Array::new_with_elements(scope, &fields).into());
            }
        };
        let Connection {
            tx,
            rx,
            remote,
            local,
            alpn,
            start_tls,
        } = connection;
        let null = v8::null(scope).into();
        let source = Source::body(Body::Stream(rx));
        let fields = [
            deno_core::cppgc::make_cppgc_object(scope, source).into(),
            deno_core::cppgc::make_cppgc_object(scope, Sender::over(tx)).into(),
            text(scope, &remote.ip().to_string())?.into(),
            v8::Integer::new(scope, i32::from(remote.port())).into(),
            text(scope, &local.ip().to_string())?.into(),
            v8::Integer::new(scope, i32::from(local.port())).into(),
            text(scope, &alpn)?.into(),
            match start_tls {
                None => null,
                Some(ask) => {
                    let ask = StartTls(RefCell::new(Some(ask)));
                    deno_core::cppgc::make_cppgc_object(scope, ask).into()
                }
            },
        ];
        Ok(v8::Array::new_with_elements(scope, &fields).into())
    }
}

/// Node.js's names of these failures, which scripts may show.
pub(crate) fn failure_code(kind: ConnectErrorKind) -> &'static str {
    match kind {
        ConnectErrorKind::Refused => "ECONNREFUSED",
        ConnectErrorKind::TimedOut => "ETIMEDOUT",
        ConnectErrorKind::NotFound => "ENOTFOUND",
        ConnectErrorKind::Denied => "EACCES",
        ConnectErrorKind::Tls => "EPROTO",
        ConnectErrorKind::HostUnreachable => "EHOSTUNREACH",
        ConnectErrorKind::NetworkUnreachable => "ENETUNREACH",
        ConnectErrorKind::Failed => "ECONNRESET",
    }
}

/// Connects. `transport`: 0 without TLS, 1 with, 2 with TLS to come. An empty `server_name` is the host.
#[op2]
pub(crate) fn op_socket_connect(
    state: Rc<RefCell<OpState>>,
    #[string] host: String,
    #[smi] port: u16,
    #[smi] transport: u8,
    #[string] server_name: String,
) -> impl Future<Output = Outcome> + use<> {
    let state = state.borrow();
    let outbound = isolate(&state).env.outbound.clone();
    let ctx = call_context(&state, CancellationToken::new());
    let request = ConnectRequest {
        host,
        port,
        transport: match transport {
            1 => SecureTransport::On,
            2 => SecureTransport::StartTls,
            _ => SecureTransport::Off,
        },
        server_name: (!server_name.is_empty()).then_some(server_name),
    };
    async move { Outcome(outbound.connect(&ctx, request).await) }
}

/// Begins TLS; the connection's sender must be finished after this call.
#[op2]
pub(crate) fn op_socket_start_tls(
    #[cppgc] ask: &StartTls,
    #[string] server_name: String,
) -> impl Future<Output = Outcome> + use<> {
    let (reply, answer) = oneshot::channel();
    let server_name = (!server_name.is_empty()).then_some(server_name);
    let asked = match ask.0.borrow_mut().take() {
        Some(ask) => ask.send(Ask { server_name, reply }).is_ok(),
        None => false,
    };
    async move {
        let lost = || {
            let message = "the connection was closed before TLS could begin";
            Outcome(Err(ConnectError::new(ConnectErrorKind::Failed, message)))
        };
        if !asked {
            return lost();
        }
        answer.await.map_or_else(|_| lost(), Outcome)
    }
}
