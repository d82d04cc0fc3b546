//! Workers and their versions.

use super::change::{Action, Changing};
use super::secrets::SecretPut;
use super::{Caller, Catalog, CatalogError, Done, Result, check_name, check_text, check_uuid};
use atoll_model::edge::SecretRef;
use atoll_model::{BlobHash, EdgeKey, Quota, SecretName, TenantId, VersionId, WorkerName};
use atoll_store::sql::{Row, Transaction, Value};
use serde::{Deserialize, Serialize};

/// Versions that the newest deployments used are kept: they are what one rolls back to.
const DEPLOYMENTS_REMEMBERED: u64 = 10;

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its name.
    pub name: WorkerName,
    /// Tells it from another of that name that was there before or after.
    pub tag: String,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Is it reached at its name below the platform's own domain?
    pub subdomain: bool,
    /// Are its versions reached at addresses of their own?
    pub previews: bool,
    /// The newest migration of its objects that was applied.
    pub migration_tag: Option<String>,
}

/// What is uploaded.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// Its id, made by the caller: a UUID ([`super::new_uuid`]).
    pub id: VersionId,
    /// The artifact's manifest.
    pub artifact: BlobHash,
    /// Bytes of its modules.
    pub code_bytes: u64,
    /// Where the upload came from: `wrangler`, `cli`, `api`.
    pub source: String,
    /// A message for people.
    pub message: Option<String>,
    /// A name for people.
    pub tag: Option<String>,
    /// How long its start took when it was tried, milliseconds.
    pub startup_ms: Option<u64>,
    /// Which secrets it has of the version before it.
    pub keep: KeepSecrets,
    /// Secrets that it gets besides.
    pub put: Vec<SecretPut>,
}

/// Which secrets a version takes over from the newest one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepSecrets {
    /// All of them.
    All,
    /// Those of these names.
    Only(Vec<SecretName>),
}

/// An immutable upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its id.
    pub id: VersionId,
    /// Counts up within the worker.
    pub number: u64,
    /// The artifact's manifest.
    pub artifact: BlobHash,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Who uploaded it.
    pub author: String,
    /// Where the upload came from.
    pub source: String,
    /// A message for people.
    pub message: Option<String>,
    /// A name for people.
    pub tag: Option<String>,
    /// Bytes of its modules.
    pub code_bytes: u64,
    /// How long its start took, milliseconds.
    pub startup_ms: Option<u64>,
    /// Its secrets: names, and which of their values.
    pub secrets: Vec<SecretRef>,
}

const VERSION_COLUMNS: &str = "id, number, artifact, created_ms, author, source, message, tag, code_bytes, startup_ms";

fn version(transaction: &mut dyn Transaction, account: &TenantId, worker: &WorkerName, row: &Row) -> Result<Version> {
    let id = VersionId::new(row.text(0)?);
    let secrets = transaction.query(
        "SELECT name, revision FROM version_secrets WHERE account = $1 AND worker = $2 AND version = $3 ORDER BY name",
        &[account.as_str().into(), worker.as_str().into(), id.as_str().into()],
    )?;
    let secret = |row: &Row| {
        Ok::<_, CatalogError>(SecretRef {
            name: SecretName::new(row.text(0)?),
            revision: row.unsigned(1)?,
        })
    };
    Ok(Version {
        id,
        number: row.unsigned(1)?,
        artifact: BlobHash(row.hash(2)?),
        created_ms: row.unsigned(3)?,
        author: row.text(4)?.to_owned(),
        source: row.text(5)?.to_owned(),
        message: row.opt_text(6)?.map(str::to_owned),
        tag: row.opt_text(7)?.map(str::to_owned),
        code_bytes: row.unsigned(8)?,
        startup_ms: row.opt_unsigned(9)?,
        secrets: secrets.iter().map(secret).collect::<Result<_>>()?,
    })
}

fn worker(row: &Row) -> Result<Worker> {
    Ok(Worker {
        name: WorkerName::new(row.text(0)?),
        tag: row.text(1)?.to_owned(),
        created_ms: row.unsigned(2)?,
        subdomain: row.flag(3)?,
        previews: row.flag(4)?,
        migration_tag: row.opt_text(5)?.map(str::to_owned),
    })
}

pub(super) fn of(account: &TenantId, worker: &WorkerName) -> [Value; 2] {
    [account.as_str().into(), worker.as_str().into()]
}

/// A page of what a worker has in a table that numbers it: the newest first, with numbers below `before`.
pub(super) fn page(
    transaction: &mut dyn Transaction,
    table: &str,
    columns: &str,
    of: [Value; 2],
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<Row>> {
    let sql = format!(
        "SELECT {columns} FROM {table} WHERE account = $1 AND worker = $2 AND number < $3 ORDER BY number DESC LIMIT $4"
    );
    let [account, worker] = of;
    let below = before.unwrap_or(u64::MAX).into();
    Ok(transaction.query(&sql, &[account, worker, below, limit.min(super::PAGE_MAX).into()])?)
}

impl Changing<'_> {
    /// The worker must exist.
    pub(super) fn need_worker(&mut self, account: &TenantId, worker: &WorkerName) -> Result<()> {
        let row = self.first(
            "SELECT 1 FROM workers WHERE account = $1 AND name = $2",
            &of(account, worker),
        )?;
        row.map(drop).ok_or_else(|| CatalogError::missing("worker", worker))
    }

    fn ensure_worker(&mut self, account: &TenantId, worker: &WorkerName, tag: &str) -> Result<()> {
        let there = self.first(
            "SELECT 1 FROM workers WHERE account = $1 AND name = $2",
            &of(account, worker),
        )?;
        if there.is_some() {
            return Ok(());
        }
        self.need_account(account)?;
        let count = self.count(
            "SELECT count(*) FROM workers WHERE account = $1",
            &[account.as_str().into()],
        )?;
        self.within(account, Quota::Workers, count + 1)?;
        let now_ms = self.now_ms;
        self.execute(
            "INSERT INTO workers (account, name, tag, created_ms) VALUES ($1, $2, $3, $4)",
            &[
                account.as_str().into(),
                worker.as_str().into(),
                tag.into(),
                now_ms.into(),
            ],
        )?;
        Ok(())
    }

    /// The newest version.
    pub(super) fn newest(&mut self, account: &TenantId, worker: &WorkerName) -> Result<Option<Version>> {
        let sql = format!(
            "SELECT {VERSION_COLUMNS} FROM versions WHERE account = $1 AND worker = $2 ORDER BY number DESC LIMIT 1"
        );
        let row = self.first(&sql, &of(account, worker))?;
        row.map(|row| version(self.transaction, account, worker, &row))
            .transpose()
    }

    /// A version by its id.
    pub(super) fn version(&mut self, account: &TenantId, worker: &WorkerName, id: &VersionId) -> Result<Version> {
        let sql = format!("SELECT {VERSION_COLUMNS} FROM versions WHERE account = $1 AND worker = $2 AND id = $3");
        let [account_value, worker_value] = of(account, worker);
        let row = self.first(&sql, &[account_value, worker_value, id.as_str().into()])?;
        let row = row.ok_or_else(|| CatalogError::missing("version", id))?;
        version(self.transaction, account, worker, &row)
    }

    /// Stores a version whose secrets are sealed already.
    pub(super) fn store_version(
        &mut self,
        account: &TenantId,
        worker: &WorkerName,
        author: &str,
        new: &NewVersion,
        secrets: Vec<SecretRef>,
    ) -> Result<Version> {
        self.make_room(account, worker)?;
        let numbers = self.query(
            "UPDATE workers SET next_version = next_version + 1 WHERE account = $1 AND name = $2 RETURNING next_version",
            &of(account, worker),
        )?;
        let number = numbers
            .first()
            .ok_or_else(|| CatalogError::missing("worker", worker))?
            .unsigned(0)?
            - 1;
        let stored = Version {
            id: new.id.clone(),
            number,
            artifact: new.artifact,
            created_ms: self.now_ms,
            author: author.to_owned(),
            source: new.source.clone(),
            message: new.message.clone(),
            tag: new.tag.clone(),
            code_bytes: new.code_bytes,
            startup_ms: new.startup_ms,
            secrets,
        };
        let made = self.execute(
            "INSERT INTO versions (account, worker, id, number, artifact, created_ms, author, source, message, tag,
                code_bytes, startup_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT (id) DO NOTHING",
            &[
                account.as_str().into(),
                worker.as_str().into(),
                stored.id.as_str().into(),
                number.into(),
                stored.artifact.0.into(),
                stored.created_ms.into(),
                author.into(),
                stored.source.as_str().into(),
                stored.message.as_deref().into(),
                stored.tag.as_deref().into(),
                stored.code_bytes.into(),
                stored.startup_ms.into(),
            ],
        )?;
        if made == 0 {
            return Err(CatalogError::exists("version", &stored.id));
        }
        for secret in &stored.secrets {
            self.execute(
                "INSERT INTO version_secrets (account, worker, version, name, revision) VALUES ($1, $2, $3, $4, $5)",
                &[
                    account.as_str().into(),
                    worker.as_str().into(),
                    stored.id.as_str().into(),
                    secret.name.as_str().into(),
                    secret.revision.into(),
                ],
            )?;
        }
        self.note("number", number);
        self.note("artifact", stored.artifact.to_string());
        // It may have an address of its own from now on, and one that made room for it none any more.
        self.touch(EdgeKey::Worker(account.clone(), worker.clone()));
        Ok(stored)
    }

    /// Removes the oldest versions that nothing of the day needs, until one more fits.
    fn make_room(&mut self, account: &TenantId, worker: &WorkerName) -> Result<()> {
        let kept = self.quota(account, Quota::Versions)?.max(1);
        let count = self.count(
            "SELECT count(*) FROM versions WHERE account = $1 AND worker = $2",
            &of(account, worker),
        )?;
        if count < kept {
            return Ok(());
        }
        let [account_value, worker_value] = of(account, worker);
        let rows = self.query(
            "SELECT v.id FROM versions v WHERE v.account = $1 AND v.worker = $2
                AND NOT EXISTS (SELECT 1 FROM aliases a
                    WHERE a.account = v.account AND a.worker = v.worker AND a.version = v.id)
                AND NOT EXISTS (SELECT 1 FROM deployment_shares s
                    WHERE s.account = v.account AND s.worker = v.worker AND s.version = v.id
                    AND s.number > (SELECT max(d.number) FROM deployments d
                        WHERE d.account = v.account AND d.worker = v.worker) - $3)
             ORDER BY v.number LIMIT $4",
            &[
                account_value,
                worker_value,
                DEPLOYMENTS_REMEMBERED.into(),
                (count + 1 - kept).into(),
            ],
        )?;
        for row in &rows {
            let version = |row: &Row| {
                Ok::<_, CatalogError>([account.as_str().into(), worker.as_str().into(), row.text(0)?.into()])
            };
            // Old deployments of it can no longer be gone back to, so they go with it.
            self.execute(
                "DELETE FROM deployments WHERE account = $1 AND worker = $2 AND number IN
                    (SELECT number FROM deployment_shares WHERE account = $1 AND worker = $2 AND version = $3)",
                &version(row)?,
            )?;
            self.execute(
                "DELETE FROM versions WHERE account = $1 AND worker = $2 AND id = $3",
                &version(row)?,
            )?;
        }
        self.execute(
            "DELETE FROM secrets WHERE account = $1 AND worker = $2 AND NOT EXISTS (SELECT 1 FROM version_secrets v
                WHERE v.account = secrets.account AND v.worker = secrets.worker AND v.name = secrets.name
                AND v.revision = secrets.revision)",
            &of(account, worker),
        )?;
        let left = count - rows.len() as u64;
        self.within(account, Quota::Versions, left + 1)
    }
}

impl Catalog {
    /// Stores a version; the first of a name makes the worker.
    pub async fn create_version(
        &self,
        caller: &Caller,
        account: TenantId,
        worker: WorkerName,
        new: NewVersion,
    ) -> Result<Done<Version>> {
        check_name("worker", worker.as_str())?;
        check_uuid("version", new.id.as_str())?;
        check_text("source", &new.source)?;
        for text in [&new.message, &new.tag].into_iter().flatten() {
            check_text("message", text)?;
        }
        let tag = super::new_hex_id()?;
        let author = caller.actor.clone();
        let action = Action::of(&account, "version.create", format!("{worker}/{}", new.id));
        self.change(caller, action, move |changing| {
            changing.ensure_worker(&account, &worker, &tag)?;
            changing.within(&account, Quota::CodeBytes, new.code_bytes)?;
            let before = changing
                .newest(&account, &worker)?
                .map_or(Vec::new(), |version| version.secrets);
            let mut secrets: Vec<SecretRef> = before
                .into_iter()
                .filter(|secret| match &new.keep {
                    KeepSecrets::All => true,
                    KeepSecrets::Only(names) => names.contains(&secret.name),
                })
                .collect();
            changing.put_secrets(&account, &worker, &mut secrets, &new.put)?;
            changing.store_version(&account, &worker, &author, &new, secrets)
        })
        .await
    }

    /// A version.
    pub async fn version(&self, account: TenantId, name: WorkerName, id: VersionId) -> Result<Version> {
        self.read(move |transaction| {
            let sql = format!("SELECT {VERSION_COLUMNS} FROM versions WHERE account = $1 AND worker = $2 AND id = $3");
            let [account_value, worker_value] = of(&account, &name);
            let rows = transaction.query(&sql, &[account_value, worker_value, id.as_str().into()])?;
            let row = rows.first().ok_or_else(|| CatalogError::missing("version", &id))?;
            version(transaction, &account, &name, row)
        })
        .await
    }

    /// Versions of a worker, the newest first, with numbers below `before`.
    pub async fn versions(
        &self,
        account: TenantId,
        name: WorkerName,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Version>> {
        self.read(move |transaction| {
            let rows = page(
                transaction,
                "versions",
                VERSION_COLUMNS,
                of(&account, &name),
                before,
                limit,
            )?;
            rows.iter()
                .map(|row| version(transaction, &account, &name, row))
                .collect()
        })
        .await
    }

    /// A worker.
    pub async fn worker(&self, account: TenantId, name: WorkerName) -> Result<Worker> {
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT name, tag, created_ms, subdomain, previews, migration_tag FROM workers
                 WHERE account = $1 AND name = $2",
                &of(&account, &name),
            )?;
            let row = rows.first().ok_or_else(|| CatalogError::missing("worker", &name))?;
            worker(row)
        })
        .await
    }

    /// Workers of an account by name, after one.
    pub async fn workers(&self, account: TenantId, after: String, limit: u32) -> Result<Vec<Worker>> {
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT name, tag, created_ms, subdomain, previews, migration_tag FROM workers
                 WHERE account = $1 AND name > $2 ORDER BY name LIMIT $3",
                &[
                    account.as_str().into(),
                    after.as_str().into(),
                    limit.min(super::PAGE_MAX).into(),
                ],
            )?;
            rows.iter().map(worker).collect()
        })
        .await
    }

    /// Says at which addresses of the platform's own a worker is reached; `None` leaves it as it is.
    pub async fn set_addresses(
        &self,
        caller: &Caller,
        account: TenantId,
        name: WorkerName,
        subdomain: Option<bool>,
        previews: Option<bool>,
    ) -> Result<Done<()>> {
        self.change(
            caller,
            Action::of(&account, "worker.addresses", &name),
            move |changing| {
                changing.need_worker(&account, &name)?;
                let [account_value, worker_value] = of(&account, &name);
                changing.execute(
                    "UPDATE workers SET subdomain = coalesce($3, subdomain), previews = coalesce($4, previews)
                 WHERE account = $1 AND name = $2",
                    &[account_value, worker_value, subdomain.into(), previews.into()],
                )?;
                changing.note("subdomain", subdomain);
                changing.note("previews", previews);
                changing.touch(EdgeKey::Worker(account.clone(), name.clone()));
                Ok(())
            },
        )
        .await
    }

    /// Removes a worker with all its versions, deployments, secrets, routes and domains.
    pub async fn delete_worker(&self, caller: &Caller, account: TenantId, name: WorkerName) -> Result<Done<()>> {
        self.change(caller, Action::of(&account, "worker.delete", &name), move |changing| {
            changing.need_worker(&account, &name)?;
            let of = of(&account, &name);
            for row in &changing.query("SELECT pattern FROM routes WHERE account = $1 AND worker = $2", &of)? {
                changing.touch(EdgeKey::Route(row.text(0)?.to_owned()));
            }
            for row in &changing.query("SELECT name FROM domains WHERE account = $1 AND worker = $2", &of)? {
                changing.touch(EdgeKey::Domain(atoll_model::DomainName::new(row.text(0)?)));
            }
            for sql in [
                "DELETE FROM routes WHERE account = $1 AND worker = $2",
                "DELETE FROM domains WHERE account = $1 AND worker = $2",
                "DELETE FROM aliases WHERE account = $1 AND worker = $2",
                "DELETE FROM deployments WHERE account = $1 AND worker = $2",
                "DELETE FROM versions WHERE account = $1 AND worker = $2",
                "DELETE FROM cf_artifacts WHERE account = $1 AND worker = $2",
                "DELETE FROM workers WHERE account = $1 AND name = $2",
            ] {
                changing.execute(sql, &of)?;
            }
            changing.touch(EdgeKey::Worker(account.clone(), name.clone()));
            Ok(())
        })
        .await
    }
}
