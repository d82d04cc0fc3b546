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

mod checks;
mod pops;
mod totals;
mod world;

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
struct Arguments {
    /// How many fleets.
    #[arg(long, default_value_t = 20)]
    count: u64,
    /// The first fleet's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begins anew in any case: a cycle leaves nothing that the next one needs.
    #[arg(long, hide = true)]
    resume: bool,
    /// Tell what happens.
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut totals = totals::Totals::default();
    let mut found = 0;
    for cycle in 0..arguments.count {
        let seed = arguments.seed.wrapping_add(cycle);
        let (cycle_totals, wrong) = world::World::new(seed, arguments.verbose).run();
        totals.add(&cycle_totals);
        for wrong in wrong {
            found += 1;
            println!("deploy-sim seed {seed}: {wrong}");
        }
        if (cycle + 1).is_multiple_of(100) || cycle + 1 == arguments.count {
            println!("deploy-sim seeds {}..={seed}: {totals}; wrong: {found}", arguments.seed);
        }
    }
    if found == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
