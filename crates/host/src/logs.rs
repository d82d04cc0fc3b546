//! What workers print, to whoever listens.
//!
//! Sinks are called on isolates' threads and never block: each tail is a bounded queue, and a record that finds it full
//! is dropped and counted for that tail alone.

use atoll_model::{RequestId, TenantId, WorkerName};
use atoll_worker::{JsException, LogRecord, LogSink};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// The most records that may wait in a tail.
pub const TAIL_DEPTH_MAX: usize = 65_536;

/// Whose output it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOrigin {
    /// The tenant.
    pub tenant: TenantId,
    /// The worker.
    pub worker: WorkerName,
}

/// Something a worker printed or threw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEvent {
    /// `console`.
    Record(LogOrigin, LogRecord),
    /// An exception that no response carries.
    Exception(LogOrigin, Option<RequestId>, JsException),
}

#[derive(Debug)]
struct Tail {
    queue: mpsc::Sender<Arc<LogEvent>>,
    dropped: Arc<AtomicU64>,
}

/// Gives every event to every tail.
#[derive(Debug, Default)]
pub struct LogHub {
    tails: RwLock<Vec<Tail>>,
}

/// Receives what workers print. Dropping it ends it.
#[derive(Debug)]
pub struct LogTail {
    queue: mpsc::Receiver<Arc<LogEvent>>,
    dropped: Arc<AtomicU64>,
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
        let mut tails = self.tails.write().unwrap_or_else(PoisonError::into_inner);
        tails.retain(|tail| !tail.queue.is_closed());
        tails.push(Tail {
            queue: sender,
            dropped: dropped.clone(),
        });
        LogTail { queue, dropped }
    }

    /// The sink of one worker.
    pub fn sink(self: &Arc<Self>, origin: LogOrigin) -> Arc<dyn LogSink> {
        Arc::new(Sink {
            hub: self.clone(),
            origin,
        })
    }

    fn publish(&self, make: impl FnOnce() -> LogEvent) {
        let tails = self.tails.read().unwrap_or_else(PoisonError::into_inner);
        if tails.is_empty() {
            return;
        }
        let event = Arc::new(make());
        for tail in tails.iter() {
            if let Err(TrySendError::Full(_)) = tail.queue.try_send(event.clone()) {
                tail.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl LogTail {
    /// The next event; `None` once the hub is gone.
    pub async fn next(&mut self) -> Option<Arc<LogEvent>> {
        self.queue.recv().await
    }

    /// The next event if one is there already.
    pub fn try_next(&mut self) -> Option<Arc<LogEvent>> {
        self.queue.try_recv().ok()
    }

    /// How many events this tail has missed since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

struct Sink {
    hub: Arc<LogHub>,
    origin: LogOrigin,
}

impl LogSink for Sink {
    fn log(&self, record: LogRecord) {
        self.hub.publish(|| LogEvent::Record(self.origin.clone(), record));
    }

    fn exception(&self, request_id: Option<RequestId>, exception: JsException) {
        self.hub
            .publish(|| LogEvent::Exception(self.origin.clone(), request_id, exception));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_worker::LogLevel;

    fn origin() -> LogOrigin {
        LogOrigin {
            tenant: TenantId::new("t"),
            worker: WorkerName::new("w"),
        }
    }

    fn record(message: &str) -> LogRecord {
        LogRecord {
            level: LogLevel::Info,
            message: message.into(),
            timestamp_ms: 1,
            request_id: None,
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
}
