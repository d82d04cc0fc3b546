//! The addresses of this machine's own interfaces, and the sockets that this server listens on.
//!
//! A connection to one of them never leaves the machine: firewalls in front of it do not see it, and services that trust
//! "whoever is inside" answer it. That holds for a public address, too, so both are judged beside the address tables.
//! A public address that only a load balancer or a router in front of the machine has is not found here: name it in the
//! server's deny list.

use crate::limits::INTERFACES_TTL;
use atoll_model::outbound::canonical;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

/// Where this server listens: nothing that a worker's configuration says opens these. Clones share one list.
#[derive(Debug, Clone, Default)]
pub struct Listeners(Arc<RwLock<Vec<SocketAddr>>>);

impl Listeners {
    /// Adds one, as bound: `0.0.0.0` and `[::]` stand for every address of the machine.
    pub fn add(&self, listener: SocketAddr) {
        // A push either happened or not.
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Is `address` (canonical) at `port` one of them?
    pub(crate) fn contain(&self, address: IpAddr, port: u16, own: &OwnAddresses) -> bool {
        let listeners = self.0.read().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().any(|listener| {
            let bound = canonical(listener.ip());
            listener.port() == port && (bound == address || (bound.is_unspecified() && own.is_this_machine(address)))
        })
    }
}

/// The addresses of this machine.
#[derive(Debug, Clone)]
pub struct OwnAddresses(Source);

#[derive(Debug, Clone)]
enum Source {
    Interfaces(Arc<Mutex<Option<Read>>>),
    Fixed(Arc<[IpAddr]>),
}

#[derive(Debug)]
struct Read {
    at: Instant,
    addresses: Arc<[IpAddr]>,
}

impl Default for OwnAddresses {
    fn default() -> Self {
        Self::interfaces()
    }
}

impl OwnAddresses {
    /// Those of the network interfaces, read again when the last reading is [`INTERFACES_TTL`] old.
    pub fn interfaces() -> Self {
        Self(Source::Interfaces(Arc::default()))
    }

    /// These.
    pub fn fixed(addresses: &[IpAddr]) -> Self {
        Self(Source::Fixed(addresses.iter().copied().map(canonical).collect()))
    }

    /// Does a packet to `address` (canonical) stay here? Loopback and the unspecified addresses do, too.
    pub(crate) fn is_this_machine(&self, address: IpAddr) -> bool {
        address.is_loopback() || address.is_unspecified() || self.current().contains(&address)
    }

    fn current(&self) -> Arc<[IpAddr]> {
        match &self.0 {
            Source::Fixed(addresses) => addresses.clone(),
            Source::Interfaces(read) => {
                let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(last) = read.as_ref().filter(|last| last.at.elapsed() < INTERFACES_TTL) {
                    return last.addresses.clone();
                }
                let addresses = match interface_addresses() {
                    Ok(addresses) => addresses.into(),
                    Err(error) => {
                        tracing::warn!(%error, "cannot read the addresses of this machine; the last ones known are used");
                        read.as_ref().map_or_else(Arc::default, |last| last.addresses.clone())
                    }
                };
                let at = Instant::now();
                *read = Some(Read {
                    at,
                    addresses: Arc::clone(&addresses),
                });
                addresses
            }
        }
    }
}

/// `getifaddrs(3)`: every IPv4 and IPv6 address of every interface.
fn interface_addresses() -> std::io::Result<Vec<IpAddr>> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the argument is a place for one pointer, as the call asks.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    let mut addresses = Vec::new();
    let mut next = first;
    while !next.is_null() {
        // SAFETY: `next` is an element of the list, which lives until it is freed below.
        let entry = unsafe { &*next };
        next = entry.ifa_next;
        if entry.ifa_addr.is_null() {
            continue;
        }
        // SAFETY: not null, so it is a socket address of the family that its first field says; its memory is aligned
        // for each of them.
        let address = unsafe {
            match i32::from((*entry.ifa_addr).sa_family) {
                libc::AF_INET => {
                    let v4 = &*entry.ifa_addr.cast::<libc::sockaddr_in>();
                    IpAddr::from(Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr)))
                }
                libc::AF_INET6 => {
                    let v6 = &*entry.ifa_addr.cast::<libc::sockaddr_in6>();
                    IpAddr::from(Ipv6Addr::from(v6.sin6_addr.s6_addr))
                }
                _ => continue,
            }
        };
        addresses.push(canonical(address));
    }
    // SAFETY: `first` came from `getifaddrs`, is freed once, and nothing borrows from the list any more.
    unsafe { libc::freeifaddrs(first) };
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read() {
        let own = OwnAddresses::interfaces();
        assert!(own.current().contains(&IpAddr::from(Ipv4Addr::LOCALHOST)));
        // Documentation addresses are nobody's.
        assert!(!own.is_this_machine("192.0.2.1".parse().unwrap()));
        assert!(!own.is_this_machine("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn listeners() {
        let own = OwnAddresses::fixed(&["9.8.7.6".parse().unwrap(), "::ffff:9.8.7.5".parse().unwrap()]);
        let check = |listener: &str, address: &str, port: u16, expected: bool| {
            let listeners = Listeners::default();
            listeners.add(listener.parse().unwrap());
            let got = listeners.contain(canonical(address.parse().unwrap()), port, &own);
            assert_eq!(got, expected, "{listener} {address} {port}");
        };
        check("9.8.7.6:80", "9.8.7.6", 80, true);
        check("9.8.7.6:80", "::ffff:9.8.7.6", 80, true);
        check("9.8.7.6:80", "9.8.7.6", 81, false);
        check("9.8.7.6:80", "9.8.7.5", 80, false);
        for any in ["0.0.0.0:80", "[::]:80"] {
            for address in ["9.8.7.6", "9.8.7.5", "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::"] {
                check(any, address, 80, true);
                check(any, address, 81, false);
            }
            check(any, "1.1.1.1", 80, false);
        }
    }
}
