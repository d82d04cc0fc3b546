//! `atoll __bench-ceiling --port P --body FILE --type TYPE [--pieces N]`: what `cargo xtask bench http` measures as the ceiling.
//!
//! The server's own front (listener, HTTP, phases, log) over a worker that is not there: every event is answered at once with
//! the file's bytes, whole or as a stream of so many pieces. What a request costs beyond this is the host's, the pool's, the
//! engine's and the worker's.

use atoll_edge::{AccessLog, AccessRecord, Edge, EdgeOptions, Site, Sites};
use atoll_model::{TenantId, WorkerName};
use atoll_worker::{Body, Dispatch, Dispatched, Event, EventContext, Frame, Outcome, Response, ResponseHead, body};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The words after `__bench-ceiling`.
pub(crate) struct Words {
    port: u16,
    body: String,
    content_type: HeaderValue,
    pieces: usize,
}

impl Words {
    /// In any order.
    pub(crate) fn read(words: &[String]) -> Result<Self, String> {
        let value = |name: &str| {
            let at = words.iter().position(|word| word == name)?;
            words.get(at + 1).cloned()
        };
        let needed = |name: &str| value(name).ok_or_else(|| format!("__bench-ceiling needs {name} and a value"));
        let (port, pieces) = (needed("--port")?, value("--pieces").unwrap_or_else(|| "1".to_owned()));
        let content_type = needed("--type")?;
        Ok(Self {
            port: port.parse().map_err(|_| format!("--port {port}: not a port"))?,
            body: needed("--body")?,
            content_type: content_type
                .parse()
                .map_err(|_| format!("--type {content_type}: no header value"))?,
            pieces: pieces.parse().map_err(|_| format!("--pieces {pieces}: not a number"))?,
        })
    }
}

/// Serves until it is killed.
pub(crate) async fn run(words: Words) -> Result<(), String> {
    let bytes = std::fs::read(&words.body).map_err(|error| format!("{}: {error}", words.body))?;
    let ceiling = Arc::new(Ceiling {
        site: Arc::new(Site {
            tenant: TenantId::new("bench"),
            worker: Some(WorkerName::new("ceiling")),
            version: None,
            assets: None,
            body_bytes_max: None,
            failure: None,
        }),
        bytes: bytes.into(),
        content_type: words.content_type,
        pieces: words.pieces.max(1),
    });
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, words.port));
    let (sites, dispatch, log) = (ceiling.clone(), ceiling.clone(), ceiling);
    let edge = Edge::bind(address, EdgeOptions::default(), sites, dispatch, log).await;
    let edge = edge.map_err(|error| error.to_string())?;
    let serving = tokio::spawn(edge.serve(CancellationToken::new(), Duration::ZERO));
    serving.await.map(drop).map_err(|error| error.to_string())
}

struct Ceiling {
    site: Arc<Site>,
    bytes: Bytes,
    content_type: HeaderValue,
    pieces: usize,
}

impl Sites for Ceiling {
    fn site(&self, _host: &str, _path: &str) -> Option<Arc<Site>> {
        Some(self.site.clone())
    }
}

impl AccessLog for Ceiling {
    fn request(&self, _record: AccessRecord) {}
}

impl Dispatch for Ceiling {
    fn dispatch<'a>(&'a self, _worker: &WorkerName, _ctx: EventContext, _event: Event) -> Dispatched<'a> {
        let mut head = ResponseHead::new(200);
        head.headers.insert(CONTENT_TYPE, self.content_type.clone());
        let body = if self.pieces == 1 {
            Body::Full(self.bytes.clone())
        } else {
            let (sender, receiver) = body::channel(body::CREDIT_DEFAULT, None);
            let size = self.bytes.len().div_ceil(self.pieces).max(1);
            for start in (0..self.bytes.len()).step_by(size) {
                let end = (start + size).min(self.bytes.len());
                // The receiver is in our hands.
                let _ = sender.send(Frame::Data(self.bytes.slice(start..end)));
            }
            sender.finish();
            Body::Stream(receiver)
        };
        Box::pin(std::future::ready(Ok(Outcome::Fetch(Box::new(Response {
            head,
            body,
            websocket: None,
        })))))
    }
}
