//! One debugger's WebSocket: text both ways, each with the back pressure of the other side.

use atoll_worker::InspectorSession;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

/// Bytes of one command. A debugger may send a whole script.
pub const COMMAND_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a close frame, and what waits before it, may take to be sent.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Carries a session until either side ends.
pub(super) async fn carry(stream: TokioIo<Upgraded>, session: InspectorSession, stop: &CancellationToken) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(COMMAND_BYTES_MAX))
        .max_frame_size(Some(COMMAND_BYTES_MAX));
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let (mut sink, mut stream) = socket.split();
    let InspectorSession { commands, mut messages } = session;
    let reading = async {
        loop {
            let command = match stream.next().await {
                Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
                Some(Ok(Message::Binary(_))) => return Some((CloseCode::Unsupported, "commands are text")),
                // The codec answers pings, and a close with its like.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_))) | None => return None,
                Some(Err(Error::Capacity(_))) => {
                    return Some((CloseCode::Size, "a command is larger than 64 MiB"));
                }
                Some(Err(_)) => return None,
            };
            if commands.send(command).await.is_err() {
                return Some((CloseCode::Away, "the worker is gone"));
            }
        }
    };
    let writing = async {
        while let Some(message) = messages.recv().await {
            if sink.send(Message::Text(message.into())).await.is_err() {
                return None;
            }
        }
        Some((CloseCode::Away, "the worker is gone"))
    };
    let close = tokio::select! {
        close = reading => close,
        close = writing => close,
        () = stop.cancelled() => Some((CloseCode::Away, "the server is stopping")),
    };
    // The isolate goes on before the goodbye is waited for.
    drop((commands, messages));
    let goodbye = async {
        if let Some((code, reason)) = close {
            let frame = CloseFrame {
                code,
                reason: reason.into(),
            };
            sink.send(Message::Close(Some(frame))).await?;
        }
        sink.close().await
    };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await;
}
