//! Compiled code of modules, kept from one isolate to the next.
//!
//! An engine asks for a module's code before it compiles the module, and offers what it compiled once the worker has handled
//! an event, so that functions compiled at their first call are in it. Where it is kept, how much of it and for how long is
//! the keeper's affair.
//!
//! Who may be given what: compiled code is as good as machine code of the process that loads it. A keeper gives out only what
//! came from a process that is trusted as much as the asking one, and only unchanged; the engine checks again what it can.

use bytes::Bytes;
use std::fmt;

/// Names code: a hash over everything that it depends on, the engine's version and flags, the worker, the module's name and
/// text. Equal keys mean equal code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodeKey(pub [u8; 32]);

impl fmt::Display for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Keeps compiled code. Called on isolates' threads while their workers wait: nothing here may take long.
pub trait CodeCache: Send + Sync + 'static {
    /// The code kept under `key`.
    fn load(&self, key: &CodeKey) -> Option<Bytes>;

    /// Whether [`CodeCache::keep`] would do anything: making the code takes milliseconds.
    fn wants(&self, key: &CodeKey) -> bool;

    /// Keeps code, if there is room for it.
    fn keep(&self, key: &CodeKey, code: Bytes);

    /// The engine used what [`CodeCache::load`] gave.
    fn used(&self, _key: &CodeKey) {}

    /// The engine would not take what [`CodeCache::load`] gave, and compiled the module instead: it must not be given again.
    fn refused(&self, key: &CodeKey);
}
