//! Workers in child processes: how they are locked in, what a crash costs, and that a restart costs nothing.

use super::{get, get_text, start, write_project};
use crate::runner::DEADLINE;
use crate::runner::client;
use crate::runner::format::Protocol;
use crate::runner::server::{Command, Server, Subject};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// Clients that ask without a pause.
const CLIENTS: u32 = 8;
/// Crashes, and restarts, of one test run.
const ROUNDS: u32 = 5;

const WORKER: &str = r#"
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/echo") return new Response(request.body);
    if (pathname === "/endless") {
      return new Response(new ReadableStream({ pull(controller) { controller.enqueue(new Uint8Array(32 * 1024)); } }));
    }
    if (pathname === "/stream") {
      let piece = 0;
      return new Response(new ReadableStream({
        async pull(controller) {
          await new Promise((done) => setTimeout(done, 50));
          controller.enqueue(new TextEncoder().encode(`${piece};`));
          if (++piece === 20) controller.close();
        },
      }));
    }
    return new Response("here");
  },
};
"#;

/// Whether this machine gives what children need; says so once if not.
pub fn machine_locks() -> bool {
    let given = std::process::Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "--pid",
            "--net",
            "--ipc",
            "--fork",
            "true",
        ])
        .stderr(std::process::Stdio::null())
        .status();
    let locks = given.is_ok_and(|status| status.success());
    if !locks {
        eprintln!("SKIPPED: tests of child processes: this machine gives no user namespaces (or has no unshare(1))");
    }
    locks
}

async fn serve(folder: &tempfile::TempDir, isolation: &str) -> Result<Server> {
    let project = folder.path().join("project");
    write_project(&project, WORKER, "")?;
    let mut start = start(&project, &folder.path().join("state"))?;
    start.args = vec!["--isolation".to_owned(), isolation.to_owned()];
    start.command = Command::Serve;
    Server::start(&start).await
}

/// Processes whose parent is `parent`.
fn children(parent: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let numbers = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter(|number| field(*number, "PPid").is_some_and(|of| of == parent.to_string()))
        .collect()
}

/// A line of what the kernel says of a process.
fn field(process: i32, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// The locked-in processes of a server: each the only child of one that waits for it.
fn locked_in(server: &Server) -> Result<Vec<i32>> {
    let server = server.pid().context("the server is there")?;
    Ok(children(server).into_iter().flat_map(children).collect())
}

/// The one that runs the worker: a thread of it has the worker's name.
fn serving(server: &Server) -> Result<Option<i32>> {
    Ok(locked_in(server)?.into_iter().find(|process| {
        let threads = std::fs::read_dir(format!("/proc/{process}/task"));
        threads.into_iter().flatten().flatten().any(|thread| {
            let name = std::fs::read_to_string(thread.path().join("comm"));
            name.is_ok_and(|name| name.trim() == "test")
        })
    }))
}

/// Waits until `what` gives something.
async fn until<T>(what: impl Fn() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = what()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("it did not come to pass");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the kernel says of a child: every layer is on.
pub async fn children_are_locked_in() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = serve(&folder, "cordon").await?;
    let (status, text) = get_text(&server, "/").await?;
    if (status, text.as_str()) != (200, "here") {
        bail!("{status} {text}");
    }
    let child = until(|| serving(&server)).await?;
    for (name, expected) in [
        ("Seccomp", "2"),
        ("NoNewPrivs", "1"),
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
    ] {
        let found = field(child, name);
        if found.as_deref() != Some(expected) {
            bail!("{name} is {found:?}");
        }
    }
    let own = |what: &str| std::fs::read_link(format!("/proc/self/{what}"));
    // Whose process it is may not look at these files; root may.
    let theirs = |what: &str| std::fs::read_link(format!("/proc/{child}/{what}"));
    if theirs("ns/user").is_ok() {
        for space in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
            let what = format!("ns/{space}");
            if own(&what)? == theirs(&what)? {
                bail!("it shares the {space} namespace");
            }
        }
        let root = std::fs::read_dir(format!("/proc/{child}/root/"))?.count();
        if root != 0 {
            bail!("its root has {root} entries");
        }
        for descriptor in std::fs::read_dir(format!("/proc/{child}/fd"))? {
            let to = std::fs::read_link(descriptor?.path())?;
            let to = to.to_string_lossy();
            if !["socket:", "pipe:", "anon_inode:"]
                .iter()
                .any(|kind| to.starts_with(kind))
            {
                bail!("it has {to} open");
            }
        }
        // Processes there is one of: itself.
        let pids = field(child, "NSpid").unwrap_or_default();
        if pids.split_whitespace().last() != Some("1") {
            bail!("NSpid is {pids}");
        }
    }
    server.stop().await
}

/// Asks without a pause until told to stop, and counts what came.
struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU32>,
    clients: Vec<tokio::task::JoinHandle<Result<Vec<String>>>>,
}

impl Load {
    fn start(address: std::net::SocketAddr) -> Self {
        let (stop, good) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let clients = (0..CLIENTS).map(|_| {
            let (stop, good) = (stop.clone(), good.clone());
            tokio::task::spawn_local(async move {
                let mut bad = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match ask(address).await {
                        Ok((200, text)) if text == "here" => drop(good.fetch_add(1, Ordering::Relaxed)),
                        Ok((status, text)) => bad.push(format!("{status} {text}")),
                        Err(error) => bad.push(format!("{error:#}")),
                    }
                }
                Ok(bad)
            })
        });
        let clients = clients.collect();
        Self { stop, good, clients }
    }

    /// Waits for more good answers.
    async fn more(&self, count: u32) -> Result<()> {
        let wanted = self.good.load(Ordering::Relaxed) + count;
        until(|| Ok((self.good.load(Ordering::Relaxed) >= wanted).then_some(()))).await
    }

    /// All bad answers.
    async fn end(self) -> Result<Vec<String>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut bad = Vec::new();
        for client in self.clients {
            bad.extend(client.await??);
        }
        Ok(bad)
    }
}

async fn ask(address: std::net::SocketAddr) -> Result<(u16, String)> {
    let request = http::Request::get("/")
        .header("host", address.to_string())
        .body(client::whole(Vec::new()))?;
    let answer = client::send(address, Protocol::Http1, request).await?;
    let (head, body) = answer.response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((head.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

/// A child that is killed under load takes along what it had in flight, and no more; what comes next is served.
pub async fn a_crash_costs_its_own_requests() -> Result<()> {
    tokio::task::LocalSet::new().run_until(Box::pin(crash())).await
}

async fn crash() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = serve(&folder, "cordon").await?;
    get_text(&server, "/").await?;
    let load = Load::start(server.address);
    for _ in 0..ROUNDS {
        load.more(20).await?;
        let child = until(|| serving(&server)).await?;
        // SAFETY: plain numbers; the process is one of this server's.
        if unsafe { libc::kill(child, libc::SIGKILL) } != 0 {
            bail!("the child cannot be killed");
        }
        until(|| Ok((!Path::new(&format!("/proc/{child}")).exists()).then_some(()))).await?;
        load.more(20).await?;
    }
    let bad = load.end().await?;
    if let Some(odd) = bad.iter().find(|bad| !bad.starts_with("502 ")) {
        bail!("{odd}");
    }
    if bad.len() > (ROUNDS * CLIENTS) as usize {
        bail!("{ROUNDS} crashes under {CLIENTS} clients cost {} requests", bad.len());
    }
    server.stop().await
}

/// Children are followed by fresh ones under load, with an answer in the middle: nothing fails.
pub async fn a_rolling_restart_loses_nothing() -> Result<()> {
    tokio::task::LocalSet::new().run_until(Box::pin(restart())).await
}

async fn restart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = serve(&folder, "cordon").await?;
    get_text(&server, "/").await?;
    let load = Load::start(server.address);
    for _ in 0..ROUNDS {
        let stream = get(&server, "/stream").await?;
        let (pieces, fed) = tokio::sync::mpsc::unbounded_channel();
        pieces.send(Bytes::from_static(b"before, "))?;
        let upload = http::Request::post("/echo")
            .header("host", server.address.to_string())
            .body(client::fed(fed, http::HeaderMap::new()))?;
        let echo = client::send(server.address, Protocol::Http1, upload).await?;
        let old = until(|| serving(&server)).await?;
        let since = server.lines.count();
        server.signal(libc::SIGUSR2)?;
        let restarted = |line: &str| line.contains("rolling").then_some(());
        let text = stream.response.into_body().collect().await?.to_bytes();
        if !text.ends_with(b"18;19;") {
            bail!("the answer in the middle of a restart is {text:?}");
        }
        // What goes through the old child with no isolate behind it, long after the restart began.
        pieces.send(Bytes::from_static(b"after"))?;
        drop(pieces);
        let text = echo.response.into_body().collect().await?.to_bytes();
        if text != "before, after" {
            bail!("the upload in the middle of a restart is answered with {text:?}");
        }
        server
            .lines
            .wait(since, DEADLINE, restarted)
            .await
            .context("no restart")?;
        load.more(20).await?;
        if Path::new(&format!("/proc/{old}")).exists() {
            bail!("the old child is still there");
        }
    }
    let bad = load.end().await?;
    if !bad.is_empty() {
        bail!("{bad:?}");
    }
    server.stop().await
}

/// Bytes of memory that the server shares, or shared, with children.
fn shared_bytes(server: &Server) -> Result<u64> {
    let server = server.pid().context("the server is there")?;
    let mut bytes = 0;
    for entry in std::fs::read_dir(format!("/proc/{server}/fd"))?.flatten() {
        let path = entry.path();
        if std::fs::read_link(&path).is_ok_and(|name| name.to_string_lossy().starts_with("/memfd:atoll-link")) {
            // Closed meanwhile, it has none.
            bytes += std::fs::metadata(&path).map_or(0, |file| file.blocks() * 512);
        }
    }
    Ok(bytes)
}

/// What a child shared with the server goes with it, but for what a client still waits for.
pub async fn a_child_that_is_gone_leaves_no_memory() -> Result<()> {
    const CLIENTS: u64 = 12;
    const MIB: u64 = 1024 * 1024;
    let folder = tempfile::tempdir()?;
    let mut server = serve(&folder, "cordon").await?;
    get_text(&server, "/").await?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        let mut client = socket.connect(server.address).await?;
        client.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await?;
        clients.push(client);
    }
    // Each has a window's worth waiting for it.
    until(|| Ok((shared_bytes(&server)? >= CLIENTS * MIB / 5).then_some(()))).await?;
    clients.truncate(1);
    let child = until(|| serving(&server)).await?;
    // SAFETY: plain numbers; the process is one of this server's.
    if unsafe { libc::kill(child, libc::SIGKILL) } != 0 {
        bail!("the child cannot be killed");
    }
    let left = until(|| Ok(Some(shared_bytes(&server)?).filter(|left| *left < MIB))).await?;
    if left < MIB / 16 {
        bail!("only {left} bytes are left of an answer that somebody waits for");
    }
    drop(clients);
    until(|| Ok((shared_bytes(&server)? < MIB / 16).then_some(()))).await?;
    server.stop().await
}

/// A process for the tenant; no process outlives the server, however it ends.
pub async fn dedicated_and_shutdown() -> Result<()> {
    for hard in [false, true] {
        let folder = tempfile::tempdir()?;
        let mut server = serve(&folder, "dedicated").await?;
        let (status, text) = get_text(&server, "/").await?;
        if (status, text.as_str()) != (200, "here") {
            bail!("{status} {text}");
        }
        let processes = until(|| Ok(Some(locked_in(&server)?).filter(|all| all.len() >= 2))).await?;
        if hard {
            server.kill().await?;
        } else {
            server.stop().await?;
        }
        let gone = || {
            processes
                .iter()
                .all(|process| !Path::new(&format!("/proc/{process}")).exists())
        };
        until(|| Ok(gone().then_some(()))).await?;
    }
    Ok(())
}

/// Where the kernel gives no namespaces, no worker runs, unless that was allowed; then what is missing is said.
pub async fn a_missing_layer_is_refused_or_told() -> Result<()> {
    const SCRIPT: &str = r#"
for kind in user mnt pid net ipc uts cgroup; do echo 0 > /proc/sys/user/max_${kind}_namespaces || exit 99; done
exec "$0" "$@"
"#;
    let Subject::Atoll(program) = Subject::find()? else {
        bail!("this is about our binary");
    };
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    write_project(&project, WORKER, "")?;
    for allowed in [false, true] {
        let mut command = tokio::process::Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "sh", "-c", SCRIPT])
            .arg(&program);
        command
            .arg("serve")
            .arg(&project)
            .args(["--port", "0", "--isolation", "cordon", "--log-format", "json"]);
        command.arg("--persist-to").arg(folder.path().join("state"));
        command.env("ATOLL_SANDBOX_ALLOW_DOWNGRADE", if allowed { "1" } else { "0" });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        let read = async {
            while let Some(line) = lines.next_line().await? {
                said.push_str(&line);
                said.push('\n');
                if line.contains("\"ready\"") {
                    return Ok::<_, anyhow::Error>(true);
                }
            }
            Ok(false)
        };
        let ready = tokio::time::timeout(DEADLINE, read)
            .await
            .context("neither ready nor ended")??;
        if ready != allowed {
            bail!("with the downgrade allowed: {allowed}, ready: {ready}\n{said}");
        }
        if !allowed && !said.contains("user namespace is missing") {
            bail!("it does not say what is missing:\n{said}");
        }
        if allowed && !(said.contains("locked in less") && said.contains("pid namespace")) {
            bail!("it does not say what it goes on without:\n{said}");
        }
        child.start_kill().ok();
        child.wait().await?;
    }
    Ok(())
}
