//! A child process with its link: what runs in it, its end, its drain.

use super::process::{Process, Ready, Spawner, log_lines};
use super::slot::CordonSlot;
use atoll_link::{ParentLink, RemoteSlot};
use atoll_stdx::TaskGroup;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a child may take to end after its link was closed, before it is ended.
const EXIT_GRACE: Duration = Duration::from_secs(1);

/// A child that is ready, or was.
pub(crate) struct Child {
    /// The number of its process.
    pub(crate) id: u32,
    link: Arc<ParentLink>,
    workers: Mutex<Workers>,
    /// Asks for the process's end.
    kill: CancellationToken,
    /// The process is over.
    over: CancellationToken,
}

#[derive(Default)]
struct Workers {
    /// By the number of the [`CordonSlot`].
    started: HashMap<u64, Arc<RemoteSlot>>,
    /// It is on its way out: nothing is started any more.
    closing: bool,
}

impl Child {
    /// Starts a process and waits until it is ready and locked in.
    pub(crate) async fn start(spawner: &Spawner, build: &str, tasks: &TaskGroup) -> io::Result<(Arc<Self>, Ready)> {
        let mut started = spawner.start().await?;
        let ready = match started.ready().await {
            Ok(ready) => ready,
            Err(error) => return Err(last_words(started, error).await),
        };
        let id = started.process.id;
        let stderr = started.stderr;
        tasks.spawn(log_lines(stderr, move |line| tracing::warn!(child = id, "{line}")));
        let (kill, over) = (CancellationToken::new(), CancellationToken::new());
        let link = Arc::new(ParentLink::open(started.socket, build, tasks));
        let child = Arc::new(Self {
            id,
            link: link.clone(),
            workers: Mutex::default(),
            kill: kill.clone(),
            over: over.clone(),
        });
        tasks.spawn(watch(started.process, link, kill, over));
        Ok((child, ready))
    }

    fn lock(&self) -> MutexGuard<'_, Workers> {
        // Every critical section is an insert or a take.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version of `slot` as it runs here; started if it does not yet. `None` if this child is on its way out.
    pub(crate) fn worker(&self, slot: &CordonSlot) -> Option<Arc<RemoteSlot>> {
        let mut workers = self.lock();
        if workers.closing || self.is_over() || slot.is_retired() {
            return None;
        }
        let start = || Arc::new(self.link.start(slot.version().clone(), slot.environment()));
        Some(workers.started.entry(slot.number()).or_insert_with(start).clone())
    }

    /// A version as it runs here, if it does.
    pub(crate) fn running(&self, number: u64) -> Option<Arc<RemoteSlot>> {
        self.lock().started.get(&number).cloned()
    }

    /// Forgets a version that was retired, and gives it to be waited for.
    pub(crate) fn take(&self, number: u64) -> Option<Arc<RemoteSlot>> {
        self.lock().started.remove(&number)
    }

    /// Versions that run here.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.lock().started.keys().copied().collect()
    }

    /// Its process is over, or its link: nothing more comes from it.
    pub(crate) fn is_over(&self) -> bool {
        self.over.is_cancelled() || self.link.end().is_some()
    }

    /// Waits until nothing more comes from it. Its process may take a moment longer.
    pub(crate) async fn ended(&self) {
        self.link.ended().await;
    }

    /// Ends the process at once; what it has in flight is lost.
    pub(crate) fn kill(&self) {
        self.kill.cancel();
    }

    /// Takes nothing more, finishes what is in flight within `grace`, and ends the process. Returns how many isolates were
    /// cut off.
    pub(crate) async fn drain(&self, grace: Duration) -> usize {
        let workers: Vec<Arc<RemoteSlot>> = {
            let mut workers = self.lock();
            workers.closing = true;
            workers.started.drain().map(|(_, worker)| worker).collect()
        };
        let retired = workers
            .into_iter()
            .map(|worker| async move { worker.retire(grace).await });
        let cut: usize = futures_util::future::join_all(retired).await.into_iter().sum();
        self.link.close("the child is not needed any more");
        if tokio::time::timeout(EXIT_GRACE, self.over.cancelled()).await.is_err() {
            self.kill();
            self.over.cancelled().await;
        }
        cut
    }
}

/// Takes care of the process and the link until both are over.
async fn watch(mut process: Process, link: Arc<ParentLink>, kill: CancellationToken, over: CancellationToken) {
    // Whoever waits hears of the end when nothing can come any more, and whatever becomes of this task.
    let _over = over.drop_guard();
    let id = process.id;
    let why = tokio::select! {
        error = link.ended() => error.to_string(),
        _ = process.ended() => "its process ended".to_owned(),
        () = kill.cancelled() => "it was told to end at once".to_owned(),
    };
    // After the link nothing that the process does can matter: it gets the time to leave in order, no more.
    let left = tokio::select! {
        status = tokio::time::timeout(EXIT_GRACE, process.ended()) => status.ok(),
        () = kill.cancelled() => None,
    };
    let status = match left {
        Some(status) => status,
        None => {
            process.kill();
            process.ended().await
        }
    };
    // What the process sent before its end is taken to the last byte.
    if tokio::time::timeout(EXIT_GRACE, link.ended()).await.is_err() {
        link.close("its process ended");
    }
    match status {
        Ok(status) if status.success() => tracing::debug!(child = id, why, "a child process is over"),
        Ok(status) => tracing::warn!(child = id, why, %status, "a child process ended"),
        Err(error) => tracing::error!(child = id, why, %error, "a child process cannot be waited for"),
    }
}

/// Why a child did not start: what it wrote on descriptor 2, if it wrote anything.
async fn last_words(started: super::process::Started, error: io::Error) -> io::Error {
    let mut said = String::new();
    let mut process = started.process;
    process.kill();
    let log = log_lines(started.stderr, |line| {
        if said.is_empty() {
            said = line.to_owned();
        }
    });
    let _ = tokio::time::timeout(EXIT_GRACE, log).await;
    let _ = process.ended().await;
    if said.is_empty() { error } else { io::Error::other(said) }
}
