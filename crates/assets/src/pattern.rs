//! The paths of `_redirects` and `_headers` rules: `*` matches anything (also nothing) and is called `:splat`,
//! `:name` matches one segment (in a host: one label). Matching is by a regular expression in linear time.

use regex::bytes::{Captures, Regex, RegexBuilder};

/// Bytes of a compiled expression. A line of [`crate::LINE_CHARS_MAX`] placeholders needs less than a fifth of this.
const PROGRAM_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    expression: Regex,
    /// Begins with `https://`: matched against host and path.
    with_host: bool,
}

/// One match: what `*` and the placeholders stand for.
pub(crate) struct Matched<'a> {
    captures: Captures<'a>,
    subject: &'a str,
}

/// A piece of a rule's text: a `:name` or what is between them.
enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Splits at placeholders: a colon, a letter, then letters, digits and underscores.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let (mut from, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        let starts = bytes[at] == b':' && bytes.get(at + 1).is_some_and(u8::is_ascii_alphabetic);
        if !starts {
            at += 1;
            continue;
        }
        let word = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
        let end = at + 1 + bytes[at + 1..].iter().take_while(word).count();
        found.push(Piece::Text(&text[from..at]));
        found.push(Piece::Name(&text[at + 1..end]));
        (from, at) = (end, end);
    }
    found.push(Piece::Text(&text[from..]));
    found
}

/// Does a rule's path need matching, rather than comparing?
pub(crate) fn is_dynamic(text: &str) -> bool {
    text.contains('*') || pieces(text).iter().any(|piece| matches!(piece, Piece::Name(_)))
}

impl Pattern {
    /// Compiles a rule's path: `/...` or `https://host/...`. The error says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let with_host = text.starts_with("https://");
        let path_at = match text.strip_prefix("https://") {
            Some(rest) => text.len() - rest.len() + rest.find('/').unwrap_or(rest.len()),
            None => 0,
        };
        let mut names: Vec<&str> = Vec::new();
        let mut source = String::from("^");
        for (part, segment) in [(&text[..path_at], r"[^/.]+"), (&text[path_at..], r"[^/]+")] {
            // The colon of `https:` is followed by a slash, so it is never taken for a placeholder.
            for piece in pieces(part) {
                match piece {
                    Piece::Name(name) => {
                        if names.contains(&name) {
                            return Err(format!("the placeholder :{name} is used twice"));
                        }
                        names.push(name);
                        source.push_str(&format!("(?P<{name}>{segment})"));
                    }
                    Piece::Text(literal) => {
                        for (index, literal) in literal.split('*').enumerate() {
                            if index > 0 {
                                if names.contains(&"splat") {
                                    return Err("only one * is allowed (and no :splat beside it)".to_owned());
                                }
                                names.push("splat");
                                source.push_str("(?P<splat>.*)");
                            }
                            source.push_str(&regex::escape(literal));
                        }
                    }
                }
            }
        }
        source.push('$');
        let expression = RegexBuilder::new(&source)
            .unicode(false)
            .dot_matches_new_line(true)
            .size_limit(PROGRAM_BYTES_MAX)
            .build()
            .map_err(|_| "the pattern is too complex".to_owned())?;
        Ok(Self { expression, with_host })
    }

    /// Matches a request. `host` has no port; `with_host` is `https://` and host and path, made on first need.
    pub fn matches<'a>(&self, path: &'a str, with_host: &'a str) -> Option<Matched<'a>> {
        let subject = if self.with_host { with_host } else { path };
        let captures = self.expression.captures(subject.as_bytes())?;
        Some(Matched { captures, subject })
    }

    /// Is it matched against host and path?
    pub fn has_host(&self) -> bool {
        self.with_host
    }
}

impl Matched<'_> {
    /// `text` with its placeholders (and `:splat`) replaced; unknown ones stay.
    pub fn fill(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Name(name) => match self.captures.name(name) {
                    // Placeholders end at ASCII bytes, so this is a character boundary; `get` rather than a panic if not.
                    Some(found) => out.push_str(self.subject.get(found.range()).unwrap_or_default()),
                    None => {
                        out.push(':');
                        out.push_str(name);
                    }
                },
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected`: the template filled, or `None` if the pattern does not match.
    fn check(pattern: &str, subject: &str, template: &str, expected: Option<&str>) {
        let pattern = Pattern::new(pattern).unwrap();
        let with_host = format!("https://a.example.com{subject}");
        let filled = pattern
            .matches(subject, &with_host)
            .map(|matched| matched.fill(template));
        assert_eq!(filled.as_deref(), expected, "{pattern:?} {subject} {template}");
    }

    #[test]
    fn matches_and_fills() {
        check("/a", "/a", "x", Some("x"));
        check("/a", "/ab", "x", None);
        check("/a.b", "/axb", "x", None);
        check("/a/*", "/a/", ":splat", Some(""));
        check("/a/*", "/a", ":splat", None);
        check("/a/*", "/a/b/c", "/:splat", Some("/b/c"));
        check("*", "/a/b", ":splat", Some("/a/b"));
        check("/*.jpg", "/x/y.jpg", ":splat", Some("x/y"));
        check("/:id", "/7", "/p/:id", Some("/p/7"));
        check("/:id", "/7/8", "/p/:id", None);
        check("/:id", "/", "/p/:id", None);
        check("/p/:id/:id_2", "/p/1/2", ":id_2-:id", Some("2-1"));
        check("/:a-:b", "/x-y-z", ":a|:b", Some("x-y|z"));
        check(
            "/:y/:m/*",
            "/2026/11/21/x",
            "/:splat?y=:y&m=:m",
            Some("/21/x?y=2026&m=11"),
        );
        check("/a", "/a", ":nope", Some(":nope"));
        check("/a", "/a", "https://x:80/:1", Some("https://x:80/:1"));
        check("https://:sub.example.com/*", "/p", ":sub :splat", Some("a p"));
        check("https://other.example.com/*", "/p", "x", None);
        check("https://*/p", "/p", ":splat", Some("a.example.com"));
        check("/(a)+[b]", "/(a)+[b]", "x", Some("x"));
    }

    #[test]
    fn refuses() {
        let check = |pattern: &str, message: &str| {
            let error = Pattern::new(pattern).unwrap_err();
            assert!(error.contains(message), "{pattern}: {error}");
        };
        check("/*/*", "only one *");
        check("/:splat/*", "only one *");
        check("/:a/:a", ":a is used twice");
    }

    #[test]
    fn a_line_full_of_placeholders_compiles() {
        let text: String = (0..crate::LINE_CHARS_MAX / 5)
            .map(|n| format!("/:{}", name(n)))
            .collect();
        Pattern::new(&text).unwrap();
    }

    fn name(mut n: usize) -> String {
        let mut name = String::from("p");
        while n > 0 {
            name.push(char::from(b'a' + (n % 26) as u8));
            n /= 26;
        }
        name
    }
}
