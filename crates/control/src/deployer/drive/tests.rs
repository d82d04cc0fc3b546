//! The driver over a real catalog, with PoPs that are made up.

use super::*;
use crate::catalog::{Deployment, DeploymentKind, KeepSecrets, NewDeployment, NewVersion, SplitOf};
use crate::deployer::{Applied, Lane, Publication, RefusedWorker, RolloutState};
use crate::secrets::Vault;
use atoll_model::edge::{EdgeEntry, WEIGHT_WHOLE};
use atoll_model::{BlobHash, EdgeConfig, Revision, TenantId, VersionId, WorkerName};
use atoll_stdx::ManualClock;
use atoll_store::sql::{SqliteDatabase, SqliteOptions};
use std::collections::BTreeSet;
use tokio::task::JoinHandle;

/// Longer than anything takes, on a busy machine too.
const LONG: Duration = Duration::from_secs(60);

/// PoPs that take over what they are sent at once, but for versions that they refuse.
#[derive(Debug)]
struct Fleet {
    reports: mpsc::Sender<Report>,
    state: Mutex<FleetState>,
}

#[derive(Debug, Default)]
struct FleetState {
    lanes: BTreeMap<PopName, Lane>,
    newest: BTreeMap<Lane, Arc<EdgeConfig>>,
    sent: BTreeMap<PopName, Revision>,
    refused: BTreeSet<VersionId>,
}

impl Fleet {
    fn bring(&self, state: &mut FleetState) {
        for (pop, lane) in state.lanes.clone() {
            let Some(config) = state.newest.get(&lane) else {
                continue;
            };
            let number = config.revision();
            let before = state.sent.insert(pop.clone(), number).unwrap_or_default();
            if before == number {
                continue;
            }
            assert!(before < number, "{pop} had {before} and is sent {number}");
            let mut applied = Applied {
                publication: number,
                ..Applied::default()
            };
            for (key, entry) in config.entries() {
                if let (EdgeKey::Worker(account, worker), EdgeEntry::Worker(entry)) = (key, &**entry)
                    && let Some(bad) = entry.shares.iter().find(|share| state.refused.contains(&share.version))
                {
                    applied.refused.push(RefusedWorker {
                        account: account.clone(),
                        worker: worker.clone(),
                        deployment: entry.deployment.clone(),
                        version: bad.version.clone(),
                        kind: "startup".to_owned(),
                        reason: "it throws".to_owned(),
                    });
                }
            }
            // The channel has room for everything that a test makes.
            self.reports.try_send(Report::Applied { pop, applied }).unwrap();
        }
    }
}

impl Lanes for Fleet {
    fn publish(&self, publication: Publication) {
        let mut state = self.state.lock().unwrap();
        state.newest.insert(publication.lane, publication.config);
        self.bring(&mut state);
    }

    fn set_lane(&self, pop: &PopName, lane: Lane) {
        // Nothing is sent before the publication that follows, as sessions are to do it.
        let mut state = self.state.lock().unwrap();
        let known = state.lanes.insert(pop.clone(), lane).is_some();
        if !known {
            self.bring(&mut state);
        }
    }
}

struct Bench {
    catalog: Catalog,
    clock: ManualClock,
    _temp: tempfile::TempDir,
}

struct Running {
    fleet: Arc<Fleet>,
    board: Arc<Board>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), CatalogError>>,
}

fn account() -> TenantId {
    TenantId::new("acme")
}

fn state_is(rollout: &Rollout, state: RolloutState) -> bool {
    rollout.state == state
}

fn shop() -> WorkerName {
    WorkerName::new("shop")
}

impl Bench {
    async fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let database = SqliteDatabase::open(temp.path(), &SqliteOptions::default()).unwrap();
        let clock = ManualClock::new(1_800_000_000_000);
        let vault = Vault::parse(&Vault::generate().unwrap()).unwrap();
        let catalog = Catalog::open(Arc::new(database), Arc::new(vault), Arc::new(clock.clone()));
        let catalog = catalog.await.unwrap();
        let caller = Caller::new("operator");
        catalog.create_account(&caller, account(), "Acme".into()).await.unwrap();
        Self {
            catalog,
            clock,
            _temp: temp,
        }
    }

    async fn run(&self, pops: &[&str]) -> Running {
        let (catalog, epoch) = self.catalog.lead(&Caller::new("operator"), "one".into()).await.unwrap();
        let (sender, receiver) = reports();
        for pop in pops {
            let connected = Report::Connected {
                pop: PopName::new(*pop),
                region: "here".into(),
                publication: Revision(0),
                root: None,
                incarnation: 1,
            };
            sender.send(connected).await.unwrap();
        }
        let fleet = Arc::new(Fleet {
            reports: sender,
            state: Mutex::default(),
        });
        let (board, stop) = (Arc::new(Board::default()), CancellationToken::new());
        let surroundings = Surroundings {
            catalog,
            epoch,
            lanes: fleet.clone(),
            board: board.clone(),
            clock: Arc::new(self.clock.clone()),
            stop: stop.clone(),
        };
        let task = tokio::spawn(run(surroundings, receiver));
        Running {
            fleet,
            board,
            stop,
            task,
        }
    }

    async fn upload(&self, code: &str) -> VersionId {
        let version = NewVersion {
            id: VersionId::new(new_uuid().unwrap()),
            artifact: BlobHash::of(code.as_bytes()),
            code_bytes: 1,
            source: "test".into(),
            message: None,
            tag: None,
            startup_ms: None,
            keep: KeepSecrets::All,
            put: Vec::new(),
        };
        let caller = Caller::new("operator");
        let made = self.catalog.create_version(&caller, account(), shop(), version).await;
        made.unwrap().value.id
    }

    async fn deploy(&self, version: &VersionId) -> Deployment {
        let split = vec![SplitOf {
            version: version.clone(),
            weight: WEIGHT_WHOLE,
        }];
        let new = NewDeployment {
            id: DeploymentId::new(new_uuid().unwrap()),
            source: "test".into(),
            message: None,
            immediate: false,
            replaces: None,
        };
        let caller = Caller::new("operator");
        self.catalog
            .deploy(&caller, account(), shop(), split, new)
            .await
            .unwrap()
            .value
    }

    /// The newest deployment, as soon as it is of this kind.
    async fn newest(&self, kind: DeploymentKind) -> Deployment {
        let waited = tokio::time::timeout(LONG, async {
            loop {
                let newest = self
                    .catalog
                    .deployments(account(), shop(), None, 1)
                    .await
                    .unwrap()
                    .remove(0);
                if newest.kind == kind {
                    return newest;
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.unwrap()
    }

    /// Lets time pass until the catalog says that a deployment has come so far.
    async fn until(&self, id: &DeploymentId, state: RolloutState) -> Rollout {
        let waited = tokio::time::timeout(LONG, async {
            loop {
                self.clock.advance_ms(500);
                let rollout = self.catalog.rollout(id.clone()).await.unwrap();
                if rollout.state == state {
                    return rollout;
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.unwrap()
    }
}

impl Running {
    fn serves(&self, lane: Lane) -> Option<VersionId> {
        let state = self.fleet.state.lock().unwrap();
        let entry = state
            .newest
            .get(&lane)?
            .get(&EdgeKey::Worker(account(), shop()))?
            .clone();
        match &*entry {
            EdgeEntry::Worker(worker) => Some(worker.shares[0].version.clone()),
            _ => None,
        }
    }

    async fn end(self) -> Result<(), CatalogError> {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployments_come_to_the_fleet_and_go_back() {
    let bench = Bench::new().await;
    let first = bench.upload("1").await;
    let one = bench.deploy(&first).await;
    // Before there was anybody to stage it.
    assert!(state_is(
        &bench.catalog.rollout(one.id.clone()).await.unwrap(),
        RolloutState::Probing
    ));
    let running = bench.run(&["a", "b", "c"]).await;
    let rollout = bench.until(&one.id, RolloutState::Live).await;
    assert!(rollout.unproven);
    assert_eq!((rollout.pops.applied, rollout.pops.total), (3, 3));
    assert_eq!(
        running.board.rollout(&one.id).map(|rollout| rollout.state),
        Some(RolloutState::Live)
    );
    assert_eq!(running.serves(Lane::Fleet), Some(first.clone()));

    // One that does not start comes back by itself, and the fleet has not seen it.
    let second = bench.upload("2").await;
    running.fleet.state.lock().unwrap().refused.insert(second.clone());
    let two = bench.deploy(&second).await;
    let rollout = bench.until(&two.id, RolloutState::RolledBack).await;
    assert!(rollout.reason.unwrap().contains("does not start on PoP"));
    let newest = bench.newest(DeploymentKind::AutomaticRollback).await;
    assert_eq!(newest.author, "system:deployer");
    bench.until(&newest.id, RolloutState::Live).await;
    assert_eq!(running.serves(Lane::Fleet), Some(first.clone()));
    assert!(running.board.alarms().iter().any(|alarm| alarm.code == "rolled_back"));
    running.end().await.unwrap();

    // A control plane that comes later goes on, with greater numbers.
    let before = bench.catalog.intent().await.unwrap().publication;
    let third = bench.upload("3").await;
    let three = bench.deploy(&third).await;
    let running = bench.run(&["a"]).await;
    bench.until(&three.id, RolloutState::Live).await;
    assert_eq!(running.serves(Lane::Fleet), Some(third));
    assert!(running.board.publication() > before.0);

    // One that is deposed ends, and says nothing more.
    bench
        .catalog
        .lead(&Caller::new("operator"), "two".into())
        .await
        .unwrap();
    let four = bench.deploy(&first).await;
    let ended = tokio::time::timeout(LONG, running.task).await.unwrap().unwrap();
    assert!(matches!(ended, Err(CatalogError::Deposed { .. })), "{ended:?}");
    assert!(state_is(
        &bench.catalog.rollout(four.id).await.unwrap(),
        RolloutState::Probing
    ));
    bench.catalog.verify_audit(Vec::new()).await.unwrap();
}
