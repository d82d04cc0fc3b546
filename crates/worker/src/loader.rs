//! Dynamic workers: a worker that starts others from code it has at hand.
//!
//! The way of one: the engine asks the loader for a worker by id and gets a [`Service`] at once. Where the loader does not
//! have that worker, it takes the [`CodeAsk`] that came with the question and asks for the code through it; the engine then
//! runs the caller's callback and answers with [`CodeSink::supply`]. Events for the service wait for the start.
//!
//! Failures: who does not supply (the sink is dropped) or supplies a [`Fault`] fails every event that waits; modules that do
//! not load fail them with a [`crate::FaultKind::Startup`] fault whose message is ready to be thrown.

use crate::{Fault, OutboundRoute, Service, ServiceStub};
use atoll_model::{CompatDate, Module};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The most bytes that all modules of a dynamic worker may have together, as the Workers platform has it: 64 MiB.
pub const CODE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The longest id of a dynamic worker, bytes.
pub const ID_BYTES_MAX: usize = 64 * 1024;

/// Where a loader asks for code, if it needs any; dropped if it does not.
pub type CodeAsk = oneshot::Sender<Box<dyn CodeSink>>;

/// A `worker_loaders` binding.
pub trait WorkerLoader: Send + Sync + 'static {
    /// The dynamic worker `id`; `None` for one that nobody else can ask for. Returns at once, also while the worker's code is
    /// not there yet. The worker may be ended when its last service is dropped.
    fn get(&self, id: Option<Arc<str>>, ask: CodeAsk) -> Arc<dyn Service>;
}

/// Takes a dynamic worker's code.
pub trait CodeSink: Send + 'static {
    /// Starts the worker, or says why there is no code. Returns at once.
    fn supply(self: Box<Self>, code: Result<WorkerCode, Fault>);
}

/// What a dynamic worker is made of.
#[derive(Debug)]
pub struct WorkerCode {
    /// The day whose behaviour it asks for.
    pub compat_date: CompatDate,
    /// Compatibility flags; checked.
    pub compat_flags: Vec<String>,
    /// The module whose exports are the worker's handlers.
    pub main_module: String,
    /// All modules. Names are unique.
    pub modules: Vec<Module>,
    /// `env`. Names are unique.
    pub env: Vec<(String, ClonedValue)>,
    /// Where its global `fetch` and `connect` go; by [`OutboundRoute::Network`] where the loading worker's go.
    pub outbound: OutboundRoute,
    /// Who is told of what its events did.
    pub tails: Vec<ServiceStub>,
    /// CPU of one turn, milliseconds; `None` for the loading worker's own limit, which is the most in any case.
    pub cpu_ms: Option<u64>,
    /// Sub-requests of one event; likewise.
    pub subrequests_max: Option<u32>,
}

/// A value as the engine's structured clone, with what it cannot carry beside it.
#[derive(Debug, Clone)]
pub struct ClonedValue {
    /// The clone.
    pub data: Bytes,
    /// What the clone's placeholders stand for, in the engine's own words (JSON).
    pub table: Arc<str>,
    /// The services that the table names by index.
    pub services: Vec<ServiceStub>,
}
