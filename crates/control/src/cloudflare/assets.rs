//! Static assets: what is to be uploaded, the uploads, and the assets of a deployment.
//!
//! ```text
//! POST assets-upload-session {manifest: {"/path": {hash, size}}}  ->  {jwt, buckets: [[hash, ..], ..]}
//! POST assets/upload?base64=true   (that token, one form per bucket)  ->  202 {}   and of the last one 201 {jwt}
//! the deployment names the last token: the assets are those of the manifest of the beginning
//! ```
//!
//! The hash is the client's (of content and extension) and only says what need not be sent again; what is stored is known
//! by its SHA-256. A hash is good within its account alone. An upload ends after [`LIVES_MS`].

use super::Shared;
use super::envelope::{Answer, ApiError, Result, code, good};
use super::form;
use super::state::{Api, Who, bearer};
use super::token;
use super::upload::sign;
use crate::catalog::{Account, AssetHash, AssetUpload, CatalogError, new_hex_id};
use crate::upload::missing;
use atoll_model::artifact::{ASSETS_MAX, AssetBlob, AssetsManifest};
use atoll_model::{
    AssetsConfig, BlobHash, HtmlHandling, NotFoundHandling, Quota, RunWorkerFirst, TenantId, WorkerName,
};
use atoll_store::blob::put_blob;
use axum::Extension;
use axum::extract::{Multipart, Path, Query};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How long an upload may take, and how long after it the deployment may come, milliseconds: an hour each way.
const LIVES_MS: u64 = 60 * 60 * 1000;
/// The most files of a bucket.
const BUCKET_FILES_MAX: usize = 500;
/// About how many bytes a bucket has; one file alone may have more.
const BUCKET_BYTES: u64 = 8 << 20;
/// The most bytes of one file through this API, whatever the account may have: its bucket has to fit [`super::BODY_MAX`].
const FILE_BYTES_MAX: u64 = 40 << 20;
/// How many files of a bucket are written at a time.
const WRITES: usize = 8;
const PURPOSE: &str = "cloudflare assets";

/// What a token of this module says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    upload: String,
    account: TenantId,
    worker: WorkerName,
    /// Everything is there.
    done: bool,
}

/// The beginning of an upload.
#[derive(Deserialize)]
pub(super) struct Begin {
    manifest: BTreeMap<String, ManifestEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ManifestEntry {
    hash: String,
    size: u64,
}

/// The `assets` of the metadata of an upload.
#[derive(Debug, Deserialize)]
pub(super) struct AssetsMetadata {
    jwt: Option<String>,
    config: Option<Config>,
}

#[derive(Debug, Default, Deserialize)]
struct Config {
    html_handling: Option<HtmlHandling>,
    not_found_handling: Option<NotFoundHandling>,
    run_worker_first: Option<RunWorkerFirst>,
    base_path: Option<String>,
    _redirects: Option<String>,
    _headers: Option<String>,
}

fn quota(account: &Account, quota: Quota) -> u64 {
    let own = account.bounds.get(quota.key());
    own.copied().unwrap_or_else(|| quota.default_value())
}

/// What the manifest names, each hash once.
fn wanted(account: &Account, manifest: &BTreeMap<String, ManifestEntry>) -> Result<Vec<AssetHash>> {
    let (count, files) = (manifest.len(), quota(account, Quota::AssetFiles).min(ASSETS_MAX as u64));
    if count as u64 > files {
        return Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            code::TOO_LARGE,
            format!("{count} assets are more than the {files} that the account may have (asset_files_max)"),
        ));
    }
    let most = quota(account, Quota::AssetBytes).min(FILE_BYTES_MAX);
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    for (path, ManifestEntry { hash, size }) in manifest {
        if hash.len() != 32 || !hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ApiError::validation(format!(
                "the hash of asset {path:?} is not 32 lower-case hexadecimal digits"
            )));
        }
        if !path.starts_with('/') {
            return Err(ApiError::validation(format!(
                "the path of asset {path:?} does not begin with a slash"
            )));
        }
        if *size > most {
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                code::TOO_LARGE,
                format!("asset {path:?} has {size} bytes; {most} is the most (asset_bytes_max)"),
            ));
        }
        if *sizes.entry(hash).or_insert(*size) != *size {
            return Err(ApiError::validation(format!(
                "asset {path:?} has the hash of one of another size"
            )));
        }
    }
    let asset = |(hash, size): (&str, u64)| AssetHash {
        hash: hash.to_owned(),
        size,
    };
    Ok(sizes.into_iter().map(asset).collect())
}

/// What is to be sent together.
fn buckets(left: &[AssetHash]) -> Vec<Vec<&str>> {
    let mut buckets: Vec<Vec<&str>> = Vec::new();
    let mut bytes = 0;
    for asset in left {
        let fits = buckets
            .last()
            .is_some_and(|bucket| bucket.len() < BUCKET_FILES_MAX && bytes + asset.size <= BUCKET_BYTES);
        if !fits {
            buckets.push(Vec::new());
            bytes = 0;
        }
        bytes += asset.size;
        if let Some(bucket) = buckets.last_mut() {
            bucket.push(&asset.hash);
        }
    }
    buckets
}

/// Hashes whose bytes were stored once and are no more stand for nothing; the bytes of the others stay for now.
async fn forget_lost(api: &Api, account: &TenantId, wanted: &[AssetHash]) -> Result<()> {
    let hashes = wanted.iter().map(|asset| asset.hash.clone()).collect();
    let known = api.catalog.asset_blobs(account.clone(), hashes).await?;
    let blobs: BTreeSet<BlobHash> = known.into_values().map(|(blob, _)| blob).collect();
    api.hold(blobs.iter().copied().collect()).await?;
    for blob in missing(&api.blobs, blobs).await? {
        api.catalog.forget_assets(account.clone(), blob).await?;
    }
    Ok(())
}

/// `POST .../scripts/{name}/assets-upload-session`
pub(super) async fn begin(
    api: Api,
    who: Who,
    Path((account, worker)): Path<(String, String)>,
    super::Body(begin): super::Body<Begin>,
) -> Answer {
    let (account, worker) = who.writes(&account, &worker)?;
    let facts = api.catalog.account(account.clone()).await?;
    let wanted = wanted(&facts, &begin.manifest)?;
    forget_lost(&api, &account, &wanted).await?;
    let id = new_hex_id()?;
    let upload = AssetUpload {
        account: account.clone(),
        worker: worker.clone(),
        manifest: serde_json::to_string(&begin.manifest).map_err(ApiError::internal)?,
    };
    // The rows live as long as the last token that names them may.
    let left = api
        .catalog
        .begin_asset_upload(id.clone(), upload, wanted, 2 * LIVES_MS)
        .await?;
    let claims = Claims {
        upload: id,
        account,
        worker,
        done: left.is_empty(),
    };
    let jwt = sign(&api, PURPOSE, &claims, LIVES_MS)?;
    good(json!({"jwt": jwt, "buckets": buckets(&left)}))
}

/// `?base64=true`
#[derive(Deserialize)]
pub(super) struct Encoding {
    #[serde(default)]
    base64: bool,
}

/// `POST .../workers/assets/upload`
pub(super) async fn upload(
    api: Api,
    Extension(shared): Extension<Arc<Shared>>,
    Path(account): Path<String>,
    Query(encoding): Query<Encoding>,
    headers: HeaderMap,
    form: Multipart,
) -> Answer {
    let refused = || {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            code::AUTHENTICATION,
            "Authentication error: the upload's token is not valid or has ended; deploy again",
        )
    };
    let token = bearer(&headers).ok_or_else(refused)?;
    let claims: Claims = token::read(&api.catalog, PURPOSE, token, api.clock.now_ms()).ok_or_else(refused)?;
    if claims.account.as_str() != account {
        return Err(refused());
    }
    let _turn = shared.turn().await?;
    let mut files: BTreeMap<String, Bytes> = BTreeMap::new();
    for part in form::parts(form).await? {
        let bytes = if encoding.base64 {
            let bytes = BASE64.decode(&part.bytes);
            bytes
                .map(Bytes::from)
                .map_err(|error| ApiError::bad(code::BODY, format!("asset {} is not base64: {error}", part.name)))?
        } else {
            part.bytes
        };
        files.insert(part.name, bytes);
    }
    let hashes: Vec<String> = files.keys().cloned().collect();
    let awaited = match api.catalog.awaited_assets(claims.upload.clone(), hashes).await {
        Err(CatalogError::NotFound { .. }) => return Err(refused()),
        awaited => awaited?,
    };
    // One that is not awaited any more came before: the client tries again because an answer was lost.
    files.retain(|hash, _| awaited.contains_key(hash));
    for (hash, bytes) in &files {
        let (found, expected) = (bytes.len() as u64, awaited.get(hash).copied().unwrap_or_default());
        if found != expected {
            return Err(ApiError::validation(format!(
                "asset {hash} has {found} bytes, the manifest says {expected}"
            )));
        }
    }
    api.hold(files.values().map(|bytes| BlobHash::of(bytes)).collect())
        .await?;
    let store = async |(hash, bytes): (String, Bytes)| {
        let size = bytes.len() as u64;
        let blob = put_blob(&*api.blobs, bytes).await?;
        Ok::<_, ApiError>((hash, blob, size))
    };
    let stored: Vec<_> = stream::iter(files)
        .map(store)
        .buffer_unordered(WRITES)
        .try_collect()
        .await?;
    let done = api
        .catalog
        .note_assets(claims.upload.clone(), claims.account.clone(), stored)
        .await?;
    if !done {
        return Ok(good(json!({}))?.status(StatusCode::ACCEPTED));
    }
    let jwt = sign(&api, PURPOSE, &Claims { done, ..claims }, LIVES_MS)?;
    Ok(good(json!({"jwt": jwt}))?.status(StatusCode::CREATED))
}

/// The assets that a deployment names.
pub(super) async fn manifest(
    api: &Api,
    account: &TenantId,
    worker: &WorkerName,
    asked: &AssetsMetadata,
    binding: Option<String>,
) -> Result<AssetsManifest> {
    let refused = |why: &str| ApiError::validation(format!("the assets' token {why}; deploy again"));
    let token = asked.jwt.as_deref().ok_or_else(|| refused("is missing"))?;
    let claims: Claims = token::read(&api.catalog, PURPOSE, token, api.clock.now_ms())
        .ok_or_else(|| refused("is not valid or has ended"))?;
    if claims.account != *account || claims.worker != *worker {
        return Err(refused("is for another worker"));
    }
    if !claims.done {
        return Err(refused("is that of an upload that is not finished"));
    }
    let upload = match api.catalog.asset_upload(claims.upload).await {
        Err(CatalogError::NotFound { .. }) => return Err(refused("has ended")),
        upload => upload?,
    };
    let entries: BTreeMap<String, ManifestEntry> =
        serde_json::from_str(&upload.manifest).map_err(ApiError::internal)?;
    let hashes = entries.values().map(|entry| entry.hash.clone()).collect();
    let blobs = api.catalog.asset_blobs(account.clone(), hashes).await?;
    let mut files = Vec::with_capacity(entries.len());
    for (path, ManifestEntry { hash, .. }) in entries {
        let (blob, size) = *blobs
            .get(&hash)
            .ok_or_else(|| refused(&format!("names asset {path:?}, whose bytes are gone")))?;
        files.push(AssetBlob {
            path,
            blob,
            size,
            // The name says it: clients take the type that they send from it, too.
            content_type: None,
        });
    }
    let default = Config::default();
    let config = asked.config.as_ref().unwrap_or(&default);
    if config
        .base_path
        .as_deref()
        .is_some_and(|path| !matches!(path, "" | "/"))
    {
        return Err(ApiError::validation(
            "`assets.base_path` is not built in this release of Atoll; put the files into a folder of that name",
        ));
    }
    Ok(AssetsManifest {
        config: AssetsConfig {
            binding,
            html_handling: config.html_handling.unwrap_or_default(),
            not_found_handling: config.not_found_handling.unwrap_or_default(),
            run_worker_first: config.run_worker_first.clone().unwrap_or_default(),
        },
        headers: config._headers.clone(),
        redirects: config._redirects.clone(),
        files,
    })
}

/// The assets' settings, as they are shown.
pub(super) fn show(assets: &AssetsManifest) -> Value {
    json!({
        "html_handling": assets.config.html_handling,
        "not_found_handling": assets.config.not_found_handling,
        "run_worker_first": assets.config.run_worker_first,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_full_by_files_or_by_bytes() {
        let assets = |sizes: &[u64]| -> Vec<AssetHash> {
            let asset = |(at, size): (usize, &u64)| AssetHash {
                hash: format!("{at:032x}"),
                size: *size,
            };
            sizes.iter().enumerate().map(asset).collect()
        };
        let check = |sizes: &[u64], expected: &[usize]| {
            let assets = assets(sizes);
            let buckets = buckets(&assets);
            let lengths: Vec<usize> = buckets.iter().map(Vec::len).collect();
            assert_eq!(lengths, expected);
        };
        check(&[], &[]);
        check(&[1, 2, 3], &[3]);
        check(&[BUCKET_BYTES, 1, FILE_BYTES_MAX, 1], &[1, 1, 1, 1]);
        check(&[BUCKET_BYTES - 1, 1, 1], &[2, 1]);
        check(&vec![0; BUCKET_FILES_MAX + 1], &[BUCKET_FILES_MAX, 1]);
        // A bucket of one file of the largest size, in base64 and with its form's lines, is below what a body may be.
        assert!(FILE_BYTES_MAX * 4 / 3 + 4096 < super::super::BODY_MAX as u64);
    }
}
