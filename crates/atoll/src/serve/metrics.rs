//! The metrics page: plain counters of all parts, encoded as OpenMetrics text.
//!
//! The parts count; this file names what they count. Names are `atoll_*` and stable (`docs/operations/serve.md` lists them),
//! process figures have the names that Prometheus' own clients give them. Labels are workers, namespaces, status classes and
//! the words of enums: what a client sends never becomes a label.

use crate::platform::Stores;
use crate::serve::journal::Journal;
use crate::serve::meters::{LATENCY_BOUNDS, Meters, Reading};
use crate::serve::process;
use crate::serve::status::Status;
use crate::telemetry::otlp::Otlp;
use atoll_cache::MemoryCache;
use atoll_edge::EdgeHandle;
use atoll_host::{CodeStore, Host, RouteCounts};
use atoll_worker::StartKind;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// What the page's `Content-Type` says.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Namespaces and cache zones that are shown; the rest is left out, and said so.
const ROWS_MAX: usize = 1000;

/// Where the figures come from.
pub(crate) struct Sources {
    pub(crate) host: Arc<Host>,
    pub(crate) stores: Arc<Stores>,
    pub(crate) cache: Arc<MemoryCache>,
    /// Compiled code, if workers run in this process.
    pub(crate) code: Option<Arc<CodeStore>>,
    /// Where traces and workers' output go, if anywhere.
    pub(crate) otlp: Option<Arc<Otlp>>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) status: Arc<Status>,
    /// Known once the listener is bound.
    pub(crate) edge: OnceLock<EdgeHandle>,
    /// Of a PoP.
    pub(crate) pop: Option<Arc<atoll_pop::Agent>>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

/// The page.
pub(crate) fn page(sources: &Arc<Sources>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(sources.clone())));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Page(Arc<Sources>);

/// A family under its name, to be filled row by row.
pub(crate) fn family<'s>(
    encoder: &'s mut DescriptorEncoder<'_>,
    name: &'s str,
    help: &'s str,
    kind: MetricType,
) -> Result<MetricEncoder<'s>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, kind)
}

/// A counter without labels.
pub(crate) fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(family(encoder, name, help, MetricType::Counter)?)
}

/// A gauge without labels.
pub(crate) fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    ConstGauge::new(value).encode(family(encoder, name, help, MetricType::Gauge)?)
}

/// A row of a family of counters.
pub(crate) fn counter_row<S: EncodeLabelSet>(rows: &mut MetricEncoder<'_>, labels: &S, value: u64) -> fmt::Result {
    rows.encode_family(labels)?
        .encode_counter::<NoLabelSet, u64, u64>(&value, None)
}

/// A row of a family of gauges.
pub(crate) fn gauge_row<S: EncodeLabelSet>(rows: &mut MetricEncoder<'_>, labels: &S, value: f64) -> fmt::Result {
    rows.encode_family(labels)?.encode_gauge(&value)
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.program(encoder)?;
        self.requests(encoder)?;
        self.routes(encoder)?;
        self.workers(encoder)?;
        self.pool(encoder)?;
        self.code(encoder)?;
        self.cordon(encoder)?;
        self.limits(encoder)?;
        self.edge(encoder)?;
        self.stores(encoder)?;
        self.pop(encoder)?;
        of_process(encoder)
    }
}

impl Page {
    /// What a PoP's agent counts.
    fn pop(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(agent) = &self.0.pop else { return Ok(()) };
        let status = agent.status();
        let yes = |flag: bool| f64::from(u8::from(flag));
        gauge(
            encoder,
            "atoll_pop_connected",
            "1 if the control plane is connected",
            yes(status.connected),
        )?;
        gauge(
            encoder,
            "atoll_pop_publication",
            "The configuration that is served",
            status.publication as f64,
        )?;
        gauge(
            encoder,
            "atoll_pop_workers_kept",
            "Workers that stay as they were because their new version does not start",
            status.kept as f64,
        )?;
        gauge(
            encoder,
            "atoll_pop_certificate_until_seconds",
            "When the certificate ends",
            status.certificate_until_ms as f64 / 1e3,
        )?;
        gauge(
            encoder,
            "atoll_pop_kv_position",
            "The last KV edit of the API that is durable here",
            status.kv_position as f64,
        )?;
        gauge(
            encoder,
            "atoll_pop_objects",
            "Artifacts' objects on disk",
            status.objects.0 as f64,
        )?;
        gauge(
            encoder,
            "atoll_pop_objects_bytes",
            "Bytes of artifacts' objects on disk",
            status.objects.1 as f64,
        )?;
        let mut rows = family(
            encoder,
            "atoll_pop_agent",
            "What the agent did, by kind",
            MetricType::Counter,
        )?;
        for (what, count) in &status.counters {
            counter_row(&mut rows, &[("what", *what)], *count)?;
        }
        let mut rows = family(
            encoder,
            "atoll_pop_telemetry_dropped",
            "Telemetry that was dropped, by stage",
            MetricType::Counter,
        )?;
        for (stage, count) in &status.dropped {
            counter_row(&mut rows, &[("stage", *stage)], *count)?;
        }
        Ok(())
    }

    fn program(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut build = family(encoder, "atoll_build", "The program", MetricType::Gauge)?;
        gauge_row(&mut build, &[("version", env!("CARGO_PKG_VERSION"))], 1.0)?;
        let ready = u8::from(self.0.status.unready().is_none());
        gauge(encoder, "atoll_ready", "1 if /readyz says yes", ready.into())?;
        let reloads = self.0.status.reloads();
        let mut rows = family(
            encoder,
            "atoll_reloads",
            "Reloads, by how they ended",
            MetricType::Counter,
        )?;
        counter_row(&mut rows, &[("outcome", "ok")], reloads.0)?;
        counter_row(&mut rows, &[("outcome", "failed")], reloads.1)?;
        let (written, dropped) = self.0.journal.counts();
        counter(encoder, "atoll_log_records", "Records written", written)?;
        counter(
            encoder,
            "atoll_log_records_dropped",
            "Records lost because they came faster than they could be written",
            dropped,
        )?;
        let Some(otlp) = &self.0.otlp else { return Ok(()) };
        let mut rows = family(
            encoder,
            "atoll_otlp_items",
            "Spans and log records for the OpenTelemetry collector, by what became of them",
            MetricType::Counter,
        )?;
        for counts in otlp.counts() {
            for (outcome, count) in [
                ("sent", counts.sent),
                ("dropped", counts.dropped),
                ("failed", counts.failed),
            ] {
                counter_row(&mut rows, &[("kind", counts.kind), ("outcome", outcome)], count)?;
            }
        }
        Ok(())
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let readings = self.0.meters.read();
        let mut rows = family(
            encoder,
            "atoll_requests",
            "Requests answered, by worker, status class and outcome",
            MetricType::Counter,
        )?;
        self.counts(&mut rows, &readings)?;
        let mut rows = family(
            encoder,
            "atoll_request_duration_seconds",
            "From a request's head to its response's head",
            MetricType::Histogram,
        )?;
        self.durations(&mut rows, &readings)
    }

    /// What came by routes and custom domains; of a PoP.
    fn routes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if self.0.pop.is_none() {
            return Ok(());
        }
        let mut used = self.0.host.logs().routes().counts();
        used.sort_by(|a, b| (&a.tenant, &a.worker, &a.route).cmp(&(&b.tenant, &b.worker, &b.route)));
        let routes = self.0.meters.routes(&used);
        let mut rows = family(
            encoder,
            "atoll_route_requests",
            "Requests that a route or a custom domain led to their worker, by it, status class and outcome; atoll_requests has them, too",
            MetricType::Counter,
        )?;
        self.counts(&mut rows, &routes)?;
        let mut rows = family(
            encoder,
            "atoll_route_request_duration_seconds",
            "Of requests by a route or a custom domain: from a request's head to its response's head",
            MetricType::Histogram,
        )?;
        self.durations(&mut rows, &routes)?;
        let labels_of = |counts: &'_ RouteCounts| -> Vec<(&'static str, String)> {
            vec![
                ("account", counts.tenant.to_string()),
                ("worker", counts.worker.to_string()),
                ("route", counts.route.to_string()),
            ]
        };
        let mut rows = family(
            encoder,
            "atoll_route_cpu_seconds",
            "CPU time of requests by a route or a custom domain, as far as it is known whose it was",
            MetricType::Counter,
        )?;
        for counts in &used {
            let labels = labels_of(counts);
            let mut row = rows.encode_family(&labels)?;
            row.encode_counter::<NoLabelSet, f64, u64>(&(counts.cpu_us as f64 / 1e6), None)?;
        }
        let mut rows = family(
            encoder,
            "atoll_route_subrequests",
            "Requests and connections to the network by requests of a route or a custom domain",
            MetricType::Counter,
        )?;
        for counts in &used {
            counter_row(&mut rows, &labels_of(counts), counts.subrequests)?;
        }
        let mut rows = family(
            encoder,
            "atoll_route_cache_operations",
            "Questions to the response cache by requests of a route or a custom domain, by whether it could answer",
            MetricType::Counter,
        )?;
        for counts in &used {
            for (kind, count) in [("hit", counts.cache_hits), ("miss", counts.cache_misses)] {
                let mut labels = labels_of(counts);
                labels.push(("kind", kind.to_owned()));
                counter_row(&mut rows, &labels, count)?;
            }
        }
        counter(
            encoder,
            "atoll_route_requests_uncounted",
            "Requests by routes that are not counted, because others have all the room",
            self.0.host.logs().routes().refused(),
        )
    }

    fn counts(&self, rows: &mut MetricEncoder<'_>, readings: &[Reading]) -> fmt::Result {
        for reading in readings {
            for (class, outcome, count) in &reading.requests {
                let mut labels = self.labels_of(reading);
                labels.extend([("status", *class), ("outcome", outcome.as_str())]);
                counter_row(rows, &labels, *count)?;
            }
        }
        Ok(())
    }

    fn durations(&self, rows: &mut MetricEncoder<'_>, readings: &[Reading]) -> fmt::Result {
        for reading in readings {
            let bounds = LATENCY_BOUNDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(reading.latency.iter().copied()).collect();
            let count = reading.latency.iter().sum();
            rows.encode_family(&self.labels_of(reading))?
                .encode_histogram::<NoLabelSet>(reading.latency_sum, count, &buckets, None)?;
        }
        Ok(())
    }

    fn labels_of<'r>(&self, reading: &'r Reading) -> Vec<(&'static str, &'r str)> {
        let mut labels = self.worker_labels(&reading.account, &reading.worker);
        labels.extend(reading.route.as_deref().map(|route| ("route", route)));
        labels
    }

    /// Whose figure it is. A PoP has workers of several accounts, which may have the same name.
    fn worker_labels<'r>(&self, account: &'r str, worker: &'r str) -> Vec<(&'static str, &'r str)> {
        let account = self.0.pop.as_ref().map(|_| ("account", account));
        account.into_iter().chain([("worker", worker)]).collect()
    }

    fn workers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut workers = self.0.host.workers();
        workers.sort_by(|a, b| (&a.tenant, &a.worker, &a.version).cmp(&(&b.tenant, &b.worker, &b.version)));
        workers.truncate(ROWS_MAX);
        // Several versions of a worker may run.
        let mut sums: BTreeMap<_, (u64, u64, u64, u64)> = BTreeMap::new();
        for worker in &workers {
            let sum = sums
                .entry((worker.tenant.as_str(), worker.worker.as_str()))
                .or_default();
            sum.0 += u64::from(worker.slot.in_flight);
            sum.1 += worker.slot.queued as u64;
            sum.2 += worker.slot.isolates as u64;
            sum.3 += worker.slot.memory_bytes;
        }
        let mut rows = family(encoder, "atoll_worker", "Running versions", MetricType::Gauge)?;
        for worker in &workers {
            let mut labels = self.worker_labels(worker.tenant.as_str(), worker.worker.as_str());
            labels.push(("version", worker.version.as_str()));
            gauge_row(&mut rows, &labels, 1.0)?;
        }
        let mut rows = family(
            encoder,
            "atoll_worker_in_flight",
            "Events accepted and not answered",
            MetricType::Gauge,
        )?;
        for ((account, worker), (in_flight, ..)) in &sums {
            gauge_row(&mut rows, &self.worker_labels(account, worker), *in_flight as f64)?;
        }
        let mut rows = family(
            encoder,
            "atoll_worker_queued",
            "Events that no isolate has taken yet",
            MetricType::Gauge,
        )?;
        for ((account, worker), (_, queued, ..)) in &sums {
            gauge_row(&mut rows, &self.worker_labels(account, worker), *queued as f64)?;
        }
        let mut starts = self.0.host.starts();
        starts.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        starts.truncate(ROWS_MAX);
        let mut rows = family(
            encoder,
            "atoll_worker_starts",
            "Events by how they met their worker: warm, cold (they waited for its start), prewarmed (it was started ahead)",
            MetricType::Counter,
        )?;
        for (account, worker, counts) in &starts {
            let kinds = [
                (StartKind::Warm, counts.warm),
                (StartKind::Cold, counts.cold),
                (StartKind::Prewarmed, counts.prewarmed),
            ];
            for (kind, count) in kinds {
                let mut labels = self.worker_labels(account.as_str(), worker.as_str());
                labels.push(("start", kind.name()));
                counter_row(&mut rows, &labels, count)?;
            }
        }
        let mut rows = family(
            encoder,
            "atoll_cron_ticks",
            "Cron ticks, by worker and what became of them",
            MetricType::Counter,
        )?;
        for (account, worker, outcome, count) in self.0.meters.ticks() {
            let mut labels = self.worker_labels(&account, &worker);
            labels.push(("outcome", outcome.as_str()));
            counter_row(&mut rows, &labels, count)?;
        }
        let mut rows = family(encoder, "atoll_worker_isolates", "Isolates", MetricType::Gauge)?;
        for ((account, worker), (_, _, isolates, _)) in &sums {
            gauge_row(&mut rows, &self.worker_labels(account, worker), *isolates as f64)?;
        }
        let mut rows = family(
            encoder,
            "atoll_worker_memory_bytes",
            "What the isolates hold: heap, buffers, WebAssembly; measured when one is made and when it rests",
            MetricType::Gauge,
        )?;
        for ((account, worker), (.., bytes)) in &sums {
            gauge_row(&mut rows, &self.worker_labels(account, worker), *bytes as f64)?;
        }
        let mut usage = self.0.host.usage();
        usage.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        usage.truncate(ROWS_MAX);
        let mut rows = family(
            encoder,
            "atoll_worker_cpu_seconds",
            "CPU time of the isolates' threads and of those that help them",
            MetricType::Counter,
        )?;
        for (account, worker, used) in &usage {
            let labels = self.worker_labels(account.as_str(), worker.as_str());
            let mut row = rows.encode_family(&labels)?;
            row.encode_counter::<NoLabelSet, f64, u64>(&(used.cpu_us as f64 / 1e6), None)?;
        }
        let mut rows = family(
            encoder,
            "atoll_worker_subrequests",
            "Requests and connections to the network",
            MetricType::Counter,
        )?;
        for (account, worker, used) in &usage {
            let labels = self.worker_labels(account.as_str(), worker.as_str());
            counter_row(&mut rows, &labels, used.subrequests)?;
        }
        Ok(())
    }

    fn pool(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let pool = self.0.host.stats().pool;
        let figures = [
            ("atoll_isolates", "Isolates with a thread", pool.isolates),
            (
                "atoll_isolates_waiting",
                "Isolates that wait for a permit to run",
                pool.waiting,
            ),
            ("atoll_isolates_running", "Turns that run", pool.running),
            (
                "atoll_isolates_max",
                "Isolates that the process has room for",
                pool.isolates_max,
            ),
            (
                "atoll_isolates_ready",
                "Isolates that are ready and nobody's",
                pool.ready,
            ),
        ];
        for (name, help, value) in figures {
            gauge(encoder, name, help, value as f64)?;
        }
        let figures = [
            ("atoll_turns", "Turns begun", pool.turns),
            (
                "atoll_permit_waits",
                "Times a turn had to wait for a permit",
                pool.waits,
            ),
            (
                "atoll_permits_revoked",
                "Permits taken back from turns that overstayed",
                pool.revoked,
            ),
            ("atoll_isolate_starts", "Isolates started", pool.started),
            (
                "atoll_isolate_start_failures",
                "Isolates that did not start",
                pool.start_failures,
            ),
            (
                "atoll_isolates_replaced",
                "Isolates replaced because their thread stayed demoted",
                pool.replaced,
            ),
            (
                "atoll_isolates_ready_used",
                "Starts that took an isolate which was ready",
                pool.ready_used,
            ),
            (
                "atoll_isolates_grown",
                "Isolates that workers got besides another because events waited",
                pool.grown,
            ),
            (
                "atoll_isolates_evicted",
                "Idle isolates ended because memory or room was short",
                pool.evicted,
            ),
            ("atoll_turns_terminated", "Turns terminated at a limit", pool.terminated),
            (
                "atoll_threads_abandoned",
                "Threads given up because a terminated turn did not end",
                pool.abandoned,
            ),
            ("atoll_isolate_panics", "Isolates that panicked", pool.panics),
            ("atoll_events", "Events accepted", pool.jobs),
            (
                "atoll_events_refused",
                "Events refused because too many were in flight",
                pool.overloaded,
            ),
        ];
        for (name, help, value) in figures {
            counter(encoder, name, help, value)?;
        }
        Ok(())
    }

    fn code(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(code) = &self.0.code else { return Ok(()) };
        let stats = code.stats();
        let mut rows = family(
            encoder,
            "atoll_code_cache",
            "Compiled code of modules: used, missed, taken in (kept), refused by the engine, damaged on disk, evicted",
            MetricType::Counter,
        )?;
        let outcomes = [
            ("used", stats.used),
            ("missed", stats.missed),
            ("kept", stats.kept),
            ("refused", stats.refused),
            ("damaged", stats.damaged),
            ("evicted", stats.evicted),
        ];
        for (outcome, count) in outcomes {
            counter_row(&mut rows, &[("outcome", outcome)], count)?;
        }
        let mut rows = family(
            encoder,
            "atoll_code_cache_bytes",
            "Bytes of compiled code, by where it is kept",
            MetricType::Gauge,
        )?;
        gauge_row(&mut rows, &[("kept", "memory")], stats.memory_bytes as f64)?;
        gauge_row(&mut rows, &[("kept", "disk")], stats.disk_bytes as f64)
    }

    fn cordon(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(cordon) = self.0.host.stats().cordon else {
            return Ok(());
        };
        gauge(
            encoder,
            "atoll_children",
            "Child processes, the ready spare included",
            cordon.children as f64,
        )?;
        let figures = [
            (
                "atoll_child_starts",
                "Child processes that became ready",
                cordon.started,
            ),
            (
                "atoll_child_start_failures",
                "Child processes that did not",
                cordon.start_failures,
            ),
            (
                "atoll_child_ends",
                "Child processes that ended while they served",
                cordon.ended,
            ),
            (
                "atoll_child_condemned",
                "Child processes that the server ended because they broke a limit",
                cordon.condemned,
            ),
        ];
        for (name, help, value) in figures {
            counter(encoder, name, help, value)?;
        }
        Ok(())
    }

    /// As many rows as there are limits.
    fn limits(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut rows = family(
            encoder,
            "atoll_limits_reached",
            "Times that workers reached a limit, by its configuration key",
            MetricType::Counter,
        )?;
        for (limit, count) in self.0.host.logs().limits().all() {
            counter_row(&mut rows, &[("limit", limit.key())], count)?;
        }
        Ok(())
    }

    fn edge(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(edge) = self.0.edge.get() else { return Ok(()) };
        let stats = edge.stats();
        gauge(
            encoder,
            "atoll_connections_open",
            "Client connections open",
            stats.open as f64,
        )?;
        counter(
            encoder,
            "atoll_connections",
            "Client connections accepted",
            stats.accepted,
        )?;
        counter(
            encoder,
            "atoll_tls_handshake_failures",
            "TLS handshakes that failed or took too long",
            stats.handshakes_failed,
        )?;
        counter(
            encoder,
            "atoll_accept_errors",
            "Times the system could not give a connection",
            stats.accept_errors,
        )
    }

    fn stores(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut usage = self.0.stores.kv_usage();
        usage.truncate(ROWS_MAX);
        let mut rows = family(
            encoder,
            "atoll_kv_operations",
            "KV operations, by namespace and kind",
            MetricType::Counter,
        )?;
        for (_, namespace, usage) in &usage {
            let kinds = [
                ("read", usage.reads),
                ("write", usage.writes),
                ("delete", usage.deletes),
                ("list", usage.lists),
                ("refused", usage.refused),
                ("failed", usage.failed),
            ];
            for (kind, count) in kinds {
                let labels = [("namespace", namespace.as_str()), ("kind", kind)];
                counter_row(&mut rows, &labels, count)?;
            }
        }
        let mut rows = family(
            encoder,
            "atoll_kv_bytes",
            "Bytes of KV values, by namespace and direction",
            MetricType::Counter,
        )?;
        for (_, namespace, usage) in &usage {
            for (kind, count) in [("read", usage.bytes_read), ("written", usage.bytes_written)] {
                let labels = [("namespace", namespace.as_str()), ("kind", kind)];
                counter_row(&mut rows, &labels, count)?;
            }
        }
        let mut zones = self.0.cache.usage();
        zones.sort_by(|a, b| (&a.0.tenant, &a.0.worker).cmp(&(&b.0.tenant, &b.0.worker)));
        zones.truncate(ROWS_MAX);
        let mut rows = family(
            encoder,
            "atoll_cache_operations",
            "Response cache, by worker and kind",
            MetricType::Counter,
        )?;
        for (scope, usage) in &zones {
            let kinds = [
                ("hit", usage.hits),
                ("miss", usage.misses),
                ("stored", usage.stored),
                ("refused", usage.refused),
                ("evicted", usage.evicted),
            ];
            for (kind, count) in kinds {
                let mut labels = self.worker_labels(scope.tenant.as_str(), scope.worker.as_str());
                labels.push(("kind", kind));
                counter_row(&mut rows, &labels, count)?;
            }
        }
        let mut rows = family(
            encoder,
            "atoll_cache_bytes",
            "Bytes of stored responses, by worker",
            MetricType::Gauge,
        )?;
        for (scope, usage) in &zones {
            let labels = self.worker_labels(scope.tenant.as_str(), scope.worker.as_str());
            gauge_row(&mut rows, &labels, usage.bytes as f64)?;
        }
        Ok(())
    }
}

/// What the process uses.
pub(crate) fn of_process(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    // Not every system has a `/proc`: then these are missing.
    let Some(process) = process::read() else { return Ok(()) };
    let mut cpu = family(
        encoder,
        "process_cpu_seconds",
        "User and system CPU time",
        MetricType::Counter,
    )?;
    cpu.encode_counter::<NoLabelSet, f64, u64>(&process.cpu_seconds, None)?;
    gauge(
        encoder,
        "process_resident_memory_bytes",
        "Resident memory",
        process.resident_bytes as f64,
    )?;
    gauge(
        encoder,
        "process_virtual_memory_bytes",
        "Address space",
        process.virtual_bytes as f64,
    )?;
    gauge(encoder, "process_threads", "Threads", process.threads as f64)?;
    gauge(
        encoder,
        "process_open_fds",
        "Open descriptors",
        process.descriptors as f64,
    )
}
