//! Who control plane and PoPs are to each other: names, certificates, and when one is believed.
//!
//! A node is known by the name in its certificate, `spiffe://atoll/control` or `spiffe://atoll/pop/NAME`, and by nothing
//! that it says. Certificates live a day and are renewed at half their life. The same name stands as a DNS name in the
//! certificate ([`PeerName::dns`]), which is what the TLS libraries compare; the address that a node was reached at plays no
//! part.
//!
//! [`trust`] verifies certificates also when a clock has jumped.

pub mod accept;
pub mod own;
pub mod token;
pub mod trust;

pub use accept::{Caller, Connection, accept};
pub use own::OwnCertificate;
pub use token::{JoinToken, JoinTokenError};
pub use trust::{GRACE_MS, JoinTrust, Trust};

use std::fmt;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

/// How long a node's certificate lives, milliseconds: a day.
pub const CERTIFICATE_LIFE_MS: u64 = 24 * 60 * 60 * 1000;
/// The longest name of a PoP, bytes: it is a label of a DNS name.
pub const POP_NAME_BYTES_MAX: usize = 63;
/// The most bytes of a serial number: RFC 5280 allows no more than 20.
const SERIAL_BYTES: usize = 16;

const CONTROL_URI: &str = "spiffe://atoll/control";
const POP_URI: &str = "spiffe://atoll/pop/";
const CONTROL_DNS: &str = "control.atoll.internal";
const POP_DNS: &str = ".pop.atoll.internal";

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerName {
    /// A control plane.
    Control,
    /// A PoP, by its name.
    Pop(String),
}

/// Is it a name of a PoP: 1 to 63 of `a-z 0-9 -`, with no `-` at its ends?
pub fn check_pop_name(name: &str) -> Result<(), PeerError> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edges = name.starts_with('-') || name.ends_with('-');
    if name.is_empty() || name.len() > POP_NAME_BYTES_MAX || edges || !name.bytes().all(legal) {
        return Err(PeerError::Name(name.chars().take(100).collect()));
    }
    Ok(())
}

impl PeerName {
    /// The name as the certificate's URI has it.
    pub fn uri(&self) -> String {
        match self {
            Self::Control => CONTROL_URI.to_owned(),
            Self::Pop(name) => format!("{POP_URI}{name}"),
        }
    }

    /// The name as a DNS name, which no resolver knows.
    pub fn dns(&self) -> String {
        match self {
            Self::Control => CONTROL_DNS.to_owned(),
            Self::Pop(name) => format!("{name}{POP_DNS}"),
        }
    }

    fn from_uri(uri: &str) -> Option<Self> {
        if uri == CONTROL_URI {
            return Some(Self::Control);
        }
        let name = uri.strip_prefix(POP_URI)?;
        check_pop_name(name).ok()?;
        Some(Self::Pop(name.to_owned()))
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("the control plane"),
            Self::Pop(name) => write!(f, "PoP {name}"),
        }
    }
}

/// Which of a name's certificates: in which generation of the name it was made, and a random rest. A name that is revoked
/// is revoked with all generations up to that one; whoever joins under it again begins the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Serial {
    /// The generation; of control planes 0.
    pub generation: u32,
    /// Random.
    pub unique: [u8; 11],
}

impl Serial {
    /// As the certificate has it: a positive number of 16 bytes.
    pub fn to_bytes(self) -> [u8; SERIAL_BYTES] {
        let mut bytes = [0; SERIAL_BYTES];
        // The first byte keeps it positive and of this length.
        bytes[0] = 1;
        bytes[1..5].copy_from_slice(&self.generation.to_be_bytes());
        bytes[5..].copy_from_slice(&self.unique);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; SERIAL_BYTES] = bytes.try_into().ok()?;
        let [1, a, b, c, d, unique @ ..] = *bytes else {
            return None;
        };
        Some(Self {
            generation: u32::from_be_bytes([a, b, c, d]),
            unique,
        })
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a node's certificate says. Whether it may be believed is [`Trust`]'s to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whose it is.
    pub name: PeerName,
    /// Which one.
    pub serial: Serial,
    /// Milliseconds since the Unix epoch.
    pub not_before_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub not_after_ms: u64,
}

/// What is no node's name or certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// A name that no PoP can have.
    #[error("{0:?} is no name of a PoP: 1 to 63 of a-z 0-9 and -, with no - at its ends")]
    Name(String),
    /// It cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    /// It is no certificate of a node.
    #[error("the certificate is not one of a node of this platform: {0}")]
    Foreign(&'static str),
}

impl PeerCertificate {
    /// Reads a certificate, DER.
    pub fn read(der: &[u8]) -> Result<Self, PeerError> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| PeerError::Unreadable(error.to_string()))?;
        if !rest.is_empty() {
            return Err(PeerError::Unreadable("bytes are left over".to_owned()));
        }
        let mut names = Vec::new();
        for extension in certificate.extensions() {
            if let ParsedExtension::SubjectAlternativeName(alternatives) = extension.parsed_extension() {
                names.extend(alternatives.general_names.iter().filter_map(|name| match name {
                    GeneralName::URI(uri) => Some(*uri),
                    _ => None,
                }));
            }
        }
        // SPIFFE: a certificate has one URI and no more.
        let [uri] = names[..] else {
            return Err(PeerError::Foreign("it does not have one URI for a name"));
        };
        let name = PeerName::from_uri(uri).ok_or(PeerError::Foreign("its URI is no name of a node"))?;
        let serial = Serial::from_bytes(certificate.raw_serial());
        let serial = serial.ok_or(PeerError::Foreign("its serial number is not one of ours"))?;
        let ms = |seconds: i64| u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
        let validity = certificate.validity();
        Ok(Self {
            name,
            serial,
            not_before_ms: ms(validity.not_before.timestamp()),
            not_after_ms: ms(validity.not_after.timestamp()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_serials_read_back() {
        for name in [PeerName::Control, PeerName::Pop("fra-1".into())] {
            assert_eq!(PeerName::from_uri(&name.uri()), Some(name));
        }
        for uri in [
            "",
            "spiffe://atoll/",
            "spiffe://atoll/pop/",
            "spiffe://other/control",
            "spiffe://atoll/pop/A",
        ] {
            assert_eq!(PeerName::from_uri(uri), None, "{uri}");
        }
        let serial = Serial {
            generation: 7,
            unique: [9; 11],
        };
        assert_eq!(Serial::from_bytes(&serial.to_bytes()), Some(serial));
        assert_eq!(Serial::from_bytes(&[1, 2]), None);
        assert_eq!(Serial::from_bytes(&[0; 16]), None);
    }

    #[test]
    fn names_of_pops() {
        for name in ["a", "fra-1", "0", &"x".repeat(63)] {
            assert_eq!(check_pop_name(name), Ok(()), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a.b", "a_b", "\u{e4}", &"x".repeat(64)] {
            assert!(check_pop_name(name).is_err(), "{name}");
        }
    }
}
