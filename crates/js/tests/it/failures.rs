//! What goes wrong, and who is told what.

use crate::driver::{Driver, module, version};
use atoll_model::ModuleKind::Esm;
use atoll_worker::{Body, Fault, FaultKind, InstanceState, WsMessage};

fn fault(source: &str) -> Fault {
    Driver::source(source)
        .request("GET", "/", &[], Body::Empty)
        .unwrap_err()
}

#[track_caller]
fn check(source: &str, kind: FaultKind, message: &str) {
    let fault = fault(source);
    assert_eq!(fault.kind, kind, "{source}: {fault}");
    assert!(fault.message.contains(message), "{source}: {fault}");
}

#[test]
fn handlers_that_fail() {
    use FaultKind::{BadResponse, Exception, NeverSettles, NoHandler, Startup};
    check(
        "export default { fetch() { throw new TypeError('boom'); } }",
        Exception,
        "TypeError: boom",
    );
    check(
        "export default { async fetch() { await 0; throw new Error('later'); } }",
        Exception,
        "Error: later",
    );
    check("export default { fetch() { throw 'text'; } }", Exception, "text");
    check("export default { fetch() { throw null; } }", Exception, "null");
    check(
        "export default { fetch() { return Promise.reject(undefined); } }",
        Exception,
        "undefined",
    );
    check(
        "export default { fetch() {} }",
        BadResponse,
        "did not resolve to 'Response'",
    );
    check(
        "export default { fetch() { return 'text'; } }",
        BadResponse,
        "did not resolve to 'Response'",
    );
    check(
        "export default { async fetch() { const r = new Response('x'); await r.text(); return r; } }",
        BadResponse,
        "already been used",
    );
    check(
        "export default { fetch() { return new Response('x', {headers: {a: '\\x01'}}); } }",
        BadResponse,
        "Invalid value of header \"a\"",
    );
    check(
        "export default { fetch() { return new Promise(() => {}); } }",
        NeverSettles,
        "never generate a response",
    );
    check(
        "export default {}",
        NoHandler,
        "Handler does not export a fetch() function.",
    );
    check("export const x = {};", NoHandler, "no default export");
    check("export const x = 1;", Startup, "Incorrect type for map entry 'x'");
    check("throw new Error('top')", Startup, "Error: top");
    check("await Promise.reject(new Error('top'))", Startup, "Error: top");
    check("await new Promise(() => {})", Startup, "never resolved");
    check("export default {", Startup, "SyntaxError");
    check(
        "import './nothing.js'",
        Startup,
        "No such module \"./nothing.js\", imported from \"index.js\"",
    );
    check("import { missing } from 'cloudflare:workers'", Startup, "missing");
    check("await fetch('http://x/'); export default {};", Startup, "global scope");
    check("setTimeout(() => {}, 1)", Startup, "global scope");
    check("crypto.randomUUID()", Startup, "global scope");
}

#[test]
fn frames_name_file_line_and_function() {
    let fault = fault(
        "export default {\n  fetch() { return helper(); }\n};\nfunction helper() {\n  throw new Error('here');\n}",
    );
    let frame = &fault.exception.as_ref().unwrap().frames[0];
    assert_eq!(
        (frame.function.as_str(), frame.file.as_str(), frame.line, frame.column),
        ("helper", "index.js", 5, 9)
    );
    let stack = &fault.exception.unwrap().stack;
    assert!(
        stack.starts_with("Error: here\n    at helper (index.js:5:9)\n    at Object.fetch (index.js:2:"),
        "{stack}"
    );
}

#[test]
fn a_syntax_error_has_a_place() {
    let fault = fault("export default {\n  fetch() { return ; ) }\n}");
    let frame = &fault.exception.unwrap().frames[0];
    assert_eq!((frame.file.as_str(), frame.line), ("index.js", 2));
}

#[test]
fn source_maps_are_applied() {
    let mut main = module("index.js", Esm, "export default { fetch() { throw new Error('x'); } }");
    // Everything on line 1 comes from src/worker.ts line 10, column 0.
    main.source_map = Some(r#"{"version":3,"sources":["src/worker.ts"],"names":[],"mappings":"AASA"}"#.into());
    let fault = Driver::with(version(vec![main]))
        .request("GET", "/", &[], Body::Empty)
        .unwrap_err();
    let frame = &fault.exception.unwrap().frames[0];
    assert_eq!((frame.file.as_str(), frame.line), ("src/worker.ts", 10));
}

#[test]
fn one_request_fails_and_others_do_not() {
    let mut driver = Driver::source(
        "export default { fetch(r) { if (r.url.endsWith('/bad')) throw new Error('x'); return new Response('ok'); } }",
    );
    assert!(driver.request("GET", "/bad", &[], Body::Empty).is_err());
    assert_eq!(driver.get("/"), "ok");
    assert_eq!(driver.settle(), InstanceState::Idle);
}

#[test]
fn exceptions_outside_of_answers_are_reported() {
    let mut driver = Driver::source(
        "export default { fetch(r, env, ctx) { ctx.waitUntil(Promise.reject(new Error('in waitUntil'))); Promise.reject(new Error('unhandled')); \
         setTimeout(() => { throw new Error('in timer'); }, 1); queueMicrotask(() => { throw new Error('in microtask'); }); return new Response('ok'); } }",
    );
    assert_eq!(driver.get("/"), "ok");
    driver.settle();
    let mut messages: Vec<_> = driver
        .logs
        .exceptions
        .lock()
        .unwrap()
        .iter()
        .map(|e| e.message.clone())
        .collect();
    messages.sort();
    assert_eq!(messages, ["in microtask", "in timer", "in waitUntil", "unhandled"]);
}

#[test]
fn unhandled_rejections_can_be_handled() {
    let mut driver = Driver::source(
        "addEventListener('unhandledrejection', (e) => { e.preventDefault(); console.log(e.reason.message); }); \
         export default { fetch() { Promise.reject(new Error('mine')); return new Response('ok'); } }",
    );
    driver.get("/");
    driver.settle();
    assert_eq!(*driver.logs.lines.lock().unwrap(), ["Log mine"]);
    assert!(driver.logs.exceptions.lock().unwrap().is_empty());
}

#[test]
fn pass_through_is_told() {
    let fault = fault("export default { fetch(r, e, ctx) { ctx.passThroughOnException(); throw new Error('x'); } }");
    assert!(fault.pass_through);
}

#[test]
fn a_full_heap_breaks_the_isolate_and_nothing_else() {
    let mut small = version(vec![module(
        "index.js",
        Esm,
        "export default { fetch() { const all = []; for (;;) all.push({ text: `${Math.random()}`.repeat(20), list: [1, 2, 3] }); } }",
    )]);
    small.limits.heap_bytes = 32 << 20;
    let mut driver = Driver::with(small);
    let fault = driver.request("GET", "/", &[], Body::Empty).unwrap_err();
    assert_eq!(fault.kind, FaultKind::ExceededMemory);
    assert_eq!(driver.settle(), InstanceState::Broken);
    assert_eq!(
        driver.request("GET", "/", &[], Body::Empty).unwrap_err().kind,
        FaultKind::ExceededMemory
    );
}

#[test]
fn an_interrupted_loop_says_where_it_was() {
    let mut driver = Driver::source("export default {\n  fetch() { spin(); }\n};\nfunction spin() {\n  for (;;) {}\n}");
    let interrupt = driver.interrupt();
    let stop = std::thread::spawn(move || {
        // The loop has no end, so however late this comes it finds the loop running or about to.
        std::thread::sleep(std::time::Duration::from_millis(50));
        interrupt.terminate(Fault::new(FaultKind::ExceededCpu, "too long"));
    });
    let fault = driver.request("GET", "/", &[], Body::Empty).unwrap_err();
    stop.join().unwrap();
    assert_eq!(fault.kind, FaultKind::ExceededCpu);
    let frame = &fault.exception.unwrap().frames[0];
    assert_eq!(
        (frame.function.as_str(), frame.file.as_str(), frame.line),
        ("spin", "index.js", 5)
    );
}

/// Loops that V8's optimizing compiler has got hold of: it may drop interrupt checks (see `V8_FLAGS`).
#[test]
fn optimized_loops_can_be_interrupted() {
    let check = |body: &str| {
        let source = format!("const kept = []; export default {{ fetch() {{ {body} }} }};");
        let mut driver = Driver::source(&source);
        let interrupt = driver.interrupt();
        let stop = std::thread::spawn(move || {
            // Long enough for the loop to be optimized while it runs. A loop that was not yet optimized ends too.
            std::thread::sleep(std::time::Duration::from_millis(400));
            interrupt.terminate(Fault::new(FaultKind::ExceededCpu, "too long"));
        });
        let fault = driver.request("GET", "/", &[], Body::Empty).unwrap_err();
        stop.join().unwrap();
        assert_eq!(fault.kind, FaultKind::ExceededCpu, "{body}");
    };
    check("while (true) new Array(1000).fill(kept.length);");
    check("while (true) { const a = new Array(1000).fill(1); if (kept.length < 10) kept.push(a); }");
    check("let n = 0; while (true) for (let i = 0; i < 10; i++) n += i;");
    check("while (true) [3, 1, 2].map((x) => x * 2).filter((x) => x > 2).indexOf(6);");
    check("let s = 0; while (true) { for (const x of [1, 2, 3]) s ^= x; }");
}

/// A socket that outlasts the drain of its version is told to come again (1012); one whose isolate breaks just ends.
#[test]
fn a_socket_that_outlasts_its_version_is_told() {
    const SOURCE: &str = "export default { fetch() { const [a, b] = Object.values(new WebSocketPair()); b.accept(); \
                          return new Response(null, { status: 101, webSocket: a }); } }";
    // In this order: the isolate of a retired version is the last of its thread.
    for (fault, expected) in [
        (Fault::exceeded_cpu(1), None),
        (Fault::new(FaultKind::Draining, "retired"), Some(Some(1012))),
    ] {
        let mut driver = Driver::source(SOURCE);
        let response = driver
            .request("GET", "/", &[("upgrade", "websocket")], Body::Empty)
            .unwrap();
        let mut end = response.websocket.unwrap();
        driver.interrupt().terminate(fault);
        assert_eq!(driver.settle(), InstanceState::Broken);
        drop(driver);
        let heard = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(end.rx.recv());
        let code = heard.map(|message| match message {
            WsMessage::Close { code, .. } => code,
            other => panic!("{other:?}"),
        });
        assert_eq!(code, expected);
    }
}
