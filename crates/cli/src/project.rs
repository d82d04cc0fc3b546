//! From the place of a project to what is served: what `atoll dev` and `atoll serve` do alike.

use crate::args::BuildArgs;
use crate::bundle::{BuildFailure, Built};
use crate::config::{self, ConfigError, Files, LoadOptions, Project, normal_path};
use crate::target::Failure;
use atoll_model::{BindingSpec, TenantId, WorkerName, WorkerVersion};
use atoll_stdx::Clock;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Who owns the workers of `atoll dev` and `atoll serve`: there is one tenant.
pub const LOCAL_TENANT: &str = "local";

/// Where stored state is kept, relative to the configuration.
const STATE_DIRECTORY: &str = ".atoll/state";

/// A step from files to a serving worker that failed.
pub(crate) struct Stop {
    pub(crate) failure: Failure,
    pub(crate) build: Option<BuildFailure>,
}

impl From<BuildFailure> for Stop {
    fn from(build: BuildFailure) -> Self {
        Self {
            failure: Failure::from(&build),
            build: Some(build),
        }
    }
}

impl From<ConfigError> for Stop {
    fn from(error: ConfigError) -> Self {
        error.failure().into()
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self { failure, build: None }
    }
}

/// The projects' directories and configurations, as the command line names them, in its order.
pub(crate) fn places(directories: &[PathBuf], configs: &[PathBuf]) -> Vec<(PathBuf, Option<PathBuf>)> {
    let directory = directories.first().cloned().unwrap_or_else(|| PathBuf::from("."));
    match configs {
        [] if directories.is_empty() => vec![(directory, None)],
        [] => directories.iter().map(|directory| (directory.clone(), None)).collect(),
        configs => configs
            .iter()
            .map(|config| (directory.clone(), Some(config.clone())))
            .collect(),
    }
}

/// Where the state of `project` is kept: `flag`, or beside its configuration.
pub(crate) fn persist_to(flag: Option<&Path>, project: &Project, cwd: &Path) -> PathBuf {
    match flag {
        Some(directory) => normal_path(&cwd.join(directory)),
        None => project
            .user_config_path
            .as_deref()
            .and_then(Path::parent)
            .unwrap_or(&project.root)
            .join(STATE_DIRECTORY),
    }
}

/// Two projects that are served together have one name.
pub(crate) fn same_name(name: &str) -> Failure {
    Failure {
        title: format!("Two of the projects have the name \"{name}\""),
        detail: "Service bindings find a worker by its name: give each one its own.".to_owned(),
        fatal: true,
    }
}

/// Reads the configuration, the flags laid over it. Not on a thread that others wait for.
pub(crate) async fn read(load: LoadOptions, flags: &BuildArgs, files: &Arc<dyn Files>) -> Result<Project, ConfigError> {
    let cwd = load.cwd.clone();
    let files = Arc::clone(files);
    let loaded = tokio::task::spawn_blocking(move || config::load(&load, &*files)).await;
    let mut project = loaded.map_err(|error| ConfigError::Unreadable {
        file: "the configuration".to_owned(),
        cause: format!("reading it ended early: {error}"),
    })??;
    flags.apply(&mut project, &cwd);
    Ok(project)
}

/// The version that `project`, built, is.
pub(crate) fn version(project: &Project, built: &Built, clock: &dyn Clock) -> WorkerVersion {
    WorkerVersion {
        tenant: TenantId::new(LOCAL_TENANT),
        name: WorkerName::new(project.name.as_str()),
        id: version_id(project, built),
        main_module: built.main_module.clone(),
        modules: built.modules.clone(),
        compat_date: project.compat_date,
        compat_flags: project.compat_flags.clone(),
        bindings: project.bindings.clone(),
        crons: project.crons.clone(),
        tail_consumers: project
            .tail_consumers
            .iter()
            .map(|name| WorkerName::new(name.as_str()))
            .collect(),
        limits: project.limits.clone(),
        outbound: project.outbound.clone(),
        created_ms: clock.now_ms(),
        tag: String::new(),
    }
}

/// An id that depends on all that makes the version behave as it does, in the form of a UUID.
fn version_id(project: &Project, built: &Built) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(project.name.as_bytes());
    part(built.main_module.as_bytes());
    for module in &built.modules {
        part(module.name.as_bytes());
        part(&[module.kind as u8]);
        part(&module.content);
        part(module.source_map.as_deref().unwrap_or_default());
    }
    for (name, spec) in &project.bindings {
        part(name.as_bytes());
        part(&binding_bytes(spec));
    }
    for text in project
        .compat_flags
        .iter()
        .chain(&project.crons)
        .chain(&project.tail_consumers)
    {
        part(text.as_bytes());
    }
    part(project.compat_date.to_string().as_bytes());
    part(format!("{:?} {:?}", project.limits, project.outbound).as_bytes());
    let digest = hash.finalize();
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn binding_bytes(spec: &BindingSpec) -> Vec<u8> {
    // Made of strings and JSON: always writable. Were it not, versions would only look more alike.
    serde_json::to_vec(spec).unwrap_or_default()
}
