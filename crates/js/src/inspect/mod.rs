//! The debugger of an isolate: V8's inspector, fed from other threads.
//!
//! [`Handle`] is what other threads hold: it queues clients that attach and wakes the isolate, wherever it is. [`Debugger`]
//! stays on the isolate's thread and obeys commands in one of three places:
//!
//! | the isolate | a command wakes it by | and is obeyed in |
//! |---|---|---|
//! | waits for something | its task's waker | the turn's beginning |
//! | runs JavaScript | V8's interrupt | the interrupt |
//! | stands at a breakpoint | unparking its thread | V8's nested message loop, where the thread is parked |
//!
//! This is V8's inspector itself and not the engine library's wrapper: that one holds its sessions borrowed while it obeys
//! a command, so a breakpoint inside an evaluation would not stop, and it answers for domains of another runtime.
//!
//! Invariants:
//! - no borrow is held while V8 obeys a command: V8 may come back here, from a breakpoint in what it evaluates;
//! - a V8 session is not dropped while V8 is inside it: every frame that entered it holds it;
//! - a client that goes away resumes what it had paused, unless another client is attached that pauses too;
//! - the engine's own scripts (`ext:`) are not shown, and never stepped into.

mod handle;
mod session;

pub(crate) use handle::Handle;

use self::handle::Arrival;
use self::session::{Next, Session};
use atoll_stdx::Clock;
use deno_core::{JsRuntime, v8};
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Waker};
use v8::inspector::{StringView, V8Inspector, V8InspectorClient, V8InspectorClientImpl};

/// V8 groups contexts; an isolate has one.
const GROUP: i32 = 1;
/// What clients are told of the context: the one in which they evaluate unless they say otherwise.
const CONTEXT_DATA: &str = r#"{"isDefault":true,"type":"default"}"#;

/// The name of the script that exceptions are said to come from.
const THROWER: &str = "ext:atoll_js/thrower";

/// V8 shows a client the thrown object itself only where the script that it is told of lets other origins see its errors,
/// which browsers say of a page's scripts and the engine of none. This is one that says so: an empty module, and its id.
fn thrower(scope: &mut v8::PinScope<'_, '_>) -> Option<(v8::Global<v8::Module>, i32)> {
    let name = v8::String::new(scope, THROWER)?;
    let origin = v8::ScriptOrigin::new(scope, name.into(), 0, 0, true, 0, None, false, false, true, None);
    let mut source = v8::script_compiler::Source::new(v8::String::empty(scope), Some(&origin));
    let module = v8::script_compiler::compile_module(scope, &mut source)?;
    let id = module.script_id()?;
    Some((v8::Global::new(scope, module), id))
}

/// The isolate's side. See the module.
pub(crate) struct Debugger {
    handle: Arc<Handle>,
    waker: Waker,
    clock: Arc<dyn Clock>,
    /// V8 asked to stand still and has not asked to go on.
    paused: Cell<bool>,
    context: v8::Global<v8::Context>,
    isolate: v8::UnsafeRawIsolatePtr,
    // Sessions go before the inspector, which must not be dropped under them.
    sessions: RefCell<Vec<Rc<Session>>>,
    inspector: OnceCell<V8Inspector>,
    /// Kept, because V8 looks for it by its id.
    thrower: OnceCell<(v8::Global<v8::Module>, i32)>,
}

impl Debugger {
    /// The debugger of `runtime`; its context is shown as `name`, and `clock` says when things happened. Drop it before the runtime.
    pub fn new(runtime: &mut JsRuntime, name: &str, clock: Arc<dyn Clock>) -> Rc<Self> {
        let context = runtime.main_context();
        let isolate = runtime.v8_isolate();
        let handle = Handle::new(isolate.thread_safe_handle());
        // SAFETY: the pointer is used on this thread alone, and not after the runtime: the owner drops this before it.
        let pointer = unsafe { isolate.as_raw_isolate_ptr() };
        let debugger = Rc::new(Self {
            waker: Waker::from(handle.clone()),
            handle,
            clock,
            paused: Cell::new(false),
            context,
            isolate: pointer,
            sessions: RefCell::default(),
            inspector: OnceCell::new(),
            thrower: OnceCell::new(),
        });
        isolate.set_slot(OfIsolate(Rc::downgrade(&debugger)));
        let client = V8InspectorClient::new(Box::new(Client(Rc::downgrade(&debugger))));
        let inspector = V8Inspector::create(isolate, client);
        {
            deno_core::scope!(scope, runtime);
            let context = scope.get_current_context();
            let name: Vec<u16> = name.encode_utf16().collect();
            inspector.context_created(
                context,
                GROUP,
                StringView::from(&name[..]),
                StringView::from(CONTEXT_DATA.as_bytes()),
            );
            // Both were empty: this is the only place that fills them.
            if let Some(thrower) = thrower(scope) {
                let _ = debugger.thrower.set(thrower);
            }
        }
        let _ = debugger.inspector.set(inspector);
        debugger
    }

    /// What other threads hold.
    pub fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// A turn begins: obeys what has come, and is woken by what comes later. The caller has a scope open.
    pub fn begin_turn(&self, cx: &Context<'_>) {
        self.handle.set_task(cx.waker());
        if let Some(inspector) = self.inspector.get() {
            inspector.idle_finished();
        }
        self.pump();
    }

    /// A turn is over: profiles count what follows as idle.
    pub fn end_turn(&self) {
        if let Some(inspector) = self.inspector.get() {
            inspector.idle_started();
        }
    }

    /// Tells clients of an exception that nothing caught.
    pub fn exception_thrown(&self, scope: &mut v8::PinScope<'_, '_>, exception: v8::Local<'_, v8::Value>) {
        let Some(inspector) = self.inspector.get() else { return };
        let context = scope.get_current_context();
        let exception = v8::Local::new(scope, exception);
        let message = v8::Exception::create_message(scope, exception);
        let stack = message.get_stack_trace(scope);
        let stack = inspector.create_stack_trace(stack);
        // Shown if the exception itself cannot be.
        let whole: Vec<u16> = message.get(scope).to_rust_string_lossy(scope).encode_utf16().collect();
        let url: Vec<u16> = message
            .get_script_resource_name(scope)
            .map(|name| name.to_rust_string_lossy(scope))
            .unwrap_or_default()
            .encode_utf16()
            .collect();
        let at = |number: Option<usize>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
        inspector.exception_thrown(
            context,
            StringView::from(&b"Uncaught"[..]),
            exception,
            StringView::from(&whole[..]),
            StringView::from(&url[..]),
            at(message.get_line_number(scope)),
            at(Some(message.get_start_column() + 1)),
            stack,
            self.thrower.get().map_or(0, |(_, id)| *id),
        );
    }

    fn connect(&self, arrival: Arrival) {
        if let Some(inspector) = self.inspector.get() {
            let session = Rc::new(Session::new(inspector, GROUP, arrival, self.clock.clone()));
            self.sessions.borrow_mut().push(session);
        }
    }

    fn detach(&self, session: &Rc<Session>) {
        let known = {
            let mut sessions = self.sessions.borrow_mut();
            let at = sessions.iter().position(|known| Rc::ptr_eq(known, session));
            at.map(|at| sessions.swap_remove(at))
        };
        if let Some(session) = known {
            session.leave();
            self.handle.detached();
        }
    }

    /// Obeys everything that has come.
    fn pump(&self) {
        let mut cx = Context::from_waker(&self.waker);
        loop {
            let over = {
                let (arrivals, over) = self.handle.begin_pump();
                arrivals.into_iter().for_each(|arrival| self.connect(arrival));
                over
            };
            // Held, so that nothing that V8 is inside of goes away; V8 may change the list meanwhile.
            let sessions = self.sessions.borrow().clone();
            let mut idle = true;
            for session in &sessions {
                match session.next(&mut cx) {
                    _ if over => self.detach(session),
                    Next::Command(command) => {
                        idle = false;
                        session.obey(&command);
                    }
                    Next::Gone => {
                        idle = false;
                        self.detach(session);
                    }
                    Next::Nothing => {}
                }
            }
            if idle {
                return;
            }
        }
    }

    /// Goes on at once where V8 stands in the engine's scripts alone. All clients have the same frames: what one does not see,
    /// none does.
    fn leave_unseen(&self) {
        let sessions = self.sessions.borrow().clone();
        let mut unseen = sessions.iter().filter(|session| session.paused_unseen());
        let first = unseen.next();
        unseen.for_each(drop);
        if let Some(session) = first {
            session.go_on();
        }
    }

    /// Stands still until a command, or the last client's end, says to go on.
    fn stand_still(&self) {
        self.paused.set(true);
        self.leave_unseen();
        loop {
            self.pump();
            if !self.paused.get() || self.sessions.borrow().is_empty() {
                break;
            }
            self.handle.park();
        }
        self.paused.set(false);
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        self.handle.close();
        // Clients that had not been connected yet see the end.
        drop(self.handle.begin_pump());
    }
}

/// Where [`on_interrupt`] finds the debugger: in a slot of the isolate.
struct OfIsolate(Weak<Debugger>);

/// V8 calls back while JavaScript runs.
unsafe extern "C" fn on_interrupt(isolate: v8::UnsafeRawIsolatePtr, _: *mut std::ffi::c_void) {
    // SAFETY: V8 calls on the isolate's thread, with the isolate it was asked to interrupt.
    let isolate = unsafe { v8::Isolate::from_raw_isolate_ptr(isolate) };
    let debugger = isolate.get_slot::<OfIsolate>().and_then(|slot| slot.0.upgrade());
    if let Some(debugger) = debugger {
        debugger.pump();
    }
}

/// What V8 asks of whoever embeds it.
struct Client(Weak<Debugger>);

impl V8InspectorClientImpl for Client {
    fn run_message_loop_on_pause(&self, _group: i32) {
        if let Some(debugger) = self.0.upgrade() {
            debugger.stand_still();
        }
    }

    fn quit_message_loop_on_pause(&self) {
        if let Some(debugger) = self.0.upgrade() {
            debugger.paused.set(false);
        }
    }

    fn ensure_default_context_in_group(&self, _group: i32) -> Option<v8::Local<'_, v8::Context>> {
        let debugger = self.0.upgrade()?;
        // SAFETY: V8 asks on the isolate's thread; the debugger is dropped before the isolate.
        let mut isolate = unsafe { v8::Isolate::from_raw_isolate_ptr(debugger.isolate) };
        let isolate = &mut isolate;
        v8::callback_scope!(unsafe scope, isolate);
        let context = v8::Local::new(scope, &debugger.context);
        // SAFETY: the handle is in the scope that V8 has open around this call, not in one of this function.
        Some(unsafe { context.extend_lifetime_unchecked() })
    }
}
