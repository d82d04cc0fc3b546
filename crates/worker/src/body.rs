//! Message bodies: nothing, bytes at hand, or a stream with byte credit.
//!
//! The stream is a single-producer single-consumer queue bounded in bytes. The producer asks for room
//! ([`BodySender::ready`]) and is refused nothing it then sends, so one frame may overshoot the bound by its own size;
//! the consumer's reading gives the credit back. Ends:
//!
//! | what happens | what the other side sees |
//! |---|---|
//! | [`BodySender::finish`] | the consumer reads the rest, then the end |
//! | [`BodySender::fail`] | the consumer reads the rest, then the error |
//! | the sender is dropped | the consumer reads the rest, then [`BodyError::Truncated`] |
//! | the receiver is dropped | [`BodySender::ready`] says [`BodyError::Canceled`]; what was queued is dropped |

use crate::foreign::Foreign;
use crate::wakes::wake;
use bytes::Bytes;
use http::HeaderMap;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// Credit of a body stream when nothing else is said: 256 KiB on their way between producer and consumer.
pub const CREDIT_DEFAULT: usize = 256 * 1024;

/// A message's body.
#[derive(Debug, Default)]
pub enum Body {
    /// No body at all (not the same as an empty one for `Content-Length`).
    #[default]
    Empty,
    /// Everything is at hand.
    Full(Bytes),
    /// Bytes arrive over time.
    Stream(BodyReceiver),
}

/// A piece of a streamed body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Bytes; never empty.
    Data(Bytes),
    /// Trailers; the last frame.
    Trailers(HeaderMap),
}

/// A piece of a streamed body, as it lies in memory.
#[derive(Debug)]
pub enum Piece {
    /// A frame like any other.
    Frame(Frame),
    /// Bytes that may change until they are copied; never empty.
    Foreign(Foreign),
}

impl Piece {
    fn bytes(&self) -> usize {
        match self {
            Self::Frame(Frame::Data(data)) => data.len(),
            Self::Frame(Frame::Trailers(_)) => 0,
            Self::Foreign(foreign) => foreign.len(),
        }
    }

    /// Its bytes become this process's own.
    pub fn into_frame(self) -> Frame {
        match self {
            Self::Frame(frame) => frame,
            Self::Foreign(foreign) => Frame::Data(foreign.copy()),
        }
    }
}

/// Why a body ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The producer went away before the end.
    #[error("the body ended before it was complete")]
    Truncated,
    /// The consumer went away.
    #[error("the body's reader went away")]
    Canceled,
    /// The body is larger than its reader accepts.
    #[error("the body is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit, bytes.
        limit: u64,
    },
    /// The producer failed; the text says how.
    #[error("{0}")]
    Failed(String),
}

#[derive(Debug)]
struct Shared {
    queue: VecDeque<Piece>,
    /// Copied bytes that come after the queue, gathered until they are read.
    tail: Vec<u8>,
    queued_bytes: usize,
    credit: usize,
    /// `None` while open; then how it ended.
    end: Option<Result<(), BodyError>>,
    receiver_gone: bool,
    receiver_waker: Option<Waker>,
    /// Waits until fewer than `ready_below` bytes wait.
    ready_waker: Option<Waker>,
    ready_below: usize,
    /// Waits for the receiver to go.
    closed_waker: Option<Waker>,
}

/// Small pieces are gathered into frames of up to this many bytes, as long as nobody reads them.
const GATHERED_BYTES: usize = 64 * 1024;
/// Room is made for so many pieces of the first one's size.
const GATHERED_PIECES: usize = 16;

impl Shared {
    /// The tail becomes a frame.
    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.queue.push_back(Piece::Frame(Frame::Data(tail.into())));
        }
    }

    fn gather(&mut self, data: &[u8]) {
        if self.tail.len() + data.len() > GATHERED_BYTES {
            self.end_tail();
        }
        if self.tail.is_empty() {
            self.tail = Vec::with_capacity((data.len() * GATHERED_PIECES).min(GATHERED_BYTES).max(data.len()));
        }
        self.tail.extend_from_slice(data);
        self.queued_bytes += data.len();
    }

    fn wait_below(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if self.queued_bytes < bytes {
            return Poll::Ready(Ok(()));
        }
        self.ready_below = bytes;
        self.ready_waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

type State = Arc<Mutex<Shared>>;

fn lock(state: &State) -> MutexGuard<'_, Shared> {
    // A panic while holding the lock cannot leave the queue half-changed: every critical section is a few field writes.
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The producing end.
#[derive(Debug)]
pub struct BodySender {
    state: State,
}

/// The consuming end.
#[derive(Debug)]
pub struct BodyReceiver {
    state: State,
    /// Exact number of bytes to come, where the producer knows it (`Content-Length`).
    pub length: Option<u64>,
}

/// A stream with `credit` bytes of room; `length` is the exact total when it is known.
pub fn channel(credit: usize, length: Option<u64>) -> (BodySender, BodyReceiver) {
    let state = Arc::new(Mutex::new(Shared {
        queue: VecDeque::new(),
        tail: Vec::new(),
        queued_bytes: 0,
        credit: credit.max(1),
        end: None,
        receiver_gone: false,
        receiver_waker: None,
        ready_waker: None,
        ready_below: credit.max(1),
        closed_waker: None,
    }));
    let sender = BodySender { state: state.clone() };
    (sender, BodyReceiver { state, length })
}

impl BodySender {
    /// Room to send? `Err(Canceled)` once the receiver is gone.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let mut shared = lock(&self.state);
        if shared.receiver_gone {
            return Poll::Ready(Err(BodyError::Canceled));
        }
        let credit = shared.credit;
        shared.wait_below(credit, cx)
    }

    /// Fewer than `bytes` bytes wait to be read? `Err(Canceled)` once the receiver is gone. One of this and
    /// [`BodySender::poll_ready`] is woken, the one that asked last.
    pub fn poll_below(&self, bytes: usize, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let mut shared = lock(&self.state);
        if shared.receiver_gone {
            return Poll::Ready(Err(BodyError::Canceled));
        }
        shared.wait_below(bytes, cx)
    }

    /// How many bytes, and how many frames, wait to be read.
    pub fn queued(&self) -> (usize, usize) {
        let shared = lock(&self.state);
        (
            shared.queued_bytes,
            shared.queue.len() + usize::from(!shared.tail.is_empty()),
        )
    }

    /// Waits for room.
    pub async fn ready(&self) -> Result<(), BodyError> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// Waits until the receiver is dropped. Resolves also when the stream has been read to its end and dropped.
    pub async fn closed(&self) {
        poll_fn(|cx| self.poll_closed(cx)).await;
    }

    /// As [`BodySender::closed`].
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = lock(&self.state);
        if shared.receiver_gone {
            return Poll::Ready(());
        }
        shared.closed_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Queues a frame without waiting. Callers that care about memory call [`BodySender::ready`] first. Empty data is
    /// skipped.
    pub fn send(&self, frame: Frame) -> Result<(), BodyError> {
        self.push(Piece::Frame(frame))
    }

    /// As [`BodySender::send`], of bytes that nobody has copied yet.
    pub fn send_foreign(&self, foreign: Foreign) -> Result<(), BodyError> {
        self.push(Piece::Foreign(foreign))
    }

    fn push(&self, piece: Piece) -> Result<(), BodyError> {
        let size = piece.bytes();
        if size == 0 && !matches!(piece, Piece::Frame(Frame::Trailers(_))) {
            return Ok(());
        }
        let waker = {
            let mut shared = lock(&self.state);
            if shared.receiver_gone || shared.end.is_some() {
                return Err(BodyError::Canceled);
            }
            shared.queued_bytes += size;
            shared.end_tail();
            shared.queue.push_back(piece);
            shared.receiver_waker.take()
        };
        if let Some(waker) = waker {
            wake(waker);
        }
        Ok(())
    }

    /// As [`BodySender::send`] with a copy of the bytes; pieces that wait may become one. True while there is room for more.
    pub fn send_copy(&self, data: &[u8]) -> Result<bool, BodyError> {
        let (room, waker) = {
            let mut shared = lock(&self.state);
            if shared.receiver_gone || shared.end.is_some() {
                return Err(BodyError::Canceled);
            }
            if !data.is_empty() {
                shared.gather(data);
            }
            let waker = (!data.is_empty()).then(|| shared.receiver_waker.take()).flatten();
            (shared.queued_bytes < shared.credit, waker)
        };
        if let Some(waker) = waker {
            wake(waker);
        }
        Ok(room)
    }

    /// Waits for room, then queues the bytes.
    pub async fn send_data(&self, data: Bytes) -> Result<(), BodyError> {
        self.ready().await?;
        self.send(Frame::Data(data))
    }

    /// Ends the body as complete. What is sent afterwards is refused.
    pub fn finish(&self) {
        self.end(Ok(()));
    }

    /// Ends the body with an error. What is sent afterwards is refused.
    pub fn fail(&self, error: BodyError) {
        self.end(Err(error));
    }

    fn end(&self, end: Result<(), BodyError>) {
        let (waker, watcher) = {
            let mut shared = lock(&self.state);
            if shared.end.is_none() {
                shared.end = Some(end);
            }
            (shared.receiver_waker.take(), shared.closed_waker.take())
        };
        if let Some(waker) = waker {
            wake(waker);
        }
        // Whoever watches for the receiver's end is on this side: it need not wait for that any more.
        if let Some(watcher) = watcher {
            watcher.wake();
        }
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        self.end(Err(BodyError::Truncated));
    }
}

impl BodyReceiver {
    /// The next frame, `None` at the end. After an error the body is over.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.poll_piece(cx)
            .map(|piece| piece.map(|piece| piece.map(Piece::into_frame)))
    }

    /// As [`BodyReceiver::poll_frame`], for who can do with bytes that are not this process's own.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        let (piece, waker) = {
            let mut shared = lock(&self.state);
            if shared.queue.is_empty() {
                shared.end_tail();
            }
            match shared.queue.pop_front() {
                Some(piece) => {
                    shared.queued_bytes -= piece.bytes();
                    let waker = (shared.queued_bytes < shared.ready_below)
                        .then(|| shared.ready_waker.take())
                        .flatten();
                    (piece, waker)
                }
                None => {
                    return match &shared.end {
                        Some(Ok(())) => Poll::Ready(None),
                        Some(Err(error)) => {
                            let error = error.clone();
                            shared.end = Some(Ok(()));
                            Poll::Ready(Some(Err(error)))
                        }
                        None => {
                            shared.receiver_waker = Some(cx.waker().clone());
                            Poll::Pending
                        }
                    };
                }
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Poll::Ready(Some(Ok(piece)))
    }

    /// The next frame, `None` at the end.
    pub async fn frame(&mut self) -> Option<Result<Frame, BodyError>> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// True once everything was read and the producer had finished.
    pub fn is_end(&self) -> bool {
        let shared = lock(&self.state);
        shared.queue.is_empty() && shared.tail.is_empty() && matches!(shared.end, Some(Ok(())))
    }
}

impl Drop for BodyReceiver {
    fn drop(&mut self) {
        let (wakers, queue) = {
            let mut shared = lock(&self.state);
            shared.receiver_gone = true;
            shared.queued_bytes = 0;
            let wakers = [shared.ready_waker.take(), shared.closed_waker.take()];
            (
                wakers,
                (std::mem::take(&mut shared.queue), std::mem::take(&mut shared.tail)),
            )
        };
        drop(queue);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Body {
    /// Exact length in bytes, where it is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Stream(stream) => stream.length,
        }
    }

    /// Reads everything into memory; trailers are dropped. More than `limit` bytes is [`BodyError::TooLarge`].
    pub async fn collect(self, limit: u64) -> Result<Bytes, BodyError> {
        let too_large = |len: usize| len as u64 > limit;
        match self {
            Self::Empty => Ok(Bytes::new()),
            Self::Full(bytes) if too_large(bytes.len()) => Err(BodyError::TooLarge { limit }),
            Self::Full(bytes) => Ok(bytes),
            Self::Stream(mut stream) => {
                let mut all = Vec::new();
                while let Some(frame) = stream.frame().await {
                    if let Frame::Data(data) = frame? {
                        if too_large(all.len() + data.len()) {
                            return Err(BodyError::TooLarge { limit });
                        }
                        all.extend_from_slice(&data);
                    }
                }
                Ok(all.into())
            }
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Full(text.into())
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Full(Bytes::from_static(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn data(text: &'static str) -> Frame {
        Frame::Data(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn bytes_arrive_in_order_and_then_the_end() {
        let (tx, mut rx) = channel(16, None);
        tx.send(data("a")).unwrap();
        tx.send(data("")).unwrap();
        tx.send(data("b")).unwrap();
        tx.finish();
        assert_eq!(rx.frame().await, Some(Ok(data("a"))));
        assert_eq!(rx.frame().await, Some(Ok(data("b"))));
        assert!(rx.is_end());
        assert_eq!(rx.frame().await, None);
        assert_eq!(rx.frame().await, None);
    }

    #[tokio::test]
    async fn copies_are_gathered_until_they_are_read_and_stay_in_order() {
        let (tx, mut rx) = channel(16, None);
        assert_eq!(tx.send_copy(b"ab"), Ok(true));
        assert_eq!(tx.send_copy(b""), Ok(true));
        assert_eq!(tx.send_copy(b"cd"), Ok(true));
        assert_eq!(tx.queued(), (4, 1));
        assert_eq!(rx.frame().await, Some(Ok(data("abcd"))));
        assert_eq!(tx.send_copy(b"e"), Ok(true));
        tx.send(data("f")).unwrap();
        assert_eq!(tx.send_copy(b"g"), Ok(true));
        assert_eq!(tx.queued(), (3, 3));
        tx.finish();
        assert!(!rx.is_end());
        for piece in ["e", "f", "g"] {
            assert_eq!(rx.frame().await, Some(Ok(data(piece))));
        }
        assert!(rx.is_end());
        assert_eq!(rx.frame().await, None);
        let (tx, mut rx) = channel(usize::MAX, None);
        let piece = vec![7; GATHERED_BYTES / 2 + 1];
        for _ in 0..3 {
            assert_eq!(tx.send_copy(&piece), Ok(true));
        }
        drop(tx);
        for _ in 0..3 {
            assert_eq!(rx.frame().await, Some(Ok(Frame::Data(piece.clone().into()))));
        }
        assert_eq!(rx.frame().await, Some(Err(BodyError::Truncated)));
        let (tx, rx) = channel(4, None);
        assert_eq!(tx.send_copy(b"abc"), Ok(true));
        assert_eq!(tx.send_copy(b"d"), Ok(false));
        drop(rx);
        assert_eq!(tx.send_copy(b"e"), Err(BodyError::Canceled));
    }

    #[tokio::test]
    async fn a_full_stream_makes_the_producer_wait() {
        let (tx, mut rx) = channel(2, None);
        tx.send_data(Bytes::from_static(b"abc")).await.unwrap();
        assert!(tx.ready().now_or_never().is_none());
        assert_eq!(rx.frame().await, Some(Ok(data("abc"))));
        assert_eq!(tx.ready().now_or_never(), Some(Ok(())));
    }

    #[tokio::test]
    async fn a_producer_may_wait_for_any_level() {
        let (tx, mut rx) = channel(16, None);
        let below = |bytes| poll_fn(|cx| tx.poll_below(bytes, cx)).now_or_never();
        tx.send(data("abc")).unwrap();
        tx.send(data("de")).unwrap();
        assert_eq!(tx.queued(), (5, 2));
        assert_eq!(below(6), Some(Ok(())));
        assert_eq!(below(3), None);
        assert_eq!(rx.frame().await, Some(Ok(data("abc"))));
        assert_eq!(below(3), Some(Ok(())));
        drop(rx);
        assert_eq!(below(3), Some(Err(BodyError::Canceled)));
    }

    #[tokio::test]
    async fn a_dropped_sender_is_not_an_end() {
        let (tx, rx) = channel(16, None);
        tx.send(data("half")).unwrap();
        drop(tx);
        assert_eq!(Body::Stream(rx).collect(100).await, Err(BodyError::Truncated));
    }

    #[tokio::test]
    async fn a_dropped_receiver_cancels() {
        let (tx, rx) = channel(1, None);
        tx.send(data("x")).unwrap();
        drop(rx);
        assert_eq!(tx.ready().await, Err(BodyError::Canceled));
        assert_eq!(tx.send(data("y")), Err(BodyError::Canceled));
        tx.closed().await;
    }

    #[tokio::test]
    async fn collect_holds_its_limit() {
        let check = async |body: Body, limit, expected| assert_eq!(body.collect(limit).await, expected);
        check(Body::from("abc"), 3, Ok(Bytes::from_static(b"abc"))).await;
        check(Body::from("abc"), 2, Err(BodyError::TooLarge { limit: 2 })).await;
        let (tx, rx) = channel(16, None);
        tx.send(data("ab")).unwrap();
        tx.send(data("c")).unwrap();
        tx.finish();
        check(Body::Stream(rx), 2, Err(BodyError::TooLarge { limit: 2 })).await;
    }
}
