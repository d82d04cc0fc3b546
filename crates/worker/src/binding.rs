//! The live side of a worker's `env`: capabilities, each behind a small trait.

use crate::analytics::AnalyticsDataset;
use crate::cache::ResponseCache;
use crate::connection::ConnectErrorKind;
use crate::kv::KvNamespace;
use crate::loader::{ClonedValue, WorkerLoader};
use crate::log::LogSink;
use crate::outbound::{Outbound, OutboundRoute};
use crate::rate_limit::RateLimiter;
use crate::{EventContext, Request, Response, ServiceStub};
use async_trait::async_trait;
use atoll_model::UnbuiltBinding;
use atoll_stdx::Clock;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One entry of `env`.
#[derive(Clone)]
pub enum Binding {
    /// A string; secrets too.
    Text(String),
    /// A JSON value, serialized.
    Json(String),
    /// A KV namespace.
    Kv(Arc<dyn KvNamespace>),
    /// Something with a `fetch` method: the worker's assets, another service.
    Fetcher(Arc<dyn Fetcher>),
    /// A rate limit.
    RateLimit(Arc<dyn RateLimiter>),
    /// An Analytics Engine dataset.
    Analytics(Arc<dyn AnalyticsDataset>),
    /// A secret of a secrets store, read by its `get`; `None` where the store does not have it.
    StoreSecret {
        /// Its name in the store.
        name: String,
        /// Its value.
        value: Option<String>,
    },
    /// An entrypoint of a worker: fetch and RPC.
    Service(ServiceStub),
    /// Starts workers from code.
    Loader(Arc<dyn WorkerLoader>),
    /// A value that another worker gave.
    Cloned(ClonedValue),
    /// Configured, but its part of the platform is not built: each use throws an error that names it.
    Unbuilt(UnbuiltBinding),
}

/// Everything an isolate may reach.
#[derive(Clone)]
pub struct Environment {
    /// `env`, in configuration order.
    pub bindings: Vec<(String, Binding)>,
    /// The way out for the global `fetch`.
    pub outbound: Arc<dyn Outbound>,
    /// Whether the global `fetch` and `connect` go there at all.
    pub outbound_route: OutboundRoute,
    /// This worker as it calls itself: `ctx.exports`.
    pub own: ServiceStub,
    /// What `caches` stores in.
    pub cache: Arc<dyn ResponseCache>,
    /// Where `console` goes.
    pub logs: Arc<dyn LogSink>,
    /// The wall clock that `Date.now` shows.
    pub clock: Arc<dyn Clock>,
}

/// A binding with a `fetch` method.
#[async_trait]
pub trait Fetcher: Send + Sync + 'static {
    /// Answers a request. Redirects are not followed here.
    async fn fetch(&self, ctx: &EventContext, request: Request) -> Result<Response, BindingError>;
}

/// Why a binding's operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct BindingError {
    /// The kind; the engine chooses the exception's class by it.
    pub kind: BindingErrorKind,
    /// What failed and why, in the words of the platform the developer knows.
    pub message: String,
}

/// Kinds of [`BindingError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BindingErrorKind {
    /// The arguments are wrong (`TypeError`).
    InvalidArgument,
    /// The request breaks a limit or a rule of the store (`Error`, with the platform's status in the message).
    Rejected,
    /// The store or the other side failed (`Error`); trying again may work.
    Unavailable,
    /// The network did (`Error`), for this reason.
    Network(ConnectErrorKind),
    /// Cancelled with its event.
    Canceled,
}

impl BindingError {
    /// The arguments are wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self {
            kind: BindingErrorKind::InvalidArgument,
            message: message.into(),
        }
    }

    /// The request breaks a limit or rule.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self {
            kind: BindingErrorKind::Rejected,
            message: message.into(),
        }
    }

    /// The network failed, or a rule forbids it.
    pub fn network(kind: ConnectErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind: BindingErrorKind::Network(kind),
            message: message.into(),
        }
    }

    /// The store or the other side failed.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self {
            kind: BindingErrorKind::Unavailable,
            message: message.into(),
        }
    }
}
