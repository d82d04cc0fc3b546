//! What workers print, to whoever listens.
//!
//! Sinks are called on isolates' threads and never block: each tail is a bounded queue, and a record that finds it full
//! is dropped and counted for that tail alone. A tail is bounded in records and in bytes, and an account's workers print no
//! faster than its bucket allows (`bucket`), so what they print cannot fill the memory, however much it is.

use crate::bucket::{Bucket, Taken};
use crate::routes::Routes;
use crate::starts::{Starts, WorkerStarts};
use atoll_model::{AccountLimits, Limit, RequestId, TenantId, WorkerName, WorkerVersion};
use atoll_worker::{
    Fault, FaultKind, JsException, LimitCounts, LimitHit, LogLevel, LogRecord, LogSink, SpanPlace, StartNote, Usage,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

/// The most records that may wait in a tail.
pub const TAIL_DEPTH_MAX: usize = 65_536;
/// The most bytes of messages that may wait in a tail.
pub const TAIL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Whose output it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOrigin {
    /// The tenant.
    pub tenant: TenantId,
    /// The worker.
    pub worker: WorkerName,
    /// The version's id; empty for a worker that another one made.
    pub version: Arc<str>,
}

/// An event that ended in a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedEvent {
    /// The event.
    pub request_id: RequestId,
    /// Where it stands in a trace, if traces are made.
    pub span: Option<SpanPlace>,
    /// How it ended.
    pub fault: Fault,
}

/// Something a worker printed or threw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEvent {
    /// `console`.
    Record(LogOrigin, LogRecord),
    /// An exception that no response carries.
    Exception(LogOrigin, Option<RequestId>, JsException),
    /// An event ended in a fault of the worker's: its client, or the worker that asked, was answered so.
    Failed(LogOrigin, FailedEvent),
}

#[derive(Debug)]
struct Tail {
    queue: mpsc::Sender<Arc<LogEvent>>,
    dropped: Arc<AtomicU64>,
    /// Bytes that wait.
    bytes: Arc<AtomicUsize>,
}

impl Tail {
    fn offer(&self, event: &Arc<LogEvent>) {
        let size = event.size();
        let booked = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bytes| {
            Some(bytes + size).filter(|sum| *sum <= TAIL_BYTES_MAX)
        });
        if booked.is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Err(error) = self.queue.try_send(event.clone()) {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            if matches!(error, TrySendError::Full(_)) {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Is told what events of some workers did: the platform's trace items.
pub trait TraceTap: std::fmt::Debug + Send + Sync + 'static {
    /// Whether it wants those of this worker. Asked for every event, so it must be cheap.
    fn wants(&self, tenant: &TenantId, worker: &WorkerName) -> bool;

    /// What an event of a version did, as JSON. On the isolate's thread: it must not block.
    fn item(&self, origin: &LogOrigin, item: &str);
}

/// Is told what versions use.
pub trait UsageWatch: std::fmt::Debug + Send + Sync + 'static {
    /// A version has used so much since this was last called of it; all of it by events that `route` led to it, if that is
    /// known. From any thread: it must not block.
    fn used(&self, origin: &LogOrigin, route: Option<&Arc<str>>, usage: &Usage);
}

/// Gives every event to every tail.
#[derive(Debug, Default)]
pub struct LogHub {
    tails: RwLock<Vec<Tail>>,
    tap: OnceLock<Arc<dyn TraceTap>>,
    usage: OnceLock<Arc<dyn UsageWatch>>,
    limits: LimitCounts,
    starts: Starts,
    routes: Routes,
    buckets: Mutex<HashMap<TenantId, Arc<Mutex<Bucket>>>>,
}

/// Receives what workers print. Dropping it ends it.
#[derive(Debug)]
pub struct LogTail {
    queue: mpsc::Receiver<Arc<LogEvent>>,
    dropped: Arc<AtomicU64>,
    bytes: Arc<AtomicUsize>,
}

impl LogEvent {
    /// What it holds of the memory, about.
    fn size(&self) -> usize {
        let text = match self {
            Self::Record(_, record) => record.message.len(),
            Self::Exception(_, _, exception) => weight(exception),
            Self::Failed(_, failed) => {
                let exception = failed.fault.exception.as_deref();
                let boxed = exception.map_or(0, |exception| weight(exception) + size_of_val(exception));
                failed.fault.message.len() + boxed
            }
        };
        text + size_of::<Self>()
    }
}

/// Bytes of text.
fn weight(exception: &JsException) -> usize {
    exception.message.len() + exception.stack.len()
}

impl LogHub {
    /// A hub without tails.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A new tail with room for `depth` events (1 to [`TAIL_DEPTH_MAX`]).
    pub fn tail(&self, depth: usize) -> LogTail {
        let (sender, queue) = mpsc::channel(depth.clamp(1, TAIL_DEPTH_MAX));
        let dropped = Arc::new(AtomicU64::new(0));
        let bytes = Arc::new(AtomicUsize::new(0));
        let mut tails = self.tails.write().unwrap_or_else(PoisonError::into_inner);
        tails.retain(|tail| !tail.queue.is_closed());
        tails.push(Tail {
            queue: sender,
            dropped: dropped.clone(),
            bytes: bytes.clone(),
        });
        LogTail { queue, dropped, bytes }
    }

    /// The sink of one worker; its account prints by the limits that another of its workers came with, or by the default.
    pub fn sink(self: &Arc<Self>, origin: LogOrigin) -> Arc<dyn LogSink> {
        self.sink_within(origin, &AccountLimits::default())
    }

    /// The one that is told of events. Given once; who comes later is not told.
    pub fn tap(&self, tap: Arc<dyn TraceTap>) {
        // Whoever came first stays.
        let _ = self.tap.set(tap);
    }

    /// The one that is told what versions use. Given once; who comes later is not told.
    pub fn watch_usage(&self, watch: Arc<dyn UsageWatch>) {
        // Whoever came first stays.
        let _ = self.usage.set(watch);
    }

    /// The sink of a version of one worker, whose account has these limits.
    pub fn sink_within(self: &Arc<Self>, origin: LogOrigin, account: &AccountLimits) -> Arc<dyn LogSink> {
        Arc::new(self.sink_of(origin, account))
    }

    fn sink_of(self: &Arc<Self>, origin: LogOrigin, account: &AccountLimits) -> Sink {
        let bucket = {
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that no sink uses any more.
            buckets.retain(|_, bucket| Arc::strong_count(bucket) > 1);
            let bucket = buckets.entry(origin.tenant.clone()).or_insert_with(|| {
                let bucket = Bucket::new(account.log_bytes_per_second, account.log_burst_bytes, Instant::now());
                Arc::new(Mutex::new(bucket))
            });
            bucket.clone()
        };
        Sink {
            starts: self.starts.of(&origin.tenant, &origin.worker),
            hub: self.clone(),
            origin,
            bucket,
        }
    }

    /// Tells that an event of a version ended in a fault, if that says something about the worker and the account may say so much.
    pub(crate) fn failed(
        self: &Arc<Self>,
        version: &WorkerVersion,
        kind: FaultKind,
        failed: impl FnOnce() -> FailedEvent,
    ) {
        // Nobody's fault, or so many at a time that counters tell it better: nothing is copied for those.
        if matches!(
            kind,
            FaultKind::Canceled | FaultKind::Draining | FaultKind::Overloaded | FaultKind::NotFound
        ) {
            return;
        }
        if self.tails.read().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return;
        }
        let origin = LogOrigin {
            tenant: version.tenant.clone(),
            worker: version.name.clone(),
            version: version.id.as_str().into(),
        };
        let event = LogEvent::Failed(origin.clone(), failed());
        // A version that runs has a sink, so the account's bucket is there, with its rate.
        let sink = self.sink_of(origin, &AccountLimits::default());
        if sink.may_print(event.size() - size_of::<LogEvent>(), 0) {
            self.publish(|| event);
        }
    }

    /// How often each limit was reached.
    pub fn limits(&self) -> &LimitCounts {
        &self.limits
    }

    /// Routes that are counted, and what they have used.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// How events met their workers.
    pub(crate) fn starts(&self) -> &Starts {
        &self.starts
    }

    fn publish(&self, make: impl FnOnce() -> LogEvent) {
        let tails = self.tails.read().unwrap_or_else(PoisonError::into_inner);
        if tails.is_empty() {
            return;
        }
        let event = Arc::new(make());
        for tail in tails.iter() {
            tail.offer(&event);
        }
    }
}

impl LogTail {
    /// The next event; `None` once the hub is gone.
    pub async fn next(&mut self) -> Option<Arc<LogEvent>> {
        let event = self.queue.recv().await?;
        self.bytes.fetch_sub(event.size(), Ordering::Relaxed);
        Some(event)
    }

    /// The next event; once `stopping`, only what is there already, then `None`.
    pub async fn next_until(&mut self, stopping: &CancellationToken) -> Option<Arc<LogEvent>> {
        tokio::select! {
            biased;
            event = self.next() => event,
            () = stopping.cancelled() => self.try_next(),
        }
    }

    /// The next event if one is there already.
    pub fn try_next(&mut self) -> Option<Arc<LogEvent>> {
        let event = self.queue.try_recv().ok()?;
        self.bytes.fetch_sub(event.size(), Ordering::Relaxed);
        Some(event)
    }

    /// How many events this tail has missed since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

struct Sink {
    hub: Arc<LogHub>,
    origin: LogOrigin,
    starts: Arc<WorkerStarts>,
    /// Of the account.
    bucket: Arc<Mutex<Bucket>>,
}

impl Sink {
    /// Whether the account may print this much; tells first what was left out before.
    fn may_print(&self, bytes: usize, timestamp_ms: u64) -> bool {
        let (taken, rate) = {
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            (bucket.take(bytes as u64, Instant::now()), bucket.rate())
        };
        match taken {
            Taken::Yes { left_out: 0 } => true,
            Taken::Yes { left_out } => {
                let message = format!(
                    "{left_out} lines of this account's workers were left out: they printed more than {} bytes a second (limit \
                     log_bytes_per_second)",
                    rate
                );
                let record = LogRecord {
                    level: LogLevel::Warn,
                    message,
                    timestamp_ms,
                    request_id: None,
                    span: None,
                };
                self.hub.publish(|| LogEvent::Record(self.origin.clone(), record));
                true
            }
            Taken::No { first } => {
                if first {
                    self.limit(LimitHit {
                        limit: Limit::LogRate,
                        value: rate,
                        request_id: None,
                    });
                }
                false
            }
        }
    }
}

impl LogSink for Sink {
    fn log(&self, record: LogRecord) {
        if self.may_print(record.message.len(), record.timestamp_ms) {
            self.hub.publish(|| LogEvent::Record(self.origin.clone(), record));
        }
    }

    fn exception(&self, request_id: Option<RequestId>, exception: JsException) {
        // An exception says when by its place among the records; it has no time of its own.
        if self.may_print(weight(&exception), 0) {
            self.hub
                .publish(|| LogEvent::Exception(self.origin.clone(), request_id, exception));
        }
    }

    fn limit(&self, hit: LimitHit) {
        self.hub.limits.count(hit.limit);
        let LogOrigin { tenant, worker, .. } = &self.origin;
        tracing::info!(%tenant, %worker, limit = hit.limit.key(), value = hit.value, "a limit was reached");
    }

    fn start(&self, note: StartNote) {
        self.hub.starts.note(&self.starts, note);
    }

    fn used(&self, usage: Usage) {
        self.starts.used(&usage);
        let LogOrigin { tenant, worker, .. } = &self.origin;
        let routes = &self.hub.routes;
        let route = usage
            .route
            .and_then(|number| routes.used(number, tenant, worker, &usage, Instant::now()));
        if let Some(watch) = self.hub.usage.get() {
            watch.used(&self.origin, route.as_ref(), &usage);
        }
    }

    fn traces(&self) -> bool {
        let LogOrigin { tenant, worker, .. } = &self.origin;
        self.hub.tap.get().is_some_and(|tap| tap.wants(tenant, worker))
    }

    fn trace(&self, item: String) {
        if let Some(tap) = self.hub.tap.get() {
            tap.item(&self.origin, &item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn origin() -> LogOrigin {
        LogOrigin {
            tenant: TenantId::new("t"),
            worker: WorkerName::new("w"),
            version: "".into(),
        }
    }

    fn record(message: &str) -> LogRecord {
        LogRecord {
            level: LogLevel::Info,
            message: message.into(),
            timestamp_ms: 1,
            request_id: None,
            span: None,
        }
    }

    async fn message(tail: &mut LogTail) -> String {
        match &*tail.next().await.unwrap() {
            LogEvent::Record(from, record) if *from == origin() => record.message.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn every_tail_gets_every_record_and_counts_its_own_losses() {
        let hub = LogHub::new();
        let sink = hub.sink(origin());
        sink.log(record("nobody listens"));
        let (mut wide, mut narrow) = (hub.tail(10), hub.tail(1));
        for text in ["a", "b", "c"] {
            sink.log(record(text));
        }
        for text in ["a", "b", "c"] {
            assert_eq!(message(&mut wide).await, text);
        }
        assert_eq!(message(&mut narrow).await, "a");
        assert_eq!((wide.take_dropped(), narrow.take_dropped()), (0, 2));
        sink.log(record("d"));
        assert_eq!(message(&mut narrow).await, "d");
        assert_eq!(narrow.take_dropped(), 0);
    }

    #[tokio::test]
    async fn a_tail_that_went_away_costs_nothing() {
        let hub = LogHub::new();
        let sink = hub.sink(origin());
        drop(hub.tail(1));
        sink.exception(None, JsException::default());
        let mut tail = hub.tail(1);
        assert_eq!(hub.tails.read().unwrap().len(), 1);
        sink.exception(Some(RequestId(4)), JsException::default());
        let event = tail.next().await.unwrap();
        assert_eq!(
            *event,
            LogEvent::Exception(origin(), Some(RequestId(4)), JsException::default())
        );
    }

    #[tokio::test]
    async fn a_flood_is_held_to_the_accounts_rate_and_says_so() {
        let hub = LogHub::new();
        let account = AccountLimits {
            log_bytes_per_second: 1,
            log_burst_bytes: 10,
            ..AccountLimits::default()
        };
        let sink = hub.sink_within(origin(), &account);
        // Another worker of the account drinks from the same bucket.
        let other = hub.sink_within(origin(), &account);
        let mut tail = hub.tail(10);
        sink.log(record("12345"));
        other.log(record("12345"));
        sink.log(record("1234567890"));
        other.log(record("1234567890"));
        assert_eq!(message(&mut tail).await, "12345");
        assert_eq!(message(&mut tail).await, "12345");
        assert!(tail.try_next().is_none());
        assert_eq!(hub.limits().get(Limit::LogRate), 1);
        assert_eq!(tail.take_dropped(), 0);
    }

    #[tokio::test]
    async fn a_tail_holds_so_many_bytes_and_no_more() {
        let hub = LogHub::new();
        let account = AccountLimits {
            log_burst_bytes: u64::MAX,
            ..AccountLimits::default()
        };
        let sink = hub.sink_within(origin(), &account);
        let mut tail = hub.tail(TAIL_DEPTH_MAX);
        let line = "x".repeat(1024 * 1024 - size_of::<LogEvent>());
        for _ in 0..TAIL_BYTES_MAX / (1024 * 1024) + 3 {
            sink.log(record(&line));
        }
        assert_eq!(tail.take_dropped(), 3);
        while tail.try_next().is_some() {}
        sink.log(record("again"));
        assert_eq!(message(&mut tail).await, "again");
    }
}
