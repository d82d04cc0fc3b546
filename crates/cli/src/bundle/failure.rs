//! Why a project did not build: each error with its place in the sources and the code around it.

use crate::target::Failure;
use std::fmt;
use std::path::PathBuf;

/// How many errors a failure shows; the rest is counted.
pub const ERRORS_SHOWN_MAX: usize = 8;

/// One error of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildError {
    /// What is wrong and what to do, one or more lines.
    pub message: String,
    /// The file, relative to the project; empty if no file is at fault.
    pub file: String,
    /// 1-based; 0 if unknown.
    pub line: u32,
    /// 1-based, in UTF-16 units; 0 if unknown.
    pub column: u32,
    /// The code around the place, the place marked; several lines, empty if there is nothing to show.
    pub frame: String,
}

impl BuildError {
    /// An error that no place in a file is to blame for.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..Self::default()
        }
    }

    /// `file:line:column`, as far as known.
    pub fn place(&self) -> String {
        match (self.line, self.column) {
            (0, _) => self.file.clone(),
            (line, 0) => format!("{}:{line}", self.file),
            (line, column) => format!("{}:{line}:{column}", self.file),
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}: ", self.place())?;
        }
        f.write_str(&self.message)?;
        if !self.frame.is_empty() {
            write!(f, "\n{}", self.frame)?;
        }
        Ok(())
    }
}

/// A build that failed. The project's to correct.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct BuildFailure {
    /// At least one.
    pub errors: Vec<BuildError>,
    /// The files read before it failed: correcting one of them is what to wait for.
    pub inputs: Vec<PathBuf>,
}

impl BuildFailure {
    /// A failure of one error.
    pub fn new(error: BuildError) -> Self {
        Self {
            errors: vec![error],
            inputs: Vec::new(),
        }
    }

    /// One line.
    pub fn title(&self) -> String {
        match self.errors.len() {
            0 | 1 => "the build failed".to_owned(),
            n => format!("the build failed with {n} errors"),
        }
    }

    fn text(&self) -> String {
        let mut parts: Vec<String> = self
            .errors
            .iter()
            .take(ERRORS_SHOWN_MAX)
            .map(BuildError::to_string)
            .collect();
        if self.errors.len() > ERRORS_SHOWN_MAX {
            parts.push(format!("... and {} more", self.errors.len() - ERRORS_SHOWN_MAX));
        }
        parts.join("\n\n")
    }
}

impl From<&BuildFailure> for Failure {
    fn from(failure: &BuildFailure) -> Self {
        Self {
            title: failure.title(),
            detail: failure.to_string(),
            fatal: false,
        }
    }
}
