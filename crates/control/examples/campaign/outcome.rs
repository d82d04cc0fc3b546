//! What a campaign found, told and turned into an exit code.

use anyhow::Result;
use std::path::Path;
use std::process::ExitCode;

/// Runs a campaign that says what is wrong in a directory of its own, which is kept if anything was.
pub async fn run(campaign: impl AsyncFnOnce(&Path) -> Result<Vec<String>>) -> ExitCode {
    match in_directory(campaign).await {
        Ok(wrong) if wrong.is_empty() => ExitCode::SUCCESS,
        Ok(wrong) => {
            for what in wrong {
                eprintln!("wrong: {what}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn in_directory(campaign: impl AsyncFnOnce(&Path) -> Result<Vec<String>>) -> Result<Vec<String>> {
    let temporary = tempfile::tempdir()?;
    let outcome = campaign(temporary.path()).await;
    if outcome.as_ref().map_or(true, |wrong| !wrong.is_empty()) {
        println!("what its processes left is in {}", temporary.keep().display());
    }
    outcome
}
