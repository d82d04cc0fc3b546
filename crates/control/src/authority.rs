//! The authority that makes the certificates of nodes: control planes and PoPs.
//!
//! It is a certificate of its own with a P-256 key. Where it is kept is the [`Keep`]'s business: a file that nobody else may
//! read, or the catalog, sealed by the master key, where several control planes share it.
//!
//! Rotation: [`Authority::add`] makes a second authority, which is trusted and signs nothing; PoPs learn it with their next
//! session, at once if they are connected. [`Authority::switch`] has it sign from then on, and PoPs are told to renew.
//! [`Authority::retire`] ends the old one and with it every certificate that it made. There are never more than two.
//!
//! A certificate says only a name and a generation of it ([`atoll_api::peer`]); whether that is revoked is asked at every
//! call.

use crate::catalog::{Caller, Catalog, CatalogError};
use atoll_api::peer::{CERTIFICATE_LIFE_MS, PeerName, Serial};
use atoll_model::BlobHash;
use atoll_stdx::Clock;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509CertificationRequest};
use zeroize::Zeroizing;

/// How long an authority lives, milliseconds: ten years. It is replaced long before.
pub const AUTHORITY_LIFE_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;
/// How far before the authority's clock its certificates begin, milliseconds: clocks differ a little.
const BACKDATE_MS: u64 = 60 * 60 * 1000;
/// The most bytes of a certificate request.
const REQUEST_BYTES_MAX: usize = 4096;
/// The most bytes of the kept authorities.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// The platform's key under which the catalog keeps the authority.
const KEY_NAME: &str = "authority";

/// Why there is no certificate.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthorityError {
    /// Where it is kept cannot be read or written.
    #[error("the authority's file {path} cannot be {doing}: {cause}")]
    File {
        /// Which.
        path: String,
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        cause: String,
    },
    /// What is kept is not an authority.
    #[error(
        "what is kept of the authority cannot be read: {0}; restore it from a copy, or remove it and have all PoPs join again"
    )]
    Kept(String),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A request for a certificate that is refused; the PoP's fault.
    #[error("the certificate request is refused: {0}")]
    Request(String),
    /// A step of a rotation that is not the next.
    #[error("{0}")]
    Rotation(&'static str),
    /// The certificate cannot be made.
    #[error("the certificate cannot be made: {0}")]
    Failed(String),
}

fn failed(error: impl fmt::Display) -> AuthorityError {
    AuthorityError::Failed(error.to_string())
}

/// Where the authority is kept.
#[derive(Debug, Clone)]
pub enum Keep {
    /// In this file, mode 0600.
    File(PathBuf),
    /// In the catalog, sealed by the master key.
    Catalog(Catalog),
}

#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    certificate: String,
    key: String,
}

impl Drop for Kept {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}

impl Keep {
    async fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, AuthorityError> {
        match self {
            Self::File(path) => match std::fs::read(path) {
                Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Self::file(path, "read", &error)),
            },
            Self::Catalog(catalog) => Ok(catalog.platform_key(KEY_NAME).await?),
        }
    }

    async fn store(&self, before: Option<BlobHash>, bytes: Zeroizing<Vec<u8>>) -> Result<(), AuthorityError> {
        match self {
            Self::File(path) => {
                let new = path.with_extension("new");
                let write = || {
                    let mut file = std::fs::OpenOptions::new()
                        .write(true)
                        .create(true)
                        .truncate(true)
                        .mode(0o600)
                        .open(&new)?;
                    file.write_all(&bytes)?;
                    file.sync_all()?;
                    std::fs::rename(&new, path)?;
                    match path.parent() {
                        Some(directory) => std::fs::File::open(directory)?.sync_all(),
                        None => Ok(()),
                    }
                };
                write().map_err(|error| Self::file(path, "written", &error))
            }
            Self::Catalog(catalog) => {
                let caller = Caller::new("system:authority");
                Ok(catalog.set_platform_key(&caller, KEY_NAME, before, bytes).await?)
            }
        }
    }

    fn file(path: &std::path::Path, doing: &'static str, error: &std::io::Error) -> AuthorityError {
        AuthorityError::File {
            path: path.display().to_string(),
            doing,
            cause: error.to_string(),
        }
    }
}

/// One authority, open.
struct One {
    certificate: Vec<u8>,
    pkcs8: Zeroizing<Vec<u8>>,
    issuer: Issuer<'static, KeyPair>,
}

/// Of every authority the same, so that a kept key and certificate give the issuer back; the key's identifier is its hash.
fn authority_params(serial: Vec<u8>, now_ms: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Atoll");
    name.push(DnType::CommonName, "Atoll nodes");
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.serial_number = Some(SerialNumber::from(serial));
    set_validity(&mut params, now_ms, AUTHORITY_LIFE_MS);
    params
}

fn set_validity(params: &mut CertificateParams, now_ms: u64, life_ms: u64) -> (u64, u64) {
    // In whole seconds, as certificates say it.
    let whole = |ms: u64| ms / 1000 * 1000;
    let (from, to) = (whole(now_ms.saturating_sub(BACKDATE_MS)), whole(now_ms + life_ms));
    let at = |ms: u64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(ms);
    params.not_before = at(from);
    params.not_after = at(to);
    (from, to)
}

fn random<const N: usize>() -> Result<[u8; N], AuthorityError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| failed("the system gives no randomness"))?;
    Ok(bytes)
}

impl One {
    fn make(now_ms: u64) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let pkcs8 = Zeroizing::new(key.serialize_der());
        let mut serial = random::<16>()?.to_vec();
        serial[0] &= 0x7f;
        let params = authority_params(serial, now_ms);
        let certificate = params.self_signed(&key).map_err(failed)?.der().to_vec();
        let issuer = Issuer::new(params, key);
        Ok(Self {
            certificate,
            pkcs8,
            issuer,
        })
    }

    fn open(kept: &Kept) -> Result<Self, AuthorityError> {
        let unreadable = |error: &dyn fmt::Display| AuthorityError::Kept(error.to_string());
        let certificate = BASE64.decode(&kept.certificate).map_err(|error| unreadable(&error))?;
        let pkcs8 = Zeroizing::new(BASE64.decode(&kept.key).map_err(|error| unreadable(&error))?);
        let key = KeyPair::try_from(&pkcs8[..]).map_err(|error| unreadable(&error))?;
        let (_, read) =
            x509_parser::certificate::X509Certificate::from_der(&certificate).map_err(|error| unreadable(&error))?;
        if *read.public_key().subject_public_key.data != *key.public_key_raw() {
            return Err(AuthorityError::Kept(
                "key and certificate do not belong together".to_owned(),
            ));
        }
        Ok(Self {
            certificate,
            pkcs8,
            // Only name, usage and key are taken from it.
            issuer: Issuer::new(authority_params(Vec::new(), 0), key),
        })
    }

    fn keep(&self) -> Kept {
        Kept {
            certificate: BASE64.encode(&self.certificate),
            key: BASE64.encode(&*self.pkcs8),
        }
    }
}

/// The first signs; all are trusted.
type Authorities = Vec<Arc<One>>;

/// A certificate that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The leaf, then the authority, DER.
    pub chain: Vec<Vec<u8>>,
    /// Which.
    pub serial: Serial,
    /// Milliseconds since the Unix epoch.
    pub not_before_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub not_after_ms: u64,
}

/// A certificate with its key, for a control plane.
pub struct Own {
    /// The certificate.
    pub issued: Issued,
    /// Its key, PKCS#8 DER.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Own({})", self.issued.serial)
    }
}

/// See the module.
pub struct Authority {
    keep: Keep,
    clock: Arc<dyn Clock>,
    authorities: RwLock<Authorities>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({:?})", self.keep)
    }
}

/// A public key out of a certificate request, on a curve that we sign for.
struct Requested(Vec<u8>);

impl PublicKeyData for Requested {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// The key of a request whose sender has it. The request's own names are passed over: the name is the control plane's to say.
fn requested(request: &[u8]) -> Result<Requested, AuthorityError> {
    let refused = |why: &str| AuthorityError::Request(why.to_owned());
    if request.len() > REQUEST_BYTES_MAX {
        return Err(refused("it is too large"));
    }
    let (rest, read) =
        X509CertificationRequest::from_der(request).map_err(|error| AuthorityError::Request(error.to_string()))?;
    if !rest.is_empty() {
        return Err(refused("bytes are left over"));
    }
    let public = read.certification_request_info.subject_pki.subject_public_key.data;
    // An uncompressed point of P-256; the verification below fails for any other 65 bytes.
    if public.len() != 65 {
        return Err(refused("its key is not one of ECDSA on P-256"));
    }
    let signed = read.certification_request_info.raw;
    let verifier = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1, &public);
    verifier
        .verify(signed, &read.signature_value.data)
        .map_err(|_| refused("its signature is not of its key: ECDSA on P-256 with SHA-256 is taken"))?;
    Ok(Requested(public.to_vec()))
}

impl Authority {
    /// Opens the authority, or makes one if there is none.
    pub async fn open(keep: Keep, clock: Arc<dyn Clock>) -> Result<Self, AuthorityError> {
        let authority = Self {
            keep,
            clock,
            authorities: RwLock::new(Vec::new()),
        };
        if authority.reload().await?.is_none() {
            let first = vec![Arc::new(One::make(authority.clock.now_ms())?)];
            match authority.replace(None, first).await {
                // Another control plane was quicker.
                Err(AuthorityError::Catalog(CatalogError::Conflict(_))) => {
                    authority.reload().await?;
                }
                other => other?,
            }
        }
        Ok(authority)
    }

    /// Reads what is kept again: another control plane may have rotated. Gives its hash.
    pub async fn reload(&self) -> Result<Option<BlobHash>, AuthorityError> {
        let Some(bytes) = self.keep.load().await? else {
            return Ok(None);
        };
        if bytes.len() > KEPT_BYTES_MAX {
            return Err(AuthorityError::Kept("it is too large".to_owned()));
        }
        let kept: Vec<Kept> =
            serde_json::from_slice(&bytes).map_err(|error| AuthorityError::Kept(error.to_string()))?;
        let open: Authorities = kept
            .iter()
            .map(|kept| One::open(kept).map(Arc::new))
            .collect::<Result<_, _>>()?;
        if open.is_empty() {
            return Err(AuthorityError::Kept("it is empty".to_owned()));
        }
        *self.authorities.write().unwrap_or_else(PoisonError::into_inner) = open;
        Ok(Some(BlobHash::of(&bytes)))
    }

    async fn replace(&self, before: Option<BlobHash>, authorities: Authorities) -> Result<(), AuthorityError> {
        let kept: Vec<Kept> = authorities.iter().map(|one| one.keep()).collect();
        let bytes = Zeroizing::new(serde_json::to_vec(&kept).map_err(failed)?);
        self.keep.store(before, bytes).await?;
        *self.authorities.write().unwrap_or_else(PoisonError::into_inner) = authorities;
        Ok(())
    }

    fn all(&self) -> Authorities {
        self.authorities.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The authorities to trust, DER; the first one signs.
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        self.all().iter().map(|one| one.certificate.clone()).collect()
    }

    /// The SHA-256 of the authority that signs: what a join token carries.
    pub fn fingerprint(&self) -> [u8; 32] {
        let all = self.all();
        // `open` leaves at least one.
        all.first().map_or([0; 32], |one| BlobHash::of(&one.certificate).0)
    }

    /// Adds a second authority, which is trusted and does not sign yet.
    pub async fn add(&self) -> Result<(), AuthorityError> {
        let before = self.reload().await?;
        let mut all = self.all();
        if all.len() > 1 {
            return Err(AuthorityError::Rotation(
                "there are two authorities already; switch, then retire the old one",
            ));
        }
        all.push(Arc::new(One::make(self.clock.now_ms())?));
        self.replace(before, all).await
    }

    /// Has the second authority sign from now on. Not before every PoP has had a session since it was added.
    pub async fn switch(&self) -> Result<(), AuthorityError> {
        let before = self.reload().await?;
        let mut all = self.all();
        if all.len() < 2 {
            return Err(AuthorityError::Rotation(
                "there is one authority; add the next one first",
            ));
        }
        all.swap(0, 1);
        self.replace(before, all).await
    }

    /// Ends the authority that does not sign, and every certificate that it made. Not before every PoP has renewed.
    pub async fn retire(&self) -> Result<(), AuthorityError> {
        let before = self.reload().await?;
        let mut all = self.all();
        if all.len() < 2 {
            return Err(AuthorityError::Rotation("there is one authority, which signs"));
        }
        all.truncate(1);
        self.replace(before, all).await
    }

    /// Is it a request that [`Authority::issue`] takes?
    pub fn check(&self, request: &[u8]) -> Result<(), AuthorityError> {
        requested(request).map(drop)
    }

    /// Makes the certificate that a PoP asks for (PKCS#10, DER), under the name and generation that it has.
    pub fn issue(&self, pop: &str, generation: u32, request: &[u8]) -> Result<Issued, AuthorityError> {
        self.sign(&PeerName::Pop(pop.to_owned()), generation, &requested(request)?)
    }

    /// Makes a control plane's own key and certificate.
    pub fn own(&self) -> Result<Own, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let issued = self.sign(&PeerName::Control, 0, &key)?;
        let key = Zeroizing::new(key.serialize_der());
        Ok(Own { issued, key })
    }

    fn sign(&self, name: &PeerName, generation: u32, key: &impl PublicKeyData) -> Result<Issued, AuthorityError> {
        let all = self.all();
        let signing = all.first().ok_or_else(|| failed("there is no authority"))?;
        let serial = Serial {
            generation,
            unique: random()?,
        };
        let mut params = CertificateParams::default();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, name.dns());
        params.distinguished_name = subject;
        params.serial_number = Some(SerialNumber::from_slice(&serial.to_bytes()));
        params.subject_alt_names = vec![
            SanType::URI(name.uri().try_into().map_err(failed)?),
            SanType::DnsName(name.dns().try_into().map_err(failed)?),
        ];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // PoPs serve their neighbours; control planes call nobody.
        params.extended_key_usages = match name {
            PeerName::Control => vec![ExtendedKeyUsagePurpose::ServerAuth],
            PeerName::Pop(_) => vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
        };
        params.use_authority_key_identifier_extension = true;
        let (not_before_ms, not_after_ms) = set_validity(&mut params, self.clock.now_ms(), CERTIFICATE_LIFE_MS);
        let leaf = params.signed_by(key, &signing.issuer).map_err(failed)?.der().to_vec();
        Ok(Issued {
            chain: vec![leaf, signing.certificate.clone()],
            serial,
            not_before_ms,
            not_after_ms,
        })
    }

    /// Did the authority that signs now make the certificate that ends in this one?
    pub fn signs(&self, authority: &[u8]) -> bool {
        self.all().first().is_some_and(|one| one.certificate == authority)
    }
}

#[cfg(test)]
mod tests;
