//! Telemetry in memory: rings of records per account, counts per worker, version and PoP in steps of ten seconds.
//!
//! Invariants:
//! - bytes of records, records, accounts and series are bounded; the oldest go, and are counted;
//! - one account's records never push out another's, until there are too many accounts: then the one that has been silent longest goes.

use super::{LATENCY_BOUNDS_MS, LEVELS, LogQuery, MetricQuery, Telemetry};
use atoll_api::{pop, rest};
use atoll_model::{TenantId, WorkerName};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much is kept.
#[derive(Debug, Clone)]
pub struct MemoryTelemetryOptions {
    /// The most bytes of records of one account.
    pub account_bytes_max: usize,
    /// The most records of one account.
    pub account_records_max: usize,
    /// The most accounts that have records.
    pub accounts_max: usize,
    /// How long counts are kept, milliseconds.
    pub metrics_kept_ms: u64,
    /// The most series (worker, version or route, and PoP).
    pub series_max: usize,
}

impl Default for MemoryTelemetryOptions {
    fn default() -> Self {
        Self {
            account_bytes_max: 4 << 20,
            account_records_max: 20_000,
            accounts_max: 1_000,
            metrics_kept_ms: 6 * 60 * 60 * 1_000,
            series_max: 50_000,
        }
    }
}

#[derive(Debug)]
struct Record {
    number: u64,
    pop: Arc<str>,
    worker: WorkerName,
    level: usize,
    record: pop::LogRecord,
}

impl Record {
    fn bytes(&self) -> usize {
        let Self { record, .. } = self;
        // Roughly what it takes beside its texts.
        160 + record.json.len() + record.request.len() + record.version.len()
    }
}

#[derive(Debug, Default)]
struct Ring {
    records: VecDeque<Record>,
    bytes: usize,
    dropped: u64,
    /// The number of the newest record that it ever had.
    newest: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SeriesKey {
    account: TenantId,
    worker: WorkerName,
    /// Of all versions together if there is a route.
    version: Arc<str>,
    /// Empty: all requests of the version.
    route: Arc<str>,
    pop: Arc<str>,
}

/// A series' counts by the beginning of the step.
type Steps = VecDeque<(u64, Counts)>;

#[derive(Debug, Clone, Default)]
struct Counts {
    requests: u64,
    statuses: [u64; 5],
    exceptions: u64,
    limits: u64,
    crashes: u64,
    cold_starts: u64,
    cpu_us: u64,
    subrequests: u64,
    cache_hits: u64,
    cache_misses: u64,
    /// The most at once.
    memory_bytes: u64,
    latency: [u64; LATENCY_BOUNDS_MS.len() + 1],
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    rings: HashMap<TenantId, Ring>,
    /// Records that were dropped before they came here, over all accounts: whose they were is not known.
    dropped_before: u64,
    series: HashMap<SeriesKey, Steps>,
    series_dropped: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryTelemetry {
    options: MemoryTelemetryOptions,
    inner: Mutex<Inner>,
}

impl MemoryTelemetry {
    /// Counts are kept in steps of so many milliseconds.
    pub const STEP_MS: u64 = 10_000;

    /// With these bounds.
    pub fn new(options: MemoryTelemetryOptions) -> Self {
        Self {
            options,
            inner: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records and series that were dropped for want of room, and records that were dropped before they came here.
    pub fn dropped(&self) -> (u64, u64, u64) {
        let inner = self.lock();
        let records = inner.rings.values().map(|ring| ring.dropped).sum();
        (records, inner.series_dropped, inner.dropped_before)
    }
}

fn level(name: &str) -> usize {
    // What is not known is as important as what is merely printed.
    LEVELS.iter().position(|level| *level == name).unwrap_or(2)
}

impl Counts {
    fn add(&mut self, health: &pop::VersionHealth) {
        self.requests += health.requests;
        self.exceptions += health.exceptions;
        self.limits += health.limits;
        self.crashes += health.crashes;
        self.cold_starts += health.cold_starts;
        self.cpu_us += health.cpu_us;
        self.subrequests += health.subrequests;
        self.cache_hits += health.cache_hits;
        self.cache_misses += health.cache_misses;
        self.memory_bytes = self.memory_bytes.max(health.memory_bytes);
        let pairs = self.statuses.iter_mut().zip(&health.statuses);
        pairs.for_each(|(sum, more)| *sum += more);
        let pairs = self.latency.iter_mut().zip(&health.latency);
        pairs.for_each(|(sum, more)| *sum += more);
    }

    fn add_to(&self, point: &mut rest::MetricPoint) {
        point.requests += self.requests;
        point.exceptions += self.exceptions;
        point.limits += self.limits;
        point.crashes += self.crashes;
        point.cold_starts += self.cold_starts;
        point.cpu_us += self.cpu_us;
        point.subrequests += self.subrequests;
        point.cache_hits += self.cache_hits;
        point.cache_misses += self.cache_misses;
        let add = |sums: &mut Vec<u64>, more: &[u64]| {
            sums.resize(more.len(), 0);
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        };
        add(&mut point.statuses, &self.statuses);
        add(&mut point.latency, &self.latency);
    }
}

impl Telemetry for MemoryTelemetry {
    fn ingest_shipment(&self, pop: &str, shipment: &pop::Shipment) {
        let pop: Arc<str> = pop.into();
        let mut inner = self.lock();
        inner.dropped_before += shipment.dropped.values().sum::<u64>();
        for record in &shipment.logs {
            inner.next += 1;
            let number = inner.next;
            let account = TenantId::new(record.account.as_str());
            if !inner.rings.contains_key(&account) && inner.rings.len() >= self.options.accounts_max {
                let silent = inner.rings.iter().min_by_key(|(_, ring)| ring.newest);
                let silent = silent.map(|(account, _)| account.clone());
                silent.and_then(|account| inner.rings.remove(&account));
            }
            let ring = inner.rings.entry(account).or_default();
            let record = Record {
                number,
                pop: pop.clone(),
                worker: WorkerName::new(record.worker.as_str()),
                level: level(&record.level),
                record: record.clone(),
            };
            ring.newest = number;
            ring.bytes += record.bytes();
            ring.records.push_back(record);
            while ring.bytes > self.options.account_bytes_max || ring.records.len() > self.options.account_records_max {
                let Some(oldest) = ring.records.pop_front() else { break };
                ring.bytes -= oldest.bytes();
                ring.dropped += 1;
            }
        }
    }

    fn ingest_health(&self, pop: &str, health: &pop::Health) {
        let pop: Arc<str> = pop.into();
        let step = health.until_ms / Self::STEP_MS * Self::STEP_MS;
        let oldest = health.until_ms.saturating_sub(self.options.metrics_kept_ms);
        let mut inner = self.lock();
        for version in health.versions.iter().chain(&health.routes) {
            let key = SeriesKey {
                account: TenantId::new(version.account.as_str()),
                worker: WorkerName::new(version.worker.as_str()),
                version: version.version.as_str().into(),
                route: version.route.as_str().into(),
                pop: pop.clone(),
            };
            if !inner.series.contains_key(&key) && inner.series.len() >= self.options.series_max {
                inner
                    .series
                    .retain(|_, steps| steps.back().is_some_and(|(at, _)| *at >= oldest));
                if inner.series.len() >= self.options.series_max {
                    inner.series_dropped += 1;
                    continue;
                }
            }
            let steps = inner.series.entry(key).or_default();
            while steps.front().is_some_and(|(at, _)| *at < oldest) {
                steps.pop_front();
            }
            // Mostly the last one. A PoP whose clock went back adds to an earlier step, or makes it.
            let at = steps.partition_point(|(at, _)| *at < step);
            match steps.get_mut(at) {
                Some((found, counts)) if *found == step => counts.add(version),
                _ => {
                    let mut counts = Counts::default();
                    counts.add(version);
                    steps.insert(at, (step, counts));
                }
            }
        }
    }

    fn logs(&self, account: &TenantId, worker: &WorkerName, query: &LogQuery) -> rest::Logs {
        let inner = self.lock();
        let Some(ring) = inner.rings.get(account) else {
            return rest::Logs {
                items: Vec::new(),
                next: query.after.unwrap_or(0).to_string(),
                dropped: inner.dropped_before,
            };
        };
        let fits = |record: &&Record| {
            record.worker == *worker
                && record.level >= query.level
                && query.since_ms.is_none_or(|since| record.record.time_ms >= since)
                && query.until_ms.is_none_or(|until| record.record.time_ms < until)
                && query
                    .request
                    .as_ref()
                    .is_none_or(|request| record.record.request == *request)
                && query
                    .search
                    .as_ref()
                    .is_none_or(|text| record.record.json.contains(text.as_str()))
        };
        let told = |record: &Record| rest::LogRecord {
            time_ms: record.record.time_ms,
            pop: record.pop.to_string(),
            version: record.record.version.clone(),
            level: LEVELS[record.level].to_owned(),
            request: record.record.request.clone(),
            record: serde_json::from_str(&record.record.json)
                .unwrap_or_else(|_| serde_json::Value::String(record.record.json.clone())),
        };
        // A number that was not given yet is of a control plane that was there before: all that is here came after it.
        let after = query.after.map(|after| if after > inner.next { 0 } else { after });
        let mut next = after.unwrap_or(0).max(ring.newest);
        let items: Vec<rest::LogRecord> = match after {
            Some(after) => {
                let begin = ring.records.partition_point(|record| record.number <= after);
                let mut found: Vec<&Record> = ring.records.range(begin..).filter(fits).take(query.limit + 1).collect();
                if found.len() > query.limit {
                    found.truncate(query.limit);
                    next = found.last().map_or(after, |record| record.number);
                }
                found.into_iter().map(told).collect()
            }
            None => {
                let newest: Vec<&Record> = ring.records.iter().rev().filter(fits).take(query.limit).collect();
                newest.into_iter().rev().map(told).collect()
            }
        };
        rest::Logs {
            items,
            next: next.to_string(),
            dropped: ring.dropped + inner.dropped_before,
        }
    }

    fn metrics(&self, account: &TenantId, query: &MetricQuery) -> rest::Metrics {
        type Told = (Option<WorkerName>, Option<Arc<str>>, Option<Arc<str>>, Option<Arc<str>>);
        let mut series: BTreeMap<Told, BTreeMap<u64, rest::MetricPoint>> = BTreeMap::new();
        let inner = self.lock();
        for (key, steps) in &inner.series {
            // What came by a route is counted with its version, too.
            if query.by_route == key.route.is_empty() {
                continue;
            }
            if key.account != *account || query.worker.as_ref().is_some_and(|worker| *worker != key.worker) {
                continue;
            }
            let told = (
                query.by_worker.then(|| key.worker.clone()),
                query.by_version.then(|| key.version.clone()),
                query.by_route.then(|| key.route.clone()),
                query.by_pop.then(|| key.pop.clone()),
            );
            // Of one series the most at once, of several the sum.
            let mut most: BTreeMap<u64, u64> = BTreeMap::new();
            for (at, counts) in steps.iter().filter(|(at, _)| (query.from_ms..query.to_ms).contains(at)) {
                let step = (at - query.from_ms) / query.step_ms.max(1);
                let time_ms = query.from_ms + step * query.step_ms.max(1);
                let points = series.entry(told.clone()).or_default();
                let point = points.entry(time_ms).or_insert_with(|| rest::MetricPoint {
                    time_ms,
                    ..rest::MetricPoint::default()
                });
                counts.add_to(point);
                let most = most.entry(time_ms).or_default();
                let more = counts.memory_bytes.saturating_sub(*most);
                *most += more;
                point.memory_bytes += more;
            }
        }
        let series = series
            .into_iter()
            .map(|((worker, version, route, pop), points)| rest::MetricSeries {
                worker: worker.map(|worker| worker.to_string()),
                version: version.map(|version| version.to_string()),
                route: route.map(|route| route.to_string()),
                pop: pop.map(|pop| pop.to_string()),
                points: points.into_values().collect(),
            });
        rest::Metrics {
            from_ms: query.from_ms,
            to_ms: query.to_ms,
            step_ms: query.step_ms,
            latency_bounds_ms: LATENCY_BOUNDS_MS.to_vec(),
            series: series.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn telemetry(change: impl FnOnce(&mut MemoryTelemetryOptions)) -> MemoryTelemetry {
        let mut options = MemoryTelemetryOptions::default();
        change(&mut options);
        MemoryTelemetry::new(options)
    }

    fn record(account: &str, text: &str) -> pop::LogRecord {
        pop::LogRecord {
            time_ms: NOW_MS,
            account: account.into(),
            worker: "shop".into(),
            level: "log".into(),
            json: format!("\"{text}\""),
            ..pop::LogRecord::default()
        }
    }

    fn ship(telemetry: &MemoryTelemetry, records: Vec<pop::LogRecord>) {
        let shipment = pop::Shipment {
            logs: records,
            ..pop::Shipment::default()
        };
        telemetry.ingest_shipment("a", &shipment);
    }

    fn logs(telemetry: &MemoryTelemetry, account: &str, after: Option<u64>) -> rest::Logs {
        let query = LogQuery {
            after,
            limit: 1_000,
            ..LogQuery::default()
        };
        telemetry.logs(&TenantId::new(account), &WorkerName::new("shop"), &query)
    }

    fn texts(logs: &rest::Logs) -> Vec<&str> {
        logs.items.iter().map(|item| item.record.as_str().unwrap()).collect()
    }

    #[test]
    fn the_oldest_records_of_an_account_go() {
        let telemetry = telemetry(|options| options.account_records_max = 2);
        ship(
            &telemetry,
            vec![
                record("acme", "1"),
                record("rival", "r"),
                record("acme", "2"),
                record("acme", "3"),
            ],
        );
        let kept = logs(&telemetry, "acme", None);
        assert_eq!((texts(&kept), kept.dropped), (vec!["2", "3"], 1));
        let rival = logs(&telemetry, "rival", None);
        assert_eq!((texts(&rival), rival.dropped), (vec!["r"], 0));
        assert_eq!(telemetry.dropped(), (1, 0, 0));
    }

    #[test]
    fn bytes_are_bounded() {
        let telemetry = telemetry(|options| options.account_bytes_max = 10_000);
        let large = "x".repeat(3_000);
        ship(&telemetry, (0..10).map(|_| record("acme", &large)).collect());
        assert_eq!(
            (logs(&telemetry, "acme", None).items.len(), telemetry.dropped().0),
            (3, 7)
        );
        // One that is too large for the bound by itself leaves nothing.
        ship(&telemetry, vec![record("acme", &"x".repeat(20_000))]);
        assert_eq!(logs(&telemetry, "acme", None).items.len(), 0);
    }

    #[test]
    fn the_account_that_was_silent_longest_makes_room() {
        let telemetry = telemetry(|options| options.accounts_max = 2);
        ship(
            &telemetry,
            vec![record("a", "1"), record("b", "2"), record("a", "3"), record("c", "4")],
        );
        assert_eq!(logs(&telemetry, "b", None).items.len(), 0);
        assert_eq!(
            (
                logs(&telemetry, "a", None).items.len(),
                logs(&telemetry, "c", None).items.len()
            ),
            (2, 1)
        );
    }

    #[test]
    fn a_reader_goes_on_behind_a_restart() {
        let before = telemetry(|_| {});
        ship(
            &before,
            (0..50).map(|number| record("acme", &number.to_string())).collect(),
        );
        let next: u64 = logs(&before, "acme", None).next.parse().unwrap();
        let after = telemetry(|_| {});
        ship(&after, vec![record("acme", "new")]);
        assert_eq!(texts(&logs(&after, "acme", Some(next))), ["new"]);
    }

    fn health(until_ms: u64, version: &str) -> pop::Health {
        pop::Health {
            since_ms: until_ms - 1_000,
            until_ms,
            versions: vec![pop::VersionHealth {
                account: "acme".into(),
                worker: "shop".into(),
                version: version.into(),
                requests: 1,
                // More than there are bounds for: a newer PoP.
                statuses: vec![0, 1, 0, 0, 0, 9],
                ..pop::VersionHealth::default()
            }],
            ..pop::Health::default()
        }
    }

    fn requests(telemetry: &MemoryTelemetry, step_ms: u64) -> Vec<(u64, u64)> {
        let query = MetricQuery {
            worker: None,
            from_ms: 0,
            to_ms: u64::MAX,
            step_ms,
            by_worker: true,
            by_version: false,
            by_route: false,
            by_pop: false,
        };
        let metrics = telemetry.metrics(&TenantId::new("acme"), &query);
        let points = metrics.series.into_iter().flat_map(|series| series.points);
        points.map(|point| (point.time_ms, point.requests)).collect()
    }

    #[test]
    fn counts_are_kept_for_their_time_in_steps() {
        let telemetry = telemetry(|options| options.metrics_kept_ms = 60_000);
        for second in [1, 2, 11, 65] {
            telemetry.ingest_health("a", &health(NOW_MS + second * 1_000, "v"));
        }
        // A clock that went back adds to an earlier step, and makes one that was missing.
        telemetry.ingest_health("a", &health(NOW_MS + 12_000, "v"));
        telemetry.ingest_health("a", &health(NOW_MS + 31_000, "v"));
        let step = MemoryTelemetry::STEP_MS;
        assert_eq!(
            requests(&telemetry, step),
            [(NOW_MS + 10_000, 2), (NOW_MS + 30_000, 1), (NOW_MS + 60_000, 1)]
        );
    }

    #[test]
    fn series_are_bounded() {
        let telemetry = telemetry(|options| {
            options.series_max = 2;
            options.metrics_kept_ms = 60_000;
        });
        for version in ["1", "2", "3"] {
            telemetry.ingest_health("a", &health(NOW_MS + 1_000, version));
        }
        assert_eq!(telemetry.dropped().1, 1);
        // Those that have been silent for long make room.
        telemetry.ingest_health("a", &health(NOW_MS + 120_000, "3"));
        assert_eq!(telemetry.dropped().1, 1);
        assert_eq!(requests(&telemetry, MemoryTelemetry::STEP_MS), [(NOW_MS + 120_000, 1)]);
    }
}
