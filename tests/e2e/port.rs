//! A port that is taken.

use super::{start, write_project};
use crate::runner::server::Server;
use anyhow::{Context, Result, bail};
use regex::Regex;

const WORKER: &str = "export default { fetch() { return new Response('ok'); } };\n";

/// The error names the busy port and one that is free, and the process ends with a failure.
pub async fn busy_port_names_a_free_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    write_project(&project, WORKER, "")?;
    let held = std::net::TcpListener::bind("127.0.0.1:0")?;
    let busy = held.local_addr()?.port();
    let mut start = start(&project, &folder.path().join("state"))?;
    start.port = busy;
    let (status, lines) = Server::start_to_end(&start).await?;
    let said = lines.join("\n");
    if status.success() {
        bail!("it ended with success:\n{said}");
    }
    if !said.contains(&busy.to_string()) {
        bail!("it does not name the busy port {busy}:\n{said}");
    }
    let numbers = Regex::new(r"\b\d{4,5}\b")?;
    let free = numbers
        .find_iter(&said)
        .filter_map(|number| number.as_str().parse::<u16>().ok())
        .find(|port| *port != busy);
    let free = free.with_context(|| format!("it names no other port than {busy}:\n{said}"))?;
    std::net::TcpListener::bind(("127.0.0.1", free))
        .with_context(|| format!("the port {free} that it names is not free:\n{said}"))?;
    Ok(())
}
