//! PoPs as they come, go and answer; and which of them is the canary.

use super::super::gate;
use super::super::lanes::{Applied, Lane, RefusedWorker, Tally, VersionHealth};
use super::super::ripening::Ripening;
use super::keys::{Key, Stage};
use super::{
    CANARY_ACK_MAX_MS, CANARY_AVOIDED_MS, CANARY_GRACE_MS, Deployer, LOSSES_ALONE_MIN, LOSSES_MAX, index, reason,
};
use atoll_model::edge::Digest;
use atoll_model::{BlobHash, EdgeKey, PopName, Revision};

/// So long a suspect serves on the canary before others come to it, milliseconds. What kills a PoP does it soon.
const SUSPECT_MS: u64 = 5_000;
/// For so long PoPs may still die of what has just been taken back, milliseconds.
const SPARED_MS: u64 = 5_000;

/// A PoP whose session lives.
#[derive(Debug)]
pub struct Pop {
    pub lane: Lane,
    /// The first publication that was for it in this lane; 0: the next one of the lane.
    pub lane_since: u64,
    /// The last publication that it has taken over in this lane, if any.
    pub acked: Option<u64>,
    /// Differs from process to process; 0: not known.
    pub incarnation: u64,
    pub draining: bool,
    pub ripening: Ripening,
}

/// The PoP that bakes.
#[derive(Debug)]
pub struct Canary {
    pub name: PopName,
    /// Its process, to tell a broken session from a death.
    pub incarnation: u64,
    /// Since when it is.
    pub since_ms: u64,
    /// Its session is over since then.
    pub gone_ms: Option<u64>,
}

impl Deployer {
    pub(super) fn connected(
        &mut self,
        pop: PopName,
        held: Revision,
        root: Option<Digest>,
        incarnation: u64,
        now_ms: u64,
    ) {
        self.look_after_lost(Some((&pop, incarnation)), now_ms);
        // A control plane that was restored from a copy may count from further back than its PoPs.
        self.publication = self.publication.max(held.0.min(u64::MAX / 2));
        let mut lane = Lane::Fleet;
        if let Some(canary) = &mut self.canary
            && canary.name == pop
        {
            let same = incarnation != 0 && canary.incarnation == incarnation;
            if same {
                canary.gone_ms = None;
                lane = Lane::Canary;
            } else {
                self.canary_lost("it was started again", now_ms);
            }
        }
        let config = &self.lanes[index(lane)];
        let number = config.revision().0;
        let in_step = held.0 == number && root == Some(config.root());
        if held.0 >= number && !in_step {
            self.pending.renumber[index(lane)] = true;
        }
        let renumbered = self.pending.renumber[index(lane)];
        self.pending.out.lanes.push((pop.clone(), lane));
        for found in self.keys.values_mut() {
            if let Some(watch) = &mut found.watch {
                if in_step && !renumbered && watch.publications != [0, 0] {
                    watch.anywhere = true;
                } else if !watch.live {
                    watch.behind.insert(pop.clone());
                }
            }
        }
        let known = Pop {
            lane,
            lane_since: if renumbered { 0 } else { number },
            acked: (in_step && !renumbered).then_some(number),
            incarnation,
            draining: false,
            ripening: Ripening::default(),
        };
        self.pops.insert(pop, known);
    }

    pub(super) fn gone(&mut self, pop: &PopName, now_ms: u64) {
        let Some(known) = self.pops.remove(pop) else { return };
        // A canary may have died of what it was trying.
        let tries = known.lane == Lane::Canary && self.keys.values().any(super::keys::Key::is_at_canary);
        for found in self.keys.values_mut() {
            let Some(watch) = &mut found.watch else { continue };
            let behind = watch.behind.remove(pop);
            let fresh = now_ms.saturating_sub(watch.approved_ms) < gate::BAKE_MAX_MS;
            if watch.untried && !known.draining && !tries && (behind || fresh) && now_ms >= watch.spared_until_ms {
                watch.gone.insert(pop.clone(), (known.incarnation, now_ms));
            }
        }
        if let Some(canary) = &mut self.canary
            && canary.name == *pop
        {
            canary.gone_ms = Some(now_ms);
            if canary.incarnation == 0 {
                self.canary_lost("its session ended", now_ms);
            }
        }
    }

    /// PoPs that were lost with what no canary has tried, and did not come back as the process that they were: one after the
    /// other they say enough. Of several such deployments the newest is the reason, until more are lost without it.
    pub(super) fn look_after_lost(&mut self, back: Option<(&PopName, u64)>, now_ms: u64) {
        let mut deadly: Option<(u64, EdgeKey, String)> = None;
        let mut alarms = Vec::new();
        for (key, found) in &mut self.keys {
            let Some(watch) = &mut found.watch else { continue };
            let mut last = None;
            watch.gone.retain(|name, (incarnation, at)| {
                let died = match back {
                    Some((pop, now)) if pop == name => {
                        if now != 0 && now == *incarnation {
                            return false;
                        }
                        true
                    }
                    _ => now_ms.saturating_sub(*at) >= CANARY_GRACE_MS,
                };
                if died {
                    watch.losses += 1;
                    last = Some(name.clone());
                }
                !died
            });
            let Some(name) = last else { continue };
            if watch.losses < LOSSES_MAX {
                alarms.push(format!(
                    "{key}: PoP {name} was lost while it took this over or just after, with no canary before it ({} of {LOSSES_MAX})",
                    watch.losses
                ));
            } else if deadly.as_ref().is_none_or(|(newest, ..)| watch.approved_ms >= *newest) {
                let why = format!("PoP {name} was lost with this, as {} were", watch.losses);
                deadly = Some((watch.approved_ms, key.clone(), why));
            }
        }
        for message in alarms {
            self.alarm("lost", message);
        }
        let Some((_, key, why)) = deadly else { return };
        for found in self.keys.values_mut() {
            if let Some(watch) = &mut found.watch {
                watch.losses = 0;
                watch.gone.clear();
                watch.spared_until_ms = now_ms + SPARED_MS;
            }
        }
        self.fail_watch(&key, &why, now_ms);
    }

    pub(super) fn draining(&mut self, pop: &PopName, now_ms: u64) {
        if let Some(known) = self.pops.get_mut(pop) {
            known.draining = true;
        }
        if self.canary.as_ref().is_some_and(|canary| canary.name == *pop) {
            // It said so beforehand: nothing that it baked is to blame.
            self.retreat(|_| true, |_| false, "");
            self.dismiss_canary(now_ms);
        }
    }

    /// The canary is gone, or as good as.
    fn canary_lost(&mut self, how: &str, now_ms: u64) {
        self.canary_lost_by(|_| true, how, now_ms);
    }

    /// The same, if only some of what is there may be the reason.
    fn canary_lost_by(&mut self, blame: impl Fn(&Stage) -> bool, how: &str, now_ms: u64) {
        let Some(canary) = &self.canary else { return };
        let name = canary.name.clone();
        let why = format!("canary {name} was lost: {how}");
        self.lost.insert(name, now_ms);
        let lost = self.retreat(|_| true, blame, &why);
        if lost > 0 {
            self.alarm("canary", format!("{why}; {lost} changes are tried again elsewhere"));
        }
        self.dismiss_canary(now_ms);
    }

    fn dismiss_canary(&mut self, now_ms: u64) {
        let Some(canary) = self.canary.take() else { return };
        self.history.another_canary();
        self.lost.retain(|_, at| now_ms.saturating_sub(*at) < CANARY_AVOIDED_MS);
        if self.pops.contains_key(&canary.name) {
            self.set_lane(&canary.name, Lane::Fleet);
        }
    }

    fn set_lane(&mut self, pop: &PopName, lane: Lane) {
        if let Some(known) = self.pops.get_mut(pop) {
            known.lane = lane;
            known.lane_since = 0;
            known.acked = None;
            // What the other lane has told it has greater numbers than the last of this one.
            self.pending.renumber[index(lane)] = true;
            self.pending.out.lanes.push((pop.clone(), lane));
        }
    }

    /// Takes from the canary's lane what is at the canary and meets the condition, to be tried again; says how many. Those to blame
    /// with which too many canaries were lost have failed.
    fn retreat(&mut self, which: impl Fn(u64) -> bool, blame: impl Fn(&Stage) -> bool, why: &str) -> usize {
        let mut all = Vec::new();
        for (key, found) in &self.keys {
            match found.trial.as_ref().map(|trial| &trial.stage) {
                Some(stage @ Stage::Probing { publication, .. }) if which(*publication) => {
                    all.push((key.clone(), blame(stage)));
                }
                Some(stage @ Stage::Baking { .. }) if which(0) => all.push((key.clone(), blame(stage))),
                _ => {}
            }
        }
        // Who was there alone, while nothing untried was on its way either, is known to be the reason.
        let untried = self
            .keys
            .values()
            .any(|found| found.watch.as_ref().is_some_and(|watch| watch.untried && !watch.live));
        let alone = all.len() == 1 && !untried;
        for (key, blame) in &all {
            let blame = *blame;
            let Some(found) = self.keys.get_mut(key) else { continue };
            found.losses = found.losses.saturating_add(u32::from(blame));
            found.losses_alone += u32::from(blame && alone);
            found.losses_beside += u32::from(blame && untried);
            let losses = found.losses.saturating_sub(found.losses_beside);
            if let Some(trial) = &mut found.trial {
                trial.stage = Stage::Waiting;
                trial.forget_counts();
            }
            if blame && alone && losses >= LOSSES_MAX && found.losses_alone >= LOSSES_ALONE_MIN {
                self.fail_trial(key, &format!("{why}, for the {losses}. time in a row with this change"));
            } else if blame {
                self.pending.dirty.insert(key.clone());
            }
            self.touch(key);
        }
        all.len()
    }

    /// Has a canary be there, if it can.
    pub(super) fn choose_canary(&mut self, now_ms: u64) {
        if self.canary.is_some() {
            return;
        }
        if let Some(before) = &self.canary_before {
            let waiting = now_ms.saturating_sub(self.began_ms) < CANARY_GRACE_MS;
            let ready = self
                .pops
                .get(before)
                .is_some_and(|pop| pop.acked.is_some() && !pop.draining);
            if waiting && !ready {
                return;
            }
        }
        // The greatest hash: the same choice whatever the order in which PoPs come.
        let weight = |name: &PopName| {
            let before = self.canary_before.as_ref() == Some(name);
            let lost = self
                .lost
                .get(name)
                .is_some_and(|at| now_ms.saturating_sub(*at) < CANARY_AVOIDED_MS);
            (!lost, before, BlobHash::of(name.as_str().as_bytes()))
        };
        let ready = self.pops.iter().filter(|(_, pop)| pop.acked.is_some() && !pop.draining);
        let Some((name, pop)) = ready.max_by_key(|(name, _)| weight(name)) else {
            return;
        };
        let (name, incarnation) = (name.clone(), pop.incarnation);
        if self.canary_before.take().is_some_and(|before| before != name) {
            self.history.another_canary();
        }
        self.set_lane(&name, Lane::Canary);
        self.canary = Some(Canary {
            name,
            incarnation,
            since_ms: now_ms,
            gone_ms: None,
        });
    }

    /// Is the canary there, and has it taken over its lane since it has it?
    pub(super) fn canary_is_ready(&self) -> bool {
        let Some(canary) = &self.canary else { return false };
        canary.gone_ms.is_none() && self.pops.get(&canary.name).is_some_and(|pop| pop.acked.is_some())
    }

    pub(super) fn look_after_canary(&mut self, now_ms: u64) {
        let Some(canary) = &self.canary else { return };
        if canary
            .gone_ms
            .is_some_and(|at| now_ms.saturating_sub(at) >= CANARY_GRACE_MS)
        {
            self.canary_lost("its session ended and it did not come back", now_ms);
            return;
        }
        let others = self
            .pops
            .iter()
            .any(|(name, pop)| *name != canary.name && !pop.draining && pop.acked.is_some());
        let long_ago = |since_ms: u64| now_ms.saturating_sub(since_ms) >= CANARY_ACK_MAX_MS;
        let late = |stage: &Stage| matches!(stage, Stage::Probing { since_ms, .. } if long_ago(*since_ms));
        let late = self
            .keys
            .values()
            .any(|found| found.trial.as_ref().is_some_and(|trial| late(&trial.stage)))
            || !self.canary_is_ready() && long_ago(canary.since_ms);
        if others && late && canary.gone_ms.is_none() {
            // What was sent after that it has not looked at yet.
            let blame = |stage: &Stage| match stage {
                Stage::Probing { since_ms, .. } => long_ago(*since_ms),
                _ => true,
            };
            self.canary_lost_by(blame, "it does not acknowledge what it is sent", now_ms);
        }
    }

    /// Brings to the canary what may go there. Suspects, with which a canary was lost, go half of them at a time; from the second
    /// time on each goes alone, with nothing else, so that the guilty one is found and nobody else pays for it. A suspect that
    /// has served for [`SUSPECT_MS`] holds nobody up any more, but from the third time on for as long as it bakes.
    pub(super) fn admit(&mut self, now_ms: u64) {
        self.send_back_dependents();
        self.ask_withdrawals(now_ms);
        if !self.canary_is_ready() {
            return;
        }
        let suspicious = |found: &&Key| match found.trial.as_ref().map(|trial| &trial.stage) {
            Some(Stage::Probing { .. }) => true,
            Some(Stage::Baking { since_ms }) => {
                found.losses >= LOSSES_MAX || now_ms.saturating_sub(*since_ms) < SUSPECT_MS
            }
            _ => false,
        };
        let at_canary = self.keys.values().filter(suspicious);
        let there: Vec<u32> = at_canary.map(|found| found.losses).collect();
        let mut waiting: Vec<(u32, u64, EdgeKey)> = Vec::new();
        for (key, found) in &self.keys {
            if let Some(trial) = &found.trial
                && matches!(trial.stage, Stage::Waiting)
                && !self.lacks(key, found, super::CANARY)
            {
                waiting.push((found.losses, trial.order, key.clone()));
            }
        }
        if there.iter().any(|losses| *losses > 1) {
            return;
        }
        let twice = waiting
            .iter()
            .filter(|(losses, ..)| *losses > 1)
            .min_by_key(|(_, order, _)| *order);
        if let Some((_, _, key)) = twice.cloned() {
            if there.is_empty() {
                self.publish_to_canary(&key, now_ms);
            }
            return;
        }
        let once = waiting.iter().filter(|(losses, ..)| *losses == 1).count();
        let mut suspects = if there.contains(&1) { 0 } else { once.div_ceil(2) };
        waiting.sort_by_key(|(_, order, _)| *order);
        for (losses, _, key) in waiting {
            if losses == 1 && suspects == 0 {
                continue;
            }
            suspects -= usize::from(losses == 1);
            self.publish_to_canary(&key, now_ms);
        }
    }

    fn publish_to_canary(&mut self, key: &EdgeKey, now_ms: u64) {
        if let Some(trial) = self.keys.get_mut(key).and_then(|found| found.trial.as_mut()) {
            trial.stage = Stage::Probing {
                publication: 0,
                since_ms: now_ms,
            };
            trial.forget_counts();
        }
        self.touch(key);
    }

    pub(super) fn applied(&mut self, name: &PopName, applied: Applied, now_ms: u64) {
        let Some(pop) = self.pops.get_mut(name) else { return };
        let number = applied.publication.0;
        // An answer to what it was sent in another lane, or to something that was never published.
        if pop.lane_since == 0 || number < pop.lane_since || number > self.publication {
            return;
        }
        let (lane, on_canary) = (pop.lane, pop.lane == Lane::Canary);
        if let Some(why) = applied.rejected {
            let message = format!("PoP {name} does not take publication {number}: {}", reason(&why));
            self.alarm("config_rejected", message);
            if on_canary {
                let why = format!("canary {name} does not take the configuration ({why})");
                if self.retreat(|publication| publication != 0 && publication <= number, |_| true, &why) == 0 {
                    self.lost.insert(name.clone(), now_ms);
                    self.dismiss_canary(now_ms);
                }
            }
            return;
        }
        pop.acked = Some(pop.acked.map_or(number, |acked| acked.max(number)));
        for refused in &applied.refused {
            self.refused(name, on_canary, refused, now_ms);
        }
        for found in self.keys.values_mut() {
            if let Some(watch) = &mut found.watch
                && watch.publications != [0, 0]
                && number >= watch.publications[index(lane)]
            {
                watch.anywhere = true;
                watch.behind.remove(name);
            }
            if on_canary
                && let Some(trial) = &mut found.trial
                && let Stage::Probing { publication, .. } = trial.stage
                && publication != 0
                && number >= publication
            {
                trial.stage = Stage::Baking { since_ms: now_ms };
            }
        }
        self.progress(now_ms);
    }

    fn refused(&mut self, pop: &PopName, on_canary: bool, refused: &RefusedWorker, now_ms: u64) {
        let key = EdgeKey::Worker(refused.account.clone(), refused.worker.clone());
        let why = format!(
            "version {} does not start on PoP {pop} ({}): {}",
            refused.version, refused.kind, refused.reason
        );
        let Some(found) = self.keys.get(&key) else {
            self.alarm("refused", format!("{key}: {why}"));
            return;
        };
        let asked = Self::deployment_of(found.asked.as_ref()) == Some(&refused.deployment);
        let approved = Self::deployment_of(found.approved.as_ref()) == Some(&refused.deployment);
        let tried = found.trial.as_ref().is_some_and(|trial| trial.stage.is_at_canary());
        let watched = found.watch.as_ref().map(|watch| watch.live);
        // Once it is everywhere, a PoP that lacks something (a store that it cannot reach) is no proof against the deployment.
        let at_fault = matches!(refused.kind.as_str(), "startup" | "binding" | "limit");
        if on_canary && tried && asked {
            self.fail_trial(&key, &why);
        } else if approved && (watched == Some(false) || watched == Some(true) && at_fault) {
            self.fail_watch(&key, &why, now_ms);
        } else {
            self.alarm("refused", format!("{key}: {why}"));
        }
    }

    /// Adds up what a PoP reports.
    pub(super) fn health(&mut self, name: &PopName, versions: &[VersionHealth], now_ms: u64) {
        let Some(pop) = self.pops.get_mut(name) else { return };
        let on_canary = pop.lane == Lane::Canary;
        let counted = |health: &VersionHealth| Tally {
            ripe: pop.ripening.of(&health.version, health.tally.begun, now_ms),
            ..health.tally
        };
        let tallies: Vec<Tally> = versions.iter().map(counted).collect();
        let calm: Vec<&EdgeKey> = self.calm_bakes();
        let accounts: Vec<_> = calm.iter().filter_map(|key| self.account_of(key)).collect();
        for (health, tally) in versions.iter().zip(&tallies) {
            let VersionHealth {
                account,
                worker,
                version,
                deployment,
                tally: _,
            } = health;
            let key = EdgeKey::Worker(account.clone(), worker.clone());
            let mut approved = true;
            if let Some(found) = self.keys.get_mut(&key) {
                approved = Self::deployment_of(found.approved.as_ref()) == Some(deployment);
                let asked = found.tries_deployment() == Some(deployment);
                if let Some(trial) = &mut found.trial
                    && let Stage::Baking { since_ms } = trial.stage
                {
                    let warm = now_ms.saturating_sub(since_ms) >= gate::WARM_UP_MS;
                    if !on_canary && approved {
                        trial.meanwhile.add(tally);
                    } else if on_canary
                        && asked
                        && let Some(own) = trial.judged.get_mut(version)
                    {
                        let counts = if warm { *tally } else { tally.without_latency() };
                        own.add(&counts);
                        trial.new.add(&counts);
                    } else if on_canary && asked {
                        trial.beside.add(tally);
                    }
                }
                if let Some(watch) = &mut found.watch
                    && approved
                {
                    // Until it is live some PoP is just starting it.
                    let warm = watch.live && now_ms.saturating_sub(watch.since_ms) >= gate::WARM_UP_MS;
                    let counts = if warm { *tally } else { tally.without_latency() };
                    match watch.judged.get_mut(version) {
                        Some(own) => {
                            own.add(&counts);
                            watch.new.add(&counts);
                        }
                        None => watch.beside.add(&counts),
                    }
                }
            }
            let under_trial = on_canary && accounts.contains(account);
            if approved && !under_trial {
                self.history.add(account, worker, tally, on_canary);
            }
            if approved && under_trial {
                self.add_calm(account, tally);
            }
        }
    }

    /// Changes that bake and are judged by their account's requests.
    fn calm_bakes(&self) -> Vec<&EdgeKey> {
        let calm = self.keys.iter().filter(|(_, found)| {
            found.trial.as_ref().is_some_and(|trial| {
                trial.bake == super::bake::Bake::Calm && matches!(trial.stage, Stage::Baking { .. })
            })
        });
        calm.map(|(key, _)| key).collect()
    }

    fn add_calm(&mut self, account: &atoll_model::TenantId, tally: &Tally) {
        let of: Vec<EdgeKey> = self
            .calm_bakes()
            .into_iter()
            .filter(|key| self.account_of(key).as_ref() == Some(account))
            .cloned()
            .collect();
        for key in of {
            if let Some(trial) = self.keys.get_mut(&key).and_then(|found| found.trial.as_mut()) {
                trial.new.add(tally);
            }
        }
    }

    /// Whose requests a change concerns.
    pub(super) fn account_of(&self, key: &EdgeKey) -> Option<atoll_model::TenantId> {
        match key {
            EdgeKey::Account(account) | EdgeKey::Worker(account, _) => Some(account.clone()),
            EdgeKey::Route(_) | EdgeKey::Domain(_) => {
                let found = self.keys.get(key)?;
                let entry = found.asked.as_deref().or(found.approved.as_deref())?;
                match entry {
                    atoll_model::EdgeEntry::Route(route) => Some(route.account.clone()),
                    atoll_model::EdgeEntry::Domain(domain) => Some(domain.account.clone()),
                    _ => None,
                }
            }
        }
    }
}
