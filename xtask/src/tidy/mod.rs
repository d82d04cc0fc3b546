//! The rules of the house, as a check that fails with a list. Run by `cargo xtask tidy` and by a test of this package.
//!
//! Each module holds one kind of rule as a pure function from facts to findings, so that the rules themselves are tested
//! on made-up facts; only this file reads the repository.

mod layers;
mod licences;
mod links;
mod lockfile;
mod manifests;
mod metadata;
mod sources;

use crate::repository;
use anyhow::{Context, Result, bail};
use std::fmt;
use std::path::Path;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The crate, or `file` or `file:line`.
    pub place: String,
    /// What is wrong, and what the rule is.
    pub message: String,
}

impl Finding {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// `cargo xtask tidy`.
pub fn command() -> Result<()> {
    let report = check(&repository::root())?;
    for finding in &report.findings {
        println!("{finding}");
    }
    if !report.findings.is_empty() {
        bail!("{} findings", report.findings.len());
    }
    println!(
        "tidy: {} packages and {} files, nothing to report",
        report.packages, report.files
    );
    Ok(())
}

/// What a check looked at and found.
pub struct Report {
    /// Broken rules.
    pub findings: Vec<Finding>,
    /// Packages looked at, dependencies included.
    pub packages: usize,
    /// Files looked at.
    pub files: usize,
}

/// Checks the repository at `root`.
pub fn check(root: &Path) -> Result<Report> {
    let graph = metadata::load(root)?;
    let mut findings = layers::check(&graph);
    findings.extend(licences::check(&graph));

    let lock = std::fs::read_to_string(root.join("Cargo.lock")).context("read Cargo.lock")?;
    findings.extend(lockfile::check_versions(&lock)?);
    findings.extend(lockfile::check_v8_archive(root, &lock)?);

    let paths = repository::files(root)?;
    for path in &paths {
        let name = path.to_string_lossy();
        findings.extend(sources::check_name(&name));
        if !sources::is_text(&name) || name.starts_with("third_party/") {
            continue;
        }
        let bytes = std::fs::read(root.join(path)).with_context(|| format!("read {name}"))?;
        let Ok(text) = String::from_utf8(bytes) else {
            findings.push(Finding::new(name.as_ref(), "is not UTF-8"));
            continue;
        };
        findings.extend(sources::check_text(&name, &text));
        if name.ends_with("Cargo.toml") {
            findings.extend(manifests::check(&name, &text));
        }
        if name.ends_with(".md") {
            findings.extend(links::check(root, &name, &text));
        }
    }
    Ok(Report {
        findings,
        packages: graph.packages.len(),
        files: paths.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let report = check(&repository::root()).expect("the repository can be read");
        assert!(
            report.packages > 100 && report.files > 100,
            "{} packages, {} files",
            report.packages,
            report.files
        );
        let list: Vec<String> = report.findings.iter().map(Finding::to_string).collect();
        assert!(list.is_empty(), "{}", list.join("\n"));
    }
}
