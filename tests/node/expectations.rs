//! What every module's files are expected to do: `expectations.toml`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Stands where nobody has said yet why a file fails.
const UNEXPLAINED: &str = "unexplained";

/// The file's header.
const HEADER: &str = "\
# Node's own tests, per module: how many files are selected, how many pass, and why each of the others does not.
# ATOLL_NODE_UPDATE=1 rewrites counts and names and keeps the reasons; what says \"unexplained\" fails.
";

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub files: usize,
    pub passed: usize,
    /// File and reason.
    #[serde(default)]
    pub failing: BTreeMap<String, String>,
}

/// All rows.
pub struct Expectations {
    rows: BTreeMap<String, Row>,
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("node/expectations.toml")
}

impl Expectations {
    pub fn read() -> Self {
        let path = path();
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let rows = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { rows }
    }

    /// Module and row.
    pub fn rows(&self) -> impl Iterator<Item = (&String, &Row)> {
        self.rows.iter()
    }

    /// Writes what was seen.
    pub fn update(&mut self, module: &str, files: usize, failures: &[(String, String)]) -> Result<(), String> {
        let old = self.rows.remove(module).unwrap_or_default();
        let failing = failures.iter().map(|(file, _)| {
            let reason = old.failing.get(file).map_or(UNEXPLAINED, String::as_str);
            (file.clone(), reason.to_owned())
        });
        let row = Row {
            files,
            passed: files - failures.len(),
            failing: failing.collect(),
        };
        self.rows.insert(module.to_owned(), row);
        let text = toml::to_string_pretty(&self.rows).map_err(|error| error.to_string())?;
        std::fs::write(path(), format!("{HEADER}\n{text}")).map_err(|error| error.to_string())?;
        crate::page::write(self)
    }

    /// `Err` tells every difference.
    pub fn compare(&self, module: &str, files: usize, failures: &[(String, String)]) -> Result<(), String> {
        let Some(row) = self.rows.get(module) else {
            return Err(format!("expectations.toml has no row for {module}"));
        };
        let mut problems = Vec::new();
        if row.files != files || files == 0 {
            problems.push(format!("{files} files were selected, {} are expected", row.files));
        }
        if row.passed != files - failures.len() {
            problems.push(format!(
                "{} files pass, {} are expected to",
                files - failures.len(),
                row.passed
            ));
        }
        for (file, why) in failures {
            match row.failing.get(file).map(String::as_str) {
                None => problems.push(format!("{file} fails: {why}")),
                Some(UNEXPLAINED) => problems.push(format!("{file} fails and nobody said why: {why}")),
                Some(_) => {}
            }
        }
        for file in row.failing.keys() {
            if !failures.iter().any(|(failed, _)| failed == file) {
                problems.push(format!("{file} is listed as failing and passes, or is not selected"));
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.join("\n"))
        }
    }
}
