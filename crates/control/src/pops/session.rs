//! One PoP's session: it is brought to what its lane is to have, told of KV edits, of the fleet and of popular workers, pinged, and
//! listened to.
//!
//! One configuration is on its way at a time: while a PoP starts workers, later publications are joined into the next one. A
//! publication that it refuses whole is sent once more, whole, if it was a delta, and then not again.

use super::Sessions;
use super::lanes::Held;
use crate::catalog::{KvEdit, KvLogged, KvValue, PopRecord};
use crate::deployer::{Applied, RefusedWorker, Report, StartedVersion, Tally, VersionHealth};
use atoll_api::peer::{Caller, PeerCertificate};
use atoll_api::pop::config::Form;
use atoll_api::pop::{
    self, Fleet, FromPop, Hello, Hot, HotWorker, KvChange, KvItem, NodeHealth, TailStart, TailStop, ToPop, Welcome,
    from_pop, to_pop,
};
use atoll_model::edge::Digest;
use atoll_model::{BlobHash, DeploymentId, PopName, Revision, TenantId, VersionId, WorkerName};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

/// How many pings may be missed.
pub const PINGS_MISSED_MAX: u32 = 3;
/// How many changes of KV are on their way at a time.
pub const KV_WINDOW: usize = 8;
/// How many edits are read from the log at a time; a change holds those of one namespace that stand together.
const KV_PAGE: u32 = 128;
/// The most messages that wait for the way down.
const DOWNWARDS_MAX: usize = 32;
/// How long a PoP may take to take a message before it counts as gone.
const TAKEN_MAX: Duration = Duration::from_secs(30);
/// The pause after the catalog could not be read.
const CATALOG_PAUSE: Duration = Duration::from_secs(1);

/// What a PoP was sent and has not answered yet.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    publication: Revision,
    root: Digest,
    is_delta: bool,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// The publication that is on its way.
    in_flight: Option<InFlight>,
    /// The next one goes whole.
    whole: bool,
    rejected: Option<Revision>,
    draining: bool,
    seen_ms: u64,
    node: NodeHealth,
    kv_done: u64,
    greet: bool,
    /// Tails to begin and to end.
    tails: VecDeque<to_pop::Message>,
}

/// A session, as the others see it.
#[derive(Debug)]
pub(super) struct Session {
    pub number: u64,
    pub name: String,
    pub hello: Hello,
    pub certificate: PeerCertificate,
    pub joined_ms: u64,
    pub clock_off_ms: i64,
    /// That of the newest certificate that it has: of this connection, or of a renewal since.
    authority: Mutex<Option<Arc<Vec<u8>>>>,
    state: Mutex<State>,
    wake: Notify,
    ended: CancellationToken,
    canary: AtomicBool,
}

impl Session {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who made its newest certificate, DER.
    pub fn authority(&self) -> Option<Arc<Vec<u8>>> {
        self.authority.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It has a new certificate of this authority.
    pub fn renewed(&self, authority: Vec<u8>) {
        *self.authority.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(authority));
    }

    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub fn end(&self) {
        self.ended.cancel();
    }

    pub async fn over(&self) {
        self.ended.cancelled().await;
    }

    pub fn greet_again(&self) {
        self.state().greet = true;
        self.wake();
    }

    pub fn is_draining(&self) -> bool {
        self.state().draining
    }

    pub fn is_canary(&self) -> bool {
        self.canary.load(Ordering::Relaxed)
    }

    pub fn held(&self) -> Option<Held> {
        self.state().held
    }

    pub fn kv_done(&self) -> u64 {
        self.state().kv_done
    }

    pub fn seen_ms(&self) -> u64 {
        self.state().seen_ms
    }

    pub fn node(&self) -> NodeHealth {
        self.state().node
    }

    /// Has something sent besides.
    pub fn send(&self, message: to_pop::Message) {
        self.state().tails.push_back(message);
        self.wake();
    }

    pub fn tail_start(&self, tail: TailStart) {
        self.send(to_pop::Message::TailStart(tail));
    }

    pub fn tail_stop(&self, session: String) {
        self.send(to_pop::Message::TailStop(TailStop { session }));
    }
}

fn root(bytes: &Bytes) -> Option<BlobHash> {
    bytes[..].try_into().ok().map(BlobHash)
}

/// Begins a session, and ends the one before it of the same PoP. Gives what goes down.
pub(super) async fn begin(
    sessions: &Arc<Sessions>,
    record: PopRecord,
    certificate: PeerCertificate,
    caller: &Caller,
    hello: Hello,
    up: Streaming<FromPop>,
) -> mpsc::Receiver<Result<ToPop, Status>> {
    let (down, receiver) = mpsc::channel(DOWNWARDS_MAX);
    let now_ms = sessions.options.clock.now_ms();
    let held = root(&hello.root).filter(|_| hello.publication > 0).map(|root| Held {
        publication: Revision(hello.publication),
        root,
    });
    let clock_off_ms = i64::try_from(hello.now_ms).unwrap_or(i64::MAX) - i64::try_from(now_ms).unwrap_or(i64::MAX);
    let session = Arc::new(Session {
        number: sessions.number(),
        name: record.name,
        joined_ms: record.joined_ms,
        clock_off_ms,
        certificate,
        authority: Mutex::new(caller.authority.clone()),
        state: Mutex::new(State {
            held,
            kv_done: hello.kv_position,
            seen_ms: now_ms,
            ..State::default()
        }),
        wake: Notify::new(),
        ended: CancellationToken::new(),
        canary: AtomicBool::new(false),
        hello,
    });
    let before = {
        let mut all = sessions.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(session.name.clone(), session.clone())
    };
    if let Some(before) = before {
        tracing::info!(pop = session.name, "a second session of a PoP ends the first");
        before.end();
    }
    // The deployer names the lane anew, when it has heard of this session.
    sessions
        .lanes
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .forget(&session.name);
    sessions.counters.sessions.fetch_add(1, Ordering::Relaxed);
    tracing::info!(
        pop = session.name,
        address = %caller.address,
        publication = session.hello.publication,
        clock_off_ms,
        "a session begins"
    );
    sessions.fleet_changed.notify_one();
    let running = Running {
        sessions: sessions.clone(),
        kv_sent: session.hello.kv_position,
        session,
        down,
        kv_head: sessions.kv_head.subscribe(),
        fleet: sessions.fleet.subscribe(),
        hot: sessions.hot_list.subscribe(),
        kv_under: VecDeque::new(),
        refuse: None,
    };
    sessions.tasks.spawn(running.run(up));
    receiver
}

struct Running {
    sessions: Arc<Sessions>,
    session: Arc<Session>,
    down: mpsc::Sender<Result<ToPop, Status>>,
    kv_head: watch::Receiver<u64>,
    fleet: watch::Receiver<Arc<Fleet>>,
    hot: watch::Receiver<Arc<Vec<HotWorker>>>,
    kv_sent: u64,
    /// Positions of changes that were sent and not acknowledged.
    kv_under: VecDeque<u64>,
    refuse: Option<Status>,
}

/// The session is over, and why.
struct Over(&'static str);

impl Running {
    async fn run(mut self, up: Streaming<FromPop>) {
        let pop = PopName::new(self.session.name.as_str());
        let stop = self.sessions.tasks.stopping();
        let over = tokio::select! {
            () = stop.cancelled() => Over("this control plane goes down"),
            () = self.session.ended.clone().cancelled_owned() => Over("it was ended"),
            over = async { self.talk(&pop, up).await.err() } => over.unwrap_or(Over("the PoP ended it")),
        };
        tracing::info!(pop = self.session.name, reason = over.0, "a session ends");
        self.session.end();
        let last = {
            let mut all = self.sessions.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            let own = all
                .get(&self.session.name)
                .is_some_and(|session| session.number == self.session.number);
            own && all.remove(&self.session.name).is_some()
        };
        if let Some(status) = self.refuse.take() {
            // There may be nobody to hear it.
            let _ = self.down.try_send(Err(status));
        }
        if last {
            self.sessions
                .lanes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .forget(&self.session.name);
            {
                let mut seen = self.sessions.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.insert(
                    self.session.name.clone(),
                    (self.session.seen_ms(), self.session.kv_done()),
                );
            }
            self.sessions.fleet_changed.notify_one();
            self.sessions.report(Report::Gone { pop }).await;
        }
    }

    async fn say(&self, message: to_pop::Message) -> Result<(), Over> {
        let message = Some(message);
        let sent = tokio::time::timeout(TAKEN_MAX, self.down.send(Ok(ToPop { message }))).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Over("the way down is closed")),
            Err(_) => Err(Over("it does not take its messages")),
        }
    }

    fn welcome(&self) -> to_pop::Message {
        let options = &self.sessions.options;
        let list = |list: &[Vec<u8>]| list.iter().cloned().map(Bytes::from).collect();
        let signed_now = self
            .session
            .authority()
            .is_none_or(|authority| options.authority.signs(&authority));
        let now_ms = options.clock.now_ms();
        to_pop::Message::Welcome(Welcome {
            name: self.session.name.clone(),
            epoch: options.epoch,
            domains: options.domains.clone(),
            ping_ms: u32::try_from(options.ping.as_millis()).unwrap_or(u32::MAX),
            now_ms,
            artifact_keys: list(&options.artifact_keys),
            authorities: list(&options.authority.certificates()),
            renew: !signed_now || now_ms > self.session.certificate.not_after_ms,
        })
    }

    async fn talk(&mut self, pop: &PopName, mut up: Streaming<FromPop>) -> Result<(), Over> {
        self.say(self.welcome()).await?;
        let held = self.session.held();
        let connected = Report::Connected {
            pop: pop.clone(),
            region: self.session.hello.region.clone(),
            publication: held.map_or(Revision(0), |held| held.publication),
            root: held.map(|held| held.root),
            incarnation: self.session.hello.incarnation,
        };
        self.sessions.report(connected).await;
        for tail in self.sessions.tails_now() {
            self.session.tail_start(tail);
        }
        self.fleet.mark_changed();
        self.hot.mark_changed();
        let ping = self.sessions.options.ping;
        let mut pings = tokio::time::interval_at(Instant::now() + ping, ping);
        let (mut number, silence) = (0, ping * (PINGS_MISSED_MAX + 1));
        let mut deadline = Instant::now() + silence;
        loop {
            self.pump().await?;
            tokio::select! {
                message = up.message() => {
                    deadline = Instant::now() + silence;
                    match message {
                        Ok(Some(FromPop { message: Some(message) })) => self.take(pop, message).await?,
                        // Of a newer release.
                        Ok(Some(FromPop { message: None })) => {}
                        Ok(None) => return Ok(()),
                        Err(_) => return Err(Over("the connection broke")),
                    }
                }
                () = self.session.wake.notified() => {}
                changed = self.kv_head.changed() => changed.map_err(|_| Over("this control plane goes down"))?,
                changed = self.fleet.changed() => {
                    changed.map_err(|_| Over("this control plane goes down"))?;
                    let fleet = Fleet::clone(&self.fleet.borrow_and_update());
                    self.say(to_pop::Message::Fleet(fleet)).await?;
                }
                changed = self.hot.changed() => {
                    changed.map_err(|_| Over("this control plane goes down"))?;
                    let workers = Vec::clone(&self.hot.borrow_and_update());
                    if !workers.is_empty() {
                        self.say(to_pop::Message::Hot(Hot { workers })).await?;
                    }
                }
                _ = pings.tick() => {
                    number += 1;
                    self.say(to_pop::Message::Ping(number)).await?;
                }
                () = tokio::time::sleep_until(deadline) => return Err(Over("it says nothing any more")),
            }
        }
    }

    /// Sends what is to be sent.
    async fn pump(&mut self) -> Result<(), Over> {
        loop {
            let next = {
                let mut state = self.session.state();
                let greet = std::mem::take(&mut state.greet);
                (greet, state.tails.pop_front())
            };
            if next.0 {
                self.say(self.welcome()).await?;
            }
            match next.1 {
                Some(message) => self.say(message).await?,
                None => break,
            }
        }
        self.pump_config().await?;
        self.pump_kv().await
    }

    async fn pump_config(&mut self) -> Result<(), Over> {
        let way = {
            let mut lanes = self.sessions.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            let state = self.session.state();
            let target = lanes
                .target(&self.session.name)
                .map(|publication| publication.config.revision());
            if state.in_flight.is_some() || (target.is_some() && state.rejected == target) {
                return Ok(());
            }
            lanes.way(&self.session.name, state.held, state.whole)
        };
        let Some(way) = way else { return Ok(()) };
        let root = way.root();
        let message = way.message().await;
        let counters = &self.sessions.counters;
        let (is_delta, bytes) = match &message.form {
            Some(Form::Delta(bytes)) => (true, bytes.len()),
            Some(Form::Whole(bytes)) => (false, bytes.len()),
            None => return Err(Over("a configuration could not be encoded")),
        };
        let count = if is_delta { &counters.deltas } else { &counters.wholes };
        count.fetch_add(1, Ordering::Relaxed);
        counters.config_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.session.canary.store(message.canary, Ordering::Relaxed);
        self.session.state().in_flight = Some(InFlight {
            publication: Revision(message.publication),
            root,
            is_delta,
        });
        self.say(to_pop::Message::Config(message)).await
    }

    async fn pump_kv(&mut self) -> Result<(), Over> {
        while self.kv_under.len() < KV_WINDOW && self.kv_sent < *self.kv_head.borrow() {
            let page = self.sessions.options.catalog.kv_since(self.kv_sent, KV_PAGE).await;
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, "the log of KV edits cannot be read; it is tried again");
                    tokio::time::sleep(CATALOG_PAUSE).await;
                    self.session.wake();
                    return Ok(());
                }
            };
            if page.is_empty() {
                // The head was an edit that was replaced by one that is not stored yet.
                return Ok(());
            }
            for change in changes(page) {
                self.kv_sent = change.position;
                self.kv_under.push_back(change.position);
                self.say(to_pop::Message::KvChange(change)).await?;
            }
        }
        Ok(())
    }

    async fn take(&mut self, pop: &PopName, message: from_pop::Message) -> Result<(), Over> {
        self.session.state().seen_ms = self.sessions.options.clock.now_ms();
        match message {
            from_pop::Message::Hello(_) => return Err(Over("it said hello twice")),
            from_pop::Message::Pong(_) => {}
            from_pop::Message::Applied(applied) => self.applied(pop, applied).await,
            from_pop::Message::Health(health) => {
                self.sessions
                    .options
                    .telemetry
                    .ingest_health(&self.session.name, &health);
                self.sessions.hot.count(&health.versions);
                if let Some(node) = health.node {
                    self.session.state().node = node;
                }
                let versions: Vec<_> = health.versions.into_iter().map(version_health).collect();
                let pop = pop.clone();
                self.sessions.report(Report::Health { pop, versions }).await;
            }
            from_pop::Message::Tail(events) => self.sessions.tail_events(events),
            from_pop::Message::KvDone(done) => {
                self.session.state().kv_done = done.position;
                while self.kv_under.front().is_some_and(|position| *position <= done.position) {
                    self.kv_under.pop_front();
                }
            }
            from_pop::Message::KvAnswer(answer) => self.sessions.answered(answer),
            from_pop::Message::Draining(_) => {
                self.session.state().draining = true;
                self.sessions.fleet_changed.notify_one();
                self.sessions.report(Report::Draining { pop: pop.clone() }).await;
            }
        }
        Ok(())
    }

    async fn applied(&mut self, pop: &PopName, applied: pop::Applied) {
        let (rejected, sent) = {
            let mut state = self.session.state();
            // It may also tell of a configuration that another session brought, or that what it could not start has started
            // since: then what this one sent is still under way.
            let answers =
                |sent: &mut InFlight| !applied.rejected.is_empty() || sent.publication.0 == applied.publication;
            let sent = state.in_flight.take_if(answers);
            state.held = root(&applied.root)
                .filter(|_| applied.publication > 0)
                .map(|root| Held {
                    publication: Revision(applied.publication),
                    root,
                });
            let mut rejected = (!applied.rejected.is_empty()).then(|| applied.rejected.clone());
            // Sent again and again it would not become right.
            let is_other = |sent: InFlight| root(&applied.root) != Some(sent.root);
            if rejected.is_none() && sent.is_some_and(is_other) {
                rejected = Some("it has taken another configuration under this number than it was sent".to_owned());
            }
            match (&rejected, sent) {
                // It may only be that it does not fit what is there.
                (Some(_), Some(InFlight { is_delta: true, .. })) => state.whole = true,
                (Some(_), Some(InFlight { publication, .. })) => {
                    state.rejected = Some(publication);
                    state.whole = false;
                }
                _ => {
                    state.whole = false;
                    state.rejected = None;
                }
            }
            (rejected, sent)
        };
        if let (Some(reason), Some(sent)) = (&rejected, sent) {
            let InFlight {
                publication, is_delta, ..
            } = sent;
            self.sessions.counters.rejected.fetch_add(1, Ordering::Relaxed);
            if is_delta {
                tracing::warn!(pop = self.session.name, %publication, reason, "a delta was refused; the whole follows");
                return;
            }
            let text = format!("PoP {} refused publication {publication}: {reason}", self.session.name);
            self.sessions.alarm("config_rejected", text);
        }
        let refused = |one: pop::Refused| RefusedWorker {
            account: TenantId::new(one.account),
            worker: WorkerName::new(one.worker),
            deployment: DeploymentId::new(one.deployment),
            version: VersionId::new(one.version),
            kind: one.kind,
            reason: one.reason,
        };
        let started = |one: pop::Started| StartedVersion {
            account: TenantId::new(one.account),
            worker: WorkerName::new(one.worker),
            version: VersionId::new(one.version),
            startup_us: one.startup_us,
        };
        // A refusal is of what was sent, not of what the PoP holds.
        let publication = match (&rejected, sent) {
            (Some(_), Some(sent)) => sent.publication,
            _ => Revision(applied.publication),
        };
        let applied = Applied {
            publication,
            refused: applied.refused.into_iter().map(refused).collect(),
            started: applied.started.into_iter().map(started).collect(),
            rejected,
        };
        let pop = pop.clone();
        self.sessions.report(Report::Applied { pop, applied }).await;
    }
}

fn version_health(of: pop::VersionHealth) -> VersionHealth {
    let mut latency = [0; crate::deployer::LATENCY_BUCKETS];
    for (bucket, count) in latency.iter_mut().zip(&of.latency) {
        *bucket = *count;
    }
    VersionHealth {
        account: TenantId::new(of.account),
        worker: WorkerName::new(of.worker),
        version: VersionId::new(of.version),
        deployment: DeploymentId::new(of.deployment),
        tally: Tally {
            requests: of.requests,
            server_errors: of.server_errors,
            exceptions: of.exceptions,
            limits: of.limits,
            crashes: of.crashes,
            failed_starts: of.failed_starts,
            failed_probes: of.failed_probes,
            begun: of.begun,
            settled: of.settled,
            late: of.late,
            ripe: 0,
            late_settled: of.late_settled,
            late_seconds: of.late_seconds,
            abandoned: of.abandoned,
            calls: of.calls,
            latency,
        },
    }
}

/// Edits as they are sent: those that stand together and are of one namespace are one change. What is cleared comes first in a
/// change, so an edit that clears begins one.
fn changes(page: Vec<KvLogged>) -> Vec<KvChange> {
    let mut changes: Vec<KvChange> = Vec::new();
    for logged in page {
        let (account, namespace) = (logged.account.to_string(), logged.namespace.to_string());
        let joins = changes
            .last()
            .is_some_and(|last| last.account == account && last.namespace == namespace && logged.edit != KvEdit::Clear);
        if !joins {
            changes.push(KvChange {
                account,
                namespace,
                ..KvChange::default()
            });
        }
        // One was pushed if there was none.
        let Some(change) = changes.last_mut() else { continue };
        change.position = logged.position;
        match logged.edit {
            KvEdit::Clear => change.clear = true,
            KvEdit::Delete { key } => change.delete.push(key),
            KvEdit::Put {
                key,
                value,
                metadata,
                expiration,
            } => {
                let (value, value_blob) = match value {
                    KvValue::Inline(bytes) => (Bytes::from(bytes), Bytes::new()),
                    KvValue::Blob(hash) => (Bytes::new(), Bytes::copy_from_slice(&hash.0)),
                };
                change.put.push(KvItem {
                    key,
                    found: true,
                    value,
                    metadata: metadata.unwrap_or_default(),
                    expiration: expiration.unwrap_or(0),
                    value_blob,
                });
            }
        }
    }
    changes
}
