//! What a control plane keeps secret: master key, signing key. Files of its data directory that nobody else may read; made at
//! the first start, read at every other.

use atoll_control::secrets::Vault;
use atoll_store::artifact::SigningKey;
use std::fmt::Display;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Opens the keys, or makes them.
pub(crate) struct Keys {
    pub(crate) vault: Vault,
    pub(crate) signing: SigningKey,
    /// Where the authority of nodes' certificates is kept, if not in the catalog.
    pub(crate) authority: PathBuf,
}

fn told(path: &Path, what: &dyn Display) -> String {
    format!("{}: {what}", path.display())
}

/// Writes a file that is not there yet, whole or not at all.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        match path.parent() {
            Some(parent) => std::fs::File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(|error| told(path, &error))
}

/// A file that only its owner may read: one that others may is refused.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(told(path, &error)),
        Ok(facts) if facts.permissions().mode() & 0o077 != 0 => {
            return Err(told(
                path,
                &"others may read this key: chmod 600 it, and think of who did",
            ));
        }
        Ok(_) => {}
    }
    std::fs::read(path).map(Some).map_err(|error| told(path, &error))
}

impl Keys {
    /// Those of a data directory.
    pub(crate) fn open(data: &Path) -> Result<Self, String> {
        use std::os::unix::fs::DirBuilderExt as _;
        let directory = data.join("keys");
        let mut builder = std::fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|error| told(&directory, &error))?;
        let master = directory.join("master");
        let text = match read(&master)? {
            Some(bytes) => String::from_utf8(bytes).map_err(|error| told(&master, &error))?,
            None => {
                let key = Vault::generate().map_err(|error| told(&master, &error))?;
                let text = format!(
                    "# Master keys, the one in use first. Without them no secret can be read again.\n{}\n",
                    *key
                );
                write_new(&master, text.as_bytes())?;
                text
            }
        };
        let vault = Vault::parse(&text).map_err(|error| told(&master, &error))?;
        let signing = directory.join("signing");
        let pkcs8 = match read(&signing)? {
            Some(bytes) => bytes,
            None => {
                let bytes = SigningKey::generate().map_err(|error| told(&signing, &error))?;
                write_new(&signing, &bytes)?;
                bytes
            }
        };
        let signing = SigningKey::from_pkcs8(&pkcs8).map_err(|error| told(&signing, &error))?;
        Ok(Self {
            vault,
            signing,
            authority: directory.join("authority"),
        })
    }
}
