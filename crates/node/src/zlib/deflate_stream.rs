//! zlib's formats: deflate with zlib's header, gzip's or none.
//!
//! Node's conventions around the library: several gzip members in a row are one stream, `UNZIP` looks at the first bytes, and
//! a dictionary is given when the data asks for it.

use super::{Failure, Left};
use zlib_rs::{
    Deflate, DeflateConfig, DeflateError, DeflateFlush, Inflate, InflateError, InflateFlush, Status, Strategy,
};

pub(super) const Z_NEED_DICT: i32 = 2;
pub(super) const Z_STREAM_ERROR: i32 = -2;
pub(super) const Z_DATA_ERROR: i32 = -3;
pub(super) const Z_MEM_ERROR: i32 = -4;
pub(super) const Z_BUF_ERROR: i32 = -5;

/// `Z_FINISH`
const FINISH: i32 = 4;

const DEFLATE: i32 = 1;
const INFLATE: i32 = 2;
const GZIP: i32 = 3;
const GUNZIP: i32 = 4;
const DEFLATE_RAW: i32 = 5;
const INFLATE_RAW: i32 = 6;
const UNZIP: i32 = 7;

/// First bytes of gzip.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What a decompressor keeps, bytes: the window of 32 KiB and its tables.
pub(super) const INFLATER_BYTES: usize = 48 * 1024;

/// What a compressor keeps, bytes, as zlib's documentation has it.
pub(super) fn deflater_bytes(window_bits: i32, mem_level: i32) -> usize {
    (1 << (window_bits.clamp(8, 15) + 2)) + (1 << (mem_level.clamp(1, 9) + 9))
}

/// True for the modes that compress.
pub(super) fn compresses(mode: i32) -> bool {
    matches!(mode, DEFLATE | GZIP | DEFLATE_RAW)
}

fn code(errno: i32) -> &'static str {
    match errno {
        Z_NEED_DICT => "Z_NEED_DICT",
        Z_STREAM_ERROR => "Z_STREAM_ERROR",
        Z_DATA_ERROR => "Z_DATA_ERROR",
        Z_MEM_ERROR => "Z_MEM_ERROR",
        _ => "Z_BUF_ERROR",
    }
}

pub(super) fn failure(message: &str, errno: i32) -> Failure {
    Failure {
        message: message.to_owned(),
        errno,
        code: code(errno).to_owned(),
    }
}

/// The end of the input was announced and the stream has none.
pub(super) fn unexpected_end() -> Failure {
    failure("unexpected end of file", Z_BUF_ERROR)
}

/// What is around the deflated data.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Raw,
    Zlib,
    Gzip,
}

/// A compressor.
///
/// Level and strategy change by going on with another stream of raw deflated data: after a flush the output stands at a
/// byte's and a block's boundary, where any other may begin. The trailer is written here then.
pub(super) struct Deflater {
    stream: Deflate,
    format: Format,
    window_bits: i32,
    level: i32,
    mem_level: i32,
    strategy: Strategy,
    dictionary: Vec<u8>,
    /// The stream is not the first one: it writes no trailer.
    replaced: bool,
    /// Adler-32 or CRC-32 of the input, and its length.
    check: u32,
    length: u32,
    /// What of the trailer is not written yet.
    trailer: Option<Vec<u8>>,
    /// All is written; nothing comes after it.
    ended: bool,
}

fn initial_check(format: Format) -> u32 {
    match format {
        Format::Zlib => 1,
        Format::Gzip | Format::Raw => 0,
    }
}

impl Deflater {
    pub fn new(
        mode: i32,
        window_bits: i32,
        level: i32,
        mem_level: i32,
        strategy: i32,
        dictionary: &[u8],
    ) -> Option<Self> {
        if !(8..=15).contains(&window_bits) || !(-1..=9).contains(&level) || !(1..=9).contains(&mem_level) {
            return None;
        }
        let strategy = Strategy::try_from(strategy).ok()?;
        let format = match mode {
            GZIP => Format::Gzip,
            DEFLATE_RAW => Format::Raw,
            _ => Format::Zlib,
        };
        let mut deflater = Self {
            stream: deflate(format, window_bits, level, mem_level, strategy),
            format,
            window_bits,
            level,
            mem_level,
            strategy,
            // gzip has no place for one.
            dictionary: if mode == GZIP { Vec::new() } else { dictionary.to_vec() },
            replaced: false,
            check: initial_check(format),
            length: 0,
            trailer: None,
            ended: false,
        };
        deflater.set_dictionary().then_some(deflater)
    }

    fn set_dictionary(&mut self) -> bool {
        self.dictionary.is_empty() || self.stream.set_dictionary(&self.dictionary).is_ok()
    }

    pub fn step(&mut self, flush: i32, input: &[u8], output: &mut [u8]) -> Result<Left, Failure> {
        let flush_mode = DeflateFlush::try_from(flush).map_err(|()| failure("stream error", Z_STREAM_ERROR))?;
        if self.ended {
            // What is asked of a finished stream brings nothing.
            return Ok(Left {
                input: input.len(),
                output: output.len(),
            });
        }
        let (mut taken, mut made) = (0, 0);
        if self.trailer.is_none() {
            let (before_in, before_out) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.compress(input, output, flush_mode).map_err(|error| {
                let errno = match error {
                    DeflateError::StreamError => Z_STREAM_ERROR,
                    DeflateError::DataError => Z_DATA_ERROR,
                    DeflateError::MemError => Z_MEM_ERROR,
                };
                failure(self.stream.error_message().unwrap_or("Zlib error"), errno)
            })?;
            // Both are at most the buffers' lengths.
            taken = (self.stream.total_in() - before_in) as usize;
            made = (self.stream.total_out() - before_out) as usize;
            match self.format {
                Format::Zlib => self.check = zlib_rs::adler32::adler32(self.check, &input[..taken]),
                Format::Gzip => self.check = zlib_rs::crc32::crc32(self.check, &input[..taken]),
                Format::Raw => {}
            }
            // gzip's trailer has it modulo 2^32.
            self.length = self.length.wrapping_add(taken as u32);
            if status == Status::StreamEnd {
                self.trailer = Some(self.make_trailer());
            }
        }
        if let Some(trailer) = &mut self.trailer {
            let part = trailer.len().min(output.len() - made);
            output[made..made + part].copy_from_slice(&trailer[..part]);
            trailer.drain(..part);
            made += part;
            self.ended = trailer.is_empty();
        }
        let left = Left {
            input: input.len() - taken,
            output: output.len() - made,
        };
        if !self.ended && left.output != 0 && flush == FINISH {
            return Err(unexpected_end());
        }
        Ok(left)
    }

    /// What the stream itself does not write.
    fn make_trailer(&self) -> Vec<u8> {
        match self.format {
            Format::Zlib if self.replaced => self.check.to_be_bytes().to_vec(),
            Format::Gzip if self.replaced => [self.check.to_le_bytes(), self.length.to_le_bytes()].concat(),
            _ => Vec::new(),
        }
    }

    pub fn reset(&mut self) -> bool {
        self.stream = deflate(self.format, self.window_bits, self.level, self.mem_level, self.strategy);
        self.replaced = false;
        self.check = initial_check(self.format);
        self.length = 0;
        self.trailer = None;
        self.ended = false;
        self.set_dictionary()
    }

    pub fn set_params(&mut self, level: i32, strategy: i32) -> Result<(), Failure> {
        let refused = || failure("Failed to set parameters", Z_STREAM_ERROR);
        let strategy = Strategy::try_from(strategy).map_err(|()| refused())?;
        if !(-1..=9).contains(&level) {
            return Err(refused());
        }
        (self.level, self.strategy) = (level, strategy);
        // With nothing written there is no header either.
        if self.stream.total_out() == 0 && !self.replaced {
            return if self.reset() { Ok(()) } else { Err(refused()) };
        }
        if self.trailer.is_none() {
            self.stream = deflate(Format::Raw, self.window_bits, level, self.mem_level, strategy);
            self.replaced = true;
        }
        Ok(())
    }
}

fn deflate(format: Format, window_bits: i32, level: i32, mem_level: i32, strategy: Strategy) -> Deflate {
    let config = DeflateConfig {
        level,
        window_bits: match format {
            Format::Gzip => window_bits + 16,
            Format::Zlib => window_bits,
            // Raw deflate has no window of 256 bytes in any implementation.
            Format::Raw => -window_bits.max(9),
        },
        mem_level,
        strategy,
        ..DeflateConfig::default()
    };
    Deflate::new_with_config(config)
}

/// A decompressor.
pub(super) struct Inflater {
    stream: Inflate,
    /// As it was asked for; `UNZIP` becomes one of the others.
    asked: i32,
    mode: i32,
    window_bits: u8,
    dictionary: Vec<u8>,
    /// How many bytes of the magic number have been seen, `UNZIP`.
    magic_seen: usize,
    /// The stream's end has been seen; what follows is another gzip member or not ours.
    ended: bool,
}

fn inflate(mode: i32, window_bits: u8) -> Inflate {
    match mode {
        INFLATE_RAW => Inflate::new(false, if window_bits == 0 { 15 } else { window_bits }),
        // 0 means the window of the stream's own header, which gzip's lacks.
        GUNZIP => Inflate::new(true, 16 + if window_bits == 0 { 15 } else { window_bits }),
        UNZIP => Inflate::new(true, 32 + if window_bits == 0 { 15 } else { window_bits }),
        _ => Inflate::new(true, window_bits),
    }
}

impl Inflater {
    pub fn new(mode: i32, window_bits: i32, dictionary: &[u8]) -> Option<Self> {
        if !matches!(mode, INFLATE | GUNZIP | INFLATE_RAW | UNZIP) {
            return None;
        }
        let window_bits = match window_bits {
            0 => 0,
            8..=15 => u8::try_from(window_bits).ok()?,
            _ => return None,
        };
        let mut inflater = Self {
            stream: inflate(mode, window_bits),
            asked: mode,
            mode,
            window_bits,
            dictionary: dictionary.to_vec(),
            magic_seen: 0,
            ended: false,
        };
        inflater.set_raw_dictionary().then_some(inflater)
    }

    /// Raw data never asks for its dictionary.
    fn set_raw_dictionary(&mut self) -> bool {
        self.mode != INFLATE_RAW || self.dictionary.is_empty() || self.stream.set_dictionary(&self.dictionary).is_ok()
    }

    pub fn reset(&mut self) -> bool {
        self.mode = self.asked;
        self.magic_seen = 0;
        self.ended = false;
        self.stream = inflate(self.mode, self.window_bits);
        self.set_raw_dictionary()
    }

    /// Finds out what `UNZIP` has before it.
    fn look(&mut self, input: &[u8]) {
        for &byte in input {
            if self.mode != UNZIP {
                return;
            }
            if byte != MAGIC[self.magic_seen] {
                self.mode = INFLATE;
            } else if self.magic_seen + 1 == MAGIC.len() {
                self.mode = GUNZIP;
            } else {
                self.magic_seen += 1;
            }
        }
    }

    pub fn step(&mut self, flush: i32, input: &[u8], output: &mut [u8]) -> Result<Left, Failure> {
        self.look(input);
        let flush_mode = match flush {
            0 => InflateFlush::NoFlush,
            FINISH => InflateFlush::Finish,
            5 => InflateFlush::Block,
            6 => InflateFlush::Trees,
            _ => InflateFlush::SyncFlush,
        };
        let (mut taken, mut made) = (0, 0);
        loop {
            let status = if self.ended {
                Status::StreamEnd
            } else {
                self.advance(flush_mode, &input[taken..], &mut output[made..], &mut taken, &mut made)?
            };
            self.ended = status == Status::StreamEnd;
            // Another gzip member may follow; zeros are padding.
            if self.ended && self.mode == GUNZIP && input.get(taken).is_some_and(|byte| *byte != 0) {
                self.stream = inflate(GUNZIP, self.window_bits);
                self.ended = false;
                continue;
            }
            let left = Left {
                input: input.len() - taken,
                output: output.len() - made,
            };
            if !self.ended && left.output != 0 && flush == FINISH {
                return Err(unexpected_end());
            }
            return Ok(left);
        }
    }

    fn advance(
        &mut self,
        flush: InflateFlush,
        input: &[u8],
        output: &mut [u8],
        taken: &mut usize,
        made: &mut usize,
    ) -> Result<Status, Failure> {
        let (mut at, mut filled) = (0, 0);
        let mut asked = false;
        let result = loop {
            let (before_in, before_out) = (self.stream.total_in(), self.stream.total_out());
            let result = self.stream.decompress(&input[at..], &mut output[filled..], flush);
            // Both are at most the buffers' lengths.
            at += (self.stream.total_in() - before_in) as usize;
            filled += (self.stream.total_out() - before_out) as usize;
            match result {
                Err(InflateError::NeedDict { .. }) if asked => break Err(failure("Bad dictionary", Z_NEED_DICT)),
                Err(InflateError::NeedDict { .. }) if self.dictionary.is_empty() => {
                    break Err(failure("Missing dictionary", Z_NEED_DICT));
                }
                Err(InflateError::NeedDict { .. }) => {
                    asked = true;
                    if self.stream.set_dictionary(&self.dictionary).is_err() {
                        break Err(failure("Bad dictionary", Z_NEED_DICT));
                    }
                }
                Err(error) => {
                    let (errno, fallback) = match error {
                        InflateError::MemError => (Z_MEM_ERROR, "out of memory"),
                        InflateError::DataError => (Z_DATA_ERROR, "Zlib error"),
                        _ => (Z_STREAM_ERROR, "Zlib error"),
                    };
                    break Err(failure(self.stream.error_message().unwrap_or(fallback), errno));
                }
                Ok(status) => break Ok(status),
            }
        };
        *taken += at;
        *made += filled;
        result
    }
}
