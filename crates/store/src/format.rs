//! What lies in a store's directory, who may open it, and how its format version is told.
//!
//! ```text
//! FORMAT   "atoll keyspace\nformat 1\nengine fjall 3\n": written once, before anything else
//! LOCK     held with flock while the store is open; its text is the holder's pid
//! ACKED    the last acknowledged commit: sequence u64 LE, then its complement (not synced: see [`Acked`])
//! lsm/     the engine's own files; created as `lsm.new` and renamed when complete
//! ```
//!
//! A crash at any moment of the creation leaves a directory that the next opening finishes: nothing can have been
//! acknowledged before `lsm` exists, and `lsm` exists only whole.

use crate::StoreError;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The newest layout of a store's directory which this release reads, and the one it writes.
pub const FORMAT_VERSION: u32 = 1;

const FORMAT_FILE: &str = "FORMAT";
const FORMAT_NAME: &str = "atoll keyspace";
const FORMAT_ENGINE: &str = "fjall 3";
/// More than this is no marker of ours.
const FORMAT_BYTES_MAX: u64 = 4096;
const LOCK_FILE: &str = "LOCK";
const ACKED_FILE: &str = "ACKED";
const ENGINE_DIRECTORY: &str = "lsm";
const ENGINE_DIRECTORY_NEW: &str = "lsm.new";

/// A store's directory, locked for this process.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    // Unlocked by the kernel when the file closes, however the process ends.
    _lock: File,
}

impl Directory {
    /// Creates the directory if need be, locks it and checks its format.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(|error| StoreError::io("create", path, error))?;
        let lock = lock_directory(path)?;
        let directory = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        directory.check_format()?;
        Ok(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the engine's files are, once [`Self::engine_exists`].
    pub(crate) fn engine(&self) -> PathBuf {
        self.path.join(ENGINE_DIRECTORY)
    }

    pub(crate) fn engine_exists(&self) -> Result<bool, StoreError> {
        let engine = self.engine();
        engine
            .try_exists()
            .map_err(|error| StoreError::io("look for", &engine, error))
    }

    /// Where to create the engine's files: an empty place; what an interrupted creation left there is removed.
    pub(crate) fn start_engine(&self) -> Result<PathBuf, StoreError> {
        let new = self.path.join(ENGINE_DIRECTORY_NEW);
        match fs::remove_dir_all(&new) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("remove", &new, error)),
        }
        Ok(new)
    }

    /// Makes the engine's files, complete, synced and closed, the store's.
    pub(crate) fn finish_engine(&self) -> Result<(), StoreError> {
        let new = self.path.join(ENGINE_DIRECTORY_NEW);
        fs::rename(&new, self.engine()).map_err(|error| StoreError::io("rename", &new, error))?;
        sync_directory(&self.path)
    }

    pub(crate) fn acked(&self) -> Result<Acked, StoreError> {
        Acked::open(&self.path.join(ACKED_FILE))
    }

    fn check_format(&self) -> Result<(), StoreError> {
        let path = self.path.join(FORMAT_FILE);
        let mut text = Vec::new();
        match File::open(&path) {
            Ok(file) => {
                file.take(FORMAT_BYTES_MAX)
                    .read_to_end(&mut text)
                    .map_err(|error| StoreError::io("read", &path, error))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if self.engine_exists()? {
                    return Err(self.foreign(format!("it has data but no {FORMAT_FILE} file")));
                }
                return self.write_format();
            }
            Err(error) => return Err(StoreError::io("open", &path, error)),
        }
        match parse_format(&text) {
            Some(FORMAT_VERSION) => Ok(()),
            Some(found) if found > FORMAT_VERSION => Err(StoreError::NewerFormat {
                path: self.path.clone(),
                found,
                supported: FORMAT_VERSION,
            }),
            _ => Err(self.foreign(format!("its {FORMAT_FILE} file is not readable"))),
        }
    }

    fn write_format(&self) -> Result<(), StoreError> {
        // A temporary name and a rename: the marker is there whole or not at all.
        let (path, new) = (self.path.join(FORMAT_FILE), self.path.join("FORMAT.new"));
        let write = || {
            let mut file = File::create(&new)?;
            write!(file, "{FORMAT_NAME}\nformat {FORMAT_VERSION}\nengine {FORMAT_ENGINE}\n")?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().map_err(|error| StoreError::io("write", &path, error))?;
        sync_directory(&self.path)
    }

    fn foreign(&self, detail: String) -> StoreError {
        StoreError::Foreign {
            path: self.path.clone(),
            detail,
        }
    }
}

/// The version in a marker's text. Later versions may add lines, never change the first two.
fn parse_format(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.lines();
    if lines.next()? != FORMAT_NAME {
        return None;
    }
    lines.next()?.strip_prefix("format ")?.parse().ok()
}

/// Takes a directory for this process; it is given back when the file closes, however the process ends.
pub(crate) fn lock_directory(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| StoreError::io("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Only a courtesy to the reader of the message: whatever cannot be read is left out.
            let _ = (&mut file).take(16).read_to_string(&mut text);
            return Err(StoreError::Locked {
                path: directory.to_owned(),
                holder: text.trim().parse().ok(),
            });
        }
        Err(fs::TryLockError::Error(error)) => return Err(StoreError::io("lock", &path, error)),
    }
    let write = || {
        file.set_len(0)?;
        file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0)
    };
    write().map_err(|error| StoreError::io("write", &path, error))?;
    Ok(file)
}

pub(crate) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let sync = || File::open(path)?.sync_all();
    sync().map_err(|error| StoreError::io("sync", path, error))
}

/// Remembers the last commit that was synced, beside the engine: so that recovery can tell "the end of the journal" from
/// "a damaged journal", which the engine itself cannot: it cuts a journal at the first record it cannot read.
///
/// It is written after the engine's sync and never synced itself: it can only be behind, and then it proves less, never
/// something false.
#[derive(Debug)]
pub(crate) struct Acked {
    path: PathBuf,
    file: File,
}

impl Acked {
    fn open(path: &Path) -> Result<Self, StoreError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| StoreError::io("open", path, error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The last commit known to be acknowledged; 0 if the file is new or torn.
    pub(crate) fn read(&self) -> u64 {
        let mut bytes = [0; 16];
        if self.file.read_exact_at(&mut bytes, 0).is_err() {
            return 0;
        }
        let (seq, check) = bytes.split_at(8);
        // Both halves are eight bytes long: split of a 16 byte array at 8.
        let seq = u64::from_le_bytes(seq.try_into().unwrap());
        let check = u64::from_le_bytes(check.try_into().unwrap());
        if check == !seq { seq } else { 0 }
    }

    pub(crate) fn write(&self, seq: u64) -> std::io::Result<()> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&seq.to_le_bytes());
        bytes[8..].copy_from_slice(&(!seq).to_le_bytes());
        self.file.write_all_at(&bytes, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_tells_its_version() {
        fn check(text: &str, expected: Option<u32>) {
            assert_eq!(parse_format(text.as_bytes()), expected, "{text:?}");
        }
        check("atoll keyspace\nformat 1\nengine fjall 3\n", Some(1));
        check("atoll keyspace\nformat 1", Some(1));
        check("atoll keyspace\nformat 70000\nwhatever\n", Some(70000));
        check("atoll keyspace\nformat one\n", None);
        check("atoll keyspace\nformat -1\n", None);
        check("atoll keyspace\n", None);
        check("something else\nformat 1\n", None);
        check("", None);
    }

    #[test]
    fn a_new_directory_is_marked_and_locked() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b");
        let first = Directory::open(&path).unwrap();
        assert_eq!(
            fs::read_to_string(path.join("FORMAT")).unwrap(),
            "atoll keyspace\nformat 1\nengine fjall 3\n"
        );
        match Directory::open(&path).unwrap_err() {
            StoreError::Locked { holder, .. } => assert_eq!(holder, Some(std::process::id())),
            other => panic!("{other}"),
        }
        drop(first);
        Directory::open(&path).unwrap();
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        fn check(files: &[(&str, &str)], expected: &str) {
            let temp = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = temp.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            let error = Directory::open(temp.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        check(
            &[("FORMAT", "atoll keyspace\nformat 2\n")],
            "has format 2, this release reads up to 1; start the newer",
        );
        check(
            &[("FORMAT", "atoll keyspace\nformat 0\n")],
            "FORMAT file is not readable",
        );
        check(&[("FORMAT", "\u{0}\u{1}")], "FORMAT file is not readable");
        check(&[("FORMAT", "")], "FORMAT file is not readable");
        check(&[("lsm/version", "x")], "it has data but no FORMAT file");
    }

    #[test]
    fn the_acknowledgement_mark_survives_and_a_torn_one_proves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let directory = Directory::open(temp.path()).unwrap();
        let acked = directory.acked().unwrap();
        assert_eq!(acked.read(), 0);
        acked.write(7).unwrap();
        assert_eq!(directory.acked().unwrap().read(), 7);
        acked.file.write_all_at(&[9], 0).unwrap();
        assert_eq!(directory.acked().unwrap().read(), 0);
    }
}
