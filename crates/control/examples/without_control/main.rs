//! The platform without its control plane: `cargo xtask campaign without-control --count SECONDS --seed S`.
//!
//! A control plane and three PoPs of the real binary, requests to every PoP at a steady pace. A new version is deployed and the control
//! plane killed (`kill -9`) the moment that the deployment is acknowledged. It stays away for `--count` seconds; meanwhile every PoP is
//! restarted once, at a moment from the seed: SIGTERM, and a new process on the same disk. Its socket is passed to it, as a service
//! manager does, so connections wait while nobody takes them; nothing is repeated by the client, but for what HTTP clients always
//! repeat (a kept connection was closed before any of the request was sent). Then the control plane comes back. Checked:
//!
//! - no request failed, from the first to the last;
//! - a worker with a cron ran in every whole minute of the outage;
//! - `atoll deploy` fails meanwhile, and says why;
//! - within a minute of the control plane's return, every PoP has the deployment that was acknowledged before it died, and one that is
//!   made after its return.

#[path = "../campaign/mod.rs"]
#[allow(dead_code)] // Others use the rest of it.
mod campaign;

use anyhow::{Context, Result, ensure};
use atoll_stdx::SplitMix64;
use campaign::fleet::Fleet;
use campaign::outcome;
use campaign::traffic::{Traffic, ask_once};
use campaign::wait::{PATIENCE, until};
use clap::Parser;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

const POPS: usize = 3;
/// Within so long of its return everything is as if the control plane had not been away.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(60);
const MINUTE_MS: u64 = 60_000;
/// Between two looks at the ticks that ran.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// A tick this close to the control plane's end or return may be of before or after.
const EDGE_MS: u64 = 2_000;
/// A tick may be this late: if its PoP is restarted right when it is due, those next in rank ask for it 15 and 30 seconds later, and
/// ask one that knows nothing of it twice (`pop::ticks`).
const TICK_LATE: Duration = Duration::from_secs(50);
/// All that is ever deployed.
const VERSIONS: &[&str] = &["one", "two", "three"];

#[derive(Parser)]
struct Arguments {
    /// How long the control plane is away, seconds.
    #[arg(long, default_value_t = 20)]
    count: u64,
    /// Chooses when PoPs are restarted.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begins anew in any case: all of it is one outage.
    #[arg(long, hide = true)]
    resume: bool,
    /// Requests a second to each PoP.
    #[arg(long, default_value_t = 20)]
    rate: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    outcome::run(async |directory| campaign(&arguments, directory).await).await
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// A worker that says `text`, and notes when its cron ran.
fn write_project(project: &Path, text: &str) -> Result<()> {
    std::fs::create_dir_all(project)?;
    let config = r#"{
        "name": "steady", "main": "index.js", "compatibility_date": "2026-08-01",
        "kv_namespaces": [{"binding": "TICKS"}], "triggers": {"crons": ["* * * * *"]}
    }"#;
    let code = format!(
        r#"export default {{
            async fetch(request, env) {{
                if (new URL(request.url).pathname !== "/ticks") return new Response("{text}");
                const {{ keys }} = await env.TICKS.list();
                return Response.json(keys.map((key) => Number(key.name)));
            }},
            async scheduled(event, env) {{ await env.TICKS.put(String(event.scheduledTime), ""); }},
        }};
        "#
    );
    std::fs::write(project.join("wrangler.jsonc"), config)?;
    std::fs::write(project.join("index.js"), code)?;
    Ok(())
}

/// Deploys, and is acknowledged.
async fn deploy(fleet: &Fleet, project: &Path, text: &str, more: &[&str]) -> Result<()> {
    write_project(project, text)?;
    let output = fleet.deploy(project, more).await?;
    ensure!(
        output.status.success(),
        "`atoll deploy` of {text:?} ended with {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

async fn campaign(arguments: &Arguments, directory: &Path) -> Result<Vec<String>> {
    let mut rng = SplitMix64::new(arguments.seed);
    let mut wrong = Vec::new();
    let project = directory.join("project");
    let mut fleet = Fleet::new(directory)?;
    fleet.start_control().await?;
    for _ in 0..POPS {
        fleet.add_pop().await?;
    }
    until(PATIENCE, "all PoPs are connected", async || {
        fleet.status().await.is_ok_and(|(pops, _)| pops == POPS)
    })
    .await?;
    deploy(&fleet, &project, "one", &[]).await?;
    let pops: Vec<_> = fleet.pops.iter().map(|pop| pop.address).collect();
    for &pop in &pops {
        until(PATIENCE, "the first deployment is on every PoP", async || {
            ask_once(pop, "/").await.is_ok_and(|(_, text)| text == "one")
        })
        .await?;
    }
    let traffic = Traffic::start(&pops, arguments.rate, VERSIONS);
    // Its cron is a change of its own.
    until(PATIENCE, "nothing is on its way to the PoPs", async || {
        fleet.status().await.is_ok_and(|(_, staged)| staged == 0)
    })
    .await?;
    let before = fleet.memory();

    deploy(&fleet, &project, "two", &["--detach"]).await?;
    fleet.kill_control().await?;
    let (killed, killed_ms) = (Instant::now(), now_ms());
    let away = Duration::from_secs(arguments.count);
    println!("the control plane was killed, for {away:?}");

    // Each PoP once, in an order and at moments that the seed gives; and once `atoll deploy`.
    let mut moments: Vec<Duration> = (0..=POPS)
        .map(|_| away.mul_f64(0.05 + 0.9 * (rng.below(1_000) as f64 / 1_000.0)))
        .collect();
    moments.sort_unstable();
    let mut order: Vec<Option<usize>> = (0..POPS).map(Some).chain([None]).collect();
    for moment in moments {
        sleep((killed + moment).saturating_duration_since(Instant::now())).await;
        let at = killed.elapsed();
        match order.swap_remove(usize::try_from(rng.below(order.len() as u64))?) {
            Some(pop) => {
                let ended = fleet.restart_pop(pop).await?;
                let began = Instant::now();
                let answers = async || ask_once(pops[pop], "/").await.is_ok_and(|(status, _)| status == 200);
                until(PATIENCE, "a restarted PoP answers", answers).await?;
                println!(
                    "{} was restarted after {at:.1?}: it took {} ms to end and {} ms more to its first answer",
                    fleet.pops[pop].name,
                    ended.as_millis(),
                    began.elapsed().as_millis()
                );
            }
            None => {
                let output = fleet.deploy(&project, &[]).await?;
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                println!("`atoll deploy` after {at:.1?}: {}: {said}", output.status);
                if output.status.success() || !said.contains("control plane") {
                    wrong.push(format!("`atoll deploy` without a control plane says {said:?}"));
                }
            }
        }
    }
    sleep((killed + away).saturating_duration_since(Instant::now())).await;

    wrong.extend(missing_ticks(&pops, killed_ms, now_ms()).await?);
    println!(
        "memory of the PoPs: {before:?} MiB before, {:?} MiB at the end of the outage",
        fleet.memory()
    );
    let returned = Instant::now();
    fleet.start_control().await?;
    println!(
        "the control plane's API answered {} ms after its start",
        returned.elapsed().as_millis()
    );
    let caught = until(CAUGHT_UP_MAX, "all PoPs are connected again", async || {
        fleet.status().await.is_ok_and(|(pops, _)| pops == POPS)
    });
    wrong.extend(told(caught.await, "all PoPs were connected again", returned));
    let left = CAUGHT_UP_MAX.saturating_sub(returned.elapsed());
    let caught = until(left, "what was acknowledged before is on all PoPs", async || {
        traffic.all_say("two")
    });
    wrong.extend(told(
        caught.await,
        "all PoPs answered with what was acknowledged before it died",
        returned,
    ));
    deploy(&fleet, &project, "three", &[]).await?;
    let left = CAUGHT_UP_MAX.saturating_sub(returned.elapsed());
    let caught = until(left, "a new deployment is on all PoPs", async || {
        traffic.all_say("three")
    });
    wrong.extend(told(caught.await, "all PoPs answered with a new deployment", returned));

    sleep(Duration::from_secs(1)).await;
    let (mut requests, mut failed) = (0, 0);
    for (pop, tally) in fleet.pops.iter().zip(traffic.end().await) {
        let answered: u64 = tally.answers.values().sum();
        println!(
            "{}: {answered} requests answered {:?}, the slowest after {} ms; {} failed",
            pop.name,
            tally.answers,
            tally.slowest.as_millis(),
            tally.failed.len()
        );
        requests += answered + tally.failed.len() as u64;
        failed += tally.failed.len();
        wrong.extend(tally.failed.into_iter().map(|what| format!("{}: {what}", pop.name)));
    }
    println!(
        "without-control seed {}: {away:?} without a control plane, {requests} requests, {failed} failed; wrong: {}",
        arguments.seed,
        wrong.len()
    );
    fleet.stop().await?;
    Ok(wrong)
}

/// Says how long after the control plane's return something was so, or that it was not.
fn told(came: Result<Duration>, what: &str, returned: Instant) -> Option<String> {
    match came {
        Ok(_) => {
            println!(
                "{what} {} ms after the control plane's start",
                returned.elapsed().as_millis()
            );
            None
        }
        Err(error) => Some(format!("{error:#}")),
    }
}

/// The whole minutes of the outage whose tick ran on no PoP, up to [`TICK_LATE`] after it was due.
async fn missing_ticks(pops: &[std::net::SocketAddr], from_ms: u64, to_ms: u64) -> Result<Vec<String>> {
    let first = (from_ms + EDGE_MS).div_ceil(MINUTE_MS) * MINUTE_MS;
    let due: Vec<u64> = (first..to_ms.saturating_sub(EDGE_MS))
        .step_by(usize::try_from(MINUTE_MS)?)
        .collect();
    let Some(last) = due.last() else {
        println!("crons: no minute began meanwhile");
        return Ok(Vec::new());
    };
    let until_ms = last + u64::try_from(TICK_LATE.as_millis())?;
    let missing = loop {
        let mut ran = BTreeSet::new();
        for &pop in pops {
            let (_, text) = ask_once(pop, "/ticks").await?;
            let ticks: Vec<u64> = serde_json::from_str(&text).with_context(|| format!("{pop} says {text:?}"))?;
            ran.extend(ticks);
        }
        let missing: Vec<u64> = due.iter().copied().filter(|tick| !ran.contains(tick)).collect();
        if missing.is_empty() || now_ms() >= until_ms {
            break missing;
        }
        sleep(ASK_EVERY).await;
    };
    println!(
        "crons: {} of {} minutes ran, seen {} ms after the last one was due",
        due.len() - missing.len(),
        due.len(),
        now_ms().saturating_sub(*last)
    );
    let missing = missing.iter();
    Ok(missing
        .map(|tick| format!("the cron of minute {} did not run", tick / MINUTE_MS))
        .collect())
}
