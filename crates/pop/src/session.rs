//! A session with the control plane: Hello, Welcome, and then whatever either side has to say until one is gone.
//!
//! Nothing that takes long is done here: configurations and KV changes go to the agent's own tasks, questions and tails to
//! tasks of the session, so that pings are answered while a worker starts.

use crate::agent::Work;
use crate::runtime::TailSink;
use crate::{Agent, AgentError, channel, connection};
use atoll_api::pop::control_client::ControlClient;
use atoll_api::pop::{Draining, FromPop, Health, Hello, Shipment, TailEvents, ToPop, Welcome, from_pop, to_pop};
use atoll_model::edge::FULL_BYTES_MAX;
use atoll_model::{TenantId, WorkerName};
use futures_util::StreamExt;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// The most messages that wait for the way up.
const UPWARDS_MAX: usize = 64;
/// The most bytes of a message of a session: a whole configuration, and a little.
pub const MESSAGE_BYTES_MAX: usize = FULL_BYTES_MAX + (1 << 20);
/// How long the control plane may take to begin a session.
const WELCOME_MAX: Duration = Duration::from_secs(10);
/// How many pings may be missed.
const PINGS_MISSED_MAX: u32 = 3;
/// How often health is told while anything happens, and how many times it is left out when nothing does.
const HEALTH_EVERY: Duration = Duration::from_secs(1);
const HEALTH_LEFT_OUT_MAX: u32 = 10;
/// The most events of a tail in one message.
const TAIL_EVENTS_MAX: usize = 100;
/// The most tails at a time.
pub const TAILS_MAX: usize = 64;
/// The most workers that are started ahead because the control plane named them.
const HOT_LIST_MAX: usize = 256;
/// The pause after shipping failed.
const SHIP_PAUSE: Duration = Duration::from_secs(1);

fn ended(why: &str) -> AgentError {
    AgentError::Ended(why.to_owned())
}

struct Session {
    agent: Arc<Agent>,
    up: mpsc::Sender<FromPop>,
    /// What the session began; ends with it.
    tasks: JoinSet<()>,
    tails: HashMap<String, AbortHandle>,
    ping: Duration,
}

/// Holds a session until it ends. `Ok`: it was meant to.
pub(crate) async fn hold(agent: &Arc<Agent>, channel: Channel, stop: &CancellationToken) -> Result<(), AgentError> {
    let (up, receiver) = mpsc::channel(UPWARDS_MAX);
    let hello = hello(agent);
    let message = Some(from_pop::Message::Hello(hello));
    // There is room for the first one.
    let _ = up.send(FromPop { message }).await;
    let mut client = ControlClient::new(channel.clone())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let begun = tokio::time::timeout(WELCOME_MAX, async {
        let mut down = client.session(ReceiverStream::new(receiver)).await?.into_inner();
        let first = down.message().await?;
        Ok::<_, Status>((down, first))
    });
    let begun = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        begun = begun => begun,
    };
    let (down, first) = match begun {
        Ok(Ok(begun)) => begun,
        Ok(Err(status)) => return Err(connection::refusal(&status, "the control plane")),
        Err(_) => return Err(ended("the control plane did not begin the session in time")),
    };
    let Some(ToPop {
        message: Some(to_pop::Message::Welcome(welcome)),
    }) = first
    else {
        return Err(ended("the control plane did not begin with its welcome"));
    };
    let mut session = Session {
        agent: agent.clone(),
        up: up.clone(),
        tasks: JoinSet::new(),
        tails: HashMap::new(),
        ping: Duration::from_millis(u64::from(welcome.ping_ms).clamp(100, 60_000)),
    };
    session.welcome(welcome).await?;
    agent.links.set_control(Some(channel.clone()));
    agent.set_uplink(Some(up));
    agent.set_revoked(false);
    agent.counters.sessions.fetch_add(1, Ordering::Relaxed);
    let shipping = agent.clone();
    session.tasks.spawn(async move { ship(&shipping, channel).await });
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        outcome = session.run(down) => outcome,
    };
    session.end().await;
    outcome
}

fn hello(agent: &Arc<Agent>) -> Hello {
    let (stored, _) = agent.configs();
    let held = stored.config.revision().0;
    Hello {
        release: agent.options.release.clone(),
        region: agent.options.region.clone(),
        publication: held,
        root: match held {
            0 => bytes::Bytes::new(),
            _ => bytes::Bytes::copy_from_slice(&stored.config.root().0),
        },
        epoch: stored.head.epoch,
        public_address: agent.options.public_address.clone(),
        neighbour_address: agent.neighbour_address().unwrap_or_default().to_owned(),
        kv_position: agent.kv_position(),
        now_ms: agent.options.clock.now_ms(),
        incarnation: agent.incarnation,
    }
}

impl Session {
    async fn welcome(&mut self, welcome: Welcome) -> Result<(), AgentError> {
        if welcome.name != self.agent.name() {
            return Err(ended("the control plane takes this PoP for another one"));
        }
        let head = self.agent.take_head(welcome.epoch, welcome.domains).await;
        head.map_err(|rejected| AgentError::Ended(rejected.to_string()))?;
        let learnt = self
            .agent
            .links
            .holder
            .learn(&welcome.authorities, &welcome.artifact_keys);
        if let Err(error) = learnt {
            self.agent.alarm(format!(
                "what the control plane says of authorities is not taken: {error}"
            ));
        }
        if welcome.renew {
            self.agent.renew_now.notify_one();
        }
        // It may be another control plane than the one that was told.
        if self.agent.has_kept() {
            self.agent.hand(Work::Again).await;
        }
        Ok(())
    }

    async fn say(&self, message: from_pop::Message) -> Result<(), AgentError> {
        let message = Some(message);
        let sent = self.up.send(FromPop { message }).await;
        sent.map_err(|_| ended("the way up is closed"))
    }

    async fn run(&mut self, mut down: Streaming<ToPop>) -> Result<(), AgentError> {
        let mut health = tokio::time::interval(HEALTH_EVERY);
        let (mut left_out, mut since) = (0, self.agent.options.clock.now_ms());
        let silence = self.ping * PINGS_MISSED_MAX;
        let mut deadline = tokio::time::Instant::now() + silence;
        let drained = self.agent.clone();
        if drained.is_draining() {
            self.say(from_pop::Message::Draining(Draining {})).await?;
        }
        loop {
            tokio::select! {
                message = down.message() => {
                    deadline = tokio::time::Instant::now() + silence;
                    match message {
                        Ok(Some(ToPop { message: Some(message) })) => self.take(message).await?,
                        // Of a newer release.
                        Ok(Some(ToPop { message: None })) => {}
                        Ok(None) => return Ok(()),
                        Err(status) => return Err(connection::refusal(&status, "the control plane")),
                    }
                }
                _ = health.tick() => {
                    let Some(runtime) = self.agent.runtime() else { continue };
                    let (versions, mut node) = runtime.health();
                    left_out += 1;
                    if versions.is_empty() && left_out < HEALTH_LEFT_OUT_MAX {
                        continue;
                    }
                    node.telemetry_dropped += self.agent.shipper().dropped().values().sum::<u64>();
                    let until = self.agent.options.clock.now_ms();
                    let routes = runtime.routes();
                    let message = Health { since_ms: since, until_ms: until, versions, node: Some(node), routes };
                    (left_out, since) = (0, until);
                    self.say(from_pop::Message::Health(message)).await?;
                }
                () = drained.drained.notified() => self.say(from_pop::Message::Draining(Draining {})).await?,
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
                () = tokio::time::sleep_until(deadline) => return Err(ended("the control plane says nothing any more")),
            }
        }
    }

    async fn take(&mut self, message: to_pop::Message) -> Result<(), AgentError> {
        match message {
            to_pop::Message::Ping(number) => self.say(from_pop::Message::Pong(number)).await?,
            to_pop::Message::Welcome(welcome) => self.welcome(welcome).await?,
            to_pop::Message::Config(config) => {
                let bytes = match &config.form {
                    Some(atoll_api::pop::config::Form::Whole(bytes) | atoll_api::pop::config::Form::Delta(bytes)) => {
                        bytes.len()
                    }
                    None => 0,
                };
                self.agent
                    .counters
                    .config_bytes
                    .fetch_add(bytes as u64, Ordering::Relaxed);
                self.agent.hand(Work::Config(Box::new(config))).await;
            }
            to_pop::Message::KvChange(change) => self.agent.hand(Work::Kv(Box::new(change))).await,
            to_pop::Message::Fleet(fleet) => {
                let agent = self.agent.clone();
                // It is written to disk.
                let taken = tokio::task::spawn_blocking(move || agent.links.set_fleet(fleet.into()));
                taken.await.map_err(|error| AgentError::Ended(error.to_string()))?;
            }
            to_pop::Message::Hot(hot) => {
                let now_ms = self.agent.options.clock.now_ms();
                let named = hot.workers.into_iter().take(HOT_LIST_MAX);
                let named = named.map(|hot| (TenantId::new(hot.account), WorkerName::new(hot.worker)));
                let fresh: Vec<_> = named
                    .filter(|(account, worker)| self.agent.hot.touch(account, worker, now_ms))
                    .collect();
                if !fresh.is_empty() {
                    let agent = self.agent.clone();
                    self.tasks.spawn(async move { agent.warm(fresh).await });
                }
            }
            to_pop::Message::KvQuestion(question) => {
                let (agent, up) = (self.agent.clone(), self.up.clone());
                self.tasks.spawn(async move {
                    let Some(runtime) = agent.runtime() else { return };
                    let number = question.question;
                    let mut answer = runtime.kv_ask(question).await;
                    answer.question = number;
                    let message = Some(from_pop::Message::KvAnswer(answer));
                    // The session ended meanwhile; the question is asked elsewhere.
                    let _ = up.send(FromPop { message }).await;
                });
            }
            to_pop::Message::TailStart(tail) => self.tail(tail).await,
            to_pop::Message::TailStop(tail) => self.tail_stop(&tail.session).await,
        }
        Ok(())
    }

    async fn tail(&mut self, tail: atoll_api::pop::TailStart) {
        let Some(runtime) = self.agent.runtime() else { return };
        if !self.tails.contains_key(&tail.session) && self.tails.len() >= TAILS_MAX {
            tracing::warn!(
                session = tail.session,
                "there are too many tails; this one is not begun"
            );
            return;
        }
        self.tail_stop(&tail.session).await;
        let (sink, mut events) = TailSink::new();
        let (up, session, counter) = (self.up.clone(), tail.session.clone(), sink.clone());
        runtime.tail_start(tail, sink).await;
        let forward = self.tasks.spawn({
            let session = session.clone();
            async move {
                let mut batch = Vec::new();
                // Ends when the runtime lets the sink go, or the session ends.
                while events.recv_many(&mut batch, TAIL_EVENTS_MAX).await > 0 {
                    let message = TailEvents {
                        session: session.clone(),
                        events: std::mem::take(&mut batch),
                        dropped: counter.take_dropped(),
                    };
                    let message = Some(from_pop::Message::Tail(message));
                    if up.send(FromPop { message }).await.is_err() {
                        return;
                    }
                }
            }
        });
        self.tails.insert(session, forward);
    }

    async fn tail_stop(&mut self, session: &str) {
        if let Some(forward) = self.tails.remove(session) {
            forward.abort();
            if let Some(runtime) = self.agent.runtime() {
                runtime.tail_stop(session).await;
            }
        }
    }

    async fn end(&mut self) {
        self.agent.set_uplink(None);
        self.agent.links.set_control(None);
        let tails: Vec<String> = self.tails.keys().cloned().collect();
        for session in tails {
            self.tail_stop(&session).await;
        }
        self.tasks.shutdown().await;
    }
}

/// Ships telemetry for as long as the channel is good.
async fn ship(agent: &Arc<Agent>, channel: Channel) {
    let shipper = agent.shipper();
    loop {
        if let Err(error) = ship_once(&shipper, channel.clone()).await {
            tracing::info!(
                error = channel::chain(&error),
                "telemetry is not taken; it is tried again"
            );
        }
        tokio::time::sleep(SHIP_PAUSE).await;
    }
}

/// Batches that were taken out and not acknowledged; they go back when the stream breaks, however it does.
struct Under<'a> {
    shipper: &'a crate::ship::Shipper,
    batches: VecDeque<(u64, crate::ship::Batch)>,
}

impl Drop for Under<'_> {
    fn drop(&mut self) {
        while let Some((_, batch)) = self.batches.pop_back() {
            self.shipper.put_back(batch);
        }
    }
}

async fn ship_once(shipper: &crate::ship::Shipper, channel: Channel) -> Result<(), Status> {
    let (sender, receiver) = mpsc::channel::<Shipment>(crate::ship::BATCHES_MAX);
    let mut client = ControlClient::new(channel);
    let mut acknowledged = client.ship(ReceiverStream::new(receiver)).await?.into_inner();
    let batches = VecDeque::new();
    let mut under = Under { shipper, batches };
    let mut number = 0;
    loop {
        while under.batches.len() < crate::ship::BATCHES_MAX {
            let Some((batch, shipment)) = shipper.take(number + 1) else {
                break;
            };
            number += 1;
            under.batches.push_back((number, batch));
            // There is room: no more are under way than fit.
            sender
                .send(shipment)
                .await
                .map_err(|_| Status::cancelled("the stream is closed"))?;
        }
        tokio::select! {
            shipped = acknowledged.next() => {
                let Some(shipped) = shipped else { return Ok(()) };
                let upto = shipped?.number;
                while under.batches.front().is_some_and(|(number, _)| *number <= upto) {
                    if let Some((_, batch)) = under.batches.pop_front() {
                        shipper.arrived(&batch);
                    }
                }
            }
            () = shipper.wait(), if under.batches.len() < crate::ship::BATCHES_MAX => {}
        }
    }
}
