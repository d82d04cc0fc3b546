//! Content encoding of responses: which ones, with what, and the encoder.
//!
//! A worker writes plain bytes; what goes over the wire is between the front and the client (RFC 9110 section 8.4). A
//! streamed body is flushed whenever its producer pauses, so that a chunk is readable as soon as it is written.

use crate::body::Streamed;
use atoll_worker::{BodyError, Frame};
use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderValue};
use std::io::Write;
use std::task::{Context, Poll};

/// A body known to be shorter is sent as it is: the encoding's own frame would eat what it saves.
pub(crate) const ENCODED_BYTES_MIN: u64 = 48;
/// A complete body up to this size is encoded in one go; a larger one piece by piece, so that no connection's work holds
/// up the others of its thread.
pub(crate) const ENCODED_AT_ONCE_MAX: usize = 64 * 1024;
/// Encoded bytes that make a frame without a flush.
const FRAME_BYTES: usize = 16 * 1024;
/// zlib's middle: beyond it size falls little and time rises much.
const GZIP_LEVEL: u32 = 5;
/// About the speed of gzip's level 5, and smaller.
const BROTLI_QUALITY: u32 = 4;
/// Brotli's window: 256 KiB, which bounds the encoder's memory.
const BROTLI_WINDOW_BITS: u32 = 18;
const BROTLI_BUFFER_BYTES: usize = 4096;

/// A content coding the front can apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    pub(crate) fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        })
    }

    /// The coding a `Content-Encoding` names, if it is one of ours.
    pub(crate) fn of(value: &HeaderValue) -> Option<Self> {
        let value = value.as_bytes().trim_ascii();
        if value.eq_ignore_ascii_case(b"br") {
            Some(Self::Brotli)
        } else if value.eq_ignore_ascii_case(b"gzip") || value.eq_ignore_ascii_case(b"x-gzip") {
            Some(Self::Gzip)
        } else {
            None
        }
    }
}

/// Weights of the codings in an `Accept-Encoding`, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weights {
    brotli: u16,
    gzip: u16,
    identity: u16,
}

/// RFC 9110 section 12.5.3. A malformed member counts as absent.
fn weights(accept: &str) -> Weights {
    let (mut brotli, mut gzip, mut identity, mut any) = (None, None, None, None);
    for member in accept.split(',') {
        let mut parts = member.split(';');
        let name = parts.next().unwrap_or("").trim();
        let Some(weight) = parts.next().map_or(Some(1000), weight) else {
            continue;
        };
        let slot = match name.to_ascii_lowercase().as_str() {
            "br" => &mut brotli,
            "gzip" | "x-gzip" => &mut gzip,
            "identity" => &mut identity,
            "*" => &mut any,
            _ => continue,
        };
        *slot = Some(weight);
    }
    let or_any = |slot: Option<u16>| slot.or(any).unwrap_or(0);
    Weights {
        brotli: or_any(brotli),
        gzip: or_any(gzip),
        // Acceptable unless excluded, but the last choice unless weighted.
        identity: identity.unwrap_or(if any == Some(0) { 0 } else { 1 }),
    }
}

/// `q=0.5` in thousandths.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.trim().split_once('=')?;
    if !name.eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = fraction
        .bytes()
        .chain(*b"000")
        .take(3)
        .fold(0, |sum, byte| sum * 10 + u16::from(byte - b'0'));
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// The coding that serves this client best; between equals Brotli, which is smaller.
pub(crate) fn choose(accept: Option<&HeaderValue>) -> Option<Coding> {
    let weights = weights(accept?.to_str().ok()?);
    let best = weights.brotli.max(weights.gzip);
    if best == 0 || best < weights.identity {
        None
    } else if weights.brotli >= weights.gzip {
        Some(Coding::Brotli)
    } else {
        Some(Coding::Gzip)
    }
}

/// Does the client take `coding`?
pub(crate) fn accepts(accept: Option<&HeaderValue>, coding: Coding) -> bool {
    let Some(accept) = accept.and_then(|accept| accept.to_str().ok()) else {
        return false;
    };
    let weights = weights(accept);
    match coding {
        Coding::Brotli => weights.brotli > 0,
        Coding::Gzip => weights.gzip > 0,
    }
}

/// Types that shrink: text, and what is text by another name. Event streams do not wait for an encoder; unknown types
/// are taken for compressed already.
pub(crate) fn is_encodable_type(content_type: &HeaderValue) -> bool {
    let Ok(content_type) = content_type.to_str() else {
        return false;
    };
    let essence = content_type.split(';').next().unwrap_or("").trim();
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    let starts = |prefix: &str| {
        essence
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let ends = |suffix: &str| {
        essence.len() > suffix.len()
            && essence
                .get(essence.len() - suffix.len()..)
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    if is("text/event-stream") {
        return false;
    }
    const OTHERS: [&str; 16] = [
        "application/json",
        "application/javascript",
        "application/x-javascript",
        "application/ecmascript",
        "application/xml",
        "application/graphql",
        "application/x-ndjson",
        "application/x-www-form-urlencoded",
        "application/wasm",
        "application/vnd.ms-fontobject",
        "font/ttf",
        "font/otf",
        "font/eot",
        "image/x-icon",
        "image/bmp",
        "image/vnd.microsoft.icon",
    ];
    starts("text/") || ends("+json") || ends("+xml") || ends("+text") || OTHERS.into_iter().any(is)
}

/// `Cache-Control: no-transform` forbids it (RFC 9110 section 7.7).
pub(crate) fn forbids_transform(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-transform"))
}

enum Writer {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
}

/// Turns plain bytes into encoded ones. It writes to memory: its operations cannot fail for lack of anything but memory.
pub(crate) struct Encoder {
    writer: Writer,
}

impl Encoder {
    pub(crate) fn new(coding: Coding) -> Self {
        let writer = match coding {
            Coding::Gzip => Writer::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL))),
            Coding::Brotli => Writer::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                BROTLI_BUFFER_BYTES,
                BROTLI_QUALITY,
                BROTLI_WINDOW_BITS,
            ))),
        };
        Self { writer }
    }

    fn write(&mut self, data: &[u8]) -> std::io::Result<()> {
        match &mut self.writer {
            Writer::Gzip(writer) => writer.write_all(data),
            Writer::Brotli(writer) => writer.write_all(data),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.writer {
            Writer::Gzip(writer) => writer.flush(),
            Writer::Brotli(writer) => writer.flush(),
        }
    }

    fn output(&mut self) -> &mut Vec<u8> {
        match &mut self.writer {
            Writer::Gzip(writer) => writer.get_mut(),
            Writer::Brotli(writer) => writer.get_mut(),
        }
    }

    fn finish(self) -> std::io::Result<Vec<u8>> {
        match self.writer {
            Writer::Gzip(writer) => writer.finish(),
            Writer::Brotli(writer) => Ok(writer.into_inner()),
        }
    }
}

/// Encodes all of `data`.
pub(crate) fn encode_all(coding: Coding, data: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = Encoder::new(coding);
    encoder.write(data)?;
    encoder.finish().map(Bytes::from)
}

/// Where the plain bytes come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// All at hand, taken in pieces.
    Full(Bytes),
    /// A worker's stream.
    Stream(Streamed),
}

/// A body that is encoded on its way.
pub(crate) struct Encoded {
    source: Source,
    /// `None` once finished.
    encoder: Option<Encoder>,
    /// Something was written since the last flush.
    dirty: bool,
    trailers: Option<HeaderMap>,
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoded")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Encoded {
    pub(crate) fn new(coding: Coding, source: Source) -> Self {
        Self {
            source,
            encoder: Some(Encoder::new(coding)),
            dirty: false,
            trailers: None,
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match &mut self.source {
            Source::Stream(stream) => stream.poll_frame(cx),
            Source::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Source::Full(bytes) => {
                let piece = bytes.split_to(bytes.len().min(ENCODED_AT_ONCE_MAX));
                Poll::Ready(Some(Ok(Frame::Data(piece))))
            }
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        self.poll_encoded(cx).map(|frame| {
            frame.map(|frame| {
                frame.map_err(|error| match error {
                    Failure::Body(error) => error,
                    Failure::Encoder(error) => BodyError::Failed(format!("the encoder failed: {error}")),
                })
            })
        })
    }

    fn poll_encoded(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, Failure>>> {
        loop {
            if self.encoder.is_none() {
                return Poll::Ready(
                    self.trailers
                        .take()
                        .map(|trailers| Ok(http_body::Frame::trailers(trailers))),
                );
            }
            let next = self.poll_source(cx);
            let Some(encoder) = self.encoder.as_mut() else { continue };
            let done = match next {
                Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                    if let Err(error) = encoder.write(&data) {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                    self.dirty = true;
                    false
                }
                Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => {
                    self.trailers = Some(trailers);
                    true
                }
                Poll::Ready(Some(Err(error))) => {
                    // What follows would not decode: the body must not look complete.
                    self.encoder = None;
                    return Poll::Ready(Some(Err(Failure::Body(error))));
                }
                Poll::Ready(None) => true,
                Poll::Pending if self.dirty => {
                    self.dirty = false;
                    if let Err(error) = encoder.flush() {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                    let output = std::mem::take(encoder.output());
                    if output.is_empty() {
                        return Poll::Pending;
                    }
                    return Poll::Ready(Some(Ok(http_body::Frame::data(output.into()))));
                }
                Poll::Pending => return Poll::Pending,
            };
            if done {
                let finished = self.encoder.take().map_or(Ok(Vec::new()), Encoder::finish);
                match finished {
                    Ok(output) if output.is_empty() => {}
                    Ok(output) => return Poll::Ready(Some(Ok(http_body::Frame::data(output.into())))),
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                }
            } else if encoder.output().len() >= FRAME_BYTES {
                let output = std::mem::take(encoder.output());
                return Poll::Ready(Some(Ok(http_body::Frame::data(output.into()))));
            }
        }
    }
}

enum Failure {
    Body(BodyError),
    Encoder(std::io::Error),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Encoder(error)
    }
}
