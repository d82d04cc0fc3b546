//! The content of modules that are not ECMAScript, for their facades (`js/26_module_internal.js`).

use crate::modules::{kind_name, node_module, resolve_name};
use crate::ops::isolate;
use atoll_model::Module;
use deno_core::convert::Uint8Array;
use deno_core::{OpState, op2, v8};
use deno_error::JsErrorBox;
use std::cell::Cell;

pub(crate) fn with_module<T>(state: &OpState, name: &str, f: impl FnOnce(&Module) -> T) -> Result<T, JsErrorBox> {
    let isolate = isolate(state);
    let module = isolate.version.modules.iter().find(|module| module.name == name);
    module
        .map(f)
        .ok_or_else(|| JsErrorBox::generic(format!("No such module \"{name}\".")))
}

/// Lets WebAssembly be compiled on this thread, or not; gives what held before.
#[op2(fast)]
pub(crate) fn op_wasm_allow(allow: bool) -> bool {
    WASM_ALLOWED.replace(allow)
}

/// Another isolate begins on this thread, whatever the one before was in the middle of.
pub(crate) fn begin_anew() {
    WASM_ALLOWED.set(false);
}

thread_local! {
    /// Whether isolates of this thread may compile WebAssembly at the moment. Set around the compilation of a module that
    /// was deployed, in which no code of the worker runs.
    static WASM_ALLOWED: Cell<bool> = const { Cell::new(false) };
}

/// V8 asks this before it compiles WebAssembly.
pub(crate) unsafe extern "C" fn wasm_allowed(_: v8::Local<'_, v8::Context>, _: v8::Local<'_, v8::String>) -> bool {
    WASM_ALLOWED.get()
}

/// A module as text.
#[op2]
#[string]
pub(crate) fn op_module_text(state: &OpState, #[string] name: &str) -> Result<String, JsErrorBox> {
    with_module(state, name, |module| {
        String::from_utf8_lossy(&module.content).into_owned()
    })
}

/// A module as bytes; each call copies.
#[op2]
pub(crate) fn op_module_bytes(state: &OpState, #[string] name: &str) -> Result<Uint8Array, JsErrorBox> {
    with_module(state, name, |module| module.content.to_vec().into())
}

/// The names of the worker's modules.
#[op2]
pub(crate) fn op_module_names(state: &OpState) -> Vec<String> {
    let modules = &isolate(state).version.modules;
    modules.iter().map(|module| module.name.clone()).collect()
}

/// What `require(specifier)` in `from` means: kind and name.
#[op2]
pub(crate) fn op_cjs_resolve(
    state: &OpState,
    #[string] from: &str,
    #[string] specifier: &str,
) -> Result<(String, String), JsErrorBox> {
    let isolate = isolate(state);
    let own = |module: &Module| (kind_name(module.kind).to_owned(), module.name.clone());
    // A module of the worker's own that has the very name comes before Node's; one beside the caller does not: `crypto` is
    // Node's, `./crypto` is not.
    if let Some(module) = isolate.version.modules.iter().find(|module| module.name == specifier) {
        return Ok(own(module));
    }
    if let Some(name) = node_module(&isolate.compat, specifier) {
        return Ok(("node".to_owned(), name.to_owned()));
    }
    resolve_name(&isolate.version, specifier, from)
        .map(own)
        .ok_or_else(|| JsErrorBox::generic(format!("No such module \"{specifier}\", required from \"{from}\".")))
}
