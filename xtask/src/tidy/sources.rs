//! Names and texts of our own files.

use super::Finding;

/// The longest Rust file. Most are a third of it.
const LINES_MAX: usize = 900;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = ["common", "util", "utils", "helper", "helpers", "misc", "manager"];

/// Marks of unfinished work, and macros that stand in for code. Put together here so that this file is none of its own
/// findings.
const MARKS: [&str; 6] = [
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("HA", "CK:"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("db", "g!("),
];

/// Files whose text is checked.
pub fn is_text(name: &str) -> bool {
    let ends = [
        ".rs", ".toml", ".md", ".js", ".mjs", ".ts", ".tsx", ".jsonc", ".json", ".html", ".css", ".txt", ".sh",
    ];
    ends.iter().any(|end| name.ends_with(end)) || name == ".ci/run"
}

/// Checks a path.
pub fn check_name(name: &str) -> Option<Finding> {
    if !name.ends_with(".rs") {
        return None;
    }
    let bad = name
        .split('/')
        .map(|part| part.strip_suffix(".rs").unwrap_or(part))
        .find(|part| EMPTY_NAMES.contains(part))?;
    Some(Finding::new(
        name,
        format!("\"{bad}\" says nothing about what is inside: name the idea"),
    ))
}

/// Checks a file's text.
pub fn check_text(name: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(mark) = MARKS.iter().find(|mark| line.contains(*mark)) {
            findings.push(Finding::new(
                format!("{name}:{}", number + 1),
                format!("\"{mark}\": finish it or file an issue"),
            ));
        }
    }
    if name.ends_with("package-lock.json") && text.contains("\"resolved\": \"http") {
        findings.push(Finding::new(
            name,
            "names the host of a registry (npm's option omit-lockfile-registry-resolved)",
        ));
    }
    if name.ends_with(".rs") {
        let lines = text.lines().count();
        // Nobody holds what a generator writes in the head.
        if lines > LINES_MAX && !name.contains("/generated/") {
            findings.push(Finding::new(
                name,
                format!("has {lines} lines, more than {LINES_MAX}: split it by idea"),
            ));
        }
        let tells = ["/lib.rs", "/mod.rs", "/main.rs"].iter().any(|end| name.ends_with(end));
        if tells && !text.trim_start().starts_with("//!") {
            findings.push(Finding::new(
                format!("{name}:1"),
                "does not open with `//!`: say what it is",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |name: &str, fits: bool| assert_eq!(check_name(name).is_none(), fits, "{name}");
        check("crates/kv/src/list.rs", true);
        check("crates/kv/src/utils.rs", false);
        check("crates/kv/src/helpers/mod.rs", false);
        check("crates/common/src/lib.rs", false);
        check("tests/specs/utils/worker.js", true);
    }

    #[test]
    fn texts() {
        let check = |name: &str, text: &str, fits: bool| {
            let found = check_text(name, text);
            assert_eq!(found.is_empty(), fits, "{name}: {found:?}");
        };
        check("crates/kv/src/lib.rs", "//! Keys and values.\n", true);
        check("crates/kv/src/lib.rs", "use std::fmt;\n", false);
        check("crates/kv/src/list.rs", "use std::fmt;\n", true);
        check("crates/kv/src/list.rs", &"\n".repeat(LINES_MAX), true);
        check("crates/kv/src/list.rs", &"\n".repeat(LINES_MAX + 1), false);
        check("crates/api/src/generated/pop.rs", &"\n".repeat(LINES_MAX + 1), true);
        for mark in MARKS {
            check("crates/kv/src/list.rs", &format!("let x = 1; // {mark}"), false);
        }
        check(
            "tests/npm/package-lock.json",
            "\"resolved\": \"https://host/x.tgz\"",
            false,
        );
        check("tests/npm/package-lock.json", "\"integrity\": \"sha512-x\"", true);
    }
}
