//! The limits that JavaScript counts itself (`js/03_account.js`), and the events' lives.

use crate::ops::isolate;
use atoll_model::Limit;
use deno_core::{OpState, op2};
use deno_error::JsErrorBox;
use std::time::Instant;

/// In the order of the numbers in `js/03_account.js`.
const COUNTED: [Limit; 5] = [
    Limit::Subrequests,
    Limit::Connections,
    Limit::Timers,
    Limit::WaitUntils,
    Limit::Buffers,
];

/// The values of the limits that JavaScript counts.
#[op2]
pub(crate) fn op_limits(state: &OpState) -> Vec<f64> {
    let limits = &isolate(state).version.limits;
    COUNTED
        .iter()
        .map(|limit| limits.get(*limit).unwrap_or(u64::MAX) as f64)
        .collect()
}

/// An event reached a limit.
#[op2(fast)]
pub(crate) fn op_limit_hit(state: &OpState, #[smi] number: u32, #[smi] event: u32) {
    if let Some(limit) = COUNTED.get(number as usize) {
        isolate(state).hit(*limit, event);
    }
}

/// Nothing holds the event any more.
#[op2(fast)]
pub(crate) fn op_event_over(state: &OpState, #[smi] event: u32) {
    isolate(state).over(event);
}

/// The event is answered to the last byte; only what was given to `waitUntil` goes on.
#[op2(fast)]
pub(crate) fn op_event_background(state: &OpState, #[smi] event: u32) {
    isolate(state).in_background(event);
}

/// CPU that the event has used, milliseconds.
#[op2(fast)]
pub(crate) fn op_event_cpu(state: &OpState, #[smi] event: u32) -> f64 {
    isolate(state).meter.cpu_ms(event, Instant::now())
}

/// Work for the event goes to a helper's thread: the number by which it ends.
#[op2(fast)]
#[smi]
pub(crate) fn op_help_begins(state: &OpState, #[smi] event: u32) -> u32 {
    isolate(state).meter.help_begins(event)
}

/// It is done.
#[op2(fast)]
pub(crate) fn op_help_ends(state: &OpState, #[smi] number: u32) {
    isolate(state).meter.help_ends(number);
}

/// Throws if a buffer may not become this large.
#[op2(fast)]
pub(crate) fn op_buffer_reserve(state: &OpState, max: f64) -> Result<(), JsErrorBox> {
    let isolate = isolate(state);
    let limit = isolate.version.limits.buffer_bytes;
    // What is no length is V8's to refuse.
    if max <= limit as f64 || max > MAX_SAFE_INTEGER {
        return Ok(());
    }
    isolate.hit(Limit::Buffers, 0);
    Err(JsErrorBox::range_error(format!(
        "Array buffer allocation failed: maxByteLength is {max}, more than a worker's buffers may have (limit buffer_bytes = {limit})"
    )))
}

/// The largest integer that is exact in JavaScript. ECMAScript, section 21.1.2.6.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;
