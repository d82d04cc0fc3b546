//! The command line: its words, a project's configuration, building, and the development session.
//!
//! [`run`] is the entry. What serves a project ([`target::DevTarget`]) is given by the binary: nothing here knows engines, stores or HTTP.

pub mod args;
pub mod bundle;
pub mod completions;
pub mod config;
pub mod dev;
pub mod init;
mod introduce;
mod listen;
pub mod modules;
mod project;
pub mod reference;
pub mod remote;
mod report;
pub mod roles;
mod run;
pub mod serve;
mod surroundings;
mod table;
pub mod target;
pub mod terminal;
pub mod testing;
pub mod types;
pub mod watch;

pub use args::{Cli, Command, DevArgs, TestArgs};
pub use project::LOCAL_TENANT;
pub use run::{RoleRun, Serving, Targets, run};
pub use serve::ServeArgs;
pub use surroundings::Surroundings;
pub(crate) use surroundings::forbids_colour;
