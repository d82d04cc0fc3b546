//! What an isolate's memory may come to, beyond V8's own heap.
//!
//! - Array buffers: a counting allocator. Above the limit it gives none; V8 collects garbage, asks again, and throws a
//!   `RangeError`.
//! - Rust's heap, as far as the isolate took it: [`crate::native`].
//! - All that V8 counts as external (array buffers, resizable ones and bytes that ops hand over among them, WebAssembly
//!   memories): looked at after each garbage collection, which V8 itself begins when that grows. Too much ends the isolate.
//! - A single WebAssembly memory ends at [`WASM_PAGES_MAX`] by V8's flag (`crate::init`); all of them are held in sum by
//!   [`crate::wasm`].

use crate::interrupt::JsInterrupt;
use crate::native::Native;
use atoll_model::{Limit, Limits};
use atoll_worker::{Fault, FaultKind, JsException};
use deno_core::v8;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Pages of 64 KiB of one WebAssembly memory: 128 MiB. V8 knows it for the process alone.
pub(crate) const WASM_PAGES_MAX: u32 = 2_048;

/// As `malloc` aligns on 64 bit; V8 expects no more.
const ALIGNMENT: usize = 16;

/// How often an isolate's heap may go on after an array buffer was refused, and by how many bytes each time.
const PASSES_MAX: usize = 64;
/// See [`PASSES_MAX`].
pub(crate) const PASS_BYTES: usize = 1 << 20;

/// V8's message for a buffer that it could not get.
const REFUSED: &str = "Array buffer allocation failed";
/// After so many refusals V8 gives up: it asks, collects garbage twice and asks each time, and collects all it can before the last.
const REFUSALS: usize = 4;

/// The array buffers of one isolate. V8 frees them on other threads, too.
pub(crate) struct Buffers {
    used: AtomicUsize,
    /// `usize::MAX` while the isolate is nobody's.
    max: AtomicUsize,
    /// The last request was refused.
    refused: AtomicBool,
    /// Requests that were refused, one after the other: V8 collects garbage and asks again before it throws.
    refusals: AtomicUsize,
    /// How often V8 was told that its heap is not full although it thought so.
    passes: AtomicUsize,
}

impl Buffers {
    /// V8 takes its heap for full. It also does when an array buffer was refused: then the heap goes on with a little more,
    /// [`PASSES_MAX`] times at most, and JavaScript gets its `RangeError`.
    pub(crate) fn passes(&self) -> bool {
        self.refused.swap(false, Ordering::Relaxed) && self.passes.fetch_add(1, Ordering::Relaxed) < PASSES_MAX
    }

    fn new(max: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            max: AtomicUsize::new(max),
            refused: AtomicBool::new(false),
            refusals: AtomicUsize::new(0),
            passes: AtomicUsize::new(0),
        }
    }

    /// How many bytes they may hold from now on.
    pub(crate) fn limit(&self, max: u64) {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        self.max.store(max, Ordering::Relaxed);
    }

    /// Bytes that they hold.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// A turn begins: whoever finds the heap full in it does so for what it does itself.
    pub(crate) fn begin_turn(&self) {
        if self.refused.load(Ordering::Relaxed) {
            self.refused.store(false, Ordering::Relaxed);
        }
    }

    /// Whether a buffer was refused for good since the last call.
    pub(crate) fn take_hit(&self) -> bool {
        // The common case costs a load.
        self.refusals.load(Ordering::Relaxed) >= REFUSALS && self.refusals.swap(0, Ordering::Relaxed) >= REFUSALS
    }

    /// V8's words for a buffer that could not be had name no limit.
    pub(crate) fn explain(&self, exception: &mut JsException) {
        if exception.name != "RangeError" || exception.message != REFUSED {
            return;
        }
        let explained = format!("{REFUSED} (limit buffer_bytes = {})", self.max.load(Ordering::Relaxed));
        exception.stack = exception.stack.replacen(REFUSED, &explained, 1);
        exception.message = explained;
    }

    /// Books `len` bytes; false if they are too many.
    fn book(&self, len: usize) -> bool {
        let max = self.max.load(Ordering::Relaxed);
        let booked = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(len).filter(|sum| *sum <= max)
        });
        booked.is_ok()
    }

    fn give(&self, len: usize, zeroed: bool) -> *mut c_void {
        let Ok(layout) = Layout::from_size_align(len.max(1), ALIGNMENT) else {
            self.refused.store(true, Ordering::Relaxed);
            return std::ptr::null_mut();
        };
        let booked = self.book(len);
        self.refused.store(!booked, Ordering::Relaxed);
        if !booked {
            self.refusals.fetch_add(1, Ordering::Relaxed);
            return std::ptr::null_mut();
        }
        // Not Rust's allocator: they are counted here.
        // SAFETY: the layout is not of size 0.
        let data = unsafe {
            if zeroed {
                System.alloc_zeroed(layout)
            } else {
                System.alloc(layout)
            }
        };
        if data.is_null() {
            self.refused.store(true, Ordering::Relaxed);
            self.used.fetch_sub(len, Ordering::Relaxed);
        }
        data.cast()
    }
}

unsafe extern "C" fn allocate(buffers: &Buffers, len: usize) -> *mut c_void {
    buffers.give(len, true)
}

unsafe extern "C" fn allocate_uninitialized(buffers: &Buffers, len: usize) -> *mut c_void {
    buffers.give(len, false)
}

unsafe extern "C" fn free(buffers: &Buffers, data: *mut c_void, len: usize) {
    let Ok(layout) = Layout::from_size_align(len.max(1), ALIGNMENT) else {
        return;
    };
    if data.is_null() {
        return;
    }
    // SAFETY: `data` came from `give`, with the same length: V8 remembers it.
    unsafe { System.dealloc(data.cast(), layout) };
    buffers.used.fetch_sub(len, Ordering::Relaxed);
}

unsafe extern "C" fn drop_buffers(buffers: *const Buffers) {
    // SAFETY: made by `Arc::into_raw` in `allocator`; V8 drops its handle once.
    drop(unsafe { Arc::from_raw(buffers) });
}

static VTABLE: v8::RustAllocatorVtable<Buffers> = v8::RustAllocatorVtable {
    allocate,
    allocate_uninitialized,
    free,
    drop: drop_buffers,
};

/// The allocator of an isolate that is nobody's yet ([`Buffers::limit`]).
pub(crate) fn allocator() -> (v8::UniqueRef<v8::Allocator>, Arc<Buffers>) {
    let buffers = Arc::new(Buffers::new(usize::MAX));
    // SAFETY: the handle is a live `Arc<Buffers>`, which the vtable's functions take it for.
    let allocator = unsafe { v8::new_rust_allocator(Arc::into_raw(buffers.clone()), &VTABLE) };
    (allocator, buffers)
}

/// What the garbage collector's callback needs.
pub(crate) struct Watched {
    external_max: usize,
    value: u64,
    native: Rc<Native>,
    interrupt: Arc<JsInterrupt>,
}

/// Ends the isolate when what V8 counts beside its heap is more than the limits allow. What is returned must outlive it.
pub(crate) fn watch(
    isolate: &mut v8::Isolate,
    limits: &Limits,
    native: Rc<Native>,
    interrupt: Arc<JsInterrupt>,
) -> Box<Watched> {
    // Both are counted as one, and buffers that are dead already may be among them.
    let both = limits.buffer_bytes.saturating_add(limits.wasm_bytes);
    let watched = Box::new(Watched {
        external_max: usize::try_from(both).unwrap_or(usize::MAX),
        value: limits.buffer_bytes,
        native,
        interrupt,
    });
    let data = std::ptr::from_ref::<Watched>(&watched).cast_mut().cast::<c_void>();
    isolate.add_gc_epilogue_callback(after_collection, data, v8::GCType::kGCTypeMarkSweepCompact);
    watched
}

unsafe extern "C" fn after_collection(
    isolate: v8::UnsafeRawIsolatePtr,
    _: v8::GCType,
    _: v8::GCCallbackFlags,
    data: *mut c_void,
) {
    // SAFETY: V8 calls on the isolate's thread while it collects, with the isolate.
    let mut isolate = unsafe { v8::Isolate::from_raw_isolate_ptr(isolate) };
    // SAFETY: `data` is the box that `watch` returned, which outlives the isolate.
    let watched = unsafe { &*data.cast::<Watched>() };
    // What V8 was told of is held by itself, and partly a second time what V8 counts.
    let external = isolate.get_heap_statistics().external_memory();
    let external = external.saturating_sub(watched.native.told());
    if external > watched.external_max {
        watched.interrupt.terminate_blindly(external_fault(watched.value));
    }
}

/// The fault of an isolate whose heap is full.
pub(crate) fn heap_fault(limit: u64) -> Fault {
    let text = format!("the worker's JavaScript heap reached its limit of {} MiB", limit >> 20);
    Fault::limit(FaultKind::ExceededMemory, Limit::Heap, limit, &text)
}

/// WebAssembly memories are held by themselves, so what is too much is buffers and what operations made of them.
pub(crate) fn external_fault(limit: u64) -> Fault {
    let text =
        format!("the worker's buffers, bodies and other data outside of its heap came to more than {limit} bytes");
    Fault::limit(FaultKind::ExceededMemory, Limit::Buffers, limit, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_end_exactly_at_the_limit() {
        let buffers = Buffers::new(100);
        assert!(buffers.give(101, true).is_null());
        let all = buffers.give(100, true);
        assert!(!all.is_null());
        assert!(buffers.give(1, false).is_null());
        // SAFETY: as V8 does: what `give` gave, with its length.
        unsafe { free(&buffers, all, 100) };
        let none = buffers.give(0, false);
        assert!(!none.is_null());
        assert!(buffers.give(usize::MAX, false).is_null());
        // SAFETY: as above.
        unsafe { free(&buffers, none, 0) };
        assert_eq!(buffers.used.load(Ordering::Relaxed), 0);
        // A refusal is told once, and not for ever.
        assert!(buffers.passes() && !buffers.passes());
        for _ in 1..PASSES_MAX {
            assert!(buffers.give(101, true).is_null());
            assert!(buffers.passes());
        }
        assert!(buffers.give(101, true).is_null());
        assert!(!buffers.passes());
    }
}
