//! `cargo xtask reference`: writes `docs/reference` from the tables of the code, or says which pages are stale. The binary knows
//! the tables; a test of its own makes the same comparison in every test run.

use crate::{CommandResult, command, repository};

/// Arguments of `cargo xtask reference`.
#[derive(clap::Args)]
pub struct Options {
    /// Write nothing; fail if a page is not what the code says.
    #[arg(long)]
    check: bool,
}

/// `cargo xtask reference`.
pub fn command(options: &Options) -> CommandResult {
    let root = repository::root();
    // The whole workspace, as everything is built: another selection would compile the dependencies again.
    command::run(
        command::cargo()
            .current_dir(&root)
            .args(["build", "--locked", "--workspace", "--bins"]),
    )?;
    let mut binary = std::process::Command::new(repository::target_dir(&root).join("debug/atoll"));
    binary.current_dir(&root).args(["__reference", "docs/reference"]);
    if options.check {
        binary.arg("--check");
    }
    command::run(&mut binary)
}
