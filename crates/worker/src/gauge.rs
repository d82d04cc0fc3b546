//! How much CPU what runs in an instance may still use, for the watchdog of another thread.
//!
//! An instance runs many events by turns and knows, at most times, which one runs. Each time that changes it begins a new
//! *spell*. The watchdog reads a spell's number and budget, notes the thread's CPU clock when it first sees the spell, and
//! ends the turn once the spell has used more than its budget: late by at most the time between two looks, never early.
//!
//! Where the instance does not know, it asks to be looked at ([`CpuGauge::wants_look`]): the watchdog interrupts it
//! ([`crate::Interrupt::look`]) and it sees for itself.

use crate::{RouteCpu, RouteNumber};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Reads the calling thread's CPU clock, nanoseconds.
pub type ReadCpu = fn() -> u64;

/// CPU of the threads beside the instance's own that work for it.
pub trait HelperClock: Send + Sync + std::fmt::Debug {
    /// All of it so far, nanoseconds. Never goes back.
    fn cpu_ns(&self) -> u64;
}

/// See the module. One per instance; written by its thread, read by the watchdog's.
#[derive(Debug)]
pub struct CpuGauge {
    clock: OnceLock<ReadCpu>,
    helpers: OnceLock<Arc<dyn HelperClock>>,
    routes: OnceLock<Arc<RouteCpu>>,
    spell: AtomicU64,
    left_ns: AtomicU64,
    wants_look: AtomicBool,
    suspended: AtomicBool,
    spent: AtomicBool,
}

impl Default for CpuGauge {
    fn default() -> Self {
        Self {
            clock: OnceLock::new(),
            helpers: OnceLock::new(),
            routes: OnceLock::new(),
            spell: AtomicU64::new(0),
            left_ns: AtomicU64::new(u64::MAX),
            wants_look: AtomicBool::new(false),
            suspended: AtomicBool::new(false),
            spent: AtomicBool::new(false),
        }
    }
}

impl CpuGauge {
    /// Gives the instance its thread's CPU clock. The first one counts. Without one it takes wall time for CPU.
    pub fn set_clock(&self, clock: ReadCpu) {
        let _ = self.clock.set(clock);
    }

    /// CPU the calling thread has used, nanoseconds.
    pub fn cpu_ns(&self) -> Option<u64> {
        self.clock.get().map(|read| read())
    }

    /// Gives the instance the clock of its helpers' threads. The first one counts. Without one they cost nothing.
    pub fn set_helpers(&self, helpers: Arc<dyn HelperClock>) {
        let _ = self.helpers.set(helpers);
    }

    /// CPU that threads beside the instance's own have used for it, nanoseconds.
    pub fn helpers_ns(&self) -> u64 {
        self.helpers.get().map_or(0, |helpers| helpers.cpu_ns())
    }

    /// Says where CPU is added up by route. The first one counts. Without one it is not.
    pub fn set_routes(&self, routes: Arc<RouteCpu>) {
        let _ = self.routes.set(routes);
    }

    /// An event that the route led to has used so many nanoseconds more.
    pub fn used_by_route(&self, route: RouteNumber, ns: u64) {
        if let Some(routes) = self.routes.get() {
            routes.add(route, ns);
        }
    }

    /// Something else runs from now on, and may use `left_ns`.
    pub fn begin(&self, left_ns: u64) {
        self.left_ns.store(left_ns, Ordering::Relaxed);
        self.spell.fetch_add(1, Ordering::Release);
    }

    /// The spell's number and what it may use in all, nanoseconds.
    pub fn spell(&self) -> (u64, u64) {
        let spell = self.spell.load(Ordering::Acquire);
        (spell, self.left_ns.load(Ordering::Relaxed))
    }

    /// Says whether the instance wants to be interrupted to see what runs.
    pub fn want_look(&self, wanted: bool) {
        self.wants_look.store(wanted, Ordering::Relaxed);
    }

    /// Whether it does.
    pub fn wants_look(&self) -> bool {
        self.wants_look.load(Ordering::Relaxed)
    }

    /// A debugger holds the instance: until `suspend(false)` nothing of it counts against a limit.
    pub fn suspend(&self, suspended: bool) {
        self.suspended.store(suspended, Ordering::Relaxed);
        // What comes after begins afresh.
        self.spell.fetch_add(1, Ordering::Release);
    }

    /// Whether a debugger holds it.
    pub fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::Relaxed)
    }

    /// An event went over the soft limit: the instance should take no more.
    pub fn set_spent(&self) {
        self.spent.store(true, Ordering::Relaxed);
    }

    /// Whether one did.
    pub fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }
}
