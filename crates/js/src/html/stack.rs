//! Stacks for parsers: small, guarded by a page that nothing may touch, and used again by the next parser on the thread.

use corosensei::stack::DefaultStack;
use std::cell::RefCell;

/// The size of a parser's stack. `lol_html` does not recurse into documents; an unoptimized build needs a few tens of
/// kilobytes. Pages that are not touched cost nothing.
const STACK_BYTES: usize = 256 * 1024;
/// How many stacks a thread keeps for later.
const SPARE_MAX: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

/// A spare stack or a new one.
pub(super) fn take() -> std::io::Result<DefaultStack> {
    match SPARE.with_borrow_mut(Vec::pop) {
        Some(stack) => Ok(stack),
        None => DefaultStack::new(STACK_BYTES),
    }
}

/// Keeps a stack that is not in use any more, if few are kept.
pub(super) fn give_back(stack: DefaultStack) {
    // While the thread ends its spare stacks are gone already; this one goes too.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(stack);
        }
    });
}
