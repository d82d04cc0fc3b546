//! Requests to every PoP at a steady pace: on connections that are kept, and on new ones, in turn.

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long an answer may take before it counts as failed.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// The host of the worker that is asked.
const HOST: &str = "steady.main.localhost";

/// What came of the requests to one PoP.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Answers, by their text.
    pub answers: BTreeMap<String, u64>,
    /// What came instead of an answer, with how long after the traffic's start.
    pub failed: Vec<String>,
    /// The longest that an answer took.
    pub slowest: Duration,
    /// The last answer.
    pub last: String,
}

pub struct Traffic {
    tallies: Vec<Arc<Mutex<Tally>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client that keeps connections, or one that makes a new one for each request.
fn client(keeps: bool) -> Client<HttpConnector, Full<Bytes>> {
    let mut builder = Client::builder(TokioExecutor::new());
    if !keeps {
        builder.pool_max_idle_per_host(0);
    }
    builder.build_http()
}

/// What a PoP answers to `GET path`.
pub async fn ask(
    client: &Client<HttpConnector, Full<Bytes>>,
    pop: SocketAddr,
    path: &str,
) -> Result<(http::StatusCode, String)> {
    let request = http::Request::builder()
        .uri(format!("http://{pop}{path}"))
        .header("host", HOST)
        .body(Full::default())?;
    let whole = async {
        let answer = client.request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok::<_, anyhow::Error>((status, String::from_utf8_lossy(&body).into_owned()))
    };
    timeout(ANSWER_MAX, whole).await.context("no answer in time")?
}

/// As [`ask`], on a connection of its own.
pub async fn ask_once(pop: SocketAddr, path: &str) -> Result<(http::StatusCode, String)> {
    ask(&client(false), pop, path).await
}

impl Traffic {
    /// Begins; `rate` requests a second to each PoP. An answer that is none of `allowed` has failed.
    pub fn start(pops: &[SocketAddr], rate: u64, allowed: &'static [&'static str]) -> Self {
        let (stop, tasks, began) = (CancellationToken::new(), TaskTracker::new(), Instant::now());
        let mut tallies = Vec::new();
        for &pop in pops {
            let tally = Arc::<Mutex<Tally>>::default();
            tallies.push(tally.clone());
            let (stop, requests) = (stop.clone(), tasks.clone());
            tasks.spawn(async move {
                let clients = [client(true), client(false)];
                let mut pace = interval(Duration::from_micros(1_000_000 / rate.max(1)));
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                for number in 0_usize.. {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        _ = pace.tick() => {}
                    }
                    let (client, tally) = (clients[number % 2].clone(), tally.clone());
                    // One that waits does not hold up the next one.
                    requests.spawn(async move {
                        let at = began.elapsed();
                        let asked = Instant::now();
                        let answer = ask(&client, pop, "/").await;
                        let mut tally = lock(&tally);
                        tally.slowest = tally.slowest.max(asked.elapsed());
                        match answer {
                            Ok((http::StatusCode::OK, text)) if allowed.contains(&text.as_str()) => {
                                *tally.answers.entry(text.clone()).or_default() += 1;
                                tally.last = text;
                            }
                            Ok((status, text)) => tally.failed.push(format!("after {at:.1?}: {status} {text:?}")),
                            Err(error) => tally.failed.push(format!("after {at:.1?}: {error:#}")),
                        }
                    });
                }
            });
        }
        Self { tallies, stop, tasks }
    }

    /// So far, by PoP.
    pub fn tallies(&self) -> Vec<Tally> {
        self.tallies.iter().map(|tally| lock(tally).clone()).collect()
    }

    /// The last answer of every PoP is this one.
    pub fn all_say(&self, text: &str) -> bool {
        self.tallies.iter().all(|tally| lock(tally).last == text)
    }

    /// Ends, and waits for the answers that are still to come.
    pub async fn end(self) -> Vec<Tally> {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.tallies()
    }
}
