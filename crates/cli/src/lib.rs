//! The command line.
pub mod target;
