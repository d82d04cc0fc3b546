//! `atoll tail` and `atoll logs`: what workers do and say.
//!
//! A tail is a stream of lines that ends only when it is cut: then it is asked for again, with waits that grow, until Ctrl-C.
//! What happened between is lost, and said to be.

use super::args::{LogsArgs, TailArgs, TailFormat, TailStatus, WorkerArgs};
use super::client::Request;
use super::context::Context;
use super::failure::{CommandError, OK, Result, UNREACHABLE};
use super::show::{human, printable, time};
use super::versions::find;
use crate::report::Style;
use atoll_api::rest::{Logs, LogsQuery, TailLine, TailQuery};
use serde_json::{Value, json};
use std::time::Duration;

/// How long nothing at all may come: the control plane sends a sign of life several times in it.
const SILENCE: Duration = Duration::from_secs(90);
/// The longest line of a tail, bytes.
const LINE_BYTES_MAX: usize = 4 << 20;
/// The longest wait before a tail is asked for again.
const WAIT_MAX: Duration = Duration::from_secs(16);

/// Words of a list in one query value.
fn list(words: impl IntoIterator<Item = String>) -> Option<String> {
    let words: Vec<String> = words.into_iter().collect();
    (!words.is_empty()).then(|| words.join(","))
}

/// Why a tail ended.
enum End {
    /// Somebody who read its lines went away.
    Refused(CommandError),
    /// The connection was cut after so many lines.
    Cut(String),
}

pub(crate) async fn tail(context: &Context, args: &TailArgs) -> Result<u8> {
    let worker = WorkerArgs {
        name: args.name.clone().or_else(|| args.named.clone()),
        config: args.config.clone(),
        env: args.env.clone(),
    };
    let target = context.target(&worker).await?;
    let version = match &args.version {
        Some(wanted) => Some(find(&target, wanted).await?.id),
        None => None,
    };
    let query = TailQuery {
        status: list(args.status.iter().map(|status: &TailStatus| status.word().to_owned())),
        method: list(args.method.iter().map(|method| method.to_uppercase())),
        header: args.header.clone(),
        ip: list(args.ip.iter().cloned()),
        search: args.search.clone(),
        version,
        sampling_rate: args.sampling_rate,
    };
    let format = match args.format {
        Some(format) => format,
        None if context.json() || !context.world.terminal.is_terminal() => TailFormat::Json,
        None => TailFormat::Pretty,
    };
    let path = target.path(&["tail"]);
    let mut wait = Duration::from_secs(1);
    let mut before = false;
    loop {
        let request = Request::get(path.clone()).query(&query)?.time(None);
        let end = match target.client.send(&request).await {
            Ok(response) => {
                (before, wait) = (true, Duration::from_secs(1));
                lines(context, response, format, &target.worker).await
            }
            Err(error) if before && error.exit == UNREACHABLE => End::Cut(error.message),
            Err(error) => return Err(error),
        };
        match end {
            End::Refused(error) => return Err(error),
            End::Cut(why) => {
                context.note(&format!(
                    "the tail was cut ({why}); what happens until it is back is not shown"
                ));
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(WAIT_MAX);
            }
        }
    }
}

async fn lines(context: &Context, mut response: reqwest::Response, format: TailFormat, worker: &str) -> End {
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let part = match tokio::time::timeout(SILENCE, response.chunk()).await {
            Ok(Ok(Some(part))) => part,
            Ok(Ok(None)) => return End::Cut("the control plane ended it".to_owned()),
            Ok(Err(error)) => return End::Cut(error.to_string()),
            Err(_) => return End::Cut(format!("nothing came for {} s", SILENCE.as_secs())),
        };
        rest.extend_from_slice(&part);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match serde_json::from_slice(&line) {
                Ok(line) => show(context, line, format, worker),
                Err(error) => {
                    return End::Refused(
                        CommandError::new(
                            "malformed",
                            format!("the tail has a line that is not the API's: {error}"),
                        )
                        .hint("Is that an Atoll control plane of this release?")
                        .exit(UNREACHABLE),
                    );
                }
            }
        }
        if rest.len() > LINE_BYTES_MAX {
            return End::Cut(format!("a line is longer than {LINE_BYTES_MAX} bytes"));
        }
    }
}

fn show(context: &Context, line: TailLine, format: TailFormat, worker: &str) {
    match (line, format) {
        (TailLine::Begun { pops }, _) => {
            let pops = super::show::count(pops as usize, "PoP");
            context.note(&format!("watching {worker} on {pops}; Ctrl-C ends it"));
        }
        (TailLine::Event { event }, TailFormat::Json) => context.world.terminal.out(&format!("{event}\n")),
        (TailLine::Event { event }, TailFormat::Pretty) => context.world.terminal.out(&pretty(context, &event)),
        (TailLine::Dropped { count }, _) => {
            context.note(&format!(
                "{count} events that fit are not shown: there were too many (--sampling-rate thins them)"
            ));
        }
        (TailLine::Ping {}, _) => {}
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An event for people: what happened, how it ended, what was printed, what was thrown.
fn pretty(context: &Context, event: &Value) -> String {
    let at = event["eventTimestamp"].as_u64().map(time).unwrap_or_default();
    let outcome = event["outcome"].as_str().unwrap_or("unknown");
    let inner = &event["event"];
    let what = if let Some(url) = inner["request"]["url"].as_str() {
        format!("{} {url}", inner["request"]["method"].as_str().unwrap_or("?"))
    } else if let Some(cron) = inner["cron"].as_str() {
        format!("cron {cron:?}")
    } else if let Some(method) = inner["rpcMethod"].as_str() {
        format!("call of {method}")
    } else if let Some(queue) = inner["queue"].as_str() {
        format!("queue {queue} ({} messages)", inner["batchSize"])
    } else {
        "event".to_owned()
    };
    let status = inner["response"]["status"].as_u64();
    let style = match (outcome, status) {
        ("ok", Some(500..)) => Style::Red,
        ("ok", Some(400..)) | ("canceled" | "responseStreamDisconnected", _) => Style::Yellow,
        ("ok", _) => Style::Green,
        _ => Style::Red,
    };
    let ended = match status {
        Some(status) if outcome == "ok" => status.to_string(),
        Some(status) => format!("{status} {outcome}"),
        None => outcome.to_owned(),
    };
    let times: Vec<String> = [("wallTime", "wall"), ("cpuTime", "CPU")]
        .iter()
        .filter_map(|(key, word)| Some(format!("{} {word}", human(Duration::from_millis(event[key].as_u64()?)))))
        .collect();
    let times = match times.is_empty() {
        true => String::new(),
        false => context.paint(Style::Dim, &format!(" ({})", times.join(", "))),
    };
    let mut shown = format!(
        "{} {} {}{times}\n",
        context.paint(Style::Dim, &at),
        printable(&what),
        context.paint(style, &printable(&ended))
    );
    for log in event["logs"].as_array().into_iter().flatten() {
        let message = match &log["message"] {
            Value::Array(parts) => parts.iter().map(text).collect::<Vec<_>>().join(" "),
            other => text(other),
        };
        let level = log["level"].as_str().unwrap_or("log");
        let line = format!("  ({level}) {}", printable(&message).replace('\n', "\n    "));
        let line = match level {
            "error" => context.paint(Style::Red, &line),
            "warn" => context.paint(Style::Yellow, &line),
            _ => line,
        };
        shown.push_str(&line);
        shown.push('\n');
    }
    for exception in event["exceptions"].as_array().into_iter().flatten() {
        let head = format!("{}: {}", text(&exception["name"]), text(&exception["message"]));
        shown.push_str(&context.paint(Style::Red, &format!("  {}", printable(&head))));
        shown.push('\n');
        // A stack's first line may say the same again.
        let stack = exception["stack"].as_str().unwrap_or_default();
        for frame in stack.lines().filter(|line| line.trim_start().starts_with("at ")) {
            shown.push_str(&context.paint(Style::Dim, &format!("    {}", printable(frame.trim()))));
            shown.push('\n');
        }
    }
    if event["truncated"].as_bool() == Some(true) {
        shown.push_str("  (cut: it printed more than is kept)\n");
    }
    shown
}

/// What was thrown, with its name before and its stack's frames behind.
fn with_stack(record: &Value, message: String) -> String {
    let (Some(name), Some(stack)) = (record["name"].as_str(), record["stack"].as_str()) else {
        return message;
    };
    let mut shown = match name.is_empty() {
        true => format!("Uncaught {message}"),
        false => format!("{name}: {message}"),
    };
    // A stack's first line may say the same again.
    for frame in stack.lines().map(str::trim).filter(|line| line.starts_with("at ")) {
        shown.push('\n');
        shown.push_str(frame);
    }
    shown
}

pub(crate) async fn logs(context: &Context, args: &LogsArgs) -> Result<u8> {
    let target = context.target(&args.worker).await?;
    let query = LogsQuery {
        since_ms: Some(args.since.at(context.world.clock.now_ms())),
        level: args.level.clone(),
        limit: Some(args.limit),
        ..LogsQuery::default()
    };
    let logs: Logs = target
        .client
        .call(Request::get(target.path(&["logs"])).query(&query)?)
        .await?;
    if logs.dropped > 0 && !context.json() {
        context.note(&format!(
            "{} records of the account were dropped on their way or are kept no more",
            logs.dropped
        ));
    }
    context.print(json!({"worker": target.worker, "logs": logs}), || {
        if logs.items.is_empty() {
            return format!(
                "{} logged nothing in that time (--since looks further back)\n",
                target.worker
            );
        }
        let mut shown = String::new();
        for record in &logs.items {
            let message = ["message", "msg", "text", "stack"]
                .iter()
                .find_map(|key| record.record[*key].as_str());
            let message = message.map_or_else(|| record.record.to_string(), str::to_owned);
            let message = with_stack(&record.record, message);
            let level = match record.level.as_str() {
                "error" => context.paint(Style::Red, "error"),
                "warn" => context.paint(Style::Yellow, "warn "),
                other => format!("{other:<5}"),
            };
            let place = printable(&format!("{} {}", record.pop, super::show::short(&record.version)));
            let place = context.paint(Style::Dim, &place);
            let message = printable(&message).replace('\n', "\n    ");
            shown.push_str(&format!("{} {level} {place} {message}\n", time(record.time_ms)));
        }
        shown
    });
    Ok(OK)
}
