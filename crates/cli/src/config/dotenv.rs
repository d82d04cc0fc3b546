//! The format of `.dev.vars` and `.env` files: `KEY=VALUE` lines, as the `dotenv` package of npm reads them.
//!
//! `export` before a key is allowed, `#` begins a comment, values may stand in single, double or back quotes and then go
//! over several lines; only double quotes turn `\n` and `\r` into what they mean. Later lines win. A line that fits none of
//! this is skipped and reported by its number alone, for it may hold a secret.

use regex::Regex;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Key and value pairs in the order of the file, and the numbers of lines that are neither.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub pairs: Vec<(String, String)>,
    pub odd_lines: Vec<u32>,
}

/// One pair. White space is JavaScript's, and may go over lines, as may a quoted value; what follows a closing quote on its
/// line makes the whole line the value.
static PAIR: LazyLock<Regex> = LazyLock::new(|| {
    const BLANK: &str = r"[\s\x{feff}--\x{85}]";
    let quoted = |quote: char| format!(r"{BLANK}*{quote}(?:\\{quote}|[^{quote}])*{quote}");
    let value = format!(r"{}|{}|{}|[^#\r\n]+", quoted('\''), quoted('"'), quoted('`'));
    let key = format!(r"(?:export{BLANK}+)?([-.0-9A-Z_a-z]+)");
    let pair = format!(r"(?m)^{BLANK}*{key}(?:{BLANK}*=|:{BLANK}+?)({value})?{BLANK}*(?:#.*)?$");
    // A constant but for its spelling; the tests below compile it.
    Regex::new(&pair).unwrap_or_else(|error| unreachable!("{error}"))
});

pub(crate) fn parse(text: &str) -> Parsed {
    let text = text
        .strip_prefix('\u{feff}')
        .unwrap_or(text)
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let mut parsed = Parsed::default();
    // Where the last pair ended. A pair is whole lines.
    let (mut end, mut line) = (0, 1);
    for pair in PAIR.captures_iter(&text) {
        // Groups 0 and 1 are in every match.
        let (all, key) = (pair.get_match(), &pair[1]);
        line = odd_lines(&text[end..all.start()], line, &mut parsed.odd_lines);
        line += all.as_str().matches('\n').count() as u32;
        end = all.end();
        let text = pair.get(2).map_or("", |value| value.as_str());
        set(&mut parsed.pairs, key.to_owned(), value(text.trim_matches(is_blank)));
    }
    odd_lines(&text[end..], line, &mut parsed.odd_lines);
    parsed
}

/// White space of JavaScript.
fn is_blank(c: char) -> bool {
    (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}'
}

/// Notes lines that are neither blank nor comments; returns the number of the last one.
fn odd_lines(text: &str, first: u32, odd: &mut Vec<u32>) -> u32 {
    let mut number = first;
    for (index, line) in text.split('\n').enumerate() {
        number = first + index as u32;
        let line = line.trim_start_matches(is_blank);
        if !line.is_empty() && !line.starts_with('#') {
            odd.push(number);
        }
    }
    number
}

fn value(text: &str) -> String {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'));
    let inner = match quote {
        Some(quote) => text[1..].strip_suffix(quote).unwrap_or(text),
        None => text,
    };
    if quote == Some('"') {
        inner.replace("\\n", "\n").replace("\\r", "\r")
    } else {
        inner.to_owned()
    }
}

/// Sets a pair, in the place of an earlier one of the same key.
pub(crate) fn set(pairs: &mut Vec<(String, String)>, key: String, value: String) {
    match pairs.iter_mut().find(|(name, _)| *name == key) {
        Some((_, old)) => *old = value,
        None => pairs.push((key, value)),
    }
}

/// The most that references may make of one value, bytes: a few lines that each name the one before twice would otherwise
/// fill memory.
const EXPANDED_BYTES_MAX: usize = 1024 * 1024;

/// Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME-default}` in the values of `pairs` by other pairs or, before
/// them, by `outer`; `\$` is a dollar sign. A name that is set nowhere is empty. A reference that leads back to itself, or
/// makes a value too long, stays as it is written.
pub(crate) fn expand(pairs: &[(String, String)], outer: &[(String, String)]) -> Vec<(String, String)> {
    let mut expansion = Expansion {
        pairs,
        outer,
        done: HashMap::new(),
        active: Vec::new(),
    };
    pairs
        .iter()
        .map(|(key, _)| (key.clone(), expansion.pair(key).unwrap_or_default()))
        .collect()
}

struct Expansion<'a> {
    pairs: &'a [(String, String)],
    outer: &'a [(String, String)],
    /// Values that are finished.
    done: HashMap<&'a str, String>,
    /// The keys whose values are being made.
    active: Vec<&'a str>,
}

impl<'a> Expansion<'a> {
    /// The finished value of a pair. `None` if there is none of that name or it is being made already.
    fn pair(&mut self, name: &str) -> Option<String> {
        if let Some(value) = self.done.get(name) {
            return Some(value.clone());
        }
        let (key, value) = self.pairs.iter().find(|(key, _)| key == name)?;
        if self.active.contains(&key.as_str()) {
            return None;
        }
        self.active.push(key);
        let expanded = self.text(value);
        self.active.pop();
        self.done.insert(key, expanded.clone());
        Some(expanded)
    }

    fn text(&mut self, value: &str) -> String {
        let mut out = String::with_capacity(value.len());
        let mut rest = value;
        while let Some(at) = rest.find('$') {
            if rest[..at].ends_with('\\') {
                out.push_str(&rest[..at - 1]);
                out.push('$');
                rest = &rest[at + 1..];
                continue;
            }
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            match Reference::parse(after) {
                Some((reference, length)) => {
                    match self
                        .resolve(&reference)
                        .filter(|text| out.len() + text.len() <= EXPANDED_BYTES_MAX)
                    {
                        Some(text) => out.push_str(&text),
                        None => out.push_str(&rest[at..at + 1 + length]),
                    }
                    rest = &after[length..];
                }
                None => {
                    out.push('$');
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// What stands in a reference's place; `None` if it leads back to itself.
    fn resolve(&mut self, reference: &Reference<'_>) -> Option<String> {
        let outer = self
            .outer
            .iter()
            .find(|(key, _)| key == reference.name)
            .map(|(_, value)| value.clone());
        let found = match outer {
            Some(value) => Some(value),
            None if self.active.contains(&reference.name) => return None,
            None => self.pair(reference.name),
        };
        let found = found.filter(|value| !(reference.default_for_empty && value.is_empty()));
        Some(match (found, reference.default) {
            (Some(value), _) => value,
            (None, Some(default)) => self.text(default),
            (None, None) => String::new(),
        })
    }
}

/// What follows a dollar sign.
struct Reference<'t> {
    name: &'t str,
    default: Option<&'t str>,
    /// `:-`: an empty value gives way to the default too.
    default_for_empty: bool,
}

impl<'t> Reference<'t> {
    /// The reference at the start of `text`, which begins after the dollar sign, and its length in bytes.
    fn parse(text: &'t str) -> Option<(Self, usize)> {
        let braced = text
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'))
            .map(|(inner, _)| inner);
        let body = braced.unwrap_or(text);
        let length = body
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(body.len());
        let (name, tail) = body.split_at(length);
        if name.is_empty() {
            return None;
        }
        if braced.is_none() {
            return Some((
                Self {
                    name,
                    default: None,
                    default_for_empty: false,
                },
                length,
            ));
        }
        let default_for_empty = tail.starts_with(":-");
        let default = tail.strip_prefix(":-").or_else(|| tail.strip_prefix('-'));
        // The two braces.
        let length = body.len() + 2;
        (default.is_some() || tail.is_empty()).then_some((
            Self {
                name,
                default,
                default_for_empty,
            },
            length,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |text: &str, expected: &[(&str, &str)], odd: &[u32]| {
            let pairs = expected
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(
                parse(text),
                Parsed {
                    pairs,
                    odd_lines: odd.to_vec()
                },
                "{text:?}"
            );
        };
        check("", &[], &[]);
        check("A=1", &[("A", "1")], &[]);
        check("A=1\nB=2\r\nC=3\n", &[("A", "1"), ("B", "2"), ("C", "3")], &[]);
        check("# comment\n\n  # another\nA=1", &[("A", "1")], &[]);
        check("A = 1 ", &[("A", "1")], &[]);
        check("  export A=1", &[("A", "1")], &[]);
        check("exported=1", &[("exported", "1")], &[]);
        check("A=", &[("A", "")], &[]);
        check("A=1 # comment", &[("A", "1")], &[]);
        check("A=1#not part", &[("A", "1")], &[]);
        check("A=\"1 # part\" # comment", &[("A", "1 # part")], &[]);
        check("A='1\\n2'", &[("A", "1\\n2")], &[]);
        check("A=\"1\\n2\\r\"", &[("A", "1\n2\r")], &[]);
        check("A=`it's \"x\"`", &[("A", "it's \"x\"")], &[]);
        check("A=\"two\nlines\"\nB=1", &[("A", "two\nlines"), ("B", "1")], &[]);
        check("A=\"two\r\nlines\"", &[("A", "two\nlines")], &[]);
        check("A=\"open\nB=1", &[("A", "\"open"), ("B", "1")], &[]);
        // What follows the closing quote makes the quotes part of the value, but for the outermost.
        check("A=\"a\"b\"", &[("A", "a\"b")], &[]);
        check("A='x' y\nB=1", &[("A", "'x' y"), ("B", "1")], &[]);
        check("A='it\\'s'", &[("A", "it\\'s")], &[]);
        check("A='", &[("A", "'")], &[]);
        check("A=\nB=1", &[("A", ""), ("B", "1")], &[]);
        check("odd\n\n  A=1\n\nodd\nB=1", &[("A", "1"), ("B", "1")], &[1, 5]);
        check("A=a=b==", &[("A", "a=b==")], &[]);
        check("A: 1", &[("A", "1")], &[]);
        check("a.b-c=1", &[("a.b-c", "1")], &[]);
        check("A=1\nA=2", &[("A", "2")], &[]);
        check("\u{feff}A=1", &[("A", "1")], &[]);
        check("no value\nA=1\n=2", &[("A", "1")], &[1, 3]);
        check("A=\"x\ny\"\nodd\n", &[("A", "x\ny")], &[3]);
        check("Ä=1", &[], &[1]);
    }

    #[test]
    fn references() {
        let check = |text: &str, expected: &str| {
            let outer = [
                ("OUT".to_owned(), "outer".to_owned()),
                ("EMPTY".to_owned(), String::new()),
            ];
            let expanded = expand(&parse(&format!("{text}\nA=1\nOUT=inner\nLOOP=$LOOP\n")).pairs, &outer);
            assert_eq!(expanded[0].1, expected, "{text}");
        };
        check("X=$A", "1");
        check("X=${A}2", "12");
        check("X=a${A}b$A.c", "a1b1.c");
        check("X=$NOPE!", "!");
        check("X=$OUT", "outer");
        check("X=${NOPE:-d}", "d");
        check("X=${NOPE-$A}", "1");
        check("X=${EMPTY:-d}", "d");
        check("X=${EMPTY-d}", "");
        check("X=\\$A", "$A");
        check("X=10$", "10$");
        check("X=$ 1", "$ 1");
        check("X=${A", "${A");
        check("X=$LOOP", "$LOOP");
        check("X=$X$X", "$X$X");
        check("X=1${B}\nB=2${C}\nC=${X}", "12${X}");
    }

    #[test]
    fn references_cannot_fill_memory() {
        let mut text = String::from("A0=0123456789\n");
        for n in 1..60 {
            text.push_str(&format!("A{n}=$A{0}$A{0}\n", n - 1));
        }
        let expanded = expand(&parse(&text).pairs, &[]);
        assert_eq!(expanded[3].1.len(), 80);
        assert!(expanded.iter().all(|(_, value)| value.len() <= EXPANDED_BYTES_MAX));
    }
}
