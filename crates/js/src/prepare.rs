//! An isolate before it is anybody's: V8's heap from the startup snapshot, and all of the start that is the same for every
//! worker. [`crate::instance`] makes it a worker's.
//!
//! Nothing of a worker is in it, and it ran nothing but the engine's own scripts; its seeds are its own. What V8 fixes when
//! it makes an isolate is the largest heap: a worker with another limit gets an isolate of its own.

use crate::cage::{CODE_RANGE, HEAP_BYTES_MAX, Seat};
use crate::engine::JsEngine;
use crate::exception::from_js_error;
use crate::extension::{extensions, extensions_of_snapshot};
use crate::instance::{JsInstance, internal};
use crate::interrupt::{JsInterrupt, MainContext};
use crate::memory::{self, Buffers};
use crate::modules::Loader;
use crate::native::Native;
use atoll_model::{Limits, WorkerVersion};
use atoll_worker::{Engine, Environment, Fault, Instance, JsException, Prepared};
use deno_core::error::JsError;
use deno_core::{JsRuntime, RuntimeOptions, v8};
use std::rc::Rc;
use std::sync::Arc;

/// What V8 may use beyond its limit while a full heap is unwound, bytes. It must have room for the single allocation that
/// was under way, or V8 ends the process; the longest array's elements are 1 GiB. Only what is touched becomes memory.
pub(crate) const HEAP_HEADROOM_BYTES: usize = (1 << 30) + (64 << 20);

/// The bridge's functions.
pub(crate) struct Bridge {
    pub bootstrap: v8::Global<v8::Function>,
    pub start: v8::Global<v8::Function>,
    pub fetch: v8::Global<v8::Function>,
    pub scheduled: v8::Global<v8::Function>,
    pub rpc: v8::Global<v8::Function>,
    pub begin_script: v8::Global<v8::Function>,
    pub expire: v8::Global<v8::Function>,
    pub tail: v8::Global<v8::Function>,
    pub mirror_console: v8::Global<v8::Function>,
    pub test: v8::Global<v8::Function>,
    pub describe: v8::Global<v8::Function>,
}

/// An isolate that is nobody's.
pub(crate) struct JsPrepared {
    pub engine: JsEngine,
    /// See [`Limits::heap_bytes`].
    pub heap_bytes: u64,
    pub bridge: Bridge,
    pub interrupt: Arc<JsInterrupt>,
    pub buffers: Arc<Buffers>,
    pub native: Rc<Native>,
    pub loader: Rc<Loader>,
    pub runtime: JsRuntime,
    /// After the runtime, which is in it.
    pub seat: Seat,
}

impl JsPrepared {
    pub fn new(engine: &JsEngine, heap_bytes: u64) -> Result<Self, Fault> {
        crate::ops::websocket::begin_anew();
        crate::ops::module::begin_anew();
        let options = engine.options();
        let heap_max = usize::try_from(heap_bytes.min(HEAP_BYTES_MAX)).unwrap_or(usize::MAX);
        let seat = Seat::take(heap_max as u64);
        let (allocator, buffers) = memory::allocator();
        let native = Rc::new(Native::new());
        let _pay = native.pay();
        let loader = Rc::new(Loader::new(options.conformance));
        let of_runtime = RuntimeOptions {
            module_loader: Some(loader.clone()),
            extensions: match options.startup_snapshot {
                Some(_) => extensions_of_snapshot(),
                None => extensions(),
            },
            startup_snapshot: options.startup_snapshot.map(|snapshot| snapshot.heap),
            // The snapshot has them. Binding a thousand functions anew takes half a millisecond.
            skip_op_registration: options.startup_snapshot.is_some(),
            // Without a store, structuredClone would not detach what it transfers.
            shared_array_buffer_store: Some(deno_core::SharedArrayBufferStore::default()),
            create_params: Some(
                v8::CreateParams::default()
                    .heap_limits(0, heap_max)
                    .set_code_range_size_in_bytes(CODE_RANGE)
                    .array_buffer_allocator(allocator),
            ),
            ..Default::default()
        };
        let mut runtime = seat
            .within(|| JsRuntime::try_new(of_runtime))
            .map_err(|error| internal(&error.to_string()))?;
        // A thread that waits uses no CPU, so no CPU limit would ever end it.
        runtime.v8_isolate().set_allow_atomics_wait(false);
        if !options.conformance {
            runtime
                .v8_isolate()
                .set_allow_wasm_code_generation_callback(crate::ops::module::wasm_allowed);
        }
        let context = runtime.main_context();
        runtime.v8_isolate().set_slot(MainContext(context));
        let interrupt = JsInterrupt::new(runtime.v8_isolate().thread_safe_handle());
        let (on_full, passes, headroom) = (interrupt.clone(), buffers.clone(), seat.headroom());
        runtime.add_near_heap_limit_callback(move |current, _initial| {
            if passes.passes() {
                return current + memory::PASS_BYTES;
            }
            headroom.take();
            on_full.terminate_blindly(memory::heap_fault(heap_max as u64));
            // V8 ends the process unless it is given room in which to unwind.
            current + HEAP_HEADROOM_BYTES
        });
        if options.conformance {
            runtime.op_state().borrow_mut().put(suite_location()?);
        }
        let bridge = take_bridge(&mut runtime, options.conformance)?;
        Ok(Self {
            engine: engine.clone(),
            heap_bytes,
            bridge,
            interrupt,
            buffers,
            native: native.clone(),
            loader,
            runtime,
            seat,
        })
    }

    /// One that a worker without limits of its own fits in.
    pub fn common(engine: &JsEngine) -> Result<Self, Fault> {
        Self::new(engine, Limits::HEAP_BYTES_DEFAULT)
    }
}

impl Prepared for JsPrepared {
    fn instantiate(self: Box<Self>, version: Arc<WorkerVersion>, env: Environment) -> Result<Box<dyn Instance>, Fault> {
        if self.heap_bytes == version.limits.heap_bytes {
            return Ok(Box::new(JsInstance::new(*self, version, env)?));
        }
        let engine = self.engine.clone();
        // Isolates of one thread must go in the reverse order of their coming.
        drop(self);
        engine.instantiate(version, env)
    }
}

/// Where scripts of suites by others are, as the web platform's scripts ask for it (the origin of blob URLs).
fn suite_location() -> Result<deno_web::Location, Fault> {
    deno_core::ModuleSpecifier::parse("http://web-platform.test:8000/")
        .map(deno_web::Location)
        .map_err(|error| internal(&error.to_string()))
}

/// Takes `globalThis.__atoll` away, keeps its functions and calls the first of them.
fn take_bridge(runtime: &mut JsRuntime, conformance: bool) -> Result<Bridge, Fault> {
    deno_core::scope!(scope, runtime);
    let context = scope.get_current_context();
    let global = context.global(scope);
    let key = v8::String::new(scope, "__atoll").ok_or_else(|| internal("no memory"))?;
    let object = global
        .get(scope, key.into())
        .and_then(|value| v8::Local::<v8::Object>::try_from(value).ok())
        .ok_or_else(|| internal("globalThis.__atoll is missing"))?;
    global.delete(scope, key.into());
    let function = |name: &str| -> Result<v8::Global<v8::Function>, Fault> {
        let key = v8::String::new(scope, name).ok_or_else(|| internal("no memory"))?;
        let value = object.get(scope, key.into()).ok_or_else(|| internal(name))?;
        let function = v8::Local::<v8::Function>::try_from(value).map_err(|_| internal(name))?;
        Ok(v8::Global::new(scope, function))
    };
    let bridge = Bridge {
        bootstrap: function("bootstrap")?,
        start: function("start")?,
        fetch: function("dispatchFetch")?,
        scheduled: function("dispatchScheduled")?,
        rpc: function("dispatchRpc")?,
        begin_script: function("beginScript")?,
        tail: function("dispatchTail")?,
        mirror_console: function("mirrorConsole")?,
        test: function("dispatchTest")?,
        describe: function("describe")?,
        expire: function("expireEvent")?,
    };
    let prepare = function("prepare")?;
    let conformance = v8::Boolean::new(scope, conformance).into();
    call(scope, &prepare, &[conformance]).map_err(|exception| internal(&exception.message))?;
    Ok(bridge)
}

/// Calls a function of the bridge. `Err` holds the exception.
pub(crate) fn call(
    scope: &mut v8::PinScope<'_, '_>,
    function: &v8::Global<v8::Function>,
    args: &[v8::Local<'_, v8::Value>],
) -> Result<(), JsException> {
    v8::tc_scope!(let scope, scope);
    let function = v8::Local::new(scope, function);
    let this = v8::undefined(scope).into();
    if function.call(scope, this, args).is_some() {
        return Ok(());
    }
    match scope.exception() {
        Some(exception) if !scope.has_terminated() => Err(from_js_error(&JsError::from_v8_exception(scope, exception))),
        _ => Err(JsException {
            name: "Error".to_owned(),
            message: "execution was terminated".to_owned(),
            ..JsException::default()
        }),
    }
}
