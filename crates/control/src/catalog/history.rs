//! What the catalog tells PoPs and auditors: revisions of the edge configuration, and the audit log.

use super::{Catalog, CatalogError, Result, edge};
use crate::audit::{Entry, GENESIS, Link, Verifier};
use atoll_model::edge::Digest;
use atoll_model::{BlobHash, ConfigDelta, EdgeConfig, Revision, TenantId};
use atoll_store::sql::Row;

/// How many audit entries are read at a time.
const PAGE: u64 = 5_000;

/// The newest revision and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigHead {
    /// Its number.
    pub revision: Revision,
    /// The hash over its entries.
    pub root: Digest,
}

/// An audit entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// The entry.
    pub entry: Entry,
    /// Its hash, which is chained to the one before it.
    pub hash: BlobHash,
}

const COLUMNS: &str = "number, time_ms, actor, account, action, target, detail, hash";

fn record(row: &Row) -> Result<AuditRecord> {
    Ok(AuditRecord {
        entry: Entry {
            number: row.unsigned(0)?,
            time_ms: row.unsigned(1)?,
            actor: row.text(2)?.to_owned(),
            account: row.text(3)?.to_owned(),
            action: row.text(4)?.to_owned(),
            target: row.text(5)?.to_owned(),
            detail: row.text(6)?.to_owned(),
        },
        hash: BlobHash(row.hash(7)?),
    })
}

impl Catalog {
    /// The newest revision of the edge configuration.
    pub async fn config_head(&self) -> Result<ConfigHead> {
        let head = self.read(edge::head).await?;
        Ok(ConfigHead {
            revision: head.revision,
            root: head.root,
        })
    }

    /// The newest revision, whole.
    pub async fn config(&self) -> Result<EdgeConfig> {
        self.read(edge::whole).await
    }

    /// What leads from a revision to the newest; `None` if it is the newest. [`CatalogError::NotFound`]: it is too far back
    /// (or not of this catalog), the whole configuration is needed.
    pub async fn config_since(&self, from: Revision) -> Result<Option<ConfigDelta>> {
        self.read(move |transaction| edge::since(transaction, from)).await
    }

    /// Compares every entry of the edge configuration with the rows that it is made of. For operators and campaigns: it
    /// reads all there is.
    pub async fn check(&self) -> Result<EdgeConfig> {
        self.read(edge::check).await
    }

    /// Audit entries after a number, in their order: of an account, or all.
    pub async fn audit(&self, account: Option<TenantId>, after: u64, limit: u32) -> Result<Vec<AuditRecord>> {
        self.read(move |transaction| {
            let filter = if account.is_some() { "account = $3" } else { "$3 = ''" };
            let sql = format!("SELECT {COLUMNS} FROM audit WHERE number > $1 AND {filter} ORDER BY number LIMIT $2");
            let of = account.as_ref().map_or("", TenantId::as_str);
            let rows = transaction.query(&sql, &[after.into(), limit.min(super::PAGE_MAX).into(), of.into()])?;
            rows.iter().map(record).collect()
        })
        .await
    }

    /// Audit entries before a number, the newest first: of an account, or all.
    pub async fn audit_back(&self, account: Option<TenantId>, before: u64, limit: u32) -> Result<Vec<AuditRecord>> {
        self.read(move |transaction| {
            let filter = if account.is_some() { "account = $3" } else { "$3 = ''" };
            let sql =
                format!("SELECT {COLUMNS} FROM audit WHERE number < $1 AND {filter} ORDER BY number DESC LIMIT $2");
            let of = account.as_ref().map_or("", TenantId::as_str);
            let rows = transaction.query(&sql, &[before.into(), limit.min(super::PAGE_MAX).into(), of.into()])?;
            rows.iter().map(record).collect()
        })
        .await
    }

    /// The audit log's last place: to be kept elsewhere, as the proof of everything up to it.
    pub async fn audit_head(&self) -> Result<Link> {
        self.read(|transaction| {
            let rows = transaction.query("SELECT audit_number, audit_hash FROM head WHERE one = 1", &[])?;
            let row = rows
                .first()
                .ok_or_else(|| CatalogError::Damaged("the head is missing".to_owned()))?;
            Ok(Link {
                number: row.unsigned(0)?,
                hash: BlobHash(row.hash(1)?),
            })
        })
        .await
    }

    /// Walks the whole audit log, against its own head and against places that were kept elsewhere. Gives the last place.
    pub async fn verify_audit(&self, kept: Vec<Link>) -> Result<Link> {
        self.read(move |transaction| {
            let rows = transaction.query("SELECT audit_number, audit_hash FROM head WHERE one = 1", &[])?;
            let row = rows
                .first()
                .ok_or_else(|| CatalogError::Damaged("the head is missing".to_owned()))?;
            let head = Link {
                number: row.unsigned(0)?,
                hash: BlobHash(row.hash(1)?),
            };
            let mut all = kept.clone();
            if head != GENESIS {
                all.push(head);
            }
            let mut verifier = Verifier::new(GENESIS, all);
            let mut after = 0;
            loop {
                let sql = format!("SELECT {COLUMNS} FROM audit WHERE number > $1 ORDER BY number LIMIT $2");
                let rows = transaction.query(&sql, &[after.into(), PAGE.into()])?;
                for row in &rows {
                    let AuditRecord { entry, hash } = record(row)?;
                    after = entry.number;
                    verifier.step(&entry, &hash)?;
                }
                if rows.is_empty() {
                    return Ok(verifier.finish()?);
                }
            }
        })
        .await
    }
}
