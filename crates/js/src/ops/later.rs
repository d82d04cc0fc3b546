//! Scripts that are not in the startup snapshot: an isolate loads one when its worker first uses what the script holds
//! (`js/02_later.js`). An isolate is smaller and starts sooner by all that its worker never asks for.
//!
//! A script is compiled once for all isolates of the process: V8's code cache of it is made after its first evaluation, so that
//! it holds what evaluation compiled.

use crate::extension::extensions;
use deno_core::{op2, v8};
use deno_error::JsErrorBox;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The scripts, each a file of an extension. What they load must be in the snapshot or one of them.
pub(crate) const LATER: [&str; 10] = [
    "ext:atoll_js/16_compression.js",
    "ext:atoll_js/17_sockets.js",
    "ext:atoll_js/29_browsers.js",
    "ext:atoll_js/30_filereader_sync.js",
    "ext:atoll_js/32_service_connect.js",
    "ext:atoll_js/41_html.js",
    "ext:atoll_js/42_eventsource.js",
    "ext:deno_web/01_broadcast_channel.js",
    "ext:deno_web/01_urlpattern.js",
    "ext:deno_web/10_filereader.js",
];

/// What the function of a script takes.
const PARAMETER: &str = "__bootstrap";

struct Script {
    /// The body of its function.
    text: &'static str,
    code: Mutex<Option<Arc<[u8]>>>,
}

/// By name.
fn scripts() -> &'static HashMap<&'static str, Script> {
    static SCRIPTS: OnceLock<HashMap<&'static str, Script>> = OnceLock::new();
    SCRIPTS.get_or_init(|| {
        let extensions = extensions();
        let files = extensions
            .iter()
            .flat_map(|extension| extension.lazy_loaded_js_files.iter());
        let later = files.filter(|file| LATER.contains(&file.specifier));
        // Scripts that cannot be read are those of a build on another machine: none of these is.
        let texts = later.filter_map(|file| Some((file.specifier, file.load().ok()?)));
        let script = |text: &str| Script {
            text: body(text).leak(),
            code: Mutex::default(),
        };
        texts.map(|(name, text)| (name, script(text.as_str()))).collect()
    })
}

/// The body of a function that returns what the script, one expression, gives.
fn body(text: &str) -> String {
    let expression = text.trim_end_matches(|c: char| c.is_whitespace() || c == ';');
    format!("\"use strict\"; return ({expression}\n);")
}

fn script(name: &str) -> Result<&'static Script, JsErrorBox> {
    scripts()
        .get(name)
        .ok_or_else(|| JsErrorBox::generic(format!("there is no script {name} that is loaded later")))
}

/// Names of the scripts.
#[op2]
#[serde]
pub(crate) fn op_later_names() -> Vec<&'static str> {
    LATER.to_vec()
}

/// The function of a script.
#[op2]
pub(crate) fn op_later_compile<'s, 'i>(
    scope: &mut v8::PinScope<'s, 'i>,
    #[string] name: &str,
) -> Result<v8::Local<'s, v8::Function>, JsErrorBox> {
    let script = script(name)?;
    let code = script.code.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let text = v8::String::new_external_onebyte_static(scope, script.text.as_bytes())
        .ok_or_else(|| JsErrorBox::generic(format!("{name} is too long")))?;
    compile(scope, name, text, code.as_deref())
}

fn compile<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    name: &str,
    text: v8::Local<'s, v8::String>,
    code: Option<&[u8]>,
) -> Result<v8::Local<'s, v8::Function>, JsErrorBox> {
    let too_long = || JsErrorBox::generic(format!("{name} is too long"));
    let url = v8::String::new(scope, name).ok_or_else(too_long)?;
    let origin = v8::ScriptOrigin::new(scope, url.into(), 0, 0, false, -1, None, false, false, false, None);
    let parameter = v8::String::new(scope, PARAMETER).ok_or_else(too_long)?;
    let (mut source, options) = match code {
        Some(code) => (
            v8::script_compiler::Source::new_with_cached_data(text, Some(&origin), v8::CachedData::new(code)),
            v8::script_compiler::CompileOptions::ConsumeCodeCache,
        ),
        None => (
            v8::script_compiler::Source::new(text, Some(&origin)),
            v8::script_compiler::CompileOptions::NoCompileOptions,
        ),
    };
    let no_cache = v8::script_compiler::NoCacheReason::NoReason;
    v8::tc_scope!(let scope, scope);
    let function = v8::script_compiler::compile_function(scope, &mut source, &[parameter], &[], options, no_cache);
    function.ok_or_else(|| {
        let exception = scope.exception();
        let message = exception
            .map(|exception| exception.to_rust_string_lossy(scope))
            .unwrap_or_default();
        JsErrorBox::generic(format!("{name} cannot be compiled: {message}"))
    })
}

/// Keeps the code of a script that was just evaluated for the isolates to come.
#[op2(fast)]
pub(crate) fn op_later_keep(#[string] name: &str, function: v8::Local<'_, v8::Function>) -> Result<(), JsErrorBox> {
    let mut code = script(name)?.code.lock().unwrap_or_else(PoisonError::into_inner);
    if code.is_none() {
        *code = function.create_code_cache().map(|cache| cache.to_vec().into());
    }
    Ok(())
}

/// Gives the global scope a property that is what `get(name)` returns when it is first looked at. To the worker it is a plain one:
/// writable, configurable, not enumerable.
#[op2(fast)]
pub(crate) fn op_later_global(
    scope: &mut v8::PinScope<'_, '_>,
    #[string] name: &str,
    get: v8::Local<'_, v8::Function>,
) -> Result<(), JsErrorBox> {
    let global = scope.get_current_context().global(scope);
    v8::String::new(scope, name)
        .and_then(|name| {
            global.set_lazy_data_property_with_data(
                scope,
                name.into(),
                first_look,
                get.into(),
                v8::PropertyAttribute::DONT_ENUM,
                v8::SideEffectType::HasNoSideEffect,
                v8::SideEffectType::HasSideEffect,
            )
        })
        .map(drop)
        .ok_or_else(|| JsErrorBox::generic(format!("the global scope takes no {name}")))
}

fn first_look<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    name: v8::Local<'s, v8::Name>,
    args: v8::PropertyCallbackArguments<'s>,
    mut value: v8::ReturnValue<'_, v8::Value>,
) {
    let Ok(get) = v8::Local::<v8::Function>::try_from(args.data()) else {
        return;
    };
    let this = v8::undefined(scope).into();
    // Without a result there is an exception, which is whose look it was.
    if let Some(found) = get.call(scope, this, &[name.into()]) {
        value.set(found);
    }
}

/// Name and text of each script, as they are written.
pub(crate) fn texts() -> impl Iterator<Item = (&'static str, &'static str)> {
    scripts().iter().map(|(name, script)| (*name, script.text))
}
