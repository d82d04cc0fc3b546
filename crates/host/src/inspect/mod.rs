//! Which isolate a debugging client talks to.
//!
//! A client connects to a worker, not to an isolate: [`Debuggers`] keeps it attached to the newest isolate of the worker's
//! newest version. When that changes (a reload, an isolate that broke) the old isolate is let go, and goes on if the client
//! had paused it; the new one is told at once, before its modules are evaluated, what the client had asked for: enabled
//! domains, breakpoints and the like ([`memory`]). The client sees what it knows from a page that is loaded anew.
//!
//! While a worker has no isolate, its clients' commands wait.
//!
//! Source maps are sent as `data:` URLs whose sources are the developer's files ([`source_maps`]).

mod client;
mod memory;
mod source_maps;

use self::client::Client;
use atoll_model::{TenantId, WorkerName, WorkerVersion};
use atoll_stdx::TaskGroup;
use atoll_worker::{Inspections, Inspector, InspectorSession, InspectorTarget, InspectorTargets};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// How many clients one worker may have.
pub const CLIENTS_MAX: usize = 16;

/// An isolate that can be attached to.
#[derive(Clone)]
struct Isolate {
    inspector: Arc<dyn Inspector>,
    version: Arc<WorkerVersion>,
    /// See [`Debuggers::set_sources`].
    sources: Option<Arc<str>>,
}

struct Worker {
    tenant: TenantId,
    name: WorkerName,
    sources: Option<Arc<str>>,
    /// Those that live, the newest last.
    isolates: Vec<Isolate>,
    clients: Vec<Weak<Client>>,
}

impl Worker {
    fn is(&self, tenant: &TenantId, name: &WorkerName) -> bool {
        self.tenant == *tenant && self.name == *name
    }

    /// A project is listed always, so that it can be connected to before it starts.
    fn is_listed(&self) -> bool {
        self.sources.is_some() || self.newest().is_some() || self.clients.iter().any(|client| client.strong_count() > 0)
    }

    fn newest(&self) -> Option<&Isolate> {
        self.isolates.iter().rev().find(|isolate| isolate.inspector.is_live())
    }
}

/// The debugging clients of a host's workers. Give it to the engine, as [`Inspections`], and to the front, as
/// [`InspectorTargets`].
pub struct Debuggers {
    wanted: AtomicBool,
    workers: Mutex<Vec<Worker>>,
    tasks: TaskGroup,
    /// For the clients' tasks.
    this: Weak<Self>,
}

impl Debuggers {
    /// Without workers. Isolates get no debugger before [`Self::open`].
    pub fn new() -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            wanted: AtomicBool::new(false),
            workers: Mutex::default(),
            tasks: TaskGroup::new(),
            this: this.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Worker>> {
        // What is done under the lock leaves the list whole at every step.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on isolates get a debugger.
    pub fn open(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Says where the files lie that the source maps of a worker's later versions name.
    pub fn set_sources(&self, tenant: &TenantId, name: &WorkerName, root: &Path) {
        let sources = Some(Arc::from(source_maps::directory_url(root)));
        let mut workers = self.lock();
        worker(&mut workers, tenant, name).sources = sources;
    }

    /// The worker is gone: it is not listed any more, its clients are let go.
    pub fn forget(&self, tenant: &TenantId, name: &WorkerName) {
        let gone = {
            let mut workers = self.lock();
            let at = workers.iter().position(|worker| worker.is(tenant, name));
            at.map(|at| workers.remove(at))
        };
        for client in gone.iter().flat_map(|worker| &worker.clients).filter_map(Weak::upgrade) {
            client.end();
        }
    }

    /// Lets all clients go, so that what they had paused goes on. Nobody can connect afterwards.
    pub async fn close(&self, grace: Duration) {
        self.wanted.store(false, Ordering::Relaxed);
        let workers = std::mem::take(&mut *self.lock());
        for client in workers
            .iter()
            .flat_map(|worker| &worker.clients)
            .filter_map(Weak::upgrade)
        {
            client.end();
        }
        self.tasks.drain(grace).await;
    }

    /// Attaches `client` to the newest isolate of its worker, unless a newer one has attached it meanwhile.
    fn attach_again(&self, client: &Arc<Client>) {
        let workers = self.lock();
        let of_client = |known: &Weak<Client>| known.as_ptr() == Arc::as_ptr(client);
        let worker = workers.iter().find(|worker| worker.clients.iter().any(of_client));
        if let Some(isolate) = worker.and_then(Worker::newest)
            && !client.has_next()
        {
            client.attach(isolate);
        }
    }
}

/// The worker's entry, a new one if there is none.
fn worker<'a>(workers: &'a mut Vec<Worker>, tenant: &TenantId, name: &WorkerName) -> &'a mut Worker {
    let at = match workers.iter().position(|worker| worker.is(tenant, name)) {
        Some(at) => at,
        None => {
            workers.push(Worker {
                tenant: tenant.clone(),
                name: name.clone(),
                sources: None,
                isolates: Vec::new(),
                clients: Vec::new(),
            });
            workers.len() - 1
        }
    };
    &mut workers[at]
}

impl Inspections for Debuggers {
    fn are_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    fn started(&self, version: &Arc<WorkerVersion>, inspector: Arc<dyn Inspector>) {
        let mut workers = self.lock();
        let worker = worker(&mut workers, &version.tenant, &version.name);
        let isolate = Isolate {
            inspector,
            version: version.clone(),
            sources: worker.sources.clone(),
        };
        worker.isolates.retain(|isolate| isolate.inspector.is_live());
        worker.isolates.push(isolate.clone());
        worker.clients.retain(|client| client.strong_count() > 0);
        for client in worker.clients.iter().filter_map(Weak::upgrade) {
            client.attach(&isolate);
        }
        // Workers that workers made are listed while they live.
        workers.retain(Worker::is_listed);
    }
}

impl InspectorTargets for Debuggers {
    fn targets(&self) -> Vec<InspectorTarget> {
        let workers = self.lock();
        let target = |worker: &Worker| InspectorTarget {
            id: worker.name.as_str().to_owned(),
            title: worker.name.as_str().to_owned(),
        };
        workers.iter().filter(|worker| worker.is_listed()).map(target).collect()
    }

    fn connect(&self, id: &str) -> Option<InspectorSession> {
        let (session, peer) = InspectorSession::pair();
        let client = Client::new();
        {
            let mut workers = self.lock();
            let worker = workers.iter_mut().find(|worker| worker.name.as_str() == id)?;
            worker.clients.retain(|client| client.strong_count() > 0);
            if worker.clients.len() >= CLIENTS_MAX {
                return None;
            }
            worker.clients.push(Arc::downgrade(&client));
            if let Some(isolate) = worker.newest() {
                client.attach(isolate);
            }
        }
        let debuggers = self.this.clone();
        self.tasks.spawn(client.run(peer, debuggers));
        Some(session)
    }
}

#[cfg(test)]
mod tests;
