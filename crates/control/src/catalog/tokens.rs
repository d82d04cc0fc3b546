//! API tokens and roles: who may do what.

use super::change::Action;
use super::{Caller, Catalog, CatalogError, Done, Result, check_name, check_text};
use crate::tokens::Token;
use atoll_model::access::PERMISSIONS_MAX;
use atoll_model::{Permissions, Quota, TenantId, TokenId};
use atoll_store::sql::Row;
use serde::{Deserialize, Serialize};

/// A role: permissions with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub permissions: Permissions,
}

/// What a token may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenRights {
    /// What the role of that name may do, now and as it changes.
    Role(String),
    /// This.
    Own(Permissions),
}

/// A token that is made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The account that it is for. `None`: the platform's own, for all accounts.
    pub account: Option<TenantId>,
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub rights: TokenRights,
    /// When it ends, milliseconds since the Unix epoch.
    pub expires_ms: Option<u64>,
}

/// What is told of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// Its public half.
    pub id: TokenId,
    /// The account that it is for; `None`: all of them.
    pub account: Option<TenantId>,
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub rights: TokenRights,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// When it ends.
    pub expires_ms: Option<u64>,
    /// When it was used last, as far as was noted.
    pub used_ms: Option<u64>,
    /// When it was revoked.
    pub revoked_ms: Option<u64>,
}

/// Whoever a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The token.
    pub token: TokenId,
    /// The account that it is for; `None`: all of them.
    pub account: Option<TenantId>,
    /// What it may do.
    pub permissions: Permissions,
}

const COLUMNS: &str = "id, account, name, role, permissions, created_ms, expires_ms, used_ms, revoked_ms";

fn permissions(text: &str) -> Result<Permissions> {
    serde_json::from_str(text).map_err(|error| CatalogError::Damaged(format!("permissions cannot be read: {error}")))
}

fn text(permissions: &Permissions) -> Result<String> {
    serde_json::to_string(permissions).map_err(|error| CatalogError::Invalid(error.to_string()))
}

fn facts(row: &Row) -> Result<TokenFacts> {
    let rights = match row.opt_text(3)? {
        Some(role) => TokenRights::Role(role.to_owned()),
        None => TokenRights::Own(permissions(row.text(4)?)?),
    };
    Ok(TokenFacts {
        id: TokenId::new(row.text(0)?),
        account: row.opt_text(1)?.map(TenantId::new),
        name: row.text(2)?.to_owned(),
        rights,
        created_ms: row.unsigned(5)?,
        expires_ms: row.opt_unsigned(6)?,
        used_ms: row.opt_unsigned(7)?,
        revoked_ms: row.opt_unsigned(8)?,
    })
}

fn check_permissions(permissions: &Permissions) -> Result<()> {
    if permissions.0.is_empty() || permissions.0.len() > PERMISSIONS_MAX {
        return Err(CatalogError::Invalid(format!(
            "{} permissions are named; 1 to {PERMISSIONS_MAX} are possible",
            permissions.0.len()
        )));
    }
    Ok(())
}

fn action(account: Option<&TenantId>, name: &'static str, target: impl ToString) -> Action {
    Action {
        account: account.map_or_else(String::new, |account| account.as_str().to_owned()),
        name,
        target: target.to_string(),
    }
}

impl Catalog {
    /// Stores a token. Only its hash is kept: whoever made it shows it now or never.
    pub async fn create_token(&self, caller: &Caller, token: &Token, new: NewToken) -> Result<Done<TokenFacts>> {
        check_text("name", &new.name)?;
        if let TokenRights::Own(permissions) = &new.rights {
            check_permissions(permissions)?;
        }
        if new.account.is_none() && matches!(new.rights, TokenRights::Role(_)) {
            return Err(CatalogError::Invalid(
                "roles are of an account; a token for all accounts has permissions".to_owned(),
            ));
        }
        let (id, hash) = (token.id().clone(), token.hash());
        // By name, not by id: a repetition of the request has made another token.
        self.change(
            caller,
            action(new.account.as_ref(), "token.create", &new.name),
            move |changing| {
                if new.expires_ms.is_some_and(|expires| expires <= changing.now_ms) {
                    return Err(CatalogError::Invalid("the token would have ended already".to_owned()));
                }
                if let Some(account) = &new.account {
                    changing.need_account(account)?;
                    let now_ms = changing.now_ms;
                    let count = changing.count(
                        "SELECT count(*) FROM tokens WHERE account = $1 AND revoked_ms IS NULL
                        AND (expires_ms IS NULL OR expires_ms > $2)",
                        &[account.as_str().into(), now_ms.into()],
                    )?;
                    changing.within(account, Quota::Tokens, count + 1)?;
                }
                let (role, own) = match &new.rights {
                    TokenRights::Role(role) => (Some(role.as_str()), None),
                    TokenRights::Own(permissions) => (None, Some(text(permissions)?)),
                };
                if let (Some(role), Some(account)) = (role, &new.account) {
                    let there = changing.first(
                        "SELECT 1 FROM roles WHERE account = $1 AND name = $2",
                        &[account.as_str().into(), role.into()],
                    )?;
                    there.ok_or_else(|| CatalogError::missing("role", role))?;
                }
                let now_ms = changing.now_ms;
                changing.execute(
                    "INSERT INTO tokens (id, account, name, hash, role, permissions, created_ms, expires_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                    &[
                        id.as_str().into(),
                        new.account.as_ref().map(TenantId::as_str).into(),
                        new.name.as_str().into(),
                        hash.into(),
                        role.into(),
                        own.into(),
                        now_ms.into(),
                        new.expires_ms.into(),
                    ],
                )?;
                changing.note("id", id.as_str());
                Ok(TokenFacts {
                    id: id.clone(),
                    account: new.account.clone(),
                    name: new.name.clone(),
                    rights: new.rights.clone(),
                    created_ms: now_ms,
                    expires_ms: new.expires_ms,
                    used_ms: None,
                    revoked_ms: None,
                })
            },
        )
        .await
    }

    /// Whom a token stands for. Unknown, expired and revoked ones are refused alike.
    pub async fn authenticate(&self, token: &Token) -> Result<Identity> {
        let (token, now_ms) = (token.clone(), self.clock.now_ms());
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT t.hash, t.account, t.expires_ms, t.revoked_ms, coalesce(t.permissions, r.permissions)
                 FROM tokens t LEFT JOIN roles r ON r.account = t.account AND r.name = t.role WHERE t.id = $1",
                &[token.id().as_str().into()],
            )?;
            let row = rows.first().ok_or(CatalogError::Unauthenticated)?;
            let stored = row.hash(0)?;
            let ended = row.opt_unsigned(2)?.is_some_and(|expires| expires <= now_ms);
            if !token.is(&stored) || ended || row.opt_unsigned(3)?.is_some() {
                return Err(CatalogError::Unauthenticated);
            }
            Ok(Identity {
                token: token.id().clone(),
                account: row.opt_text(1)?.map(TenantId::new),
                permissions: permissions(row.text(4)?)?,
            })
        })
        .await
    }

    /// Ends a token: from now on it stands for nobody.
    pub async fn revoke_token(&self, caller: &Caller, account: Option<TenantId>, id: TokenId) -> Result<Done<()>> {
        self.change(caller, action(account.as_ref(), "token.revoke", &id), move |changing| {
            let now_ms = changing.now_ms;
            let of = account.as_ref().map_or("", TenantId::as_str);
            let changed = changing.execute(
                "UPDATE tokens SET revoked_ms = coalesce(revoked_ms, $3) WHERE id = $1 AND coalesce(account, '') = $2",
                &[id.as_str().into(), of.into(), now_ms.into()],
            )?;
            if changed == 0 {
                return Err(CatalogError::missing("token", &id));
            }
            Ok(())
        })
        .await
    }

    /// Notes when tokens were used. Not audited; the caller gathers uses so that this is rare.
    pub async fn note_token_uses(&self, uses: Vec<(TokenId, u64)>) -> Result<()> {
        self.database
            .write(move |transaction| {
                for (id, used_ms) in &uses {
                    transaction.execute(
                        "UPDATE tokens SET used_ms = $2 WHERE id = $1 AND coalesce(used_ms, 0) < $2",
                        &[id.as_str().into(), (*used_ms).into()],
                    )?;
                }
                Ok(())
            })
            .await
    }

    /// The tokens of an account, or the platform's own.
    pub async fn tokens(&self, account: Option<TenantId>) -> Result<Vec<TokenFacts>> {
        self.read(move |transaction| {
            let of = account.as_ref().map_or("", TenantId::as_str);
            let sql = format!("SELECT {COLUMNS} FROM tokens WHERE coalesce(account, '') = $1 ORDER BY created_ms, id");
            let rows = transaction.query(&sql, &[of.into()])?;
            rows.iter().map(facts).collect()
        })
        .await
    }

    /// Makes a role or changes what it may do.
    pub async fn set_role(&self, caller: &Caller, account: TenantId, role: Role) -> Result<Done<()>> {
        check_name("role", &role.name)?;
        check_permissions(&role.permissions)?;
        self.change(caller, Action::of(&account, "role.set", &role.name), move |changing| {
            changing.need_account(&account)?;
            let (permissions, now_ms) = (text(&role.permissions)?, changing.now_ms);
            changing.note("permissions", permissions.as_str());
            changing.execute(
                "INSERT INTO roles (account, name, permissions, created_ms) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (account, name) DO UPDATE SET permissions = excluded.permissions",
                &[
                    account.as_str().into(),
                    role.name.as_str().into(),
                    permissions.into(),
                    now_ms.into(),
                ],
            )?;
            let count = changing.count(
                "SELECT count(*) FROM roles WHERE account = $1",
                &[account.as_str().into()],
            )?;
            changing.within(&account, Quota::Roles, count)
        })
        .await
    }

    /// Removes a role that no token has.
    pub async fn delete_role(&self, caller: &Caller, account: TenantId, name: String) -> Result<Done<()>> {
        self.change(caller, Action::of(&account, "role.delete", &name), move |changing| {
            let of = [account.as_str().into(), name.as_str().into()];
            let used = changing.count("SELECT count(*) FROM tokens WHERE account = $1 AND role = $2", &of)?;
            if used > 0 {
                return Err(CatalogError::Conflict(format!(
                    "role {name} is that of {used} tokens (revoked ones keep theirs for the record); give them another one first"
                )));
            }
            if changing.execute("DELETE FROM roles WHERE account = $1 AND name = $2", &of)? == 0 {
                return Err(CatalogError::missing("role", &name));
            }
            Ok(())
        })
        .await
    }

    /// The account's roles by name.
    pub async fn roles(&self, account: TenantId) -> Result<Vec<Role>> {
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT name, permissions FROM roles WHERE account = $1 ORDER BY name",
                &[account.as_str().into()],
            )?;
            let role = |row: &Row| {
                Ok(Role {
                    name: row.text(0)?.to_owned(),
                    permissions: permissions(row.text(1)?)?,
                })
            };
            rows.iter().map(role).collect()
        })
        .await
    }
}
