//! A simulated disk: a keyspace in memory that loses, when it crashes, what it had not synced.
//!
//! Everything is deterministic: no threads, no clock, the seed alone decides what survives. The driver says when the disk
//! syncs ([`SimDisk::sync`]) or lets every commit sync at once ([`SimDisk::set_auto_sync`]). Like the store on disk, it
//! answers a commit only when it is durable and shows it to readers only then. What is unsynced at a crash survives in
//! part: a seeded prefix of the commits, each whole or not at all, as a journal with checksums does it.

use crate::StoreError;
use crate::group::Group;
use crate::keyspace::{Batch, CommitSeq, Keyspace, Page, Reply, Scan, check_key, fill_page};
use atoll_stdx::SplitMix64;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::oneshot;

/// A disk that outlives the processes using it. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    rng: SplitMix64,
    durable: BTreeMap<Bytes, Bytes>,
    seq: u64,
    unsynced: VecDeque<Unsynced>,
    /// Which opening of the disk is the current one; handles of earlier ones are dead.
    epoch: u64,
    open: bool,
    auto_sync: bool,
    full: bool,
    fail_next_sync: bool,
}

#[derive(Debug)]
struct Unsynced {
    batch: Batch,
    answer: oneshot::Sender<Result<CommitSeq, StoreError>>,
}

impl SimDisk {
    /// An empty disk. Commits wait for [`Self::sync`].
    pub fn new(seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                rng: SplitMix64::new(seed),
                durable: BTreeMap::new(),
                seq: 0,
                unsynced: VecDeque::new(),
                epoch: 0,
                open: false,
                auto_sync: false,
                full: false,
                fail_next_sync: false,
            })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Opens the disk.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while a handle of the last opening has neither been dropped nor crashed.
    pub fn open(&self) -> Result<SimKeyspace, StoreError> {
        let mut state = self.lock();
        if state.open {
            return Err(StoreError::Locked {
                path: "simulated disk".into(),
                holder: None,
            });
        }
        state.open = true;
        state.epoch += 1;
        let handle = Handle {
            disk: self.clone(),
            epoch: state.epoch,
        };
        drop(state);
        Ok(SimKeyspace {
            handle: Arc::new(handle),
        })
    }

    /// Makes everything written so far durable and readable, then answers its writers. Returns how many commits.
    pub fn sync(&self) -> usize {
        self.lock().sync()
    }

    /// With `true` each commit syncs at once.
    pub fn set_auto_sync(&self, on: bool) {
        self.lock().auto_sync = on;
    }

    /// With `true` commits are refused for want of room.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// The next sync fails: its writers are told that it is unknown whether they are stored, and the store closes itself.
    pub fn fail_next_sync(&self) {
        self.lock().fail_next_sync = true;
    }

    /// How many commits are written but not synced.
    pub fn unsynced(&self) -> usize {
        self.lock().unsynced.len()
    }

    /// The process dies and the power fails: handles are dead, nobody waiting is answered, a prefix of the unsynced
    /// commits survives. Returns how many commits were lost.
    pub fn crash(&self) -> usize {
        let mut state = self.lock();
        state.open = false;
        state.epoch += 1;
        let waiting = state.unsynced.len() as u64;
        let surviving = state.rng.below(waiting + 1) as usize;
        let batches: Vec<Batch> = state.unsynced.drain(..).map(|unsynced| unsynced.batch).collect();
        let lost = batches.len() - surviving;
        for batch in batches.into_iter().take(surviving) {
            // One that did not meet its expectations was never written.
            let _ = state.apply(vec![batch]);
        }
        state.fail_next_sync = false;
        lost
    }
}

impl State {
    fn sync(&mut self) -> usize {
        let waiting: Vec<Unsynced> = self.unsynced.drain(..).collect();
        if waiting.is_empty() {
            return 0;
        }
        if std::mem::take(&mut self.fail_next_sync) {
            // Some of it may have reached the disk: the same rule as for a crash decides.
            let surviving = self.rng.below(waiting.len() as u64 + 1) as usize;
            let count = waiting.len();
            for (index, Unsynced { batch, answer }) in waiting.into_iter().enumerate() {
                if index < surviving {
                    let _ = self.apply(vec![batch]);
                }
                let _ = answer.send(Err(StoreError::WriteFailed {
                    cause: "a simulated sync failed".into(),
                }));
            }
            // Dead, and still locked: only a crash and a new opening go on.
            self.epoch += 1;
            return count;
        }
        let (batches, answers): (Vec<_>, Vec<_>) = waiting.into_iter().map(|w| (w.batch, w.answer)).unzip();
        let results = self.apply(batches);
        let count = answers.len();
        for (answer, result) in answers.into_iter().zip(results) {
            let _ = answer.send(result);
        }
        count
    }

    /// Applies batches as one group.
    fn apply(&mut self, batches: Vec<Batch>) -> Vec<Result<CommitSeq, StoreError>> {
        let mut group = Group::default();
        let added: Vec<Result<(), StoreError>> = batches
            .into_iter()
            .map(|batch| group.add(batch, |key| Ok(self.durable.get(key).cloned())))
            .collect();
        if !group.is_empty() {
            self.seq += 1;
        }
        for (key, value) in group.changes() {
            match value {
                Some(value) => self.durable.insert(key.clone(), value.clone()),
                None => self.durable.remove(key),
            };
        }
        added
            .into_iter()
            .map(|result| result.map(|()| CommitSeq(self.seq)))
            .collect()
    }
}

/// One opening of a [`SimDisk`]. Clones share it; dropping the last one syncs and closes it, as an orderly end does.
#[derive(Debug, Clone)]
pub struct SimKeyspace {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    disk: SimDisk,
    epoch: u64,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.disk.lock();
        if state.epoch == self.epoch {
            state.sync();
            state.open = false;
        }
    }
}

impl Handle {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> Reply<T>) -> Reply<T> {
        let mut state = self.disk.lock();
        if state.epoch != self.epoch {
            return Reply::ready(Err(StoreError::closed("the simulated machine has crashed")));
        }
        work(&mut state)
    }
}

impl Keyspace for SimKeyspace {
    fn get(&self, key: &[u8]) -> Reply<Option<Bytes>> {
        if let Err(error) = check_key(key) {
            return Reply::ready(Err(error));
        }
        self.handle
            .with(|state| Reply::ready(Ok(state.durable.get(key).cloned())))
    }

    fn get_many(&self, keys: Vec<Bytes>) -> Reply<Vec<Option<Bytes>>> {
        if let Err(error) = keys.iter().try_for_each(|key| check_key(key)) {
            return Reply::ready(Err(error));
        }
        self.handle
            .with(|state| Reply::ready(Ok(keys.iter().map(|key| state.durable.get(key).cloned()).collect())))
    }

    fn scan(&self, scan: Scan) -> Reply<Page> {
        self.handle.with(|state| {
            if scan.is_empty_range() {
                return Reply::ready(Ok(Page::default()));
            }
            let range = state.durable.range::<Bytes, _>((scan.start.clone(), scan.end.clone()));
            let entries = range.map(|(key, value)| Ok::<_, Infallible>((key.clone(), value.clone())));
            let Ok(page) = fill_page(&scan, entries);
            Reply::ready(Ok(page))
        })
    }

    fn commit(&self, batch: Batch) -> Reply<CommitSeq> {
        if let Err(error) = batch.check() {
            return Reply::ready(Err(error));
        }
        self.handle.with(|state| {
            if state.full {
                return Reply::ready(Err(StoreError::DiskFull {
                    path: "simulated disk".into(),
                    available: 0,
                    reserve: 0,
                }));
            }
            let (answer, receiver) = oneshot::channel();
            state.unsynced.push_back(Unsynced { batch, answer });
            if state.auto_sync {
                state.sync();
            }
            Reply::waiting(receiver)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;
    use crate::contract::{self, Opening, Subject};

    struct Simulated {
        disk: SimDisk,
    }

    impl Subject for Simulated {
        fn fresh(&mut self) -> Opening<'_> {
            self.disk = SimDisk::new(1);
            self.disk.set_auto_sync(true);
            Box::pin(async { Arc::new(self.disk.open().unwrap()) as Arc<dyn Keyspace> })
        }

        fn reopen(&mut self, keyspace: Arc<dyn Keyspace>) -> Opening<'_> {
            drop(keyspace);
            Box::pin(async { Arc::new(self.disk.open().unwrap()) as Arc<dyn Keyspace> })
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_keeps_the_contract() {
        contract::run(&mut Simulated { disk: SimDisk::new(0) }).await;
    }

    fn put(keyspace: &SimKeyspace, key: u64, value: u64) -> Reply<CommitSeq> {
        let mut batch = Batch::new();
        // Two keys each, so that half a commit would show.
        batch
            .put(format!("a{key}"), value.to_string())
            .put(format!("b{key}"), value.to_string());
        keyspace.commit(batch)
    }

    /// Many seeds of write, sync and crash: what was acknowledged is there, nothing is half there, and what was not
    /// acknowledged survives as a prefix.
    #[tokio::test]
    async fn crashes_lose_only_what_was_not_acknowledged() {
        let (mut lost, mut survived) = (0, 0);
        for seed in 0..500 {
            let mut rng = SplitMix64::new(seed);
            let disk = SimDisk::new(seed);
            let mut acknowledged = 0;
            let mut written = 0;
            for _ in 0..5 {
                let keyspace = disk.open().unwrap();
                let mut waiting = Vec::new();
                for _ in 0..rng.below(30) {
                    if rng.below(5) == 0 {
                        disk.sync();
                        for (number, reply) in waiting.drain(..) {
                            let reply: Reply<CommitSeq> = reply;
                            reply.await.unwrap();
                            acknowledged = number;
                        }
                    } else {
                        waiting.push((written, put(&keyspace, 0, written)));
                        written += 1;
                    }
                }
                let unsynced = waiting.len();
                let gone = disk.crash();
                lost += gone;
                survived += unsynced - gone;
                for (_, reply) in waiting {
                    assert!(matches!(reply.await, Err(StoreError::Closed { .. })));
                }
                assert!(matches!(keyspace.get(b"a0").await, Err(StoreError::Closed { .. })));
                drop(keyspace);
                let keyspace = disk.open().unwrap();
                let a = keyspace.get(b"a0").await.unwrap();
                assert_eq!(a, keyspace.get(b"b0").await.unwrap(), "seed {seed}");
                if let Some(value) = a {
                    let value: u64 = std::str::from_utf8(&value).unwrap().parse().unwrap();
                    assert!(value >= acknowledged && value < written, "seed {seed}");
                    // From here on it is the state to be kept.
                    acknowledged = value;
                } else {
                    assert_eq!(acknowledged, 0, "seed {seed}");
                }
            }
        }
        assert!(lost > 100 && survived > 100, "lost {lost}, survived {survived}");
    }

    #[tokio::test]
    async fn unsynced_writes_are_neither_answered_nor_seen() {
        let disk = SimDisk::new(1);
        let keyspace = disk.open().unwrap();
        let mut reply = put(&keyspace, 0, 7);
        assert!(
            tokio::time::timeout(std::time::Duration::from_millis(1), &mut reply)
                .await
                .is_err()
        );
        assert_eq!(keyspace.get(b"a0").await.unwrap(), None);
        let scan = Scan::prefix(b"a", 1).filtered(Arc::new(|_: &[u8], _: &[u8]| Verdict::Keep));
        assert_eq!(keyspace.scan(scan).await.unwrap(), Page::default());
        assert_eq!((disk.unsynced(), disk.sync()), (1, 1));
        assert_eq!(reply.await.unwrap(), CommitSeq(1));
        assert!(keyspace.get(b"a0").await.unwrap().is_some());
        assert!(matches!(disk.open(), Err(StoreError::Locked { .. })));
    }

    #[tokio::test]
    async fn a_failed_sync_is_told_and_closes_the_store() {
        let disk = SimDisk::new(3);
        let keyspace = disk.open().unwrap();
        let reply = put(&keyspace, 0, 7);
        disk.fail_next_sync();
        disk.sync();
        assert!(matches!(reply.await, Err(StoreError::WriteFailed { .. })));
        assert!(matches!(put(&keyspace, 0, 8).await, Err(StoreError::Closed { .. })));
        drop(keyspace);
        disk.crash();
        let keyspace = disk.open().unwrap();
        assert_eq!(keyspace.get(b"a0").await.unwrap(), keyspace.get(b"b0").await.unwrap());
    }
}
