//! Accounts: their names, bounds and suspension; and the namespaces of stored data that they have.

use super::change::{Action, Changing};
use super::{Caller, Catalog, CatalogError, Done, Result, check_text};
use crate::secrets::WrappedKey;
use atoll_model::edge::EdgeAccount;
use atoll_model::limits::Limits;
use atoll_model::{EdgeKey, NamespaceId, Quota, TenantId};
use atoll_store::sql::{Row, Transaction};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: TenantId,
    /// Its name, for people.
    pub name: String,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Its workers are not run.
    pub suspended: bool,
    /// The label of its workers' addresses, `WORKER.LABEL.DOMAIN`; none before it is chosen.
    #[serde(default)]
    pub subdomain: Option<String>,
    /// Quotas and limits that differ from the default, by key.
    pub bounds: BTreeMap<String, u64>,
}

/// A namespace of stored data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its id, which bindings name.
    pub id: NamespaceId,
    /// What kind of data: `kv` and so on.
    pub kind: String,
    /// Its title, for people; unique among the account's of its kind.
    pub title: String,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
}

/// What changes of an account; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// Its workers are stopped, or run again.
    pub suspended: Option<bool>,
    /// The label of its workers' addresses.
    pub subdomain: Option<String>,
    /// Quotas and limits by key; `None` gives the default back.
    pub bounds: BTreeMap<String, Option<u64>>,
}

fn check_label(label: &str) -> Result<()> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edges = label.starts_with('-') || label.ends_with('-');
    if label.is_empty() || label.len() > 63 || edges || !label.bytes().all(legal) {
        return Err(CatalogError::Invalid(format!(
            "{label:?} is no subdomain: 1 to 63 lower-case letters, digits and -, with no - at its ends"
        )));
    }
    Ok(())
}

fn check_bound(key: &str, value: Option<u64>) -> Result<()> {
    let known =
        Quota::from_key(key).is_some() || EdgeAccount::OWN_LIMITS.contains(&key) || Limits::default().set(key, 0);
    if !known {
        return Err(CatalogError::Invalid(format!(
            "there is no quota and no limit \"{key}\""
        )));
    }
    if value.is_some_and(|value| i64::try_from(value).is_err()) {
        return Err(CatalogError::Invalid(format!("{key} is at most {}", i64::MAX)));
    }
    Ok(())
}

impl Changing<'_> {
    fn put_suspended(&mut self, id: &TenantId, suspended: bool) -> Result<()> {
        self.execute(
            "UPDATE accounts SET suspended = $2 WHERE id = $1",
            &[id.as_str().into(), suspended.into()],
        )?;
        Ok(())
    }

    fn put_subdomain(&mut self, id: &TenantId, label: &str) -> Result<()> {
        let owner = self.first("SELECT id FROM accounts WHERE subdomain = $1", &[label.into()])?;
        if owner.is_some_and(|row| row.text(0).ok() != Some(id.as_str())) {
            return Err(CatalogError::exists("subdomain", label));
        }
        self.execute(
            "UPDATE accounts SET subdomain = $2 WHERE id = $1",
            &[id.as_str().into(), label.into()],
        )?;
        Ok(())
    }

    fn put_bound(&mut self, id: &TenantId, key: &str, value: Option<u64>) -> Result<()> {
        self.execute(
            "DELETE FROM bounds WHERE account = $1 AND key = $2",
            &[id.as_str().into(), key.into()],
        )?;
        if let Some(value) = value {
            self.execute(
                "INSERT INTO bounds (account, key, value) VALUES ($1, $2, $3)",
                &[id.as_str().into(), key.into(), value.into()],
            )?;
        }
        Ok(())
    }

    /// The account must exist.
    pub(super) fn need_account(&mut self, account: &TenantId) -> Result<()> {
        let row = self.first("SELECT 1 FROM accounts WHERE id = $1", &[account.as_str().into()])?;
        row.map(drop).ok_or_else(|| CatalogError::missing("account", account))
    }
}

fn account(transaction: &mut dyn Transaction, row: &Row) -> Result<Account> {
    let id = TenantId::new(row.text(0)?);
    let bounds = transaction.query(
        "SELECT key, value FROM bounds WHERE account = $1 ORDER BY key",
        &[id.as_str().into()],
    )?;
    let bound = |row: &Row| Ok((row.text(0)?.to_owned(), row.unsigned(1)?));
    Ok(Account {
        id,
        name: row.text(1)?.to_owned(),
        created_ms: row.unsigned(2)?,
        suspended: row.flag(3)?,
        subdomain: row.opt_text(4)?.map(str::to_owned),
        bounds: bounds.iter().map(bound).collect::<Result<_>>()?,
    })
}

fn namespace(row: &Row) -> Result<Namespace> {
    Ok(Namespace {
        id: NamespaceId::new(row.text(0)?),
        kind: row.text(1)?.to_owned(),
        title: row.text(2)?.to_owned(),
        created_ms: row.unsigned(3)?,
    })
}

impl Catalog {
    /// Makes an account, with a data key for its secrets.
    pub async fn create_account(&self, caller: &Caller, id: TenantId, name: String) -> Result<Done<Account>> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if id.as_str().is_empty() || id.as_str().len() > 63 || !id.as_str().bytes().all(legal) {
            return Err(CatalogError::Invalid(format!(
                "{:?} is no id of an account: 1 to 63 lower-case letters, digits and -",
                id.as_str()
            )));
        }
        check_text("name", &name)?;
        let action = Action::of(&id, "account.create", &id);
        self.change(caller, action, move |changing| {
            let WrappedKey { master, sealed } = changing.vault.new_data_key(&id)?;
            let now_ms = changing.now_ms;
            let made = changing.execute(
                "INSERT INTO accounts (id, name, created_ms, master_key, data_key) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (id) DO NOTHING",
                &[
                    id.as_str().into(),
                    name.as_str().into(),
                    now_ms.into(),
                    master.into(),
                    sealed.into(),
                ],
            )?;
            if made == 0 {
                return Err(CatalogError::exists("account", &id));
            }
            changing.touch(EdgeKey::Account(id.clone()));
            Ok(Account {
                id: id.clone(),
                name: name.clone(),
                created_ms: now_ms,
                suspended: false,
                subdomain: None,
                bounds: BTreeMap::new(),
            })
        })
        .await
    }

    /// Suspends an account's workers, or lets them run again.
    pub async fn suspend(&self, caller: &Caller, id: TenantId, suspended: bool) -> Result<Done<()>> {
        let name = if suspended { "account.suspend" } else { "account.resume" };
        self.change(caller, Action::of(&id, name, &id), move |changing| {
            changing.need_account(&id)?;
            changing.put_suspended(&id, suspended)?;
            changing.touch(EdgeKey::Account(id.clone()));
            Ok(())
        })
        .await
    }

    /// Chooses the label under which an account's workers are reached. A label is one account's.
    pub async fn set_subdomain(&self, caller: &Caller, id: TenantId, label: String) -> Result<Done<()>> {
        check_label(&label)?;
        self.change(caller, Action::of(&id, "account.subdomain", &label), move |changing| {
            changing.need_account(&id)?;
            changing.put_subdomain(&id, &label)?;
            changing.touch(EdgeKey::Account(id.clone()));
            Ok(())
        })
        .await
    }

    /// Sets a quota or a limit of an account; `None` gives it back its default.
    pub async fn set_bound(&self, caller: &Caller, id: TenantId, key: String, value: Option<u64>) -> Result<Done<()>> {
        check_bound(&key, value)?;
        self.change(caller, Action::of(&id, "account.bound", &key), move |changing| {
            changing.need_account(&id)?;
            changing.put_bound(&id, &key, value)?;
            changing.note("value", value);
            changing.touch(EdgeKey::Account(id.clone()));
            Ok(())
        })
        .await
    }

    /// Several changes of an account in one.
    pub async fn change_account(&self, caller: &Caller, id: TenantId, change: AccountChange) -> Result<Done<Account>> {
        change.subdomain.iter().try_for_each(|label| check_label(label))?;
        change
            .bounds
            .iter()
            .try_for_each(|(key, value)| check_bound(key, *value))?;
        self.change(caller, Action::of(&id, "account.change", &id), move |changing| {
            changing.need_account(&id)?;
            if let Some(suspended) = change.suspended {
                changing.put_suspended(&id, suspended)?;
                changing.note("suspended", suspended);
            }
            if let Some(label) = &change.subdomain {
                changing.put_subdomain(&id, label)?;
                changing.note("subdomain", label.as_str());
            }
            for (key, value) in &change.bounds {
                changing.put_bound(&id, key, *value)?;
                changing.note(key, *value);
            }
            changing.touch(EdgeKey::Account(id.clone()));
            let row = changing.first(
                "SELECT id, name, created_ms, suspended, subdomain FROM accounts WHERE id = $1",
                &[id.as_str().into()],
            )?;
            let row = row.ok_or_else(|| CatalogError::missing("account", &id))?;
            account(changing.transaction, &row)
        })
        .await
    }

    /// An account.
    pub async fn account(&self, id: TenantId) -> Result<Account> {
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT id, name, created_ms, suspended, subdomain FROM accounts WHERE id = $1",
                &[id.as_str().into()],
            )?;
            let row = rows.first().ok_or_else(|| CatalogError::missing("account", &id))?;
            account(transaction, row)
        })
        .await
    }

    /// Accounts in the order of their ids, after one.
    pub async fn accounts(&self, after: String, limit: u32) -> Result<Vec<Account>> {
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT id, name, created_ms, suspended, subdomain FROM accounts WHERE id > $1 ORDER BY id LIMIT $2",
                &[after.as_str().into(), limit.min(super::PAGE_MAX).into()],
            )?;
            rows.iter().map(|row| account(transaction, row)).collect()
        })
        .await
    }

    /// Makes a namespace.
    pub async fn create_namespace(
        &self,
        caller: &Caller,
        account: TenantId,
        kind: String,
        title: String,
    ) -> Result<Done<Namespace>> {
        super::check_name("kind of namespace", &kind)?;
        check_text("title", &title)?;
        if title.is_empty() {
            return Err(CatalogError::Invalid("a namespace needs a title".to_owned()));
        }
        let id = NamespaceId::new(super::new_hex_id()?);
        self.change(
            caller,
            Action::of(&account, "namespace.create", &title),
            move |changing| {
                changing.need_account(&account)?;
                let count = changing.count(
                    "SELECT count(*) FROM namespaces WHERE account = $1 AND kind = $2",
                    &[account.as_str().into(), kind.as_str().into()],
                )?;
                changing.within(&account, Quota::Namespaces, count + 1)?;
                let now_ms = changing.now_ms;
                let made = changing.execute(
                    "INSERT INTO namespaces (account, id, kind, title, created_ms) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (account, kind, title) DO NOTHING",
                    &[
                        account.as_str().into(),
                        id.as_str().into(),
                        kind.as_str().into(),
                        title.as_str().into(),
                        now_ms.into(),
                    ],
                )?;
                if made == 0 {
                    return Err(CatalogError::exists("namespace", &title));
                }
                changing.note("id", id.as_str());
                Ok(Namespace {
                    id: id.clone(),
                    kind: kind.clone(),
                    title: title.clone(),
                    created_ms: now_ms,
                })
            },
        )
        .await
    }

    /// Gives a namespace another title.
    pub async fn rename_namespace(
        &self,
        caller: &Caller,
        account: TenantId,
        kind: String,
        id: NamespaceId,
        title: String,
    ) -> Result<Done<()>> {
        check_text("title", &title)?;
        if title.is_empty() {
            return Err(CatalogError::Invalid("a namespace needs a title".to_owned()));
        }
        self.change(caller, Action::of(&account, "namespace.rename", &id), move |changing| {
            let other = changing.first(
                "SELECT 1 FROM namespaces WHERE account = $1 AND kind = $2 AND title = $3 AND id <> $4",
                &[
                    account.as_str().into(),
                    kind.as_str().into(),
                    title.as_str().into(),
                    id.as_str().into(),
                ],
            )?;
            if other.is_some() {
                return Err(CatalogError::exists("namespace", &title));
            }
            let changed = changing.execute(
                "UPDATE namespaces SET title = $4 WHERE account = $1 AND kind = $2 AND id = $3",
                &[
                    account.as_str().into(),
                    kind.as_str().into(),
                    id.as_str().into(),
                    title.as_str().into(),
                ],
            )?;
            changing.note("title", title.as_str());
            if changed == 0 {
                return Err(CatalogError::missing("namespace", &id));
            }
            Ok(())
        })
        .await
    }

    /// Removes a namespace's entry. What is stored in it is its store's business.
    pub async fn delete_namespace(
        &self,
        caller: &Caller,
        account: TenantId,
        kind: String,
        id: NamespaceId,
    ) -> Result<Done<()>> {
        self.change(caller, Action::of(&account, "namespace.delete", &id), move |changing| {
            let removed = changing.execute(
                "DELETE FROM namespaces WHERE account = $1 AND kind = $2 AND id = $3",
                &[account.as_str().into(), kind.as_str().into(), id.as_str().into()],
            )?;
            if removed == 0 {
                return Err(CatalogError::missing("namespace", &id));
            }
            Ok(())
        })
        .await
    }

    /// The account's namespaces of a kind, by title.
    pub async fn namespaces(&self, account: TenantId, kind: String) -> Result<Vec<Namespace>> {
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT id, kind, title, created_ms FROM namespaces WHERE account = $1 AND kind = $2 ORDER BY title",
                &[account.as_str().into(), kind.as_str().into()],
            )?;
            rows.iter().map(namespace).collect()
        })
        .await
    }

    /// Wraps every account's data key, and every key of the platform, by the master key in use. Gives how many were wrapped by another one before; once it
    /// is zero for a run, the other master keys can go.
    pub async fn rotate_master_key(&self, caller: &Caller) -> Result<Done<u64>> {
        let action = Action {
            account: String::new(),
            name: "secrets.rotate",
            target: self.vault.current().to_owned(),
        };
        self.change(caller, action, move |changing| {
            let current = changing.vault.current().to_owned();
            let rows = changing.query(
                "SELECT id, master_key, data_key FROM accounts WHERE master_key <> $1 ORDER BY id LIMIT 10000",
                &[current.into()],
            )?;
            for row in &rows {
                let id = TenantId::new(row.text(0)?);
                let wrapped = WrappedKey {
                    master: row.text(1)?.to_owned(),
                    sealed: row.blob(2)?.to_vec(),
                };
                let WrappedKey { master, sealed } = changing.vault.rewrap(&id, &wrapped)?;
                changing.execute(
                    "UPDATE accounts SET master_key = $2, data_key = $3 WHERE id = $1",
                    &[id.as_str().into(), master.into(), sealed.into()],
                )?;
            }
            changing.note("accounts", rows.len());
            let platform = changing.rewrap_platform_keys()?;
            Ok(rows.len() as u64 + platform)
        })
        .await
    }
}
