//! What the agent drives: host, front and stores as one [`atoll_pop::Runtime`].

use super::health::Meters;
use super::sites::PopSites;
use super::tails::Tails;
use super::{crons, kv};
use crate::platform::Platform;
use crate::serve::process;
use async_trait::async_trait;
use atoll_api::pop::{KvAnswer, KvChange, KvQuestion, NodeHealth, TailStart, VersionHealth};
use atoll_host::{DeployError, Host, Prepared, Triggers, Versions};
use atoll_model::{EdgeConfig, TenantId, VersionId, WorkerName};
use atoll_pop::{Runtime, StartError, StartFault, StartedFacts, Surroundings, TailSink, WorkerToStart};
use atoll_worker::{Fault, FaultKind};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long what was prepared and never activated is kept.
const PREPARED_FOR: Duration = Duration::from_secs(120);

struct Ahead {
    since: Instant,
    /// None for a version of assets alone.
    prepared: Option<Prepared>,
    site: Arc<atoll_edge::Site>,
}

/// See the module.
pub(crate) struct PopRuntime {
    pub(crate) host: Arc<Host>,
    pub(crate) platform: Arc<Platform>,
    pub(crate) sites: Arc<PopSites>,
    pub(crate) versions: Arc<Versions>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) tails: Arc<Tails>,
    pub(crate) triggers: OnceLock<Triggers>,
    pub(crate) crons: crons::Crons,
    ahead: Mutex<HashMap<(TenantId, WorkerName, VersionId), Ahead>>,
    pub(crate) activated: tokio::sync::watch::Sender<u64>,
}

impl fmt::Debug for PopRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PopRuntime({} workers)", self.sites.workers())
    }
}

impl PopRuntime {
    pub(crate) fn new(
        platform: Arc<Platform>,
        sites: Arc<PopSites>,
        versions: Arc<Versions>,
        meters: Arc<Meters>,
        tails: Arc<Tails>,
    ) -> Arc<Self> {
        Arc::new(Self {
            host: platform.host.clone(),
            platform,
            sites,
            versions,
            meters,
            tails,
            triggers: OnceLock::new(),
            crons: crons::Crons::default(),
            ahead: Mutex::default(),
            activated: tokio::sync::watch::Sender::new(0),
        })
    }

    fn ahead<T>(&self, what: impl FnOnce(&mut HashMap<(TenantId, WorkerName, VersionId), Ahead>) -> T) -> T {
        // Map operations only: a panic elsewhere cannot leave them half-done.
        what(&mut self.ahead.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A fault as the reason why a version did not start.
fn start_error(fault: &Fault) -> StartError {
    let kind = match fault.kind {
        _ if fault.limit.is_some() => StartFault::Limit,
        FaultKind::ExceededCpu | FaultKind::ExceededMemory | FaultKind::ExceededWall => StartFault::Limit,
        FaultKind::Overloaded | FaultKind::Draining | FaultKind::Canceled | FaultKind::Internal => StartFault::Other,
        _ => StartFault::Startup,
    };
    let stack = fault.exception.as_ref().map(|exception| exception.stack.as_str());
    match stack.filter(|stack| !stack.is_empty()) {
        Some(stack) => StartError::new(kind, stack),
        None => StartError::new(kind, &fault.message),
    }
}

fn deploy_error(error: &DeployError) -> StartError {
    match error {
        DeployError::Start(fault) => start_error(fault),
        DeployError::Limit { .. } => StartError::new(StartFault::Limit, error),
        DeployError::Binding { .. } | DeployError::NoEntrypoint { .. } => StartError::new(StartFault::Binding, error),
        DeployError::Superseded { .. } => StartError::new(StartFault::Other, error),
    }
}

#[async_trait]
impl Runtime for PopRuntime {
    async fn prepare(&self, worker: WorkerToStart) -> Result<StartedFacts, StartError> {
        let WorkerToStart {
            account,
            worker,
            loaded,
            ..
        } = worker;
        let version = loaded.share.version.clone();
        let site = self.sites.site_of(&account, &worker, &loaded);
        let site = site.map_err(|fault| StartError::new(StartFault::Artifact, fault.message))?;
        let fetched = self.sites.fetched(&account, &worker, &loaded);
        let fetched = fetched.map_err(|fault| StartError::new(StartFault::Artifact, fault.message))?;
        let mut startup = Duration::ZERO;
        let prepared = match fetched {
            None => None,
            Some(fetched) => {
                let begun = Instant::now();
                let prepared = self.host.prepare_within(fetched).await;
                startup = begun.elapsed();
                Some(prepared.map_err(|error| deploy_error(&error))?)
            }
        };
        let ahead = Ahead {
            since: Instant::now(),
            prepared,
            site,
        };
        self.ahead(|all| {
            all.retain(|_, one| one.since.elapsed() < PREPARED_FOR);
            all.insert((account, worker, version), ahead);
        });
        Ok(StartedFacts { startup })
    }

    async fn activate(&self, config: Arc<EdgeConfig>, surroundings: Surroundings) {
        let revision = config.revision();
        // Before the first request that may be theirs.
        for ((account, worker, version), ahead) in self.ahead(std::mem::take) {
            let key = atoll_model::edge::EdgeKey::Worker(account.clone(), worker.clone());
            let is_wanted = match config.get(&key).map(|entry| &**entry) {
                Some(atoll_model::edge::EdgeEntry::Worker(entry)) => {
                    let aliases = entry.aliases.iter().flat_map(|alias| &alias.shares);
                    let mut shares = entry.shares.iter().chain(&entry.recent).chain(aliases);
                    shares.any(|share| share.version == version)
                }
                _ => false,
            };
            if is_wanted {
                if let Some(prepared) = ahead.prepared {
                    self.versions.admit(prepared);
                }
                self.sites.admit(&account, &worker, ahead.site);
            } else if ahead.since.elapsed() < PREPARED_FOR {
                // It may be for the configuration after this one.
                self.ahead(|all| all.insert((account, worker, version), ahead));
            }
        }
        let before = self.sites.config();
        self.sites
            .activate(config.clone(), &surroundings.domains, &self.versions);
        // The first one is what this PoP had before it was started: what it missed is of that.
        let first = *self.activated.borrow() == 0;
        if (self.crons.update(&before, &config) || first)
            && let Some(triggers) = self.triggers.get()
        {
            // What cannot be read was refused by the control plane.
            for (worker, expression, error) in triggers.set(&self.crons.all()) {
                tracing::warn!(%worker, expression, error, "a cron expression cannot be read");
            }
        }
        self.activated.send_replace(revision.0);
        tracing::info!(
            publication = revision.0,
            workers = self.sites.workers(),
            canary = surroundings.canary,
            "configuration activated"
        );
    }

    fn health(&self) -> (Vec<VersionHealth>, NodeHealth) {
        let mut versions = self.meters.take();
        for version in &mut versions {
            let (account, worker) = (TenantId::new(&*version.account), WorkerName::new(&*version.worker));
            // One that has lost its place, and only finishes what it has, is of no deployment.
            if let Some(worker) = self.sites.worker(&account, &worker)
                && worker.share(&VersionId::new(&*version.version)).is_some()
            {
                version.deployment = worker.entry.deployment.to_string();
            }
        }
        let stats = self.host.workers();
        for version in &mut versions {
            let of = stats.iter().filter(|worker| worker.version == version.version);
            version.memory_bytes = of.map(|worker| worker.slot.memory_bytes).sum();
        }
        let usage = process::read();
        let load = std::fs::read_to_string("/proc/loadavg").ok();
        let load = load
            .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
            .unwrap_or_default();
        let node = NodeHealth {
            memory_bytes: usage.map_or(0, |usage| usage.resident_bytes),
            in_flight: stats.iter().map(|worker| u64::from(worker.slot.in_flight)).sum(),
            isolates: stats.iter().map(|worker| worker.slot.isolates as u64).sum(),
            load_millis: (load * 1_000.0) as u64,
            ..NodeHealth::default()
        };
        (versions, node)
    }

    fn routes(&self) -> Vec<VersionHealth> {
        self.meters.take_routes()
    }

    async fn tail_start(&self, tail: TailStart, sink: TailSink) {
        self.tails.start(tail, sink);
    }

    async fn tail_stop(&self, session: &str) {
        self.tails.stop(session);
    }

    async fn kv_change(&self, change: KvChange) -> Result<(), String> {
        kv::change(&*self.platform.stores, change).await
    }

    async fn kv_ask(&self, question: KvQuestion) -> KvAnswer {
        kv::ask(&*self.platform.stores, question).await
    }
}
