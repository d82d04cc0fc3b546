//! A child process with its link: what runs in it, its end, its drain.

use super::groups::Group;
use super::process::{Process, Ready, log_lines};
use super::slot::CordonSlot;
use super::{Shared, warden};
use atoll_link::{ParentLink, RemoteSlot, SegmentReader, SlotMeter};
use atoll_model::Limits;
use atoll_worker::Fault;
use std::collections::HashMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// How long a child may take to end after its link was closed, before it is ended.
const EXIT_GRACE: Duration = Duration::from_secs(1);

/// Between two looks at the streams of a child that drains.
const STREAMS_LOOK: Duration = Duration::from_millis(5);
/// The number of the signal that cannot be handled.
const SIGKILL: i32 = 9;
/// What V8 and the allocator write when the process may have no more memory. It names an end, and decides nothing.
const OUT_OF_MEMORY: [&str; 2] = ["process out of memory", "memory allocation of"];

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
    /// The limit that it broke, once that is known; at the latest when it is over.
    verdict: Arc<OnceLock<Fault>>,
    shared: Weak<Shared>,
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
    pub(crate) async fn start(shared: &Arc<Shared>) -> io::Result<(Arc<Self>, Ready)> {
        let tasks = &shared.tasks;
        let mut started = shared.nursery.spawner().start().await?;
        let ready = match started.ready().await {
            Ok(ready) => ready,
            Err(error) => return Err(last_words(started, error).await),
        };
        let id = started.process.id;
        let (kill, over) = (CancellationToken::new(), CancellationToken::new());
        let link = Arc::new(ParentLink::open(
            started.socket,
            started.segment.clone(),
            &shared.build,
            tasks,
        ));
        let verdict = Arc::<OnceLock<Fault>>::default();
        let said = Arc::new(AtomicBool::new(false));
        let child = Arc::new(Self {
            id,
            link: link.clone(),
            workers: Mutex::default(),
            kill: kill.clone(),
            over: over.clone(),
            verdict: verdict.clone(),
            shared: Arc::downgrade(shared),
        });
        let (stderr, hears) = (started.stderr, said.clone());
        let (read, log) = oneshot::channel();
        tasks.spawn(async move {
            let lines = log_lines(stderr, |line| {
                if OUT_OF_MEMORY.iter().any(|words| line.contains(words)) {
                    hears.store(true, Ordering::Release);
                }
                tracing::warn!(child = id, "{line}");
            });
            lines.await;
            // The other end is gone only with the server.
            let _ = read.send(());
        });
        let memory_bytes = shared.nursery.bounds().memory_bytes;
        let watched = Watched {
            child: Arc::downgrade(&child),
            process: started.process,
            group: started.group,
            segment: started.segment,
            link,
            kill,
            verdict,
            memory_bytes,
            killed_for_memory: killed_for_memory(),
            said,
            log,
        };
        tasks.spawn(watched.see_to_the_end(over));
        let process = warden::inner_process(id);
        let memory = warden::Memory { bytes: memory_bytes };
        tasks.spawn(warden::hold(Arc::downgrade(&child), process, memory));
        Ok((child, ready))
    }

    fn lock(&self) -> MutexGuard<'_, Workers> {
        // Every critical section is an insert or a take.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version of `slot` as it runs here; started if it does not yet, `ahead` of any event or for one that waits. `None` if this child is on its way out.
    pub(crate) fn worker(&self, slot: &CordonSlot, ahead: bool) -> Option<Arc<RemoteSlot>> {
        let mut workers = self.lock();
        if workers.closing || self.is_over() || slot.is_retired() {
            return None;
        }
        let start = || Arc::new(self.link.start(slot.version().clone(), slot.environment(), ahead));
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

    /// The versions that run here: their numbers, limits and counters.
    pub(super) fn meters(&self) -> Vec<(u64, Limits, SlotMeter)> {
        let workers = self.lock();
        let of =
            |(number, worker): (&u64, &Arc<RemoteSlot>)| (*number, worker.version().limits.clone(), worker.meter());
        workers.started.iter().map(of).collect()
    }

    /// Ends it at once because it broke a limit: what it has in flight gets `fault`.
    pub(super) fn condemn(&self, fault: Fault) {
        if let Some(shared) = self.shared.upgrade() {
            shared.condemned.fetch_add(1, Ordering::Relaxed);
        }
        tracing::error!(child = self.id, "{fault}");
        if let Some(hit) = fault.limit {
            // Whoever had something in flight here is counted to have reached it.
            for slot in self.lock().started.values().filter(|slot| slot.in_flight() > 0) {
                slot.count(hit);
            }
        }
        // The first reason is the one.
        let _ = self.verdict.set(fault);
        self.kill();
    }

    /// What its events get when it is over: the limit that it broke, if it did. Waits for the process.
    pub(crate) async fn verdict(&self) -> Option<Fault> {
        self.over.cancelled().await;
        self.verdict.get().cloned()
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
        let began = Instant::now();
        let cut: usize = futures_util::future::join_all(retired).await.into_iter().sum();
        // A body may flow through the child with no isolate behind it: one that was answered as it came in.
        while self.link.stats().streams > 0 && !self.is_over() && began.elapsed() < grace {
            tokio::time::sleep(STREAMS_LOOK).await;
        }
        self.link.close("the child is not needed any more");
        if tokio::time::timeout(EXIT_GRACE, self.over.cancelled()).await.is_err() {
            self.kill();
            self.over.cancelled().await;
        }
        cut
    }
}

/// What is needed to take care of a process and its link until both are over.
struct Watched {
    child: Weak<Child>,
    process: Process,
    group: Option<Group>,
    segment: Option<SegmentReader>,
    link: Arc<ParentLink>,
    kill: CancellationToken,
    verdict: Arc<OnceLock<Fault>>,
    memory_bytes: u64,
    /// How many processes the kernel had ended for want of memory when this one began.
    killed_for_memory: Option<u64>,
    /// It wrote that it had no memory.
    said: Arc<AtomicBool>,
    /// Its last line has been read.
    log: oneshot::Receiver<()>,
}

impl Watched {
    async fn see_to_the_end(self, over: CancellationToken) {
        // Whoever waits hears of the end when nothing can come any more, and whatever becomes of this task.
        let _over = over.drop_guard();
        let Self {
            mut process,
            link,
            kill,
            verdict,
            ..
        } = self;
        let id = process.id;
        let why = tokio::select! {
            error = link.ended() => {
                if let (Some(fault), Some(child)) = (error.limit(), self.child.upgrade()) {
                    child.condemn(fault);
                }
                error.to_string()
            }
            _ = process.ended() => "its process ended".to_owned(),
            () = kill.cancelled() => "it was told to end at once".to_owned(),
        };
        // After the link nothing that the process does can matter: it gets the time to leave in order, no more.
        let left = tokio::select! {
            biased;
            () = kill.cancelled() => None,
            status = tokio::time::timeout(EXIT_GRACE, process.ended()) => status.ok(),
        };
        let by_us = left.is_none();
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
            let _ = tokio::time::timeout(EXIT_GRACE, link.ended()).await;
        }
        // Not before: what lies there of a piece that is still on its way would be gone.
        if let Some(segment) = self.segment {
            segment.child_is_gone();
        }
        let _ = tokio::time::timeout(EXIT_GRACE, self.log).await;
        let signal = status.as_ref().ok().and_then(ExitStatusExt::signal);
        let by_group = self.group.as_ref().is_some_and(Group::ran_out_of_memory);
        let by_kernel = !by_us && signal == Some(SIGKILL) && killed_for_memory() > self.killed_for_memory;
        let by_itself = !by_us && signal.is_some() && self.said.load(Ordering::Acquire);
        if by_group || by_kernel || by_itself {
            let _ = verdict.set(warden::too_large(self.memory_bytes));
        }
        match (&status, verdict.get()) {
            (_, Some(fault)) => tracing::warn!(child = id, why, "a child process was ended: {}", fault.message),
            (Ok(status), _) if status.success() => tracing::debug!(child = id, why, "a child process is over"),
            (Ok(status), _) => tracing::warn!(child = id, why, %status, "a child process ended"),
            (Err(error), _) => tracing::error!(child = id, why, %error, "a child process cannot be waited for"),
        }
        if let Some(group) = self.group {
            tokio::spawn(group.remove());
        }
    }
}

/// How many processes the kernel has ended because there was no memory left, since it started.
fn killed_for_memory() -> Option<u64> {
    let counts = std::fs::read_to_string("/proc/vmstat").ok()?;
    let count = counts.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
    count.trim().parse().ok()
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
