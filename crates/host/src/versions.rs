//! Versions that run when events come for them: any number of workers are known to somebody else ([`VersionSource`]), few of
//! them run.
//!
//! ```text
//! event -> choose (whose turn) -> runs? --yes--> its slot
//!                                  \--no--> fetch (once for all who wait) -> start -> its slot
//! ```
//!
//! Invariants:
//! - a version is fetched once at a time, however many events wait for it, and goes on being fetched when they give up;
//! - a fetch that failed is not tried again for [`FAILED_FOR`]: events fail at once;
//! - what no event needed for [`VersionsOptions::idle_for`] goes away whole, its code too; so does the longest unused one
//!   while all hold more than [`VersionsOptions::code_bytes_max`];
//! - a version that was told to go ([`Versions::keep`]) finishes what it has; an event that meets it then is chosen for anew.

use crate::host::{Host, Prepared};
use crate::running::Running;
use async_trait::async_trait;
use atoll_model::{AccountLimits, TenantId, VersionId, WorkerName, WorkerVersion};
use atoll_worker::{Fault, FaultKind, Fetcher, VersionChoice};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

/// How long a version that could not be had is not asked for again.
pub const FAILED_FOR: Duration = Duration::from_secs(2);
/// How often unused versions are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Failures that are remembered.
const FAILURES_MAX: usize = 10_000;

/// Which version is to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// This one.
    Version(VersionId),
    /// There is no such worker, or it has no code.
    Unknown,
    /// Its account is suspended, for one: the event is answered with this.
    Refused(Fault),
}

/// A version as it is to be run.
#[derive(Clone)]
pub struct Fetched {
    /// The version.
    pub version: Arc<WorkerVersion>,
    /// What answers its asset binding.
    pub assets: Option<Arc<dyn Fetcher>>,
    /// What its account may use over all its workers.
    pub account: AccountLimits,
}

/// Knows all workers and has their versions.
#[async_trait]
pub trait VersionSource: Send + Sync + 'static {
    /// Which version of the worker answers. Called for each event, on whichever thread: it must be quick. A version that
    /// is asked for exactly and is not the worker's any more is passed over.
    fn choose(&self, tenant: &TenantId, worker: &WorkerName, choice: &VersionChoice) -> Chosen;

    /// The version with all that its start needs. May take as long as the network does; has a deadline of its own.
    async fn fetch(&self, tenant: &TenantId, worker: &WorkerName, version: &VersionId) -> Result<Fetched, Fault>;
}

/// How long versions stay.
#[derive(Debug, Clone, Copy)]
pub struct VersionsOptions {
    /// What no event needed for so long goes.
    pub idle_for: Duration,
    /// Bytes of modules that all running versions may hold; the longest unused go beyond that.
    pub code_bytes_max: u64,
}

impl Default for VersionsOptions {
    fn default() -> Self {
        Self {
            idle_for: Duration::from_secs(600),
            code_bytes_max: 512 << 20,
        }
    }
}

/// Counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VersionsStats {
    /// Versions that run or could at once.
    pub live: usize,
    /// Bytes of their modules.
    pub code_bytes: u64,
    /// Fetched and started because of an event.
    pub fetched: u64,
    /// That could not be had.
    pub failed: u64,
    /// That went because nobody needed them.
    pub gone: u64,
}

struct Entry {
    running: Arc<Running>,
    /// Milliseconds since the table's beginning.
    used: AtomicU64,
    bytes: u64,
}

type Key = (TenantId, WorkerName, VersionId);
type Flight = Shared<BoxFuture<'static, Result<Arc<Running>, Fault>>>;
type Table = HashMap<TenantId, HashMap<WorkerName, HashMap<VersionId, Arc<Entry>>>>;

/// See the module.
pub struct Versions {
    source: Arc<dyn VersionSource>,
    options: VersionsOptions,
    host: Weak<Host>,
    begun: Instant,
    live: RwLock<Table>,
    flights: Mutex<HashMap<Key, Flight>>,
    failures: Mutex<HashMap<Key, (Instant, Fault)>>,
    fetched: AtomicU64,
    failed: AtomicU64,
    gone: AtomicU64,
}

impl Versions {
    pub(crate) fn new(source: Arc<dyn VersionSource>, options: VersionsOptions, host: Weak<Host>) -> Arc<Self> {
        Arc::new(Self {
            source,
            options,
            host,
            begun: Instant::now(),
            live: RwLock::default(),
            flights: Mutex::default(),
            failures: Mutex::default(),
            fetched: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            gone: AtomicU64::new(0),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn write<T>(&self, what: impl FnOnce(&mut Table) -> T) -> T {
        // Map operations only: a panic elsewhere cannot leave them half-done.
        what(&mut self.live.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn entry(&self, tenant: &TenantId, worker: &WorkerName, version: &VersionId) -> Option<Arc<Entry>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.get(tenant)?.get(worker)?.get(version).cloned()
    }

    pub(crate) fn choose(&self, tenant: &TenantId, worker: &WorkerName, choice: &VersionChoice) -> Chosen {
        self.source.choose(tenant, worker, choice)
    }

    /// The slot of a version, if it has one. Counts as use.
    pub(crate) fn running(&self, tenant: &TenantId, worker: &WorkerName, version: &VersionId) -> Option<Arc<Running>> {
        let entry = self.entry(tenant, worker, version)?;
        entry.used.store(self.now(), Ordering::Relaxed);
        Some(entry.running.clone())
    }

    /// The slot of a version, which is fetched and started if it has none.
    pub(crate) async fn obtain(
        self: &Arc<Self>,
        tenant: &TenantId,
        worker: &WorkerName,
        version: &VersionId,
        ahead: bool,
    ) -> Result<Arc<Running>, Fault> {
        if let Some(running) = self.running(tenant, worker, version) {
            return Ok(running);
        }
        let key = (tenant.clone(), worker.clone(), version.clone());
        let flight = {
            let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            match flights.get(&key) {
                Some(flight) => flight.clone(),
                None => {
                    // A flight puts its version into the table before it leaves the list.
                    if let Some(running) = self.running(tenant, worker, version) {
                        return Ok(running);
                    }
                    if let Some(fault) = self.failure(&key) {
                        return Err(fault);
                    }
                    let Some(host) = self.host.upgrade() else {
                        return Err(Fault::new(FaultKind::Draining, "the server is stopping"));
                    };
                    let flight = self.clone().fly(key.clone(), ahead).boxed().shared();
                    flights.insert(key, flight.clone());
                    // Driven to its end also when everybody who waits has gone.
                    host.tasks().spawn(flight.clone().map(drop));
                    flight
                }
            }
        };
        flight.await
    }

    async fn fly(self: Arc<Self>, key: Key, ahead: bool) -> Result<Arc<Running>, Fault> {
        let outcome = self.fetch(&key, ahead).await;
        match &outcome {
            Ok(_) => self.fetched.fetch_add(1, Ordering::Relaxed),
            Err(fault) => {
                let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                failures.retain(|_, (since, _)| now.duration_since(*since) < FAILED_FOR);
                if failures.len() < FAILURES_MAX {
                    failures.insert(key.clone(), (now, fault.clone()));
                }
                self.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        outcome
    }

    fn failure(&self, key: &Key) -> Option<Fault> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, fault) = failures.get(key)?;
        (since.elapsed() < FAILED_FOR).then(|| fault.clone())
    }

    async fn fetch(&self, key: &Key, ahead: bool) -> Result<Arc<Running>, Fault> {
        let (tenant, worker, version) = key;
        let fetched = self.source.fetch(tenant, worker, version).await?;
        let Some(host) = self.host.upgrade() else {
            return Err(Fault::new(FaultKind::Draining, "the server is stopping"));
        };
        let running = host.start_fetched(fetched, ahead)?;
        Ok(self.put(key, running))
    }

    /// Puts a slot into the table, unless there is one: that one stays, the other goes.
    fn put(&self, (tenant, worker, version): &Key, running: Arc<Running>) -> Arc<Running> {
        let modules = running.version().modules.iter();
        let bytes = modules.map(|module| module.content.len() + module.source_map.as_ref().map_or(0, |map| map.len()));
        let entry = Arc::new(Entry {
            bytes: bytes.sum::<usize>() as u64,
            running,
            used: AtomicU64::new(self.now()),
        });
        let kept = self.write(|table| {
            let workers = table.entry(tenant.clone()).or_default();
            let versions = workers.entry(worker.clone()).or_default();
            versions
                .entry(version.clone())
                .or_insert_with(|| entry.clone())
                .running
                .clone()
        });
        if !Arc::ptr_eq(&kept, &entry.running) {
            self.retire(entry.running.clone());
        }
        kept
    }

    fn retire(&self, running: Arc<Running>) {
        if let Some(host) = self.host.upgrade() {
            host.retire(running);
        }
    }

    /// A version that was started ahead ([`Host::prepare_within`]) gets events from now on, whenever it is chosen.
    pub fn admit(&self, prepared: Prepared) {
        let (version, running) = prepared.into_running();
        let key = (
            version.tenant.clone(),
            version.name.clone(),
            VersionId::new(version.id.as_str()),
        );
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&key);
        self.put(&key, running);
    }

    /// Whether the version has a slot.
    pub fn has(&self, tenant: &TenantId, worker: &WorkerName, version: &VersionId) -> bool {
        self.entry(tenant, worker, version).is_some()
    }

    /// Of the worker's versions, those that `keeps` says no to finish what they have and go. Must be called inside a tokio
    /// runtime.
    pub fn keep(&self, tenant: &TenantId, worker: &WorkerName, keeps: impl Fn(&VersionId) -> bool) {
        let gone = self.write(|table| {
            let Some(workers) = table.get_mut(tenant) else {
                return Vec::new();
            };
            let Some(versions) = workers.get_mut(worker) else {
                return Vec::new();
            };
            let gone: Vec<_> = versions.extract_if(|version, _| !keeps(version)).collect();
            tidy(table, tenant, worker);
            gone
        });
        for (_, entry) in gone {
            self.retire(entry.running.clone());
        }
    }

    /// The worker's versions finish what they have and go; whoever comes next starts them anew. Must be called inside a tokio
    /// runtime.
    pub fn renew(&self, tenant: &TenantId, worker: &WorkerName) {
        self.keep(tenant, worker, |_| false);
    }

    /// Looks for versions that nobody needs, for as long as the table is there.
    pub(crate) async fn sweep(table: Weak<Self>) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let Some(table) = table.upgrade() else { return };
            table.let_go();
        }
    }

    fn let_go(&self) {
        let now = self.now();
        let idle_ms = u64::try_from(self.options.idle_for.as_millis()).unwrap_or(u64::MAX);
        let mut unused: Vec<(u64, u64, Key)> = Vec::new();
        let mut bytes = 0;
        {
            let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
            for (tenant, workers) in live.iter() {
                for (worker, versions) in workers {
                    for (version, entry) in versions {
                        bytes += entry.bytes;
                        let used = entry.used.load(Ordering::Relaxed);
                        if entry.running.is_idle() {
                            let key = (tenant.clone(), worker.clone(), version.clone());
                            unused.push((used, entry.bytes, key));
                        }
                    }
                }
            }
        }
        unused.sort_by_key(|(used, ..)| *used);
        for (used, held, key) in unused {
            let too_long = now.saturating_sub(used) >= idle_ms;
            if !too_long && bytes <= self.options.code_bytes_max {
                return;
            }
            bytes -= held;
            self.let_one_go(&key, used);
        }
    }

    fn let_one_go(&self, (tenant, worker, version): &Key, used: u64) {
        let entry = self.write(|table| {
            let versions = table.get_mut(tenant)?.get_mut(worker)?;
            // Used meanwhile, it stays.
            if versions.get(version)?.used.load(Ordering::Relaxed) != used {
                return None;
            }
            let entry = versions.remove(version);
            tidy(table, tenant, worker);
            entry
        });
        if let Some(entry) = entry {
            self.gone.fetch_add(1, Ordering::Relaxed);
            self.retire(entry.running.clone());
        }
    }

    /// Where the versions stand that have slots: tenant, worker, version, slot.
    pub(crate) fn all(&self) -> Vec<Arc<Running>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let versions = live.values().flat_map(HashMap::values).flat_map(HashMap::values);
        versions.map(|entry| entry.running.clone()).collect()
    }

    /// Counters.
    pub fn stats(&self) -> VersionsStats {
        let (mut live, mut code_bytes) = (0, 0);
        let table = self.live.read().unwrap_or_else(PoisonError::into_inner);
        for entry in table.values().flat_map(HashMap::values).flat_map(HashMap::values) {
            live += 1;
            code_bytes += entry.bytes;
        }
        VersionsStats {
            live,
            code_bytes,
            fetched: self.fetched.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            gone: self.gone.load(Ordering::Relaxed),
        }
    }
}

/// Leaves no empty maps behind.
fn tidy(table: &mut Table, tenant: &TenantId, worker: &WorkerName) {
    if let Some(workers) = table.get_mut(tenant) {
        if workers.get(worker).is_some_and(HashMap::is_empty) {
            workers.remove(worker);
        }
        if workers.is_empty() {
            table.remove(tenant);
        }
    }
}
