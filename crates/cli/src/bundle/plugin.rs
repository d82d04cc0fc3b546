//! What a worker's imports mean beyond JavaScript: `node:` and `cloudflare:` modules, aliases, and files that the rules take
//! as text, bytes or WebAssembly, which stay modules of their own beside the bundle.

use super::names::{module_name, specifier};
use super::{BuildInput, relative};
use crate::config::normal_path;
use crate::modules::Rules;
use atoll_model::node_modules::is_node;
use atoll_model::{Module, ModuleKind};
use bytes::Bytes;
use rolldown::ModuleType;
use rolldown::plugin::{
    HookLoadArgs, HookLoadOutput, HookLoadReturn, HookResolveIdArgs, HookResolveIdOutput, HookResolveIdReturn,
    HookUsage, Plugin, PluginContext, PluginContextResolveOptions, SharedLoadPluginContext,
};
use rolldown_common::side_effects::HookSideEffects;
use rolldown_common::{ImportKind, ResolvedExternal};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Prefix of the made-up module that gives CommonJS code an external module: `require` does not exist in a worker.
const REQUIRED: &str = "\0atoll:required:";

/// The hooks, and what they gathered.
#[derive(Debug)]
pub(crate) struct WorkerModules {
    rules: Rules,
    root: PathBuf,
    base_dir: PathBuf,
    /// The bundle's directory within the version: what emitted specifiers are relative to.
    output_dir: String,
    alias: Vec<(String, String)>,
    preserve_file_names: bool,
    node_compat: bool,
    /// With `find_additional_modules`: file to name. Imports of these are left as imports.
    additional: BTreeMap<PathBuf, String>,
    gathered: Mutex<Gathered>,
}

/// What imports led to.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Modules beside the bundle, by name.
    pub modules: BTreeMap<String, Module>,
    /// Their files.
    pub inputs: BTreeSet<PathBuf>,
    pub warnings: BTreeSet<String>,
}

impl WorkerModules {
    pub(crate) fn new(input: &BuildInput, output_dir: &str, additional: BTreeMap<PathBuf, String>) -> Self {
        Self {
            rules: Rules::new(&input.rules),
            root: input.root.clone(),
            base_dir: input.base_dir.clone(),
            output_dir: output_dir.to_owned(),
            alias: input.alias.clone(),
            preserve_file_names: input.preserve_file_names,
            node_compat: input.node_compat,
            additional,
            gathered: Mutex::default(),
        }
    }

    /// Takes what was gathered; the hooks are not called any more.
    pub(crate) fn take(&self) -> Gathered {
        std::mem::take(&mut *self.gathered())
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        // A panic elsewhere leaves complete entries.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the configured aliases make of a specifier. The longest name wins; a name also stands for its subpaths.
    fn aliased(&self, specifier: &str) -> Option<String> {
        let (name, target) = self
            .alias
            .iter()
            .filter(|(name, _)| {
                specifier
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .max_by_key(|(name, _)| name.len())?;
        let target = format!("{target}{}", &specifier[name.len()..]);
        if target.starts_with("./") || target.starts_with("../") {
            return Some(normal_path(&self.root.join(target)).to_string_lossy().into_owned());
        }
        Some(target)
    }

    /// The kind that the rules give an import, by what it says or by where it leads.
    fn kind(&self, specifier: &str, path: Option<&Path>) -> Option<ModuleKind> {
        let trimmed = specifier.trim_start_matches("../").trim_start_matches("./");
        let by_path = || self.rules.kind(&relative(path?, &self.base_dir));
        self.rules.kind(trimmed).or_else(by_path)
    }

    /// Keeps the file at `path` as a module of its own and says what to import instead.
    fn attach(&self, path: &Path, kind: ModuleKind, content: Vec<u8>) -> Result<String, anyhow::Error> {
        let shown = relative(path, &self.root);
        if kind != ModuleKind::Data && kind != ModuleKind::Wasm {
            std::str::from_utf8(&content).map_err(|error| anyhow::anyhow!("{shown} is not UTF-8 text: {error}"))?;
        }
        let name = self
            .additional
            .get(path)
            .cloned()
            .unwrap_or_else(|| module_name(path, &content, self.preserve_file_names));
        let import = specifier(&self.output_dir, &name);
        let content = Bytes::from(content);
        let mut gathered = self.gathered();
        gathered.inputs.insert(path.to_path_buf());
        if gathered
            .modules
            .get(&name)
            .is_some_and(|module| module.content != content)
        {
            anyhow::bail!(
                "{shown} and another file are both named {name}: rename one, or set \"preserve_file_names\" to false"
            );
        }
        let module = Module {
            name: name.clone(),
            kind,
            content,
            source_map: None,
        };
        gathered.modules.insert(name, module);
        Ok(import)
    }
}

/// An import that stays an import.
fn external(specifier: &str, kind: ImportKind, pure: bool) -> HookResolveIdOutput {
    if kind == ImportKind::Require {
        return HookResolveIdOutput::from_id(format!("{REQUIRED}{specifier}"));
    }
    HookResolveIdOutput {
        external: Some(ResolvedExternal::Bool(true)),
        normalize_external_id: Some(false),
        side_effects: pure.then_some(HookSideEffects::False),
        ..HookResolveIdOutput::from_id(specifier)
    }
}

impl Plugin for WorkerModules {
    fn name(&self) -> Cow<'static, str> {
        "atoll".into()
    }

    fn register_hook_usage(&self) -> HookUsage {
        HookUsage::ResolveId | HookUsage::Load
    }

    async fn resolve_id(&self, ctx: &PluginContext, args: &HookResolveIdArgs<'_>) -> HookResolveIdReturn {
        let Some(importer) = args.importer.filter(|_| !args.is_entry) else {
            return Ok(None);
        };
        if importer.starts_with(REQUIRED) {
            return Ok(Some(external(args.specifier, ImportKind::Import, false)));
        }
        let aliased = self.aliased(args.specifier);
        let specifier = aliased.as_deref().unwrap_or(args.specifier);
        if ["node:", "cloudflare:", "workerd:"]
            .iter()
            .any(|prefix| specifier.starts_with(prefix))
        {
            return Ok(Some(external(specifier, args.kind, false)));
        }
        let resolve = async |specifier: &str| {
            let options = PluginContextResolveOptions {
                import_kind: args.kind,
                skip_self: true,
                ..PluginContextResolveOptions::default()
            };
            ctx.resolve(specifier, Some(importer), Some(options)).await
        };
        if is_node(specifier) {
            if !self.node_compat {
                if let Ok(resolved) = resolve(specifier).await? {
                    return Ok(Some(HookResolveIdOutput::from_resolved_id(resolved)));
                }
                self.gathered().warnings.insert(format!(
                    "{} imports \"{specifier}\", which is a module of Node.js: add \"nodejs_compat\" to \"compatibility_flags\"",
                    relative(Path::new(importer), &self.root)
                ));
            }
            return Ok(Some(external(&format!("node:{specifier}"), args.kind, false)));
        }

        // `file.wasm?module` is the file `file.wasm`.
        let plain = specifier.split_once('?').map_or(specifier, |(path, _)| path);
        let near = (plain.starts_with("./") || plain.starts_with("../"))
            .then(|| Path::new(importer).parent())
            .flatten()
            .map(|directory| normal_path(&directory.join(plain)))
            .or_else(|| plain.starts_with('/').then(|| PathBuf::from(plain)));
        let kind = self.kind(specifier, near.as_deref());
        if let Some(kind @ (ModuleKind::Text | ModuleKind::Data | ModuleKind::Wasm | ModuleKind::Json)) = kind {
            let path = match near.filter(|path| path.is_file()) {
                Some(path) => Some(path),
                None => match resolve(plain).await? {
                    Ok(resolved) => Some(PathBuf::from(resolved.id.as_str())),
                    Err(_) => None,
                },
            };
            if let Some(path) = path {
                // The bundler watches what it loads itself; this it does not load.
                self.gathered().inputs.insert(path.clone());
                let content = tokio::fs::read(&path)
                    .await
                    .map_err(|error| anyhow::anyhow!("cannot read {}: {error}", relative(&path, &self.root)))?;
                return Ok(Some(external(&self.attach(&path, kind, content)?, args.kind, true)));
            }
        } else if !self.additional.is_empty()
            && let Ok(resolved) = resolve(plain).await?
        {
            let path = Path::new(resolved.id.as_str());
            if let Some(name) = self.additional.get(path) {
                return Ok(Some(external(
                    &self::specifier(&self.output_dir, name),
                    args.kind,
                    false,
                )));
            }
            return Ok(Some(HookResolveIdOutput::from_resolved_id(resolved)));
        }
        match aliased {
            Some(_) => match resolve(specifier).await? {
                Ok(resolved) => Ok(Some(HookResolveIdOutput::from_resolved_id(resolved))),
                Err(_) => anyhow::bail!(
                    "\"{}\" is an alias of \"{specifier}\", which cannot be found (imported by {})",
                    args.specifier,
                    relative(Path::new(importer), &self.root)
                ),
            },
            // The bundler's own resolver, whose error shows the import.
            None => Ok(None),
        }
    }

    async fn load(&self, _ctx: SharedLoadPluginContext, args: &HookLoadArgs<'_>) -> HookLoadReturn {
        let Some(specifier) = args.id.strip_prefix(REQUIRED) else {
            return Ok(None);
        };
        let quoted = serde_json::Value::String(specifier.to_owned());
        // An export named "module.exports" is what `require` gives. Modules of Cloudflare have no default export.
        let code = if specifier.starts_with("cloudflare:") {
            format!("import * as all from {quoted}; export {{ all as \"module.exports\" }};")
        } else {
            format!("import one from {quoted}; export {{ one as \"module.exports\" }};")
        };
        Ok(Some(HookLoadOutput {
            code: code.into(),
            module_type: Some(ModuleType::Js),
            ..HookLoadOutput::default()
        }))
    }
}

impl WorkerModules {
    /// As the bundler takes plugins.
    pub(crate) fn shared(self: &Arc<Self>) -> Arc<dyn rolldown::plugin::Pluginable> {
        Arc::clone(self) as _
    }
}
