//! Channels that this side looks at: what their producers have to send, what their consumers have taken.

use super::*;

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    pub(super) fn adopt(&mut self, newcomers: Vec<Newcomer>, lasting: Option<(u64, u64)>) {
        for Newcomer { id, wide, ends } in newcomers {
            let mut channel = Channel::new(&self.core, id, wide, true, ends);
            if let Some((_, call)) = lasting.filter(|(lasting, _)| *lasting == id) {
                channel.serving = Some(call);
            }
            self.open(id, channel);
        }
    }

    pub(super) fn open(&mut self, id: u64, mut channel: Channel) {
        if !channel.out_over {
            channel.in_line = true;
            self.line.push_back(id);
        }
        if !matches!(channel.ends, Ends::Service { .. }) {
            self.core.counters.streams.fetch_add(1, Ordering::Relaxed);
        }
        self.channels.insert(id, channel);
        self.core.counters.channels.fetch_add(1, Ordering::Relaxed);
        self.consumer(id);
    }

    /// A channel was woken: it has something to send, or its consumer took something or went away, or a token is cancelled.
    pub(super) fn look(&mut self, id: u64) {
        if self.look_forgotten(id) {
            return;
        }
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        channel.rearm();
        if !channel.out_over && !channel.in_line {
            channel.in_line = true;
            self.line.push_back(id);
        }
        self.watch(id);
        self.consumer(id);
    }

    /// Tells the other side once the token of a streaming answer is cancelled.
    pub(super) fn watch(&mut self, id: u64) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        let waker = channel.waker();
        if let Some(watch) = &mut channel.watch
            && watch.poll(&waker)
        {
            let call = watch.call;
            channel.watch = None;
            crate::core::signal(&mut self.out, Kind::Cancel, call, false);
        }
    }

    /// Grants what a channel's consumer made room for, or tells the other side that it went away.
    pub(super) fn consumer(&mut self, id: u64) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        if channel.in_over {
            return;
        }
        loop {
            let unread = channel.unread();
            if channel.inflow.reserved > 0 && channel.inflow.partial.is_none() && unread as u64 <= channel.inflow.window
            {
                self.assembly_bytes -= std::mem::take(&mut channel.inflow.reserved);
            }
            let more = channel.inflow.grant(unread);
            if more > 0 {
                wire::credit(id, more, &mut self.out);
            }
            let mut due = channel.inflow.due_below();
            if channel.inflow.reserved > 0 && channel.inflow.partial.is_none() {
                due = due.max(channel.inflow.window as usize);
            }
            match channel.poll_consumer(due) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(())) => {
                    self.stop(id);
                    break;
                }
            }
        }
        self.admit();
    }

    /// The local consumer of a channel went away.
    pub(super) fn stop(&mut self, id: u64) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        channel.in_over = true;
        if let Ends::Rpc(_) = channel.ends {
            // What it has sent goes out before its end does.
            if !channel.in_line {
                channel.in_line = true;
                self.line.push_back(id);
            }
            return;
        }
        crate::core::signal(&mut self.out, Kind::Stop, id, false);
        self.close_if_over(id);
    }

    pub(super) fn close_if_over(&mut self, id: u64) {
        let over = self
            .channels
            .get(&id)
            .is_some_and(|channel| channel.out_over && channel.in_over);
        if over {
            self.remove(id);
        }
    }

    pub(super) fn remove(&mut self, id: u64) {
        let Some(channel) = self.channels.remove(&id) else {
            return;
        };
        self.windows -= channel.inflow.widened(channel.wide);
        self.assembly_bytes -= channel.inflow.reserved;
        if !matches!(channel.ends, Ends::Service { .. }) {
            self.core.counters.streams.fetch_sub(1, Ordering::Relaxed);
        }
        self.core.counters.channels.fetch_sub(1, Ordering::Relaxed);
        if channel.ours {
            self.core.opened.fetch_sub(1, Ordering::Relaxed);
            if channel.wide {
                self.core.wide.fetch_sub(1, Ordering::Relaxed);
            }
        } else {
            self.theirs = self.theirs.saturating_sub(1);
            self.their_wide -= usize::from(channel.wide);
        }
        if let Some(call) = channel.serving {
            self.serving.remove(&call);
        }
        drop(channel);
        self.admit();
    }

    /// Lets channels take turns while little waits to be written.
    pub(super) fn fill(&mut self) {
        // What lies in the segment waits for nobody's write, but it was copied in this turn.
        let shared = |segment: &Segment| match segment {
            Segment::Writer(writer) => writer.bytes(),
            Segment::None | Segment::Reader(_) => 0,
        };
        let before = shared(&self.segment);
        while self.out.len() < BATCH_BYTES && shared(&self.segment) - before < SHARED_BATCH_BYTES {
            let Some(id) = self.line.pop_front() else { return };
            if let Some(flow) = self.rests.get_mut(&id) {
                let before = flow.rest.left;
                let pumped = flow.pump(id, &mut self.out);
                self.rest_bytes -= before - flow.rest.left;
                match pumped {
                    Pumped::More => self.line.push_back(id),
                    Pumped::Done => {
                        if let Some(flow) = self.rests.remove(&id) {
                            let lasting = self.serving.get(&id).is_some_and(|serving| serving.answered);
                            let channel =
                                flow.rest.then.newcomers.iter().find(|newcomer| {
                                    lasting && matches!(newcomer.ends, Ends::Body(..) | Ends::Socket(_))
                                });
                            let lasting = channel.map(|channel| (channel.id, id));
                            self.adopt(flow.rest.then.newcomers, lasting);
                        }
                    }
                    _ => flow.in_line = false,
                }
                continue;
            }
            let Some(channel) = self.channels.get_mut(&id) else {
                continue;
            };
            match channel.pump(&self.core, id, &mut self.out, self.segment.writer()) {
                Pumped::More => self.line.push_back(id),
                Pumped::Wait => channel.in_line = false,
                Pumped::Done => {
                    channel.in_line = false;
                    if let Ends::Rpc(_) = channel.ends {
                        channel.in_over = true;
                    }
                    self.close_if_over(id);
                }
                Pumped::StartTls(asked) => {
                    channel.in_line = false;
                    self.ask_tls(id, asked);
                    self.close_if_over(id);
                }
            }
        }
    }

    /// The end of a connection's outgoing bytes, with the wish for TLS.
    pub(super) fn ask_tls(&mut self, id: u64, asked: StartTls) {
        let StartTls { server_name, reply } = asked;
        match self.core.reserve_call() {
            Ok(call) => {
                wire::EndWire::StartTls {
                    call,
                    server_name: server_name.as_deref(),
                }
                .send(id, &mut self.out);
                let core = self.core.clone();
                let then = move |answer| convert::tls_answered(&core, answer, reply);
                let pending = Pending {
                    waiter: Waiter::Then(Box::new(then)),
                    token: None,
                    _in_flight: None,
                };
                self.calls.insert(call, pending);
            }
            Err(error) => {
                wire::EndWire::Failed(&error.to_string()).send(id, &mut self.out);
                let core = self.core.clone();
                convert::tls_answered(&core, Err(error), reply);
            }
        }
    }
}
