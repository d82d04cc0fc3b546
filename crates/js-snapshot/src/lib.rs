//! The V8 startup snapshot of this build: the heap of an isolate after the platform's scripts ran. The build script makes
//! it; the binary hands it to the engine.

/// The snapshot's bytes.
pub static STARTUP_SNAPSHOT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/startup.snapshot"));

/// Scripts that are not in it: an isolate loads one when its worker first uses what the script holds.
pub static LATER_SCRIPTS: &str = include_str!(concat!(env!("OUT_DIR"), "/later.scripts"));
