//! What stands behind a request of a PoP: the routing table over the edge configuration, and the versions that are at hand.
//!
//! One value is the front's [`Sites`] and the host's [`VersionSource`], so both see the same configuration. A version's site (its
//! assets and limits) is made when it is first asked for and goes when nobody asks any more; a configuration replaces what
//! changed and nothing else.

use super::health::Meters;
use super::routing::{Among, Table, Way, Worker, mix};
use async_trait::async_trait;
use atoll_edge::assets::{AssetServer, BlobReader};
use atoll_edge::{Asked, Found, Led, Lookup, Site, Sites, Soon, version_key};
use atoll_host::{Chosen, Fetched, Host, VERSION_FAILED_FOR, VersionSource, Versions};
use atoll_model::edge::{EdgeEntry, EdgeKey, Share};
use atoll_model::{AccountLimits, EdgeConfig, TenantId, VersionId, WorkerName};
use atoll_pop::{LoadedVersion, StartError};
use atoll_worker::{Fault, FaultKind, Fetcher, VersionChoice};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

/// The header that asks for versions by name, as the Workers documentation has it ("Gradual deployments", "Version overrides").
const OVERRIDES_HEADER: &str = "cloudflare-workers-version-overrides";
/// What no request asked for so long goes.
const SITE_IDLE: Duration = Duration::from_secs(600);

/// Has versions with all that a start needs.
#[async_trait]
pub(crate) trait Loads: Send + Sync + 'static {
    async fn load(
        &self,
        account: &TenantId,
        worker: &WorkerName,
        share: &Share,
    ) -> Result<Arc<LoadedVersion>, StartError>;

    /// The worker has a request. Cheap.
    fn touched(&self, account: &TenantId, worker: &WorkerName);
}

type Flight = Shared<BoxFuture<'static, Result<Arc<Site>, Fault>>>;

enum State {
    Coming(Flight),
    There {
        site: Arc<Site>,
        /// Milliseconds since the beginning.
        used: AtomicU64,
    },
    Failed(Instant, Fault),
}

/// See the module.
pub(crate) struct PopSites {
    itself: Weak<Self>,
    table: RwLock<Table>,
    /// What the table was made of.
    config: Mutex<Arc<EdgeConfig>>,
    states: RwLock<HashMap<VersionId, State>>,
    loads: OnceLock<Arc<dyn Loads>>,
    host: Arc<Host>,
    blobs: Arc<BlobReader>,
    meters: Arc<Meters>,
    draws: AtomicU64,
    begun: Instant,
}

impl PopSites {
    pub(crate) fn new(host: Arc<Host>, blobs: Arc<BlobReader>, meters: Arc<Meters>) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            itself: itself.clone(),
            table: RwLock::default(),
            config: Mutex::default(),
            states: RwLock::default(),
            loads: OnceLock::new(),
            host,
            blobs,
            meters,
            draws: AtomicU64::new(RandomState::new().hash_one(())),
            begun: Instant::now(),
        })
    }

    /// Where versions come from; given once, before the first configuration.
    pub(crate) fn load_by(&self, loads: Arc<dyn Loads>) {
        // Whoever came first stays.
        let _ = self.loads.set(loads);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    // Map operations only stand under the locks: a panic elsewhere cannot leave anything half-changed.
    fn read<T>(&self, what: impl FnOnce(&Table) -> T) -> T {
        what(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn states<T>(&self, what: impl FnOnce(&mut HashMap<VersionId, State>) -> T) -> T {
        what(&mut self.states.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many workers the configuration has.
    pub(crate) fn workers(&self) -> usize {
        self.read(Table::workers)
    }

    /// The configuration that answers.
    pub(crate) fn config(&self) -> Arc<EdgeConfig> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers by `config` from its return on. Versions that lost their place finish what they have and go.
    pub(crate) fn activate(&self, config: Arc<EdgeConfig>, domains: &[String], versions: &Versions) {
        let mut held = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let delta = held.delta_to(&config);
        let mut touched: Vec<(TenantId, WorkerName)> = Vec::new();
        // Routes and domains that changed, and whose they are now.
        let mut moved: HashMap<&str, Option<(&TenantId, &WorkerName)>> = HashMap::new();
        {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            table.set_domains(domains);
            for change in &delta.changes {
                match &change.key {
                    EdgeKey::Worker(account, worker) => touched.push((account.clone(), worker.clone())),
                    // Its limits and whether it is suspended are those of all its workers.
                    EdgeKey::Account(account) => {
                        let of = table.workers_of(account);
                        touched.extend(of.map(|worker| (account.clone(), worker.clone())));
                    }
                    EdgeKey::Route(pattern) => {
                        let now = match change.entry.as_ref() {
                            Some(EdgeEntry::Route(entry)) => {
                                entry.worker.as_ref().map(|worker| (&entry.account, worker))
                            }
                            _ => None,
                        };
                        moved.insert(pattern.as_str(), now);
                    }
                    EdgeKey::Domain(name) => {
                        let now = match change.entry.as_ref() {
                            Some(EdgeEntry::Domain(entry)) => Some((&entry.account, &entry.worker)),
                            _ => None,
                        };
                        moved.insert(name.as_str(), now);
                    }
                }
                table.change(&change.key, change.entry.as_ref());
            }
        }
        if !moved.is_empty() {
            let stays = |account: &TenantId, worker: &WorkerName, pattern: &str| {
                moved.get(pattern).is_none_or(|now| *now == Some((account, worker)))
            };
            self.host.logs().routes().retain(stays);
        }
        let before = std::mem::replace(&mut *held, config);
        drop(held);
        for (account, worker) in touched {
            self.let_go(&before, &account, &worker, versions);
        }
    }

    /// Of a worker whose entry, or whose account's, has changed: versions that are not as they were finish and go.
    fn let_go(&self, before: &EdgeConfig, account: &TenantId, worker: &WorkerName, versions: &Versions) {
        let old = match before
            .get(&EdgeKey::Worker(account.clone(), worker.clone()))
            .map(|entry| &**entry)
        {
            Some(EdgeEntry::Worker(entry)) => Some(Worker {
                account: account.clone(),
                name: worker.clone(),
                entry: entry.clone(),
            }),
            _ => None,
        };
        let old_account = match before.get(&EdgeKey::Account(account.clone())).map(|entry| &**entry) {
            Some(EdgeEntry::Account(entry)) => entry.clone(),
            _ => Default::default(),
        };
        let (now, same_limits) = self.read(|table| {
            let now = match table.worker(account, worker) {
                Way::Worker(worker, ..) => Some(worker),
                Way::Nothing | Way::Suspended => None,
            };
            let limits = table.account(account).map(|entry| &entry.limits);
            (now, limits.is_none_or(|limits| *limits == old_account.limits))
        });
        let same = |a: &Share, b: &Share| {
            (&a.artifact, &a.secrets, &a.tag, a.created_ms) == (&b.artifact, &b.secrets, &b.tag, b.created_ms)
        };
        let stays = |version: &VersionId| {
            let share = now.as_ref().and_then(|now| now.share(version));
            let was = old.as_ref().and_then(|old| old.share(version));
            match (share, was) {
                // What was started ahead for this configuration is in no earlier one.
                (Some(_), None) => true,
                (Some(share), Some(was)) => same_limits && same(share, was),
                (None, _) => false,
            }
        };
        versions.keep(account, worker, stays);
        let gone: Vec<VersionId> = old
            .iter()
            .flat_map(Worker::versions)
            .filter(|version| !stays(version))
            .cloned()
            .collect();
        if !gone.is_empty() {
            self.states(|states| {
                for version in &gone {
                    states.remove(version);
                }
            });
            self.meters.forget(&gone);
        }
    }

    /// The worker's entry, if its account may run it.
    pub(crate) fn worker(&self, account: &TenantId, worker: &WorkerName) -> Option<Arc<Worker>> {
        match self.read(|table| table.worker(account, worker)) {
            Way::Worker(worker, ..) => Some(worker),
            Way::Nothing | Way::Suspended => None,
        }
    }

    /// What the workers of an account may use.
    pub(crate) fn limits(&self, account: &TenantId) -> AccountLimits {
        let entry = self.read(|table| table.account(account).cloned());
        let limits = entry.map(|entry| entry.limits_over(AccountLimits::default()).map_err(str::to_owned));
        // An unknown key was refused where the entry was decoded.
        limits.and_then(Result::ok).unwrap_or_default()
    }

    /// The site of a version, from what was loaded of it.
    pub(crate) fn site_of(
        &self,
        account: &TenantId,
        worker: &WorkerName,
        loaded: &LoadedVersion,
    ) -> Result<Arc<Site>, Fault> {
        let failed = |what: String| Fault::new(FaultKind::Startup, what);
        let manifest = &loaded.manifest;
        let assets = match &manifest.assets {
            None => None,
            Some(assets) => {
                let server = AssetServer::of_artifact(assets, self.blobs.clone());
                Some(server.map_err(|error| failed(error.to_string()))?)
            }
        };
        let limits = manifest.limits().map_err(failed)?.capped(&self.limits(account).worker);
        Ok(Arc::new(Site {
            tenant: account.clone(),
            worker: manifest.main_module.as_ref().map(|_| worker.clone()),
            version: Some(loaded.share.version.clone()),
            assets,
            body_bytes_max: Some(limits.request_body_bytes_max),
            failure: None,
        }))
    }

    /// A version was loaded ahead: its site is at hand when the first request comes.
    pub(crate) fn admit(&self, account: &TenantId, worker: &WorkerName, site: Arc<Site>) {
        let Some(version) = site.version.clone() else { return };
        self.meters.register(&version, account, worker);
        let used = AtomicU64::new(self.now());
        self.states(|states| states.insert(version, State::There { site, used }));
    }

    async fn load(&self, account: &TenantId, worker: &WorkerName, share: &Share) -> Result<Arc<LoadedVersion>, Fault> {
        let Some(loads) = self.loads.get() else {
            return Err(Fault::new(
                FaultKind::Overloaded,
                "this node has not begun to serve yet",
            ));
        };
        loads.load(account, worker, share).await.map_err(|error| {
            tracing::warn!(%account, %worker, version = %share.version, %error, "a version cannot be had");
            // It is nobody's fault who asks; a later request may find it.
            Fault::new(FaultKind::Overloaded, error.reason)
        })
    }

    fn make(&self, worker: Arc<Worker>, share: Share) -> Flight {
        let itself = self.itself.clone();
        let made = async move {
            let Some(sites) = itself.upgrade() else {
                return Err(Fault::new(FaultKind::Draining, "the server is stopping"));
            };
            let outcome = match sites.load(&worker.account, &worker.name, &share).await {
                Ok(loaded) => sites.site_of(&worker.account, &worker.name, &loaded),
                Err(fault) => Err(fault),
            };
            sites.meters.register(&share.version, &worker.account, &worker.name);
            let state = match &outcome {
                Ok(site) => State::There {
                    site: site.clone(),
                    used: AtomicU64::new(sites.now()),
                },
                Err(fault) => State::Failed(Instant::now(), fault.clone()),
            };
            sites.states(|states| states.insert(share.version.clone(), state));
            outcome
        };
        made.boxed().shared()
    }

    /// The site of a version, now or soon.
    fn have(&self, worker: Arc<Worker>, share: &Share) -> Found {
        let told = |outcome: Result<Arc<Site>, Fault>| outcome.map_or_else(Found::Failed, Found::Site);
        {
            let states = self.states.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(State::There { site, used }) = states.get(&share.version) {
                used.store(self.now(), Ordering::Relaxed);
                return Found::Site(site.clone());
            }
        }
        let flight = self.states(|states| match states.get(&share.version) {
            Some(State::There { site, .. }) => Err(Found::Site(site.clone())),
            Some(State::Coming(flight)) => Ok(flight.clone()),
            Some(State::Failed(since, fault)) if since.elapsed() < VERSION_FAILED_FOR => {
                Err(Found::Failed(fault.clone()))
            }
            _ => {
                let flight = self.make(worker, share.clone());
                states.insert(share.version.clone(), State::Coming(flight.clone()));
                // Driven to its end also when the client goes away.
                tokio::spawn(flight.clone().map(drop));
                Ok(flight)
            }
        });
        match flight {
            Ok(flight) => Found::Soon(Box::pin(flight.map(told)) as Soon),
            Err(found) => found,
        }
    }

    /// Lets go what nobody asked for in a while.
    pub(crate) fn sweep(&self) {
        let idle = u64::try_from(SITE_IDLE.as_millis()).unwrap_or(u64::MAX);
        let now = self.now();
        let mut kept = HashSet::new();
        self.states(|states| {
            states.retain(|version, state| {
                let keep = match state {
                    State::Coming(_) => true,
                    State::There { used, .. } => now.saturating_sub(used.load(Ordering::Relaxed)) < idle,
                    State::Failed(since, _) => since.elapsed() < VERSION_FAILED_FOR,
                };
                if keep {
                    kept.insert(version.clone());
                }
                keep
            });
        });
        self.meters.retain(&kept);
    }

    fn draw(&self) -> u64 {
        // A Weyl sequence, mixed: SplitMix64.
        mix(self.draws.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
    }
}

impl Sites for PopSites {
    fn site(&self, host: &str, path: &str) -> Option<Arc<Site>> {
        let Way::Worker(worker, among, _) = self.read(|table| table.look_up(host, path)) else {
            return None;
        };
        let share = worker.choose(&among, None, None, || self.draw())?;
        let states = self.states.read().unwrap_or_else(PoisonError::into_inner);
        match states.get(&share.version) {
            Some(State::There { site, .. }) => Some(site.clone()),
            _ => None,
        }
    }

    fn find(&self, asked: &Asked<'_>) -> Lookup {
        let (worker, among, route) = match self.read(|table| table.look_up(asked.host, asked.path)) {
            Way::Nothing => return Found::Nothing.into(),
            Way::Suspended => return Found::Suspended.into(),
            Way::Worker(worker, among, route) => (worker, among, route),
        };
        let overrides = asked
            .headers
            .get(OVERRIDES_HEADER)
            .and_then(|value| value.to_str().ok());
        let share = worker.choose(&among, version_key(asked.headers), overrides, || self.draw());
        if let Some(loads) = self.loads.get() {
            loads.touched(&worker.account, &worker.name);
        }
        let found = match share {
            Some(share) => self.have(worker.clone(), share),
            None => Found::Nothing,
        };
        let routes = self.host.logs().routes();
        let route = route.map(|pattern| Led {
            number: routes.number(&worker.account, &worker.name, &pattern, Instant::now()),
            pattern,
        });
        Lookup { found, route }
    }

    fn expected(&self, host: &str) {
        if let Way::Worker(worker, Among::Deployment, _) = self.read(|table| table.look_up(host, "/")) {
            self.host.expect(&worker.account, &worker.name);
        }
    }
}

#[async_trait]
impl VersionSource for PopSites {
    fn choose(&self, tenant: &TenantId, worker: &WorkerName, choice: &VersionChoice) -> Chosen {
        let worker = match self.read(|table| table.worker(tenant, worker)) {
            Way::Worker(worker, ..) => worker,
            Way::Nothing => return Chosen::Unknown,
            Way::Suspended => {
                let text = "the account of this worker is suspended";
                return Chosen::Refused(Fault::new(FaultKind::NotFound, text));
            }
        };
        if let Some(exactly) = &choice.exactly
            && worker.share(exactly).is_some()
        {
            return Chosen::Version(exactly.clone());
        }
        let share = worker.choose(&Among::Deployment, choice.key.as_deref(), None, || self.draw());
        share.map_or(Chosen::Unknown, |share| Chosen::Version(share.version.clone()))
    }

    async fn fetch(&self, tenant: &TenantId, worker: &WorkerName, version: &VersionId) -> Result<Fetched, Fault> {
        let unknown = || Fault::new(FaultKind::NotFound, format!("there is no worker \"{worker}\""));
        let share = self
            .worker(tenant, worker)
            .and_then(|worker| worker.share(version).cloned());
        let share = share.ok_or_else(unknown)?;
        let loaded = self.load(tenant, worker, &share).await?;
        self.fetched(tenant, worker, &loaded)?.ok_or_else(unknown)
    }
}

impl PopSites {
    /// A version as the host runs it; none if it is assets alone.
    pub(crate) fn fetched(
        &self,
        tenant: &TenantId,
        worker: &WorkerName,
        loaded: &LoadedVersion,
    ) -> Result<Option<Fetched>, Fault> {
        let Some(version) = loaded.version.clone() else {
            return Ok(None);
        };
        let site = self.site_of(tenant, worker, loaded)?;
        Ok(Some(Fetched {
            version,
            assets: site.assets.clone().map(|assets| assets as Arc<dyn Fetcher>),
            account: self.limits(tenant),
        }))
    }
}
