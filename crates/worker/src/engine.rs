//! The engine's side of the waist, and the front's.
//!
//! An [`Engine`] makes [`Instance`]s. An instance lives on one thread for all its life and is driven by `pool`: jobs are
//! delivered, then it is polled while it holds a run permit. One poll is a *turn*: the instance runs what is ready and
//! returns. It must arrange to be woken (through the `Context`) for everything it waits for.
//!
//! ```text
//! created --poll--> starting --poll--> ready <--poll--> running --> closed
//!                      |  (fault: every job is answered with it)        ^
//!                      +-----------------------------------------------+
//! ```

use crate::answer::{self, AnswerReceiver, AnswerSender};
use crate::binding::Environment;
use crate::{CpuGauge, Event, EventContext, Fault, FaultKind, Outcome};
use atoll_model::{WorkerName, WorkerVersion};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;

/// The outcome of an event, when it comes.
pub type Dispatched<'a> = Pin<Box<dyn Future<Output = Result<Outcome, Fault>> + Send + 'a>>;

/// What the front calls.
pub trait Dispatch: Send + Sync + 'static {
    /// Runs `event` in `worker` and returns its outcome. It may begin at once, before the future is polled. Dropping the
    /// future cancels nothing by itself: cancel `ctx.cancel`.
    fn dispatch<'a>(&'a self, worker: &WorkerName, ctx: EventContext, event: Event) -> Dispatched<'a>;
}

/// Makes instances of one kind of runtime.
pub trait Engine: Send + Sync + 'static {
    /// Makes an instance of `version` on the calling thread, inside its tokio context (time, no I/O driver). Must be
    /// quick: module evaluation happens in the first polls.
    fn instantiate(&self, version: Arc<WorkerVersion>, env: Environment) -> Result<Box<dyn Instance>, Fault>;

    /// Does ahead of time what of [`Engine::instantiate`] is the same for all workers: on the thread, and inside the tokio
    /// context, that the instance is to live in. It costs what an isolate costs. `None`: nothing can be done ahead.
    fn prepare(&self) -> Result<Option<Box<dyn Prepared>>, Fault> {
        Ok(None)
    }
}

/// An isolate that is nobody's yet: no worker's code has run in it. Not `Send`: it stays on its thread, and is dropped there,
/// inside its tokio context.
pub trait Prepared {
    /// Makes it the instance of `version`, as [`Engine::instantiate`] would have. A version that it was not made for (its heap
    /// has another limit) gets a fresh isolate.
    fn instantiate(self: Box<Self>, version: Arc<WorkerVersion>, env: Environment) -> Result<Box<dyn Instance>, Fault>;
}

/// A running worker. Not `Send`: it stays on its thread.
pub trait Instance {
    /// Takes a job. Does not run it yet.
    fn deliver(&mut self, job: Box<Job>);

    /// Runs one turn. While [`InstanceState::Starting`], delivered jobs wait.
    fn poll(&mut self, cx: &mut Context<'_>) -> InstanceState;

    /// Why the instance is [`InstanceState::Broken`]; `None` otherwise.
    fn fault(&self) -> Option<Fault> {
        None
    }

    /// A handle by which another thread can stop a turn.
    fn interrupt(&self) -> Arc<dyn Interrupt>;

    /// Memory that the instance holds now, bytes: its heap, its buffers, its WebAssembly. `None` if it does not know.
    /// Microseconds.
    fn footprint(&mut self) -> Option<u64> {
        None
    }

    /// Nothing is expected soon: gives back the memory that it can do without. Takes milliseconds of CPU; what was given back
    /// costs time when the next event comes.
    fn rest(&mut self) {}

    /// What the watchdog looks at. Without one, each turn may use the worker's CPU limit.
    fn gauge(&self) -> Option<Arc<CpuGauge>> {
        None
    }
}

/// Stops a turn from another thread.
pub trait Interrupt: Send + Sync {
    /// Ends the running turn as soon as the engine can. The instance is [`InstanceState::Broken`] afterwards and answers
    /// what it holds with `fault`.
    fn terminate(&self, fault: Fault);

    /// Whether limits of time do not hold now: somebody debugs the isolate, and it may stand still at a breakpoint, or
    /// take a heap snapshot. Asked often, so it must be cheap.
    fn is_exempt(&self) -> bool {
        false
    }

    /// Why the instance is to end by its own doing (its heap is full), if it is: a turn that goes on all the same is treated as
    /// one that was terminated.
    fn doomed(&self) -> Option<Fault> {
        None
    }

    /// The turn goes on although [`Interrupt::terminate`] was called a while ago: ends it by whatever else there is.
    fn insist(&self) {}

    /// Has the instance see what it runs, as its [`CpuGauge`] asked.
    fn look(&self) {}
}

/// Where an instance is after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceState {
    /// Modules are still being evaluated.
    Starting,
    /// Ready, with nothing unfinished: no job, no `waitUntil`, no socket.
    Idle,
    /// Ready, and something is unfinished.
    Busy,
    /// It cannot run another turn: start-up failed, or it was terminated. Every job it held has been answered.
    Broken,
}

/// An event on its way into an instance.
#[derive(Debug)]
pub struct Job {
    /// What accompanies it.
    pub ctx: EventContext,
    /// The event.
    pub event: Event,
    /// Where the outcome goes.
    pub reply: Reply,
}

impl Job {
    /// An event on its way, and where its outcome comes out. It goes through many hands, for which it is large: it has its place
    /// from the beginning.
    pub fn new(ctx: EventContext, event: Event) -> (Box<Self>, AnswerReceiver) {
        let (reply, answer) = Reply::channel();
        (Box::new(Self { ctx, event, reply }), answer)
    }
}

/// What a job may be counted by: its worker, its tenant.
const COUNTERS: usize = 2;

/// Takes an answer from whichever thread gives it: what a [`Reply`] that is no channel answers to.
pub trait AnswerSink: Send + std::fmt::Debug {
    /// Takes the answer; gives it back if nobody waits for it any more.
    fn answer(self: Box<Self>, answer: Result<Outcome, Fault>) -> Result<(), Result<Outcome, Fault>>;

    /// True once nobody waits for the answer.
    fn is_closed(&self) -> bool;
}

#[derive(Debug)]
enum To {
    Channel(AnswerSender),
    Sink(Box<dyn AnswerSink>),
}

impl To {
    fn send(self, answer: Result<Outcome, Fault>) -> Result<(), Result<Outcome, Fault>> {
        match self {
            Self::Channel(tx) => tx.send(answer),
            Self::Sink(sink) => sink.answer(answer),
        }
    }
}

/// What is left of a reply until it is answered.
#[derive(Debug)]
struct Owed {
    to: To,
    /// Each goes down by one when the job is answered.
    in_flight: [Option<Arc<AtomicU32>>; COUNTERS],
}

impl Owed {
    fn send(self, answer: Result<Outcome, Fault>) -> Result<(), Result<Outcome, Fault>> {
        for in_flight in self.in_flight.iter().flatten() {
            in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        self.to.send(answer)
    }
}

type SharedOwed = Arc<Mutex<Option<Owed>>>;

fn take(owed: &SharedOwed) -> Option<Owed> {
    // Under the lock is this move alone.
    owed.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Answers a job exactly once. Dropped unanswered it answers [`FaultKind::Internal`].
#[derive(Debug)]
pub struct Reply(SharedOwed);

/// Answers in a [`Reply`]'s place where whoever has that cannot: its thread does not come back.
#[derive(Debug)]
pub struct ReplyInstead(SharedOwed);

impl ReplyInstead {
    /// Answers, unless the reply has answered.
    pub fn send(&self, answer: Result<Outcome, Fault>) {
        if let Some(owed) = take(&self.0) {
            let _ = owed.send(answer);
        }
    }

    /// Whether there is nothing to answer any more.
    pub fn is_answered(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl Reply {
    fn new(to: To) -> Self {
        Self(Arc::new(Mutex::new(Some(Owed {
            to,
            in_flight: [const { None }; COUNTERS],
        }))))
    }

    /// A reply and the receiver of its answer.
    pub fn channel() -> (Self, AnswerReceiver) {
        let (tx, rx) = answer::channel();
        (Self::new(To::Channel(tx)), rx)
    }

    /// A reply that calls `sink`.
    pub fn to(sink: Box<dyn AnswerSink>) -> Self {
        Self::new(To::Sink(sink))
    }

    /// As [`Reply::channel`], for a job that the counters (at most two count) count already: they go down by one with the
    /// answer, also when the receiver is long gone.
    pub fn counted(in_flight: &[&Arc<AtomicU32>]) -> (Self, AnswerReceiver) {
        let (reply, rx) = Self::channel();
        reply.count(in_flight);
        (reply, rx)
    }

    /// Has the counters (at most two), which count the job already, go down by one with the answer.
    pub fn count(&self, in_flight: &[&Arc<AtomicU32>]) {
        if let Some(owed) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            for (place, counter) in owed.in_flight.iter_mut().zip(in_flight) {
                *place = Some(Arc::clone(counter));
            }
        }
    }

    /// Whether the job was answered by another way.
    pub fn is_answered(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Another way to answer the same job.
    pub fn instead(&self) -> ReplyInstead {
        ReplyInstead(self.0.clone())
    }

    /// Answers. Gives the outcome back if nobody waits for it any more.
    pub fn send(self, answer: Result<Outcome, Fault>) -> Result<(), Result<Outcome, Fault>> {
        match take(&self.0) {
            Some(owed) => owed.send(answer),
            None => Err(answer),
        }
    }

    /// True once nobody waits for the answer.
    pub fn is_closed(&self) -> bool {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(Owed {
                to: To::Channel(tx), ..
            }) => tx.is_closed(),
            Some(Owed { to: To::Sink(sink), .. }) => sink.is_closed(),
            None => true,
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(owed) = take(&self.0) {
            let fault = Fault::new(FaultKind::Internal, "the worker's isolate went away before it answered");
            let _ = owed.send(Err(fault));
        }
    }
}
