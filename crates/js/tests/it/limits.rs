//! Each limit of one worker at its boundary: what is just within works, one more does not, and the error says which it was.

use crate::driver::{Driver, module, version};
use atoll_model::{Limit, Limits, ModuleKind::Esm};
use atoll_worker::{Body, Event, Fault, FaultKind, InstanceState, Outcome, ScheduledEvent};
use tokio_util::sync::CancellationToken;

fn driver(limits: Limits, source: &str) -> Driver {
    let mut version = version(vec![module("index.js", Esm, source)]);
    version.limits = limits;
    Driver::with(version)
}

/// A handler whose body this is.
fn handler(limits: Limits, body: &str) -> Driver {
    let source = format!("const kept = []; export default {{ async fetch(request, env, ctx) {{ {body} }} }}");
    driver(limits, &source)
}

fn fails(driver: &mut Driver) -> Fault {
    driver.request("GET", "/", &[], Body::Empty).unwrap_err()
}

fn reached(driver: &Driver, limit: Limit) -> usize {
    let limits = driver.logs.limits.lock().unwrap();
    limits.iter().filter(|hit| hit.limit == limit).count()
}

#[test]
fn subrequests_end_exactly_at_their_number() {
    let limits = Limits {
        subrequests_max: 3,
        ..Limits::default()
    };
    let check = |each: &str, count: u32, expected: &str| {
        let body = format!(
            "try {{ for (let i = 0; i < {count}; i++) await ({each}); return new Response('all'); }} \
             catch (error) {{ return new Response(error.name + ': ' + error.message); }}"
        );
        let mut driver = handler(limits.clone(), &body);
        let text = driver.get("/");
        assert!(text.contains(expected), "{each} {count}: {text}");
        // Another event has its own.
        assert!(driver.get("/").contains(expected));
    };
    let too_many = "Too many subrequests by single Worker invocation.";
    for each in [
        "fetch('http://a.test/')",
        "env.ECHO.fetch('http://a.test/')",
        "caches.default.match('http://a.test/')",
    ] {
        check(each, 3, "all");
        check(each, 4, too_many);
        check(each, 4, "(limit subrequests_max = 3)");
    }
}

#[test]
fn a_resource_of_the_global_scope_carries_nobody_past_the_limit() {
    let limits = Limits {
        subrequests_max: 3,
        ..Limits::default()
    };
    let source = "import { AsyncResource } from 'node:async_hooks'; const outside = new AsyncResource('x'); \
        export default { async fetch() { let n = 0; \
          try { for (; n < 9; n++) await outside.runInAsyncScope(() => fetch('http://a.test/')); } catch {} \
          return new Response(String(n)); } }";
    let mut version = version(vec![module("index.js", Esm, source)]);
    version.limits = limits;
    version.compat_flags = vec!["nodejs_compat".into()];
    assert_eq!(Driver::with(version).get("/"), "3");
}

#[test]
fn further_connections_wait_for_the_first_to_be_answered() {
    let limits = Limits {
        connections_max: 2,
        ..Limits::default()
    };
    let body = "const order = []; const controller = new AbortController(); \
        const slow = [1, 2].map(() => fetch('http://a.test/slow', { signal: controller.signal }).catch(() => order.push('aborted'))); \
        const third = fetch('http://a.test/').then(() => order.push('third')); \
        await scheduler.wait(20); order.push('waited'); controller.abort(); \
        await Promise.all([...slow, third]); return new Response(order.join());";
    let mut limited = handler(limits.clone(), body);
    assert_eq!(limited.get("/"), "waited,aborted,aborted,third");
    assert_eq!(reached(&limited, Limit::Connections), 1);
    let mut roomy = handler(
        Limits {
            connections_max: 3,
            ..limits
        },
        body,
    );
    assert_eq!(roomy.get("/"), "third,waited,aborted,aborted");
    assert_eq!(reached(&roomy, Limit::Connections), 0);
}

#[test]
fn timers_end_exactly_at_their_number() {
    let limits = Limits {
        timers_max: 5,
        ..Limits::default()
    };
    let body = "const ids = []; let error = null; \
        try { for (let i = 0; i < 6; i++) ids.push(setTimeout(() => {}, 1e6)); } catch (e) { error = e; } \
        const full = ids.length; clearTimeout(ids[0]); \
        ids.push(setInterval(() => {}, 1e6)); \
        for (const id of ids) clearTimeout(id); \
        let fired = 0; for (let i = 0; i < 20; i++) await new Promise((r) => setTimeout(() => { fired++; r(); }, 1)); \
        return Response.json([full, error.name, error.message, fired]);";
    let mut driver = handler(limits, body);
    assert_eq!(
        driver.get("/"),
        "[5,\"QuotaExceededError\",\"You have exceeded the number of active timeouts you may set. max active timeouts: 5, \
         current active timeouts: 5, finished timeouts: 0\",20]"
    );
    assert_eq!(reached(&driver, Limit::Timers), 1);
}

#[test]
fn node_timers_are_timers() {
    let source = "import { setTimeout, clearTimeout } from 'node:timers'; \
        export default { fetch() { const all = []; try { for (;;) all.push(setTimeout(() => {}, 1e6)); } catch {} \
          const full = all.length; all.forEach(clearTimeout); \
          const again = setTimeout(() => {}, 1e6); clearTimeout(again); return new Response(String(full)); } }";
    let mut version = version(vec![module("index.js", Esm, source)]);
    version.compat_flags = vec!["nodejs_compat".into()];
    version.limits.timers_max = 7;
    let mut driver = Driver::with(version);
    assert_eq!(driver.get("/"), "7");
}

#[test]
fn unsettled_promises_of_wait_until_are_counted() {
    let limits = Limits {
        wait_untils_max: 4,
        ..Limits::default()
    };
    let body = "let n = 0, error; try { for (; n < 9; n++) ctx.waitUntil(scheduler.wait(1)); } catch (e) { error = e.name; } \
        await scheduler.wait(5); ctx.waitUntil(scheduler.wait(1)); return Response.json([n, error]);";
    assert_eq!(handler(limits, body).get("/"), "[4,\"RangeError\"]");
}

#[test]
fn what_is_printed_is_cut_exactly_at_the_limit() {
    let check = |lengths: &[usize], expected: &[&str], hits: usize| {
        let limits = Limits {
            log_bytes_max: 10,
            ..Limits::default()
        };
        let body = format!("for (const n of {lengths:?}) console.log('x'.repeat(n)); return new Response('ok');");
        let mut driver = handler(limits, &body);
        driver.get("/");
        assert_eq!(*driver.logs.lines.lock().unwrap(), expected, "{lengths:?}");
        assert_eq!(reached(&driver, Limit::LogBytes), hits);
        // The next event prints again.
        driver.get("/");
        assert_eq!(driver.logs.lines.lock().unwrap().len(), 2 * expected.len());
    };
    let notice = "Warn What this event prints ends here: it is more than 10 bytes (limit log_bytes_max).";
    check(&[10], &["Log xxxxxxxxxx"], 0);
    check(&[4, 6], &["Log xxxx", "Log xxxxxx"], 0);
    check(&[11], &["Log xxxxxxxxxx", notice], 1);
    check(&[4, 7, 5, 5], &["Log xxxx", "Log xxxxxx", notice], 1);
    check(&[10, 1, 1], &["Log xxxxxxxxxx", notice], 1);
}

fn cron(driver: &mut Driver) -> Result<Outcome, Fault> {
    let event = ScheduledEvent {
        cron: "* * * * *".into(),
        scheduled_ms: 0,
    };
    driver.event(Event::Scheduled(event), CancellationToken::new())
}

#[test]
fn a_cron_event_is_ended_when_its_time_is_up() {
    let source = "export default { async scheduled(c) { await scheduler.wait(c.cron === 'never' ? 1 : 1e6); } }";
    let limits = Limits {
        wall_ms: 50,
        ..Limits::default()
    };
    let mut driver = driver(limits, source);
    let fault = cron(&mut driver).unwrap_err();
    assert_eq!(fault.kind, FaultKind::ExceededWall);
    assert_eq!(fault.limit.unwrap().limit, Limit::Wall);
    assert!(fault.message.contains("50 ms"), "{fault}");
    // Its timer is gone with it.
    assert_eq!(driver.settle(), InstanceState::Idle);
}

#[test]
fn wait_until_is_cancelled_when_its_time_is_up() {
    let body = "ctx.waitUntil(scheduler.wait(1e6)); ctx.waitUntil(fetch('http://a.test/slow')); \
        ctx.waitUntil(scheduler.wait(5).then(() => console.log('short'))); return new Response('ok');";
    let limits = Limits {
        wait_until_ms: 100,
        ..Limits::default()
    };
    let mut driver = handler(limits, body);
    assert_eq!(driver.get("/"), "ok");
    assert_eq!(driver.settle(), InstanceState::Idle);
    let lines = driver.logs.lines.lock().unwrap();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0], "Log short");
    assert!(
        lines[1].starts_with("Warn waitUntil() tasks did not complete within the allowed time"),
        "{lines:?}"
    );
    assert_eq!(reached(&driver, Limit::WaitUntil), 1);
}

#[test]
fn what_goes_on_after_its_client_has_gone_is_ended() {
    let limits = Limits {
        wait_until_ms: 10,
        ..Limits::default()
    };
    let mut driver = handler(limits, "await scheduler.wait(1e6); return new Response('late');");
    let head = atoll_worker::RequestHead {
        method: http::Method::GET,
        url: "http://example.com/".into(),
        headers: http::HeaderMap::new(),
        protocol: "HTTP/1.1",
        tls_version: "",
        client: None,
        peer: None,
        upgrade_websocket: false,
        cf: None,
    };
    let cancel = CancellationToken::new();
    let gone = cancel.clone();
    let stop = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        gone.cancel();
    });
    let request = atoll_worker::Request {
        head: Box::new(head),
        body: Body::Empty,
    };
    let fault = driver.event(Event::Fetch(request), cancel).unwrap_err();
    stop.join().unwrap();
    assert_eq!(fault.kind, FaultKind::Canceled);
    assert_eq!(driver.settle(), InstanceState::Idle);
}

#[test]
fn cpu_is_summed_over_an_events_turns() {
    // No turn is long: each computes a little and gives way.
    let limits = Limits {
        cpu_ms: 40,
        ..Limits::default()
    };
    let body = "for (;;) { for (let i = 0; i < 2e5; i++) kept[0] = i; await scheduler.wait(1); }";
    let mut driver = handler(limits.clone(), body);
    let fault = fails(&mut driver);
    assert_eq!(fault.kind, FaultKind::ExceededCpu);
    assert_eq!(fault.limit.map(|hit| (hit.limit, hit.value)), Some((Limit::Cpu, 40)));
    assert_eq!(reached(&driver, Limit::Cpu), 1);
    // Waiting costs nothing: far more wall time than the limit.
    let body = "for (let i = 0; i < 30; i++) await scheduler.wait(5); return new Response('ok');";
    assert_eq!(handler(limits, body).get("/"), "ok");
}

fn small() -> Limits {
    Limits {
        heap_bytes: 32 << 20,
        buffer_bytes: 32 << 20,
        wasm_bytes: 1 << 20,
        ..Limits::default()
    }
}

#[test]
fn memory_bombs_end_the_isolate_and_say_so() {
    let bombs = [
        ("array", "for (;;) kept.push(new Array(1000).fill(kept.length));"),
        (
            "one array",
            "kept.push(new Array(3e7).fill(1.5)); for (;;) kept.push([1.5]);",
        ),
        ("doubling", "let a = [1]; for (;;) a = a.concat(a);"),
        (
            "flat string",
            "for (let i = 0;; i++) kept.push(JSON.stringify('x'.repeat(1e6)) + i, [...('y'.repeat(1e5))]);",
        ),
        ("map", "const m = new Map(); for (let i = 0;; i++) m.set(i, {});"),
        ("set", "const s = new Set(); for (let i = 0;; i++) s.add({ i });"),
        ("object", "const o = {}; for (let i = 0;; i++) o['k' + i] = { i };"),
        ("chain", "let o = {}; for (;;) o = { o };"),
        (
            "promises",
            "for (;;) kept.push(new Promise((r) => setTimeout.call, 0).then(() => kept));",
        ),
        (
            "listeners",
            "for (;;) addEventListener('x' + kept.push(0), () => kept);",
        ),
        ("closures", "for (;;) { const a = new Array(100); kept.push(() => a); }"),
        (
            "microtasks",
            "const go = () => { kept.push({}); queueMicrotask(go); queueMicrotask(go); }; go(); await 0; await new Promise(() => {});",
        ),
        ("symbols", "for (;;) kept.push(Symbol('x'.repeat(100)));"),
        ("bigint", "let n = 1n; for (;;) { n <<= 1000000n; kept.push(n + 1n); }"),
        (
            "regexp",
            "for (let i = 0;; i++) kept.push(new RegExp('a{1,' + (i % 1000 + 1) + '}b' + i), /(.)(.)/.exec('ab' + i));",
        ),
        (
            "json",
            "const t = JSON.stringify(new Array(10000).fill({ a: [1, 2] })); for (;;) kept.push(JSON.parse(t));",
        ),
        (
            "headers",
            "for (;;) kept.push(new Headers({ a: 'b'.repeat(10) }), new URL('http://a.test/' + kept.length));",
        ),
        (
            "responses",
            "for (;;) kept.push(new Response('x'.repeat(100)), new ReadableStream());",
        ),
    ];
    for (name, body) in bombs {
        let mut driver = handler(small(), body);
        let fault = fails(&mut driver);
        assert_eq!(fault.kind, FaultKind::ExceededMemory, "{name}: {fault}");
        assert!(fault.message.contains("limit"), "{name}: {fault}");
        assert_eq!(driver.settle(), InstanceState::Broken, "{name}");
    }
}

/// V8 takes its heap for full when a buffer is refused, and then gets a little more room; not for what comes later.
#[test]
fn a_full_heap_after_a_refused_buffer_is_unwound() {
    let body = "if (request.url.endsWith('/text')) return new Response(`${'a'.repeat(130e6).match(/a/g).length}`); \
        kept.push(new Set(new Uint32Array(30e6).map((_, i) => i).values())); return new Response('made');";
    let mut driver = handler(Limits::default(), body);
    let fault = fails(&mut driver);
    assert_eq!(fault.kind, FaultKind::Exception, "{fault}");
    let fault = driver.request("GET", "/text", &[], Body::Empty).unwrap_err();
    assert_eq!(fault.kind, FaultKind::ExceededMemory, "{fault}");
}

/// V8 as it comes ends the process there (third_party/v8/README.md).
#[test]
fn an_array_that_gets_too_long_ends_no_process() {
    let bodies = [
        "new Array(2e6).fill(new Array(100).fill(1)).flat()",
        "[...'x'.repeat(140e6)]",
        "Array.from('x'.repeat(140e6))",
        "new Array(2e6).fill(new Array(100).fill(1.5)).flat()",
        "new Array(2e6).fill(0).flatMap((_, i) => i < 1 ? [1.5] : new Array(100).fill(i))",
    ];
    for heap_bytes in [Limits::HEAP_BYTES_DEFAULT, 1 << 30] {
        for body in bodies {
            let limits = Limits {
                heap_bytes,
                ..Limits::default()
            };
            let body = format!(
                "try {{ return new Response(String({body}.length)); }} catch (error) {{ return new Response(String(error)); }}"
            );
            let mut driver = handler(limits, &body);
            match driver.request("GET", "/", &[], Body::Empty) {
                Err(fault) => assert_eq!(fault.kind, FaultKind::ExceededMemory, "{heap_bytes} {body}: {fault}"),
                Ok(response) => assert_eq!(
                    driver.text(response),
                    "RangeError: Invalid array length",
                    "{heap_bytes} {body}"
                ),
            }
        }
    }
}

/// They are in one cage, which has no room for what both take beyond their limits.
#[test]
fn full_heaps_of_one_cage_end_one_after_the_other() {
    // Calls that need two strings of the greatest length, 1 GB each, before V8 can end them.
    let body = "for (;;) { const s = '\\u1234'.repeat(536870000); kept.push(s, s.replaceAll('\\u1235', 'x'), s.toUpperCase()); }";
    // Before the threads.
    atoll_js::init();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let fault = fails(&mut handler(small(), body));
                assert_eq!(fault.kind, FaultKind::ExceededMemory, "{fault}");
            });
        }
    });
}

#[test]
fn buffers_are_refused_at_the_limit() {
    let body = "const size = 1 << 20; let error; try { for (;;) kept.push(new Uint8Array(size)); } catch (e) { error = e; } \
        const full = kept.length; kept.length = 0; \
        const again = new ArrayBuffer(size * 16).byteLength; \
        return Response.json([full, error.name, error.message, again]);";
    // What buffers hold counts as the heap's, too: it must not be full first.
    let limits = Limits {
        heap_bytes: 256 << 20,
        ..small()
    };
    let mut driver = handler(limits, body);
    let text = driver.get("/");
    assert_eq!(reached(&driver, Limit::Buffers), 1);
    let [full, name, message, again]: [serde_json::Value; 4] = serde_json::from_str::<Vec<serde_json::Value>>(&text)
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(
        (name.as_str(), again.as_u64()),
        (Some("RangeError"), Some(16 << 20)),
        "{message}"
    );
    assert!(full.as_u64().is_some_and(|full| (31..=32).contains(&full)), "{text}");
}

#[test]
fn a_resizable_buffer_cannot_become_larger_than_all_buffers() {
    let body = "const max = 32 << 20, text = (f) => { try { return f(); } catch (e) { return e.name + ': ' + e.message; } }; \
        const b = new ArrayBuffer(8, { maxByteLength: max }); b.resize(max); \
        class Own extends ArrayBuffer {} \
        return new Response([b.byteLength, text(() => new ArrayBuffer(8, { maxByteLength: max + 1 })), text(() => new Own(0, { maxByteLength: 2 ** 40 })), \
          text(() => new b.constructor(0, { get maxByteLength() { return { valueOf: () => max + 1 }; } })), \
          new Own(3) instanceof ArrayBuffer, new Own(3).byteLength, b.constructor === ArrayBuffer, ArrayBuffer.name, ArrayBuffer.length, \
          ArrayBuffer.isView(new Uint8Array(1)), new Uint8Array(2).buffer instanceof ArrayBuffer, new ArrayBuffer(9).slice(2).byteLength, \
          text(() => ArrayBuffer(1)), text(() => new ArrayBuffer(-1)), structuredClone(new ArrayBuffer(5)).byteLength, \
          new ArrayBuffer(6, {}).resizable, ArrayBuffer[Symbol.species] === ArrayBuffer].join('|'));";
    let too_large = |max: u64| {
        format!(
            "RangeError: Array buffer allocation failed: maxByteLength is {max}, more than a worker's buffers may have \
             (limit buffer_bytes = 33554432)"
        )
    };
    let one_more = too_large((32 << 20) + 1);
    let mut driver = handler(small(), body);
    assert_eq!(
        driver.get("/"),
        format!(
            "33554432|{one_more}|{}|{one_more}|true|3|true|ArrayBuffer|1|true|true|7|TypeError: Constructor ArrayBuffer requires 'new'|\
             RangeError: Invalid array buffer length|5|false|true",
            too_large(1 << 40)
        )
    );
    assert_eq!(reached(&driver, Limit::Buffers), 3);
}

#[test]
fn webassembly_memory_ends_at_the_limit() {
    let body = "const page = 65536; const fits = new WebAssembly.Memory({ initial: 12 }); \
        const errors = []; \
        try { new WebAssembly.Memory({ initial: 17 }); } catch (e) { errors.push(e.name); } \
        const grows = new WebAssembly.Memory({ initial: 1, maximum: 65536 }); \
        grows.grow(3); try { grows.grow(1); } catch (e) { errors.push(e.name); } \
        try { new WebAssembly.Memory({}); } catch (e) { errors.push(e.name); } \
        return Response.json([fits.buffer.byteLength / page, grows.buffer.byteLength / page, errors, \
          fits instanceof WebAssembly.Memory, fits.constructor === WebAssembly.Memory, WebAssembly.Memory.name]);";
    assert_eq!(
        handler(small(), body).get("/"),
        "[12,4,[\"RangeError\",\"RangeError\",\"TypeError\"],true,true,\"Memory\"]"
    );
    // All together, as far as they were made so.
    let body = "let n = 0; try { for (; n < 99; n++) kept.push(new WebAssembly.Memory({ initial: 4 })); } catch (e) { return Response.json([n, e.name]); }";
    assert_eq!(handler(small(), body).get("/"), "[4,\"RangeError\"]");
}

#[test]
fn deep_recursion_is_a_range_error_and_nothing_worse() {
    let cases = [
        ("plain", "const f = () => f() + 1; f();"),
        ("getter", "const o = { get x() { return this.x; } }; o.x;"),
        (
            "proxy",
            "let p = {}; for (let i = 0; i < 1e6; i++) p = new Proxy(p, {}); p.x;",
        ),
        (
            "bound",
            "let f = () => 1; for (let i = 0; i < 1e5; i++) f = f.bind(null); f();",
        ),
        (
            "json out",
            "let o = {}; for (let i = 0; i < 1e6; i++) o = { o }; JSON.stringify(o);",
        ),
        ("json in", "JSON.parse('['.repeat(1e6) + ']'.repeat(1e6));"),
        (
            "json reviver",
            "JSON.parse('['.repeat(1e5) + ']'.repeat(1e5), (k, v) => v);",
        ),
        (
            "clone",
            "let o = {}; for (let i = 0; i < 1e6; i++) o = { o }; structuredClone(o);",
        ),
        (
            "flat",
            "let a = []; for (let i = 0; i < 1e6; i++) a = [a]; a.flat(Infinity);",
        ),
        (
            "to string",
            "let a = []; for (let i = 0; i < 1e6; i++) a = [a]; String(a);",
        ),
        (
            "regexp groups",
            "new RegExp('(?:'.repeat(1e6) + ')'.repeat(1e6)).test('a');",
        ),
        ("regexp stack", "/^(?:a|b)*c/.test('ab'.repeat(1e6));"),
        ("replace", "const f = () => 'a'.replace('a', f); f();"),
        ("sort", "const f = () => [2, 1].sort(f); f();"),
        ("spread", "Math.max(...new Array(1e7));"),
        (
            "console",
            "let o = {}; for (let i = 0; i < 1e5; i++) o = { o }; console.log(o);",
        ),
        (
            "console depth",
            "const { inspect } = globalThis; let o = {}; for (let i = 0; i < 1e5; i++) o = [o]; console.dir(o, { depth: Infinity });",
        ),
        (
            "error cause",
            "let e; for (let i = 0; i < 1e5; i++) e = new Error('x', { cause: e }); console.log(e);",
        ),
        (
            "headers",
            "let o = {}; for (let i = 0; i < 1e5; i++) o = { o }; try { new Headers(o); } catch {}",
        ),
        ("url pattern", "new URLPattern({ pathname: '('.repeat(1e4) });"),
        (
            "promise chain",
            "let p = Promise.resolve(); for (let i = 0; i < 1e5; i++) p = Promise.resolve().then(() => p); await 0;",
        ),
        ("class", "class A { constructor() { new A(); } } new A();"),
        ("async", "const f = async () => { await f(); }; await f();"),
        ("generator", "function* g() { yield* g(); } [...g()];"),
        (
            "json response",
            "let o = {}; for (let i = 0; i < 1e6; i++) o = { o }; Response.json(o);",
        ),
        (
            "rope",
            "let s = 'x'; for (let i = 0; i < 1e6; i++) s = s + 'y' + i; s.charCodeAt(1e6); encodeURIComponent(s).length;",
        ),
    ];
    for (name, code) in cases {
        let body = format!(
            "try {{ {code} return new Response('done'); }} catch (error) {{ return new Response(error.name + ': ' + error.message); }}"
        );
        let mut driver = handler(
            Limits {
                heap_bytes: 1 << 30,
                ..Limits::default()
            },
            &body,
        );
        let text = driver.get("/");
        assert!(
            text == "done"
                || text.starts_with("RangeError")
                || text.starts_with("SyntaxError")
                || text.starts_with("TypeError"),
            "{name}: {text}"
        );
        assert!(driver.settle() != InstanceState::Broken, "{name}");
    }
}
