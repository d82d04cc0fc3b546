//! `cargo xtask codegen`: the Rust of the messages between control plane and PoPs, from `crates/api/proto`. What it writes is
//! checked in, so that a build needs no code generator; a test of this package holds the two together.

use crate::{CommandResult, repository};
use anyhow::{Context, bail};
use std::fs;
use std::path::Path;

const PROTO: &str = "crates/api/proto";
const OUT: &str = "crates/api/src/generated";
const FILES: [&str; 1] = ["pop.proto"];

/// Arguments of `cargo xtask codegen`.
#[derive(clap::Args)]
pub struct Options {
    /// Write nothing; fail if a file is not what the protocol says.
    #[arg(long)]
    check: bool,
}

/// `cargo xtask codegen`.
pub fn command(options: &Options) -> CommandResult {
    let root = repository::root();
    let stale = run(&root, !options.check)?;
    if options.check && !stale.is_empty() {
        bail!("{} is not what {PROTO} says; run cargo xtask codegen", stale.join(", "));
    }
    println!("codegen: {} files differed", stale.len());
    Ok(())
}

/// The files that differ from what the protocol says; with `write`, they do no more.
fn run(root: &Path, write: bool) -> anyhow::Result<Vec<String>> {
    let made = std::env::temp_dir().join(format!("atoll-codegen-{}", std::process::id()));
    fs::create_dir_all(&made).with_context(|| made.display().to_string())?;
    let outcome = generate(root, &made).and_then(|()| compare(&made, &root.join(OUT), write));
    // Only a leftover in the directory of temporary files if it fails.
    let _ = fs::remove_dir_all(&made);
    outcome
}

fn generate(root: &Path, made: &Path) -> anyhow::Result<()> {
    let descriptors = protox::compile(FILES, [root.join(PROTO)])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .out_dir(made)
        .compile_fds(descriptors)
        .context("generate")
}

fn compare(made: &Path, kept: &Path, write: bool) -> anyhow::Result<Vec<String>> {
    let mut stale = Vec::new();
    for entry in fs::read_dir(made)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = format!(
            "// Made by cargo xtask codegen; change crates/api/proto instead.\n{}",
            fs::read_to_string(entry.path())?
        );
        let path = kept.join(&name);
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        if write {
            fs::create_dir_all(kept)?;
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        stale.push(name);
    }
    Ok(stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_checked_in_is_what_the_protocol_says() {
        let stale = run(&repository::root(), false).unwrap();
        assert_eq!(stale, Vec::<String>::new(), "run cargo xtask codegen");
    }
}
