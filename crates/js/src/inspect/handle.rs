//! What other threads hold of a debugger: clients attach through it, and it wakes the isolate.

use super::on_interrupt;
use atoll_worker::{Inspector, InspectorPeer, InspectorSession};
use deno_core::v8;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::thread::Thread;

/// A client that attaches.
pub(super) struct Arrival {
    pub peer: InspectorPeer,
    /// Commands that come before its own.
    pub first: Vec<String>,
}

#[derive(Default)]
struct Shared {
    arriving: Vec<Arrival>,
    /// The isolate's task.
    task: Option<Waker>,
    /// Nobody may attach any more, and who is attached is to be let go.
    over: bool,
}

/// See the module. As a waker it wakes the isolate, whatever it does.
pub(crate) struct Handle {
    isolate: v8::IsolateHandle,
    /// The isolate's.
    thread: Thread,
    /// Something has come since the isolate last looked.
    woken: AtomicBool,
    /// V8 was asked for an interrupt and has not called yet: it would remember each one.
    interrupting: AtomicBool,
    /// Clients that are attached, or about to be.
    attached: AtomicUsize,
    shared: Mutex<Shared>,
}

impl Handle {
    /// Must be called on the isolate's thread.
    pub fn new(isolate: v8::IsolateHandle) -> Arc<Self> {
        Arc::new(Self {
            isolate,
            thread: std::thread::current(),
            woken: AtomicBool::new(false),
            interrupting: AtomicBool::new(false),
            attached: AtomicUsize::new(0),
            shared: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Every critical section is a few field writes.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody is attached.
    pub fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Relaxed) > 0
    }

    /// Lets everybody go, and nobody in any more: an isolate that stands at a breakpoint goes on.
    pub fn close(self: &Arc<Self>) {
        self.lock().over = true;
        self.wake_by_ref();
    }

    pub(super) fn set_task(&self, waker: &Waker) {
        let mut shared = self.lock();
        if !shared.task.as_ref().is_some_and(|known| known.will_wake(waker)) {
            shared.task = Some(waker.clone());
        }
    }

    /// What has come; whether it is over. What comes from now on wakes again.
    pub(super) fn begin_pump(&self) -> (Vec<Arrival>, bool) {
        self.woken.store(false, Ordering::SeqCst);
        self.interrupting.store(false, Ordering::SeqCst);
        let mut shared = self.lock();
        (std::mem::take(&mut shared.arriving), shared.over)
    }

    /// A client is gone.
    pub(super) fn detached(&self) {
        self.attached.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sleeps until something comes; returns at once if something has come since [`Self::begin_pump`]. On the isolate's
    /// thread.
    pub(super) fn park(&self) {
        while !self.woken.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }
}

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.thread.unpark();
        if !self.interrupting.swap(true, Ordering::SeqCst) {
            // False once the isolate is gone: nobody is left to wake.
            self.isolate.request_interrupt(on_interrupt, std::ptr::null_mut());
        }
        let task = self.lock().task.clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Inspector for Handle {
    fn attach(self: Arc<Self>, first: Vec<String>) -> InspectorSession {
        let (session, peer) = InspectorSession::pair();
        {
            let mut shared = self.lock();
            if shared.over {
                return session;
            }
            self.attached.fetch_add(1, Ordering::Relaxed);
            shared.arriving.push(Arrival { peer, first });
        }
        self.wake_by_ref();
        session
    }

    fn is_live(&self) -> bool {
        !self.lock().over
    }
}
