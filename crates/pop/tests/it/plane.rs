//! A control plane in this process: catalog, blobs, authority, sessions; and deployments without a deployer.

use crate::reach::Reach;
use atoll_control::authority::{Authority, Keep};
use atoll_control::catalog::{
    Caller, Catalog, KeepSecrets, NewDeployment, NewJoinToken, NewVersion, SecretPut, SplitOf, new_uuid,
};
use atoll_control::deployer::{Applied, Lane, Lanes as _, Publication, Report};
use atoll_control::pops::{Options, Sessions};
use atoll_control::secrets::{SecretValue, Vault};
use atoll_control::telemetry::{MemoryTelemetry, MemoryTelemetryOptions};
use atoll_model::artifact::{FORMAT_VERSION, ModuleBlob};
use atoll_model::edge::WEIGHT_WHOLE;
use atoll_model::{
    CompatDate, DeploymentId, EdgeConfig, Manifest, ModuleKind, OutboundRules, Revision, SecretName, TenantId,
    VersionId, WorkerName,
};
use atoll_stdx::{Clock, TaskGroup};
use atoll_store::artifact::{self, SigningKey};
use atoll_store::blob::{DirectoryStore, put_blob};
use atoll_store::sql::{SqliteDatabase, SqliteOptions};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Longer than anything takes, on a busy machine too.
pub const LONG: Duration = Duration::from_secs(90);

pub fn account() -> TenantId {
    TenantId::new("acme")
}

pub fn caller() -> Caller {
    Caller::new("operator")
}

/// What stays when the control plane is stopped.
pub struct Ground {
    pub clock: Arc<dyn Clock>,
    pub catalog: Catalog,
    pub blobs: DirectoryStore,
    /// The same store, as PoPs reach it.
    pub reach: Arc<Reach>,
    pub authority: Arc<Authority>,
    pub signing: SigningKey,
    pub telemetry: Arc<MemoryTelemetry>,
    pub address: Mutex<Option<SocketAddr>>,
    published: Mutex<EdgeConfig>,
    pub epoch: Mutex<u64>,
}

/// A control plane that runs.
pub struct Plane {
    pub ground: Arc<Ground>,
    pub sessions: Arc<Sessions>,
    pub address: SocketAddr,
    pub applied: watch::Receiver<Vec<(String, Applied)>>,
    tasks: TaskGroup,
}

impl Ground {
    pub async fn new(directory: &Path, clock: Arc<dyn Clock>) -> Arc<Self> {
        let vault = Vault::parse(&Vault::generate().unwrap()).unwrap();
        std::fs::create_dir_all(directory).unwrap();
        let database = SqliteDatabase::open(&directory.join("catalog"), &SqliteOptions::default()).unwrap();
        let catalog = Catalog::open(Arc::new(database), Arc::new(vault), clock.clone())
            .await
            .unwrap();
        catalog
            .create_account(&caller(), account(), "Acme".into())
            .await
            .unwrap();
        let authority = Authority::open(Keep::File(directory.join("authority")), clock.clone())
            .await
            .unwrap();
        let blobs = DirectoryStore::open(&directory.join("blobs")).unwrap();
        Arc::new(Self {
            reach: Arc::new(Reach::new(blobs.clone())),
            blobs,
            signing: SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap(),
            authority: Arc::new(authority),
            telemetry: Arc::new(MemoryTelemetry::new(MemoryTelemetryOptions::default())),
            address: Mutex::new(None),
            published: Mutex::default(),
            epoch: Mutex::new(0),
            catalog,
            clock,
        })
    }

    /// A version of a worker, deployed to all.
    pub async fn deploy(&self, worker: &str, code: &str) -> VersionId {
        self.deploy_with(worker, code, &[]).await
    }

    pub async fn deploy_with(&self, worker: &str, code: &str, secrets: &[(&str, &str)]) -> VersionId {
        let worker = WorkerName::new(worker);
        let blob = put_blob(&self.blobs, code.as_bytes().to_vec().into()).await.unwrap();
        let manifest = Manifest {
            format: FORMAT_VERSION,
            account: account(),
            worker: worker.clone(),
            main_module: Some("index.js".into()),
            modules: vec![ModuleBlob {
                name: "index.js".into(),
                kind: ModuleKind::Esm,
                blob,
                size: code.len() as u64,
                source_map: None,
            }],
            assets: None,
            compat_date: CompatDate::NEWEST,
            compat_flags: Vec::new(),
            bindings: Vec::new(),
            tail_consumers: Vec::new(),
            limits: BTreeMap::new(),
            outbound: OutboundRules::default(),
        };
        let artifact = artifact::publish(&self.blobs, &manifest, &self.signing).await.unwrap();
        let put = secrets.iter().map(|(name, value)| SecretPut {
            name: SecretName::new(*name),
            value: Some(SecretValue::new((*value).to_owned())),
        });
        let version = NewVersion {
            id: VersionId::new(new_uuid().unwrap()),
            artifact,
            code_bytes: code.len() as u64,
            source: "test".into(),
            message: None,
            tag: None,
            startup_ms: None,
            keep: KeepSecrets::All,
            put: put.collect(),
        };
        let id = version.id.clone();
        let split = vec![SplitOf {
            version: id.clone(),
            weight: WEIGHT_WHOLE,
        }];
        let new = NewDeployment {
            id: DeploymentId::new(new_uuid().unwrap()),
            source: "test".into(),
            message: None,
            replaces: None,
            immediate: true,
        };
        self.catalog
            .create_version(&caller(), account(), worker.clone(), version)
            .await
            .unwrap();
        self.catalog
            .deploy(&caller(), account(), worker, split, new)
            .await
            .unwrap();
        id
    }
}

impl Plane {
    /// Starts a control plane, on the address that it had before if it had one.
    pub async fn start(ground: &Arc<Ground>) -> Self {
        Self::start_with(ground, |sessions, listener| sessions.serve(listener).unwrap()).await
    }

    /// The same, with whatever serves PoPs.
    pub async fn start_with(ground: &Arc<Ground>, serve: impl FnOnce(&Arc<Sessions>, TcpListener)) -> Self {
        let before = *ground.address.lock().unwrap();
        let plane = Self::start_at(ground, before, serve).await;
        *ground.address.lock().unwrap() = Some(plane.address);
        plane
    }

    /// Another one over the same ground, which leads from now on.
    pub async fn start_beside(ground: &Arc<Ground>) -> Self {
        Self::start_at(ground, None, |sessions, listener| sessions.serve(listener).unwrap()).await
    }

    async fn start_at(
        ground: &Arc<Ground>,
        before: Option<SocketAddr>,
        serve: impl FnOnce(&Arc<Sessions>, TcpListener),
    ) -> Self {
        let tasks = TaskGroup::new();
        let (catalog, epoch) = ground.catalog.lead(&caller(), "test".into()).await.unwrap();
        *ground.epoch.lock().unwrap() = epoch;
        let options = Options {
            catalog,
            epoch,
            blobs: ground.reach.clone(),
            authority: ground.authority.clone(),
            telemetry: ground.telemetry.clone(),
            clock: ground.clock.clone(),
            domains: vec!["localhost".into()],
            artifact_keys: vec![ground.signing.public().to_vec()],
            ping: Duration::from_secs(5),
        };
        let (sessions, mut reports) = Sessions::new(options, &tasks).await.unwrap();
        let listener = TcpListener::bind(before.unwrap_or_else(|| "127.0.0.1:0".parse().unwrap()))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        serve(&sessions, listener);
        let (sender, applied) = watch::channel(Vec::new());
        let lanes = sessions.clone();
        let stop = tasks.stopping();
        tasks.spawn(async move {
            loop {
                let report = tokio::select! {
                    () = stop.cancelled() => return,
                    report = reports.recv() => report,
                };
                match report {
                    Some(Report::Connected { pop, .. }) => lanes.set_lane(&pop, Lane::Fleet),
                    Some(Report::Applied { pop, applied }) => {
                        sender.send_modify(|all| all.push((pop.to_string(), applied)));
                    }
                    Some(_) => {}
                    None => return,
                }
            }
        });
        let plane = Self {
            ground: ground.clone(),
            sessions,
            address,
            applied,
            tasks,
        };
        let published = ground.published.lock().unwrap().clone();
        if published.revision() != Revision(0) {
            plane.send(published, false);
        }
        plane
    }

    /// Publishes what the catalog says, under the next number.
    pub async fn publish(&self) -> Arc<EdgeConfig> {
        let head = self.ground.catalog.config().await.unwrap();
        let next = {
            let published = self.ground.published.lock().unwrap();
            let to = Revision(published.revision().0 + 1);
            published.change(to, published.delta_to(&head).changes).unwrap().0
        };
        self.send(next, false)
    }

    /// Publishes whatever this is.
    pub fn send(&self, config: EdgeConfig, may_empty: bool) -> Arc<EdgeConfig> {
        *self.ground.published.lock().unwrap() = config.clone();
        let config = Arc::new(config);
        self.sessions.publish(Publication {
            lane: Lane::Fleet,
            config: config.clone(),
            epoch: *self.ground.epoch.lock().unwrap(),
            may_empty,
        });
        config
    }

    pub async fn token(&self, name: Option<&str>) -> String {
        let new = NewJoinToken {
            name: name.map(str::to_owned),
            ..NewJoinToken::default()
        };
        self.sessions.new_join_token(&caller(), new).await.unwrap().token
    }

    /// Waits until a PoP has acknowledged a publication, and gives what it said.
    pub async fn acknowledged(&self, pop: &str, publication: Revision) -> Applied {
        let mut applied = self.applied.clone();
        let found = applied.wait_for(|all| {
            all.iter()
                .any(|(name, one)| name == pop && one.publication >= publication)
        });
        let all = tokio::time::timeout(LONG, found).await.unwrap().unwrap();
        all.iter()
            .find(|(name, one)| name == pop && one.publication >= publication)
            .unwrap()
            .1
            .clone()
    }

    pub async fn stop(self) {
        assert_eq!(self.tasks.drain(LONG).await, 0);
    }
}
