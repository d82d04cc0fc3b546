//! What `atoll dev` and `atoll serve` have in common: pool, host, stores and the way out, wired once.
//!
//! A project is brought up in two steps, so that several can change hands together: [`Platform::prepare`] opens its assets
//! and stores and starts its worker, [`Platform::commit`] gives the worker its events. A step that fails changes nothing.

mod failure;
mod front;
mod stores;

pub(crate) use failure::{of_deploy, of_fault, told};
pub(crate) use front::{certificate, geo, listen_error};
pub(crate) use stores::{Patience, Stores};

use crate::telemetry::otlp::Otlp;
use atoll_cache::{CacheLimits, MemoryCache};
use atoll_cli::target::{AssetDirectory, BuiltProject, Failure};
use atoll_edge::assets::AssetServer;
use atoll_edge::{Homes, Places, Site, Tracing};
use atoll_egress::{AddressPolicy, Egress, EgressOptions, Listeners, TlsRoots};
use atoll_host::{CODE_DISK_MAX, CodeStore, Cordon, Host, HostOptions, Prepared, RateLimits, Reach};
use atoll_model::{TenantId, WorkerName};
use atoll_pool::Pool;
use atoll_stdx::{Clock, TaskGroup};
use atoll_worker::{Engine, Fetcher, Tracer};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Whose a project of static assets alone is.
pub(crate) const LOCAL_TENANT: &str = "local";
/// The directory of compiled code, below `persist_to`.
const CODE_DIRECTORY: &str = "code";
/// What workers print waits here on its way to a collector.
const OTLP_LOGS_DEPTH: usize = 2_048;
/// How long the outgoing connections and the sweeper may take to end when nothing is in flight any more.
const TASKS_GRACE: Duration = Duration::from_secs(1);

/// What a platform is made of.
pub(crate) struct Parts {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) pool: Pool,
    /// What `engine` keeps workers' compiled code in.
    pub(crate) code: Arc<CodeStore>,
    /// Where workers run instead, if not in this process.
    pub(crate) cordon: Option<Arc<Cordon>>,
    /// What outgoing requests trust.
    pub(crate) roots: TlsRoots,
    /// What they may reach.
    pub(crate) policy: AddressPolicy,
    pub(crate) clock: Arc<dyn Clock>,
    /// Where traces and workers' output go, if anywhere.
    pub(crate) otlp: Option<Arc<Otlp>>,
}

/// Runs workers over this machine's stores and network.
pub(crate) struct Platform {
    pub(crate) host: Arc<Host>,
    pub(crate) stores: Arc<Stores>,
    pub(crate) cache: Arc<MemoryCache>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Workers' compiled code, if they run in this process.
    pub(crate) code: Option<Arc<CodeStore>>,
    /// Where this server listens: no worker reaches that.
    pub(crate) listeners: Listeners,
    /// Where traces and workers' output go, if anywhere.
    pub(crate) otlp: Option<Arc<Otlp>>,
    egress: TaskGroup,
}

/// A project that is ready to take over.
pub(crate) struct Ready {
    /// What answers for it.
    pub(crate) site: Site,
    /// What is odd about its assets, one line each.
    pub(crate) warnings: Vec<String>,
    worker: Option<Prepared>,
}

impl Platform {
    /// A platform without workers. Must be called inside the tokio runtime that serves.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            engine,
            pool,
            code,
            cordon,
            roots,
            policy,
            clock,
            otlp,
        } = parts;
        let egress = TaskGroup::new();
        let listeners = policy.listeners.clone();
        let mut options = EgressOptions::new(policy, Handle::current(), egress.clone());
        options.roots = roots;
        let stores = Arc::new(Stores::new(clock.clone()));
        let cache = Arc::new(MemoryCache::new(CacheLimits::default(), clock.clone(), seed()));
        let reach = Reach {
            kv: stores.clone(),
            analytics: stores.clone(),
            rate_limits: Arc::new(RateLimits::new(clock.clone())),
            cache: cache.clone(),
            outbound: Egress::new(options),
            tracer: otlp.clone().map(|otlp| otlp as Arc<dyn Tracer>),
            clock: clock.clone(),
        };
        let mut options = HostOptions::new(Arc::new(pool), engine, reach);
        // Child processes compile for themselves.
        let code = cordon.is_none().then_some(code);
        options.cordon = cordon;
        options.absent_worker = Some(|worker| atoll_edge::absent_worker(atoll_host::absent_worker(worker)));
        let host = Host::new(options);
        if let Some(otlp) = &otlp {
            otlp.send_logs(host.logs().tail(OTLP_LOGS_DEPTH));
        }
        Self {
            host,
            stores,
            cache,
            clock,
            code,
            listeners,
            otlp,
            egress,
        }
    }

    /// Makes the traces of a front.
    pub(crate) fn tracing(&self) -> Option<Tracing> {
        let otlp = self.otlp.clone()?;
        Some(Tracing(otlp))
    }

    /// Where a front's connections live, once there are such places.
    pub(crate) fn homes(&self) -> Places {
        Places(Arc::new(OfHost(self.host.clone())))
    }

    /// Keeps compiled code below `persist_to` as well: the next process starts its workers with it.
    pub(crate) async fn keep_code(&self, persist_to: &Path) {
        let Some(code) = self.code.clone() else { return };
        let directory = persist_to.join(CODE_DIRECTORY);
        let kept = tokio::task::spawn_blocking(move || {
            let kept = code.keep_in(&directory, CODE_DISK_MAX);
            kept.map_err(|error| format!("{}: {error}", directory.display()))
        });
        if let Ok(Err(error)) = kept.await {
            tracing::warn!("compiled code is not kept on disk: {error}");
        }
    }

    /// Opens what `project` needs and starts its worker, which gets no events yet. With `patience`, stores that another
    /// process holds are waited for.
    pub(crate) async fn prepare(
        &self,
        project: &BuiltProject,
        patience: Option<&Patience<'_>>,
    ) -> Result<Ready, Failure> {
        let (assets, warnings) = match &project.assets {
            Some(assets) => {
                let (server, warnings) = open_assets(assets).await?;
                (Some(server), warnings)
            }
            None => (None, Vec::new()),
        };
        let (tenant, worker) = match &project.worker {
            None => (TenantId::new(LOCAL_TENANT), None),
            Some(version) => {
                self.stores.open_for(version, &project.persist_to, patience).await?;
                self.keep_code(&project.persist_to).await;
                let fetcher = assets.clone().map(|assets| assets as Arc<dyn Fetcher>);
                let prepared = self.host.prepare(Arc::new(version.clone()), fetcher).await;
                let prepared = prepared.map_err(|error| of_deploy(&error))?;
                (version.tenant.clone(), Some((version.name.clone(), prepared)))
            }
        };
        let (name, worker) = worker.unzip();
        Ok(Ready {
            site: Site {
                tenant,
                worker: name,
                version: None,
                assets,
                body_bytes_max: project
                    .worker
                    .as_ref()
                    .map(|version| version.limits.request_body_bytes_max),
                failure: None,
            },
            warnings,
            worker,
        })
    }

    /// Gives the project's worker its events; what it replaces finishes what it has. Fails if a newer one came first, or a
    /// service binding names an entrypoint that is not there.
    pub(crate) fn commit(&self, ready: Ready) -> Result<Site, Failure> {
        if let Some(worker) = ready.worker {
            self.host.commit(worker).map_err(|error| of_deploy(&error))?;
        }
        Ok(ready.site)
    }

    /// Takes a worker away; it finishes what it has in flight.
    pub(crate) fn remove(&self, (tenant, worker): &(TenantId, WorkerName)) {
        self.host.remove(tenant, worker);
    }

    /// Replaces the child processes, one after the other, and says how many; `None` if there are none because workers run in
    /// this process.
    pub(crate) async fn restart_children(&self) -> Option<usize> {
        self.host.restart_children().await
    }

    /// Finishes what is in flight until `deadline`, then ends everything and closes the stores. Returns how many isolates
    /// were still busy.
    pub(crate) async fn shutdown(&self, deadline: Instant) -> usize {
        let cut = self
            .host
            .shutdown(deadline.saturating_duration_since(Instant::now()))
            .await;
        if cut > 0 {
            tracing::warn!(
                isolates = cut,
                "isolates were still busy at the end of the shutdown's grace"
            );
        }
        self.egress.drain(TASKS_GRACE).await;
        self.stores.close(TASKS_GRACE).await;
        if let Some(otlp) = &self.otlp {
            otlp.finish().await;
        }
        cut
    }
}

async fn open_assets(assets: &AssetDirectory) -> Result<(Arc<AssetServer>, Vec<String>), Failure> {
    let AssetDirectory { directory, config } = assets.clone();
    let opened = tokio::task::spawn_blocking(move || AssetServer::open(&directory, config)).await;
    let failure = |detail: String| Failure {
        title: "The static assets cannot be served".to_owned(),
        detail,
        fatal: false,
    };
    opened
        .map_err(|error| failure(error.to_string()))?
        .map_err(|error| failure(error.to_string()))
}

/// What nobody outside can guess; every process has another.
fn seed() -> u64 {
    RandomState::new().hash_one(())
}

/// The places that a host has.
struct OfHost(Arc<Host>);

impl Homes for OfHost {
    fn home(&self) -> Option<Handle> {
        self.0.home()
    }
}
