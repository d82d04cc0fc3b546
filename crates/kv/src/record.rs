//! What stands in the store for a key: a versioned header, then the value.
//!
//! ```text
//! 0   version      u8      1
//! 1   flags        u8      bit 0: expiration, bit 1: metadata; others must be zero in version 1
//! 2   length       u32 LE  of the whole header, this included; the value starts here
//! 6   written      u64 LE  milliseconds since the Unix epoch, by the clock of the node that took the write
//! 14  expiration   u64 LE  seconds since the Unix epoch, with bit 0
//! ..  metadata     u16 LE length, then UTF-8 JSON, with bit 1
//! ..  (what a later version adds, such as dots and a causal context; `length` says where the value starts)
//! ..  value
//! ```
//!
//! The index entry of a key has the same header, then the value's length as u64 LE. An expiry entry is one version byte.
//! A version this release does not know is refused, never guessed at.

use crate::{KvError, Operation};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The newest record this release reads, and the one it writes.
pub const RECORD_VERSION: u8 = 1;
/// The value of an expiry entry.
pub(crate) const EXPIRY_VALUE: &[u8] = &[RECORD_VERSION];

const HAS_EXPIRATION: u8 = 1;
const HAS_METADATA: u8 = 1 << 1;
const KNOWN_FLAGS: u8 = HAS_EXPIRATION | HAS_METADATA;
const FIXED_BYTES: usize = 14;

/// The header of a record and of its index entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) written_ms: u64,
    pub(crate) expiration: Option<u64>,
    pub(crate) metadata: Option<String>,
}

/// Why bytes are no header; the operation is added by who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Newer(u8),
    Damaged(&'static str),
}

impl Unreadable {
    pub(crate) fn during(self, operation: Operation) -> KvError {
        match self {
            Self::Newer(found) => KvError::NewerRecord {
                operation,
                found,
                supported: RECORD_VERSION,
            },
            Self::Damaged(detail) => KvError::Damaged { operation, detail },
        }
    }
}

impl Header {
    fn encode(&self, room: usize) -> BytesMut {
        let metadata = self.metadata.as_deref().map(str::as_bytes);
        let length = FIXED_BYTES + self.expiration.map_or(0, |_| 8) + metadata.map_or(0, |metadata| 2 + metadata.len());
        let mut bytes = BytesMut::with_capacity(length + room);
        bytes.put_u8(RECORD_VERSION);
        bytes.put_u8(
            if self.expiration.is_some() { HAS_EXPIRATION } else { 0 }
                | if metadata.is_some() { HAS_METADATA } else { 0 },
        );
        // At most 14 + 8 + 2 + METADATA_BYTES_MAX.
        bytes.put_u32_le(length as u32);
        bytes.put_u64_le(self.written_ms);
        if let Some(expiration) = self.expiration {
            bytes.put_u64_le(expiration);
        }
        if let Some(metadata) = metadata {
            // Checked at the door: METADATA_BYTES_MAX is 1,024.
            bytes.put_u16_le(metadata.len() as u16);
            bytes.put_slice(metadata);
        }
        bytes
    }

    /// The record: header and value.
    pub(crate) fn record(&self, value: &[u8]) -> Bytes {
        let mut bytes = self.encode(value.len());
        bytes.put_slice(value);
        bytes.freeze()
    }

    /// The index entry: header and the value's length.
    pub(crate) fn index(&self, value_bytes: usize) -> Bytes {
        let mut bytes = self.encode(8);
        bytes.put_u64_le(value_bytes as u64);
        bytes.freeze()
    }

    /// The header and what follows it.
    pub(crate) fn decode(mut bytes: Bytes) -> Result<(Self, Bytes), Unreadable> {
        match bytes.first() {
            None => return Err(Unreadable::Damaged("it is empty")),
            Some(&RECORD_VERSION) => {}
            Some(0) => return Err(Unreadable::Damaged("its version is 0")),
            Some(&newer) => return Err(Unreadable::Newer(newer)),
        }
        if bytes.len() < FIXED_BYTES {
            return Err(Unreadable::Damaged("it is shorter than a header"));
        }
        let flags = bytes[1];
        if flags & !KNOWN_FLAGS != 0 {
            return Err(Unreadable::Damaged("it has flags that its version does not know"));
        }
        let length = (&bytes[2..6]).get_u32_le() as usize;
        if length < FIXED_BYTES || length > bytes.len() {
            return Err(Unreadable::Damaged("its header is longer than itself"));
        }
        let rest = bytes.split_off(length);
        bytes.advance(6);
        let written_ms = bytes.get_u64_le();
        let truncated = Unreadable::Damaged("its header is cut off");
        let expiration = match flags & HAS_EXPIRATION {
            0 => None,
            _ if bytes.len() < 8 => return Err(truncated),
            _ => Some(bytes.get_u64_le()),
        };
        let metadata = match flags & HAS_METADATA {
            0 => None,
            _ if bytes.len() < 2 => return Err(truncated),
            _ => {
                let length = usize::from(bytes.get_u16_le());
                let text = bytes.get(..length).ok_or(truncated)?;
                let text = std::str::from_utf8(text).map_err(|_| Unreadable::Damaged("its metadata is no text"))?;
                Some(text.to_owned())
            }
        };
        Ok((
            Self {
                written_ms,
                expiration,
                metadata,
            },
            rest,
        ))
    }

    /// Whether it no longer exists for readers at `now` (seconds since the Unix epoch).
    #[cfg(test)]
    pub(crate) fn expired(&self, now: u64) -> bool {
        self.expiration.is_some_and(|expiration| expiration <= now)
    }
}

/// Whether a record or index entry is expired, reading no more than needed; what cannot be read counts as alive, so that
/// the reader meets its error.
pub(crate) fn is_expired(bytes: &[u8], now: u64) -> bool {
    let expires = bytes.first() == Some(&RECORD_VERSION) && bytes.get(1).is_some_and(|f| f & HAS_EXPIRATION != 0);
    let expiration = bytes
        .get(FIXED_BYTES..FIXED_BYTES + 8)
        .and_then(|bytes| bytes.try_into().ok());
    expires && expiration.is_some_and(|bytes| u64::from_le_bytes(bytes) <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        fn check(expiration: Option<u64>, metadata: Option<&str>, value: &[u8]) {
            let header = Header {
                written_ms: 5,
                expiration,
                metadata: metadata.map(str::to_owned),
            };
            let record = header.record(value);
            assert_eq!(
                Header::decode(record.clone()),
                Ok((header.clone(), Bytes::copy_from_slice(value)))
            );
            let (from_index, length) = Header::decode(header.index(value.len())).unwrap();
            assert_eq!(
                (from_index, &length[..]),
                (header.clone(), &(value.len() as u64).to_le_bytes()[..])
            );
            for now in [0, 9, 10, 11, u64::MAX] {
                assert_eq!(is_expired(&record, now), header.expired(now), "{header:?} at {now}");
            }
            // Every cut and every flipped bit gives an error or some header, never a panic.
            for cut in 0..record.len() {
                let _ = Header::decode(record.slice(..cut));
                for bit in 0..8 {
                    let mut flipped = record.to_vec();
                    flipped[cut] ^= 1 << bit;
                    let _ = is_expired(&flipped, 10);
                    let _ = Header::decode(flipped.into());
                }
            }
        }
        check(None, None, b"");
        check(None, None, b"value");
        check(Some(10), None, b"value");
        check(None, Some("{}"), b"value");
        check(Some(u64::MAX), Some("\"\u{e9}\""), b"value");
        check(Some(10), Some(""), b"");
    }

    #[test]
    fn the_layout_stays() {
        let header = Header {
            written_ms: 0x0102,
            expiration: Some(0x0304),
            metadata: Some("1".to_owned()),
        };
        let expected = b"\x01\x03\x19\0\0\0\x02\x01\0\0\0\0\0\0\x04\x03\0\0\0\0\0\0\x01\x001v";
        assert_eq!(&header.record(b"v")[..], expected);
    }

    #[test]
    fn unknown_and_damaged_records_are_told_apart() {
        fn check(bytes: &'static [u8], expected: Unreadable) {
            assert_eq!(Header::decode(Bytes::from_static(bytes)), Err(expected));
        }
        check(b"", Unreadable::Damaged("it is empty"));
        check(b"\x00", Unreadable::Damaged("its version is 0"));
        check(b"\x02", Unreadable::Newer(2));
        check(b"\xff\x00\x00", Unreadable::Newer(255));
        check(b"\x01\x00", Unreadable::Damaged("it is shorter than a header"));
        check(
            b"\x01\x04\x0e\0\0\0\0\0\0\0\0\0\0\0",
            Unreadable::Damaged("it has flags that its version does not know"),
        );
        check(
            b"\x01\x00\x0f\0\0\0\0\0\0\0\0\0\0\0",
            Unreadable::Damaged("its header is longer than itself"),
        );
        check(
            b"\x01\x01\x0e\0\0\0\0\0\0\0\0\0\0\0",
            Unreadable::Damaged("its header is cut off"),
        );
        check(
            b"\x01\x02\x10\0\0\0\0\0\0\0\0\0\0\0\x05\0",
            Unreadable::Damaged("its header is cut off"),
        );
    }
}
