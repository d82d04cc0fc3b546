//! PostgreSQL for the tests of the catalog: its programs; each test starts a server of its own.

use crate::{command, repository};
use std::path::Path;
use std::process::Command;

/// Where Debian keeps the programs, below a directory for each version.
const VERSIONS: &str = "/usr/lib/postgresql";

fn installed() -> bool {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let has = |directory: &Path| directory.join("bin/initdb").is_file();
    repository::has_program("initdb") || versions.into_iter().any(|entry| has(&entry.path()))
}

/// Installs the server's programs unless they are there; says what was done, or why not.
pub fn install(no_install: bool) -> Result<String, String> {
    if installed() {
        return Ok("PostgreSQL is installed".to_owned());
    }
    if no_install {
        return Err("PostgreSQL is not installed and --no-install was given".to_owned());
    }
    if !repository::has_program("apt-get") {
        return Err("PostgreSQL is not installed, and only Debian's way of installing it is known here".to_owned());
    }
    // The tests run servers of their own: the package must not set one up.
    let mut apt = Command::new("apt-get");
    apt.args(["install", "-y", "--no-install-recommends", "postgresql"]);
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt.env("PG_CREATE_MAIN_CLUSTER", "false");
    command::run(&mut apt).map_err(|error| format!("{error:#}"))?;
    if installed() {
        Ok("PostgreSQL installed".to_owned())
    } else {
        Err("PostgreSQL was installed, but its programs are not where they are looked for".to_owned())
    }
}
