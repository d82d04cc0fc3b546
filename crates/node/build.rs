//! Makes the table of JavaScript sources: every file under `js/`, by its path without the extension.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=js");
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("Cargo sets it")).join("js");
    let mut files = Vec::new();
    collect(&root, &mut files);
    // By name, as they are looked for: a path's own order would put `util/types.js` before `util.js`.
    files.sort_by_key(|path| path.with_extension("").into_os_string());
    let mut table = String::from("&[\n");
    for path in files {
        let name = path.strip_prefix(&root).expect("found below it").with_extension("");
        let name = name.to_str().expect("module names are ASCII").replace('\\', "/");
        let source = std::fs::read(&path).expect("a readable source");
        if let Some(at) = source.iter().position(|byte| !byte.is_ascii()) {
            panic!("crates/node/js/{name}.js: byte {at} is not ASCII; V8 keeps sources as one byte per character");
        }
        writeln!(table, "    ({name:?}, include_str!({path:?})),").expect("strings grow");
    }
    table.push_str("]\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("Cargo sets it"));
    std::fs::write(out.join("sources.rs"), table).expect("a writable OUT_DIR");
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
