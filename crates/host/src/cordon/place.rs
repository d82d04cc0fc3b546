//! A place: where one child serves at a time, and is followed by another.
//!
//! ```text
//! empty --a ready child--> serving --it ends--> empty (a pause, if it did not live long)
//!                            |  ^
//!                            +--+ restart: the successor starts what runs, takes the place, the old one drains
//! ```

use super::Shared;
use super::child::Child;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// A child that lived for so long is followed at once.
const STEADY: Duration = Duration::from_secs(10);
/// Children that may end sooner, one after the other, before pauses begin.
const ENDS_WITHOUT_PAUSE: u32 = 3;
/// The first pause; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Asks for a successor; answered with the number of isolates that were cut off.
type Restart = (Duration, oneshot::Sender<usize>);

/// What a place shows.
#[derive(Default)]
struct Current {
    child: Option<Arc<Child>>,
    /// It has, or had, a child.
    began: bool,
}

/// See the module.
pub(crate) struct Place {
    current: watch::Sender<Current>,
    restarts: mpsc::Sender<Restart>,
}

impl Place {
    /// A place that fills itself.
    pub(super) fn new(shared: &Arc<Shared>) -> Arc<Self> {
        let (restarts, asked) = mpsc::channel(1);
        let place = Arc::new(Self {
            current: watch::Sender::new(Current::default()),
            restarts,
        });
        let stopping = shared.tasks.stopping();
        let run = run(Arc::downgrade(&place), shared.clone(), asked);
        shared.tasks.spawn(async move {
            tokio::select! {
                () = run => {}
                () = stopping.cancelled() => {}
            }
        });
        place
    }

    /// The child that serves, if there is one.
    pub(super) fn child(&self) -> Option<Arc<Child>> {
        let child = self.current.borrow().child.clone();
        child.filter(|child| !child.is_over())
    }

    /// Whether no child has served here yet.
    pub(super) fn is_new(&self) -> bool {
        !self.current.borrow().began
    }

    /// Waits for the first child, which may be over already.
    pub(super) async fn begun(&self) {
        // The sender is this place's own: it does not go while this waits.
        let _ = self.current.subscribe().wait_for(|current| current.began).await;
    }

    /// Waits for a child that serves.
    pub(super) async fn filled(&self) -> Arc<Child> {
        let mut current = self.current.subscribe();
        loop {
            if let Some(child) = self.child() {
                return child;
            }
            if current.changed().await.is_err() {
                // The sender is this place's own.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Puts another child in the place of the one that serves, which finishes what it has within `grace`. Returns the
    /// number of isolates that were cut off.
    pub(super) async fn restart(&self, grace: Duration) -> usize {
        let (done, answer) = oneshot::channel();
        match self.restarts.send((grace, done)).await {
            Ok(()) => answer.await.unwrap_or(0),
            Err(_) => 0,
        }
    }
}

async fn run(place: Weak<Place>, shared: Arc<Shared>, mut restarts: mpsc::Receiver<Restart>) {
    let show = |child: Option<&Arc<Child>>| match place.upgrade() {
        Some(place) => {
            place.current.send_replace(Current {
                child: child.cloned(),
                began: true,
            });
            true
        }
        None => false,
    };
    let mut ends = 0;
    loop {
        let mut child = shared.nursery.take().await;
        let mut placed = Instant::now();
        loop {
            if !show(Some(&child)) {
                // The place was given up while this child started.
                child.drain(Duration::ZERO).await;
                return;
            }
            let restart = tokio::select! {
                () = child.ended() => None,
                // Closed when the place is given up: then it is drained as in a restart, without a successor.
                restart = restarts.recv() => Some(restart),
            };
            match restart {
                None => break,
                Some(None) => {
                    child.drain(shared.grace).await;
                    return;
                }
                Some(Some((grace, done))) => {
                    let successor = shared.nursery.take().await;
                    shared.start_what_runs(&child, &successor).await;
                    let old = std::mem::replace(&mut child, successor);
                    placed = Instant::now();
                    // First the new one, so that nobody is sent to one that takes nothing any more.
                    show(Some(&child));
                    shared.tasks.spawn(async move {
                        // Whoever asked may have gone.
                        let _ = done.send(old.drain(grace).await);
                    });
                }
            }
        }
        show(None);
        ends = if placed.elapsed() >= STEADY { 0 } else { ends + 1 };
        shared.count_end();
        if let Some(over @ 1..) = u32::checked_sub(ends, ENDS_WITHOUT_PAUSE) {
            let pause = PAUSE_FIRST.saturating_mul(1 << (over - 1).min(16)).min(PAUSE_MAX);
            tracing::warn!(
                pause_ms = pause.as_millis() as u64,
                "child processes end again and again; a pause"
            );
            tokio::time::sleep(pause).await;
        }
    }
}
