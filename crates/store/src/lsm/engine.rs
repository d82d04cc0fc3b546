//! fjall, opened and read in our terms. Everything here blocks and runs on the store's own threads.

use super::LsmOptions;
use crate::format::{Acked, Directory};
use crate::keyspace::{Page, RESERVED_FIRST_BYTE, Scan, fill_page};
use crate::{CommitSeq, StoreError};
use bytes::Bytes;
use fjall::{Database, KeyspaceCreateOptions, KvSeparationOptions, PersistMode, Readable};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;

const KEYSPACE_NAME: &str = "data";
/// Larger values lie in files of their own, so that compaction does not copy them again and again.
const SEPARATED_BYTES: u32 = 32 * 1024;
/// Where the sequence number of the last commit stands; reserved by [`RESERVED_FIRST_BYTE`].
const SEQ_KEY: [u8; 4] = [RESERVED_FIRST_BYTE, b's', b'e', b'q'];

pub(crate) struct Engine {
    // Dropped in this order: the engine's files are closed before the directory is unlocked.
    keyspace: fjall::Keyspace,
    database: Database,
    acked: Acked,
    directory: Directory,
}

impl Engine {
    /// Opens or creates the store and proves that nothing acknowledged is missing. Returns it with its last commit.
    pub(crate) fn open(path: &Path, options: &LsmOptions) -> Result<(Self, CommitSeq), StoreError> {
        let directory = Directory::open(path)?;
        if !directory.engine_exists()? {
            // Nothing was acknowledged yet, whatever an interrupted creation left behind.
            let new = directory.start_engine()?;
            let (database, _) = open_engine(path, &new, options)?;
            database
                .persist(PersistMode::SyncAll)
                .map_err(|error| engine_error(path, error))?;
            drop(database);
            directory.finish_engine()?;
        }
        let (database, keyspace) = open_engine(path, &directory.engine(), options)?;
        let acked = directory.acked()?;
        let engine = Self {
            keyspace,
            database,
            acked,
            directory,
        };
        let recovered = engine.recovered_seq()?;
        let acknowledged = engine.acked.read();
        if recovered < acknowledged {
            return Err(StoreError::LostCommits {
                path: path.to_owned(),
                recovered,
                acknowledged,
                marker: engine.acked.path().to_owned(),
            });
        }
        Ok((engine, CommitSeq(recovered)))
    }

    fn recovered_seq(&self) -> Result<u64, StoreError> {
        let Some(bytes) = self.read(&SEQ_KEY)? else {
            return Ok(0);
        };
        let bytes = <[u8; 8]>::try_from(&bytes[..]).map_err(|_| StoreError::Corrupt {
            path: self.path().to_owned(),
            detail: format!("the commit sequence has {} bytes", bytes.len()),
        })?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn read(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.keyspace.get(key).map_err(|error| self.error(error))?;
        Ok(value.map(Bytes::from))
    }

    pub(crate) fn read_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let snapshot = self.database.snapshot();
        keys.iter()
            .map(|key| {
                let value = snapshot.get(&self.keyspace, key).map_err(|error| self.error(error))?;
                Ok(value.map(Bytes::from))
            })
            .collect()
    }

    pub(crate) fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        if scan.is_empty_range() {
            return Ok(Page::default());
        }
        let snapshot = self.database.snapshot();
        let entries = snapshot
            .range::<Bytes, _>(&self.keyspace, (scan.start.clone(), scan.end.clone()))
            .map(|guard| {
                let (key, value) = guard.into_inner()?;
                Ok((Bytes::from(key), Bytes::from(value)))
            });
        fill_page(scan, entries).map_err(|error| self.error(error))
    }

    /// Writes and syncs one group. After an error it is unknown whether the group is stored.
    pub(crate) fn commit(&self, changes: &HashMap<Bytes, Option<Bytes>>, seq: CommitSeq) -> Result<(), fjall::Error> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(&self.keyspace, key.clone(), value.clone()),
                None => batch.remove(&self.keyspace, key.clone()),
            }
        }
        batch.insert(&self.keyspace, SEQ_KEY, seq.0.to_le_bytes());
        batch.commit()
    }

    /// Remembers that `seq` is durable; see [`Acked`].
    pub(crate) fn mark_acknowledged(&self, seq: CommitSeq) {
        if let Err(error) = self.acked.write(seq.0) {
            // The commit itself is safe; only the proof of it stays behind.
            tracing::warn!(path = %self.acked.path().display(), %error, "cannot note the last acknowledged commit");
        }
    }

    /// Bytes free for this process on the store's file system.
    pub(crate) fn available_bytes(&self) -> Result<u64, StoreError> {
        let stat = rustix::fs::statvfs(self.path())
            .map_err(|error| StoreError::io("measure the free space of", self.path(), error.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.database.disk_space().unwrap_or(0)
    }

    pub(crate) fn error(&self, error: fjall::Error) -> StoreError {
        engine_error(self.path(), error)
    }
}

fn open_engine(store: &Path, path: &Path, options: &LsmOptions) -> Result<(Database, fjall::Keyspace), StoreError> {
    let open = || {
        let database = Database::builder(path)
            .cache_size(options.block_cache_bytes)
            .max_journaling_size(options.journal_bytes)
            .worker_threads(options.background_threads)
            .open()?;
        let keyspace = database.keyspace(KEYSPACE_NAME, || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(options.memtable_bytes)
                .with_kv_separation(Some(
                    KvSeparationOptions::default().separation_threshold(SEPARATED_BYTES),
                ))
        })?;
        Ok((database, keyspace))
    };
    // The engine asserts some properties of its files instead of returning an error; a damaged file is not a bug of ours
    // and must not end the process.
    match std::panic::catch_unwind(AssertUnwindSafe(open)) {
        Ok(result) => result.map_err(|error| engine_error(store, error)),
        Err(panic) => Err(StoreError::Corrupt {
            path: store.to_owned(),
            detail: panic_text(&*panic),
        }),
    }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the engine panicked".to_owned())
}

fn engine_error(path: &Path, error: fjall::Error) -> StoreError {
    let corrupt = |detail: String| StoreError::Corrupt {
        path: path.to_owned(),
        detail,
    };
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => io_error(path, error),
        fjall::Error::Locked => StoreError::Locked {
            path: path.to_owned(),
            holder: None,
        },
        fjall::Error::Poisoned => StoreError::closed("an earlier write failed; restart to recover it"),
        fjall::Error::InvalidVersion(version) => corrupt(format!("the engine's version marker is {version:?}")),
        fjall::Error::Storage(error) => corrupt(format!("{error:?}")),
        other => corrupt(format!("{other:?}")),
    }
}

fn io_error(path: &Path, error: std::io::Error) -> StoreError {
    // Bytes that end early or do not decode are damage, not a failing disk.
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData => StoreError::Corrupt {
            path: path.to_owned(),
            detail: error.to_string(),
        },
        _ => StoreError::io("use", path, error),
    }
}
