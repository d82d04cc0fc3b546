//! What happened to each version since the last report: plain counters that a request adds to without waiting.
//!
//! A version is counted under its id, which no other worker's has. Who reads takes what there is ([`Meters::take`]): a count is
//! told once. Clients' requests are told by the front, with their statuses; what is under way, and what crons and other workers
//! ask for, by the host, which alone sees events that have no end yet.

use super::open::Open;
use atoll_api::pop::VersionHealth;
use atoll_edge::{AccessRecord, STATUS_CLIENT_GONE};
use atoll_host::{EventEnd, EventWatch, LogOrigin, Origin, ROUTES_MAX, UsageWatch};
use atoll_model::{TenantId, VersionId, WorkerName, WorkerVersion};
use atoll_worker::{Fault, FaultKind, Outcome, StartKind, Usage};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Upper bounds of the counts of latency, milliseconds; one more count has none.
const LATENCY_BOUNDS_MS: [u64; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];
/// Classes of statuses, 1xx to 5xx.
const CLASSES: usize = 5;

/// One version's counters.
#[derive(Debug, Default)]
struct Meter {
    account: String,
    worker: String,
    requests: AtomicU64,
    server_errors: AtomicU64,
    exceptions: AtomicU64,
    limits: AtomicU64,
    crashes: AtomicU64,
    failed_starts: AtomicU64,
    cold_starts: AtomicU64,
    abandoned: AtomicU64,
    calls: AtomicU64,
    cpu_us: AtomicU64,
    subrequests: AtomicU64,
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
    latency: [AtomicU64; LATENCY_BOUNDS_MS.len() + 1],
    statuses: [AtomicU64; CLASSES],
    open: Mutex<Open>,
}

/// What a fault says of the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    Exception,
    Limit,
    Crash,
    Start,
    /// Not its doing.
    None,
}

fn blame(kind: FaultKind) -> Blame {
    match kind {
        FaultKind::Exception | FaultKind::BadResponse | FaultKind::NeverSettles | FaultKind::NoHandler => {
            Blame::Exception
        }
        FaultKind::ExceededCpu | FaultKind::ExceededMemory | FaultKind::ExceededWall | FaultKind::TooDeep => {
            Blame::Limit
        }
        FaultKind::Crashed => Blame::Crash,
        FaultKind::Startup => Blame::Start,
        FaultKind::Overloaded
        | FaultKind::NotFound
        | FaultKind::Canceled
        | FaultKind::Draining
        | FaultKind::Internal => Blame::None,
    }
}

impl Meter {
    fn open<T>(&self, what: impl FnOnce(&mut Open) -> T) -> T {
        // Additions only: a panic elsewhere cannot leave them half-done.
        what(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether nothing is under way and all that ended is told.
    fn is_told(&self) -> bool {
        let untold = [
            &self.requests,
            &self.calls,
            &self.exceptions,
            &self.limits,
            &self.crashes,
            &self.failed_starts,
            &self.cpu_us,
            &self.subrequests,
            &self.cache_hits,
            &self.cache_misses,
        ];
        untold.iter().all(|counter| counter.load(Relaxed) == 0) && self.open(|open| open.is_empty())
    }

    fn fault(&self, kind: FaultKind) {
        let counter = match blame(kind) {
            Blame::Exception => &self.exceptions,
            Blame::Limit => &self.limits,
            Blame::Crash => &self.crashes,
            Blame::Start => &self.failed_starts,
            Blame::None => return,
        };
        counter.fetch_add(1, Relaxed);
    }

    fn used(&self, usage: &Usage) {
        for (counter, more) in [
            (&self.cpu_us, usage.cpu_us),
            (&self.subrequests, usage.subrequests),
            (&self.cache_hits, usage.cache_hits),
            (&self.cache_misses, usage.cache_misses),
        ] {
            if more > 0 {
                counter.fetch_add(more, Relaxed);
            }
        }
    }

    fn request(&self, record: &AccessRecord, start: StartKind) {
        self.requests.fetch_add(1, Relaxed);
        let class = usize::from(record.status / 100).clamp(1, CLASSES) - 1;
        self.statuses[class].fetch_add(1, Relaxed);
        self.latency[bucket(record.elapsed)].fetch_add(1, Relaxed);
        match record.fault {
            Some(kind) => self.fault(kind),
            None if record.status >= 500 => {
                self.server_errors.fetch_add(1, Relaxed);
            }
            None => {}
        }
        if start == StartKind::Cold {
            self.cold_starts.fetch_add(1, Relaxed);
        }
        if record.status == STATUS_CLIENT_GONE && record.worker.is_some() {
            self.abandoned.fetch_add(1, Relaxed);
        }
    }

    /// Takes the counts; `None` if there are none.
    fn take(&self, version: &VersionId, second: u64) -> Option<VersionHealth> {
        let open = self.open(|open| open.take(second));
        let taken = |counter: &AtomicU64| counter.swap(0, Relaxed);
        let health = VersionHealth {
            account: self.account.clone(),
            worker: self.worker.clone(),
            version: version.to_string(),
            requests: taken(&self.requests),
            server_errors: taken(&self.server_errors),
            exceptions: taken(&self.exceptions),
            limits: taken(&self.limits),
            crashes: taken(&self.crashes),
            failed_starts: taken(&self.failed_starts),
            cold_starts: taken(&self.cold_starts),
            latency: self.latency.iter().map(taken).collect(),
            statuses: self.statuses.iter().map(taken).collect(),
            begun: open.begun,
            settled: open.settled,
            late: open.late,
            late_settled: open.late_settled,
            late_seconds: open.late_seconds,
            abandoned: taken(&self.abandoned),
            calls: taken(&self.calls),
            cpu_us: taken(&self.cpu_us),
            subrequests: taken(&self.subrequests),
            cache_hits: taken(&self.cache_hits),
            cache_misses: taken(&self.cache_misses),
            ..VersionHealth::default()
        };
        let silent = health.requests == 0
            && health.exceptions == 0
            && health.limits == 0
            && health.crashes == 0
            && health.failed_starts == 0
            && health.calls == 0
            && health.cpu_us == 0
            && health.subrequests == 0
            && health.cache_hits == 0
            && health.cache_misses == 0
            && open.is_silent();
        (!silent).then_some(health)
    }
}

/// Account, worker, pattern.
type Route = (TenantId, WorkerName, Arc<str>);

/// All versions' counters.
#[derive(Debug)]
pub(crate) struct Meters {
    versions: RwLock<HashMap<VersionId, Arc<Meter>>>,
    routes: RwLock<HashMap<Route, Arc<Meter>>>,
    /// What seconds are counted from.
    began: Instant,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            versions: RwLock::default(),
            routes: RwLock::default(),
            began: Instant::now(),
        }
    }
}

/// An event of a version under way.
struct Under {
    meter: Arc<Meter>,
    /// The second in which it began, if it is counted while it is under way.
    since: Option<u64>,
    origin: Origin,
}

impl EventEnd for Under {
    fn ends(self: Box<Self>, answer: Option<&Result<Outcome, Fault>>) {
        let Some(answer) = answer else { return };
        if self.origin != Origin::Client {
            self.meter.calls.fetch_add(1, Relaxed);
            if let Err(fault) = answer {
                self.meter.fault(fault.kind);
            }
        }
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        if let Some(since) = self.since {
            self.meter.open(|open| open.end(since));
        }
    }
}

impl EventWatch for Meters {
    fn begins(&self, version: &WorkerVersion, origin: Origin) -> Option<Box<dyn EventEnd>> {
        let id = VersionId::new(version.id.as_str());
        let meter = match self.of(&id) {
            Some(meter) => meter,
            None => {
                // Crons and other workers ask for what no client has asked for yet.
                self.register(&id, &version.tenant, &version.name);
                self.of(&id)?
            }
        };
        // What others may take their time for is counted when it is over.
        let since = (origin != Origin::Other).then(|| self.second());
        if let Some(since) = since {
            meter.open(|open| open.begin(since));
        }
        Some(Box::new(Under { meter, since, origin }))
    }
}

impl UsageWatch for Meters {
    fn used(&self, origin: &LogOrigin, route: Option<&Arc<str>>, usage: &Usage) {
        let LogOrigin {
            tenant,
            worker,
            version,
        } = origin;
        let version = VersionId::new(&**version);
        let meter = self.of(&version).or_else(|| {
            // One that has lost its place still finishes what it has.
            self.register(&version, tenant, worker);
            self.of(&version)
        });
        if let Some(meter) = meter {
            meter.used(usage);
        }
        if let Some(route) = route
            && let Some(meter) = self.of_route((tenant.clone(), worker.clone(), route.clone()))
        {
            meter.used(usage);
        }
    }
}

impl Meters {
    /// Whole seconds since the beginning.
    fn second(&self) -> u64 {
        self.began.elapsed().as_secs()
    }

    fn of(&self, version: &VersionId) -> Option<Arc<Meter>> {
        let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        versions.get(version).cloned()
    }

    /// The version will get requests.
    pub(crate) fn register(&self, version: &VersionId, account: &TenantId, worker: &WorkerName) {
        let mut versions = self.versions.write().unwrap_or_else(PoisonError::into_inner);
        versions.entry(version.clone()).or_insert_with(|| {
            Arc::new(Meter {
                account: account.to_string(),
                worker: worker.to_string(),
                ..Meter::default()
            })
        });
    }

    /// Counts a request.
    pub(crate) fn request(&self, record: &AccessRecord, start: StartKind) {
        if let Some(meter) = record.version.as_ref().and_then(|version| self.of(version)) {
            meter.request(record, start);
        }
        if let (Some(account), Some(worker), Some(route)) = (&record.tenant, &record.worker, &record.route)
            && route.number.is_some()
            && let Some(meter) = self.of_route((account.clone(), worker.clone(), route.pattern.clone()))
        {
            meter.request(record, start);
        }
    }

    fn of_route(&self, route: Route) -> Option<Arc<Meter>> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = routes.get(&route) {
            return Some(meter.clone());
        }
        drop(routes);
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        if routes.len() >= ROUTES_MAX && !routes.contains_key(&route) {
            return None;
        }
        let (account, worker) = (route.0.to_string(), route.1.to_string());
        let made = || {
            Arc::new(Meter {
                account,
                worker,
                ..Meter::default()
            })
        };
        Some(routes.entry(route).or_insert_with(made).clone())
    }

    /// What there is of every route since the last call. One that had nothing makes room for others.
    pub(crate) fn take_routes(&self) -> Vec<VersionHealth> {
        let mut taken = Vec::new();
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|(_, _, route), meter| {
            // Nobody can get it while the map is locked: whoever has it may still count.
            let held = Arc::strong_count(meter) > 1;
            let Some(mut health) = meter.take(&VersionId::new(""), 0) else {
                return held;
            };
            health.route = route.to_string();
            taken.push(health);
            true
        });
        taken
    }

    /// What there is of every version since the last call. Without a deployment.
    pub(crate) fn take(&self) -> Vec<VersionHealth> {
        self.take_at(self.second())
    }

    fn take_at(&self, second: u64) -> Vec<VersionHealth> {
        let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        versions
            .iter()
            .filter_map(|(version, meter)| meter.take(version, second))
            .collect()
    }

    /// These get no requests any more. Those of which there is something to be told stay until the next [`Meters::retain`] that
    /// finds nothing.
    pub(crate) fn forget(&self, gone: &[VersionId]) {
        let mut versions = self.versions.write().unwrap_or_else(PoisonError::into_inner);
        for version in gone {
            if versions.get(version).is_some_and(|meter| meter.is_told()) {
                versions.remove(version);
            }
        }
    }

    /// Only these may get requests. Others stay while there is something to be told of them.
    pub(crate) fn retain(&self, kept: &HashSet<VersionId>) {
        let mut versions = self.versions.write().unwrap_or_else(PoisonError::into_inner);
        versions.retain(|version, meter| kept.contains(version) || !meter.is_told());
    }
}

/// The bucket of a latency: the first whose bound is not below it.
fn bucket(elapsed: Duration) -> usize {
    let us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    LATENCY_BOUNDS_MS.partition_point(|bound| bound * 1_000 < us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_edge::Led;
    use atoll_worker::RouteNumber;

    fn record(version: Option<&str>, status: u16, fault: Option<FaultKind>, ms: u64) -> AccessRecord {
        AccessRecord {
            method: "GET".parse().unwrap(),
            target: "/".parse().unwrap(),
            status,
            reason: "".into(),
            elapsed: Duration::from_millis(ms),
            fault,
            host: String::new(),
            protocol: "HTTP/1.1",
            peer: "127.0.0.1:1".parse().unwrap(),
            tenant: Some(TenantId::new("a")),
            route: None,
            worker: Some(WorkerName::new("w")),
            version: version.map(VersionId::new),
            request_id: None,
            limit: None,
        }
    }

    #[test]
    fn what_happened_is_told_once() {
        let meters = Meters::default();
        let version = VersionId::new("v");
        meters.register(&version, &TenantId::new("a"), &WorkerName::new("w"));
        for (status, fault, ms) in [
            (200, None, 1),
            (204, None, 3),
            (404, None, 11_000),
            (503, None, 1),
            (500, Some(FaultKind::Exception), 1),
            (500, Some(FaultKind::ExceededCpu), 60),
            (502, Some(FaultKind::Crashed), 1),
            (500, Some(FaultKind::Startup), 1),
            (503, Some(FaultKind::Overloaded), 1),
        ] {
            meters.request(&record(Some("v"), status, fault, ms), StartKind::Warm);
        }
        meters.request(&record(Some("v"), 200, None, 1), StartKind::Cold);
        meters.request(&record(Some("other"), 200, None, 1), StartKind::Warm);
        meters.request(&record(None, 200, None, 1), StartKind::Warm);
        let taken = meters.take();
        let [health] = &*taken else { panic!("{taken:?}") };
        assert_eq!((health.account.as_str(), health.worker.as_str()), ("a", "w"));
        assert_eq!((health.requests, health.server_errors), (10, 1));
        assert_eq!((health.exceptions, health.limits), (1, 1));
        assert_eq!((health.crashes, health.failed_starts, health.cold_starts), (1, 1, 1));
        assert_eq!(health.statuses, [0, 3, 0, 1, 6]);
        assert_eq!(health.latency, [7, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(meters.take(), []);
        assert_eq!(meters.take_routes(), []);
        let usage = Usage {
            cpu_us: 7,
            subrequests: 1,
            cache_hits: 2,
            cache_misses: 3,
            ..Usage::default()
        };
        let origin = |version: &str| LogOrigin {
            tenant: TenantId::new("a"),
            worker: WorkerName::new("w"),
            version: version.into(),
        };
        meters.used(&origin("v"), None, &usage);
        let used = &meters.take()[0];
        assert_eq!((used.requests, used.cpu_us, used.subrequests), (0, 7, 1));
        assert_eq!((used.cache_hits, used.cache_misses), (2, 3));
        let by_route = AccessRecord {
            route: Some(Led {
                pattern: "shop.example.com/*".into(),
                number: Some(RouteNumber(std::num::NonZeroU32::MIN)),
            }),
            ..record(Some("v"), 200, None, 1)
        };
        meters.request(&by_route, StartKind::Warm);
        let pattern: Arc<str> = "shop.example.com/*".into();
        meters.used(&origin("v"), Some(&pattern), &usage);
        let routes = meters.take_routes();
        assert_eq!(
            (routes.len(), routes[0].requests, routes[0].route.as_str()),
            (1, 1, "shop.example.com/*")
        );
        assert_eq!((routes[0].cpu_us, routes[0].subrequests), (7, 1));
        assert_eq!((routes[0].cache_hits, routes[0].cache_misses), (2, 3));
        assert_eq!(meters.take_routes(), []);
        assert_eq!(meters.take().len(), 1);
        // One that is not counted has no row.
        let mut uncounted = by_route;
        uncounted.route.as_mut().unwrap().number = None;
        meters.request(&uncounted, StartKind::Warm);
        assert_eq!((meters.take().len(), meters.take_routes()), (1, Vec::new()));
        // What a version that lost its place had is told, and what it still finishes.
        meters.used(&origin("v"), None, &usage);
        meters.forget(std::slice::from_ref(&version));
        meters.retain(&HashSet::new());
        assert_eq!(meters.take()[0].cpu_us, 7);
        meters.retain(&HashSet::new());
        assert!(meters.of(&version).is_none());
        meters.used(&origin("v"), None, &usage);
        assert_eq!(meters.take()[0].cpu_us, 7);
        meters.forget(&[version]);
        meters.request(&record(Some("v"), 200, None, 1), StartKind::Warm);
        assert_eq!(meters.take(), []);
    }

    fn version(id: &str) -> WorkerVersion {
        WorkerVersion {
            tenant: TenantId::new("a"),
            name: WorkerName::new("w"),
            id: id.into(),
            main_module: "index.js".into(),
            modules: Vec::new(),
            compat_date: atoll_model::CompatDate::NEWEST,
            compat_flags: Vec::new(),
            bindings: Vec::new(),
            crons: Vec::new(),
            tail_consumers: Vec::new(),
            limits: atoll_model::Limits::default(),
            outbound: Default::default(),
            created_ms: 0,
            tag: String::new(),
        }
    }

    #[test]
    fn what_has_no_end_is_told_and_so_is_what_others_ask_for() {
        let meters = Meters::default();
        let begin = |origin| meters.begins(&version("v"), origin).unwrap();
        let fault = Fault::new(FaultKind::Exception, "no");
        let (client, cron) = (begin(Origin::Client), begin(Origin::Other));
        begin(Origin::Service).ends(Some(&Err(fault.clone())));
        begin(Origin::Service).ends(Some(&Ok(Outcome::Test)));
        let first = meters.take();
        assert_eq!((first[0].begun, first[0].settled), (3, 2));
        assert_eq!((first[0].requests, first[0].calls, first[0].exceptions), (0, 2, 1));
        let now = meters.second();
        let late = meters.take_at(now + 6);
        assert_eq!((late[0].late, late[0].begun), (1, 0));
        cron.ends(Some(&Err(fault)));
        // Its client went away: the front tells that.
        drop(client);
        meters.request(&record(Some("v"), STATUS_CLIENT_GONE, None, 6_000), StartKind::Warm);
        let last = meters.take_at(now + 7);
        assert_eq!((last[0].requests, last[0].abandoned), (1, 1));
        assert_eq!((last[0].settled, last[0].late_settled), (1, 1));
        assert_eq!((last[0].calls, last[0].exceptions), (1, 1));
        meters.retain(&HashSet::new());
        assert_eq!(meters.of(&VersionId::new("v")).map(|_| ()), None);
    }
}
