//! What a worker's configuration says it may reach. The live capability behind each is in `worker::Binding`.

use crate::NamespaceId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One entry of a worker's `env`, by name.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BindingSpec {
    /// A string from `vars`.
    Text {
        /// Its value.
        value: String,
    },
    /// Any other JSON value from `vars`.
    Json {
        /// Its value.
        value: serde_json::Value,
    },
    /// A string that is never shown (`.dev.vars`, `.env`, the secret store).
    Secret {
        /// Its value.
        value: String,
    },
    /// A KV namespace.
    Kv {
        /// Which one, within the tenant.
        namespace: NamespaceId,
    },
    /// An entrypoint of a worker, of this one or another of the tenant's.
    Service {
        /// The worker's name.
        service: String,
        /// The export; `None` for the default one.
        entrypoint: Option<String>,
        /// What the entrypoint sees as `ctx.props`.
        props: Option<serde_json::Value>,
    },
    /// The worker's own static assets.
    Assets,
    /// The version's identity: `{ id, tag, timestamp }`.
    VersionMetadata,
    /// A rate limit: so many uses of a key in a period.
    RateLimit {
        /// Bindings of the same namespace count together.
        namespace: String,
        /// Uses in a period.
        limit: u32,
        /// 10 or 60.
        period_seconds: u32,
    },
    /// An Analytics Engine dataset.
    Analytics {
        /// Its name.
        dataset: String,
    },
    /// A secret of a secrets store, by its name there. Its local value comes from where secrets come from.
    StoreSecret {
        /// Its name in the store.
        name: String,
        /// Its value, if there is one.
        value: Option<String>,
    },
    /// Starts workers from code that the worker has at hand.
    WorkerLoader,
    /// A binding whose part of Atoll is not built yet: the worker starts, the use of it throws.
    Unbuilt(UnbuiltBinding),
}

/// A binding that is configured but that this build cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnbuiltBinding {
    /// What it is, in the words of the tables and errors: "D1 database", "R2 bucket" and so on.
    pub kind: String,
    /// What it points at, as the configuration names it.
    pub target: String,
}

impl fmt::Debug for BindingSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { value } => f.debug_tuple("Text").field(value).finish(),
            Self::Json { value } => f.debug_tuple("Json").field(value).finish(),
            // Secrets stay out of logs, whoever formats them.
            Self::Secret { .. } => f.write_str("Secret(..)"),
            Self::Kv { namespace } => f.debug_tuple("Kv").field(namespace).finish(),
            Self::Service {
                service, entrypoint, ..
            } => f.debug_tuple("Service").field(service).field(entrypoint).finish(),
            Self::Assets => f.write_str("Assets"),
            Self::VersionMetadata => f.write_str("VersionMetadata"),
            Self::RateLimit {
                namespace,
                limit,
                period_seconds,
            } => write!(f, "RateLimit({namespace:?}, {limit} in {period_seconds} s)"),
            Self::Analytics { dataset } => f.debug_tuple("Analytics").field(dataset).finish(),
            Self::StoreSecret { name, .. } => f.debug_tuple("StoreSecret").field(name).finish(),
            Self::WorkerLoader => f.write_str("WorkerLoader"),
            Self::Unbuilt(unbuilt) => f.debug_tuple("Unbuilt").field(unbuilt).finish(),
        }
    }
}
