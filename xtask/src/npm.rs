//! Installing npm packages that a committed `package.json` and lock file pin.

use crate::{command, repository};
use std::path::Path;
use std::process::Command;

/// Installs `directory` (relative to `root`) unless it is there in the locked state; says what was done, or why not.
pub fn install(root: &Path, directory: &str, no_install: bool) -> Result<String, String> {
    let path = root.join(directory);
    let wanted = std::fs::read(path.join("package-lock.json"))
        .map_err(|error| format!("{directory}/package-lock.json: {error}"))?;
    // A copy of the lock file inside marks a finished installation.
    let mark = path.join("node_modules/.installed-lock.json");
    if std::fs::read(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(format!("{directory} is up to date"));
    }
    if no_install {
        return Err(format!("{directory} is not installed and --no-install was given"));
    }
    if !repository::has_program("npm") {
        return Err("npm is not installed".to_owned());
    }
    // Not `npm ci`: it refuses lock files in which packages of other platforms are left out.
    let mut npm = Command::new("npm");
    npm.current_dir(&path)
        .args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"]);
    command::run(&mut npm).map_err(|error| format!("{error:#}"))?;
    std::fs::write(&mark, wanted).map_err(|error| format!("{}: {error}", mark.display()))?;
    Ok(format!("{directory} installed"))
}
