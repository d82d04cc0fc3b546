//! From the command line's words about listening to the front's options.

use atoll_cli::target::{Listen, ListenError};
use atoll_edge::{EdgeError, GeoDatabases, TlsOptions};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// The databases of where clients are, opened.
pub(crate) fn geo(paths: &[PathBuf], address: SocketAddr) -> Result<Option<Arc<GeoDatabases>>, ListenError> {
    if paths.is_empty() {
        return Ok(None);
    }
    match GeoDatabases::open(paths) {
        Ok(databases) => Ok(Some(Arc::new(databases))),
        Err(error) => Err(ListenError::Other {
            address,
            cause: error.to_string(),
        }),
    }
}

/// The certificate of `listen`: its files, or one made for this machine alone. `None` without HTTPS.
pub(crate) fn certificate(listen: &Listen) -> Option<TlsOptions> {
    if !listen.https {
        return None;
    }
    Some(match &listen.certificate {
        Some((certificates, key)) => TlsOptions::Pem {
            certificates: certificates.clone(),
            key: key.clone(),
        },
        None => TlsOptions::SelfSigned {
            names: vec![
                "localhost".to_owned(),
                "127.0.0.1".to_owned(),
                "::1".to_owned(),
                listen.host.to_string(),
            ],
        },
    })
}

/// Why a front could not be bound to `address`, as the command line tells it.
pub(crate) fn listen_error(error: EdgeError, address: SocketAddr) -> ListenError {
    match error {
        EdgeError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => ListenError::InUse {
            host: address.ip(),
            port: address.port(),
        },
        other => ListenError::Other {
            address,
            cause: other.to_string(),
        },
    }
}
