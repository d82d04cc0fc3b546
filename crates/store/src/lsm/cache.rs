//! Small values read lately, so that a hot read is answered on the caller's own thread.
//!
//! Coherence: a reader fills the cache only if no commit of the key began, ended or was under way between the moment before its read
//! and the filling. Keys are grouped in stripes; a stripe counts the beginnings and ends of commits that touched it, and those under way. The committer
//! removes a key before its commit becomes readable and puts the new value back afterwards, so the cache never holds a value
//! that a read of the engine no longer gives, and never one that is not durable.

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard};

/// Larger values are read from the engine each time.
const VALUE_BYTES_MAX: usize = 64 * 1024;
/// What an entry costs beside its bytes: the cache's own tables, two `Bytes`.
const ENTRY_BYTES: usize = 128;
/// Keys in one stripe share a fate; more stripes, fewer fillings refused for another key's commit.
const STRIPES: usize = 256;

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Bytes, Option<Bytes>> for ByBytes {
    fn weight(&self, key: &Bytes, value: &Option<Bytes>) -> u64 {
        (key.len() + value.as_ref().map_or(0, Bytes::len) + ENTRY_BYTES) as u64
    }
}

#[derive(Debug, Default)]
struct Stripe {
    /// Beginnings and ends.
    commits: u64,
    under_way: usize,
}

/// What a reader knew of a key's stripe before it read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    commits: u64,
}

pub(crate) struct HotCache {
    values: Cache<Bytes, Option<Bytes>, ByBytes>,
    stripes: Box<[Mutex<Stripe>]>,
    hasher: RandomState,
}

impl HotCache {
    pub(crate) fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / 1024).unwrap_or(usize::MAX).clamp(64, 1 << 20);
        Self {
            values: Cache::with_weighter(entries, bytes, ByBytes),
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// The value of `key` if it is here: `Some(None)` is a key known to be absent.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<Bytes>> {
        self.values.get(key)
    }

    fn stripe(&self, key: &[u8]) -> MutexGuard<'_, Stripe> {
        // The remainder of a 64 bit hash by 256 fits any index.
        let index = self.hasher.hash_one(key) as usize % STRIPES;
        self.stripes[index]
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Before a read of the engine.
    pub(crate) fn ticket(&self, key: &[u8]) -> Ticket {
        Ticket {
            commits: self.stripe(key).commits,
        }
    }

    /// After a read of the engine.
    pub(crate) fn fill(&self, key: &[u8], value: Option<&[u8]>, ticket: Ticket) {
        if value.is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
            return;
        }
        let stripe = self.stripe(key);
        if stripe.under_way == 0 && stripe.commits == ticket.commits {
            // A copy: what the engine gives may pin a whole block.
            self.values
                .insert(Bytes::copy_from_slice(key), value.map(Bytes::copy_from_slice));
        }
    }

    /// Before a commit of these keys can be read. Returns which of them were here.
    pub(crate) fn begin<'a>(&self, keys: impl Iterator<Item = &'a Bytes>) -> Vec<Bytes> {
        let mut present = Vec::new();
        for key in keys {
            let mut stripe = self.stripe(key);
            stripe.commits += 1;
            stripe.under_way += 1;
            if self.values.remove(key).is_some() {
                present.push(key.clone());
            }
        }
        present
    }

    /// After the commit of the same keys, whatever came of it.
    pub(crate) fn end<'a>(&self, keys: impl Iterator<Item = &'a Bytes>) {
        for key in keys {
            let mut stripe = self.stripe(key);
            stripe.under_way -= 1;
            // Who took a ticket meanwhile may have read what was there before.
            stripe.commits += 1;
        }
    }

    /// Puts a durable value in the place of the one a commit removed; only the committer calls this, between commits.
    pub(crate) fn replace(&self, key: Bytes, value: Option<&Bytes>) {
        if value.is_none_or(|value| value.len() <= VALUE_BYTES_MAX) {
            self.values
                .insert(key, value.map(|value| Bytes::copy_from_slice(value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_crossed_a_commit_fills_nothing() {
        let cache = HotCache::new(1 << 20);
        let key = Bytes::from_static(b"k");
        assert_eq!(cache.get(&key), None);

        let ticket = cache.ticket(&key);
        cache.fill(&key, Some(b"old"), ticket);
        assert_eq!(cache.get(&key), Some(Some(Bytes::from_static(b"old"))));

        // Read before the commit, filled during it and after it.
        let early = cache.ticket(&key);
        assert_eq!(cache.begin([&key].into_iter()), std::slice::from_ref(&key));
        let during = cache.ticket(&key);
        assert_eq!(cache.get(&key), None);
        cache.fill(&key, Some(b"old"), early);
        cache.fill(&key, Some(b"old"), during);
        assert_eq!(cache.get(&key), None);
        cache.end([&key].into_iter());
        // One that read while the commit was under way may have read what was there before it.
        for ticket in [early, during] {
            cache.fill(&key, Some(b"old"), ticket);
            assert_eq!(cache.get(&key), None);
        }

        cache.replace(key.clone(), None);
        assert_eq!(cache.get(&key), Some(None));
    }

    #[test]
    fn large_values_stay_out() {
        let cache = HotCache::new(1 << 20);
        let ticket = cache.ticket(b"k");
        cache.fill(b"k", Some(&vec![0; VALUE_BYTES_MAX + 1]), ticket);
        assert_eq!(cache.get(b"k"), None);
    }
}
