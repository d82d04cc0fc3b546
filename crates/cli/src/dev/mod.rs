//! `atoll dev`: serves a project and follows its changes.
//!
//! A session reads the configuration and binds the listener: if either fails there is nothing to serve, and it ends with status 1. From then on
//! nothing that is wrong with the project ends it: the failure is shown, requests answer with it, and the next save is
//! awaited. Rounds ([`reload`]) run one at a time beside the loop that shows events and takes keys and signals. What is
//! stored is not touched by a reload.

mod beside;
mod changes;
mod listen;
mod reload;
mod report;
mod session;
mod table;
#[cfg(all(test, feature = "bundler"))]
mod tests;

pub use reload::DEV_TENANT;
pub use session::{GRACE, run};

use crate::bundle::{self, Bundler};
use crate::terminal::{Inputs, Terminal};
use atoll_stdx::Clock;
use std::path::PathBuf;
use std::sync::Arc;

/// What a session needs of the world around it.
pub struct Surroundings {
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// The process environment.
    pub process_env: Vec<(String, String)>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Where lines go.
    pub terminal: Arc<dyn Terminal>,
    /// Keys and signals.
    pub inputs: Inputs,
    /// Whether keys come: then the session says which.
    pub keys: bool,
    /// What bundles.
    pub bundler: Arc<dyn Bundler>,
}

impl Surroundings {
    /// Whether `NO_COLOR` (no-color.org) or a terminal without any forbids colours.
    fn forbids_colour(&self) -> bool {
        self.process_env
            .iter()
            .any(|(name, value)| (name == "NO_COLOR" && !value.is_empty()) || (name == "TERM" && value == "dumb"))
    }

    /// The bundler of this build; for tests and for whoever replaces it.
    pub fn default_bundler() -> Arc<dyn Bundler> {
        bundle::bundler()
    }
}
