//! What events did, for the workers that are told of it, and the `tail` handler that is told.

use crate::ops::isolate;
use atoll_worker::Outcome;
use deno_core::{OpState, op2};

/// The worker's name, as items have it.
#[op2]
#[string]
pub(crate) fn op_trace_name(state: &OpState) -> String {
    isolate(state).version.name.to_string()
}

/// What is known of an event at its beginning, as JSON: told if the isolate does not live to tell more.
#[op2(fast)]
pub(crate) fn op_trace_begin(state: &OpState, #[smi] event: u32, #[string] item: String) {
    isolate(state).trace_begins(event, item);
}

/// Hands an item over.
#[op2(fast)]
pub(crate) fn op_trace(state: &OpState, #[string] item: String) {
    isolate(state).env.logs.trace(item);
}

/// The `tail` handler is done.
#[op2(fast)]
pub(crate) fn op_tail_done(state: &OpState, #[smi] id: u32) {
    isolate(state).answer(id, Ok(Outcome::Tail));
}
