//! The `kill -9` campaign on the KV store: `cargo xtask campaign kv-kill --count N --seed S --resume`.
//!
//! Each cycle starts a child that writes with many concurrent writers and tells each write over a pipe before it begins and
//! after it was acknowledged; kills it at a seeded moment (while it starts, recovers, compacts, sweeps); opens what is left
//! and checks:
//! - every key holds a write that may be the last one: no acknowledged write began after it was over (nothing acknowledged
//!   is lost, nothing overwritten comes back);
//! - values, metadata and expirations are whole, and records, index entries and expiry entries agree;
//! - lists and reads agree, and nothing is there that nobody wrote.
//!
//! The store goes on from cycle to cycle and is made anew every [`CYCLES_PER_STORE`]. A kill leaves the page cache alone, so
//! this says nothing of power loss: for that, the simulated disk of `atoll-store` drops what was not synced.

mod child;
mod history;
mod operation;
mod verify;

use anyhow::{Context, Result, bail};
use atoll_stdx::SplitMix64;
use atoll_store::LsmOptions;
use clap::Parser;
use history::History;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How many cycles one store lives.
const CYCLES_PER_STORE: u64 = 20;
/// When the first cycle begins, by the children's clock: seconds since the Unix epoch.
const FIRST_SECOND: u64 = 1_800_000_000;

/// The `kill -9` campaign on the KV store.
#[derive(Parser)]
struct Arguments {
    /// How many cycles in all.
    #[arg(long, default_value_t = 10)]
    count: u64,
    /// The campaign's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on where the last run with this seed stopped.
    #[arg(long)]
    resume: bool,
    /// Where the store and the progress are kept; by default beside this program.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Be the child: directory, seed, run number and clock (milliseconds since the Unix epoch).
    #[arg(long, hide = true, num_args = 4)]
    child: Option<Vec<String>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.child {
        Some(child) => child::main(child),
        None => campaign(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Small tables and caches, so that a short run flushes, compacts and reads from disk.
pub fn options() -> LsmOptions {
    LsmOptions {
        hot_cache_bytes: 256 << 10,
        block_cache_bytes: 1 << 20,
        memtable_bytes: 512 << 10,
        journal_bytes: 64 << 20,
        reader_threads: 2,
        background_threads: 2,
        reserve_bytes: 64 << 20,
    }
}

/// Counts over all cycles; what `--resume` goes on with.
#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    cycles: u64,
    /// The children's clock.
    now: u64,
    kills: u64,
    kills_before_ready: u64,
    acknowledged: u64,
    unacknowledged: u64,
    unacknowledged_stored: u64,
    expired: u64,
}

impl Totals {
    fn save(&self, path: &Path, seed: u64) -> Result<()> {
        let Self {
            cycles,
            now,
            kills,
            kills_before_ready,
            acknowledged,
            unacknowledged,
            unacknowledged_stored,
            expired,
        } = self;
        let text = format!(
            "{seed} {cycles} {now} {kills} {kills_before_ready} {acknowledged} {unacknowledged} {unacknowledged_stored} \
             {expired}"
        );
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }

    fn load(path: &Path, seed: u64) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("nothing to resume: {}", path.display()))?;
        let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let &[
            of,
            cycles,
            now,
            kills,
            kills_before_ready,
            acknowledged,
            unacknowledged,
            unacknowledged_stored,
            expired,
        ] = numbers.as_slice()
        else {
            bail!("{} is not the progress of this campaign", path.display());
        };
        if of != seed {
            bail!("{} is of seed {of}, not {seed}", path.display());
        }
        Ok(Self {
            cycles,
            now,
            kills,
            kills_before_ready,
            acknowledged,
            unacknowledged,
            unacknowledged_stored,
            expired,
        })
    }
}

fn campaign(arguments: &Arguments) -> Result<()> {
    let program = std::env::current_exe()?;
    let state = match &arguments.state {
        Some(state) => state.clone(),
        None => program.with_file_name("kv-kill-state"),
    };
    std::fs::create_dir_all(&state).with_context(|| format!("create {}", state.display()))?;
    let (store, progress) = (state.join("store"), state.join("progress"));
    let mut totals = if arguments.resume {
        Totals::load(&progress, arguments.seed)?
    } else {
        Totals {
            now: FIRST_SECOND,
            ..Totals::default()
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    while totals.cycles < arguments.count {
        let cycle = totals.cycles;
        let mut rng = SplitMix64::new(arguments.seed.wrapping_mul(0x9E37_79B9).wrapping_add(cycle));
        if cycle.is_multiple_of(CYCLES_PER_STORE) && store.exists() {
            std::fs::remove_dir_all(&store).with_context(|| format!("remove {}", store.display()))?;
        }
        one_cycle(&program, &store, &runtime, &mut rng, &mut totals).with_context(|| {
            format!(
                "cycle {cycle} of seed {} (the store is left in {}; `--seed {} --count {}` goes the same way)",
                arguments.seed,
                store.display(),
                arguments.seed,
                cycle + 1
            )
        })?;
        totals.cycles += 1;
        totals.save(&progress, arguments.seed)?;
        if totals.cycles.is_multiple_of(10) || totals.cycles == arguments.count {
            report(arguments.seed, &totals);
        }
    }
    Ok(())
}

fn report(seed: u64, totals: &Totals) {
    println!(
        "kv-kill seed {seed}: {} cycles, {} kills ({} before the store was open), {} acknowledged writes, lost 0; {} writes \
         under way at a kill, {} of them stored whole, half-written 0; {} keys expired",
        totals.cycles,
        totals.kills,
        totals.kills_before_ready,
        totals.acknowledged,
        totals.unacknowledged,
        totals.unacknowledged_stored,
        totals.expired,
    );
}

fn one_cycle(
    program: &Path,
    store: &Path,
    runtime: &tokio::runtime::Runtime,
    rng: &mut SplitMix64,
    totals: &mut Totals,
) -> Result<()> {
    // What the cycle starts from is read back, so that a resumed campaign needs to know nothing else.
    let mut history = if store.exists() {
        History::starting_from(runtime.block_on(verify::read(store, totals.now))?)
    } else {
        History::default()
    };
    // More than one run before the check: the next one is killed while it recovers from the last.
    for run in 0..=rng.below(3) {
        let seed = rng.next_u64();
        let kill = child::Kill::choose(rng);
        let ended = child::run_and_kill(program, store, seed, run, totals.now * 1000, kill, &mut history)?;
        totals.kills += 1;
        totals.kills_before_ready += u64::from(!ended.was_ready);
        // Later than anything the child's clock can have shown; sometimes much later, so that much expires at once.
        let later = (ended.lived + Duration::from_millis(500)).as_millis() as u64 * child::CLOCK_SPEED / 1000 + 1;
        totals.now += later + rng.below(2) * rng.below(300);
    }
    let found = runtime.block_on(verify::read(store, totals.now))?;
    let outcome = history.judge(&found, totals.now)?;
    totals.acknowledged += outcome.acknowledged;
    totals.unacknowledged += outcome.unacknowledged;
    totals.unacknowledged_stored += outcome.unacknowledged_stored;
    totals.expired += outcome.expired;
    Ok(())
}
