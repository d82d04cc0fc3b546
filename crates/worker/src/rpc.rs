//! RPC between two isolates: a link of two queues of messages.
//!
//! A message's head and data are plain bytes, which only the two engines understand. What is more than data travels beside
//! them as channel ends ([`RpcChannel`]): the head names them by their index. A link has no addresses: what one side offers
//! to the other is known by numbers that mean something on this link alone, and die with it.
//!
//! Bounds: a message's data is at most [`MESSAGE_BYTES_MAX`], and at most [`BUFFERED_BYTES_MAX`] wait in one direction: more
//! is refused, and the sender gives the link up. Streams have their own credit ([`crate::body`]).
//!
//! When one end is dropped, the other reads what was sent and then the end.

use crate::backlog::Backlog;
use crate::{Body, BodySender, ServiceStub, WebSocketEnd};
use bytes::Bytes;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// The most bytes that the arguments of one call, or its result, may have, as the Workers platform has it: 32 MiB.
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes that may wait in one direction of a link.
pub const BUFFERED_BYTES_MAX: usize = 128 * 1024 * 1024;
/// What a message costs beside its bytes, so that a flood of small ones is bounded too.
const MESSAGE_OVERHEAD_BYTES: usize = 256;

/// A message.
#[derive(Debug, Default)]
pub struct RpcMessage {
    /// What it says, in the engine's own words (JSON).
    pub head: String,
    /// Arguments or a result, as the engine's structured clone; empty for none.
    pub data: Bytes,
    /// What is more than data.
    pub channels: Vec<RpcChannel>,
}

/// Something alive that travels with a message.
#[derive(Debug)]
pub enum RpcChannel {
    /// Bytes that the receiver may read.
    Source(Body),
    /// Where the receiver may write bytes.
    Sink(BodySender),
    /// A WebSocket.
    Socket(WebSocketEnd),
    /// A service binding.
    Service(ServiceStub),
}

/// One end of a link.
#[derive(Debug)]
pub struct RpcLink {
    tx: Option<mpsc::UnboundedSender<RpcMessage>>,
    /// Bytes that wait at the other end.
    sent: Arc<Backlog>,
    rx: mpsc::UnboundedReceiver<RpcMessage>,
    /// Bytes that wait here.
    waiting: Arc<Backlog>,
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RpcSendError {
    /// The other end is gone.
    #[error("the other side of the RPC session is gone")]
    Closed,
    /// More than [`BUFFERED_BYTES_MAX`] wait already.
    #[error("the other side of the RPC session takes its messages too slowly: {BUFFERED_BYTES_MAX} bytes wait already")]
    Full,
}

impl RpcMessage {
    fn size(&self) -> usize {
        self.head.len() + self.data.len() + MESSAGE_OVERHEAD_BYTES
    }
}

/// The two ends of a link.
pub fn link() -> (RpcLink, RpcLink) {
    let (a_tx, b_rx) = mpsc::unbounded_channel();
    let (b_tx, a_rx) = mpsc::unbounded_channel();
    let (to_a, to_b) = (Arc::<Backlog>::default(), Arc::<Backlog>::default());
    let end = |tx, rx, sent: &Arc<Backlog>, waiting: &Arc<Backlog>| RpcLink {
        tx: Some(tx),
        sent: sent.clone(),
        rx,
        waiting: waiting.clone(),
    };
    (end(a_tx, a_rx, &to_b, &to_a), end(b_tx, b_rx, &to_a, &to_b))
}

impl RpcLink {
    /// Queues a message.
    pub fn send(&self, message: RpcMessage) -> Result<(), RpcSendError> {
        let tx = self.tx.as_ref().ok_or(RpcSendError::Closed)?;
        let size = message.size();
        if self.sent.bytes() > BUFFERED_BYTES_MAX {
            return Err(RpcSendError::Full);
        }
        self.sent.add(size);
        tx.send(message).map_err(|_| RpcSendError::Closed)
    }

    /// The next message; `None` once the other end is gone.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<RpcMessage>> {
        self.rx.poll_recv(cx).map(|message| {
            message.inspect(|message| {
                self.waiting.take(message.size());
            })
        })
    }

    /// The next message; `None` once the other end is gone.
    pub async fn recv(&mut self) -> Option<RpcMessage> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Sends nothing more; the other end reads what was sent, then the end.
    pub fn close(&mut self) {
        self.tx = None;
        self.rx.close();
        self.waiting.gone();
    }

    /// What waits at the other end: bytes, and each message's own cost.
    pub fn unread(&self) -> usize {
        self.sent.cost()
    }

    /// Until [`RpcLink::unread`] is less than `cost`, or the other end is gone; with zero only the latter. Whoever asked
    /// last is woken.
    pub fn poll_below(&self, cost: usize, cx: &mut Context<'_>) -> Poll<()> {
        self.sent.poll_below(cost, || self.is_closed(), cx)
    }

    /// True once the other end takes no messages any more.
    pub fn is_closed(&self) -> bool {
        self.tx.as_ref().is_none_or(mpsc::UnboundedSender::is_closed)
    }
}

impl Drop for RpcLink {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> RpcMessage {
        RpcMessage {
            data: vec![0; bytes].into(),
            ..RpcMessage::default()
        }
    }

    #[tokio::test]
    async fn both_ways_and_the_end() {
        let (a, mut b) = link();
        a.send(message(1)).unwrap();
        b.send(message(2)).unwrap();
        assert_eq!(b.recv().await.unwrap().data.len(), 1);
        drop(a);
        assert!(b.recv().await.is_none());
        assert_eq!(b.send(message(1)), Err(RpcSendError::Closed));
    }

    #[tokio::test]
    async fn what_nobody_takes_is_bounded() {
        let (a, mut b) = link();
        for _ in 0..5 {
            a.send(message(MESSAGE_BYTES_MAX)).unwrap_or_default();
        }
        assert_eq!(a.send(message(1)), Err(RpcSendError::Full));
        while b.waiting.bytes() > 0 {
            b.recv().await.unwrap();
        }
        a.send(message(1)).unwrap();
    }

    #[tokio::test]
    async fn a_closed_end_delivers_what_it_sent() {
        let (mut a, mut b) = link();
        a.send(message(1)).unwrap();
        a.close();
        assert!(b.recv().await.is_some());
        assert!(b.recv().await.is_none());
        assert_eq!(a.send(message(1)), Err(RpcSendError::Closed));
    }
}
