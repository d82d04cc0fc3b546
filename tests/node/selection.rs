//! Which of Node's test files are run: those of a module that need no child process, network or `--expose-internals`.
//!
//! The rule reads the file's text ([`needs`]); what it cannot see stands in `selection.toml` with its reason.

use bytes::Bytes;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The upstream version that the expectations belong to.
const VERSION: &str = "20.19.2";
/// Larger fixtures are not offered to tests.
const FIXTURE_BYTES_MAX: u64 = 1 << 20;

/// One module's row in `selection.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// Directory under `test/`.
    #[serde(default = "parallel")]
    directory: String,
    /// Names begin with one of these.
    prefixes: Vec<String>,
    /// File and why it cannot apply here.
    #[serde(default)]
    excluded: BTreeMap<String, String>,
}

fn parallel() -> String {
    "parallel".to_owned()
}

/// `selection.toml`: module and row.
pub fn read() -> BTreeMap<String, Module> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/selection.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Node's `test/` directory.
pub struct Suite {
    root: PathBuf,
    /// Fixtures: path below `test/fixtures`, and the name by which a test's text gives its use away.
    fixtures: Vec<(String, String)>,
}

impl Suite {
    /// Where `cargo xtask fixtures` puts it; `None` if it is not there.
    pub fn find() -> Option<Self> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
        let fixtures = match (std::env::var_os("ATOLL_FIXTURES"), std::env::var_os("CARGO_TARGET_DIR")) {
            (Some(directory), _) => repository.join(directory),
            (None, Some(target)) => repository.join(target).join("fixtures"),
            (None, None) => repository.join("target/fixtures"),
        };
        let root = fixtures.join(format!("nodejs-{VERSION}/test"));
        if !root.join("parallel").is_dir() {
            return None;
        }
        let mut fixtures = Vec::new();
        collect(&root.join("fixtures"), "", &mut fixtures);
        fixtures.sort();
        Some(Self { root, fixtures })
    }

    /// The text of a test, `parallel/test-x.js`.
    pub fn text(&self, file: &str) -> Result<Vec<u8>, String> {
        std::fs::read(self.root.join(file)).map_err(|error| format!("{file}: {error}"))
    }

    /// The fixtures that a test's text names: path below `test/fixtures` and content.
    pub fn fixtures(&self, text: &str) -> Vec<(String, Bytes)> {
        let named = self.fixtures.iter().filter(|(_, name)| text.contains(name.as_str()));
        named
            .filter_map(|(path, _)| {
                let content = std::fs::read(self.root.join("fixtures").join(path)).ok()?;
                Some((path.clone(), content.into()))
            })
            .collect()
    }

    /// The files beside a test that are no tests: what tests of some directories share. Name without extension and content.
    pub fn beside(&self, file: &str) -> Vec<(String, Bytes)> {
        let Some((directory, _)) = file.rsplit_once('/') else {
            return Vec::new();
        };
        let entries = std::fs::read_dir(self.root.join(directory))
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let stem = name.strip_suffix(".js").filter(|stem| !stem.starts_with("test-"))?;
                let content = std::fs::read(entry.path()).ok()?;
                Some((format!("{directory}/{stem}"), content.into()))
            })
            .collect()
    }

    /// The files of a module that the rule admits, `parallel/test-x.js`, sorted.
    pub fn select(&self, name: &str, module: &Module) -> Result<Vec<String>, String> {
        let directory = self.root.join(&module.directory);
        let entries = std::fs::read_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.ends_with(".js") || name.ends_with(".mjs"))
            .filter(|name| module.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())))
            .collect();
        names.sort();
        for excluded in module.excluded.keys() {
            if !names.contains(excluded) {
                return Err(format!(
                    "selection.toml: {name}: {excluded} is excluded and does not exist"
                ));
            }
        }
        let mut selected = Vec::new();
        for name in names {
            let file = format!("{}/{name}", module.directory);
            let text = self.text(&file)?;
            if needs(&String::from_utf8_lossy(&text)).is_none() && !module.excluded.contains_key(&name) {
                selected.push(file);
            }
        }
        Ok(selected)
    }
}

/// Modules whose use means a child process, a thread or the network.
const OUTSIDE: [&str; 11] = [
    "child_process",
    "cluster",
    "dgram",
    "dns",
    "http",
    "http2",
    "https",
    "inspector",
    "net",
    "tls",
    "worker_threads",
];

/// What puts a test outside of the rule; `None` if nothing does.
pub fn needs(text: &str) -> Option<&'static str> {
    if text.contains("--expose-internals") || text.contains("--expose_internals") {
        return Some("--expose-internals");
    }
    if text.contains("require('internal/") || text.contains("process.binding(") {
        return Some("Node's own internals");
    }
    if text.contains("common/child_process") || text.contains("process.fork(") || text.contains("spawnPromisified") {
        return Some("a child process");
    }
    OUTSIDE.into_iter().find(|module| {
        ["require('", "require(\"", "from '", "from \""].iter().any(|start| {
            ["", "node:"].iter().any(|scheme| {
                let call = format!("{start}{scheme}{module}");
                let ends = |at: usize| text[at + call.len()..].starts_with(['\'', '"', '/']);
                text.match_indices(&call).any(|(at, _)| ends(at))
            })
        })
    })
}

/// Fixtures that tests read as data or require. The Web Platform Tests have a runner of their own; Node's tests of URLs read
/// their tables.
fn collect(directory: &Path, below: &str, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = if below.is_empty() {
            name.clone()
        } else {
            format!("{below}/{name}")
        };
        let Ok(kind) = entry.metadata() else { continue };
        if kind.is_dir() {
            if path != "node_modules"
                && (!path.starts_with("wpt/") || path == "wpt/url" || path.starts_with("wpt/url/resources"))
            {
                collect(&entry.path(), &path, found);
            }
        } else if kind.len() <= FIXTURE_BYTES_MAX {
            let stem = name.strip_suffix(".js").unwrap_or(&name).to_owned();
            // Short names (a.js, index.js) would be found in every text.
            if stem.len() > 2 {
                found.push((path, stem));
            }
        }
    }
}
