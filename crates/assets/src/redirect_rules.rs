//! `_redirects`: `from to [status]`, one rule a line.
//!
//! Rules without `*` or placeholders are static as long as no other kind has come before; they are found by hash. The rest
//! is tried in file order. The first rule that matches wins, also over a file.

use crate::path::collapse_slashes;
use crate::pattern::{self, Pattern};
use crate::warning::{RuleFile, Warning};
use crate::{DYNAMIC_REDIRECTS_MAX, LINE_CHARS_MAX, STATIC_REDIRECTS_MAX};
use atoll_model::HtmlHandling;
use std::collections::{HashMap, HashSet};
use url::Url;

/// The rules of a `_redirects` file.
#[derive(Debug, Clone, Default)]
pub struct RedirectRules {
    fixed: HashMap<String, Target>,
    dynamic: Vec<(Pattern, Target)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    to: String,
    status: u16,
}

/// What a rule says to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// Answer with this status and `Location`.
    To {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// A path with query on the same origin, otherwise a whole URL.
        location: String,
    },
    /// Serve what is at this path instead (percent-encoded, from a parsed URL).
    Rewrite(String),
}

impl RedirectRules {
    /// Reads the file. Lines that cannot be used are left out and warned about.
    pub fn parse(text: &str, html_handling: HtmlHandling) -> (Self, Vec<Warning>) {
        let mut rules = Self::default();
        let mut warnings = Vec::new();
        let mut seen = HashSet::new();
        // These count lines, also ones that turn out to be unusable: a file cannot grow without end.
        let (mut fixed, mut dynamic) = (0, 0);
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut warn = |message: String| warnings.push(Warning::new(RuleFile::Redirects, index + 1, message));
            let (from, to, status) = match split_line(line) {
                Ok(parts) => parts,
                Err(message) => {
                    warn(message);
                    continue;
                }
            };
            if dynamic == 0 && !pattern::is_dynamic(&from) {
                fixed += 1;
                if fixed > STATIC_REDIRECTS_MAX {
                    warn(format!(
                        "more than {STATIC_REDIRECTS_MAX} static rules; the line is ignored"
                    ));
                    continue;
                }
            } else {
                dynamic += 1;
                if dynamic > DYNAMIC_REDIRECTS_MAX {
                    warn(format!(
                        "more than {DYNAMIC_REDIRECTS_MAX} dynamic rules (with * or placeholders, or after one that has \
                         them); this line and the rest of the file are ignored"
                    ));
                    break;
                }
            }
            let target = match target(&from, to, status, html_handling) {
                Ok(target) => target,
                Err(message) => {
                    warn(message);
                    continue;
                }
            };
            if !seen.insert(from.clone()) {
                warn(format!("there is a rule for {from} already; the line is ignored"));
                continue;
            }
            if dynamic == 0 {
                rules.fixed.insert(from, target);
                continue;
            }
            match Pattern::new(&from) {
                Ok(pattern) => rules.dynamic.push((pattern, target)),
                Err(message) => warn(message),
            }
        }
        (rules, warnings)
    }

    /// How many rules are in force.
    pub fn len(&self) -> usize {
        self.fixed.len() + self.dynamic.len()
    }

    /// No rules?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rule for a request, if there is one.
    pub(crate) fn apply(&self, url: &Url) -> Option<Redirect> {
        if self.is_empty() {
            return None;
        }
        let path = url.path();
        let (to, status) = match self.fixed.get(path) {
            Some(target) => (target.to.clone(), target.status),
            None => self.dynamic.iter().find_map(|(pattern, target)| {
                let matched = pattern.matches(path, "")?;
                Some((matched.fill(&target.to), target.status))
            })?,
        };
        let to = if has_scheme(&to) { to } else { collapse_path(&to) };
        // A filled-in value can make a URL that does not parse (a host, say); then the rule does not apply.
        let destination = url.join(&to).ok()?;
        if status == 200 {
            return (destination.origin() == url.origin()).then(|| Redirect::Rewrite(destination.path().to_owned()));
        }
        Some(Redirect::To {
            status,
            location: location(&destination, url),
        })
    }
}

/// The request's query is kept unless the target has its own.
fn location(destination: &Url, request: &Url) -> String {
    let mut whole = destination.clone();
    if destination.query().unwrap_or_default().is_empty() {
        whole.set_query(request.query().filter(|query| !query.is_empty()));
    }
    if whole.origin() == request.origin() && whole.has_host() {
        whole[url::Position::BeforePath..].to_owned()
    } else {
        whole.into()
    }
}

fn split_line(line: &str) -> Result<(String, &str, u16), String> {
    if line.chars().count() > LINE_CHARS_MAX {
        return Err(format!("longer than {LINE_CHARS_MAX} characters; the line is ignored"));
    }
    let mut parts: Vec<&str> = line.split_whitespace().collect();
    // `# comment` at the end of a rule; `/a /b#fragment` is none.
    if let Some(comment) = (2..parts.len()).find(|index| parts[*index].starts_with('#')) {
        parts.truncate(comment);
    }
    let (from, to, status) = match parts[..] {
        [from, to] => (from, to, "302"),
        [from, to, status] => (from, to, status),
        _ => {
            let count = parts.len();
            return Err(format!(
                "expected `from to [status]`, found {count} words; the line is ignored"
            ));
        }
    };
    let status = match status.parse() {
        Ok(status @ (200 | 301 | 302 | 303 | 307 | 308)) => status,
        _ => {
            return Err(format!(
                "the status must be 200, 301, 302, 303, 307 or 308, not {status}; the line is ignored"
            ));
        }
    };
    if from.starts_with("https://") || from.starts_with("http://") {
        return Err(format!(
            "the path to redirect from must begin with /, not {from}; the line is ignored"
        ));
    }
    Ok((normal_path(from)?, to, status))
}

/// The path of a rule as the parsed URL of a request will show it.
pub(crate) fn normal_path(path: &str) -> Result<String, String> {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let url = Url::parse(&format!("http://rule{slash}{path}"));
    url.map(|url| url.path().to_owned())
        .map_err(|_| format!("{path} is no path; the line is ignored"))
}

/// `word://` at the start.
fn has_scheme(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// A filled-in value must not turn a path into `//another.host`.
fn collapse_path(to: &str) -> String {
    let end = to.find(['?', '#']).unwrap_or(to.len());
    let (path, rest) = to.split_at(end);
    let path = path.replace('\\', "/");
    format!("{}{rest}", collapse_slashes(&path))
}

fn target(from: &str, to: &str, status: u16, html_handling: HtmlHandling) -> Result<Target, String> {
    if to.starts_with("https://") {
        if Url::parse(to).is_err() && !pattern::is_dynamic(to) {
            return Err(format!("{to} is no URL; the line is ignored"));
        }
        if status == 200 {
            return Err(format!(
                "a rewrite (200) must go to a path of this site, not {to}; the line is ignored"
            ));
        }
        let to = to.to_owned();
        return Ok(Target { to, status });
    }
    if !to.starts_with('/') {
        return Err(format!(
            "the target must begin with / or https://, not {to}; the line is ignored"
        ));
    }
    let to_index = to.ends_with("/index") || to.ends_with("/index.html");
    let loops = from.ends_with("/*") || (from.ends_with('/') && html_handling != HtmlHandling::None);
    if to_index && loops {
        return Err(
            "the rule would redirect for ever: .html and /index are stripped from the target, which then matches \
                    again; the line is ignored (for an application with one page use \
                    not_found_handling = \"single-page-application\")"
                .to_owned(),
        );
    }
    let to = to.to_owned();
    Ok(Target { to, status })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> (RedirectRules, Vec<String>) {
        let (rules, warnings) = RedirectRules::parse(text, HtmlHandling::AutoTrailingSlash);
        (rules, warnings.iter().map(ToString::to_string).collect())
    }

    /// `expected`: `status location`, `200 path` or `-`.
    fn check(text: &str, path: &str, expected: &str) {
        let (rules, warnings) = rules(text);
        assert_eq!(warnings, [""; 0], "{text}");
        let url = Url::parse(&format!("http://site.test:8787{path}")).unwrap();
        let found = match rules.apply(&url) {
            None => "-".to_owned(),
            Some(Redirect::To { status, location }) => format!("{status} {location}"),
            Some(Redirect::Rewrite(path)) => format!("200 {path}"),
        };
        assert_eq!(found, expected, "{text} {path}");
    }

    #[test]
    fn applies() {
        check("/a /b", "/a", "302 /b");
        check("/a /b 301", "/a", "301 /b");
        check("/a /b 308 # moved", "/a", "308 /b");
        check("/a /b#part", "/a", "302 /b#part");
        check("/a /b", "/a/", "-");
        check("/a /b", "/a?x=1", "302 /b?x=1");
        check("/a /b?y=2", "/a?x=1", "302 /b?y=2");
        check("/a /b#f", "/a?x=1", "302 /b?x=1#f");
        check("a /b", "/a", "302 /b");
        check("/a https://x.test/b", "/a?q", "302 https://x.test/b?q");
        check("/a https://x.test", "/a", "302 https://x.test/");
        check("/a /b\n/:x /c", "/a", "302 /b");
        check("/:x /c\n/a /b", "/a", "302 /c");
        check("/r/* /t/:splat 301", "/r/x/y", "301 /t/x/y");
        check("/r/* /t/:splat", "/r/", "302 /t/");
        check("/r/* /t/:splat", "/r", "-");
        check("/u/:id /users?id=:id", "/u/7?x=1", "302 /users?id=7");
        check("/u/:id https://:id.x.test/", "/u/seven", "302 https://seven.x.test/");
        check("/caf%C3%A9 /b", "/café", "302 /b");
        check("/café /b", "/caf%C3%A9", "302 /b");
        check("/a /page 200", "/a", "200 /page");
        check("/app/* /app.js 200", "/app/x", "200 /app.js");
        check("# comment\n\n  /a   /b  ", "/a", "302 /b");
        check("/a /b?u=https://x.test//y", "/a", "302 /b?u=https://x.test//y");
        check("/a /b\r\n/c /d\r\n", "/c", "302 /d");
    }

    #[test]
    fn never_to_another_host_by_accident() {
        check("/* /:splat 301", "//evil.test/", "301 /evil.test/");
        check("/r/* /:splat", "/r//evil.test", "302 /evil.test");
        check("/r/* /:splat", "/r/\\evil.test", "302 /evil.test");
        check("/r/* /:splat 200", "/r//evil.test/x", "200 /evil.test/x");
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
        check("/a", "_redirects:1: expected `from to [status]`, found 1");
        check("/a /b 301 x", "found 4");
        check("\n/a /b 404", "_redirects:2: the status must be");
        check("/a /b abc", "the status must be");
        check("https://x.test/a /b", "must begin with /");
        check("/a b", "the target must begin with");
        check("/a http://x.test/", "the target must begin with");
        check("/a https://x.test/ 200", "a rewrite (200) must");
        check("/* /index.html 200", "for ever");
        check("/ /index", "for ever");
        check("/a /b\n/a /c", "_redirects:2: there is a rule for /a already");
        check("/*/* /b", "only one *");
        check(&format!("/a /{}", "b".repeat(2000)), "longer than 2000");
    }

    #[test]
    fn root_to_index_is_fine_without_html_handling() {
        let (rules, warnings) = RedirectRules::parse("/ /index.html 200", HtmlHandling::None);
        assert!(warnings.is_empty());
        assert_eq!(rules.len(), 1);
    }

    #[test]
    fn holds_its_limits() {
        let text: String = (0..2002).map(|n| format!("/s{n} /b\n")).collect();
        let (parsed, warnings) = rules(&text);
        assert_eq!((parsed.len(), warnings.len()), (2000, 2));
        let text: String = (0..105).map(|n| format!("/d{n}/* /b\n")).collect();
        let (parsed, warnings) = rules(&text);
        assert_eq!((parsed.len(), warnings.len()), (100, 1));
        assert!(warnings[0].starts_with("_redirects:101: more than 100 dynamic"));
    }
}
