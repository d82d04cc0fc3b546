//! Stored state below a `persist_to`. A store is opened when the first worker that needs it starts, so that
//! a project without bindings leaves no files behind.

use async_trait::async_trait;
use atoll_cli::target::Failure;
use atoll_host::{AnalyticsFiles, AnalyticsSource, KvBindings, KvSource, KvUsage};
use atoll_kv::Kv;
use atoll_model::{BindingSpec, NamespaceId, TenantId, WorkerVersion};
use atoll_stdx::{Clock, TaskGroup};
use atoll_store::{LsmKeyspace, LsmOptions, StoreError};
use atoll_worker::{
    AnalyticsDataset, BindingError, DataPoint, EventContext, KvEntry, KvList, KvListOptions, KvNamespace, KvPut,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The directory of the KV store, below `persist_to`.
const KV_DIRECTORY: &str = "kv";
/// The directory of Analytics Engine data points, below `persist_to`.
const ANALYTICS_DIRECTORY: &str = "analytics";
/// How often expired keys are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How often a store that another process holds is looked at.
const LOCK_LOOK: Duration = Duration::from_millis(20);
/// How long the data points that are queued for another directory may take to be written.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

struct Open {
    path: PathBuf,
    keyspace: LsmKeyspace,
    bindings: Arc<KvBindings>,
    sweeper: TaskGroup,
}

struct OpenAnalytics {
    path: PathBuf,
    files: AnalyticsFiles,
    writer: TaskGroup,
}

/// How long a store that another process holds is waited for.
pub(crate) struct Patience<'a> {
    pub(crate) limit: Duration,
    /// Called once, when waiting begins.
    pub(crate) begins: &'a (dyn Fn() + Sync),
}

/// The stores that are open.
pub(crate) struct Stores {
    clock: Arc<dyn Clock>,
    kv: Mutex<Option<Open>>,
    analytics: Mutex<Option<OpenAnalytics>>,
}

impl Stores {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            kv: Mutex::default(),
            analytics: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.kv.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens what `version` is bound to. With `patience`, a store that another process holds is waited for.
    pub(crate) async fn open_for(
        &self,
        version: &WorkerVersion,
        persist_to: &Path,
        patience: Option<&Patience<'_>>,
    ) -> Result<(), Failure> {
        let needs_analytics = version
            .bindings
            .iter()
            .any(|(_, spec)| matches!(spec, BindingSpec::Analytics { .. }));
        let needs_kv = version
            .bindings
            .iter()
            .any(|(_, spec)| matches!(spec, BindingSpec::Kv { .. }));
        self.open(needs_kv, needs_analytics, persist_to, patience).await
    }

    /// Opens everything that any version may be bound to.
    pub(crate) async fn open_all(&self, persist_to: &Path) -> Result<(), Failure> {
        self.open(true, true, persist_to, None).await
    }

    async fn open(
        &self,
        needs_kv: bool,
        needs_analytics: bool,
        persist_to: &Path,
        patience: Option<&Patience<'_>>,
    ) -> Result<(), Failure> {
        self.open_analytics(needs_analytics, persist_to).await;
        let path = persist_to.join(KV_DIRECTORY);
        if !needs_kv || self.lock().as_ref().is_some_and(|open| open.path == path) {
            return Ok(());
        }
        let failure = |detail: String| Failure {
            title: "The KV store cannot be opened".to_owned(),
            detail,
            fatal: false,
        };
        tokio::fs::create_dir_all(&path)
            .await
            .map_err(|error| failure(format!("{}: {error}", path.display())))?;
        let keyspace = open_keyspace(&path, patience).await.map_err(|error| match error {
            StoreError::Locked { .. } => Failure {
                title: "This project is served already".to_owned(),
                detail: format!("{error}: --persist-to DIRECTORY starts with a state of its own"),
                fatal: true,
            },
            error => failure(error.to_string()),
        })?;
        let kv = Kv::new(Arc::new(keyspace.clone()), self.clock.clone());
        let sweeper = TaskGroup::new();
        kv.spawn_sweeper(&sweeper, SWEEP_INTERVAL);
        let old = self.lock().replace(Open {
            path,
            keyspace,
            bindings: Arc::new(KvBindings::new(kv)),
            sweeper,
        });
        // Workers that still use the old one keep it open until they are gone.
        if let Some(old) = old {
            old.sweeper.drain(Duration::ZERO).await;
        }
        Ok(())
    }

    /// What KV was used for, by namespace, in the order of their names.
    pub(crate) fn kv_usage(&self) -> Vec<(TenantId, NamespaceId, KvUsage)> {
        let bindings = self.lock().as_ref().map(|open| open.bindings.clone());
        let mut usage = bindings.map(|bindings| bindings.usage()).unwrap_or_default();
        usage.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        usage
    }

    fn lock_analytics(&self) -> MutexGuard<'_, Option<OpenAnalytics>> {
        self.analytics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open_analytics(&self, needed: bool, persist_to: &Path) {
        let path = persist_to.join(ANALYTICS_DIRECTORY);
        if !needed || self.lock_analytics().as_ref().is_some_and(|open| open.path == path) {
            return;
        }
        let writer = TaskGroup::new();
        let files = AnalyticsFiles::new(path.clone(), &writer);
        let old = self.lock_analytics().replace(OpenAnalytics { path, files, writer });
        if let Some(old) = old {
            old.writer.drain(CLOSE_GRACE).await;
        }
    }

    /// Finishes what is queued and closes. Operations from now on fail.
    pub(crate) async fn close(&self, grace: Duration) {
        let analytics = self.lock_analytics().take();
        if let Some(open) = analytics {
            open.writer.drain(grace).await;
        }
        let open = self.lock().take();
        if let Some(open) = open {
            open.sweeper.drain(grace).await;
            open.keyspace.close().await;
        }
    }
}

async fn open_keyspace(path: &Path, patience: Option<&Patience<'_>>) -> Result<LsmKeyspace, StoreError> {
    let begun = Instant::now();
    let mut told = false;
    loop {
        match LsmKeyspace::open(path, LsmOptions::default()).await {
            Err(StoreError::Locked { .. }) if patience.is_some_and(|patience| begun.elapsed() < patience.limit) => {
                if let Some(patience) = patience.filter(|_| !told) {
                    (patience.begins)();
                    told = true;
                }
                tokio::time::sleep(LOCK_LOOK).await;
            }
            opened => return opened,
        }
    }
}

impl KvSource for Stores {
    fn open(&self, tenant: &TenantId, namespace: &NamespaceId) -> Arc<dyn KvNamespace> {
        let bindings = self.lock().as_ref().map(|open| open.bindings.clone());
        match bindings {
            Some(bindings) => bindings.open(tenant, namespace),
            None => Arc::new(Closed),
        }
    }
}

impl AnalyticsSource for Stores {
    fn open(&self, dataset: &str) -> Arc<dyn AnalyticsDataset> {
        match &*self.lock_analytics() {
            Some(open) => open.files.open(dataset),
            None => Arc::new(Closed),
        }
    }
}

impl AnalyticsDataset for Closed {
    fn write(&self, _: DataPoint) {
        tracing::warn!("a data point was dropped: the server is shutting down");
    }
}

/// A namespace of a store that is not open: the server is shutting down.
struct Closed;

fn closed<T>() -> Result<T, BindingError> {
    Err(BindingError::unavailable(
        "the KV store is closed: the server is shutting down",
    ))
}

#[async_trait]
impl KvNamespace for Closed {
    async fn get(&self, _: &EventContext, _: Vec<String>) -> Result<Vec<Option<KvEntry>>, BindingError> {
        closed()
    }

    async fn put(&self, _: &EventContext, _: KvPut) -> Result<(), BindingError> {
        closed()
    }

    async fn delete(&self, _: &EventContext, _: Vec<String>) -> Result<(), BindingError> {
        closed()
    }

    async fn list(&self, _: &EventContext, _: KvListOptions) -> Result<KvList, BindingError> {
        closed()
    }
}
