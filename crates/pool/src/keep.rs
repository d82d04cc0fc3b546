//! Which idle isolate goes first when memory or room is short: GreedyDual-Size-Frequency. Pure.
//!
//! Each worker has a priority, `clock + frequency * cost / size`: what it would cost to start it again, as often as it is
//! wanted, for each megabyte that it holds. The lowest goes, and the clock rises to its priority, so that what is not used
//! any more is overtaken by what is, however dear it once was. (Cherkasova, "Improving WWW proxies performance with
//! Greedy-Dual-Size-Frequency caching policy", 1998; for functions: FaasCache, ASPLOS 2021.)
//!
//! A frequency fades by half each [`FREQUENCY_HALF_LIFE`].

use std::time::{Duration, Instant};

/// Time in which what a worker was asked is worth half.
pub const FREQUENCY_HALF_LIFE: Duration = Duration::from_secs(60 * 60);
/// What an isolate is taken to hold while nothing has been measured.
pub const ISOLATE_BYTES_ASSUMED: u64 = 3 * 1024 * 1024;
/// What a start is taken to cost while nothing has been measured.
const COST_ASSUMED: Duration = Duration::from_millis(5);
/// A start that seems to cost less is taken to cost this: none is free.
const COST_MIN: Duration = Duration::from_micros(100);
const MEGABYTE: f64 = 1024.0 * 1024.0;

/// The clock of the policy: one for all workers that compete.
#[derive(Debug, Default)]
pub(crate) struct GreedyDual {
    clock: f64,
}

/// What the policy knows of one worker.
#[derive(Debug)]
pub(crate) struct Credit {
    frequency: f64,
    /// When the frequency was last brought up to date.
    at: Option<Instant>,
    /// The clock when the worker was last used.
    base: f64,
    /// What a start takes, on the whole.
    cost: Option<Duration>,
    /// What an isolate holds.
    bytes: u64,
}

impl Default for Credit {
    fn default() -> Self {
        Self {
            frequency: 0.0,
            at: None,
            base: 0.0,
            cost: None,
            bytes: ISOLATE_BYTES_ASSUMED,
        }
    }
}

impl Credit {
    fn fade(&mut self, now: Instant) {
        if let Some(at) = self.at {
            let halves = now.saturating_duration_since(at).as_secs_f64() / FREQUENCY_HALF_LIFE.as_secs_f64();
            self.frequency *= (-halves).exp2();
        }
        self.at = Some(now);
    }

    /// The worker was used `times` since it was last asked about. Call it with 0 for one that was only made.
    pub(crate) fn used(&mut self, times: u64, policy: &GreedyDual, now: Instant) {
        self.fade(now);
        self.frequency += times as f64;
        self.base = policy.clock;
    }

    /// A start took so long.
    pub(crate) fn started(&mut self, took: Duration) {
        self.cost = Some(match self.cost {
            None => took,
            Some(cost) => (cost * 3 + took) / 4,
        });
    }

    /// An isolate holds so much.
    pub(crate) fn holds(&mut self, bytes: u64) {
        self.bytes = bytes.max(1);
    }

    /// What an isolate is taken to hold.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The lower, the sooner it goes.
    pub(crate) fn priority(&mut self, now: Instant) -> f64 {
        self.fade(now);
        let cost_ms = self.cost.unwrap_or(COST_ASSUMED).max(COST_MIN).as_secs_f64() * 1e3;
        self.base + self.frequency * cost_ms / (self.bytes as f64 / MEGABYTE)
    }
}

impl GreedyDual {
    /// The one with this priority went.
    pub(crate) fn evicted(&mut self, priority: f64) {
        self.clock = self.clock.max(priority);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const WORKERS: usize = 500;
    const EVENTS: usize = 40_000;
    const ROOM_BYTES: u64 = 200 * 1024 * 1024;

    /// SplitMix64.
    struct Seeded(u64);

    impl Seeded {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn unit(&mut self) -> f64 {
            (self.next() >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    #[derive(Clone, Copy)]
    struct Worker {
        cost: Duration,
        bytes: u64,
    }

    /// Workers and the events that they get: a zipf trace whose favourites change in the middle.
    fn trace(seed: u64) -> (Vec<Worker>, Vec<usize>) {
        let mut seeded = Seeded(seed);
        let workers = (0..WORKERS)
            .map(|_| {
                // Most are small; some hold much and take long to start, or one of both.
                let size = 2.0 + 30.0 * seeded.unit().powi(4);
                let cost = 3.0 + 80.0 * seeded.unit().powi(4);
                Worker {
                    cost: Duration::from_micros((cost * 1e3) as u64),
                    bytes: (size * MEGABYTE) as u64,
                }
            })
            .collect();
        let mut sums = Vec::with_capacity(WORKERS);
        let mut sum = 0.0;
        for rank in 1..=WORKERS {
            sum += 1.0 / (rank as f64).powf(0.9);
            sums.push(sum);
        }
        let events = (0..EVENTS)
            .map(|event| {
                let rank = sums
                    .partition_point(|edge| *edge < seeded.unit() * sum)
                    .min(WORKERS - 1);
                if event < EVENTS / 2 {
                    rank
                } else {
                    (rank + WORKERS / 3) % WORKERS
                }
            })
            .collect();
        (workers, events)
    }

    #[derive(Debug, Default, Clone, Copy)]
    struct Cost {
        cold: usize,
        start_ms: f64,
    }

    /// Runs the trace; `lowest` says how dear each is that is there.
    fn simulate(
        workers: &[Worker],
        events: &[usize],
        mut used: impl FnMut(usize, Instant),
        mut lowest: impl FnMut(usize, Instant) -> f64,
        mut evicted: impl FnMut(f64),
    ) -> Cost {
        let begin = Instant::now();
        let mut there: HashMap<usize, u64> = HashMap::new();
        let mut held = 0;
        let mut cost = Cost::default();
        for (number, worker) in events.iter().enumerate() {
            let now = begin + Duration::from_millis(50 * number as u64);
            if !there.contains_key(worker) {
                cost.cold += 1;
                cost.start_ms += workers[*worker].cost.as_secs_f64() * 1e3;
                while held + workers[*worker].bytes > ROOM_BYTES {
                    let priorities = there.keys().map(|other| (lowest(*other, now), *other));
                    let (priority, victim) = priorities
                        .min_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)))
                        .unwrap();
                    evicted(priority);
                    held -= there.remove(&victim).unwrap();
                }
                held += workers[*worker].bytes;
                there.insert(*worker, workers[*worker].bytes);
            }
            used(*worker, now);
        }
        cost
    }

    fn by_greedy_dual(workers: &[Worker], events: &[usize]) -> Cost {
        let policy = std::cell::RefCell::new(GreedyDual::default());
        let credits: Vec<Credit> = workers
            .iter()
            .map(|worker| {
                let mut credit = Credit::default();
                credit.started(worker.cost);
                credit.holds(worker.bytes);
                credit
            })
            .collect();
        let credits = std::cell::RefCell::new(credits);
        simulate(
            workers,
            events,
            |worker, now| credits.borrow_mut()[worker].used(1, &policy.borrow(), now),
            |worker, now| credits.borrow_mut()[worker].priority(now),
            |priority| policy.borrow_mut().evicted(priority),
        )
    }

    fn by_last_use(workers: &[Worker], events: &[usize]) -> Cost {
        let last = std::cell::RefCell::new(vec![0.0; workers.len()]);
        let mut number = 0.0;
        simulate(
            workers,
            events,
            |worker, _| {
                number += 1.0;
                last.borrow_mut()[worker] = number;
            },
            |worker, _| last.borrow()[worker],
            |_| {},
        )
    }

    #[test]
    fn it_saves_starts_over_the_least_recently_used() {
        for seed in [1, 20_261_121, 77] {
            let (workers, events) = trace(seed);
            let (dual, lru) = (by_greedy_dual(&workers, &events), by_last_use(&workers, &events));
            let hits = |cost: Cost| 1.0 - cost.cold as f64 / EVENTS as f64;
            println!(
                "seed {seed}: warm {:.1} % against {:.1} %, time in starts {:.2}x of LRU's",
                100.0 * hits(dual),
                100.0 * hits(lru),
                dual.start_ms / lru.start_ms
            );
            assert!(hits(dual) > hits(lru) + 0.05, "seed {seed}: {dual:?} {lru:?}");
            assert!(dual.start_ms < 0.8 * lru.start_ms, "seed {seed}: {dual:?} {lru:?}");
        }
    }

    #[test]
    fn what_is_not_used_any_more_is_overtaken() {
        let now = Instant::now();
        let mut policy = GreedyDual::default();
        let (mut dear, mut newer) = (Credit::default(), Credit::default());
        dear.started(Duration::from_millis(3));
        dear.used(10, &policy, now);
        for round in 0.. {
            newer.used(1, &policy, now);
            let (old, new) = (dear.priority(now), newer.priority(now));
            if new > old {
                assert!(round > 0, "it was worth something");
                break;
            }
            assert!(round < 100, "it was never overtaken");
            // Others, as cheap as the newer one, come and go.
            policy.evicted(new);
        }
    }

    #[test]
    fn a_frequency_fades() {
        let begin = Instant::now();
        let (policy, mut credit) = (GreedyDual::default(), Credit::default());
        credit.used(8, &policy, begin);
        let first = credit.priority(begin);
        let later = credit.priority(begin + 3 * FREQUENCY_HALF_LIFE);
        assert!((later - first / 8.0).abs() < 1e-9, "{first} {later}");
    }
}
