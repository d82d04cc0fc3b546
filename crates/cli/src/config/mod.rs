//! A project's configuration: `wrangler.json`, `.jsonc` or `.toml` and the files of secrets beside it, read and checked.
//!
//! [`load`] finds the file, selects the environment, checks every key against the table in `keys`, and gives a typed
//! [`Project`] with warnings, or every error at once, each with file, line, column and key. Reading goes through [`Files`], so
//! that all of it runs over made-up files too.

mod atoll;
mod bindings;
mod deploy;
mod diagnostic;
mod dotenv;
mod environment;
mod find;
mod keys;
mod project;
mod read;
mod routes;
mod rules;
mod scope;
mod secrets;
mod small;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use bindings::{BindingSection, EnvType, binding_sections, is_identifier};
pub use deploy::DeployKeys;
pub use diagnostic::{Complaint, ConfigError, ConfigWarning, Position};
pub(crate) use dotenv::parse as parse_dotenv;
pub(crate) use find::normal as normal_path;
pub(crate) use keys::{KeyFacts, key_facts, nearest};
pub use project::{Build, DevSettings, ModuleRule, Project};

use diagnostic::Findings;
use std::io;
use std::path::{Path, PathBuf};
use tree::{Node, Table, Value};

/// What to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The working directory, absolute: relative paths of these options stand here, messages name files relative to it.
    pub cwd: PathBuf,
    /// The project's directory, or its entry script.
    pub directory: PathBuf,
    /// `--config`: this file and no other; no redirect is followed.
    pub config: Option<PathBuf>,
    /// `--env`. Without it `CLOUDFLARE_ENV` of `process_env` counts.
    pub environment: Option<String>,
    /// `--var`: name and value.
    pub vars: Vec<(String, String)>,
    /// `--env-file`, relative to the configuration's directory: instead of `.dev.vars` and the `.env` files.
    pub env_files: Vec<PathBuf>,
    /// The process environment: `std::env::vars()`.
    pub process_env: Vec<(String, String)>,
}

impl LoadOptions {
    /// A switch of the process environment: `true` and `false`, anything else counts as unset.
    pub(crate) fn boolean(&self, name: &str) -> Option<bool> {
        match self.variable(name)?.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.process_env
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Splits the text of a `--var` flag, `NAME:value`. `None` if it has no colon or no name.
pub fn split_var(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once(':')?;
    (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
}

/// The files that a configuration is read from.
pub trait Files: Send + Sync {
    /// The text of a file. A missing one is `NotFound`, one that is not UTF-8 `InvalidData`.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// Whether there is a file of this name.
    fn is_file(&self, path: &Path) -> bool;
    /// Whether there is a directory of this name.
    fn is_directory(&self, path: &Path) -> bool;
}

/// The machine's own files.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalFiles;

impl Files for LocalFiles {
    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }
}

/// Finds, reads and checks the configuration of the project in `options.directory`.
pub fn load(options: &LoadOptions, files: &dyn Files) -> Result<Project, ConfigError> {
    let start = find::normal(&options.cwd.join(&options.directory));
    let (directory, script) = match (files.is_directory(&start), files.is_file(&start)) {
        (true, _) => (start, None),
        // A file always has a parent.
        (false, true) => (start.parent().unwrap_or(&start).to_path_buf(), Some(start)),
        (false, false) => {
            let file = display(&start, &options.cwd);
            return Err(ConfigError::Unreadable {
                file,
                cause: "there is no such file or directory".to_owned(),
            });
        }
    };
    let place = find::find(&directory, options, files)?;
    if place.config.is_none() && script.is_none() {
        return Err(ConfigError::NotFound(directory));
    }
    let environment = options
        .environment
        .clone()
        .or_else(|| options.variable("CLOUDFLARE_ENV").map(str::to_owned))
        .filter(|name| !name.is_empty());

    let mut findings = Findings::new(
        place
            .config
            .as_deref()
            .map_or_else(String::new, |path| display(path, &options.cwd)),
    );
    let tree = match &place.config {
        Some(path) => read_tree(path, &mut findings, files)?,
        None => Node {
            at: Position { line: 1, column: 1 },
            value: Value::Table(Table::new()),
        },
    };
    let generated = place.config != place.user_config;
    if generated {
        check_target(&tree, environment.as_deref(), &mut findings);
    }
    // A configuration is a file, so it has a parent.
    let root = place
        .config
        .as_deref()
        .and_then(Path::parent)
        .unwrap_or(&directory)
        .to_path_buf();
    let user_directory = place
        .user_config
        .as_deref()
        .and_then(Path::parent)
        .unwrap_or(&directory)
        .to_path_buf();

    let effective = environment::resolve(&tree, environment.as_deref(), generated, &mut findings);
    let has_script = script.is_some();
    let mut project = read::project(
        &effective,
        &root,
        script,
        &fallback_name(&user_directory),
        &mut findings,
    );
    project.environment = environment.clone();

    let lists_secrets = effective.get("secrets").is_some();
    let mut secrets = secrets::load(&user_directory, environment.as_deref(), lists_secrets, options, files)?;
    if lists_secrets {
        let missing: Vec<&str> = project
            .required_secrets
            .iter()
            .map(String::as_str)
            .filter(|name| !secrets.pairs.iter().chain(&options.vars).any(|(key, _)| key == name))
            .collect();
        if !missing.is_empty() {
            let message = format!(
                "no value for {}: add it to .dev.vars or .env, or set it in the environment",
                missing.join(", ")
            );
            findings.warn(effective.at("secrets"), "secrets.required", message);
        }
        // Once the configuration lists its secrets, nothing else comes in: the process environment is full of things.
        let declared = |name: &String| {
            project.required_secrets.contains(name) || project.bindings.iter().any(|(binding, _)| binding == name)
        };
        secrets.pairs.retain(|(name, _)| declared(name));
    }
    read::merge_values(&mut project.bindings, secrets.pairs, &options.vars, &mut findings);

    project.config_path = place.config;
    project.user_config_path = place.user_config;
    project.redirected_by = place.redirect;
    project.watch = place.watch;
    project.watch.extend(secrets.watch);
    project.secret_files = secrets.files;
    project.warnings = findings.warnings;
    project.warnings.extend(secrets.warnings);
    if !findings.errors.is_empty() {
        let mut seen: Vec<(Option<Position>, String)> = Vec::new();
        // A wrong shape is found by the general check and again by the key's own reader: the first says it best.
        findings.errors.retain(|error| {
            let place = (error.at, error.key.clone());
            let new = error.at.is_none() || !seen.contains(&place);
            seen.push(place);
            new
        });
        findings.errors.sort_by_key(|error| error.at);
        return Err(ConfigError::Invalid(findings.errors));
    }
    // A build command may be what makes these files: then they are looked for after it has run.
    if project.build.command.is_none() || has_script {
        project.check_files(files)?;
    }
    Ok(project)
}

impl Project {
    /// Whether the entry and the directory of assets are there. [`load`] has asked already unless there is a build command:
    /// then it is to be asked after that has run.
    pub fn check_files(&self, files: &dyn Files) -> Result<(), ConfigError> {
        let mut findings = Findings::new(&self.places.file);
        if let Some(main) = self.main.as_deref().filter(|main| !files.is_file(main)) {
            let message = format!("there is no file {}", display(main, &self.root));
            findings.error(self.places.main, "main", message);
        }
        if let Some((directory, _)) = self
            .assets
            .as_ref()
            .filter(|(directory, _)| !files.is_directory(directory))
        {
            let message = format!("there is no directory {}", display(directory, &self.root));
            findings.error(self.places.assets, "assets.directory", message);
        }
        if findings.errors.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Invalid(findings.errors))
        }
    }
}

fn read_tree(path: &Path, findings: &mut Findings, files: &dyn Files) -> Result<Node, ConfigError> {
    let unreadable = |cause: String| ConfigError::Unreadable {
        file: findings.file.clone(),
        cause,
    };
    let Some(syntax) = find::syntax(path) else {
        return Err(unreadable(
            "a configuration's name ends in .json, .jsonc or .toml".to_owned(),
        ));
    };
    let text = files.read(path).map_err(|error| unreadable(error.to_string()))?;
    tree::parse(&text, syntax, findings)
}

/// A generated configuration was made for one environment; asking for another is a mistake.
fn check_target(tree: &Node, environment: Option<&str>, findings: &mut Findings) {
    let Some(entry) = tree.table().and_then(|table| table.get("targetEnvironment")) else {
        return;
    };
    if let (Value::Text(target), Some(environment)) = (&entry.node.value, environment)
        && target != environment
    {
        let message = format!(
            "was built for the environment \"{target}\", not for \"{environment}\": build it again for that one"
        );
        findings.error(entry.at, "targetEnvironment", message);
    }
}

/// A worker's name from that of its directory.
fn fallback_name(directory: &Path) -> String {
    let name = directory
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let legal = |c: char| {
        if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(legal).collect();
    let name = name.trim_matches('-');
    if name.is_empty() {
        "worker".to_owned()
    } else {
        name.to_owned()
    }
}

/// A path as messages show it: relative to `base` where it is below it.
pub(crate) fn display(path: &Path, base: &Path) -> String {
    match path.strip_prefix(base) {
        Ok(below) if !below.as_os_str().is_empty() => below.display().to_string(),
        _ => path.display().to_string(),
    }
}
