//! Tails: a worker's events as they happen, over a WebSocket.
//!
//! ```text
//! POST .../tails {filters}  ->  {id, url, expires_at}
//! url (WebSocket, subprotocol trace-v1): the server sends one JSON message per event, the client nothing that counts
//! DELETE .../tails/{id}
//! ```
//!
//! The client brings no API token to the WebSocket: the URL holds a token for this tail alone. It pings every ten seconds and
//! goes away without a pong; so a connection on which nothing came for [`SILENCE_MAX`] is a dead one. It connects anew after
//! any close but 1000.

use super::envelope::{Answer, ApiError, Result, code, good};
use super::scripts::found;
use super::state::{Api, Who, host};
use super::time::rfc3339;
use super::token;
use super::upload::sign;
use super::{Body, Shared};
use crate::catalog::new_hex_id;
use crate::fleet::{Tail, TailAsk, TailItem};
use crate::http::{Peer, Secure};
use atoll_model::{Action, Resource, TenantId, WorkerName};
use atoll_stdx::Clock;
use axum::Extension;
use axum::body::Body as ResponseBody;
use axum::extract::{Path, Request};
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

/// The subprotocol.
const PROTOCOL: &str = "trace-v1";
/// How long a tail can be used, milliseconds: six hours.
const LIVES_MS: u64 = 6 * 60 * 60 * 1000;
/// The most events per second of one tail from each PoP.
const RATE_MAX: u32 = 100;
/// The most tails at a time.
const TAILS_MAX: usize = 200;
/// The most filters, and the most bytes of all of them as JSON: they travel in the URL.
const FILTERS_MAX: usize = 32;
const FILTERS_BYTES_MAX: usize = 2 * 1024;
/// A connection on which nothing came for so long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long one message may take to be taken by the connection.
const SEND_MAX: Duration = Duration::from_secs(10);
/// The largest message of a client, bytes.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
const PURPOSE: &str = "cloudflare tail";

/// What the URL's token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    id: String,
    account: TenantId,
    worker: WorkerName,
    filters: Value,
    expires_ms: u64,
}

/// The tails that are open, by id.
#[derive(Debug, Default)]
pub(super) struct Tails {
    open: Mutex<HashMap<String, (WorkerName, TenantId, CancellationToken)>>,
}

impl Tails {
    /// Takes a place for a tail. One of the same id, which the client has given up by now, ends.
    fn enter(&self, claims: &Claims) -> Result<CancellationToken> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, (.., end)| !end.is_cancelled());
        if open.len() >= TAILS_MAX && !open.contains_key(&claims.id) {
            return Err(ApiError {
                status: StatusCode::TOO_MANY_REQUESTS,
                ..ApiError::busy(format!("{TAILS_MAX} tails are open already; try again later"))
            });
        }
        let end = CancellationToken::new();
        let entry = (claims.worker.clone(), claims.account.clone(), end.clone());
        if let Some((.., before)) = open.insert(claims.id.clone(), entry) {
            before.cancel();
        }
        Ok(end)
    }

    fn end(&self, account: &TenantId, worker: &WorkerName, id: &str) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.get(id).is_some_and(|(w, a, _)| w == worker && a == account);
        if own && let Some((.., end)) = open.remove(id) {
            end.cancel();
        }
    }
}

/// `{filters: [..]}`
#[derive(Deserialize)]
pub(super) struct Asked {
    filters: Option<Vec<Map<String, Value>>>,
}

/// Filters as they are kept: checked, and with the address that `self` stands for.
fn filters(asked: Asked, peer: Option<SocketAddr>) -> Result<Value> {
    let mut filters = asked.filters.unwrap_or_default();
    if filters.len() > FILTERS_MAX {
        return Err(ApiError::validation(format!(
            "a tail has at most {FILTERS_MAX} filters"
        )));
    }
    for filter in &mut filters {
        for (key, value) in filter.iter_mut() {
            let good = match key.as_str() {
                "sampling_rate" => value.as_f64().is_some_and(|rate| rate > 0.0 && rate <= 1.0),
                "outcome" | "method" | "client_ip" => {
                    let list = value.as_array();
                    list.is_some_and(|list| list.iter().all(Value::is_string))
                }
                "header" => value.get("key").is_some_and(Value::is_string),
                "query" | "scriptVersion" => value.is_string(),
                _ => {
                    return Err(ApiError::validation(format!(
                        "{key:?} is no filter of a tail: sampling_rate, outcome, method, header, client_ip, query and scriptVersion are"
                    )));
                }
            };
            if !good {
                return Err(ApiError::validation(format!(
                    "the filter {key} cannot be read: {value}"
                )));
            }
            if key == "client_ip" {
                own_address(value, peer)?;
            }
        }
    }
    let filters = json!({"filters": filters});
    if filters.to_string().len() > FILTERS_BYTES_MAX {
        return Err(ApiError::validation(format!(
            "the filters of a tail have at most {FILTERS_BYTES_MAX} bytes of JSON"
        )));
    }
    Ok(filters)
}

fn own_address(list: &mut Value, peer: Option<SocketAddr>) -> Result<()> {
    for address in list.as_array_mut().into_iter().flatten() {
        if address == "self" {
            let peer = peer.ok_or_else(|| {
                ApiError::validation("the address that `self` stands for is not known here; write the address")
            })?;
            *address = json!(peer.ip().to_canonical().to_string());
        }
    }
    Ok(())
}

/// `POST .../workers/scripts/{name}/tails`
pub(super) async fn create(
    api: Api,
    who: Who,
    Path((account, name)): Path<(String, String)>,
    peer: Option<Extension<Peer>>,
    secure: Option<Extension<Secure>>,
    headers: HeaderMap,
    Body(asked): Body<Asked>,
) -> Answer {
    let name = WorkerName::new(name);
    let account = who.need(&account, Resource::Logs, Action::Read, Some(&name))?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let filters = filters(asked, peer.map(|Extension(Peer(peer))| peer))?;
    let host = host(&headers).ok_or_else(|| ApiError::bad(code::BODY, "the request names no host"))?;
    let expires_ms = api.clock.now_ms().saturating_add(LIVES_MS);
    let claims = Claims {
        id: new_hex_id()?,
        account,
        worker: name,
        filters,
        expires_ms,
    };
    let token = sign(&api, PURPOSE, &claims, LIVES_MS)?;
    let secure = secure.is_some_and(|Extension(Secure(secure))| secure);
    let scheme = if secure { "wss" } else { "ws" };
    good(json!({
        "id": claims.id,
        "url": format!("{scheme}://{host}{}/tails/{token}", super::BASE),
        "expires_at": rfc3339(expires_ms),
    }))
}

/// `GET .../workers/scripts/{name}/tails`: those that are open here.
pub(super) async fn list(
    api: Api,
    who: Who,
    Extension(shared): Extension<Arc<Shared>>,
    Path((account, name)): Path<(String, String)>,
) -> Answer {
    let name = WorkerName::new(name);
    let account = who.need(&account, Resource::Logs, Action::Read, Some(&name))?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let open = shared.tails.open.lock().unwrap_or_else(PoisonError::into_inner);
    let own = open
        .iter()
        .filter(|(_, (worker, of, end))| *worker == name && *of == account && !end.is_cancelled());
    let own: Vec<Value> = own.map(|(id, _)| json!({"id": id})).collect();
    drop(open);
    good(own)
}

/// `DELETE .../workers/scripts/{name}/tails/{id}`
pub(super) async fn delete(
    who: Who,
    Extension(shared): Extension<Arc<Shared>>,
    Path((account, name, id)): Path<(String, String, String)>,
) -> Answer {
    let name = WorkerName::new(name);
    let account = who.need(&account, Resource::Logs, Action::Read, Some(&name))?;
    shared.tails.end(&account, &name, &id);
    good(Value::Null)
}

fn has_token(headers: &HeaderMap, name: axum::http::HeaderName, token: &str) -> bool {
    let values = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let mut tokens = values.flat_map(|value| value.split(','));
    tokens.any(|one| one.trim().eq_ignore_ascii_case(token))
}

/// `GET /tails/{token}`: the WebSocket.
pub(super) async fn connect(
    api: Api,
    Extension(shared): Extension<Arc<Shared>>,
    Path(token): Path<String>,
    mut request: Request,
) -> Result<Response<ResponseBody>> {
    let claims: Claims = token::read(&api.catalog, PURPOSE, &token, api.clock.now_ms()).ok_or_else(|| {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            code::AUTHENTICATION,
            "Authentication error: the tail's address is not valid or has ended; begin a new tail",
        )
    })?;
    let headers = request.headers();
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .map(|key| derive_accept_key(key.as_bytes()));
    let upgrades = has_token(headers, CONNECTION, "upgrade") && has_token(headers, UPGRADE, "websocket");
    let version = headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_some_and(|version| version == "13");
    let (Some(accept), true, true) = (key, upgrades, version) else {
        return Err(ApiError::bad(
            code::BODY,
            "this is the address of a WebSocket (RFC 6455, version 13)",
        ));
    };
    if !has_token(headers, SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return Err(ApiError::bad(
            code::BODY,
            format!("a tail speaks the WebSocket subprotocol {PROTOCOL}; name it in sec-websocket-protocol"),
        ));
    }
    let accept = HeaderValue::from_str(&accept).map_err(ApiError::internal)?;
    let end = shared.tails.enter(&claims)?;
    let ask = TailAsk {
        account: claims.account.clone(),
        worker: claims.worker.clone(),
        filters: claims.filters.to_string(),
        expires_ms: claims.expires_ms,
        rate_max: RATE_MAX,
    };
    // Whatever ends this tail, its place is free again.
    let place = end.clone().drop_guard();
    let tail = api.pops.tail(ask).await?;
    let upgrade = hyper::upgrade::on(&mut request);
    let stopping = api.shared.tasks.stopping();
    let clock = api.clock.clone();
    api.shared.tasks.spawn(async move {
        let _place = place;
        let upgraded = match upgrade.await {
            Ok(upgraded) => TokioIo::new(upgraded),
            Err(error) => {
                tracing::debug!(%error, "a tail's client went away before its connection was one");
                return;
            }
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX))
            // Wrangler sends its one message unmasked, against RFC 6455.
            .accept_unmasked_frames(true);
        let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await;
        let (code, reason) = speak(&mut socket, tail, &claims, &*clock, &end, &stopping).await;
        let reason = reason.into();
        // The client may be gone already; there is nobody to tell.
        let close = socket.close(Some(CloseFrame { code, reason }));
        let _ = tokio::time::timeout(SEND_MAX, close).await;
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, accept)
        .header(SEC_WEBSOCKET_PROTOCOL, PROTOCOL)
        .body(ResponseBody::empty());
    response.map_err(ApiError::internal)
}

/// What a client is told of events that it did not get.
fn overload(worker: &WorkerName, dropped: u64, now_ms: u64) -> String {
    json!({
        "outcome": "ok",
        "scriptName": worker,
        "exceptions": [],
        "logs": [],
        "eventTimestamp": now_ms,
        "event": {
            "type": "overload",
            "message": format!("Tail is in sampling mode: {dropped} events were not shown, there were too many at once."),
        },
    })
    .to_string()
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// Has the tail's items sent until something ends it, and says what.
async fn speak(
    socket: &mut Socket,
    mut tail: Tail,
    claims: &Claims,
    clock: &dyn Clock,
    end: &CancellationToken,
    stopping: &CancellationToken,
) -> (CloseCode, &'static str) {
    loop {
        let text: Cow<'static, str> = tokio::select! {
            () = end.cancelled() => return (CloseCode::Normal, "the tail was deleted"),
            () = stopping.cancelled() => return (CloseCode::Away, "the control plane is stopping"),
            item = tail.items.recv() => match item {
                Some(TailItem::Event(text)) => text.into(),
                Some(TailItem::Dropped(dropped)) => overload(&claims.worker, dropped, clock.now_ms()).into(),
                None if clock.now_ms() >= claims.expires_ms => return (CloseCode::Normal, "the tail's time is over"),
                None => return (CloseCode::Again, "the tail broke off"),
            },
            message = tokio::time::timeout(SILENCE_MAX, socket.next()) => match message {
                Err(_) => return (CloseCode::Away, "nothing came for a minute, not even a ping"),
                Ok(Some(Ok(Message::Close(_)))) | Ok(None) => return (CloseCode::Normal, ""),
                // Pings are answered by the socket; what a client says besides counts for nothing.
                Ok(Some(Ok(_))) => continue,
                Ok(Some(Err(_))) => return (CloseCode::Protocol, ""),
            },
        };
        let sent = tokio::time::timeout(SEND_MAX, socket.send(Message::text(text.into_owned()))).await;
        if !matches!(sent, Ok(Ok(()))) {
            return (CloseCode::Away, "the connection takes nothing");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value, peer: Option<&str>) -> Result<Value> {
        filters(
            serde_json::from_value(value).unwrap(),
            peer.map(|peer| peer.parse().unwrap()),
        )
    }

    #[test]
    fn filters_are_checked_and_self_is_an_address() {
        let all = json!({"filters": [
            {"sampling_rate": 0.5}, {"outcome": ["exception"]}, {"method": ["GET"]}, {"header": {"key": "x", "query": "y"}},
            {"client_ip": ["self", "10.0.0.1"]}, {"query": "text"}, {"scriptVersion": "v"},
        ]});
        let kept = read(all, Some("[::ffff:192.0.2.1]:1")).unwrap();
        assert_eq!(kept["filters"][4]["client_ip"], json!(["192.0.2.1", "10.0.0.1"]));
        assert_eq!(read(json!({}), None).unwrap(), json!({"filters": []}));
        let check = |filter: Value, expected: &str| {
            let error = read(json!({"filters": [filter]}), None).unwrap_err();
            assert!(error.message.contains(expected), "{}", error.message);
        };
        check(json!({"mood": "good"}), "no filter");
        check(json!({"sampling_rate": 2}), "sampling_rate");
        check(json!({"outcome": "ok"}), "outcome");
        check(json!({"client_ip": ["self"]}), "not known here");
        check(json!({"query": "x".repeat(FILTERS_BYTES_MAX)}), "bytes");
        assert!(read(json!({"filters": vec![json!({}); FILTERS_MAX + 1]}), None).is_err());
    }

    #[test]
    fn a_tail_that_comes_again_takes_its_own_place() {
        let tails = Tails::default();
        let claims = |id: usize| Claims {
            id: id.to_string(),
            account: TenantId::new("acme"),
            worker: WorkerName::new("shop"),
            filters: Value::Null,
            expires_ms: 0,
        };
        let first = tails.enter(&claims(0)).unwrap();
        let all: Vec<_> = (1..TAILS_MAX).map(|id| tails.enter(&claims(id)).unwrap()).collect();
        assert_eq!(tails.enter(&claims(TAILS_MAX)).unwrap_err().status, 429);
        let again = tails.enter(&claims(0)).unwrap();
        assert!(first.is_cancelled() && !again.is_cancelled());
        tails.end(&TenantId::new("other"), &WorkerName::new("shop"), "1");
        assert!(!all[0].is_cancelled());
        tails.end(&TenantId::new("acme"), &WorkerName::new("shop"), "1");
        assert!(all[0].is_cancelled());
        assert!(tails.enter(&claims(TAILS_MAX)).is_ok());
    }
}
