//! Responses in memory: by zone, cache and URL, bounded, the least recently used evicted first.
//!
//! A zone that needs room evicts its own; when all zones together need room, the one that holds most gives way, so that a
//! tenant who stores much takes nothing from one who stores little. Bytes that are still arriving count like stored ones.
//! One lock guards the table; bodies are shared, never copied under it.

use crate::answer::{AnswerBody, answer};
use crate::freshness::{NotStored, StoredHead, admit};
use crate::vary::Variant;
use atoll_model::{TenantId, WorkerName};
use atoll_stdx::{Clock, SplitMix64};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The largest body of one response: 512 MiB, as on the Workers platform.
pub const OBJECT_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// The longest key (a URL), bytes.
pub const KEY_BYTES_MAX: usize = 32 * 1024;
/// The most responses of one URL that differ by `Vary`; the least recently used goes first.
pub const VARIANTS_MAX: usize = 64;
/// What an entry is charged beyond its key, fields and body.
const ENTRY_OVERHEAD_BYTES: u64 = 512;
/// Pieces of a body smaller than this are gathered, so that a body of many tiny ones does not cost a multiple of its size.
const GATHER_BYTES: usize = 64 * 1024;

/// How much memory responses may occupy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// The largest body, bytes; at most [`OBJECT_BYTES_MAX`] by default.
    pub object_bytes: u64,
    /// All responses of one zone, bytes.
    pub zone_bytes: u64,
    /// All responses of all zones, bytes.
    pub total_bytes: u64,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            object_bytes: OBJECT_BYTES_MAX,
            zone_bytes: 1 << 30,
            total_bytes: 2 << 30,
        }
    }
}

/// Whose responses: a tenant's worker sees its own alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The tenant.
    pub tenant: TenantId,
    /// The worker.
    pub worker: WorkerName,
}

/// Why a body is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Larger than [`CacheLimits::object_bytes`].
    #[error("the body is larger than {0} bytes, the most that is stored of one response")]
    TooLarge(u64),
    /// There is no room, even with everything else evicted.
    #[error("there is no room for the body beside others that are arriving")]
    NoRoom,
}

/// Counters of one zone since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheUsage {
    /// Lookups that were answered.
    pub hits: u64,
    /// Lookups that were not.
    pub misses: u64,
    /// Responses stored.
    pub stored: u64,
    /// Responses that HTTP's rules or the limits kept out.
    pub refused: u64,
    /// Responses evicted to make room; expired ones that were found are not counted.
    pub evicted: u64,
    /// Bytes occupied now.
    pub bytes: u64,
    /// Responses stored now.
    pub entries: u64,
}

/// An answer from the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The status.
    pub status: u16,
    /// The fields.
    pub headers: HeaderMap,
    /// The worker had encoded the body itself.
    pub manual_encoding: bool,
    /// The body in pieces; `None` where there is none (304, 416).
    pub body: Option<Vec<Bytes>>,
}

#[derive(Debug)]
struct Entry {
    head: StoredHead,
    variant: Variant,
    manual_encoding: bool,
    body: Vec<Bytes>,
    length: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    /// `None`: the default cache.
    cache: Option<Arc<str>>,
    url: Arc<str>,
}

#[derive(Debug)]
struct Slot {
    key: Key,
    entry: Arc<Entry>,
    size: u64,
    used: u64,
}

#[derive(Debug, Default)]
struct ZoneState {
    slots: HashMap<u64, Slot>,
    index: HashMap<Key, Vec<u64>>,
    /// Slots by when they were last used.
    by_use: BTreeMap<u64, u64>,
    usage: CacheUsage,
}

#[derive(Debug)]
struct Table {
    zones: HashMap<Scope, ZoneState>,
    total: u64,
    /// Counts uses and slots.
    tick: u64,
    nonces: SplitMix64,
}

#[derive(Debug)]
struct Shared {
    limits: CacheLimits,
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
}

/// The cache of a process. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryCache {
    shared: Arc<Shared>,
}

impl MemoryCache {
    /// An empty cache. `seed` makes the boundaries of multipart answers unpredictable.
    pub fn new(limits: CacheLimits, clock: Arc<dyn Clock>, seed: u64) -> Self {
        let table = Table {
            zones: HashMap::new(),
            total: 0,
            tick: 0,
            nonces: SplitMix64::new(seed),
        };
        Self {
            shared: Arc::new(Shared {
                limits,
                clock,
                table: Mutex::new(table),
            }),
        }
    }

    /// What a worker sees of it.
    pub fn zone(&self, scope: Scope) -> Zone {
        Zone {
            shared: self.shared.clone(),
            scope,
        }
    }

    /// Every zone's counters, in no order.
    pub fn usage(&self) -> Vec<(Scope, CacheUsage)> {
        let table = self.shared.lock();
        table
            .zones
            .iter()
            .map(|(scope, zone)| (scope.clone(), zone.usage))
            .collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        // Every critical section keeps the table whole at each step that could panic (allocation aborts, it does not
        // unwind).
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn next_tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    fn zone(&mut self, scope: &Scope) -> &mut ZoneState {
        if !self.zones.contains_key(scope) {
            self.zones.insert(scope.clone(), ZoneState::default());
        }
        self.zones
            .get_mut(scope)
            .expect("it was inserted just now if it was not there")
    }

    /// Takes a slot out.
    fn drop_slot(&mut self, scope: &Scope, id: u64) {
        let Some(zone) = self.zones.get_mut(scope) else { return };
        let Some(slot) = zone.slots.remove(&id) else { return };
        zone.by_use.remove(&slot.used);
        if let Some(ids) = zone.index.get_mut(&slot.key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                zone.index.remove(&slot.key);
            }
        }
        zone.usage.entries -= 1;
        zone.usage.bytes -= slot.size;
        self.total -= slot.size;
    }

    /// Evicts the zone's least recently used response. False if it has none.
    fn evict(&mut self, scope: &Scope) -> bool {
        let Some(zone) = self.zones.get_mut(scope) else {
            return false;
        };
        let Some(id) = zone.by_use.first_key_value().map(|(_, id)| *id) else {
            return false;
        };
        zone.usage.evicted += 1;
        self.drop_slot(scope, id);
        true
    }

    /// Makes room for `bytes` more of `scope`, and counts them as occupied.
    fn reserve(&mut self, limits: &CacheLimits, scope: &Scope, bytes: u64) -> bool {
        while self.zone(scope).usage.bytes + bytes > limits.zone_bytes {
            if !self.evict(scope) {
                return false;
            }
        }
        while self.total + bytes > limits.total_bytes {
            let largest = self
                .zones
                .iter()
                .filter(|(_, zone)| !zone.slots.is_empty())
                .max_by_key(|(_, zone)| zone.usage.bytes)
                .map(|(scope, _)| scope.clone());
            if !largest.is_some_and(|scope| self.evict(&scope)) {
                return false;
            }
        }
        self.zone(scope).usage.bytes += bytes;
        self.total += bytes;
        true
    }

    fn release(&mut self, scope: &Scope, bytes: u64) {
        self.zone(scope).usage.bytes -= bytes;
        self.total -= bytes;
    }
}

/// One worker's part of the cache.
#[derive(Debug, Clone)]
pub struct Zone {
    shared: Arc<Shared>,
    scope: Scope,
}

impl Zone {
    /// The answer to a `GET` of `url` with these fields, from the cache of that name (`None`: the default one). `None` if
    /// nothing fresh is stored.
    pub fn find(&self, cache: Option<&str>, url: &str, request: &HeaderMap) -> Option<Found> {
        let now_ms = self.shared.clock.now_ms();
        let key = key(cache, url);
        let (entry, nonce) = {
            let mut table = self.shared.lock();
            let id = self.fresh(&mut table, &key, request, now_ms);
            let tick = table.next_tick();
            let nonce = table.nonces.next_u64();
            let zone = table.zone(&self.scope);
            let Some(slot) = id.and_then(|id| zone.slots.get_mut(&id)) else {
                zone.usage.misses += 1;
                return None;
            };
            zone.usage.hits += 1;
            let id = zone.by_use.remove(&slot.used);
            slot.used = tick;
            zone.by_use.extend(id.map(|id| (tick, id)));
            (slot.entry.clone(), nonce)
        };
        let answer = answer(request, &entry.head, entry.length, now_ms, nonce);
        let body = match answer.body {
            AnswerBody::None => None,
            AnswerBody::Whole => Some(entry.body.clone()),
            AnswerBody::Parts { parts, end } => Some(pieces(&entry.body, parts, end)),
        };
        Some(Found {
            status: answer.status,
            headers: answer.headers,
            manual_encoding: entry.manual_encoding,
            body,
        })
    }

    /// The newest fresh variant that fits; stale ones on the way are dropped.
    fn fresh(&self, table: &mut Table, key: &Key, request: &HeaderMap, now_ms: u64) -> Option<u64> {
        let zone = table.zone(&self.scope);
        let ids = zone.index.get(key)?.clone();
        let (fresh, stale): (Vec<u64>, Vec<u64>) = ids.into_iter().partition(|id| {
            let slot = zone.slots.get(id);
            slot.is_some_and(|slot| slot.entry.head.is_fresh(now_ms))
        });
        let fits = |id: &u64| {
            zone.slots
                .get(id)
                .is_some_and(|slot| slot.entry.variant.matches(request))
        };
        let found = fresh.into_iter().rev().find(fits);
        for id in stale {
            table.drop_slot(&self.scope, id);
        }
        found
    }

    /// Begins to store a response; its body follows through the [`Upload`].
    pub fn put(
        &self,
        cache: Option<&str>,
        url: &str,
        request: &HeaderMap,
        response: Put<'_>,
    ) -> Result<Upload, NotStored> {
        let admitted = self.admitted(url, request, response);
        if admitted.is_err() {
            self.shared.lock().zone(&self.scope).usage.refused += 1;
        }
        let (head, variant) = admitted?;
        Ok(Upload {
            zone: self.clone(),
            key: key(cache, url),
            head: Some((head, variant)),
            manual_encoding: response.manual_encoding,
            pieces: Vec::new(),
            gathered: BytesMut::new(),
            length: 0,
            reserved: 0,
        })
    }

    fn admitted(&self, url: &str, request: &HeaderMap, response: Put<'_>) -> Result<(StoredHead, Variant), NotStored> {
        if url.len() > KEY_BYTES_MAX {
            return Err(NotStored::Key);
        }
        let head = admit(request, response.status, response.headers, self.shared.clock.now_ms())?;
        let variant = Variant::of(request, response.headers).ok_or(NotStored::Everything)?;
        Ok((head, variant))
    }

    /// Removes all that is stored of `url`. True if something fresh was.
    pub fn remove(&self, cache: Option<&str>, url: &str) -> bool {
        let now_ms = self.shared.clock.now_ms();
        let mut table = self.shared.lock();
        let zone = table.zone(&self.scope);
        let ids = zone.index.get(&key(cache, url)).cloned().unwrap_or_default();
        let fresh = |id: &u64| zone.slots.get(id).is_some_and(|slot| slot.entry.head.is_fresh(now_ms));
        let found = ids.iter().any(fresh);
        for id in ids {
            table.drop_slot(&self.scope, id);
        }
        found
    }

    /// The counters now.
    pub fn usage(&self) -> CacheUsage {
        self.shared.lock().zone(&self.scope).usage
    }
}

/// A response to store, before its body.
#[derive(Debug, Clone, Copy)]
pub struct Put<'a> {
    /// The status.
    pub status: u16,
    /// The fields.
    pub headers: &'a HeaderMap,
    /// The worker has encoded the body itself.
    pub manual_encoding: bool,
}

fn key(cache: Option<&str>, url: &str) -> Key {
    Key {
        cache: cache.map(Arc::from),
        url: Arc::from(url),
    }
}

/// A body on its way in. Dropped before [`Upload::finish`] it leaves nothing behind.
#[derive(Debug)]
pub struct Upload {
    zone: Zone,
    key: Key,
    /// `None` once it is stored.
    head: Option<(StoredHead, Variant)>,
    manual_encoding: bool,
    pieces: Vec<Bytes>,
    gathered: BytesMut,
    length: u64,
    /// Bytes that are counted as occupied.
    reserved: u64,
}

impl Upload {
    /// Takes the next piece. After an error drop the upload: nothing is stored.
    pub fn push(&mut self, piece: Bytes) -> Result<(), Refused> {
        let length = self.length + piece.len() as u64;
        let result = self.make_room(length, piece.len() as u64);
        if let Err(refused) = result {
            self.zone.shared.lock().zone(&self.zone.scope).usage.refused += 1;
            return Err(refused);
        }
        self.length = length;
        if piece.len() >= GATHER_BYTES {
            self.flush();
            // A copy of its own: the piece may be part of something larger, and counts as its maker's while it lives.
            self.pieces.push(Bytes::copy_from_slice(&piece));
        } else {
            self.gathered.extend_from_slice(&piece);
            if self.gathered.len() >= GATHER_BYTES {
                self.flush();
            }
        }
        Ok(())
    }

    fn make_room(&mut self, length: u64, bytes: u64) -> Result<(), Refused> {
        let limits = &self.zone.shared.limits;
        if length > limits.object_bytes {
            return Err(Refused::TooLarge(limits.object_bytes));
        }
        if !self.zone.shared.lock().reserve(limits, &self.zone.scope, bytes) {
            return Err(Refused::NoRoom);
        }
        self.reserved += bytes;
        Ok(())
    }

    fn flush(&mut self) {
        if !self.gathered.is_empty() {
            self.pieces.push(self.gathered.split().freeze());
        }
    }

    /// The body is complete: stores the response in the place of the one for the same request. `with_length`: the length
    /// was known before, so answers carry a `Content-Length`.
    pub fn finish(mut self, with_length: bool) -> Result<(), Refused> {
        self.flush();
        let Some((mut head, variant)) = self.head.take() else {
            return Ok(());
        };
        if with_length {
            head.headers
                .insert(header::CONTENT_LENGTH, HeaderValue::from(self.length));
        } else {
            head.headers.remove(header::CONTENT_LENGTH);
        }
        let overhead = self.overhead(&head, &variant);
        let shared = self.zone.shared.clone();
        let scope = &self.zone.scope;
        let mut table = shared.lock();
        if !table.reserve(&shared.limits, scope, overhead) {
            table.zone(scope).usage.refused += 1;
            drop(table);
            return Err(Refused::NoRoom);
        }
        let size = std::mem::take(&mut self.reserved) + overhead;
        self.replace_same(&mut table, &variant);
        let id = table.next_tick();
        let zone = table.zone(scope);
        zone.usage.stored += 1;
        zone.usage.entries += 1;
        zone.by_use.insert(id, id);
        zone.index.entry(self.key.clone()).or_default().push(id);
        let entry = Entry {
            head,
            variant,
            manual_encoding: self.manual_encoding,
            body: std::mem::take(&mut self.pieces),
            length: self.length,
        };
        let slot = Slot {
            key: self.key.clone(),
            entry: Arc::new(entry),
            size,
            used: id,
        };
        zone.slots.insert(id, slot);
        Ok(())
    }

    fn overhead(&self, head: &StoredHead, variant: &Variant) -> u64 {
        let fields: usize = head
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 32)
            .sum();
        let cache = self.key.cache.as_ref().map_or(0, |name| name.len());
        (fields + variant.size() + self.key.url.len() + cache) as u64 + ENTRY_OVERHEAD_BYTES
    }

    /// Drops the response that this one replaces, and the least recently used variant if there are too many.
    fn replace_same(&self, table: &mut Table, variant: &Variant) {
        let scope = &self.zone.scope;
        let zone = table.zone(scope);
        let ids = zone.index.get(&self.key).cloned().unwrap_or_default();
        let same = |id: &&u64| zone.slots.get(id).is_some_and(|slot| slot.entry.variant == *variant);
        let mut gone: Vec<u64> = ids.iter().filter(same).copied().collect();
        if gone.is_empty() && ids.len() >= VARIANTS_MAX {
            gone.extend(
                ids.iter()
                    .min_by_key(|id| zone.slots.get(id).map_or(0, |slot| slot.used)),
            );
            zone.usage.evicted += 1;
        }
        for id in gone {
            table.drop_slot(scope, id);
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.reserved > 0 {
            self.zone.shared.lock().release(&self.zone.scope, self.reserved);
        }
    }
}

/// Texts and parts of a body, without copying the body.
fn pieces(body: &[Bytes], parts: Vec<(String, Range<u64>)>, end: String) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    for (text, range) in parts {
        pieces.push(Bytes::from(text));
        let mut at = 0;
        for piece in body {
            let next = at + piece.len() as u64;
            let (from, to) = (range.start.max(at), range.end.min(next));
            if from < to {
                // Both lie within this piece, whose length is a `usize`.
                pieces.push(piece.slice((from - at) as usize..(to - at) as usize));
            }
            at = next;
        }
    }
    pieces.push(Bytes::from(end));
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::headers;
    use atoll_stdx::ManualClock;

    const SMALL: CacheLimits = CacheLimits {
        object_bytes: 4000,
        zone_bytes: 8000,
        total_bytes: 12_000,
    };

    fn cache(limits: CacheLimits) -> (MemoryCache, ManualClock) {
        let clock = ManualClock::new(1_000_000);
        (MemoryCache::new(limits, Arc::new(clock.clone()), 1), clock)
    }

    fn scope(tenant: &str) -> Scope {
        Scope {
            tenant: TenantId::new(tenant),
            worker: WorkerName::new("w"),
        }
    }

    fn begin(zone: &Zone, url: &str, request: &str, response: &str) -> Result<Upload, NotStored> {
        let response = headers(response);
        let put = Put {
            status: 200,
            headers: &response,
            manual_encoding: false,
        };
        zone.put(None, url, &headers(request), put)
    }

    fn store(zone: &Zone, url: &str, body: &[u8]) {
        let mut upload = begin(zone, url, "", "cache-control: max-age=60").unwrap();
        upload.push(Bytes::copy_from_slice(body)).unwrap();
        upload.finish(true).unwrap();
    }

    fn text(found: Option<Found>) -> Option<String> {
        let bytes: Vec<u8> = found?.body.unwrap_or_default().concat();
        Some(String::from_utf8(bytes).unwrap())
    }

    fn get(zone: &Zone, url: &str) -> Option<String> {
        text(zone.find(None, url, &HeaderMap::new()))
    }

    #[test]
    fn what_is_put_is_found_until_it_expires_or_is_removed() {
        let (cache, clock) = cache(CacheLimits::default());
        let zone = cache.zone(scope("t"));
        assert_eq!(get(&zone, "http://a/"), None);
        store(&zone, "http://a/", b"one");
        assert_eq!(get(&zone, "http://a/").as_deref(), Some("one"));
        store(&zone, "http://a/", b"two");
        assert_eq!(get(&zone, "http://a/").as_deref(), Some("two"));
        clock.advance_ms(59_999);
        assert!(get(&zone, "http://a/").is_some());
        clock.advance_ms(1);
        assert_eq!(get(&zone, "http://a/"), None);
        store(&zone, "http://a/", b"three");
        assert!(zone.remove(None, "http://a/"));
        assert!(!zone.remove(None, "http://a/"));
        assert_eq!(get(&zone, "http://a/"), None);
        let usage = zone.usage();
        assert_eq!(
            (usage.entries, usage.bytes, usage.hits, usage.misses, usage.stored),
            (0, 0, 3, 3, 3)
        );
        store(&zone, "http://a/", b"four");
        clock.advance_ms(60_000);
        assert!(!zone.remove(None, "http://a/"), "nothing fresh was there");
    }

    #[test]
    fn zones_and_caches_are_apart() {
        let (cache, _) = cache(CacheLimits::default());
        let (mine, other) = (cache.zone(scope("t")), cache.zone(scope("u")));
        store(&mine, "http://a/", b"mine");
        assert_eq!(get(&other, "http://a/"), None);
        assert!(!other.remove(None, "http://a/"));
        assert!(mine.find(Some("default"), "http://a/", &HeaderMap::new()).is_none());
        assert_eq!(get(&mine, "http://a/").as_deref(), Some("mine"));
    }

    #[test]
    fn variants_stand_side_by_side() {
        let (cache, _) = cache(CacheLimits::default());
        let zone = cache.zone(scope("t"));
        let put = |language: &str, body: &'static str| {
            let request = format!("accept-language: {language}");
            let mut upload = begin(&zone, "u", &request, "cache-control: max-age=60\nvary: Accept-Language").unwrap();
            upload.push(Bytes::from_static(body.as_bytes())).unwrap();
            upload.finish(false).unwrap();
        };
        let ask = |language: &str| text(zone.find(None, "u", &headers(&format!("accept-language: {language}"))));
        put("de", "hallo");
        put("en", "hello");
        assert_eq!(
            (ask("de").as_deref(), ask("en").as_deref(), ask("fr")),
            (Some("hallo"), Some("hello"), None)
        );
        put("de", "moin");
        assert_eq!(ask("de").as_deref(), Some("moin"));
        assert_eq!(zone.usage().entries, 2);
        for at in 0..VARIANTS_MAX {
            put(&at.to_string(), "x");
        }
        assert_eq!((zone.usage().entries, zone.usage().evicted), (VARIANTS_MAX as u64, 2));
        assert!(zone.remove(None, "u"));
        assert_eq!(zone.usage().entries, 0);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let (cache, _) = cache(SMALL);
        let zone = cache.zone(scope("t"));
        for url in ["a", "b", "c"] {
            store(&zone, url, &[b'x'; 1500]);
        }
        assert!(get(&zone, "a").is_some());
        store(&zone, "d", &[b'x'; 1500]);
        let kept: Vec<bool> = ["a", "b", "c", "d"]
            .iter()
            .map(|url| get(&zone, url).is_some())
            .collect();
        assert_eq!(kept, [true, false, true, true]);
        let usage = zone.usage();
        assert_eq!((usage.entries, usage.evicted), (3, 1));
        assert!(usage.bytes <= SMALL.zone_bytes);
    }

    #[test]
    fn the_largest_zone_makes_room_for_others() {
        let (cache, _) = cache(SMALL);
        let (large, small, new) = (cache.zone(scope("l")), cache.zone(scope("s")), cache.zone(scope("n")));
        store(&small, "a", &[b'x'; 1000]);
        for url in ["a", "b", "c"] {
            store(&large, url, &[b'x'; 1900]);
        }
        store(&new, "a", &[b'x'; 2500]);
        assert!(get(&small, "a").is_some() && get(&new, "a").is_some());
        assert_eq!((get(&large, "a"), large.usage().evicted), (None, 1));
        assert!(cache.usage().iter().map(|(_, usage)| usage.bytes).sum::<u64>() <= SMALL.total_bytes);
    }

    #[test]
    fn what_is_too_large_or_breaks_off_leaves_nothing() {
        let (cache, _) = cache(SMALL);
        let zone = cache.zone(scope("t"));
        let cc = "cache-control: max-age=60";
        let mut upload = begin(&zone, "a", "", cc).unwrap();
        upload.push(Bytes::from(vec![0; 3000])).unwrap();
        assert_eq!(zone.usage().bytes, 3000, "what arrives counts");
        assert_eq!(upload.push(Bytes::from(vec![0; 1001])), Err(Refused::TooLarge(4000)));
        drop(upload);
        let mut broken = begin(&zone, "a", "", cc).unwrap();
        broken.push(Bytes::from(vec![0; 3000])).unwrap();
        drop(broken);
        assert_eq!(
            (zone.usage().bytes, zone.usage().entries, zone.usage().refused),
            (0, 0, 1)
        );
        let mut arriving: Vec<Upload> = (0..2)
            .map(|_| {
                let mut upload = begin(&zone, "a", "", cc).unwrap();
                upload.push(Bytes::from(vec![0; 3900])).unwrap();
                upload
            })
            .collect();
        let mut late = begin(&zone, "a", "", cc).unwrap();
        assert_eq!(late.push(Bytes::from(vec![0; 3900])), Err(Refused::NoRoom));
        assert_eq!(arriving.pop().unwrap().finish(true), Err(Refused::NoRoom));
        drop(late);
        arriving.pop().unwrap().finish(true).unwrap();
        assert_eq!(zone.usage().entries, 1);
    }

    #[test]
    fn refusals_are_counted() {
        let (cache, _) = cache(SMALL);
        let zone = cache.zone(scope("t"));
        let check = |url: &str, response: &str, expected: NotStored| {
            assert_eq!(begin(&zone, url, "", response).err(), Some(expected), "{response}");
        };
        check("a", "cache-control: no-store", NotStored::Forbidden);
        check("a", "cache-control: max-age=1\nvary: *", NotStored::Everything);
        check(
            &"x".repeat(KEY_BYTES_MAX + 1),
            "cache-control: max-age=1",
            NotStored::Key,
        );
        assert_eq!(zone.usage().refused, 3);
    }

    #[test]
    fn ranges_cross_pieces_and_small_pieces_are_gathered() {
        let (cache, _) = cache(CacheLimits::default());
        let zone = cache.zone(scope("t"));
        let mut upload = begin(&zone, "a", "", "cache-control: max-age=60").unwrap();
        for _ in 0..1000 {
            upload.push(Bytes::from_static(b"abc")).unwrap();
        }
        upload.push(Bytes::from(vec![b'-'; GATHER_BYTES])).unwrap();
        upload.push(Bytes::from_static(b"end")).unwrap();
        upload.finish(false).unwrap();
        let whole = zone.find(None, "a", &HeaderMap::new()).unwrap();
        assert_eq!(whole.body.as_ref().unwrap().len(), 3);
        assert!(!whole.headers.contains_key(header::CONTENT_LENGTH));
        let part = zone
            .find(
                None,
                "a",
                &headers(&format!("range: bytes=2998-{}", 3000 + GATHER_BYTES)),
            )
            .unwrap();
        let expected = format!("bc{}e", "-".repeat(GATHER_BYTES));
        assert_eq!(
            part.headers[header::CONTENT_LENGTH],
            expected.len().to_string().as_str()
        );
        assert_eq!(text(Some(part)), Some(expected));
    }
}
