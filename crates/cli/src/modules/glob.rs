//! Globs over module paths, with the meaning that wrangler's `rules` give them: `*` stays within a path segment, `**` crosses
//! them, `{a,b}` is a choice, everything else (`?` too, as in `**/*.wasm?module`) stands for itself.

use regex::Regex;

/// A compiled glob.
#[derive(Debug, Clone)]
pub struct Glob {
    pattern: Regex,
}

impl Glob {
    /// Compiles `text`. `None` if it is too large to be compiled: such a glob matches nothing.
    pub fn new(text: &str) -> Option<Self> {
        // Paths come without a leading `./`, so patterns do too.
        let text = text.strip_prefix("./").unwrap_or(text);
        Regex::new(&translate(text)).ok().map(|pattern| Self { pattern })
    }

    /// Whether a `/`-separated path matches as a whole.
    pub fn matches(&self, path: &str) -> bool {
        self.pattern.is_match(path)
    }
}

fn translate(text: &str) -> String {
    let mut out = String::from("^");
    let mut rest = text;
    let mut choices = 0;
    while let Some(next) = rest.chars().next() {
        let at_segment_start = rest.len() == text.len() || text[..text.len() - rest.len()].ends_with('/');
        if at_segment_start && let Some(after) = rest.strip_prefix("**/") {
            out.push_str("(?:[^/]+/)*");
            rest = after;
            continue;
        }
        if at_segment_start && rest == "**" {
            out.push_str(".*");
            break;
        }
        rest = &rest[next.len_utf8()..];
        match next {
            '*' => {
                // A run of stars inside a segment says no more than one.
                rest = rest.trim_start_matches('*');
                out.push_str("[^/]*");
            }
            '{' if rest.contains('}') => {
                choices += 1;
                out.push_str("(?:");
            }
            '}' if choices > 0 => {
                choices -= 1;
                out.push(')');
            }
            ',' if choices > 0 => out.push('|'),
            other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    (0..choices).for_each(|_| out.push(')'));
    out.push('$');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let check = |glob: &str, path: &str, expected: bool| {
            let compiled = Glob::new(glob).expect("compiles");
            assert_eq!(compiled.matches(path), expected, "{glob} on {path}");
        };
        check("**/*.txt", "a.txt", true);
        check("**/*.txt", "a/b/c.txt", true);
        check("**/*.txt", "a/b/c.txt.js", false);
        check("**/*.txt", "a.TXT", false);
        check("*.txt", "a.txt", true);
        check("*.txt", "a/b.txt", false);
        check("./*.txt", "a.txt", true);
        check("src/**", "src/a/b.js", true);
        check("src/**", "lib/a.js", false);
        check("src/**/x.js", "src/x.js", true);
        check("src/**/x.js", "src/a/b/x.js", true);
        check("src/**/x.js", "src/ax.js", false);
        check("a**b", "axxb", true);
        check("a**b", "a/b", false);
        check("**/*.wasm?module", "m.wasm?module", true);
        check("**/*.wasm?module", "m.wasmxmodule", false);
        check("**/*.{html,md}", "a/b.md", true);
        check("**/*.{html,md}", "a/b.txt", false);
        check("**/*.{html", "a.{html", true);
        check("a.b", "axb", false);
        check("é*", "éa", true);
        check("", "", true);
        check("**", "a/b", true);
    }
}
