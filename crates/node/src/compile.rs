//! Compiles a module's text into its function, with V8's code cache shared by the process.

use crate::source::{Text, text};
use deno_core::{op2, v8};
use deno_error::JsErrorBox;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What the function of a module takes, in order.
const PARAMETERS: [&str; 4] = ["exports", "require", "module", "internal"];

/// Code caches by module name. Made after a module's first evaluation, so that it holds what evaluation compiled.
fn caches() -> &'static Mutex<HashMap<String, Arc<[u8]>>> {
    static CACHES: OnceLock<Mutex<HashMap<String, Arc<[u8]>>>> = OnceLock::new();
    CACHES.get_or_init(Mutex::default)
}

fn cached(name: &str) -> Option<Arc<[u8]>> {
    let caches = caches().lock().unwrap_or_else(PoisonError::into_inner);
    caches.get(name).cloned()
}

/// The function of a module; undefined if there is no such module.
#[op2]
pub(crate) fn op_node_compile<'s, 'i>(
    scope: &mut v8::PinScope<'s, 'i>,
    #[string] name: &str,
) -> Result<v8::Local<'s, v8::Value>, JsErrorBox> {
    let Some(text) = text(name) else {
        return Ok(v8::undefined(scope).into());
    };
    let too_long = || JsErrorBox::generic(format!("node:{name} cannot be compiled: its text is too long"));
    let (code, cache) = match &text {
        Text::Embedded(text) => (
            v8::String::new_external_onebyte_static(scope, text.as_bytes()),
            cached(name),
        ),
        #[cfg(debug_assertions)]
        Text::File(text) => (v8::String::new(scope, text), None),
    };
    let code = code.ok_or_else(too_long)?;
    let url = v8::String::new(scope, &format!("node:{name}")).ok_or_else(too_long)?;
    let origin = v8::ScriptOrigin::new(scope, url.into(), 0, 0, false, -1, None, false, false, false, None);
    let mut parameters = Vec::with_capacity(PARAMETERS.len());
    for parameter in PARAMETERS {
        parameters.push(v8::String::new(scope, parameter).ok_or_else(too_long)?);
    }
    let mut source = match &cache {
        Some(cache) => {
            v8::script_compiler::Source::new_with_cached_data(code, Some(&origin), v8::CachedData::new(cache))
        }
        None => v8::script_compiler::Source::new(code, Some(&origin)),
    };
    let options = match cache {
        Some(_) => v8::script_compiler::CompileOptions::ConsumeCodeCache,
        None => v8::script_compiler::CompileOptions::NoCompileOptions,
    };
    let no_cache = v8::script_compiler::NoCacheReason::NoReason;
    v8::tc_scope!(let scope, scope);
    let function = v8::script_compiler::compile_function(scope, &mut source, &parameters, &[], options, no_cache);
    match function {
        Some(function) => Ok(function.into()),
        None => {
            let message = scope
                .exception()
                .map(|exception| exception.to_rust_string_lossy(scope))
                .unwrap_or_default();
            Err(JsErrorBox::generic(format!(
                "node:{name} cannot be compiled: {message}"
            )))
        }
    }
}

/// Keeps the code cache of a module that was just evaluated for the isolates to come.
#[op2(fast)]
pub(crate) fn op_node_cache(#[string] name: &str, function: v8::Local<'_, v8::Function>) {
    #[cfg(debug_assertions)]
    if matches!(text(name), Some(Text::File(_))) {
        return;
    }
    if cached(name).is_some() {
        return;
    }
    let Some(cache) = function.create_code_cache() else {
        return;
    };
    let mut caches = caches().lock().unwrap_or_else(PoisonError::into_inner);
    caches.insert(name.to_owned(), cache.to_vec().into());
}
