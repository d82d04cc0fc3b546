//! `atoll dev`'s server: the real edge, host, pool and stores, behind the interface that the command line drives.
//!
//! ```text
//! listen -> bound --first apply or fail--> serving --apply, fail--> serving --shutdown--> gone
//! ```
//!
//! A project that fails leaves the server up: requests answer with the failure until the next one comes.

mod events;
mod failure;
mod sites;
mod stores;

use crate::dev::events::Events;
use crate::dev::failure::{of_deploy, of_fault};
use crate::dev::sites::DevSites;
use crate::dev::stores::DevStores;
use async_trait::async_trait;
use atoll_cache::{CacheLimits, MemoryCache};
use atoll_cli::target::{DevAssets, DevEvent, DevFailure, DevListen, DevProject, DevTarget, ListenError};
use atoll_edge::assets::AssetServer;
use atoll_edge::{Edge, EdgeError, EdgeOptions, ErrorDetail, GeoDatabases, Site, SiteFailure, TlsOptions};
use atoll_egress::{AddressPolicy, Egress, EgressOptions, TlsRoots};
use atoll_host::{Host, HostOptions, RateLimits, Reach};
use atoll_model::{TenantId, WorkerName};
use atoll_pool::Pool;
use atoll_stdx::{Clock, TaskGroup};
use atoll_worker::{Dispatch, Engine, Event, EventContext, Fetcher, ScheduledEvent};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Whose a project of static assets alone is.
const LOCAL_TENANT: &str = "local";
/// How long the outgoing connections and the sweeper may take to end when nothing is in flight any more.
const TASKS_GRACE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    bound: Option<Edge>,
    serving: Option<JoinHandle<usize>>,
    /// The worker that is deployed, if one is.
    worker: Option<(TenantId, WorkerName)>,
    /// The workers that run beside it, by place.
    beside: HashMap<usize, (TenantId, WorkerName)>,
}

/// The server behind `atoll dev`.
pub struct DevServer {
    host: Arc<Host>,
    sites: Arc<DevSites>,
    stores: Arc<DevStores>,
    events: Arc<Events>,
    egress: TaskGroup,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    /// Counts `apply` and `fail`: an older one that ends later changes nothing.
    turn: AtomicU64,
    state: Mutex<State>,
}

impl DevServer {
    /// A server that is not listening yet; workers' requests trust `roots`. Must be called inside the tokio runtime that
    /// serves.
    pub fn new(engine: Arc<dyn Engine>, pool: Pool, roots: TlsRoots, clock: Arc<dyn Clock>) -> Self {
        let egress_tasks = TaskGroup::new();
        let policy = AddressPolicy::public_and_loopback();
        let mut options = EgressOptions::new(policy, Handle::current(), egress_tasks.clone());
        options.roots = roots;
        let egress = Egress::new(options);
        let stores = Arc::new(DevStores::new(clock.clone()));
        let reach = Reach {
            kv: stores.clone(),
            analytics: stores.clone(),
            rate_limits: Arc::new(RateLimits::new(clock.clone())),
            cache: Arc::new(MemoryCache::new(CacheLimits::default(), clock.clone(), seed())),
            outbound: egress,
            clock: clock.clone(),
        };
        let host = Host::new(HostOptions::new(Arc::new(pool), engine, reach));
        Self {
            events: Events::new(host.clone()),
            host,
            sites: Arc::default(),
            stores,
            egress: egress_tasks,
            clock,
            stop: CancellationToken::new(),
            turn: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every critical section is a few field writes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows `site` from now on, unless something newer came meanwhile.
    fn show(&self, turn: u64, site: Site) {
        let mut state = self.lock();
        if self.turn.load(Ordering::Acquire) != turn {
            return;
        }
        self.sites.set(site);
        if let Some(edge) = state.bound.take() {
            // The grace is known when the shutdown comes, and kept there.
            state.serving = Some(tokio::spawn(edge.serve(self.stop.clone(), Duration::MAX)));
        }
    }

    fn begin(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::AcqRel) + 1
    }

    async fn start(&self, turn: u64, project: &DevProject) -> Result<Site, DevFailure> {
        let assets = match &project.assets {
            Some(assets) => Some(self.open_assets(assets).await?),
            None => None,
        };
        let Some(version) = &project.worker else {
            let old = self.lock().worker.take();
            if let Some((tenant, worker)) = old {
                self.host.remove(&tenant, &worker);
            }
            return Ok(Site {
                tenant: TenantId::new(LOCAL_TENANT),
                worker: None,
                assets,
                failure: None,
            });
        };
        self.stores.open_for(version, &project.persist_to).await?;
        let fetcher = assets.clone().map(|assets| assets as Arc<dyn Fetcher>);
        self.host
            .deploy(Arc::new(version.clone()), fetcher)
            .await
            .map_err(|error| of_deploy(&error))?;
        let name = (version.tenant.clone(), version.name.clone());
        let old = {
            let mut state = self.lock();
            let newest = self.turn.load(Ordering::Acquire) == turn;
            if newest {
                state.worker.replace(name.clone())
            } else {
                None
            }
        };
        if let Some(old) = old.filter(|old| *old != name) {
            self.host.remove(&old.0, &old.1);
        }
        Ok(Site {
            tenant: name.0,
            worker: Some(name.1),
            assets,
            failure: None,
        })
    }

    async fn open_assets(&self, assets: &DevAssets) -> Result<Arc<AssetServer>, DevFailure> {
        let DevAssets { directory, config } = assets.clone();
        let opened = tokio::task::spawn_blocking(move || AssetServer::open(&directory, config)).await;
        let failure = |detail: String| DevFailure {
            title: "The static assets cannot be served".to_owned(),
            detail,
            fatal: false,
        };
        let (server, warnings) = opened
            .map_err(|error| failure(error.to_string()))?
            .map_err(|error| failure(error.to_string()))?;
        for message in warnings {
            self.events.publish(DevEvent::Log { level: "warn", message });
        }
        Ok(server)
    }
}

#[async_trait]
impl DevTarget for DevServer {
    async fn listen(&self, listen: &DevListen) -> Result<SocketAddr, ListenError> {
        let address = SocketAddr::new(listen.host, listen.port);
        let geo = match &*listen.geo {
            [] => None,
            paths => Some(Arc::new(GeoDatabases::open(paths).map_err(|error| {
                ListenError::Other {
                    address,
                    cause: error.to_string(),
                }
            })?)),
        };
        let options = EdgeOptions {
            geo,
            tls: listen.https.then(|| tls(listen)),
            error_detail: ErrorDetail::Developer,
            local_triggers: true,
            clock: self.clock.clone(),
            ..EdgeOptions::default()
        };
        let (sites, events) = (self.sites.clone(), self.events.clone());
        let edge = Edge::bind(address, options, sites, events.clone(), events)
            .await
            .map_err(|error| match error {
                EdgeError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => ListenError::InUse {
                    host: listen.host,
                    port: listen.port,
                },
                other => ListenError::Other {
                    address,
                    cause: other.to_string(),
                },
            })?;
        let bound = edge.local_addr();
        self.lock().bound = Some(edge);
        Ok(bound)
    }

    async fn apply(&self, project: DevProject) -> Result<(), DevFailure> {
        let turn = self.begin();
        match self.start(turn, &project).await {
            Ok(site) => {
                self.show(turn, site);
                Ok(())
            }
            Err(failure) => {
                self.show(turn, failed(&failure));
                Err(failure)
            }
        }
    }

    async fn apply_beside(&self, place: usize, project: DevProject) -> Result<(), DevFailure> {
        let assets = match &project.assets {
            Some(assets) => Some(self.open_assets(assets).await? as Arc<dyn Fetcher>),
            None => None,
        };
        let Some(version) = &project.worker else {
            return Err(DevFailure {
                title: "A project without a worker cannot run beside another".to_owned(),
                detail: "nothing could call it: set \"main\", or serve it alone".to_owned(),
                fatal: false,
            });
        };
        self.stores.open_for(version, &project.persist_to).await?;
        self.host
            .deploy(Arc::new(version.clone()), assets)
            .await
            .map_err(|error| of_deploy(&error))?;
        let name = (version.tenant.clone(), version.name.clone());
        let old = self.lock().beside.insert(place, name.clone());
        if let Some(old) = old.filter(|old| *old != name) {
            self.host.remove(&old.0, &old.1);
        }
        Ok(())
    }

    async fn fail(&self, failure: DevFailure) {
        let turn = self.begin();
        self.show(turn, failed(&failure));
    }

    async fn trigger_scheduled(&self, cron: &str) -> Result<(), DevFailure> {
        let (tenant, worker) = self.lock().worker.clone().ok_or_else(|| DevFailure {
            title: "There is no worker to trigger".to_owned(),
            detail: "the project has static assets alone, or has not started yet".to_owned(),
            fatal: false,
        })?;
        let ctx = EventContext {
            tenant,
            worker: worker.clone(),
            request_id: self.host.next_request_id(),
            cancel: CancellationToken::new(),
            traceparent: None,
            entry: atoll_worker::Entry::default(),
        };
        let event = Event::Scheduled(ScheduledEvent {
            cron: cron.to_owned(),
            scheduled_ms: self.clock.now_ms(),
        });
        let outcome = self.host.dispatch(&worker, ctx, event).await;
        outcome.map(drop).map_err(|fault| of_fault(&fault))
    }

    fn events(&self) -> mpsc::Receiver<DevEvent> {
        self.events.subscribe()
    }

    async fn shutdown(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let serving = {
            let mut state = self.lock();
            drop(state.bound.take());
            state.serving.take()
        };
        self.stop.cancel();
        if let Some(mut serving) = serving
            && tokio::time::timeout(grace, &mut serving).await.is_err()
        {
            serving.abort();
            tracing::warn!("requests were cut off by the end of the shutdown's grace");
        }
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
    }
}

/// What nobody outside can guess; every process has another.
fn seed() -> u64 {
    RandomState::new().hash_one(())
}

fn failed(failure: &DevFailure) -> Site {
    Site {
        tenant: TenantId::new(LOCAL_TENANT),
        worker: None,
        assets: None,
        failure: Some(SiteFailure {
            title: failure.title.clone(),
            detail: failure.detail.clone(),
        }),
    }
}

fn tls(listen: &DevListen) -> TlsOptions {
    match &listen.certificate {
        Some((certificates, key)) => TlsOptions::Pem {
            certificates: certificates.clone(),
            key: key.clone(),
        },
        None => TlsOptions::SelfSigned {
            names: vec![
                "localhost".to_owned(),
                "127.0.0.1".to_owned(),
                "::1".to_owned(),
                listen.host.to_string(),
            ],
        },
    }
}
