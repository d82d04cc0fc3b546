//! Which addresses a worker may reach.
//!
//! A name is resolved once, every address is judged here, and the connection goes to a judged address: nothing is
//! resolved again in between, so a name that changes its answer gains nothing. IPv6 forms that carry an IPv4 address are
//! judged by what a packet to them would reach. Whatever is not known to be public is not public.
//!
//! Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and successors), IANA IPv6 global unicast
//! allocations (2000::/3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
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

    /// May `address`, to which `host` resolved, be connected to at `port`? `Err` says which rule refuses it.
    pub fn check(&self, host: &str, address: IpAddr, port: u16) -> Result<(), String> {
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
        if BAD_PORTS.binary_search(&port).is_ok() && !allowed.any(|entry| entry.port.is_some()) {
            return Err(format!("the Fetch Standard blocks port {port}"));
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

/// What an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Routed on the Internet.
    Public,
    /// This machine, by its loopback network.
    Loopback,
    /// Anything else, by name.
    Special(&'static str),
    /// An IPv6 form that carries an IPv4 address which is not public.
    Carries(&'static str, Ipv4Addr, &'static str),
}

impl Class {
    fn reason(self) -> String {
        match self {
            Self::Public => "it is public".to_owned(),
            Self::Loopback => "it is a loopback address".to_owned(),
            Self::Special(what) => format!("it is {what}"),
            Self::Carries(form, inner, what) => format!("it is {form} for {inner}, which is {what}"),
        }
    }
}

/// `::ffff:a.b.c.d` is the IPv4 address itself to the socket layer; everything else is left as it is.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// What `address` is, by the registries.
pub(crate) fn classify(address: IpAddr) -> Class {
    match canonical(address) {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

/// `(base, prefix, what)`.
const SPECIAL_V4: &[(Ipv4Addr, u32, &str)] = &[
    (
        Ipv4Addr::new(0, 0, 0, 0),
        8,
        "an address of \"this network\" (0.0.0.0/8)",
    ),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "in a private network (10.0.0.0/8)"),
    (
        Ipv4Addr::new(100, 64, 0, 0),
        10,
        "in the carriers' shared range (100.64.0.0/10)",
    ),
    (
        Ipv4Addr::new(169, 254, 0, 0),
        16,
        "link-local (169.254.0.0/16, cloud metadata among it)",
    ),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "in a private network (172.16.0.0/12)"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved for protocols (192.0.0.0/24)"),
    (
        Ipv4Addr::new(192, 0, 2, 0),
        24,
        "a documentation address (192.0.2.0/24)",
    ),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a 6to4 relay (192.88.99.0/24)"),
    (
        Ipv4Addr::new(192, 168, 0, 0),
        16,
        "in a private network (192.168.0.0/16)",
    ),
    (
        Ipv4Addr::new(198, 18, 0, 0),
        15,
        "a benchmarking address (198.18.0.0/15)",
    ),
    (
        Ipv4Addr::new(198, 51, 100, 0),
        24,
        "a documentation address (198.51.100.0/24)",
    ),
    (
        Ipv4Addr::new(203, 0, 113, 0),
        24,
        "a documentation address (203.0.113.0/24)",
    ),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast address (224.0.0.0/4)"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved (240.0.0.0/4)"),
];

fn classify_v4(address: Ipv4Addr) -> Class {
    if address.is_loopback() {
        return Class::Loopback;
    }
    SPECIAL_V4
        .iter()
        .find(|(base, prefix, _)| (base.to_bits() ^ address.to_bits()) >> (32 - prefix) == 0)
        .map_or(Class::Public, |(_, _, what)| Class::Special(what))
}

/// `(base, prefix, what)`; what is not in 2000::/3 is refused anyway, these give the better reason or cut out of it.
const SPECIAL_V6: &[(Ipv6Addr, u32, &str)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, "the unspecified address"),
    (
        Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0),
        96,
        "an IPv4-compatible address (::/96, deprecated)",
    ),
    (
        Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0),
        96,
        "an IPv4-translated address (::ffff:0:0:0/96)",
    ),
    (
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0),
        48,
        "a local NAT64 address (64:ff9b:1::/48)",
    ),
    (
        Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0),
        64,
        "a discard-only address (100::/64)",
    ),
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        32,
        "a Teredo address (2001::/32)",
    ),
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        23,
        "reserved for protocols (2001::/23)",
    ),
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
        "a documentation address (2001:db8::/32)",
    ),
    (
        Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0),
        16,
        "a 6to4 address (2002::/16)",
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        "a documentation address (3fff::/20)",
    ),
    (
        Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0),
        16,
        "a segment-routing address (5f00::/16)",
    ),
    (
        Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0),
        7,
        "in a private network (fc00::/7)",
    ),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local (fe80::/10)"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site-local (fec0::/10)"),
    (
        Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0),
        8,
        "a multicast address (ff00::/8)",
    ),
];

fn classify_v6(address: Ipv6Addr) -> Class {
    if address.is_loopback() {
        return Class::Loopback;
    }
    let within = |base: Ipv6Addr, prefix: u32| (base.to_bits() ^ address.to_bits()) >> (128 - prefix) == 0;
    // NAT64 (RFC 6052) reaches the IPv4 address at its end: as public as that is.
    if within(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96) {
        return carried("a NAT64 address", low_v4(address));
    }
    if let Some((_, _, what)) = SPECIAL_V6.iter().find(|(base, prefix, _)| within(*base, *prefix)) {
        return Class::Special(what);
    }
    if !within(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3) {
        return Class::Special("outside the public range (2000::/3)");
    }
    // ISATAP (RFC 5214): a tunnel to the IPv4 address in the interface identifier.
    let segments = address.segments();
    if matches!(segments[4], 0 | 0x200) && segments[5] == 0x5efe {
        return carried("an ISATAP address", low_v4(address));
    }
    Class::Public
}

fn low_v4(address: Ipv6Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits() as u32)
}

fn carried(form: &'static str, inner: Ipv4Addr) -> Class {
    match classify_v4(inner) {
        Class::Public => Class::Public,
        Class::Special(what) => Class::Carries(form, inner, what),
        _ => Class::Carries(form, inner, "a loopback address"),
    }
}

/// Fetch Standard, "port blocking": ports of protocols to which an HTTP request may look like a command. Sorted.
const BAD_PORTS: &[u16] = &[
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
    532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060,
    5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
];
