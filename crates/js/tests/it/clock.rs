//! What of the host's time and code generation reaches JavaScript, and the options that lift it.

use crate::driver::*;
use atoll_js::JsEngineOptions;
use atoll_model::ModuleKind;

/// Runs `code` as a handler's body; what it returns as JSON.
fn run(code: &str, options: JsEngineOptions) -> String {
    let source =
        format!("export default {{ async fetch() {{ return Response.json(await (async () => {{ {code} }})()); }} }}");
    let version = version(vec![module("index.js", ModuleKind::Esm, source)]);
    Driver::with_options(version, options).get("/")
}

const SPIN: &str = "const start = [Date.now(), performance.now(), +new Date()]; \
    let x = 0; const end = performance.now() + 20; for (let i = 0; i < 1e6 && performance.now() < end; i++) x += i; \
    const now = [Date.now(), performance.now(), +new Date()]; \
    return [...now.map((t, i) => t > start[i]), performance.timeOrigin > 0]";

#[test]
fn time_stands_still_unless_lifted() {
    let lifted = JsEngineOptions {
        conformance: true,
        ..JsEngineOptions::default()
    };
    // A loop that waits for the clock ends only where the clock runs.
    assert_eq!(run(SPIN, JsEngineOptions::default()), "[false,false,false,false]");
    assert_eq!(run(SPIN, lifted), "[true,true,true,true]");
    let identity = "return [Date.prototype.constructor === Date, new Date() instanceof Date, Date.name, Date.length, \
        new File([], 'x').constructor === File, performance.mark('x').constructor === PerformanceMark]";
    for options in [JsEngineOptions::default(), lifted] {
        assert_eq!(run(identity, options), r#"[true,true,"Date",7,true,true]"#);
    }
}

#[test]
fn temporal_and_intl_show_the_same_time() {
    let code = "let x = 0; const before = Date.now(); for (let i = 0; i < 3e7; i++) x += i; \
        const digits = new Intl.DateTimeFormat('en', { fractionalSecondDigits: 3, second: '2-digit' }); \
        const same = [digits.format() === digits.format(before), \
            JSON.stringify(digits.formatToParts()) === JSON.stringify(digits.formatToParts(before))]; \
        if (globalThis.Temporal !== undefined) { \
            const { Now } = Temporal; \
            same.push(Now.instant().epochMilliseconds === before, Now.zonedDateTimeISO('UTC').epochMilliseconds === before, \
                Now.plainDateTimeISO('UTC').millisecond === before % 1000, Now.plainTimeISO('UTC').millisecond === before % 1000, \
                Now.plainDateISO('UTC').toString() === new Date(before).toISOString().slice(0, 10)); \
        } \
        return same.every(Boolean)";
    assert_eq!(run(code, JsEngineOptions::default()), "true");
}

#[test]
fn wasm_from_bytes_only_where_lifted() {
    let code = "const m = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])); return WebAssembly.Module.exports(m)";
    let lifted = JsEngineOptions {
        conformance: true,
        ..JsEngineOptions::default()
    };
    assert_eq!(run(code, lifted), "[]");
    let refused = format!("try {{ {code} }} catch (error) {{ return error.name }}");
    assert_eq!(run(&refused, JsEngineOptions::default()), "\"CompileError\"");
}
