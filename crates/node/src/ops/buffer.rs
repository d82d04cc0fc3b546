//! `js/buffer.js`: text to bytes and back in Node's encodings, search and comparison of bytes.
//!
//! JavaScript has checked offsets and lengths; whatever arrives is clamped again, so that a buffer that shrank meanwhile
//! (its memory was transferred by a getter, say) gives an empty result and never a panic.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use deno_core::{op2, v8};
use memchr::memmem;

/// Node's encodings, numbered as in `js/buffer.js`.
const UTF8: u8 = 0;
const LATIN1: u8 = 1;
const ASCII: u8 = 2;
const UTF16LE: u8 = 3;
const BASE64: u8 = 4;
const BASE64URL: u8 = 5;

/// The part of a buffer from `start` up to `end`, as far as it is there.
fn part(bytes: &[u8], start: f64, end: f64) -> &[u8] {
    // Casts of floats saturate: NaN and negative numbers are 0.
    let end = (end as usize).min(bytes.len());
    let start = (start as usize).min(end);
    &bytes[start..end]
}

fn one_byte<'s>(scope: &mut v8::PinScope<'s, '_>, bytes: &[u8]) -> Option<v8::Local<'s, v8::String>> {
    v8::String::new_from_one_byte(scope, bytes, v8::NewStringType::Normal)
}

fn units(bytes: &[u8]) -> Vec<u16> {
    let pairs = bytes.chunks_exact(2);
    pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
}

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

fn to_hex(bytes: &[u8]) -> Vec<u8> {
    let digits = bytes
        .iter()
        .flat_map(|byte| [HEX_DIGITS[usize::from(byte >> 4)], HEX_DIGITS[usize::from(byte & 15)]]);
    digits.collect()
}

fn from_hex(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let pairs = text.chunks_exact(2);
    // What follows the first pair that is none is not decoded.
    pairs
        .map_while(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8))
        .collect()
}

/// Both alphabets; what is in neither is skipped, and a `=` ends the text.
fn from_base64(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let mut bits: u32 = 0;
    let mut count = 0;
    for &character in text {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => break,
            _ => continue,
        };
        bits = (bits << 6) | u32::from(value);
        count += 1;
        if count == 4 {
            bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
            bits = 0;
            count = 0;
        }
    }
    match count {
        2 => bytes.push((bits >> 4) as u8),
        3 => bytes.extend_from_slice(&[(bits >> 10) as u8, (bits >> 2) as u8]),
        _ => {}
    }
    bytes
}

/// Bytes `start` to `end` as text. Undefined if V8 has no string that long.
#[op2]
pub(crate) fn op_node_buffer_decode<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    #[buffer] bytes: &[u8],
    #[smi] encoding: u8,
    start: f64,
    end: f64,
) -> v8::Local<'s, v8::Value> {
    let bytes = part(bytes, start, end);
    let text = match encoding {
        UTF8 if bytes.is_ascii() => one_byte(scope, bytes),
        UTF8 => match std::str::from_utf8(bytes) {
            Ok(text) => v8::String::new(scope, text),
            Err(_) => v8::String::new(scope, &String::from_utf8_lossy(bytes)),
        },
        LATIN1 => one_byte(scope, bytes),
        ASCII => {
            let bytes: Vec<u8> = bytes.iter().map(|byte| byte & 0x7f).collect();
            one_byte(scope, &bytes)
        }
        UTF16LE => v8::String::new_from_two_byte(scope, &units(bytes), v8::NewStringType::Normal),
        BASE64 => one_byte(scope, STANDARD.encode(bytes).as_bytes()),
        BASE64URL => one_byte(scope, URL_SAFE_NO_PAD.encode(bytes).as_bytes()),
        _ => one_byte(scope, &to_hex(bytes)),
    };
    match text {
        Some(text) => text.into(),
        None => v8::undefined(scope).into(),
    }
}

/// The low bytes of a string's units: all there is to base64 and hex, whose characters are ASCII.
fn low_bytes(scope: &mut v8::PinScope<'_, '_>, text: v8::Local<'_, v8::String>) -> Vec<u8> {
    if text.contains_only_onebyte() {
        let mut bytes = vec![0; text.length()];
        text.write_one_byte_v2(scope, 0, &mut bytes, v8::WriteFlags::default());
        return bytes;
    }
    let mut units = vec![0u16; text.length()];
    text.write_v2(scope, 0, &mut units, v8::WriteFlags::default());
    // A character outside of Latin-1 belongs to no alphabet; 0 does not either.
    units.iter().map(|unit| u8::try_from(*unit).unwrap_or(0)).collect()
}

/// Text as bytes.
fn encode(scope: &mut v8::PinScope<'_, '_>, text: v8::Local<'_, v8::String>, encoding: u8) -> Vec<u8> {
    match encoding {
        UTF8 => {
            let mut bytes = vec![0; text.utf8_length(scope)];
            let written = text.write_utf8_v2(scope, &mut bytes, v8::WriteFlags::kReplaceInvalidUtf8, None);
            bytes.truncate(written);
            bytes
        }
        LATIN1 | ASCII => {
            let mut bytes = vec![0; text.length()];
            text.write_one_byte_v2(scope, 0, &mut bytes, v8::WriteFlags::default());
            bytes
        }
        UTF16LE => {
            let mut units = vec![0u16; text.length()];
            text.write_v2(scope, 0, &mut units, v8::WriteFlags::default());
            units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
        }
        BASE64 | BASE64URL => from_base64(&low_bytes(scope, text)),
        _ => from_hex(&low_bytes(scope, text)),
    }
}

/// Text as a new array of bytes.
#[op2]
pub(crate) fn op_node_buffer_encode<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    text: v8::Local<'s, v8::String>,
    #[smi] encoding: u8,
) -> v8::Local<'s, v8::Value> {
    let bytes = encode(scope, text, encoding);
    let length = bytes.len();
    let store = v8::ArrayBuffer::new_backing_store_from_vec(bytes).make_shared();
    let buffer = v8::ArrayBuffer::with_backing_store(scope, &store);
    match v8::Uint8Array::new(scope, buffer, 0, length) {
        Some(array) => array.into(),
        None => v8::undefined(scope).into(),
    }
}

/// Writes text at `offset`, at most `length` bytes and no half characters; returns how many bytes.
#[op2(fast)]
pub(crate) fn op_node_buffer_write<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    #[buffer] bytes: &mut [u8],
    text: v8::Local<'s, v8::String>,
    offset: f64,
    length: f64,
    #[smi] encoding: u8,
) -> f64 {
    let offset = (offset as usize).min(bytes.len());
    let end = offset.saturating_add(length as usize).min(bytes.len());
    let target = &mut bytes[offset..end];
    let written = match encoding {
        UTF8 => text.write_utf8_v2(scope, target, v8::WriteFlags::kReplaceInvalidUtf8, None),
        LATIN1 | ASCII => {
            text.write_one_byte_v2(scope, 0, target, v8::WriteFlags::default());
            text.length().min(target.len())
        }
        _ => {
            let source = encode(scope, text, encoding);
            let mut count = source.len().min(target.len());
            if encoding == UTF16LE {
                count &= !1;
            }
            target[..count].copy_from_slice(&source[..count]);
            count
        }
    };
    written as f64
}

/// How many bytes a string is in UTF-8.
#[op2(fast)]
pub(crate) fn op_node_buffer_utf8_length<'s>(scope: &mut v8::PinScope<'s, '_>, text: v8::Local<'s, v8::String>) -> f64 {
    text.utf8_length(scope) as f64
}

/// -1, 0 or 1.
#[op2(fast)]
pub(crate) fn op_node_buffer_compare(#[buffer] left: &[u8], #[buffer] right: &[u8]) -> i32 {
    left.cmp(right) as i32
}

/// The index of `needle` from `offset` on, or backwards from there; -1 if it is not there. `wide`: in units of two bytes.
#[op2(fast)]
pub(crate) fn op_node_buffer_index_of(
    #[buffer] bytes: &[u8],
    #[buffer] needle: &[u8],
    offset: f64,
    forward: bool,
    wide: bool,
) -> f64 {
    let offset = offset as usize;
    let found = if wide {
        // Units are aligned to the buffer's beginning.
        let matches = |at: &usize| bytes[*at..].starts_with(needle);
        if forward {
            (offset & !1..bytes.len()).step_by(2).find(matches)
        } else {
            let last = offset.min(bytes.len()) & !1;
            (0..=last).rev().filter(|at| at % 2 == 0).find(matches)
        }
    } else if forward {
        let from = offset.min(bytes.len());
        memmem::find(&bytes[from..], needle).map(|at| from + at)
    } else {
        let end = offset.saturating_add(needle.len()).min(bytes.len());
        memmem::rfind(&bytes[..end], needle)
    };
    found.map_or(-1.0, |at| at as f64)
}

/// Repeats `pattern` over the bytes from `start` to `end`.
#[op2(fast)]
pub(crate) fn op_node_buffer_fill(#[buffer] bytes: &mut [u8], #[buffer] pattern: &[u8], start: f64, end: f64) {
    let end = (end as usize).min(bytes.len());
    let start = (start as usize).min(end);
    if pattern.is_empty() {
        return;
    }
    for chunk in bytes[start..end].chunks_mut(pattern.len()) {
        chunk.copy_from_slice(&pattern[..chunk.len()]);
    }
}

/// Reverses every group of `size` bytes.
#[op2(fast)]
pub(crate) fn op_node_buffer_swap(#[buffer] bytes: &mut [u8], #[smi] size: u8) {
    for group in bytes.chunks_exact_mut(usize::from(size).max(1)) {
        group.reverse();
    }
}

/// Whether the bytes are UTF-8.
#[op2(fast)]
pub(crate) fn op_node_buffer_is_utf8(#[buffer] bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok()
}

/// Whether the bytes are ASCII.
#[op2(fast)]
pub(crate) fn op_node_buffer_is_ascii(#[buffer] bytes: &[u8]) -> bool {
    bytes.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_lenient() {
        let check = |text: &str, expected: &[u8]| assert_eq!(from_base64(text.as_bytes()), expected, "{text}");
        check("", b"");
        check("aGk=", b"hi");
        check("aGk", b"hi");
        check("a G\nk", b"hi");
        check("-_+/", &[0xfb, 0xff, 0xbf]);
        check("=bad", b"");
        check("a", b"");
        check("aGlo*aGlo", b"hihhih");
    }

    #[test]
    fn hex_ends_at_what_is_none() {
        let check = |text: &str, expected: &[u8]| assert_eq!(from_hex(text.as_bytes()), expected, "{text}");
        check("", b"");
        check("0aFF", &[10, 255]);
        check("0a0", &[10]);
        check("0axx0a", &[10]);
        check("+1", b"");
    }
}
