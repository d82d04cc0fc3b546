//! Distributed traces: where an event stands in one, and what is told of a piece of work.
//!
//! Source: W3C Trace Context, Recommendation of 23 November 2021 (`traceparent`, `tracestate`); OpenTelemetry's specification for
//! what a span is. Where no [`Tracer`] is configured nothing of this exists: no context, no header, no cost.
//!
//! Invariants:
//! - a malformed header never fails a request: a new trace begins instead;
//! - a span that is not sampled costs an id, and is told to nobody; its context still goes on, so that all agree;
//! - telling a span never blocks: who cannot take it drops it and counts.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The longest `tracestate` that is passed on, bytes (the specification asks for at least 512).
pub const TRACE_STATE_BYTES_MAX: usize = 1_024;
/// The most members of a `tracestate` (W3C Trace Context, section 3.3.1.1).
const TRACE_STATE_MEMBERS_MAX: usize = 32;
/// Version 00's only length (section 3.2).
const TRACEPARENT_BYTES: usize = 55;

/// Where a piece of work stands in a trace: what `traceparent` and `tracestate` say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace. Not all zero.
    pub trace_id: [u8; 16],
    /// The span that is the parent of what comes next. Not all zero.
    pub span_id: [u8; 8],
    /// Is the trace recorded?
    pub sampled: bool,
    /// `tracestate`, as it came.
    pub state: Option<Arc<str>>,
}

/// The span in which something happened: what a record of it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanPlace {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span.
    pub span_id: [u8; 8],
    /// Is the trace recorded?
    pub sampled: bool,
}

impl TraceContext {
    /// The span of which this is the context.
    pub fn place(&self) -> SpanPlace {
        SpanPlace {
            trace_id: self.trace_id,
            span_id: self.span_id,
            sampled: self.sampled,
        }
    }

    /// Reads the two headers. `None`: there is no usable `traceparent`. A `tracestate` that is too long or has too many members is
    /// left out, as the specification allows.
    pub fn read(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let text = traceparent.as_bytes();
        let separated = text.len() >= TRACEPARENT_BYTES && text[2] == b'-' && text[35] == b'-' && text[52] == b'-';
        if !separated {
            return None;
        }
        let [version] = digits(&text[..2])?;
        // Later versions may say more, after another dash.
        let ends = match version {
            0xff => false,
            0 => text.len() == TRACEPARENT_BYTES,
            _ => text.len() == TRACEPARENT_BYTES || text[TRACEPARENT_BYTES] == b'-',
        };
        let (trace_id, span_id) = (digits(&text[3..35])?, digits(&text[36..52])?);
        let [flags] = digits(&text[53..55])?;
        if !ends || trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        let state = tracestate.map(str::trim).filter(|state| {
            let members = state.split(',').count();
            !state.is_empty() && state.len() <= TRACE_STATE_BYTES_MAX && members <= TRACE_STATE_MEMBERS_MAX
        });
        Some(Self {
            trace_id,
            span_id,
            sampled: flags & 1 == 1,
            state: state.map(Into::into),
        })
    }

    /// The value of `traceparent`.
    pub fn traceparent(&self) -> String {
        format!(
            "00-{}-{}-{:02x}",
            Hex(&self.trace_id),
            Hex(&self.span_id),
            u8::from(self.sampled)
        )
    }
}

/// Bytes from lower-case hexadecimal digits (upper case is not valid in the header).
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// OpenTelemetry's kinds of spans, as far as they occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Work within the platform.
    Internal,
    /// A request that came from outside.
    Server,
    /// A call to something outside of the worker.
    Client,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum SpanValue {
    /// Text.
    Text(String),
    /// A number.
    Int(i64),
    /// Yes or no.
    Flag(bool),
}

impl From<&str> for SpanValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for SpanValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<i64> for SpanValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for SpanValue {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

/// A piece of work that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Itself.
    pub context: TraceContext,
    /// The span that it is a part of.
    pub parent: Option<[u8; 8]>,
    /// What was done, from a small set: never a path or a key.
    pub name: String,
    /// See [`SpanKind`].
    pub kind: SpanKind,
    /// Nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// Nanoseconds since the Unix epoch.
    pub end_ns: u64,
    /// By OpenTelemetry's semantic conventions where they have a name.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// It failed, and why.
    pub error: Option<String>,
}

/// Makes ids, decides what is recorded, and takes spans.
pub trait Tracer: Send + Sync + 'static {
    /// A span below `parent`, or the first of a new trace, which is sampled or not.
    fn context(&self, parent: Option<&TraceContext>) -> TraceContext;

    /// Takes a sampled span. Must not block.
    fn end(&self, span: Span);

    /// Nanoseconds since the Unix epoch.
    fn now_ns(&self) -> u64;
}

/// A span whose work goes on. Ends when it is dropped.
pub struct OpenSpan {
    tracer: Arc<dyn Tracer>,
    context: TraceContext,
    /// Of a sampled one.
    span: Option<Span>,
}

impl OpenSpan {
    /// Begins a span below `parent`. `name` is asked only if it is recorded.
    pub fn begin(
        tracer: &Arc<dyn Tracer>,
        parent: Option<&TraceContext>,
        kind: SpanKind,
        name: impl FnOnce() -> String,
    ) -> Self {
        let context = tracer.context(parent);
        let span = context.sampled.then(|| Span {
            context: context.clone(),
            parent: parent.map(|parent| parent.span_id),
            name: name(),
            kind,
            start_ns: tracer.now_ns(),
            end_ns: 0,
            attributes: Vec::new(),
            error: None,
        });
        Self {
            tracer: tracer.clone(),
            context,
            span,
        }
    }

    /// What its own parts have as their parent.
    pub fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Is it recorded?
    pub fn is_sampled(&self) -> bool {
        self.span.is_some()
    }

    /// Says something of it, if it is recorded.
    pub fn set<V: Into<SpanValue>>(&mut self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(span) = &mut self.span {
            span.attributes.push((key, value().into()));
        }
    }

    /// It failed.
    pub fn fail(&mut self, why: impl fmt::Display) {
        if let Some(span) = &mut self.span {
            span.error = Some(why.to_string());
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            span.end_ns = self.tracer.now_ns();
            self.tracer.end(span);
        }
    }
}

impl fmt::Debug for OpenSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenSpan").field(&self.context).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_context_reads_back() {
        let context = TraceContext::read(PARENT, Some("a=1, b=2")).unwrap();
        assert!(context.sampled);
        assert_eq!(context.span_id, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
        assert_eq!(context.traceparent(), PARENT);
        assert_eq!(context.state.as_deref(), Some("a=1, b=2"));
        let later = format!("cc{}-what-comes", &PARENT[2..]);
        assert_eq!(TraceContext::read(&later, None).unwrap().traceparent(), PARENT);
        // Flags that are not known yet are not passed on.
        let flags = format!("{}ff", &PARENT[..53]);
        assert_eq!(TraceContext::read(&flags, None).unwrap().traceparent(), PARENT);
    }

    #[test]
    fn what_is_no_context() {
        let check = |text: &str| assert_eq!(TraceContext::read(text, None), None, "{text}");
        check("");
        check("00");
        check(&PARENT[..54]);
        check(&format!("{PARENT}-more"));
        check(&format!("cc{}x", &PARENT[2..]));
        check(&format!("ff{}", &PARENT[2..]));
        check(&PARENT.to_uppercase());
        check(&PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)));
        check(&PARENT.replace("b7ad6b7169203331", &"0".repeat(16)));
        check(&PARENT.replace('-', "_"));
        check(&format!("0é{}", &PARENT[3..]));
    }

    #[test]
    fn a_state_beyond_its_bounds_is_left_out() {
        let check = |state: &str, kept: bool| {
            let context = TraceContext::read(PARENT, Some(state)).unwrap();
            assert_eq!(context.state.is_some(), kept, "{} bytes", state.len());
        };
        check(&vec!["a=1"; 32].join(","), true);
        check(&vec!["a=1"; 33].join(","), false);
        check(&format!("a={}", "x".repeat(TRACE_STATE_BYTES_MAX - 2)), true);
        check(&format!("a={}", "x".repeat(TRACE_STATE_BYTES_MAX - 1)), false);
        check("  ", false);
    }
}
