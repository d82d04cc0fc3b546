//! Which tests there are: `*.any.js` below a suite's folders, and what their `META` comments say.
//!
//! <https://web-platform-tests.org/writing-tests/testharness.html#multi-global-tests>: a file runs once per variant, in the
//! scopes it names. A worker is a `worker` and a `dedicatedworker` to it; files for windows alone are left out.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// One file with one variant.
#[derive(Debug, Clone)]
pub struct Case {
    /// The path below the root, then the variant (`url/url-setters.any.js?include=file`).
    pub name: String,
    /// The path below the root.
    pub path: String,
    /// The variant, with its question mark; may be empty.
    pub variant: String,
    /// Scripts to run before it, as paths below the root.
    pub scripts: Vec<String>,
    /// `timeout=long`.
    pub long: bool,
    /// `title`.
    pub title: Option<String>,
}

/// All cases below `folders` of `root`, sorted.
pub fn cases(root: &Path, folders: &[&str]) -> Result<Vec<Case>> {
    let mut files = Vec::new();
    for folder in folders {
        find(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let path = file.strip_prefix(root).unwrap_or(&file);
        cases.extend(cases_of(&path.to_string_lossy(), &text));
    }
    Ok(cases)
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("read {}", folder.display()))?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.to_string_lossy().ends_with(".any.js") {
            files.push(path);
        }
    }
    Ok(())
}

/// The cases of one file.
fn cases_of(path: &str, text: &str) -> Vec<Case> {
    let mut scripts = Vec::new();
    let mut variants = Vec::new();
    let mut long = false;
    let mut title = None;
    let mut in_worker = true;
    for line in text.lines() {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            if line.trim().is_empty() {
                continue;
            }
            break;
        };
        let Some((key, value)) = comment
            .trim_start()
            .strip_prefix("META:")
            .and_then(|meta| meta.trim().split_once('='))
        else {
            continue;
        };
        match key {
            "script" => scripts.push(below_root(path, value)),
            "variant" => variants.push(value.to_owned()),
            "timeout" => long = value == "long",
            "title" => title = Some(value.to_owned()),
            "global" => {
                in_worker = value
                    .split(',')
                    .any(|global| matches!(global.trim(), "worker" | "dedicatedworker" | "serviceworker"));
            }
            _ => {}
        }
    }
    if !in_worker {
        return Vec::new();
    }
    if variants.is_empty() {
        variants.push(String::new());
    }
    let case = |variant: String| Case {
        name: format!("{path}{variant}"),
        path: path.to_owned(),
        variant,
        scripts: scripts.clone(),
        long,
        title: title.clone(),
    };
    variants.into_iter().map(case).collect()
}

/// A script's path below the root, from how the file at `path` names it.
fn below_root(path: &str, script: &str) -> String {
    // The server's name for a file that lies elsewhere.
    if script == "/resources/WebIDLParser.js" {
        return "resources/webidl2/lib/webidl2.js".to_owned();
    }
    let base = url::Url::parse("file:///")
        .and_then(|root| root.join(path))
        .and_then(|base| base.join(script));
    match base {
        Ok(url) => url.path().trim_start_matches('/').to_owned(),
        // Names no file: whoever reads it says so.
        Err(_) => script.to_owned(),
    }
}

/// Holds [`cases_of`] to examples.
pub fn self_test() -> Result<(), String> {
    let check = |text: &str, expected: &[&str]| {
        let found = cases_of("a/b.any.js", text);
        let found: Vec<String> = found
            .iter()
            .map(|case| format!("{} {} {}", case.name, case.scripts.join(","), case.long))
            .collect();
        if found == expected {
            Ok(())
        } else {
            Err(format!("{text:?}: {found:?} instead of {expected:?}"))
        }
    };
    check("test();", &["a/b.any.js  false"])?;
    check("// META: global=window\n", &[])?;
    check(
        "// META: global=window,worker\n\n// a comment\n// META: timeout=long\n",
        &["a/b.any.js  true"],
    )?;
    check(
        "// META: script=../c.js\n// META: script=/d/e.js\n//META: script=f.js",
        &["a/b.any.js c.js,d/e.js,a/f.js false"],
    )?;
    check(
        "// META: variant=?1-2\n// META: variant=?3-last\ncode();\n// META: timeout=long",
        &["a/b.any.js?1-2  false", "a/b.any.js?3-last  false"],
    )
}
