//! The table of endpoints: each says its method, path, words for the document, who may call it, what body it takes and for how long
//! it may run. The router, the checks at the door and the OpenAPI document are all made from it, so none of them can be forgotten.

use super::Api;
use super::context::{Context, Reply, foreign};
use super::error::ApiError;
use crate::catalog::Identity;
use crate::state::NotLeading;
use atoll_api::rest;
use atoll_model::{Action, BlobHash, Resource, TenantId, WorkerName};
use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use utoipa::openapi::path::Parameter;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

/// How long a request may take, unless its endpoint says otherwise.
pub const REQUEST_MAX: Duration = Duration::from_secs(30);
/// The most bytes of a body of JSON, unless its endpoint says otherwise.
pub const JSON_BYTES_MAX: usize = 1 << 20;

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Everybody, without a token.
    Nobody,
    /// Every valid token.
    Token,
    /// This on the account of the path, and on the worker of the path if it has one.
    Account(Resource, Action),
    /// This on some worker of the account of the path.
    SomeWorker(Resource, Action),
    /// This, of whichever account the handler finds that the request is about.
    Own(Resource, Action),
    /// This, with one of the platform's own tokens.
    Platform(Resource, Action),
}

/// What body it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyRule {
    /// None: one that comes is refused.
    None,
    /// JSON of at most so many bytes.
    Json(usize),
    /// Any bytes, at most so many.
    Raw(usize),
    /// Any bytes; the handler reads and bounds them.
    Stream,
}

type Schemas = Vec<(String, RefOr<Schema>)>;

/// A type, as the document knows it.
#[derive(Clone)]
pub(crate) struct Shape {
    pub name: String,
    pub schema: RefOr<Schema>,
    /// The types within it.
    pub within: fn(&mut Schemas),
}

fn shape<T: ToSchema>() -> Shape {
    Shape {
        name: T::name().into_owned(),
        schema: T::schema(),
        within: T::schemas,
    }
}

/// A page of these: a type of its own in the document.
fn page<T: ToSchema>() -> Shape
where
    rest::Page<T>: ToSchema,
{
    Shape {
        name: format!("{}Page", T::name()),
        schema: rest::Page::<T>::schema(),
        within: |schemas| {
            T::schemas(schemas);
            schemas.push((T::name().into_owned(), T::schema()));
        },
    }
}

/// What an answer is.
#[derive(Clone)]
pub(crate) enum Answer {
    Json(Shape),
    /// One JSON value per line.
    Lines(Shape),
    /// Something else, of this content type.
    Other(&'static str),
}

type Handler = Arc<dyn Fn(Context) -> BoxFuture<'static, Reply> + Send + Sync>;

/// See the module.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub method: Method,
    pub path: &'static str,
    /// Its name in the document and in the log.
    pub id: &'static str,
    pub about: &'static str,
    pub tag: &'static str,
    pub need: Need,
    pub body: BodyRule,
    pub takes: Option<Shape>,
    pub query: Vec<Parameter>,
    pub gives: Answer,
    pub status: StatusCode,
    pub time_max: Duration,
    /// It needs what the leader alone has: sessions with PoPs, what they tell. Other reads are answered by every control plane.
    pub led: bool,
    pub handler: Handler,
}

impl Endpoint {
    /// An endpoint that answers 200 with JSON of `T`.
    pub fn new<T: ToSchema, F>(
        method: Method,
        path: &'static str,
        id: &'static str,
        about: &'static str,
        need: Need,
        handler: fn(Context) -> F,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        Self {
            method,
            path,
            id,
            about,
            tag: "",
            need,
            body: BodyRule::None,
            takes: None,
            query: Vec::new(),
            gives: Answer::Json(shape::<T>()),
            status: StatusCode::OK,
            time_max: REQUEST_MAX,
            led: false,
            handler: Arc::new(move |context| Box::pin(handler(context))),
        }
    }

    /// An endpoint that answers 200 with a page of `T`.
    pub fn list<T: ToSchema, F>(
        path: &'static str,
        id: &'static str,
        about: &'static str,
        need: Need,
        handler: fn(Context) -> F,
    ) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
        rest::Page<T>: ToSchema,
    {
        Self {
            gives: Answer::Json(page::<T>()),
            ..Self::new::<rest::Empty, F>(Method::GET, path, id, about, need, handler)
        }
    }

    /// Its method is this one.
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// It takes JSON of `T`.
    pub fn takes<T: ToSchema>(mut self) -> Self {
        self.takes = Some(shape::<T>());
        self.body = BodyRule::Json(JSON_BYTES_MAX);
        self
    }

    /// Its body is this.
    pub fn body(mut self, body: BodyRule) -> Self {
        self.body = body;
        self
    }

    /// Its query is `T`.
    pub fn asks<T: IntoParams>(mut self) -> Self {
        self.query = T::into_params(|| Some(utoipa::openapi::path::ParameterIn::Query));
        self
    }

    /// It answers 201.
    pub fn creates(mut self) -> Self {
        self.status = StatusCode::CREATED;
        self
    }

    /// It answers lines of JSON of `T`.
    pub fn lines<T: ToSchema>(mut self) -> Self {
        self.gives = Answer::Lines(shape::<T>());
        self
    }

    /// It answers something else than JSON.
    pub fn other(mut self, kind: &'static str) -> Self {
        self.gives = Answer::Other(kind);
        self
    }

    /// It may take longer.
    pub fn within(mut self, time_max: Duration) -> Self {
        self.time_max = time_max;
        self
    }

    /// The leader alone can answer it.
    pub fn led(mut self) -> Self {
        self.led = true;
        self
    }

    /// Its route.
    pub fn route(self) -> axum::routing::MethodRouter<Arc<Api>> {
        // Methods of the table are all such as the router knows.
        let filter = MethodFilter::try_from(self.method.clone()).unwrap_or(MethodFilter::GET);
        let endpoint = Arc::new(self);
        on(
            filter,
            move |State(api): State<Arc<Api>>,
                  path: Result<RawPathParams, RawPathParamsRejection>,
                  request: Request| {
                let path = path.map(|path| {
                    let parts = path.iter();
                    parts.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
                });
                async move {
                    match path {
                        Ok(path) => endpoint.answer(api, path, request).await,
                        // Percent-encoded bytes that are no UTF-8.
                        Err(error) => ApiError::invalid(format!("the path is refused: {error}")).into_response(),
                    }
                }
            },
        )
    }

    /// A request from the door to its answer: never an error, always a record.
    async fn answer(self: Arc<Self>, api: Arc<Api>, path: Vec<(String, String)>, request: Request) -> Response {
        let begun = Instant::now();
        let id = request_id(&request);
        let peer = peer(&request);
        let mut who = None;
        let result = tokio::time::timeout(self.time_max, self.run(&api, path, request, peer, &mut who)).await;
        let result = result.unwrap_or_else(|_| {
            let seconds = self.time_max.as_secs();
            Err(ApiError::new(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                format!("the request was not done within {seconds} s"),
            )
            .hint("send it again, with the same idempotency-key if it changes something"))
        });
        let (cause, mut response) = match result {
            Ok(response) => (None, response),
            Err(error) => (
                Some(error.cause.clone().unwrap_or_else(|| error.message.clone())),
                error.into_response(),
            ),
        };
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&id) {
            headers.insert(rest::REQUEST_ID, value);
        }
        // A worker's answer is passed on as it is.
        if !matches!(self.gives, Answer::Other("*/*")) {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        let status = response.status().as_u16();
        api.state.calls.count(self.id, status, begun.elapsed());
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let token = who.as_ref().map_or("", |who: &Identity| who.token.as_str());
        let cause = cause.as_deref().unwrap_or("");
        if status >= 500 {
            tracing::error!(target: "atoll::control::access", request = %id, endpoint = self.id, status, took_ms, token, %peer, cause);
        } else {
            tracing::info!(target: "atoll::control::access", request = %id, endpoint = self.id, status, took_ms, token, %peer, cause);
        }
        response
    }

    async fn run(
        &self,
        api: &Arc<Api>,
        path: Vec<(String, String)>,
        request: Request,
        peer: IpAddr,
        seen: &mut Option<Identity>,
    ) -> Reply {
        let (parts, body) = request.into_parts();
        let catalog = match api.state.catalog() {
            Ok(catalog) => catalog,
            Err(_) if self.method == Method::GET && !self.led => api.state.reading.clone(),
            Err(NotLeading) => return Err(super::error::not_leading(&api.state).await),
        };
        let who = match self.need {
            // Nobody's endpoints do not ask who it is.
            Need::Nobody => Identity {
                token: atoll_model::TokenId::new(""),
                account: None,
                permissions: atoll_model::Permissions::default(),
            },
            _ => api.door.enter(&catalog, &parts.headers, peer).await?,
        };
        *seen = Some(who.clone());
        self.allow(&who, &path)?;
        let (body, stream) = match self.body {
            BodyRule::Stream => (Bytes::new(), Some(body)),
            BodyRule::None => (read(body, 0).await?, None),
            BodyRule::Raw(most) => (read(body, most).await?, None),
            BodyRule::Json(most) => {
                check_json(&parts.headers)?;
                (read(body, most).await?, None)
            }
        };
        let mut digest = Vec::with_capacity(body.len() + 256);
        let authorization = parts.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let address = parts.uri.path_and_query().map_or("", |address| address.as_str());
        for part in [
            authorization.unwrap_or_default(),
            parts.method.as_str().as_bytes(),
            address.as_bytes(),
            &body,
        ] {
            digest.extend_from_slice(&(part.len() as u64).to_le_bytes());
            digest.extend_from_slice(part);
        }
        let context = Context {
            api: api.clone(),
            catalog,
            who,
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            path,
            body,
            stream: Mutex::new(stream),
            digest: BlobHash::of(&digest),
        };
        (self.handler)(context).await
    }

    fn allow(&self, who: &Identity, path: &[(String, String)]) -> Result<(), ApiError> {
        let part = |name: &str| {
            path.iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let own_account = || match (part("account"), &who.account) {
            (Some(named), Some(own)) if named != own.as_str() => Err(foreign(&TenantId::new(named))),
            _ => Ok(()),
        };
        let lacking = |resource: Resource, action: Action, of: &str| {
            let name = match action {
                Action::Read => "read",
                Action::Write => "write",
            };
            ApiError::forbidden(format!(
                "this token may not do that: it lacks {}:{name}{of}",
                resource.name()
            ))
            .hint("use a token with that permission; `atoll tokens` makes one")
        };
        match self.need {
            Need::Nobody | Need::Token => own_account(),
            Need::Account(resource, action) => {
                own_account()?;
                let worker = part("worker").map(WorkerName::new);
                if who.permissions.allow(resource, action, worker.as_ref()) {
                    return Ok(());
                }
                let of = worker.map_or_else(String::new, |worker| format!("@{worker}"));
                Err(lacking(resource, action, &of))
            }
            Need::SomeWorker(resource, action) => {
                own_account()?;
                let fits = |permission: &atoll_model::Permission| {
                    let text = permission.to_string();
                    let worker = text.split_once('@').map(|(_, worker)| WorkerName::new(worker));
                    permission.allows(resource, action, worker.as_ref())
                };
                if who.permissions.0.iter().any(fits) {
                    return Ok(());
                }
                Err(lacking(resource, action, ""))
            }
            Need::Own(resource, action) => {
                if who.permissions.allow(resource, action, None) {
                    return Ok(());
                }
                Err(lacking(resource, action, ""))
            }
            Need::Platform(resource, action) => {
                if who.account.is_some() {
                    return Err(ApiError::forbidden("this is for the platform's own tokens alone"));
                }
                if who.permissions.allow(resource, action, None) {
                    return Ok(());
                }
                Err(lacking(resource, action, ""))
            }
        }
    }
}

/// The body, whole.
async fn read(body: Body, most: usize) -> Result<Bytes, ApiError> {
    match Limited::new(body, most).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() && most == 0 => {
            Err(ApiError::invalid("this endpoint takes no body"))
        }
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(ApiError::too_large(format!(
            "the request's body has more than {most} bytes, which is the most here"
        ))),
        Err(error) => Err(ApiError::invalid(format!("the request's body did not arrive: {error}"))),
    }
}

fn check_json(headers: &http::HeaderMap) -> Result<(), ApiError> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    // A form of a web page cannot send JSON without asking first.
    let essence = kind.to_str().unwrap_or("").split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "invalid",
        "the request's body has to be application/json",
    ))
}

/// The request's name: the client's, if it is a plain one, or ours.
fn request_id(request: &Request) -> String {
    let legal = |id: &&str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let own = request
        .headers()
        .get(rest::REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(legal);
    match own {
        Some(id) => id.to_owned(),
        None => crate::catalog::new_hex_id().unwrap_or_else(|_| "0".repeat(32)),
    }
}

/// Where the request comes from: [`super::serve`] notes it.
fn peer(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(address)| address.ip())
}

/// The other end of a request's connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Whether a request came over TLS.
#[derive(Debug, Clone, Copy)]
pub struct Secure(pub bool);
