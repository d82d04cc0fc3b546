//! The hostile worker's client.

use super::kinds::{Client, Kind};
use anyhow::{Context, Result, bail};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long an attack may go on before its client gives up.
const ATTACK_DEADLINE: Duration = Duration::from_secs(90);
/// How long the client that does not read waits.
const STALL: Duration = Duration::from_secs(1);
/// A client that reads everything stops here.
const READ_MAX: u64 = 1 << 30;
/// As much of an answer is looked at.
const TEXT_MAX: usize = 64 * 1024;

/// A request without body.
pub struct Request<'a> {
    pub host: &'a str,
    pub path: &'a str,
}

/// How an attack ended for its client.
pub struct End {
    /// The status, or what there was in its place.
    pub status: String,
    /// The beginning of the answer.
    pub text: String,
    /// Why it is no whole answer, where the client wanted one.
    pub failure: Option<String>,
}

impl End {
    /// In a line.
    pub fn told(&self) -> String {
        let text: String = self.text.chars().take(300).collect();
        format!(
            "{} {text:?} {}",
            self.status,
            self.failure.as_deref().unwrap_or_default()
        )
    }
}

/// One request on a connection of its own; the status and the whole body.
pub fn get(address: SocketAddr, request: &Request<'_>, within: Duration) -> Result<(u16, Vec<u8>)> {
    let deadline = Instant::now() + within;
    let mut stream = TcpStream::connect_timeout(&address, within).context("connect")?;
    let text = format!(
        "GET {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        request.path, request.host
    );
    stream.write_all(text.as_bytes()).context("send")?;
    let mut answer = Vec::new();
    let cut = read(&mut stream, deadline, READ_MAX, &mut answer)?;
    parse(&answer, cut)
}

/// Reads to the end, or to `most` bytes (then true).
fn read(stream: &mut TcpStream, deadline: Instant, most: u64, keep: &mut Vec<u8>) -> Result<bool> {
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("no end within its time, after {total} bytes");
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                total += count as u64;
                let room = (16 << 20) - keep.len().min(16 << 20);
                keep.extend(&buffer[..count.min(room)]);
                if total >= most {
                    return Ok(true);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).with_context(|| format!("after {total} bytes")),
        }
    }
}

/// Status and body of an answer; `cut`: there was more.
fn parse(answer: &[u8], cut: bool) -> Result<(u16, Vec<u8>)> {
    let Some(at) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        bail!(
            "no whole head: {:?}",
            String::from_utf8_lossy(&answer[..answer.len().min(200)])
        );
    };
    let head = String::from_utf8_lossy(&answer[..at]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.with_context(|| format!("no status: {head:?}"))?;
    let body = &answer[at + 4..];
    let field = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(own, _)| *own == name)
            .map(|(_, value)| value.trim().to_owned())
    };
    if !cut {
        if let Some(length) = field("content-length").and_then(|value| value.parse::<usize>().ok())
            && body.len() < length.min(15 << 20)
        {
            bail!("{status}, and {} of {length} bytes", body.len());
        }
        if field("transfer-encoding").is_some() && body.len() < (15 << 20) {
            if !body.ends_with(b"0\r\n\r\n") {
                bail!("{status}, and a body that breaks off after {} bytes", body.len());
            }
            return Ok((status, unchunked(body)));
        }
    }
    Ok((status, body.to_vec()))
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&body[..end]).ok();
        let size = size
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok())
            .unwrap_or(0);
        if size == 0 || body.len() < end + 4 + size {
            break;
        }
        out.extend(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
    out
}

/// Lets the worker do its worst.
pub fn attack(address: SocketAddr, kind: &Kind) -> End {
    match attempt(address, kind) {
        Ok((status, body)) => End {
            status: status.to_string(),
            text: String::from_utf8_lossy(&body[..body.len().min(TEXT_MAX)]).into_owned(),
            failure: None,
        },
        Err(error) => {
            let wanted = matches!(kind.client, Client::Read);
            End {
                status: "no answer".to_owned(),
                text: format!("{error:#}"),
                failure: wanted.then(|| format!("{error:#}")),
            }
        }
    }
}

fn attempt(address: SocketAddr, kind: &Kind) -> Result<(u16, Vec<u8>)> {
    let deadline = Instant::now() + ATTACK_DEADLINE;
    let host = format!("{}.localhost", kind.name);
    let mut stream = TcpStream::connect_timeout(&address, ATTACK_DEADLINE).context("connect")?;
    let mut answer = Vec::new();
    match kind.client {
        Client::Read | Client::Stall | Client::HangUp(_) => {
            let text = format!("GET /attack HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            stream.write_all(text.as_bytes())?;
            let most = match kind.client {
                Client::Stall => {
                    std::thread::sleep(STALL);
                    return Ok((0, Vec::new()));
                }
                Client::HangUp(bytes) => bytes,
                _ => READ_MAX,
            };
            let cut = read(&mut stream, deadline, most, &mut answer)?;
            parse(&answer, cut)
        }
        Client::Upload(bytes) => {
            let text = format!(
                "POST /attack HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
            );
            stream.write_all(text.as_bytes())?;
            stream.set_write_timeout(Some(Duration::from_secs(10)))?;
            let mut piece = format!("{:x}\r\n", 64 * 1024).into_bytes();
            piece.extend(vec![b'x'; 64 * 1024]);
            piece.extend(b"\r\n");
            let mut sent = 0;
            // A server that has had enough answers and closes; what it said can still be read, unless it was in a hurry.
            while sent < bytes && stream.write_all(&piece).is_ok() {
                sent += 64 * 1024;
            }
            let _ = stream.write_all(b"0\r\n\r\n");
            let cut = read(&mut stream, deadline, READ_MAX, &mut answer)?;
            parse(&answer, cut)
        }
        Client::WebSocket(bytes) => {
            let text = format!(
                "GET /attack HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                 sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            );
            stream.write_all(text.as_bytes())?;
            read(&mut stream, deadline, bytes, &mut answer)?;
            parse(&answer, true)
        }
    }
}

/// Waits until the worker answers as if nothing had been.
pub fn recovered(address: SocketAddr, kind: &Kind, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    let host = format!("{}.localhost", kind.name);
    let request = Request {
        host: &host,
        path: "/ping",
    };
    loop {
        let answer = get(address, &request, Duration::from_secs(20));
        match answer {
            Ok((200, body)) if body == b"pong" => return Ok(()),
            _ if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            Ok((status, body)) => bail!("{status} {:?}", String::from_utf8_lossy(&body[..body.len().min(200)])),
            Err(error) => return Err(error),
        }
    }
}
