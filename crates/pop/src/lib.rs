//! The PoP's agent: it joins a control plane, holds the edge configuration, fetches artifacts and ships telemetry; without
//! the control plane it goes on with what it has.
//!
//! - [`runtime`]: what the agent drives.

pub mod runtime;

pub use runtime::{
    LoadedVersion, Runtime, StartError, StartFault, StartedFacts, Surroundings, TailSink, WorkerToStart,
};
