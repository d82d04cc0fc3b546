//! A change: the transaction that every operation which writes is made of.
//!
//! In this order: the answer to a known idempotency key ends it; the operation's own rows; the entries of the edge
//! configuration that it touched, and with them a revision; the audit entry; the answer for the key.

use super::{Catalog, CatalogError, Result, edge};
use crate::audit::{Entry, Link};
use crate::secrets::Vault;
use atoll_model::edge::EdgeKey;
use atoll_model::{BlobHash, Quota, Revision, TenantId};
use atoll_store::sql::{Row, Transaction, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How long an answer is kept for its idempotency key, milliseconds: a day.
pub const ANSWER_KEPT_MS: u64 = 24 * 60 * 60 * 1000;
/// The longest idempotency key, bytes.
pub const KEY_BYTES_MAX: usize = 255;
/// The longest actor, bytes.
const ACTOR_BYTES_MAX: usize = 255;

/// Who asks for a change.
#[derive(Debug, Clone)]
pub struct Caller {
    /// As the audit log names them: `token:ID`, `operator`, `system:PART`.
    pub actor: String,
    /// How a repetition of the request is known.
    pub idempotency: Option<Idempotency>,
}

impl Caller {
    /// A caller without an idempotency key.
    pub fn new(actor: impl Into<String>) -> Self {
        Self {
            actor: actor.into(),
            idempotency: None,
        }
    }

    /// The caller, with a key for the request whose content has this hash.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>, request: &[u8]) -> Self {
        self.idempotency = Some(Idempotency {
            key: key.into(),
            request: BlobHash::of(request),
        });
        self
    }
}

/// A key that the client made up for a request: to send the request again does it once.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The key, of the account's namespace of keys.
    pub key: String,
    /// The hash of the request: the same key with another request is refused.
    pub request: BlobHash,
}

/// A change that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done<T> {
    /// What came of it.
    pub value: T,
    /// The edge configuration's revision that holds it. PoPs that have this revision have the change.
    pub revision: Revision,
    /// It was done before, under the same idempotency key.
    pub repeated: bool,
}

/// A change under way: the transaction and what it notes.
pub(super) struct Changing<'a> {
    pub transaction: &'a mut dyn Transaction,
    pub now_ms: u64,
    pub vault: &'a Vault,
    touched: BTreeSet<EdgeKey>,
    detail: serde_json::Map<String, serde_json::Value>,
}

impl<'a> Changing<'a> {
    /// One that has not noted anything yet.
    pub fn new(transaction: &'a mut dyn Transaction, now_ms: u64, vault: &'a Vault) -> Self {
        Self {
            transaction,
            now_ms,
            vault,
            touched: BTreeSet::new(),
            detail: serde_json::Map::new(),
        }
    }
}

impl Changing<'_> {
    /// Rows of a query.
    pub fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>> {
        Ok(self.transaction.query(sql, parameters)?)
    }

    /// The first row of a query.
    pub fn first(&mut self, sql: &str, parameters: &[Value]) -> Result<Option<Row>> {
        Ok(self.query(sql, parameters)?.into_iter().next())
    }

    /// Runs a statement.
    pub fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64> {
        Ok(self.transaction.execute(sql, parameters)?)
    }

    /// The number that a query gives.
    pub fn count(&mut self, sql: &str, parameters: &[Value]) -> Result<u64> {
        let row = self.first(sql, parameters)?;
        Ok(row.map_or(Ok(0), |row| row.unsigned(0))?)
    }

    /// The edge configuration's entry of this key may be another now.
    pub fn touch(&mut self, key: EdgeKey) {
        self.touched.insert(key);
    }

    /// Something for the audit entry's detail. Never a secret.
    pub fn note(&mut self, key: &str, value: impl Into<serde_json::Value>) {
        self.detail.insert(key.to_owned(), value.into());
    }

    /// May the account have so many?
    pub fn within(&mut self, account: &TenantId, quota: Quota, found: u64) -> Result<()> {
        let limit = self.quota(account, quota)?;
        if found > limit {
            return Err(CatalogError::Quota { quota, limit, found });
        }
        Ok(())
    }

    /// The value of a quota.
    pub fn quota(&mut self, account: &TenantId, quota: Quota) -> Result<u64> {
        let row = self.first(
            "SELECT value FROM bounds WHERE account = $1 AND key = $2",
            &[account.as_str().into(), quota.key().into()],
        )?;
        Ok(row.map_or(Ok(quota.default_value()), |row| row.unsigned(0))?)
    }
}

/// What a change is, for the audit log.
#[derive(Debug, Clone)]
pub(super) struct Action {
    pub account: String,
    pub name: &'static str,
    pub target: String,
}

impl Action {
    pub fn of(account: &TenantId, name: &'static str, target: impl ToString) -> Self {
        Self {
            account: account.as_str().to_owned(),
            name,
            target: target.to_string(),
        }
    }
}

impl Catalog {
    /// Runs a change. The work may run more than once.
    pub(super) async fn change<T>(
        &self,
        caller: &Caller,
        action: Action,
        mut work: impl FnMut(&mut Changing<'_>) -> Result<T> + Send + 'static,
    ) -> Result<Done<T>>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
    {
        if caller.actor.is_empty() || caller.actor.len() > ACTOR_BYTES_MAX {
            return Err(CatalogError::Invalid("a change needs somebody who makes it".to_owned()));
        }
        if let Some(idempotency) = &caller.idempotency
            && (idempotency.key.is_empty() || idempotency.key.len() > KEY_BYTES_MAX || idempotency.key.contains('\0'))
        {
            return Err(CatalogError::Invalid(format!(
                "an idempotency key has 1 to {KEY_BYTES_MAX} bytes"
            )));
        }
        let (caller, vault, clock) = (caller.clone(), Arc::clone(&self.vault), self.clock.clone());
        let epoch = self.epoch;
        let done = self
            .database
            .write(move |transaction| {
                let mut changing = Changing::new(transaction, clock.now_ms(), &vault);
                if let Some(epoch) = epoch {
                    changing.need_epoch(epoch)?;
                }
                if let Some(done) = changing.answered(&caller, &action)? {
                    return Ok(done);
                }
                let value = work(&mut changing)?;
                changing.finish(&caller, &action, value)
            })
            .await?;
        self.revised.send_if_modified(|newest| {
            let newer = *newest < done.revision;
            if newer {
                *newest = done.revision;
            }
            newer
        });
        Ok(done)
    }
}

impl Changing<'_> {
    fn answered<T: DeserializeOwned>(&mut self, caller: &Caller, action: &Action) -> Result<Option<Done<T>>> {
        let Some(idempotency) = &caller.idempotency else {
            return Ok(None);
        };
        let now_ms = self.now_ms;
        self.execute("DELETE FROM answers WHERE expires_ms <= $1", &[now_ms.into()])?;
        let row = self.first(
            "SELECT request, answer FROM answers WHERE account = $1 AND key = $2",
            &[action.account.as_str().into(), idempotency.key.as_str().into()],
        )?;
        let Some(row) = row else { return Ok(None) };
        // The same content sent elsewhere is another request.
        if row.hash(0)? != request(idempotency, action).0 {
            return Err(CatalogError::KeyReused);
        }
        let (value, revision) = serde_json::from_str(row.text(1)?)
            .map_err(|error| CatalogError::Damaged(format!("a stored answer cannot be read: {error}")))?;
        Ok(Some(Done {
            value,
            revision: Revision(revision),
            repeated: true,
        }))
    }

    fn finish<T: Serialize>(&mut self, caller: &Caller, action: &Action, value: T) -> Result<Done<T>> {
        let touched = std::mem::take(&mut self.touched);
        let revision = edge::revise(self.transaction, &touched, self.now_ms, &caller.actor, action.name)?;
        if !touched.is_empty() {
            self.note("revision", revision.0);
        }
        self.audit(caller, action)?;
        if let Some(idempotency) = &caller.idempotency {
            let answer = serde_json::to_string(&(&value, revision.0))
                .map_err(|error| CatalogError::Damaged(format!("an answer cannot be stored: {error}")))?;
            let expires_ms = self.now_ms.saturating_add(ANSWER_KEPT_MS);
            self.execute(
                "INSERT INTO answers (account, key, request, answer, expires_ms) VALUES ($1, $2, $3, $4, $5)",
                &[
                    action.account.as_str().into(),
                    idempotency.key.as_str().into(),
                    request(idempotency, action).0.into(),
                    answer.into(),
                    expires_ms.into(),
                ],
            )?;
        }
        Ok(Done {
            value,
            revision,
            repeated: false,
        })
    }

    fn audit(&mut self, caller: &Caller, action: &Action) -> Result<()> {
        let row = self.first("SELECT audit_number, audit_hash FROM head WHERE one = 1", &[])?;
        let row = row.ok_or_else(|| CatalogError::Damaged("the head is missing".to_owned()))?;
        let before = Link {
            number: row.unsigned(0)?,
            hash: BlobHash(row.hash(1)?),
        };
        let entry = Entry {
            number: before.number + 1,
            time_ms: self.now_ms,
            actor: caller.actor.clone(),
            account: action.account.clone(),
            action: action.name.to_owned(),
            target: action.target.clone(),
            detail: serde_json::Value::Object(std::mem::take(&mut self.detail)).to_string(),
        };
        let link = entry.link(&before);
        self.execute(
            "INSERT INTO audit (number, time_ms, actor, account, action, target, detail, hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                entry.number.into(),
                entry.time_ms.into(),
                entry.actor.into(),
                entry.account.into(),
                entry.action.into(),
                entry.target.into(),
                entry.detail.into(),
                link.hash.0.into(),
            ],
        )?;
        self.execute(
            "UPDATE head SET audit_number = $1, audit_hash = $2 WHERE one = 1",
            &[link.number.into(), link.hash.0.into()],
        )?;
        Ok(())
    }
}

fn request(idempotency: &Idempotency, action: &Action) -> BlobHash {
    let mut bytes = idempotency.request.0.to_vec();
    bytes.extend_from_slice(action.name.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(action.target.as_bytes());
    BlobHash::of(&bytes)
}
