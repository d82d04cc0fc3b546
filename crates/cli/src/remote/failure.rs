//! Why a command did not do what it was told: what failed, on what, whose fault, what to do; and the exit status that says so.

use serde_json::{Value, json};

/// Done.
pub const OK: u8 = 0;
/// Failed, for a reason that has no status of its own.
pub const FAILED: u8 = 1;
/// Not logged in, or not allowed.
pub const REFUSED: u8 = 3;
/// What was named is not there.
pub const NOT_THERE: u8 = 4;
/// Something else is in the way: a name that is taken, a state that changed meanwhile.
pub const CONFLICT: u8 = 5;
/// The control plane cannot be reached, or is at fault.
pub const UNREACHABLE: u8 = 6;
/// The deployment was rolled back.
pub const ROLLED_BACK: u8 = 7;
/// Stopped by Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandError {
    /// The exit status.
    pub exit: u8,
    /// A word for machines: the control plane's own, or one of `unreachable`, `malformed`, `usage`, `files`, `project`.
    pub code: String,
    /// What failed, on what.
    pub message: String,
    /// Whose fault, what to do.
    pub hint: Option<String>,
    /// The control plane's HTTP status, if it answered.
    pub status: Option<u16>,
}

pub(crate) type Result<T, E = CommandError> = std::result::Result<T, E>;

impl CommandError {
    /// A failure without a status of its own.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            exit: FAILED,
            code: code.to_owned(),
            message: message.into(),
            hint: None,
            status: None,
        }
    }

    /// What the caller gave cannot be used.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", message)
    }

    /// A file that cannot be read or written.
    pub fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new("files", format!("{}: {error}", path.display()))
    }

    /// What was named is not there.
    pub fn missing(message: impl Into<String>) -> Self {
        Self {
            exit: NOT_THERE,
            ..Self::new("not_found", message)
        }
    }

    /// With what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With this exit status.
    pub fn exit(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }

    /// With what to do about it, unless that is said already.
    pub fn or_hint(mut self, hint: impl FnOnce() -> String) -> Self {
        if self.hint.is_none() {
            self.hint = Some(hint());
        }
        self
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let error = json!({"code": self.code, "message": self.message, "hint": self.hint, "status": self.status});
        json!({"error": error, "exit": self.exit})
    }
}

impl std::fmt::Display for CommandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n{hint}"))
    }
}

/// `; did you mean X?`, if one of `known` is near enough to `given`.
pub(crate) fn near_miss<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    crate::config::nearest(given, known).map(|near| format!("did you mean \"{near}\"?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said() {
        let error = CommandError::missing("there is no worker \"shpo\"").hint("did you mean \"shop\"?");
        assert_eq!(error.to_string(), "there is no worker \"shpo\"\ndid you mean \"shop\"?");
        assert_eq!(error.json()["error"]["code"], "not_found");
        assert_eq!(error.json()["exit"], 4);
        assert_eq!(error.clone().or_hint(|| "no".into()), error);
        assert_eq!(
            near_miss("shpo", ["cart", "shop"]).as_deref(),
            Some("did you mean \"shop\"?")
        );
        assert_eq!(near_miss("zebra", ["cart", "shop"]), None);
    }
}
