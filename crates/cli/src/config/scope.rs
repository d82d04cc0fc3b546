//! One table of the configuration read field by field: every wrong type is reported, with the field's path and place.

use super::diagnostic::{Findings, Position};
use super::keys;
use super::tree::{Node, Table, Value};

/// A table and the path by which messages name it.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    pub table: &'a Table,
    pub path: String,
    /// Where the table begins.
    pub at: Position,
}

impl<'a> Fields<'a> {
    /// The table in `node`, or an error that says what is there instead.
    pub fn of(node: &'a Node, path: impl Into<String>, findings: &mut Findings) -> Option<Self> {
        let path = path.into();
        match node.table() {
            Some(table) => Some(Self {
                table,
                path,
                at: node.at,
            }),
            None => {
                findings.error(node.at, path, format!("expected an object, found {node}"));
                None
            }
        }
    }

    pub fn key(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    pub fn node(&self, name: &str) -> Option<&'a Node> {
        self.table.get(name).map(|entry| &entry.node)
    }

    /// Reports every key that is not in `known`.
    pub fn known(&self, known: &[&str], findings: &mut Findings) {
        for (name, entry) in self.table {
            if !known.contains(&name.as_str()) {
                unknown(entry.at, self.key(name), name, known.iter().copied(), findings);
            }
        }
    }

    pub fn text(&self, name: &str, findings: &mut Findings) -> Option<String> {
        text(self.node(name)?, || self.key(name), findings)
    }

    /// A string that must be there and say something.
    pub fn required_text(&self, name: &str, findings: &mut Findings) -> Option<String> {
        match self.node(name) {
            None => {
                findings.error(self.at, self.key(name), "is required: expected a string");
                None
            }
            Some(node) => {
                let value = text(node, || self.key(name), findings)?;
                if value.is_empty() {
                    findings.error(node.at, self.key(name), "must not be empty");
                    return None;
                }
                Some(value)
            }
        }
    }

    pub fn flag(&self, name: &str, findings: &mut Findings) -> Option<bool> {
        let node = self.node(name)?;
        match node.value {
            Value::Bool(flag) => Some(flag),
            _ => {
                findings.error(node.at, self.key(name), format!("expected true or false, found {node}"));
                None
            }
        }
    }

    /// A whole number between `min` and `max`.
    pub fn integer(&self, name: &str, min: u64, max: u64, findings: &mut Findings) -> Option<u64> {
        let node = self.node(name)?;
        if let Value::Number(number) = &node.value {
            // TOML and JSON both may write 8787.0.
            let whole = number.as_u64().or_else(|| {
                number
                    .as_f64()
                    .filter(|n| n.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(n))
                    .map(|n| n as u64)
            });
            if let Some(value) = whole.filter(|value| (min..=max).contains(value)) {
                return Some(value);
            }
        }
        findings.error(
            node.at,
            self.key(name),
            format!("expected a whole number from {min} to {max}, found {node}"),
        );
        None
    }

    /// One of the given words.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)], findings: &mut Findings) -> Option<T> {
        let node = self.node(name)?;
        if let Value::Text(text) = &node.value
            && let Some((_, value)) = choices.iter().find(|(word, _)| word == text)
        {
            return Some(*value);
        }
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let hint = match &node.value {
            Value::Text(text) => keys::nearest(text, choices.iter().map(|(word, _)| *word))
                .map_or_else(String::new, |near| format!(" (did you mean \"{near}\"?)")),
            _ => String::new(),
        };
        findings.error(
            node.at,
            self.key(name),
            format!("expected one of {}, found {node}{hint}", words.join(", ")),
        );
        None
    }

    pub fn list(&self, name: &str, findings: &mut Findings) -> Option<&'a [Node]> {
        list(self.node(name)?, || self.key(name), findings)
    }

    /// A list of strings; items of another type are reported and left out.
    pub fn texts(&self, name: &str, findings: &mut Findings) -> Option<Vec<(Position, String)>> {
        let items = self.list(name, findings)?;
        Some(texts(items, &self.key(name), findings))
    }
}

pub(crate) fn unknown<'k>(
    at: Position,
    path: String,
    name: &str,
    known: impl IntoIterator<Item = &'k str>,
    findings: &mut Findings,
) {
    let message = match keys::nearest(name, known) {
        Some(near) => format!("unknown key, ignored; did you mean \"{near}\"?"),
        None => "unknown key, ignored".to_owned(),
    };
    findings.warn(at, path, message);
}

pub(crate) fn text(node: &Node, path: impl FnOnce() -> String, findings: &mut Findings) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        _ => {
            findings.error(node.at, path(), format!("expected a string, found {node}"));
            None
        }
    }
}

pub(crate) fn list<'a>(node: &'a Node, path: impl FnOnce() -> String, findings: &mut Findings) -> Option<&'a [Node]> {
    match &node.value {
        Value::List(items) => Some(items),
        _ => {
            findings.error(node.at, path(), format!("expected a list, found {node}"));
            None
        }
    }
}

pub(crate) fn texts(items: &[Node], path: &str, findings: &mut Findings) -> Vec<(Position, String)> {
    let mut found = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        if let Some(value) = text(item, || format!("{path}[{index}]"), findings) {
            found.push((item.at, value));
        }
    }
    found
}
