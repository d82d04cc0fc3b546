//! The HTTP front: listeners, TLS, HTTP/1.1 and HTTP/2, and the phases of a request.
//!
//! ```text
//! listener -> tls -> protocol -> identify -> route -> assets -> dispatch (worker::Dispatch) -> respond -> log
//! ```
//!
//! It knows no engine and no store: what runs a worker is behind [`atoll_worker::Dispatch`], what stands behind a host
//! behind [`Sites`]. Statuses are chosen here and nowhere else.
//!
//! Invariants:
//! - bytes from a client never panic; what is malformed or ambiguous is answered with 4xx and the connection closed;
//! - bodies stream both ways with bounded memory: a slow reader makes its writer wait, whichever side it is;
//! - a client that goes away cancels its event, and a body that broke off never looks complete;
//! - a stop loses no request that was being answered, unless its grace runs out;
//! - every limit and deadline is a named one of [`limits`].

pub mod assets;
mod beside;
mod body;
mod connection;
mod direct;
mod encode;
mod error;
mod fault;
mod front;
mod geo;
mod handover;
mod headscan;
mod identify;
pub mod inspector;
mod io;
pub mod limits;
mod listener;
mod log;
mod options;
mod page;
mod protocol;
mod respond;
mod route;
mod site;
mod tls;
mod trace;
mod triggers;
mod upload;
mod websocket;

pub use error::EdgeError;
pub use fault::absent_worker;
pub use geo::{GeoDatabases, GeoError};
pub use inspector::{InspectorServer, devtools_url};
pub use limits::EdgeLimits;
pub use listener::{Edge, EdgeHandle, EdgeStats};
pub use log::{AccessLog, AccessRecord, STATUS_CLIENT_GONE};
pub use options::{EdgeOptions, ErrorDetail, Homes, Places, TlsOptions, Tracing};
pub use route::{VERSION_KEY_BYTES_MAX, VERSION_KEY_HEADER, version_key};
pub use site::{Asked, Found, Led, Lookup, Site, SiteFailure, Sites, Soon};
