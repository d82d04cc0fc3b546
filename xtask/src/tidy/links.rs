//! Links in documents: what a relative link points at exists.

use super::Finding;
use std::path::{Component, Path, PathBuf};

/// Checks one document.
pub fn check(root: &Path, name: &str, text: &str) -> Vec<Finding> {
    let here = Path::new(name).parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    for (line, target) in relative_targets(text) {
        let file = target.split(['#', '?']).next().unwrap_or("");
        if file.is_empty() {
            continue;
        }
        let place = format!("{name}:{line}");
        let path = match file.strip_prefix('/') {
            Some(absolute) => Some(PathBuf::from(absolute)),
            None => normal(&here.join(file)),
        };
        match path {
            None => findings.push(Finding::new(
                place,
                format!("the link \"{target}\" leaves the repository"),
            )),
            Some(path) if !root.join(&path).exists() => {
                findings.push(Finding::new(place, format!("the link \"{target}\" points at nothing")));
            }
            Some(_) => {}
        }
    }
    findings
}

/// Line numbers and targets of links that are no URL, outside code.
fn relative_targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced || line.starts_with("    ") {
            continue;
        }
        // Spans between backticks are code: every other piece is prose.
        let prose: Vec<&str> = line.split('`').step_by(2).collect();
        let prose = prose.join("_");
        let mut rest = prose.as_str();
        while let Some(start) = rest.find("](") {
            rest = &rest[start + 2..];
            let Some(end) = rest.find(')') else { break };
            let target = rest[..end].split_whitespace().next().unwrap_or("");
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push((number + 1, target.to_owned()));
            }
            rest = &rest[end..];
        }
    }
    found
}

/// The path without `.` and `..`; `None` if it climbs above its start.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut parts = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if !parts.pop() {
                    return None;
                }
            }
            other => parts.push(other),
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let check = |text: &str, expected: &[&str]| {
            let found: Vec<String> = relative_targets(text).into_iter().map(|(_, target)| target).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("[a](b.md) and [c](../d.md#e \"title\")", &["b.md", "../d.md#e"]);
        check("[a](https://example.com) [m](mailto:a@b.c)", &[]);
        check("`[a](b.md)` [c](d.md)", &["d.md"]);
        check("```\n[a](b.md)\n```\n[c](d.md)", &["d.md"]);
    }

    #[test]
    fn paths() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(normal(Path::new(path)), expected.map(PathBuf::from), "{path}");
        };
        check("docs/../README.md", Some("README.md"));
        check("docs/./a.md", Some("docs/a.md"));
        check("../outside.md", None);
    }

    #[test]
    fn broken_links_are_found() {
        let root = crate::repository::root();
        let found = check(&root, "docs/x.md", "[a](../Cargo.toml) [b](gone.md) [c](../../up.md)");
        let messages: Vec<&str> = found.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "the link \"gone.md\" points at nothing",
                "the link \"../../up.md\" leaves the repository"
            ]
        );
    }
}
