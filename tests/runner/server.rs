//! The program under test as a process: its arguments, what it prints, and how it is stopped.
//!
//! Our own binary by default. With `ATOLL_PEER` set to the path of `wrangler`, the same specs run against `wrangler dev`,
//! which shows whether an expectation is ours alone.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command as Process};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long a start may take. Generous: a debug build on a busy machine.
pub const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long a stop may take before it counts as hung.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Our binary.
    Atoll(PathBuf),
    /// `wrangler`.
    Peer(PathBuf),
}

impl Subject {
    /// From the environment: `ATOLL_PEER`, `ATOLL_BIN`, or the binary beside this program.
    pub fn find() -> Result<Self> {
        if let Some(path) = std::env::var_os("ATOLL_PEER") {
            return Ok(Self::Peer(path.into()));
        }
        if let Some(path) = std::env::var_os("ATOLL_BIN") {
            return Ok(Self::Atoll(path.into()));
        }
        // This program is target/PROFILE/deps/e2e-HASH.
        let here = std::env::current_exe().context("find this program")?;
        let path = here
            .ancestors()
            .nth(2)
            .map(|directory| directory.join("atoll"))
            .unwrap_or_default();
        if !path.is_file() {
            bail!(
                "{} does not exist: `cargo build` makes it (or set ATOLL_BIN)",
                path.display()
            );
        }
        Ok(Self::Atoll(path))
    }

    /// Whether this is not our own binary.
    pub fn is_peer(&self) -> bool {
        matches!(self, Self::Peer(_))
    }
}

/// Which of our commands serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `atoll dev`.
    Dev,
    /// `atoll serve`.
    Serve,
}

/// How to start it.
#[derive(Debug, Clone)]
pub struct Start {
    /// Which command; the peer has one.
    pub command: Command,
    /// Who.
    pub subject: Subject,
    /// The project.
    pub directory: PathBuf,
    /// Where state is kept.
    pub state: PathBuf,
    /// 0 lets the system choose.
    pub port: u16,
    /// More arguments.
    pub args: Vec<String>,
    /// More environment.
    pub env: BTreeMap<String, String>,
}

/// What a process has printed so far.
#[derive(Clone)]
pub struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    changed: watch::Sender<usize>,
}

impl Lines {
    fn new() -> Self {
        Self {
            lines: Arc::default(),
            changed: watch::Sender::new(0),
        }
    }

    fn push(&self, line: String) {
        self.lines.lock().unwrap().push(line);
        self.changed.send_modify(|count| *count += 1);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    /// Those from number `since` on.
    pub fn since(&self, since: usize) -> Vec<String> {
        self.lines
            .lock()
            .unwrap()
            .get(since..)
            .map(<[String]>::to_vec)
            .unwrap_or_default()
    }

    /// Waits for a line from number `since` on that `wanted` takes.
    pub async fn wait<T>(&self, since: usize, deadline: Duration, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        let mut changed = self.changed.subscribe();
        let search = async {
            let mut next = since;
            loop {
                changed.borrow_and_update();
                for line in self.since(next) {
                    next += 1;
                    if let Some(found) = wanted(&line) {
                        return found;
                    }
                }
                // The sender is held by `self`.
                changed.changed().await.unwrap();
            }
        };
        timeout(deadline, search).await.ok()
    }
}

/// A running server.
pub struct Server {
    child: Child,
    /// Its process group: it and what it started.
    group: Option<i32>,
    /// What it printed. A line of JSON is shown as the texts in it.
    pub lines: Lines,
    /// Where it listens.
    pub address: std::net::SocketAddr,
}

impl Server {
    /// Starts the program and waits until it listens.
    pub async fn start(start: &Start) -> Result<Self> {
        let (mut child, lines) = spawn(start)?;
        let ready = lines.wait(0, START_DEADLINE, address_in);
        let address = tokio::select! {
            address = ready => address,
            status = child.wait() => bail!("it ended with {} before it listened:\n{}", status?, lines.since(0).join("\n")),
        };
        let Some(address) = address else {
            bail!(
                "it did not listen within {START_DEADLINE:?}:\n{}",
                lines.since(0).join("\n")
            );
        };
        let group = child.id().and_then(|pid| i32::try_from(pid).ok());
        Ok(Self {
            child,
            group,
            lines,
            address,
        })
    }

    /// Starts the program and waits for its end; gives back how it ended and what it printed.
    pub async fn start_to_end(start: &Start) -> Result<(ExitStatus, Vec<String>)> {
        let (mut child, lines) = spawn(start)?;
        let Ok(status) = timeout(START_DEADLINE, child.wait()).await else {
            bail!(
                "it did not end within {START_DEADLINE:?}:\n{}",
                lines.since(0).join("\n")
            );
        };
        // The readers end with the process's streams; give them the time to be scheduled.
        lines.wait(0, Duration::from_millis(300), |_| None::<()>).await;
        Ok((status?, lines.since(0)))
    }

    /// The process.
    pub fn pid(&self) -> Option<i32> {
        self.child.id().and_then(|pid| i32::try_from(pid).ok())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        let pid = self.pid().context("the server has already ended")?;
        // SAFETY: `kill` takes plain numbers; the child is not yet waited for, so its id is still its own.
        if unsafe { libc::kill(pid, signal) } != 0 {
            return Err(std::io::Error::last_os_error()).context("signal the server");
        }
        Ok(())
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        match timeout(STOP_DEADLINE, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("it did not end within {STOP_DEADLINE:?} after it was told to"),
        }
    }

    /// Interrupts it as Ctrl-C does and waits for a clean end.
    pub async fn stop(&mut self) -> Result<()> {
        self.signal(libc::SIGINT)?;
        let status = self.ended().await?;
        if !status.success() {
            bail!("after an interrupt it ended with {status}");
        }
        Ok(())
    }

    /// Ends it without a chance to finish anything.
    pub async fn kill(&mut self) -> Result<()> {
        self.signal(libc::SIGKILL)?;
        self.ended().await?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // SAFETY: `kill` takes plain numbers. The group was made for this server; what it left behind ends with it.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
    }
}

fn spawn(start: &Start) -> Result<(Child, Lines)> {
    let mut command = match &start.subject {
        Subject::Atoll(path) => {
            let mut command = Process::new(path);
            match start.command {
                Command::Dev => command.args(["dev", "--json"]),
                Command::Serve => command.args(["serve", "--log-format", "json"]),
            };
            command.arg(&start.directory);
            command.args(["--port", &start.port.to_string(), "--persist-to"]);
            command.arg(&start.state);
            command
        }
        Subject::Peer(path) => {
            let mut command = Process::new(path);
            command
                .args([
                    "dev",
                    "--port",
                    &start.port.to_string(),
                    "--ip",
                    "127.0.0.1",
                    "--persist-to",
                ])
                .arg(&start.state);
            command.args(["--show-interactive-dev-session=false", "--inspector-port", "0"]);
            command
                .env("WRANGLER_SEND_METRICS", "false")
                .env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
            command
        }
    };
    command.args(&start.args).envs(&start.env);
    command.current_dir(&start.directory).env("NO_COLOR", "1");
    // A proxy of the machine is not part of what a spec says.
    for name in [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ] {
        command.env_remove(name);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("start {:?}", start.subject))?;
    let lines = Lines::new();
    // Both streams were asked for just above.
    tokio::spawn(read(child.stdout.take().unwrap(), lines.clone()));
    tokio::spawn(read(child.stderr.take().unwrap(), lines.clone()));
    Ok((child, lines))
}

async fn read(stream: impl AsyncRead + Unpin, lines: Lines) {
    let mut stream = BufReader::new(stream).split(b'\n');
    while let Ok(Some(line)) = stream.next_segment().await {
        lines.push(plain(&String::from_utf8_lossy(&line)));
    }
}

/// A JSON line as `key: value` texts, one below the other; any other line as it is.
fn plain(line: &str) -> String {
    match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(fields)) => {
            let texts = fields.iter().map(|(key, value)| match value {
                Value::String(text) => format!("{key}: {text}"),
                other => format!("{key}: {other}"),
            });
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => line.to_owned(),
    }
}

/// The address in the line that says that the server listens.
fn address_in(line: &str) -> Option<std::net::SocketAddr> {
    let ready = line
        .lines()
        .any(|field| matches!(field, "event: ready" | "type: ready"))
        || line.contains("Ready on ");
    if !ready {
        return None;
    }
    let at = line.find("://")? + 3;
    let rest = line[at..].replace("localhost", "127.0.0.1");
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ':')))
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Where the repository is.
pub fn repository() -> &'static Path {
    // This package lies directly below the root; a manifest without a parent cannot have been compiled.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
