//! What routes use: the part of their workers' usage that is known to be of events they led to. Counted by route; events carry
//! its number ([`RouteNumber`]) to wherever something is used, and back comes [`Usage`] with it.
//!
//! At most [`ROUTES_MAX`] are counted at a time. When there is no room for another, those that nobody asked for since that was
//! last so make room; numbers are not given twice, so what still comes of a route that is gone counts for none.

use atoll_model::{TenantId, WorkerName};
use atoll_worker::{RouteNumber, Usage};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

/// Routes that are counted at a time.
pub const ROUTES_MAX: usize = 1_000;
/// Requests that found no room before room is looked for again: that looks at all routes.
const REFUSED_BEFORE_SWEEP: usize = 1_000;

/// Whose worker, and the route's pattern or the custom domain's name.
type Key = (TenantId, WorkerName, Arc<str>);

#[derive(Debug)]
struct Counted {
    key: Key,
    number: RouteNumber,
    /// Since room was looked for.
    asked: AtomicBool,
    cpu_us: AtomicU64,
    subrequests: AtomicU64,
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
}

/// What events of a route have used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteCounts {
    /// Whose worker.
    pub tenant: TenantId,
    /// The worker.
    pub worker: WorkerName,
    /// The route's pattern or the custom domain's name.
    pub route: Arc<str>,
    /// CPU, microseconds.
    pub cpu_us: u64,
    /// Requests and connections to the network.
    pub subrequests: u64,
    /// Answers of the response cache.
    pub cache_hits: u64,
    /// Questions that it could not answer.
    pub cache_misses: u64,
}

#[derive(Debug, Default)]
struct Inner {
    by_key: HashMap<Key, Arc<Counted>>,
    by_number: HashMap<RouteNumber, Arc<Counted>>,
    given: u32,
    refused: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Routes {
    // Map operations only stand under the lock: a panic elsewhere cannot leave anything half-changed.
    inner: RwLock<Inner>,
}

impl Routes {
    /// The number of a route, through which a request comes; `None`: it is not counted, others have all the room.
    pub fn number(&self, tenant: &TenantId, worker: &WorkerName, route: &Arc<str>) -> Option<RouteNumber> {
        let key = (tenant.clone(), worker.clone(), route.clone());
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counted) = inner.by_key.get(&key) {
            if !counted.asked.load(Relaxed) {
                counted.asked.store(true, Relaxed);
            }
            return Some(counted.number);
        }
        drop(inner);
        self.inner.write().unwrap_or_else(PoisonError::into_inner).give(key)
    }

    /// Counts what a version of this worker used by the route with that number, and tells which it is; `None` if it is none of
    /// the worker's.
    pub(crate) fn used(
        &self,
        number: RouteNumber,
        tenant: &TenantId,
        worker: &WorkerName,
        usage: &Usage,
    ) -> Option<Arc<str>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let counted = inner.by_number.get(&number)?;
        let (own_tenant, own_worker, route) = &counted.key;
        if own_tenant != tenant || own_worker != worker {
            return None;
        }
        counted.cpu_us.fetch_add(usage.cpu_us, Relaxed);
        counted.subrequests.fetch_add(usage.subrequests, Relaxed);
        counted.cache_hits.fetch_add(usage.cache_hits, Relaxed);
        counted.cache_misses.fetch_add(usage.cache_misses, Relaxed);
        Some(route.clone())
    }

    /// What each route has used since it is counted, in no order.
    pub fn counts(&self) -> Vec<RouteCounts> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let counts = |counted: &Arc<Counted>| {
            let (tenant, worker, route) = counted.key.clone();
            RouteCounts {
                tenant,
                worker,
                route,
                cpu_us: counted.cpu_us.load(Relaxed),
                subrequests: counted.subrequests.load(Relaxed),
                cache_hits: counted.cache_hits.load(Relaxed),
                cache_misses: counted.cache_misses.load(Relaxed),
            }
        };
        inner.by_key.values().map(counts).collect()
    }
}

impl Inner {
    fn give(&mut self, key: Key) -> Option<RouteNumber> {
        if let Some(counted) = self.by_key.get(&key) {
            return Some(counted.number);
        }
        if self.by_key.len() >= ROUTES_MAX {
            if self.refused.is_multiple_of(REFUSED_BEFORE_SWEEP) {
                self.by_key.retain(|_, counted| counted.asked.swap(false, Relaxed));
                let by_key = &self.by_key;
                self.by_number.retain(|_, counted| by_key.contains_key(&counted.key));
            }
            if self.by_key.len() >= ROUTES_MAX {
                self.refused += 1;
                return None;
            }
            self.refused = 0;
        }
        self.given = self.given.checked_add(1)?;
        let number = RouteNumber(NonZeroU32::new(self.given)?);
        let counted = Arc::new(Counted {
            key: key.clone(),
            number,
            asked: AtomicBool::new(true),
            cpu_us: AtomicU64::new(0),
            subrequests: AtomicU64::new(0),
            cache_hits: AtomicU64::new(0),
            cache_misses: AtomicU64::new(0),
        });
        self.by_number.insert(number, counted.clone());
        self.by_key.insert(key, counted);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(routes: &Routes, account: &str, route: usize) -> Option<RouteNumber> {
        let pattern: Arc<str> = format!("{route}.example.com/*").into();
        routes.number(&TenantId::new(account), &WorkerName::new("w"), &pattern)
    }

    fn use_cpu(routes: &Routes, number: RouteNumber, account: &str) -> Option<Arc<str>> {
        let usage = Usage {
            cpu_us: 7,
            route: Some(number),
            ..Usage::default()
        };
        routes.used(number, &TenantId::new(account), &WorkerName::new("w"), &usage)
    }

    #[test]
    fn a_number_counts_for_its_own_worker_alone() {
        let routes = Routes::default();
        let own = number(&routes, "a", 1).unwrap();
        assert_eq!(number(&routes, "a", 1), Some(own));
        assert_ne!(number(&routes, "b", 1), Some(own));
        assert_eq!(use_cpu(&routes, own, "a").as_deref(), Some("1.example.com/*"));
        assert_eq!(use_cpu(&routes, own, "b"), None);
        let unknown = RouteNumber(NonZeroU32::MAX);
        assert_eq!(use_cpu(&routes, unknown, "a"), None);
        let mut told: Vec<(String, u64)> = routes
            .counts()
            .into_iter()
            .map(|counts| (counts.tenant.to_string(), counts.cpu_us))
            .collect();
        told.sort();
        assert_eq!(told, [("a".to_owned(), 7), ("b".to_owned(), 0)]);
    }

    #[test]
    fn routes_that_nobody_asks_for_make_room_and_their_numbers_are_not_given_again() {
        let routes = Routes::default();
        let first = number(&routes, "a", 0).unwrap();
        for route in 1..ROUTES_MAX {
            assert!(number(&routes, "a", route).is_some());
        }
        // All were asked for since the beginning: none goes, but from now on it counts who is asked for.
        assert_eq!(number(&routes, "a", ROUTES_MAX), None);
        for route in 1..ROUTES_MAX {
            assert!(number(&routes, "a", route).is_some());
        }
        for refused in 1..REFUSED_BEFORE_SWEEP {
            assert_eq!(number(&routes, "b", refused), None);
        }
        let late = number(&routes, "a", ROUTES_MAX).unwrap();
        assert_ne!(late, first);
        assert_eq!(use_cpu(&routes, first, "a"), None);
        assert!(use_cpu(&routes, late, "a").is_some());
        assert_eq!(routes.counts().len(), ROUTES_MAX);
    }
}
