//! The agent: what of it is shared, how it opens and starts.

use crate::fleet::{Fleet, Tick};
use crate::hot::Hot;
use crate::identity::Holder;
use crate::last_good::{LastGood, Stored};
use crate::links::Links;
use crate::objects::{ObjectLimits, Objects, Reading};
use crate::runtime::Runtime;
use crate::secrets::SecretStore;
use crate::ship::Shipper;
use crate::{AgentError, connection, disk, fleet, neighbour};
use atoll_api::peer::check_pop_name;
use atoll_api::pop::{Config, FromPop, KvChange, from_pop};
use atoll_model::{EdgeConfig, TenantId, WorkerName};
use atoll_stdx::{Clock, TaskGroup};
use atoll_store::blob::BlobStore;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// How many alarms are remembered.
const ALARMS_MAX: usize = 64;
/// The most configurations, and KV changes, that wait to be taken over. The control plane sends no more at a time.
const WAITING_MAX: usize = 64;
/// How often the list of workers with traffic is written.
const HOT_WRITTEN: Duration = Duration::from_secs(60);
/// Where it is written until when this PoP was there.
const THERE: &str = "there";
/// How often that is written.
const THERE_WRITTEN: Duration = Duration::from_secs(10);
/// When it is written first: what was missed before is looked after by then.
const THERE_FIRST: Duration = Duration::from_secs(30);
/// How often the fleet is asked who is alive while the control plane is away.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// How long the control plane has to be away before its list of the live counts no more.
const LIST_GOOD: Duration = Duration::from_secs(10);
/// How long to wait before a KV change is tried again that could not be applied.
const KV_PAUSE: Duration = Duration::from_secs(1);

/// What an agent is given.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its data directory. One agent has it.
    pub directory: PathBuf,
    /// Where control planes are: `host:port` of their gRPC listeners. Tried in turn.
    pub control: Vec<String>,
    /// The name to join under; an identity on disk has its own.
    pub name: String,
    /// The region.
    pub region: String,
    /// Used once, if there is no identity on disk.
    pub join_token: Option<String>,
    /// Where clients reach it: `http://host:port`.
    pub public_address: String,
    /// Where it listens for neighbours; `None`: it does not.
    pub neighbour_listen: Option<SocketAddr>,
    /// Where neighbours reach it: `host:port`; `None`: where it listens.
    pub neighbour_address: Option<String>,
    /// What objects may take.
    pub objects: ObjectLimits,
    /// The artifact store, to read it directly instead of through the control plane.
    pub store: Option<Arc<dyn BlobStore>>,
    /// This release.
    pub release: String,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub sessions: AtomicU64,
    pub applied: AtomicU64,
    pub rejected: AtomicU64,
    pub refused: AtomicU64,
    pub persist_failed: AtomicU64,
    pub renewed: AtomicU64,
    pub renew_failed: AtomicU64,
    pub config_bytes: AtomicU64,
    pub kv_applied: AtomicU64,
    pub kv_failed: AtomicU64,
}

#[derive(Debug, Clone, Default)]
struct Configs {
    stored: Stored,
    served: Arc<EdgeConfig>,
}

/// What a session hands to the agent's own tasks. They outlive it: what was begun is finished.
pub(crate) enum Work {
    Config(Box<Config>),
    /// What stays as it was is tried again.
    Again,
    Kv(Box<KvChange>),
}

/// See the crate.
#[derive(Debug)]
pub struct Agent {
    pub(crate) options: Options,
    pub(crate) links: Arc<Links>,
    pub(crate) objects: Arc<Objects>,
    pub(crate) secrets: SecretStore,
    pub(crate) hot: Hot,
    pub(crate) ticks: crate::ticks::Ledger,
    /// Until when the process before this one was there.
    pub(crate) there_until_ms: Option<u64>,
    pub(crate) last_good: Mutex<LastGood>,
    pub(crate) counters: Counters,
    /// A configuration is being taken over: what is only started ahead waits.
    pub(crate) applying: watch::Sender<bool>,
    /// Some entry stays as it was because something was not reached.
    pub(crate) unreached: AtomicBool,
    pub(crate) joined: Notify,
    pub(crate) drained: Notify,
    pub(crate) renew_now: Notify,
    pub(crate) incarnation: u64,
    configs: RwLock<Configs>,
    shipper: Arc<Shipper>,
    runtime: OnceLock<Arc<dyn Runtime>>,
    draining: AtomicBool,
    connected: AtomicBool,
    revoked: AtomicBool,
    kv_position: AtomicU64,
    uplink: Mutex<Option<mpsc::Sender<FromPop>>>,
    alarms: Mutex<VecDeque<(u64, String)>>,
    live: RwLock<BTreeSet<String>>,
    neighbour_address: OnceLock<String>,
    work: OnceLock<(mpsc::Sender<Work>, mpsc::Sender<Work>)>,
    _lock: File,
}

/// What an agent is doing, for `/readyz`, `/metrics` and people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// It has an identity.
    pub joined: bool,
    /// A session stands.
    pub connected: bool,
    /// The control plane refuses it for good.
    pub revoked: bool,
    /// The configuration that it holds; 0: none.
    pub publication: u64,
    /// Workers that are served as they were before, because what should be served does not start.
    pub kept: u64,
    /// The greatest epoch of a leader that it has seen.
    pub epoch: u64,
    /// When its certificate ends, milliseconds since the Unix epoch.
    pub certificate_until_ms: u64,
    /// Certificates that were believed out of their time.
    pub out_of_time: u64,
    /// The position of KV edits that is durable here.
    pub kv_position: u64,
    /// Objects on disk, and their bytes.
    pub objects: (u64, u64),
    /// What went wrong last, with its time.
    pub alarms: Vec<(u64, String)>,
    /// Counters by name, for metrics. The names do not change.
    pub counters: BTreeMap<&'static str, u64>,
    /// Telemetry that was dropped, by stage.
    pub dropped: BTreeMap<&'static str, u64>,
}

fn lock(directory: &Path) -> Result<File, AgentError> {
    let path = directory.join("LOCK");
    let file = File::create(&path).map_err(|error| disk::fault("create", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(AgentError::Locked(directory.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(disk::fault("lock", &path, error)),
    }
}

impl Agent {
    /// Opens the data directory. No network is used, and nothing is served yet.
    pub async fn open(options: Options) -> Result<Arc<Self>, AgentError> {
        check_pop_name(&options.name).map_err(|error| AgentError::Identity(error.to_string()))?;
        let directory = options.directory.clone();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|error| disk::fault("create", &directory, error))?;
        let lock = lock(&directory)?;
        let holder = Holder::open(&directory, options.clock.clone())?;
        let name = holder
            .identity()
            .map_or_else(|| options.name.clone(), |identity| identity.name.clone());
        let (last_good, stored) = LastGood::open(&directory.join("config"))?;
        let links = Links::new(
            holder,
            (name, options.region.clone()),
            options.store.clone(),
            directory.join("fleet"),
        )?;
        let links = Arc::new(links);
        let objects = Objects::open(&directory.join("objects"), options.objects, links.clone()).await?;
        let secrets = SecretStore::open(&directory.join("secrets"))?;
        let hot: Option<Vec<(TenantId, WorkerName, u64)>> = disk::read_json(&directory.join("hot"))?;
        let kv_position = disk::read_json(&directory.join("kv-position"))?.unwrap_or(0);
        let mut incarnation = [0; 8];
        // Zero says "not known", which is all that a lack of randomness costs.
        let _ = aws_lc_rs::rand::fill(&mut incarnation);
        let agent = Arc::new(Self {
            links,
            objects,
            secrets,
            hot: Hot::new(hot.unwrap_or_default()),
            ticks: crate::ticks::Ledger::open(&directory.join("ticks"))?,
            there_until_ms: disk::read_json(&directory.join(THERE))?,
            last_good: Mutex::new(last_good),
            counters: Counters::default(),
            applying: watch::Sender::new(false),
            unreached: AtomicBool::new(false),
            joined: Notify::new(),
            drained: Notify::new(),
            renew_now: Notify::new(),
            incarnation: u64::from_le_bytes(incarnation),
            configs: RwLock::default(),
            shipper: Arc::default(),
            runtime: OnceLock::new(),
            draining: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            revoked: AtomicBool::new(false),
            kv_position: AtomicU64::new(kv_position),
            uplink: Mutex::new(None),
            alarms: Mutex::default(),
            live: RwLock::default(),
            neighbour_address: OnceLock::new(),
            work: OnceLock::new(),
            _lock: lock,
            options,
        });
        if let Some(stored) = stored {
            let served = agent.served(&stored);
            agent.keep_secrets_of(&served);
            agent.set_configs(stored, served);
        }
        Ok(agent)
    }

    /// Serves what is on disk, then joins and connects in the background, as members of the group. Called once.
    pub async fn start(self: &Arc<Self>, runtime: Arc<dyn Runtime>, tasks: &TaskGroup) -> Result<(), AgentError> {
        if self.runtime.set(runtime.clone()).is_err() {
            return Err(AgentError::Identity("the agent was started before".to_owned()));
        }
        let (_, served) = self.configs();
        runtime.activate(served, self.surroundings()).await;
        if let Some(listen) = self.options.neighbour_listen {
            let bound = neighbour::listen(self, listen, tasks).await?;
            let address = self
                .options
                .neighbour_address
                .clone()
                .unwrap_or_else(|| bound.to_string());
            // Set nowhere else.
            let _ = self.neighbour_address.set(address);
        }
        self.start_work(tasks);
        let (agent, stop) = (self.clone(), tasks.stopping());
        tasks.spawn(async move {
            let list = agent.hot.list(agent.options.clock.now_ms());
            let list = list.into_iter().map(|(account, worker, _)| (account, worker)).collect();
            tokio::select! {
                () = stop.cancelled() => {}
                () = agent.warm(list) => {}
            }
        });
        let (agent, stop) = (self.clone(), tasks.stopping());
        tasks.spawn(async move { agent.keep_lists(stop).await });
        let (agent, stop) = (self.clone(), tasks.stopping());
        tasks.spawn(async move { connection::run(agent, stop).await });
        Ok(())
    }

    /// The tasks that take over configurations and KV changes, one at a time and in order.
    fn start_work(self: &Arc<Self>, tasks: &TaskGroup) {
        let channel = |agent: &Arc<Self>, configs: bool| {
            let (sender, mut receiver) = mpsc::channel::<Work>(WAITING_MAX);
            let (agent, stop) = (agent.clone(), tasks.stopping());
            tasks.spawn(async move {
                loop {
                    let work = tokio::select! {
                        () = stop.cancelled() => return,
                        work = receiver.recv() => work,
                        () = agent.again_due(), if configs => Some(Work::Again),
                    };
                    match work {
                        Some(Work::Config(config)) => {
                            let applied = agent.apply(*config).await;
                            agent.tell(from_pop::Message::Applied(applied)).await;
                        }
                        Some(Work::Again) => {
                            if let Some(applied) = agent.apply_again().await {
                                agent.tell(from_pop::Message::Applied(applied)).await;
                            }
                        }
                        Some(Work::Kv(change)) => tokio::select! {
                            () = stop.cancelled() => return,
                            () = agent.apply_kv(*change) => {}
                        },
                        None => return,
                    }
                }
            });
            sender
        };
        // Set once, as `start` is called once.
        let _ = self.work.set((channel(self, true), channel(self, false)));
    }

    /// Hands something to the agent's own tasks; waits while too much waits there.
    pub(crate) async fn hand(&self, work: Work) {
        if let Some((configs, kv)) = self.work.get() {
            let way = if matches!(work, Work::Kv(_)) { kv } else { configs };
            // Nobody takes it any more: the PoP is going down.
            let _ = way.send(work).await;
        }
    }

    /// Applies a KV change that follows what is durable here; tries until it is.
    async fn apply_kv(&self, mut change: KvChange) {
        let position = change.position;
        if position <= self.kv_position() {
            return;
        }
        let Some(runtime) = self.runtime() else { return };
        loop {
            let applied = match self.fill(&mut change).await {
                Ok(()) => runtime.kv_change(change.clone()).await,
                Err(error) => Err(error.to_string()),
            };
            match applied {
                Ok(()) => break,
                Err(error) => {
                    self.counters.kv_failed.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(
                        position,
                        error,
                        "a change of KV could not be applied and is tried again"
                    );
                    tokio::time::sleep(KV_PAUSE).await;
                }
            }
        }
        // After the change itself: what is applied twice is the same.
        if let Err(error) = disk::write_json(&self.options.directory.join("kv-position"), &position) {
            self.alarm(format!("the position of KV edits could not be kept: {error}"));
        }
        self.kv_position.store(position, Ordering::Release);
        self.counters.kv_applied.fetch_add(1, Ordering::Relaxed);
        let done = atoll_api::pop::KvDone { position };
        self.tell(from_pop::Message::KvDone(done)).await;
    }

    /// Puts values in that came as blobs.
    async fn fill(&self, change: &mut KvChange) -> Result<(), atoll_store::blob::BlobError> {
        let store = self.objects();
        for item in change.put.iter_mut().filter(|item| !item.value_blob.is_empty()) {
            let hash: [u8; 32] = item.value_blob[..]
                .try_into()
                .map_err(|_| crate::links::failed(&item.key, "its blob's hash does not have 32 bytes"))?;
            item.value = atoll_store::blob::get_blob(&*store, &atoll_model::BlobHash(hash)).await?;
            item.value_blob.clear();
        }
        Ok(())
    }

    /// Keeps the lists: workers with traffic on disk, and who is alive while the control plane does not say it.
    async fn keep_lists(self: Arc<Self>, stop: tokio_util::sync::CancellationToken) {
        let (mut hot, mut alive) = (tokio::time::interval(HOT_WRITTEN), tokio::time::interval(ALIVE_EVERY));
        let first = tokio::time::Instant::now() + THERE_FIRST;
        let mut there = tokio::time::interval_at(first, THERE_WRITTEN);
        let mut away_since = None;
        let mut written = Vec::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.keep_hot(&mut written);
                    return;
                }
                _ = hot.tick() => self.keep_hot(&mut written),
                _ = there.tick() => self.is_there(),
                _ = alive.tick() => {
                    if self.is_connected() {
                        away_since = None;
                        continue;
                    }
                    let since = *away_since.get_or_insert_with(tokio::time::Instant::now);
                    if since.elapsed() < LIST_GOOD || self.links.holder.trust().is_none() {
                        continue;
                    }
                    let mut live = self.links.who_answers().await;
                    live.insert(self.name().to_owned());
                    *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
                }
            }
        }
    }

    /// Writes down that this PoP is there and fires what is its own. Once it is draining it does not.
    fn is_there(&self) {
        if self.is_draining() {
            return;
        }
        let now_ms = self.options.clock.now_ms();
        if let Err(error) = disk::write_json(&self.options.directory.join(THERE), &now_ms) {
            tracing::warn!(%error, "that this PoP is there is not written down");
        }
    }

    fn keep_hot(&self, written: &mut Vec<(TenantId, WorkerName, u64)>) {
        let list = self.hot.list(self.options.clock.now_ms());
        if list == *written {
            return;
        }
        match disk::write_json(&self.options.directory.join("hot"), &list) {
            Ok(()) => *written = list,
            Err(error) => tracing::warn!(%error, "the list of workers with traffic could not be kept"),
        }
    }

    /// Its name: that of its identity, or the one that it is to join under.
    pub fn name(&self) -> &str {
        self.links.name()
    }

    /// What requests are answered by.
    pub fn config(&self) -> Arc<EdgeConfig> {
        self.configs().1
    }

    pub(crate) fn configs(&self) -> (Stored, Arc<EdgeConfig>) {
        let configs = self.configs.read().unwrap_or_else(PoisonError::into_inner);
        (configs.stored.clone(), configs.served.clone())
    }

    pub(crate) fn set_configs(&self, stored: Stored, served: Arc<EdgeConfig>) {
        *self.configs.write().unwrap_or_else(PoisonError::into_inner) = Configs { stored, served };
    }

    pub(crate) fn runtime(&self) -> Option<Arc<dyn Runtime>> {
        self.runtime.get().cloned()
    }

    /// Artifacts' objects, from wherever they are: `get_blob` reads an asset.
    pub fn objects(&self) -> Arc<dyn BlobStore> {
        Arc::new(Reading(self.objects.clone()))
    }

    /// The way of telemetry to the control plane.
    pub fn shipper(&self) -> Arc<Shipper> {
        self.shipper.clone()
    }

    /// A worker has a request. Cheap.
    pub fn touched(&self, account: &TenantId, worker: &WorkerName) {
        self.hot.touch(account, worker, self.options.clock.now_ms());
    }

    /// The fleet as the control plane said last.
    pub fn fleet(&self) -> Arc<Fleet> {
        self.links.fleet()
    }

    /// The PoPs that are alive, this one among them: as the control plane says; and when that has been away for a while, who
    /// answers.
    pub fn live(&self) -> BTreeSet<String> {
        let answered = self.live.read().unwrap_or_else(PoisonError::into_inner).clone();
        if !self.is_connected() && !answered.is_empty() {
            return answered;
        }
        let fleet = self.links.fleet();
        let mut live: BTreeSet<String> = fleet.members.iter().map(|member| member.name.clone()).collect();
        live.insert(self.name().to_owned());
        live
    }

    /// When this PoP fires a tick after it was due, if nobody has done so by then; see [`fleet::turn`]. `None`: it is draining.
    pub fn turn(&self, tick: &Tick) -> Option<Duration> {
        if self.is_draining() {
            return None;
        }
        let live = self.live();
        fleet::turn(self.name(), tick, live.iter().map(String::as_str))
    }

    /// It will soon be gone: the control plane is told, and it owns no crons any more.
    pub fn drain(&self) {
        self.is_there();
        self.draining.store(true, Ordering::Release);
        self.drained.notify_waiters();
    }

    /// Is it draining?
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Does a session stand?
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    /// Where neighbours reach it.
    pub fn neighbour_address(&self) -> Option<&str> {
        self.neighbour_address.get().map(String::as_str)
    }

    pub(crate) fn kv_position(&self) -> u64 {
        self.kv_position.load(Ordering::Acquire)
    }

    /// A session begins or ends.
    pub(crate) fn set_uplink(&self, uplink: Option<mpsc::Sender<FromPop>>) {
        self.connected.store(uplink.is_some(), Ordering::Release);
        if uplink.is_some() {
            self.live.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
        *self.uplink.lock().unwrap_or_else(PoisonError::into_inner) = uplink;
    }

    pub(crate) fn set_revoked(&self, revoked: bool) {
        self.revoked.store(revoked, Ordering::Release);
    }

    /// Tells the control plane something, if a session stands; the next one begins with what matters.
    pub(crate) async fn tell(&self, message: from_pop::Message) {
        let uplink = self.uplink.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(uplink) = uplink {
            let message = Some(message);
            // The session ended meanwhile.
            let _ = uplink.send(FromPop { message }).await;
        }
    }

    /// Something that somebody has to look at.
    pub(crate) fn alarm(&self, what: String) {
        tracing::error!(pop = self.name(), alarm = what, "something needs attention");
        let mut alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        if alarms.len() == ALARMS_MAX {
            alarms.pop_front();
        }
        alarms.push_back((self.options.clock.now_ms(), what));
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        let (stored, _) = self.configs();
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (shipped, waiting) = self.shipper.shipped();
        let (objects, bytes) = self.objects.stored();
        let (counters, fetched, found) = (&self.counters, &self.links.fetched, &self.objects.found);
        Status {
            name: self.name().to_owned(),
            joined: self.links.holder.identity().is_some(),
            connected: self.is_connected(),
            revoked: self.revoked.load(Ordering::Acquire),
            publication: stored.config.revision().0,
            kept: stored.head.kept.len() as u64,
            epoch: stored.head.epoch,
            certificate_until_ms: self.links.holder.certificate().map_or(0, |own| own.not_after_ms),
            out_of_time: self.links.holder.trust().map_or(0, |trust| trust.out_of_time()),
            kv_position: self.kv_position(),
            objects: (objects as u64, bytes),
            alarms: self
                .alarms
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .cloned()
                .collect(),
            counters: BTreeMap::from([
                ("sessions", get(&counters.sessions)),
                ("configs_applied", get(&counters.applied)),
                ("configs_rejected", get(&counters.rejected)),
                ("config_bytes", get(&counters.config_bytes)),
                ("workers_refused", get(&counters.refused)),
                ("persist_failed", get(&counters.persist_failed)),
                ("renewed", get(&counters.renewed)),
                ("renew_failed", get(&counters.renew_failed)),
                ("kv_applied", get(&counters.kv_applied)),
                ("kv_failed", get(&counters.kv_failed)),
                ("objects_from_memory", get(&found.memory)),
                ("objects_from_disk", get(&found.disk)),
                ("objects_from_neighbours", get(&fetched.neighbour)),
                ("objects_from_control", get(&fetched.control)),
                ("objects_from_store", get(&fetched.store)),
                ("object_bytes_fetched", get(&fetched.bytes)),
                ("telemetry_shipped", shipped),
                ("telemetry_waiting_bytes", waiting as u64),
            ]),
            dropped: self.shipper.dropped(),
        }
    }
}
