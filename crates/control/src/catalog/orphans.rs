//! Blobs that neither a version nor the log of KV edits needs: since when, and which are about to go. What [`crate::collect`] knows from one pass to the next.
//!
//! ```text
//! needed ---- a pass finds it in no manifest ----> orphan since T ---- T + grace ----> condemned ----> gone from the store
//!    ^                                                  |                                  |
//!    +---- held (upload, or a question for it) <--------+        whoever asks for it: missing, not yet to be uploaded
//! ```
//!
//! Whoever is about to use a blob holds it first. A held blob begins its grace anew, and the grace is longer than any upload takes.

use super::{Catalog, CatalogError, Result};
use atoll_model::BlobHash;
use atoll_store::sql::Transaction;

/// How many rows are read or written at a time.
const PAGE: usize = 1_000;

fn condemned(transaction: &mut dyn Transaction, hash: &BlobHash) -> Result<Option<bool>> {
    let rows = transaction.query("SELECT condemned FROM orphans WHERE hash = $1", &[hash.0.into()])?;
    Ok(rows.first().map(|row| row.flag(0)).transpose()?)
}

impl Catalog {
    /// These blobs are about to be needed: none of them is collected within the grace. [`CatalogError::Conflict`]: one of them is
    /// being removed at this moment.
    pub async fn hold_blobs(&self, blobs: Vec<BlobHash>) -> Result<()> {
        // Mostly nothing is an orphan, and then this writes nothing.
        let some = self
            .read(|transaction| {
                Ok::<_, CatalogError>(!transaction.query("SELECT 1 FROM orphans LIMIT 1", &[])?.is_empty())
            })
            .await?;
        if !some {
            return Ok(());
        }
        for part in blobs.chunks(PAGE) {
            let part = part.to_vec();
            self.database
                .write(move |transaction| {
                    for hash in &part {
                        match condemned(transaction, hash)? {
                            None => {}
                            Some(true) => {
                                return Err(CatalogError::Conflict(format!(
                                    "blob {hash}, which nothing needed, is being removed at this moment; upload it again in a second"
                                )));
                            }
                            Some(false) => {
                                transaction.execute("DELETE FROM orphans WHERE hash = $1", &[hash.0.into()])?;
                            }
                        }
                    }
                    Ok(())
                })
                .await?;
        }
        Ok(())
    }

    /// Notes what a pass found: of these blobs of the store, which are needed and which are not.
    pub(crate) async fn note_orphans(&self, needed: Vec<BlobHash>, orphans: Vec<BlobHash>) -> Result<()> {
        let now_ms = self.clock.now_ms();
        self.database
            .write(move |transaction| {
                for hash in &needed {
                    transaction.execute(
                        "DELETE FROM orphans WHERE hash = $1 AND condemned = 0",
                        &[hash.0.into()],
                    )?;
                }
                for hash in &orphans {
                    transaction.execute(
                        "INSERT INTO orphans (hash, since_ms) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING",
                        &[hash.0.into(), now_ms.into()],
                    )?;
                }
                Ok::<_, CatalogError>(())
            })
            .await
    }

    /// Condemns orphans that have been ones since `before_ms` or longer, and gives them with those that were condemned before, at most
    /// `limit`.
    pub(crate) async fn condemn(&self, before_ms: u64, limit: usize) -> Result<Vec<BlobHash>> {
        self.database
            .write(move |transaction| {
                let rows = transaction.query(
                    "SELECT hash FROM orphans WHERE condemned = 1 OR since_ms <= $1 ORDER BY since_ms, hash LIMIT $2",
                    &[before_ms.into(), limit.into()],
                )?;
                let mut hashes = Vec::with_capacity(rows.len());
                for row in &rows {
                    let hash = BlobHash(row.hash(0)?);
                    transaction.execute("UPDATE orphans SET condemned = 1 WHERE hash = $1", &[hash.0.into()])?;
                    hashes.push(hash);
                }
                Ok::<_, CatalogError>(hashes)
            })
            .await
    }

    /// These are gone from the store.
    pub(crate) async fn forget_orphans(&self, hashes: Vec<BlobHash>) -> Result<()> {
        self.database
            .write(move |transaction| {
                for hash in &hashes {
                    transaction.execute(
                        "DELETE FROM orphans WHERE hash = $1 AND condemned = 1",
                        &[hash.0.into()],
                    )?;
                }
                Ok::<_, CatalogError>(())
            })
            .await
    }

    /// Orphans that would be condemned.
    pub(crate) async fn due_orphans(&self, before_ms: u64) -> Result<Vec<BlobHash>> {
        self.read(move |transaction| {
            let mut due = Vec::new();
            let mut after = Vec::new();
            loop {
                let rows = transaction.query(
                    "SELECT hash FROM orphans WHERE (condemned = 1 OR since_ms <= $1) AND hash > $2 ORDER BY hash LIMIT $3",
                    &[before_ms.into(), after.clone().into(), PAGE.into()],
                )?;
                for row in &rows {
                    due.push(BlobHash(row.hash(0)?));
                }
                match rows.last() {
                    Some(last) if rows.len() == PAGE => after = last.blob(0)?.to_vec(),
                    _ => return Ok(due),
                }
            }
        })
        .await
    }

    /// Blobs of values in the log of KV edits, in order and each once, after one.
    pub(crate) async fn kv_blobs(&self, after: Option<BlobHash>, limit: usize) -> Result<Vec<BlobHash>> {
        self.read(move |transaction| {
            let after = after.map_or(Vec::new(), |hash| hash.0.to_vec());
            let rows = transaction.query(
                "SELECT DISTINCT value_blob FROM kv_log WHERE value_blob > $1 ORDER BY value_blob LIMIT $2",
                &[after.into(), limit.into()],
            )?;
            rows.iter().map(|row| Ok(BlobHash(row.hash(0)?))).collect()
        })
        .await
    }

    /// Artifacts that versions need, in order and each once, after one.
    pub(crate) async fn artifacts(&self, after: Option<BlobHash>, limit: usize) -> Result<Vec<BlobHash>> {
        self.read(move |transaction| {
            let after = after.map_or(Vec::new(), |hash| hash.0.to_vec());
            let rows = transaction.query(
                "SELECT DISTINCT artifact FROM versions WHERE artifact > $1 ORDER BY artifact LIMIT $2",
                &[after.into(), limit.into()],
            )?;
            rows.iter().map(|row| Ok(BlobHash(row.hash(0)?))).collect()
        })
        .await
    }
}
