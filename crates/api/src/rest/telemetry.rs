//! What workers do: live tails, logs, metrics.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which events of a worker a tail shows: `GET /v1/accounts/{account}/workers/{worker}/tail`. All that is named must fit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TailQuery {
    /// How events ended, separated by commas: `ok`, `error`, `canceled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Request methods, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// A request header, `NAME` or `NAME:VALUE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Client addresses, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// A text in what the worker printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// The version's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Which part of the events, above 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling_rate: Option<f64>,
}

/// A line of a tail: each is one JSON object, behind it a line feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TailLine {
    /// The tail has begun.
    Begun {
        /// How many PoPs it watches.
        pops: u32,
    },
    /// An event, as a tail worker gets it (format `trace-v1`).
    Event {
        /// The event.
        #[schema(value_type = Object)]
        event: serde_json::Value,
    },
    /// Events that fitted and are not shown: there were too many.
    Dropped {
        /// How many, since the last line of this kind.
        count: u64,
    },
    /// Nothing happened for a while.
    Ping {},
}

/// Which records: `GET /v1/accounts/{account}/workers/{worker}/logs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogsQuery {
    /// From this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// Before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Of this level or a worse one: `debug`, `info`, `log`, `warn`, `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// With this text in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// Of this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// [`Logs::next`] of the answer before: what came after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The most records: 1 to 1,000; 100 if it is not said. Without `after` the newest that fit are given, in the order in which they came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Records of a worker, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Logs {
    /// The records.
    pub items: Vec<LogRecord>,
    /// What `after` has to be to go on, now or later.
    pub next: String,
    /// Records of the account that were dropped on their way or are kept no more, since the control plane started.
    pub dropped: u64,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogRecord {
    /// When it was written.
    pub time_ms: u64,
    /// The PoP.
    pub pop: String,
    /// The version's id.
    pub version: String,
    /// `debug`, `info`, `log`, `warn`, `error`.
    pub level: String,
    /// The request's id; empty: of no request.
    pub request: String,
    /// The record as the PoP's journal writes it.
    #[schema(value_type = Object)]
    pub record: serde_json::Value,
}

/// Which measurements: `GET /v1/accounts/{account}/metrics`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MetricsQuery {
    /// Of one worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// From this time on; an hour ago if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<u64>,
    /// Before this time; now if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_ms: Option<u64>,
    /// One point per so many milliseconds: whole multiples of 10,000; one point for all if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_ms: Option<u64>,
    /// What series are told apart by, separated by commas: `worker`, `version`, `route`, `pop`. By `worker` if it is not said.
    /// By `route`: what came by a route or a custom domain alone, over all versions, so not by `version` at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Measurements of an account's workers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Metrics {
    /// From this time on.
    pub from_ms: u64,
    /// Before this time.
    pub to_ms: u64,
    /// Milliseconds of a point.
    pub step_ms: u64,
    /// The upper bounds of `latency`, milliseconds; the last count is of what took longer.
    pub latency_bounds_ms: Vec<u64>,
    /// Series, by worker, version or route, and PoP.
    pub series: Vec<MetricSeries>,
}

/// Measurements of one thing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MetricSeries {
    /// The worker, if they are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The version, if they are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The route's pattern or the custom domain's name, if they are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The PoP, if they are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pop: Option<String>,
    /// Points that have anything, in order of time.
    pub points: Vec<MetricPoint>,
}

/// Counts within a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MetricPoint {
    /// When the step begins.
    pub time_ms: u64,
    /// Requests.
    pub requests: u64,
    /// Requests by hundreds of the status: 1xx 2xx 3xx 4xx 5xx.
    pub statuses: Vec<u64>,
    /// Ended by an uncaught exception.
    pub exceptions: u64,
    /// Ended by a limit.
    pub limits: u64,
    /// Isolates or child processes that died of it.
    pub crashes: u64,
    /// Starts of isolates that a request waited for.
    pub cold_starts: u64,
    /// CPU, microseconds. By route: of the events that it led to the worker, as far as it is known whose it was.
    pub cpu_us: u64,
    /// The most bytes that isolates held at once, as far as it was measured. By route it is not known:
    /// isolates serve all routes alike.
    #[serde(default)]
    pub memory_bytes: u64,
    /// Requests and connections to the network.
    pub subrequests: u64,
    /// Answers of the response cache.
    pub cache_hits: u64,
    /// Questions that the cache could not answer.
    pub cache_misses: u64,
    /// Counts by the time to the response's head; see [`Metrics::latency_bounds_ms`].
    pub latency: Vec<u64>,
}

/// Whose worker is called: `POST /v1/invoke/{worker}`. The rest of the query goes to the worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InvokeQuery {
    /// The account; not named: that of the request's own token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}
