//! The campaign `ssrf`: permutations of the ways inside, made from a seed, after the whole checked-in table.
//!
//! `--count N --seed S`: the table, then N cycles of [`ROWS`] rows, with the seeds S, S + 1 and so on. It ends with exit
//! code 1 if anything arrived where it must not, if a count is wrong, or if a row turned out to show nothing.

#[path = "../tests/ssrf/mod.rs"]
mod ssrf;

use ssrf::Report;
use std::process::ExitCode;

/// Rows of one cycle.
const ROWS: usize = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !ssrf::network::entered() {
        let status = ssrf::network::enter(&arguments);
        return if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let (count, seed) = (number("--count").unwrap_or(1), number("--seed").unwrap_or(1));
    let mut all = Report::default();
    run(ssrf::table(), "the table", &mut all);
    for cycle in seed..seed.saturating_add(count) {
        run(ssrf::permutations(cycle, ROWS), &format!("seed {cycle}"), &mut all);
    }
    println!("in all: {}", all.summary());
    if all.wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(body: impl Future<Output = Report>, what: &str, all: &mut Report) {
    // A runtime of its own, so that every listener of the last cycle is gone.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let report = runtime.block_on(body);
    println!("{what}: {}", report.summary());
    for line in &report.wrong {
        println!("  {line}");
    }
    all.add(report);
}
