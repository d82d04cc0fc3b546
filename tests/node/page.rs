//! The section on Node's tests of the page `docs/reference/conformance.md`: what the expectations say, module by module.
//!
//! The page belongs to the Web Platform Tests' runner, which leaves everything from [`HEADING`] on as it is.

use crate::expectations::Expectations;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Where the section begins.
const HEADING: &str = "\n## Node's own tests\n";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/conformance.md")
}

fn section(expectations: &Expectations) -> String {
    let mut text = format!(
        "{HEADING}\nThe files of Node.js 20.19.2's `test/parallel` that need no child process, thread, network or\n\
         `--expose-internals`, each run in a worker with `nodejs_compat` (`tests/node`).\n\n\
         | module | files | passed | share |\n|---|---:|---:|---:|\n"
    );
    let mut reasons = String::from("\n### What fails of them, and why\n\n| file | reason |\n|---|---|\n");
    for (module, row) in expectations.rows() {
        let share = row.passed as f64 * 100.0 / row.files.max(1) as f64;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {module} | {} | {} | {share:.0} % |", row.files, row.passed);
        for (file, reason) in &row.failing {
            let _ = writeln!(reasons, "| `{file}` | {} |", reason.replace('|', "\\|"));
        }
    }
    text + &reasons
}

fn with_section(written: &str, expectations: &Expectations) -> String {
    let others = written.find(HEADING).map_or(written, |at| &written[..at]);
    format!("{others}{}", section(expectations))
}

/// Writes the section.
pub fn write(expectations: &Expectations) -> Result<(), String> {
    let path = path();
    let written = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    std::fs::write(&path, with_section(&written, expectations)).map_err(|error| format!("{}: {error}", path.display()))
}

/// `Err` if the page says something else than the expectations.
pub fn check(expectations: &Expectations) -> Result<(), String> {
    let path = path();
    let written = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    if written == with_section(&written, expectations) {
        return Ok(());
    }
    Err("docs/reference/conformance.md is not current: run with ATOLL_NODE_UPDATE=1".to_owned())
}
