//! One child that is ready, always: a place that becomes empty is filled in the time that takes to hand it over.

use super::Shared;
use super::child::Child;
use super::groups::Bounds;
use super::process::Spawner;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// The first pause after a start that failed; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Nursery {
    spawner: Spawner,
    bounds: Arc<Bounds>,
    ready: tokio::sync::Mutex<mpsc::Receiver<Arc<Child>>>,
    fill: Mutex<Option<mpsc::Sender<Arc<Child>>>>,
    /// How the first start went.
    first: watch::Sender<Option<Result<(), String>>>,
    /// Why the last start failed, if it did.
    trouble: watch::Sender<Option<String>>,
    started: AtomicU64,
    failed: AtomicU64,
}

impl Nursery {
    pub(super) fn new(spawner: Spawner, bounds: Arc<Bounds>) -> Self {
        let (fill, ready) = mpsc::channel(1);
        Self {
            spawner,
            bounds,
            ready: tokio::sync::Mutex::new(ready),
            fill: Mutex::new(Some(fill)),
            first: watch::Sender::new(None),
            trouble: watch::Sender::new(None),
            started: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    pub(super) fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// What its children are bounded by.
    pub(super) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Has the nursery of `shared` fill itself, until the group's end.
    pub(super) fn run(shared: &Arc<Shared>) {
        let fill = shared
            .nursery
            .fill
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(fill) = fill else { return };
        let stopping = shared.tasks.stopping();
        let shared = shared.clone();
        shared.tasks.clone().spawn(async move {
            tokio::select! {
                () = fill_up(&shared, &fill) => {}
                () = stopping.cancelled() => {}
            }
        });
    }

    /// Waits for the first start.
    pub(super) async fn first(&self) -> io::Result<()> {
        let mut first = self.first.subscribe();
        match first.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Err(error))) => Err(io::Error::other(error.clone())),
            _ => Ok(()),
        }
    }

    /// A child that is ready. Waits as long as it takes.
    pub(super) async fn take(&self) -> Arc<Child> {
        let mut ready = self.ready.lock().await;
        loop {
            match ready.recv().await {
                Some(child) if !child.is_over() => return child,
                Some(_) => {}
                // Nothing is filled any more; who waits here is stopped by the same token.
                None => std::future::pending().await,
            }
        }
    }

    /// Why there is none, if the last start failed.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Waits until the last start has failed.
    pub(super) async fn in_trouble(&self) {
        // The sender is this one's own: it does not go while this waits.
        let _ = self.trouble.subscribe().wait_for(Option::is_some).await;
    }

    /// Starts that succeeded, and that failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        (
            self.started.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        )
    }

    fn set_trouble(&self, trouble: Option<String>) {
        self.trouble.send_replace(trouble);
    }
}

async fn fill_up(shared: &Arc<Shared>, fill: &mpsc::Sender<Arc<Child>>) {
    let nursery = &shared.nursery;
    let mut pause = PAUSE_FIRST;
    // Room first: a child that is started before there is room would be a second spare.
    while let Ok(room) = fill.reserve().await {
        match Child::start(shared).await {
            Ok((child, ready)) => {
                if nursery.started.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::info!(layers = ready.layers, "child processes are locked in");
                    for downgrade in &ready.downgrades {
                        tracing::warn!(downgrade, "child processes are locked in less than they could be");
                    }
                }
                shared.add(&child);
                nursery.set_trouble(None);
                nursery.first.send_replace(Some(Ok(())));
                pause = PAUSE_FIRST;
                room.send(child);
            }
            Err(error) => {
                drop(room);
                nursery.failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "a child process did not start");
                nursery.set_trouble(Some(error.to_string()));
                nursery.first.send_if_modified(|first| {
                    let unknown = first.is_none();
                    if unknown {
                        *first = Some(Err(error.to_string()));
                    }
                    unknown
                });
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}
