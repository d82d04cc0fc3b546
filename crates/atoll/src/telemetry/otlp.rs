//! Spans and workers' output to an OpenTelemetry collector, over OTLP/HTTP with protobuf.
//!
//! Configured by OpenTelemetry's own variables ([`Settings::from_env`]); without an endpoint nothing of this exists.
//!
//! ```text
//! span, record --queue (bounded, never waits)--> batch (512 or 1 s) --POST, retried--> collector
//!                  \-> dropped, counted                                  \-> failed, counted
//! ```
//!
//! A collector that is slow, away or refuses costs items, never a request: while a batch is being sent, what comes waits in the
//! queue; when that is full, it is dropped. Each item ends in exactly one of three counters ([`Otlp::counts`]).
//!
//! Source: OTLP 1.10 (OTLP/HTTP: paths, retryable answers, `Retry-After`); OpenTelemetry specification, "Environment variables".

mod encode;
mod settings;

pub(crate) use settings::Settings;

use atoll_host::{LogEvent, LogTail};
use atoll_stdx::{SplitMix64, TaskGroup};
use atoll_worker::{Span, TraceContext, Tracer};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Items that wait to be sent, of each kind; the specification's default of a batch processor.
const QUEUE_MAX: usize = 2_048;
/// The most items of a batch; the specification's default.
const BATCH_MAX: usize = 512;
/// How long the first item of a batch waits for others.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// For so long a batch is sent again and again; then its items have failed.
const RETRY_FOR: Duration = Duration::from_secs(30);
/// The first pause before a batch is sent again; doubles.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause, whatever the collector asks for.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(10);
/// How often it is said that a collector does not take what it is sent.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How long the last batches may take when the program ends.
const FINISH_GRACE: Duration = Duration::from_secs(3);

/// What became of items of one kind.
#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    told: Mutex<Option<Instant>>,
}

impl Counters {
    /// May it be said now that something was not taken? Once in [`TELL_EVERY`].
    fn may_tell(&self, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let may = told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY);
        if may {
            *told = Some(now);
        }
        may
    }
}

/// A reading of what became of items of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// `spans` or `logs`.
    pub(crate) kind: &'static str,
    /// The collector has them.
    pub(crate) sent: u64,
    /// They came faster than they could be sent.
    pub(crate) dropped: u64,
    /// The collector did not take them in time, or refused them.
    pub(crate) failed: u64,
}

/// See the module. Is the [`Tracer`] of whoever makes spans.
pub(crate) struct Otlp {
    spans: mpsc::Sender<Span>,
    /// Of traces that begin here, one is sampled if the low half of its id is below this: all agree on it.
    sampled_below: u64,
    counters: [Arc<Counters>; 2],
    settings: Arc<Settings>,
    client: reqwest::Client,
    tasks: TaskGroup,
}

thread_local! {
    /// Ids need be different, not secret: a stream per thread, each from another seed of the system's.
    static IDS: RefCell<SplitMix64> = RefCell::new(SplitMix64::new(RandomState::new().hash_one(std::thread::current().id())));
}

fn random<const N: usize>() -> [u8; N] {
    IDS.with_borrow_mut(|ids| {
        let mut bytes = [0; N];
        // All zero is no id.
        while bytes == [0; N] {
            for part in bytes.chunks_mut(8) {
                part.copy_from_slice(&ids.next_u64().to_be_bytes()[..part.len()]);
            }
        }
        bytes
    })
}

impl Otlp {
    /// Begins to send. Must be called inside a tokio runtime.
    pub(crate) fn start(settings: Settings) -> Result<Arc<Self>, String> {
        let client = reqwest::Client::builder()
            .timeout(settings.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| format!("traces cannot be sent: {error}"))?;
        let (spans, queue) = mpsc::channel(QUEUE_MAX);
        let settings = Arc::new(settings);
        let otlp = Arc::new(Self {
            spans,
            sampled_below: settings.sampled_below,
            counters: [Arc::default(), Arc::default()],
            settings: settings.clone(),
            client: client.clone(),
            tasks: TaskGroup::new(),
        });
        let sender = Sender {
            client,
            url: settings.traces_url.clone(),
            settings,
            counters: otlp.counters[0].clone(),
            tasks: otlp.tasks.clone(),
        };
        otlp.tasks.spawn(send_spans(queue, sender));
        Ok(otlp)
    }

    /// Sends what workers print as well, for as long as there are workers.
    pub(crate) fn send_logs(&self, tail: LogTail) {
        let sender = Sender {
            client: self.client.clone(),
            url: self.settings.logs_url.clone(),
            settings: self.settings.clone(),
            counters: self.counters[1].clone(),
            tasks: self.tasks.clone(),
        };
        self.tasks.spawn(send_logs(tail, sender));
    }

    /// What became of everything so far.
    pub(crate) fn counts(&self) -> [Counts; 2] {
        let read = |kind, counters: &Counters| Counts {
            kind,
            sent: counters.sent.load(Ordering::Relaxed),
            dropped: counters.dropped.load(Ordering::Relaxed),
            failed: counters.failed.load(Ordering::Relaxed),
        };
        [read("spans", &self.counters[0]), read("logs", &self.counters[1])]
    }

    /// Sends what waits, for a few seconds at most.
    pub(crate) async fn finish(&self) {
        self.tasks.drain(FINISH_GRACE).await;
    }
}

impl Tracer for Otlp {
    fn context(&self, parent: Option<&TraceContext>) -> TraceContext {
        let span_id = random();
        match parent {
            Some(parent) => TraceContext {
                span_id,
                ..parent.clone()
            },
            None => {
                let trace_id: [u8; 16] = random();
                let mut low = [0; 8];
                low.copy_from_slice(&trace_id[8..]);
                TraceContext {
                    trace_id,
                    span_id,
                    sampled: u64::from_be_bytes(low) < self.sampled_below || self.sampled_below == u64::MAX,
                    state: None,
                }
            }
        }
    }

    fn end(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.counters[0].dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn now_ns(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

struct Sender {
    client: reqwest::Client,
    url: String,
    settings: Arc<Settings>,
    counters: Arc<Counters>,
    tasks: TaskGroup,
}

/// How a batch ended that was sent once.
enum Sent {
    Taken,
    Refused(String),
    /// May be taken later; after this long, if the collector says so.
    Later(String, Option<Duration>),
}

impl Sender {
    async fn once(&self, body: &[u8]) -> Sent {
        let request = self
            .client
            .post(&self.url)
            .headers(self.settings.headers.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))
            .body(body.to_vec());
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Sent::Later(error.without_url().to_string(), None),
        };
        let status = answer.status();
        if status.is_success() {
            return Sent::Taken;
        }
        let why = format!("the collector answers {status}");
        // OTLP 1.10, "Failures": these alone may be sent again.
        if !matches!(status.as_u16(), 429 | 502 | 503 | 504) {
            return Sent::Refused(why);
        }
        let after = answer.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok());
        Sent::Later(why, after.and_then(|after| after.parse().ok()).map(Duration::from_secs))
    }

    /// Sends a batch until it is taken, refused or late.
    async fn send(&self, body: Vec<u8>, items: u64) {
        let begun = Instant::now();
        let mut pause = RETRY_PAUSE;
        let why = loop {
            match self.once(&body).await {
                Sent::Taken => {
                    self.counters.sent.fetch_add(items, Ordering::Relaxed);
                    return;
                }
                Sent::Refused(why) => break why,
                Sent::Later(why, after) => {
                    let wait = after.unwrap_or(pause).min(RETRY_PAUSE_MAX);
                    // At the end of the program nobody waits for a collector that is away.
                    if begun.elapsed() + wait > RETRY_FOR || self.tasks.stopping().is_cancelled() {
                        break why;
                    }
                    tokio::time::sleep(wait).await;
                    pause = (pause * 2).min(RETRY_PAUSE_MAX);
                }
            }
        };
        let failed = self.counters.failed.fetch_add(items, Ordering::Relaxed) + items;
        // A collector that is away refuses many batches a second: counters tell how many, the log that it is so.
        if self.counters.may_tell(begun) {
            tracing::warn!(url = self.url, failed, "telemetry was not taken: {why}");
        }
    }
}

async fn send_spans(mut queue: mpsc::Receiver<Span>, sender: Sender) {
    let mut spans: Vec<Span> = Vec::new();
    let stopping = sender.tasks.stopping();
    loop {
        let first = tokio::select! {
            biased;
            first = queue.recv() => first,
            () = stopping.cancelled() => queue.try_recv().ok(),
        };
        let Some(first) = first else { return };
        spans.push(first);
        gather(&mut queue, &mut spans, &stopping).await;
        let items = spans.len() as u64;
        let request = ExportTraceServiceRequest {
            resource_spans: vec![encode::spans(&sender.settings.resource, spans.drain(..))],
        };
        sender.send(request.encode_to_vec(), items).await;
    }
}

/// Waits for the rest of a batch.
async fn gather<T>(queue: &mut mpsc::Receiver<T>, batch: &mut Vec<T>, stopping: &CancellationToken) {
    let full = async {
        while batch.len() < BATCH_MAX {
            match queue.recv().await {
                Some(item) => batch.push(item),
                None => return,
            }
        }
    };
    tokio::select! {
        () = full => {}
        () = tokio::time::sleep(BATCH_DELAY) => {}
        () = stopping.cancelled() => {}
    }
    while batch.len() < BATCH_MAX
        && let Ok(item) = queue.try_recv()
    {
        batch.push(item);
    }
}

async fn send_logs(mut tail: LogTail, sender: Sender) {
    let mut batch: Vec<Arc<LogEvent>> = Vec::new();
    let stopping = sender.tasks.stopping();
    loop {
        let first = tokio::select! {
            biased;
            first = tail.next() => first,
            () = stopping.cancelled() => tail.try_next(),
        };
        let Some(first) = first else { return };
        batch.push(first);
        let full = async {
            while batch.len() < BATCH_MAX {
                match tail.next().await {
                    Some(event) => batch.push(event),
                    None => return,
                }
            }
        };
        tokio::select! {
            () = full => {}
            () = tokio::time::sleep(BATCH_DELAY) => {}
            () = stopping.cancelled() => {}
        }
        sender
            .counters
            .dropped
            .fetch_add(tail.take_dropped(), Ordering::Relaxed);
        let items = batch.len() as u64;
        let request = ExportLogsServiceRequest {
            resource_logs: vec![encode::logs(&sender.settings.resource, &batch)],
        };
        batch.clear();
        sender.send(request.encode_to_vec(), items).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn otlp(sampled_below: u64) -> Otlp {
        let (spans, _) = mpsc::channel(1);
        Otlp {
            spans,
            sampled_below,
            counters: Default::default(),
            settings: Arc::new(Settings::read(|_| None).unwrap_or_else(|| Settings::at("http://127.0.0.1:1"))),
            client: reqwest::Client::new(),
            tasks: TaskGroup::new(),
        }
    }

    #[test]
    fn that_a_collector_is_away_is_said_now_and_then() {
        let (counters, begun) = (Counters::default(), Instant::now());
        let told = |seconds| counters.may_tell(begun + Duration::from_secs(seconds));
        assert_eq!(
            [0, 1, 59, 60, 61, 120].map(told),
            [true, false, false, true, false, true]
        );
    }

    #[test]
    fn a_trace_is_sampled_by_its_id_and_a_span_by_its_parent() {
        let count = |ratio: u64| {
            let otlp = otlp(ratio);
            (0..4_000).filter(|_| otlp.context(None).sampled).count()
        };
        assert_eq!(count(0), 0);
        assert_eq!(count(u64::MAX), 4_000);
        // Ten standard deviations on each side.
        assert!((700..1_300).contains(&count(u64::MAX / 4)));
        let parent = otlp(u64::MAX).context(None);
        let child = otlp(0).context(Some(&parent));
        assert!(child.sampled && child.trace_id == parent.trace_id && child.span_id != parent.span_id);
    }

    #[test]
    fn what_finds_the_queue_closed_or_full_is_counted() {
        let otlp = otlp(u64::MAX);
        let span = Span {
            context: otlp.context(None),
            parent: None,
            name: "GET".into(),
            kind: atoll_worker::SpanKind::Server,
            start_ns: 1,
            end_ns: 2,
            attributes: Vec::new(),
            error: None,
        };
        otlp.end(span.clone());
        otlp.end(span);
        assert_eq!(otlp.counts()[0].dropped, 2);
    }
}
