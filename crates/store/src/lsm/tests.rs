//! The store on disk: the contract, damage, full disks, locks, and what its reads cost.

use super::*;
use crate::contract::{self, Opening, Subject};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// Small tables and little memory, so that flushes, compactions and cold reads happen.
fn small() -> LsmOptions {
    LsmOptions {
        hot_cache_bytes: 64 << 10,
        block_cache_bytes: 1 << 20,
        memtable_bytes: 256 << 10,
        journal_bytes: 64 << 20,
        reader_threads: 2,
        background_threads: 1,
        reserve_bytes: 0,
    }
}

async fn open(path: &Path) -> LsmKeyspace {
    LsmKeyspace::open(path, small()).await.unwrap()
}

async fn put(store: &LsmKeyspace, key: &str, value: impl Into<Bytes>) -> Result<CommitSeq, StoreError> {
    let mut batch = Batch::new();
    batch.put(key.to_owned(), value);
    store.commit(batch).await
}

struct OnDisk {
    directories: Vec<tempfile::TempDir>,
    open: Option<LsmKeyspace>,
}

impl OnDisk {
    async fn open(&mut self) -> Arc<dyn Keyspace> {
        let store = open(self.directories.last().unwrap().path()).await;
        self.open = Some(store.clone());
        Arc::new(store)
    }
}

impl Subject for OnDisk {
    fn fresh(&mut self) -> Opening<'_> {
        self.directories.push(tempfile::tempdir().unwrap());
        Box::pin(self.open())
    }

    fn reopen(&mut self, keyspace: Arc<dyn Keyspace>) -> Opening<'_> {
        drop(keyspace);
        Box::pin(async {
            self.open.take().unwrap().close().await;
            self.open().await
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    contract::run(&mut OnDisk {
        directories: Vec::new(),
        open: None,
    })
    .await;
}

#[tokio::test]
async fn a_second_opening_is_refused_until_the_first_is_closed() {
    let temp = tempfile::tempdir().unwrap();
    let first = open(temp.path()).await;
    let error = LsmKeyspace::open(temp.path(), small()).await.unwrap_err();
    let expected = format!(
        "the store in {} is open in another process (pid {}); stop that process or choose another directory",
        temp.path().display(),
        std::process::id()
    );
    assert_eq!(error.to_string(), expected);
    let handle = first.clone();
    first.close().await;
    open(temp.path()).await;
    // Handles that are left say so.
    assert!(matches!(handle.get(b"k").await, Err(StoreError::Closed { .. })));
    assert!(matches!(put(&handle, "k", "v").await, Err(StoreError::Closed { .. })));
}

#[tokio::test]
async fn closing_finishes_what_is_queued() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    let replies: Vec<_> = (0..100)
        .map(|n| {
            let mut batch = Batch::new();
            batch.put(format!("k{n}"), "v");
            store.commit(batch)
        })
        .collect();
    store.close().await;
    for reply in replies {
        reply.await.unwrap();
    }
    let store = open(temp.path()).await;
    assert_eq!(store.scan(Scan::prefix(b"k", 1000)).await.unwrap().entries.len(), 100);
}

#[tokio::test]
async fn concurrent_writers_share_syncs() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    // Queued before the committer can have synced the first.
    let replies: Vec<_> = (0..1000)
        .map(|n| {
            let mut batch = Batch::new();
            batch.put(format!("k{n}"), "v");
            store.commit(batch)
        })
        .collect();
    for reply in replies {
        reply.await.unwrap();
    }
    let stats = store.stats();
    assert_eq!(stats.commits, 1000);
    assert!(stats.groups < 500, "{stats:?}");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_keeps_reads_and_recovers() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    put(&store, "k", "v").await.unwrap();
    store.set_reserve_bytes(u64::MAX);
    let error = put(&store, "k", "w").await.unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert_eq!(store.get(b"k").await.unwrap().unwrap(), "v");
    // Between the reserve and half of it there is room for deletions only.
    let available = rustix::fs::statvfs(temp.path())
        .map(|stat| stat.f_bavail * stat.f_frsize)
        .unwrap();
    store.set_reserve_bytes(available / 2 * 3);
    assert!(put(&store, "k", "w").await.is_err());
    let mut batch = Batch::new();
    batch.delete("k");
    store.commit(batch).await.unwrap();
    store.set_reserve_bytes(0);
    put(&store, "k", "w").await.unwrap();
    assert_eq!(store.get(b"k").await.unwrap().unwrap(), "w");
}

#[tokio::test]
async fn more_writers_than_the_queue_holds_wait_their_turn() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    let all = QUEUED_BYTES_MAX / PERMIT_BYTES;
    let room = store
        .shared
        .room
        .clone()
        .try_acquire_many_owned(all as u32 - 1)
        .unwrap();
    let commit = |key: &str, bytes: usize| {
        let mut batch = Batch::new();
        batch.put(key.to_owned(), vec![0; bytes]);
        store.commit(batch)
    };
    commit("small", 10).await.unwrap();
    let mut large = commit("large", 10 * PERMIT_BYTES);
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(10), &mut large)
            .await
            .is_err()
    );
    assert_eq!(store.get(b"large").await.unwrap(), None);
    drop(room);
    large.await.unwrap();
    assert_eq!(store.shared.room.available_permits(), all);
    // One that waits when the store closes is told.
    let _room = store.shared.room.clone().try_acquire_many_owned(all as u32).unwrap();
    let waiting = commit("late", 1);
    store.clone().close().await;
    assert!(matches!(waiting.await, Err(StoreError::Closed { .. })));
}

#[tokio::test]
async fn a_filter_that_panics_costs_its_own_scan_only() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path()).await;
    put(&store, "k", "v").await.unwrap();
    for _ in 0..4 {
        let scan = Scan::prefix(b"k", 1).filtered(Arc::new(|_: &[u8], _: &[u8]| panic!("the filter's own fault")));
        assert!(matches!(store.scan(scan).await, Err(StoreError::Closed { .. })));
    }
    assert_eq!(store.scan(Scan::prefix(b"k", 1)).await.unwrap().entries.len(), 1);
}

#[tokio::test]
async fn an_interrupted_creation_is_finished() {
    let temp = tempfile::tempdir().unwrap();
    // As a kill between two steps leaves it: marked, with half an engine.
    drop(Directory::open(temp.path()).unwrap());
    fs::create_dir(temp.path().join("lsm.new")).unwrap();
    fs::write(temp.path().join("lsm.new/0.jnl"), "half").unwrap();
    fs::write(temp.path().join("lsm.new/version"), "").unwrap();
    let store = open(temp.path()).await;
    put(&store, "k", "v").await.unwrap();
    assert!(!temp.path().join("lsm.new").exists());
}

#[tokio::test]
async fn a_newer_format_is_refused_and_nothing_is_changed() {
    let temp = tempfile::tempdir().unwrap();
    open(temp.path()).await.close().await;
    fs::write(temp.path().join("FORMAT"), "atoll keyspace\nformat 2\nengine other\n").unwrap();
    let before = tree(temp.path());
    let error = LsmKeyspace::open(temp.path(), small()).await.unwrap_err().to_string();
    assert!(
        error.contains("has format 2, this release reads up to 1; start the newer release"),
        "{error}"
    );
    assert_eq!(tree(temp.path()), before);
}

/// Every file but the lock and its size.
fn tree(path: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() != "LOCK" {
                files.push((entry.path(), metadata.len()));
            }
        }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    for (path, _) in tree(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        // Sparse journals: only what is written is copied, holes stay zeros.
        let bytes = fs::read(&path).unwrap();
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        fs::write(&target, &bytes[..written]).unwrap();
        fs::File::options()
            .write(true)
            .open(&target)
            .unwrap()
            .set_len(bytes.len() as u64)
            .unwrap();
    }
}

/// Damages each file of a store in turn, in several places, and opens it: the answer is an error or every acknowledged
/// value, never a panic and never a silent loss.
#[tokio::test]
async fn damage_is_told_and_loses_nothing_silently() {
    const KEYS: usize = 400;
    let origin = tempfile::tempdir().unwrap();
    let store = open(origin.path()).await;
    for n in 0..KEYS {
        // Two thousand bytes each: some end in tables, the last in the journal.
        put(&store, &format!("k{n:04}"), vec![n as u8; 2000]).await.unwrap();
    }
    store.close().await;
    let mut outcomes: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    let mut rng = atoll_stdx::SplitMix64::new(11);
    for (file, length) in tree(origin.path()) {
        let name = file.strip_prefix(origin.path()).unwrap().to_owned();
        let written = fs::read(&file)
            .unwrap()
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        for round in 0..6 {
            let temp = tempfile::tempdir().unwrap();
            copy(origin.path(), temp.path());
            let target = temp.path().join(&name);
            let mut bytes = fs::read(&target).unwrap();
            let what = match round {
                0 if length > 0 => {
                    bytes.truncate(written / 2);
                    "cut".to_owned()
                }
                1 => {
                    bytes.clear();
                    "emptied".to_owned()
                }
                _ if written > 0 => {
                    let at = rng.below(written as u64) as usize;
                    bytes[at] ^= 1 << rng.below(8);
                    format!("flipped at {at} of {written}")
                }
                _ => continue,
            };
            fs::write(&target, bytes).unwrap();
            let case = format!("{} {what}", name.display());
            let outcome = match LsmKeyspace::open(temp.path(), small()).await {
                Err(error) => format!("refused: {}", kind(&error)),
                Ok(store) => read_all(&store, KEYS)
                    .await
                    .unwrap_or_else(|loss| panic!("{case}: {loss}")),
            };
            *outcomes.entry(outcome).or_default() += 1;
        }
    }
    println!("{outcomes:#?}");
    // The test has teeth only if damage was met in all three ways.
    assert!(
        outcomes.keys().any(|outcome| outcome.starts_with("refused: Corrupt")),
        "{outcomes:?}"
    );
    assert!(
        outcomes
            .keys()
            .any(|outcome| outcome.starts_with("refused: LostCommits")),
        "{outcomes:?}"
    );
}

fn kind(error: &StoreError) -> String {
    let debug = format!("{error:?}");
    debug.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

/// Every key right, or an error; a wrong or missing value is the finding.
async fn read_all(store: &LsmKeyspace, keys: usize) -> Result<String, String> {
    let mut errors = 0;
    for n in 0..keys {
        match store.get(format!("k{n:04}").as_bytes()).await {
            Ok(Some(value)) if value == vec![n as u8; 2000] => {}
            Ok(found) => return Err(format!("k{n:04} reads as {:?}", found.map(|value| value.len()))),
            Err(_) => errors += 1,
        }
    }
    Ok(if errors == 0 {
        "intact".to_owned()
    } else {
        "opened, reads tell".to_owned()
    })
}

/// Prints what reads cost here; run with `--nocapture`. The numbers in the header of this module are from it.
#[tokio::test(flavor = "current_thread")]
async fn read_costs() {
    const ROUNDS: u32 = 2000;
    let temp = tempfile::tempdir().unwrap();
    let store = LsmKeyspace::open(temp.path(), LsmOptions::default()).await.unwrap();
    let mut batch = Batch::new();
    let keys: Vec<String> = (0..ROUNDS).map(|n| format!("key{n:08}")).collect();
    for key in &keys {
        batch.put(key.clone(), vec![1; 128]);
    }
    store.commit(batch).await.unwrap();
    for round in ["hop to a reader", "hot cache"] {
        let start = Instant::now();
        for key in &keys {
            assert_eq!(
                store.get(key.as_bytes()).await.unwrap().map(|value| value.len()),
                Some(128)
            );
        }
        println!("get, {round}: {} ns", start.elapsed().as_nanos() / u128::from(ROUNDS));
    }
    let stats = store.stats();
    assert_eq!((stats.reads, stats.hot_reads), (u64::from(ROUNDS), u64::from(ROUNDS)));
    store.close().await;
    let (engine, _) = Engine::open(temp.path(), &LsmOptions::default()).unwrap();
    let start = Instant::now();
    for key in &keys {
        assert!(engine.read(key.as_bytes()).unwrap().is_some());
    }
    println!(
        "get, engine on this thread: {} ns",
        start.elapsed().as_nanos() / u128::from(ROUNDS)
    );
}
