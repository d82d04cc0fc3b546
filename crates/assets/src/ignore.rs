//! Which files of the assets directory are never served: `.assetsignore` in gitignore's syntax, and a list of our own.
//!
//! Matching ignores case, as the Workers tools do. As in git, a file inside an ignored directory cannot be brought back.

use crate::IGNORE_PATTERNS_MAX;
use crate::warning::{RuleFile, Warning};
use regex::bytes::{Regex, RegexBuilder};

/// Never served from the top of the directory, whatever `.assetsignore` says: they are instructions to the platform.
const PLATFORM_FILES: [&str; 5] = [".assetsignore", "_headers", "_redirects", "_worker.js", "_routes.json"];

/// Not served unless `.assetsignore` brings them back with `!`: secrets and tools' state, should the directory be a
/// project's own.
const PRIVATE: [&str; 7] = [
    ".dev.vars",
    ".dev.vars.*",
    ".env",
    ".env.*",
    ".git",
    ".wrangler",
    ".DS_Store",
];

/// The rules of a directory.
#[derive(Debug, Clone)]
pub struct IgnoreRules {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    /// Matches a path without a leading slash.
    expression: Regex,
    directories_only: bool,
    /// `!`: serve it after all.
    negated: bool,
}

impl Default for IgnoreRules {
    fn default() -> Self {
        Self::parse("").0
    }
}

impl IgnoreRules {
    /// Reads `.assetsignore`; an empty text leaves the built-in rules.
    pub fn parse(text: &str) -> (Self, Vec<Warning>) {
        // The built-in patterns are plain names, which always compile.
        let mut rules: Vec<Rule> = PRIVATE
            .iter()
            .filter_map(|pattern| Rule::parse(pattern).ok().flatten())
            .collect();
        let mut warnings = Vec::new();
        let mut count = 0;
        for (index, line) in text.lines().enumerate() {
            let warn = |message: String| Warning::new(RuleFile::Ignore, index + 1, message);
            match Rule::parse(line) {
                Ok(None) => {}
                Ok(Some(_)) if count == IGNORE_PATTERNS_MAX => {
                    let limit = IGNORE_PATTERNS_MAX;
                    warnings.push(warn(format!(
                        "more than {limit} patterns; the rest of the file is ignored"
                    )));
                    break;
                }
                Ok(Some(rule)) => {
                    count += 1;
                    rules.push(rule);
                }
                Err(message) => warnings.push(warn(format!("{message}; the line is ignored"))),
            }
        }
        (Self { rules }, warnings)
    }

    /// Is this file or directory left out? `path` is relative to the assets directory, with slashes and none at its ends.
    /// Whoever walks a directory that is left out need not look inside: everything there is left out too.
    pub fn is_ignored(&self, path: &str, is_directory: bool) -> bool {
        if PLATFORM_FILES.iter().any(|name| name.eq_ignore_ascii_case(path)) {
            return true;
        }
        let last = self
            .rules
            .iter()
            .rev()
            .find(|rule| (is_directory || !rule.directories_only) && rule.expression.is_match(path.as_bytes()));
        last.is_some_and(|rule| !rule.negated)
    }
}

impl Rule {
    /// `None` for blank lines and comments. Source: gitignore(5), "PATTERN FORMAT".
    fn parse(line: &str) -> Result<Option<Self>, String> {
        let mut pattern = trim_end(line);
        if pattern.is_empty() || pattern.starts_with('#') {
            return Ok(None);
        }
        let negated = pattern.starts_with('!');
        if negated {
            pattern = &pattern[1..];
        }
        let directories_only = pattern.ends_with('/');
        let body = pattern.strip_suffix('/').unwrap_or(pattern);
        if body.is_empty() || body == "/" {
            return Ok(None);
        }
        let anchored = body.contains('/');
        let body = body.strip_prefix('/').unwrap_or(body);
        let source = format!("(?i)^{}{}$", if anchored { "" } else { "(?:.*/)?" }, expression(body)?);
        let expression = RegexBuilder::new(&source)
            .dot_matches_new_line(true)
            .size_limit(1 << 20)
            .build()
            .map_err(|_| format!("{line:?} is no pattern"))?;
        Ok(Some(Self {
            expression,
            directories_only,
            negated,
        }))
    }
}

/// Trailing spaces do not count unless a backslash stands before them.
fn trim_end(line: &str) -> &str {
    let trimmed = line.trim_end_matches([' ', '\t', '\r']);
    let escapes = trimmed.bytes().rev().take_while(|byte| *byte == b'\\').count();
    if escapes % 2 == 1 && trimmed.len() < line.len() {
        // The escaped space belongs to the pattern.
        &line[..trimmed.len() + 1]
    } else {
        trimmed
    }
}

/// The regular expression of a pattern without a leading or trailing slash.
fn expression(pattern: &str) -> Result<String, String> {
    let segments: Vec<&str> = pattern.split('/').collect();
    let mut source = String::new();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        if *segment == "**" {
            // `a/**`: everything inside; `**/a`, `a/**/b`: any number of directories, none too.
            source.push_str(if last { ".+" } else { "(?:[^/]+/)*" });
            continue;
        }
        segment_expression(segment, &mut source)?;
        if !last {
            source.push('/');
        }
    }
    Ok(source)
}

fn segment_expression(segment: &str, source: &mut String) -> Result<(), String> {
    let mut rest = segment.chars();
    while let Some(character) = rest.next() {
        match character {
            '*' => source.push_str("[^/]*"),
            '?' => source.push_str("[^/]"),
            '\\' => match rest.next() {
                Some(escaped) => source.push_str(&regex::escape(escaped.encode_utf8(&mut [0; 4]))),
                None => return Err("a backslash at the end of a pattern".to_owned()),
            },
            '[' => {
                let (class, after) = class(rest.as_str())?;
                source.push_str(&class);
                rest = after.chars();
            }
            other => source.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    Ok(())
}

/// `text` begins after the bracket. Returns the class and what follows it.
fn class(text: &str) -> Result<(String, &str), String> {
    let (negated, inner) = match text.strip_prefix(['!', '^']) {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    // A bracket in first place is a member.
    let first = inner.chars().next().map_or(0, char::len_utf8);
    let end = inner
        .get(first..)
        .and_then(|later| later.find(']'))
        .map(|at| at + first);
    let Some(end) = end else {
        return Err("a [ without its ]".to_owned());
    };
    let mut class = String::from(if negated { "[^/" } else { "[" });
    for character in inner[..end].chars() {
        if character == '-' {
            class.push('-');
        } else {
            if matches!(character, '\\' | '[' | ']' | '^' | '&' | '~') {
                class.push('\\');
            }
            class.push(character);
        }
    }
    class.push(']');
    Ok((class, &inner[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `path` (with a trailing slash: a directory) or a directory above it is ignored.
    fn check(text: &str, path: &str, expected: bool) {
        let (rules, warnings) = IgnoreRules::parse(text);
        assert!(warnings.is_empty(), "{text:?}: {warnings:?}");
        let (path, directory) = match path.strip_suffix('/') {
            Some(path) => (path, true),
            None => (path, false),
        };
        let above = path
            .match_indices('/')
            .any(|(at, _)| rules.is_ignored(&path[..at], true));
        assert_eq!(above || rules.is_ignored(path, directory), expected, "{text:?} {path}");
    }

    #[test]
    fn patterns() {
        check("", "a.txt", false);
        check("a.txt", "a.txt", true);
        check("a.txt", "x/a.txt", true);
        check("/a.txt", "x/a.txt", false);
        check("/a.txt", "a.txt", true);
        check("x/a.txt", "x/a.txt", true);
        check("x/a.txt", "y/x/a.txt", false);
        check("*.map", "js/app.js.map", true);
        check("*.map", "app.mapx", false);
        check("a?c", "abc", true);
        check("a?c", "a/c", false);
        check("a*c", "a/c", false);
        check("node_modules", "node_modules/x/y.js", true);
        check("node_modules/", "node_modules", false);
        check("node_modules/", "node_modules/", true);
        check("node_modules/", "a/node_modules/x.js", true);
        check("**/tmp", "a/b/tmp", true);
        check("**/tmp", "tmp", true);
        check("a/**", "a/b/c", true);
        check("a/**", "a/", false);
        check("a/**/b", "a/b", true);
        check("a/**/b", "a/x/y/b", true);
        check("a/**/b", "a/x/yb", false);
        check("*.log\n!keep.log", "keep.log", false);
        check("*.log\n!keep.log", "drop.log", true);
        check("d/\n!d/keep", "d/keep", true);
        check("!keep.log\n*.log", "keep.log", true);
        check("# c\n\n  ", "c", false);
        check("\\#c", "#c", true);
        check("\\!c", "!c", true);
        check("a.txt   ", "a.txt", true);
        check("a\\ ", "a ", true);
        check("[ab].txt", "b.txt", true);
        check("[!ab].txt", "c.txt", true);
        check("[!ab].txt", "a.txt", false);
        check("[a-c]", "b", true);
        check("[]]", "]", true);
        check("A.TXT", "a.txt", true);
        check("a.txt\r\nb.txt\r", "b.txt", true);
        check("caf\u{e9}", "café", true);
        check("/", "a", false);
    }

    #[test]
    fn built_in() {
        for path in [
            "_headers",
            "_redirects",
            "_worker.js",
            "_worker.js/index.js",
            "_routes.json",
            ".assetsignore",
        ] {
            check("", path, true);
            check("!_*\n!.assetsignore\n!**", path, true);
        }
        check("", "docs/_headers", false);
        check("", ".well-known/security.txt", false);
        for path in [".env", ".env.local", "a/.dev.vars", ".git/config", ".wrangler/state/x"] {
            check("", path, true);
        }
        check("!.env.example", ".env.example", false);
        check("", "environment", false);
    }

    #[test]
    fn warns() {
        let check = |text: &str, expected: &str| {
            let (_, warnings) = IgnoreRules::parse(text);
            let shown: Vec<String> = warnings.iter().map(ToString::to_string).collect();
            assert!(shown.len() == 1 && shown[0].contains(expected), "{text:?} {shown:?}");
        };
        check("a\n[b", ".assetsignore:2: a [ without its ]");
        check("a\\", "a backslash at the end");
        check("[z-a]", "is no pattern");
        check(
            &"x\n".repeat(IGNORE_PATTERNS_MAX + 1),
            ".assetsignore:2001: more than 2000 patterns",
        );
    }
}
