//! What of a version's doing goes through this process, counted: requests to the network, questions to the response cache.

use async_trait::async_trait;
use atoll_worker::{
    BindingError, Body, CacheKey, ConnectError, ConnectRequest, Connection, EventContext, LogSink, NameError,
    NameQuestion, NameRecord, Outbound, OutboundRequest, Response, ResponseCache, ResponseHead, Usage,
};
use std::sync::Arc;

/// Tells the version's sink.
pub(crate) struct Counted<T: ?Sized> {
    inner: Arc<T>,
    logs: Arc<dyn LogSink>,
}

/// A way out that is counted.
pub(crate) fn outbound(inner: Arc<dyn Outbound>, logs: &Arc<dyn LogSink>) -> Arc<dyn Outbound> {
    let logs = logs.clone();
    Arc::new(Counted { inner, logs })
}

/// A cache that is counted.
pub(crate) fn cache(inner: Arc<dyn ResponseCache>, logs: &Arc<dyn LogSink>) -> Arc<dyn ResponseCache> {
    let logs = logs.clone();
    Arc::new(Counted { inner, logs })
}

impl<T: ?Sized> Counted<T> {
    fn subrequest(&self, ctx: &EventContext) {
        self.logs.used(Usage {
            subrequests: 1,
            route: ctx.route,
            ..Usage::default()
        });
    }
}

#[async_trait]
impl Outbound for Counted<dyn Outbound> {
    async fn fetch(&self, ctx: &EventContext, request: OutboundRequest) -> Result<Response, BindingError> {
        self.subrequest(ctx);
        self.inner.fetch(ctx, request).await
    }

    async fn connect(&self, ctx: &EventContext, request: ConnectRequest) -> Result<Connection, ConnectError> {
        self.subrequest(ctx);
        self.inner.connect(ctx, request).await
    }

    async fn resolve(&self, ctx: &EventContext, question: NameQuestion) -> Result<Vec<NameRecord>, NameError> {
        self.inner.resolve(ctx, question).await
    }
}

#[async_trait]
impl ResponseCache for Counted<dyn ResponseCache> {
    async fn find(&self, ctx: &EventContext, key: CacheKey) -> Result<Option<Response>, BindingError> {
        let found = self.inner.find(ctx, key).await;
        if let Ok(found) = &found {
            self.logs.used(Usage {
                cache_hits: u64::from(found.is_some()),
                cache_misses: u64::from(found.is_none()),
                route: ctx.route,
                ..Usage::default()
            });
        }
        found
    }

    async fn put(&self, ctx: &EventContext, key: CacheKey, head: ResponseHead, body: Body) -> Result<(), BindingError> {
        self.inner.put(ctx, key, head, body).await
    }

    async fn delete(&self, ctx: &EventContext, key: CacheKey) -> Result<bool, BindingError> {
        self.inner.delete(ctx, key).await
    }
}
