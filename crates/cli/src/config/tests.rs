//! Whole configurations, read from files that exist in memory alone.

use super::*;
use std::collections::BTreeMap;

#[derive(Default)]
struct Memory(BTreeMap<PathBuf, String>);

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn is_file(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }
    fn is_directory(&self, path: &Path) -> bool {
        self.0.keys().any(|file| file.starts_with(path) && file != path)
    }
}

#[test]
fn smoke() {
    let mut files = Memory::default();
    files.0.insert(
        "/w/app/wrangler.toml".into(),
        "name = \"x\"\nmain = \"src/a.ts\"\n[[kv_namespaces]]\nbinding = 1\n[vars]\nA = \"1\"\n".into(),
    );
    files.0.insert("/w/app/src/a.ts".into(), "".into());
    let options = LoadOptions {
        cwd: "/w".into(),
        directory: "app".into(),
        ..LoadOptions::default()
    };
    println!("{:#?}", load(&options, &files));
    files.0.insert(
        "/w/app/wrangler.jsonc".into(),
        "{\"name\": \"x\",\n\"main\": \"src/a.ts\", \"vrs\": 1, \"kv_namespaces\": [{\"binding\": \"KV\"}]\n}".into(),
    );
    println!("{:#?}", load(&options, &files));
}
