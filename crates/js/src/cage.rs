//! Which isolates share a cage.
//!
//! V8's pointers are offsets of 32 bit into a cage: 4 GiB of address space, of which only what is used becomes memory. Where a
//! cage has no room left for an allocation, V8 ends the process. So a process has many cages, and one has room for what its isolates'
//! heaps may come to all at once. A heap that is full gets headroom in which it is unwound, so much that only one isolate of a cage may
//! have it at a time: the next waits until that one is gone.
//!
//! Isolates of a cage share V8's read-only heap and the address range of compiled code. They may be different tenants': a cage
//! compresses pointers, it is no wall. A cage goes with the last isolate that was in it.
//!
//! Only the library in `third_party/v8` has this, that is on Linux x86-64; elsewhere pointers are whole and nothing is shared.

use crate::prepare::HEAP_HEADROOM_BYTES;
use group::Group;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Isolates in a cage, at the most.
const SEATS: usize = 3;

/// What the limits of heaps in one cage may come to, bytes, if there is more than one. All of a heap may be compiled code, which has
/// 512 MiB of address space for a cage, outside of it ([`CODE_RANGE`]); V8 keeps up to 16 MiB of these free.
const SHARED_HEAPS_BYTES: u64 = 480 << 20;

/// Bytes for compiled code, which a cage's first isolate takes for all: 0 is the most that V8 can use. Otherwise it is the limit of one heap.
pub(crate) const CODE_RANGE: usize = 0;

/// Address space of a cage, bytes.
const CAGE_BYTES: u64 = 4 << 30;

/// Of a cage, what is not for heaps, bytes: V8's read-only heap (16 MiB), and what is lost between pages and while they are compacted.
const RESERVED_BYTES: u64 = 128 << 20;

/// The largest limit of a heap, bytes: with all the headroom that it may take it fills a cage.
pub(crate) const HEAP_BYTES_MAX: u64 = CAGE_BYTES - RESERVED_BYTES - HEADROOMS_AT_ONCE * HEAP_HEADROOM_BYTES as u64;

/// Headroom that one call of JavaScript may take before V8 can end it, in times of [`HEAP_HEADROOM_BYTES`]: some need two strings of the greatest length.
const HEADROOMS_AT_ONCE: u64 = 3;

/// How long an isolate whose heap is full waits for another of its cage to be gone. It goes on then: the process ends only if both need what the
/// cage does not have.
const HEADROOM_WAIT: Duration = Duration::from_secs(5);

const _: () = assert!(
    SHARED_HEAPS_BYTES + HEADROOMS_AT_ONCE * HEAP_HEADROOM_BYTES as u64 <= CAGE_BYTES - RESERVED_BYTES,
    "a cage has room for all its heaps and for one that is unwound"
);

/// The cages that have an isolate, and what is promised of each.
static CAGES: Mutex<Vec<(Load, Arc<Cage>)>> = Mutex::new(Vec::new());

/// What is promised of a cage.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    seats: usize,
    heap_bytes: u64,
}

impl Load {
    fn has_room(self, heap_bytes: u64) -> bool {
        self.seats == 0 || self.seats < SEATS && self.heap_bytes.saturating_add(heap_bytes) <= SHARED_HEAPS_BYTES
    }

    fn add(&mut self, heap_bytes: u64) {
        self.seats += 1;
        self.heap_bytes += heap_bytes;
    }
}

struct Cage {
    group: Group,
    /// Whether one of its isolates has headroom.
    headroom: Mutex<bool>,
    headroom_is_free: Condvar,
}

/// An isolate's place in a cage. It must outlive the isolate.
pub(crate) struct Seat {
    headroom: Arc<Headroom>,
    heap_bytes: u64,
}

/// An isolate's right to go beyond its heap's limit. It ends with its seat.
pub(crate) struct Headroom {
    cage: Arc<Cage>,
    taken: AtomicBool,
}

impl Seat {
    /// A place for an isolate with this limit of its heap, [`HEAP_BYTES_MAX`] at the most: in the fullest cage that has room for it, or in a
    /// new one. V8 must be initialized. Without address space for a new cage V8 ends the process.
    pub fn take(heap_bytes: u64) -> Self {
        let mut cages = lock(&CAGES);
        let at = fullest_with_room(&cages, heap_bytes).unwrap_or_else(|| {
            let cage = Cage {
                group: Group::new(),
                headroom: Mutex::default(),
                headroom_is_free: Condvar::new(),
            };
            cages.push((Load::default(), Arc::new(cage)));
            cages.len() - 1
        });
        let (load, cage) = &mut cages[at];
        load.add(heap_bytes);
        let headroom = Headroom {
            cage: cage.clone(),
            taken: AtomicBool::new(false),
        };
        Self {
            headroom: Arc::new(headroom),
            heap_bytes,
        }
    }

    /// Isolates that `make` makes on this thread are in the cage.
    pub fn within<T>(&self, make: impl FnOnce() -> T) -> T {
        self.headroom.cage.group.within(make)
    }

    /// What the isolate asks when its heap is full.
    pub fn headroom(&self) -> Arc<Headroom> {
        self.headroom.clone()
    }
}

impl Headroom {
    /// The isolate's heap is full, and it ends. Waits while another isolate of the cage is in the same state, [`HEADROOM_WAIT`] at the most.
    pub fn take(&self) {
        if self.taken.load(Ordering::Relaxed) {
            return;
        }
        let waited = self
            .cage
            .headroom_is_free
            .wait_timeout_while(lock(&self.cage.headroom), HEADROOM_WAIT, |taken| *taken);
        let (mut taken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if !waited.timed_out() {
            *taken = true;
            self.taken.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let cage = &self.headroom.cage;
        if self.headroom.taken.load(Ordering::Relaxed) {
            *lock(&cage.headroom) = false;
            cage.headroom_is_free.notify_one();
        }
        let mut cages = lock(&CAGES);
        let Some(at) = cages.iter().position(|(_, other)| Arc::ptr_eq(other, cage)) else {
            return;
        };
        let load = &mut cages[at].0;
        load.seats -= 1;
        load.heap_bytes -= self.heap_bytes;
        if load.seats == 0 {
            cages.swap_remove(at);
        }
        // The address space goes with the last reference, when others may take seats again.
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Full cages stay full, so that others become empty and go.
fn fullest_with_room<T>(cages: &[(Load, T)], heap_bytes: u64) -> Option<usize> {
    let with_room = cages
        .iter()
        .enumerate()
        .filter(|(_, (load, _))| load.has_room(heap_bytes));
    let fullest = with_room.max_by_key(|(_, (load, _))| (load.seats, load.heap_bytes));
    fullest.map(|(at, _)| at)
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod group {
    //! V8's isolate groups, as `third_party/v8/build/bindings.patch` adds them to the `v8` crate's bindings.

    use std::ptr::NonNull;

    /// `v8::IsolateGroup`.
    #[repr(C)]
    struct Opaque([u8; 0]);

    unsafe extern "C" {
        /// Ends the process where there is no address space.
        fn v8__IsolateGroup__Create() -> *mut Opaque;
        fn v8__IsolateGroup__DELETE(group: *mut Opaque);
        /// Which group this thread's next isolates are in; null for V8's default. Returns what it was.
        fn v8__IsolateGroup__SetForThread(group: *const Opaque) -> *const Opaque;
    }

    /// A reference to a group. Isolates have their own.
    pub struct Group(NonNull<Opaque>);

    // SAFETY: V8 counts references with atomics, and a group belongs to no thread.
    unsafe impl Send for Group {}
    // SAFETY: as above; making isolates in a group from several threads is what it is for.
    unsafe impl Sync for Group {}

    impl Group {
        pub fn new() -> Self {
            // SAFETY: V8 is initialized before an isolate is made; it gives a group or ends the process.
            let group = unsafe { v8__IsolateGroup__Create() };
            Self(NonNull::new(group).expect("V8 makes a group or ends the process"))
        }

        pub fn within<T>(&self, make: impl FnOnce() -> T) -> T {
            /// Sets what was, also when `make` panics.
            struct Before(*const Opaque);
            impl Drop for Before {
                fn drop(&mut self) {
                    // SAFETY: null, or the group of a `within` around this one, which is alive.
                    unsafe { v8__IsolateGroup__SetForThread(self.0) };
                }
            }
            // SAFETY: the group is alive for as long as it is set.
            let _before = Before(unsafe { v8__IsolateGroup__SetForThread(self.0.as_ptr()) });
            make()
        }
    }

    impl Drop for Group {
        fn drop(&mut self) {
            // SAFETY: made by `new`, deleted once.
            unsafe { v8__IsolateGroup__DELETE(self.0.as_ptr()) };
        }
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod group {
    //! Pointers are whole: there are no groups.

    pub struct Group;

    impl Group {
        pub fn new() -> Self {
            Self
        }

        pub fn within<T>(&self, make: impl FnOnce() -> T) -> T {
            make()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isolates_fill_cages_as_far_as_all_of_them_may_come() {
        /// Places isolates with these limits, MiB, one after the other; gives how many each cage then has.
        fn check(limits: &[u64], expected: &[usize]) {
            let mut cages: Vec<(Load, ())> = Vec::new();
            for limit in limits {
                let heap_bytes = limit << 20;
                let at = fullest_with_room(&cages, heap_bytes).unwrap_or_else(|| {
                    cages.push((Load::default(), ()));
                    cages.len() - 1
                });
                cages[at].0.add(heap_bytes);
            }
            let seats: Vec<usize> = cages.iter().map(|(load, ())| load.seats).collect();
            assert_eq!(seats, expected, "{limits:?}");
        }
        check(&[], &[]);
        check(&[128; 3], &[3]);
        check(&[128; 7], &[3, 3, 1]);
        check(&[16; 4], &[3, 1]);
        // To the byte.
        check(&[160; 3], &[3]);
        check(&[160, 160, 161], &[2, 1]);
        // A large one is alone.
        check(&[128, 481, 128, 2_880, 128, 16], &[3, 1, 1, 1]);
        // The fullest that has room.
        check(&[400, 128, 128, 16, 64], &[2, 3]);
    }
}
