//! Keeps workers' compiled code: in memory for the isolates to come, in a directory for the processes to come.
//!
//! A file is one module's code under its key's name, with a head (format, key, length, SHA-256 of the code). It is written
//! beside its place and renamed into it, by a thread of its own; a file that is not exactly what was written is removed and
//! counts as absent. Both places are bounded in bytes; what was used longest ago goes first. Losing any of it costs time only,
//! so a failure here is logged and otherwise ignored.
//!
//! Trust: code from here is run by whoever loads it. The directory belongs to the server and is made for its user alone, and a
//! store with a directory is given only to isolates of the server's own process. A child process that runs tenants' code has a
//! store in its own memory (`docs/guide/isolation.md`).

use atoll_worker::{CodeCache, CodeKey};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Compiled code that a store holds in memory, bytes.
pub const CODE_MEMORY_MAX: u64 = 64 << 20;
/// Compiled code that a store holds in its directory, bytes.
pub const CODE_DISK_MAX: u64 = 512 << 20;
/// Code of one module that is kept, bytes.
pub const CODE_BYTES_MAX: usize = 32 << 20;
/// Files that may wait to be written; what comes while they do is kept in memory alone.
const WRITES_MAX: usize = 64;

/// The first bytes of a file: what it is, and the version of its layout.
const MAGIC: &[u8; 8] = b"ATCODE\0\x01";
/// Magic, key, length (little endian), SHA-256.
const HEAD_BYTES: usize = 8 + 32 + 8 + 32;
/// How files end.
const SUFFIX: &str = ".code";
/// How files end that are being written.
const PART_SUFFIX: &str = ".part";

/// A store's counters since it was made, and what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CodeStats {
    /// Modules compiled from kept code.
    pub used: u64,
    /// Modules for which there was none.
    pub missed: u64,
    /// Codes taken in.
    pub kept: u64,
    /// Codes that the engine would not have.
    pub refused: u64,
    /// Files that were not what had been written.
    pub damaged: u64,
    /// Codes given up for others, in memory or in the directory.
    pub evicted: u64,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Bytes in the directory.
    pub disk_bytes: u64,
}

#[derive(Default)]
struct Counters {
    used: AtomicU64,
    missed: AtomicU64,
    kept: AtomicU64,
    refused: AtomicU64,
    damaged: AtomicU64,
    evicted: AtomicU64,
}

/// What is held in one place, and in which order it goes.
struct Shelf<T> {
    items: HashMap<CodeKey, Item<T>>,
    bytes: u64,
    bytes_max: u64,
    /// Counts uses.
    clock: u64,
}

struct Item<T> {
    value: T,
    bytes: u64,
    used: u64,
}

impl<T> Shelf<T> {
    fn new(bytes_max: u64) -> Self {
        Self {
            items: HashMap::new(),
            bytes: 0,
            bytes_max,
            clock: 0,
        }
    }

    fn get(&mut self, key: &CodeKey) -> Option<&T> {
        self.clock += 1;
        let item = self.items.get_mut(key)?;
        item.used = self.clock;
        Some(&item.value)
    }

    /// Puts something in; what had to go for it.
    fn put(&mut self, key: CodeKey, value: T, bytes: u64) -> Vec<CodeKey> {
        self.remove(&key);
        self.clock += 1;
        let used = self.clock;
        self.items.insert(key, Item { value, bytes, used });
        self.bytes += bytes;
        let mut gone = Vec::new();
        while self.bytes > self.bytes_max {
            // A linear search: there are some hundreds, and this is rare.
            let Some(oldest) = self.items.iter().min_by_key(|(_, item)| item.used).map(|(key, _)| *key) else {
                break;
            };
            self.remove(&oldest);
            gone.push(oldest);
        }
        gone
    }

    fn remove(&mut self, key: &CodeKey) -> Option<T> {
        let item = self.items.remove(key)?;
        self.bytes -= item.bytes;
        Some(item.value)
    }
}

/// A directory and what is in it.
struct Disk {
    path: PathBuf,
    files: Shelf<()>,
    writer: SyncSender<(PathBuf, CodeKey, Bytes)>,
}

/// See the module.
pub struct CodeStore {
    memory: Mutex<Shelf<Bytes>>,
    disk: Mutex<Option<Disk>>,
    counters: Counters,
}

impl std::fmt::Debug for CodeStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodeStore")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CodeStore {
    /// A store in this process's memory, of at most so many bytes.
    pub fn in_memory(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self {
            memory: Mutex::new(Shelf::new(bytes_max)),
            disk: Mutex::default(),
            counters: Counters::default(),
        })
    }

    /// Keeps code in `directory` too from now on, at most so many bytes; it is made when there is something to keep. Nothing
    /// changes if code is kept there already.
    ///
    /// # Errors
    /// The directory is there and cannot be read, or the system refuses a thread.
    pub fn keep_in(&self, directory: &Path, bytes_max: u64) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        if disk.as_ref().is_some_and(|disk| disk.path == directory) {
            return Ok(());
        }
        let mut files = Shelf::new(bytes_max);
        for (key, bytes) in files_in(directory)? {
            for gone in files.put(key, (), bytes) {
                remove(directory, &gone);
            }
        }
        let (writer, queue) = mpsc::sync_channel(WRITES_MAX);
        std::thread::Builder::new()
            .name("atoll-code".to_owned())
            .spawn(move || write_all(&queue))?;
        *disk = Some(Disk {
            path: directory.to_owned(),
            files,
            writer,
        });
        Ok(())
    }

    /// Counters.
    pub fn stats(&self) -> CodeStats {
        let Counters {
            used,
            missed,
            kept,
            refused,
            damaged,
            evicted,
        } = &self.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CodeStats {
            used: read(used),
            missed: read(missed),
            kept: read(kept),
            refused: read(refused),
            damaged: read(damaged),
            evicted: read(evicted),
            memory_bytes: lock(&self.memory).bytes,
            disk_bytes: lock(&self.disk).as_ref().map_or(0, |disk| disk.files.bytes),
        }
    }

    /// What the directory has under `key`.
    fn read(&self, key: &CodeKey) -> Option<Bytes> {
        let path = {
            let mut disk = lock(&self.disk);
            let disk = disk.as_mut()?;
            disk.files.get(key)?;
            disk.path.join(file_name(key))
        };
        match read_file(&path, key) {
            Ok(Some(code)) => {
                // The order of the next process. Not worth an error.
                let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                return Some(code);
            }
            Ok(None) => {
                tracing::warn!(file = %path.display(), "compiled code was damaged and is made anew");
                add(&self.counters.damaged, 1);
                let _ = fs::remove_file(&path);
            }
            // It may be on its way there, or another process removed it.
            Err(error) => tracing::debug!(file = %path.display(), %error, "compiled code is not there"),
        }
        if let Some(disk) = lock(&self.disk).as_mut() {
            disk.files.remove(key);
        }
        None
    }

    fn put_in_memory(&self, key: CodeKey, code: Bytes) {
        let bytes = code.len() as u64;
        let gone = lock(&self.memory).put(key, code, bytes);
        add(&self.counters.evicted, gone.len());
    }
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

impl CodeCache for CodeStore {
    fn load(&self, key: &CodeKey) -> Option<Bytes> {
        let found = lock(&self.memory).get(key).cloned();
        if found.is_some() {
            return found;
        }
        let Some(code) = self.read(key) else {
            add(&self.counters.missed, 1);
            return None;
        };
        self.put_in_memory(*key, code.clone());
        Some(code)
    }

    fn wants(&self, key: &CodeKey) -> bool {
        !lock(&self.memory).items.contains_key(key)
    }

    fn keep(&self, key: &CodeKey, code: Bytes) {
        if code.len() > CODE_BYTES_MAX || code.is_empty() {
            return;
        }
        add(&self.counters.kept, 1);
        self.put_in_memory(*key, code.clone());
        let mut disk = lock(&self.disk);
        let Some(disk) = disk.as_mut() else { return };
        let bytes = (HEAD_BYTES + code.len()) as u64;
        // A full queue is no reason to wait.
        if disk.writer.try_send((disk.path.clone(), *key, code)).is_ok() {
            for gone in disk.files.put(*key, (), bytes) {
                add(&self.counters.evicted, 1);
                remove(&disk.path, &gone);
            }
        }
    }

    fn used(&self, _key: &CodeKey) {
        add(&self.counters.used, 1);
    }

    fn refused(&self, key: &CodeKey) {
        add(&self.counters.refused, 1);
        lock(&self.memory).remove(key);
        if let Some(disk) = lock(&self.disk).as_mut()
            && disk.files.remove(key).is_some()
        {
            remove(&disk.path, key);
        }
    }
}

fn file_name(key: &CodeKey) -> String {
    format!("{key}{SUFFIX}")
}

fn remove(directory: &Path, key: &CodeKey) {
    // One that another process removed first is gone as well.
    let _ = fs::remove_file(directory.join(file_name(key)));
}

/// What is in the directory: keys and sizes, what was used longest ago first. Files that were never finished are removed.
fn files_in(directory: &Path) -> io::Result<Vec<(CodeKey, u64)>> {
    let mut files: Vec<(SystemTime, CodeKey, u64)> = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let Ok(about) = entry.metadata() else { continue };
        let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        if name.ends_with(PART_SUFFIX) {
            // Another process may write it right now; an hour later nobody does.
            if modified.elapsed().is_ok_and(|age| age.as_secs() > 3_600) {
                let _ = fs::remove_file(entry.path());
            }
        } else if let Some(key) = name.strip_suffix(SUFFIX).and_then(key_of) {
            files.push((modified, key, about.len()));
        }
    }
    files.sort_unstable();
    Ok(files.into_iter().map(|(_, key, bytes)| (key, bytes)).collect())
}

fn key_of(hex: &str) -> Option<CodeKey> {
    let mut key = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (place, pair) in key.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let digit = |byte: u8| (byte as char).to_digit(16);
        *place = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(CodeKey(key))
}

/// A file's code; `None` if it is not what was written under this key.
fn read_file(path: &Path, key: &CodeKey) -> io::Result<Option<Bytes>> {
    let mut file = File::open(path)?;
    let mut content = Vec::new();
    let most = (HEAD_BYTES + CODE_BYTES_MAX) as u64 + 1;
    io::Read::by_ref(&mut file).take(most).read_to_end(&mut content)?;
    let Some((head, code)) = content.split_at_checked(HEAD_BYTES) else {
        return Ok(None);
    };
    let whole = head[..8] == MAGIC[..]
        && head[8..40] == key.0
        && head[40..48] == (code.len() as u64).to_le_bytes()
        && head[48..] == Sha256::digest(code)[..];
    Ok(whole.then(|| Bytes::from(content).slice(HEAD_BYTES..)))
}

/// The writing thread: ends when its store is dropped or has another directory.
fn write_all(queue: &Receiver<(PathBuf, CodeKey, Bytes)>) {
    for (directory, key, code) in queue {
        if let Err(error) = write(&directory, &key, &code) {
            tracing::debug!(directory = %directory.display(), %error, "compiled code is not kept on disk");
        }
    }
}

fn write(directory: &Path, key: &CodeKey, code: &[u8]) -> io::Result<()> {
    // Nobody else may put code there.
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let place = directory.join(file_name(key));
    let part = directory.join(format!("{key}-{}{PART_SUFFIX}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        file.write_all(MAGIC)?;
        file.write_all(&key.0)?;
        file.write_all(&(code.len() as u64).to_le_bytes())?;
        file.write_all(&Sha256::digest(code))?;
        file.write_all(code)?;
        // Not synced: half a file is found out when it is read.
        fs::rename(&part, &place)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::{Duration, Instant};

    const MEMORY: u64 = 1 << 20;

    fn key(n: u8) -> CodeKey {
        CodeKey([n; 32])
    }

    fn code(n: u8, len: usize) -> Bytes {
        vec![n; len].into()
    }

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("atoll-code-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }

        fn store(&self, bytes_max: u64) -> Arc<CodeStore> {
            let store = CodeStore::in_memory(MEMORY);
            store.keep_in(&self.0, bytes_max).unwrap();
            store
        }

        fn file(&self, n: u8) -> PathBuf {
            self.0.join(file_name(&key(n)))
        }

        /// Waits for the writing thread.
        fn wait_for(&self, n: u8) {
            let begin = Instant::now();
            while !self.file(n).exists() {
                assert!(begin.elapsed() < Duration::from_secs(30), "{n} is not written");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn memory_holds_so_many_bytes_and_gives_up_the_longest_unused() {
        let store = CodeStore::in_memory(30);
        for n in 1..=3 {
            assert!(store.wants(&key(n)));
            store.keep(&key(n), code(n, 10));
            assert!(!store.wants(&key(n)));
        }
        assert_eq!(store.load(&key(1)), Some(code(1, 10)));
        store.keep(&key(4), code(4, 10));
        assert_eq!(store.load(&key(2)), None);
        assert_eq!(store.load(&key(1)), Some(code(1, 10)));
        // More than there is room for: nothing stays of it.
        store.keep(&key(5), code(5, 31));
        let stats = store.stats();
        assert_eq!(
            (stats.memory_bytes, stats.kept, stats.evicted, stats.missed),
            (0, 5, 5, 1)
        );
        store.keep(&key(6), Bytes::new());
        assert!(store.wants(&key(6)));
    }

    #[test]
    fn the_next_process_finds_it() {
        let directory = Directory::new("next");
        let first = directory.store(1_000);
        first.keep(&key(1), code(1, 100));
        directory.wait_for(1);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory.0), mode(&directory.file(1))), (0o700, 0o600));
        let second = directory.store(1_000);
        assert_eq!(second.stats().disk_bytes, (HEAD_BYTES + 100) as u64);
        assert_eq!(second.load(&key(1)), Some(code(1, 100)));
        assert_eq!(second.stats().memory_bytes, 100);
        // Refused: nobody gets it again, here or there.
        second.refused(&key(1));
        assert_eq!((second.load(&key(1)), second.stats().refused), (None, 1));
        assert!(!directory.file(1).exists());
        assert_eq!(directory.store(1_000).load(&key(1)), None);
    }

    #[test]
    fn whatever_is_damaged_is_absent() {
        let directory = Directory::new("damaged");
        let writer = directory.store(100_000);
        writer.keep(&key(1), code(1, 100));
        directory.wait_for(1);
        let whole = fs::read(directory.file(1)).unwrap();
        let mut cases: Vec<Vec<u8>> = (0..whole.len())
            .map(|at| {
                let mut bad = whole.clone();
                bad[at] ^= 1;
                bad
            })
            .collect();
        cases.extend((0..whole.len()).map(|len| whole[..len].to_vec()));
        cases.push([&whole[..], b"x"].concat());
        for bad in cases {
            fs::write(directory.file(1), &bad).unwrap();
            let store = directory.store(100_000);
            assert_eq!(store.load(&key(1)), None);
            assert_eq!(store.stats().damaged, 1);
            assert!(!directory.file(1).exists());
        }
        // Another key's file under this one's name.
        writer.keep(&key(2), code(2, 100));
        directory.wait_for(2);
        fs::rename(directory.file(2), directory.file(1)).unwrap();
        assert_eq!(directory.store(100_000).load(&key(1)), None);
    }

    #[test]
    fn the_directory_holds_so_many_bytes() {
        let directory = Directory::new("bound");
        let each = (HEAD_BYTES + 100) as u64;
        let store = directory.store(3 * each);
        for n in 1..=3 {
            store.keep(&key(n), code(n, 100));
            directory.wait_for(n);
            let age = Duration::from_secs(100 - u64::from(n));
            let file = File::open(directory.file(n)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        store.keep(&key(4), code(4, 100));
        directory.wait_for(4);
        assert!(!directory.file(1).exists());
        assert_eq!(store.stats().disk_bytes, 3 * each);
        // A smaller bound holds from the start, for what was used longest ago.
        let smaller = directory.store(2 * each);
        assert_eq!(smaller.stats().disk_bytes, 2 * each);
        assert!(!directory.file(2).exists() && directory.file(3).exists() && directory.file(4).exists());
        // What is no code's is nobody's business.
        fs::write(directory.0.join("notes.txt"), b"x").unwrap();
        fs::write(directory.0.join("abc.code"), b"x").unwrap();
        assert_eq!(directory.store(10 * each).stats().disk_bytes, 2 * each);
        assert!(directory.0.join("notes.txt").exists());
    }
}
