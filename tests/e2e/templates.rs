//! `atoll init` and what it makes: every template runs as it is.

use super::{get_text, start};
use crate::runner::server::{Server, Subject, repository};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Output;

/// Runs `atoll init` in `directory`.
fn init(directory: &Path, arguments: &[&str]) -> Result<Output> {
    let Subject::Atoll(binary) = Subject::find()? else {
        bail!("templates are ours")
    };
    let mut command = std::process::Command::new(binary);
    command
        .arg("init")
        .args(arguments)
        .current_dir(directory)
        .stdin(std::process::Stdio::null());
    command.output().context("run atoll init")
}

/// Makes a project of `template` and serves it.
async fn serve(folder: &tempfile::TempDir, template: &str, packages: bool) -> Result<Server> {
    let output = init(folder.path(), &["shop", "--template", template])?;
    if !output.status.success() {
        bail!(
            "atoll init ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let project = folder.path().join("shop");
    if packages {
        std::os::unix::fs::symlink(
            repository().join("tests/npm/node_modules"),
            project.join("node_modules"),
        )?;
    }
    Server::start(&start(&project, &folder.path().join("state"))?).await
}

async fn check(server: &Server, path: &str, contains: &str) -> Result<()> {
    let (status, text) = get_text(server, path).await?;
    if status != 200 || !text.contains(contains) {
        bail!(
            "{path} is {status}, expected 200 with {contains:?}:\n{text}\n{}",
            server.lines.since(0).join("\n")
        );
    }
    Ok(())
}

pub async fn hello() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = serve(&folder, "hello", false).await?;
    check(&server, "/", "ello").await?;
    server.stop().await
}

pub async fn guestbook() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = serve(&folder, "guestbook", false).await?;
    check(&server, "/", "<strong>1</strong> visit").await?;
    check(&server, "/style.css", "{").await?;
    server.stop().await
}

pub async fn hono() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = serve(&folder, "hono", true).await?;
    check(&server, "/", "<h1>").await?;
    check(&server, "/api/hello/Ada", "\"hello\":\"Ada\"").await?;
    server.stop().await
}

/// A second `init` in the same place changes nothing and says so.
pub async fn nothing_is_overwritten() -> Result<()> {
    let folder = tempfile::tempdir()?;
    if !init(folder.path(), &["shop"])?.status.success() {
        bail!("the first init failed");
    }
    let config = folder.path().join("shop/wrangler.jsonc");
    std::fs::write(&config, "mine")?;
    let again = init(folder.path(), &["shop", "--template", "guestbook"])?;
    if again.status.success() || std::fs::read_to_string(&config)? != "mine" {
        bail!("a second init went over the first");
    }
    let unknown = init(folder.path(), &["other", "--template", "nothing"])?;
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    if unknown.status.success() || !said.contains("guestbook") || folder.path().join("other").exists() {
        bail!("an unknown template is answered with {} and {said}", unknown.status);
    }
    Ok(())
}
