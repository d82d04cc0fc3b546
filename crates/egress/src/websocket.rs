//! Outgoing WebSockets (RFC 6455): the real socket on one side, a [`WebSocketEnd`] on the other.
//!
//! Framing, masking, fragments and pings stay here. A peer that sends faster than the worker reads is made to wait by not
//! reading from it; nothing is dropped. Both directions run until one of them closes:
//!
//! | what happens | what follows |
//! |---|---|
//! | the server sends Close | it is answered, the worker gets it, both ends are over |
//! | the worker sends Close | it is sent; the server's answer, or a deadline, ends it |
//! | the worker's end is dropped | Close 1001 is sent; the server's answer, or a deadline, ends it |
//! | the connection breaks, or breaks the protocol | the worker's end just ends (it sees 1006) |
//! | a message is larger than [`MESSAGE_BYTES_MAX`] | Close 1009 is sent, and the worker gets it, too |

use atoll_worker::socket::{self, MESSAGE_BYTES_MAX, WsReceiver, WsSender};
use atoll_worker::{WebSocketEnd, WsMessage};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::header::{self, HeaderMap, HeaderValue};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

/// Receive buffer of one socket, bytes.
const READ_BUFFER: usize = 16 * 1024;
/// The largest close reason a frame can carry, bytes.
const REASON_BYTES_MAX: usize = 123;

type Stream = WebSocketStream<TokioIo<Upgraded>>;

/// The value of `Sec-WebSocket-Key` for one handshake.
pub(crate) fn key() -> HeaderValue {
    // Base64 is visible ASCII.
    HeaderValue::from_str(&generate_key()).expect("a base64 text is a header value")
}

/// Does the response accept the handshake that `key` and `asked` (the sub-protocols) began? Gives the sub-protocol.
pub(crate) fn accepted(headers: &HeaderMap, key: &HeaderValue, asked: &HeaderMap) -> Result<String, String> {
    let has_token = |name, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    if !has_token(header::UPGRADE, "websocket") || !has_token(header::CONNECTION, "upgrade") {
        return Err("it answered 101 but not with an upgrade to websocket".to_owned());
    }
    let expected = derive_accept_key(key.as_bytes());
    if headers
        .get(header::SEC_WEBSOCKET_ACCEPT)
        .is_none_or(|value| value.as_bytes() != expected.as_bytes())
    {
        return Err("Sec-WebSocket-Accept does not match".to_owned());
    }
    if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return Err("it uses a WebSocket extension that was not offered".to_owned());
    }
    let Some(protocol) = headers.get(header::SEC_WEBSOCKET_PROTOCOL) else {
        return Ok(String::new());
    };
    let protocol = protocol
        .to_str()
        .map_err(|_| "its sub-protocol is no text".to_owned())?;
    let offered = asked
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim() == protocol);
    if offered {
        Ok(protocol.to_owned())
    } else {
        Err(format!("it chose the sub-protocol {protocol:?}, which was not offered"))
    }
}

/// The worker's end, and the work of moving messages, which somebody has to await.
pub(crate) fn splice(
    upgraded: Upgraded,
    protocol: String,
    close_timeout: Duration,
) -> (WebSocketEnd, impl Future<Output = ()> + Send) {
    let (mut worker, own) = socket::pair();
    worker.protocol = protocol;
    let work = async move {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let stream = Stream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await;
        let (sink, stream) = stream.split();
        let (signal, done) = watch::channel(None);
        let up = upwards(own.rx, sink, done, close_timeout);
        let down = downwards(stream, own.tx, signal, close_timeout);
        tokio::pin!(up, down);
        // `up` ends soon after `down` did, or when `down` did not end in time after a close.
        tokio::select! {
            () = &mut down => up.await,
            () = &mut up => {}
        }
    };
    (worker, work)
}

/// Server to worker. `signal` carries a code to close with; its end says that this direction is over.
async fn downwards(
    mut stream: SplitStream<Stream>,
    worker: WsSender,
    signal: watch::Sender<Option<u16>>,
    close_timeout: Duration,
) {
    loop {
        worker.room().await;
        let message = match stream.next().await {
            Some(Ok(Message::Text(text))) => WsMessage::Text(text.as_str().to_owned()),
            Some(Ok(Message::Binary(data))) => WsMessage::Binary(data),
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) = frame.map_or((None, String::new()), |frame| {
                    (Some(frame.code.into()), frame.reason.to_string())
                });
                let _ = worker.send(WsMessage::Close { code, reason });
                // Reading on sends the answer and waits for the end of the connection.
                let _ = timeout(close_timeout, async { while let Some(Ok(_)) = stream.next().await {} }).await;
                return;
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Err(WsError::Capacity(CapacityError::MessageTooLong { .. }))) => {
                let reason = "the message is too large".to_owned();
                let _ = worker.send(WsMessage::Close {
                    code: Some(1009),
                    reason,
                });
                signal.send_replace(Some(1009));
                return;
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "outgoing WebSocket broke");
                return;
            }
            None => return,
        };
        if worker.send(message).is_err() {
            // The worker does not listen any more; what is under way is of no use, but a close has to be answered.
            while let Some(Ok(_)) = stream.next().await {}
            return;
        }
    }
}

/// Worker to server, to the end of both.
async fn upwards(
    mut worker: WsReceiver,
    mut sink: SplitSink<Stream, Message>,
    mut done: watch::Receiver<Option<u16>>,
    close_timeout: Duration,
) {
    // The frame to close with, or nothing if the server's direction is over already.
    let close = loop {
        let message = tokio::select! {
            message = worker.recv() => message,
            _ = done.changed() => break None,
        };
        let message = match message {
            Some(WsMessage::Text(text)) => Message::text(text),
            Some(WsMessage::Binary(data)) => Message::Binary(data),
            Some(WsMessage::Close { code, reason }) => break Some(close_frame(code, reason)),
            None => break Some(close_frame(Some(1001), String::new())),
        };
        let sent = tokio::select! {
            sent = sink.send(message) => sent,
            _ = done.changed() => break None,
        };
        if sent.is_err() {
            break None;
        }
    };
    let code = *done.borrow();
    let ending = async {
        let _ = match close.or_else(|| code.map(|code| close_frame(Some(code), String::new()))) {
            Some(frame) => sink.send(Message::Close(frame)).await,
            None => sink.flush().await,
        };
        // What the server still has to say, or its side of the closing handshake. An error: it is over.
        while done.changed().await.is_ok() {}
    };
    let _ = timeout(close_timeout, ending).await;
}

/// A code that must not be sent (RFC 6455 section 7.4) becomes a frame without one.
fn close_frame(code: Option<u16>, mut reason: String) -> Option<CloseFrame> {
    let code = CloseCode::from(code?);
    if !code.is_allowed() {
        return None;
    }
    if reason.len() > REASON_BYTES_MAX {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    }
    Some(CloseFrame {
        code,
        reason: reason.into(),
    })
}
