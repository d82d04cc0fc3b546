//! End-to-end tests against the real binary: `specs/` as data, `e2e/` as code.
//!
//! Run with `cargo xtask test`, or alone with `cargo test -p atoll-e2e` once `cargo build` has made the binary. A part of a
//! test's name runs those that contain it. `ATOLL_PEER=/path/to/wrangler` runs the specs against `wrangler dev`.

#[path = "e2e/mod.rs"]
mod e2e;
#[path = "runner/mod.rs"]
mod runner;

use libtest_mimic::{Arguments, Failed, Trial};
use runner::format::Spec;
use runner::server::{Subject, repository};
use std::path::PathBuf;
use std::process::ExitCode;

/// Fewer specs than this means that the folder was not found or not read.
const SPECS_MIN: usize = 60;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each test runs a server; more at once than there are cores would only make all of them slow.
    arguments.test_threads.get_or_insert(2);

    let specs = find_specs();
    let npm = std::env::var_os("ATOLL_TEST_NPM").is_none_or(|value| value != "missing");
    let mut tests = vec![
        Trial::test("specs::are_all_there", {
            let count = specs.len();
            move || {
                if count < SPECS_MIN {
                    return Err(format!("{count} specs, expected at least {SPECS_MIN}").into());
                }
                Ok(())
            }
        }),
        Trial::test("specs::comparison", || Ok(runner::expect::self_test()?)),
    ];
    for (name, folder) in specs {
        // An unreadable spec is a failing test, not a missing one.
        let spec = std::fs::read_to_string(folder.join("spec.toml"))
            .map_err(anyhow::Error::from)
            .and_then(|text| Spec::parse(&text));
        let ignored = spec.as_ref().is_ok_and(|spec| spec.npm && !npm);
        let test = Trial::test(format!("specs::{name}"), move || {
            let spec = spec.map_err(|error| format!("spec.toml: {error:#}"))?;
            let subject = Subject::find().map_err(failed)?;
            if let Some(reason) = block_on(runner::run(&folder, &spec, &subject)).map_err(failed)? {
                println!("not asked: {reason}");
            }
            Ok(())
        });
        tests.push(test.with_ignored_flag(ignored));
    }
    if std::env::var_os("ATOLL_PEER").is_none() {
        tests.extend(e2e::tests(npm));
    }
    libtest_mimic::run(&arguments, tests).exit_code()
}

/// Runs a test's future on a runtime of its own, which ends with it.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    // Without a runtime no test can run.
    runtime.expect("a runtime").block_on(future)
}

/// An error with all its causes.
pub fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}

/// All folders below `specs/` that hold a `spec.toml`, by their path.
fn find_specs() -> Vec<(String, PathBuf)> {
    let root = repository().join("tests/specs");
    let mut found = Vec::new();
    let mut waiting = vec![root.clone()];
    while let Some(folder) = waiting.pop() {
        if folder.join("spec.toml").is_file() {
            let name = folder
                .strip_prefix(&root)
                .unwrap_or(&folder)
                .to_string_lossy()
                .replace('/', "::");
            found.push((name, folder));
            continue;
        }
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    found.sort();
    found
}
