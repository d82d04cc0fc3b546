//! The first isolate of a process reads the startup snapshot; those after it are made from the image of what was read
//! (`third_party/v8/build/image.patch`). Both are the same, and stay so when memory is collected and moved.

use crate::driver::*;
use atoll_js::JsEngineOptions;
use atoll_model::ModuleKind;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Walks all that can be reached from the global scope and from syntax, by properties and prototypes, and returns a line for each
/// object: what it is, its properties with their attributes and values, and what its functions say of themselves. `?collect` has
/// memory collected first, young and old, `?make` uses what is there.
const WALK: &str = r#"
const { getOwnPropertyDescriptor, getPrototypeOf, isExtensible } = Object;
const { ownKeys } = Reflect;
const show = (key) => typeof key === "symbol" ? key.toString() : key;

function walk() {
  const numbers = new Map();
  const queue = [];
  const name = (value) => {
    if (value === null || (typeof value !== "object" && typeof value !== "function")) {
      // Of the clock and of random values only the type.
      return typeof value === "number" && value > 1e6 ? "number" : `${typeof value} ${String(value)}`;
    }
    let number = numbers.get(value);
    if (number === undefined) {
      number = queue.length;
      numbers.set(value, number);
      queue.push(value);
    }
    return `#${number}`;
  };
  name(globalThis);
  for (const value of [
    function* () {}, async function () {}, async function* () {}, () => {}, [].values(), new Map().entries(), new Set().values(), "".matchAll(/a/g),
    /a/, new Date(0), new Error("e"), Symbol.prototype, 1n.constructor, new Intl.Segmenter().segment("a"), new Proxy({}, {}),
    Iterator.from({ next() {} }), [].values().map((x) => x), (function () { return arguments })(), new WeakRef({}), import.meta,
    new Request("http://localhost/"), new Response("a").body, new Headers(), new Blob([]), new FormData(), crypto, crypto.subtle, new TextDecoder(),
    new URL("http://localhost/?a").searchParams, new AbortController().signal, new TransformStream(), performance, caches.default, navigator, scheduler,
    new URLPattern({ pathname: "/a" }), new HTMLRewriter(), new CompressionStream("gzip"),
  ]) name(value);
  const lines = [];
  for (let i = 0; i < queue.length; i++) {
    const value = queue[i];
    let line = `#${i} ${typeof value} ${isExtensible(value)} -> ${name(getPrototypeOf(value))}`;
    if (typeof value === "function") line += ` ${Function.prototype.toString.call(value)}`;
    for (const key of ownKeys(value)) {
      if (key === "stack") continue;
      const { value: held, get, set, writable, enumerable, configurable } = getOwnPropertyDescriptor(value, key);
      line += `\n  ${show(key)} ${writable} ${enumerable} ${configurable} ${name(get)} ${name(set)} ${name(held)}`;
    }
    lines.push(line);
  }
  return lines;
}

function collect() {
  let kept = [];
  for (let round = 0; round < 40; round++) {
    // Young and short-lived, then old, large and let go, with holes in what stays.
    for (let i = 0; i < 20000; i++) ({ i, text: `${i}`, list: [i, {}] });
    kept.push(Array.from({ length: 20000 }, (_, i) => ({ i, next: { i } })));
    if (kept.length > 4) kept = kept.filter((_, i) => i % 2 === 1);
    kept[0].length /= 2;
  }
  return kept.length;
}

async function make() {
  const url = new URL("http://user@localhost:8080/a/../b?c=d#e");
  const body = new Response(new Blob(["some ", "text"]).stream().pipeThrough(new TransformStream()));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode("text"));
  const clone = structuredClone({ map: new Map([[1, new Set([2])]]), date: new Date(0), bytes: new Uint8Array([1, 2]) });
  return [
    url.href, await body.text(), [...new Uint8Array(digest)].join(), clone.map.get(1).has(2), clone.date.toISOString(), clone.bytes.length,
    new Intl.NumberFormat("de").format(1234.5), new Date(0).toLocaleString(), "\u00e4".localeCompare("z", "sv"), "a-b".replace(/(?<x>a)/u, "$<x>$<x>"),
    [3, 1, 2].toSorted().join(), Object.groupBy([1, 2, 3], (x) => x % 2 ? "odd" : "even").odd.length, 2n ** 100n, atob(btoa("text")),
    await new Promise((resolve) => setTimeout(() => resolve("timer"), 1)), JSON.stringify({ a: [1, { b: 2 }] }),
    [..."a1b2".matchAll(/\d/g)].length,
  ].join("|");
}

export default {
  async fetch(request) {
    const { search } = new URL(request.url);
    if (search === "?collect") return new Response(String(collect()));
    if (search === "?make") return new Response(await make());
    return new Response(walk().join("\n"));
  },
};
"#;

fn same(first: &str, other: &str, what: &str) {
    let pairs = first.lines().zip(other.lines()).enumerate();
    for (line, (first, other)) in pairs {
        assert_eq!(first, other, "{what}: line {line}");
    }
    assert_eq!(first.lines().count(), other.lines().count(), "{what}");
}

/// An isolate on a thread of its own, until it is dropped.
struct Isolate {
    asks: Sender<&'static str>,
    answers: Receiver<String>,
}

impl Isolate {
    fn new() -> Self {
        let (asks, asked) = channel();
        let (answer, answers) = channel();
        std::thread::spawn(move || {
            let engine = first_engine(JsEngineOptions::default());
            let version = version(vec![module("index.js", ModuleKind::Esm, WALK)]);
            let mut driver = Driver::with_engine(version, &engine);
            for path in asked {
                answer.send(driver.get(path)).unwrap();
            }
        });
        let isolate = Self { asks, answers };
        // It is there.
        isolate.get("/?make");
        isolate
    }

    fn get(&self, path: &'static str) -> String {
        self.asks.send(path).unwrap();
        self.answers.recv().unwrap()
    }
}

#[test]
fn isolates_of_the_image_are_what_the_first_one_is() {
    atoll_js::init();
    // As many as have more than one cage.
    let mut isolates: Vec<Isolate> = (0..5).map(|_| Isolate::new()).collect();
    let walks: Vec<String> = isolates.iter().map(|isolate| isolate.get("/")).collect();
    assert!(walks[0].lines().count() > 10_000, "{}", walks[0]);
    assert!(walks[0].contains("\n  ReadableStream true false true"), "{}", walks[0]);
    for (i, walk) in walks.iter().enumerate() {
        same(&walks[0], walk, &format!("isolate {i}"));
    }
    let made = isolates[0].get("/?make");
    assert!(made.contains("|timer|"), "{made}");
    // Some isolates go, another comes to where one was.
    isolates.drain(..2);
    isolates.push(Isolate::new());
    for (i, isolate) in isolates.iter().enumerate() {
        same(&walks[0], &isolate.get("/"), &format!("isolate {i}, later"));
        for _ in 0..3 {
            assert_eq!(isolate.get("/?collect"), "4", "isolate {i}");
            assert_eq!(isolate.get("/?make"), made, "isolate {i}");
        }
        same(&walks[0], &isolate.get("/"), &format!("isolate {i}, after collections"));
    }
}
