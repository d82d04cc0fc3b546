//! Spans and records as OTLP's messages.

use atoll_host::LogEvent;
use atoll_worker::{JsException, LogLevel, Span, SpanKind, SpanValue};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{self as otlp, ResourceSpans, ScopeSpans, Status};
use std::sync::Arc;

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "atoll".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    })
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

fn resource(attributes: &[(String, String)]) -> Option<Resource> {
    Some(Resource {
        attributes: attributes.iter().map(|(key, value)| text(key, value)).collect(),
        ..Resource::default()
    })
}

/// A batch of spans.
pub(super) fn spans(of: &[(String, String)], spans: impl Iterator<Item = Span>) -> ResourceSpans {
    ResourceSpans {
        resource: resource(of),
        scope_spans: vec![ScopeSpans {
            scope: scope(),
            spans: spans.map(span).collect(),
            schema_url: String::new(),
        }],
        schema_url: String::new(),
    }
}

fn span(span: Span) -> otlp::Span {
    let kind = match span.kind {
        SpanKind::Internal => otlp::span::SpanKind::Internal,
        SpanKind::Server => otlp::span::SpanKind::Server,
        SpanKind::Client => otlp::span::SpanKind::Client,
    };
    let attribute = |(key, value): (&'static str, SpanValue)| match value {
        SpanValue::Text(value) => pair(key, Value::StringValue(value)),
        SpanValue::Int(value) => pair(key, Value::IntValue(value)),
        SpanValue::Flag(value) => pair(key, Value::BoolValue(value)),
    };
    otlp::Span {
        trace_id: span.context.trace_id.to_vec(),
        span_id: span.context.span_id.to_vec(),
        trace_state: span.context.state.as_deref().unwrap_or_default().to_owned(),
        parent_span_id: span.parent.map(Vec::from).unwrap_or_default(),
        name: span.name,
        kind: kind.into(),
        start_time_unix_nano: span.start_ns,
        end_time_unix_nano: span.end_ns,
        attributes: span.attributes.into_iter().map(attribute).collect(),
        status: span.error.map(|message| Status {
            message,
            code: otlp::status::StatusCode::Error.into(),
        }),
        flags: u32::from(span.context.sampled),
        ..otlp::Span::default()
    }
}

/// A batch of what workers printed and threw.
pub(super) fn logs(of: &[(String, String)], events: &[Arc<LogEvent>]) -> ResourceLogs {
    ResourceLogs {
        resource: resource(of),
        scope_logs: vec![ScopeLogs {
            scope: scope(),
            log_records: events.iter().map(|event| record(event)).collect(),
            schema_url: String::new(),
        }],
        schema_url: String::new(),
    }
}

/// When nothing else says when.
fn now_ns() -> u64 {
    atoll_stdx::Clock::now_ms(&atoll_stdx::SystemClock).saturating_mul(1_000_000)
}

fn body(said: String) -> Option<AnyValue> {
    Some(AnyValue {
        value: Some(Value::StringValue(said)),
    })
}

fn thrown(exception: &JsException) -> [KeyValue; 3] {
    [
        text("exception.type", exception.name.clone()),
        text("exception.message", exception.message.clone()),
        text("exception.stacktrace", exception.stack.clone()),
    ]
}

fn record(event: &LogEvent) -> LogRecord {
    let (origin, request_id, span) = match event {
        LogEvent::Record(origin, printed) => (origin, printed.request_id, printed.span),
        LogEvent::Exception(origin, request_id, _) => (origin, *request_id, None),
        LogEvent::Failed(origin, failed) => (origin, Some(failed.request_id), failed.span),
    };
    let mut record = LogRecord {
        severity_number: SeverityNumber::Error.into(),
        severity_text: "ERROR".to_owned(),
        attributes: vec![
            text("faas.name", origin.worker.as_str()),
            text("atoll.account", origin.tenant.as_str()),
        ],
        ..LogRecord::default()
    };
    if !origin.version.is_empty() {
        record.attributes.push(text("faas.version", &*origin.version));
    }
    record
        .attributes
        .extend(request_id.map(|id| text("atoll.request_id", id.to_string())));
    if let Some(span) = span {
        record.trace_id = span.trace_id.to_vec();
        record.span_id = span.span_id.to_vec();
        record.flags = u32::from(span.sampled);
    }
    match event {
        LogEvent::Record(_, printed) => {
            let (severity, word) = match printed.level {
                LogLevel::Debug => (SeverityNumber::Debug, "DEBUG"),
                LogLevel::Log | LogLevel::Info => (SeverityNumber::Info, "INFO"),
                LogLevel::Warn => (SeverityNumber::Warn, "WARN"),
                LogLevel::Error => (SeverityNumber::Error, "ERROR"),
            };
            record.severity_number = severity.into();
            record.severity_text = word.to_owned();
            record.time_unix_nano = printed.timestamp_ms.saturating_mul(1_000_000);
            record.observed_time_unix_nano = record.time_unix_nano;
            record.body = body(printed.message.clone());
        }
        LogEvent::Exception(_, _, exception) => {
            record.attributes.extend(thrown(exception));
            record.observed_time_unix_nano = now_ns();
            record.body = body(exception.to_string());
        }
        LogEvent::Failed(_, failed) => {
            let fault = &failed.fault;
            record.attributes.push(text("error.type", format!("{:?}", fault.kind)));
            record.observed_time_unix_nano = now_ns();
            record.body = body(match &fault.exception {
                Some(exception) => {
                    record.attributes.extend(thrown(exception));
                    exception.to_string()
                }
                None => fault.message.clone(),
            });
        }
    }
    record
}
