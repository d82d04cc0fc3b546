//! From a project's sources to the modules that an engine loads.
//!
//! [`build`] runs the project's own build command, then either bundles (behind the trait [`Bundler`], so that the bundler
//! can be left out of a build of Atoll or replaced) or takes prebuilt modules as they are. Nothing is written to disk. A
//! failure says file, line, column and shows the code; it never ends the process.

pub mod command;
pub mod failure;
#[cfg(feature = "bundler")]
mod names;
#[cfg(feature = "bundler")]
mod plugin;
#[cfg(feature = "bundler")]
mod rolldown;
#[cfg(all(test, feature = "bundler"))]
mod tests;

pub use failure::{BuildError, BuildFailure};

use crate::config::{ModuleRule, Project};
use async_trait::async_trait;
use atoll_model::{CompatFlags, Module};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a build needs to know of the project. All paths are absolute.
#[derive(Debug, Clone, Default)]
pub struct BuildInput {
    /// The project's directory: messages and source maps name files relative to it.
    pub root: PathBuf,
    /// The entry module.
    pub main: PathBuf,
    /// What module names and the rules' globs are relative to.
    pub base_dir: PathBuf,
    /// How files that are no JavaScript are imported; the first match counts.
    pub rules: Vec<ModuleRule>,
    /// Take every file below `base_dir` that matches a rule, imported or not.
    pub find_additional_modules: bool,
    /// The modules are built already.
    pub no_bundle: bool,
    /// Name additional modules as their files, without a hash of the content.
    pub preserve_file_names: bool,
    /// Identifier to the expression that replaces it. Laid over the defaults.
    pub define: Vec<(String, String)>,
    /// Import specifier to the one that stands in for it.
    pub alias: Vec<(String, String)>,
    /// Minify.
    pub minify: bool,
    /// Keep `Function.name`.
    pub keep_names: bool,
    /// The `tsconfig.json` to use; else each file's nearest.
    pub tsconfig: Option<PathBuf>,
    /// Classic JSX: the factory and the fragment, if configured.
    pub jsx: Option<(String, String)>,
    /// `nodejs_compat` is on: Node's modules may be imported without the prefix `node:`.
    pub node_compat: bool,
    /// `process.env.NODE_ENV` is `development`, else `production`.
    pub development: bool,
    /// Directories whose files are no modules: static assets, stored state.
    pub exclude: Vec<PathBuf>,
}

impl BuildInput {
    /// The build of `project`, or `None` if it has no worker.
    pub fn of(project: &Project, exclude: &[PathBuf]) -> Option<Self> {
        let main = project.main.clone()?;
        let jsx = (project.jsx_factory.is_some() || project.jsx_fragment.is_some()).then(|| {
            let or = |text: &Option<String>, default: &str| text.clone().unwrap_or_else(|| default.to_owned());
            (
                or(&project.jsx_factory, "React.createElement"),
                or(&project.jsx_fragment, "React.Fragment"),
            )
        });
        let mut exclude = exclude.to_vec();
        exclude.extend(project.assets.iter().map(|(directory, _)| directory.clone()));
        // A build that puts the worker among its assets must still find it.
        exclude.retain(|directory| !main.starts_with(directory));
        Some(Self {
            root: project.root.clone(),
            main,
            base_dir: project.base_dir.clone(),
            rules: project.rules.clone(),
            find_additional_modules: project.find_additional_modules,
            no_bundle: project.no_bundle,
            preserve_file_names: project.preserve_file_names,
            define: project.define.clone(),
            alias: project.alias.clone(),
            minify: project.minify,
            keep_names: project.keep_names,
            tsconfig: project.tsconfig.clone(),
            jsx,
            node_compat: CompatFlags::resolve(project.compat_date, &project.compat_flags).enabled("nodejs_compat"),
            development: true,
            exclude,
        })
    }
}

/// The modules of a worker.
#[derive(Debug, Clone, Default)]
pub struct Built {
    /// All modules; names are unique.
    pub modules: Vec<Module>,
    /// The name of the entry.
    pub main_module: String,
    /// The files that were read: a change of one of them makes the modules stale.
    pub inputs: Vec<PathBuf>,
    /// What is odd but did not keep it from building, one entry each, possibly of several lines.
    pub warnings: Vec<String>,
}

impl Built {
    /// Whether both would behave the same: equal modules under equal names. Their order does not count.
    pub fn same_modules(&self, other: &Self) -> bool {
        self.main_module == other.main_module
            && self.modules.len() == other.modules.len()
            && self.modules.iter().all(|module| {
                other.modules.iter().any(|twin| {
                    twin.name == module.name
                        && twin.kind == module.kind
                        && twin.content == module.content
                        && twin.source_map == module.source_map
                })
            })
    }
}

/// Makes one worker out of an entry module and everything it imports.
#[async_trait]
pub trait Bundler: Send + Sync {
    /// Bundles. Reads files, writes none. Dropping the future abandons the build.
    async fn bundle(&self, input: &BuildInput) -> Result<Built, BuildFailure>;
}

/// The bundler of this build of Atoll.
pub fn bundler() -> Arc<dyn Bundler> {
    #[cfg(feature = "bundler")]
    return Arc::new(rolldown::Rolldown);
    #[cfg(not(feature = "bundler"))]
    return Arc::new(Absent);
}

/// Stands where the bundler was left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Absent;

#[async_trait]
impl Bundler for Absent {
    async fn bundle(&self, input: &BuildInput) -> Result<Built, BuildFailure> {
        Err(BuildFailure::new(BuildError::new(format!(
            "{} needs to be bundled, and this build of atoll has no bundler.\n\
             Build atoll with its feature \"bundler\", or bundle the project with its own tools and set \"no_bundle\": true.",
            relative(&input.main, &input.root)
        ))))
    }
}

/// Builds: bundles, or collects what is built already.
pub async fn build(input: &BuildInput, bundler: &dyn Bundler) -> Result<Built, BuildFailure> {
    if input.no_bundle {
        let input = input.clone();
        // Reads a directory tree: not on a thread that others wait for.
        return match tokio::task::spawn_blocking(move || crate::modules::collect(&input)).await {
            Ok(result) => result,
            Err(error) => Err(BuildFailure::new(BuildError::new(format!(
                "reading the modules ended early: {error}"
            )))),
        };
    }
    let built = bundler.bundle(input).await?;
    crate::modules::check_size(&built.modules).map_err(|error| BuildFailure {
        errors: vec![error],
        inputs: built.inputs.clone(),
    })?;
    Ok(built)
}

/// `path` as messages and source maps name it: relative to `root`, `/`-separated, with `..` where it stands beside it.
pub(crate) fn relative(path: &Path, root: &Path) -> String {
    let (path_parts, root_parts): (Vec<_>, Vec<_>) = (path.components().collect(), root.components().collect());
    let shared = path_parts.iter().zip(&root_parts).take_while(|(a, b)| a == b).count();
    let mut parts: Vec<String> = vec!["..".to_owned(); root_parts.len() - shared];
    parts.extend(
        path_parts[shared..]
            .iter()
            .map(|part| part.as_os_str().to_string_lossy().into_owned()),
    );
    parts.join("/")
}
