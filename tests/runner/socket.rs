//! WebSocket scripts: what the client says and must hear, frame by frame.

use super::Session;
use super::expect::{Received, differences, text_is};
use super::format::{Frame, Step};
use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

impl Session {
    /// Opens a WebSocket and plays the script.
    pub(super) async fn talk(&self, path: &str, step: &Step) -> Result<()> {
        let stream = TcpStream::connect(self.server.address).await.context("connect")?;
        let mut request = http::Request::builder()
            .uri(format!("ws://{}{path}", self.server.address))
            .body(())?;
        let headers = request.headers_mut();
        *headers = self.headers(step)?;
        for (name, value) in [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
        ] {
            headers.insert(name, value.parse()?);
        }
        headers.insert("sec-websocket-key", generate_key().parse()?);
        let (mut socket, response) = match client_async(request, stream).await {
            Ok(opened) => opened,
            Err(Error::Http(response)) => {
                // The worker answered with something else: that may be what the spec expects.
                let (head, body) = response.into_parts();
                return check(step, &head, body.unwrap_or_default());
            }
            Err(error) => return Err(error).context("open the WebSocket"),
        };
        if step.expect.status.is_some_and(|status| status != 101) {
            bail!("the server opened the WebSocket");
        }
        let (head, _) = response.into_parts();
        check(step, &head, Vec::new())?;
        for (number, frame) in step.script.iter().enumerate() {
            play(&mut socket, frame)
                .await
                .with_context(|| format!("frame {} of the script", number + 1))?;
        }
        Ok(())
    }
}

fn check(step: &Step, head: &http::response::Parts, body: Vec<u8>) -> Result<()> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let received = Received {
        status: head.status.as_u16(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body,
        ..Received::default()
    };
    let mut expect = step.expect.clone();
    expect.status.get_or_insert(101);
    let found = differences(&expect, &received);
    if !found.is_empty() {
        bail!("\n- {}\nreceived:\n{}", found.join("\n- "), received.show());
    }
    Ok(())
}

async fn play(socket: &mut WebSocketStream<TcpStream>, frame: &Frame) -> Result<()> {
    if let Some(text) = &frame.send {
        socket.send(Message::text(text.clone())).await?;
    }
    if let Some(text) = &frame.send_base64 {
        socket.send(Message::binary(STANDARD.decode(text)?)).await?;
    }
    if let Some(text) = &frame.ping {
        socket.send(Message::Ping(text.clone().into())).await?;
        match socket.next().await {
            Some(Ok(Message::Pong(payload))) if payload == text.as_bytes() => {}
            other => bail!("heard {other:?}, expected the pong {text:?}"),
        }
    }
    if let Some(expected) = &frame.hear {
        match hear(socket).await? {
            Some(Message::Text(text)) if text_is(expected, text.as_str()) => {}
            other => bail!("heard {other:?}, expected the text {expected:?}"),
        }
    }
    if let Some(expected) = &frame.hear_base64 {
        match hear(socket).await? {
            Some(Message::Binary(bytes)) if STANDARD.encode(&bytes) == *expected => {}
            other => bail!("heard {other:?}, expected the bytes {expected}"),
        }
    }
    let reason = frame.reason.clone();
    if let Some(code) = frame.close {
        let close = CloseFrame {
            code: code.into(),
            reason: reason.clone().unwrap_or_default().into(),
        };
        socket.send(Message::Close(Some(close))).await?;
    }
    if let Some(code) = frame.hear_close {
        match hear(socket).await? {
            // 1005 is what a close frame without a code stands for.
            Some(Message::Close(None)) if code == 1005 => {}
            Some(Message::Close(Some(close)))
                if u16::from(close.code) == code && reason.is_none_or(|reason| reason == close.reason.as_str()) => {}
            other => bail!("heard {other:?}, expected to be closed with {code}"),
        }
    }
    Ok(())
}

/// The next frame that is no ping or pong.
async fn hear(socket: &mut WebSocketStream<TcpStream>) -> Result<Option<Message>> {
    loop {
        match socket.next().await.transpose()? {
            Some(Message::Ping(_) | Message::Pong(_)) => {}
            other => return Ok(other),
        }
    }
}
