//! `atoll dev`'s server: the real edge, host, pool and stores, behind the interface that the command line drives.
//!
//! ```text
//! listen -> bound --first apply or fail--> serving --apply, fail--> serving --shutdown--> gone
//! ```
//!
//! A project that fails leaves the server up: requests answer with the failure until the next one comes.

mod events;
mod sites;
mod testing;

use crate::dev::events::Events;
use crate::dev::sites::DevSites;
use crate::platform::{self, LOCAL_TENANT, Platform, Ready, of_fault};
use async_trait::async_trait;
use atoll_cli::target::{BuiltProject, DevEvent, DevTarget, Failure, Listen, ListenError};
use atoll_edge::{Edge, EdgeOptions, ErrorDetail, InspectorServer, Site, SiteFailure, devtools_url};
use atoll_host::Debuggers;
use atoll_model::{TenantId, WorkerName};
use atoll_worker::{Cancel, Dispatch, Event, EventContext, InspectorTargets, ScheduledEvent};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long debuggers may take to be let go, when the server stops.
const INSPECTOR_GRACE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    bound: Option<Edge>,
    serving: Option<JoinHandle<usize>>,
    /// The worker that is deployed, if one is.
    worker: Option<(TenantId, WorkerName)>,
    /// The workers that run beside it, by place.
    beside: HashMap<usize, (TenantId, WorkerName)>,
    /// Where debuggers are let in, and the server that does it.
    inspector: Option<(SocketAddr, JoinHandle<()>)>,
}

/// The server behind `atoll dev`.
pub struct DevServer {
    platform: Platform,
    debuggers: Arc<Debuggers>,
    sites: Arc<DevSites>,
    events: Arc<Events>,
    stop: CancellationToken,
    /// Counts `apply` and `fail`: an older one that ends later changes nothing.
    turn: AtomicU64,
    state: Mutex<State>,
}

impl DevServer {
    /// A server that is not listening yet. `debuggers` is told of the platform's isolates. Must be called inside the tokio
    /// runtime that serves.
    pub(crate) fn new(platform: Platform, debuggers: Arc<Debuggers>) -> Self {
        Self {
            events: Events::new(platform.host.clone()),
            platform,
            debuggers,
            sites: Arc::default(),
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

    async fn start(&self, turn: u64, project: &BuiltProject) -> Result<Site, Failure> {
        self.tell_sources(project);
        let ready = self.platform.prepare(project, None).await?;
        let site = self.put(ready)?;
        let name = site.worker.clone().map(|worker| (site.tenant.clone(), worker));
        let old = {
            let mut state = self.lock();
            let newest = self.turn.load(Ordering::Acquire) == turn;
            if newest {
                std::mem::replace(&mut state.worker, name.clone())
            } else {
                None
            }
        };
        if let Some(old) = old.filter(|old| Some(old) != name.as_ref()) {
            self.remove(&old);
        }
        Ok(site)
    }

    /// Says where the files are that the project's source maps name.
    fn tell_sources(&self, project: &BuiltProject) {
        if let Some(version) = &project.worker {
            self.debuggers
                .set_sources(&version.tenant, &version.name, &project.root);
        }
    }

    fn remove(&self, worker: &(TenantId, WorkerName)) {
        self.debuggers.forget(&worker.0, &worker.1);
        self.platform.remove(worker);
    }

    /// Tells what is odd and lets the project take over.
    fn put(&self, mut ready: Ready) -> Result<Site, Failure> {
        for message in std::mem::take(&mut ready.warnings) {
            self.events.publish(DevEvent::Log { level: "warn", message });
        }
        self.platform.commit(ready)
    }
}

#[async_trait]
impl DevTarget for DevServer {
    async fn listen(&self, listen: &Listen) -> Result<SocketAddr, ListenError> {
        let address = SocketAddr::new(listen.host, listen.port);
        let options = EdgeOptions {
            geo: platform::geo(&listen.geo, address)?,
            tls: platform::certificate(listen),
            error_detail: ErrorDetail::Developer,
            local_triggers: true,
            tracer: self.platform.tracing(),
            homes: Some(self.platform.homes()),
            clock: self.platform.clock.clone(),
            ..EdgeOptions::default()
        };
        let (sites, events) = (self.sites.clone(), self.events.clone());
        let edge = Edge::bind(address, options, sites, events.clone(), events)
            .await
            .map_err(|error| platform::listen_error(error, address))?;
        let bound = edge.local_addr();
        self.lock().bound = Some(edge);
        Ok(bound)
    }

    async fn inspect(&self, address: SocketAddr) -> Result<SocketAddr, ListenError> {
        let product = concat!("atoll/", env!("CARGO_PKG_VERSION"));
        let server = InspectorServer::bind(address, self.debuggers.clone(), product)
            .map_err(|error| platform::listen_error(error, address))?;
        let bound = server.local_addr();
        self.debuggers.open();
        let serving = tokio::spawn(server.serve(self.stop.clone()));
        self.lock().inspector = Some((bound, serving));
        Ok(bound)
    }

    fn devtools(&self) -> Vec<(String, String)> {
        let Some(address) = self.lock().inspector.as_ref().map(|(address, _)| *address) else {
            return Vec::new();
        };
        // A browser on this machine reaches a listener on all addresses by this name.
        let address = match address.ip().is_unspecified() {
            true => format!("localhost:{}", address.port()),
            false => address.to_string(),
        };
        let targets = self.debuggers.targets().into_iter();
        targets
            .map(|target| {
                let url = devtools_url(&address, &target.id);
                (target.title, url)
            })
            .collect()
    }

    async fn apply(&self, project: BuiltProject) -> Result<(), Failure> {
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

    async fn apply_beside(&self, place: usize, project: BuiltProject) -> Result<(), Failure> {
        let Some(version) = &project.worker else {
            return Err(Failure {
                title: "A project without a worker cannot run beside another".to_owned(),
                detail: "nothing could call it: set \"main\", or serve it alone".to_owned(),
                fatal: false,
            });
        };
        let name = (version.tenant.clone(), version.name.clone());
        self.tell_sources(&project);
        let ready = self.platform.prepare(&project, None).await?;
        self.put(ready)?;
        let old = self.lock().beside.insert(place, name.clone());
        if let Some(old) = old.filter(|old| *old != name) {
            self.remove(&old);
        }
        Ok(())
    }

    async fn fail(&self, failure: Failure) {
        let turn = self.begin();
        self.show(turn, failed(&failure));
    }

    async fn trigger_scheduled(&self, cron: &str) -> Result<(), Failure> {
        let (tenant, worker) = self.lock().worker.clone().ok_or_else(|| Failure {
            title: "There is no worker to trigger".to_owned(),
            detail: "the project has static assets alone, or has not started yet".to_owned(),
            fatal: false,
        })?;
        let ctx = EventContext {
            tenant,
            worker: worker.clone(),
            request_id: self.platform.host.next_request_id(),
            cancel: Cancel::new(),
            trace: None,
            version: Default::default(),
            entry: atoll_worker::Entry::default(),
            route: None,
        };
        let event = Event::Scheduled(ScheduledEvent {
            cron: cron.to_owned(),
            scheduled_ms: self.platform.clock.now_ms(),
        });
        let outcome = self.platform.host.dispatch(&worker, ctx, event).await;
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
        // First of all: what stands at a breakpoint would never finish.
        self.debuggers.close(INSPECTOR_GRACE).await;
        let inspector = self.lock().inspector.take();
        if let Some((_, mut inspecting)) = inspector
            && tokio::time::timeout(INSPECTOR_GRACE, &mut inspecting).await.is_err()
        {
            inspecting.abort();
        }
        if let Some(mut serving) = serving
            && tokio::time::timeout(grace, &mut serving).await.is_err()
        {
            serving.abort();
            tracing::warn!("requests were cut off by the end of the shutdown's grace");
        }
        self.platform.shutdown(deadline).await;
    }
}

fn failed(failure: &Failure) -> Site {
    Site {
        tenant: TenantId::new(LOCAL_TENANT),
        worker: None,
        version: None,
        assets: None,
        body_bytes_max: None,
        failure: Some(SiteFailure {
            title: failure.title.clone(),
            detail: failure.detail.clone(),
        }),
    }
}
