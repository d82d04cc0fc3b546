//! One fetch from end to end: hops until the answer, then its body or socket.

use crate::connect::Purpose;
use crate::decode::Decoder;
use crate::download::{Download, discard, settle, settle_at_once};
use crate::error::EgressError;
use crate::exchange::{Caller, Exchange, Head};
use crate::headers::{Defaults, ask_for_websocket, incoming, outgoing};
use crate::pool::Lease;
use crate::redirect::{BodyFate, Hop, is_redirect};
use crate::websocket;
use atoll_worker::body::{CREDIT_DEFAULT, channel};
use atoll_worker::outbound::REDIRECTS_MAX;
use atoll_worker::{BindingError, Body, OutboundRequest, Redirect, Response, ResponseHead};
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use hyper::body::{Body as _, Incoming};
use std::sync::Arc;
use tokio::sync::oneshot;
use url::Url;

type Reply = oneshot::Sender<Result<Response, BindingError>>;

/// What all fetches share.
pub(crate) struct Fetch {
    pub exchange: Exchange,
    pub defaults: Defaults,
    pub decode: bool,
}

/// The last hop's answer.
struct Answer {
    response: http::Response<Incoming>,
    lease: Lease,
    hop: Hop,
    /// The key of the handshake and the header fields it was made from, if a WebSocket was asked for.
    handshake: Option<HeaderValue>,
}

impl Fetch {
    /// Runs until the response's body has been moved, its WebSocket is over, or nobody wants them any more.
    pub async fn run(self: Arc<Self>, caller: Caller, request: OutboundRequest, mut reply: Reply) {
        let answer = tokio::select! {
            answer = Box::pin(self.follow(&caller, request)) => answer,
            () = reply.closed() => return,
        };
        match answer {
            Ok(answer) => Box::pin(self.deliver(answer, reply)).await,
            // The caller may be gone; then nobody wants the error.
            Err(error) => drop(reply.send(Err(error.into_binding()))),
        }
    }

    async fn follow(&self, caller: &Caller, request: OutboundRequest) -> Result<Answer, EgressError> {
        let OutboundRequest {
            request,
            redirect,
            redirects_max,
        } = request;
        let head = request.head;
        if matches!(
            head.method.as_str().to_ascii_uppercase().as_str(),
            "CONNECT" | "TRACE" | "TRACK"
        ) {
            return Err(EgressError::Method(head.method.to_string()));
        }
        let url = Url::parse(&head.url).map_err(|error| EgressError::Url {
            url: head.url.clone(),
            reason: error.to_string(),
        })?;
        let mut hop = Hop {
            url,
            method: head.method,
            headers: head.headers,
            followed: 0,
        };
        let mut body = request.body;
        loop {
            let mut fields = outgoing(&hop.headers, &hop.method, body.length(), &self.defaults);
            let purpose = if head.upgrade_websocket {
                Purpose::WebSocket
            } else {
                Purpose::Http
            };
            let mut handshake = None;
            if head.upgrade_websocket {
                let key = websocket::key();
                ask_for_websocket(&mut fields, key.clone());
                handshake = Some(key);
            }
            let next = Head::new(&hop.url, hop.method.clone(), fields, purpose)?;
            let again = match &body {
                Body::Empty => Some(Body::Empty),
                Body::Full(bytes) => Some(Body::Full(bytes.clone())),
                Body::Stream(_) => None,
            };
            let (response, lease) = self.exchange.send(caller, &next, body).await?;
            let status = response.status();
            if !is_redirect(status) || redirect == Redirect::Manual {
                return Ok(Answer {
                    response,
                    lease,
                    hop,
                    handshake,
                });
            }
            // Whoever asked cannot pay for one more, which is no error of this request: it says what becomes of it.
            if redirect == Redirect::Follow && redirects_max < REDIRECTS_MAX && hop.followed >= redirects_max {
                return Ok(Answer {
                    response,
                    lease,
                    hop,
                    handshake,
                });
            }
            let from = hop.url.to_string();
            if redirect == Redirect::Error {
                let reason = format!(
                    "it answered {} and the request's redirect mode is \"error\"",
                    status.as_u16()
                );
                return Err(EgressError::Redirect { from, reason });
            }
            body = match (hop.follow(status, response.headers())?, again) {
                (None, _) => {
                    return Ok(Answer {
                        response,
                        lease,
                        hop,
                        handshake,
                    });
                }
                (Some(BodyFate::Drop), _) => Body::Empty,
                (Some(BodyFate::Replay), Some(again)) => again,
                (Some(BodyFate::Replay), None) => {
                    let reason = format!(
                        "it answered {}, so the body has to be sent again, but a stream can be read only once; \
                         use a string or a buffer as the body",
                        status.as_u16()
                    );
                    return Err(EgressError::Redirect { from, reason });
                }
            };
            discard(&self.exchange.pool, lease, response.into_body()).await;
        }
    }

    async fn deliver(&self, answer: Answer, reply: Reply) {
        let Answer {
            response,
            lease,
            hop,
            handshake,
        } = answer;
        let status = response.status();
        let invalid = |reason: String| EgressError::BadResponse {
            host: lease.key.origin.host.to_string(),
            reason,
        };
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let Some(key) = handshake else {
                let error = invalid("it answered 101 although no upgrade was asked for".to_owned());
                return drop(reply.send(Err(error.into_binding())));
            };
            return self.deliver_websocket(response, &hop, &key, reply, invalid).await;
        }
        if !(200..=599).contains(&status.as_u16()) {
            let error = invalid(format!("{} is no status that a response can have", status.as_u16()));
            return drop(reply.send(Err(error.into_binding())));
        }
        let (parts, from) = response.into_parts();
        let mut head = response_head(&hop, status, parts.extensions.get::<hyper::ext::ReasonPhrase>());
        head.headers = incoming(parts.headers);
        let bodyless = hop.method == Method::HEAD || matches!(status.as_u16(), 204 | 205 | 304);
        if bodyless || from.size_hint().exact() == Some(0) {
            let body = if bodyless {
                Body::Empty
            } else {
                Body::Full(bytes::Bytes::new())
            };
            drop(from);
            let unsettled = settle_at_once(&self.exchange.pool, lease).await;
            drop(reply.send(Ok(Response {
                head,
                body,
                websocket: None,
            })));
            if let Some(lease) = unsettled {
                settle(&self.exchange.pool, lease).await;
            }
            return;
        }
        let decoder = if self.decode {
            Decoder::for_headers(&head.headers)
        } else {
            None
        };
        let mut length = from.size_hint().exact();
        if decoder.is_some() {
            // It counts the encoded bytes. `Content-Encoding` stays: it says what the answer was.
            head.headers.remove(header::CONTENT_LENGTH);
            length = None;
        }
        let (to, body) = channel(CREDIT_DEFAULT, length);
        if reply
            .send(Ok(Response {
                head,
                body: Body::Stream(body),
                websocket: None,
            }))
            .is_err()
        {
            return;
        }
        let download = Download {
            from,
            to,
            decoder,
            idle: self.exchange.timeouts.body_idle,
        };
        download.run(self.exchange.pool.clone(), lease).await;
    }

    async fn deliver_websocket(
        &self,
        mut response: http::Response<Incoming>,
        hop: &Hop,
        key: &HeaderValue,
        reply: Reply,
        invalid: impl Fn(String) -> EgressError,
    ) {
        let fail = |reply: Reply, reason: String| drop(reply.send(Err(invalid(reason).into_binding())));
        let protocol = match websocket::accepted(response.headers(), key, &hop.headers) {
            Ok(protocol) => protocol,
            Err(reason) => return fail(reply, reason),
        };
        let upgraded = match hyper::upgrade::on(&mut response).await {
            Ok(upgraded) => upgraded,
            Err(error) => return fail(reply, crate::error::root_cause(&error)),
        };
        let status = response.status();
        let (parts, _) = response.into_parts();
        let mut head = response_head(hop, status, parts.extensions.get::<hyper::ext::ReasonPhrase>());
        head.headers = incoming(parts.headers);
        let (end, work) = websocket::splice(upgraded, protocol, self.exchange.timeouts.websocket_close);
        if reply
            .send(Ok(Response {
                head,
                body: Body::Empty,
                websocket: Some(end),
            }))
            .is_ok()
        {
            work.await;
        }
    }
}

fn response_head(hop: &Hop, status: StatusCode, reason: Option<&hyper::ext::ReasonPhrase>) -> ResponseHead {
    let mut url = hop.url.clone();
    url.set_fragment(None);
    let mut head = ResponseHead::new(status.as_u16());
    // HTTP/1.1's own phrase where it differs from the usual one; HTTP/2 has none.
    head.status_text = match reason {
        Some(reason) => reason.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
        None => status.canonical_reason().unwrap_or_default().to_owned(),
    };
    head.url = url.into();
    head.redirects = hop.followed;
    head
}
