//! How an upload becomes a version: checked, tried, published, stored.
//!
//! ```text
//! manifest checked, account and worker forced -> quotas -> blobs held and all there -> started once (Preflight)
//!    -> signed manifest published -> version in the catalog
//! ```
//!
//! Whoever breaks off on the way, be it the client, a refusal or a crash, leaves blobs that no version needs, which are collected
//! ([`crate::collect`]). Holding the blobs first has their collection begin anew, so none goes while the version is being made.

use crate::catalog::{Account, Caller, Catalog, CatalogError, Done, KeepSecrets, NewVersion, SecretPut, Version};
use crate::preflight::{PreflightError, PreflightErrorKind, PreflightFacts, Trial};
use crate::secrets::SecretValue;
use crate::state::ControlState;
use atoll_model::{BlobHash, Manifest, ManifestError, Quota, SecretName, TenantId, VersionId, WorkerName};
use atoll_store::artifact::{self, ArtifactError};
use atoll_store::blob::{BlobError, BlobStore, has_blob};
use futures_util::{StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long the trial of an upload may take, all in all.
pub const TRIAL_MAX: Duration = Duration::from_secs(60);
/// How many uploads are tried at a time.
pub const TRIALS_MAX: usize = 4;
/// How many more may wait for their turn.
pub const TRIALS_WAITING_MAX: usize = 64;
/// How many blobs are looked for at a time.
const LOOKS_AT_ONCE: usize = 32;

/// What is uploaded.
#[derive(Debug)]
pub struct Upload {
    /// The version's id, made by the caller: a UUID. The same one for the same request under the same idempotency key.
    pub id: VersionId,
    /// What it consists of; its account and worker are replaced.
    pub manifest: Manifest,
    /// Which secrets it has of the version before it.
    pub keep: KeepSecrets,
    /// Secrets that it gets besides.
    pub put: Vec<SecretPut>,
    /// Where the upload came from.
    pub source: String,
    /// A message for people.
    pub message: Option<String>,
    /// A name for people.
    pub tag: Option<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct Uploaded {
    /// The version.
    pub done: Done<Version>,
    /// What its trial told.
    pub facts: PreflightFacts,
}

/// Why an upload was not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The catalog refused or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The artifact is refused, or the store failed.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// It did not start.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// These blobs are to be uploaded first.
    #[error("{} blobs of the version are not in the store; upload them first", .0.len())]
    Missing(Vec<BlobHash>),
    /// The trial took too long.
    #[error("starting the version once took longer than {} s in all; nothing was stored, try again", TRIAL_MAX.as_secs())]
    Late,
    /// Too many at a time.
    #[error("{TRIALS_MAX} uploads are being tried and {TRIALS_WAITING_MAX} wait; try again")]
    Busy,
}

impl From<ManifestError> for UploadError {
    fn from(error: ManifestError) -> Self {
        Self::Artifact(error.into())
    }
}

impl From<BlobError> for UploadError {
    fn from(error: BlobError) -> Self {
        Self::Artifact(error.into())
    }
}

/// Has few uploads tried at a time. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            running: Arc::new(Semaphore::new(TRIALS_MAX)),
            waiting: Arc::new(Semaphore::new(TRIALS_MAX + TRIALS_WAITING_MAX)),
        }
    }
}

impl Gate {
    async fn enter(&self) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), UploadError> {
        let busy = |_| UploadError::Busy;
        let waiting = self
            .waiting
            .clone()
            .try_acquire_owned()
            .map_err(|_| UploadError::Busy)?;
        let running = self.running.clone().acquire_owned().await.map_err(busy)?;
        Ok((waiting, running))
    }
}

/// Those of these blobs that are not there, in their order.
pub async fn missing(
    store: &Arc<dyn BlobStore>,
    hashes: impl IntoIterator<Item = BlobHash>,
) -> Result<Vec<BlobHash>, BlobError> {
    let look = |hash: BlobHash| {
        let store = store.clone();
        async move { Ok::<_, BlobError>((!has_blob(&*store, &hash).await?).then_some(hash)) }
    };
    let looks = futures_util::stream::iter(hashes).map(look).buffered(LOOKS_AT_ONCE);
    looks
        .try_filter_map(|missing| async move { Ok(missing) })
        .try_collect()
        .await
}

fn quota(account: &Account, quota: Quota) -> u64 {
    let own = account.bounds.get(quota.key()).copied();
    own.unwrap_or(quota.default_value())
}

fn within(account: &Account, which: Quota, found: u64) -> Result<(), CatalogError> {
    let limit = quota(account, which);
    if found > limit {
        return Err(CatalogError::Quota {
            quota: which,
            limit,
            found,
        });
    }
    Ok(())
}

/// The values that the version will have, for its trial.
async fn secrets(
    catalog: &Catalog,
    account: &TenantId,
    worker: &WorkerName,
    keep: &KeepSecrets,
    put: &[SecretPut],
) -> Result<Vec<(SecretName, SecretValue)>, CatalogError> {
    let mut values = BTreeMap::new();
    let newest = catalog.versions(account.clone(), worker.clone(), None, 1).await?;
    if let Some(newest) = newest.first() {
        let kept = |name: &SecretName| match keep {
            KeepSecrets::All => true,
            KeepSecrets::Only(names) => names.contains(name),
        };
        let open = catalog
            .open_secrets(account.clone(), worker.clone(), newest.id.clone())
            .await?;
        values.extend(
            open.into_iter()
                .filter(|(secret, _)| kept(&secret.name))
                .map(|(secret, value)| (secret.name, value)),
        );
    }
    for one in put {
        match &one.value {
            Some(value) => values.insert(one.name.clone(), value.clone()),
            None => values.remove(&one.name),
        };
    }
    Ok(values.into_iter().collect())
}

/// Makes a version of an upload. The first of a name makes the worker.
pub async fn store(
    state: &ControlState,
    gate: &Gate,
    catalog: &Catalog,
    caller: &Caller,
    account: TenantId,
    worker: WorkerName,
    upload: Upload,
) -> Result<Uploaded, UploadError> {
    let mut manifest = upload.manifest;
    manifest.account = account.clone();
    manifest.worker = worker.clone();
    manifest.check()?;
    let facts = catalog.account(account.clone()).await?;
    let code_bytes = manifest
        .modules
        .iter()
        .map(|module| module.size)
        .fold(0, u64::saturating_add);
    within(&facts, Quota::CodeBytes, code_bytes)?;
    if let Some(assets) = &manifest.assets {
        within(&facts, Quota::AssetFiles, assets.files.len() as u64)?;
        let largest = assets.files.iter().map(|file| file.size).max().unwrap_or(0);
        within(&facts, Quota::AssetBytes, largest)?;
    }
    let blobs: Vec<BlobHash> = manifest.blobs().into_keys().collect();
    catalog.hold_blobs(blobs.clone()).await?;
    let missing = missing(&state.blobs, blobs).await?;
    if !missing.is_empty() {
        return Err(UploadError::Missing(missing));
    }
    let secrets = secrets(catalog, &account, &worker, &upload.keep, &upload.put).await?;
    // Quotas are of the catalog and no worker's business.
    let limits = facts.bounds.iter().filter(|(key, _)| Quota::from_key(key).is_none());
    let limits = limits.map(|(key, value)| (key.clone(), *value)).collect();
    let trial = Trial {
        manifest: &manifest,
        blobs: &state.blobs,
        secrets: &secrets,
        limits: &limits,
    };
    let tried = tokio::time::timeout(TRIAL_MAX, async {
        let _turn = gate.enter().await?;
        Ok::<_, UploadError>(state.preflight.check(trial).await?)
    });
    let tried = match tried.await {
        Ok(tried) => tried,
        Err(_) => Err(UploadError::Late),
    };
    if let Err(UploadError::Preflight(error)) = &tried
        && error.kind == PreflightErrorKind::Unavailable
    {
        tracing::warn!(%account, %worker, error = %error.message, "an upload could not be tried");
    }
    let tried = tried?;
    // The manifest is a blob as well.
    catalog.hold_blobs(vec![BlobHash::of(&manifest.to_bytes())]).await?;
    let artifact = artifact::publish(&*state.blobs, &manifest, &state.signing).await?;
    let new = NewVersion {
        id: upload.id,
        artifact,
        code_bytes,
        source: upload.source,
        message: upload.message,
        tag: upload.tag,
        startup_ms: tried.startup_ms,
        keep: upload.keep,
        put: upload.put,
    };
    let done = catalog.create_version(caller, account, worker, new).await?;
    Ok(Uploaded { done, facts: tried })
}
