//! `cargo xtask`: what the repository does to itself. Tidy rules, the test run, benchmarks and long campaigns.
//!
//! It compiles in seconds and links neither V8 nor a store: whatever needs those is run as a program of its own.

mod bench;
mod campaign;
mod codegen;
mod command;
mod dist;
mod fixtures;
mod npm;
mod reference;
mod repository;
mod test;
mod tidy;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What the repository does to itself.
#[derive(Parser)]
#[command(name = "cargo xtask", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check the rules of the house: who may import whom, versions, licences, headers, links.
    Tidy,
    /// Install what the tests need, then run everything: format, lints, tidy, tests, specs, small campaigns.
    Test(test::Options),
    /// Fetch the suites by others that the tests run, such as the Web Platform Tests.
    Fixtures,
    /// Write the pages of docs/reference from the tables of the code, or check them.
    Reference(reference::Options),
    /// Write the messages of crates/api/proto as Rust, or check what is there.
    Codegen(codegen::Options),
    /// Build the binary for distribution, by the profile of a training run: target/dist/atoll.
    Dist(dist::Options),
    /// Measure against peers in the same run.
    Bench(bench::Options),
    /// Run one long campaign, such as `kv-kill`.
    Campaign(campaign::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Tidy => tidy::command(),
        Command::Test(options) => test::command(&options),
        Command::Fixtures => fixtures::command(),
        Command::Reference(options) => reference::command(&options),
        Command::Codegen(options) => codegen::command(&options),
        Command::Dist(options) => dist::command(&options),
        Command::Bench(options) => bench::command(&options),
        Command::Campaign(options) => campaign::command(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What every command returns.
type CommandResult = Result<()>;
