//! The campaign on staged deployments: `cargo xtask campaign deploy-sim --count N --seed S`.
//!
//! Each cycle is a simulated fleet: the real state machine of the deployer over a catalog, PoPs and requests that are made up
//! from a seed. Deployments good and bad overlap; PoPs crash, are slow, lose their sessions; the control plane is killed, also
//! between what it stores and what it says. Checked, with every step or at the end:
//! - no bad version is ever in the fleet's lane, but for kinds that show only later, which are told apart;
//! - every bad deployment is rolled back within 30 simulated seconds, more by what was disturbed meanwhile;
//! - no good deployment is rolled back;
//! - in the end every PoP has what the fleet's lane has, and that is what the catalog asks for;
//! - publication numbers and epochs only go up, for each PoP and over restarts.
//!
//! A bad version of a worker with so few requests that only probes and crashes decide may go on: such are counted by themselves, and how
//! soon the watch takes them back.

mod checks;
mod pops;
#[path = "../campaign/progress.rs"]
mod progress;
mod totals;
mod world;

use anyhow::{Context, Result};
use clap::Parser;
use progress::Progress;
use std::process::ExitCode;
use totals::Totals;

#[derive(Parser)]
struct Arguments {
    /// How many fleets.
    #[arg(long, default_value_t = 20)]
    count: u64,
    /// The first fleet's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on where the last run from this seed stopped.
    #[arg(long)]
    resume: bool,
    /// So many requests come to each worker of a PoP in a second, instead of a number of its own: to see what a gate makes of few.
    #[arg(long)]
    rate: Option<u64>,
    /// Tell what happens.
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    match campaign(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// How much was wrong.
fn campaign(arguments: &Arguments) -> Result<usize> {
    let parameters = format!("seed {} rate {:?}", arguments.seed, arguments.rate);
    let mut progress = Progress::open("deploy-sim", &parameters, arguments.resume)?;
    let mut totals = Totals::default();
    let done = std::mem::take(&mut progress.done);
    let mut found = 0;
    for cycle in 0..arguments.count {
        let seed = arguments.seed.wrapping_add(cycle);
        let (of_cycle, wrong): (Totals, Vec<String>) = match done.get(usize::try_from(cycle)?) {
            Some(line) => {
                let (totals, wrong) = Totals::from_text(line).with_context(|| format!("{line:?} is no progress"))?;
                (totals, wrong.split_terminator('|').map(str::to_owned).collect())
            }
            None => {
                let (totals, wrong) = world::World::new(seed, arguments.rate, arguments.verbose).run();
                let line: Vec<String> = wrong.iter().map(|what| what.replace('|', "/")).collect();
                progress.note(&format!("{}|{}", totals.to_text(), line.join("|")))?;
                (totals, wrong)
            }
        };
        totals.add(of_cycle);
        for wrong in wrong {
            found += 1;
            println!("deploy-sim seed {seed}: {wrong}");
        }
        if (cycle + 1).is_multiple_of(100) || cycle + 1 == arguments.count {
            println!("deploy-sim seeds {}..={seed}: {totals}; wrong: {found}", arguments.seed);
        }
    }
    Ok(found)
}
