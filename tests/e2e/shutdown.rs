//! Signals: what is in flight is finished, what never ends is not waited for twice.

use super::{get, get_text, start, write_project};
use crate::runner::DEADLINE;
use crate::runner::origin::Origin;
use crate::runner::server::Server;
use anyhow::{Context, Result, bail};
use http_body_util::BodyExt;

/// Streams a first piece, waits for the origin's gate, streams the rest.
const WORKER: &str = r#"
const encoder = new TextEncoder();
export default {
  fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (pathname === "/ok") return new Response("ok");
    const gate = pathname === "/never" ? "never" : "gate/1";
    let piece = 0;
    const body = new ReadableStream({
      async pull(controller) {
        piece += 1;
        if (piece === 1) return controller.enqueue(encoder.encode("first;"));
        await fetch(`${env.ORIGIN}/${gate}`);
        controller.enqueue(encoder.encode("last;"));
        controller.close();
      },
    });
    ctx.waitUntil(Promise.resolve().then(() => console.log("in flight")));
    return new Response(body);
  },
};
"#;

async fn serve(folder: &tempfile::TempDir, origin: &Origin) -> Result<Server> {
    let project = folder.path().join("project");
    write_project(&project, WORKER, "")?;
    let mut start = start(&project, &folder.path().join("state"))?;
    start.args = vec!["--var".to_owned(), format!("ORIGIN:http://{}", origin.address)];
    Server::start(&start).await
}

/// An interrupt closes the listener, but an answer that has begun comes to its end.
pub async fn finishes_what_is_in_flight() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let origin = Origin::start().await?;
    let mut server = serve(&folder, &origin).await?;
    let (head, mut body) = get(&server, "/slow").await?.response.into_parts();
    if head.status != 200 {
        bail!("status {}", head.status);
    }
    let first = body.frame().await.context("no first piece")??;
    if first.data_ref().map(AsRef::as_ref) != Some(b"first;".as_slice()) {
        bail!("the first piece is {first:?}");
    }
    server.signal(libc::SIGINT)?;
    // The listener is closed before anything is waited for; until then new connections are still taken.
    let closed = async {
        while tokio::net::TcpStream::connect(server.address).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, closed)
        .await
        .context("it goes on listening after the interrupt")?;
    origin.open("1");
    let rest = body.collect().await.context("the answer broke off")?.to_bytes();
    if rest.as_ref() != b"last;" {
        bail!("the rest is {rest:?}");
    }
    let status = server.ended().await?;
    if !status.success() {
        bail!("it ended with {status}:\n{}", server.lines.since(0).join("\n"));
    }
    Ok(())
}

/// An answer that never ends holds the first interrupt, not the second.
pub async fn second_signal_does_not_wait() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let origin = Origin::start().await?;
    let mut server = serve(&folder, &origin).await?;
    let (_, mut body) = get(&server, "/never").await?.response.into_parts();
    body.frame().await.context("no first piece")??;
    server.signal(libc::SIGINT)?;
    let stopping = |line: &str| line.contains("stopping").then_some(());
    server
        .lines
        .wait(0, DEADLINE, stopping)
        .await
        .context("the first interrupt was not told")?;
    server.signal(libc::SIGINT)?;
    server.ended().await?;
    Ok(())
}

/// What a service manager sends is as good as Ctrl-C.
pub async fn terminate_is_clean() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let origin = Origin::start().await?;
    let mut server = serve(&folder, &origin).await?;
    let (status, text) = get_text(&server, "/ok").await?;
    if (status, text.as_str()) != (200, "ok") {
        bail!("{status} {text}");
    }
    server.signal(libc::SIGTERM)?;
    let status = server.ended().await?;
    if !status.success() {
        bail!("it ended with {status}:\n{}", server.lines.since(0).join("\n"));
    }
    Ok(())
}
