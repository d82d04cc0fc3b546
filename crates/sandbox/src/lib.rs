//! Locks the current process in: namespaces, an empty root, Landlock and a system call filter.
//!
//! For a child that runs code of strangers and needs nothing of the machine but the descriptors it was given. It goes in
//! two steps, because an engine must start between them:
//!
//! 1. [`enter`], first thing in `main`, while there is one thread: new namespaces, an empty read-only root, no
//!    capabilities, no privileges to gain, resource limits, no descriptors but the given ones, Landlock. In a new pid
//!    namespace the caller goes on as process 1 of it; the process that called waits, and ends the way its child ends.
//! 2. [`Entered::lock`], when the engine, the runtime and their threads are there and before any foreign code: a system
//!    call filter on all threads. What is on the list ([`calls`]) is allowed; a call that only an attack makes ends the
//!    process; every other call answers `ENOSYS`, so that the C library and the engine take the way of an older kernel.
//!
//! Invariants:
//! - nothing here can be undone by the process: no step has a way back, and [`Entered::lock`] is the last one;
//! - a layer that this kernel does not have is an error under [`Policy::Require`]; under [`Policy::AllowDowngrade`] it
//!   stands in the [`Report`] with its reason, which the caller logs;
//! - no layer leans on another: a file is out of reach by the root, by Landlock and by the filter, each alone.
//!
//! What goes wrong half-way leaves a process that is neither free nor locked in: the caller ends it.

#[cfg(not(target_os = "linux"))]
compile_error!("the sandbox is made of Linux's namespaces, Landlock and seccomp");

pub mod calls;
mod error;
mod filter;
mod fork;
mod landlock;
mod namespaces;
mod options;
mod privileges;
mod probe;
mod refusals;
mod report;
mod sandbox;

pub use error::SandboxError;
pub use options::{HARD_DESCRIPTORS, Options, Policy, ResourceLimits, Unlisted};
pub use probe::{Features, probe};
pub use report::{Layer, LayerState, Report};
pub use sandbox::{Entered, enter};
