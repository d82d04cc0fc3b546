//! A server for raw connections: it answers what it reads in one piece.
//!
//! | piece | answer |
//! |---|---|
//! | `bye` | `bye!`, then it closes its side, and reads on to the client's end |
//! | `reset` | a reset |
//! | `count` | then, up to the client's end: how many bytes came, and their sum modulo 2^32 |
//! | `flood N` | N bytes, of which number i is i modulo 251; then it closes its side |
//! | `starttls` | `go`, then it speaks TLS with the origin's certificate |
//! | `mark NAME` | `marked`; opens that gate when the connection is over |
//! | the client's end | `end of client`, then it closes |
//! | anything else | `echo:` and the piece |

use super::origin::Gates;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// More than any piece that a spec sends.
const PIECE_MAX: usize = 64 * 1024;

/// Serves until the runtime ends.
pub(super) async fn serve(listener: TcpListener, acceptor: TlsAcceptor, gates: Gates) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, gates) = (acceptor.clone(), gates.clone());
        // What becomes of a connection is for the spec to see.
        tokio::spawn(async move { drop(connection(stream, acceptor, gates).await) });
    }
}

/// What the connection asks for that the plain loop cannot do.
enum Next {
    StartTls,
    Reset,
    Over,
}

async fn connection(mut stream: TcpStream, acceptor: TlsAcceptor, gates: Gates) -> std::io::Result<()> {
    let mut marks = Vec::new();
    let mut next = talk(&mut stream, &mut marks).await;
    match &next {
        Ok(Next::StartTls) => {
            let mut stream = acceptor.accept(stream).await?;
            next = talk(&mut stream, &mut marks).await;
        }
        Ok(Next::Reset) => socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO))?,
        _ => {}
    }
    for mark in marks {
        gates.open(&mark);
    }
    next.map(drop)
}

async fn talk(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), marks: &mut Vec<String>) -> std::io::Result<Next> {
    let mut buffer = vec![0; PIECE_MAX];
    loop {
        let read = stream.read(&mut buffer).await?;
        let piece = &buffer[..read];
        let text = String::from_utf8_lossy(piece);
        match text.split_once(' ').unwrap_or((&text, "")) {
            ("", _) => {
                stream.write_all(b"end of client").await?;
                stream.shutdown().await?;
                return Ok(Next::Over);
            }
            ("bye", _) => {
                stream.write_all(b"bye!").await?;
                stream.shutdown().await?;
                tokio::io::copy(stream, &mut tokio::io::sink()).await?;
                return Ok(Next::Over);
            }
            ("reset", _) => return Ok(Next::Reset),
            ("starttls", _) => {
                stream.write_all(b"go").await?;
                return Ok(Next::StartTls);
            }
            ("mark", name) => {
                marks.push(name.to_owned());
                stream.write_all(b"marked").await?;
            }
            ("count", _) => {
                stream.write_all(b"counting").await?;
                let (mut bytes, mut sum) = (0u64, 0u32);
                loop {
                    let read = stream.read(&mut buffer).await?;
                    if read == 0 {
                        break;
                    }
                    bytes += read as u64;
                    sum = buffer[..read]
                        .iter()
                        .fold(sum, |sum, byte| sum.wrapping_add(u32::from(*byte)));
                }
                stream.write_all(format!("{bytes} bytes, sum {sum}").as_bytes()).await?;
                stream.shutdown().await?;
                return Ok(Next::Over);
            }
            ("flood", count) => {
                let count: usize = count.parse().unwrap_or(0);
                let mut sent = 0;
                while sent < count {
                    let size = PIECE_MAX.min(count - sent);
                    for (at, byte) in buffer[..size].iter_mut().enumerate() {
                        // Below 251.
                        *byte = ((sent + at) % 251) as u8;
                    }
                    stream.write_all(&buffer[..size]).await?;
                    sent += size;
                }
                stream.shutdown().await?;
                return Ok(Next::Over);
            }
            _ => {
                let answer = [b"echo:", piece].concat();
                stream.write_all(&answer).await?;
            }
        }
    }
}
