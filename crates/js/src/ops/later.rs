//! Scripts that are not in the startup snapshot: an isolate loads one when its worker first uses what the script holds
//! (`js/02_later.js`). An isolate is smaller and starts sooner by all that its worker never asks for.
//!
//! Their texts are part of the program, beside the snapshot ([`pack`]): an extension names its files by where they were when it was
//! built, and a child process, or another machine, has no such files.
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

/// What [`pack`] made, where engines run on a snapshot.
static PACKED: OnceLock<&'static str> = OnceLock::new();

/// Has the scripts taken from `packed`, which [`pack`] made, from now on.
pub(crate) fn take_from(packed: &'static str) {
    PACKED.get_or_init(|| packed);
}

/// By name.
fn scripts() -> &'static HashMap<&'static str, Script> {
    static SCRIPTS: OnceLock<HashMap<&'static str, Script>> = OnceLock::new();
    SCRIPTS.get_or_init(|| {
        let texts = match PACKED.get() {
            Some(packed) => unpack(packed).collect(),
            None => of_files(),
        };
        let script = |text| Script {
            text,
            code: Mutex::default(),
        };
        texts.into_iter().map(|(name, text)| (name, script(text))).collect()
    })
}

/// The scripts as the extensions name their files, which are where this was built. One that cannot be read is missing.
fn of_files() -> Vec<(&'static str, &'static str)> {
    let extensions = extensions();
    let files = extensions
        .iter()
        .flat_map(|extension| extension.lazy_loaded_js_files.iter());
    let later = files.filter(|file| LATER.contains(&file.specifier));
    let texts = later.filter_map(|file| Some((file.specifier, file.load().ok()?)));
    texts.map(|(name, text)| (name, &*body(text.as_str()).leak())).collect()
}

/// Every script in one text: a line with its name and its length in bytes, then the script.
///
/// # Errors
/// Names a script that cannot be read.
pub(crate) fn pack() -> Result<String, String> {
    let texts = of_files();
    let mut packed = String::new();
    for name in LATER {
        let text = texts.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        let text = text.ok_or_else(|| format!("{name} cannot be read"))?;
        // V8 is given them as they lie in memory, a byte a character.
        if !text.is_ascii() {
            return Err(format!("{name} is not ASCII"));
        }
        packed.push_str(&format!("{name} {}\n{text}", text.len()));
    }
    Ok(packed)
}

/// What [`pack`] made, piece by piece. Ends where it is not that.
fn unpack(mut packed: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    std::iter::from_fn(move || {
        let (line, rest) = packed.split_once('\n')?;
        let (name, length) = line.split_once(' ')?;
        let (text, rest) = rest.split_at_checked(length.parse().ok()?)?;
        packed = rest;
        Some((name, text))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_is_packed_and_found_again() {
        let packed: &'static str = pack().unwrap().leak();
        let found: Vec<_> = unpack(packed).collect();
        assert_eq!(found.len(), LATER.len());
        for (name, text) in of_files() {
            assert!(found.contains(&(name, text)), "{name}");
        }
    }
}
