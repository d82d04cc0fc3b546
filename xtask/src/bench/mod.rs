//! `cargo xtask bench`: our release binary beside its peers, interleaved in one run on one machine.
//!
//! Rules: server on CPU 0, load generator on CPU 1; a fresh server for each run; rounds that go over all servers in turn; server
//! CPU time per request as the first figure (throughput alone hides who was the limit); medians with the smallest and largest
//! value; ratios made within a round; runs that other processes disturbed are dropped and counted; raw output is kept.

mod deploy;
mod http;
pub(crate) mod load;
mod neighbour;
pub(crate) mod process;
mod report;
mod start;

use crate::{CommandResult, command, dist, npm, repository};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Servers that we are measured against, and what builds the cases.
const PEERS: &str = "benches/peers";

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Server CPU per request: hello, JSON, Hono, KV read, streamed HTML; against workerd, deno and Node.
    Http(http::Options),
    /// From an upload until three PoPs, and three hundred simulated ones, serve it.
    Deploy(deploy::Options),
    /// Latency of a worker while another one spins.
    Neighbour(neighbour::Options),
    /// Start of an isolate and memory of idle ones; against workerd.
    Start(start::Options),
}

/// `cargo xtask bench`.
pub fn command(options: &Options) -> CommandResult {
    match &options.what {
        What::Http(options) => http::command(options),
        What::Deploy(options) => deploy::command(options),
        What::Neighbour(options) => neighbour::command(options),
        What::Start(options) => start::command(options),
    }
}

/// Which of our binaries is measured.
#[derive(clap::Args)]
struct Ours {
    /// This binary instead of a fresh release build.
    #[arg(long, value_name = "FILE")]
    atoll: Option<PathBuf>,
    /// The binary for distribution, as the peers' are: `cargo xtask dist`, with the profile of its last training if there is one. Takes
    /// an hour without, half of one with it, nothing if it is there.
    #[arg(long, conflicts_with = "atoll")]
    dist: bool,
}

impl Ours {
    /// Where it is, built if it was not given.
    fn prepare(&self, root: &Path) -> Result<PathBuf> {
        if let Some(path) = &self.atoll {
            return Ok(path.clone());
        }
        if self.dist {
            return dist::binary(root);
        }
        println!("building the release binary");
        command::run(
            command::cargo()
                .current_dir(root)
                .args(["build", "--release", "--locked", "-p", "atoll"]),
        )?;
        Ok(repository::target_dir(root).join("release/atoll"))
    }

    /// What of it belongs to the name of a result.
    fn mark(&self) -> Option<&'static str> {
        match (self.atoll.is_some(), self.dist) {
            (true, _) => Some("given"),
            (false, true) => Some("dist"),
            (false, false) => None,
        }
    }
}

/// The programs of a run.
struct Programs {
    atoll: PathBuf,
    workerd: PathBuf,
    deno: PathBuf,
    esbuild: PathBuf,
}

impl Programs {
    /// Installs the peers and builds our binary, unless one is given.
    fn prepare(root: &Path, ours: &Ours) -> Result<Self> {
        match npm::install(root, PEERS, false) {
            Ok(how) => println!("{how}"),
            Err(why) => bail!("the peers cannot be installed: {why}"),
        }
        let modules = root.join(PEERS).join("node_modules");
        let programs = Self {
            atoll: ours.prepare(root)?,
            workerd: modules.join("@cloudflare/workerd-linux-64/bin/workerd"),
            deno: modules.join("@deno/linux-x64-glibc/deno"),
            esbuild: modules.join("@esbuild/linux-x64/bin/esbuild"),
        };
        for path in [&programs.atoll, &programs.workerd, &programs.deno, &programs.esbuild] {
            if !path.is_file() {
                bail!("{} does not exist (the benchmarks run on Linux x86-64)", path.display());
            }
        }
        Ok(programs)
    }

    /// What each says of its version.
    fn versions(&self) -> Result<Vec<(String, String)>> {
        let mut versions = Vec::new();
        let node = PathBuf::from("node");
        for (name, path) in [
            ("atoll", &self.atoll),
            ("workerd", &self.workerd),
            ("deno", &self.deno),
            ("node", &node),
        ] {
            let text = command::output(Command::new(path).arg("--version"))?;
            versions.push((name.to_owned(), text.lines().next().unwrap_or("").to_owned()));
        }
        Ok(versions)
    }
}

/// Where scratch files of a benchmark lie.
fn scratch(root: &Path) -> Result<PathBuf> {
    let path = repository::target_dir(root).join("bench");
    std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
    Ok(path)
}

/// Two CPUs are needed: one for the server, one for the load.
fn check_machine() -> Result<()> {
    let cpus = std::thread::available_parallelism()?.get();
    if cpus < 2 {
        bail!("the benchmarks need two CPUs, there is {cpus}");
    }
    if !repository::has_program("taskset") {
        bail!("taskset (Debian package util-linux) is not installed");
    }
    Ok(())
}
