//! Which part of the network a worker may reach, as its configuration says it (`atoll.outbound`).
//!
//! ```text
//! "public"              every public address
//! "private"             networks for private use: 10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7
//! "loopback"            this machine
//! "10.0.0.0/8"          a network          "[fd00::1]:443"   an address, one port of it
//! "db.internal:5432"    a host             "*.example.com"   every host below a name, not the name itself
//! ```
//!
//! Pure text and numbers: what an address *is*, and who may overrule whom, is decided where connections are made.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The most entries that a list may have.
pub const ENTRIES_MAX: usize = 256;

/// What a worker's configuration says of the way out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundRules {
    /// What it may reach. `None`: what the server gives to every worker.
    pub allow: Option<Vec<OutboundEntry>>,
    /// What it may not reach, whatever else says yes.
    pub deny: Vec<OutboundEntry>,
}

/// One line of such a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutboundEntry {
    /// Every public address.
    Public,
    /// Every network for private use.
    Private,
    /// This machine.
    Loopback,
    /// A network, an address or a host.
    Address(AddressEntry),
}

/// `10.0.0.0/8`, `10.1.2.3:5432`, `[fd00::1]:443`, `fd00::/8`, `db.internal`, `db.internal:5432`, `*.internal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressEntry {
    target: Target,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Target {
    Network {
        base: IpAddr,
        prefix: u8,
    },
    /// A host name in lower case without its trailing dot.
    Name(String),
    /// All names that end with this one, which begins with a dot.
    Below(String),
}

/// How an entry fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It names the address, or a network that holds it.
    Address,
    /// It names the host, whatever that resolves to.
    Name,
}

/// The text is no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither an address, a network (10.0.0.0/8) nor a host name (*.example.com for all below it), \
     each with or without a port"
)]
pub struct AddressEntryError(String);

/// `::ffff:a.b.c.d` is the IPv4 address itself to the socket layer; everything else is left as it is.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

impl AddressEntry {
    /// Does it name `address` (canonical), to which `host` resolved, at `port`?
    pub fn fits(&self, host: &str, address: IpAddr, port: u16) -> Option<Fit> {
        if self.port.is_some_and(|own| own != port) {
            return None;
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        match &self.target {
            Target::Name(name) => host.eq_ignore_ascii_case(name).then_some(Fit::Name),
            Target::Below(suffix) => {
                let at = host.len().checked_sub(suffix.len()).filter(|at| *at > 0)?;
                let end = host.get(at..)?;
                end.eq_ignore_ascii_case(suffix).then_some(Fit::Name)
            }
            Target::Network { base, prefix } => {
                let within = match (base, address) {
                    (IpAddr::V4(base), IpAddr::V4(address)) => {
                        let mask = u32::MAX.checked_shl(32 - u32::from(*prefix)).unwrap_or(0);
                        base.to_bits() & mask == address.to_bits() & mask
                    }
                    (IpAddr::V6(base), IpAddr::V6(address)) => {
                        let mask = u128::MAX.checked_shl(128 - u32::from(*prefix)).unwrap_or(0);
                        base.to_bits() & mask == address.to_bits() & mask
                    }
                    _ => false,
                };
                within.then_some(Fit::Address)
            }
        }
    }

    /// The port that it says.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Does it say a port?
    pub fn names_port(&self) -> bool {
        self.port.is_some()
    }

    fn is_v4(&self) -> bool {
        matches!(
            self.target,
            Target::Network {
                base: IpAddr::V4(_),
                ..
            }
        )
    }
}

impl FromStr for OutboundEntry {
    type Err = AddressEntryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "public" => Self::Public,
            "private" => Self::Private,
            "loopback" => Self::Loopback,
            other => Self::Address(other.parse()?),
        })
    }
}

impl FromStr for AddressEntry {
    type Err = AddressEntryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || AddressEntryError(text.to_owned());
        let network = |address: &str, prefix: Option<&str>, port| {
            let base: IpAddr = address.parse().ok()?;
            let bits = if base.is_ipv4() { 32 } else { 128 };
            let prefix = prefix
                .map_or(Ok(bits), str::parse::<u8>)
                .ok()
                .filter(|prefix| *prefix <= bits)?;
            // A mapped address is judged as the IPv4 address it carries, so the entry has to be one, too.
            let (base, prefix) = match (base, canonical(base)) {
                (IpAddr::V6(_), IpAddr::V4(v4)) => (IpAddr::V4(v4), prefix.checked_sub(96)?),
                _ => (base, prefix),
            };
            Some(Self {
                target: Target::Network { base, prefix },
                port,
            })
        };
        if let Some((address, prefix)) = text.split_once('/') {
            return network(address, Some(prefix), None).ok_or_else(error);
        }
        if let Some(entry) = network(text, None, None) {
            return Ok(entry);
        }
        let (host, port) = match text.rsplit_once(':') {
            Some(_) if text.ends_with(']') => (text, None),
            Some((host, port)) => (host, Some(port.parse::<u16>().map_err(|_| error())?)),
            None => (text, None),
        };
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(entry) = network(bare.unwrap_or(host), None, port) {
            // A bare IPv6 address with a port would be ambiguous.
            return if bare.is_some() || entry.is_v4() {
                Ok(entry)
            } else {
                Err(error())
            };
        }
        let below = host.strip_prefix("*.");
        let name = below.unwrap_or(host);
        let name = name.strip_suffix('.').unwrap_or(name);
        let label_ok = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        // A name whose last label is a number would be an IPv4 address to the URL parser.
        let numeric_end = name
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        if numeric_end || !name.split('.').all(label_ok) {
            return Err(error());
        }
        let name = name.to_ascii_lowercase();
        Ok(Self {
            target: match below {
                Some(_) => Target::Below(format!(".{name}")),
                None => Target::Name(name),
            },
            port,
        })
    }
}

impl fmt::Display for OutboundEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("public"),
            Self::Private => f.write_str("private"),
            Self::Loopback => f.write_str("loopback"),
            Self::Address(entry) => entry.fmt(f),
        }
    }
}

impl fmt::Display for AddressEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Name(name) => f.write_str(name)?,
            Target::Below(suffix) => write!(f, "*{suffix}")?,
            Target::Network { base, prefix } => {
                let whole = if base.is_ipv4() { 32 } else { 128 };
                match (base, self.port) {
                    _ if *prefix < whole => write!(f, "{base}/{prefix}")?,
                    (IpAddr::V6(base), Some(_)) => write!(f, "[{base}]")?,
                    _ => write!(f, "{base}")?,
                }
            }
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let check = |text: &str, host: &str, address: &str, port: u16, expected: bool| {
            let entry: AddressEntry = text.parse().unwrap_or_else(|error| panic!("{error}"));
            let got = entry.fits(host, canonical(address.parse().unwrap()), port).is_some();
            assert_eq!(got, expected, "{entry:?} {host} {address} {port}");
            let again: AddressEntry = entry.to_string().parse().unwrap();
            assert_eq!(again, entry, "{text}");
        };
        check("10.0.0.0/8", "h", "10.255.0.1", 1, true);
        check("10.0.0.0/8", "h", "11.0.0.0", 1, false);
        check("10.1.2.3/8", "h", "10.9.9.9", 1, true);
        check("0.0.0.0/0", "h", "255.255.255.255", 1, true);
        check("0.0.0.0/0", "h", "::1", 1, false);
        check("0.0.0.0/0", "h", "::ffff:1.2.3.4", 1, true);
        check("10.0.0.1/32", "h", "10.0.0.1", 1, true);
        check("10.0.0.1/32", "h", "10.0.0.0", 1, false);
        check("10.0.0.1", "h", "10.0.0.1", 9, true);
        check("10.0.0.1:5432", "h", "10.0.0.1", 5432, true);
        check("10.0.0.1:5432", "h", "10.0.0.1", 5433, false);
        check("::/0", "h", "fd00::1", 1, true);
        check("fd00::/8", "h", "fdff::1", 1, true);
        check("fd00::/8", "h", "fc00::1", 1, false);
        check("fd00::1", "h", "fd00::1", 1, true);
        check("[fd00::1]", "h", "fd00::1", 1, true);
        check("[fd00::1]:443", "h", "fd00::1", 443, true);
        check("[fd00::1]:443", "h", "fd00::1", 444, false);
        check("::ffff:10.0.0.0/104", "h", "10.2.3.4", 1, true);
        check("::ffff:10.0.0.1", "h", "10.0.0.1", 1, true);
        check("db.internal", "db.internal", "10.0.0.1", 1, true);
        check("db.internal", "DB.INTERNAL.", "10.0.0.1", 1, true);
        check("db.internal.", "db.internal", "10.0.0.1", 1, true);
        check("db.internal", "x.db.internal", "10.0.0.1", 1, false);
        check("db.internal:80", "db.internal", "10.0.0.1", 81, false);
        check("my_host", "my_host", "10.0.0.1", 81, true);
        check("*.internal", "db.internal", "10.0.0.1", 81, true);
        check("*.Internal:80", "a.b.INTERNAL.", "10.0.0.1", 80, true);
        check("*.internal:80", "a.b.internal", "10.0.0.1", 81, false);
        check("*.internal", "internal", "10.0.0.1", 81, false);
        check("*.internal", ".internal", "10.0.0.1", 81, false);
        check("*.internal", "dbinternal", "10.0.0.1", 81, false);
        check("*.internal", "internal.example", "10.0.0.1", 81, false);
        for bad in [
            "",
            " ",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/x",
            "/8",
            "::/129",
            "10.0.0",
            "10.0.0.256",
            "1234",
            "a.1",
            "a..b",
            ".",
            "a b",
            "host:",
            "host:99999",
            "host:x",
            "[::1",
            "::1]",
            "[::1]:x",
            "[host]:1",
            "*",
            "*.",
            "a.*.b",
            "*a.b",
            "*.1",
            "http://a/",
            "a/8",
            "user@host",
            "::ffff:10.0.0.0/8",
        ] {
            assert!(bad.parse::<AddressEntry>().is_err(), "{bad:?}");
        }
        for word in ["public", "private", "loopback"] {
            let entry: OutboundEntry = word.parse().unwrap();
            assert_eq!(entry.to_string(), word);
            assert!(!matches!(entry, OutboundEntry::Address(_)));
        }
    }
}
