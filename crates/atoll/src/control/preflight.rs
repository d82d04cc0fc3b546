//! The trial of an upload: it is started once, in a child process, as it would be on a PoP; then it goes.
//!
//! Nothing is shared with anything that serves: there are no stores behind its bindings, and its isolate ends with the trial.

use crate::platform::Platform;
use crate::pop::AssetObjects;
use async_trait::async_trait;
use atoll_control::preflight::{Preflight, PreflightError, PreflightErrorKind, PreflightFacts, Trial};
use atoll_edge::assets::{AssetServer, BlobReader};
use atoll_host::{DeployError, Fetched};
use atoll_model::edge::EdgeAccount;
use atoll_model::{AccountLimits, BindingSpec, Module, WorkerVersion};
use atoll_store::blob::get_blob;
use atoll_worker::{Fault, FaultKind, Fetcher};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Trials at a time; more wait.
const AT_ONCE: usize = 4;
/// How long a trial may take, the wait for its turn included.
const TRIAL_MAX: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct CordonPreflight {
    platform: Arc<Platform>,
    turns: Semaphore,
}

impl fmt::Debug for CordonPreflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CordonPreflight({} free)", self.turns.available_permits())
    }
}

impl CordonPreflight {
    pub(crate) fn new(platform: Arc<Platform>) -> Self {
        Self {
            platform,
            turns: Semaphore::new(AT_ONCE),
        }
    }
}

fn error(kind: PreflightErrorKind, message: impl fmt::Display) -> PreflightError {
    PreflightError {
        kind,
        message: message.to_string(),
    }
}

/// A start that failed, as its author reads it.
fn of_fault(fault: &Fault) -> PreflightError {
    let kind = match fault.kind {
        _ if fault.limit.is_some() => PreflightErrorKind::Limit,
        FaultKind::ExceededCpu | FaultKind::ExceededMemory | FaultKind::ExceededWall => PreflightErrorKind::Limit,
        FaultKind::Overloaded | FaultKind::Draining | FaultKind::Canceled | FaultKind::Internal => {
            PreflightErrorKind::Unavailable
        }
        _ => PreflightErrorKind::Startup,
    };
    let stack = fault.exception.as_ref().map(|exception| exception.stack.as_str());
    match stack.filter(|stack| !stack.is_empty()) {
        Some(stack) => error(kind, stack),
        None => error(kind, &fault.message),
    }
}

fn of_deploy(refused: &DeployError) -> PreflightError {
    match refused {
        DeployError::Start(fault) => of_fault(fault),
        DeployError::Limit { .. } => error(PreflightErrorKind::Limit, refused),
        DeployError::Binding { .. } | DeployError::NoEntrypoint { .. } => {
            error(PreflightErrorKind::Configuration, refused)
        }
        DeployError::Superseded { .. } => error(PreflightErrorKind::Unavailable, refused),
    }
}

#[async_trait]
impl Preflight for CordonPreflight {
    async fn check(&self, trial: Trial<'_>) -> Result<PreflightFacts, PreflightError> {
        let tried = tokio::time::timeout(TRIAL_MAX, async {
            // Never closed.
            let turn = self.turns.acquire().await;
            let _turn = turn.map_err(|closed| error(PreflightErrorKind::Unavailable, closed))?;
            self.start(&trial).await
        });
        tried.await.unwrap_or_else(|_| {
            let text = format!("the trial took more than {} s; try again", TRIAL_MAX.as_secs());
            Err(error(PreflightErrorKind::Unavailable, text))
        })
    }
}

impl CordonPreflight {
    async fn start(&self, trial: &Trial<'_>) -> Result<PreflightFacts, PreflightError> {
        let manifest = trial.manifest;
        let configuration = |what: String| error(PreflightErrorKind::Configuration, what);
        let assets = match &manifest.assets {
            None => None,
            Some(assets) => {
                let blobs = BlobReader::new(Arc::new(AssetObjects(trial.blobs.clone())), Handle::current());
                let server = AssetServer::of_artifact(assets, blobs);
                Some(server.map_err(|error| configuration(error.to_string()))? as Arc<dyn Fetcher>)
            }
        };
        let Some(main_module) = &manifest.main_module else {
            return Ok(PreflightFacts::default());
        };
        let unavailable = |what: &dyn fmt::Display| error(PreflightErrorKind::Unavailable, what);
        let mut modules = Vec::with_capacity(manifest.modules.len());
        for module in &manifest.modules {
            let read = async |blob| {
                get_blob(&**trial.blobs, blob)
                    .await
                    .map_err(|error| unavailable(&error))
            };
            modules.push(Module {
                name: module.name.clone(),
                kind: module.kind,
                content: read(&module.blob).await?,
                source_map: match &module.source_map {
                    Some(map) => Some(read(map).await?),
                    None => None,
                },
            });
        }
        let mut bindings = manifest.bindings.clone();
        for (name, value) in trial.secrets {
            let value = value.expose().to_owned();
            bindings.push((name.as_str().to_owned(), BindingSpec::Secret { value }));
        }
        let account = EdgeAccount {
            limits: trial.limits.clone(),
            ..EdgeAccount::default()
        };
        let account = account.limits_over(AccountLimits::default());
        let account = account.map_err(|key| configuration(format!("the limit \"{key}\" is not known")))?;
        let version = WorkerVersion {
            tenant: manifest.account.clone(),
            name: manifest.worker.clone(),
            id: "trial".to_owned(),
            main_module: main_module.clone(),
            modules,
            compat_date: manifest.compat_date,
            compat_flags: manifest.compat_flags.clone(),
            bindings,
            crons: Vec::new(),
            // Nobody is told of a trial.
            tail_consumers: Vec::new(),
            limits: manifest.limits().map_err(configuration)?,
            outbound: manifest.outbound.clone(),
            created_ms: self.platform.clock.now_ms(),
            tag: String::new(),
        };
        let host = &self.platform.host;
        if let Some(cordon) = host.cordon() {
            // Its own start is not the upload's.
            cordon.ready().await.map_err(|error| unavailable(&error))?;
        }
        let begun = Instant::now();
        let prepared = host.prepare_within(Fetched {
            version: Arc::new(version),
            assets,
            account,
        });
        let prepared = prepared.await.map_err(|refused| of_deploy(&refused))?;
        let startup_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let exports = host.exports(&prepared).await.map_err(|fault| of_fault(&fault))?;
        Ok(PreflightFacts {
            startup_ms: Some(startup_ms),
            exports: exports
                .into_iter()
                .map(|export| (export.name, export.handlers))
                .collect(),
        })
    }
}
