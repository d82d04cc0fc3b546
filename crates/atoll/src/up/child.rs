//! A role as a child process: started, its lines passed on, started again when it dies.
//!
//! Children are in process groups of their own, so a Ctrl-C at the terminal reaches the supervisor alone, which ends them in order.
//! A supervisor that dies takes them along: each watches its standard input, whose other end only the supervisor holds.

use super::lines::Lines;
use crate::roles::running::Running;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Says to a role that its standard input ends with whoever started it.
pub(crate) const WATCH_STDIN: &str = "ATOLL_ENDS_WITH_STDIN";
/// The first pause before a role that died is started again; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Who lives so long has its pauses begin anew.
const LIVED: Duration = Duration::from_secs(30);
/// How long a role may take to end when it is told to.
const END_MAX: Duration = Duration::from_secs(20);
/// How often it is looked whether a role listens.
const LOOK: Duration = Duration::from_millis(20);

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// As its lines are marked.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// Where it says where it listens.
    pub(crate) data: PathBuf,
}

/// Where a child is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    Starting,
    /// It listens.
    Listening(Running),
    /// It died, and is started again after a pause.
    Died(String),
}

/// A child that is kept alive.
pub(crate) struct Kept {
    stage: watch::Receiver<Stage>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Kept {
    /// Starts it, and starts it again whenever it dies.
    pub(crate) fn start(plan: Plan, lines: Arc<Lines>) -> Self {
        let (told, stage) = watch::channel(Stage::Starting);
        let stop = CancellationToken::new();
        let task = tokio::spawn(keep(plan, lines, told, stop.clone()));
        Self { stage, stop, task }
    }

    /// Waits until it listens. The error says how it died first.
    pub(crate) async fn listening(&mut self, patience: Duration) -> Result<Running, String> {
        let arrived = self.stage.wait_for(|stage| *stage != Stage::Starting);
        match tokio::time::timeout(patience, arrived).await {
            Ok(Ok(stage)) => match &*stage {
                Stage::Listening(running) => Ok(running.clone()),
                Stage::Died(how) => Err(how.clone()),
                Stage::Starting => Err("it is still starting".to_owned()),
            },
            Ok(Err(_)) => Err("it was given up".to_owned()),
            Err(_) => Err(format!("it did not listen within {} s", patience.as_secs())),
        }
    }

    /// Ends it in good order, or after its time in any.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        // The task ends by itself: it holds to its deadlines.
        let _ = self.task.await;
    }
}

async fn keep(plan: Plan, lines: Arc<Lines>, told: watch::Sender<Stage>, stop: CancellationToken) {
    let mut pause = PAUSE_FIRST;
    loop {
        let begun = Instant::now();
        told.send_replace(Stage::Starting);
        let how = match spawn(&plan) {
            Ok(child) => match run(child, &plan, &lines, &told, &stop).await {
                Some(how) => how,
                None => return,
            },
            Err(error) => format!("it cannot be started: {error}"),
        };
        if begun.elapsed() > LIVED {
            pause = PAUSE_FIRST;
        }
        lines.event("died", &plan.name, &how);
        told.send_replace(Stage::Died(how));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn spawn(plan: &Plan) -> std::io::Result<Child> {
    let mut command = Command::new(&plan.program);
    command
        .args(&plan.arguments)
        .envs(plan.environment.iter().map(|(name, value)| (name, value)))
        .env(WATCH_STDIN, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command.spawn()
}

/// Lives with a child. `None`: it ended because it was told to.
async fn run(
    mut child: Child,
    plan: &Plan,
    lines: &Arc<Lines>,
    told: &watch::Sender<Stage>,
    stop: &CancellationToken,
) -> Option<String> {
    // Held until the child has ended: it would end with it.
    let _stdin = child.stdin.take();
    let out = child
        .stdout
        .take()
        .map(|out| tokio::spawn(pass_on(out, plan.name.clone(), lines.clone())));
    let err = child
        .stderr
        .take()
        .map(|err| tokio::spawn(pass_on(err, plan.name.clone(), lines.clone())));
    let pid = child.id().unwrap_or_default();
    let listens = async {
        let running = loop {
            if let Some(running) = Running::of(&plan.data, pid) {
                break running;
            }
            tokio::time::sleep(LOOK).await;
        };
        told.send_replace(Stage::Listening(running));
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        status = child.wait() => Some(status),
        () = listens => None,
        () = stop.cancelled() => None,
    };
    let how = match ended {
        Some(status) => Some(shown(status)),
        None => {
            end(&mut child, pid).await;
            None
        }
    };
    for pipe in [out, err].into_iter().flatten() {
        // What it said last; a grandchild may hold the pipe.
        let _ = tokio::time::timeout(Duration::from_secs(1), pipe).await;
    }
    how
}

async fn end(child: &mut Child, pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        // One that has ended meanwhile is not yet waited for, so the number is still its own.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if tokio::time::timeout(END_MAX, child.wait()).await.is_err() {
        // It is the system's now.
        let _ = child.kill().await;
    }
}

fn shown(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("it ended by itself: {status}"),
        Err(error) => format!("it cannot be waited for: {error}"),
    }
}

async fn pass_on(pipe: impl AsyncRead + Unpin, name: String, lines: Arc<Lines>) {
    let mut pipe = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = pipe.next_line().await {
        lines.of(&name, &line);
    }
}

/// A role that was started by a supervisor: resolves when that is gone. Never, for one that was not.
pub(crate) async fn abandoned() {
    if std::env::var_os(WATCH_STDIN).is_none() {
        return std::future::pending().await;
    }
    let (gone, told) = tokio::sync::oneshot::channel();
    // A thread of its own: a read that waits would hold up the runtime's end.
    let watch = std::thread::Builder::new()
        .name("atoll-stdin".to_owned())
        .spawn(move || {
            let mut bytes = [0; 64];
            let mut stdin = std::io::stdin();
            while matches!(std::io::Read::read(&mut stdin, &mut bytes), Ok(1..)) {}
            let _ = gone.send(());
        });
    match watch {
        Ok(_) => {
            let _ = told.await;
        }
        Err(error) => {
            tracing::warn!(%error, "the supervisor cannot be watched");
            std::future::pending::<()>().await;
        }
    }
}
