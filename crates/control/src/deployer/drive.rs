//! Connects the state machine with the catalog and the PoPs' sessions.
//!
//! One task: it takes a report, a change of the catalog or a tick, lets the machine step, stores what that decides and only
//! then tells sessions. While the database cannot be reached it waits with everything in order: PoPs go on with what they have,
//! reports wait in their bounded channel. When another control plane leads it ends, and nothing of what it had not stored has
//! happened.

#[cfg(test)]
mod tests;

use super::{Alarm, Deployer, Input, Lanes, Outputs, Report, Rollout, TICK_MS, Withdraw};
use crate::catalog::{Caller, Catalog, CatalogError, StageWrite, Withdrawal, new_uuid};
use atoll_api::rest;
use atoll_model::{DeploymentId, EdgeKey, PopName};
use atoll_stdx::Clock;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

/// How many reports wait for the deployer.
pub const REPORTS_MAX: usize = 1_024;
/// How often the catalog is asked for changes that other processes have made.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the first and the last repetition of a failed write wait.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How many alarms are kept.
pub const ALARMS_KEPT: usize = 100;
/// How many finished deployments are kept beside those under way; older ones are in the catalog.
const FINISHED_KEPT: usize = 1_000;

/// Time that never goes back: the wall clock as it was at the start, moved on by the monotonic one.
#[derive(Debug)]
pub struct SteadyClock {
    began_ms: u64,
    began: Instant,
}

impl SteadyClock {
    /// Begins now.
    pub fn new(wall: &dyn Clock) -> Self {
        Self {
            began_ms: wall.now_ms(),
            began: Instant::now(),
        }
    }
}

impl Clock for SteadyClock {
    fn now_ms(&self) -> u64 {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.began_ms.saturating_add(passed)
    }
}

/// What the deployer is doing, for those who show it.
#[derive(Debug, Default)]
pub struct Board {
    state: Mutex<BoardState>,
}

#[derive(Debug, Default)]
struct BoardState {
    publication: u64,
    staged: u64,
    rollouts: BTreeMap<DeploymentId, Rollout>,
    finished: VecDeque<DeploymentId>,
    alarms: VecDeque<rest::Alarm>,
    /// What failed and is held, for as long as it is.
    held: BTreeMap<EdgeKey, rest::Alarm>,
}

impl Board {
    fn with<T>(&self, work: impl FnOnce(&mut BoardState) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How far a deployment is, if it is under way or was lately; otherwise the catalog knows ([`Catalog::rollout`]).
    pub fn rollout(&self, deployment: &DeploymentId) -> Option<Rollout> {
        self.with(|state| state.rollouts.get(deployment).cloned())
    }

    /// The last publication number.
    pub fn publication(&self) -> u64 {
        self.with(|state| state.publication)
    }

    /// How many changes are not everywhere yet.
    pub fn staged(&self) -> u64 {
        self.with(|state| state.staged)
    }

    /// What is held (code `held`), for as long as it is, and the last alarms, the newest at the end.
    pub fn alarms(&self) -> Vec<rest::Alarm> {
        self.with(|state| {
            let held = state.held.values().take(ALARMS_KEPT);
            held.chain(&state.alarms).cloned().collect()
        })
    }

    fn note(&self, deployer: &Deployer, outputs: &Outputs, now_ms: u64) {
        self.with(|state| {
            state.publication = deployer.publication();
            state.staged = deployer.staged() as u64;
            for (id, rollout) in &outputs.rollouts {
                if rollout.state.is_final() && !state.finished.contains(id) {
                    state.finished.push_back(id.clone());
                }
                state.rollouts.insert(id.clone(), rollout.clone());
            }
            while state.finished.len() > FINISHED_KEPT {
                if let Some(id) = state.finished.pop_front() {
                    state.rollouts.remove(&id);
                }
            }
            let held = deployer.held();
            state.held.retain(|key, _| held.contains_key(key));
            for (key, reason) in held {
                let message = format!(
                    "{key}: {reason}; what is asked for is held, and what was there stays, until it is changed"
                );
                let alarm = rest::Alarm {
                    since_ms: now_ms,
                    code: "held".to_owned(),
                    message,
                };
                state.held.entry(key).or_insert(alarm);
            }
            for Alarm { code, message } in &outputs.alarms {
                // The same again is one alarm.
                state.alarms.retain(|alarm| alarm.message != *message);
                state.alarms.push_back(rest::Alarm {
                    since_ms: now_ms,
                    code: (*code).to_owned(),
                    message: message.clone(),
                });
            }
            while state.alarms.len() > ALARMS_KEPT {
                state.alarms.pop_front();
            }
        });
    }
}

/// What a deployer works with.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The handle of the leader's epoch ([`Catalog::lead`]).
    pub catalog: Catalog,
    /// That epoch.
    pub epoch: u64,
    /// The PoPs' sessions.
    pub lanes: Arc<dyn Lanes>,
    /// For those who show what is going on.
    pub board: Arc<Board>,
    /// The time: [`SteadyClock`].
    pub clock: Arc<dyn Clock>,
    /// Ends it.
    pub stop: CancellationToken,
}

/// Runs until it is stopped, the sessions are gone (`Ok`), or another control plane leads ([`CatalogError::Deposed`]). Other
/// errors of the catalog are waited out, but for a catalog that cannot be read at all when it begins. Dropping it stops it
/// between two steps or in the middle of one: the next one goes on from what was stored.
pub async fn run(surroundings: Surroundings, mut reports: mpsc::Receiver<Report>) -> Result<(), CatalogError> {
    let mut revised = surroundings.catalog.revised();
    let stop = surroundings.stop.clone();
    let mut driver = Driver::begin(surroundings).await?;
    let mut tick = interval(Duration::from_millis(TICK_MS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looked = Instant::now();
    loop {
        let input = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            report = reports.recv() => match report {
                Some(report) => Input::Report(report),
                None => return Ok(()),
            },
            changed = revised.changed() => {
                // The sender lives as long as the catalog's handle, which is here.
                if changed.is_err() {
                    return Ok(());
                }
                driver.catch_up().await?;
                looked = Instant::now();
                continue;
            }
            _ = tick.tick() => {
                if looked.elapsed() >= LOOK_EVERY {
                    driver.catch_up().await?;
                    looked = Instant::now();
                }
                Input::Tick
            }
        };
        driver.step(input).await?;
    }
}

struct Driver {
    surroundings: Surroundings,
    deployer: Deployer,
    /// Who is connected, as they said it: for a machine that has to begin anew.
    connected: BTreeMap<PopName, Report>,
}

impl Driver {
    async fn begin(surroundings: Surroundings) -> Result<Self, CatalogError> {
        let intent = surroundings.catalog.intent().await?;
        let (deployer, outputs) = Deployer::begin(intent, surroundings.epoch, surroundings.clock.now_ms());
        let mut driver = Self {
            surroundings,
            deployer,
            connected: BTreeMap::new(),
        };
        driver.carry_out(outputs).await?;
        Ok(driver)
    }

    async fn step(&mut self, input: Input) -> Result<(), CatalogError> {
        match &input {
            Input::Report(report @ Report::Connected { pop, .. }) => {
                self.connected.insert(pop.clone(), report.clone());
            }
            Input::Report(Report::Gone { pop }) => {
                self.connected.remove(pop);
            }
            _ => {}
        }
        let outputs = self.deployer.step(self.surroundings.clock.now_ms(), input);
        self.carry_out(outputs).await
    }

    /// Takes in what the catalog asks for by now.
    async fn catch_up(&mut self) -> Result<(), CatalogError> {
        match self.surroundings.catalog.intent_since(self.deployer.revision()).await {
            Ok(None) => Ok(()),
            Ok(Some(intent)) => self.step(Input::Intent(intent)).await,
            Err(CatalogError::NotFound { .. }) => self.begin_anew().await,
            Err(error @ CatalogError::Deposed { .. }) => Err(error),
            // The next look is soon.
            Err(error) => {
                tracing::warn!(%error, "the catalog does not say what is asked for");
                Ok(())
            }
        }
    }

    /// The catalog has gone so far ahead that there is no way from here: everything is read again.
    async fn begin_anew(&mut self) -> Result<(), CatalogError> {
        let connected = std::mem::take(&mut self.connected);
        *self = Self::begin(self.surroundings.clone()).await?;
        for report in connected.into_values() {
            self.step(Input::Report(report)).await?;
        }
        Ok(())
    }

    async fn carry_out(&mut self, mut outputs: Outputs) -> Result<(), CatalogError> {
        loop {
            if outputs.is_empty() {
                return Ok(());
            }
            if let Some(write) = &outputs.write {
                self.store(write).await?;
            }
            let Surroundings {
                lanes, board, clock, ..
            } = &self.surroundings;
            for (pop, lane) in &outputs.lanes {
                lanes.set_lane(pop, *lane);
            }
            for publication in &outputs.publish {
                lanes.publish(publication.clone());
            }
            for Alarm { code, message } in &outputs.alarms {
                tracing::error!(code, "{message}");
            }
            board.note(&self.deployer, &outputs, clock.now_ms());
            let Some(withdraw) = outputs.withdraw.pop() else {
                return Ok(());
            };
            let rest = std::mem::take(&mut outputs.withdraw);
            outputs = match self.withdraw(withdraw).await? {
                Some(input) => self.deployer.step(self.surroundings.clock.now_ms(), input),
                None => Outputs::default(),
            };
            outputs.withdraw.extend(rest);
        }
    }

    /// Stores until it is stored.
    async fn store(&self, write: &StageWrite) -> Result<(), CatalogError> {
        let mut wait = AGAIN.0;
        loop {
            match self.surroundings.catalog.stage(write.clone()).await {
                Ok(()) => return Ok(()),
                Err(error @ CatalogError::Deposed { .. }) => return Err(error),
                Err(error) => tracing::error!(%error, "what the deployer decided cannot be stored; it tries again"),
            }
            tokio::select! {
                () = self.surroundings.stop.cancelled() => {}
                () = sleep(wait) => {}
            }
            if self.surroundings.stop.is_cancelled() {
                return Err(CatalogError::Conflict(
                    "the deployer was stopped before its decision was stored".to_owned(),
                ));
            }
            wait = (wait * 2).min(AGAIN.1);
        }
    }

    async fn withdraw(&self, withdraw: Withdraw) -> Result<Option<Input>, CatalogError> {
        let Withdraw {
            account,
            worker,
            deployment,
            back_to,
            rollout,
        } = withdraw;
        let key = EdgeKey::Worker(account.clone(), worker.clone());
        let withdrawal = Withdrawal {
            account,
            worker,
            judged: deployment.clone(),
            back_to,
            rollout,
            id: DeploymentId::new(new_uuid()?),
        };
        let done = self
            .surroundings
            .catalog
            .withdraw(&Caller::new("system:deployer"), withdrawal)
            .await;
        let impossible = match done {
            Ok(_) | Err(CatalogError::Conflict(_)) => None,
            Err(error @ CatalogError::Deposed { .. }) => return Err(error),
            Err(error @ (CatalogError::Sql(_) | CatalogError::Damaged(_))) => {
                // The machine asks again.
                tracing::warn!(%error, "a deployment cannot be taken back at the moment");
                return Ok(None);
            }
            Err(error) => Some(error.to_string()),
        };
        Ok(Some(Input::Withdrawn {
            key,
            deployment,
            impossible,
        }))
    }
}

/// The channel by which sessions report.
pub fn reports() -> (mpsc::Sender<Report>, mpsc::Receiver<Report>) {
    mpsc::channel(REPORTS_MAX)
}
