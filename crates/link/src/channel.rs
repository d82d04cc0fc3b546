//! A channel as the driver holds it: its local ends, the credit of both directions, and what goes out next.

use crate::LinkError;
use crate::core::{Attached, ChannelWaker, Core, Ends, Rest};
use crate::flow::{Inflow, initial};
use crate::frame::{FIRST, FRAME_BYTES_MAX, Header, Kind, MORE, QUANTUM_BYTES, TRAILERS, TURN_BYTES};
use crate::limits::{FRAME_COST_BYTES, TRAILERS_BYTES_MAX};
use crate::outbox::Outbox;
use crate::segment::{SHARED_BYTES_MIN, SegmentWriter};
use crate::{convert, wire};
use atoll_worker::{BodyError, Foreign, Frame, StartTls, WsMessage};
use bytes::Bytes;
use futures_util::FutureExt;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// Pieces of a message smaller than this wait for more credit.
const PIECE_BYTES_MIN: usize = 2 * 1024;

/// What a look at a channel's outgoing direction gave.
#[derive(Debug)]
pub(crate) enum Pumped {
    /// A frame; there may be more.
    More,
    /// Nothing until its waker is woken or credit comes.
    Wait,
    /// This direction is over.
    Done,
    /// It is over, and asks for TLS.
    StartTls(StartTls),
}

/// What a body has after the bytes of a frame.
enum Next {
    /// Perhaps more bytes.
    More,
    /// Nothing until its waker is woken or credit comes.
    Wait,
    /// What is no data: trailers, an error, or its end.
    Frame(Option<Result<Frame, BodyError>>),
}

/// A message on its way out, in one frame or several.
#[derive(Debug)]
struct Outgoing {
    pieces: VecDeque<Bytes>,
    left: usize,
    begun: bool,
    /// What begins, or is let go, when it is out.
    then: Attached,
}

/// A token whose cancellation the other side is to hear of.
pub(crate) struct Watch {
    /// The call that it cancels.
    pub call: u64,
    pub token: Pin<Box<WaitForCancellationFutureOwned>>,
}

pub(crate) struct Channel {
    pub ends: Ends,
    /// This side opened it.
    pub ours: bool,
    pub wide: bool,
    credit: u64,
    /// Bytes of a body that found no credit.
    held: Option<Bytes>,
    outgoing: Option<Outgoing>,
    pub inflow: Inflow,
    /// Its trailers have arrived.
    pub trailed: bool,
    /// It stands in the line of those that have something to send.
    pub in_line: bool,
    /// This side sends nothing more.
    pub out_over: bool,
    /// The other side sends nothing more.
    pub in_over: bool,
    waker: Arc<ChannelWaker>,
    /// The call that lasts as long as this.
    pub serving: Option<u64>,
    pub watch: Option<Watch>,
}

impl Channel {
    pub(crate) fn new(core: &Arc<Core>, id: u64, wide: bool, ours: bool, ends: Ends) -> Self {
        let (out_over, in_over) = match &ends {
            Ends::Body(..) => (false, true),
            Ends::Sink(..) => (true, false),
            Ends::Socket(_) | Ends::Rpc(_) => (false, false),
            Ends::Service { .. } => (true, true),
        };
        Self {
            ends,
            ours,
            wide,
            credit: initial(wide),
            held: None,
            outgoing: None,
            inflow: Inflow::new(wide),
            trailed: false,
            in_line: false,
            out_over,
            in_over,
            waker: ChannelWaker::new(core.clone(), id),
            serving: None,
            watch: None,
        }
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone().into()
    }

    pub(crate) fn rearm(&self) {
        self.waker.rearm();
    }

    pub(crate) fn add_credit(&mut self, more: u64) -> Result<(), LinkError> {
        // More than any message is nobody's honest grant, and must not overflow.
        self.credit = self
            .credit
            .checked_add(more)
            .filter(|credit| *credit <= u64::from(u32::MAX))
            .ok_or_else(|| LinkError::violation("more credit than there can be"))?;
        Ok(())
    }

    /// Puts the next frame into `out`, if there is one.
    pub(crate) fn pump(
        &mut self,
        core: &Arc<Core>,
        id: u64,
        out: &mut Outbox,
        segment: Option<&mut SegmentWriter>,
    ) -> Pumped {
        if self.out_over {
            return Pumped::Wait;
        }
        if self.outgoing.is_some() {
            return self.piece(core, id, out);
        }
        let waker = self.waker();
        let mut cx = Context::from_waker(&waker);
        match &mut self.ends {
            Ends::Body(..) => self.pump_body(id, out, segment, &mut cx),
            Ends::Socket(socket) => match socket.rx.poll_recv(&mut cx) {
                Poll::Pending => Pumped::Wait,
                Poll::Ready(None) => self.end(id, out, wire::EndWire::Complete),
                Poll::Ready(Some(message)) => {
                    self.outgoing = Some(Outgoing::socket(message));
                    self.piece(core, id, out)
                }
            },
            Ends::Rpc(link) => match link.poll_recv(&mut cx) {
                Poll::Pending => Pumped::Wait,
                Poll::Ready(None) => self.end(id, out, wire::EndWire::Complete),
                Poll::Ready(Some(message)) => match core.encode_for_stream(convert::rpc_message(message)) {
                    Ok((pieces, then)) => {
                        self.outgoing = Some(Outgoing::new(pieces, then));
                        self.piece(core, id, out)
                    }
                    Err(error) => self.end(id, out, wire::EndWire::Failed(&error.to_string())),
                },
            },
            Ends::Sink(..) | Ends::Service { .. } => Pumped::Wait,
        }
    }

    /// What is there of a body leaves in frames of a quantum, as many as a channel's turn takes: its pieces arrive together, and
    /// whoever reads them there writes them in one go.
    fn pump_body(
        &mut self,
        id: u64,
        out: &mut Outbox,
        mut segment: Option<&mut SegmentWriter>,
        cx: &mut Context<'_>,
    ) -> Pumped {
        let mut sent = 0;
        while sent < TURN_BYTES {
            let (now, next) = self.gather(out, cx);
            if now > 0 {
                sent += now;
                self.credit -= now as u64 + FRAME_COST_BYTES;
                let slot = match &mut segment {
                    Some(segment) if now >= SHARED_BYTES_MIN => segment.put(out.gathered()),
                    _ => None,
                };
                match slot {
                    Some(slot) => {
                        out.forget_gathered();
                        wire::shared(id, slot, now as u32, out);
                    }
                    None => {
                        out.header(Header {
                            length: now,
                            kind: Kind::Data,
                            flags: 0,
                            channel: id,
                        });
                        out.push_gathered();
                    }
                }
            }
            match next {
                Next::More => {}
                Next::Wait => return Pumped::Wait,
                Next::Frame(frame) => return self.after_data(frame, id, out),
            }
        }
        Pumped::More
    }

    /// Takes the next frame's bytes into `out`'s gathered pieces; returns how many, and what comes after them.
    fn gather(&mut self, out: &mut Outbox, cx: &mut Context<'_>) -> (usize, Next) {
        let Ends::Body(body, _) = &mut self.ends else {
            return (0, Next::Wait);
        };
        let room = self.credit.saturating_sub(FRAME_COST_BYTES).min(QUANTUM_BYTES as u64) as usize;
        let mut bytes = 0;
        loop {
            let mut data = match self.held.take() {
                Some(data) => data,
                None => match body.poll_frame(cx) {
                    Poll::Pending => return (bytes, Next::Wait),
                    Poll::Ready(Some(Ok(Frame::Data(data)))) => data,
                    Poll::Ready(other) => return (bytes, Next::Frame(other)),
                },
            };
            let now = data.split_to(data.len().min(room - bytes));
            bytes += now.len();
            if !now.is_empty() {
                out.gather(now);
            }
            if !data.is_empty() {
                self.held = Some(data);
                // Without credit it goes on when more of that comes.
                return (bytes, if bytes > 0 { Next::More } else { Next::Wait });
            }
        }
    }

    /// What a body has after its bytes.
    fn after_data(&mut self, frame: Option<Result<Frame, BodyError>>, id: u64, out: &mut Outbox) -> Pumped {
        match frame {
            // `gather` keeps these.
            Some(Ok(Frame::Data(_))) => Pumped::More,
            Some(Ok(Frame::Trailers(trailers))) => {
                let bytes = wire::trailers(&trailers);
                if bytes.len() > TRAILERS_BYTES_MAX {
                    let text = format!("the trailers have more than {TRAILERS_BYTES_MAX} bytes");
                    return self.end(id, out, wire::EndWire::Failed(&text));
                }
                out.header(Header {
                    length: bytes.len(),
                    kind: Kind::Data,
                    flags: TRAILERS,
                    channel: id,
                });
                out.push(bytes.into());
                Pumped::More
            }
            Some(Err(error)) => self.end(id, out, wire::EndWire::of(&error)),
            None => {
                let asked = match &mut self.ends {
                    Ends::Body(_, Some(asked)) => asked.try_recv().ok(),
                    _ => None,
                };
                match asked {
                    Some(asked) => {
                        self.out_over = true;
                        Pumped::StartTls(asked)
                    }
                    None => self.end(id, out, wire::EndWire::Complete),
                }
            }
        }
    }

    fn piece(&mut self, core: &Core, id: u64, out: &mut Outbox) -> Pumped {
        let Some(outgoing) = &mut self.outgoing else {
            return Pumped::Wait;
        };
        if !outgoing.piece(Kind::Data, id, &mut self.credit, FRAME_COST_BYTES, out) {
            return Pumped::Wait;
        }
        if outgoing.left == 0
            && let Some(sent) = self.outgoing.take()
            && !sent.then.newcomers.is_empty()
        {
            core.adopt(sent.then.newcomers);
        }
        Pumped::More
    }

    /// Says the end of this direction.
    pub(crate) fn end(&mut self, id: u64, out: &mut Outbox, end: wire::EndWire<'_>) -> Pumped {
        self.out_over = true;
        end.send(id, out);
        Pumped::Done
    }

    /// What the local consumer has not read, as the account of credit has it.
    pub(crate) fn unread(&self) -> usize {
        match &self.ends {
            Ends::Sink(sink, _) => {
                let (bytes, frames) = sink.queued();
                bytes + frames * FRAME_COST_BYTES as usize
            }
            Ends::Socket(socket) => socket.tx.unread(),
            Ends::Rpc(link) => link.unread(),
            Ends::Body(..) | Ends::Service { .. } => 0,
        }
    }

    /// Ready when the consumer has gone below what is due (`Ok`), or away (`Err`). With `due` zero, only the latter.
    pub(crate) fn poll_consumer(&self, due: usize) -> Poll<Result<(), ()>> {
        let waker = self.waker();
        let mut cx = Context::from_waker(&waker);
        let level = |ready: Poll<()>, closed: bool| match ready {
            Poll::Ready(()) if closed => Poll::Ready(Err(())),
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        };
        match &self.ends {
            Ends::Sink(sink, _) => {
                if sink.poll_closed(&mut cx).is_ready() {
                    return Poll::Ready(Err(()));
                }
                if due == 0 {
                    return Poll::Pending;
                }
                let (bytes, frames) = sink.queued();
                let below = due.saturating_sub(frames * FRAME_COST_BYTES as usize).max(1);
                if bytes + frames * (FRAME_COST_BYTES as usize) < due {
                    return Poll::Ready(Ok(()));
                }
                match sink.poll_below(below.min(bytes.max(1)), &mut cx) {
                    Poll::Ready(Err(_)) => Poll::Ready(Err(())),
                    Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
                    Poll::Pending => Poll::Pending,
                }
            }
            Ends::Socket(socket) => level(socket.tx.poll_below(due, &mut cx), socket.tx.is_closed()),
            Ends::Rpc(link) => level(link.poll_below(due, &mut cx), link.is_closed()),
            Ends::Body(..) | Ends::Service { .. } => Poll::Pending,
        }
    }

    /// Bytes of the other side, for the consumer.
    pub(crate) fn deliver(&mut self, message: Delivery) {
        match (&self.ends, message) {
            // Who does not listen any more is noticed by `poll_consumer`.
            (Ends::Sink(sink, _), Delivery::Frame(frame)) => drop(sink.send(frame)),
            (Ends::Sink(sink, _), Delivery::Foreign(bytes)) => drop(sink.send_foreign(bytes)),
            (Ends::Socket(socket), Delivery::Socket(message)) => drop(socket.tx.send(message)),
            (Ends::Rpc(link), Delivery::Rpc(message)) => drop(link.send(message)),
            _ => {}
        }
    }

    /// The other side's end.
    pub(crate) fn ended(&mut self, end: Result<(), BodyError>) {
        self.in_over = true;
        if let Ends::Sink(sink, _) = &self.ends {
            match end {
                Ok(()) => sink.finish(),
                Err(error) => sink.fail(error),
            }
        }
    }
}

/// What arrives on a channel.
pub(crate) enum Delivery {
    Frame(Frame),
    Foreign(Foreign),
    Socket(WsMessage),
    Rpc(atoll_worker::RpcMessage),
}

impl Outgoing {
    fn new(pieces: VecDeque<Bytes>, then: Attached) -> Self {
        let left = pieces.iter().map(Bytes::len).sum();
        Self {
            pieces,
            left,
            begun: false,
            then,
        }
    }

    fn socket(message: WsMessage) -> Self {
        let (kind, data) = wire::socket_message(message);
        Self::new(
            [kind, data].into_iter().filter(|piece| !piece.is_empty()).collect(),
            Attached::default(),
        )
    }

    /// Puts the next piece into `out`; false if there is too little credit. The first piece costs `first_cost` more.
    fn piece(&mut self, kind: Kind, id: u64, credit: &mut u64, first_cost: u64, out: &mut Outbox) -> bool {
        let mut flags = 0;
        let mut prefix = None;
        let cost;
        let now;
        if self.begun {
            now = self.left.min(QUANTUM_BYTES).min(*credit as usize);
            if now < self.left.min(PIECE_BYTES_MIN) {
                return false;
            }
            cost = now as u64;
            if now < self.left {
                flags = MORE;
            }
        } else if self.left <= FRAME_BYTES_MAX && self.left as u64 + first_cost <= *credit {
            now = self.left;
            cost = now as u64 + first_cost;
        } else {
            let room = credit.saturating_sub(first_cost + 4) as usize;
            now = (self.left - 1).min(QUANTUM_BYTES).min(room);
            if now < (self.left - 1).min(PIECE_BYTES_MIN) {
                return false;
            }
            // The length before it is part of the payload.
            cost = now as u64 + 4 + first_cost;
            flags = FIRST | MORE;
            prefix = Some(self.left as u32);
        }
        out.header(Header {
            length: now + if prefix.is_some() { 4 } else { 0 },
            kind,
            flags,
            channel: id,
        });
        if let Some(total) = prefix {
            out.copy(&total.to_le_bytes());
        }
        *credit -= cost;
        self.left -= now;
        self.begun = true;
        take(&mut self.pieces, now, out);
        true
    }
}

fn take(pieces: &mut VecDeque<Bytes>, mut bytes: usize, out: &mut Outbox) {
    while bytes > 0 {
        let Some(piece) = pieces.front_mut() else { return };
        let now = piece.split_to(piece.len().min(bytes));
        bytes -= now.len();
        out.push(now);
        if piece.is_empty() {
            pieces.pop_front();
        }
    }
}

/// The rest of a call or an answer, which goes as the other side grants it.
pub(crate) struct RestFlow {
    pub rest: Rest,
    credit: u64,
    pub in_line: bool,
}

impl RestFlow {
    pub(crate) fn new(rest: Rest) -> Self {
        Self {
            rest,
            credit: 0,
            in_line: false,
        }
    }

    pub(crate) fn add_credit(&mut self, more: u64) {
        self.credit = self.credit.saturating_add(more);
    }

    /// As [`Channel::pump`].
    pub(crate) fn pump(&mut self, id: u64, out: &mut Outbox) -> Pumped {
        let now = self.rest.left.min(QUANTUM_BYTES).min(self.credit as usize);
        if now == 0 {
            return Pumped::Wait;
        }
        let over = now == self.rest.left;
        out.header(Header {
            length: now,
            kind: self.rest.kind,
            flags: if over { 0 } else { MORE },
            channel: id,
        });
        take(&mut self.rest.pieces, now, out);
        self.rest.left -= now;
        self.credit -= now as u64;
        if over { Pumped::Done } else { Pumped::More }
    }
}

impl Watch {
    /// True once the token is cancelled.
    pub(crate) fn poll(&mut self, waker: &Waker) -> bool {
        self.token.poll_unpin(&mut Context::from_waker(waker)).is_ready()
    }
}
