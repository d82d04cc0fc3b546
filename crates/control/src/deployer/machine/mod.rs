//! The deployer itself, as a state machine: what happened and the time go in, what is to be done comes out. It does no I/O and
//! has no clock, so a simulator can run it through years of bad luck.
//!
//! There are two configurations, *lanes*: the fleet's has what is approved, the canary's also what is being tried. Every key is
//! staged by itself, so nobody waits for somebody else's bad change. Invariants:
//! - the fleet's lane never has an entry that was not approved, but for deployments that are immediate;
//! - publication numbers only go up, over both lanes and over restarts;
//! - what [`Outputs`] asks to be stored is to be durable before anything else of it is done;
//! - a key is staged (in [`Deployer::keys`]) exactly while its approved entry is not the one asked for, or is being watched.

mod changes;
mod keys;
mod sessions;
#[cfg(test)]
mod tests;
mod verdicts;

use super::bake;
use super::history::{History, KeptPast};
use super::lanes::{Lane, Publication, Report};
use super::rollout::{Rollout, RolloutPops, RolloutState};
use crate::catalog::{Intent, IntentDelta, KeptStanding, SplitOf, StageWrite};
use atoll_model::edge::{Change, Counts, EMPTIED_FROM, Emptied, Standing};
use atoll_model::{DeploymentId, EdgeConfig, EdgeEntry, EdgeKey, PopName, Revision, TenantId, WorkerName};
use keys::{Key, Stage};
use sessions::{Canary, Pop};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How often [`Input::Tick`] should come, milliseconds.
pub const TICK_MS: u64 = 100;
/// How long a deployment that is everywhere is watched: until then a clear failure takes it back, milliseconds.
pub const WATCH_MS: u64 = 5 * 60_000;
/// A PoP that has not acknowledged an approved change by then is a straggler: it gets the change when it can, milliseconds.
pub const ROLLING_MAX_MS: u64 = 30_000;
/// A canary that does not acknowledge by then is replaced, if there is another PoP, milliseconds.
pub const CANARY_ACK_MAX_MS: u64 = 10_000;
/// A canary whose session broke may come back for this long, milliseconds.
pub const CANARY_GRACE_MS: u64 = 3_000;
/// A PoP that was lost as a canary is not chosen again for this long, if there is another one, milliseconds.
pub const CANARY_AVOIDED_MS: u64 = 60_000;
/// A change with which so many canaries were lost is the reason,
pub const LOSSES_MAX: u32 = 3;
/// if it was the only one there so many times.
pub const LOSSES_ALONE_MIN: u32 = 2;
/// A withdrawal that the catalog did not answer is asked for again after this long, milliseconds.
pub const WITHDRAW_AGAIN_MS: u64 = 5_000;
/// How often counts of the past are stored, if there are any to store, milliseconds.
pub const KEEP_MS: u64 = 5_000;
/// The longest reason that is kept, bytes.
const REASON_BYTES_MAX: usize = 900;

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// The catalog asks for more or other than before. It must begin where [`Deployer::revision`] is.
    Intent(IntentDelta),
    /// A PoP's session says something.
    Report(Report),
    /// The catalog's answer to [`Outputs::withdraw`].
    Withdrawn {
        /// Of which key.
        key: EdgeKey,
        /// Which deployment.
        deployment: DeploymentId,
        /// `None`: done, or a newer deployment is there, which the catalog tells by itself. Otherwise why it cannot be done.
        impossible: Option<String>,
    },
    /// Time has passed.
    Tick,
}

/// A deployment that the catalog is to take back.
#[derive(Debug, Clone, PartialEq)]
pub struct Withdraw {
    /// Whose.
    pub account: TenantId,
    /// Of which worker.
    pub worker: WorkerName,
    /// Which.
    pub deployment: DeploymentId,
    /// Who serves instead.
    pub back_to: Vec<SplitOf>,
    /// What is told of it from now on.
    pub rollout: Rollout,
}

/// Something that an operator should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// For programs: `rolled_back`, `config_rejected`, `straggler` and so on.
    pub code: &'static str,
    /// What is wrong and what was done.
    pub message: String,
}

/// What is to be done, in the order of the fields.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    /// To be durable first. Nothing else is to be done if it cannot be stored.
    pub write: Option<StageWrite>,
    /// Lanes of PoPs.
    pub lanes: Vec<(PopName, Lane)>,
    /// What the lanes have from now on.
    pub publish: Vec<Publication>,
    /// What the catalog is to take back.
    pub withdraw: Vec<Withdraw>,
    /// Deployments that came further, whether it is stored or not.
    pub rollouts: Vec<(DeploymentId, Rollout)>,
    /// For operators.
    pub alarms: Vec<Alarm>,
}

impl Outputs {
    /// Is there nothing to do?
    pub fn is_empty(&self) -> bool {
        self.write.is_none()
            && self.lanes.is_empty()
            && self.publish.is_empty()
            && self.withdraw.is_empty()
            && self.rollouts.is_empty()
            && self.alarms.is_empty()
    }
}

/// What a step under way has collected.
#[derive(Debug, Default)]
struct Pending {
    out: Outputs,
    write: StageWrite,
    /// Keys whose entry in a lane may be another now: fleet, canary.
    touched: BTreeMap<EdgeKey, [Option<Arc<EdgeEntry>>; 2]>,
    /// Keys whose row may be another now.
    dirty: BTreeSet<EdgeKey>,
    /// Lanes that need a new number: fleet, canary.
    renumber: [bool; 2],
}

/// See the module.
#[derive(Debug)]
pub struct Deployer {
    epoch: u64,
    publication: u64,
    /// The catalog's revision up to which everything is known.
    revision: Revision,
    /// The fleet's and the canary's.
    lanes: [Arc<EdgeConfig>; 2],
    keys: BTreeMap<EdgeKey, Key>,
    pops: BTreeMap<PopName, Pop>,
    canary: Option<Canary>,
    /// The PoP that baked before this control plane began: it is given some time to come back.
    canary_before: Option<PopName>,
    began_ms: u64,
    /// PoPs that were lost as canaries, and when.
    lost: BTreeMap<PopName, u64>,
    history: History,
    /// When some of it was stored.
    kept_ms: u64,
    /// Counts the trials.
    order: u64,
    /// What was told of deployments that may still come further.
    told: BTreeMap<DeploymentId, Rollout>,
    /// What the lanes have.
    standing: [Standing; 2],
    /// What the fleet's has had.
    counted: KeptStanding,
    pending: Pending,
}

/// For so long at least, and for twice as long at most, it is known how much there was: a PoP that was away for longer has no certificate
/// any more, and joins anew.
const PEAK_KEPT_MS: u64 = 45 * 24 * 60 * 60_000;

/// What is known of how much there was, for a control plane that begins with a fleet that has `counts`; and what it lacks that the
/// fleet before it had without any change having said so: it is not meant then.
fn counted(kept: Option<KeptStanding>, counts: Counts, now_ms: u64) -> (KeptStanding, Option<Emptied>) {
    let anew = KeptStanding {
        counts,
        peak: counts,
        peak_before: Counts::default(),
        since_ms: now_ms,
    };
    let Some(kept) = kept else { return (anew, None) };
    // A few changes may have been made in the catalog after the last publication.
    match kept.counts.emptied(counts, EMPTIED_FROM) {
        Some(lost) => (anew, Some(lost)),
        None => {
            let peak = kept.peak.max(counts);
            (KeptStanding { counts, peak, ..kept }, None)
        }
    }
}

const FLEET: usize = 0;
const CANARY: usize = 1;

fn index(lane: Lane) -> usize {
    match lane {
        Lane::Fleet => FLEET,
        Lane::Canary => CANARY,
    }
}

/// A reason as it can be stored: without NUL, and not endless.
fn reason(text: &str) -> String {
    let mut text = text.replace('\0', " ");
    let mut end = REASON_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

impl Deployer {
    /// A deployer that begins with what the catalog knows, in the epoch of the leader that it is of; and what it wants done
    /// first.
    pub fn begin(intent: Intent, epoch: u64, now_ms: u64) -> (Self, Outputs) {
        let head = intent.head.renumbered(Revision(0));
        let changes = intent.staged.iter().map(|staged| Change {
            key: staged.key.clone(),
            entry: staged.approved.as_deref().cloned(),
        });
        // Entries that were stored have been checked; one that is not well formed now leaves the head as it is, with an alarm.
        let approved = head.change(Revision(1), changes.collect());
        let (fleet, damaged) = match approved {
            Ok((fleet, _)) => (Arc::new(fleet.renumbered(Revision(0))), None),
            Err(error) => (Arc::new(head.clone()), Some(error)),
        };
        let standing = Standing::of(&fleet);
        let (counted, lost) = counted(intent.standing, standing.counts(), now_ms);
        let mut deployer = Self {
            epoch,
            publication: intent.publication.0,
            revision: intent.head.revision(),
            lanes: [fleet.clone(), fleet],
            keys: BTreeMap::new(),
            pops: BTreeMap::new(),
            canary: None,
            canary_before: intent.canary.clone(),
            began_ms: now_ms,
            lost: BTreeMap::new(),
            history: History::default(),
            kept_ms: now_ms,
            order: 0,
            told: BTreeMap::new(),
            standing: [standing.clone(), standing],
            counted,
            pending: Pending::default(),
        };
        if let Some(error) = damaged {
            deployer.alarm(
                "staging",
                format!("the staged entries cannot be read as they were stored: {error}"),
            );
        }
        if let Some(Emptied { what, before, left }) = lost {
            deployer.alarm(
                "emptied",
                format!(
                    "the catalog has {left} of the {before} {what} that PoPs were last told to have, and no change of it says so: PoPs \
                     refuse what leaves less than half of what they have"
                ),
            );
        }
        deployer.pending.renumber = [true, true];
        deployer.resume(&intent, &head, now_ms);
        let outputs = deployer.finish(now_ms);
        (deployer, outputs)
    }

    /// The catalog's revision up to which everything is known: where the next [`Input::Intent`] must begin.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The last publication number.
    pub fn publication(&self) -> u64 {
        self.publication
    }

    /// How many keys are not everywhere as they are asked for.
    pub fn staged(&self) -> usize {
        self.keys.values().filter(|key| key.trial.is_some()).count()
    }

    /// What a lane has.
    pub fn lane(&self, lane: Lane) -> &Arc<EdgeConfig> {
        &self.lanes[index(lane)]
    }

    /// Takes note of what happened and says what to do.
    pub fn step(&mut self, now_ms: u64, input: Input) -> Outputs {
        match input {
            Input::Intent(intent) => self.intent(intent, now_ms),
            Input::Report(report) => match report {
                Report::Connected {
                    pop,
                    region: _,
                    publication,
                    root,
                    incarnation,
                } => self.connected(pop, publication, root, incarnation, now_ms),
                Report::Gone { pop } => self.gone(&pop, now_ms),
                Report::Draining { pop } => self.draining(&pop, now_ms),
                Report::Applied { pop, applied } => self.applied(&pop, applied, now_ms),
                // Judged with the next tick: there may be hundreds of reports a second.
                Report::Health { pop, versions } => {
                    self.health(&pop, &versions, now_ms);
                    return Outputs::default();
                }
            },
            Input::Withdrawn {
                key,
                deployment,
                impossible,
            } => self.withdrawn(&key, &deployment, impossible),
            Input::Tick => {
                self.history.tick(now_ms);
                self.keep_history(now_ms);
                self.look_after_canary(now_ms);
                self.look_after_lost(None, now_ms);
                self.judge_all(now_ms);
            }
        }
        self.choose_canary(now_ms);
        self.admit(now_ms);
        self.finish(now_ms)
    }

    /// Has some of the past stored, for the control plane after this one.
    fn keep_history(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.kept_ms) < KEEP_MS {
            return;
        }
        self.kept_ms = now_ms;
        for ((account, worker), past) in self.history.due_to_keep(now_ms) {
            let serves = self.lanes[FLEET].get(&EdgeKey::Worker(account.clone(), worker.clone()));
            let Some(deployment) = Self::deployment_of(serves).cloned() else {
                continue;
            };
            self.pending.write.pasts.push(KeptPast {
                account,
                worker,
                deployment,
                past,
            });
        }
    }

    fn alarm(&mut self, code: &'static str, message: impl Into<String>) {
        let message = reason(&message.into());
        self.pending.out.alarms.push(Alarm { code, message });
    }

    /// What the lanes have of a key may be another now.
    fn touch(&mut self, key: &EdgeKey) {
        let Some(found) = self.keys.get(key) else { return };
        let tried = found.trial.as_ref().is_some_and(|trial| trial.stage.is_at_canary());
        let canary = if tried { &found.asked } else { &found.approved };
        let both = [found.approved.clone(), canary.clone()];
        self.pending.touched.insert(key.clone(), both);
    }

    /// A key that has neither a trial nor a watch any more is done with.
    fn tidy(&mut self, key: &EdgeKey) {
        self.pending.dirty.insert(key.clone());
        let idle = |found: &Key| found.trial.is_none() && found.watch.is_none();
        if self.keys.get(key).is_some_and(idle)
            && let Some(found) = self.keys.remove(key)
        {
            let both = [found.approved.clone(), found.approved];
            self.pending.touched.insert(key.clone(), both);
        } else {
            self.touch(key);
        }
    }

    /// Makes the step's changes to the lanes and gives everything that is to be done.
    fn finish(&mut self, now_ms: u64) -> Outputs {
        let mut pending = std::mem::take(&mut self.pending);
        let counted = self.counted;
        if now_ms.saturating_sub(counted.since_ms) >= PEAK_KEPT_MS {
            self.counted = KeptStanding {
                counts: counted.counts,
                peak: counted.counts,
                peak_before: counted.peak,
                since_ms: now_ms,
            };
        }
        for lane in [Lane::Fleet, Lane::Canary] {
            self.publish(lane, &mut pending);
        }
        self.note_publications();
        for key in std::mem::take(&mut pending.dirty) {
            match self.keys.get(&key) {
                Some(found) => pending.write.put.push(found.row(&key, now_ms)),
                None => {
                    let approved = pending.touched.get(&key).and_then(|both| both[FLEET].clone());
                    pending.write.settled.push((key, approved));
                }
            }
        }
        self.tell_rollouts(now_ms, &mut pending);
        let write = pending.write;
        let rows = !write.put.is_empty() || !write.settled.is_empty() || !write.rollouts.is_empty();
        let anything = rows || !write.pasts.is_empty();
        if anything || !pending.out.publish.is_empty() {
            pending.out.write = Some(StageWrite {
                publication: Revision(self.publication),
                canary: self.canary.as_ref().map(|canary| canary.name.clone()),
                standing: Some(self.counted),
                ..write
            });
        }
        pending.out
    }

    fn publish(&mut self, lane: Lane, pending: &mut Pending) {
        let at = index(lane);
        let (mut changes, mut moved) = (Vec::new(), Vec::new());
        for (key, both) in &pending.touched {
            let there = self.lanes[at].get(key);
            if there.map(|entry| &**entry) == both[at].as_deref() {
                continue;
            }
            moved.push((key, there.cloned(), both[at].as_ref()));
            changes.push(Change {
                key: key.clone(),
                entry: both[at].as_deref().cloned(),
            });
        }
        if changes.is_empty() && !pending.renumber[at] {
            return;
        }
        let number = Revision(self.publication + 1);
        let base = self.lanes[at].renumbered(Revision(self.publication));
        match base.change(number, changes) {
            Ok((config, _)) => {
                self.publication = number.0;
                self.lanes[at] = Arc::new(config);
                for (key, before, after) in moved {
                    before.iter().for_each(|entry| self.standing[at].remove(key, entry));
                    after.iter().for_each(|entry| self.standing[at].add(key, entry));
                }
                self.counted.counts = self.standing[FLEET].counts();
                self.counted.peak = self.counted.peak.max(self.counted.counts);
                pending.renumber[at] = false;
                pending.out.publish.push(Publication {
                    lane,
                    config: self.lanes[at].clone(),
                    epoch: self.epoch,
                    may_empty: self.peak().emptied(self.standing[at].counts(), 0).is_some(),
                });
            }
            // The catalog checks entries before it stores them.
            Err(error) => pending.out.alarms.push(Alarm {
                code: "publication",
                message: format!("a change cannot be published: {error}"),
            }),
        }
    }

    /// The most of each kind that the fleet's lane had lately: in [`PEAK_KEPT_MS`] at least.
    fn peak(&self) -> Counts {
        self.counted.peak.max(self.counted.peak_before)
    }

    /// What waited for its number has one now.
    fn note_publications(&mut self) {
        let numbers = [FLEET, CANARY].map(|lane| self.lanes[lane].revision().0);
        for pop in self.pops.values_mut() {
            if pop.lane_since == 0 {
                pop.lane_since = numbers[index(pop.lane)];
            }
        }
        for key in self.keys.values_mut() {
            if let Some(trial) = &mut key.trial
                && let Stage::Probing { publication, .. } = &mut trial.stage
                && *publication == 0
            {
                *publication = numbers[CANARY];
            }
            if let Some(watch) = &mut key.watch
                && watch.publications == [0, 0]
            {
                watch.publications = numbers;
                // A canary that baked it has it: its lane is not published for that again.
                let has = |name: &PopName| {
                    let pop = self.pops.get(name);
                    pop.is_some_and(|pop| pop.acked.is_some_and(|acked| acked >= numbers[index(pop.lane)]))
                };
                let before = watch.behind.len();
                watch.behind.retain(|name| !has(name));
                watch.anywhere |= watch.behind.len() < before;
            }
        }
    }

    /// Compares what is to be told of each deployment with what was.
    fn tell_rollouts(&mut self, now_ms: u64, pending: &mut Pending) {
        let total = u32::try_from(self.pops.len()).unwrap_or(u32::MAX);
        let canary = self.canary.as_ref().map(|canary| canary.name.to_string());
        let mut current = BTreeMap::new();
        for key in self.keys.values() {
            for (id, mut rollout) in key.rollouts(canary.as_deref(), total) {
                rollout.since_ms = match self.told.get(&id) {
                    Some(told) if told.state == rollout.state => told.since_ms,
                    _ => now_ms,
                };
                current.insert(id, rollout);
            }
        }
        for (id, rollout) in &current {
            let told = self.told.get(id);
            if told == Some(rollout) {
                continue;
            }
            let counts_apart = |rollout: &Rollout| Rollout {
                requests: 0,
                errors: 0,
                pops: RolloutPops::default(),
                ..rollout.clone()
            };
            // Counts that grow are not worth a transaction each; they are stored with the next step of the deployment.
            if told.map(counts_apart) != Some(counts_apart(rollout)) {
                pending.write.rollouts.push((id.clone(), rollout.clone()));
            }
            pending.out.rollouts.push((id.clone(), rollout.clone()));
        }
        for (id, mut last) in std::mem::take(&mut self.told) {
            if current.contains_key(&id) || last.state.is_final() {
                continue;
            }
            // Nobody speaks of it any more, and it never got anywhere.
            last.state = RolloutState::Superseded;
            last.since_ms = now_ms;
            pending.write.rollouts.push((id.clone(), last.clone()));
            pending.out.rollouts.push((id, last));
        }
        self.told = current;
    }

    fn deployment_of(entry: Option<&Arc<EdgeEntry>>) -> Option<&DeploymentId> {
        bake::deployment(entry.map(|entry| &**entry))
    }
}
