//! The HTTP response cache as a worker sees it: its own zone of it.
//!
//! Source: the Workers documentation, Cache API.

use crate::{BindingError, Body, EventContext, Response, ResponseHead};
use async_trait::async_trait;
use http::HeaderMap;

/// The longest name of a cache, bytes (exclusive).
pub const CACHE_NAME_BYTES_MAX: usize = 1024;

/// A zone's response cache. Requests are `GET`s: the engine lets no other through.
#[async_trait]
pub trait ResponseCache: Send + Sync + 'static {
    /// The stored response that answers the request: itself, 304, 206 or 416. `None` if nothing fresh is stored.
    async fn find(&self, ctx: &EventContext, key: CacheKey) -> Result<Option<Response>, BindingError>;
    /// Stores a response once its body is complete. One that HTTP's rules or the limits keep out is dropped, which is no
    /// error; a body that breaks off is one.
    async fn put(&self, ctx: &EventContext, key: CacheKey, head: ResponseHead, body: Body) -> Result<(), BindingError>;
    /// Removes what is stored. True if something fresh was.
    async fn delete(&self, ctx: &EventContext, key: CacheKey) -> Result<bool, BindingError>;
}

/// Which response is meant.
#[derive(Debug, Clone)]
pub struct CacheKey {
    /// The cache's name; `None` is the default cache.
    pub cache: Option<String>,
    /// The URL without fragment, or the key that the request names instead.
    pub url: String,
    /// The request's fields.
    pub headers: HeaderMap,
}

/// A cache that keeps nothing, for hosts without memory to spare and for tests.
pub struct NoCache;

#[async_trait]
impl ResponseCache for NoCache {
    async fn find(&self, _: &EventContext, _: CacheKey) -> Result<Option<Response>, BindingError> {
        Ok(None)
    }

    async fn put(&self, _: &EventContext, _: CacheKey, _: ResponseHead, _: Body) -> Result<(), BindingError> {
        Ok(())
    }

    async fn delete(&self, _: &EventContext, _: CacheKey) -> Result<bool, BindingError> {
        Ok(false)
    }
}
