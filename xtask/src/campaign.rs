//! `cargo xtask campaign NAME`: long runs that hunt for one kind of bug, such as lost writes after `kill -9`.
//!
//! A campaign is an example program of the crate that it tests, so that this one stays light. `tests/budget.toml` names the
//! programs and says how long the ordinary test run spends on each; `--count` asks for more. Contract of a program: it takes
//! `--count N --seed S` and perhaps `--resume`, prints its progress, ends with exit code 0 if it found nothing, and each
//! finding names the seed that repeats it.

use crate::{CommandResult, command, repository};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Arguments of `cargo xtask campaign`.
#[derive(Default, clap::Args)]
pub struct Options {
    /// Which one; without it, all are listed.
    name: Option<String>,
    /// How many cycles; without it, as many as `tests/budget.toml` says.
    #[arg(long)]
    count: Option<u64>,
    /// The first cycle's seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Go on where the last run of this campaign stopped.
    #[arg(long)]
    resume: bool,
    /// Words of the campaign's own, after `--`: `-- --mode reload`.
    #[arg(last = true)]
    more: Vec<String>,
}

/// `tests/budget.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    /// By name.
    campaign: BTreeMap<String, Campaign>,
}

/// One campaign of `tests/budget.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Campaign {
    /// What it shows.
    about: String,
    /// The example that is the program.
    example: String,
    /// Cycles of an ordinary test run.
    count: u64,
    /// The first seed of an ordinary test run.
    seed: u64,
}

/// `cargo xtask campaign`.
pub fn command(options: &Options) -> CommandResult {
    let root = repository::root();
    let budget = load(&root)?;
    let Some(name) = &options.name else {
        for (name, campaign) in &budget.campaign {
            println!(
                "{name:<20} {} ({} cycles in a test run)",
                campaign.about, campaign.count
            );
        }
        return Ok(());
    };
    let Some(campaign) = budget.campaign.get(name) else {
        let known: Vec<&str> = budget.campaign.keys().map(String::as_str).collect();
        bail!(
            "no campaign \"{name}\" in tests/budget.toml; known: {}",
            known.join(", ")
        );
    };
    let count = options.count.unwrap_or(campaign.count);
    let seed = options.seed.unwrap_or(campaign.seed);
    run(&root, campaign, count, seed, options)
}

/// Runs all campaigns with the counts of the budget and says how many passed and failed.
pub fn run_budget(root: &Path) -> Result<(usize, usize)> {
    let budget = load(root)?;
    let (mut passed, mut failed) = (0, 0);
    for (name, campaign) in &budget.campaign {
        let start = Instant::now();
        match run(root, campaign, campaign.count, campaign.seed, &Options::default()) {
            Ok(()) => {
                passed += 1;
                println!(
                    "campaign {name}: {} cycles from seed {}, {:.0?}",
                    campaign.count,
                    campaign.seed,
                    start.elapsed()
                );
            }
            Err(error) => {
                failed += 1;
                println!("campaign {name} FAILED: {error:#}");
            }
        }
    }
    Ok((passed, failed))
}

fn load(root: &Path) -> Result<Budget> {
    let text = std::fs::read_to_string(root.join("tests/budget.toml")).context("read tests/budget.toml")?;
    toml::from_str(&text).context("read tests/budget.toml")
}

fn run(root: &Path, campaign: &Campaign, count: u64, seed: u64, options: &Options) -> Result<()> {
    // Built as part of the whole workspace, as the tests are: another choice of packages would unify other features and
    // compile the dependencies again.
    let mut cargo = command::cargo();
    cargo.current_dir(root);
    // With the binary: some drive it.
    cargo.args([
        "build",
        "--locked",
        "--workspace",
        "--bins",
        "--example",
        &campaign.example,
    ]);
    command::run(&mut cargo)?;
    let mut program = Command::new(
        repository::target_dir(root)
            .join("debug/examples")
            .join(&campaign.example),
    );
    program.current_dir(root);
    program.args(["--count", &count.to_string(), "--seed", &seed.to_string()]);
    if options.resume {
        program.arg("--resume");
    }
    program.args(&options.more);
    command::run(&mut program)
}
