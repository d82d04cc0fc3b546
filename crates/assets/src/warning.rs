//! What a rule file's author should know about a line that does not do what it seems to.

use std::fmt;

/// The files with rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleFile {
    /// `_redirects`.
    Redirects,
    /// `_headers`.
    Headers,
    /// `.assetsignore`.
    Ignore,
}

impl RuleFile {
    /// The file's name in the assets directory.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redirects => "_redirects",
            Self::Headers => "_headers",
            Self::Ignore => ".assetsignore",
        }
    }
}

/// A line that was ignored, and why. Shown as `_redirects:3: ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub file: RuleFile,
    /// 1-based.
    pub line: usize,
    /// What is wrong and what was done about it.
    pub message: String,
}

impl Warning {
    pub(crate) fn new(file: RuleFile, line: usize, message: impl Into<String>) -> Self {
        Self {
            file,
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.name(), self.line, self.message)
    }
}
