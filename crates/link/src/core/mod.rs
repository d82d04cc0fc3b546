//! What all users of a link share: the queue to the driver, the numbering of channels, the waker.
//!
//! Anybody on any thread may send: the bytes are put together outside the lock and queued under it, together with what the
//! driver must know about them (who waits for the answer, which streams travel along). The driver alone reads, writes and
//! owns the channels. After the end everything that is queued is dropped, which answers whoever waits.

mod encode;
mod waiting;

pub(crate) use waiting::{ChannelWaker, Waiting};

use crate::LinkError;
use crate::error::CallError;
use crate::frame::{
    CHILD_BIT, DROPPED, FIRST, FIRST_BYTES_MAX, FRAME_BYTES_MAX, HEADER_BYTES, Header, Kind, MORE, NONE,
    NOTICE_FRAME_BYTES_MAX,
};
use crate::limits::{CHANNELS_MAX, NOTICES_BYTES_MAX, OUT_PAUSE_BYTES, WIDE_MAX};
use crate::message::{Attachment, AttachmentWire, Message, Prelude, PropsWire, Received};
use crate::outbox::Outbox;
use atoll_worker::{BodyReceiver, BodySender};
use atoll_worker::{RpcLink, ServiceStub, StartTls, WebSocketEnd, wakes};
use bytes::Bytes;
use encode::Encoded;
use futures_util::task::AtomicWaker;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Which end of the link this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Parent,
    Child,
}

/// Counters of a link, since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Frames received.
    pub frames_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes of bodies that came in the shared segment, beside those.
    pub bytes_shared: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Calls of `read` that gave something.
    pub reads: u64,
    /// Calls of `write`.
    pub writes: u64,
    /// Calls from this side to the other.
    pub calls: u64,
    /// Calls from the other side.
    pub served: u64,
    /// Of these, refused.
    pub refused: u64,
    /// Records and data points that found no room.
    pub dropped: u64,
    /// Channels that are open, calls included.
    pub channels: u64,
    /// Of these, bodies, sockets, connections and RPC sessions.
    pub streams: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub frames_in: AtomicU64,
    pub bytes_in: AtomicU64,
    pub bytes_shared: AtomicU64,
    pub bytes_out: AtomicU64,
    pub reads: AtomicU64,
    pub writes: AtomicU64,
    pub calls: AtomicU64,
    pub served: AtomicU64,
    pub refused: AtomicU64,
    pub dropped: AtomicU64,
    pub channels: AtomicU64,
    pub streams: AtomicU64,
}

/// A channel that this side opens, for the driver.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub id: u64,
    pub wide: bool,
    pub ends: Ends,
}

/// What belongs to a message's attachments.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    pub newcomers: Vec<Newcomer>,
    /// Services of the other side that travel back: they are not released before the message is out.
    keep: Vec<ServiceStub>,
}

/// The local ends of a channel.
#[derive(Debug)]
pub(crate) enum Ends {
    /// Bytes to the other side. With a receiver: asks for TLS when they are over.
    Body(BodyReceiver, Option<oneshot::Receiver<StartTls>>),
    /// Bytes from the other side. With a sender: the other side may ask for TLS when they are over.
    Sink(BodySender, Option<oneshot::Sender<StartTls>>),
    Socket(WebSocketEnd),
    Rpc(RpcLink),
    Service {
        stub: ServiceStub,
        open: bool,
    },
}

/// A message that goes out in several frames.
#[derive(Debug)]
pub(crate) struct Rest {
    pub kind: Kind,
    pub pieces: VecDeque<Bytes>,
    pub left: usize,
    /// What begins, or is let go, when it is out.
    pub then: Attached,
}

/// Who waits for an answer.
pub(crate) enum Waiter {
    Channel(oneshot::Sender<Result<Received, CallError>>),
    Then(Box<dyn FnOnce(Result<Received, CallError>) + Send>),
    /// Nobody any more.
    Nobody,
}

impl Waiter {
    pub(crate) fn answer(self, answer: Result<Received, CallError>) {
        match self {
            Self::Channel(tx) => drop(tx.send(answer)),
            Self::Then(then) => then(answer),
            Self::Nobody => {}
        }
    }
}

/// A call that is under way.
pub(crate) struct Pending {
    pub waiter: Waiter,
    /// Cancels what is called.
    pub token: Option<CancellationToken>,
    /// Goes down by one with the answer.
    pub _in_flight: Option<InFlight>,
}

impl Pending {
    /// A call whose answer goes to `then`, from the driver: it must be quick.
    pub(crate) fn then(then: impl FnOnce(Result<Received, CallError>) + Send + 'static) -> Self {
        Self {
            waiter: Waiter::Then(Box::new(then)),
            token: None,
            _in_flight: None,
        }
    }
}

/// Counts one event for as long as it lives.
pub(crate) struct InFlight(pub Arc<std::sync::atomic::AtomicU32>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the driver must know besides the bytes.
pub(crate) enum Command {
    Call {
        id: u64,
        pending: Pending,
        newcomers: Vec<Newcomer>,
        rest: Option<Rest>,
    },
    Answered {
        id: u64,
        newcomers: Vec<Newcomer>,
        rest: Option<Rest>,
    },
    /// The caller's token is cancelled.
    Cancel(u64),
    /// Nobody waits for the call any more.
    Forget(u64),
    /// A service of the other side is not used any more.
    Release(u64),
    /// Channels that begin.
    Adopt(Vec<Newcomer>),
    Close(LinkError),
}

#[derive(Default)]
pub(crate) struct Shared {
    pub out: Outbox,
    pub commands: Vec<Command>,
    pub woken: Vec<u64>,
    /// Bytes of notices in `out` since the driver last took it.
    pub notices: usize,
    pub ended: bool,
}

pub(crate) struct Core {
    /// For wakes that wait.
    this: Weak<Self>,
    pub side: Side,
    next: AtomicU64,
    shared: Mutex<Shared>,
    scheduled: AtomicBool,
    pub waker: AtomicWaker,
    pub counters: Counters,
    /// Streams that this side opened wide.
    pub wide: AtomicUsize,
    /// What this side has open.
    pub opened: AtomicUsize,
    /// Bytes that the driver has and that the other side has not taken.
    pub unsent: AtomicUsize,
    /// Services of the other side that are in use here, by the address of their proxies.
    imported: Mutex<HashMap<usize, u64>>,
    end: watch::Sender<Option<LinkError>>,
}

/// Woken, it wakes its driver.
impl Wake for Core {
    fn wake(self: Arc<Self>) {
        self.wake_now();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_now();
    }
}

impl Core {
    pub(crate) fn new(side: Side) -> Arc<Self> {
        let base = if side == Side::Child { CHILD_BIT } else { 0 };
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            side,
            next: AtomicU64::new(base + 1),
            shared: Mutex::default(),
            scheduled: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            counters: Counters::default(),
            wide: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            imported: Mutex::default(),
            end: watch::Sender::new(None),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        // Under the lock are queue operations only; what is dropped or woken runs after it.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Was `id` given out by this side? Never given out at all is an error.
    pub(crate) fn check_id(&self, id: u64) -> Result<bool, LinkError> {
        let ours = (id & CHILD_BIT != 0) == (self.side == Side::Child);
        if ours && id >= self.next.load(Ordering::Relaxed) {
            return Err(LinkError::violation(format!(
                "a frame for channel {id:#x}, which this side never opened"
            )));
        }
        Ok(ours)
    }

    pub(crate) fn end(&self) -> Option<LinkError> {
        self.end.borrow().clone()
    }

    pub(crate) fn error(&self) -> LinkError {
        self.end().unwrap_or(LinkError::Closed)
    }

    pub(crate) async fn ended(&self) -> LinkError {
        let mut end = self.end.subscribe();
        match end.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(error)) => error.clone(),
            _ => LinkError::Closed,
        }
    }

    /// Nothing is taken after this. Gives back what was queued, to be dropped.
    pub(crate) fn finish(&self, error: LinkError) -> (Outbox, Vec<Command>) {
        self.end.send_replace(Some(error));
        let mut shared = self.lock();
        shared.ended = true;
        (std::mem::take(&mut shared.out), std::mem::take(&mut shared.commands))
    }

    /// Wakes the driver. What several events of one turn have queued leaves in one write, unless somebody else wakes it first.
    pub(crate) fn wake_driver(&self) {
        if self.scheduled.load(Ordering::Acquire) {
            return;
        }
        match wakes::are_gathered().then(|| self.this.upgrade()).flatten() {
            Some(this) => wakes::wake(Waker::from(this)),
            None => self.wake_now(),
        }
    }

    fn wake_now(&self) {
        if !self.scheduled.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Something was queued and the driver was woken for it.
    pub(crate) fn is_scheduled(&self) -> bool {
        self.scheduled.load(Ordering::Acquire)
    }

    /// The driver looks again: who comes after this wakes it.
    pub(crate) fn attend(&self) {
        self.scheduled.store(false, Ordering::Release);
    }

    fn command(&self, command: Command) {
        let left = {
            let mut shared = self.lock();
            if shared.ended {
                Some(command)
            } else {
                shared.commands.push(command);
                None
            }
        };
        if left.is_none() {
            self.wake_driver();
        }
    }

    /// Channels of a message that is out.
    pub(crate) fn adopt(&self, newcomers: Vec<Newcomer>) {
        self.command(Command::Adopt(newcomers));
    }

    pub(crate) fn close(&self, error: LinkError) {
        self.command(Command::Close(error));
    }

    pub(crate) fn release(&self, proxy: usize, id: u64) {
        self.imported
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&proxy);
        self.command(Command::Release(id));
    }

    pub(crate) fn import(&self, proxy: usize, id: u64) {
        self.imported
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(proxy, id);
    }

    /// Room for `count` more channels of this side?
    fn room(&self, count: usize) -> Result<(), CallError> {
        if self.opened.fetch_add(count, Ordering::Relaxed) + count > CHANNELS_MAX {
            self.opened.fetch_sub(count, Ordering::Relaxed);
            let text = format!("{CHANNELS_MAX} calls and streams are under way between the two processes already");
            return Err(CallError::Refused(text));
        }
        Ok(())
    }

    /// Queues a call. The answer comes to `pending`, which is given back if there is no room.
    pub(crate) fn call(&self, message: Message, pending: Pending) -> Result<u64, (CallError, Pending)> {
        if self.side == Side::Parent && self.unsent.load(Ordering::Relaxed) > OUT_PAUSE_BYTES {
            let text = format!("{OUT_PAUSE_BYTES} bytes wait already for the worker's process, which does not read");
            return Err((CallError::Refused(text), pending));
        }
        if let Err(error) = self.room(1) {
            return Err((error, pending));
        }
        let id = self.next_id();
        let encoded = match self.encode(Kind::Call, id, message) {
            Ok(encoded) => encoded,
            Err(error) => {
                self.opened.fetch_sub(1, Ordering::Relaxed);
                return Err((error, pending));
            }
        };
        self.counters.calls.fetch_add(1, Ordering::Relaxed);
        let queued = self.queue(encoded, |newcomers, rest| Command::Call {
            id,
            pending,
            newcomers,
            rest,
        });
        match queued {
            Ok(()) => Ok(id),
            Err((error, Command::Call { pending, .. })) => Err((CallError::Lost(error), pending)),
            // It gives back what it was given.
            Err((_, _)) => Ok(id),
        }
    }

    /// Queues the answer to a call of the other side.
    pub(crate) fn answer(&self, id: u64, message: Message) -> Result<(), CallError> {
        let encoded = self.encode(Kind::Answer, id, message)?;
        self.queue(encoded, |newcomers, rest| Command::Answered { id, newcomers, rest })
            .map_err(|(error, _)| CallError::Lost(error))
    }

    /// Tells the other side that there is no answer.
    pub(crate) fn answer_none(&self, id: u64, why: &str) {
        let why = cut(why, 1024);
        let first = Header {
            length: why.len(),
            kind: Kind::Answer,
            flags: NONE,
            channel: id,
        };
        let encoded = Encoded {
            first,
            total: None,
            bytes: why.as_bytes().to_vec(),
            blobs: Vec::new(),
            attached: Attached::default(),
            rest: None,
        };
        // A link that is gone needs no answer.
        let _ = self.queue(encoded, |newcomers, rest| Command::Answered { id, newcomers, rest });
    }

    /// Queues a message that wants no answer. False, and counted, if there is no room.
    pub(crate) fn notice(&self, head: &[u8]) -> bool {
        let length = head.len() + 2;
        let fits = length <= NOTICE_FRAME_BYTES_MAX && {
            let mut shared = self.lock();
            let fits = !shared.ended && shared.notices + length <= NOTICES_BYTES_MAX;
            if fits {
                shared.notices += length + HEADER_BYTES;
                shared.out.header(Header {
                    length,
                    kind: Kind::Notice,
                    flags: 0,
                    channel: 0,
                });
                // An empty prelude.
                shared.out.copy(&[0, 0]);
                shared.out.copy(head);
            }
            fits
        };
        if fits {
            self.wake_driver();
        } else {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
        fits
    }

    fn queue(
        &self,
        encoded: Encoded,
        command: impl FnOnce(Vec<Newcomer>, Option<Rest>) -> Command,
    ) -> Result<(), (LinkError, Command)> {
        let Encoded {
            first,
            total,
            bytes,
            blobs,
            attached,
            rest,
        } = encoded;
        let Attached { newcomers, keep } = attached;
        let command = command(newcomers, rest);
        let left = {
            let mut shared = self.lock();
            if shared.ended {
                Some(command)
            } else {
                shared.out.header(first);
                if let Some(total) = total {
                    shared.out.copy(&total.to_le_bytes());
                }
                shared.out.push(bytes.into());
                for blob in blobs {
                    shared.out.push(blob);
                }
                shared.commands.push(command);
                None
            }
        };
        // Only now: their release comes after the message.
        drop(keep);
        if let Some(command) = left {
            return Err((self.error(), command));
        }
        self.wake_driver();
        Ok(())
    }

    /// A number for a call whose frame the driver makes.
    pub(crate) fn reserve_call(&self) -> Result<u64, CallError> {
        self.room(1)?;
        Ok(self.next_id())
    }

    pub(crate) fn stats(&self) -> LinkStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        LinkStats {
            frames_in: read(&counters.frames_in),
            bytes_in: read(&counters.bytes_in),
            bytes_shared: read(&counters.bytes_shared),
            bytes_out: read(&counters.bytes_out),
            reads: read(&counters.reads),
            writes: read(&counters.writes),
            calls: read(&counters.calls),
            served: read(&counters.served),
            refused: read(&counters.refused),
            dropped: read(&counters.dropped),
            channels: read(&counters.channels),
            streams: read(&counters.streams),
        }
    }
}

/// At most `limit` bytes of `text`, at a character's end.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A frame without payload.
pub(crate) fn signal(out: &mut Outbox, kind: Kind, id: u64, dropped: bool) {
    out.header(Header {
        length: 0,
        kind,
        flags: if dropped { DROPPED } else { 0 },
        channel: id,
    });
}
