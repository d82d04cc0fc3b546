//! The bundler: rolldown as a library, set up the way wrangler sets up its own (conditions, fields, definitions, names), so
//! that a project which builds there builds here.
//!
//! The output is a set of ECMAScript modules in one directory: the entry, under the name of `main`, and a chunk for what
//! dynamic `import()` splits off. Every build starts from nothing: nothing stale can be left from the one before, and it
//! is fast enough (see the figures that `atoll dev` prints).

use super::names::entry_name;
use super::plugin::WorkerModules;
use super::{BuildError, BuildFailure, BuildInput, Built, Bundler, relative};
use crate::config::normal_path;
use crate::modules::{self, Rules};
use async_trait::async_trait;
use atoll_model::{Module, ModuleKind};
use bytes::Bytes;
use rolldown::{
    BundlerOptions, BundlerTransformOptions, Either, ExperimentalOptions, InputItem, JsxOptions, ModuleType, Platform,
    RawMinifyOptions, ResolveOptions, SourceMapPathTransform, SourceMapType, TsConfig,
};
use rolldown_common::Output;
use rolldown_error::{BuildDiagnostic, DiagnosticOptions, EventKind};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rolldown;

/// What packages are asked for, beside `import` or `require` and `default`, which the resolver adds.
const CONDITIONS: [&str; 3] = ["workerd", "worker", "browser"];

/// What the platform is called in `navigator.userAgent`: programs ask for this to know that they are in a worker.
const USER_AGENT: &str = "\"Cloudflare-Workers\"";

#[async_trait]
impl Bundler for Rolldown {
    async fn bundle(&self, input: &BuildInput) -> Result<Built, BuildFailure> {
        let input = input.clone();
        // A task of its own: linking and printing take CPU between awaits, and the caller has others to serve.
        match Abandoning(tokio::spawn(async move { bundle(&input).await }))
            .join()
            .await
        {
            Ok(result) => result,
            Err(error) => Err(BuildFailure::new(BuildError::new(format!(
                "the bundler ended early: {error}"
            )))),
        }
    }
}

/// A task that ends with whoever waits for it.
struct Abandoning<T>(tokio::task::JoinHandle<T>);

impl<T> Abandoning<T> {
    async fn join(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for Abandoning<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn bundle(input: &BuildInput) -> Result<Built, BuildFailure> {
    let (additional, mut beside) = additional_modules(input).await?;
    let from = if input.find_additional_modules {
        relative(&input.main, &input.base_dir)
    } else {
        input
            .main
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    let main_module = entry_name(from.trim_start_matches("../"));
    let output_dir = main_module
        .rsplit_once('/')
        .map_or("", |(directory, _)| directory)
        .to_owned();
    let additional_files: Vec<PathBuf> = additional.keys().cloned().collect();
    let plugin = Arc::new(WorkerModules::new(input, &output_dir, additional));

    let options = options(input, &main_module, &output_dir);
    let mut bundler = rolldown::Bundler::with_plugins(options, vec![plugin.shared()])
        .map_err(|errors| failure(errors.into_vec(), input, Vec::new()))?;
    let result = bundler.generate().await;
    let read = bundler
        .watch_files()
        .iter()
        .map(|file| PathBuf::from(file.as_str()))
        .collect::<Vec<_>>();
    // Hooks of plugins only: there is nothing that could fail and matter.
    let _ = bundler.close().await;

    let gathered = plugin.take();
    let mut inputs = read;
    inputs.extend(gathered.inputs);
    inputs.push(input.main.clone());
    inputs.extend(tsconfig(input));
    inputs.extend(additional_files);
    inputs.sort();
    inputs.dedup();
    let output = result.map_err(|errors| failure(errors.into_vec(), input, inputs.clone()))?;

    // A package that is not there is no external module: nothing could provide it. Only an `import()`, which may be guarded,
    // is left to fail when it is reached.
    let missing: Vec<BuildError> = output
        .warnings
        .iter()
        .filter(|warning| matches!(warning.kind(), EventKind::UnresolvedImport))
        .map(|warning| describe(warning, input))
        .filter(|error| !is_dynamic_import(error, input))
        .collect();
    if !missing.is_empty() {
        return Err(BuildFailure {
            errors: missing,
            inputs,
        });
    }
    let mut warnings: Vec<String> = gathered.warnings.into_iter().collect();
    warnings.extend(
        output
            .warnings
            .iter()
            .filter(|warning| is_about_project(warning))
            .map(|warning| describe(warning, input).to_string()),
    );
    let mut modules = Vec::with_capacity(output.assets.len() + gathered.modules.len());
    for output in output.assets {
        let Output::Chunk(chunk) = output else { continue };
        let source_map = chunk.map.as_ref().map(|map| Bytes::from(map.to_json_string()));
        let (name, code) = match Arc::try_unwrap(chunk) {
            Ok(chunk) => (chunk.filename.to_string(), chunk.code),
            Err(chunk) => (chunk.filename.to_string(), chunk.code.clone()),
        };
        modules.push(Module {
            name,
            kind: ModuleKind::Esm,
            content: Bytes::from(code),
            source_map,
        });
    }
    // The entry first, then by name: the order of chunks is not the bundler's promise.
    modules.sort_by(|a, b| (a.name != main_module, &a.name).cmp(&(b.name != main_module, &b.name)));
    if modules.first().is_none_or(|first| first.name != main_module) {
        return Err(BuildFailure {
            errors: vec![BuildError::new(format!(
                "the bundler made no module {main_module}: it made {}",
                modules.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ")
            ))],
            inputs,
        });
    }
    beside.extend(gathered.modules);
    modules.extend(beside.into_values());
    Ok(Built {
        modules,
        main_module,
        inputs,
        warnings,
    })
}

/// With `find_additional_modules`: the files that are modules although they may not be imported by name, and the modules by name.
async fn additional_modules(
    input: &BuildInput,
) -> Result<(BTreeMap<PathBuf, String>, BTreeMap<String, Module>), BuildFailure> {
    if !input.find_additional_modules {
        return Ok(Default::default());
    }
    let input = input.clone();
    // Reads a directory tree: not on a thread that others wait for.
    let collected = tokio::task::spawn_blocking(move || {
        let rules = Rules::new(&input.rules);
        let collected = modules::collect_additional(&input, &rules);
        collected.map(|built| (built, input))
    });
    let (built, input) = collected
        .await
        .map_err(|error| BuildFailure::new(BuildError::new(format!("reading the modules ended early: {error}"))))??;
    let names = built.modules.iter().map(|module| {
        let path = input.base_dir.join(&module.name);
        (path, module.name.clone())
    });
    let names = names.collect();
    Ok((
        names,
        built
            .modules
            .into_iter()
            .map(|module| (module.name.clone(), module))
            .collect(),
    ))
}

/// The `tsconfig.json` that counts for the whole worker: the configured one, or the nearest to the entry, whatever its `include`
/// says: what the entry imports is compiled because it is imported.
fn tsconfig(input: &BuildInput) -> Option<PathBuf> {
    input.tsconfig.clone().or_else(|| {
        input
            .main
            .ancestors()
            .skip(1)
            .map(|directory| directory.join("tsconfig.json"))
            .find(|path| path.is_file())
    })
}

fn options(input: &BuildInput, main_module: &str, output_dir: &str) -> BundlerOptions {
    let node_env = if input.development {
        "\"development\""
    } else {
        "\"production\""
    };
    let implied = [
        ("navigator.userAgent", USER_AGENT),
        ("process.env.NODE_ENV", node_env),
        ("global.process.env.NODE_ENV", node_env),
        ("globalThis.process.env.NODE_ENV", node_env),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    // The configured ones last: they win.
    let define = implied.into_iter().chain(input.define.iter().cloned()).collect();
    let jsx = input.jsx.clone().map(|(factory, fragment)| {
        Either::Right(JsxOptions {
            runtime: Some("classic".to_owned()),
            pragma: Some(factory),
            pragma_frag: Some(fragment),
            ..JsxOptions::default()
        })
    });
    let below = |name: &str| {
        if output_dir.is_empty() {
            name.to_owned()
        } else {
            format!("{output_dir}/{name}")
        }
    };
    BundlerOptions {
        input: Some(vec![InputItem {
            name: Some("entry".to_owned()),
            import: input.main.to_string_lossy().into_owned(),
        }]),
        cwd: Some(input.root.clone()),
        platform: Some(Platform::Browser),
        entry_filenames: Some(main_module.to_owned().into()),
        chunk_filenames: Some(below("[name]-[hash].js").into()),
        // Nothing is written; source maps are relative to here.
        dir: Some(input.root.to_string_lossy().into_owned()),
        sourcemap: Some(SourceMapType::Hidden),
        sourcemap_path_transform: Some(sources_of(&input.root)),
        // JSX in `.js` files, as wrangler accepts it.
        module_types: Some(
            [".js", ".mjs", ".cjs"]
                .map(|extension| (extension.to_owned(), ModuleType::Jsx))
                .into_iter()
                .collect(),
        ),
        resolve: Some(ResolveOptions {
            condition_names: Some(CONDITIONS.map(str::to_owned).to_vec()),
            ..ResolveOptions::default()
        }),
        minify: Some(match (input.minify, input.development) {
            (true, _) => RawMinifyOptions::Bool(true),
            (false, false) => RawMinifyOptions::DeadCodeEliminationOnly,
            // Prints and parses the bundle once more for a few lines less: half of the time of a large build.
            (false, true) => RawMinifyOptions::Bool(false),
        }),
        define: Some(define),
        keep_names: Some(input.keep_names),
        transform: Some(BundlerTransformOptions {
            jsx,
            ..BundlerTransformOptions::default()
        }),
        tsconfig: Some(match tsconfig(input) {
            Some(path) => TsConfig::Manual(path),
            None => TsConfig::Auto(true),
        }),
        experimental: Some(ExperimentalOptions::default()),
        ..BundlerOptions::default()
    }
}

/// Names a source map's sources relative to the project: the bundler gives them relative to where the map would be.
fn sources_of(root: &Path) -> SourceMapPathTransform {
    let root = root.to_path_buf();
    SourceMapPathTransform::new(Arc::new(move |source, map| {
        let named = if source.contains('\0') || source.contains("://") {
            source.to_owned()
        } else {
            let directory = Path::new(map).parent().unwrap_or(&root);
            relative(&normal_path(&directory.join(source)), &root)
        };
        Box::pin(async move { Ok(named) })
    }))
}

fn failure(errors: Vec<BuildDiagnostic>, input: &BuildInput, inputs: Vec<PathBuf>) -> BuildFailure {
    let mut errors: Vec<BuildError> = rolldown_error::consolidate_diagnostics(errors)
        .iter()
        .map(|error| describe(error, input))
        .collect();
    errors.dedup();
    if errors.is_empty() {
        errors.push(BuildError::new("the bundler failed without saying why"));
    }
    BuildFailure { errors, inputs }
}

/// Whether the place of an error is the specifier of an `import()`.
fn is_dynamic_import(error: &BuildError, input: &BuildInput) -> bool {
    let text = std::fs::read_to_string(input.root.join(&error.file)).unwrap_or_default();
    let line = text
        .lines()
        .nth(error.line.saturating_sub(1) as usize)
        .unwrap_or_default();
    let units: Vec<u16> = line.encode_utf16().collect();
    let before = &units[..units.len().min(error.column.saturating_sub(1) as usize)];
    let before = String::from_utf16_lossy(before);
    let before = before.trim_end();
    before.ends_with('(') && before.trim_end_matches('(').trim_end().ends_with("import")
}

/// Warnings about packages are for their authors.
fn is_about_project(warning: &BuildDiagnostic) -> bool {
    let in_package = |id: &String| id.contains("/node_modules/");
    !warning.id().iter().any(in_package)
        && !warning
            .ids()
            .is_some_and(|ids| !ids.is_empty() && ids.iter().all(in_package))
}

fn describe(diagnostic: &BuildDiagnostic, input: &BuildInput) -> BuildError {
    let options = DiagnosticOptions {
        cwd: input.root.clone(),
    };
    let rendered = diagnostic.to_diagnostic_with(&options);
    let text = rendered.convert_to_string(false);
    // `[KIND] Error: message`, then the code with the place marked.
    let (head, frame) = text.split_once('\n').unwrap_or((&text, ""));
    let mut message = diagnostic.to_message_with(&options);
    if message.is_empty() {
        message = head.split_once("]").map_or(head, |(_, rest)| rest).trim().to_owned();
        message = message.strip_prefix("Error: ").map_or(message.clone(), str::to_owned);
    }
    let hint = hint(&message);
    if let Some(hint) = hint {
        message = format!("{message}\n{hint}");
    }
    let mut error = BuildError {
        message,
        frame: frame.trim_end().replace(", treating it as an external dependency", ""),
        ..BuildError::default()
    };
    if let Some((file, line, column, _)) = rendered.get_primary_location() {
        error.file = file;
        error.line = u32::try_from(line).unwrap_or(0);
        error.column = u32::try_from(column).map_or(0, |column| column.saturating_add(1));
    }
    error
}

/// What to do about an error, where its text does not say.
fn hint(message: &str) -> Option<&'static str> {
    (message.contains("Could not resolve") && !message.contains("'./") && !message.contains("'../")
        || message.contains("UNRESOLVED_IMPORT"))
    .then_some("Is the package installed (npm install)?")
}
