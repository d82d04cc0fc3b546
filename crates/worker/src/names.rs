//! Questions about names, as a worker may ask them (`node:dns`): what connections resolve a host to, and the records of the
//! Domain Name System (RFC 1035, 2782, 3403, 3596, 8659).
//!
//! Whoever answers holds the same rules as for connections: an address that the worker may not reach is not in the answer, and
//! a name that has no other does not exist for it.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The longest name, bytes of its text (RFC 1035 section 2.3.4).
pub const NAME_BYTES_MAX: usize = 253;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameQuestion {
    /// A name in ASCII, absolute with or without its last dot.
    pub name: String,
    /// What of it.
    pub kind: NameKind,
}

/// What is asked of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NameKind {
    /// Its addresses as connections find them: the machine's hosts file and search rules included.
    Lookup,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Who may issue certificates.
    Caa,
    /// Its canonical name.
    Cname,
    /// Its mail servers.
    Mx,
    /// Rewriting rules.
    Naptr,
    /// Its name servers.
    Ns,
    /// The name that it points to.
    Ptr,
    /// The start of its zone.
    Soa,
    /// The hosts of a service.
    Srv,
    /// Texts.
    Txt,
}

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRecord {
    /// Seconds for which it holds; 0 for a lookup.
    pub ttl: u32,
    /// What it says.
    pub data: NameData,
}

/// What a record says. Names are without their last dot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameData {
    /// Of a lookup, A or AAAA.
    Address(IpAddr),
    /// Of CNAME, NS or PTR.
    Name(String),
    /// Of TXT: its strings.
    Texts(Vec<String>),
    /// Of CAA.
    Caa {
        /// Its flags.
        flags: u8,
        /// Its property.
        tag: String,
        /// The property's value.
        value: String,
    },
    /// Of MX.
    Mx {
        /// The smaller comes first.
        priority: u16,
        /// The server.
        exchange: String,
    },
    /// Of NAPTR.
    Naptr {
        /// The smaller is processed first ...
        order: u16,
        /// ... and among equals this decides.
        preference: u16,
        /// Flags.
        flags: String,
        /// Services.
        service: String,
        /// The substitution.
        regexp: String,
        /// Or the next name.
        replacement: String,
    },
    /// Of SOA.
    Soa {
        /// The primary name server.
        nsname: String,
        /// The mailbox of whoever is responsible, as a name.
        hostmaster: String,
        /// The zone's version.
        serial: u32,
        /// Seconds.
        refresh: u32,
        /// Seconds.
        retry: u32,
        /// Seconds.
        expire: u32,
        /// The shortest time to live, seconds.
        minttl: u32,
    },
    /// Of SRV.
    Srv {
        /// The smaller comes first.
        priority: u16,
        /// Among equals, how often.
        weight: u16,
        /// The port.
        port: u16,
        /// The host.
        name: String,
    },
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct NameError {
    /// The kind.
    pub kind: NameErrorKind,
    /// What failed, on what, and why.
    pub message: String,
}

/// Kinds of [`NameError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NameErrorKind {
    /// There is no such name, or none that this worker may know.
    NotFound,
    /// The name has no records of this kind.
    NoData,
    /// The text is no name.
    BadName,
    /// The name server finds the question malformed.
    Malformed,
    /// The name server failed.
    ServerFailed,
    /// The name server does not know this kind of question.
    NotImplemented,
    /// The name server refuses, or a rule of this machine forbids the question.
    Refused,
    /// The answer makes no sense.
    BadResponse,
    /// No name server could be reached.
    Unreachable,
    /// No answer in time.
    TimedOut,
}

impl NameError {
    /// An error.
    pub fn new(kind: NameErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}
