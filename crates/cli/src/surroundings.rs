//! The world around a command that stays: the directory, the environment, the clock, the terminal.

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

/// The same without what comes in.
pub(crate) struct World {
    pub cwd: PathBuf,
    pub process_env: Vec<(String, String)>,
    pub clock: Arc<dyn Clock>,
    pub terminal: Arc<dyn Terminal>,
    pub bundler: Arc<dyn Bundler>,
}

impl Surroundings {
    /// What comes in, apart from the rest.
    pub(crate) fn split(self) -> (World, Inputs) {
        let Self {
            cwd,
            process_env,
            clock,
            terminal,
            inputs,
            keys: _,
            bundler,
        } = self;
        let world = World {
            cwd,
            process_env,
            clock,
            terminal,
            bundler,
        };
        (world, inputs)
    }

    /// The bundler of this build; for tests and for whoever replaces it.
    pub fn default_bundler() -> Arc<dyn Bundler> {
        bundle::bundler()
    }
}

/// Whether `NO_COLOR` (no-color.org) or a terminal without any forbids colours.
pub(crate) fn forbids_colour(process_env: &[(String, String)]) -> bool {
    process_env
        .iter()
        .any(|(name, value)| (name == "NO_COLOR" && !value.is_empty()) || (name == "TERM" && value == "dumb"))
}
