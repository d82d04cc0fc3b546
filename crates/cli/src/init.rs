//! `atoll init`: a new project from one of the example applications.
//!
//! The templates are the files of `examples/` themselves, so what is tested is what a newcomer gets. Nothing that exists is
//! ever overwritten: if one file is in the way, none is written.

mod templates;
#[cfg(test)]
mod tests;

pub use templates::{TEMPLATES, Template, TemplateFile, find};

use std::io;
use std::path::{Path, PathBuf};

/// The longest project name: it becomes the worker's.
const NAME_LENGTH_MAX: usize = 63;

/// A project that was made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Created {
    /// The worker's name.
    pub name: String,
    /// The template it came from.
    pub template: &'static str,
    /// The directory.
    pub directory: PathBuf,
    /// The files written, relative to the directory.
    pub files: Vec<&'static str>,
    /// What to type next, in order.
    pub next: Vec<String>,
}

/// Why no project was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is no such template.
    #[error("there is no template \"{0}\"; there are {names}", names = templates::names())]
    Template(String),
    /// The name cannot be a worker's.
    #[error(
        "\"{0}\" cannot be a worker's name: it takes lower-case letters, digits, dashes and underscores, does not begin with a \
         dash and has at most {NAME_LENGTH_MAX} characters"
    )]
    Name(String),
    /// Files are in the way.
    #[error("{} has {} already; choose another name, or an empty directory", directory.display(), files.join(", "))]
    Exists {
        /// The directory.
        directory: PathBuf,
        /// The files that would have been overwritten.
        files: Vec<&'static str>,
    },
    /// A file or directory could not be written.
    #[error("cannot write {}: {cause}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// Makes a project. With a name it goes into a directory of that name below `cwd`, without one into `cwd` itself.
pub fn create(cwd: &Path, name: Option<&str>, template: &str) -> Result<Created, InitError> {
    let template = find(template).ok_or_else(|| InitError::Template(template.to_owned()))?;
    let (directory, name) = match name {
        Some(name) => (cwd.join(name), checked(name)?),
        None => (cwd.to_path_buf(), from_directory(cwd, template)),
    };
    let present: Vec<&'static str> = template
        .files
        .iter()
        .map(|file| file.path)
        // A link that leads nowhere is in the way too.
        .filter(|path| directory.join(path).symlink_metadata().is_ok())
        .collect();
    if !present.is_empty() {
        return Err(InitError::Exists {
            directory,
            files: present,
        });
    }
    for file in template.files {
        let path = directory.join(file.path);
        write_new(&path, &contents(file, template, &name))?;
    }
    let mut next = Vec::new();
    if directory != cwd {
        next.push(format!("cd {name}"));
    }
    if template.needs_install {
        next.push("npm install".to_owned());
    }
    next.push("atoll dev".to_owned());
    let files = template.files.iter().map(|file| file.path).collect();
    Ok(Created {
        name,
        template: template.name,
        directory,
        files,
        next,
    })
}

impl Created {
    /// What to tell a person.
    pub fn summary(&self) -> String {
        let mut text = format!(
            "Made {} from the template {} in {}\n\n",
            self.name,
            self.template,
            self.directory.display()
        );
        for file in &self.files {
            if !file.starts_with("vendor/") {
                text.push_str(&format!("  {file}\n"));
            }
        }
        text.push_str("\nNext:\n");
        for command in &self.next {
            text.push_str(&format!("  {command}\n"));
        }
        text
    }

    /// What to tell a program: one line of JSON.
    pub fn json(&self) -> String {
        // A struct of strings and paths; only a path that is not UTF-8 can fail, and then it is shown as well as it can be.
        serde_json::to_string(self).unwrap_or_else(|_| {
            serde_json::json!({ "name": self.name, "template": self.template,
                "directory": self.directory.display().to_string(), "files": self.files, "next": self.next })
            .to_string()
        })
    }
}

/// The file as the new project has it: the template's name is replaced where it stands for the worker's.
fn contents(file: &TemplateFile, template: &Template, name: &str) -> Vec<u8> {
    match (file.path, std::str::from_utf8(file.content)) {
        ("wrangler.jsonc" | "package.json", Ok(text)) => {
            let old = format!("\"name\": \"{}\"", template.name);
            text.replacen(&old, &format!("\"name\": \"{name}\""), 1).into_bytes()
        }
        _ => file.content.to_vec(),
    }
}

fn write_new(path: &Path, content: &[u8]) -> Result<(), InitError> {
    use std::io::Write as _;
    let failed = |cause| InitError::Write {
        path: path.to_path_buf(),
        cause,
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    // `create_new` refuses a file that came into being since they were looked for.
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(failed)?;
    file.write_all(content).map_err(failed)
}

fn checked(name: &str) -> Result<String, InitError> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if name.is_empty() || name.starts_with('-') || name.len() > NAME_LENGTH_MAX || !name.chars().all(legal) {
        return Err(InitError::Name(name.to_owned()));
    }
    Ok(name.to_owned())
}

/// A worker's name from that of the directory it is made in, or else the template's.
fn from_directory(directory: &Path, template: &Template) -> String {
    let name = directory
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase().replace([' ', '.'], "-"));
    name.and_then(|name| checked(&name).ok())
        .unwrap_or_else(|| template.name.to_owned())
}
