//! The simulated rest: a catalog, sessions, time, faults; and the checks.

use crate::pops::{BAD, Kind, Pop, Taken, Traffic};
use crate::totals::Totals;
use atoll_control::catalog::{
    DeploymentFacts, DeploymentKind, Intent, IntentDelta, SplitOf, StageWrite, StagedKey, StagedPhase,
};
use atoll_control::deployer::{
    Applied, Deployer, Input, KeptPast, Lane, Outputs, Publication, Report, Rollout, TICK_MS, Withdraw,
};
use atoll_model::edge::{Change, EdgeAccount, EdgeRoute, EdgeWorker, WEIGHT_WHOLE};
use atoll_model::{
    BlobHash, ConfigDelta, DeploymentId, EdgeConfig, EdgeEntry, EdgeKey, PopName, Revision, Share, TenantId, VersionId,
    WorkerName,
};
use atoll_stdx::SplitMix64;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::sync::Arc;

/// Deployments are made for this long.
const DEPLOYING_MS: u64 = 150_000;
/// Then faults end, and everything is to come to rest.
const END_MS: u64 = DEPLOYING_MS + 250_000;
/// A bad deployment is to be gone by then.
pub const ROLLED_BACK_MS: u64 = 30_000;
/// More is allowed for each thing that went wrong besides.
pub const DISTURBED_MS: u64 = 25_000;

/// So long one may wait for its turn at the canary.
pub const WAITED_MAX_MS: u64 = 4 * DISTURBED_MS;

#[derive(Debug)]
pub enum Event {
    Tick,
    Deploy,
    Route,
    /// The deployer hears of the catalog's changes.
    Intent,
    /// Of a session: to the control plane.
    Up {
        pop: usize,
        session: u64,
        report: Report,
    },
    /// To the PoP.
    Down {
        pop: usize,
        session: u64,
        publication: Publication,
    },
    Taken {
        pop: usize,
        incarnation: u64,
        publication: Publication,
    },
    Late {
        pop: usize,
        incarnation: u64,
    },
    Health {
        pop: usize,
    },
    Crash {
        pop: usize,
    },
    Start {
        pop: usize,
    },
    Connect {
        pop: usize,
    },
    Broken {
        pop: usize,
    },
    Kill,
    Lead,
}

pub struct Session {
    pop: usize,
    lane: Option<Lane>,
    sent: u64,
    /// Nothing overtakes within a session.
    up_ms: u64,
    down_ms: u64,
}

pub struct Deployed {
    pub key: EdgeKey,
    pub kind: Kind,
    pub at_ms: u64,
    pub disturbed: u64,
    pub crashes: u64,
    pub immediate: bool,
    /// There are requests by which it shows.
    pub shows: bool,
    /// There are some, and too few of them.
    pub few: bool,
    /// When it went on from the canary.
    pub passed_ms: Option<u64>,
    pub told: Option<Rollout>,
    /// How long it waited for its turn, and since when it does now.
    pub waited_ms: u64,
    pub waits_since: Option<u64>,
}

pub struct World {
    pub rng: SplitMix64,
    pub verbose: bool,
    pub now: u64,
    pub sequence: u64,
    pub queue: BinaryHeap<Reverse<(u64, u64)>>,
    pub events: BTreeMap<u64, Event>,
    // The catalog.
    pub head: EdgeConfig,
    pub deltas: Vec<ConfigDelta>,
    pub facts: BTreeMap<DeploymentId, DeploymentFacts>,
    pub staged: BTreeMap<EdgeKey, StagedKey>,
    pub publication: u64,
    pub canary: Option<PopName>,
    pub rollouts: BTreeMap<DeploymentId, Rollout>,
    pub pasts: BTreeMap<DeploymentId, KeptPast>,
    pub epoch: u64,
    // The control plane.
    pub deployer: Option<Deployer>,
    pub lanes: BTreeMap<Lane, Publication>,
    pub sessions: BTreeMap<u64, Session>,
    pub next_session: u64,
    // PoPs.
    pub pops: Vec<Pop>,
    pub traffic: BTreeMap<EdgeKey, Traffic>,
    pub burst_until: u64,
    // Truth.
    pub kinds: BTreeMap<VersionId, Kind>,
    pub deployed: BTreeMap<DeploymentId, Deployed>,
    pub next_id: u64,
    pub disturbed: u64,
    pub totals: Totals,
    pub wrong: Vec<String>,
}

fn account() -> TenantId {
    TenantId::new("acme")
}

impl World {
    pub fn new(seed: u64, rate: Option<u64>, verbose: bool) -> Self {
        let mut rng = SplitMix64::new(seed);
        let pops = 1 + rng.below(8) as usize;
        let pops = (0..pops)
            .map(|at| Pop {
                name: PopName::new(format!("pop-{at}")),
                incarnation: 1 + rng.next_u64() / 2,
                alive: true,
                session: 0,
                held: None,
                epoch: 0,
                running: BTreeMap::new(),
                began: BTreeMap::new(),
                open: BTreeMap::new(),
                busy: false,
                next: None,
                slowness: if rng.below(6) == 0 { 2_500 } else { 20 },
                away: rng.below(2) as usize,
            })
            .collect();
        let mut world = Self {
            rng,
            verbose,
            now: 1_000_000,
            sequence: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            head: EdgeConfig::default(),
            deltas: Vec::new(),
            facts: BTreeMap::new(),
            staged: BTreeMap::new(),
            publication: 0,
            canary: None,
            rollouts: BTreeMap::new(),
            pasts: BTreeMap::new(),
            epoch: 0,
            deployer: None,
            lanes: BTreeMap::new(),
            sessions: BTreeMap::new(),
            next_session: 1,
            pops,
            traffic: BTreeMap::new(),
            burst_until: 0,
            kinds: BTreeMap::new(),
            deployed: BTreeMap::new(),
            next_id: 1,
            disturbed: 0,
            totals: Totals::default(),
            wrong: Vec::new(),
        };
        world.populate(rate);
        world
    }

    /// Workers that are there before anything happens, and the first events.
    fn populate(&mut self, rate_of_all: Option<u64>) {
        let entry = EdgeEntry::Account(EdgeAccount::default());
        let mut entries = vec![(EdgeKey::Account(account()), entry)];
        for at in 0..3 + self.rng.below(5) {
            let key = EdgeKey::Worker(account(), WorkerName::new(format!("w{at}")));
            let rate = [0, 2, 30, 60, 120][self.rng.below(5) as usize];
            let traffic = Traffic {
                rate: rate_of_all.unwrap_or(rate),
                errors: [0, 20, 300][self.rng.below(3) as usize],
                bucket: 1 + self.rng.below(4) as usize,
                polls: [0, 0, 500, 2_000][self.rng.below(4) as usize],
                patience: [3_000, 20_000, 600_000][self.rng.below(3) as usize],
            };
            self.traffic.insert(key.clone(), traffic);
            // Some are deployed for the first time later.
            if self.rng.below(5) > 0 {
                let share = self.share(Kind::Good, WEIGHT_WHOLE);
                let id = self.id("d");
                entries.push((key, EdgeEntry::Worker(worker(id, vec![share]))));
            }
        }
        self.head = EdgeConfig::from_entries(Revision(1), entries).unwrap_or_default();
        self.at(0, Event::Lead);
        self.at(TICK_MS, Event::Tick);
        for pop in 0..self.pops.len() {
            let soon = self.rng.below(2_000);
            self.at(soon, Event::Connect { pop });
            let soon = 1_000 + self.rng.below(1_000);
            self.at(soon, Event::Health { pop });
        }
        let count = 8 + self.rng.below(12);
        for _ in 0..count {
            // Not before the workers have a past.
            let when = 25_000 + self.rng.below(DEPLOYING_MS - 25_000);
            self.at(when, Event::Deploy);
        }
        for _ in 0..self.rng.below(4) {
            let when = self.rng.below(DEPLOYING_MS);
            self.at(when, Event::Route);
        }
        for _ in 0..self.rng.below(3) {
            let (when, pop) = (self.rng.below(DEPLOYING_MS), self.any_pop());
            self.at(when, Event::Crash { pop });
        }
        for _ in 0..self.rng.below(4) {
            let (when, pop) = (self.rng.below(DEPLOYING_MS), self.any_pop());
            self.at(when, Event::Broken { pop });
        }
        for _ in 0..self.rng.below(3) {
            let when = self.rng.below(DEPLOYING_MS);
            self.at(when, Event::Kill);
        }
    }

    fn any_pop(&mut self) -> usize {
        self.rng.below(self.pops.len() as u64) as usize
    }

    fn id(&mut self, of: &str) -> DeploymentId {
        self.next_id += 1;
        DeploymentId::new(format!("{of}{}", self.next_id))
    }

    fn share(&mut self, kind: Kind, weight: u16) -> Share {
        self.next_id += 1;
        let version = VersionId::new(format!("v{}", self.next_id));
        self.kinds.insert(version.clone(), kind);
        Share {
            artifact: BlobHash::of(version.as_str().as_bytes()),
            version,
            weight,
            secrets: Vec::new(),
            created_ms: self.now,
            tag: None,
        }
    }

    fn at(&mut self, after: u64, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now + after, self.sequence)));
        self.events.insert(self.sequence, event);
    }

    pub fn say(&self, what: impl fmt::Display) {
        if self.verbose {
            println!("{:>8} {what}", self.now - 1_000_000);
        }
    }

    pub fn wrong(&mut self, what: String) {
        self.say(format_args!("WRONG {what}"));
        self.wrong.push(format!("at {} ms: {what}", self.now - 1_000_000));
    }

    pub fn run(mut self) -> (Totals, Vec<String>) {
        self.totals.worlds = 1;
        let end = self.now + END_MS;
        while let Some(Reverse((when, sequence))) = self.queue.pop() {
            if when > end {
                break;
            }
            self.now = when;
            if let Some(event) = self.events.remove(&sequence) {
                self.happen(event);
            }
        }
        self.now = end;
        self.check_end();
        (self.totals, self.wrong)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick => {
                self.at(TICK_MS, Event::Tick);
                if self.rng.below(3_000) == 0 {
                    self.burst_until = self.now + 2_000;
                }
                self.step(Input::Tick);
                self.check_running();
            }
            Event::Deploy => self.deploy(),
            Event::Route => {
                let worker = WorkerName::new(format!("w{}", self.rng.below(5)));
                if self.head.get(&EdgeKey::Worker(account(), worker.clone())).is_some() {
                    let route = EdgeRoute {
                        account: account(),
                        worker: Some(worker),
                    };
                    let key = EdgeKey::Route(format!("{}.example.com/*", self.rng.below(3)));
                    self.change(vec![(key, Some(EdgeEntry::Route(route)))]);
                }
            }
            Event::Intent => self.intent(),
            Event::Up { pop, session, report } => {
                if self.pops[pop].session == session && self.sessions.contains_key(&session) {
                    self.step(Input::Report(report));
                }
            }
            Event::Down {
                pop,
                session,
                publication,
            } => {
                if self.pops[pop].session == session && self.pops[pop].alive {
                    self.arrives(pop, publication);
                }
            }
            Event::Taken {
                pop,
                incarnation,
                publication,
            } => {
                if self.pops[pop].incarnation == incarnation && self.pops[pop].alive {
                    self.taken(pop, publication);
                }
            }
            Event::Late { pop, incarnation } => {
                let runs = |pop: &Pop, kinds: &BTreeMap<VersionId, Kind>| {
                    let all = pop.running.values().flat_map(|worker| &worker.shares);
                    all.into_iter().any(|share| kinds[&share.version] == Kind::Late)
                };
                if self.pops[pop].incarnation == incarnation && runs(&self.pops[pop], &self.kinds) {
                    self.crash(pop);
                }
            }
            Event::Health { pop } => {
                self.at(1_000, Event::Health { pop });
                if self.pops[pop].alive {
                    let burst = self.now < self.burst_until;
                    let kinds = &self.kinds;
                    let versions =
                        self.pops[pop].health(self.now, &mut self.rng, &self.traffic, burst, |version| kinds[version]);
                    if !versions.is_empty() {
                        let name = self.pops[pop].name.clone();
                        self.up(pop, Report::Health { pop: name, versions });
                    }
                }
            }
            Event::Crash { pop } => {
                if self.pops[pop].alive {
                    let name = self.pops[pop].name.clone();
                    if self.canary.as_ref() == Some(&name) {
                        for deployed in self.deployed.values_mut() {
                            deployed.crashes += 1;
                        }
                    }
                    self.crash(pop);
                }
            }
            Event::Start { pop } => {
                self.pops[pop].alive = true;
                let soon = self.rng.below(1_000);
                self.at(soon, Event::Connect { pop });
            }
            Event::Connect { pop } => self.connect(pop),
            Event::Broken { pop } => {
                self.disturbed += 1;
                self.hang_up(pop);
                let soon = self.rng.below(2_500);
                self.at(soon, Event::Connect { pop });
            }
            Event::Kill => self.kill(),
            Event::Lead => self.lead(),
        }
    }

    // ---- the catalog ----

    /// One transaction of the catalog.
    fn change(&mut self, changes: Vec<(EdgeKey, Option<EdgeEntry>)>) {
        let now = self.now;
        for (key, _) in &changes {
            let approved = self.head.get(key).cloned();
            self.staged
                .entry(key.clone())
                .or_insert_with(|| staged(key.clone(), approved, now));
        }
        let changes = changes.into_iter().map(|(key, entry)| Change { key, entry }).collect();
        let to = Revision(self.head.revision().0 + 1);
        match self.head.change(to, changes) {
            Ok((head, delta)) => {
                self.head = head;
                self.deltas.push(delta);
            }
            Err(error) => self.wrong(format!("the simulated catalog made a bad change: {error}")),
        }
        let soon = 1 + self.rng.below(40);
        self.at(soon, Event::Intent);
    }

    fn store(&mut self, write: StageWrite) {
        if write.publication.0 < self.publication {
            self.wrong(format!("publication {} after {}", write.publication, self.publication));
        }
        self.publication = self.publication.max(write.publication.0);
        self.canary = write.canary;
        for row in write.put {
            self.staged.insert(row.key.clone(), row);
        }
        for (key, approved) in write.settled {
            self.staged.remove(&key);
            if self.head.get(&key) != approved.as_ref() {
                self.staged.insert(key.clone(), staged(key, approved, self.now));
            }
        }
        for (id, rollout) in write.rollouts {
            self.rollouts.insert(id, rollout);
        }
        for past in write.pasts {
            self.pasts.insert(past.deployment.clone(), past);
        }
    }

    fn intent(&mut self) {
        let Some(deployer) = &self.deployer else { return };
        let from = deployer.revision();
        let mut joined: Option<ConfigDelta> = None;
        for delta in self.deltas.iter().filter(|delta| delta.from >= from) {
            joined = match joined {
                None => Some(delta.clone()),
                Some(before) => before.then(delta.clone()),
            };
        }
        if let Some(delta) = joined {
            let deployments = self.facts.clone();
            self.step(Input::Intent(IntentDelta { delta, deployments }));
        }
    }

    fn withdraw(&mut self, asked: &Withdraw) {
        let key = EdgeKey::Worker(asked.account.clone(), asked.worker.clone());
        let Some(EdgeEntry::Worker(now)) = self.head.get(&key).map(|entry| (**entry).clone()) else {
            return;
        };
        if now.deployment == asked.deployment {
            let share = |split: &SplitOf| Share {
                artifact: BlobHash::of(split.version.as_str().as_bytes()),
                version: split.version.clone(),
                weight: split.weight,
                secrets: Vec::new(),
                created_ms: 0,
                tag: None,
            };
            // As the catalog derives it: from the same rows that the approved entry came from.
            let approved = self.staged.get(&key).and_then(|staged| staged.approved.clone());
            let shares = match approved.as_deref() {
                Some(EdgeEntry::Worker(approved)) => approved.shares.clone(),
                _ => asked.back_to.iter().map(share).collect(),
            };
            let id = self.id("r");
            self.facts
                .insert(id.clone(), facts(DeploymentKind::AutomaticRollback, false));
            self.say(format_args!("withdrawn {} by {id}", asked.deployment));
            self.rollouts.insert(asked.deployment.clone(), asked.rollout.clone());
            self.change(vec![(key, Some(EdgeEntry::Worker(worker(id, shares))))]);
        }
    }

    fn deploy(&mut self) {
        let keys: Vec<EdgeKey> = self.traffic.keys().cloned().collect();
        let key = keys[self.rng.below(keys.len() as u64) as usize].clone();
        let rate = self.traffic[&key].rate;
        let before = match self.head.get(&key).map(|entry| &**entry) {
            Some(EdgeEntry::Worker(before)) => Some(before.clone()),
            _ => None,
        };
        let bad = self.rng.below(2) == 0;
        let kind = if bad {
            BAD[self.rng.below(BAD.len() as u64) as usize]
        } else {
            Kind::Good
        };
        let immediate = self.rng.below(8) == 0;
        // Gradual, if there is something to share with and enough comes of it.
        let only_good = before.as_ref().filter(|before| {
            let good = |share: &Share| self.kinds[&share.version] == Kind::Good;
            before.shares.iter().all(good) && before.shares.len() == 1
        });
        let mut weight = WEIGHT_WHOLE;
        let mut shares = Vec::new();
        if let Some(before) = only_good
            && self.rng.below(3) == 0
        {
            weight = 2_000;
            shares.push(Share {
                weight: WEIGHT_WHOLE - weight,
                ..before.shares[0].clone()
            });
        }
        let share = self.share(kind, weight);
        shares.push(share);
        let id = self.id("d");
        self.say(format_args!(
            "deploy {id} of {key}: {kind:?} {} % immediate {immediate} rate {rate}",
            weight / 100
        ));
        self.facts.insert(id.clone(), facts(DeploymentKind::Deploy, immediate));
        if bad {
            self.totals.bad += 1;
        } else {
            self.totals.good += 1;
        }
        // What it replaces is well, so that there is a difference; and of the first version nobody knows how fast it is to be.
        let replaced = match self
            .deployer
            .as_ref()
            .and_then(|deployer| deployer.lane(Lane::Fleet).get(&key).cloned())
            .as_deref()
        {
            Some(EdgeEntry::Worker(replaced)) => Some(replaced.clone()),
            _ => None,
        };
        let well = |worker: &EdgeWorker| {
            worker
                .shares
                .iter()
                .all(|share| self.kinds[&share.version] == Kind::Good)
        };
        let differs = match &replaced {
            Some(replaced) => well(replaced),
            // Nobody knows how long its first version may take, either.
            None => kind != Kind::Slow && (kind != Kind::Hangs || !immediate),
        };
        let on_canary = rate * u64::from(weight) / u64::from(WEIGHT_WHOLE);
        let Traffic { polls, patience, .. } = self.traffic[&key];
        // What is slow is told by where 95 % of the requests end, which is a minute for a worker that is polled.
        let differs = differs && (polls == 0 || kind != Kind::Slow);
        let enough = match kind {
            // Nobody who stays is ever answered: few are enough. Those who leave early show less.
            Kind::Hangs => on_canary >= if patience > 15_000 { 2 } else { 6 },
            _ => on_canary >= 12,
        };
        // One that takes PoPs down after all have it, with nobody to try it before: too few PoPs, or a control plane that is
        // killed meanwhile, do not tell it.
        // Enough for the gate within its longest bake, and enough to be told from noise.
        let shows = !(immediate && kind == Kind::Late) && (kind.shows_at_once() || enough && differs);
        let deployed = Deployed {
            key: key.clone(),
            kind,
            at_ms: self.now,
            disturbed: self.disturbed,
            crashes: 0,
            immediate,
            shows,
            few: bad && kind != Kind::Delayed && !shows && !immediate && differs && rate > 0,
            passed_ms: None,
            told: None,
            waited_ms: 0,
            waits_since: None,
        };
        self.deployed.insert(id.clone(), deployed);
        self.change(vec![(key, Some(EdgeEntry::Worker(worker(id, shares))))]);
    }

    // ---- the control plane ----

    fn step(&mut self, input: Input) {
        let Some(mut deployer) = self.deployer.take() else {
            return;
        };
        let outputs = deployer.step(self.now, input);
        self.deployer = Some(deployer);
        self.carry_out(outputs);
    }

    fn carry_out(&mut self, outputs: Outputs) {
        if let Some(write) = outputs.write {
            self.store(write);
        }
        // Killed between what it stored and what it says.
        if !outputs.publish.is_empty() && self.now < 1_000_000 + DEPLOYING_MS && self.rng.below(400) == 0 {
            self.kill();
            return;
        }
        for (pop, lane) in outputs.lanes {
            let session = self
                .sessions
                .iter_mut()
                .find(|(_, session)| self.pops[session.pop].name == pop);
            if let Some((_, session)) = session {
                session.lane = Some(lane);
            }
        }
        for publication in outputs.publish {
            self.check_publication(&publication);
            self.lanes.insert(publication.lane, publication);
        }
        self.send();
        for (id, rollout) in outputs.rollouts {
            self.told(&id, rollout);
        }
        for alarm in outputs.alarms {
            self.say(format_args!("alarm {}: {}", alarm.code, alarm.message));
        }
        for asked in outputs.withdraw {
            self.withdraw(&asked);
        }
    }

    /// Brings every session to its lane's newest.
    fn send(&mut self) {
        let ids: Vec<u64> = self.sessions.keys().copied().collect();
        for id in ids {
            let delay = 1 + self.rng.below(60);
            let (now, lanes) = (self.now, &self.lanes);
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            let Some(publication) = session.lane.and_then(|lane| lanes.get(&lane)) else {
                continue;
            };
            let number = publication.config.revision().0;
            if number <= session.sent {
                continue;
            }
            session.sent = number;
            session.down_ms = session.down_ms.max(now + delay);
            let (pop, after, publication) = (session.pop, session.down_ms - now, publication.clone());
            self.at(
                after,
                Event::Down {
                    pop,
                    session: id,
                    publication,
                },
            );
        }
    }

    fn kill(&mut self) {
        if self.deployer.take().is_none() {
            return;
        }
        self.say("the control plane is killed");
        self.disturbed += 1;
        self.totals.restarts += 1;
        self.lanes.clear();
        for pop in 0..self.pops.len() {
            self.hang_up(pop);
        }
        let soon = 200 + self.rng.below(4_000);
        self.at(soon, Event::Lead);
    }

    fn lead(&mut self) {
        self.epoch += 1;
        let intent = Intent {
            head: self.head.clone(),
            staged: self.staged.values().cloned().collect(),
            deployments: self.facts.clone(),
            rollouts: self.rollouts.clone(),
            publication: Revision(self.publication),
            canary: self.canary.clone(),
            pasts: self.pasts.values().cloned().collect(),
            standing: None,
        };
        let (deployer, outputs) = Deployer::begin(intent, self.epoch, self.now);
        self.deployer = Some(deployer);
        self.say(format_args!("epoch {}", self.epoch));
        self.carry_out(outputs);
        for pop in 0..self.pops.len() {
            let soon = 100 + self.rng.below(2_000);
            self.at(soon, Event::Connect { pop });
        }
    }

    // ---- PoPs and their sessions ----

    fn up(&mut self, pop: usize, report: Report) {
        let id = self.pops[pop].session;
        let delay = 1 + self.rng.below(60);
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.up_ms = session.up_ms.max(now + delay);
        let after = session.up_ms - now;
        self.at(
            after,
            Event::Up {
                pop,
                session: id,
                report,
            },
        );
    }

    fn connect(&mut self, pop: usize) {
        if self.deployer.is_none() || !self.pops[pop].alive || self.pops[pop].session != 0 {
            return;
        }
        let id = self.next_session;
        self.next_session += 1;
        self.pops[pop].session = id;
        let Pop {
            name,
            held,
            incarnation,
            ..
        } = &self.pops[pop];
        let report = Report::Connected {
            pop: name.clone(),
            region: "here".to_owned(),
            publication: held.as_ref().map_or(Revision(0), |held| held.revision()),
            root: held.as_ref().map(|held| held.root()),
            incarnation: *incarnation,
        };
        let sent = held.as_ref().map_or(0, |held| held.revision().0);
        let (up_ms, down_ms) = (self.now, self.now);
        let session = Session {
            pop,
            lane: None,
            sent,
            up_ms,
            down_ms,
        };
        self.sessions.insert(id, session);
        self.up(pop, report);
    }

    fn hang_up(&mut self, pop: usize) {
        let id = std::mem::take(&mut self.pops[pop].session);
        if self.sessions.remove(&id).is_some() {
            let gone = self.pops[pop].name.clone();
            self.step(Input::Report(Report::Gone { pop: gone }));
        }
    }

    fn crash(&mut self, pop: usize) {
        self.totals.crashes += 1;
        self.disturbed += 1;
        self.say(format_args!("{} crashes", self.pops[pop].name));
        let incarnation = self.rng.next_u64() / 2 + 1;
        let it = &mut self.pops[pop];
        it.alive = false;
        it.incarnation = incarnation;
        it.busy = false;
        it.open.clear();
        it.next = None;
        self.hang_up(pop);
        let soon = 500 + self.rng.below(3_000);
        self.at(soon, Event::Start { pop });
    }

    fn arrives(&mut self, pop: usize, publication: Publication) {
        let it = &mut self.pops[pop];
        let held = it.held.as_ref().map_or(0, |held| held.revision().0);
        let number = publication.config.revision().0;
        if it.held.as_ref().is_some_and(|held| {
            held.revision() == publication.config.revision() && held.root() == publication.config.root()
        }) {
            // It came twice, over two sessions.
            let applied = Applied {
                publication: publication.config.revision(),
                ..Applied::default()
            };
            let name = it.name.clone();
            self.up(pop, Report::Applied { pop: name, applied });
            return;
        }
        if publication.epoch < it.epoch || number <= held {
            let (name, epoch) = (it.name.clone(), it.epoch);
            self.wrong(format!(
                "{name} holds {held} of epoch {epoch} and is sent {number} of epoch {}",
                publication.epoch
            ));
            return;
        }
        it.epoch = publication.epoch;
        if it.busy {
            it.next = Some(publication);
            return;
        }
        it.busy = true;
        let (incarnation, slowness) = (it.incarnation, it.slowness);
        let after = slowness + self.rng.below(slowness * 2 + 200);
        self.at(
            after,
            Event::Taken {
                pop,
                incarnation,
                publication,
            },
        );
    }

    fn taken(&mut self, pop: usize, publication: Publication) {
        let (kinds, now) = (&self.kinds, self.now);
        let taken = self.pops[pop].take(&publication.config, now, |version| kinds[version]);
        let applied = match taken {
            Taken::Crashed => {
                self.crash(pop);
                return;
            }
            Taken::Applied(applied) => applied,
        };
        if applied
            .started
            .iter()
            .any(|started| self.kinds[&started.version] == Kind::Late)
        {
            let incarnation = self.pops[pop].incarnation;
            self.at(2_000, Event::Late { pop, incarnation });
        }
        let name = self.pops[pop].name.clone();
        self.up(pop, Report::Applied { pop: name, applied });
        self.pops[pop].busy = false;
        if let Some(next) = self.pops[pop].next.take() {
            self.arrives(pop, next);
        }
    }
}

fn facts(kind: DeploymentKind, immediate: bool) -> DeploymentFacts {
    DeploymentFacts { kind, immediate }
}

fn staged(key: EdgeKey, approved: Option<Arc<EdgeEntry>>, now: u64) -> StagedKey {
    StagedKey {
        key,
        approved,
        previous: None,
        phase: StagedPhase::Staged,
        judged: None,
        since_ms: now,
        losses: 0,
        reason: None,
    }
}

fn worker(deployment: DeploymentId, shares: Vec<Share>) -> EdgeWorker {
    EdgeWorker {
        deployment,
        shares,
        aliases: Vec::new(),
        recent: Vec::new(),
        crons: Vec::new(),
        subdomain: true,
        previews: false,
    }
}
