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
use tokio::runtime::Handle;
use tokio::sync::oneshot;

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
    /// The runtime that serves. Whoever asks may be on an isolate's thread, whose own has no network.
    runtime: Handle,
    begun: Instant,
    live: RwLock<Table>,
    flights: Mutex<HashMap<Key, Flight>>,
    failures: Mutex<HashMap<Key, (Instant, Fault)>>,
    fetched: AtomicU64,
    failed: AtomicU64,
    gone: AtomicU64,
}

/// Takes a flight off the list.
struct Lands(Arc<Versions>, Key);

impl Drop for Lands {
    fn drop(&mut self) {
        let mut flights = self.0.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.remove(&self.1);
    }
}

impl Versions {
    pub(crate) fn new(source: Arc<dyn VersionSource>, options: VersionsOptions, host: Weak<Host>) -> Arc<Self> {
        Arc::new(Self {
            source,
            options,
            host,
            runtime: Handle::current(),
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
                    let (done, outcome) = oneshot::channel();
                    let flying = self.clone().fly(key.clone(), ahead);
                    // Driven to its end also when everybody who waits has gone.
                    host.tasks().spawn_on(&self.runtime, async move {
                        // Nobody waits any more.
                        let _ = done.send(flying.await);
                    });
                    let outcome = outcome.map(|outcome| {
                        let lost = || Fault::new(FaultKind::Internal, "the start of the version was lost");
                        outcome.unwrap_or_else(|_| Err(lost()))
                    });
                    let flight = outcome.boxed().shared();
                    flights.insert(key, flight.clone());
                    flight
                }
            }
        };
        flight.await
    }

    async fn fly(self: Arc<Self>, key: Key, ahead: bool) -> Result<Arc<Running>, Fault> {
        // However it ends: who comes after a panic begins anew.
        let _lands = Lands(self.clone(), key.clone());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Gate, context, event, host, version};
    use atoll_worker::{Dispatch as _, EventContext};
    use std::collections::BTreeSet;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;

    /// A worker "w" whose versions are what is put there; fetches wait for the gate, if there is one.
    #[derive(Default)]
    struct Shelf {
        versions: Mutex<BTreeSet<String>>,
        chosen: Mutex<String>,
        fetches: AtomicUsize,
        holds: Option<Notify>,
    }

    impl Shelf {
        fn of(versions: &[&str]) -> Self {
            Self {
                versions: Mutex::new(versions.iter().map(|id| (*id).to_owned()).collect()),
                chosen: Mutex::new(versions[0].to_owned()),
                ..Self::default()
            }
        }

        fn choose(&self, id: &str) {
            *self.chosen.lock().unwrap() = id.to_owned();
        }
    }

    #[async_trait]
    impl VersionSource for Shelf {
        fn choose(&self, _: &TenantId, worker: &WorkerName, choice: &VersionChoice) -> Chosen {
            match worker.as_str() {
                "w" => {}
                "suspended" => return Chosen::Refused(Fault::new(FaultKind::NotFound, "it is suspended")),
                _ => return Chosen::Unknown,
            }
            let known = self.versions.lock().unwrap();
            let exactly = choice.exactly.clone().filter(|id| known.contains(id.as_str()));
            Chosen::Version(exactly.unwrap_or_else(|| VersionId::new(self.chosen.lock().unwrap().as_str())))
        }

        async fn fetch(&self, _: &TenantId, _: &WorkerName, id: &VersionId) -> Result<Fetched, Fault> {
            self.fetches.fetch_add(1, Ordering::Relaxed);
            // As a fetch does: it needs a runtime with a network.
            drop(tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap());
            if let Some(holds) = &self.holds {
                holds.notified().await;
            }
            if !self.versions.lock().unwrap().contains(id.as_str()) {
                return Err(Fault::new(FaultKind::Overloaded, "there is no such version"));
            }
            Ok(Fetched {
                version: Arc::new(version("w", id.as_str())),
                assets: None,
                account: AccountLimits::default(),
            })
        }
    }

    fn exactly(id: &str) -> EventContext {
        let mut ctx = context();
        ctx.version.exactly = Some(VersionId::new(id));
        ctx
    }

    async fn ask(host: &Host, worker: &str, ctx: EventContext) -> (FaultKind, String) {
        // Workers here throw their version's id.
        match host.dispatch(&WorkerName::new(worker), ctx, event("who")).await {
            Err(fault) => (fault.kind, fault.message),
            Ok(other) => panic!("{other:?}"),
        }
    }

    async fn answered(host: &Host, ctx: EventContext) -> String {
        match ask(host, "w", ctx).await {
            (FaultKind::Exception, id) => id,
            other => panic!("{other:?}"),
        }
    }

    fn table(shelf: Shelf, options: VersionsOptions) -> (Arc<Host>, Arc<Shelf>, Arc<Versions>) {
        let (host, shelf) = (host(&Gate::default()), Arc::new(shelf));
        let versions = host.versions_from(shelf.clone(), options);
        (host, shelf, versions)
    }

    #[tokio::test]
    async fn events_start_what_they_need() {
        let (host, shelf, versions) = table(Shelf::of(&["1", "2"]), VersionsOptions::default());
        assert_eq!(answered(&host, context()).await, "1");
        assert_eq!(answered(&host, context()).await, "1");
        assert_eq!(answered(&host, exactly("2")).await, "2");
        // A version that is none of the worker's any more: whoever has a share answers.
        assert_eq!(answered(&host, exactly("9")).await, "1");
        assert_eq!(shelf.fetches.load(Ordering::Relaxed), 2);
        assert_eq!((versions.stats().live, versions.stats().fetched), (2, 2));
        assert_eq!(ask(&host, "nobody", context()).await.0, FaultKind::NotFound);
        assert_eq!(ask(&host, "suspended", context()).await.1, "it is suspended");
        // A worker of the table comes first.
        host.deploy(Arc::new(version("w", "own")), None).await.unwrap();
        assert_eq!(answered(&host, exactly("2")).await, "own");
    }

    #[tokio::test]
    async fn a_version_is_fetched_once_for_all_who_wait() {
        let mut shelf = Shelf::of(&["1"]);
        shelf.holds = Some(Notify::new());
        let (host, shelf, _) = table(shelf, VersionsOptions::default());
        let askers: Vec<_> = (0..20)
            .map(|_| {
                let host = host.clone();
                tokio::spawn(async move { answered(&host, context()).await })
            })
            .collect();
        while shelf.fetches.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        // Whoever came first gives up: the others have their answer all the same.
        askers[0].abort();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        shelf.holds.as_ref().unwrap().notify_one();
        for asker in askers.into_iter().skip(1) {
            assert_eq!(asker.await.unwrap(), "1");
        }
        assert_eq!(shelf.fetches.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn what_cannot_be_had_is_not_asked_for_at_once_again() {
        let (host, shelf, versions) = table(Shelf::of(&["1"]), VersionsOptions::default());
        shelf.choose("gone");
        for _ in 0..5 {
            assert_eq!(ask(&host, "w", context()).await.0, FaultKind::Overloaded);
        }
        assert_eq!(shelf.fetches.load(Ordering::Relaxed), 1);
        assert_eq!((versions.stats().live, versions.stats().failed), (0, 1));
        // Started ahead it is there at once.
        let fetched = Fetched {
            version: Arc::new(version("w", "gone")),
            assets: None,
            account: AccountLimits::default(),
        };
        versions.admit(host.prepare_within(fetched).await.unwrap());
        assert_eq!(answered(&host, context()).await, "gone");
    }

    #[tokio::test]
    async fn a_version_that_does_not_start_says_why() {
        let (host, shelf, _) = table(Shelf::of(&["broken"]), VersionsOptions::default());
        assert_eq!(
            ask(&host, "w", context()).await,
            (FaultKind::Startup, "a syntax error".to_owned())
        );
        shelf.versions.lock().unwrap().insert("2".to_owned());
        shelf.choose("2");
        assert_eq!(answered(&host, context()).await, "2");
    }

    #[tokio::test]
    async fn no_event_is_lost_when_versions_go() {
        let (host, shelf, versions) = table(Shelf::of(&["1", "2"]), VersionsOptions::default());
        let stop = tokio_util::sync::CancellationToken::new();
        let askers: Vec<_> = (0..4)
            .map(|_| {
                let (host, stop) = (host.clone(), stop.clone());
                tokio::spawn(async move {
                    let mut asked = 0;
                    while !stop.is_cancelled() {
                        let id = answered(&host, exactly("1")).await;
                        assert!(id == "1" || id == "2", "{id}");
                        asked += 1;
                        tokio::task::yield_now().await;
                    }
                    asked
                })
            })
            .collect();
        let (tenant, worker) = (TenantId::new("t"), WorkerName::new("w"));
        for round in 0..50 {
            shelf.choose(if round % 2 == 0 { "2" } else { "1" });
            versions.keep(&tenant, &worker, |_| false);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        stop.cancel();
        for asker in askers {
            assert!(asker.await.unwrap() > 0);
        }
        versions.keep(&tenant, &worker, |version| version.as_str() == "2");
        assert!(!versions.has(&tenant, &worker, &VersionId::new("1")));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn who_asks_on_an_isolates_thread_needs_no_network_there() {
        let (host, _shelf, _versions) = table(Shelf::of(&["1"]), VersionsOptions::default());
        let asked = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            runtime.block_on(answered(&host, context()))
        });
        let asked = tokio::task::spawn_blocking(move || asked.join().unwrap());
        assert_eq!(asked.await.unwrap(), "1");
    }

    #[tokio::test]
    async fn what_nobody_needs_goes_whole() {
        let options = VersionsOptions {
            idle_for: Duration::ZERO,
            code_bytes_max: u64::MAX,
        };
        let (host, shelf, versions) = table(Shelf::of(&["1"]), options);
        assert_eq!(answered(&host, context()).await, "1");
        // Idle as soon as its isolate has said so.
        while versions.stats().live > 0 {
            versions.let_go();
            tokio::task::yield_now().await;
        }
        assert_eq!((versions.stats().gone, versions.stats().code_bytes), (1, 0));
        assert_eq!(answered(&host, context()).await, "1");
        assert_eq!(shelf.fetches.load(Ordering::Relaxed), 2);
    }
}
