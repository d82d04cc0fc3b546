//! One of Node's test files as a worker: its text, what stands for Node's `test/common`, and the fixtures it names.

use crate::isolate::Isolate;
use crate::selection::Suite;
use atoll_model::{CompatDate, Limits, Module, ModuleKind, TenantId, WorkerName, WorkerVersion};
use bytes::Bytes;
use serde::Deserialize;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// A file that takes longer is ended. The slowest takes a tenth of this in a debug build.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often `beforeExit` is emitted while that starts something new.
const BEFORE_EXIT_MAX: u32 = 100;

/// What stands for Node's `test/common`: the names by which tests require it, and files in `shim/`.
const SHIM: [(&str, ModuleKind, &str); 15] = [
    ("main.mjs", ModuleKind::Esm, "main.mjs"),
    ("harness", ModuleKind::CommonJs, "harness.js"),
    ("fallback/process", ModuleKind::CommonJs, "process.js"),
    ("node/test/common", ModuleKind::CommonJs, "common.js"),
    ("node/test/common/index.mjs", ModuleKind::Esm, "common.mjs"),
    ("node/test/common/fixtures", ModuleKind::CommonJs, "fixtures.js"),
    ("node/test/common/fixtures.mjs", ModuleKind::Esm, "fixtures.mjs"),
    ("node/test/common/tick", ModuleKind::CommonJs, "tick.js"),
    ("node/test/common/countdown", ModuleKind::CommonJs, "countdown.js"),
    ("node/test/common/wpt", ModuleKind::CommonJs, "wpt.js"),
    ("node_test", ModuleKind::CommonJs, "node_test.js"),
    // In the place of the engine's own: its fs holds no fixtures, and its vm refuses, as the peer's does.
    ("fs", ModuleKind::CommonJs, "fs.js"),
    ("node:fs", ModuleKind::CommonJs, "fs.js"),
    ("node:tty", ModuleKind::CommonJs, "tty.js"),
    ("vm", ModuleKind::CommonJs, "vm.js"),
];

/// `import ... from 'node:test'`.
const NODE_TEST_ESM: &str = "import all from './node_test'; export default all; \
    export const { after, afterEach, before, beforeEach, describe, it, mock, suite, test } = all;";

/// How a test's text asks for a file beside it.
const BESIDE: &[u8] = b"require('./";

/// What a test may use of the heap, bytes: some make buffers of the largest sizes.
const HEAP_BYTES: u64 = 1 << 30;

/// How a test ended.
pub enum Verdict {
    Passed,
    /// The test says that it does not apply here.
    Skipped(String),
    Failed(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Skipped(why) => write!(f, "passed: skipped itself: {why}"),
            Self::Failed(why) => write!(f, "FAILED: {why}"),
        }
    }
}

#[derive(Deserialize)]
struct Report {
    failures: Vec<String>,
    skipped: Option<String>,
}

fn module(name: impl Into<String>, kind: ModuleKind, content: impl Into<Bytes>) -> Module {
    Module {
        name: name.into(),
        kind,
        content: content.into(),
        source_map: None,
    }
}

fn version(suite: &Suite, file: &str) -> Result<WorkerVersion, String> {
    let text = suite.text(file)?;
    let mut modules = Vec::new();
    for (name, kind, file) in SHIM {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/shim").join(file);
        let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        modules.push(module(name, kind, text));
    }
    // Plain JavaScript on the modules under test: Node's own file.
    modules.push(module(
        "node/test/common/crypto",
        ModuleKind::CommonJs,
        suite.text("common/crypto.js")?,
    ));
    let test = format!("node/test/{file}");
    // JSON's string syntax is JavaScript's.
    let name = format!("export default {};", serde_json::Value::from(test.as_str()));
    modules.push(module("name", ModuleKind::Esm, name.into_bytes()));
    for (path, content) in suite.fixtures(&String::from_utf8_lossy(&text)) {
        let path = format!("node/test/fixtures/{path}");
        if let Some(stem) = path.strip_suffix(".js") {
            modules.push(module(stem, ModuleKind::CommonJs, content.clone()));
            modules.push(module(path.as_str(), ModuleKind::CommonJs, content.clone()));
        } else if path.ends_with(".json") {
            modules.push(module(path.as_str(), ModuleKind::Json, content.clone()));
        }
        modules.push(module(format!("data:/{path}"), ModuleKind::Data, content));
    }
    if text.windows(BESIDE.len()).any(|part| part == BESIDE) {
        for (path, content) in suite.beside(file) {
            modules.push(module(format!("node/test/{path}"), ModuleKind::CommonJs, content));
        }
    }
    // node:test is what runs tests, not what is tested.
    let (kind, runner) = if file.ends_with(".mjs") {
        (ModuleKind::Esm, NODE_TEST_ESM)
    } else {
        (ModuleKind::CommonJs, "module.exports = require('node_test');")
    };
    modules.push(module("node:test", kind, runner));
    modules.push(module(test, kind, text));
    Ok(WorkerVersion {
        tenant: TenantId::new("node"),
        name: WorkerName::new("test"),
        id: "1".into(),
        main_module: "main.mjs".into(),
        modules,
        compat_date: CompatDate::new(2026, 8, 1),
        compat_flags: vec!["nodejs_compat".into()],
        bindings: Vec::new(),
        crons: Vec::new(),
        tail_consumers: Vec::new(),
        limits: Limits {
            heap_bytes: HEAP_BYTES,
            // Node's tests make buffers as large as a machine has, and print what they find.
            buffer_bytes: 8 << 30,
            wasm_bytes: 8 << 30,
            log_bytes_max: u64::MAX,
            timers_max: u32::MAX,
            ..Limits::default()
        },
        outbound: Default::default(),
        created_ms: 0,
        tag: String::new(),
    })
}

/// Runs a file, `parallel/test-x.js`.
pub fn run(suite: &Suite, file: &str) -> Verdict {
    match attempt(suite, file) {
        Ok(Report { skipped: Some(why), .. }) => Verdict::Skipped(why),
        Ok(Report { failures, .. }) if failures.is_empty() => Verdict::Passed,
        Ok(Report { failures, .. }) => Verdict::Failed(failures.join("\n")),
        Err(why) => Verdict::Failed(why),
    }
}

fn attempt(suite: &Suite, file: &str) -> Result<Report, String> {
    let mut isolate = Isolate::start(version(suite, file)?, DEADLINE)?;
    isolate.get("/run")?;
    isolate.settle()?;
    for _ in 0..BEFORE_EXIT_MAX {
        if isolate.get("/before-exit")? != "true" {
            break;
        }
        isolate.settle()?;
    }
    let report = isolate.get("/exit")?;
    let mut report: Report = serde_json::from_str(&report).map_err(|error| format!("{report:?}: {error}"))?;
    report.failures.extend(isolate.exceptions());
    Ok(report)
}
