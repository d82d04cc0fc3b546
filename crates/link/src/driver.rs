//! The driver: the one task that reads and writes a link's stream and owns its channels.
//!
//! One turn takes what others queued, looks at the channels that were woken, reads what is there (each frame is handled at
//! once), lets the channels that have something to send take turns, and writes all of it with as few system calls as the
//! stream allows. A channel gives a frame of at most a quantum at a time, and only while little waits to be written, so a
//! large body costs a small call at most one batch of delay and what is not written stays in its producer's queue.
//!
//! However it ends, everything that is under way ends with it, once: calls get the reason, bodies are truncated, sockets and
//! sessions end, tokens are cancelled, tasks are stopped.

use crate::channel::{Channel, Delivery, Pumped, RestFlow, Watch};
use crate::core::{Command, Core, Ends, Newcomer, Pending, Shared, Side, Waiter};
use crate::error::CallError;
use crate::flow::Partial;
use crate::frame::{CHILD_BIT, DROPPED, FIRST, FRAME_BYTES_MAX, HEADER_BYTES, Header, Kind, MORE, NONE, TRAILERS};
use crate::limits::{
    ANSWERS_BYTES_MAX, ASSEMBLY_BYTES_MAX, BATCH_BYTES, CHANNELS_MAX, HELLO_MAX, MESSAGE_BYTES_MAX,
    MESSAGE_FROM_PARENT_BYTES_MAX, OUT_PAUSE_BYTES, READ_BYTES, READ_BYTES_MIN, READS_PER_TURN, SERVED_BYTES_MAX,
    STALL_MAX, WIDE_MAX, WINDOWS_TOTAL_BYTES,
};
use crate::message::{Attachment, AttachmentWire, Message, Received, keep, take_apart};
use crate::outbox::{Outbox, SLICES_MAX};
use crate::service::PeerService;
use crate::{LinkError, convert, wire};
use atoll_worker::{Frame, ServiceStub, StartTls, body, rpc, socket};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::future::AbortHandle;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

/// What a side does with what the other asks.
pub(crate) trait Handler: Send + Sync + 'static {
    /// A call. Must return quickly; what takes time goes on elsewhere, under the handle that is returned.
    fn call(&self, call: Incoming) -> Option<AbortHandle>;

    /// A call of a service that this side gave to the other.
    fn service(&self, stub: ServiceStub, open: bool, call: Incoming) -> Option<AbortHandle>;

    /// A message without an answer.
    fn notice(&self, message: Received) -> Result<(), LinkError>;

    /// A connection's other side asks for TLS.
    fn start_tls(&self, ask: oneshot::Sender<StartTls>, server_name: Option<String>, answerer: Answerer);
}

/// A call of the other side.
pub(crate) struct Incoming {
    pub message: Received,
    /// Cancelled with the caller's token and with the link.
    pub cancel: CancellationToken,
    pub answerer: Answerer,
}

/// Answers a call of the other side once; dropped, it says that there is no answer.
pub(crate) struct Answerer {
    core: Arc<Core>,
    id: u64,
    gone: Arc<AtomicBool>,
    done: bool,
}

impl std::fmt::Debug for Answerer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answerer({:#x})", self.id)
    }
}

impl Answerer {
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    pub(crate) fn answer(mut self, message: Message) {
        self.done = true;
        if self.is_gone() {
            self.core.answer_none(self.id, "nobody waits");
        } else if let Err(CallError::Refused(text)) = self.core.answer(self.id, message) {
            self.core.answer_none(self.id, &text);
        }
    }

    pub(crate) fn refuse(mut self, why: &str) {
        self.done = true;
        self.core.answer_none(self.id, why);
    }

    /// What has arrived is no honest partner's: the link ends.
    pub(crate) fn violation(mut self, error: LinkError) {
        self.done = true;
        self.core.close(error);
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        if !self.done {
            self.core.answer_none(self.id, "the other side gave the call up");
        }
    }
}

struct Serving {
    cancel: CancellationToken,
    gone: Arc<AtomicBool>,
    abort: Option<AbortHandle>,
    /// Bytes of its arguments.
    bytes: usize,
    answered: bool,
}

/// A call or an answer of which only some pieces have arrived.
struct Assembly {
    kind: Kind,
    partial: Partial,
}

/// See the module's documentation. A future that ends with the link.
pub(crate) struct Driver<S> {
    core: Arc<Core>,
    handler: Arc<dyn Handler>,
    build: String,
    stream: S,
    read: BytesMut,
    out: Outbox,
    greeted: bool,
    closing: Option<LinkError>,
    calls: HashMap<u64, Pending>,
    serving: HashMap<u64, Serving>,
    served_bytes: usize,
    channels: HashMap<u64, Channel>,
    rests: HashMap<u64, RestFlow>,
    rest_bytes: usize,
    assemblies: HashMap<u64, Assembly>,
    assembly_bytes: usize,
    /// Messages in pieces that wait for room, by their channel.
    waiting: VecDeque<u64>,
    /// Calls whose caller went away with a token that may still be cancelled.
    forgotten: HashMap<u64, Watch>,
    /// The first body or socket of the message that was taken apart last.
    streaming: Option<u64>,
    /// Channels with something to send.
    line: VecDeque<u64>,
    windows: u64,
    /// What the other side has open, and the largest id of it so far.
    theirs: usize,
    their_wide: usize,
    their_last: u64,
    /// Ends the wait for the hello, and for a reader that does not read.
    deadline: Pin<Box<Sleep>>,
    stalled: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Must be called inside a tokio runtime.
    pub(crate) fn new(core: Arc<Core>, handler: Arc<dyn Handler>, build: &str, stream: S) -> Self {
        let mut out = Outbox::default();
        wire::hello(build, &mut out);
        let base = if core.side == Side::Parent { CHILD_BIT } else { 0 };
        Self {
            core,
            handler,
            build: build.to_owned(),
            stream,
            read: BytesMut::new(),
            out,
            greeted: false,
            closing: None,
            calls: HashMap::new(),
            serving: HashMap::new(),
            served_bytes: 0,
            channels: HashMap::new(),
            rests: HashMap::new(),
            rest_bytes: 0,
            assemblies: HashMap::new(),
            assembly_bytes: 0,
            waiting: VecDeque::new(),
            forgotten: HashMap::new(),
            streaming: None,
            line: VecDeque::new(),
            windows: 0,
            theirs: 0,
            their_wide: 0,
            their_last: base,
            deadline: Box::pin(tokio::time::sleep(HELLO_MAX)),
            stalled: false,
        }
    }

    /// Runs the link to its end.
    pub(crate) async fn run(mut self) -> LinkError {
        let error = tokio::task::unconstrained(std::future::poll_fn(|cx| self.poll(cx))).await;
        if let LinkError::Violation(text) = &error {
            tracing::error!(violation = text, "the other process broke the link's protocol");
        }
        let queued = self.core.finish(error.clone());
        for serving in self.serving.values() {
            serving.cancel.cancel();
            serving.gone.store(true, Ordering::Relaxed);
            if let Some(abort) = &serving.abort {
                abort.abort();
            }
        }
        for (_, pending) in self.calls.drain() {
            pending.waiter.answer(Err(CallError::Lost(error.clone())));
        }
        for command in queued.1 {
            if let Command::Call { pending, .. } = command {
                pending.waiter.answer(Err(CallError::Lost(error.clone())));
            }
        }
        error
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<LinkError> {
        self.core.waker.register(cx.waker());
        for turn in 0.. {
            self.core.attend();
            self.collect();
            let mut busy = match self.receive(cx) {
                Ok(busy) => busy,
                Err(error) => {
                    self.say_goodbye(&error, cx);
                    return Poll::Ready(error);
                }
            };
            // What the frames brought about leaves in the same write.
            busy |= self.collect();
            self.fill();
            match self.flush(cx) {
                Ok(progress) => busy |= progress && (!self.line.is_empty() || self.paused()),
                Err(error) => return Poll::Ready(error),
            }
            if let Some(error) = &self.closing
                && (self.out.is_empty() || !matches!(error, LinkError::Closed))
            {
                let error = error.clone();
                self.say_goodbye(&error, cx);
                return Poll::Ready(error);
            }
            if !busy {
                break;
            }
            if turn >= READS_PER_TURN {
                // Others on this thread get a turn.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        match self.overdue(cx) {
            Some(error) => Poll::Ready(error),
            None => Poll::Pending,
        }
    }

    /// Why the time is up, if it is.
    fn overdue(&mut self, cx: &mut Context<'_>) -> Option<LinkError> {
        if self.greeted && self.out.is_empty() {
            self.stalled = false;
            return None;
        }
        if self.greeted && !self.stalled {
            self.stalled = true;
            self.deadline.as_mut().reset(Instant::now() + STALL_MAX);
        }
        if self.deadline.as_mut().poll(cx).is_pending() {
            return None;
        }
        Some(if self.greeted {
            LinkError::Stalled(STALL_MAX.as_secs())
        } else {
            LinkError::Refused(format!("no hello within {} s", HELLO_MAX.as_secs()))
        })
    }

    /// Best effort: the reason for the other side's log.
    fn say_goodbye(&mut self, error: &LinkError, cx: &mut Context<'_>) {
        if matches!(error, LinkError::Broken(_) | LinkError::Goodbye(_)) {
            return;
        }
        if !matches!(error, LinkError::Closed) {
            let text = error.to_string();
            let text = crate::core::cut(&text, 1024);
            self.out.header(Header {
                length: text.len(),
                kind: Kind::Goodbye,
                flags: 0,
                channel: 0,
            });
            self.out.copy(text.as_bytes());
        }
        let _ = self.flush(cx);
        let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
    }

    /// Takes what others queued. True if there was anything.
    fn collect(&mut self) -> bool {
        let (commands, woken) = {
            let mut shared = self.core.lock();
            let Shared {
                out,
                commands,
                woken,
                notices,
                ..
            } = &mut *shared;
            self.out.append(out);
            *notices = 0;
            (std::mem::take(commands), std::mem::take(woken))
        };
        let any = !commands.is_empty() || !woken.is_empty();
        for command in commands {
            self.execute(command);
        }
        for id in woken {
            self.look(id);
        }
        any
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Call {
                id,
                pending,
                newcomers,
                rest,
            } => {
                self.calls.insert(id, pending);
                self.adopt(newcomers, None);
                self.queue_rest(id, rest);
            }
            Command::Answered {
                id,
                mut newcomers,
                rest,
            } => {
                let mut lasting = None;
                let then = match &rest {
                    Some(rest) => &rest.then.newcomers,
                    None => &newcomers,
                };
                if let Some(channel) = then
                    .iter()
                    .find(|newcomer| matches!(newcomer.ends, Ends::Body(..) | Ends::Socket(_)))
                {
                    lasting = Some(channel.id);
                }
                self.answered(id, lasting);
                self.adopt(std::mem::take(&mut newcomers), lasting.map(|channel| (channel, id)));
                self.queue_rest(id, rest);
            }
            Command::Adopt(newcomers) => self.adopt(newcomers, None),
            Command::Cancel(id) => {
                if self.calls.contains_key(&id) {
                    crate::core::signal(&mut self.out, Kind::Cancel, id, false);
                }
            }
            Command::Forget(id) => self.forget(id),
            Command::Release(id) => {
                self.theirs = self.theirs.saturating_sub(1);
                crate::core::signal(&mut self.out, Kind::Stop, id, false);
            }
            Command::Close(error) => {
                self.closing.get_or_insert(error);
            }
        }
    }

    /// A call of the other side has its answer. It is remembered while `lasting`, a stream of the answer, is open.
    fn answered(&mut self, id: u64, lasting: Option<u64>) {
        let Some(serving) = self.serving.get_mut(&id) else {
            return;
        };
        self.served_bytes -= std::mem::take(&mut serving.bytes);
        serving.abort = None;
        serving.answered = true;
        self.theirs = self.theirs.saturating_sub(1);
        if lasting.is_none() {
            self.serving.remove(&id);
        }
    }

    fn forget(&mut self, id: u64) {
        let Some(pending) = self.calls.get_mut(&id) else { return };
        pending.waiter = Waiter::Nobody;
        if let Some(token) = &pending.token {
            if token.is_cancelled() {
                crate::core::signal(&mut self.out, Kind::Cancel, id, false);
            } else {
                let token = Box::pin(token.clone().cancelled_owned());
                self.forgotten.insert(id, Watch { call: id, token });
                self.look_forgotten(id);
            }
        }
        crate::core::signal(&mut self.out, Kind::Cancel, id, true);
    }

    fn look_forgotten(&mut self, id: u64) -> bool {
        let Some(watch) = self.forgotten.get_mut(&id) else {
            return false;
        };
        let waker = crate::core::ChannelWaker::new(self.core.clone(), id).into();
        if watch.poll(&waker) {
            self.forgotten.remove(&id);
            crate::core::signal(&mut self.out, Kind::Cancel, id, false);
        }
        true
    }

    fn queue_rest(&mut self, id: u64, rest: Option<crate::core::Rest>) {
        let Some(rest) = rest else { return };
        self.rest_bytes += rest.left;
        self.rests.insert(id, RestFlow::new(rest));
    }

    fn adopt(&mut self, newcomers: Vec<Newcomer>, lasting: Option<(u64, u64)>) {
        for Newcomer { id, wide, ends } in newcomers {
            let mut channel = Channel::new(&self.core, id, wide, true, ends);
            if let Some((_, call)) = lasting.filter(|(lasting, _)| *lasting == id) {
                channel.serving = Some(call);
            }
            self.open(id, channel);
        }
    }

    fn open(&mut self, id: u64, mut channel: Channel) {
        if !channel.out_over {
            channel.in_line = true;
            self.line.push_back(id);
        }
        self.channels.insert(id, channel);
        self.core.counters.channels.fetch_add(1, Ordering::Relaxed);
        self.consumer(id);
    }

    /// A channel was woken: it has something to send, or its consumer took something or went away, or a token is cancelled.
    fn look(&mut self, id: u64) {
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
    fn watch(&mut self, id: u64) {
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
    fn consumer(&mut self, id: u64) {
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
    fn stop(&mut self, id: u64) {
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

    fn close_if_over(&mut self, id: u64) {
        let over = self
            .channels
            .get(&id)
            .is_some_and(|channel| channel.out_over && channel.in_over);
        if over {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(channel) = self.channels.remove(&id) else {
            return;
        };
        self.windows -= channel.inflow.widened(channel.wide);
        self.assembly_bytes -= channel.inflow.reserved;
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
    fn fill(&mut self) {
        while self.out.len() < BATCH_BYTES {
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
            match channel.pump(&self.core, id, &mut self.out) {
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
    fn ask_tls(&mut self, id: u64, asked: StartTls) {
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

    /// Writes. True if anything was written.
    fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, LinkError> {
        let mut progress = false;
        while !self.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let used = self.out.slices(&mut slices);
            match Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..used]) {
                Poll::Pending => return Ok(progress),
                Poll::Ready(Ok(0)) => return Err(LinkError::Broken("the stream takes no bytes".to_owned())),
                Poll::Ready(Ok(written)) => {
                    self.core.counters.writes.fetch_add(1, Ordering::Relaxed);
                    self.core
                        .counters
                        .bytes_out
                        .fetch_add(written as u64, Ordering::Relaxed);
                    self.out.advance(written);
                    self.stalled = false;
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Err(LinkError::Broken(error.to_string())),
            }
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(LinkError::Broken(error.to_string())),
            _ => Ok(progress),
        }
    }

    /// A child that does not read is not read from: its questions would pile up as answers.
    fn paused(&self) -> bool {
        self.core.side == Side::Parent && self.out.len() > OUT_PAUSE_BYTES
    }

    /// Reads and handles frames. True if there may be more at once.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<bool, LinkError> {
        for _ in 0..READS_PER_TURN {
            if self.paused() {
                return Ok(false);
            }
            if self.read.capacity() - self.read.len() < READ_BYTES_MIN {
                self.read.reserve(READ_BYTES);
            }
            let room = self.read.spare_capacity_mut();
            let room_bytes = room.len();
            let mut buffer = ReadBuf::uninit(room);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(error)) => return Err(LinkError::Broken(error.to_string())),
                Poll::Ready(Ok(())) => {}
            }
            let count = buffer.filled().len();
            if count == 0 {
                return Err(if self.read.is_empty() {
                    LinkError::Closed
                } else {
                    LinkError::Broken("it ended within a frame".to_owned())
                });
            }
            // SAFETY: the stream has filled `count` bytes of the spare capacity: `ReadBuf` counts initialized bytes only.
            unsafe { self.read.set_len(self.read.len() + count) };
            self.core.counters.reads.fetch_add(1, Ordering::Relaxed);
            self.core.counters.bytes_in.fetch_add(count as u64, Ordering::Relaxed);
            while let Some(header) = Header::parse(&self.read)? {
                if self.read.len() < HEADER_BYTES + header.length {
                    break;
                }
                self.read.advance(HEADER_BYTES);
                let payload = self.read.split_to(header.length).freeze();
                self.core.counters.frames_in.fetch_add(1, Ordering::Relaxed);
                self.frame(header, payload)?;
            }
            if count < room_bytes {
                // The stream is empty; the next read says so at the cost of a system call, unless something was woken.
                continue;
            }
        }
        Ok(true)
    }

    fn frame(&mut self, header: Header, payload: Bytes) -> Result<(), LinkError> {
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
    fn known(&self, id: u64, what: &str) -> Result<(), LinkError> {
        let ours = self.core.check_id(id)?;
        if !ours && id > self.their_last {
            return Err(LinkError::violation(format!(
                "{what} on channel {id:#x}, which was never opened"
            )));
        }
        Ok(())
    }

    /// Notes a channel that the other side opens.
    fn opens(&mut self, id: u64) -> Result<(), LinkError> {
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
    fn assemble(&mut self, header: Header, payload: Bytes) -> Result<Option<Bytes>, LinkError> {
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

    fn assemblies_forget(&mut self, id: u64) {
        if let Some(assembly) = self.assemblies.remove(&id)
            && assembly.partial.admitted
        {
            self.assembly_bytes -= assembly.partial.total;
            self.admit();
        }
    }

    fn message_max(&self) -> usize {
        match self.core.side {
            Side::Parent => MESSAGE_BYTES_MAX,
            Side::Child => MESSAGE_FROM_PARENT_BYTES_MAX,
        }
    }

    /// Grants messages in pieces their length, in the order in which they began, while there is room.
    fn admit(&mut self) {
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

    fn called(&mut self, id: u64, payload: Bytes) -> Result<(), LinkError> {
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

    fn take_apart(&mut self, payload: Bytes) -> Result<Received, LinkError> {
        take_apart(payload, |attachments| {
            attachments.into_iter().map(|wire| self.attach(wire)).collect()
        })
    }

    /// Makes an attachment of the other side real.
    fn attach(&mut self, attachment: AttachmentWire<'_>) -> Result<Attachment, LinkError> {
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

    fn attach_body(&mut self, id: u64, wide: bool, length: Option<u64>) -> Result<body::BodyReceiver, LinkError> {
        let (sender, receiver) = body::channel(body::CREDIT_DEFAULT, length);
        self.attach_channel(id, wide, Ends::Sink(sender, None))?;
        Ok(receiver)
    }

    fn attach_sink(
        &mut self,
        id: u64,
        wide: bool,
        asked: Option<oneshot::Receiver<StartTls>>,
    ) -> Result<body::BodySender, LinkError> {
        let (sender, receiver) = body::channel(body::CREDIT_DEFAULT, None);
        self.attach_channel(id, wide, Ends::Body(receiver, asked))?;
        Ok(sender)
    }

    fn attach_channel(&mut self, id: u64, wide: bool, ends: Ends) -> Result<(), LinkError> {
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

    fn answer_arrived(&mut self, id: u64, payload: Bytes) -> Result<(), LinkError> {
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

    fn got(&mut self, id: u64, answer: Result<Received, CallError>) {
        if let Some(flow) = self.rests.remove(&id) {
            self.rest_bytes -= flow.rest.left;
        }
        self.forgotten.remove(&id);
        if let Some(pending) = self.calls.remove(&id) {
            self.core.opened.fetch_sub(1, Ordering::Relaxed);
            pending.waiter.answer(answer);
        }
    }

    fn cancelled(&mut self, id: u64, dropped: bool) {
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

    fn data(&mut self, header: Header, payload: Bytes) -> Result<(), LinkError> {
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

    fn end(&mut self, id: u64, payload: &Bytes) -> Result<(), LinkError> {
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

    fn asked_for_tls(&mut self, id: u64, call: u64, server_name: Option<&str>) -> Result<(), LinkError> {
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

    fn credited(&mut self, id: u64, more: u64) -> Result<(), LinkError> {
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
    fn stopped(&mut self, id: u64) -> Result<(), LinkError> {
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

const _: () = assert!(FRAME_BYTES_MAX <= BATCH_BYTES);
