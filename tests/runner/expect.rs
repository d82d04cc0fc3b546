//! Compares an answer with what a spec expects. Every difference is listed, not only the first.

use super::format::{Expect, HeaderExpect};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use serde_json::Value;

/// An answer, wholly read.
#[derive(Debug, Clone, Default)]
pub struct Received {
    /// The status.
    pub status: u16,
    /// The reason phrase, where the protocol has one.
    pub reason: Option<String>,
    /// In the order they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// After the body.
    pub trailers: Vec<(String, String)>,
    /// Why the body broke off.
    pub broken: Option<String>,
}

impl Received {
    /// All values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        values(&self.headers, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The answer as one reads it in a terminal, cut where it is long.
    pub fn show(&self) -> String {
        const SHOWN: usize = 4000;
        let mut text = format!("{} {}\n", self.status, self.reason.as_deref().unwrap_or(""));
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\n");
        }
        text += "\n";
        text.extend(self.text().chars().take(SHOWN));
        if let Some(why) = &self.broken {
            text += &format!("\n[broke off: {why}]");
        }
        text
    }
}

fn values<'a>(headers: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    headers
        .iter()
        .filter(|(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect()
}

/// What differs; empty if nothing does.
pub fn differences(expect: &Expect, received: &Received) -> Vec<String> {
    let mut found = Vec::new();
    let status = expect.status.unwrap_or(200);
    if received.status != status {
        found.push(format!("status is {}, expected {status}", received.status));
    }
    if let (Some(expected), Some(actual)) = (&expect.reason, &received.reason)
        && expected != actual
    {
        found.push(format!("reason phrase is {actual:?}, expected {expected:?}"));
    }
    for (name, expected) in &expect.headers {
        let actual = received.header(name);
        let holds = match expected {
            HeaderExpect::Present(present) => *present != actual.is_empty(),
            // Several fields of one name mean the same as one with all the values (RFC 9110 5.3), cookies excepted.
            HeaderExpect::Is(value) if name != "set-cookie" => !actual.is_empty() && text_is(value, &actual.join(", ")),
            HeaderExpect::Is(value) => actual.len() == 1 && text_is(value, actual[0]),
            HeaderExpect::All(values) => {
                values.len() == actual.len() && values.iter().zip(&actual).all(|(value, actual)| text_is(value, actual))
            }
        };
        if !holds {
            found.push(format!("header {name} is {actual:?}, expected {expected:?}"));
        }
    }
    for (name, expected) in &expect.trailers {
        let actual = values(&received.trailers, name);
        if actual != [expected.as_str()] {
            found.push(format!("trailer {name} is {actual:?}, expected {expected:?}"));
        }
    }
    match (&received.broken, expect.broken) {
        (Some(why), false) => found.push(format!("the body broke off: {why}")),
        (None, true) => found.push("the body came to its end, expected it to break off".to_owned()),
        _ => {}
    }
    body_differences(expect, received, &mut found);
    found
}

fn body_differences(expect: &Expect, received: &Received, found: &mut Vec<String>) {
    let text = received.text();
    if let Some(expected) = &expect.body
        && received.body != expected.as_bytes()
    {
        found.push(format!("body is {text:?}, expected {expected:?}"));
    }
    if let Some(expected) = &expect.body_base64 {
        let actual = STANDARD.encode(&received.body);
        if actual != *expected {
            found.push(format!("body is {actual} (base64), expected {expected}"));
        }
    }
    if let Some(length) = expect.length
        && received.body.len() != length
    {
        found.push(format!("body has {} bytes, expected {length}", received.body.len()));
    }
    for part in &expect.contains {
        if !text.contains(part.as_str()) {
            found.push(format!("body lacks {part:?}"));
        }
    }
    for part in &expect.lacks {
        if text.contains(part.as_str()) {
            found.push(format!("body contains {part:?}"));
        }
    }
    if let Some(pattern) = &expect.matches {
        match Regex::new(pattern) {
            Ok(pattern) if pattern.is_match(&text) => {}
            Ok(_) => found.push(format!("body does not match {pattern:?}")),
            Err(error) => found.push(format!("the spec's pattern is wrong: {error}")),
        }
    }
    if let Some(expected) = &expect.json {
        match (
            serde_json::from_str::<Value>(expected),
            serde_json::from_str::<Value>(&text),
        ) {
            (Err(error), _) => found.push(format!("the spec's JSON is wrong: {error}")),
            (_, Err(error)) => found.push(format!("body is no JSON: {error}")),
            (Ok(expected), Ok(actual)) => json_differences("", &expected, &actual, found),
        }
    }
}

/// Whether a text is as expected: `/.../` is a pattern, anything else is the text itself.
pub fn text_is(expected: &str, actual: &str) -> bool {
    match expected
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix('/'))
        .filter(|pattern| !pattern.is_empty())
    {
        Some(pattern) => Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(actual)),
        None => expected == actual,
    }
}

fn json_differences(at: &str, expected: &Value, actual: &Value, found: &mut Vec<String>) {
    match (expected, actual) {
        (Value::String(any), _) if any == "<any>" => {}
        (Value::String(pattern), Value::String(text)) if pattern.starts_with("<match ") && pattern.ends_with('>') => {
            let pattern = &pattern["<match ".len()..pattern.len() - 1];
            if !Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text)) {
                found.push(format!("json {at} is {text:?}, which does not match {pattern}"));
            }
        }
        (Value::Object(expected), Value::Object(actual)) => {
            for (key, expected) in expected {
                match actual.get(key) {
                    Some(actual) => json_differences(&format!("{at}/{key}"), expected, actual, found),
                    None => found.push(format!("json {at}/{key} is absent, expected {expected}")),
                }
            }
            for (key, actual) in actual {
                if !expected.contains_key(key) {
                    found.push(format!("json {at}/{key} is {actual}, expected to be absent"));
                }
            }
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                json_differences(&format!("{at}/{index}"), expected, actual, found);
            }
        }
        (Value::Number(expected), Value::Number(actual)) if expected.as_f64() == actual.as_f64() => {}
        _ if expected == actual => {}
        _ => found.push(format!("json {at} is {actual}, expected {expected}")),
    }
}

/// Checks of the checks: a comparison that accepts everything would make every spec pass.
pub fn self_test() -> Result<(), String> {
    let received = Received {
        status: 200,
        headers: vec![
            ("a".into(), "1".into()),
            ("b".into(), "x".into()),
            ("b".into(), "y".into()),
        ],
        body: br#"{"n":1,"list":["a",2]}"#.to_vec(),
        ..Received::default()
    };
    let check = |text: &str, count: usize| {
        let expect: Expect = toml::from_str(text).map_err(|error| format!("{text}: {error}"))?;
        let found = differences(&expect, &received);
        if found.len() == count {
            Ok(())
        } else {
            Err(format!("{text}: {found:?}, expected {count}"))
        }
    };
    check("", 0)?;
    check("status = 404", 1)?;
    check("headers = { a = \"1\", c = false, A = true }", 0)?;
    check("headers = { a = \"2\", c = true, b = false }", 3)?;
    check("headers = { a = \"/^[0-9]$/\", b = [\"x\", \"y\"] }", 0)?;
    check("headers = { a = \"/^[a-z]$/\", b = [\"y\", \"x\"] }", 2)?;
    check("headers = { b = \"x\" }", 1)?;
    check("headers = { b = \"x, y\" }", 0)?;
    check("headers = { c = \"/^$/\" }", 1)?;
    check("body = \"\"", 1)?;
    check(
        "length = 22\ncontains = [\"list\"]\nlacks = [\"none\"]\nmatches = \"^.n\"",
        1,
    )?;
    check("contains = [\"none\"]\nlacks = [\"list\"]", 2)?;
    check("json = '{\"n\":1.0,\"list\":[\"<match ^a$>\",\"<any>\"]}'", 0)?;
    check("json = '{\"n\":2,\"list\":[\"a\",2,3],\"more\":1}'", 3)?;
    check("json = '{\"n\":1}'", 1)?;
    check("json = '{\"n\":1,\"list\":[\"<match ^b$>\",3]}'", 2)?;
    check("broken = true", 1)
}
