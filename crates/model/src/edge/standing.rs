//! How much there is in a configuration that requests depend on: whoever is to take over one that leaves less than half of it
//! wants to be told that this is meant.

use super::{EdgeConfig, EdgeEntry, EdgeKey};
use crate::TenantId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// From so many of a kind on, a configuration that leaves fewer than half of them wants to be told to be meant.
pub const EMPTIED_FROM: usize = 10;

/// What is counted.
const KINDS: usize = 5;
const NAMES: [&str; KINDS] = [
    "accounts",
    "workers",
    "workers with a name below the platform's domains",
    "routes that lead to a worker",
    "domains",
];
const ACCOUNTS: usize = 0;
const WORKERS: usize = 1;
const NAMED: usize = 2;
const ROUTES: usize = 3;
const DOMAINS: usize = 4;

/// Of an account: has it a label below the platform's domains, and how many workers would be reached under it?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Label {
    there: bool,
    workers: usize,
}

/// Counts of a configuration, kept while entries come and go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    counts: [usize; KINDS],
    labels: HashMap<TenantId, Label>,
}

/// Counts of one moment, or the greatest of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts([usize; KINDS]);

/// What is left of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emptied {
    /// Of what, in the plural.
    pub what: &'static str,
    /// How many there were.
    pub before: usize,
    /// How many are left.
    pub left: usize,
}

impl Standing {
    /// Of a whole configuration.
    pub fn of(config: &EdgeConfig) -> Self {
        let mut standing = Self::default();
        for (key, entry) in config.entries() {
            standing.add(key, entry);
        }
        standing
    }

    /// An entry comes.
    pub fn add(&mut self, key: &EdgeKey, entry: &EdgeEntry) {
        self.change(key, entry, true);
    }

    /// An entry that was there goes.
    pub fn remove(&mut self, key: &EdgeKey, entry: &EdgeEntry) {
        self.change(key, entry, false);
    }

    fn change(&mut self, key: &EdgeKey, entry: &EdgeEntry, comes: bool) {
        let step = |count: &mut usize, by: usize| {
            *count = if comes { *count + by } else { count.saturating_sub(by) };
        };
        match (key, entry) {
            (EdgeKey::Account(id), EdgeEntry::Account(account)) => {
                step(&mut self.counts[ACCOUNTS], 1);
                if account.subdomain.is_some() {
                    let label = self.labels.entry(id.clone()).or_default();
                    label.there = comes;
                    step(&mut self.counts[NAMED], label.workers);
                }
            }
            (EdgeKey::Worker(id, _), EdgeEntry::Worker(worker)) => {
                step(&mut self.counts[WORKERS], 1);
                if worker.subdomain {
                    let label = self.labels.entry(id.clone()).or_default();
                    step(&mut label.workers, 1);
                    step(&mut self.counts[NAMED], usize::from(label.there));
                }
            }
            (EdgeKey::Route(_), EdgeEntry::Route(route)) if route.worker.is_some() => {
                step(&mut self.counts[ROUTES], 1);
            }
            (EdgeKey::Domain(_), EdgeEntry::Domain(_)) => step(&mut self.counts[DOMAINS], 1),
            _ => {}
        }
        if let EdgeKey::Account(id) | EdgeKey::Worker(id, _) = key
            && self.labels.get(id) == Some(&Label::default())
        {
            self.labels.remove(id);
        }
    }

    /// The counts.
    pub fn counts(&self) -> Counts {
        Counts(self.counts)
    }

    /// Could a change from one entry to another make anything fewer? `None`: there is no entry.
    pub fn may_shrink(before: Option<&EdgeEntry>, after: Option<&EdgeEntry>) -> bool {
        match (before, after) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(EdgeEntry::Account(before)), Some(EdgeEntry::Account(after))) => {
                before.subdomain.is_some() && after.subdomain.is_none()
            }
            (Some(EdgeEntry::Worker(before)), Some(EdgeEntry::Worker(after))) => before.subdomain && !after.subdomain,
            (Some(EdgeEntry::Route(before)), Some(EdgeEntry::Route(after))) => {
                before.worker.is_some() && after.worker.is_none()
            }
            (Some(EdgeEntry::Domain(_)), Some(EdgeEntry::Domain(_))) => false,
            // Not well formed.
            (Some(_), Some(_)) => true,
        }
    }
}

impl Counts {
    /// The greater count of each kind.
    #[must_use]
    pub fn max(mut self, other: Self) -> Self {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = (*mine).max(theirs);
        }
        self
    }

    /// The first kind of which there were at least `from` and fewer than half are left.
    pub fn emptied(&self, left: Self, from: usize) -> Option<Emptied> {
        let kinds = NAMES.into_iter().zip(self.0.into_iter().zip(left.0));
        let mut emptied = kinds.filter(|(_, (before, left))| *before >= from && left * 2 < *before);
        emptied
            .next()
            .map(|(what, (before, left))| Emptied { what, before, left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::{EdgeAccount, EdgeRoute, EdgeWorker};
    use crate::{DeploymentId, Revision, WorkerName};
    use atoll_stdx::SplitMix64;

    fn worker(subdomain: bool) -> EdgeEntry {
        EdgeEntry::Worker(EdgeWorker {
            deployment: DeploymentId::new("d"),
            shares: Vec::new(),
            aliases: Vec::new(),
            recent: Vec::new(),
            crons: Vec::new(),
            subdomain,
            previews: false,
        })
    }

    fn account(label: Option<&str>) -> EdgeEntry {
        EdgeEntry::Account(EdgeAccount {
            subdomain: label.map(str::to_owned),
            ..EdgeAccount::default()
        })
    }

    fn entry(at: u64, rng: &mut SplitMix64) -> (EdgeKey, EdgeEntry) {
        let id = TenantId::new((at % 2).to_string());
        match at % 5 {
            0 => (EdgeKey::Account(id), account((rng.below(2) == 0).then_some("label"))),
            1..=3 => {
                let key = EdgeKey::Worker(id, WorkerName::new(at.to_string()));
                (key, worker(rng.below(2) == 0))
            }
            _ => {
                let route = EdgeRoute {
                    account: id,
                    worker: (rng.below(2) == 0).then(|| WorkerName::new("w")),
                };
                (EdgeKey::Route(at.to_string()), EdgeEntry::Route(route))
            }
        }
    }

    #[test]
    fn counts_are_the_same_in_whatever_order_entries_come_and_go() {
        let mut rng = SplitMix64::new(3);
        let (mut standing, mut there) = (Standing::default(), HashMap::new());
        for _ in 0..5_000 {
            let (key, entry) = entry(rng.below(30), &mut rng);
            let before = standing.counts();
            let old = there.get(&key).cloned();
            let new = (rng.below(3) > 0).then_some(entry);
            if let Some(old) = &old {
                standing.remove(&key, old);
            }
            if let Some(new) = &new {
                standing.add(&key, new);
            }
            let fewer = before
                .0
                .iter()
                .zip(standing.counts().0)
                .any(|(before, after)| after < *before);
            assert!(
                !fewer || Standing::may_shrink(old.as_ref(), new.as_ref()),
                "{old:?} {new:?}"
            );
            match new {
                Some(new) => there.insert(key, new),
                None => there.remove(&key),
            };
            // In another order.
            let mut anew = Standing::default();
            there.iter().for_each(|(key, entry)| anew.add(key, entry));
            assert_eq!(standing, anew);
        }
    }

    #[test]
    fn less_than_half_of_anything_is_told() {
        let id = TenantId::new("a");
        let key = |at: usize| EdgeKey::Worker(id.clone(), WorkerName::new(at.to_string()));
        let mut full = Standing::default();
        full.add(&EdgeKey::Account(id.clone()), &account(Some("a")));
        (0..10).for_each(|at| full.add(&key(at), &worker(true)));
        let mut left = full.clone();
        (0..5).for_each(|at| left.remove(&key(at), &worker(true)));
        assert_eq!(full.counts().emptied(left.counts(), 10), None);
        left.remove(&key(5), &worker(true));
        let emptied = full.counts().emptied(left.counts(), 10).unwrap();
        assert_eq!((emptied.what, emptied.before, emptied.left), ("workers", 10, 4));
        assert_eq!(full.counts().emptied(left.counts(), 11), None);
        // An account that loses its label takes its workers' names along.
        let mut unnamed = full.clone();
        unnamed.remove(&EdgeKey::Account(id.clone()), &account(Some("a")));
        unnamed.add(&EdgeKey::Account(id.clone()), &account(None));
        let emptied = full.counts().emptied(unnamed.counts(), 10).unwrap();
        assert_eq!((emptied.before, emptied.left), (10, 0));
        assert!(emptied.what.contains("with a name"));
        assert_eq!(full.counts().max(unnamed.counts()), full.counts());
        assert_eq!(
            Standing::of(&EdgeConfig::default().renumbered(Revision(1))),
            Standing::default()
        );
    }
}
