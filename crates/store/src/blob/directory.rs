//! A store of objects in a directory of this machine.
//!
//! ```text
//! FORMAT            "atoll blobs\nformat 1\n"
//! LOCK              held while the store is open
//! new/N             objects that are being written; emptied when the store is opened
//! objects/a/b/c~    the object a/b/c ("~" is in no key, so a file never stands in a directory's way)
//!
//! object:  "ATOLLB1\n"   size u64 LE   SHA-256 of the content   content
//! ```
//!
//! An object is written under `new`, synced, and renamed into its place, whose directory is synced before the answer: it is
//! there whole or not at all. The etag is the content's hash. Whole reads verify it; ranges do not.
//!
//! Work on files runs on tokio's threads for blocking work, at most [`AT_ONCE_MAX`] calls at a time. A write whose caller is
//! gone goes on to its end.

use super::{
    BlobError, BlobStore, Etag, Expect, Object, ObjectFacts, PAGE_KEYS_MAX, Page, check_key, check_prefix, check_size,
};
use crate::StoreError;
use crate::format::{lock_directory, sync_directory};
use atoll_model::BlobHash;
use bytes::Bytes;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// The newest layout that this release reads, and the one it writes.
pub const FORMAT_VERSION: u32 = 1;
/// The most calls that work on files at a time; more wait, first come first served.
pub const AT_ONCE_MAX: usize = 16;

const FORMAT_NAME: &str = "atoll blobs";
const MAGIC: &[u8; 8] = b"ATOLLB1\n";
const HEAD_BYTES: usize = 8 + 8 + 32;
/// Writes of different keys rarely wait for each other.
const STRIPES: usize = 64;

/// See the module. Clones are the same store.
#[derive(Clone)]
pub struct DirectoryStore {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    next: AtomicU64,
    /// Held from looking at what a write expects until it is in its place.
    stripes: [Mutex<()>; STRIPES],
    hasher: RandomState,
    room: Arc<Semaphore>,
    _lock: File,
}

impl std::fmt::Debug for DirectoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DirectoryStore({})", self.inner.path.display())
    }
}

impl DirectoryStore {
    /// Opens or creates the store. Blocks: for the start of a process.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        for part in [path.to_owned(), path.join("objects"), path.join("new")] {
            fs::create_dir_all(&part).map_err(|error| StoreError::io("create", &part, error))?;
        }
        let lock = lock_directory(path)?;
        check_format(path)?;
        let new = path.join("new");
        let left = fs::read_dir(&new).map_err(|error| StoreError::io("list", &new, error))?;
        for entry in left {
            // What an interrupted write left; nobody was told that it is there.
            let file = entry.map_err(|error| StoreError::io("list", &new, error))?.path();
            fs::remove_file(&file).map_err(|error| StoreError::io("remove", &file, error))?;
        }
        sync_directory(path)?;
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                next: AtomicU64::new(0),
                stripes: [const { Mutex::new(()) }; STRIPES],
                hasher: RandomState::new(),
                room: Arc::new(Semaphore::new(AT_ONCE_MAX)),
                _lock: lock,
            }),
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(&Inner) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let failed = |cause: String| BlobError::Failed {
            key: key.to_owned(),
            cause: cause.into(),
        };
        let permit = self.inner.room.clone().acquire_owned().await;
        let permit = permit.map_err(|error| failed(error.to_string()))?;
        let inner = self.inner.clone();
        let work = move || {
            let _permit = permit;
            work(&inner)
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(failed(error.to_string())))
    }
}

fn check_format(path: &Path) -> Result<(), StoreError> {
    let file = path.join("FORMAT");
    let foreign = |detail: &str| StoreError::Foreign {
        path: path.to_owned(),
        detail: detail.to_owned(),
    };
    match fs::read_to_string(&file) {
        Ok(text) => {
            let mut lines = text.lines();
            let name = lines.next();
            let format = lines
                .next()
                .and_then(|line| line.strip_prefix("format ")?.parse::<u32>().ok());
            match (name, format) {
                (Some(FORMAT_NAME), Some(FORMAT_VERSION)) => Ok(()),
                (Some(FORMAT_NAME), Some(found)) if found > FORMAT_VERSION => Err(StoreError::NewerFormat {
                    path: path.to_owned(),
                    found,
                    supported: FORMAT_VERSION,
                }),
                _ => Err(foreign("its FORMAT file is not readable")),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let objects = path.join("objects");
            let mut entries = fs::read_dir(&objects).map_err(|error| StoreError::io("list", &objects, error))?;
            if entries.next().is_some() {
                return Err(foreign("it has objects but no FORMAT file"));
            }
            let new = path.join("FORMAT.new");
            let write = || {
                let mut out = File::create(&new)?;
                write!(out, "{FORMAT_NAME}\nformat {FORMAT_VERSION}\n")?;
                out.sync_all()?;
                fs::rename(&new, &file)
            };
            write().map_err(|error| StoreError::io("write", &file, error))
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(foreign("its FORMAT file is not readable")),
        Err(error) => Err(StoreError::io("read", &file, error)),
    }
}

/// The head of an object's file.
struct Head {
    size: u64,
    hash: BlobHash,
}

impl Head {
    fn etag(&self) -> Etag {
        Etag(self.hash.to_string().into())
    }
}

impl Inner {
    fn file(&self, key: &str) -> PathBuf {
        self.path.join("objects").join(format!("{key}~"))
    }

    fn open_object(&self, key: &str) -> Result<(File, Head), BlobError> {
        let path = self.file(key);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(BlobError::NotFound { key: key.to_owned() });
            }
            Err(error) => return Err(StoreError::io("open", &path, error).into()),
        };
        let head = read_head(&mut file, key, &path)?;
        Ok((file, head))
    }

    fn facts(&self, key: &str) -> Result<ObjectFacts, BlobError> {
        let (_, head) = self.open_object(key)?;
        Ok(ObjectFacts {
            key: key.to_owned(),
            size: head.size,
            etag: Some(head.etag()),
        })
    }

    fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Object, BlobError> {
        let (mut file, head) = self.open_object(key)?;
        let path = self.file(key);
        let bytes = match range {
            None => {
                let mut bytes = Vec::with_capacity(head.size as usize);
                file.read_to_end(&mut bytes)
                    .map_err(|error| StoreError::io("read", &path, error))?;
                if bytes.len() as u64 != head.size || BlobHash::of(&bytes) != head.hash {
                    return Err(BlobError::Corrupt {
                        key: key.to_owned(),
                        detail: "its bytes do not have their hash".to_owned(),
                    });
                }
                bytes
            }
            Some(Range { start, end }) => {
                if start > end || end > head.size {
                    return Err(BlobError::Range {
                        key: key.to_owned(),
                        start,
                        end,
                        size: head.size,
                    });
                }
                let mut bytes = vec![0; (end - start) as usize];
                file.read_exact_at(&mut bytes, HEAD_BYTES as u64 + start)
                    .map_err(|error| StoreError::io("read", &path, error))?;
                bytes
            }
        };
        Ok(Object {
            bytes: bytes.into(),
            size: head.size,
            etag: head.etag(),
        })
    }

    fn put(&self, key: &str, bytes: &Bytes, expect: &Expect) -> Result<Etag, BlobError> {
        let head = Head {
            size: bytes.len() as u64,
            hash: BlobHash::of(bytes),
        };
        // A look before the work: most writes of artifacts find their blob.
        self.expected(key, expect)?;
        let new = self
            .path
            .join("new")
            .join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let written = self.write_new(&new, &head, bytes).and_then(|()| {
            let stripe = self.hasher.hash_one(key) as usize % STRIPES;
            let _held = self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner);
            self.expected(key, expect)?;
            let place = self.file(key);
            self.make_directories(&place)?;
            fs::rename(&new, &place).map_err(|error| StoreError::io("write", &place, error))?;
            // Of a key there is always a directory above.
            Ok(sync_directory(place.parent().unwrap_or(&self.path))?)
        });
        if written.is_err() {
            // It stays for the next opening to remove if it cannot be removed now.
            let _ = fs::remove_file(&new);
        }
        written.map(|()| head.etag())
    }

    fn expected(&self, key: &str, expect: &Expect) -> Result<(), BlobError> {
        let holds = match expect {
            Expect::Anything => return Ok(()),
            Expect::Absent => match self.open_object(key) {
                Err(BlobError::NotFound { .. }) => true,
                // A damaged object may be replaced: it is of no use to anybody.
                Err(BlobError::Corrupt { .. }) => true,
                Err(other) => return Err(other),
                Ok(_) => false,
            },
            Expect::Etag(etag) => match self.open_object(key) {
                Err(BlobError::NotFound { .. }) => false,
                Err(other) => return Err(other),
                Ok((_, head)) => head.etag() == *etag,
            },
        };
        if holds {
            Ok(())
        } else {
            Err(BlobError::Conflict { key: key.to_owned() })
        }
    }

    fn write_new(&self, path: &Path, head: &Head, bytes: &[u8]) -> Result<(), BlobError> {
        let write = || {
            let mut file = File::create_new(path)?;
            let mut start = Vec::with_capacity(HEAD_BYTES);
            start.extend_from_slice(MAGIC);
            start.extend_from_slice(&head.size.to_le_bytes());
            start.extend_from_slice(&head.hash.0);
            file.write_all(&start)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        Ok(write().map_err(|error| StoreError::io("write", path, error))?)
    }

    /// Makes the directories above a place, each synced into the one above it.
    fn make_directories(&self, place: &Path) -> Result<(), StoreError> {
        let mut missing = Vec::new();
        let mut at = place.parent();
        while let Some(directory) = at.filter(|directory| !directory.is_dir()) {
            missing.push(directory);
            at = directory.parent();
        }
        for directory in missing.into_iter().rev() {
            match fs::create_dir(directory) {
                Ok(()) => {}
                // A write of another key was quicker. Its sync may not be over, so ours follows all the same.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StoreError::io("create", directory, error)),
            }
            sync_directory(directory.parent().unwrap_or(&self.path))?;
        }
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), BlobError> {
        let stripe = self.hasher.hash_one(key) as usize % STRIPES;
        let _held = self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.file(key);
        match fs::remove_file(&place) {
            Ok(()) => Ok(sync_directory(place.parent().unwrap_or(&self.path))?),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
            Err(error) => Err(StoreError::io("remove", &place, error).into()),
        }
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page, BlobError> {
        let mut page = Page::default();
        let root = self.path.join("objects").join(prefix);
        self.walk(&root, prefix, after, limit, &mut page)?;
        Ok(page)
    }

    /// Keys below a directory in the order of their bytes: a directory stands where its name with a slash would.
    fn walk(
        &self,
        directory: &Path,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        page: &mut Page,
    ) -> Result<(), BlobError> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
            Err(error) => return Err(StoreError::io("list", directory, error).into()),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| StoreError::io("list", directory, error))?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            match name.strip_suffix('~') {
                Some(name) => names.push(name.to_owned()),
                None => names.push(format!("{name}/")),
            }
        }
        names.sort_unstable();
        for name in names {
            if page.more {
                break;
            }
            let key = format!("{prefix}{name}");
            if name.ends_with('/') {
                // All of it comes before `after` unless that begins with it or comes before it.
                let past = after.is_some_and(|after| key.as_str() < after && !after.starts_with(&key));
                if !past {
                    self.walk(&directory.join(&name), &key, after, limit, page)?;
                }
            } else if after.is_none_or(|after| key.as_str() > after) {
                if page.objects.len() == limit {
                    page.more = true;
                    break;
                }
                match self.facts(&key) {
                    Ok(facts) => page.objects.push(facts),
                    // Removed since the directory was read.
                    Err(BlobError::NotFound { .. }) => {}
                    Err(other) => return Err(other),
                }
            }
        }
        Ok(())
    }
}

fn read_head(file: &mut File, key: &str, path: &Path) -> Result<Head, BlobError> {
    let corrupt = |detail: &str| BlobError::Corrupt {
        key: key.to_owned(),
        detail: detail.to_owned(),
    };
    let mut head = [0; HEAD_BYTES];
    match file.read_exact(&mut head) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(corrupt("its file is too short")),
        Err(error) => return Err(StoreError::io("read", path, error).into()),
    }
    let Some(rest) = head.strip_prefix(MAGIC) else {
        return Err(corrupt("its file begins with something else"));
    };
    let (size, hash) = rest.split_at(8);
    // Both halves have their lengths: the head is an array of 48 bytes, split at 8 and 16.
    let head = Head {
        size: u64::from_le_bytes(size.try_into().unwrap()),
        hash: BlobHash(hash.try_into().unwrap()),
    };
    let found = file
        .metadata()
        .map_err(|error| StoreError::io("look at", path, error))?
        .len();
    if found.checked_sub(HEAD_BYTES as u64) != Some(head.size) {
        return Err(corrupt("its file is not as long as it says"));
    }
    Ok(head)
}

#[async_trait::async_trait]
impl BlobStore for DirectoryStore {
    async fn put(&self, key: &str, bytes: Bytes, expect: Expect) -> Result<Etag, BlobError> {
        check_key(key)?;
        check_size(&bytes)?;
        let name = key.to_owned();
        self.blocking(key, move |inner| inner.put(&name, &bytes, &expect)).await
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Object, BlobError> {
        check_key(key)?;
        let name = key.to_owned();
        self.blocking(key, move |inner| inner.get(&name, range)).await
    }

    async fn head(&self, key: &str) -> Result<ObjectFacts, BlobError> {
        check_key(key)?;
        let name = key.to_owned();
        self.blocking(key, move |inner| inner.facts(&name)).await
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        check_key(key)?;
        let name = key.to_owned();
        self.blocking(key, move |inner| inner.delete(&name)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page, BlobError> {
        check_prefix(prefix)?;
        let (start, after) = (prefix.to_owned(), after.map(str::to_owned));
        let limit = limit.min(PAGE_KEYS_MAX);
        self.blocking(prefix, move |inner| inner.list(&start, after.as_deref(), limit))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::{blob_key, contract, get_blob, put_blob};
    use super::*;

    fn store() -> (tempfile::TempDir, DirectoryStore) {
        let temp = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(temp.path()).unwrap();
        (temp, store)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_keeps_the_contract() {
        let mut temps = Vec::new();
        contract::run(contract::Nesting::Below, async || {
            let (temp, store) = store();
            temps.push(temp);
            Arc::new(store) as Arc<dyn BlobStore>
        })
        .await;
    }

    #[tokio::test]
    async fn damage_is_told_and_a_damaged_blob_can_be_stored_again() {
        let (temp, store) = store();
        let hash = put_blob(&store, Bytes::from_static(b"some bytes")).await.unwrap();
        let file = temp.path().join(format!("objects/{}~", blob_key(&hash)));
        let whole = fs::read(&file).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&file, &damaged).unwrap();
            let error = get_blob(&store, &hash).await.unwrap_err();
            assert!(matches!(error, BlobError::Corrupt { .. }), "byte {at}: {error}");
            fs::write(&file, &whole[..at]).unwrap();
            let error = get_blob(&store, &hash).await.unwrap_err();
            assert!(matches!(error, BlobError::Corrupt { .. }), "cut at {at}: {error}");
        }
        put_blob(&store, Bytes::from_static(b"some bytes")).await.unwrap();
        assert_eq!(get_blob(&store, &hash).await.unwrap(), "some bytes");
    }

    #[tokio::test]
    async fn what_was_being_written_is_removed_and_one_process_has_the_store() {
        let (temp, store) = store();
        assert!(matches!(
            DirectoryStore::open(temp.path()),
            Err(StoreError::Locked { .. })
        ));
        store.put("a", "1".into(), Expect::Anything).await.unwrap();
        drop(store);
        fs::write(temp.path().join("new/7"), "half").unwrap();
        let store = DirectoryStore::open(temp.path()).unwrap();
        assert_eq!(fs::read_dir(temp.path().join("new")).unwrap().count(), 0);
        assert_eq!(store.get("a", None).await.unwrap().bytes, "1");
        drop(store);
        fs::write(temp.path().join("FORMAT"), "atoll blobs\nformat 2\n").unwrap();
        assert!(matches!(
            DirectoryStore::open(temp.path()),
            Err(StoreError::NewerFormat { found: 2, .. })
        ));
    }
}
