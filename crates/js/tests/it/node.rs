//! The Node.js modules as a worker imports them.

use crate::driver::{Driver, module, version};
use atoll_model::ModuleKind::{CommonJs, Esm};
use atoll_model::WorkerVersion;
use atoll_worker::Body;

fn with_node(mut version: WorkerVersion) -> Driver {
    version.compat_flags = vec!["nodejs_compat".into()];
    Driver::with(version)
}

/// Each module's `// exports:` lines, held against the module: both ways, so that neither side forgets the other.
#[test]
fn exports_are_what_modules_have() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for name in atoll_node::public_modules() {
        let source = format!(
            "import all from 'node:{name}'; import * as space from '{name}'; \
             export default {{ fetch() {{ \
             const names = Object.keys(all).filter((key) => /^[A-Za-z_$][\\w$]*$/.test(key) && key !== 'default' && !RESERVED.includes(key)).sort(); \
             const exported = Object.keys(space).filter((key) => key !== 'default').sort(); \
             const missing = names.filter((key) => !exported.includes(key)); \
             const extra = exported.filter((key) => !(key in all)); \
             return Response.json({{ missing, extra }}); }} }}; \
             const RESERVED = ['delete', 'default', 'new', 'in'];"
        );
        let mut driver = with_node(version(vec![module("index.js", Esm, source)]));
        let answer = match driver.request("GET", "/", &[], Body::Empty) {
            Ok(response) => driver.text(response),
            Err(fault) => fault.to_string(),
        };
        if answer != r#"{"missing":[],"extra":[]}"# {
            wrong.push(format!("node:{name}: {answer}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 0);
}

#[test]
fn modules_are_one_object_under_all_names() {
    let mut driver = with_node(version(vec![
        module(
            "index.js",
            Esm,
            "import a, { AsyncLocalStorage } from 'node:async_hooks'; import b from 'async_hooks'; import c from './c.cjs'; \
             export default { fetch() { return Response.json([a === b, a === c.hooks, a.AsyncLocalStorage === AsyncLocalStorage, global === globalThis]); } }",
        ),
        module("c.cjs", CommonJs, "exports.hooks = require('async_hooks');"),
    ]));
    assert_eq!(driver.get("/"), "[true,true,true,true]");
}

#[test]
fn internal_modules_cannot_be_imported() {
    for specifier in ["node:internal/errors", "internal/errors", "node:nothing", "node:"] {
        let source = format!(
            "export default {{ async fetch() {{ try {{ await import('{specifier}'); }} catch (e) {{ return new Response(e.message); }} }} }}"
        );
        let mut driver = with_node(version(vec![module("index.js", Esm, source)]));
        let answer = driver.get("/");
        assert!(answer.starts_with("No such module"), "{specifier}: {answer}");
    }
}
