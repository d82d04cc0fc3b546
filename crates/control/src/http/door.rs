//! Who asks: bearer tokens, how often wrong ones may be tried, and when tokens were used last.
//!
//! A wrong token costs a look into the database, so each address has a bucket of them: it holds [`FAILURES_AT_ONCE`] and gets one
//! back every [`FAILURE_BACK_MS`]. An address whose bucket is empty is answered 429 without a look, but for tokens that were
//! right lately: somebody behind the same address does not lock others out. All of it is bounded; what is pushed out begins anew.

use super::error::ApiError;
use crate::catalog::{Catalog, CatalogError, Identity};
use crate::tokens::Token;
use atoll_model::TokenId;
use atoll_stdx::Clock;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many wrong tokens an address may try at once.
pub const FAILURES_AT_ONCE: u32 = 20;
/// After how long it may try one more, milliseconds.
pub const FAILURE_BACK_MS: u64 = 3_000;
/// [`FAILURE_BACK_MS`] as it is told to clients.
const FAILURE_BACK_S: u32 = 3;
/// The most addresses that are remembered; the one that failed longest ago goes.
const ADDRESSES_MAX: usize = 10_000;
/// The most tokens that are remembered as right, and the most whose use waits to be noted.
const TOKENS_MAX: usize = 10_000;
/// The longest `authorization`, bytes.
const AUTHORIZATION_BYTES_MAX: usize = 512;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u32,
    since_ms: u64,
}

#[derive(Debug, Default)]
struct Inner {
    failures: HashMap<IpAddr, Bucket>,
    /// SHA-256 of tokens that were right.
    right: HashMap<[u8; 32], u64>,
    uses: HashMap<TokenId, u64>,
}

/// See the module.
#[derive(Debug)]
pub struct Door {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

/// The network that somebody has for themselves: an IPv4 address, or a /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

impl Door {
    /// Nobody has asked yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            inner: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom the request's bearer token stands for. `peer`: where the request comes from.
    pub async fn enter(&self, catalog: &Catalog, headers: &HeaderMap, peer: IpAddr) -> Result<Identity, ApiError> {
        let text = bearer(headers)?;
        let token = Token::parse(text).map_err(|error| {
            // Nothing was looked up, so it costs nothing.
            ApiError::new(StatusCode::UNAUTHORIZED, "unauthenticated", error.to_string())
        })?;
        let now_ms = self.clock.now_ms();
        let (network, hash) = (network(peer), token.hash());
        self.may_try(network, &hash, now_ms)?;
        match catalog.authenticate(&token).await {
            Ok(identity) => {
                let mut inner = self.lock();
                if inner.right.len() >= TOKENS_MAX {
                    let oldest = inner.right.iter().min_by_key(|(_, at)| **at);
                    let oldest = oldest.map(|(hash, _)| *hash);
                    oldest.and_then(|hash| inner.right.remove(&hash));
                }
                inner.right.insert(hash, now_ms);
                if inner.uses.len() < TOKENS_MAX || inner.uses.contains_key(&identity.token) {
                    inner.uses.insert(identity.token.clone(), now_ms);
                }
                Ok(identity)
            }
            Err(error @ CatalogError::Unauthenticated) => {
                self.failed(network, &hash, now_ms);
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn may_try(&self, network: IpAddr, hash: &[u8; 32], now_ms: u64) -> Result<(), ApiError> {
        let mut inner = self.lock();
        if inner.right.contains_key(hash) {
            return Ok(());
        }
        let Some(bucket) = inner.failures.get_mut(&network) else {
            return Ok(());
        };
        let back = now_ms.saturating_sub(bucket.since_ms) / FAILURE_BACK_MS;
        bucket.since_ms += back * FAILURE_BACK_MS;
        bucket.left = bucket.left.saturating_add(u32::try_from(back).unwrap_or(u32::MAX));
        if bucket.left >= FAILURES_AT_ONCE {
            inner.failures.remove(&network);
            return Ok(());
        }
        if bucket.left > 0 {
            return Ok(());
        }
        Err(ApiError {
            retry_after_s: Some(FAILURE_BACK_S),
            ..ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "too many requests with invalid tokens came from this address",
            )
        })
    }

    fn failed(&self, network: IpAddr, hash: &[u8; 32], now_ms: u64) {
        let mut inner = self.lock();
        inner.right.remove(hash);
        if inner.failures.len() >= ADDRESSES_MAX && !inner.failures.contains_key(&network) {
            let oldest = inner.failures.iter().min_by_key(|(_, bucket)| bucket.since_ms);
            let oldest = oldest.map(|(network, _)| *network);
            oldest.and_then(|network| inner.failures.remove(&network));
        }
        let bucket = inner.failures.entry(network).or_insert(Bucket {
            left: FAILURES_AT_ONCE,
            since_ms: now_ms,
        });
        bucket.left = bucket.left.saturating_sub(1);
    }

    /// Notes in the catalog when tokens were used. Called every half minute or so; what cannot be noted is dropped.
    pub async fn note_uses(&self, catalog: &Catalog) -> Result<(), CatalogError> {
        let uses: Vec<(TokenId, u64)> = self.lock().uses.drain().collect();
        if uses.is_empty() {
            return Ok(());
        }
        catalog.note_token_uses(uses).await
    }
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let refused = |message: &str| {
        ApiError::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
            .hint("send \"authorization: Bearer atoll_...\"; `atoll login` keeps a token for the command line")
    };
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| refused("the request has no API token"))?;
    if values.next().is_some() || value.len() > AUTHORIZATION_BYTES_MAX {
        return Err(refused("the request's authorization cannot be read"));
    }
    let text = value
        .to_str()
        .map_err(|_| refused("the request's authorization cannot be read"))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(refused("the request's authorization is not of the scheme Bearer")),
    }
}
