//! The Cache API: a worker's zone of the process's response cache.
//!
//! The scope is fixed when the environment is made. A response that may not be stored is dropped and counted in the
//! zone's usage, as the platform does without telling the worker; a body that breaks off fails the put and stores nothing.

use async_trait::async_trait;
use atoll_cache::{Found, MemoryCache, Put, Scope, Zone};
use atoll_worker::body::{self, CREDIT_DEFAULT};
use atoll_worker::cache::{CacheKey, ResponseCache};
use atoll_worker::{BindingError, Body, BodyError, EventContext, Frame, Response, ResponseHead};
use bytes::Bytes;
use std::sync::Arc;

/// One worker's caches.
#[derive(Debug, Clone)]
pub struct CacheBinding {
    zone: Zone,
}

impl CacheBinding {
    /// The zone of `scope`.
    pub fn new(cache: &MemoryCache, scope: Scope) -> Self {
        Self {
            zone: cache.zone(scope),
        }
    }
}

/// Opens response caches: scoped to one worker.
pub trait CacheSource: Send + Sync + 'static {
    /// The zone of a worker.
    fn open(&self, scope: Scope) -> Arc<dyn ResponseCache>;
}

impl CacheSource for MemoryCache {
    fn open(&self, scope: Scope) -> Arc<dyn ResponseCache> {
        Arc::new(CacheBinding::new(self, scope))
    }
}

/// Pieces that are in memory already: queueing them all takes no more.
fn stream(pieces: Vec<Bytes>) -> Body {
    let length = pieces.iter().map(|piece| piece.len() as u64).sum();
    let (sender, receiver) = body::channel(CREDIT_DEFAULT, Some(length));
    for piece in pieces {
        // The receiver is here: nothing refuses.
        let _ = sender.send(Frame::Data(piece));
    }
    sender.finish();
    Body::Stream(receiver)
}

fn response(found: Found) -> Response {
    let Found {
        status,
        headers,
        manual_encoding,
        body,
    } = found;
    let body = match body {
        None => Body::Empty,
        Some(mut pieces) if pieces.len() <= 1 => Body::Full(pieces.pop().unwrap_or_default()),
        Some(pieces) => stream(pieces),
    };
    Response {
        head: ResponseHead {
            headers,
            manual_encoding,
            ..ResponseHead::new(status)
        },
        body,
        websocket: None,
    }
}

fn broke_off(error: BodyError) -> BindingError {
    BindingError::unavailable(format!("The response was not cached: {error}"))
}

#[async_trait]
impl ResponseCache for CacheBinding {
    async fn find(&self, _: &EventContext, key: CacheKey) -> Result<Option<Response>, BindingError> {
        let found = self.zone.find(key.cache.as_deref(), &key.url, &key.headers);
        Ok(found.map(response))
    }

    async fn put(&self, ctx: &EventContext, key: CacheKey, head: ResponseHead, body: Body) -> Result<(), BindingError> {
        let put = Put {
            status: head.status,
            headers: &head.headers,
            manual_encoding: head.manual_encoding,
        };
        let mut upload = match self.zone.put(key.cache.as_deref(), &key.url, &key.headers, put) {
            Ok(upload) => upload,
            Err(reason) => {
                tracing::debug!(tenant = %ctx.tenant, worker = %ctx.worker, url = key.url, %reason, "not cached");
                return Ok(());
            }
        };
        let with_length = body.length().is_some();
        let refused = match body {
            Body::Empty => None,
            Body::Full(bytes) => upload.push(bytes).err(),
            Body::Stream(mut stream) => {
                let mut refused = None;
                while let Some(frame) = stream.frame().await {
                    if let Frame::Data(data) = frame.map_err(broke_off)?
                        && let Err(reason) = upload.push(data)
                    {
                        refused = Some(reason);
                        break;
                    }
                }
                refused
            }
        };
        let stored = match refused {
            Some(reason) => Err(reason),
            None => upload.finish(with_length),
        };
        if let Err(reason) = stored {
            tracing::warn!(tenant = %ctx.tenant, worker = %ctx.worker, url = key.url, %reason, "not cached");
        }
        Ok(())
    }

    async fn delete(&self, _: &EventContext, key: CacheKey) -> Result<bool, BindingError> {
        Ok(self.zone.remove(key.cache.as_deref(), &key.url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::context;
    use atoll_cache::CacheLimits;
    use atoll_model::{TenantId, WorkerName};
    use atoll_stdx::ManualClock;
    use http::HeaderMap;

    fn binding(limits: CacheLimits) -> CacheBinding {
        let clock = Arc::new(ManualClock::new(1_000_000));
        let scope = Scope {
            tenant: TenantId::new("t"),
            worker: WorkerName::new("w"),
        };
        CacheBinding::new(&MemoryCache::new(limits, clock, 1), scope)
    }

    fn key() -> CacheKey {
        CacheKey {
            cache: None,
            url: "http://a/".into(),
            headers: HeaderMap::new(),
        }
    }

    fn head() -> ResponseHead {
        let mut head = ResponseHead::new(200);
        head.headers.insert("cache-control", "max-age=60".parse().unwrap());
        head
    }

    async fn found(binding: &CacheBinding) -> Option<Bytes> {
        let response = binding.find(&context(), key()).await.unwrap()?;
        Some(response.body.collect(1 << 30).await.unwrap())
    }

    #[tokio::test]
    async fn a_streamed_body_comes_back_whole_and_as_often_as_asked() {
        let binding = binding(CacheLimits::default());
        let (sender, receiver) = body::channel(8, None);
        let producer = async {
            for _ in 0..3 {
                sender.send_data(Bytes::from(vec![b'x'; 100_000])).await.unwrap();
            }
            sender.finish();
        };
        let ctx = context();
        let put = binding.put(&ctx, key(), head(), Body::Stream(receiver));
        let (put, ()) = tokio::join!(put, producer);
        put.unwrap();
        for _ in 0..2 {
            assert_eq!(found(&binding).await.unwrap().len(), 300_000);
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_not_stored() {
        let binding = binding(CacheLimits::default());
        let (sender, receiver) = body::channel(8, Some(100));
        sender.send(Frame::Data(Bytes::from_static(b"half"))).unwrap();
        drop(sender);
        let error = binding
            .put(&context(), key(), head(), Body::Stream(receiver))
            .await
            .unwrap_err();
        assert!(error.message.contains("ended before it was complete"), "{error}");
        assert_eq!(found(&binding).await, None);
    }

    #[tokio::test]
    async fn what_is_too_large_is_dropped_and_its_producer_told() {
        let binding = binding(CacheLimits {
            object_bytes: 10,
            ..CacheLimits::default()
        });
        let (sender, receiver) = body::channel(8, None);
        sender
            .send(Frame::Data(Bytes::from_static(b"more than ten bytes")))
            .unwrap();
        binding
            .put(&context(), key(), head(), Body::Stream(receiver))
            .await
            .unwrap();
        assert_eq!(sender.ready().await, Err(BodyError::Canceled));
        assert_eq!(found(&binding).await, None);
        assert_eq!(binding.zone.usage().refused, 1);
    }
}
