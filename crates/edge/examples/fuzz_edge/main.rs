//! Fuzzing of the front with what a client sends first: `cargo xtask campaign fuzz --target heads`.
//!
//! Each input is a connection's bytes, sent over loopback in one or two writes. What the front dispatches is compared with
//! [`reading`], which reads the same bytes by the strict grammar of RFC 9112: nothing may be dispatched of a request that is
//! malformed or that two parsers could read in two ways, and what is dispatched is what was sent. The front answers nothing
//! with a fault of its own, and lets go of the connection.

mod reading;

use atoll_edge::{AccessLog, AccessRecord, Edge, EdgeOptions, Site, Sites};
use atoll_model::{TenantId, WorkerName};
use atoll_stdx::fuzz::{self, Inputs, Target, Verdict, Wrong, agree, hold};
use atoll_worker::{Body, Dispatch, Event, EventContext, Fault, FaultKind, Outcome, Response, ResponseHead};
use reading::{Asked, Reading};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// How long a connection may last, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest body that is read.
const BODY_BYTES_MAX: u64 = 1 << 20;

const HEADS: Inputs = Inputs::new(
    &[
        b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"POST /form?x=1 HTTP/1.1\r\nHost: a.test:80\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello",
        b"POST /c HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
        b"POST /t HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n",
        b"GET /1 HTTP/1.1\r\nHost: a.test\r\nCookie: a=1; b=\"2\"\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
        b"PUT http://b.test/abs?q HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        b"HEAD / HTTP/1.0\r\nHost: a.test\r\nAccept-Encoding: gzip, br;q=0.5\r\nRange: bytes=0-1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: [::1]:8080\r\nOrigin: http://x.test\r\n\r\n",
    ],
    &[
        "GET ", "POST ", "HEAD ", "CONNECT ", "/", "/a", "?q=1", " HTTP/1.1", " HTTP/1.0", " HTTP/2.0", "\r\n", "\n", "\r",
        "\r\n\r\n", "Host: a.test", "Host:", "Content-Length: ", "Content-Length: 5\r\n", "Transfer-Encoding: ",
        "Transfer-Encoding: chunked\r\n", "chunked", ", ", "identity", "0\r\n\r\n", "5\r\nhello\r\n", "5", ";ext=\"x\"", ":", " ",
        "\t", "Connection: close\r\n", "Connection: Upgrade\r\n", "Upgrade: websocket\r\n", "Expect: 100-continue\r\n",
        "Cookie: ", "X-A: ", " folded", "http://", "*", "@", "#", "%00", "[::1]", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
);

/// A request as it was dispatched. `None` for a body that broke off.
#[derive(Debug, Clone)]
struct Dispatched {
    method: String,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
}

#[derive(Default)]
struct Record(Mutex<Vec<Dispatched>>);

impl Record {
    fn take(&self) -> Vec<Dispatched> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Dispatch for Record {
    fn dispatch<'a>(&'a self, _: &WorkerName, _: EventContext, event: Event) -> atoll_worker::Dispatched<'a> {
        Box::pin(self.answer(event))
    }
}

impl Record {
    async fn answer(&self, event: Event) -> Result<Outcome, Fault> {
        let Event::Fetch(request) = event else {
            return Err(Fault::new(FaultKind::Internal, "the front makes no such events"));
        };
        let (head, body) = (request.head, request.body.collect(BODY_BYTES_MAX).await);
        let headers = head.headers.iter();
        let dispatched = Dispatched {
            method: head.method.to_string(),
            url: head.url,
            headers: headers
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect(),
            body: body.ok().map(|bytes| bytes.to_vec()),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(dispatched);
        Ok(Outcome::Fetch(Box::new(Response {
            head: ResponseHead::new(200),
            body: Body::from("fine".to_owned()),
            websocket: None,
        })))
    }
}

struct OneSite(Arc<Site>);

impl Sites for OneSite {
    fn site(&self, _: &str, _: &str) -> Option<Arc<Site>> {
        Some(self.0.clone())
    }
}

struct NoLog;

impl AccessLog for NoLog {
    fn request(&self, _: AccessRecord) {}
}

/// Sends the bytes and reads what comes, to the end. A client that closes its side while its request is answered counts as
/// gone, so one that is `owed` an answer waits for its beginning first.
async fn exchange(addr: SocketAddr, bytes: &[u8], cut: usize, owed: bool) -> Result<Vec<u8>, Wrong> {
    let failed = |error: std::io::Error| format!("loopback: {error}");
    let mut stream = TcpStream::connect(addr).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let mut answer = Vec::new();
    // The front may refuse, answer and close before all is sent: that is no finding.
    let _ = stream.write_all(&bytes[..cut]).await;
    if cut < bytes.len() {
        // Two reads for the front, mostly.
        tokio::task::yield_now().await;
        let _ = stream.write_all(&bytes[cut..]).await;
    }
    if owed {
        match tokio::time::timeout(PATIENCE, stream.read_buf(&mut answer)).await {
            Ok(_) => {}
            Err(_) => return Err(format!("no answer to a sound request after {PATIENCE:?}")),
        }
    }
    let _ = stream.shutdown().await;
    match tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await {
        Ok(_) => Ok(answer),
        Err(_) => Err(format!("the connection is still open after {PATIENCE:?}")),
    }
}

fn heads() -> Result<impl FnMut(&[u8]) -> Result<Verdict, Wrong>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the front: {error}");
    let runtime = Runtime::new().map_err(|error| failed(&error))?;
    let record = Arc::new(Record::default());
    let site = Site {
        tenant: TenantId::new("tenant"),
        worker: Some(WorkerName::new("worker")),
        version: None,
        assets: None,
        body_bytes_max: None,
        failure: None,
    };
    let edge = runtime
        .block_on(Edge::bind(
            SocketAddr::from(([127, 0, 0, 1], 0)),
            EdgeOptions::default(),
            Arc::new(OneSite(Arc::new(site))),
            record.clone(),
            Arc::new(NoLog),
        ))
        .map_err(|error| failed(&error))?;
    let addr = edge.local_addr();
    runtime.spawn(edge.serve(CancellationToken::new(), PATIENCE));
    Ok(move |bytes: &[u8]| {
        // Half of them whole, half of them cut where the length says: what is read must not depend on it.
        let cut = if bytes.len().is_multiple_of(2) {
            bytes.len()
        } else {
            bytes.len() / 3
        };
        let readings = reading::read(bytes);
        let owed = matches!(readings.first(), Some(Reading::Request(asked)) if asked.is_complete());
        let answer = runtime.block_on(exchange(addr, bytes, cut, owed))?;
        judge(&readings, &record.take(), &answer)
    })
}

/// Compares what was dispatched with what was sent.
fn judge(readings: &[Reading], dispatched: &[Dispatched], answer: &[u8]) -> Result<Verdict, Wrong> {
    let text = String::from_utf8_lossy(answer);
    hold(
        answer.is_empty() || answer.starts_with(b"HTTP/1.") || answer.starts_with(b"\0\0"),
        || format!("no answer: {text:?}"),
    )?;
    for line in text.lines().filter(|line| line.starts_with("HTTP/1.1 5")) {
        hold(
            line.starts_with("HTTP/1.1 501") || line.starts_with("HTTP/1.1 505"),
            || format!("{line} {text:?}"),
        )?;
    }
    for (at, found) in dispatched.iter().enumerate() {
        match readings.get(at) {
            Some(Reading::Request(asked)) => same(asked, found).map_err(|wrong| format!("request {at}: {wrong}"))?,
            // A head that came behind another is not scanned; the library's reading stands, and the connection ends.
            Some(Reading::Ambiguous) if at > 0 => return Ok(Verdict::Taken),
            Some(reading) => return Err(format!("request {at} is dispatched, which is {reading:?}: {found:?}")),
            None => return Err(format!("request {at} is dispatched, which was not sent: {found:?}")),
        }
    }
    // The first of a connection that is sound is answered one way or the other.
    let first = readings.first();
    if let Some(Reading::Request(asked)) = first {
        hold(!answer.is_empty() || !asked.is_complete(), || {
            format!("{asked:?} has no answer")
        })?;
    }
    Ok(if dispatched.is_empty() {
        Verdict::Refused
    } else {
        Verdict::Taken
    })
}

/// Headers that the front keeps to itself, sets or removes.
const FRONTS: [&str; 15] = [
    "accept-encoding",
    "cf-connecting-ip",
    "cf-ipcountry",
    "cf-ray",
    "cf-visitor",
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn same(asked: &Asked, found: &Dispatched) -> Result<(), Wrong> {
    agree("method", &found.method, &asked.method)?;
    let target = asked.path();
    hold(found.url.ends_with(&target), || {
        format!("URL {:?} for {:?}", found.url, asked.target)
    })?;
    let kept = |headers: &[(String, Vec<u8>)]| {
        let mut kept: Vec<(String, Vec<u8>)> = headers.to_vec();
        kept.retain(|(name, _)| !FRONTS.contains(&name.as_str()));
        // Repeated names keep their order; the order between names is no matter.
        kept.sort_by(|a, b| a.0.cmp(&b.0));
        kept
    };
    agree("headers", &kept(&found.headers), &kept(&asked.headers))?;
    match (&found.body, &asked.body) {
        (Some(found), Some(asked)) => agree("body", found, asked),
        (Some(found), None) => Err(format!("a body that is not complete was taken for complete: {found:?}")),
        // Cut short by the close of the connection behind it.
        (None, _) => Ok(()),
    }
}

fn main() -> ExitCode {
    match heads() {
        Ok(check) => fuzz::main(vec![Target::each("heads", HEADS, check)]),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dispatched(method: &str, url: &str, body: &str) -> Dispatched {
        Dispatched {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Some(body.as_bytes().to_vec()),
        }
    }

    fn judged(bytes: &str, dispatched: &[Dispatched]) -> Result<Verdict, Wrong> {
        judge(&reading::read(bytes.as_bytes()), dispatched, b"HTTP/1.1 200 OK\r\n\r\n")
    }

    #[test]
    fn a_smuggled_request_is_a_finding() {
        // A front that believed the length would see a second request in the first one's body.
        let both = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n";
        assert!(judged(both, &[dispatched("POST", "http://a/", "")]).is_err());
        assert_eq!(judged(both, &[]), Ok(Verdict::Refused));
        let bare = "GET / HTTP/1.1\nHost: a\r\n\r\n";
        assert!(judged(bare, &[dispatched("GET", "http://a/", "")]).is_err());
        let long = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nabGET /x HTTP/1.1\r\nHost: a\r\n\r\n";
        let sound = [
            dispatched("POST", "http://a/", "ab"),
            dispatched("GET", "http://a/x", ""),
        ];
        let headers = |mut all: Vec<Dispatched>| {
            all[0].headers = vec![("content-length".to_owned(), b"2".to_vec())];
            all
        };
        assert_eq!(judged(long, &headers(sound.to_vec())), Ok(Verdict::Taken));
        let wrong = [dispatched("POST", "http://a/", "abG"), sound[1].clone()];
        assert!(judged(long, &headers(wrong.to_vec())).is_err());
        let more = [sound[0].clone(), sound[1].clone(), sound[1].clone()];
        assert!(judged(long, &headers(more.to_vec())).is_err());
    }

    #[test]
    fn a_body_that_broke_off_is_not_complete() {
        let cut = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc";
        let mut found = dispatched("POST", "http://a/", "abc");
        found.headers = vec![("content-length".to_owned(), b"9".to_vec())];
        assert!(judged(cut, std::slice::from_ref(&found)).is_err());
        found.body = None;
        assert_eq!(judged(cut, &[found]), Ok(Verdict::Taken));
    }
}
