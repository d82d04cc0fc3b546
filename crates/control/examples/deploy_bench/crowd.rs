//! Simulated PoPs: `pop_crowd`, a process with hundreds of agents, at the same control plane.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// How long it may take until all are connected.
const CONNECTED_MAX: Duration = Duration::from_secs(300);
/// How long one publication may take until all have it.
const SERVED_MAX: Duration = Duration::from_secs(120);

pub struct Crowd {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    pub count: usize,
}

impl Crowd {
    /// Starts as many as there are tokens, with their data directories below `directory`.
    pub async fn start(program: &Path, directory: &Path, peers: u16, tokens: &[String]) -> Result<Self> {
        let file: PathBuf = directory.join("tokens");
        std::fs::write(&file, tokens.join("\n"))?;
        let mut child = Command::new(program)
            .args(["--control", &format!("127.0.0.1:{peers}")])
            .args(["--count", &tokens.len().to_string()])
            .arg("--tokens")
            .arg(&file)
            .arg("--directory")
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let input = child.stdin.take().context("it has an input")?;
        let lines = BufReader::new(child.stdout.take().context("it has an output")?).lines();
        let mut crowd = Self {
            child,
            input,
            lines,
            count: tokens.len(),
        };
        crowd.line(CONNECTED_MAX, |line| line["connected"].is_number()).await?;
        Ok(crowd)
    }

    /// The next line that is of interest.
    async fn line(&mut self, most: Duration, of_interest: impl Fn(&Value) -> bool) -> Result<Value> {
        let found = async {
            while let Some(line) = self.lines.next_line().await? {
                let line: Value = serde_json::from_str(&line).with_context(|| format!("no JSON: {line}"))?;
                if of_interest(&line) {
                    return Ok(line);
                }
            }
            bail!("the simulated PoPs ended")
        };
        timeout(most, found).await.context("the simulated PoPs say nothing")?
    }

    /// Waits until all serve this publication or a later one: when the last of them did, in milliseconds since 1970.
    pub async fn served(&mut self, publication: u64) -> Result<f64> {
        let line = self
            .line(SERVED_MAX, |line| {
                line["publication"].as_u64().is_some_and(|has| has >= publication)
            })
            .await?;
        line["last_ms"].as_f64().context("a time")
    }

    /// What all of them together counted so far.
    pub async fn sums(&mut self) -> Result<BTreeMap<String, u64>> {
        self.input.write_all(b"stats\n").await?;
        let line = self.line(SERVED_MAX, |line| line["sums"].is_object()).await?;
        Ok(serde_json::from_value(line["sums"].clone())?)
    }

    pub async fn stop(mut self) -> Result<()> {
        drop(self.input);
        while self.lines.next_line().await?.is_some() {}
        self.child.wait().await?;
        Ok(())
    }
}
