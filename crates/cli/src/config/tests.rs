//! Whole configurations, read from files that exist in memory alone: what a user writes, and what comes of it.

mod environments;
mod errors;
mod finding;
mod secrets;
mod small;
mod values;
mod warnings;

use super::*;
use atoll_model::BindingSpec;
use std::collections::BTreeMap;

/// Files by absolute path.
#[derive(Default)]
pub(super) struct Memory(pub BTreeMap<PathBuf, String>);

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn is_file(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.0.keys().any(|file| file.starts_with(path) && file != path)
    }
}

/// A project in `/w/app`, with an entry and a directory of assets in it; paths are relative to it.
pub(super) fn files(files: &[(&str, &str)]) -> Memory {
    let mut memory = Memory::default();
    for (path, text) in [("src/index.ts", ""), ("public/index.html", "")].iter().chain(files) {
        memory
            .0
            .insert(find::normal(&Path::new("/w/app").join(path)), (*text).to_owned());
    }
    memory
}

pub(super) fn options() -> LoadOptions {
    LoadOptions {
        cwd: "/w/app".into(),
        directory: ".".into(),
        ..LoadOptions::default()
    }
}

/// Loads a project whose `wrangler.jsonc` has these keys beside a name, an entry and a date.
pub(super) fn with(keys: &str) -> Result<Project, ConfigError> {
    in_environment(keys, None)
}

pub(super) fn in_environment(keys: &str, environment: Option<&str>) -> Result<Project, ConfigError> {
    let comma = if keys.is_empty() { "" } else { "," };
    let text = format!(
        "{{ \"name\": \"app\", \"main\": \"src/index.ts\", \"compatibility_date\": \"2026-08-01\"{comma}\n{keys}\n}}"
    );
    let options = LoadOptions {
        environment: environment.map(str::to_owned),
        ..options()
    };
    load(&options, &files(&[("wrangler.jsonc", &text)]))
}

/// The errors as they are printed, or none.
pub(super) fn complaints(result: Result<Project, ConfigError>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

pub(super) fn warnings(project: &Project) -> Vec<String> {
    project.warnings.iter().map(Complaint::to_string).collect()
}

/// The bindings in a short form: `A=text`, `KV=kv(id)`, `DB=D1 database(shop)`.
pub(super) fn bindings(project: &Project) -> Vec<String> {
    let show = |(name, spec): &(String, BindingSpec)| match spec {
        BindingSpec::Text { value } => format!("{name}={value}"),
        BindingSpec::Json { value } => format!("{name}=json({value})"),
        BindingSpec::Secret { value } => format!("{name}=secret({value})"),
        BindingSpec::Kv { namespace } => format!("{name}=kv({namespace})"),
        BindingSpec::Assets => format!("{name}=assets"),
        BindingSpec::VersionMetadata => format!("{name}=version"),
        BindingSpec::RateLimit {
            namespace,
            limit,
            period_seconds,
        } => format!("{name}=limit({namespace}, {limit} in {period_seconds})"),
        BindingSpec::Analytics { dataset } => format!("{name}=dataset({dataset})"),
        BindingSpec::StoreSecret { name: secret, value } => format!("{name}=stored({secret}, {value:?})"),
        BindingSpec::Service {
            service,
            entrypoint,
            props,
        } => format!("{name}=service({service} {entrypoint:?} {props:?})"),
        BindingSpec::WorkerLoader => format!("{name}=loader"),
        BindingSpec::Unbuilt(unbuilt) => format!("{name}={}({})", unbuilt.kind, unbuilt.target),
    };
    project.bindings.iter().map(show).collect()
}
