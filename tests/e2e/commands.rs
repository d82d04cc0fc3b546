//! The small commands: help, version, completions, types; wrong words.

use crate::runner::server::{Subject, repository};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(directory: &Path, arguments: &[&str]) -> Result<Output> {
    let Subject::Atoll(binary) = Subject::find()? else {
        bail!("the commands are ours")
    };
    let output = Command::new(binary)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output();
    output.with_context(|| format!("run atoll {}", arguments.join(" ")))
}

/// Arguments, exit status, and a text in what is printed.
pub async fn answers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let check = |arguments: &[&str], status: i32, contains: &str| {
        let output = run(folder.path(), arguments)?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text += &String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(status) || !text.contains(contains) {
            bail!(
                "atoll {arguments:?} ended with {}, expected {status} and {contains:?}:\n{text}",
                output.status
            );
        }
        Ok(())
    };
    check(&["--version"], 0, "atoll 0.")?;
    check(&["--help"], 0, "dev")?;
    check(&["dev", "--help"], 0, "--persist-to")?;
    check(&["completions", "bash"], 0, "complete")?;
    check(&["completions", "zsh"], 0, "#compdef")?;
    check(&["completions", "fish"], 0, "complete")?;
    check(&["dve"], 2, "dev")?;
    check(&["dev", "--prot", "1"], 2, "--port")?;
    check(&["dev", "--port", "70000"], 2, "70000")?;
    check(&["serve", "--help"], 0, "--admin")?;
    check(&["srve"], 2, "serve")?;
    check(&["serve", "--grace", "ten"], 2, "500ms")?;
    check(&["serve", "no-such-folder"], 1, "no-such-folder")?;
    check(&["serve"], 1, "no configuration found")?;
    check(&["dev", "no-such-folder"], 1, "no-such-folder")
}

/// The types of an example's bindings, into a copy of it.
pub async fn types() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("guestbook");
    crate::runner::copy(&repository().join("examples/guestbook"), &project)?;
    let file = project.join("worker-configuration.d.ts");
    std::fs::remove_file(&file)?;
    let output = run(&project, &["types"])?;
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let text = std::fs::read_to_string(&file)?;
    for part in ["GUESTBOOK: KVNamespace", "TITLE:", "ENTRIES_KEPT:"] {
        if !text.contains(part) {
            bail!("the types lack {part:?}:\n{text}");
        }
    }
    Ok(())
}
