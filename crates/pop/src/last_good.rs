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

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_model::edge::EdgeAccount;
    use atoll_model::{EdgeEntry, EdgeKey, Revision, TenantId};
    use tempfile::tempdir;

    /// The next revision: one account more.
    fn next(config: &EdgeConfig) -> (EdgeConfig, ConfigDelta) {
        let to = Revision(config.revision().0 + 1);
        let change = Change {
            key: EdgeKey::Account(TenantId::new(format!("account-{to}"))),
            entry: Some(EdgeEntry::Account(EdgeAccount::default())),
        };
        config.change(to, vec![change]).unwrap()
    }

    fn stored(config: EdgeConfig, epoch: u64) -> Stored {
        let head = Head {
            epoch,
            ..Head::default()
        };
        let config = Arc::new(config);
        Stored { head, config }
    }

    /// A directory that has taken so many changes, and what is in it.
    fn filled(directory: &Path, changes: u64) -> EdgeConfig {
        let (mut last_good, found) = LastGood::open(directory).unwrap();
        let mut config = found.map_or_else(EdgeConfig::default, |found| EdgeConfig::clone(&found.config));
        for _ in 0..changes {
            let (changed, delta) = next(&config);
            last_good.keep(&stored(changed.clone(), 1), Some(&delta)).unwrap();
            config = changed;
        }
        config
    }

    fn read(directory: &Path) -> Option<Stored> {
        LastGood::open(directory).unwrap().1
    }

    #[test]
    fn it_is_there_after_every_change_and_what_goes_with_it_too() {
        let temp = tempdir().unwrap();
        assert!(read(temp.path()).is_none());
        for round in 1..=3 {
            let config = filled(temp.path(), 5);
            let found = read(temp.path()).unwrap();
            assert_eq!((&*found.config, found.head.epoch), (&config, 1));
            assert_eq!(config.revision(), Revision(round * 5));
        }
        let (mut last_good, found) = LastGood::open(temp.path()).unwrap();
        let mut found = found.unwrap();
        last_good.keep(&found, None).unwrap();
        found.head.epoch = 7;
        found.head.domains = vec!["example.com".into()];
        last_good.keep_head(&found).unwrap();
        let again = read(temp.path()).unwrap();
        assert_eq!((again.head, again.config), (found.head, found.config));
        let generations = LastGood::generations(temp.path()).unwrap();
        assert!(generations.len() <= GENERATIONS, "{generations:?}");
    }

    #[test]
    fn a_cut_or_damaged_log_gives_what_was_whole_before() {
        let temp = tempdir().unwrap();
        let config = filled(temp.path(), 6);
        let generation = LastGood::generations(temp.path()).unwrap().into_iter().max().unwrap();
        let log = temp.path().join(format!("{generation}.log"));
        let bytes = fs::read(&log).unwrap();
        let mut before = 0;
        for at in 0..=bytes.len() {
            fs::write(&log, &bytes[..at]).unwrap();
            let found = LastGood::load(temp.path(), generation).unwrap().unwrap();
            let revision = found.config.revision().0;
            assert!((1..=6).contains(&revision) && revision >= before, "cut at {at}");
            before = revision;
        }
        assert_eq!(before, config.revision().0);
        for at in (0..bytes.len()).step_by(3) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x20;
            fs::write(&log, &damaged).unwrap();
            let found = LastGood::load(temp.path(), generation).unwrap().unwrap();
            assert!((1..6).contains(&found.config.revision().0), "byte {at}");
        }
    }

    #[test]
    fn a_damaged_generation_is_set_aside_and_the_one_before_serves() {
        let temp = tempdir().unwrap();
        filled(temp.path(), 3);
        let config = filled(temp.path(), 3);
        let mut generations = LastGood::generations(temp.path()).unwrap();
        generations.sort_unstable();
        assert_eq!(generations.len(), 2);
        let newest = temp.path().join(generations[1].to_string());
        let bytes = fs::read(&newest).unwrap();
        for (at, name) in [(bytes.len() / 2, "damaged"), (8, "newer")] {
            let copy = tempdir().unwrap();
            for entry in fs::read_dir(temp.path()).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
            }
            let mut changed = bytes.clone();
            // The byte at 8 is the format, behind the length and the magic.
            changed[at] = changed[at].wrapping_add(1);
            fs::write(copy.path().join(generations[1].to_string()), &changed).unwrap();
            let found = read(copy.path()).unwrap();
            // All that the older generation had when the newer one was begun.
            assert_eq!(found.config.revision(), Revision(3), "{name}");
            assert!(copy.path().join(format!("{}.{name}", generations[1])).exists());
            // And it goes on from there.
            let after = filled(copy.path(), 1);
            assert_eq!(read(copy.path()).unwrap().config.root(), after.root());
        }
        assert_eq!(read(temp.path()).unwrap().config.root(), config.root());
    }
}
