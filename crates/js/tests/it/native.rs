//! What an isolate holds beside V8's heap: counted, given back, and bounded.

use crate::driver::{Driver, module, version};
use atoll_model::{Limit, Limits, ModuleKind::Esm};
use atoll_worker::{Body, Fault, FaultKind, Response};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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

/// Asks while somebody looks, as the pool's watchdog does.
fn looked_at(driver: &mut Driver) -> Result<Response, Fault> {
    let interrupt = driver.interrupt();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                interrupt.look();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let answer = ask(driver);
        over.store(true, Ordering::Relaxed);
        answer
    })
}

#[test]
fn what_lies_beside_the_heap_ends_the_isolate() {
    let things = [
        ("blobs", "new Blob(['x'.repeat(100_000)])"),
        ("compressors", "new CompressionStream('gzip')"),
        ("decompressors", "new DecompressionStream('gzip')"),
        (
            "compressors of Node",
            "zlib.createBrotliCompress(), zlib.createDeflate()",
        ),
    ];
    for (name, thing) in things {
        // In one turn, and in many.
        for pause in ["", "await scheduler.wait(0);"] {
            let body = format!("const zlib = await import('node:zlib'); for (;;) {{ kept.push({thing}); {pause} }}");
            let mut driver = handler(8 * MIB, &body);
            let fault = looked_at(&mut driver).map(|_| ()).unwrap_err();
            assert_eq!(fault.kind, FaultKind::ExceededMemory, "{name} {pause}: {fault}");
            assert!(
                fault.to_string().contains("(limit buffer_bytes = 8388608)"),
                "{name} {pause}: {fault}"
            );
        }
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
