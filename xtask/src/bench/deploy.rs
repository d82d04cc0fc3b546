//! `cargo xtask bench deploy`: from an upload until PoPs serve it, over three real PoPs and over three hundred simulated ones.
//!
//! The work is done by an example of `control`, `deploy_bench`, which starts `atoll up` and `pop_crowd` (agents without workers); here it is
//! built with them, started, and what it measured is put into a table beside the goals.

use super::report::{Stamp, machine, number, percentile, table};
use crate::{command, repository};
use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Arguments of `cargo xtask bench deploy`.
#[derive(clap::Args)]
pub struct Options {
    /// A debug build, to try the measurement itself; nothing is kept.
    #[arg(long)]
    debug: bool,
    /// Words for `deploy_bench`, whose text tells which there are, after `--`: `-- --gated 30`.
    #[arg(last = true)]
    more: Vec<String>,
}

/// What `deploy_bench` says at its end.
#[derive(Deserialize)]
struct Answer {
    code_bytes: usize,
    milliseconds: BTreeMap<String, Vec<f64>>,
    moved_to_one_pop_by_one_deployment: BTreeMap<String, BTreeMap<String, f64>>,
}

/// What the issue of a figure asks for, milliseconds at the 99th percentile.
fn goal(name: &str) -> Option<f64> {
    match name {
        "3 PoPs: upload to live on the canary, hardly asked"
        | "3 PoPs: upload to live on the canary, under traffic"
        | "3 PoPs: upload to live on all real PoPs" => Some(1_000.0),
        "3 PoPs: upload to live on all real PoPs, gated, hardly asked"
        | "3 PoPs: upload to live on all real PoPs, gated, under traffic" => Some(11_000.0),
        "3 PoPs: rollback to seen on all real PoPs" => Some(1_000.0),
        _ => None,
    }
}

/// `cargo xtask bench deploy`.
pub fn command(options: &Options) -> Result<()> {
    let root = repository::root();
    // As part of the whole workspace, as the tests are: another choice of packages would compile the dependencies again.
    let mut cargo = command::cargo();
    cargo
        .current_dir(&root)
        .args(["build", "--locked", "--workspace", "--bins"]);
    cargo.args(["--example", "deploy_bench", "--example", "pop_crowd"]);
    if !options.debug {
        cargo.arg("--release");
    }
    command::run(&mut cargo)?;
    let profile = if options.debug { "debug" } else { "release" };
    let program = repository::target_dir(&root)
        .join(profile)
        .join("examples/deploy_bench");
    let stamp = Stamp::now(&root, None)?;
    let machine = machine()?;
    let mut bench = Command::new(&program);
    bench
        .current_dir(&root)
        .args(&options.more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = bench.spawn().with_context(|| format!("start {}", program.display()))?;
    let mut last = String::new();
    for line in BufReader::new(child.stdout.take().context("it has an output")?).lines() {
        last = line?;
        if !last.starts_with('{') {
            println!("{last}");
        }
    }
    let status = child.wait()?;
    anyhow::ensure!(status.success(), "{} ended with {status}", program.display());
    let raw: Value = serde_json::from_str(&last).with_context(|| format!("deploy_bench ends with {last:?}"))?;
    let answer: Answer = serde_json::from_value(raw.clone())?;
    let text = report(&stamp, &machine, &answer);
    println!("{text}");
    if !options.debug {
        println!("kept in {}", stamp.keep(&root, "deploy", &text, &raw)?.display());
    }
    Ok(())
}

fn report(stamp: &Stamp, machine: &str, answer: &Answer) -> String {
    let mut text = format!(
        "# Deployments\n\nDate {}, commit {}. {machine}.\n\n\
         A worker of {} bytes in one module; the control plane, all PoPs, the simulated ones and who asks are on this one machine. Times are\n\
         milliseconds from the beginning of the upload (of the rollback's request) until a PoP, asked every millisecond, answers with it;\n\
         gated ones have a bake of 10 s in them, and the goal is the bake and a second: for workers that only the measurement asks, and for\n\
         workers with enough requests for a judgement, on every PoP from three seconds before the upload on.\n\n",
        stamp.date, stamp.commit, answer.code_bytes
    );
    let mut rows = Vec::new();
    for (name, values) in &answer.milliseconds {
        let at = |part| percentile(values, part).map_or("-".to_owned(), number);
        let p99 = percentile(values, 0.99);
        let goal = goal(name).map_or(String::new(), |goal| {
            let held = p99.is_some_and(|p99| p99 < goal);
            format!("{} {}", number(goal), if held { "(held)" } else { "(missed)" })
        });
        rows.push(vec![
            name.clone(),
            values.len().to_string(),
            at(0.5),
            at(0.99),
            at(1.0),
            goal,
        ]);
    }
    text += &table(
        &["figure", "times", "median ms", "p99 ms", "most ms", "goal, p99"],
        &rows,
    );
    text += "\nMoved to one PoP by one deployment, on average over an upload, its rollback and its return:\n\n";
    for (part, sums) in &answer.moved_to_one_pop_by_one_deployment {
        let of = |name: &str| sums.get(name).copied().map_or("-".to_owned(), number);
        let _ = writeln!(
            text,
            "- {part}: {} bytes of configuration in {} messages, {} bytes of objects ({} objects from the control plane, {} from neighbours)",
            of("config_bytes"),
            of("configs"),
            of("object_bytes"),
            of("from_control"),
            of("from_neighbours")
        );
    }
    text
}
