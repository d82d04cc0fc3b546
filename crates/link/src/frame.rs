//! Frames: the unit in which a link's bytes are cut.
//!
//! ```text
//!  0        4      5       6       8                16
//!  | length | kind | flags | zero  | channel        | payload (length bytes)
//! ```
//!
//! Integers are little-endian: both ends are the same build on the same machine. A channel's highest bit says which side
//! opened it. What a frame's payload is, its kind says; see [`Kind`].

use crate::LinkError;

/// Bytes of a frame's header.
pub(crate) const HEADER_BYTES: usize = 16;
/// The most bytes of a frame's payload. What is longer travels in several.
pub const FRAME_BYTES_MAX: usize = 128 * 1024;
/// The same for a notice, which always is one frame.
pub const NOTICE_FRAME_BYTES_MAX: usize = 1024 * 1024;
/// The most bytes of the first piece of a call or an answer in pieces: it is held before anything is granted.
pub(crate) const FIRST_BYTES_MAX: usize = 8 * 1024;
/// The most bytes of a stream that one frame takes, so that others get their turn.
pub(crate) const QUANTUM_BYTES: usize = 32 * 1024;
/// A body's turn ends when it has sent this much. Most answers leave in one.
pub(crate) const TURN_BYTES: usize = 128 * 1024;
/// Set in the ids that the child gives out.
pub(crate) const CHILD_BIT: u64 = 1 << 63;

/// What a frame is. The first five go from whoever opened the channel or is asked on it; the rest belong to streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The handshake: the first frame of each side.
    Hello = 0,
    /// A message that wants an answer. Opens its channel.
    Call = 1,
    /// The answer. Closes its channel.
    Answer = 2,
    /// The caller's event is cancelled; with [`DROPPED`], nobody waits for the answer.
    Cancel = 3,
    /// A message that wants no answer; its channel is 0.
    Notice = 4,
    /// Bytes of a stream, or a message of a socket or an RPC session.
    Data = 5,
    /// The end of what the sender of [`Kind::Data`] has to say.
    End = 6,
    /// The receiver of [`Kind::Data`] has room for more: four bytes, how many.
    Credit = 7,
    /// The receiver of [`Kind::Data`] wants no more.
    Stop = 8,
    /// Why the sender closes the link: text, for the other side's log.
    Goodbye = 9,
    /// As [`Kind::Data`] of a body, from the child: its bytes lie in the shared segment. Four bytes say in which slot, four how many.
    Shared = 10,
}

/// More frames of the same message follow.
pub(crate) const MORE: u8 = 1;
/// The first frame of a message that takes several: its payload begins with the message's length (four bytes).
pub(crate) const FIRST: u8 = 2;
/// With [`Kind::Cancel`]: nobody waits for the answer.
pub(crate) const DROPPED: u8 = 4;
/// With [`Kind::Data`]: trailers.
pub(crate) const TRAILERS: u8 = 8;
/// With [`Kind::Answer`]: there is none, the asked side gave up.
pub(crate) const NONE: u8 = 16;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub length: usize,
    pub kind: Kind,
    pub flags: u8,
    pub channel: u64,
}

impl Header {
    pub(crate) fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&(self.length as u32).to_le_bytes());
        bytes[4] = self.kind as u8;
        bytes[5] = self.flags;
        bytes[8..].copy_from_slice(&self.channel.to_le_bytes());
        bytes
    }

    /// The header at the start of `bytes`; `None` while there are too few.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, LinkError> {
        let Some(
            &[
                l0,
                l1,
                l2,
                l3,
                kind,
                flags,
                zero_a,
                zero_b,
                c0,
                c1,
                c2,
                c3,
                c4,
                c5,
                c6,
                c7,
            ],
        ) = bytes.first_chunk::<HEADER_BYTES>()
        else {
            return Ok(None);
        };
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let kind =
            Kind::from_byte(kind).ok_or_else(|| LinkError::violation(format!("unknown kind of frame {kind}")))?;
        let limit = match kind {
            Kind::Notice => NOTICE_FRAME_BYTES_MAX,
            Kind::Call | Kind::Answer if flags & FIRST != 0 => FIRST_BYTES_MAX,
            _ => FRAME_BYTES_MAX,
        };
        if length > limit {
            return Err(LinkError::violation(format!(
                "a frame of {length} bytes, the limit is {limit}"
            )));
        }
        if zero_a != 0 || zero_b != 0 || flags & !(MORE | FIRST | DROPPED | TRAILERS | NONE) != 0 {
            return Err(LinkError::violation(format!("a frame with unknown flags {flags:#x}")));
        }
        let channel = u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]);
        Ok(Some(Self {
            length,
            kind,
            flags,
            channel,
        }))
    }
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Hello,
            1 => Self::Call,
            2 => Self::Answer,
            3 => Self::Cancel,
            4 => Self::Notice,
            5 => Self::Data,
            6 => Self::End,
            7 => Self::Credit,
            8 => Self::Stop,
            9 => Self::Goodbye,
            10 => Self::Shared,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive() {
        for kind in 0..=10 {
            let header = Header {
                length: FIRST_BYTES_MAX,
                kind: Kind::from_byte(kind).unwrap(),
                flags: MORE | FIRST,
                channel: CHILD_BIT | 7,
            };
            assert_eq!(Header::parse(&header.bytes()), Ok(Some(header)));
            assert_eq!(Header::parse(&header.bytes()[..15]), Ok(None));
        }
    }

    #[test]
    fn what_is_no_header_is_named() {
        let check = |at: usize, value: u8, expected: &str| {
            let mut bytes = Header {
                length: 1,
                kind: Kind::Call,
                flags: 0,
                channel: 1,
            }
            .bytes();
            bytes[at] = value;
            let error = Header::parse(&bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(3, 1, "a frame of 16777217 bytes");
        check(2, 2, "the limit is 131072");
        check(4, 11, "unknown kind of frame 11");
        check(5, 0x80, "unknown flags");
        check(6, 1, "unknown flags");
    }
}
