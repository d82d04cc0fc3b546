//! JSON, JSONC and TOML as one tree of values that remember where they stand.
//!
//! Syntax errors give file, line and column. A key that stands twice in JSON is an odd thing and not an error (the later
//! one counts, as in JavaScript); in TOML it is a syntax error.

use super::diagnostic::{ConfigError, Findings, Position};
use indexmap::IndexMap;
use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use std::fmt;

/// The most that a configuration file may hold, bytes. Generated ones that list thousands of routes stay far below.
pub(crate) const CONFIG_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// JSON with comments and trailing commas; `.json` files may have them too.
    Json,
    Toml,
}

/// A value and where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub at: Position,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    /// TOML alone has dates; no key takes one.
    Date(String),
    List(Vec<Node>),
    Table(Table),
}

/// A table in the order of the file.
pub(crate) type Table = IndexMap<String, Entry>;

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Where the key stands.
    pub at: Position,
    pub node: Node,
}

impl Node {
    pub fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The value without its places.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Number(number) => serde_json::Value::Number(number.clone()),
            Value::Text(text) | Value::Date(text) => text.clone().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Table(table) => serde_json::Value::Object(
                table
                    .iter()
                    .map(|(key, entry)| (key.clone(), entry.node.to_json()))
                    .collect(),
            ),
        }
    }
}

/// What a value is, for "found ..." in messages: short, and never the whole of a big value.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Null => f.write_str("null"),
            Value::Bool(flag) => write!(f, "{flag}"),
            Value::Number(number) => write!(f, "the number {number}"),
            Value::Text(text) if text.chars().count() <= 40 => write!(f, "the string {text:?}"),
            Value::Text(text) => {
                let start: String = text.chars().take(37).collect();
                write!(f, "the string \"{start}...\"")
            }
            Value::Date(date) => write!(f, "the date {date} (put it in quotes to make it a string)"),
            Value::List(_) => f.write_str("a list"),
            Value::Table(_) => f.write_str("an object"),
        }
    }
}

/// Parses a configuration. Its top level must be an object.
pub(crate) fn parse(text: &str, syntax: Syntax, findings: &mut Findings) -> Result<Node, ConfigError> {
    // Editors on Windows leave a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = Lines::new(text);
    let invalid = |findings: &mut Findings, at: Position, message: String| {
        findings.error(at, "", message);
        Err(ConfigError::Invalid(std::mem::take(&mut findings.errors)))
    };
    if text.len() > CONFIG_BYTES_MAX {
        let message = format!(
            "the file has {} bytes, more than the limit of {CONFIG_BYTES_MAX}",
            text.len()
        );
        return invalid(findings, lines.position(0), message);
    }
    match syntax {
        Syntax::Json => match jsonc_parser::parse_to_ast(text, &Default::default(), &JSON) {
            Ok(parsed) => match parsed.value {
                Some(value @ ast::Value::Object(_)) => {
                    let mut duplicates = Vec::new();
                    let node = json_node(value, &lines, &mut duplicates);
                    for (at, key, first) in duplicates {
                        let message = format!(
                            "stands twice in this object (first in line {}); this one counts",
                            first.line
                        );
                        findings.warn(at, key, message);
                    }
                    Ok(node)
                }
                Some(other) => {
                    let at = lines.position(other.start());
                    invalid(findings, at, "a configuration must be an object: { ... }".to_owned())
                }
                None => invalid(findings, lines.position(0), "the file is empty".to_owned()),
            },
            Err(error) => {
                let at = lines.position(error.range().start);
                let kind = error.kind().to_string();
                invalid(findings, at, format!("not valid JSON: {}", lower_first(&kind)))
            }
        },
        Syntax::Toml => match toml::de::DeTable::parse(text) {
            Ok(table) => {
                let at = lines.position(0);
                Ok(Node {
                    at,
                    value: Value::Table(toml_table(table.into_inner(), &lines)),
                })
            }
            Err(error) => {
                let at = lines.position(error.span().map_or(0, |span| span.start));
                invalid(
                    findings,
                    at,
                    format!("not valid TOML: {}", error.message().replace('\n', ", ")),
                )
            }
        },
    }
}

const JSON: jsonc_parser::ParseOptions = jsonc_parser::ParseOptions {
    allow_comments: true,
    allow_loose_object_property_names: false,
    allow_trailing_commas: true,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

fn json_node(value: ast::Value<'_>, lines: &Lines<'_>, duplicates: &mut Vec<(Position, String, Position)>) -> Node {
    let at = lines.position(value.start());
    let value = match value {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
        ast::Value::StringLit(literal) => Value::Text(literal.value.into_owned()),
        ast::Value::NumberLit(literal) => match literal.value.parse() {
            Ok(number) => Value::Number(number),
            // Too large for a double: keep the digits, every key that wants a number then says what it found.
            Err(_) => Value::Text(literal.value.to_owned()),
        },
        ast::Value::Array(array) => Value::List(
            array
                .elements
                .into_iter()
                .map(|item| json_node(item, lines, duplicates))
                .collect(),
        ),
        ast::Value::Object(object) => {
            let mut table = Table::with_capacity(object.properties.len());
            for property in object.properties {
                let at = lines.position(property.range.start);
                let key = property.name.into_string();
                let node = json_node(property.value, lines, duplicates);
                if let Some(first) = table.get(&key).map(|entry: &Entry| entry.at) {
                    duplicates.push((at, key.clone(), first));
                }
                table.insert(key, Entry { at, node });
            }
            Value::Table(table)
        }
    };
    Node { at, value }
}

fn toml_table(table: toml::de::DeTable<'_>, lines: &Lines<'_>) -> Table {
    let mut entries: Vec<(usize, String, Entry)> = table
        .into_iter()
        .map(|(key, value)| {
            let start = key.span().start;
            let node = toml_node(value, lines);
            (
                start,
                key.into_inner().into_owned(),
                Entry {
                    at: lines.position(start),
                    node,
                },
            )
        })
        .collect();
    // The parser keeps keys in alphabetical order; a worker's bindings keep the order of the file.
    entries.sort_by_key(|(start, ..)| *start);
    entries.into_iter().map(|(_, key, entry)| (key, entry)).collect()
}

fn toml_node(value: toml::Spanned<toml::de::DeValue<'_>>, lines: &Lines<'_>) -> Node {
    use toml::de::DeValue;
    let at = lines.position(value.span().start);
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Boolean(flag) => Value::Bool(flag),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Integer(integer) => {
            let parsed = i64::from_str_radix(integer.as_str(), integer.radix());
            match parsed {
                Ok(number) => Value::Number(number.into()),
                Err(_) => Value::Text(integer.as_str().to_owned()),
            }
        }
        DeValue::Float(float) => match float.as_str().parse().ok().and_then(serde_json::Number::from_f64) {
            Some(number) => Value::Number(number),
            // `inf` and `nan`, which JSON does not have.
            None => Value::Text(float.as_str().to_owned()),
        },
        DeValue::Array(items) => Value::List(items.into_iter().map(|item| toml_node(item, lines)).collect()),
        DeValue::Table(table) => Value::Table(toml_table(table, lines)),
    };
    Node { at, value }
}

/// Byte offsets to lines and columns.
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    /// Offsets of bytes that go on a character: a file may be one long line, in which each value asks for its column.
    inner: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        let inner = text.bytes().enumerate().filter(|(_, byte)| (0x80..0xc0).contains(byte));
        Self {
            text,
            starts,
            inner: inner.map(|(at, _)| at).collect(),
        }
    }

    /// The place of a byte offset; one past the end is the end.
    pub fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        // `starts` begins with 0, so at least one start is not after the offset.
        let start = self.starts[line - 1];
        let before = |end: usize| self.inner.partition_point(|at| *at < end);
        let column = offset - start - (before(offset) - before(start));
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Position {
            line: count(line),
            column: count(column + 1),
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_characters_and_cost_no_walk_through_the_line() {
        let lines = Lines::new("ab\n\u{e9}\u{1f600}c\n");
        let check = |offset: usize, line: u32, column: u32| {
            assert_eq!(lines.position(offset), Position { line, column }, "{offset}");
        };
        check(0, 1, 1);
        check(2, 1, 3);
        check(3, 2, 1);
        check(5, 2, 2);
        check(9, 2, 3);
        check(10, 2, 4);
        check(11, 3, 1);
        check(99, 3, 1);
        // A value in each of two million columns of one line: a walk for each would not end.
        let text = "[],".repeat(1 << 20);
        let lines = Lines::new(&text);
        let last = (0..text.len())
            .map(|offset| lines.position(offset).column)
            .fold(0, |_, column| column);
        assert_eq!(last, 3 << 20);
    }
}
