//! Records of the journal and how each is written, for machines and for people.
//!
//! As JSON every record has `event` and `time_ms` (Unix milliseconds), as the records that the command line itself writes do:
//!
//! | event | fields |
//! |---|---|
//! | `request` | `method`, `host`, `path` (with the query), `status`, `elapsed_ms` (head to head), `protocol`, `client`, `worker`, `request_id`, `outcome` (`ok`, `client_gone` or the fault's kind), `start` (`warm`, `cold`, `prewarmed`: how it met its worker; null without one) |
//! | `cron` | `worker`, `cron`, `scheduled_ms`, `request_id` (the same for a tick wherever it fires), `outcome` (`ok`, the fault's kind, `overlap`, `missed`), `elapsed_ms` and `start` if it fired |
//! | `log` | `worker`, `request_id`, `level`, `message`: what a worker printed |
//! | `exception` | `worker`, `request_id`, `message`, `stack`: thrown where no response carries it, or answered with 5xx |
//! | `fault` | `worker`, `request_id`, `kind`, `message`: an event without an outcome and without an exception |
//! | `program` | `level`, `target`, `message`: the program about itself |
//! | `dropped` | `count`: records that are missing here because they came faster than they could be written |

use crate::serve::meters::{outcome, tick_outcome};
use atoll_edge::AccessRecord;
use atoll_host::{Tick, TickEnd};
use atoll_model::{RequestId, WorkerName};
use atoll_worker::{Fault, JsException, LogLevel, LogRecord, StartKind};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::sync::Arc;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// One JSON object a line.
    Json,
    /// For people, without colours.
    Text,
}

/// Something to say.
pub(crate) enum Record {
    Request(AccessRecord, Option<StartKind>),
    Cron(Tick, TickEnd, StartKind),
    Printed(WorkerName, LogRecord),
    Exception(WorkerName, Option<RequestId>, JsException),
    Fault(WorkerName, RequestId, Fault),
    Program {
        level: &'static str,
        target: Arc<str>,
        message: String,
    },
    Dropped {
        count: u64,
    },
}

/// A level as the command line calls it.
pub(crate) fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Log => "log",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

impl Record {
    /// Adds the record to `lines`.
    pub(crate) fn write(&self, style: Style, time_ms: u64, lines: &mut String) {
        match style {
            Style::Json => self.json(time_ms, lines),
            Style::Text => self.text(lines),
        }
        lines.push('\n');
    }

    fn json(&self, time_ms: u64, lines: &mut String) {
        let (event, fields) = match self {
            Self::Request(record, start) => {
                let client = record.peer.ip().to_canonical();
                let mut fields = json!({
                    "method": record.method.as_str(),
                    "host": record.host,
                    "path": record.target.as_str(),
                    "status": record.status,
                    "elapsed_ms": (record.elapsed.as_secs_f64() * 1e6).round() / 1e3,
                    "protocol": record.protocol,
                    "client": client.to_string(),
                    "worker": record.worker.as_ref().map(WorkerName::as_str),
                    "request_id": record.request_id.map(|id| id.to_string()),
                    "outcome": outcome(record),
                    "start": start.map(StartKind::name),
                });
                // A PoP's alone: elsewhere one account has one version of each worker, and no routes.
                if let (Some(account), Some(version)) = (&record.tenant, &record.version) {
                    fields["account"] = account.as_str().into();
                    fields["version"] = version.as_str().into();
                    fields["route"] = record.route.as_ref().map(|route| &*route.pattern).into();
                }
                ("request", fields)
            }
            Self::Cron(tick, end, start) => {
                let (elapsed, start) = match end {
                    TickEnd::Fired(_, elapsed) => (Some(elapsed), Some(start.name())),
                    TickEnd::Skipped(_) => (None, None),
                };
                let fields = json!({
                    "worker": tick.worker.as_str(),
                    "cron": tick.cron,
                    "scheduled_ms": tick.scheduled_ms,
                    "request_id": tick.id().to_string(),
                    "outcome": tick_outcome(end),
                    "elapsed_ms": elapsed.map(|elapsed| (elapsed.as_secs_f64() * 1e6).round() / 1e3),
                    "start": start,
                });
                ("cron", fields)
            }
            Self::Printed(worker, record) => (
                "log",
                json!({
                    "worker": worker.as_str(),
                    "request_id": record.request_id.map(|id| id.to_string()),
                    "level": level_name(record.level),
                    "message": record.message,
                }),
            ),
            Self::Exception(worker, id, exception) => (
                "exception",
                json!({
                    "worker": worker.as_str(),
                    "request_id": id.map(|id| id.to_string()),
                    "message": exception.to_string(),
                    "stack": exception.stack,
                }),
            ),
            Self::Fault(worker, id, fault) => (
                "fault",
                json!({
                    "worker": worker.as_str(),
                    "request_id": id.to_string(),
                    "kind": crate::serve::meters::kind_name(fault.kind),
                    "message": fault.message,
                }),
            ),
            Self::Program { level, target, message } => (
                "program",
                json!({"level": level, "target": &**target, "message": message}),
            ),
            Self::Dropped { count } => ("dropped", json!({"count": count})),
        };
        let mut line = Map::new();
        line.insert("event".to_owned(), event.into());
        line.insert("time_ms".to_owned(), time_ms.into());
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        let _ = write!(lines, "{}", Value::Object(line));
    }

    fn text(&self, lines: &mut String) {
        // Writing to a string does not fail.
        let _ = match self {
            Self::Cron(tick, end, _) => write!(
                lines,
                "[{}] cron {}: {}",
                tick.worker,
                printable(&tick.cron),
                tick_outcome(end)
            ),
            Self::Request(record, _) => write!(
                lines,
                "[atoll] {} {}{} {} {} ({:.1}ms)",
                printable(record.method.as_str()),
                printable(&record.host),
                printable(record.target.as_str()),
                record.status,
                printable(&record.reason),
                record.elapsed.as_secs_f64() * 1e3
            ),
            Self::Printed(worker, record) => write!(
                lines,
                "[{worker}] {}{}",
                match record.level {
                    LogLevel::Warn => "warning: ",
                    LogLevel::Error => "error: ",
                    _ => "",
                },
                printable(&record.message)
            ),
            Self::Exception(worker, _, exception) if exception.stack.is_empty() => {
                write!(lines, "[{worker}] uncaught {}", printable(&exception.to_string()))
            }
            Self::Exception(worker, _, exception) => {
                write!(lines, "[{worker}] uncaught {}", printable(&exception.stack))
            }
            Self::Fault(worker, _, fault) => write!(lines, "[{worker}] {}", printable(&fault.message)),
            Self::Program { level, target, message } => {
                write!(lines, "[atoll] {level}: {} ({target})", printable(message))
            }
            Self::Dropped { count } => write!(
                lines,
                "[atoll] warning: {count} records are missing here: they came faster than they could be written"
            ),
        };
    }
}

/// Text from elsewhere, harmless to a terminal.
fn printable(text: &str) -> String {
    let harmless = |c: char| !c.is_control() || c == '\n' || c == '\t';
    text.chars()
        .flat_map(|c| {
            let (plain, escaped) = if harmless(c) {
                (Some(c), None)
            } else {
                (None, Some(c.escape_default()))
            };
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_host::Skipped;
    use atoll_model::TenantId;
    use atoll_worker::FaultKind;
    use std::time::Duration;

    fn request() -> AccessRecord {
        AccessRecord {
            method: "GET".parse().unwrap(),
            target: "/a?b=c".parse().unwrap(),
            status: 200,
            reason: "OK".into(),
            elapsed: Duration::from_micros(1234),
            fault: None,
            host: "shop.example.com".to_owned(),
            protocol: "HTTP/2",
            peer: "[::ffff:192.0.2.1]:999".parse().unwrap(),
            tenant: None,
            route: None,
            worker: Some(WorkerName::new("shop")),
            version: None,
            request_id: Some(RequestId(7)),
            limit: None,
        }
    }

    #[test]
    fn records_are_one_line_of_json() {
        let check = |record: Record, expected: &[(&str, Value)]| {
            let mut lines = String::new();
            record.write(Style::Json, 5, &mut lines);
            assert_eq!(lines.matches('\n').count(), 1, "{lines}");
            let value: Value = serde_json::from_str(&lines).unwrap();
            assert_eq!(value["time_ms"], 5);
            for (name, expected) in expected {
                assert_eq!(value[name], *expected, "{name} of {lines}");
            }
        };
        check(
            Record::Request(request(), Some(StartKind::Prewarmed)),
            &[
                ("event", "request".into()),
                ("status", 200.into()),
                ("elapsed_ms", 1.234.into()),
                ("client", "192.0.2.1".into()),
                ("worker", "shop".into()),
                ("request_id", "0000000000000007".into()),
                ("outcome", "ok".into()),
                ("start", "prewarmed".into()),
            ],
        );
        let tick = Tick {
            tenant: TenantId::new("t"),
            worker: WorkerName::new("w"),
            cron: "* * * * *".to_owned(),
            scheduled_ms: 60_000,
        };
        check(
            Record::Cron(tick, TickEnd::Skipped(Skipped::Overlap), StartKind::Warm),
            &[
                ("event", "cron".into()),
                ("outcome", "overlap".into()),
                ("start", Value::Null),
            ],
        );
        let fault = Fault::new(FaultKind::ExceededCpu, "too much\nof it");
        check(
            Record::Fault(WorkerName::new("w"), RequestId(1), fault),
            &[("kind", "exceeded_cpu".into()), ("message", "too much\nof it".into())],
        );
        check(Record::Dropped { count: 3 }, &[("count", 3.into())]);
    }

    #[test]
    fn people_read_no_escape_sequences() {
        let mut lines = String::new();
        let record = LogRecord {
            level: LogLevel::Warn,
            message: "a\x1b[2Jb".to_owned(),
            timestamp_ms: 0,
            request_id: None,
            span: None,
        };
        Record::Printed(WorkerName::new("w"), record).write(Style::Text, 0, &mut lines);
        assert_eq!(lines, "[w] warning: a\\u{1b}[2Jb\n");
        lines.clear();
        Record::Request(request(), None).write(Style::Text, 0, &mut lines);
        assert!(lines.starts_with("[atoll] GET shop.example.com/a"), "{lines}");
    }
}
