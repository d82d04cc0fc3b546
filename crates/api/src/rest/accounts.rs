//! Accounts: `/v1/accounts`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// Its id: 1 to 63 lower-case letters, digits and `-`.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Its workers are not run.
    pub suspended: bool,
    /// The label of its workers' addresses, `WORKER.LABEL.DOMAIN`; none before it is chosen.
    pub subdomain: Option<String>,
    /// Quotas and limits that differ from the default, by key.
    pub bounds: BTreeMap<String, u64>,
}

/// `POST /v1/accounts`. The platform's own tokens alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Its id: 1 to 63 lower-case letters, digits and `-`.
    pub id: String,
    /// Its name, for people, at most 1,000 bytes.
    pub name: String,
}

/// `PATCH /v1/accounts/{account}`: what is not named stays. All of it in one change. `suspended` and `bounds` are for the
/// platform's own tokens alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeAccount {
    /// Stop its workers, or let them run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
    /// The label of its workers' addresses: 1 to 63 lower-case letters, digits and `-`, with no `-` at its ends. One account's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<String>,
    /// Quotas and limits by key; `null` gives the default back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bounds: BTreeMap<String, Option<u64>>,
}
