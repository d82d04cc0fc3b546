//! Which workers have traffic anywhere: every PoP has them ready.

use atoll_api::pop::{HotWorker, VersionHealth};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often the list is made; at each time what was counted before counts half.
pub(super) const EVERY: Duration = Duration::from_secs(10);
/// From so many requests on (the newest count whole, older ones less) a worker is popular.
const REQUESTS_MIN: u64 = 20;
/// The most workers that are named.
const NAMED_MAX: usize = 256;
/// The most workers that are counted.
const COUNTED_MAX: usize = 100_000;

type Key = (String, String);

#[derive(Debug, Default)]
pub(super) struct Traffic {
    counts: Mutex<HashMap<Key, u64>>,
}

impl Traffic {
    pub fn count(&self, versions: &[VersionHealth]) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for version in versions.iter().filter(|version| version.requests > 0) {
            let key = (version.account.clone(), version.worker.clone());
            if counts.len() < COUNTED_MAX || counts.contains_key(&key) {
                let count = counts.entry(key).or_default();
                *count = count.saturating_add(version.requests);
            }
        }
    }

    /// The popular ones, in the order of their names; and everything counts half from now on.
    pub fn list(&self) -> Vec<HotWorker> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut popular: Vec<(u64, Key)> = counts
            .iter()
            .filter(|(_, count)| **count >= REQUESTS_MIN)
            .map(|(key, count)| (*count, key.clone()))
            .collect();
        counts.retain(|_, count| {
            *count /= 2;
            *count > 0
        });
        drop(counts);
        popular.sort_unstable_by(|a, b| b.cmp(a));
        popular.truncate(NAMED_MAX);
        let mut list: Vec<Key> = popular.into_iter().map(|(_, key)| key).collect();
        list.sort_unstable();
        list.into_iter()
            .map(|(account, worker)| HotWorker { account, worker })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_popular_are_named_and_forgotten() {
        let traffic = Traffic::default();
        let health = |worker: &str, requests| VersionHealth {
            account: "acme".into(),
            worker: worker.into(),
            requests,
            ..VersionHealth::default()
        };
        traffic.count(&[health("a", 100), health("b", 5), health("c", 0)]);
        traffic.count(&[health("b", 15)]);
        let names = |list: Vec<HotWorker>| list.into_iter().map(|hot| hot.worker).collect::<Vec<_>>();
        assert_eq!(names(traffic.list()), ["a", "b"]);
        assert_eq!(names(traffic.list()), ["a"]);
        for _ in 0..7 {
            traffic.list();
        }
        assert!(traffic.counts.lock().unwrap().is_empty());
    }
}
