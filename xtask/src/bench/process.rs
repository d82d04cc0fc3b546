//! A server under measurement: started on CPU 0, watched through `/proc`, ended with all it started.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may take until it answers.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// A running server.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From the start of the process to its first whole answer.
    pub started_in: Duration,
}

/// CPU time and memory of a process and all its descendants.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// User and system time, microseconds (in steps of a clock tick).
    pub cpu_us: u64,
    /// Resident memory, bytes.
    pub rss: u64,
    /// Resident memory that no file backs, bytes.
    pub rss_anonymous: u64,
}

/// A port that was free just now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Server {
    /// Starts `command` on CPU 0 and waits until `path` is answered with 200 on `port`. Its output goes to `log`.
    pub fn start(command: &[String], directory: &Path, port: u16, path: &str, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("make {}", log.display()))?;
        let mut taskset = Command::new("taskset");
        taskset
            .args(["-c", "0"])
            .args(command)
            .current_dir(directory)
            .env("NO_COLOR", "1");
        // A group of its own, so that whatever it starts ends with it.
        taskset.process_group(0);
        taskset.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let begin = Instant::now();
        let child = taskset
            .spawn()
            .with_context(|| format!("start {}", command.join(" ")))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut server = Self {
            child,
            address,
            started_in: Duration::ZERO,
        };
        loop {
            if let Ok(answer) = get(address, path)
                && answer.starts_with(b"HTTP/1.1 200")
            {
                server.started_in = begin.elapsed();
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("{} ended with {status}:\n{said}", command.join(" "));
            }
            if begin.elapsed() > START_DEADLINE {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!(
                    "{} did not answer {path} within {START_DEADLINE:?}:\n{said}",
                    command.join(" ")
                );
            }
            sleep(Duration::from_millis(2));
        }
    }

    /// What it has used so far, descendants included.
    pub fn usage(&self) -> Result<Usage> {
        usage(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(group) = i32::try_from(self.child.id()) {
            // SAFETY: `kill` takes plain numbers; the group was made by us for this child, which has not been waited for.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
        // It was just killed: the wait cannot last.
        let _ = self.child.wait();
    }
}

/// One GET on a connection of its own; the whole answer as bytes.
pub fn get(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// The body of an HTTP/1.1 answer, chunks joined.
pub fn body(answer: &[u8]) -> Result<Vec<u8>> {
    let split = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .context("the answer has no end of headers")?;
    let head = String::from_utf8_lossy(&answer[..split]).to_ascii_lowercase();
    let mut rest = &answer[split + 4..];
    if !head.contains("transfer-encoding: chunked") {
        return Ok(rest.to_vec());
    }
    let mut whole = Vec::new();
    loop {
        let line = rest
            .windows(2)
            .position(|window| window == b"\r\n")
            .context("a chunk has no length")?;
        let length =
            usize::from_str_radix(std::str::from_utf8(&rest[..line])?.trim(), 16).context("a chunk's length")?;
        if length == 0 {
            return Ok(whole);
        }
        let start = line + 2;
        whole.extend_from_slice(rest.get(start..start + length).context("a chunk is cut")?);
        rest = rest.get(start + length + 2..).context("a chunk is cut")?;
    }
}

/// User plus system time of the whole machine, microseconds, and time stolen by its host.
pub fn machine_cpu() -> Result<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or(0) * tick_us();
    // user nice system idle iowait irq softirq steal
    Ok((field(0) + field(1) + field(2) + field(5) + field(6), field(7)))
}

fn tick_us() -> u64 {
    // SAFETY: `sysconf` takes a plain number and touches no memory of ours.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    1_000_000 / u64::try_from(ticks).unwrap_or(100).max(1)
}

/// Usage of a process and of all its living descendants (and of those that ended and were waited for).
fn usage(root: u32) -> Result<Usage> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut cpu = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        // A process may end while we look.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        // The name, in parentheses, may hold anything; numbers start after its end.
        let Some((_, rest)) = stat.rsplit_once(") ") else {
            continue;
        };
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let parent = u32::try_from(number(1)).unwrap_or(0);
        children.entry(parent).or_default().push(pid);
        // utime, stime, and those of waited-for children.
        cpu.insert(pid, (11..=14).map(number).sum::<u64>() * tick_us());
    }
    let mut total = Usage::default();
    let mut waiting = vec![root];
    while let Some(pid) = waiting.pop() {
        total.cpu_us += cpu.get(&pid).copied().unwrap_or(0);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
                .unwrap_or(0)
                * 1024
        };
        total.rss += kilobytes("VmRSS:");
        total.rss_anonymous += kilobytes("RssAnon:");
        waiting.extend(children.get(&pid).into_iter().flatten());
    }
    if !cpu.contains_key(&root) {
        bail!("the server has ended");
    }
    Ok(total)
}
