//! The campaign on real deployments: `cargo xtask campaign bad-deploys --count N --seed S`.
//!
//! It starts `atoll up` (or takes `--control`, `--token-file` and `--pops` of a platform that runs), has some workers answer requests
//! on every PoP without a pause, and deploys to them: about as many good versions as bad ones, of the kinds in `kinds.rs`. Checked for
//! each bad one: it is refused at upload, or rolled back within 30 s of its deployment; no PoP but the canary ever gave one of its
//! answers, or failed; afterwards every PoP answers with the version before. And for each good one: it is live, everywhere.
//! A damaged artifact can only be made on a platform that the campaign has started itself.

mod kinds;
#[allow(dead_code)] // A measurement uses the rest of it.
mod platform;
mod traffic;

use anyhow::{Context, Result, ensure};
use atoll_stdx::SplitMix64;
use clap::Parser;
use kinds::{Damage, Expected, GOOD, KINDS, Kind};
use platform::{Own, Platform};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use traffic::Traffic;

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
    #[arg(long, hide = true)]
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

/// What came of the deployments of one worker.
#[derive(Default)]
struct Told {
    deployed: BTreeMap<&'static str, u64>,
    slowest: BTreeMap<&'static str, Duration>,
    unproven: u64,
    wrong: Vec<String>,
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
    let mut lanes = Vec::new();
    let each = order.len().div_ceil(usize::try_from(arguments.workers.max(1))?).max(1);
    for (lane, of_lane) in (0..).zip(order.chunks(each)) {
        // Each by itself: what is wrong in one does not end the others.
        lanes.push(tokio::spawn(deploy_all(
            platform.clone(),
            lane,
            of_lane.to_vec(),
            arguments.rate,
        )));
    }
    let mut told = Told::default();
    for lane in lanes {
        let one = lane.await?;
        for (kind, count) in one.deployed {
            *told.deployed.entry(kind).or_default() += count;
        }
        for (kind, took) in one.slowest {
            let slowest = told.slowest.entry(kind).or_default();
            *slowest = (*slowest).max(took);
        }
        told.unproven += one.unproven;
        told.wrong.extend(one.wrong);
    }
    for (kind, count) in &told.deployed {
        let slowest = told.slowest.get(kind).map_or(0, Duration::as_millis);
        println!("{kind:<20} {count:>4} deployments, the slowest came to its end after {slowest} ms");
    }
    let count: u64 = told.deployed.values().sum();
    println!(
        "bad-deploys seed {}: {count} deployments ({} good, {} of them unproven) in {:.0?}; wrong: {}",
        arguments.seed,
        told.deployed.get(GOOD.name).unwrap_or(&0),
        told.unproven,
        began.elapsed(),
        told.wrong.len()
    );
    for wrong in &told.wrong {
        println!("  {wrong}");
    }
    if let Some(own) = own {
        own.stop(told.wrong.is_empty()).await?;
    }
    Ok(told.wrong.is_empty())
}

async fn deploy_all(platform: Arc<Platform>, lane: u64, kinds: Vec<&'static Kind>, rate: u64) -> Told {
    let mut told = Told::default();
    if let Err(error) = deploy_each(&platform, lane, &kinds, rate, &mut told).await {
        told.wrong.push(format!("worker {lane}: {error:#}"));
    }
    told
}

async fn deploy_each(
    platform: &Arc<Platform>,
    lane: u64,
    kinds: &[&'static Kind],
    rate: u64,
    told: &mut Told,
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
    let traffic = Traffic::start(platform.clone(), worker.clone(), rate);
    traffic.all_answer(&good, SETTLED_MAX).await?;
    // A past to be compared with.
    sleep(Duration::from_secs(5)).await;
    for (at, kind) in kinds.iter().enumerate() {
        let marker = format!("{worker}-{at}-{}", kind.name);
        *told.deployed.entry(kind.name).or_default() += 1;
        let wrong = |what: String| format!("{marker}: {what}");
        let uploaded = platform.upload(&worker, &(kind.code)(&marker)).await?;
        let version = match (uploaded, kind.expected) {
            (Err(_), Expected::Refused) => continue,
            (Err(why), _) => {
                told.wrong.push(wrong(format!("the upload is refused: {why}")));
                continue;
            }
            (Ok(_), Expected::Refused) => {
                told.wrong.push(wrong("the upload is taken".to_owned()));
                continue;
            }
            (Ok(version), _) => version,
        };
        match kind.damage {
            Damage::None => {}
            _ if platform.blobs.is_none() => continue,
            Damage::Module => platform.damage("blobs", &version.module)?,
            Damage::Signature => platform.damage("signatures", &version.artifact)?,
        }
        traffic.watch();
        let began = Instant::now();
        let id = platform.deploy(&worker, &version.id, false).await?;
        let good_one = kind.expected == Expected::Live;
        let most = if good_one { LIVE_MAX } else { ROLLED_BACK_MAX };
        let rollout = platform.settle(&worker, &id, most, LOOK_EVERY).await?;
        let took = began.elapsed();
        let slowest = told.slowest.entry(kind.name).or_default();
        *slowest = (*slowest).max(took);
        let expected = if good_one { "live" } else { "rolled_back" };
        if rollout["state"] != expected {
            told.wrong
                .push(wrong(format!("it is not {expected} after {took:.1?}: {rollout}")));
        }
        if good_one && rollout["state"] == "live" {
            told.unproven += u64::from(rollout["unproven"] == true);
            good = marker.clone();
        }
        if let Err(error) = traffic.all_answer(&good, SETTLED_MAX).await {
            told.wrong.push(wrong(format!("afterwards: {error:#}")));
        }
        // Whoever is not the canary has never had it.
        let canary = rollout["canary"].as_str().unwrap_or_default().to_owned();
        for (pop, what) in traffic.seen(&marker) {
            if !good_one && platform.name(pop) != canary {
                told.wrong.push(wrong(format!(
                    "{} is not the canary ({canary}), and {what}",
                    platform.name(pop)
                )));
            }
        }
        let failed = traffic.failed();
        if good_one && !failed.is_empty() {
            told.wrong.push(wrong(format!(
                "requests failed while a good version was deployed: {failed:?}"
            )));
        }
        println!("{marker}: {} after {took:.1?} {}", rollout["state"], rollout["reason"]);
    }
    Ok(())
}
