//! `cargo xtask bench http`: the same small applications on our server, workerd, `deno serve` and Node.

use super::load::{self, Load};
use super::process::{Server, body, free_port, get, machine_cpu};
use super::report::{Spread, Stamp, machine, number, table};
use super::{Ours, Programs, check_machine, scratch};
use crate::{command, repository};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Keep-alive connections of the load.
const CONNECTIONS: u32 = 32;
/// Where what a process boundary costs is measured.
const CONNECTIONS_CORDON: u32 = 64;
/// Compatibility date that all servers get; the newest that the peer knows.
const COMPATIBILITY_DATE: &str = "2026-10-01";

/// Arguments of `cargo xtask bench http`.
#[derive(clap::Args)]
pub struct Options {
    /// How often each server runs each case.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measured run.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Seconds of load before each measured run.
    #[arg(long, default_value_t = 3)]
    warm_up: u64,
    /// Only this case; may be repeated.
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,
    /// Drop runs in which other processes used more than this share of one CPU, percent.
    #[arg(long, default_value_t = 6.0)]
    disturbance: f64,
    #[command(flatten)]
    ours: Ours,
}

/// One application under one load.
struct Case {
    name: &'static str,
    /// The application, in `benches/http`.
    source: &'static str,
    connections: u32,
    /// Who runs it.
    servers: &'static [Who],
    /// What is requested.
    path: &'static str,
    /// What is requested once before, to make what the case reads.
    prepare: Option<&'static str>,
    about: &'static str,
}

const EVERYBODY: [Who; 7] = [
    Who::Atoll,
    Who::Alone,
    Who::Cordon,
    Who::Ceiling,
    Who::Workerd,
    Who::Deno,
    Who::Node,
];
const EVERYBODY_AND_STATIC: [Who; 8] = [
    Who::Atoll,
    Who::Alone,
    Who::Cordon,
    Who::Ceiling,
    Who::Static,
    Who::Workerd,
    Who::Deno,
    Who::Node,
];

const CASES: [Case; 9] = [
    Case {
        name: "hello",
        source: "hello",
        connections: CONNECTIONS,
        servers: &EVERYBODY_AND_STATIC,
        path: "/",
        prepare: None,
        about: "a fixed text of 5 bytes",
    },
    Case {
        name: "json",
        source: "json",
        connections: CONNECTIONS,
        servers: &EVERYBODY,
        path: "/api/item?id=7",
        prepare: None,
        about: "URL parsed, an object serialized",
    },
    Case {
        name: "hono",
        source: "hono",
        connections: CONNECTIONS,
        servers: &EVERYBODY,
        path: "/api/v1/users/7/posts/42",
        prepare: None,
        about: "Hono 4.13.19, 20 routes, one middleware",
    },
    Case {
        name: "kv",
        source: "kv",
        connections: CONNECTIONS,
        servers: &EVERYBODY,
        path: "/",
        prepare: Some("/fill"),
        about: "one KV read of 90 bytes; ours from the store, the peers' from memory",
    },
    Case {
        name: "kv-none",
        source: "kv-none",
        connections: CONNECTIONS,
        servers: &[Who::Atoll, Who::Cordon],
        path: "/",
        prepare: None,
        about: "what the KV case does, without the read",
    },
    Case {
        name: "stream",
        source: "stream",
        connections: CONNECTIONS,
        servers: &EVERYBODY_AND_STATIC,
        path: "/",
        prepare: None,
        about: "100 KiB of HTML in 25 pulled pieces",
    },
    Case {
        name: "hello-64",
        source: "hello",
        connections: CONNECTIONS_CORDON,
        servers: &[Who::Atoll, Who::Cordon, Who::Ceiling],
        path: "/",
        prepare: None,
        about: "hello over 64 connections",
    },
    Case {
        name: "json-64",
        source: "json",
        connections: CONNECTIONS_CORDON,
        servers: &[Who::Atoll, Who::Cordon, Who::Ceiling],
        path: "/api/item?id=7",
        prepare: None,
        about: "json over 64 connections",
    },
    Case {
        name: "stream-64",
        source: "stream",
        connections: CONNECTIONS_CORDON,
        servers: &[Who::Atoll, Who::Cordon, Who::Ceiling],
        path: "/",
        prepare: None,
        about: "stream over 64 connections",
    },
];

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Who {
    /// `--isolation shared`.
    Atoll,
    /// `--isolation alone`.
    Alone,
    /// `--isolation cordon`.
    Cordon,
    /// Our front over a worker that is not there: no JavaScript, the ceiling.
    Ceiling,
    /// Our server answering with a static asset of the same bytes.
    Static,
    Workerd,
    Deno,
    Node,
}

impl Who {
    const ALL: [Self; 8] = [
        Self::Atoll,
        Self::Alone,
        Self::Cordon,
        Self::Ceiling,
        Self::Static,
        Self::Workerd,
        Self::Deno,
        Self::Node,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Atoll => "atoll, shared",
            Self::Alone => "atoll, alone",
            Self::Cordon => "atoll, cordon",
            Self::Ceiling => "atoll, no JavaScript (ceiling)",
            Self::Static => "atoll, static asset",
            Self::Workerd => "workerd",
            Self::Deno => "deno",
            Self::Node => "node",
        }
    }
}

/// One measured run.
#[derive(Debug, Clone, Serialize)]
struct Run {
    round: usize,
    case: &'static str,
    server: Who,
    /// Server CPU time in the measured window, microseconds.
    server_cpu_us: u64,
    /// The same for each answer: the first figure.
    cpu_us_per_request: f64,
    /// Resident memory at the end of the load, bytes.
    rss_bytes: u64,
    /// CPU time of everything that was neither server nor generator, percent of one CPU.
    other_cpu_percent: f64,
    /// CPU time that the machine's host took away, percent of one CPU.
    steal_percent: f64,
    /// Too much else was going on: not counted.
    dropped: bool,
    load: Load,
}

/// `cargo xtask bench http`.
pub fn command(options: &Options) -> Result<()> {
    check_machine()?;
    load::prepare()?;
    let root = repository::root();
    let programs = Programs::prepare(&root, &options.ours)?;
    let scratch = scratch(&root)?.join("http");
    let cases: Vec<&Case> = if options.cases.is_empty() {
        CASES.iter().collect()
    } else {
        let find = |name: &String| {
            CASES
                .iter()
                .find(|case| case.name == name)
                .with_context(|| format!("no case \"{name}\""))
        };
        options.cases.iter().map(find).collect::<Result<_>>()?
    };
    let stamp = Stamp::now(&root, options.ours.mark())?;
    let machine = machine()?;
    let versions = programs.versions()?;
    write_projects(&root, &programs, &scratch)?;

    let mut runs = Vec::new();
    let begin = Instant::now();
    for round in 0..options.rounds {
        for case in &cases {
            let mut servers = case.servers.to_vec();
            let count = servers.len();
            // Each server takes each place in the order once in a while.
            servers.rotate_left(round % count);
            let mut bodies: BTreeMap<Who, Vec<u8>> = BTreeMap::new();
            for who in servers {
                let (run, body) = measure(&programs, &scratch, case, who, round, options)
                    .with_context(|| format!("case {} on {}", case.name, who.name()))?;
                println!(
                    "[{:>5.0?}] round {} {:<6} {:<30} {:>8} us/request {:>9} requests/s{}",
                    begin.elapsed(),
                    round + 1,
                    case.name,
                    who.name(),
                    number(run.cpu_us_per_request),
                    number(run.load.requests_per_second),
                    if run.dropped { " (disturbed: dropped)" } else { "" }
                );
                runs.push(run);
                bodies.insert(who, body);
            }
            let different = bodies.iter().find(|(_, body)| Some(*body) != bodies.values().next());
            if let Some((who, _)) = different {
                bail!(
                    "case {}: {} does not answer with the same bytes as the others",
                    case.name,
                    who.name()
                );
            }
        }
    }
    let text = report(&cases, &runs, &stamp, &machine, &versions, options);
    println!("\n{text}");
    let versions: BTreeMap<_, _> = versions.into_iter().collect();
    let json = json!({
        "date": stamp.date, "commit": stamp.commit, "machine": machine, "versions": versions,
        "connections": cases.iter().map(|case| (case.name, case.connections)).collect::<BTreeMap<_, _>>(), "seconds": options.seconds, "warm_up_seconds": options.warm_up,
        "disturbance_percent": options.disturbance, "runs": runs,
    });
    let path = stamp.keep(&root, "http", &text, &json)?;
    println!("kept in {} and .json beside it", path.display());
    Ok(())
}

/// Writes each application as a project of ours, a configuration of workerd and a module of deno.
fn write_projects(root: &Path, programs: &Programs, scratch: &Path) -> Result<()> {
    let sources = root.join("benches/http");
    for case in CASES.iter().filter(|case| case.name == case.source) {
        let directory = scratch.join(case.name);
        std::fs::create_dir_all(&directory)?;
        let module = directory.join("worker.js");
        // All get the same bundled bytes.
        let mut esbuild = Command::new(&programs.esbuild);
        esbuild
            .current_dir(&sources)
            .env("NODE_PATH", root.join(super::PEERS).join("node_modules"));
        esbuild.args([
            &format!("{}.js", case.name),
            "--bundle",
            "--format=esm",
            "--target=esnext",
            "--log-level=warning",
        ]);
        esbuild.arg(format!("--outfile={}", module.display()));
        command::run(&mut esbuild)?;
        let kv = if case.source == "kv" {
            r#", "kv_namespaces": [{ "binding": "KV", "id": "00000000000000000000000000000001" }]"#
        } else {
            ""
        };
        let config = format!(
            "{{ \"name\": \"bench-{}\", \"main\": \"worker.js\", \"no_bundle\": true, \"compatibility_date\": \"{COMPATIBILITY_DATE}\"{kv} }}\n",
            case.name
        );
        std::fs::write(directory.join("wrangler.jsonc"), config)?;
        for file in ["kv-service.js", "kv-deno.js", "node.mjs"] {
            // The module that wraps the handler for deno imports it by the handler's own name.
            let text = std::fs::read_to_string(sources.join(file))?.replace("./kv.js", "./worker.js");
            std::fs::write(directory.join(file), text)?;
        }
        std::fs::write(directory.join("package.json"), "{ \"type\": \"module\" }\n")?;
        let modules = directory.join("node_modules");
        if modules.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(root.join(super::PEERS).join("node_modules"), modules)?;
        }
    }
    let directory = scratch.join("static");
    std::fs::create_dir_all(directory.join("public"))?;
    let config = format!(
        "{{ \"name\": \"bench-static\", \"compatibility_date\": \"{COMPATIBILITY_DATE}\", \"assets\": {{ \"directory\": \"public\" }} }}\n"
    );
    std::fs::write(directory.join("wrangler.jsonc"), config)?;
    std::fs::write(directory.join("public/hello.txt"), "hello")?;
    let row = "<tr><td>streamed</td><td>row of the page</td></tr>\n";
    let piece: String = row.chars().cycle().take(4096).collect();
    std::fs::write(directory.join("public/stream.html"), piece.repeat(25))?;
    Ok(())
}

/// The command line of a server, the folder it runs in, and the path to ask for.
fn command_line(
    programs: &Programs,
    scratch: &Path,
    case: &Case,
    who: Who,
    port: u16,
) -> Result<(Vec<String>, PathBuf, &'static str)> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let directory = scratch.join(case.source);
    let atoll = |directory: &Path, isolation: &str| {
        // Each run starts on an empty store.
        let state = scratch.join("state");
        if state.exists() {
            std::fs::remove_dir_all(&state)?;
        }
        let mut line = vec![text(&programs.atoll), "serve".to_owned(), text(directory)];
        line.extend(
            [
                "--host",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--log-level",
                "error",
            ]
            .map(str::to_owned),
        );
        line.extend(["--isolation", isolation, "--persist-to"].map(str::to_owned));
        line.push(text(&state));
        anyhow::Ok(line)
    };
    let answer = scratch.join("static/public").join(if case.source == "stream" {
        "stream.html"
    } else {
        "hello.txt"
    });
    Ok(match who {
        Who::Atoll => (atoll(&directory, "shared")?, directory, case.path),
        Who::Alone => (atoll(&directory, "alone")?, directory, case.path),
        Who::Cordon => (atoll(&directory, "cordon")?, directory, case.path),
        Who::Ceiling => {
            let mut line = vec![text(&programs.atoll), "__bench-ceiling".to_owned()];
            line.extend(["--port", &port.to_string(), "--body", &text(&ceiling(scratch, case))].map(str::to_owned));
            let (content_type, pieces) = match case.source {
                "stream" => ("text/html", "25"),
                "json" | "hono" => ("application/json", "1"),
                _ => ("text/plain;charset=UTF-8", "1"),
            };
            line.extend(["--type", content_type, "--pieces", pieces].map(str::to_owned));
            (line, directory, case.path)
        }
        Who::Static => {
            let directory = scratch.join("static");
            let path = if answer.ends_with("hello.txt") {
                "/hello.txt"
            } else {
                "/stream"
            };
            (atoll(&directory, "shared")?, directory, path)
        }
        Who::Workerd => {
            std::fs::write(directory.join("config.capnp"), workerd_config(case, port))?;
            (
                vec![text(&programs.workerd), "serve".to_owned(), "config.capnp".to_owned()],
                directory,
                case.path,
            )
        }
        Who::Deno => {
            let mut line = vec![text(&programs.deno), "serve".to_owned()];
            line.extend(["--host", "127.0.0.1", "--port", &port.to_string(), "--unstable-kv"].map(str::to_owned));
            line.push(if case.source == "kv" { "kv-deno.js" } else { "worker.js" }.to_owned());
            (line, directory, case.path)
        }
        Who::Node => (
            ["node", "node.mjs", case.source, &port.to_string()]
                .map(str::to_owned)
                .to_vec(),
            directory,
            case.path,
        ),
    })
}

/// The bytes that every server of the case answers with; the first answer of our worker is kept for the ceiling.
fn ceiling(scratch: &Path, case: &Case) -> PathBuf {
    scratch.join(case.source).join("answer")
}

fn workerd_config(case: &Case, port: u16) -> String {
    let kv = case.source == "kv";
    let service = if kv {
        r#", (name = "store", worker = .store)"#
    } else {
        ""
    };
    let binding = if kv {
        r#", bindings = [(name = "KV", kvNamespace = "store")]"#
    } else {
        ""
    };
    let store = if kv {
        format!(
            "const store :Workerd.Worker = (modules = [(name = \"worker\", esModule = embed \"kv-service.js\")], compatibilityDate = \"{COMPATIBILITY_DATE}\");\n"
        )
    } else {
        String::new()
    };
    format!(
        "using Workerd = import \"/workerd/workerd.capnp\";\n\
         const config :Workerd.Config = (\n  services = [(name = \"main\", worker = .main){service}],\n  \
         sockets = [(name = \"http\", address = \"127.0.0.1:{port}\", http = (), service = \"main\")]\n);\n\
         const main :Workerd.Worker = (modules = [(name = \"worker\", esModule = embed \"worker.js\")], compatibilityDate = \"{COMPATIBILITY_DATE}\"{binding});\n{store}"
    )
}

/// Starts a fresh server, warms it up, measures it, ends it.
fn measure(
    programs: &Programs,
    scratch: &Path,
    case: &Case,
    who: Who,
    round: usize,
    options: &Options,
) -> Result<(Run, Vec<u8>)> {
    let port = free_port()?;
    let (line, directory, path) = command_line(programs, scratch, case, who, port)?;
    let server = Server::start(
        &line,
        &directory,
        port,
        case.prepare
            .filter(|_| !matches!(who, Who::Static | Who::Ceiling))
            .unwrap_or(path),
        &scratch.join("server.log"),
    )?;
    let body = body(&get(server.address, path)?)?;
    if who == Who::Atoll {
        std::fs::write(ceiling(scratch, case), &body)?;
    }
    let url = format!("http://{}{path}", server.address);
    load::run(&url, options.warm_up, case.connections)?;

    let begin = Instant::now();
    let (machine_before, steal_before) = machine_cpu()?;
    let before = server.usage()?;
    let load = load::run(&url, options.seconds, case.connections)?;
    let after = server.usage()?;
    let (machine_after, steal_after) = machine_cpu()?;
    let elapsed_us = begin.elapsed().as_micros() as f64;
    if load.errors > 0 {
        bail!("{} answers were errors:\n{}", load.errors, load.raw);
    }
    let server_cpu_us = after.cpu_us - before.cpu_us;
    let other = (machine_after - machine_before).saturating_sub(server_cpu_us + load.cpu_us);
    let other_cpu_percent = other as f64 / elapsed_us * 100.0;
    let run = Run {
        round: round + 1,
        case: case.name,
        server: who,
        server_cpu_us,
        cpu_us_per_request: server_cpu_us as f64 / load.requests as f64,
        rss_bytes: after.rss,
        other_cpu_percent,
        steal_percent: (steal_after - steal_before) as f64 / elapsed_us * 100.0,
        dropped: other_cpu_percent > options.disturbance,
        load,
    };
    Ok((run, body))
}

fn report(
    cases: &[&Case],
    runs: &[Run],
    stamp: &Stamp,
    machine: &str,
    versions: &[(String, String)],
    options: &Options,
) -> String {
    let dropped = runs.iter().filter(|run| run.dropped).count();
    let mut text = format!(
        "# HTTP/1.1 keep-alive: server CPU per request\n\nDate {}, commit {}. {machine}.\n",
        stamp.date, stamp.commit
    );
    for (name, version) in versions {
        text += &format!("{name}: {version}\n");
    }
    text += &format!(
        "\n`taskset -c 1 wrk -t1 -c{CONNECTIONS} -d{}s` (cases in \"-{CONNECTIONS_CORDON}\": that many connections), server on CPU 0, fresh server a run, {} s warm-up, {} rounds over all servers.\n\
         CPU us = user and system time of the server's process tree over the answers that the generator counted.\n\
         Cells: median (min-max) of n runs. {dropped} of {} runs dropped: others used over {} % of a CPU.\n",
        options.seconds,
        options.warm_up,
        options.rounds,
        runs.len(),
        options.disturbance
    );
    let head = [
        "case",
        "server",
        "n",
        "server CPU us/request",
        "CPU: ratio to workerd",
        "to deno",
        "to node",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "wrk CPU %",
        "RSS MB",
    ];
    let mut rows = Vec::new();
    for case in cases {
        for who in Who::ALL {
            let kept: Vec<&Run> = runs
                .iter()
                .filter(|run| run.case == case.name && run.server == who && !run.dropped)
                .collect();
            if !runs.iter().any(|run| run.case == case.name && run.server == who) {
                continue;
            }
            let show = |value: fn(&Run) -> f64| {
                Spread::of(kept.iter().map(|run| value(run))).map_or("-".to_owned(), |spread| spread.show())
            };
            // A ratio is made of two runs of one round, in which the machine was the same.
            let ratio = |peer: Who| {
                let ratios = kept.iter().filter_map(|run| {
                    let other = runs.iter().find(|other| {
                        other.case == case.name && other.server == peer && other.round == run.round && !other.dropped
                    })?;
                    Some(run.cpu_us_per_request / other.cpu_us_per_request)
                });
                Spread::of(ratios)
                    .filter(|_| who != peer)
                    .map_or("-".to_owned(), |spread| spread.show())
            };
            rows.push(vec![
                case.name.to_owned(),
                who.name().to_owned(),
                kept.len().to_string(),
                show(|run| run.cpu_us_per_request),
                ratio(Who::Workerd),
                ratio(Who::Deno),
                ratio(Who::Node),
                show(|run| run.load.requests_per_second),
                show(|run| run.load.p50_ms),
                show(|run| run.load.p99_ms),
                show(|run| run.load.cpu_us as f64 / (run.load.requests as f64 / run.load.requests_per_second) / 1e4),
                show(|run| run.rss_bytes as f64 / 1e6),
            ]);
        }
    }
    text += &format!("\n{}\n", table(&head, &rows));
    for case in cases {
        text += &format!("- {}: {}\n", case.name, case.about);
    }
    text += "- The static asset answers with the same bytes without JavaScript: what is left above it is the engine's and the hop's.\n\
             - Where the generator's CPU is near 100 %, requests/s is a lower bound; CPU per request is not affected.\n\
             - Latencies are of a closed loop at full load: they say how long the queue is, not how fast an answer is.\n";
    text
}
