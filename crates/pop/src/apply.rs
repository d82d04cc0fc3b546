//! Taking over a configuration: wholly, without the workers that do not start, or not at all.
//!
//! In this order: it is decoded and checked (refused whole, the last good one serves on); the versions that are new in it are started
//! once; what does not start leaves its worker's entry as it was; requests are answered by the result; it is durable; it is acknowledged.
//!
//! What was published and what is served differ by the entries that were kept ([`Head::kept`]). Deltas lead from what was
//! published, so both planes go on naming the same hashes. A kept entry lasts until the configuration changes that key again, or
//! until what should be in its place starts after all: it is tried again when a session begins (whoever leads now may never have
//! heard of it), and every [`AGAIN_EVERY`] while the reason is that something was not reached.

use crate::last_good::{Head, Stored};
use crate::runtime::{StartError, StartFault, StartedFacts, Surroundings, WorkerToStart};
use crate::{Agent, AgentError};
use atoll_api::pop::config::Form;
use atoll_api::pop::{Applied, Config, Refused, Started};
pub use atoll_model::edge::EMPTIED_FROM;
use atoll_model::edge::{Change, EdgeWorker, Emptied, Standing};
use atoll_model::{ConfigDelta, EdgeConfig, EdgeEntry, EdgeKey, Revision, Share, TenantId, WorkerName};
use futures_util::StreamExt;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long one version may take to be fetched and started.
pub const PREPARE_MAX: Duration = Duration::from_secs(60);
/// How long a version's parts are asked for again and again while whoever has them is not reached: another control plane takes over
/// in less.
pub const FETCH_MAX: Duration = Duration::from_secs(20);
/// The first and the longest pause between two attempts.
const FETCH_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How often what was not reached is tried again.
pub const AGAIN_EVERY: Duration = Duration::from_secs(15);
/// How many versions are started at a time.
pub const PREPARE_AT_ONCE: usize = 4;
/// How many of those that are only started ahead, because they had traffic.
pub const WARM_AT_ONCE: usize = 2;
/// If more workers than this changed at once (a PoP that was away), only those with traffic are started ahead.
pub const PREPARE_ALL_MAX: usize = 64;

/// Why a configuration is refused whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It cannot be read, or its entries are not well formed, or it does not follow.
    #[error("{0}")]
    Malformed(String),
    /// Its leader leads no more.
    #[error("it is of epoch {of}, but a leader of epoch {seen} was seen")]
    Deposed {
        /// Its epoch.
        of: u64,
        /// The greatest that was seen.
        seen: u64,
    },
    /// It is older than what is here.
    #[error("publication {of} is older than {have}, which is here")]
    Older {
        /// Its number.
        of: Revision,
        /// What is here.
        have: Revision,
    },
    /// It removes most of what is served.
    #[error("it would leave {left} of {before} {what} and does not say that this is meant")]
    Emptied {
        /// Of what.
        what: &'static str,
        /// How many there are.
        before: usize,
        /// How many there would be.
        left: usize,
    },
}

/// May this follow that?
pub(crate) fn judge(have: &EdgeConfig, next: &EdgeConfig, changes: &[Change], may_empty: bool) -> Result<(), Rejected> {
    let shrinks = |change: &Change| {
        let before = have.get(&change.key).map(|entry| &**entry);
        Standing::may_shrink(before, change.entry.as_ref())
    };
    if may_empty || !changes.iter().any(shrinks) {
        return Ok(());
    }
    let (before, left) = (Standing::of(have).counts(), Standing::of(next).counts());
    match before.emptied(left, EMPTIED_FROM) {
        Some(Emptied { what, before, left }) => Err(Rejected::Emptied { what, before, left }),
        None => Ok(()),
    }
}

/// A configuration that was read and found good.
struct Read {
    config: EdgeConfig,
    /// How it came.
    delta: Option<ConfigDelta>,
    /// What it changes of what was published before.
    changes: Vec<Change>,
}

fn read(message: Config, have: &Stored) -> Result<Read, Rejected> {
    let malformed = |error: &dyn std::fmt::Display| Rejected::Malformed(error.to_string());
    if message.epoch < have.head.epoch {
        return Err(Rejected::Deposed {
            of: message.epoch,
            seen: have.head.epoch,
        });
    }
    let (config, delta, changes) = match message.form {
        None => {
            return Err(malformed(
                &"it is in no form that this release knows; upgrade this node",
            ));
        }
        Some(Form::Whole(bytes)) => {
            let config = EdgeConfig::decode(&bytes).map_err(|error| malformed(&error))?;
            let changes = have.config.delta_to(&config).changes;
            (config, None, changes)
        }
        Some(Form::Delta(bytes)) => {
            let delta = ConfigDelta::decode(&bytes).map_err(|error| malformed(&error))?;
            let config = have.config.apply(&delta).map_err(|error| malformed(&error))?;
            let changes = delta.changes.clone();
            (config, Some(delta), changes)
        }
    };
    if config.revision() != Revision(message.publication) {
        return Err(malformed(&"its number is not the one that it was sent under"));
    }
    let same = config.revision() == have.config.revision() && config.root() == have.config.root();
    if config.revision() <= have.config.revision() && message.epoch == have.head.epoch && !same {
        return Err(Rejected::Older {
            of: config.revision(),
            have: have.config.revision(),
        });
    }
    judge(&have.config, &config, &changes, message.may_empty)?;
    Ok(Read { config, delta, changes })
}

fn worker_of(entry: Option<&EdgeEntry>) -> Option<&EdgeWorker> {
    match entry {
        Some(EdgeEntry::Worker(worker)) => Some(worker),
        _ => None,
    }
}

/// All versions that an entry names.
fn named(worker: &EdgeWorker) -> impl Iterator<Item = &Share> {
    let aliases = worker.aliases.iter().flat_map(|alias| &alias.shares);
    worker.shares.iter().chain(aliases).chain(&worker.recent)
}

/// A configuration is being taken over for as long as this lives.
struct Applying<'a>(&'a Agent);

impl<'a> Applying<'a> {
    fn begin(agent: &'a Agent) -> Self {
        agent.applying.send_replace(true);
        Self(agent)
    }
}

impl Drop for Applying<'_> {
    fn drop(&mut self) {
        self.0.applying.send_replace(false);
    }
}

/// A version that has to be started before its worker's entry is taken over.
struct Task {
    key: EdgeKey,
    account: TenantId,
    worker: WorkerName,
    entry: EdgeWorker,
    share: Share,
}

impl Agent {
    /// Takes over a configuration that a session brought. Called for one at a time.
    pub(crate) async fn apply(self: &Arc<Self>, message: Config) -> Applied {
        let begun = Instant::now();
        let (have, serving) = self.configs();
        let (epoch, canary, publication) = (message.epoch, message.canary, message.publication);
        let base = have.clone();
        // A whole configuration of a large platform takes a while to decode.
        let read = tokio::task::spawn_blocking(move || read(message, &base)).await;
        let read = read.unwrap_or_else(|error| Err(Rejected::Malformed(error.to_string())));
        let Read { config, delta, changes } = match read {
            Ok(read) => read,
            Err(rejected) => {
                self.counters.rejected.fetch_add(1, Ordering::Relaxed);
                self.alarm(format!("publication {publication} was refused: {rejected}"));
                return Applied {
                    publication: have.config.revision().0,
                    root: root(&have.config),
                    rejected: rejected.to_string(),
                    took_ms: begun.elapsed().as_millis() as u64,
                    ..Applied::default()
                };
            }
        };
        let (refused, kept, started) = {
            let _applying = Applying::begin(self);
            self.prepare(&have.head, &serving, &changes).await
        };
        // A session may have begun meanwhile.
        let (now, _) = self.configs();
        let stored = Stored {
            head: Head {
                epoch: epoch.max(now.head.epoch),
                canary,
                domains: now.head.domains,
                kept,
            },
            config: Arc::new(config),
        };
        let served = self.served(&stored);
        self.take(stored.clone(), served.clone(), delta).await;
        self.forget_secrets(&serving, &served, &changes);
        self.counters.applied.fetch_add(1, Ordering::Relaxed);
        Applied {
            publication: stored.config.revision().0,
            root: root(&stored.config),
            refused,
            started,
            rejected: String::new(),
            took_ms: begun.elapsed().as_millis() as u64,
        }
    }

    /// Are there entries that stay as they were?
    pub(crate) fn has_kept(&self) -> bool {
        !self.configs().0.head.kept.is_empty()
    }

    /// Returns when it is time to try again what was not reached; never, if everything was.
    pub(crate) async fn again_due(&self) {
        if !self.unreached.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        tokio::time::sleep(AGAIN_EVERY).await;
    }

    /// Tries again what should be in the place of the entries that stay as they were. `None`: there are none.
    pub(crate) async fn apply_again(self: &Arc<Self>) -> Option<Applied> {
        let begun = Instant::now();
        let (have, serving) = self.configs();
        if have.head.kept.is_empty() {
            return None;
        }
        let wanted = have.head.kept.iter().map(|kept| Change {
            key: kept.key.clone(),
            entry: have.config.get(&kept.key).map(|entry| (**entry).clone()),
        });
        let changes: Vec<Change> = wanted.collect();
        let (refused, kept, started) = self.prepare(&have.head, &serving, &changes).await;
        if kept.len() < have.head.kept.len() {
            let (now, _) = self.configs();
            let stored = Stored {
                head: Head { kept, ..now.head },
                config: have.config.clone(),
            };
            let served = self.served(&stored);
            self.set_configs(stored.clone(), served.clone());
            if let Some(runtime) = self.runtime() {
                runtime.activate(served.clone(), self.surroundings()).await;
            }
            self.persist(move |last_good| last_good.keep_head(&stored)).await;
            self.forget_secrets(&serving, &served, &changes);
        }
        Some(Applied {
            publication: have.config.revision().0,
            root: root(&have.config),
            refused,
            started,
            rejected: String::new(),
            took_ms: begun.elapsed().as_millis() as u64,
        })
    }

    /// What is served of a stored configuration.
    pub(crate) fn served(&self, stored: &Stored) -> Arc<EdgeConfig> {
        if stored.head.kept.is_empty() {
            return stored.config.clone();
        }
        match stored.config.with(&stored.head.kept) {
            Ok(config) => Arc::new(config),
            Err(error) => {
                // They were well formed when they were served before.
                self.alarm(format!("entries that were kept cannot be kept any more: {error}"));
                stored.config.clone()
            }
        }
    }

    /// Starts what is new in a configuration. Gives what was refused, all entries that stay as they were, and what started.
    async fn prepare(
        self: &Arc<Self>,
        head: &Head,
        serving: &EdgeConfig,
        changes: &[Change],
    ) -> (Vec<Refused>, Vec<Change>, Vec<Started>) {
        let changed: HashSet<&EdgeKey> = changes.iter().map(|change| &change.key).collect();
        let still = head.kept.iter().filter(|change| !changed.contains(&change.key));
        let mut kept: Vec<Change> = still.cloned().collect();
        let all = changes.len() <= PREPARE_ALL_MAX && serving.revision() != Revision(0);
        let mut tasks = Vec::new();
        for change in changes {
            let (EdgeKey::Worker(account, worker), Some(EdgeEntry::Worker(entry))) = (&change.key, &change.entry)
            else {
                continue;
            };
            if !all && !self.hot.has(account, worker) {
                continue;
            }
            let before = worker_of(serving.get(&change.key).map(|entry| &**entry));
            let known: HashSet<_> = before
                .into_iter()
                .flat_map(|before| &before.shares)
                .map(|share| &share.version)
                .collect();
            for share in entry.shares.iter().filter(|share| !known.contains(&share.version)) {
                tasks.push(Task {
                    key: change.key.clone(),
                    account: account.clone(),
                    worker: worker.clone(),
                    entry: entry.clone(),
                    share: share.clone(),
                });
            }
        }
        let results = futures_util::stream::iter(tasks).map(|task| async move {
            let result = self
                .start_version(&task.account, &task.worker, &task.entry, &task.share)
                .await;
            (task, result)
        });
        let results: Vec<_> = results.buffer_unordered(PREPARE_AT_ONCE).collect().await;
        let (mut refused, mut started) = (Vec::new(), Vec::new());
        let unreached =
            |result: &Result<_, StartError>| matches!(result, Err(error) if error.fault == StartFault::Unavailable);
        let any_unreached = results.iter().any(|(_, result)| unreached(result));
        self.unreached.store(any_unreached, Ordering::Relaxed);
        for (task, result) in results {
            match result {
                Ok(facts) => started.push(Started {
                    account: task.account.to_string(),
                    worker: task.worker.to_string(),
                    version: task.share.version.to_string(),
                    startup_us: facts.startup.as_micros() as u64,
                }),
                Err(error) => {
                    tracing::warn!(worker = %task.worker, version = %task.share.version, %error, "a version does not start; its worker stays as it was");
                    refused.push(Refused {
                        account: task.account.to_string(),
                        worker: task.worker.to_string(),
                        deployment: task.entry.deployment.to_string(),
                        version: task.share.version.to_string(),
                        kind: error.fault.as_str().to_owned(),
                        reason: error.reason,
                    });
                    if kept.iter().all(|change| change.key != task.key) {
                        kept.push(Change {
                            entry: serving.get(&task.key).map(|entry| (**entry).clone()),
                            key: task.key,
                        });
                    }
                }
            }
        }
        self.counters.refused.fetch_add(refused.len() as u64, Ordering::Relaxed);
        (refused, kept, started)
    }

    /// Fetches a version and starts it once.
    pub(crate) async fn start_version(
        &self,
        account: &TenantId,
        worker: &WorkerName,
        entry: &EdgeWorker,
        share: &Share,
    ) -> Result<StartedFacts, StartError> {
        let Some(runtime) = self.runtime() else {
            return Err(StartError::new(StartFault::Other, "the PoP is not ready"));
        };
        let start = async {
            let (begun, mut pause) = (Instant::now(), FETCH_PAUSE.0);
            let loaded = loop {
                match self.version(account, worker, share).await {
                    Err(error) if error.fault == StartFault::Unavailable && begun.elapsed() < FETCH_MAX => {
                        tracing::info!(%worker, version = %share.version, %error, "it is asked for again");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(FETCH_PAUSE.1);
                    }
                    loaded => break loaded?,
                }
            };
            let start = WorkerToStart {
                account: account.clone(),
                worker: worker.clone(),
                deployment: entry.deployment.clone(),
                loaded,
            };
            runtime.prepare(start).await
        };
        tokio::time::timeout(PREPARE_MAX, start).await.unwrap_or_else(|_| {
            let seconds = PREPARE_MAX.as_secs();
            Err(StartError::new(
                StartFault::Startup,
                format!("it did not start within {seconds} seconds"),
            ))
        })
    }

    /// Serves a configuration and makes it durable.
    async fn take(self: &Arc<Self>, stored: Stored, served: Arc<EdgeConfig>, delta: Option<ConfigDelta>) {
        self.set_configs(stored.clone(), served.clone());
        if let Some(runtime) = self.runtime() {
            runtime.activate(served, self.surroundings()).await;
        }
        self.persist(move |last_good| last_good.keep(&stored, delta.as_ref()))
            .await;
    }

    /// Takes what a session's beginning told: epoch and domains.
    pub(crate) async fn take_head(self: &Arc<Self>, epoch: u64, domains: Vec<String>) -> Result<(), Rejected> {
        let (mut stored, served) = self.configs();
        if epoch < stored.head.epoch {
            let seen = stored.head.epoch;
            return Err(Rejected::Deposed { of: epoch, seen });
        }
        let domains = if domains.is_empty() && !stored.head.domains.is_empty() {
            self.alarm(
                "the control plane names no domain below which workers are reached; those from before stay".to_owned(),
            );
            stored.head.domains.clone()
        } else {
            domains
        };
        if epoch == stored.head.epoch && domains == stored.head.domains {
            return Ok(());
        }
        stored.head.epoch = epoch;
        stored.head.domains = domains;
        self.set_configs(stored.clone(), served.clone());
        if let Some(runtime) = self.runtime() {
            runtime.activate(served, self.surroundings()).await;
        }
        self.persist(move |last_good| last_good.keep_head(&stored)).await;
        Ok(())
    }

    pub(crate) fn surroundings(&self) -> Surroundings {
        let (stored, _) = self.configs();
        Surroundings {
            name: self.name().to_owned(),
            domains: stored.head.domains,
            canary: stored.head.canary,
        }
    }

    async fn persist(
        self: &Arc<Self>,
        work: impl FnOnce(&mut crate::last_good::LastGood) -> Result<(), AgentError> + Send + 'static,
    ) {
        let agent = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut last_good = agent
                .last_good
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            work(&mut last_good)
        });
        let written = written
            .await
            .unwrap_or_else(|error| Err(AgentError::Identity(error.to_string())));
        if let Err(error) = written {
            self.counters.persist_failed.fetch_add(1, Ordering::Relaxed);
            self.alarm(format!(
                "the configuration is served but could not be kept on disk: {error}"
            ));
        }
    }

    /// Removes secrets of versions that no entry names any more.
    fn forget_secrets(&self, before: &EdgeConfig, after: &EdgeConfig, changes: &[Change]) {
        for change in changes {
            let EdgeKey::Worker(account, worker) = &change.key else {
                continue;
            };
            let Some(old) = worker_of(before.get(&change.key).map(|entry| &**entry)) else {
                continue;
            };
            let new = worker_of(after.get(&change.key).map(|entry| &**entry));
            let needed: HashSet<_> = new.into_iter().flat_map(named).map(|share| &share.version).collect();
            for gone in named(old).filter(|share| !share.secrets.is_empty() && !needed.contains(&share.version)) {
                self.secrets.forget(account, worker, &gone.version);
            }
        }
    }

    /// Removes secrets of versions that this configuration does not name: at the start.
    pub(crate) fn keep_secrets_of(&self, config: &EdgeConfig) {
        let versions = config.entries().filter_map(|(key, entry)| match (key, &**entry) {
            (EdgeKey::Worker(account, worker), EdgeEntry::Worker(entry)) => Some((account, worker, entry)),
            _ => None,
        });
        let versions =
            versions.flat_map(|(account, worker, entry)| named(entry).map(move |share| (account, worker, share)));
        let sealed = versions.filter(|(_, _, share)| !share.secrets.is_empty());
        self.secrets
            .keep_only(sealed.map(|(account, worker, share)| (account, worker, &share.version)));
    }

    /// Starts the workers that had traffic, as far as they are in the configuration. For the start, and for [`Hot`] lists. It waits
    /// while a configuration is being taken over: a PoP that has just joined may have much to fetch, and so may many of them.
    ///
    /// [`Hot`]: atoll_api::pop::Hot
    pub(crate) async fn warm(self: &Arc<Self>, list: Vec<(TenantId, WorkerName)>) {
        let (_, served) = self.configs();
        let entries = list.into_iter().filter_map(|(account, worker)| {
            let key = EdgeKey::Worker(account.clone(), worker.clone());
            let entry = worker_of(served.get(&key).map(|entry| &**entry)).cloned()?;
            Some((account, worker, entry))
        });
        let entries: Vec<_> = entries.collect();
        let starts = futures_util::stream::iter(entries).map(|(account, worker, entry)| async move {
            for share in &entry.shares {
                // Its sender is the agent's own.
                let _ = self.applying.subscribe().wait_for(|applying| !applying).await;
                // It starts with its first request, or fails then, as everybody may see.
                if let Err(error) = self.start_version(&account, &worker, &entry, share).await {
                    tracing::info!(%worker, version = %share.version, %error, "a worker with traffic could not be started ahead");
                }
            }
        });
        starts.buffer_unordered(WARM_AT_ONCE).collect::<()>().await;
    }
}

fn root(config: &EdgeConfig) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&config.root().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_model::edge::{DELTA_BYTES_MAX, EdgeAccount};
    use atoll_model::{BlobHash, DeploymentId, VersionId};
    use bytes::Bytes;

    fn entry(at: usize) -> (EdgeKey, EdgeEntry) {
        let share = Share {
            version: VersionId::new("1"),
            artifact: BlobHash::of(b"1"),
            weight: 10_000,
            secrets: Vec::new(),
            created_ms: 1,
            tag: None,
        };
        let worker = EdgeWorker {
            deployment: DeploymentId::new("d"),
            shares: vec![share],
            aliases: Vec::new(),
            recent: Vec::new(),
            crons: Vec::new(),
            subdomain: true,
            previews: false,
        };
        let key = EdgeKey::Worker(TenantId::new("acme"), WorkerName::new(format!("w{at}")));
        (key, EdgeEntry::Worker(worker))
    }

    fn config(revision: u64, workers: usize) -> EdgeConfig {
        EdgeConfig::from_entries(Revision(revision), (0..workers).map(entry)).unwrap()
    }

    fn have() -> Stored {
        let head = Head {
            epoch: 3,
            ..Head::default()
        };
        let config = Arc::new(config(5, 12));
        Stored { head, config }
    }

    fn message(publication: u64, form: Form) -> Config {
        Config {
            epoch: 3,
            publication,
            form: Some(form),
            canary: false,
            may_empty: false,
        }
    }

    fn refused(message: Config, expected: &str) {
        let error = read(message, &have()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    /// A whole configuration with this payload, whose hash is right.
    fn whole(payload: &[u8]) -> Form {
        let mut bytes = b"ATECF\x01".to_vec();
        bytes.extend_from_slice(&BlobHash::of(payload).0);
        bytes.extend_from_slice(payload);
        Form::Whole(bytes.into())
    }

    #[test]
    fn what_is_poisoned_is_refused_whole() {
        let good = config(6, 12).encode();
        assert!(read(message(6, Form::Whole(good.clone().into())), &have()).is_ok());
        // Damaged, cut, doubled, filled with nothing.
        for at in (0..good.len()).step_by(5) {
            let mut damaged = good.clone();
            damaged[at] ^= 1;
            assert!(
                read(message(6, Form::Whole(damaged.into())), &have()).is_err(),
                "byte {at}"
            );
            let cut = Bytes::copy_from_slice(&good[..at]);
            assert!(read(message(6, Form::Whole(cut)), &have()).is_err(), "cut at {at}");
        }
        let payload = &good[38..];
        refused(message(6, whole(&[payload, payload].concat())), "left over");
        refused(message(6, whole(&vec![0; payload.len()])), "does not decode");
        let mut nulled = payload.to_vec();
        let at = nulled.windows(2).position(|window| window == b"w7").unwrap();
        nulled[at..at + 2].fill(0);
        assert!(read(message(6, whole(&nulled)), &have()).is_err());
        refused(
            message(6, Form::Delta(vec![0; DELTA_BYTES_MAX + 1].into())),
            "breaks the limit",
        );
        refused(
            message(7, Form::Whole(good.clone().into())),
            "not the one that it was sent under",
        );
        let formless = Config {
            form: None,
            ..message(6, Form::Whole(Bytes::new()))
        };
        refused(formless, "upgrade this node");
        let mut newer = good.clone();
        newer[5] = 9;
        refused(message(6, Form::Whole(newer.into())), "upgrade this node");
    }

    #[test]
    fn what_does_not_follow_is_refused() {
        let older = Config {
            epoch: 2,
            ..message(6, Form::Whole(config(6, 12).encode().into()))
        };
        refused(older, "leader of epoch 3 was seen");
        refused(message(4, Form::Whole(config(4, 12).encode().into())), "older than 5");
        // The same number with other entries is not the same; with the same ones it is.
        refused(message(5, Form::Whole(config(5, 13).encode().into())), "older than 5");
        assert!(read(message(5, Form::Whole(config(5, 12).encode().into())), &have()).is_ok());
        // A new leader may count from below: its catalog was restored.
        let restored = Config {
            epoch: 4,
            ..message(2, Form::Whole(config(2, 12).encode().into()))
        };
        assert!(read(restored, &have()).is_ok());
        let elsewhere = config(4, 12).delta_to(&config(6, 13));
        refused(message(6, Form::Delta(elsewhere.encode().into())), "revision 5 is here");
        let diverged = config(5, 11).delta_to(&config(6, 13));
        refused(
            message(6, Form::Delta(diverged.encode().into())),
            "not the same on both sides",
        );
    }

    #[test]
    fn what_empties_has_to_say_so() {
        let of = |workers: usize| message(6, Form::Whole(config(6, workers).encode().into()));
        for (left, taken) in [(12, true), (6, true), (5, false), (0, false)] {
            assert_eq!(read(of(left), &have()).is_ok(), taken, "{left} left");
            let meant = Config {
                may_empty: true,
                ..of(left)
            };
            assert!(read(meant, &have()).is_ok());
        }
        // What is left is there, but is reached no more.
        let unnamed = |at: usize| match entry(at) {
            (key, EdgeEntry::Worker(worker)) => {
                let worker = EdgeWorker {
                    subdomain: at.is_multiple_of(4),
                    ..worker
                };
                (key, EdgeEntry::Worker(worker))
            }
            other => other,
        };
        let label = |label: Option<&str>| {
            let account = EdgeAccount {
                subdomain: label.map(str::to_owned),
                ..EdgeAccount::default()
            };
            (EdgeKey::Account(TenantId::new("acme")), EdgeEntry::Account(account))
        };
        let with = |revision, workers: Vec<(EdgeKey, EdgeEntry)>, account| {
            EdgeConfig::from_entries(Revision(revision), workers.into_iter().chain([account])).unwrap()
        };
        let named = Stored {
            config: Arc::new(with(5, (0..12).map(entry).collect(), label(Some("acme")))),
            ..have()
        };
        let blank = with(6, (0..12).map(unnamed).collect(), label(Some("acme")));
        let nameless = with(6, (0..12).map(entry).collect(), label(None));
        for (poisoned, left) in [(blank, "3 of 12"), (nameless, "0 of 12")] {
            let message = message(6, Form::Whole(poisoned.encode().into()));
            let error = read(message, &named).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(left) && error.contains("with a name"), "{error}");
        }
        // Of a few, all may go; and other entries are not workers.
        let few = Stored {
            config: Arc::new(config(5, 9)),
            ..have()
        };
        assert!(read(of(0), &few).is_ok());
        let account = (
            EdgeKey::Account(TenantId::new("x")),
            EdgeEntry::Account(EdgeAccount::default()),
        );
        let filled = EdgeConfig::from_entries(Revision(6), [account]).unwrap();
        assert!(read(message(6, Form::Whole(filled.encode().into())), &have()).is_err());
    }
}
