//! The format of `.dev.vars` and `.env` files: `KEY=VALUE` lines, as the `dotenv` package of npm reads them.
//!
//! `export` before a key is allowed, `#` begins a comment, values may stand in single, double or back quotes and then go
//! over several lines; only double quotes turn `\n` and `\r` into what they mean. Later lines win. A line that fits none of
//! this is skipped and reported by its number alone, for it may hold a secret.

/// Key and value pairs in the order of the file, and the numbers of lines that are neither.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub pairs: Vec<(String, String)>,
    pub odd_lines: Vec<u32>,
}

pub(crate) fn parse(text: &str) -> Parsed {
    let text = text
        .strip_prefix('\u{feff}')
        .unwrap_or(text)
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let mut parsed = Parsed::default();
    let mut rest = text.as_str();
    let mut line: u32 = 1;
    while !rest.is_empty() {
        let (first, mut after) = rest.split_once('\n').unwrap_or((rest, ""));
        let mut lines_taken = 1;
        let trimmed = first.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            // Nothing here.
        } else if let Some((key, value_start)) = key(trimmed) {
            // The value may go past the line's end, so it is cut from the whole rest.
            let offset = first.len() - trimmed.len() + value_start;
            let (value, used) = value(&rest[offset..]);
            let end = offset + used;
            lines_taken = 1 + rest[..end].matches('\n').count() as u32;
            after = rest[end..].split_once('\n').map_or("", |(_, after)| after);
            set(&mut parsed.pairs, key.to_owned(), value);
        } else {
            parsed.odd_lines.push(line);
        }
        rest = after;
        line += lines_taken;
    }
    parsed
}

/// Sets a pair, in the place of an earlier one of the same key.
pub(crate) fn set(pairs: &mut Vec<(String, String)>, key: String, value: String) {
    match pairs.iter_mut().find(|(name, _)| *name == key) {
        Some((_, old)) => *old = value,
        None => pairs.push((key, value)),
    }
}

/// The key at the start of a line and where its value begins.
fn key(line: &str) -> Option<(&str, usize)> {
    let body = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let start = line.len() - body.len();
    let length = body
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')))
        .unwrap_or(body.len());
    if length == 0 {
        return None;
    }
    let after = &body[length..];
    let spaced = after.trim_start_matches([' ', '\t']);
    if let Some(value) = spaced.strip_prefix('=') {
        return Some((&body[..length], line.len() - value.len()));
    }
    // `KEY: value` is the other form.
    let value = after.strip_prefix(": ").or_else(|| after.strip_prefix(":\t"))?;
    Some((&body[..length], start + (body.len() - value.len())))
}

/// The value at the start of `text` and how many bytes it takes.
fn value(text: &str) -> (String, usize) {
    let body = text.trim_start_matches([' ', '\t']);
    let skipped = text.len() - body.len();
    let quote = body.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'));
    if let Some(quote) = quote
        && let Some(end) = closing(body, quote)
    {
        let inner = &body[1..end];
        let value = if quote == '"' {
            inner.replace("\\n", "\n").replace("\\r", "\r")
        } else {
            inner.to_owned()
        };
        return (value, skipped + end + 1);
    }
    let line = body.split('\n').next().unwrap_or("");
    let plain = line.split('#').next().unwrap_or("").trim();
    (plain.to_owned(), skipped + line.len())
}

/// Where the quote that opens `text` is closed: the next one without a backslash before it.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return Some(at);
        }
    }
    None
}

/// How deep references may go before they count as going in a circle.
const EXPANSION_DEPTH_MAX: usize = 32;

/// Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME-default}` in the values of `pairs` by other pairs or, before
/// them, by `outer`; `\$` is a dollar sign. A name that is set nowhere is empty.
pub(crate) fn expand(pairs: &[(String, String)], outer: &[(String, String)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(key, value)| (key.clone(), expand_value(value, pairs, outer, 0)))
        .collect()
}

fn expand_value(value: &str, pairs: &[(String, String)], outer: &[(String, String)], depth: usize) -> String {
    let lookup = |name: &str| -> Option<String> {
        if let Some((_, value)) = outer.iter().find(|(key, _)| key == name) {
            return Some(value.clone());
        }
        let (_, value) = pairs.iter().find(|(key, _)| key == name)?;
        // A circle ends in the text as it stands.
        Some(if depth < EXPANSION_DEPTH_MAX {
            expand_value(value, pairs, outer, depth + 1)
        } else {
            value.clone()
        })
    };
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
        let (braced, body) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((inner, _)) => (true, inner),
            None => (false, after),
        };
        let length = body
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(body.len());
        let (name, tail) = body.split_at(length);
        if name.is_empty() || (braced && !(tail.is_empty() || tail.starts_with('-') || tail.starts_with(":-"))) {
            out.push('$');
            rest = after;
            continue;
        }
        let found = lookup(name);
        if braced {
            let default = tail.strip_prefix(":-").or_else(|| tail.strip_prefix('-'));
            let empty_counts = !tail.starts_with(":-");
            match (found.filter(|value| empty_counts || !value.is_empty()), default) {
                (Some(value), _) => out.push_str(&value),
                (None, Some(default)) if depth < EXPANSION_DEPTH_MAX => {
                    out.push_str(&expand_value(default, pairs, outer, depth + 1));
                }
                (None, _) => {}
            }
            rest = &after[body.len() + 2..];
        } else {
            out.push_str(&found.unwrap_or_default());
            rest = tail;
        }
    }
    out.push_str(rest);
    out
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
    }
}
