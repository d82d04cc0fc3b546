//! Spans and records as OTLP's messages.

use atoll_host::{LogEvent, LogOrigin};
use atoll_worker::{LogLevel, Span, SpanKind, SpanValue};
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

fn record(event: &LogEvent) -> LogRecord {
    let from = |origin: &LogOrigin| {
        vec![
            text("faas.name", origin.worker.as_str()),
            text("atoll.account", origin.tenant.as_str()),
        ]
    };
    match event {
        LogEvent::Record(origin, printed) => {
            let (severity, word) = match printed.level {
                LogLevel::Debug => (SeverityNumber::Debug, "DEBUG"),
                LogLevel::Log | LogLevel::Info => (SeverityNumber::Info, "INFO"),
                LogLevel::Warn => (SeverityNumber::Warn, "WARN"),
                LogLevel::Error => (SeverityNumber::Error, "ERROR"),
            };
            let mut attributes = from(origin);
            attributes.extend(printed.request_id.map(|id| text("atoll.request_id", id.to_string())));
            let time_ns = printed.timestamp_ms.saturating_mul(1_000_000);
            LogRecord {
                time_unix_nano: time_ns,
                observed_time_unix_nano: time_ns,
                severity_number: severity.into(),
                severity_text: word.to_owned(),
                body: Some(AnyValue {
                    value: Some(Value::StringValue(printed.message.clone())),
                }),
                attributes,
                ..LogRecord::default()
            }
        }
        LogEvent::Exception(origin, request_id, exception) => {
            let mut attributes = from(origin);
            attributes.extend(request_id.map(|id| text("atoll.request_id", id.to_string())));
            attributes.push(text("exception.message", exception.message.clone()));
            attributes.push(text("exception.stacktrace", exception.to_string()));
            LogRecord {
                severity_number: SeverityNumber::Error.into(),
                severity_text: "ERROR".to_owned(),
                body: Some(AnyValue {
                    value: Some(Value::StringValue(exception.to_string())),
                }),
                attributes,
                ..LogRecord::default()
            }
        }
    }
}
