//! The rate limiting binding's capability. Source: Cloudflare's documentation, "Rate Limiting" (Workers, runtime APIs).

use crate::{BindingError, EventContext};
use async_trait::async_trait;

/// The periods that a limit may have, seconds.
pub const PERIODS_SECONDS: [u32; 2] = [10, 60];

/// Counts by key.
#[async_trait]
pub trait RateLimiter: Send + Sync + 'static {
    /// Whether one more use of `key` is within the limit; if so it counts. What the call leaves open is as configured.
    async fn limit(&self, ctx: &EventContext, key: &str, ask: RateLimitAsk) -> Result<bool, BindingError>;
}

/// One question to a [`RateLimiter`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RateLimitAsk {
    /// Uses in a period, in place of the configured ones.
    pub limit: Option<f64>,
    /// One of [`PERIODS_SECONDS`], in place of the configured one.
    pub period_seconds: Option<u32>,
    /// How much this use counts; 0 stands for 1.
    pub delta: u32,
}
