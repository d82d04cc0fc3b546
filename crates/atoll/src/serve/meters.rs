//! What requests became, counted by worker: plain counters that a request adds to without waiting.

use atoll_edge::{AccessRecord, STATUS_CLIENT_GONE};
use atoll_host::{Skipped, Tick, TickEnd};
use atoll_model::WorkerName;
use atoll_worker::FaultKind;
use std::collections::{BTreeMap, HashMap};
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
    pub(crate) worker: String,
    /// Status class (`2xx`), outcome, how many. Without those that are zero.
    pub(crate) requests: Vec<(&'static str, String, u64)>,
    /// Requests per latency bucket, not cumulated; the last one has no upper bound.
    pub(crate) latency: Vec<u64>,
    /// All latencies together, seconds.
    pub(crate) latency_sum: f64,
}

/// All workers' requests.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    workers: RwLock<HashMap<WorkerName, Arc<Meter>>>,
    rest: Meter,
    without: Meter,
    /// Cron ticks, by worker and outcome.
    ticks: Mutex<BTreeMap<(WorkerName, String), u64>>,
}

impl Meters {
    /// Counts a request.
    pub(crate) fn request(&self, record: &AccessRecord) {
        match &record.worker {
            None => self.without.add(record),
            Some(worker) => match self.of(worker) {
                Some(meter) => meter.add(record),
                None => self.rest.add(record),
            },
        }
    }

    /// Counts a cron tick.
    pub(crate) fn tick(&self, tick: &Tick, end: &TickEnd) {
        let mut ticks = self.ticks.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tick.worker.clone(), tick_outcome(end));
        // As many rows as there are outcomes, for each worker that has crons.
        if ticks.len() < TICK_ROWS_MAX || ticks.contains_key(&key) {
            *ticks.entry(key).or_default() += 1;
        }
    }

    /// Cron ticks, by worker and outcome.
    pub(crate) fn ticks(&self) -> Vec<(WorkerName, String, u64)> {
        let ticks = self.ticks.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = ticks.iter();
        rows.map(|((worker, outcome), count)| (worker.clone(), outcome.clone(), *count))
            .collect()
    }

    fn of(&self, worker: &WorkerName) -> Option<Arc<Meter>> {
        let known = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = known.get(worker) {
            return Some(meter.clone());
        }
        drop(known);
        let mut known = self.workers.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= WORKERS_MAX && !known.contains_key(worker) {
            return None;
        }
        Some(known.entry(worker.clone()).or_default().clone())
    }

    /// Everything, by worker's name; requests without a worker under the empty name.
    pub(crate) fn read(&self) -> Vec<Reading> {
        let known = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        let mut readings: Vec<Reading> = known
            .iter()
            .map(|(worker, meter)| meter.read(worker.as_str()))
            .collect();
        drop(known);
        readings.sort_by(|a, b| a.worker.cmp(&b.worker));
        for (name, meter) in [(NO_WORKER, &self.without), (REST, &self.rest)] {
            let reading = meter.read(name);
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

    fn read(&self, worker: &str) -> Reading {
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
            worker: worker.to_owned(),
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
