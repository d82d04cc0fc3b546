//! The page `docs/reference/conformance.md`: what the expectations say, suite by suite.

use crate::expect::{self, Counts};
use crate::{SUITES, Suite};
use anyhow::Result;
use std::fmt::Write;
use std::path::Path;

/// Where the page stands, below the repository.
pub const PAGE: &str = "docs/reference/conformance.md";

/// Another runner's part of the page (`tests/node`), left as it is.
const NODE_SECTION: &str = "\n## Node's own tests\n";

/// The page with what others wrote at its end.
pub fn keeping_others(page: String, written: &str) -> String {
    match written.find(NODE_SECTION) {
        Some(at) => page + &written[at..],
        None => page,
    }
}

/// The page's text.
pub fn page(repository: &Path) -> Result<String> {
    let mut text = String::from(
        "# Conformance: suites by others\n\n\
         Generated from `tests/wpt/expectations/` by `ATOLL_WPT_UPDATE=1 cargo test --workspace --test wpt`; a test holds it\n\
         against them, and the suites' own run holds them against what really happens.\n\n\
         ## Web Platform Tests\n\n\
         The `*.any.js` files of the tests that Node.js 20.19.2 brings (`test/fixtures/wpt`), each run in an isolate as a worker;\n\
         every subtest counts. `url crate` is the data of Rust's `url` crate run by the same files.\n\n\
         | suite | files | subtests | passed | share | at least |\n|---|---:|---:|---:|---:|---:|\n",
    );
    let mut reasons = String::new();
    for suite in SUITES {
        let expectations = expect::read(repository, suite.name)?;
        let counts = Counts {
            files: expectations.files,
            subtests: expectations.subtests,
            passed: expectations.passed,
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", row(suite, counts));
        if expectations.failing.is_empty() {
            continue;
        }
        let _ = writeln!(reasons, "\n### {}\n\n| files | reason |\n|---:|---|", suite.title);
        for failing in &expectations.failing {
            let _ = writeln!(
                reasons,
                "| {} | {} |",
                failing.tests.len(),
                failing.reason.replace('|', "\\|")
            );
        }
    }
    if !reasons.is_empty() {
        let _ = write!(text, "\n## What fails, and why\n{reasons}");
    }
    Ok(text)
}

/// One suite's row.
pub fn row(suite: &Suite, counts: Counts) -> String {
    let bar = suite.bar.map_or("-".to_owned(), |bar| format!("{bar:.0} %"));
    format!(
        "| {} | {} | {} | {} | {:.2} % | {bar} |",
        suite.title,
        counts.files,
        counts.subtests,
        counts.passed,
        counts.percent(),
    )
}
