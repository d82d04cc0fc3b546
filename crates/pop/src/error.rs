//! Why the agent cannot.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What can go wrong with the agent itself. What goes wrong with a configuration or a worker is told to the control plane.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AgentError {
    /// The data directory.
    #[error("could not {doing} {}: {cause}", path.display())]
    Disk {
        /// Which file or directory.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        cause: String,
    },
    /// Another process has it.
    #[error("{} is another PoP's that is running; give each PoP a data directory of its own", .0.display())]
    Locked(PathBuf),
    /// The identity.
    #[error("the PoP's identity cannot be used: {0}")]
    Identity(String),
    /// There is no identity, and no way to one.
    #[error("this PoP has not joined; give it a join token (`atoll pops join-token` makes one)")]
    NotJoined,
    /// The join token.
    #[error("{0}")]
    Token(String),
    /// A listener.
    #[error("could not listen on {address}: {cause}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        cause: String,
    },
    /// Somebody is not reached.
    #[error("{address} is not reached: {cause}")]
    Connect {
        /// Who.
        address: String,
        /// Why.
        cause: String,
    },
    /// The control plane does not want this PoP.
    #[error("the control plane refuses this PoP: {0}")]
    Refused(String),
    /// A session is over.
    #[error("the session ended: {0}")]
    Ended(String),
}
