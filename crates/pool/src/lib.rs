//! Runs engines: a thread per isolate, run permits shared fairly between tenants, a watchdog.
//!
//! Invariants:
//! - tenant code never runs on a thread that is not an isolate's, so the front's I/O goes on whatever a worker does; but for the
//!   connections that were given a place beside it ([`Homes`]), which wait for its turns;
//! - at most [`PoolOptions::permits`] turns hold a permit; one that overstays while others wait loses it, and goes on at
//!   lowered priority;
//! - an accepted job is answered, also when its isolate panics, is terminated or is retired: the only exception is a
//!   turn that cannot be terminated, whose jobs end with it;
//! - what one tenant uses while others wait is charged to it (`fair`), by its threads' CPU clocks.
//!
//! The pool knows no engine: it drives [`atoll_worker::Instance`]s. Why threads are shared out this way, and what it
//! costs, is in `docs/decisions/2026-11-21-threads.md`.

mod blocking;
mod capacity;
mod delay;
mod fair;
mod home;
mod isolate;
mod keep;
mod memory;
mod options;
mod permits;
mod pool;
mod queue;
mod ready;
mod rests;
mod room;
mod slot;
mod sys;
mod time;
mod trim;
mod worker;

pub use capacity::{
    Capacity, DESCRIPTORS_PER_ISOLATE, MAPPINGS_PER_BUSY_ISOLATE, MAPPINGS_PER_ISOLATE, THREADS_PER_ISOLATE,
};
pub use delay::{DELAY_INTERVAL, DELAY_TARGET};
pub use home::Homes;
pub use keep::{FREQUENCY_HALF_LIFE, ISOLATE_BYTES_ASSUMED};
pub use memory::{
    EVICT_FROM_PERCENT, EVICT_TO_PERCENT, Memory, MemoryReading, PRESSURE_MAX_PERCENT, ProcessMemory, RAM_SHARE_PERCENT,
};
pub use options::{
    AbandonHook, BACKOFF_FIRST, BACKOFF_MAX, BATCH_MAX, BLOCKING_THREADS_MAX, BREAKS_WITHOUT_PAUSE, DEBT_MAX,
    EXTRA_KEPT, EXTRA_SHARE, HOUSEKEEPING_EVERY, INSIST_AFTER, ISOLATES_COMFORTABLE, LEFT_MAX, OnAbandon, PoolOptions,
    PoolStats, QUANTUM, REST_AFTER, ROOM_WAIT_MAX, STACK_BYTES, TERMINATION_GRACE, TURN_MAX_DEFAULT,
};
pub use pool::Pool;
pub use ready::{DEMAND_WINDOW, HELD_BACK, READY_MAX};
pub use room::{COUNT_EVERY, Mappings, ProcessMappings};
pub use slot::{Answer, Refusal};
pub use sys::{DEMOTION_NICE, NicePriority, Priority, ThreadId, wake_without_preempting};
pub use time::{Monotonic, SystemTime};
pub use worker::{SlotStats, WorkerSlot};
