//! Makes the startup snapshot of this build.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../js/js");
    let out = std::env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR for build scripts");
    let snapshot = match atoll_js::create_startup_snapshot(env!("CARGO_MANIFEST_DIR")) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            eprintln!("the startup snapshot cannot be made: {error}");
            std::process::exit(1);
        }
    };
    let path = Path::new(&out).join("startup.snapshot");
    if let Err(error) = std::fs::write(&path, snapshot) {
        eprintln!("cannot write {}: {error}", path.display());
        std::process::exit(1);
    }
}
