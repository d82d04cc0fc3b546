//! Small files of the agent: each is there whole or not at all, and what is damaged is noticed.
//!
//! ```text
//! "ATPD"   format u8   SHA-256 of the payload   payload
//! ```
//!
//! A file is written beside its place, synced, renamed, and its directory is synced. One that is damaged or of a newer format
//! is set aside as `NAME.damaged` or `NAME.newer` for whoever wants to look, and read as if it were not there.

use crate::AgentError;
use atoll_model::BlobHash;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const MAGIC: &[u8; 4] = b"ATPD";
const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 4 + 1 + 32;

/// A fault of the disk.
pub(crate) fn fault(doing: &'static str, path: &Path, error: impl std::fmt::Display) -> AgentError {
    AgentError::Disk {
        path: path.to_owned(),
        doing,
        cause: error.to_string(),
    }
}

/// Bytes with their head.
pub(crate) fn framed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.push(FORMAT);
    bytes.extend_from_slice(&BlobHash::of(payload).0);
    bytes.extend_from_slice(payload);
    bytes
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bad {
    Damaged,
    Newer,
}

impl Bad {
    fn suffix(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Newer => "newer",
        }
    }
}

/// The payload of framed bytes.
pub(crate) fn unframed(bytes: &[u8]) -> Result<&[u8], Bad> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Bad::Damaged)?;
    let (format, rest) = rest.split_first().ok_or(Bad::Damaged)?;
    if *format > FORMAT {
        return Err(Bad::Newer);
    }
    let (hash, payload) = rest.split_at_checked(32).ok_or(Bad::Damaged)?;
    if *format != FORMAT || BlobHash::of(payload).0 != hash {
        return Err(Bad::Damaged);
    }
    Ok(payload)
}

/// Syncs a directory: renames and new files in it are durable.
pub(crate) fn sync(directory: &Path) -> Result<(), AgentError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| fault("sync", directory, error))
}

/// Writes bytes as they are, atomically and durably, for this user alone.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), AgentError> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|error| fault("write", path, error))?;
    path.parent().map_or(Ok(()), sync)
}

/// Writes a small file.
pub(crate) fn write(path: &Path, payload: &[u8]) -> Result<(), AgentError> {
    replace(path, &framed(payload))
}

/// Puts a file that is of no use out of the way.
pub(crate) fn set_aside(path: &Path, bad: Bad) {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(bad.suffix());
    tracing::error!(path = %path.display(), reason = bad.suffix(), "a file of the agent cannot be used and is set aside");
    if let Err(error) = fs::rename(path, &name) {
        tracing::error!(path = %path.display(), %error, "it could not be renamed");
    }
}

/// Reads a small file; `None`: there is none that can be used.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, AgentError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault("read", path, error)),
    };
    match unframed(&bytes) {
        Ok(payload) => Ok(Some(payload.to_vec())),
        Err(bad) => {
            set_aside(path, bad);
            Ok(None)
        }
    }
}

/// Reads a small file of JSON; what does not decode is damaged.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, AgentError> {
    let Some(payload) = read(path)? else {
        return Ok(None);
    };
    match serde_json::from_slice(&payload) {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "a file of the agent does not decode");
            set_aside(path, Bad::Damaged);
            Ok(None)
        }
    }
}

/// Writes a small file of JSON.
pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), AgentError> {
    let bytes = serde_json::to_vec(value).map_err(|error| fault("write", path, error))?;
    write(path, &bytes)
}
