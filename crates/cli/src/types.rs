//! `atoll types`: `worker-configuration.d.ts`, the TypeScript view of a project's `env`.
//!
//! Variables have literal types, secrets are strings, every other binding has its type from `@cloudflare/workers-types`. The
//! text depends on the configuration alone, so that the file changes when the configuration does and not otherwise.

use crate::config::{self, ConfigError, EnvType, Files, LoadOptions, Project, is_identifier};
use atoll_model::{BindingSpec, ModuleKind};
use serde_json::Value;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// The file's name, beside the configuration.
pub const FILE_NAME: &str = "worker-configuration.d.ts";

/// What `atoll types` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Whether its text is another than before.
    pub changed: bool,
    /// How many names `env` has.
    pub bindings: usize,
}

/// Why the types could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TypesError {
    /// The configuration is at fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file could not be written.
    #[error("cannot write {}: {cause}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// Loads the project and writes its types. Without a selected environment, `env` is what any of the environments may have:
/// a variable is any of its values, a binding that one of them lacks is optional.
pub fn run(options: &LoadOptions, files: &dyn Files) -> Result<(Written, Vec<config::ConfigWarning>), TypesError> {
    let first = config::load(options, files)?;
    let warnings = first.warnings.clone();
    let mut projects = vec![first];
    if projects[0].environment.is_none() {
        for environment in projects[0].environments.clone() {
            projects.push(config::load(
                &LoadOptions {
                    environment: Some(environment),
                    ..options.clone()
                },
                files,
            )?);
        }
    }
    let directory = projects[0]
        .user_config_path
        .as_deref()
        .and_then(Path::parent)
        .unwrap_or(&projects[0].root);
    let path = directory.join(FILE_NAME);
    let text = declaration(&projects, directory);
    let changed = match files.read(&path) {
        Ok(before) => before != text,
        Err(_) => true,
    };
    if changed {
        std::fs::write(&path, text).map_err(|cause| TypesError::Write {
            path: path.clone(),
            cause,
        })?;
    }
    let bindings = names(&projects).len();
    Ok((
        Written {
            path,
            changed,
            bindings,
        },
        warnings,
    ))
}

/// The names in `env`, in the order in which the projects have them.
fn names(projects: &[Project]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in projects.iter().flat_map(|project| &project.bindings) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

/// The text of the file. The projects are the same one in its environments, the top level first; `directory` is where the
/// file will be.
pub fn declaration(projects: &[Project], directory: &Path) -> String {
    let main = projects
        .first()
        .and_then(|project| import_path(project.main.as_deref()?, directory));
    let mut text =
        String::from("/* eslint-disable */\n// Written by `atoll types` from the project's configuration.\n");
    text.push_str("declare namespace Cloudflare {\n");
    if let Some(main) = &main {
        let _ = writeln!(
            text,
            "\tinterface GlobalProps {{\n\t\tmainModule: typeof import({main});\n\t}}"
        );
    }
    text.push_str("\tinterface Env {\n");
    for name in names(projects) {
        let mut types: Vec<String> = Vec::new();
        let mut everywhere = true;
        for project in projects {
            match project.bindings.iter().find(|(binding, _)| binding == name) {
                Some((_, spec)) => {
                    let ts = binding_type(project, name, spec, main.as_deref());
                    if !types.contains(&ts) {
                        types.push(ts);
                    }
                }
                None => everywhere = false,
            }
        }
        let key = if is_identifier(name) {
            name.to_owned()
        } else {
            Value::from(name).to_string()
        };
        let optional = if everywhere { "" } else { "?" };
        let _ = writeln!(text, "\t\t{key}{optional}: {};", types.join(" | "));
    }
    text.push_str("\t}\n}\ninterface Env extends Cloudflare.Env {}\n");
    if let Some(project) = projects.first() {
        modules(project, &mut text);
    }
    text
}

/// `"./src/index"`, quoted.
fn import_path(main: &Path, directory: &Path) -> Option<String> {
    let below = main.strip_prefix(directory).ok()?.with_extension("");
    let parts: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    Some(Value::from(format!("./{}", parts.join("/"))).to_string())
}

fn binding_type(project: &Project, name: &str, spec: &BindingSpec, main: Option<&str>) -> String {
    match spec {
        BindingSpec::Text { value } => Value::from(value.as_str()).to_string(),
        BindingSpec::Json { value } => literal(value),
        BindingSpec::Secret { .. } => "string".to_owned(),
        BindingSpec::Kv { .. } => "KVNamespace".to_owned(),
        BindingSpec::Service {
            service, entrypoint, ..
        } => {
            let export = entrypoint.as_deref().unwrap_or("default");
            match main {
                Some(main) if *service == project.name && is_identifier(export) => {
                    format!("Service<typeof import({main}).{export}>")
                }
                // Where another worker's sources are is not known here.
                _ => match entrypoint {
                    Some(entrypoint) => format!(
                        "Service /* {} */",
                        comment(&format!("entrypoint {entrypoint} from {service}"))
                    ),
                    None => format!("Fetcher /* {} */", comment(service)),
                },
            }
        }
        BindingSpec::Assets => "Fetcher".to_owned(),
        BindingSpec::VersionMetadata => "WorkerVersionMetadata".to_owned(),
        BindingSpec::RateLimit { .. } => "RateLimit".to_owned(),
        BindingSpec::Analytics { .. } => "AnalyticsEngineDataset".to_owned(),
        BindingSpec::StoreSecret { .. } => "SecretsStoreSecret".to_owned(),
        BindingSpec::WorkerLoader => "WorkerLoader".to_owned(),
        BindingSpec::Unbuilt(_) => {
            let ts = project
                .unbuilt_types
                .iter()
                .find(|(binding, _)| binding == name)
                .map(|(_, ts)| ts);
            match (ts, main) {
                (Some(EnvType::Objects(class)), Some(main)) => {
                    format!("DurableObjectNamespace<import({main}).{class}>")
                }
                (Some(EnvType::Objects(_)), None) => "DurableObjectNamespace".to_owned(),
                (Some(EnvType::Workflow(class)), Some(main)) => {
                    format!("Workflow<Parameters<import({main}).{class}[\"run\"]>[0][\"payload\"]>")
                }
                (Some(EnvType::Workflow(_)), None) => "Workflow".to_owned(),
                (Some(EnvType::Named(ts)), _) => (*ts).to_owned(),
                (None, _) => "unknown".to_owned(),
            }
        }
    }
}

/// Text that cannot end the comment it stands in.
fn comment(text: &str) -> String {
    text.replace("*/", "* /")
}

/// A JSON value as a literal type.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(literal).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), literal(value)))
                .collect();
            format!("{{ {} }}", fields.join("; "))
        }
        plain => plain.to_string(),
    }
}

/// What importing a file of another kind than JavaScript gives.
fn modules(project: &Project, text: &mut String) {
    let mut seen: Vec<String> = Vec::new();
    for rule in &project.rules {
        let ts = match rule.kind {
            ModuleKind::Text => "string",
            ModuleKind::Data => "ArrayBuffer",
            ModuleKind::Wasm => "WebAssembly.Module",
            ModuleKind::Esm | ModuleKind::CommonJs | ModuleKind::Json => continue,
        };
        for glob in &rule.globs {
            // TypeScript allows one star in a module's name.
            let pattern = glob.strip_prefix("**/").unwrap_or(glob);
            if pattern.matches('*').count() > 1 || pattern.contains(['{', '[', '?']) && !pattern.ends_with("?module") {
                continue;
            }
            let pattern = Value::from(pattern).to_string();
            if !seen.contains(&pattern) {
                let _ = write!(
                    text,
                    "declare module {pattern} {{\n\tconst value: {ts};\n\texport default value;\n}}\n"
                );
                seen.push(pattern);
            }
        }
    }
}

#[cfg(test)]
mod tests;
