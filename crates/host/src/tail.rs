//! What a worker's events did, to the workers that are configured to be told (`tail_consumers`).
//!
//! Items come from isolates' threads and must not hold them up: they wait in a bounded queue, from which a task takes what
//! has gathered and dispatches it. An item that finds the queue full is dropped and counted. A consumer that fails is
//! reported once for each batch and changes nothing for the worker it watches; tail events are not traced themselves.

use atoll_model::{RequestId, TenantId, WorkerName};
use atoll_stdx::TaskGroup;
use atoll_worker::{
    Cancel, Entry, Event, EventContext, JsException, LimitHit, LogRecord, LogSink, ServiceStub, StartNote, Usage,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// Items that may wait for a worker's consumers.
const DEPTH: usize = 1024;
/// Items of one tail event.
const BATCH_MAX: usize = 100;

/// Who is told.
pub(crate) struct Consumer {
    /// The worker, for the server's log.
    pub name: WorkerName,
    pub stub: ServiceStub,
}

/// A log sink whose worker has consumers.
struct Traced {
    logs: Arc<dyn LogSink>,
    queue: mpsc::Sender<String>,
    dropped: Arc<AtomicU64>,
}

/// Adds `consumers` to a worker's sink. Must be called inside the tokio runtime that dispatches; the task ends with the sink.
pub(crate) fn traced(
    logs: Arc<dyn LogSink>,
    tenant: TenantId,
    consumers: Vec<Consumer>,
    tasks: &TaskGroup,
) -> Arc<dyn LogSink> {
    if consumers.is_empty() {
        return logs;
    }
    let (queue, receiver) = mpsc::channel(DEPTH);
    let dropped = Arc::new(AtomicU64::new(0));
    tasks.spawn(deliver(receiver, dropped.clone(), tenant, consumers));
    Arc::new(Traced { logs, queue, dropped })
}

async fn deliver(
    mut queue: mpsc::Receiver<String>,
    dropped: Arc<AtomicU64>,
    tenant: TenantId,
    consumers: Vec<Consumer>,
) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let items = format!("[{}]", batch.join(","));
        batch.clear();
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(
                lost,
                "trace items were dropped: the tail consumers are slower than the worker"
            );
        }
        for Consumer { name, stub } in &consumers {
            let ctx = EventContext {
                tenant: tenant.clone(),
                worker: name.clone(),
                request_id: RequestId(0),
                cancel: Cancel::new(),
                trace: None,
                version: Default::default(),
                entry: Entry::default(),
                route: None,
            };
            if let Err(fault) = stub.dispatch(ctx, Event::Tail(items.clone())).await {
                tracing::warn!(consumer = %name, %fault, "a tail consumer failed");
            }
        }
    }
}

impl LogSink for Traced {
    fn log(&self, record: LogRecord) {
        self.logs.log(record);
    }

    fn exception(&self, request_id: Option<RequestId>, exception: JsException) {
        self.logs.exception(request_id, exception);
    }

    fn limit(&self, hit: LimitHit) {
        self.logs.limit(hit);
    }

    fn start(&self, note: StartNote) {
        self.logs.start(note);
    }

    fn used(&self, usage: Usage) {
        self.logs.used(usage);
    }

    fn traces(&self) -> bool {
        true
    }

    fn trace(&self, item: String) {
        if self.logs.traces() {
            self.logs.trace(item.clone());
        }
        if self.queue.try_send(item).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
