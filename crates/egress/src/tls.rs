//! The TLS client: rustls with aws-lc, the Mozilla roots, and whatever roots an operator adds.
//!
//! Certificates are always verified; there is no switch against it. A private authority or a test adds its root.

use crate::error::EgressError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// Which authorities are trusted.
#[derive(Debug, Clone)]
pub struct TlsRoots {
    store: RootCertStore,
}

impl Default for TlsRoots {
    /// The Mozilla roots.
    fn default() -> Self {
        Self {
            store: RootCertStore {
                roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            },
        }
    }
}

impl TlsRoots {
    /// No authority at all.
    pub fn none() -> Self {
        Self {
            store: RootCertStore::empty(),
        }
    }

    /// Trusts one more authority.
    pub fn add(&mut self, root: CertificateDer<'_>) -> Result<(), rustls::Error> {
        self.store.add(root.into_owned())
    }

    /// Trusts every certificate in a PEM file (what `SSL_CERT_FILE` names).
    pub fn add_pem_file(&mut self, path: &Path) -> Result<usize, EgressError> {
        let failed = |reason: String| EgressError::Roots {
            path: path.to_owned(),
            reason,
        };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
        let mut added = 0;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            self.add(certificate).map_err(|error| failed(error.to_string()))?;
            added += 1;
        }
        if added == 0 {
            return Err(failed("the file holds no certificate".to_owned()));
        }
        Ok(added)
    }

    /// A client that offers `protocols` by ALPN.
    pub(crate) fn client(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            // The provider has suites for both protocol versions; this fails only for one that has none.
            .expect("aws-lc has cipher suites for TLS 1.2 and 1.3")
            .with_root_certificates(self.store.clone())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}
