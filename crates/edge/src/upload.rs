//! Request bodies, from the HTTP library to the worker.
//!
//! No body costs nothing, one that has already arrived costs no task. Only a body still on its way gets a task, which
//! ends with it: read to its end, refused by its reader, or broken off.

use crate::connection::Connection;
use crate::limits::INLINE_BODY_BYTES_MAX;
use atoll_worker::{Body, BodyError, BodySender, Cancel, Frame, body};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Body as _;
use hyper::body::Incoming;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;

/// A request's body that nobody has asked for yet.
pub(crate) struct Unread<'a> {
    incoming: Option<Incoming>,
    connection: &'a Connection,
}

impl<'a> Unread<'a> {
    pub(crate) fn new(incoming: Option<Incoming>, connection: &'a Connection) -> Self {
        Self { incoming, connection }
    }

    /// Whether there is anything to receive.
    pub(crate) fn may_come(&self) -> bool {
        self.incoming.as_ref().is_some_and(|incoming| !incoming.is_end_stream())
    }
}

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        if self.incoming.as_ref().is_some_and(|incoming| !incoming.is_end_stream()) {
            self.connection.leave_body_unread();
        }
    }
}

/// The most that a body may have, and whoever is to answer if the client does not bring it as it should.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    pub(crate) max: u64,
    broken: Arc<Broken>,
}

#[derive(Debug, Default)]
struct Broken {
    stalled: AtomicBool,
    told: Notify,
}

/// What the client did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fell {
    /// A body that did not say its length turned out to have more than it may.
    TooLarge,
    /// It sent nothing for too long.
    Stalled,
}

impl Room {
    pub(crate) fn new(max: u64) -> Self {
        Self {
            max,
            broken: Arc::default(),
        }
    }

    fn tell(&self, what: Fell) {
        self.broken.stalled.store(what == Fell::Stalled, Ordering::Release);
        self.broken.told.notify_one();
    }

    /// Resolves when the client has done something wrong. For one to wait at a time.
    pub(crate) async fn broken(&self) -> Fell {
        self.broken.told.notified().await;
        match self.broken.stalled.load(Ordering::Acquire) {
            true => Fell::Stalled,
            false => Fell::TooLarge,
        }
    }
}

/// A body that says itself that it is too large.
#[derive(Debug)]
pub(crate) struct TooLarge;

/// Makes the worker's body of the client's.
///
/// `cancel` is cancelled if the client breaks off.
pub(crate) async fn receive(
    mut body: Unread<'_>,
    connection: &Arc<Connection>,
    cancel: &Cancel,
    room: &Room,
) -> Result<Body, TooLarge> {
    if body
        .incoming
        .as_ref()
        .is_some_and(|incoming| incoming.size_hint().lower() > room.max)
    {
        return Err(TooLarge);
    }
    Ok(receive_within(&mut body, connection, cancel, room).await)
}

async fn receive_within(body: &mut Unread<'_>, connection: &Arc<Connection>, cancel: &Cancel, room: &Room) -> Body {
    let mut incoming = match body.incoming.take() {
        Some(incoming) if !incoming.is_end_stream() => incoming,
        _ => return Body::Empty,
    };
    let length = incoming.size_hint().exact();
    let mut first: Option<Bytes> = None;
    if length.is_some_and(|length| length <= INLINE_BODY_BYTES_MAX) {
        match already_there(&mut incoming).await {
            Arrived::All(bytes) => return Body::Full(bytes),
            Arrived::Part(bytes) => first = bytes,
            Arrived::WithTrailers(bytes, trailers) => {
                let (sender, receiver) = body::channel(body::CREDIT_DEFAULT, length);
                // The receiver is in our hands: it cannot be gone.
                let _ = sender.send(Frame::Data(bytes));
                let _ = sender.send(Frame::Trailers(trailers));
                sender.finish();
                return Body::Stream(receiver);
            }
            Arrived::Broken(error) => {
                cancel.cancel();
                let (sender, receiver) = body::channel(body::CREDIT_DEFAULT, length);
                sender.fail(error);
                return Body::Stream(receiver);
            }
        }
    }
    let (sender, receiver) = body::channel(body::CREDIT_DEFAULT, length);
    if let Some(bytes) = first {
        // The receiver is in our hands: it cannot be gone.
        let _ = sender.send(Frame::Data(bytes));
    }
    let cancel = cancel.clone();
    let stall = connection.front.options.limits.body_timeout;
    // The bytes of a body are no idle connection, and no head.
    let in_flight = connection.hold();
    let room = room.clone();
    connection.front.helpers.spawn(async move {
        match pump(&mut incoming, &sender, stall, &room).await {
            Ok(()) => sender.finish(),
            Err(BodyError::Canceled) => in_flight.connection().leave_body_unread(),
            Err(error @ BodyError::TooLarge { .. }) => {
                // First the answer: who reads the body answers with an error of its own when it ends so.
                room.tell(Fell::TooLarge);
                sender.fail(error);
                in_flight.connection().leave_body_unread();
            }
            Err(error) => {
                sender.fail(error);
                cancel.cancel();
                in_flight.connection().leave_body_unread();
            }
        }
        drop(incoming);
        drop(in_flight);
    });
    Body::Stream(receiver)
}

enum Arrived {
    All(Bytes),
    WithTrailers(Bytes, HeaderMap),
    Part(Option<Bytes>),
    Broken(BodyError),
}

/// Takes what can be had without waiting.
async fn already_there(incoming: &mut Incoming) -> Arrived {
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut trailers = None;
    let ended = poll_fn(|cx| {
        loop {
            if incoming.is_end_stream() {
                return Poll::Ready(Ok(true));
            }
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Pending => return Poll::Ready(Ok(false)),
                Poll::Ready(None) => return Poll::Ready(Ok(true)),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(broken_off(&error))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => pieces.push(bytes),
                    Err(frame) => trailers = frame.into_trailers().ok(),
                },
            }
        }
    })
    .await;
    let joined = match pieces.len() {
        0 => None,
        1 => pieces.pop(),
        _ => Some(Bytes::from(pieces.concat())),
    };
    match (ended, trailers) {
        (Err(error), _) => Arrived::Broken(error),
        (Ok(_), Some(trailers)) => Arrived::WithTrailers(joined.unwrap_or_default(), trailers),
        (Ok(true), None) => Arrived::All(joined.unwrap_or_default()),
        (Ok(false), None) => Arrived::Part(joined),
    }
}

/// Passes the body on, as far as there is room.
async fn pump(incoming: &mut Incoming, sender: &BodySender, stall: Duration, room: &Room) -> Result<(), BodyError> {
    let mut left = room.max;
    loop {
        sender.ready().await?;
        let next = tokio::select! {
            biased;
            next = tokio::time::timeout(stall, next_frame(incoming)) => next,
            () = sender.closed() => return Err(BodyError::Canceled),
        };
        let frame = match next {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => return Err(broken_off(&error)),
            Ok(None) => return Ok(()),
            Err(_) => {
                // First the answer, as for a body that is too large.
                room.tell(Fell::Stalled);
                let seconds = stall.as_secs();
                return Err(BodyError::Failed(format!(
                    "the client sent nothing of the request body for {seconds} s"
                )));
            }
        };
        match frame.into_data() {
            Ok(bytes) => {
                left = left
                    .checked_sub(bytes.len() as u64)
                    .ok_or(BodyError::TooLarge { limit: room.max })?;
                sender.send(Frame::Data(bytes))?;
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    sender.send(Frame::Trailers(trailers))?;
                }
            }
        }
    }
}

async fn next_frame(incoming: &mut Incoming) -> Option<Result<hyper::body::Frame<Bytes>, hyper::Error>> {
    poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx)).await
}

fn broken_off(error: &hyper::Error) -> BodyError {
    use std::error::Error as _;
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    BodyError::Failed(format!("the client broke off the request body: {error}{cause}"))
}
