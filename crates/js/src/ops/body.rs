//! Bodies between JavaScript and the waist.
//!
//! A [`Source`] is a body that arrives (a request's, or a fetched response's); a [`Sender`] is one that leaves. Both are
//! owned by the garbage collector: dropping a source cancels its producer, dropping a sender truncates its consumer.

use atoll_worker::body::{self, BodyReceiver, BodySender};
use atoll_worker::{Body, BodyError, EventContext, Frame, RequestHead};
use bytes::Bytes;
use deno_core::convert::Uint8Array;
use deno_core::{GarbageCollected, ToV8, op2, v8};
use deno_error::JsErrorBox;
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// The most that `text()`, `arrayBuffer()` and the like gather in memory. Larger bodies must be streamed.
pub(crate) const COLLECT_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// A body that arrives, with the request it belongs to if it is one.
pub(crate) struct Source {
    pub request: Option<(Box<RequestHead>, EventContext)>,
    body: Rc<RefCell<Option<Body>>>,
}

// SAFETY: holds no traced references.
unsafe impl GarbageCollected for Source {
    fn trace(&self, _visitor: &mut v8::cppgc::Visitor) {}

    fn get_name(&self) -> &'static std::ffi::CStr {
        c"Source"
    }
}

impl Source {
    pub fn request(head: Box<RequestHead>, ctx: EventContext, body: Body) -> Self {
        Self {
            request: Some((head, ctx)),
            body: Rc::new(RefCell::new(Some(body))),
        }
    }

    pub fn body(body: Body) -> Self {
        Self {
            request: None,
            body: Rc::new(RefCell::new(Some(body))),
        }
    }

    /// The body's place, while it comes piece by piece.
    pub fn stream(&self) -> Option<Rc<RefCell<Option<Body>>>> {
        matches!(*self.body.borrow(), Some(Body::Stream(_))).then(|| self.body.clone())
    }

    /// Takes the body away, to travel on without JavaScript.
    pub fn take(&self) -> Body {
        self.body.borrow_mut().take().unwrap_or_default()
    }
}

fn body_error(error: BodyError) -> JsErrorBox {
    match error {
        BodyError::TooLarge { limit } => JsErrorBox::range_error(format!(
            "The body is larger than {limit} bytes, the most that can be read at once. Read it as a stream."
        )),
        BodyError::Truncated => {
            JsErrorBox::type_error("Network connection lost: the body ended before it was complete.")
        }
        other => JsErrorBox::type_error(other.to_string()),
    }
}

/// Length in bytes, -1 where unknown.
#[op2(fast)]
pub(crate) fn op_body_length(#[cppgc] source: &Source) -> f64 {
    source
        .body
        .borrow()
        .as_ref()
        .and_then(Body::length)
        .map_or(-1.0, |length| length as f64)
}

/// The next chunk; null at the end.
#[op2]
pub(crate) fn op_body_read(
    #[cppgc] source: &Source,
) -> impl Future<Output = Result<Option<Uint8Array>, JsErrorBox>> + use<> {
    let body = source.body.clone();
    poll_fn(move |cx| {
        let mut slot = body.borrow_mut();
        match slot.as_mut() {
            None | Some(Body::Empty) => Poll::Ready(Ok(None)),
            Some(Body::Full(bytes)) => {
                let bytes = std::mem::take(bytes);
                *slot = None;
                Poll::Ready(Ok((!bytes.is_empty()).then(|| Vec::from(bytes).into())))
            }
            Some(Body::Stream(stream)) => loop {
                return match stream.poll_frame(cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Some(Ok(Frame::Data(data)))) => Poll::Ready(Ok(Some(Vec::from(data).into()))),
                    Poll::Ready(Some(Ok(Frame::Trailers(_)))) => continue,
                    Poll::Ready(Some(Err(error))) => {
                        *slot = None;
                        Poll::Ready(Err(body_error(error)))
                    }
                    Poll::Ready(None) => {
                        *slot = None;
                        Poll::Ready(Ok(None))
                    }
                };
            },
        }
    })
}

/// Everything, if it is at hand; null otherwise.
#[op2]
pub(crate) fn op_body_collect_sync(#[cppgc] source: &Source) -> Option<Uint8Array> {
    let mut slot = source.body.borrow_mut();
    if matches!(slot.as_ref(), Some(Body::Stream(_))) {
        return None;
    }
    let bytes = match slot.take() {
        Some(Body::Full(bytes)) => bytes,
        _ => Bytes::new(),
    };
    Some(Vec::from(bytes).into())
}

/// Everything, once it is there.
#[op2]
pub(crate) fn op_body_collect(
    #[cppgc] source: &Source,
) -> impl Future<Output = Result<Uint8Array, JsErrorBox>> + use<> {
    let body = source.take();
    async move {
        let bytes = body.collect(COLLECT_BYTES_MAX).await.map_err(body_error)?;
        Ok(Vec::from(bytes).into())
    }
}

/// Nobody will read the rest.
#[op2(fast)]
pub(crate) fn op_body_cancel(#[cppgc] source: &Source) {
    source.body.borrow_mut().take();
}

/// A body that leaves.
pub(crate) struct Sender {
    sender: Rc<RefCell<Option<Rc<BodySender>>>>,
}

// SAFETY: holds no traced references.
unsafe impl GarbageCollected for Sender {
    fn trace(&self, _visitor: &mut v8::cppgc::Visitor) {}

    fn get_name(&self) -> &'static std::ffi::CStr {
        c"Sender"
    }
}

impl Sender {
    /// A sender and what its consumer reads. `length` is exact, or negative where unknown.
    pub fn channel(length: f64) -> (Self, BodyReceiver) {
        // Lengths come from JavaScript as safe integers.
        let length = (length >= 0.0).then_some(length as u64);
        let (sender, receiver) = body::channel(body::CREDIT_DEFAULT, length);
        (Self::over(sender), receiver)
    }

    /// What JavaScript writes goes into `sender`.
    pub fn over(sender: BodySender) -> Self {
        let sender = Rc::new(RefCell::new(Some(Rc::new(sender))));
        Self { sender }
    }

    /// The sender of a body whose consumer is elsewhere.
    pub fn of(sender: BodySender) -> Self {
        let sender = Rc::new(RefCell::new(Some(Rc::new(sender))));
        Self { sender }
    }

    /// Takes the sender away, unless something waits on it.
    pub fn take(&self) -> Option<BodySender> {
        let mut slot = self.sender.borrow_mut();
        match Rc::try_unwrap(slot.take()?) {
            Ok(sender) => Some(sender),
            Err(shared) => {
                *slot = Some(shared);
                None
            }
        }
    }

    fn get(&self) -> Option<Rc<BodySender>> {
        self.sender.borrow().clone()
    }
}

/// A sender and the source of what it sends, as an array.
pub(crate) struct SenderAndSource(Sender, Source);

impl<'a> ToV8<'a> for SenderAndSource {
    type Error = JsErrorBox;

    fn to_v8<'i>(self, scope: &mut v8::PinScope<'a, 'i>) -> Result<v8::Local<'a, v8::Value>, Self::Error> {
        let sender = deno_core::cppgc::make_cppgc_object(scope, self.0);
        let source = deno_core::cppgc::make_cppgc_object(scope, self.1);
        Ok(v8::Array::new_with_elements(scope, &[sender.into(), source.into()]).into())
    }
}

/// A stream's two ends, for a request body that JavaScript produces.
#[op2]
pub(crate) fn op_body_open(length: f64) -> SenderAndSource {
    let (sender, receiver) = Sender::channel(length);
    SenderAndSource(sender, Source::body(Body::Stream(receiver)))
}

/// Sends a chunk. True while there is room for more; false asks for [`op_body_ready`].
#[op2(fast)]
pub(crate) fn op_body_write(#[cppgc] sender: &Sender, #[buffer] chunk: &[u8]) -> bool {
    let Some(sender) = sender.get() else {
        return false;
    };
    matches!(sender.send_copy(chunk), Ok(true))
}

/// Waits for room. False if nobody reads any more.
#[op2]
pub(crate) fn op_body_ready(#[cppgc] sender: &Sender) -> impl Future<Output = bool> + use<> {
    let sender = sender.get();
    async move {
        match sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        }
    }
}

/// Resolves when the reader is gone or the body is over: true if it went before the end. Lazy: a body that is over within its
/// first turn is never watched.
#[op2(async(lazy), fast)]
pub(crate) fn op_body_watch(#[cppgc] sender: &Sender) -> impl Future<Output = bool> + use<> {
    let slot = sender.sender.clone();
    let weak = sender.get().as_ref().map(Rc::downgrade);
    poll_fn(move |cx| {
        let Some(sender) = weak.as_ref().and_then(std::rc::Weak::upgrade) else {
            return Poll::Ready(false);
        };
        // Finished bodies are taken out of the slot.
        if slot.borrow().is_none() {
            return Poll::Ready(false);
        }
        let mut closed = std::pin::pin!(sender.closed());
        closed.as_mut().poll(cx).map(|()| slot.borrow().is_some())
    })
}

/// Breaks the stream off: its consumer sees that it was cut.
#[op2(fast)]
pub(crate) fn op_body_abandon(#[cppgc] sender: &Sender) {
    sender.sender.borrow_mut().take();
}

/// The body is complete.
#[op2(fast)]
pub(crate) fn op_body_finish(#[cppgc] sender: &Sender) {
    let taken = sender.sender.borrow_mut().take();
    if let Some(sender) = taken {
        sender.finish();
    }
}

/// The body broke off.
#[op2(fast)]
pub(crate) fn op_body_fail(#[cppgc] sender: &Sender, #[string] message: String) {
    let taken = sender.sender.borrow_mut().take();
    if let Some(sender) = taken {
        sender.fail(BodyError::Failed(message));
    }
}
