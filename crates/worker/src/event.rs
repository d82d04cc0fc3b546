//! Events and their outcomes.

use crate::{Body, ClientInfo, RpcLink, WebSocketEnd};
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;

/// Something a worker handles.
#[derive(Debug)]
pub enum Event {
    /// An HTTP request, for the `fetch` handler.
    Fetch(Request),
    /// A cron tick, for the `scheduled` handler.
    Scheduled(ScheduledEvent),
    /// Another worker (or this one) calls methods of an entrypoint. The event lasts as long as the link.
    Rpc(RpcLink),
    /// What events of other workers did, for the `tail` handler: a JSON array of trace items.
    Tail(String),
    /// The `test` handler of an entrypoint, as `atoll test` runs it.
    Test,
    /// Asks what the worker exports; runs none of its code.
    Describe,
}

/// What a handler made of its event. Work given to `waitUntil` may still run.
#[derive(Debug)]
pub enum Outcome {
    /// The `fetch` handler's response. It goes through many hands, as a request's head does: for both it has its place from the beginning.
    Fetch(Box<Response>),
    /// The `scheduled` handler returned; `no_retry` if it called `noRetry()`.
    Scheduled {
        /// The handler asked not to be called again for this tick.
        no_retry: bool,
    },
    /// The RPC session is over.
    Rpc,
    /// The `tail` handler returned.
    Tail,
    /// The `test` handler returned: the test has passed. One that throws has failed, with that fault.
    Test,
    /// What the worker exports, in the order of its names, the default export first.
    Described(Vec<Export>),
}

/// An export that takes events: an entrypoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Its name; `default` for the default export.
    pub name: String,
    /// The handlers that it has, by name: `fetch`, `scheduled`, `tail`, `test` and so on.
    pub handlers: Vec<String>,
}

/// A request with its body.
#[derive(Debug)]
pub struct Request {
    /// Everything before the body.
    pub head: Box<RequestHead>,
    /// The body.
    pub body: Body,
}

/// A request before its body.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The method, as sent.
    pub method: Method,
    /// The absolute URL, `scheme://host/path?query`. Not necessarily in the URL Standard's normal form.
    pub url: String,
    /// Headers, names in lower case.
    pub headers: HeaderMap,
    /// `HTTP/1.1`, `HTTP/2`, shown as `request.cf.httpProtocol`.
    pub protocol: &'static str,
    /// The TLS version (`TLSv1.3`), shown as `request.cf.tlsVersion`; empty without TLS.
    pub tls_version: &'static str,
    /// What else the front knows of the client; `None` if nothing.
    pub client: Option<Arc<ClientInfo>>,
    /// Where the request came from; `None` for a request made inside the process.
    pub peer: Option<SocketAddr>,
    /// The client asks for a WebSocket.
    pub upgrade_websocket: bool,
    /// `request.cf` as JSON, where a worker that passed the request on gave one.
    pub cf: Option<Arc<str>>,
}

/// A response with its body.
#[derive(Debug)]
pub struct Response {
    /// Everything before the body.
    pub head: ResponseHead,
    /// The body.
    pub body: Body,
    /// With status 101: the socket to splice to the client's.
    pub websocket: Option<WebSocketEnd>,
}

/// A response before its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// 101 or 200 to 599.
    pub status: u16,
    /// The reason phrase; empty means the standard one where the protocol carries any.
    pub status_text: String,
    /// Headers, names in lower case; `set-cookie` may repeat.
    pub headers: HeaderMap,
    /// The worker has encoded the body itself (`encodeBody: "manual"`): leave it as it is.
    pub manual_encoding: bool,
    /// Where the response came from after redirects; for an outgoing fetch.
    pub url: String,
    /// Redirects that were followed; for an outgoing fetch.
    pub redirects: u32,
}

impl ResponseHead {
    /// A head with `status`, and nothing else.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            status_text: String::new(),
            headers: HeaderMap::new(),
            manual_encoding: false,
            url: String::new(),
            redirects: 0,
        }
    }
}

/// A cron tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledEvent {
    /// The expression that matched.
    pub cron: String,
    /// When it was due, milliseconds since the Unix epoch.
    pub scheduled_ms: u64,
}
