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

use crate::answer::{AnswerReceiver, Reply};
use crate::binding::Environment;
use crate::{CpuGauge, Event, EventContext, Fault, Outcome};
use atoll_model::{WorkerName, WorkerVersion};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
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
    #[inline]
    pub fn new(ctx: EventContext, event: Event) -> (Box<Self>, AnswerReceiver) {
        let (reply, answer) = Reply::channel();
        (Box::new(Self { ctx, event, reply }), answer)
    }
}
