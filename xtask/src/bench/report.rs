//! Figures as people read them: medians with their ranges, tables, the machine, and where results are kept.

use crate::command;
use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Middle, smallest and largest of some values.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    /// The middle one; with an even number, the mean of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// How many.
    pub n: usize,
}

impl Spread {
    /// `None` of no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            (values[middle - 1] + values[middle]) / 2.0
        };
        Some(Self {
            median,
            min,
            max,
            n: values.len(),
        })
    }

    /// `median (min-max)`.
    pub fn show(&self) -> String {
        format!("{} ({}-{})", number(self.median), number(self.min), number(self.max))
    }
}

/// The value at `part` (0 to 1) of the sorted values, by nearest rank.
pub fn percentile(values: &[f64], part: f64) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let rank = (part * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}

/// Three significant digits, thousands set apart.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && digit.is_ascii_digit() && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// A Markdown table.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        text += &format!("| {} |\n", row.join(" | "));
    }
    text
}

/// The machine in one line, and the load on it as the run begins.
pub fn machine() -> Result<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let field = |name: &str| {
        let line = cpu.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_once(':'))
            .map_or("?", |(_, value)| value.trim())
            .to_owned()
    };
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    Ok(format!(
        "{} CPUs {} (family {}, model {}), kernel {}, load at the start {}",
        std::thread::available_parallelism()?,
        field("model name"),
        field("cpu family"),
        field("model\t"),
        kernel.trim(),
        load.split(' ').next().unwrap_or("?")
    ))
}

/// Date and commit of the run.
pub struct Stamp {
    /// `YYYY-MM-DD`
    pub date: String,
    /// Abbreviated; `-changed` if files differ from it, `-given` if the binary was not built from here, `-dist` if it was built by
    /// `cargo xtask dist`.
    pub commit: String,
}

impl Stamp {
    /// Of now and here; `mark`: what is to be known of the binary.
    pub fn now(root: &Path, mark: Option<&str>) -> Result<Self> {
        let git = |arguments: &[&str]| command::output(Command::new("git").current_dir(root).args(arguments));
        let mut commit = git(&["rev-parse", "--short=10", "HEAD"])?.trim().to_owned();
        let ours = [
            "status",
            "--porcelain",
            "--untracked-files=no",
            "--",
            "crates",
            "Cargo.lock",
            "Cargo.toml",
        ];
        if !git(&ours)?.trim().is_empty() {
            commit += "-changed";
        }
        if let Some(mark) = mark {
            commit += &format!("-{mark}");
        }
        let date = command::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?
            .trim()
            .to_owned();
        Ok(Self { date, commit })
    }

    /// Writes `benches/results/<date>-<commit>-<name>.txt` and `.json`; a second run of the same commit gets a number.
    pub fn keep(&self, root: &Path, name: &str, text: &str, json: &Value) -> Result<PathBuf> {
        let directory = root.join("benches/results");
        std::fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        let mut path = directory.join(format!("{}-{}-{name}.txt", self.date, self.commit));
        let mut number = 1;
        while path.exists() {
            number += 1;
            path = directory.join(format!("{}-{}-{name}-{number}.txt", self.date, self.commit));
        }
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        let json_path = path.with_extension("json");
        let json = serde_json::to_string_pretty(json)?;
        std::fs::write(&json_path, json + "\n").with_context(|| format!("write {}", json_path.display()))?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        let check = |values: &[f64], expected: Option<(f64, f64, f64)>| {
            let spread = Spread::of(values.iter().copied()).map(|spread| (spread.median, spread.min, spread.max));
            assert_eq!(spread, expected, "{values:?}");
        };
        check(&[], None);
        check(&[3.0], Some((3.0, 3.0, 3.0)));
        check(&[3.0, 1.0, 2.0], Some((2.0, 1.0, 3.0)));
        check(&[4.0, 1.0, 2.0, 3.0], Some((2.5, 1.0, 4.0)));
    }

    #[test]
    fn percentiles() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), Some(50.0));
        assert_eq!(percentile(&values, 0.99), Some(99.0));
        assert_eq!(percentile(&[7.0], 0.99), Some(7.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn numbers() {
        let check = |value: f64, expected: &str| assert_eq!(number(value), expected);
        check(0.186, "0.19");
        check(45.82, "45.8");
        check(999.6, "1,000");
        check(125_269.0, "125,269");
        check(1_234_567.0, "1,234,567");
        check(-1234.0, "-1,234");
        check(-123.0, "-123");
    }
}
