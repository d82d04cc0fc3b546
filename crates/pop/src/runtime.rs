//! What the agent drives: the part of the PoP that serves. The binary implements it over the workers' host and the edge.

use async_trait::async_trait;
use atoll_api::pop::{KvAnswer, KvChange, KvQuestion, NodeHealth, TailStart, VersionHealth};
use atoll_model::{DeploymentId, EdgeConfig, Manifest, Share, TenantId, WorkerName, WorkerVersion};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// The most events of a tail that wait for the way to the control plane; more are counted and dropped.
pub const TAIL_EVENTS_WAITING_MAX: usize = 1_024;

/// A version with everything that a start needs.
#[derive(Debug, Clone)]
pub struct LoadedVersion {
    /// What the configuration says of it.
    pub share: Share,
    /// Its artifact's manifest, signed by a key that is trusted. The static assets' blobs are read through
    /// [`crate::Agent::objects`] when they are asked for.
    pub manifest: Arc<Manifest>,
    /// Modules, bindings and secrets (as bindings), as an engine takes them. Crons are not in it: those are the
    /// configuration's. `None`: static assets alone.
    pub version: Option<Arc<WorkerVersion>>,
}

/// A version that is to be started before it serves.
#[derive(Debug, Clone)]
pub struct WorkerToStart {
    /// Whose.
    pub account: TenantId,
    /// Which worker.
    pub worker: WorkerName,
    /// Of which deployment.
    pub deployment: DeploymentId,
    /// The version.
    pub loaded: Arc<LoadedVersion>,
}

/// What is known of a version that has started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartedFacts {
    /// How long its modules took.
    pub startup: Duration,
}

/// What a start failed of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFault {
    /// The artifact cannot be had, or is not what it should be.
    Artifact,
    /// Its parts cannot be had now: whoever has them is not reached. It says nothing about the version.
    Unavailable,
    /// No trusted key has signed it.
    Signature,
    /// Its secrets cannot be had.
    Secrets,
    /// Its modules do not evaluate.
    Startup,
    /// A binding cannot be made.
    Binding,
    /// A limit ended it.
    Limit,
    /// Anything else.
    Other,
}

impl StartFault {
    /// As the protocol writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Artifact => "artifact",
            Self::Unavailable => "unavailable",
            Self::Signature => "signature",
            Self::Secrets => "secrets",
            Self::Startup => "startup",
            Self::Binding => "binding",
            Self::Limit => "limit",
            Self::Other => "other",
        }
    }
}

/// Why a version did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct StartError {
    /// The kind of fault.
    pub fault: StartFault,
    /// For whoever deployed it.
    pub reason: String,
}

impl StartError {
    /// A fault and its reason.
    pub fn new(fault: StartFault, reason: impl fmt::Display) -> Self {
        let reason = reason.to_string();
        Self { fault, reason }
    }
}

/// What is not in the configuration itself and goes with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The PoP's name.
    pub name: String,
    /// The platform's domains: workers are reached at `WORKER.SUBDOMAIN.DOMAIN`.
    pub domains: Vec<String>,
    /// This PoP bakes the configuration for others.
    pub canary: bool,
}

/// Where a tail's events go. Clones are the same way.
#[derive(Debug, Clone)]
pub struct TailSink {
    sender: mpsc::Sender<String>,
    dropped: Arc<AtomicU64>,
}

impl TailSink {
    /// A sink and what comes out of it.
    pub fn new() -> (Self, mpsc::Receiver<String>) {
        let (sender, receiver) = mpsc::channel(TAIL_EVENTS_WAITING_MAX);
        let dropped = Arc::default();
        (Self { sender, dropped }, receiver)
    }

    /// Sends an event, a JSON object as a client of the trace protocol takes it, unless too many wait: then it is counted
    /// and dropped. Never waits. `false`: nobody listens any more.
    pub fn send(&self, event: String) -> bool {
        match self.sender.try_send(event) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.drop_some(1);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    /// Counts events that matched and were not sent, because of the tail's own rate.
    pub fn drop_some(&self, events: u64) {
        self.dropped.fetch_add(events, Ordering::Relaxed);
    }

    /// How many were dropped since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

/// The part of the PoP that serves.
#[async_trait]
pub trait Runtime: fmt::Debug + Send + Sync + 'static {
    /// Starts a version once, so that it is known to start and the first request finds it warm. Called for several versions
    /// at a time; the caller bounds how long it waits.
    async fn prepare(&self, worker: WorkerToStart) -> Result<StartedFacts, StartError>;

    /// From its return on, requests are answered by this configuration. What was prepared for it may be let go when it is
    /// no longer in a configuration that was activated later.
    async fn activate(&self, config: Arc<EdgeConfig>, surroundings: Surroundings);

    /// What happened since the last call, for every version that had events, and the node's figures. Does not wait.
    fn health(&self) -> (Vec<VersionHealth>, NodeHealth);

    /// What happened since the last call, for every route and custom domain that led to a worker. Does not wait.
    fn routes(&self) -> Vec<VersionHealth> {
        Vec::new()
    }

    /// Begins to tell the events of a worker. The same session again replaces the one before.
    async fn tail_start(&self, tail: TailStart, sink: TailSink);

    /// Ends a tail.
    async fn tail_stop(&self, session: &str);

    /// Applies an edit of KV; its values are all there. `Ok` means durable. An error has it tried again later: the edits
    /// behind it wait.
    async fn kv_change(&self, change: KvChange) -> Result<(), String>;

    /// Reads KV for the control plane.
    async fn kv_ask(&self, question: KvQuestion) -> KvAnswer;
}
