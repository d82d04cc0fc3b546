//! Names and numbers by which things are known. Each is a type of its own so that two cannot be swapped.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the name as it is; the owner of the name checks its form at the door.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name_type! {
    /// Who owns workers and their data. Every stored key carries it.
    TenantId
}
name_type! {
    /// The name of a worker within its tenant.
    WorkerName
}
name_type! {
    /// The id of a stored namespace (KV and so on) within its tenant.
    NamespaceId
}

name_type! {
    /// A PoP: the name that its certificate says.
    PopName
}
name_type! {
    /// An immutable upload of a worker: a UUID, in text.
    VersionId
}
name_type! {
    /// A decision which versions of a worker get which share of its traffic: a UUID, in text.
    DeploymentId
}
name_type! {
    /// The name of an alias of a worker: it points at one version, or at two with weights.
    AliasName
}
name_type! {
    /// The name of a secret within its worker.
    SecretName
}
name_type! {
    /// A host name that is a worker's alone: lower case, no trailing dot.
    DomainName
}
name_type! {
    /// The public half of an API token.
    TokenId
}

/// One event's id, unique in a process's life; shown in logs and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
