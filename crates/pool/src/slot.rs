//! A worker version in the pool: its queue of jobs, its isolates, and what happens when one breaks.
//!
//! Jobs wait in the slot, not in an isolate, so an isolate that breaks takes only those it had been given. An isolate is made
//! when a job finds none, or ahead of that; one more when the queue stands (`delay`) and there is a permit that nobody uses;
//! it goes when it has been idle for a while, and the last one when others need its room (`keep`). The next job makes a new
//! one. A worker that does not start, or breaks again and again, is left alone for a growing pause, in which its jobs are
//! refused at once; while another of its isolates serves, nothing is refused.
//!
//! ```text
//! submit -> queue -> (turn) -> instance -> reply
//!              \-> refused: in_flight_max, resting, closed
//! ```

use crate::home::{HomeId, here};
use crate::isolate::End;
use crate::keep::GreedyDual;
use crate::options::{BACKOFF_FIRST, BACKOFF_MAX, BREAKS_WITHOUT_PAUSE, LEFT_MAX};
use crate::permits::Permits;
use crate::pool::{Shared, TenantLoad};
use crate::queue::{Next, State, Taken, Why};
use crate::worker::SlotStats;
use atoll_model::{Limit, WorkerVersion};
use atoll_worker::{
    AnswerReceiver, Engine, Environment, Event, EventContext, Fault, FaultKind, Held, Instance, InstanceState,
    Interrupt, Job, LimitHit, Outcome, Prepared, RouteCpu, StartKind, StartNote, Usage,
};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// CPU that is told as soon as it has gathered, nanoseconds.
const TELL_CPU_NS: i64 = 10_000_000;
/// After how long less is told as well, nanoseconds.
const TELL_EVERY_NS: u64 = 1_000_000_000;
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

impl From<(Box<Job>, Option<Fault>)> for Refusal {
    /// Of a job that was given back with the reason, or without one.
    fn from((job, fault): (Box<Job>, Option<Fault>)) -> Self {
        match fault {
            Some(fault) => Self::Fault(fault),
            None => {
                let Job { ctx, event, .. } = *job;
                Self::Retired(ctx, event)
            }
        }
    }
}

/// The answer to a submitted job, when it comes. Dropping it does not stop the job.
#[derive(Debug)]
pub struct Answer {
    rx: AnswerReceiver,
}

impl Future for Answer {
    type Output = Result<Outcome, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A reply answers even when it is dropped.
        Pin::new(&mut self.rx).poll(cx)
    }
}

/// The inside of a [`WorkerSlot`], shared with its isolates' threads.
pub(crate) struct Slot {
    shared: Arc<Shared>,
    engine: Arc<dyn Engine>,
    version: Arc<WorkerVersion>,
    environment: Environment,
    /// It was deployed, not made for an event: its isolates may live in homes.
    deployed: bool,
    in_flight: Arc<AtomicU32>,
    tenant: Arc<TenantLoad>,
    state: Mutex<State>,
    next_id: AtomicU64,
    /// Isolates that were given up and whose thread, or whose helpers', still runs.
    left: AtomicU32,
    ready: watch::Sender<Option<Result<(), Fault>>>,
    /// Isolates that are there or asked for.
    live: watch::Sender<usize>,
    /// What its threads have used; what of it was told, and when, nanoseconds since `made`.
    cpu_ns: Arc<AtomicI64>,
    /// Of it, what is known of the routes that led to events.
    route_cpu: Arc<RouteCpu>,
    told_ns: AtomicI64,
    told_at_ns: AtomicU64,
    made: Instant,
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
        deployed: bool,
    ) -> Arc<Self> {
        let tenant = shared.tenant(&version.tenant);
        Arc::new(Self {
            tenant,
            shared,
            engine,
            version,
            environment,
            deployed,
            in_flight: Arc::default(),
            state: Mutex::default(),
            next_id: AtomicU64::new(0),
            left: AtomicU32::new(0),
            ready: watch::Sender::new(None),
            live: watch::Sender::new(0),
            cpu_ns: Arc::default(),
            route_cpu: Arc::default(),
            told_ns: AtomicI64::new(0),
            told_at_ns: AtomicU64::new(0),
            made: Instant::now(),
        })
    }

    /// Where the CPU of its threads is added up, nanoseconds.
    pub(crate) fn cpu(&self) -> Arc<AtomicI64> {
        self.cpu_ns.clone()
    }

    /// Where its isolates add it up by route.
    pub(crate) fn route_cpu(&self) -> Arc<RouteCpu> {
        self.route_cpu.clone()
    }

    /// Tells what its isolates have used, if that is worth it; `last`: whatever it is.
    pub(crate) fn tell_usage(&self, now: Instant, last: bool) {
        let told_ns = self.told_ns.load(Ordering::Relaxed);
        let news_ns = self.cpu_ns.load(Ordering::Relaxed).saturating_sub(told_ns).max(0);
        let at_ns = u64::try_from(now.saturating_duration_since(self.made).as_nanos()).unwrap_or(u64::MAX);
        let told_at_ns = self.told_at_ns.load(Ordering::Relaxed);
        let due = at_ns.saturating_sub(told_at_ns) >= TELL_EVERY_NS || told_at_ns == 0;
        if !last && news_ns < TELL_CPU_NS && (!due || news_ns == 0) {
            return;
        }
        // Whole microseconds; the rest is told with what follows. Of two threads one tells.
        let told_us = news_ns / 1_000;
        let told = self.told_ns.compare_exchange(
            told_ns,
            told_ns.saturating_add(told_us * 1_000),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if told.is_err() && !last {
            return;
        }
        self.told_at_ns.store(at_ns.max(1), Ordering::Relaxed);
        let mut told_us = if told.is_ok() { told_us.unsigned_abs() } else { 0 };
        // Parts of the same whole, by marks of another kind: together they are never more.
        for (route, cpu_us) in self.route_cpu.take(told_us) {
            told_us -= cpu_us;
            self.environment.logs.used(Usage {
                cpu_us,
                route: Some(route),
                ..Usage::default()
            });
        }
        let stats = self.stats();
        self.environment.logs.used(Usage {
            cpu_us: told_us,
            held: Some(Held {
                isolates: u32::try_from(stats.isolates).unwrap_or(u32::MAX),
                memory_bytes: stats.memory_bytes,
            }),
            ..Usage::default()
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Under the lock are field writes only; foreign code (wakers, interrupts, replies) runs after it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn version(&self) -> &Arc<WorkerVersion> {
        &self.version
    }

    /// Whether its isolates may live in homes.
    pub(crate) fn may_live_at_home(&self) -> bool {
        self.deployed
    }

    pub(crate) fn permits(&self) -> &Arc<Permits> {
        &self.shared.permits
    }

    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// Makes an instance of the version, out of what was prepared if something was.
    pub(crate) fn instantiate(&self, prepared: Option<Box<dyn Prepared>>) -> Result<Box<dyn Instance>, Fault> {
        let (version, environment) = (self.version.clone(), self.environment.clone());
        match prepared {
            Some(prepared) => prepared.instantiate(version, environment),
            None => self.engine.instantiate(version, environment),
        }
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

    /// What its jobs get if not.
    pub(crate) fn no_room(&self) -> Fault {
        self.shared.counters.overloaded.fetch_add(1, Ordering::Relaxed);
        let max = self.shared.isolates_max();
        self.hit(Limit::Isolates, max as u64);
        let held = self.shared.permits.counts().members;
        let text = format!("this process holds {held} isolates, all that it has room for");
        Fault::limit(FaultKind::Overloaded, Limit::Isolates, max as u64, &text)
    }

    /// An isolate has evaluated its modules: others that wait for the core may go on.
    pub(crate) fn start_is_over(&self) {
        self.shared.ready.start_is_over();
    }

    pub(crate) fn count_started(&self) {
        self.shared.counters.started.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks for the first isolate without waiting for a job.
    pub(crate) fn warm(self: &Arc<Self>, why: Why) {
        let mut state = self.lock();
        let now = self.shared.now();
        let resting = state.resting.as_ref().is_some_and(|(until, _)| now < *until);
        let wants = !resting && state.wants_first(why);
        drop(state);
        if wants {
            self.ask();
        }
    }

    /// The queue stands: asks for one more isolate, if a permit is free for it and its tenant may have it.
    fn relieve(self: &Arc<Self>) {
        let load = &self.tenant;
        if !self.shared.permits.has_free() || load.extra.load(Ordering::Relaxed) >= load.extra_max {
            return;
        }
        let wants = self
            .lock()
            .wants_more(self.shared.isolates_per_worker, self.shared.now());
        if wants {
            load.extra.fetch_add(1, Ordering::Relaxed);
            self.shared.counters.grown.fetch_add(1, Ordering::Relaxed);
            self.ask();
        }
    }

    fn ask(self: &Arc<Self>) {
        self.live.send_modify(|live| *live += 1);
        self.shared.ask_for_isolate(self.clone());
    }

    /// Why the isolate is wanted that was asked for.
    pub(crate) fn asked_why(&self) -> Option<Why> {
        self.lock().spawning
    }

    /// There is no room for the isolate that was asked for without need.
    pub(crate) fn forgo(self: &Arc<Self>) {
        let mut state = self.lock();
        let extra = state.spawning.take() == Some(Why::Delay);
        // Jobs may have come that count on it.
        let wants = state.wants_isolate();
        state.close_if_done();
        drop(state);
        if extra {
            self.tenant.extra.fetch_sub(1, Ordering::Relaxed);
        }
        if wants {
            self.ask();
        }
        self.live.send_modify(|live| *live -= 1);
    }

    /// The isolate that was asked for gets its number, on its way to a thread.
    pub(crate) fn register(&self) -> u64 {
        self.register_at(None)
    }

    /// The same for one that lives in a home.
    pub(crate) fn register_at(&self, home: Option<HomeId>) -> u64 {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.lock().register(id, home, self.shared.now());
        id
    }

    pub(crate) fn attach(&self, id: u64, interrupt: Arc<dyn Interrupt>) {
        if let Some(isolate) = self.lock().isolate(id) {
            isolate.interrupt = Some(interrupt);
        }
    }

    /// Isolate `id` got through its start-up, which took `took`.
    pub(crate) fn is_ready(&self, id: u64, took: Duration) {
        let goes = self.lock().is_ready(id, took);
        goes.into_iter().for_each(Waker::wake);
        self.set_ready(Ok(()));
    }

    /// What an isolate holds.
    pub(crate) fn holds(&self, bytes: u64) {
        self.lock().credit.holds(bytes);
    }

    pub(crate) fn now(&self) -> Instant {
        self.shared.now()
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
    pub(crate) fn take(self: &Arc<Self>, id: u64, max: usize, batch: &mut VecDeque<Box<Job>>) -> Taken {
        let taken = self.lock().take(id, max, batch, self.shared.now());
        if taken.stands {
            self.relieve();
        }
        taken
    }

    /// What isolate `id` does next, after a turn that left it in `after`; what the turn delivered, and how long it took.
    pub(crate) fn settle(&self, id: u64, after: InstanceState, turn: (usize, Duration), waker: &Waker) -> Next {
        self.lock().settle(id, after, turn, waker, self.shared.now())
    }

    /// The watchdog looks at what waits behind busy isolates. False if it need not come again.
    pub(crate) fn visit(self: &Arc<Self>) -> bool {
        let mut state = self.lock();
        let (waker, stands) = state.visit(self.shared.now());
        let again = state.watched;
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        if stands {
            self.relieve();
        }
        again
    }

    /// Gives back what is not used. True if there is more to come.
    pub(crate) fn keep_house(&self, keep: Duration) -> bool {
        let (woken, later) = self.lock().keep_house(keep, self.shared.now());
        woken.into_iter().for_each(Waker::wake);
        later
    }

    /// See [`State::rest_is_due`].
    pub(crate) fn rest_is_due(&self, rest_after: Duration) -> bool {
        self.lock().rest_is_due(rest_after, self.shared.now())
    }

    /// Tells one isolate that was idle for so long to give memory back: whether there was one, and whether there are more.
    pub(crate) fn rest_one(&self, rest_after: Duration) -> (bool, bool) {
        let (waker, more) = self.lock().rest_one(rest_after, self.shared.now());
        let told = waker.is_some();
        waker.into_iter().for_each(Waker::wake);
        (told, more)
    }

    /// The isolate that was told has given back what it could.
    pub(crate) fn rest_is_over(&self) {
        self.shared.rests.is_over();
    }

    /// What its isolates are taken to hold.
    pub(crate) fn held_bytes(&self) -> u64 {
        let state = self.lock();
        state.credit.bytes() * state.isolates.len() as u64
    }

    /// See [`State::offers`].
    pub(crate) fn offers(&self, policy: &GreedyDual) -> Option<(bool, f64)> {
        self.lock().offers(policy, self.shared.now())
    }

    /// Ends an idle isolate for others: how much it is taken to hold. `None` if it is busy meanwhile.
    pub(crate) fn give_up_one(&self) -> Option<u64> {
        let mut state = self.lock();
        let waker = state.give_up_one()?;
        let bytes = state.credit.bytes();
        drop(state);
        waker.wake();
        Some(bytes)
    }

    /// The isolate's thread stays demoted: it finishes what it has, a new isolate takes what comes.
    pub(crate) fn stop_serving(self: &Arc<Self>, id: u64) {
        let mut state = self.lock();
        let Some(isolate) = state.isolate(id).filter(|isolate| isolate.serving) else {
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
        let mut refused = None;
        let mut refusal = None;
        let mut start = None;
        let mut state = self.lock();
        let Some(isolate) = state.remove(id) else {
            // It was given up, and ended after all.
            self.left.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        if isolate.extra {
            self.tenant.extra.fetch_sub(1, Ordering::Relaxed);
        }
        // While another serves, what waits is its.
        let others = state.has_ready();
        match end {
            // Only one that was retired first is not ready; then somebody may wait for it.
            End::Finished => start = Some(Fault::new(FaultKind::Draining, "the worker's version was retired")),
            End::NotStarted(fault) => {
                self.shared.counters.start_failures.fetch_add(1, Ordering::Relaxed);
                if others {
                    state.alone_until = Some(self.shared.now() + BACKOFF_MAX);
                } else {
                    state.breaks += 1;
                    let pause = backoff(state.breaks);
                    state.resting = Some((self.shared.now() + pause, fault.clone()));
                    refused = Some(state.take_all());
                    refusal = Some(fault.clone());
                }
                start = Some(fault);
            }
            End::Broken { useful } => {
                state.breaks = if useful { 1 } else { state.breaks + 1 };
                if let Some(over @ 1..) = state.breaks.checked_sub(BREAKS_WITHOUT_PAUSE)
                    && !others
                {
                    let pause = backoff(over);
                    let text = format!(
                        "the worker broke {} times in a row and is left alone for {} ms",
                        state.breaks,
                        pause.as_millis()
                    );
                    let fault = Fault::new(FaultKind::Overloaded, text);
                    state.resting = Some((self.shared.now() + pause, fault.clone()));
                    refused = Some(state.take_all());
                    refusal = Some(fault);
                }
            }
        }
        let wants = state.wants_isolate();
        state.close_if_done();
        drop(state);
        if let Some(fault) = refusal {
            for job in refused.into_iter().flatten() {
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

    pub(crate) fn submit(self: &Arc<Self>, ctx: EventContext, event: Event) -> Result<Answer, Refusal> {
        let (job, answer) = Job::new(ctx, event);
        self.submit_job(job, answer).map_err(Refusal::from)
    }

    /// As [`Slot::submit`], of a job and where its answer comes out. Given back with the reason, or without one if the slot is
    /// retired.
    pub(crate) fn submit_job(
        self: &Arc<Self>,
        job: Box<Job>,
        answer: AnswerReceiver,
    ) -> Result<Answer, (Box<Job>, Option<Fault>)> {
        self.accept(job)?;
        Ok(Answer { rx: answer })
    }

    /// Queues a job. Given back unanswered with the reason, or without one if the slot is retired.
    pub(crate) fn accept(self: &Arc<Self>, job: Box<Job>) -> Result<(), (Box<Job>, Option<Fault>)> {
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
        let mut state = match self.open() {
            Ok(state) => state,
            Err(fault) => {
                self.release();
                return Err((job, fault));
            }
        };
        // Whoever deploys asks what a version exports: nobody's event.
        let kind = match &job.event {
            Event::Describe => StartKind::Warm,
            _ => state.meets(),
        };
        if kind != StartKind::Warm {
            // Told before the event can be answered, so that whoever hears of its end knows.
            drop(state);
            let request_id = job.ctx.request_id;
            self.environment.logs.start(StartNote { kind, request_id });
            state = match self.open() {
                Ok(state) => state,
                Err(fault) => {
                    self.release();
                    return Err((job, fault));
                }
            };
        }
        job.reply.count(&[&self.in_flight, &self.tenant.in_flight]);
        let (here, now) = (here(), self.shared.now());
        let waker = state.push(job, here, now);
        let wants = match here {
            // An isolate may have been made elsewhere while another version's was still here.
            Some(home) if self.deployed && self.shared.is_open(home) => {
                state.wants_here(home, self.shared.isolates_per_worker, now) || state.wants_isolate()
            }
            _ => waker.is_none() && state.wants_isolate(),
        };
        // Those that are at it may take long.
        let watch = waker.is_none() && !state.watched && state.has_ready();
        state.watched |= watch;
        drop(state);
        self.shared.counters.jobs.fetch_add(1, Ordering::Relaxed);
        if let Some(waker) = waker {
            waker.wake();
        }
        if wants {
            self.ask();
        }
        if watch {
            self.shared.watch_over(self);
        }
        Ok(())
    }

    /// The state, if the slot takes jobs now; else the fault, or none if it is retired.
    fn open(&self) -> Result<MutexGuard<'_, State>, Option<Fault>> {
        let mut state = self.lock();
        if state.closed {
            return Err(None);
        }
        if let Some((until, fault)) = &state.resting {
            if self.shared.now() < *until {
                return Err(Some(fault.clone()));
            }
            state.resting = None;
        }
        Ok(state)
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
        let jobs = state.take_all();
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

    /// How the first start went, once it has.
    pub(crate) fn started(&self) -> watch::Receiver<Option<Result<(), Fault>>> {
        self.ready.subscribe()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.lock().is_quiet()
    }

    pub(crate) fn stats(&self) -> SlotStats {
        let state = self.lock();
        SlotStats {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            queued: state.queued(),
            isolates: state.isolates.len(),
            memory_bytes: state.credit.bytes().saturating_mul(state.isolates.len() as u64),
        }
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
