//! Which addresses a worker may reach.
//!
//! A name is resolved once, every address is judged here, and the connection goes to a judged address: nothing is
//! resolved again in between, so a name that changes its answer gains nothing.

use crate::address::{Class, canonical, classify};
use std::net::IpAddr;
use std::str::FromStr;

/// How far the network reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses.
    #[default]
    Public,
    /// Public addresses and this machine's loopback: what `atoll dev` wants.
    PublicAndLoopback,
    /// Everything, blocked ports too.
    Everything,
}

/// Which addresses and ports may be reached.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    /// The rule for everything that no entry names.
    pub reach: Reach,
    /// Reachable although the rule says no.
    pub allow: Vec<AddressEntry>,
    /// Not reachable whatever else says yes: the platform's own listeners, its stores.
    pub deny: Vec<AddressEntry>,
}

/// An exception to the rule: `10.0.0.0/8`, `10.1.2.3:5432`, `[fd00::1]:443`, `fd00::/8`, `db.internal`, `db.internal:5432`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressEntry {
    target: Target,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Network {
        base: IpAddr,
        prefix: u8,
    },
    /// A host name in lower case without its trailing dot: whatever it resolves to.
    Name(String),
}

/// The text is no address entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address, a network (10.0.0.0/8) nor a host name, each with or without a port")]
pub struct AddressEntryError(String);

impl AddressPolicy {
    /// Public addresses only.
    pub fn public() -> Self {
        Self::default()
    }

    /// Public addresses and loopback.
    pub fn public_and_loopback() -> Self {
        Self {
            reach: Reach::PublicAndLoopback,
            ..Self::default()
        }
    }

    /// No guard.
    pub fn everything() -> Self {
        Self {
            reach: Reach::Everything,
            ..Self::default()
        }
    }

    /// May `fetch` connect to `address`, to which `host` resolved, at `port`? `Err` says which rule refuses it.
    pub fn check(&self, host: &str, address: IpAddr, port: u16) -> Result<(), String> {
        self.judge(host, address, port, || {
            let bad = BAD_PORTS.binary_search(&port).is_ok();
            bad.then(|| format!("the Fetch Standard blocks port {port}"))
        })
    }

    /// As [`Self::check`], for a raw connection: what the worker sends is the worker's own, so no other protocol can be
    /// tricked, but mail servers are not reached, as the Workers platform has it.
    pub fn check_raw(&self, host: &str, address: IpAddr, port: u16) -> Result<(), String> {
        self.judge(host, address, port, || {
            (port == 0 || port == SMTP_PORT).then(|| format!("port {port} is blocked for raw connections"))
        })
    }

    fn judge(
        &self,
        host: &str,
        address: IpAddr,
        port: u16,
        blocked: impl Fn() -> Option<String>,
    ) -> Result<(), String> {
        let address = canonical(address);
        if self.deny.iter().any(|entry| entry.matches(host, address, port)) {
            return Err("it is on the deny list".to_owned());
        }
        if self.reach == Reach::Everything {
            return Ok(());
        }
        let mut allowed = self
            .allow
            .iter()
            .filter(|entry| entry.matches(host, address, port))
            .peekable();
        let named = allowed.peek().is_some();
        // Only an entry that says the port lifts the block on it.
        if let Some(reason) = blocked()
            && !allowed.any(|entry| entry.port.is_some())
        {
            return Err(reason);
        }
        match (self.reach, classify(address)) {
            _ if named => Ok(()),
            (_, Class::Public) | (Reach::PublicAndLoopback, Class::Loopback) => Ok(()),
            (_, class) => Err(class.reason()),
        }
    }
}

impl AddressEntry {
    fn matches(&self, host: &str, address: IpAddr, port: u16) -> bool {
        if self.port.is_some_and(|own| own != port) {
            return false;
        }
        match &self.target {
            Target::Name(name) => host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case(name),
            Target::Network { base, prefix } => match (base, address) {
                (IpAddr::V4(base), IpAddr::V4(address)) => {
                    let mask = u32::MAX.checked_shl(32 - u32::from(*prefix)).unwrap_or(0);
                    base.to_bits() & mask == address.to_bits() & mask
                }
                (IpAddr::V6(base), IpAddr::V6(address)) => {
                    let mask = u128::MAX.checked_shl(128 - u32::from(*prefix)).unwrap_or(0);
                    base.to_bits() & mask == address.to_bits() & mask
                }
                _ => false,
            },
        }
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
        let name = host.strip_suffix('.').unwrap_or(host);
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
        Ok(Self {
            target: Target::Name(name.to_ascii_lowercase()),
            port,
        })
    }
}

impl AddressEntry {
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

/// Simple Mail Transfer Protocol (RFC 5321) between servers.
const SMTP_PORT: u16 = 25;

/// Fetch Standard, "port blocking": ports of protocols to which an HTTP request may look like a command. Sorted.
const BAD_PORTS: &[u16] = &[
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
    532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060,
    5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let check = |entry: &str, host: &str, address: &str, port: u16, expected: bool| {
            let entry: AddressEntry = entry.parse().unwrap_or_else(|error| panic!("{error}"));
            let got = entry.matches(host, canonical(address.parse().unwrap()), port);
            assert_eq!(got, expected, "{entry:?} {host} {address} {port}");
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
            "*.internal",
            "http://a/",
            "a/8",
            "user@host",
            "::ffff:10.0.0.0/8",
        ] {
            assert!(bad.parse::<AddressEntry>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ports() {
        let check = |policy: &AddressPolicy, port: u16, expected: bool| {
            assert_eq!(
                policy.check("h", "1.1.1.1".parse().unwrap(), port).is_ok(),
                expected,
                "{port}"
            );
        };
        assert!(BAD_PORTS.is_sorted());
        let public = AddressPolicy::public();
        for port in [80, 443, 8080, 8443, 3000, 5432, 6379, 65535] {
            check(&public, port, true);
        }
        for port in [0, 1, 21, 22, 25, 53, 110, 143, 465, 587, 993, 6000, 6667, 10080] {
            check(&public, port, false);
            check(&AddressPolicy::everything(), port, true);
        }
        let allowing = |entry: &str| AddressPolicy {
            allow: vec![entry.parse().unwrap()],
            ..AddressPolicy::public()
        };
        check(&allowing("1.1.1.1"), 25, false);
        check(&allowing("1.1.1.1:25"), 25, true);
        check(&allowing("h:25"), 25, true);
        check(&allowing("other:25"), 25, false);
        let raw = |policy: &AddressPolicy, port: u16| policy.check_raw("h", "1.1.1.1".parse().unwrap(), port).is_ok();
        for (port, expected) in [
            (0, false),
            (25, false),
            (21, true),
            (465, true),
            (587, true),
            (6379, true),
        ] {
            assert_eq!(raw(&public, port), expected, "{port}");
        }
        assert!(raw(&allowing("1.1.1.1:25"), 25) && !raw(&allowing("1.1.1.1"), 25));
        assert!(public.check_raw("h", "127.0.0.1".parse().unwrap(), 5432).is_err());
    }
}
