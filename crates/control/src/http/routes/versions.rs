//! Blobs and versions: an upload asks which blobs are missing, uploads those, and then makes the version of them.

use super::super::context::{Context, Reply, limit, ok, page};
use super::super::endpoint::{BodyRule, Endpoint, Need};
use super::super::error::ApiError;
use super::told;
use crate::catalog::{self, SecretPut};
use crate::collect::{CollectError, Collected, GRACE, GRACE_MIN, collect};
use crate::secrets::SecretValue;
use crate::upload::{self, TRIAL_MAX, Upload};
use atoll_api::rest::{
    BlobStored, BlobsCollected, BlobsMissing, BlobsWanted, CollectBlobs, Export, KeepSecrets, NewVersion, PageQuery,
    Version,
};
use atoll_model::artifact::MANIFEST_BYTES_MAX;
use atoll_model::edge::RECENT_MAX;
use atoll_model::{Action, BlobHash, Resource, SecretName, VersionId};
use atoll_store::artifact;
use atoll_store::blob::{OBJECT_BYTES_MAX, put_blob};
use bytes::BytesMut;
use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::time::Duration;

/// The most hashes of one question.
const HASHES_MAX: usize = 10_000;
/// How long a collection may take when it is asked for.
const COLLECT_MAX: Duration = Duration::from_secs(600);
/// How long the upload of a blob may take.
const BLOB_MAX: Duration = Duration::from_secs(300);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new::<BlobsMissing, _>(
            Method::POST,
            "/v1/accounts/{account}/blobs/missing",
            "missingBlobs",
            "Which of these blobs are not in the store? Those that are stay at least an hour, so that a version can be made of them.",
            Need::SomeWorker(Resource::Worker, Action::Write),
            missing,
        )
        .takes::<BlobsWanted>(),
        Endpoint::new::<BlobStored, _>(
            Method::PUT,
            "/v1/accounts/{account}/blobs/{hash}",
            "putBlob",
            "Stores a blob under its SHA-256. Bytes of another hash are refused. To do it again changes nothing.",
            Need::SomeWorker(Resource::Worker, Action::Write),
            put,
        )
        .body(BodyRule::Stream)
        .within(BLOB_MAX)
        .creates(),
        Endpoint::new::<BlobsCollected, _>(
            Method::POST,
            "/v1/blobs/collect",
            "collectBlobs",
            "Removes blobs that no version has needed for a while. The control plane does so by itself every few hours.",
            Need::Platform(Resource::Account, Action::Write),
            collect_blobs,
        )
        .takes::<CollectBlobs>()
        .within(COLLECT_MAX),
        Endpoint::new::<Version, _>(
            Method::POST,
            "/v1/accounts/{account}/workers/{worker}/versions",
            "createVersion",
            "Makes a version of blobs that were uploaded. It is started once before it is stored; it serves when it is deployed. The first of a name makes the worker.",
            Need::Account(Resource::Worker, Action::Write),
            create,
        )
        .takes::<NewVersion>()
        .body(BodyRule::Json(MANIFEST_BYTES_MAX + (1 << 20)))
        .within(TRIAL_MAX + Duration::from_secs(60))
        .creates(),
        Endpoint::list::<Version, _>(
            "/v1/accounts/{account}/workers/{worker}/versions",
            "listVersions",
            "Versions, the newest first.",
            Need::Account(Resource::Worker, Action::Read),
            list,
        )
        .asks::<PageQuery>(),
        Endpoint::new::<Version, _>(
            Method::GET,
            "/v1/accounts/{account}/workers/{worker}/versions/{version}",
            "getVersion",
            "A version, with what it consists of.",
            Need::Account(Resource::Worker, Action::Read),
            get,
        ),
    ]
}

async fn missing(context: Context) -> Reply {
    let wanted: BlobsWanted = context.json()?;
    if wanted.hashes.len() > HASHES_MAX {
        return Err(ApiError::too_large(format!(
            "{} hashes are asked for; {HASHES_MAX} is the most at a time",
            wanted.hashes.len()
        )));
    }
    let mut seen = HashSet::new();
    let mut hashes = Vec::with_capacity(wanted.hashes.len());
    for text in &wanted.hashes {
        let hash = told::hash(text)?;
        if seen.insert(hash) {
            hashes.push(hash);
        }
    }
    context.catalog.hold_blobs(hashes.clone()).await?;
    let missing = upload::missing(&context.state().blobs, hashes).await?;
    ok(&BlobsMissing {
        missing: missing.iter().map(ToString::to_string).collect(),
    })
}

async fn put(context: Context) -> Reply {
    let expected = told::hash(context.part("hash"))?;
    let length = context
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let too_large = || ApiError::too_large(format!("a blob has at most {OBJECT_BYTES_MAX} bytes"));
    if length.is_some_and(|length| length > OBJECT_BYTES_MAX) {
        return Err(too_large());
    }
    let kib = length.unwrap_or(OBJECT_BYTES_MAX).div_ceil(1024).max(1);
    let room = context
        .api
        .room
        .clone()
        .acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX))
        .await;
    let _room = room.map_err(|error| ApiError::internal(error.to_string()))?;
    let mut body = context.take_stream();
    let mut bytes = BytesMut::with_capacity(length.unwrap_or(0));
    let mut digest = Sha256::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ApiError::invalid(format!("the blob did not arrive: {error}")))?;
        let Ok(part) = frame.into_data() else { continue };
        if bytes.len() + part.len() > OBJECT_BYTES_MAX {
            return Err(too_large());
        }
        digest.update(&part);
        bytes.extend_from_slice(&part);
    }
    let found = BlobHash(digest.finalize().into());
    if found != expected {
        return Err(ApiError::invalid(format!(
            "the bytes have the SHA-256 {found}, not {expected}: the upload was damaged, or the address is wrong"
        )));
    }
    context.catalog.hold_blobs(vec![found]).await?;
    let size = bytes.len() as u64;
    put_blob(&*context.state().blobs, bytes.freeze()).await?;
    super::super::context::json(
        StatusCode::CREATED,
        &BlobStored {
            hash: found.to_string(),
            size,
        },
    )
}

async fn collect_blobs(context: Context) -> Reply {
    let asked: CollectBlobs = context.json()?;
    let grace = asked.grace_s.map_or(GRACE, Duration::from_secs);
    if grace < GRACE_MIN {
        return Err(ApiError::invalid(format!(
            "the grace is at least {} s",
            GRACE_MIN.as_secs()
        )));
    }
    let state = context.state();
    let told = collect(&context.catalog, &state.blobs, &*state.clock, grace, asked.dry_run).await;
    let told = told.map_err(|error| match error {
        CollectError::Catalog(error) => error.into(),
        CollectError::Blob(error) => error.into(),
        error @ CollectError::Manifest { .. } => ApiError::new(StatusCode::CONFLICT, "conflict", error.to_string())
            .hint("remove the version, or restore the blob"),
    });
    let told: Collected = told?;
    ok(&BlobsCollected {
        needed: told.needed,
        found: told.found,
        orphans: told.orphans,
        removed: told.removed,
        removed_bytes: told.removed_bytes,
    })
}

async fn create(context: Context) -> Reply {
    let new: NewVersion = context.json()?;
    let put = |(name, value): (String, Option<String>)| SecretPut {
        name: SecretName::new(name),
        value: value.map(SecretValue::new),
    };
    let keep = match new.keep_secrets {
        KeepSecrets::All(true) => catalog::KeepSecrets::All,
        KeepSecrets::All(false) => catalog::KeepSecrets::Only(Vec::new()),
        KeepSecrets::Only(names) => catalog::KeepSecrets::Only(names.into_iter().map(SecretName::new).collect()),
    };
    let upload = Upload {
        id: VersionId::new(context.new_id("version")?),
        manifest: new.manifest,
        keep,
        put: new.secrets.into_iter().map(put).collect(),
        source: new.source.unwrap_or_else(|| "api".to_owned()),
        message: new.message,
        tag: new.tag,
    };
    let (account, worker, caller) = (context.account(), context.worker(), context.caller()?);
    let (state, gate) = (context.state(), &context.api.gate);
    let uploaded = upload::store(state, gate, &context.catalog, &caller, account, worker, upload).await?;
    let previews = previews(&context, std::slice::from_ref(&uploaded.done.value.id)).await?;
    let mut version = told::version(
        uploaded.done.value.clone(),
        previews.into_iter().next().unwrap_or_default(),
    );
    let export = |(name, handlers): (String, Vec<String>)| Export { name, handlers };
    version.exports = uploaded.facts.exports.into_iter().map(export).collect();
    context.changed(StatusCode::CREATED, &uploaded.done, &version)
}

/// Where versions are reached by themselves, as the edge configuration has it: those that serve, and the newest ones besides.
async fn previews(context: &Context, versions: &[VersionId]) -> Result<Vec<Vec<String>>, ApiError> {
    let (catalog, account, name) = (&context.catalog, context.account(), context.worker());
    let worker = catalog.worker(account.clone(), name.clone()).await?;
    let subdomain = catalog.account(account.clone()).await?.subdomain;
    let mut reached = HashSet::new();
    let serving = catalog.deployments(account.clone(), name.clone(), None, 1).await?;
    if let Some(serving) = serving.into_iter().next().filter(|_| worker.previews) {
        reached.extend(serving.split.into_iter().map(|one| one.version));
        let newest = catalog
            .versions(account, name.clone(), None, (RECENT_MAX + reached.len()) as u32)
            .await?;
        let mut places = RECENT_MAX;
        for version in newest {
            if places > 0 && reached.insert(version.id) {
                places -= 1;
            }
        }
    }
    let urls = |version: &VersionId| match reached.contains(version) {
        true => context
            .state()
            .addresses
            .version(version, name.as_str(), subdomain.as_deref()),
        false => Vec::new(),
    };
    Ok(versions.iter().map(urls).collect())
}

async fn list(context: Context) -> Reply {
    let query: PageQuery = context.query()?;
    let (limit, before) = (limit(query.limit)?, number(query.after)?);
    let catalog = &context.catalog;
    catalog.worker(context.account(), context.worker()).await?;
    let versions = catalog
        .versions(context.account(), context.worker(), before, limit + 1)
        .await?;
    let ids: Vec<VersionId> = versions.iter().map(|version| version.id.clone()).collect();
    let previews = previews(&context, &ids).await?;
    let told = versions
        .into_iter()
        .zip(previews)
        .map(|(version, urls)| told::version(version, urls));
    ok(&page(told.collect(), limit, |version: &Version| {
        version.number.to_string()
    }))
}

async fn get(context: Context) -> Reply {
    let id = VersionId::new(context.part("version"));
    let (account, worker) = (context.account(), context.worker());
    let version = context
        .catalog
        .version(account.clone(), worker.clone(), id.clone())
        .await?;
    let state = context.state();
    let manifest = artifact::load(&*state.blobs, &version.artifact, &account, &worker, &state.trusted).await?;
    let previews = previews(&context, &[id]).await?;
    let mut version = told::version(version, previews.into_iter().next().unwrap_or_default());
    version.manifest = Some(manifest);
    ok(&version)
}

/// A page of things that are numbered begins behind a number.
pub(super) fn number(after: Option<String>) -> Result<Option<u64>, ApiError> {
    let read = |after: String| {
        after
            .parse()
            .map_err(|_| ApiError::invalid("\"after\" is the \"next\" of the page before"))
    };
    after.map(read).transpose()
}
