//! Native ends of WebSockets.
//!
//! An end that is dropped looks like a connection that broke. Where the isolate goes because its version is replaced, and
//! the socket has outlasted the drain, the other side is told instead: 1012, "service restart", which asks it to come again
//! (IANA's WebSocket close code registry).

use crate::ops::text;
use atoll_worker::socket::WsSendError;
use atoll_worker::{WebSocketEnd, WsMessage};
use bytes::Bytes;
use deno_core::convert::Uint8Array;
use deno_core::{GarbageCollected, ToV8, op2, v8};
use deno_error::JsErrorBox;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// The close code of a socket that outlasted the drain of its version, and the reason.
const SERVICE_RESTART: u16 = 1012;
const RESTART_REASON: &str = "the worker was replaced by another version, or its process by another";

thread_local! {
    /// This thread's isolate goes because its version was retired.
    static RETIRED: Cell<bool> = const { Cell::new(false) };
}

/// From now on sockets of this thread's isolate that are dropped say why.
pub(crate) fn say_restart() {
    RETIRED.set(true);
}

/// Another isolate begins on this thread.
pub(crate) fn begin_anew() {
    RETIRED.set(false);
}

/// A socket's end, while the worker has it.
struct Held(Option<WebSocketEnd>);

impl Drop for Held {
    fn drop(&mut self) {
        // At the end of a thread its variables may be gone; then nothing is said.
        if let Some(end) = &self.0
            && RETIRED.try_with(Cell::get).unwrap_or(false)
        {
            // One that is gone or overdriven hears nothing.
            let _ = end.tx.send(WsMessage::Close {
                code: Some(SERVICE_RESTART),
                reason: RESTART_REASON.to_owned(),
            });
        }
    }
}

/// A socket to the outside, until it is handed on.
pub(crate) struct Socket {
    end: Rc<RefCell<Held>>,
}

// SAFETY: holds no traced references.
unsafe impl GarbageCollected for Socket {
    fn trace(&self, _visitor: &mut v8::cppgc::Visitor) {}

    fn get_name(&self) -> &'static std::ffi::CStr {
        c"Socket"
    }
}

impl Socket {
    pub fn new(end: WebSocketEnd) -> Self {
        Self {
            end: Rc::new(RefCell::new(Held(Some(end)))),
        }
    }

    pub fn take(&self) -> Option<WebSocketEnd> {
        self.end.borrow_mut().0.take()
    }

    fn send(&self, message: WsMessage) -> Result<(), JsErrorBox> {
        let end = self.end.borrow();
        match end.0.as_ref().map(|end| end.tx.send(message)) {
            // A peer that is gone is told by the close event, as in browsers.
            None | Some(Ok(()) | Err(WsSendError::Closed)) => Ok(()),
            Some(Err(error @ WsSendError::Full)) => Err(JsErrorBox::generic(error.to_string())),
        }
    }
}

/// Sends text.
#[op2(fast)]
pub(crate) fn op_ws_send_text(
    scope: &mut v8::PinScope<'_, '_>,
    #[cppgc] socket: &Socket,
    message: v8::Local<'_, v8::String>,
) -> Result<(), JsErrorBox> {
    socket.send(WsMessage::Text(text(scope, message)))
}

/// Sends bytes.
#[op2(fast)]
pub(crate) fn op_ws_send_binary(#[cppgc] socket: &Socket, #[buffer] data: &[u8]) -> Result<(), JsErrorBox> {
    socket.send(WsMessage::Binary(Bytes::copy_from_slice(data)))
}

/// Sends the closing handshake; code 0 is a frame without one.
#[op2(fast)]
pub(crate) fn op_ws_close(
    #[cppgc] socket: &Socket,
    #[smi] code: u16,
    #[string] reason: String,
) -> Result<(), JsErrorBox> {
    socket.send(WsMessage::Close {
        code: (code != 0).then_some(code),
        reason,
    })
}

/// Drops the connection without a closing handshake.
#[op2(fast)]
pub(crate) fn op_ws_drop(#[cppgc] socket: &Socket) {
    drop(socket.take());
}

/// A message as `[kind, ...]`: `[0, text]`, `[1, bytes]`, `[2, code or null, reason]`.
pub(crate) struct Message(WsMessage);

impl<'a> ToV8<'a> for Message {
    type Error = JsErrorBox;

    fn to_v8<'i>(self, scope: &mut v8::PinScope<'a, 'i>) -> Result<v8::Local<'a, v8::Value>, Self::Error> {
        let text = |scope: &mut v8::PinScope<'a, 'i>, text: &str| {
            v8::String::new(scope, text).ok_or_else(|| JsErrorBox::range_error("message too long"))
        };
        let fields: Vec<v8::Local<'a, v8::Value>> = match self.0 {
            WsMessage::Text(message) => vec![v8::Integer::new(scope, 0).into(), text(scope, &message)?.into()],
            WsMessage::Binary(data) => {
                let bytes = Uint8Array::from(Vec::from(data))
                    .to_v8(scope)
                    .map_err(|error| JsErrorBox::generic(error.to_string()))?;
                vec![v8::Integer::new(scope, 1).into(), bytes]
            }
            WsMessage::Close { code, reason } => {
                let code = match code {
                    Some(code) => v8::Integer::new(scope, i32::from(code)).into(),
                    None => v8::null(scope).into(),
                };
                vec![v8::Integer::new(scope, 2).into(), code, text(scope, &reason)?.into()]
            }
        };
        Ok(v8::Array::new_with_elements(scope, &fields).into())
    }
}

/// The next message; null when the socket is gone without a closing handshake.
#[op2]
pub(crate) fn op_ws_recv(#[cppgc] socket: &Socket) -> impl Future<Output = Option<Message>> + use<> {
    let end = socket.end.clone();
    poll_fn(move |cx| match end.borrow_mut().0.as_mut() {
        Some(end) => end.rx.poll_recv(cx).map(|message| message.map(Message)),
        None => Poll::Ready(None),
    })
}
