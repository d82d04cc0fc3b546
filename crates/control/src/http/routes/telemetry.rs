//! Tails, logs, metrics.

use super::super::context::{Context, Reply, ok};
use super::super::endpoint::{Endpoint, Need};
use super::super::error::ApiError;
use crate::fleet::{Tail, TailAsk, TailItem};
use crate::telemetry::{LEVELS, LogQuery, MemoryTelemetry, MetricQuery};
use atoll_api::rest::{Logs, LogsQuery, Metrics, MetricsQuery, TailLine, TailQuery};
use atoll_model::{Action, Resource, WorkerName};
use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;

/// How long a tail lasts at most; whoever wants more asks again.
const TAIL_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// How often a silent tail says that it is there.
const PING_EVERY: Duration = Duration::from_secs(15);
/// The most events per second from each PoP.
const TAIL_RATE_MAX: u32 = 100;
/// The most points of a series.
const POINTS_MAX: u64 = 2_000;
/// An hour, milliseconds.
const HOUR_MS: u64 = 3_600_000;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let read = Need::Account(Resource::Logs, Action::Read);
    vec![
        Endpoint::new::<TailLine, _>(
            Method::GET,
            "/v1/accounts/{account}/workers/{worker}/tail",
            "tailWorker",
            "Events of a worker as they happen, on all PoPs: one line of JSON for each. Ends after six hours.",
            read,
            tail,
        )
        .led()
        .asks::<TailQuery>()
        .lines::<TailLine>(),
        Endpoint::new::<Logs, _>(
            Method::GET,
            "/v1/accounts/{account}/workers/{worker}/logs",
            "listLogs",
            "Records of a worker, in the order in which they came. The newest are kept, in memory.",
            read,
            logs,
        )
        .led()
        .asks::<LogsQuery>(),
        Endpoint::new::<Metrics, _>(
            Method::GET,
            "/v1/accounts/{account}/metrics",
            "getMetrics",
            "Counts of an account's workers over time. The last hours are kept, in memory.",
            read,
            metrics,
        )
        .led()
        .asks::<MetricsQuery>(),
    ]
}

/// The filters in the words of the tails endpoint of Cloudflare's API, which PoPs read.
fn filters(query: &TailQuery) -> Result<String, ApiError> {
    let list = |text: &String| {
        text.split(',')
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect::<Vec<_>>()
    };
    let mut filters = Vec::new();
    if let Some(rate) = query.sampling_rate {
        if !(rate > 0.0 && rate <= 1.0) {
            return Err(ApiError::invalid("sampling_rate is above 0 and at most 1"));
        }
        filters.push(json!({ "sampling_rate": rate }));
    }
    if let Some(status) = &query.status {
        let mut outcomes = Vec::new();
        for status in list(status) {
            match status.as_str() {
                "ok" => outcomes.push("ok"),
                "canceled" => outcomes.push("canceled"),
                "error" => outcomes.extend(["exception", "exceededCpu", "exceededMemory", "unknown"]),
                other => {
                    return Err(ApiError::invalid(format!(
                        "{other:?} is no way for an event to end: ok, error, canceled"
                    )));
                }
            }
        }
        filters.push(json!({ "outcome": outcomes }));
    }
    if let Some(method) = &query.method {
        let methods: Vec<String> = list(method).iter().map(|method| method.to_ascii_uppercase()).collect();
        filters.push(json!({ "method": methods }));
    }
    if let Some(header) = &query.header {
        let (key, value) = header
            .split_once(':')
            .map_or((header.as_str(), None), |(key, value)| (key, Some(value)));
        filters.push(match value {
            Some(value) => json!({ "header": { "key": key.trim(), "query": value.trim() } }),
            None => json!({ "header": { "key": key.trim() } }),
        });
    }
    if let Some(ip) = &query.ip {
        filters.push(json!({ "client_ip": list(ip) }));
    }
    if let Some(text) = &query.search {
        filters.push(json!({ "query": text }));
    }
    if let Some(version) = &query.version {
        filters.push(json!({ "scriptVersion": version }));
    }
    Ok(json!({ "filters": filters }).to_string())
}

fn line(line: &TailLine) -> Bytes {
    // Values of JSON and numbers: they can be written.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

async fn tail(context: Context) -> Reply {
    let query: TailQuery = context.query()?;
    context.catalog.worker(context.account(), context.worker()).await?;
    let ask = TailAsk {
        account: context.account(),
        worker: context.worker(),
        filters: filters(&query)?,
        expires_ms: context.state().clock.now_ms() + TAIL_MAX.as_millis() as u64,
        rate_max: TAIL_RATE_MAX,
    };
    let Tail { pops, items } = context.state().pops.tail(ask).await?;
    let ends = tokio::time::Instant::now() + TAIL_MAX;
    let begun = Some(line(&TailLine::Begun { pops }));
    // What the client does not take waits in the channel, which is bounded.
    let lines = futures_util::stream::unfold((begun, items), move |(begun, mut items)| async move {
        if let Some(begun) = begun {
            return Some((Ok::<Bytes, Infallible>(begun), (None, items)));
        }
        let next = tokio::select! {
            () = tokio::time::sleep_until(ends) => return None,
            item = items.recv() => item?,
            () = tokio::time::sleep(PING_EVERY) => return Some((Ok(line(&TailLine::Ping {})), (None, items))),
        };
        let next = match next {
            TailItem::Event(event) => TailLine::Event {
                event: serde_json::from_str(&event).unwrap_or(serde_json::Value::String(event)),
            },
            TailItem::Dropped(count) => TailLine::Dropped { count },
        };
        Some((Ok(line(&next)), (None, items)))
    });
    let kind = HeaderValue::from_static("application/x-ndjson");
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(lines)).into_response())
}

async fn logs(context: Context) -> Reply {
    let query: LogsQuery = context.query()?;
    context.catalog.worker(context.account(), context.worker()).await?;
    let level = match &query.level {
        None => 0,
        Some(name) => LEVELS
            .iter()
            .position(|level| level == name)
            .ok_or_else(|| ApiError::invalid(format!("{name:?} is no level: {}", LEVELS.join(", "))))?,
    };
    let query = LogQuery {
        since_ms: query.since_ms,
        until_ms: query.until_ms,
        level,
        search: query.search,
        request: query.request,
        after: super::versions::number(query.after)?,
        limit: super::super::context::limit(query.limit)? as usize,
    };
    ok(&context
        .state()
        .telemetry
        .logs(&context.account(), &context.worker(), &query))
}

async fn metrics(context: Context) -> Reply {
    let query: MetricsQuery = context.query()?;
    let step = MemoryTelemetry::STEP_MS;
    let now_ms = context.state().clock.now_ms();
    let to_ms = query.to_ms.unwrap_or(now_ms);
    let from_ms = query.from_ms.unwrap_or(to_ms.saturating_sub(HOUR_MS)) / step * step;
    if from_ms >= to_ms {
        return Err(ApiError::invalid("from_ms has to be before to_ms"));
    }
    let step_ms = query.step_ms.unwrap_or_else(|| (to_ms - from_ms).div_ceil(step) * step);
    if step_ms == 0 || !step_ms.is_multiple_of(step) {
        return Err(ApiError::invalid(format!("step_ms is a whole multiple of {step}")));
    }
    if (to_ms - from_ms).div_ceil(step_ms) > POINTS_MAX {
        return Err(ApiError::invalid(format!(
            "more than {POINTS_MAX} points are asked for; take a larger step_ms"
        )));
    }
    let (mut by_worker, mut by_version, mut by_route, mut by_pop) = (query.by.is_none(), false, false, false);
    for by in query.by.iter().flat_map(|by| by.split(',')).filter(|by| !by.is_empty()) {
        match by {
            "worker" => by_worker = true,
            "version" => by_version = true,
            "route" => by_route = true,
            "pop" => by_pop = true,
            other => {
                return Err(ApiError::invalid(format!(
                    "{other:?} tells no series apart: worker, version, route, pop"
                )));
            }
        }
    }
    if by_route && by_version {
        return Err(ApiError::invalid(
            "routes are counted over all versions: ask by route or by version",
        ));
    }
    let query = MetricQuery {
        worker: query.worker.map(WorkerName::new),
        from_ms,
        to_ms,
        step_ms,
        by_worker,
        by_version,
        by_route,
        by_pop,
    };
    ok(&context.state().telemetry.metrics(&context.account(), &query))
}
