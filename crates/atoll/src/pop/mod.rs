//! `atoll pop`: the data plane. It joins a control plane, serves what is deployed there, and goes on without it.
//!
//! ```text
//! settings -> data directory -> child processes -> platform -> listeners -> agent -> (first configuration) -> ready
//! SIGTERM -> not ready, no crons -> delay -> listener closed, requests finish -> agent -> platform -> stores
//! ```
//!
//! - [`routing`]: whose a request is; pure;
//! - [`sites`]: what stands behind it, over the edge configuration;
//! - [`runtime`]: what the agent drives;
//! - [`health`], [`open`], [`tails`], [`kv`], [`crons`]: what the control plane asks of it.

mod crons;
mod fire;
mod health;
mod kv;
mod open;
mod routing;
mod runtime;
mod server;
mod sites;
mod tails;

pub(crate) use health::Meters;
pub(crate) use server::{AssetObjects, isolation, run, signal};
