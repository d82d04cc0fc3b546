//! Content codings of responses: `gzip`, `br`, `deflate`, as a machine that takes bytes and gives bytes.
//!
//! Output comes in pieces of at most about [`DECODE_CHUNK`], each handed on before the next is made, so a body that
//! unpacks to a thousand times its size costs no more memory than any other. A body that ends inside its coding is an
//! error; bytes after the coding's end are ignored, as browsers do.

use crate::limits::DECODE_CHUNK;
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use http::header::{self, HeaderMap};
use std::io::Write;

/// Decodes one body.
pub(crate) enum Decoder {
    Gzip(Gzip),
    Brotli(Box<Brotli>),
    Deflate(Deflate),
}

/// Why a body cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the response body is not valid {coding}: {reason}")]
pub(crate) struct DecodeError {
    coding: &'static str,
    reason: &'static str,
}

impl Decoder {
    /// The decoder for what `Content-Encoding` says; `None` if that is nothing, or nothing that is decoded here: then the
    /// body is passed on as it is, as the platform does.
    pub fn for_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let value = values.next()?.to_str().ok()?.trim();
        if values.next().is_some() {
            return None;
        }
        if value.eq_ignore_ascii_case("gzip") || value.eq_ignore_ascii_case("x-gzip") {
            Some(Self::Gzip(Gzip::default()))
        } else if value.eq_ignore_ascii_case("br") {
            Some(Self::Brotli(Box::default()))
        } else if value.eq_ignore_ascii_case("deflate") {
            Some(Self::Deflate(Deflate::default()))
        } else {
            None
        }
    }

    /// Takes bytes from the front of `input` and gives what they decode to. Call until `input` is empty and the output is
    /// too.
    pub fn step(&mut self, input: &mut Bytes) -> Result<Bytes, DecodeError> {
        match self {
            Self::Gzip(gzip) => gzip.step(input),
            Self::Brotli(brotli) => brotli.step(input),
            Self::Deflate(deflate) => deflate.step(input),
        }
    }

    /// The input is over: was the coding, too? An empty body counts as the coding of nothing.
    pub fn finish(&mut self) -> Result<Bytes, DecodeError> {
        match self {
            Self::Gzip(gzip) => gzip.finish(),
            Self::Brotli(brotli) if brotli.done || !brotli.begun => Ok(Bytes::new()),
            Self::Brotli(_) => Err(DecodeError {
                coding: "br",
                reason: "it ends too early",
            }),
            Self::Deflate(deflate) if deflate.done || deflate.head.is_empty() => Ok(Bytes::new()),
            Self::Deflate(_) => Err(DecodeError {
                coding: "deflate",
                reason: "it ends too early",
            }),
        }
    }
}

/// RFC 1952, any number of members.
#[derive(Default)]
pub(crate) struct Gzip {
    member: Option<flate2::write::GzDecoder<Vec<u8>>>,
    members: u32,
    /// A first magic byte whose second one has not arrived.
    held: bool,
    /// What follows is no member: ignored.
    over: bool,
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

impl Gzip {
    const CORRUPT: DecodeError = DecodeError {
        coding: "gzip",
        reason: "it is corrupt",
    };
    const SHORT: DecodeError = DecodeError {
        coding: "gzip",
        reason: "it ends too early",
    };

    fn step(&mut self, input: &mut Bytes) -> Result<Bytes, DecodeError> {
        if self.over || input.is_empty() {
            input.clear();
            let Some(member) = &mut self.member else {
                return Ok(Bytes::new());
            };
            // What the inflater still holds.
            member.flush().map_err(|_| Self::CORRUPT)?;
            return Ok(std::mem::take(member.get_mut()).into());
        }
        let Some(member) = &mut self.member else {
            return self.begin(input);
        };
        let taken = member.write(input).map_err(|_| Self::CORRUPT)?;
        let _ = input.split_to(taken);
        let mut output = std::mem::take(member.get_mut());
        if taken == 0 && output.is_empty() {
            output = self.end_member()?;
        }
        Ok(output.into())
    }

    fn begin(&mut self, input: &mut Bytes) -> Result<Bytes, DecodeError> {
        let second = if self.held { 0 } else { 1 };
        if !self.held && input[0] != GZIP_MAGIC[0] {
            return self.no_member(input);
        }
        if input.len() <= second {
            self.held = true;
            input.clear();
            return Ok(Bytes::new());
        }
        if input[second] != GZIP_MAGIC[1] {
            return self.no_member(input);
        }
        let _ = input.split_to(second + 1);
        self.held = false;
        self.members += 1;
        let mut member = flate2::write::GzDecoder::new(Vec::new());
        member.write_all(&GZIP_MAGIC).map_err(|_| Self::CORRUPT)?;
        self.member = Some(member);
        Ok(Bytes::new())
    }

    fn no_member(&mut self, input: &mut Bytes) -> Result<Bytes, DecodeError> {
        if self.members == 0 {
            return Err(Self::CORRUPT);
        }
        self.over = true;
        input.clear();
        Ok(Bytes::new())
    }

    fn end_member(&mut self) -> Result<Vec<u8>, DecodeError> {
        match self.member.take() {
            Some(member) => member.finish().map_err(|_| Self::SHORT),
            None => Ok(Vec::new()),
        }
    }

    fn finish(&mut self) -> Result<Bytes, DecodeError> {
        if self.held && self.members == 0 {
            return Err(Self::SHORT);
        }
        Ok(self.end_member()?.into())
    }
}

/// RFC 7932.
pub(crate) struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    begun: bool,
    done: bool,
}

impl Default for Brotli {
    fn default() -> Self {
        let alloc = StandardAlloc::default;
        Self {
            state: BrotliState::new(alloc(), alloc(), alloc()),
            begun: false,
            done: false,
        }
    }
}

impl Brotli {
    fn step(&mut self, input: &mut Bytes) -> Result<Bytes, DecodeError> {
        self.begun |= !input.is_empty();
        if self.done || !self.begun {
            input.clear();
            return Ok(Bytes::new());
        }
        let mut output = vec![0; DECODE_CHUNK];
        let (mut left, mut read, mut room, mut written, mut total) = (input.len(), 0, output.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut read,
            input,
            &mut room,
            &mut written,
            &mut output,
            &mut total,
            &mut self.state,
        );
        let _ = input.split_to(read);
        match result {
            BrotliResult::ResultSuccess => {
                self.done = true;
                input.clear();
            }
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultFailure => {
                return Err(DecodeError {
                    coding: "br",
                    reason: "it is corrupt",
                });
            }
        }
        output.truncate(written);
        Ok(output.into())
    }
}

/// RFC 1950 by the standard, RFC 1951 by a widespread misreading: the first two bytes tell.
#[derive(Default)]
pub(crate) struct Deflate {
    head: Vec<u8>,
    inflater: Option<Decompress>,
    done: bool,
}

impl Deflate {
    fn step(&mut self, input: &mut Bytes) -> Result<Bytes, DecodeError> {
        if self.done {
            input.clear();
            return Ok(Bytes::new());
        }
        let mut output = vec![0; DECODE_CHUNK];
        let mut filled = 0;
        if self.inflater.is_none() {
            let wanted = (2 - self.head.len()).min(input.len());
            self.head.extend_from_slice(&input.split_to(wanted));
            let [first, second] = self.head[..] else {
                return Ok(Bytes::new());
            };
            let zlib = first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]) % 31 == 0;
            let mut inflater = Decompress::new(zlib);
            let head = self.head.clone();
            (_, filled) = self.inflate(&mut inflater, &head, &mut output)?;
            self.inflater = Some(inflater);
        }
        if let Some(mut inflater) = self.inflater.take()
            && !self.done
        {
            let (read, written) = self.inflate(&mut inflater, input, &mut output[filled..])?;
            let _ = input.split_to(read);
            filled += written;
            self.inflater = Some(inflater);
        }
        if self.done {
            input.clear();
        }
        output.truncate(filled);
        Ok(output.into())
    }

    /// `(read, written)`.
    fn inflate(
        &mut self,
        inflater: &mut Decompress,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<(usize, usize), DecodeError> {
        let (read, written) = (inflater.total_in(), inflater.total_out());
        let status = inflater
            .decompress(input, output, FlushDecompress::None)
            .map_err(|_| DecodeError {
                coding: "deflate",
                reason: "it is corrupt",
            })?;
        self.done = status == Status::StreamEnd;
        // Differences of what was handed in here: both fit.
        Ok((
            (inflater.total_in() - read) as usize,
            (inflater.total_out() - written) as usize,
        ))
    }
}
