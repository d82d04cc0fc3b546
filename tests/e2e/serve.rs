//! `atoll serve`: several projects by host, health, metrics, records, reloads, stops, two processes on one port.

use super::write_project;
use crate::runner::DEADLINE;
use crate::runner::client::{self, Answer};
use crate::runner::format::Protocol;
use crate::runner::origin::Origin;
use crate::runner::server::{Command, Server, Start, Subject};
use anyhow::{Context, Result, bail};
use http_body_util::BodyExt;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Between two looks at something that another process does.
const LOOK: Duration = Duration::from_millis(20);

pub fn start(project: &Path, state: &Path, args: &[&str]) -> Result<Start> {
    Ok(Start {
        command: Command::Serve,
        subject: Subject::find()?,
        directory: project.to_owned(),
        state: state.to_owned(),
        port: 0,
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: BTreeMap::new(),
    })
}

/// A project of this name whose worker answers with `text`.
pub fn named(folder: &Path, name: &str, worker: &str, config: &str) -> Result<PathBuf> {
    let project = folder.join(name);
    std::fs::create_dir_all(&project)?;
    std::fs::write(project.join("worker.js"), worker)?;
    let config = format!(
        "{{ \"name\": \"{name}\", \"main\": \"worker.js\", \"compatibility_date\": \"2026-08-01\"{config} }}\n"
    );
    std::fs::write(project.join("wrangler.jsonc"), config)?;
    Ok(project)
}

async fn ask(address: SocketAddr, host: &str, target: &str) -> Result<Answer> {
    let request = http::Request::get(target)
        .header("host", host)
        .body(client::whole(Vec::new()))?;
    client::send(address, Protocol::Http1, request).await
}

pub async fn text(address: SocketAddr, host: &str, target: &str) -> Result<(u16, String)> {
    let (head, body) = ask(address, host, target).await?.response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((head.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<()> {
    if found != expected {
        bail!("{what} is {found:?}, expected {expected:?}");
    }
    Ok(())
}

/// The address of health and metrics, as the record of readiness says it.
pub async fn admin(server: &Server) -> Result<SocketAddr> {
    let of = |line: &str| {
        line.lines()
            .find_map(|field| field.strip_prefix("admin: http://")?.parse().ok())
    };
    let found = server.lines.wait(0, DEADLINE, of).await;
    found.context("no address of health and metrics")
}

/// Waits until the server has written a record of this event, and gives it back.
async fn record(server: &Server, since: usize, event: &str) -> Result<String> {
    let wanted = format!("event: {event}");
    let of = |line: &str| line.lines().any(|field| field == wanted).then(|| line.to_owned());
    let found = server.lines.wait(since, DEADLINE, of).await;
    found.with_context(|| format!("no record \"{event}\":\n{}", server.lines.since(0).join("\n")))
}

const CALLER: &str = "export default { async fetch(request, env) {
  const answer = await env.API.fetch('http://api/from-web');
  return new Response('web, ' + await answer.text());
} };\n";
const CALLED: &str =
    "export default { fetch(request) { return new Response('api ' + new URL(request.url).pathname); } };\n";

/// Several projects are told apart by host and path, and call each other.
pub async fn several_projects_by_host() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let binding = ", \"services\": [{ \"binding\": \"API\", \"service\": \"api\" }], \"routes\": [\"example.com/*\"]";
    let web = named(folder.path(), "web", CALLER, binding)?;
    named(folder.path(), "api", CALLED, "")?;
    let mut start = start(
        &web,
        &folder.path().join("state"),
        &["--route", "example.com/api/*=api"],
    )?;
    start.args.insert(0, folder.path().join("api").display().to_string());
    let mut server = Server::start(&start).await?;
    for (host, path, expected) in [
        ("example.com", "/", (200, "web, api /from-web")),
        ("EXAMPLE.com:1234", "/x", (200, "web, api /from-web")),
        ("example.com", "/api/y", (200, "api /api/y")),
        ("web.localhost", "/", (200, "web, api /from-web")),
        ("api.localhost", "/z", (200, "api /z")),
        ("elsewhere.com", "/", (404, "Not Found")),
    ] {
        let (status, body) = text(server.address, host, path).await?;
        same(&format!("{host}{path}"), (status, body.as_str()), expected)?;
    }
    server.stop().await
}

const FAILING: &str = "export default { fetch(request) {
  const { pathname } = new URL(request.url);
  if (pathname === '/throw') throw new Error('a secret of the inside');
  if (pathname === '/print') console.warn('printed by the worker');
  return new Response('fine');
} };\n";

/// Clients learn nothing of an error's inside; the operator finds it in the records, with the id that the client has.
pub async fn errors_are_for_the_operator() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    write_project(&project, FAILING, "")?;
    let mut server = Server::start(&start(&project, &folder.path().join("state"), &[])?).await?;
    let (status, body) = text(server.address, "a", "/throw").await?;
    if status != 500 || body.contains("secret") || body.contains("worker.js") {
        bail!("{status} {body}");
    }
    let id = body.split_whitespace().last().context("no id")?.to_owned();
    let exception = record(&server, 0, "exception").await?;
    for part in ["a secret of the inside", "worker.js", &id] {
        if !exception.contains(part) {
            bail!("{part:?} is not in {exception}");
        }
    }
    let request = record(&server, 0, "request").await?;
    // The first of a worker that was started by the deployment.
    for part in [
        "status: 500",
        "path: /throw",
        "outcome: exception",
        "worker: test",
        "start: prewarmed",
        &id,
    ] {
        if !request.contains(part) {
            bail!("{part:?} is not in {request}");
        }
    }
    text(server.address, "a", "/print").await?;
    let printed = record(&server, 0, "log").await?;
    if !printed.contains("printed by the worker") || !printed.contains("level: warn") {
        bail!("{printed}");
    }
    // What a developer's server offers, a public one does not.
    let (status, body) = text(server.address, "a", "/cdn-cgi/handler/scheduled").await?;
    same("the local trigger", (status, body.as_str()), (200, "fine"))?;
    server.stop().await
}

/// Health, readiness and metrics, off the public port.
pub async fn health_and_metrics() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    write_project(&project, FAILING, "")?;
    // The figures of isolates are those of the process that is asked.
    let args = ["--admin", "127.0.0.1:0", "--isolation", "shared"];
    let mut server = Server::start(&start(&project, &folder.path().join("state"), &args)?).await?;
    let admin = admin(&server).await?;
    same(
        "/healthz",
        text(admin, "a", "/healthz").await?,
        (200, "alive\n".to_owned()),
    )?;
    same(
        "/readyz",
        text(admin, "a", "/readyz").await?,
        (200, "ready\n".to_owned()),
    )?;
    same("another path", text(admin, "a", "/").await?.0, 404)?;
    same(
        "a worker's /metrics",
        text(server.address, "a", "/metrics").await?,
        (200, "fine".to_owned()),
    )?;
    text(server.address, "a", "/").await?;
    text(server.address, "a", "/throw").await?;
    let (head, body) = ask(admin, "a", "/metrics").await?.response.into_parts();
    let page = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
    let content_type = head.headers.get("content-type").and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|value| value.starts_with("application/openmetrics-text")) {
        bail!("the type is {content_type:?}");
    }
    for line in [
        "atoll_requests_total{worker=\"test\",status=\"2xx\",outcome=\"ok\"} 2",
        "atoll_requests_total{worker=\"test\",status=\"5xx\",outcome=\"exception\"} 1",
        "atoll_request_duration_seconds_count{worker=\"test\"} 3",
        "atoll_request_duration_seconds_bucket{le=\"+Inf\",worker=\"test\"} 3",
        "atoll_worker_isolates{worker=\"test\"} 1.0",
        "atoll_isolate_starts_total 1",
        "atoll_worker_starts_total{worker=\"test\",start=\"warm\"} 2",
        "atoll_worker_starts_total{worker=\"test\",start=\"cold\"} 0",
        "atoll_worker_starts_total{worker=\"test\",start=\"prewarmed\"} 1",
        "atoll_connections_total 3",
        "atoll_log_records_dropped_total 0",
        "atoll_ready 1.0",
        "# EOF",
    ] {
        if !page.lines().any(|known| known == line) {
            bail!("no line {line:?} in:\n{page}");
        }
    }
    // Their values are the moment's.
    for start in ["process_cpu_seconds_total ", "atoll_worker_in_flight{worker=\"test\"} "] {
        if !page.lines().any(|line| line.starts_with(start)) {
            bail!("no line that starts with {start:?} in:\n{page}");
        }
    }
    server.stop().await
}

/// Streams a first piece, waits for the origin's gate, streams the rest.
const GATED: &str = "const encoder = new TextEncoder();
export default { fetch(request, env) {
  if (new URL(request.url).pathname !== '/slow') return new Response('ok');
  let piece = 0;
  return new Response(new ReadableStream({ async pull(controller) {
    piece += 1;
    if (piece === 1) return controller.enqueue(encoder.encode('first;'));
    await fetch(env.ORIGIN + '/gate/1');
    controller.enqueue(encoder.encode('last;'));
    controller.close();
  } }));
} };\n";

/// A signal to stop: not ready, then no new connections, `Connection: close` on kept ones, what streams comes to its end.
pub async fn a_stop_finishes_what_is_in_flight() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let origin = Origin::start().await?;
    let project = folder.path().join("project");
    write_project(&project, GATED, "")?;
    let variable = format!("ORIGIN:http://{}", origin.address);
    let allowed = origin.address.to_string();
    let args = ["--admin", "127.0.0.1:0", "--var", &variable, "--allow-net", &allowed];
    let mut server = Server::start(&start(&project, &folder.path().join("state"), &args)?).await?;
    let admin = admin(&server).await?;
    let (_, mut body) = ask(server.address, "a", "/slow").await?.response.into_parts();
    let first = body.frame().await.context("no first piece")??;
    same(
        "the first piece",
        first.data_ref().map(AsRef::as_ref),
        Some(b"first;".as_slice()),
    )?;
    let mut kept = TcpStream::connect(server.address).await?;
    let again = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    kept.write_all(again).await?;
    let mut answer = [0; 4096];
    let length = kept.read(&mut answer).await?;
    if String::from_utf8_lossy(&answer[..length]).contains("connection: close") {
        bail!("it closes a connection before it is told to stop");
    }

    server.signal(libc::SIGTERM)?;
    record(&server, 0, "stopping").await?;
    let ready = text(admin, "a", "/readyz").await?;
    same("/readyz", ready, (503, "not ready: stopping\n".to_owned()))?;
    same("/healthz", text(admin, "a", "/healthz").await?.0, 200)?;
    let refused = async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(DEADLINE, refused)
        .await
        .context("it goes on listening")?;
    // The kept connection is answered once more, and told that this was the last time.
    kept.write_all(again).await?;
    let mut rest = Vec::new();
    kept.read_to_end(&mut rest).await?;
    let rest = String::from_utf8_lossy(&rest).into_owned();
    if !rest.starts_with("HTTP/1.1 200") || !rest.contains("connection: close") {
        bail!("the kept connection got {rest:?}");
    }
    origin.open("1");
    let rest = body.collect().await.context("the answer broke off")?.to_bytes();
    same("the rest", rest.as_ref(), b"last;".as_slice())?;
    let status = server.ended().await?;
    if !status.success() {
        bail!("it ended with {status}");
    }
    Ok(())
}

/// What outlasts the grace is cut, and said; a second signal does not wait for it.
pub async fn the_grace_and_the_second_signal_bound_a_stop() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let origin = Origin::start().await?;
    let project = folder.path().join("project");
    write_project(&project, GATED, "")?;
    let variable = format!("ORIGIN:http://{}", origin.address);
    let allowed = origin.address.to_string();
    for (grace, second) in [("100ms", None), ("1h", Some(143))] {
        let args = ["--var", &variable, "--allow-net", &allowed, "--grace", grace];
        let mut server = Server::start(&start(&project, &folder.path().join("state"), &args)?).await?;
        let (_, mut body) = ask(server.address, "a", "/slow").await?.response.into_parts();
        body.frame().await.context("no first piece")??;
        server.signal(libc::SIGTERM)?;
        if let Some(expected) = second {
            record(&server, 0, "stopping").await?;
            server.signal(libc::SIGTERM)?;
            same("the status", server.ended().await?.code(), Some(expected))?;
            continue;
        }
        same("the status", server.ended().await?.code(), Some(0))?;
        let cut = record(&server, 0, "warning").await?;
        if !cut.contains("1 connections were cut off") {
            bail!("{cut}");
        }
    }
    Ok(())
}

/// SIGHUP serves what the project is now; what is wrong with it changes nothing.
pub async fn a_hangup_reloads() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    let worker = |text: &str| format!("export default {{ fetch() {{ return new Response('{text}'); }} }};\n");
    write_project(&project, &worker("one"), "")?;
    let mut server = Server::start(&start(&project, &folder.path().join("state"), &[])?).await?;
    same("the answer", text(server.address, "a", "/").await?.1, "one".to_owned())?;
    for (source, ok, expected) in [
        (worker("two"), true, "two"),
        ("throw new Error('no');\n".to_owned(), false, "two"),
        (worker("three"), true, "three"),
    ] {
        std::fs::write(project.join("worker.js"), source)?;
        let since = server.lines.count();
        server.signal(libc::SIGHUP)?;
        let reload = record(&server, since, "reload").await?;
        if !reload.contains(&format!("ok: {ok}")) {
            bail!("{reload}");
        }
        same(
            "the answer",
            text(server.address, "a", "/").await?.1,
            expected.to_owned(),
        )?;
    }
    server.stop().await
}

const COUNTER: &str = "export default { async fetch(request, { KV }) {
  const count = Number((await KV.get('count')) ?? 0) + 1;
  await KV.put('count', String(count));
  return new Response(String(count));
} };\n";

/// A successor waits on the shared port until the one before has let go of the stored state, and answers what came meanwhile.
/// How many sockets listen on a port of IPv4: `/proc/net/tcp`, state `0A`.
fn listeners(port: u16) -> Result<usize> {
    let port = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let listens = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&port)) && fields.nth(1) == Some("0A")
    };
    Ok(table.lines().filter(listens).count())
}

pub async fn stored_state_changes_hands() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    write_project(
        &project,
        COUNTER,
        ", \"kv_namespaces\": [{ \"binding\": \"KV\", \"id\": \"1\" }]",
    )?;
    let state = folder.path().join("state");
    let mut first = Server::start(&start(&project, &state, &["--reuse-port"])?).await?;
    same(
        "the first answer",
        text(first.address, "a", "/").await?.1,
        "1".to_owned(),
    )?;
    // Without a shared port there is nothing to wait for.
    let (status, lines) = Server::start_to_end(&start(&project, &state, &[])?).await?;
    if status.success() || !lines.iter().any(|line| line.contains("served already")) {
        bail!("{status}: {}", lines.join("\n"));
    }
    let mut start = start(&project, &state, &["--reuse-port", "--admin", "127.0.0.1:0"])?;
    start.port = first.address.port();
    let second = tokio::spawn(async move { Server::start(&start).await });
    // The successor takes the port before the state. Until it has it, an end of the first would refuse clients.
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while listeners(first.address.port())? < 2 {
        if second.is_finished() || tokio::time::Instant::now() > deadline {
            bail!(
                "the successor does not listen: {:?}",
                second.await?.map(|server| server.address)
            );
        }
        tokio::time::sleep(LOOK).await;
    }
    // While it waits, everything still goes to the one that has the state.
    for expected in 2..20 {
        let answer = text(first.address, "a", "/").await?;
        same("an answer of the first", answer, (200, expected.to_string()))?;
        tokio::time::sleep(LOOK).await;
    }
    first.signal(libc::SIGTERM)?;
    let address = first.address;
    let clients = tokio::spawn(async move {
        let mut last = 0;
        for _ in 0..20 {
            let (status, body) = text(address, "a", "/").await?;
            last = body
                .trim()
                .parse::<u32>()
                .map_err(|_| anyhow::anyhow!("an answer at the change is {status} {body:?}"))?;
        }
        anyhow::Ok(last)
    });
    let status = first.ended().await?;
    if !status.success() {
        bail!("the first ended with {status}");
    }
    let mut second = second.await??;
    same("the last count", clients.await??, 39)?;
    second.stop().await
}

/// What a newcomer gets wrong, and what is said of it.
pub async fn mistakes_are_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    write_project(
        &project,
        COUNTER,
        ", \"kv_namespaces\": [{ \"binding\": \"KV\", \"id\": \"1\" }]",
    )?;
    let state = folder.path().join("state");
    let file = folder.path().join("file");
    std::fs::write(&file, "")?;
    let held = std::net::TcpListener::bind("127.0.0.1:0")?;
    let busy = held.local_addr()?.to_string();
    let below_a_file = file.join("state");
    let check = async |project: &Path, state: &Path, args: &[&str], expected: &[&str]| {
        let (status, lines) = Server::start_to_end(&start(project, state, args)?).await?;
        let said = lines.join("\n");
        if status.success() {
            bail!("{args:?}: it ended with success:\n{said}");
        }
        for expected in expected {
            if !said.contains(expected) {
                bail!("{args:?}: {expected:?} is not said:\n{said}");
            }
        }
        anyhow::Ok(())
    };
    check(
        &project,
        &below_a_file,
        &[],
        &["The KV store cannot be opened", "file/state"],
    )
    .await?;
    check(&project, &state, &["--admin", &busy], &["in use"]).await?;
    check(
        &project,
        &state,
        &["--route", "a.com=tset"],
        &["Did you mean \"test\"?"],
    )
    .await?;
    check(
        &project,
        &state,
        &["--tls-cert", "none.pem", "--tls-key", "none.pem"],
        &["none.pem"],
    )
    .await?;
    check(&project, &state, &["--allow-net", "10.0.0.0/99"], &["--allow-net"]).await?;
    check(&project, &state, &["--isolaton", "shared"], &["--isolation"]).await?;
    Ok(())
}

/// A service manager's socket is taken in the place of an own one, and connections wait in it while the process is replaced.
pub async fn a_passed_socket_outlives_the_process() -> Result<()> {
    use std::os::fd::AsRawFd;

    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    write_project(&project, FAILING, "")?;
    let Subject::Atoll(binary) = Subject::find()? else {
        bail!("the peer takes no sockets")
    };
    let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    let (managed, passed) = (folder.path().join("notify"), socket.as_raw_fd());
    let manager = tokio::net::UnixDatagram::bind(&managed)?;
    let spawn = || {
        // The shell's process becomes the server's, so that its id is the one that the variable names.
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", "LISTEN_PID=$$ exec \"$@\"", "sh"]).arg(&binary);
        command
            .args(["serve", "--log-format", "json", "--persist-to"])
            .arg(folder.path().join("state"));
        command
            .arg(&project)
            .env("LISTEN_FDS", "1")
            .env("NOTIFY_SOCKET", &managed);
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true);
        // SAFETY: `dup2` may be called between fork and exec; the descriptor is open as long as this closure is used.
        unsafe {
            command.pre_exec(move || match libc::dup2(passed, 3) {
                3 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        command.spawn()
    };
    let said = async |expected: &str| {
        let mut text = [0; 64];
        let length = tokio::time::timeout(DEADLINE, manager.recv(&mut text))
            .await
            .context("nothing was said")??;
        same(
            "what the manager was told",
            String::from_utf8_lossy(&text[..length]).as_ref(),
            expected,
        )
    };
    let mut first = spawn()?;
    said("READY=1").await?;
    same("the first answer", text(address, "a", "/").await?.1, "fine".to_owned())?;
    let pid = i32::try_from(first.id().context("it has ended")?)?;
    // SAFETY: `kill` takes plain numbers; the child has not been waited for, so its id is still its own.
    unsafe { libc::kill(pid, libc::SIGTERM) };
    said("STOPPING=1").await?;
    let status = tokio::time::timeout(DEADLINE, first.wait())
        .await
        .context("it did not end")??;
    same("the status", status.code(), Some(0))?;
    // Nobody serves now; the question waits.
    let waiting = tokio::spawn(async move { text(address, "a", "/").await });
    let _second = spawn()?;
    said("READY=1").await?;
    same("the answer of the second", waiting.await??, (200, "fine".to_owned()))
}
