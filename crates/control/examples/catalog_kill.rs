//! The `kill -9` campaign on the control plane: `cargo xtask campaign catalog-kill --count N --seed S`.
//!
//! Each cycle starts a child, which serves the REST API over its stores. Several writers deploy through it (a module as a blob, a
//! version, a deployment, each request with an idempotency key); the child is killed at a seeded moment. Then what is left is opened
//! and checked:
//! - every acknowledged deployment is there, with its version, its artifact and the bytes of its module;
//! - every other one is there wholly or not at all: the edge configuration is what the rows say, every deployment has its
//!   one audit entry, and every such entry its deployment;
//! - the audit chain is intact up to the last place that the child told.
//!
//! Writers of the next cycle first send again what was not acknowledged, under the same keys: none of it is there twice.
//! Uploads are tried by nobody and there are no PoPs: what the catalog and the store of blobs keep is what is looked at.
//!
//! A kill leaves the page cache alone: of power loss this says nothing.

#[path = "campaign/mod.rs"]
#[allow(dead_code)] // Others use the rest of it.
mod campaign;

use anyhow::{Context, Result, bail, ensure};
use atoll_control::audit::Link;
use atoll_control::catalog::{Caller, Catalog, NewToken, TokenRights};
use atoll_control::fleet::RecordedPops;
use atoll_control::secrets::Vault;
use atoll_control::tokens::Token;
use atoll_model::{BlobHash, EdgeConfig, EdgeEntry, Permissions, Quota, TenantId, WorkerName};
use atoll_stdx::{SplitMix64, SystemClock};
use atoll_store::artifact::{self, SigningKey, TrustedKeys};
use atoll_store::blob::{BlobStore, DirectoryStore, get_blob};
use atoll_store::sql::{SqliteDatabase, SqliteOptions};
use bytes::Bytes;
use campaign::api;
use campaign::manifest::one_module;
use campaign::progress::Progress;
use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How many cycles one store lives.
const CYCLES_PER_STORE: u64 = 10;
/// A child that has not begun, or not acknowledged what it should, by then has failed.
const LIFE_MAX: Duration = Duration::from_secs(60);
const WRITERS: u64 = 3;
const WORKERS: u64 = 12;
/// How often the child tells how far the audit log is.
const PLACE_EVERY: Duration = Duration::from_millis(20);

#[derive(Parser)]
struct Arguments {
    /// How many cycles.
    #[arg(long, default_value_t = 10)]
    count: u64,
    /// The campaign's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on where the last run with this seed stopped: with the store after the last one that was done with.
    #[arg(long)]
    resume: bool,
    /// Be the child: the stores' directory.
    #[arg(long, hide = true)]
    child: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let result = match (runtime, &arguments.child) {
        (Err(error), _) => Err(error.into()),
        (Ok(runtime), Some(directory)) => runtime.block_on(child_main(directory)),
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

fn account() -> TenantId {
    TenantId::new("acme")
}

/// The stores in a directory, as the control plane has them.
struct Plane {
    catalog: Catalog,
    blobs: DirectoryStore,
    key: SigningKey,
}

impl Plane {
    /// Keys, and the token of the writers, are made before the first child starts.
    fn keys(directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("master"), Vault::generate()?.as_bytes())?;
        std::fs::write(directory.join("signing"), SigningKey::generate()?)?;
        std::fs::write(directory.join("token"), Token::generate()?.expose())?;
        Ok(())
    }

    fn token(directory: &Path) -> Result<Token> {
        Ok(Token::parse(&std::fs::read_to_string(directory.join("token"))?)?)
    }

    async fn open(directory: &Path) -> Result<Self> {
        let vault = Vault::parse(&std::fs::read_to_string(directory.join("master"))?)?;
        let database = SqliteDatabase::open(&directory.join("catalog"), &SqliteOptions::default())?;
        let catalog = Catalog::open(Arc::new(database), Arc::new(vault), Arc::new(SystemClock)).await?;
        Ok(Self {
            catalog,
            blobs: DirectoryStore::open(&directory.join("blobs"))?,
            key: SigningKey::from_pkcs8(&std::fs::read(directory.join("signing"))?)?,
        })
    }

    /// The account, with room for everything that a campaign deploys, and the token.
    async fn prepare(&self, token: &Token) -> Result<()> {
        let caller = Caller::new("operator");
        if self.catalog.account(account()).await.is_err() {
            self.catalog.create_account(&caller, account(), "Acme".into()).await?;
        }
        for quota in [Quota::Versions, Quota::Deployments] {
            let key = quota.key().to_owned();
            self.catalog.set_bound(&caller, account(), key, Some(1_000_000)).await?;
        }
        if self.catalog.authenticate(token).await.is_err() {
            let new = NewToken {
                account: Some(account()),
                name: "campaign".into(),
                rights: TokenRights::Own(Permissions::everything()),
                expires_ms: None,
            };
            self.catalog.create_token(&caller, token, new).await?;
        }
        Ok(())
    }
}

fn tell(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

async fn child_main(directory: &Path) -> Result<()> {
    let plane = Plane::open(directory).await?;
    plane.prepare(&Plane::token(directory)?).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    tell(&format!("ready {}", listener.local_addr()?))?;
    let (blobs, pops) = (Arc::new(plane.blobs), Arc::new(RecordedPops::default()));
    let stop = CancellationToken::new();
    let served = api::serve(plane.catalog.clone(), blobs, plane.key, pops, listener, stop);
    let places = async {
        loop {
            tokio::time::sleep(PLACE_EVERY).await;
            tell(&format!("place {}", plane.catalog.audit_head().await?))?;
        }
    };
    tokio::select! {
        () = served => bail!("the listener ended"),
        result = places => result,
    }
}

/// A deployment that is wanted. Its key stands in its message and in its code.
#[derive(Debug, Clone)]
struct Order {
    key: String,
    worker: WorkerName,
    code: String,
}

/// What is known of a store.
#[derive(Default)]
struct Told {
    begun: BTreeMap<String, Order>,
    done: BTreeSet<String>,
    place: Option<Link>,
    /// Orders of the cycle before that are to be sent again.
    again: Vec<Order>,
}

type Shared = Arc<Mutex<Told>>;

fn lock(told: &Shared) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
struct Writer {
    client: Client<HttpConnector, Full<Bytes>>,
    address: String,
    token: Arc<Token>,
    told: Shared,
    acknowledged: watch::Sender<u64>,
}

impl Writer {
    /// A request's answer. `None`: the child is gone.
    async fn send(&self, method: &str, path: &str, key: &str, body: Bytes) -> Result<Option<Value>> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}/v1/accounts/acme/{path}", self.address))
            .header("authorization", format!("Bearer {}", self.token.expose()))
            .header("idempotency-key", key)
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let Ok(response) = self.client.request(request).await else {
            return Ok(None);
        };
        let status = response.status();
        let Ok(body) = response.into_body().collect().await else {
            return Ok(None);
        };
        let body = body.to_bytes();
        ensure!(
            status == 201,
            "{path} is answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(Some(serde_json::from_slice(&body)?))
    }

    /// Everything that a deployment is, from the bytes of its module on. False: the child is gone.
    async fn deploy(&self, order: &Order) -> Result<bool> {
        let Order { key, worker, code } = order;
        let (hash, manifest) = one_module(account().as_str(), worker.as_str(), code);
        let blob = self
            .send("PUT", &format!("blobs/{hash}"), key, code.clone().into())
            .await?;
        if blob.is_none() {
            return Ok(false);
        }
        let body = json!({ "manifest": manifest }).to_string();
        let path = format!("workers/{worker}/versions");
        let Some(version) = self.send("POST", &path, &format!("{key}-v"), body.into()).await? else {
            return Ok(false);
        };
        let body = json!({ "versions": [{ "version": version["id"], "percent": 100 }], "message": key }).to_string();
        let path = format!("workers/{worker}/deployments");
        let Some(deployed) = self.send("POST", &path, &format!("{key}-d"), body.into()).await? else {
            return Ok(false);
        };
        ensure!(
            deployed["message"] == **key,
            "another deployment was answered: {deployed}"
        );
        lock(&self.told).done.insert(key.clone());
        self.acknowledged.send_modify(|count| *count += 1);
        Ok(true)
    }

    async fn run(self, seed: u64) -> Result<()> {
        let mut rng = SplitMix64::new(seed);
        loop {
            let again = lock(&self.told).again.pop();
            let order = again.unwrap_or_else(|| {
                let key = format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64());
                let filler = "x".repeat(rng.below(30_000) as usize);
                Order {
                    worker: WorkerName::new(format!("w{}", rng.below(WORKERS))),
                    code: format!("// {key}\n{filler}"),
                    key,
                }
            });
            lock(&self.told).begun.insert(order.key.clone(), order.clone());
            if !self.deploy(&order).await? {
                return Ok(());
            }
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Totals {
    cycles: u64,
    before_ready: u64,
    acknowledged: u64,
    under_way: u64,
    under_way_stored: u64,
}

async fn campaign(arguments: &Arguments) -> Result<()> {
    let program = std::env::current_exe()?;
    let state = tempfile::tempdir()?;
    let mut progress = Progress::open("catalog-kill", &format!("seed {}", arguments.seed), arguments.resume)?;
    let mut totals = match progress.done.last() {
        Some(last) => serde_json::from_str(last).with_context(|| format!("{last:?} is no progress"))?,
        None => Totals::default(),
    };
    let mut told = Shared::default();
    let mut store = PathBuf::new();
    while totals.cycles < arguments.count {
        let cycle = totals.cycles;
        let mut rng = SplitMix64::new(arguments.seed.wrapping_mul(0x9E37_79B9).wrapping_add(cycle));
        if cycle.is_multiple_of(CYCLES_PER_STORE) {
            store = state.path().join(cycle.to_string());
            told = Shared::default();
            Plane::keys(&store)?;
        }
        let before = lock(&told).done.len();
        let ready = run_and_kill(&program, &store, &mut rng, &told).await?;
        totals.before_ready += u64::from(!ready);
        totals.acknowledged += (lock(&told).done.len() - before) as u64;
        if let Err(error) = verify(&store, &told, &mut totals).await {
            let kept = state.keep();
            bail!(
                "cycle {cycle} of seed {}: {error:#}; the stores are left in {}",
                arguments.seed,
                kept.display()
            );
        }
        totals.cycles += 1;
        if totals.cycles.is_multiple_of(CYCLES_PER_STORE) {
            progress.note(&serde_json::to_string(&totals)?)?;
        }
        if totals.cycles.is_multiple_of(10) || totals.cycles == arguments.count {
            println!(
                "catalog-kill seed {}: {} kills ({} before the API was there), {} acknowledged deployments, lost 0; {} \
                 under way at a kill, {} of them there wholly, half of one 0; sent again, twice 0",
                arguments.seed,
                totals.cycles,
                totals.before_ready,
                totals.acknowledged,
                totals.under_way,
                totals.under_way_stored
            );
        }
    }
    Ok(())
}

/// Starts a child, has writers deploy through it and kills it at a seeded moment. Was it ready?
async fn run_and_kill(program: &Path, store: &Path, rng: &mut SplitMix64, told: &Shared) -> Result<bool> {
    // One in five is killed while it starts; the others some deployments later, and then at any moment.
    let starting = rng.below(5) == 0;
    let (deployments, moment) = (rng.below(12), Duration::from_micros(rng.below(60_000)));
    let mut child = Command::new(program)
        .arg("--child")
        .arg(store)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start the child")?;
    let mut lines = BufReader::new(child.stdout.take().context("the child's output")?).lines();
    let (mut ready, mut writers) = (false, Vec::new());
    if !starting {
        let line = tokio::time::timeout(LIFE_MAX, lines.next_line())
            .await
            .context("the child does not begin")??;
        let line = line.context("the child ended by itself")?;
        let address = line
            .strip_prefix("ready ")
            .with_context(|| format!("the child said {line:?}"))?;
        ready = true;
        let (acknowledged, mut count) = watch::channel(0);
        for _ in 0..WRITERS {
            let writer = Writer {
                client: Client::builder(TokioExecutor::new()).build_http(),
                address: address.to_owned(),
                token: Arc::new(Plane::token(store)?),
                told: told.clone(),
                acknowledged: acknowledged.clone(),
            };
            writers.push(tokio::spawn(writer.run(rng.next_u64())));
        }
        drop(acknowledged);
        let enough = tokio::time::timeout(LIFE_MAX, count.wait_for(|count| *count >= deployments)).await;
        // Writers that failed say why below.
        ensure!(enough.is_ok(), "the child acknowledged too little in {LIFE_MAX:?}");
    }
    tokio::time::sleep(moment).await;
    let early = child.try_wait()?;
    child.kill().await?;
    ensure!(early.is_none(), "the child ended by itself: {early:?}");
    for writer in writers {
        writer.await??;
    }
    // What it had written before it died counts as told; the last line may be cut.
    while let Ok(Some(line)) = lines.next_line().await {
        ready |= line.starts_with("ready ");
        if let Some(place) = line.strip_prefix("place ").and_then(|place| place.parse::<Link>().ok()) {
            let mut told = lock(told);
            if told.place.is_none_or(|last| last.number < place.number) {
                told.place = Some(place);
            }
        }
    }
    Ok(ready)
}

async fn verify(store: &Path, told: &Shared, totals: &mut Totals) -> Result<()> {
    let plane = Plane::open(store).await.context("open what is left")?;
    let place = lock(told).place;
    let config = plane
        .catalog
        .check()
        .await
        .context("the edge configuration and its rows")?;
    plane
        .catalog
        .verify_audit(place.into_iter().collect())
        .await
        .context("the audit log")?;
    let whole = EdgeConfig::decode(&config.encode()).context("the configuration as it travels")?;
    ensure!(whole == config, "the configuration does not travel");
    // Every deployment that is there: its id, and the key that its message is.
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut keys = BTreeSet::new();
    let trusted = TrustedKeys::new([plane.key.public()]);
    for at in 0..WORKERS {
        let worker = WorkerName::new(format!("w{at}"));
        let mut before = None;
        loop {
            let page = plane
                .catalog
                .deployments(account(), worker.clone(), before, 500)
                .await?;
            let Some(last) = page.last() else { break };
            before = Some(last.number);
            for deployment in page {
                let key = deployment.message.context("a deployment without its key")?;
                ensure!(keys.insert(key.clone()), "what was ordered as {key} was deployed twice");
                found.insert(deployment.id.to_string(), key);
            }
        }
    }
    let mut audited = BTreeSet::new();
    let mut after = 0;
    loop {
        let page = plane.catalog.audit(Some(account()), after, 1_000).await?;
        let Some(last) = page.last() else { break };
        after = last.entry.number;
        for record in page.iter().filter(|record| record.entry.action == "worker.deploy") {
            let detail: serde_json::Value = serde_json::from_str(&record.entry.detail)?;
            let id = detail["deployment"]
                .as_str()
                .context("an audit entry without its deployment")?;
            ensure!(audited.insert(id.to_owned()), "deployment {id} has two audit entries");
        }
    }
    ensure!(
        audited.iter().eq(found.keys()),
        "deployments and audit entries are not the same"
    );
    let (begun, done) = {
        let told = lock(told);
        (told.begun.clone(), told.done.clone())
    };
    for key in &done {
        ensure!(keys.contains(key), "deployment {key} was acknowledged and is not there");
    }
    // What is served can be loaded, to its last byte.
    for (key, entry) in config.entries() {
        let (atoll_model::EdgeKey::Worker(account, worker), EdgeEntry::Worker(entry)) = (key, &**entry) else {
            continue;
        };
        for share in &entry.shares {
            let manifest = artifact::load(&plane.blobs, &share.artifact, account, worker, &trusted).await?;
            for blob in manifest.blobs().into_keys() {
                let bytes = get_blob(&plane.blobs as &dyn BlobStore, &blob).await?;
                ensure!(BlobHash::of(&bytes) == blob, "blob {blob}");
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(35)]).into_owned();
                let of = text.trim_start_matches("// ").trim().to_owned();
                let deployed = found.get(entry.deployment.as_str());
                ensure!(
                    begun.contains_key(&of) && deployed == Some(&of),
                    "worker {worker} serves the code of order {of}, not of {deployed:?}"
                );
            }
        }
    }
    for key in &keys {
        ensure!(begun.contains_key(key), "deployment {key} is there and nobody began it");
    }
    let mut told = lock(told);
    for (key, order) in begun {
        if told.done.contains(&key) {
            continue;
        }
        totals.under_way += 1;
        totals.under_way_stored += u64::from(keys.contains(&key));
        if keys.contains(&key) {
            // From now on it must stay.
            told.done.insert(key);
        } else {
            // Its code may be there, as a blob that nothing names.
            told.begun.remove(&key);
        }
        // Whether or not it is there: sent again it is there once.
        told.again.push(order);
    }
    Ok(())
}
