//! Traces: one tree from the client's `traceparent` over the PoP, two workers and KV to the headers of an outgoing request, as an
//! OpenTelemetry collector gets it; and requests that go on while the collector does not.

use super::serve::{admin, named, start, text};
use crate::runner::DEADLINE;
use crate::runner::client;
use crate::runner::format::Protocol;
use crate::runner::server::Server;
use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

const LOOK: Duration = Duration::from_millis(20);

/// A server of the test: collector and origin in one.
struct Listener {
    address: SocketAddr,
    /// What it was sent: path, `traceparent`, `tracestate`, body.
    seen: Arc<Mutex<Vec<Seen>>>,
}

#[derive(Clone)]
struct Seen {
    path: String,
    parent: String,
    state: String,
    body: Vec<u8>,
}

impl Listener {
    /// Answers everything with `status`.
    async fn start(status: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let kept = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = kept.clone();
                let answer = service_fn(move |request: http::Request<Incoming>| {
                    let kept = kept.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let header = |name: &str| {
                            let value = head.headers.get(name).and_then(|value| value.to_str().ok());
                            value.unwrap_or_default().to_owned()
                        };
                        let seen = Seen {
                            path: head.uri.path().to_owned(),
                            parent: header("traceparent"),
                            state: header("tracestate"),
                            body: body
                                .collect()
                                .await
                                .map(|body| body.to_bytes().to_vec())
                                .unwrap_or_default(),
                        };
                        kept.lock().unwrap().push(seen);
                        let mut answer = http::Response::new(Full::<bytes::Bytes>::default());
                        *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
                        Ok::<_, Infallible>(answer)
                    }
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Ok(Self { address, seen })
    }

    fn of(&self, path: &str) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.path == path).cloned().collect()
    }

    fn spans(&self) -> Result<Vec<Span>> {
        let mut spans = Vec::new();
        for seen in self.of("/v1/traces") {
            let request = ExportTraceServiceRequest::decode(&*seen.body)?;
            let scopes = request
                .resource_spans
                .into_iter()
                .flat_map(|resource| resource.scope_spans);
            spans.extend(scopes.flat_map(|scope| scope.spans));
        }
        Ok(spans)
    }

    /// Texts of the log records, and the spans of which they say to be.
    fn logged(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut texts = Vec::new();
        for seen in self.of("/v1/logs") {
            let request = ExportLogsServiceRequest::decode(&*seen.body)?;
            let scopes = request
                .resource_logs
                .into_iter()
                .flat_map(|resource| resource.scope_logs);
            for record in scopes.flat_map(|scope| scope.log_records) {
                if let Some(Value::StringValue(text)) = record.body.clone().and_then(|body| body.value) {
                    texts.push((text, record.span_id));
                }
            }
        }
        Ok(texts)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|pair| pair.key == key);
    match found.and_then(|pair| pair.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// Spans of a trace as lines `name < name of its parent`, in order; `wait` until there are so many.
async fn tree(collector: &Listener, trace: &str, wait: usize) -> Result<Vec<String>> {
    let begun = Instant::now();
    loop {
        let mut spans = collector.spans()?;
        spans.retain(|span| hex(&span.trace_id) == trace);
        if spans.len() >= wait {
            let name = |id: &[u8]| {
                let found = spans.iter().find(|span| span.span_id == id);
                found.map_or_else(|| hex(id), |span| span.name.clone())
            };
            let mut lines: Vec<String> = spans
                .iter()
                .map(|span| {
                    let of = attribute(span, "faas.name");
                    format!("{} {of} < {}", span.name, name(&span.parent_span_id))
                })
                .collect();
            lines.sort();
            return Ok(lines);
        }
        if begun.elapsed() > DEADLINE {
            let names: Vec<String> = spans.into_iter().map(|span| span.name).collect();
            bail!("only {names:?} of {wait} spans of trace {trace}");
        }
        tokio::time::sleep(LOOK).await;
    }
}

const WEB: &str = "export default { async fetch(request, env) {
  console.warn('seen ' + new URL(request.url).pathname);
  if (request.url.endsWith('/thrown')) return env.API.fetch('http://api/thrown').catch(() => new Response('caught'));
  await env.KV.put('a', 'b');
  const [api, out] = await Promise.all([
    env.API.fetch('http://api/from-web').then((answer) => answer.text()),
    fetch(env.ORIGIN + new URL(request.url).pathname),
  ]);
  const own = await fetch(env.ORIGIN + '/own', { headers: { traceparent: 'mine' } });
  return new Response(api + ' ' + out.status + ' ' + own.status);
} };\n";
const API: &str = "export default { async fetch(request, env) {
  if (request.url.endsWith('/thrown')) throw new RangeError('thrown');
  return new Response(String(await env.KV.get('a')));
} };\n";

async fn served(collector: &str, origin: SocketAddr, isolation: &str, folder: &std::path::Path) -> Result<Server> {
    let kv = "\"kv_namespaces\": [{ \"binding\": \"KV\", \"id\": \"shared\" }]";
    let binding = format!(
        ", {kv}, \"services\": [{{ \"binding\": \"API\", \"service\": \"api\" }}], \"vars\": {{ \"ORIGIN\": \"http://{origin}\" }}"
    );
    let web = named(folder, "web", WEB, &binding)?;
    named(folder, "api", API, &format!(", {kv}"))?;
    let args = [
        "--admin",
        "127.0.0.1:0",
        "--isolation",
        isolation,
        "--allow-net",
        "127.0.0.1",
    ];
    let mut start = start(&web, &folder.join("state"), &args)?;
    start.args.insert(0, folder.join("api").display().to_string());
    start.env.insert("OTEL_EXPORTER_OTLP_ENDPOINT".into(), collector.into());
    start.env.insert("OTEL_TRACES_SAMPLER".into(), "always_off".into());
    Server::start(&start).await
}

async fn asked(address: SocketAddr, path: &str, trace: &str, flags: &str) -> Result<String> {
    let request = http::Request::get(path)
        .header("host", "web.localhost")
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-{flags}"))
        .header("tracestate", "vendor=1")
        .body(client::whole(Vec::new()))?;
    let answer = client::send(address, Protocol::Http1, request).await?;
    Ok(String::from_utf8(
        answer.response.into_body().collect().await?.to_bytes().to_vec(),
    )?)
}

/// One tree over two workers, in both isolations, with requests side by side.
pub async fn one_tree() -> Result<()> {
    for isolation in ["shared", "cordon"] {
        let folder = tempfile::tempdir()?;
        let collector = Listener::start(200).await?;
        let origin = Listener::start(204).await?;
        let endpoint = format!("http://{}", collector.address);
        let mut server = served(&endpoint, origin.address, isolation, folder.path()).await?;
        let traces = ["0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319c"];
        let unsampled = "2cf7651916cd43dd8448eb211c80319c";
        let (one, two, three) = tokio::join!(
            asked(server.address, "/one", traces[0], "01"),
            asked(server.address, "/two", traces[1], "01"),
            asked(server.address, "/three", unsampled, "00"),
        );
        for answer in [one, two, three] {
            anyhow::ensure!(answer.as_ref().is_ok_and(|text| text == "b 204 204"), "{answer:?}");
        }
        let parent = "b7ad6b7169203331";
        for (trace, path) in traces.iter().zip(["/one", "/two"]) {
            let found = tree(&collector, trace, 7).await?;
            let expected = [
                format!("GET  < {parent}"),
                "GET web < worker fetch".to_owned(),
                "GET web < worker fetch".to_owned(),
                "kv get  < worker fetch".to_owned(),
                "kv put  < worker fetch".to_owned(),
                "worker fetch api < worker fetch".to_owned(),
                "worker fetch web < GET".to_owned(),
            ];
            anyhow::ensure!(found == expected, "{isolation}: {found:#?}");
            let sent = origin.of(path);
            let [sent] = &*sent else {
                bail!("{} requests of {path}", sent.len())
            };
            let spans = collector.spans()?;
            let of_fetch = spans.iter().any(|span| {
                sent.parent == format!("00-{trace}-{}-01", hex(&span.span_id)) && span.name == "GET" && span.kind == 3
            });
            anyhow::ensure!(of_fetch, "{isolation}: {} is no outgoing span's", sent.parent);
            anyhow::ensure!(sent.state == "vendor=1", "tracestate {:?}", sent.state);
        }
        // Not sampled by the client: told to nobody, but passed on; a worker's own header stays.
        let sent = origin.of("/three");
        anyhow::ensure!(
            sent.len() == 1 && sent[0].parent.starts_with(&format!("00-{unsampled}-")),
            "unsampled"
        );
        anyhow::ensure!(sent[0].parent.ends_with("-00"), "{}", sent[0].parent);
        anyhow::ensure!(
            origin.of("/own").iter().all(|seen| seen.parent == "mine"),
            "a worker's own header"
        );
        anyhow::ensure!(
            collector.spans()?.iter().all(|span| hex(&span.trace_id) != unsampled),
            "unsampled spans"
        );
        let begun = Instant::now();
        let said = |wanted: &str| -> Result<Option<Vec<u8>>> {
            let found = collector.logged()?.into_iter().find(|(text, _)| text == wanted);
            Ok(found.map(|(_, span)| span))
        };
        while said("seen /three")?.is_none() {
            anyhow::ensure!(begun.elapsed() < DEADLINE, "no log record: {:?}", collector.logged()?);
            tokio::time::sleep(LOOK).await;
        }
        // A record is of the span of the event that printed it; what was thrown is one, and was answered by nobody but the caller.
        let answer = asked(server.address, "/thrown", traces[0], "01").await?;
        anyhow::ensure!(answer == "caught", "{answer}");
        let begun = Instant::now();
        let of_worker = |text: &str, worker: &str| -> Result<bool> {
            let Some(id) = said(text)? else { return Ok(false) };
            let spans = collector.spans()?;
            Ok(spans.iter().any(|span| {
                span.span_id == id && span.name == "worker fetch" && attribute(span, "faas.name") == worker
            }))
        };
        while !(of_worker("seen /one", "web")? && of_worker("RangeError: thrown", "api")?) {
            anyhow::ensure!(begun.elapsed() < DEADLINE, "no such records: {:?}", collector.logged()?);
            tokio::time::sleep(LOOK).await;
        }
        server.stop().await?;
    }
    Ok(())
}

/// Spans that the collector did not take, as the metrics tell it.
async fn failed_spans(server: &Server) -> Result<u64> {
    let (_, page) = text(admin(server).await?, "a", "/metrics").await?;
    let row = "atoll_otlp_items_total{kind=\"spans\",outcome=\"failed\"}";
    let line = page.lines().find(|line| line.starts_with(row));
    let count = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    count.context("no counter")
}

/// A collector that refuses, and one that is not there, cost no request; what is lost is counted.
pub async fn a_collector_that_is_away() -> Result<()> {
    let refusing = Listener::start(400).await?;
    let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    for (endpoint, counted) in [(refusing.address, true), (nobody, false)] {
        let folder = tempfile::tempdir()?;
        let origin = Listener::start(204).await?;
        let mut server = served(&format!("http://{endpoint}"), origin.address, "shared", folder.path()).await?;
        let trace = "0af7651916cd43dd8448eb211c80319c";
        for _ in 0..20 {
            let answer = asked(server.address, "/x", trace, "01").await?;
            anyhow::ensure!(answer == "b 204 204", "{answer}");
        }
        let begun = Instant::now();
        // Of the one that refuses: what is sent to nobody is tried for longer than this test.
        while counted && failed_spans(&server).await? != 20 * 7 {
            anyhow::ensure!(
                begun.elapsed() < DEADLINE,
                "{} spans failed",
                failed_spans(&server).await?
            );
            tokio::time::sleep(LOOK).await;
        }
        server.stop().await?;
    }
    Ok(())
}
