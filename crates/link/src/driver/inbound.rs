//! What each frame of the other side does. Everything is checked here: who opened the channel, what it is, whether the
//! frame is within the limits and the credit. An error is a violation and ends the link; it is returned before anything of
//! the frame has been carried out.

use super::*;

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    pub(super) fn frame(&mut self, header: Header, payload: Bytes) -> Result<(), LinkError> {
        if !self.greeted {
            if header.kind == Kind::Goodbye {
                return Err(LinkError::Goodbye(wire::text(&payload)));
            }
            wire::check_hello(header, &payload, &self.build)?;
            self.greeted = true;
            return Ok(());
        }
        let id = header.channel;
        match header.kind {
            Kind::Hello => Err(LinkError::violation("a second hello")),
            Kind::Goodbye => Err(LinkError::Goodbye(wire::text(&payload))),
            Kind::Notice => {
                let message = take_apart(payload, |_| Err(LinkError::violation("a notice with attachments")))?;
                self.handler.notice(message)
            }
            Kind::Call => {
                if self.core.check_id(id)? {
                    return Err(LinkError::violation(format!(
                        "a call on channel {id:#x}, which is not the caller's"
                    )));
                }
                match self.assemble(header, payload)? {
                    Some(message) => self.called(id, message),
                    None => Ok(()),
                }
            }
            Kind::Answer => {
                self.core.check_id(id)?;
                if !self.calls.contains_key(&id) {
                    return Err(LinkError::violation(format!(
                        "an answer on channel {id:#x}, where nobody asked"
                    )));
                }
                if header.flags & NONE != 0 {
                    self.assemblies_forget(id);
                    self.got(id, Err(CallError::Refused(wire::text(&payload))));
                    return Ok(());
                }
                match self.assemble(header, payload)? {
                    Some(message) => self.answer_arrived(id, message),
                    None => Ok(()),
                }
            }
            Kind::Cancel => {
                self.known(id, "a cancellation")?;
                self.cancelled(id, header.flags & DROPPED != 0);
                Ok(())
            }
            Kind::Data => self.data(header, payload),
            Kind::Shared => self.shared(id, &payload),
            Kind::End => self.end(id, &payload),
            Kind::Credit => {
                let Some(bytes) = payload.first_chunk::<4>().filter(|_| payload.len() == 4) else {
                    return Err(LinkError::violation("a credit that is no number"));
                };
                self.credited(id, u64::from(u32::from_le_bytes(*bytes)))
            }
            Kind::Stop => {
                self.known(id, "a stop")?;
                self.stopped(id)
            }
        }
    }

    /// Errs if nobody ever opened the channel. One that is closed by now is fine: frames may cross.
    pub(super) fn known(&self, id: u64, what: &str) -> Result<(), LinkError> {
        let ours = self.core.check_id(id)?;
        if !ours && id > self.their_last {
            return Err(LinkError::violation(format!(
                "{what} on channel {id:#x}, which was never opened"
            )));
        }
        Ok(())
    }

    /// Notes a channel that the other side opens.
    pub(super) fn opens(&mut self, id: u64) -> Result<(), LinkError> {
        let theirs = (id & CHILD_BIT != 0) == (self.core.side == Side::Parent);
        if !theirs || id & !CHILD_BIT == 0 {
            return Err(LinkError::violation(format!(
                "it opens channel {id:#x}, whose number is not its own"
            )));
        }
        if self.channels.contains_key(&id) || self.serving.contains_key(&id) || self.assemblies.contains_key(&id) {
            return Err(LinkError::violation(format!("it opens channel {id:#x}, which is open")));
        }
        self.theirs += 1;
        if self.theirs > CHANNELS_MAX {
            return Err(LinkError::violation(format!(
                "it opens more than {CHANNELS_MAX} channels"
            )));
        }
        self.their_last = self.their_last.max(id);
        Ok(())
    }

    /// A whole message, when its last piece is here.
    pub(super) fn assemble(&mut self, header: Header, payload: Bytes) -> Result<Option<Bytes>, LinkError> {
        let (id, kind) = (header.channel, header.kind);
        let more = header.flags & MORE != 0;
        if header.flags & FIRST != 0 {
            if !more {
                return Err(LinkError::violation("the first piece of a message is its last"));
            }
            if kind == Kind::Call {
                self.opens(id)?;
            }
            let partial = Partial::begin(&payload, self.message_max())?;
            if self.assemblies.insert(id, Assembly { kind, partial }).is_some() {
                return Err(LinkError::violation("a message that begins within another"));
            }
            self.waiting.push_back(id);
            self.admit();
            return Ok(None);
        }
        let Some(assembly) = self.assemblies.get_mut(&id) else {
            if more {
                return Err(LinkError::violation("a piece of a message that never began"));
            }
            if kind == Kind::Call {
                self.opens(id)?;
            }
            return Ok(Some(payload));
        };
        if assembly.kind != kind || !assembly.partial.admitted {
            return Err(LinkError::violation("a piece of a message that was not granted"));
        }
        let whole = assembly.partial.add(&payload, more)?;
        if whole.is_some() {
            self.assemblies_forget(id);
        }
        Ok(whole)
    }

    pub(super) fn assemblies_forget(&mut self, id: u64) {
        if let Some(assembly) = self.assemblies.remove(&id)
            && assembly.partial.admitted
        {
            self.assembly_bytes -= assembly.partial.total;
            self.admit();
        }
    }

    pub(super) fn message_max(&self) -> usize {
        match self.core.side {
            Side::Parent => MESSAGE_BYTES_MAX,
            Side::Child => MESSAGE_FROM_PARENT_BYTES_MAX,
        }
    }

    /// Grants messages in pieces their length, in the order in which they began, while there is room.
    pub(super) fn admit(&mut self) {
        while let Some(&id) = self.waiting.front() {
            let fits = |total: usize, used: usize| used == 0 || used + total <= ASSEMBLY_BYTES_MAX;
            if let Some(assembly) = self.assemblies.get_mut(&id) {
                let total = assembly.partial.total;
                if !fits(total, self.assembly_bytes + self.served_bytes) {
                    return;
                }
                self.assembly_bytes += total;
                assembly.partial.admitted = true;
                wire::credit(id, assembly.partial.left() as u64, &mut self.out);
            } else if let Some(channel) = self.channels.get_mut(&id)
                && let Some(partial) = &mut channel.inflow.partial
            {
                let total = partial.total;
                if !fits(total, self.assembly_bytes + self.served_bytes) {
                    return;
                }
                self.assembly_bytes += total;
                partial.admitted = true;
                channel.inflow.reserved += total;
                let more = channel.inflow.grant(channel.unread());
                if more > 0 {
                    wire::credit(id, more, &mut self.out);
                }
            }
            self.waiting.pop_front();
        }
    }

    pub(super) fn called(&mut self, id: u64, payload: Bytes) -> Result<(), LinkError> {
        let bytes = payload.len();
        let core = self.core.clone();
        core.counters.served.fetch_add(1, Ordering::Relaxed);
        // An answer that comes back from within the handler finds its entry.
        let serving = Serving {
            cancel: CancellationToken::new(),
            gone: Arc::new(AtomicBool::new(false)),
            abort: None,
            bytes,
            answered: false,
        };
        let answerer = Answerer {
            core: core.clone(),
            id,
            gone: serving.gone.clone(),
            done: false,
        };
        let cancel = serving.cancel.clone();
        self.served_bytes += bytes;
        self.serving.insert(id, serving);
        if core.side == Side::Parent && self.served_bytes > SERVED_BYTES_MAX + bytes {
            core.counters.refused.fetch_add(1, Ordering::Relaxed);
            let text = format!("more than {SERVED_BYTES_MAX} bytes of calls are under way in this process");
            answerer.refuse(&text);
            return Ok(());
        }
        if core.side == Side::Parent && self.rest_bytes > ANSWERS_BYTES_MAX {
            core.counters.refused.fetch_add(1, Ordering::Relaxed);
            let text = format!("more than {ANSWERS_BYTES_MAX} bytes of answers wait for this process");
            answerer.refuse(&text);
            return Ok(());
        }
        let message = self.take_apart(payload)?;
        let target = wire::call_target(&message)?;
        let call = Incoming {
            message,
            cancel,
            answerer,
        };
        let abort = match target {
            Some(export) => match self.channels.get(&export).map(|channel| (channel.ours, &channel.ends)) {
                Some((true, Ends::Service { stub, open })) => {
                    let (stub, open) = (stub.clone(), *open);
                    self.handler.service(stub, open, call)
                }
                _ => {
                    let text = format!("a call of service {export:#x}, which it was not given");
                    call.answerer.violation(LinkError::violation(text));
                    None
                }
            },
            None => self.handler.call(call),
        };
        if let Some(serving) = self.serving.get_mut(&id) {
            serving.abort = abort;
        }
        Ok(())
    }

    pub(super) fn answer_arrived(&mut self, id: u64, payload: Bytes) -> Result<(), LinkError> {
        self.streaming = None;
        let message = self.take_apart(payload)?;
        // A cancellation still means something until the stream is over.
        if let Some(stream) = self.streaming.take()
            && let Some(channel) = self.channels.get_mut(&stream)
            && let Some(token) = self.calls.get(&id).and_then(|pending| pending.token.clone())
        {
            channel.watch = Some(Watch {
                call: id,
                token: Box::pin(token.cancelled_owned()),
            });
            self.watch(stream);
        }
        self.got(id, Ok(message));
        Ok(())
    }

    pub(super) fn got(&mut self, id: u64, answer: Result<Received, CallError>) {
        if let Some(flow) = self.rests.remove(&id) {
            self.rest_bytes -= flow.rest.left;
        }
        self.forgotten.remove(&id);
        if let Some(pending) = self.calls.remove(&id) {
            self.core.opened.fetch_sub(1, Ordering::Relaxed);
            pending.waiter.answer(answer);
        }
    }

    pub(super) fn cancelled(&mut self, id: u64, dropped: bool) {
        let Some(serving) = self.serving.get_mut(&id) else {
            return;
        };
        if !dropped {
            serving.cancel.cancel();
            return;
        }
        serving.gone.store(true, Ordering::Relaxed);
        if let Some(abort) = serving.abort.take() {
            // Its answerer goes with it and says so.
            abort.abort();
        }
    }

    pub(super) fn data(&mut self, header: Header, payload: Bytes) -> Result<(), LinkError> {
        let id = header.channel;
        self.known(id, "data")?;
        let limit = self.message_max();
        let Some(channel) = self.channels.get_mut(&id) else {
            return Ok(());
        };
        if channel.in_over {
            // Its consumer has gone; the other side hears of it just now.
            return Ok(());
        }
        let later = channel.inflow.partial.is_some();
        let (first, more) = (header.flags & FIRST != 0, header.flags & MORE != 0);
        if header.flags & TRAILERS != 0 {
            let Ends::Sink(..) = channel.ends else {
                return Err(LinkError::violation("trailers on a channel that is no body"));
            };
            if std::mem::replace(&mut channel.trailed, true) {
                return Err(LinkError::violation("a body with two trailers"));
            }
            let trailers = wire::parse_trailers(&payload)?;
            channel.deliver(Delivery::Frame(Frame::Trailers(trailers)));
            return Ok(());
        }
        channel.inflow.receive(payload.len(), later)?;
        if matches!(channel.ends, Ends::Sink(..)) {
            if first || more {
                return Err(LinkError::violation("a body in pieces"));
            }
            let data = keep(&payload, 0, payload.len());
            self.windows = channel.inflow.widen(self.windows, WINDOWS_TOTAL_BYTES);
            channel.deliver(Delivery::Frame(Frame::Data(data)));
            self.consumer(id);
            return Ok(());
        }
        let message = match (&mut channel.inflow.partial, first) {
            (Some(_), true) => return Err(LinkError::violation("a message that begins within another")),
            (None, true) => {
                if !more {
                    return Err(LinkError::violation("the first piece of a message is its last"));
                }
                channel.inflow.partial = Some(Partial::begin(&payload, limit)?);
                self.waiting.push_back(id);
                self.admit();
                return Ok(());
            }
            (None, false) if more => return Err(LinkError::violation("a piece of a message that never began")),
            (None, false) => payload,
            (Some(partial), false) => match partial.add(&payload, more)? {
                None => return Ok(()),
                Some(whole) => {
                    if !partial.admitted {
                        self.waiting.retain(|waiting| *waiting != id);
                    }
                    channel.inflow.partial = None;
                    whole
                }
            },
        };
        self.windows = channel.inflow.widen(self.windows, WINDOWS_TOTAL_BYTES);
        let delivery = if matches!(channel.ends, Ends::Socket(_)) {
            Delivery::Socket(wire::parse_socket_message(&message)?)
        } else {
            let received = self.take_apart(message)?;
            Delivery::Rpc(convert::parse_rpc_message(received)?)
        };
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.deliver(delivery);
        }
        self.consumer(id);
        Ok(())
    }

    /// Bytes of a body that lie in the shared segment.
    pub(super) fn shared(&mut self, id: u64, payload: &Bytes) -> Result<(), LinkError> {
        self.known(id, "data")?;
        let Segment::Reader(segment) = &self.segment else {
            return Err(LinkError::violation("bytes in a segment that is not shared"));
        };
        let (slot, length) = wire::parse_shared(payload)?;
        // Its slot is free again also if nobody takes it.
        let Some(bytes) = segment.piece(slot, length) else {
            let text = format!("{length} bytes in slot {slot}, which cannot be");
            return Err(LinkError::violation(text));
        };
        let Some(channel) = self.channels.get_mut(&id).filter(|channel| !channel.in_over) else {
            return Ok(());
        };
        let Ends::Sink(..) = channel.ends else {
            return Err(LinkError::violation("shared bytes on a channel that is no body"));
        };
        channel.inflow.receive(bytes.len(), false)?;
        self.core
            .counters
            .bytes_shared
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.windows = channel.inflow.widen(self.windows, WINDOWS_TOTAL_BYTES);
        channel.deliver(Delivery::Foreign(bytes));
        self.consumer(id);
        Ok(())
    }

    pub(super) fn end(&mut self, id: u64, payload: &Bytes) -> Result<(), LinkError> {
        self.known(id, "an end")?;
        let end = wire::EndWire::parse(payload)?;
        if let wire::EndWire::StartTls { call, server_name } = end {
            return self.asked_for_tls(id, call, server_name);
        }
        let Some(channel) = self.channels.get_mut(&id) else {
            return Ok(());
        };
        if channel.in_over {
            return Ok(());
        }
        if channel.inflow.partial.is_some() {
            return Err(LinkError::violation("a channel that ends within a message"));
        }
        channel.ended(end.result());
        match &mut channel.ends {
            Ends::Socket(end) => {
                // Dropped, so that the consumer sees the end.
                let (dummy, _) = socket::pair();
                end.tx = dummy.tx;
            }
            Ends::Rpc(_) => channel.out_over = true,
            Ends::Body(..) | Ends::Sink(..) | Ends::Service { .. } => {}
        }
        self.close_if_over(id);
        Ok(())
    }

    pub(super) fn asked_for_tls(&mut self, id: u64, call: u64, server_name: Option<&str>) -> Result<(), LinkError> {
        self.opens(call)?;
        let serving = Serving {
            cancel: CancellationToken::new(),
            gone: Arc::default(),
            abort: None,
            bytes: 0,
            answered: false,
        };
        let answerer = Answerer {
            core: self.core.clone(),
            id: call,
            gone: serving.gone.clone(),
            done: false,
        };
        self.serving.insert(call, serving);
        let Some(channel) = self.channels.get_mut(&id) else {
            // The connection is gone meanwhile; so says the answerer that is dropped.
            return Ok(());
        };
        let Ends::Sink(_, ask) = &mut channel.ends else {
            answerer.violation(LinkError::violation(
                "it asks for TLS on a channel that is no connection",
            ));
            return Ok(());
        };
        match ask.take() {
            // Asked before the bytes end, so that the end is not taken for the connection's.
            Some(ask) => self.handler.start_tls(ask, server_name.map(str::to_owned), answerer),
            None => answerer.violation(LinkError::violation(
                "it asks for TLS on a connection that cannot have it",
            )),
        }
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.ended(Ok(()));
        }
        self.close_if_over(id);
        Ok(())
    }

    pub(super) fn credited(&mut self, id: u64, more: u64) -> Result<(), LinkError> {
        self.known(id, "credit")?;
        if let Some(flow) = self.rests.get_mut(&id) {
            flow.add_credit(more);
            if !flow.in_line {
                flow.in_line = true;
                self.line.push_back(id);
            }
            return Ok(());
        }
        let Some(channel) = self.channels.get_mut(&id) else {
            return Ok(());
        };
        if channel.out_over {
            return Ok(());
        }
        channel.add_credit(more)?;
        if !channel.in_line {
            channel.in_line = true;
            self.line.push_back(id);
        }
        Ok(())
    }

    /// The other side's consumer went away.
    pub(super) fn stopped(&mut self, id: u64) -> Result<(), LinkError> {
        let Some(channel) = self.channels.get_mut(&id) else {
            return Ok(());
        };
        channel.out_over = true;
        match &mut channel.ends {
            Ends::Body(..) => self.remove(id),
            Ends::Service { .. } if channel.ours => self.remove(id),
            Ends::Rpc(_) => self.remove(id),
            Ends::Socket(end) => {
                let (dummy, _) = socket::pair();
                end.rx = dummy.rx;
                self.close_if_over(id);
            }
            Ends::Sink(..) | Ends::Service { .. } => {
                return Err(LinkError::violation(format!(
                    "a stop on channel {id:#x}, where it is the one that sends"
                )));
            }
        }
        Ok(())
    }
}
