//! Workers, blobs and versions: `/v1/accounts/{account}/workers`, `/v1/accounts/{account}/blobs`.

use super::Deployment;
use atoll_model::Manifest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    /// Its name: 1 to 63 lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Tells it from another of that name that was there before or after: 32 hexadecimal digits.
    pub tag: String,
    /// When it was made.
    pub created_ms: u64,
    /// Is it reached at its name below the platform's own domain?
    pub subdomain: bool,
    /// Are its versions reached at addresses of their own?
    pub previews: bool,
    /// Where it is reached below the platform's domains; routes and custom domains are besides. Empty without `subdomain`, and
    /// before the account has chosen its own.
    pub urls: Vec<String>,
    /// The deployment that serves. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Deployment>,
}

/// `PATCH /v1/accounts/{account}/workers/{worker}`: what is not named stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeWorker {
    /// Is it reached at its name below the platform's own domain?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<bool>,
    /// Are its versions reached at addresses of their own?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previews: Option<bool>,
}

/// `POST /v1/accounts/{account}/blobs/missing`: which of these are to be uploaded?
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlobsWanted {
    /// SHA-256 of each, 64 lower-case hexadecimal digits; at most 10,000 at a time.
    pub hashes: Vec<String>,
}

/// The answer to [`BlobsWanted`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobsMissing {
    /// Those that are not there, each once, in the order of the question.
    pub missing: Vec<String>,
}

/// The answer to `PUT /v1/accounts/{account}/blobs/{hash}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobStored {
    /// Its SHA-256.
    pub hash: String,
    /// Its bytes.
    pub size: u64,
}

/// `POST /v1/blobs/collect`: removes blobs that no version needs any more. The control plane does so by itself every few hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CollectBlobs {
    /// Only say what would be removed.
    #[serde(default)]
    pub dry_run: bool,
    /// For how long nothing must have needed a blob, seconds: at least 3,600; a day if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_s: Option<u64>,
}

/// What a collection did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobsCollected {
    /// Blobs that versions need, their manifests included.
    pub needed: u64,
    /// Blobs of the store.
    pub found: u64,
    /// Blobs that nothing needs: they go once that has been so for the grace.
    pub orphans: u64,
    /// Blobs that were removed; in a dry run: that would have been.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
}

/// `POST /v1/accounts/{account}/workers/{worker}/versions`: a version, whose blobs are uploaded already. The first one of a name
/// makes the worker. It is tried before it is stored: it must start within its limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVersion {
    /// What it consists of. `account` and `worker` are those of the path, whatever it says.
    #[schema(value_type = Object)]
    pub manifest: Manifest,
    /// New values of secrets by name; `null` removes one that would be kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Option<String>>,
    /// Which secrets it has of the newest version before it: all, none, or those of these names. All if it is not said.
    #[serde(default)]
    pub keep_secrets: KeepSecrets,
    /// A message for people, at most 1,000 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// A name for people, at most 1,000 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Where the upload came from: `cli`, `wrangler`, `api` and so on. `api` if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// Which secrets a version takes over from the newest one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum KeepSecrets {
    /// All or none.
    All(bool),
    /// Those of these names.
    Only(Vec<String>),
}

impl Default for KeepSecrets {
    fn default() -> Self {
        Self::All(true)
    }
}

/// A secret of a version: never its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretOfVersion {
    /// Its name, which is the binding's.
    pub name: String,
    /// Which of its values: counts up within the worker.
    pub revision: u64,
}

/// An immutable upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Its id: a UUID.
    pub id: String,
    /// Counts up within the worker.
    pub number: u64,
    /// The SHA-256 of its artifact's manifest.
    pub artifact: String,
    /// When it was made.
    pub created_ms: u64,
    /// Who uploaded it: `token:ID` and so on.
    pub author: String,
    /// Where the upload came from.
    pub source: String,
    /// A message for people.
    pub message: Option<String>,
    /// A name for people.
    pub tag: Option<String>,
    /// Bytes of its modules.
    pub code_bytes: u64,
    /// How long its start took when it was tried, milliseconds.
    pub startup_ms: Option<u64>,
    /// Its secrets: names, and which of their values.
    pub secrets: Vec<SecretOfVersion>,
    /// Where it is reached by itself, if the worker has `previews` (or the version serves) and it is among the newest.
    pub preview_urls: Vec<String>,
    /// What it exports: of the answer to its upload alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<Export>,
    /// What it consists of: of `GET .../versions/{version}` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub manifest: Option<Manifest>,
}

/// An export of a worker's main module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Export {
    /// Its name: `default` and so on.
    pub name: String,
    /// The handlers that it has: `fetch`, `scheduled` and so on.
    pub handlers: Vec<String>,
}

/// A secret of a worker's newest version: never its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// Its name, which is the binding's.
    pub name: String,
    /// Which of its values: counts up within the worker.
    pub revision: u64,
    /// When the value was set.
    pub created_ms: u64,
}

/// `PUT /v1/accounts/{account}/workers/{worker}/secrets/{name}`: makes a version that differs from the newest in this alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSecret {
    /// The value, at most the account's `secret_bytes_max`. Nobody can read it back.
    pub value: String,
    /// Have the new version serve at once, if the newest is the one that serves everybody; else the request is refused. True if
    /// it is not said.
    #[serde(default = "yes")]
    pub deploy: bool,
    /// A message for people, at most 1,000 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl std::fmt::Debug for PutSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { deploy, message, .. } = self;
        write!(f, "PutSecret(.., deploy {deploy}, {message:?})")
    }
}

fn yes() -> bool {
    true
}

/// How a secret is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SecretChangeQuery {
    /// As [`PutSecret::deploy`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<bool>,
}
