//! What clients of Cloudflare's API need kept beside the catalog's own rows: which of their asset hashes is which blob,
//! uploads of assets that are under way, and what of an upload has no place in an artifact.
//!
//! Nothing of it reaches the edge: an asset's hash only saves an upload, and the facts are shown again to whoever asks. So
//! these rows are written without an audit entry, but for a worker's settings, which are a change like any other.

use super::change::Action;
use super::versions::of;
use super::{Caller, Catalog, CatalogError, Done, Result};
use atoll_model::{BlobHash, TenantId, WorkerName};
use atoll_store::sql::{Migration, Row, Transaction, Value};
use std::collections::{BTreeMap, HashMap, HashSet};
use zeroize::Zeroizing;

/// Rows of a statement that names many: well below what either database takes as parameters.
const ROWS_PER_STATEMENT: usize = 500;

macro_rules! tables {
    (text $text:literal, int $int:literal, blob $blob:literal, strict $strict:literal) => {
        concat!(
            "CREATE TABLE cf_assets (account ",
            $text,
            " NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
                hash ",
            $text,
            " NOT NULL, blob ",
            $blob,
            " NOT NULL, size ",
            $int,
            " NOT NULL,
                PRIMARY KEY (account, hash))",
            $strict,
            ";
            CREATE TABLE cf_uploads (id ",
            $text,
            " PRIMARY KEY,
                account ",
            $text,
            " NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
                worker ",
            $text,
            " NOT NULL, manifest ",
            $text,
            " NOT NULL, expires_ms ",
            $int,
            " NOT NULL)",
            $strict,
            ";
            CREATE INDEX cf_uploads_expires ON cf_uploads (expires_ms);
            CREATE TABLE cf_upload_left (upload ",
            $text,
            " NOT NULL REFERENCES cf_uploads (id) ON DELETE CASCADE,
                hash ",
            $text,
            " NOT NULL, size ",
            $int,
            " NOT NULL, PRIMARY KEY (upload, hash))",
            $strict,
            ";
            CREATE TABLE cf_artifacts (account ",
            $text,
            " NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
                worker ",
            $text,
            " NOT NULL, artifact ",
            $blob,
            " NOT NULL, facts ",
            $text,
            " NOT NULL,
                PRIMARY KEY (account, worker, artifact))",
            $strict,
            ";
            CREATE TABLE cf_workers (account ",
            $text,
            " NOT NULL, worker ",
            $text,
            " NOT NULL,
                settings ",
            $text,
            " NOT NULL, PRIMARY KEY (account, worker),
                FOREIGN KEY (account, worker) REFERENCES workers (account, name) ON DELETE CASCADE)",
            $strict
        )
    };
}

/// The tables.
pub(super) const TABLES: Migration = Migration {
    number: 9,
    name: "cloudflare",
    sqlite: tables!(text "TEXT", int "INTEGER", blob "BLOB", strict " STRICT"),
    postgres: tables!(text "TEXT COLLATE \"C\"", int "BIGINT", blob "BYTEA", strict ""),
};

/// An asset as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetHash {
    /// The client's hash: 32 hexadecimal digits.
    pub hash: String,
    /// Bytes.
    pub size: u64,
}

/// An upload of assets that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetUpload {
    /// Whose.
    pub account: TenantId,
    /// For which worker.
    pub worker: WorkerName,
    /// The client's manifest, as JSON.
    pub manifest: String,
}

/// `$first`, ... for so many parameters.
fn places(first: usize, count: usize) -> String {
    let names: Vec<String> = (first..first + count).map(|at| format!("${at}")).collect();
    names.join(", ")
}

fn known(
    transaction: &mut dyn Transaction,
    account: &TenantId,
    hashes: &[String],
) -> Result<HashMap<String, (BlobHash, u64)>> {
    let mut found = HashMap::new();
    for hashes in hashes.chunks(ROWS_PER_STATEMENT) {
        let sql = format!(
            "SELECT hash, blob, size FROM cf_assets WHERE account = $1 AND hash IN ({})",
            places(2, hashes.len())
        );
        let mut parameters: Vec<Value> = vec![account.as_str().into()];
        parameters.extend(hashes.iter().map(Value::from));
        for row in transaction.query(&sql, &parameters)? {
            found.insert(row.text(0)?.to_owned(), (BlobHash(row.hash(1)?), row.unsigned(2)?));
        }
    }
    Ok(found)
}

impl Catalog {
    /// A key for a purpose of its own, the same in every control plane with this catalog's master keys. The first is to be
    /// used, all are good.
    pub fn purpose_keys(&self, purpose: &str) -> Vec<Zeroizing<[u8; 32]>> {
        self.vault.purpose_keys(purpose)
    }

    /// Has some account chosen this label?
    pub async fn subdomain_taken(&self, label: String) -> Result<bool> {
        self.read(move |transaction| {
            let rows = transaction.query("SELECT 1 FROM accounts WHERE subdomain = $1", &[label.as_str().into()])?;
            Ok(!rows.is_empty())
        })
        .await
    }

    /// Begins an upload of assets: keeps its manifest until it ends and gives the hashes that the account has no blob of.
    pub async fn begin_asset_upload(
        &self,
        id: String,
        upload: AssetUpload,
        assets: Vec<AssetHash>,
        lives_ms: u64,
    ) -> Result<Vec<AssetHash>> {
        let now_ms = self.clock.now_ms();
        self.database
            .write(move |transaction| {
                transaction.execute("DELETE FROM cf_uploads WHERE expires_ms <= $1", &[now_ms.into()])?;
                let there = transaction.query(
                    "SELECT 1 FROM accounts WHERE id = $1",
                    &[upload.account.as_str().into()],
                )?;
                if there.is_empty() {
                    return Err(CatalogError::missing("account", &upload.account));
                }
                transaction.execute(
                    "INSERT INTO cf_uploads (id, account, worker, manifest, expires_ms) VALUES ($1, $2, $3, $4, $5)",
                    &[
                        id.as_str().into(),
                        upload.account.as_str().into(),
                        upload.worker.as_str().into(),
                        upload.manifest.as_str().into(),
                        now_ms.saturating_add(lives_ms).into(),
                    ],
                )?;
                let hashes: Vec<String> = assets.iter().map(|asset| asset.hash.clone()).collect();
                let known = known(transaction, &upload.account, &hashes)?;
                let mut seen = HashSet::new();
                let left: Vec<AssetHash> = assets
                    .iter()
                    .filter(|asset| !known.contains_key(&asset.hash) && seen.insert(asset.hash.as_str()))
                    .cloned()
                    .collect();
                for part in left.chunks(ROWS_PER_STATEMENT) {
                    let rows: Vec<String> = (0..part.len())
                        .map(|at| format!("($1, ${}, ${})", 2 * at + 2, 2 * at + 3))
                        .collect();
                    let sql = format!(
                        "INSERT INTO cf_upload_left (upload, hash, size) VALUES {}",
                        rows.join(", ")
                    );
                    let mut parameters: Vec<Value> = vec![id.as_str().into()];
                    for asset in part {
                        parameters.push(asset.hash.as_str().into());
                        parameters.push(asset.size.into());
                    }
                    transaction.execute(&sql, &parameters)?;
                }
                Ok(left)
            })
            .await
    }

    /// The sizes that an upload still waits for, of these hashes. [`CatalogError::NotFound`]: there is no such upload any more.
    pub async fn awaited_assets(&self, upload: String, hashes: Vec<String>) -> Result<BTreeMap<String, u64>> {
        let now_ms = self.clock.now_ms();
        self.read(move |transaction| {
            let there = transaction.query(
                "SELECT 1 FROM cf_uploads WHERE id = $1 AND expires_ms > $2",
                &[upload.as_str().into(), now_ms.into()],
            )?;
            if there.is_empty() {
                return Err(CatalogError::missing("upload of assets", &upload));
            }
            let mut sizes = BTreeMap::new();
            for hashes in hashes.chunks(ROWS_PER_STATEMENT) {
                let sql = format!(
                    "SELECT hash, size FROM cf_upload_left WHERE upload = $1 AND hash IN ({})",
                    places(2, hashes.len())
                );
                let mut parameters: Vec<Value> = vec![upload.as_str().into()];
                parameters.extend(hashes.iter().map(Value::from));
                for row in transaction.query(&sql, &parameters)? {
                    sizes.insert(row.text(0)?.to_owned(), row.unsigned(1)?);
                }
            }
            Ok(sizes)
        })
        .await
    }

    /// Notes that assets of an upload are stored. True: it waits for no more.
    pub async fn note_assets(
        &self,
        upload: String,
        account: TenantId,
        stored: Vec<(String, BlobHash, u64)>,
    ) -> Result<bool> {
        self.database
            .write(move |transaction| {
                for part in stored.chunks(ROWS_PER_STATEMENT) {
                    let rows: Vec<String> = (0..part.len())
                        .map(|at| format!("($1, ${}, ${}, ${})", 3 * at + 2, 3 * at + 3, 3 * at + 4))
                        .collect();
                    let sql = format!(
                        "INSERT INTO cf_assets (account, hash, blob, size) VALUES {}
                         ON CONFLICT (account, hash) DO UPDATE SET blob = excluded.blob, size = excluded.size",
                        rows.join(", ")
                    );
                    let mut parameters: Vec<Value> = vec![account.as_str().into()];
                    for (hash, blob, size) in part {
                        parameters.push(hash.into());
                        parameters.push(blob.0.into());
                        parameters.push((*size).into());
                    }
                    transaction.execute(&sql, &parameters)?;
                    let sql = format!(
                        "DELETE FROM cf_upload_left WHERE upload = $1 AND hash IN ({})",
                        places(2, part.len())
                    );
                    let mut parameters: Vec<Value> = vec![upload.as_str().into()];
                    parameters.extend(part.iter().map(|(hash, ..)| Value::from(hash)));
                    transaction.execute(&sql, &parameters)?;
                }
                let left = transaction.query(
                    "SELECT 1 FROM cf_upload_left WHERE upload = $1 LIMIT 1",
                    &[upload.as_str().into()],
                )?;
                Ok(left.is_empty())
            })
            .await
    }

    /// An upload of assets that has not ended.
    pub async fn asset_upload(&self, id: String) -> Result<AssetUpload> {
        let now_ms = self.clock.now_ms();
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT account, worker, manifest FROM cf_uploads WHERE id = $1 AND expires_ms > $2",
                &[id.as_str().into(), now_ms.into()],
            )?;
            let row = rows
                .first()
                .ok_or_else(|| CatalogError::missing("upload of assets", &id))?;
            Ok(AssetUpload {
                account: TenantId::new(row.text(0)?),
                worker: WorkerName::new(row.text(1)?),
                manifest: row.text(2)?.to_owned(),
            })
        })
        .await
    }

    /// The blobs of a client's hashes and their sizes, as far as they are known.
    pub async fn asset_blobs(
        &self,
        account: TenantId,
        hashes: Vec<String>,
    ) -> Result<HashMap<String, (BlobHash, u64)>> {
        self.read(move |transaction| known(transaction, &account, &hashes))
            .await
    }

    /// Forgets what a client's hashes stood for: the blob is gone, the next upload brings it again.
    pub async fn forget_assets(&self, account: TenantId, blob: BlobHash) -> Result<()> {
        self.database
            .write(move |transaction| {
                transaction.execute(
                    "DELETE FROM cf_assets WHERE account = $1 AND blob = $2",
                    &[account.as_str().into(), blob.0.into()],
                )?;
                Ok(())
            })
            .await
    }

    /// Keeps facts of an artifact (JSON) that its manifest has no place for.
    pub async fn set_artifact_facts(
        &self,
        account: TenantId,
        worker: WorkerName,
        artifact: BlobHash,
        facts: String,
    ) -> Result<()> {
        self.database
            .write(move |transaction| {
                let [account_value, worker_value] = of(&account, &worker);
                transaction.execute(
                    "INSERT INTO cf_artifacts (account, worker, artifact, facts) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (account, worker, artifact) DO UPDATE SET facts = excluded.facts",
                    &[account_value, worker_value, artifact.0.into(), facts.as_str().into()],
                )?;
                Ok(())
            })
            .await
    }

    /// The facts of artifacts, as far as any are kept.
    pub async fn artifact_facts(
        &self,
        account: TenantId,
        worker: WorkerName,
        artifacts: Vec<BlobHash>,
    ) -> Result<HashMap<BlobHash, String>> {
        self.read(move |transaction| {
            let mut facts = HashMap::new();
            for artifacts in artifacts.chunks(ROWS_PER_STATEMENT) {
                let sql = format!(
                    "SELECT artifact, facts FROM cf_artifacts WHERE account = $1 AND worker = $2 AND artifact IN ({})",
                    places(3, artifacts.len())
                );
                let mut parameters: Vec<Value> = of(&account, &worker).into();
                parameters.extend(artifacts.iter().map(|artifact| Value::from(artifact.0)));
                for row in transaction.query(&sql, &parameters)? {
                    facts.insert(BlobHash(row.hash(0)?), row.text(1)?.to_owned());
                }
            }
            Ok(facts)
        })
        .await
    }

    /// Settings of a worker (JSON) that Cloudflare's API keeps and the platform has no use for yet; empty: none.
    pub async fn client_settings(&self, account: TenantId, worker: WorkerName) -> Result<String> {
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT settings FROM cf_workers WHERE account = $1 AND worker = $2",
                &of(&account, &worker),
            )?;
            let text = |row: &Row| Ok(row.text(0)?.to_owned());
            rows.first().map_or(Ok(String::new()), text)
        })
        .await
    }

    /// Changes such settings: `edit` gets the text that is kept and gives the one that is to be. May run more than once.
    /// `migration`: the newest migration of the worker's objects is this one by then, if it was `migration.0` before.
    pub async fn edit_client_settings(
        &self,
        caller: &Caller,
        account: TenantId,
        worker: WorkerName,
        migration: Option<(Option<String>, String)>,
        mut edit: impl FnMut(&str) -> Result<String> + Send + 'static,
    ) -> Result<Done<()>> {
        let action = Action::of(&account, "worker.settings", &worker);
        self.change(caller, action, move |changing| {
            changing.need_worker(&account, &worker)?;
            let row = changing.first(
                "SELECT settings FROM cf_workers WHERE account = $1 AND worker = $2",
                &of(&account, &worker),
            )?;
            let before = row.as_ref().map_or(Ok(""), |row| row.text(0))?;
            let after = edit(before)?;
            let [account_value, worker_value] = of(&account, &worker);
            changing.execute(
                "INSERT INTO cf_workers (account, worker, settings) VALUES ($1, $2, $3)
                 ON CONFLICT (account, worker) DO UPDATE SET settings = excluded.settings",
                &[account_value, worker_value, after.as_str().into()],
            )?;
            changing.note("settings", after);
            if let Some((expected, new)) = &migration {
                let [account_value, worker_value] = of(&account, &worker);
                let moved = changing.execute(
                    "UPDATE workers SET migration_tag = $3 WHERE account = $1 AND name = $2
                        AND coalesce(migration_tag, '') = $4",
                    &[
                        account_value,
                        worker_value,
                        new.as_str().into(),
                        expected.as_deref().unwrap_or("").into(),
                    ],
                )?;
                if moved == 0 {
                    return Err(CatalogError::Conflict(format!(
                        "the newest migration of {worker} is not {:?} any more; deploy again",
                        expected.as_deref().unwrap_or("")
                    )));
                }
                changing.note("migration", new.as_str());
            }
            Ok(())
        })
        .await
    }
}
