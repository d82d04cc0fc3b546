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

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::HeaderValue;

    fn decoder(coding: &'static str) -> Option<Decoder> {
        Decoder::for_headers(&HeaderMap::from_iter([(
            header::CONTENT_ENCODING,
            HeaderValue::from_static(coding),
        )]))
    }

    /// Decodes `packed` in pieces of `piece` bytes; no output piece may be larger than the bound.
    fn decode(coding: &'static str, packed: &[u8], piece: usize) -> Result<Vec<u8>, DecodeError> {
        let mut decoder = decoder(coding).unwrap();
        let mut all = Vec::new();
        for part in packed.chunks(piece) {
            let mut input = Bytes::copy_from_slice(part);
            loop {
                let more = !input.is_empty();
                let output = decoder.step(&mut input)?;
                assert!(output.len() <= 2 * DECODE_CHUNK, "{}", output.len());
                if output.is_empty() && !more {
                    break;
                }
                all.extend_from_slice(&output);
            }
        }
        let rest = decoder.finish()?;
        assert!(rest.len() <= 2 * DECODE_CHUNK);
        all.extend_from_slice(&rest);
        Ok(all)
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn raw(data: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    /// What `brotli` makes of "hello, brotli", of 16 MiB of zeros, and of a sentence fifty times over.
    fn brotli_samples() -> [(Vec<u8>, Vec<u8>); 3] {
        let sentence = "The quick brown fox jumps over the lazy dog. ".repeat(50);
        [
            (hex("0b068068656c6c6f2c2062726f746c6903"), b"hello, brotli".to_vec()),
            (
                hex("cbffff3ff82700e2b14020f7fe2ffffffff04f00c4611180eefd1f"),
                vec![0; 16 * 1024 * 1024],
            ),
            (
                hex(
                    "1bc908882c0e78d3d0955d9710bb172ba9cad092cc8cad415ce6f236c8199e9e0a7b830d387048206f34b841a715ce1c1e27aa2938c2b90200d8a7c1",
                ),
                sentence.into_bytes(),
            ),
        ]
    }

    #[test]
    fn every_coding_in_every_piece_size() {
        let noise: Vec<u8> = {
            let mut rng = atoll_stdx::SplitMix64::new(1);
            (0..200_000).map(|_| rng.next_u64() as u8).collect()
        };
        let samples = [
            b"".to_vec(),
            b"x".to_vec(),
            b"hello ".repeat(1000),
            vec![0; 4 * 1024 * 1024],
            noise,
        ];
        for data in &samples {
            for piece in [1, 2, 7, 1000, 64 * 1024, usize::MAX] {
                if data.len() > 100_000 && piece < 1000 {
                    continue;
                }
                let check = |coding, packed: Vec<u8>| {
                    assert!(
                        decode(coding, &packed, piece).as_deref() == Ok(data),
                        "{coding} {} {piece}",
                        data.len()
                    );
                };
                check("gzip", gzip(data));
                check("x-gzip", gzip(data));
                check("GZip", gzip(data));
                check("deflate", zlib(data));
                check("deflate", raw(data));
            }
        }
        for (packed, data) in brotli_samples() {
            for piece in [1, 2, 7, usize::MAX] {
                assert!(decode("br", &packed, piece).as_ref() == Ok(&data), "br {piece}");
            }
        }
    }

    #[test]
    fn members_and_what_follows() {
        let check = |packed: &[&[u8]], expected: &[u8]| {
            let packed = packed.concat();
            for piece in [1, 2, 3, usize::MAX] {
                assert_eq!(decode("gzip", &packed, piece).as_deref(), Ok(expected), "{piece}");
            }
        };
        let (a, b, empty) = (gzip(b"first "), gzip(b"second"), gzip(b""));
        check(&[], b"");
        check(&[&a, &b], b"first second");
        check(&[&a, &empty, &b], b"first second");
        check(&[&empty], b"");
        check(&[&a, b"garbage"], b"first ");
        check(&[&a, &[0; 512]], b"first ");
        check(&[&a, b"\x1f"], b"first ");
        check(&[&a, b"\x1f\x20"], b"first ");
        // Optional header fields: extra, name, comment.
        let mut fancy = vec![0x1f, 0x8b, 8, 0x1c, 0, 0, 0, 0, 0, 3, 2, 0, b'x', b'y'];
        fancy.extend_from_slice(b"name\0comment\0");
        fancy.extend_from_slice(&a[10..]);
        check(&[&fancy], b"first ");
        assert_eq!(
            decode("deflate", &[&zlib(b"x")[..], b"garbage"].concat(), 3).as_deref(),
            Ok(&b"x"[..])
        );
        let (packed, data) = &brotli_samples()[0];
        assert_eq!(decode("br", &[packed, &b"garbage"[..]].concat(), 5).as_ref(), Ok(data));
    }

    #[test]
    fn every_cut_and_every_flip_ends_in_an_answer() {
        let text = b"some text, some text, some more text".repeat(3);
        let brotli = brotli_samples()[2].0.clone();
        for (coding, packed) in [
            ("gzip", gzip(&text)),
            ("deflate", zlib(&text)),
            ("deflate", raw(&text)),
            ("br", brotli),
        ] {
            for end in 1..packed.len() {
                // The checksum of zlib may be missing only if the decoder does not look at it; it does.
                assert!(decode(coding, &packed[..end], 5).is_err(), "{coding} cut at {end}");
            }
            for at in 0..packed.len() {
                for bit in 0..8 {
                    let mut broken = packed.clone();
                    broken[at] ^= 1 << bit;
                    let got = decode(coding, &broken, 11);
                    // Flags and times of gzip's header are not covered by its checksum; raw deflate has none at all. The
                    // bits that fill up the last byte of the compressed data mean nothing.
                    let checked = coding == "gzip" && at >= 10;
                    let other = got.as_ref().is_ok_and(|content| content[..] != text[..]);
                    assert!(!checked || !other, "gzip flip {at}.{bit}: {got:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_decoded() {
        for coding in ["identity", "zstd", "compress", "gzip, br", "", "gzip;q=1"] {
            assert!(decoder(coding).is_none(), "{coding}");
        }
        assert!(Decoder::for_headers(&HeaderMap::new()).is_none());
        let mut two = HeaderMap::new();
        two.append(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        two.append(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(Decoder::for_headers(&two).is_none());
    }
}
