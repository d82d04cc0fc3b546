//! What `atoll up` writes: its own events and its children's lines, each marked with whose it is.

use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write as _};

/// See the module.
#[derive(Debug)]
pub(crate) struct Lines {
    json: bool,
    colour: bool,
    width: usize,
}

impl Lines {
    /// For names of at most `width` letters.
    pub(crate) fn new(json: bool, width: usize) -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json,
            colour: !json && !forbidden && std::io::stdout().is_terminal(),
            width,
        }
    }

    /// Is one JSON object written a line?
    pub(crate) fn are_json(&self) -> bool {
        self.json
    }

    fn write(&self, line: &str) {
        // A reader that went away costs the lines, not what runs.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }

    /// A child's line.
    pub(crate) fn of(&self, name: &str, line: &str) {
        if self.json {
            let record = match serde_json::from_str::<Value>(line) {
                Ok(Value::Object(mut record)) => {
                    record.insert("process".to_owned(), name.into());
                    Value::Object(record)
                }
                _ => json!({"event": "line", "process": name, "line": line}),
            };
            return self.write(&record.to_string());
        }
        let width = self.width;
        match self.colour {
            true => self.write(&format!("\x1b[2m{name:<width$} |\x1b[0m {line}")),
            false => self.write(&format!("{name:<width$} | {line}")),
        }
    }

    /// Something of the supervisor's own, about a child.
    pub(crate) fn event(&self, event: &str, name: &str, what: &str) {
        if self.json {
            return self.write(&json!({"event": event, "process": name, "what": what}).to_string());
        }
        self.of(name, what);
    }

    /// An event with its fields, or its text for people.
    pub(crate) fn say(&self, event: &str, mut fields: Value, text: &str) {
        if self.json {
            fields["event"] = event.into();
            return self.write(&fields.to_string());
        }
        self.write(text);
    }
}
