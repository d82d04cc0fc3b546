//! The V8 startup snapshot of this build: the heap of an isolate after the platform's scripts ran. The build script makes
//! it; the binary hands it to the engine.

/// The snapshot's bytes.
pub static STARTUP_SNAPSHOT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/startup.snapshot"));
