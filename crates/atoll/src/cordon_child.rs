//! `atoll cordon-child SETTINGS`: the process that runs workers of tenants and nothing else. Started by the server, never
//! by a person.
//!
//! ```text
//! enter the sandbox (one thread) -> start V8, pool, runtime -> run a worker once -> filter system calls -> say so -> serve
//! ```
//!
//! Descriptor 0 is the link to the parent, over which versions come, events, and everything that a worker reaches. On
//! descriptor 1 it says once that it is ready and how it is locked in. What goes wrong before ends it with the reason on
//! descriptor 2: a process that is not locked in runs nobody's code.

use crate::cordon::build;
use crate::warm_up;
use async_trait::async_trait;
use atoll_host::{CODE_MEMORY_MAX, CodeStore};
use atoll_js::JsEngine;
use atoll_link::{Runner, Running, SegmentWriter};
use atoll_model::WorkerVersion;
use atoll_pool::{AbandonHook, Capacity, Pool, PoolOptions, ProcessMemory, WorkerSlot};
use atoll_sandbox::{Options, Policy, ResourceLimits, Unlisted};
use atoll_stdx::SystemClock;
use atoll_worker::{Environment, Fault, Job};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;

/// The word that makes this program a child.
pub(crate) const WORD: &str = "cordon-child";
/// The end of the link.
const LINK: i32 = 0;
/// How long the process lives on for what it has to say to its parent, when it has to end.
const FAREWELL: Duration = Duration::from_millis(50);
/// What the parent tells a child, as JSON in its one word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Run although the kernel lacks a layer.
    pub(crate) allow_downgrade: bool,
    /// Say which system calls were refused. For tests.
    pub(crate) report_refused: bool,
    /// Turns that run at once. Inside the sandbox the number of cores that the process may use can no longer be read.
    pub(crate) permits: usize,
    /// Isolates of one worker, while its queue stands.
    pub(crate) isolates_per_worker: usize,
    /// Isolates that wait for whichever worker needs one next.
    pub(crate) ready_max: usize,
    /// How many children share what the system grants to all.
    pub(crate) children: usize,
    /// Most bytes of private memory.
    pub(crate) memory_bytes: Option<u64>,
}

/// What a child is taken to hold beside its isolates: it cannot ask the system.
const BESIDE_ISOLATES_BYTES: u64 = 64 * 1024 * 1024;

/// Runs the child to its end.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let run = || {
        let (settings, group) = match words {
            [_, settings] => (settings, None),
            [_, settings, group] => (settings, Some(group)),
            _ => return Err("it is started by the server, with its settings".to_owned()),
        };
        if let Some(group) = group {
            // Zero is whoever writes.
            std::fs::write(group, "0").map_err(|error| format!("it cannot join its control group {group}: {error}"))?;
        }
        let settings = serde_json::from_str(settings).map_err(|error| format!("its settings: {error}"))?;
        serve(&settings)
    };
    match run() {
        // Isolates need not be taken apart one by one.
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("{WORD}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: &Settings) -> Result<(), String> {
    prefer_this_process_for_the_oom_killer();
    // What the system grants can be read no longer once it is locked in, nor can mappings be counted.
    let (isolates_max, _) = Capacity::of_this_process().among(settings.children).busy_isolates();
    let memory = ProcessMemory::of_this_process(settings.memory_bytes, settings.children);
    // SAFETY: the parent made this descriptor the link's end, and nothing else in this program knows it.
    let link = StdStream::from(unsafe { OwnedFd::from_raw_fd(LINK) });
    let segment = atoll_link::segment::receive(&link).map_err(|error| format!("the shared segment: {error}"))?;
    // Mapped, it needs no descriptor.
    let segment = segment.and_then(|file| {
        let mapped = SegmentWriter::new(file);
        mapped
            .inspect_err(|error| {
                eprintln!("{WORD}: the shared segment cannot be mapped, large answers cost more: {error}")
            })
            .ok()
    });
    let entered = atoll_sandbox::enter(&Options {
        policy: if settings.allow_downgrade {
            Policy::AllowDowngrade
        } else {
            Policy::Require
        },
        // 0, 1 and 2 are all there is.
        keep: Vec::new(),
        limits: ResourceLimits {
            data: settings.memory_bytes,
            ..ResourceLimits::default()
        },
        unlisted: if settings.report_refused {
            Unlisted::Report
        } else {
            Unlisted::Refuse
        },
    })
    .map_err(|error| error.to_string())?;
    link.set_nonblocking(true)
        .map_err(|error| format!("the link: {error}"))?;
    atoll_js::init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the system refuses descriptors for the I/O runtime: {error}"))?;
    let pool = Pool::new(PoolOptions {
        permits: settings.permits.max(1),
        isolates_max,
        isolates_per_worker: settings.isolates_per_worker,
        ready_max: settings.ready_max,
        memory: memory.map(|memory| Arc::new(memory.blind(BESIDE_ISOLATES_BYTES)) as _),
        // A turn that no interrupt reaches ends with its process; the parent has a spare.
        on_abandon: Some(AbandonHook(Arc::new(|version, fault| {
            eprintln!(
                "{WORD}: worker {}: {fault}; its turn cannot be ended, the process ends with it",
                version.name
            );
            // The answers of those who asked for it are on their way.
            std::thread::sleep(FAREWELL);
            std::process::exit(1)
        }))),
        ..PoolOptions::default()
    })
    .map_err(|error| format!("the system refuses a thread for the isolates' watchdog: {error}"))?;
    // In the memory of this process alone: what runs here is not trusted, and neither is code that was made here.
    let code = CodeStore::in_memory(CODE_MEMORY_MAX);
    let engine = Arc::new(crate::engine().with_code_cache(code));
    runtime.block_on(async move {
        warm_up::run(&pool, engine.clone()).await?;
        let link = UnixStream::from_std(link).map_err(|error| format!("the link: {error}"))?;
        let report = entered.lock().map_err(|error| error.to_string())?;
        say_ready(&report).map_err(|error| format!("the parent does not listen: {error}"))?;
        // What isolates answer in a row leaves in one write, and what the parent sends in a row is read at once.
        atoll_pool::wake_without_preempting();
        let runner = Arc::new(PoolRunner { pool, engine });
        let ended = atoll_link::serve(link, segment, runner, &build(), Arc::new(SystemClock)).await;
        tracing::debug!(%ended, "the link ended");
        Ok(())
    })
}

/// Runs what the parent sends in the pool of this process.
struct PoolRunner {
    pool: Pool,
    engine: Arc<JsEngine>,
}

impl Runner for PoolRunner {
    fn start(&self, version: Arc<WorkerVersion>, environment: Environment, ahead: bool) -> Arc<dyn Running> {
        let engine = self.engine.clone();
        Arc::new(InPool(match ahead {
            true => self.pool.start(engine, version, environment),
            false => self.pool.start_cold(engine, version, environment),
        }))
    }
}

struct InPool(WorkerSlot);

#[async_trait]
impl Running for InPool {
    fn submit(&self, job: Job) {
        self.0.run(job);
    }

    async fn ready(&self) -> Result<(), Fault> {
        self.0.ready().await
    }

    fn expect(&self) {
        self.0.expect();
    }

    async fn retire(&self, grace: Duration) -> usize {
        self.0.retire(grace).await
    }
}

/// When the machine runs out of memory, a process that runs tenants' code goes before the one that holds everybody's
/// connections. Raising the number takes no privilege; where it cannot be written, the kernel chooses by size.
fn prefer_this_process_for_the_oom_killer() {
    const SCORE: &str = "800";
    let _ = std::fs::write("/proc/self/oom_score_adj", SCORE);
}

fn say_ready(report: &atoll_sandbox::Report) -> std::io::Result<()> {
    let downgrades = report.downgrades().map(|(layer, reason)| format!("{layer}: {reason}"));
    let line = serde_json::json!({
        "layers": report.to_string(),
        "downgrades": downgrades.collect::<Vec<_>>(),
    });
    let mut to = std::io::stdout().lock();
    writeln!(to, "{line}")?;
    to.flush()
}
