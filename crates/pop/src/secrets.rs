//! Secrets of versions that were started here, sealed on disk, so that a restart without a control plane has them.
//!
//! ```text
//! secrets/key     32 random bytes, for this user alone; never leaves the machine
//! secrets/NAME    of one version: nonce, and AES-256-GCM over its values; bound to account, worker and version
//! ```
//!
//! Who has the whole disk has the key as well: this keeps secrets out of what is copied from a data directory without
//! it (a backup that leaves `key` out, one file sent with a bug report), and out of a search through the raw disk. Values
//! go when no configuration needs the version any more.

use crate::{AgentError, disk};
use atoll_model::edge::SecretRef;
use atoll_model::{BlobHash, SecretName, TenantId, VersionId, WorkerName};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::fs;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Values by name and revision.
pub(crate) type Values = Vec<(SecretRef, Zeroizing<String>)>;

pub(crate) struct SecretStore {
    directory: PathBuf,
    key: LessSafeKey,
}

impl std::fmt::Debug for SecretStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretStore({})", self.directory.display())
    }
}

fn place(account: &TenantId, worker: &WorkerName, version: &VersionId) -> Vec<u8> {
    let mut place = b"atoll pop secrets 1".to_vec();
    for part in [account.as_str(), worker.as_str(), version.as_str()] {
        place.extend_from_slice(&(part.len() as u64).to_le_bytes());
        place.extend_from_slice(part.as_bytes());
    }
    place
}

impl SecretStore {
    /// Opens the directory; a new key if there is none.
    pub fn open(directory: &Path) -> Result<Self, AgentError> {
        fs::create_dir_all(directory).map_err(|error| disk::fault("create", directory, error))?;
        let path = directory.join("key");
        let bytes = match disk::read(&path)?.map(Zeroizing::new) {
            Some(bytes) if bytes.len() == 32 => bytes,
            _ => {
                let mut bytes = Zeroizing::new(vec![0; 32]);
                aws_lc_rs::rand::fill(&mut bytes).map_err(|error| disk::fault("make", &path, error))?;
                disk::write(&path, &bytes)?;
                bytes
            }
        };
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|error| disk::fault("use", &path, error))?;
        Ok(Self {
            directory: directory.to_owned(),
            key: LessSafeKey::new(key),
        })
    }

    fn path(&self, place: &[u8]) -> PathBuf {
        self.directory.join(BlobHash::of(place).to_string())
    }

    /// The values of a version, if they are here.
    pub fn get(&self, account: &TenantId, worker: &WorkerName, version: &VersionId) -> Option<Values> {
        let place = place(account, worker, version);
        let path = self.path(&place);
        let sealed = disk::read(&path).ok()??;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let Ok(plain) = self.key.open_in_place(nonce, Aad::from(&place), &mut bytes) else {
            tracing::error!(path = %path.display(), "the secrets of a version do not open with this machine's key");
            return None;
        };
        let list: Vec<(String, u64, String)> = serde_json::from_slice(plain).ok()?;
        let value = |(name, revision, value): (String, u64, String)| {
            let name = SecretName::new(name);
            (SecretRef { name, revision }, Zeroizing::new(value))
        };
        Some(list.into_iter().map(value).collect())
    }

    /// Keeps the values of a version.
    pub fn put(
        &self,
        account: &TenantId,
        worker: &WorkerName,
        version: &VersionId,
        values: &Values,
    ) -> Result<(), AgentError> {
        let place = place(account, worker, version);
        let path = self.path(&place);
        let list: Vec<(&str, u64, &str)> = values
            .iter()
            .map(|(secret, value)| (secret.name.as_str(), secret.revision, value.as_str()))
            .collect();
        let plain = serde_json::to_vec(&list).map_err(|error| disk::fault("seal", &path, error))?;
        let mut plain = Zeroizing::new(plain);
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|error| disk::fault("seal", &path, error))?;
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&place), &mut *plain)
            .map_err(|error| disk::fault("seal", &path, error))?;
        disk::write(&path, &[&nonce[..], &plain[..]].concat())
    }

    /// Removes the values of a version.
    pub fn forget(&self, account: &TenantId, worker: &WorkerName, version: &VersionId) {
        let path = self.path(&place(account, worker, version));
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(path = %path.display(), %error, "secrets could not be removed"),
        }
    }

    /// Removes everything that is of none of these versions.
    pub fn keep_only<'a>(&self, versions: impl Iterator<Item = (&'a TenantId, &'a WorkerName, &'a VersionId)>) {
        let keep: std::collections::HashSet<String> = versions
            .map(|(account, worker, version)| BlobHash::of(&place(account, worker, version)).to_string())
            .collect();
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.parse::<BlobHash>().is_ok() && !keep.contains(&name) {
                // The next start finds it again.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_sealed_and_of_one_version() {
        let temp = tempfile::tempdir().unwrap();
        let store = SecretStore::open(temp.path()).unwrap();
        let (acme, shop) = (TenantId::new("acme"), WorkerName::new("shop"));
        let (one, two) = (VersionId::new("1"), VersionId::new("2"));
        let secret = SecretRef {
            name: SecretName::new("KEY"),
            revision: 3,
        };
        let values = vec![(secret, Zeroizing::new("a canary that sings".to_owned()))];
        store.put(&acme, &shop, &one, &values).unwrap();
        store.put(&acme, &shop, &two, &values).unwrap();
        let again = SecretStore::open(temp.path()).unwrap();
        assert_eq!(again.get(&acme, &shop, &one), Some(values.clone()));
        for entry in fs::read_dir(temp.path()).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"canary"));
        }
        // In another version's place it does not open.
        fs::copy(
            store.path(&place(&acme, &shop, &one)),
            store.path(&place(&acme, &shop, &two)),
        )
        .unwrap();
        assert_eq!(store.get(&acme, &shop, &two), None);
        store.put(&acme, &shop, &two, &values).unwrap();
        store.keep_only([(&acme, &shop, &two)].into_iter());
        assert_eq!(
            (store.get(&acme, &shop, &one), store.get(&acme, &shop, &two)),
            (None, Some(values))
        );
        store.forget(&acme, &shop, &two);
        assert_eq!(store.get(&acme, &shop, &two), None);
    }
}
