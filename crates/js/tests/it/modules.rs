//! Module kinds, imports and the main module's shapes.

use crate::driver::{Driver, module, version};
use atoll_model::ModuleKind::{CommonJs, Data, Esm, Json, Text, Wasm};
use atoll_worker::{Body, Event, FaultKind, Outcome, ScheduledEvent};
use tokio_util::sync::CancellationToken;

#[test]
fn all_kinds_of_modules() {
    let main = "import text from './a.txt'; import data from './b.bin'; import wasm from './c.wasm'; import json from './d.json'; \
                import cjs from './e.cjs'; import { f } from './lib/f.js'; \
                export default { async fetch() { const g = await import('./lib/g.js'); \
                return Response.json([text, new Uint8Array(data).length, wasm instanceof WebAssembly.Module, json.x, cjs.y, f, g.default]); } }";
    let mut driver = Driver::new(vec![
        module("index.js", Esm, main),
        module("a.txt", Text, "text"),
        module("b.bin", Data, [1, 2, 3]),
        module("c.wasm", Wasm, [0, 97, 115, 109, 1, 0, 0, 0]),
        module("d.json", Json, "{\"x\": 1}"),
        module(
            "e.cjs",
            CommonJs,
            "const { z } = require('./lib/z.cjs'); module.exports = { y: z + 1 };",
        ),
        module("lib/z.cjs", CommonJs, "exports.z = 1;"),
        module("lib/f.js", Esm, "import { h } from '../h.js'; export const f = h;"),
        module("lib/g.js", Esm, "export default 'g';"),
        module("h.js", Esm, "export const h = 'h';"),
    ]);
    assert_eq!(driver.get("/"), r#"["text",3,true,1,2,"h","g"]"#);
}

#[test]
fn cloudflare_workers_module() {
    let mut driver = Driver::source(
        "import { env, waitUntil, WorkerEntrypoint } from 'cloudflare:workers'; const greeting = env.GREETING; let done = false; \
         export default class extends WorkerEntrypoint { fetch() { waitUntil(scheduler.wait(1).then(() => { done = true; })); \
         return Response.json([greeting, this.env.GREETING, this.env.GREETING === env.GREETING, done]); } }",
    );
    assert_eq!(driver.get("/"), r#"["hi","hi",true,false]"#);
    driver.settle();
    assert_eq!(driver.get("/"), r#"["hi","hi",true,true]"#);
}

#[test]
fn top_level_await_and_import_meta() {
    let mut driver = Driver::source(
        "const x = await Promise.resolve(5); export default { fetch() { return new Response(`${x} ${import.meta.url}`); } }",
    );
    assert_eq!(driver.get("/"), "5 file:///index.js");
}

#[test]
fn internals_cannot_be_imported() {
    for specifier in [
        "atoll:internal",
        "ext:atoll_js/26_module_internal.js",
        "ext:core/ops",
        "node:fs",
        "cloudflare:nothing",
    ] {
        let mut driver = Driver::source(&format!(
            "import x from '{specifier}'; export default {{ fetch() {{ return new Response(); }} }}"
        ));
        let fault = driver.request("GET", "/", &[], Body::Empty).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Startup, "{specifier}");
        assert!(fault.message.contains(specifier), "{fault}");
    }
}

#[test]
fn scheduled() {
    let mut driver = Driver::source(
        "let seen = []; export default { async scheduled(c, env, ctx) { await 0; c.noRetry(); seen.push(c.cron, c.scheduledTime); }, fetch() { return Response.json(seen); } }",
    );
    let event = Event::Scheduled(ScheduledEvent {
        cron: "* * * * *".into(),
        scheduled_ms: 1000,
    });
    assert!(matches!(
        driver.event(event, CancellationToken::new()),
        Ok(Outcome::Scheduled { no_retry: true })
    ));
    assert_eq!(driver.get("/"), r#"["* * * * *",1000]"#);
}

#[test]
fn flags_open_node_modules() {
    let mut without = version(vec![module(
        "index.js",
        Esm,
        "import 'node:async_hooks'; export default { fetch() { return new Response(); } }",
    )]);
    without.compat_flags.clear();
    let fault = Driver::with(without).request("GET", "/", &[], Body::Empty).unwrap_err();
    assert!(fault.message.contains("nodejs_compat"), "{fault}");
}
