//! A client of the API under test.

use crate::bench::{ACCOUNT, Bench};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::sync::Arc;

/// A module that starts.
pub const CODE: &str = "export default { fetch() {} }";

/// A server with its client. Clones are clients of the same server.
#[derive(Clone)]
pub struct Client {
    pub bench: Arc<Bench>,
    _temp: Arc<tempfile::TempDir>,
    http: Http<HttpConnector, Full<Bytes>>,
    token: String,
}

/// An answer: its body as JSON, or as text if it is none.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: hyper::HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The result of an answer that says yes.
    pub fn result(&self) -> &Value {
        assert_eq!(self.body["success"], true, "{}", self.body);
        &self.body["result"]
    }

    /// The first error's code.
    pub fn code(&self) -> u64 {
        self.body["errors"][0]["code"].as_u64().unwrap_or_default()
    }

    /// The first error's message.
    pub fn message(&self) -> &str {
        self.body["errors"][0]["message"].as_str().unwrap_or_default()
    }
}

/// A part of a form: name, content type, bytes.
pub type Part<'a> = (&'a str, &'a str, &'a [u8]);

impl Client {
    pub async fn start() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let bench = Bench::start(temp.path()).await.unwrap();
        Self {
            token: bench.token.clone(),
            bench: Arc::new(bench),
            _temp: Arc::new(temp),
            http: Http::builder(TokioExecutor::new()).build_http(),
        }
    }

    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    pub async fn raw(&self, method: &str, path: &str, content_type: &str, body: impl Into<Bytes>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.bench.base()))
            .header("authorization", format!("Bearer {}", self.token))
            .header("user-agent", "wrangler/4.164.0")
            .header("content-type", content_type)
            .body(Full::new(body.into()))
            .unwrap();
        let response = self.http.request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes);
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned())),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.raw("GET", path, "application/json", Bytes::new()).await
    }

    pub async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        self.raw(method, path, "application/json", body.to_string()).await
    }

    pub async fn form(&self, method: &str, path: &str, parts: &[Part<'_>]) -> Answer {
        const BOUNDARY: &str = "----form-of-a-test";
        let mut body = Vec::new();
        for (name, content_type, bytes) in parts {
            let head = format!(
                "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\ncontent-type: {content_type}\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        self.raw(method, path, &format!("multipart/form-data; boundary={BOUNDARY}"), body)
            .await
    }

    /// `/accounts/{account}/workers/scripts/{name}{rest}`
    pub fn script(&self, name: &str, rest: &str) -> String {
        format!("/accounts/{ACCOUNT}/workers/scripts/{name}{rest}")
    }

    /// Uploads and deploys a worker of one module, with these additions to its metadata.
    pub async fn deploy(&self, name: &str, code: &str, more: Value) -> Answer {
        let parts = [("index.js", "application/javascript+module", code.as_bytes())];
        self.upload("PUT", name, more, &parts).await
    }

    /// Uploads a worker: with `PUT` it is deployed, with `POST` it is a version.
    pub async fn upload(&self, method: &str, name: &str, more: Value, modules: &[Part<'_>]) -> Answer {
        let mut metadata = json!({"main_module": "index.js", "keep_bindings": ["secret_text"]});
        for (key, value) in more.as_object().unwrap() {
            metadata[key] = value.clone();
        }
        let metadata = metadata.to_string();
        let mut parts: Vec<Part<'_>> = vec![("metadata", "application/json", metadata.as_bytes())];
        parts.extend_from_slice(modules);
        let path = self.script(name, if method == "POST" { "/versions" } else { "" });
        self.form(method, &path, &parts).await
    }
}
