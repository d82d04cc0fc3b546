//! The configuration on disk: what a PoP starts from when nobody is there to ask.
//!
//! ```text
//! config/N       the whole of generation N: one record
//! config/N.log   what changed since, record by record
//!
//! record:  u32 LE length of the rest   "ATPD" format SHA-256   u32 LE length of the head   head (JSON)   body
//! body:    a whole configuration or a delta as `model::edge` encodes them, or nothing: only the head is another
//! ```
//!
//! A change costs its own bytes and one sync. When the log has grown, the next generation is written whole; the one before it stays
//! until the one after. Reading begins with the newest generation and takes the log up to the first record that is not
//! whole: what was cut there was acknowledged to nobody. A generation that is damaged or of a newer format is set aside and the
//! one before it serves.

use crate::{AgentError, disk};
use atoll_model::edge::Change;
use atoll_model::{ConfigDelta, EdgeConfig};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A log of more bytes than this, and than the half of the whole, makes a new generation.
const LOG_BYTES_MAX: u64 = 1 << 20;
/// How many generations are kept.
const GENERATIONS: usize = 2;

/// What goes with a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The greatest epoch of a leader that was seen.
    pub epoch: u64,
    /// The platform's domains.
    pub domains: Vec<String>,
    /// This PoP bakes it for others.
    pub canary: bool,
    /// Entries that stay as they were before, because what should be there does not start.
    pub kept: Vec<Change>,
}

/// What is on disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    pub head: Head,
    /// As it was published: what deltas lead from.
    pub config: Arc<EdgeConfig>,
}

#[derive(Debug)]
pub(crate) struct LastGood {
    directory: PathBuf,
    generation: u64,
    /// Of the current generation; `None`: the next write makes a new one.
    log: Option<File>,
    log_bytes: u64,
    whole_bytes: u64,
}

enum Body<'a> {
    Whole(&'a EdgeConfig),
    Delta(&'a ConfigDelta),
    Nothing,
}

fn record(head: &Head, body: &Body<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let head = serde_json::to_vec(head)?;
    let body = match body {
        Body::Whole(config) => config.encode(),
        Body::Delta(delta) => delta.encode(),
        Body::Nothing => Vec::new(),
    };
    let mut payload = Vec::with_capacity(4 + head.len() + body.len());
    payload.extend_from_slice(&(head.len() as u32).to_le_bytes());
    payload.extend_from_slice(&head);
    payload.extend_from_slice(&body);
    let framed = disk::framed(&payload);
    let mut bytes = Vec::with_capacity(4 + framed.len());
    bytes.extend_from_slice(&(framed.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&framed);
    Ok(bytes)
}

/// The first record of some bytes, and what is behind it.
fn first(bytes: &[u8]) -> Result<(Head, &[u8], &[u8]), disk::Bad> {
    let damaged = disk::Bad::Damaged;
    let (length, rest) = bytes.split_at_checked(4).ok_or(damaged)?;
    let length = u32::from_le_bytes(length.try_into().map_err(|_| damaged)?) as usize;
    let (framed, rest) = rest.split_at_checked(length).ok_or(damaged)?;
    let payload = disk::unframed(framed)?;
    let (length, payload) = payload.split_at_checked(4).ok_or(damaged)?;
    let length = u32::from_le_bytes(length.try_into().map_err(|_| damaged)?) as usize;
    let (head, body) = payload.split_at_checked(length).ok_or(damaged)?;
    let head = serde_json::from_slice(head).map_err(|_| damaged)?;
    Ok((head, body, rest))
}

impl LastGood {
    /// Opens the directory and reads the newest configuration that can be read.
    pub fn open(directory: &Path) -> Result<(Self, Option<Stored>), AgentError> {
        fs::create_dir_all(directory).map_err(|error| disk::fault("create", directory, error))?;
        let mut generations = Self::generations(directory)?;
        let greatest = generations.iter().copied().max().unwrap_or(0);
        generations.sort_unstable();
        let mut stored = None;
        while let Some(generation) = generations.pop() {
            match Self::load(directory, generation)? {
                Ok(found) => {
                    stored = Some(found);
                    break;
                }
                Err(bad) => {
                    disk::set_aside(&directory.join(generation.to_string()), bad);
                    let log = directory.join(format!("{generation}.log"));
                    if log.exists() {
                        disk::set_aside(&log, bad);
                    }
                }
            }
        }
        // A log may end in half a record: what comes next goes into a new generation.
        let opened = Self {
            directory: directory.to_owned(),
            generation: greatest,
            log: None,
            log_bytes: 0,
            whole_bytes: 0,
        };
        Ok((opened, stored))
    }

    fn generations(directory: &Path) -> Result<Vec<u64>, AgentError> {
        let entries = fs::read_dir(directory).map_err(|error| disk::fault("list", directory, error))?;
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| disk::fault("list", directory, error))?;
            found.extend(entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        Ok(found)
    }

    fn load(directory: &Path, generation: u64) -> Result<Result<Stored, disk::Bad>, AgentError> {
        let path = directory.join(generation.to_string());
        let bytes = fs::read(&path).map_err(|error| disk::fault("read", &path, error))?;
        let whole = first(&bytes).and_then(|(head, body, _)| match EdgeConfig::decode(body) {
            Ok(config) => Ok((head, config)),
            Err(atoll_model::edge::CodecError::NewerFormat { .. }) => Err(disk::Bad::Newer),
            Err(error) => {
                tracing::error!(%error, "the configuration on disk does not decode");
                Err(disk::Bad::Damaged)
            }
        });
        let (mut head, mut config) = match whole {
            Ok(whole) => whole,
            Err(bad) => return Ok(Err(bad)),
        };
        let log = directory.join(format!("{generation}.log"));
        let bytes = match fs::read(&log) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(disk::fault("read", &log, error)),
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let Ok((next, body, behind)) = first(rest) else {
                tracing::warn!(path = %log.display(), bytes = rest.len(), "the end of the configuration's log is not whole");
                break;
            };
            if !body.is_empty() {
                let applied = ConfigDelta::decode(body).map_err(|error| error.to_string());
                match applied.and_then(|delta| config.apply(&delta).map_err(|error| error.to_string())) {
                    Ok(changed) => config = changed,
                    Err(error) => {
                        tracing::error!(%error, "a change in the configuration's log does not apply");
                        break;
                    }
                }
            }
            (head, rest) = (next, behind);
        }
        let config = Arc::new(config);
        Ok(Ok(Stored { head, config }))
    }

    /// Makes a configuration durable, by the delta that led to it if there is one. Blocks.
    pub fn keep(&mut self, stored: &Stored, delta: Option<&ConfigDelta>) -> Result<(), AgentError> {
        let full = self.log_bytes > LOG_BYTES_MAX && self.log_bytes > self.whole_bytes / 2;
        match (&mut self.log, delta) {
            (Some(log), Some(delta)) if !full => {
                let path = self.directory.join(format!("{}.log", self.generation));
                let bytes =
                    record(&stored.head, &Body::Delta(delta)).map_err(|error| disk::fault("write", &path, error))?;
                let written = log.write_all(&bytes).and_then(|()| log.sync_data());
                if let Err(error) = written {
                    // Half a record may be there: nothing may come behind it.
                    self.log = None;
                    return Err(disk::fault("write", &path, error));
                }
                self.log_bytes += bytes.len() as u64;
                Ok(())
            }
            _ => self.whole(stored),
        }
    }

    /// Makes what goes with the configuration durable; the configuration is the one that was kept last. Blocks.
    pub fn keep_head(&mut self, stored: &Stored) -> Result<(), AgentError> {
        let Some(log) = &mut self.log else {
            return self.whole(stored);
        };
        let path = self.directory.join(format!("{}.log", self.generation));
        let bytes = record(&stored.head, &Body::Nothing).map_err(|error| disk::fault("write", &path, error))?;
        if let Err(error) = log.write_all(&bytes).and_then(|()| log.sync_data()) {
            self.log = None;
            return Err(disk::fault("write", &path, error));
        }
        self.log_bytes += bytes.len() as u64;
        Ok(())
    }

    fn whole(&mut self, stored: &Stored) -> Result<(), AgentError> {
        let generation = self.generation + 1;
        let (path, log) = (
            self.directory.join(generation.to_string()),
            self.directory.join(format!("{generation}.log")),
        );
        let bytes =
            record(&stored.head, &Body::Whole(&stored.config)).map_err(|error| disk::fault("write", &path, error))?;
        // The log is there, empty, before the whole is: what is found beside a whole is always its own.
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&log)
            .map_err(|error| disk::fault("create", &log, error))?;
        disk::replace(&path, &bytes)?;
        self.generation = generation;
        self.log = Some(opened);
        self.log_bytes = 0;
        self.whole_bytes = bytes.len() as u64;
        let mut generations = Self::generations(&self.directory)?;
        generations.sort_unstable();
        let old = generations.len().saturating_sub(GENERATIONS);
        for generation in &generations[..old] {
            for name in [generation.to_string(), format!("{generation}.log")] {
                // What stays is removed by the next one.
                let _ = fs::remove_file(self.directory.join(name));
            }
        }
        Ok(())
    }
}
