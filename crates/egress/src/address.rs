//! What an address is: public, loopback, or one of the ranges that are neither.
//!
//! IPv6 forms that carry an IPv4 address are judged by what a packet to them would reach. Whatever is not known to be
//! public is not public.
//!
//! Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and successors), IANA IPv6 global unicast
//! allocations (2000::/3).

pub(crate) use atoll_model::outbound::canonical;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Routed on the Internet.
    Public,
    /// This machine, by its loopback network.
    Loopback,
    /// In a network for private use, by name.
    Private(&'static str),
    /// Anything else, by name.
    Special(&'static str),
    /// An IPv6 form that carries an IPv4 address which is not public.
    Carries(&'static str, Ipv4Addr, &'static str),
}

impl Class {
    /// Why it is refused, as the end of a sentence.
    pub fn reason(self) -> String {
        match self {
            Self::Public => "it is public".to_owned(),
            Self::Loopback => "it is a loopback address".to_owned(),
            Self::Private(what) | Self::Special(what) => format!("it is {what}"),
            Self::Carries(form, inner, what) => format!("it is {form} for {inner}, which is {what}"),
        }
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
        "in the carriers' shared range (100.64.0.0/10), a private network",
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

/// Networks for private use are told by their names in the tables.
fn special(what: &'static str) -> Class {
    if what.contains("private network") {
        Class::Private(what)
    } else {
        Class::Special(what)
    }
}

fn classify_v4(address: Ipv4Addr) -> Class {
    if address.is_loopback() {
        return Class::Loopback;
    }
    SPECIAL_V4
        .iter()
        .find(|(base, prefix, _)| (base.to_bits() ^ address.to_bits()) >> (32 - prefix) == 0)
        .map_or(Class::Public, |(_, _, what)| special(what))
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
        return special(what);
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
        Class::Private(what) | Class::Special(what) => Class::Carries(form, inner, what),
        _ => Class::Carries(form, inner, "a loopback address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::AddressPolicy;

    /// One line per kind: what it is (`public`, `loopback`, or a word of the reason), then addresses.
    const TABLE: &[(&str, &str)] = &[
        (
            "public",
            "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
             169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 \
             192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 \
             198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 192.31.196.1 ::ffff:8.8.8.8 ::ffff:101:101 \
             2606:4700::1111 2a00:1450:4001:81b::200e 2000:: 2001:200:: 2001:4860:4860::8888 2001:db7:ffff::1 \
             2001:db9:: 2003:: 3ffe::1 3fff:1000:: 64:ff9b::8.8.8.8 64:ff9b::101:101 2606:4700::5efe:808:808 \
             2606:4700::200:5efe:808:808 2606:4700::7f00:1 2606:4700::a00:1",
        ),
        (
            "loopback",
            "127.0.0.1 127.0.0.0 127.0.0.2 127.1.2.3 127.255.255.255 ::1 0:0:0:0:0:0:0:1 ::ffff:127.0.0.1 \
             ::ffff:7f00:1 ::ffff:127.255.255.255",
        ),
        (
            "this network",
            "0.0.0.0 0.0.0.1 0.255.255.255 ::ffff:0.0.0.0 ::ffff:0:1",
        ),
        (
            "private network",
            "10.0.0.0 10.0.0.1 10.255.255.255 ::ffff:10.0.0.1 ::ffff:a00:1",
        ),
        (
            "private network",
            "172.16.0.0 172.16.0.1 172.20.1.1 172.31.255.255 ::ffff:172.16.0.1",
        ),
        (
            "private network",
            "192.168.0.0 192.168.0.1 192.168.255.255 ::ffff:192.168.1.1 ::ffff:c0a8:101",
        ),
        (
            "shared range",
            "100.64.0.0 100.100.100.200 100.127.255.255 ::ffff:100.64.0.1",
        ),
        (
            "cloud metadata",
            "169.254.0.0 169.254.169.254 169.254.170.2 169.254.255.255 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe",
        ),
        (
            "reserved for protocols",
            "192.0.0.0 192.0.0.1 192.0.0.192 192.0.0.255 ::ffff:192.0.0.8",
        ),
        (
            "documentation",
            "192.0.2.0 192.0.2.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255",
        ),
        ("6to4 relay", "192.88.99.0 192.88.99.1 192.88.99.255"),
        ("benchmarking", "198.18.0.0 198.18.0.1 198.19.255.255"),
        (
            "multicast",
            "224.0.0.0 224.0.0.251 239.255.255.255 ::ffff:224.0.0.1 ff00:: ff02::1 ff0e::1 ffff::",
        ),
        (
            "reserved (240",
            "240.0.0.0 250.1.2.3 255.255.255.254 255.255.255.255 ::ffff:255.255.255.255",
        ),
        ("unspecified", ":: 0:0:0:0:0:0:0:0"),
        (
            "IPv4-compatible",
            "::2 ::7f00:1 ::127.0.0.1 ::10.0.0.1 ::8.8.8.8 ::169.254.169.254 ::ffff ::1:0 ::ffff:0",
        ),
        (
            "IPv4-translated",
            "::ffff:0:7f00:1 ::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8 ::ffff:0:a9fe:a9fe",
        ),
        (
            "NAT64 address for",
            "64:ff9b::127.0.0.1 64:ff9b::7f00:1 64:ff9b::10.0.0.1 64:ff9b::a00:1 64:ff9b::169.254.169.254 \
             64:ff9b::192.168.0.1 64:ff9b::0.0.0.0 64:ff9b:: 64:ff9b::224.0.0.1 64:ff9b::255.255.255.255 \
             64:ff9b::100.64.0.1 64:ff9b::172.16.0.1",
        ),
        (
            "local NAT64",
            "64:ff9b:1:: 64:ff9b:1::127.0.0.1 64:ff9b:1::8.8.8.8 64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
        ),
        ("discard-only", "100:: 100::1 100::ffff:ffff:ffff:ffff"),
        (
            "Teredo",
            "2001:: 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:0:7f00:1:: 2001:0:a00:1::f5ff:fffe",
        ),
        (
            "reserved for protocols",
            "2001:1::1 2001:2:: 2001:2:0:1:: 2001:10:: 2001:20:: 2001:1ff:ffff::",
        ),
        (
            "documentation",
            "2001:db8:: 2001:db8::1 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 3fff:: 3fff:fff:ffff::",
        ),
        (
            "6to4 address",
            "2002:: 2002:7f00:1:: 2002:a00:1::1 2002:a9fe:a9fe:: 2002:808:808::1 2002:c0a8:101::1",
        ),
        ("segment-routing", "5f00:: 5f00::1 5f00:ffff::"),
        ("private network", "fc00:: fc00::1 fd00::1 fd00:ec2::254 fdff:ffff::"),
        ("link-local (fe80", "fe80:: fe80::1 fe80::a9fe:a9fe febf:ffff::"),
        ("site-local", "fec0:: fec0::1 feff:ffff::"),
        (
            "outside the public range",
            "1:: 100:0:0:1:: 200::1 400:: 64:ff9a::8.8.8.8 64:ff9b:0:1::8.8.8.8 64:ff9b:2::1 1fff:ffff:: 4000:: \
             8000::1 fe00::1 e000::",
        ),
        (
            "ISATAP address for",
            "2606:4700::5efe:7f00:1 2606:4700::5efe:10.0.0.1 2606:4700::200:5efe:127.0.0.1 \
             2606:4700:0:1:0:5efe:c0a8:101 2606:4700::200:5efe:a9fe:a9fe",
        ),
    ];

    #[test]
    fn what_an_address_is() {
        let mut count = 0;
        for (expected, addresses) in TABLE {
            for text in addresses.split_whitespace() {
                let address: IpAddr = text.parse().unwrap_or_else(|_| panic!("{text}"));
                let class = classify(address);
                let got = match class {
                    Class::Public => "public".to_owned(),
                    Class::Loopback => "loopback".to_owned(),
                    special => special.reason(),
                };
                let exact = matches!(*expected, "public" | "loopback");
                assert!(
                    if exact {
                        got == *expected
                    } else {
                        got.contains(expected)
                    },
                    "{text}: {got}, not {expected}"
                );
                let check = |policy: AddressPolicy| policy.check("h", address, 443).is_ok();
                assert_eq!(check(AddressPolicy::public()), *expected == "public", "{text}");
                assert_eq!(check(AddressPolicy::public_and_loopback()), exact, "{text}");
                assert!(check(AddressPolicy::unguarded()), "{text}");
                let private = matches!(class, Class::Private(_));
                assert_eq!(
                    check(AddressPolicy {
                        private: true,
                        ..AddressPolicy::default()
                    }),
                    private,
                    "{text}"
                );
                assert_eq!(
                    private,
                    expected.contains("private network") || *expected == "shared range"
                );
                count += 1;
            }
        }
        assert!(count >= 200, "{count}");
    }
}
