//! Objects of the artifact store, as a PoP has them: in memory, on disk, at a neighbour, at the control plane or in the store.
//!
//! ```text
//! memory   least recently used, bounded bytes
//! disk     objects/: least recently used, bounded bytes, verified at each read
//! others   [`Links::fetch`]; one fetch at a time for a key, whoever asks for it meanwhile waits for that one
//! ```
//!
//! A blob is its hash: what does not have it is not taken, wherever it came from. A signature proves itself where it is
//! verified. The store is read-only: nobody writes artifacts through a PoP.

use crate::links::{Links, failed};
use crate::{AgentError, disk};
use async_trait::async_trait;
use atoll_model::BlobHash;
use atoll_store::blob::{BlobError, BlobStore, DirectoryStore, Etag, Expect, Object, ObjectFacts, Page, check_key};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What objects may take here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLimits {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of disk.
    pub disk_bytes: u64,
}

impl Default for ObjectLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            disk_bytes: 8 << 30,
        }
    }
}

/// An object larger than this part of the memory does not push everything else out of it.
const MEMORY_PART_MAX: u64 = 8;
/// How many objects' sizes are expected in memory.
const MEMORY_OBJECTS: usize = 4_096;
/// How many keys a page of the list has, as the disk is read at the start.
const PAGE_KEYS: usize = 1_000;

#[derive(Debug, Clone)]
struct Weight;

impl Weighter<String, Bytes> for Weight {
    fn weight(&self, key: &String, bytes: &Bytes) -> u64 {
        (key.len() + bytes.len()) as u64
    }
}

/// What lies on disk and when it was used.
#[derive(Debug, Default)]
struct Index {
    objects: HashMap<String, (u64, u64)>,
    by_use: BTreeMap<u64, String>,
    bytes: u64,
    uses: u64,
}

impl Index {
    fn used(&mut self, key: &str, size: u64) {
        self.uses += 1;
        let uses = self.uses;
        match self.objects.insert(key.to_owned(), (size, uses)) {
            Some((before, at)) => {
                self.bytes = self.bytes - before + size;
                self.by_use.remove(&at);
            }
            None => self.bytes += size,
        }
        self.by_use.insert(uses, key.to_owned());
    }

    fn remove(&mut self, key: &str) {
        if let Some((size, at)) = self.objects.remove(key) {
            self.bytes -= size;
            self.by_use.remove(&at);
        }
    }

    /// What was not used for longest, while there is too much.
    fn too_much(&self, limit: u64) -> Option<String> {
        if self.bytes <= limit {
            return None;
        }
        self.by_use.values().next().cloned()
    }
}

type Flight = Shared<BoxFuture<'static, Result<Bytes, BlobError>>>;
type WeakFlight = WeakShared<BoxFuture<'static, Result<Bytes, BlobError>>>;

/// Where reads found what they asked for.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub memory: AtomicU64,
    pub disk: AtomicU64,
}

pub(crate) struct Objects {
    memory: Cache<String, Bytes, Weight>,
    memory_part: u64,
    disk: DirectoryStore,
    disk_bytes: u64,
    index: Mutex<Index>,
    links: Arc<Links>,
    flights: Mutex<HashMap<String, WeakFlight>>,
    pub found: Found,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Objects({:?})", self.disk)
    }
}

/// Is it a key of the artifact store that a PoP may read?
pub(crate) fn readable(key: &str) -> Result<(), BlobError> {
    check_key(key)?;
    if key.starts_with("blobs/") || key.starts_with("signatures/") {
        return Ok(());
    }
    Err(BlobError::NotFound { key: key.to_owned() })
}

/// Are these bytes what the key names?
fn verify(key: &str, bytes: &Bytes) -> Result<(), BlobError> {
    if !key.starts_with("blobs/") {
        return Ok(());
    }
    let named = key.rsplit('/').next().and_then(|name| name.parse::<BlobHash>().ok());
    if named == Some(BlobHash::of(bytes)) {
        return Ok(());
    }
    Err(BlobError::Corrupt {
        key: key.to_owned(),
        detail: "what was fetched does not have its hash".to_owned(),
    })
}

impl Objects {
    /// Opens the directory and looks what is there.
    pub async fn open(directory: &Path, limits: ObjectLimits, links: Arc<Links>) -> Result<Arc<Self>, AgentError> {
        let disk = DirectoryStore::open(directory).map_err(|error| disk::fault("open", directory, error))?;
        let mut index = Index::default();
        let mut after: Option<String> = None;
        loop {
            let page = disk.list("", after.as_deref(), PAGE_KEYS).await;
            let page = page.map_err(|error| disk::fault("list", directory, error))?;
            for object in &page.objects {
                index.used(&object.key, object.size);
            }
            match page.objects.last() {
                Some(last) if page.more => after = Some(last.key.clone()),
                _ => break,
            }
        }
        Ok(Arc::new(Self {
            memory: Cache::with_weighter(MEMORY_OBJECTS, limits.memory_bytes, Weight),
            memory_part: limits.memory_bytes / MEMORY_PART_MAX,
            disk,
            disk_bytes: limits.disk_bytes,
            index: Mutex::new(index),
            links,
            flights: Mutex::default(),
            found: Found::default(),
        }))
    }

    /// What lies on disk: objects and bytes.
    pub fn stored(&self) -> (usize, u64) {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        (index.objects.len(), index.bytes)
    }

    /// What is at hand: in memory or on disk.
    pub async fn at_hand(&self, key: &str) -> Result<Option<Bytes>, BlobError> {
        readable(key)?;
        if let Some(bytes) = self.memory.get(key) {
            self.found.memory.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(bytes));
        }
        match self.disk.get(key, None).await {
            Ok(object) if verify(key, &object.bytes).is_ok() => {
                self.found.disk.fetch_add(1, Ordering::Relaxed);
                self.index
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .used(key, object.size);
                self.remember(key, &object.bytes);
                Ok(Some(object.bytes))
            }
            Err(BlobError::NotFound { .. }) => Ok(None),
            // Damaged, or the disk is: fetched anew and written over.
            Ok(_) | Err(_) => {
                tracing::warn!(key, "an object on disk cannot be read and is fetched again");
                Ok(None)
            }
        }
    }

    fn remember(&self, key: &str, bytes: &Bytes) {
        if bytes.len() as u64 <= self.memory_part {
            self.memory.insert(key.to_owned(), bytes.clone());
        }
    }

    /// Forgets an object: it is fetched anew when it is asked for.
    pub async fn forget(&self, key: &str) {
        self.memory.remove(key);
        if let Err(error) = self.disk.delete(key).await {
            tracing::warn!(key, %error, "an object could not be removed");
        }
        self.index.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    async fn fetch(&self, key: &str) -> Result<Bytes, BlobError> {
        let bytes = self.links.fetch(key).await?;
        verify(key, &bytes)?;
        match self.disk.put(key, bytes.clone(), Expect::Anything).await {
            Ok(_) => {
                let size = bytes.len() as u64;
                self.index
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .used(key, size);
                self.make_room().await;
            }
            // It serves from memory then.
            Err(error) => tracing::warn!(key, %error, "an object could not be kept on disk"),
        }
        self.remember(key, &bytes);
        Ok(bytes)
    }

    async fn make_room(&self) {
        loop {
            let oldest = self
                .index
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .too_much(self.disk_bytes);
            let Some(oldest) = oldest else { return };
            self.forget(&oldest).await;
        }
    }

    async fn whole(self: &Arc<Self>, key: &str) -> Result<Bytes, BlobError> {
        if let Some(bytes) = self.at_hand(key).await? {
            return Ok(bytes);
        }
        let flight: Flight = {
            let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            match flights.get(key).and_then(WeakShared::upgrade) {
                Some(flight) => flight,
                None => {
                    let (objects, name) = (self.clone(), key.to_owned());
                    let fetch = async move {
                        // Somebody may have brought it since the look above.
                        match objects.at_hand(&name).await? {
                            Some(bytes) => Ok(bytes),
                            None => objects.fetch(&name).await,
                        }
                    };
                    let flight = fetch.boxed().shared();
                    flights.retain(|_, flight| flight.upgrade().is_some());
                    if let Some(weak) = flight.downgrade() {
                        flights.insert(key.to_owned(), weak);
                    }
                    flight
                }
            }
        };
        flight.await
    }
}

/// The store as others see it.
#[derive(Debug, Clone)]
pub(crate) struct Reading(pub Arc<Objects>);

fn facts(key: &str, bytes: &Bytes) -> (u64, Etag) {
    // A blob's key ends in its hash; a signature's content has to be hashed.
    let name = key.rsplit('/').next().filter(|_| key.starts_with("blobs/"));
    let etag = name.map_or_else(|| BlobHash::of(bytes).to_string(), str::to_owned);
    (bytes.len() as u64, Etag(etag.into()))
}

#[async_trait]
impl BlobStore for Reading {
    async fn put(&self, key: &str, _: Bytes, _: Expect) -> Result<Etag, BlobError> {
        Err(failed(key, "a PoP reads artifacts and writes none"))
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Object, BlobError> {
        let bytes = self.0.whole(key).await?;
        let (size, etag) = facts(key, &bytes);
        let bytes = match range {
            None => bytes,
            Some(Range { start, end }) if start <= end && end <= size => bytes.slice(start as usize..end as usize),
            Some(Range { start, end }) => {
                return Err(BlobError::Range {
                    key: key.to_owned(),
                    start,
                    end,
                    size,
                });
            }
        };
        Ok(Object { bytes, size, etag })
    }

    async fn head(&self, key: &str) -> Result<ObjectFacts, BlobError> {
        let bytes = self.0.whole(key).await?;
        let (size, etag) = facts(key, &bytes);
        Ok(ObjectFacts {
            key: key.to_owned(),
            size,
            etag: Some(etag),
        })
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        Err(failed(key, "a PoP reads artifacts and removes none"))
    }

    async fn list(&self, prefix: &str, _: Option<&str>, _: usize) -> Result<Page, BlobError> {
        Err(failed(prefix, "a PoP does not know all artifacts"))
    }
}
