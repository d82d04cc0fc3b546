//! `cargo xtask bench neighbour`: what a worker that spins does to another one's answers.
//!
//! An open loop: requests leave at fixed times whatever became of those before, over as many connections as that takes, and
//! each one's latency counts from the time at which it was to leave. So a server that stands still for a while pays with
//! every request of that while, not with one.
//!
//! The server is on CPU 0, the generator on CPU 1. The spinning worker computes without end: once under its default limit
//! (one spin lasts for the whole run), once under a limit of 50 ms, after which it is stopped, answered and asked again, so
//! that isolates end and start beside the neighbour all the time.

use super::process::{Server, body, free_port, get, machine_cpu};
use super::report::{Stamp, machine, number, percentile, table};
use super::{Ours, Programs, check_machine, scratch};
use crate::repository;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Requests to the neighbour each second.
const RATE: u32 = 200;
/// Connections, and threads that drive them: one takes a request each 320 ms.
const CONNECTIONS: u32 = 64;
/// How long an answer may take before the run fails.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// What the spinning worker may use in the second kind of run, milliseconds.
const SPIN_MS: u64 = 50;
/// The bar: p99 at most the larger of this many times the quiet one ...
const FACTOR_MAX: f64 = 2.0;
/// ... and the quiet one and so many milliseconds.
const EXTRA_MAX_MS: f64 = 8.0;
/// Compatibility date of the workers.
const COMPATIBILITY_DATE: &str = "2026-10-01";

const NEIGHBOUR: &str = "export default { fetch() { return new Response(\"hello\"); } };\n";
const SPIN: &str = "export default { fetch(request) {\n  if (new URL(request.url).pathname !== \"/spin\") return new Response(\"ready\");\n  for (;;) ;\n} };\n";

/// Arguments of `cargo xtask bench neighbour`.
#[derive(clap::Args)]
pub struct Options {
    /// Seconds of each run.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How often each run is done.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    ours: Ours,
}

/// What goes on beside the neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Beside {
    Nothing,
    /// One spin.
    Forever,
    /// Spins that are stopped at 50 ms, one after the other.
    Stopped,
}

impl Beside {
    const ALL: [Self; 3] = [Self::Nothing, Self::Forever, Self::Stopped];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "quiet",
            Self::Forever => "beside one endless spin",
            Self::Stopped => "beside spins that are stopped at 50 ms",
        }
    }
}

/// One run.
#[derive(Debug, Serialize)]
struct Run {
    isolation: &'static str,
    beside: Beside,
    round: usize,
    /// From when a request was to leave to the end of its answer, milliseconds, in the order of the requests.
    latencies_ms: Vec<f64>,
    /// Spins that were answered (with an error: they were stopped).
    spins: u64,
    /// Requests that left more than a millisecond late.
    late: u64,
    /// CPU time that the machine's host took away, percent of one CPU.
    steal_percent: f64,
}

/// `cargo xtask bench neighbour`.
pub fn command(options: &Options) -> Result<()> {
    check_machine()?;
    let root = repository::root();
    let programs = Programs::prepare(&root, &options.ours)?;
    let scratch = scratch(&root)?.join("neighbour");
    write_projects(&scratch)?;
    let stamp = Stamp::now(&root, options.ours.mark())?;
    let machine = machine()?;
    pin_to_cpu_1()?;
    let mut runs = Vec::new();
    for round in 0..options.rounds {
        for isolation in ["shared", "cordon"] {
            for beside in Beside::ALL {
                let run = measure(&programs, &scratch, isolation, beside, round, options)
                    .with_context(|| format!("{isolation}, {}", beside.name()))?;
                let at = |part| percentile(&run.latencies_ms, part).unwrap_or(f64::NAN);
                println!(
                    "round {} {isolation:<7} {:<40} p50 {} p99 {} max {} ms",
                    round + 1,
                    beside.name(),
                    number(at(0.5)),
                    number(at(0.99)),
                    number(at(1.0))
                );
                runs.push(run);
            }
        }
    }
    let text = report(&runs, &stamp, &machine, options);
    println!("\n{text}");
    let json = json!({
        "date": stamp.date, "commit": stamp.commit, "machine": machine, "rate": RATE, "seconds": options.seconds, "runs": runs,
    });
    let path = stamp.keep(&root, "neighbour", &text, &json)?;
    println!("kept in {} and .json beside it", path.display());
    Ok(())
}

fn write_projects(scratch: &Path) -> Result<()> {
    for (name, module, limits) in [
        ("near", NEIGHBOUR, String::new()),
        ("spin-forever", SPIN, String::new()),
        (
            "spin-stopped",
            SPIN,
            format!(", \"limits\": {{ \"cpu_ms\": {SPIN_MS} }}"),
        ),
    ] {
        let directory = scratch.join(name);
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join("worker.js"), module)?;
        let config = format!(
            "{{ \"name\": \"{name}\", \"main\": \"worker.js\", \"no_bundle\": true, \
             \"compatibility_date\": \"{COMPATIBILITY_DATE}\"{limits} }}\n"
        );
        std::fs::write(directory.join("wrangler.jsonc"), config)?;
    }
    Ok(())
}

/// The generator stays off the server's CPU; threads made later inherit it.
fn pin_to_cpu_1() -> Result<()> {
    // SAFETY: an all-zero set is a valid one, `CPU_SET` writes within it, and the call reads it.
    let failed = unsafe {
        let mut cpus: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(1, &mut cpus);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const cpus)
    };
    if failed != 0 {
        bail!("the generator cannot be pinned: {}", std::io::Error::last_os_error());
    }
    Ok(())
}

fn measure(
    programs: &Programs,
    scratch: &Path,
    isolation: &'static str,
    beside: Beside,
    round: usize,
    options: &Options,
) -> Result<Run> {
    let port = free_port()?;
    let state = scratch.join("state");
    if state.exists() {
        std::fs::remove_dir_all(&state)?;
    }
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let spinning = match beside {
        Beside::Nothing | Beside::Forever => "spin-forever",
        Beside::Stopped => "spin-stopped",
    };
    let mut line = vec![text(&programs.atoll), "serve".to_owned()];
    for name in ["near", spinning] {
        line.extend(["--config".to_owned(), text(&scratch.join(name).join("wrangler.jsonc"))]);
    }
    line.extend(
        [
            "--host",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--log-level",
            "none",
        ]
        .map(str::to_owned),
    );
    line.extend(["--route", "*=near", "--route"].map(str::to_owned));
    line.push(format!("spin.test={spinning}"));
    line.extend(["--isolation", isolation, "--persist-to", &text(&state)].map(str::to_owned));
    let server = Server::start(&line, scratch, port, "/", &scratch.join("server.log"))?;
    let address = server.address;
    if body(&get(address, "/")?)? != b"hello" {
        bail!("the neighbour does not answer");
    }
    // Both workers are warm, and so are the connections' paths.
    for _ in 0..200 {
        get(address, "/")?;
    }
    if !ask(&mut connect(address)?, "spin.test", "/")?.ends_with("ready") {
        bail!("the spinning worker does not answer");
    }

    let over = Arc::new(AtomicBool::new(false));
    let spins = Arc::new(AtomicU64::new(0));
    let spinner = (beside != Beside::Nothing).then(|| {
        let (over, spins) = (over.clone(), spins.clone());
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                // An answer first: isolates that break before their first one are left alone for a while.
                let asked = connect(address).and_then(|mut stream| {
                    ask(&mut stream, "spin.test", "/")?;
                    ask(&mut stream, "spin.test", "/spin")
                });
                if asked.is_ok() {
                    spins.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    });
    // The spin has begun.
    thread::sleep(Duration::from_millis(300));
    let (_, steal_before) = machine_cpu()?;
    let begin = Instant::now() + Duration::from_millis(50);
    let total = RATE * u32::try_from(options.seconds).context("so many seconds")?;
    let drivers: Vec<_> = (0..CONNECTIONS)
        .map(|first| thread::spawn(move || drive(address, begin, first, total)))
        .collect();
    let mut answered = Vec::with_capacity(total as usize);
    for driver in drivers {
        let part = driver.join().map_err(|_| anyhow::anyhow!("a driver panicked"))?;
        answered.extend(part?);
    }
    let (_, steal_after) = machine_cpu()?;
    over.store(true, Ordering::Relaxed);
    let elapsed_us = begin.elapsed().as_micros() as f64;
    drop(server);
    if let Some(spinner) = spinner {
        spinner.join().map_err(|_| anyhow::anyhow!("the spinner panicked"))?;
    }
    answered.sort_by_key(|(number, ..)| *number);
    Ok(Run {
        isolation,
        beside,
        round: round + 1,
        late: answered
            .iter()
            .filter(|(_, late, _)| *late > Duration::from_millis(1))
            .count() as u64,
        latencies_ms: answered
            .iter()
            .map(|(_, _, latency)| latency.as_secs_f64() * 1e3)
            .collect(),
        spins: spins.load(Ordering::Relaxed),
        steal_percent: (steal_after - steal_before) as f64 / elapsed_us * 100.0,
    })
}

/// Requests `first`, `first + CONNECTIONS`, and so on, each at its time: number, how late it left, latency.
fn drive(address: SocketAddr, begin: Instant, first: u32, total: u32) -> Result<Vec<(u32, Duration, Duration)>> {
    // SAFETY: a plain number. The default slack of 50 microseconds would be part of every latency.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    let mut stream = connect(address)?;
    let mut answered = Vec::new();
    for number in (first..total).step_by(CONNECTIONS as usize) {
        let intended = begin + Duration::from_secs(1) * number / RATE;
        thread::sleep(intended.saturating_duration_since(Instant::now()));
        let late = intended.elapsed();
        let answer = ask(&mut stream, "near.test", "/")?;
        if !answer.ends_with("hello") {
            bail!("request {number} was answered with:\n{answer}");
        }
        answered.push((number, late, intended.elapsed()));
    }
    Ok(answered)
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_MAX * 3))?;
    Ok(stream)
}

/// One GET on a connection that stays; the whole answer, which must announce its length.
fn ask(stream: &mut TcpStream, host: &str, path: &str) -> Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            bail!("the connection ended within an answer");
        }
        answer.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, rest)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.with_context(|| format!("no length:\n{head}"))?;
        if rest.len() >= length {
            return Ok(text.into_owned());
        }
    }
}

fn report(runs: &[Run], stamp: &Stamp, machine: &str, options: &Options) -> String {
    let mut text = format!(
        "# A neighbour that spins\n\nDate {}, commit {}. {machine}.\n\n\
         An open loop of {RATE} requests/s to one worker for {} s, {} rounds; another worker of the same server computes without end. \
         Server on CPU 0,\ngenerator on CPU 1. Latency from the time at which a request was to leave to the end of its answer, milliseconds; \
         all rounds together.\nBar: p99 at most the larger of {FACTOR_MAX} times the quiet one and the quiet one and {EXTRA_MAX_MS} ms.\n",
        stamp.date, stamp.commit, options.seconds, options.rounds
    );
    let head = [
        "isolation",
        "beside",
        "n",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "p99 by round",
        "bar",
        "held",
        "spins",
        "late",
    ];
    let mut rows = Vec::new();
    for isolation in ["shared", "cordon"] {
        let of = |beside: Beside| -> Vec<&Run> {
            runs.iter()
                .filter(|run| run.isolation == isolation && run.beside == beside)
                .collect()
        };
        let all = |beside: Beside| -> Vec<f64> { of(beside).iter().flat_map(|run| run.latencies_ms.clone()).collect() };
        let quiet = percentile(&all(Beside::Nothing), 0.99).unwrap_or(f64::NAN);
        let bar = (quiet * FACTOR_MAX).max(quiet + EXTRA_MAX_MS);
        for beside in Beside::ALL {
            let latencies = all(beside);
            let at = |part: f64| percentile(&latencies, part).unwrap_or(f64::NAN);
            let rounds: Vec<String> = of(beside)
                .iter()
                .map(|run| number(percentile(&run.latencies_ms, 0.99).unwrap_or(f64::NAN)))
                .collect();
            let is_quiet = beside == Beside::Nothing;
            rows.push(vec![
                isolation.to_owned(),
                beside.name().to_owned(),
                latencies.len().to_string(),
                number(at(0.5)),
                number(at(0.9)),
                number(at(0.99)),
                number(at(0.999)),
                number(at(1.0)),
                rounds.join(", "),
                if is_quiet { "-".to_owned() } else { number(bar) },
                if is_quiet {
                    "-"
                } else if at(0.99) <= bar {
                    "yes"
                } else {
                    "NO"
                }
                .to_owned(),
                of(beside).iter().map(|run| run.spins).sum::<u64>().to_string(),
                of(beside).iter().map(|run| run.late).sum::<u64>().to_string(),
            ]);
        }
    }
    text += &format!("\n{}\n", table(&head, &rows));
    text += "- spins: how many were stopped and answered. late: requests that left more than a millisecond after their time (it counts \
             as latency).\n";
    text
}
