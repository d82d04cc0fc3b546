//! When a node's certificate is believed.
//!
//! The TLS library's own verifier judges chain, key usage and name. Only the time is judged here, because a node whose clock
//! is a month off must still be able to talk to the control plane: a certificate that is out of its time by up to
//! [`GRACE_MS`] is verified as of the nearest moment at which it was valid, counted ([`Trust::out_of_time`]) and logged.
//!
//! Why that is safe. Expiry is there so that a stolen key is of no use for long. A node of ours has something better: the
//! control plane knows at every call whether the name and the certificate's generation are revoked, from its own catalog, and PoPs
//! answer only neighbours that the control plane lists as alive. So a certificate out of its time opens what it opened
//! before, for as long as nobody has revoked it, and what it is used for first is to get a new one. Control planes are not
//! revoked but their authority is replaced, which ends every certificate of the old one at once, whatever the time.
//! Beyond the grace a certificate is worth nothing: by then the machine joins again with a token.

use super::{PeerCertificate, PeerName};
use atoll_stdx::Clock;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How far a certificate may be out of its time, milliseconds: 45 days. Longer than the month that a clock is known to jump
/// by when a battery is empty or a time zone is taken for a date, plus its own life.
pub const GRACE_MS: u64 = 45 * 24 * 60 * 60 * 1000;

/// The cryptography of connections between nodes.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[derive(Debug)]
struct Verifiers {
    authorities: Vec<Vec<u8>>,
    server: Arc<WebPkiServerVerifier>,
    client: Arc<dyn ClientCertVerifier>,
}

impl Verifiers {
    fn new(authorities: Vec<Vec<u8>>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            roots.add(CertificateDer::from(authority.clone()))?;
        }
        let roots = Arc::new(roots);
        let unusable = |error: rustls::server::VerifierBuilderError| Error::General(error.to_string());
        Ok(Self {
            authorities,
            server: WebPkiServerVerifier::builder_with_provider(roots.clone(), provider())
                .build()
                .map_err(unusable)?,
            client: WebPkiClientVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(unusable)?,
        })
    }
}

/// The authorities of the platform, as they change, and the clock. One per process.
#[derive(Debug)]
pub struct Trust {
    verifiers: RwLock<Arc<Verifiers>>,
    clock: Arc<dyn Clock>,
    out_of_time: AtomicU64,
}

impl Trust {
    /// Trusts these authorities, DER. At least one.
    pub fn new(authorities: Vec<Vec<u8>>, clock: Arc<dyn Clock>) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            verifiers: RwLock::new(Arc::new(Verifiers::new(authorities)?)),
            clock,
            out_of_time: AtomicU64::new(0),
        }))
    }

    /// Trusts these from now on. An error leaves things as they were.
    pub fn set(&self, authorities: Vec<Vec<u8>>) -> Result<(), Error> {
        if self.authorities() != authorities {
            let verifiers = Arc::new(Verifiers::new(authorities)?);
            *self.verifiers.write().unwrap_or_else(PoisonError::into_inner) = verifiers;
        }
        Ok(())
    }

    /// The authorities, DER.
    pub fn authorities(&self) -> Vec<Vec<u8>> {
        self.verifiers().authorities.clone()
    }

    /// How many certificates were believed that were out of their time.
    pub fn out_of_time(&self) -> u64 {
        self.out_of_time.load(Ordering::Relaxed)
    }

    fn verifiers(&self) -> Arc<Verifiers> {
        self.verifiers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Verifies servers: the peer must have this name.
    pub fn server_verifier(self: &Arc<Self>, name: PeerName) -> Arc<dyn ServerCertVerifier> {
        Arc::new(Servers {
            trust: self.clone(),
            name,
        })
    }

    /// Verifies clients: any node of the platform. With `optional`, a client may also come without a certificate.
    pub fn client_verifier(self: &Arc<Self>, optional: bool) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Clients {
            trust: self.clone(),
            optional,
        })
    }

    /// The moment as of which a certificate is verified.
    fn moment(&self, certificate: &PeerCertificate) -> Result<UnixTime, Error> {
        let at = |ms: u64| UnixTime::since_unix_epoch(Duration::from_millis(ms));
        let (now, from, to) = (self.clock.now_ms(), certificate.not_before_ms, certificate.not_after_ms);
        let (off, moment) = match now {
            now if now < from => (from - now, from),
            now if now > to => (now - to, to),
            now => return Ok(at(now)),
        };
        if off > GRACE_MS {
            tracing::warn!(
                peer = %certificate.name,
                off_days = off / 86_400_000,
                "a certificate is too far out of its time to be believed: is the clock of this machine right?"
            );
            let error = if now < from {
                CertificateError::NotValidYetContext {
                    time: at(now),
                    not_before: at(from),
                }
            } else {
                CertificateError::ExpiredContext {
                    time: at(now),
                    not_after: at(to),
                }
            };
            return Err(error.into());
        }
        self.out_of_time.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            peer = %certificate.name,
            serial = %certificate.serial,
            off_hours = off / 3_600_000,
            "a certificate is out of its time and believed: a clock is wrong, or it was not renewed for long"
        );
        Ok(at(moment))
    }
}

/// Reads a certificate as one of a node; what cannot be read is refused as the TLS library refuses it.
fn read(certificate: &CertificateDer<'_>) -> Result<PeerCertificate, Error> {
    PeerCertificate::read(certificate).map_err(|error| Error::General(error.to_string()))
}

#[derive(Debug)]
struct Servers {
    trust: Arc<Trust>,
    name: PeerName,
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = read(end_entity)?;
        if certificate.name != self.name {
            return Err(CertificateError::NotValidForName.into());
        }
        let now = self.trust.moment(&certificate)?;
        let name = server_name(&self.name)?;
        let verifier = &self.trust.verifiers().server;
        verifier.verify_server_cert(end_entity, intermediates, &name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verifier = &self.trust.verifiers().server;
        verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verifier = &self.trust.verifiers().server;
        verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.verifiers().server.supported_verify_schemes()
    }
}

/// A peer's name as the TLS library takes it.
pub fn server_name(name: &PeerName) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(name.dns()).map_err(|error| Error::General(error.to_string()))
}

#[derive(Debug)]
struct Clients {
    trust: Arc<Trust>,
    optional: bool,
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        !self.optional
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Nodes have one certificate: they need no hint which to send, and authorities change while this lives.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let certificate = read(end_entity)?;
        let now = self.trust.moment(&certificate)?;
        // The name that was read from the URI must also be the one that the TLS library reads.
        verify_server_name(
            &ParsedCertificate::try_from(end_entity)?,
            &server_name(&certificate.name)?,
        )?;
        let verifier = &self.trust.verifiers().client;
        verifier.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verifier = &self.trust.verifiers().client;
        verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verifier = &self.trust.verifiers().client;
        verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.verifiers().client.supported_verify_schemes()
    }
}

/// Verifies a control plane by the SHA-256 of its authority alone, as a join token carries it. The server sends the
/// authority's certificate behind its own.
#[derive(Debug)]
pub struct JoinTrust {
    authority: [u8; 32],
    clock: Arc<dyn Clock>,
    schemes: Vec<SignatureScheme>,
}

impl JoinTrust {
    /// Trusts the authority whose certificate has this hash.
    pub fn new(authority: [u8; 32], clock: Arc<dyn Clock>) -> Arc<Self> {
        let schemes = provider().signature_verification_algorithms.supported_schemes();
        Arc::new(Self {
            authority,
            clock,
            schemes,
        })
    }
}

impl ServerCertVerifier for JoinTrust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_it = |certificate: &&CertificateDer<'_>| Sha256::digest(certificate)[..] == self.authority;
        let authority = intermediates.iter().find(is_it);
        let authority = authority.ok_or(CertificateError::UnknownIssuer)?;
        let trust = Trust::new(vec![authority.to_vec()], self.clock.clone())?;
        let verifier = trust.server_verifier(PeerName::Control);
        verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
