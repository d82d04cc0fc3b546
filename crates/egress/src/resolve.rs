//! Names to addresses.
//!
//! [`Resolve`] is what [`crate::Egress`] asks, once per connection attempt it may make; a test puts its own in.
//! [`SystemResolver`] asks the machine (`getaddrinfo`: hosts file, DNS, whatever `nsswitch.conf` says) and keeps an answer
//! for a few seconds, so that a burst of fetches to one host is one question. A kept answer is judged by the address
//! policy like a new one.

use crate::limits::{DNS_CACHE_ENTRIES_MAX, DNS_CACHE_TTL};
use async_trait::async_trait;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Finds the addresses of a host.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of `host` (a name, never a literal address), in the order to try them. `Err` is the reason as a
    /// person should read it; an empty list means that the name has none.
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String>;
}

/// The machine's own resolver.
#[derive(Debug, Default)]
pub struct SystemResolver {
    cache: Mutex<HashMap<String, Kept>>,
}

#[derive(Debug)]
struct Kept {
    since: Instant,
    addresses: Arc<[IpAddr]>,
}

impl SystemResolver {
    fn kept(&self, host: &str) -> Option<Vec<IpAddr>> {
        let cache = self.cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        cache
            .get(host)
            .filter(|kept| kept.since.elapsed() < DNS_CACHE_TTL)
            .map(|kept| kept.addresses.to_vec())
    }

    fn keep(&self, host: &str, addresses: &[IpAddr]) {
        let mut cache = self.cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if cache.len() >= DNS_CACHE_ENTRIES_MAX {
            cache.retain(|_, kept| kept.since.elapsed() < DNS_CACHE_TTL);
            if cache.len() >= DNS_CACHE_ENTRIES_MAX {
                return;
            }
        }
        cache.insert(
            host.to_owned(),
            Kept {
                since: Instant::now(),
                addresses: addresses.into(),
            },
        );
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        // RFC 6761 section 6.3: these names are this machine, whatever a name server says.
        let bare = host.strip_suffix('.').unwrap_or(host);
        if bare == "localhost" || bare.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        if let Some(addresses) = self.kept(host) {
            return Ok(addresses);
        }
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in tokio::net::lookup_host((host, 0))
            .await
            .map_err(|error| reason(&error))?
        {
            if !addresses.contains(&address.ip()) {
                addresses.push(address.ip());
            }
        }
        if !addresses.is_empty() {
            self.keep(host, &addresses);
        }
        Ok(addresses)
    }
}

fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    // The standard library wraps getaddrinfo's text; the wrapping says nothing.
    text.strip_prefix("failed to lookup address information: ")
        .unwrap_or(&text)
        .to_owned()
}
