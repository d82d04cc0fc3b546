//! Objects in parts, as control planes and PoPs send them.

use crate::pop::ObjectPart;
use bytes::Bytes;

/// The most bytes of a part of an object.
pub const PART_BYTES_MAX: usize = 256 << 10;

/// An object in parts, as both planes send it.
pub fn parts(bytes: Bytes) -> impl Iterator<Item = ObjectPart> {
    let size = bytes.len() as u64;
    let count = bytes.len().div_ceil(PART_BYTES_MAX).max(1);
    (0..count).map(move |at| {
        let end = bytes.len().min((at + 1) * PART_BYTES_MAX);
        ObjectPart {
            size: if at == 0 { size } else { 0 },
            bytes: bytes.slice(at * PART_BYTES_MAX..end),
        }
    })
}
