//! Stopping a turn from another thread, and saying where it was.
//!
//! [`JsInterrupt::terminate`] asks V8 to call back at the next point where JavaScript can be interrupted. There, on the
//! isolate's own thread, the stack is noted and the execution ended. Native builtins and some loops without such points
//! do not notice either request until they return; what must be stopped all the same needs a process of its own.

use crate::exception::from_js_error;
use crate::inspect::Handle;
use crate::state::IsolateState;
use atoll_worker::{Fault, Interrupt, JsException};
use deno_core::error::JsError;
use deno_core::v8;
use std::ffi::c_void;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// The isolate's only context, in a slot of the isolate, for [`on_interrupt`].
pub(crate) struct MainContext(pub v8::Global<v8::Context>);

#[derive(Debug, Default)]
struct Condemned {
    /// Why; the first reason counts.
    fault: Option<Fault>,
    /// Where the code was, as an exception thrown there would say.
    place: Option<Box<JsException>>,
}

/// Stops one isolate.
pub(crate) struct JsInterrupt {
    isolate: v8::IsolateHandle,
    condemned: Mutex<Condemned>,
    /// It was terminated from within.
    doomed: AtomicBool,
    /// A look is asked for and not over. Further ones would only queue, and a look may take longer than they are apart.
    looking: AtomicBool,
    /// The isolate's debugger, if it has one.
    debugger: OnceLock<Arc<Handle>>,
    /// For the callback, which gets a bare pointer.
    this: std::sync::Weak<Self>,
}

impl JsInterrupt {
    pub fn new(isolate: v8::IsolateHandle) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            isolate,
            condemned: Mutex::default(),
            doomed: AtomicBool::new(false),
            looking: AtomicBool::new(false),
            debugger: OnceLock::new(),
            this: this.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Condemned> {
        self.condemned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The isolate has a debugger.
    pub fn set_debugger(&self, handle: Arc<Handle>) {
        let _ = self.debugger.set(handle);
    }

    /// Why the isolate must stop, and where it was; `None` while it need not.
    pub fn fault(&self) -> Option<Fault> {
        let condemned = self.lock();
        let mut fault = condemned.fault.clone()?;
        if fault.exception.is_none() {
            fault.exception.clone_from(&condemned.place);
        }
        Some(fault)
    }

    /// Ends the execution without noting where it is: for callers inside the garbage collector, which may not look.
    pub fn terminate_blindly(&self, fault: Fault) {
        self.lock().fault.get_or_insert(fault);
        self.doomed.store(true, Ordering::Release);
        self.isolate.terminate_execution();
    }
}

impl Interrupt for JsInterrupt {
    fn terminate(&self, fault: Fault) {
        self.lock().fault.get_or_insert(fault);
        let Some(this) = self.this.upgrade() else { return };
        let data = Arc::into_raw(this).cast_mut().cast::<c_void>();
        if !self.isolate.request_interrupt(on_interrupt, data) {
            // The isolate is gone, and with it the callback.
            // SAFETY: `data` came from `Arc::into_raw` above and nobody else has it.
            drop(unsafe { Arc::from_raw(data.cast::<Self>()) });
        }
        // At a breakpoint no interrupt is looked at.
        if let Some(debugger) = self.debugger.get() {
            debugger.close();
        }
    }

    fn is_exempt(&self) -> bool {
        self.debugger.get().is_some_and(|debugger| debugger.is_attached())
    }

    fn doomed(&self) -> Option<Fault> {
        // Asked often.
        self.doomed
            .load(Ordering::Acquire)
            .then(|| self.lock().fault.clone())
            .flatten()
    }

    fn insist(&self) {
        // Builtins that take no interrupt look for this.
        self.isolate.terminate_execution();
    }

    fn look(&self) {
        if self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        // Without data: nothing is lost if the isolate is gone.
        self.isolate.request_interrupt(on_look, std::ptr::null_mut());
    }
}

/// The isolate's state, in a slot of the isolate, for [`on_look`].
pub(crate) struct Looked(pub Rc<IsolateState>);

/// Charges the event whose continuation is found running.
unsafe extern "C" fn on_look(isolate: v8::UnsafeRawIsolatePtr, _: *mut c_void) {
    // SAFETY: V8 calls on the isolate's thread, with the isolate it was asked to interrupt.
    let mut isolate = unsafe { v8::Isolate::from_raw_isolate_ptr(isolate) };
    let Some(state) = isolate.get_slot::<Looked>().map(|looked| looked.0.clone()) else {
        return;
    };
    if let Some(id) = running_event(&mut isolate) {
        state.meter.found(id, Instant::now());
        state.stop_if_exceeded();
    }
    state.stop_if_holding_too_much(&mut isolate);
    if state.wasm.any() {
        in_main_context(&mut isolate, |scope| state.stop_if_wasm_too_large(scope));
    }
    if let Some(interrupt) = state.interrupt.get() {
        interrupt.looking.store(false, Ordering::Release);
    }
}

/// Runs `f` in the isolate's context.
pub(crate) fn in_main_context(isolate: &mut v8::Isolate, f: impl FnOnce(&mut v8::PinScope<'_, '_>)) {
    let Some(context) = isolate.get_slot::<MainContext>().map(|context| context.0.clone()) else {
        return;
    };
    v8::scope!(let scope, isolate);
    let context = v8::Local::new(scope, context);
    f(&mut v8::ContextScope::new(scope, context));
}

/// As [`running_event`], within an op: on the isolate's thread, called by its JavaScript.
pub(crate) fn running_event_of(isolate: v8::UnsafeRawIsolatePtr) -> Option<u32> {
    // SAFETY: an op runs while its isolate lives and on its thread; the scope that is opened is closed before it goes on.
    let mut isolate = unsafe { v8::Isolate::from_raw_isolate_ptr(isolate) };
    running_event(&mut isolate)
}

/// The id in the frame of the continuation that runs (`js/00_context.js`): `frame.account.id`.
fn running_event(isolate: &mut v8::Isolate) -> Option<u32> {
    let context = isolate.get_slot::<MainContext>()?.0.clone();
    v8::scope!(let scope, isolate);
    let context = v8::Local::new(scope, context);
    let scope = &mut v8::ContextScope::new(scope, context);
    let frame = scope.get_continuation_preserved_embedder_data();
    // Both are data properties of objects that only the engine's scripts hold: reading them runs no code.
    let mut value: v8::Local<'_, v8::Value> = frame;
    for name in ["account", "id"] {
        let object = v8::Local::<v8::Object>::try_from(value).ok()?;
        let name = v8::String::new(scope, name)?;
        value = object.get(scope, name.into())?;
    }
    value.uint32_value(scope).filter(|id| *id != 0)
}

unsafe extern "C" fn on_interrupt(isolate: v8::UnsafeRawIsolatePtr, data: *mut c_void) {
    // SAFETY: `terminate` made the pointer with `Arc::into_raw` and V8 calls back once.
    let interrupt = unsafe { Arc::from_raw(data.cast::<JsInterrupt>()) };
    // SAFETY: V8 calls on the isolate's thread, with the isolate it was asked to interrupt.
    let mut isolate = unsafe { v8::Isolate::from_raw_isolate_ptr(isolate) };
    let message = interrupt
        .lock()
        .fault
        .as_ref()
        .map(|fault| fault.message.clone())
        .unwrap_or_default();
    let place = place(&mut isolate, &message);
    interrupt.lock().place = place.map(Box::new);
    isolate.terminate_execution();
}

/// An exception made here and now: its stack is that of the interrupted code.
fn place(isolate: &mut v8::Isolate, message: &str) -> Option<JsException> {
    let context = isolate.get_slot::<MainContext>()?.0.clone();
    v8::scope!(let scope, isolate);
    let context = v8::Local::new(scope, context);
    let scope = &mut v8::ContextScope::new(scope, context);
    let message = v8::String::new(scope, message)?;
    let error = v8::Exception::error(scope, message);
    let exception = from_js_error(&JsError::from_v8_exception(scope, error));
    (!exception.frames.is_empty()).then_some(exception)
}
