//! What travels with a message, made real: the channels that the other side opens.

use super::*;

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    pub(super) fn take_apart(&mut self, payload: Bytes) -> Result<Received, LinkError> {
        take_apart(payload, |attachments| {
            attachments.into_iter().map(|wire| self.attach(wire)).collect()
        })
    }

    /// Makes an attachment of the other side real.
    pub(super) fn attach(&mut self, attachment: AttachmentWire<'_>) -> Result<Attachment, LinkError> {
        Ok(match attachment {
            AttachmentWire::Body { id, wide, length } => Attachment::Body(self.attach_body(id, wide, length)?),
            AttachmentWire::Sink { id, wide } => Attachment::Sink(self.attach_sink(id, wide, None)?),
            AttachmentWire::Socket { id, wide, protocol } => {
                let (mut theirs, ours) = socket::pair();
                theirs.protocol = protocol.to_owned();
                self.attach_channel(id, wide, Ends::Socket(ours))?;
                Attachment::Socket(theirs)
            }
            AttachmentWire::Rpc { id, wide } => {
                let (theirs, ours) = rpc::link();
                self.attach_channel(id, wide, Ends::Rpc(ours))?;
                Attachment::Rpc(theirs)
            }
            AttachmentWire::Connection {
                tx,
                rx,
                wide,
                start_tls,
            } => {
                let (ask, asked) = start_tls.then(oneshot::channel).unzip();
                let tx = self.attach_sink(tx, wide, asked)?;
                let rx = self.attach_body(rx, false, None)?;
                Attachment::Connection { tx, rx, start_tls: ask }
            }
            AttachmentWire::Service { id } => {
                // It counts until it is released.
                self.opens(id)?;
                let service = PeerService::import(&self.core, id);
                Attachment::Service {
                    stub: ServiceStub::new(service),
                    open: false,
                }
            }
            AttachmentWire::Returned { id, entrypoint, props } => match self.channels.get(&id) {
                Some(channel) if channel.ours => {
                    let Ends::Service { stub, open } = &channel.ends else {
                        return Err(LinkError::violation(format!("channel {id:#x} is no service")));
                    };
                    let mut stub = stub.clone();
                    if *open {
                        stub.entrypoint = entrypoint.map(Into::into);
                        stub.props = props.map(|props| props.props());
                    }
                    Attachment::Service { stub, open: *open }
                }
                _ => {
                    let text = format!("it passes on service {id:#x}, which it was not given");
                    return Err(LinkError::violation(text));
                }
            },
        })
    }

    pub(super) fn attach_body(
        &mut self,
        id: u64,
        wide: bool,
        length: Option<u64>,
    ) -> Result<body::BodyReceiver, LinkError> {
        let (sender, receiver) = body::channel(body::CREDIT_DEFAULT, length);
        self.attach_channel(id, wide, Ends::Sink(sender, None))?;
        Ok(receiver)
    }

    pub(super) fn attach_sink(
        &mut self,
        id: u64,
        wide: bool,
        asked: Option<oneshot::Receiver<StartTls>>,
    ) -> Result<body::BodySender, LinkError> {
        let (sender, receiver) = body::channel(body::CREDIT_DEFAULT, None);
        self.attach_channel(id, wide, Ends::Body(receiver, asked))?;
        Ok(sender)
    }

    pub(super) fn attach_channel(&mut self, id: u64, wide: bool, ends: Ends) -> Result<(), LinkError> {
        self.opens(id)?;
        self.their_wide += usize::from(wide);
        if self.their_wide > WIDE_MAX {
            return Err(LinkError::violation(format!(
                "it opens more than {WIDE_MAX} wide channels"
            )));
        }
        if matches!(ends, Ends::Sink(..) | Ends::Socket(_)) {
            self.streaming.get_or_insert(id);
        }
        let channel = Channel::new(&self.core, id, wide, false, ends);
        self.open(id, channel);
        Ok(())
    }
}
