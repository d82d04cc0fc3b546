//! PoPs in the catalog: join tokens, who joined under which name, who is revoked, and keys of the platform.
//!
//! A name has a generation, which counts up with each join under it and stands in the certificates that are made for it. To
//! revoke a name is to refuse all of its generations so far; a machine that joins under it again, with a new token, begins
//! the next one. So a restored older catalog locks nobody out, and no list of certificates is kept.

mod kv;
pub(super) mod schema;

pub use kv::{KV_EDITS_MAX, KV_INLINE_BYTES_MAX, KvEdit, KvLogged, KvValue};

use super::change::{Action, Changing};
use super::{Caller, Catalog, CatalogError, Done, Result, check_text};
use crate::secrets::WrappedKey;
use atoll_api::peer::check_pop_name;
use atoll_model::BlobHash;
use atoll_store::sql::Row;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How long a join token is good for if nothing else is said, milliseconds: 15 minutes.
pub const JOIN_TOKEN_LIFE_MS: u64 = 15 * 60 * 1000;
/// The longest that a join token may be good for, milliseconds: a week.
pub const JOIN_TOKEN_LIFE_MAX_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// The longest name of a region, bytes.
pub const REGION_BYTES_MAX: usize = 63;

/// What a join token is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewJoinToken {
    /// The region that the PoP is of; `None`: the one that it says.
    pub region: Option<String>,
    /// The name that it joins under, also if another machine has it: that one is then refused. `None`: any name that nobody
    /// has.
    pub name: Option<String>,
    /// How long it is good for, milliseconds; `None`: [`JOIN_TOKEN_LIFE_MS`].
    pub life_ms: Option<u64>,
}

/// What is told of a join token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinTokenFacts {
    /// Its id, which is no secret.
    pub id: String,
    /// See [`NewJoinToken::region`].
    pub region: Option<String>,
    /// See [`NewJoinToken::name`].
    pub name: Option<String>,
    /// When it ends, milliseconds since the Unix epoch.
    pub expires_ms: u64,
}

/// A PoP that has joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PopRecord {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// How often somebody joined under the name.
    pub generation: u32,
    /// Certificates of this generation and of older ones are refused; 0: none is.
    pub revoked_generation: u32,
    /// When it joined last, milliseconds since the Unix epoch.
    pub joined_ms: u64,
    /// Which release it ran then.
    pub release: String,
}

impl PopRecord {
    /// Is a certificate of this generation good?
    pub fn accepts(&self, generation: u32) -> bool {
        // A greater one than is known was given out before the catalog was restored from an older copy.
        generation > self.revoked_generation
    }
}

fn generation(row: &Row, column: usize) -> Result<u32> {
    u32::try_from(row.unsigned(column)?).map_err(|_| CatalogError::Damaged("a generation is out of range".to_owned()))
}

fn pop(row: &Row) -> Result<PopRecord> {
    Ok(PopRecord {
        name: row.text(0)?.to_owned(),
        region: row.text(1)?.to_owned(),
        generation: generation(row, 2)?,
        revoked_generation: generation(row, 3)?,
        joined_ms: row.unsigned(4)?,
        release: row.text(5)?.to_owned(),
    })
}

const COLUMNS: &str = "name, region, generation, revoked_generation, joined_ms, release";

fn check_region(region: &str) -> Result<()> {
    check_text("region", region)?;
    if region.len() > REGION_BYTES_MAX || region.chars().any(char::is_control) {
        return Err(CatalogError::Invalid(format!(
            "a region has at most {REGION_BYTES_MAX} bytes and no control characters"
        )));
    }
    Ok(())
}

fn platform(name: &'static str, target: impl ToString) -> Action {
    Action {
        account: String::new(),
        name,
        target: target.to_string(),
    }
}

impl Changing<'_> {
    /// Seals the platform's keys by the master key in use. Gives how many another one had sealed.
    pub(super) fn rewrap_platform_keys(&mut self) -> Result<u64> {
        let current = self.vault.current().to_owned();
        let rows = self.query(
            "SELECT name, master, sealed FROM platform_keys WHERE master <> $1 ORDER BY name",
            &[current.into()],
        )?;
        for row in &rows {
            let name = row.text(0)?.to_owned();
            let wrapped = WrappedKey {
                master: row.text(1)?.to_owned(),
                sealed: row.blob(2)?.to_vec(),
            };
            let key = self.vault.open_platform(&name, &wrapped)?;
            let WrappedKey { master, sealed } = self.vault.seal_platform(&name, &key)?;
            self.execute(
                "UPDATE platform_keys SET master = $2, sealed = $3 WHERE name = $1",
                &[name.into(), master.into(), sealed.into()],
            )?;
        }
        Ok(rows.len() as u64)
    }
}

impl Catalog {
    /// Stores a join token of this id and hash. Whoever made it shows it now or never.
    pub async fn create_join_token(
        &self,
        caller: &Caller,
        id: String,
        hash: [u8; 32],
        new: NewJoinToken,
    ) -> Result<Done<JoinTokenFacts>> {
        new.region.as_deref().map(check_region).transpose()?;
        let invalid = |error: atoll_api::peer::PeerError| CatalogError::Invalid(error.to_string());
        new.name.as_deref().map(check_pop_name).transpose().map_err(invalid)?;
        let life_ms = new.life_ms.unwrap_or(JOIN_TOKEN_LIFE_MS);
        if life_ms == 0 || life_ms > JOIN_TOKEN_LIFE_MAX_MS {
            return Err(CatalogError::Invalid(format!(
                "a join token is good for 1 to {} seconds",
                JOIN_TOKEN_LIFE_MAX_MS / 1000
            )));
        }
        let target = new.name.clone().unwrap_or_default();
        self.change(caller, platform("pop.token", target), move |changing| {
            let now_ms = changing.now_ms;
            // What nobody can use any more need not be kept: the audit log says who did.
            changing.execute("DELETE FROM join_tokens WHERE expires_ms <= $1", &[now_ms.into()])?;
            let expires_ms = now_ms.saturating_add(life_ms);
            changing.execute(
                "INSERT INTO join_tokens (id, hash, region, name, created_ms, expires_ms) VALUES ($1, $2, $3, $4, $5, $6)",
                &[
                    id.as_str().into(),
                    hash.into(),
                    new.region.as_deref().into(),
                    new.name.as_deref().into(),
                    now_ms.into(),
                    expires_ms.into(),
                ],
            )?;
            changing.note("token", id.as_str());
            Ok(JoinTokenFacts {
                id: id.clone(),
                region: new.region.clone(),
                name: new.name.clone(),
                expires_ms,
            })
        })
        .await
    }

    /// Uses a join token up. Gives the PoP's record, whose generation its certificates are to have.
    pub async fn join_pop(
        &self,
        id: String,
        hash: [u8; 32],
        name: String,
        region: String,
        release: String,
    ) -> Result<Done<PopRecord>> {
        check_pop_name(&name).map_err(|error| CatalogError::Invalid(error.to_string()))?;
        check_region(&region)?;
        check_text("release", &release)?;
        let caller = Caller::new("system:pops");
        self.change(&caller, platform("pop.join", name.clone()), move |changing| {
            let now_ms = changing.now_ms;
            let row = changing.first(
                "SELECT hash, region, name, expires_ms, used_ms FROM join_tokens WHERE id = $1",
                &[id.as_str().into()],
            )?;
            // Which of it is wrong is nobody's business.
            let row = row.ok_or(CatalogError::Unauthenticated)?;
            let same = aws_lc_rs::constant_time::verify_slices_are_equal(&row.hash(0)?, &hash).is_ok();
            if !same || row.unsigned(3)? <= now_ms || row.opt_unsigned(4)?.is_some() {
                return Err(CatalogError::Unauthenticated);
            }
            let region = row.opt_text(1)?.map_or_else(|| region.clone(), str::to_owned);
            let named = row.opt_text(2)?.map(str::to_owned);
            if named.as_ref().is_some_and(|named| *named != name) {
                return Err(CatalogError::Conflict(format!(
                    "the join token is for a PoP named \"{}\"",
                    named.unwrap_or_default()
                )));
            }
            let known = changing.first(
                &format!("SELECT {COLUMNS} FROM pops WHERE name = $1"),
                &[name.as_str().into()],
            )?;
            let known = known.as_ref().map(pop).transpose()?;
            if let Some(known) = &known
                && named.is_none()
                && known.accepts(known.generation)
            {
                return Err(CatalogError::Conflict(format!(
                    "a PoP named \"{name}\" has joined already; choose another name, revoke that one, or make a join token for \
                     this name"
                )));
            }
            let generation = known.as_ref().map_or(0, |known| known.generation) + 1;
            changing.execute(
                "UPDATE join_tokens SET used_ms = $1, used_by = $2 WHERE id = $3",
                &[now_ms.into(), name.as_str().into(), id.as_str().into()],
            )?;
            changing.execute(
                "INSERT INTO pops (name, region, generation, revoked_generation, joined_ms, release)
                 VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (name) DO UPDATE SET region = excluded.region, generation = excluded.generation,
                    revoked_generation = excluded.revoked_generation, joined_ms = excluded.joined_ms,
                    release = excluded.release",
                &[
                    name.as_str().into(),
                    region.as_str().into(),
                    u64::from(generation).into(),
                    u64::from(generation - 1).into(),
                    now_ms.into(),
                    release.as_str().into(),
                ],
            )?;
            changing.note("token", id.as_str());
            changing.note("generation", generation);
            Ok(PopRecord {
                name: name.clone(),
                region,
                generation,
                revoked_generation: generation - 1,
                joined_ms: now_ms,
                release: release.clone(),
            })
        })
        .await
    }

    /// Refuses a PoP from now on: all certificates that were made under its name so far.
    pub async fn revoke_pop(&self, caller: &Caller, name: String) -> Result<Done<PopRecord>> {
        self.change(caller, platform("pop.revoke", name.clone()), move |changing| {
            let rows = changing.query(
                &format!("UPDATE pops SET revoked_generation = generation WHERE name = $1 RETURNING {COLUMNS}"),
                &[name.as_str().into()],
            )?;
            let row = rows.first().ok_or_else(|| CatalogError::missing("PoP", &name))?;
            pop(row)
        })
        .await
    }

    /// Remembers who took a step of replacing the nodes' authority, and which one signs since.
    pub(crate) async fn note_authority(&self, caller: &Caller, step: &'static str, signs: String) -> Result<Done<()>> {
        let action = platform(
            match step {
                "add" => "authority.add",
                "switch" => "authority.switch",
                _ => "authority.retire",
            },
            signs,
        );
        self.change(caller, action, |_| Ok(())).await
    }

    /// All PoPs that ever joined, by name.
    pub async fn pops(&self) -> Result<Vec<PopRecord>> {
        self.read(|transaction| {
            let rows = transaction.query(&format!("SELECT {COLUMNS} FROM pops ORDER BY name"), &[])?;
            rows.iter().map(pop).collect()
        })
        .await
    }

    /// A PoP.
    pub async fn pop(&self, name: String) -> Result<PopRecord> {
        self.read(move |transaction| {
            let sql = format!("SELECT {COLUMNS} FROM pops WHERE name = $1");
            let rows = transaction.query(&sql, &[name.as_str().into()])?;
            pop(rows.first().ok_or_else(|| CatalogError::missing("PoP", &name))?)
        })
        .await
    }

    /// A key of the platform (the authority of nodes' certificates, the key that signs artifacts) that is kept sealed in the
    /// catalog. `None`: there is none of this name.
    pub async fn platform_key(&self, name: &'static str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let vault = self.vault.clone();
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT master, sealed FROM platform_keys WHERE name = $1",
                &[name.into()],
            )?;
            let Some(row) = rows.first() else { return Ok(None) };
            let wrapped = WrappedKey {
                master: row.text(0)?.to_owned(),
                sealed: row.blob(1)?.to_vec(),
            };
            Ok(Some(vault.open_platform(name, &wrapped)?))
        })
        .await
    }

    /// Keeps a key of the platform, in place of the one of which `before` is the hash; `None`: there must be none.
    pub async fn set_platform_key(
        &self,
        caller: &Caller,
        name: &'static str,
        before: Option<BlobHash>,
        key: Zeroizing<Vec<u8>>,
    ) -> Result<()> {
        self.change(caller, platform("platform.key", name), move |changing| {
            let row = changing.first(
                "SELECT master, sealed FROM platform_keys WHERE name = $1",
                &[name.into()],
            )?;
            let there = row.map(|row| {
                let wrapped = WrappedKey {
                    master: row.text(0)?.to_owned(),
                    sealed: row.blob(1)?.to_vec(),
                };
                Ok::<_, CatalogError>(BlobHash::of(&changing.vault.open_platform(name, &wrapped)?))
            });
            if there.transpose()? != before {
                return Err(CatalogError::Conflict(format!(
                    "the platform's key \"{name}\" was changed meanwhile"
                )));
            }
            let wrapped = changing.vault.seal_platform(name, &key)?;
            changing.execute(
                "INSERT INTO platform_keys (name, master, sealed) VALUES ($1, $2, $3)
                 ON CONFLICT (name) DO UPDATE SET master = excluded.master, sealed = excluded.sealed",
                &[name.into(), wrapped.master.into(), wrapped.sealed.into()],
            )?;
            Ok(())
        })
        .await?;
        Ok(())
    }
}
