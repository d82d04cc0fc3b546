//! Which addresses a worker may reach.
//!
//! A name is resolved once, every address is judged here, and the connection goes to a judged address: nothing is
//! resolved again in between, so a name that changes its answer gains nothing.
//!
//! The order of the questions; the first that answers decides:
//!
//! | question | if so |
//! |---|---|
//! | does this server listen there? is it on a deny list? | refused |
//! | is the port blocked, and no allowed entry names the port? | refused |
//! | does an allowed entry name the address, or a network that holds it? | reached |
//! | is it this machine (loopback, or an address of an interface)? | as `loopback` says |
//! | is it public, or in a private network? | as `public` or `private` says, or if an allowed entry names the host |
//! | anything else: link-local, multicast, reserved, tunnels | refused |
//!
//! So a host's name on the allow list reaches public and private addresses, wherever it leads, but never this machine,
//! cloud metadata (link-local) or the like: whoever controls a name's records does not control that much. `localhost` is
//! the exception that says what it is.

use crate::address::{Class, canonical, classify};
use crate::own::{Listeners, OwnAddresses};
use atoll_model::outbound::Fit;
use atoll_model::{AddressEntry, OutboundEntry, OutboundRules};
use std::net::IpAddr;

/// Which addresses and ports may be reached.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    /// Public addresses are reached.
    pub public: bool,
    /// Networks for private use are reached.
    pub private: bool,
    /// This machine is reached.
    pub loopback: bool,
    /// Everything is reached that is not denied, blocked ports too.
    pub unguarded: bool,
    /// Reached although none of the above says so.
    pub allow: Vec<AddressEntry>,
    /// Not reached whatever else says yes: the platform's stores, its control plane.
    pub deny: Vec<OutboundEntry>,
    /// Not reached either.
    pub listeners: Listeners,
    /// Which addresses are this machine's.
    pub own: OwnAddresses,
}

impl AddressPolicy {
    /// Public addresses only.
    pub fn public() -> Self {
        Self {
            public: true,
            ..Self::default()
        }
    }

    /// Public addresses and this machine: what `atoll dev` wants.
    pub fn public_and_loopback() -> Self {
        Self {
            loopback: true,
            ..Self::public()
        }
    }

    /// No guard.
    pub fn unguarded() -> Self {
        Self {
            unguarded: true,
            ..Self::default()
        }
    }

    /// This policy as a worker with `rules` has it. What they deny is added; a list of what they allow takes the place of
    /// `public`, `private` and [`Self::allow`]. This machine stays reachable if it is so for all (`atoll dev`), unless the
    /// worker denies it. Nothing here lifts [`Self::deny`] or [`Self::listeners`].
    pub fn for_worker(&self, rules: &OutboundRules) -> Self {
        let mut policy = self.clone();
        policy.deny.extend(rules.deny.iter().cloned());
        let Some(allow) = &rules.allow else {
            return policy;
        };
        (policy.public, policy.private, policy.unguarded) = (false, false, false);
        policy.allow.clear();
        for entry in allow {
            policy.permit(entry.clone());
        }
        policy
    }

    /// Reaches what `entry` names, too.
    pub fn permit(&mut self, entry: OutboundEntry) {
        match entry {
            OutboundEntry::Public => self.public = true,
            OutboundEntry::Private => self.private = true,
            OutboundEntry::Loopback => self.loopback = true,
            OutboundEntry::Address(entry) => self.allow.push(entry),
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

    /// May a worker be told that `host` has `address`? If a connection to it is possible at any port.
    pub fn may_tell(&self, host: &str, address: IpAddr) -> bool {
        let named = self.allow.iter().filter_map(AddressEntry::port);
        std::iter::once(0)
            .chain(named)
            .any(|port| self.judge(host, address, port, || None).is_ok())
    }

    /// May a worker ask about names at large? One that is kept to a list may ask only where connections lead.
    pub fn may_ask(&self) -> bool {
        self.public || self.unguarded
    }

    fn judge(
        &self,
        host: &str,
        address: IpAddr,
        port: u16,
        blocked: impl Fn() -> Option<String>,
    ) -> Result<(), String> {
        let address = canonical(address);
        let class = classify(address);
        // Asked only where the answer can differ: it costs a look at the interfaces.
        let own = match class {
            Class::Loopback => true,
            Class::Public | Class::Private(_) => !self.loopback && self.own.is_this_machine(address),
            Class::Special(_) | Class::Carries(..) => false,
        };
        if self.listeners.contain(address, port, &self.own) {
            return Err("this server itself listens there".to_owned());
        }
        let denied = self.deny.iter().any(|entry| match entry {
            OutboundEntry::Public => class == Class::Public,
            OutboundEntry::Private => matches!(class, Class::Private(_)),
            OutboundEntry::Loopback => self.own.is_this_machine(address),
            OutboundEntry::Address(entry) => entry.fits(host, address, port).is_some(),
        });
        if denied {
            return Err("it is on the deny list".to_owned());
        }
        if self.unguarded {
            return Ok(());
        }
        let mut fit = None;
        let mut port_named = false;
        for entry in &self.allow {
            let Some(found) = entry.fits(host, address, port) else {
                continue;
            };
            port_named |= entry.names_port();
            if fit != Some(Fit::Address) {
                fit = Some(found);
            }
        }
        // Only an entry that says the port lifts the block on it.
        if let Some(reason) = blocked()
            && !port_named
        {
            return Err(reason);
        }
        let bare = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let says_loopback = bare == "localhost" || bare.ends_with(".localhost");
        let named = fit == Some(Fit::Name);
        match class {
            _ if fit == Some(Fit::Address) => Ok(()),
            Class::Loopback if self.loopback || (named && says_loopback) => Ok(()),
            Class::Public | Class::Private(_) if own => Err("it is an address of this machine".to_owned()),
            Class::Public if self.public || named => Ok(()),
            Class::Private(_) if self.private || named => Ok(()),
            Class::Public => Err("it is not on the worker's allow list".to_owned()),
            refused => Err(refused.reason()),
        }
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
            check(&AddressPolicy::unguarded(), port, true);
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

    /// `Err` holds a piece of the reason.
    fn reached(policy: &AddressPolicy, host: &str, address: &str, expected: Result<(), &str>) {
        let got = policy.check(host, address.parse().unwrap(), 8080);
        match (&got, expected) {
            (Ok(()), Ok(())) => {}
            (Err(reason), Err(piece)) if reason.contains(piece) => {}
            _ => panic!("{host} {address}: {got:?}, not {expected:?}"),
        }
    }

    fn rules(allow: Option<&[&str]>, deny: &[&str]) -> OutboundRules {
        let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        OutboundRules {
            allow: allow.map(parse),
            deny: parse(deny),
        }
    }

    #[test]
    fn this_machine_has_other_addresses_than_loopback() {
        let own = OwnAddresses::fixed(&["9.8.7.6".parse().unwrap(), "10.0.0.5".parse().unwrap()]);
        let serve = AddressPolicy {
            own,
            ..AddressPolicy::public()
        };
        let check = reached;
        check(&serve, "h", "9.8.7.6", Err("an address of this machine"));
        check(&serve, "h", "9.8.7.5", Ok(()));
        check(&serve, "h", "10.0.0.5", Err("an address of this machine"));
        check(&serve, "h", "10.0.0.6", Err("private network"));
        let private = serve.for_worker(&rules(Some(&["private"]), &[]));
        check(&private, "h", "10.0.0.5", Err("an address of this machine"));
        check(&private, "h", "10.0.0.6", Ok(()));
        let named = serve.for_worker(&rules(Some(&["10.0.0.0/24"]), &[]));
        check(&named, "h", "10.0.0.5", Ok(()));
        named.listeners.add("0.0.0.0:8080".parse().unwrap());
        check(&named, "h", "10.0.0.5", Err("listens there"));
        check(&named, "h", "10.0.0.6", Ok(()));
        let dev = AddressPolicy {
            loopback: true,
            ..serve
        };
        check(&dev, "h", "9.8.7.6", Err("listens there"));
        let dev = AddressPolicy {
            listeners: Listeners::default(),
            ..dev
        };
        check(&dev, "h", "9.8.7.6", Ok(()));
        check(&dev, "h", "10.0.0.5", Err("private network"));
        check(
            &dev.for_worker(&rules(None, &["loopback"])),
            "h",
            "9.8.7.6",
            Err("deny list"),
        );
    }

    #[test]
    fn a_worker_has_its_own_lists() {
        let check = |allow: Option<&[&str]>, deny: &[&str], host: &str, address: &str, expected| {
            for policy in [AddressPolicy::public(), AddressPolicy::public_and_loopback()] {
                reached(&policy.for_worker(&rules(allow, deny)), host, address, expected);
            }
        };
        check(None, &[], "h", "1.1.1.1", Ok(()));
        check(None, &[], "h", "10.0.0.1", Err("private network"));
        check(None, &["public"], "h", "1.1.1.1", Err("deny list"));
        check(None, &["1.0.0.0/8"], "h", "1.1.1.1", Err("deny list"));
        check(None, &["*.example"], "a.example", "1.1.1.1", Err("deny list"));
        check(None, &["*.example"], "a.test", "1.1.1.1", Ok(()));
        check(Some(&["public"]), &[], "h", "1.1.1.1", Ok(()));
        check(Some(&[]), &[], "h", "1.1.1.1", Err("not on the worker's allow list"));
        check(
            Some(&["api.example"]),
            &[],
            "other.example",
            "1.1.1.1",
            Err("not on the worker's allow list"),
        );
        check(Some(&["api.example"]), &[], "api.example", "1.1.1.1", Ok(()));
        check(Some(&["api.example"]), &[], "API.example.", "1.1.1.1", Ok(()));
        check(Some(&["*.example"]), &[], "a.b.example", "1.1.1.1", Ok(()));
        check(Some(&["public", "10.0.0.0/8"]), &[], "h", "10.1.1.1", Ok(()));
        check(
            Some(&["public", "10.0.0.0/8"]),
            &["10.1.0.0/16"],
            "h",
            "10.1.1.1",
            Err("deny list"),
        );
        check(Some(&["private"]), &[], "h", "10.1.1.1", Ok(()));
        check(Some(&["private"]), &[], "h", "100.64.0.1", Ok(()));
        check(Some(&["private"]), &[], "h", "fd00::1", Ok(()));
        check(Some(&["private"]), &[], "h", "169.254.169.254", Err("link-local"));
        check(
            Some(&["private"]),
            &[],
            "h",
            "1.1.1.1",
            Err("not on the worker's allow list"),
        );
        check(Some(&["private"]), &["private"], "h", "10.1.1.1", Err("deny list"));
        // A name leads to private networks, too, but whoever owns its records gets no further.
        check(Some(&["db.internal"]), &[], "db.internal", "10.1.1.1", Ok(()));
        check(
            Some(&["db.internal"]),
            &[],
            "db.internal",
            "169.254.169.254",
            Err("link-local"),
        );
        check(
            Some(&["db.internal"]),
            &[],
            "db.internal",
            "0.0.0.0",
            Err("this network"),
        );
        check(
            Some(&["db.internal"]),
            &[],
            "db.internal",
            "64:ff9b::a00:1",
            Err("NAT64"),
        );
        check(Some(&["169.254.169.254"]), &[], "h", "169.254.169.254", Ok(()));
        check(Some(&["loopback"]), &[], "h", "127.0.0.1", Ok(()));
        check(Some(&["127.0.0.1:8080"]), &[], "h", "127.0.0.1", Ok(()));
        check(Some(&["localhost"]), &[], "localhost", "127.0.0.1", Ok(()));
        check(Some(&["*.localhost:8080"]), &[], "a.localhost", "::1", Ok(()));
        check(
            Some(&["loopback"]),
            &["loopback"],
            "localhost",
            "127.0.0.1",
            Err("deny list"),
        );
        let serve = AddressPolicy::public();
        for entry in ["db.internal", "public", "private", "127.0.0.2"] {
            let policy = serve.for_worker(&rules(Some(&[entry]), &[]));
            reached(&policy, "db.internal", "127.0.0.1", Err("loopback"));
        }
        // The server's own lists stand.
        let mut guarded = AddressPolicy::public();
        guarded.deny.push("10.0.0.9".parse().unwrap());
        let policy = guarded.for_worker(&rules(Some(&["10.0.0.0/8"]), &[]));
        reached(&policy, "h", "10.0.0.9", Err("deny list"));
        reached(&policy, "h", "10.0.0.8", Ok(()));
    }
}
