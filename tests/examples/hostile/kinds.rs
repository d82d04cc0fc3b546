//! `tests/hostile`: a folder is a kind, `kind.toml` says what has to stop it.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What an isolate may hold at its limits (heap, buffers, what lies beside, half as much again within one turn), that of the
/// isolate before it, which is not quite gone, and what the runs before have left.
const PEAK_MIB: u64 = 1280;

/// How the server keeps workers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    Shared,
    Cordon,
}

impl FromStr for Isolation {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "shared" => Self::Shared,
            "cordon" => Self::Cordon,
            other => bail!("--isolation is shared or cordon, not {other}"),
        })
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared => "shared",
            Self::Cordon => "cordon",
        })
    }
}

/// A kind of hostile worker.
#[derive(Debug, Clone)]
pub struct Kind {
    pub name: String,
    pub folder: PathBuf,
    /// It attacks while its modules are evaluated, so it is deployed in the place of a good version.
    pub startup: bool,
    /// Work goes on after it was ended; its process may end a little later.
    pub lingers: bool,
    pub client: Client,
    /// Over the defaults of this campaign.
    pub limits: BTreeMap<String, u64>,
    /// Memory that it may take for a moment, MiB.
    peak_mib: Option<u64>,
    everywhere: Words,
    shared: Option<Words>,
}

/// What its client does.
#[derive(Debug, Clone, Copy)]
pub enum Client {
    /// Reads everything.
    Read,
    /// Reads nothing for a while, then goes.
    Stall,
    /// Reads so many bytes, then goes.
    HangUp(u64),
    /// Sends a body of so many bytes.
    Upload(u64),
    /// Opens a WebSocket and reads so many bytes.
    WebSocket(u64),
}

/// What has to come of it.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// One of these limits stops it ...
    pub limits: Vec<String>,
    /// ... or it ends by itself.
    pub harmless: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "about")]
    _about: String,
    /// The limit, or several of which one stops it, or `none`: it ends by itself.
    limit: Words,
    /// The same without child processes, where that differs; `cordon`: it cannot be stopped there.
    shared: Option<Words>,
    #[serde(default)]
    startup: bool,
    /// Work goes on after it was ended, for which its process may have to end.
    #[serde(default)]
    lingers: bool,
    client: Option<String>,
    read_bytes: Option<u64>,
    upload_bytes: Option<u64>,
    #[serde(default)]
    limits: BTreeMap<String, u64>,
    /// Memory that it may take for a moment, if that is more than for others.
    peak_mib: Option<u64>,
}

impl Kind {
    /// Bytes beyond the start's that server and children may hold at a time.
    pub fn peak_max(&self) -> u64 {
        self.peak_mib.unwrap_or(PEAK_MIB) << 20
    }

    /// What has to come of it; `None`: it needs a cordon.
    pub fn expected(&self, isolation: Isolation) -> Option<Expected> {
        let words = match (isolation, &self.shared) {
            (Isolation::Shared, Some(shared)) => shared,
            _ => &self.everywhere,
        };
        let words = match words {
            Words::One(word) => std::slice::from_ref(word),
            Words::Several(words) => words,
        };
        if words.iter().any(|word| word == "cordon") {
            return None;
        }
        Some(Expected {
            limits: words.iter().filter(|word| *word != "none").cloned().collect(),
            harmless: words.iter().any(|word| word == "none"),
        })
    }
}

/// All kinds, by name.
pub fn load() -> Result<Vec<Kind>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile");
    let mut kinds = Vec::new();
    for entry in std::fs::read_dir(&root).with_context(|| format!("read {}", root.display()))? {
        let folder = entry?.path();
        let path = folder.join("kind.toml");
        if !path.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        let file: File = toml::from_str(&text).with_context(|| format!("read {}", path.display()))?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let client = match (file.client.as_deref(), file.read_bytes, file.upload_bytes) {
            (None, None, None) => Client::Read,
            (Some("stall"), None, None) => Client::Stall,
            (Some("hang-up"), Some(bytes), None) => Client::HangUp(bytes),
            (Some("upload"), None, Some(bytes)) => Client::Upload(bytes),
            (Some("websocket"), Some(bytes), None) => Client::WebSocket(bytes),
            other => bail!("{}: no such client: {other:?}", path.display()),
        };
        kinds.push(Kind {
            name,
            folder,
            startup: file.startup,
            lingers: file.lingers,
            client,
            limits: file.limits,
            peak_mib: file.peak_mib,
            everywhere: file.limit,
            shared: file.shared,
        });
    }
    kinds.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(kinds)
}
