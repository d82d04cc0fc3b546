//! TLS by rustls: the certificate, the ALPN names, the handshake. The name that a client asks for is passed on as soon as it is
//! known, a round trip or two before the request.

use crate::error::EdgeError;
use crate::options::TlsOptions;
use crate::site::Sites;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// RFC 7301 names, the preferred first.
const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// The one certificate, for whichever name; the name is told to the sites.
struct Heard {
    key: Arc<CertifiedKey>,
    sites: Arc<dyn Sites>,
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Heard")
    }
}

impl ResolvesServerCert for Heard {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(name) = hello.server_name() {
            self.sites.expected(&name.to_ascii_lowercase());
        }
        Some(self.key.clone())
    }
}

/// Makes the acceptor.
pub(crate) fn acceptor(options: &TlsOptions, sites: Arc<dyn Sites>) -> Result<TlsAcceptor, EdgeError> {
    let (chain, key) = match options {
        TlsOptions::SelfSigned { names } => {
            let made = rcgen::generate_simple_self_signed(names.clone())
                .map_err(|error| EdgeError::Tls(format!("no certificate for {names:?}: {error}")))?;
            let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
            (vec![made.cert.der().clone()], PrivateKeyDer::from(key))
        }
        TlsOptions::Pem { certificates, key } => (read_chain(certificates)?, read_key(key)?),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let unusable = |error: rustls::Error| EdgeError::Tls(error.to_string());
    let key = Arc::new(CertifiedKey::from_der(chain, key, &provider).map_err(unusable)?);
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Heard { key, sites }));
    config.alpn_protocols = vec![H2.to_vec(), HTTP1.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, EdgeError> {
    let unusable = |reason: String| EdgeError::TlsFile {
        path: path.to_owned(),
        reason,
    };
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(error.to_string()))?;
    if chain.is_empty() {
        return Err(unusable("it holds no certificate".to_owned()));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, EdgeError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| EdgeError::TlsFile {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// What a finished handshake decided: version and cipher, and whether HTTP/2 is spoken.
pub(crate) fn outcome(connection: &rustls::ServerConnection) -> ((&'static str, &'static str), bool) {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    let cipher = connection
        .negotiated_cipher_suite()
        .map_or("", |suite| openssl_name(suite.suite()));
    ((version, cipher), connection.alpn_protocol() == Some(H2))
}

/// A cipher suite in the words of OpenSSL and its kin, which `request.cf` uses; empty for one that no server here speaks.
fn openssl_name(suite: rustls::CipherSuite) -> &'static str {
    use rustls::CipherSuite as Suite;
    match suite {
        Suite::TLS13_AES_128_GCM_SHA256 => "AEAD-AES128-GCM-SHA256",
        Suite::TLS13_AES_256_GCM_SHA384 => "AEAD-AES256-GCM-SHA384",
        Suite::TLS13_CHACHA20_POLY1305_SHA256 => "AEAD-CHACHA20-POLY1305-SHA256",
        Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "",
    }
}
