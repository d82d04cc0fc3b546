//! What an isolate's ops share: the environment, the module table and the replies that are still owed.

use crate::inspect::Debugger;
use atoll_model::{CompatFlags, WorkerVersion};
use atoll_worker::{Environment, Fault, JsException, Outcome, Reply};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// One isolate's state, in its op state.
pub(crate) struct IsolateState {
    pub env: Environment,
    pub version: Arc<WorkerVersion>,
    /// What the version's date and flags come to.
    pub compat: CompatFlags,
    /// Events whose handler has not answered. The key is the id that JavaScript holds.
    pub pending: RefCell<Slab<Reply>>,
    /// What was thrown while the modules were evaluated and no answer carries; the first. `None` once start-up is over.
    pub startup_exception: RefCell<Option<Option<JsException>>>,
    /// Calls to other workers that have no answer yet.
    pub asking: Cell<i64>,
    /// Of [`Self::pending`], those that wait for another worker and may wait for ever.
    pub parked: RefCell<HashSet<u32>>,
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
        Rc::new(Self {
            env,
            version,
            compat,
            pending: RefCell::default(),
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

    /// Registers an event; the id goes to JavaScript.
    pub fn add(&self, reply: Reply) -> u32 {
        // Far fewer than 2^32 events fit in memory.
        self.pending.borrow_mut().insert(reply) as u32
    }

    /// Answers an event. An id that was answered already is ignored: JavaScript can hold a stale one only after its
    /// isolate was terminated, when all were answered.
    pub fn answer(&self, id: u32, answer: Result<Outcome, Fault>) {
        let reply = self.pending.borrow_mut().try_remove(id as usize);
        self.parked.borrow_mut().remove(&id);
        if let Some(reply) = reply {
            // Nobody waiting any more is no error: the client went away.
            let _ = reply.send(answer);
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
            let (pending, parked) = (self.pending.borrow(), self.parked.borrow());
            // Ids came from `add`.
            let ids = pending.iter().map(|(id, _)| id as u32);
            ids.filter(|id| !parked.contains(id)).collect()
        };
        for id in stuck {
            self.answer(id, Err(fault.clone()));
        }
        !self.pending.borrow().is_empty()
    }

    /// Answers everything that is owed.
    pub fn answer_all(&self, fault: &Fault) {
        self.parked.borrow_mut().clear();
        let all = std::mem::take(&mut *self.pending.borrow_mut());
        for (_, reply) in all {
            let _ = reply.send(Err(fault.clone()));
        }
    }
}
