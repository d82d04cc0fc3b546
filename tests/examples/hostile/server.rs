//! The server under test: its projects, its records and counters, its memory.

use super::attack::{End, Request, get};
use super::kinds::{Isolation, Kind};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks at the memory.
const PEAK_LOOK: Duration = Duration::from_millis(10);

/// How long a start, a reload or a stop may take. Generous: a debug build on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);
/// CPU of an event here, milliseconds.
const CPU_MS: u64 = 100;
/// A `kind.toml` may set those of `limits` and those of `atoll.limits` by the same name.
const PLATFORM_LIMITS: [(&str, &str); 2] = [("cpu_ms", "cpu_ms"), ("subrequests_max", "subrequests")];

/// A running server.
pub struct Server {
    child: Child,
    records: Arc<Mutex<Vec<String>>>,
    /// Where it listens.
    pub address: SocketAddr,
    admin: SocketAddr,
    folder: tempfile::TempDir,
}

/// A moment, to look from.
pub struct Mark {
    records: usize,
    counters: Vec<(String, f64)>,
}

/// The entry module of every kind: what it attacks with stands in `attack.js`.
const INDEX: &str = r#"import attack from "./attack.js";
export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/ping") return new Response("pong");
    const answer = await attack(request, env, ctx);
    return answer ?? new Response("done");
  },
};
"#;
const NEIGHBOUR: &str = r#"export default {
  fetch(request) {
    const number = Number(new URL(request.url).pathname.slice(1));
    return new Response(String(number * number));
  },
};
"#;
const GOOD: &str = "export default function attack() {}\n";

impl Server {
    /// Serves `kinds` beside the neighbour.
    pub fn start(binary: &Path, isolation: Isolation, kinds: &[Kind]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(binary);
        command.arg("serve");
        let neighbour = folder.path().join("neighbour");
        write(&neighbour, "neighbour", NEIGHBOUR, None)?;
        command.arg("-c").arg(neighbour.join("wrangler.jsonc"));
        for kind in kinds {
            let project = folder.path().join(&kind.name);
            write(&project, &kind.name, INDEX, Some(kind))?;
            copy(&kind.folder, &project, kind.startup)?;
            command.arg("-c").arg(project.join("wrangler.jsonc"));
        }
        command.args([
            "--port",
            "0",
            "--admin",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--log-level",
            "warn",
        ]);
        command.args(["--isolation", &isolation.to_string(), "--grace", "5s"]);
        command.arg("--persist-to").arg(folder.path().join("state"));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let records = Arc::<Mutex<Vec<String>>>::default();
        let kept = records.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // What a hostile worker prints is cut: the beginning says what it is. What the server says of itself is read.
                let most = if line.starts_with("{\"event\":\"ready\"") {
                    usize::MAX
                } else {
                    4096
                };
                let line: String = line.chars().take(most).collect();
                kept.lock().unwrap().push(line);
            }
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self {
            child,
            records,
            address: nowhere,
            admin: nowhere,
            folder,
        };
        let ready = server.record(0, "ready")?;
        let at = |name: &str| {
            let url = ready[name].as_str().and_then(|url| url.strip_prefix("http://"));
            let at = url.and_then(|at| at.trim_end_matches('/').parse::<SocketAddr>().ok());
            at.with_context(|| format!("no address in {name}: {ready}"))
        };
        (server.address, server.admin) = (at("url")?, at("admin")?);
        Ok(server)
    }

    /// Waits for a record of this event from number `since` on.
    fn record(&mut self, since: usize, event: &str) -> Result<Value> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let lines = self.records.lock().unwrap()[since..].to_vec();
            for line in &lines {
                if let Ok(record) = serde_json::from_str::<Value>(line)
                    && record["event"] == event
                {
                    return Ok(record);
                }
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended ({status}) before \"{event}\":\n{}", lines.join("\n"));
            }
            ensure!(
                Instant::now() < deadline,
                "no \"{event}\" in time:\n{}",
                lines.join("\n")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Now.
    pub fn mark(&self) -> Result<Mark> {
        Ok(Mark {
            records: self.records.lock().unwrap().len(),
            counters: self.limit_counters()?,
        })
    }

    /// The counters of limits, as `/metrics` has them.
    fn limit_counters(&self) -> Result<Vec<(String, f64)>> {
        let request = Request {
            host: "admin",
            path: "/metrics",
        };
        let (status, page) = get(self.admin, &request, DEADLINE).context("the page of metrics")?;
        ensure!(status == 200, "the page of metrics answers {status}");
        let page = String::from_utf8_lossy(&page).into_owned();
        let counter = |line: &str| {
            let (_, rest) = line.split_once("limit=\"")?;
            let (name, rest) = rest.split_once('"')?;
            let value = rest.rsplit(' ').next()?.parse().ok()?;
            Some((name.to_owned(), value))
        };
        Ok(page
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(counter)
            .collect())
    }

    /// The limits that were reached since: by the counters, by the records, by what the client was told.
    pub fn limits_since(&self, mark: &Mark, text: &str) -> Result<Vec<String>> {
        let mut found = BTreeSet::new();
        if let Ok(counters) = self.limit_counters() {
            for (name, value) in counters {
                let before = mark.counters.iter().find(|(own, _)| *own == name);
                if before.map_or(0.0, |(_, before)| *before) < value {
                    found.insert(name);
                }
            }
        }
        let records = self.records.lock().unwrap()[mark.records..].join("\n");
        for source in [records.as_str(), text] {
            // "(limit cpu_ms = 500)" ends every message about a limit.
            for piece in source.split("(limit ").skip(1) {
                let name: String = piece
                    .chars()
                    .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                    .collect();
                if piece[name.len()..].starts_with(" = ") {
                    found.insert(name);
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    /// What was recorded since.
    pub fn records_since(&self, mark: &Mark) -> String {
        self.records.lock().unwrap()[mark.records..].join(" | ")
    }

    /// Did the process end?
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// The same process, and it says so itself.
    pub fn is_well(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("THE SERVER ENDED: {status}");
        }
        let request = Request {
            host: "admin",
            path: "/healthz",
        };
        let (status, body) = get(self.admin, &request, DEADLINE).context("/healthz")?;
        ensure!(status == 200, "/healthz: {status} {}", String::from_utf8_lossy(&body));
        Ok(())
    }

    /// Resident memory of the process and its descendants, bytes.
    pub fn memory(&self) -> u64 {
        memory_of(self.child.id())
    }

    /// Waits until at most one isolate of this worker has a thread, as long as `deadline` at the most: one whose turn was ended
    /// gives its memory back when the builtin that it is in returns.
    pub fn wait_for_old_isolates(&self, kind: &Kind, deadline: Duration) {
        let deadline = Instant::now() + deadline;
        while threads_named(self.child.id(), &kind.name) > 1 && Instant::now() < deadline {
            std::thread::sleep(PEAK_LOOK);
        }
    }

    /// Looks at the memory from now on.
    pub fn watch_memory(&self) -> Peak {
        Peak::of(self.child.id())
    }

    /// Puts the hostile version in the place of the good one: it has to be refused, with the limit in a record.
    pub fn reload_with(&mut self, kind: &Kind) -> Result<End> {
        copy(&kind.folder, &self.folder.path().join(&kind.name), false)?;
        let record = self.reload()?;
        let failure = (record["ok"] == true).then(|| "the reload succeeded".to_owned());
        Ok(End {
            status: "reload".to_owned(),
            text: record.to_string(),
            failure,
        })
    }

    /// Puts the good version back.
    pub fn restore(&mut self, kind: &Kind) -> Result<()> {
        std::fs::write(self.folder.path().join(&kind.name).join("attack.js"), GOOD)?;
        let record = self.reload()?;
        ensure!(record["ok"] == true, "the good version is not taken again: {record}");
        Ok(())
    }

    fn reload(&mut self) -> Result<Value> {
        let since = self.records.lock().unwrap().len();
        self.signal(libc::SIGHUP)?;
        self.record(since, "reload")
    }

    fn signal(&self, signal: i32) -> Result<()> {
        let pid = i32::try_from(self.child.id())?;
        // SAFETY: `kill` takes plain numbers; the child has not been waited for, so its id is still its own.
        if unsafe { libc::kill(pid, signal) } != 0 {
            return Err(std::io::Error::last_os_error()).context("signal the server");
        }
        Ok(())
    }

    /// SIGTERM, and a clean end.
    pub fn stop(mut self) -> Result<()> {
        self.signal(libc::SIGTERM)?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the server ended with {status}");
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the server does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already, if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The files of a kind; `good` puts a harmless module in the place of the attack.
fn copy(from: &Path, to: &Path, good: bool) -> Result<()> {
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().context("a file has a name")?;
        if name != "kind.toml" {
            std::fs::copy(&path, to.join(name))?;
        }
    }
    if good {
        std::fs::write(to.join("attack.js"), GOOD)?;
    }
    Ok(())
}

fn write(project: &Path, name: &str, index: &str, kind: Option<&Kind>) -> Result<()> {
    std::fs::create_dir_all(project)?;
    std::fs::write(project.join("index.js"), index)?;
    let mut config = serde_json::json!({
        "name": name,
        "main": "index.js",
        "compatibility_date": "2026-08-01",
        "compatibility_flags": ["nodejs_compat"],
    });
    if let Some(kind) = kind {
        config["kv_namespaces"] = serde_json::json!([{ "binding": "KV", "id": format!("kv-{name}") }]);
        config["services"] = serde_json::json!([{ "binding": "SELF", "service": name }]);
        config["limits"]["cpu_ms"] = CPU_MS.into();
        for (key, value) in &kind.limits {
            match PLATFORM_LIMITS.iter().find(|(own, _)| own == key) {
                Some((_, place)) => config["limits"][place] = (*value).into(),
                None => config["atoll"]["limits"][key] = (*value).into(),
            }
        }
    }
    std::fs::write(project.join("wrangler.jsonc"), config.to_string())?;
    Ok(())
}

/// Resident memory of a process and its descendants, bytes.
fn memory_of(pid: u32) -> u64 {
    let pages = |pid: u32| -> Option<u64> {
        // A child that is gone meanwhile has none.
        let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        statm.split(' ').nth(1)?.parse().ok()
    };
    processes(pid).into_iter().filter_map(pages).sum::<u64>() * 4096
}

/// Threads of a process and its descendants whose name is this one, as far as the kernel keeps names.
fn threads_named(pid: u32, name: &str) -> usize {
    let name: String = name.chars().take(15).collect();
    let named = |task: &Path| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name);
    let count = |pid| tasks(pid).filter(|task| named(task)).count();
    processes(pid).into_iter().map(count).sum()
}

/// A process and its descendants.
fn processes(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut waiting = vec![pid];
    while let Some(pid) = waiting.pop() {
        found.push(pid);
        for task in tasks(pid) {
            let children = std::fs::read_to_string(task.join("children")).unwrap_or_default();
            waiting.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    found
}

/// Where the kernel tells of the threads of a process.
fn tasks(pid: u32) -> impl Iterator<Item = PathBuf> {
    let folder = std::fs::read_dir(format!("/proc/{pid}/task"));
    folder.into_iter().flatten().flatten().map(|entry| entry.path())
}

/// The most memory that there was at one of many looks.
pub struct Peak {
    shared: Arc<(AtomicBool, AtomicU64)>,
    thread: Option<JoinHandle<()>>,
}

impl Peak {
    fn of(pid: u32) -> Self {
        let shared = Arc::<(AtomicBool, AtomicU64)>::default();
        let own = shared.clone();
        let thread = std::thread::spawn(move || {
            while !own.0.load(Ordering::Relaxed) {
                own.1.fetch_max(memory_of(pid), Ordering::Relaxed);
                std::thread::sleep(PEAK_LOOK);
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// Bytes.
    pub fn end(mut self) -> u64 {
        self.stop();
        self.shared.1.load(Ordering::Relaxed)
    }

    fn stop(&mut self) {
        self.shared.0.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.stop();
    }
}
