//! A worker's modules as V8 loads them.
//!
//! Every module is known under `file:///` + its name. ECMAScript modules are loaded as they are. All others get a *facade*:
//! a two-line module that imports the content from `atoll:internal` (which nothing else may import) and exports it as
//! default, so that the module map only ever holds ECMAScript and an import needs no attributes.

use crate::code::Code;
use crate::exception::MODULE_URL_PREFIX;
use crate::text::Texts;
use atoll_model::{CompatFlags, Module, ModuleKind, WorkerVersion, node_modules};
use atoll_worker::inspect::SOURCE_MAP_URL_PREFIX;
use deno_core::{
    ModuleLoadOptions, ModuleLoadReferrer, ModuleLoadResponse, ModuleLoader, ModuleSource, ModuleSourceCode,
    ModuleSpecifier, ModuleType, ResolutionKind,
};
use deno_error::JsErrorBox;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::pin::Pin;
use std::sync::Arc;

/// Loads the modules of one version, once it is known which.
pub(crate) struct Loader {
    /// Whether `atoll:script` can be imported ([`crate::JsEngineOptions::conformance`]).
    conformance: bool,
    worker: OnceCell<Worker>,
}

/// Whose modules they are.
pub(crate) struct Worker {
    pub version: Arc<WorkerVersion>,
    pub compat: CompatFlags,
    /// Whether there is a debugger, which is told where source maps are.
    pub debugged: bool,
    /// What V8 gets of ECMAScript modules. It must outlive the isolate.
    pub texts: Arc<Texts>,
    /// Where their compiled code is kept.
    pub code: Option<Code>,
}

/// The specifier that facades import.
const INTERNAL: &str = "atoll:internal";

/// Node.js modules.
const NODE_PREFIX: &str = "node:";

impl Loader {
    pub fn new(conformance: bool) -> Self {
        Self {
            conformance,
            worker: OnceCell::new(),
        }
    }

    /// Says whose modules are loaded from now on. The first one counts.
    pub fn bind(&self, worker: Worker) {
        let _ = self.worker.set(worker);
    }

    /// Where compiled code is kept, if anywhere.
    pub fn code(&self) -> Option<&Code> {
        self.worker.get()?.code.as_ref()
    }

    fn worker(&self) -> Result<&Worker, JsErrorBox> {
        let none = || JsErrorBox::generic("This isolate has no worker yet.");
        self.worker.get().ok_or_else(none)
    }
}

impl Worker {
    fn module_at(&self, url: &str) -> Option<&Module> {
        let name = url.strip_prefix(MODULE_URL_PREFIX)?;
        find(&self.version, name)
    }

    /// The module's place in the version, if it has a source map.
    fn source_map_of(&self, module: &Module) -> Option<usize> {
        let same = |other: &Module| other.name == module.name && other.source_map.is_some();
        self.version.modules.iter().position(same)
    }

    fn unresolved(&self, specifier: &str, from: &str) -> JsErrorBox {
        let bare = specifier.strip_prefix("node:").unwrap_or(specifier);
        let hint = if specifier.starts_with(NODE_PREFIX) || node_modules::is_node(bare) {
            let flag = if self.compat.enabled("nodejs_compat") || self.compat.enabled("nodejs_als") {
                "It is a Node.js module that this version of Atoll does not have."
            } else {
                "It is a Node.js module: add \"nodejs_compat\" to compatibility_flags."
            };
            format!(" {flag}")
        } else if specifier == "cloudflare:node" {
            " It needs the compatibility flag \"nodejs_compat\" and a compatibility date of 2025-09-01 or later."
                .to_owned()
        } else if specifier.starts_with("cloudflare:") {
            " This version of Atoll has \"cloudflare:workers\", \"cloudflare:sockets\" and \"cloudflare:node\"."
                .to_owned()
        } else if specifier.starts_with('.') || specifier.starts_with('/') {
            " Is the file there, and does a rule of the configuration include it?".to_owned()
        } else {
            " Is the package installed and bundled?".to_owned()
        };
        JsErrorBox::generic(format!(
            "No such module \"{specifier}\", imported from \"{from}\".{hint}"
        ))
    }
}

fn find<'a>(version: &'a WorkerVersion, name: &str) -> Option<&'a Module> {
    version.modules.iter().find(|module| module.name == name)
}

/// The module that `specifier` means when `from` (a module's name) says it.
pub(crate) fn resolve_name<'a>(version: &'a WorkerVersion, specifier: &str, from: &str) -> Option<&'a Module> {
    let base = ModuleSpecifier::parse(&format!("{MODULE_URL_PREFIX}{from}")).ok()?;
    let joined = base.join(specifier).ok()?;
    let path = |url: &str| url.strip_prefix(MODULE_URL_PREFIX).map(str::to_owned);
    let relative = path(joined.as_str());
    let without_query = relative.as_deref().and_then(|name| name.split(['?', '#']).next());
    let decoded = without_query.map(percent_decode);
    [relative.as_deref(), without_query, decoded.as_deref(), Some(specifier)]
        .into_iter()
        .flatten()
        .find_map(|name| find(version, name))
}

/// Module names are plain text; URLs escape some of it.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |at: usize| tail.get(at).and_then(|digit| (*digit as char).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The kind's name, as errors and `require` use it.
pub(crate) fn kind_name(kind: ModuleKind) -> &'static str {
    match kind {
        ModuleKind::Esm => "esm",
        ModuleKind::CommonJs => "commonjs",
        ModuleKind::Text => "text",
        ModuleKind::Data => "data",
        ModuleKind::Wasm => "wasm",
        ModuleKind::Json => "json",
    }
}

/// The URL under which V8 knows a module.
pub(crate) fn url_of(name: &str) -> Result<ModuleSpecifier, JsErrorBox> {
    ModuleSpecifier::parse(MODULE_URL_PREFIX)
        .and_then(|base| base.join(&format!("./{name}")))
        .map_err(|error| JsErrorBox::generic(format!("\"{name}\" cannot be a module's name: {error}")))
}

impl ModuleLoader for Loader {
    fn resolve(&self, specifier: &str, referrer: &str, _kind: ResolutionKind) -> Result<ModuleSpecifier, JsErrorBox> {
        let worker = self.worker()?;
        let from = referrer.strip_prefix(MODULE_URL_PREFIX).unwrap_or(referrer);
        let built_in = |specifier: &str| ModuleSpecifier::parse(specifier).map_err(JsErrorBox::from_err);
        match specifier {
            "cloudflare:sockets" | "cloudflare:workers" => return built_in(specifier),
            "cloudflare:node" if worker.compat.enabled("enable_nodejs_http_server_modules") => {
                return built_in(specifier);
            }
            "atoll:script" if self.conformance => return built_in(specifier),
            "node:async_hooks" | "async_hooks"
                if worker.compat.enabled("nodejs_als") && !worker.compat.enabled("nodejs_compat") =>
            {
                return built_in("atoll:async_hooks");
            }
            INTERNAL => {
                let importer = resolve_name(&worker.version, referrer, "");
                if referrer.starts_with(NODE_PREFIX) || importer.is_some_and(|module| module.kind != ModuleKind::Esm) {
                    return built_in(specifier);
                }
            }
            _ => {}
        }
        // A module of the worker's own comes before a Node.js module of the same bare name.
        if let Some(module) = resolve_name(&worker.version, specifier, from) {
            return url_of(&module.name);
        }
        match node_module(&worker.compat, specifier) {
            Some(name) => built_in(&format!("{NODE_PREFIX}{name}")),
            None => Err(worker.unresolved(specifier, from)),
        }
    }

    fn load(
        &self,
        url: &ModuleSpecifier,
        _referrer: Option<&ModuleLoadReferrer>,
        _options: ModuleLoadOptions,
    ) -> ModuleLoadResponse {
        if let Some(name) = url.as_str().strip_prefix(NODE_PREFIX) {
            return ModuleLoadResponse::Sync(node_facade(name, url));
        }
        ModuleLoadResponse::Sync(self.worker().and_then(|worker| worker.source(url)))
    }

    fn code_cache_ready(
        &self,
        _specifier: ModuleSpecifier,
        index: u64,
        _code: &[u8],
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        // Called for code that was given and refused, with what was compiled instead: too early, nothing has run.
        if let Some(code) = self.code() {
            code.refused(index);
        }
        Box::pin(std::future::ready(()))
    }

    fn get_source_map(&self, file_name: &str) -> Option<Cow<'_, [u8]>> {
        let module = self.worker.get()?.module_at(file_name)?;
        module.source_map.as_ref().map(|map| Cow::Borrowed(&map[..]))
    }

    fn source_map_source_exists(&self, _source_url: &str) -> Option<bool> {
        // Sources lie in the developer's project, which the engine cannot see: trust the map.
        Some(true)
    }
}

/// The Node.js module that a specifier means to this worker, named without `node:`. Bare names came with the flag's second
/// version.
pub(crate) fn node_module<'a>(compat: &CompatFlags, specifier: &'a str) -> Option<&'a str> {
    let name = match specifier.strip_prefix(NODE_PREFIX) {
        Some(name) => name,
        None if compat.enabled("nodejs_compat_v2") => specifier,
        None => return None,
    };
    let allowed = node_modules::find(name)?.is_for(compat);
    (allowed && atoll_node::is_public(name)).then_some(name)
}

/// The ECMAScript module that stands for a Node.js module: default export and named exports.
fn node_facade(name: &str, url: &ModuleSpecifier) -> Result<ModuleSource, JsErrorBox> {
    let names = atoll_node::exports(name).ok_or_else(|| JsErrorBox::generic(format!("No such module \"{url}\".")))?;
    let code = format!(
        "import {{ node }} from \"{INTERNAL}\"; const all = node(\"{name}\"); export default all; export const {{ {} }} = all;",
        names.join(", ")
    );
    Ok(ModuleSource::new(
        ModuleType::JavaScript,
        ModuleSourceCode::String(code.into()),
        url,
        None,
    ))
}

impl Worker {
    fn source(&self, url: &ModuleSpecifier) -> Result<ModuleSource, JsErrorBox> {
        let found = resolve_name(&self.version, url.as_str(), "");
        let Some(module) = found else {
            return Err(JsErrorBox::generic(format!("No such module \"{url}\".")));
        };
        let mut cached = None;
        let code = match module.kind {
            ModuleKind::Esm => {
                let same = |other: &Module| std::ptr::eq(other, module);
                let index = self.version.modules.iter().position(same).unwrap_or(usize::MAX);
                // SAFETY: whoever owns the isolate holds the texts until it is disposed of (`Worker::texts`).
                let code = unsafe { self.texts.code(index, &module.name) }?;
                match self.debugged.then(|| self.source_map_of(module)).flatten() {
                    None => {
                        cached = self.code.as_ref().and_then(|code| code.take(index, url.as_str()));
                        code
                    }
                    Some(map) => {
                        format!("{}\n//# sourceMappingURL={SOURCE_MAP_URL_PREFIX}{map}\n", code.as_str()).into()
                    }
                }
            }
            kind => {
                let function = match kind {
                    ModuleKind::CommonJs => "cjs",
                    other => kind_name(other),
                };
                // JSON's string syntax is JavaScript's.
                let name = serde_json::Value::from(module.name.as_str());
                format!("import {{ {function} }} from \"{INTERNAL}\"; export default {function}({name});").into()
            }
        };
        Ok(ModuleSource::new(
            ModuleType::JavaScript,
            ModuleSourceCode::String(code),
            url,
            cached,
        ))
    }
}
