//! The project that a command is about, read as a deployment sees it: without the secrets of this machine.

use super::context::Context;
use super::failure::{CommandError, Result};
use crate::args::BuildArgs;
use crate::config::{ConfigError, Files, LoadOptions, LocalFiles, Project};
use crate::project::{self, Stop};
use crate::target::Failure;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The machine's files without `.dev.vars` and `.env`: what they hold is for development, and is not uploaded.
struct WithoutSecrets;

fn is_local_secret(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| {
        let is = |file: &str| *name == *file || name.strip_prefix(file).is_some_and(|rest| rest.starts_with('.'));
        is(".dev.vars") || is(".env")
    })
}

impl Files for WithoutSecrets {
    fn read(&self, path: &Path) -> io::Result<String> {
        match is_local_secret(path) {
            true => Err(io::ErrorKind::NotFound.into()),
            false => LocalFiles.read(path),
        }
    }

    fn is_file(&self, path: &Path) -> bool {
        LocalFiles.is_file(path)
    }

    fn is_directory(&self, path: &Path) -> bool {
        LocalFiles.is_directory(path)
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        let Failure { title, detail, .. } = error.failure();
        let error = Self::new("project", title);
        match detail.is_empty() {
            true => error,
            false => error.hint(detail),
        }
    }
}

impl From<Stop> for CommandError {
    fn from(stop: Stop) -> Self {
        let Failure { title, detail, .. } = stop.failure;
        let error = Self::new("project", title);
        match detail.is_empty() {
            true => error,
            false => error.hint(detail),
        }
    }
}

/// Reads the project.
pub(crate) async fn read(
    context: &Context,
    directory: &Path,
    config: Option<&Path>,
    build: &BuildArgs,
) -> Result<Project> {
    let cwd = std::fs::canonicalize(&context.world.cwd).unwrap_or_else(|_| context.world.cwd.clone());
    // Of this process' environment only what selects the environment: a list of required secrets would take in the rest.
    let selects = |(name, _): &&(String, String)| name == "CLOUDFLARE_ENV";
    let load = LoadOptions {
        directory: cwd.join(directory),
        config: config.map(|config| cwd.join(config)),
        cwd,
        environment: build.env.clone(),
        vars: build.vars.clone(),
        env_files: build.env_files.clone(),
        process_env: context.world.process_env.iter().filter(selects).cloned().collect(),
    };
    let files: Arc<dyn Files> = match build.env_files.is_empty() {
        true => Arc::new(WithoutSecrets),
        false => Arc::new(LocalFiles),
    };
    let mut project = project::read(load, build, &files).await?;
    // Those values are kept by the control plane, not here.
    project.warnings.retain(|warning| warning.key != "secrets.required");
    Ok(project)
}

/// The name of the project's worker in this directory.
pub(crate) async fn worker_name(context: &Context, config: Option<&Path>, env: Option<&str>) -> Result<String> {
    match here(context, config, env).await? {
        Some(project) => Ok(project.name),
        None => Err(CommandError::usage("which worker is meant?")
            .hint("Name it with --name, or be in the directory of its project (wrangler.jsonc, .json or .toml).")),
    }
}

/// The project in this directory, if there is one.
pub(crate) async fn here(context: &Context, config: Option<&Path>, env: Option<&str>) -> Result<Option<Project>> {
    let build = BuildArgs {
        env: env.map(str::to_owned),
        ..BuildArgs::default()
    };
    let cwd = std::fs::canonicalize(&context.world.cwd).unwrap_or_else(|_| context.world.cwd.clone());
    let selects = |(name, _): &&(String, String)| name == "CLOUDFLARE_ENV";
    let load = LoadOptions {
        directory: cwd.clone(),
        config: config.map(|config| cwd.join(config)),
        cwd,
        environment: build.env.clone(),
        process_env: context.world.process_env.iter().filter(selects).cloned().collect(),
        ..LoadOptions::default()
    };
    let files: Arc<dyn Files> = Arc::new(Built);
    match project::read(load, &build, &files).await {
        Ok(project) => Ok(Some(project)),
        Err(ConfigError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The same, where it does not matter whether the project is built: only what it is called.
struct Built;

impl Files for Built {
    fn read(&self, path: &Path) -> io::Result<String> {
        WithoutSecrets.read(path)
    }

    fn is_file(&self, path: &Path) -> bool {
        // A configuration is looked for; an entry is taken to be there.
        let is_code = path
            .extension()
            .is_some_and(|ext| !matches!(ext.to_str(), Some("json" | "jsonc" | "toml")));
        is_code || LocalFiles.is_file(path)
    }

    fn is_directory(&self, path: &Path) -> bool {
        LocalFiles.is_directory(path) || !path.exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_this_machine_are_not_seen() {
        for name in [".dev.vars", ".dev.vars.staging", ".env", ".env.local"] {
            assert!(is_local_secret(&Path::new("/app").join(name)), "{name}");
        }
        for name in [".envrc", "env", "src/.environment", "wrangler.toml", ".dev.varsity"] {
            assert!(!is_local_secret(&Path::new("/app").join(name)), "{name}");
        }
    }
}
