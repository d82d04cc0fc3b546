//! `atoll serve`: one project or several in production, without a control plane.
//!
//! ```text
//! read, bind --build, deploy--> ready --HUP: read, build, deploy--> ready --TERM, INT--> stopping --> ended
//! ```
//!
//! Until it is ready, whatever is wrong ends it with status 1. From then on only a signal does: a reload that fails is told,
//! and what was served goes on. Nothing is watched, and nothing of an error's inside reaches a client.

mod args;
mod routing;
mod session;
mod target;
#[cfg(test)]
mod tests;

pub use args::{GRACE_DEFAULT, Isolation, LogFormat, ServeArgs};
pub use session::run;
pub use target::{Deployment, Isolated, Listening, Phase, ServeListen, ServeTarget};
