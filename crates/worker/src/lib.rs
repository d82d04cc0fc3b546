//! The waist: what crosses between the front (HTTP, triggers), the engines that run workers and the stores.
//!
//! It says one thing: *run this event, for this worker, under these limits, with these bindings*. The front knows no
//! engine, an engine knows no store and opens no socket, a store knows neither HTTP nor JavaScript. Everything here is
//! `Send`. Messages (heads, KV requests, faults, log records) are plain data with a codec ([`wire`]); streams
//! ([`body::Body`]), sockets ([`socket::WebSocketEnd`]) and capabilities are channel ends, which a process boundary can
//! carry as channel ids with credit. So an engine can later live in a child process without a change on either side.
//!
//! Invariants:
//! - whoever is given a [`Reply`] answers it exactly once; dropping it answers with [`FaultKind::Internal`];
//! - a body whose sender goes away without [`body::BodySender::finish`] ends with an error, never as if complete;
//! - cancellation travels down as [`EventContext::cancel`] and up as a dropped receiver; neither loses an acknowledged
//!   write.

pub mod analytics;
pub mod answer;
mod backlog;
pub mod binding;
pub mod body;
pub mod cache;
mod cancel;
pub mod client;
pub mod code_cache;
pub mod connection;
pub mod context;
pub mod engine;
pub mod event;
pub mod fault;
pub mod foreign;
pub mod gauge;
pub mod inspect;
pub mod kv;
pub mod limit;
pub mod loader;
pub mod log;
pub mod names;
pub mod outbound;
pub mod rate_limit;
pub mod rpc;
pub mod service;
pub mod socket;
pub mod start;
pub mod trace;
mod usage;
pub mod wakes;
pub mod wire;

pub use analytics::{AnalyticsDataset, DataPoint};
pub use answer::{AnswerReceiver, AnswerSink, Reply, ReplyInstead};
pub use binding::{Binding, BindingError, BindingErrorKind, Environment, Fetcher};
pub use body::{Body, BodyError, BodyReceiver, BodySender, Frame, Piece};
pub use cache::{CacheKey, ResponseCache};
pub use cancel::Cancel;
pub use client::ClientInfo;
pub use code_cache::{CodeCache, CodeKey};
pub use connection::{ConnectError, ConnectErrorKind, ConnectRequest, Connection, SecureTransport, StartTls};
pub use context::{EventContext, VersionChoice};
pub use engine::{Dispatch, Dispatched, Engine, Instance, InstanceState, Interrupt, Job, Prepared};
pub use event::{Event, Export, Outcome, Request, RequestHead, Response, ResponseHead, ScheduledEvent};
pub use fault::{Fault, FaultKind, Frame as StackFrame, JsException};
pub use foreign::{Foreign, Place};
pub use gauge::{CpuGauge, HelperClock, ReadCpu};
pub use inspect::{Inspections, Inspector, InspectorPeer, InspectorSession, InspectorTarget, InspectorTargets};
pub use kv::{KvEntry, KvKey, KvList, KvListOptions, KvNamespace, KvPut};
pub use limit::{LimitCounts, LimitHit};
pub use loader::{ClonedValue, CodeAsk, CodeSink, WorkerCode, WorkerLoader};
pub use log::{LogLevel, LogRecord, LogSink};
pub use names::{NameData, NameError, NameErrorKind, NameKind, NameQuestion, NameRecord};
pub use outbound::{Outbound, OutboundRequest, OutboundRoute, Redirect};
pub use rate_limit::{RateLimitAsk, RateLimiter};
pub use rpc::{RpcChannel, RpcLink, RpcMessage};
pub use service::{Entry, Props, Service, ServiceStub};
pub use socket::{WebSocketEnd, WsMessage};
pub use start::{StartKind, StartNote};
pub use trace::{OpenSpan, Span, SpanKind, SpanPlace, SpanValue, TraceContext, Tracer};
pub use usage::{Held, RouteCpu, RouteNumber, Usage};
pub use wakes::Wakes;
