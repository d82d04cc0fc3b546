//! The `kill -9` campaign on the control plane's stores: `cargo xtask campaign catalog-kill --count N --seed S`.
//!
//! Each cycle starts a child that deploys with several writers at once (a module as a blob, a signed artifact, a version, a
//! deployment) and tells each deployment over a pipe before it begins and after it was acknowledged; kills it at a seeded
//! moment; opens what is left and checks:
//! - every acknowledged deployment is there, with its version, its artifact and the bytes of its module;
//! - every other one is there wholly or not at all: the edge configuration is what the rows say, every deployment has its
//!   one audit entry, and every such entry its deployment;
//! - the audit chain is intact up to the last place that the child told.
//!
//! A kill leaves the page cache alone: of power loss this says nothing.

use anyhow::{Context, Result, bail, ensure};
use atoll_control::audit::Link;
use atoll_control::catalog::{Caller, Catalog, KeepSecrets, NewDeployment, NewVersion, SplitOf, new_uuid};
use atoll_control::secrets::Vault;
use atoll_model::artifact::{FORMAT_VERSION, ModuleBlob};
use atoll_model::edge::WEIGHT_WHOLE;
use atoll_model::{
    BlobHash, CompatDate, DeploymentId, EdgeConfig, EdgeEntry, Manifest, ModuleKind, OutboundRules, Quota, TenantId,
    VersionId, WorkerName,
};
use atoll_stdx::{SplitMix64, SystemClock};
use atoll_store::artifact::{self, SigningKey, TrustedKeys};
use atoll_store::blob::{BlobStore, DirectoryStore, get_blob, put_blob};
use atoll_store::sql::{SqliteDatabase, SqliteOptions};
use clap::Parser;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many cycles one store lives.
const CYCLES_PER_STORE: u64 = 10;
/// A child that was not killed by then is.
const LIFE_MAX_MS: u64 = 1_500;
const WRITERS: u64 = 3;
const WORKERS: u64 = 12;

#[derive(Parser)]
struct Arguments {
    /// How many cycles.
    #[arg(long, default_value_t = 10)]
    count: u64,
    /// The campaign's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begins anew in any case: a cycle leaves nothing that the next one needs.
    #[arg(long, hide = true)]
    resume: bool,
    /// Be the child: directory and seed.
    #[arg(long, hide = true, num_args = 2)]
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
        (Ok(runtime), Some(child)) => runtime.block_on(child_main(Path::new(&child[0]), &child[1])),
        (Ok(runtime), None) => campaign(&runtime, &arguments),
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
    /// Keys are made before the first child starts.
    fn keys(directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("master"), Vault::generate()?.as_bytes())?;
        std::fs::write(directory.join("signing"), SigningKey::generate()?)?;
        Ok(())
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

    /// The account, with room for everything that a campaign deploys.
    async fn prepare(&self) -> Result<()> {
        let caller = Caller::new("operator");
        if self.catalog.account(account()).await.is_err() {
            self.catalog.create_account(&caller, account(), "Acme".into()).await?;
        }
        for quota in [Quota::Versions, Quota::Deployments] {
            let key = quota.key().to_owned();
            self.catalog.set_bound(&caller, account(), key, Some(1_000_000)).await?;
        }
        Ok(())
    }

    /// Everything that a deployment is, from the bytes of its module on.
    async fn deploy(&self, worker: &WorkerName, code: String, deployment: DeploymentId) -> Result<()> {
        let caller = Caller::new("operator");
        let size = code.len() as u64;
        let blob = put_blob(&self.blobs, code.into()).await?;
        let manifest = Manifest {
            format: FORMAT_VERSION,
            account: account(),
            worker: worker.clone(),
            main_module: Some("index.js".into()),
            modules: vec![ModuleBlob {
                name: "index.js".into(),
                kind: ModuleKind::Esm,
                blob,
                size,
                source_map: None,
            }],
            assets: None,
            compat_date: CompatDate::NEWEST,
            compat_flags: Vec::new(),
            bindings: Vec::new(),
            tail_consumers: Vec::new(),
            limits: BTreeMap::new(),
            outbound: OutboundRules::default(),
        };
        let artifact = artifact::publish(&self.blobs, &manifest, &self.key).await?;
        let version = NewVersion {
            id: VersionId::new(new_uuid()?),
            artifact,
            code_bytes: size,
            source: "campaign".into(),
            message: None,
            tag: None,
            startup_ms: None,
            keep: KeepSecrets::All,
            put: Vec::new(),
        };
        let split = vec![SplitOf {
            version: version.id.clone(),
            weight: WEIGHT_WHOLE,
        }];
        self.catalog
            .create_version(&caller, account(), worker.clone(), version)
            .await?;
        let new = NewDeployment {
            id: deployment,
            source: "campaign".into(),
            message: None,
            immediate: false,
            replaces: None,
        };
        self.catalog
            .deploy(&caller, account(), worker.clone(), split, new)
            .await?;
        Ok(())
    }
}

fn tell(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

async fn child_main(directory: &Path, seed: &str) -> Result<()> {
    let seed: u64 = seed.parse()?;
    let plane = Arc::new(Plane::open(directory).await?);
    plane.prepare().await?;
    tell("ready")?;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let plane = plane.clone();
            let mut rng = SplitMix64::new(seed ^ writer);
            tokio::spawn(async move {
                loop {
                    let worker = WorkerName::new(format!("w{}", rng.below(WORKERS)));
                    let id = DeploymentId::new(new_uuid()?);
                    let filler = "x".repeat(rng.below(30_000) as usize);
                    tell(&format!("begin {id} {worker}"))?;
                    plane.deploy(&worker, format!("// {id}\n{filler}"), id.clone()).await?;
                    let place = plane.catalog.audit_head().await?;
                    tell(&format!("done {id} {place}"))?;
                }
            })
        })
        .collect();
    for writer in writers {
        let result: Result<()> = writer.await?;
        result?;
    }
    Ok(())
}

/// What children have told about a store.
#[derive(Default)]
struct Told {
    begun: BTreeMap<String, WorkerName>,
    done: BTreeSet<String>,
    place: Option<Link>,
}

#[derive(Default)]
struct Totals {
    cycles: u64,
    before_ready: u64,
    acknowledged: u64,
    under_way: u64,
    under_way_stored: u64,
}

fn campaign(runtime: &tokio::runtime::Runtime, arguments: &Arguments) -> Result<()> {
    let program = std::env::current_exe()?;
    let state = tempfile::tempdir()?;
    let mut totals = Totals::default();
    let mut told = Told::default();
    let mut store = PathBuf::new();
    while totals.cycles < arguments.count {
        let cycle = totals.cycles;
        let mut rng = SplitMix64::new(arguments.seed.wrapping_mul(0x9E37_79B9).wrapping_add(cycle));
        if cycle.is_multiple_of(CYCLES_PER_STORE) {
            store = state.path().join(cycle.to_string());
            told = Told::default();
            Plane::keys(&store)?;
        }
        let before = told.done.len();
        let ready = run_and_kill(&program, &store, &mut rng, &mut told)?;
        totals.before_ready += u64::from(!ready);
        totals.acknowledged += (told.done.len() - before) as u64;
        if let Err(error) = runtime.block_on(verify(&store, &mut told, &mut totals)) {
            let kept = state.keep();
            bail!(
                "cycle {cycle} of seed {}: {error:#}; the stores are left in {}",
                arguments.seed,
                kept.display()
            );
        }
        totals.cycles += 1;
        if totals.cycles.is_multiple_of(10) || totals.cycles == arguments.count {
            println!(
                "catalog-kill seed {}: {} kills ({} before the catalog was open), {} acknowledged deployments, lost 0; {} \
                 under way at a kill, {} of them there wholly, half of one 0",
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

/// Starts a child, kills it at a seeded moment and reads what it told. Was it ready?
fn run_and_kill(program: &Path, store: &Path, rng: &mut SplitMix64, told: &mut Told) -> Result<bool> {
    // One in five is killed while it starts; the others some deployments later, and then at any moment.
    let starting = rng.below(5) == 0;
    let (deployments, moment) = (rng.below(12), Duration::from_micros(rng.below(60_000)));
    let mut child = Command::new(program)
        .arg("--child")
        .arg(store)
        .arg(rng.next_u64().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .context("start the child")?;
    let lines = BufReader::new(child.stdout.take().context("the child's output")?);
    let start = Instant::now();
    let (sender, receiver) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let (mut ready, mut done, mut all) = (false, 0, Vec::new());
    while !starting && done < deployments && start.elapsed() < Duration::from_millis(LIFE_MAX_MS * 20) {
        match receiver.recv_timeout(Duration::from_millis(LIFE_MAX_MS)) {
            Ok(line) => {
                ready |= line == "ready";
                done += u64::from(line.starts_with("done "));
                all.push(line);
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    std::thread::sleep(moment);
    let early = child.try_wait()?;
    child.kill()?;
    child.wait()?;
    ensure!(early.is_none(), "the child ended by itself: {early:?}");
    // What it had written before it died counts as told.
    let _ = reader.join();
    all.extend(receiver.try_iter());
    for line in all {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("ready"), ..) => ready = true,
            (Some("begin"), Some(id), Some(worker)) => {
                told.begun.insert(id.to_owned(), WorkerName::new(worker));
            }
            (Some("done"), Some(id), Some(place)) => {
                told.done.insert(id.to_owned());
                let place: Link = place.parse().map_err(anyhow::Error::msg)?;
                if told.place.is_none_or(|last| last.number < place.number) {
                    told.place = Some(place);
                }
            }
            _ => bail!("the child said {line:?}"),
        }
    }
    Ok(ready)
}

async fn verify(store: &Path, told: &mut Told, totals: &mut Totals) -> Result<()> {
    let plane = Plane::open(store).await.context("open what is left")?;
    let config = plane
        .catalog
        .check()
        .await
        .context("the edge configuration and its rows")?;
    plane
        .catalog
        .verify_audit(told.place.into_iter().collect())
        .await
        .context("the audit log")?;
    let whole = EdgeConfig::decode(&config.encode()).context("the configuration as it travels")?;
    ensure!(whole == config, "the configuration does not travel");
    // Every deployment that is there, by its id.
    let mut found: BTreeMap<String, Vec<VersionId>> = BTreeMap::new();
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
                let versions = deployment.split.into_iter().map(|one| one.version).collect();
                found.insert(deployment.id.to_string(), versions);
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
    for id in &told.done {
        ensure!(
            found.contains_key(id),
            "deployment {id} was acknowledged and is not there"
        );
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
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(39)]).into_owned();
                let of = text.trim_start_matches("// ").trim().to_owned();
                let known = told.begun.contains_key(&of) && entry.deployment.as_str() == of;
                ensure!(
                    known,
                    "worker {worker} serves the code of deployment {of}, not of {}",
                    entry.deployment
                );
            }
        }
    }
    let pending: Vec<String> = told
        .begun
        .keys()
        .filter(|id| !told.done.contains(*id))
        .cloned()
        .collect();
    for id in pending {
        totals.under_way += 1;
        if found.contains_key(&id) {
            totals.under_way_stored += 1;
            // From now on it must stay.
            told.done.insert(id);
        } else {
            // It must not come later; its code may be there, as a blob that nothing names.
            told.begun.remove(&id);
        }
    }
    for id in found.keys() {
        ensure!(told.done.contains(id), "deployment {id} is there and nobody began it");
    }
    Ok(())
}
