//! A prebuilt worker: its modules as they are on disk, no bundler.
//!
//! The entry and, if the configuration says so (it does by default with `no_bundle`), every file below `base_dir` that a
//! rule gives a kind. Names are paths relative to `base_dir`. Limits are checked while files are read, so that a wrong
//! directory fails instead of filling memory.

pub mod glob;
pub mod rules;
mod source_map;
#[cfg(test)]
mod tests;

pub use rules::Rules;

use crate::bundle::{BuildError, BuildFailure, BuildInput, Built, relative};
use atoll_model::{Module, ModuleKind};
use bytes::Bytes;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// All modules of a version together, bytes. Wrangler's limit for the largest plan is 64 MiB.
pub const TOTAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Modules of one version.
pub const MODULES_MAX: usize = 10_000;
/// Directory entries looked at while searching for modules.
pub const ENTRIES_MAX: usize = 200_000;
/// How deep directories are searched.
pub const DEPTH_MAX: usize = 64;

/// Directories that hold no modules of the worker, wherever they are.
pub(crate) const SKIPPED_DIRECTORIES: [&str; 1] = ["node_modules"];

/// Collects the modules of a prebuilt worker.
pub fn collect(input: &BuildInput) -> Result<Built, BuildFailure> {
    let rules = Rules::for_prebuilt(&input.rules);
    let mut collector = Collector::new(input, &rules);
    let result = collector.run();
    collector.finish(result)
}

/// Collects the modules beside the entry, not the entry.
#[cfg(feature = "bundler")]
pub(crate) fn collect_additional(input: &BuildInput, rules: &Rules) -> Result<Built, BuildFailure> {
    let mut collector = Collector::new(input, rules);
    let result = collector.additional();
    collector.finish(result)
}

/// Whether the modules together are within [`TOTAL_BYTES_MAX`] and [`MODULES_MAX`].
pub(crate) fn check_size(modules: &[Module]) -> Result<(), BuildError> {
    check_count(modules.len())?;
    check_bytes(modules.iter().map(|module| module.content.len() as u64).sum())
}

fn check_bytes(bytes: u64) -> Result<(), BuildError> {
    if bytes <= TOTAL_BYTES_MAX {
        return Ok(());
    }
    Err(BuildError::new(format!(
        "the worker's modules are larger than {TOTAL_BYTES_MAX} bytes together (64 MiB): at least {bytes} bytes.\n\
         Serve large files as static assets, or narrow \"rules\" and \"base_dir\"."
    )))
}

fn check_count(count: usize) -> Result<(), BuildError> {
    if count <= MODULES_MAX {
        return Ok(());
    }
    Err(BuildError::new(format!(
        "the worker has more than {MODULES_MAX} modules; narrow \"rules\" and \"base_dir\""
    )))
}

/// Files below `directory`, sorted, without those in hidden, skipped or excluded directories. Symbolic links to directories
/// are not followed. `entries` counts towards [`ENTRIES_MAX`].
pub(crate) fn files_below(
    directory: &Path,
    exclude: &[PathBuf],
    entries: &mut usize,
) -> Result<Vec<PathBuf>, BuildError> {
    let mut found = Vec::new();
    let mut pending = vec![(directory.to_path_buf(), 0)];
    while let Some((directory, depth)) = pending.pop() {
        let cannot = |error: std::io::Error| BuildError::new(format!("cannot read {}: {error}", directory.display()));
        for entry in fs::read_dir(&directory).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            *entries += 1;
            if *entries > ENTRIES_MAX {
                return Err(BuildError::new(format!(
                    "more than {ENTRIES_MAX} files and directories below {}: set \"base_dir\" to the directory of the modules",
                    directory.display()
                )));
            }
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let kind = entry.file_type().map_err(cannot)?;
            if kind.is_dir() {
                let skipped =
                    name.starts_with('.') || SKIPPED_DIRECTORIES.contains(&name.as_ref()) || exclude.contains(&path);
                if !skipped && depth < DEPTH_MAX {
                    pending.push((path, depth + 1));
                }
            } else if kind.is_file() || path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

struct Collector<'a> {
    input: &'a BuildInput,
    rules: &'a Rules,
    built: Built,
    bytes: u64,
    entries: usize,
}

impl<'a> Collector<'a> {
    fn new(input: &'a BuildInput, rules: &'a Rules) -> Self {
        Self {
            input,
            rules,
            built: Built::default(),
            bytes: 0,
            entries: 0,
        }
    }

    fn finish(self, result: Result<(), BuildError>) -> Result<Built, BuildFailure> {
        match result {
            Ok(()) => Ok(self.built),
            Err(error) => Err(BuildFailure {
                errors: vec![error],
                inputs: self.built.inputs,
            }),
        }
    }

    fn run(&mut self) -> Result<(), BuildError> {
        let input = self.input;
        let main = relative(&input.main, &input.base_dir);
        if main.starts_with("../") {
            return Err(BuildError::new(format!(
                "the entry {} is outside of \"base_dir\" {}",
                relative(&input.main, &input.root),
                relative(&input.base_dir, &input.root)
            )));
        }
        let kind = match self.rules.kind(&main) {
            Some(ModuleKind::CommonJs) => ModuleKind::CommonJs,
            _ => ModuleKind::Esm,
        };
        self.add(&input.main, main.clone(), kind)?;
        self.built.main_module = main;
        if input.find_additional_modules {
            self.additional()?;
        }
        Ok(())
    }

    fn additional(&mut self) -> Result<(), BuildError> {
        let input = self.input;
        for path in files_below(&input.base_dir, &input.exclude, &mut self.entries)? {
            let name = relative(&path, &input.base_dir);
            if path == input.main || is_configuration(&name) {
                continue;
            }
            if let Some(kind) = self.rules.kind(&name) {
                self.add(&path, name, kind)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, name: String, kind: ModuleKind) -> Result<(), BuildError> {
        let shown = relative(path, &self.input.root);
        self.built.inputs.push(path.to_path_buf());
        let content = read(path, TOTAL_BYTES_MAX - self.bytes).map_err(|error| in_file(&shown, error.to_string()))?;
        self.bytes += content.len() as u64;
        check_bytes(self.bytes)?;
        check_count(self.built.modules.len() + 1)?;
        let mut source_map = None;
        if kind != ModuleKind::Data && kind != ModuleKind::Wasm {
            let text = std::str::from_utf8(&content)
                .map_err(|error| in_file(&shown, format!("is not UTF-8 text: {error}")))?;
            if kind == ModuleKind::Json
                && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text)
            {
                return Err(BuildError {
                    message: format!("is not JSON: {error}"),
                    file: shown,
                    line: error.line() as u32,
                    column: error.column() as u32,
                    frame: String::new(),
                });
            }
            if matches!(kind, ModuleKind::Esm | ModuleKind::CommonJs)
                && let Some(found) = source_map::find(path, text, &self.input.root)
            {
                self.built.inputs.extend(found.file);
                match found.map {
                    Ok(map) => source_map = Some(map),
                    Err(cause) => self
                        .built
                        .warnings
                        .push(format!("{shown}: its source map cannot be used: {cause}")),
                }
            }
        }
        self.built.modules.push(Module {
            name,
            kind,
            content,
            source_map,
        });
        Ok(())
    }
}

fn in_file(file: &str, message: String) -> BuildError {
    BuildError {
        file: file.to_owned(),
        ..BuildError::new(message)
    }
}

/// What tools leave beside a worker that is no module of it.
fn is_configuration(name: &str) -> bool {
    matches!(
        name,
        "wrangler.json" | "wrangler.jsonc" | "wrangler.toml" | "package.json" | "package-lock.json" | "tsconfig.json"
    )
}

/// Reads at most `limit` bytes and one more, so that a larger file is seen to be larger without being read.
fn read(path: &Path, limit: u64) -> std::io::Result<Bytes> {
    let mut content = Vec::new();
    fs::File::open(path)?.take(limit + 1).read_to_end(&mut content)?;
    Ok(content.into())
}
