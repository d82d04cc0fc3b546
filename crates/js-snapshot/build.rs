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
    for (name, bytes) in [
        ("startup.snapshot", &*snapshot.heap),
        ("later.scripts", snapshot.later.as_bytes()),
    ] {
        let path = Path::new(&out).join(name);
        if let Err(error) = std::fs::write(&path, bytes) {
            eprintln!("cannot write {}: {error}", path.display());
            std::process::exit(1);
        }
    }
}
