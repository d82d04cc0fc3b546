//! How static assets are served, as rules without I/O: which file answers a path, which redirects and headers apply,
//! when the worker runs instead. The contract is the Workers platform's (`html_handling`, `not_found_handling`,
//! `run_worker_first`, `_redirects`, `_headers`, `.assetsignore`); conditional and range requests follow RFC 9110, where
//! the platform answers less than that.
//!
//! Invariants:
//! - a request path only ever selects a key of the [`Manifest`]; it is never joined to a directory;
//! - an asset is served at one path: every other spelling (`//`, needless or missing escapes, `.html`) is redirected;
//! - a broken line of a rule file is a [`Warning`] with its number and never changes what the other lines mean;
//! - time per request is linear in the path's length times the number of rules, whatever the rules say.

mod conditional;
mod content_type;
mod decide;
#[cfg(test)]
mod garbage_tests;
mod header_rules;
mod html;
mod ignore;
mod limits;
mod manifest;
mod path;
mod pattern;
mod redirect_rules;
mod routing;
mod warning;

pub use conditional::{ByteRange, Preconditions, RangeAnswer, evaluate};
pub use content_type::content_type;
pub use decide::{Answer, Caller, Content, Decision, Rules};
pub use header_rules::HeaderRules;
pub use html::{Resolution, resolve};
pub use ignore::IgnoreRules;
pub use limits::*;
pub use manifest::{Entry, Manifest};
pub use path::{decode_path, encode_path};
pub use redirect_rules::RedirectRules;
pub use routing::{WorkerFirst, WorkerFirstError};
pub use warning::{RuleFile, Warning};
