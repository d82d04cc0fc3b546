//! The keyspace on disk: fjall, with a group commit in front and a cache of hot values beside it.
//!
//! Threads: one committer, a few readers, and the engine's own. Handles only queue work and look into the cache, so no call
//! blocks its caller. A read that hits the cache is ready at once; any other hops to a reader.
//!
//! Why not read the engine on the caller's thread: it has no way to say "not in memory", and one block read from a slow
//! disk would stop an executor for milliseconds. What that costs, by the `read_costs` test (dev profile, so this crate
//! unoptimized; two cores busy with compilers; 128 byte values in the memory table): 0.5 us from the hot cache, 16 us
//! with the hop, 0.4 us for the engine on the caller's thread. A cold read pays the hop, a hot one does not.
//!
//! Bounds: [`QUEUED_BYTES_MAX`] of batches wait for the committer (more callers wait their turn, first come first
//! served), [`QUEUED_READS_MAX`] reads wait for the readers (more are refused).

mod cache;
mod committer;
mod engine;
#[cfg(test)]
mod tests;

#[cfg(test)]
use crate::format::Directory;
use crate::keyspace::{Batch, CommitSeq, Keyspace, Page, Reply, Scan, check_key};
use crate::queue::{Refused, WorkQueue};
use crate::{BATCH_BYTES_MAX, StoreError};
use bytes::Bytes;
use cache::HotCache;
use committer::Job;
use engine::Engine;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use tokio::sync::{Semaphore, oneshot};

/// The most bytes of batches that wait for the committer.
pub const QUEUED_BYTES_MAX: usize = 2 * BATCH_BYTES_MAX;
/// The most reads that wait for the readers.
pub const QUEUED_READS_MAX: usize = 16 * 1024;
/// Waiting batches are counted in units of this many bytes, each at least one.
const PERMIT_BYTES: usize = 1024;

/// How a store on disk is opened.
#[derive(Debug, Clone)]
pub struct LsmOptions {
    /// Memory for small values read lately, bytes.
    pub hot_cache_bytes: u64,
    /// Memory for the engine's blocks, bytes.
    pub block_cache_bytes: u64,
    /// When the table in memory is written to disk, bytes. Fixed when the store is created.
    pub memtable_bytes: u64,
    /// The most bytes of journals; what is read again after a crash. At least 64 MiB.
    pub journal_bytes: u64,
    /// Threads that read what is not in the hot cache.
    pub reader_threads: usize,
    /// The engine's threads for flushes and compactions.
    pub background_threads: usize,
    /// Writes are refused when fewer bytes than this would stay free on the disk.
    pub reserve_bytes: u64,
}

impl Default for LsmOptions {
    fn default() -> Self {
        Self {
            hot_cache_bytes: 32 << 20,
            block_cache_bytes: 32 << 20,
            memtable_bytes: 32 << 20,
            journal_bytes: 256 << 20,
            reader_threads: 2,
            background_threads: 2,
            reserve_bytes: 128 << 20,
        }
    }
}

/// Counters since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LsmStats {
    /// Syncs.
    pub groups: u64,
    /// Batches made durable.
    pub commits: u64,
    /// Bytes of those batches.
    pub bytes: u64,
    /// Point reads answered from the hot cache.
    pub hot_reads: u64,
    /// Reads that hopped to a reader.
    pub reads: u64,
}

#[derive(Debug, Default)]
struct Counters {
    groups: AtomicU64,
    commits: AtomicU64,
    bytes: AtomicU64,
    hot_reads: AtomicU64,
    reads: AtomicU64,
}

/// What a thread of the store does.
type Body = Box<dyn FnOnce(&Shared, &Engine) + Send>;

/// What handles and threads share. It holds no engine: only the threads do, so a store is closed when they end.
struct Shared {
    commits: WorkQueue<Job>,
    room: Arc<Semaphore>,
    reads: WorkQueue<Read>,
    hot: HotCache,
    failed: OnceLock<Arc<str>>,
    reserve_bytes: AtomicU64,
    counters: Counters,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

enum Read {
    Get(Bytes, oneshot::Sender<Result<Option<Bytes>, StoreError>>),
    GetMany(Vec<Bytes>, oneshot::Sender<Result<Vec<Option<Bytes>>, StoreError>>),
    Scan(Scan, oneshot::Sender<Result<Page, StoreError>>),
    DiskBytes(oneshot::Sender<Result<u64, StoreError>>),
}

/// A store on disk. Clones are handles to the same store; when the last one is dropped it finishes what is queued and
/// closes.
#[derive(Clone)]
pub struct LsmKeyspace {
    shared: Arc<Shared>,
    _owner: Arc<Owner>,
}

/// Ends the threads when the last handle goes.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for LsmKeyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LsmKeyspace").field("stats", &self.stats()).finish()
    }
}

impl LsmKeyspace {
    /// Opens the store in `path`, creating it if there is none, on a thread of its own. Recovery reads at most
    /// [`LsmOptions::journal_bytes`].
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::NewerFormat`], [`StoreError::Foreign`], [`StoreError::Corrupt`],
    /// [`StoreError::LostCommits`], [`StoreError::Io`].
    pub async fn open(path: impl AsRef<Path>, options: LsmOptions) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let (answer, opened) = oneshot::channel();
        spawn("store-open", {
            let path = path.clone();
            move || {
                let _ = answer.send(Self::open_blocking(&path, &options));
            }
        })
        .map_err(|error| StoreError::io("start a thread for", &path, error))?;
        opened
            .await
            .unwrap_or_else(|_| Err(StoreError::closed("it stopped while it was opened")))
    }

    /// As [`Self::open`], on the caller's thread.
    pub fn open_blocking(path: &Path, options: &LsmOptions) -> Result<Self, StoreError> {
        let (engine, last) = Engine::open(path, options)?;
        let engine = Arc::new(engine);
        let shared = Arc::new(Shared {
            commits: WorkQueue::new(),
            room: Arc::new(Semaphore::new(QUEUED_BYTES_MAX / PERMIT_BYTES)),
            reads: WorkQueue::new(),
            hot: HotCache::new(options.hot_cache_bytes),
            failed: OnceLock::new(),
            reserve_bytes: AtomicU64::new(options.reserve_bytes),
            counters: Counters::default(),
            threads: Mutex::default(),
        });
        // From here on a failure to start a thread closes what was started.
        let store = Self {
            _owner: Arc::new(Owner(shared.clone())),
            shared,
        };
        let start = |name: &str, body: Body| {
            let (shared, engine) = (store.shared.clone(), engine.clone());
            let thread = spawn(name, move || {
                let guard = StopGuard(shared);
                body(&guard.0, &engine);
            })
            .map_err(|error| StoreError::io("start a thread for", path, error))?;
            store.shared.lock_threads().push(thread);
            Ok(())
        };
        start(
            "store-commit",
            Box::new(move |shared, engine| committer::run(shared, engine, last)),
        )?;
        for _ in 0..options.reader_threads.max(1) {
            start("store-read", Box::new(run_reader))?;
        }
        Ok(store)
    }

    /// Finishes what is queued, ends the threads and unlocks the directory; other handles answer
    /// [`StoreError::Closed`] from then on.
    pub async fn close(self) {
        self.shared.close();
        let threads = std::mem::take(&mut *self.shared.lock_threads());
        let (done, joined) = oneshot::channel();
        let join = move || {
            for thread in threads {
                let _ = thread.join();
            }
            let _ = done.send(());
        };
        match spawn("store-close", join) {
            Ok(_) => drop(joined.await),
            Err(error) => tracing::warn!(%error, "cannot wait for the store's threads; they end by themselves"),
        }
    }

    /// Counters since the store was opened.
    pub fn stats(&self) -> LsmStats {
        let counters = &self.shared.counters;
        LsmStats {
            groups: counters.groups.load(Relaxed),
            commits: counters.commits.load(Relaxed),
            bytes: counters.bytes.load(Relaxed),
            hot_reads: counters.hot_reads.load(Relaxed),
            reads: counters.reads.load(Relaxed),
        }
    }

    /// Changes [`LsmOptions::reserve_bytes`].
    pub fn set_reserve_bytes(&self, bytes: u64) {
        self.shared.reserve_bytes.store(bytes, Relaxed);
    }

    /// Bytes the store takes on disk.
    pub fn disk_bytes(&self) -> Reply<u64> {
        self.shared.read(Read::DiskBytes)
    }
}

impl Keyspace for LsmKeyspace {
    fn get(&self, key: &[u8]) -> Reply<Option<Bytes>> {
        if let Err(error) = check_key(key) {
            return Reply::ready(Err(error));
        }
        if let Some(value) = self.shared.hot.get(key) {
            self.shared.counters.hot_reads.fetch_add(1, Relaxed);
            return Reply::ready(Ok(value));
        }
        let key = Bytes::copy_from_slice(key);
        self.shared.read(|answer| Read::Get(key, answer))
    }

    fn get_many(&self, keys: Vec<Bytes>) -> Reply<Vec<Option<Bytes>>> {
        match keys.iter().try_for_each(|key| check_key(key)) {
            Ok(()) => self.shared.read(|answer| Read::GetMany(keys, answer)),
            Err(error) => Reply::ready(Err(error)),
        }
    }

    fn scan(&self, scan: Scan) -> Reply<Page> {
        self.shared.read(|answer| Read::Scan(scan, answer))
    }

    fn commit(&self, batch: Batch) -> Reply<CommitSeq> {
        let bytes = match batch.check() {
            Ok(bytes) => bytes,
            Err(error) => return Reply::ready(Err(error)),
        };
        if let Some(reason) = self.shared.failed.get() {
            return Reply::ready(Err(StoreError::Closed { reason: reason.clone() }));
        }
        // A batch has at most BATCH_BYTES_MAX bytes, half of all permits.
        let permits = (bytes / PERMIT_BYTES + 1) as u32;
        let (answer, receiver) = oneshot::channel();
        match self.shared.room.clone().try_acquire_many_owned(permits) {
            Ok(permit) => {
                self.shared.queue(Job {
                    batch,
                    bytes,
                    answer,
                    _permit: permit,
                });
                Reply::waiting(receiver)
            }
            Err(_) => {
                let shared = self.shared.clone();
                Reply::later(async move {
                    let permit = shared.room.clone().acquire_many_owned(permits).await;
                    let _permit = permit.map_err(|_| StoreError::closed("it was closed while this write waited"))?;
                    shared.queue(Job {
                        batch,
                        bytes,
                        answer,
                        _permit,
                    });
                    Reply::waiting(receiver).await
                })
            }
        }
    }
}

impl Shared {
    fn queue(&self, job: Job) {
        // Never full: the permits bound it.
        if let Err(Refused::Closed(job) | Refused::Full(job)) = self.commits.push(job, usize::MAX) {
            let _ = job
                .answer
                .send(Err(StoreError::closed("it was closed before this write")));
        }
    }

    fn read<T>(&self, read: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Read) -> Reply<T> {
        self.counters.reads.fetch_add(1, Relaxed);
        let (answer, receiver) = oneshot::channel();
        match self.reads.push(read(answer), QUEUED_READS_MAX) {
            Ok(()) => Reply::waiting(receiver),
            Err(Refused::Full(_)) => Reply::ready(Err(StoreError::Overloaded {
                what: "reads",
                limit: QUEUED_READS_MAX,
            })),
            Err(Refused::Closed(_)) => Reply::ready(Err(StoreError::closed("it was closed before this read"))),
        }
    }

    fn close(&self) {
        self.commits.close();
        self.reads.close();
        self.room.close();
    }

    fn lock_threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// However a thread of the store ends, nobody waits for it in vain: what it leaves behind is answered by being dropped.
struct StopGuard(Arc<Shared>);

impl Drop for StopGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self
                .0
                .failed
                .set("one of its threads panicked; restart to recover".into());
            self.0.close();
            while self.0.commits.pop().is_some() {}
            while self.0.reads.pop().is_some() {}
        }
    }
}

fn run_reader(shared: &Shared, engine: &Engine) {
    while let Some(read) = shared.reads.pop() {
        // A panic, of the engine on a damaged block or of a caller's filter, costs this read only: its sender is dropped.
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| answer(shared, engine, read)));
        if let Err(panic) = outcome {
            tracing::error!(path = %engine.path().display(), panic = engine::panic_text(&*panic), "a read panicked");
        }
    }
}

fn answer(shared: &Shared, engine: &Engine, read: Read) {
    // A receiver that went away has lost interest, nothing else.
    match read {
        Read::Get(key, answer) => {
            let ticket = shared.hot.ticket(&key);
            let value = engine.read(&key);
            if let Ok(value) = &value {
                shared.hot.fill(&key, value.as_deref(), ticket);
            }
            drop(answer.send(value));
        }
        Read::GetMany(keys, answer) => drop(answer.send(engine.read_many(&keys))),
        Read::Scan(scan, answer) => drop(answer.send(engine.scan(&scan))),
        Read::DiskBytes(answer) => drop(answer.send(Ok(engine.disk_bytes()))),
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body)
}
