//! Simulated PoPs: what they hold and run, how they answer, and what their requests look like.

use atoll_control::deployer::{
    Applied, LATE_MS, LATENCY_BOUNDS_MS, LATENCY_BUCKETS, Publication, RefusedWorker, StartedVersion, Tally,
    VersionHealth,
};
use atoll_model::edge::EdgeWorker;
use atoll_model::{EdgeConfig, EdgeEntry, EdgeKey, PopName, VersionId};
use atoll_stdx::SplitMix64;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a version does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Good,
    /// Does not start: refused at the probe.
    Startup,
    /// Its artifact is damaged, or its signature wrong.
    Artifact,
    /// A binding cannot be made.
    Binding,
    /// Throws at each request.
    Throws,
    /// Throws at a quarter of them.
    Sometimes,
    /// Answers 500.
    Errors,
    /// Takes forty times as long.
    Slow,
    /// Computes until the limit.
    Loops,
    /// Kills its isolate.
    Memory,
    /// Takes the whole PoP down while it is taken over.
    Poison,
    /// Takes the whole PoP down two seconds later.
    Late,
    /// Works for half a minute and throws then: shows when it is everywhere.
    Delayed,
    /// Never answers, and never ends.
    Hangs,
}

pub const BAD: [Kind; 13] = [
    Kind::Startup,
    Kind::Artifact,
    Kind::Binding,
    Kind::Throws,
    Kind::Sometimes,
    Kind::Errors,
    Kind::Slow,
    Kind::Loops,
    Kind::Memory,
    Kind::Poison,
    Kind::Late,
    Kind::Delayed,
    Kind::Hangs,
];

impl Kind {
    pub fn is_bad(self) -> bool {
        self != Self::Good
    }

    /// Shows without requests.
    pub fn shows_at_once(self) -> bool {
        matches!(
            self,
            Self::Startup | Self::Artifact | Self::Binding | Self::Poison | Self::Late
        )
    }

    fn refused_as(self) -> Option<&'static str> {
        match self {
            Self::Startup => Some("startup"),
            Self::Artifact => Some("artifact"),
            Self::Binding => Some("binding"),
            _ => None,
        }
    }
}

/// A worker's requests, on one PoP.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    /// A second.
    pub rate: u64,
    /// Failures of a good version, of 10,000.
    pub errors: u64,
    /// The bucket in which most latencies are.
    pub bucket: usize,
    /// Requests that a good version answers after a minute, of 10,000: long polls.
    pub polls: u64,
    /// A client goes away after so long, milliseconds.
    pub patience: u64,
}

/// How long a long poll takes, milliseconds.
const POLL_MS: u64 = 60_000;

/// Requests of a version that have begun.
#[derive(Debug, Default)]
pub struct Open {
    /// By when they began, and whether they ever end: how many.
    waits: BTreeMap<(u64, bool), u64>,
}

impl Open {
    /// What happened to them within the last second.
    fn pass(&mut self, now: u64, patience: u64, tally: &mut Tally) {
        self.waits.retain(|(began, is_poll), count| {
            let is_late = now - began >= LATE_MS;
            let was_late = now - began >= LATE_MS + 1_000;
            let took = if *is_poll { POLL_MS.min(patience) } else { patience };
            if now - began >= took {
                tally.requests += *count;
                tally.settled += *count;
                tally.late_settled += if was_late { *count } else { 0 };
                tally.abandoned += if took == patience { *count } else { 0 };
                let at = LATENCY_BOUNDS_MS.partition_point(|bound| *bound < took);
                tally.latency[at] += *count;
                return false;
            }
            tally.late += if is_late && !was_late { *count } else { 0 };
            tally.late_seconds += if is_late { *count } else { 0 };
            true
        });
    }
}

#[derive(Debug)]
pub struct Pop {
    pub name: PopName,
    pub incarnation: u64,
    /// It runs.
    pub alive: bool,
    /// Number of the session; 0: none.
    pub session: u64,
    pub held: Option<Arc<EdgeConfig>>,
    pub epoch: u64,
    /// What it serves with.
    pub running: BTreeMap<EdgeKey, EdgeWorker>,
    /// When a worker's version began here.
    pub began: BTreeMap<VersionId, u64>,
    /// Requests without an end.
    pub open: BTreeMap<VersionId, Open>,
    /// A configuration is being taken over.
    pub busy: bool,
    pub next: Option<Publication>,
    /// Taking over takes this long at least, milliseconds.
    pub slowness: u64,
    /// Places differ in latency.
    pub away: usize,
}

/// What came of a configuration.
pub enum Taken {
    Applied(Applied),
    /// The process is gone.
    Crashed,
}

impl Pop {
    /// Takes a configuration over: starts what is new, keeps what does not start as it was.
    pub fn take(&mut self, config: &Arc<EdgeConfig>, now: u64, kind: impl Fn(&VersionId) -> Kind) -> Taken {
        // At the very beginning nothing is started ahead.
        let probes = self.held.is_some();
        let mut applied = Applied {
            publication: config.revision(),
            ..Applied::default()
        };
        let mut running = BTreeMap::new();
        for (key, entry) in config.entries() {
            let (EdgeKey::Worker(account, name), EdgeEntry::Worker(worker)) = (key, &**entry) else {
                continue;
            };
            let before = self.running.get(key);
            let is_new = |version: &VersionId| {
                before.is_none_or(|before| before.shares.iter().all(|share| share.version != *version))
            };
            let new: Vec<&VersionId> = worker
                .shares
                .iter()
                .map(|share| &share.version)
                .filter(|version| is_new(version))
                .collect();
            if new.iter().any(|version| kind(version) == Kind::Poison) {
                return Taken::Crashed;
            }
            let refused = new
                .iter()
                .find_map(|version| Some((*version, kind(version).refused_as()?)));
            if probes && let Some((version, why)) = refused {
                applied.refused.push(RefusedWorker {
                    account: account.clone(),
                    worker: name.clone(),
                    deployment: worker.deployment.clone(),
                    version: version.clone(),
                    kind: why.to_owned(),
                    reason: "it does not start".to_owned(),
                });
                if let Some(before) = before {
                    running.insert(key.clone(), before.clone());
                }
                continue;
            }
            for version in new {
                self.began.insert(version.clone(), now);
                applied.started.push(StartedVersion {
                    account: account.clone(),
                    worker: name.clone(),
                    version: version.clone(),
                    startup_us: 1_000,
                });
            }
            running.insert(key.clone(), worker.clone());
        }
        self.running = running;
        self.held = Some(config.clone());
        Taken::Applied(applied)
    }

    /// What happened within the last second.
    pub fn health(
        &mut self,
        now: u64,
        rng: &mut SplitMix64,
        traffic: &BTreeMap<EdgeKey, Traffic>,
        burst: bool,
        kind: impl Fn(&VersionId) -> Kind,
    ) -> Vec<VersionHealth> {
        let mut all = Vec::new();
        let mut open = std::mem::take(&mut self.open);
        // What no worker serves any more is cut off.
        let serves = |version: &VersionId| {
            let mut shares = self.running.values().flat_map(|worker| &worker.shares);
            shares.any(|share| share.version == *version)
        };
        open.retain(|version, _| serves(version));
        for (key, worker) in &self.running {
            let EdgeKey::Worker(account, name) = key else { continue };
            let Some(traffic) = traffic.get(key).filter(|traffic| traffic.rate > 0) else {
                continue;
            };
            // Half to one and a half times the rate.
            let requests = traffic.rate / 2 + rng.below(traffic.rate + 1);
            let mut tallies: BTreeMap<&VersionId, Tally> = BTreeMap::new();
            for share in &worker.shares {
                if let Some(open) = open.get_mut(&share.version) {
                    let tally = tallies.entry(&share.version).or_default();
                    open.pass(now, traffic.patience, tally);
                }
            }
            for _ in 0..requests {
                let point = u16::try_from(rng.below(10_000)).unwrap_or(0);
                let Some(share) = atoll_model::edge::pick(&worker.shares, point) else {
                    continue;
                };
                let tally = tallies.entry(&share.version).or_default();
                let age = now.saturating_sub(self.began.get(&share.version).copied().unwrap_or(0));
                let kind = kind(&share.version);
                tally.begun += 1;
                let poll = rng.below(10_000) < traffic.polls;
                if kind == Kind::Hangs || poll {
                    let of = open.entry(share.version.clone()).or_default();
                    *of.waits.entry((now, kind != Kind::Hangs)).or_default() += 1;
                    continue;
                }
                tally.settled += 1;
                self.request(tally, kind, traffic, age, burst, rng);
            }
            for (version, tally) in tallies.into_iter().filter(|(_, tally)| *tally != Tally::default()) {
                all.push(VersionHealth {
                    account: account.clone(),
                    worker: name.clone(),
                    version: version.clone(),
                    deployment: worker.deployment.clone(),
                    tally,
                });
            }
        }
        self.open = open;
        all
    }

    fn request(&self, tally: &mut Tally, kind: Kind, traffic: &Traffic, age: u64, burst: bool, rng: &mut SplitMix64) {
        tally.requests += 1;
        // The first requests meet a cold isolate.
        let cold = usize::from(age < 1_500) * 2;
        // Most in one bucket, some in the next ones.
        let spread = match rng.below(100) {
            0..=69 => 0,
            70..=91 => 1,
            92..=98 => 2,
            _ => 4,
        };
        let mut bucket = traffic.bucket + self.away + cold + spread;
        let usual = traffic.errors + if burst { 700 } else { 0 };
        if rng.below(10_000) < usual {
            match rng.below(3) {
                0 => tally.exceptions += 1,
                _ => tally.server_errors += 1,
            }
        } else {
            match kind {
                Kind::Throws => tally.exceptions += 1,
                Kind::Delayed if age >= 30_000 => tally.exceptions += 1,
                Kind::Sometimes if rng.below(4) == 0 => tally.exceptions += 1,
                Kind::Errors => tally.server_errors += 1,
                Kind::Loops => tally.limits += 1,
                Kind::Slow => bucket += 6,
                Kind::Memory if rng.below(20) == 0 => {
                    tally.crashes += 1;
                    tally.exceptions += 1;
                }
                // Started by its first request, after all.
                Kind::Startup | Kind::Artifact | Kind::Binding => {
                    tally.failed_starts += 1;
                    tally.exceptions += 1;
                }
                _ => {}
            }
        }
        tally.latency[bucket.min(LATENCY_BUCKETS - 1)] += 1;
    }
}
