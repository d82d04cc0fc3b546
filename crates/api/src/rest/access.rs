//! Who may do what, and who did: tokens, roles, the audit log.

use atoll_model::Permissions;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// `GET /v1/identity`: whom the token of the request stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    /// The token's id.
    pub token: String,
    /// The account that it is for; none: all of them (the platform's own).
    pub account: Option<String>,
    /// What it may do: `worker:write`, `*:read`, `secret:write@shop` and so on.
    #[schema(value_type = Vec<String>)]
    pub permissions: Permissions,
}

/// What is told of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its public half.
    pub id: String,
    /// The account that it is for; none: all of them.
    pub account: Option<String>,
    /// A name for people.
    pub name: String,
    /// The role that says what it may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What it may do, if no role says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub permissions: Option<Permissions>,
    /// When it was made.
    pub created_ms: u64,
    /// When it ends.
    pub expires_ms: Option<u64>,
    /// When it was used last, to about a minute.
    pub used_ms: Option<u64>,
    /// When it was revoked.
    pub revoked_ms: Option<u64>,
}

/// `POST /v1/tokens`. Nobody can give more than they have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// The account that it is for. Not named: that of the request's own token; for the platform's own tokens: all accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// A name for people, at most 1,000 bytes.
    pub name: String,
    /// A role of the account. Either this or `permissions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What it may do: 1 to 64 of `resource:action[@worker]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub permissions: Option<Permissions>,
    /// In how many seconds it ends; not named: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
}

/// A token that was just made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewTokenMade {
    /// What is known of it.
    pub token: Token,
    /// The token itself, shown this once. None in the answer to a repeated request: the token was shown then.
    pub secret: Option<String>,
}

impl std::fmt::Debug for NewTokenMade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewTokenMade({:?}, ..)", self.token)
    }
}

/// Whose tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TokensQuery {
    /// The account; not named: that of the request's own token, for the platform's own tokens the platform's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// A role: permissions with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// What it may do.
    #[schema(value_type = Vec<String>)]
    pub permissions: Permissions,
}

/// `PUT /v1/accounts/{account}/roles/{role}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutRole {
    /// What it may do: 1 to 64 of `resource:action[@worker]`.
    #[schema(value_type = Vec<String>)]
    pub permissions: Permissions,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Counts up from 1, over all accounts.
    pub number: u64,
    /// When.
    pub time_ms: u64,
    /// Who: `token:ID`, `operator`, `system:PART`.
    pub actor: String,
    /// The account that it happened in; none: the platform.
    pub account: Option<String>,
    /// What was done: `worker.deploy` and so on.
    pub action: String,
    /// To what.
    pub target: String,
    /// More.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
    /// SHA-256 over the entry and the hash of the one before it.
    pub hash: String,
}

/// Which way a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the oldest entry on.
    Asc,
    /// From the newest entry back.
    Desc,
}

/// Which part of the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Of one account; not named: that of the request's own token, for the platform's own tokens all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Entries behind this number, in the direction that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Which way the log is read; `asc` if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub direction: Option<Direction>,
    /// The most items: 1 to 1,000; 100 if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// `POST /v1/audit/verify`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyAudit {
    /// Places that were kept elsewhere, `NUMBER:HASH`, at most 1,000: only they find a log that was rewritten with its own end.
    #[serde(default)]
    pub kept: Vec<String>,
}

/// Whether the audit log is what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditVerdict {
    /// It is, as far as can be told.
    pub intact: bool,
    /// Its last place, `NUMBER:HASH`: keep it elsewhere. None if it is broken.
    pub head: Option<String>,
    /// Where it is broken.
    pub broken: Option<String>,
}
