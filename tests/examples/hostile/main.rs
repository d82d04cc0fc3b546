//! The campaign of hostile workers: `cargo xtask campaign hostile --count N --seed S --resume -- --isolation cordon`.
//!
//! `atoll serve`, the real binary, serves several hostile workers of `tests/hostile` beside a neighbour. Each run lets one of
//! them do its worst and checks:
//! - it is stopped by the limit that its `kind.toml` names, or ends by itself where that is what the file says;
//! - the neighbour, who is asked all the time, gives every answer right, during and after;
//! - the hostile worker answers again;
//! - the memory of the server and its children stays under a bound, and comes back under a lower one;
//! - the server is the same process, and says that it is well.
//!
//! A round is every kind once, in an order that the seed chooses; a server lives for [`RUNS_PER_SERVER`] runs, and `--parallel`
//! servers live at a time. Kinds that need a cordon are left out of `shared`, and said so. With `--resume` what a run of the same
//! seed has done already is left out.

mod attack;
mod kinds;
mod neighbour;
mod server;

use anyhow::{Context, Result, bail};
use atoll_stdx::SplitMix64;
use kinds::{Expected, Isolation, Kind};
use neighbour::Neighbour;
use server::Server;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Runs that one server has to stand.
const RUNS_PER_SERVER: usize = 16;
/// How long a limit may take to show, once the client has its answer.
const LIMIT_DEADLINE: Duration = Duration::from_secs(60);
/// How long is waited for a limit that need not show.
const HARMLESS_WAIT: Duration = Duration::from_millis(200);
/// What a child process says before it ends because a turn cannot be ended.
const PROCESS_ENDS: &str = "the process ends with it";
/// How long work may go on that cannot be ended, before the process ends that it runs in.
const LINGER: Duration = Duration::from_millis(600);
/// Between two looks at what shows by itself.
const LOOK: Duration = Duration::from_millis(20);
/// How long a worker may take until it answers again: its isolate is made anew.
const RECOVERY_DEADLINE: Duration = Duration::from_secs(60);
/// How long is waited for isolates of the worker whose turns were ended, but go on in a builtin.
const OLD_ISOLATES_WAIT: Duration = Duration::from_secs(20);
/// How long memory may take to come back.
const MEMORY_DEADLINE: Duration = Duration::from_secs(60);
/// How much more memory than at its start a server may keep: two isolates' heaps and buffers that nobody has collected yet.
const MEMORY_BOUND: u64 = 512 << 20;

struct Arguments {
    count: usize,
    seed: u64,
    isolation: Isolation,
    resume: bool,
    /// Servers at a time.
    parallel: usize,
    /// This kind alone.
    kind: Option<String>,
    binary: PathBuf,
}

fn arguments() -> Result<Arguments> {
    let here = std::env::current_exe().context("find this program")?;
    // This program is target/PROFILE/examples/hostile.
    let beside = here.ancestors().nth(2).context("this program's folder")?.join("atoll");
    let mut arguments = Arguments {
        count: 8,
        seed: 1,
        isolation: Isolation::Shared,
        resume: false,
        parallel: 1,
        kind: None,
        binary: std::env::var_os("ATOLL_BIN").map_or(beside, PathBuf::from),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--count" => arguments.count = value()?.parse().context("--count")?,
            "--seed" => arguments.seed = value()?.parse().context("--seed")?,
            "--isolation" => arguments.isolation = value()?.parse()?,
            "--kind" => arguments.kind = Some(value()?),
            "--parallel" => arguments.parallel = value()?.parse().context("--parallel")?,
            "--resume" => arguments.resume = true,
            other => bail!("no such argument: {other}"),
        }
    }
    Ok(arguments)
}

fn main() -> ExitCode {
    match arguments().and_then(|arguments| campaign(&arguments)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(wrong) => {
            println!("{wrong} runs went wrong");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What a run found.
struct Outcome {
    /// The limits that were reached, as far as they were looked for; none: it ended by itself.
    limits: Vec<String>,
    status: String,
    took: Duration,
    neighbour: u64,
    /// More than at the start, after all.
    memory: i64,
    /// The same at the worst moment that was seen.
    peak: i64,
    wrong: Vec<String>,
}

impl Outcome {
    /// A line, and one for everything that is wrong. Gives the limits.
    fn tell(&self, run: usize, kind: &Kind) -> String {
        let limits = match self.limits.as_slice() {
            [] => "none".to_owned(),
            limits => limits.join("+"),
        };
        println!(
            "run {run} {}: {limits}, {}, {:.2} s, {} answers of the neighbour, {:+} MiB, at most {:+} MiB",
            kind.name,
            self.status,
            self.took.as_secs_f64(),
            self.neighbour,
            self.memory >> 20,
            self.peak >> 20
        );
        for line in &self.wrong {
            println!("  WRONG: {line}");
        }
        limits
    }
}

fn campaign(arguments: &Arguments) -> Result<usize> {
    let all = kinds::load()?;
    let (mut kinds, left_out): (Vec<Kind>, Vec<Kind>) = all
        .into_iter()
        .filter(|kind| arguments.kind.as_ref().is_none_or(|name| *name == kind.name))
        .partition(|kind| kind.expected(arguments.isolation).is_some());
    for kind in &left_out {
        println!("{} is left out: it needs a cordon", kind.name);
    }
    if kinds.is_empty() {
        bail!("there is no such kind");
    }
    let isolation = arguments.isolation;
    println!(
        "{} kinds, {} runs from seed {}, --isolation {isolation}",
        kinds.len(),
        arguments.count,
        arguments.seed
    );
    let progress = std::env::temp_dir().join(format!("atoll-hostile-{isolation}-{}", arguments.seed));
    let done_before = match arguments.resume {
        true => std::fs::read_to_string(&progress).unwrap_or_default(),
        false => String::new(),
    };
    let done_before: HashSet<&str> = done_before.lines().collect();
    // Without it a resumed run does more, no worse.
    let _ = std::fs::write(
        &progress,
        done_before.iter().map(|line| format!("{line}\n")).collect::<String>(),
    );
    let rounds = Mutex::new(plan(arguments, &mut kinds, &done_before));
    let totals = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..arguments.parallel.max(1) {
            scope.spawn(|| {
                // A temporary: the lock is gone before the batch is served.
                while let Some(batch) = { rounds.lock().unwrap().pop_front() } {
                    let mut run = batch.first;
                    let end = serve(arguments, &batch.kinds, |kind, outcome| {
                        totals.lock().unwrap().add(run, kind, &outcome);
                        run += 1;
                    });
                    match end {
                        Ok(()) => note(&progress, batch.first),
                        Err(error) => totals.lock().unwrap().broken(run, &error),
                    }
                }
            });
        }
    });
    let totals = totals.into_inner().unwrap();
    println!(
        "{} runs, {} wrong; stopped by: {:?}",
        totals.done, totals.wrong, totals.by_limit
    );
    println!("by kind: {:?}", totals.by_kind);
    Ok(totals.wrong)
}

/// What one server has to stand.
struct Batch {
    first: usize,
    kinds: Vec<Kind>,
}

fn plan(arguments: &Arguments, kinds: &mut [Kind], done_before: &HashSet<&str>) -> VecDeque<Batch> {
    let mut batches = VecDeque::new();
    let mut rng = SplitMix64::new(arguments.seed);
    let mut number = 0;
    while number < arguments.count {
        shuffle(&mut rng, kinds);
        for batch in kinds.chunks(RUNS_PER_SERVER) {
            let batch = &batch[..batch.len().min(arguments.count.saturating_sub(number))];
            if !batch.is_empty() && !done_before.contains(number.to_string().as_str()) {
                batches.push_back(Batch {
                    first: number,
                    kinds: batch.to_vec(),
                });
            }
            number += batch.len();
        }
    }
    batches
}

/// The batch that begins with this run is done.
fn note(progress: &Path, first: usize) {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(progress);
    // Without it a resumed run does more, no worse.
    if let Ok(mut file) = file {
        let _ = writeln!(file, "{first}");
    }
}

/// What all runs found.
#[derive(Default)]
struct Totals {
    done: usize,
    wrong: usize,
    by_limit: BTreeMap<String, usize>,
    by_kind: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Totals {
    fn add(&mut self, run: usize, kind: &Kind, outcome: &Outcome) {
        let limits = outcome.tell(run, kind);
        self.done += 1;
        self.wrong += usize::from(!outcome.wrong.is_empty());
        let by_kind = self.by_kind.entry(kind.name.clone()).or_default();
        *by_kind.entry(limits.clone()).or_default() += 1;
        *self.by_limit.entry(limits).or_default() += 1;
    }

    /// A server, or what watches it, did not get through a run.
    fn broken(&mut self, run: usize, error: &anyhow::Error) {
        println!("run {run}\n  WRONG: {error:#}");
        self.done += 1;
        self.wrong += 1;
    }
}

fn shuffle(rng: &mut SplitMix64, kinds: &mut [Kind]) {
    for last in (1..kinds.len()).rev() {
        kinds.swap(last, rng.below(last as u64 + 1) as usize);
    }
}

/// One server, and a run of each of `kinds`.
fn serve(arguments: &Arguments, kinds: &[Kind], mut tell: impl FnMut(&Kind, Outcome)) -> Result<()> {
    let mut server = Server::start(&arguments.binary, arguments.isolation, kinds)?;
    let neighbour = Neighbour::start(server.address);
    let base = server.memory();
    for kind in kinds {
        // Every kind here has one: those without were left out.
        let Some(expected) = kind.expected(arguments.isolation) else {
            continue;
        };
        tell(kind, run(&mut server, &neighbour, base, kind, &expected)?);
    }
    drop(neighbour);
    server.stop()
}

fn run(server: &mut Server, neighbour: &Neighbour, base: u64, kind: &Kind, expected: &Expected) -> Result<Outcome> {
    let mut wrong = Vec::new();
    let asked = neighbour.begin();
    let mark = server.mark()?;
    let peak = server.watch_memory();
    let start = Instant::now();
    let end = if kind.startup {
        server.reload_with(kind)?
    } else {
        attack::attack(server.address, kind)
    };
    // What comes to light.
    let deadline = Instant::now()
        + if expected.harmless {
            HARMLESS_WAIT
        } else {
            LIMIT_DEADLINE
        };
    let limits = loop {
        let mut found = server.limits_since(&mark, &end.text)?;
        // The front's own answer: this status stands for one limit.
        if end.status == "413" && found.is_empty() {
            found.push("request_body_bytes_max".to_owned());
        }
        if !found.is_empty() || Instant::now() >= deadline || server.has_ended()? {
            break found;
        }
        std::thread::sleep(LOOK);
    };
    let took = start.elapsed();
    if limits.is_empty() {
        if !expected.harmless {
            wrong.push(format!(
                "no limit stopped it, expected {:?}; {}",
                expected.limits,
                end.told()
            ));
        } else if let Some(failure) = &end.failure {
            wrong.push(format!("no limit stopped it, and its client got: {failure}"));
        }
    } else if !limits.iter().any(|limit| expected.limits.contains(limit)) {
        wrong.push(format!("stopped by {limits:?}, not by one of {:?}", expected.limits));
    }
    if kind.lingers {
        std::thread::sleep(LINGER);
    }
    if let Err(error) = attack::recovered(server.address, kind, RECOVERY_DEADLINE) {
        wrong.push(format!("it does not answer again: {error:#}"));
    }
    if kind.startup {
        server.restore(kind)?;
    }
    // What it takes until then is this run's, not the next one's.
    server.wait_for_old_isolates(kind, OLD_ISOLATES_WAIT);
    let memory = |server: &Server| server.memory() as i64 - base as i64;
    let deadline = Instant::now() + MEMORY_DEADLINE;
    let mut more = memory(server);
    while more > MEMORY_BOUND as i64 && Instant::now() < deadline {
        std::thread::sleep(LOOK);
        more = memory(server);
    }
    if more > MEMORY_BOUND as i64 {
        wrong.push(format!("{} MiB more than at the start are kept", more >> 20));
    }
    let peak = peak.end() as i64 - base as i64;
    if peak > kind.peak_max() as i64 {
        wrong.push(format!("it took {} MiB at a time", peak >> 20));
    }
    let (answers, mut failures) = neighbour.end(asked);
    // A crash costs the requests that its process had: the neighbour's is one of the same account, which asks one at a time.
    let crashes = server.records_since(&mark).matches(PROCESS_ENDS).count();
    for _ in 0..crashes {
        if let Some(at) = failures.iter().position(|failure| failure.starts_with("502 ")) {
            failures.swap_remove(at);
        }
    }
    wrong.extend(failures.into_iter().map(|failure| format!("the neighbour: {failure}")));
    if let Err(error) = server.is_well() {
        wrong.push(format!("{error:#}"));
    }
    if !wrong.is_empty() {
        wrong.push(format!(
            "its client: {}; records: {}",
            end.told(),
            server.records_since(&mark).chars().take(1500).collect::<String>()
        ));
    }
    Ok(Outcome {
        limits,
        status: end.status,
        took,
        neighbour: answers,
        memory: more,
        peak,
        wrong,
    })
}
