//! Whatever comes in, nothing panics, and what comes out can be sent.

use crate::{
    Answer, Caller, Content, Decision, Entry, HeaderRules, IgnoreRules, Manifest, RedirectRules, Rules, WorkerFirst,
    decode_path, encode_path,
};
use atoll_model::{HtmlHandling, NotFoundHandling, RunWorkerFirst};
use atoll_stdx::SplitMix64;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

const PIECES: [&str; 48] = [
    "/", "//", "a", "index", ".html", "*", ":", ":a", ":splat", "..", ".", "%2f", "%2e", "%5c", "%00", "%", "%zz",
    "%ff", "\\", "é", "\u{2028}", " ", "\t", "\n", "\r\n", "!", "! ", "#", "?", "&x=1", "[", "]", "[a-z]", "**",
    "https://", "h.test", ":80", "200", "301", "X-A: ", "\"", ",", "W/", "bytes=", "-", "9", "\u{0}", "@",
];
const FILES: [&str; 6] = ["/index.html", "/a.html", "/a/index.html", "/404.html", "/é", "/[a]"];

fn text(random: &mut SplitMix64, pieces: u64) -> String {
    let count = random.below(pieces + 1);
    (0..count)
        .map(|_| PIECES[random.below(PIECES.len() as u64) as usize])
        .collect()
}

fn site(random: &mut SplitMix64) -> Rules {
    let mut manifest = Manifest::default();
    for file in FILES {
        if random.below(4) == 0 {
            continue;
        }
        let entry = Entry {
            size: random.below(12),
            etag: "\"e\"".to_owned(),
            content_type: crate::content_type(file),
        };
        manifest.insert(file.to_owned(), entry);
    }
    let html_handling = match random.below(4) {
        0 => HtmlHandling::AutoTrailingSlash,
        1 => HtmlHandling::ForceTrailingSlash,
        2 => HtmlHandling::DropTrailingSlash,
        _ => HtmlHandling::None,
    };
    let not_found_handling = match random.below(3) {
        0 => NotFoundHandling::None,
        1 => NotFoundHandling::NotFoundPage,
        _ => NotFoundHandling::SinglePageApplication,
    };
    let patterns = (0..random.below(3)).map(|_| format!("/{}", text(random, 4))).collect();
    let worker_first = WorkerFirst::new(&RunWorkerFirst::Patterns(patterns)).map(|(compiled, _)| compiled);
    let lines = |random: &mut SplitMix64, start: &str| -> String {
        (0..random.below(5))
            .map(|_| format!("{start}{}\n", text(random, 9)))
            .collect()
    };
    let redirects = RedirectRules::parse(
        &format!("/{} /{}\n{}", text(random, 3), text(random, 5), lines(random, "/")),
        html_handling,
    )
    .0;
    let headers = HeaderRules::parse(&format!("/{}\n{}", text(random, 3), lines(random, "X-A: "))).0;
    Rules {
        manifest,
        html_handling,
        not_found_handling,
        worker_first: worker_first.unwrap_or_default(),
        redirects,
        headers,
    }
}

fn check(rules: &Rules, answer: &Answer, url: &str) {
    if let Some(location) = answer.headers.get(header::LOCATION) {
        let location = location.to_str().unwrap();
        assert!(!location.starts_with("//"), "{url} -> {location}");
        assert!(
            location.starts_with('/') || location.starts_with("https://"),
            "{url} -> {location}"
        );
    } else {
        assert!(
            !answer.status.is_redirection() || answer.status == StatusCode::NOT_MODIFIED,
            "{url}"
        );
    }
    if let Content::Asset { path, range } = &answer.content {
        let size = rules.manifest.get(path).unwrap().size;
        if let Some(range) = range {
            assert!(range.start < range.end && range.end <= size, "{url} {range:?}");
            assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
        }
    }
}

#[test]
fn nothing_panics_and_every_answer_can_be_sent() {
    let mut answers = 0;
    for seed in 0..600 {
        let mut random = SplitMix64::new(seed);
        let rules = site(&mut random);
        let ignore = IgnoreRules::parse(&text(&mut random, 12)).0;
        ignore.is_ignored(&text(&mut random, 5), random.below(2) == 0);
        for _ in 0..8 {
            let path = text(&mut random, 7);
            let decoded = decode_path(&path);
            assert_eq!(decode_path(&encode_path(&decoded)), decoded, "{path:?}");
            let url = format!("http://site.test/{path}");
            let mut headers = HeaderMap::new();
            for name in ["range", "if-none-match", "if-match", "if-range", "sec-fetch-mode"] {
                let value = if name == "range" {
                    format!("bytes={}", text(&mut random, 4))
                } else {
                    text(&mut random, 4)
                };
                if let (0, Ok(value)) = (random.below(3), HeaderValue::from_bytes(value.as_bytes())) {
                    headers.insert(HeaderName::from_static(name), value);
                }
            }
            let method = [Method::GET, Method::HEAD, Method::POST][random.below(3) as usize].clone();
            let caller = [Caller::ClientOfWorker, Caller::ClientOfAssets, Caller::Worker][random.below(3) as usize];
            if let Decision::Respond(answer) = rules.decide(&method, &url, &headers, caller) {
                check(&rules, &answer, &url);
                answers += 1;
            } else {
                assert_eq!(caller, Caller::ClientOfWorker, "{url}");
            }
        }
    }
    assert!(answers > 1500, "only {answers} answers: the cases test nothing");
}
