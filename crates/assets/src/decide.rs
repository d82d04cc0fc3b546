//! The whole decision about one request.
//!
//! Order: `run_worker_first`, then `_redirects`, then the files (`html_handling`), then `not_found_handling` or the worker;
//! `_headers` apply to whatever the assets answer.

use crate::conditional::{ByteRange, Preconditions, RangeAnswer, evaluate};
use crate::html::{Resolution, resolve};
use crate::path::{decode_path, encode_path, is_suspicious};
use crate::redirect_rules::Redirect;
use crate::routing::Route;
use crate::{Entry, HeaderRules, Manifest, RedirectRules, WorkerFirst};
use atoll_model::{HtmlHandling, NotFoundHandling};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use url::Url;

/// What an asset is sent with, unless a rule says otherwise: caches may keep it and must ask each time.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=0, must-revalidate");

/// Everything that decides how a worker's assets are served.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The files.
    pub manifest: Manifest,
    /// `html_handling`.
    pub html_handling: HtmlHandling,
    /// `not_found_handling`.
    pub not_found_handling: NotFoundHandling,
    /// `run_worker_first`.
    pub worker_first: WorkerFirst,
    /// `_redirects`.
    pub redirects: RedirectRules,
    /// `_headers`.
    pub headers: HeaderRules,
}

/// Who asks for an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A client; there is a worker, which gets what the assets do not answer.
    ClientOfWorker,
    /// A client; there is no worker.
    ClientOfAssets,
    /// The worker itself, through its assets binding. It is never called again.
    Worker,
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The worker answers.
    RunWorker,
    /// The assets answer.
    Respond(Answer),
}

/// An answer without the file's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers. `Content-Length` only where no body says it (HEAD).
    pub headers: HeaderMap,
    /// The body.
    pub content: Content,
}

/// What an answer carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// No body.
    Empty,
    /// The file's bytes, by its key in the manifest.
    Asset {
        /// The key.
        path: String,
        /// A part of it; `None` for the whole.
        range: Option<ByteRange>,
    },
}

/// What the files have for a path.
enum Found<'a> {
    Asset {
        path: String,
        entry: &'a Entry,
        status: StatusCode,
    },
    Redirect(String),
    Nothing,
}

impl Rules {
    /// Decides. `url` is absolute, as the client wrote it.
    pub fn decide(&self, method: &Method, url: &str, headers: &HeaderMap, caller: Caller) -> Decision {
        if caller == Caller::ClientOfWorker && matches!(self.worker_first, WorkerFirst::Always) {
            return Decision::RunWorker;
        }
        // A worker may ask for any URL; one of another scheme has no path that rules and files could be about.
        let parsed = Url::parse(url).ok();
        let Some(url) = parsed.filter(|url| matches!(url.scheme(), "http" | "https")) else {
            return match caller {
                Caller::ClientOfWorker => Decision::RunWorker,
                _ => Decision::Respond(Answer::empty(StatusCode::BAD_REQUEST)),
            };
        };
        let worker_is_next = caller == Caller::ClientOfWorker;
        let mut fallback = true;
        let mut run_worker = false;
        if worker_is_next {
            match self.worker_first.route(url.path()) {
                Route::Worker => return Decision::RunWorker,
                Route::Assets => {}
                Route::Unsaid { patterns } => {
                    // With a list everything it does not name is the assets' business, their fallback included. Without
                    // one only a browser that opens a page gets the fallback; other requests are taken for the worker's.
                    let reads = *method == Method::GET || *method == Method::HEAD;
                    fallback = patterns || (reads && is_navigation(headers));
                    run_worker = true;
                }
            }
        }
        match self.answer(method, &url, headers, fallback) {
            Some(answer) => Decision::Respond(answer),
            None if run_worker => Decision::RunWorker,
            None => Decision::Respond(self.ruled(&url, Answer::empty(StatusCode::NOT_FOUND))),
        }
    }

    /// `None` if the assets have nothing to say.
    fn answer(&self, method: &Method, url: &Url, headers: &HeaderMap, fallback: bool) -> Option<Answer> {
        let rewritten = match self.redirects.apply(url) {
            Some(Redirect::To { status, location }) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND);
                return Some(self.ruled(url, Answer::redirect(status, &location)));
            }
            Some(Redirect::Rewrite(path)) => Some(path),
            None => None,
        };
        let path = rewritten.as_deref().unwrap_or(url.path());
        let name = decode_path(path);
        // A rewrite is the site's own word: the worker does not get what it points at, the fallback does.
        let found = self.find(&name, fallback || rewritten.is_some());
        if let Found::Nothing = found {
            let nothing = || self.ruled(url, Answer::empty(StatusCode::NOT_FOUND));
            return rewritten.is_some().then(nothing);
        }
        if *method != Method::GET && *method != Method::HEAD {
            let mut answer = Answer::empty(StatusCode::METHOD_NOT_ALLOWED);
            answer
                .headers
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(self.ruled(url, answer));
        }
        match found {
            Found::Nothing => None,
            Found::Redirect(to) => Some(self.ruled(url, redirect_to(&encode_path(&to), url))),
            Found::Asset {
                path: key,
                entry,
                status,
            } => {
                let canonical = encode_path(&name);
                // A fallback page for a name such as `/../x`: a client must not be sent there.
                if rewritten.is_none() && canonical != path && !is_suspicious(&name) {
                    return Some(self.ruled(url, redirect_to(&canonical, url)));
                }
                Some(self.asset(method, url, headers, key, entry, status))
            }
        }
    }

    fn find(&self, name: &str, fallback: bool) -> Found<'_> {
        let asset = |path: String, status| match self.manifest.get(&path) {
            Some(entry) => Found::Asset { path, entry, status },
            None => Found::Nothing,
        };
        match resolve(name, self.html_handling, &self.manifest) {
            Resolution::Asset(path) => return asset(path, StatusCode::OK),
            Resolution::Redirect(to) => return Found::Redirect(to),
            Resolution::NotFound => {}
        }
        if !fallback {
            return Found::Nothing;
        }
        match self.not_found_handling {
            NotFoundHandling::None => Found::Nothing,
            NotFoundHandling::SinglePageApplication => asset("/index.html".to_owned(), StatusCode::OK),
            NotFoundHandling::NotFoundPage => {
                let mut directory = name;
                while let Some(at) = directory.rfind('/') {
                    directory = &directory[..at];
                    let page = format!("{directory}/404.html");
                    if self.manifest.contains(&page) {
                        return asset(page, StatusCode::NOT_FOUND);
                    }
                }
                Found::Nothing
            }
        }
    }

    fn asset(
        &self,
        method: &Method,
        url: &Url,
        request: &HeaderMap,
        path: String,
        entry: &Entry,
        status: StatusCode,
    ) -> Answer {
        let mut answer = Answer::empty(status);
        let mut set = |name, value: &str| {
            // Entity tags are digests and content types come from a table; a value that is none is left out.
            if let Ok(value) = HeaderValue::from_str(value) {
                answer.headers.insert(name, value);
            }
        };
        set(header::ETAG, &entry.etag);
        if let Some(content_type) = &entry.content_type {
            set(header::CONTENT_TYPE, content_type);
        }
        if !request.contains_key(header::AUTHORIZATION) {
            answer.headers.insert(header::CACHE_CONTROL, CACHE_CONTROL);
        }
        // Before the conditions are looked at: a rule may take the entity tag away or set another.
        self.headers.apply(url, &mut answer.headers);
        let (preconditions, range) = if status == StatusCode::OK {
            answer
                .headers
                .entry(header::ACCEPT_RANGES)
                .or_insert(HeaderValue::from_static("bytes"));
            let etag = answer.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
            evaluate(method, request, etag, entry.size)
        } else {
            // RFC 9110 section 13.2.1: conditions count only where the answer would be a success.
            (Preconditions::Pass, RangeAnswer::Whole)
        };
        match (preconditions, range) {
            (Preconditions::NotModified, _) => answer.status = StatusCode::NOT_MODIFIED,
            (Preconditions::Failed, _) => {
                answer.status = StatusCode::PRECONDITION_FAILED;
                answer.headers.remove(header::CONTENT_TYPE);
            }
            (Preconditions::Pass, RangeAnswer::Unsatisfiable) => {
                answer.status = StatusCode::RANGE_NOT_SATISFIABLE;
                answer.headers.remove(header::CONTENT_TYPE);
                answer.content_range(format!("bytes */{}", entry.size));
            }
            (Preconditions::Pass, RangeAnswer::Part(part)) => {
                answer.status = StatusCode::PARTIAL_CONTENT;
                answer.content_range(format!("bytes {}-{}/{}", part.start, part.end - 1, entry.size));
                let range = Some(part);
                answer.content = Content::Asset { path, range };
            }
            (Preconditions::Pass, RangeAnswer::Whole) if *method == Method::HEAD => {
                answer
                    .headers
                    .insert(header::CONTENT_LENGTH, HeaderValue::from(entry.size));
            }
            (Preconditions::Pass, RangeAnswer::Whole) => answer.content = Content::Asset { path, range: None },
        }
        answer
    }

    /// The rules' headers for an answer that is no asset.
    fn ruled(&self, url: &Url, mut answer: Answer) -> Answer {
        self.headers.apply(url, &mut answer.headers);
        answer
    }
}

impl Answer {
    fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            content: Content::Empty,
        }
    }

    fn redirect(status: StatusCode, location: &str) -> Self {
        let mut answer = Self::empty(status);
        // Locations come out of a URL parser or `encode_path`: ASCII without controls.
        if let Ok(location) = HeaderValue::from_str(location) {
            answer.headers.insert(header::LOCATION, location);
        }
        answer
    }

    fn content_range(&mut self, value: String) {
        // Digits and punctuation.
        if let Ok(value) = HeaderValue::try_from(value) {
            self.headers.insert(header::CONTENT_RANGE, value);
        }
    }
}

/// To the canonical path, with the request's query. The path begins with one slash, so the host stays.
fn redirect_to(path: &str, url: &Url) -> Answer {
    let location = match url.query() {
        Some(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_owned(),
    };
    Answer::redirect(StatusCode::TEMPORARY_REDIRECT, &location)
}

/// A browser loads a page (Fetch Metadata, `Sec-Fetch-Mode`).
fn is_navigation(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate")
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
