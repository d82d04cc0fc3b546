//! The isolate's own time (`js/19_clock.js`).

use crate::ops::isolate;
use deno_core::{OpState, op2};

/// Milliseconds since the Unix epoch as this turn sees them; 0 while the modules are evaluated.
#[op2(fast)]
pub(crate) fn op_clock(state: &OpState) -> f64 {
    isolate(state).turn_ms.get()
}

/// A timer of the event fired: the time moves on.
#[op2(fast)]
pub(crate) fn op_clock_tick(state: &OpState, #[smi] event: u32) {
    let isolate = isolate(state);
    isolate.tick();
    isolate.runs(event);
}
