//! Where a role that runs can be reached: a small file in its data directory, for whoever supervises it.

use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) pid: u32,
    /// Where clients, or users of the API, come.
    pub(crate) http: SocketAddr,
    /// `http` or `https`.
    pub(crate) scheme: String,
    /// Where PoPs come (control plane), where neighbours come (PoP).
    pub(crate) peers: Option<SocketAddr>,
    /// Health and metrics.
    pub(crate) admin: Option<SocketAddr>,
}

fn path(directory: &Path) -> PathBuf {
    directory.join("running.json")
}

impl Running {
    /// Says so, whole or not at all.
    pub(crate) fn tell(&self, directory: &Path) -> std::io::Result<()> {
        let new = directory.join("running.json.new");
        let mut file = std::fs::File::create(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        std::fs::rename(new, path(directory))
    }

    /// What the process `pid` says, if it has begun to listen.
    pub(crate) fn of(directory: &Path, pid: u32) -> Option<Self> {
        let read: Self = serde_json::from_slice(&std::fs::read(path(directory)).ok()?).ok()?;
        (read.pid == pid).then_some(read)
    }

    /// It listens no more.
    pub(crate) fn forget(directory: &Path) {
        // One that is left says a process that is no more.
        let _ = std::fs::remove_file(path(directory));
    }
}
