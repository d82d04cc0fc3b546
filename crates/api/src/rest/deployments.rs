//! Deployments, going back, and aliases: `/v1/accounts/{account}/workers/{worker}/deployments`, `/rollback`, `/aliases`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A version and its share of the requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionShare {
    /// The version's id.
    pub version: String,
    /// Percent, above 0 and with at most two decimals.
    pub percent: f64,
}

/// `POST /v1/accounts/{account}/workers/{worker}/deployments`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDeployment {
    /// Who is to serve: 1 to 8 versions, 100 % in all. Their order matters for those who come with a sticky key: a version whose
    /// share grows keeps whom it had if it stands first.
    pub versions: Vec<VersionShare>,
    /// A message for people, at most 1,000 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Everywhere at once, without a canary; the versions are still started once on every PoP before they serve.
    #[serde(default)]
    pub immediate: bool,
    /// Where it came from: `cli`, `wrangler`, `api` and so on. `api` if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The deployment that is to be replaced: if another one serves by now, nothing is done and the answer is 409.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

/// `POST /v1/accounts/{account}/workers/{worker}/rollback`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The version to go back to; none: what served before the deployment that serves now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A message for people, at most 1,000 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Everywhere at once, without a canary. True if it is not said: who goes back is in a hurry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immediate: Option<bool>,
    /// Where it came from. `api` if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The deployment that is to be replaced: if another one serves by now, nothing is done and the answer is 409.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

/// Why there is a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentKind {
    /// Somebody asked for it.
    Deploy,
    /// Somebody went back to what was there before.
    Rollback,
    /// A health gate went back to what was there before.
    AutomaticRollback,
    /// A secret got a new value.
    Secret,
}

/// A deployment. The one with the greatest number is what the account wants; its rollout says where it has come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Deployment {
    /// Its id: a UUID.
    pub id: String,
    /// Counts up within the worker; the greatest serves.
    pub number: u64,
    /// Why it is there.
    pub kind: DeploymentKind,
    /// When it was made.
    pub created_ms: u64,
    /// Who made it.
    pub author: String,
    /// Where it came from.
    pub source: String,
    /// A message for people.
    pub message: Option<String>,
    /// Without a canary.
    pub immediate: bool,
    /// Who serves.
    pub versions: Vec<VersionShare>,
    /// Where the worker is reached below the platform's domains. Of the answer to a deployment alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// How far it is. Of `GET .../deployments/{deployment}` and of the answer to a deployment, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
}

/// Where a deployment is on its way to the PoPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// The canary (without one: every PoP) starts its versions once.
    Probing,
    /// It serves on the canary, which is being watched.
    Baking,
    /// It is on its way to all PoPs.
    Rolling,
    /// Every PoP that is alive serves it.
    Live,
    /// It was taken back; `reason` says why.
    RolledBack,
    /// Another deployment came before it was live.
    Superseded,
}

impl RolloutState {
    /// Nothing more will happen to it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Live | Self::RolledBack | Self::Superseded)
    }
}

/// How far a deployment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rollout {
    /// Where it is.
    pub state: RolloutState,
    /// Too few requests came while it was watched: only starts and crashes were judged.
    pub unproven: bool,
    /// The PoP that it is (or was) watched on; none: without a canary, or before one is chosen.
    pub canary: Option<String>,
    /// Requests that the canary answered with it.
    pub requests: u64,
    /// How many of them went wrong: exceptions, limits, crashes and answers of 5xx.
    pub errors: u64,
    /// Why it was taken back, or what it waits for.
    pub reason: Option<String>,
    /// Since when it is in this state.
    pub since_ms: u64,
    /// How many PoPs serve it.
    pub pops: RolloutPops,
}

/// How many PoPs serve a deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RolloutPops {
    /// Those that have it.
    pub applied: u32,
    /// Those that are alive.
    pub total: u32,
}

/// A name for one version, or for two with shares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alias {
    /// Its name: 1 to 63 lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Who serves.
    pub versions: Vec<VersionShare>,
    /// Where it is reached.
    pub urls: Vec<String>,
}

/// `PUT /v1/accounts/{account}/workers/{worker}/aliases/{alias}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutAlias {
    /// One version, or two with shares, 100 % in all.
    pub versions: Vec<VersionShare>,
}
