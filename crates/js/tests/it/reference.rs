//! The table of APIs (`crates/model/src/apis.txt`) against a running isolate: what it lists is there, what is there is listed.
//! With `ATOLL_REFERENCE=write` the table is written from the isolate; then read what has changed before it is committed.

use crate::driver::{Driver, module, version};
use atoll_model::reference::apis;
use atoll_model::{CompatDate, ModuleKind};
use atoll_worker::Body;

/// Lists globals and exports: `name|kind|members`, sorted. ECMAScript's own globals are left out by name.
const WORKER: &str = r##"
import * as workers from "cloudflare:workers";

const LANGUAGE = new Set(`AggregateError Array ArrayBuffer AsyncDisposableStack AsyncIterator Atomics BigInt BigInt64Array
  BigUint64Array Boolean DataView Date DisposableStack Error EvalError FinalizationRegistry Float16Array Float32Array
  Float64Array Function Infinity Int16Array Int32Array Int8Array Intl Iterator JSON Map Math NaN Number Object Promise Proxy
  RangeError ReferenceError Reflect RegExp Set String SuppressedError Symbol SyntaxError Temporal TypeError
  URIError Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakRef WeakSet WebAssembly decodeURI
  decodeURIComponent encodeURI encodeURIComponent escape eval globalThis isFinite isNaN parseFloat parseInt undefined
  unescape`.split(/\s+/));
const HIDDEN = new Set(["constructor", "length", "name", "prototype", "arguments", "caller"]);

const names = (object) => Object.getOwnPropertyNames(object).filter((name) => !HIDDEN.has(name));

function line(name, holder) {
  const value = holder[name];
  if (typeof value === "function" && value.prototype !== undefined && /^[A-Z]/.test(name)) {
    const members = [...names(value.prototype), ...names(value).map((member) => `static ${member}`)];
    return `${name}|class|${members.sort().join(",")}`;
  }
  if (typeof value === "function") return `${name}|function|`;
  const kind = typeof value === "object" && value !== null ? "object" : "value";
  const members = kind === "object" && value !== globalThis && Object.getPrototypeOf(value) === Object.prototype ? names(value) : [];
  return `${name}|${kind}|${members.sort().join(",")}`;
}

export default {
  fetch() {
    const globals = Object.getOwnPropertyNames(globalThis).filter((name) => !LANGUAGE.has(name) && /^[A-Za-z]/.test(name));
    const section = (name, list, holder) => [`[${name}]`, ...list.sort().map((name) => line(name, holder))].join("\n");
    return new Response([
      section("globals", globals, globalThis),
      section("cloudflare:workers", Object.keys(workers), workers),
    ].join("\n") + "\n");
  },
};
"##;

#[test]
fn the_table_of_apis_is_what_a_worker_finds() {
    let mut version = version(vec![module("index.js", ModuleKind::Esm, WORKER)]);
    version.compat_date = CompatDate::NEWEST;
    // Node.js's globals have a table of their own.
    version.compat_flags = vec!["no_nodejs_compat".into(), "no_nodejs_compat_v2".into()];
    let mut driver = Driver::with(version);
    let response = driver.request("GET", "/", &[], Body::Empty).unwrap();
    let found = driver.text(response);
    if std::env::var_os("ATOLL_REFERENCE").is_some_and(|wish| wish == "write") {
        let head =
            "# What a worker finds. Written by ATOLL_REFERENCE=write on the test that holds it against the engine.\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/src/apis.txt");
        std::fs::write(path, format!("{head}{found}")).unwrap();
        return;
    }
    let mut listed = String::new();
    for section in apis() {
        listed += &format!("[{}]\n", section.name);
        for api in section.apis {
            listed += &format!("{}|{}|{}\n", api.name, api.kind, api.members.join(","));
        }
    }
    let missing: Vec<&str> = found
        .lines()
        .filter(|line| !listed.lines().any(|other| other == *line))
        .collect();
    let surplus: Vec<&str> = listed
        .lines()
        .filter(|line| !found.lines().any(|other| other == *line))
        .collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "the table is not what a worker finds; run this test with ATOLL_REFERENCE=write, then `cargo xtask reference`\n\
         not listed: {missing:#?}\nlisted and not there: {surplus:#?}"
    );
    assert!(found.lines().count() > 80, "{found}");
}
