//! The command line: its words, a project's configuration, building, and the development session.
//!
//! [`run`] is the entry. What serves a project ([`target::DevTarget`]) is given by the binary: nothing here knows engines, stores or HTTP.

pub mod args;
pub mod bundle;
pub mod completions;
pub mod config;
pub mod dev;
pub mod init;
pub mod modules;
pub mod reference;
mod run;
pub mod target;
pub mod terminal;
pub mod types;
pub mod watch;

pub use args::{Cli, Command, DevArgs};
pub use run::run;
