//! Collects blobs that no version needs any more.
//!
//! A pass reads which artifacts the catalog's versions have, which blobs their manifests name and which are values in the log of KV edits, walks the store, and notes
//! which blobs nothing needs ([`crate::catalog::Catalog::hold_blobs`] has the states). A blob that nothing has needed for the grace is condemned
//! in the catalog and then removed from the store, with its signature if it was a manifest.
//!
//! - A version that is being made holds its blobs first, and the grace is far longer than that takes. So no pass removes what it found to be
//!   needed by nobody a moment before it was.
//! - A pass that cannot read a manifest ends without removing anything.
//! - A pass may be broken off anywhere: what it noted stays, and the next one goes on.

use crate::catalog::{Catalog, CatalogError};
use crate::state::ControlState;
use atoll_model::{BlobHash, Manifest};
use atoll_stdx::Clock;
use atoll_store::artifact::signature_key;
use atoll_store::blob::{BlobError, BlobStore, PAGE_KEYS_MAX, blob_key, get_blob};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The shortest grace: longer than any upload may take.
pub const GRACE_MIN: Duration = Duration::from_secs(3_600);
/// The usual grace.
pub const GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// How often [`keep`] makes a pass.
pub const EVERY: Duration = Duration::from_secs(6 * 60 * 60);
/// How many artifacts are read from the catalog at a time, and how many blobs are removed at a time.
const PAGE: usize = 500;

/// Why a pass ended early. Nothing was removed that anything needs.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store of blobs.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A version's manifest cannot be understood, so nobody knows what it needs.
    #[error("the manifest {artifact} of a version cannot be read ({reason}); nothing is collected until it can")]
    Manifest {
        /// Which.
        artifact: BlobHash,
        /// Why.
        reason: String,
    },
}

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs that versions need, manifests included, and values of KV edits.
    pub needed: u64,
    /// Blobs of the store.
    pub found: u64,
    /// Blobs that nothing needs.
    pub orphans: u64,
    /// Blobs that were removed; in a dry run: that would have been.
    pub removed: u64,
    /// Their bytes, as far as the pass saw them.
    pub removed_bytes: u64,
}

async fn needed(catalog: &Catalog, store: &Arc<dyn BlobStore>) -> Result<HashSet<BlobHash>, CollectError> {
    let (mut needed, mut after) = (HashSet::new(), None);
    loop {
        let values = catalog.kv_blobs(after, PAGE).await?;
        let Some(last) = values.last() else { break };
        after = Some(*last);
        needed.extend(values);
    }
    after = None;
    loop {
        let artifacts = catalog.artifacts(after, PAGE).await?;
        let Some(last) = artifacts.last() else {
            return Ok(needed);
        };
        after = Some(*last);
        for artifact in artifacts {
            let bytes = match get_blob(&**store, &artifact).await {
                Ok(bytes) => bytes,
                Err(BlobError::NotFound { key }) => {
                    return Err(CollectError::Manifest {
                        artifact,
                        reason: format!("{key} is not in the store"),
                    });
                }
                Err(error) => return Err(error.into()),
            };
            let manifest = Manifest::from_bytes(&bytes).map_err(|error| CollectError::Manifest {
                artifact,
                reason: error.to_string(),
            })?;
            needed.insert(artifact);
            needed.extend(manifest.blobs().into_keys());
        }
    }
}

/// Makes a pass. `grace` is at least [`GRACE_MIN`]. A dry run notes nothing and removes nothing.
pub async fn collect(
    catalog: &Catalog,
    store: &Arc<dyn BlobStore>,
    clock: &dyn Clock,
    grace: Duration,
    dry: bool,
) -> Result<Collected, CollectError> {
    let grace_ms = u64::try_from(grace.max(GRACE_MIN).as_millis()).unwrap_or(u64::MAX);
    let before_ms = clock.now_ms().saturating_sub(grace_ms);
    let needed = needed(catalog, store).await?;
    let mut told = Collected {
        needed: needed.len() as u64,
        ..Collected::default()
    };
    let due: HashSet<BlobHash> = match dry {
        true => catalog.due_orphans(before_ms).await?.into_iter().collect(),
        false => HashSet::new(),
    };
    let mut sizes = HashMap::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.list("blobs/", after.as_deref(), PAGE_KEYS_MAX).await?;
        let (mut used, mut orphans) = (Vec::new(), Vec::new());
        for object in &page.objects {
            let hash = object
                .key
                .rsplit('/')
                .next()
                .and_then(|name| name.parse::<BlobHash>().ok());
            // What is not named like a blob is not ours to remove.
            let Some(hash) = hash.filter(|hash| blob_key(hash) == object.key) else {
                continue;
            };
            told.found += 1;
            if needed.contains(&hash) {
                used.push(hash);
                continue;
            }
            told.orphans += 1;
            sizes.insert(hash, object.size);
            if due.contains(&hash) {
                told.removed += 1;
                told.removed_bytes += object.size;
            }
            orphans.push(hash);
        }
        if !dry {
            catalog.note_orphans(used, orphans).await?;
        }
        match page.objects.last() {
            Some(last) if page.more => after = Some(last.key.clone()),
            _ => break,
        }
    }
    if dry {
        return Ok(told);
    }
    loop {
        let condemned = catalog.condemn(before_ms, PAGE).await?;
        if condemned.is_empty() {
            return Ok(told);
        }
        for hash in &condemned {
            // The signature first: without it the manifest is nothing.
            store.delete(&signature_key(hash)).await?;
            store.delete(&blob_key(hash)).await?;
            told.removed += 1;
            told.removed_bytes += sizes.get(hash).copied().unwrap_or(0);
        }
        catalog.forget_orphans(condemned).await?;
    }
}

/// Makes a pass every now and then while this control plane leads, until `stop`. The first one comes after [`EVERY`]: a control
/// plane that has just begun has other things to do.
pub async fn keep(state: Arc<ControlState>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let Ok(catalog) = state.catalog() else { continue };
        let pass = collect(&catalog, &state.blobs, &*state.clock, GRACE, false);
        let done = tokio::select! {
            () = stop.cancelled() => return,
            done = pass => done,
        };
        match done {
            Ok(told) => tracing::info!(
                needed = told.needed,
                orphans = told.orphans,
                removed = told.removed,
                removed_bytes = told.removed_bytes,
                "blobs that no version needs were collected"
            ),
            Err(error) => tracing::warn!(%error, "blobs that no version needs were not collected"),
        }
    }
}
