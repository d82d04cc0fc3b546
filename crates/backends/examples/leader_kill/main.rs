//! The campaign on high availability: `cargo xtask campaign leader-kill --count N --seed S`.
//!
//! Two control planes of the real binary over one PostgreSQL and one S3 service, two PoPs that know both, requests to the PoPs
//! without a pause, and a client that deploys without a pause: to whoever leads, again and under the same idempotency key until it
//! is acknowledged. In each cycle the leader is killed (`kill -9`) at a random moment and started again. Checked: the other one
//! acknowledges a deployment within ten seconds of the kill; every deployment that was ever acknowledged is there, once; no
//! request to a PoP fails; in the end the audit chain is whole and every PoP serves the last acknowledged version of each worker.
//! With `--resume` the kills go on where the last run with that seed stopped, over another PostgreSQL.

#[path = "../../tests/it/s3_server.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod s3_server;
#[path = "../../tests/it/server.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod server;

mod cluster;
#[path = "../../../control/examples/campaign/manifest.rs"]
mod manifest;
#[path = "../../../control/examples/campaign/processes.rs"]
mod processes;
#[path = "../../../control/examples/campaign/progress.rs"]
mod progress;

use anyhow::{Context, Result, bail, ensure};
use atoll_stdx::SplitMix64;
use bytes::Bytes;
use cluster::Cluster;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use manifest::one_module;
use progress::Progress;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Who takes over has done it by then.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(10);
/// By then PoPs serve what was acknowledged last, on a busy machine too.
const SETTLED_MAX: Duration = Duration::from_secs(60);
const WORKERS: u64 = 4;
const POPS: usize = 2;
/// The latest moment of a kill after the cycle's beginning.
const KILL_MS: u64 = 1_500;

/// What was acknowledged, by worker: deployments' ids, and the last version's answer.
#[derive(Default)]
struct Acknowledged {
    deployments: BTreeMap<String, Vec<String>>,
    serves: BTreeMap<String, String>,
    count: u64,
    /// Answers that were asked for a second time.
    repeated: u64,
}

/// What an earlier run had come to.
#[derive(Default)]
struct Earlier {
    count: u64,
    repeated: u64,
}

impl Earlier {
    /// A cycle of it, and how long the take-over took.
    fn add(&mut self, line: &str) -> Result<Duration> {
        let numbers: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let &[took, count, repeated] = numbers.as_slice() else {
            bail!("{line:?} is no progress of this campaign");
        };
        self.count += count;
        self.repeated += repeated;
        Ok(Duration::from_millis(took))
    }
}

struct Arguments {
    count: u64,
    seed: u64,
    resume: bool,
}

fn arguments() -> Result<Arguments> {
    let mut arguments = Arguments {
        count: 3,
        seed: 1,
        resume: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64> {
            let value = words.next().with_context(|| format!("{word} needs a number"))?;
            Ok(value.parse()?)
        };
        match word.as_str() {
            "--count" => arguments.count = number()?,
            "--seed" => arguments.seed = number()?,
            "--resume" => arguments.resume = true,
            other => bail!("{other}? --count N --seed S --resume"),
        }
    }
    Ok(arguments)
}

/// One call, to whoever leads, until somebody has done it.
async fn insist(
    cluster: &Cluster,
    leader: &AtomicU64,
    path: &str,
    method: &str,
    body: Bytes,
    key: &str,
) -> Result<(Value, bool)> {
    let began = Instant::now();
    let mut repeated = false;
    loop {
        let at = leader.load(Ordering::SeqCst) as usize;
        match cluster.call(at, method, path, body.clone(), Some(key)).await {
            Ok((status, answer)) if status < 300 => return Ok((answer, repeated)),
            // Not the leader, deposed in the middle, or its database went away under it.
            Ok((status, answer)) if status < 500 => bail!("{method} {path} is answered {status}: {answer}"),
            Ok(_) | Err(_) => {}
        }
        repeated = true;
        ensure!(began.elapsed() < 4 * TAKEN_OVER_MAX, "{method} {path}: nobody does it");
        leader.store(1 - at as u64, Ordering::SeqCst);
        sleep(Duration::from_millis(20)).await;
    }
}

async fn deploy(
    cluster: &Cluster,
    leader: &AtomicU64,
    number: u64,
    seed: u64,
) -> Result<(String, String, String, bool)> {
    let worker = format!("w{}", number % WORKERS);
    let says = format!("{seed}-{number}");
    let code = format!("export default {{ fetch: () => new Response({says:?}) }};");
    let (hash, manifest) = one_module("main", &worker, &code);
    let blob = format!("/v1/accounts/main/blobs/{hash}");
    let (_, first) = insist(cluster, leader, &blob, "PUT", code.into(), &format!("b{says}")).await?;
    let path = format!("/v1/accounts/main/workers/{worker}/versions");
    let body = Bytes::from(json!({ "manifest": manifest }).to_string());
    let (version, second) = insist(cluster, leader, &path, "POST", body, &format!("v{says}")).await?;
    let id = version["id"].as_str().context("a version's id")?;
    let path = format!("/v1/accounts/main/workers/{worker}/deployments");
    let body = json!({ "versions": [{"version": id, "percent": 100.0}], "immediate": true });
    let body = Bytes::from(body.to_string());
    let (deployment, third) = insist(cluster, leader, &path, "POST", body, &format!("d{says}")).await?;
    let id = deployment["id"].as_str().context("a deployment's id")?.to_owned();
    Ok((worker, id, says, first || second || third))
}

/// Every acknowledged deployment is there, once.
async fn check(cluster: &Cluster, at: usize, known: &Acknowledged) -> Result<()> {
    for (worker, wanted) in &known.deployments {
        let mut there: Vec<String> = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("/v1/accounts/main/workers/{worker}/deployments?limit=100{after}");
            let (status, page) = cluster.call(at, "GET", &path, Bytes::new(), None).await?;
            ensure!(status == 200, "{path} is answered {status}: {page}");
            let items = page["items"].as_array().context("items")?;
            there.extend(items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        for id in wanted {
            let found = there.iter().filter(|one| *one == id).count();
            ensure!(
                found == 1,
                "deployment {id} of {worker} was acknowledged and is there {found} times"
            );
        }
        // One that nobody heard of is the one that is under way.
        ensure!(
            there.len() <= wanted.len() + 1,
            "{worker} has {} deployments, {} were acknowledged",
            there.len(),
            wanted.len()
        );
    }
    Ok(())
}

async fn ask(
    client: &Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
    pop: &str,
    worker: &str,
) -> Result<(u16, String)> {
    let request = http::Request::builder()
        .uri(format!("http://{pop}/"))
        .header("host", format!("{worker}.main.localhost"))
        .body(Full::default())?;
    let answer = async {
        let response = client.request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok::<_, anyhow::Error>((status, String::from_utf8_lossy(&body).into_owned()))
    };
    timeout(Duration::from_secs(15), answer)
        .await
        .context("no answer in time")?
}

/// Asks a PoP without a pause; counts requests, and says what failed.
async fn traffic(pop: String, stop: Arc<AtomicBool>) -> Result<u64> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let worker = format!("w{}", count % WORKERS);
        let (status, body) = ask(&client, &pop, &worker).await?;
        ensure!(status == 200, "{pop} answers {status} for {worker}: {body}");
        count += 1;
        sleep(Duration::from_millis(10)).await;
    }
    Ok(count)
}

async fn campaign(arguments: &Arguments) -> Result<()> {
    let Some(mut cluster) = Cluster::start(POPS).await? else {
        return Ok(());
    };
    let outcome = cycles(arguments, &mut cluster).await;
    if outcome.is_err() {
        for path in ["/v1/status", "/v1/pops"] {
            for at in 0..2 {
                let answer = cluster.call(at, "GET", path, Bytes::new(), None).await;
                eprintln!("control {at}, {path}: {answer:?}");
            }
        }
        for worker in 0..WORKERS {
            let path = format!("/v1/accounts/main/workers/w{worker}/deployments?limit=3");
            for at in 0..2 {
                if let Ok((200, page)) = cluster.call(at, "GET", &path, Bytes::new(), None).await {
                    eprintln!("w{worker}: {page}");
                }
            }
        }
        eprintln!("what the processes said is in {}", cluster.keep().display());
    }
    outcome
}

async fn cycles(arguments: &Arguments, cluster: &mut Cluster) -> Result<()> {
    let mut random = SplitMix64::new(arguments.seed);
    let leader = AtomicU64::new(cluster.leader(TAKEN_OVER_MAX).await? as u64);
    let mut known = Acknowledged::default();
    let mut number = 0;
    // Every worker is there before the first request.
    while number < WORKERS {
        one(cluster, &leader, &mut number, arguments.seed, &mut known).await?;
    }
    settled(cluster, &known).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = cluster
        .pops
        .iter()
        .map(|pop| tokio::spawn(traffic(pop.clone(), stop.clone())))
        .collect();
    let mut progress = Progress::open("leader-kill", &format!("seed {}", arguments.seed), arguments.resume)?;
    let (mut took, mut before) = (Vec::new(), Earlier::default());
    for line in &progress.done {
        took.push(before.add(line)?);
        let _ = random.next_u64();
    }
    for cycle in took.len() as u64 + 1..=arguments.count {
        let at = cluster.leader(TAKEN_OVER_MAX).await?;
        leader.store(at as u64, Ordering::SeqCst);
        let since = (known.count, known.repeated);
        let kill_at = Instant::now() + Duration::from_millis(random.below(KILL_MS));
        while Instant::now() < kill_at {
            let left = kill_at.saturating_duration_since(Instant::now());
            // Cut off wherever it is: what is under way then is asked for again.
            let _ = timeout(left, one(cluster, &leader, &mut number, arguments.seed, &mut known)).await;
        }
        cluster.kill(at).await?;
        let killed = Instant::now();
        let count = known.count;
        while known.count == count {
            one(cluster, &leader, &mut number, arguments.seed, &mut known).await?;
        }
        let elapsed = killed.elapsed();
        took.push(elapsed);
        let now = cluster.leader(TAKEN_OVER_MAX).await?;
        check(cluster, now, &known).await?;
        println!(
            "cycle {cycle}: acknowledged again after {} ms, {} deployments are there",
            elapsed.as_millis(),
            known.count
        );
        ensure!(
            elapsed < TAKEN_OVER_MAX,
            "it took {elapsed:?} until a deployment was acknowledged again"
        );
        cluster.run(at).await?;
        let (count, repeated) = (known.count - since.0, known.repeated - since.1);
        progress.note(&format!("{} {count} {repeated}", elapsed.as_millis()))?;
    }
    settled(cluster, &known).await?;
    stop.store(true, Ordering::Relaxed);
    let mut requests = 0;
    for asking in asking {
        requests += asking.await??;
    }
    let at = cluster.leader(TAKEN_OVER_MAX).await?;
    let (status, audit) = cluster
        .call(at, "POST", "/v1/audit/verify", Bytes::from_static(b"{}"), None)
        .await?;
    ensure!(status == 200, "the audit log: {status} {audit}");
    took.sort();
    let at = |share: f64| {
        took.get(((took.len() as f64 - 1.0) * share).round() as usize)
            .map_or(0, Duration::as_millis)
    };
    println!(
        "{} kills of the leader, {} deployments acknowledged, {} of them asked for again, 0 lost; taken over after {} ms at the \
         median, {} ms at most; {requests} requests to {POPS} PoPs, 0 failed; audit {audit}",
        took.len(),
        before.count + known.count,
        before.repeated + known.repeated,
        at(0.5),
        at(1.0)
    );
    Ok(())
}

/// One deployment, acknowledged. If it is cut off, the next call repeats it.
async fn one(
    cluster: &Cluster,
    leader: &AtomicU64,
    number: &mut u64,
    seed: u64,
    known: &mut Acknowledged,
) -> Result<()> {
    let (worker, id, says, repeated) = deploy(cluster, leader, *number, seed).await?;
    known.deployments.entry(worker.clone()).or_default().push(id);
    known.serves.insert(worker, says);
    known.count += 1;
    known.repeated += u64::from(repeated);
    *number += 1;
    Ok(())
}

/// Every PoP answers with what was acknowledged last.
async fn settled(cluster: &Cluster, known: &Acknowledged) -> Result<()> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let began = Instant::now();
    for pop in &cluster.pops {
        for (worker, wanted) in &known.serves {
            loop {
                let (status, body) = ask(&client, pop, worker).await?;
                if status == 200 && body == *wanted {
                    break;
                }
                ensure!(
                    began.elapsed() < SETTLED_MAX,
                    "{pop} answers {status} {body:?} for {worker}, not {wanted:?}"
                );
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let outcome = match arguments() {
        Ok(arguments) => campaign(&arguments).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leader-kill: {error:#}");
            ExitCode::FAILURE
        }
    }
}
