//! The metrics page of a control plane, as OpenMetrics text: who leads, what is on its way to the PoPs, how these are, what became
//! of the calls of the APIs.
//!
//! Names are `atoll_control_*` and stable (`docs/operations/control.md` lists them). Labels are PoPs' names, endpoints' names and
//! the words of enums. A follower has the same page with less on it: it knows no PoPs. What cannot be asked in time is left out,
//! and `atoll_control_catalog_up` says that it was.

use super::fleet::CurrentPops;
use crate::serve::metrics::{counter, counter_row, family, gauge, gauge_row, of_process};
use atoll_api::rest::{Pop, PopState};
use atoll_control::calls::{BOUNDS_S, Calls, Endpoint};
use atoll_control::fleet::FleetState;
use atoll_control::state::Metrics;
use atoll_control::telemetry::MemoryTelemetry;
use atoll_control::{Catalog, Pops};
use atoll_stdx::Clock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long the catalog and the sessions may take to answer.
const ASK_MAX: Duration = Duration::from_secs(2);
/// PoPs that are shown one by one.
const POPS_MAX: usize = 1_000;

/// Where the figures come from.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) leading: watch::Receiver<Option<Catalog>>,
    pub(super) pops: Arc<CurrentPops>,
    pub(super) telemetry: Arc<MemoryTelemetry>,
    pub(super) calls: Arc<Calls>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) began: Instant,
}

/// Makes the page.
pub(super) fn page(sources: Sources) -> Metrics {
    Arc::new(move || {
        let sources = sources.clone();
        Box::pin(async move {
            let mut registry = Registry::default();
            registry.register_collector(Box::new(sources.read().await));
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry)?;
            Ok(text)
        })
    })
}

impl Sources {
    async fn read(&self) -> Page {
        let catalog = self.leading.borrow().clone();
        let leads = catalog.is_some();
        let asked = async {
            let revision = catalog?.config_head().await.ok()?.revision.0;
            Some((revision, self.pops.state().await.ok()?, self.pops.pops().await.ok()?))
        };
        Page {
            leads,
            fleet: tokio::time::timeout(ASK_MAX, asked).await.ok().flatten(),
            counted: self.pops.counted(),
            calls: self.calls.read(),
            dropped: self.telemetry.dropped(),
            now_ms: self.clock.now_ms(),
            uptime: self.began.elapsed(),
        }
    }
}

#[derive(Debug)]
struct Page {
    leads: bool,
    /// The catalog's revision, what is on its way, the PoPs; of the leader alone.
    fleet: Option<(u64, FleetState, Vec<Pop>)>,
    counted: Vec<(&'static str, u64)>,
    calls: BTreeMap<&'static str, Endpoint>,
    dropped: (u64, u64, u64),
    now_ms: u64,
    uptime: Duration,
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.program(encoder)?;
        if let Some((revision, state, pops)) = &self.fleet {
            rollouts(encoder, *revision, state)?;
            self.pops(encoder, pops)?;
        }
        self.calls(encoder)?;
        self.telemetry(encoder)?;
        of_process(encoder)
    }
}

/// A figure of a PoP: its name, what it is, how it is had.
type Figure<'f> = (&'static str, &'static str, &'f dyn Fn(&Pop) -> f64);

fn yes(flag: bool) -> f64 {
    f64::from(u8::from(flag))
}

/// The catalog, and what of it is not everywhere yet.
fn rollouts(encoder: &mut DescriptorEncoder<'_>, revision: u64, state: &FleetState) -> fmt::Result {
    let figures = [
        ("atoll_control_revision", "The catalog's newest revision", revision),
        (
            "atoll_control_publication",
            "The newest configuration that PoPs are told to serve",
            state.publication,
        ),
        (
            "atoll_control_staged",
            "Changes that are not on every PoP yet",
            state.staged,
        ),
    ];
    for (name, help, value) in figures {
        gauge(encoder, name, help, value as f64)?;
    }
    let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
    for alarm in &state.alarms {
        *codes.entry(&alarm.code).or_default() += 1;
    }
    let mut rows = family(
        encoder,
        "atoll_control_alarms",
        "What needs somebody's attention, by code",
        MetricType::Gauge,
    )?;
    for (code, count) in codes {
        gauge_row(&mut rows, &[("code", code)], count as f64)?;
    }
    Ok(())
}

impl Page {
    fn program(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut build = family(encoder, "atoll_build", "The program", MetricType::Gauge)?;
        gauge_row(&mut build, &[("version", env!("CARGO_PKG_VERSION"))], 1.0)?;
        gauge(
            encoder,
            "atoll_control_leads",
            "1 if this control plane leads",
            yes(self.leads),
        )?;
        gauge(
            encoder,
            "atoll_control_uptime_seconds",
            "Since the process began",
            self.uptime.as_secs_f64(),
        )?;
        if !self.leads {
            return Ok(());
        }
        gauge(
            encoder,
            "atoll_control_catalog_up",
            "1 if the catalog answered in time for this page",
            yes(self.fleet.is_some()),
        )
    }

    fn pops(&self, encoder: &mut DescriptorEncoder<'_>, pops: &[Pop]) -> fmt::Result {
        let states = [
            ("alive", PopState::Alive),
            ("draining", PopState::Draining),
            ("gone", PopState::Gone),
        ];
        let mut rows = family(encoder, "atoll_control_pops", "PoPs, by state", MetricType::Gauge)?;
        for (name, state) in states {
            let count = pops.iter().filter(|pop| pop.state == state).count();
            gauge_row(&mut rows, &[("state", name)], count as f64)?;
        }
        let shown = || pops.iter().filter(|pop| pop.state != PopState::Revoked).take(POPS_MAX);
        let figures: [Figure<'_>; 7] = [
            ("atoll_control_pop_up", "1 if the PoP is connected", &|pop| {
                yes(matches!(pop.state, PopState::Alive | PopState::Draining))
            }),
            (
                "atoll_control_pop_seen_seconds",
                "How long ago the PoP was heard last",
                &|pop| self.now_ms.saturating_sub(pop.seen_ms) as f64 / 1e3,
            ),
            (
                "atoll_control_pop_publication",
                "The configuration that the PoP serves",
                &|pop| pop.publication as f64,
            ),
            (
                "atoll_control_pop_certificate_until_seconds",
                "When the PoP's certificate ends, Unix time",
                &|pop| pop.certificate_until_ms as f64 / 1e3,
            ),
            (
                "atoll_control_pop_memory_bytes",
                "Memory of the PoP's processes, as it last said",
                &|pop| pop.memory_bytes as f64,
            ),
            (
                "atoll_control_pop_in_flight",
                "Requests in flight on the PoP, as it last said",
                &|pop| pop.in_flight as f64,
            ),
            (
                "atoll_control_pop_telemetry_dropped",
                "Records and measurements that the PoP dropped since it started, as it last said",
                &|pop| pop.telemetry_dropped as f64,
            ),
        ];
        for (name, help, value) in figures {
            let mut rows = family(encoder, name, help, MetricType::Gauge)?;
            for pop in shown() {
                let labels = [("pop", pop.name.as_str()), ("region", pop.region.as_str())];
                gauge_row(&mut rows, &labels, value(pop))?;
            }
        }
        let mut rows = family(
            encoder,
            "atoll_control_sessions",
            "What was done for PoPs since this process began to lead, by kind",
            MetricType::Counter,
        )?;
        for (what, count) in &self.counted {
            counter_row(&mut rows, &[("what", *what)], *count)?;
        }
        Ok(())
    }

    fn calls(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut rows = family(
            encoder,
            "atoll_control_requests",
            "Calls of the APIs, by endpoint and status",
            MetricType::Counter,
        )?;
        for (endpoint, calls) in &self.calls {
            for (status, count) in &calls.statuses {
                let status = status.to_string();
                counter_row(&mut rows, &[("endpoint", *endpoint), ("status", &status)], *count)?;
            }
        }
        let mut rows = family(
            encoder,
            "atoll_control_request_duration_seconds",
            "From a call to its answer, by endpoint",
            MetricType::Histogram,
        )?;
        for (endpoint, calls) in &self.calls {
            let bounds = BOUNDS_S.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(calls.took).collect();
            rows.encode_family(&[("endpoint", *endpoint)])?
                .encode_histogram::<NoLabelSet>(calls.took_s, calls.took.iter().sum(), &buckets, None)?;
        }
        Ok(())
    }

    fn telemetry(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (records, series, before) = self.dropped;
        let figures = [
            (
                "atoll_control_log_records_dropped",
                "Workers' log records that made room for newer ones",
                records,
            ),
            (
                "atoll_control_series_dropped",
                "Series of measurements that there was no room for",
                series,
            ),
            (
                "atoll_control_log_records_lost_before",
                "Workers' log records that PoPs dropped before they came here",
                before,
            ),
        ];
        for (name, help, value) in figures {
            counter(encoder, name, help, value)?;
        }
        Ok(())
    }
}
