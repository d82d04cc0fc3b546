//! The compiled code of a worker's modules: taken from the engine's cache when a module is compiled, offered to it once the
//! worker has handled an event.
//!
//! V8 looks at what it is given: its own version and flags, the length of the source. It does not look at every byte, so what
//! the cache gives must be what V8 once wrote; the keeper sees to that ([`atoll_worker::CodeCache`]), and the key names the
//! source by its hash. Code that V8 refuses is reported and compiled anew.
//!
//! V8 gives a module's code away only with the module in hand, which the module map keeps to itself. But it remembers what it
//! compiled: compiling the same text under the same name gives another module around the same functions, at no cost.

use crate::text::Texts;
use atoll_model::WorkerVersion;
use atoll_worker::{CodeCache, CodeKey};
use bytes::Bytes;
use deno_core::{JsRuntime, SourceCodeCacheInfo, v8};
use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

/// A module that was compiled: where it is, under which name V8 knows it.
struct Compiled {
    index: usize,
    url: String,
    key: CodeKey,
}

/// What one isolate takes from the cache and gives to it.
pub(crate) struct Code {
    cache: Arc<dyn CodeCache>,
    texts: Arc<Texts>,
    version: Arc<WorkerVersion>,
    /// Compiled from text: to be offered.
    fresh: RefCell<Vec<Compiled>>,
    /// Compiled from what the cache gave.
    taken: RefCell<Vec<Compiled>>,
}

impl Code {
    pub fn new(cache: Arc<dyn CodeCache>, texts: Arc<Texts>, version: Arc<WorkerVersion>) -> Self {
        Self {
            cache,
            texts,
            version,
            fresh: RefCell::default(),
            taken: RefCell::default(),
        }
    }

    /// The compiled code of a module that is about to be compiled.
    pub fn take(&self, index: usize, url: &str) -> Option<SourceCodeCacheInfo> {
        let key = self.texts.key(index, &self.version)?;
        let compiled = Compiled {
            index,
            url: url.to_owned(),
            key,
        };
        let Some(code) = self.cache.load(&key) else {
            self.fresh.borrow_mut().push(compiled);
            return None;
        };
        self.taken.borrow_mut().push(compiled);
        Some(SourceCodeCacheInfo {
            hash: index as u64,
            data: Some(Cow::Owned(code.to_vec())),
        })
    }

    /// V8 would not have what [`Self::take`] gave for this module.
    pub fn refused(&self, index: u64) {
        let mut taken = self.taken.borrow_mut();
        let Some(at) = taken.iter().position(|compiled| compiled.index as u64 == index) else {
            return;
        };
        let compiled = taken.swap_remove(at);
        self.cache.refused(&compiled.key);
        self.fresh.borrow_mut().push(compiled);
    }

    /// The modules have been compiled and evaluated.
    pub fn started(&self) {
        self.taken
            .borrow()
            .iter()
            .for_each(|compiled| self.cache.used(&compiled.key));
    }

    /// Whether there is anything to offer.
    pub fn has_fresh(&self) -> bool {
        !self.fresh.borrow().is_empty()
    }

    /// Offers the modules that were compiled from text, once: with the functions that were compiled since.
    pub fn offer(&self, runtime: &mut JsRuntime) {
        let fresh = self.fresh.take();
        let wanted = fresh.into_iter().filter(|compiled| self.cache.wants(&compiled.key));
        for compiled in wanted {
            if let Some(code) = self.serialize(runtime, &compiled) {
                self.cache.keep(&compiled.key, code);
            }
        }
    }

    fn serialize(&self, runtime: &mut JsRuntime, compiled: &Compiled) -> Option<Bytes> {
        // SAFETY: this isolate was given the text before and has kept it since.
        let text = unsafe { self.texts.code(compiled.index, &compiled.url) }.ok()?;
        deno_core::scope!(scope, runtime);
        v8::tc_scope!(let scope, scope);
        let name = v8::String::new(scope, &compiled.url)?;
        let text = text.v8_string(scope).ok()?;
        // As the module map has it: what V8 remembers is found by all of this.
        let origin = v8::ScriptOrigin::new(scope, name.into(), 0, 0, false, 0, None, false, false, true, None);
        let mut source = v8::script_compiler::Source::new(text, Some(&origin));
        let module = v8::script_compiler::compile_module(scope, &mut source)?;
        let code = module.get_unbound_module_script(scope).create_code_cache()?;
        Some(Bytes::copy_from_slice(&code))
    }
}
