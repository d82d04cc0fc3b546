//! What the scripts ask about the worker's compatibility flags.

use crate::ops::isolate;
use deno_core::{OpState, op2};

/// Whether a flag is on. `name` is the one that switches it on.
#[op2(fast)]
pub(crate) fn op_compat_enabled(state: &OpState, #[string] name: &str) -> bool {
    isolate(state).compat.enabled(name)
}

/// Every flag, and whether it is on.
#[op2]
pub(crate) fn op_compat_flags(state: &OpState) -> Vec<(String, bool)> {
    let all = isolate(state).compat;
    all.all().map(|(name, on)| (name.to_owned(), on)).collect()
}
