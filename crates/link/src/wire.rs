//! The messages' heads and the small frames' payloads, as bytes.
//!
//! Heads borrow from the message they are read from; nothing in them can name what the sender does not hold: slots and
//! bindings are numbers that the receiver looks up, channels are attachments.

use crate::LinkError;
use crate::frame::{Header, Kind};
use crate::limits::TRAILERS_BYTES_MAX;
use crate::message::{PropsWire, Received, decode, keep};
use crate::outbox::Outbox;
use atoll_model::{Limits, ModuleKind, UnbuiltBinding};
use atoll_worker::wire::{RequestHeadRef, ResponseHeadRef};
use atoll_worker::{
    BindingError, BodyError, ConnectError, ConnectRequest, DataPoint, Export, Fault, JsException, KvKey, LimitHit,
    LogLevel, NameQuestion, Redirect, RouteNumber, SpanPlace, StartNote, Usage, WsMessage,
};
use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::SocketAddr;

/// The version of everything that a link says. Both ends are the same build, so another one is refused.
pub const WIRE_VERSION: u32 = 5;
const MAGIC: [u8; 8] = *b"ATOLLNK\n";
/// Bytes of a build's name.
const BUILD_BYTES_MAX: usize = 256;

pub(crate) fn hello(build: &str, out: &mut Outbox) {
    let build = crate::core::cut(build, BUILD_BYTES_MAX);
    out.header(Header {
        length: MAGIC.len() + 4 + build.len(),
        kind: Kind::Hello,
        flags: 0,
        channel: 0,
    });
    out.copy(&MAGIC);
    out.copy(&WIRE_VERSION.to_le_bytes());
    out.copy(build.as_bytes());
}

pub(crate) fn check_hello(header: Header, payload: &[u8], build: &str) -> Result<(), LinkError> {
    let refused = |text: String| Err(LinkError::Refused(text));
    let rest = match payload.strip_prefix(&MAGIC) {
        Some(rest) if header.kind == Kind::Hello => rest,
        _ => return refused("it does not begin with a hello".to_owned()),
    };
    let Some((version, theirs)) = rest.split_first_chunk::<4>() else {
        return refused("its hello is cut off".to_owned());
    };
    let version = u32::from_le_bytes(*version);
    if version != WIRE_VERSION {
        return refused(format!("it speaks version {version}, this build speaks {WIRE_VERSION}"));
    }
    if theirs != crate::core::cut(build, BUILD_BYTES_MAX).as_bytes() {
        return refused(format!("it is build {:?}, this is {build:?}", text(theirs)));
    }
    Ok(())
}

/// Text for a log, whatever it was.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).into_owned()
}

/// Bytes of a body that lie in a slot of the shared segment.
pub(crate) fn shared(id: u64, slot: u32, bytes: u32, out: &mut Outbox) {
    out.header(Header {
        length: 8,
        kind: Kind::Shared,
        flags: 0,
        channel: id,
    });
    out.copy(&slot.to_le_bytes());
    out.copy(&bytes.to_le_bytes());
}

/// Slot and length of [`shared`].
pub(crate) fn parse_shared(payload: &[u8]) -> Result<(u32, u32), LinkError> {
    match payload {
        &[s0, s1, s2, s3, b0, b1, b2, b3] => Ok((
            u32::from_le_bytes([s0, s1, s2, s3]),
            u32::from_le_bytes([b0, b1, b2, b3]),
        )),
        _ => Err(LinkError::violation("shared bytes without their place")),
    }
}

pub(crate) fn credit(id: u64, more: u64, out: &mut Outbox) {
    let mut left = more;
    while left > 0 {
        let now = u32::try_from(left).unwrap_or(u32::MAX);
        out.header(Header {
            length: 4,
            kind: Kind::Credit,
            flags: 0,
            channel: id,
        });
        out.copy(&now.to_le_bytes());
        left -= u64::from(now);
    }
}

/// How a direction of a channel ends.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum EndWire<'a> {
    Complete,
    Truncated,
    Canceled,
    TooLarge(u64),
    Failed(&'a str),
    /// Complete; a connection's worker asks for TLS. The answer comes on the channel `call`.
    StartTls {
        call: u64,
        server_name: Option<&'a str>,
    },
}

impl<'a> EndWire<'a> {
    pub(crate) fn of(error: &'a BodyError) -> Self {
        match error {
            BodyError::Truncated => Self::Truncated,
            BodyError::Canceled => Self::Canceled,
            BodyError::TooLarge { limit } => Self::TooLarge(*limit),
            BodyError::Failed(text) => Self::Failed(crate::core::cut(text, 4 * 1024)),
        }
    }

    pub(crate) fn result(self) -> Result<(), BodyError> {
        match self {
            Self::Complete | Self::StartTls { .. } => Ok(()),
            Self::Truncated => Err(BodyError::Truncated),
            Self::Canceled => Err(BodyError::Canceled),
            Self::TooLarge(limit) => Err(BodyError::TooLarge { limit }),
            Self::Failed(text) => Err(BodyError::Failed(text.to_owned())),
        }
    }

    pub(crate) fn send(&self, id: u64, out: &mut Outbox) {
        let payload = atoll_worker::wire::encode(self);
        out.header(Header {
            length: payload.len(),
            kind: Kind::End,
            flags: 0,
            channel: id,
        });
        out.copy(&payload);
    }

    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, LinkError> {
        decode(payload)
    }
}

pub(crate) fn trailers(trailers: &HeaderMap) -> Vec<u8> {
    atoll_worker::wire::encode(&atoll_worker::wire::HeadersRef(trailers))
}

pub(crate) fn parse_trailers(payload: &[u8]) -> Result<HeaderMap, LinkError> {
    if payload.len() > TRAILERS_BYTES_MAX {
        return Err(LinkError::violation(format!("trailers of {} bytes", payload.len())));
    }
    decode::<atoll_worker::wire::Headers>(payload).map(|headers| headers.0)
}

/// Bytes of a close frame's reason (RFC 6455 section 5.5).
const REASON_BYTES_MAX: usize = 123;

/// A socket's message: its kind (and a close's code), and its data.
pub(crate) fn socket_message(message: WsMessage) -> (Bytes, Bytes) {
    match message {
        WsMessage::Text(text) => (Bytes::from_static(&[0]), text.into()),
        WsMessage::Binary(data) => (Bytes::from_static(&[1]), data),
        WsMessage::Close { code: None, reason } => (Bytes::from_static(&[2]), reason.into()),
        WsMessage::Close {
            code: Some(code),
            reason,
        } => {
            let [low, high] = code.to_le_bytes();
            (Bytes::copy_from_slice(&[3, low, high]), reason.into())
        }
    }
}

pub(crate) fn parse_socket_message(payload: &Bytes) -> Result<WsMessage, LinkError> {
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec()).map_err(|_| LinkError::violation("text of a WebSocket that is not UTF-8"))
    };
    let reason = |bytes: &[u8]| {
        if bytes.len() > REASON_BYTES_MAX {
            return Err(LinkError::violation("a reason of a WebSocket's close that is too long"));
        }
        text(bytes)
    };
    if payload.len() > atoll_worker::socket::MESSAGE_BYTES_MAX + 1 {
        return Err(LinkError::violation("a message of a WebSocket that is too long"));
    }
    match payload.split_first() {
        Some((0, data)) => Ok(WsMessage::Text(text(data)?)),
        Some((1, _)) => Ok(WsMessage::Binary(keep(payload, 1, payload.len()))),
        Some((2, data)) => Ok(WsMessage::Close {
            code: None,
            reason: reason(data)?,
        }),
        Some((3, [low, high, data @ ..])) => Ok(WsMessage::Close {
            code: Some(u16::from_le_bytes([*low, *high])),
            reason: reason(data)?,
        }),
        _ => Err(LinkError::violation("a message of a WebSocket of no known kind")),
    }
}

/// The service that a call is for, if it is for one.
pub(crate) fn call_target(message: &Received) -> Result<Option<u64>, LinkError> {
    match postcard::take_from_bytes::<Option<u64>>(&message.head) {
        Ok((export, _)) => Ok(export),
        Err(_) => Err(LinkError::violation("a malformed call")),
    }
}

/// A call's head. `export` is the channel of the service that it is for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CallHead<'a> {
    pub export: Option<u64>,
    #[serde(borrow)]
    pub call: CallWire<'a>,
}

/// What is asked. Bodies and other bytes come as blobs and attachments, in the order in which they are named.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum CallWire<'a> {
    /// Parent: runs a version. Answered once it is ready: [`StartedWire`].
    #[serde(borrow)]
    Start(StartWire<'a>),
    /// Parent: an event. Answered with `Result<OutcomeWire, Fault>`.
    Event {
        slot: u64,
        /// Somebody takes trace items.
        traces: bool,
        ctx: ContextWire<'a>,
        event: EventWire<'a>,
    },
    /// Parent: no more events for the slot. Answered with how many isolates were cut off.
    Retire { slot: u64, grace_ms: u64 },
    /// Either: an event for the service `export`. Answered as `Event`.
    Service { ctx: ContextWire<'a>, event: EventWire<'a> },
    /// Child: a binding of a slot's environment.
    Binding {
        slot: u64,
        binding: u32,
        ctx: ContextWire<'a>,
        call: BindingCallWire<'a>,
    },
    /// Child: the code that an answer to `Load` asked for, or why there is none. Answered with `()`.
    Supply {
        code: u64,
        #[serde(borrow)]
        supplied: Result<CodeWire<'a>, Fault>,
    },
    /// Child: what every environment has.
    Common {
        slot: u64,
        ctx: ContextWire<'a>,
        call: CommonCallWire<'a>,
    },
    /// Parent: events for the slot will come. Answered with `()`, at once.
    Expect { slot: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum BindingCallWire<'a> {
    /// `Result<Vec<Option<KvEntryWire>>, BindingError>`, values as blobs.
    KvGet {
        #[serde(borrow)]
        keys: Vec<&'a str>,
    },
    /// The value is a blob. `Result<(), BindingError>`.
    KvPut {
        key: &'a str,
        metadata: Option<&'a str>,
        expiration: Option<u64>,
        expiration_ttl: Option<u64>,
    },
    /// `Result<(), BindingError>`.
    KvDelete { keys: Vec<&'a str> },
    /// `Result<KvListWire, BindingError>`.
    KvList {
        prefix: &'a str,
        limit: u32,
        cursor: Option<&'a str>,
    },
    /// `Result<ResponseWire, BindingError>`.
    Fetch {
        #[serde(borrow)]
        request: RequestWire<'a>,
    },
    /// [`LoadedWire`]; the service as an attachment.
    Load { id: Option<&'a str> },
    /// `bool`.
    Limit {
        key: &'a str,
        limit: Option<f64>,
        period_seconds: Option<u32>,
        delta: u32,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum CommonCallWire<'a> {
    /// `Result<ResponseWire, BindingError>`.
    Fetch {
        #[serde(borrow)]
        request: RequestWire<'a>,
        redirect: Redirect,
        redirects_max: u32,
    },
    /// `Result<ConnectionWire, ConnectError>`.
    Connect { request: ConnectRequest },
    /// `Result<Vec<NameRecord>, NameError>`.
    Resolve { question: NameQuestion },
    /// `Result<Option<ResponseWire>, BindingError>`.
    CacheFind {
        #[serde(borrow)]
        key: CacheKeyWire<'a>,
    },
    /// `Result<(), BindingError>`.
    CachePut {
        #[serde(borrow)]
        key: CacheKeyWire<'a>,
        head: ResponseHeadRef<'a>,
        body: BodyWire,
    },
    /// `Result<bool, BindingError>`.
    CacheDelete {
        #[serde(borrow)]
        key: CacheKeyWire<'a>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CacheKeyWire<'a> {
    pub cache: Option<&'a str>,
    pub url: &'a str,
    #[serde(borrow)]
    pub headers: atoll_worker::wire::HeadersCow<'a>,
}

/// What goes with a call, as far as the other side may say it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ContextWire<'a> {
    pub request_id: u64,
    pub traceparent: Option<Cow<'a, str>>,
    pub tracestate: Option<&'a str>,
    pub entrypoint: Option<&'a str>,
    #[serde(borrow)]
    pub props: Option<PropsWire<'a>>,
    pub depth: u32,
    /// What the versions of workers that are called are chosen by.
    pub version_key: Option<&'a str>,
    pub route: Option<RouteNumber>,
}

impl ContextWire<'_> {
    /// Of a call that belongs to no event.
    pub(crate) fn none() -> Self {
        Self {
            request_id: 0,
            traceparent: None,
            tracestate: None,
            entrypoint: None,
            props: None,
            depth: 0,
            version_key: None,
            route: None,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum EventWire<'a> {
    #[serde(borrow)]
    Fetch(RequestWire<'a>),
    Scheduled {
        cron: &'a str,
        scheduled_ms: u64,
    },
    /// With the link as an attachment.
    Rpc,
    /// With the items as a blob.
    Tail,
    Test,
    Describe,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RequestWire<'a> {
    #[serde(borrow)]
    pub head: RequestHeadRef<'a>,
    pub body: BodyWire,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ResponseWire<'a> {
    #[serde(borrow)]
    pub head: ResponseHeadRef<'a>,
    pub body: BodyWire,
    /// With the socket as an attachment.
    pub websocket: bool,
}

/// Where a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum BodyWire {
    Empty,
    /// In a blob.
    Full,
    /// In an attachment.
    Stream,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum OutcomeWire<'a> {
    #[serde(borrow)]
    Fetch(ResponseWire<'a>),
    Scheduled {
        no_retry: bool,
    },
    Rpc,
    Tail,
    Test,
    Described(Vec<Export>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KvEntryWire<'a> {
    pub metadata: Option<&'a str>,
    pub expiration: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KvListWire {
    pub keys: Vec<KvKey>,
    pub cursor: Option<String>,
}

/// With the connection as an attachment.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConnectionWire<'a> {
    pub remote: SocketAddr,
    pub local: SocketAddr,
    pub alpn: &'a str,
}

/// A version and what its environment holds. Modules' contents and source maps are blobs, services attachments.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StartWire<'a> {
    pub slot: u64,
    pub tenant: &'a str,
    pub name: &'a str,
    pub id: &'a str,
    pub main_module: &'a str,
    #[serde(borrow)]
    pub modules: Vec<ModuleWire<'a>>,
    pub compat_date: String,
    pub compat_flags: Vec<&'a str>,
    pub limits: Limits,
    pub created_ms: u64,
    pub bindings: Vec<(&'a str, BindingWire<'a>)>,
    pub outbound: RouteWire,
    /// Somebody takes trace items.
    pub traces: bool,
    /// No event waits for it.
    pub ahead: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ModuleWire<'a> {
    pub name: &'a str,
    pub kind: ModuleKind,
    pub source_map: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum BindingWire<'a> {
    Text(&'a str),
    Json(&'a str),
    Kv,
    Fetcher,
    RateLimit,
    Analytics,
    StoreSecret {
        name: &'a str,
        value: Option<&'a str>,
    },
    /// With the service as an attachment.
    Service,
    Loader,
    Cloned(ClonedWire<'a>),
    Unbuilt(UnbuiltBinding),
}

/// A value of another worker: its data is a blob, its services are attachments.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClonedWire<'a> {
    pub table: &'a str,
    pub services: u32,
}

/// Where global fetches go.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum RouteWire {
    Network,
    Denied,
    /// With the service as an attachment.
    Service,
}

/// A dynamic worker's code. Modules' contents and source maps are blobs, then the values' data; attachments are the values'
/// services, the route's, the tails.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CodeWire<'a> {
    pub compat_date: String,
    #[serde(borrow)]
    pub compat_flags: Vec<&'a str>,
    pub main_module: &'a str,
    pub modules: Vec<ModuleWire<'a>>,
    pub env: Vec<(&'a str, ClonedWire<'a>)>,
    pub outbound: RouteWire,
    pub tails: u32,
    pub cpu_ms: Option<u64>,
    pub subrequests_max: Option<u32>,
}

/// The answer to `Load`: the number under which its code is asked for, if it is.
pub(crate) type LoadedWire = Option<u64>;
/// The answer to `Start`.
pub(crate) type StartedWire = Result<(), Fault>;
/// The answer to an event.
pub(crate) type AnsweredWire<'a> = Result<OutcomeWire<'a>, Fault>;
/// The answer to a binding's operation.
pub(crate) type BoundWire<T> = Result<T, BindingError>;
/// The answer to `Connect` and to the wish for TLS.
pub(crate) type ConnectedWire<'a> = Result<ConnectionWire<'a>, ConnectError>;

/// A message that wants no answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum NoticeWire<'a> {
    Log {
        slot: u64,
        level: LogLevel,
        message: &'a str,
        timestamp_ms: u64,
        request_id: Option<u64>,
        span: Option<SpanPlace>,
    },
    Exception {
        slot: u64,
        request_id: Option<u64>,
        exception: JsException,
    },
    Trace {
        slot: u64,
        item: &'a str,
    },
    Point {
        slot: u64,
        binding: u32,
        point: DataPoint,
    },
    /// So many found no room since the last that said so.
    Dropped {
        slot: u64,
        count: u64,
    },
    Limit {
        slot: u64,
        hit: LimitHit,
    },
    Start {
        slot: u64,
        note: StartNote,
    },
    Used {
        slot: u64,
        usage: Usage,
    },
}
