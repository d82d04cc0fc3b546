//! A store of objects in a service that speaks S3.
//!
//! Conditional writes are the service's own (`If-None-Match: *`, `If-Match`): [`S3Store::open`] tries them and refuses a service
//! that ignores them, unless it is told that this one has none ([`S3Options::conditional_writes`]). Then the store is good for
//! what is known by its hash alone, where two writers write the same. The service's etags are opaque; content that is known by
//! its hash is verified when it is read ([`atoll_store::blob::get_blob`]).

use atoll_store::blob::{
    BlobError, BlobStore, Etag, Expect, Object, ObjectFacts, PAGE_KEYS_MAX, Page, check_key, check_prefix, check_size,
};
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig,
    UpdateVersion,
};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// How long a request may take.
const REQUEST_MAX: Duration = Duration::from_secs(60);
/// How long a request is tried again for.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Tells whether the service obeys conditions.
const PROBE_KEY: &str = "atoll/conditional-writes";

/// Where the bucket is.
#[derive(Clone)]
pub struct S3Options {
    /// The service's URL; `None` for the one of AWS.
    pub endpoint: Option<String>,
    /// The region.
    pub region: String,
    /// The bucket. It must exist.
    pub bucket: String,
    /// The access key; `None` for what the environment gives (instance roles and the like).
    pub access_key: Option<(String, String)>,
    /// Without TLS, too: for services on this machine or in a trusted network.
    pub allow_http: bool,
    /// The service obeys `If-None-Match` and `If-Match` where something is written. Without, [`Expect::Absent`] is looked at
    /// before the write, so of two writers both may succeed, and [`Expect::Etag`] is refused.
    pub conditional_writes: bool,
}

impl std::fmt::Debug for S3Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The access key stays out of logs.
        write!(f, "S3Options({:?}, {})", self.endpoint, self.bucket)
    }
}

/// See the module.
#[derive(Debug)]
pub struct S3Store {
    store: AmazonS3,
    conditions: bool,
    /// The service knows its etags in `If-Match` without their quotes alone, as Ceph's gateway does.
    bare_etags: bool,
}

impl S3Store {
    /// Connects to a bucket and tries whether it obeys conditions.
    pub async fn open(options: &S3Options) -> Result<Self, BlobError> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&options.bucket)
            .with_region(&options.region)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_allow_http(options.allow_http)
            .with_client_options(
                ClientOptions::new()
                    .with_timeout(REQUEST_MAX)
                    .with_allow_http(options.allow_http),
            )
            .with_retry(RetryConfig {
                retry_timeout: RETRY_MAX,
                ..RetryConfig::default()
            });
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some((id, secret)) = &options.access_key {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        }
        let mut store = Self {
            store: builder.build().map_err(|error| failed(&options.bucket, &error))?,
            conditions: options.conditional_writes,
            bare_etags: false,
        };
        store.probe().await?;
        Ok(store)
    }

    async fn probe(&mut self) -> Result<(), BlobError> {
        let ignored = |what: &str| {
            let cause = format!(
                "the service ignores {what}: two writers could overwrite each other. If it has no conditional writes, as \
                 Garage, say so (artifacts.conditional_writes = false)"
            );
            let key = PROBE_KEY.to_owned();
            BlobError::Failed {
                key,
                cause: cause.into(),
            }
        };
        let own = self.put(PROBE_KEY, Bytes::from_static(b"1"), Expect::Anything).await?;
        if !self.conditions {
            return self.delete(PROBE_KEY).await;
        }
        match self.put(PROBE_KEY, Bytes::from_static(b"2"), Expect::Absent).await {
            Err(BlobError::Conflict { .. }) => {}
            Ok(_) => return Err(ignored("If-None-Match")),
            Err(other) => return Err(other),
        }
        let other = Etag("\"00000000000000000000000000000000\"".into());
        match self.put(PROBE_KEY, Bytes::from_static(b"2"), Expect::Etag(other)).await {
            Err(BlobError::Conflict { .. }) => {}
            Ok(_) => return Err(ignored("If-Match")),
            Err(other) => return Err(other),
        }
        let again = Bytes::from_static(b"3");
        if let Err(BlobError::Conflict { .. }) = self.put(PROBE_KEY, again.clone(), Expect::Etag(own.clone())).await {
            self.bare_etags = true;
            self.put(PROBE_KEY, again, Expect::Etag(own)).await?;
        }
        self.delete(PROBE_KEY).await
    }

    /// What is left of an expectation once it was looked at, for a service that obeys none.
    async fn look_before(&self, key: &str, expect: Expect) -> Result<Expect, BlobError> {
        match expect {
            Expect::Anything => Ok(expect),
            Expect::Absent => match self.head(key).await {
                Ok(_) => Err(BlobError::Conflict { key: key.to_owned() }),
                Err(BlobError::NotFound { .. }) => Ok(Expect::Anything),
                Err(error) => Err(error),
            },
            Expect::Etag(_) => Err(BlobError::Failed {
                key: key.to_owned(),
                cause: "the service has no conditional writes, and this write needs one".into(),
            }),
        }
    }

    fn path(key: &str) -> Result<Path, BlobError> {
        check_key(key)?;
        Path::parse(key).map_err(|_| BlobError::Key { key: key.to_owned() })
    }
}

fn failed(key: &str, error: &object_store::Error) -> BlobError {
    let key = key.to_owned();
    match error {
        object_store::Error::NotFound { .. } => BlobError::NotFound { key },
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            BlobError::Conflict { key }
        }
        other => {
            let mut cause = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(next) = source {
                let text = next.to_string();
                if !cause.contains(&text) {
                    cause = format!("{cause}: {text}");
                }
                source = next.source();
            }
            let cause: Arc<str> = cause.into();
            BlobError::Failed { key, cause }
        }
    }
}

fn etag(key: &str, etag: Option<String>) -> Result<Etag, BlobError> {
    let missing = || BlobError::Failed {
        key: key.to_owned(),
        cause: "the service gave no etag".into(),
    };
    etag.map(|etag| Etag(etag.into())).ok_or_else(missing)
}

fn facts(meta: ObjectMeta) -> ObjectFacts {
    ObjectFacts {
        key: meta.location.to_string(),
        size: meta.size,
        etag: meta.e_tag.map(|etag| Etag(etag.into())),
    }
}

#[async_trait::async_trait]
impl BlobStore for S3Store {
    async fn put(&self, key: &str, bytes: Bytes, expect: Expect) -> Result<Etag, BlobError> {
        let path = Self::path(key)?;
        check_size(&bytes)?;
        let expect = if self.conditions {
            expect
        } else {
            self.look_before(key, expect).await?
        };
        let mode = match expect {
            Expect::Anything => PutMode::Overwrite,
            Expect::Absent => PutMode::Create,
            Expect::Etag(etag) => PutMode::Update(UpdateVersion {
                e_tag: Some(match self.bare_etags {
                    true => etag.0.trim_matches('"').to_owned(),
                    false => etag.0.to_string(),
                }),
                version: None,
            }),
        };
        let written = self
            .store
            .put_opts(&path, bytes.into(), PutOptions::from(mode.clone()))
            .await;
        match written {
            Ok(result) => etag(key, result.e_tag),
            // There is nothing that could have the etag.
            Err(object_store::Error::NotFound { .. }) if matches!(mode, PutMode::Update(_)) => {
                Err(BlobError::Conflict { key: key.to_owned() })
            }
            Err(error) => Err(failed(key, &error)),
        }
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Object, BlobError> {
        let path = Self::path(key)?;
        let mut options = GetOptions::default();
        if let Some(range) = &range {
            // S3 cuts a range that ends beyond the object and refuses an empty one: both are asked for in another way.
            let known = self.head(key).await?;
            if range.start > range.end || range.end > known.size {
                return Err(BlobError::Range {
                    key: key.to_owned(),
                    start: range.start,
                    end: range.end,
                    size: known.size,
                });
            }
            if range.is_empty() {
                return Ok(Object {
                    bytes: Bytes::new(),
                    size: known.size,
                    etag: etag(key, known.etag.map(|etag| etag.0.to_string()))?,
                });
            }
            options.range = Some(GetRange::Bounded(range.clone()));
        }
        let found = self
            .store
            .get_opts(&path, options)
            .await
            .map_err(|error| failed(key, &error))?;
        let (size, tag) = (found.meta.size, etag(key, found.meta.e_tag.clone())?);
        let bytes = found.bytes().await.map_err(|error| failed(key, &error))?;
        let expected = range.map_or(size, |range| range.end - range.start);
        if bytes.len() as u64 != expected {
            return Err(BlobError::Corrupt {
                key: key.to_owned(),
                detail: format!("{} bytes came instead of {expected}", bytes.len()),
            });
        }
        Ok(Object { bytes, size, etag: tag })
    }

    async fn head(&self, key: &str) -> Result<ObjectFacts, BlobError> {
        let path = Self::path(key)?;
        self.store
            .head(&path)
            .await
            .map(facts)
            .map_err(|error| failed(key, &error))
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        let path = Self::path(key)?;
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(key, &error)),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page, BlobError> {
        check_prefix(prefix)?;
        let limit = limit.min(PAGE_KEYS_MAX);
        let below = match prefix.strip_suffix('/') {
            Some(key) => Some(Self::path(key)?),
            None => None,
        };
        let mut objects = match after {
            Some(after) => self.store.list_with_offset(below.as_ref(), &Self::path(after)?),
            None => self.store.list(below.as_ref()),
        };
        let mut page = Page::default();
        while let Some(meta) = objects.try_next().await.map_err(|error| failed(prefix, &error))? {
            if page.objects.len() == limit {
                page.more = true;
                break;
            }
            page.objects.push(facts(meta));
        }
        Ok(page)
    }
}
