//! Who this PoP is: its key, its certificate, and whom it trusts. Kept on disk, renewed at half the certificate's life.

use crate::{AgentError, disk};
use atoll_api::peer::{OwnCertificate, PeerCertificate, Trust};
use atoll_api::pop::Credentials;
use atoll_stdx::{Clock, SplitMix64};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroize;

/// How much sooner or later than half its life a certificate is renewed, thousandths of the life: PoPs that joined together
/// do not renew together.
const JITTER_THOUSANDTHS: u64 = 100;
/// The most certificates of a chain, and authorities.
const CHAIN_MAX: usize = 8;

/// Bytes in text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// As it lies on disk.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub name: String,
    key: Base64,
    chain: Vec<Base64>,
    authorities: Vec<Base64>,
    artifact_keys: Vec<Base64>,
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.key.0.zeroize();
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.name)
    }
}

fn all(list: &[Base64]) -> Vec<Vec<u8>> {
    list.iter().map(|one| one.0.clone()).collect()
}

/// A key that waits for its certificate, and the request for it.
pub(crate) struct Request {
    key: Vec<u8>,
    /// PKCS#10, DER.
    pub der: Vec<u8>,
}

impl Request {
    pub fn new() -> Result<Self, AgentError> {
        let failed = |error: rcgen::Error| AgentError::Identity(error.to_string());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        // The names are the control plane's to say.
        let request = CertificateParams::default().serialize_request(&key).map_err(failed)?;
        Ok(Self {
            key: key.serialize_der(),
            der: request.der().to_vec(),
        })
    }
}

/// The identity in use.
#[derive(Debug)]
pub(crate) struct Holder {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    /// What connections present.
    pub own: Arc<OwnCertificate>,
    /// Whom they believe; `None` before the join.
    trust: Mutex<Option<Arc<Trust>>>,
    current: Mutex<Option<(Arc<Identity>, PeerCertificate)>>,
}

impl Holder {
    /// Reads what is on disk. An identity that cannot be used is set aside.
    pub fn open(directory: &Path, clock: Arc<dyn Clock>) -> Result<Self, AgentError> {
        let holder = Self {
            path: directory.join("identity"),
            clock,
            own: OwnCertificate::new(),
            trust: Mutex::new(None),
            current: Mutex::new(None),
        };
        if let Some(identity) = disk::read_json::<Identity>(&holder.path)?
            && let Err(error) = holder.take(identity)
        {
            tracing::error!(%error, "the identity on disk cannot be used");
            disk::set_aside(&holder.path, disk::Bad::Damaged);
        }
        Ok(holder)
    }

    /// Puts an identity to use.
    fn take(&self, identity: Identity) -> Result<(), AgentError> {
        let wrong = |what: &dyn std::fmt::Display| AgentError::Identity(what.to_string());
        let leaf = identity.chain.first().ok_or_else(|| wrong(&"it has no certificate"))?;
        let certificate = PeerCertificate::read(&leaf.0).map_err(|error| wrong(&error))?;
        if certificate.name != atoll_api::peer::PeerName::Pop(identity.name.clone()) {
            return Err(wrong(&"the certificate has another name"));
        }
        let authorities = all(&identity.authorities);
        if identity.chain.len() > CHAIN_MAX || authorities.is_empty() || authorities.len() > CHAIN_MAX {
            return Err(wrong(&"it has too many certificates, or no authority"));
        }
        self.own
            .set(&all(&identity.chain), &identity.key.0)
            .map_err(|error| wrong(&error))?;
        let mut trust = self.trust.lock().unwrap_or_else(PoisonError::into_inner);
        match &*trust {
            Some(trust) => trust.set(authorities).map_err(|error| wrong(&error))?,
            None => *trust = Some(Trust::new(authorities, self.clock.clone()).map_err(|error| wrong(&error))?),
        }
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::new(identity), certificate));
        Ok(())
    }

    /// Takes what the control plane answered to a request, durably. Gives how long until the next renewal, by its clock.
    pub fn accept(&self, request: Request, credentials: Credentials) -> Result<Duration, AgentError> {
        let list = |list: Vec<bytes::Bytes>| list.into_iter().map(|one| Base64(one.to_vec())).collect();
        let left = credentials.not_after_ms.saturating_sub(credentials.now_ms);
        let identity = Identity {
            name: credentials.name,
            key: Base64(request.key),
            chain: list(credentials.chain),
            authorities: list(credentials.authorities),
            artifact_keys: list(credentials.artifact_keys),
        };
        self.take(identity.clone())?;
        disk::write_json(&self.path, &identity)?;
        Ok(Duration::from_millis(jittered(left / 2, left)))
    }

    /// What a session told: whom to trust and whose artifacts to run from now on.
    pub fn learn(&self, authorities: &[bytes::Bytes], artifact_keys: &[bytes::Bytes]) -> Result<(), AgentError> {
        let Some(identity) = self.identity() else {
            return Ok(());
        };
        let list = |list: &[bytes::Bytes], old: &[Base64]| match list {
            [] => old.to_vec(),
            list => list.iter().map(|one| Base64(one.to_vec())).collect(),
        };
        let mut next = Identity::clone(&identity);
        next.authorities = list(authorities, &identity.authorities);
        next.artifact_keys = list(artifact_keys, &identity.artifact_keys);
        if next.authorities == identity.authorities && next.artifact_keys == identity.artifact_keys {
            return Ok(());
        }
        self.take(next.clone())?;
        disk::write_json(&self.path, &next)
    }

    /// The identity; `None` before the join.
    pub fn identity(&self) -> Option<Arc<Identity>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|(identity, _)| identity.clone())
    }

    /// Whom to believe.
    pub fn trust(&self) -> Option<Arc<Trust>> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the certificate says.
    pub fn certificate(&self) -> Option<PeerCertificate> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|(_, certificate)| certificate.clone())
    }

    /// The keys whose artifacts are run.
    pub fn artifact_keys(&self) -> Vec<Vec<u8>> {
        self.identity()
            .map_or_else(Vec::new, |identity| all(&identity.artifact_keys))
    }

    /// When an identity that was read from disk is to be renewed. The clock may be wrong: whatever it says, that is between
    /// now and half a life from now, and from then on only the time that passes counts.
    pub fn renewal(&self) -> Option<Instant> {
        let certificate = self.certificate()?;
        let life = certificate.not_after_ms.saturating_sub(certificate.not_before_ms);
        let age = self.clock.now_ms().checked_sub(certificate.not_before_ms);
        let wait = match age {
            Some(age) if age < life / 2 => life / 2 - age,
            // Past half its life, or the clock is wrong.
            _ => 0,
        };
        Some(Instant::now() + Duration::from_millis(jittered(wait, if wait == 0 { 0 } else { life })))
    }
}

/// A time around `around`, by a part of the life.
fn jittered(around: u64, life: u64) -> u64 {
    let mut seed = [0; 8];
    // Without randomness all renew at the same time, which is no fault.
    let _ = aws_lc_rs::rand::fill(&mut seed);
    let width = life / 1000 * JITTER_THOUSANDTHS;
    let early = around.saturating_sub(width / 2);
    early + SplitMix64::new(u64::from_le_bytes(seed)).below(width + 1)
}
