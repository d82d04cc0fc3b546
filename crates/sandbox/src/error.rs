//! What can go wrong while a process locks itself in. Whoever gets one ends the process: it may be half locked in.

use crate::report::Layer;
use std::io;

/// Why a process could not be locked in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The kernel does not have a layer, or does not let this process use it, and the policy requires it.
    #[error(
        "this machine cannot lock workers in: {layer} is missing ({reason}); allow it in the kernel or the container, or \
         allow a downgrade"
    )]
    Missing {
        /// What is missing.
        layer: Layer,
        /// What the kernel said.
        reason: String,
    },
    /// A step failed which every kernel that has the layer can do.
    #[error("the sandbox's step \"{step}\" failed: {source}")]
    Step {
        /// Which step.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// [`enter`](crate::enter) was called when there were threads already: their credentials and namespaces would stay.
    #[error("the sandbox must be entered while the process has one thread; it has {0}")]
    Threads(usize),
    /// The filter could not be made or put on every thread.
    #[error("the system call filter could not be put on all threads: {0}")]
    Filter(#[from] seccompiler::Error),
}

impl SandboxError {
    /// An error of one step.
    pub(crate) fn step(step: &'static str, source: impl Into<io::Error>) -> Self {
        Self::Step {
            step,
            source: source.into(),
        }
    }

    /// An error of one step, from `errno`.
    pub(crate) fn last(step: &'static str) -> Self {
        Self::step(step, io::Error::last_os_error())
    }
}
