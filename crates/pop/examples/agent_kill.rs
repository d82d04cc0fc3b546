//! The `kill -9` campaign on a PoP's agent: `cargo xtask campaign agent-kill --count N --seed S`.
//!
//! A control plane in this process deploys without a pause; a child is a PoP with an agent and no workers. Each cycle kills the
//! child at a seeded moment, opens its data directory and checks:
//! - there is a configuration, it is one that was published, whole, and none older than the last one that was acknowledged;
//! - edits of KV up to the last position that was acknowledged are durable;
//! - the identity is there: the next child connects without a token.
//!
//! A kill leaves the page cache alone: of power loss this says nothing.

#[path = "../tests/it/fake.rs"]
#[allow(dead_code)] // The tests use the rest of it.
mod fake;
#[path = "../tests/it/plane.rs"]
#[allow(dead_code)]
mod plane;
#[path = "../../control/examples/campaign/progress.rs"]
mod progress;
#[path = "../tests/it/reach.rs"]
mod reach;

use anyhow::{Context, Result, bail, ensure};
use atoll_control::fleet::{KvEdit, KvPair, Pops as _};
use atoll_model::edge::Digest;
use atoll_model::{NamespaceId, Revision};
use atoll_pop::{Agent, ObjectLimits, Options};
use atoll_stdx::{SplitMix64, SystemClock, TaskGroup};
use clap::Parser;
use fake::Fake;
use plane::{Ground, Plane, account, caller};
use progress::Progress;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A child that has not connected by then never will.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// A child is killed when it has served up to so many configurations, and a moment later.
const SERVED_MAX: u64 = 8;
const MOMENT_MAX_MS: u64 = 60;
const WORKERS: u64 = 5;

#[derive(Parser)]
struct Arguments {
    /// How many cycles.
    #[arg(long, default_value_t = 10)]
    count: u64,
    /// The campaign's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on where the last run with this seed stopped, with another control plane and another PoP.
    #[arg(long)]
    resume: bool,
    /// Be the child: directory, control plane, and perhaps a join token.
    #[arg(long, hide = true, num_args = 2..=3)]
    child: Option<Vec<String>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let result = match (runtime, &arguments.child) {
        (Err(error), _) => Err(error.into()),
        (Ok(runtime), Some(child)) => runtime.block_on(child_main(child)),
        (Ok(runtime), None) => runtime.block_on(campaign(&arguments)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn options(directory: &Path, control: String, join_token: Option<String>) -> Options {
    Options {
        directory: directory.to_owned(),
        control: vec![control],
        name: "victim".into(),
        region: "eu".into(),
        join_token,
        public_address: "http://127.0.0.1:1".into(),
        neighbour_listen: None,
        neighbour_address: None,
        objects: ObjectLimits::default(),
        store: None,
        release: "campaign".into(),
        clock: Arc::new(SystemClock),
    }
}

async fn child_main(child: &[String]) -> Result<()> {
    let [directory, control, token @ ..] = child else {
        bail!("two words at least")
    };
    let options = options(Path::new(directory), control.clone(), token.first().cloned());
    let (agent, tasks) = (Agent::open(options).await?, TaskGroup::new());
    let runtime = Arc::<Fake>::default();
    let mut served = runtime.served.subscribe();
    agent.start(runtime, &tasks).await?;
    while !agent.is_connected() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut out = std::io::stdout();
    // A line for the connection, and one for each configuration that is served, until it is killed.
    loop {
        writeln!(out, "serves")?;
        out.flush()?;
        served.changed().await?;
    }
}

/// What was published: number and hash.
type History = Arc<Mutex<BTreeMap<u64, Digest>>>;

/// Deploys and edits without a pause.
async fn write(plane: Arc<Plane>, history: History, seed: u64) {
    let mut rng = SplitMix64::new(seed);
    loop {
        let worker = format!("w{}", rng.below(WORKERS));
        plane.ground.deploy(&worker, &format!("// {}", rng.next_u64())).await;
        let config = plane.publish().await;
        history.lock().unwrap().insert(config.revision().0, config.root());
        let edit = KvEdit {
            account: account(),
            namespace: NamespaceId::new("ns"),
            put: vec![KvPair {
                key: format!("k{}", rng.below(20)),
                value: rng.next_u64().to_string().into(),
                metadata: None,
                expiration: None,
            }],
            delete: Vec::new(),
            clear: false,
        };
        // The catalog is this process' own: it does not fail.
        plane.sessions.kv_edit(&caller(), edit).await.unwrap();
        tokio::time::sleep(Duration::from_millis(rng.below(8))).await;
    }
}

async fn campaign(arguments: &Arguments) -> Result<()> {
    let state = tempfile::tempdir()?;
    let ground = Ground::new(&state.path().join("control"), Arc::new(SystemClock)).await;
    let plane = Arc::new(Plane::start(&ground).await);
    let history = History::default();
    let victim = state.path().join("pop");
    let writing = tokio::spawn(write(plane.clone(), history.clone(), arguments.seed));
    let (mut kept, mut acknowledged) = (0, 0);
    let mut progress = Progress::open("agent-kill", &format!("seed {}", arguments.seed), arguments.resume)?;
    let first = progress.done.len() as u64;
    for cycle in first..arguments.count {
        let mut rng = SplitMix64::new(arguments.seed.wrapping_mul(0x9E37_79B9).wrapping_add(cycle));
        let token = match cycle == first {
            true => Some(plane.token(None).await),
            false => None,
        };
        let (directory, address) = (victim.clone(), plane.address.to_string());
        // One in five is killed while it starts (but the first, which has to join).
        let starting = cycle > first && rng.below(5) == 0;
        let serves = if starting { 0 } else { 1 + rng.below(SERVED_MAX) };
        let moment = Duration::from_micros(rng.below(MOMENT_MAX_MS * 1000));
        tokio::task::spawn_blocking(move || run_and_kill(&directory, &address, token, serves, moment)).await??;
        // What was on its way up is taken before it is compared.
        let gone = async {
            while !plane.sessions.connected().is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(CONNECT_MAX, gone)
            .await
            .context("the session does not end")?;
        match verify(&plane, &victim, &history).await {
            Ok((at, done)) => {
                (kept, acknowledged) = (at.0, done);
                progress.note(&format!("cycle {cycle}"))?;
            }
            Err(error) => {
                let left = state.keep();
                bail!(
                    "cycle {cycle} of seed {}: {error:#}; what is left is in {}",
                    arguments.seed,
                    left.display()
                );
            }
        }
    }
    writing.abort();
    println!(
        "agent-kill seed {}: {} kills; every time the last good configuration was there, none older than acknowledged (at last \
         publication {kept}, {acknowledged} acknowledged), no acknowledged edit of KV lost, no second join",
        arguments.seed, arguments.count
    );
    Ok(())
}

fn run_and_kill(directory: &Path, address: &str, token: Option<String>, serves: u64, moment: Duration) -> Result<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--child")
        .arg(directory)
        .arg(address)
        .args(token)
        .stdout(Stdio::piped())
        .spawn()
        .context("start the child")?;
    let lines = BufReader::new(child.stdout.take().context("the child's output")?);
    let (sender, receiver) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let silent = (0..serves).find_map(|_| receiver.recv_timeout(CONNECT_MAX).err());
    std::thread::sleep(moment);
    let early = child.try_wait()?;
    child.kill()?;
    child.wait()?;
    drop(receiver);
    let _ = reader.join();
    ensure!(early.is_none(), "the child ended by itself: {early:?}");
    ensure!(silent.is_none(), "the child did not connect, or serves nothing new");
    Ok(())
}

/// What is on disk, against what the control plane was told. Gives the publication, and how many were acknowledged.
async fn verify(plane: &Plane, directory: &Path, history: &History) -> Result<(Revision, usize)> {
    let (last, count) = {
        let applied = plane.applied.borrow();
        let last = applied
            .iter()
            .filter(|(_, one)| one.rejected.is_none())
            .map(|(_, one)| one.publication)
            .max();
        ensure!(
            applied.iter().all(|(_, one)| one.rejected.is_none()),
            "a configuration was refused: {applied:?}"
        );
        (last.unwrap_or_default(), applied.len())
    };
    let agent = Agent::open(options(directory, plane.address.to_string(), None))
        .await
        .context("open what is left")?;
    let (status, config) = (agent.status(), agent.config());
    ensure!(status.joined, "the identity is lost");
    let at = config.revision();
    ensure!(at >= last, "publication {last} was acknowledged, {at} is here");
    if at > Revision(0) {
        // Whoever publishes writes it down right after.
        let known = async {
            loop {
                if let Some(known) = history.lock().unwrap().get(&at.0).copied() {
                    return known;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let known = tokio::time::timeout(Duration::from_secs(5), known).await.ok();
        ensure!(
            known == Some(config.root()),
            "publication {at} is not what was published"
        );
    }
    let done = plane.sessions.kv_acknowledged("victim");
    ensure!(
        status.kv_position >= done,
        "edit {done} was acknowledged, {} is durable",
        status.kv_position
    );
    for entry in std::fs::read_dir(directory.join("config"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        ensure!(!name.ends_with(".damaged"), "{name} was set aside");
    }
    Ok((at, count))
}
