//! A worker version in the pool: its queue of jobs, its isolates, and what happens when one breaks.
//!
//! Jobs wait in the slot, not in an isolate, so an isolate that breaks takes only those it had been given. The slot has
//! one serving isolate (the structures allow several). A new one is made when a job finds none; a worker that does not
//! start, or breaks again and again, is left alone for a growing pause, in which its jobs are refused at once.
//!
//! ```text
//! submit -> queue -> (turn) -> instance -> reply
//!              \-> refused: in_flight_max, resting, closed
//! ```

use crate::isolate::End;
use crate::options::{BACKOFF_FIRST, BACKOFF_MAX, BREAKS_WITHOUT_PAUSE, LEFT_MAX};
use crate::permits::Permits;
use crate::pool::{Shared, TenantLoad};
use atoll_model::{Limit, WorkerVersion};
use atoll_worker::{
    AnswerReceiver, Engine, Environment, Event, EventContext, Fault, FaultKind, Instance, InstanceState, Interrupt,
    Job, LimitHit, Outcome, Reply, ReplyInstead,
};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Replies of an isolate that are remembered before the answered ones among them are forgotten.
const GIVEN_KEPT: usize = 256;

/// How long a retired isolate may take to go after it was told to stop at once.
const KILL_GRACE: Duration = Duration::from_millis(500);

/// What a submitted job gets instead of an answer.
#[derive(Debug)]
pub enum Refusal {
    /// The slot has been retired: the event is given back for its successor.
    Retired(EventContext, Event),
    /// Refused: too much in flight, or the worker does not start.
    Fault(Fault),
}

/// The answer to a submitted job, when it comes. Dropping it does not stop the job.
#[derive(Debug)]
pub struct Answer {
    rx: AnswerReceiver,
}

impl Future for Answer {
    type Output = Result<Outcome, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A reply answers even when it is dropped, so a closed channel is only seen here if that promise broke.
        Pin::new(&mut self.rx)
            .poll(cx)
            .map(|answer| answer.unwrap_or_else(|_| Err(Fault::new(FaultKind::Internal, "the job was lost"))))
    }
}

/// What an isolate does after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// More jobs wait.
    Again,
    /// Nothing until it is woken.
    Wait,
    /// Go.
    Finish,
}

struct Isolate {
    id: u64,
    /// Takes jobs. One that does not only finishes what it has.
    serving: bool,
    /// To go at once.
    killed: bool,
    /// Set while the isolate waits.
    waker: Option<Waker>,
    interrupt: Option<Arc<dyn Interrupt>>,
    /// What it was given and may not have answered.
    given: Vec<ReplyInstead>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    isolates: Vec<Isolate>,
    /// An isolate was asked for and has no thread yet.
    spawning: bool,
    closing: bool,
    closed: bool,
    breaks: u32,
    /// No isolate is made before this; jobs get the fault.
    resting: Option<(Instant, Fault)>,
}

impl State {
    fn serving(&self) -> bool {
        self.isolates.iter().any(|isolate| isolate.serving)
    }

    /// Asks for an isolate if jobs wait and none serves. True if the caller must pass the wish on.
    fn wants_isolate(&mut self) -> bool {
        let wants = !self.queue.is_empty() && !self.spawning && !self.serving();
        self.spawning |= wants;
        wants
    }

    fn close_if_done(&mut self) {
        if self.closing && self.queue.is_empty() && !self.spawning && !self.serving() {
            self.closed = true;
        }
    }
}

/// The inside of a [`WorkerSlot`], shared with its isolates' threads.
pub(crate) struct Slot {
    shared: Arc<Shared>,
    engine: Arc<dyn Engine>,
    version: Arc<WorkerVersion>,
    environment: Environment,
    in_flight: Arc<AtomicU32>,
    tenant: Arc<TenantLoad>,
    state: Mutex<State>,
    next_id: AtomicU64,
    /// Isolates that were given up and whose thread, or whose helpers', still runs.
    left: AtomicU32,
    ready: watch::Sender<Option<Result<(), Fault>>>,
    /// Isolates that are there or asked for.
    live: watch::Sender<usize>,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({} {})", self.version.name, self.version.id)
    }
}

impl Slot {
    pub(crate) fn new(
        shared: Arc<Shared>,
        engine: Arc<dyn Engine>,
        version: Arc<WorkerVersion>,
        environment: Environment,
    ) -> Arc<Self> {
        let tenant = shared.tenant(&version.tenant);
        Arc::new(Self {
            tenant,
            shared,
            engine,
            version,
            environment,
            in_flight: Arc::default(),
            state: Mutex::default(),
            next_id: AtomicU64::new(0),
            left: AtomicU32::new(0),
            ready: watch::Sender::new(None),
            live: watch::Sender::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Under the lock are field writes only; foreign code (wakers, interrupts, replies) runs after it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn version(&self) -> &Arc<WorkerVersion> {
        &self.version
    }

    pub(crate) fn permits(&self) -> &Arc<Permits> {
        &self.shared.permits
    }

    pub(crate) fn instantiate(&self) -> Result<Box<dyn Instance>, Fault> {
        self.engine.instantiate(self.version.clone(), self.environment.clone())
    }

    pub(crate) fn count_panic(&self) {
        self.shared.counters.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_spent(&self) {
        self.shared.counters.spent.fetch_add(1, Ordering::Relaxed);
        self.hit(Limit::CpuSoft, self.version.limits.cpu_soft_ms);
    }

    fn hit(&self, limit: Limit, value: u64) {
        self.environment.logs.limit(LimitHit {
            limit,
            value,
            request_id: None,
        });
    }

    /// Whether the process can hold one more isolate.
    pub(crate) fn has_room(&self) -> bool {
        self.shared.has_room()
    }

    /// What its jobs get if not.
    pub(crate) fn no_room(&self) -> Fault {
        self.shared.counters.overloaded.fetch_add(1, Ordering::Relaxed);
        let max = self.shared.isolates_max();
        self.hit(Limit::Isolates, max as u64);
        let text = format!("this process holds {max} isolates, all that it has room for");
        Fault::limit(FaultKind::Overloaded, Limit::Isolates, max as u64, &text)
    }

    pub(crate) fn count_started(&self) {
        self.shared.counters.started.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks for the first isolate without waiting for a job.
    pub(crate) fn warm(self: &Arc<Self>) {
        let mut state = self.lock();
        let wants = !state.spawning && !state.serving() && !state.closed;
        state.spawning |= wants;
        drop(state);
        if wants {
            self.ask();
        }
    }

    fn ask(self: &Arc<Self>) {
        self.live.send_modify(|live| *live += 1);
        self.shared.ask_for_isolate(self.clone());
    }

    /// The isolate that was asked for gets its number, on its way to a thread.
    pub(crate) fn register(&self) -> u64 {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        state.spawning = false;
        let killed = state.closed;
        state.isolates.push(Isolate {
            id,
            serving: true,
            killed,
            waker: None,
            interrupt: None,
            given: Vec::new(),
        });
        id
    }

    pub(crate) fn attach(&self, id: u64, interrupt: Arc<dyn Interrupt>) {
        if let Some(isolate) = self.lock().isolates.iter_mut().find(|isolate| isolate.id == id) {
            isolate.interrupt = Some(interrupt);
        }
    }

    pub(crate) fn set_ready(&self, ready: Result<(), Fault>) {
        self.ready.send_if_modified(|old| {
            let first = old.is_none();
            if first {
                *old = Some(ready);
            }
            first
        });
    }

    /// Moves up to `max` jobs into `batch`.
    pub(crate) fn take(&self, id: u64, max: usize, batch: &mut Vec<Job>) {
        let mut state = self.lock();
        let State { queue, isolates, .. } = &mut *state;
        if let Some(isolate) = isolates.iter_mut().find(|isolate| isolate.id == id) {
            isolate.waker = None;
            if isolate.serving {
                let count = queue.len().min(max);
                batch.extend(queue.drain(..count));
                if isolate.given.len() + count > GIVEN_KEPT {
                    isolate.given.retain(|reply| !reply.is_answered());
                }
                isolate
                    .given
                    .extend(batch[batch.len() - count..].iter().map(|job| job.reply.instead()));
            }
        }
    }

    /// What isolate `id` does next, after a turn that left it in `after`.
    pub(crate) fn settle(&self, id: u64, after: InstanceState, waker: &Waker) -> Next {
        let mut state = self.lock();
        let (more, closing) = (!state.queue.is_empty(), state.closing);
        let Some(isolate) = state.isolates.iter_mut().find(|isolate| isolate.id == id) else {
            // Given up meanwhile.
            return Next::Finish;
        };
        if isolate.killed {
            return Next::Finish;
        }
        // While it starts, jobs stay where they are: asking again would only spin.
        if isolate.serving && more && after != InstanceState::Starting {
            return Next::Again;
        }
        if after == InstanceState::Idle && (closing || !isolate.serving) {
            isolate.serving = false;
            state.close_if_done();
            return Next::Finish;
        }
        isolate.waker = Some(waker.clone());
        Next::Wait
    }

    /// The isolate's thread stays demoted: it finishes what it has, a new isolate takes what comes.
    pub(crate) fn stop_serving(self: &Arc<Self>, id: u64) {
        let mut state = self.lock();
        let Some(isolate) = state
            .isolates
            .iter_mut()
            .find(|isolate| isolate.id == id && isolate.serving)
        else {
            return;
        };
        isolate.serving = false;
        let wants = state.wants_isolate();
        drop(state);
        self.shared.counters.replaced.fetch_add(1, Ordering::Relaxed);
        if wants {
            self.ask();
        }
    }

    /// A terminated turn did not end: its thread is given up. What it was given is answered with the fault.
    pub(crate) fn abandon(self: &Arc<Self>, id: u64, fault: Fault) {
        let given = match self.lock().isolates.iter_mut().find(|isolate| isolate.id == id) {
            Some(isolate) => std::mem::take(&mut isolate.given),
            None => return,
        };
        self.shared.counters.abandoned.fetch_add(1, Ordering::Relaxed);
        self.left.fetch_add(1, Ordering::Relaxed);
        if let Some(hit) = fault.limit {
            self.environment.logs.limit(hit);
        }
        for reply in given {
            reply.send(Err(fault.clone()));
        }
        self.shared.tell_abandoned(&self.version, &fault);
        let worker = &self.version.name;
        tracing::error!(%worker, "a terminated turn did not end; its thread is left behind");
        let end = if self.ready.borrow().is_none() {
            End::NotStarted(fault)
        } else {
            End::Broken { useful: false }
        };
        self.ended(id, end);
    }

    /// Blocking work of an isolate that broke goes on: its threads are given up.
    pub(crate) fn leave_helpers(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
        self.shared.counters.abandoned.fetch_add(1, Ordering::Relaxed);
        let worker = &self.version.name;
        tracing::error!(%worker, "blocking work of an isolate that was ended goes on; its threads are left behind");
        self.shared
            .tell_abandoned(&self.version, &Fault::exceeded_cpu(self.version.limits.cpu_ms));
    }

    /// They ended.
    pub(crate) fn helpers_ended(&self) {
        self.left.fetch_sub(1, Ordering::Relaxed);
    }

    /// Why it gets no further isolate, if what could not be ended has become too much.
    pub(crate) fn too_much_left(&self) -> Option<Fault> {
        if self.left.load(Ordering::Relaxed) < LEFT_MAX {
            return None;
        }
        self.shared.counters.overloaded.fetch_add(1, Ordering::Relaxed);
        let value = LEFT_MAX.into();
        self.hit(Limit::LeftBehind, value);
        let text = format!(
            "work in {LEFT_MAX} of the worker's isolates was to end, could not be ended and goes on: it gets no further isolate before \
             one of them has ended"
        );
        Some(Fault::limit(FaultKind::Overloaded, Limit::LeftBehind, value, &text))
    }

    /// The thread of isolate `id` is over (or was never made).
    pub(crate) fn ended(self: &Arc<Self>, id: u64, end: End) {
        let mut refused = VecDeque::new();
        let mut refusal = None;
        let mut start = None;
        let mut state = self.lock();
        let Some(at) = state.isolates.iter().position(|isolate| isolate.id == id) else {
            // It was given up, and ended after all.
            self.left.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        state.isolates.swap_remove(at);
        match end {
            // Only one that was retired first is not ready; then somebody may wait for it.
            End::Finished => start = Some(Fault::new(FaultKind::Draining, "the worker's version was retired")),
            End::NotStarted(fault) => {
                state.breaks += 1;
                let pause = backoff(state.breaks);
                state.resting = Some((Instant::now() + pause, fault.clone()));
                refused = std::mem::take(&mut state.queue);
                refusal = Some(fault.clone());
                self.shared.counters.start_failures.fetch_add(1, Ordering::Relaxed);
                start = Some(fault);
            }
            End::Broken { useful } => {
                state.breaks = if useful { 1 } else { state.breaks + 1 };
                if let Some(over @ 1..) = state.breaks.checked_sub(BREAKS_WITHOUT_PAUSE) {
                    let pause = backoff(over);
                    let text = format!(
                        "the worker broke {} times in a row and is left alone for {} ms",
                        state.breaks,
                        pause.as_millis()
                    );
                    let fault = Fault::new(FaultKind::Overloaded, text);
                    state.resting = Some((Instant::now() + pause, fault.clone()));
                    refused = std::mem::take(&mut state.queue);
                    refusal = Some(fault);
                }
            }
        }
        let wants = state.wants_isolate();
        state.close_if_done();
        drop(state);
        if let Some(fault) = refusal {
            for job in refused {
                let _ = job.reply.send(Err(fault.clone()));
            }
        }
        if let Some(fault) = start {
            self.set_ready(Err(fault));
        }
        if wants {
            self.ask();
        }
        self.live.send_modify(|live| *live -= 1);
    }

    /// Takes back what was counted for an event that is not accepted.
    fn release(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.tenant.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    fn overloaded(&self, limit: Limit, value: u32, whose: &str) -> Fault {
        self.shared.counters.overloaded.fetch_add(1, Ordering::Relaxed);
        self.hit(limit, value.into());
        let text = format!("{value} events are in flight for {whose} already");
        Fault::limit(FaultKind::Overloaded, limit, value.into(), &text)
    }

    fn submit(self: &Arc<Self>, ctx: EventContext, event: Event) -> Result<Answer, Refusal> {
        let (reply, rx) = Reply::channel();
        match self.accept(Job { ctx, event, reply }) {
            Ok(()) => Ok(Answer { rx }),
            Err((_, Some(fault))) => Err(Refusal::Fault(fault)),
            Err((job, None)) => Err(Refusal::Retired(job.ctx, job.event)),
        }
    }

    /// Queues a job. Given back unanswered with the reason, or without one if the slot is retired.
    fn accept(self: &Arc<Self>, job: Job) -> Result<(), (Job, Option<Fault>)> {
        let limit = self.version.limits.in_flight_max;
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= limit {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            return Err((job, Some(self.overloaded(Limit::InFlight, limit, "this worker"))));
        }
        let limit = self.tenant.max;
        if self.tenant.in_flight.fetch_add(1, Ordering::Relaxed) >= limit {
            self.release();
            return Err((
                job,
                Some(self.overloaded(Limit::TenantInFlight, limit, "this account's workers")),
            ));
        }
        let mut state = self.lock();
        if state.closed {
            drop(state);
            self.release();
            return Err((job, None));
        }
        if let Some((until, fault)) = &state.resting {
            let fault = (Instant::now() < *until).then(|| fault.clone());
            if let Some(fault) = fault {
                drop(state);
                self.release();
                return Err((job, Some(fault)));
            }
            state.resting = None;
        }
        let Job { ctx, event, reply } = job;
        let reply = reply.count(&[&self.in_flight, &self.tenant.in_flight]);
        state.queue.push_back(Job { ctx, event, reply });
        let waker = state
            .isolates
            .iter_mut()
            .find_map(|isolate| if isolate.serving { isolate.waker.take() } else { None });
        let wants = waker.is_none() && state.wants_isolate();
        drop(state);
        self.shared.counters.jobs.fetch_add(1, Ordering::Relaxed);
        if let Some(waker) = waker {
            waker.wake();
        }
        if wants {
            self.ask();
        }
        Ok(())
    }

    /// No more jobs after those that wait; isolates go when they have finished.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        state.close_if_done();
        let wakers: Vec<Waker> = state
            .isolates
            .iter_mut()
            .filter_map(|isolate| isolate.waker.take())
            .collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Isolates go now, jobs are answered with [`FaultKind::Draining`]. Returns how many isolates there were.
    fn kill(&self) -> usize {
        let fault = Fault::new(
            FaultKind::Draining,
            "the worker's version was retired before the event was over",
        );
        let mut state = self.lock();
        state.closing = true;
        state.closed = true;
        let jobs = std::mem::take(&mut state.queue);
        let mut told = Vec::new();
        for isolate in &mut state.isolates {
            isolate.killed = true;
            told.push((isolate.interrupt.clone(), isolate.waker.take()));
        }
        drop(state);
        for job in jobs {
            let _ = job.reply.send(Err(fault.clone()));
        }
        let count = told.len();
        for (interrupt, waker) in told {
            if let Some(interrupt) = interrupt {
                interrupt.terminate(fault.clone());
            }
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        count
    }

    pub(crate) async fn retire(&self, grace: Duration) -> usize {
        self.close();
        let mut live = self.live.subscribe();
        if tokio::time::timeout(grace, live.wait_for(|live| *live == 0))
            .await
            .is_ok()
        {
            return 0;
        }
        let killed = self.kill();
        let _ = tokio::time::timeout(KILL_GRACE, live.wait_for(|live| *live == 0)).await;
        killed
    }
}

fn backoff(attempt: u32) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    doubled.min(BACKOFF_MAX)
}

/// A slot's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlotStats {
    /// Events accepted and not answered.
    pub in_flight: u32,
    /// Of these, not yet given to an isolate.
    pub queued: usize,
    /// Isolates with a thread.
    pub isolates: usize,
}

/// A worker version that runs. Dropping it retires it without waiting: what is in flight finishes.
#[derive(Debug)]
pub struct WorkerSlot {
    slot: Arc<Slot>,
}

impl WorkerSlot {
    pub(crate) fn new(slot: Arc<Slot>) -> Self {
        Self { slot }
    }

    /// The version.
    pub fn version(&self) -> &Arc<WorkerVersion> {
        self.slot.version()
    }

    /// Queues an event, at once. The answer comes through the returned future.
    pub fn submit(&self, ctx: EventContext, event: Event) -> Result<Answer, Refusal> {
        self.slot.submit(ctx, event)
    }

    /// Runs an event. A retired slot answers [`FaultKind::Draining`]; who has a successor uses [`WorkerSlot::submit`].
    pub async fn dispatch(&self, ctx: EventContext, event: Event) -> Result<Outcome, Fault> {
        match self.submit(ctx, event) {
            Ok(answer) => answer.await,
            Err(Refusal::Fault(fault)) => Err(fault),
            Err(Refusal::Retired(..)) => Err(Fault::new(FaultKind::Draining, "the worker's version was retired")),
        }
    }

    /// Queues a job, at once; answered through its own reply, also when it is refused.
    pub fn run(&self, job: Job) {
        if let Err((job, fault)) = self.slot.accept(job) {
            let retired = || Fault::new(FaultKind::Draining, "the worker's version was retired");
            // Who does not wait any more has gone.
            let _ = job.reply.send(Err(fault.unwrap_or_else(retired)));
        }
    }

    /// Waits until the modules have been evaluated for the first time: how that went.
    pub async fn ready(&self) -> Result<(), Fault> {
        let mut ready = self.slot.ready.subscribe();
        match ready.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(result)) => result.clone(),
            _ => Err(Fault::new(FaultKind::Internal, "the worker's slot is gone")),
        }
    }

    /// Takes no more events, finishes those in flight with their `waitUntil`, then drops the isolates and their threads.
    /// What is unfinished after `grace` is ended with [`FaultKind::Draining`]. Returns how many isolates that were.
    pub async fn retire(&self, grace: Duration) -> usize {
        self.slot.retire(grace).await
    }

    /// Where the slot stands.
    pub fn stats(&self) -> SlotStats {
        let state = self.slot.lock();
        SlotStats {
            in_flight: self.slot.in_flight.load(Ordering::Relaxed),
            queued: state.queue.len(),
            isolates: state.isolates.len(),
        }
    }
}

impl Drop for WorkerSlot {
    fn drop(&mut self) {
        self.slot.close();
    }
}
