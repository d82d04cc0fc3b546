//! A message: a head that the waist understands, blobs that are not copied, and what is alive and travels along.
//!
//! ```text
//! | prelude (postcard): attachments, lengths of blobs | head | blob | blob ...
//! ```
//!
//! The transport understands the prelude alone: it opens a channel for each attachment and hands the rest on.

use crate::LinkError;
use crate::limits::KEEP_BYTES;
use atoll_worker::wire;
use atoll_worker::{BodyReceiver, BodySender, Props, RpcLink, ServiceStub, StartTls, WebSocketEnd};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// What is sent.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub head: Vec<u8>,
    pub blobs: Vec<Bytes>,
    pub attachments: Vec<Attachment>,
}

/// What has arrived.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub head: Bytes,
    blobs: std::vec::IntoIter<Bytes>,
    attachments: std::vec::IntoIter<Attachment>,
}

/// Something alive that travels with a message.
#[derive(Debug)]
pub(crate) enum Attachment {
    Body(BodyReceiver),
    Sink(BodySender),
    Socket(WebSocketEnd),
    Rpc(RpcLink),
    Connection {
        tx: BodySender,
        rx: BodyReceiver,
        start_tls: Option<oneshot::Sender<StartTls>>,
    },
    Service {
        stub: ServiceStub,
        /// The other side may choose the entrypoint and its props: the worker's own.
        open: bool,
    },
}

/// An attachment as the wire has it. Ids are given by the sender, except in `Returned`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum AttachmentWire<'a> {
    Body {
        id: u64,
        wide: bool,
        length: Option<u64>,
    },
    Sink {
        id: u64,
        wide: bool,
    },
    Socket {
        id: u64,
        wide: bool,
        protocol: &'a str,
    },
    Rpc {
        id: u64,
        wide: bool,
    },
    Connection {
        tx: u64,
        rx: u64,
        wide: bool,
        start_tls: bool,
    },
    Service {
        id: u64,
    },
    /// A service that the receiver once gave to the sender.
    Returned {
        id: u64,
        entrypoint: Option<&'a str>,
        #[serde(borrow)]
        props: Option<PropsWire<'a>>,
    },
}

/// [`Props`], borrowed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum PropsWire<'a> {
    Json(&'a str),
    Clone(&'a [u8]),
}

impl<'a> PropsWire<'a> {
    pub(crate) fn new(props: &'a Props) -> Self {
        match props {
            Props::Json(json) => Self::Json(json),
            Props::Clone(bytes) => Self::Clone(bytes),
        }
    }

    pub(crate) fn props(self) -> Props {
        match self {
            Self::Json(json) => Props::Json(json.into()),
            Self::Clone(bytes) => Props::Clone(Bytes::copy_from_slice(bytes)),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Prelude<'a> {
    #[serde(borrow)]
    pub attachments: Vec<AttachmentWire<'a>>,
    pub blobs: Vec<u32>,
}

impl Message {
    /// A message without blobs or attachments.
    pub(crate) fn of<T: Serialize>(head: &T) -> Self {
        let mut message = Self::default();
        message.head(head);
        message
    }

    pub(crate) fn head<T: Serialize>(&mut self, head: &T) {
        self.head = wire::encode(head);
    }
}

/// Takes a message's bytes apart. `open` makes attachments real.
pub(crate) fn take_apart(
    payload: Bytes,
    open: impl FnOnce(Vec<AttachmentWire<'_>>) -> Result<Vec<Attachment>, LinkError>,
) -> Result<Received, LinkError> {
    let malformed = |what: &str| LinkError::violation(format!("a malformed message: {what}"));
    let (prelude, rest) = postcard::take_from_bytes::<Prelude<'_>>(&payload).map_err(|_| malformed("its prelude"))?;
    let blob_bytes: usize = prelude.blobs.iter().map(|length| *length as usize).sum();
    let head_start = payload.len() - rest.len();
    let blobs_start = payload
        .len()
        .checked_sub(blob_bytes)
        .filter(|start| *start >= head_start)
        .ok_or_else(|| malformed("blobs that are longer than it"))?;
    let mut blobs = Vec::with_capacity(prelude.blobs.len());
    let mut at = blobs_start;
    for length in &prelude.blobs {
        let end = at + *length as usize;
        blobs.push(keep(&payload, at, end));
        at = end;
    }
    let attachments = if prelude.attachments.is_empty() {
        Vec::new()
    } else {
        open(prelude.attachments)?
    };
    Ok(Received {
        head: payload.slice(head_start..blobs_start),
        blobs: blobs.into_iter(),
        attachments: attachments.into_iter(),
    })
}

/// A part of `payload` that may be kept: small ones are copied, so that they do not hold the whole.
pub(crate) fn keep(payload: &Bytes, start: usize, end: usize) -> Bytes {
    if end - start >= KEEP_BYTES {
        payload.slice(start..end)
    } else {
        Bytes::copy_from_slice(&payload[start..end])
    }
}

impl Received {
    /// The head as `T`.
    pub(crate) fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, LinkError> {
        decode(&self.head)
    }

    pub(crate) fn blob(&mut self) -> Result<Bytes, LinkError> {
        self.blobs
            .next()
            .ok_or_else(|| LinkError::violation("a message that lacks a blob"))
    }

    fn attachment(&mut self) -> Result<Attachment, LinkError> {
        self.attachments
            .next()
            .ok_or_else(|| LinkError::violation("a message that lacks an attachment"))
    }

    pub(crate) fn body(&mut self) -> Result<BodyReceiver, LinkError> {
        match self.attachment()? {
            Attachment::Body(body) => Ok(body),
            other => Err(mismatch("a body", &other)),
        }
    }

    pub(crate) fn sink(&mut self) -> Result<BodySender, LinkError> {
        match self.attachment()? {
            Attachment::Sink(sink) => Ok(sink),
            other => Err(mismatch("a sink", &other)),
        }
    }

    pub(crate) fn socket(&mut self) -> Result<WebSocketEnd, LinkError> {
        match self.attachment()? {
            Attachment::Socket(socket) => Ok(socket),
            other => Err(mismatch("a socket", &other)),
        }
    }

    pub(crate) fn rpc(&mut self) -> Result<RpcLink, LinkError> {
        match self.attachment()? {
            Attachment::Rpc(link) => Ok(link),
            other => Err(mismatch("an RPC session", &other)),
        }
    }

    pub(crate) fn service(&mut self) -> Result<ServiceStub, LinkError> {
        match self.attachment()? {
            Attachment::Service { stub, .. } => Ok(stub),
            other => Err(mismatch("a service", &other)),
        }
    }

    #[allow(clippy::type_complexity, reason = "taken apart at once by the one caller")]
    pub(crate) fn connection(
        &mut self,
    ) -> Result<(BodySender, BodyReceiver, Option<oneshot::Sender<StartTls>>), LinkError> {
        match self.attachment()? {
            Attachment::Connection { tx, rx, start_tls } => Ok((tx, rx, start_tls)),
            other => Err(mismatch("a connection", &other)),
        }
    }
}

pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, LinkError> {
    wire::decode(bytes).map_err(|error| LinkError::violation(error.to_string()))
}

fn mismatch(expected: &str, found: &Attachment) -> LinkError {
    let found = match found {
        Attachment::Body(_) => "a body",
        Attachment::Sink(_) => "a sink",
        Attachment::Socket(_) => "a socket",
        Attachment::Rpc(_) => "an RPC session",
        Attachment::Connection { .. } => "a connection",
        Attachment::Service { .. } => "a service",
    };
    LinkError::violation(format!("{found} travels where {expected} belongs"))
}
