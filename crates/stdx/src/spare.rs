//! The system's allocator, with freed small blocks kept at hand for their thread's next use.
//!
//! The C library does that, too, for seven blocks of a size. A thread that answers sixty requests at a time takes sixty of each
//! size before it frees the first, so that most of them go the long way: some three percent of what a small answer costs the server.
//!
//! - Blocks are kept by the threads that say so ([`keep`]), up to [`KEPT_MAX`] of each of 64 sizes: 2.2 MB of blocks a thread at most.
//!   Where they lie between others that were freed, they hold up to 17 MB of pages: [`renew`] gives them back.
//! - The other threads use the system's allocator as it is.
//! - A block may be freed by any thread, and is kept by the one that frees it.
//! - A thread gives back all it has kept when its [`Keeping`] is dropped.
//! - Links between kept blocks are masked by where they stand, as the C library's are, and looked at when they are used: what writes
//!   past its block ends the process, or goes astray. A block that is freed twice in a row ends it, too. Tools that look for the use
//!   of freed memory see none of a kept block.
//!
//! Invariant: a small block is always of its class's full size, whoever made it, so that each of a class can stand in for another.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::null_mut;

/// Blocks of one size that a thread keeps.
const KEPT_MAX: u8 = 64;

/// Larger blocks are the system's.
const SMALL_MAX: usize = 1024;

/// The system's blocks are aligned so.
const ALIGN: usize = 16;

/// Bytes that the C library needs for itself beside a block: with these, classes are the sizes that it has anyway.
const BESIDE: usize = 8;

const CLASSES: usize = class_of(SMALL_MAX) + 1;

// Where pointers are shorter, blocks are aligned to less.
const _: () = assert!(size_of::<usize>() == 8);

/// Which class a size belongs to, of at least one byte.
const fn class_of(size: usize) -> usize {
    let class = (size + ALIGN - 1 - BESIDE) / ALIGN;
    // The smallest block that the C library has.
    if class == 0 { 1 } else { class }
}

/// The class of a small block, and what the system is asked for.
fn small(layout: Layout) -> Option<(usize, Layout)> {
    if layout.size() > SMALL_MAX || layout.align() > ALIGN {
        return None;
    }
    let class = class_of(layout.size());
    let whole = Layout::from_size_align(class * ALIGN + BESIDE, ALIGN).ok()?;
    Some((class, whole))
}

/// A block that is kept: its first word says which is the next, masked.
struct Kept(*mut Kept);

impl Kept {
    /// Masks the link that stands at `at`, or takes the mask off. The address is random (ASLR), and who can write past a block need
    /// not know it.
    fn masked(link: *mut Self, at: *const Self) -> *mut Self {
        link.map_addr(|address| address ^ (at.addr() >> 12))
    }

    /// # Safety
    /// `block` is one that is kept.
    unsafe fn next(block: *mut Self) -> *mut Self {
        // SAFETY: the caller's promise: its first word was written when it was given.
        let next = Self::masked(unsafe { (*block).0 }, block);
        if !next.addr().is_multiple_of(ALIGN) {
            // Somebody has written where nobody may. Nothing here can be trusted, and nothing can be said without memory.
            std::process::abort();
        }
        next
    }
}

/// What a thread keeps.
struct Here {
    keeps: Cell<bool>,
    first: [Cell<*mut Kept>; CLASSES],
    /// How many more there is room for; none in a thread that keeps nothing.
    room: [Cell<u8>; CLASSES],
}

thread_local! {
    /// Without a destructor: it is used until the thread's very end.
    static HERE: Here = const {
        Here {
            keeps: Cell::new(false),
            first: [const { Cell::new(null_mut()) }; CLASSES],
            room: [const { Cell::new(0) }; CLASSES],
        }
    };
}

impl Here {
    fn take(&self, class: usize) -> *mut u8 {
        let kept = self.first[class].get();
        if !kept.is_null() {
            // SAFETY: it stands in the list.
            self.first[class].set(unsafe { Kept::next(kept) });
            self.room[class].set(self.room[class].get() + 1);
        }
        kept.cast()
    }

    /// False if there is no room for it.
    ///
    /// # Safety
    /// `block` is a block of the class, and nobody else's.
    unsafe fn give(&self, class: usize, block: *mut u8) -> bool {
        let Some(room) = self.room[class].get().checked_sub(1) else {
            return false;
        };
        let (kept, first) = (block.cast::<Kept>(), self.first[class].get());
        if kept == first {
            // Freed twice.
            std::process::abort();
        }
        self.room[class].set(room);
        // SAFETY: a block of at least a word, aligned to more than one.
        unsafe { kept.write(Kept(Kept::masked(first, kept))) };
        self.first[class].set(kept);
        true
    }
}

/// A thread keeps blocks until this is dropped.
#[derive(Debug)]
pub struct Keeping {
    /// It did before.
    kept: bool,
    /// Of this thread.
    _here: PhantomData<*const ()>,
}

/// Has the calling thread keep small blocks that it frees. For threads that serve many at once.
pub fn keep() -> Keeping {
    let kept = HERE.with(|here| here.keeps.get());
    begin();
    Keeping {
        kept,
        _here: PhantomData,
    }
}

/// As [`keep`], for a runtime's hook, until [`end`]. Again is no different, and costs nothing.
pub fn begin() {
    HERE.with(|here| {
        if !here.keeps.replace(true) {
            here.room.iter().for_each(|room| room.set(KEPT_MAX));
        }
    });
}

/// The calling thread gives back what it has kept. It goes on as before.
pub fn renew() {
    if HERE.with(|here| here.keeps.get()) {
        end();
        begin();
    }
}

/// The calling thread keeps no more, and gives back what it has kept.
pub fn end() {
    HERE.with(|here| {
        here.keeps.set(false);
        for (class, (room, first)) in here.room.iter().zip(&here.first).enumerate() {
            room.set(0);
            let mut next = first.replace(null_mut());
            while !next.is_null() {
                let kept = next;
                // SAFETY: what stands in a class's list is a block of it, as `small` has it for any size of that class.
                unsafe {
                    next = Kept::next(kept);
                    let whole = Layout::from_size_align_unchecked(class * ALIGN + BESIDE, ALIGN);
                    System.dealloc(kept.cast(), whole);
                }
            }
        }
    });
}

impl Drop for Keeping {
    fn drop(&mut self) {
        if !self.kept {
            end();
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct SparingAllocator;

// SAFETY: blocks are the system's, of the layout that was asked for or, if that is small, of its class, which is at least as large
// and aligned as well. One that is kept is in one list, once, until it is taken from there.
unsafe impl GlobalAlloc for SparingAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((class, whole)) = small(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        };
        let kept = HERE.with(|here| here.take(class));
        if kept.is_null() {
            // SAFETY: no class's size is 0.
            return unsafe { System.alloc(whole) };
        }
        kept
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some((class, whole)) = small(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc_zeroed(layout) };
        };
        let kept = HERE.with(|here| here.take(class));
        if kept.is_null() {
            // SAFETY: no class's size is 0.
            return unsafe { System.alloc_zeroed(whole) };
        }
        // SAFETY: the block has at least as many bytes.
        unsafe { kept.write_bytes(0, layout.size()) };
        kept
    }

    #[inline]
    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        let Some((class, whole)) = small(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { System.dealloc(data, layout) };
        };
        // SAFETY: by the caller's promise `data` came from here with this layout, so it is a block of its class.
        unsafe {
            if !HERE.with(|here| here.give(class, data)) {
                System.dealloc(data, whole);
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, data: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(size, layout.align()) else {
            return null_mut();
        };
        match (small(layout), small(new)) {
            (Some((class, _)), Some((new_class, _))) if class == new_class => data,
            // SAFETY: the caller's promise, and blocks of a class are of its layout.
            (Some((_, whole)), Some((_, new_whole))) => unsafe { System.realloc(data, whole, new_whole.size()) },
            // SAFETY: as above; the alignment of both is the same, and no more than the class's.
            (Some((_, whole)), None) => unsafe { System.realloc(data, whole, size) },
            // SAFETY: the caller's promise.
            (None, None) => unsafe { System.realloc(data, layout, size) },
            // SAFETY: as above. A block of the system's with a smaller alignment is aligned to `ALIGN` all the same.
            (None, Some((_, new_whole))) => unsafe { System.realloc(data, layout, new_whole.size()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOCATOR: SparingAllocator = SparingAllocator;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    fn kept() -> usize {
        let room: usize = HERE.with(|here| here.room.iter().map(|room| usize::from(room.get())).sum());
        CLASSES * usize::from(KEPT_MAX) - room
    }

    #[test]
    fn classes_are_the_sizes_of_the_c_library() {
        let bytes = |size| small(layout(size)).map(|(_, whole)| whole.size());
        assert_eq!(
            [1, 8, 9, 24, 25, 40, 41, 1024].map(bytes),
            [24, 24, 24, 24, 40, 40, 56, 1032].map(Some)
        );
        assert_eq!(bytes(1025), None);
        for size in 1..=SMALL_MAX {
            let (class, whole) = small(layout(size)).unwrap();
            assert!(whole.size() >= size && class < CLASSES, "{size}");
            assert!(small(Layout::from_size_align(size, 32).unwrap()).is_none());
        }
    }

    #[test]
    fn what_is_freed_is_taken_again_by_its_size() {
        let _keeping = keep();
        let many = usize::from(KEPT_MAX) + 6;
        // SAFETY: sizes are not 0; each block is freed once, with a layout of its class.
        unsafe {
            let blocks: Vec<*mut u8> = (0..many).map(|_| ALLOCATOR.alloc(layout(700))).collect();
            for block in &blocks {
                block.write_bytes(0xff, 700);
                ALLOCATOR.dealloc(*block, layout(700));
            }
            assert_eq!(kept(), usize::from(KEPT_MAX), "the others are the system's");
            let again = ALLOCATOR.alloc_zeroed(layout(697));
            assert_eq!(again, blocks[usize::from(KEPT_MAX) - 1], "the last one that was kept");
            assert_eq!(std::slice::from_raw_parts(again, 697), [0; 697]);
            let other = ALLOCATOR.alloc(layout(600));
            assert!(!blocks.contains(&other));
            ALLOCATOR.dealloc(again, layout(697));
            ALLOCATOR.dealloc(other, layout(600));
            assert_eq!(kept(), usize::from(KEPT_MAX) + 1);
        }
        drop(keep());
        assert_eq!(kept(), usize::from(KEPT_MAX) + 1, "one within another ends nothing");
        renew();
        assert_eq!(kept(), 0);
        end();
        HERE.with(|here| {
            assert!(here.first.iter().all(|first| first.get().is_null()));
            assert!(here.room.iter().all(|room| room.get() == 0));
        });
    }

    /// What the program says of it: `abort` ends it.
    fn is_aborted(case: &str) -> bool {
        use std::os::unix::process::ExitStatusExt;
        let test = format!(
            "{}::misuse_ends_the_process",
            module_path!().split_once("::").unwrap().1
        );
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args([&test, "--exact", "--nocapture"])
            .env("SPARE_MISUSE", case)
            .stdout(std::process::Stdio::null())
            .status();
        // SIGABRT.
        status.unwrap().signal() == Some(6)
    }

    #[test]
    fn misuse_ends_the_process() {
        let Ok(case) = std::env::var("SPARE_MISUSE") else {
            assert!(is_aborted("twice") && is_aborted("written") && !is_aborted("neither"));
            return;
        };
        let _keeping = keep();
        // SAFETY: none, where the case is to be seen: the process ends before anything else uses the blocks.
        unsafe {
            let (one, other) = (ALLOCATOR.alloc(layout(700)), ALLOCATOR.alloc(layout(700)));
            ALLOCATOR.dealloc(one, layout(700));
            ALLOCATOR.dealloc(other, layout(700));
            match case.as_str() {
                "twice" => ALLOCATOR.dealloc(other, layout(700)),
                "written" => {
                    other.write(other.read() ^ 1);
                    ALLOCATOR.alloc(layout(700));
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_thread_that_keeps_nothing_frees() {
        // SAFETY: the size is not 0; freed once.
        unsafe {
            let block = ALLOCATOR.alloc(layout(100));
            ALLOCATOR.dealloc(block, layout(100));
        }
        HERE.with(|here| assert!(here.first.iter().all(|first| first.get().is_null())));
    }

    #[test]
    fn blocks_change_their_size_and_their_thread() {
        let _keeping = keep();
        let sizes = [1, 10, 24, 25, 2_000, 100, 1_024, 1_025, 40, 900, 901, 5_000, 16];
        // SAFETY: sizes are not 0, layouts those of the block.
        unsafe {
            let mut data = ALLOCATOR.alloc(layout(sizes[0]));
            data.write(7);
            let mut before = sizes[0];
            for size in sizes {
                data = ALLOCATOR.realloc(data, layout(before), size);
                before = size;
                assert_eq!(data.read(), 7);
                data.add(size - 1).write(data.add(size - 1).read());
            }
            let address = data as usize;
            let there = move || ALLOCATOR.dealloc(address as *mut u8, layout(16));
            std::thread::spawn(there).join().unwrap();
        }
        assert_eq!(kept(), 0);
    }
}
