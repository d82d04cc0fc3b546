//! How requests find workers: routes, custom domains, hosts; and when workers run by themselves: cron expressions.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `PUT` and `GET /v1/accounts/{account}/workers/{worker}/crons`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Crons {
    /// Cron expressions of five fields, minutes first, UTC.
    pub crons: Vec<String>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Route {
    /// Its id: 32 hexadecimal digits.
    pub id: String,
    /// Its pattern in its one spelling: `HOST/PATH`, the host may begin with `*`, the path may end with it.
    pub pattern: String,
    /// The worker; none: no worker, whatever a wider pattern says.
    pub worker: Option<String>,
}

/// `PUT /v1/accounts/{account}/workers/{worker}/routes`: these are the worker's routes, and no others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRoutes {
    /// Patterns.
    pub patterns: Vec<String>,
}

/// `POST /v1/accounts/{account}/routes`: adds a route, or points one of the account's at another worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoute {
    /// The pattern.
    pub pattern: String,
    /// The worker; none: no worker, whatever a wider pattern says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
}

/// A custom domain: all requests of a host are one worker's, unless a route takes some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Domain {
    /// Its id: 32 hexadecimal digits.
    pub id: String,
    /// The host name, in lower case, without a trailing dot.
    pub name: String,
    /// The worker.
    pub worker: String,
}

/// `PUT /v1/accounts/{account}/domains/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutDomain {
    /// The worker.
    pub worker: String,
}

/// A host that an account has claimed: with its first route or domain below it, or because the operator gave it. Other accounts
/// have no routes there, but its guests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Host {
    /// The name: `example.com` stands for itself and all names below. `*`: all hosts that nobody has claimed.
    pub name: String,
    /// Whose it is.
    pub account: String,
    /// Accounts that may have routes and domains there, too.
    pub guests: Vec<String>,
    /// Since when.
    pub created_ms: u64,
}

/// `PUT /v1/accounts/{account}/hosts/{host}`: claims a host (the platform's own tokens may take it from another account, and
/// may give `*`), and says who is a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutHost {
    /// Accounts that may have routes and domains there, too: at most 100.
    #[serde(default)]
    pub guests: Vec<String>,
}
