//! Where `console` ends.

use crate::ops::isolate;
use atoll_worker::LogLevel;
use deno_core::{OpState, op2};

/// Hands a line of an event to the host; false once it may print no more. Levels as in `js/22_console.js`.
#[op2(fast)]
pub(crate) fn op_log(state: &OpState, #[smi] level: u8, #[string] message: String, #[smi] event: u32) -> bool {
    let level = match level {
        0 => LogLevel::Debug,
        2 => LogLevel::Info,
        3 => LogLevel::Warn,
        4 => LogLevel::Error,
        _ => LogLevel::Log,
    };
    isolate(state).log(level, message, event)
}
