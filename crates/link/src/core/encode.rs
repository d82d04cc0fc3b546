//! Messages as bytes: the prelude, the frames, and a number for each channel that travels along.

use super::*;

/// An encoded message, and what belongs to it.
pub(super) struct Encoded {
    pub(super) first: Header,
    /// The length of the whole, if it does not fit into one frame.
    pub(super) total: Option<u32>,
    pub(super) bytes: Vec<u8>,
    pub(super) blobs: Vec<Bytes>,
    pub(super) attached: Attached,
    pub(super) rest: Option<Rest>,
}

impl Core {
    pub(super) fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn wide(&self) -> bool {
        let wide = self.wide.fetch_add(1, Ordering::Relaxed) < WIDE_MAX;
        if !wide {
            self.wide.fetch_sub(1, Ordering::Relaxed);
        }
        wide
    }

    /// Puts a message's bytes together. Its attachments get channels.
    pub(super) fn encode(&self, kind: Kind, id: u64, message: Message) -> Result<Encoded, CallError> {
        let Message {
            head,
            blobs,
            attachments,
        } = message;
        let count: usize = attachments.iter().map(Attachment::channels).sum();
        if count > 0 {
            self.room(count)?;
        }
        let mut attached = Attached::default();
        let bytes = self.with_prelude(&head, &blobs, attachments, &mut attached);
        let total = bytes.len() + blobs.iter().map(Bytes::len).sum::<usize>();
        let mut encoded = Encoded {
            first: Header {
                length: total,
                kind,
                flags: 0,
                channel: id,
            },
            total: None,
            bytes,
            blobs,
            attached,
            rest: None,
        };
        if total > FRAME_BYTES_MAX {
            encoded.cut(total, kind);
        }
        Ok(encoded)
    }

    /// A message as pieces, for a stream of messages, and the channels that begin when all are out.
    pub(crate) fn encode_for_stream(&self, message: Message) -> Result<(VecDeque<Bytes>, Attached), CallError> {
        let Message {
            head,
            blobs,
            attachments,
        } = message;
        let count: usize = attachments.iter().map(Attachment::channels).sum();
        if count > 0 {
            self.room(count)?;
        }
        let mut attached = Attached::default();
        let bytes = self.with_prelude(&head, &blobs, attachments, &mut attached);
        let pieces = std::iter::once(bytes.into()).chain(blobs);
        Ok((pieces.filter(|piece: &Bytes| !piece.is_empty()).collect(), attached))
    }

    /// The prelude and the head. Attachments become newcomers.
    pub(super) fn with_prelude(
        &self,
        head: &[u8],
        blobs: &[Bytes],
        attachments: Vec<Attachment>,
        attached: &mut Attached,
    ) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(head.len() + 16);
        if attachments.is_empty() && blobs.is_empty() {
            // The same as below, without the way round.
            bytes.extend_from_slice(&[0, 0]);
        } else {
            let lengths = blobs.iter().map(|blob| blob.len() as u32).collect();
            let mut held = Vec::with_capacity(attachments.len());
            for attachment in attachments {
                held.push(self.register(attachment, attached));
            }
            let prelude = Prelude {
                attachments: held.iter().map(Held::wire).collect(),
                blobs: lengths,
            };
            // Plain data into memory: there is no way to fail.
            bytes = postcard::to_extend(&prelude, bytes).unwrap_or_default();
            attached.keep.extend(held.into_iter().filter_map(|held| match held {
                Held::Returned { stub, .. } => Some(stub),
                _ => None,
            }));
        }
        bytes.extend_from_slice(head);
        bytes
    }

    pub(super) fn register(&self, attachment: Attachment, attached: &mut Attached) -> Held {
        let mut add = |wide: bool, ends: Ends| {
            let id = self.next_id();
            attached.newcomers.push(Newcomer { id, wide, ends });
            id
        };
        match attachment {
            Attachment::Body(body) => {
                let (wide, length) = (self.wide(), body.length);
                let id = add(wide, Ends::Body(body, None));
                Held::Body { id, wide, length }
            }
            Attachment::Sink(sink) => {
                let wide = self.wide();
                let id = add(wide, Ends::Sink(sink, None));
                Held::Sink { id, wide }
            }
            Attachment::Socket(mut socket) => {
                let wide = self.wide();
                let protocol = std::mem::take(&mut socket.protocol);
                let id = add(wide, Ends::Socket(socket));
                Held::Socket { id, wide, protocol }
            }
            Attachment::Rpc(link) => {
                let wide = self.wide();
                let id = add(wide, Ends::Rpc(link));
                Held::Rpc { id, wide }
            }
            Attachment::Connection { tx, rx, start_tls } => {
                // One counts for both, so that both ends count alike.
                let wide = self.wide();
                let can_start = start_tls.is_some();
                let tx = add(wide, Ends::Sink(tx, start_tls));
                let rx = add(false, Ends::Body(rx, None));
                Held::Connection {
                    tx,
                    rx,
                    wide,
                    start_tls: can_start,
                }
            }
            Attachment::Service { stub, open } => {
                let address = Arc::as_ptr(&stub.service).cast::<()>() as usize;
                let imported = self.imported.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(&id) = imported.get(&address) {
                    return Held::Returned { id, stub };
                }
                drop(imported);
                Held::Service {
                    id: add(false, Ends::Service { stub, open }),
                }
            }
        }
    }
}

impl Encoded {
    /// Leaves in the first frame what fits, and moves the rest.
    fn cut(&mut self, total: usize, kind: Kind) {
        let mut room = FIRST_BYTES_MAX - 4;
        let mut first = Vec::new();
        let mut pieces = VecDeque::new();
        let head = Bytes::from(std::mem::take(&mut self.bytes));
        for mut piece in std::iter::once(head).chain(std::mem::take(&mut self.blobs)) {
            let now = piece.split_to(piece.len().min(room));
            room -= now.len();
            first.push(now);
            if !piece.is_empty() {
                pieces.push_back(piece);
            }
        }
        self.blobs = first;
        // The limits on messages are far below.
        self.total = Some(total as u32);
        self.first.length = FIRST_BYTES_MAX;
        self.first.flags = FIRST | MORE;
        self.rest = Some(Rest {
            kind,
            pieces,
            left: total - (FIRST_BYTES_MAX - 4),
            then: std::mem::take(&mut self.attached),
        });
    }
}

/// A registered attachment, with what its wire form borrows.
pub(super) enum Held {
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
        protocol: String,
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
    Returned {
        id: u64,
        stub: ServiceStub,
    },
}

impl Held {
    fn wire(&self) -> AttachmentWire<'_> {
        match self {
            &Self::Body { id, wide, length } => AttachmentWire::Body { id, wide, length },
            &Self::Sink { id, wide } => AttachmentWire::Sink { id, wide },
            Self::Socket { id, wide, protocol } => AttachmentWire::Socket {
                id: *id,
                wide: *wide,
                protocol,
            },
            &Self::Rpc { id, wide } => AttachmentWire::Rpc { id, wide },
            &Self::Connection {
                tx,
                rx,
                wide,
                start_tls,
            } => AttachmentWire::Connection {
                tx,
                rx,
                wide,
                start_tls,
            },
            &Self::Service { id } => AttachmentWire::Service { id },
            Self::Returned { id, stub } => AttachmentWire::Returned {
                id: *id,
                entrypoint: stub.entrypoint.as_deref(),
                props: stub.props.as_ref().map(PropsWire::new),
            },
        }
    }
}

impl Attachment {
    /// How many channels it takes.
    pub(crate) fn channels(&self) -> usize {
        match self {
            Self::Connection { .. } => 2,
            _ => 1,
        }
    }
}
