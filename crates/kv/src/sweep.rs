//! The removal of what has expired. Readers do not wait for it; it only gives the space back.
//!
//! It walks the expiry entries that are due, oldest first, a bounded number at a time. For each it reads the index entry: if
//! that expires at that very second, record, index entry and expiry entry go together; otherwise the expiry entry was left
//! behind by an earlier write and goes alone. Either way only if the index entry is still the one it read: a write in between
//! makes the commit fail, and the next round looks again.

use crate::keys::{EXPIRY_PREFIX, expiry_end, parse_expiry};
use crate::namespace::answer;
use crate::record::Header;
use crate::{Kv, KvError, Operation};
use atoll_stdx::TaskGroup;
use atoll_store::{Batch, Scan, StoreError};
use bytes::Bytes;
use std::ops::Bound;
use std::time::Duration;

/// The most expiry entries one round of the sweep takes.
pub const SWEEP_BATCH_MAX: usize = 500;

/// What a round of the sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Keys removed.
    pub removed: usize,
    /// Expiry entries removed that stood for nothing.
    pub stale: usize,
    /// Keys that changed under the sweep; left to the next round.
    pub changed: usize,
    /// Records that this release cannot read; left alone.
    pub unreadable: usize,
    /// Whether more is due than one round takes.
    pub more: bool,
}

impl Kv {
    /// One round: at most [`SWEEP_BATCH_MAX`] entries that are due now.
    ///
    /// # Errors
    /// [`KvError::Store`]; what was removed before it stays removed.
    pub async fn sweep(&self) -> Result<SweepReport, KvError> {
        self.sweep_after(&mut None).await
    }

    /// As [`Self::sweep`], starting after `resume` and leaving there where the next round should: so that entries nothing
    /// can be done about do not keep the sweep from the others.
    async fn sweep_after(&self, resume: &mut Option<Bytes>) -> Result<SweepReport, KvError> {
        let operation = Operation::Delete;
        let mut scan = Scan::prefix(&EXPIRY_PREFIX, SWEEP_BATCH_MAX);
        scan.end = Bound::Excluded(expiry_end(self.clock.now_secs()));
        if let Some(after) = resume.take() {
            scan = scan.after(after);
        }
        let page = answer(operation, self.keyspace.scan(scan)).await?;
        let mut report = SweepReport {
            more: page.next.is_some(),
            ..SweepReport::default()
        };
        *resume = page.next;
        for (expiry_key, _) in page.entries {
            self.sweep_one(operation, expiry_key, &mut report).await?;
        }
        Ok(report)
    }

    async fn sweep_one(&self, operation: Operation, key: Bytes, report: &mut SweepReport) -> Result<(), KvError> {
        let Some((expiration, record_key, index_key)) = parse_expiry(&key) else {
            report.unreadable += 1;
            return Ok(());
        };
        let index = answer(operation, self.keyspace.get(&index_key)).await?;
        let due = match &index {
            None => false,
            Some(entry) => match Header::decode(entry.clone()) {
                Ok((header, _)) => header.expiration == Some(expiration),
                Err(_) => {
                    report.unreadable += 1;
                    return Ok(());
                }
            },
        };
        let mut batch = Batch::new();
        batch.expect(index_key.clone(), index);
        batch.delete(key);
        if due {
            batch.delete(index_key);
            batch.delete(record_key);
        }
        match answer(operation, self.keyspace.commit(batch)).await {
            Ok(_) if due => report.removed += 1,
            Ok(_) => report.stale += 1,
            Err(KvError::Store {
                source: StoreError::Conflict,
                ..
            }) => report.changed += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Sweeps as a task of `group` until it stops: a round each `interval`, at once again while more is due.
    pub fn spawn_sweeper(&self, group: &TaskGroup, interval: Duration) {
        let (kv, stopping) = (self.clone(), group.stopping());
        group.spawn(async move {
            let mut resume = None;
            loop {
                let more = match kv.sweep_after(&mut resume).await {
                    Ok(report) => {
                        if report != SweepReport::default() {
                            tracing::debug!(?report, "swept expired keys");
                        }
                        if report.unreadable > 0 {
                            tracing::warn!(count = report.unreadable, "expired KV records this release cannot read");
                        }
                        report.more
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot sweep expired keys; trying again later");
                        false
                    }
                };
                let pause = if more { Duration::ZERO } else { interval };
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
    }
}
