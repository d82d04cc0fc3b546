//! WebAssembly memories against `wasm_bytes`, in sum: every way to make one, at the boundary and one page beyond.

use crate::driver::{Driver, module, version};
use atoll_model::ModuleKind::{Esm, Wasm};
use atoll_model::{Limit, Limits};
use atoll_worker::{Body, Fault, FaultKind, InstanceState};

/// `(memory min max?)`, exported as `m` unless hidden; `g` grows it from within; `start` has it grow by two pages while an
/// instance is made, or fail there.
struct Source {
    limits: &'static [u8],
    hidden: bool,
    start: Option<Start>,
}

enum Start {
    Grows,
    Fails,
}

impl Source {
    const fn plain(limits: &'static [u8]) -> Self {
        Self {
            limits,
            hidden: false,
            start: None,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        let mut section = |id: u8, content: &[u8]| {
            bytes.push(id);
            bytes.push(u8::try_from(content.len()).unwrap());
            bytes.extend_from_slice(content);
        };
        // (func (param i32) (result i32)), (func)
        section(1, &[2, 0x60, 1, 0x7f, 1, 0x7f, 0x60, 0, 0]);
        section(3, &[2, 0, 1]);
        section(5, &[&[1], self.limits].concat());
        let (memory, grow): (&[u8], &[u8]) = (&[1, b'm', 2, 0], &[1, b'g', 0, 0]);
        match self.hidden {
            true => section(7, &[&[1], grow].concat()),
            false => section(7, &[&[2], memory, grow].concat()),
        }
        if self.start.is_some() {
            section(8, &[1]);
        }
        let body: &[u8] = match self.start {
            // unreachable
            Some(Start::Fails) => &[3, 0, 0x00, 0x0b],
            // i32.const 2; memory.grow; drop
            _ => &[7, 0, 0x41, 2, 0x40, 0, 0x1a, 0x0b],
        };
        section(10, &[&[2, 6, 0, 0x20, 0, 0x40, 0, 0x0b], body].concat());
        bytes
    }
}

/// A worker with `w`, the module, that may have sixteen pages.
fn worker(source: &Source, body: &str) -> Driver {
    let main = format!(
        "import w from './w.wasm'; const kept = []; const page = 65536; const pages = (m) => m.buffer.byteLength / page; \
         export default {{ async fetch() {{ {body} }} }}"
    );
    let mut version = version(vec![
        module("index.js", Esm, main),
        module("w.wasm", Wasm, source.bytes()),
    ]);
    version.limits = Limits {
        wasm_bytes: 16 << 16,
        ..Limits::default()
    };
    Driver::with(version)
}

fn reached(driver: &Driver) -> usize {
    let limits = driver.logs.limits.lock().unwrap();
    limits.iter().filter(|hit| hit.limit == Limit::WasmMemory).count()
}

const FOUR: Source = Source::plain(&[0, 4]);
const TOO_MANY: &str =
    "RangeError: WebAssembly: could not allocate memory: 20 pages are more than 16 (limit wasm_bytes = 1048576)";

#[test]
fn memories_that_threads_share_are_not_made() {
    let shared = Source::plain(&[3, 1, 2]);
    for make in [
        "new WebAssembly.Instance(w)",
        "(await WebAssembly.instantiate(w, {}))",
        "new (class extends WebAssembly.Instance {})(w)",
        "new WebAssembly.Memory({ initial: 1, maximum: 2, shared: {} })",
        "new (class extends WebAssembly.Memory {})({ initial: 1, maximum: 2, get shared() { return 1 } })",
    ] {
        let body =
            format!("try {{ return new Response(String({make})) }} catch (e) {{ return new Response(String(e)) }}");
        assert_eq!(
            worker(&shared, &body).get("/"),
            "TypeError: WebAssembly: a memory cannot be shared: a worker has no threads to share it with.",
            "{make}"
        );
    }
}

#[test]
fn instances_memories_are_held_in_sum_however_they_are_made() {
    for make in [
        "new WebAssembly.Instance(w)",
        "(await WebAssembly.instantiate(w, {}))",
        "Reflect.construct(WebAssembly.Instance, [w])",
        "new (class extends WebAssembly.Instance {})(w)",
        "new (new WebAssembly.Instance(w).constructor)(w)",
        "new WebAssembly.Instance.prototype.constructor(w)",
        "{ exports: { m: new WebAssembly.Memory({ initial: 4 }) } }",
        "{ exports: { m: new (class extends WebAssembly.Memory {})({ initial: 4, maximum: 60000 }) } }",
        "{ exports: { m: new WebAssembly.Memory({ initial: { valueOf: () => 4 } }) } }",
        "{ exports: { m: new WebAssembly.Memory({ initial: 4n, maximum: 60000n, address: 'i64' }) } }",
    ] {
        let body = format!(
            "let n = 0; try {{ for (; n < 9; n++) kept.push(({make}).exports.m); }} catch (e) {{ \
             return new Response(n + ' ' + e + ' ' + kept.map(pages)); }} return new Response('all');"
        );
        let mut driver = worker(&FOUR, &body);
        // The one whose constructor is asked makes a second, which is garbage.
        assert_eq!(driver.get("/"), format!("4 {TOO_MANY} 4,4,4,4"), "{make}");
        assert_eq!(reached(&driver), 1, "{make}");
        assert_eq!(driver.settle(), InstanceState::Idle, "{make}");
    }
}

#[test]
fn grow_ends_where_all_together_end() {
    let body = "const a = new WebAssembly.Instance(w).exports.m, b = new WebAssembly.Memory({ initial: 4 }); \
        const was = a.grow(8); let error; try { b.grow(1); } catch (e) { error = e; } \
        return new Response(String([was, pages(a), pages(b), b.grow(0), error, a.grow.name, a.grow.length]));";
    assert_eq!(
        worker(&FOUR, body).get("/"),
        "4,12,4,4,RangeError: WebAssembly: could not allocate memory: 17 pages are more than 16 (limit wasm_bytes = 1048576),grow,1"
    );
}

#[test]
fn a_module_grows_its_memory_to_the_limit_and_not_a_page_further() {
    let body = "const { m, g } = new WebAssembly.Instance(w).exports; const steps = [g(11), g(1), g(1), g(0)]; \
        return Response.json([steps, pages(m)]);";
    for limits in [&[0, 4][..], &[1, 4, 17]] {
        let source = Source::plain(match limits.len() {
            2 => &[0, 4],
            _ => &[1, 4, 17],
        });
        assert_eq!(worker(&source, body).get("/"), "[[4,15,-1,16],16]");
    }
    // Its own bound stays its own.
    let own = Source::plain(&[1, 4, 6]);
    let body = "const { m, g } = new WebAssembly.Instance(w).exports; return Response.json([g(2), g(1), pages(m)]);";
    assert_eq!(worker(&own, body).get("/"), "[4,-1,6]");
}

fn ends(driver: &mut Driver) -> Fault {
    // The turn that lets it grow may have been answered before.
    let _ = driver.request("GET", "/", &[], Body::Empty);
    assert_eq!(driver.settle(), InstanceState::Broken);
    driver.request("GET", "/", &[], Body::Empty).unwrap_err()
}

#[test]
fn modules_that_grow_in_sum_end_the_isolate() {
    let body = "for (let i = 0; i < 2; i++) { const { m, g } = new WebAssembly.Instance(w).exports; kept.push(m); g(4); } \
        return new Response('grown');";
    let mut within = worker(&FOUR, body);
    assert_eq!(within.get("/"), "grown");
    assert_eq!(within.settle(), InstanceState::Idle);
    let mut beyond = worker(&FOUR, &body.replace("g(4)", "g(5)"));
    let fault = ends(&mut beyond);
    assert_eq!(fault.kind, FaultKind::ExceededMemory);
    assert_eq!(
        fault.limit.map(|hit| (hit.limit, hit.value)),
        Some((Limit::WasmMemory, 1 << 20))
    );
    assert!(fault.message.ends_with("(limit wasm_bytes = 1048576)"), "{fault}");
    assert_eq!(reached(&beyond), 1);
}

#[test]
fn what_an_instance_hides_counts_as_much_as_it_can_be() {
    let body = "let n = 0; try { for (; n < 9; n++) kept.push(new WebAssembly.Instance(w)); } \
        catch (e) { return new Response(n + e.name); } return new Response('all');";
    let hidden = |limits| Source {
        hidden: true,
        ..Source::plain(limits)
    };
    assert_eq!(worker(&hidden(&[0, 4]), body).get("/"), "1RangeError");
    assert_eq!(worker(&hidden(&[1, 1, 5]), body).get("/"), "3RangeError");
    assert_eq!(worker(&hidden(&[1, 1, 4]), body).get("/"), "4RangeError");
}

#[test]
fn garbage_is_collected_before_anything_is_refused() {
    let body = "for (let i = 0; i < 60; i++) { const { m, g } = new WebAssembly.Instance(w).exports; g(4); new Uint8Array(m.buffer)[0] = 1; } \
        return new Response('ok');";
    // What one round made can still be reached in the next.
    let mut driver = worker(&FOUR, body);
    assert_eq!(driver.get("/"), "ok");
    assert_eq!(driver.settle(), InstanceState::Idle);
    assert_eq!(reached(&driver), 0);
}

#[test]
fn start_functions_are_counted_with_what_they_grow() {
    let grows = Source {
        start: Some(Start::Grows),
        ..Source::plain(&[1, 4, 8])
    };
    let body = "let n = 0; try { for (; n < 9; n++) kept.push(new WebAssembly.Instance(w).exports.m); } \
        catch (e) { return new Response(n + e.name + kept.map(pages)); } return new Response('all');";
    assert_eq!(worker(&grows, body).get("/"), "2RangeError6,6");
    // Something of it may live on in what it imported.
    let fails = Source {
        start: Some(Start::Fails),
        ..Source::plain(&[1, 4, 8])
    };
    let body = "const names = []; for (let i = 0; i < 4; i++) try { new WebAssembly.Instance(w); } catch (e) { names.push(e.name); } \
        return new Response(String(names));";
    assert_eq!(
        worker(&fails, body).get("/"),
        "RuntimeError,RuntimeError,RangeError,RangeError"
    );
}

#[test]
fn changed_prototypes_change_no_count() {
    let body = "const lie = () => 0; \
        Object.defineProperty(WebAssembly.Memory.prototype, 'buffer', { get: () => new ArrayBuffer(0), configurable: true }); \
        Object.defineProperty(WebAssembly.Instance.prototype, 'exports', { get: () => ({}), configurable: true }); \
        WebAssembly.Module.exports = () => []; WebAssembly.Module.imports = () => []; \
        Array.prototype[Symbol.iterator] = function* () {}; Array.prototype.filter = lie; Reflect.construct = lie; Reflect.apply = lie; \
        Function.prototype.call = lie; Function.prototype.apply = lie; Number.prototype.valueOf = lie; WeakMap.prototype.get = lie; \
        for (const i of 'abcdefghi') { try { kept[kept.length] = new WebAssembly.Instance(w); } catch (e) { break; } } \
        return new Response(String(kept.length));";
    assert_eq!(worker(&FOUR, body).get("/"), "4");
}

#[test]
fn the_stand_ins_look_like_what_they_stand_for() {
    let body = "const i = new WebAssembly.Instance(w), m = new WebAssembly.Memory({ initial: 1 }); const names = []; \
        for (const f of [() => WebAssembly.Instance(w), () => WebAssembly.Memory({}), () => new WebAssembly.Instance(), () => new WebAssembly.Memory(), \
            () => new WebAssembly.Memory({}), () => m.grow(), () => m.grow(-1), () => m.grow.call({}, 1), () => new WebAssembly.Memory({ initial: 70000 })]) \
          try { f(); names.push('ok'); } catch (e) { names.push(e.name); } \
        const rejected = await WebAssembly.instantiate({}).catch((e) => e.name); \
        return Response.json([i instanceof WebAssembly.Instance, m instanceof WebAssembly.Memory, \
          i.constructor === WebAssembly.Instance, m.constructor === WebAssembly.Memory, \
          [WebAssembly.Instance, WebAssembly.Memory, WebAssembly.instantiate].map((f) => [f.name, f.length]), names, rejected, \
          Object.prototype.toString.call(m), Object.isFrozen(i.exports), typeof i.exports.g, \
          /native code/.test(String(WebAssembly.Memory)), await WebAssembly.instantiate(w).then((x) => x instanceof WebAssembly.Instance)]);";
    assert_eq!(
        worker(&FOUR, body).get("/"),
        "[true,true,true,true,[[\"Instance\",1],[\"Memory\",1],[\"instantiate\",1]],\
         [\"TypeError\",\"TypeError\",\"TypeError\",\"TypeError\",\"TypeError\",\"TypeError\",\"TypeError\",\"TypeError\",\"RangeError\"],\"TypeError\",\
         \"[object WebAssembly.Memory]\",true,\"function\",true,true]"
    );
}
