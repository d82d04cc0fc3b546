//! What a locked in process can still do, tried from inside: this program starts itself again as the process to be locked
//! in (`--inside WHAT`), which reports over its standard output.
//!
//! On a machine that cannot lock a process in (no user namespaces, no Landlock), the tests that need it say so on
//! standard error and count as ignored.

mod attempts;
mod every_call;
mod inside;
mod process;

use libtest_mimic::{Arguments, Failed, Trial};
use std::process::{Command, ExitCode, Stdio};

/// The word that makes this program the process to be locked in.
const INSIDE: &str = "--inside";

/// What a test is.
type Test = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word == INSIDE) {
        return inside::run(&words[2..]);
    }
    let features = atoll_sandbox::probe();
    let complete = features.complete();
    if !complete {
        eprintln!("SKIPPED: this machine cannot lock a process in: {features}");
    }
    let tests: [(&str, Test); 13] = [
        ("every_system_call_is_on_the_list_or_refused", every_call::every_call),
        ("calls_with_other_arguments_are_refused", every_call::arguments_refused),
        ("attempts_succeed_outside", attempts::outside),
        ("attempts_fail_without_the_filter", attempts::entered),
        ("attempts_fail", attempts::locked),
        ("attempts_fail_for_an_ordinary_user_too", attempts::locked_as_user),
        ("threads_memory_and_time_work", process::works),
        ("threads_made_before_are_locked_in_too", process::older_threads),
        ("the_exit_code_is_passed_on", process::exit_code),
        ("the_end_by_a_signal_is_passed_on", process::abort),
        ("the_process_ends_with_the_one_that_waits", process::dies_with_waiter),
        ("a_missing_layer_is_refused_or_reported", process::missing_layer),
        ("a_refused_call_is_reported_or_ends_the_process", process::unlisted),
    ];
    let trials = tests
        .into_iter()
        .map(|(name, test)| Trial::test(name, test).with_ignored_flag(!complete))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// This program, as the process to be locked in.
fn inside(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command.arg(INSIDE).args(words).env_clear().stdin(Stdio::null());
    command
}

/// What it wrote, if it ended well.
fn output(words: &[&str]) -> Result<String, Failed> {
    let output = inside(words).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{words:?} ended with {}: {errors}\n{text}", output.status).into());
    }
    Ok(text)
}
