//! The campaign `terminate`: a server is replaced under load again and again, and no request may fail.
//!
//! ```text
//! cargo xtask campaign terminate --count 100 --seed 1
//! cargo xtask campaign terminate --count 100 -- --mode reload
//! cargo xtask campaign terminate --count 1000 -- --mode rolling
//! cargo xtask campaign terminate --count 100 -- --http2 24          more clients of HTTP/2 than the two
//! ```
//!
//! Clients of every kind ask without a pause: HTTP/1 over kept connections and over new ones, streamed answers, streamed
//! uploads, HTTP/2 with several streams, WebSockets. Meanwhile, in mode `terminate`, a successor is started on the same port
//! (`--reuse-port`), and once it is ready the one before gets SIGTERM at a moment that the seed chooses; it must end with
//! status 0. In mode `reload` the one server gets SIGHUP. In mode `rolling` its child processes are replaced (SIGUSR2).
//!
//! **What counts as failed.** Every request whose answer did not come whole and right, with two exceptions, which are tried
//! again, and counted apart:
//!
//! - *not sent*: the connection said goodbye (`Connection: close`, GOAWAY) or was closed before a byte of the request was
//!   written, as the client library knows by giving the request back;
//! - *refused*: the server said in the protocol that it did not process the request: HTTP/2 REFUSED_STREAM, or GOAWAY with a
//!   lower last stream (RFC 9113 section 8.7).
//!
//! An HTTP/1 connection that closes after the request was sent and before its answer begins is a failure here, even where RFC
//! 9110 section 9.2.2 lets a client repeat the request because its method is idempotent: the server avoids it by keeping idle
//! connections for the request that may be on its way. So is a refused connection. A WebSocket must end with close code 1001
//! and all echoes of what was sent before when the server stops. A reload leaves it alone for the 30 seconds that a replaced
//! version has; clients close theirs before.

mod client;
mod server;
mod tally;

use anyhow::{Context, Result, bail};
use server::{Binary, Server};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tally::Tally;

/// How long clients go on before the first signal and after the last.
const WARM_UP: Duration = Duration::from_millis(500);
/// The longest pause between a successor's readiness and the signal, milliseconds.
const PAUSE_MS_MAX: u64 = 120;
/// Failures that are told in full.
const TOLD_MAX: usize = 20;
/// Progress is told every so many cycles.
const PROGRESS: u64 = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
/// What happens to the server.
pub enum Mode {
    /// A successor comes, and it gets SIGTERM.
    Terminate,
    /// SIGHUP.
    Reload,
    /// SIGUSR2.
    Rolling,
}

impl Mode {
    /// How long a socket is used before its client closes it. Less than a replaced version may go on with what it has (30 s);
    /// a rolling restart waits for the last of a child's sockets, so that they decide how many there are in a minute.
    pub fn socket_lifetime(self) -> Duration {
        match self {
            Self::Terminate | Self::Reload => Duration::from_secs(10),
            Self::Rolling => Duration::from_millis(150),
        }
    }
}

/// The words.
pub struct Options {
    count: u64,
    /// Of everything that is chosen at random.
    pub seed: u64,
    /// What happens.
    pub mode: Mode,
    /// Clients of HTTP/2, where they are what is looked at.
    pub http2: u64,
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same seed gives the same moments.
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each `stream`.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Less than `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn main() -> ExitCode {
    match options().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options> {
    let mut options = Options {
        count: 10,
        seed: 1,
        mode: Mode::Terminate,
        http2: client::HTTP2,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} has no value"))?;
        match &*word {
            "--count" => options.count = value.parse().context("--count")?,
            "--seed" => options.seed = value.parse().context("--seed")?,
            "--http2" => options.http2 = value.parse().context("--http2")?,
            "--mode" => {
                options.mode = match &*value {
                    "terminate" => Mode::Terminate,
                    "reload" => Mode::Reload,
                    "rolling" => Mode::Rolling,
                    other => bail!("no mode \"{other}\"; there are terminate, reload and rolling"),
                }
            }
            other => bail!("unknown word {other}"),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn run(options: Options) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    write_project(&project)?;
    let binary = Binary {
        path: binary()?,
        project,
        cordon: options.mode == Mode::Rolling,
    };
    let mut server = Server::start(&binary, 0).await?;
    let address = server.address;
    let tally = Arc::new(Tally::default());
    let clients = client::start(&options, address, &tally);
    tokio::time::sleep(WARM_UP).await;

    let begun = Instant::now();
    let mut random = Random::new(options.seed, u64::MAX);
    for cycle in 1..=options.count {
        let pause = Duration::from_millis(random.below(PAUSE_MS_MAX));
        let done = match options.mode {
            Mode::Terminate => replace(&binary, &mut server, pause).await,
            Mode::Reload => server.reload(pause).await,
            Mode::Rolling => server.restart_children(pause).await,
        };
        done.with_context(|| format!("cycle {cycle} of seed {}", options.seed))?;
        if cycle % PROGRESS == 0 || cycle == options.count {
            println!("cycle {cycle}: {}", tally.line());
        }
        if tally.failed() > 0 {
            break;
        }
    }
    let elapsed = begun.elapsed();
    tokio::time::sleep(WARM_UP).await;
    clients.stop().await;
    server.terminate().await.context("the last server")?;

    println!("{} in {elapsed:.1?}: {}", options.count, tally.line());
    println!("{}", tally.table());
    let failures = tally.failures();
    for failure in failures.iter().take(TOLD_MAX) {
        println!("FAILED {failure}");
    }
    if !failures.is_empty() {
        bail!(
            "{} requests failed; seed {} repeats the moments",
            failures.len(),
            options.seed
        );
    }
    tally.check_all_kinds()
}

/// A successor comes, the one before goes.
async fn replace(binary: &Binary, server: &mut Server, pause: Duration) -> Result<()> {
    let successor = Server::start(binary, server.address.port())
        .await
        .context("the successor")?;
    tokio::time::sleep(pause).await;
    std::mem::replace(server, successor).terminate().await
}

/// `ATOLL_BIN`, or the program beside this one's directory (`target/PROFILE/examples`).
fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ATOLL_BIN") {
        return Ok(path.into());
    }
    let here = std::env::current_exe()?;
    let path = here
        .ancestors()
        .nth(2)
        .map(|folder| folder.join("atoll"))
        .unwrap_or_default();
    if !path.is_file() {
        bail!(
            "{} does not exist: `cargo build` makes it (or set ATOLL_BIN)",
            path.display()
        );
    }
    Ok(path)
}

fn write_project(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("worker.js"), include_str!("worker.js"))?;
    std::fs::write(
        folder.join("wrangler.json"),
        r#"{ "name": "load", "main": "worker.js", "no_bundle": true, "compatibility_date": "2026-08-01" }"#,
    )?;
    Ok(())
}
