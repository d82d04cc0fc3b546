//! Response bodies as the HTTP library takes them.

use crate::connection::InFlight;
use crate::encode::Encoded;
use atoll_worker::{BodyError, BodyReceiver, Cancel, Frame, Piece};
use bytes::Bytes;
use http_body::SizeHint;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Cancels an event unless it is disarmed: whoever asked went away.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(Option<Cancel>);

impl CancelOnDrop {
    pub(crate) fn new(cancel: Cancel) -> Self {
        Self(Some(cancel))
    }

    pub(crate) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancel) = self.0.take() {
            cancel.cancel();
        }
    }
}

/// A response's body.
#[derive(Debug)]
pub(crate) enum EdgeBody {
    /// Nothing (left).
    Empty,
    /// One piece; its length is announced.
    Full(Bytes),
    /// One piece whose length is not announced (HTTP/1: chunked).
    Unsized(Bytes),
    /// A stream.
    Stream(Streamed),
    /// Encoded on its way.
    Encoded(Box<Encoded>),
}

/// A worker's stream. Dropped before its end it cancels the event.
#[derive(Debug)]
pub(crate) struct Streamed {
    pub(crate) receiver: BodyReceiver,
    /// `None` for a body that no event produces.
    pub(crate) cancel: Option<CancelOnDrop>,
    /// The connection is not idle while this lives.
    pub(crate) _in_flight: InFlight,
}

impl Streamed {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let piece = ready!(self.poll_piece(cx));
        Poll::Ready(piece.map(|piece| piece.map(Piece::into_frame)))
    }

    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        let piece = ready!(self.receiver.poll_piece(cx));
        let last = match &piece {
            None | Some(Err(_)) => true,
            Some(Ok(Piece::Frame(Frame::Trailers(_)))) => true,
            // A body of known length is dropped by the HTTP library with its last byte.
            Some(Ok(_)) => self.receiver.is_end(),
        };
        if last && let Some(cancel) = &mut self.cancel {
            cancel.disarm();
        }
        Poll::Ready(piece)
    }
}

impl EdgeBody {
    /// As [`http_body::Body::poll_frame`], for who can do with bytes that are not this process's own.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        if let Self::Stream(stream) = self {
            return stream.poll_piece(cx);
        }
        let frame = ready!(http_body::Body::poll_frame(Pin::new(self), cx));
        Poll::Ready(frame.map(|frame| {
            let frame = match frame?.into_data() {
                Ok(bytes) => Frame::Data(bytes),
                // What is no data is trailers.
                Err(frame) => Frame::Trailers(frame.into_trailers().unwrap_or_default()),
            };
            Ok(Piece::Frame(frame))
        }))
    }
}

impl http_body::Body for EdgeBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        let frame = match &mut *self {
            Self::Empty => None,
            Self::Full(bytes) | Self::Unsized(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                (!bytes.is_empty()).then_some(Ok(http_body::Frame::data(bytes)))
            }
            Self::Stream(stream) => ready!(stream.poll_frame(cx)).map(|frame| {
                frame.map(|frame| match frame {
                    Frame::Data(bytes) => http_body::Frame::data(bytes),
                    Frame::Trailers(trailers) => http_body::Frame::trailers(trailers),
                })
            }),
            Self::Encoded(encoded) => ready!(encoded.poll_frame(cx)),
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) | Self::Unsized(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.receiver.is_end(),
            Self::Encoded(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(stream) => stream
                .receiver
                .length
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            Self::Unsized(_) | Self::Encoded(_) => SizeHint::default(),
        }
    }
}
