//! Fuzzing of what the engine parses: `cargo xtask campaign fuzz --target NAME`.
//!
//! Inputs go to a worker in batches, a fresh isolate for each; [worker.js] has the checks. What it read is compared here
//! with crates that the engine does not read it with. A panic, an isolate that dies and one that does not answer are
//! findings, and each input of such a batch is then tried alone. `rpc` has a driver of its own.

#[path = "../engine/mod.rs"]
#[expect(dead_code, reason = "this program reads less of a run than the suites do")]
mod engine;
mod inputs;
mod rpc;
mod source_maps;

use async_trait::async_trait;
use atoll_stdx::fuzz::{self, Check, Inputs, Target, Verdict, Wrong};
use atoll_worker::{BindingError, EventContext, Outbound, OutboundRequest, Response};
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;
use std::io::Read as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const WORKER: &str = include_str!("worker.js");
/// Inputs of one isolate.
const BATCH: usize = 250;
/// How long a batch may take.
const BATCH_TIME_MAX: Duration = Duration::from_secs(60);
/// More is not compared.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// Compares what the worker read of an input.
type Compare = fn(&[u8], &Value) -> Result<(), Wrong>;

/// A worker here has no network.
struct Nothing;

#[async_trait]
impl Outbound for Nothing {
    async fn fetch(&self, _: &EventContext, _: OutboundRequest) -> Result<Response, BindingError> {
        Err(BindingError::unavailable("there is no network here"))
    }
}

fn run(target: &str, inputs: &[Vec<u8>], compare: Compare) -> Vec<Result<Verdict, Wrong>> {
    // Names are short.
    let mut request = vec![target.len() as u8];
    request.extend_from_slice(target.as_bytes());
    for input in inputs {
        request.extend_from_slice(&(input.len() as u32).to_le_bytes());
        request.extend_from_slice(input);
    }
    let output = engine::Run {
        modules: vec![engine::esm("worker.js", WORKER)],
        input: request,
        limit: BATCH_TIME_MAX,
        outbound: Arc::new(Nothing),
        flags: &["nodejs_compat"],
    }
    .start();
    let verdicts = match output.response {
        Ok(text) => serde_json::from_str(&text).unwrap_or(Value::Null),
        // Of many inputs, any; of one, this.
        Err(fault) if inputs.len() == 1 => return vec![Err(format!("no answer: {fault:?} {:?}", output.exceptions))],
        Err(_) => return Vec::new(),
    };
    let Value::Array(verdicts) = verdicts else {
        return Vec::new();
    };
    inputs
        .iter()
        .zip(verdicts)
        .map(
            |(input, verdict)| match (verdict.as_str(), verdict.get("wrong"), verdict.get("taken")) {
                (Some("taken"), ..) => Ok(Verdict::Taken),
                (Some("refused"), ..) => Ok(Verdict::Refused),
                (_, Some(wrong), _) => Err(wrong.as_str().unwrap_or_default().to_owned()),
                (_, _, Some(reading)) => compare(input, reading).map(|()| match reading {
                    Value::Null => Verdict::Refused,
                    _ => Verdict::Taken,
                }),
                _ => Err(format!("the worker said {verdict}")),
            },
        )
        .collect()
}

fn target(name: &'static str, inputs: Inputs, compare: Compare) -> Target {
    Target {
        name,
        inputs,
        check: Check::Batch {
            size: BATCH,
            judge: Box::new(move |inputs| run(name, inputs, compare)),
        },
        refuses: true,
        // The batch has a limit of its own, which ends the isolate.
        time_max: BATCH_TIME_MAX * 4,
    }
}

fn nothing(_: &[u8], _: &Value) -> Result<(), Wrong> {
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn compare(what: &str, reading: &Value, expected: Option<Vec<u8>>) -> Result<(), Wrong> {
    let expected = expected.map_or(Value::Null, |bytes| hex(&bytes).into());
    fuzz::agree(what, reading, &expected)
}

/// `atob`, by the `base64` crate (Infra Standard, "forgiving-base64 decode").
fn forgiving(input: &[u8], reading: &Value) -> Result<(), Wrong> {
    let blank = |byte: &u8| matches!(byte, b'\t' | b'\n' | 0x0c | b'\r' | b' ');
    let mut digits: Vec<u8> = input.iter().copied().filter(|byte| !blank(byte)).collect();
    if digits.len().is_multiple_of(4) {
        for _ in 0..2 {
            if digits.last() == Some(&b'=') {
                digits.pop();
            }
        }
    }
    let lenient = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone);
    let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, lenient);
    compare("atob", reading, engine.decode(&digits).ok())
}

/// UTF-8, by the standard library.
fn lossy(input: &[u8], reading: &Value) -> Result<(), Wrong> {
    compare(
        "UTF-8",
        reading,
        Some(String::from_utf8_lossy(input).into_owned().into_bytes()),
    )
}

/// Reads to the end; `None` for what fails or is long.
fn all(reader: impl std::io::Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = reader.take(OUTPUT_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.ok().filter(|length| *length as u64 <= OUTPUT_BYTES_MAX)?;
    Some(bytes)
}

fn zlib(input: &[u8], reading: &Value) -> Result<(), Wrong> {
    compare("zlib", reading, all(flate2::read::ZlibDecoder::new(input)))
}

fn raw(input: &[u8], reading: &Value) -> Result<(), Wrong> {
    compare("deflate", reading, all(flate2::read::DeflateDecoder::new(input)))
}

fn gzip(input: &[u8], reading: &Value) -> Result<(), Wrong> {
    // Node reads members until something that is none; so does this, but for what may follow.
    match all(flate2::read::MultiGzDecoder::new(input)) {
        Some(bytes) => compare("gzip", reading, Some(bytes)),
        None => Ok(()),
    }
}

fn main() -> ExitCode {
    engine::init();
    fuzz::main(vec![
        target("multipart", inputs::MULTIPART, nothing),
        target("url-query", inputs::QUERY, nothing).lenient(),
        target("headers", inputs::HEADERS, nothing),
        target("url-pattern", inputs::PATTERNS, nothing),
        target("url", inputs::URLS, nothing),
        target("clone", inputs::VALUES, nothing),
        target("base64", inputs::BASE64, forgiving),
        target("utf8", inputs::TEXT, lossy).lenient(),
        target("mime", inputs::MIME, nothing),
        target("html", inputs::HTML, nothing).lenient(),
        target("events", inputs::EVENTS, nothing),
        target("inflate", inputs::deflated(inputs::Format::Zlib), zlib),
        target("inflate-raw", inputs::deflated(inputs::Format::Raw), raw),
        target("gunzip", inputs::deflated(inputs::Format::Gzip), gzip),
        target("brotli", inputs::BROTLI, nothing),
        target("data-url", inputs::DATA_URLS, nothing),
        target("cookies", inputs::COOKIES, nothing),
        rpc::target(),
        source_maps::target(),
    ])
}
