//! How long a deployment takes: what `cargo xtask bench deploy` runs.
//!
//! `atoll up` with three PoPs; every version is one module of `--bytes` that no other version shares. A time begins with the upload (the
//! module, then the version, which is started once before it is taken) and ends when a PoP answers a request with the new version: PoPs
//! are asked without a pause, each by itself. Measured in turn, on an idle platform:
//!
//! - `--rounds` deployments with `immediate`, and after each the way back to the version before (`rollback`, `immediate`);
//! - `--gated` deployments through the canary, to workers of their own, several at a time in their bakes: nobody asks them but the
//!   measurement, so they are unproven; and as many to workers with so many requests on every PoP that the gate has enough of them;
//! - the same again with `--simulated` PoPs more: agents over real TLS and gRPC with a runtime that serves nothing (`pop_crowd`).
//!
//! The last line is one JSON object with every single figure; lines before it say how far it is.

#[path = "../campaign/mod.rs"]
#[allow(dead_code)] // Others use the rest of it.
mod campaign;
mod crowd;

use anyhow::{Context, Result, bail, ensure};
use atoll_stdx::SplitMix64;
use campaign::platform::{Own, Platform};
use campaign::visitors::Visitors;
use clap::Parser;
use crowd::Crowd;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

/// Between two questions to a PoP.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// While a bake lasts, only its end is asked for.
const BAKE: Duration = Duration::from_secs(10);
const BAKE_MARGIN: Duration = Duration::from_millis(500);
/// A new gated deployment begins this often at most, so that the bakes of some ten overlap and none disturbs another's upload.
const GATED_EVERY: Duration = Duration::from_secs(1);
/// Requests a second to each PoP that make enough of them for the gate in [`BAKE`], also if some reports are still to come.
const ENOUGH: u64 = 30;
/// For so long before the upload a worker under traffic has it.
const PAST: Duration = Duration::from_secs(3);
/// How long a deployment may take at all.
const LIVE_MAX: Duration = Duration::from_secs(120);
/// Simulated PoPs that fetched nothing for so long are done with what they do when they have joined.
const CROWD_RESTS: Duration = Duration::from_secs(3);
/// A pause between two rounds: telemetry and acknowledgements come to rest.
const REST: Duration = Duration::from_millis(100);

#[derive(Parser)]
struct Arguments {
    /// Immediate deployments.
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// Gated deployments to workers that nobody asks, and to workers under traffic.
    #[arg(long, default_value_t = 100)]
    gated: usize,
    /// Simulated PoPs; 0: that part is left out.
    #[arg(long, default_value_t = 300)]
    simulated: usize,
    /// Immediate and gated deployments with them.
    #[arg(long, default_value_t = 50)]
    simulated_rounds: usize,
    /// Size of a version's code.
    #[arg(long, default_value_t = 100_000)]
    bytes: usize,
    /// Chooses the bytes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Figures by name, milliseconds each.
#[derive(Default)]
struct Figures(BTreeMap<String, Vec<f64>>);

impl Figures {
    fn add(&mut self, part: &str, name: &str, value: f64) {
        self.0.entry(format!("{part}: {name}")).or_default().push(value);
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn wall_ms() -> f64 {
    ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Versions that differ in every byte: what one PoP has of another is of no use to it.
struct Code {
    rng: SplitMix64,
    bytes: usize,
    made: u64,
}

impl Code {
    /// A module and what it answers.
    fn next(&mut self) -> (String, String) {
        self.made += 1;
        let marker = format!("version {}", self.made);
        let mut code = format!("export default {{ fetch() {{ return new Response('{marker}'); }} }};\n// ");
        while code.len() < self.bytes {
            // Six bits a letter: as little to be gained by compression as in minified code, or less.
            const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let at = usize::try_from(self.rng.below(64)).unwrap_or(0);
            code.push(char::from(LETTERS[at]));
        }
        (marker, code)
    }
}

/// Waits until a PoP answers with this.
async fn answers(platform: &Platform, pop: usize, worker: &str, marker: &str) -> Result<Instant> {
    let began = Instant::now();
    loop {
        if let Ok((200, text)) = platform.ask(pop, worker).await
            && text == marker
        {
            return Ok(Instant::now());
        }
        ensure!(
            began.elapsed() < LIVE_MAX,
            "{} does not answer with {marker:?}",
            platform.name(pop)
        );
        sleep(ASK_EVERY).await;
    }
}

/// When each PoP answered with this.
async fn all_answer(platform: &Arc<Platform>, worker: &str, marker: &str) -> Result<Vec<Instant>> {
    these_answer(platform, 0..platform.pops.len(), worker, marker).await
}

/// When each of these PoPs answered with this.
async fn these_answer(
    platform: &Arc<Platform>,
    pops: impl IntoIterator<Item = usize>,
    worker: &str,
    marker: &str,
) -> Result<Vec<Instant>> {
    let asking: Vec<_> = pops
        .into_iter()
        .map(|pop| {
            let (platform, worker, marker) = (platform.clone(), worker.to_owned(), marker.to_owned());
            tokio::spawn(async move { answers(&platform, pop, &worker, &marker).await })
        })
        .collect();
    let mut when = Vec::new();
    for one in asking {
        when.push(one.await??);
    }
    Ok(when)
}

async fn upload(platform: &Platform, worker: &str, code: &str) -> Result<String> {
    match platform.upload(worker, code).await? {
        Ok(uploaded) => Ok(uploaded.id),
        Err(why) => bail!("the upload is refused: {why}"),
    }
}

/// Deployed at once, and taken back at once.
async fn immediate(
    platform: &Arc<Platform>,
    figures: &mut Figures,
    part: &str,
    code: &mut Code,
    rounds: usize,
    crowd: &mut Option<Crowd>,
) -> Result<()> {
    let worker = "immediate";
    let (mut serving, first) = code.next();
    let mut version = upload(platform, worker, &first).await?;
    platform.deploy(worker, &version, true).await?;
    all_answer(platform, worker, &serving).await?;
    for round in 0..rounds {
        sleep(REST).await;
        let (marker, text) = code.next();
        let (began, began_ms) = (Instant::now(), wall_ms());
        let next = upload(platform, worker, &text).await?;
        let uploaded = Instant::now();
        platform.deploy(worker, &next, true).await?;
        let acknowledged = Instant::now();
        let when = all_answer(platform, worker, &marker).await?;
        let last = when.iter().max().context("there are PoPs")?;
        figures.add(part, "upload", ms(uploaded - began));
        figures.add(part, "upload to deployment acknowledged", ms(acknowledged - began));
        figures.add(part, "upload to live on all real PoPs", ms(last.duration_since(began)));
        if let Some(crowd) = crowd {
            let publication = least_publication(platform).await?;
            let served = crowd.served(publication).await?;
            figures.add(part, "upload to served by all simulated PoPs", served - began_ms);
        }
        sleep(REST).await;
        let began = Instant::now();
        platform.rollback(worker, &version).await?;
        let when = all_answer(platform, worker, &serving).await?;
        let last = when.iter().max().context("there are PoPs")?;
        figures.add(
            part,
            "rollback to seen on all real PoPs",
            ms(last.duration_since(began)),
        );
        // The next one replaces the new version again: what it replaces is not what is deployed.
        platform.deploy(worker, &next, true).await?;
        all_answer(platform, worker, &marker).await?;
        (serving, version) = (marker, next);
        if (round + 1) % 10 == 0 {
            println!("{part}: {} immediate deployments", round + 1);
        }
    }
    Ok(())
}

/// The configuration that every real PoP has at least.
async fn least_publication(platform: &Platform) -> Result<u64> {
    let mut least = u64::MAX;
    for pop in 0..platform.pops.len() {
        let metrics = platform.metrics(pop).await?;
        let has = metrics.get("atoll_pop_publication").context("a publication")?;
        least = least.min(*has as u64);
    }
    Ok(least)
}

/// Who asks the workers that are deployed to.
#[derive(Clone, Copy)]
enum Asked {
    /// The measurement, once.
    Hardly,
    /// [`ENOUGH`].
    UnderTraffic,
}

/// Through the canary. `workers` have a version already.
async fn gated(
    platform: &Arc<Platform>,
    figures: &mut Figures,
    part: &str,
    code: &mut Code,
    workers: &[String],
    asked: Asked,
) -> Result<()> {
    let of = match asked {
        Asked::Hardly => "hardly asked",
        Asked::UnderTraffic => "under traffic",
    };
    let mut ends = Vec::new();
    for worker in workers {
        let visitors = match asked {
            Asked::Hardly => None,
            Asked::UnderTraffic => {
                let visitors = Visitors::start(platform.clone(), worker.clone(), ENOUGH);
                sleep(PAST).await;
                Some(visitors)
            }
        };
        let (marker, text) = code.next();
        let began = Instant::now();
        let version = upload(platform, worker, &text).await?;
        let deployment = platform.deploy(worker, &version, false).await?;
        let acknowledged = Instant::now();
        // Whichever is the canary.
        let (told, mut first) = tokio::sync::mpsc::channel(1);
        let asking: Vec<_> = (0..platform.pops.len())
            .map(|pop| {
                let (platform, worker, marker, told) = (platform.clone(), worker.clone(), marker.clone(), told.clone());
                tokio::spawn(async move {
                    if let Ok(when) = answers(&platform, pop, &worker, &marker).await {
                        let _ = told.try_send((pop, when));
                    }
                })
            })
            .collect();
        drop(told);
        let (canary, has) = first.recv().await.context("no PoP has the new version")?;
        asking.iter().for_each(tokio::task::JoinHandle::abort);
        let canary_has = format!("upload to live on the canary, {of}");
        figures.add(part, &canary_has, ms(has.duration_since(began)));
        let (platform, worker) = (platform.clone(), worker.clone());
        ends.push(tokio::spawn(async move {
            sleep((acknowledged + BAKE - BAKE_MARGIN).saturating_duration_since(Instant::now())).await;
            // Not the canary: what it is asked is counted by the gate.
            let others = (0..platform.pops.len()).filter(|pop| *pop != canary);
            let when = these_answer(&platform, others, &worker, &marker).await;
            let rollout = platform
                .settle(&worker, &deployment, LIVE_MAX, Duration::from_millis(200))
                .await?;
            ensure!(rollout["state"] == "live", "{worker}: {rollout}");
            // What was measured is what it is said to be.
            let unproven = matches!(asked, Asked::Hardly);
            ensure!(rollout["unproven"] == unproven, "{worker}: {rollout}");
            let failed = visitors.map(|visitors| visitors.failed()).unwrap_or_default();
            ensure!(failed.is_empty(), "{worker}: {failed:?}");
            let last = when?.into_iter().max().context("there are PoPs")?;
            Ok::<_, anyhow::Error>(ms(last.duration_since(began)))
        }));
        sleep((began + GATED_EVERY).saturating_duration_since(Instant::now())).await;
    }
    let all_have = format!("upload to live on all real PoPs, gated, {of}");
    for end in ends {
        figures.add(part, &all_have, end.await??);
    }
    println!("{part}: {} gated deployments to workers that are {of}", workers.len());
    Ok(())
}

/// Workers with a version each, for the gated ones.
async fn workers(platform: &Arc<Platform>, code: &mut Code, prefix: &str, count: usize) -> Result<Vec<String>> {
    let mut workers = Vec::new();
    for at in 0..count {
        let worker = format!("{prefix}-{at}");
        let (marker, text) = code.next();
        let version = upload(platform, &worker, &text).await?;
        platform.deploy(&worker, &version, true).await?;
        all_answer(platform, &worker, &marker).await?;
        workers.push(worker);
    }
    Ok(workers)
}

/// What the real PoPs' agents counted: sums over them.
async fn real_sums(platform: &Platform) -> Result<BTreeMap<String, u64>> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for pop in 0..platform.pops.len() {
        for (name, value) in platform.metrics(pop).await? {
            if let Some(what) = name
                .strip_prefix("atoll_pop_agent_total{what=\"")
                .and_then(|rest| rest.strip_suffix("\"}"))
            {
                *sums.entry(what.to_owned()).or_default() += value as u64;
            }
        }
    }
    Ok(sums)
}

/// Bytes of configuration and of objects that came to one PoP for one change of a worker.
fn moved(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
    pops: usize,
    changes: usize,
) -> serde_json::Value {
    let grown = |name: &str| {
        let of = |sums: &BTreeMap<String, u64>| sums.get(name).copied().unwrap_or(0);
        (of(after) - of(before)) as f64 / (pops * changes.max(1)) as f64
    };
    json!({
        "config_bytes": grown("config_bytes"),
        "object_bytes": grown("object_bytes_fetched"),
        "configs": grown("configs_applied"),
        "from_control": grown("objects_from_control"),
        "from_neighbours": grown("objects_from_neighbours"),
    })
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (platform, own) = Own::start().await?;
    let outcome = measure(&arguments, Arc::new(platform), &own).await;
    own.stop(outcome.is_ok()).await?;
    println!("{}", outcome?);
    Ok(())
}

async fn measure(arguments: &Arguments, platform: Arc<Platform>, own: &Own) -> Result<serde_json::Value> {
    let mut code = Code {
        rng: SplitMix64::new(arguments.seed),
        bytes: arguments.bytes,
        made: 0,
    };
    let (mut figures, mut bytes) = (Figures::default(), BTreeMap::new());
    let part = "3 PoPs";
    let before = real_sums(&platform).await?;
    immediate(&platform, &mut figures, part, &mut code, arguments.rounds, &mut None).await?;
    let after = real_sums(&platform).await?;
    // Each round: there, back, there again. Only the first of these moves objects, as does the version that all begins with.
    let uploads = arguments.rounds + 1;
    bytes.insert(part.to_owned(), moved(&before, &after, platform.pops.len(), uploads));
    for (prefix, asked) in [("gated", Asked::Hardly), ("busy", Asked::UnderTraffic)] {
        let to = workers(&platform, &mut code, prefix, arguments.gated).await?;
        gated(&platform, &mut figures, part, &mut code, &to, asked).await?;
    }

    if arguments.simulated > 0 {
        let part = format!("3 PoPs and {} simulated", arguments.simulated);
        let mut tokens = Vec::new();
        for _ in 0..arguments.simulated {
            tokens.push(platform.join_token().await?);
        }
        // In memory if there is such a place: so many PoPs on one disk would measure the disk.
        let shared = PathBuf::from("/dev/shm");
        let directory = match shared.is_dir() {
            true => tempfile::tempdir_in(shared)?,
            false => tempfile::tempdir()?,
        };
        let program = std::env::current_exe()?.with_file_name("pop_crowd");
        let crowd = Crowd::start(&program, directory.path(), own.peers, &tokens).await?;
        println!("{} simulated PoPs are connected", crowd.count);
        let mut crowd = Some(crowd);
        let sums = async |crowd: &mut Option<Crowd>| match crowd {
            Some(crowd) => crowd.sums().await,
            None => Ok(BTreeMap::new()),
        };
        let rounds = arguments.simulated_rounds;
        // They have just joined and start what is popular on the platform: what that costs a deployment is told by itself, and what
        // is fetched for it is no deployment's.
        let joined = format!("{part}, just joined");
        immediate(&platform, &mut figures, &joined, &mut code, 1, &mut crowd).await?;
        let mut before = sums(&mut crowd).await?;
        loop {
            sleep(CROWD_RESTS).await;
            let now = sums(&mut crowd).await?;
            let objects = |sums: &BTreeMap<String, u64>| sums.get("objects_from_control").copied();
            let rests = objects(&now) == objects(&before);
            before = now;
            if rests {
                break;
            }
        }
        immediate(&platform, &mut figures, &part, &mut code, rounds, &mut crowd).await?;
        let after = sums(&mut crowd).await?;
        bytes.insert(part.clone(), moved(&before, &after, arguments.simulated, rounds + 1));
        let to = workers(&platform, &mut code, "crowded", rounds).await?;
        gated(&platform, &mut figures, &part, &mut code, &to, Asked::Hardly).await?;
        if let Some(crowd) = crowd {
            crowd.stop().await?;
        }
    }
    Ok(json!({
        "code_bytes": arguments.bytes,
        "milliseconds": figures.0,
        "moved_to_one_pop_by_one_deployment": bytes,
    }))
}
