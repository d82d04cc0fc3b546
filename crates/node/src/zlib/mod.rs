//! The machinery of `node:zlib`: one step of compression or decompression per call, into a buffer of the caller's.
//!
//! A handle takes input and output buffers, works until one of them is used up, and says what is left of both; the loop
//! around it, and with it every limit on the output, is JavaScript's (`js/zlib.js`). Bad input is an outcome, [`Failure`],
//! which the next call of `op_zlib_failure` tells; a handle that was closed does nothing.
//!
//! What a handle keeps lives outside of V8's heap, so it is charged to the isolate's [`Allowance`] with its first step, before
//! which it keeps next to nothing; a step beyond the allowance fails.

mod brotli_stream;
mod deflate_stream;
mod zstd_stream;

use brotli_stream::{Decoder, Encoder};
use deflate_stream::{Deflater, Inflater};
use deno_core::{GarbageCollected, OpState, op2, v8};
use deno_error::JsErrorBox;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use zstd_stream::{Compressor, Decompressor};

/// What all handles of an isolate may keep, bytes. A compressor with Node's defaults keeps 256 KiB, a Brotli one 48 MiB, a
/// Zstandard one 6 MiB.
const KEPT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What handles of this isolate keep at present.
#[derive(Clone, Default)]
struct Allowance(Rc<Cell<usize>>);

/// A handle's part of the allowance, given back on drop.
struct Charge {
    bytes: usize,
    of: Allowance,
}

impl Allowance {
    fn of(state: &mut OpState) -> Self {
        if !state.has::<Self>() {
            state.put(Self::default());
        }
        state.borrow::<Self>().clone()
    }

    fn take(&self, bytes: usize) -> Result<Charge, Failure> {
        let mut charge = Charge {
            bytes: 0,
            of: self.clone(),
        };
        charge.set(bytes)?;
        Ok(charge)
    }
}

impl Charge {
    /// Makes it `bytes`. It stays as it was where that is too much.
    fn set(&mut self, bytes: usize) -> Result<(), Failure> {
        let total = self.of.0.get().saturating_sub(self.bytes).saturating_add(bytes);
        if total > KEPT_BYTES_MAX {
            return Err(Failure {
                message: format!(
                    "the worker's compression streams keep {total} bytes, more than the {KEPT_BYTES_MAX} it may have: \
                     close some"
                ),
                errno: deflate_stream::Z_MEM_ERROR,
                code: "Z_MEM_ERROR".to_owned(),
            });
        }
        self.of.0.set(total);
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.of.0.set(self.of.0.get().saturating_sub(self.bytes));
    }
}

/// Why a step failed, as Node's errors tell it.
#[derive(Clone)]
struct Failure {
    message: String,
    errno: i32,
    code: String,
}

/// What is left after a step.
struct Left {
    input: usize,
    output: usize,
}

/// What a handle does.
enum Work {
    Deflate(Deflater),
    Inflate(Inflater),
    Encode(Box<Encoder>),
    Decode(Box<Decoder>),
    Compress(Box<Compressor>),
    Decompress(Box<Decompressor>),
}

impl Work {
    /// What it will keep once it has begun, bytes, where only the first step shows that.
    fn will_keep(&self, flush: i32, input: usize) -> Option<usize> {
        match self {
            Self::Compress(work) => Some(work.will_keep(flush, input)),
            _ => None,
        }
    }

    /// What it keeps now, bytes, where that depends on the data.
    fn keeps(&self) -> Option<usize> {
        match self {
            Self::Compress(work) => Some(work.keeps()),
            Self::Decompress(work) => Some(work.keeps()),
            _ => None,
        }
    }
}

/// A compressor or decompressor.
struct Handle {
    work: RefCell<Option<Work>>,
    failure: RefCell<Option<Failure>>,
    allowance: Allowance,
    /// What the work will keep, bytes.
    keeps: usize,
    charge: RefCell<Option<Charge>>,
}

// SAFETY: holds no traced references.
unsafe impl GarbageCollected for Handle {
    fn trace(&self, _visitor: &mut v8::cppgc::Visitor) {}

    fn get_name(&self) -> &'static std::ffi::CStr {
        c"Zlib"
    }
}

impl Handle {
    fn new(work: Work, allowance: Allowance, keeps: usize) -> Self {
        Self {
            work: RefCell::new(Some(work)),
            failure: RefCell::new(None),
            allowance,
            keeps,
            charge: RefCell::new(None),
        }
    }

    fn step(&self, flush: i32, input: &[u8], output: &mut [u8]) -> Result<Left, Failure> {
        let mut work = self.work.borrow_mut();
        let Some(work) = work.as_mut() else {
            return Err(deflate_stream::failure(
                "zlib binding closed",
                deflate_stream::Z_STREAM_ERROR,
            ));
        };
        let mut charge = self.charge.borrow_mut();
        let charge = match &mut *charge {
            Some(charge) => charge,
            none => none.insert(
                self.allowance
                    .take(work.will_keep(flush, input.len()).unwrap_or(self.keeps))?,
            ),
        };
        let left = match work {
            Work::Deflate(work) => work.step(flush, input, output),
            Work::Inflate(work) => work.step(flush, input, output),
            Work::Encode(work) => work.step(flush, input, output),
            Work::Decode(work) => work.step(flush, input, output),
            Work::Compress(work) => work.step(flush, input, output),
            Work::Decompress(work) => work.step(flush, input, output),
        }?;
        if let Some(bytes) = work.keeps() {
            charge.set(bytes)?;
        }
        Ok(left)
    }
}

/// A handle for zlib's formats. `mode` as in `js/zlib.js`; numbers out of their range are refused.
#[op2]
#[cppgc]
pub(crate) fn op_zlib_new(
    state: &mut OpState,
    #[smi] mode: i32,
    #[smi] window_bits: i32,
    #[smi] level: i32,
    #[smi] mem_level: i32,
    #[smi] strategy: i32,
    #[buffer] dictionary: &[u8],
) -> Result<Handle, JsErrorBox> {
    let allowance = Allowance::of(state);
    let made = if deflate_stream::compresses(mode) {
        Deflater::new(mode, window_bits, level, mem_level, strategy, dictionary).map(|work| {
            (
                Work::Deflate(work),
                deflate_stream::deflater_bytes(window_bits, mem_level),
            )
        })
    } else {
        Inflater::new(mode, window_bits, dictionary)
            .map(|work| (Work::Inflate(work), deflate_stream::INFLATER_BYTES + dictionary.len()))
    };
    let (work, keeps) = made.ok_or_else(|| JsErrorBox::generic("Initialization failed"))?;
    Ok(Handle::new(work, allowance, keeps))
}

/// A Brotli handle. `parameters[i]` is the value of parameter `i`; `u32::MAX` leaves it as it is.
#[op2]
#[cppgc]
pub(crate) fn op_brotli_new(
    state: &mut OpState,
    compress: bool,
    #[buffer] parameters: &[u32],
) -> Result<Handle, JsErrorBox> {
    let allowance = Allowance::of(state);
    let made = if compress {
        let keeps = brotli_stream::encoder_bytes(parameters);
        Encoder::new(parameters).map(|work| (Work::Encode(Box::new(work)), keeps))
    } else {
        Decoder::new(parameters).map(|work| (Work::Decode(Box::new(work)), brotli_stream::DECODER_BYTES))
    };
    let (work, keeps) = made.ok_or_else(|| JsErrorBox::generic("Initialization failed"))?;
    Ok(Handle::new(work, allowance, keeps))
}

/// A Zstandard handle. `parameters` are pairs of number and value; `pledged` is the length of the input, bytes, negative if it
/// is not known.
#[op2]
#[cppgc]
pub(crate) fn op_zstd_new(
    state: &mut OpState,
    compress: bool,
    #[buffer] parameters: &[u32],
    pledged: f64,
    #[buffer] dictionary: &[u8],
) -> Result<Handle, JsErrorBox> {
    let allowance = Allowance::of(state);
    let parameters: Vec<i32> = parameters.iter().map(|number| number.cast_signed()).collect();
    let work = if compress {
        // Saturates, as `as` does for floats: no input is that long.
        let pledged = (pledged >= 0.0).then_some(pledged as u64);
        Compressor::new(&parameters, pledged, dictionary).map(|work| Work::Compress(Box::new(work)))
    } else {
        Decompressor::new(&parameters, dictionary).map(|work| Work::Decompress(Box::new(work)))
    };
    let work = work.ok_or_else(|| JsErrorBox::generic("Setting parameter failed"))?;
    let keeps = zstd_stream::DECOMPRESSOR_BYTES + dictionary.len();
    Ok(Handle::new(work, allowance, keeps))
}

/// One step. `left` gets what remains: of the output, of the input. False if it failed.
#[op2(fast)]
pub(crate) fn op_zlib_write(
    #[cppgc] handle: &Handle,
    #[smi] flush: i32,
    #[buffer] input: &[u8],
    #[buffer] output: &mut [u8],
    #[buffer] left: &mut [u32],
) -> bool {
    match handle.step(flush, input, output) {
        Ok(step) => {
            // Buffers of JavaScript are far below 4 GiB.
            if let [output, input, ..] = left {
                *output = u32::try_from(step.output).unwrap_or(u32::MAX);
                *input = u32::try_from(step.input).unwrap_or(u32::MAX);
            }
            true
        }
        Err(failure) => {
            *handle.failure.borrow_mut() = Some(failure);
            false
        }
    }
}

/// Why the last step failed: message, errno, code.
#[op2]
#[serde]
pub(crate) fn op_zlib_failure(#[cppgc] handle: &Handle) -> (String, i32, String) {
    match handle.failure.borrow_mut().take() {
        Some(failure) => (failure.message, failure.errno, failure.code),
        None => (String::new(), 0, String::new()),
    }
}

/// Begins a new stream with the settings that the handle has. False if it is closed.
#[op2(fast)]
pub(crate) fn op_zlib_reset(#[cppgc] handle: &Handle) -> bool {
    let mut work = handle.work.borrow_mut();
    match work.as_mut() {
        Some(Work::Deflate(work)) => work.reset(),
        Some(Work::Inflate(work)) => work.reset(),
        Some(Work::Encode(work)) => work.reset(),
        Some(Work::Decode(work)) => work.reset(),
        Some(Work::Compress(work)) => work.reset(),
        Some(Work::Decompress(work)) => work.reset(),
        None => false,
    }
}

/// Changes a compressor's level and strategy for what follows; what came before must have been flushed. False if that failed;
/// handles that do not compress have neither.
#[op2(fast)]
pub(crate) fn op_zlib_params(#[cppgc] handle: &Handle, #[smi] level: i32, #[smi] strategy: i32) -> bool {
    let mut work = handle.work.borrow_mut();
    match work.as_mut() {
        Some(Work::Deflate(work)) => match work.set_params(level, strategy) {
            Ok(()) => true,
            Err(failure) => {
                *handle.failure.borrow_mut() = Some(failure);
                false
            }
        },
        _ => true,
    }
}

/// Gives back what the handle keeps.
#[op2(fast)]
pub(crate) fn op_zlib_close(#[cppgc] handle: &Handle) {
    handle.work.borrow_mut().take();
    handle.charge.borrow_mut().take();
}

/// CRC-32 of `data`, continuing `value`.
#[op2(fast)]
pub(crate) fn op_zlib_crc32(#[buffer] data: &[u8], value: u32) -> u32 {
    zlib_rs::crc32::crc32(value, data)
}
