//! The V8 engine: isolates that run workers, with the web platform's and the Workers platform's APIs.
//!
//! It implements [`atoll_worker::Engine`] and knows nothing of stores, sockets or HTTP servers: whatever a worker reaches,
//! it reaches through the [`atoll_worker::Environment`] it was given.
//!
//! How a turn goes: [`instance`] takes jobs, calls the bridge in `js/91_dispatch.js`, which calls the worker's handler;
//! the handler's promise ends in an op ([`ops`]) that answers the job. Streams cross as sources and senders
//! ([`ops::body`]), which the garbage collector owns; a job's reply is owned by Rust, so that a promise that V8 forgets
//! cannot take its answer with it.
//!
//! Invariants:
//! - [`init`] runs before any thread is spawned (V8's memory protection keys reach only threads that are created later);
//! - an isolate lives and dies on one thread, inside that thread's tokio context;
//! - every delivered job is answered exactly once, also when the isolate breaks;
//! - JavaScript exception classes are chosen here and nowhere else.

mod cage;
mod code;
mod engine;
mod exception;
mod extension;
mod html;
mod inspect;
mod instance;
mod interrupt;
mod locality;
mod memory;
mod meter;
mod modules;
mod native;
mod ops;
mod prepare;
mod snapshot;
mod state;
mod text;
mod unused;
mod wasm;

pub use engine::{JsEngine, JsEngineOptions, StartupSnapshot};
pub use native::CountingAllocator;
use rand::RngCore as _;
pub use snapshot::{CreatedSnapshot, create_startup_snapshot};

/// V8's flags for a process that ends turns from outside.
///
/// Unrolling goes with a pass that drops the interrupt check of short inner loops; in V8 15.0 it drops that of the loop
/// around an inlined builtin's instead, so `while (true) new Array(1000).fill(0)` could never be terminated.
///
/// A WebAssembly memory ends where an isolate's memory does (`memory::WASM_PAGES_MAX`).
const V8_FLAGS: &str = "--no-turboshaft-loop-unrolling --wasm-max-mem-pages=2048";

/// Starts V8 for this process. Call it first thing in `main`, before any thread exists; further calls do nothing.
pub fn init() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        deno_core::v8::V8::set_flags_from_string(V8_FLAGS);
        deno_core::v8::V8::set_entropy_source(entropy);
        deno_core::JsRuntime::init_platform(None);
        locality::set();
    });
}

/// Where V8's seeds come from (`Math.random`, hashes, addresses). By itself it reads `/dev/urandom` three times for each isolate, and
/// the clock where there is no such file, as in a locked-in child: what one worker knows well would then tell another's seeds.
fn entropy(bytes: &mut [u8]) -> bool {
    rand::rngs::OsRng.try_fill_bytes(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::entropy;

    #[test]
    fn entropy_fills_everything_and_never_twice_the_same() {
        let mut both = [[0_u8; 64]; 2];
        for bytes in &mut both {
            assert!(entropy(bytes));
            // 64 bytes that are all zero in one half come once in 2^256 runs.
            assert!(bytes[..32] != [0; 32] && bytes[32..] != [0; 32]);
        }
        assert_ne!(both[0], both[1]);
    }
}
