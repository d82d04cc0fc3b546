//! Zstandard, with the parameters of the reference library.

use super::deflate_stream::{Z_BUF_ERROR, unexpected_end};
use super::{Failure, Left};
use std::ffi::CStr;
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, Strategy,
    zstd_sys::{self, ZSTD_EndDirective},
};

/// `ZSTD_e_flush` and `ZSTD_e_end`
const FLUSH: i32 = 1;
const END: i32 = 2;

/// `ZSTD_c_windowLog` and its two neighbours, which decide what a compressor keeps, and `ZSTD_c_enableLongDistanceMatching`.
const LEVEL: i32 = 100;
const WINDOW_LOG: i32 = 101;
const HASH_LOG: i32 = 102;
const CHAIN_LOG: i32 = 103;
const LONG_DISTANCE: i32 = 160;
const LONG_HASH_LOG: i32 = 161;

/// `ZSTD_error_srcSize_wrong`
const WRONG_SIZE: usize = 72;

/// `ZSTD_CLEVEL_DEFAULT`
const LEVEL_DEFAULT: i32 = 3;

/// Logarithms of window, chain table and hash table by level from 1 to 22, for input whose length is not known
/// (`ZSTD_defaultCParameters` of zstd 1.5); the first row is that of negative levels.
const TABLES: [(u32, u32, u32); 23] = [
    (19, 12, 13),
    (19, 13, 14),
    (20, 15, 16),
    (21, 16, 17),
    (21, 18, 18),
    (21, 18, 19),
    (21, 18, 19),
    (21, 19, 20),
    (21, 19, 20),
    (22, 20, 21),
    (22, 21, 22),
    (22, 21, 22),
    (22, 22, 23),
    (22, 22, 22),
    (22, 22, 23),
    (22, 23, 23),
    (22, 22, 22),
    (23, 23, 22),
    (23, 23, 22),
    (23, 24, 22),
    (25, 25, 23),
    (26, 26, 24),
    (27, 27, 25),
];

/// What a compressor keeps besides window and tables: the context, buffers of a block and the tables of the optimal parsers.
const COMPRESSOR_BYTES: usize = 4 * 1024 * 1024;

/// What a decompressor keeps before it has seen how large a window the data want.
pub(super) const DECOMPRESSOR_BYTES: usize = 256 * 1024;

fn given(parameters: &[i32], key: i32) -> Option<i32> {
    let pairs = parameters.as_chunks::<2>().0;
    pairs.iter().find(|[name, _]| *name == key).map(|[_, value]| *value)
}

/// What a compressor will keep at most, bytes. The library makes its tables smaller where it knows how much will come.
fn compressor_bytes(parameters: &[i32], source: Option<u64>, dictionary: usize) -> usize {
    let level = match given(parameters, LEVEL) {
        None | Some(0) => LEVEL_DEFAULT,
        Some(level) => level,
    };
    let row = usize::try_from(level).unwrap_or(0).min(TABLES.len() - 1);
    let (window, chain, hash) = TABLES[row];
    // Zero is the level's own; beyond 31 the library refuses.
    let chosen = |key, default: u32| match given(parameters, key) {
        Some(value) if value > 0 => value.unsigned_abs().min(31),
        _ => default,
    };
    let long_distance = given(parameters, LONG_DISTANCE) == Some(1);
    let mut window = chosen(WINDOW_LOG, if long_distance { window.max(27) } else { window });
    let (mut chain, mut hash) = (chosen(CHAIN_LOG, chain), chosen(HASH_LOG, hash));
    if let Some(source) = source {
        // Tables for small input differ a little from those above; none is larger than its window wants.
        let enough = (u64::BITS - source.leading_zeros()).max(10) + 1;
        window = window.min(enough);
        chain = chain.min(enough + 1);
        hash = hash.min(enough + 1);
    }
    let mut bytes = (1_u64 << window) + (4_u64 << chain) + (4_u64 << hash);
    if long_distance {
        bytes += 10_u64 << chosen(LONG_HASH_LOG, window.saturating_sub(7).max(6));
    }
    // A dictionary is copied and has tables of its own, by its size.
    let fixed = COMPRESSOR_BYTES.saturating_add(dictionary.saturating_mul(20));
    usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(fixed)
}

/// The library's error: its words, its number and the number's name.
fn failed(code: usize) -> Failure {
    let number = code.wrapping_neg();
    let errno = i32::try_from(number).unwrap_or(1);
    // SAFETY: the function takes any number and returns a string literal of the library.
    let message = unsafe { CStr::from_ptr(zstd_sys::ZSTD_getErrorName(code)) };
    Failure {
        message: message.to_string_lossy().into_owned(),
        errno,
        code: format!("ZSTD_error_{}", name(errno)),
    }
}

fn name(errno: i32) -> &'static str {
    match errno {
        10 => "prefix_unknown",
        12 => "version_unsupported",
        14 => "frameParameter_unsupported",
        16 => "frameParameter_windowTooLarge",
        20 => "corruption_detected",
        22 => "checksum_wrong",
        24 => "literals_headerWrong",
        30 => "dictionary_corrupted",
        32 => "dictionary_wrong",
        34 => "dictionaryCreation_failed",
        40 => "parameter_unsupported",
        41 => "parameter_combination_unsupported",
        42 => "parameter_outOfBound",
        44 => "tableLog_tooLarge",
        46 => "maxSymbolValue_tooLarge",
        48 => "maxSymbolValue_tooSmall",
        50 => "stabilityCondition_notRespected",
        60 => "stage_wrong",
        62 => "init_missing",
        64 => "memory_allocation",
        66 => "workSpace_tooSmall",
        70 => "dstSize_tooSmall",
        72 => "srcSize_wrong",
        74 => "dstBuffer_null",
        80 => "noForwardProgress_destFull",
        82 => "noForwardProgress_inputEmpty",
        _ => "GENERIC",
    }
}

fn strategy(value: i32) -> Option<Strategy> {
    Some(match value {
        1 => Strategy::ZSTD_fast,
        2 => Strategy::ZSTD_dfast,
        3 => Strategy::ZSTD_greedy,
        4 => Strategy::ZSTD_lazy,
        5 => Strategy::ZSTD_lazy2,
        6 => Strategy::ZSTD_btlazy2,
        7 => Strategy::ZSTD_btopt,
        8 => Strategy::ZSTD_btultra,
        9 => Strategy::ZSTD_btultra2,
        _ => return None,
    })
}

fn flag(value: i32) -> Option<bool> {
    match value {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// A compressor's parameter by its number in the library; none if there is no such number, or no such value.
fn compressor_parameter(key: i32, value: i32) -> Option<CParameter> {
    let number = u32::try_from(value).ok();
    Some(match key {
        LEVEL => CParameter::CompressionLevel(value),
        WINDOW_LOG => CParameter::WindowLog(number?),
        HASH_LOG => CParameter::HashLog(number?),
        CHAIN_LOG => CParameter::ChainLog(number?),
        104 => CParameter::SearchLog(number?),
        105 => CParameter::MinMatch(number?),
        106 => CParameter::TargetLength(number?),
        107 => CParameter::Strategy(strategy(value)?),
        130 => CParameter::TargetCBlockSize(number?),
        LONG_DISTANCE => CParameter::EnableLongDistanceMatching(flag(value)?),
        LONG_HASH_LOG => CParameter::LdmHashLog(number?),
        162 => CParameter::LdmMinMatch(number?),
        163 => CParameter::LdmBucketSizeLog(number?),
        164 => CParameter::LdmHashRateLog(number?),
        200 => CParameter::ContentSizeFlag(flag(value)?),
        201 => CParameter::ChecksumFlag(flag(value)?),
        202 => CParameter::DictIdFlag(flag(value)?),
        // There are no threads to work beside the worker's.
        400 => CParameter::NbWorkers(number?),
        401 => CParameter::JobSize(number?),
        402 => CParameter::OverlapSizeLog(number?),
        _ => return None,
    })
}

/// A compressor.
pub(super) struct Compressor {
    stream: CCtx<'static>,
    parameters: Vec<i32>,
    pledged: Option<u64>,
    /// Length of the dictionary, bytes.
    dictionary: usize,
    /// What of the input has come, bytes.
    taken: u64,
    /// A frame was written to its end and no input came since.
    ended: bool,
}

impl Compressor {
    /// `parameters` are pairs of number and value. None if the library refuses one.
    pub fn new(parameters: &[i32], pledged: Option<u64>, dictionary: &[u8]) -> Option<Self> {
        let mut stream = CCtx::try_create()?;
        for [key, value] in parameters.as_chunks::<2>().0 {
            stream.set_parameter(compressor_parameter(*key, *value)?).ok()?;
        }
        stream.set_pledged_src_size(pledged).ok()?;
        if !dictionary.is_empty() {
            stream.load_dictionary(dictionary).ok()?;
        }
        Some(Self {
            stream,
            parameters: parameters.to_vec(),
            pledged,
            dictionary: dictionary.len(),
            taken: 0,
            ended: false,
        })
    }

    pub fn reset(&mut self) -> bool {
        (self.ended, self.taken) = (false, 0);
        self.stream.reset(ResetDirective::SessionOnly).is_ok() && self.stream.set_pledged_src_size(self.pledged).is_ok()
    }

    /// What the first step will allocate at most, bytes, if it is this one.
    pub fn will_keep(&self, operation: i32, input: usize) -> usize {
        let whole = (operation == END).then_some(input as u64);
        compressor_bytes(&self.parameters, self.pledged.or(whole), self.dictionary)
    }

    pub fn keeps(&self) -> usize {
        self.stream.sizeof()
    }

    pub fn step(&mut self, operation: i32, input: &[u8], output: &mut [u8]) -> Result<Left, Failure> {
        if self.ended && input.is_empty() {
            return Ok(Left {
                input: 0,
                output: output.len(),
            });
        }
        self.ended = false;
        // The library passes over the promise where all of the input comes with the first call.
        let total = self.taken + input.len() as u64;
        if operation == END && self.pledged.is_some_and(|pledged| pledged != total) {
            return Err(failed(WRONG_SIZE.wrapping_neg()));
        }
        let directive = match operation {
            FLUSH => ZSTD_EndDirective::ZSTD_e_flush,
            END => ZSTD_EndDirective::ZSTD_e_end,
            _ => ZSTD_EndDirective::ZSTD_e_continue,
        };
        let room = output.len();
        let mut from = InBuffer::around(input);
        let mut into = OutBuffer::around(output);
        let unwritten = self
            .stream
            .compress_stream2(&mut into, &mut from, directive)
            .map_err(failed)?;
        self.ended = operation == END && unwritten == 0;
        self.taken += from.pos() as u64;
        Ok(Left {
            input: input.len() - from.pos(),
            output: room - into.pos(),
        })
    }
}

/// A decompressor, of one frame.
pub(super) struct Decompressor {
    stream: DCtx<'static>,
    ended: bool,
}

impl Decompressor {
    /// `parameters` are pairs of number and value. None if the library refuses one.
    pub fn new(parameters: &[i32], dictionary: &[u8]) -> Option<Self> {
        let mut stream = DCtx::try_create()?;
        for [key, value] in parameters.as_chunks::<2>().0 {
            match (*key, u32::try_from(*value)) {
                // `ZSTD_d_windowLogMax`
                (100, Ok(log)) => stream.set_parameter(DParameter::WindowLogMax(log)).ok()?,
                _ => return None,
            };
        }
        if !dictionary.is_empty() {
            stream.load_dictionary(dictionary).ok()?;
        }
        Some(Self { stream, ended: false })
    }

    pub fn reset(&mut self) -> bool {
        self.ended = false;
        self.stream.reset(ResetDirective::SessionOnly).is_ok()
    }

    pub fn keeps(&self) -> usize {
        self.stream.sizeof()
    }

    pub fn step(&mut self, operation: i32, input: &[u8], output: &mut [u8]) -> Result<Left, Failure> {
        let room = output.len();
        if self.ended {
            return Ok(Left {
                input: input.len(),
                output: room,
            });
        }
        let mut from = InBuffer::around(input);
        let mut into = OutBuffer::around(output);
        let wanted = self.stream.decompress_stream(&mut into, &mut from).map_err(failed)?;
        let left = Left {
            input: input.len() - from.pos(),
            output: room - into.pos(),
        };
        self.ended = wanted == 0;
        if operation == END && !self.ended && left.input == 0 && left.output > 0 {
            let mut failure = unexpected_end();
            failure.errno = Z_BUF_ERROR;
            return Err(failure);
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squeeze(stream: &mut Compressor, input: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        let mut input = input;
        loop {
            let mut buffer = [0; 1000];
            let left = stream.step(END, input, &mut buffer).ok().expect("a step");
            all.extend_from_slice(&buffer[..buffer.len() - left.output]);
            input = &input[input.len() - left.input..];
            if left.output > 0 {
                return all;
            }
        }
    }

    /// The charge is taken before the memory is.
    #[test]
    fn what_a_compressor_keeps_is_foreseen() {
        for level in -5..=19 {
            for size in [0, 1, 1_000, 70_000, 300_000] {
                let input: Vec<u8> = (0..size)
                    .map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 27) as u8)
                    .collect();
                let mut stream = Compressor::new(&[LEVEL, level], None, &[]).expect("a compressor");
                let foreseen = stream.will_keep(END, input.len());
                squeeze(&mut stream, &input);
                assert!(
                    stream.keeps() <= foreseen,
                    "level {level}, {size} bytes: {} > {foreseen}",
                    stream.keeps()
                );
                let mut stream = Compressor::new(&[LEVEL, level], None, &[]).expect("a compressor");
                let foreseen = stream.will_keep(0, input.len());
                stream.step(0, &input, &mut [0; 1000]).ok().expect("a step");
                assert!(
                    stream.keeps() <= foreseen,
                    "level {level}, streamed: {} > {foreseen}",
                    stream.keeps()
                );
            }
        }
    }

    /// A frame whose last byte fills the buffer is followed by nothing, whatever is asked again.
    #[test]
    fn an_end_is_written_once() {
        let whole = squeeze(&mut Compressor::new(&[], None, &[]).expect("a compressor"), b"abc");
        let mut stream = Compressor::new(&[], None, &[]).expect("a compressor");
        let mut exact = vec![0; whole.len()];
        assert_eq!(stream.step(END, b"abc", &mut exact).ok().expect("a step").output, 0);
        assert_eq!(exact, whole);
        let mut more = [0; 32];
        assert_eq!(stream.step(END, b"", &mut more).ok().expect("a step").output, 32);
    }

    #[test]
    fn refused_parameters() {
        for (key, value) in [
            (9999, 1),
            (WINDOW_LOG, 99),
            (WINDOW_LOG, -1),
            (107, 77),
            (201, 2),
            (400, 4),
        ] {
            assert!(Compressor::new(&[key, value], None, &[]).is_none(), "{key} = {value}");
        }
        assert!(Compressor::new(&[LEVEL, -7, 201, 1], Some(3), &[]).is_some());
        assert!(Decompressor::new(&[100, 99], &[]).is_none());
        assert!(Decompressor::new(&[100, 10], &[]).is_some());
    }
}
