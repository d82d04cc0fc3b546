//! Telemetry on its way to the control plane. Whoever writes never waits: what has no room pushes the oldest out, and every
//! record that is lost is counted by the stage at which it was lost.

use atoll_api::pop::{LogRecord, Shipment};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// The most bytes of records that wait.
pub const WAITING_BYTES_MAX: usize = 16 << 20;
/// The most records of a batch.
pub const BATCH_RECORDS_MAX: usize = 1_000;
/// The most bytes of a batch.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// The most batches on their way that were not acknowledged.
pub const BATCHES_MAX: usize = 4;
/// The most bytes of one record; a longer one is dropped.
pub const RECORD_BYTES_MAX: usize = 256 << 10;

#[derive(Debug)]
enum Record {
    Log(LogRecord),
    Traces(Bytes),
}

impl Record {
    fn bytes(&self) -> usize {
        // What the fields besides cost, about.
        64 + match self {
            Self::Log(record) => record.json.len() + record.account.len() + record.worker.len(),
            Self::Traces(bytes) => bytes.len(),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Record>,
    bytes: usize,
    /// Since the start.
    dropped: BTreeMap<&'static str, u64>,
    /// Of those, what the control plane was told.
    told: BTreeMap<&'static str, u64>,
    shipped: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Shipper {
    state: Mutex<State>,
    more: Notify,
}

/// Records that were taken out, to be put back if they do not arrive.
#[derive(Debug)]
pub(crate) struct Batch {
    records: Vec<Record>,
    told: BTreeMap<&'static str, u64>,
}

impl Shipper {
    /// Ships a log record.
    pub fn log(&self, record: LogRecord) {
        self.add(Record::Log(record));
    }

    /// Ships an OTLP `ExportTraceServiceRequest`.
    pub fn traces(&self, request: Bytes) {
        self.add(Record::Traces(request));
    }

    /// Counts records that were lost before they came here.
    pub fn lost(&self, stage: &'static str, records: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state.dropped.entry(stage).or_default() += records;
    }

    fn add(&self, record: Record) {
        let bytes = record.bytes();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes > RECORD_BYTES_MAX {
            *state.dropped.entry("too-large").or_default() += 1;
            return;
        }
        state.bytes += bytes;
        state.waiting.push_back(record);
        state.shrink("queue");
        drop(state);
        self.more.notify_one();
    }

    /// How many records were dropped since the start, by stage.
    pub fn dropped(&self) -> BTreeMap<&'static str, u64> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .dropped
            .clone()
    }

    /// How many were acknowledged since the start, and how many bytes wait.
    pub fn shipped(&self) -> (u64, usize) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.shipped, state.bytes)
    }

    /// Waits until there may be something.
    pub(crate) async fn wait(&self) {
        self.more.notified().await;
    }

    /// The next batch; `None`: nothing waits.
    pub(crate) fn take(&self, number: u64) -> Option<(Batch, Shipment)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shipment = Shipment {
            number,
            ..Shipment::default()
        };
        let (mut records, mut bytes) = (Vec::new(), 0);
        while let Some(next) = state.waiting.front() {
            let more = next.bytes();
            // One request of traces goes with a batch: two cannot be joined without reading them.
            let second = matches!(next, Record::Traces(_)) && !shipment.traces.is_empty();
            if records.len() == BATCH_RECORDS_MAX || (bytes > 0 && bytes + more > BATCH_BYTES_MAX) || second {
                break;
            }
            let Some(record) = state.waiting.pop_front() else { break };
            bytes += more;
            state.bytes -= more;
            match &record {
                Record::Log(record) => shipment.logs.push(record.clone()),
                Record::Traces(request) => shipment.traces = request.clone(),
            }
            records.push(record);
        }
        let mut told = BTreeMap::new();
        for (stage, count) in state.dropped.clone() {
            let before = state.told.insert(stage, count).unwrap_or(0);
            if count > before {
                told.insert(stage, count - before);
                shipment.dropped.insert(stage.to_owned(), count - before);
            }
        }
        if records.is_empty() && told.is_empty() {
            return None;
        }
        Some((Batch { records, told }, shipment))
    }

    /// A batch arrived.
    pub(crate) fn arrived(&self, batch: &Batch) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.shipped += batch.records.len() as u64;
    }

    /// A batch did not arrive, as far as is known: it goes again, before everything else.
    pub(crate) fn put_back(&self, batch: Batch) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (stage, count) in batch.told {
            let told = state.told.entry(stage).or_default();
            *told = told.saturating_sub(count);
        }
        for record in batch.records.into_iter().rev() {
            state.bytes += record.bytes();
            state.waiting.push_front(record);
        }
        state.shrink("unreachable");
    }
}

impl State {
    /// Makes room at the expense of the oldest.
    fn shrink(&mut self, stage: &'static str) {
        while self.bytes > WAITING_BYTES_MAX {
            let Some(oldest) = self.waiting.pop_front() else { return };
            self.bytes -= oldest.bytes();
            *self.dropped.entry(stage).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: usize, bytes: usize) -> LogRecord {
        LogRecord {
            request: at.to_string(),
            json: "x".repeat(bytes),
            ..LogRecord::default()
        }
    }

    #[test]
    fn the_oldest_goes_first_and_every_loss_is_counted_and_told_once() {
        let shipper = Shipper::default();
        for at in 0..2_000 {
            shipper.log(record(at, 16_000));
        }
        shipper.log(record(0, RECORD_BYTES_MAX));
        let dropped = shipper.dropped();
        let (queue, large) = (dropped["queue"], dropped["too-large"]);
        assert!(queue > 900 && large == 1, "{dropped:?}");
        let (batch, shipment) = shipper.take(1).unwrap();
        assert_eq!(shipment.logs[0].request, queue.to_string());
        assert_eq!(shipment.dropped["queue"], queue);
        assert!(shipment.logs.len() <= BATCH_BYTES_MAX / 16_000);
        // It did not arrive: the same again, with what was to be told.
        shipper.put_back(batch);
        let (again, second) = shipper.take(2).unwrap();
        assert_eq!(
            (second.logs[0].request.clone(), second.dropped["queue"]),
            (queue.to_string(), queue)
        );
        shipper.arrived(&again);
        let mut seen = again.records.len();
        while let Some((batch, shipment)) = shipper.take(3) {
            assert!(shipment.dropped.is_empty());
            seen += batch.records.len();
            shipper.arrived(&batch);
        }
        assert_eq!(seen as u64 + queue, 2_000);
        assert_eq!(shipper.shipped(), (seen as u64, 0));
    }
}
