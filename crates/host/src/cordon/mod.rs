//! The cordon: workers in child processes that have no network, no files and no keys. The parent's side.
//!
//! ```text
//! Host -> CordonSlot (a version) -> Place (a tenant has a few) -> Child (a process) -> link -> pool, engine
//!                                                ^
//!                              Nursery (one child that is ready) follows one that ends
//! ```
//!
//! A child reaches what its workers are bound to, and the network, over its link alone. Versions are started in a child
//! when their first event comes to it, so a child that follows another needs nothing but to be put in its place.
//!
//! Invariants:
//! - no limit depends on a child's word: `warden` reads what it uses from the kernel, the link has deadlines of its own;
//! - a child that ends takes its own requests with it, and no other's; what had not been sent to it goes to its successor;
//! - a restart or a shutdown cuts nothing off that ends within the grace;
//! - no child outlives the parent: the kernel sees to it (`process`).
//!
//! Which child a tenant's workers run in, `shards` says; why processes, and what they cost, is in
//! `docs/decisions/2026-11-21-cordon.md`.

mod child;
mod groups;
mod nursery;
mod place;
mod process;
mod shards;
mod slot;
#[cfg(test)]
mod tests;
mod warden;

pub use process::{ChildCommand, START_MAX};
pub(crate) use slot::CordonSlot;

use child::Child;
use groups::Bounds;
use nursery::Nursery;
use place::Place;
use process::Spawner;

use atoll_model::{TenantId, WorkerVersion};
use atoll_stdx::TaskGroup;
use atoll_worker::{Environment, Fault, FaultKind};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// How long an event may wait for a child, while one is being started.
pub const CHILD_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long an event waits for the first child of its worker's own place while another one could take it.
const OWN_CHILD_WAIT: Duration = Duration::from_secs(1);
/// Fewest children of a cordon, however few cores there are: one that ends must not take every tenant with it.
pub const CHILDREN_MIN: usize = 2;
/// Versions that a successor starts at the same time.
const STARTS_AT_ONCE: usize = 4;
/// How long a version may take to start in a successor before the others go on without it.
const START_AHEAD_MAX: Duration = Duration::from_secs(10);
/// How long what is left may take to end after everything was shut down in order.
const TASKS_GRACE: Duration = Duration::from_secs(2);

/// What a cordon is made of.
#[derive(Debug, Clone)]
pub struct CordonOptions {
    /// How a child is started.
    pub command: ChildCommand,
    /// What parent and child must agree on: the build.
    pub build: String,
    /// A process per tenant, instead of [`Self::children`] for all.
    pub dedicated: bool,
    /// Child processes; at least [`CHILDREN_MIN`]. Without meaning if `dedicated`.
    pub children: usize,
    /// Most memory of a child, bytes; three quarters of the machine's if not said.
    pub memory_bytes: Option<u64>,
    /// How long a child that is followed by another, or whose tenant has gone, may go on with what it has in flight.
    pub grace: Duration,
}

/// Counters of a cordon, and where it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CordonStats {
    /// Child processes that are there, the ready spare and those that drain included.
    pub children: usize,
    /// Children that became ready.
    pub started: u64,
    /// Starts that failed.
    pub start_failures: u64,
    /// Children that ended while they served.
    pub ended: u64,
    /// Children that the server ended because they broke a limit.
    pub condemned: u64,
}

/// What places, slots and the nursery share.
struct Shared {
    nursery: Nursery,
    build: String,
    grace: Duration,
    tasks: TaskGroup,
    /// Children that may still be there.
    children: Mutex<Vec<Weak<Child>>>,
    /// Versions, by their number.
    slots: Mutex<HashMap<u64, Weak<CordonSlot>>>,
    ended: AtomicU64,
    condemned: AtomicU64,
}

enum Places {
    Shared(Vec<Arc<Place>>),
    /// One for each tenant that has a worker.
    Own(Mutex<HashMap<TenantId, Weak<Place>>>),
}

/// Child processes that run workers. Make one per host.
pub struct Cordon {
    shared: Arc<Shared>,
    places: Places,
    numbers: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every critical section here is a read, an insert or a remove.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The child of the first place that has one.
fn any_child(places: &[Arc<Place>]) -> Option<Arc<Child>> {
    places.iter().find_map(|place| place.child())
}

impl Cordon {
    /// Begins to start children and returns at once; [`Cordon::ready`] says how it goes. Must be called inside the tokio
    /// runtime that serves.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn new(options: CordonOptions) -> io::Result<Arc<Self>> {
        let bounds = Arc::new(Bounds::new(options.memory_bytes));
        let shared = Arc::new(Shared {
            nursery: Nursery::new(Spawner::new(options.command, bounds.clone())?, bounds),
            build: options.build,
            grace: options.grace,
            tasks: TaskGroup::new(),
            children: Mutex::default(),
            slots: Mutex::default(),
            ended: AtomicU64::new(0),
            condemned: AtomicU64::new(0),
        });
        Nursery::run(&shared);
        let places = if options.dedicated {
            Places::Own(Mutex::default())
        } else {
            let count = options.children.max(CHILDREN_MIN);
            Places::Shared((0..count).map(|_| Place::new(&shared)).collect())
        };
        Ok(Arc::new(Self {
            shared,
            places,
            numbers: AtomicU64::new(0),
        }))
    }

    /// Waits until the first child is ready.
    ///
    /// # Errors
    /// It did not start: the kernel cannot lock it in, or the system refuses a process. Later ones may.
    pub async fn ready(&self) -> io::Result<()> {
        self.shared.nursery.first().await
    }

    /// A version, to be started by its first event or by [`CordonSlot::ready`].
    pub(crate) fn slot(self: &Arc<Self>, version: Arc<WorkerVersion>, environment: Environment) -> Arc<CordonSlot> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let places = self.places_of(&version.tenant);
        let slot = Arc::new(CordonSlot::new(number, self.clone(), version, environment, places));
        let mut slots = lock(&self.shared.slots);
        slots.retain(|_, slot| slot.strong_count() > 0);
        slots.insert(number, Arc::downgrade(&slot));
        slot
    }

    fn places_of(&self, tenant: &TenantId) -> Vec<Arc<Place>> {
        match &self.places {
            Places::Shared(places) => {
                let chosen = shards::places(tenant, places.len());
                chosen.into_iter().map(|place| places[place].clone()).collect()
            }
            Places::Own(places) => {
                let mut places = lock(places);
                places.retain(|_, place| place.strong_count() > 0);
                let place = match places.get(tenant).and_then(Weak::upgrade) {
                    Some(place) => place,
                    None => {
                        let place = Place::new(&self.shared);
                        places.insert(tenant.clone(), Arc::downgrade(&place));
                        place
                    }
                };
                vec![place]
            }
        }
    }

    /// The child that takes an event of slot `number` now, if there is one: that of the first place which has one.
    ///
    /// None while the first place waits for the first child of its life and the slot runs nowhere: a worker that began in the other
    /// place would soon move, and lose what its modules hold in memory.
    fn child_now(&self, places: &[Arc<Place>], number: u64) -> Option<Arc<Child>> {
        if self.begins(places, number) {
            return None;
        }
        any_child(places)
    }

    /// Whether the first of `places` has yet to get its first child, nothing says that it may get none, and the slot would begin.
    fn begins(&self, places: &[Arc<Place>], number: u64) -> bool {
        let runs = |place: &Arc<Place>| place.child().is_some_and(|child| child.running(number).is_some());
        places.first().is_some_and(|place| place.is_new())
            && self.shared.nursery.trouble().is_none()
            && !places.iter().any(runs)
    }

    /// The child that takes an event of slot `number`. Waits if none does now.
    async fn child(&self, places: &[Arc<Place>], number: u64) -> Result<Arc<Child>, Fault> {
        if let Some(child) = self.child_now(places, number) {
            return Ok(child);
        }
        let stopping = self.shared.tasks.stopping();
        if places.is_empty() || stopping.is_cancelled() {
            return Err(Fault::new(FaultKind::Draining, "the server is stopping"));
        }
        if self.begins(places, number) {
            tokio::select! {
                () = places[0].begun() => {}
                // Then any will do.
                () = self.shared.nursery.in_trouble() => {}
                () = tokio::time::sleep(OWN_CHILD_WAIT) => {}
                () = stopping.cancelled() => {}
            }
            if let Some(child) = any_child(places) {
                return Ok(child);
            }
        }
        // Whichever comes first; each is that of a place of this tenant.
        let filled = futures_util::future::select_all(places.iter().map(|place| Box::pin(place.filled())));
        let nobody = |why: &str| Fault::new(FaultKind::Overloaded, format!("no process can run the worker: {why}"));
        tokio::select! {
            (child, _, _) = filled => Ok(child),
            // If none could ever be started, there is no use in waiting.
            Err(error) = self.shared.nursery.first() => Err(nobody(&error.to_string())),
            () = stopping.cancelled() => Err(Fault::new(FaultKind::Draining, "the server is stopping")),
            () = tokio::time::sleep(CHILD_WAIT_MAX) => {
                Err(nobody(&self.shared.nursery.trouble().unwrap_or_else(|| "none was ready".to_owned())))
            }
        }
    }

    fn children(&self) -> Vec<Arc<Child>> {
        self.shared.children()
    }

    /// The shutdown has begun.
    fn is_stopping(&self) -> bool {
        self.shared.tasks.stopping().is_cancelled()
    }

    fn all_places(&self) -> Vec<Arc<Place>> {
        match &self.places {
            Places::Shared(places) => places.clone(),
            Places::Own(places) => lock(places).values().filter_map(Weak::upgrade).collect(),
        }
    }

    /// Puts a fresh child in each place, one place after the other, and waits for the end of the old ones. What runs in
    /// them finishes there, within the grace. Returns how many there were.
    pub async fn restart(&self) -> usize {
        let places = self.all_places();
        for place in &places {
            let cut = place.restart(self.shared.grace).await;
            if cut > 0 {
                tracing::warn!(
                    isolates = cut,
                    "isolates of a child process were still busy at the end of its grace"
                );
            }
        }
        places.len()
    }

    /// Takes nothing more, finishes what is in flight within `grace`, and ends all children. Returns the number of
    /// isolates that were cut off.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        // Places and nursery start nothing any more; what children run goes on.
        self.shared.tasks.stopping().cancel();
        let children = self.children();
        let drained = children
            .into_iter()
            .map(|child| async move { child.drain(grace).await });
        let cut = futures_util::future::join_all(drained).await.into_iter().sum();
        self.shared.tasks.drain(TASKS_GRACE).await;
        cut
    }

    /// The process numbers of the children that serve, for whoever watches them.
    pub fn process_ids(&self) -> Vec<u32> {
        let places = self.all_places();
        places
            .iter()
            .filter_map(|place| place.child())
            .map(|child| child.id)
            .collect()
    }

    /// Counters.
    pub fn stats(&self) -> CordonStats {
        let (started, start_failures) = self.shared.nursery.counts();
        CordonStats {
            children: self.children().iter().filter(|child| !child.is_over()).count(),
            started,
            start_failures,
            ended: self.shared.ended.load(Ordering::Relaxed),
            condemned: self.shared.condemned.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Display for Cordon {
    /// Where workers run, after "workers run".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.places {
            Places::Shared(places) => write!(
                f,
                "in {} locked-in child processes (isolation \"cordon\")",
                places.len()
            )?,
            Places::Own(_) => f.write_str("in a locked-in child process for each tenant (isolation \"dedicated\")")?,
        }
        write!(f, ", {}", self.shared.nursery.bounds())
    }
}

impl Shared {
    fn children(&self) -> Vec<Arc<Child>> {
        lock(&self.children).iter().filter_map(Weak::upgrade).collect()
    }

    fn add(&self, child: &Arc<Child>) {
        let mut children = lock(&self.children);
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(child));
    }

    fn count_end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Starts in `successor` the versions that run in `old`, and waits for them: their next events find them ready.
    async fn start_what_runs(&self, old: &Child, successor: &Arc<Child>) {
        use futures_util::StreamExt;
        let slots: Vec<Arc<CordonSlot>> = {
            let slots = lock(&self.slots);
            old.numbers()
                .iter()
                .filter_map(|number| slots.get(number)?.upgrade())
                .collect()
        };
        let starts = slots.into_iter().map(|slot| {
            let successor = successor.clone();
            async move {
                if let Some(worker) = successor.worker(&slot, true) {
                    // One that does not start there says so to its events.
                    let _ = tokio::time::timeout(START_AHEAD_MAX, worker.ready()).await;
                }
            }
        });
        futures_util::stream::iter(starts)
            .buffer_unordered(STARTS_AT_ONCE)
            .collect::<()>()
            .await;
    }
}
