//! What the emitted modules are called: `<hash of the content>-<file name>`, so that two files of one name stay apart and a
//! changed file is a new module.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::Path;

/// Digits of the hash in a name: 160 bits, as many as wrangler shows.
const HASH_DIGITS: usize = 40;

/// The name of an additional module.
pub(crate) fn module_name(path: &Path, content: &[u8], preserve: bool) -> String {
    let name = path
        .file_name()
        .map_or_else(|| "module".to_owned(), |name| name.to_string_lossy().into_owned());
    if preserve {
        return name;
    }
    let mut hash = String::with_capacity(64);
    for byte in Sha256::digest(content) {
        // Writing to a string cannot fail.
        let _ = write!(hash, "{byte:02x}");
    }
    format!("{}-{name}", &hash[..HASH_DIGITS])
}

/// The name of the bundle of `main`: its own with the extension `.js`.
pub(crate) fn entry_name(path: &str) -> String {
    let (directory, file) = path
        .rsplit_once('/')
        .map_or(("", path), |(directory, file)| (directory, file));
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let stem = if stem.is_empty() { "index" } else { stem };
    if directory.is_empty() {
        format!("{stem}.js")
    } else {
        format!("{directory}/{stem}.js")
    }
}

/// `name` as imported from a module in `directory` (both relative to the version's root).
pub(crate) fn specifier(directory: &str, name: &str) -> String {
    let from: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    let to: Vec<&str> = name.split('/').collect();
    let shared = from.iter().zip(&to[..to.len() - 1]).take_while(|(a, b)| a == b).count();
    let up = from.len() - shared;
    let prefix = if up == 0 { "./".to_owned() } else { "../".repeat(up) };
    prefix + &to[shared..].join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c";
        assert_eq!(
            module_name(Path::new("/p/a.txt"), b"hello", false),
            format!("{hash}-a.txt")
        );
        assert_eq!(module_name(Path::new("/p/a.txt"), b"hello", true), "a.txt");
        let entry = |path: &str, expected: &str| assert_eq!(entry_name(path), expected);
        entry("index.ts", "index.js");
        entry("src/worker.tsx", "src/worker.js");
        entry("a.b/entry", "a.b/entry.js");
        entry("my.worker.ts", "my.worker.js");
        entry(".ts", "index.js");
        let import =
            |directory: &str, name: &str, expected: &str| assert_eq!(specifier(directory, name), expected, "{name}");
        import("", "a.txt", "./a.txt");
        import("", "x/a.txt", "./x/a.txt");
        import("src", "a.txt", "../a.txt");
        import("src", "src/a.txt", "./a.txt");
        import("src/deep", "src/lang/en.js", "../lang/en.js");
    }
}
