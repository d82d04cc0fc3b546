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
mod session;
#[cfg(all(test, feature = "bundler"))]
mod tests;

pub use session::{GRACE, run};
