//! `cargo xtask campaign NAME`: long runs that hunt for one kind of bug, such as lost writes after `kill -9`.
//!
//! A campaign is an example program of the crate that it tests, so that this one stays light; one over many parsers is many
//! programs, with a table of targets. `tests/budget.toml` names the programs and says how long the ordinary test run spends
//! on each; `--count` asks for more. Contract of a program: it takes `--count N --seed S` and perhaps `--resume`, prints its
//! progress, ends with exit code 0 if it found nothing, and each finding names the seed that repeats it. A program with
//! targets takes `--target T` besides, and `--list` prints their names: each must stand in the table.

use crate::{CommandResult, command, repository};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Arguments of `cargo xtask campaign`.
#[derive(Default, clap::Args)]
pub struct Options {
    /// Which one; without it, all are listed.
    name: Option<String>,
    /// How many cycles (inputs, of each target); without it, as many as `tests/budget.toml` says.
    #[arg(long)]
    count: Option<u64>,
    /// The first cycle's seed.
    #[arg(long)]
    seed: Option<u64>,
    /// This target alone, of a campaign that has targets.
    #[arg(long)]
    target: Option<String>,
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
    /// The first seed of an ordinary test run.
    seed: u64,
    /// The program, of a campaign without targets.
    #[serde(flatten)]
    program: Option<Program>,
    /// By name; empty for a campaign that is one program.
    #[serde(default)]
    targets: BTreeMap<String, Program>,
}

/// A program and how long an ordinary test run spends on it.
#[derive(Deserialize)]
struct Program {
    /// The example.
    example: String,
    /// Cycles of an ordinary test run.
    count: u64,
}

/// What one start of a program is given.
struct Start<'a> {
    program: &'a Program,
    target: Option<&'a str>,
    count: u64,
    seed: u64,
    resume: bool,
}

impl Campaign {
    /// All starts, or that of one target.
    fn starts<'a>(&'a self, options: &'a Options) -> Result<Vec<Start<'a>>> {
        let start = |target: Option<&'a str>, program: &'a Program| Start {
            program,
            target,
            count: options.count.unwrap_or(program.count),
            seed: options.seed.unwrap_or(self.seed),
            resume: options.resume,
        };
        match (&self.program, &options.target) {
            (Some(program), None) if self.targets.is_empty() => Ok(vec![start(None, program)]),
            (Some(_), _) => bail!("the campaign is one program; it has no targets"),
            (None, Some(name)) => {
                let Some((name, program)) = self.targets.get_key_value(name) else {
                    let known: Vec<&str> = self.targets.keys().map(String::as_str).collect();
                    bail!("no target \"{name}\" in tests/budget.toml; known: {}", known.join(", "));
                };
                Ok(vec![start(Some(name), program)])
            }
            (None, None) => {
                ensure!(
                    !self.targets.is_empty(),
                    "the campaign has neither a program nor targets"
                );
                let targets = self.targets.iter();
                Ok(targets.map(|(name, program)| start(Some(name), program)).collect())
            }
        }
    }
}

/// `cargo xtask campaign`.
pub fn command(options: &Options) -> CommandResult {
    let root = repository::root();
    let budget = load(&root)?;
    let Some(name) = &options.name else {
        for (name, campaign) in &budget.campaign {
            let about = &campaign.about;
            if let Some(program) = &campaign.program {
                println!("{name:<20} {about} ({} cycles in a test run)", program.count);
                continue;
            }
            println!("{name:<20} {about}");
            for (target, program) in &campaign.targets {
                println!("  --target {target:<18} {} inputs in a test run", program.count);
            }
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
    run(&root, campaign, options)
}

/// Runs all campaigns with the counts of the budget and says how many passed and failed.
pub fn run_budget(root: &Path) -> Result<(usize, usize)> {
    let budget = load(root)?;
    let (mut passed, mut failed) = (0, 0);
    let ordinary = Options::default();
    for (name, campaign) in &budget.campaign {
        let start = Instant::now();
        match run(root, campaign, &ordinary) {
            Ok(()) => {
                passed += 1;
                println!("campaign {name}: seed {}, {:.0?}", campaign.seed, start.elapsed());
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

fn run(root: &Path, campaign: &Campaign, options: &Options) -> Result<()> {
    let starts = campaign.starts(options)?;
    let examples: BTreeSet<&str> = starts.iter().map(|start| start.program.example.as_str()).collect();
    // Built as part of the whole workspace, as the tests are: another choice of packages would unify other features and
    // compile the dependencies again.
    let mut cargo = command::cargo();
    cargo.current_dir(root);
    // With the binary: some drive it.
    cargo.args(["build", "--locked", "--workspace", "--bins"]);
    for example in &examples {
        cargo.args(["--example", example]);
    }
    command::run(&mut cargo)?;
    if !campaign.targets.is_empty() {
        for example in examples {
            every_target_is_listed(root, campaign, example)?;
        }
    }
    // One that finds something does not keep the others from running.
    let mut failed = Vec::new();
    for start in starts {
        let mut program = program(root, &start.program.example);
        program.args(["--count", &start.count.to_string(), "--seed", &start.seed.to_string()]);
        program.args(start.target.iter().flat_map(|target| ["--target", *target]));
        if start.resume {
            program.arg("--resume");
        }
        program.args(&options.more);
        if let Err(error) = command::run(&mut program) {
            failed.push(format!("{}: {error:#}", start.target.unwrap_or(&start.program.example)));
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(())
}

fn program(root: &Path, example: &str) -> Command {
    let mut program = Command::new(repository::target_dir(root).join("debug/examples").join(example));
    program.current_dir(root);
    program
}

/// A target that the table does not name would never be run.
fn every_target_is_listed(root: &Path, campaign: &Campaign, example: &str) -> Result<()> {
    let output = program(root, example)
        .arg("--list")
        .output()
        .with_context(|| format!("run {example} --list"))?;
    let text = String::from_utf8(output.stdout).with_context(|| format!("{example} --list"))?;
    let has: BTreeSet<&str> = text.lines().collect();
    let of_example = campaign
        .targets
        .iter()
        .filter(|(_, program)| program.example == example);
    let listed: BTreeSet<&str> = of_example.map(|(name, _)| name.as_str()).collect();
    ensure!(
        has == listed,
        "tests/budget.toml and {example} disagree on its targets: {:?}",
        has.symmetric_difference(&listed).collect::<Vec<_>>()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(target: Option<&str>) -> Options {
        Options {
            count: Some(7),
            target: target.map(str::to_owned),
            ..Options::default()
        }
    }

    #[test]
    fn the_budget_of_this_repository_can_be_started() {
        let budget = load(&repository::root()).unwrap();
        for (name, campaign) in &budget.campaign {
            let options = options(None);
            let starts = campaign.starts(&options).unwrap();
            assert!(!starts.is_empty(), "{name}");
            assert!(
                starts
                    .iter()
                    .all(|start| start.count == 7 && start.seed == campaign.seed),
                "{name}"
            );
        }
    }

    #[test]
    fn targets_are_chosen_by_name() {
        let campaign: Campaign = toml::from_str(
            "about = \"\"\nseed = 3\n[targets]\na = { example = \"x\", count = 1 }\nb = { example = \"y\", count = 2 }",
        )
        .unwrap();
        let starts = |target| {
            let options = options(target);
            let starts = campaign
                .starts(&options)
                .map(|starts| starts.iter().map(|start| start.program.example.clone()).collect());
            starts.map_err(|error| error.to_string())
        };
        assert_eq!(starts(None), Ok(vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!(starts(Some("b")), Ok(vec!["y".to_owned()]));
        assert!(starts(Some("c")).unwrap_err().contains("known: a, b"));
        let one: Campaign = toml::from_str("about = \"\"\nseed = 3\nexample = \"x\"\ncount = 1").unwrap();
        assert!(one.starts(&options(Some("a"))).is_err());
        assert_eq!(one.starts(&options(None)).unwrap().len(), 1);
    }
}
