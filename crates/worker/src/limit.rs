//! A limit that was reached: what crosses with a fault, and who counts it.

use atoll_model::{Limit, RequestId};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitHit {
    /// Which.
    pub limit: Limit,
    /// Its value, in its unit.
    pub value: u64,
    /// The event that reached it, where it was one.
    pub request_id: Option<RequestId>,
}

/// How often each limit was reached.
#[derive(Debug)]
pub struct LimitCounts(Vec<AtomicU64>);

impl Default for LimitCounts {
    fn default() -> Self {
        Self(Limit::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl LimitCounts {
    /// One more.
    pub fn count(&self, limit: Limit) {
        // `ALL` lists the variants in their order.
        if let Some(count) = self.0.get(limit as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often so far.
    pub fn get(&self, limit: Limit) -> u64 {
        self.0
            .get(limit as usize)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (Limit, u64)> + '_ {
        Limit::ALL.iter().map(|limit| (*limit, self.get(*limit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_own_counter() {
        let counts = LimitCounts::default();
        for (index, limit) in Limit::ALL.iter().enumerate() {
            for _ in 0..=index {
                counts.count(*limit);
            }
        }
        for (index, (_, count)) in counts.all().enumerate() {
            assert_eq!(count, index as u64 + 1);
        }
    }
}
