//! The sessions of PoPs: who is connected, what each is to have, and what they say.
//!
//! - [`Sessions`]: the registry, which the deployer drives ([`deployer::Lanes`]) and the APIs ask ([`fleet::Pops`]);
//! - `server`: the calls of PoPs; `session`: one session; `lanes`: configurations and the ways between them; `asked`: tails, questions and
//!   edits of KV.
//!
//! One exists while this control plane leads: it is made for an epoch, and dropped with it. PoPs are known by the name in their
//! certificate. A second session of a name ends the first. Whether a name is revoked is asked of the catalog at every join,
//! renewal and session; to revoke ends the session, and without a session there are neither objects nor secrets.
//!
//! [`deployer::Lanes`]: crate::deployer::Lanes
//! [`fleet::Pops`]: crate::fleet::Pops

mod asked;
mod hot;
mod lanes;
mod rotation;
mod server;
mod session;

pub use lanes::PUBLICATIONS_KEPT;
pub use server::Service;
pub use session::{KV_WINDOW, PINGS_MISSED_MAX};

use crate::authority::{Authority, AuthorityError};
use crate::catalog::Catalog;
use crate::deployer::{self, Lane, Publication, Report};
use crate::telemetry::Telemetry;
use atoll_api::peer::{OwnCertificate, Trust, accept};
use atoll_api::pop::control_server::{Control, ControlServer};
use atoll_api::pop::{Fleet, HotWorker, Pop as PopOnWire};
use atoll_api::rest;
use atoll_model::PopName;
use atoll_model::edge::FULL_BYTES_MAX;
use atoll_stdx::{Clock, TaskGroup};
use atoll_store::blob::BlobStore;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tonic::transport::Server;

/// The most bytes of a message of a session.
pub const MESSAGE_BYTES_MAX: usize = FULL_BYTES_MAX + (1 << 20);
/// The most reports that wait for the deployer; sessions wait when there are more.
pub const REPORTS_MAX: usize = 4_096;
/// The most calls at a time on one PoP's connection.
const STREAMS_MAX: u32 = 256;
/// The window of a connection.
const WINDOW_BYTES: u32 = 4 << 20;
/// How long changes of the fleet are gathered before all PoPs are told.
const FLEET_GATHERED: Duration = Duration::from_millis(250);
/// How often the authority is looked at: another control plane may have rotated it.
const AUTHORITY_EVERY: Duration = Duration::from_secs(60);
/// How often the control plane's own certificate is made anew. By time that passes: half its life.
const OWN_EVERY: Duration = Duration::from_secs(12 * 60 * 60);
/// How many alarms are remembered.
const ALARMS_MAX: usize = 128;

/// What sessions stand on.
#[derive(Debug, Clone)]
pub struct Options {
    /// Of the leader.
    pub catalog: Catalog,
    /// Its epoch.
    pub epoch: u64,
    /// Artifacts.
    pub blobs: Arc<dyn BlobStore>,
    /// Makes certificates.
    pub authority: Arc<Authority>,
    /// Keeps what PoPs ship.
    pub telemetry: Arc<dyn Telemetry>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The platform's domains.
    pub domains: Vec<String>,
    /// Public keys whose artifacts are run, 32 bytes each.
    pub artifact_keys: Vec<Vec<u8>>,
    /// How often PoPs are pinged; who misses a few is gone.
    pub ping: Duration,
}

/// How often PoPs are pinged by default.
pub const PING: Duration = Duration::from_secs(2);

/// Counts since the start, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Sessions that began.
    pub sessions: AtomicU64,
    /// PoPs that joined.
    pub joins: AtomicU64,
    /// Joins, renewals and sessions that were refused.
    pub refused: AtomicU64,
    /// Certificates that were renewed.
    pub renewals: AtomicU64,
    /// Whole configurations that were sent.
    pub wholes: AtomicU64,
    /// Deltas that were sent.
    pub deltas: AtomicU64,
    /// Bytes of both.
    pub config_bytes: AtomicU64,
    /// Objects that were sent.
    pub objects: AtomicU64,
    /// Their bytes.
    pub object_bytes: AtomicU64,
    /// Configurations that PoPs refused whole.
    pub rejected: AtomicU64,
}

/// See the module.
pub struct Sessions {
    options: Options,
    own: Arc<OwnCertificate>,
    trust: Arc<Trust>,
    reports: mpsc::Sender<Report>,
    sessions: Mutex<BTreeMap<String, Arc<session::Session>>>,
    lanes: Mutex<lanes::Lanes>,
    questions: Mutex<HashMap<u64, oneshot::Sender<atoll_api::pop::KvAnswer>>>,
    tails: Mutex<HashMap<String, asked::Watched>>,
    numbers: AtomicU64,
    kv_head: watch::Sender<u64>,
    fleet: watch::Sender<Arc<Fleet>>,
    hot_list: watch::Sender<Arc<Vec<HotWorker>>>,
    hot: hot::Traffic,
    fleet_changed: Notify,
    alarms: Mutex<VecDeque<rest::Alarm>>,
    /// Of PoPs that are away: when they were heard last, and which edits of KV they had.
    seen: Mutex<HashMap<String, (u64, u64)>>,
    counters: Counters,
    tasks: TaskGroup,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sessions(epoch {})", self.options.epoch)
    }
}

fn tls(error: rustls::Error) -> AuthorityError {
    AuthorityError::Failed(error.to_string())
}

impl Sessions {
    /// Sessions for an epoch, and what they report to the deployer. Their tasks are members of the group.
    pub async fn new(
        options: Options,
        tasks: &TaskGroup,
    ) -> Result<(Arc<Self>, mpsc::Receiver<Report>), AuthorityError> {
        let (reports, receiver) = mpsc::channel(REPORTS_MAX);
        let own = OwnCertificate::new();
        let trust = Trust::new(options.authority.certificates(), options.clock.clone()).map_err(tls)?;
        let kv_head = options.catalog.kv_position().await?;
        let sessions = Arc::new(Self {
            own,
            trust,
            reports,
            sessions: Mutex::default(),
            lanes: Mutex::default(),
            questions: Mutex::default(),
            tails: Mutex::default(),
            numbers: AtomicU64::new(1),
            kv_head: watch::Sender::new(kv_head),
            fleet: watch::Sender::default(),
            hot_list: watch::Sender::default(),
            hot: hot::Traffic::default(),
            fleet_changed: Notify::new(),
            alarms: Mutex::default(),
            seen: Mutex::default(),
            counters: Counters::default(),
            tasks: tasks.clone(),
            options,
        });
        sessions.take_own()?;
        sessions.start();
        Ok((sessions, receiver))
    }

    /// A new certificate of this control plane's own.
    fn take_own(&self) -> Result<(), AuthorityError> {
        let own = self.options.authority.own()?;
        let set = self.own.set(&own.issued.chain, &own.key);
        set.map_err(|error| AuthorityError::Failed(error.to_string()))
    }

    /// The tasks that tell PoPs about the fleet and about workers with traffic, and those that look after certificates.
    fn start(self: &Arc<Self>) {
        let (sessions, stop) = (self.clone(), self.tasks.stopping());
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sessions.fleet_changed.notified() => {}
                }
                tokio::time::sleep(FLEET_GATHERED).await;
                sessions.fleet.send_replace(Arc::new(sessions.fleet_now()));
            }
        });
        let (sessions, stop) = (self.clone(), self.tasks.stopping());
        self.tasks.spawn(async move {
            let mut every = tokio::time::interval(hot::EVERY);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = every.tick() => {}
                }
                let list = Arc::new(sessions.hot.list());
                sessions.hot_list.send_if_modified(|before| {
                    let other = *before != list;
                    if other {
                        *before = list;
                    }
                    other
                });
            }
        });
        let (sessions, stop) = (self.clone(), self.tasks.stopping());
        self.tasks.spawn(async move {
            let (mut look, mut own) = (tokio::time::interval(AUTHORITY_EVERY), tokio::time::interval(OWN_EVERY));
            own.reset();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = look.tick() => {
                        if let Err(error) = sessions.look_at_authority().await {
                            sessions.alarm("authority", error.to_string());
                        }
                    }
                    _ = own.tick() => {
                        if let Err(error) = sessions.take_own() {
                            sessions.alarm("certificate", error.to_string());
                        }
                    }
                }
            }
        });
    }

    /// Serves PoPs on a listener until the group stops.
    pub fn serve(self: &Arc<Self>, listener: TcpListener) -> Result<(), AuthorityError> {
        self.serve_through(listener, |service| service)
    }

    /// The same, with something of the caller's between PoPs and what answers them: for who wants to see what they do with other
    /// answers.
    pub fn serve_through<S: Control>(
        self: &Arc<Self>,
        listener: TcpListener,
        between: impl FnOnce(Service) -> S,
    ) -> Result<(), AuthorityError> {
        // A PoP that joins has no certificate yet; every other call asks for one.
        let config = self.own.server_config(&self.trust, true).map_err(tls)?;
        let incoming = accept(listener, Arc::new(config), &self.tasks);
        let (sessions, stop) = (self.clone(), self.tasks.stopping());
        let service = between(Service::new(self.clone()));
        self.tasks.spawn(async move {
            let service = ControlServer::new(service)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX);
            let served = Server::builder()
                .max_concurrent_streams(STREAMS_MAX)
                .initial_stream_window_size(WINDOW_BYTES)
                .initial_connection_window_size(2 * WINDOW_BYTES)
                .add_service(service)
                .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
                .await;
            if let Err(error) = served {
                sessions.alarm("listener", format!("PoPs are not served any more: {error}"));
            }
        });
        Ok(())
    }

    /// Takes what the authority is now: others may have rotated it. PoPs that are connected are told.
    pub async fn look_at_authority(self: &Arc<Self>) -> Result<(), AuthorityError> {
        let before = self.trust.authorities();
        self.options.authority.reload().await?;
        let now = self.options.authority.certificates();
        if before == now {
            return Ok(());
        }
        self.trust.set(now).map_err(tls)?;
        self.take_own()?;
        for session in self.all() {
            session.greet_again();
        }
        Ok(())
    }

    /// Counts since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The greatest position of KV edits that a PoP has said to be durable, in this session or the one before.
    pub fn kv_acknowledged(&self, pop: &str) -> u64 {
        if let Some(session) = self.session(pop) {
            return session.kv_done();
        }
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(pop).map_or(0, |(_, position)| *position)
    }

    /// The names of the PoPs that are connected.
    pub fn connected(&self) -> Vec<String> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.keys().cloned().collect()
    }

    fn all(&self) -> Vec<Arc<session::Session>> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.values().cloned().collect()
    }

    fn session(&self, pop: &str) -> Option<Arc<session::Session>> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(pop).cloned()
    }

    fn fleet_now(&self) -> Fleet {
        let pops = self.all().into_iter().filter(|session| !session.is_draining());
        Fleet {
            epoch: self.options.epoch,
            pops: pops
                .map(|session| PopOnWire {
                    name: session.name.clone(),
                    region: session.hello.region.clone(),
                    neighbour_address: session.hello.neighbour_address.clone(),
                    public_address: session.hello.public_address.clone(),
                })
                .collect(),
        }
    }

    fn alarm(&self, code: &str, message: String) {
        tracing::error!(code, message, "something needs attention");
        let mut alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        // The same again is the same alarm.
        alarms.retain(|alarm| alarm.code != code || alarm.message != message);
        if alarms.len() == ALARMS_MAX {
            alarms.pop_front();
        }
        alarms.push_back(rest::Alarm {
            since_ms: self.options.clock.now_ms(),
            code: code.to_owned(),
            message,
        });
    }

    async fn report(&self, report: Report) {
        // Nobody drives any more: this control plane is going down.
        let _ = self.reports.send(report).await;
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

impl deployer::Lanes for Sessions {
    fn publish(&self, publication: Publication) {
        let lane = publication.lane;
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.publish(publication);
        let of_lane: Vec<_> = self
            .all()
            .into_iter()
            .filter(|one| lanes.lane(&one.name) == Some(lane))
            .collect();
        drop(lanes);
        for session in of_lane {
            session.wake();
        }
    }

    fn set_lane(&self, pop: &PopName, lane: Lane) {
        self.lanes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .set_lane(pop.as_str(), lane);
        if let Some(session) = self.session(pop.as_str()) {
            session.wake();
        }
    }
}
