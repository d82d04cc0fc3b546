//! Health and metrics, on a listener of their own: for those who run the server, not for its clients.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 as long as the process can answer |
//! | `/readyz` | 200 if it should get requests; else 503 and the reason |
//! | `/metrics` | OpenMetrics text |
//!
//! Few ask and nobody streams: a connection is closed after each answer, and after a deadline without one.

use crate::serve::metrics::{self, CONTENT_TYPE, Sources};
use atoll_stdx::TaskGroup;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE as TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 32;
/// From a connection's first moment to its last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to leave a listener alone that cannot accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers until the group drains, which happens last of all.
pub(crate) async fn serve(listener: TcpListener, sources: Arc<Sources>, tasks: TaskGroup) {
    let stopping = tasks.stopping();
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let accept = async {
        loop {
            // The semaphore is never closed.
            let Ok(permit) = permits.clone().acquire_owned().await else {
                return;
            };
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let sources = sources.clone();
            tasks.spawn(async move {
                let _permit = permit;
                let service = service_fn(move |request| {
                    let response = answer(&request, &sources);
                    async move { Ok::<_, Infallible>(response) }
                });
                let mut connection = http1::Builder::new();
                connection.keep_alive(false).header_read_timeout(None);
                let connection = connection.serve_connection(TokioIo::new(stream), service);
                // Whoever asked and went away, or asks nothing, is not told.
                let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
            });
        }
    };
    let _ = stopping.run_until_cancelled(accept).await;
}

fn answer(request: &Request<Incoming>, sources: &Arc<Sources>) -> Response<Full<Bytes>> {
    respond(request.method(), request.uri().path(), sources)
}

fn respond(method: &Method, path: &str, sources: &Arc<Sources>) -> Response<Full<Bytes>> {
    let (status, content_type, body) = match path {
        "/healthz" | "/readyz" | "/metrics" if method != Method::GET && method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET or HEAD\n".to_owned())
        }
        "/healthz" => (StatusCode::OK, TEXT, "alive\n".to_owned()),
        "/readyz" => match sources.status.unready() {
            None => (StatusCode::OK, TEXT, "ready\n".to_owned()),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {why}\n")),
        },
        "/metrics" => match metrics::page(sources) {
            Ok(page) => (StatusCode::OK, CONTENT_TYPE, page),
            Err(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                "the page cannot be written\n".to_owned(),
            ),
        },
        _ => (
            StatusCode::NOT_FOUND,
            TEXT,
            "there are /healthz, /readyz and /metrics\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
