//! Poisoned configurations: `cargo xtask campaign poisoned --count N --seed S`.
//!
//! A control plane in this process (the real catalog, authority, sessions and API, over real TLS and gRPC) and three PoPs of the real
//! binary, with requests to each at a steady pace. In each cycle a configuration is published, and what stands between them sends
//! something else in its place: of the kinds in `kinds.rs`, cut, doubled, emptied, filled with nothing, oversized, out of order, with
//! wrong hashes or with right ones and absurd content; whole or as a delta. Checked:
//!
//! - every PoP refuses it whole (or, if only a worker of it is absurd, leaves that worker as it was) and counts it in its metrics;
//! - the control plane's `/v1/status` has an alarm that names PoP and publication, also if what was taken is not what was published;
//! - what is published next is on every PoP;
//! - no request failed, from the first to the last, and no PoP was started again.

#[path = "../campaign/mod.rs"]
#[allow(dead_code)] // Others use the rest of it.
mod campaign;
mod craft;
mod kinds;
#[path = "../../../pop/tests/it/plane.rs"]
#[allow(dead_code)] // Tests of PoPs use the rest of it.
mod plane;
mod poisoner;
#[path = "../../../pop/tests/it/reach.rs"]
mod reach;

use anyhow::{Context, Result, ensure};
use atoll_api::pop::Config;
use atoll_control::catalog::{NewToken, TokenRights};
use atoll_control::deployer::Applied;
use atoll_control::tokens::Token;
use atoll_model::edge::{Change, EdgeDomain, EdgeRoute};
use atoll_model::{DomainName, EdgeConfig, EdgeEntry, EdgeKey, Permissions, Revision, WorkerName};
use atoll_stdx::{SplitMix64, SystemClock};
use atoll_store::artifact::SigningKey;
use bytes::Bytes;
use campaign::api;
use campaign::fleet::Fleet;
use campaign::outcome;
use campaign::progress::Progress;
use campaign::traffic::Traffic;
use campaign::wait::{PATIENCE, until};
use clap::Parser;
use craft::{pair, sorted};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use kinds::{Case, Expected, KINDS, Kind};
use plane::{Ground, Plane, account, caller};
use poisoner::{Poisoner, Script};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const POPS: usize = 3;
/// Workers beside the one with requests; so many that what empties the configuration is recognized, and so many routes.
const OTHERS: usize = 14;
/// What the worker with requests says, in turn.
const SAYS: &[&str] = &["one", "two"];

#[derive(Parser)]
struct Arguments {
    /// How many poisoned configurations: the kinds in turn.
    #[arg(long, default_value_t = KINDS.len() as u64)]
    count: u64,
    /// Chooses what is changed in them, and the order of the kinds.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on where the last run with this seed stopped.
    #[arg(long)]
    resume: bool,
    /// This kind alone.
    #[arg(long)]
    kind: Option<String>,
    /// Requests a second to each PoP.
    #[arg(long, default_value_t = 20)]
    rate: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    outcome::run(async |directory| on(&arguments, directory).await).await
}

/// The kinds, in an order that the seed gives.
fn order(arguments: &Arguments, rng: &mut SplitMix64) -> Result<Vec<&'static Kind>> {
    let kinds: Vec<&'static Kind> = match &arguments.kind {
        None => KINDS.iter().collect(),
        Some(name) => {
            let found = KINDS.iter().find(|kind| kind.name == name);
            vec![found.with_context(|| format!("there is no kind {name:?}"))?]
        }
    };
    let mut order = Vec::new();
    while (order.len() as u64) < arguments.count {
        let mut round = kinds.clone();
        while !round.is_empty() {
            let at = usize::try_from(rng.below(round.len() as u64))?;
            order.push(round.swap_remove(at));
        }
    }
    order.truncate(usize::try_from(arguments.count)?);
    Ok(order)
}

/// The control plane's API, with a token of the operator's.
struct Api {
    address: SocketAddr,
    token: Token,
}

impl Api {
    async fn start(plane: &Plane, stop: CancellationToken) -> Result<Self> {
        let ground = &plane.ground;
        let token = Token::generate()?;
        let new = NewToken {
            account: None,
            name: "campaign".into(),
            rights: TokenRights::Own(Permissions::everything()),
            expires_ms: None,
        };
        ground.catalog.create_token(&caller(), &token, new).await?;
        // Nobody uploads here: what it would sign is of no account.
        let signing = SigningKey::from_pkcs8(&SigningKey::generate()?)?;
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (blobs, pops) = (Arc::new(ground.blobs.clone()), Arc::new(plane.sessions.clone()));
        tokio::spawn(api::serve(ground.catalog.clone(), blobs, signing, pops, listener, stop));
        Ok(Self { address, token })
    }

    async fn alarms(&self) -> Result<Vec<String>> {
        let text = get(&format!("http://{}/v1/status", self.address), Some(self.token.expose())).await?;
        let status: Value = serde_json::from_str(&text)?;
        let alarms = status["alarms"].as_array().context("alarms")?;
        let texts = alarms
            .iter()
            .filter(|alarm| alarm["code"] == "config_rejected")
            .filter_map(|alarm| alarm["message"].as_str().map(str::to_owned));
        Ok(texts.collect())
    }
}

async fn get(url: &str, token: Option<&str>) -> Result<String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let mut request = http::Request::builder().uri(url);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = client.request(request.body(Empty::new())?);
    let answer = timeout(PATIENCE, answer).await.context("no answer")??;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    ensure!(status.is_success(), "{url}: {status} {text}");
    Ok(text)
}

/// How many configurations a PoP has refused whole, and how many workers.
async fn refusals(fleet: &Fleet, pop: usize) -> Result<(u64, u64)> {
    let url = fleet.admin_url(pop, "/metrics").context("it runs no more")?;
    let text = get(&url, None).await?;
    let count = |what: &str| -> Result<u64> {
        let name = format!("atoll_pop_agent_total{{what=\"{what}\"}} ");
        let found = text.lines().find_map(|line| line.strip_prefix(&name));
        Ok(found.context("no such metric")?.trim().parse()?)
    };
    Ok((count("configs_rejected")?, count("workers_refused")?))
}

/// Two configurations that differ in what the worker with requests says.
async fn configs(ground: &Ground) -> Result<[EdgeConfig; 2]> {
    let key = |name: &str| EdgeKey::Worker(account(), WorkerName::new(name));
    ground
        .catalog
        .set_subdomain(&caller(), account(), "main".into())
        .await?;
    for at in 0..OTHERS {
        ground.deploy(&format!("w{at}"), &says(&at.to_string())).await;
    }
    let mut both = Vec::new();
    for text in SAYS {
        ground.deploy("steady", &says(text)).await;
        let config = ground.catalog.config().await?.renumbered(Revision(1));
        let route = |at: usize| Change {
            key: EdgeKey::Route(format!("w{at}.example.com/*")),
            entry: Some(EdgeEntry::Route(EdgeRoute {
                account: account(),
                worker: Some(WorkerName::new(format!("w{at}"))),
            })),
        };
        let mut changes: Vec<Change> = (0..OTHERS).map(route).collect();
        changes.push(Change {
            key: EdgeKey::Domain(DomainName::new("steady.example.net")),
            entry: Some(EdgeEntry::Domain(EdgeDomain {
                account: account(),
                worker: WorkerName::new("steady"),
            })),
        });
        both.push(config.change(Revision(2), changes)?.0);
    }
    ensure!(both[0].get(&key("steady")) != both[1].get(&key("steady")));
    // What is crafted here is what the codec writes, as long as nothing is wrong with it.
    let pairs: Vec<_> = sorted(&both[0]).iter().map(|(key, entry)| pair(key, entry)).collect();
    ensure!(craft::whole(2, &pairs) == both[0].encode(), "the format has changed");
    both.try_into().ok().context("two")
}

fn says(text: &str) -> String {
    format!("export default {{ fetch: () => new Response({text:?}) }};")
}

struct Campaign<'a> {
    plane: &'a Plane,
    script: Arc<Script>,
    fleet: &'a Fleet,
    api: Api,
    traffic: &'a Traffic,
    both: [EdgeConfig; 2],
    /// What PoPs hold.
    held: Arc<EdgeConfig>,
    /// Which of the two.
    says: usize,
}

impl Campaign<'_> {
    /// Publishes the other one of the two under the next number but `skipped`.
    fn publish(&mut self, skipped: u64, may_empty: bool) -> Arc<EdgeConfig> {
        let number = Revision(self.held.revision().0 + 1 + skipped);
        self.plane.send(self.both[1 - self.says].renumbered(number), may_empty)
    }

    /// What each PoP said to what it was sent, once all have.
    async fn answers(&self, from: usize, last: impl Fn(&Applied) -> bool) -> Result<Vec<(String, Applied)>> {
        let mut applied = self.plane.applied.clone();
        let all = |all: &Vec<(String, Applied)>| {
            let new = &all[from..];
            (1..=POPS).all(|pop| {
                let name = format!("pop-{pop}");
                new.iter().any(|(by, one)| *by == name && last(one))
            })
        };
        let found = timeout(PATIENCE, applied.wait_for(all)).await;
        let told = found.map(|found| found.map(|all| all[from..].to_vec()));
        told.context("not every PoP answers")?
            .context("the control plane is gone")
    }

    /// One poisoned configuration, and the good one after it. Gives what was said of it.
    async fn cycle(&mut self, kind: &'static Kind, seed: u64) -> Result<String> {
        let mut before = Vec::new();
        for pop in 0..POPS {
            before.push(refusals(self.fleet, pop).await?);
        }
        let from = self.plane.applied.borrow().len();
        let number = self.held.revision().0 + 1;
        let (held, next) = (self.held.clone(), self.both[1 - self.says].renumbered(Revision(number)));
        let key = EdgeKey::Worker(account(), WorkerName::new("steady"));
        let poison = move |message: Config| {
            let mut case = Case {
                held: &held,
                next: &next,
                message,
                key: &key,
                // The same for each PoP, whole or not.
                rng: SplitMix64::new(seed),
            };
            (kind.make)(&mut case)
        };
        self.script.set(Some(Box::new(poison)));
        self.publish(0, false);
        // Also what is taken is not what was published, and that is noticed.
        let told = self.answers(from, |one| one.rejected.is_some()).await;
        self.script.set(None);
        let told = told.with_context(|| format!("{:?}", &self.plane.applied.borrow()[from..]))?;
        let said = told
            .iter()
            .find_map(|(_, one)| one.rejected.clone())
            .unwrap_or_default();
        for (pop, (rejected, refused)) in before.into_iter().enumerate() {
            let (rejected_now, refused_now) = refusals(self.fleet, pop).await?;
            let grown = (rejected_now > rejected, refused_now > refused);
            let expected = match kind.expected {
                Expected::Refused => (true, false),
                Expected::Kept => (false, true),
                Expected::Taken => (false, false),
            };
            let name = &self.fleet.pops[pop].name;
            ensure!(
                grown == expected,
                "{name} counts a whole refusal and a worker's: {grown:?}, not {expected:?}; {said}"
            );
        }
        let alarms = self.api.alarms().await?;
        for pop in 1..=POPS {
            let begins = format!("PoP pop-{pop} refused publication {number}: ");
            ensure!(
                alarms.iter().any(|alarm| alarm.starts_with(&begins)),
                "/v1/status has no alarm of it: {alarms:?}"
            );
        }
        // Whatever it was, they go on with what comes next.
        let from = self.plane.applied.borrow().len();
        let good = self.publish(1, kind.expected == Expected::Taken);
        let last =
            |one: &Applied| one.publication == good.revision() && one.rejected.is_none() && one.refused.is_empty();
        self.answers(from, last).await.context("the good one after it")?;
        (self.held, self.says) = (good, 1 - self.says);
        let text = SAYS[self.says];
        until(PATIENCE, "requests are answered by the good one", async || {
            self.traffic.all_say(text)
        })
        .await?;
        Ok(said)
    }
}

async fn on(arguments: &Arguments, directory: &Path) -> Result<Vec<String>> {
    let mut rng = SplitMix64::new(arguments.seed);
    let order = order(arguments, &mut rng)?;
    let of = format!(
        "seed {} kind {}",
        arguments.seed,
        arguments.kind.as_deref().unwrap_or("all")
    );
    let mut progress = Progress::open("poisoned", &of, arguments.resume)?;
    let done = progress.done.len();
    let mut fleet = Fleet::new(directory)?;
    let ground = Ground::new(&directory.join("control"), Arc::new(SystemClock)).await;
    *ground.address.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
        Some((Ipv4Addr::LOCALHOST, fleet.peers()).into());
    let script = Arc::<Script>::default();
    let between = script.clone();
    let plane = Plane::start_with(&ground, |sessions, listener| {
        let served = sessions.serve_through(listener, |inner| Poisoner { inner, script: between });
        served.unwrap_or_else(|error| panic!("PoPs cannot be served: {error}"));
    })
    .await;
    let both = configs(&ground).await?;
    let held = plane.send(both[0].clone(), false);
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let api = Api::start(&plane, stop).await?;
    for _ in 0..POPS {
        fleet.add_pop_with(&plane.token(None).await)?;
    }
    for pop in 1..=POPS {
        plane.acknowledged(&format!("pop-{pop}"), held.revision()).await;
    }
    let pops: Vec<SocketAddr> = fleet.pops.iter().map(|pop| pop.address).collect();
    let traffic = Traffic::start(&pops, arguments.rate, SAYS);
    until(PATIENCE, "every PoP answers", async || traffic.all_say("one")).await?;
    let mut campaign = Campaign {
        plane: &plane,
        script,
        fleet: &fleet,
        api,
        traffic: &traffic,
        both,
        held,
        says: 0,
    };
    let (mut wrong, began) = (Vec::new(), Instant::now());
    for (cycle, kind) in order.iter().enumerate() {
        let seed = rng.next_u64();
        if cycle < done {
            continue;
        }
        match campaign.cycle(kind, seed).await {
            Ok(said) => {
                let said: String = said.chars().take(200).collect();
                println!("{cycle}: {}: {:?}: {said}", kind.name, kind.expected);
                progress.note(kind.name)?;
            }
            Err(error) => {
                // What PoPs hold is not known any more.
                wrong.push(format!(
                    "seed {} cycle {cycle}, {}: {error:#}",
                    arguments.seed, kind.name
                ));
                break;
            }
        }
    }
    drop(campaign);
    let (mut requests, mut failed) = (0, 0);
    for (pop, tally) in fleet.pops.iter().zip(traffic.end().await) {
        requests += tally.answers.values().sum::<u64>() + tally.failed.len() as u64;
        failed += tally.failed.len();
        wrong.extend(tally.failed.into_iter().map(|what| format!("{}: {what}", pop.name)));
    }
    println!(
        "poisoned seed {}: {} configurations of {} kinds in {:.0?}, {requests} requests to {POPS} PoPs meanwhile, {failed} failed; wrong: {}",
        arguments.seed,
        order.len() - done.min(order.len()),
        KINDS.len(),
        began.elapsed(),
        wrong.len()
    );
    fleet.stop().await?;
    plane.stop().await;
    Ok(wrong)
}
