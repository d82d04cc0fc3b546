//! A node's own certificate, as connections present it. It is replaced when it is renewed; connections that stand keep theirs.

use super::PeerError;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};
use std::sync::{Arc, PoisonError, RwLock};

/// The protocol of gRPC within TLS.
const ALPN: &[u8] = b"h2";

/// See the module.
#[derive(Debug, Default)]
pub struct OwnCertificate {
    current: RwLock<Option<Arc<CertifiedKey>>>,
}

impl OwnCertificate {
    /// None yet: handshakes that need one fail.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Presents this from now on. Chain: leaf first, DER; key: PKCS#8, DER.
    pub fn set(&self, chain: &[Vec<u8>], key: &[u8]) -> Result<(), PeerError> {
        let unreadable = |error: &dyn std::fmt::Display| PeerError::Unreadable(error.to_string());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
        let key = rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&key).map_err(|error| unreadable(&error))?;
        let chain = chain.iter().map(|one| CertificateDer::from(one.clone())).collect();
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|error| unreadable(&error))?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }

    fn get(&self) -> Option<Arc<CertifiedKey>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How to accept nodes. With `optional`, somebody without a certificate is let in, too: whoever serves asks for the
    /// certificate where it matters.
    pub fn server_config(
        self: &Arc<Self>,
        trust: &Arc<super::Trust>,
        optional: bool,
    ) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(super::trust::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(trust.client_verifier(optional))
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would not ask again whether the certificate is believed.
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// How to call a node of this name.
    pub fn client_config(
        self: &Arc<Self>,
        verifier: Arc<dyn rustls::client::danger::ServerCertVerifier>,
    ) -> Result<ClientConfig, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(super::trust::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(self.clone());
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.get()
    }
}

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.get()
    }

    fn has_certs(&self) -> bool {
        self.get().is_some()
    }
}
