//! What belongs to parts that are not built, and what does not exist.
//!
//! Lists that clients read on their way to something else are empty, which is the truth: there are none of these. Everything
//! else of such a part says that the part is not built.

use super::envelope::{Answer, ApiError, code, good};
use super::state::Who;
use atoll_model::{Action, Resource};
use axum::extract::{OriginalUri, Path};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

/// Parts by the beginning of their paths below an account.
pub(super) const PARTS: &[(&str, &str)] = &[
    ("d1/", "D1 databases"),
    ("r2/", "R2 buckets"),
    ("queues", "Queues"),
    ("event_subscriptions", "Queues"),
    ("workers/durable_objects", "Durable Objects"),
    ("workers/dispatch", "Dispatch namespaces"),
    ("workflows", "Workflows"),
    ("hyperdrive", "Hyperdrive configurations"),
    ("vectorize", "Vectorize indexes"),
    ("ai-search", "AI Search instances"),
    ("ai", "Workers AI and AI Gateway"),
    ("pages", "Pages projects (deploy static assets as a worker)"),
    ("containers", "Containers"),
    ("cloudchamber", "Containers"),
    ("pipelines", "Pipelines"),
    ("secrets_store", "Secrets Store stores"),
    ("mtls_certificates", "mTLS certificates"),
    ("flagship", "Flagship apps"),
    ("email", "Email routing and sending"),
    ("triggers", "Event triggers"),
    ("connectivity", "VPC services"),
    ("browser-rendering", "Browser sessions"),
    ("builds", "Workers Builds"),
    ("workers/observability", "Workers Observability"),
];

/// A path below an account, and what is answered there.
type Fixed = (&'static str, fn() -> Value);

/// Lists that are empty, as the client's command that reads them expects it.
pub(super) const EMPTY: &[Fixed] = &[
    ("queues", || json!([])),
    ("r2/buckets", || json!({"buckets": []})),
    ("d1/database", || json!([])),
    ("workers/durable_objects/namespaces", || json!([])),
    ("workers/dispatch/namespaces", || json!([])),
    ("workflows", || json!([])),
    ("containers/applications", || json!([])),
];

/// Everything below an account that no other route is.
pub(super) async fn below_account(
    who: Who,
    method: Method,
    OriginalUri(uri): OriginalUri,
    Path((account, path)): Path<(String, String)>,
) -> Answer {
    who.need(&account, Resource::Worker, Action::Read, None)?;
    let path = path.trim_end_matches('/');
    if method == Method::GET {
        if let Some((_, empty)) = EMPTY.iter().find(|(own, _)| *own == path) {
            let info = json!({
                "page": 1,
                "per_page": 100,
                "count": 0,
                "total_count": 0,
                "total_pages": 0,
            });
            return Ok(good(empty())?.info(info));
        }
        if let Some(bucket) = path.strip_prefix("r2/buckets/").filter(|name| !name.contains('/')) {
            return Err(ApiError::missing(
                code::NO_BUCKET,
                format!("the bucket {bucket:?} does not exist: R2 is not built in this release of Atoll"),
            ));
        }
        if let Some(workflow) = path.strip_prefix("workflows/").filter(|name| !name.contains('/')) {
            return Err(ApiError::missing(
                code::NO_WORKFLOW,
                format!("the workflow {workflow:?} does not exist: Workflows are not built in this release of Atoll"),
            ));
        }
    }
    let starts = |prefix: &str| {
        let rest = path.strip_prefix(prefix.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match PARTS.iter().find(|(prefix, _)| starts(prefix)) {
        Some((_, what)) => Err(ApiError::unbuilt(what)),
        None => Err(no_route(&method, uri.path())),
    }
}

/// Everything else.
pub(super) async fn nowhere(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    no_route(&method, uri.path())
}

fn no_route(method: &Method, path: &str) -> ApiError {
    let path: String = path.chars().take(200).collect();
    ApiError::missing(
        code::NO_ROUTE,
        format!("Could not route to {path}: Atoll has no {method} of this path; perhaps it is mistyped"),
    )
}

/// A path that is known, with a method that it does not have.
pub(super) async fn no_method(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    let path: String = uri.path().chars().take(200).collect();
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        code::METHOD,
        format!("{method} is not allowed for {path}"),
    )
}
