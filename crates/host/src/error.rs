//! Why a version was not deployed.

use atoll_model::Limit;
use atoll_worker::Fault;

/// Why a version was not deployed. The one before goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeployError {
    /// The worker itself: its modules do not load.
    #[error(transparent)]
    Start(#[from] Fault),
    /// A binding needs something that this deployment was not given. The caller's mistake, or the configuration's.
    #[error("binding \"{binding}\": {reason}")]
    Binding {
        /// Its name in `env`.
        binding: String,
        /// What is missing and what to do.
        reason: String,
    },
    /// The version is larger than a limit allows. The configuration's mistake.
    #[error("{message}, and {value} is the limit ({}): make it smaller, or raise atoll.limits.{}", limit.key(), limit.key())]
    Limit {
        /// Which.
        limit: Limit,
        /// Its value.
        value: u64,
        /// What is too large.
        message: String,
    },
    /// A service binding names an entrypoint that the worker at its other end does not export.
    #[error(
        "Worker \"{worker}\"'s binding \"{binding}\" refers to service \"{service}\" with a named entrypoint \"{entrypoint}\", but \
         \"{service}\" has no such named entrypoint."
    )]
    NoEntrypoint {
        /// The worker that has the binding.
        worker: String,
        /// The binding's name in `env`.
        binding: String,
        /// The worker that it names.
        service: String,
        /// The export that is not there.
        entrypoint: String,
    },
    /// A newer deploy of the same worker came first; this version was not put in its place.
    #[error("a newer version of worker \"{worker}\" was deployed meanwhile")]
    Superseded {
        /// The worker.
        worker: String,
    },
}
