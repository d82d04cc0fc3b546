//! From a project to what is uploaded: a manifest and the blobs that it names.

use super::assets::{self, Assets};
use crate::bundle;
use crate::config::{LocalFiles, Project};
use crate::project::Stop;
use crate::remote::context::Context;
use crate::remote::failure::{CommandError, Result};
use atoll_model::artifact::{FORMAT_VERSION, ModuleBlob};
use atoll_model::{BindingSpec, BlobHash, Limits, Manifest, TenantId, WorkerName};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The bytes of a blob, or where they are.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Memory(Bytes),
    File(PathBuf),
}

/// What is uploaded.
#[derive(Debug)]
pub(crate) struct Artifact {
    /// Its account is the one that it is uploaded for; before that is known, nobody's.
    pub manifest: Manifest,
    pub blobs: BTreeMap<BlobHash, Source>,
    /// Secrets that come with it.
    pub secrets: BTreeMap<String, Option<String>>,
    /// Bytes of the modules, and of all of them compressed.
    pub code_bytes: u64,
    pub gzip_bytes: u64,
    pub asset_bytes: u64,
    pub warnings: Vec<String>,
    modules: Vec<atoll_model::Module>,
}

/// Builds `project`.
pub(crate) async fn build(context: &Context, project: &Project) -> Result<Artifact> {
    if let Some(command) = &project.build.command {
        let directory = project.build.cwd.as_ref().unwrap_or(&project.root);
        // Its lines are for people: what is piped on is the command's own.
        let print = |line: &str| context.note(&format!("[build] {line}"));
        bundle::command::run(command, directory, &print)
            .await
            .map_err(Stop::from)?;
        project.check_files(&LocalFiles)?;
    }
    let mut warnings = Vec::new();
    let (main_module, modules) = match bundle::BuildInput::of(project, &[]) {
        None => (None, Vec::new()),
        Some(input) => {
            let input = bundle::BuildInput {
                development: false,
                ..input
            };
            let built = bundle::build(&input, &*context.world.bundler)
                .await
                .map_err(Stop::from)?;
            warnings.extend(built.warnings);
            (Some(built.main_module), built.modules)
        }
    };
    let assets = match project.assets.clone() {
        None => None,
        Some((directory, config)) => Some(
            tokio::task::spawn_blocking(move || assets::scan(&directory, &config))
                .await
                .map_err(|error| CommandError::new("internal", format!("reading the assets ended early: {error}")))??,
        ),
    };
    make(project, main_module, modules, assets, warnings)
}

fn make(
    project: &Project,
    main_module: Option<String>,
    modules: Vec<atoll_model::Module>,
    assets: Option<Assets>,
    mut warnings: Vec<String>,
) -> Result<Artifact> {
    let mut blobs = BTreeMap::new();
    let mut keep = |content: &Bytes| {
        let hash = BlobHash::of(content);
        blobs.insert(hash, Source::Memory(content.clone()));
        hash
    };
    let module_blobs: Vec<ModuleBlob> = modules
        .iter()
        .map(|module| ModuleBlob {
            name: module.name.clone(),
            kind: module.kind,
            blob: keep(&module.content),
            size: module.content.len() as u64,
            source_map: module.source_map.as_ref().map(&mut keep),
        })
        .collect();
    let asset_bytes = assets
        .iter()
        .flat_map(|assets| &assets.manifest.files)
        .map(|file| file.size)
        .sum();
    let assets = assets.map(|assets| {
        warnings.extend(assets.warnings);
        blobs.extend(assets.files.into_iter().map(|(hash, file)| (hash, Source::File(file))));
        assets.manifest
    });
    let mut secrets = BTreeMap::new();
    let mut bindings = Vec::new();
    for (name, spec) in &project.bindings {
        match spec {
            BindingSpec::Secret { value } => {
                secrets.insert(name.clone(), Some(value.clone()));
            }
            BindingSpec::StoreSecret { name: stored, .. } => {
                let spec = BindingSpec::StoreSecret {
                    name: stored.clone(),
                    value: None,
                };
                bindings.push((name.clone(), spec));
            }
            spec => bindings.push((name.clone(), spec.clone())),
        }
    }
    let manifest = Manifest {
        format: FORMAT_VERSION,
        account: TenantId::new(""),
        worker: WorkerName::new(project.name.as_str()),
        main_module,
        modules: module_blobs,
        assets,
        compat_date: project.compat_date,
        compat_flags: project.compat_flags.clone(),
        bindings,
        tail_consumers: project
            .tail_consumers
            .iter()
            .map(|name| WorkerName::new(name.as_str()))
            .collect(),
        limits: limits(&project.limits),
        outbound: project.outbound.clone(),
    };
    manifest
        .check()
        .map_err(|error| CommandError::new("project", error.to_string()))?;
    let code_bytes = manifest.modules.iter().map(|module| module.size).sum();
    Ok(Artifact {
        gzip_bytes: gzip_bytes(&modules),
        code_bytes,
        manifest,
        blobs,
        secrets,
        asset_bytes,
        warnings,
        modules,
    })
}

/// Those that differ from the default.
fn limits(limits: &Limits) -> BTreeMap<String, u64> {
    let own = |facts: &atoll_model::LimitFacts| {
        let value = limits.get(facts.limit)?;
        (value != facts.default).then(|| (facts.key.to_owned(), value))
    };
    Limits::FACTS.iter().filter_map(own).collect()
}

/// Counts what is written to it.
struct Counter(u64);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn gzip_bytes(modules: &[atoll_model::Module]) -> u64 {
    let mut encoder = flate2::write::GzEncoder::new(Counter(0), flate2::Compression::default());
    for module in modules {
        // A counter takes everything.
        let _ = encoder.write_all(&module.content);
    }
    encoder.finish().map_or(0, |counter| counter.0)
}

impl Artifact {
    /// Writes the modules into a directory.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let write = |name: &str, bytes: &[u8]| -> Result<()> {
            // Names of a manifest that was checked lead nowhere else.
            let path = directory.join(name);
            let parent = path.parent().unwrap_or(directory);
            std::fs::create_dir_all(parent).map_err(|error| CommandError::file(parent, &error))?;
            std::fs::write(&path, bytes).map_err(|error| CommandError::file(&path, &error))
        };
        for module in &self.modules {
            write(&module.name, &module.content)?;
            if let Some(map) = &module.source_map {
                write(&format!("{}.map", module.name), map)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_ones_own_alone() {
        assert!(limits(&Limits::default()).is_empty());
        let own = Limits {
            cpu_ms: 7,
            ..Limits::default()
        };
        assert_eq!(limits(&own), BTreeMap::from([("cpu_ms".to_owned(), 7)]));
    }
}
