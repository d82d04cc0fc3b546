//! Secrets of workers: stored sealed, known by name and revision.
//!
//! A version has its secrets for good, so a new value makes a new version, and going back to an old version brings its
//! values back with it.

use super::change::{Action, Changing};
use super::deployments::{DeploymentKind, NewDeployment, SplitOf};
use super::versions::{KeepSecrets, NewVersion, Version, of};
use super::{Caller, Catalog, CatalogError, Done, Result};
use crate::secrets::{DataKey, SecretValue, WrappedKey};
use atoll_model::edge::{SecretRef, WEIGHT_WHOLE};
use atoll_model::{Quota, SecretName, TenantId, VersionId, WorkerName};
use atoll_store::sql::{Row, Transaction};
use serde::{Deserialize, Serialize};

/// A secret and its new value.
#[derive(Debug, Clone)]
pub struct SecretPut {
    /// Its name.
    pub name: SecretName,
    /// Its value; `None` removes it.
    pub value: Option<SecretValue>,
}

/// What is told of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretFacts {
    /// Its name.
    pub name: SecretName,
    /// Which value: counts up within the worker.
    pub revision: u64,
    /// When the value was set, milliseconds since the Unix epoch.
    pub created_ms: u64,
}

fn data_key(row: Option<&Row>, account: &TenantId, vault: &crate::secrets::Vault) -> Result<DataKey> {
    let row = row.ok_or_else(|| CatalogError::missing("account", account))?;
    let wrapped = WrappedKey {
        master: row.text(0)?.to_owned(),
        sealed: row.blob(1)?.to_vec(),
    };
    Ok(vault.data_key(account, &wrapped)?)
}

const DATA_KEY: &str = "SELECT master_key, data_key FROM accounts WHERE id = $1";

impl Changing<'_> {
    /// Applies changes to the secrets of a version that is being made.
    pub(super) fn put_secrets(
        &mut self,
        account: &TenantId,
        worker: &WorkerName,
        secrets: &mut Vec<SecretRef>,
        puts: &[SecretPut],
    ) -> Result<()> {
        if puts.is_empty() {
            return Ok(());
        }
        let row = self.first(DATA_KEY, &[account.as_str().into()])?;
        let key = data_key(row.as_ref(), account, self.vault)?;
        for put in puts {
            check_secret_name(&put.name)?;
            secrets.retain(|secret| secret.name != put.name);
            let Some(value) = &put.value else { continue };
            self.within(account, Quota::SecretBytes, value.expose().len() as u64)?;
            let numbers = self.query(
                "UPDATE workers SET next_secret = next_secret + 1 WHERE account = $1 AND name = $2 RETURNING next_secret",
                &of(account, worker),
            )?;
            let next = numbers
                .first()
                .ok_or_else(|| CatalogError::missing("worker", worker))?
                .unsigned(0)?;
            let revision = next - 1;
            let sealed = key.seal(worker, &put.name, revision, value)?;
            let now_ms = self.now_ms;
            self.execute(
                "INSERT INTO secrets (account, worker, name, revision, sealed, created_ms) VALUES ($1, $2, $3, $4, $5, $6)",
                &[
                    account.as_str().into(),
                    worker.as_str().into(),
                    put.name.as_str().into(),
                    revision.into(),
                    sealed.into(),
                    now_ms.into(),
                ],
            )?;
            secrets.push(SecretRef {
                name: put.name.clone(),
                revision,
            });
        }
        secrets.sort_by(|a, b| a.name.cmp(&b.name));
        self.within(account, Quota::Secrets, secrets.len() as u64)?;
        let names: Vec<&str> = puts.iter().map(|put| put.name.as_str()).collect();
        self.note("secrets", names);
        Ok(())
    }
}

/// A secret's name is the binding's: what can stand behind `env.`.
fn check_secret_name(name: &SecretName) -> Result<()> {
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-' | '.');
    let text = name.as_str();
    if text.is_empty() || text.len() > 255 || !text.chars().all(legal) {
        return Err(CatalogError::Invalid(format!(
            "{text:?} is no name of a secret: 1 to 255 letters, digits, _, $, - and ."
        )));
    }
    Ok(())
}

impl Catalog {
    /// Gives a worker new values of secrets, or removes some: a new version that differs from the newest in nothing else.
    /// With `deploy` it serves at once, if the newest version is the one that serves.
    #[allow(clippy::too_many_arguments)] // Each is a part of the request.
    pub async fn change_secrets(
        &self,
        caller: &Caller,
        account: TenantId,
        worker: WorkerName,
        puts: Vec<SecretPut>,
        version: VersionId,
        deploy: Option<NewDeployment>,
        message: Option<String>,
    ) -> Result<Done<Version>> {
        self.change_secrets_tagged(caller, account, worker, puts, version, deploy, message, None)
            .await
    }

    /// [`Self::change_secrets`], with a name for people for the version that comes of it.
    #[allow(clippy::too_many_arguments)] // Each is a part of the request.
    pub async fn change_secrets_tagged(
        &self,
        caller: &Caller,
        account: TenantId,
        worker: WorkerName,
        puts: Vec<SecretPut>,
        version: VersionId,
        deploy: Option<NewDeployment>,
        message: Option<String>,
        tag: Option<String>,
    ) -> Result<Done<Version>> {
        super::check_uuid("version", version.as_str())?;
        for text in [&message, &tag].into_iter().flatten() {
            super::check_text("message", text)?;
        }
        let author = caller.actor.clone();
        let action = Action::of(&account, "secret.change", &worker);
        self.change(caller, action, move |changing| {
            changing.need_worker(&account, &worker)?;
            let newest = changing.newest(&account, &worker)?;
            let newest = newest.ok_or_else(|| CatalogError::missing("version of worker", &worker))?;
            if let Some(put) = puts.iter().find(|put| {
                put.value.is_none() && !newest.secrets.iter().any(|secret| secret.name == put.name)
            }) {
                return Err(CatalogError::missing("secret", &put.name));
            }
            if deploy.is_some() {
                let serving = changing.serving(&account, &worker)?;
                if !serving.is_empty() && serving != [(newest.id.clone(), WEIGHT_WHOLE)] {
                    return Err(CatalogError::Conflict(format!(
                        "the newest version of {worker} is not the one that serves everybody; deploy it first, or change the \
                         secret without deploying and deploy the version that comes of it"
                    )));
                }
            }
            let mut secrets = newest.secrets.clone();
            changing.put_secrets(&account, &worker, &mut secrets, &puts)?;
            let new = NewVersion {
                id: version.clone(),
                artifact: newest.artifact,
                code_bytes: newest.code_bytes,
                source: newest.source.clone(),
                message: message.clone(),
                tag: tag.clone(),
                startup_ms: newest.startup_ms,
                keep: KeepSecrets::All,
                put: Vec::new(),
            };
            let stored = changing.store_version(&account, &worker, &author, &new, secrets)?;
            if let Some(deployment) = &deploy {
                let split = [SplitOf {
                    version: stored.id.clone(),
                    weight: WEIGHT_WHOLE,
                }];
                changing.store_deployment(&account, &worker, &author, DeploymentKind::Secret, &split, deployment)?;
            }
            Ok(stored)
        })
        .await
    }

    /// The secrets of the newest version: names, never values.
    pub async fn secrets(&self, account: TenantId, worker: WorkerName) -> Result<Vec<SecretFacts>> {
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT s.name, s.revision, s.created_ms FROM version_secrets v JOIN secrets s
                    ON s.account = v.account AND s.worker = v.worker AND s.name = v.name AND s.revision = v.revision
                 WHERE v.account = $1 AND v.worker = $2 AND v.version = (SELECT id FROM versions
                    WHERE account = $1 AND worker = $2 ORDER BY number DESC LIMIT 1)
                 ORDER BY s.name",
                &of(&account, &worker),
            )?;
            let facts = |row: &Row| {
                Ok(SecretFacts {
                    name: SecretName::new(row.text(0)?),
                    revision: row.unsigned(1)?,
                    created_ms: row.unsigned(2)?,
                })
            };
            rows.iter().map(facts).collect()
        })
        .await
    }

    /// The values of a version's secrets, for the PoP that starts it. No part of any API for people.
    pub async fn open_secrets(
        &self,
        account: TenantId,
        worker: WorkerName,
        version: VersionId,
    ) -> Result<Vec<(SecretRef, SecretValue)>> {
        let vault = self.vault.clone();
        self.read(move |transaction: &mut dyn Transaction| {
            let row = transaction.query(DATA_KEY, &[account.as_str().into()])?;
            let key = data_key(row.first(), &account, &vault)?;
            let [account_value, worker_value] = of(&account, &worker);
            let rows = transaction.query(
                "SELECT s.name, s.revision, s.sealed FROM version_secrets v JOIN secrets s
                    ON s.account = v.account AND s.worker = v.worker AND s.name = v.name AND s.revision = v.revision
                 WHERE v.account = $1 AND v.worker = $2 AND v.version = $3 ORDER BY s.name",
                &[account_value, worker_value, version.as_str().into()],
            )?;
            let open = |row: &Row| {
                let secret = SecretRef {
                    name: SecretName::new(row.text(0)?),
                    revision: row.unsigned(1)?,
                };
                let value = key.open(&worker, &secret.name, secret.revision, row.blob(2)?)?;
                Ok((secret, value))
            };
            rows.iter().map(open).collect()
        })
        .await
    }
}
