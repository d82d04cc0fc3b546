//! What the standard library could have held: an injected clock, a seeded random source, a group of tasks that drains, a runner
//! of seeded inputs.
//!
//! Nothing here knows Atoll. A thing belongs here only if two crates need it and neither owns it.

pub mod clock;
pub mod fuzz;
pub mod rng;
pub mod tasks;

pub use clock::{Clock, ManualClock, SystemClock};
pub use rng::SplitMix64;
pub use tasks::TaskGroup;
