//! What `atoll dev` and `atoll serve` say of themselves: lines for people, or with `--json` one JSON object a line.
//!
//! Every JSON object has `event` and `time_ms` (Unix milliseconds). The events and their further fields, which are stable (fields may be added):
//!
//! | event | fields |
//! |---|---|
//! | `ready` | `url`, `urls`, `worker`, `bindings` (`name`, `kind`, `target`, `built`), `ok` (the project builds and starts), `elapsed_ms` |
//! | `build` | `modules`, `bytes`, `command_ms`, `build_ms`, `warnings` (their number) |
//! | `reload` | `reason` (the file that changed, or `by hand`), `ok`, `debounce_ms`, `config_ms`, `command_ms`, `build_ms`, `apply_ms`, `total_ms` |
//! | `request` | `method`, `path`, `status`, `reason`, `elapsed_ms` |
//! | `log` | `level` (`debug`, `log`, `info`, `warn`, `error`), `message` |
//! | `exception` | `stack`, `file`, `line`, `column` (the last three may be null) |
//! | `output` | `line` (printed by the build command) |
//! | `warning` | `message` |
//! | `error` | `title`, `detail`, `errors` (of a build: `message`, `file`, `line`, `column`) |
//! | `stopping` | `reason` |
//!
//! Milliseconds are numbers with fractions.

use crate::args::LogLevel;
use crate::bundle::BuildFailure;
use crate::target::{DevEvent, Failure};
use crate::terminal::Terminal;
use atoll_stdx::Clock;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The reason of a round that a key asked for.
pub(crate) const BY_HAND: &str = "by hand";

/// The name in front of what the platform, not the worker, says.
const NAME: &str = "[atoll]";

/// Colours and weights (ECMA-48 "select graphic rendition").
#[derive(Debug, Clone, Copy)]
pub(crate) enum Style {
    Red,
    Green,
    Yellow,
    Blue,
    Dim,
    Bold,
}

/// How long each part of a reload took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Split {
    pub debounce: Duration,
    pub config: Duration,
    pub command: Duration,
    pub build: Duration,
    pub apply: Duration,
    /// From the first event of a change to the new version serving.
    pub total: Duration,
}

/// See the module.
pub(crate) struct Reporter {
    pub terminal: Arc<dyn Terminal>,
    pub json: bool,
    pub colour: bool,
    pub level: LogLevel,
    pub clock: Arc<dyn Clock>,
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// A duration for people: `0.4ms`, `12ms`, `1.3s`.
pub(crate) fn human(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    match ms {
        ms if ms < 1.0 => format!("{ms:.1}ms"),
        ms if ms < 1000.0 => format!("{ms:.0}ms"),
        ms => format!("{:.1}s", ms / 1e3),
    }
}

/// Text from elsewhere, harmless to a terminal.
fn printable(text: &str) -> String {
    let harmless = |c: char| !c.is_control() || c == '\n' || c == '\t';
    if text.chars().all(harmless) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| {
            if harmless(c) {
                c.to_string()
            } else {
                c.escape_default().to_string()
            }
        })
        .collect()
}

impl Style {
    pub(crate) fn paint(self, colour: bool, text: &str) -> String {
        if !colour {
            return text.to_owned();
        }
        let code = match self {
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Blue => 34,
            Self::Dim => 2,
            Self::Bold => 1,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

impl Reporter {
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        style.paint(self.colour, text)
    }

    /// One JSON line, if that is what is spoken here. Returns whether it is.
    pub(crate) fn emit(&self, event: &str, fields: Value) -> bool {
        if !self.json {
            return false;
        }
        let mut line = Map::new();
        line.insert("event".to_owned(), event.into());
        line.insert("time_ms".to_owned(), self.clock.now_ms().into());
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        self.terminal.out(&format!("{}\n", Value::Object(line)));
        true
    }

    /// A line for people at `level`.
    fn line(&self, level: LogLevel, text: &str) {
        if self.json || self.level < level {
            return;
        }
        let text = format!("{text}\n");
        if level <= LogLevel::Warn {
            self.terminal.err(&text);
        } else {
            self.terminal.out(&text);
        }
    }

    /// A remark of the platform.
    pub(crate) fn say(&self, text: &str) {
        self.line(LogLevel::Info, &format!("{} {text}", self.paint(Style::Dim, NAME)));
    }

    /// Lines as they are.
    pub(crate) fn plain(&self, text: &str) {
        self.line(LogLevel::Info, text);
    }

    pub(crate) fn warning(&self, message: &str) {
        if self.level >= LogLevel::Warn && !self.emit("warning", json!({"message": message})) {
            let head = self.paint(Style::Yellow, "warning:");
            let name = self.paint(Style::Dim, NAME);
            self.line(LogLevel::Warn, &format!("{name} {head} {}", printable(message)));
        }
    }

    pub(crate) fn failure(&self, failure: &Failure, build: Option<&BuildFailure>) {
        if self.level < LogLevel::Error {
            return;
        }
        let error = |error: &crate::bundle::BuildError| json!({"message": error.message, "file": error.file, "line": error.line, "column": error.column});
        let errors: Vec<Value> = build.iter().flat_map(|build| &build.errors).map(error).collect();
        if self.emit(
            "error",
            json!({"title": failure.title, "detail": failure.detail, "errors": errors}),
        ) {
            return;
        }
        let head = self.paint(Style::Red, "error:");
        let name = self.paint(Style::Dim, NAME);
        let mut text = format!("{name} {head} {}", self.paint(Style::Bold, &printable(&failure.title)));
        if !failure.detail.is_empty() {
            text.push('\n');
            text.push_str(&printable(&failure.detail));
        }
        self.line(LogLevel::Error, &text);
    }

    /// What the build command prints.
    pub(crate) fn command_line(&self, line: &str) {
        if !self.emit("output", json!({"line": line})) {
            self.line(LogLevel::Info, &format!("{} {line}", self.paint(Style::Dim, "[build]")));
        }
    }

    pub(crate) fn built(&self, modules: usize, bytes: usize, warnings: usize, split: &Split) {
        let fields = json!({
            "modules": modules,
            "bytes": bytes,
            "command_ms": milliseconds(split.command),
            "build_ms": milliseconds(split.build),
            "warnings": warnings,
        });
        if !self.emit("build", fields) && self.level >= LogLevel::Debug {
            self.say(&format!(
                "built {modules} modules, {bytes} bytes, in {}",
                human(split.build)
            ));
        }
    }

    pub(crate) fn reloaded(&self, reason: &str, ok: bool, split: &Split) {
        let fields = json!({
            "reason": reason,
            "ok": ok,
            "debounce_ms": milliseconds(split.debounce),
            "config_ms": milliseconds(split.config),
            "command_ms": milliseconds(split.command),
            "build_ms": milliseconds(split.build),
            "apply_ms": milliseconds(split.apply),
            "total_ms": milliseconds(split.total),
        });
        if self.emit("reload", fields) || !ok {
            return;
        }
        let mut parts = Vec::new();
        let mut part = |name: &str, duration: Duration| {
            if !duration.is_zero() {
                parts.push(format!("{name} {}", human(duration)));
            }
        };
        part("command", split.command);
        part("build", split.build);
        part("start", split.apply);
        let cause = if reason == BY_HAND {
            BY_HAND.to_owned()
        } else {
            format!("after a change of {}", printable(reason))
        };
        self.say(&format!(
            "{} {cause} in {} ({})",
            self.paint(Style::Green, "reloaded"),
            human(split.total),
            parts.join(", ")
        ));
    }

    pub(crate) fn ready(&self, urls: &[String], worker: &str, bindings: Value, ok: bool, elapsed: Duration) {
        let url = urls.first().map_or("", String::as_str);
        let fields = json!({
            "url": url,
            "urls": urls,
            "worker": worker,
            "bindings": bindings,
            "ok": ok,
            "elapsed_ms": milliseconds(elapsed),
        });
        if self.emit("ready", fields) {
            return;
        }
        self.ready_on(urls, elapsed);
    }

    /// Where the server can be reached, and since when it can.
    pub(crate) fn ready_on(&self, urls: &[String], elapsed: Duration) {
        let url = urls.first().map_or("", String::as_str);
        let took = self.paint(Style::Dim, &format!("(in {})", human(elapsed)));
        self.say(&format!("ready on {} {took}", self.paint(Style::Blue, url)));
        for other in urls.iter().skip(1) {
            self.say(&format!("         {}", self.paint(Style::Blue, other)));
        }
    }

    pub(crate) fn inspector(&self, address: std::net::SocketAddr) {
        if !self.emit(
            "inspector",
            json!({"address": address.to_string(), "port": address.port()}),
        ) {
            let address = self.paint(Style::Blue, &address.to_string());
            self.say(&format!(
                "debuggers are let in on {address} (chrome://inspect, VS Code)"
            ));
        }
    }

    pub(crate) fn stopping(&self, reason: &str) {
        if !self.emit("stopping", json!({"reason": reason})) {
            self.say("stopping; once more to stop at once");
        }
    }

    pub(crate) fn event(&self, event: DevEvent) {
        match event {
            DevEvent::Request {
                method,
                path,
                status,
                reason,
                elapsed,
            } => {
                if self.level < LogLevel::Info {
                    return;
                }
                let fields = json!({
                    "method": method,
                    "path": path,
                    "status": status,
                    "reason": reason,
                    "elapsed_ms": milliseconds(elapsed),
                });
                if self.emit("request", fields) {
                    return;
                }
                let style = match status {
                    ..300 => Style::Green,
                    300..400 => Style::Blue,
                    400..500 => Style::Yellow,
                    _ => Style::Red,
                };
                let status = format!("{status} {reason}");
                let status = self.paint(style, printable(&status).trim_end());
                let took = self.paint(Style::Dim, &format!("({})", human(elapsed)));
                self.say(&format!("{} {} {status} {took}", printable(&method), printable(&path)));
            }
            DevEvent::Log { level, message } => {
                let (wanted, style) = match level {
                    "debug" => (LogLevel::Debug, Some(Style::Dim)),
                    "info" => (LogLevel::Info, None),
                    "warn" => (LogLevel::Warn, Some(Style::Yellow)),
                    "error" => (LogLevel::Error, Some(Style::Red)),
                    _ => (LogLevel::Log, None),
                };
                if self.level >= wanted && !self.emit("log", json!({"level": level, "message": message})) {
                    let text = printable(&message);
                    self.line(wanted, &style.map_or(text.clone(), |style| self.paint(style, &text)));
                }
            }
            DevEvent::Exception { stack, at } => {
                let (file, line, column) = at.map_or((None, None, None), |(f, l, c)| (Some(f), Some(l), Some(c)));
                let fields = json!({"stack": stack, "file": file, "line": line, "column": column});
                if self.level < LogLevel::Error || self.emit("exception", fields) {
                    return;
                }
                let stack = printable(&stack);
                let (head, frames) = stack.split_once('\n').unwrap_or((&stack, ""));
                let mut text = self.paint(
                    Style::Red,
                    &format!("Uncaught {}", head.trim_start_matches("Uncaught ")),
                );
                if !frames.is_empty() {
                    text.push('\n');
                    text.push_str(&self.paint(Style::Dim, frames));
                }
                self.line(LogLevel::Error, &text);
            }
        }
    }
}
