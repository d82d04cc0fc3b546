//! DER (X.690): a reader of tag-length-value, and a writer that nests by value.
//!
//! Lengths are definite and minimal on output; on input the long form is accepted as OpenSSL does. No value is copied.

use crate::crypto::error::{CryptoError, Result};
use rsa::BigUint;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// The constructed context-specific tag `[n]`.
pub(crate) const fn context(n: u8) -> u8 {
    0xa0 | n
}

/// Reads values one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(der: &'a [u8]) -> Self {
        Self { rest: der }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next value.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Tag and content of the next value.
    pub fn any(&mut self) -> Result<(u8, &'a [u8])> {
        let (tag, content, _) = self.raw()?;
        Ok((tag, content))
    }

    /// Tag, content, and the whole encoding of the next value.
    pub fn raw(&mut self) -> Result<(u8, &'a [u8], &'a [u8])> {
        let all = self.rest;
        let (&tag, rest) = all.split_first().ok_or_else(CryptoError::asn1)?;
        let (&first, mut rest) = rest.split_first().ok_or_else(CryptoError::asn1)?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 || rest.len() < count {
                return Err(CryptoError::asn1());
            }
            let (bytes, after) = rest.split_at(count);
            rest = after;
            bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte))
        };
        if rest.len() < length {
            return Err(CryptoError::asn1());
        }
        let (content, after) = rest.split_at(length);
        self.rest = after;
        Ok((tag, content, &all[..all.len() - after.len()]))
    }

    /// The content of the next value, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Result<&'a [u8]> {
        match self.any()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(CryptoError::openssl(
                "068000A8",
                "ASN1",
                "asn1 encoding routines",
                "wrong tag",
            )),
        }
    }

    /// The content of the next value if it has this tag.
    pub fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>> {
        if self.peek() == Some(tag) {
            return self.expect(tag).map(Some);
        }
        Ok(None)
    }

    pub fn sequence(&mut self) -> Result<Reader<'a>> {
        self.expect(SEQUENCE).map(Reader::new)
    }

    /// A non-negative INTEGER.
    pub fn uint(&mut self) -> Result<BigUint> {
        Ok(BigUint::from_bytes_be(self.expect(INTEGER)?))
    }

    /// An INTEGER that fits; larger ones are an error.
    pub fn small(&mut self) -> Result<u32> {
        let bytes = self.expect(INTEGER)?;
        if bytes.len() > 5 {
            return Err(CryptoError::asn1());
        }
        let value = bytes.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
        u32::try_from(value).map_err(|_| CryptoError::asn1())
    }

    /// A BIT STRING of whole bytes.
    pub fn bits(&mut self) -> Result<&'a [u8]> {
        match self.expect(BIT_STRING)?.split_first() {
            Some((0, bytes)) => Ok(bytes),
            _ => Err(CryptoError::asn1()),
        }
    }
}

/// One value.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    if content.len() < 0x80 {
        out.push(content.len() as u8);
    } else {
        let bytes = content.len().to_be_bytes();
        let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        out.push(0x80 | bytes.len() as u8);
        out.extend_from_slice(bytes);
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(SEQUENCE, &parts.concat())
}

pub(crate) fn uint(value: &BigUint) -> Vec<u8> {
    uint_bytes(&value.to_bytes_be())
}

/// An INTEGER of big-endian bytes.
pub(crate) fn uint_bytes(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = &bytes[zeros..];
    match bytes.first() {
        None => tlv(INTEGER, &[0]),
        Some(first) if first & 0x80 != 0 => tlv(INTEGER, &[&[0], bytes].concat()),
        Some(_) => tlv(INTEGER, bytes),
    }
}

pub(crate) fn small(value: u32) -> Vec<u8> {
    uint_bytes(&value.to_be_bytes())
}

pub(crate) fn octets(content: &[u8]) -> Vec<u8> {
    tlv(OCTET_STRING, content)
}

pub(crate) fn bits(content: &[u8]) -> Vec<u8> {
    tlv(BIT_STRING, &[&[0], content].concat())
}

pub(crate) fn null() -> Vec<u8> {
    vec![NULL, 0]
}

/// An OBJECT IDENTIFIER whose content is already encoded.
pub(crate) fn oid(content: &[u8]) -> Vec<u8> {
    tlv(OID, content)
}

/// The dotted form of an OBJECT IDENTIFIER's content.
pub(crate) fn dotted(content: &[u8]) -> String {
    let mut arcs: Vec<u64> = Vec::new();
    let mut value = 0_u64;
    for byte in content {
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if arcs.is_empty() {
                let first = (value / 40).min(2);
                arcs.push(first);
                value -= first * 40;
            }
            arcs.push(value);
            value = 0;
        }
    }
    let arcs: Vec<String> = arcs.iter().map(u64::to_string).collect();
    arcs.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive() {
        let long = vec![7_u8; 300];
        let der = sequence(&[small(65537), octets(&long), bits(&[1, 2]), uint_bytes(&[0x80])]);
        let mut outer = Reader::new(&der);
        let mut inner = outer.sequence().unwrap();
        assert!(outer.is_empty());
        assert_eq!(inner.small().unwrap(), 65537);
        assert_eq!(inner.expect(OCTET_STRING).unwrap(), long);
        assert_eq!(inner.bits().unwrap(), [1, 2]);
        assert_eq!(inner.uint().unwrap(), BigUint::from(128_u32));
        assert!(inner.is_empty());
    }

    #[test]
    fn broken_input_is_refused() {
        for bad in [
            &[][..],
            &[0x30],
            &[0x30, 0x81],
            &[0x30, 5, 0],
            &[0x30, 0x85, 0, 0, 0, 0, 1, 0],
        ] {
            assert!(Reader::new(bad).any().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn identifiers_print() {
        assert_eq!(
            dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]),
            "1.2.840.113549.1.1.1"
        );
        assert_eq!(dotted(&[0x55, 0x1d, 0x11]), "2.5.29.17");
    }
}
