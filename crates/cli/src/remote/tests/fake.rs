//! A control plane of the test: answers by method and path, in the order in which they were given; the last one stays.

use super::lock;
use atoll_api::rest::{self, ErrorBody, ErrorDetail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(in super::super) const TOKEN: &str = "atoll_test_hush";

/// An answer.
#[derive(Debug, Clone)]
pub(in super::super) struct Answer {
    status: u16,
    fields: Vec<(&'static str, String)>,
    body: Bytes,
    after: Duration,
}

impl Answer {
    pub fn bytes(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            fields: Vec::new(),
            body: body.into(),
            after: Duration::ZERO,
        }
    }

    pub fn json(body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("JSON");
        Self::bytes(200, body).field("content-type", "application/json")
    }

    /// A whole list.
    pub fn page<T: Serialize + Clone>(items: &[T]) -> Self {
        Self::json(&rest::Page {
            items: items.to_vec(),
            next: None,
        })
    }

    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let error = ErrorDetail {
            code: code.to_owned(),
            message: message.to_owned(),
            hint: None,
            missing: Vec::new(),
            leader: None,
        };
        Self {
            status,
            ..Self::json(&ErrorBody { error })
        }
    }

    /// Of a control plane that does not lead.
    pub fn not_leading(leader: &str) -> Self {
        let error = ErrorDetail {
            code: "not_leading".to_owned(),
            message: "another one leads".to_owned(),
            hint: None,
            missing: Vec::new(),
            leader: Some(leader.to_owned()),
        };
        Self {
            status: 503,
            ..Self::json(&ErrorBody { error })
        }
    }

    pub fn field(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, value.to_owned()));
        self
    }

    pub fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }
}

/// What was asked.
#[derive(Debug, Clone)]
pub(in super::super) struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub fields: HashMap<String, String>,
    pub body: Bytes,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

#[derive(Default)]
struct State {
    answers: HashMap<(String, String), VecDeque<Answer>>,
    asked: Vec<Asked>,
}

pub(in super::super) struct Fake {
    pub url: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                tokio::spawn(async move {
                    let io = TokioIo::new(stream);
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(io, service)
                        .await;
                });
            }
        });
        Self { url, state, task }
    }

    /// Answers the next such request like this; the last answer stays.
    pub fn on(&self, method: &str, path: &str, answer: Answer) -> &Self {
        let key = (method.to_owned(), path.to_owned());
        lock(&self.state).answers.entry(key).or_default().push_back(answer);
        self
    }

    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// `GET /v1/status` and so on, in order.
    pub fn lines(&self) -> Vec<String> {
        self.asked()
            .iter()
            .map(|asked| format!("{} {}", asked.method, asked.path))
            .collect()
    }

    /// The only request of this method and path.
    pub fn one(&self, method: &str, path: &str) -> Asked {
        let all: Vec<Asked> = self
            .asked()
            .into_iter()
            .filter(|asked| asked.method == method && asked.path == path)
            .collect();
        let [one] = <[Asked; 1]>::try_from(all).unwrap_or_else(|other| panic!("{method} {path}: {other:#?}"));
        one
    }
}

async fn answer(shared: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        fields: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body,
    };
    let authorized = asked
        .fields
        .get("authorization")
        .is_some_and(|value| *value == format!("Bearer {TOKEN}"));
    let answer = {
        let mut state = lock(&shared);
        let key = (asked.method.clone(), asked.path.clone());
        let name = format!("{} {}", asked.method, asked.path);
        state.asked.push(asked);
        match state.answers.get_mut(&key) {
            _ if !authorized => Answer::error(401, "unauthenticated", "the token is not known"),
            Some(answers) if answers.len() > 1 => answers.pop_front().expect("more than one"),
            Some(answers) => answers.front().expect("one").clone(),
            None => Answer::error(404, "not_found", &format!("nothing answers {name}")),
        }
    };
    tokio::time::sleep(answer.after).await;
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.fields {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(answer.body)).expect("a response"))
}
