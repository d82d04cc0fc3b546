//! The command line.
pub mod completions;
pub mod config;
pub mod init;
pub mod target;
pub mod types;
