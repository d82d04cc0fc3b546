//! One isolate: jobs in, turns, answers out.
//!
//! A turn: hand the delivered jobs to their handlers, then run V8's event loop once (timers, finished ops, microtasks).
//! The handlers' answers leave through ops while they run.
//!
//! What goes wrong:
//! - start-up fails: every job, now and later, is answered with that fault; the instance is broken;
//! - the turn is terminated from outside ([`Interrupt`]) or the heap is full: every job is answered with the fault that
//!   the terminator gave; the instance is broken, because V8 promises nothing about half-done JavaScript;
//! - nothing is left that could ever run and a job has no answer: [`FaultKind::NeverSettles`].

use crate::cage::Seat;
use crate::code::Code;
use crate::exception::from_core_error;
use crate::inspect::Debugger;
use crate::interrupt::{JsInterrupt, Looked, in_main_context};
use crate::memory::{self, Buffers};
use crate::meter::HELPERS_LOOK;
use crate::modules::{Loader, Worker, url_of};
use crate::native::Native;
use crate::ops::body::Source;
use crate::ops::event::plain_request;
use crate::ops::rpc::Link;
use crate::ops::service::ServiceHandle;
use crate::prepare::{Bridge, JsPrepared, call};
use crate::state::IsolateState;
use crate::text::Texts;
use crate::wasm;
use atoll_model::WorkerVersion;
use atoll_worker::{
    Binding, Body, CpuGauge, Entry, Environment, Event, Fault, FaultKind, Inspections, Instance, InstanceState,
    Interrupt, Job, JsException, Props, Request, RpcLink, ScheduledEvent,
};
use deno_core::error::{CoreError, CoreErrorKind};
use deno_core::{JsRuntime, PollEventLoopOptions, v8};
use http::Method;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::time::Sleep;

/// How often the event loop may say "nothing to do" while modules are still being evaluated before that counts as never
/// finishing.
const STALLED_TURNS_MAX: u32 = 3;

/// A worker that is never idle offers its code to the cache after so many turns with an event.
const OFFER_AFTER_TURNS: u32 = 64;

/// The compatibility flag by which modules may make code from text while they are evaluated.
const EVAL_AT_STARTUP: &str = "allow_eval_during_startup";

/// Methods that a number stands for, as `js/91_dispatch.js` has them.
const METHODS: [Method; 3] = [Method::GET, Method::HEAD, Method::POST];

type Evaluation = Pin<Box<dyn Future<Output = Result<(), CoreError>>>>;

enum Phase {
    Created,
    Evaluating {
        module: deno_core::ModuleId,
        evaluation: Evaluation,
        stalled: u32,
    },
    Ready,
    Broken(Fault),
}

/// An isolate that runs one worker.
pub(crate) struct JsInstance {
    phase: Phase,
    /// See [`JsEngineOptions::conformance`].
    conformance: bool,
    jobs: VecDeque<Box<Job>>,
    /// Turns in which an event was handled, until its code is offered to the cache.
    handled: u32,
    state: Rc<IsolateState>,
    interrupt: Arc<JsInterrupt>,
    bridge: Bridge,
    /// Where a request's head is put together.
    wire: Vec<u8>,
    /// Goes before the runtime.
    debugger: Option<Rc<Debugger>>,
    /// When helpers' threads are looked at again, while they work.
    helpers: Option<Pin<Box<Sleep>>>,
    /// When open events' deadlines are looked at again.
    deadlines: Option<Pin<Box<Sleep>>>,
    loader: Rc<Loader>,
    buffers: Arc<Buffers>,
    native: Rc<Native>,
    runtime: JsRuntime,
    /// After the runtime, whose strings lie in it.
    _texts: Arc<Texts>,
    /// After the runtime, which looks into it.
    _watched: Box<memory::Watched>,
    /// After the runtime, which is in it.
    _seat: Seat,
}

pub(crate) fn internal(what: &str) -> Fault {
    Fault::new(
        FaultKind::Internal,
        format!("the JavaScript engine's own scripts are broken: {what}"),
    )
}

impl JsInstance {
    /// Makes `prepared` the isolate of `version`, whose heap has the limit that it was made with.
    pub fn new(prepared: JsPrepared, version: Arc<WorkerVersion>, env: Environment) -> Result<Self, Fault> {
        let JsPrepared {
            engine,
            heap_bytes: _,
            bridge,
            interrupt,
            buffers,
            native,
            loader,
            mut runtime,
            seat,
        } = prepared;
        let payer = native.clone();
        let _pay = payer.pay();
        let inspections = engine.inspections();
        let limits = version.limits.clone();
        buffers.limit(limits.buffer_bytes);
        let watched = memory::watch(runtime.v8_isolate(), &limits, native.clone(), interrupt.clone());
        let texts = engine.texts().of(&version);
        let state = IsolateState::new(env, version.clone());
        let _ = state.interrupt.set(interrupt.clone());
        let _ = state.buffers.set(buffers.clone());
        // SAFETY: used by ops alone, which run while the isolate lives.
        let raw = unsafe { runtime.v8_isolate().as_raw_isolate_ptr() };
        // Set once.
        let _ = state.raw.set(raw);
        let _ = state.native.set(native.clone());
        // What one long turn takes beside V8's heap only a look shows.
        state.meter.look_always();
        runtime.v8_isolate().set_slot(Looked(state.clone()));
        runtime.op_state().borrow_mut().put(state.clone());
        let code = engine
            .code_cache()
            .map(|cache| Code::new(cache.clone(), texts.clone(), version.clone()));
        loader.bind(Worker {
            version,
            compat: state.compat,
            debugged: inspections.is_some(),
            texts: texts.clone(),
            code,
        });
        let conformance = engine.options().conformance;
        {
            deno_core::scope!(scope, runtime);
            // Once a handler runs, `eval` and `new Function` throw an EvalError: code comes from the deployment alone.
            scope
                .get_current_context()
                .set_allow_generation_from_strings(conformance || state.compat.enabled(EVAL_AT_STARTUP));
        }
        let debugger = match inspections {
            Some(inspections) => Some(debug(&mut runtime, &state, &interrupt, &bridge, inspections)?),
            None => None,
        };
        native.begin();
        Ok(Self {
            phase: Phase::Created,
            conformance,
            jobs: VecDeque::new(),
            handled: 0,
            state,
            interrupt,
            bridge,
            wire: Vec::new(),
            debugger,
            helpers: None,
            deadlines: None,
            loader,
            buffers,
            native,
            runtime,
            _texts: texts,
            _watched: watched,
            _seat: seat,
        })
    }

    /// Everything up to the evaluation of the worker's modules.
    fn begin(&mut self) -> Result<Phase, Fault> {
        self.call_bootstrap()?;
        let main = url_of(&self.state.version.main_module)
            .map_err(|error| Fault::new(FaultKind::Startup, error.to_string()))?;
        // The loader answers at once, so this future does too.
        let mut load = Box::pin(self.runtime.load_main_es_module(&main));
        let mut cx = Context::from_waker(Waker::noop());
        let module = match load.as_mut().poll(&mut cx) {
            Poll::Ready(Ok(module)) => module,
            Poll::Ready(Err(error)) => {
                drop(load);
                return Err(self.startup_fault(&error));
            }
            Poll::Pending => return Err(internal("loading modules did not finish")),
        };
        drop(load);
        self.begin_script(module)?;
        let evaluation = Box::pin(self.runtime.mod_evaluate(module));
        Ok(Phase::Evaluating {
            module,
            evaluation,
            stalled: 0,
        })
    }

    /// A main module without exports is a script: it finds its bindings in the global scope.
    fn begin_script(&mut self, module: deno_core::ModuleId) -> Result<(), Fault> {
        let Ok(namespace) = self.runtime.get_module_namespace(module) else {
            return Ok(());
        };
        let function = self.bridge.begin_script.clone();
        deno_core::scope!(scope, self.runtime);
        let is_script = {
            v8::tc_scope!(let scope, scope);
            let namespace = v8::Local::new(scope, namespace);
            let names = v8::GetPropertyNamesArgsBuilder::new()
                .mode(v8::KeyCollectionMode::OwnOnly)
                .property_filter(v8::PropertyFilter::SKIP_SYMBOLS)
                .build();
            // An export that has no value yet throws when it is looked at; no exports, nothing throws.
            namespace
                .get_property_names(scope, names)
                .is_some_and(|names| names.length() == 0)
        };
        if is_script {
            call(scope, &function, &[]).map_err(|exception| Fault::exception(FaultKind::Startup, exception))?;
        }
        Ok(())
    }

    fn startup_fault(&self, error: &CoreError) -> Fault {
        if let Some(fault) = self.interrupt.fault() {
            return fault;
        }
        Fault::exception(FaultKind::Startup, from_core_error(error))
    }

    fn stalled(&self) -> Fault {
        let name = &self.state.version.main_module;
        Fault::new(
            FaultKind::Startup,
            format!("a top-level await in the modules of {name} can never finish: nothing is left that could wake it"),
        )
    }

    fn call_bootstrap(&mut self) -> Result<(), Fault> {
        let function = self.bridge.bootstrap.clone();
        let bindings = self.state.env.bindings.clone();
        deno_core::scope!(scope, self.runtime);
        let mut list = Vec::with_capacity(bindings.len());
        for (index, (name, binding)) in bindings.iter().enumerate() {
            let index = v8::Integer::new(scope, i32::try_from(index).unwrap_or(i32::MAX)).into();
            let text = |scope: &mut v8::PinScope<'_, '_>, text: &str| -> v8::Global<v8::Value> {
                let text = v8::String::new(scope, text)
                    .map_or_else(|| v8::undefined(scope).into(), v8::Local::<v8::Value>::from);
                v8::Global::new(scope, text)
            };
            let mut local = |value: &str| {
                let global = text(scope, value);
                v8::Local::new(scope, global)
            };
            let fields: Vec<v8::Local<'_, v8::Value>> = match binding {
                Binding::Text(value) => vec![local(name), local("text"), local(value)],
                Binding::Json(value) => vec![local(name), local("json"), local(value)],
                Binding::Kv(_) => vec![local(name), local("kv"), index],
                Binding::Service(_) => vec![local(name), local("service"), index],
                Binding::Loader(_) => vec![local(name), local("loader"), index],
                Binding::Cloned(value) => {
                    let (name, kind, table) = (local(name), local("cloned"), local(&value.table));
                    let store = v8::ArrayBuffer::new_backing_store_from_vec(value.data.to_vec()).make_shared();
                    let buffer = v8::ArrayBuffer::with_backing_store(scope, &store);
                    let data = v8::Uint8Array::new(scope, buffer, 0, value.data.len())
                        .ok_or_else(|| internal("a binding is too large"))?;
                    let services: Vec<v8::Local<'_, v8::Value>> = value
                        .services
                        .iter()
                        .map(|stub| {
                            let handle = ServiceHandle { stub: stub.clone() };
                            deno_core::cppgc::make_cppgc_object(scope, handle).into()
                        })
                        .collect();
                    let services = v8::Array::new_with_elements(scope, &services);
                    vec![name, kind, data.into(), table, services.into()]
                }
                Binding::Fetcher(_) => vec![local(name), local("fetcher"), index],
                Binding::RateLimit(_) => vec![local(name), local("rate_limit"), index],
                Binding::Analytics(_) => vec![local(name), local("analytics"), index],
                Binding::StoreSecret {
                    name: secret,
                    value: Some(value),
                } => vec![local(name), local("store_secret"), local(secret), local(value)],
                Binding::StoreSecret {
                    name: secret,
                    value: None,
                } => vec![local(name), local("store_secret"), local(secret)],
                Binding::Unbuilt(unbuilt) => {
                    vec![
                        local(name),
                        local("unbuilt"),
                        local(&unbuilt.kind),
                        local(&unbuilt.target),
                    ]
                }
            };
            list.push(v8::Array::new_with_elements(scope, &fields).into());
        }
        let list = v8::Array::new_with_elements(scope, &list).into();
        let version = &self.state.version;
        let date = one_byte(scope, &version.compat_date.to_string());
        call(scope, &function, &[list, date]).map_err(|exception| Fault::exception(FaultKind::Startup, exception))
    }

    fn call_start(&mut self, module: deno_core::ModuleId) -> Result<(), Fault> {
        let reported = self.state.end_startup();
        // A module that threw has no namespace; its exception went the way of unhandled rejections.
        let namespace = match (self.runtime.get_module_namespace(module), reported) {
            (Ok(namespace), reported) => {
                if let Some(exception) = reported {
                    self.state.env.logs.exception(None, exception);
                }
                namespace
            }
            (Err(_), Some(exception)) => return Err(Fault::exception(FaultKind::Startup, exception)),
            (Err(error), None) => return Err(self.startup_fault(&error)),
        };
        let function = self.bridge.start.clone();
        deno_core::scope!(scope, self.runtime);
        scope
            .get_current_context()
            .set_allow_generation_from_strings(self.conformance);
        let namespace = v8::Local::new(scope, namespace).into();
        call(scope, &function, &[namespace]).map_err(|exception| Fault::exception(FaultKind::Startup, exception))
    }

    fn run_job(&mut self, job: Box<Job>) {
        let Job { ctx, event, reply } = *job;
        if reply.is_closed() && ctx.cancel.is_cancelled() {
            return;
        }
        let id = self.state.add(reply, &ctx, &event);
        let now = Instant::now();
        self.state.meter.runs(id, now);
        atoll_worker::wakes::looked(now);
        let result = match event {
            Event::Fetch(request) => self.run_fetch(id, ctx, request),
            Event::Scheduled(scheduled) => self.run_scheduled(id, &ctx.entry, &scheduled),
            Event::Tail(items) => self.run_tail(id, &ctx.entry, &items),
            Event::Rpc(link) => self.run_rpc(id, &ctx.entry, link),
            Event::Test => self.run_test(id, &ctx.entry),
            Event::Describe => self.run_describe(id),
        };
        // The bridge catches whatever a handler throws; only a termination passes it.
        if let Err(exception) = result
            && self.interrupt.fault().is_none()
        {
            self.state
                .answer(id, Err(Fault::exception(FaultKind::Exception, exception)));
        }
    }

    fn run_fetch(&mut self, id: u32, ctx: atoll_worker::EventContext, request: Request) -> Result<(), JsException> {
        let traced = self.state.env.logs.traces();
        deno_core::scope!(scope, self.runtime);
        let has_body = !matches!(request.body, Body::Empty);
        let event = id;
        let id = v8::Integer::new_from_unsigned(scope, id).into();
        let method = match METHODS.iter().position(|known| *known == request.head.method) {
            Some(place) => v8::Integer::new_from_unsigned(scope, place as u32).into(),
            None => one_byte(scope, request.head.method.as_str()),
        };
        let url = one_byte(scope, &request.head.url);
        let has_body = v8::Boolean::new(scope, has_body).into();
        let entry = entry_of(scope, &ctx.entry, traced);
        self.wire.clear();
        let source = if plain_request(&request, &mut self.wire) {
            latin1(scope, &self.wire)
        } else {
            let source = Source::request(request.head, ctx, request.body);
            if let Some(body) = source.stream() {
                self.state.comes_with(event, body);
            }
            deno_core::cppgc::make_cppgc_object(scope, source).into()
        };
        call(scope, &self.bridge.fetch, &[id, source, method, url, has_body, entry])
    }

    fn run_rpc(&mut self, id: u32, entry: &Entry, link: RpcLink) -> Result<(), JsException> {
        let traced = self.state.env.logs.traces();
        let function = self.bridge.rpc.clone();
        deno_core::scope!(scope, self.runtime);
        let id = v8::Integer::new_from_unsigned(scope, id).into();
        let link = deno_core::cppgc::make_cppgc_object(scope, Link::new(link)).into();
        let entry = entry_of(scope, entry, traced);
        call(scope, &function, &[id, link, entry])
    }

    fn run_tail(&mut self, id: u32, entry: &Entry, items: &str) -> Result<(), JsException> {
        let function = self.bridge.tail.clone();
        deno_core::scope!(scope, self.runtime);
        let id = v8::Integer::new_from_unsigned(scope, id).into();
        let items = v8::String::new(scope, items)
            .unwrap_or_else(|| v8::String::empty(scope))
            .into();
        let entry = entry_of(scope, entry, false);
        call(scope, &function, &[id, items, entry])
    }

    fn run_test(&mut self, id: u32, entry: &Entry) -> Result<(), JsException> {
        let function = self.bridge.test.clone();
        deno_core::scope!(scope, self.runtime);
        let id = v8::Integer::new_from_unsigned(scope, id).into();
        let entry = entry_of(scope, entry, false);
        call(scope, &function, &[id, entry])
    }

    fn run_describe(&mut self, id: u32) -> Result<(), JsException> {
        let function = self.bridge.describe.clone();
        deno_core::scope!(scope, self.runtime);
        let id = v8::Integer::new_from_unsigned(scope, id).into();
        call(scope, &function, &[id])
    }

    fn run_scheduled(&mut self, id: u32, entry: &Entry, event: &ScheduledEvent) -> Result<(), JsException> {
        let traced = self.state.env.logs.traces();
        let function = self.bridge.scheduled.clone();
        deno_core::scope!(scope, self.runtime);
        let id = v8::Integer::new_from_unsigned(scope, id).into();
        let cron = one_byte(scope, &event.cron);
        let time = v8::Number::new(scope, event.scheduled_ms as f64).into();
        let entry = entry_of(scope, entry, traced);
        call(scope, &function, &[id, cron, time, entry])
    }

    /// One turn of V8's event loop: ready when nothing is left that could ever run.
    fn poll_event_loop(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CoreError>> {
        self.runtime.poll_event_loop(cx, PollEventLoopOptions::default())
    }

    /// As [`Self::poll_event_loop`] once the worker is ready: exceptions are reported, true when nothing is left.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> bool {
        match self.poll_event_loop(cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => {
                if self.interrupt.fault().is_none() {
                    // The bridge reports uncaught exceptions itself; this one came from inside the engine.
                    self.state.report(from_core_error(&error));
                    cx.waker().wake_by_ref();
                }
                false
            }
        }
    }

    fn break_with(&mut self, fault: Fault) -> InstanceState {
        if fault.kind == FaultKind::Draining {
            crate::ops::websocket::say_restart();
        }
        self.state.answer_all(&fault);
        for job in self.jobs.drain(..) {
            let _ = job.reply.send(Err(fault.clone()));
        }
        self.phase = Phase::Broken(fault);
        InstanceState::Broken
    }

    fn poll_startup(&mut self, cx: &mut Context<'_>) -> Result<bool, Fault> {
        if matches!(self.phase, Phase::Created) {
            self.phase = self.begin()?;
        }
        let turn = self.poll_event_loop(cx);
        if let Some(fault) = self.interrupt.fault() {
            return Err(fault);
        }
        let idle = match turn {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => match error.as_kind() {
                CoreErrorKind::Js(_) => return Err(self.startup_fault(&error)),
                // The engine's words for a top-level await that nothing can wake.
                _ => return Err(self.stalled()),
            },
        };
        let Phase::Evaluating {
            module,
            evaluation,
            stalled,
        } = &mut self.phase
        else {
            return Ok(true);
        };
        let module = *module;
        match evaluation.as_mut().poll(cx) {
            Poll::Ready(Ok(())) => {
                self.call_start(module)?;
                self.phase = Phase::Ready;
                if let Some(code) = self.loader.code() {
                    code.started();
                }
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(self.startup_fault(&error)),
            Poll::Pending if idle => {
                *stalled += 1;
                if *stalled > STALLED_TURNS_MAX {
                    return Err(self.stalled());
                }
                cx.waker().wake_by_ref();
                Ok(false)
            }
            Poll::Pending => Ok(false),
        }
    }
}

fn latin1<'a>(scope: &mut v8::PinScope<'a, '_>, bytes: &[u8]) -> v8::Local<'a, v8::Value> {
    let string = v8::String::new_from_one_byte(scope, bytes, v8::NewStringType::Normal);
    // Fails only beyond V8's maximum length of half a gigabyte; heads are limited to some kilobytes at the door.
    string.map_or_else(|| v8::String::empty(scope).into(), Into::into)
}

/// Methods and URLs are ASCII: no need to look for UTF-8.
fn one_byte<'a>(scope: &mut v8::PinScope<'a, '_>, text: &str) -> v8::Local<'a, v8::Value> {
    if text.is_ascii() {
        return latin1(scope, text.as_bytes());
    }
    v8::String::new(scope, text).map_or_else(|| v8::String::empty(scope).into(), Into::into)
}

/// An event's entry as the bridge takes it: undefined for the default one of an event that is not traced, else
/// `[name or null, props, depth, traced]` with props as JSON text, bytes of a structured clone, or null.
fn entry_of<'a>(scope: &mut v8::PinScope<'a, '_>, entry: &Entry, traced: bool) -> v8::Local<'a, v8::Value> {
    let Entry { name, props, depth } = entry;
    if name.is_none() && props.is_none() && *depth == 0 && !traced {
        return v8::undefined(scope).into();
    }
    let null: v8::Local<'a, v8::Value> = v8::null(scope).into();
    let text = |scope: &mut v8::PinScope<'a, '_>, text: &str| -> v8::Local<'a, v8::Value> {
        v8::String::new(scope, text).map_or(null, Into::into)
    };
    let name = match name {
        Some(name) => text(scope, name),
        None => null,
    };
    let props = match props {
        None => null,
        Some(Props::Json(json)) => text(scope, json),
        Some(Props::Clone(bytes)) => {
            let store = v8::ArrayBuffer::new_backing_store_from_vec(bytes.to_vec()).make_shared();
            let buffer = v8::ArrayBuffer::with_backing_store(scope, &store);
            v8::Uint8Array::new(scope, buffer, 0, bytes.len()).map_or(null, Into::into)
        }
    };
    let depth = v8::Integer::new_from_unsigned(scope, *depth).into();
    let traced = v8::Boolean::new(scope, traced).into();
    v8::Array::new_with_elements(scope, &[name, props, depth, traced]).into()
}

/// Gives the isolate a debugger and announces it.
fn debug(
    runtime: &mut JsRuntime,
    state: &IsolateState,
    interrupt: &JsInterrupt,
    bridge: &Bridge,
    inspections: &dyn Inspections,
) -> Result<Rc<Debugger>, Fault> {
    let debugger = Debugger::new(runtime, state.version.name.as_str(), state.env.clock.clone());
    interrupt.set_debugger(debugger.handle().clone());
    *state.debugger.borrow_mut() = Rc::downgrade(&debugger);
    {
        deno_core::scope!(scope, runtime);
        call(scope, &bridge.mirror_console, &[]).map_err(|exception| internal(&exception.message))?;
    }
    inspections.started(&state.version, debugger.handle().clone());
    Ok(debugger)
}

impl Instance for JsInstance {
    fn deliver(&mut self, job: Box<Job>) {
        if let Phase::Broken(fault) = &self.phase {
            let _ = job.reply.send(Err(fault.clone()));
        } else {
            self.jobs.push_back(job);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> InstanceState {
        let native = self.native.clone();
        let _pay = native.pay();
        self.buffers.begin_turn();
        let Some(debugger) = self.debugger.clone() else {
            return self.turn(cx);
        };
        {
            deno_core::scope!(_scope, self.runtime);
            debugger.begin_turn(cx);
        }
        let state = self.turn(cx);
        debugger.end_turn();
        state
    }

    fn fault(&self) -> Option<Fault> {
        match &self.phase {
            Phase::Broken(fault) => Some(fault.clone()),
            _ => None,
        }
    }

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        self.interrupt.clone()
    }

    fn footprint(&mut self) -> Option<u64> {
        let heap = self.runtime.v8_isolate().get_heap_statistics();
        let bytes = heap.total_physical_size()
            + heap.malloced_memory()
            + heap
                .external_memory()
                .max(self.buffers.used().saturating_add(self.native.used()));
        Some(bytes as u64)
    }

    fn rest(&mut self) {
        if self.interrupt.fault().is_none() {
            self.runtime.v8_isolate().low_memory_notification();
        }
    }

    fn gauge(&self) -> Option<Arc<CpuGauge>> {
        Some(self.state.meter.gauge().clone())
    }
}

impl JsInstance {
    fn turn(&mut self, cx: &mut Context<'_>) -> InstanceState {
        match self.phase {
            Phase::Broken(_) => return InstanceState::Broken,
            Phase::Ready => {}
            Phase::Created | Phase::Evaluating { .. } => match self.poll_startup(cx) {
                Ok(true) => {}
                Ok(false) => return InstanceState::Starting,
                Err(fault) => return self.break_with(fault),
            },
        }
        self.state.tick();
        // What a debugger holds is nobody's CPU.
        self.state.meter.suspend(self.interrupt.is_exempt());
        let with_event = !self.jobs.is_empty();
        let state = self.turn_ready(cx);
        self.state.meter.rests(Instant::now());
        self.offer_code(state, with_event);
        self.state.tell_refused_buffers();
        if state != InstanceState::Broken {
            self.look_after_helpers(cx);
        }
        if state != InstanceState::Broken && self.state.meter.take_exceeded().is_some() {
            // Many short turns: nobody saw one that was too long.
            let fault = self.state.cpu_fault();
            return self.break_with(fault);
        }
        if state != InstanceState::Broken && self.holds_too_much(cx) {
            let fault = memory::external_fault(self.state.version.limits.buffer_bytes);
            return self.break_with(fault);
        }
        if state != InstanceState::Broken && self.state.wasm.any() {
            // What a short turn let grow, nobody looked at.
            let isolate = self.state.clone();
            let mut too_large = false;
            in_main_context(self.runtime.v8_isolate(), |scope| {
                too_large = isolate.wasm.too_many(scope, 0).is_some()
            });
            if too_large {
                return self.break_with(wasm::fault(&isolate.version.limits));
            }
        }
        state
    }

    /// Whether what the isolate holds beside V8's heap is too much, although V8 has had a turn to give back what it can.
    fn holds_too_much(&mut self, cx: &mut Context<'_>) -> bool {
        let news = self.native.take_news();
        if news != 0 {
            self.runtime
                .v8_isolate()
                .adjust_amount_of_external_allocated_memory(news);
        }
        let runtime = &mut self.runtime;
        self.native.is_too_much(self.state.version.limits.buffer_bytes, || {
            runtime.v8_isolate().low_memory_notification();
            // What is let go in finalizers goes in a turn.
            cx.waker().wake_by_ref();
        })
    }

    /// Offers the modules' code to the cache once the worker has done something and rests, or has done much.
    fn offer_code(&mut self, state: InstanceState, with_event: bool) {
        self.handled = self.handled.saturating_add(u32::from(with_event));
        let due = match state {
            InstanceState::Idle => self.handled > 0,
            InstanceState::Busy => self.handled >= OFFER_AFTER_TURNS,
            _ => false,
        };
        if due
            && let Some(code) = self.loader.code().filter(|code| code.has_fresh())
            && self.interrupt.fault().is_none()
        {
            code.offer(&mut self.runtime);
        }
    }

    /// Charges what helpers' threads use, and comes back while they work.
    fn look_after_helpers(&mut self, cx: &mut Context<'_>) {
        if !self.state.meter.is_helped() {
            self.helpers = None;
            return;
        }
        self.state.meter.charge_helpers();
        let sleep = self
            .helpers
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(HELPERS_LOOK)));
        while sleep.as_mut().poll(cx).is_ready() {
            sleep.as_mut().reset(tokio::time::Instant::now() + HELPERS_LOOK);
        }
    }

    /// One turn of a worker that is ready.
    fn turn_ready(&mut self, cx: &mut Context<'_>) -> InstanceState {
        while let Some(job) = self.jobs.pop_front() {
            self.run_job(job);
            if let Some(fault) = self.interrupt.fault() {
                return self.break_with(fault);
            }
        }
        self.state.meter.runs_whatever_is_ready(Instant::now());
        let idle = self.poll_ready(cx);
        if let Some(fault) = self.interrupt.fault() {
            return self.break_with(fault);
        }
        if self.expire_overdue(cx) {
            if let Some(fault) = self.interrupt.fault() {
                return self.break_with(fault);
            }
            cx.waker().wake_by_ref();
            return InstanceState::Busy;
        }
        if !idle {
            return InstanceState::Busy;
        }
        // Nothing is left that could run: what has no answer now never gets one.
        if self.state.owes() {
            let waits = self.state.answer_stuck(&Fault::new(
                FaultKind::NeverSettles,
                "The worker's code had hung and would never generate a response: its promise is not settled, and no timer, \
                 request or other operation is left that could settle it.",
            ));
            if waits {
                return InstanceState::Busy;
            }
        }
        if self.state.asking.get() > 0 {
            return InstanceState::Busy;
        }
        self.state.forget_answered();
        InstanceState::Idle
    }

    /// Ends events whose time is up. True if there were any.
    fn expire_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let changed = self.state.take_deadlines_changed();
        if !changed && self.deadlines.is_none() && !self.state.has_open() {
            return false;
        }
        let due = match &mut self.deadlines {
            Some(sleep) => sleep.as_mut().poll(cx).is_ready(),
            None => true,
        };
        if !due && !changed {
            return false;
        }
        let (overdue, next) = self.state.overdue(Instant::now());
        for (id, limit) in &overdue {
            self.state.expired(*id, *limit);
            self.state.meter.runs(*id, Instant::now());
            let function = self.bridge.expire.clone();
            deno_core::scope!(scope, self.runtime);
            let id = v8::Integer::new_from_unsigned(scope, *id).into();
            if let Err(exception) = call(scope, &function, &[id])
                && self.interrupt.fault().is_none()
            {
                self.state.report(exception);
            }
        }
        match next {
            None => self.deadlines = None,
            Some(at) => {
                let mut sleep = self
                    .deadlines
                    .take()
                    .unwrap_or_else(|| Box::pin(tokio::time::sleep_until(at.into())));
                sleep.as_mut().reset(at.into());
                // Registers the waker; one that is due already is seen in the next turn.
                if sleep.as_mut().poll(cx).is_ready() {
                    cx.waker().wake_by_ref();
                }
                self.deadlines = Some(sleep);
            }
        }
        !overdue.is_empty()
    }
}
