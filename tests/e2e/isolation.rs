//! What one worker does to others: nothing.

use super::{get_text, start, write_project};
use crate::runner::DEADLINE;
use crate::runner::server::{Command, Server};
use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Computes without end at `/loop`, and says so before.
const LOOPS: &str = r#"
export default {
  async fetch(request) {
    if (new URL(request.url).pathname === "/loop") {
      console.log("looping");
      await null;
      for (;;) {}
    }
    return new Response("worker");
  },
};
"#;

/// A worker in an endless loop: assets are still served, the process still ends when told to.
pub async fn a_stuck_worker_stops_no_one_else() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    write_project(&project, LOOPS, ", \"assets\": { \"directory\": \"public\" }")?;
    std::fs::create_dir(project.join("public"))?;
    std::fs::write(project.join("public/file.txt"), "asset")?;
    let mut server = Server::start(&start(&project, &folder.path().join("state"))?).await?;
    let stuck = tokio::net::TcpStream::connect(server.address).await?;
    stuck.writable().await?;
    stuck.try_write(format!("GET /loop HTTP/1.1\r\nHost: {}\r\n\r\n", server.address).as_bytes())?;
    let looping = |line: &str| line.contains("looping").then_some(());
    server
        .lines
        .wait(0, DEADLINE, looping)
        .await
        .context("the loop did not begin")?;
    for _ in 0..20 {
        let answer = tokio::time::timeout(DEADLINE, get_text(&server, "/file.txt"));
        let (status, text) = answer.await.context("no asset was served while the worker looped")??;
        if (status, text.as_str()) != (200, "asset") {
            bail!("the asset is {status} {text}");
        }
    }
    drop(stuck);
    server.signal(libc::SIGINT)?;
    server.ended().await?;
    Ok(())
}

/// On the threads of its connections: one that computes holds up what is beside it until its limit, is counted, and nothing is lost.
pub async fn a_worker_that_is_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    write_project(&project, LOOPS, ", \"limits\": { \"cpu_ms\": 300 }")?;
    let mut start = start(&project, &folder.path().join("state"))?;
    start.command = Command::Serve;
    start.args = vec!["--isolation".to_owned(), "alone".to_owned()];
    let mut server = Server::start(&start).await?;
    let pid = server.pid().context("the server is there")?;
    let mut beside = tokio::net::TcpStream::connect(server.address).await?;
    let ask = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    answered(&mut beside, &ask, "200 OK").await?;
    if !threads(pid)?.iter().any(|name| name.starts_with("atoll-home-")) {
        bail!("no home among {:?}", threads(pid)?);
    }
    let mut stuck = tokio::net::TcpStream::connect(server.address).await?;
    let spin = format!("GET /loop HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    stuck.write_all(spin.as_bytes()).await?;
    let looping = |line: &str| line.contains("looping").then_some(());
    let began = server.lines.wait(0, DEADLINE, looping).await;
    began.context("the loop did not begin")?;
    // Beside it, and anew.
    answered(&mut beside, &ask, "200 OK").await?;
    answered(&mut stuck, "", "500 ").await?;
    answered(&mut stuck, &ask, "200 OK").await?;
    for _ in 0..20 {
        let (status, text) = get_text(&server, "/").await?;
        if (status, text.as_str()) != (200, "worker") {
            bail!("afterwards it answers {status} {text}");
        }
    }
    drop((beside, stuck));
    server.signal(libc::SIGTERM)?;
    server.ended().await?;
    Ok(())
}

/// Sends a request, and reads until its answer's first bytes are there, which begin with `status` after the version.
async fn answered(stream: &mut tokio::net::TcpStream, request: &str, status: &str) -> Result<()> {
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = vec![0; 4096];
    let read = tokio::time::timeout(DEADLINE, stream.read(&mut bytes)).await;
    let count = read.context("no answer")??;
    let said = String::from_utf8_lossy(&bytes[..count]).into_owned();
    if !said.starts_with(&format!("HTTP/1.1 {status}")) {
        bail!("asked {request:?}, it says {said:?}");
    }
    Ok(())
}

/// The names of a process's threads.
fn threads(pid: i32) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        names.push(std::fs::read_to_string(thread?.path().join("comm"))?.trim().to_owned());
    }
    Ok(names)
}

/// A second server on the same state does not start: it says who has it and what to do.
pub async fn one_server_for_one_state() -> Result<()> {
    const WORKER: &str = "export default { fetch() { return new Response('first'); } };\n";
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    write_project(
        &project,
        WORKER,
        ", \"kv_namespaces\": [{ \"binding\": \"KV\", \"id\": \"1\" }]",
    )?;
    let start = start(&project, &folder.path().join("state"))?;
    let first = Server::start(&start).await?;
    let (status, lines) = Server::start_to_end(&start).await?;
    let said = lines.join("\n");
    if status.success() {
        bail!("the second ended with success:\n{said}");
    }
    for text in ["open in another process", "--persist-to"] {
        if !said.contains(text) {
            bail!("it does not say {text:?}:\n{said}");
        }
    }
    let (status, text) = get_text(&first, "/").await?;
    if (status, text.as_str()) != (200, "first") {
        bail!("the first answers {status} {text}");
    }
    Ok(())
}

/// Two servers of the same project with different state directories share nothing.
pub async fn two_servers_keep_their_state_apart() -> Result<()> {
    const WORKER: &str = r#"
export default {
  async fetch(request, { KV }) {
    const count = Number((await KV.get("count")) ?? 0) + 1;
    await KV.put("count", String(count));
    return new Response(String(count));
  },
};
"#;
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    write_project(
        &project,
        WORKER,
        ", \"kv_namespaces\": [{ \"binding\": \"KV\", \"id\": \"1\" }]",
    )?;
    let first = Server::start(&start(&project, &folder.path().join("one"))?).await?;
    let second = Server::start(&start(&project, &folder.path().join("two"))?).await?;
    for (server, expected) in [
        (&first, "1"),
        (&first, "2"),
        (&second, "1"),
        (&first, "3"),
        (&second, "2"),
    ] {
        let (status, text) = get_text(server, "/").await?;
        if (status, text.as_str()) != (200, expected) {
            bail!("{status} {text}, expected {expected}");
        }
    }
    Ok(())
}
