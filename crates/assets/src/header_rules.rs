//! `_headers`: a path on a line of its own, then `Name: value` to set or `! Name` to remove, for every answer that the
//! assets give (not the worker's) at that path.

use crate::pattern::Pattern;
use crate::redirect_rules::normal_path;
use crate::warning::{RuleFile, Warning};
use crate::{HEADER_RULES_MAX, LINE_CHARS_MAX};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::collections::HashSet;
use url::Url;

/// The rules of a `_headers` file.
#[derive(Debug, Clone, Default)]
pub struct HeaderRules {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    pattern: Pattern,
    set: Vec<(HeaderName, String)>,
    unset: Vec<HeaderName>,
}

/// Headers that describe the message rather than what it says: a rule that set one would break the connection.
const FRAMING: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// A rule whose lines are being read. `pattern` is `None` for a path that cannot be used: its lines are then skipped.
struct Open {
    line: usize,
    path: String,
    pattern: Option<Pattern>,
    set: Vec<(HeaderName, String)>,
    unset: Vec<HeaderName>,
}

impl HeaderRules {
    /// Reads the file. Lines that cannot be used are left out and warned about.
    pub fn parse(text: &str) -> (Self, Vec<Warning>) {
        let mut rules = Self::default();
        let mut warnings = Vec::new();
        let mut open: Option<Open> = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let warn = |message: String| Warning::new(RuleFile::Headers, index + 1, message);
            if line.chars().count() > LINE_CHARS_MAX {
                warnings.push(warn(format!(
                    "longer than {LINE_CHARS_MAX} characters; the line is ignored"
                )));
                continue;
            }
            if is_path(line) {
                rules.close(open.take(), &mut warnings);
                if rules.rules.len() >= HEADER_RULES_MAX {
                    warnings.push(warn(format!(
                        "more than {HEADER_RULES_MAX} rules; this line and the rest of the file are ignored"
                    )));
                    return (rules, warnings);
                }
                let pattern = match path_of(line).and_then(|path| Pattern::new(&path)) {
                    Ok(pattern) => Some(pattern),
                    Err(message) => {
                        warnings.push(warn(format!("{message}; the rule is ignored")));
                        None
                    }
                };
                open = Some(Open {
                    line: index + 1,
                    path: line.to_owned(),
                    pattern,
                    set: Vec::new(),
                    unset: Vec::new(),
                });
                continue;
            }
            let Some(rule) = &mut open else {
                warnings.push(warn(
                    "a path must come before its headers; the line is ignored".to_owned(),
                ));
                continue;
            };
            if let Err(message) = rule.read(line) {
                warnings.push(warn(format!("{message}; the line is ignored")));
            }
        }
        rules.close(open, &mut warnings);
        (rules, warnings)
    }

    fn close(&mut self, open: Option<Open>, warnings: &mut Vec<Warning>) {
        let Some(open) = open else { return };
        let Some(pattern) = open.pattern else { return };
        if open.set.is_empty() && open.unset.is_empty() {
            let message = format!("no headers for {}; the rule is ignored", open.path);
            warnings.push(Warning::new(RuleFile::Headers, open.line, message));
            return;
        }
        self.rules.push(Rule {
            pattern,
            set: open.set,
            unset: open.unset,
        });
    }

    /// How many rules are in force.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// No rules?
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Changes `headers` of an answer at `url` (as requested, not as rewritten) by every rule that matches, in file order.
    /// What a rule sets replaces what was there before the rules, and joins what earlier rules set.
    pub(crate) fn apply(&self, url: &Url, headers: &mut HeaderMap) {
        if self.rules.is_empty() {
            return;
        }
        let with_host = if self.rules.iter().any(|rule| rule.pattern.has_host()) {
            format!("https://{}{}", url.host_str().unwrap_or_default(), url.path())
        } else {
            String::new()
        };
        let mut by_rules: HashSet<HeaderName> = HashSet::new();
        for rule in &self.rules {
            let Some(matched) = rule.pattern.matches(url.path(), &with_host) else {
                continue;
            };
            for name in &rule.unset {
                headers.remove(name);
            }
            for (name, template) in &rule.set {
                let Ok(value) = HeaderValue::from_bytes(matched.fill(template).as_bytes()) else {
                    continue;
                };
                if by_rules.insert(name.clone()) {
                    headers.insert(name, value);
                } else {
                    join(headers, name, value);
                }
            }
        }
    }
}

/// Adds to a list value (RFC 9110 section 5.3); `Set-Cookie` cannot be a list and repeats.
fn join(headers: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    if *name == header::SET_COOKIE {
        headers.append(name, value);
        return;
    }
    let joined = match headers.get(name) {
        Some(before) => [before.as_bytes(), b", ", value.as_bytes()].concat(),
        None => value.as_bytes().to_vec(),
    };
    // Two legal values with ", " between them are a legal value.
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(name, joined);
    }
}

/// Does the line begin a rule?
fn is_path(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    line.starts_with('/') || first.find("://").is_some_and(|at| at > 0)
}

fn path_of(line: &str) -> Result<String, String> {
    if line.starts_with('/') {
        return normal_path(line);
    }
    let Some(rest) = line.strip_prefix("https://") else {
        return Err(format!("a path must begin with / or https://, not {line}"));
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if host.is_empty() {
        return Err(format!("{line} has no host"));
    }
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if host.rsplit_once(':').is_some_and(|(_, port)| is_port(port)) {
        return Err(format!("ports cannot be matched: {line}"));
    }
    // A parsed URL's host is in lower case; the names of placeholders keep theirs.
    let host = if host.contains(':') {
        host.to_owned()
    } else {
        host.to_ascii_lowercase()
    };
    Ok(format!("https://{host}{}", normal_path(path)?))
}

impl Open {
    fn read(&mut self, line: &str) -> Result<(), String> {
        let Some((name, value)) = line.split_once(':') else {
            let Some(name) = line.strip_prefix('!') else {
                return Err("expected `Name: value` or `! Name`".to_owned());
            };
            self.unset.push(header_name(name.trim())?);
            return Ok(());
        };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() {
            return Err("no header name before the colon".to_owned());
        }
        let name = header_name(name)?;
        if value.is_empty() {
            return Err(format!("no value for {name} (to remove a header write `! {name}`)"));
        }
        if FRAMING.contains(&name) {
            return Err(format!("{name} belongs to the connection and cannot be set"));
        }
        if HeaderValue::from_bytes(value.as_bytes()).is_err() {
            return Err(format!("the value of {name} has a character that headers cannot carry"));
        }
        match self
            .set
            .iter_mut()
            .find(|(set, _)| *set == name && name != header::SET_COOKIE)
        {
            Some((_, before)) => {
                before.push_str(", ");
                before.push_str(value);
            }
            None => self.set.push((name, value.to_owned())),
        }
        Ok(())
    }
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no header name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> (HeaderRules, Vec<String>) {
        let (rules, warnings) = HeaderRules::parse(text);
        (rules, warnings.iter().map(ToString::to_string).collect())
    }

    /// The answer has `content-type: text/css` and `etag: "e"` before the rules.
    fn check(text: &str, path: &str, expected: &[(&str, &str)]) {
        let (rules, warnings) = rules(text);
        assert_eq!(warnings, [""; 0], "{text}");
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/css"));
        headers.insert(header::ETAG, HeaderValue::from_static("\"e\""));
        rules.apply(
            &Url::parse(&format!("http://site.test:8787{path}")).unwrap(),
            &mut headers,
        );
        let mut found: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{text} {path}");
    }

    const PLAIN: &[(&str, &str)] = &[("content-type", "text/css"), ("etag", "\"e\"")];

    #[test]
    fn applies() {
        let with = |name, value| [("content-type", "text/css"), ("etag", "\"e\""), (name, value)];
        check("/a\n  X-A: 1", "/a", &with("x-a", "1"));
        check("/a\n  X-A: 1", "/b", PLAIN);
        check("/a\n  X-A: 1\n  X-A: 2", "/a", &with("x-a", "1, 2"));
        check("/*\n  X-A: 1\n/a\n  x-a: 2", "/a", &with("x-a", "1, 2"));
        check("/*\n  X-A: 1\n/a\n  ! X-A\n", "/a", PLAIN);
        check("/*\n  X-A: 1\n/a\n  ! X-A\n  X-A: 2", "/a", &with("x-a", "2"));
        check("/a\n  ! ETag", "/a", &[("content-type", "text/css")]);
        check("/a\n  !ETag", "/a", &[("content-type", "text/css")]);
        check(
            "/a\n  Content-Type: text/plain",
            "/a",
            &[("content-type", "text/plain"), ("etag", "\"e\"")],
        );
        check("/u/:id\n  X-Id: user :id", "/u/7", &with("x-id", "user 7"));
        check("/s/*\n  X-S: :splat", "/s/a/b", &with("x-s", "a/b"));
        check("https://site.test/*\n  X-S: :splat", "/p", &with("x-s", "p"));
        check("https://other.test/*\n  X-S: 1", "/p", PLAIN);
        check("https://:name.test/*\n  X-S: :name", "/p", &with("x-s", "site"));
        check("# c\n/a\n\n  # c\n  X-A: a: b", "/a", &with("x-a", "a: b"));
        check(
            "/a\n  Set-Cookie: a=1\n  Set-Cookie: b=2",
            "/a",
            &[
                ("content-type", "text/css"),
                ("etag", "\"e\""),
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
            ],
        );
        check(
            "/a\n  Link: </b>; rel=preload, <https://x.test/>; rel=next",
            "/a",
            &with("link", "</b>; rel=preload, <https://x.test/>; rel=next"),
        );
    }

    #[test]
    fn warns() {
        let check = |text: &str, expected: &str| {
            let (_, warnings) = rules(text);
            assert!(
                warnings.len() == 1 && warnings[0].contains(expected),
                "{text}: {warnings:?}"
            );
        };
        check("X-A: 1", "_headers:1: a path must come before");
        check("/a", "_headers:1: no headers for /a");
        check("/a\n/b\n  X: 1", "_headers:1: no headers for /a");
        check("/a\n  nonsense\n  X: 1", "_headers:2: expected `Name: value`");
        check("/a\n  : 1\n  X: 1", "no header name");
        check("/a\n  X:\n  Y: 1", "no value for x");
        check("/a\n  X Y: 1\n  X: 1", "is no header name");
        check("/a\n  X: a\u{1}b\n  Y: 1", "a character that headers cannot carry");
        check("/a\n  Content-Length: 5\n  Y: 1", "belongs to the connection");
        check("http://x.test/\n  X: 1", "a path must begin with");
        check("https://x.test:80/\n  X: 1", "ports cannot be matched");
        check("/*/*\n  X: 1", "only one *");
        check(&format!("/a\n  X: {}\n  Y: 1", "b".repeat(2000)), "longer than 2000");
    }

    #[test]
    fn lines_of_a_broken_rule_do_not_join_the_rule_before() {
        let (rules, warnings) = rules("/a\n  X: 1\nhttp://x.test/\n  Y: 2");
        assert_eq!((rules.len(), warnings.len()), (1, 1));
        assert_eq!(rules.rules[0].set.len(), 1);
    }

    #[test]
    fn holds_its_limit() {
        let text: String = (0..103).map(|n| format!("/p{n}\n  X: 1\n")).collect();
        let (rules, warnings) = rules(&text);
        assert_eq!((rules.len(), warnings.len()), (100, 1));
        assert!(warnings[0].starts_with("_headers:201: more than 100 rules"));
    }
}
