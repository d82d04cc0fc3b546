//! Compiled code: taken, refused, made after the first event.

use crate::driver::*;
use atoll_js::{JsEngine, JsEngineOptions};
use atoll_model::{ModuleKind, WorkerName, WorkerVersion};
use atoll_worker::{Body, CodeCache, CodeKey};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Remembers everything, and what it was told.
#[derive(Default)]
struct Memory {
    codes: Mutex<HashMap<CodeKey, Bytes>>,
    told: Mutex<Vec<&'static str>>,
}

impl Memory {
    fn tell(&self, what: &'static str) {
        self.told.lock().unwrap().push(what);
    }

    fn told(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    fn one(&self) -> (CodeKey, Bytes) {
        let codes = self.codes.lock().unwrap();
        assert_eq!(codes.len(), 1);
        codes.iter().map(|(key, code)| (*key, code.clone())).next().unwrap()
    }
}

impl CodeCache for Memory {
    fn load(&self, key: &CodeKey) -> Option<Bytes> {
        let found = self.codes.lock().unwrap().get(key).cloned();
        self.tell(if found.is_some() { "hit" } else { "miss" });
        found
    }

    fn wants(&self, key: &CodeKey) -> bool {
        !self.codes.lock().unwrap().contains_key(key)
    }

    fn keep(&self, key: &CodeKey, code: Bytes) {
        self.tell("keep");
        self.codes.lock().unwrap().insert(*key, code);
    }

    fn used(&self, _: &CodeKey) {
        self.tell("used");
    }

    fn refused(&self, key: &CodeKey) {
        self.tell("refused");
        self.codes.lock().unwrap().remove(key);
    }
}

/// A worker most of which runs only in its handler.
fn source(answer: &str) -> String {
    let functions: String = (0..50)
        .map(|n| format!("function f{n}(x) {{ return x.map((y) => y * {n} + 1).filter((y) => y > {n}).length; }}\n"))
        .collect();
    let calls: String = (0..50).map(|n| format!("f{n}([1, 2, 3]);")).collect();
    format!("{functions} export default {{ fetch() {{ {calls} return new Response({answer:?}); }} }};")
}

fn worker(answer: &str) -> WorkerVersion {
    version(vec![module("index.js", ModuleKind::Esm, source(answer))])
}

fn with(memory: &Arc<Memory>) -> JsEngine {
    atoll_js::init();
    engine(JsEngineOptions::default()).with_code_cache(memory.clone())
}

/// Starts `version` and has it answer one request.
fn run(memory: &Arc<Memory>, version: WorkerVersion) -> String {
    let mut driver = Driver::with_engine(version, &with(memory));
    let text = driver.get("/");
    driver.settle();
    text
}

#[test]
fn code_is_made_after_the_first_event_and_taken_by_the_next_isolate() {
    let memory = Arc::new(Memory::default());
    let engine = with(&memory);
    let mut driver = Driver::with_engine(worker("a"), &engine);
    driver.settle();
    assert_eq!(memory.told(), ["miss"]);
    assert_eq!(driver.get("/"), "a");
    driver.settle();
    assert_eq!(memory.told(), ["keep"]);
    let (_, with_handler) = memory.one();
    assert_eq!(driver.get("/"), "a");
    driver.settle();
    assert!(memory.told().is_empty());
    // What the handler called is in it: of a worker whose handler never ran there is much less.
    let idle = Arc::new(Memory::default());
    let mut other = worker("a");
    other.modules[0].content = source("a")
        .replace("fetch()", "fetch(r) { if (r) return new Response('-') }, never()")
        .into();
    assert_eq!(run(&idle, other), "-");
    let (_, without_handler) = idle.one();
    assert!(
        without_handler.len() * 2 < with_handler.len(),
        "{} {}",
        without_handler.len(),
        with_handler.len()
    );
    assert_eq!(run(&memory, worker("a")), "a");
    assert_eq!(memory.told(), ["hit", "used"]);
}

#[test]
fn every_module_has_its_own_code_and_only_text_has() {
    let memory = Arc::new(Memory::default());
    let modules = || {
        version(vec![
            module(
                "index.js",
                ModuleKind::Esm,
                "import { b } from './b.js'; import data from './d.json'; import c from './c.cjs';
                 export default { fetch() { return new Response(b() + data.d + c()); } }",
            ),
            module(
                "b.js",
                ModuleKind::Esm,
                "export function b() { return 'b\u{e4}\u{4e2d}'; }",
            ),
            module("c.cjs", ModuleKind::CommonJs, "module.exports = () => 'c';"),
            module("d.json", ModuleKind::Json, "{\"d\": \"d\"}"),
        ])
    };
    assert_eq!(run(&memory, modules()), "b\u{e4}\u{4e2d}dc");
    assert_eq!(memory.told(), ["miss", "miss", "keep", "keep"]);
    assert_eq!(run(&memory, modules()), "b\u{e4}\u{4e2d}dc");
    assert_eq!(memory.told(), ["hit", "hit", "used", "used"]);
}

#[test]
fn code_that_is_not_right_is_refused_and_made_anew() {
    let memory = Arc::new(Memory::default());
    run(&memory, worker("a"));
    let (key, good) = memory.one();
    memory.told();
    // V8 says in the first bytes which version and flags wrote it and how long the source was.
    let spoilt: Vec<Vec<u8>> = (0..6)
        .map(|word| {
            let mut bad = good.to_vec();
            bad[word * 4] ^= 0xff;
            bad
        })
        .chain([
            Vec::new(),
            b"x".to_vec(),
            good[..40].to_vec(),
            good[..good.len() / 2].to_vec(),
            vec![0; 1_000],
        ])
        .collect();
    let mut refusals = 0;
    for bad in spoilt {
        memory.codes.lock().unwrap().insert(key, bad.clone().into());
        assert_eq!(run(&memory, worker("a")), "a", "{} bytes", bad.len());
        let told = memory.told();
        // A word that V8 does not look at may be anything.
        if told.contains(&"refused") {
            assert_eq!(told, ["hit", "refused", "keep"]);
            refusals += 1;
        }
    }
    assert!(refusals >= 8, "{refusals}");
    // It is good again.
    assert_eq!(run(&memory, worker("a")), "a");
    assert_eq!(memory.told(), ["hit", "used"]);
}

#[test]
fn nobody_gets_anothers_code() {
    let memory = Arc::new(Memory::default());
    run(&memory, worker("a"));
    memory.told();
    // As long as the other: V8 itself would not see the difference.
    assert_eq!(run(&memory, worker("b")), "b");
    let mut namesake = worker("a");
    namesake.name = WorkerName::new("other");
    assert_eq!(run(&memory, namesake), "a");
    assert_eq!(memory.told(), ["miss", "keep", "miss", "keep"]);
    assert_eq!(memory.codes.lock().unwrap().len(), 3);
}

#[test]
fn a_worker_that_failed_leaves_nothing() {
    let memory = Arc::new(Memory::default());
    let version = version(vec![module(
        "index.js",
        ModuleKind::Esm,
        "export default {}; throw new Error('x');",
    )]);
    let mut driver = Driver::with_engine(version, &with(&memory));
    driver.settle();
    assert!(driver.request("GET", "/", &[], Body::Empty).is_err());
    assert_eq!(memory.told(), ["miss"]);
}
