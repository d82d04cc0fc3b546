//! What is expected of a suite: its counts, and each subtest that fails, with a reason. `expectations/SUITE.toml`.
//!
//! ```toml
//! files = 22          # cases that ran (a file with three variants counts three times)
//! subtests = 4711
//! passed = 4700
//!
//! [[failing]]
//! reason = "why"
//! [failing.tests]
//! "url/some.any.js?variant" = ["a subtest", "all that start so*"]
//! ```
//!
//! A failure that is not listed fails the suite, and so does a listed one that passes: the list is what is known, exactly.

use crate::run::Subtest;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One suite's expectations.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// Cases.
    pub files: usize,
    /// Subtests, those that fail included.
    pub subtests: usize,
    /// Subtests that pass.
    pub passed: usize,
    /// The known failures.
    #[serde(default)]
    pub failing: Vec<Failing>,
}

/// Failures of one reason.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failing {
    /// Why.
    pub reason: String,
    /// By case: names of subtests, or what they begin with and a `*`.
    pub tests: BTreeMap<String, Vec<String>>,
}

/// What ran: by case, in order.
pub type Results = BTreeMap<String, Vec<Subtest>>;

/// Counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Cases.
    pub files: usize,
    /// Subtests.
    pub subtests: usize,
    /// Subtests that passed.
    pub passed: usize,
}

impl Counts {
    /// The share that passed, in percent; nothing is no share.
    pub fn percent(self) -> f64 {
        if self.subtests == 0 {
            return 0.0;
        }
        100.0 * self.passed as f64 / self.subtests as f64
    }
}

/// Counts a run.
pub fn count(results: &Results) -> Counts {
    let subtests = || results.values().flatten();
    Counts {
        files: results.len(),
        subtests: subtests().count(),
        passed: subtests().filter(|subtest| subtest.passed).count(),
    }
}

/// Where a suite's expectations stand.
pub fn file(repository: &Path, suite: &str) -> PathBuf {
    repository.join(format!("tests/wpt/expectations/{suite}.toml"))
}

/// Reads a suite's expectations.
pub fn read(repository: &Path, suite: &str) -> Result<Expectations> {
    let path = file(repository, suite);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("read {}", path.display()))
}

fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

impl Expectations {
    fn patterns<'a>(&'a self, case: &'a str) -> impl Iterator<Item = &'a str> {
        let of_case = self.failing.iter().filter_map(move |failing| failing.tests.get(case));
        of_case.flatten().map(String::as_str)
    }

    /// Differences between what is expected and what ran, one line each.
    pub fn compare(&self, results: &Results) -> Vec<String> {
        let mut differences = Vec::new();
        for failing in &self.failing {
            if failing.reason.trim().is_empty() {
                differences.push("a group of failures has no reason".to_owned());
            }
            for (case, patterns) in &failing.tests {
                for pattern in patterns {
                    let hit = results
                        .get(case)
                        .is_some_and(|subtests| subtests.iter().any(|subtest| covers(pattern, &subtest.name)));
                    if !hit {
                        differences.push(format!("{case}: \"{pattern}\" is listed and there is no such subtest"));
                    }
                }
            }
        }
        for (case, subtests) in results {
            for subtest in subtests {
                let listed = self.patterns(case).any(|pattern| covers(pattern, &subtest.name));
                match (subtest.passed, listed) {
                    (true, true) => differences.push(format!("{case}: \"{}\" is listed and passes", subtest.name)),
                    (false, false) => {
                        differences.push(format!("{case}: \"{}\" fails: {}", subtest.name, subtest.message));
                    }
                    _ => {}
                }
            }
        }
        let counts = count(results);
        let listed = Counts {
            files: self.files,
            subtests: self.subtests,
            passed: self.passed,
        };
        if counts != listed {
            differences.push(format!("counts: expected {listed:?}, found {counts:?}"));
        }
        differences
    }

    /// Cases with a failure that is not listed.
    pub fn surprising(&self, results: &Results) -> Vec<String> {
        let surprises = |case: &str, subtest: &Subtest| {
            !subtest.passed && !self.patterns(case).any(|pattern| covers(pattern, &subtest.name))
        };
        results
            .iter()
            .filter(|(case, subtests)| subtests.iter().any(|subtest| surprises(case, subtest)))
            .map(|(case, _)| case.clone())
            .collect()
    }

    /// The same list brought up to date: what passes now is taken off, what fails is added without a reason.
    pub fn updated(&self, results: &Results) -> Self {
        let counts = count(results);
        let mut failing = Vec::new();
        for group in &self.failing {
            let mut tests = BTreeMap::new();
            for (case, patterns) in &group.tests {
                let Some(subtests) = results.get(case) else { continue };
                let mut kept = Vec::new();
                for pattern in patterns {
                    let mut hits = subtests
                        .iter()
                        .filter(|subtest| covers(pattern, &subtest.name))
                        .peekable();
                    if hits.peek().is_some() && hits.all(|subtest| !subtest.passed) {
                        kept.push(pattern.clone());
                    }
                }
                if !kept.is_empty() {
                    tests.insert(case.clone(), kept);
                }
            }
            if !tests.is_empty() {
                failing.push(Failing {
                    reason: group.reason.clone(),
                    tests,
                });
            }
        }
        let mut updated = Self {
            files: counts.files,
            subtests: counts.subtests,
            passed: counts.passed,
            failing,
        };
        let mut new: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (case, subtests) in results {
            if subtests.iter().all(|subtest| !subtest.passed) && updated.patterns(case).next().is_none() {
                if !subtests.is_empty() {
                    new.insert(case.clone(), vec!["*".to_owned()]);
                }
                continue;
            }
            for subtest in subtests.iter().filter(|subtest| !subtest.passed) {
                if !updated.patterns(case).any(|pattern| covers(pattern, &subtest.name)) {
                    new.entry(case.clone()).or_default().push(subtest.name.clone());
                }
            }
        }
        if !new.is_empty() {
            updated.failing.push(Failing {
                reason: String::new(),
                tests: new,
            });
        }
        updated
    }
}

/// Holds [`Expectations::compare`] and [`Expectations::updated`] to examples: a runner that cannot fail shows nothing.
pub fn self_test() -> Result<(), String> {
    let subtest = |name: &str, passed: bool| Subtest {
        name: name.to_owned(),
        passed,
        message: String::new(),
    };
    let ran: Results = [("f".to_owned(), vec![subtest("a", true), subtest("b 1", false)])].into();
    let listed = |names: &[&str], subtests: usize| Expectations {
        files: 1,
        subtests,
        passed: 1,
        failing: vec![Failing {
            reason: "why".to_owned(),
            tests: [("f".to_owned(), names.iter().map(|&name| name.to_owned()).collect())].into(),
        }],
    };
    let check = |names: &[&str], subtests: usize, expected: usize| {
        let found = listed(names, subtests).compare(&ran);
        if found.len() == expected {
            Ok(())
        } else {
            Err(format!("{names:?}: {found:?} instead of {expected} differences"))
        }
    };
    check(&["b 1"], 2, 0)?;
    check(&["b*"], 2, 0)?;
    check(&["b"], 2, 2)?;
    check(&[], 2, 1)?;
    check(&["a", "b 1"], 2, 1)?;
    check(&["*"], 2, 1)?;
    check(&["b 1"], 3, 1)?;
    if listed(&["b 1"], 2).compare(&Results::new()).len() != 2 {
        return Err("a run of nothing has no differences".to_owned());
    }
    let mut updated = listed(&["a"], 7).updated(&ran);
    if updated.compare(&ran).len() != 1 {
        return Err("an updated list without a reason is accepted".to_owned());
    }
    updated.failing[0].reason = "why".to_owned();
    let found = updated.compare(&ran);
    if found.is_empty() {
        Ok(())
    } else {
        Err(format!("{found:?}"))
    }
}
