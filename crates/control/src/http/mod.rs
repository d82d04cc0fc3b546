//! The REST API under `/v1`: for people, for the command line, for whoever automates.
//!
//! [`endpoint`](self) is the table of endpoints, from which the router, the checks at the door and the OpenAPI document are made;
//! `routes/` has what they do; [`door`] says who asks; [`error`] is the one place where a failure becomes a status; `serve`
//! accepts, shakes hands and stops.
//!
//! Invariants:
//! - no handler runs before the token was found valid and allowed to do what the endpoint's row says;
//! - a body is read within the row's bound, a request ends within the row's time;
//! - a change is answered when it is durable, and PoPs are told of its revision;
//! - whatever goes wrong, the answer is an [`atoll_api::rest::ErrorBody`] with a request id that the log has, too.

mod context;
pub mod door;
mod endpoint;
pub mod error;
mod openapi;
mod routes;
mod serve;

pub use door::Door;
pub use endpoint::{JSON_BYTES_MAX, Peer, REQUEST_MAX, Secure};
pub use error::ApiError;
pub use openapi::document;
pub use serve::{CONNECTIONS_MAX, ServeError, Tls, serve};

use crate::cloudflare;
use crate::state::ControlState;
use crate::upload::Gate;
use atoll_stdx::TaskGroup;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The most bytes of blobs that are in memory on their way in; more uploads wait.
pub const BLOB_BYTES_IN_FLIGHT_MAX: usize = 512 << 20;

/// What all requests share.
#[derive(Debug)]
pub struct Api {
    /// What the API stands on.
    pub state: Arc<ControlState>,
    /// Who may come in.
    pub door: Door,
    /// Has few uploads tried at a time.
    pub gate: Gate,
    /// KiB of blobs on their way in.
    pub(crate) room: Arc<Semaphore>,
    /// Connections that are no longer HTTP: WebSockets of tails. [`serve`] has them end when it stops.
    pub(crate) tasks: TaskGroup,
}

impl Api {
    /// Over this state.
    pub fn new(state: Arc<ControlState>) -> Arc<Self> {
        Arc::new(Self {
            door: Door::new(state.clock.clone()),
            gate: Gate::default(),
            room: Arc::new(Semaphore::new(BLOB_BYTES_IN_FLIGHT_MAX / 1024)),
            tasks: TaskGroup::new(),
            state,
        })
    }
}

/// Everything that the control plane's listener answers.
pub fn router(api: Arc<Api>) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route(
            "/v1/openapi.json",
            get(async || ([(CONTENT_TYPE, "application/json")], openapi::text_of_document())),
        );
    for endpoint in routes::all() {
        router = router.route(endpoint.path, endpoint.route());
    }
    router
        .fallback(async |request: axum::extract::Request| {
            ApiError::not_found(format!("there is nothing at {}", request.uri().path()))
                .hint("GET /v1/openapi.json says what there is")
        })
        .method_not_allowed_fallback(async |request: axum::extract::Request| {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "invalid",
                format!("{path} does not take the method {method}"),
            )
        })
        .with_state(api.clone())
        .merge(cloudflare::router(api))
}

async fn ready(State(api): State<Arc<Api>>) -> Response {
    match api.state.catalog() {
        Err(error) => ApiError::from(error).into_response(),
        Ok(catalog) => match catalog.config_head().await {
            Ok(_) => "ready\n".into_response(),
            Err(error) => ApiError::from(error).into_response(),
        },
    }
}

async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    match (api.state.metrics)().await {
        Ok(text) => ([(CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => ApiError::internal(error.to_string()).into_response(),
    }
}
