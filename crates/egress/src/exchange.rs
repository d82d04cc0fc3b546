//! One hop: resolve, judge, get a connection, send the request, wait for the head.
//!
//! A kept connection may have been closed by the peer a moment ago. A request that certainly was not sent is sent again
//! on a new connection; one that may have been sent is sent again only if it is idempotent (RFC 9110 section 9.2.2) and
//! has no body. Nothing is ever tried a third time.

use crate::address::canonical;
use crate::connect::{Connector, Purpose};
use crate::error::{EgressError, root_cause};
use crate::limits::Timeouts;
use crate::policy::AddressPolicy;
use crate::pool::{Key, Lease, Origin, Pool, Probe, Sender};
use crate::resolve::Resolve;
use crate::upload::{Progress, Upload};
use atoll_model::TenantId;
use atoll_worker::Body;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::{Instant, sleep_until, timeout};
use url::Url;

/// Everything a hop needs.
pub(crate) struct Exchange {
    pub resolver: Arc<dyn Resolve>,
    pub connector: Connector,
    pub pool: Arc<Pool>,
    pub timeouts: Timeouts,
}

/// Whose request it is, and what it may reach.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub tenant: TenantId,
    pub policy: Arc<AddressPolicy>,
}

/// A request to one hop, as yet without connection and body.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub origin: Origin,
    pub method: Method,
    path: PathAndQuery,
    authority: Authority,
    pub headers: HeaderMap,
    pub purpose: Purpose,
}

impl Head {
    pub fn new(url: &Url, method: Method, headers: HeaderMap, purpose: Purpose) -> Result<Self, EgressError> {
        let invalid = |reason: &str| EgressError::Url {
            url: url.to_string(),
            reason: reason.to_owned(),
        };
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(invalid("the scheme is neither http nor https")),
        };
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| invalid("there is no host"))?;
        let port = url.port_or_known_default().ok_or_else(|| invalid("there is no port"))?;
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        Ok(Self {
            origin: Origin {
                tls,
                host: host.into(),
                port,
            },
            method,
            path: path.parse().map_err(|_| invalid("the path cannot be sent"))?,
            authority: authority.parse().map_err(|_| invalid("the host cannot be sent"))?,
            headers,
            purpose,
        })
    }

    /// As it goes over a connection of that version.
    fn request(&self, h2: bool, upload: Upload) -> Result<Request<Upload>, EgressError> {
        let mut request = Request::new(upload);
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        let invalid = |error: &dyn std::fmt::Display| EgressError::Url {
            url: self.authority.to_string(),
            reason: error.to_string(),
        };
        if h2 {
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some(if self.origin.tls { Scheme::HTTPS } else { Scheme::HTTP });
            parts.authority = Some(self.authority.clone());
            parts.path_and_query = Some(self.path.clone());
            *request.uri_mut() = Uri::from_parts(parts).map_err(|error| invalid(&error))?;
            *request.version_mut() = Version::HTTP_2;
        } else {
            *request.uri_mut() = Uri::from(self.path.clone());
            let host = HeaderValue::from_str(self.authority.as_str()).map_err(|error| invalid(&error))?;
            request.headers_mut().insert(header::HOST, host);
            // hyper takes a body of unknown length on these for a mistake unless it is told otherwise.
            let unknown = http_body::Body::size_hint(request.body()).exact().is_none();
            if unknown && matches!(self.method, Method::GET | Method::HEAD) {
                request
                    .headers_mut()
                    .insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        Ok(request)
    }

    fn host(&self) -> String {
        self.origin.host.to_string()
    }
}

impl Exchange {
    /// The addresses of `origin` that `fetch` may connect to.
    async fn addresses(&self, caller: &Caller, origin: &Origin) -> Result<Vec<IpAddr>, EgressError> {
        self.judged(origin, |host, address, port| caller.policy.check(host, address, port))
            .await
    }

    /// The addresses of `origin` that `judge` lets pass.
    pub async fn judged(
        &self,
        origin: &Origin,
        judge: impl Fn(&str, IpAddr, u16) -> Result<(), String>,
    ) -> Result<Vec<IpAddr>, EgressError> {
        let bare = origin
            .host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(&origin.host);
        let found = match bare.parse::<IpAddr>() {
            Ok(literal) => vec![literal],
            Err(_) => {
                let failed = |reason: String| EgressError::Resolve {
                    host: origin.host.to_string(),
                    reason,
                };
                match timeout(self.timeouts.resolve, self.resolver.resolve(&origin.host)).await {
                    Ok(Ok(found)) if found.is_empty() => return Err(failed("the name has no address".to_owned())),
                    Ok(Ok(found)) => found,
                    Ok(Err(reason)) => return Err(failed(reason)),
                    Err(_) => return Err(failed(format!("no answer within {:?}", self.timeouts.resolve))),
                }
            }
        };
        let mut refused = None;
        let mut addresses = Vec::with_capacity(found.len());
        for address in found {
            let address = canonical(address);
            match judge(&origin.host, address, origin.port) {
                Ok(()) => addresses.push(address),
                Err(reason) => {
                    refused.get_or_insert(EgressError::Denied {
                        host: origin.host.to_string(),
                        address,
                        reason,
                    });
                }
            }
        }
        match refused {
            Some(refused) if addresses.is_empty() => Err(refused),
            _ => Ok(addresses),
        }
    }

    fn kept(&self, tenant: &TenantId, origin: &Origin, addresses: &[IpAddr]) -> Option<Lease> {
        addresses.iter().find_map(|address| {
            self.pool.take(&Key {
                tenant: tenant.clone(),
                origin: origin.clone(),
                address: *address,
            })
        })
    }

    /// A connection: a kept one, unless `fresh` or a WebSocket wants its own.
    async fn acquire(&self, caller: &Caller, head: &Head, fresh: bool) -> Result<Lease, EgressError> {
        let origin = &head.origin;
        let addresses = self.addresses(caller, origin).await?;
        let tenant = &caller.tenant;
        let shareable = head.purpose == Purpose::Http;
        let mut guard = None;
        if shareable && !fresh {
            if let Some(lease) = self.kept(tenant, origin, &addresses) {
                return Ok(lease);
            }
            if origin.tls {
                match self.pool.probe(tenant, origin) {
                    Probe::First(first) => guard = Some(first),
                    Probe::Wait(mut done) => {
                        // An error says that the prober is done, too.
                        let _ = done.changed().await;
                        if let Some(lease) = self.kept(tenant, origin, &addresses) {
                            return Ok(lease);
                        }
                    }
                }
            }
        }
        let permit = self.connector.permit(origin, || self.pool.evict()).await?;
        let (sender, address) = self.connector.open(origin, &addresses, head.purpose, permit).await?;
        let key = Key {
            tenant: tenant.clone(),
            origin: origin.clone(),
            address,
        };
        let lease = match sender {
            Sender::H2(sender, capacity) => self.pool.share(key, sender, capacity),
            sender @ Sender::H1(_) => Lease {
                key,
                sender,
                reused: false,
                users: None,
                upload: None,
            },
        };
        drop(guard);
        Ok(lease)
    }

    /// Sends a request; gives its response's head, body to come, and the connection it comes over.
    pub async fn send(
        &self,
        caller: &Caller,
        head: &Head,
        body: Body,
    ) -> Result<(Response<Incoming>, Lease), EgressError> {
        let repeatable = matches!(body, Body::Empty) && is_idempotent(&head.method);
        let (mut upload, mut progress) = Upload::new(body);
        let mut fresh = false;
        loop {
            let mut lease = Box::pin(self.acquire(caller, head, fresh)).await?;
            let request = head.request(matches!(lease.sender, Sender::H2(..)), upload)?;
            let failed = match self.exchange(head, &mut lease.sender, request, &progress).await? {
                Ok(response) => {
                    lease.upload = Some(progress);
                    return Ok((response, lease));
                }
                Err(failed) => failed,
            };
            self.pool.forget(&lease);
            let mut failed = *failed;
            let unsent = failed.take_message();
            let error = failed.into_error();
            match unsent {
                Some(request) if lease.reused => upload = request.into_body(),
                None if lease.reused && repeatable && is_stale(&error) => (upload, progress) = Upload::new(Body::Empty),
                _ => return Err(explain(head, &error, &progress)),
            }
            fresh = true;
        }
    }

    /// The head of the response, or why there is none; the outer error is the deadline.
    async fn exchange(
        &self,
        head: &Head,
        sender: &mut Sender,
        request: Request<Upload>,
        progress: &Progress,
    ) -> Result<Result<Response<Incoming>, Box<TrySendError<Request<Upload>>>>, EgressError> {
        let answer = async {
            match sender {
                Sender::H1(sender) => sender.try_send_request(request).await,
                Sender::H2(sender, _) => sender.try_send_request(request).await,
            }
        };
        let mut answer = Box::pin(answer);
        loop {
            let deadline = progress.waiting_since() + self.timeouts.head;
            tokio::select! {
                answer = &mut answer => return Ok(answer.map_err(Box::new)),
                () = sleep_until(deadline) => {
                    if progress.waiting_since() + self.timeouts.head <= Instant::now() {
                        return Err(EgressError::HeadTimeout { host: head.host(), waited: self.timeouts.head });
                    }
                }
            }
        }
    }
}

fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
    )
}

/// The peer went away, or refused the stream, rather than answering nonsense.
fn is_stale(error: &hyper::Error) -> bool {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return true;
    }
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
            return matches!(
                io.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
            );
        }
        if let Some(h2) = inner.downcast_ref::<h2::Error>()
            && (h2.is_go_away() || h2.reason() == Some(h2::Reason::REFUSED_STREAM))
        {
            return true;
        }
        cause = inner.source();
    }
    false
}

fn explain(head: &Head, error: &hyper::Error, progress: &Progress) -> EgressError {
    let host = head.host();
    if let Some(error) = progress.error() {
        return EgressError::RequestBody {
            host,
            reason: error.to_string(),
        };
    }
    if is_stale(error) {
        return EgressError::Closed { host };
    }
    let reason = root_cause(error);
    if error.is_parse() {
        EgressError::BadResponse { host, reason }
    } else {
        EgressError::Exchange { host, reason }
    }
}
