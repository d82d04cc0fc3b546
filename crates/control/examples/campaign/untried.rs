//! A control plane that takes uploads without a trial.

use async_trait::async_trait;
use atoll_control::preflight::{Preflight, PreflightError, PreflightFacts, Trial};

/// Tries nothing.
#[derive(Debug)]
pub struct Untried;

#[async_trait]
impl Preflight for Untried {
    async fn check(&self, _: Trial<'_>) -> Result<PreflightFacts, PreflightError> {
        Ok(PreflightFacts::default())
    }
}
