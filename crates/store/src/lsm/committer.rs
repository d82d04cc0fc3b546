//! The group commit: one thread takes whatever batches are waiting, makes them durable with one sync, and answers each.
//!
//! There is no timer: while one group syncs, the next one gathers. A lone writer waits for its own sync only; the more
//! writers, the larger the groups. Readers see a group when it is durable, before its writers are answered.
//!
//! Failure: too little room on the disk refuses the group before anything is written, and the store goes on. A write or
//! sync that failed leaves it unknown what is stored: everybody in the group is told so, and the store takes no more
//! writes until it is reopened (after a failed fsync the kernel may have dropped the very pages it failed to write; only
//! recovery from the journal tells the truth).

use super::Shared;
use super::engine::Engine;
use crate::group::Group;
use crate::keyspace::{Batch, Op};
use crate::{CommitSeq, StoreError};
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// The most bytes that become durable with one sync, unless a single batch is larger.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What a batch costs a group beside its bytes.
const BATCH_OVERHEAD_BYTES: usize = 64;
/// What a group may need on disk for each of its bytes: the journal, the flushed table, a compaction.
const SPACE_FACTOR: u64 = 3;

/// A batch on its way to the disk.
pub(crate) struct Job {
    pub(crate) batch: Batch,
    pub(crate) bytes: usize,
    pub(crate) answer: oneshot::Sender<Result<CommitSeq, StoreError>>,
    /// Its share of the bytes that may wait; given back when the job is dropped.
    pub(crate) _permit: OwnedSemaphorePermit,
}

/// Runs until the queue is closed and empty.
pub(crate) fn run(shared: &Shared, engine: &Engine, mut last: CommitSeq) {
    loop {
        let jobs = shared
            .commits
            .pop_group(GROUP_BYTES_MAX, |job: &Job| job.bytes + BATCH_OVERHEAD_BYTES);
        if jobs.is_empty() {
            return;
        }
        if let Some(reason) = shared.failed.get() {
            for job in jobs {
                let _ = job.answer.send(Err(StoreError::Closed { reason: reason.clone() }));
            }
            continue;
        }
        last = commit_group(shared, engine, jobs, last);
    }
}

fn commit_group(shared: &Shared, engine: &Engine, jobs: Vec<Job>, last: CommitSeq) -> CommitSeq {
    let mut room = match Room::measure(shared, engine) {
        Ok(room) => room,
        Err(error) => {
            for job in jobs {
                let _ = job.answer.send(Err(error.clone()));
            }
            return last;
        }
    };
    let mut group = Group::default();
    let mut waiting = Vec::with_capacity(jobs.len());
    let mut bytes = 0;
    for job in jobs {
        let Job {
            batch,
            bytes: size,
            answer,
            _permit,
        } = job;
        let added = room
            .take(&batch, size as u64)
            .and_then(|()| group.add(batch, |key| engine.read(key)));
        match added {
            Ok(()) => {
                bytes += size as u64;
                waiting.push((answer, _permit));
            }
            // A receiver that went away has lost interest in the answer, nothing else.
            Err(error) => drop(answer.send(Err(error))),
        }
    }
    if waiting.is_empty() {
        return last;
    }
    let seq = CommitSeq(last.0 + 1);
    let result = if group.is_empty() {
        Ok(last)
    } else {
        write(shared, engine, &group, seq).map(|()| seq)
    };
    if result.is_ok() {
        shared.counters.groups.fetch_add(u64::from(!group.is_empty()), Relaxed);
        shared.counters.commits.fetch_add(waiting.len() as u64, Relaxed);
        shared.counters.bytes.fetch_add(bytes, Relaxed);
    }
    for (answer, permit) in waiting {
        // Room first: who hears that its write is done may rely on the room it gave back.
        drop(permit);
        let _ = answer.send(result.clone());
    }
    result.unwrap_or(last)
}

fn write(shared: &Shared, engine: &Engine, group: &Group, seq: CommitSeq) -> Result<(), StoreError> {
    let changes = group.changes();
    let present = shared.hot.begin(changes.keys());
    let result = engine.commit(changes, seq);
    if result.is_ok() {
        for key in present {
            let value = changes.get(&key).and_then(Option::as_ref);
            shared.hot.replace(key, value);
        }
    }
    shared.hot.end(changes.keys());
    match result {
        Ok(()) => {
            engine.mark_acknowledged(seq);
            Ok(())
        }
        Err(error) => {
            let cause = engine.error(error).to_string();
            tracing::error!(path = %engine.path().display(), %cause, "a write failed; the store takes no more writes");
            let _ = shared
                .failed
                .set(format!("an earlier write failed ({cause}); restart to recover").into());
            Err(StoreError::WriteFailed { cause: cause.into() })
        }
    }
}

/// What the disk can still take.
struct Room<'a> {
    engine: &'a Engine,
    available: u64,
    reserve: u64,
}

impl<'a> Room<'a> {
    fn measure(shared: &Shared, engine: &'a Engine) -> Result<Self, StoreError> {
        Ok(Self {
            engine,
            available: engine.available_bytes()?,
            reserve: shared.reserve_bytes.load(Relaxed),
        })
    }

    fn take(&mut self, batch: &Batch, bytes: u64) -> Result<(), StoreError> {
        // Deleting is how room is made: it may use half of the reserve.
        let only_deletes = batch.ops.iter().all(|op| matches!(op, Op::Delete(_)));
        let reserve = if only_deletes { self.reserve / 2 } else { self.reserve };
        let needed = bytes.saturating_mul(SPACE_FACTOR);
        if self.available.saturating_sub(needed) < reserve {
            return Err(StoreError::DiskFull {
                path: self.engine.path().to_owned(),
                available: self.available,
                reserve,
            });
        }
        self.available -= needed.min(self.available);
        Ok(())
    }
}
