//! The child's end: runs what the parent sends.
//!
//! ```ignore
//! // In the child, on its main thread, with a tokio runtime that has I/O and time:
//! let why = atoll_link::serve(stream, runner, build_id, clock).await;   // until the parent closes or is gone
//! std::process::exit(if matches!(why, LinkError::Closed) { 0 } else { 1 });
//! ```
//!
//! The binary implements [`Runner`] over its pool. An event is given with a [`Reply`](atoll_worker::Reply) that writes the
//! outcome into the link from whichever thread answers; no task waits for it.

use crate::capability::{context, service_call};
use crate::convert::{answer_message, take_event};
use crate::core::{Core, Side};
use crate::driver::{Answerer, Driver, Handler, Incoming, Segment};
use crate::message::{Message, Received, decode};
use crate::proxy::{Logs, Proxy, Way};
use crate::segment::SegmentWriter;
use crate::wire::{BindingWire, CallHead, CallWire, StartWire};
use crate::{LinkError, code};
use async_trait::async_trait;
use atoll_model::{TenantId, WorkerName, WorkerVersion};
use atoll_stdx::{Clock, TaskGroup};
use atoll_worker::{
    AnswerSink, Binding, Environment, Event, EventContext, Fault, FaultKind, Job, Outcome, Reply, ServiceStub, StartTls,
};
use futures_util::future::{AbortHandle, Abortable};
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

/// Runs versions: what the binary makes of its pool.
pub trait Runner: Send + Sync + 'static {
    /// Starts a version, at once; [`Running::ready`] says when it runs. `ahead`: no event waits for it.
    fn start(&self, version: Arc<WorkerVersion>, environment: Environment, ahead: bool) -> Arc<dyn Running>;
}

/// A version that runs.
#[async_trait]
pub trait Running: Send + Sync + 'static {
    /// Queues an event. Must answer `job.reply`, also when it refuses.
    fn submit(&self, job: Job);

    /// Waits until the version is ready: how that went.
    async fn ready(&self) -> Result<(), Fault>;

    /// Events will come: has an isolate made if there is none. Returns at once.
    fn expect(&self) {}

    /// Takes no more events and finishes those in flight; what is unfinished after `grace` is ended. Returns how many
    /// isolates that were.
    async fn retire(&self, grace: Duration) -> usize;
}

/// Serves the parent over `stream`, and with the segment whose other side it has, until the link ends; then everything that still runs has been cancelled. What goes on
/// beside (start-ups, retirements, calls of services) runs as tasks of the calling runtime.
pub async fn serve<S>(
    stream: S,
    segment: Option<SegmentWriter>,
    runner: Arc<dyn Runner>,
    build: &str,
    clock: Arc<dyn Clock>,
) -> LinkError
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let core = Core::new(Side::Child);
    let tasks = TaskGroup::new();
    let child = Arc::new(Child {
        runner,
        clock,
        tasks: tasks.clone(),
        slots: Mutex::default(),
    });
    let segment = segment.map_or(Segment::None, Segment::Writer);
    let error = Driver::new(core, child, build, stream, segment).run().await;
    tasks.drain(Duration::ZERO).await;
    error
}

struct Slot {
    version: Arc<WorkerVersion>,
    running: Arc<dyn Running>,
    /// As its environment's sink has it.
    traces: Arc<AtomicBool>,
}

/// What the child knows of a slot's number.
enum Known {
    /// Its version, a large message, is still on its way: what came for it meanwhile, in order.
    Early(Vec<Early>),
    Running(Arc<Slot>),
    /// Its number will not come again. One byte and a number for each version that ever ran here.
    Retired,
}

enum Early {
    /// `true`: somebody takes trace items.
    Event(bool, EventContext, Event, Reply),
    Retire(Duration, Answerer),
}

struct Child {
    runner: Arc<dyn Runner>,
    clock: Arc<dyn Clock>,
    tasks: TaskGroup,
    slots: Mutex<HashMap<u64, Known>>,
}

/// Writes a job's answer into the link.
#[derive(Debug)]
struct Sink(Answerer);

impl AnswerSink for Sink {
    fn answer(self: Box<Self>, answer: Result<Outcome, Fault>) -> Result<(), Result<Outcome, Fault>> {
        let Self(answerer) = *self;
        if answerer.is_gone() {
            // Dropped, it tells the parent that there is no answer.
            return Err(answer);
        }
        answerer.answer(answer_message(answer));
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.0.is_gone()
    }
}

impl Child {
    fn slots(&self) -> MutexGuard<'_, HashMap<u64, Known>> {
        // Under the lock are changes of one entry; nothing foreign runs.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events and the retirement of a slot, in the order in which they came, also before it runs.
    fn bring(&self, slot: u64, early: Early) -> Option<AbortHandle> {
        let running = {
            let mut slots = self.slots();
            match (slots.entry(slot).or_insert_with(|| Known::Early(Vec::new())), &early) {
                (Known::Early(waiting), _) => {
                    waiting.push(early);
                    return None;
                }
                (Known::Running(running), Early::Event(..)) => Some(running.clone()),
                (known @ Known::Running(_), Early::Retire(..)) => match std::mem::replace(known, Known::Retired) {
                    Known::Running(running) => Some(running),
                    Known::Early(_) | Known::Retired => None,
                },
                (Known::Retired, _) => None,
            }
        };
        match (early, running) {
            (Early::Event(traces, mut ctx, event, reply), Some(running)) => {
                running.traces.store(traces, Ordering::Relaxed);
                ctx.tenant = running.version.tenant.clone();
                ctx.worker = running.version.name.clone();
                running.running.submit(Job { ctx, event, reply });
                None
            }
            (Early::Event(_, _, _, reply), None) => {
                let fault = Fault::new(FaultKind::Draining, "the worker's version was retired");
                // Who does not wait any more has gone.
                let _ = reply.send(Err(fault));
                None
            }
            (Early::Retire(grace, answerer), Some(running)) => {
                let retired = async move { Message::of(&(running.running.retire(grace).await as u64)) };
                Some(self.later(retired, answerer))
            }
            (Early::Retire(_, answerer), None) => {
                answerer.answer(Message::of(&0u64));
                None
            }
        }
    }

    /// Answers `work`'s message when it comes.
    fn later(&self, work: impl Future<Output = Message> + Send + 'static, answerer: Answerer) -> AbortHandle {
        let (abort, registration) = AbortHandle::new_pair();
        let work = Abortable::new(async move { answerer.answer(work.await) }, registration);
        self.tasks.spawn(async move {
            // Aborted, it has dropped its answerer, which says so.
            let _ = work.await;
        });
        abort
    }

    fn start(&self, core: &Arc<Core>, wire: StartWire<'_>, message: &mut Received) -> Result<Arc<Slot>, LinkError> {
        let slot = wire.slot;
        let way = Way {
            core: core.clone(),
            slot,
        };
        let modules = code::take_modules(&wire.modules, message)?;
        let own = message.service()?;
        let mut bindings = Vec::with_capacity(wire.bindings.len());
        for (index, (name, binding)) in wire.bindings.into_iter().enumerate() {
            let proxy = || {
                Arc::new(Proxy {
                    way: way.clone(),
                    binding: index as u32,
                })
            };
            let binding = match binding {
                BindingWire::Text(text) => Binding::Text(text.to_owned()),
                BindingWire::Json(json) => Binding::Json(json.to_owned()),
                BindingWire::Kv => Binding::Kv(proxy()),
                BindingWire::Fetcher => Binding::Fetcher(proxy()),
                BindingWire::RateLimit => Binding::RateLimit(proxy()),
                BindingWire::Analytics => Binding::Analytics(proxy()),
                BindingWire::StoreSecret { name, value } => Binding::StoreSecret {
                    name: name.to_owned(),
                    value: value.map(str::to_owned),
                },
                BindingWire::Service => Binding::Service(message.service()?),
                BindingWire::Loader => Binding::Loader(Arc::new(code::Loader {
                    way: way.clone(),
                    binding: index as u32,
                })),
                BindingWire::Cloned(value) => Binding::Cloned(code::take_cloned(&value, message)?),
                BindingWire::Unbuilt(unbuilt) => Binding::Unbuilt(unbuilt),
            };
            bindings.push((name.to_owned(), binding));
        }
        let outbound_route = code::take_route(wire.outbound, message)?;
        let compat_date = code::date(&wire.compat_date)?;
        let version = Arc::new(WorkerVersion {
            tenant: TenantId::new(wire.tenant),
            name: WorkerName::new(wire.name),
            id: wire.id.to_owned(),
            main_module: wire.main_module.to_owned(),
            modules,
            compat_date,
            compat_flags: wire.compat_flags.into_iter().map(str::to_owned).collect(),
            // What they are for stays with the parent.
            bindings: Vec::new(),
            crons: Vec::new(),
            tail_consumers: Vec::new(),
            limits: wire.limits,
            outbound: Default::default(),
            created_ms: wire.created_ms,
            tag: String::new(),
        });
        let traces = Arc::new(AtomicBool::new(wire.traces));
        let environment = Environment {
            bindings,
            outbound: Arc::new(way.clone()),
            outbound_route,
            own,
            cache: Arc::new(way.clone()),
            logs: Arc::new(Logs {
                way,
                traces: traces.clone(),
                dropped: AtomicU64::new(0),
            }),
            clock: self.clock.clone(),
        };
        let running = self.runner.start(version.clone(), environment, wire.ahead);
        let held = Arc::new(Slot {
            version,
            running,
            traces,
        });
        let early = self.slots().insert(slot, Known::Running(held.clone()));
        if let Some(Known::Early(early)) = early {
            for early in early {
                self.bring(slot, early);
            }
        }
        Ok(held)
    }

    fn handle(&self, call: Incoming) -> Result<Option<AbortHandle>, (Answerer, LinkError)> {
        let Incoming {
            mut message,
            cancel,
            answerer,
        } = call;
        let head = std::mem::take(&mut message.head);
        let call = match decode::<CallHead<'_>>(&head) {
            Ok(head) => head.call,
            Err(error) => return Err((answerer, error)),
        };
        match call {
            CallWire::Start(wire) => {
                let core = answerer.core().clone();
                let slot = match self.start(&core, wire, &mut message) {
                    Ok(slot) => slot,
                    Err(error) => return Err((answerer, error)),
                };
                let ready = async move { Message::of(&slot.running.ready().await) };
                Ok(Some(self.later(ready, answerer)))
            }
            CallWire::Event {
                slot,
                traces,
                ctx,
                event,
            } => {
                let event = match take_event(event, &mut message) {
                    Ok(event) => event,
                    Err(error) => return Err((answerer, error)),
                };
                let reply = Reply::to(Box::new(Sink(answerer)));
                // Whose it is the slot knows.
                let ctx = context(&ctx, TenantId::new(""), WorkerName::new(""), cancel);
                Ok(self.bring(slot, Early::Event(traces, ctx, event, reply)))
            }
            CallWire::Retire { slot, grace_ms } => {
                let grace = Duration::from_millis(grace_ms);
                Ok(self.bring(slot, Early::Retire(grace, answerer)))
            }
            CallWire::Expect { slot } => {
                let running = match self.slots().get(&slot) {
                    Some(Known::Running(running)) => Some(running.clone()),
                    // It is being started, or not wanted any more.
                    Some(Known::Early(_) | Known::Retired) | None => None,
                };
                if let Some(running) = running {
                    running.running.expect();
                }
                answerer.answer(Message::of(&()));
                Ok(None)
            }
            CallWire::Service { .. } | CallWire::Binding { .. } | CallWire::Common { .. } | CallWire::Supply { .. } => {
                let error = LinkError::violation("a call that only a child makes");
                Err((answerer, error))
            }
        }
    }
}

impl Handler for Child {
    fn call(&self, call: Incoming) -> Option<AbortHandle> {
        match self.handle(call) {
            Ok(abort) => abort,
            Err((answerer, error)) => {
                answerer.violation(error);
                None
            }
        }
    }

    fn service(&self, stub: ServiceStub, open: bool, call: Incoming) -> Option<AbortHandle> {
        let Incoming {
            mut message,
            cancel,
            answerer,
        } = call;
        match service_call(stub, open, &mut message, cancel) {
            Ok(begun) => Some(self.later(begun, answerer)),
            Err(error) => {
                answerer.violation(error);
                None
            }
        }
    }

    fn notice(&self, _: Received) -> Result<(), LinkError> {
        Err(LinkError::violation("a notice that only a child sends"))
    }

    fn start_tls(&self, _: oneshot::Sender<StartTls>, _: Option<String>, answerer: Answerer) {
        answerer.violation(LinkError::violation("it asks a child for TLS"));
    }
}
