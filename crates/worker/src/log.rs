//! What a worker prints, on its way to a terminal or a log store.

use crate::{LimitHit, SpanPlace, StartNote, Usage};
use atoll_model::RequestId;
use serde::{Deserialize, Serialize};

/// `console`'s methods, by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// `console.debug`, `console.trace`.
    Debug,
    /// `console.log`, `console.info` and the rest.
    Log,
    /// `console.info`.
    Info,
    /// `console.warn`.
    Warn,
    /// `console.error`, `console.assert`.
    Error,
}

/// One line (or block) that a worker printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// See [`LogLevel`].
    pub level: LogLevel,
    /// The arguments, inspected and joined as the console does. No escape sequences.
    pub message: String,
    /// When, milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// The event that printed it; `None` at start-up.
    pub request_id: Option<RequestId>,
    /// Where that event stands in a trace, if traces are made.
    pub span: Option<SpanPlace>,
}

/// Takes what workers print. Called on the isolate's thread: it must not block.
pub trait LogSink: Send + Sync + 'static {
    /// Takes one record.
    fn log(&self, record: LogRecord);
    /// An exception that no response carries: thrown in `waitUntil`, a timer, a socket handler, an unhandled rejection.
    fn exception(&self, request_id: Option<RequestId>, exception: crate::JsException);

    /// A limit was reached. What it meant for the worker, who sees it in its own way, is told elsewhere: this is for counting.
    fn limit(&self, _hit: LimitHit) {}

    /// An event met a worker that did not run, or was the first of one made ahead. For counting; warm events are not told.
    fn start(&self, _note: StartNote) {}

    /// What the version has used since this was last called. For counting; not for every event.
    fn used(&self, _usage: Usage) {}

    /// Whether somebody takes [`LogSink::trace`]'s items: gathering them costs. Asked for every event.
    fn traces(&self) -> bool {
        false
    }

    /// What an event did, as JSON (the platform's `TraceItem`), once it and its `waitUntil` are over.
    fn trace(&self, _item: String) {}
}
