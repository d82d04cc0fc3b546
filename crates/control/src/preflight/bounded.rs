//! Bounds around a [`Preflight`]: so many trials at a time, so many that wait, and each only so long.

use super::{Preflight, PreflightError, PreflightErrorKind, PreflightFacts, Trial};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How many trials run at a time.
pub const TRIALS_MAX: usize = 4;
/// How many wait for their turn; those beyond are told to come again.
pub const TRIALS_WAITING_MAX: usize = 64;
/// How long one may wait for its turn.
pub const TRIAL_WAIT_MAX: Duration = Duration::from_secs(20);
/// How long one may run. A start has limits of its own that are much smaller; this one is for whoever runs it.
pub const TRIAL_MAX: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub struct Bounded {
    inner: Arc<dyn Preflight>,
    turns: Semaphore,
    waiting: AtomicUsize,
    wait_max: Duration,
    trial_max: Duration,
}

/// Counts one that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn unavailable(message: String) -> PreflightError {
    PreflightError {
        kind: PreflightErrorKind::Unavailable,
        message,
    }
}

impl Bounded {
    /// With the bounds of this module.
    pub fn new(inner: Arc<dyn Preflight>) -> Self {
        Self::with(inner, TRIALS_MAX, TRIAL_WAIT_MAX, TRIAL_MAX)
    }

    /// With other bounds.
    pub fn with(inner: Arc<dyn Preflight>, trials: usize, wait_max: Duration, trial_max: Duration) -> Self {
        Self {
            inner,
            turns: Semaphore::new(trials),
            waiting: AtomicUsize::new(0),
            wait_max,
            trial_max,
        }
    }
}

#[async_trait]
impl Preflight for Bounded {
    async fn check(&self, trial: Trial<'_>) -> Result<PreflightFacts, PreflightError> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        if before >= TRIALS_WAITING_MAX {
            return Err(unavailable(format!(
                "{TRIALS_WAITING_MAX} uploads wait to be tried already; try again in some seconds"
            )));
        }
        let turn = timeout(self.wait_max, self.turns.acquire()).await;
        // The semaphore is never closed.
        let Ok(Ok(_turn)) = turn else {
            return Err(unavailable(format!(
                "the upload was not tried within {} s, because too many are; try again",
                self.wait_max.as_secs()
            )));
        };
        drop(waiting);
        match timeout(self.trial_max, self.inner.check(trial)).await {
            Ok(result) => result,
            Err(_) => Err(PreflightError {
                kind: PreflightErrorKind::Limit,
                message: format!(
                    "the trial of the upload took more than {} s and was ended; make its start do less",
                    self.trial_max.as_secs()
                ),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_model::artifact::FORMAT_VERSION;
    use atoll_model::{CompatDate, Manifest, OutboundRules, TenantId, WorkerName};
    use atoll_store::blob::{BlobStore, DirectoryStore};
    use std::collections::BTreeMap;

    /// Never ends, and says how many of it there are.
    #[derive(Debug, Default)]
    struct Endless {
        running: AtomicUsize,
        most: AtomicUsize,
    }

    #[async_trait]
    impl Preflight for Endless {
        async fn check(&self, _: Trial<'_>) -> Result<PreflightFacts, PreflightError> {
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            let _over = Waiting(&self.running);
            self.most.fetch_max(running, Ordering::SeqCst);
            std::future::pending().await
        }
    }

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT_VERSION,
            account: TenantId::new("acme"),
            worker: WorkerName::new("shop"),
            main_module: None,
            modules: Vec::new(),
            assets: None,
            compat_date: CompatDate::NEWEST,
            compat_flags: Vec::new(),
            bindings: Vec::new(),
            tail_consumers: Vec::new(),
            limits: BTreeMap::new(),
            outbound: OutboundRules::default(),
        }
    }

    #[tokio::test]
    async fn trials_are_few_short_and_do_not_wait_for_ever() {
        let temp = tempfile::tempdir().unwrap();
        let blobs: Arc<dyn BlobStore> = Arc::new(DirectoryStore::open(temp.path()).unwrap());
        let inner = Arc::new(Endless::default());
        let bounded = Bounded::with(inner.clone(), 2, Duration::from_millis(200), Duration::from_secs(2));
        let (manifest, bounds) = (manifest(), BTreeMap::new());
        let trial = || Trial {
            manifest: &manifest,
            blobs: &blobs,
            secrets: &[],
            limits: &bounds,
        };
        let all = futures_util::future::join_all((0..TRIALS_WAITING_MAX + 6).map(|_| bounded.check(trial()))).await;
        let told = |what: &str| {
            let says = |result: &Result<PreflightFacts, PreflightError>| {
                result.as_ref().is_err_and(|error| error.message.contains(what))
            };
            all.iter().filter(|result| says(result)).count()
        };
        // Two ran their whole time; those whose turn never came were told so; the others were not let in.
        assert_eq!(told("was ended"), 2);
        assert_eq!(told("because too many are"), TRIALS_WAITING_MAX);
        assert_eq!(told("wait to be tried already"), 4);
        assert_eq!(
            (inner.most.load(Ordering::SeqCst), inner.running.load(Ordering::SeqCst)),
            (2, 0)
        );
        assert_eq!(bounded.waiting.load(Ordering::SeqCst), 0);
    }
}
