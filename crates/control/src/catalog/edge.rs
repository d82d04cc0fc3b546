//! The edge configuration in the catalog: entries made from the rows, hashes of buckets, and the deltas of late revisions.

use super::{CatalogError, Result, staging};
use atoll_model::edge::{
    Alias, BUCKETS, Change, DELTA_BYTES_MAX, Digest, EdgeAccount, EdgeDomain, EdgeRoute, EdgeWorker, EntryError,
    RECENT_MAX, SHARES_MAX, SecretRef, hash,
};
use atoll_model::{
    AliasName, BlobHash, ConfigDelta, DeploymentId, DomainName, EdgeConfig, EdgeEntry, EdgeKey, Quota, Revision,
    SecretName, Share, TenantId, VersionId, WorkerName,
};
use atoll_store::sql::{Row, Transaction};
use std::collections::{BTreeMap, BTreeSet};

/// How many deltas are kept. A PoP that is further behind takes the whole configuration.
pub const REVISIONS_KEPT: u64 = 4_096;
/// How many entries are read at a time.
const PAGE: usize = 10_000;

fn damaged(what: impl ToString) -> CatalogError {
    CatalogError::Damaged(what.to_string())
}

/// The head of a new catalog.
pub(super) fn begin(transaction: &mut dyn Transaction) -> Result<()> {
    let config = EdgeConfig::default();
    transaction.execute(
        "INSERT INTO head (one, revision, root, buckets, audit_number, audit_hash) VALUES (1, 0, $1, $2, 0, $3)
         ON CONFLICT (one) DO NOTHING",
        &[config.root().0.into(), vec![0; BUCKETS * 32].into(), [0; 32].into()],
    )?;
    Ok(())
}

/// The head: revision, root, hashes of buckets.
pub(super) struct Head {
    pub revision: Revision,
    pub root: Digest,
    buckets: Vec<u8>,
}

pub(super) fn head(transaction: &mut dyn Transaction) -> Result<Head> {
    let rows = transaction.query("SELECT revision, root, buckets FROM head WHERE one = 1", &[])?;
    let row = rows.first().ok_or_else(|| damaged("the head is missing"))?;
    let buckets = row.blob(2)?.to_vec();
    if buckets.len() != BUCKETS * 32 {
        return Err(damaged("the hashes of the edge configuration have the wrong length"));
    }
    Ok(Head {
        revision: Revision(row.unsigned(0)?),
        root: BlobHash(row.hash(1)?),
        buckets,
    })
}

impl Head {
    fn set(&mut self, bucket: usize, hash: Digest) {
        self.buckets[bucket * 32..][..32].copy_from_slice(&hash.0);
    }

    fn digests(&self) -> Vec<Digest> {
        let mut digests = vec![hash::EMPTY_BUCKET; BUCKETS];
        for (digest, bytes) in digests.iter_mut().zip(self.buckets.chunks_exact(32)) {
            digest.0.copy_from_slice(bytes);
        }
        digests
    }
}

/// Brings the entries of these keys up to date; a new revision if any is another. Gives the revision that holds them.
pub(super) fn revise(
    transaction: &mut dyn Transaction,
    touched: &BTreeSet<EdgeKey>,
    now_ms: u64,
    actor: &str,
    action: &str,
) -> Result<Revision> {
    let mut head = head(transaction)?;
    let mut changes = Vec::new();
    let mut buckets = BTreeSet::new();
    for key in touched {
        let key_bytes = hash::key_bytes(key);
        let entry = derive(transaction, key)?;
        let stored = transaction.query(
            "SELECT entry FROM edge_entries WHERE key = $1",
            &[key_bytes.clone().into()],
        )?;
        let entry_bytes = entry.as_ref().map(hash::entry_bytes);
        let before = stored.first().map(|row| row.blob(0)).transpose()?;
        if before == entry_bytes.as_deref() {
            continue;
        }
        staging::note(transaction, &key_bytes, before, now_ms)?;
        let bucket = hash::bucket_of_bytes(&key_bytes);
        match entry_bytes {
            Some(bytes) => {
                let digest = hash::entry(&key_bytes, &bytes);
                transaction.execute(
                    "INSERT INTO edge_entries (key, bucket, digest, entry) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (key) DO UPDATE SET digest = excluded.digest, entry = excluded.entry",
                    &[key_bytes.into(), bucket.into(), digest.0.into(), bytes.into()],
                )?;
            }
            None => {
                transaction.execute("DELETE FROM edge_entries WHERE key = $1", &[key_bytes.into()])?;
            }
        }
        buckets.insert(bucket);
        changes.push(Change {
            key: key.clone(),
            entry,
        });
    }
    if changes.is_empty() {
        return Ok(head.revision);
    }
    for bucket in buckets {
        let rows = transaction.query("SELECT digest FROM edge_entries WHERE bucket = $1", &[bucket.into()])?;
        let digests = rows.iter().map(|row| Ok(BlobHash(row.hash(0)?)));
        head.set(bucket, hash::bucket(digests.collect::<Result<_>>()?));
    }
    let to = Revision(head.revision.0 + 1);
    let root = hash::root(&head.digests());
    let delta = ConfigDelta {
        from: head.revision,
        from_root: head.root,
        to,
        to_root: root,
        changes,
    };
    // What PoPs would refuse is refused here, before it is anything.
    delta
        .check()
        .map_err(|error| CatalogError::Invalid(error.to_string()))?;
    let bytes = delta.encode();
    if bytes.len() > DELTA_BYTES_MAX {
        return Err(CatalogError::Invalid(format!(
            "the change is too large: it makes {} bytes of edge configuration, {DELTA_BYTES_MAX} is the most at once",
            bytes.len()
        )));
    }
    transaction.execute(
        "INSERT INTO revisions (revision, created_ms, actor, action, delta) VALUES ($1, $2, $3, $4, $5)",
        &[to.0.into(), now_ms.into(), actor.into(), action.into(), bytes.into()],
    )?;
    transaction.execute(
        "DELETE FROM revisions WHERE revision <= $1",
        &[to.0.saturating_sub(REVISIONS_KEPT).into()],
    )?;
    transaction.execute(
        "UPDATE head SET revision = $1, root = $2, buckets = $3 WHERE one = 1",
        &[to.0.into(), root.0.into(), head.buckets.into()],
    )?;
    Ok(to)
}

/// What the rows say of a key.
pub(super) fn derive(transaction: &mut dyn Transaction, key: &EdgeKey) -> Result<Option<EdgeEntry>> {
    Ok(match key {
        EdgeKey::Account(account) => account_entry(transaction, account)?.map(EdgeEntry::Account),
        EdgeKey::Worker(account, worker) => worker_entry(transaction, account, worker)?.map(EdgeEntry::Worker),
        EdgeKey::Route(pattern) => {
            let rows = transaction.query(
                "SELECT account, worker FROM routes WHERE pattern = $1",
                &[pattern.as_str().into()],
            )?;
            let route = |row: &Row| {
                Ok::<_, CatalogError>(EdgeEntry::Route(EdgeRoute {
                    account: TenantId::new(row.text(0)?),
                    worker: row.opt_text(1)?.map(WorkerName::new),
                }))
            };
            rows.first().map(route).transpose()?
        }
        EdgeKey::Domain(name) => {
            let rows = transaction.query(
                "SELECT account, worker FROM domains WHERE name = $1",
                &[name.as_str().into()],
            )?;
            let domain = |row: &Row| {
                Ok::<_, CatalogError>(EdgeEntry::Domain(EdgeDomain {
                    account: TenantId::new(row.text(0)?),
                    worker: WorkerName::new(row.text(1)?),
                }))
            };
            rows.first().map(domain).transpose()?
        }
    })
}

fn account_entry(transaction: &mut dyn Transaction, account: &TenantId) -> Result<Option<EdgeAccount>> {
    let rows = transaction.query(
        "SELECT suspended, subdomain FROM accounts WHERE id = $1",
        &[account.as_str().into()],
    )?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let (suspended, subdomain) = (row.flag(0)?, row.opt_text(1)?.map(str::to_owned));
    let rows = transaction.query(
        "SELECT key, value FROM bounds WHERE account = $1 ORDER BY key",
        &[account.as_str().into()],
    )?;
    let mut limits = BTreeMap::new();
    for row in &rows {
        // Quotas are of the catalog and no PoP's business.
        if Quota::from_key(row.text(0)?).is_none() {
            limits.insert(row.text(0)?.to_owned(), row.unsigned(1)?);
        }
    }
    Ok(Some(EdgeAccount {
        suspended,
        limits,
        subdomain,
    }))
}

/// Shares as rows give them: version, weight, artifact, when the version was made, its tag.
pub(super) fn shares(
    transaction: &mut dyn Transaction,
    account: &TenantId,
    worker: &WorkerName,
    rows: &[Row],
    first: usize,
) -> Result<Vec<Share>> {
    let mut shares = Vec::with_capacity(rows.len());
    for row in rows {
        let version = row.text(first)?;
        let secrets = transaction.query(
            "SELECT name, revision FROM version_secrets WHERE account = $1 AND worker = $2 AND version = $3 ORDER BY name",
            &[account.as_str().into(), worker.as_str().into(), version.into()],
        )?;
        let secret = |row: &Row| {
            Ok::<_, CatalogError>(SecretRef {
                name: SecretName::new(row.text(0)?),
                revision: row.unsigned(1)?,
            })
        };
        shares.push(Share {
            version: VersionId::new(version),
            weight: u16::try_from(row.int(first + 1)?).map_err(|_| damaged("a weight is out of range"))?,
            artifact: BlobHash(row.hash(first + 2)?),
            secrets: secrets.iter().map(secret).collect::<Result<_>>()?,
            created_ms: row.unsigned(first + 3)?,
            tag: row.opt_text(first + 4)?.map(str::to_owned),
        });
    }
    Ok(shares)
}

fn worker_entry(
    transaction: &mut dyn Transaction,
    account: &TenantId,
    worker: &WorkerName,
) -> Result<Option<EdgeWorker>> {
    let of = || [account.as_str().into(), worker.as_str().into()];
    let rows = transaction.query(
        "SELECT w.subdomain, w.previews, d.id, d.number FROM workers w JOIN deployments d
            ON d.account = w.account AND d.worker = w.name
         WHERE w.account = $1 AND w.name = $2 ORDER BY d.number DESC LIMIT 1",
        &of(),
    )?;
    // A worker that was never deployed is not at the edge.
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let (subdomain, previews) = (row.flag(0)?, row.flag(1)?);
    let (deployment, number) = (DeploymentId::new(row.text(2)?), row.unsigned(3)?);
    let rows = transaction.query(
        "SELECT s.version, s.weight, v.artifact, v.created_ms, v.tag FROM deployment_shares s JOIN versions v
            ON v.account = s.account AND v.worker = s.worker AND v.id = s.version
         WHERE s.account = $1 AND s.worker = $2 AND s.number = $3 ORDER BY s.place",
        &[account.as_str().into(), worker.as_str().into(), number.into()],
    )?;
    let served = shares(transaction, account, worker, &rows, 0)?;
    let rows = transaction.query(
        "SELECT a.name, a.version, a.weight, v.artifact, v.created_ms, v.tag FROM aliases a JOIN versions v
            ON v.account = a.account AND v.worker = a.worker AND v.id = a.version
         WHERE a.account = $1 AND a.worker = $2 ORDER BY a.name, a.place",
        &of(),
    )?;
    let mut aliases: Vec<Alias> = Vec::new();
    for row in &rows {
        let name = row.text(0)?;
        let mut share = shares(transaction, account, worker, std::slice::from_ref(row), 1)?;
        match aliases.last_mut() {
            Some(alias) if alias.name.as_str() == name => alias.shares.append(&mut share),
            _ => aliases.push(Alias {
                name: AliasName::new(name),
                shares: share,
            }),
        }
    }
    let mut recent = Vec::new();
    if previews {
        // A few more than there are places: those that serve are left out.
        let rows = transaction.query(
            "SELECT id, CAST(0 AS BIGINT), artifact, created_ms, tag FROM versions WHERE account = $1 AND worker = $2
             ORDER BY number DESC LIMIT $3",
            &[
                account.as_str().into(),
                worker.as_str().into(),
                (RECENT_MAX + SHARES_MAX).into(),
            ],
        )?;
        recent = shares(transaction, account, worker, &rows, 0)?;
        recent.retain(|version| served.iter().all(|share| share.version != version.version));
        recent.truncate(RECENT_MAX);
    }
    let rows = transaction.query(
        "SELECT expression FROM crons WHERE account = $1 AND worker = $2 ORDER BY place",
        &of(),
    )?;
    let crons = rows
        .iter()
        .map(|row| Ok(row.text(0)?.to_owned()))
        .collect::<Result<_>>()?;
    Ok(Some(EdgeWorker {
        deployment,
        shares: served,
        aliases,
        recent,
        crons,
        subdomain,
        previews,
    }))
}

/// The whole configuration, with its hash compared.
pub(super) fn whole(transaction: &mut dyn Transaction) -> Result<EdgeConfig> {
    let head = head(transaction)?;
    let mut entries: Vec<(EdgeKey, EdgeEntry)> = Vec::new();
    let mut after: Vec<u8> = Vec::new();
    loop {
        let rows = transaction.query(
            "SELECT key, entry FROM edge_entries WHERE key > $1 ORDER BY key LIMIT $2",
            &[after.clone().into(), PAGE.into()],
        )?;
        for row in &rows {
            let unreadable = || damaged("an entry of the edge configuration cannot be read");
            let key = hash::read_key(row.blob(0)?).ok_or_else(unreadable)?;
            let entry = hash::read_entry(row.blob(1)?).ok_or_else(unreadable)?;
            entries.push((key, entry));
        }
        match rows.last() {
            Some(last) if rows.len() == PAGE => after = last.blob(0)?.to_vec(),
            _ => break,
        }
    }
    let config = EdgeConfig::from_entries(head.revision, entries).map_err(|error: EntryError| damaged(error))?;
    if config.root() != head.root {
        return Err(damaged(
            "the entries of the edge configuration are not those of its hash",
        ));
    }
    Ok(config)
}

/// What leads from a revision to the newest. `None`: it is the newest. The error is that there is no such way.
pub(super) fn since(transaction: &mut dyn Transaction, from: Revision) -> Result<Option<ConfigDelta>> {
    let head = head(transaction)?;
    if from == head.revision {
        return Ok(None);
    }
    let missing = || CatalogError::missing("way from revision", from);
    if from > head.revision || head.revision.0 - from.0 > REVISIONS_KEPT {
        return Err(missing());
    }
    let mut joined: Option<ConfigDelta> = None;
    let (mut at, mut bytes) = (from.0, 0);
    while at < head.revision.0 {
        let rows = transaction.query(
            "SELECT revision, delta FROM revisions WHERE revision > $1 ORDER BY revision LIMIT 64",
            &[at.into()],
        )?;
        for row in &rows {
            if row.unsigned(0)? != at + 1 {
                return Err(missing());
            }
            at += 1;
            bytes += row.blob(1)?.len();
            if bytes > DELTA_BYTES_MAX {
                return Err(missing());
            }
            let next = ConfigDelta::decode(row.blob(1)?).map_err(damaged)?;
            joined = Some(match joined {
                None => next,
                Some(before) => {
                    let joined = before.then(next);
                    joined.ok_or_else(|| damaged("a revision does not follow the one before it"))?
                }
            });
        }
        if rows.is_empty() {
            return Err(missing());
        }
    }
    Ok(joined)
}

/// Every key that the rows say something about.
fn keys(transaction: &mut dyn Transaction) -> Result<BTreeSet<EdgeKey>> {
    let mut keys = BTreeSet::new();
    for row in &transaction.query("SELECT id FROM accounts", &[])? {
        keys.insert(EdgeKey::Account(TenantId::new(row.text(0)?)));
    }
    for row in &transaction.query("SELECT account, name FROM workers", &[])? {
        let (account, worker) = (TenantId::new(row.text(0)?), WorkerName::new(row.text(1)?));
        keys.insert(EdgeKey::Worker(account, worker));
    }
    for row in &transaction.query("SELECT pattern FROM routes", &[])? {
        keys.insert(EdgeKey::Route(row.text(0)?.to_owned()));
    }
    for row in &transaction.query("SELECT name FROM domains", &[])? {
        keys.insert(EdgeKey::Domain(DomainName::new(row.text(0)?)));
    }
    Ok(keys)
}

/// Are the entries what the rows say, and are the hashes theirs?
pub(super) fn check(transaction: &mut dyn Transaction) -> Result<EdgeConfig> {
    let config = whole(transaction)?;
    let mut found = 0;
    for key in keys(transaction)? {
        let derived = derive(transaction, &key)?;
        if derived.as_ref() != config.get(&key).map(|entry| &**entry) {
            return Err(damaged(format!(
                "the edge configuration's entry of {key} is not what the rows say"
            )));
        }
        found += usize::from(derived.is_some());
    }
    if found != config.len() {
        return Err(damaged(
            "the edge configuration has entries of things that do not exist",
        ));
    }
    Ok(config)
}
