//! Starting a child process and hearing from it beside the link.
//!
//! A child is the same program with other words, an empty environment and three descriptors: 0 is its end of the link's
//! socket, on which the file of the memory that both share waits for it; 1 and 2 are pipes. On 1 it says once, in a line of
//! JSON, that it is ready and how it is locked in; what it writes on 2 goes to the log, bounded.
//!
//! All children are started by one thread that lives as long as the cordon: the kernel ends a child when the *thread* that
//! started it ends. So no child outlives the cordon, however that goes.

use super::groups::{Bounds, Group};
use atoll_link::{SegmentReader, segment};
use serde::Deserialize;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How long a child may take until it is ready.
pub const START_MAX: Duration = Duration::from_secs(30);
/// Bytes of the line by which a child says that it is ready.
const READY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a line that a child writes on descriptor 2; a longer one is told in pieces.
const LINE_BYTES_MAX: usize = 1024;
/// Lines of a child that go to the log within [`LINES_PERIOD`]; more are counted.
const LINES_MAX: u32 = 50;
const LINES_PERIOD: Duration = Duration::from_secs(1);

/// How a child is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildCommand {
    /// The program: this one.
    pub program: PathBuf,
    /// Its words. The file by which it joins its control group comes after them, where there is one.
    pub arguments: Vec<OsString>,
    /// Its whole environment. Nothing is inherited: a parent's environment has secrets in it.
    pub environment: Vec<(OsString, OsString)>,
}

/// What a child says when it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Ready {
    /// The layers that lock it in, for the log.
    pub(crate) layers: String,
    /// Of these, the missing and the reduced ones, with their reasons.
    pub(crate) downgrades: Vec<String>,
}

/// A child process that is there.
pub(crate) struct Process {
    /// Its number.
    pub(crate) id: u32,
    child: Child,
}

impl Process {
    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it at once. One that has ended stays so.
    pub(crate) fn kill(&mut self) {
        // The only error is that there is no such process any more.
        let _ = self.child.start_kill();
    }
}

/// A child that has been started and not heard of yet.
pub(crate) struct Started {
    pub(crate) process: Process,
    pub(crate) socket: UnixStream,
    /// Memory that it shares with us.
    pub(crate) segment: Option<SegmentReader>,
    stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
    pub(super) group: Option<Group>,
}

impl Started {
    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&mut self) -> io::Result<Ready> {
        let line = tokio::time::timeout(START_MAX, read_line(&mut self.stdout)).await;
        let line =
            line.map_err(|_| io::Error::other(format!("it was not ready within {} s", START_MAX.as_secs())))??;
        serde_json::from_slice(&line)
            .map_err(|error| io::Error::other(format!("it said something else than that it is ready: {error}")))
    }
}

async fn read_line(from: &mut ChildStdout) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        if line.len() >= READY_BYTES_MAX {
            return Err(io::Error::other("it said more than it should"));
        }
        // One line is all that it ever writes here, so what has come needs no putting back.
        if from.read_buf(&mut line).await? == 0 {
            return Err(io::Error::other("it ended before it was ready"));
        }
        if line.last() == Some(&b'\n') {
            return Ok(line);
        }
    }
}

struct Request {
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Started>>,
}

/// The thread that starts children.
pub(crate) struct Spawner {
    requests: mpsc::Sender<Request>,
}

impl Spawner {
    pub(super) fn new(command: ChildCommand, bounds: Arc<Bounds>) -> io::Result<Self> {
        let (requests, asked) = mpsc::channel::<Request>();
        std::thread::Builder::new()
            .name("atoll-children".to_owned())
            .spawn(move || {
                // Ends with the last sender, and every child with it.
                for request in asked {
                    let started = start(&command, &bounds, &request.runtime);
                    if let Err(Ok(mut unwanted)) = request.reply.send(started) {
                        unwanted.process.kill();
                    }
                }
            })?;
        Ok(Self { requests })
    }

    /// Starts a child. Must be called inside a tokio runtime, on which the child is then watched.
    pub(crate) async fn start(&self) -> io::Result<Started> {
        let (reply, started) = oneshot::channel();
        let runtime = Handle::current();
        let gone = || io::Error::other("the thread that starts children is gone");
        self.requests.send(Request { runtime, reply }).map_err(|_| gone())?;
        started.await.map_err(|_| gone())?
    }
}

fn start(command: &ChildCommand, bounds: &Bounds, runtime: &Handle) -> io::Result<Started> {
    let group = bounds.group()?;
    let (ours, theirs) = StdStream::pair()?;
    let segment = share(&ours)?;
    ours.set_nonblocking(true)?;
    let _entered = runtime.enter();
    let mut child = Command::new(&command.program)
        .args(&command.arguments)
        .args(group.iter().map(Group::procs))
        .env_clear()
        .envs(command.environment.iter().map(|(name, value)| (name, value)))
        // Whatever this process has open is marked to be closed there; the child closes the rest itself.
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let gone = || io::Error::other("a pipe to the child is missing");
    let stdout = child.stdout.take().ok_or_else(gone)?;
    let stderr = child.stderr.take().ok_or_else(gone)?;
    Ok(Started {
        process: Process {
            id: child.id().unwrap_or_default(),
            child,
        },
        socket: UnixStream::from_std(ours)?,
        segment,
        stdout,
        stderr,
        group,
    })
}

/// Memory that is shared with whoever has the other end of `socket`. Without it bodies go over the socket: slower, and nothing else.
fn share(socket: &StdStream) -> io::Result<Option<SegmentReader>> {
    let shared = SegmentReader::new().and_then(|(segment, file)| {
        segment::send(socket, Some(&file))?;
        Ok(segment)
    });
    match shared {
        Ok(segment) => Ok(Some(segment)),
        Err(error) => {
            tracing::warn!(%error, "the system refuses memory to share with a child; its large answers cost more");
            segment::send(socket, None)?;
            Ok(None)
        }
    }
}

/// Takes what a child writes to the log, line by line, until it ends.
pub(crate) async fn log_lines(from: impl AsyncRead + Unpin, mut log: impl FnMut(&str)) {
    let mut from = from;
    let mut held: Vec<u8> = Vec::with_capacity(LINE_BYTES_MAX);
    let mut budget = Budget::new();
    let mut buffer = [0_u8; LINE_BYTES_MAX];
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        for byte in &buffer[..read] {
            if *byte != b'\n' {
                held.push(*byte);
            }
            if *byte == b'\n' || held.len() >= LINE_BYTES_MAX {
                budget.tell(&held, &mut log);
                held.clear();
            }
        }
    }
    if !held.is_empty() {
        budget.tell(&held, &mut log);
    }
}

/// Lines that may still be told in this period.
struct Budget {
    since: Instant,
    told: u32,
    missed: u64,
}

impl Budget {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            told: 0,
            missed: 0,
        }
    }

    fn tell(&mut self, line: &[u8], log: &mut impl FnMut(&str)) {
        if self.since.elapsed() >= LINES_PERIOD {
            self.since = Instant::now();
            self.told = 0;
        }
        if self.told >= LINES_MAX {
            self.missed += 1;
            return;
        }
        if self.missed > 0 {
            log(&format!("{} lines are missing here: they came too fast", self.missed));
            self.missed = 0;
        }
        self.told += 1;
        // A hostile child writes what it likes: nothing of it may act on a terminal.
        let text: String = String::from_utf8_lossy(line)
            .chars()
            .map(|character| if character.is_control() { '\u{fffd}' } else { character })
            .collect();
        log(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(written: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        log_lines(written, |line| lines.push(line.to_owned())).await;
        lines
    }

    #[tokio::test]
    async fn lines_are_cut_cleaned_and_bounded() {
        assert_eq!(
            lines(b"one\n\x1b[31mtwo\nthree").await,
            ["one", "\u{fffd}[31mtwo", "three"]
        );
        let long = vec![b'x'; LINE_BYTES_MAX + 3];
        assert_eq!(lines(&long).await, [&"x".repeat(LINE_BYTES_MAX), "xxx"]);
        let flood = "a\n".repeat(LINES_MAX as usize + 100);
        assert_eq!(lines(flood.as_bytes()).await.len(), LINES_MAX as usize);
    }

    #[tokio::test]
    async fn a_child_is_heard_and_ends_with_its_spawner() {
        let command = |script: &str| ChildCommand {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: Vec::new(),
        };
        let bounds = Arc::new(Bounds::new(None));
        let script = r#"echo '{"layers":"none","downgrades":["all"]}'; exec sleep 600"#;
        let spawner = Spawner::new(command(script), bounds.clone()).unwrap();
        let mut started = spawner.start().await.unwrap();
        let ready = started.ready().await.unwrap();
        assert_eq!(ready.downgrades, ["all"]);
        started.process.kill();
        assert!(!started.process.ended().await.unwrap().success());

        let spawner = Spawner::new(command("exit 3"), bounds).unwrap();
        let mut started = spawner.start().await.unwrap();
        let error = started.ready().await.unwrap_err();
        assert!(error.to_string().contains("ended before"), "{error}");
        assert_eq!(started.process.ended().await.unwrap().code(), Some(3));
    }
}
