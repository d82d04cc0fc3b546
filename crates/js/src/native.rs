//! What an isolate holds of Rust's heap: bodies on their way, blobs, messages, states of compressors, whatever ops make that is
//! not in V8's.
//!
//! [`CountingAllocator`], which the binary makes its allocator, counts allocations of [`COUNTED_BYTES_MIN`] and more that an
//! isolate's thread makes while it is at that isolate ([`Native::pay`]), whichever library makes them, until they are freed,
//! whichever thread frees them. Smaller ones hang on objects of JavaScript, which are larger, and so within the heap's limit.
//!
//! V8 is told of them, so that it collects in time what would free some. What is then more than the limit ends the isolate
//! ([`Native::is_too_much`]): an operation under way may pass it. Without the allocator nothing is counted.
//!
//! Invariants: a counted allocation begins with a tag that names its account; an account lives until its isolate and all that
//! was booked on it are gone, wherever those bytes went.

use atoll_stdx::SparingAllocator;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Allocations of at least so many bytes are counted. 16 bytes for the tag are then little.
const COUNTED_BYTES_MIN: usize = 1024;

/// Bytes before a counted allocation, if it needs no larger alignment. The tag is the last word of them.
const FRONT: usize = 16;

/// V8 hears of changes of at least so many bytes.
const TOLD_BYTES_MIN: usize = 1 << 20;

/// Bytes that somebody pays for. It frees itself.
struct Account {
    /// Bytes, and one more while its owner lives.
    used: AtomicUsize,
}

thread_local! {
    /// Who pays on this thread. Without a destructor: it is asked until the thread's very end.
    static PAYER: Cell<*mut Account> = const { Cell::new(null_mut()) };
}

/// Books on the account that pays on this thread; the tag.
fn book(bytes: usize) -> *mut Account {
    let account = PAYER.get();
    // SAFETY: who stands in `PAYER` is alive: `Pay` borrows its owner, and puts back who was there before.
    if let Some(account) = unsafe { account.as_ref() } {
        account.used.fetch_add(bytes, Ordering::Relaxed);
    }
    account
}

/// Takes bytes off the account of a tag. What was booked last ends it.
///
/// # Safety
/// `bytes` are booked on `account`, or it is null.
unsafe fn release(account: *mut Account, bytes: usize) {
    let Some(account) = NonNull::new(account) else {
        return;
    };
    // SAFETY: it lives while something is booked on it, and that is so by this function's contract.
    if unsafe { account.as_ref() }.used.fetch_sub(bytes, Ordering::AcqRel) == bytes {
        // SAFETY: made by `Native::new` from a box; nothing is booked any more, so nobody else knows it.
        drop(unsafe { Box::from_raw(account.as_ptr()) });
    }
}

/// The system's allocator, with small blocks kept at hand ([`atoll_stdx::spare`]), and accounts of the isolates.
///
/// ```ignore
/// #[global_allocator]
/// static ALLOCATOR: atoll_js::CountingAllocator = atoll_js::CountingAllocator;
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct CountingAllocator;

/// Where blocks come from.
const INNER: SparingAllocator = SparingAllocator;

/// The layout with the place of the tag, and how many bytes come before the content.
fn tagged(layout: Layout) -> Option<(Layout, usize)> {
    let front = layout.align().max(FRONT);
    let size = layout.size().checked_add(front)?;
    Layout::from_size_align(size, front).ok().map(|whole| (whole, front))
}

/// Where the tag of the allocation at `data` is.
///
/// # Safety
/// `data` came from [`counted`].
unsafe fn tag(data: *mut u8) -> *mut *mut Account {
    // SAFETY: at least `FRONT` bytes are before it, and it is aligned to as many.
    unsafe { data.cast::<*mut Account>().sub(1) }
}

/// # Safety
/// As [`GlobalAlloc::alloc`].
unsafe fn counted(layout: Layout, zeroed: bool) -> *mut u8 {
    let Some((whole, front)) = tagged(layout) else {
        return null_mut();
    };
    // SAFETY: the layout is not of size 0.
    let start = unsafe {
        if zeroed {
            INNER.alloc_zeroed(whole)
        } else {
            INNER.alloc(whole)
        }
    };
    if start.is_null() {
        return start;
    }
    // SAFETY: `front` bytes are part of the allocation, the tag is the last word of them.
    unsafe {
        let data = start.add(front);
        tag(data).write(book(layout.size()));
        data
    }
}

// SAFETY: another allocator, whose blocks are handed on as they are, or, from `COUNTED_BYTES_MIN` bytes on, without their
// first `front` bytes, which keeps the alignment because `front` is a multiple of it. Which of both is known from the layout.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() < COUNTED_BYTES_MIN {
            // SAFETY: the caller's promise.
            return unsafe { INNER.alloc(layout) };
        }
        // SAFETY: the caller's promise.
        unsafe { counted(layout, false) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() < COUNTED_BYTES_MIN {
            // SAFETY: the caller's promise.
            return unsafe { INNER.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's promise.
        unsafe { counted(layout, true) }
    }

    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        if layout.size() < COUNTED_BYTES_MIN {
            // SAFETY: the caller's promise.
            return unsafe { INNER.dealloc(data, layout) };
        }
        if let Some((whole, front)) = tagged(layout) {
            // SAFETY: `data` came from `counted` with this layout.
            unsafe {
                release(*tag(data), layout.size());
                INNER.dealloc(data.sub(front), whole);
            }
        }
    }

    unsafe fn realloc(&self, data: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let counted_before = layout.size() >= COUNTED_BYTES_MIN;
        if !counted_before && size < COUNTED_BYTES_MIN {
            // SAFETY: the caller's promise.
            return unsafe { INNER.realloc(data, layout, size) };
        }
        let Ok(new) = Layout::from_size_align(size, layout.align()) else {
            return null_mut();
        };
        if counted_before
            && size >= COUNTED_BYTES_MIN
            && let (Some((whole, front)), Some((new_whole, _))) = (tagged(layout), tagged(new))
        {
            // SAFETY: `data` came from `counted` with this layout; the tag moves with its block.
            unsafe {
                let start = INNER.realloc(data.sub(front), whole, new_whole.size());
                if start.is_null() {
                    return start;
                }
                let data = start.add(front);
                move_booking(tag(data), layout.size(), size);
                return data;
            }
        }
        // SAFETY: the caller's promise; the size is not 0.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                std::ptr::copy_nonoverlapping(data, moved, layout.size().min(size));
                self.dealloc(data, layout);
            }
            moved
        }
    }
}

/// A counted allocation has become larger or smaller.
///
/// # Safety
/// `tag` is that of the allocation, on which `before` bytes are booked.
unsafe fn move_booking(tag: *mut *mut Account, before: usize, after: usize) {
    // SAFETY: the caller's promise; neither size is 0, so the account outlives the change.
    unsafe {
        match (*tag).as_ref() {
            Some(account) if after > before => drop(account.used.fetch_add(after - before, Ordering::Relaxed)),
            Some(_) => release(*tag, before - after),
            // It was nobody's; who makes it larger pays.
            None => tag.write(book(after)),
        }
    }
}

/// Nobody pays on this thread until it is dropped.
struct Nobody {
    before: *mut Account,
}

impl Drop for Nobody {
    fn drop(&mut self) {
        PAYER.set(self.before);
    }
}

/// What `future` takes is not the isolate's: it is kept for others to find, and whoever keeps it bounds it.
pub(crate) async fn unpaid<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        let _nobody = Nobody {
            before: PAYER.replace(null_mut()),
        };
        future.as_mut().poll(cx)
    })
    .await
}

/// One isolate's account.
pub(crate) struct Native {
    account: NonNull<Account>,
    /// What it had taken before it became a worker's.
    base: Cell<usize>,
    /// What V8 knows of.
    told: Cell<usize>,
    /// V8 has collected all it could since it was too much.
    collected: Cell<bool>,
}

/// Pays on this thread until it is dropped.
pub(crate) struct Pay<'a> {
    before: *mut Account,
    _native: &'a Native,
}

impl Drop for Pay<'_> {
    fn drop(&mut self) {
        PAYER.set(self.before);
    }
}

impl Native {
    pub(crate) fn new() -> Self {
        let account = Box::leak(Box::new(Account {
            used: AtomicUsize::new(1),
        }));
        Self {
            account: NonNull::from(account),
            base: Cell::new(0),
            told: Cell::new(0),
            collected: Cell::new(false),
        }
    }

    /// What this thread takes from now on is the isolate's.
    pub(crate) fn pay(&self) -> Pay<'_> {
        Pay {
            before: PAYER.replace(self.account.as_ptr()),
            _native: self,
        }
    }

    /// What it holds now is not the worker's.
    pub(crate) fn begin(&self) {
        self.base.set(self.held());
    }

    fn held(&self) -> usize {
        // SAFETY: the owner's share is booked until this is dropped.
        unsafe { self.account.as_ref() }.used.load(Ordering::Relaxed)
    }

    /// Bytes of the worker.
    pub(crate) fn used(&self) -> usize {
        self.held().saturating_sub(self.base.get())
    }

    /// Bytes that V8 counts as external because it was told of them here.
    pub(crate) fn told(&self) -> usize {
        self.told.get()
    }

    /// What V8 should hear: by how much what it knows has changed. 0 for too little.
    pub(crate) fn take_news(&self) -> i64 {
        let (used, told) = (self.used(), self.told.get());
        if used.abs_diff(told) < TOLD_BYTES_MIN {
            return 0;
        }
        self.told.set(used);
        // No process has so many bytes that this would wrap.
        used as i64 - told as i64
    }

    /// Between turns: whether it is more than `max` although V8 has collected, and what that set going has had a turn.
    /// `collect` has V8 collect all it can; then there has to be another turn.
    pub(crate) fn is_too_much(&self, max: u64, collect: impl FnOnce()) -> bool {
        if self.used() as u64 <= max {
            self.collected.set(false);
            return false;
        }
        if self.collected.replace(true) {
            return true;
        }
        collect();
        false
    }

    /// Within a turn, which cannot give back what waits for its end: half as much again is too much.
    pub(crate) fn is_far_too_much(&self, max: u64) -> bool {
        self.used() as u64 > max.saturating_add(max / 2)
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        // SAFETY: the owner's share is booked once, by `new`.
        unsafe { release(self.account.as_ptr(), 1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOCATOR: CountingAllocator = CountingAllocator;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn an_account_pays_until_the_bytes_are_freed_wherever_that_is() {
        let native = Native::new();
        let pay = native.pay();
        let block = layout(COUNTED_BYTES_MIN, 8);
        let small = layout(COUNTED_BYTES_MIN - 1, 8);
        // SAFETY: sizes are not 0; each is freed once, with its layout.
        let (data, few) = unsafe { (ALLOCATOR.alloc(block), ALLOCATOR.alloc(small)) };
        native.begin();
        assert_eq!(native.used(), 0);
        // SAFETY: as above.
        let more = unsafe { ALLOCATOR.alloc_zeroed(block) };
        assert_eq!(native.used(), COUNTED_BYTES_MIN);
        drop(pay);
        // SAFETY: as above.
        let others = unsafe { ALLOCATOR.alloc(block) };
        assert_eq!(native.used(), COUNTED_BYTES_MIN);
        let address = more as usize;
        std::thread::scope(|scope| {
            // SAFETY: as above; blocks may be freed anywhere.
            scope.spawn(|| unsafe { ALLOCATOR.dealloc(address as *mut u8, block) });
        });
        assert_eq!(native.used(), 0);
        // The account outlives its isolate, as bytes do that are on their way.
        drop(native);
        // SAFETY: as above.
        unsafe {
            ALLOCATOR.dealloc(data, block);
            ALLOCATOR.dealloc(few, small);
            ALLOCATOR.dealloc(others, block);
        }
    }

    #[test]
    fn blocks_keep_their_content_their_alignment_and_their_payer() {
        for align in [1, 8, 16, 64, 4096] {
            let native = Native::new();
            let sizes = [10, 2_000, 100, 5_000, 1_024, 1_023, 1 << 20, 3_000];
            let first = layout(sizes[0], align);
            // SAFETY: the size is not 0.
            let mut data = unsafe { ALLOCATOR.alloc(first) };
            // SAFETY: there are ten bytes.
            unsafe { data.copy_from_nonoverlapping(b"0123456789".as_ptr(), 10) };
            let mut before = first;
            for size in sizes {
                let _pay = native.pay();
                // SAFETY: `data` is of the layout `before`.
                data = unsafe { ALLOCATOR.realloc(data, before, size) };
                before = layout(size, align);
                assert_eq!(data as usize % align, 0);
                // SAFETY: it never had fewer than ten bytes.
                assert_eq!(unsafe { std::slice::from_raw_parts(data, 10) }, b"0123456789");
                let expected = if size < COUNTED_BYTES_MIN { 0 } else { size };
                assert_eq!(native.used(), expected + 1);
            }
            // SAFETY: `data` is of the layout `before`.
            unsafe { ALLOCATOR.dealloc(data, before) };
            assert_eq!(native.used(), 1);
        }
    }

    #[test]
    fn who_makes_a_block_larger_pays_for_one_that_was_nobodys() {
        let native = Native::new();
        // SAFETY: sizes are not 0, layouts those of the block.
        unsafe {
            let data = ALLOCATOR.alloc(layout(2_000, 8));
            let pay = native.pay();
            let data = ALLOCATOR.realloc(data, layout(2_000, 8), 4_000);
            assert_eq!(native.used(), 4_001);
            drop(pay);
            ALLOCATOR.dealloc(data, layout(4_000, 8));
        }
        assert_eq!(native.used(), 1);
    }

    #[test]
    fn what_is_kept_for_others_is_not_paid() {
        let native = Native::new();
        native.begin();
        let _pay = native.pay();
        let block = layout(2_000, 8);
        // SAFETY: the size is not 0.
        let allocate = || unsafe { ALLOCATOR.alloc(block) };
        let mut kept = std::pin::pin!(unpaid(async { allocate() }));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(data) = kept.as_mut().poll(&mut cx) else {
            panic!("it waits for nothing");
        };
        assert_eq!(native.used(), 0);
        let own = allocate();
        assert_eq!(native.used(), 2_000);
        // SAFETY: as they were made.
        unsafe {
            ALLOCATOR.dealloc(data, block);
            ALLOCATOR.dealloc(own, block);
        }
        assert_eq!(native.used(), 0);
    }

    #[test]
    fn too_much_is_what_is_left_after_a_collection_and_a_turn() {
        let native = Native::new();
        native.begin();
        let pay = native.pay();
        let block = layout(2_000, 8);
        // SAFETY: the size is not 0.
        let data = unsafe { ALLOCATOR.alloc(block) };
        drop(pay);
        let collected = Cell::new(0);
        let look = |max| native.is_too_much(max, || collected.set(collected.get() + 1));
        assert!(!look(2_000));
        assert!(!look(1_999));
        assert_eq!(collected.get(), 1);
        assert!(look(1_999));
        assert!(!look(2_000));
        assert!(!look(1_999));
        assert_eq!(collected.get(), 2);
        assert!(!native.is_far_too_much(1_334) && native.is_far_too_much(1_333));
        // SAFETY: as it was made.
        unsafe { ALLOCATOR.dealloc(data, block) };
    }
}
