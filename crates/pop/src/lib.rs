//! The PoP's agent: it joins a control plane, holds the edge configuration, fetches artifacts and ships telemetry; without
//! the control plane it goes on with what it has.
//!
//! - [`Agent`]: opened from a data directory, then started with the [`Runtime`] that it drives;
//! - [`runtime`]: what the binary implements;
//! - [`fleet`]: who is alive, and who owns a cron's tick;
//! - [`ticks`]: crons across the deaths of those who own them;
//! - [`ship`]: telemetry on its way.
//!
//! Invariants:
//! - the last good configuration can be read from disk at any moment, whenever the process dies;
//! - a configuration is taken over wholly, without the workers that do not start, or not at all;
//! - of leaders, the one of the greatest epoch that was seen is believed;
//! - nothing here is in a request's way: requests read what is in memory.

mod agent;
mod apply;
mod channel;
mod connection;
mod disk;
mod error;
pub mod fleet;
mod hot;
mod identity;
mod journal;
mod last_good;
mod links;
mod neighbour;
mod objects;
pub mod runtime;
mod secrets;
mod session;
pub mod ship;
pub mod ticks;
mod version;

pub use agent::{Agent, Options, Status};
pub use apply::{EMPTIED_FROM, PREPARE_ALL_MAX, PREPARE_AT_ONCE, PREPARE_MAX, Rejected, WARM_AT_ONCE};
pub use connection::PAUSE_MAX;
pub use error::AgentError;
pub use objects::ObjectLimits;
pub use runtime::{
    LoadedVersion, Runtime, StartError, StartFault, StartedFacts, Surroundings, TailSink, WorkerToStart,
};
