//! Requests to a worker without a pause, and what was answered by which PoP.

use super::platform::Platform;
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

#[derive(Default)]
struct State {
    /// By PoP: the last answer.
    last: BTreeMap<usize, String>,
    /// Counts the watches: an answer to a request that was sent before this one began says nothing of it.
    watch: u64,
    /// By PoP and answer since the watch began; failures are answers, too.
    answers: BTreeMap<(usize, String), u64>,
}

/// Requests to one worker on every PoP, until it is dropped.
pub struct Visitors {
    state: Arc<Mutex<State>>,
    pops: usize,
    _stop: DropGuard,
}

impl Visitors {
    pub fn start(platform: Arc<Platform>, worker: String, rate: u64) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let stop = CancellationToken::new();
        let pops = platform.pops.len();
        for pop in 0..pops {
            let (platform, worker, state, stop) = (platform.clone(), worker.clone(), state.clone(), stop.clone());
            tokio::spawn(async move {
                let mut pace = interval(Duration::from_millis(1_000 / rate.max(1)));
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        _ = pace.tick() => {}
                    }
                    // What is slow does not hold up the next one.
                    let (platform, worker, state) = (platform.clone(), worker.clone(), state.clone());
                    let watch = lock(&state).watch;
                    tokio::spawn(async move {
                        let answer = match platform.ask(pop, &worker).await {
                            Ok((200, body)) => body,
                            Ok((status, _)) => format!("status {status}"),
                            Err(error) => format!("error: {error:#}"),
                        };
                        let mut state = lock(&state);
                        if state.watch != watch {
                            return;
                        }
                        state.last.insert(pop, answer.clone());
                        *state.answers.entry((pop, answer)).or_default() += 1;
                    });
                }
            });
        }
        Self {
            state,
            pops,
            _stop: stop.drop_guard(),
        }
    }

    /// What was answered so far is forgotten.
    pub fn watch(&self) {
        let mut state = lock(&self.state);
        state.watch += 1;
        state.answers.clear();
    }

    /// Waits until the last answer of every PoP is this one.
    pub async fn all_answer(&self, marker: &str, most: Duration) -> Result<()> {
        let began = Instant::now();
        loop {
            {
                let state = lock(&self.state);
                let right = state.last.values().filter(|answer| *answer == marker).count();
                if right == self.pops {
                    return Ok(());
                }
                if began.elapsed() >= most {
                    bail!("not every PoP answers {marker:?}: {:?}", state.last);
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Which PoPs gave this answer, or none, and how often.
    pub fn seen(&self, marker: &str) -> Vec<(usize, String)> {
        let state = lock(&self.state);
        let bad = state
            .answers
            .iter()
            .filter(|((_, answer), _)| answer == marker || is_failure(answer));
        bad.map(|((pop, answer), count)| (*pop, format!("answered {answer:?} {count} times")))
            .collect()
    }

    /// Requests that failed, anywhere: what came instead of an answer, and how often.
    pub fn failed(&self) -> BTreeMap<String, u64> {
        let state = lock(&self.state);
        let mut failed: BTreeMap<String, u64> = BTreeMap::new();
        for ((_, answer), count) in state.answers.iter().filter(|((_, answer), _)| is_failure(answer)) {
            *failed.entry(answer.clone()).or_default() += count;
        }
        failed
    }
}

fn is_failure(answer: &str) -> bool {
    answer.starts_with("status ") || answer.starts_with("error: ")
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
