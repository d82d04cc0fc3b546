//! Brotli, with the parameters of the reference library.

use super::deflate_stream::{Z_BUF_ERROR, unexpected_end};
use super::{Failure, Left};
use brotli::enc::StandardAlloc;
use brotli::enc::encode::{BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct};
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState};

/// `BROTLI_OPERATION_FLUSH`, `BROTLI_OPERATION_FINISH` and `BROTLI_OPERATION_EMIT_METADATA`
const FLUSH: i32 = 1;
const FINISH: i32 = 2;
const EMIT_METADATA: i32 = 3;

/// A parameter that is not set.
const UNSET: u32 = u32::MAX;
/// Positions in the parameters.
const QUALITY: usize = 1;
const WINDOW: usize = 2;
const LARGE_WINDOW: usize = 6;
/// The library's defaults.
const DEFAULT_QUALITY: u32 = 11;
const DEFAULT_WINDOW: u32 = 22;
/// Windows beyond this are an extension of the format, which is not offered: a decompressor would need up to 1 GiB.
const WINDOW_MAX: u32 = 24;

/// What a decompressor keeps at most, bytes: the window and its tables.
pub(super) const DECODER_BYTES: usize = (1 << WINDOW_MAX) + 512 * 1024;

fn parameter(parameters: &[u32], index: usize, default: u32) -> u32 {
    match parameters.get(index) {
        None | Some(&UNSET) => default,
        Some(&value) => value,
    }
}

/// What a compressor keeps, bytes: input and output buffers of the window's size, and the hash tables of the best qualities.
pub(super) fn encoder_bytes(parameters: &[u32]) -> usize {
    let window = 1_usize << parameter(parameters, WINDOW, DEFAULT_WINDOW).min(WINDOW_MAX);
    let quality = parameter(parameters, QUALITY, DEFAULT_QUALITY);
    if quality >= 10 { window * 12 } else { window * 4 }
}

/// A compressor.
pub(super) struct Encoder {
    stream: BrotliEncoderStateStruct<StandardAlloc>,
    parameters: Vec<u32>,
}

fn encoder(parameters: &[u32]) -> Option<BrotliEncoderStateStruct<StandardAlloc>> {
    let mut stream = BrotliEncoderStateStruct::new(StandardAlloc::default());
    for (index, &value) in parameters.iter().enumerate() {
        if value == UNSET {
            continue;
        }
        let name = match index {
            0 => BrotliEncoderParameter::BROTLI_PARAM_MODE,
            QUALITY if value <= 11 => BrotliEncoderParameter::BROTLI_PARAM_QUALITY,
            WINDOW if (10..=WINDOW_MAX).contains(&value) => BrotliEncoderParameter::BROTLI_PARAM_LGWIN,
            3 if value == 0 || (16..=24).contains(&value) => BrotliEncoderParameter::BROTLI_PARAM_LGBLOCK,
            4 => BrotliEncoderParameter::BROTLI_PARAM_DISABLE_LITERAL_CONTEXT_MODELING,
            5 => BrotliEncoderParameter::BROTLI_PARAM_SIZE_HINT,
            // Windows that need it were refused; otherwise it changes nothing.
            LARGE_WINDOW => continue,
            // NPOSTFIX and NDIRECT tune distance codes; the library chooses them.
            7 | 8 => continue,
            _ => return None,
        };
        if !stream.set_parameter(name, value) {
            return None;
        }
    }
    Some(stream)
}

impl Encoder {
    pub fn new(parameters: &[u32]) -> Option<Self> {
        Some(Self {
            stream: encoder(parameters)?,
            parameters: parameters.to_vec(),
        })
    }

    pub fn reset(&mut self) -> bool {
        match encoder(&self.parameters) {
            Some(stream) => {
                self.stream = stream;
                true
            }
            None => false,
        }
    }

    pub fn step(&mut self, operation: i32, input: &[u8], output: &mut [u8]) -> Result<Left, Failure> {
        let operation = match operation {
            FLUSH => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
            FINISH => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
            EMIT_METADATA => BrotliEncoderOperation::BROTLI_OPERATION_EMIT_METADATA,
            _ => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
        };
        let (mut input_left, mut input_at) = (input.len(), 0);
        let (mut output_left, mut output_at) = (output.len(), 0);
        let done = self.stream.compress_stream(
            operation,
            &mut input_left,
            input,
            &mut input_at,
            &mut output_left,
            output,
            &mut output_at,
            &mut None,
            &mut |_, _, _, _| (),
        );
        if !done {
            return Err(Failure {
                message: "Compression failed".to_owned(),
                errno: -1,
                code: "ERR_BROTLI_COMPRESSION_FAILED".to_owned(),
            });
        }
        Ok(Left {
            input: input_left,
            output: output_left,
        })
    }
}

/// A decompressor.
pub(super) struct Decoder {
    stream: BrotliState<Alloc, Alloc, Alloc>,
    ended: bool,
}

type Alloc = brotli_decompressor::StandardAlloc;

fn decoder() -> BrotliState<Alloc, Alloc, Alloc> {
    BrotliState::new_strict(Alloc::default(), Alloc::default(), Alloc::default())
}

impl Decoder {
    pub fn new(parameters: &[u32]) -> Option<Self> {
        // 0: how the ring buffer grows, which changes no result. 1: large windows.
        let large = parameter(parameters, 1, 0) != 0;
        let unknown = parameters.iter().skip(2).any(|value| *value != UNSET);
        (!large && !unknown).then(|| Self {
            stream: decoder(),
            ended: false,
        })
    }

    pub fn reset(&mut self) -> bool {
        self.stream = decoder();
        self.ended = false;
        true
    }

    pub fn step(&mut self, operation: i32, input: &[u8], output: &mut [u8]) -> Result<Left, Failure> {
        let (mut input_left, mut input_at) = (input.len(), 0);
        let (mut output_left, mut output_at) = (output.len(), 0);
        if self.ended {
            return Ok(Left {
                input: input_left,
                output: output_left,
            });
        }
        let result = BrotliDecompressStream(
            &mut input_left,
            &mut input_at,
            input,
            &mut output_left,
            &mut output_at,
            output,
            &mut 0,
            &mut self.stream,
        );
        match result {
            BrotliResult::ResultSuccess => self.ended = true,
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::NeedsMoreInput if operation == FINISH => {
                let mut failure = unexpected_end();
                failure.errno = Z_BUF_ERROR;
                return Err(failure);
            }
            BrotliResult::NeedsMoreInput => {}
            BrotliResult::ResultFailure => {
                let error = self.stream.error_code;
                let name = format!("{error:?}");
                return Err(Failure {
                    message: "Decompression failed".to_owned(),
                    errno: error as i32,
                    code: format!("ERR_{}", name.strip_prefix("BROTLI_DECODER").unwrap_or(&name)),
                });
            }
        }
        Ok(Left {
            input: input_left,
            output: output_left,
        })
    }
}
