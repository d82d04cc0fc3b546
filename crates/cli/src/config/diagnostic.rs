//! What is wrong or odd in a configuration, said with file, line, column and key.

use crate::target::Failure;
use std::fmt;
use std::path::PathBuf;

/// A place in a file. Both numbers start at 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// One complaint about a configuration, an error or a warning by where it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The file, relative to the working directory where it is below it.
    pub file: String,
    /// Where in the file, if the complaint is about something that is there.
    pub at: Option<Position>,
    /// The key's path, `kv_namespaces[0].id`; empty when it is about the whole file.
    pub key: String,
    /// What is wrong and what to do, one or more lines.
    pub message: String,
}

/// Something odd that does not keep the worker from running.
pub type ConfigWarning = Complaint;

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            f.write_str(&self.file)?;
            if let Some(at) = self.at {
                write!(f, ":{}:{}", at.line, at.column)?;
            }
            f.write_str(": ")?;
        }
        if !self.key.is_empty() {
            write!(f, "\"{}\": ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Why a project's configuration cannot be used. All of them are the project's to correct.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no configuration file and no script was named.
    #[error(
        "no wrangler.json, wrangler.jsonc or wrangler.toml in {} or above it\n\
         Run `atoll init` there to start a project, or name the configuration with --config.",
        .0.display()
    )]
    NotFound(PathBuf),
    /// The project's directory, or a file that was named, is not there or cannot be read.
    #[error("cannot read {file}: {cause}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        cause: String,
    },
    /// A file is not well-formed, or says what cannot be.
    #[error("{}", lines(.0))]
    Invalid(Vec<Complaint>),
}

impl ConfigError {
    /// The error as a session shows it.
    pub(crate) fn failure(&self) -> Failure {
        let (title, detail) = (self.title(), self.to_string());
        // What the heading says already is not said again.
        let rest = detail.strip_prefix(&format!("{title}: ")).map(str::to_owned);
        Failure {
            detail: rest.unwrap_or(detail),
            title,
            fatal: false,
        }
    }

    /// One line that says which file is at fault, for a heading above the text of the error.
    pub fn title(&self) -> String {
        match self {
            Self::NotFound(_) => "no configuration found".to_owned(),
            Self::Unreadable { file, .. } => format!("cannot read {file}"),
            Self::Invalid(complaints) => match complaints.as_slice() {
                [] => "the configuration is not valid".to_owned(),
                [one] => format!("{} is not valid", one.file),
                [first, ..] => format!("{} is not valid: {} errors", first.file, complaints.len()),
            },
        }
    }
}

fn lines(complaints: &[Complaint]) -> String {
    let lines: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
    lines.join("\n")
}

/// Gathers complaints while one file is read.
#[derive(Debug)]
pub(crate) struct Findings {
    /// The file as messages name it.
    pub file: String,
    pub errors: Vec<Complaint>,
    pub warnings: Vec<Complaint>,
}

impl Findings {
    pub fn new(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub fn error(&mut self, at: impl Into<Option<Position>>, key: impl Into<String>, message: impl Into<String>) {
        let complaint = self.complaint(at, key, message);
        self.errors.push(complaint);
    }

    pub fn warn(&mut self, at: impl Into<Option<Position>>, key: impl Into<String>, message: impl Into<String>) {
        let complaint = self.complaint(at, key, message);
        self.warnings.push(complaint);
    }

    fn complaint(
        &self,
        at: impl Into<Option<Position>>,
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> Complaint {
        Complaint {
            file: self.file.clone(),
            at: at.into(),
            key: key.into(),
            message: message.into(),
        }
    }
}
