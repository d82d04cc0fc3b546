//! Homes: threads on which clients' connections live beside the isolate that answers them, for a worker that is alone in its process.
//!
//! A home is a thread with a runtime that has sockets. At most one isolate at a time is driven there, as one task among the
//! connections', so nothing between a request and its answer wakes another thread. What that costs: while a turn runs, the
//! connections beside it wait, as in any server of one thread. So:
//!
//! - a home whose turn takes long ([`PoolOptions::turn_max`](crate::PoolOptions::turn_max)) gets no new connection and no isolate until
//!   the turn has ended; who asks meanwhile is served elsewhere, and further isolates have threads of their own;
//! - limits are held as everywhere: the watchdog ends turns from outside. CPU is charged for turns, as far as their wall time: where
//!   others take the core from a turn, what the connections used before may fill the gap;
//! - only versions that were deployed live there, not what these load at run time;
//! - a home outlives its isolates: one that broke is followed by another, on this thread or elsewhere, and no connection is lost. A
//!   turn that cannot be ended is given up as everywhere; the connections beside it wait until it is over.

use crate::blocking::Helpers;
use crate::isolate;
use crate::slot::Slot;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Which home a thread is; see [`here`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HomeId(usize);

/// Tasks that an isolate is: its own, and its engine's.
const TASKS_OF_AN_ISOLATE: usize = 2;

thread_local! {
    static HERE: Cell<Option<HomeId>> = const { Cell::new(None) };
}

/// The home that the calling thread is.
pub(crate) fn here() -> Option<HomeId> {
    HERE.get()
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Home {
    id: HomeId,
    runtime: Handle,
    helpers: Arc<Helpers>,
    /// An isolate lives there.
    taken: AtomicBool,
    stalled: Arc<AtomicBool>,
    /// Ends the thread when it goes.
    _stop: oneshot::Sender<()>,
}

impl Home {
    fn open(id: HomeId) -> io::Result<Self> {
        let helpers = Arc::<Helpers>::default();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let its = helpers.clone();
        std::thread::Builder::new()
            .name(format!("atoll-home-{}", id.0))
            .stack_size(crate::STACK_BYTES)
            .spawn(move || {
                HERE.set(Some(id));
                // Its connections' requests come and go many at a time.
                let _spares = atoll_stdx::spare::keep();
                let runtime = match isolate::runtime(&its, true) {
                    Ok(runtime) => runtime,
                    Err(error) => {
                        let _ = tell.send(Err(error));
                        return;
                    }
                };
                let _ = tell.send(Ok(runtime.handle().clone()));
                // The other end is never used, only dropped.
                let _ = runtime.block_on(stopped);
                runtime.shutdown_background();
            })?;
        let handle = told
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("its thread ended at once")))?;
        Ok(Self {
            id,
            runtime: handle,
            helpers,
            taken: AtomicBool::new(false),
            stalled: Arc::default(),
            _stop: stop,
        })
    }

    pub(crate) fn id(&self) -> HomeId {
        self.id
    }

    pub(crate) fn helpers(&self) -> &Arc<Helpers> {
        &self.helpers
    }

    /// Whether the turn there takes long. Set by the watchdog, taken back by the thread.
    pub(crate) fn stalled(&self) -> &Arc<AtomicBool> {
        &self.stalled
    }

    fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// About how many connections there are; of two homes the one with an isolate counts as the emptier.
    fn connections(&self) -> usize {
        let tasks = self.runtime.metrics().num_alive_tasks();
        match self.taken.load(Ordering::Relaxed) {
            true => tasks.saturating_sub(TASKS_OF_AN_ISOLATE) * 2,
            false => tasks * 2 + 1,
        }
    }

    /// The isolate that lived there is gone.
    pub(crate) fn vacate(&self) {
        self.taken.store(false, Ordering::Release);
    }

    /// Has the isolate live there. Its room was taken by [`Homes::take`].
    pub(crate) fn drive(self: Arc<Self>, slot: Arc<Slot>, id: u64) {
        let runtime = self.runtime.clone();
        // A task like the connections', so that waking it from among them is a matter of this thread alone.
        runtime.spawn(OnItsThread(Box::pin(isolate::run_at(self, slot, id))));
    }
}

/// A future of a runtime that has one thread.
struct OnItsThread<F>(Pin<Box<F>>);

// SAFETY: what is made elsewhere is a future that was never polled and holds nothing but what `Home::drive` was given, all of it
// `Send`. From then on it is polled and dropped by the runtime of a home alone, which is of one thread (`isolate::runtime`), the one
// that owns it; a runtime that is gone drops the future unpolled.
unsafe impl<F> Send for OnItsThread<F> {}

impl<F: Future> Future for OnItsThread<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// The homes of a process.
#[derive(Debug)]
pub struct Homes {
    all: Vec<Arc<Home>>,
    /// Isolates that were made elsewhere are replaced by some where events come.
    moves: bool,
}

impl Homes {
    pub(crate) fn open(count: usize, moves: bool) -> io::Result<Self> {
        let homes = (0..count).map(|at| Home::open(HomeId(at)).map(Arc::new));
        Ok(Self {
            all: homes.collect::<io::Result<_>>()?,
            moves,
        })
    }

    /// Where a connection that comes now should live: the runtime with the fewest tasks, of those that do not compute. `None`: where
    /// it is.
    pub fn home(&self) -> Option<Handle> {
        let open = self.all.iter().filter(|home| !home.is_stalled());
        let home = open.min_by_key(|home| home.connections())?;
        Some(home.runtime.clone())
    }

    /// Room for an isolate: in this home, or in any.
    pub(crate) fn take(&self, which: Option<HomeId>) -> Option<Arc<Home>> {
        let wanted = |home: &&Arc<Home>| which.is_none_or(|id| home.id == id) && !home.is_stalled();
        let mut open = self.all.iter().filter(wanted);
        open.find(|home| !home.taken.swap(true, Ordering::Acquire)).cloned()
    }

    /// Whether an isolate may move into this home: none lives there.
    pub(crate) fn is_open(&self, id: HomeId) -> bool {
        let vacant = |home: &Arc<Home>| !home.taken.load(Ordering::Relaxed);
        self.moves && self.all.get(id.0).is_some_and(vacant)
    }
}
