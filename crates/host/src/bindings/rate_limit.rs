//! Rate limits: fixed windows that begin with the wall clock's multiples of the period, as under the peer, counted per
//! namespace and key in memory.
//!
//! A window's keys are forgotten with the window, so memory is bounded by [`KEYS_MAX`] keys of [`KEY_BYTES_MAX`] bytes per
//! namespace and period. A key that finds the table full is let through: a limiter must not become an outage.

use async_trait::async_trait;
use atoll_model::TenantId;
use atoll_stdx::Clock;
use atoll_worker::{BindingError, EventContext, RateLimitAsk, RateLimiter};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The most keys of one namespace that are counted in one window.
pub const KEYS_MAX: usize = 100_000;
/// The longest key that is kept whole, bytes; a longer one counts by its beginning and its length.
pub const KEY_BYTES_MAX: usize = 512;

/// One window of one period.
#[derive(Default)]
struct Window {
    epoch: u64,
    counts: HashMap<Box<str>, f64>,
}

/// The windows of one namespace, by period.
type Windows = Mutex<HashMap<u32, Window>>;

/// All rate limits of a host. They outlive versions: a reload does not reset them.
pub struct RateLimits {
    clock: Arc<dyn Clock>,
    namespaces: Mutex<HashMap<(TenantId, String), Arc<Windows>>>,
}

impl RateLimits {
    /// None yet. `clock` says when windows begin.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            namespaces: Mutex::default(),
        }
    }

    /// The limiter of a tenant's namespace.
    pub fn open(&self, tenant: &TenantId, namespace: &str, limit: u32, period_seconds: u32) -> Arc<dyn RateLimiter> {
        self.limiter(tenant, namespace, limit, period_seconds)
    }

    fn limiter(&self, tenant: &TenantId, namespace: &str, limit: u32, period_seconds: u32) -> Arc<Limiter> {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        let windows = namespaces.entry((tenant.clone(), namespace.to_owned())).or_default();
        Arc::new(Limiter {
            clock: self.clock.clone(),
            windows: windows.clone(),
            limit: f64::from(limit),
            period_seconds,
        })
    }
}

struct Limiter {
    clock: Arc<dyn Clock>,
    windows: Arc<Windows>,
    limit: f64,
    period_seconds: u32,
}

fn stored(key: &str) -> Box<str> {
    if key.len() <= KEY_BYTES_MAX {
        return key.into();
    }
    let end = (0..=KEY_BYTES_MAX)
        .rev()
        .find(|end| key.is_char_boundary(*end))
        .unwrap_or(0);
    format!("{}...{}", &key[..end], key.len()).into()
}

#[async_trait]
impl RateLimiter for Limiter {
    async fn limit(&self, _: &EventContext, key: &str, ask: RateLimitAsk) -> Result<bool, BindingError> {
        Ok(self.allows(key, ask))
    }
}

impl Limiter {
    /// Whether one more use of `key` is within the limit; if so it counts.
    fn allows(&self, key: &str, ask: RateLimitAsk) -> bool {
        let period = ask.period_seconds.unwrap_or(self.period_seconds).max(1);
        let limit = ask.limit.unwrap_or(self.limit);
        let epoch = self.clock.now_ms() / (u64::from(period) * 1_000);
        let key = stored(key);
        // A few field writes: nothing in here can leave half of a window behind.
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(period).or_default();
        if window.epoch != epoch {
            window.epoch = epoch;
            window.counts = HashMap::new();
        }
        let used = window.counts.get(&key).copied().unwrap_or(0.0);
        if used >= limit {
            return false;
        }
        if window.counts.len() < KEYS_MAX || window.counts.contains_key(&key) {
            window.counts.insert(key, used + f64::from(ask.delta.max(1)));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_stdx::ManualClock;

    fn limits() -> (ManualClock, RateLimits) {
        let clock = ManualClock::new(0);
        (clock.clone(), RateLimits::new(Arc::new(clock)))
    }

    const PLAIN: RateLimitAsk = RateLimitAsk {
        limit: None,
        period_seconds: None,
        delta: 0,
    };

    #[test]
    fn a_window_counts_per_key_and_ends() {
        let (clock, limits) = limits();
        let tenant = TenantId::new("t");
        let limiter = limits.limiter(&tenant, "1", 2, 10);
        assert!(limiter.allows("a", PLAIN) && limiter.allows("a", PLAIN));
        assert!(!limiter.allows("a", PLAIN));
        assert!(limiter.allows("b", PLAIN));
        // The same namespace counts together, another and another tenant's do not.
        assert!(!limits.limiter(&tenant, "1", 2, 10).allows("a", PLAIN));
        assert!(limits.limiter(&tenant, "2", 2, 10).allows("a", PLAIN));
        assert!(limits.limiter(&TenantId::new("u"), "1", 2, 10).allows("a", PLAIN));
        clock.advance_ms(9_999);
        assert!(!limiter.allows("a", PLAIN));
        clock.advance_ms(1);
        assert!(limiter.allows("a", PLAIN));
    }

    #[test]
    fn a_call_may_ask_otherwise() {
        let (_, limits) = limits();
        let limiter = limits.limiter(&TenantId::new("t"), "1", 1, 10);
        let ask = |limit: f64, period: u32, delta: u32| RateLimitAsk {
            limit: Some(limit),
            period_seconds: Some(period),
            delta,
        };
        assert!(limiter.allows("k", ask(3.0, 60, 2)) && limiter.allows("k", ask(3.0, 60, 2)));
        assert!(!limiter.allows("k", ask(3.0, 60, 1)));
        // Another period is another window.
        assert!(limiter.allows("k", PLAIN) && !limiter.allows("k", PLAIN));
    }

    #[test]
    fn memory_is_bounded_and_a_full_table_lets_through() {
        let (_, limits) = limits();
        let limiter = limits.limiter(&TenantId::new("t"), "1", 1, 10);
        for key in 0..KEYS_MAX {
            assert!(limiter.allows(&key.to_string(), PLAIN));
        }
        assert!(limiter.allows("new", PLAIN) && limiter.allows("new", PLAIN));
        assert!(!limiter.allows("7", PLAIN));
        assert_eq!(stored(&"é".repeat(1_000)).len(), 512 + 3 + 4);
    }
}
