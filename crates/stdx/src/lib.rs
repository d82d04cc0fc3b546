//! What the standard library could have held: an injected clock, a seeded random source, a group of tasks that drains, a runner
//! of seeded inputs, an allocator that keeps small blocks at hand.
//!
//! Nothing here knows Atoll. A thing belongs here only if two crates need it and neither owns it.

pub mod clock;
pub mod fuzz;
pub mod rng;
pub mod spare;
pub mod tasks;

pub use clock::{Clock, ManualClock, SystemClock};
pub use rng::SplitMix64;
pub use spare::SparingAllocator;
pub use tasks::TaskGroup;
