//! An isolate's thread: it makes an instance, drives it turn by turn, and ends with it.
//!
//! The thread runs a tokio runtime of its own, with time and without an I/O driver, because engines use timers and
//! spawn local helpers; their sockets are elsewhere. Blocking work runs on a few threads beside it, whose CPU is counted
//! ([`crate::blocking`]); what of it goes on after the isolate broke is given up as a turn that cannot be ended is. A panic in the
//! instance breaks the instance, not the process.

use crate::blocking::Helpers;
use crate::home::Home;
use crate::options::{BATCH_MAX, BLOCKING_THREADS_MAX, TERMINATION_GRACE};
use crate::permits::{Member, startup_fault};
use crate::queue::Next;
use crate::slot::Slot;
use crate::{sys, trim};
use atoll_worker::{Fault, FaultKind, Instance, InstanceState, Interrupt, Job, Prepared};
use std::any::Any;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::time::Sleep;

/// How often it is looked whether helpers that were left behind have ended.
const HELPERS_LOOK: Duration = Duration::from_millis(100);

/// How long a helper stays without work where the runtime does not end with the isolate.
const HELPERS_KEPT_AT_HOME: Duration = Duration::from_millis(100);

/// How an isolate ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It had nothing left to do and was asked to go.
    Finished,
    /// It never got through its start-up.
    NotStarted(Fault),
    /// It broke later.
    Broken {
        /// It got through at least one turn with an event first.
        useful: bool,
    },
}

/// The thread's main function.
pub(crate) fn run(slot: &Arc<Slot>, id: u64) {
    let helpers = Arc::<Helpers>::default();
    match runtime(&helpers, false) {
        Ok(runtime) => run_in(slot, id, runtime, helpers, None),
        Err(error) => {
            slot.permits().forgo();
            let text = format!("no runtime for the worker's isolate: {error}");
            slot.ended(id, End::NotStarted(Fault::new(FaultKind::Internal, text)));
        }
    }
}

/// The runtime of an isolate's thread, of one thread, whose helpers' CPU is counted. `home`: with sockets, and helpers that end soon
/// after their work, because the runtime does not end with the isolate.
pub(crate) fn runtime(helpers: &Arc<Helpers>, home: bool) -> io::Result<Runtime> {
    let (begins, ends) = (helpers.clone(), helpers.clone());
    let mut builder = tokio::runtime::Builder::new_current_thread();
    if home {
        builder.enable_io().thread_keep_alive(HELPERS_KEPT_AT_HOME);
    }
    builder
        .enable_time()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .on_thread_start(move || begins.begin())
        .on_thread_stop(move || ends.end())
        .build()
}

/// The rest of the life of a thread that has an isolate ready, in the runtime that was made with `helpers`.
pub(crate) fn run_prepared(
    slot: &Arc<Slot>,
    id: u64,
    runtime: Runtime,
    helpers: Arc<Helpers>,
    prepared: Box<dyn Prepared>,
) {
    sys::name_this_thread(slot.version().name.as_str());
    run_in(slot, id, runtime, helpers, Some(prepared));
}

fn run_in(slot: &Arc<Slot>, id: u64, runtime: Runtime, helpers: Arc<Helpers>, prepared: Option<Box<dyn Prepared>>) {
    sys::wake_without_preempting();
    let end = runtime.block_on(live(slot, id, &helpers, prepared, None));
    let broken = !matches!(end, End::Finished);
    // The next isolate does not wait for what this one's helpers still do.
    slot.ended(id, end);
    slot.tell_usage(slot.now(), true);
    if broken && helpers.count() > 0 {
        runtime.shutdown_timeout(TERMINATION_GRACE);
        if helpers.count() > 0 {
            slot.leave_helpers();
            while helpers.count() > 0 {
                std::thread::sleep(HELPERS_LOOK);
            }
            slot.helpers_ended();
        }
    } else {
        runtime.shutdown_background();
    }
    if broken {
        trim::after_a_broken_isolate();
    }
}

/// The life of an isolate at `home`, which goes on afterwards.
pub(crate) async fn run_at(home: Arc<Home>, slot: Arc<Slot>, id: u64) {
    let end = live(&slot, id, home.helpers(), None, Some(&home)).await;
    let broken = !matches!(end, End::Finished);
    let left_behind = broken && home.helpers().count() > 0;
    if !left_behind {
        // Before anybody asks for another.
        home.vacate();
    }
    slot.ended(id, end);
    slot.tell_usage(slot.now(), true);
    if broken {
        // What it freed may lie between what this thread has kept.
        atoll_stdx::spare::renew();
        // It may wait, and the connections should not. Where there is no thread for it, the next time does it.
        let _ = std::thread::Builder::new().spawn(trim::after_a_broken_isolate);
    }
    if left_behind {
        // Until then the helpers here are this isolate's, and another one's work would wait for them.
        tokio::time::sleep(TERMINATION_GRACE + HELPERS_KEPT_AT_HOME).await;
        if home.helpers().count() > 0 {
            slot.leave_helpers();
            while home.helpers().count() > 0 {
                tokio::time::sleep(HELPERS_LOOK).await;
            }
            slot.helpers_ended();
        }
        home.vacate();
    }
}

async fn live(
    slot: &Arc<Slot>,
    id: u64,
    helpers: &Arc<Helpers>,
    prepared: Option<Box<dyn Prepared>>,
    home: Option<&Home>,
) -> End {
    let version = slot.version();
    let mut member = slot.permits().join(
        &version.tenant,
        &version.limits,
        Arc::downgrade(slot),
        id,
        slot.cpu(),
        home.map(|home| home.stalled().clone()),
    );
    member.acquire();
    let began = slot.now();
    let made = catch_unwind(AssertUnwindSafe(|| slot.instantiate(prepared)));
    member.release();
    let instance = match made {
        Ok(Ok(instance)) => instance,
        Ok(Err(fault)) => return End::NotStarted(fault),
        Err(panic) => return End::NotStarted(panicked(slot, &*panic)),
    };
    slot.count_started();
    let interrupt = instance.interrupt();
    if let Some(gauge) = instance.gauge() {
        gauge.set_helpers(helpers.clone());
        gauge.set_routes(slot.route_cpu());
    }
    slot.attach(id, interrupt.clone());
    member.starting(interrupt.clone(), instance.gauge());
    let startup_ms = version.limits.startup_ms;
    let mut drive = Drive {
        slot: slot.clone(),
        id,
        instance,
        interrupt,
        member,
        batch: VecDeque::new(),
        start: Some(Start {
            deadline: Box::pin(tokio::time::sleep(Duration::from_millis(startup_ms))),
            waited: Duration::ZERO,
            began,
        }),
        useful: false,
        spent: false,
        at_home: home.is_some(),
    };
    // Turns are bounded by permits; tokio's own budget would only cut them into pieces.
    let end = tokio::task::unconstrained(poll_fn(|cx| drive.run(cx))).await;
    let Drive { instance, batch, .. } = drive;
    if let Err(panic) = catch_unwind(AssertUnwindSafe(move || drop((instance, batch)))) {
        panicked(slot, &*panic);
    }
    end
}

/// Notes a panic and says it in a fault.
fn panicked(slot: &Slot, panic: &(dyn Any + Send)) -> Fault {
    let text = panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let name = &slot.version().name;
    tracing::error!(worker = %name, panic = text, "the engine panicked; the isolate is rebuilt");
    slot.count_panic();
    Fault::new(FaultKind::Internal, format!("the engine panicked: {text}"))
}

struct Start {
    /// Ends the wait of a module whose top-level `await` does not settle; CPU is the watchdog's.
    deadline: Pin<Box<Sleep>>,
    /// Time spent waiting for permits, which is not the worker's doing.
    waited: Duration,
    /// When the instance began to be made.
    began: Instant,
}

struct Drive {
    slot: Arc<Slot>,
    id: u64,
    instance: Box<dyn Instance>,
    interrupt: Arc<dyn Interrupt>,
    member: Member,
    batch: VecDeque<Box<Job>>,
    /// `None` once the instance is ready.
    start: Option<Start>,
    /// It got through a turn with an event.
    useful: bool,
    /// An event went over the soft CPU limit.
    spent: bool,
    /// Others' tasks are on this thread.
    at_home: bool,
}

impl Drive {
    fn run(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let waited = self.member.acquire();
            if let Some(start) = &mut self.start {
                start.waited += waited;
            }
            let next = loop {
                let state = self.turn(cx);
                let next = match state {
                    Ok((InstanceState::Broken, _)) => Err(self.broken(None)),
                    Err(fault) => Err(self.broken(Some(fault))),
                    Ok((state, turn)) => Ok(self.slot.settle(self.id, state, turn, cx.waker())),
                };
                match next {
                    Ok(Next::Again) if self.member.may_keep() => {}
                    other => break other,
                }
            };
            let healthy = self.member.release();
            self.slot.tell_usage(self.member.since(), false);
            if !healthy {
                self.slot.stop_serving(self.id);
            }
            let healthy = healthy & !self.retire_if_spent();
            match next {
                Err(end) => return Poll::Ready(end),
                Ok(Next::Finish) => return Poll::Ready(End::Finished),
                Ok(Next::Again) if self.at_home => {
                    // Once the sockets and timers beside it have been looked at.
                    let others_first = pin!(tokio::task::yield_now());
                    // Its first poll is never ready, and leaves the waker with the runtime.
                    let _ = others_first.poll(cx);
                    return Poll::Pending;
                }
                Ok(Next::Again) => {}
                // It may have nothing left to do and nobody to wake it: one more look.
                Ok(Next::Wait) if !healthy => {}
                Ok(Next::Wait) => {
                    if self.start_overdue(cx) {
                        return Poll::Ready(self.give_up_start(cx));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Delivers what waits and polls once: where that left the instance, how much was delivered, how long it took. A panic is
    /// an error.
    ///
    /// Jobs stay in the slot until the start-up is over, so that the start-up's limit and failures are its own.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<(InstanceState, (usize, Duration)), Fault> {
        let exempt = self.interrupt.is_exempt();
        let max = if self.start.is_none() { BATCH_MAX } else { 0 };
        let taken = self.slot.take(self.id, max, &mut self.batch);
        let delivered = self.batch.len();
        // One event's answer is for now; those of several leave together.
        let several = delivered > 1;
        let first = self.start.is_some();
        let (batch, instance) = (&mut self.batch, &mut self.instance);
        let mut turn = || {
            for job in batch.drain(..) {
                if job.ctx.cancel.is_cancelled() {
                    let fault = Fault::new(FaultKind::Canceled, "cancelled before the worker ran");
                    let _ = job.reply.send(Err(fault));
                } else {
                    instance.deliver(job);
                }
            }
            let state = instance.poll(cx);
            if taken.rest && state == InstanceState::Idle {
                instance.rest();
            }
            // Measured when it was made and when it rests: the figure is for choosing which idle one ends.
            let measure = taken.rest || (first && state == InstanceState::Idle);
            (state, if measure { instance.footprint() } else { None })
        };
        let wakes = self.member.wakes();
        let turned = catch_unwind(AssertUnwindSafe(|| if several { wakes.during(turn) } else { turn() }));
        if taken.rest {
            self.slot.rest_is_over();
        }
        let (state, held) = turned.map_err(|panic| panicked(&self.slot, &*panic))?;
        if let Some(start) = &mut self.start
            && (exempt || self.interrupt.is_exempt())
        {
            let limit = Duration::from_millis(self.slot.version().limits.startup_ms);
            start.deadline.as_mut().reset(tokio::time::Instant::now() + limit);
        }
        if self.start.is_some() && matches!(state, InstanceState::Idle | InstanceState::Busy) {
            self.member.started();
            self.slot.start_is_over();
            if let Some(start) = self.start.take() {
                let took = self.slot.now().saturating_duration_since(start.began);
                self.slot.is_ready(self.id, took.saturating_sub(start.waited));
            }
        }
        if let Some(bytes) = held {
            self.slot.holds(bytes);
        }
        self.useful |= delivered > 0 && state != InstanceState::Broken;
        let took = match delivered {
            0 => Duration::ZERO,
            _ => self.slot.now().saturating_duration_since(taken.at),
        };
        Ok((state, (delivered, took)))
    }

    /// An isolate in which an event went over the soft limit finishes what it has, and another takes what comes. True if it
    /// was told so now.
    fn retire_if_spent(&mut self) -> bool {
        let first = !self.spent && self.member.is_spent();
        if first {
            self.spent = true;
            self.slot.count_spent();
            self.slot.stop_serving(self.id);
        }
        first
    }

    fn broken(&self, fault: Option<Fault>) -> End {
        if self.start.is_none() {
            return End::Broken { useful: self.useful };
        }
        let fault = fault
            .or_else(|| self.instance.fault())
            .unwrap_or_else(|| Fault::new(FaultKind::Startup, "the worker did not start"));
        End::NotStarted(fault)
    }

    fn start_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(start) = &mut self.start else { return false };
        while start.deadline.as_mut().poll(cx).is_ready() {
            if start.waited.is_zero() {
                return true;
            }
            let more = std::mem::take(&mut start.waited);
            start.deadline.as_mut().reset(tokio::time::Instant::now() + more);
        }
        false
    }

    fn give_up_start(&mut self, cx: &mut Context<'_>) -> End {
        let fault = startup_fault(self.slot.version().limits.startup_ms);
        self.interrupt.terminate(fault.clone());
        // One more turn, in which the instance answers what it holds.
        self.member.acquire();
        let _ = self.turn(cx);
        self.member.release();
        End::NotStarted(fault)
    }
}
