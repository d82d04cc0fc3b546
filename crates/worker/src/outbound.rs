//! The way out: engines open no sockets, they ask this.

use crate::{
    BindingError, ConnectError, ConnectErrorKind, ConnectRequest, Connection, EventContext, NameError, NameErrorKind,
    NameQuestion, NameRecord, Request, Response, ServiceStub,
};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// The most redirects that are followed (Fetch Standard, "HTTP-redirect fetch").
pub const REDIRECTS_MAX: u32 = 20;

/// The network as a worker may use it.
#[async_trait]
pub trait Outbound: Send + Sync + 'static {
    /// Fetches over the network. Returns once the response's head is there; the body streams. Dropping the future or the
    /// body cancels. With `request.head.upgrade_websocket` a 101 carries [`Response::websocket`].
    async fn fetch(&self, ctx: &EventContext, request: OutboundRequest) -> Result<Response, BindingError>;

    /// Opens a raw connection. Dropping the future cancels. A network that has only `fetch` keeps this one, which denies.
    async fn connect(&self, _ctx: &EventContext, request: ConnectRequest) -> Result<Connection, ConnectError> {
        let message = format!(
            "connect to {}:{} is not allowed: this network has no raw connections",
            request.host, request.port
        );
        Err(ConnectError::new(ConnectErrorKind::Denied, message))
    }

    /// Answers a question about a name; never with nothing. Dropping the future cancels. A network that has only `fetch` keeps
    /// this one, which refuses.
    async fn resolve(&self, _ctx: &EventContext, question: NameQuestion) -> Result<Vec<NameRecord>, NameError> {
        let message = format!("{}: this network answers no questions about names", question.name);
        Err(NameError::new(NameErrorKind::Refused, message))
    }
}

/// Where a worker's global `fetch` and `connect` go.
#[derive(Debug, Clone, Default)]
pub enum OutboundRoute {
    /// Through the worker's [`Outbound`].
    #[default]
    Network,
    /// Nowhere: they throw.
    Denied,
    /// To an entrypoint of another worker, which sees the requests in place of the network.
    Service(ServiceStub),
}

/// An outgoing request.
#[derive(Debug)]
pub struct OutboundRequest {
    /// The request; its URL is `http:` or `https:` in the URL Standard's normal form, without credentials or fragment.
    pub request: Request,
    /// What to do with a redirect.
    pub redirect: Redirect,
    /// Redirects that are followed, at most [`REDIRECTS_MAX`]: each is a sub-request of the event. The one after the last of
    /// fewer is the response.
    pub redirects_max: u32,
}

/// The Fetch Standard's redirect modes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Redirect {
    /// Follow up to [`REDIRECTS_MAX`], by the Fetch Standard's rules for methods, bodies and the headers that stay behind.
    #[default]
    Follow,
    /// Return the redirect itself.
    Manual,
    /// Fail.
    Error,
}
