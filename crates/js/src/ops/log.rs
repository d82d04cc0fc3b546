//! Where `console` ends.

use crate::ops::isolate;
use atoll_worker::{LogLevel, LogRecord};
use deno_core::{OpState, op2};

/// Hands a line to the host. Levels as in `js/22_console.js`.
#[op2(fast)]
pub(crate) fn op_log(state: &OpState, #[smi] level: u8, #[string] message: String) {
    let level = match level {
        0 => LogLevel::Debug,
        2 => LogLevel::Info,
        3 => LogLevel::Warn,
        4 => LogLevel::Error,
        _ => LogLevel::Log,
    };
    let isolate = isolate(state);
    isolate.env.logs.log(LogRecord {
        level,
        message,
        timestamp_ms: isolate.env.clock.now_ms(),
        request_id: None,
    });
}
