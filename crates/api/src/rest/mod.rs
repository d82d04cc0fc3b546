//! The types of the REST API under `/v1`: what a request says and what an answer says. The control plane and the command line
//! both use these; the OpenAPI document (`/v1/openapi.json`) is made of them.
//!
//! Everywhere:
//! - times are milliseconds since the Unix epoch, sizes are bytes, shares are percent with at most two decimals;
//! - an unknown field of a request is refused, one of an answer is passed over by clients: so answers may grow;
//! - a list is a [`Page`]; its `next` goes into the next request's `after`;
//! - an error is an [`ErrorBody`], whatever its status;
//! - a change may carry [`IDEMPOTENCY_KEY`]: sent again within a day it does nothing and answers the same, with [`REPLAYED`];
//! - the answer to a change says in [`REVISION`] which revision of the edge configuration holds it.

mod access;
mod accounts;
mod addresses;
mod data;
mod deployments;
mod fleet;
mod telemetry;
mod workers;

pub use access::*;
pub use accounts::*;
pub use addresses::*;
pub use data::*;
pub use deployments::*;
pub use fleet::*;
pub use telemetry::*;
pub use workers::*;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The request field that names a request, so that it is done once: 1 to 255 bytes.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The answer's field that says `true` if the change was made by an earlier request of the same key.
pub const REPLAYED: &str = "idempotency-replayed";
/// The answer's field with the revision of the edge configuration that holds the change.
pub const REVISION: &str = "atoll-revision";
/// The answer's field that names the request in the control plane's log. Of a request: taken over if it is 1 to 64 letters,
/// digits, `-` and `_`.
pub const REQUEST_ID: &str = "x-request-id";
/// Of a KV value: its metadata, JSON. In answers and in requests that put one.
pub const KV_METADATA: &str = "atoll-kv-metadata";
/// Of a KV value: when it ends, seconds since the Unix epoch.
pub const KV_EXPIRATION: &str = "atoll-kv-expiration";

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What is wrong.
    pub error: ErrorDetail,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// For programs: `not_found`, `invalid`, `forbidden`, `unauthenticated`, `exists`, `conflict`, `quota`, `key_reused`,
    /// `too_large`, `too_many_requests`, `preflight`, `missing_blobs`, `no_pops`, `not_leading`, `unavailable`, `timeout`,
    /// `internal`.
    pub code: String,
    /// For people: what failed, on what.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// With `missing_blobs`: the SHA-256 of what has to be uploaded first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// With `not_leading`: where the control plane is that leads, if it is known: `https://control.example.com:7070`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// In the list's order.
    pub items: Vec<T>,
    /// What `after` has to be for the next part; none: this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// [`Page::next`] of the part before; none: from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The most items: 1 to 1,000; 100 if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A change that has nothing more to say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Empty {}
