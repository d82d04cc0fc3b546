//! The program under test: started, told, waited for.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How long a start may take. Generous: a debug build on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// What `--grace` says.
const GRACE: &str = "30s";
/// A stop that takes longer than this is looked into: all clients take part, so nothing has to wait for long.
const SLOW_STOP: Duration = Duration::from_secs(10);
/// How long a stop may take: the grace, and what closing costs.
const STOP_DEADLINE: Duration = Duration::from_secs(45);

/// How servers are started.
pub struct Binary {
    /// The program.
    pub path: PathBuf,
    /// What it serves.
    pub project: PathBuf,
    /// With child processes.
    pub cordon: bool,
}

/// A running server.
pub struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it says how it is.
    admin: String,
}

impl Server {
    /// Starts one on `port` (0: any) and waits until it is ready.
    pub async fn start(binary: &Binary, port: u16) -> Result<Self> {
        let mut command = Command::new(&binary.path);
        command.arg("serve").arg(&binary.project);
        command.args(["--port", &port.to_string(), "--reuse-port", "--grace", GRACE]);
        command.args(["--log-format", "json", "--log-level", "warn", "--admin", "127.0.0.1:0"]);
        // The records of readiness and reloads are the program's own and of no level.
        command.args(["--isolation", if binary.cordon { "cordon" } else { "shared" }]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", binary.path.display()))?;
        // It was asked for just above.
        let stdout = child.stdout.take().context("no standard output")?;
        let mut server = Self {
            child,
            lines: BufReader::new(stdout).lines(),
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            admin: String::new(),
        };
        let ready = server.wait_for("ready").await?;
        let url = ready["url"].as_str().context("ready without url")?;
        let address = url.strip_prefix("http://").context("a URL of another scheme")?;
        server.address = address.parse()?;
        let admin = ready["admin"].as_str().and_then(|url| url.strip_prefix("http://"));
        server.admin = admin.context("ready without the address of metrics")?.to_owned();
        Ok(server)
    }

    /// Reads records until one of this event; warnings and errors on the way are shown.
    async fn wait_for(&mut self, event: &str) -> Result<Value> {
        let search = async {
            loop {
                let Some(line) = self.lines.next_line().await? else {
                    bail!("the server ended before \"{event}\"");
                };
                let record: Value = serde_json::from_str(&line).with_context(|| format!("no JSON: {line}"))?;
                if record["event"] == event {
                    return Ok(record);
                }
                println!("server: {line}");
            }
        };
        match timeout(START_DEADLINE, search).await {
            Ok(found) => found,
            Err(_) => bail!("no record \"{event}\" within {START_DEADLINE:?}"),
        }
    }

    fn signal(&self, signal: i32) -> Result<()> {
        let pid = self.child.id().context("the server has ended")?;
        let pid = i32::try_from(pid)?;
        // SAFETY: `kill` takes plain numbers; the child has not been waited for, so its id is still its own.
        if unsafe { libc::kill(pid, signal) } != 0 {
            return Err(std::io::Error::last_os_error()).context("signal the server");
        }
        Ok(())
    }

    /// SIGHUP, and what comes of it.
    pub async fn reload(&mut self, pause: Duration) -> Result<()> {
        tokio::time::sleep(pause).await;
        self.signal(libc::SIGHUP)?;
        let record = self.wait_for("reload").await?;
        if record["ok"] != true {
            bail!("the reload failed: {record}");
        }
        Ok(())
    }

    /// SIGUSR2, and what comes of it.
    pub async fn restart_children(&mut self, pause: Duration) -> Result<()> {
        tokio::time::sleep(pause).await;
        self.signal(libc::SIGUSR2)?;
        let record = self.wait_for("rolling").await?;
        if record["ok"] != true {
            bail!("the children were not restarted: {record}");
        }
        Ok(())
    }

    /// SIGTERM, and a clean end.
    pub async fn terminate(mut self) -> Result<()> {
        self.signal(libc::SIGTERM)?;
        // What it says is read, so that it never waits for a reader.
        let end = async {
            while let Some(line) = self.lines.next_line().await? {
                if !line.contains("\"stopping\"") {
                    println!("server: {line}");
                }
            }
            anyhow::Ok(self.child.wait().await?)
        };
        let slow = async {
            tokio::time::sleep(SLOW_STOP).await;
            println!(
                "server: not gone after {SLOW_STOP:?}:\n{}",
                metrics(&self.admin).await.unwrap_or_default()
            );
            std::future::pending::<()>().await;
        };
        let ended = async {
            tokio::select! {
                status = end => status,
                () = slow => unreachable!("it only tells"),
            }
        };
        let status = timeout(STOP_DEADLINE, ended).await.context("it did not end")??;
        if !status.success() {
            bail!("it ended with {status}");
        }
        Ok(())
    }
}

/// The figures that say what a server waits for.
async fn metrics(admin: &str) -> Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await?;
    let wanted = [
        "atoll_worker_",
        "atoll_isolates",
        "atoll_connections",
        "atoll_turns",
        "atoll_requests",
    ];
    let lines = page
        .lines()
        .filter(|line| wanted.iter().any(|wanted| line.starts_with(wanted)));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
