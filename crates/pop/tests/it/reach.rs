//! An artifact store that can be cut off.

use async_trait::async_trait;
use atoll_store::blob::{BlobError, BlobStore, DirectoryStore, Etag, Expect, Object, ObjectFacts, Page};
use bytes::Bytes;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[derive(Debug)]
pub struct Reach {
    pub store: DirectoryStore,
    /// It is not reached while this is so.
    pub cut: AtomicBool,
    /// What it has is damaged while this is so.
    pub damaged: AtomicBool,
    /// Reads that met that.
    pub missed: AtomicU64,
}

impl Reach {
    pub fn new(store: DirectoryStore) -> Self {
        Self {
            store,
            cut: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            missed: AtomicU64::new(0),
        }
    }

    fn reached(&self, key: &str) -> Result<&DirectoryStore, BlobError> {
        if self.cut.load(Ordering::SeqCst) {
            self.missed.fetch_add(1, Ordering::SeqCst);
            return Err(BlobError::Failed {
                key: key.to_owned(),
                cause: "no route to host".into(),
            });
        }
        if self.damaged.load(Ordering::SeqCst) {
            self.missed.fetch_add(1, Ordering::SeqCst);
            return Err(BlobError::Corrupt {
                key: key.to_owned(),
                detail: "a bit is another".into(),
            });
        }
        Ok(&self.store)
    }
}

#[async_trait]
impl BlobStore for Reach {
    async fn put(&self, key: &str, bytes: Bytes, expect: Expect) -> Result<Etag, BlobError> {
        self.reached(key)?.put(key, bytes, expect).await
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Object, BlobError> {
        self.reached(key)?.get(key, range).await
    }

    async fn head(&self, key: &str) -> Result<ObjectFacts, BlobError> {
        self.reached(key)?.head(key).await
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        self.reached(key)?.delete(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page, BlobError> {
        self.reached(prefix)?.list(prefix, after, limit).await
    }
}
