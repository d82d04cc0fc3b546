//! A request's body on its way to hyper.
//!
//! The declared length is held: a stream that ends early or goes on too long fails the request instead of sending a
//! message that lies about its size. [`Progress`] is shared with whoever waits for the response, who learns from it why
//! an upload failed and whether the wait is the peer's fault or the body's producer's.

use atoll_worker::{Body, BodyError, BodyReceiver, Frame};
use bytes::Bytes;
use http_body::SizeHint;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::time::Instant;

/// What happened to an upload so far.
#[derive(Debug, Clone)]
pub(crate) struct Progress(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    moved: Instant,
    waits_for_producer: bool,
    complete: bool,
    error: Option<BodyError>,
}

impl Progress {
    fn new(complete: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            moved: Instant::now(),
            waits_for_producer: false,
            complete,
            error: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when the peer has had what there is to have: now, if the producer is the one who is slow.
    pub fn waiting_since(&self) -> Instant {
        let state = self.lock();
        if state.waits_for_producer {
            Instant::now()
        } else {
            state.moved
        }
    }

    /// Everything was handed to the connection.
    pub fn is_complete(&self) -> bool {
        self.lock().complete
    }

    /// Why the upload failed, if it did.
    pub fn error(&self) -> Option<BodyError> {
        self.lock().error.clone()
    }
}

/// A request body as hyper reads it.
#[derive(Debug)]
pub(crate) struct Upload {
    source: Source,
    progress: Progress,
}

#[derive(Debug)]
enum Source {
    Nothing,
    Full(Bytes),
    Stream { stream: BodyReceiver, sent: u64 },
}

impl Upload {
    pub fn new(body: Body) -> (Self, Progress) {
        let source = match body {
            Body::Empty => Source::Nothing,
            Body::Full(bytes) if bytes.is_empty() => Source::Nothing,
            Body::Full(bytes) => Source::Full(bytes),
            Body::Stream(stream) => Source::Stream { stream, sent: 0 },
        };
        let progress = Progress::new(matches!(source, Source::Nothing));
        (
            Self {
                source,
                progress: progress.clone(),
            },
            progress,
        )
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let outcome = match &mut this.source {
            Source::Nothing => Ok(None),
            Source::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                this.source = Source::Nothing;
                Ok(Some(bytes))
            }
            Source::Stream { stream, sent } => match poll_data(stream, cx) {
                Poll::Pending => {
                    this.progress.lock().waits_for_producer = true;
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => Err(error),
                Poll::Ready(Ok(Some(data))) => {
                    *sent += data.len() as u64;
                    match stream.length {
                        Some(length) if *sent > length => Err(wrong_length(length, "longer")),
                        _ => Ok(Some(data)),
                    }
                }
                Poll::Ready(Ok(None)) => match stream.length {
                    Some(length) if *sent < length => Err(wrong_length(length, "shorter")),
                    _ => Ok(None),
                },
            },
        };
        let complete = match &this.source {
            Source::Nothing => true,
            Source::Full(_) => false,
            Source::Stream { stream, sent } => stream.length == Some(*sent) || matches!(outcome, Ok(None)),
        };
        let mut state = this.progress.lock();
        state.moved = Instant::now();
        state.complete = complete;
        state.waits_for_producer = false;
        Poll::Ready(match outcome {
            Ok(data) => data.map(|data| Ok(http_body::Frame::data(data))),
            Err(error) => {
                state.error = Some(error.clone());
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.source, Source::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Nothing => SizeHint::with_exact(0),
            Source::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Stream { stream, sent } => match stream.length {
                Some(length) => SizeHint::with_exact(length.saturating_sub(*sent)),
                None => SizeHint::default(),
            },
        }
    }
}

/// The next bytes; trailers are skipped: fetch sends none.
fn poll_data(stream: &mut BodyReceiver, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
    loop {
        return match stream.poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error)),
            Poll::Ready(Some(Ok(Frame::Data(data)))) => Poll::Ready(Ok(Some(data))),
            Poll::Ready(Some(Ok(Frame::Trailers(_)))) => continue,
        };
    }
}

fn wrong_length(length: u64, how: &str) -> BodyError {
    BodyError::Failed(format!(
        "the body is {how} than the {length} bytes it was declared to have"
    ))
}
