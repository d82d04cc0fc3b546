//! Waiting for what must come, on a busy machine too.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// How often it is looked for.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until it holds, and says how long that took.
pub async fn until(most: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) -> Result<Duration> {
    let began = Instant::now();
    while !holds().await {
        if began.elapsed() > most {
            bail!("{what}: not within {most:?}");
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(began.elapsed())
}
