//! The processes: two control planes over one PostgreSQL and one S3 service, and PoPs that know both.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::processes::{free_ports, program};
use crate::s3_server::{self, ACCESS_KEY, BUCKET, SECRET_KEY};
use crate::server;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// How long a process may take to start.
const START_MAX: Duration = Duration::from_secs(60);

/// A control plane: its process, if it runs, and where it is.
pub struct Control {
    child: Option<Child>,
    directory: PathBuf,
    http: u16,
    peers: u16,
}

/// All of it. Processes end when it is dropped.
pub struct Cluster {
    pub controls: Vec<Control>,
    /// `host:port`.
    pub pops: Vec<String>,
    pub token: String,
    program: PathBuf,
    database: String,
    s3: s3_server::Server,
    _postgres: server::Server,
    _pops: Vec<Child>,
    client: Client<HttpConnector, Full<Bytes>>,
    pub directory: tempfile::TempDir,
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

impl Cluster {
    /// `None`: PostgreSQL is not installed.
    pub async fn start(pops: usize) -> Result<Option<Self>> {
        let Some(mut postgres) = server::Server::start().await else {
            return Ok(None);
        };
        let database = postgres.create_database().await;
        let database = postgres.url(&database);
        let s3 = s3_server::Server::start(true).await;
        let mut cluster = Self {
            controls: Vec::new(),
            pops: Vec::new(),
            token: String::new(),
            program: program()?,
            database,
            s3,
            _postgres: postgres,
            _pops: Vec::new(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            directory: tempfile::tempdir()?,
        };
        for name in ["a", "b"] {
            let http = free_ports(2)?;
            let control = Control {
                child: None,
                directory: cluster.directory.path().join(name),
                http,
                peers: http + 1,
            };
            if let Some(first) = cluster.controls.first() {
                // Secrets, artifacts and certificates are under the same keys.
                copy(&first.directory.join("keys"), &control.directory.join("keys"))?;
            }
            cluster.controls.push(control);
            let at = cluster.controls.len() - 1;
            cluster.run(at).await?;
            if at == 0 {
                cluster.leader(START_MAX).await?;
                let token = cluster.controls[0].directory.join("admin-token");
                cluster.token = std::fs::read_to_string(token)?.trim().to_owned();
            }
        }
        for at in 0..pops {
            cluster.join(at).await?;
        }
        Ok(Some(cluster))
    }

    fn log(&self, name: &str) -> Result<Stdio> {
        let path = self.directory.path().join(format!("{name}.log"));
        let log = std::fs::File::options().create(true).append(true).open(path)?;
        Ok(log.into())
    }

    /// Starts a control plane that does not run. It is there when it answers, whether it leads or not.
    pub async fn run(&mut self, at: usize) -> Result<()> {
        let control = &self.controls[at];
        let set = [
            format!("data.directory={}", control.directory.display()),
            format!("http.listen=127.0.0.1:{}", control.http),
            format!("pops.listen=127.0.0.1:{}", control.peers),
            format!("catalog.url={}", self.database),
            format!("artifacts.url=s3://{BUCKET}"),
            format!("artifacts.endpoint={}", self.s3.endpoint),
            format!("artifacts.access_key={ACCESS_KEY}"),
            format!("artifacts.secret_key={SECRET_KEY}"),
            "artifacts.allow_http=true".to_owned(),
            "preflight.allow_downgrade=true".to_owned(),
        ];
        let mut command = Command::new(&self.program);
        command.arg("control");
        for set in set {
            command.args(["--set", &set]);
        }
        let name = format!("control-{at}");
        command.stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(self.log(&name)?).stderr(self.log(&name)?);
        let child = command
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        self.controls[at].child = Some(child);
        let url = format!("http://127.0.0.1:{}/healthz", self.controls[at].http);
        self.answers(&url, &name).await
    }

    async fn join(&mut self, at: usize) -> Result<()> {
        let (status, made) = self
            .call(0, "POST", "/v1/pops/join-tokens", Bytes::from_static(b"{}"), None)
            .await?;
        ensure!(status == 201, "a join token is answered {status}: {made}");
        let token = made["token"].as_str().context("a token")?.to_owned();
        let http = free_ports(2)?;
        let admin = http + 1;
        let urls: Vec<String> = self
            .controls
            .iter()
            .map(|control| format!("https://127.0.0.1:{}", control.peers))
            .collect();
        let name = format!("pop-{at}");
        let set = [
            format!("data.directory={}", self.directory.path().join(&name).display()),
            format!("pop.name={name}"),
            format!("control.url={}", urls.join(",")),
            format!("http.listen=127.0.0.1:{http}"),
            format!("admin.listen=127.0.0.1:{admin}"),
            "workers.isolation=shared".to_owned(),
        ];
        let mut command = Command::new(&self.program);
        command.arg("pop").env("ATOLL_CONTROL_JOIN_TOKEN", token);
        for set in set {
            command.args(["--set", &set]);
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(self.log(&name)?).stderr(self.log(&name)?);
        self._pops.push(command.spawn()?);
        self.pops.push(format!("127.0.0.1:{http}"));
        self.answers(&format!("http://127.0.0.1:{admin}/readyz"), &name).await
    }

    async fn answers(&self, url: &str, name: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            let request = http::Request::builder().uri(url).body(Full::default())?;
            if let Ok(answer) = self.client.request(request).await
                && answer.status().is_success()
            {
                return Ok(());
            }
            if began.elapsed() > START_MAX {
                let log = self.directory.path().join(format!("{name}.log"));
                bail!(
                    "{name} did not start:\n{}",
                    std::fs::read_to_string(log).unwrap_or_default()
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Which control plane leads, as soon as one does.
    pub async fn leader(&self, most: Duration) -> Result<usize> {
        let began = Instant::now();
        loop {
            for at in 0..self.controls.len() {
                let url = format!("http://127.0.0.1:{}/readyz", self.controls[at].http);
                let request = http::Request::builder().uri(url).body(Full::default())?;
                let asked = timeout(Duration::from_secs(2), self.client.request(request)).await;
                if asked.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status().is_success())) {
                    return Ok(at);
                }
            }
            ensure!(began.elapsed() < most, "nobody leads after {most:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// What the processes left stays where it is.
    pub fn keep(&mut self) -> PathBuf {
        self.directory.disable_cleanup(true);
        self.directory.path().to_owned()
    }

    /// `kill -9`.
    pub async fn kill(&mut self, at: usize) -> Result<()> {
        let mut child = self.controls[at].child.take().context("it does not run")?;
        child.start_kill()?;
        child.wait().await?;
        Ok(())
    }

    /// Asks one control plane.
    pub async fn call(
        &self,
        at: usize,
        method: &str,
        path: &str,
        body: Bytes,
        key: Option<&str>,
    ) -> Result<(u16, Value)> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{}{path}", self.controls[at].http))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = timeout(ANSWER_MAX, self.client.request(request.body(Full::new(body))?)).await??;
        let status = response.status().as_u16();
        let body = timeout(ANSWER_MAX, response.into_body().collect()).await??.to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}
