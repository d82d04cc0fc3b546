//! Secrets at rest: envelope encryption.
//!
//! ```text
//! master key    32 bytes, from a file or the environment; never stored by us
//!   wraps       an account's data key (32 random bytes):  AES-256-GCM, bound to account and master key
//!     seals     a secret's value:                         AES-256-GCM, bound to account, worker, name and revision
//! ```
//!
//! What something is bound to is its additional data: a sealed value that is put into another row does not open. A new master key
//! only wraps the data keys anew. [`SecretValue`] is shown nowhere: it can be neither printed nor serialized, and its
//! memory is overwritten when it goes.

use atoll_model::{BlobHash, SecretName, TenantId, WorkerName};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// The most master keys that are read.
pub const MASTER_KEYS_MAX: usize = 16;

/// A secret's value on its way in, or on its way to the worker that it belongs to.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// Takes a value.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value, for whoever starts the worker.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(..)")
    }
}

/// Why a secret cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The text of the master keys is not one.
    #[error(
        "the master keys cannot be read: line {line} {what}; a line is 32 random bytes in base64, the first line is the key in use"
    )]
    Keys {
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The key that something was sealed with is not there.
    #[error(
        "master key {id} is needed to open the secrets of account {account}, but it is not among the configured ones; add it"
    )]
    KeyMissing {
        /// Its name.
        id: String,
        /// The account.
        account: TenantId,
    },
    /// The same, of a key of the platform.
    #[error(
        "master key {id} is needed to open the platform's key \"{name}\", but it is not among the configured ones; add it"
    )]
    PlatformKeyMissing {
        /// Its name.
        id: String,
        /// Which key it seals.
        name: String,
    },
    /// What was stored is not what was sealed, or belongs elsewhere.
    #[error("the stored {0} was changed or belongs to something else; it does not open")]
    Sealed(String),
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Random,
}

/// Names a master key: the first 16 hexadecimal digits of the SHA-256 of a tag and the key.
pub type MasterKeyId = String;

struct MasterKey {
    id: MasterKeyId,
    key: LessSafeKey,
    /// What keys for other purposes are made from: never the master key itself.
    seed: Zeroizing<[u8; KEY_BYTES]>,
}

/// HMAC-SHA-256.
fn keyed(key: &[u8], text: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    bytes
}

/// The master keys; the first seals, all open.
pub struct Vault {
    keys: Vec<MasterKey>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|key| key.id.as_str()).collect();
        write!(f, "Vault({ids:?})")
    }
}

/// An account's data key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// The master key that wraps it.
    pub master: MasterKeyId,
    /// Nonce and sealed key.
    pub sealed: Vec<u8>,
}

/// An account's data key, open.
pub struct DataKey {
    account: TenantId,
    key: LessSafeKey,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.account)
    }
}

/// Additional data: each part with its length, so that no two lists of parts read the same.
fn bound(tag: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = tag.as_bytes().to_vec();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| VaultError::Random)?;
    Ok(bytes)
}

fn key(bytes: &[u8]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, bytes).ok().map(LessSafeKey::new)
}

fn seal(key: &LessSafeKey, plain: &[u8], aad: &[u8]) -> Result<Vec<u8>, VaultError> {
    // A random nonce of 96 bits is good for 2^32 values of one key; a key seals one account's.
    let nonce: [u8; NONCE_LEN] = random()?;
    let mut sealed = Zeroizing::new(plain.to_vec());
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut *sealed)
        .map_err(|_| VaultError::Random)?;
    Ok([&nonce[..], &sealed[..]].concat())
}

fn open(key: &LessSafeKey, sealed: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let length = key.open_in_place(nonce, Aad::from(aad), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

impl Vault {
    /// A new master key, as the line of text that [`Vault::parse`] reads.
    pub fn generate() -> Result<Zeroizing<String>, VaultError> {
        let bytes = Zeroizing::new(random::<KEY_BYTES>()?);
        Ok(Zeroizing::new(BASE64.encode(*bytes)))
    }

    /// Reads master keys: one per line, the one in use first. Empty lines and lines that begin with `#` are skipped.
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        let mut keys: Vec<MasterKey> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let (line, text) = (at + 1, line.trim());
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let wrong = |what| VaultError::Keys { line, what };
            let bytes = BASE64.decode(text).map_err(|_| wrong("is not base64"))?;
            let bytes = Zeroizing::new(bytes);
            if bytes.len() != KEY_BYTES {
                return Err(wrong("is not 32 bytes"));
            }
            let id = BlobHash::of(&[b"atoll master key ", &bytes[..]].concat()).to_string()[..16].to_owned();
            if keys.iter().any(|key| key.id == id) {
                return Err(wrong("stands twice"));
            }
            if keys.len() == MASTER_KEYS_MAX {
                return Err(wrong("is one key too many"));
            }
            let seed = keyed(&bytes, b"atoll purpose keys 1");
            let key = key(&bytes).ok_or(wrong("is not 32 bytes"))?;
            keys.push(MasterKey { id, key, seed });
        }
        if keys.is_empty() {
            let what = "is missing: there is no key";
            return Err(VaultError::Keys { line: 1, what });
        }
        Ok(Self { keys })
    }

    /// The name of the key in use.
    pub fn current(&self) -> &str {
        // `parse` refuses a vault without keys.
        self.keys.first().map_or("", |key| key.id.as_str())
    }

    /// Keys for a purpose of its own, one of each master key, that of the one in use first: whoever has the same master
    /// keys has the same ones, and none of them tells anything of a master key.
    pub fn purpose_keys(&self, purpose: &str) -> Vec<Zeroizing<[u8; KEY_BYTES]>> {
        let keys = self.keys.iter().map(|key| keyed(&*key.seed, purpose.as_bytes()));
        keys.collect()
    }

    fn wrap(&self, account: &TenantId, bytes: &[u8]) -> Result<WrappedKey, VaultError> {
        let master = self.keys.first().ok_or(VaultError::Random)?;
        let aad = bound("atoll data key 1", &[account.as_str().as_bytes(), master.id.as_bytes()]);
        Ok(WrappedKey {
            master: master.id.clone(),
            sealed: seal(&master.key, bytes, &aad)?,
        })
    }

    fn unwrap_bytes(&self, account: &TenantId, wrapped: &WrappedKey) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let master = self.keys.iter().find(|key| key.id == wrapped.master);
        let master = master.ok_or_else(|| VaultError::KeyMissing {
            id: wrapped.master.clone(),
            account: account.clone(),
        })?;
        let aad = bound("atoll data key 1", &[account.as_str().as_bytes(), master.id.as_bytes()]);
        open(&master.key, &wrapped.sealed, &aad)
            .ok_or_else(|| VaultError::Sealed(format!("data key of account {account}")))
    }

    /// Seals a key of the platform itself, by the master key in use.
    pub fn seal_platform(&self, name: &str, bytes: &[u8]) -> Result<WrappedKey, VaultError> {
        let master = self.keys.first().ok_or(VaultError::Random)?;
        let aad = bound("atoll platform key 1", &[name.as_bytes(), master.id.as_bytes()]);
        Ok(WrappedKey {
            master: master.id.clone(),
            sealed: seal(&master.key, bytes, &aad)?,
        })
    }

    /// Opens a key of the platform.
    pub fn open_platform(&self, name: &str, wrapped: &WrappedKey) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let master = self.keys.iter().find(|key| key.id == wrapped.master);
        let master = master.ok_or_else(|| VaultError::PlatformKeyMissing {
            id: wrapped.master.clone(),
            name: name.to_owned(),
        })?;
        let aad = bound("atoll platform key 1", &[name.as_bytes(), master.id.as_bytes()]);
        open(&master.key, &wrapped.sealed, &aad)
            .ok_or_else(|| VaultError::Sealed(format!("key \"{name}\" of the platform")))
    }

    /// A new data key for an account.
    pub fn new_data_key(&self, account: &TenantId) -> Result<WrappedKey, VaultError> {
        let bytes = Zeroizing::new(random::<KEY_BYTES>()?);
        self.wrap(account, &*bytes)
    }

    /// Opens an account's data key.
    pub fn data_key(&self, account: &TenantId, wrapped: &WrappedKey) -> Result<DataKey, VaultError> {
        let bytes = self.unwrap_bytes(account, wrapped)?;
        let key = key(&bytes).ok_or_else(|| VaultError::Sealed(format!("data key of account {account}")))?;
        Ok(DataKey {
            account: account.clone(),
            key,
        })
    }

    /// The same data key, wrapped by the master key in use.
    pub fn rewrap(&self, account: &TenantId, wrapped: &WrappedKey) -> Result<WrappedKey, VaultError> {
        self.wrap(account, &self.unwrap_bytes(account, wrapped)?)
    }
}

impl DataKey {
    fn aad(&self, worker: &WorkerName, name: &SecretName, revision: u64) -> Vec<u8> {
        let parts: [&[u8]; 4] = [
            self.account.as_str().as_bytes(),
            worker.as_str().as_bytes(),
            name.as_str().as_bytes(),
            &revision.to_le_bytes(),
        ];
        bound("atoll secret 1", &parts)
    }

    /// Seals a value for one place.
    pub fn seal(
        &self,
        worker: &WorkerName,
        name: &SecretName,
        revision: u64,
        value: &SecretValue,
    ) -> Result<Vec<u8>, VaultError> {
        seal(&self.key, value.0.as_bytes(), &self.aad(worker, name, revision))
    }

    /// Opens the value of that place.
    pub fn open(
        &self,
        worker: &WorkerName,
        name: &SecretName,
        revision: u64,
        sealed: &[u8],
    ) -> Result<SecretValue, VaultError> {
        let wrong = || VaultError::Sealed(format!("secret {name} of worker {worker}"));
        let bytes = open(&self.key, sealed, &self.aad(worker, name, revision)).ok_or_else(wrong)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong())?;
        Ok(SecretValue::new(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Vault::parse(&Vault::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_value_opens_in_its_own_place_alone() {
        let vault = vault();
        let (acme, other) = (TenantId::new("acme"), TenantId::new("other"));
        let wrapped = vault.new_data_key(&acme).unwrap();
        let key = vault.data_key(&acme, &wrapped).unwrap();
        let (worker, name) = (WorkerName::new("shop"), SecretName::new("KEY"));
        let value = SecretValue::new("a canary that sings".into());
        let sealed = key.seal(&worker, &name, 3, &value).unwrap();
        assert_eq!(key.open(&worker, &name, 3, &sealed).unwrap(), value);
        assert!(!sealed.windows(6).any(|window| window == b"canary"));
        assert_ne!(key.seal(&worker, &name, 3, &value).unwrap(), sealed);
        assert!(key.open(&worker, &name, 4, &sealed).is_err());
        assert!(key.open(&worker, &SecretName::new("KEX"), 3, &sealed).is_err());
        assert!(
            key.open(&WorkerName::new("shopK"), &SecretName::new("EY"), 3, &sealed)
                .is_err()
        );
        assert!(vault.data_key(&other, &wrapped).is_err());
        let foreign = vault.data_key(&other, &vault.new_data_key(&other).unwrap()).unwrap();
        assert!(foreign.open(&worker, &name, 3, &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(&worker, &name, 3, &changed).is_err(), "byte {at}");
            assert!(key.open(&worker, &name, 3, &sealed[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(format!("{value:?}{key:?}{vault:?}").find("canary"), None);
    }

    #[test]
    fn a_new_master_key_wraps_and_the_old_one_can_go() {
        let (old, new) = (Vault::generate().unwrap(), Vault::generate().unwrap());
        let before = Vault::parse(&old).unwrap();
        let acme = TenantId::new("acme");
        let wrapped = before.new_data_key(&acme).unwrap();
        let (worker, name) = (WorkerName::new("shop"), SecretName::new("KEY"));
        let value = SecretValue::new("value".into());
        let key = before.data_key(&acme, &wrapped).unwrap();
        let sealed = key.seal(&worker, &name, 1, &value).unwrap();

        let both = Vault::parse(&format!("# in use\n{}\n\n{}\n", *new, *old)).unwrap();
        let rewrapped = both.rewrap(&acme, &wrapped).unwrap();
        assert_eq!(rewrapped.master, both.current());
        let after = Vault::parse(&new).unwrap();
        let key = after.data_key(&acme, &rewrapped).unwrap();
        assert_eq!(key.open(&worker, &name, 1, &sealed).unwrap(), value);
        let error = after.data_key(&acme, &wrapped).unwrap_err();
        assert!(matches!(error, VaultError::KeyMissing { .. }), "{error}");
    }

    #[test]
    fn what_is_no_master_key() {
        let check = |text: &str, expected: &str| {
            let error = Vault::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let key = Vault::generate().unwrap();
        check("", "there is no key");
        check("# nothing\n", "there is no key");
        check("short", "line 1 is not");
        check("c2hvcnQ=", "line 1 is not 32 bytes");
        check(&format!("{}\n{}", *key, *key), "line 2 stands twice");
        check(&format!("{}\n!", *key), "line 2 is not base64");
    }
}
