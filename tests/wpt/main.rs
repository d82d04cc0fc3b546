//! The Web Platform Tests, run inside the engine: one trial per suite, each subtest held against `expectations/`.
//!
//! The suites are those that Node.js brings (`cargo xtask fixtures` fetches them); without them the trials are skipped and
//! say so. What counts is every subtest of `*.any.js` run as a worker.
//!
//! - `ATOLL_WPT_FILTER=text` runs the cases whose name contains it and prints what fails, without counts or bars.
//! - `ATOLL_WPT_UPDATE=1` writes the expectations and the table of `docs/reference/` anew; reasons are a person's to write.
//! - `ATOLL_FIXTURES=directory` is where the fixtures lie, if not in `target/fixtures`.

mod catalog;
#[path = "../engine/mod.rs"]
mod engine;
mod expect;
mod run;
mod table;

use anyhow::{Context, Result, bail};
use catalog::Case;
use expect::{Counts, Results};
use libtest_mimic::{Arguments, Failed, Trial};
use run::Replaced;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// Some folders of the Web Platform Tests.
pub struct Suite {
    /// Of its trial and its file of expectations.
    name: &'static str,
    /// As the table shows it.
    title: &'static str,
    /// Below `test/fixtures/wpt`: folders, searched for `*.any.js`, or files.
    folders: &'static [&'static str],
    /// The least share of subtests that must pass, percent.
    bar: Option<f64>,
}

const fn suite(name: &'static str, folders: &'static [&'static str], bar: Option<f64>) -> Suite {
    Suite {
        name,
        title: folders[0],
        folders,
        bar,
    }
}

/// All suites.
#[rustfmt::skip]
pub const SUITES: &[Suite] = &[
    suite("url", &["url"], Some(97.0)),
    Suite { name: URL_CRATE, title: "url crate", folders: &["url"], bar: Some(97.0) },
    suite("encoding", &["encoding"], Some(97.0)),
    suite("streams", &["streams"], Some(95.0)),
    suite("dom-abort", &["dom/abort"], Some(97.0)),
    suite("dom-events", &["dom/events"], Some(97.0)),
    suite("fileapi", &["FileAPI"], Some(97.0)),
    suite("webcrypto", &["WebCryptoAPI"], Some(92.0)),
    suite("hr-time", &["hr-time"], None),
    suite("user-timing", &["user-timing"], None),
    suite("webmessaging", &["webmessaging"], None),
    suite("webappapis", &["html/webappapis"], None),
    suite("wasm-jsapi", &["wasm/jsapi"], None),
];

/// How often a case that fails unexpectedly is run again.
const RUNS_AGAIN_MAX: u32 = 2;

/// The suite that runs the files of `url` that read test data on the data of the `url` crate.
const URL_CRATE: &str = "url-crate";
const URL_CRATE_FILES: [&str; 3] = ["url-constructor", "url-origin", "url-setters"];
const URL_CRATE_DATA: [&str; 2] = ["urltestdata.json", "setters_tests.json"];

fn main() -> ExitCode {
    engine::init();
    let mut arguments = Arguments::from_args();
    // Each suite uses all cores by itself.
    arguments.test_threads = Some(1);

    let root = fixture();
    let there = root.join("resources/testharness.js").is_file();
    if !there {
        // Not to the standard output: whoever lists the trials reads them there.
        eprintln!(
            "SKIPPED: there are no Web Platform Tests in {}; `cargo xtask fixtures` fetches them",
            root.display()
        );
    }
    let rows: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut trials = vec![
        Trial::test("wpt::catalog", || Ok(catalog::self_test()?)),
        Trial::test("wpt::comparison", || Ok(expect::self_test()?)),
    ];
    for suite in SUITES {
        let (root, rows) = (root.clone(), rows.clone());
        let trial = Trial::test(format!("wpt::{}", suite.name), move || {
            let (row, result) = run_suite(suite, &root).map_err(failed)?;
            rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
            result.map_err(Failed::from)
        });
        trials.push(trial.with_ignored_flag(!there));
    }
    // Last: an update writes what it reads.
    trials.push(Trial::test("wpt::table_is_current", || {
        table_is_current().map_err(failed)
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    for row in rows.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("{row}");
    }
    conclusion.exit_code()
}

fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}

/// The repository's root.
fn repository() -> &'static Path {
    // This package lies directly below the root; a manifest without a parent cannot have been compiled.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The root of the Web Platform Tests.
fn fixture() -> PathBuf {
    let target = || {
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        repository().join(target).join("fixtures")
    };
    let fixtures = std::env::var_os("ATOLL_FIXTURES").map_or_else(target, |path| repository().join(path));
    fixtures.join("nodejs-20.19.2/test/fixtures/wpt")
}

/// Runs a suite: its row of the table, and what is wrong with it.
fn run_suite(suite: &Suite, root: &Path) -> Result<(String, Result<(), String>)> {
    let filter = std::env::var("ATOLL_WPT_FILTER").ok();
    let mut cases = catalog::cases(root, suite.folders)?;
    let mut replaced = Replaced::new();
    if suite.name == URL_CRATE {
        cases.retain(|case| URL_CRATE_FILES.iter().any(|file| case.path.contains(file)));
        let data = url_crate()?;
        for file in URL_CRATE_DATA {
            replaced.insert(format!("url/resources/{file}"), data.join(file));
        }
    }
    if let Some(filter) = &filter {
        cases.retain(|case| case.name.contains(filter.as_str()));
    }
    let mut results = run_cases(root, &cases, &replaced)?;
    if filter.is_none() {
        run_again(suite, root, &cases, &replaced, &mut results)?;
    }
    let counts = expect::count(&results);
    let row = table::row(suite, counts);
    if filter.is_some() {
        for (case, subtests) in &results {
            let passed = subtests.iter().filter(|subtest| subtest.passed).count();
            println!("{case}: {passed} of {}", subtests.len());
            for subtest in subtests.iter().filter(|subtest| !subtest.passed) {
                println!("    {}: {}", subtest.name, subtest.message);
            }
        }
        return Ok((row, Ok(())));
    }
    if std::env::var_os("ATOLL_WPT_UPDATE").is_some() {
        update(suite, &results)?;
        return Ok((row, Ok(())));
    }
    let mut wrong = expect::read(repository(), suite.name)?.compare(&results);
    if let Some(bar) = suite.bar
        && counts.percent() < bar
    {
        wrong.push(format!("{:.2} % pass, at least {bar} % must", counts.percent()));
    }
    let result = if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n"))
    };
    Ok((row, result))
}

/// Runs cases on as many threads as there are cores; each case has an isolate of its own.
fn run_cases(root: &Path, cases: &[Case], replaced: &Replaced) -> Result<Results> {
    let waiting = Mutex::new(cases.iter());
    let results = Mutex::new(Results::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(case) = next else { return Ok(()) };
                let subtests = run::run(root, case, replaced)?;
                results
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(case.name.clone(), subtests);
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => anyhow::bail!("a thread that runs cases panicked"),
        })
    })?;
    Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Some subtests hold the clock to a few milliseconds, which a busy machine cannot keep. A case that fails in a way that is
/// not expected is run again, with nothing beside it; what the last run says counts.
fn run_again(suite: &Suite, root: &Path, cases: &[Case], replaced: &Replaced, results: &mut Results) -> Result<()> {
    let expectations = match expect::read(repository(), suite.name) {
        Ok(expectations) => expectations,
        // A suite that is run for the first time.
        Err(_) if std::env::var_os("ATOLL_WPT_UPDATE").is_some() => return Ok(()),
        Err(error) => return Err(error),
    };
    for _ in 0..RUNS_AGAIN_MAX {
        for name in expectations.surprising(results) {
            let Some(case) = cases.iter().find(|case| case.name == name) else {
                continue;
            };
            println!("{name} fails unexpectedly and is run again");
            results.insert(name, run::run(root, case, replaced)?);
        }
    }
    Ok(())
}

/// The test data of the `url` crate that this build uses, where Cargo unpacked it.
fn url_crate() -> Result<PathBuf> {
    let rustc = std::process::Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .arg("-vV")
        .output()
        .context("start rustc")?;
    let about = String::from_utf8_lossy(&rustc.stdout);
    let host = about
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("`rustc -vV` names no host")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // What other platforms need was never downloaded.
    let output = std::process::Command::new(cargo)
        .current_dir(repository())
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--filter-platform",
            host,
        ])
        .output()
        .context("start cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata has no packages")?;
    let manifest = packages
        .iter()
        .find(|package| package["name"] == "url")
        .and_then(|package| package["manifest_path"].as_str())
        .context("the workspace does not use the url crate")?;
    let tests = Path::new(manifest).with_file_name("tests");
    anyhow::ensure!(tests.is_dir(), "there is no {}", tests.display());
    Ok(tests)
}

/// Writes a suite's expectations anew.
fn update(suite: &Suite, results: &Results) -> Result<()> {
    let path = expect::file(repository(), suite.name);
    let old = if path.exists() {
        expect::read(repository(), suite.name)?
    } else {
        expect::Expectations::default()
    };
    let text = toml::to_string_pretty(&old.updated(results))?;
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// The page in `docs/reference/` says what the expectations say.
fn table_is_current() -> Result<()> {
    for suite in SUITES {
        let expectations = expect::read(repository(), suite.name)?;
        let counts = Counts {
            files: expectations.files,
            subtests: expectations.subtests,
            passed: expectations.passed,
        };
        if let Some(bar) = suite.bar
            && counts.percent() < bar
        {
            anyhow::bail!(
                "{}: expected are {:.2} %, and at least {bar} % must pass",
                suite.name,
                counts.percent()
            );
        }
    }
    let path = repository().join(table::PAGE);
    let written = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let page = table::keeping_others(table::page(repository())?, &written);
    if std::env::var_os("ATOLL_WPT_UPDATE").is_some() {
        return std::fs::write(&path, page).with_context(|| format!("write {}", path.display()));
    }
    anyhow::ensure!(
        written == page,
        "{} is not current: run with ATOLL_WPT_UPDATE=1",
        table::PAGE
    );
    Ok(())
}
