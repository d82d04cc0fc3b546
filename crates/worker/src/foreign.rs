//! Bytes in memory that another process may change at any time: what a child process has put where its parent can read it.
//!
//! Nothing may look at them twice, or take what it saw for what is still there: no parser, no compressor, no cipher reads
//! them. They are copied once, or the kernel reads them, on their way into a socket.

use bytes::Bytes;
use std::any::Any;
use std::fmt;
use std::io::IoSlice;
use std::ptr::NonNull;

/// See the module. Their place is free again for whoever put them there when this is dropped.
pub struct Foreign {
    start: NonNull<u8>,
    length: usize,
    /// Keeps the memory mapped and the place taken.
    _lease: Box<dyn Any + Send + Sync>,
}

// SAFETY: a pointer to memory that the lease, which is both, keeps mapped, and which is read only.
unsafe impl Send for Foreign {}
// SAFETY: as above.
unsafe impl Sync for Foreign {}

impl Foreign {
    /// `length` bytes from `start`.
    ///
    /// # Safety
    ///
    /// They stay mapped and can be read for as long as `lease` lives.
    pub unsafe fn new(start: NonNull<u8>, length: usize, lease: Box<dyn Any + Send + Sync>) -> Self {
        Self {
            start,
            length,
            _lease: lease,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True if there are none (left).
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Keeps the first `length`, if there are more.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// Leaves the first `count` out, at most all.
    pub fn advance(&mut self, count: usize) {
        let count = count.min(self.length);
        // SAFETY: `count` is within the bytes that `new` was given.
        self.start = unsafe { self.start.add(count) };
        self.length -= count;
    }

    /// What they are now, in memory of this process alone.
    pub fn copy(&self) -> Bytes {
        let mut copied = Vec::<u8>::with_capacity(self.length);
        // SAFETY: the source is mapped (see `new`), the target has room and is new, so they do not overlap. Another process may
        // write meanwhile: what is copied then is some mixture of bytes, and nothing here depends on which.
        unsafe {
            std::ptr::copy_nonoverlapping(self.start.as_ptr(), copied.as_mut_ptr(), self.length);
            copied.set_len(self.length);
        }
        copied.into()
    }

    /// For a system call that writes them.
    ///
    /// # Safety
    ///
    /// Nobody but the kernel reads through the slice: it may change while it is borrowed.
    pub unsafe fn for_system_call(&self) -> IoSlice<'_> {
        // SAFETY: mapped for as long as `self` lives (see `new`); that nobody reads it in this process is the caller's word.
        IoSlice::new(unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) })
    }
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Foreign({} bytes)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_part_is_copied_and_the_lease_ends_with_it() {
        let memory: Arc<[u8]> = (0..100).collect::<Vec<u8>>().into();
        let start = NonNull::from(&memory[0]);
        // SAFETY: the lease is the memory.
        let mut foreign = unsafe { Foreign::new(start, memory.len(), Box::new(memory.clone())) };
        foreign.advance(10);
        foreign.truncate(500);
        assert_eq!(foreign.len(), 90);
        foreign.truncate(5);
        assert_eq!(foreign.copy()[..], [10, 11, 12, 13, 14]);
        // SAFETY: nobody writes there.
        assert_eq!(unsafe { foreign.for_system_call() }.len(), 5);
        foreign.advance(50);
        assert!(foreign.is_empty() && foreign.copy().is_empty());
        assert_eq!(Arc::strong_count(&memory), 2);
        drop(foreign);
        assert_eq!(Arc::strong_count(&memory), 1);
    }
}
