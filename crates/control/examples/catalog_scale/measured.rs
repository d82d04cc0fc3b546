//! The real processes on a full catalog: how long they take to start, and to say their metrics.

use crate::campaign::fleet::Fleet;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// How long anything may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often metrics are read.
const READS: usize = 20;
/// Goals, milliseconds.
const START_MAX_MS: f64 = 5_000.0;
const METRICS_MAX_MS: f64 = 200.0;

/// Lines that were said, and the goals that were missed.
#[derive(Default)]
pub struct Figures {
    /// Times are held against their goals; otherwise they are only said.
    pub holds_times: bool,
    pub missed: Vec<String>,
}

impl Figures {
    /// A time that is to be shorter than its goal.
    fn time(&mut self, what: &str, value: f64, goal: f64) {
        if self.holds_times {
            self.goal(what, value, goal);
        } else {
            println!("{what}: {value:.0} (goal {goal:.0}, not held here)");
        }
    }

    /// A figure that is to be smaller than its goal.
    pub fn goal(&mut self, what: &str, value: f64, goal: f64) {
        let line = format!("{what}: {value:.0} (goal {goal:.0})");
        println!("{line}");
        if value >= goal {
            self.missed.push(line);
        }
    }
}

fn ms(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

async fn get(url: &str) -> Result<(u16, usize)> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = timeout(PATIENCE, client.get(url.parse()?))
        .await
        .context("no answer")??;
    let status = answer.status().as_u16();
    Ok((status, answer.into_body().collect().await?.to_bytes().len()))
}

/// Waits until the PoP has a configuration.
async fn ready(fleet: &Fleet, pop: usize) -> Result<()> {
    let began = Instant::now();
    loop {
        if let Some(url) = fleet.admin_url(pop, "/readyz")
            && let Ok((200, _)) = get(&url).await
        {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "the PoP is not ready");
        sleep(LOOK_EVERY).await;
    }
}

async fn metrics(figures: &mut Figures, whose: &str, url: &str) -> Result<()> {
    let (mut slowest, mut bytes) = (0.0_f64, 0);
    for _ in 0..READS {
        let began = Instant::now();
        let (status, length) = get(url).await?;
        ensure!(status == 200, "{url}: {status}");
        (slowest, bytes) = (slowest.max(ms(began)), length);
    }
    let what = format!("ms for the slowest of {READS} reads of /metrics of {whose} ({bytes} bytes)");
    figures.time(&what, slowest, METRICS_MAX_MS);
    Ok(())
}

/// The whole of it.
pub async fn processes(fleet: &mut Fleet, figures: &mut Figures) -> Result<()> {
    let began = Instant::now();
    fleet.start_control().await?;
    println!("the control plane leads {:.0} ms after its start", ms(began));
    metrics(figures, "the control plane", &fleet.control_url("/metrics")).await?;
    let began = Instant::now();
    fleet.add_pop().await?;
    ready(fleet, 0).await?;
    figures.time("ms until a PoP that joins serves", ms(began), START_MAX_MS);
    fleet.end_pop(0).await?;
    let began = Instant::now();
    fleet.start_pop(0)?;
    ready(fleet, 0).await?;
    figures.time("ms until a PoP serves from its disk", ms(began), START_MAX_MS);
    let url = fleet.admin_url(0, "/metrics").context("an admin listener")?;
    metrics(figures, "the PoP", &url).await?;
    println!("memory of the PoP: {:?} MiB", fleet.memory());
    Ok(())
}
