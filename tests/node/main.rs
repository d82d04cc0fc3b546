//! Node's own tests, run in workers with `nodejs_compat`.
//!
//! One trial per module: every selected file (`selection.toml`) runs in an isolate of its own and is held against
//! `expectations.toml`: how many files there are, how many pass, and why each of the others does not. A file that passes
//! though it is listed as failing is a failure too. The files come from Node's release as Debian's source package has it
//! (`cargo xtask fixtures`); without them every trial is ignored.
//!
//! `ATOLL_NODE_FILTER=text` runs only files whose name contains the text and tells what each failure was;
//! `ATOLL_NODE_UPDATE=1` rewrites `expectations.toml`, keeping the reasons that are there.

mod expectations;
mod isolate;
mod page;
mod program;
mod selection;

use expectations::Expectations;
use libtest_mimic::{Arguments, Trial};
use program::Verdict;
use selection::{Module, Suite};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

fn main() -> ExitCode {
    atoll_js::init();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    let selection = selection::read();
    let suite = Suite::find().map(Arc::new);
    if suite.is_none() {
        eprintln!("Node's tests are not there (cargo xtask fixtures): every trial is ignored");
    }
    let expectations = Arc::new(Mutex::new(Expectations::read()));
    let mut tests: Vec<Trial> = selection
        .into_iter()
        .map(|(name, module)| {
            let trial_name = format!("node::{name}");
            match suite.clone() {
                Some(suite) => {
                    let expectations = expectations.clone();
                    Trial::test(trial_name, move || Ok(run(&name, &module, &suite, &expectations)?))
                }
                None => Trial::test(trial_name, || Ok(())).with_ignored_flag(true),
            }
        })
        .collect();
    // An update writes the page itself.
    if std::env::var_os("ATOLL_NODE_UPDATE").is_none() {
        tests.push(Trial::test("node::page_is_current", || {
            Ok(page::check(&Expectations::read())?)
        }));
    }
    libtest_mimic::run(&arguments, tests).exit_code()
}

fn run(name: &str, module: &Module, suite: &Suite, expectations: &Mutex<Expectations>) -> Result<(), String> {
    let files = suite.select(name, module)?;
    let filter = std::env::var("ATOLL_NODE_FILTER").unwrap_or_default();
    let mut failures = Vec::new();
    let mut ran = 0;
    for file in files.iter().filter(|file| file.contains(&filter)) {
        ran += 1;
        let verdict = program::run(suite, file);
        if !filter.is_empty() {
            println!("--- {file}: {verdict}");
        }
        if let Verdict::Failed(why) = verdict {
            failures.push((file.clone(), why));
        }
    }
    if !filter.is_empty() {
        println!("{name}: {} of {ran} selected files pass", ran - failures.len());
        return Ok(());
    }
    let mut expectations = expectations
        .lock()
        .map_err(|_| "another module's trial panicked".to_owned())?;
    if std::env::var_os("ATOLL_NODE_UPDATE").is_some() {
        return expectations.update(name, files.len(), &failures);
    }
    expectations.compare(name, files.len(), &failures)
}
