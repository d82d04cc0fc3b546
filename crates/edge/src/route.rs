//! The phases of one request, in order: identify, route, assets, dispatch, respond, log.

use crate::assets::AssetAnswer;
use crate::body::{CancelOnDrop, EdgeBody};
use crate::connection::{Connection, InFlight};
use crate::fault;
use crate::front::Front;
use crate::identify::{Client, Identified, Refusal, identify, protocol, refuse};
use crate::log::Pending;
use crate::respond::{Ready, respond};
use crate::site::{Asked as SiteAsked, Found, Led, Lookup, Site};
use crate::trace;
use crate::triggers::{self, Trigger};
use crate::upload::{self, Fell, Room, Unread};
use crate::websocket::{self, Asked};
use atoll_model::{Limit, RequestId, WorkerName};
use atoll_worker::{Body, Cancel, Dispatched, Event, EventContext, Fault, FaultKind, Outcome, Request, VersionChoice};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The header by whose value a client comes to the same version again, as the Workers documentation has it ("Gradual
/// deployments", "Version affinity").
pub const VERSION_KEY_HEADER: &str = "cloudflare-workers-version-key";
/// A longer key counts as none.
pub const VERSION_KEY_BYTES_MAX: usize = 256;

/// A response on its way out, with what the log wants to know of it.
struct Answer {
    response: Response<EdgeBody>,
    reason: Option<String>,
    fault: Option<FaultKind>,
    /// The front's own limit that the request broke.
    limit: Option<Limit>,
}

impl From<Response<EdgeBody>> for Answer {
    fn from(response: Response<EdgeBody>) -> Self {
        Self {
            response,
            reason: None,
            fault: None,
            limit: None,
        }
    }
}

impl From<Ready> for Answer {
    fn from(ready: Ready) -> Self {
        Self {
            response: ready.response,
            reason: ready.reason,
            fault: None,
            limit: None,
        }
    }
}

/// Answers one request; `body` is `None` if it has none. Dropped before it returns (the client went away) it cancels the event
/// and logs that.
///
/// What needs no waiting happens in plain functions, and only what is needed for the answer is kept while the worker has the
/// event: what an `async` function is given, and what it holds, is moved into its future, piece by piece.
pub(crate) async fn handle(
    connection: &Arc<Connection>,
    parts: Box<http::request::Parts>,
    body: Option<Incoming>,
) -> Response<EdgeBody> {
    let in_flight = connection.start();
    let http1 = parts.version < http::Version::HTTP_2;
    let head_only = parts.method == http::Method::HEAD;
    let mut pending = Pending::new(
        &*connection.front.log,
        parts.method.clone(),
        parts.uri.path_and_query().cloned(),
        protocol(parts.version),
        connection.origin.peer,
    );
    if let Some(tracing) = &connection.front.options.tracer {
        pending.traced(trace::begin(&tracing.0, &parts.method, &parts.headers));
    }
    let mut answer = match begin(connection, parts, body, in_flight, &mut pending) {
        Begun::Refused(refusal) => Answer {
            reason: None,
            fault: None,
            limit: refusal.limit,
            response: fault::refusal(&refusal, head_only),
        },
        Begun::Asking(mut asking) => {
            let outcome = (&mut asking.outcome).await;
            asking.answer(outcome)
        }
        Begun::Longer(answer) => answer.await,
    };
    // The last one on its connection: the client knows before it could send another (RFC 9112 section 9.6).
    if http1 && connection.front.is_stopping() && answer.response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        answer.response.headers_mut().insert(http::header::CONNECTION, close);
    }
    if let Some(limit) = answer.limit {
        pending.broke(limit);
    }
    pending.answered(answer.response.status(), answer.reason, answer.fault);
    answer.response
}

/// How far a request came without waiting.
enum Begun<'p, 'c> {
    Refused(Refusal),
    /// The worker has it.
    Asking(Asking<'c>),
    /// Anything else.
    Longer(Pin<Box<dyn Future<Output = Answer> + Send + 'p>>),
}

fn begin<'p, 'c: 'p>(
    connection: &'c Arc<Connection>,
    mut parts: Box<http::request::Parts>,
    body: Option<Incoming>,
    in_flight: InFlight,
    pending: &'p mut Pending<'c>,
) -> Begun<'p, 'c> {
    let exchange = Exchange {
        connection,
        body: Unread::new(body, connection),
        upgrade: parts.extensions.remove::<OnUpgrade>(),
        in_flight,
        pending,
    };
    let front = exchange.front();
    let request = match identify(&mut parts, &connection.origin, &front.options.limits) {
        Ok(request) => request,
        Err(refusal) => return Begun::Refused(refusal),
    };
    exchange.pending.is_for(request.host());
    let Lookup { found, route } = front.sites.find(&SiteAsked {
        host: request.host(),
        path: request.path(),
        headers: &request.head.headers,
    });
    if let Found::Site(site) = &found
        && let Some(worker) = site.asks_at_once()
        && !exchange.body.may_come()
        && !front.options.local_triggers
    {
        exchange.pending.is_of(site, route);
        return Begun::Asking(exchange.ask(site, worker, request));
    }
    Begun::Longer(Box::pin(exchange.answer(found, route, request)))
}

/// A request that may be answered, on its connection.
struct Exchange<'p, 'c> {
    connection: &'c Arc<Connection>,
    body: Unread<'c>,
    upgrade: Option<OnUpgrade>,
    in_flight: InFlight,
    pending: &'p mut Pending<'c>,
}

/// A request that its worker has.
struct Asking<'c> {
    outcome: Dispatched<'c>,
    connection: &'c Arc<Connection>,
    cancel: CancelOnDrop,
    client: Client,
    asked: Option<Asked>,
    upgrade: Option<OnUpgrade>,
    in_flight: InFlight,
    id: RequestId,
}

impl<'p, 'c: 'p> Exchange<'p, 'c> {
    fn front(&self) -> &'c Front {
        &self.connection.front
    }

    /// Gives the site's worker the request, which has no body.
    fn ask(self, site: &Site, worker: &WorkerName, request: Identified) -> Asking<'c> {
        let ctx = context(self.front(), site, worker, &request.head.headers, self.pending);
        self.pending.becomes(worker, ctx.request_id);
        let cancel = CancelOnDrop::new(ctx.cancel.clone());
        let client = (self.connection, self.upgrade, self.in_flight);
        Asking::new(client, worker, (ctx, cancel), request, Body::Empty)
    }

    async fn answer(self, mut found: Found, route: Option<Led>, request: Identified) -> Answer {
        let front = self.front();
        let detail = front.options.error_detail;
        let site = loop {
            found = match found {
                Found::Site(site) => break site,
                Found::Soon(soon) => soon.await,
                Found::Nothing => return fault::not_found(&request.client, detail, request.host()).into(),
                Found::Suspended => return fault::suspended(&request.client).into(),
                Found::Failed(fault) => return faulty(front, &fault, &request.client, front.next_request()),
            };
        };
        self.pending.is_of(&site, route);
        if let Some(failure) = &site.failure {
            return fault::site_failure(failure, detail, &request.client).into();
        }
        if front.options.local_triggers
            && let Some(trigger) = triggers::parse(&request.head.url)
        {
            return self.trigger(&site, &trigger, &request).await;
        }
        if let Some(assets) = &site.assets {
            match assets.answer(&request.head, site.worker.is_some()).await {
                AssetAnswer::RunWorker => {}
                AssetAnswer::Respond(response) => {
                    let id = front.next_request();
                    let client = &request.client;
                    return match respond(response.head, response.body, client, None, self.in_flight) {
                        Ok(ready) => ready.into(),
                        Err(fault) => faulty(&self.connection.front, &fault, client, id),
                    };
                }
            }
        }
        match &site.worker {
            Some(worker) => self.fetch(&site, worker, request).await,
            None => fault::not_found(&request.client, detail, request.host()).into(),
        }
    }

    async fn fetch(self, site: &Site, worker: &WorkerName, request: Identified) -> Answer {
        let Self {
            connection,
            body,
            upgrade,
            in_flight,
            pending,
        } = self;
        let front = &connection.front;
        let ctx = context(front, site, worker, &request.head.headers, pending);
        pending.becomes(worker, ctx.request_id);
        let cancel = CancelOnDrop::new(ctx.cancel.clone());
        let head_only = request.client.head_only;
        let too_large = |max: u64| {
            let reason = format!("the request's body has more than {max} bytes (limit request_body_bytes_max = {max})");
            let refusal = refuse(StatusCode::PAYLOAD_TOO_LARGE, reason);
            Answer {
                limit: Some(Limit::RequestBody),
                ..Answer::from(fault::refusal(&refusal, head_only))
            }
        };
        let late = || {
            let seconds = front.options.limits.body_timeout.as_secs();
            let reason = format!("the request's body did not come: nothing of it for {seconds} s");
            fault::refusal(&refuse(StatusCode::REQUEST_TIMEOUT, reason), head_only)
        };
        let room = body
            .may_come()
            .then(|| Room::new(site.body_bytes_max.unwrap_or(front.options.limits.body_bytes_max)));
        let body = match &room {
            None => Body::Empty,
            Some(room) => match upload::receive(body, connection, &ctx.cancel, room).await {
                Ok(body) => body,
                Err(upload::TooLarge) => return too_large(room.max),
            },
        };
        let mut asking = Asking::new((connection, upgrade, in_flight), worker, (ctx, cancel), request, body);
        let outcome = match &room {
            None => (&mut asking.outcome).await,
            Some(room) => tokio::select! {
                biased;
                fell = room.broken() => return match fell {
                    Fell::TooLarge => too_large(room.max),
                    Fell::Stalled => late().into(),
                },
                outcome = &mut asking.outcome => outcome,
            },
        };
        asking.answer(outcome)
    }

    async fn trigger(self, site: &Site, trigger: &Trigger, request: &Identified) -> Answer {
        let front = self.front();
        let client = &request.client;
        let Some(worker) = &site.worker else {
            return fault::not_found(client, front.options.error_detail, request.host()).into();
        };
        let event = match trigger.event(&*front.options.clock) {
            Ok(event) => event,
            Err(reason) => return fault::text(StatusCode::BAD_REQUEST, client, reason).into(),
        };
        let ctx = context(front, site, worker, &request.head.headers, self.pending);
        let id = ctx.request_id;
        self.pending.becomes(worker, id);
        let mut cancel = CancelOnDrop::new(ctx.cancel.clone());
        let outcome = front.dispatch.dispatch(worker, ctx, Event::Scheduled(event)).await;
        cancel.disarm();
        if let Some(response) = trigger.answer(&outcome, client) {
            let fault = outcome.err().map(|fault| fault.kind);
            return Answer {
                response,
                reason: None,
                fault,
                limit: None,
            };
        }
        let fault = outcome.err().unwrap_or_else(|| {
            Fault::new(
                FaultKind::Internal,
                "a scheduled event came back with a fetch event's outcome",
            )
        });
        faulty(front, &fault, client, id)
    }
}

impl<'c> Asking<'c> {
    fn new(
        (connection, upgrade, in_flight): (&'c Arc<Connection>, Option<OnUpgrade>, InFlight),
        worker: &WorkerName,
        (ctx, cancel): (EventContext, CancelOnDrop),
        request: Identified,
        body: Body,
    ) -> Self {
        let Identified {
            head,
            client,
            handshake,
            ..
        } = request;
        let asked = handshake.map(|handshake| Asked::new(handshake, &head.headers));
        let id = ctx.request_id;
        let event = Event::Fetch(Request { head, body });
        Self {
            outcome: connection.front.dispatch.dispatch(worker, ctx, event),
            connection,
            cancel,
            client,
            asked,
            upgrade,
            in_flight,
            id,
        }
    }

    /// What the client gets for what came of it.
    fn answer(self, outcome: Result<Outcome, Fault>) -> Answer {
        let Self {
            outcome: over,
            connection,
            mut cancel,
            client,
            asked,
            upgrade,
            in_flight,
            id,
        } = self;
        drop(over);
        let front = &connection.front;
        let fault = match outcome {
            Ok(Outcome::Fetch(response)) if response.head.status == StatusCode::SWITCHING_PROTOCOLS.as_u16() => {
                match websocket::accept(response, asked, upgrade, connection) {
                    Ok(response) => {
                        cancel.disarm();
                        return response.into();
                    }
                    Err(fault) => fault,
                }
            }
            Ok(Outcome::Fetch(response)) => {
                match respond(response.head, response.body, &client, Some(cancel), in_flight) {
                    Ok(ready) => return ready.into(),
                    Err(fault) => return faulty(front, &fault, &client, id),
                }
            }
            Ok(_) => Fault::new(
                FaultKind::Internal,
                "a fetch event came back with the outcome of another kind of event",
            ),
            Err(fault) => fault,
        };
        cancel.disarm();
        faulty(front, &fault, &client, id)
    }
}

fn context(
    front: &Front,
    site: &Site,
    worker: &WorkerName,
    headers: &HeaderMap,
    pending: &Pending<'_>,
) -> EventContext {
    EventContext {
        tenant: site.tenant.clone(),
        worker: worker.clone(),
        request_id: front.next_request(),
        cancel: Cancel::new(),
        trace: pending.trace(),
        entry: atoll_worker::Entry::default(),
        version: match &site.version {
            None => VersionChoice::default(),
            Some(version) => VersionChoice {
                exactly: Some(version.clone()),
                key: version_key(headers).map(Into::into),
            },
        },
        route: pending.route(),
    }
}

/// What a request's version is chosen by, if it says so.
pub fn version_key(headers: &HeaderMap) -> Option<&str> {
    let key = headers.get(VERSION_KEY_HEADER)?.to_str().ok()?;
    (!key.is_empty() && key.len() <= VERSION_KEY_BYTES_MAX).then_some(key)
}

fn faulty(front: &Front, fault: &Fault, client: &Client, id: RequestId) -> Answer {
    Answer {
        response: fault::answer(fault, front.options.error_detail, client, id),
        reason: None,
        fault: Some(fault.kind),
        // Others are counted where they were reached.
        limit: fault
            .limit
            .map(|hit| hit.limit)
            .filter(|limit| *limit == Limit::ResponseHead),
    }
}
