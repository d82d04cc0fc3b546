//! One end of a WebSocket as messages. The handshake, masking, fragments and pings belong to whoever owns the real
//! socket (`edge` for clients, `egress` for servers).
//!
//! Each direction is a queue of whole messages. A queue that holds more than [`BUFFERED_BYTES_MAX`] bytes is overdriven:
//! [`WsSender::send`] refuses, and the owner closes with 1009 or 1013 rather than drop a message silently; an owner that
//! can make its source wait awaits [`WsSender::room`] first.

use crate::backlog::Backlog;
use bytes::Bytes;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{Notify, mpsc};

/// Bytes that may wait in one direction of a socket.
pub const BUFFERED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The largest single message, as the Workers platform has it: 32 MiB. Larger closes with 1009.
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A WebSocket message or its close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WsMessage {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
    /// The closing handshake: the code (`None` for a frame without one) and the reason. The last message of its
    /// direction. A connection that broke without one just ends: the receiver sees 1006.
    Close {
        /// The close code, if the frame had one.
        code: Option<u16>,
        /// At most 123 bytes.
        reason: String,
    },
}

impl WsMessage {
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(data) => data.len(),
            Self::Close { .. } => 0,
        }
    }
}

/// Both directions, as one side sees them.
#[derive(Debug)]
pub struct WebSocketEnd {
    /// Messages to the other side.
    pub tx: WsSender,
    /// Messages from the other side.
    pub rx: WsReceiver,
    /// The negotiated sub-protocol; empty for none.
    pub protocol: String,
}

/// The sending half.
#[derive(Debug, Clone)]
pub struct WsSender {
    queue: mpsc::UnboundedSender<WsMessage>,
    backlog: Arc<Backlog>,
    /// Told whenever the receiver took a message or went away.
    taken: Arc<Notify>,
}

/// The receiving half.
#[derive(Debug)]
pub struct WsReceiver {
    queue: mpsc::UnboundedReceiver<WsMessage>,
    backlog: Arc<Backlog>,
    taken: Arc<Notify>,
}

/// Why a message was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WsSendError {
    /// The other side is gone.
    #[error("the WebSocket is closed")]
    Closed,
    /// More than [`BUFFERED_BYTES_MAX`] bytes wait already.
    #[error("the WebSocket's peer reads too slowly: {BUFFERED_BYTES_MAX} bytes wait already")]
    Full,
}

fn half() -> (WsSender, WsReceiver) {
    let (tx, rx) = mpsc::unbounded_channel();
    let backlog = Arc::<Backlog>::default();
    let taken = Arc::new(Notify::new());
    let sender = WsSender {
        queue: tx,
        backlog: backlog.clone(),
        taken: taken.clone(),
    };
    let receiver = WsReceiver {
        queue: rx,
        backlog,
        taken,
    };
    (sender, receiver)
}

/// The two ends of a socket.
pub fn pair() -> (WebSocketEnd, WebSocketEnd) {
    let (a_tx, b_rx) = half();
    let (b_tx, a_rx) = half();
    let end = |tx, rx| WebSocketEnd {
        tx,
        rx,
        protocol: String::new(),
    };
    (end(a_tx, a_rx), end(b_tx, b_rx))
}

impl WsSender {
    /// Queues a message.
    pub fn send(&self, message: WsMessage) -> Result<(), WsSendError> {
        let size = message.size();
        if self.backlog.bytes() > BUFFERED_BYTES_MAX {
            return Err(WsSendError::Full);
        }
        self.backlog.add(size);
        self.queue.send(message).map_err(|_| WsSendError::Closed)
    }

    /// Waits until [`WsSender::send`] would not say [`WsSendError::Full`]. Returns also when the other side is gone.
    pub async fn room(&self) {
        loop {
            let taken = self.taken.notified();
            tokio::pin!(taken);
            // Registered before the look, so that a message taken in between is not missed.
            taken.as_mut().enable();
            if self.backlog.bytes() <= BUFFERED_BYTES_MAX || self.queue.is_closed() {
                return;
            }
            taken.await;
        }
    }

    /// Bytes that wait to be taken by the other side.
    pub fn buffered(&self) -> usize {
        self.backlog.bytes()
    }

    /// What waits to be taken by the other side: bytes, and 64 for each message.
    pub fn unread(&self) -> usize {
        self.backlog.cost()
    }

    /// Until [`WsSender::unread`] is less than `cost` or the other side is gone; with zero only the latter. Whoever asked
    /// last is woken.
    pub fn poll_below(&self, cost: usize, cx: &mut Context<'_>) -> Poll<()> {
        self.backlog.poll_below(cost, || self.queue.is_closed(), cx)
    }

    /// True once nobody takes messages any more.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
}

impl WsReceiver {
    /// The next message; `None` once the other side is gone.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<WsMessage>> {
        self.queue.poll_recv(cx).map(|message| {
            message.inspect(|message| {
                self.backlog.take(message.size());
                self.taken.notify_waiters();
            })
        })
    }

    /// The next message; `None` once the other side is gone.
    pub async fn recv(&mut self) -> Option<WsMessage> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }
}

impl Drop for WsReceiver {
    fn drop(&mut self) {
        self.queue.close();
        self.backlog.gone();
        self.taken.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn an_overdriven_queue_refuses_and_room_waits_for_the_reader() {
        let (a, mut b) = pair();
        let big = || WsMessage::Binary(vec![0; BUFFERED_BYTES_MAX + 1].into());
        a.tx.room().await;
        a.tx.send(big()).unwrap();
        assert_eq!(a.tx.send(WsMessage::Text("x".to_owned())), Err(WsSendError::Full));
        let mut room = Box::pin(a.tx.room());
        assert!(room.as_mut().now_or_never().is_none());
        assert_eq!(b.rx.recv().await, Some(big()));
        room.await;
        a.tx.send(WsMessage::Text("x".to_owned())).unwrap();
        assert_eq!(b.rx.recv().await, Some(WsMessage::Text("x".to_owned())));
    }

    #[tokio::test]
    async fn room_ends_with_the_reader() {
        let (a, b) = pair();
        a.tx.send(WsMessage::Binary(vec![0; BUFFERED_BYTES_MAX + 1].into()))
            .unwrap();
        let mut room = Box::pin(a.tx.room());
        assert!(room.as_mut().now_or_never().is_none());
        drop(b);
        room.await;
        assert_eq!(a.tx.send(WsMessage::Text("x".to_owned())), Err(WsSendError::Full));
    }
}
