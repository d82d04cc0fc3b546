//! Which file is the configuration.
//!
//! The nearest directory, going up, that has a `wrangler.json`, `.jsonc` or `.toml` (in this order). Beside it a framework's
//! build may have left `.wrangler/deploy/config.json`, whose `configPath`, relative to that file, is then read in its place.

use super::diagnostic::{Complaint, ConfigError, Findings};
use super::tree::{self, Syntax};
use super::{Files, LoadOptions, display};
use std::io;
use std::path::{Component, Path, PathBuf};

const NAMES: [&str; 3] = ["wrangler.json", "wrangler.jsonc", "wrangler.toml"];

/// Where a framework's build says which configuration it made, relative to the user's.
const REDIRECT: [&str; 3] = [".wrangler", "deploy", "config.json"];

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file to read.
    pub config: Option<PathBuf>,
    /// The file the user wrote.
    pub user_config: Option<PathBuf>,
    /// The redirect that led from one to the other.
    pub redirect: Option<PathBuf>,
    /// Files that would change the answer if they came or went.
    pub watch: Vec<PathBuf>,
}

/// Looks from `directory` upwards, or takes the file that the options name.
pub(crate) fn find(directory: &Path, options: &LoadOptions, files: &dyn Files) -> Result<Place, ConfigError> {
    if let Some(config) = &options.config {
        let config = normal(&options.cwd.join(config));
        let place = Place {
            config: Some(config.clone()),
            user_config: Some(config.clone()),
            redirect: None,
            watch: vec![config],
        };
        return Ok(place);
    }
    let user_config = directory.ancestors().find_map(|directory| {
        NAMES
            .iter()
            .map(|name| directory.join(name))
            .find(|path| files.is_file(path))
    });
    let redirect = directory.ancestors().map(redirect_in).find(|path| files.is_file(path));
    let beside = redirect_in(user_config.as_deref().and_then(Path::parent).unwrap_or(directory));
    let mut watch: Vec<PathBuf> = user_config.iter().cloned().collect();
    watch.push(beside.clone());
    let Some(redirect) = redirect else {
        return Ok(Place {
            config: user_config.clone(),
            user_config,
            redirect: None,
            watch,
        });
    };
    let file = display(&redirect, &options.cwd);
    if let Some(user_config) = &user_config
        && beside != redirect
    {
        return Err(invalid(
            &file,
            format!(
                "redirects to the output of a build, but is not beside {}; delete it if an earlier build left it, \
                 or run from the directory whose configuration you want",
                display(user_config, &options.cwd)
            ),
        ));
    }
    let text = files.read(&redirect).map_err(|error| ConfigError::Unreadable {
        file: file.clone(),
        cause: error.to_string(),
    })?;
    let mut findings = Findings::new(&file);
    let root = tree::parse(&text, Syntax::Json, &mut findings)?;
    let fields = root
        .table()
        .and_then(|_| super::scope::Fields::of(&root, "", &mut findings));
    let target = fields.and_then(|fields| fields.required_text("configPath", &mut findings));
    let Some(target) = target else {
        return Err(ConfigError::Invalid(findings.errors));
    };
    // The redirect is a file in a directory, so it has a parent.
    let config = normal(&redirect.parent().unwrap_or(directory).join(target));
    if !files.is_file(&config) {
        return Err(invalid(
            &file,
            format!(
                "points at {}, which is not there; build the project again or delete this file",
                display(&config, &options.cwd)
            ),
        ));
    }
    watch.push(config.clone());
    Ok(Place {
        config: Some(config),
        user_config,
        redirect: Some(redirect),
        watch,
    })
}

fn redirect_in(directory: &Path) -> PathBuf {
    REDIRECT
        .iter()
        .fold(directory.to_path_buf(), |path, part| path.join(part))
}

fn invalid(file: &str, message: String) -> ConfigError {
    ConfigError::Invalid(vec![Complaint {
        file: file.to_owned(),
        at: None,
        key: String::new(),
        message,
    }])
}

/// How a configuration of this name is written.
pub(crate) fn syntax(path: &Path) -> Option<Syntax> {
    match path.extension()?.to_str()? {
        "json" | "jsonc" => Some(Syntax::Json),
        "toml" => Some(Syntax::Toml),
        _ => None,
    }
}

/// The path without `.` and `..`, by its text alone: the file need not exist yet.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                // Above the root is the root.
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// Whether an error says that there is no such file.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
