//! Stored data: namespaces and what is in them, `/v1/accounts/{account}/namespaces`.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A namespace of stored data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Namespace {
    /// Its id, which bindings name: 32 hexadecimal digits.
    pub id: String,
    /// What kind of data: `kv`.
    pub kind: String,
    /// Its title, for people; unique among the account's of its kind.
    pub title: String,
    /// When it was made.
    pub created_ms: u64,
}

/// `POST /v1/accounts/{account}/namespaces`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNamespace {
    /// Its title, at most 1,000 bytes.
    pub title: String,
    /// What kind of data: `kv` if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// `PATCH /v1/accounts/{account}/namespaces/{namespace}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameNamespace {
    /// Its new title, at most 1,000 bytes.
    pub title: String,
}

/// Which keys of a namespace are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct KeysQuery {
    /// What they begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// [`super::Page::next`] of the part before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The most keys: 1 to 1,000; 1,000 if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A key of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KvKey {
    /// The key.
    pub name: String,
    /// When it ends, seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<u64>,
    /// What was stored beside the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Value>,
}

/// How a value is put.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PutValueQuery {
    /// When it ends, seconds since the Unix epoch: at least 60 s from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<u64>,
    /// In how many seconds it ends: at least 60. Not together with `expiration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_ttl: Option<u64>,
}

/// `POST /v1/accounts/{account}/namespaces/{namespace}/values`: many edits at once, accepted whole or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KvEdits {
    /// Values to put; with `delete` at most 10,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub put: Vec<KvPut>,
    /// Keys to remove.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delete: Vec<String>,
}

/// A value to put.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KvPut {
    /// The key: 1 to 512 bytes.
    pub key: String,
    /// The value; with `base64` its bytes in base64.
    pub value: String,
    /// `value` is base64.
    #[serde(default)]
    pub base64: bool,
    /// When it ends, seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<u64>,
    /// In how many seconds it ends. Not together with `expiration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_ttl: Option<u64>,
    /// What is stored beside it: at most 1,024 bytes of JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Value>,
}

/// An edit of stored data is durable in the control plane, and on its way to the PoPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KvAccepted {
    /// Its place among all edits that came through the API: PoPs apply them in this order, each once.
    pub position: u64,
}
