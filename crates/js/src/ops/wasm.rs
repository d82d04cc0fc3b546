//! What the stand-ins of WebAssembly's constructors ask (`js/04_wasm.js`, [`crate::wasm`]).

use crate::ops::isolate;
use crate::state::IsolateState;
use crate::wasm::{capped, facts, pages_max};
use atoll_model::Limit;
use deno_core::convert::Uint8Array;
use deno_core::{OpState, op2, v8};
use deno_error::JsErrorBox;

/// JavaScript's numbers are pages or counts here: not negative, and too large ones are too large in any case.
fn pages(number: f64) -> u64 {
    number as u64
}

/// Pages of 64 KiB that one WebAssembly memory of this worker may have. `buffer` is the getter that measures them.
#[op2(fast)]
pub(crate) fn op_wasm_begin(
    scope: &mut v8::PinScope<'_, '_>,
    state: &OpState,
    buffer: v8::Local<'_, v8::Function>,
) -> u32 {
    let isolate = isolate(state);
    isolate.wasm.measure_by(v8::Global::new(scope, buffer));
    pages_max(&isolate.version.limits)
}

/// A deployed module's bytes, its memories held to the worker's limit.
#[op2]
pub(crate) fn op_wasm_bytes(state: &OpState, #[string] name: &str) -> Result<Uint8Array, JsErrorBox> {
    let pages = pages_max(&isolate(state).version.limits);
    crate::ops::module::with_module(state, name, |module| capped(&module.content, pages).into_owned().into())
}

/// What a module says of its memories: how many, pages at first, pages at most, whether a failed instance can be reached,
/// whether threads are to share one.
/// Null for what is no module.
#[op2]
pub(crate) fn op_wasm_facts(state: &OpState, module: v8::Local<'_, v8::Value>) -> Option<Vec<f64>> {
    let module = v8::Local::<v8::WasmModuleObject>::try_from(module).ok()?;
    let compiled = module.get_compiled_module();
    let facts = facts(compiled.get_wire_bytes_ref(), pages_max(&isolate(state).version.limits));
    Some(vec![
        facts.count.into(),
        facts.min as f64,
        facts.max as f64,
        f64::from(u8::from(facts.escapes)),
        f64::from(u8::from(facts.shared)),
    ])
}

/// Throws unless there is room for so many pages more.
#[op2(fast)]
pub(crate) fn op_wasm_room(scope: &mut v8::PinScope<'_, '_>, state: &OpState, more: f64) -> Result<(), JsErrorBox> {
    room(scope, &isolate(state), pages(more))
}

fn room(scope: &mut v8::PinScope<'_, '_>, isolate: &IsolateState, more: u64) -> Result<(), JsErrorBox> {
    let Some(all) = isolate.wasm.too_many(scope, more) else {
        return Ok(());
    };
    isolate.hit(Limit::WasmMemory, 0);
    let bytes = isolate.version.limits.wasm_bytes;
    Err(JsErrorBox::range_error(format!(
        "WebAssembly: could not allocate memory: {all} pages are more than {} (limit wasm_bytes = {bytes})",
        bytes >> 16
    )))
}

/// Throws unless a memory has room to grow by so many pages.
#[op2(fast)]
pub(crate) fn op_wasm_grow(
    scope: &mut v8::PinScope<'_, '_>,
    state: &OpState,
    memory: v8::Local<'_, v8::Object>,
    delta: f64,
) -> Result<(), JsErrorBox> {
    let isolate = isolate(state);
    let more = isolate.wasm.more(scope, memory, pages(delta));
    room(scope, &isolate, more)
}

/// An instance is being made whose memories can have so many pages.
#[op2(fast)]
pub(crate) fn op_wasm_enter(state: &OpState, most: f64) {
    let isolate = isolate(state);
    isolate.wasm.enter(pages(most));
    isolate.meter.look_always();
}

/// It is made, or was not.
#[op2(fast)]
pub(crate) fn op_wasm_leave(state: &OpState, most: f64) {
    isolate(state).wasm.leave(pages(most));
}

/// Counts a memory from now on; true if it was not counted before.
#[op2(fast)]
pub(crate) fn op_wasm_keep(
    scope: &mut v8::PinScope<'_, '_>,
    state: &OpState,
    memory: v8::Local<'_, v8::Value>,
) -> bool {
    let isolate = isolate(state);
    isolate.meter.look_always();
    isolate.wasm.keep(scope, memory)
}

/// Counts what an instance does not show, as so many pages.
#[op2(fast)]
pub(crate) fn op_wasm_keep_hidden(
    scope: &mut v8::PinScope<'_, '_>,
    state: &OpState,
    instance: v8::Local<'_, v8::Object>,
    most: f64,
) {
    isolate(state).wasm.keep_hidden(scope, instance, pages(most));
}
