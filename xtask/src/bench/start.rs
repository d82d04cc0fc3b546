//! `cargo xtask bench start`: how long an isolate takes to start and what an idle one weighs, against workerd.
//!
//! Ours is asked through the binary itself: `atoll __bench-start --isolates N --bundle FILE ...` starts N isolates of the bundle,
//! one after the other, has each answer one request, keeps them, and prints one JSON object:
//! `{"isolates": N, "start_us": [...], "answer_us": [...], "rss_before": bytes, "rss_after": bytes, ...}`, where a start is
//! everything from "no isolate" to "its modules are evaluated" and an answer everything from there to the handler's response.
//! It is asked in three ways: bare, with the code cache, and with an isolate that is ready as well. workerd has no such entry: a worker with a loader binding loads the bundle under N names, each into an isolate of its own at the first request
//! for that name; an answer is the time of that request. What the same request takes when the isolate is there already is
//! measured too, and shown.
//!
//! At last, many workers in one process, each its own, all idle: what each of them costs.

use super::process::{Server, free_port, get};
use super::report::{Spread, Stamp, machine, number, percentile, table};
use super::{Ours, Programs, check_machine, scratch};
use crate::{command, repository};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Compatibility date that both get.
const COMPATIBILITY_DATE: &str = "2026-10-01";
/// Requests that show what asking costs.
const WARM_REQUESTS: usize = 50;
/// Size of the large bundle, bytes.
const LARGE_BYTES: usize = 1_000_000;

/// Arguments of `cargo xtask bench start`.
#[derive(clap::Args)]
pub struct Options {
    /// How often each is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Numbers of isolates.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 500])]
    isolates: Vec<usize>,
    /// Number of idle workers in one process; 0 for none.
    #[arg(long, default_value_t = 2_000)]
    idle: usize,
    #[command(flatten)]
    ours: Ours,
}

/// What `atoll __bench-start` prints.
#[derive(Deserialize)]
struct Answer {
    start_us: Vec<f64>,
    answer_us: Vec<f64>,
    code_used: u64,
    rss_before: u64,
    rss_after: u64,
}

/// One measured run.
#[derive(Serialize)]
struct Run {
    round: usize,
    bundle: &'static str,
    server: &'static str,
    isolates: usize,
    /// To evaluated modules. Nobody can ask workerd.
    start_us: Vec<f64>,
    /// To the handler's answer.
    answer_us: Vec<f64>,
    /// What of an answer is the asking, not the start: the median of the same request to isolates that are there. 0 for ours.
    asking_us: f64,
    rss_per_isolate: f64,
}

/// Seconds without an event until isolates have been told to give memory back.
const REST_SECONDS: u64 = 13;

/// The ways in which ours is asked: name, words.
const WAYS: [(&str, &[&str]); 3] = [
    ("atoll", &[]),
    ("atoll, code cache", &["--code-cache"]),
    ("atoll, code cache, pooled", &["--code-cache", "--pooled"]),
];
/// The peer.
const WORKERD: &str = "workerd";

fn servers() -> impl Iterator<Item = &'static str> {
    WAYS.iter().map(|(name, _)| *name).chain([WORKERD])
}

/// `cargo xtask bench start`.
pub fn command(options: &Options) -> Result<()> {
    check_machine()?;
    let root = repository::root();
    let programs = Programs::prepare(&root, &options.ours)?;
    let scratch = scratch(&root)?.join("start");
    std::fs::create_dir_all(&scratch)?;
    let stamp = Stamp::now(&root, options.ours.mark())?;
    let machine = machine()?;
    let versions = programs.versions()?;
    std::fs::copy(root.join("benches/http/hello.js"), scratch.join("hello.js"))
        .context("copy benches/http/hello.js")?;
    std::fs::copy(root.join("benches/start/loader.js"), scratch.join("loader.js"))
        .context("copy benches/start/loader.js")?;
    std::fs::write(scratch.join("large.js"), large_bundle())?;

    let mut runs = Vec::new();
    for round in 1..=options.rounds {
        for bundle in ["hello", "large"] {
            for &isolates in &options.isolates {
                for server in servers() {
                    let way = WAYS.iter().find(|(name, _)| *name == server);
                    let run = match way {
                        Some(way) => ours(&programs, &scratch, bundle, isolates, round, *way),
                        None => workerd(&programs, &scratch, bundle, isolates, round),
                    };
                    let run = run.with_context(|| format!("{isolates} isolates of {bundle} in {server}"))?;
                    println!(
                        "round {round} {bundle:<6} {isolates:>4} isolates {server:<24} p50 {:>6} ms, p99 {:>6} ms, {:>6} MB each",
                        milliseconds(&run.answer_us, 0.5),
                        milliseconds(&run.answer_us, 0.99),
                        number(run.rss_per_isolate / 1e6)
                    );
                    runs.push(run);
                }
            }
        }
    }

    let mut text = format!(
        "# Isolates: start and weight\n\nDate {}, commit {}. {machine}.\n",
        stamp.date, stamp.commit
    );
    for (name, version) in versions.iter().filter(|(name, _)| name != "deno") {
        let _ = writeln!(text, "{name}: {version}");
    }
    let _ = write!(
        text,
        "\nOn CPU 0, {} rounds; cells: median (min-max) over the rounds of each round's p50 and p99. `large` is a module of {} bytes\n\
         of which a hundredth runs. `start` is from no isolate to evaluated modules, `answer` from there to the response of the handler.\n\
         An answer of workerd is the first request for a name that its loader\n\
         binding does not know, HTTP included: `of it asking` is what the same request takes once the isolate is there. Its loader hands\n\
         the bundle over as text at each start and compiles it anew; it has no code cache there.\n\
         RSS per isolate: growth of the process over N isolates, {REST_SECONDS} s after the last event.\n\n",
        options.rounds, LARGE_BYTES
    );
    let head = [
        "bundle",
        "isolates",
        "server",
        "start p50 ms",
        "answer p50 ms",
        "answer p99 ms",
        "of it asking ms",
        "RSS MB per isolate",
    ];
    let mut rows = Vec::new();
    for bundle in ["hello", "large"] {
        for &isolates in &options.isolates {
            for server in servers() {
                let of = |value: &dyn Fn(&Run) -> f64| {
                    let kept = runs
                        .iter()
                        .filter(|run| run.bundle == bundle && run.isolates == isolates && run.server == server);
                    Spread::of(kept.map(value)).map_or("-".to_owned(), |spread| spread.show())
                };
                let part = |part: f64| move |run: &Run| percentile(&run.answer_us, part).unwrap_or(f64::NAN) / 1000.0;
                let start = |run: &Run| percentile(&run.start_us, 0.5).unwrap_or(f64::NAN) / 1000.0;
                rows.push(vec![
                    bundle.to_owned(),
                    isolates.to_string(),
                    server.to_owned(),
                    if server == WORKERD { "-".to_owned() } else { of(&start) },
                    of(&part(0.5)),
                    of(&part(0.99)),
                    if server == WORKERD {
                        of(&|run: &Run| run.asking_us / 1000.0)
                    } else {
                        "-".to_owned()
                    },
                    of(&|run: &Run| run.rss_per_isolate / 1e6),
                ]);
            }
        }
    }
    text += &table(&head, &rows);
    let mut idle = Vec::new();
    if options.idle > 0 {
        for run in [
            ours(
                &programs,
                &scratch,
                "hello",
                options.idle,
                1,
                ("atoll", &["--distinct"]),
            )?,
            workerd(&programs, &scratch, "hello", options.idle, 1)?,
        ] {
            let _ = write!(
                text,
                "\n{} idle workers in one process, {}: {} MB each; answer p50 {} ms, p99 {} ms.\n",
                run.isolates,
                run.server,
                number(run.rss_per_isolate / 1e6),
                milliseconds(&run.answer_us, 0.5),
                milliseconds(&run.answer_us, 0.99)
            );
            idle.push(run);
        }
    }
    println!("\n{text}");
    let json = json!({ "date": stamp.date, "commit": stamp.commit, "machine": machine, "runs": runs, "idle": idle });
    let path = stamp.keep(&root, "start", &text, &json)?;
    println!("kept in {} and .json beside it", path.display());
    Ok(())
}

fn milliseconds(start_us: &[f64], part: f64) -> String {
    percentile(start_us, part).map_or("-".to_owned(), |value| number(value / 1000.0))
}

fn ours(
    programs: &Programs,
    scratch: &Path,
    bundle: &'static str,
    isolates: usize,
    round: usize,
    (server, words): (&'static str, &[&str]),
) -> Result<Run> {
    let mut atoll = Command::new("taskset");
    atoll.args(["-c", "0"]).arg(&programs.atoll).args([
        "__bench-start",
        "--isolates",
        &isolates.to_string(),
        "--idle",
        &REST_SECONDS.to_string(),
        "--bundle",
    ]);
    atoll.arg(scratch.join(format!("{bundle}.js"))).args(words);
    let text = command::output(&mut atoll)?;
    let answer: Answer = serde_json::from_str(&text).with_context(|| format!("read what it printed:\n{text}"))?;
    if answer.start_us.len() != isolates || answer.answer_us.len() != isolates {
        bail!("it started {} isolates", answer.start_us.len());
    }
    if words.contains(&"--code-cache") && answer.code_used < isolates as u64 {
        bail!(
            "only {} of {isolates} isolates took their code from the cache",
            answer.code_used
        );
    }
    Ok(Run {
        round,
        bundle,
        server,
        isolates,
        start_us: answer.start_us,
        answer_us: answer.answer_us,
        asking_us: 0.0,
        rss_per_isolate: (answer.rss_after as f64 - answer.rss_before as f64) / isolates as f64,
    })
}

fn workerd(programs: &Programs, scratch: &Path, bundle: &'static str, isolates: usize, round: usize) -> Result<Run> {
    let port = free_port()?;
    let config = format!(
        "using Workerd = import \"/workerd/workerd.capnp\";\n\
         const config :Workerd.Config = (\n  services = [(name = \"main\", worker = .main)],\n  \
         sockets = [(name = \"http\", address = \"127.0.0.1:{port}\", http = (), service = \"main\")]\n);\n\
         const main :Workerd.Worker = (\n  modules = [(name = \"worker\", esModule = embed \"loader.js\"), (name = \"bundle.txt\", text = embed \"{bundle}.js\")],\n  \
         compatibilityDate = \"{COMPATIBILITY_DATE}\", bindings = [(name = \"LOADER\", workerLoader = ())]\n);\n"
    );
    std::fs::write(scratch.join("config.capnp"), config)?;
    let program = programs.workerd.to_string_lossy().into_owned();
    let line = [
        program,
        "serve".to_owned(),
        "--experimental".to_owned(),
        "config.capnp".to_owned(),
    ];
    let server = Server::start(&line, scratch, port, "/", &scratch.join("server.log"))?;
    let before = server.usage()?;
    let ask = |path: &str| {
        let begin = Instant::now();
        let answer = get(server.address, path)?;
        if !answer.starts_with(b"HTTP/1.1 200") {
            bail!("{path} is answered with {:?}", String::from_utf8_lossy(&answer));
        }
        Ok(begin.elapsed().as_secs_f64() * 1e6)
    };
    let answer_us = (0..isolates)
        .map(|n| ask(&format!("/{n}")))
        .collect::<Result<Vec<_>>>()?;
    std::thread::sleep(Duration::from_secs(REST_SECONDS));
    let after = server.usage()?;
    let again = (0..isolates.min(WARM_REQUESTS))
        .map(|n| ask(&format!("/{n}")))
        .collect::<Result<Vec<_>>>()?;
    Ok(Run {
        round,
        bundle,
        server: WORKERD,
        isolates,
        start_us: Vec::new(),
        answer_us,
        asking_us: percentile(&again, 0.5).unwrap_or(0.0),
        rss_per_isolate: (after.rss as f64 - before.rss as f64) / isolates as f64,
    })
}

/// A module of about a megabyte as bundles of applications are: many functions, some tables, little of it run at start-up.
fn large_bundle() -> String {
    let mut text = String::new();
    let mut n = 0;
    while text.len() < LARGE_BYTES {
        let _ = write!(
            text,
            "const table{n} = [\"route {n}\", {{ method: \"GET\", weight: {n}, tags: [\"a{n}\", \"b{n}\"] }}];\n\
             class Handler{n} {{\n  #state = {n};\n  constructor(options) {{\n    this.options = options;\n  }}\n  \
             handle(request) {{\n    if (request.weight > this.#state) return table{n}[0];\n    \
             return request.tags.map((tag) => `${{tag}}:${{this.#state}}`).filter((tag) => tag.length > {n}).join(\",\");\n  }}\n}}\n"
        );
        n += 1;
    }
    let _ = write!(text, "const handlers = [");
    for used in (0..n).step_by(100) {
        let _ = write!(text, "new Handler{used}(table{used}[1]),");
    }
    text + "];\nexport default {\n  fetch() {\n    return new Response(handlers[1].handle({ weight: 1, tags: [\"x\"] }) ?? \"\");\n  },\n};\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_large_bundle_is_large() {
        let text = large_bundle();
        assert!(
            (LARGE_BYTES..LARGE_BYTES + 50_000).contains(&text.len()),
            "{}",
            text.len()
        );
        assert!(text.contains("new Handler0(table0[1])") && text.contains("export default"));
    }
}
