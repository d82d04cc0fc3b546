//! Bytes in memory that another process may change at any time: what a child process has put where its parent can read it.
//!
//! Nothing may look at them twice, or take what it saw for what is still there: no parser, no compressor, no cipher reads
//! them. They are copied once, or the kernel reads them, on their way into a socket.

use bytes::Bytes;
use std::fmt;
use std::io::IoSlice;
use std::ptr::NonNull;

/// Where foreign bytes lie. Dropped, it is free again for whoever put them there.
pub trait Place: Send + Sync {
    /// Copies what is there now, from the `from`-th byte of the place; bytes that cannot be read stay as they are in `to`.
    fn read(&self, from: usize, to: &mut [u8]);
}

/// See the module.
pub struct Foreign {
    start: NonNull<u8>,
    /// Of the place, left out.
    gone: usize,
    length: usize,
    place: Box<dyn Place>,
}

// SAFETY: a pointer to memory that the place, which is both, keeps mapped, and which is read only.
unsafe impl Send for Foreign {}
// SAFETY: as above.
unsafe impl Sync for Foreign {}

impl Foreign {
    /// The `length` bytes of `place`, which are mapped from `start`.
    ///
    /// # Safety
    ///
    /// They stay mapped for as long as `place` lives.
    pub unsafe fn new(start: NonNull<u8>, length: usize, place: Box<dyn Place>) -> Self {
        Self {
            start,
            gone: 0,
            length,
            place,
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
        self.gone += count;
        self.length -= count;
    }

    /// What they are now, in memory of this process alone.
    pub fn copy(&self) -> Bytes {
        let mut copied = vec![0; self.length];
        self.place.read(self.gone, &mut copied);
        copied.into()
    }

    /// For a system call that writes them.
    ///
    /// # Safety
    ///
    /// Nobody but the kernel reads through the slice: it may change while it is borrowed, and there need not be memory behind it.
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

    struct Kept(Arc<[u8]>);

    impl Place for Kept {
        fn read(&self, from: usize, to: &mut [u8]) {
            to.copy_from_slice(&self.0[from..from + to.len()]);
        }
    }

    #[test]
    fn a_part_is_copied_and_the_place_is_free_with_it() {
        let memory: Arc<[u8]> = (0..100).collect::<Vec<u8>>().into();
        let start = NonNull::from(&memory[0]);
        // SAFETY: the place is the memory.
        let mut foreign = unsafe { Foreign::new(start, memory.len(), Box::new(Kept(memory.clone()))) };
        foreign.advance(10);
        foreign.truncate(500);
        assert_eq!(foreign.len(), 90);
        foreign.truncate(5);
        assert_eq!(foreign.copy()[..], [10, 11, 12, 13, 14]);
        foreign.advance(2);
        assert_eq!(foreign.copy()[..], [12, 13, 14]);
        // SAFETY: nobody writes there.
        assert_eq!(unsafe { foreign.for_system_call() }[..], [12, 13, 14]);
        foreign.advance(50);
        assert!(foreign.is_empty() && foreign.copy().is_empty());
        assert_eq!(Arc::strong_count(&memory), 2);
        drop(foreign);
        assert_eq!(Arc::strong_count(&memory), 1);
    }
}
