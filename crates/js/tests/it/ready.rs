//! Isolates that wait until they are somebody's.

use crate::driver::*;
use atoll_js::{JsEngine, JsEngineOptions};
use atoll_model::{ModuleKind, WorkerVersion};
use atoll_worker::{Body, Engine, FaultKind, InstanceState};
use std::collections::HashSet;

fn plain() -> JsEngine {
    atoll_js::init();
    engine(JsEngineOptions::default())
}

/// What a handler computes, as JSON.
fn worker(code: &str) -> WorkerVersion {
    let source = format!(
        "export default {{ async fetch(request, env) {{ return Response.json(await (async () => {{ {code} }})()); }} }}"
    );
    version(vec![module("index.js", ModuleKind::Esm, source)])
}

#[test]
fn two_workers_on_two_threads_share_nothing() {
    let engine = plain();
    let code = |own: &str| {
        format!(
            "const seen = [globalThis.mark, Object.prototype.mark, env.GREETING]; \
             globalThis.mark = {own:?}; Object.prototype.mark = {own:?}; env.GREETING = {own:?}; \
             return seen.map((value) => value ?? null)"
        )
    };
    std::thread::scope(|scope| {
        let run = |own: &'static str| {
            let (engine, code) = (&engine, &code);
            scope.spawn(move || {
                let mut driver = Driver::prepared(engine, || worker(&code(own)));
                (driver.get("/"), driver.get("/"))
            })
        };
        for (own, thread) in ["one", "two"].map(|own| (own, run(own))) {
            let (first, second) = thread.join().unwrap();
            assert_eq!(first, r#"[null,null,"hi"]"#);
            assert_eq!(second, format!("[{own:?},{own:?},{own:?}]"));
        }
    });
}

/// A ready isolate answers what a fresh one does.
#[track_caller]
fn same(version: impl Fn() -> WorkerVersion) {
    let engine = plain();
    let fresh = Driver::with_engine(version(), &engine).get("/");
    assert_eq!(Driver::prepared(&engine, version).get("/"), fresh);
}

#[test]
fn flags_and_dates_are_the_workers() {
    for flags in [
        &[][..],
        &["nodejs_compat"],
        &["nodejs_als", "no_global_navigator"],
        &["allow_eval_during_startup"],
    ] {
        same(|| {
            let mut version = worker(
                "const names = new Set(); \
                 for (let o = globalThis; o !== null; o = Object.getPrototypeOf(o)) Object.getOwnPropertyNames(o).forEach((n) => names.add(n)); \
                 return [...names].sort().concat(typeof navigator, typeof Buffer, Object.keys(Cloudflare.compatibilityFlags).length, \
                     Object.getOwnPropertyNames(WebAssembly), performance.timeOrigin > 0)",
            );
            version.compat_flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
            version
        });
    }
    // Only while the modules are evaluated, and only with its flag.
    for flags in [&[][..], &["allow_eval_during_startup"]] {
        same(|| {
            let source = "let made; try { made = new Function('return 1')() } catch (e) { made = e.name } \
                          export default { fetch() { let later; try { later = eval('2') } catch (e) { later = e.name } \
                          return Response.json([made, later]) } }";
            let mut version = version(vec![module("index.js", ModuleKind::Esm, source)]);
            version.compat_flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
            version
        });
    }
}

#[test]
fn limits_hold_as_in_a_fresh_isolate() {
    let engine = plain();
    // Array buffers: exactly.
    let buffers = "const tries = [], kept = []; for (const size of [env.CONFIG.a[0] * (8 << 20), (8 << 20) + 1]) { \
                   try { tries.push(kept[kept.push(new ArrayBuffer(size)) - 1].byteLength) } catch (e) { tries.push(e.name) } } return tries";
    let small = || {
        let mut version = worker(buffers);
        version.limits.buffer_bytes = 9 << 20;
        version
    };
    let fresh = Driver::with_engine(small(), &engine).get("/");
    assert_eq!(fresh, r#"[8388608,"RangeError"]"#);
    assert_eq!(Driver::prepared(&engine, small).get("/"), fresh);
    // Heap: the default one, and one that the isolate was not made for.
    for heap_bytes in [128 << 20, 32 << 20] {
        let version = || {
            let mut version = worker("const all = []; for (;;) all.push(new Array(1000).fill(1.5))");
            version.limits.heap_bytes = heap_bytes;
            version.limits.cpu_ms = 300_000;
            version
        };
        let mut driver = Driver::prepared(&engine, version);
        let fault = driver.request("GET", "/", &[], Body::Empty).unwrap_err();
        assert_eq!(fault.kind, FaultKind::ExceededMemory, "{fault}");
        assert_eq!(fault.limit.map(|hit| hit.value), Some(heap_bytes));
        assert_eq!(driver.settle(), InstanceState::Broken);
    }
    // WebAssembly memory.
    let pages = || {
        let mut version =
            worker("try { new WebAssembly.Memory({ initial: 17 }); return 'made' } catch (e) { return e.name }");
        version.limits.wasm_bytes = 16 << 16;
        version
    };
    assert_eq!(Driver::prepared(&engine, pages).get("/"), "\"RangeError\"");
}

#[test]
fn an_isolate_that_nobody_wants_goes_quietly() {
    let engine = plain();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    drop(engine.prepare().unwrap().unwrap());
    // One more on the same thread.
    drop(engine.prepare().unwrap().unwrap());
}

#[test]
fn seeds_differ() {
    let engine = plain();
    let code =
        "return [Math.random(), Math.random(), crypto.randomUUID(), crypto.getRandomValues(new Uint32Array(4)).join()]";
    let mut seen = HashSet::new();
    for _ in 0..4 {
        assert!(seen.insert(Driver::prepared(&engine, || worker(code)).get("/")));
        assert!(seen.insert(Driver::with_engine(worker(code), &engine).get("/")));
    }
    let randoms: HashSet<_> = seen.iter().map(|text| text.split(',').next().unwrap()).collect();
    assert_eq!(randoms.len(), 8, "{seen:?}");
}

#[test]
fn an_instance_knows_its_weight_and_can_rest() {
    let engine = plain();
    let mut driver = Driver::prepared(&engine, || {
        worker("globalThis.kept ??= new Uint8Array(4 << 20); for (let i = 0; i < 2e5; i++) ({ i }); return kept.length")
    });
    driver.settle();
    let empty = driver.instance().footprint().unwrap();
    assert_eq!(driver.get("/"), "4194304");
    driver.settle();
    let full = driver.instance().footprint().unwrap();
    assert!(full >= empty + (4 << 20), "{empty} {full}");
    driver.instance().rest();
    let rested = driver.instance().footprint().unwrap();
    assert!(rested <= full && rested >= 4 << 20, "{full} {rested}");
    assert_eq!(driver.get("/"), "4194304");
}
