//! What went wrong with an event, and whose fault it is. The front chooses the HTTP status, nobody else.

use crate::LimitHit;
use atoll_model::Limit;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An event that got no outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The kind, for status, metrics and retry.
    pub kind: FaultKind,
    /// What failed, on what, and what to do: for the developer's eyes.
    pub message: String,
    /// The exception behind it, if JavaScript threw one.
    pub exception: Option<Box<JsException>>,
    /// The worker called `passThroughOnException()` before it failed.
    pub pass_through: bool,
    /// The limit that was reached, if that is why.
    pub limit: Option<LimitHit>,
}

/// Kinds of [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FaultKind {
    /// The handler threw or its promise rejected. The worker's fault.
    Exception,
    /// The handler returned something that is no response (or a used one). The worker's fault.
    BadResponse,
    /// The worker has no handler for this event. The worker's fault.
    NoHandler,
    /// The worker did not load: syntax error, missing import, exception or time-out at module top level. The worker's
    /// fault.
    Startup,
    /// The handler can never settle: nothing is left that could wake it. The worker's fault.
    NeverSettles,
    /// The event used more CPU than its limit. The worker's fault.
    ExceededCpu,
    /// The isolate ran out of memory. The worker's fault.
    ExceededMemory,
    /// The event took longer than it may when no client waits for it. The worker's fault.
    ExceededWall,
    /// Too much waits for this worker already; later may work.
    Overloaded,
    /// Workers call each other in too long a chain.
    TooDeep,
    /// No such worker.
    NotFound,
    /// Whoever asked went away.
    Canceled,
    /// The process is stopping; another may serve.
    Draining,
    /// The process that ran the worker ended under it, by this worker's doing or another's.
    Crashed,
    /// Ours.
    Internal,
}

/// A JavaScript exception, its stack mapped to the developer's sources where a source map was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JsException {
    /// `TypeError` and so on; for a thrown non-error, empty.
    pub name: String,
    /// Its message.
    pub message: String,
    /// The stack as text, first line included.
    pub stack: String,
    /// The stack's frames, innermost first.
    pub frames: Vec<Frame>,
}

/// One frame of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The function's name; empty at top level.
    pub function: String,
    /// The source file, as the source map names it (relative to the project) or the module's name.
    pub file: String,
    /// 1-based; 0 if unknown.
    pub line: u32,
    /// 1-based; 0 if unknown.
    pub column: u32,
}

impl Fault {
    /// A fault without an exception.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            exception: None,
            pass_through: false,
            limit: None,
        }
    }

    /// A fault that an exception caused; the message is the exception's.
    pub fn exception(kind: FaultKind, exception: JsException) -> Self {
        Self {
            kind,
            message: exception.to_string(),
            exception: Some(Box::new(exception)),
            pass_through: false,
            limit: None,
        }
    }
}

impl Fault {
    /// A fault because a limit was reached; the message ends with the limit's name and value.
    pub fn limit(kind: FaultKind, limit: Limit, value: u64, message: &str) -> Self {
        Self {
            limit: Some(LimitHit {
                limit,
                value,
                request_id: None,
            }),
            ..Self::new(kind, format!("{message} (limit {} = {value})", limit.key()))
        }
    }
}

impl Fault {
    /// The fault of an event that used more CPU than its limit.
    pub fn exceeded_cpu(limit_ms: u64) -> Self {
        let text = format!("the worker exceeded its CPU limit of {limit_ms} ms");
        Self::limit(FaultKind::ExceededCpu, Limit::Cpu, limit_ms, &text)
    }
}

impl fmt::Display for JsException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            write!(f, "Uncaught {}", self.message)
        } else {
            write!(f, "{}: {}", self.name, self.message)
        }
    }
}
