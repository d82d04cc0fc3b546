//! The trial of an upload: it is started once, where it can do no harm, before it is stored.
//!
//! The control plane runs no workers; who links both gives it something that does ([`Preflight`]).

mod bounded;

pub use bounded::{Bounded, TRIAL_MAX, TRIAL_WAIT_MAX, TRIALS_MAX, TRIALS_WAITING_MAX};

use crate::secrets::SecretValue;
use async_trait::async_trait;
use atoll_model::{Manifest, SecretName};
use atoll_store::blob::BlobStore;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is to be tried. Every blob of the manifest is in the store.
#[derive(Debug)]
pub struct Trial<'a> {
    /// What the version consists of, checked.
    pub manifest: &'a Manifest,
    /// Where its blobs are.
    pub blobs: &'a Arc<dyn BlobStore>,
    /// Its secrets.
    pub secrets: &'a [(SecretName, SecretValue)],
    /// Limits of the account that differ from the default, by key: no worker goes beyond them.
    pub limits: &'a BTreeMap<String, u64>,
}

/// What came of a trial that went well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PreflightFacts {
    /// Evaluating the modules took this long, milliseconds. `None`: there are no modules.
    pub startup_ms: Option<u64>,
    /// Exports of the main module, and the handlers that each has.
    pub exports: Vec<(String, Vec<String>)>,
}

/// Why an upload is not taken. Nothing of it is stored but blobs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PreflightError {
    /// Whose fault it is.
    pub kind: PreflightErrorKind,
    /// What failed, in the words that the worker's author should read.
    pub message: String,
}

/// Whose fault a failed trial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PreflightErrorKind {
    /// It threw while its modules were evaluated, or they cannot be compiled or linked.
    Startup,
    /// It used more than it may: time, CPU or memory.
    Limit,
    /// Its configuration asks for what there is not.
    Configuration,
    /// The control plane could not try it: try again.
    Unavailable,
}

impl PreflightErrorKind {
    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Limit => "limit",
            Self::Configuration => "configuration",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Tries uploads. A call may be dropped at any time; what it has started ends then.
#[async_trait]
pub trait Preflight: std::fmt::Debug + Send + Sync + 'static {
    /// Starts the version once.
    async fn check(&self, trial: Trial<'_>) -> Result<PreflightFacts, PreflightError>;
}
