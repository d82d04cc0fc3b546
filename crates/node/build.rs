//! Makes the table of JavaScript sources: every file under `js/`, by its path without the extension, and the files of the
//! libraries under `third_party/` that modules here stand on, as `internal/<library>/<path>`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Folders of `third_party/` that are embedded as they were published.
const LIBRARIES: [&str; 1] = ["readable-stream"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=js");
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("Cargo sets it"));
    let mut files = sources(&package.join("js"), "");
    for library in LIBRARIES {
        let root = package.join("../../third_party").join(library);
        println!("cargo::rerun-if-changed={}", root.display());
        files.extend(sources(&root, &format!("internal/{library}/")));
    }
    // By name, as they are looked for: a path's own order would put `util/types.js` before `util.js`.
    files.sort();
    let mut table = String::from("&[\n");
    for (name, path) in files {
        let source = std::fs::read(&path).expect("a readable source");
        if let Some(at) = source.iter().position(|byte| !byte.is_ascii()) {
            panic!(
                "{}: byte {at} is not ASCII; V8 keeps sources as one byte per character",
                path.display()
            );
        }
        writeln!(table, "    ({name:?}, include_str!({path:?})),").expect("strings grow");
    }
    table.push_str("]\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("Cargo sets it"));
    std::fs::write(out.join("sources.rs"), table).expect("a writable OUT_DIR");
}

/// Name and path of every source below a folder.
fn sources(root: &Path, prefix: &str) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    collect(root, &mut files);
    let named = files.into_iter().map(|path| {
        let name = path.strip_prefix(root).expect("found below it").with_extension("");
        let name = name.to_str().expect("module names are ASCII").replace('\\', "/");
        (format!("{prefix}{name}"), path)
    });
    named.collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "js") {
            files.push(path);
        }
    }
}
