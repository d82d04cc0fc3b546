//! `atoll up`: a control plane and three PoPs of the real binary; deployments, percentages, rollbacks, and a control plane that
//! dies.
//!
//! The API is asked directly, as any client would: what the command line does with it has tests of its own.

use crate::runner::DEADLINE;
use crate::runner::client;
use crate::runner::format::Protocol;
use crate::runner::server::Subject;
use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Between two looks at something that other processes do.
pub(super) const LOOK: Duration = Duration::from_millis(20);
/// How long three PoPs, a bake of ten seconds and a loaded machine may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// PoPs.
const POPS: u16 = 3;

/// What `atoll up` started.
pub struct Up {
    child: Child,
    /// The control plane's API.
    pub api: SocketAddr,
    /// A token for everything.
    pub token: String,
    /// Where the PoPs serve, in the order of their names.
    pub pops: Vec<SocketAddr>,
    /// Where they answer those who watch them.
    admin: Vec<SocketAddr>,
    directory: PathBuf,
}

/// As many ports in a row as are free at this moment.
fn free_ports(count: u16) -> Result<u16> {
    // Not those that the system gives to whoever asks for any: between the look and the use another one may get them.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..200 {
        let step = NEXT.fetch_add(count, Ordering::Relaxed);
        let own = (std::process::id() as u16).wrapping_mul(97);
        let first = 20_000 + own.wrapping_add(step) % 12_000;
        if (first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return Ok(first);
        }
    }
    bail!("there are no free ports in a row")
}

impl Up {
    /// Starts a platform of three PoPs, with its state in a folder of `directory`.
    pub async fn start(directory: &Path) -> Result<Self> {
        Self::start_in(directory, "shared").await
    }

    /// The same, with workers so isolated.
    pub async fn start_in(directory: &Path, isolation: &str) -> Result<Self> {
        let (control, pops) = (free_ports(2)?, free_ports(POPS)?);
        let Subject::Atoll(program) = Subject::find()? else {
            bail!("this is about Atoll itself");
        };
        let mut child = Command::new(program)
            .args(["up", "--json", "--isolation", isolation])
            .args(["--pops", &POPS.to_string()])
            .args(["--control-port", &control.to_string(), "--port", &pops.to_string()])
            .arg("--dir")
            .arg(directory.join("up"))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().context("it has an output")?;
        let mut lines = BufReader::new(out).lines();
        let mut said = Vec::new();
        let ready = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await? {
                let record: Value = serde_json::from_str(&line).unwrap_or_default();
                if record["event"] == "ready" && record["pops"].is_array() {
                    return Ok(record);
                }
                said.push(line);
            }
            bail!("it ended before it was ready")
        });
        let ready = ready.await.context("it is not ready").and_then(|ready| ready);
        let ready = ready.with_context(|| said.join("\n"))?;
        // Read on, so that nobody waits for us.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let address = |url: &Value| -> Result<SocketAddr> {
            let url = url.as_str().context("a URL")?;
            Ok(url.trim_start_matches("http://").parse()?)
        };
        let addresses = |of: &Value| -> Result<Vec<SocketAddr>> {
            let all = of.as_array().context("PoPs")?;
            all.iter().map(address).collect()
        };
        let token_file = ready["token_file"].as_str().context("a token file")?;
        Ok(Self {
            api: address(&ready["control"])?,
            token: std::fs::read_to_string(token_file)?.trim().to_owned(),
            pops: addresses(&ready["pops"])?,
            admin: addresses(&ready["admin"])?,
            directory: directory.join("up"),
            child,
        })
    }

    async fn api(&self, method: &str, path: &str, body: Vec<u8>, kind: &str) -> Result<(u16, Value)> {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.api.to_string())
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", kind)
            .body(client::whole(body))?;
        let (head, body) = client::send(self.api, Protocol::Http1, request)
            .await?
            .response
            .into_parts();
        let bytes = body.collect().await?.to_bytes();
        Ok((head.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// Asks the API; `Null`: without a body.
    pub async fn json(&self, method: &str, path: &str, body: Value) -> Result<Value> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (status, answer) = self.api(method, path, body.into_bytes(), "application/json").await?;
        if !(200..300).contains(&status) {
            bail!("{method} {path}: {status} {answer}");
        }
        Ok(answer)
    }

    /// Uploads a version of a worker of one module; its id.
    pub async fn upload(&self, worker: &str, code: &str) -> Result<String> {
        let hash = sha256(code.as_bytes());
        let path = format!("/v1/accounts/main/blobs/{hash}");
        let (status, answer) = self
            .api("PUT", &path, code.as_bytes().to_vec(), "application/octet-stream")
            .await?;
        if !(200..300).contains(&status) {
            bail!("PUT {path}: {status} {answer}");
        }
        let manifest = json!({
            "format": 1, "account": "main", "worker": worker, "main_module": "index.js",
            "modules": [{"name": "index.js", "kind": "Esm", "blob": hash, "size": code.len()}],
            "assets": null, "compat_date": "2026-08-01",
        });
        let path = format!("/v1/accounts/main/workers/{worker}/versions");
        let version = self.json("POST", &path, json!({ "manifest": manifest })).await?;
        Ok(version["id"].as_str().context("a version's id")?.to_owned())
    }

    /// Deploys versions with percentages; the deployment's id.
    pub async fn deploy(&self, worker: &str, versions: &[(&str, f64)], immediate: bool) -> Result<String> {
        let versions: Vec<Value> = versions
            .iter()
            .map(|(version, percent)| json!({"version": version, "percent": percent}))
            .collect();
        let path = format!("/v1/accounts/main/workers/{worker}/deployments");
        let body = json!({"versions": versions, "immediate": immediate});
        let deployment = self.json("POST", &path, body).await?;
        Ok(deployment["id"].as_str().context("a deployment's id")?.to_owned())
    }

    async fn ask(&self, pop: SocketAddr, worker: &str, header: Option<(&str, &str)>) -> Result<(u16, String)> {
        let mut request = http::Request::get("/").header("host", format!("{worker}.main.localhost"));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = client::send(pop, Protocol::Http1, request.body(client::whole(Vec::new()))?).await?;
        let (head, body) = answer.response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok((head.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
    }

    /// Asks an address of a PoP, or where it is watched.
    pub async fn get(&self, at: SocketAddr, host: &str, path: &str) -> Result<(u16, String)> {
        let request = http::Request::get(path).header("host", host);
        let answer = client::send(at, Protocol::Http1, request.body(client::whole(Vec::new()))?).await?;
        let (head, body) = answer.response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok((head.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
    }

    /// A PoP's metrics page.
    pub async fn metrics_of_pop(&self, number: usize) -> Result<String> {
        let at = *self.admin.get(number).context("such a PoP")?;
        let (status, page) = self.get(at, &at.to_string(), "/metrics").await?;
        if status != 200 {
            bail!("/metrics: {status} {page}");
        }
        Ok(page)
    }

    /// Waits until every PoP answers with this; how long the last one took.
    pub async fn all_say(&self, worker: &str, expected: &str) -> Result<Duration> {
        let begun = Instant::now();
        for pop in &self.pops {
            let mut last = String::new();
            loop {
                if let Ok((status, text)) = self.ask(*pop, worker, None).await {
                    if text == expected {
                        break;
                    }
                    last = format!("{status} {text}");
                }
                if begun.elapsed() > PATIENCE {
                    bail!("{pop} still says {last:?}, not {expected:?}");
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(begun.elapsed())
    }

    /// Ends it as Ctrl-C does.
    pub async fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id().context("it runs")?)?;
        // SAFETY: a number of a child that has not been waited for.
        unsafe { libc::kill(pid, libc::SIGINT) };
        let status = tokio::time::timeout(DEADLINE * 3, self.child.wait())
            .await
            .context("it does not stop")??;
        if !status.success() {
            bail!("it ended with {status}");
        }
        Ok(())
    }

    /// The process of a role.
    fn pid(&self, role: &str) -> Result<i32> {
        let text = std::fs::read_to_string(self.directory.join(role).join("running.json"))?;
        let running: Value = serde_json::from_str(&text)?;
        Ok(i32::try_from(running["pid"].as_u64().context("a pid")?)?)
    }
}

fn sha256(bytes: &[u8]) -> String {
    use rustls::crypto::hash::HashAlgorithm;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let hash = provider.cipher_suites.iter().find_map(|suite| {
        let hash = suite.tls13()?.common.hash_provider;
        (hash.algorithm() == HashAlgorithm::SHA256).then(|| hash.hash(bytes))
    });
    let hash = hash.map(|hash| hash.as_ref().to_vec()).unwrap_or_default();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn says(text: &str) -> String {
    format!("export default {{ fetch() {{ return new Response({text:?}); }} }};\n")
}

/// As many requests as a share of the traffic is measured with.
const REQUESTS: usize = 5_000;

impl Up {
    /// Runs a command of ours in a project, as a person does.
    async fn command(&self, project: &Path, words: &[&str]) -> Result<()> {
        let Subject::Atoll(program) = Subject::find()? else {
            bail!("this is about Atoll itself");
        };
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(project)
            .env("ATOLL_CONTROL", format!("http://{}", self.api))
            .env("ATOLL_TOKEN", &self.token)
            .env("ATOLL_ACCOUNT", "main")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        let output = output.with_context(|| format!("atoll {} does not end", words.join(" ")))??;
        if !output.status.success() {
            bail!(
                "atoll {} ended with {}: {}{}",
                words.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    /// How many of [`REQUESTS`] to a worker, over all PoPs, are answered with each of these texts in them. Any other answer is an
    /// error.
    async fn counted<const N: usize>(&self, worker: &str, marks: [&str; N]) -> Result<[usize; N]> {
        let mut asked = futures_util::stream::iter(0..REQUESTS)
            .map(|number| self.ask(self.pops[number % self.pops.len()], worker, None))
            .buffer_unordered(16);
        let mut counts = [0; N];
        while let Some(answer) = asked.next().await {
            let (status, text) = answer?;
            let Some(at) = marks.iter().position(|mark| status == 200 && text.contains(mark)) else {
                bail!("a request is answered {status} {text}");
            };
            counts[at] += 1;
        }
        Ok(counts)
    }
}

/// The quick start: the guestbook comes to three PoPs, another version of it to a tenth of the requests, and goes again.
pub async fn the_guestbook() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let up = Up::start(directory.path()).await?;
    up.command(directory.path(), &["init", "guestbook", "--template", "guestbook"])
        .await?;
    let project = directory.path().join("guestbook");
    up.command(&project, &["deploy"]).await?;
    // It has said that it is live on all PoPs: now it is.
    let all_have = async |mark: &str| -> Result<bool> {
        for pop in &up.pops {
            let (status, text) = up.ask(*pop, "guestbook", None).await?;
            if status != 200 || !text.contains(mark) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    if !all_have("The Atoll guestbook").await? {
        bail!("`atoll deploy` ended, and not every PoP has the guestbook");
    }
    let config = project.join("wrangler.jsonc");
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, text.replace("The Atoll guestbook", "The second guestbook"))?;
    up.command(&project, &["deploy", "--immediate", "--percent", "10"])
        .await?;
    let [first, second] = up
        .counted("guestbook", ["The Atoll guestbook", "The second guestbook"])
        .await?;
    let share = second as f64 * 100.0 / REQUESTS as f64;
    println!("of {REQUESTS} requests on three PoPs {first} came to the first version, {second} to the one with 10 %");
    if (share - 10.0).abs() > 2.0 {
        bail!("{share} % of the requests came to the version with 10 %");
    }
    up.command(&project, &["deploy", "--immediate"]).await?;
    if !all_have("The second guestbook").await? {
        bail!("`atoll deploy --immediate` ended, and not every PoP has the second version");
    }
    let begun = Instant::now();
    let path = "/v1/accounts/main/workers/guestbook/rollback";
    up.json("POST", path, json!({"immediate": true})).await?;
    while !all_have("The Atoll guestbook").await? {
        if begun.elapsed() > PATIENCE {
            bail!("the rollback is not seen on every PoP");
        }
        tokio::time::sleep(LOOK).await;
    }
    println!(
        "a rollback was seen on three PoPs after {} ms",
        begun.elapsed().as_millis()
    );
    up.stop().await
}

/// Percentages, sticky keys, overrides, aliases, rollback: on all three PoPs.
pub async fn versions_on_every_pop() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let up = Up::start(directory.path()).await?;
    let first = up.upload("shop", &says("one")).await?;
    up.deploy("shop", &[(&first, 100.0)], true).await?;
    up.all_say("shop", "one").await?;
    let second = up.upload("shop", &says("two")).await?;
    up.deploy("shop", &[(&second, 10.0), (&first, 90.0)], true).await?;
    // Seen everywhere as soon as an override finds it.
    let wanted = format!("shop=\"{second}\"");
    for pop in &up.pops {
        let begun = Instant::now();
        let header = Some(("cloudflare-workers-version-overrides", wanted.as_str()));
        while up.ask(*pop, "shop", header).await? != (200, "two".to_owned()) {
            if begun.elapsed() > PATIENCE {
                bail!("the second deployment does not come to {pop}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    let [first_count, second_count] = up.counted("shop", ["one", "two"]).await?;
    let share = second_count as f64 * 100.0 / REQUESTS as f64;
    println!(
        "of {REQUESTS} requests on three PoPs {first_count} came to the first version, {second_count} to the one with 10 %"
    );
    if (share - 10.0).abs() > 2.0 {
        bail!("{share} % of the requests came to the version with 10 %");
    }
    // A key sticks, on every PoP to the same version.
    for key in ["a", "b", "c", "d", "e", "f"] {
        let header = Some(("cloudflare-workers-version-key", key));
        let mut seen = Vec::new();
        for pop in up.pops.iter().chain(&up.pops) {
            seen.push(up.ask(*pop, "shop", header).await?.1);
        }
        if seen.iter().any(|text| *text != seen[0]) {
            bail!("key {key} leads to {seen:?}");
        }
    }
    // An alias has an address of its own, on every PoP.
    let path = "/v1/accounts/main/workers/shop/aliases/stable";
    let body = json!({"versions": [{"version": first, "percent": 100.0}]});
    up.json("PUT", path, body).await?;
    up.all_say("stable-shop", "one").await?;
    let path = "/v1/accounts/main/workers/shop/rollback";
    up.deploy("shop", &[(&second, 100.0)], true).await?;
    up.all_say("shop", "two").await?;
    up.json("POST", path, json!({"version": first, "immediate": true}))
        .await?;
    let took = up.all_say("shop", "one").await?;
    println!("a rollback was seen on three PoPs after {} ms", took.as_millis());
    up.stop().await
}

/// The control plane is killed: PoPs go on, one restarts from disk, and all catch up when it is back.
pub async fn pops_outlive_the_control_plane() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let up = Up::start(directory.path()).await?;
    let first = up.upload("shop", &says("one")).await?;
    up.deploy("shop", &[(&first, 100.0)], true).await?;
    up.all_say("shop", "one").await?;
    let control = up.pid("control")?;
    // SAFETY: the number of a process that `up`, our child, holds.
    unsafe { libc::kill(control, libc::SIGSTOP) };
    let pop = up.pid("pop-2")?;
    // SAFETY: as above.
    unsafe { libc::kill(pop, libc::SIGKILL) };
    let mut failed = 0;
    for number in 0..200 {
        let pop = up.pops[if number % 2 == 0 { 0 } else { 2 }];
        if up.ask(pop, "shop", None).await? != (200, "one".to_owned()) {
            failed += 1;
        }
    }
    let begun = Instant::now();
    while up.ask(up.pops[1], "shop", None).await.ok() != Some((200, "one".to_owned())) {
        if begun.elapsed() > PATIENCE {
            bail!("the killed PoP does not come back from its disk");
        }
        tokio::time::sleep(LOOK).await;
    }
    println!(
        "a killed PoP answered from its disk after {} ms, without a control plane",
        begun.elapsed().as_millis()
    );
    if failed > 0 {
        bail!("{failed} of 200 requests failed while the control plane was away");
    }
    // SAFETY: as above.
    unsafe { libc::kill(control, libc::SIGKILL) };
    // The supervisor starts it again.
    let begun = Instant::now();
    let second = loop {
        match up.upload("shop", &says("two")).await {
            Ok(version) => break version,
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    };
    up.deploy("shop", &[(&second, 100.0)], true).await?;
    up.all_say("shop", "two").await?;
    println!(
        "all PoPs had a new deployment {} ms after the control plane was killed",
        begun.elapsed().as_millis()
    );
    up.stop().await
}

/// A second run goes on with what the first one left.
pub async fn a_second_run_goes_on() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let up = Up::start(directory.path()).await?;
    let first = up.upload("shop", &says("one")).await?;
    up.deploy("shop", &[(&first, 100.0)], true).await?;
    up.all_say("shop", "one").await?;
    let token = up.token.clone();
    up.stop().await?;
    let up = Up::start(directory.path()).await?;
    if up.token != token {
        bail!("the token is another one");
    }
    up.all_say("shop", "one").await?;
    up.stop().await
}
