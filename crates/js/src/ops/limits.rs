//! The limits that JavaScript counts itself (`js/03_account.js`), and the events' lives.

use crate::memory::WASM_PAGES_MAX;
use crate::ops::isolate;
use atoll_model::Limit;
use deno_core::{OpState, op2};
use std::time::Instant;

/// In the order of the numbers in `js/03_account.js`.
const COUNTED: [Limit; 4] = [Limit::Subrequests, Limit::Connections, Limit::Timers, Limit::WaitUntils];

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

/// Pages of 64 KiB that one WebAssembly memory of this worker may have.
#[op2(fast)]
pub(crate) fn op_wasm_pages_max(state: &OpState) -> u32 {
    let pages = isolate(state).version.limits.wasm_bytes >> 16;
    u32::try_from(pages).unwrap_or(u32::MAX).min(WASM_PAGES_MAX)
}
