//! Rows made from a seed: an address of the inside, a spelling, a way to lead there.

use super::canary::percent_encoded;
use super::corpus::{Row, Way, chained, no, refused};
use atoll_stdx::SplitMix64;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Networks that no worker reaches and a connection does, `(base, prefix)`.
const INSIDE_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(240, 0, 0, 0), 5),
];
/// The same of IPv6, beside the forms that carry IPv4.
const INSIDE_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x4000, 0, 0, 0, 0, 0, 0, 0), 2),
];
/// Public servers, by name and address.
const PUBLIC: [(&str, &str); 3] = [
    ("public.test", "93.184.216.34"),
    ("other.test", "198.41.0.4"),
    ("six.test", "2606:4700::1111"),
];
const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

/// `count` rows; the same for the same seed.
pub fn rows(seed: u64, count: usize) -> Vec<Row> {
    let mut rng = SplitMix64::new(seed);
    (0..count)
        .map(|number| row(&mut rng, &format!("seed {seed}, row {number}")))
        .collect()
}

fn row(rng: &mut SplitMix64, name: &str) -> Row {
    match rng.below(4) {
        0 => {
            let host = spelled(rng);
            let url = format!("{}://{}{host}/", scheme(rng), userinfo(rng));
            let name = format!("{name}: {url:?}");
            refused(
                name,
                vec![no(Way::Fetch, &url), no(Way::WebSocket, &url), no(Way::Post, &url)],
                BTreeMap::new(),
            )
        }
        1 => {
            let mut hops: Vec<String> = Vec::new();
            for _ in 0..=rng.below(6) {
                hops.push(format!("http://{}", pick(rng, &PUBLIC).0));
            }
            let prefix = *pick(rng, &["http://", "https://", "//", "\\\\", "/\\", "HTTP://"]);
            hops.push(format!("{prefix}{}{}/", userinfo(rng), spelled(rng)));
            let (url, hits) = chained(&hops, *pick(rng, &STATUSES));
            refused(
                format!("{name}: {}", hops.join(" -> ")),
                vec![no(Way::Fetch, url)],
                hits,
            )
        }
        2 => {
            // All answers lead inside, some of them after a public one was given.
            let public = rng.below(4) as usize;
            let mut answers = vec![vec![address_of(PUBLIC[0].1)]; public];
            let count = 1 + rng.below(6);
            answers.push((0..count).map(|_| address(rng)).collect());
            let mut steps = vec![no(Way::Fetch, "http://name.test/"); public];
            for step in &mut steps {
                step.ok = Some(true);
            }
            let way = *pick(rng, &["fetch", "websocket", "connect", "redirect"]);
            steps.push(match way {
                "fetch" => no(Way::Fetch, "http://name.test/"),
                "websocket" => no(Way::WebSocket, "http://name.test/"),
                "connect" => no(Way::Connect, "name.test:5432"),
                _ => {
                    let to = percent_encoded("http://name.test/");
                    no(
                        Way::Fetch,
                        format!("http://other.test/say/{}/location/{to}", pick(rng, &STATUSES)),
                    )
                }
            });
            let mut hits = BTreeMap::new();
            if public > 0 {
                hits.insert(socket(PUBLIC[0].1, 80), public);
            }
            if way == "redirect" {
                hits.insert(socket(PUBLIC[1].1, 80), 1);
            }
            let mut row = refused(format!("{name}: {answers:?} by {way}"), steps, hits);
            row.names.insert("name.test".to_owned(), answers);
            row
        }
        _ => {
            // A public address among those inside: it alone is connected to.
            let mut answer: Vec<IpAddr> = (0..1 + rng.below(5)).map(|_| address(rng)).collect();
            let at = rng.below(answer.len() as u64 + 1) as usize;
            answer.insert(at, address_of(PUBLIC[0].1));
            let mut step = no(Way::Fetch, "http://name.test/");
            step.ok = Some(true);
            let hits = BTreeMap::from([(socket(PUBLIC[0].1, 80), 1)]);
            let mut row = refused(format!("{name}: mixed {answer:?}"), vec![step], hits);
            // Without the guard, too, the first address is the one that is taken.
            row.live = at > 0;
            row.names.insert("name.test".to_owned(), vec![answer]);
            row
        }
    }
}

fn pick<'a, T>(rng: &mut SplitMix64, from: &'a [T]) -> &'a T {
    &from[rng.below(from.len() as u64) as usize]
}

fn address_of(text: &str) -> IpAddr {
    text.parse().expect("an address of this file")
}

fn socket(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address_of(address), port)
}

fn scheme(rng: &mut SplitMix64) -> &'static str {
    pick::<&str>(rng, &["http", "https", "HTTP", "hTTp"])
}

fn userinfo(rng: &mut SplitMix64) -> &'static str {
    pick::<&str>(
        rng,
        &[
            "",
            "",
            "",
            "public.test@",
            "a:b@",
            "public.test%40@",
            "1.1.1.1:80@",
            "@",
        ],
    )
}

fn address(rng: &mut SplitMix64) -> IpAddr {
    if rng.below(2) == 0 {
        v4(rng).into()
    } else {
        v6(rng).into()
    }
}

fn v4(rng: &mut SplitMix64) -> Ipv4Addr {
    let (base, prefix) = pick(rng, INSIDE_V4);
    let free = rng.next_u64() as u32 & (u32::MAX >> prefix);
    match rng.below(3) {
        0 => Ipv4Addr::from_bits(base.to_bits() | (free & 1)),
        _ => Ipv4Addr::from_bits(base.to_bits() | free),
    }
}

fn v6(rng: &mut SplitMix64) -> Ipv6Addr {
    let inner = u128::from(v4(rng).to_bits());
    let carrying = |high: Ipv6Addr| Ipv6Addr::from_bits(high.to_bits() | inner);
    match rng.below(7) {
        0 => carrying(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0)),
        1 => carrying(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0)),
        2 => carrying(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0)),
        3 => Ipv6Addr::from_bits(0x2002_u128 << 112 | inner << 80 | u128::from(rng.below(4))),
        4 => carrying(Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0x5efe, 0, 0)),
        _ => {
            let (base, prefix) = pick(rng, INSIDE_V6);
            let free = (u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())) & (u128::MAX >> prefix);
            let free = if rng.below(2) == 0 { free & 0xffff } else { free };
            Ipv6Addr::from_bits(base.to_bits() | free)
        }
    }
}

/// As the host of a URL.
fn spelled(rng: &mut SplitMix64) -> String {
    if rng.below(4) == 0 {
        let address = v6(rng);
        let text = match rng.below(3) {
            0 => address.to_string(),
            1 => address.to_string().to_uppercase(),
            _ => address.segments().map(|part| format!("{part:04x}")).join(":"),
        };
        return format!("[{text}]");
    }
    let address = v4(rng);
    let [a, b, c, d] = address.octets().map(u32::from);
    let numbers = match rng.below(4) {
        0 => vec![address.to_bits()],
        1 => vec![a, address.to_bits() & 0xff_ffff],
        2 => vec![a, b, c << 8 | d],
        _ => vec![a, b, c, d],
    };
    let parts: Vec<String> = numbers.into_iter().map(|number| numeral(rng, number)).collect();
    let dot = *pick(rng, &[".", ".", ".", ".", "\u{3002}", "\u{ff0e}", "\u{ff61}"]);
    let mut host = parts.join(dot);
    if rng.below(6) == 0 {
        host += dot;
    }
    host.chars().map(|c| disguised(rng, c)).collect()
}

fn numeral(rng: &mut SplitMix64, number: u32) -> String {
    let zeros = "0".repeat(rng.below(4) as usize);
    match rng.below(5) {
        0 => format!("0x{zeros}{number:x}"),
        1 => format!("0X{zeros}{number:X}"),
        2 => format!("0{zeros}{number:o}"),
        _ => number.to_string(),
    }
}

fn disguised(rng: &mut SplitMix64, c: char) -> String {
    match (rng.below(24), c.to_digit(10)) {
        (0, _) if c.is_ascii() => format!("%{:02x}", u32::from(c)),
        (1, Some(digit)) => char::from_u32(0xff10 + digit)
            .expect("full-width digits are characters")
            .to_string(),
        (2, Some(0)) => '\u{24ea}'.to_string(),
        (2, Some(digit)) => char::from_u32(0x245f + digit)
            .expect("circled digits are characters")
            .to_string(),
        (3, Some(digit)) => char::from_u32(0x1d7ce + digit)
            .expect("bold digits are characters")
            .to_string(),
        (4, _) => format!("{c}\u{ad}"),
        _ => c.to_string(),
    }
}
