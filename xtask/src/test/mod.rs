//! `cargo xtask test`: installs what the tests need and runs everything, in the order in which failures are cheapest.
//!
//! A step that fails does not stop the ones after it unless they build on it: one run shows all that is wrong. The last
//! line is `N passed, N failed, N skipped`, summed over all steps.

mod counts;
mod frameworks;
mod postgres;

use crate::{CommandResult, campaign, command, fixtures, npm, repository, tidy};
use anyhow::{Result, bail};
use counts::Counts;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// npm packages that specs import, beside the lock file that pins them.
const NPM_DIRECTORY: &str = "tests/npm";
/// npm packages that one worker imports and exercises.
const LIBRARIES_DIRECTORY: &str = "tests/libraries";
/// Wrangler itself, which deploys to the control plane.
const WRANGLER_DIRECTORY: &str = "tests/wrangler";

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Options {
    /// Install nothing; what is missing is skipped and said so.
    #[arg(long)]
    no_install: bool,
}

/// `cargo xtask test`.
pub fn command(options: &Options) -> CommandResult {
    let root = repository::root();
    let start = Instant::now();
    let mut run = Run {
        step: 0,
        counts: Counts::default(),
        start,
    };

    run.announce("install npm packages of the specs");
    let npm = npm::install(&root, NPM_DIRECTORY, options.no_install);
    let npm_ready = npm.is_ok();
    match npm {
        Ok(how) => println!("{how}"),
        Err(why) => println!("SKIPPED: {why}; specs that import npm packages are skipped"),
    }

    run.announce("install npm's popular libraries");
    let libraries = npm::install(&root, LIBRARIES_DIRECTORY, options.no_install);
    let libraries_ready = libraries.is_ok();
    match libraries {
        Ok(how) => println!("{how}"),
        Err(why) => println!("SKIPPED: {why}; the libraries are not tried"),
    }

    run.announce("install wrangler and a Node.js for it");
    let wrangler = npm::install(&root, WRANGLER_DIRECTORY, options.no_install);
    let wrangler_ready = wrangler.is_ok();
    match wrangler {
        Ok(how) => println!("{how}"),
        Err(why) => println!("SKIPPED: {why}; wrangler is not tried against the control plane"),
    }

    run.announce("build framework projects (SvelteKit, Astro, React Router, TanStack Start, Nitro, Next.js)");
    let frameworks = frameworks::build(&root, options.no_install);
    let frameworks_ready = frameworks.is_ok();
    match frameworks {
        Ok(how) => println!("{how}"),
        Err(why) => println!("SKIPPED: {why}; the frameworks are not tried"),
    }

    run.announce("install PostgreSQL");
    let postgres = postgres::install(options.no_install);
    let postgres_ready = postgres.is_ok();
    match postgres {
        Ok(how) => println!("{how}"),
        Err(why) => println!("SKIPPED: {why}; the catalog is tested on SQLite alone"),
    }

    run.announce("fetch suites by others");
    match fixtures::node_tests(&root, options.no_install) {
        Ok(how) => println!("{how}"),
        Err(why) => println!("SKIPPED: {why}; the Web Platform Tests and the tests of Node.js are skipped"),
    }

    run.check("format", || {
        command::run(command::cargo().current_dir(&root).args(["fmt", "--all", "--check"]))
    });
    run.check("tidy", tidy::command);
    run.check(
        "lints (builds all dependencies at the first run: 10 to 25 minutes on two cores)",
        || {
            let arguments = [
                "clippy",
                "--locked",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ];
            command::run(command::cargo().current_dir(&root).args(arguments))
        },
    );
    // Always the whole workspace: Cargo unifies features over the packages it is given, and another choice of packages would
    // compile the dependencies, V8's included, again.
    let built = run.check("build the binary", || {
        command::run(
            command::cargo()
                .current_dir(&root)
                .args(["build", "--locked", "--workspace"]),
        )
    });

    run.announce("unit and integration tests");
    let nextest = repository::has_program("cargo-nextest");
    let mut tests = command::cargo();
    tests.current_dir(&root);
    if nextest {
        tests.args(["nextest", "run", "--locked", "--no-fail-fast"]);
    } else {
        println!("cargo-nextest is not installed: cargo test runs them");
        tests.args(["test", "--locked", "--no-fail-fast"]);
    }
    // Where it is installed, a test that does not find it fails rather than pass without having tested anything.
    tests.env("ATOLL_TEST_POSTGRES", if postgres_ready { "ready" } else { "missing" });
    tests.env("ATOLL_TEST_WRANGLER", if wrangler_ready { "ready" } else { "missing" });
    // The specs need the binary that was just built and have a step of their own; the binary has no tests but those.
    tests.arg("--workspace");
    if nextest {
        tests.args(["-E", "not package(atoll-e2e)"]);
    } else {
        tests.args(["--exclude", "atoll-e2e"]);
    }
    run.count(&mut tests);

    run.announce("specs and end-to-end tests");
    if built {
        let specs = || {
            let mut specs = command::cargo();
            specs.current_dir(&root).args([
                "test",
                "--locked",
                "--workspace",
                "--test",
                "e2e",
                "--",
                "--test-threads",
                "2",
            ]);
            specs.env("ATOLL_BIN", repository::target_dir(&root).join("debug/atoll"));
            specs.env("ATOLL_TEST_NPM", if npm_ready { "ready" } else { "missing" });
            specs
        };
        let mut all = specs();
        all.env(
            "ATOLL_TEST_LIBRARIES",
            if libraries_ready { "ready" } else { "missing" },
        );
        all.env("ATOLL_TEST_WRANGLER", if wrangler_ready { "ready" } else { "missing" });
        all.env(
            "ATOLL_TEST_FRAMEWORKS",
            if frameworks_ready { "ready" } else { "missing" },
        );
        run.count(&mut all);

        // `atoll dev`, which the specs start, has its workers beside it; `atoll serve` and PoPs in child processes.
        run.announce("specs, their workers in child processes");
        if machine_locks() {
            run.count(specs().arg("specs::").env("ATOLL_ISOLATION", "cordon"));
        } else {
            println!("SKIPPED: this machine gives no user namespaces (or has no unshare(1))");
        }
    } else {
        println!("FAILED: there is no binary to run them against");
        run.counts.failed += 1;
    }

    run.announce("Web Platform Tests");
    let mut suites = command::cargo();
    suites
        .current_dir(&root)
        .args(["test", "--locked", "--workspace", "--test", "wpt"]);
    suites.env("ATOLL_FIXTURES", fixtures::directory(&root));
    run.count(&mut suites);

    run.announce("Node's own tests");
    let mut node = command::cargo();
    node.current_dir(&root)
        .args(["test", "--locked", "--workspace", "--test", "node"]);
    node.env("ATOLL_FIXTURES", fixtures::directory(&root));
    run.count(&mut node);

    run.announce("campaigns (tests/budget.toml)");
    let (passed, failed) = campaign::run_budget(&root)?;
    run.counts.add(Counts {
        passed,
        failed,
        skipped: 0,
    });

    println!("\nfinished in {:.0?}", start.elapsed());
    // The line that summaries and continuous integration read.
    println!("{}", run.counts);
    if run.counts.failed > 0 {
        bail!("{} failed", run.counts.failed);
    }
    Ok(())
}

/// Whether child processes can be locked in here.
fn machine_locks() -> bool {
    let given = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "--pid",
            "--net",
            "--ipc",
            "--fork",
            "true",
        ])
        .stderr(Stdio::null())
        .status();
    given.is_ok_and(|status| status.success())
}

/// The steps so far.
struct Run {
    step: usize,
    counts: Counts,
    start: Instant,
}

impl Run {
    fn announce(&mut self, what: &str) {
        self.step += 1;
        println!("\n=== {}. {what} [after {:.0?}]", self.step, self.start.elapsed());
    }

    /// A step that passes or fails as a whole.
    fn check(&mut self, what: &str, work: impl FnOnce() -> Result<()>) -> bool {
        self.announce(what);
        match work() {
            Ok(()) => {
                self.counts.passed += 1;
                true
            }
            Err(error) => {
                println!("FAILED: {error:#}");
                self.counts.failed += 1;
                false
            }
        }
    }

    /// A test runner: its output is shown as it comes and its closing lines are counted.
    fn count(&mut self, command: &mut Command) {
        let line = command::display(command);
        println!("$ {line}");
        match watch(command) {
            Ok((counts, success)) => {
                self.counts.add(counts);
                if !success && counts.failed == 0 {
                    println!("FAILED: `{line}` failed before or beside its tests");
                    self.counts.failed += 1;
                } else if success && counts.passed == 0 {
                    println!("FAILED: `{line}` ran no test");
                    self.counts.failed += 1;
                }
            }
            Err(error) => {
                println!("FAILED: {error:#}");
                self.counts.failed += 1;
            }
        }
    }
}

/// Runs a test runner and reads its counts from both of its streams (nextest writes to the second).
fn watch(command: &mut Command) -> Result<(Counts, bool)> {
    // One pipe for both streams keeps their order.
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The command keeps its ends of the pipe open; without dropping them the reader would never see the end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut counts = Counts::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if let Some(found) = counts::closing_line(&line) {
            counts.add(found);
        }
    }
    Ok((counts, child.wait()?.success()))
}
