//! The KV binding: a namespace as one worker sees it, scoped to its tenant and metered.
//!
//! The scope is fixed when the environment is made: a worker can name keys, never a tenant or a namespace. Limits are
//! checked by the store itself. An event whose client went away may still write (`waitUntil` goes on without a client), so
//! cancellation does not cut an operation short; the store's own deadline bounds it.

use crate::KvSource;
use async_trait::async_trait;
use atoll_kv::{Fault, Kv, KvError, ListOptions, Namespace, Put};
use atoll_model::{NamespaceId, TenantId};
use atoll_worker::{
    BindingError, BindingErrorKind, EventContext, KvEntry, KvKey, KvList, KvListOptions, KvNamespace, KvPut,
};
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// What one binding has been used for since it was made.
#[derive(Debug, Default)]
pub struct KvMeter {
    reads: AtomicU64,
    writes: AtomicU64,
    deletes: AtomicU64,
    lists: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// A reading of a [`KvMeter`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KvUsage {
    /// Keys read, absent ones too.
    pub reads: u64,
    /// Keys written.
    pub writes: u64,
    /// Keys deleted, absent ones too.
    pub deletes: u64,
    /// Pages listed.
    pub lists: u64,
    /// Bytes of values read.
    pub bytes_read: u64,
    /// Bytes of values written.
    pub bytes_written: u64,
    /// Operations refused for an argument or a limit.
    pub refused: u64,
    /// Operations that the store failed or did not answer in time.
    pub failed: u64,
}

impl KvMeter {
    /// The counters now.
    pub fn usage(&self) -> KvUsage {
        KvUsage {
            reads: self.reads.load(Relaxed),
            writes: self.writes.load(Relaxed),
            deletes: self.deletes.load(Relaxed),
            lists: self.lists.load(Relaxed),
            bytes_read: self.bytes_read.load(Relaxed),
            bytes_written: self.bytes_written.load(Relaxed),
            refused: self.refused.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }
}

/// Opens bindings over one store; every binding of the same namespace counts into the same meter.
#[derive(Debug)]
pub struct KvBindings {
    kv: Kv,
    meters: Mutex<HashMap<(TenantId, NamespaceId), Arc<KvMeter>>>,
}

impl KvBindings {
    /// Namespaces of `kv`.
    pub fn new(kv: Kv) -> Self {
        Self {
            kv,
            meters: Mutex::default(),
        }
    }

    /// What each namespace has been used for, in no order.
    pub fn usage(&self) -> Vec<(TenantId, NamespaceId, KvUsage)> {
        let meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        meters
            .iter()
            .map(|((tenant, id), meter)| (tenant.clone(), id.clone(), meter.usage()))
            .collect()
    }
}

impl KvSource for KvBindings {
    fn open(&self, tenant: &TenantId, namespace: &NamespaceId) -> Arc<dyn KvNamespace> {
        let mut binding = KvBinding::new(&self.kv, tenant, namespace);
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        binding.meter = meters.entry((tenant.clone(), namespace.clone())).or_default().clone();
        Arc::new(binding)
    }
}

/// A KV namespace bound to a worker. Clones share the namespace and the meter.
#[derive(Debug, Clone)]
pub struct KvBinding {
    /// An id that cannot be stored is told to whoever uses the binding.
    namespace: Result<Namespace, KvError>,
    meter: Arc<KvMeter>,
}

impl KvBinding {
    /// Binds `namespace` of `tenant`. If one of the ids cannot be stored (empty or longer than
    /// [`atoll_kv::limits::SCOPE_ID_BYTES_MAX`]), every operation answers so.
    pub fn new(kv: &Kv, tenant: &TenantId, namespace: &NamespaceId) -> Self {
        Self {
            namespace: kv.namespace(tenant, namespace),
            meter: Arc::default(),
        }
    }

    /// What this binding and its clones have been used for.
    pub fn meter(&self) -> &Arc<KvMeter> {
        &self.meter
    }

    /// Runs one operation and counts what was refused and what failed.
    async fn run<'a, T, F: Future<Output = Result<T, KvError>>>(
        &'a self,
        ctx: &EventContext,
        operation: impl FnOnce(&'a Namespace) -> F,
    ) -> Result<T, BindingError> {
        let result = match &self.namespace {
            Ok(namespace) => operation(namespace).await,
            Err(error) => Err(error.clone()),
        };
        result.map_err(|error| {
            let (counter, kind) = match error.fault() {
                Fault::Argument => (&self.meter.refused, BindingErrorKind::InvalidArgument),
                Fault::Rule => (&self.meter.refused, BindingErrorKind::Rejected),
                Fault::Store => (&self.meter.failed, BindingErrorKind::Unavailable),
            };
            counter.fetch_add(1, Relaxed);
            if kind == BindingErrorKind::Unavailable {
                tracing::warn!(tenant = %ctx.tenant, worker = %ctx.worker, request = %ctx.request_id, %error, "KV failed");
            }
            BindingError { kind, message: error.to_string() }
        })
    }
}

#[async_trait]
impl KvNamespace for KvBinding {
    async fn get(&self, ctx: &EventContext, keys: Vec<String>) -> Result<Vec<Option<KvEntry>>, BindingError> {
        self.meter.reads.fetch_add(keys.len() as u64, Relaxed);
        let entries = match keys.as_slice() {
            [key] => vec![self.run(ctx, |namespace| namespace.get(key)).await?],
            keys => self.run(ctx, |namespace| namespace.get_many(keys)).await?,
        };
        let bytes: usize = entries.iter().flatten().map(|entry| entry.value.len()).sum();
        self.meter.bytes_read.fetch_add(bytes as u64, Relaxed);
        let entry = |entry: atoll_kv::Entry| KvEntry {
            value: entry.value,
            metadata: entry.metadata,
            expiration: entry.expiration,
        };
        Ok(entries.into_iter().map(|found| found.map(entry)).collect())
    }

    async fn put(&self, ctx: &EventContext, put: KvPut) -> Result<(), BindingError> {
        let bytes = put.value.len() as u64;
        let put = Put {
            key: put.key,
            value: put.value,
            metadata: put.metadata,
            expiration: put.expiration,
            expiration_ttl: put.expiration_ttl,
        };
        self.run(ctx, |namespace| namespace.put(put)).await?;
        self.meter.writes.fetch_add(1, Relaxed);
        self.meter.bytes_written.fetch_add(bytes, Relaxed);
        Ok(())
    }

    async fn delete(&self, ctx: &EventContext, keys: Vec<String>) -> Result<(), BindingError> {
        self.run(ctx, |namespace| namespace.delete(&keys)).await?;
        self.meter.deletes.fetch_add(keys.len() as u64, Relaxed);
        Ok(())
    }

    async fn list(&self, ctx: &EventContext, options: KvListOptions) -> Result<KvList, BindingError> {
        self.meter.lists.fetch_add(1, Relaxed);
        let options = ListOptions {
            prefix: options.prefix,
            limit: options.limit,
            cursor: options.cursor,
        };
        let page = self.run(ctx, |namespace| namespace.list(&options)).await?;
        let key = |key: atoll_kv::Key| KvKey {
            name: key.name,
            expiration: key.expiration,
            metadata: key.metadata,
        };
        Ok(KvList {
            keys: page.keys.into_iter().map(key).collect(),
            cursor: page.cursor,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_model::{RequestId, WorkerName};
    use atoll_stdx::ManualClock;
    use atoll_store::SimDisk;
    use bytes::Bytes;

    const NOW: u64 = 1_800_000_000;

    fn kv(disk: &SimDisk) -> Kv {
        Kv::new(Arc::new(disk.open().unwrap()), Arc::new(ManualClock::new(NOW * 1000)))
    }

    fn binding(kv: &Kv, tenant: &str, namespace: &str) -> KvBinding {
        KvBinding::new(kv, &TenantId::new(tenant), &NamespaceId::new(namespace))
    }

    fn context() -> EventContext {
        EventContext {
            tenant: TenantId::new("t"),
            worker: WorkerName::new("w"),
            request_id: RequestId(1),
            cancel: atoll_worker::Cancel::new(),
            trace: None,
            version: Default::default(),
            entry: atoll_worker::Entry::default(),
            route: None,
        }
    }

    fn put(key: &str, value: &'static str) -> KvPut {
        KvPut {
            key: key.to_owned(),
            value: Bytes::from_static(value.as_bytes()),
            metadata: None,
            expiration: None,
            expiration_ttl: None,
        }
    }

    fn disk() -> SimDisk {
        let disk = SimDisk::new(1);
        disk.set_auto_sync(true);
        disk
    }

    #[test]
    fn the_store_and_the_waist_have_the_same_limits() {
        use atoll_kv::limits as store;
        use atoll_worker::kv as waist;
        assert_eq!(store::KEY_BYTES_MAX, waist::KEY_BYTES_MAX);
        assert_eq!(store::VALUE_BYTES_MAX, waist::VALUE_BYTES_MAX);
        assert_eq!(store::METADATA_BYTES_MAX, waist::METADATA_BYTES_MAX);
        assert_eq!(store::TTL_SECS_MIN, waist::TTL_SECS_MIN);
        assert_eq!(store::BULK_KEYS_MAX, waist::BULK_KEYS_MAX);
        assert_eq!(store::LIST_LIMIT_MAX, waist::LIST_LIMIT_MAX);
    }

    #[tokio::test]
    async fn a_binding_sees_its_own_namespace_and_counts() {
        let kv = kv(&disk());
        let (mine, ctx) = (binding(&kv, "t", "n"), context());
        for other in [binding(&kv, "t", "m"), binding(&kv, "u", "n")] {
            other.put(&ctx, put("k", "theirs")).await.unwrap();
        }
        assert_eq!(mine.get(&ctx, vec!["k".to_owned()]).await.unwrap(), [None]);
        mine.put(&ctx, put("k", "mine")).await.unwrap();
        let keys = || vec!["k".to_owned(), "absent".to_owned()];
        let entry = KvEntry {
            value: Bytes::from_static(b"mine"),
            metadata: None,
            expiration: None,
        };
        assert_eq!(mine.get(&ctx, keys()).await.unwrap(), [Some(entry), None]);
        let options = KvListOptions {
            limit: 10,
            ..KvListOptions::default()
        };
        let key = KvKey {
            name: "k".to_owned(),
            expiration: None,
            metadata: None,
        };
        let page = mine.list(&ctx, options).await.unwrap();
        assert_eq!(
            page,
            KvList {
                keys: vec![key],
                cursor: None
            }
        );
        mine.delete(&ctx, keys()).await.unwrap();
        mine.put(&ctx, put("", "x")).await.unwrap_err();
        let expected = KvUsage {
            reads: 3,
            writes: 1,
            deletes: 2,
            lists: 1,
            bytes_read: 4,
            bytes_written: 4,
            refused: 1,
            failed: 0,
        };
        assert_eq!(mine.meter().usage(), expected);
    }

    #[tokio::test]
    async fn errors_say_whose_fault_they_are() {
        let disk = disk();
        let kv = kv(&disk);
        let (binding, ctx) = (binding(&kv, "t", "n"), context());
        let check = async |put: KvPut, kind: BindingErrorKind, message: &str| {
            let error = binding.put(&ctx, put).await.unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (kind, message));
        };
        check(
            put("", "x"),
            BindingErrorKind::InvalidArgument,
            "Key name cannot be empty.",
        )
        .await;
        check(
            KvPut {
                expiration_ttl: Some(10),
                ..put("k", "x")
            },
            BindingErrorKind::Rejected,
            "KV PUT failed: 400 Invalid expiration_ttl of 10. Expiration TTL must be at least 60.",
        )
        .await;
        disk.set_full(true);
        let full = "KV PUT failed: no room for a write: simulated disk has 0 bytes free and 0 are kept in reserve; free some \
                    space";
        check(put("k", "x"), BindingErrorKind::Unavailable, full).await;
    }

    #[tokio::test]
    async fn bindings_of_one_namespace_share_a_meter_and_a_bad_id_is_told_at_use() {
        let bindings = KvBindings::new(kv(&disk()));
        let (tenant, ctx) = (TenantId::new("t"), context());
        for _ in 0..2 {
            bindings
                .open(&tenant, &NamespaceId::new("n"))
                .put(&ctx, put("k", "v"))
                .await
                .unwrap();
        }
        let usage = KvUsage {
            writes: 2,
            bytes_written: 2,
            ..KvUsage::default()
        };
        assert_eq!(bindings.usage(), [(tenant.clone(), NamespaceId::new("n"), usage)]);
        let error = bindings
            .open(&tenant, &NamespaceId::new(""))
            .put(&ctx, put("k", "v"))
            .await
            .unwrap_err();
        assert_eq!(
            error.message,
            "a namespace id of 0 bytes is not between 1 and 256 bytes long"
        );
    }

    #[tokio::test]
    async fn an_event_without_its_client_may_still_write() {
        let kv = kv(&disk());
        let (binding, ctx) = (binding(&kv, "t", "n"), context());
        ctx.cancel.cancel();
        binding.put(&ctx, put("k", "x")).await.unwrap();
        assert!(binding.get(&ctx, vec!["k".to_owned()]).await.unwrap()[0].is_some());
    }
}
