//! Local secrets: which of `.dev.vars`, `.env` and the process environment are read, and in which order.
//!
//! `.dev.vars.ENV`, or else `.dev.vars`, alone counts where it exists. Else `.env`, `.env.local`, `.env.ENV` and
//! `.env.ENV.local` are laid over each other, with `$NAME` references resolved, and the process environment over them if
//! `CLOUDFLARE_INCLUDE_PROCESS_ENV` is `true` or the configuration lists the secrets it needs.

use super::diagnostic::{Complaint, ConfigError, Position};
use super::{Files, LoadOptions, display, dotenv};
use std::path::{Path, PathBuf};

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    pub pairs: Vec<(String, String)>,
    /// The files that were there.
    pub files: Vec<PathBuf>,
    /// Every file that was looked for: one that appears later matters too.
    pub watch: Vec<PathBuf>,
    pub warnings: Vec<Complaint>,
}

/// `directory` is that of the configuration the user wrote. `required` says that the configuration lists its secrets.
pub(crate) fn load(
    directory: &Path,
    environment: Option<&str>,
    required: bool,
    options: &LoadOptions,
    files: &dyn Files,
) -> Result<Secrets, ConfigError> {
    let mut secrets = Secrets::default();
    if options.env_files.is_empty() {
        let names = environment
            .map(|name| format!(".dev.vars.{name}"))
            .into_iter()
            .chain([".dev.vars".to_owned()]);
        for name in names {
            if let Some(pairs) = secrets.read(directory.join(name), options, files)? {
                secrets.pairs = pairs;
                return Ok(secrets);
            }
        }
        if options.boolean("CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV") == Some(false) {
            return Ok(secrets);
        }
    }
    let paths: Vec<PathBuf> = if options.env_files.is_empty() {
        let mut names = vec![".env".to_owned(), ".env.local".to_owned()];
        if let Some(environment) = environment {
            names.extend([format!(".env.{environment}"), format!(".env.{environment}.local")]);
        }
        names.into_iter().map(|name| directory.join(name)).collect()
    } else {
        options
            .env_files
            .iter()
            .map(|file| super::find::normal(&directory.join(file)))
            .collect()
    };
    let mut layered = Vec::new();
    for path in paths {
        let named = !options.env_files.is_empty();
        match secrets.read(path.clone(), options, files)? {
            Some(pairs) => pairs
                .into_iter()
                .for_each(|(key, value)| dotenv::set(&mut layered, key, value)),
            None if named => {
                return Err(ConfigError::Unreadable {
                    file: display(&path, &options.cwd),
                    cause: "it is not there".into(),
                });
            }
            None => {}
        }
    }
    let process: &[(String, String)] = if required || options.boolean("CLOUDFLARE_INCLUDE_PROCESS_ENV") == Some(true) {
        &options.process_env
    } else {
        &[]
    };
    secrets.pairs = dotenv::expand(&layered, process);
    for (key, value) in process {
        dotenv::set(&mut secrets.pairs, key.clone(), value.clone());
    }
    Ok(secrets)
}

impl Secrets {
    fn read(
        &mut self,
        path: PathBuf,
        options: &LoadOptions,
        files: &dyn Files,
    ) -> Result<Option<Vec<(String, String)>>, ConfigError> {
        self.watch.push(path.clone());
        let file = display(&path, &options.cwd);
        let text = match files.read(&path) {
            Ok(text) => text,
            Err(error) if super::find::is_absent(&error) => return Ok(None),
            Err(error) => {
                return Err(ConfigError::Unreadable {
                    file,
                    cause: error.to_string(),
                });
            }
        };
        let parsed = dotenv::parse(&text);
        for line in parsed.odd_lines {
            self.warnings.push(Complaint {
                file: file.clone(),
                at: Some(Position { line, column: 1 }),
                key: String::new(),
                message: "this line is not KEY=VALUE: skipped".to_owned(),
            });
        }
        self.files.push(path);
        Ok(Some(parsed.pairs))
    }
}
