//! What can keep the front from starting.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why [`crate::Edge::bind`] failed. Nothing of this can happen once it serves: from then on each failure belongs to one
/// connection or one request.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The operator's: the address is taken, not this machine's, or needs privileges.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said; [`std::io::ErrorKind::AddrInUse`] for a busy port.
        source: std::io::Error,
    },
    /// The operator's: a certificate or key file cannot be used.
    #[error("cannot use the TLS file {path}: {reason}")]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The certificate and key do not make a TLS server: a name no certificate can hold, a key that does not belong to
    /// its certificate.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}
