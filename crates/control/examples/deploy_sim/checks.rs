//! What must hold while a simulated fleet lives, and in its end.

use crate::pops::Kind;
use crate::world::{DISTURBED_MS, ROLLED_BACK_MS, WAITED_MAX_MS, World};
use atoll_control::deployer::{Lane, Publication, Rollout, RolloutState};
use atoll_model::{DeploymentId, EdgeEntry, EdgeKey};

impl World {
    pub fn told(&mut self, id: &DeploymentId, rollout: Rollout) {
        let (now, disturbed) = (self.now, self.disturbed);
        let Some(deployed) = self.deployed.get_mut(id) else {
            return;
        };
        let before = deployed.told.replace(rollout.clone());
        let state = rollout.state;
        // Waiting for its turn it is nowhere.
        let waits = state == RolloutState::Probing && rollout.reason.is_some();
        match (deployed.waits_since, waits) {
            (None, true) => deployed.waits_since = Some(now),
            (Some(since), false) => {
                deployed.waited_ms += now - since;
                deployed.waits_since = None;
            }
            _ => {}
        }
        if before.is_some_and(|before| before.state == state) {
            return;
        }
        if deployed.few {
            match (state, deployed.passed_ms) {
                (RolloutState::Rolling | RolloutState::Live, None) => {
                    deployed.passed_ms = Some(now);
                    self.totals.few_passed += 1;
                }
                (RolloutState::RolledBack, None) => self.totals.few_held += 1,
                (RolloutState::RolledBack, Some(passed)) => {
                    self.totals.few_taken_back += 1;
                    self.totals.few_back_ms += now - passed;
                    self.totals.few_back_most_ms = self.totals.few_back_most_ms.max(now - passed);
                }
                _ => {}
            }
        }
        let took = now - deployed.at_ms;
        let (kind, crashes, shows) = (deployed.kind, deployed.crashes, deployed.shows);
        let undisturbed = disturbed == deployed.disturbed;
        let key = deployed.key.clone();
        self.say(format_args!(
            "{id} of {key} ({kind:?}) is {state:?} after {took} ms: {:?}",
            rollout.reason
        ));
        match state {
            RolloutState::RolledBack => {
                self.totals.rolled_back += 1;
                self.totals.late += u64::from(kind == Kind::Delayed);
                if kind != Kind::Delayed && undisturbed && shows {
                    self.totals.slowest_ms = self.totals.slowest_ms.max(took);
                }
                // Two immediate deployments at a time, of which one kills PoPs: nobody can say which.
                let at = self.deployed[id].at_ms;
                let kills = |other: &crate::world::Deployed| {
                    let kills = matches!(other.kind, Kind::Poison | Kind::Late);
                    kills && other.immediate && other.at_ms.abs_diff(at) < 40_000
                };
                let lost = rollout
                    .reason
                    .as_deref()
                    .is_some_and(|why| why.contains("was lost with this"));
                let ambiguous = lost && self.deployed.values().any(kills);
                if kind == Kind::Good && crashes < 3 && !ambiguous {
                    self.wrong(format!("good deployment {id} is rolled back: {:?}", rollout.reason));
                }
            }
            RolloutState::Live => {
                self.totals.live += 1;
                self.totals.unproven += u64::from(rollout.unproven);
            }
            RolloutState::Superseded => self.totals.superseded += 1,
            _ => {}
        }
    }

    /// A bad version has no place in the fleet's lane.
    pub fn check_publication(&mut self, publication: &Publication) {
        if publication.lane != Lane::Fleet {
            return;
        }
        let mut wrong = Vec::new();
        for (key, entry) in publication.config.entries() {
            let EdgeEntry::Worker(worker) = &**entry else { continue };
            let Some(deployed) = self.deployed.get(&worker.deployment) else {
                continue;
            };
            let bad = deployed.kind.is_bad() && deployed.kind != Kind::Delayed;
            if bad && deployed.shows && !deployed.immediate {
                wrong.push(format!(
                    "{:?} deployment {} of {key} is in the fleet's lane",
                    deployed.kind, worker.deployment
                ));
            }
        }
        for wrong in wrong {
            self.wrong(wrong);
        }
    }

    /// A bad deployment that is neither gone nor passed over in time.
    pub fn check_running(&mut self) {
        let mut wrong = Vec::new();
        for (id, deployed) in &mut self.deployed {
            if !deployed.kind.is_bad() || !deployed.shows {
                continue;
            }
            let entry = self.head.get(&deployed.key).map(|entry| &**entry);
            let newer = !matches!(entry, Some(EdgeEntry::Worker(worker)) if worker.deployment == *id);
            let done = newer
                || deployed
                    .told
                    .as_ref()
                    .is_some_and(|told| matches!(told.state, RolloutState::RolledBack | RolloutState::Superseded));
            let shows_after = if deployed.kind == Kind::Delayed { 60_000 } else { 0 };
            let allowed = ROLLED_BACK_MS + shows_after + DISTURBED_MS * (self.disturbed - deployed.disturbed);
            // What kills PoPs is tried three times before it is known for sure, and one of them alone may be slow to come back.
            let allowed = allowed
                + if matches!(deployed.kind, Kind::Poison | Kind::Late) {
                    DISTURBED_MS
                } else {
                    0
                };
            // One that waits while others' changes, with which PoPs were lost, are tried alone is nowhere: that time is added,
            // also afterwards.
            let waits = deployed.waits_since.map_or(0, |since| self.now - since);
            let allowed = allowed + (deployed.waited_ms + waits).min(WAITED_MAX_MS);
            if !done && self.now - deployed.at_ms > allowed {
                wrong.push(format!(
                    "{:?} deployment {id} of {} is not rolled back in {allowed} ms: {:?}",
                    deployed.kind, deployed.key, deployed.told
                ));
                // Once.
                deployed.shows = false;
            }
        }
        for wrong in wrong {
            self.wrong(wrong);
        }
    }

    pub fn check_end(&mut self) {
        let Some(deployer) = self.deployer.take() else {
            self.wrong("there is no control plane in the end".to_owned());
            return;
        };
        let fleet = deployer.lane(Lane::Fleet).clone();
        let held = |key: &EdgeKey| deployer.stages().get(key).is_some_and(|stage| *stage == "held");
        let mut wrong = Vec::new();
        let keys: Vec<EdgeKey> = fleet
            .entries()
            .chain(self.head.entries())
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            let (has, asked) = (fleet.get(&key), self.head.get(&key));
            // A route whose worker never came to be waits for it.
            let waits = match asked.map(|entry| &**entry) {
                Some(EdgeEntry::Route(route)) => route.worker.as_ref().is_some_and(|worker| {
                    fleet
                        .get(&EdgeKey::Worker(route.account.clone(), worker.clone()))
                        .is_none()
                }),
                _ => false,
            };
            if has != asked && !held(&key) && !waits {
                wrong.push(format!(
                    "{key} is not at the fleet as it is asked for: {:?}",
                    deployer.stages().get(&key)
                ));
            }
        }
        for pop in &self.pops {
            let held = pop.held.as_ref().map(|held| held.root());
            if held != Some(fleet.root()) && held != Some(deployer.lane(Lane::Canary).root()) {
                wrong.push(format!("{} does not hold what the fleet has", pop.name));
            }
        }
        if deployer.lane(Lane::Canary).root() != fleet.root() {
            wrong.push("the canary's lane is not the fleet's in the end".to_owned());
        }
        for (id, deployed) in &self.deployed {
            let state = deployed.told.as_ref().map(|told| told.state);
            let stored = self.rollouts.get(id).map(|rollout| rollout.state);
            let done = state.is_some_and(RolloutState::is_final) || stored.is_some_and(RolloutState::is_final);
            // One that was passed over while nobody led is not told of: the catalog notes that itself.
            let asked = matches!(self.head.get(&deployed.key).map(|entry| &**entry), Some(EdgeEntry::Worker(worker)) if worker.deployment == *id);
            if !done && asked {
                wrong.push(format!(
                    "deployment {id} of {} ({:?}) came to no end: {:?}",
                    deployed.key, deployed.kind, deployed.told
                ));
            }
        }
        for wrong in wrong {
            self.wrong(wrong);
        }
    }
}
