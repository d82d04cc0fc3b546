//! Versions that must be exactly so, as the lock file has them.
//!
//! `v8` must be the version whose static library lies in `third_party/v8/`; the bundler's crates must be the ones that the
//! pinned compiler accepts (newer ones ask for a newer compiler in their point releases).

use super::Finding;
use anyhow::{Context, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

/// The V8 crate's version.
const V8: &str = "150.4.0";

/// Pattern (a trailing `*` matches any rest) and the one version allowed.
const PINNED: &[(&str, &str)] = &[
    ("v8", V8),
    ("deno_core", "0.413.0"),
    ("rolldown", "1.2.5"),
    ("rolldown_*", "1.2.5"),
    ("string_wizard", "1.2.5"),
    ("oxc_sourcemap", "8.1.2"),
];

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
}

/// Compares the lock file with the pinned versions.
pub fn check_versions(lock: &str) -> Result<Vec<Finding>> {
    let lock: Lock = toml::from_str(lock).context("read Cargo.lock")?;
    let mut findings = Vec::new();
    for (pattern, version) in PINNED {
        let mut seen = false;
        for package in &lock.package {
            let matches = match pattern.strip_suffix('*') {
                Some(start) => package.name.starts_with(start),
                None => package.name == *pattern,
            };
            if matches {
                seen = true;
                if package.version != *version {
                    let message = format!("{} is {}, it must be exactly {version}", package.name, package.version);
                    findings.push(Finding::new("Cargo.lock", message));
                }
            }
        }
        if !seen {
            findings.push(Finding::new("Cargo.lock", format!("has no {pattern}")));
        }
    }
    Ok(findings)
}

/// The library that `RUSTY_V8_MIRROR` offers is the one `v8` asks for, bit for bit.
pub fn check_v8_archive(root: &Path, lock: &str) -> Result<Vec<Finding>> {
    let lock: Lock = toml::from_str(lock).context("read Cargo.lock")?;
    let Some(v8) = lock.package.iter().find(|package| package.name == "v8") else {
        return Ok(Vec::new());
    };
    let mut findings = Vec::new();
    let directory = root.join("third_party/v8").join(format!("v{}", v8.version));
    let place = format!("third_party/v8/v{}", v8.version);
    if !directory.is_dir() {
        findings.push(Finding::new(
            place,
            "is missing: the library of the locked v8 crate belongs there",
        ));
        return Ok(findings);
    }
    let sums =
        std::fs::read_to_string(root.join("third_party/v8/SHA256SUMS")).context("read third_party/v8/SHA256SUMS")?;
    let mut archives = 0;
    for line in sums.lines().filter(|line| !line.trim().is_empty()) {
        let Some((expected, name)) = line.split_once("  ") else {
            findings.push(Finding::new(
                "third_party/v8/SHA256SUMS",
                format!("cannot read the line \"{line}\""),
            ));
            continue;
        };
        archives += usize::from(name.ends_with(".a.gz"));
        let path = directory.join(name);
        match sha256(&path) {
            Ok(actual) if actual == expected => {}
            Ok(actual) => findings.push(Finding::new(
                format!("{place}/{name}"),
                format!("has SHA-256 {actual}, not {expected}"),
            )),
            Err(error) => findings.push(Finding::new(format!("{place}/{name}"), format!("{error:#}"))),
        }
    }
    if archives == 0 {
        findings.push(Finding::new("third_party/v8/SHA256SUMS", "lists no library"));
    }
    Ok(findings)
}

fn sha256(path: &Path) -> Result<String> {
    let mut file = std::fs::File::open(path).context("cannot be opened")?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).context("cannot be read")?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        write!(text, "{byte:02x}").context("format a digest")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let lock = |entries: &[(&str, &str)]| {
            entries.iter().fold(String::new(), |text, (name, version)| {
                text + &format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n")
            })
        };
        let right = [
            ("v8", "150.4.0"),
            ("deno_core", "0.413.0"),
            ("rolldown", "1.2.5"),
            ("rolldown_utils", "1.2.5"),
            ("string_wizard", "1.2.5"),
            ("oxc_sourcemap", "8.1.2"),
        ];
        let check = |changed: Option<(usize, &'static str)>, expected: &[&str]| {
            let mut entries = right;
            if let Some((at, version)) = changed {
                entries[at].1 = version;
            }
            let found: Vec<String> = check_versions(&lock(&entries))
                .unwrap()
                .iter()
                .map(Finding::to_string)
                .collect();
            assert_eq!(found, expected);
        };
        check(None, &[]);
        check(
            Some((0, "150.5.0")),
            &["Cargo.lock: v8 is 150.5.0, it must be exactly 150.4.0"],
        );
        check(
            Some((3, "1.2.16")),
            &["Cargo.lock: rolldown_utils is 1.2.16, it must be exactly 1.2.5"],
        );
        let found = check_versions(&lock(&right[1..])).unwrap();
        assert_eq!(found, [Finding::new("Cargo.lock", "has no v8")]);
    }
}
