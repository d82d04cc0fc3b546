//! The machine's rules, one by one; `deploy-sim` runs it through everything at once.

use super::*;
use crate::catalog::{DeploymentFacts, DeploymentKind, StagedKey, StagedPhase};
use crate::deployer::lanes::{Applied, RefusedWorker, Tally, VersionHealth};
use crate::deployer::{BAKE_MIN_MS, Lane};
use atoll_model::edge::{EdgeAccount, EdgeRoute, EdgeWorker, WEIGHT_WHOLE};
use atoll_model::{BlobHash, Share, VersionId};

const IMMEDIATE: DeploymentFacts = DeploymentFacts {
    kind: DeploymentKind::Deploy,
    immediate: true,
};

/// A machine, its time, and PoPs that acknowledge what they are sent.
struct Bench {
    deployer: Deployer,
    head: EdgeConfig,
    now: u64,
    pops: BTreeMap<PopName, Lane>,
    rollouts: BTreeMap<DeploymentId, Rollout>,
    withdrawn: Vec<Withdraw>,
    alarms: Vec<Alarm>,
    write: StageWrite,
    /// All rows that were ever stored, in their order.
    rows: Vec<StagedKey>,
    pasts: BTreeMap<DeploymentId, KeptPast>,
    /// It acknowledges nothing.
    silent: Option<PopName>,
    /// Of all publications.
    may_empty: Vec<(Lane, bool)>,
    refuse: Vec<(PopName, DeploymentId)>,
}

fn account() -> TenantId {
    TenantId::new("acme")
}

fn key(name: &str) -> EdgeKey {
    EdgeKey::Worker(account(), WorkerName::new(name))
}

fn worker(deployment: &str, versions: &[(&str, u16)]) -> EdgeEntry {
    let share = |(version, weight): &(&str, u16)| Share {
        version: VersionId::new(*version),
        artifact: BlobHash::of(version.as_bytes()),
        weight: *weight,
        secrets: Vec::new(),
        created_ms: 0,
        tag: None,
    };
    EdgeEntry::Worker(EdgeWorker {
        deployment: DeploymentId::new(deployment),
        shares: versions.iter().map(share).collect(),
        aliases: Vec::new(),
        recent: Vec::new(),
        crons: Vec::new(),
        subdomain: true,
        previews: false,
    })
}

fn route(name: &str) -> EdgeEntry {
    EdgeEntry::Route(EdgeRoute {
        account: account(),
        worker: Some(WorkerName::new(name)),
    })
}

impl Bench {
    fn new(pops: &[&str]) -> Self {
        let entries = [
            (EdgeKey::Account(account()), EdgeEntry::Account(EdgeAccount::default())),
            (key("old"), worker("d0", &[("v0", WEIGHT_WHOLE)])),
        ];
        let head = EdgeConfig::from_entries(Revision(7), entries).unwrap();
        let intent = Intent {
            head: head.clone(),
            staged: Vec::new(),
            deployments: BTreeMap::new(),
            rollouts: BTreeMap::new(),
            publication: Revision(40),
            canary: None,
            pasts: Vec::new(),
            standing: None,
        };
        let (deployer, outputs) = Deployer::begin(intent, 1, 1_000);
        let mut bench = Self {
            deployer,
            head,
            now: 1_000,
            pops: BTreeMap::new(),
            rollouts: BTreeMap::new(),
            withdrawn: Vec::new(),
            alarms: Vec::new(),
            write: StageWrite::default(),
            rows: Vec::new(),
            pasts: BTreeMap::new(),
            silent: None,
            may_empty: Vec::new(),
            refuse: Vec::new(),
        };
        bench.carry_out(outputs);
        for pop in pops {
            bench.connect(pop);
        }
        bench
    }

    fn connect(&mut self, name: &str) {
        let report = Report::Connected {
            pop: PopName::new(name),
            region: String::new(),
            publication: Revision(0),
            root: None,
            incarnation: self.now,
        };
        self.step(Input::Report(report));
    }

    fn step(&mut self, input: Input) {
        let outputs = self.deployer.step(self.now, input);
        self.carry_out(outputs);
    }

    fn carry_out(&mut self, outputs: Outputs) {
        if let Some(write) = outputs.write {
            assert!(write.publication >= self.write.publication);
            self.rows.extend(write.put.clone());
            let pasts = write.pasts.iter().cloned();
            self.pasts.extend(pasts.map(|past| (past.deployment.clone(), past)));
            self.write = write;
        }
        self.withdrawn.extend(outputs.withdraw);
        self.alarms.extend(outputs.alarms);
        self.rollouts.extend(outputs.rollouts);
        let may_empty = outputs.publish.iter().map(|one| (one.lane, one.may_empty));
        self.may_empty.extend(may_empty);
        let mut told = BTreeSet::new();
        for (pop, lane) in outputs.lanes {
            self.pops.insert(pop.clone(), lane);
            told.insert(pop);
        }
        for publication in &outputs.publish {
            told.extend(
                self.pops
                    .iter()
                    .filter(|(_, lane)| **lane == publication.lane)
                    .map(|(pop, _)| pop.clone()),
            );
        }
        told.retain(|pop| self.silent.as_ref() != Some(pop));
        for pop in told {
            let config = self.deployer.lane(self.pops[&pop]).clone();
            let refused = self.refuse.iter().filter(|(by, id)| {
                let has = |entry: &EdgeEntry| matches!(entry, EdgeEntry::Worker(worker) if worker.deployment == *id);
                *by == pop && config.entries().any(|(_, entry)| has(entry))
            });
            let refused = refused.map(|(_, id)| RefusedWorker {
                account: account(),
                worker: WorkerName::new("old"),
                deployment: id.clone(),
                version: VersionId::new("v1"),
                kind: "startup".to_owned(),
                reason: "it throws".to_owned(),
            });
            let applied = Applied {
                publication: config.revision(),
                refused: refused.collect(),
                ..Applied::default()
            };
            self.step(Input::Report(Report::Applied { pop, applied }));
        }
    }

    /// The catalog asks for an entry.
    fn ask(&mut self, key: EdgeKey, entry: Option<EdgeEntry>, facts: DeploymentFacts) {
        let id = bake::deployment(entry.as_ref()).cloned();
        let to = Revision(self.head.revision().0 + 1);
        let (head, delta) = self.head.change(to, vec![Change { key, entry }]).unwrap();
        self.head = head;
        let deployments = id.map(|id| (id, facts)).into_iter().collect();
        self.step(Input::Intent(IntentDelta { delta, deployments }));
    }

    /// So many workers more, live everywhere.
    fn fill(&mut self, workers: u32) {
        for at in 0..workers {
            let name = format!("w{at}");
            self.ask(key(&name), Some(worker(&name, &[("v", WEIGHT_WHOLE)])), IMMEDIATE);
        }
        self.pass(2_000);
    }

    fn deploy(&mut self, name: &str, deployment: &str, version: &str) {
        self.ask(
            key(name),
            Some(worker(deployment, &[(version, WEIGHT_WHOLE)])),
            keys::NO_FACTS,
        );
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            self.now += TICK_MS;
            self.step(Input::Tick);
        }
    }

    /// Requests of a version on the canary.
    fn requests(&mut self, deployment: &str, version: &str, requests: u64, exceptions: u64) {
        let tally = Tally {
            requests,
            exceptions,
            ..Tally::default()
        };
        self.report(deployment, version, tally);
    }

    /// What the canary counted.
    fn report(&mut self, deployment: &str, version: &str, tally: Tally) {
        let canary = self.canary();
        let health = VersionHealth {
            account: account(),
            worker: WorkerName::new("old"),
            version: VersionId::new(version),
            deployment: DeploymentId::new(deployment),
            tally,
        };
        self.step(Input::Report(Report::Health {
            pop: canary,
            versions: vec![health],
        }));
    }

    /// Seconds of requests of which a fifth is answered after minutes.
    fn polled(&mut self, deployment: &str, version: &str, seconds: u64) {
        for second in 0..seconds {
            let late = if second < 5 { 0 } else { 20 };
            let tally = Tally {
                requests: 80,
                begun: 100,
                settled: 80,
                late,
                late_seconds: late * second.saturating_sub(4),
                ..Tally::default()
            };
            self.pass(1_000);
            self.report(deployment, version, tally);
        }
    }

    /// The control plane ends, and another one begins with what this one stored.
    fn begin_again(&mut self) {
        let intent = Intent {
            head: self.head.clone(),
            staged: Vec::new(),
            deployments: BTreeMap::new(),
            rollouts: BTreeMap::new(),
            publication: self.write.publication,
            canary: self.write.canary.clone(),
            pasts: self.pasts.values().cloned().collect(),
            standing: self.write.standing,
        };
        let (deployer, outputs) = Deployer::begin(intent, 2, self.now);
        self.deployer = deployer;
        let pops: Vec<PopName> = std::mem::take(&mut self.pops).into_keys().collect();
        self.carry_out(outputs);
        for pop in pops {
            self.connect(pop.as_str());
        }
    }

    fn canary(&self) -> PopName {
        let mut canaries = self.pops.iter().filter(|(_, lane)| **lane == Lane::Canary);
        let (name, _) = canaries.next().unwrap();
        assert!(canaries.next().is_none());
        name.clone()
    }

    fn has(&self, lane: Lane, name: &str) -> Option<String> {
        let entry = self.deployer.lane(lane).get(&key(name))?;
        bake::deployment(Some(entry)).map(ToString::to_string)
    }

    fn state(&self, deployment: &str) -> RolloutState {
        self.rollouts[&DeploymentId::new(deployment)].state
    }
}

#[test]
fn a_good_deployment_goes_by_the_canary_to_everybody() {
    let mut bench = Bench::new(&["a", "b", "c"]);
    bench.requests("d0", "v0", 500, 1);
    bench.deploy("old", "d1", "v1");
    assert_eq!(
        (bench.has(Lane::Canary, "old"), bench.has(Lane::Fleet, "old")),
        (Some("d1".into()), Some("d0".into()))
    );
    assert_eq!(bench.state("d1"), RolloutState::Baking);
    bench.requests("d1", "v1", 250, 1);
    bench.pass(BAKE_MIN_MS - 200);
    assert_eq!(bench.state("d1"), RolloutState::Baking);
    bench.pass(400);
    assert_eq!(bench.has(Lane::Fleet, "old").as_deref(), Some("d1"));
    let rollout = &bench.rollouts[&DeploymentId::new("d1")];
    assert_eq!(
        (rollout.state, rollout.unproven, rollout.requests),
        (RolloutState::Live, false, 250)
    );
    assert_eq!((rollout.pops.applied, rollout.pops.total), (3, 3));
    assert_eq!(bench.rows.last().map(|row| row.phase), Some(StagedPhase::Watching));
    bench.pass(WATCH_MS + 200);
    assert_eq!(bench.write.settled.len(), 1);
    assert!(bench.deployer.stages().is_empty());
}

#[test]
fn a_bad_one_goes_back_and_the_fleet_never_had_it() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.requests("d0", "v0", 500, 1);
    bench.deploy("old", "d1", "v1");
    bench.requests("d1", "v1", 60, 60);
    bench.pass(100);
    assert_eq!(bench.state("d1"), RolloutState::RolledBack);
    assert_eq!(
        (bench.has(Lane::Canary, "old"), bench.has(Lane::Fleet, "old")),
        (Some("d0".into()), Some("d0".into()))
    );
    let withdraw = bench.withdrawn.pop().unwrap();
    assert_eq!(withdraw.back_to[0].version.as_str(), "v0");
    assert!(withdraw.rollout.reason.unwrap().contains("60 of 60 requests failed"));
    // Until the catalog answers it is asked again; then the same versions come back under another name, without a bake.
    bench.pass(WITHDRAW_AGAIN_MS + 100);
    assert_eq!(bench.withdrawn.len(), 1);
    let automatic = DeploymentFacts {
        kind: DeploymentKind::AutomaticRollback,
        immediate: false,
    };
    bench.ask(key("old"), Some(worker("d2", &[("v0", WEIGHT_WHOLE)])), automatic);
    assert_eq!(bench.has(Lane::Fleet, "old").as_deref(), Some("d2"));
    bench.pass(100);
    assert_eq!(
        (bench.state("d1"), bench.state("d2")),
        (RolloutState::RolledBack, RolloutState::Live)
    );
}

#[test]
fn two_new_versions_are_judged_one_by_one() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.requests("d0", "v0", 500, 1);
    let shares = worker("d1", &[("good", 9_000), ("bad", 1_000)]);
    bench.ask(key("old"), Some(shares), keys::NO_FACTS);
    // Together 10 % fail, of which the half is not yet beyond doubt.
    bench.requests("d1", "good", 540, 1);
    bench.requests("d1", "bad", 60, 60);
    bench.pass(100);
    assert_eq!(bench.state("d1"), RolloutState::RolledBack);
    let reason = bench.rollouts[&DeploymentId::new("d1")].reason.clone().unwrap();
    assert!(reason.starts_with("version bad: 60 of 60 requests failed"), "{reason}");
    assert_eq!(bench.has(Lane::Fleet, "old").as_deref(), Some("d0"));
}

#[test]
fn a_refusal_anywhere_takes_it_back_everywhere() {
    let mut bench = Bench::new(&["a", "b", "c"]);
    let canary = bench.canary();
    let other = bench.pops.keys().find(|name| **name != canary).unwrap().clone();
    bench.refuse.push((other, DeploymentId::new("d1")));
    bench.deploy("old", "d1", "v1");
    bench.pass(BAKE_MIN_MS + 200);
    assert_eq!(bench.state("d1"), RolloutState::RolledBack);
    assert_eq!(bench.has(Lane::Fleet, "old").as_deref(), Some("d0"));
    assert_eq!(bench.withdrawn[0].back_to[0].version.as_str(), "v0");
}

#[test]
fn an_immediate_one_has_no_canary_and_a_first_one_nothing_to_go_back_to() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.ask(key("old"), Some(worker("d1", &[("v1", WEIGHT_WHOLE)])), IMMEDIATE);
    bench.pass(100);
    assert_eq!(
        (bench.state("d1"), bench.has(Lane::Fleet, "old")),
        (RolloutState::Live, Some("d1".into()))
    );
    bench.deploy("new", "d2", "v2");
    assert_eq!(
        (bench.has(Lane::Canary, "new"), bench.has(Lane::Fleet, "new")),
        (Some("d2".into()), None)
    );
    let refused = RefusedWorker {
        account: account(),
        worker: WorkerName::new("new"),
        deployment: DeploymentId::new("d2"),
        version: VersionId::new("v2"),
        kind: "startup".to_owned(),
        reason: "no\0body".to_owned(),
    };
    let applied = Applied {
        publication: bench.deployer.lane(Lane::Canary).revision(),
        refused: vec![refused],
        ..Applied::default()
    };
    let pop = bench.canary();
    bench.step(Input::Report(Report::Applied { pop, applied }));
    assert_eq!(
        (bench.state("d2"), bench.has(Lane::Canary, "new")),
        (RolloutState::RolledBack, None)
    );
    assert!(bench.withdrawn.is_empty());
    assert_eq!(bench.rows.last().map(|row| row.phase), Some(StagedPhase::Held));
}

#[test]
fn a_route_waits_for_its_worker_and_nobody_for_others() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.ask(EdgeKey::Route("a.com/*".into()), Some(route("new")), keys::NO_FACTS);
    assert!(
        bench
            .deployer
            .lane(Lane::Canary)
            .get(&EdgeKey::Route("a.com/*".into()))
            .is_none()
    );
    bench.deploy("new", "d1", "v1");
    // Another tenant's change is half way when a bad one comes.
    bench.pass(5_000);
    bench.deploy("old", "d2", "v2");
    bench.requests("d2", "v2", 60, 60);
    bench.pass(BAKE_MIN_MS - 4_000);
    assert_eq!(bench.state("d1"), RolloutState::Live);
    assert_eq!(bench.state("d2"), RolloutState::RolledBack);
    bench.pass(1_000);
    assert!(
        bench
            .deployer
            .lane(Lane::Fleet)
            .get(&EdgeKey::Route("a.com/*".into()))
            .is_some()
    );
}

#[test]
fn a_newer_deployment_takes_the_place_of_one_that_bakes() {
    let mut bench = Bench::new(&["a"]);
    bench.deploy("old", "d1", "v1");
    bench.pass(3_000);
    bench.deploy("old", "d2", "v2");
    assert_eq!(
        (bench.state("d1"), bench.state("d2")),
        (RolloutState::Superseded, RolloutState::Baking)
    );
    // To go back to what the fleet has needs no bake.
    bench.ask(key("old"), Some(worker("d3", &[("v0", WEIGHT_WHOLE)])), keys::NO_FACTS);
    bench.pass(100);
    assert_eq!(
        (bench.state("d2"), bench.state("d3")),
        (RolloutState::Superseded, RolloutState::Live)
    );
}

#[test]
fn without_pops_a_deployment_waits_and_a_lost_canary_is_replaced() {
    let mut bench = Bench::new(&[]);
    bench.deploy("old", "d1", "v1");
    bench.pass(60_000);
    assert_eq!(bench.state("d1"), RolloutState::Probing);
    assert_eq!(
        bench.rollouts[&DeploymentId::new("d1")].reason.as_deref(),
        Some("no PoP is connected")
    );
    bench.connect("a");
    assert_eq!(bench.state("d1"), RolloutState::Baking);
    bench.connect("b");
    bench.pass(5_000);
    let pop = bench.canary();
    bench.pops.remove(&pop);
    bench.step(Input::Report(Report::Gone { pop: pop.clone() }));
    bench.pass(CANARY_GRACE_MS + 100);
    assert_ne!(bench.canary(), pop);
    assert_eq!(bench.state("d1"), RolloutState::Baking);
    assert_eq!(bench.rows.last().map(|row| row.losses), Some(1));
    // From its beginning.
    bench.pass(BAKE_MIN_MS - 200);
    assert_eq!(bench.state("d1"), RolloutState::Baking);
    bench.pass(500);
    assert_eq!(bench.state("d1"), RolloutState::Live);
}

#[test]
fn a_control_plane_that_begins_goes_on_with_what_was_stored() {
    let mut bench = Bench::new(&["a"]);
    bench.deploy("old", "d1", "v1");
    let staged = StagedKey {
        key: key("old"),
        approved: Some(Arc::new(worker("d0", &[("v0", WEIGHT_WHOLE)]))),
        previous: None,
        phase: StagedPhase::Staged,
        judged: None,
        since_ms: bench.now,
        losses: 1,
        reason: None,
    };
    let intent = Intent {
        head: bench.head.clone(),
        staged: vec![staged.clone()],
        deployments: BTreeMap::new(),
        rollouts: bench.rollouts.clone(),
        publication: bench.write.publication,
        canary: bench.write.canary.clone(),
        pasts: Vec::new(),
        standing: bench.write.standing,
    };
    let (next, outputs) = Deployer::begin(intent.clone(), 2, bench.now);
    // The fleet stays with what was approved, under new numbers.
    assert_eq!(outputs.publish.len(), 2);
    assert!(
        outputs
            .publish
            .iter()
            .all(|one| one.config.revision() > intent.publication && one.epoch == 2)
    );
    let fleet = next.lane(Lane::Fleet).get(&key("old")).cloned();
    assert_eq!(fleet, staged.approved);
    assert_eq!(next.staged(), 1);
    // What failed is not tried again.
    let mut rollouts = bench.rollouts.clone();
    for rollout in rollouts.values_mut() {
        rollout.state = RolloutState::RolledBack;
        rollout.reason = Some("it failed".to_owned());
    }
    let (held, outputs) = Deployer::begin(Intent { rollouts, ..intent }, 3, bench.now);
    assert_eq!(held.stages()[&key("old")], "held");
    assert_eq!(outputs.withdraw.len(), 0);
}

#[test]
fn who_removes_most_of_it_says_so_in_both_lanes() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.fill(11);
    assert!(bench.may_empty.iter().all(|(_, may)| !may));
    bench.may_empty.clear();
    // All at once, as when an account goes.
    let gone = |at| Change {
        key: key(&format!("w{at}")),
        entry: None,
    };
    let to = Revision(bench.head.revision().0 + 1);
    let (head, delta) = bench.head.change(to, (0..11).map(gone).collect()).unwrap();
    bench.head = head;
    let deployments = BTreeMap::new();
    bench.step(Input::Intent(IntentDelta { delta, deployments }));
    bench.pass(2_000);
    for lane in [Lane::Canary, Lane::Fleet] {
        assert!(bench.may_empty.contains(&(lane, true)), "{:?}", bench.may_empty);
        assert!(!bench.may_empty.contains(&(lane, false)), "{:?}", bench.may_empty);
    }
    assert_eq!(bench.has(Lane::Fleet, "w3"), None);
    assert_eq!(bench.has(Lane::Fleet, "old").as_deref(), Some("d0"));
}

#[test]
fn who_was_sent_last_is_not_to_blame_for_a_canary_that_does_not_answer() {
    let mut bench = Bench::new(&["a", "b", "c"]);
    let canary = bench.canary();
    bench.silent = Some(canary.clone());
    bench.deploy("old", "d1", "v1");
    bench.pass(super::CANARY_ACK_MAX_MS - 500);
    bench.deploy("other", "d2", "v2");
    bench.pass(1_000);
    assert_ne!(bench.canary(), canary);
    let losses = |bench: &Bench, name: &str| {
        bench
            .rows
            .iter()
            .rfind(|row| row.key == key(name))
            .map(|row| row.losses)
    };
    assert_eq!((losses(&bench, "old"), losses(&bench, "other")), (Some(1), Some(0)));
}

#[test]
fn a_suspect_that_serves_well_for_a_while_holds_nobody_up() {
    let mut bench = Bench::new(&["a", "b", "c", "d", "e"]);
    bench.deploy("old", "d1", "v1");
    // Twice.
    for _ in 0..2 {
        let canary = bench.canary();
        bench.step(Input::Report(Report::Gone { pop: canary.clone() }));
        bench.pops.remove(&canary);
        bench.pass(super::CANARY_GRACE_MS + 200);
    }
    assert_eq!(bench.state("d1"), RolloutState::Baking);
    bench.deploy("other", "d2", "v2");
    assert_eq!(bench.state("d2"), RolloutState::Probing);
    bench.pass(4_000);
    assert_eq!(bench.state("d2"), RolloutState::Probing);
    bench.pass(1_500);
    assert_eq!(
        (bench.state("d1"), bench.state("d2")),
        (RolloutState::Baking, RolloutState::Baking)
    );
    // The third time it is alone to its end.
    let canary = bench.canary();
    bench.step(Input::Report(Report::Gone { pop: canary.clone() }));
    bench.pops.remove(&canary);
    bench.pass(super::CANARY_GRACE_MS + 200);
    bench.pass(7_000);
    let states = (bench.state("d1"), bench.state("d2"));
    assert!(
        matches!(
            states,
            (RolloutState::Baking, RolloutState::Probing) | (RolloutState::RolledBack, _)
        ),
        "{states:?}"
    );
}

#[test]
fn a_canary_that_was_lost_while_something_untried_was_on_its_way_is_none_of_three() {
    let lost = |beside: bool| {
        let mut bench = Bench::new(&["a", "b", "c", "d", "e", "f"]);
        bench.deploy("old", "d1", "v1");
        let gone = |bench: &mut Bench, pop: PopName| {
            bench.pops.remove(&pop);
            bench.step(Input::Report(Report::Gone { pop }));
            bench.pass(super::CANARY_GRACE_MS + 200);
        };
        for first in [true, false, false] {
            let canary = bench.canary();
            if first && beside {
                // One of the others does not take it until the canary is lost.
                bench.silent = bench.pops.keys().find(|pop| **pop != canary).cloned();
                bench.ask(key("other"), Some(worker("d2", &[("v2", WEIGHT_WHOLE)])), IMMEDIATE);
            }
            gone(&mut bench, canary);
            if let Some(silent) = bench.silent.take() {
                gone(&mut bench, silent);
                assert_eq!(bench.state("d2"), RolloutState::Live);
            }
        }
        bench.state("d1")
    };
    assert_eq!(lost(false), RolloutState::RolledBack);
    assert_ne!(lost(true), RolloutState::RolledBack);
}

#[test]
fn a_past_of_seconds_does_not_say_that_nothing_is_ever_late() {
    let mut bench = Bench::new(&["a"]);
    bench.polled("d0", "v0", 4);
    bench.deploy("old", "d1", "v1");
    bench.polled("d1", "v1", 27);
    assert_eq!(bench.state("d1"), RolloutState::Live, "{:?}", bench.rollouts);
    // Nor the next one's, when the watch of the first knows no more than that.
    bench.deploy("old", "d2", "v2");
    bench.polled("d2", "v2", 27);
    assert_eq!(bench.state("d2"), RolloutState::Live, "{:?}", bench.rollouts);
}

#[test]
fn the_past_outlives_the_control_plane() {
    let mut bench = Bench::new(&["a", "b"]);
    // Three of ten fail, as ever.
    bench.requests("d0", "v0", 500, 150);
    bench.pass(KEEP_MS + 200);
    let stored = &bench.pasts[&DeploymentId::new("d0")];
    assert_eq!(stored.past.everywhere.requests, 500);
    assert_eq!(stored.past.canary.requests, 500);
    bench.begin_again();
    bench.deploy("old", "d1", "v1");
    bench.requests("d1", "v1", 250, 75);
    bench.pass(BAKE_MIN_MS + 200);
    assert_eq!(bench.state("d1"), RolloutState::Live, "{:?}", bench.rollouts);
    // What was before is kept with the deployment that it is of, and is nobody else's past.
    assert_eq!(bench.pasts[&DeploymentId::new("d0")].past.everywhere.requests, 500);
    bench.pasts.get_mut(&DeploymentId::new("d0")).unwrap().deployment = DeploymentId::new("other");
    bench.begin_again();
    bench.deploy("old", "d2", "v2");
    bench.requests("d2", "v2", 250, 75);
    bench.pass(200);
    assert_eq!(bench.state("d2"), RolloutState::RolledBack);
}

#[test]
fn an_immediate_one_with_which_pops_die_goes_back() {
    let mut bench = Bench::new(&["a", "b", "c", "d"]);
    bench.ask(key("old"), Some(worker("d1", &[("v1", WEIGHT_WHOLE)])), IMMEDIATE);
    bench.pass(2_000);
    assert_eq!(bench.state("d1"), RolloutState::Live);
    let gone = |bench: &mut Bench, name: &str| {
        let pop = PopName::new(name);
        bench.pops.remove(&pop);
        bench.step(Input::Report(Report::Gone { pop }));
    };
    for name in ["a", "b"] {
        gone(&mut bench, name);
        bench.pass(CANARY_GRACE_MS + 100);
    }
    assert_eq!(bench.state("d1"), RolloutState::Live);
    assert_eq!(bench.alarms.iter().filter(|alarm| alarm.code == "lost").count(), 2);
    // The next one is back at once, as another process.
    gone(&mut bench, "c");
    bench.connect("c");
    assert_eq!(bench.state("d1"), RolloutState::RolledBack);
    assert_eq!(bench.has(Lane::Fleet, "old").as_deref(), Some("d0"));
    assert!(
        bench.rollouts[&DeploymentId::new("d1")]
            .reason
            .as_deref()
            .unwrap()
            .contains("was lost with this")
    );
}

#[test]
fn what_failed_and_cannot_be_taken_back_is_held_in_sight() {
    let mut bench = Bench::new(&["a"]);
    bench.deploy("new", "d1", "v1");
    let refused = RefusedWorker {
        account: account(),
        worker: WorkerName::new("new"),
        deployment: DeploymentId::new("d1"),
        version: VersionId::new("v1"),
        kind: "startup".to_owned(),
        reason: "no".to_owned(),
    };
    let applied = Applied {
        publication: bench.deployer.lane(Lane::Canary).revision(),
        refused: vec![refused],
        ..Applied::default()
    };
    let pop = bench.canary();
    bench.step(Input::Report(Report::Applied { pop, applied }));
    assert!(bench.deployer.held()[&key("new")].contains("does not start"));
    bench.ask(key("new"), None, keys::NO_FACTS);
    assert_eq!(bench.deployer.held(), BTreeMap::new());
}

#[test]
fn what_a_pop_missed_is_meant_for_the_next_control_plane_too() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.fill(20);
    for at in 0..15 {
        bench.ask(key(&format!("w{at}")), None, IMMEDIATE);
    }
    bench.pass(2_000);
    // Whoever begins next tells PoPs that were away that it is meant.
    bench.may_empty.clear();
    bench.begin_again();
    assert!(bench.may_empty.len() >= 2 && bench.may_empty.iter().all(|(_, may)| *may));
    assert!(bench.alarms.is_empty(), "{:?}", bench.alarms);
    // The peak is remembered for its time, and for no more than twice as long.
    bench.now += PEAK_KEPT_MS;
    bench.ask(key("x"), Some(worker("x", &[("v", WEIGHT_WHOLE)])), IMMEDIATE);
    bench.may_empty.clear();
    bench.begin_again();
    assert!(bench.may_empty.iter().all(|(_, may)| *may));
    bench.now += PEAK_KEPT_MS;
    bench.ask(key("y"), Some(worker("y", &[("v", WEIGHT_WHOLE)])), IMMEDIATE);
    bench.may_empty.clear();
    bench.begin_again();
    assert!(bench.may_empty.iter().all(|(_, may)| !may), "{:?}", bench.may_empty);
}

#[test]
fn what_is_gone_without_a_change_is_not_meant() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.fill(20);
    let gone = |at| Change {
        key: key(&format!("w{at}")),
        entry: None,
    };
    // As if a restored catalog had fewer.
    let to = Revision(bench.head.revision().0 + 1);
    bench.head = bench.head.change(to, (0..15).map(gone).collect()).unwrap().0;
    bench.may_empty.clear();
    bench.begin_again();
    assert!(bench.may_empty.iter().all(|(_, may)| !may), "{:?}", bench.may_empty);
    assert!(
        bench.alarms.iter().any(|alarm| alarm.code == "emptied"),
        "{:?}",
        bench.alarms
    );
}
