//! The driver: the one task that reads and writes a link's stream and owns its channels.
//!
//! One turn takes what others queued, looks at the channels that were woken, reads what is there (each frame is handled at
//! once), lets the channels that have something to send take turns, and writes all of it with as few system calls as the
//! stream allows. A channel gives a frame of at most a quantum at a time, and only while little waits to be written and little was copied
//! into the shared segment, so a large body costs a small call at most one batch of delay and what is not sent stays in its producer's queue.
//!
//! However it ends, everything that is under way ends with it, once: calls get the reason, bodies are truncated, sockets and
//! sessions end, tokens are cancelled, tasks are stopped.

mod attach;
mod inbound;
mod io;
mod streams;

use crate::channel::{Channel, Delivery, Pumped, RestFlow, Watch};
use crate::core::{Command, Core, Ends, Newcomer, Pending, Shared, Side, Waiter};
use crate::error::CallError;
use crate::flow::Partial;
use crate::frame::{CHILD_BIT, DROPPED, FIRST, FRAME_BYTES_MAX, HEADER_BYTES, Header, Kind, MORE, NONE, TRAILERS};
use crate::limits::{
    ANSWERS_BYTES_MAX, ASSEMBLY_BYTES_MAX, BATCH_BYTES, CHANNELS_MAX, FRAMES_PER_TURN, HELLO_MAX, MESSAGE_BYTES_MAX,
    MESSAGE_FROM_PARENT_BYTES_MAX, OUT_PAUSE_BYTES, READ_BYTES, READ_BYTES_MIN, READ_FRAME_BYTES, ROUNDS_PER_TURN,
    SERVED_BYTES_MAX, SHARED_BATCH_BYTES, STALL_MAX, WIDE_MAX, WINDOWS_TOTAL_BYTES,
};
use crate::message::{Attachment, AttachmentWire, Message, Received, keep, take_apart};
use crate::outbox::{Outbox, SLICES_MAX};
use crate::segment::{SegmentReader, SegmentWriter};
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

/// This side's part in the shared segment, if there is one.
pub(crate) enum Segment {
    None,
    Reader(SegmentReader),
    Writer(SegmentWriter),
}

impl Segment {
    fn writer(&mut self) -> Option<&mut SegmentWriter> {
        match self {
            Self::Writer(writer) => Some(writer),
            Self::None | Self::Reader(_) => None,
        }
    }
}

/// See the module's documentation. A future that ends with the link.
pub(crate) struct Driver<S> {
    core: Arc<Core>,
    handler: Arc<dyn Handler>,
    build: String,
    stream: S,
    segment: Segment,
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
    /// It has let the tasks beside it go first.
    gathered: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Must be called inside a tokio runtime.
    pub(crate) fn new(core: Arc<Core>, handler: Arc<dyn Handler>, build: &str, stream: S, segment: Segment) -> Self {
        let mut out = Outbox::default();
        wire::hello(build, &mut out);
        let base = if core.side == Side::Parent { CHILD_BIT } else { 0 };
        Self {
            core,
            handler,
            build: build.to_owned(),
            stream,
            segment,
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
            gathered: false,
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
        if self.lets_others_go_first() {
            // Back at the end of the runtime's queue.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
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
            let paused = self.paused();
            match self.flush(cx) {
                // What was left unread meanwhile has nobody who wakes this task for it.
                Ok(progress) => busy |= (progress && !self.line.is_empty()) || (paused && !self.paused()),
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
            if turn >= ROUNDS_PER_TURN {
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

    /// In the parent, the driver shares its thread with the connections whose events it sends: woken by the first of those that
    /// are ready, it would write for each alone, and the child would wake up for each. Once in a row the others go first.
    fn lets_others_go_first(&mut self) -> bool {
        self.gathered = self.core.side == Side::Parent && !self.gathered && self.core.is_scheduled();
        self.gathered
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
}

const _: () = assert!(FRAME_BYTES_MAX <= BATCH_BYTES);
