//! Request paths and the names of files: one decoding, one canonical encoding.
//!
//! The input is the path of a parsed URL, so dot segments (also as `%2e`) and backslashes are gone already. Decoding can
//! bring them back (`..%2f`): such a path names no file, because it is only ever looked up in the manifest.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;

/// What `encodeURIComponent` escapes (ECMA-262 section 19.2.6.5).
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The name of the file that `path` asks for: percent-decoded once, segment by segment (one that is not valid UTF-8 or has
/// a broken escape stays as it is), slashes collapsed.
pub fn decode_path(path: &str) -> Cow<'_, str> {
    if !path.contains('%') && !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut name = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            name.push('/');
        }
        match decode_segment(segment) {
            Some(decoded) => name.push_str(&decoded),
            None => name.push_str(segment),
        }
    }
    Cow::Owned(collapse_slashes(&name).into_owned())
}

fn decode_segment(segment: &str) -> Option<Cow<'_, str>> {
    let bytes = segment.as_bytes();
    let broken = bytes.iter().enumerate().any(|(at, byte)| {
        *byte == b'%' && !matches!(bytes.get(at + 1..at + 3), Some(hex) if hex.iter().all(u8::is_ascii_hexdigit))
    });
    if broken {
        return None;
    }
    percent_decode_str(segment).decode_utf8().ok()
}

/// The one spelling of `name` in URLs: each segment as `encodeURIComponent` writes it.
pub fn encode_path(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for (index, segment) in name.split('/').enumerate() {
        if index > 0 {
            path.push('/');
        }
        path.extend(utf8_percent_encode(segment, COMPONENT));
    }
    path
}

/// `path` with each run of slashes as one.
pub(crate) fn collapse_slashes(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !out.ends_with('/') {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Could `name` be read as a way out of a directory, or cut short, by a file system? No file of a manifest has such a name.
pub(crate) fn is_suspicious(name: &str) -> bool {
    name.contains('\0') || name.split(['/', '\\']).any(|segment| matches!(segment, "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        let check = |path: &str, expected: &str| assert_eq!(decode_path(path), expected, "{path}");
        check("/a/b.css", "/a/b.css");
        check("/%63ontact", "/contact");
        check("/a//b///c", "/a/b/c");
        check("/a%2Fb", "/a/b");
        check("/a%2F%2Fb", "/a/b");
        check("/caf%C3%A9", "/café");
        check("/%255Bx%255D", "/%5Bx%5D");
        check("/100%", "/100%");
        check("/%zz/%41", "/%zz/A");
        check("/%ff", "/%ff");
        check("/..%2fetc", "/../etc");
        check("/%5c..%5c", "/\\..\\");
        check("/a+b", "/a+b");
    }

    #[test]
    fn encodes() {
        let check = |name: &str, expected: &str| assert_eq!(encode_path(name), expected, "{name}");
        check("/a/b.css", "/a/b.css");
        check("/[slug]", "/%5Bslug%5D");
        check("/café", "/caf%C3%A9");
        check("/a b?c#d", "/a%20b%3Fc%23d");
        check("/%5Bx", "/%255Bx");
        check("/@scope/x+y", "/%40scope/x%2By");
        check("/-_.!~*'()", "/-_.!~*'()");
    }

    #[test]
    fn knows_suspicious_names() {
        let check = |name: &str, expected: bool| assert_eq!(is_suspicious(name), expected, "{name}");
        check("/a/b", false);
        check("/..a/b..", false);
        check("/...", false);
        check("/../a", true);
        check("/a/..", true);
        check("/./a", true);
        check("/..\\a", true);
        check("/a\\b", false);
        check("/a\0", true);
    }
}
