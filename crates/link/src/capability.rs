//! The parent's side of what a child asks for: slots, their environments, and the calls of their capabilities.
//!
//! A call is looked up, read and begun at once; what is answered without waiting needs no task. The rest goes on in the
//! link's task group and is dropped when the child says so or is gone.

use crate::convert::{self, connection_message, response_message, take_event};
use crate::driver::{Answerer, Handler, Incoming};
use crate::limits::CODES_MAX;
use crate::message::{Attachment, Message, Received, decode};
use crate::parent::SlotMeter;
use crate::wire::{
    BindingCallWire, BoundWire, CallHead, CallWire, CommonCallWire, ContextWire, KvEntryWire, KvListWire, NoticeWire,
};
use crate::{LinkError, code};
use atoll_model::{RequestId, TenantId, WorkerName, WorkerVersion};
use atoll_stdx::TaskGroup;
use atoll_worker::{
    Binding, BindingError, BindingErrorKind, CacheKey, CodeSink, ConnectError, ConnectErrorKind, Entry, Environment,
    EventContext, KvEntry, KvListOptions, KvPut, LogRecord, NameError, NameErrorKind, NameRecord, OutboundRequest,
    OutboundRoute, RateLimitAsk, Response, ResponseHead, ServiceStub, StartTls, TraceContext, Usage, VersionChoice,
    WorkerLoader,
};
use futures_util::future::{AbortHandle, Abortable};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll, Waker};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// A slot of the child, as the parent knows it.
/// The most CPU that one notice may tell of, microseconds.
const CPU_BELIEVED_MAX: u64 = 60_000_000;
/// The most isolates of a version that a child may say it has.
const ISOLATES_BELIEVED_MAX: u32 = 10_000;
/// The most bytes that it may say these hold.
const MEMORY_BELIEVED_MAX: u64 = 1 << 40;

struct Held {
    tenant: TenantId,
    worker: WorkerName,
    environment: Environment,
    meter: SlotMeter,
}

pub(crate) struct Capabilities {
    tasks: TaskGroup,
    next: AtomicU64,
    slots: RwLock<HashMap<u64, Arc<Held>>>,
    codes: Arc<Mutex<Codes>>,
}

/// Dynamic workers whose code was asked for.
#[derive(Default)]
struct Codes {
    next: u64,
    sinks: HashMap<u64, Box<dyn CodeSink>>,
}

type Begun = Pin<Box<dyn Future<Output = Message> + Send>>;

impl Capabilities {
    pub(crate) fn new(tasks: TaskGroup) -> Self {
        Self {
            tasks,
            next: AtomicU64::new(0),
            slots: RwLock::default(),
            codes: Arc::default(),
        }
    }

    pub(crate) fn insert(&self, version: &WorkerVersion, environment: Environment, meter: SlotMeter) -> u64 {
        let slot = self.next.fetch_add(1, Ordering::Relaxed);
        let held = Arc::new(Held {
            tenant: version.tenant.clone(),
            worker: version.name.clone(),
            environment,
            meter,
        });
        // A panic under the lock cannot leave the table half-changed: it is one insert or remove.
        self.slots
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(slot, held);
        slot
    }

    pub(crate) fn remove(&self, slot: u64) {
        let held = self.slots.write().unwrap_or_else(PoisonError::into_inner).remove(&slot);
        drop(held);
    }

    /// The slot; `None` if it is retired. One that never was is a violation.
    fn slot(&self, slot: u64) -> Result<Option<Arc<Held>>, LinkError> {
        let held = self
            .slots
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&slot)
            .cloned();
        if held.is_none() && slot >= self.next.load(Ordering::Relaxed) {
            return Err(LinkError::violation(format!("slot {slot}, which never was")));
        }
        Ok(held)
    }

    /// Runs `begun` now as far as it goes, and the rest in a task.
    fn go_on(&self, mut begun: Begun, answerer: Answerer) -> Option<AbortHandle> {
        // Nothing is lost by a waker that does nothing: who is not ready is polled again at once, by its task.
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(message) = begun.as_mut().poll(&mut cx) {
            answerer.answer(message);
            return None;
        }
        let (abort, registration) = AbortHandle::new_pair();
        let work = Abortable::new(async move { answerer.answer(begun.await) }, registration);
        self.tasks.spawn(async move {
            // Aborted, it has dropped its answerer, which says so.
            let _ = work.await;
        });
        Some(abort)
    }

    fn begin(&self, message: &mut Received, cancel: CancellationToken) -> Result<Option<Begun>, LinkError> {
        let head = std::mem::take(&mut message.head);
        match decode::<CallHead<'_>>(&head)?.call {
            CallWire::Binding {
                slot,
                binding,
                ctx,
                call,
            } => {
                let Some(held) = self.slot(slot)? else { return Ok(None) };
                let ctx = held.context(&ctx, cancel);
                let Some((name, found)) = held.environment.bindings.get(binding as usize) else {
                    return Err(LinkError::violation(format!(
                        "binding {binding} of slot {slot}, which has fewer"
                    )));
                };
                if let (Binding::Loader(loader), BindingCallWire::Load { id }) = (found, &call) {
                    return Ok(Some(load(loader, *id, self.codes.clone())));
                }
                bound(found, ctx, call, message)?.map(Some).ok_or_else(|| {
                    LinkError::violation(format!("a call that binding \"{name}\" of slot {slot} does not have"))
                })
            }
            CallWire::Common { slot, ctx, call } => {
                let Some(held) = self.slot(slot)? else { return Ok(None) };
                let ctx = held.context(&ctx, cancel);
                common(&held.environment, ctx, call, message).map(Some)
            }
            CallWire::Supply { code, supplied } => {
                let supplied = match supplied {
                    Ok(wire) => Ok(code::take_code(wire, message)?),
                    Err(fault) => Err(fault),
                };
                let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
                if code >= codes.next {
                    return Err(LinkError::violation(format!(
                        "code number {code}, which nobody asked for"
                    )));
                }
                let sink = codes.sinks.remove(&code);
                drop(codes);
                if let Some(sink) = sink {
                    sink.supply(supplied);
                }
                Ok(Some(Box::pin(std::future::ready(Message::of(&())))))
            }
            _ => Err(LinkError::violation("a call that only a parent makes")),
        }
    }
}

impl Held {
    /// Whose event it is this side knows; of the rest it takes the child's word.
    fn context(&self, wire: &ContextWire<'_>, cancel: CancellationToken) -> EventContext {
        context(wire, self.tenant.clone(), self.worker.clone(), cancel)
    }
}

/// The context of a call for `worker`.
pub(crate) fn context(
    wire: &ContextWire<'_>,
    tenant: TenantId,
    worker: WorkerName,
    cancel: CancellationToken,
) -> EventContext {
    EventContext {
        tenant,
        worker,
        request_id: RequestId(wire.request_id),
        cancel: cancel.into(),
        trace: wire
            .traceparent
            .as_deref()
            .and_then(|parent| TraceContext::read(parent, wire.tracestate)),
        entry: Entry {
            name: wire.entrypoint.map(Into::into),
            props: wire.props.map(|props| props.props()),
            depth: wire.depth,
        },
        // Which version runs is this side's to say.
        version: VersionChoice {
            exactly: None,
            key: wire.version_key.map(Into::into),
        },
        // So is what a number stands for, and whose it is.
        route: wire.route,
    }
}

/// Asks a loader for a worker. Its answer says whether it needs the code, which it knows at once or soon.
fn load(loader: &Arc<dyn WorkerLoader>, id: Option<&str>, codes: Arc<Mutex<Codes>>) -> Begun {
    let (ask, asked) = oneshot::channel();
    let service = loader.get(id.map(Into::into), ask);
    Box::pin(async move {
        let code = asked.await.ok().and_then(|sink| {
            let mut codes = codes.lock().unwrap_or_else(PoisonError::into_inner);
            if codes.sinks.len() >= CODES_MAX {
                // Dropped, the sink fails those who wait.
                drop(codes);
                drop(sink);
                return None;
            }
            let code = codes.next;
            codes.next += 1;
            codes.sinks.insert(code, sink);
            Some(code)
        });
        let mut message = Message::default();
        let open = true;
        let stub = ServiceStub::new(service);
        message.attachments.push(Attachment::Service { stub, open });
        message.head(&code);
        message
    })
}

fn owned(keys: Vec<&str>) -> Vec<String> {
    keys.into_iter().map(str::to_owned).collect()
}

/// Begins an operation of a binding; `None` if it has no such operation.
fn bound(
    binding: &Binding,
    ctx: EventContext,
    call: BindingCallWire<'_>,
    message: &mut Received,
) -> Result<Option<Begun>, LinkError> {
    Ok(Some(match (binding, call) {
        (Binding::Kv(kv), BindingCallWire::KvGet { keys }) => {
            let (kv, keys) = (kv.clone(), owned(keys));
            Box::pin(async move { kv_entries(kv.get(&ctx, keys).await) })
        }
        (
            Binding::Kv(kv),
            BindingCallWire::KvPut {
                key,
                metadata,
                expiration,
                expiration_ttl,
            },
        ) => {
            let put = KvPut {
                key: key.to_owned(),
                value: message.blob()?,
                metadata: metadata.map(str::to_owned),
                expiration,
                expiration_ttl,
            };
            let kv = kv.clone();
            Box::pin(async move { Message::of(&kv.put(&ctx, put).await) })
        }
        (Binding::Kv(kv), BindingCallWire::KvDelete { keys }) => {
            let (kv, keys) = (kv.clone(), owned(keys));
            Box::pin(async move { Message::of(&kv.delete(&ctx, keys).await) })
        }
        (Binding::Kv(kv), BindingCallWire::KvList { prefix, limit, cursor }) => {
            let options = KvListOptions {
                prefix: prefix.to_owned(),
                limit,
                cursor: cursor.map(str::to_owned),
            };
            let kv = kv.clone();
            Box::pin(async move {
                let list = kv.list(&ctx, options).await.map(|list| KvListWire {
                    keys: list.keys,
                    cursor: list.cursor,
                });
                Message::of(&list)
            })
        }
        (Binding::Fetcher(fetcher), BindingCallWire::Fetch { request }) => {
            let request = convert::take_request(request, message)?;
            let fetcher = fetcher.clone();
            Box::pin(async move { response_message(fetcher.fetch(&ctx, request).await) })
        }
        (
            Binding::RateLimit(limiter),
            BindingCallWire::Limit {
                key,
                limit,
                period_seconds,
                delta,
            },
        ) => {
            let ask = RateLimitAsk {
                limit,
                period_seconds,
                delta,
            };
            let (limiter, key) = (limiter.clone(), key.to_owned());
            Box::pin(async move { Message::of(&limiter.limit(&ctx, &key, ask).await) })
        }
        _ => return Ok(None),
    }))
}

fn kv_entries(entries: Result<Vec<Option<KvEntry>>, BindingError>) -> Message {
    let mut message = Message::default();
    match entries {
        Ok(entries) => {
            let wire: Vec<_> = entries
                .iter()
                .map(|entry| {
                    entry.as_ref().map(|entry| {
                        message.blobs.push(entry.value.clone());
                        KvEntryWire {
                            metadata: entry.metadata.as_deref(),
                            expiration: entry.expiration,
                        }
                    })
                })
                .collect();
            message.head(&BoundWire::Ok(wire));
        }
        Err(error) => message.head(&BoundWire::<Vec<Option<KvEntryWire<'_>>>>::Err(error)),
    }
    message
}

/// Begins an operation of what every environment has.
fn common(
    environment: &Environment,
    ctx: EventContext,
    call: CommonCallWire<'_>,
    message: &mut Received,
) -> Result<Begun, LinkError> {
    let key = |wire: crate::wire::CacheKeyWire<'_>| CacheKey {
        cache: wire.cache.map(str::to_owned),
        url: wire.url.to_owned(),
        headers: wire.headers.0.into_owned(),
    };
    let cache = environment.cache.clone();
    let is_network = matches!(environment.outbound_route, OutboundRoute::Network);
    Ok(match call {
        // The engine throws without asking, or asks the service that stands in the network's place.
        CommonCallWire::Fetch { .. } if !is_network => {
            let denied = BindingError::rejected("this worker has no network");
            Box::pin(std::future::ready(response_message(Err(denied))))
        }
        CommonCallWire::Connect { .. } if !is_network => {
            let denied = ConnectError::new(ConnectErrorKind::Denied, "this worker has no network");
            Box::pin(std::future::ready(connection_message(Err(denied))))
        }
        CommonCallWire::Resolve { .. } if !is_network => {
            let denied = NameError::new(NameErrorKind::Refused, "this worker has no network");
            Box::pin(std::future::ready(Message::of(&Err::<Vec<NameRecord>, _>(denied))))
        }
        CommonCallWire::Resolve { question } => {
            let outbound = environment.outbound.clone();
            Box::pin(async move { Message::of(&outbound.resolve(&ctx, question).await) })
        }
        CommonCallWire::Fetch {
            request,
            redirect,
            redirects_max,
        } => {
            let request = OutboundRequest {
                request: convert::take_request(request, message)?,
                redirect,
                redirects_max,
            };
            let outbound = environment.outbound.clone();
            Box::pin(async move { response_message(outbound.fetch(&ctx, request).await) })
        }
        CommonCallWire::Connect { request } => {
            let outbound = environment.outbound.clone();
            Box::pin(async move { connection_message(outbound.connect(&ctx, request).await) })
        }
        CommonCallWire::CacheFind { key: wire } => {
            let key = key(wire);
            Box::pin(async move {
                match cache.find(&ctx, key).await {
                    Ok(None) => Message::of(&BoundWire::<Option<()>>::Ok(None)),
                    Ok(Some(Response { head, body, websocket })) => {
                        let mut message = Message::default();
                        let wire = convert::put_response(&head, body, websocket, &mut message);
                        message.head(&BoundWire::Ok(Some(wire)));
                        message
                    }
                    Err(error) => Message::of(&BoundWire::<Option<()>>::Err(error)),
                }
            })
        }
        CommonCallWire::CachePut { key: wire, head, body } => {
            let key = key(wire);
            let head = ResponseHead::try_from(head).map_err(|error| LinkError::violation(error.to_string()))?;
            let body = convert::take_body(body, message)?;
            Box::pin(async move { Message::of(&cache.put(&ctx, key, head, body).await) })
        }
        CommonCallWire::CacheDelete { key: wire } => {
            let key = key(wire);
            Box::pin(async move { Message::of(&cache.delete(&ctx, key).await) })
        }
    })
}

impl Handler for Capabilities {
    fn call(&self, call: Incoming) -> Option<AbortHandle> {
        let Incoming {
            mut message,
            cancel,
            answerer,
        } = call;
        match self.begin(&mut message, cancel) {
            Ok(Some(begun)) => self.go_on(begun, answerer),
            Ok(None) => {
                answerer.refuse("the worker's version was retired");
                None
            }
            Err(error) => {
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
            Ok(begun) => self.go_on(begun, answerer),
            Err(error) => {
                answerer.violation(error);
                None
            }
        }
    }

    fn notice(&self, message: Received) -> Result<(), LinkError> {
        let (slot, notice) = match message.decode::<NoticeWire<'_>>()? {
            notice @ (NoticeWire::Log { slot, .. }
            | NoticeWire::Exception { slot, .. }
            | NoticeWire::Limit { slot, .. }
            | NoticeWire::Start { slot, .. }
            | NoticeWire::Trace { slot, .. }
            | NoticeWire::Point { slot, .. }
            | NoticeWire::Used { slot, .. }
            | NoticeWire::Dropped { slot, .. }) => (slot, notice),
        };
        let Some(held) = self.slot(slot)? else { return Ok(()) };
        let logs = &held.environment.logs;
        match notice {
            NoticeWire::Log {
                level,
                message,
                timestamp_ms,
                request_id,
                span,
                ..
            } => logs.log(LogRecord {
                level,
                message: message.to_owned(),
                timestamp_ms,
                request_id: request_id.map(RequestId),
                span,
            }),
            NoticeWire::Exception {
                request_id, exception, ..
            } => logs.exception(request_id.map(RequestId), exception),
            NoticeWire::Limit { hit, .. } => logs.limit(hit),
            NoticeWire::Start { note, .. } => logs.start(note),
            NoticeWire::Trace { item, .. } => logs.trace(item.to_owned()),
            NoticeWire::Used { usage, .. } => {
                // A child may say what it likes, but not so that sums run over.
                if let Some(told) = usage.held {
                    let meter = &held.meter;
                    meter
                        .isolates
                        .store(told.isolates.min(ISOLATES_BELIEVED_MAX), Ordering::Relaxed);
                    meter
                        .memory_bytes
                        .store(told.memory_bytes.min(MEMORY_BELIEVED_MAX), Ordering::Relaxed);
                }
                // What goes through this process is counted here.
                logs.used(Usage {
                    cpu_us: usage.cpu_us.min(CPU_BELIEVED_MAX),
                    route: usage.route,
                    ..Usage::default()
                });
            }
            NoticeWire::Point { binding, point, .. } => match held.environment.bindings.get(binding as usize) {
                Some((_, Binding::Analytics(dataset))) => dataset.write(point),
                _ => {
                    let text = format!("a data point for binding {binding} of slot {slot}, which is no dataset");
                    return Err(LinkError::violation(text));
                }
            },
            NoticeWire::Dropped { count, .. } => {
                let (tenant, worker) = (&held.tenant, &held.worker);
                tracing::warn!(%tenant, %worker, count, "records of a worker were dropped: they came too fast");
            }
        }
        Ok(())
    }

    fn start_tls(&self, ask: oneshot::Sender<StartTls>, server_name: Option<String>, answerer: Answerer) {
        let (reply, connected) = oneshot::channel();
        // Who is gone drops `reply`, too.
        let _ = ask.send(StartTls { server_name, reply });
        let begun = Box::pin(async move {
            let gone = || ConnectError::new(ConnectErrorKind::Failed, "the connection is gone");
            connection_message(connected.await.unwrap_or_else(|_| Err(gone())))
        });
        self.go_on(begun, answerer);
    }
}

/// An event for a service of this side. With `open`, the other side says which entrypoint it is for.
pub(crate) fn service_call(
    mut stub: ServiceStub,
    open: bool,
    message: &mut Received,
    cancel: CancellationToken,
) -> Result<Begun, LinkError> {
    let head = std::mem::take(&mut message.head);
    let CallWire::Service { ctx, event } = decode::<CallHead<'_>>(&head)?.call else {
        return Err(LinkError::violation("a call of a service that is none"));
    };
    // A service knows itself whose it is.
    let ctx = context(&ctx, TenantId::new(""), WorkerName::new(""), cancel);
    if open {
        stub.entrypoint.clone_from(&ctx.entry.name);
        stub.props.clone_from(&ctx.entry.props);
    }
    let mut event = take_event(event, message)?;
    if let atoll_worker::Event::Fetch(request) = &mut event {
        // What only a front may say of a client.
        request.head.client = None;
        request.head.peer = None;
    }
    Ok(Box::pin(async move {
        convert::answer_message(stub.dispatch(ctx, event).await)
    }))
}

/// What the child's proxies say when the parent gave no answer.
pub(crate) fn unavailable(error: &crate::error::CallError) -> BindingError {
    BindingError {
        kind: BindingErrorKind::Unavailable,
        message: error.to_string(),
    }
}
