//! What an isolate holds beside V8's heap: counted, given back, and bounded.

use crate::driver::{Driver, module, version};
use atoll_model::{Limit, Limits, ModuleKind::Esm};
use atoll_worker::{Body, Fault, FaultKind, Response};

const MIB: u64 = 1 << 20;

fn handler(buffer_bytes: u64, body: &str) -> Driver {
    let source = format!(
        "const kept = []; export default {{ async fetch(request, env, ctx) {{ \
           if (request.url.endsWith('/ping')) return new Response('pong'); {body} }} }}"
    );
    let mut version = version(vec![module("index.js", Esm, &source)]);
    version.limits = Limits {
        buffer_bytes,
        cpu_ms: 60_000,
        ..Limits::default()
    };
    version.compat_flags = vec!["nodejs_compat".into()];
    Driver::with(version)
}

fn ask(driver: &mut Driver) -> Result<Response, Fault> {
    driver.request("GET", "/", &[], Body::Empty)
}

#[test]
fn a_text_that_is_to_become_bytes_is_measured_first() {
    let makers = [
        "new Response(text)",
        "Response.json(text)",
        "new Request('http://a.test/', { method: 'POST', body: text })",
        "new TextEncoder().encode(text)",
        "new Blob([text])",
        "(() => { const pair = new WebSocketPair(); pair[0].accept(); pair[0].send(text); })()",
    ];
    for maker in makers {
        let body = |length: u64| {
            format!(
                "const text = 'x'.repeat({length}); try {{ {maker}; return new Response('made'); }} \
                 catch (error) {{ return new Response(error.name + ': ' + error.message); }}"
            )
        };
        let mut driver = handler(2 * MIB, &body(1 << 24));
        let text = driver.get("/");
        assert!(
            text.starts_with("RangeError: ") && text.contains("limit buffer_bytes = 2097152"),
            "{maker}: {text}"
        );
    }
    let mut driver = handler(
        2 * MIB,
        "try { new Response('x'.repeat(2 ** 21 + 1)); } catch { return new Response('x'.repeat(2 ** 21)); }",
    );
    assert_eq!(driver.get("/").len(), 2 << 20);
    let limits = driver.logs.limits.lock().unwrap();
    assert!(
        limits
            .iter()
            .any(|hit| hit.limit == Limit::Buffers && hit.request_id.is_some())
    );
}

#[test]
fn what_lies_beside_the_heap_ends_the_isolate() {
    // Some in many turns, some in one.
    let bombs = [
        (
            "blobs",
            "for (;;) { kept.push(new Blob(['x'.repeat(100_000)])); await scheduler.wait(0); }",
        ),
        (
            "blobs in one turn",
            "for (;;) kept.push(new Blob(['x'.repeat(100_000)]));",
        ),
        ("compressors", "for (;;) kept.push(new CompressionStream('gzip'));"),
        ("decompressors", "for (;;) kept.push(new DecompressionStream('gzip'));"),
        (
            "node compressors",
            "const zlib = await import('node:zlib'); for (;;) kept.push(zlib.createBrotliCompress(), zlib.createDeflate());",
        ),
        (
            "responses on their way",
            "const bytes = new Uint8Array(1 << 20); \
             for (;;) kept.push(env.ECHO.fetch('http://a.test/slow', { method: 'POST', body: bytes.slice() }).catch(() => {})), await scheduler.wait(0);",
        ),
    ];
    for (name, body) in bombs {
        let mut driver = handler(8 * MIB, body);
        let fault = ask(&mut driver).map(|_| ()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::ExceededMemory, "{name}: {fault}");
        assert!(
            fault.to_string().contains("(limit buffer_bytes = 8388608)"),
            "{name}: {fault}"
        );
    }
}

#[test]
fn what_nobody_needs_any_more_is_given_back_in_time() {
    let bodies = [
        "return new Response(String(new Blob(['x'.repeat(1 << 20)]).size));",
        "const stream = new CompressionStream('gzip'); return new Response('x'.repeat(1 << 20));",
        "return new Response(await new Response('x'.repeat(1 << 20)).text());",
        "return new Response(btoa('x'.repeat(1 << 20)));",
    ];
    for body in bodies {
        let mut driver = handler(8 * MIB, body);
        for round in 0..100 {
            let response = ask(&mut driver).unwrap_or_else(|fault| panic!("{body}, round {round}: {fault}"));
            drop(response);
        }
    }
}

#[test]
fn an_answer_that_nobody_has_taken_counts() {
    let mut driver = handler(8 * MIB, "return new Response('x'.repeat(1 << 20));");
    let mut answers = Vec::new();
    let fault = loop {
        match ask(&mut driver) {
            Ok(response) => answers.push(response),
            Err(fault) => break fault,
        }
        assert!(answers.len() < 20, "answers of 20 MiB are nobody's");
    };
    assert_eq!(fault.kind, FaultKind::ExceededMemory, "{fault}");
    assert!(answers.len() >= 7, "{}", answers.len());
}
