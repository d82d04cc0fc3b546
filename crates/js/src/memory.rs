//! What an isolate's memory may come to, beyond V8's own heap.
//!
//! - Array buffers: a counting allocator. Above the limit it gives none; V8 collects garbage, asks again, and throws a
//!   `RangeError`.
//! - All that V8 counts as external (array buffers, bytes that ops hand over, WebAssembly memories): looked at after each
//!   garbage collection, which V8 itself begins when that grows. Too much ends the isolate.
//! - A single WebAssembly memory ends at [`WASM_PAGES_MAX`] by V8's flag (`crate::init`); the constructor's stand-in
//!   (`js/04_wasm.js`) holds it to the worker's limit.

use crate::interrupt::JsInterrupt;
use atoll_model::{Limit, Limits};
use atoll_worker::{Fault, FaultKind};
use deno_core::v8;
use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Pages of 64 KiB of one WebAssembly memory: 128 MiB. V8 knows it for the process alone.
pub(crate) const WASM_PAGES_MAX: u32 = 2_048;

/// As `malloc` aligns on 64 bit; V8 expects no more.
const ALIGNMENT: usize = 16;

/// The array buffers of one isolate. V8 frees them on other threads, too.
struct Buffers {
    used: AtomicUsize,
    max: usize,
}

impl Buffers {
    /// Books `len` bytes; false if they are too many.
    fn book(&self, len: usize) -> bool {
        let booked = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(len).filter(|sum| *sum <= self.max)
        });
        booked.is_ok()
    }

    fn give(&self, len: usize, zeroed: bool) -> *mut c_void {
        let Ok(layout) = Layout::from_size_align(len.max(1), ALIGNMENT) else {
            return std::ptr::null_mut();
        };
        if !self.book(len) {
            return std::ptr::null_mut();
        }
        // SAFETY: the layout is not of size 0.
        let data = unsafe { if zeroed { alloc_zeroed(layout) } else { alloc(layout) } };
        if data.is_null() {
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
    unsafe { dealloc(data.cast(), layout) };
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

/// The allocator of an isolate whose array buffers may hold `max` bytes.
pub(crate) fn allocator(max: u64) -> v8::UniqueRef<v8::Allocator> {
    let buffers = Arc::new(Buffers {
        used: AtomicUsize::new(0),
        max: usize::try_from(max).unwrap_or(usize::MAX),
    });
    // SAFETY: the handle is a live `Arc<Buffers>`, which the vtable's functions take it for.
    unsafe { v8::new_rust_allocator(Arc::into_raw(buffers), &VTABLE) }
}

/// What the garbage collector's callback needs.
pub(crate) struct Watched {
    external_max: usize,
    value: u64,
    interrupt: Arc<JsInterrupt>,
}

/// Ends the isolate when what V8 counts beside its heap is more than the limits allow. What is returned must outlive it.
pub(crate) fn watch(isolate: &mut v8::Isolate, limits: &Limits, interrupt: Arc<JsInterrupt>) -> Box<Watched> {
    let value = limits.buffer_bytes.saturating_add(limits.wasm_bytes);
    let watched = Box::new(Watched {
        external_max: usize::try_from(value).unwrap_or(usize::MAX),
        value,
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
    let external = isolate.get_heap_statistics().external_memory();
    if external > watched.external_max {
        watched.interrupt.terminate_blindly(external_fault(watched.value));
    }
}

/// The fault of an isolate whose heap is full.
pub(crate) fn heap_fault(limit: u64) -> Fault {
    let text = format!("the worker's JavaScript heap reached its limit of {} MiB", limit >> 20);
    Fault::limit(FaultKind::ExceededMemory, Limit::Heap, limit, &text)
}

fn external_fault(limit: u64) -> Fault {
    let text = format!(
        "the worker's buffers and WebAssembly memories reached their limit of {} MiB",
        limit >> 20
    );
    Fault::limit(FaultKind::ExceededMemory, Limit::WasmMemory, limit, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_end_exactly_at_the_limit() {
        let buffers = Buffers {
            used: AtomicUsize::new(0),
            max: 100,
        };
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
    }
}
