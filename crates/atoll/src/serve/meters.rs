//! What requests became, counted by worker: plain counters that a request adds to without waiting.

use atoll_edge::{AccessRecord, STATUS_CLIENT_GONE};
use atoll_host::{LogHub, ROUTES_MAX, RouteCounts, Skipped, Tick, TickEnd};
use atoll_model::{TenantId, WorkerName};
use atoll_worker::{FaultKind, RouteNumber};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// Workers that are counted by name; the rest is counted together, so that the exposition stays bounded.
const WORKERS_MAX: usize = 1000;
/// Rows of cron ticks.
const TICK_ROWS_MAX: usize = 4 * WORKERS_MAX;
/// The name under which the rest is counted. No worker has it: names do not begin with a dot.
const REST: &str = ".other";
/// The name under which requests that no worker was asked for are counted: assets, refusals, unknown hosts.
const NO_WORKER: &str = "";
/// Upper bounds of the latency histogram's buckets, seconds; the last bucket has none.
pub(crate) const LATENCY_BOUNDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Classes of statuses, `1xx` to `5xx`.
const CLASSES: usize = 5;

/// What became of a request, in one word.
pub(crate) fn outcome(record: &AccessRecord) -> String {
    match record.fault {
        Some(kind) => kind_name(kind),
        None if record.status == STATUS_CLIENT_GONE => "client_gone".to_owned(),
        None => "ok".to_owned(),
    }
}

/// A fault's kind as records and metrics call it: `exceeded_cpu`.
pub(crate) fn kind_name(kind: FaultKind) -> String {
    let mut name = String::new();
    for c in format!("{kind:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// What became of a cron tick, in one word.
pub(crate) fn tick_outcome(end: &TickEnd) -> String {
    match end {
        TickEnd::Fired(Ok(()), _) => "ok".to_owned(),
        TickEnd::Fired(Err(fault), _) => kind_name(fault.kind),
        TickEnd::Skipped(Skipped::Overlap) => "overlap".to_owned(),
        TickEnd::Skipped(Skipped::Missed) => "missed".to_owned(),
    }
}

/// One worker's requests.
#[derive(Debug, Default)]
struct Meter {
    /// By status class, of those that a worker or an asset answered.
    answered: [AtomicU64; CLASSES],
    /// Of the rest: by class and outcome. Rare, and as many as there are kinds of faults.
    others: Mutex<BTreeMap<(usize, String), u64>>,
    latency: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    latency_ns: AtomicU64,
}

/// A reading of one worker's requests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    /// Whose worker; empty where there is none.
    pub(crate) account: String,
    pub(crate) worker: String,
    /// The route's pattern; of requests of a route alone.
    pub(crate) route: Option<Arc<str>>,
    /// Status class (`2xx`), outcome, how many. Without those that are zero.
    pub(crate) requests: Vec<(&'static str, String, u64)>,
    /// Requests per latency bucket, not cumulated; the last one has no upper bound.
    pub(crate) latency: Vec<u64>,
    /// All latencies together, seconds.
    pub(crate) latency_sum: f64,
}

/// Two accounts may have workers of one name.
type Owner = (Option<TenantId>, WorkerName);

fn account(owner: &Owner) -> String {
    owner.0.as_ref().map(TenantId::to_string).unwrap_or_default()
}

/// The meter of a key, made at its first request; none if there are `most` already.
fn meter_of<K: Hash + Eq + Clone>(meters: &RwLock<HashMap<K, Arc<Meter>>>, most: usize, key: &K) -> Option<Arc<Meter>> {
    let known = meters.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(meter) = known.get(key) {
        return Some(meter.clone());
    }
    drop(known);
    let mut known = meters.write().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= most && !known.contains_key(key) {
        return None;
    }
    Some(known.entry(key.clone()).or_default().clone())
}

/// The worker whose request a thread has counted last: it is mostly the next one's, too.
struct Last {
    /// The number of its [`Meters`].
    of: u64,
    owner: Owner,
    meter: Arc<Meter>,
}

impl Last {
    fn is(&self, of: u64, record: &AccessRecord, worker: &WorkerName) -> bool {
        self.of == of && self.owner.1 == *worker && self.owner.0 == record.tenant
    }
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

static NEXT_METERS: AtomicU64 = AtomicU64::new(0);

/// All workers' requests. A worker's meter is there for good.
#[derive(Debug)]
pub(crate) struct Meters {
    /// No other has it, in this process.
    number: u64,
    workers: RwLock<HashMap<Owner, Arc<Meter>>>,
    /// Of routes that are counted, and of some that were.
    routes: RwLock<HashMap<RouteNumber, Arc<Meter>>>,
    /// Who knows which; none where no routes are counted.
    counted: Option<Arc<LogHub>>,
    rest: Meter,
    without: Meter,
    /// Cron ticks, by worker and outcome.
    ticks: Mutex<BTreeMap<(Owner, String), u64>>,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            number: NEXT_METERS.fetch_add(1, Relaxed),
            workers: RwLock::default(),
            routes: RwLock::default(),
            counted: None,
            rest: Meter::default(),
            without: Meter::default(),
            ticks: Mutex::default(),
        }
    }
}

impl Meters {
    /// Meters that count by route, too: by those that are counted there.
    pub(crate) fn by_route(counted: Arc<LogHub>) -> Self {
        Self {
            counted: Some(counted),
            ..Self::default()
        }
    }

    /// Counts a request.
    pub(crate) fn request(&self, record: &AccessRecord) {
        let Some(worker) = &record.worker else {
            return self.without.add(record);
        };
        if let Some(number) = record.route.as_ref().and_then(|route| route.number) {
            self.route(number, record);
        }
        LAST.with_borrow_mut(|last| match last {
            Some(last) if last.is(self.number, record, worker) => last.meter.add(record),
            _ => {
                let owner = (record.tenant.clone(), worker.clone());
                match meter_of(&self.workers, WORKERS_MAX, &owner) {
                    Some(meter) => {
                        meter.add(record);
                        let of = self.number;
                        *last = Some(Last { of, owner, meter });
                    }
                    None => self.rest.add(record),
                }
            }
        });
    }

    /// Counts a cron tick.
    pub(crate) fn tick(&self, tick: &Tick, end: &TickEnd) {
        let mut ticks = self.ticks.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = (Some(tick.tenant.clone()), tick.worker.clone());
        let key = (owner, tick_outcome(end));
        // As many rows as there are outcomes, for each worker that has crons.
        if ticks.len() < TICK_ROWS_MAX || ticks.contains_key(&key) {
            *ticks.entry(key).or_default() += 1;
        }
    }

    /// Cron ticks: account, worker, outcome, how many.
    pub(crate) fn ticks(&self) -> Vec<(String, String, String, u64)> {
        let ticks = self.ticks.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = ticks.iter();
        rows.map(|((owner, outcome), count)| (account(owner), owner.1.to_string(), outcome.clone(), *count))
            .collect()
    }

    /// Counts a request by its route, which is counted or was a moment ago.
    fn route(&self, number: RouteNumber, record: &AccessRecord) {
        let Some(counted) = &self.counted else { return };
        if let Some(meter) = meter_of(&self.routes, ROUTES_MAX, &number) {
            return meter.add(record);
        }
        // Others have taken the place of some.
        let mut known = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|number, _| counted.routes().has(*number));
        if known.len() < ROUTES_MAX {
            known.entry(number).or_default().add(record);
        }
    }

    /// Requests that came by these routes.
    pub(crate) fn routes(&self, counted: &[RouteCounts]) -> Vec<Reading> {
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let reading = |route: &RouteCounts| {
            let meter = known.get(&route.number)?;
            Some(meter.read(route.tenant.as_str(), route.worker.as_str(), Some(route.route.clone())))
        };
        counted.iter().filter_map(reading).collect()
    }

    /// Everything, by account and worker's name; requests without a worker under the empty name.
    pub(crate) fn read(&self) -> Vec<Reading> {
        let known = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        let mut readings: Vec<Reading> = known
            .iter()
            .map(|(owner, meter)| meter.read(&account(owner), owner.1.as_str(), None))
            .collect();
        drop(known);
        readings.sort_by(|a, b| (&a.account, &a.worker).cmp(&(&b.account, &b.worker)));
        for (name, meter) in [(NO_WORKER, &self.without), (REST, &self.rest)] {
            let reading = meter.read("", name, None);
            if !reading.requests.is_empty() {
                readings.push(reading);
            }
        }
        readings
    }
}

impl Meter {
    fn add(&self, record: &AccessRecord) {
        let class = usize::from(record.status / 100).clamp(1, CLASSES) - 1;
        if record.fault.is_none() && record.status != STATUS_CLIENT_GONE {
            self.answered[class].fetch_add(1, Relaxed);
        } else {
            let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            *others.entry((class, outcome(record))).or_default() += 1;
        }
        self.latency[bucket(record.elapsed)].fetch_add(1, Relaxed);
        let ns = u64::try_from(record.elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.latency_ns.fetch_add(ns, Relaxed);
    }

    fn read(&self, account: &str, worker: &str, route: Option<Arc<str>>) -> Reading {
        const NAMES: [&str; CLASSES] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        let answered = self.answered.iter().zip(NAMES);
        let mut requests: Vec<_> = answered
            .map(|(count, class)| (class, "ok".to_owned(), count.load(Relaxed)))
            .filter(|(_, _, count)| *count > 0)
            .collect();
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        requests.extend(
            others
                .iter()
                .map(|((class, outcome), count)| (NAMES[*class], outcome.clone(), *count)),
        );
        drop(others);
        Reading {
            account: account.to_owned(),
            worker: worker.to_owned(),
            route,
            requests,
            latency: self.latency.iter().map(|count| count.load(Relaxed)).collect(),
            latency_sum: self.latency_ns.load(Relaxed) as f64 / 1e9,
        }
    }
}

/// The bucket of a latency: the first whose bound is not below it.
fn bucket(elapsed: Duration) -> usize {
    let seconds = elapsed.as_secs_f64();
    LATENCY_BOUNDS.partition_point(|bound| *bound < seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(worker: Option<&str>, status: u16, fault: Option<FaultKind>) -> AccessRecord {
        AccessRecord {
            method: "GET".parse().unwrap(),
            target: "/".parse().unwrap(),
            status,
            reason: "".into(),
            elapsed: Duration::from_millis(1),
            fault,
            host: String::new(),
            protocol: "HTTP/1.1",
            peer: "127.0.0.1:1".parse().unwrap(),
            tenant: None,
            route: None,
            worker: worker.map(WorkerName::new),
            version: None,
            request_id: None,
            limit: None,
        }
    }

    #[test]
    fn requests_are_counted_by_class_and_outcome() {
        let meters = Meters::default();
        for (worker, status, fault) in [
            (Some("a"), 200, None),
            (Some("a"), 204, None),
            (Some("a"), 500, Some(FaultKind::ExceededCpu)),
            (Some("a"), 499, None),
            (None, 404, None),
        ] {
            meters.request(&record(worker, status, fault));
        }
        let readings = meters.read();
        let shown: Vec<String> = readings
            .iter()
            .flat_map(|reading| {
                let line = |(class, outcome, count): &(&str, String, u64)| {
                    format!("{:?} {class} {outcome} {count}", reading.worker)
                };
                reading.requests.iter().map(line).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(
            shown,
            [
                "\"a\" 2xx ok 2",
                "\"a\" 4xx client_gone 1",
                "\"a\" 5xx exceeded_cpu 1",
                "\"\" 4xx ok 1"
            ]
        );
        assert_eq!(readings[0].latency[1], 4);
        assert!((readings[0].latency_sum - 0.004).abs() < 1e-9);
    }

    #[test]
    fn latencies_have_their_bucket() {
        let check = |us: u64, expected: usize| assert_eq!(bucket(Duration::from_micros(us)), expected, "{us}");
        check(0, 0);
        check(500, 0);
        check(501, 1);
        check(10_000_000, 13);
        check(10_000_001, 14);
        check(u64::MAX / 2, 14);
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let meters = Meters::default();
        for number in 0..WORKERS_MAX + 5 {
            meters.request(&record(Some(&format!("w{number}")), 200, None));
        }
        let readings = meters.read();
        assert_eq!(readings.len(), WORKERS_MAX + 1);
        let rest = readings.last().unwrap();
        assert_eq!((rest.worker.as_str(), rest.requests[0].2), (REST, 5));
    }
}
