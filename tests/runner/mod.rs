//! Runs a spec: a worker's project in a temporary folder, the program under test on it, and the steps one after the other.

pub mod client;
pub mod expect;
pub mod format;
pub mod origin;
pub mod server;
mod socket;
mod steps;
mod tcp;

use anyhow::{Context, Result, bail};
use format::Spec;
use origin::Origin;
use server::{Server, Start, Subject, repository};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one step may wait for what it expects. It bounds a failure; nothing is expected to take this long.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The project, the server and what the steps have learnt so far.
pub struct Session {
    /// The server under test.
    pub server: Server,
    start: Start,
    project: PathBuf,
    origin: Origin,
    /// Texts that stand for `{{name}}`.
    names: BTreeMap<String, String>,
    /// The number of the line printed first after the last step that was no `log`.
    since: usize,
    // Last: the folder is removed when everything that uses it is gone.
    _folder: tempfile::TempDir,
}

impl Session {
    /// Puts the texts in place of `{{name}}`; an unknown name is the spec's mistake.
    pub fn fill(&self, text: &str) -> Result<String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("{{") {
            filled += &rest[..start];
            let Some(end) = rest[start..].find("}}") else { break };
            let name = &rest[start + 2..start + end];
            filled += self
                .names
                .get(name)
                .with_context(|| format!("nothing is called {{{{{name}}}}}"))?;
            rest = &rest[start + end + 2..];
        }
        Ok(filled + rest)
    }
}

/// Runs one spec folder; `Ok(Some(reason))` if it was skipped.
pub async fn run(folder: &Path, spec: &Spec, subject: &Subject) -> Result<Option<String>> {
    if let (Some(reason), true) = (&spec.peer_differs, subject.is_peer()) {
        return Ok(Some(reason.clone()));
    }
    let origin = Origin::start().await.context("start the origin")?;
    let temporary = tempfile::tempdir().context("make a temporary folder")?;
    let project = temporary.path().join("project");
    match &spec.project {
        Some(other) => copy(&repository().join(other), &project)?,
        None => copy(folder, &project)?,
    }
    if spec.npm {
        let packages = repository().join("tests/npm/node_modules");
        if !packages.is_dir() {
            bail!("{} is missing: `cargo xtask test` installs it", packages.display());
        }
        std::os::unix::fs::symlink(&packages, project.join("node_modules")).context("link node_modules")?;
    }
    let mut names = BTreeMap::new();
    let certificate = temporary.path().join("origin.pem");
    std::fs::write(&certificate, &origin.certificate).context("write the origin's certificate")?;
    names.insert("ORIGIN".to_owned(), format!("http://{}", origin.address));
    names.insert("TCP".to_owned(), origin.tcp_address.to_string());
    names.insert(
        "TLS_ORIGIN".to_owned(),
        format!("https://localhost:{}", origin.tls_address.port()),
    );
    names.insert("TLS_CERTIFICATE".to_owned(), certificate.to_string_lossy().into_owned());
    let fill = |text: &String| {
        names.iter().fold(text.clone(), |text, (name, value)| {
            text.replace(&format!("{{{{{name}}}}}"), value)
        })
    };
    let start = Start {
        command: server::Command::Dev,
        subject: subject.clone(),
        directory: spec
            .directory
            .as_ref()
            .map_or_else(|| project.clone(), |below| project.join(below)),
        state: temporary.path().join("state"),
        port: 0,
        args: spec.args.iter().map(fill).collect(),
        env: spec
            .env
            .iter()
            .map(|(name, value)| (name.clone(), fill(value)))
            .collect(),
    };

    if let Some(fails) = &spec.fails {
        let (status, lines) = Server::start_to_end(&start).await?;
        let printed = lines.join("\n");
        if status.success() {
            bail!("it ended with success, expected a failure:\n{printed}");
        }
        for text in &fails.says {
            if !printed.contains(text.as_str()) {
                bail!("it does not say {text:?}:\n{printed}");
            }
        }
        return Ok(None);
    }

    let server = Server::start(&start).await?;
    let mut session = Session {
        server,
        start,
        project,
        origin,
        names,
        since: 0,
        _folder: temporary,
    };
    session.learn_address();
    for (number, step) in spec.step.iter().enumerate() {
        if step.peer_differs.is_some() && subject.is_peer() {
            continue;
        }
        if let Err(error) = session.step(step).await {
            let lines = session.server.lines.since(0);
            let tail = lines[lines.len().saturating_sub(60)..].join("\n  | ");
            let about = &spec.about;
            bail!(
                "{about}\nstep {} ({}): {error:#}\nprinted:\n  | {tail}",
                number + 1,
                step.title()
            );
        }
    }
    // Every spec also shows that an interrupt ends the server cleanly.
    if subject.is_peer() {
        session.server.signal(libc::SIGTERM)?;
        session.server.ended().await?;
    } else {
        session.server.stop().await.context("at the end of the spec")?;
    }
    Ok(None)
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "node_modules" {
                copy(&entry.path(), &target)?;
            }
        } else {
            std::fs::copy(entry.path(), &target).with_context(|| format!("copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}
