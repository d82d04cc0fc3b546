//! What routes use: the part of their workers' usage that is known to be of events they led to. Counted by route; events carry
//! its number ([`RouteNumber`]) to wherever something is used, and back comes [`Usage`] with it.
//!
//! At most [`ROUTES_MAX`] are counted at a time, and whoever counts requests by route asks here which. When there is no room for
//! another, the one goes that was quiet the longest, if that is [`QUIET`]; else the quietest of the account that has the most, if
//! that has two more than the one that asks. Numbers are not given twice, so what still comes of a route that is gone counts for none.

use atoll_model::{TenantId, WorkerName};
use atoll_worker::{RouteNumber, Usage};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

/// Routes that are counted at a time.
pub const ROUTES_MAX: usize = 1_000;
/// A route that was not used for so long makes room for another.
const QUIET: Duration = Duration::from_secs(60);
/// How often room is looked for where there was none: that looks at all routes.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Whose worker, and the route's pattern or the custom domain's name.
type Key = (TenantId, WorkerName, Arc<str>);

#[derive(Debug)]
struct Counted {
    key: Key,
    number: RouteNumber,
    /// When it was asked for or used last, milliseconds since `Routes::begun`.
    last_ms: AtomicU64,
    cpu_us: AtomicU64,
    subrequests: AtomicU64,
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
}

/// What events of a route have used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteCounts {
    /// Its number.
    pub number: RouteNumber,
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
    /// There was no room; not looked for again before then, milliseconds.
    full_until_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Routes {
    begun: Instant,
    // Map operations only stand under the lock: a panic elsewhere cannot leave anything half-changed.
    inner: RwLock<Inner>,
    refused: AtomicU64,
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            inner: RwLock::default(),
            refused: AtomicU64::new(0),
        }
    }
}

impl Routes {
    fn ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX)
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a route, through which a request comes now; `None`: it is not counted, others have all the room.
    pub fn number(
        &self,
        tenant: &TenantId,
        worker: &WorkerName,
        route: &Arc<str>,
        now: Instant,
    ) -> Option<RouteNumber> {
        let now_ms = self.ms(now);
        let key = (tenant.clone(), worker.clone(), route.clone());
        let inner = self.read();
        if let Some(counted) = inner.by_key.get(&key) {
            counted.last_ms.store(now_ms, Relaxed);
            return Some(counted.number);
        }
        let given = if inner.by_key.len() >= ROUTES_MAX && now_ms < inner.full_until_ms {
            None
        } else {
            drop(inner);
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            inner.give(key, now_ms)
        };
        if given.is_none() {
            self.refused.fetch_add(1, Relaxed);
        }
        given
    }

    /// Requests by routes that were not counted.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Whether the route with that number is counted.
    pub fn has(&self, number: RouteNumber) -> bool {
        self.read().by_number.contains_key(&number)
    }

    /// Only routes of which `stays` says so, of an account, a worker and a pattern, are counted from now on.
    pub fn retain(&self, stays: impl Fn(&TenantId, &WorkerName, &str) -> bool) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner
            .by_key
            .retain(|(tenant, worker, route), _| stays(tenant, worker, route));
        inner.by_number.retain(|_, counted| {
            let (tenant, worker, route) = &counted.key;
            stays(tenant, worker, route)
        });
        inner.full_until_ms = 0;
    }

    /// Counts what a version of this worker used by the route with that number, and tells which it is; `None` if it is none of
    /// the worker's.
    pub(crate) fn used(
        &self,
        number: RouteNumber,
        tenant: &TenantId,
        worker: &WorkerName,
        usage: &Usage,
        now: Instant,
    ) -> Option<Arc<str>> {
        let inner = self.read();
        let counted = inner.by_number.get(&number)?;
        let (own_tenant, own_worker, route) = &counted.key;
        if own_tenant != tenant || own_worker != worker {
            return None;
        }
        counted.last_ms.store(self.ms(now), Relaxed);
        counted.cpu_us.fetch_add(usage.cpu_us, Relaxed);
        counted.subrequests.fetch_add(usage.subrequests, Relaxed);
        counted.cache_hits.fetch_add(usage.cache_hits, Relaxed);
        counted.cache_misses.fetch_add(usage.cache_misses, Relaxed);
        Some(route.clone())
    }

    /// What each route has used since it is counted, in no order.
    pub fn counts(&self) -> Vec<RouteCounts> {
        let inner = self.read();
        let counts = |counted: &Arc<Counted>| {
            let (tenant, worker, route) = counted.key.clone();
            RouteCounts {
                number: counted.number,
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
    fn give(&mut self, key: Key, now_ms: u64) -> Option<RouteNumber> {
        if let Some(counted) = self.by_key.get(&key) {
            return Some(counted.number);
        }
        if self.by_key.len() >= ROUTES_MAX {
            let Some(gone) = self.who_makes_room(&key.0, now_ms) else {
                self.full_until_ms = now_ms.saturating_add(millis(LOOK_AGAIN));
                return None;
            };
            self.by_key.remove(&gone.key);
            self.by_number.remove(&gone.number);
        }
        self.given = self.given.checked_add(1)?;
        let number = RouteNumber(NonZeroU32::new(self.given)?);
        let counted = Arc::new(Counted {
            key: key.clone(),
            number,
            last_ms: AtomicU64::new(now_ms),
            cpu_us: AtomicU64::new(0),
            subrequests: AtomicU64::new(0),
            cache_hits: AtomicU64::new(0),
            cache_misses: AtomicU64::new(0),
        });
        self.by_number.insert(number, counted.clone());
        self.by_key.insert(key, counted);
        Some(number)
    }

    /// The route that goes, so that another one of `tenant` can be counted.
    fn who_makes_room(&self, tenant: &TenantId, now_ms: u64) -> Option<Arc<Counted>> {
        let quietest = |counted: &&Arc<Counted>| counted.last_ms.load(Relaxed);
        let all = self.by_key.values();
        let silent = all.clone().min_by_key(quietest)?;
        if now_ms.saturating_sub(silent.last_ms.load(Relaxed)) >= millis(QUIET) {
            return Some(silent.clone());
        }
        let mut accounts: HashMap<&TenantId, usize> = HashMap::new();
        for (account, ..) in self.by_key.keys() {
            *accounts.entry(account).or_default() += 1;
        }
        let own = accounts.get(tenant).copied().unwrap_or(0);
        let (account, most) = accounts.into_iter().max_by_key(|(_, count)| *count)?;
        let theirs = all.filter(|counted| counted.key.0 == *account);
        (most >= own + 2).then(|| theirs.min_by_key(quietest).cloned())?
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        routes: Routes,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            let routes = Routes::default();
            let now = routes.begun;
            Self { routes, now }
        }

        fn number(&self, account: &str, route: usize) -> Option<RouteNumber> {
            let pattern: Arc<str> = format!("{route}.example.com/*").into();
            self.routes
                .number(&TenantId::new(account), &WorkerName::new("w"), &pattern, self.now)
        }

        fn uses(&self, number: RouteNumber, account: &str) -> Option<Arc<str>> {
            let usage = Usage {
                cpu_us: 7,
                route: Some(number),
                ..Usage::default()
            };
            let (account, worker) = (TenantId::new(account), WorkerName::new("w"));
            self.routes.used(number, &account, &worker, &usage, self.now)
        }
    }

    #[test]
    fn a_number_counts_for_its_own_worker_alone() {
        let world = World::new();
        let own = world.number("a", 1).unwrap();
        assert_eq!(world.number("a", 1), Some(own));
        assert_ne!(world.number("b", 1), Some(own));
        assert_eq!(world.uses(own, "a").as_deref(), Some("1.example.com/*"));
        assert_eq!(world.uses(own, "b"), None);
        let unknown = RouteNumber(NonZeroU32::MAX);
        assert_eq!(world.uses(unknown, "a"), None);
        let mut told: Vec<(String, u64)> = world
            .routes
            .counts()
            .into_iter()
            .map(|counts| (counts.tenant.to_string(), counts.cpu_us))
            .collect();
        told.sort();
        assert_eq!(told, [("a".to_owned(), 7), ("b".to_owned(), 0)]);
    }

    #[test]
    fn routes_that_are_quiet_make_room_and_their_numbers_are_not_given_again() {
        let mut world = World::new();
        let first = world.number("a", 0).unwrap();
        let talks = world.number("a", 1).unwrap();
        for route in 2..ROUTES_MAX {
            assert!(world.number("a", route).is_some());
        }
        assert_eq!(world.number("a", ROUTES_MAX), None);
        assert_eq!(world.routes.refused(), 1);
        world.now += QUIET;
        // What an event of it uses keeps a route, too: a socket's has no requests.
        assert!(world.uses(talks, "a").is_some());
        let mut late = None;
        for route in ROUTES_MAX..2 * ROUTES_MAX - 1 {
            late = world.number("a", route);
            assert!(late.is_some());
        }
        assert_ne!(late, Some(first));
        assert_eq!(world.uses(first, "a"), None);
        assert!(world.uses(talks, "a").is_some() && world.routes.has(talks));
        assert_eq!(world.number("a", 5_000), None);
        assert_eq!((world.routes.counts().len(), world.routes.refused()), (ROUTES_MAX, 2));
    }

    #[test]
    fn an_account_with_many_routes_leaves_room_for_the_others() {
        let mut world = World::new();
        for route in 0..ROUTES_MAX {
            world.number("a", route);
        }
        for route in 0..ROUTES_MAX / 2 {
            assert!(world.number("b", route).is_some(), "{route}");
        }
        assert_eq!(world.number("b", ROUTES_MAX / 2), None);
        // Looked for once a second.
        assert_eq!(world.number("c", 0), None);
        world.now += LOOK_AGAIN;
        assert!(world.number("c", 0).is_some());
    }

    #[test]
    fn what_is_no_route_any_more_makes_room_at_once() {
        let world = World::new();
        let numbers: Vec<RouteNumber> = (0..ROUTES_MAX).filter_map(|route| world.number("a", route)).collect();
        assert_eq!(world.number("a", ROUTES_MAX), None);
        world.routes.retain(|_, _, pattern| pattern != "7.example.com/*");
        assert!(!world.routes.has(numbers[7]) && world.routes.has(numbers[8]));
        assert!(world.number("a", ROUTES_MAX).is_some());
    }
}
