//! Where the next page of a list starts: a version byte and the last key looked at, in URL-safe base64.
//!
//! It names a key, not a position, so keys written or deleted in between shift nothing. It holds no scope: the namespace that
//! reads it adds its own, so a forged cursor reaches nothing else.

use crate::limits::KEY_BYTES_MAX;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const VERSION: u8 = 1;

pub(crate) fn encode(key: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(1 + key.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(key);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `None` for what this release never gave out.
pub(crate) fn decode(cursor: &str) -> Option<Vec<u8>> {
    // Base64 of more than a key: not worth decoding.
    if cursor.len() > (KEY_BYTES_MAX + 1) * 4 / 3 + 4 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    match bytes.split_first() {
        Some((&VERSION, key)) if key.len() <= KEY_BYTES_MAX => Some(key.to_vec()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is() {
        for key in [&b""[..], b"a", "\u{e9}\u{1f600}".as_bytes(), &[b'x'; 512]] {
            assert_eq!(decode(&encode(key)).as_deref(), Some(key));
        }
        for cursor in [
            "",
            "!!!",
            "zzzz",
            "AA",
            "\u{e9}",
            &"A".repeat(4000),
            &encode(&[b'x'; 513]),
        ] {
            assert_eq!(decode(cursor), None, "{cursor}");
        }
    }
}
