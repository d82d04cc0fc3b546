//! From `--isolation` to a cordon: how a child of this program is started.

use crate::Isolates;
use crate::cordon_child::{Settings, WORD};
use atoll_cli::args::Isolation;
use atoll_host::{CHILDREN_MIN, ChildCommand, Cordon, CordonOptions};
use std::sync::Arc;
use std::time::Duration;

/// This program, also when its file has been replaced meanwhile: parent and child must be of one build.
const PROGRAM: &str = "/proc/self/exe";
/// How long a child that is followed by another may go on with what it has in flight; as long as the Workers platform
/// gives `waitUntil`.
const GRACE: Duration = Duration::from_secs(30);
/// Set to 1, it lets workers run although the kernel cannot lock them in completely. What is missing is logged.
const ALLOW_DOWNGRADE: &str = "ATOLL_SANDBOX_ALLOW_DOWNGRADE";
/// Set to 1, it has children say which system calls were refused.
const REPORT_REFUSED: &str = "ATOLL_SANDBOX_REPORT";
/// The most bytes of private memory that a child may have. One that wants more ends, as one that the system's memory is
/// short for does, and is followed by another.
const MEMORY: &str = "ATOLL_CHILD_MEMORY_BYTES";
/// Isolates that a child keeps ready at most: there are several children.
const READY_MAX_OF_A_CHILD: usize = 2;
/// The least that a child starts with, and its pools of memory beside.
const MEMORY_MIN: u64 = 256 * 1024 * 1024;
/// What of the environment children are given: what they log, and how.
const PASSED_ON: [&str; 3] = ["ATOLL_LOG", "RUST_LOG", "RUST_BACKTRACE"];

/// The cordon for `isolation`; none for workers that run in this process. With `allow_downgrade`, or its variable, a kernel
/// that lacks a layer is put up with. Must be called inside the tokio runtime that serves.
pub(crate) fn cordon(
    isolation: Isolation,
    isolates: &Isolates,
    allow_downgrade: bool,
) -> Result<Option<Arc<Cordon>>, String> {
    let dedicated = match isolation {
        Isolation::Alone | Isolation::Shared => return Ok(None),
        Isolation::Cordon => false,
        Isolation::Dedicated => true,
    };
    let memory_bytes = memory()?;
    let settings = Settings {
        allow_downgrade: allow_downgrade || is_set(ALLOW_DOWNGRADE),
        report_refused: is_set(REPORT_REFUSED),
        permits: isolates.permits,
        isolates_per_worker: isolates.per_worker,
        ready_max: isolates.ready_max.min(READY_MAX_OF_A_CHILD),
        children: isolates.permits.max(CHILDREN_MIN),
        memory_bytes,
    };
    let settings = serde_json::to_string(&settings).map_err(|error| format!("the settings of a child: {error}"))?;
    let environment = PASSED_ON
        .iter()
        .filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    let options = CordonOptions {
        command: ChildCommand {
            program: PROGRAM.into(),
            arguments: vec![WORD.into(), settings.into()],
            environment: environment.collect(),
        },
        build: build(),
        dedicated,
        children: isolates.permits,
        memory_bytes,
        grace: GRACE,
    };
    let cordon =
        Cordon::new(options).map_err(|error| format!("the system refuses a thread for child processes: {error}"))?;
    Ok(Some(cordon))
}

fn memory() -> Result<Option<u64>, String> {
    let Some(given) = std::env::var_os(MEMORY) else {
        return Ok(None);
    };
    let bytes = given.to_str().and_then(|text| text.parse::<u64>().ok());
    match bytes {
        Some(bytes) if bytes >= MEMORY_MIN => Ok(Some(bytes)),
        _ => Err(format!("{MEMORY} must be a number of bytes, at least {MEMORY_MIN}")),
    }
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == "1")
}

/// What parent and child must agree on. They are the same file, so this only finds a mistake of ours.
pub(crate) fn build() -> String {
    format!("atoll {}", env!("CARGO_PKG_VERSION"))
}
