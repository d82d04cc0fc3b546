use super::*;
use crate::content_type;
use HtmlHandling::AutoTrailingSlash;
use NotFoundHandling::{NotFoundPage, SinglePageApplication};
use atoll_model::RunWorkerFirst;
use http::HeaderName;

/// A site with every file 10 bytes long and tagged `"e"`.
struct Site {
    files: &'static [&'static str],
    redirects: &'static str,
    headers: &'static str,
    not_found: NotFoundHandling,
    worker_first: RunWorkerFirst,
    caller: Caller,
}

const FILES: &[&str] = &[
    "/index.html",
    "/about.html",
    "/docs/index.html",
    "/404.html",
    "/docs/404.html",
    "/app.js",
    "/[id].txt",
    "/@me",
    "/café.txt",
    "/%41.txt",
];

impl Default for Site {
    fn default() -> Self {
        Self {
            files: FILES,
            redirects: "",
            headers: "",
            not_found: NotFoundHandling::None,
            worker_first: RunWorkerFirst::All(false),
            caller: Caller::ClientOfAssets,
        }
    }
}

impl Site {
    fn rules(&self) -> Rules {
        let mut manifest = Manifest::default();
        for file in self.files {
            let entry = Entry {
                size: 10,
                etag: "\"e\"".to_owned(),
                content_type: content_type(file),
            };
            manifest.insert((*file).to_owned(), entry);
        }
        let (redirects, warnings) = RedirectRules::parse(self.redirects, AutoTrailingSlash);
        assert!(warnings.is_empty(), "{warnings:?}");
        let (headers, warnings) = HeaderRules::parse(self.headers);
        assert!(warnings.is_empty(), "{warnings:?}");
        Rules {
            manifest,
            html_handling: AutoTrailingSlash,
            not_found_handling: self.not_found,
            worker_first: WorkerFirst::new(&self.worker_first).unwrap().0,
            redirects,
            headers,
        }
    }

    /// `request`: `METHOD /path`, then header lines. `expected`: `worker`, or the status and the location or the file (with
    /// a range).
    #[track_caller]
    fn check(&self, request: &str, expected: &str) {
        let found = match self.decide(request) {
            Decision::RunWorker => "worker".to_owned(),
            Decision::Respond(answer) => summary(&answer),
        };
        assert_eq!(found, expected, "{request}");
    }

    fn decide(&self, request: &str) -> Decision {
        let mut lines = request.lines();
        let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let url = format!("http://site.test:8787{path}");
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.rules().decide(&method, &url, &headers, self.caller)
    }

    fn answer(&self, request: &str) -> Answer {
        match self.decide(request) {
            Decision::Respond(answer) => answer,
            Decision::RunWorker => panic!("{request} runs the worker"),
        }
    }

    /// The answer's headers, sorted, one a line.
    #[track_caller]
    fn check_headers(&self, request: &str, expected: &str) {
        let answer = self.answer(request);
        let mut lines: Vec<String> = answer
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort_unstable();
        assert_eq!(
            format!("{} {}", answer.status.as_u16(), lines.join("\n")),
            expected,
            "{request}"
        );
    }
}

fn summary(answer: &Answer) -> String {
    let mut text = answer.status.as_u16().to_string();
    if let Some(location) = answer.headers.get(header::LOCATION) {
        text = format!("{text} -> {}", location.to_str().unwrap());
    }
    match &answer.content {
        Content::Empty => text,
        Content::Asset { path, range: None } => format!("{text} {path}"),
        Content::Asset {
            path,
            range: Some(range),
        } => format!("{text} {path}[{}..{}]", range.start, range.end),
    }
}

const NAVIGATE: &str = "\nsec-fetch-mode: navigate";

#[test]
fn files_and_pages() {
    let site = Site::default();
    site.check("GET /", "200 /index.html");
    site.check("GET /?x=1", "200 /index.html");
    site.check("GET /app.js", "200 /app.js");
    site.check("GET /app.js?v=2#f", "200 /app.js");
    site.check("GET /about", "200 /about.html");
    site.check("GET /about.html?x=1", "307 -> /about?x=1");
    site.check("GET /docs?x", "307 -> /docs/?x");
    site.check("GET /index.html", "307 -> /");
    site.check("GET /404", "200 /404.html");
    site.check("GET /nope", "404");
    site.check("HEAD /app.js", "200");
    site.check("HEAD /nope", "404");
}

#[test]
fn one_spelling_per_file() {
    let site = Site::default();
    site.check("GET /%61bout", "307 -> /about");
    site.check("GET /%61bout.html?q", "307 -> /about?q");
    site.check("GET //about", "307 -> /about");
    site.check("GET /docs//", "307 -> /docs/");
    site.check("GET //docs//?a=b", "307 -> /docs/?a=b");
    site.check("GET /[id].txt", "307 -> /%5Bid%5D.txt");
    site.check("GET /%5bid%5d.txt", "307 -> /%5Bid%5D.txt");
    site.check("GET /%5Bid%5D.txt", "200 /[id].txt");
    site.check("GET /@me", "307 -> /%40me");
    site.check("GET /%40me", "200 /@me");
    site.check("GET /café.txt", "200 /café.txt");
    site.check("GET /caf%C3%A9.txt", "200 /café.txt");
    site.check("GET /caf%c3%a9.txt", "307 -> /caf%C3%A9.txt");
    site.check("GET /%2541.txt", "200 /%41.txt");
    site.check("GET /%41.txt", "404");
    site.check("GET /docs%2F", "307 -> /docs/");
    site.check("GET /docs%2findex.html", "307 -> /docs/");
    site.check("GET /x/../about", "200 /about.html");
    site.check("GET /x/%2e%2e/about", "200 /about.html");
    site.check("GET \\about", "200 /about.html");
    site.check("GET /ABOUT", "404");
}

#[test]
fn nothing_outside() {
    let site = Site::default();
    let spa = Site {
        not_found: SinglePageApplication,
        ..Site::default()
    };
    for path in [
        "/..%2fetc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e%2fetc/passwd",
        "/docs/..%5c..%5cetc",
        "/about%00.html",
        "/%00",
        "/a/..%2f",
    ] {
        site.check(&format!("GET {path}"), "404");
        // The fallback as it is: no redirect to `/../`.
        spa.check(&format!("GET {path}"), "200 /index.html");
    }
    // What a URL parser resolves is an ordinary path.
    site.check("GET /../../etc/passwd", "404");
    site.check("GET /%2e%2e/about", "200 /about.html");
    site.check("GET //evil.test/..", "307 -> /");
    site.check("GET //evil.test/%2e%2e/about.html", "307 -> /about");
}

#[test]
fn methods() {
    let site = Site::default();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE"] {
        site.check(&format!("{method} /app.js"), "405");
        site.check(&format!("{method} /about.html"), "405");
        site.check(&format!("{method} /nope"), "404");
    }
    site.check_headers("POST /app.js", "405 allow: GET, HEAD");
}

#[test]
fn not_found() {
    let page = Site {
        not_found: NotFoundPage,
        ..Site::default()
    };
    page.check("GET /nope", "404 /404.html");
    page.check("GET /docs/nope", "404 /docs/404.html");
    page.check("GET /docs/a/b/nope", "404 /docs/404.html");
    page.check("GET /a/b/nope/", "404 /404.html");
    page.check("GET /nope\nif-none-match: \"e\"", "404 /404.html");
    page.check("GET /nope\nrange: bytes=0-1", "404 /404.html");
    page.check("HEAD /nope", "404");
    let spa = Site {
        not_found: SinglePageApplication,
        ..Site::default()
    };
    spa.check("GET /nope", "200 /index.html");
    spa.check("GET /a/b/nope?x", "200 /index.html");
    spa.check("GET /about", "200 /about.html");
    spa.check("POST /nope", "405");
    for (not_found, expected) in [(NotFoundPage, "404"), (SinglePageApplication, "404")] {
        let bare = Site {
            files: &["/app.js"],
            not_found,
            ..Site::default()
        };
        bare.check("GET /nope", expected);
    }
}

#[test]
fn worker_behind_the_assets() {
    let site = Site {
        caller: Caller::ClientOfWorker,
        ..Site::default()
    };
    site.check("GET /app.js", "200 /app.js");
    site.check("GET /api", "worker");
    site.check("POST /api", "worker");
    site.check("POST /app.js", "405");
    site.check("GET /about.html", "307 -> /about");
    site.check("GET /..%2fapi", "worker");
    for not_found in [SinglePageApplication, NotFoundPage] {
        let site = Site {
            caller: Caller::ClientOfWorker,
            not_found,
            ..Site::default()
        };
        site.check("GET /api", "worker");
        site.check("GET /api\nsec-fetch-mode: cors", "worker");
        site.check(&format!("POST /form{NAVIGATE}"), "worker");
        site.check(&format!("GET /app.js{NAVIGATE}"), "200 /app.js");
        let (status, page) = if not_found == NotFoundPage {
            (404, "/404.html")
        } else {
            (200, "/index.html")
        };
        site.check(&format!("GET /client/route{NAVIGATE}"), &format!("{status} {page}"));
    }
    let none = Site {
        caller: Caller::ClientOfWorker,
        ..Site::default()
    };
    none.check(&format!("GET /client/route{NAVIGATE}"), "worker");
}

#[test]
fn worker_before_the_assets() {
    let first = |worker_first, caller, not_found| Site {
        worker_first,
        caller,
        not_found,
        redirects: "/old /new",
        ..Site::default()
    };
    let always = first(
        RunWorkerFirst::All(true),
        Caller::ClientOfWorker,
        NotFoundHandling::None,
    );
    always.check("GET /app.js", "worker");
    always.check("GET /old", "worker");
    let no_worker = first(
        RunWorkerFirst::All(true),
        Caller::ClientOfAssets,
        NotFoundHandling::None,
    );
    no_worker.check("GET /app.js", "200 /app.js");
    let patterns = || RunWorkerFirst::Patterns(["/api/*", "!/api/docs/*", "/old"].map(str::to_owned).to_vec());
    let some = first(patterns(), Caller::ClientOfWorker, NotFoundHandling::None);
    some.check("GET /api/x", "worker");
    some.check("POST /api/x", "worker");
    some.check("GET /old", "worker");
    some.check("GET /api/docs/x", "404");
    some.check("POST /api/docs/x", "404");
    some.check("GET /app.js", "200 /app.js");
    some.check("GET /nope", "worker");
    let spa = first(patterns(), Caller::ClientOfWorker, SinglePageApplication);
    spa.check("GET /nope", "200 /index.html");
    spa.check("POST /nope", "405");
    spa.check("GET /..%2fapi/x", "200 /index.html");
    spa.check("GET /api/docs/x", "200 /index.html");
    spa.check("GET /api/x", "worker");
    // An escape cannot get a file served that the worker guards: it is redirected to the spelling that runs the worker.
    let guarded = Site {
        files: &["/api/secret.txt"],
        ..first(patterns(), Caller::ClientOfWorker, NotFoundHandling::None)
    };
    guarded.check("GET /%61pi/secret.txt", "307 -> /api/secret.txt");
    guarded.check("GET //api/secret.txt", "307 -> /api/secret.txt");
    guarded.check("GET /api%2Fsecret.txt", "307 -> /api/secret.txt");
}

#[test]
fn the_binding_never_runs_the_worker() {
    let site = |not_found| Site {
        caller: Caller::Worker,
        worker_first: RunWorkerFirst::All(true),
        not_found,
        redirects: "/old /new 301",
        headers: "/nope\n  X-A: 1",
        ..Site::default()
    };
    site(NotFoundHandling::None).check("GET /app.js", "200 /app.js");
    site(NotFoundHandling::None).check("GET /api", "404");
    site(NotFoundHandling::None).check("GET /old", "301 -> /new");
    site(NotFoundHandling::None).check_headers("GET /nope", "404 x-a: 1");
    site(SinglePageApplication).check("GET /api", "200 /index.html");
    site(NotFoundPage).check("GET /api", "404 /404.html");
}

#[test]
fn redirects_win_over_files() {
    let site = Site {
        redirects: "/app.js /about 301\n/page /about 200\n/html /about.html 200\n/ghost /nothing 200\n/id /[id].txt 200\n\
                    /to/* https://x.test/:splat",
        ..Site::default()
    };
    site.check("GET /app.js?q", "301 -> /about?q");
    site.check("POST /app.js", "301 -> /about");
    site.check("GET /page", "200 /about.html");
    site.check("POST /page", "405");
    site.check("GET /html", "307 -> /about");
    site.check("GET /ghost", "404");
    site.check("GET /id", "200 /[id].txt");
    site.check("GET /to/a/b?c", "302 -> https://x.test/a/b?c");
    let with_worker = Site {
        caller: Caller::ClientOfWorker,
        ..site
    };
    with_worker.check("GET /ghost", "404");
    with_worker.check("GET /page", "200 /about.html");
    with_worker.check("GET /else", "worker");
    let with_fallback = Site {
        not_found: SinglePageApplication,
        ..with_worker
    };
    with_fallback.check("GET /ghost", "200 /index.html");
    with_fallback.check("GET /else", "worker");
}

#[test]
fn headers() {
    let site = Site {
        headers: "/app.js\n  X-A: 1\n  Cache-Control: max-age=5\n/about.html\n  X-B: 2\n/old\n  X-C: 3\n/nope\n  X-D: 4\n\
                  /tagless\n  ! ETag",
        redirects: "/old /new",
        files: &["/app.js", "/about.html", "/tagless"],
        ..Site::default()
    };
    const JS: &str = "accept-ranges: bytes\ncache-control: max-age=5\n";
    const REST: &str = "content-type: text/javascript; charset=utf-8\netag: \"e\"\nx-a: 1";
    site.check_headers("GET /app.js", &format!("200 {JS}{REST}"));
    site.check_headers("HEAD /app.js", &format!("200 {JS}content-length: 10\n{REST}"));
    site.check_headers("GET /app.js\nif-none-match: \"e\"", &format!("304 {JS}{REST}"));
    site.check_headers(
        "GET /app.js\nrange: bytes=1-2",
        &format!("206 {JS}content-range: bytes 1-2/10\n{REST}"),
    );
    site.check_headers(
        "GET /app.js\nrange: bytes=10-",
        &format!("416 {JS}content-range: bytes */10\netag: \"e\"\nx-a: 1"),
    );
    site.check_headers("GET /app.js\nif-match: \"x\"", &format!("412 {JS}etag: \"e\"\nx-a: 1"));
    site.check_headers("POST /app.js", "405 allow: GET, HEAD\ncache-control: max-age=5\nx-a: 1");
    site.check_headers("GET /about.html", "307 location: /about\nx-b: 2");
    site.check_headers("GET /old", "302 location: /new\nx-c: 3");
    site.check_headers("GET /nope", "404 x-d: 4");
    site.check_headers(
        "GET /about\nauthorization: x",
        "200 accept-ranges: bytes\ncontent-type: text/html; charset=utf-8\netag: \"e\"",
    );
    site.check("GET /tagless\nif-none-match: \"e\"", "200 /tagless");
    site.check("GET /tagless\nif-none-match: *", "304");
    site.check("GET /app.js\nif-none-match: \"e\"", "304");
    site.check("GET /app.js\nrange: bytes=1-2", "206 /app.js[1..3]");
}

#[test]
fn bad_urls() {
    let rules = Site::default().rules();
    for url in ["http://[", "ftp://site.test/app.js", "h.ttp:/app.js", "data:,x"] {
        let decide = |caller| rules.decide(&Method::GET, url, &HeaderMap::new(), caller);
        assert_eq!(decide(Caller::ClientOfWorker), Decision::RunWorker, "{url}");
        for caller in [Caller::ClientOfAssets, Caller::Worker] {
            let Decision::Respond(answer) = decide(caller) else {
                panic!()
            };
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{url}");
        }
    }
}
