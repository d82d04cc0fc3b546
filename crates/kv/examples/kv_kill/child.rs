//! The child that is killed, and the parent's side of it.
//!
//! The child writes lines of at most a few dozen bytes, each with one system call, which a pipe keeps whole:
//! `R` the store is open; `I number expiration` an operation begins (expiration 0: none); `A number` it was acknowledged;
//! `E text` something failed that must not. A line is in the pipe before the child goes on, so the order of lines is the
//! order of events, and what was in the pipe survives the child.

use crate::history::History;
use crate::operation::{NAMESPACES, Operation};
use anyhow::{Context, Result, bail};
use atoll_kv::{Kv, ListOptions, Namespace};
use atoll_model::{NamespaceId, TenantId};
use atoll_stdx::{Clock, SplitMix64, TaskGroup};
use atoll_store::LsmKeyspace;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How much faster than the world's the children's clock runs: keys expire within a second or two.
pub const CLOCK_SPEED: u64 = 60;
const WRITERS: usize = 24;
/// A child that nobody kills stops by itself.
const OPERATIONS_MAX: u64 = 200_000;
/// A child that neither dies nor writes is a finding.
const LIFE_MAX: Duration = Duration::from_secs(60);

pub fn tenant() -> TenantId {
    TenantId::new("campaign")
}

pub fn namespace_id(namespace: u64) -> NamespaceId {
    NamespaceId::new(format!("namespace{namespace}"))
}

/// Starts at a given time and runs fast.
#[derive(Debug)]
struct FastClock {
    first_ms: u64,
    start: Instant,
}

impl Clock for FastClock {
    fn now_ms(&self) -> u64 {
        self.first_ms + self.start.elapsed().as_millis() as u64 * CLOCK_SPEED
    }
}

/// When a child dies.
#[derive(Debug, Clone, Copy)]
pub enum Kill {
    /// So long after it was started, whatever it is doing.
    Started(Duration),
    /// So long after its store was open.
    Ready(Duration),
    /// When it has told so many acknowledgements.
    Acknowledged(u64),
}

impl Kill {
    pub fn choose(rng: &mut SplitMix64) -> Self {
        match rng.below(8) {
            0..2 => Self::Started(Duration::from_micros(rng.below(60_000))),
            2 => Self::Ready(Duration::from_micros(rng.below(20_000))),
            3 | 4 => Self::Ready(Duration::from_millis(rng.below(1_500))),
            5 => Self::Acknowledged(1 + rng.below(20)),
            _ => Self::Acknowledged(1 + rng.below(2_000)),
        }
    }
}

/// How a child ended.
pub struct Ended {
    pub was_ready: bool,
    pub lived: Duration,
}

/// Runs a child, kills it and takes what it told into `history`.
pub fn run_and_kill(
    program: &Path,
    store: &Path,
    seed: u64,
    run: u64,
    now_ms: u64,
    kill: Kill,
    history: &mut History,
) -> Result<Ended> {
    let start = Instant::now();
    let mut child = Command::new(program)
        .arg("--child")
        .arg(store)
        .args([seed.to_string(), run.to_string(), now_ms.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("start the child")?;
    let output = child.stdout.take().context("the child's output")?;
    let (tell, told) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            // A receiver that is gone has failed already.
            if line.is_ok_and(|line| tell.send(line).is_err()) {
                return;
            }
        }
    });
    let mut deadline = match kill {
        Kill::Started(time) => start + time,
        _ => start + LIFE_MAX,
    };
    let (mut was_ready, mut acknowledged, mut failure) = (false, 0, None);
    let mut take = |line: String, was_ready: &mut bool, acknowledged: &mut u64| {
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("R", "") => *was_ready = true,
            ("E", text) => failure = Some(text.to_owned()),
            ("I", rest) => {
                let (number, expiration) = rest.split_once(' ').unwrap_or((rest, ""));
                history.begin(seed, run, number.parse()?, expiration.parse()?);
            }
            ("A", number) => {
                *acknowledged += 1;
                history.acknowledge(run, number.parse()?)?;
            }
            _ => bail!("the child said {line:?}"),
        }
        Ok(())
    };
    loop {
        let now = Instant::now();
        match told.recv_timeout(deadline.saturating_duration_since(now)) {
            Ok(line) => {
                let first = !was_ready;
                take(line, &mut was_ready, &mut acknowledged)?;
                match kill {
                    Kill::Ready(time) if first && was_ready => deadline = Instant::now() + time,
                    Kill::Acknowledged(count) if acknowledged >= count => break,
                    _ => {}
                }
            }
            // Its time has come, or it ended by itself.
            Err(_) => break,
        }
    }
    let gave_up = start.elapsed() >= LIFE_MAX;
    child.kill().context("kill the child")?;
    let lived = start.elapsed();
    let status = child.wait().context("wait for the child")?;
    // What it had told before it died counts.
    while let Ok(line) = told.recv() {
        take(line, &mut was_ready, &mut acknowledged)?;
    }
    reader
        .join()
        .ok()
        .context("the reader of the child's output panicked")?;
    history.crash();
    if let Some(failure) = failure {
        bail!("the child failed: {failure}");
    }
    if status.code().is_some_and(|code| code != 0) {
        bail!("the child ended with {status}");
    }
    if gave_up {
        bail!("the child did nothing for {LIFE_MAX:?}");
    }
    Ok(Ended { was_ready, lived })
}

/// The child itself.
pub fn main(arguments: &[String]) -> Result<()> {
    let [store, seed, _run, now_ms] = arguments else {
        bail!("the child takes four arguments")
    };
    let clock = FastClock {
        first_ms: now_ms.parse()?,
        start: Instant::now(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(work(Path::new(store), seed.parse()?, Arc::new(clock)))
}

fn say(line: &str) {
    let mut line = line.to_owned();
    line.push('\n');
    // One write: the standard output of a pipe is flushed at each line's end.
    if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
        // The parent is gone.
        std::process::exit(0);
    }
}

async fn work(store: &Path, seed: u64, clock: Arc<dyn Clock>) -> Result<()> {
    let keyspace = LsmKeyspace::open(store, crate::options()).await?;
    say("R");
    let kv = Kv::new(Arc::new(keyspace), clock.clone());
    let group = TaskGroup::new();
    kv.spawn_sweeper(&group, Duration::from_millis(20));
    let mut namespaces = Vec::new();
    for namespace in 0..NAMESPACES {
        namespaces.push(kv.namespace(&tenant(), &namespace_id(namespace))?);
    }
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..WRITERS {
        let (namespaces, clock, next) = (namespaces.clone(), clock.clone(), next.clone());
        tasks.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= OPERATIONS_MAX {
                    return;
                }
                if let Err(error) = one(&namespaces, &*clock, seed, number).await {
                    say(&format!("E operation {number}: {error}"));
                    return;
                }
            }
        }));
    }
    // Somebody reads, too: all of it, over and over.
    let reading = namespaces.clone();
    tasks.push(tokio::spawn(async move {
        if let Err(error) = read_all(&reading).await {
            say(&format!("E reading: {error}"));
        }
    }));
    for task in tasks {
        task.await?;
    }
    Ok(())
}

async fn one(namespaces: &[Namespace], clock: &dyn Clock, seed: u64, number: u64) -> Result<()> {
    let operation = Operation::derive(seed, number);
    let namespace = usize::try_from(operation.places()[0].namespace)?;
    match operation {
        Operation::Put(place, written) => {
            // Two seconds of the world more than the rule asks for: the clock runs fast.
            let expiration = written.ttl.map(|ttl| clock.now_secs() + ttl + CLOCK_SPEED * 2);
            say(&format!("I {number} {}", expiration.unwrap_or(0)));
            namespaces[namespace].put(written.put(place, expiration)).await?;
        }
        Operation::Delete(places) => {
            let keys: Vec<String> = places.iter().map(|place| place.name()).collect();
            say(&format!("I {number} 0"));
            namespaces[namespace].delete(&keys).await?;
        }
    }
    say(&format!("A {number}"));
    Ok(())
}

async fn read_all(namespaces: &[Namespace]) -> Result<()> {
    loop {
        for namespace in namespaces {
            let list = namespace
                .list(&ListOptions {
                    limit: 1000,
                    ..ListOptions::default()
                })
                .await?;
            for keys in list.keys.chunks(20) {
                let names: Vec<String> = keys.iter().map(|key| key.name.clone()).collect();
                namespace.get_many(&names).await?;
                namespace.get(&names[0]).await?;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
