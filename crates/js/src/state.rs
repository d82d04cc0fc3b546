//! What an isolate's ops share: the environment, the module table, and the events that are not over.
//!
//! An event is *owed* until it is answered and *open* until nothing of it goes on: its body has been sent and what was given
//! to `waitUntil` is settled. JavaScript says when it is over; the deadlines here end one that takes too long.

use crate::inspect::Debugger;
use crate::interrupt::{JsInterrupt, running_event_of};
use crate::memory::{self, Buffers};
use crate::meter::{ById, Ids, Meter};
use crate::native::Native;
use crate::wasm::{self, Memories};
use atoll_model::{CompatFlags, Limit, RequestId, WorkerVersion};
use atoll_worker::{
    Body, Cancel, Environment, Event, EventContext, Fault, FaultKind, JsException, LimitHit, LogLevel, LogRecord,
    Outcome, Reply, RouteNumber, TraceContext,
};
use deno_core::v8;
use slab::Slab;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often events whose client is there are looked at: has it gone?
const CLIENT_LOOK: Duration = Duration::from_secs(1);

/// An event that is not over.
struct Open {
    /// While it is owed.
    reply: Option<Reply>,
    request_id: RequestId,
    /// Where it stands in a trace.
    context: Option<TraceContext>,
    /// Which route led to it.
    route: Option<RouteNumber>,
    /// Cancelled when its client goes away.
    cancel: Cancel,
    /// When it is ended, and by which limit.
    deadline: Option<(Instant, Limit)>,
    /// JavaScript is done with it; only the answer is missing.
    over: bool,
    logged: u64,
    /// What is told of it if the isolate ends first: the platform's trace item, as JSON.
    trace: Option<String>,
    /// The body of its request, if it came piece by piece.
    upload: Option<Rc<RefCell<Option<Body>>>>,
}

impl Drop for Open {
    /// Whoever sends the body is told that nobody reads on, and not only once V8 has collected what could.
    fn drop(&mut self) {
        if let Some(upload) = &self.upload
            && let Ok(mut body) = upload.try_borrow_mut()
        {
            *body = None;
        }
    }
}

/// One isolate's state, in its op state.
pub(crate) struct IsolateState {
    pub env: Environment,
    pub version: Arc<WorkerVersion>,
    /// What the version's date and flags come to.
    pub compat: CompatFlags,
    /// By the id that JavaScript holds.
    open: RefCell<ById<Open>>,
    next_id: Cell<u32>,
    /// An event of it stood in a trace, or a route led to one.
    asks_who_calls: Cell<bool>,
    /// Itself, to find out on whose behalf an op is called.
    pub raw: OnceLock<v8::UnsafeRawIsolatePtr>,
    /// Of the open events, those that have no answer.
    owed: Cell<usize>,
    /// The earliest deadline has changed.
    deadlines_changed: Cell<bool>,
    /// What was printed while no event ran.
    logged_outside: Cell<u64>,
    /// Charges events.
    pub meter: Meter,
    /// WebAssembly memories.
    pub wasm: Memories,
    /// Array buffers.
    pub buffers: OnceLock<Arc<Buffers>>,
    /// What it holds of Rust's heap.
    pub native: OnceCell<Rc<Native>>,
    /// Ends the isolate.
    pub interrupt: OnceLock<Arc<JsInterrupt>>,
    /// What was thrown while the modules were evaluated and no answer carries; the first. `None` once start-up is over.
    pub startup_exception: RefCell<Option<Option<JsException>>>,
    /// Calls to other workers that have no answer yet.
    pub asking: Cell<i64>,
    /// Of the events that are owed, those that wait for another worker and may wait for ever.
    pub parked: RefCell<Ids>,
    /// The time that the running turn sees, milliseconds since the Unix epoch; 0 while the modules are evaluated.
    pub turn_ms: Cell<f64>,
    /// Running outgoing fetches, by token.
    pub fetches: RefCell<Slab<CancellationToken>>,
    /// The isolate's debugger, if it has one.
    pub debugger: RefCell<Weak<Debugger>>,
}

impl IsolateState {
    pub fn new(env: Environment, version: Arc<WorkerVersion>) -> Rc<Self> {
        let compat = CompatFlags::resolve(version.compat_date, &version.compat_flags);
        let meter = Meter::new(version.limits.cpu_ms, version.limits.cpu_soft_ms);
        let wasm = Memories::new(&version.limits);
        Rc::new(Self {
            env,
            version,
            compat,
            open: RefCell::default(),
            next_id: Cell::new(0),
            asks_who_calls: Cell::new(false),
            raw: OnceLock::new(),
            owed: Cell::new(0),
            deadlines_changed: Cell::new(false),
            logged_outside: Cell::new(0),
            meter,
            wasm,
            buffers: OnceLock::new(),
            native: OnceCell::new(),
            interrupt: OnceLock::new(),
            startup_exception: RefCell::new(Some(None)),
            asking: Cell::new(0),
            parked: RefCell::default(),
            turn_ms: Cell::new(0.0),
            fetches: RefCell::default(),
            debugger: RefCell::default(),
        })
    }

    /// The worker's time becomes the clock's.
    pub fn tick(&self) {
        self.turn_ms.set(self.env.clock.now_ms() as f64);
    }

    /// Of the event that called the op which runs: where it stands in a trace, and which route led to it. Free of cost where
    /// there are neither traces nor routes.
    pub fn caller(&self) -> (Option<TraceContext>, Option<RouteNumber>) {
        if !self.asks_who_calls.get() {
            return (None, None);
        }
        let id = self.raw.get().and_then(|raw| running_event_of(*raw));
        let open = self.open.borrow();
        id.and_then(|id| open.get(&id))
            .map_or((None, None), |event| (event.context.clone(), event.route))
    }

    /// Registers an event; the id goes to JavaScript.
    pub fn add(&self, reply: Reply, ctx: &EventContext, event: &Event) -> u32 {
        // 31 bits, as JavaScript's small integers have; 0 stands for none. Far fewer are open at once.
        let id = self.next_id.get() % (i32::MAX as u32) + 1;
        self.next_id.set(id);
        let deadline = match event {
            Event::Scheduled(_) | Event::Tail(_) => {
                self.deadlines_changed.set(true);
                let wall = Duration::from_millis(self.version.limits.wall_ms);
                Instant::now().checked_add(wall).map(|at| (at, Limit::Wall))
            }
            _ => None,
        };
        let open = Open {
            reply: Some(reply),
            request_id: ctx.request_id,
            context: ctx.trace.clone(),
            route: ctx.route,
            cancel: ctx.cancel.clone(),
            deadline,
            over: false,
            logged: 0,
            trace: None,
            upload: None,
        };
        if ctx.trace.is_some() || ctx.route.is_some() {
            self.asks_who_calls.set(true);
        }
        self.open.borrow_mut().insert(id, open);
        self.owed.set(self.owed.get() + 1);
        self.meter.open(id, ctx.route);
        id
    }

    /// Answers an event. An id that was answered already is ignored: JavaScript can hold a stale one only after its
    /// isolate was terminated, when all were answered.
    pub fn answer(&self, id: u32, answer: Result<Outcome, Fault>) {
        self.parked.borrow_mut().remove(&id);
        let reply = {
            let mut all = self.open.borrow_mut();
            let Some(open) = all.get_mut(&id) else { return };
            let reply = open.reply.take();
            if open.over {
                all.remove(&id);
                self.meter.close(id);
            }
            reply
        };
        if let Some(reply) = reply {
            self.owed.set(self.owed.get() - 1);
            // Nobody waiting any more is no error: the client went away.
            let _ = reply.send(answer);
        }
    }

    /// Whether an answer is owed.
    pub fn owes(&self) -> bool {
        self.owed.get() > 0
    }

    /// The event's request has this body, which nobody reads once the event is over.
    pub fn comes_with(&self, id: u32, body: Rc<RefCell<Option<Body>>>) {
        if let Some(open) = self.open.borrow_mut().get_mut(&id) {
            open.upload = Some(body);
        }
    }

    /// JavaScript is done with an event.
    pub fn over(&self, id: u32) {
        let mut all = self.open.borrow_mut();
        let Some(open) = all.get_mut(&id) else { return };
        open.over = true;
        if open.reply.is_none() {
            all.remove(&id);
            drop(all);
            self.meter.close(id);
        }
    }

    /// The event is answered to the last byte; only `waitUntil` holds it.
    pub fn in_background(&self, id: u32) {
        if let Some(open) = self.open.borrow_mut().get_mut(&id)
            && open.deadline.is_none()
        {
            open.deadline = self.background_deadline(Instant::now());
            self.deadlines_changed.set(true);
        }
    }

    fn background_deadline(&self, now: Instant) -> Option<(Instant, Limit)> {
        let wait = Duration::from_millis(self.version.limits.wait_until_ms);
        now.checked_add(wait).map(|at| (at, Limit::WaitUntil))
    }

    /// Whether the deadlines must be looked at again.
    pub fn take_deadlines_changed(&self) -> bool {
        self.deadlines_changed.take()
    }

    /// What is cancelled when the event's client goes away; `None` once the event is over.
    pub fn cancel_of(&self, id: u32) -> Option<Cancel> {
        self.open.borrow().get(&id).map(|open| open.cancel.clone())
    }

    /// Whether events are open.
    pub fn has_open(&self) -> bool {
        !self.open.borrow().is_empty()
    }

    /// The events whose time is up, and when to look again.
    pub fn overdue(&self, now: Instant) -> (Vec<(u32, Limit)>, Option<Instant>) {
        let mut overdue = Vec::new();
        let mut next: Option<Instant> = None;
        for (id, open) in self.open.borrow_mut().iter_mut() {
            if open.deadline.is_none() && open.cancel.is_cancelled() {
                open.deadline = self.background_deadline(now);
            }
            let at = match open.deadline {
                Some((at, limit)) if at <= now => {
                    // Told once.
                    open.deadline = None;
                    open.cancel = Cancel::new();
                    overdue.push((*id, limit));
                    continue;
                }
                Some((at, _)) => at,
                None => now + CLIENT_LOOK,
            };
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        (overdue, next)
    }

    /// An event's time is up: tells it, and answers it if that is still owed.
    pub fn expired(&self, id: u32, limit: Limit) {
        let value = self.version.limits.get(limit).unwrap_or_default();
        self.hit(limit, id);
        let message = match limit {
            Limit::Wall => format!("The event took longer than {value} ms and was ended (limit wall_ms)."),
            _ => format!(
                "waitUntil() tasks did not complete within the allowed time after invocation end and have been cancelled. See: \
                 https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil (limit wait_until_ms = {value})"
            ),
        };
        self.print(LogLevel::Warn, message.clone(), id);
        let kind = match limit {
            Limit::Wall => FaultKind::ExceededWall,
            _ => FaultKind::Canceled,
        };
        self.answer(id, Err(Fault::limit(kind, limit, value, &message)));
    }

    /// A limit was reached.
    pub fn hit(&self, limit: Limit, id: u32) {
        let value = self.version.limits.get(limit).unwrap_or_default();
        let request_id = self.open.borrow().get(&id).map(|open| open.request_id);
        self.env.logs.limit(LimitHit {
            limit,
            value,
            request_id,
        });
    }

    /// Tells of array buffers that were refused since the last turn.
    pub fn tell_refused_buffers(&self) {
        if self.buffers.get().is_some_and(|buffers| buffers.take_hit()) {
            self.hit(Limit::Buffers, 0);
        }
    }

    /// The event runs from now on.
    pub fn runs(&self, id: u32) {
        self.meter.runs(id, Instant::now());
        self.stop_if_exceeded();
    }

    /// Ends the isolate if an event has used too much CPU.
    pub fn stop_if_exceeded(&self) {
        if self.meter.has_exceeded()
            && let Some(interrupt) = self.interrupt.get()
        {
            atoll_worker::Interrupt::terminate(&**interrupt, self.cpu_fault());
        }
    }

    /// Ends the isolate if a turn has taken far too much beside V8's heap.
    pub fn stop_if_holding_too_much(&self, isolate: &mut v8::Isolate) {
        let (Some(native), Some(interrupt)) = (self.native.get(), self.interrupt.get()) else {
            return;
        };
        let news = native.take_news();
        if news != 0 {
            isolate.adjust_amount_of_external_allocated_memory(news);
        }
        let max = self.version.limits.buffer_bytes;
        // What V8 could give back if it were asked is not held. Between two looks a turn may have let go of much.
        if native.is_far_too_much(max) {
            isolate.low_memory_notification();
        }
        if native.is_far_too_much(max) {
            atoll_worker::Interrupt::terminate(&**interrupt, memory::external_fault(max));
        }
    }

    /// Ends the isolate if its WebAssembly memories grew beyond their limit.
    pub fn stop_if_wasm_too_large(&self, scope: &mut v8::PinScope<'_, '_>) {
        let Some(interrupt) = self.interrupt.get() else { return };
        if interrupt.fault().is_none() && self.wasm.too_many(scope, 0).is_some() {
            atoll_worker::Interrupt::terminate(&**interrupt, wasm::fault(&self.version.limits));
        }
    }

    pub fn cpu_fault(&self) -> Fault {
        Fault::exceeded_cpu(self.version.limits.cpu_ms)
    }

    /// Prints for an event, as far as it may still print; false once it may not.
    pub fn log(&self, level: LogLevel, mut message: String, id: u32) -> bool {
        let max = self.version.limits.log_bytes_max;
        let before = match self.open.borrow_mut().get_mut(&id) {
            Some(open) => {
                let before = open.logged;
                open.logged = before.saturating_add(message.len() as u64);
                before
            }
            None => {
                let before = self.logged_outside.get();
                self.logged_outside.set(before.saturating_add(message.len() as u64));
                before
            }
        };
        let left = usize::try_from(max.saturating_sub(before)).unwrap_or(usize::MAX);
        if message.len() <= left {
            self.print(level, message, id);
            return true;
        }
        if before <= max {
            message.truncate(message.floor_char_boundary(left));
            if !message.is_empty() {
                self.print(level, message, id);
            }
            self.hit(Limit::LogBytes, id);
            let text = format!("What this event prints ends here: it is more than {max} bytes (limit log_bytes_max).");
            self.print(LogLevel::Warn, text, id);
        }
        false
    }

    fn print(&self, level: LogLevel, message: String, id: u32) {
        let (request_id, span) = match self.open.borrow().get(&id) {
            Some(open) => (Some(open.request_id), open.context.as_ref().map(TraceContext::place)),
            None => (None, None),
        };
        self.env.logs.log(LogRecord {
            level,
            message,
            timestamp_ms: self.env.clock.now_ms(),
            request_id,
            span,
        });
    }

    /// Keeps what is told of an event if the isolate ends before it does.
    pub fn trace_begins(&self, id: u32, item: String) {
        if let Some(open) = self.open.borrow_mut().get_mut(&id) {
            open.trace = Some(item);
        }
    }

    /// The isolate ends with `fault`: what is known of its open events is told.
    fn tell_traces(&self, fault: &Fault) {
        let outcome = match fault.kind {
            FaultKind::ExceededCpu => "exceededCpu",
            FaultKind::ExceededMemory => "exceededMemory",
            FaultKind::ExceededWall => "exceededWallTime",
            FaultKind::Draining | FaultKind::Canceled => "canceled",
            _ => "internalError",
        };
        let traces: Vec<String> = self
            .open
            .borrow_mut()
            .values_mut()
            .filter_map(|open| open.trace.take())
            .collect();
        for trace in traces {
            // It was written by `js/34_trace.js`.
            let Ok(mut item) = serde_json::from_str::<serde_json::Value>(&trace) else {
                continue;
            };
            item["outcome"] = outcome.into();
            item["exceptions"] = serde_json::json!([{
                "name": "Error",
                "message": fault.message,
                "timestamp": self.env.clock.now_ms(),
            }]);
            self.env.logs.trace(item.to_string());
        }
    }

    /// An exception that no answer carries. During start-up it waits for the verdict: it may be why the modules failed.
    pub fn report(&self, exception: JsException) {
        match &mut *self.startup_exception.borrow_mut() {
            Some(first) => {
                first.get_or_insert(exception);
            }
            None => self.env.logs.exception(None, exception),
        }
    }

    /// Start-up is over; returns what was reported meanwhile.
    pub fn end_startup(&self) -> Option<JsException> {
        self.startup_exception.borrow_mut().take().flatten()
    }

    /// Answers everything that is owed and that nothing outside will bring on. True if something else is owed.
    pub fn answer_stuck(&self, fault: &Fault) -> bool {
        let stuck: Vec<u32> = {
            let (open, parked) = (self.open.borrow(), self.parked.borrow());
            let owed = open
                .iter()
                .filter(|(id, open)| open.reply.is_some() && !parked.contains(*id));
            owed.map(|(id, _)| *id).collect()
        };
        for id in stuck {
            self.answer(id, Err(fault.clone()));
        }
        self.owes()
    }

    /// Nothing is left that could run: events that are answered are over, whatever they wait for.
    pub fn forget_answered(&self) {
        self.open.borrow_mut().retain(|id, open| {
            let stays = open.reply.is_some();
            if !stays {
                self.meter.close(*id);
            }
            stays
        });
    }

    /// The pool has answered in this isolate's place, and told of the limit.
    fn was_given_up(&self) -> bool {
        let open = self.open.borrow();
        let mut replies = open.values().filter_map(|open| open.reply.as_ref());
        replies.any(Reply::is_answered)
    }

    /// The isolate ends: answers everything that is owed, and tells of the limit behind it.
    pub fn answer_all(&self, fault: &Fault) {
        self.parked.borrow_mut().clear();
        if let Some(hit) = fault.limit
            && !self.was_given_up()
        {
            self.env.logs.limit(hit);
        }
        self.tell_traces(fault);
        self.owed.set(0);
        let all = std::mem::take(&mut *self.open.borrow_mut());
        for (id, mut open) in all {
            self.meter.close(id);
            if let Some(reply) = open.reply.take() {
                let _ = reply.send(Err(fault.clone()));
            }
        }
    }
}
