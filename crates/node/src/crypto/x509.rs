//! X.509 certificates (RFC 5280) as Node shows them, and signed public keys (SPKAC).
//!
//! A certificate is read leniently: what cannot be understood inside is left out or shown escaped, as OpenSSL does it; only a
//! broken frame is an error. Nothing here decides about trust beyond one signature.

use crate::crypto::asn1::{self, Reader, context};
use crate::crypto::digest::HashKind;
use crate::crypto::error::{CryptoError, Result};
use crate::crypto::key::{Asymmetric, ec, from_spki};

/// A certificate, read.
pub(crate) struct Certificate {
    pub der: Vec<u8>,
    /// To-be-signed part: the bytes that the signature covers.
    signed: Vec<u8>,
    signature_algorithm: Vec<u8>,
    signature: Vec<u8>,
    pub serial: String,
    pub subject: Name,
    pub issuer: Name,
    pub valid_from: String,
    pub valid_to: String,
    pub spki: Vec<u8>,
    pub alternative: Vec<General>,
    pub has_alternative: bool,
    pub access: Vec<(String, General)>,
    /// Dotted purposes.
    pub purposes: Option<Vec<String>>,
    pub authority: bool,
    /// keyUsage's bits, where there is the extension.
    usage: Option<u16>,
    authority_key: Option<Vec<u8>>,
    subject_key: Option<Vec<u8>>,
}

/// A distinguished name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Name {
    raw: Vec<u8>,
    /// Attribute's short name and value, in order; attributes of one set share the number.
    pub parts: Vec<(usize, String, String)>,
}

/// An alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum General {
    Email(Vec<u8>),
    Dns(Vec<u8>),
    Uri(Vec<u8>),
    Ip(Vec<u8>),
    Directory(Name),
    Registered(String),
    /// Type and text; `None` for what is not understood.
    Other(String, Option<Vec<u8>>),
    Unsupported(&'static str),
}

fn attribute(oid: &str) -> &str {
    match oid {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.13" => "description",
        "2.5.4.15" => "businessCategory",
        "2.5.4.17" => "postalCode",
        "2.5.4.41" => "name",
        "2.5.4.42" => "GN",
        "2.5.4.43" => "initials",
        "2.5.4.46" => "dnQualifier",
        "2.5.4.97" => "organizationIdentifier",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        "1.3.6.1.4.1.311.60.2.1.1" => "jurisdictionL",
        "1.3.6.1.4.1.311.60.2.1.2" => "jurisdictionST",
        "1.3.6.1.4.1.311.60.2.1.3" => "jurisdictionC",
        other => other,
    }
}

/// The text of a directory string.
fn text(tag: u8, content: &[u8]) -> String {
    match tag {
        // BMPString
        0x1e => {
            let units: Vec<u16> = content
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect();
            String::from_utf16_lossy(&units)
        }
        // UTF8String
        0x0c => String::from_utf8_lossy(content).into_owned(),
        _ => content.iter().map(|byte| char::from(*byte)).collect(),
    }
}

fn name(reader: &mut Reader<'_>) -> Result<Name> {
    let (tag, content, raw) = reader.raw()?;
    if tag != asn1::SEQUENCE {
        return Err(CryptoError::asn1());
    }
    let mut parts = Vec::new();
    let mut sets = Reader::new(content);
    let mut number = 0;
    while !sets.is_empty() {
        let (_, set) = sets.any()?;
        let mut set = Reader::new(set);
        while !set.is_empty() {
            let mut pair = set.sequence()?;
            let oid = asn1::dotted(pair.expect(asn1::OID)?);
            let (tag, value) = pair.any()?;
            parts.push((number, attribute(&oid).to_owned(), text(tag, value)));
        }
        number += 1;
    }
    Ok(Name {
        raw: raw.to_vec(),
        parts,
    })
}

fn general(reader: &mut Reader<'_>) -> Result<General> {
    let (tag, content) = reader.any()?;
    Ok(match tag {
        0x81 => General::Email(content.to_vec()),
        0x82 => General::Dns(content.to_vec()),
        0x86 => General::Uri(content.to_vec()),
        0x87 => General::Ip(content.to_vec()),
        0x88 => General::Registered(asn1::dotted(content)),
        0xa4 => General::Directory(name(&mut Reader::new(content))?),
        0xa0 => {
            let mut inner = Reader::new(content);
            let kind = asn1::dotted(inner.expect(asn1::OID)?);
            let value = inner
                .any()
                .ok()
                .and_then(|(_, wrapped)| Reader::new(wrapped).any().ok());
            // UTF8String and IA5String are shown, the rest is not.
            let value = value
                .filter(|(tag, _)| matches!(tag, 0x0c | 0x16))
                .map(|(_, content)| content.to_vec());
            General::Other(kind, value)
        }
        0xa3 => General::Unsupported("X400Name"),
        0xa5 => General::Unsupported("EdiPartyName"),
        _ => General::Unsupported("unknown"),
    })
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// UTCTime or GeneralizedTime, printed.
fn time(reader: &mut Reader<'_>) -> Result<String> {
    let (tag, content) = reader.any()?;
    let text = std::str::from_utf8(content).map_err(|_| CryptoError::asn1())?;
    let digits = text.trim_end_matches('Z');
    let (year, rest) = if tag == 0x17 {
        let (year, rest) = digits.split_at_checked(2).ok_or_else(CryptoError::asn1)?;
        let year: u32 = year.parse().map_err(|_| CryptoError::asn1())?;
        (if year < 50 { 2000 + year } else { 1900 + year }, rest)
    } else {
        let (year, rest) = digits.split_at_checked(4).ok_or_else(CryptoError::asn1)?;
        (year.parse().map_err(|_| CryptoError::asn1())?, rest)
    };
    let field = |at: usize| rest.get(at..at + 2).and_then(|two| two.parse::<usize>().ok());
    let (Some(month), Some(day), Some(hour), Some(minute)) = (field(0), field(2), field(4), field(6)) else {
        return Err(CryptoError::asn1());
    };
    let second = field(8).unwrap_or(0);
    let month = month
        .checked_sub(1)
        .and_then(|at| MONTHS.get(at))
        .ok_or_else(CryptoError::asn1)?;
    Ok(format!("{month} {day:>2} {hour:02}:{minute:02}:{second:02} {year} GMT"))
}

impl Certificate {
    pub fn read(der: &[u8]) -> Result<Self> {
        let mut outer = Reader::new(der);
        let (tag, content, whole) = outer.raw()?;
        if tag != asn1::SEQUENCE {
            return Err(CryptoError::openssl(
                "0680008E",
                "ASN1",
                "asn1 encoding routines",
                "wrong tag",
            ));
        }
        let mut document = Reader::new(content);
        let (_, body, signed) = document.raw()?;
        let (_, algorithm) = document.any()?;
        let signature = document.bits()?;
        let mut body = Reader::new(body);
        body.optional(context(0))?;
        let serial = body.expect(asn1::INTEGER)?;
        let zeros = serial.iter().take_while(|byte| **byte == 0).count();
        let mut digits: String = serial[zeros..].iter().map(|byte| format!("{byte:02X}")).collect();
        if digits.is_empty() {
            digits.push_str("00");
        }
        body.any()?;
        let issuer = name(&mut body)?;
        let mut validity = body.sequence()?;
        let (valid_from, valid_to) = (time(&mut validity)?, time(&mut validity)?);
        let subject = name(&mut body)?;
        let (_, _, spki) = body.raw()?;
        let mut certificate = Self {
            der: whole.to_vec(),
            signed: signed.to_vec(),
            signature_algorithm: Reader::new(algorithm).expect(asn1::OID)?.to_vec(),
            signature: signature.to_vec(),
            serial: digits,
            subject,
            issuer,
            valid_from,
            valid_to,
            spki: spki.to_vec(),
            alternative: Vec::new(),
            has_alternative: false,
            access: Vec::new(),
            purposes: None,
            authority: false,
            usage: None,
            authority_key: None,
            subject_key: None,
        };
        while !body.is_empty() {
            let (tag, content) = body.any()?;
            if tag == context(3) {
                let mut list = Reader::new(content).sequence()?;
                while !list.is_empty() {
                    certificate.extension(&mut list.sequence()?)?;
                }
            }
        }
        Ok(certificate)
    }

    fn extension(&mut self, extension: &mut Reader<'_>) -> Result<()> {
        let oid = asn1::dotted(extension.expect(asn1::OID)?);
        extension.optional(asn1::BOOLEAN)?;
        let mut value = Reader::new(extension.expect(asn1::OCTET_STRING)?);
        match oid.as_str() {
            "2.5.29.17" => {
                self.has_alternative = true;
                let mut names = value.sequence()?;
                while !names.is_empty() {
                    self.alternative.push(general(&mut names)?);
                }
            }
            "1.3.6.1.5.5.7.1.1" => {
                let mut list = value.sequence()?;
                while !list.is_empty() {
                    let mut access = list.sequence()?;
                    let method = asn1::dotted(access.expect(asn1::OID)?);
                    let method = match method.as_str() {
                        "1.3.6.1.5.5.7.48.1" => "OCSP".to_owned(),
                        "1.3.6.1.5.5.7.48.2" => "CA Issuers".to_owned(),
                        _ => method,
                    };
                    self.access.push((method, general(&mut access)?));
                }
            }
            "2.5.29.37" => {
                let mut list = value.sequence()?;
                let mut purposes = Vec::new();
                while !list.is_empty() {
                    purposes.push(asn1::dotted(list.expect(asn1::OID)?));
                }
                self.purposes = Some(purposes);
            }
            "2.5.29.19" => {
                let mut constraints = value.sequence()?;
                let flag = constraints.optional(asn1::BOOLEAN)?;
                self.authority = flag.is_some_and(|content| content != [0]);
            }
            "2.5.29.15" => {
                let bits = value.expect(asn1::BIT_STRING)?;
                let first = bits.get(1).copied().unwrap_or(0);
                let second = bits.get(2).copied().unwrap_or(0);
                self.usage = Some(u16::from_be_bytes([first, second]));
            }
            "2.5.29.35" => self.authority_key = value.sequence()?.optional(0x80)?.map(<[u8]>::to_vec),
            "2.5.29.14" => self.subject_key = Some(value.expect(asn1::OCTET_STRING)?.to_vec()),
            _ => {}
        }
        Ok(())
    }

    pub fn key(&self) -> Result<Asymmetric> {
        from_spki(&self.spki).map_err(|_| CryptoError::openssl("1E08010C", "", "DECODER routines", "decode error"))
    }

    /// True if `issuer` may have issued this certificate, by names, key identifiers and key usage; no signature is checked.
    pub fn issued_by(&self, issuer: &Self) -> bool {
        let identifiers = match (&self.authority_key, &issuer.subject_key) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        // keyCertSign
        let may_sign = issuer.usage.is_none_or(|usage| usage & 0x0400 != 0);
        self.issuer.raw == issuer.subject.raw && identifiers && may_sign
    }

    /// True if the key made this certificate's signature.
    pub fn signed_with(&self, key: &Asymmetric) -> bool {
        verify(key, &self.signature_algorithm, &self.signed, &self.signature)
    }
}

fn verify(key: &Asymmetric, algorithm: &[u8], data: &[u8], signature: &[u8]) -> bool {
    let dotted = asn1::dotted(algorithm);
    let hash = match dotted.as_str() {
        "1.2.840.113549.1.1.4" => "md5",
        "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" => "sha1",
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" | "2.16.840.1.101.3.4.3.1" => "sha224",
        "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" | "2.16.840.1.101.3.4.3.2" => "sha256",
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => "sha384",
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => "sha512",
        "1.3.101.112" | "1.3.101.113" => "",
        _ => return false,
    };
    match key {
        Asymmetric::Okp(key) if hash.is_empty() => key.verify(data, signature),
        _ if hash.is_empty() => false,
        key => {
            let Some(hash) = HashKind::find(hash) else {
                return false;
            };
            let digest = hash.digest(&[data]);
            match key {
                Asymmetric::Rsa(key) => {
                    dotted.starts_with("1.2.840.113549") && key.verify_pkcs1(hash, &digest, signature)
                }
                Asymmetric::Ec(key) => ec::signature_from_der(signature, key.curve.size())
                    .is_some_and(|numbers| key.verify(&digest, &numbers)),
                Asymmetric::Dsa(key) => {
                    ec::signature_from_der(signature, key.size()).is_some_and(|numbers| key.verify(&digest, &numbers))
                }
                _ => false,
            }
        }
    }
}

/// A signed public key and challenge.
pub(crate) struct Spkac {
    pub spki: Vec<u8>,
    pub challenge: Vec<u8>,
    valid: bool,
}

impl Spkac {
    /// `None` if the DER is none.
    pub fn read(der: &[u8]) -> Option<Self> {
        let mut document = Reader::new(der).sequence().ok()?;
        let (_, body, signed) = document.raw().ok()?;
        let algorithm = document.sequence().ok()?.expect(asn1::OID).ok()?;
        let signature = document.bits().ok()?;
        let mut body = Reader::new(body);
        let (_, _, spki) = body.raw().ok()?;
        let (_, challenge) = body.any().ok()?;
        let key = from_spki(spki).ok()?;
        Some(Self {
            spki: spki.to_vec(),
            challenge: challenge.to_vec(),
            valid: verify(&key, algorithm, signed, signature),
        })
    }

    /// True if the key inside signed it.
    pub fn is_valid(&self) -> bool {
        self.valid
    }
}
