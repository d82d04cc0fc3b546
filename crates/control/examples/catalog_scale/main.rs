//! A platform with many workers: `cargo xtask campaign catalog-scale --count WORKERS`.
//!
//! A control plane makes its data directory and ends; its catalog is filled through the catalog's own operations (a version and a
//! deployment for each worker, accounts of 100 workers), as if all of it had been approved long ago. Measured then: the delta of the edge
//! configuration for one deployment, what a control plane reads when it begins to lead, how long the real control plane and a real PoP take
//! to start on it, the PoP from the control plane and from its disk, and what `/metrics` of both take. Each figure is a line, with its
//! goal if it has one; a goal that is missed is a finding.
//!
//! With `--directory` what is filled stays there and is used again.

#[path = "../campaign/mod.rs"]
#[allow(dead_code)] // Others use the rest of it.
mod campaign;
mod measured;

use anyhow::{Context, Result, ensure};
use atoll_control::catalog::{Caller, Catalog, KeepSecrets, NewDeployment, NewVersion, SplitOf, StageWrite, new_uuid};
use atoll_control::deployer::Deployer;
use atoll_control::secrets::Vault;
use atoll_model::edge::WEIGHT_WHOLE;
use atoll_model::{BlobHash, ConfigDelta, DeploymentId, EdgeConfig, TenantId, VersionId, WorkerName};
use atoll_stdx::SystemClock;
use atoll_store::sql::{SqliteDatabase, SqliteOptions};
use campaign::fleet::Fleet;
use clap::Parser;
use measured::Figures;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// How many workers an account has.
const PER_ACCOUNT: u64 = 100;
/// How many single deployments are measured.
const CHANGES: u64 = 50;

/// From so many workers on times are held against their goals.
const TIMES_HELD_FROM: u64 = 10_000;
/// How many approvals are stored in one transaction.
const SETTLED_AT_ONCE: usize = 10_000;

#[derive(Parser)]
struct Arguments {
    /// How many workers.
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// Unused; measurements have no chance in them.
    #[arg(long, hide = true)]
    seed: Option<u64>,
    /// Begins anew in any case, but for what is in `--directory`.
    #[arg(long, hide = true)]
    resume: bool,
    /// Hold times against their goals, however few workers there are.
    #[arg(long)]
    hold_times: bool,
    /// Where all of it is, or is to be; a temporary directory if none is given.
    #[arg(long)]
    directory: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match campaign(&Arguments::parse()).await {
        Ok(missed) if missed.is_empty() => ExitCode::SUCCESS,
        Ok(missed) => {
            for what in missed {
                eprintln!("missed: {what}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn campaign(arguments: &Arguments) -> Result<Vec<String>> {
    let temporary = tempfile::tempdir()?;
    let directory = arguments.directory.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(directory)?;
    let mut figures = Figures {
        holds_times: arguments.hold_times || arguments.count >= TIMES_HELD_FROM,
        ..Figures::default()
    };
    let mut fleet = Fleet::new(directory)?;
    // Its first start makes keys, catalog and token.
    fleet.start_control().await?;
    fleet.stop_control().await?;
    let catalog = open(&directory.join("control")).await?;
    if catalog.config_head().await?.revision.0 < arguments.count {
        let began = Instant::now();
        fill(&catalog, arguments.count).await?;
        println!(
            "filled: {} workers, each a version and a deployment, in {:.0} s",
            arguments.count,
            began.elapsed().as_secs_f64()
        );
    }
    settle(&catalog).await?;
    measure(&catalog, arguments.count, &mut figures).await?;
    settle(&catalog).await?;
    drop(catalog);
    measured::processes(&mut fleet, &mut figures).await?;
    fleet.stop().await?;
    println!(
        "catalog-scale: {} workers; missed: {}",
        arguments.count,
        figures.missed.len()
    );
    Ok(figures.missed)
}

/// The catalog of a control plane that does not run.
async fn open(data: &Path) -> Result<Catalog> {
    let master = std::fs::read_to_string(data.join("keys/master")).context("read the master key")?;
    let database = SqliteDatabase::open(&data.join("catalog"), &SqliteOptions::default())?;
    Ok(Catalog::open(
        Arc::new(database),
        Arc::new(Vault::parse(&master)?),
        Arc::new(SystemClock),
    )
    .await?)
}

/// All that is staged is approved, as if PoPs had had it for long.
async fn settle(catalog: &Catalog) -> Result<()> {
    let config = catalog.config().await?;
    let staged = catalog.staged().await?;
    for part in staged.chunks(SETTLED_AT_ONCE) {
        let settled = part.iter().map(|row| (row.key.clone(), config.get(&row.key).cloned()));
        let write = StageWrite {
            settled: settled.collect(),
            ..StageWrite::default()
        };
        catalog.stage(write).await?;
    }
    ensure!(catalog.staged().await?.is_empty(), "something is not approved");
    Ok(())
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

async fn measure(catalog: &Catalog, workers: u64, figures: &mut Figures) -> Result<()> {
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
        "one deployment is stored (version and deployment) in {} us in the median, {} at most",
        times[half],
        times[times.len() - 1]
    );
    figures.goal(
        "bytes of the largest delta for one deployment",
        sizes[sizes.len() - 1] as f64,
        10_240.0,
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
        "the whole configuration: {} bytes, decoded and checked in {} ms, encoded in {encoded} ms",
        bytes.len(),
        began.elapsed().as_millis()
    );
    ensure!(decoded == config, "what was decoded is not what was encoded");
    Ok(())
}
