//! Route patterns: which requests are a worker's, by host and path, as a configuration's `routes` write them.
//!
//! Source: the Workers documentation, "Routes", "Matching behavior". A pattern is `[http[s]://]HOST[/PATH]`; the host may
//! begin with `*`, the path may end with `*`, which stand for any characters; there is no other wildcard, no port and no
//! query. The most specific pattern wins: the longer host, then the longer path.

use std::fmt;

/// The longest pattern, bytes.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// A route pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoutePattern {
    /// In lower case; with `any_prefix`, what the host ends with.
    host: String,
    any_prefix: bool,
    /// With `any_suffix`, what the path begins with.
    path: String,
    any_suffix: bool,
}

/// The text is no route pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{pattern}\" is no route pattern: {reason}")]
pub struct RoutePatternError {
    pattern: String,
    reason: &'static str,
}

impl RoutePattern {
    /// Reads a pattern. One without a path matches the path `/` alone, as on the platform.
    pub fn parse(text: &str) -> Result<Self, RoutePatternError> {
        let refused = |reason| RoutePatternError {
            pattern: text.chars().take(200).collect(),
            reason,
        };
        if text.len() > PATTERN_BYTES_MAX {
            return Err(refused("it is too long"));
        }
        let rest = match text.split_once("://") {
            None => text,
            Some(("http" | "https" | "*", rest)) => rest,
            Some(_) => return Err(refused("its scheme is neither http nor https")),
        };
        if rest.contains(['?', '#']) {
            return Err(refused("it has a query or a fragment"));
        }
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let (any_prefix, host) = strip(host, |host| host.strip_prefix('*'));
        let (any_suffix, path) = strip(path, |path| path.strip_suffix('*'));
        if host.contains('*') {
            return Err(refused("only the beginning of the host may be *"));
        }
        if path.contains('*') {
            return Err(refused("only the end of the path may be *"));
        }
        if host.is_empty() && !any_prefix {
            return Err(refused("it has no host"));
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':');
        if !host.chars().all(legal) {
            return Err(refused("its host has characters that no host name has"));
        }
        if host.contains(':') && !host.ends_with(']') {
            return Err(refused("it has a port: routes are for every port that is served"));
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            any_prefix,
            path: path.to_owned(),
            any_suffix,
        })
    }

    /// As [`RoutePattern::parse`], but one without a path matches every path: a whole domain.
    pub fn parse_domain(text: &str) -> Result<Self, RoutePatternError> {
        let host = text.split_once("://").map_or(text, |(_, rest)| rest);
        if host.contains('/') {
            Self::parse(text)
        } else {
            Self::parse(&format!("{text}/*"))
        }
    }

    /// The pattern of every request: `*/*`.
    pub fn everything() -> Self {
        Self {
            host: String::new(),
            any_prefix: true,
            path: "/".to_owned(),
            any_suffix: true,
        }
    }

    /// Whether a request of `host` (lower case, no port) for `path` (beginning with `/`) matches.
    pub fn matches(&self, host: &str, path: &str) -> bool {
        let host_fits = if self.any_prefix {
            host.ends_with(&self.host)
        } else {
            host == self.host
        };
        let path_fits = if self.any_suffix {
            path.starts_with(&self.path)
        } else {
            path == self.path
        };
        host_fits && path_fits
    }

    /// Orders patterns that match the same request: the greater one wins.
    pub fn specificity(&self) -> (bool, usize, bool, usize) {
        (!self.any_prefix, self.host.len(), !self.any_suffix, self.path.len())
    }
}

fn strip(text: &str, with: impl Fn(&str) -> Option<&str>) -> (bool, &str) {
    with(text).map_or((false, text), |rest| (true, rest))
}

impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = |any| if any { "*" } else { "" };
        let (prefix, suffix) = (star(self.any_prefix), star(self.any_suffix));
        write!(f, "{prefix}{}{}{suffix}", self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_match() {
        let check = |pattern: &str, host: &str, path: &str, expected: bool| {
            let pattern = RoutePattern::parse(pattern).expect(pattern);
            assert_eq!(pattern.matches(host, path), expected, "{pattern} {host} {path}");
        };
        check("example.com/*", "example.com", "/", true);
        check("example.com/*", "example.com", "/a/b", true);
        check("example.com/*", "www.example.com", "/", false);
        check("example.com", "example.com", "/", true);
        check("example.com", "example.com", "/a", false);
        check("Example.COM/Api", "example.com", "/Api", true);
        check("example.com/Api", "example.com", "/api", false);
        check("*.example.com/*", "a.b.example.com", "/", true);
        check("*.example.com/*", "example.com", "/", false);
        check("*example.com/*", "example.com", "/", true);
        check("*example.com/*", "myexample.com", "/", true);
        check("https://example.com/images/*", "example.com", "/images/cat", true);
        check("example.com/images*", "example.com", "/images", true);
        check("example.com/images/*", "example.com", "/images", false);
        check("*/*", "anything", "/", true);
        check("*/*", "", "/", true);
        check("[::1]/*", "[::1]", "/", true);
    }

    #[test]
    fn what_is_no_pattern() {
        let check = |text: &str, expected: &str| {
            let error = RoutePattern::parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("", "no host");
        check("/path", "no host");
        check("ftp://a.com/*", "scheme");
        check("a.*.com/*", "beginning of the host");
        check("a.com/*/b", "end of the path");
        check("a.com/?q", "query");
        check("a.com:8080/*", "port");
        check("a b.com/*", "characters");
        check(&"a".repeat(PATTERN_BYTES_MAX + 1), "too long");
    }

    #[test]
    fn the_more_specific_wins() {
        let check = |greater: &str, lesser: &str| {
            let specificity = |text: &str| RoutePattern::parse(text).expect(text).specificity();
            assert!(specificity(greater) > specificity(lesser), "{greater} {lesser}");
        };
        check("www.example.com/*", "*.example.com/very/long/path");
        check("*.a.example.com/*", "*.example.com/*");
        check("example.com/a/*", "example.com/*");
        check("example.com/a", "example.com/a*");
        check("*.example.com/*", "*/*");
    }

    #[test]
    fn a_domain_is_all_its_paths() {
        let check = |text: &str, expected: &str| {
            assert_eq!(RoutePattern::parse_domain(text).expect(text).to_string(), expected);
        };
        check("example.com", "example.com/*");
        check("https://example.com", "example.com/*");
        check("example.com/a", "example.com/a");
        check("*", "*/*");
        assert_eq!(RoutePattern::parse("*/*"), Ok(RoutePattern::everything()));
    }
}
