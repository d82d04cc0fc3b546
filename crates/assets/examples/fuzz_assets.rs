//! Fuzzing of what describes static assets, and of requests for them: `cargo xtask campaign fuzz --target NAME`.
//!
//! The rules of `_redirects`, `_headers`, `.assetsignore` and `run_worker_first` come from a project, paths and conditions
//! from any client. Patterns are compared with a matcher written here without expressions, ranges with a reading by
//! expression.

use atoll_assets::{
    Answer, Caller, Content, Decision, Entry, HeaderRules, IgnoreRules, Manifest, Preconditions, RangeAnswer,
    RedirectRules, Rules, WorkerFirst, content_type, decode_path, encode_path, evaluate,
};
use atoll_model::{HtmlHandling, NotFoundHandling, RunWorkerFirst};
use atoll_stdx::fuzz::{self, Inputs, Target, Verdict, Wrong, agree, hold};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use std::process::ExitCode;
use url::Url;

const ETAG: &str = "\"e\"";
const FILES: [&str; 7] = [
    "/index.html",
    "/a.html",
    "/a/index.html",
    "/b.css",
    "/404.html",
    "/é",
    "/[a]",
];

/// A path in the first line, the file from the second on.
const REDIRECTS: Inputs = Inputs::new(
    &[
        b"/a\n/a /b\n/c https://other.test/d 301\n",
        b"/blog/2026/11/x\n/blog/:y/:m/:slug /posts/:slug?y=:y 308\n# comment\n/r/* /t/:splat\n",
        b"/app/x\n/app/* /app.js 200\n/old /new#part 302 # moved\n",
        b"/r//evil.test/x\n/r/* /:splat 301\n",
        b"/u/seven\n/u/:id https://:id.example.test/ 303\n",
    ],
    &[
        "/",
        "//",
        "/a",
        "/b",
        ":id",
        ":splat",
        "*",
        "/*",
        " ",
        "\n",
        "#",
        "?x=1",
        "https://",
        "http://",
        "h.test",
        ":8080",
        "200",
        "301",
        "302",
        "308",
        "404",
        "/index",
        "/index.html",
        "\\",
        "%2f",
        "%2e%2e",
        "..",
        "\t",
        "@",
        "é",
        "/:a/:b ",
    ],
);
const HEADERS: Inputs = Inputs::new(
    &[
        b"/a\n/a\n  X-Frame-Options: DENY\n  ! Cache-Control\n/*\n  X-A: 1\n",
        b"/static/x.js\n/static/*\n  Cache-Control: public, max-age=31536000\n  X-Path: :splat\n",
        b"/p/7\n/p/:id\n  X-Id: :id\n  Link: </a.css>; rel=preload\nhttps://site.test/*\n  X-Host: 1\n",
    ],
    &[
        "/",
        "/a",
        "/*",
        "*",
        ":id",
        ":splat",
        "\n",
        "\n  ",
        "! ",
        "X-A: ",
        "Content-Length: 1",
        "Set-Cookie: a=1",
        ":",
        "https://",
        "site.test",
        "https://:sub.test/*",
        "#",
        "Transfer-Encoding: x",
        "é",
        "\t",
        "\"",
    ],
);
/// A path in the first line, the patterns from the second on.
const IGNORES: Inputs = Inputs::new(
    &[
        b"a/b.map\n*.map\n!keep.map\n/dist/\nnode_modules\n",
        b"x/y/z\n**/y/**\n[a-c]?\n\\!x\n# comment\n  \n",
        b".env\n!.env\nfoo/**/bar\n",
    ],
    &[
        "*",
        "**",
        "/",
        "!",
        "?",
        "[",
        "]",
        "[a-z]",
        "[!a]",
        "[^a]",
        "\\",
        "\n",
        "a",
        ".env",
        "**/",
        "/**",
        "#",
        " ",
        "-",
        "[:alpha:]",
    ],
);
const FIRST: Inputs = Inputs::new(
    &[b"/api/x\n/api/*\n!/api/docs/*\n", b"/a\n/*\n", b"/x\n/x\n/x\n!/x\n"],
    &["/", "*", "!", "/api", "\n", "!/", "**", ".", "(", "[", "é"],
);
/// A method, a URL and headers; then the files of rules, each after a line of dashes.
const REQUESTS: Inputs = Inputs::new(
    &[
        b"GET http://site.test/a\nrange: bytes=0-3\nif-none-match: \"x\"\n---\n/x /y 301\n---\n/*\n  X-A: 1\n",
        b"GET http://site.test/b.css?q=1\nif-match: \"e\"\nif-range: \"e\"\nrange: bytes=-2\n---\n/b.css /a.html 200\n---\n",
        b"HEAD http://site.test/%61/\nif-none-match: W/\"e\", \"f\"\n---\n---\n",
        b"POST http://site.test//a/index.html\n---\n/* /a/:splat\n---\n",
        b"GET http://site.test/nowhere\nsec-fetch-mode: navigate\naccept: text/html\n---\n---\n/nowhere\n  ! etag\n",
    ],
    &[
        "GET ", "HEAD ", "http://site.test", "/", "//", "a", ".html", "/index", "index.html", "%2f", "%5c", "..", "%2e%2e/", "?",
        "\n", "---\n", "range: bytes=", "0-", "-", ",", "if-none-match: ", "if-match: ", "if-range: ", "W/", "\"e\"", "*",
        "sec-fetch-mode: navigate", ":splat", "/*", " 200", "  X-A: ", "  ! ", "location: //x",
    ],
);
/// A size, `Range`, `If-None-Match`, `If-Match` and `If-Range`, a line each; `-` for none.
const CONDITIONS: Inputs = Inputs::new(
    &[
        b"10\nbytes=0-3\n-\n-\n-",
        b"10\nbytes=-3\n\"x\", W/\"e\"\n-\n-",
        b"0\nbytes=0-\n-\n\"e\"\n\"e\"",
        b"10\nbytes=3-\n-\n*\nW/\"e\"",
        b"10\nbytes=0-1,3-4\n-\n-\nTue, 15 Nov 1994 12:45:26 GMT",
        b"10\nBytes = 8-99\n-\n-\n-",
    ],
    &[
        "bytes=", "-", ",", "\n", "\"e\"", "W/", "*", "0", "9", "10", " ", "\t", "items=", "\"", "\"a,b\"",
    ],
);

fn main() -> ExitCode {
    fuzz::main(vec![
        Target::text("asset-path", REQUESTS, path).lenient(),
        Target::text("asset-redirects", REDIRECTS, redirects).lenient(),
        Target::text("asset-headers", HEADERS, headers).lenient(),
        Target::text("asset-ignore", IGNORES, ignore).lenient(),
        Target::text("asset-worker-first", FIRST, worker_first),
        Target::text("asset-request", REQUESTS, request),
        Target::text("asset-conditions", CONDITIONS, conditions).lenient(),
    ])
}

fn path(text: &str) -> Result<Verdict, Wrong> {
    let decoded = decode_path(text);
    let encoded = encode_path(&decoded);
    agree("decode(encode(name))", &decode_path(&encoded), &decoded)?;
    hold(encoded.is_ascii() && !encoded.contains([' ', '?', '#', '\\']), || {
        encoded.clone()
    })?;
    hold(
        content_type(text).is_none_or(|value| HeaderValue::from_str(&value).is_ok()),
        || format!("content type {:?}", content_type(text)),
    )?;
    // A file's name, seen as the URL's path that asks for it, is found under that name.
    let url = Url::parse(&format!("http://site.test/{encoded}")).map_err(|error| format!("{encoded}: {error}"))?;
    let normal = decoded.split('/').all(|segment| !matches!(segment, "." | "..")) && !decoded.starts_with('/');
    if normal {
        agree(
            "the name of its own URL",
            &decode_path(url.path()).into_owned(),
            &format!("/{decoded}"),
        )?;
    }
    Ok(Verdict::Taken)
}

/// The lines of a file of rules that say something.
fn said(file: &str) -> usize {
    file.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .count()
}

fn site() -> Manifest {
    let mut manifest = Manifest::default();
    for (size, file) in (3..).zip(FILES) {
        let entry = Entry {
            size,
            etag: ETAG.to_owned(),
            content_type: content_type(file),
        };
        manifest.insert(file.to_owned(), entry);
    }
    manifest
}

fn redirects(text: &str) -> Result<Verdict, Wrong> {
    let (path, file) = text.split_once('\n').unwrap_or((text, ""));
    let (rules, warnings) = RedirectRules::parse(file, HtmlHandling::AutoTrailingSlash);
    let lines = file.lines().count();
    hold(
        warnings.iter().all(|warning| (1..=lines).contains(&warning.line)),
        || format!("{warnings:?} of {lines} lines"),
    )?;
    // Each line is a rule or warned about, until there are too many.
    hold(rules.len() + warnings.len() <= said(file), || {
        format!("{} rules and {warnings:?}", rules.len())
    })?;
    let broke_off = warnings
        .last()
        .is_some_and(|last| last.to_string().contains("rest of the file"));
    hold(broke_off || rules.len() + warnings.len() == said(file), || {
        format!("{} rules and {warnings:?} of {} lines", rules.len(), said(file))
    })?;
    let rules = Rules {
        redirects: rules,
        ..Rules::default()
    };
    let url = format!("http://site.test/{}", path.strip_prefix('/').unwrap_or(path));
    let decision = rules.decide(&Method::GET, &url, &HeaderMap::new(), Caller::ClientOfAssets);
    let Decision::Respond(answer) = decision else {
        return Err("the worker is run where there is none".to_owned());
    };
    sendable(&rules, &answer, &url)?;
    Ok(Verdict::Taken)
}

/// A matcher of its own: `*` is anything, `:name` one segment. `None` for a pattern that it does not know.
fn matches(pattern: &[u8], path: &[u8]) -> Option<bool> {
    match pattern {
        [] => Some(path.is_empty()),
        [b'*', rest @ ..] => {
            for at in 0..=path.len() {
                if matches(rest, &path[at..])? {
                    return Some(true);
                }
            }
            Some(false)
        }
        [b':', first, rest @ ..] if first.is_ascii_alphabetic() => {
            let word = rest
                .iter()
                .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
                .count();
            let segment = path.iter().take_while(|byte| **byte != b'/').count();
            for at in 1..=segment {
                if matches(&rest[word..], &path[at..])? {
                    return Some(true);
                }
            }
            Some(false)
        }
        [byte, rest @ ..] => match path {
            [other, path @ ..] if other == byte => matches(rest, path),
            _ => Some(false),
        },
    }
}

fn headers(text: &str) -> Result<Verdict, Wrong> {
    let (path, file) = text.split_once('\n').unwrap_or((text, ""));
    let (rules, warnings) = HeaderRules::parse(file);
    let lines = file.lines().count();
    hold(
        warnings.iter().all(|warning| (1..=lines).contains(&warning.line)),
        || format!("{warnings:?} of {lines} lines"),
    )?;
    hold(rules.len() <= said(file), || format!("{} rules", rules.len()))?;
    let whole = Rules {
        headers: rules,
        manifest: site(),
        ..Rules::default()
    };
    let url = format!("http://site.test/{}", path.strip_prefix('/').unwrap_or(path));
    let decision = whole.decide(&Method::GET, &url, &HeaderMap::new(), Caller::ClientOfAssets);
    let Decision::Respond(answer) = decision else {
        return Err("the worker is run where there is none".to_owned());
    };
    sendable(&whole, &answer, &url)?;

    // The first path alone, with a header of ours: is it there exactly if the other matcher says so?
    let Some(rule) = file.lines().map(str::trim).find(|line| line.starts_with('/')) else {
        return Ok(Verdict::Taken);
    };
    let stars = rule.matches('*').count();
    let (one, warnings) = HeaderRules::parse(&format!("{rule}\n  X-Probe: 1\n"));
    let Ok(asked) = Url::parse(&url) else {
        return Ok(Verdict::Taken);
    };
    // Repeated names are refused; the other matcher would have to know, and to be quick for many stars.
    if warnings.is_empty() && one.len() == 1 && stars <= 1 && rule.matches(':').count() <= 3 && rule.len() < 200 {
        let normal = Url::parse(&format!("http://rule{rule}")).map_err(|error| format!("{rule}: {error}"))?;
        let expected = matches(normal.path().as_bytes(), asked.path().as_bytes());
        let probe = Rules {
            headers: one,
            ..Rules::default()
        };
        let Decision::Respond(answer) = probe.decide(&Method::GET, &url, &HeaderMap::new(), Caller::ClientOfAssets)
        else {
            return Err("the worker is run where there is none".to_owned());
        };
        if let Some(expected) = expected {
            agree(
                &format!("{rule} matches {url}"),
                &answer.headers.contains_key("x-probe"),
                &expected,
            )?;
        }
    }
    Ok(Verdict::Taken)
}

fn ignore(text: &str) -> Result<Verdict, Wrong> {
    let (path, file) = text.split_once('\n').unwrap_or((text, ""));
    let (rules, warnings) = IgnoreRules::parse(file);
    let lines = file.lines().count();
    hold(
        warnings.iter().all(|warning| (1..=lines).contains(&warning.line)),
        || format!("{warnings:?} of {lines} lines"),
    )?;
    let path = path.trim_matches('/');
    let as_directory = rules.is_ignored(path, true);
    let as_file = rules.is_ignored(path, false);
    // What is ignored as a file is ignored as a directory unless a line for directories alone brings it back.
    if as_file && !as_directory {
        hold(file.lines().any(|line| line.starts_with('!')), || {
            format!("{path} is ignored as a file alone")
        })?;
    }
    if !path.is_empty() && !path.contains('\n') {
        let (all, _) = IgnoreRules::parse(&format!("{file}\n**\n"));
        hold(all.is_ignored(path, false), || format!("{path:?} is not ignored by **"))?;
        // The last line that fits counts. What no client may see stays away.
        let (none, _) = IgnoreRules::parse(&format!("{file}\n!**\n"));
        let platform = [".assetsignore", "_headers", "_redirects", "_worker.js", "_routes.json"];
        let kept = platform.iter().any(|name| name.eq_ignore_ascii_case(path));
        agree(&format!("{path:?} after !**"), &none.is_ignored(path, false), &kept)?;
    }
    Ok(Verdict::Taken)
}

fn worker_first(text: &str) -> Result<Verdict, Wrong> {
    let (path, patterns) = text.split_once('\n').unwrap_or((text, ""));
    let patterns: Vec<String> = patterns.lines().map(str::to_owned).collect();
    let Ok((compiled, _)) = WorkerFirst::new(&RunWorkerFirst::Patterns(patterns.clone())) else {
        return Ok(Verdict::Refused);
    };
    hold(patterns.iter().any(|pattern| pattern.starts_with('/')), || {
        "no pattern runs the worker".to_owned()
    })?;
    let url = format!("http://site.test/{}", path.strip_prefix('/').unwrap_or(path));
    let Ok(asked) = Url::parse(&url) else {
        return Ok(Verdict::Taken);
    };
    // Every path that the patterns leave to the assets has a file, so the worker is run by a pattern or not at all.
    let rules = Rules {
        worker_first: compiled,
        manifest: site(),
        not_found_handling: NotFoundHandling::SinglePageApplication,
        ..Rules::default()
    };
    let decision = rules.decide(&Method::GET, &url, &HeaderMap::new(), Caller::ClientOfWorker);
    let fits = |mark: &str| {
        patterns
            .iter()
            .filter_map(|pattern| pattern.strip_prefix(mark))
            .any(|pattern| {
                pattern.starts_with('/')
                    && pattern.matches('*').count() < 8
                    && star(pattern.as_bytes(), asked.path().as_bytes())
            })
    };
    if patterns.iter().all(|pattern| pattern.matches('*').count() < 8) {
        let expected = !fits("!") && fits("");
        agree(
            &format!("{patterns:?} run the worker for {url}"),
            &(decision == Decision::RunWorker),
            &expected,
        )?;
    }
    Ok(Verdict::Taken)
}

/// `*` is anything, all else itself.
fn star(pattern: &[u8], path: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = path.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&[u8]> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match (0..=rest.len()).find(|at| rest[*at..].starts_with(part)) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn request(text: &str) -> Result<Verdict, Wrong> {
    let mut sections = text.split("---\n");
    let (head, redirects, headers) = (sections.next(), sections.next(), sections.next());
    let mut lines = head.unwrap_or_default().lines();
    let Some((method, url)) = lines.next().and_then(|line| line.split_once(' ')) else {
        return Ok(Verdict::Refused);
    };
    let Ok(method) = Method::from_bytes(method.as_bytes()) else {
        return Ok(Verdict::Refused);
    };
    let mut fields = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            fields.append(name, value);
        }
    }
    let html = [
        HtmlHandling::AutoTrailingSlash,
        HtmlHandling::ForceTrailingSlash,
        HtmlHandling::DropTrailingSlash,
        HtmlHandling::None,
    ];
    let missing = [
        NotFoundHandling::None,
        NotFoundHandling::NotFoundPage,
        NotFoundHandling::SinglePageApplication,
    ];
    for html_handling in html {
        for not_found_handling in missing {
            let rules = Rules {
                manifest: site(),
                html_handling,
                not_found_handling,
                worker_first: WorkerFirst::Never,
                redirects: RedirectRules::parse(redirects.unwrap_or_default(), html_handling).0,
                headers: HeaderRules::parse(headers.unwrap_or_default()).0,
            };
            for caller in [Caller::ClientOfWorker, Caller::ClientOfAssets, Caller::Worker] {
                match rules.decide(&method, url, &fields, caller) {
                    Decision::Respond(answer) => sendable(&rules, &answer, url)?,
                    Decision::RunWorker => {
                        hold(caller == Caller::ClientOfWorker, || {
                            "a worker is run for itself".to_owned()
                        })?;
                    }
                }
            }
        }
    }
    Ok(Verdict::Taken)
}

/// An answer that a client can be sent, and that leads to where the rules may lead.
fn sendable(rules: &Rules, answer: &Answer, url: &str) -> Result<(), Wrong> {
    let location = answer.headers.get(header::LOCATION);
    let by_rule = !rules.headers.is_empty();
    match location {
        // A rule of `_headers` may say anything.
        Some(_) if by_rule => {}
        Some(location) => {
            let location = location
                .to_str()
                .map_err(|_| "a location that is no ASCII".to_owned())?;
            hold(!location.starts_with("//") && !location.starts_with("/\\"), || {
                format!("{url} leads to another host: {location}")
            })?;
            hold(location.starts_with('/') || location.starts_with("https://"), || {
                format!("{url} -> {location}")
            })?;
            if let Ok(base) = Url::parse(url) {
                let target = base.join(location).map_err(|error| format!("{location}: {error}"))?;
                hold(
                    location.starts_with("https://") || target.origin() == base.origin(),
                    || format!("{url} -> {location} is of another origin"),
                )?;
            }
        }
        None => hold(
            !answer.status.is_redirection() || answer.status == StatusCode::NOT_MODIFIED,
            || format!("{url}: {} without a location", answer.status),
        )?,
    }
    if let Content::Asset { path, range } = &answer.content {
        let entry = rules.manifest.get(path).ok_or_else(|| format!("{path} is no file"))?;
        match range {
            Some(range) => {
                hold(range.start < range.end && range.end <= entry.size, || {
                    format!("{url} {range:?}")
                })?;
                agree("status", &answer.status, &StatusCode::PARTIAL_CONTENT)?;
                let shown = format!("bytes {}-{}/{}", range.start, range.end - 1, entry.size);
                let told = answer
                    .headers
                    .get(header::CONTENT_RANGE)
                    .and_then(|value| value.to_str().ok());
                agree("content-range", &told, &Some(shown.as_str()))?;
            }
            None => hold(answer.status != StatusCode::PARTIAL_CONTENT, || {
                format!("{url}: 206 of everything")
            })?,
        }
    }
    Ok(())
}

/// RFC 9110 section 14.1.2, by expression: first and last byte of one range.
fn one_range(value: &str) -> Option<(Option<u64>, Option<u64>)> {
    let expression = regex::Regex::new(r"^(?i)\s*bytes\s*=[\s,]*(\d*)\s*-\s*(\d*)[\s,]*$").ok()?;
    let found = expression.captures(value)?;
    let number = |at: usize| {
        let text = &found[at];
        (!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX))
    };
    Some((number(1), number(2)))
}

fn conditions(text: &str) -> Result<Verdict, Wrong> {
    let mut lines = text.split('\n');
    let size: u64 = lines.next().and_then(|line| line.parse().ok()).unwrap_or(10);
    let mut fields = HeaderMap::new();
    for name in [header::RANGE, header::IF_NONE_MATCH, header::IF_MATCH, header::IF_RANGE] {
        let value = lines.next().filter(|value| *value != "-");
        if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
            fields.insert(name, value);
        }
    }
    let told = |name: HeaderName| fields.get(name).and_then(|value| value.to_str().ok());
    for etag in [Some(ETAG), None] {
        let (preconditions, range) = evaluate(&Method::GET, &fields, etag, size);
        let (_, of_head) = evaluate(&Method::HEAD, &fields, etag, size);
        agree("a range of HEAD", &of_head, &RangeAnswer::Whole)?;
        // Single tags are enough to know by heart.
        // What is no text has a meaning, too; not here.
        let texts = [header::IF_MATCH, header::IF_NONE_MATCH]
            .iter()
            .all(|name| fields.contains_key(name) == told(name.clone()).is_some());
        let expected = match (told(header::IF_MATCH), told(header::IF_NONE_MATCH)) {
            _ if !texts => None,
            (Some("*" | "\"e\""), None) | (None, None) => {
                (etag.is_some() || told(header::IF_MATCH) != Some("\"e\"")).then_some(Preconditions::Pass)
            }
            (None, Some("\"e\"" | "W/\"e\"")) if etag.is_some() => Some(Preconditions::NotModified),
            (Some("W/\"e\"" | "\"x\""), _) => Some(Preconditions::Failed),
            _ => None,
        };
        if let Some(expected) = expected {
            agree("preconditions", &preconditions, &expected)?;
        }
        if let RangeAnswer::Part(part) = range {
            hold(part.start < part.end && part.end <= size, || {
                format!("{part:?} of {size}")
            })?;
        }
        if preconditions != Preconditions::Pass || fields.contains_key(header::IF_RANGE) {
            continue;
        }
        let Some(value) = told(header::RANGE) else {
            agree("no range", &range, &RangeAnswer::Whole)?;
            continue;
        };
        match one_range(value) {
            Some((Some(first), Some(last))) if last < first => agree(value, &range, &RangeAnswer::Whole)?,
            Some((Some(first), last)) => match &range {
                RangeAnswer::Unsatisfiable => hold(first >= size, || format!("{value} of {size}"))?,
                RangeAnswer::Part(part) => {
                    agree("first byte", &part.start, &first)?;
                    agree("last byte", &(part.end - 1), &last.unwrap_or(u64::MAX).min(size - 1))?;
                }
                RangeAnswer::Whole => return Err(format!("{value} of {size}: not understood")),
            },
            Some((None, Some(suffix))) => match &range {
                RangeAnswer::Unsatisfiable => agree("suffix", &suffix, &0)?,
                RangeAnswer::Part(part) => agree("suffix", &(part.end - part.start), &suffix.min(size))?,
                RangeAnswer::Whole => agree("size", &size, &0)?,
            },
            // No range, or several, which are answered with everything.
            Some((None, None)) | None => agree(value, &range, &RangeAnswer::Whole)?,
        }
    }
    Ok(Verdict::Taken)
}
