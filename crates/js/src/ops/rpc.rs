//! RPC links: what `js/30_rpc.js` speaks over.

use crate::ops::body::{Sender, Source};
use crate::ops::fetch::call_context;
use crate::ops::isolate;
use crate::ops::service::{ServiceHandle, fault_to_v8};
use crate::ops::websocket::Socket;
use atoll_worker::rpc::{self, RpcChannel, RpcLink, RpcMessage};
use atoll_worker::{Body, Event, Fault, FaultKind, Outcome};
use bytes::Bytes;
use deno_core::convert::Uint8Array;
use deno_core::{GarbageCollected, OpState, ToV8, op2, v8};
use deno_error::JsErrorBox;
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use tokio_util::sync::CancellationToken;

type Running = Pin<Box<dyn Future<Output = Result<Outcome, Fault>> + Send>>;

struct Inner {
    link: RpcLink,
    /// What goes with the next message.
    outgoing: Vec<RpcChannel>,
    /// The event at the other end; only on the side that called.
    running: Option<Running>,
    /// How that event ended, if it failed.
    fault: Option<Fault>,
}

/// One end of a link, as JavaScript holds it.
pub(crate) struct Link {
    inner: Rc<RefCell<Inner>>,
}

// SAFETY: holds no traced references.
unsafe impl GarbageCollected for Link {
    fn trace(&self, _visitor: &mut v8::cppgc::Visitor) {}

    fn get_name(&self) -> &'static std::ffi::CStr {
        c"Link"
    }
}

impl Link {
    pub fn new(link: RpcLink) -> Self {
        let inner = Inner {
            link,
            outgoing: Vec::new(),
            running: None,
            fault: None,
        };
        Self {
            inner: Rc::new(RefCell::new(inner)),
        }
    }

    fn attach(&self, channel: RpcChannel) {
        self.inner.borrow_mut().outgoing.push(channel);
    }
}

/// Calls an entrypoint: the link to it. The event ends with the link.
#[op2]
#[cppgc]
pub(crate) fn op_rpc_open(state: &OpState, #[cppgc] service: &ServiceHandle, #[smi] depth: u32) -> Link {
    let (mine, theirs) = rpc::link();
    let cancel = CancellationToken::new();
    let mut ctx = call_context(state, cancel.clone());
    ctx.entry.depth = depth;
    let stub = service.stub.clone();
    let link = Link::new(mine);
    link.inner.borrow_mut().running = Some(Box::pin(async move {
        // Dropped with the link: an event that has not begun need not begin.
        let _guard = cancel.drop_guard();
        stub.dispatch(ctx, Event::Rpc(theirs)).await
    }));
    link
}

/// Both ends of a link that stays in this isolate.
pub(crate) struct Pair(Link, Link);

impl<'a> ToV8<'a> for Pair {
    type Error = JsErrorBox;

    fn to_v8<'i>(self, scope: &mut v8::PinScope<'a, 'i>) -> Result<v8::Local<'a, v8::Value>, Self::Error> {
        let first = deno_core::cppgc::make_cppgc_object(scope, self.0);
        let second = deno_core::cppgc::make_cppgc_object(scope, self.1);
        Ok(v8::Array::new_with_elements(scope, &[first.into(), second.into()]).into())
    }
}

/// See [`Pair`].
#[op2]
pub(crate) fn op_rpc_pair() -> Pair {
    let (a, b) = rpc::link();
    Pair(Link::new(a), Link::new(b))
}

/// A body goes with the next message.
#[op2(fast)]
pub(crate) fn op_rpc_attach_source(#[cppgc] link: &Link, #[cppgc] source: &Source) {
    link.attach(RpcChannel::Source(source.take()));
}

/// Bytes go with the next message, as a body.
#[op2(fast)]
pub(crate) fn op_rpc_attach_bytes(#[cppgc] link: &Link, #[buffer] bytes: &[u8]) {
    link.attach(RpcChannel::Source(Body::Full(Bytes::copy_from_slice(bytes))));
}

/// The writing end of a body goes with the next message.
#[op2(fast)]
pub(crate) fn op_rpc_attach_sink(#[cppgc] link: &Link, #[cppgc] sender: &Sender) -> Result<(), JsErrorBox> {
    let sender = sender
        .take()
        .ok_or_else(|| JsErrorBox::type_error("The stream is in use."))?;
    link.attach(RpcChannel::Sink(sender));
    Ok(())
}

/// A WebSocket goes with the next message.
#[op2(fast)]
pub(crate) fn op_rpc_attach_socket(#[cppgc] link: &Link, #[cppgc] socket: &Socket) -> Result<(), JsErrorBox> {
    let end = socket
        .take()
        .ok_or_else(|| JsErrorBox::type_error("The WebSocket is in use."))?;
    link.attach(RpcChannel::Socket(end));
    Ok(())
}

/// A service goes with the next message.
#[op2(fast)]
pub(crate) fn op_rpc_attach_service(#[cppgc] link: &Link, #[cppgc] service: &ServiceHandle) {
    link.attach(RpcChannel::Service(service.stub.clone()));
}

/// What was attached goes with no message after all.
#[op2(fast)]
pub(crate) fn op_rpc_detach(#[cppgc] link: &Link) {
    link.inner.borrow_mut().outgoing.clear();
}

/// Sends a message with what was attached.
#[op2(fast)]
pub(crate) fn op_rpc_send(
    #[cppgc] link: &Link,
    #[string] head: String,
    #[buffer] data: &[u8],
) -> Result<(), JsErrorBox> {
    let mut inner = link.inner.borrow_mut();
    let message = RpcMessage {
        head,
        data: Bytes::copy_from_slice(data),
        channels: std::mem::take(&mut inner.outgoing),
    };
    match inner.link.send(message) {
        // Who is gone is told by the next receive.
        Ok(()) | Err(rpc::RpcSendError::Closed) => Ok(()),
        Err(error @ rpc::RpcSendError::Full) => Err(JsErrorBox::generic(error.to_string())),
    }
}

/// A message as `[head, data, [channels]]`, or a failure as `[name, message, stack]` in an array of its own.
pub(crate) enum Received {
    Message(RpcMessage),
    Fault(Fault),
}

impl<'a> ToV8<'a> for Received {
    type Error = JsErrorBox;

    fn to_v8<'i>(self, scope: &mut v8::PinScope<'a, 'i>) -> Result<v8::Local<'a, v8::Value>, Self::Error> {
        let message = match self {
            Self::Message(message) => message,
            Self::Fault(fault) => {
                let fault = fault_to_v8(scope, &fault)?;
                return Ok(v8::Array::new_with_elements(scope, &[fault]).into());
            }
        };
        let head = v8::String::new(scope, &message.head).ok_or_else(|| JsErrorBox::range_error("message too long"))?;
        let data = Uint8Array::from(Vec::from(message.data))
            .to_v8(scope)
            .map_err(|error| JsErrorBox::generic(error.to_string()))?;
        let mut channels: Vec<v8::Local<'a, v8::Value>> = Vec::with_capacity(message.channels.len());
        for channel in message.channels {
            channels.push(match channel {
                RpcChannel::Source(body) => deno_core::cppgc::make_cppgc_object(scope, Source::body(body)).into(),
                RpcChannel::Sink(sender) => deno_core::cppgc::make_cppgc_object(scope, Sender::of(sender)).into(),
                RpcChannel::Socket(end) => {
                    let protocol = v8::String::new(scope, &end.protocol)
                        .ok_or_else(|| JsErrorBox::range_error("message too long"))?;
                    let socket = deno_core::cppgc::make_cppgc_object(scope, Socket::new(end));
                    v8::Array::new_with_elements(scope, &[socket.into(), protocol.into()]).into()
                }
                RpcChannel::Service(stub) => deno_core::cppgc::make_cppgc_object(scope, ServiceHandle { stub }).into(),
            });
        }
        let channels = v8::Array::new_with_elements(scope, &channels);
        Ok(v8::Array::new_with_elements(scope, &[head.into(), data, channels.into()]).into())
    }
}

/// The next message; null once the other side is gone.
#[op2]
pub(crate) fn op_rpc_recv(#[cppgc] link: &Link) -> impl Future<Output = Option<Received>> + use<> {
    let inner = link.inner.clone();
    poll_fn(move |cx| {
        let inner = &mut *inner.borrow_mut();
        let received = inner.link.poll_recv(cx);
        if let Poll::Ready(Some(message)) = received {
            return Poll::Ready(Some(Received::Message(message)));
        }
        if let Some(running) = &mut inner.running {
            match running.as_mut().poll(cx) {
                // A link that closed says less than the event's own end.
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(_)) => inner.running = None,
                Poll::Ready(Err(fault)) => {
                    inner.running = None;
                    inner.fault = Some(fault);
                }
            }
            // The event may have sent its last message just before its end.
            if let Poll::Ready(Some(message)) = inner.link.poll_recv(cx) {
                return Poll::Ready(Some(Received::Message(message)));
            }
        }
        match inner.fault.take() {
            Some(fault) => Poll::Ready(Some(Received::Fault(fault))),
            None => received.map(|_| None),
        }
    })
}

/// Closes this end.
#[op2(fast)]
pub(crate) fn op_rpc_close(#[cppgc] link: &Link) {
    let mut inner = link.inner.borrow_mut();
    inner.link.close();
    inner.running = None;
}

/// The RPC session of an event is over; `failed` if by a fault of its own.
#[op2(fast)]
pub(crate) fn op_rpc_done(state: &OpState, #[smi] id: u32) {
    isolate(state).answer(id, Ok(Outcome::Rpc));
}

/// The RPC session cannot begin.
#[op2(fast)]
pub(crate) fn op_rpc_refuse(state: &OpState, #[smi] id: u32, #[string] message: String) {
    isolate(state).answer(id, Err(Fault::new(FaultKind::NoHandler, message)));
}

/// Counts calls that wait for their answers.
#[op2(fast)]
pub(crate) fn op_rpc_asking(state: &OpState, #[smi] change: i32) {
    let isolate = isolate(state);
    isolate
        .asking
        .set(isolate.asking.get().saturating_add(i64::from(change)));
}

/// Says whether an event waits for another worker (an RPC session: for its caller), and so may wait although nothing
/// else is left to run here.
#[op2(fast)]
pub(crate) fn op_rpc_park(state: &OpState, #[smi] id: u32, parked: bool) {
    let isolate = isolate(state);
    if parked {
        isolate.parked.borrow_mut().insert(id);
    } else {
        isolate.parked.borrow_mut().remove(&id);
    }
}
