//! The campaign on real deployments: `cargo xtask campaign bad-deploys --count N --seed S`.
//!
//! It starts `atoll up` (or takes `--control`, `--token-file` and `--pops` of a platform that runs), has some workers answer requests
//! on every PoP without a pause, and deploys to them: about as many good versions as bad ones, of the kinds in `kinds.rs`. Checked for
//! each bad one: it is refused at upload, or rolled back within 30 s of its deployment; no PoP but the canary ever gave one of its
//! answers, or failed; afterwards every PoP answers with the version before. And for each good one: it is live, everywhere.
//! A damaged artifact can only be made on a platform that the campaign has started itself.

#[path = "../campaign/mod.rs"]
#[allow(dead_code)] // Others use the rest of it.
mod campaign;
mod kinds;

use anyhow::{Context, Result, ensure};
use atoll_stdx::SplitMix64;
use campaign::platform::{Own, Platform};
use campaign::progress::Progress;
use campaign::visitors::Visitors;
use clap::Parser;
use kinds::{Damage, Expected, GOOD, KINDS, Kind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// A bad deployment is to be gone by then.
const ROLLED_BACK_MAX: Duration = Duration::from_secs(30);
/// A good one is to be live by then, on a busy machine too.
const LIVE_MAX: Duration = Duration::from_secs(90);
/// By then every PoP answers with what the rollout says, on a busy machine too.
const SETTLED_MAX: Duration = Duration::from_secs(5);
/// How often a rollout is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Parser)]
struct Arguments {
    /// How many deployments.
    #[arg(long, default_value_t = 24)]
    count: u64,
    /// Chooses the kinds and their order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on where the last run with this seed, count and kind stopped: with the deployments that it had not come to the end of.
    #[arg(long)]
    resume: bool,
    /// How many workers are deployed to at a time.
    #[arg(long, default_value_t = 4)]
    workers: u64,
    /// Requests a second for each worker on each PoP.
    #[arg(long, default_value_t = 15)]
    rate: u64,
    /// This kind alone, and good ones.
    #[arg(long)]
    kind: Option<String>,
    /// The API of a platform that runs: `http://127.0.0.1:7070`.
    #[arg(long, requires_all = ["token_file", "pops"])]
    control: Option<String>,
    /// A file with a token that may deploy in the account `main`.
    #[arg(long)]
    token_file: Option<std::path::PathBuf>,
    /// The PoPs' addresses, `host:port`, in the order of their names.
    #[arg(long, value_delimiter = ',')]
    pops: Vec<String>,
}

/// What came of one deployment.
#[derive(Serialize, Deserialize)]
struct Record {
    /// Its place in the order.
    at: usize,
    kind: String,
    /// How long it took to come to its end, if it was deployed.
    took_ms: Option<u64>,
    unproven: bool,
    wrong: Vec<String>,
}

/// What came of the deployments, and where it is noted.
struct Told {
    records: Vec<Record>,
    progress: Progress,
    /// What ended a worker's deployments.
    broken: Vec<String>,
}

type Shared = Arc<Mutex<Told>>;

fn lock(told: &Shared) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

#[tokio::main]
async fn main() -> ExitCode {
    match campaign(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn campaign(arguments: Arguments) -> Result<bool> {
    let kinds: Vec<&'static Kind> = match &arguments.kind {
        None => KINDS.iter().collect(),
        Some(name) => {
            let found = KINDS.iter().find(|kind| kind.name == name);
            vec![found.with_context(|| format!("there is no kind {name:?}"))?]
        }
    };
    let mut own = None;
    let platform = match (&arguments.control, &arguments.token_file) {
        (Some(control), Some(token)) => Platform::running(control, token, arguments.pops.clone())?,
        _ => {
            let (platform, started) = Own::start().await?;
            own = Some(started);
            platform
        }
    };
    let platform = Arc::new(platform);
    // Kinds in turn, so that each has its share, in an order that the seed gives; every second one is good.
    let mut rng = SplitMix64::new(arguments.seed);
    let mut order: Vec<&'static Kind> = Vec::new();
    while (order.len() as u64) < arguments.count {
        let mut round = kinds.clone();
        while !round.is_empty() {
            let at = usize::try_from(rng.below(round.len() as u64))?;
            order.push(round.swap_remove(at));
            order.push(&GOOD);
        }
    }
    order.truncate(usize::try_from(arguments.count)?);
    let began = Instant::now();
    let of = format!(
        "seed {} count {} kind {}",
        arguments.seed,
        arguments.count,
        arguments.kind.as_deref().unwrap_or("all")
    );
    let progress = Progress::open("bad-deploys", &of, arguments.resume)?;
    let records: Vec<Record> = progress
        .done
        .iter()
        .map(|line| serde_json::from_str(line))
        .collect::<Result<_, _>>()?;
    let left: Vec<(usize, &'static Kind)> = (0..)
        .zip(order)
        .filter(|(at, _)| records.iter().all(|record| record.at != *at))
        .collect();
    let told = Arc::new(Mutex::new(Told {
        records,
        progress,
        broken: Vec::new(),
    }));
    let mut lanes = Vec::new();
    let each = left.len().div_ceil(usize::try_from(arguments.workers.max(1))?).max(1);
    for (lane, of_lane) in (0..).zip(left.chunks(each)) {
        // Each by itself: what is wrong in one does not end the others.
        lanes.push(tokio::spawn(deploy_all(
            platform.clone(),
            lane,
            of_lane.to_vec(),
            arguments.rate,
            told.clone(),
        )));
    }
    for lane in lanes {
        lane.await?;
    }
    let wrong = report(arguments.seed, &lock(&told), began.elapsed());
    if let Some(own) = own {
        own.stop(!wrong).await?;
    }
    Ok(!wrong)
}

/// Says what came of all of it. Was anything wrong?
fn report(seed: u64, told: &Told, took: Duration) -> bool {
    let mut kinds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for record in &told.records {
        let (count, slowest) = kinds.entry(&record.kind).or_default();
        *count += 1;
        *slowest = (*slowest).max(record.took_ms.unwrap_or(0));
    }
    for (kind, (count, slowest)) in &kinds {
        println!("{kind:<20} {count:>4} deployments, the slowest came to its end after {slowest} ms");
    }
    let wrong: Vec<&String> = told.records.iter().flat_map(|record| &record.wrong).collect();
    let wrong: Vec<&String> = wrong.into_iter().chain(&told.broken).collect();
    println!(
        "bad-deploys seed {seed}: {} deployments ({} good, {} of them unproven) in {took:.0?}; wrong: {}",
        told.records.len(),
        kinds.get(GOOD.name).map_or(0, |(count, _)| *count),
        told.records.iter().filter(|record| record.unproven).count(),
        wrong.len()
    );
    for wrong in &wrong {
        println!("  {wrong}");
    }
    !wrong.is_empty()
}

async fn deploy_all(platform: Arc<Platform>, lane: u64, kinds: Vec<(usize, &'static Kind)>, rate: u64, told: Shared) {
    if let Err(error) = deploy_each(&platform, lane, &kinds, rate, &told).await {
        lock(&told).broken.push(format!("worker {lane}: {error:#}"));
    }
}

async fn deploy_each(
    platform: &Arc<Platform>,
    lane: u64,
    kinds: &[(usize, &'static Kind)],
    rate: u64,
    told: &Shared,
) -> Result<()> {
    let worker = format!("lane-{lane}");
    let mut good = format!("{worker}-first");
    let version = platform
        .upload(&worker, &(GOOD.code)(&good))
        .await?
        .map_err(anyhow::Error::msg)?;
    let id = platform.deploy(&worker, &version.id, true).await?;
    let rollout = platform.settle(&worker, &id, LIVE_MAX, LOOK_EVERY).await?;
    ensure!(rollout["state"] == "live", "the first deployment is {rollout}");
    let visitors = Visitors::start(platform.clone(), worker.clone(), rate);
    visitors.all_answer(&good, SETTLED_MAX).await?;
    // A past to be compared with.
    sleep(Duration::from_secs(5)).await;
    for (at, kind) in kinds {
        let mut record = Record {
            at: *at,
            kind: kind.name.to_owned(),
            took_ms: None,
            unproven: false,
            wrong: Vec::new(),
        };
        deploy_one(platform, &worker, kind, &visitors, &mut good, &mut record).await?;
        let mut told = lock(told);
        told.progress.note(&serde_json::to_string(&record)?)?;
        told.records.push(record);
    }
    Ok(())
}

/// One deployment, to its end. `good` is what the worker answers before it, and afterwards.
async fn deploy_one(
    platform: &Platform,
    worker: &str,
    kind: &Kind,
    visitors: &Visitors,
    good: &mut String,
    record: &mut Record,
) -> Result<()> {
    let marker = format!("{worker}-{}-{}", record.at, kind.name);
    let wrong = &mut record.wrong;
    let mut wrong = |what: String| wrong.push(format!("{marker}: {what}"));
    let uploaded = platform.upload(worker, &(kind.code)(&marker)).await?;
    let version = match (uploaded, kind.expected) {
        (Err(_), Expected::Refused) => return Ok(()),
        (Err(why), _) => {
            wrong(format!("the upload is refused: {why}"));
            return Ok(());
        }
        (Ok(_), Expected::Refused) => {
            wrong("the upload is taken".to_owned());
            return Ok(());
        }
        (Ok(version), _) => version,
    };
    match kind.damage {
        Damage::None => {}
        _ if platform.blobs.is_none() => return Ok(()),
        Damage::Module => platform.damage("blobs", &version.module)?,
        Damage::Signature => platform.damage("signatures", &version.artifact)?,
    }
    visitors.watch();
    let began = Instant::now();
    let id = platform.deploy(worker, &version.id, false).await?;
    let good_one = kind.expected == Expected::Live;
    let most = if good_one { LIVE_MAX } else { ROLLED_BACK_MAX };
    let rollout = platform.settle(worker, &id, most, LOOK_EVERY).await?;
    let took = began.elapsed();
    record.took_ms = u64::try_from(took.as_millis()).ok();
    let expected = if good_one { "live" } else { "rolled_back" };
    if rollout["state"] != expected {
        wrong(format!("it is not {expected} after {took:.1?}: {rollout}"));
    }
    if good_one && rollout["state"] == "live" {
        record.unproven = rollout["unproven"] == true;
        good.clone_from(&marker);
    }
    if let Err(error) = visitors.all_answer(good, SETTLED_MAX).await {
        wrong(format!("afterwards: {error:#}"));
    }
    // Whoever is not the canary has never had it.
    let canary = rollout["canary"].as_str().unwrap_or_default().to_owned();
    for (pop, what) in visitors.seen(&marker) {
        if !good_one && platform.name(pop) != canary {
            wrong(format!(
                "{} is not the canary ({canary}), and {what}",
                platform.name(pop)
            ));
        }
    }
    let failed = visitors.failed();
    if good_one && !failed.is_empty() {
        wrong(format!("requests failed while a good version was deployed: {failed:?}"));
    }
    println!("{marker}: {} after {took:.1?} {}", rollout["state"], rollout["reason"]);
    Ok(())
}
