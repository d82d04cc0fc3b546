//! Runs one case in an isolate of its own and reads its results.

use crate::catalog::Case;
use crate::engine;
use anyhow::{Context, Result};
use async_trait::async_trait;
use atoll_worker::{BindingError, Body, EventContext, Outbound, OutboundRequest, Response, ResponseHead};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// After how long the harness is told to give up what is unfinished: ordinary files, and those that ask for more.
const LIMIT: Duration = Duration::from_secs(60);
const LIMIT_LONG: Duration = Duration::from_secs(300);
/// How much longer the host waits for the harness to say so.
const LIMIT_GRACE: Duration = Duration::from_secs(10);

/// Where the tests think they are.
const ORIGIN: &str = "http://web-platform.test:8000";
/// Before each record that the worker prints.
const MARK: char = '\u{1}';

/// One subtest's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtest {
    /// Its name; a repeated name gets a number.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// Why not.
    pub message: String,
}

/// The name under which a file's own failure stands (an exception outside of tests, a crash, a limit).
pub const HARNESS: &str = "(the file itself)";

/// Files served in place of those of the fixture, by their path.
pub type Replaced = HashMap<String, PathBuf>;

#[derive(Serialize)]
struct Plan {
    href: String,
    title: Option<String>,
    limit_ms: u64,
    relative_fetch: bool,
    scripts: Vec<Script>,
}

#[derive(Serialize)]
struct Script {
    name: String,
    source: String,
}

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    harness: bool,
    #[serde(default)]
    name: String,
    status: u32,
    message: Option<String>,
}

/// Runs the case. An error is the fixture's or the harness's, never the tested code's.
pub fn run(root: &Path, case: &Case, replaced: &Replaced) -> Result<Vec<Subtest>> {
    let mut scripts = Vec::new();
    let mut results = Vec::new();
    let paths = ["resources/testharness.js".to_owned()].into_iter();
    for path in paths.chain(case.scripts.iter().cloned()).chain([case.path.clone()]) {
        let source = match std::fs::read_to_string(root.join(&path)) {
            Ok(source) => source,
            // Some files name scripts that Node.js did not take along.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && case.scripts.contains(&path) => {
                results.push(Subtest {
                    name: HARNESS.to_owned(),
                    passed: false,
                    message: format!("there is no {path}"),
                });
                continue;
            }
            Err(error) => return Err(error).with_context(|| format!("{}: read {path}", case.name)),
        };
        let source = if path.contains(".sub.") {
            substitute(&source)
        } else {
            source
        };
        scripts.push(Script { name: path, source });
    }
    let limit = if case.long { LIMIT_LONG } else { LIMIT };
    let plan = Plan {
        href: format!(
            "{ORIGIN}/{}{}",
            case.path.replace(".any.js", ".any.worker.js"),
            case.variant
        ),
        title: case.title.clone(),
        limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
        relative_fetch: true,
        scripts,
    };
    let output = engine::Run {
        modules: vec![engine::esm("worker.js", include_str!("worker.js"))],
        input: serde_json::to_vec(&plan)?,
        limit: limit + LIMIT_GRACE,
        outbound: Arc::new(FileServer {
            root: root.to_owned(),
            replaced: replaced.clone(),
        }),
        flags: &[],
    }
    .start();

    let mut seen: HashMap<String, u32> = HashMap::new();
    for line in &output.lines {
        let Some(record) = line.strip_prefix(MARK) else {
            continue;
        };
        let record: Record = serde_json::from_str(record).with_context(|| format!("{}: {record}", case.name))?;
        let passed = record.status == 0;
        let message = format!("{}{}", status_name(record.status), record.message.unwrap_or_default());
        if record.harness {
            if !passed {
                results.push(Subtest {
                    name: HARNESS.to_owned(),
                    passed,
                    message,
                });
            }
            continue;
        }
        let times = seen.entry(record.name.clone()).or_default();
        *times += 1;
        let name = match *times {
            1 => record.name,
            more => format!("{} #{more}", record.name),
        };
        results.push(Subtest { name, passed, message });
    }
    if let Err(fault) = &output.response {
        results.push(Subtest {
            name: HARNESS.to_owned(),
            passed: false,
            message: format!("{:?}: {} {:?}", fault.kind, fault.message, output.exceptions),
        });
    }
    Ok(results)
}

/// testharness.js: a test's status, or the harness's (which has no third).
fn status_name(status: u32) -> &'static str {
    match status {
        0 | 1 => "",
        2 => "timed out: ",
        3 => "did not run: ",
        _ => "precondition failed: ",
    }
}

/// What the suites' server puts into files with `.sub.` in their name, as far as our suites use it.
fn substitute(source: &str) -> String {
    [
        ("{{host}}", "web-platform.test"),
        ("{{ports[http][0]}}", "8000"),
        ("{{ports[http][1]}}", "8001"),
        ("{{ports[https][0]}}", "8443"),
        ("{{ports[https][1]}}", "8444"),
        ("{{hosts[alt][]}}", "not-web-platform.test"),
        ("{{domains[www]}}", "www.web-platform.test"),
    ]
    .iter()
    .fold(source.to_owned(), |source, (from, to)| source.replace(from, to))
}

/// The suites' server, as far as it serves files.
struct FileServer {
    root: PathBuf,
    replaced: Replaced,
}

#[async_trait]
impl Outbound for FileServer {
    async fn fetch(&self, _ctx: &EventContext, request: OutboundRequest) -> Result<Response, BindingError> {
        let url =
            url::Url::parse(&request.request.head.url).map_err(|error| BindingError::invalid(error.to_string()))?;
        if !url.as_str().starts_with(ORIGIN) {
            return Err(BindingError::unavailable(format!("there is no network here: {url}")));
        }
        // The one program of the server that our suites ask.
        if url.path() == "/fetch/api/resources/echo-content.py" {
            let mut head = ResponseHead::new(200);
            head.url = url.into();
            return Ok(Response {
                head,
                body: request.request.body,
                websocket: None,
            });
        }
        // A parsed URL's path has no `..`.
        let path = url.path().trim_start_matches('/');
        let file = self.replaced.get(path).cloned().unwrap_or_else(|| self.root.join(path));
        let (status, body) = match std::fs::read(&file) {
            Ok(bytes) => (200, Body::Full(bytes.into())),
            Err(_) => (404, Body::from("not found")),
        };
        let mut head = ResponseHead::new(status);
        let kind = match file.extension().and_then(|extension| extension.to_str()) {
            Some("json") => "application/json",
            Some("js") => "text/javascript",
            Some("html") => "text/html",
            Some("wasm") => "application/wasm",
            _ => "text/plain",
        };
        head.headers
            .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
        head.url = url.into();
        Ok(Response {
            head,
            body,
            websocket: None,
        })
    }
}
