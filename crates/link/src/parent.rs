//! The parent's end: versions that run in a child.
//!
//! ```ignore
//! let (ours, theirs) = tokio::net::UnixStream::pair()?;           // theirs goes to the child
//! let (segment, file) = SegmentReader::new()?;                     // the file goes to the child, too
//! let link = ParentLink::open(ours, Some(segment), build_id, &tasks); // the driver runs in `tasks`
//! let slot = link.start(version, environment);                    // at once; as pool::Pool::start
//! slot.ready().await?;
//! let answer = slot.submit(ctx, event)?.wait().await;             // as pool::WorkerSlot
//! slot.retire(grace).await;
//! let why = link.ended().await;                                   // the child is gone, or was thrown out
//! ```
//!
//! The environment stays here. The child is told names and kinds; what it asks names a slot and the place of a binding in
//! it, and is refused by ending the link if there is no such slot or the binding is of another kind. Tenant and worker are
//! the slot's, whatever the child says. When the link ends, every event has been answered with a fault of kind `Internal`
//! and slots refuse what comes as retired, so that a successor in a new child can take it.

use crate::capability::Capabilities;
use crate::core::{Core, InFlight, LinkStats, Pending, Side, Waiting};
use crate::driver::{Driver, Segment};
use crate::error::CallError;
use crate::message::{Attachment, Message, Received};
use crate::segment::SegmentReader;
use crate::wire::{BindingWire, CallHead, CallWire, StartWire, StartedWire};
use crate::{LinkError, code, convert, service};
use atoll_model::{Limit, Limits, WorkerVersion};
use atoll_stdx::TaskGroup;
use atoll_worker::{Binding, Environment, Event, EventContext, Fault, FaultKind, LimitHit, LogSink, Outcome};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{oneshot, watch};

/// How much longer than its grace the retirement of a slot may take before the child counts as stuck.
const RETIRE_SLACK: Duration = Duration::from_secs(2);

/// How much longer than its limits the answer to an event may take before the child counts as stuck: it has to start an
/// isolate, and others take their turns.
pub const ANSWER_SLACK: Duration = Duration::from_secs(10);

/// A child as the parent sees it. Dropping it closes the link once all slots are gone, too.
pub struct ParentLink {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    capabilities: Arc<Capabilities>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.core.close(LinkError::Closed);
    }
}

impl fmt::Debug for ParentLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParentLink")
            .field("ended", &self.inner.core.end())
            .finish_non_exhaustive()
    }
}

impl ParentLink {
    /// Opens the link over `stream`, whose other end a child serves, perhaps with the writing side of `segment`. `build` is what
    /// both ends must agree on. The driver
    /// and what the child asks for run in `tasks`; must be called inside a tokio runtime with time (and I/O, where the
    /// stream needs it).
    pub fn open<S>(stream: S, segment: Option<SegmentReader>, build: &str, tasks: &TaskGroup) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let core = Core::new(Side::Parent);
        let capabilities = Arc::new(Capabilities::new(tasks.clone()));
        let segment = segment.map_or(Segment::None, Segment::Reader);
        let driver = Driver::new(core.clone(), capabilities.clone(), build, stream, segment);
        tasks.spawn(async move {
            driver.run().await;
        });
        Self {
            inner: Arc::new(Inner { core, capabilities }),
        }
    }

    /// Starts `version` in the child and returns at once; [`RemoteSlot::ready`] says when it runs. `ahead`: no event waits for
    /// it.
    pub fn start(&self, version: Arc<WorkerVersion>, environment: Environment, ahead: bool) -> RemoteSlot {
        let core = self.inner.core.clone();
        let meter = SlotMeter::default();
        let slot = self
            .inner
            .capabilities
            .insert(&version, environment.clone(), meter.clone());
        let ready = Arc::new(watch::Sender::new(None));
        let told = ready.clone();
        let closing = core.clone();
        let pending = Pending::then(move |answer: Result<Received, CallError>| {
            let started = answer.map(|message| message.decode::<StartedWire>());
            told.send_replace(Some(match started {
                Ok(Ok(started)) => started,
                Ok(Err(error)) => {
                    let text = error.to_string();
                    closing.close(error);
                    Err(Fault::new(FaultKind::Internal, text))
                }
                Err(error) => Err(convert::lost(&error)),
            }));
        });
        if let Err((error, pending)) = core.call(start_message(slot, &version, &environment, ahead), pending) {
            pending.waiter.answer(Err(error));
        }
        RemoteSlot {
            link: self.inner.clone(),
            slot,
            version,
            logs: environment.logs,
            meter,
            expecting: Arc::default(),
            closing: RwLock::new(false),
            ready,
        }
    }

    /// Ends the link, now: everything under way is answered with faults.
    pub fn close(&self, why: &str) {
        self.inner.core.close(LinkError::Broken(why.to_owned()));
    }

    /// Why the link ended, if it has.
    pub fn end(&self) -> Option<LinkError> {
        self.inner.core.end()
    }

    /// Waits for the link's end.
    pub async fn ended(&self) -> LinkError {
        self.inner.core.ended().await
    }

    /// Counters.
    pub fn stats(&self) -> LinkStats {
        self.inner.core.stats()
    }
}

fn start_message(slot: u64, version: &WorkerVersion, environment: &Environment, ahead: bool) -> Message {
    let mut message = Message::default();
    let modules = code::put_modules(&version.modules, &mut message);
    message.attachments.push(Attachment::Service {
        stub: environment.own.clone(),
        open: true,
    });
    let bindings = environment
        .bindings
        .iter()
        .map(|(name, binding)| {
            let wire = match binding {
                Binding::Text(text) => BindingWire::Text(text),
                Binding::Json(json) => BindingWire::Json(json),
                Binding::Kv(_) => BindingWire::Kv,
                Binding::Fetcher(_) => BindingWire::Fetcher,
                Binding::RateLimit(_) => BindingWire::RateLimit,
                Binding::Analytics(_) => BindingWire::Analytics,
                Binding::StoreSecret { name, value } => BindingWire::StoreSecret {
                    name,
                    value: value.as_deref(),
                },
                Binding::Service(stub) => {
                    code::attach(stub, &mut message);
                    BindingWire::Service
                }
                Binding::Loader(_) => BindingWire::Loader,
                Binding::Cloned(value) => BindingWire::Cloned(code::put_cloned(value, &mut message)),
                Binding::Unbuilt(unbuilt) => BindingWire::Unbuilt(unbuilt.clone()),
            };
            (name.as_str(), wire)
        })
        .collect();
    let outbound = code::put_route(&environment.outbound_route, &mut message);
    let start = StartWire {
        slot,
        tenant: version.tenant.as_str(),
        name: version.name.as_str(),
        id: &version.id,
        main_module: &version.main_module,
        modules,
        compat_date: version.compat_date.to_string(),
        compat_flags: version.compat_flags.iter().map(String::as_str).collect(),
        limits: version.limits.clone(),
        created_ms: version.created_ms,
        bindings,
        outbound,
        traces: environment.logs.traces(),
        ahead,
    };
    message.head(&CallHead {
        export: None,
        call: CallWire::Start(start),
    });
    message
}

/// What a submitted event gets instead of an answer.
#[derive(Debug)]
pub enum RemoteRefusal {
    /// The slot has been retired or its child is gone: the event is given back for its successor.
    Retired(EventContext, Event),
    /// Refused: too much in flight.
    Fault(Fault),
}

/// Counters of a version in a child.
#[derive(Debug, Clone, Default)]
pub struct SlotMeter {
    /// Events accepted and not answered.
    pub in_flight: Arc<AtomicU32>,
    /// Events accepted.
    pub submitted: Arc<AtomicU64>,
    /// Isolates, as the child said last.
    pub isolates: Arc<AtomicU32>,
    /// What they hold, bytes, as the child said last.
    pub memory_bytes: Arc<AtomicU64>,
}

/// How long the answer to an event may take, by this side's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From the beginning: the limit and the whole time.
    pub(crate) wall: Option<(LimitHit, Duration)>,
    /// After it was cancelled.
    pub(crate) cancelled: (LimitHit, Duration),
}

impl Patience {
    fn of(limits: &Limits, event: &Event) -> Self {
        let hit = |limit, value| LimitHit {
            limit,
            value,
            request_id: None,
        };
        // The child's clock begins when an isolate takes the event, which may wait for another's turn.
        let within = |ms: u64| Duration::from_millis(ms.saturating_add(limits.cpu_ms)).saturating_add(ANSWER_SLACK);
        let wall = matches!(event, Event::Scheduled(_) | Event::Tail(_));
        Self {
            wall: wall.then(|| (hit(Limit::Wall, limits.wall_ms), within(limits.wall_ms))),
            cancelled: (
                hit(Limit::WaitUntil, limits.wait_until_ms),
                within(limits.wait_until_ms),
            ),
        }
    }
}

/// A worker version that runs in a child. Dropping it retires it without waiting: what is in flight finishes.
pub struct RemoteSlot {
    link: Arc<Inner>,
    slot: u64,
    version: Arc<WorkerVersion>,
    logs: Arc<dyn LogSink>,
    meter: SlotMeter,
    /// The child has been told that events will come, and has not answered.
    expecting: Arc<AtomicBool>,
    /// Set by retiring. Held for reading while an event is queued: none may come to stand behind the retirement, where the
    /// child would refuse it.
    closing: RwLock<bool>,
    ready: Arc<watch::Sender<Option<Result<(), Fault>>>>,
}

impl fmt::Debug for RemoteSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteSlot({} {})", self.version.name, self.version.id)
    }
}

impl RemoteSlot {
    /// The version.
    pub fn version(&self) -> &Arc<WorkerVersion> {
        &self.version
    }

    /// Events accepted and not answered.
    pub fn in_flight(&self) -> u32 {
        self.meter.in_flight.load(Ordering::Relaxed)
    }

    /// Isolates of it, as the child said last; 0: it has not said anything, or has none now.
    pub fn isolates(&self) -> usize {
        self.meter.isolates.load(Ordering::Relaxed) as usize
    }

    /// What these hold, bytes, as the child said last.
    pub fn memory_bytes(&self) -> u64 {
        self.meter.memory_bytes.load(Ordering::Relaxed)
    }

    /// Its counters, which outlive it for as long as events are in flight.
    pub fn meter(&self) -> SlotMeter {
        self.meter.clone()
    }

    /// Counts a limit that was reached here.
    pub fn count(&self, hit: LimitHit) {
        self.logs.limit(hit);
    }

    /// Sends an event, at once. The answer comes through what is returned.
    pub fn submit(&self, ctx: EventContext, event: Event) -> Result<RemoteAnswer, RemoteRefusal> {
        let core = &self.link.core;
        let closing = self.closing.read().unwrap_or_else(PoisonError::into_inner);
        if *closing || core.end().is_some() {
            return Err(RemoteRefusal::Retired(ctx, event));
        }
        let limit = self.version.limits.in_flight_max;
        let in_flight = &self.meter.in_flight;
        if in_flight.fetch_add(1, Ordering::Relaxed) >= limit {
            in_flight.fetch_sub(1, Ordering::Relaxed);
            let value = limit.into();
            self.logs.limit(LimitHit {
                limit: Limit::InFlight,
                value,
                request_id: None,
            });
            let text = format!("{limit} events are in flight for this worker already");
            let fault = Fault::limit(FaultKind::Overloaded, Limit::InFlight, value, &text);
            return Err(RemoteRefusal::Fault(fault));
        }
        self.meter.submitted.fetch_add(1, Ordering::Relaxed);
        let counted = InFlight(in_flight.clone());
        let patience = Patience::of(&self.version.limits, &event);
        let to = service::To::Slot {
            slot: self.slot,
            traces: self.logs.traces(),
        };
        let message = service::event_message(to, &ctx, event);
        match Waiting::begin(core, message, Some(ctx.cancel.token().clone()), Some(counted)) {
            Ok(waiting) => Ok(RemoteAnswer {
                core: core.clone(),
                waiting,
                ctx,
                patience,
            }),
            Err(error) => Err(RemoteRefusal::Fault(convert::lost(&error))),
        }
    }

    /// Runs an event. A retired slot answers [`FaultKind::Draining`].
    pub async fn dispatch(&self, ctx: EventContext, event: Event) -> Result<Outcome, Fault> {
        match self.submit(ctx, event) {
            Ok(answer) => answer.wait().await,
            Err(RemoteRefusal::Fault(fault)) => Err(fault),
            Err(RemoteRefusal::Retired(..)) => Err(Fault::new(FaultKind::Draining, "the worker's version was retired")),
        }
    }

    /// Waits until the modules have been evaluated for the first time: how that went.
    pub async fn ready(&self) -> Result<(), Fault> {
        let mut ready = self.ready.subscribe();
        match ready.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(result)) => result.clone(),
            _ => Err(Fault::new(FaultKind::Internal, "the worker's slot is gone")),
        }
    }

    /// Events will come: has an isolate made in the child, if there is none. Returns at once; asked again before the child has
    /// answered, it does nothing.
    pub fn expect(&self) {
        if self.expecting.swap(true, Ordering::AcqRel) {
            return;
        }
        let message = Message::of(&CallHead {
            export: None,
            call: CallWire::Expect { slot: self.slot },
        });
        let expecting = self.expecting.clone();
        let pending = Pending::then(move |_: Result<Received, CallError>| expecting.store(false, Ordering::Release));
        if let Err((error, pending)) = self.link.core.call(message, pending) {
            pending.waiter.answer(Err(error));
        }
    }

    /// Takes no more events, finishes those in flight, then drops the isolates. What is unfinished after `grace` is ended
    /// with [`FaultKind::Draining`]. Returns how many isolates that were; none if the child is gone.
    pub async fn retire(&self, grace: Duration) -> usize {
        let (done, cut) = oneshot::channel();
        if !self.ask_to_retire(grace, done) {
            return 0;
        }
        match tokio::time::timeout(grace.saturating_add(RETIRE_SLACK), cut).await {
            Ok(cut) => cut.unwrap_or(0) as usize,
            // The child does not even answer.
            Err(_) => 1,
        }
    }

    /// False if somebody else has asked.
    fn ask_to_retire(&self, grace: Duration, done: oneshot::Sender<u64>) -> bool {
        {
            let mut closing = self.closing.write().unwrap_or_else(PoisonError::into_inner);
            if std::mem::replace(&mut *closing, true) {
                return false;
            }
        }
        let message = Message::of(&CallHead {
            export: None,
            call: CallWire::Retire {
                slot: self.slot,
                grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
            },
        });
        let (capabilities, slot) = (self.link.capabilities.clone(), self.slot);
        let pending = Pending::then(move |answer: Result<Received, CallError>| {
            capabilities.remove(slot);
            let cut = answer.ok().and_then(|message| message.decode::<u64>().ok());
            // Who dropped the slot does not wait.
            let _ = done.send(cut.unwrap_or(0));
        });
        if let Err((error, pending)) = self.link.core.call(message, pending) {
            pending.waiter.answer(Err(error));
        }
        true
    }
}

impl Drop for RemoteSlot {
    fn drop(&mut self) {
        // It finishes what it has, however long that takes.
        let (done, _) = oneshot::channel();
        self.ask_to_retire(Duration::MAX, done);
    }
}

/// The answer to a submitted event, when it comes. Dropping it does not stop the event.
pub struct RemoteAnswer {
    core: Arc<Core>,
    waiting: Waiting,
    ctx: EventContext,
    patience: Patience,
}

impl fmt::Debug for RemoteAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteAnswer")
            .field("ctx", &self.ctx)
            .finish_non_exhaustive()
    }
}

impl RemoteAnswer {
    /// Waits for it, and passes a cancellation of the event's token on. A child that does not answer in time, though its
    /// own watch should have made it, is thrown out: [`LinkError::Overdue`].
    pub async fn wait(self) -> Result<Outcome, Fault> {
        service::outcome(
            &self.core,
            Ok::<_, CallError>(self.waiting),
            &self.ctx,
            Some(self.patience),
        )
        .await
    }
}
