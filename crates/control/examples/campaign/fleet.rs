//! The processes: a control plane, PoPs with sockets that outlive them, and the command line.

use super::processes::{free_ports, program};
use super::wait::{LOOK_EVERY, PATIENCE};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long one question to the API may take.
const ASK_MAX: Duration = Duration::from_secs(10);

/// What this campaign starts, and where.
pub struct Fleet {
    program: PathBuf,
    directory: PathBuf,
    api: u16,
    peers: u16,
    control: Option<Child>,
    pub pops: Vec<Pop>,
}

pub struct Pop {
    pub name: String,
    pub address: SocketAddr,
    /// Held here as a service manager holds it: while no PoP takes connections from it, they wait in it.
    socket: TcpListener,
    child: Option<Child>,
}

async fn signal(child: &Child, name: &str) -> Result<()> {
    let id = child.id().context("it has ended")?.to_string();
    let status = Command::new("kill").args([name, &id]).status().await?;
    ensure!(status.success(), "kill {name} {id}: {status}");
    Ok(())
}

impl Fleet {
    /// Nothing runs yet; everything will be below this directory.
    pub fn new(directory: &Path) -> Result<Self> {
        // The same after the control plane's return: PoPs come back to them.
        let api = free_ports(2)?;
        Ok(Self {
            program: program()?,
            directory: directory.to_owned(),
            api,
            peers: api + 1,
            control: None,
            pops: Vec::new(),
        })
    }

    /// Where PoPs look for a control plane.
    pub fn peers(&self) -> u16 {
        self.peers
    }

    /// Starts one PoP more, which joins.
    pub async fn add_pop(&mut self) -> Result<()> {
        let answer = self
            .api("POST", "/v1/pops/join-tokens", json!({ "ttl_s": 600 }))
            .await?;
        let token = answer["token"].as_str().context("a join token")?;
        self.add_pop_with(token)
    }

    /// Starts one PoP more, which joins with this token, wherever whoever made it listens: at [`Fleet::peers`].
    pub fn add_pop_with(&mut self, token: &str) -> Result<()> {
        let name = format!("pop-{}", self.pops.len() + 1);
        std::fs::write(self.directory.join(format!("{name}.join")), token)?;
        let socket = TcpListener::bind("127.0.0.1:0")?;
        self.pops.push(Pop {
            address: socket.local_addr()?,
            name,
            socket,
            child: None,
        });
        self.start_pop(self.pops.len() - 1)
    }

    /// A path of the control plane's API, and of its metrics.
    pub fn control_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.api)
    }

    /// A path of a PoP's admin listener, once it listens.
    pub fn admin_url(&self, at: usize, path: &str) -> Option<String> {
        let pop = &self.pops[at];
        let text = std::fs::read_to_string(self.directory.join(&pop.name).join("running.json")).ok()?;
        let running: Value = serde_json::from_str(&text).ok()?;
        let admin = running["admin"].as_str()?;
        let mine = running["pid"].as_u64() == pop.child.as_ref()?.id().map(u64::from);
        mine.then(|| format!("http://{admin}{path}"))
    }

    fn log(&self, name: &str) -> Result<std::fs::File> {
        let path = self.directory.join(format!("{name}.log"));
        Ok(std::fs::OpenOptions::new().create(true).append(true).open(path)?)
    }

    /// Starts the control plane where it was, and waits until its API answers.
    pub async fn start_control(&mut self) -> Result<()> {
        let log = self.log("control")?;
        let child = Command::new(&self.program)
            .args(["control", "--set", "log.format=json"])
            .args(["--set", &format!("http.listen=127.0.0.1:{}", self.api)])
            .args(["--set", &format!("pops.listen=127.0.0.1:{}", self.peers)])
            .args(["--set", "data.directory=control"])
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        self.control = Some(child);
        let began = Instant::now();
        while let Err(error) = self.api("GET", "/v1/status", Value::Null).await {
            ensure!(
                began.elapsed() < PATIENCE,
                "the control plane does not answer: {error:#}"
            );
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// SIGTERM.
    pub async fn stop_control(&mut self) -> Result<()> {
        let mut control = self.control.take().context("it runs")?;
        signal(&control, "-TERM").await?;
        let status = timeout(PATIENCE, control.wait()).await;
        let status = status.context("the control plane does not end")??;
        ensure!(status.success(), "the control plane ended with {status}");
        Ok(())
    }

    /// `kill -9`.
    pub async fn kill_control(&mut self) -> Result<()> {
        let mut child = self.control.take().context("it runs")?;
        Ok(child.kill().await?)
    }

    /// Starts a PoP on its data directory and its socket.
    pub fn start_pop(&mut self, at: usize) -> Result<()> {
        let pop = &self.pops[at];
        let log = self.log(&pop.name)?;
        let passed: OwnedFd = pop.socket.try_clone()?.into();
        let child = Command::new("sh")
            // The shell's process becomes the PoP's, so that its id is the one that the variable names.
            .args(["-c", "LISTEN_PID=$$ exec \"$@\" 3<&0 </dev/null", "sh"])
            .arg(&self.program)
            .args(["pop", "--set", "log.format=json", "--set", "log.level=warn"])
            .args(["--set", &format!("data.directory={}", pop.name)])
            .args(["--set", &format!("pop.name={}", pop.name)])
            .args(["--set", "admin.listen=127.0.0.1:0"])
            .args(["--set", &format!("control.url=https://127.0.0.1:{}", self.peers)])
            .args(["--set", &format!("control.join_token_file={}.join", pop.name)])
            .env("LISTEN_FDS", "1")
            .current_dir(&self.directory)
            .stdin(Stdio::from(passed))
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        self.pops[at].child = Some(child);
        Ok(())
    }

    /// SIGTERM, and a new process on the same disk and socket once the old one has ended.
    pub async fn restart_pop(&mut self, at: usize) -> Result<Duration> {
        let began = Instant::now();
        self.end_pop(at).await?;
        self.start_pop(at)?;
        Ok(began.elapsed())
    }

    /// SIGTERM.
    pub async fn end_pop(&mut self, at: usize) -> Result<()> {
        let pop = &mut self.pops[at];
        let mut child = pop.child.take().context("it runs")?;
        signal(&child, "-TERM").await?;
        let status = timeout(PATIENCE, child.wait()).await;
        let status = status.with_context(|| format!("{} does not end", pop.name))??;
        ensure!(status.success(), "{} ended with {status}", pop.name);
        Ok(())
    }

    fn token(&self) -> Result<String> {
        let path = self.directory.join("control/admin-token");
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(text.trim().to_owned())
    }

    /// Asks the control plane's API.
    pub async fn api(&self, method: &str, path: &str, body: Value) -> Result<Value> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{}{path}", self.api))
            .header("authorization", format!("Bearer {}", self.token()?))
            .header("content-type", "application/json")
            .body(Full::new(match body {
                Value::Null => Bytes::new(),
                body => Bytes::from(body.to_string()),
            }))?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = timeout(ASK_MAX, client.request(request)).await.context("no answer")??;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("{method} {path}: {status} {}", String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body)?)
    }

    /// How many PoPs the control plane is connected with, and how many changes are still on their way to all of them.
    pub async fn status(&self) -> Result<(usize, u64)> {
        let answer = self.api("GET", "/v1/status", Value::Null).await?;
        let alive = answer["pops"]["alive"].as_u64().context("a number of PoPs")?;
        Ok((
            usize::try_from(alive)?,
            answer["staged"].as_u64().context("a number of changes")?,
        ))
    }

    /// Runs `atoll deploy` in a project, without the canary.
    pub async fn deploy(&self, project: &Path, more: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command
            .args(["deploy", "--immediate"])
            .args(more)
            .current_dir(project)
            .env("ATOLL_CONTROL", format!("http://127.0.0.1:{}", self.api))
            .env("ATOLL_TOKEN", self.token()?)
            .env("ATOLL_ACCOUNT", "main")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await;
        Ok(output.context("`atoll deploy` does not end")??)
    }

    /// Resident memory of the PoPs' own processes, MiB.
    pub fn memory(&self) -> Vec<u64> {
        let of = |pop: &Pop| {
            let id = pop.child.as_ref()?.id()?;
            let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kilobytes / 1024)
        };
        self.pops.iter().map(|pop| of(pop).unwrap_or(0)).collect()
    }

    /// Ends all of it.
    pub async fn stop(mut self) -> Result<()> {
        for at in 0..self.pops.len() {
            self.end_pop(at).await?;
        }
        if self.control.is_some() {
            self.stop_control().await?;
        }
        Ok(())
    }
}
