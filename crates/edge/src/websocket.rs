//! WebSockets: the handshake, and a client's socket spliced to a worker's.
//!
//! | what happens | what the other side sees |
//! |---|---|
//! | a side sends a close frame | that frame; its answer goes back if it comes within the deadline |
//! | a side breaks off without one | the end, without a close (1006) |
//! | the client breaks the protocol | both a close: 1002, for text that is no UTF-8 1007, for a message too large 1009 |
//! | the server stops | both a close with 1001 |

use crate::body::EdgeBody;
use crate::connection::Connection;
use crate::identify::Handshake;
use atoll_worker::socket::{MESSAGE_BYTES_MAX, WsReceiver, WsSendError, WsSender};
use atoll_worker::{Fault, FaultKind, Response, WebSocketEnd, WsMessage};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError};
use tokio_util::sync::CancellationToken;

/// Read buffer of one socket: most messages are small, and most sockets are idle.
const READ_BUFFER_BYTES: usize = 8 * 1024;
/// Written bytes collected before a write; each message is flushed unless another waits.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// Bytes of a close frame's reason (RFC 6455 section 5.5).
const REASON_BYTES_MAX: usize = 123;
/// Headers of the handshake are ours to say.
const HANDSHAKE_HEADERS: [HeaderName; 6] = [
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
];

/// What a client asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    handshake: Handshake,
    /// Sub-protocols it offers.
    protocols: Vec<HeaderValue>,
}

impl Asked {
    pub(crate) fn new(handshake: Handshake, headers: &HeaderMap) -> Self {
        let protocols = headers
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .cloned()
            .collect();
        Self { handshake, protocols }
    }

    fn offers(&self, protocol: &str) -> bool {
        self.protocols
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|offered| offered.trim() == protocol)
    }
}

/// Accepts a WebSocket with the worker's 101, and starts the splice.
pub(crate) fn accept(
    response: Box<Response>,
    asked: Option<Asked>,
    upgrade: Option<OnUpgrade>,
    connection: &Arc<Connection>,
) -> Result<http::Response<EdgeBody>, Fault> {
    let unusable = |message: &str| Fault::new(FaultKind::BadResponse, message);
    let Some(end) = response.websocket else {
        return Err(unusable(
            "the worker answered 101 without a WebSocket: pass one as `webSocket`",
        ));
    };
    let (Some(asked), Some(upgrade)) = (asked, upgrade) else {
        return Err(unusable(
            "the worker answered with a WebSocket, but the client asked for none: check `request.headers.get(\"Upgrade\")`",
        ));
    };
    let mut headers = response.head.headers;
    for name in &HANDSHAKE_HEADERS {
        headers.remove(name);
    }
    if !end.protocol.is_empty()
        && let Ok(protocol) = HeaderValue::from_str(&end.protocol)
    {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    // A sub-protocol that was not offered makes the client fail the connection (RFC 6455 section 4.1).
    let chosen = headers
        .get(header::SEC_WEBSOCKET_PROTOCOL)
        .and_then(|chosen| chosen.to_str().ok());
    if let Some(chosen) = chosen
        && !asked.offers(chosen)
    {
        let chosen = chosen.to_owned();
        return Err(unusable(&format!(
            "the worker chose the sub-protocol {chosen:?}, which the client does not offer"
        )));
    }
    let status = match asked.handshake {
        Handshake::Http2 => StatusCode::OK,
        Handshake::Http1 { key } => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
                headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
            }
            StatusCode::SWITCHING_PROTOCOLS
        }
    };
    let front = connection.front.clone();
    let in_flight = connection.hold();
    front.connections.clone().spawn(async move {
        let _in_flight = in_flight;
        let spliced = async {
            // Fails if the client goes before it has the 101: the worker then sees the end.
            if let Ok(upgraded) = upgrade.await {
                let limit = front.options.limits.websocket_close_timeout;
                splice(upgraded, end, &front.stop, limit).await;
            }
        };
        let _ = front.cut.token().run_until_cancelled(spliced).await;
    });
    let mut answer = http::Response::new(EdgeBody::Empty);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Ok(answer)
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// How a direction ended.
enum End {
    /// The client sent a close frame, which the worker has.
    ClientClosed,
    /// The client's connection is gone.
    ClientGone,
    /// The client did what a client may not.
    ClientWrong(CloseCode, &'static str),
    /// The worker closes.
    WorkerClosed(Option<CloseFrame>),
    /// The worker is gone.
    WorkerGone,
    /// The server stops.
    Stopping,
}

/// Carries messages both ways until one side ends.
async fn splice(upgraded: Upgraded, end: WebSocketEnd, stop: &CancellationToken, limit: Duration) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (mut sink, mut stream) = socket.split();
    let WebSocketEnd { tx, mut rx, .. } = end;
    let how = {
        let mut reading = pin!(to_worker(&mut stream, &tx));
        let writing = to_client(&mut sink, &mut rx);
        tokio::select! {
            how = reading.as_mut() => how,
            how = writing => how,
            () = stop.cancelled() => End::Stopping,
        }
    };
    let (frame, tell_worker) = match how {
        // Nothing can be sent; dropping `tx` is the end that the worker sees.
        End::ClientGone => return,
        // Dropping the connection is the end that the client sees.
        End::WorkerGone => return,
        End::ClientClosed => (None, false),
        End::WorkerClosed(frame) => (Some(frame), false),
        End::ClientWrong(code, reason) => (Some(Some(close_frame(code, reason))), true),
        End::Stopping => (Some(Some(close_frame(CloseCode::Away, "the server is stopping"))), true),
    };
    if tell_worker && let Some(Some(frame)) = &frame {
        let _ = tx.send(from_client(Some(frame.clone())));
    }
    let wait_for_answer = frame.is_some() && !tell_worker;
    let farewell = async {
        if let Some(frame) = frame {
            sink.send(Message::Close(frame)).await?;
        }
        if wait_for_answer {
            // What the client still had to say goes to the worker, up to the client's close.
            if let End::ClientGone = to_worker(&mut stream, &tx).await {
                return Ok(());
            }
        }
        // The codec answers a client's close frame while it is read to the end, or flushed.
        sink.flush().await
    };
    let _ = tokio::time::timeout(limit, farewell).await;
    drop(tx);
    if let Ok(socket) = sink.reunite(stream) {
        let _ = tokio::time::timeout(limit, hang_up(socket)).await;
    }
}

/// Ends the TCP stream so that the close frame arrives: closing a socket with unread bytes would reset it.
async fn hang_up(mut socket: Socket) -> std::io::Result<()> {
    let stream = socket.get_mut();
    stream.shutdown().await?;
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

async fn to_worker(stream: &mut SplitStream<Socket>, tx: &WsSender) -> End {
    loop {
        tx.room().await;
        let message = match stream.next().await {
            Some(Ok(Message::Text(text))) => WsMessage::Text(text.as_str().to_owned()),
            Some(Ok(Message::Binary(data))) => WsMessage::Binary(data),
            // The codec answers pings.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Close(frame))) => {
                let _ = tx.send(from_client(frame));
                return End::ClientClosed;
            }
            None => return End::ClientGone,
            Some(Err(error)) => return wrong(&error),
        };
        match tx.send(message) {
            Ok(()) => {}
            Err(WsSendError::Closed) => return End::WorkerGone,
            // `room` keeps this from happening unless others send by the same end.
            Err(WsSendError::Full) => return End::ClientWrong(CloseCode::Again, "too many messages wait"),
        }
    }
}

fn wrong(error: &Error) -> End {
    match error {
        Error::Capacity(_) => End::ClientWrong(CloseCode::Size, "the message is larger than 32 MiB"),
        Error::Utf8(_) => End::ClientWrong(CloseCode::Invalid, "the text is not UTF-8"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::ClientGone,
        Error::Protocol(_) => End::ClientWrong(CloseCode::Protocol, "a frame breaks the protocol"),
        _ => End::ClientGone,
    }
}

async fn to_client(sink: &mut SplitSink<Socket, Message>, rx: &mut WsReceiver) -> End {
    loop {
        let Some(message) = rx.recv().await else {
            return End::WorkerGone;
        };
        let message = match message {
            WsMessage::Text(text) => Message::Text(text.into()),
            WsMessage::Binary(data) => Message::Binary(data),
            WsMessage::Close { code, reason } => return End::WorkerClosed(to_frame(code, reason)),
        };
        if sink.send(message).await.is_err() {
            return End::ClientGone;
        }
    }
}

fn from_client(frame: Option<CloseFrame>) -> WsMessage {
    match frame {
        Some(frame) => WsMessage::Close {
            code: Some(frame.code.into()),
            reason: frame.reason.as_str().to_owned(),
        },
        None => WsMessage::Close {
            code: None,
            reason: String::new(),
        },
    }
}

/// A worker's close as a frame. A code that no frame may carry (1005, 1006 ...) becomes a frame without one.
fn to_frame(code: Option<u16>, reason: String) -> Option<CloseFrame> {
    let code = CloseCode::from(code?);
    if !code.is_allowed() {
        return None;
    }
    let mut reason = reason;
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    Some(close_frame(code, &reason))
}

fn close_frame(code: CloseCode, reason: &str) -> CloseFrame {
    CloseFrame {
        code,
        reason: reason.into(),
    }
}
