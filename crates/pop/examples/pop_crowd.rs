//! Many PoPs in one process: agents over real TLS and gRPC, with a runtime that serves nothing.
//!
//! Against a control plane that runs elsewhere, for measurements of deployments:
//!
//! ```text
//! pop_crowd --control HOST:PORT --tokens FILE --count 300 [--directory DIR]
//! ```
//!
//! `FILE` has a join token per line (none are needed for PoPs that joined before in the same directory). It prints a line of JSON
//! when all are connected, one per publication when the last of them serves it, and one with the bytes that were moved at the
//! end of its input (or when `stats` is read from it).
//!
//! Without `--control` it is a measurement by itself: a control plane in the same process deploys `--deployments` times, and what is
//! printed is how long each took until every PoP had acknowledged it, and what was moved.

#[path = "../tests/it/fake.rs"]
#[allow(dead_code)] // The tests use the rest of it.
mod fake;
#[path = "../tests/it/plane.rs"]
#[allow(dead_code)]
mod plane;
#[path = "../tests/it/reach.rs"]
mod reach;

use anyhow::{Context, Result};
use atoll_api::pop::VersionHealth;
use atoll_pop::{Agent, ObjectLimits, Options};
use atoll_stdx::{SystemClock, TaskGroup};
use clap::Parser;
use fake::Fake;
use plane::{Ground, Plane};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;

#[derive(Parser)]
struct Arguments {
    /// How many PoPs.
    #[arg(long, default_value_t = 20)]
    count: usize,
    /// The control plane's gRPC address, `host:port`.
    #[arg(long)]
    control: Option<String>,
    /// Join tokens, one per line.
    #[arg(long)]
    tokens: Option<PathBuf>,
    /// Data directories, one below it for each PoP. Best in memory: so many PoPs on one disk measure the disk.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// The region of all of them.
    #[arg(long, default_value = "crowd")]
    region: String,
    /// Deployments of the measurement by itself.
    #[arg(long, default_value_t = 10)]
    deployments: usize,
    /// So many workers have traffic on one PoP when the first deployment comes: the others are starting them ahead.
    #[arg(long, default_value_t = 0)]
    popular: usize,
    /// Bytes of code of each.
    #[arg(long, default_value_t = 100_000)]
    bytes: usize,
    /// Unused; measurements have no chance in them.
    #[arg(long, hide = true)]
    seed: Option<u64>,
}

struct One {
    agent: Arc<Agent>,
    runtime: Arc<Fake>,
}

async fn crowd(
    arguments: &Arguments,
    directory: &Path,
    control: &str,
    tokens: &[String],
    tasks: &TaskGroup,
) -> Result<Vec<One>> {
    let mut crowd = Vec::new();
    for at in 0..arguments.count {
        let name = format!("crowd-{at}");
        let options = Options {
            directory: directory.join(&name),
            control: vec![control.to_owned()],
            region: arguments.region.clone(),
            join_token: tokens.get(at).cloned(),
            public_address: String::new(),
            // Neighbours would hide what the control plane has to move.
            neighbour_listen: None,
            neighbour_address: None,
            objects: ObjectLimits {
                memory_bytes: 1 << 20,
                disk_bytes: 4 << 20,
            },
            store: None,
            release: "crowd".into(),
            clock: Arc::new(SystemClock),
            name,
        };
        let (agent, runtime) = (Agent::open(options).await?, Arc::<Fake>::default());
        agent.start(runtime.clone(), tasks).await?;
        crowd.push(One { agent, runtime });
    }
    while !crowd.iter().all(|one| one.agent.is_connected()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("{}", serde_json::json!({ "connected": crowd.len() }));
    Ok(crowd)
}

fn stats(crowd: &[One]) -> serde_json::Value {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for one in crowd {
        for (name, count) in one.agent.status().counters {
            *sums.entry(name).or_default() += count;
        }
    }
    serde_json::json!({ "pops": crowd.len(), "sums": sums })
}

/// Says when the last PoP serves a publication, or one after it.
fn watch(crowd: &[One], tasks: &TaskGroup) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    for (at, one) in crowd.iter().enumerate() {
        let (mut served, sender, stop) = (one.runtime.served.subscribe(), sender.clone(), tasks.stopping());
        tasks.spawn(async move {
            loop {
                let revision = served.borrow_and_update().0.revision().0;
                if sender.send((at, revision)).is_err() {
                    return;
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = served.changed() => if changed.is_err() { return },
                }
            }
        });
    }
    drop(sender);
    let mut has = vec![0; crowd.len()];
    tasks.spawn(async move {
        // A PoP may skip a publication: whoever serves a later one serves it, too.
        let (mut all, mut first) = (0, Instant::now());
        while let Some((at, revision)) = receiver.recv().await {
            if revision > has.iter().copied().max().unwrap_or(0) {
                first = Instant::now();
            }
            has[at] = revision;
            let least = has.iter().copied().min().unwrap_or(0);
            if least > all {
                all = least;
                let spread_ms = first.elapsed().as_secs_f64() * 1000.0;
                let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                let now_ms = now_ms.map_or(0, |now| now.as_millis() as u64);
                println!(
                    "{}",
                    serde_json::json!({ "publication": all, "pops": has.len(), "last_ms": now_ms, "spread_ms": spread_ms })
                );
            }
        }
    });
}

async fn elsewhere(arguments: &Arguments, directory: &Path, control: &str) -> Result<()> {
    let tokens = match &arguments.tokens {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?,
        None => String::new(),
    };
    let tokens: Vec<String> = tokens.lines().map(str::to_owned).collect();
    let tasks = TaskGroup::new();
    let crowd = crowd(arguments, directory, control, &tokens, &tasks).await?;
    watch(&crowd, &tasks);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        if line.trim() == "stats" {
            println!("{}", stats(&crowd));
        }
    }
    println!("{}", stats(&crowd));
    tasks.drain(Duration::from_secs(10)).await;
    Ok(())
}

async fn by_itself(arguments: &Arguments, directory: &Path) -> Result<()> {
    let ground = Ground::new(&directory.join("control"), Arc::new(SystemClock)).await;
    let plane = Plane::start(&ground).await;
    let code = "x".repeat(arguments.bytes);
    ground.deploy("shop", &format!("// 0\n{code}")).await;
    for at in 0..arguments.popular {
        ground
            .deploy(&format!("popular-{at}"), &format!("// {at} is popular\n{code}"))
            .await;
    }
    let first = plane.publish().await;
    let mut tokens = Vec::new();
    for _ in 0..arguments.count {
        tokens.push(plane.token(None).await);
    }
    let tasks = TaskGroup::new();
    let crowd = crowd(arguments, directory, &plane.address.to_string(), &tokens, &tasks).await?;
    let all_have = async |revision| {
        for at in 0..arguments.count {
            plane.acknowledged(&format!("crowd-{at}"), revision).await;
        }
    };
    all_have(first.revision()).await;
    if arguments.popular > 0 {
        let health = |at| VersionHealth {
            account: plane::account().to_string(),
            worker: format!("popular-{at}"),
            requests: 1_000,
            ..VersionHealth::default()
        };
        let said: Vec<VersionHealth> = (0..arguments.popular).map(health).collect();
        *crowd[0].runtime.health.lock().unwrap() = said;
        let fetched = || {
            let of = |one: &One| one.agent.status().counters["objects_from_control"];
            crowd.iter().map(of).sum::<u64>()
        };
        while fetched() < arguments.count as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!("{}", stats(&crowd));
    }
    let mut took = Vec::new();
    for at in 1..=arguments.deployments {
        ground.deploy("shop", &format!("// {at}\n{code}")).await;
        let begun = Instant::now();
        let config = plane.publish().await;
        all_have(config.revision()).await;
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    let first = took.first().copied();
    took.sort_by(f64::total_cmp);
    let place = |part: f64| {
        took.get(((took.len() as f64 * part).ceil() as usize).saturating_sub(1))
            .copied()
    };
    println!("{}", stats(&crowd));
    println!(
        "{}",
        serde_json::json!({
            "pops": arguments.count, "deployments": took.len(), "code_bytes": arguments.bytes,
            "published_to_all_acknowledged_ms": { "first": first, "median": place(0.5), "p99": place(0.99), "max": took.last() },
        })
    );
    tasks.drain(Duration::from_secs(10)).await;
    plane.stop().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir()?;
    let directory = arguments
        .directory
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());
    match &arguments.control {
        Some(control) => elsewhere(&arguments, &directory, control).await,
        None => by_itself(&arguments, &directory).await,
    }
}
