//! The subset of Cloudflare's REST API that wrangler speaks, under `/client/v4`.
//!
//! Source: the requests that wrangler 4.164 makes, and Cloudflare's public API documentation for their meaning. [`ENDPOINTS`]
//! is the table of what there is; the router is made from it, and `docs/guide/wrangler.md` is held against it by a test.
//!
//! Invariants:
//! - every answer is JSON in one envelope (`envelope`), also that a path does not exist, but for values of KV and the WebSocket of
//!   a tail;
//! - a status of 5xx or 429 means that trying again may help, and says when: clients do try again;
//! - changes go through the same functions as those of `/v1`, and PoPs are told of their revision;
//! - what belongs to a part that is not built says so; only lists that clients read in passing are empty;
//! - what a body may have is bounded at the door, and few bodies are read at a time.

mod accounts;
mod assets;
mod bindings;
mod deployments;
mod envelope;
mod form;
#[cfg(test)]
mod guide;
mod kv;
mod routes;
mod scripts;
mod secrets;
mod state;
mod tails;
#[cfg(test)]
mod testing;
mod time;
mod token;
mod unbuilt;
mod upload;

use self::envelope::{ApiError, Result, code};
use crate::http;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, any, on};
use axum::{Extension, Router, middleware};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Where the API is mounted.
pub const BASE: &str = "/client/v4";
/// The largest body of a request, bytes.
pub const BODY_MAX: usize = 64 << 20;
/// The largest body of an upload of a version, bytes: its modules and their source maps.
pub const UPLOAD_MAX: usize = 128 << 20;
/// The largest body of everything else, bytes.
const SMALL_MAX: usize = 32 << 20;
/// How many large bodies are read at a time.
const TURNS: usize = 8;
/// How long one more waits for its turn.
const TURN_WAIT_MAX: Duration = Duration::from_secs(30);

/// What the requests of one server share.
#[derive(Debug)]
struct Shared {
    turns: Semaphore,
    tails: tails::Tails,
}

impl Shared {
    /// A turn to read a large body.
    async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        match tokio::time::timeout(TURN_WAIT_MAX, self.turns.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(ApiError {
                status: StatusCode::TOO_MANY_REQUESTS,
                ..ApiError::busy("too many uploads at a time; try again")
            }),
        }
    }
}

/// A body of JSON, whatever its content type says: clients do not always send one.
struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|error| rejected(error.status(), error.body_text()))?;
        let read = serde_json::from_slice(&bytes);
        read.map(Body)
            .map_err(|error| ApiError::bad(code::BODY, format!("the request's body cannot be read: {error}")))
    }
}

/// An error for a request that was refused before a handler saw it.
fn rejected(status: StatusCode, message: String) -> ApiError {
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => code::TOO_LARGE,
        StatusCode::METHOD_NOT_ALLOWED => code::METHOD,
        _ => code::BODY,
    };
    ApiError::new(status, code, message)
}

/// Which body a request may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Small,
    Large,
    Upload,
}

type Handler = fn(MethodFilter) -> MethodRouter<Arc<http::Api>>;

/// A row of the table.
struct Endpoint {
    method: Method,
    path: &'static str,
    size: Size,
    handler: Handler,
}

macro_rules! endpoints {
    ($( $method:ident $path:literal $size:ident $handler:path; )+) => {
        /// What there is: method, path below [`BASE`], how large a body may be, what answers.
        const ENDPOINTS: &[Endpoint] = &[ $( Endpoint {
            method: Method::$method,
            path: $path,
            size: Size::$size,
            handler: |filter| on(filter, $handler),
        }, )+ ];
    };
}

endpoints! {
    GET "/user/tokens/verify" Small accounts::verify;
    GET "/user" Small accounts::user;
    GET "/accounts" Small accounts::accounts;
    GET "/memberships" Small accounts::memberships;
    GET "/accounts/{account}" Small accounts::account;
    GET "/accounts/{account}/workers/subdomain" Small accounts::subdomain;
    PUT "/accounts/{account}/workers/subdomain" Small accounts::set_subdomain;
    GET "/accounts/{account}/workers/subdomains/{label}" Small accounts::subdomain_free;
    GET "/accounts/{account}/workers/scripts" Small scripts::list;
    PUT "/accounts/{account}/workers/scripts/{name}" Upload scripts::put;
    DELETE "/accounts/{account}/workers/scripts/{name}" Small scripts::delete;
    GET "/accounts/{account}/workers/scripts/{name}/settings" Small scripts::get_settings;
    GET "/accounts/{account}/workers/scripts/{name}/script-settings" Small scripts::get_script_settings;
    PATCH "/accounts/{account}/workers/scripts/{name}/script-settings" Small scripts::patch_script_settings;
    GET "/accounts/{account}/workers/scripts/{name}/subdomain" Small scripts::get_subdomain;
    POST "/accounts/{account}/workers/scripts/{name}/subdomain" Small scripts::set_subdomain;
    GET "/accounts/{account}/workers/scripts/{name}/schedules" Small scripts::get_schedules;
    PUT "/accounts/{account}/workers/scripts/{name}/schedules" Small scripts::set_schedules;
    GET "/accounts/{account}/workers/scripts/{name}/references" Small scripts::references;
    GET "/accounts/{account}/workers/tails/by-consumer/{name}" Small scripts::producers;
    GET "/accounts/{account}/workers/services/{name}" Small scripts::service;
    DELETE "/accounts/{account}/workers/services/{name}" Small scripts::delete;
    GET "/accounts/{account}/workers/services/{name}/environments/{environment}" Small scripts::environment;
    GET "/accounts/{account}/workers/services/{name}/environments/{environment}/bindings" Small scripts::environment_bindings;
    GET "/accounts/{account}/workers/services/{name}/environments/{environment}/subdomain" Small scripts::environment_subdomain;
    GET "/accounts/{account}/workers/services/{name}/environments/{environment}/routes" Small routes::of_environment;
    GET "/accounts/{account}/workers/workers/{name}" Small scripts::worker;
    POST "/accounts/{account}/workers/scripts/{name}/assets-upload-session" Small assets::begin;
    POST "/accounts/{account}/workers/assets/upload" Large assets::upload;
    POST "/accounts/{account}/workers/scripts/{name}/versions" Upload deployments::create_version;
    GET "/accounts/{account}/workers/scripts/{name}/versions" Small deployments::versions;
    GET "/accounts/{account}/workers/scripts/{name}/versions/{version}" Small deployments::version;
    GET "/accounts/{account}/workers/scripts/{name}/deployments" Small deployments::deployments;
    POST "/accounts/{account}/workers/scripts/{name}/deployments" Small deployments::create;
    GET "/accounts/{account}/workers/scripts/{name}/deployments/{deployment}" Small deployments::deployment;
    GET "/accounts/{account}/workers/scripts/{name}/secrets" Small secrets::list;
    PUT "/accounts/{account}/workers/scripts/{name}/secrets" Small secrets::put;
    GET "/accounts/{account}/workers/scripts/{name}/secrets/{secret}" Small secrets::get;
    DELETE "/accounts/{account}/workers/scripts/{name}/secrets/{secret}" Small secrets::delete;
    PATCH "/accounts/{account}/workers/scripts/{name}/secrets-bulk" Small secrets::bulk;
    PATCH "/accounts/{account}/workers/workers/{name}/versions/latest" Small secrets::latest;
    GET "/accounts/{account}/workers/scripts/{name}/routes" Small routes::get;
    PUT "/accounts/{account}/workers/scripts/{name}/routes" Small routes::put;
    GET "/accounts/{account}/workers/domains" Small routes::domains;
    GET "/accounts/{account}/workers/domains/records" Small routes::domains;
    GET "/accounts/{account}/workers/domains/records/{domain}" Small routes::domain;
    POST "/accounts/{account}/workers/scripts/{name}/domains/changeset" Small routes::changeset;
    PUT "/accounts/{account}/workers/scripts/{name}/domains/records" Small routes::put_domains;
    GET "/zones" Small routes::zones;
    GET "/zones/{zone}/workers/routes" Small routes::zone_routes;
    GET "/accounts/{account}/storage/kv/namespaces" Small kv::list;
    POST "/accounts/{account}/storage/kv/namespaces" Small kv::create;
    GET "/accounts/{account}/storage/kv/namespaces/{namespace}" Small kv::get;
    PUT "/accounts/{account}/storage/kv/namespaces/{namespace}" Small kv::rename;
    DELETE "/accounts/{account}/storage/kv/namespaces/{namespace}" Small kv::delete;
    GET "/accounts/{account}/storage/kv/namespaces/{namespace}/keys" Small kv::keys;
    GET "/accounts/{account}/storage/kv/namespaces/{namespace}/values/{key}" Small kv::get_value;
    PUT "/accounts/{account}/storage/kv/namespaces/{namespace}/values/{key}" Small kv::put_value;
    DELETE "/accounts/{account}/storage/kv/namespaces/{namespace}/values/{key}" Small kv::delete_value;
    GET "/accounts/{account}/storage/kv/namespaces/{namespace}/metadata/{key}" Small kv::get_metadata;
    PUT "/accounts/{account}/storage/kv/namespaces/{namespace}/bulk" Large kv::put_bulk;
    DELETE "/accounts/{account}/storage/kv/namespaces/{namespace}/bulk" Small kv::delete_bulk;
    POST "/accounts/{account}/storage/kv/namespaces/{namespace}/bulk/delete" Small kv::delete_bulk;
    POST "/accounts/{account}/storage/kv/namespaces/{namespace}/bulk/get" Small kv::get_bulk;
    POST "/accounts/{account}/workers/scripts/{name}/tails" Small tails::create;
    GET "/accounts/{account}/workers/scripts/{name}/tails" Small tails::list;
    DELETE "/accounts/{account}/workers/scripts/{name}/tails/{tail}" Small tails::delete;
    GET "/tails/{token}" Small tails::connect;
}

fn filter(method: &Method) -> MethodFilter {
    // The table has no other methods.
    MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET)
}

/// The API.
pub(crate) fn router(api: Arc<http::Api>) -> Router {
    let shared = Arc::new(Shared {
        turns: Semaphore::new(TURNS),
        tails: tails::Tails::default(),
    });
    let mut routes = Router::new();
    for Endpoint {
        method,
        path,
        size,
        handler,
    } in ENDPOINTS
    {
        let most = match size {
            Size::Small => SMALL_MAX,
            Size::Large => BODY_MAX,
            Size::Upload => UPLOAD_MAX,
        };
        routes = routes.route(path, handler(filter(method)).layer(DefaultBodyLimit::max(most)));
    }
    let routes = routes
        .route("/accounts/{account}/{*path}", any(unbuilt::below_account))
        .fallback(unbuilt::nowhere)
        .method_not_allowed_fallback(unbuilt::no_method)
        .layer(Extension(shared))
        .layer(middleware::map_response(enveloped))
        .layer(middleware::from_fn_with_state(api.clone(), counted))
        .with_state(api);
    Router::new().nest(BASE, routes)
}

/// Every answer is counted, all under one name: clients of this API are counted, not its endpoints.
async fn counted(State(api): State<Arc<http::Api>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    api.state.calls.count("cloudflare", status, begun.elapsed());
    response
}

/// Refusals of the framework's own, which are text, in the envelope.
async fn enveloped(response: Response) -> Response {
    let status = response.status();
    let json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = match axum::body::to_bytes(response.into_body(), 4 * 1024).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    };
    let reason = status.canonical_reason().unwrap_or("refused");
    let message = if text.is_empty() { reason.to_owned() } else { text };
    rejected(status, message).into_response()
}
