//! Between the waist's types and messages.
//!
//! Writing cannot fail. Reading checks everything: an error here is the other side's violation.

use crate::LinkError;
use crate::core::Core;
use crate::error::CallError;
use crate::limits::KEEP_BYTES;
use crate::message::{Attachment, Message, PropsWire, Received};
use crate::wire::{
    AnsweredWire, BodyWire, ConnectedWire, ConnectionWire, ContextWire, EventWire, OutcomeWire, RequestWire,
    ResponseWire,
};
use atoll_worker::rpc::{RpcChannel, RpcMessage};
use atoll_worker::wire::{HeadError, RequestHeadRef, ResponseHeadRef};
use atoll_worker::{
    Body, ConnectError, ConnectErrorKind, Connection, Event, EventContext, Fault, FaultKind, Outcome, Request,
    RequestHead, Response, ResponseHead, ScheduledEvent,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// A full body larger than this travels as a stream, under credit.
const INLINE_BYTES_MAX: usize = 64 * 1024;

fn bad(error: HeadError) -> LinkError {
    LinkError::violation(error.to_string())
}

/// A body's place; what it is goes into `message`.
pub(crate) fn put_body(body: Body, message: &mut Message) -> BodyWire {
    match body {
        Body::Empty => BodyWire::Empty,
        Body::Full(bytes) if bytes.len() > INLINE_BYTES_MAX => {
            let (sender, receiver) = atoll_worker::body::channel(bytes.len(), Some(bytes.len() as u64));
            // The receiver is here: this cannot be refused.
            let _ = sender.send(atoll_worker::Frame::Data(bytes));
            sender.finish();
            message.attachments.push(Attachment::Body(receiver));
            BodyWire::Stream
        }
        Body::Full(bytes) => {
            message.blobs.push(bytes);
            BodyWire::Full
        }
        Body::Stream(stream) => {
            message.attachments.push(Attachment::Body(stream));
            BodyWire::Stream
        }
    }
}

pub(crate) fn take_body(wire: BodyWire, message: &mut Received) -> Result<Body, LinkError> {
    Ok(match wire {
        BodyWire::Empty => Body::Empty,
        BodyWire::Full => Body::Full(message.blob()?),
        BodyWire::Stream => Body::Stream(message.body()?),
    })
}

pub(crate) fn take_request(wire: RequestWire<'_>, message: &mut Received) -> Result<Request, LinkError> {
    Ok(Request {
        head: Box::new(RequestHead::try_from(wire.head).map_err(bad)?),
        body: take_body(wire.body, message)?,
    })
}

/// A response's wire form borrows its head; body and socket go into `message`.
pub(crate) fn put_response<'a>(
    head: &'a ResponseHead,
    body: Body,
    websocket: Option<atoll_worker::WebSocketEnd>,
    message: &mut Message,
) -> ResponseWire<'a> {
    let body = put_body(body, message);
    let has_socket = websocket.is_some();
    message.attachments.extend(websocket.map(Attachment::Socket));
    ResponseWire {
        head: ResponseHeadRef::from(head),
        body,
        websocket: has_socket,
    }
}

pub(crate) fn take_response(wire: ResponseWire<'_>, message: &mut Received) -> Result<Response, LinkError> {
    Ok(Response {
        head: ResponseHead::try_from(wire.head).map_err(bad)?,
        body: take_body(wire.body, message)?,
        websocket: if wire.websocket { Some(message.socket()?) } else { None },
    })
}

/// A message whose head is `Ok` of what `make` says of the response.
pub(crate) fn response_message<E: Serialize>(response: Result<Response, E>) -> Message {
    let mut message = Message::default();
    match response {
        Ok(Response { head, body, websocket }) => {
            let wire = put_response(&head, body, websocket, &mut message);
            message.head(&Ok::<_, E>(wire));
        }
        Err(error) => message.head(&Err::<ResponseWire<'_>, E>(error)),
    }
    message
}

pub(crate) fn parse_response<E: for<'a> Deserialize<'a>>(
    mut message: Received,
) -> Result<Result<Response, E>, LinkError> {
    let head = std::mem::take(&mut message.head);
    match crate::message::decode::<Result<ResponseWire<'_>, E>>(&head)? {
        Ok(wire) => take_response(wire, &mut message).map(Ok),
        Err(error) => Ok(Err(error)),
    }
}

pub(crate) fn context(ctx: &EventContext) -> ContextWire<'_> {
    ContextWire {
        request_id: ctx.request_id.0,
        traceparent: ctx.trace.as_ref().map(|trace| trace.traceparent().into()),
        tracestate: ctx.trace.as_ref().and_then(|trace| trace.state.as_deref()),
        entrypoint: ctx.entry.name.as_deref(),
        props: ctx.entry.props.as_ref().map(PropsWire::new),
        depth: ctx.entry.depth,
        version_key: ctx.version.key.as_deref(),
        route: ctx.route,
    }
}

/// An event, borrowed for its head, and what of it travels beside.
pub(crate) struct EventParts {
    request: Option<Box<RequestHead>>,
    scheduled: Option<ScheduledEvent>,
    body: BodyWire,
    rpc: bool,
    asks: Option<Asks>,
}

/// Events that carry nothing.
#[derive(Debug, Clone, Copy)]
enum Asks {
    Test,
    Describe,
}

impl EventParts {
    pub(crate) fn new(event: Event, message: &mut Message) -> Self {
        let mut parts = Self {
            request: None,
            scheduled: None,
            body: BodyWire::Empty,
            rpc: false,
            asks: None,
        };
        match event {
            Event::Fetch(Request { head, body }) => {
                parts.body = put_body(body, message);
                parts.request = Some(head);
            }
            Event::Scheduled(scheduled) => parts.scheduled = Some(scheduled),
            Event::Rpc(link) => {
                parts.rpc = true;
                message.attachments.push(Attachment::Rpc(link));
            }
            Event::Tail(items) => message.blobs.push(items.into()),
            Event::Test => parts.asks = Some(Asks::Test),
            Event::Describe => parts.asks = Some(Asks::Describe),
        }
        parts
    }

    pub(crate) fn wire(&self) -> EventWire<'_> {
        match self {
            Self {
                request: Some(head),
                body,
                ..
            } => EventWire::Fetch(RequestWire {
                head: RequestHeadRef::from(&**head),
                body: *body,
            }),
            Self {
                scheduled: Some(scheduled),
                ..
            } => EventWire::Scheduled {
                cron: &scheduled.cron,
                scheduled_ms: scheduled.scheduled_ms,
            },
            Self { rpc: true, .. } => EventWire::Rpc,
            Self {
                asks: Some(Asks::Test), ..
            } => EventWire::Test,
            Self {
                asks: Some(Asks::Describe),
                ..
            } => EventWire::Describe,
            _ => EventWire::Tail,
        }
    }
}

pub(crate) fn take_event(wire: EventWire<'_>, message: &mut Received) -> Result<Event, LinkError> {
    Ok(match wire {
        EventWire::Fetch(request) => Event::Fetch(take_request(request, message)?),
        EventWire::Scheduled { cron, scheduled_ms } => Event::Scheduled(ScheduledEvent {
            cron: cron.to_owned(),
            scheduled_ms,
        }),
        EventWire::Rpc => Event::Rpc(message.rpc()?),
        EventWire::Tail => Event::Tail(utf8(message.blob()?)?),
        EventWire::Test => Event::Test,
        EventWire::Describe => Event::Describe,
    })
}

pub(crate) fn utf8(bytes: Bytes) -> Result<String, LinkError> {
    String::from_utf8(bytes.into()).map_err(|_| LinkError::violation("text that is not UTF-8"))
}

pub(crate) fn answer_message(answer: Result<Outcome, Fault>) -> Message {
    let mut message = Message::default();
    match answer {
        Ok(Outcome::Fetch(response)) => {
            let Response { head, body, websocket } = *response;
            let wire = put_response(&head, body, websocket, &mut message);
            message.head(&AnsweredWire::Ok(OutcomeWire::Fetch(wire)));
        }
        Ok(Outcome::Scheduled { no_retry }) => message.head(&AnsweredWire::Ok(OutcomeWire::Scheduled { no_retry })),
        Ok(Outcome::Rpc) => message.head(&AnsweredWire::Ok(OutcomeWire::Rpc)),
        Ok(Outcome::Tail) => message.head(&AnsweredWire::Ok(OutcomeWire::Tail)),
        Ok(Outcome::Test) => message.head(&AnsweredWire::Ok(OutcomeWire::Test)),
        Ok(Outcome::Described(exports)) => message.head(&AnsweredWire::Ok(OutcomeWire::Described(exports))),
        Err(fault) => message.head(&AnsweredWire::Err(fault)),
    }
    message
}

pub(crate) fn parse_answer(mut message: Received) -> Result<Result<Outcome, Fault>, LinkError> {
    let head = std::mem::take(&mut message.head);
    Ok(match crate::message::decode::<AnsweredWire<'_>>(&head)? {
        Ok(OutcomeWire::Fetch(wire)) => Ok(Outcome::Fetch(Box::new(take_response(wire, &mut message)?))),
        Ok(OutcomeWire::Scheduled { no_retry }) => Ok(Outcome::Scheduled { no_retry }),
        Ok(OutcomeWire::Rpc) => Ok(Outcome::Rpc),
        Ok(OutcomeWire::Tail) => Ok(Outcome::Tail),
        Ok(OutcomeWire::Test) => Ok(Outcome::Test),
        Ok(OutcomeWire::Described(exports)) => Ok(Outcome::Described(exports)),
        Err(fault) => Err(fault),
    })
}

/// The fault of an event that the other side never answered.
pub(crate) fn lost(error: &CallError) -> Fault {
    match error {
        CallError::Lost(error) => Fault::new(
            FaultKind::Internal,
            format!("the worker's process went away before it answered: {error}"),
        ),
        CallError::Refused(text) => Fault::new(FaultKind::Overloaded, text.clone()),
    }
}

/// An RPC message's head on the wire. Channels come as attachments, bodies at hand as blobs after the data.
#[derive(Serialize, Deserialize)]
struct RpcHeadWire<'a> {
    head: &'a str,
    data: bool,
    #[serde(borrow)]
    channels: std::borrow::Cow<'a, [RpcChannelWire]>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum RpcChannelWire {
    Source(BodyWire),
    Sink,
    Socket,
    Service,
}

pub(crate) fn rpc_message(rpc: RpcMessage) -> Message {
    let mut message = Message::default();
    let has_data = !rpc.data.is_empty();
    if has_data {
        message.blobs.push(rpc.data);
    }
    let mut channels = Vec::with_capacity(rpc.channels.len());
    for channel in rpc.channels {
        channels.push(match channel {
            RpcChannel::Source(body) => RpcChannelWire::Source(put_body(body, &mut message)),
            RpcChannel::Sink(sink) => {
                message.attachments.push(Attachment::Sink(sink));
                RpcChannelWire::Sink
            }
            RpcChannel::Socket(socket) => {
                message.attachments.push(Attachment::Socket(socket));
                RpcChannelWire::Socket
            }
            RpcChannel::Service(stub) => {
                message.attachments.push(Attachment::Service { stub, open: false });
                RpcChannelWire::Service
            }
        });
    }
    message.head(&RpcHeadWire {
        head: &rpc.head,
        data: has_data,
        channels: channels.into(),
    });
    message
}

pub(crate) fn parse_rpc_message(mut message: Received) -> Result<RpcMessage, LinkError> {
    let head = std::mem::take(&mut message.head);
    let wire: RpcHeadWire<'_> = crate::message::decode(&head)?;
    let data = if wire.data { message.blob()? } else { Bytes::new() };
    if data.len() > atoll_worker::rpc::MESSAGE_BYTES_MAX {
        return Err(LinkError::violation(format!("an RPC message of {} bytes", data.len())));
    }
    let mut channels = Vec::with_capacity(wire.channels.len());
    for channel in &*wire.channels {
        channels.push(match channel {
            RpcChannelWire::Source(body) => RpcChannel::Source(take_body(*body, &mut message)?),
            RpcChannelWire::Sink => RpcChannel::Sink(message.sink()?),
            RpcChannelWire::Socket => RpcChannel::Socket(message.socket()?),
            RpcChannelWire::Service => RpcChannel::Service(message.service()?),
        });
    }
    Ok(RpcMessage {
        head: wire.head.to_owned(),
        data,
        channels,
    })
}

pub(crate) fn connection_message(connected: Result<Connection, ConnectError>) -> Message {
    let mut message = Message::default();
    match connected {
        Ok(connection) => {
            message.head(&ConnectedWire::Ok(ConnectionWire {
                remote: connection.remote,
                local: connection.local,
                alpn: &connection.alpn,
            }));
            message.attachments.push(Attachment::Connection {
                tx: connection.tx,
                rx: connection.rx,
                start_tls: connection.start_tls,
            });
        }
        Err(error) => message.head(&ConnectedWire::Err(error)),
    }
    message
}

pub(crate) fn parse_connection(mut message: Received) -> Result<Result<Connection, ConnectError>, LinkError> {
    let head = std::mem::take(&mut message.head);
    let wire = match crate::message::decode::<ConnectedWire<'_>>(&head)? {
        Ok(wire) => wire,
        Err(error) => return Ok(Err(error)),
    };
    let (tx, rx, start_tls) = message.connection()?;
    Ok(Ok(Connection {
        tx,
        rx,
        remote: wire.remote,
        local: wire.local,
        alpn: wire.alpn.to_owned(),
        start_tls,
    }))
}

/// Hands the answer to the wish for TLS to whoever waits for it.
pub(crate) fn tls_answered(
    core: &Core,
    answer: Result<Received, CallError>,
    reply: oneshot::Sender<Result<Connection, ConnectError>>,
) {
    let failed = |text: String| Err(ConnectError::new(ConnectErrorKind::Failed, text));
    let connected = match answer.map(parse_connection) {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => {
            core.close(error.clone());
            failed(error.to_string())
        }
        Err(error) => failed(error.to_string()),
    };
    // Who does not wait any more has let the connection go.
    let _ = reply.send(connected);
}

const _: () = assert!(INLINE_BYTES_MAX > KEEP_BYTES);
