//! `run_worker_first`: requests that go to the worker before the assets are looked at.

use crate::{WORKER_FIRST_PATTERN_CHARS_MAX, WORKER_FIRST_PATTERNS_MAX};
use atoll_model::RunWorkerFirst;
use regex::bytes::{RegexSet, RegexSetBuilder};

/// A compiled `run_worker_first`.
#[derive(Debug, Clone, Default)]
pub enum WorkerFirst {
    /// Assets first, the worker for what they do not have.
    #[default]
    Never,
    /// The worker answers everything.
    Always,
    /// By pattern.
    Patterns {
        /// These paths run the worker...
        worker: RegexSet,
        /// ...but not these, which are served from the assets alone.
        assets: RegexSet,
    },
}

/// What `run_worker_first` says about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Run the worker.
    Worker,
    /// Answer from the assets, whatever they have.
    Assets,
    /// Assets first; `patterns` if there is a list and it does not name the path.
    Unsaid {
        /// See above.
        patterns: bool,
    },
}

/// A `run_worker_first` that cannot be used. The configuration's author must change it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerFirstError {
    /// An empty list.
    #[error("`run_worker_first` is an empty list: give at least one pattern, or `false`")]
    Empty,
    /// Too many patterns.
    #[error("`run_worker_first` has {count} patterns, more than {WORKER_FIRST_PATTERNS_MAX}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// Nothing that runs the worker.
    #[error("`run_worker_first` has only patterns that begin with `!`: at least one must say what runs the worker")]
    OnlyNegative,
    /// A pattern that does not begin with a slash.
    #[error("`run_worker_first`: the pattern {pattern:?} must begin with `/` or `!/`")]
    Prefix {
        /// The pattern.
        pattern: String,
    },
    /// A pattern that is too long.
    #[error("`run_worker_first`: the pattern {pattern:?} is longer than {WORKER_FIRST_PATTERN_CHARS_MAX} characters")]
    TooLong {
        /// The pattern.
        pattern: String,
    },
}

impl WorkerFirst {
    /// Compiles the setting. The texts are warnings about patterns that have no effect.
    pub fn new(setting: &RunWorkerFirst) -> Result<(Self, Vec<String>), WorkerFirstError> {
        let patterns = match setting {
            RunWorkerFirst::All(true) => return Ok((Self::Always, Vec::new())),
            RunWorkerFirst::All(false) => return Ok((Self::Never, Vec::new())),
            RunWorkerFirst::Patterns(patterns) => patterns,
        };
        if patterns.is_empty() {
            return Err(WorkerFirstError::Empty);
        }
        if patterns.len() > WORKER_FIRST_PATTERNS_MAX {
            return Err(WorkerFirstError::TooMany { count: patterns.len() });
        }
        let (mut worker, mut assets) = (Vec::new(), Vec::new());
        for pattern in patterns {
            let owned = || pattern.clone();
            if pattern.chars().count() > WORKER_FIRST_PATTERN_CHARS_MAX {
                return Err(WorkerFirstError::TooLong { pattern: owned() });
            }
            match pattern.strip_prefix('!') {
                Some(path) if path.starts_with('/') => assets.push(path),
                None if pattern.starts_with('/') => worker.push(pattern.as_str()),
                _ => return Err(WorkerFirstError::Prefix { pattern: owned() }),
            }
        }
        if worker.is_empty() {
            return Err(WorkerFirstError::OnlyNegative);
        }
        let mut warnings = redundant(&worker, "");
        warnings.extend(redundant(&assets, "!"));
        let compiled = Self::Patterns {
            worker: globs(&worker),
            assets: globs(&assets),
        };
        Ok((compiled, warnings))
    }

    /// `path` is that of a parsed URL.
    pub(crate) fn route(&self, path: &str) -> Route {
        match self {
            Self::Never => Route::Unsaid { patterns: false },
            Self::Always => Route::Worker,
            Self::Patterns { assets, .. } if assets.is_match(path.as_bytes()) => Route::Assets,
            Self::Patterns { worker, .. } if worker.is_match(path.as_bytes()) => Route::Worker,
            Self::Patterns { .. } => Route::Unsaid { patterns: true },
        }
    }
}

fn globs(patterns: &[&str]) -> RegexSet {
    let source = |pattern: &&str| {
        let parts: Vec<String> = pattern.split('*').map(regex::escape).collect();
        format!("^{}$", parts.join(".*"))
    };
    RegexSetBuilder::new(patterns.iter().map(source))
        .unicode(false)
        .dot_matches_new_line(true)
        .build()
        // Escaped literals and `.*` always parse, and 100 patterns of 100 characters are far below the size limit.
        .unwrap_or_else(|error| unreachable!("{error}"))
}

fn redundant(patterns: &[&str], mark: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    for (index, pattern) in patterns.iter().enumerate() {
        if patterns[..index].contains(pattern) {
            warnings.push(format!("`run_worker_first`: {mark}{pattern} is there twice"));
            continue;
        }
        let covers = |other: &&&str| {
            other != &pattern
                && other
                    .strip_suffix('*')
                    .is_some_and(|prefix| pattern.starts_with(prefix))
        };
        if let Some(other) = patterns.iter().find(covers) {
            warnings.push(format!(
                "`run_worker_first`: {mark}{other} makes {mark}{pattern} redundant"
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(list: &[&str]) -> RunWorkerFirst {
        RunWorkerFirst::Patterns(list.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn routes() {
        const UNSAID: Route = Route::Unsaid { patterns: true };
        let check = |list: &[&str], path: &str, expected: Route| {
            let (compiled, _) = WorkerFirst::new(&patterns(list)).unwrap();
            assert_eq!(compiled.route(path), expected, "{list:?} {path}");
        };
        check(&["/api/*"], "/api/x/y", Route::Worker);
        check(&["/api/*"], "/api/", Route::Worker);
        check(&["/api/*"], "/api", UNSAID);
        check(&["/api"], "/api/x", UNSAID);
        check(&["/api/*", "!/api/docs/*"], "/api/docs/x", Route::Assets);
        check(&["!/api/docs/*", "/api/*"], "/api/x", Route::Worker);
        check(&["/*/edit"], "/a/b/edit", Route::Worker);
        check(&["/a.b"], "/axb", UNSAID);
        check(&["/:id"], "/7", UNSAID);
        check(&["/*"], "/", Route::Worker);
    }

    #[test]
    fn refuses() {
        let check = |list: &[&str], expected: WorkerFirstError| {
            assert_eq!(WorkerFirst::new(&patterns(list)).unwrap_err(), expected);
        };
        let pattern = |text: &str| text.to_owned();
        check(&[], WorkerFirstError::Empty);
        check(&["!/a"], WorkerFirstError::OnlyNegative);
        check(&["a"], WorkerFirstError::Prefix { pattern: pattern("a") });
        check(&["/b", "!a"], WorkerFirstError::Prefix { pattern: pattern("!a") });
        check(&["/a"; 101], WorkerFirstError::TooMany { count: 101 });
        let long = format!("/{}", "a".repeat(100));
        check(&[&long], WorkerFirstError::TooLong { pattern: long.clone() });
    }

    #[test]
    fn warns_of_what_has_no_effect() {
        let check = |list: &[&str], expected: &[&str]| {
            let (_, warnings) = WorkerFirst::new(&patterns(list)).unwrap();
            assert_eq!(warnings, expected, "{list:?}");
        };
        check(&["/a/*", "/b"], &[]);
        check(&["/a", "/a"], &["`run_worker_first`: /a is there twice"]);
        check(&["/a/*", "/a/b"], &["`run_worker_first`: /a/* makes /a/b redundant"]);
        check(&["/a/*", "!/a/b"], &[]);
    }
}
