//! A platform under test: its API, its PoPs, and `atoll up` if it is ours.

use super::manifest::one_module;
use super::processes::{free_ports, program};
use anyhow::{Context, Result, bail, ensure};
use atoll_model::BlobHash;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// The account that a platform begins with.
const ACCOUNT: &str = "main";
/// How long an answer may take: more than the control plane gives the trial of an upload, one that loops at its start on a busy
/// machine included.
pub const ANSWER_MAX: Duration = Duration::from_secs(90);
/// How long the platform may take to start.
const START_MAX: Duration = Duration::from_secs(90);

#[derive(Debug)]
pub struct Platform {
    control: String,
    token: String,
    /// `host:port`, in the order of their names.
    pub pops: Vec<String>,
    /// Where the control plane keeps blobs, if it is ours.
    pub blobs: Option<PathBuf>,
    /// Where the PoPs tell their metrics, if they are ours.
    admin: Vec<String>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A version that was stored.
pub struct Uploaded {
    pub id: String,
    pub module: BlobHash,
    pub artifact: BlobHash,
}

impl Platform {
    pub fn running(control: &str, token: &Path, pops: Vec<String>) -> Result<Self> {
        let token = std::fs::read_to_string(token)
            .context("read the token")?
            .trim()
            .to_owned();
        Ok(Self {
            control: control.trim_end_matches('/').to_owned(),
            token,
            pops,
            blobs: None,
            admin: Vec::new(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        })
    }

    /// What a PoP is called.
    pub fn name(&self, pop: usize) -> String {
        format!("pop-{}", pop + 1)
    }

    /// Of the account.
    async fn call(&self, method: &str, path: &str, body: Bytes) -> Result<(u16, Value)> {
        self.call_platform(method, &format!("accounts/{ACCOUNT}/{path}"), body)
            .await
    }

    async fn call_platform(&self, method: &str, path: &str, body: Bytes) -> Result<(u16, Value)> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}/v1/{path}", self.control))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let response = timeout(ANSWER_MAX, self.client.request(request))
            .await
            .context("the API")??;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// Stores a version of one module. The inner error is that the control plane does not take it.
    pub async fn upload(&self, worker: &str, code: &str) -> Result<Result<Uploaded, String>> {
        let (module, manifest) = one_module(ACCOUNT, worker, code);
        let (status, answer) = self
            .call("PUT", &format!("blobs/{module}"), code.to_owned().into())
            .await?;
        ensure!(status < 300, "the blob is answered {status}: {answer}");
        let body = json!({ "manifest": manifest, "source": "campaign" }).to_string();
        let (status, answer) = self
            .call("POST", &format!("workers/{worker}/versions"), body.into())
            .await?;
        if status == 422 || status == 400 {
            return Ok(Err(answer["error"]["message"].to_string()));
        }
        ensure!(status < 300, "the version is answered {status}: {answer}");
        let id = answer["id"].as_str().context("a version without id")?.to_owned();
        let artifact = BlobHash::of(&manifest.to_bytes());
        Ok(Ok(Uploaded { id, module, artifact }))
    }

    pub async fn deploy(&self, worker: &str, version: &str, immediate: bool) -> Result<String> {
        let body =
            json!({ "versions": [{ "version": version, "percent": 100.0 }], "immediate": immediate }).to_string();
        let (status, answer) = self
            .call("POST", &format!("workers/{worker}/deployments"), body.into())
            .await?;
        ensure!(status < 300, "the deployment is answered {status}: {answer}");
        Ok(answer["id"].as_str().context("a deployment without id")?.to_owned())
    }

    /// Back to a version, without a canary.
    pub async fn rollback(&self, worker: &str, version: &str) -> Result<()> {
        let body = json!({ "version": version, "immediate": true }).to_string();
        let (status, answer) = self
            .call("POST", &format!("workers/{worker}/rollback"), body.into())
            .await?;
        ensure!(status < 300, "the rollback is answered {status}: {answer}");
        Ok(())
    }

    /// With it one PoP more may join.
    pub async fn join_token(&self) -> Result<String> {
        let body = json!({ "ttl_s": 3_600 }).to_string();
        let (status, answer) = self.call_platform("POST", "pops/join-tokens", body.into()).await?;
        ensure!(status < 300, "the join token is answered {status}: {answer}");
        Ok(answer["token"].as_str().context("a token")?.to_owned())
    }

    /// What a PoP says of itself: the lines of its metrics, name and labels to value.
    pub async fn metrics(&self, pop: usize) -> Result<BTreeMap<String, f64>> {
        let admin = self.admin.get(pop).context("the PoP is not ours")?;
        let request = http::Request::builder()
            .uri(format!("http://{admin}/metrics"))
            .body(Full::default())?;
        let response = timeout(ANSWER_MAX, self.client.request(request))
            .await
            .context("metrics")??;
        let text = response.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.filter_map(|line| line.rsplit_once(' '));
        Ok(values
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect())
    }

    /// The rollout, once it is over, or as it is when time is up.
    pub async fn settle(&self, worker: &str, id: &str, most: Duration, every: Duration) -> Result<Value> {
        let began = Instant::now();
        loop {
            let (status, answer) = self
                .call("GET", &format!("workers/{worker}/deployments/{id}"), Bytes::new())
                .await?;
            ensure!(status < 300, "the deployment is answered {status}: {answer}");
            let rollout = answer["rollout"].clone();
            let over = matches!(rollout["state"].as_str(), Some("live" | "rolled_back" | "superseded"));
            if over || began.elapsed() >= most {
                return Ok(rollout);
            }
            sleep(every).await;
        }
    }

    /// Has a byte of a stored object be another.
    pub fn damage(&self, of: &str, hash: &BlobHash) -> Result<()> {
        let Some(blobs) = &self.blobs else {
            bail!("the platform is not ours")
        };
        let name = hash.to_string();
        let path = blobs.join(of).join(&name[..2]).join(format!("{name}~"));
        let mut bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes)?;
        Ok(())
    }

    /// What a PoP answers: status and body.
    pub async fn ask(&self, pop: usize, worker: &str) -> Result<(u16, String)> {
        let request = http::Request::builder()
            .uri(format!("http://{}/", self.pops[pop]))
            .header("host", format!("{worker}.{ACCOUNT}.localhost"))
            .body(Full::default())?;
        let answer = async {
            let response = self.client.request(request).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await?.to_bytes();
            Ok::<_, anyhow::Error>((status, String::from_utf8_lossy(&body).into_owned()))
        };
        timeout(ANSWER_MAX, answer).await.context("no answer in time")?
    }
}

/// `atoll up` as a child.
pub struct Own {
    child: Child,
    directory: tempfile::TempDir,
    /// The port to which PoPs come.
    pub peers: u16,
}

impl Own {
    pub async fn start() -> Result<(Platform, Self)> {
        let program = program()?;
        let directory = tempfile::tempdir()?;
        let (pops, control) = (free_ports(3)?, free_ports(2)?);
        let log = std::fs::File::create(directory.path().join("log"))?;
        let child = Command::new(&program)
            .args(["up", "--json", "--dir", "state"])
            .args(["--port", &pops.to_string(), "--control-port", &control.to_string()])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let own = Self {
            child,
            directory,
            peers: control + 1,
        };
        let state = own.directory.path().join("state/control");
        let addresses = (0..3).map(|at| format!("127.0.0.1:{}", pops + at)).collect();
        let began = Instant::now();
        let ready = loop {
            let log = std::fs::read_to_string(own.directory.path().join("log")).unwrap_or_default();
            let records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(ready) = records
                .into_iter()
                .find(|record| record["event"] == "ready" && record["admin"].is_array())
            {
                break ready;
            }
            ensure!(began.elapsed() < START_MAX, "the platform did not start:\n{log}");
            sleep(Duration::from_millis(100)).await;
        };
        let control = format!("http://127.0.0.1:{control}");
        let mut platform = Platform::running(&control, &state.join("admin-token"), addresses)?;
        platform.blobs = Some(state.join("blobs/objects"));
        let admin = ready["admin"].as_array().into_iter().flatten();
        platform.admin = admin.filter_map(Value::as_str).map(str::to_owned).collect();
        Ok((platform, own))
    }

    /// Ends it; keeps what it left if that is of interest.
    pub async fn stop(mut self, clean: bool) -> Result<()> {
        if let Some(id) = self.child.id() {
            // As Ctrl-C does.
            Command::new("kill").args(["-INT", &id.to_string()]).status().await?;
        }
        if timeout(Duration::from_secs(40), self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        if !clean {
            println!("what the platform left is in {}", self.directory.keep().display());
        }
        Ok(())
    }
}
