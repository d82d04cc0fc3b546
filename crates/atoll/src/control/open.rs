//! What a control plane stands on: its database and its store of blobs, as the settings say.

use crate::control::keys::Keys;
use crate::roles::file::Settings;
use atoll_backends::postgres::PostgresOptions;
use atoll_backends::{PostgresDatabase, S3Options, S3Store};
use atoll_store::blob::{BlobStore, DirectoryStore};
use atoll_store::sql::{Database, SqliteDatabase, SqliteOptions};
use std::path::Path;
use std::sync::Arc;

/// The catalog's file, below the data directory.
const CATALOG_FILE: &str = "catalog.sqlite";
/// Threads that read it.
const READERS: usize = 4;
/// Memory for its pages, of each thread, KiB.
const CACHE_KIB: u32 = 16 * 1024;

/// How PostgreSQL is reached; none: the catalog is in the data directory.
pub(crate) fn postgres(settings: &Settings) -> Option<PostgresOptions> {
    let url = settings.some_text("catalog.url")?.to_owned();
    Some(PostgresOptions {
        url,
        connections: usize::try_from(settings.number("catalog.connections")).unwrap_or(1),
        authorities: None,
    })
}

/// The catalog's database.
pub(crate) async fn database(settings: &Settings, data: &Path) -> Result<Arc<dyn Database>, String> {
    if let Some(options) = postgres(settings) {
        let opened = PostgresDatabase::open(&options).await;
        return Ok(Arc::new(opened.map_err(|error| format!("catalog.url: {error}"))?));
    }
    let directory = data.join("catalog");
    let opened = tokio::task::spawn_blocking(move || {
        let options = SqliteOptions {
            file: CATALOG_FILE,
            readers: READERS,
            cache_kib: CACHE_KIB,
        };
        SqliteDatabase::open(&directory, &options)
    });
    match opened.await {
        Ok(Ok(database)) => Ok(Arc::new(database)),
        Ok(Err(error)) => Err(format!("the catalog: {error}")),
        Err(error) => Err(format!("the catalog: {error}")),
    }
}

/// The store of blobs.
pub(crate) async fn blobs(settings: &Settings, data: &Path) -> Result<Arc<dyn BlobStore>, String> {
    if let Some(url) = settings.some_text("artifacts.url") {
        let bucket = url.strip_prefix("s3://").map(|bucket| bucket.trim_end_matches('/'));
        let bucket = bucket.filter(|bucket| !bucket.is_empty() && !bucket.contains('/'));
        let bucket = bucket.ok_or_else(|| format!("artifacts.url = {url:?}: it has the form s3://BUCKET"))?;
        let key = (
            settings.some_text("artifacts.access_key"),
            settings.some_text("artifacts.secret_key"),
        );
        let options = S3Options {
            endpoint: settings.some_text("artifacts.endpoint").map(str::to_owned),
            region: settings.text("artifacts.region").to_owned(),
            bucket: bucket.to_owned(),
            access_key: match key {
                (Some(access), Some(secret)) => Some((access.to_owned(), secret.to_owned())),
                (None, None) => None,
                _ => return Err("artifacts.access_key and artifacts.secret_key go together".to_owned()),
            },
            allow_http: settings.flag("artifacts.allow_http"),
            conditional_writes: settings.flag("artifacts.conditional_writes"),
        };
        let opened = S3Store::open(&options).await;
        return Ok(Arc::new(opened.map_err(|error| format!("artifacts.url: {error}"))?));
    }
    let directory = data.join("blobs");
    let opened = tokio::task::spawn_blocking(move || DirectoryStore::open(&directory)).await;
    match opened {
        Ok(Ok(store)) => Ok(Arc::new(store)),
        Ok(Err(error)) => Err(format!("the store of artifacts: {error}")),
        Err(error) => Err(format!("the store of artifacts: {error}")),
    }
}

/// Made so that its owner alone may look into it.
pub(crate) fn data_directory(settings: &Settings) -> Result<std::path::PathBuf, String> {
    use std::os::unix::fs::DirBuilderExt as _;
    let path = settings.path("data.directory").unwrap_or_default();
    let failed = |error: std::io::Error| format!("data.directory {}: {error}", path.display());
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(&path).map_err(failed)?;
    path.canonicalize().map_err(failed)
}

/// Keys, in the data directory whatever the catalog is in: a catalog's copy alone opens no secret.
pub(crate) fn keys(data: &Path) -> Result<Keys, String> {
    Keys::open(data)
}
