//! Signed artifacts in a store of blobs: published where they are accepted, verified where they are loaded.
//!
//! ```text
//! blobs/ab/abcd...        the manifest (JSON) and every module and asset it names, each by its SHA-256
//! signatures/ab/abcd...   for the manifest of that hash: {"payloadType": .., "signatures": [{"keyid": .., "sig": ..}]}
//! ```
//!
//! A signature is Ed25519 over the pre-authentication encoding of DSSE 1.0 (the envelope format of in-toto), so that it
//! can be for nothing but a manifest. The manifest names account and worker: nobody's artifact can be put under another
//! name. Order of publication: blobs, manifest, signature; so whoever finds the signature finds all of it.

use crate::blob::{BlobError, BlobStore, Expect, get_blob, has_blob, put_blob};
use atoll_model::artifact::MANIFEST_BYTES_MAX;
use atoll_model::{BlobHash, Manifest, ManifestError, TenantId, WorkerName};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is signed.
const PAYLOAD_TYPE: &str = "application/vnd.atoll.artifact+json";
/// The most signatures that are looked at.
const SIGNATURES_MAX: usize = 16;

/// Why an artifact was not published or is not loaded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ArtifactError {
    /// The store failed, or an object is missing or damaged.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The manifest is refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It names a blob that was not uploaded.
    #[error("the artifact needs blob {0}, which is not in the store; upload it first")]
    Missing(BlobHash),
    /// A blob does not have the size that the manifest says.
    #[error("blob {blob} has {found} bytes, the manifest says {expected}")]
    Size {
        /// Which.
        blob: BlobHash,
        /// What the manifest says.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// No key that is trusted has signed it.
    #[error("artifact {0} is not signed by a key that this node trusts; it is not loaded")]
    Untrusted(BlobHash),
    /// It is somebody else's.
    #[error("artifact {artifact} is of worker {worker} of account {account}, not of the one that asks for it")]
    Foreign {
        /// Which.
        artifact: BlobHash,
        /// Whose it is.
        account: TenantId,
        /// What it is a version of.
        worker: WorkerName,
    },
    /// A key is not one.
    #[error("the signing key cannot be read: {0}")]
    Key(String),
}

/// Names a public key: the first 16 hexadecimal digits of its SHA-256.
pub type KeyId = String;

fn key_id(public: &[u8]) -> KeyId {
    BlobHash::of(public).to_string()[..16].to_owned()
}

/// A private key that signs artifacts.
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id())
    }
}

impl SigningKey {
    /// A new key, as PKCS#8 to keep.
    pub fn generate() -> Result<Vec<u8>, ArtifactError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| ArtifactError::Key("the system gives no randomness".to_owned()))?;
        Ok(document.as_ref().to_vec())
    }

    /// Reads a key.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, ArtifactError> {
        let pair = Ed25519KeyPair::from_pkcs8(bytes).map_err(|error| ArtifactError::Key(error.to_string()))?;
        Ok(Self { pair })
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        key_id(self.public())
    }

    /// What verifies its signatures: 32 bytes.
    pub fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }
}

/// The public keys whose signatures count.
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys {
    keys: Vec<(KeyId, Vec<u8>)>,
}

impl TrustedKeys {
    /// Of these public keys, 32 bytes each.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let keys = keys.into_iter().map(|key| (key_id(key), key.to_vec()));
        Self { keys: keys.collect() }
    }

    fn have_signed(&self, signatures: &Signatures, payload: &[u8]) -> bool {
        let message = encoding(payload);
        let verifies = |signature: &Signature| {
            let Ok(bytes) = BASE64.decode(&signature.sig) else {
                return false;
            };
            let mut named = self.keys.iter().filter(|(id, _)| *id == signature.keyid);
            named.any(|(_, key)| UnparsedPublicKey::new(&ED25519, key).verify(&message, &bytes).is_ok())
        };
        let some = signatures.signatures.iter().take(SIGNATURES_MAX).any(verifies);
        signatures.payload_type == PAYLOAD_TYPE && some
    }
}

#[derive(Serialize, Deserialize)]
struct Signatures {
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    keyid: KeyId,
    sig: String,
}

/// DSSE's pre-authentication encoding, `PAE(type, payload)`: https://github.com/secure-systems-lab/dsse, protocol 1.0.
fn encoding(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Where the signatures of a manifest lie.
pub fn signature_key(manifest: &BlobHash) -> String {
    let hash = manifest.to_string();
    format!("signatures/{}/{hash}", &hash[..2])
}

/// Publishes an artifact whose modules and assets are in the store, and gives its name. To do it again changes nothing.
pub async fn publish(store: &dyn BlobStore, manifest: &Manifest, key: &SigningKey) -> Result<BlobHash, ArtifactError> {
    manifest.check()?;
    for (blob, size) in manifest.blobs() {
        match (store.head(&crate::blob::blob_key(&blob)).await, size) {
            (Ok(facts), Some(expected)) if facts.size != expected => {
                let found = facts.size;
                return Err(ArtifactError::Size { blob, expected, found });
            }
            (Ok(_), _) => {}
            (Err(BlobError::NotFound { .. }), _) => return Err(ArtifactError::Missing(blob)),
            (Err(error), _) => return Err(error.into()),
        }
    }
    let bytes = manifest.to_bytes();
    if bytes.len() > MANIFEST_BYTES_MAX {
        let what = format!("it has {} bytes; {MANIFEST_BYTES_MAX} is the most", bytes.len());
        return Err(ManifestError::Content(what).into());
    }
    let signature = Signature {
        keyid: key.id(),
        sig: BASE64.encode(key.pair.sign(&encoding(&bytes))),
    };
    let hash = put_blob(store, bytes.into()).await?;
    let signatures = Signatures {
        payload_type: PAYLOAD_TYPE.to_owned(),
        signatures: vec![signature],
    };
    // Two strings and a list: nothing in it can fail to be written.
    let text = serde_json::to_vec(&signatures).unwrap_or_default();
    store.put(&signature_key(&hash), text.into(), Expect::Anything).await?;
    Ok(hash)
}

/// The manifest of an artifact of this account's worker, if a trusted key has signed it.
pub async fn load(
    store: &dyn BlobStore,
    artifact: &BlobHash,
    account: &TenantId,
    worker: &WorkerName,
    trusted: &TrustedKeys,
) -> Result<Manifest, ArtifactError> {
    let bytes = get_blob(store, artifact).await?;
    let signatures = match store.get(&signature_key(artifact), None).await {
        Ok(object) => object.bytes,
        Err(BlobError::NotFound { .. }) => return Err(ArtifactError::Untrusted(*artifact)),
        Err(error) => return Err(error.into()),
    };
    let signatures: Option<Signatures> = serde_json::from_slice(&signatures).ok();
    // Before a byte of it is understood.
    if !signatures.is_some_and(|signatures| trusted.have_signed(&signatures, &bytes)) {
        return Err(ArtifactError::Untrusted(*artifact));
    }
    let manifest = Manifest::from_bytes(&bytes)?;
    if manifest.account != *account || manifest.worker != *worker {
        return Err(ArtifactError::Foreign {
            artifact: *artifact,
            account: manifest.account,
            worker: manifest.worker,
        });
    }
    Ok(manifest)
}

/// Which of these blobs are not in the store: what a client still has to upload.
pub async fn missing(
    store: &dyn BlobStore,
    blobs: impl IntoIterator<Item = BlobHash>,
) -> Result<Vec<BlobHash>, BlobError> {
    let mut missing = Vec::new();
    for blob in blobs {
        if !has_blob(store, &blob).await? {
            missing.push(blob);
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{DirectoryStore, blob_key};
    use atoll_model::artifact::{FORMAT_VERSION, ModuleBlob};
    use atoll_model::{CompatDate, ModuleKind, OutboundRules};
    use bytes::Bytes;

    const CODE: &[u8] = b"export default { fetch() {} }";

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT_VERSION,
            account: TenantId::new("acme"),
            worker: WorkerName::new("shop"),
            main_module: Some("index.js".into()),
            modules: vec![ModuleBlob {
                name: "index.js".into(),
                kind: ModuleKind::Esm,
                blob: BlobHash::of(CODE),
                size: CODE.len() as u64,
                source_map: None,
            }],
            assets: None,
            compat_date: CompatDate::NEWEST,
            compat_flags: Vec::new(),
            bindings: Vec::new(),
            tail_consumers: Vec::new(),
            limits: Default::default(),
            outbound: OutboundRules::default(),
        }
    }

    fn key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap()
    }

    fn trusting(key: &SigningKey) -> TrustedKeys {
        TrustedKeys::new([key.public()])
    }

    async fn store() -> (tempfile::TempDir, DirectoryStore) {
        let temp = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(temp.path()).unwrap();
        put_blob(&store, Bytes::from_static(CODE)).await.unwrap();
        (temp, store)
    }

    #[tokio::test]
    async fn what_is_published_is_loaded_by_its_owner() {
        let (_temp, store) = store().await;
        let key = key();
        let hash = publish(&store, &manifest(), &key).await.unwrap();
        assert_eq!(publish(&store, &manifest(), &key).await.unwrap(), hash);
        let (account, worker) = (TenantId::new("acme"), WorkerName::new("shop"));
        let loaded = load(&store, &hash, &account, &worker, &trusting(&key)).await.unwrap();
        assert_eq!(loaded, manifest());
        for (account, worker) in [("other", "shop"), ("acme", "other")] {
            let (account, worker) = (TenantId::new(account), WorkerName::new(worker));
            let result = load(&store, &hash, &account, &worker, &trusting(&key)).await;
            assert!(matches!(result, Err(ArtifactError::Foreign { .. })), "{result:?}");
        }
    }

    #[tokio::test]
    async fn what_nobody_trusted_signed_is_not_loaded() {
        let (_temp, store) = store().await;
        let (ours, theirs) = (key(), key());
        let hash = publish(&store, &manifest(), &theirs).await.unwrap();
        let (account, worker) = (TenantId::new("acme"), WorkerName::new("shop"));
        let untrusted = async |hash: &BlobHash| {
            let result = load(&store, hash, &account, &worker, &trusting(&ours)).await;
            assert!(matches!(result, Err(ArtifactError::Untrusted(_))), "{result:?}");
        };
        untrusted(&hash).await;
        // The key's name alone does not help, nor does a signature of another manifest.
        let signature = store.get(&signature_key(&hash), None).await.unwrap().bytes;
        let text = String::from_utf8(signature.to_vec())
            .unwrap()
            .replace(&theirs.id(), &ours.id());
        store
            .put(&signature_key(&hash), text.into(), Expect::Anything)
            .await
            .unwrap();
        untrusted(&hash).await;
        let mut other = manifest();
        other.compat_flags.push("nodejs_compat".into());
        let signed = publish(&store, &other, &ours).await.unwrap();
        let moved = store.get(&signature_key(&signed), None).await.unwrap().bytes;
        store.put(&signature_key(&hash), moved, Expect::Anything).await.unwrap();
        untrusted(&hash).await;
        for nonsense in ["", "{}", "{\"payloadType\":\"x\",\"signatures\":[]}"] {
            store
                .put(&signature_key(&hash), nonsense.into(), Expect::Anything)
                .await
                .unwrap();
            untrusted(&hash).await;
        }
        store.delete(&signature_key(&hash)).await.unwrap();
        untrusted(&hash).await;
        // A manifest that was changed has another hash.
        store
            .put(&blob_key(&hash), other.to_bytes().into(), Expect::Anything)
            .await
            .unwrap();
        let result = load(&store, &hash, &account, &worker, &trusting(&ours)).await;
        assert!(
            matches!(result, Err(ArtifactError::Blob(BlobError::Corrupt { .. }))),
            "{result:?}"
        );
    }

    #[tokio::test]
    async fn an_artifact_is_published_whole_or_not() {
        let (_temp, store) = store().await;
        let mut lacking = manifest();
        lacking.modules[0].blob = BlobHash::of(b"never uploaded");
        let blobs = lacking.blobs().into_keys();
        assert_eq!(missing(&store, blobs).await.unwrap(), [BlobHash::of(b"never uploaded")]);
        let result = publish(&store, &lacking, &key()).await;
        assert!(matches!(result, Err(ArtifactError::Missing(_))), "{result:?}");
        let mut lying = manifest();
        lying.modules[0].size += 1;
        let result = publish(&store, &lying, &key()).await;
        assert!(matches!(result, Err(ArtifactError::Size { .. })), "{result:?}");
        assert_eq!(store.list("signatures/", None, 10).await.unwrap().objects, []);
    }
}
