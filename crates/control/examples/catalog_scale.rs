//! How a catalog behaves that is full: `catalog_scale --workers 100000 --directory DIR`.
//!
//! Fills a catalog through its own operations (a version and a deployment for each worker, accounts of 100 workers), then measures: the
//! edge configuration's delta for one deployment, what a control plane reads when it begins to lead, and what a PoP decodes when
//! it starts from its disk. Prints one line per figure. A directory that was filled before is used again.

use anyhow::{Result, ensure};
use atoll_control::catalog::{Caller, Catalog, KeepSecrets, NewDeployment, NewVersion, SplitOf, new_uuid};
use atoll_control::deployer::Deployer;
use atoll_control::secrets::Vault;
use atoll_model::edge::WEIGHT_WHOLE;
use atoll_model::{BlobHash, ConfigDelta, DeploymentId, EdgeConfig, TenantId, VersionId, WorkerName};
use atoll_stdx::SystemClock;
use atoll_store::sql::{SqliteDatabase, SqliteOptions};
use clap::Parser;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// How many workers an account has.
const PER_ACCOUNT: u64 = 100;
/// How many single deployments are measured.
const CHANGES: u64 = 50;

#[derive(Parser)]
struct Arguments {
    /// How many workers.
    #[arg(long, default_value_t = 100_000)]
    workers: u64,
    /// Where the catalog is, or is to be.
    #[arg(long)]
    directory: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.directory)?;
    let master = arguments.directory.join("master");
    if !master.exists() {
        std::fs::write(&master, Vault::generate()?.as_bytes())?;
    }
    let vault = Vault::parse(&std::fs::read_to_string(&master)?)?;
    let database = SqliteDatabase::open(&arguments.directory.join("catalog"), &SqliteOptions::default())?;
    let catalog = Catalog::open(Arc::new(database), Arc::new(vault), Arc::new(SystemClock)).await?;
    let there = catalog.config_head().await?.revision.0;
    if there == 0 {
        let began = Instant::now();
        fill(&catalog, arguments.workers).await?;
        let seconds = began.elapsed().as_secs_f64();
        let workers = arguments.workers;
        println!("filled: {workers} workers, each a version and a deployment, in {seconds:.0} s");
    }
    measure(&catalog, arguments.workers).await
}

fn account(worker: u64) -> TenantId {
    TenantId::new(format!("account-{}", worker / PER_ACCOUNT))
}

fn name(worker: u64) -> WorkerName {
    WorkerName::new(format!("worker-{worker}"))
}

async fn fill(catalog: &Catalog, workers: u64) -> Result<()> {
    let caller = Caller::new("operator");
    for worker in 0..workers {
        if worker.is_multiple_of(PER_ACCOUNT) {
            let account = account(worker);
            let title = account.to_string();
            catalog.create_account(&caller, account, title).await?;
        }
        deploy(catalog, &caller, worker).await?;
    }
    Ok(())
}

async fn deploy(catalog: &Catalog, caller: &Caller, worker: u64) -> Result<()> {
    let id = VersionId::new(new_uuid()?);
    let version = NewVersion {
        id: id.clone(),
        artifact: BlobHash::of(id.as_str().as_bytes()),
        code_bytes: 1_000,
        source: "scale".into(),
        message: None,
        tag: None,
        startup_ms: Some(2),
        keep: KeepSecrets::All,
        put: Vec::new(),
    };
    catalog
        .create_version(caller, account(worker), name(worker), version)
        .await?;
    let split = vec![SplitOf {
        version: id,
        weight: WEIGHT_WHOLE,
    }];
    let new = NewDeployment {
        id: DeploymentId::new(new_uuid()?),
        source: "scale".into(),
        message: None,
        immediate: false,
        replaces: None,
    };
    catalog
        .deploy(caller, account(worker), name(worker), split, new)
        .await?;
    Ok(())
}

async fn measure(catalog: &Catalog, workers: u64) -> Result<()> {
    let caller = Caller::new("operator");
    let (mut sizes, mut times) = (Vec::new(), Vec::new());
    for change in 0..CHANGES {
        let before = catalog.config_head().await?.revision;
        let worker = change * 7_919 % workers;
        let began = Instant::now();
        deploy(catalog, &caller, worker).await?;
        times.push(began.elapsed().as_micros());
        let delta: Option<ConfigDelta> = catalog.config_since(before).await?;
        sizes.push(delta.map_or(0, |delta| delta.encode().len()));
    }
    sizes.sort_unstable();
    times.sort_unstable();
    let half = sizes.len() / 2;
    println!(
        "one deployment: delta of {} bytes in the median, {} at most (goal 10,240); version and deployment stored in {} us in the \
         median, {} at most",
        sizes[half],
        sizes[sizes.len() - 1],
        times[half],
        times[times.len() - 1]
    );
    let began = Instant::now();
    let config = catalog.config().await?;
    println!(
        "whole configuration read from the catalog: {} entries in {} ms",
        config.len(),
        began.elapsed().as_millis()
    );
    let began = Instant::now();
    let intent = catalog.intent().await?;
    let read = began.elapsed().as_millis();
    let staged = intent.staged.len();
    let began = Instant::now();
    let (deployer, _) = Deployer::begin(intent, 1, 0);
    println!(
        "a control plane begins: intent with {staged} staged keys read in {read} ms, deployer there in {} ms, publication {}",
        began.elapsed().as_millis(),
        deployer.publication()
    );
    let began = Instant::now();
    let bytes = config.encode();
    let encoded = began.elapsed().as_millis();
    let began = Instant::now();
    let decoded = EdgeConfig::decode(&bytes)?;
    println!(
        "a PoP starts from its disk: {} bytes decoded and checked in {} ms (goal for the whole start 5,000), encoded in {encoded} ms",
        bytes.len(),
        began.elapsed().as_millis()
    );
    ensure!(decoded == config, "what was decoded is not what was encoded");
    Ok(())
}
