//! What the deployer knows of one key that is staged.

use super::super::bake::{self, Bake};
use super::super::gate::Evidence;
use super::super::history::Past;
use super::super::lanes::Tally;
use super::super::rollout::{Rollout, RolloutPops, RolloutState, begun};
use crate::catalog::{DeploymentFacts, DeploymentKind, StagedKey, StagedPhase};
use atoll_model::edge::{Digest, hash};
use atoll_model::{DeploymentId, EdgeEntry, EdgeKey, PopName, VersionId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where a trial is.
#[derive(Debug)]
pub enum Stage {
    /// Not at the canary yet.
    Waiting,
    /// In the canary's configuration; it has not acknowledged it yet.
    Probing {
        /// Since this publication; 0: the one that is about to be made.
        publication: u64,
        /// Since when.
        since_ms: u64,
    },
    /// The canary has it.
    Baking {
        /// Since when.
        since_ms: u64,
    },
    /// It failed; it stays away until the catalog asks for something else.
    Held {
        /// Why.
        reason: String,
        /// What the catalog is asked to do about it.
        withdrawal: Withdrawal,
    },
}

/// What comes of a failed deployment in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    /// Nothing: there is nothing to go back to, or it cannot be done.
    Never,
    /// To be asked for.
    Due,
    /// Asked for at this time.
    Asked(u64),
}

impl Stage {
    /// Is it in the canary's configuration?
    pub fn is_at_canary(&self) -> bool {
        matches!(self, Self::Probing { .. } | Self::Baking { .. })
    }

    pub fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. })
    }
}

/// An entry that is asked for and not approved.
#[derive(Debug)]
pub struct Trial {
    pub bake: Bake,
    pub stage: Stage,
    /// The versions that are judged, each by what it did itself on the canary.
    pub judged: BTreeMap<VersionId, Tally>,
    /// What they did together; of a change that is no deployment, what its account's workers did.
    pub new: Tally,
    /// What the other versions of the same deployment did there meanwhile.
    pub beside: Tally,
    /// What the approved deployment did elsewhere meanwhile.
    pub meanwhile: Tally,
    /// What waits for its turn is taken in this order.
    pub order: u64,
}

impl Trial {
    /// Counts begin anew.
    pub fn forget_counts(&mut self) {
        self.judged.values_mut().for_each(|tally| *tally = Tally::default());
        self.new = Tally::default();
        self.beside = Tally::default();
        self.meanwhile = Tally::default();
    }

    /// Too little is known of one of the versions, or of all.
    pub fn is_unproven(&self) -> bool {
        let few = |tally: &Tally| tally.requests < super::super::gate::REQUESTS_MIN;
        self.judged.is_empty() || self.judged.values().any(few)
    }
}

/// What is said of a version: by name if there is more than one to judge.
pub fn named(version: &VersionId, judged: usize, reason: String) -> String {
    if judged > 1 {
        format!("version {version}: {reason}")
    } else {
        reason
    }
}

/// An approved deployment that may still fail.
#[derive(Debug)]
pub struct Watch {
    /// What the fleet had before.
    pub previous: Option<Arc<EdgeEntry>>,
    /// The versions that are judged, each by what it did since.
    pub judged: BTreeMap<VersionId, Tally>,
    /// What they did together.
    pub new: Tally,
    pub beside: Tally,
    /// What the version before did.
    pub past: Past,
    pub unproven: bool,
    /// Counts of its bake, for people.
    pub baked: Tally,
    /// The publications that brought it, of the fleet and of the canary; 0: they are about to be made.
    pub publications: [u64; 2],
    /// PoPs that do not have it yet.
    pub behind: BTreeSet<PopName>,
    /// Some PoP has it.
    pub anywhere: bool,
    /// No canary has tried it: it was immediate.
    pub untried: bool,
    /// How many PoPs died while they took it over or had just done so, if no canary has tried it.
    pub losses: u32,
    /// PoPs whose session ended then, which may come back: with which process, and when.
    pub gone: BTreeMap<PopName, (u64, u64)>,
    /// PoPs that go before this time die of something else, which has just been taken back.
    pub spared_until_ms: u64,
    /// When it was approved: `since_ms` begins anew when it is live.
    pub approved_ms: u64,
    /// When it was approved.
    pub since_ms: u64,
    /// It is live, or counts as that.
    pub live: bool,
    /// What is to be said of it.
    pub note: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Key {
    /// What the fleet has.
    pub approved: Option<Arc<EdgeEntry>>,
    /// What the catalog asks for.
    pub asked: Option<Arc<EdgeEntry>>,
    /// Of the deployment that is asked for.
    pub facts: DeploymentFacts,
    pub trial: Option<Trial>,
    pub watch: Option<Watch>,
    /// How many canaries were lost with it.
    pub losses: u32,
    /// In how many of them nothing else was being tried.
    pub losses_alone: u32,
    /// In how many of them something that no canary has tried was on its way to PoPs, and may have been the reason.
    pub losses_beside: u32,
    /// A failed deployment that is no longer asked for, to be told once.
    pub failed: Option<(DeploymentId, Rollout)>,
}

/// Of a deployment of which nothing is known.
pub const NO_FACTS: DeploymentFacts = DeploymentFacts {
    kind: DeploymentKind::Deploy,
    immediate: false,
};

/// The hash of an entry, as rows name it.
pub fn digest(key: &EdgeKey, entry: Option<&Arc<EdgeEntry>>) -> Option<Digest> {
    entry.map(|entry| hash::entry(&hash::key_bytes(key), &hash::entry_bytes(entry)))
}

impl Key {
    /// Is what is tried another deployment than the approved one?
    pub fn tries_deployment(&self) -> Option<&DeploymentId> {
        let asked = bake::deployment(self.asked.as_deref())?;
        (bake::deployment(self.approved.as_deref()) != Some(asked)).then_some(asked)
    }

    /// Is it tried at the canary?
    pub fn is_at_canary(&self) -> bool {
        self.trial.as_ref().is_some_and(|trial| trial.stage.is_at_canary())
    }

    /// The row of this key.
    pub fn row(&self, key: &EdgeKey, now_ms: u64) -> StagedKey {
        let held = match &self.trial {
            Some(Trial {
                stage: Stage::Held { reason, .. },
                ..
            }) => Some(reason.clone()),
            _ => None,
        };
        let (phase, judged) = match (&held, &self.watch) {
            (Some(_), _) => (StagedPhase::Held, digest(key, self.asked.as_ref())),
            (None, Some(watch)) if watch.live => (StagedPhase::Watching, digest(key, self.approved.as_ref())),
            (None, Some(_)) => (StagedPhase::Rolling, digest(key, self.approved.as_ref())),
            (None, None) => (StagedPhase::Staged, None),
        };
        StagedKey {
            key: key.clone(),
            approved: self.approved.clone(),
            previous: self.watch.as_ref().and_then(|watch| watch.previous.clone()),
            phase,
            judged,
            since_ms: self.watch.as_ref().map_or(now_ms, |watch| watch.since_ms),
            losses: self.losses,
            reason: held,
        }
    }

    /// What is asked for, or what serves, is another one from now on: nothing was lost with it.
    pub fn forget_losses(&mut self) {
        (self.losses, self.losses_alone, self.losses_beside) = (0, 0, 0);
    }

    /// What is known of a version on trial and of what it is compared with.
    pub fn evidence(&self, trial: &Trial, new: &Tally, past: &Past) -> Evidence {
        let mut old = past.everywhere;
        let mut old_here = past.canary;
        old.add(&trial.beside);
        old_here.add(&trial.beside);
        if let Some(watch) = &self.watch
            && old.requests < super::super::gate::REQUESTS_MIN
        {
            old.add(&watch.past.everywhere);
            old_here.add(&watch.past.canary);
        } else if let Some(watch) = &self.watch {
            // Who serves since lately has not had the time to be late.
            let past = &watch.past.everywhere;
            old.add(&Tally {
                ripe: past.ripe,
                late: past.late,
                late_seconds: past.late_seconds,
                ..Tally::default()
            });
        }
        Evidence {
            new: *new,
            old,
            old_here,
            meanwhile: trial.meanwhile,
        }
    }

    /// What is to be told of this key's deployments.
    pub fn rollouts(&self, canary: Option<&str>, total: u32) -> Vec<(DeploymentId, Rollout)> {
        let mut told = Vec::new();
        if let (Some(watch), Some(id)) = (&self.watch, bake::deployment(self.approved.as_deref())) {
            let behind = u32::try_from(watch.behind.len()).unwrap_or(u32::MAX);
            let state = if watch.live {
                RolloutState::Live
            } else {
                RolloutState::Rolling
            };
            told.push((
                id.clone(),
                Rollout {
                    state,
                    unproven: watch.unproven,
                    canary: canary.map(str::to_owned),
                    requests: watch.baked.requests,
                    errors: watch.baked.errors(),
                    reason: watch.note.clone(),
                    pops: RolloutPops {
                        applied: total.saturating_sub(behind),
                        total,
                    },
                    ..begun(0)
                },
            ));
        }
        if let (Some(trial), Some(id)) = (&self.trial, self.tries_deployment()) {
            let (state, reason, applied) = match &trial.stage {
                Stage::Waiting => (RolloutState::Probing, Some(self.waits_for(canary, total)), 0),
                Stage::Probing { .. } => (RolloutState::Probing, None, 0),
                Stage::Baking { .. } => (RolloutState::Baking, None, 1),
                Stage::Held { reason, .. } => (RolloutState::RolledBack, Some(reason.clone()), 0),
            };
            told.push((
                id.clone(),
                Rollout {
                    state,
                    canary: canary.map(str::to_owned),
                    requests: trial.new.requests,
                    errors: trial.new.errors(),
                    reason,
                    pops: RolloutPops { applied, total },
                    ..begun(0)
                },
            ));
        }
        told.extend(self.failed.clone());
        told
    }

    fn waits_for(&self, canary: Option<&str>, total: u32) -> String {
        let text = match (canary, total) {
            (_, 0) => "no PoP is connected",
            (None, _) => "no PoP is ready to be the canary",
            (Some(_), _) if self.losses > 0 => "a canary was lost with it; it waits for its turn to be tried again",
            (Some(_), _) => "it waits for what it needs",
        };
        text.to_owned()
    }
}
