//! What a handler gets of a request that was let in, and how it answers.

use super::Api;
use super::error::ApiError;
use crate::catalog::{Caller, Catalog, Done, Identity, new_uuid};
use crate::state::ControlState;
use atoll_api::rest;
use atoll_model::{BlobHash, Revision, TenantId, WorkerName};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, PoisonError};

/// How many items a page has if the request does not say.
pub(crate) const PAGE_DEFAULT: u32 = 100;

/// A request, authenticated and allowed, its body read within its bound.
pub(crate) struct Context {
    pub api: Arc<Api>,
    /// The handle that belongs to the epoch in which the request began.
    pub catalog: Catalog,
    pub who: Identity,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    /// Of the path, by name, decoded.
    pub path: Vec<(String, String)>,
    pub body: Bytes,
    /// The body, where the endpoint reads it itself: see [`Context::take_stream`].
    pub stream: Mutex<Option<Body>>,
    /// Hash of bearer token, method, address and body: what an idempotency key stands for. The token makes that nobody who reads
    /// the database can try values of secrets against it.
    pub digest: BlobHash,
}

impl Context {
    pub fn state(&self) -> &ControlState {
        &self.api.state
    }

    /// The body, for an endpoint that reads it itself.
    pub fn take_stream(&self) -> Body {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.take().unwrap_or_default()
    }

    /// A part of the path. The table of endpoints names it, so it is there.
    pub fn part(&self, name: &str) -> &str {
        let found = self.path.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    pub fn account(&self) -> TenantId {
        TenantId::new(self.part("account"))
    }

    pub fn worker(&self) -> WorkerName {
        WorkerName::new(self.part("worker"))
    }

    fn key(&self) -> Result<Option<&str>, ApiError> {
        let Some(key) = self.headers.get(rest::IDEMPOTENCY_KEY) else {
            return Ok(None);
        };
        let key = key.to_str().ok().filter(|key| !key.is_empty());
        key.map(Some)
            .ok_or_else(|| ApiError::invalid("the idempotency-key is 1 to 255 printable ASCII characters"))
    }

    /// Who asks, with the request's idempotency key.
    pub fn caller(&self) -> Result<Caller, ApiError> {
        let caller = Caller::new(format!("token:{}", self.who.token));
        Ok(match self.key()? {
            Some(key) => caller.with_key(key, &self.digest.0),
            None => caller,
        })
    }

    /// A new id, the same one for the same request under the same idempotency key.
    pub fn new_id(&self, what: &str) -> Result<String, ApiError> {
        let Some(key) = self.key()? else { return Ok(new_uuid()?) };
        let mut seed = self.digest.0.to_vec();
        seed.extend_from_slice(what.as_bytes());
        seed.push(0);
        seed.extend_from_slice(key.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&BlobHash::of(&seed).0[..16]);
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        Ok(id.hyphenated().to_string())
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        // An object is always meant; an empty body is the empty one. A list would be read as the fields in their order.
        let bytes: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(ApiError::invalid("the request's body has to be a JSON object"));
        }
        serde_json::from_slice(bytes)
            .map_err(|error| ApiError::invalid(format!("the request's body is refused: {error}")))
    }

    /// The query of the address.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        axum::extract::Query::try_from_uri(&self.uri)
            .map(|axum::extract::Query(query)| query)
            .map_err(|error| ApiError::invalid(format!("the query of the address is refused: {}", error.body_text())))
    }

    /// The account that a request is about which does not have it in its path: what the query says, or the token's own.
    pub fn account_of(&self, named: Option<String>) -> Result<Option<TenantId>, ApiError> {
        match (named.map(TenantId::new), &self.who.account) {
            (Some(named), Some(own)) if named != *own => Err(foreign(&named)),
            (named, own) => Ok(named.or_else(|| own.clone())),
        }
    }

    /// Is it the platform's own token?
    pub fn need_platform(&self, what: &str) -> Result<(), ApiError> {
        match &self.who.account {
            None => Ok(()),
            Some(_) => Err(ApiError::forbidden(format!(
                "{what} is for the platform's own tokens alone"
            ))),
        }
    }

    /// Answers a change: PoPs are told, and the client learns the revision.
    pub fn changed<T, B: Serialize>(&self, status: StatusCode, done: &Done<T>, body: &B) -> Reply {
        self.announce(done);
        let mut response = json(status, body)?;
        mark(&mut response, done.revision, done.repeated);
        Ok(response)
    }

    /// PoPs are told of a change.
    pub fn announce<T>(&self, done: &Done<T>) {
        if !done.repeated {
            self.state().pops.changed(done.revision);
        }
    }
}

/// A token of one account asked for another.
pub(crate) fn foreign(account: &TenantId) -> ApiError {
    // Not whether it exists.
    ApiError::forbidden(format!("this token is not for account \"{account}\""))
}

fn mark(response: &mut Response, revision: Revision, repeated: bool) {
    let headers = response.headers_mut();
    headers.insert(rest::REVISION, HeaderValue::from(revision.0));
    if repeated {
        headers.insert(rest::REPLAYED, HeaderValue::from_static("true"));
    }
}

/// What a handler gives.
pub(crate) type Reply = Result<Response, ApiError>;

/// An answer of JSON.
pub(crate) fn json<B: Serialize>(status: StatusCode, body: &B) -> Reply {
    let bytes = serde_json::to_vec(body).map_err(|error| ApiError::internal(error.to_string()))?;
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((status, kind, bytes).into_response())
}

/// 200 with JSON.
pub(crate) fn ok<B: Serialize>(body: &B) -> Reply {
    json(StatusCode::OK, body)
}

/// How many items a page of the request has: one more is asked of the catalog, to know whether there is a next page.
pub(crate) fn limit(asked: Option<u32>) -> Result<u32, ApiError> {
    let most = crate::catalog::PAGE_MAX - 1;
    match asked {
        None => Ok(PAGE_DEFAULT),
        Some(0) => Err(ApiError::invalid("a page has at least one item")),
        // The catalog's own bound is one more than ours, for the look ahead.
        Some(limit) => Ok(limit.min(most)),
    }
}

/// A page of items of which one more than `limit` were asked for.
pub(crate) fn page<T>(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> rest::Page<T> {
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    rest::Page {
        next: items.last().filter(|_| more).map(cursor),
        items,
    }
}
