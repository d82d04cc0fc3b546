//! The way out: what a worker's `fetch` reaches of the network, and how.
//!
//! [`Egress`] implements [`Outbound`]: an HTTP/1.1 and HTTP/2 client with TLS, redirects by the Fetch Standard, streaming
//! in both directions, content decoding, outgoing WebSockets and raw connections. Every name is resolved here and every address judged by
//! an [`AddressPolicy`] before a connection goes to exactly that address, at every redirect again. A worker may have rules of
//! its own: [`Egress::for_worker`].
//!
//! Sockets live on the runtime given in [`EgressOptions::runtime`]; callers may be on threads without an I/O driver.
//! Each fetch is one task there, a member of [`EgressOptions::tasks`]. Dropping the caller's future, the response's body
//! or the WebSocket's end ends the task and closes the exchange. [`EventContext::cancel`] is not watched: work given to
//! `waitUntil` outlives the client, so whoever owns the future decides.
//!
//! What a peer sends never panics and never grows without bound; what it withholds runs into a deadline of [`limits`].

mod address;
mod connect;
mod decode;
mod download;
mod error;
mod exchange;
mod fetch;
mod headers;
pub mod limits;
mod names;
mod own;
mod policy;
mod pool;
mod raw;
mod redirect;
mod resolve;
mod tls;
mod upload;
mod websocket;

pub use atoll_model::{AddressEntry, AddressEntryError};
pub use error::EgressError;
pub use limits::Timeouts;
pub use own::{Listeners, OwnAddresses};
pub use policy::AddressPolicy;
pub use resolve::{Resolve, SystemResolver};
pub use tls::TlsRoots;

use crate::connect::Connector;
use crate::exchange::{Caller, Exchange};
use crate::fetch::Fetch;
use crate::names::Names;
use crate::pool::Pool;
use async_trait::async_trait;
use atoll_model::OutboundRules;
use atoll_stdx::TaskGroup;
use atoll_worker::{
    BindingError, ConnectError, ConnectErrorKind, ConnectRequest, Connection, EventContext, NameError, NameErrorKind,
    NameQuestion, NameRecord, Outbound, OutboundRequest, Response,
};
use http::HeaderValue;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How the network is used.
pub struct EgressOptions {
    /// Which addresses may be reached, by workers that have no rules of their own.
    pub allow: AddressPolicy,
    /// Sent as `User-Agent` by requests that set none; without it they have none.
    pub user_agent: Option<HeaderValue>,
    /// Finds addresses.
    pub resolver: Arc<dyn Resolve>,
    /// Which servers are asked for records of names; `None`: those of `/etc/resolv.conf`.
    pub name_servers: Option<Vec<SocketAddr>>,
    /// Trusted authorities.
    pub roots: TlsRoots,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Connections that may be open at once.
    pub connections_max: usize,
    /// Decode `Content-Encoding` of responses, and ask for it in requests that do not say what they accept.
    pub decode: bool,
    /// Where sockets live: a runtime with an I/O driver and time.
    pub runtime: Handle,
    /// Owns every task. When its drain starts idle connections close, and none is kept any more.
    pub tasks: TaskGroup,
}

impl EgressOptions {
    /// The defaults: the machine's resolver, the Mozilla roots, the deadlines and bounds of [`limits`], decoding.
    pub fn new(allow: AddressPolicy, runtime: Handle, tasks: TaskGroup) -> Self {
        Self {
            allow,
            user_agent: None,
            resolver: Arc::new(SystemResolver::default()),
            name_servers: None,
            roots: TlsRoots::default(),
            timeouts: Timeouts::default(),
            connections_max: limits::CONNECTIONS_MAX,
            decode: true,
            runtime,
            tasks,
        }
    }
}

/// The network, as workers may use it. All that come of one [`Egress::new`] share resolver, connections and bounds.
pub struct Egress {
    fetch: Arc<Fetch>,
    names: Arc<Names>,
    policy: Arc<AddressPolicy>,
    runtime: Handle,
    tasks: TaskGroup,
}

impl Egress {
    /// A client with an empty pool.
    pub fn new(options: EgressOptions) -> Arc<Self> {
        let EgressOptions {
            allow,
            user_agent,
            resolver,
            name_servers,
            roots,
            timeouts,
            connections_max,
            decode,
            runtime,
            tasks,
        } = options;
        let pool = Pool::new(timeouts.idle);
        {
            let _guard = runtime.enter();
            tasks.spawn(sweep(Arc::downgrade(&pool), timeouts.idle, tasks.clone()));
        }
        let connector = Connector::new(&roots, connections_max, timeouts, tasks.clone());
        let exchange = Exchange {
            resolver,
            connector,
            pool,
            timeouts,
        };
        let defaults = headers::Defaults {
            user_agent,
            accept_encoding: decode,
        };
        Arc::new(Self {
            fetch: Arc::new(Fetch {
                exchange,
                defaults,
                decode,
            }),
            names: Arc::new(Names::new(name_servers)),
            policy: Arc::new(allow),
            runtime,
            tasks,
        })
    }

    /// The same network under the rules of one worker: [`AddressPolicy::for_worker`].
    pub fn for_worker(&self, rules: &OutboundRules) -> Arc<Self> {
        Arc::new(Self {
            fetch: self.fetch.clone(),
            names: self.names.clone(),
            policy: Arc::new(self.policy.for_worker(rules)),
            runtime: self.runtime.clone(),
            tasks: self.tasks.clone(),
        })
    }

    fn caller(&self, ctx: &EventContext) -> Caller {
        Caller {
            tenant: ctx.tenant.clone(),
            policy: self.policy.clone(),
        }
    }
}

#[async_trait]
impl Outbound for Egress {
    async fn fetch(&self, ctx: &EventContext, request: OutboundRequest) -> Result<Response, BindingError> {
        let (reply, answer) = oneshot::channel();
        {
            let _guard = self.runtime.enter();
            self.tasks
                .spawn(self.fetch.clone().run(self.caller(ctx), request, reply));
        }
        match answer.await {
            Ok(answer) => answer,
            // The runtime was shut down, or the task panicked and was reported by the runtime.
            Err(_) => Err(BindingError::unavailable("the network is shutting down")),
        }
    }

    async fn connect(&self, _ctx: &EventContext, request: ConnectRequest) -> Result<Connection, ConnectError> {
        let (reply, answer) = oneshot::channel();
        {
            let _guard = self.runtime.enter();
            self.tasks
                .spawn(raw::run(self.fetch.clone(), self.policy.clone(), request, reply));
        }
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(ConnectError::new(
                ConnectErrorKind::Failed,
                "the network is shutting down",
            )),
        }
    }

    async fn resolve(&self, _ctx: &EventContext, question: NameQuestion) -> Result<Vec<NameRecord>, NameError> {
        let (mut reply, answer) = oneshot::channel();
        {
            let _guard = self.runtime.enter();
            let (names, fetch, policy) = (self.names.clone(), self.fetch.clone(), self.policy.clone());
            self.tasks.spawn(async move {
                let answered = tokio::select! {
                    answered = names.answer(&fetch.exchange, &policy, &question) => answered,
                    () = reply.closed() => return,
                };
                drop(reply.send(answered));
            });
        }
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(NameError::new(
                NameErrorKind::Unreachable,
                "the network is shutting down",
            )),
        }
    }
}

/// Closes idle connections in time, all of them when the group drains. Ends with the pool.
async fn sweep(pool: Weak<Pool>, idle: Duration, tasks: TaskGroup) {
    let stopping = tasks.stopping();
    drop(tasks);
    let mut tick = tokio::time::interval((idle / 4).max(Duration::from_millis(10)));
    loop {
        tokio::select! {
            _ = tick.tick() => match pool.upgrade() {
                Some(pool) => drop(pool.sweep()),
                None => return,
            },
            () = stopping.cancelled() => {
                if let Some(pool) = pool.upgrade() {
                    pool.close();
                }
                return;
            }
        }
    }
}
