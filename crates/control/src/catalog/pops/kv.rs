//! Edits of KV that came through the API, in the order in which every PoP applies them.
//!
//! The log keeps of each key its last edit alone: a PoP that was away, or is new, gets what it must end up with, not the way
//! there. So the log grows with the keys that were ever edited, not with the edits. Positions count up and are never used twice;
//! where an edit was replaced, there is a gap.

use super::super::change::Action;
use super::super::{Caller, Catalog, CatalogError, Done, Result};
use atoll_model::{BlobHash, NamespaceId, TenantId};
use atoll_store::sql::{Row, Value};

/// The most bytes of a value that is kept in the catalog itself; larger ones are blobs of the artifact store.
pub const KV_INLINE_BYTES_MAX: usize = 64 * 1024;
/// The most edits of one change.
pub const KV_EDITS_MAX: usize = 10_000;
/// The most bytes of a key.
const KEY_BYTES_MAX: usize = 512;

const PUT: u64 = 0;
const DELETE: u64 = 1;
const CLEAR: u64 = 2;

/// A value of KV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvValue {
    /// Its bytes, at most [`KV_INLINE_BYTES_MAX`].
    Inline(Vec<u8>),
    /// A blob of the artifact store.
    Blob(BlobHash),
}

/// An edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvEdit {
    /// A value is set.
    Put {
        /// Its key.
        key: String,
        /// The value.
        value: KvValue,
        /// Its metadata, JSON.
        metadata: Option<String>,
        /// When it ends, seconds since the Unix epoch.
        expiration: Option<u64>,
    },
    /// A value is removed.
    Delete {
        /// Its key.
        key: String,
    },
    /// All values of the namespace are removed.
    Clear,
}

impl KvEdit {
    fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
            // No key is empty, so this is the place of what concerns all of them.
            Self::Clear => "",
        }
    }
}

/// An edit in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvLogged {
    /// Its place.
    pub position: u64,
    /// Whose.
    pub account: TenantId,
    /// In which namespace.
    pub namespace: NamespaceId,
    /// What.
    pub edit: KvEdit,
}

fn logged(row: &Row) -> Result<KvLogged> {
    let key = row.text(3)?.to_owned();
    let edit = match row.unsigned(4)? {
        PUT => KvEdit::Put {
            key,
            value: match row.opt_blob(6)? {
                Some(_) => KvValue::Blob(BlobHash(row.hash(6)?)),
                None => KvValue::Inline(row.blob(5)?.to_vec()),
            },
            metadata: row.opt_text(7)?.map(str::to_owned),
            expiration: row.opt_unsigned(8)?,
        },
        DELETE => KvEdit::Delete { key },
        _ => KvEdit::Clear,
    };
    Ok(KvLogged {
        position: row.unsigned(0)?,
        account: TenantId::new(row.text(1)?),
        namespace: NamespaceId::new(row.text(2)?),
        edit,
    })
}

fn check(edit: &KvEdit) -> Result<()> {
    let key = edit.key();
    let named = matches!(edit, KvEdit::Clear) || !key.is_empty();
    if !named || key.len() > KEY_BYTES_MAX || key.contains('\0') {
        return Err(CatalogError::Invalid(format!(
            "a key has 1 to {KEY_BYTES_MAX} bytes and no NUL"
        )));
    }
    match edit {
        KvEdit::Put {
            value: KvValue::Inline(bytes),
            ..
        } if bytes.len() > KV_INLINE_BYTES_MAX => Err(CatalogError::Invalid(format!(
            "a value of more than {KV_INLINE_BYTES_MAX} bytes is stored as a blob"
        ))),
        KvEdit::Put {
            metadata: Some(metadata),
            ..
        } if metadata.contains('\0') => Err(CatalogError::Invalid("metadata has no NUL".to_owned())),
        _ => Ok(()),
    }
}

impl Catalog {
    /// Adds edits of a namespace to the log, in their order; of a key that stands twice the last one counts. Gives the position
    /// of the last.
    pub async fn edit_kv(
        &self,
        caller: &Caller,
        account: TenantId,
        namespace: NamespaceId,
        edits: Vec<KvEdit>,
    ) -> Result<Done<u64>> {
        if edits.is_empty() || edits.len() > KV_EDITS_MAX {
            return Err(CatalogError::Invalid(format!(
                "1 to {KV_EDITS_MAX} keys are edited at once"
            )));
        }
        edits.iter().try_for_each(check)?;
        let action = Action::of(&account, "kv.edit", &namespace);
        self.change(caller, action, move |changing| {
            changing.need_account(&account)?;
            let of = |key: &str| -> [Value; 3] { [account.as_str().into(), namespace.as_str().into(), key.into()] };
            let row = changing.first("SELECT position FROM kv_head WHERE one = 1", &[])?;
            let row = row.ok_or_else(|| CatalogError::Damaged("the head of the KV log is missing".to_owned()))?;
            let mut position = row.unsigned(0)?;
            for edit in &edits {
                position += 1;
                if *edit == KvEdit::Clear {
                    changing.execute("DELETE FROM kv_log WHERE account = $1 AND namespace = $2", &of("")[..2])?;
                }
                let (kind, value, blob, metadata, expiration): (u64, Value, Value, Value, Value) = match edit {
                    KvEdit::Put {
                        value,
                        metadata,
                        expiration,
                        ..
                    } => {
                        let (inline, blob) = match value {
                            KvValue::Inline(bytes) => (bytes.clone().into(), None::<&str>.into()),
                            KvValue::Blob(hash) => (None::<&str>.into(), hash.0.into()),
                        };
                        (PUT, inline, blob, metadata.as_deref().into(), (*expiration).into())
                    }
                    KvEdit::Delete { .. } => (DELETE, Value::Null, Value::Null, Value::Null, Value::Null),
                    KvEdit::Clear => (CLEAR, Value::Null, Value::Null, Value::Null, Value::Null),
                };
                let [account, namespace, key] = of(edit.key());
                changing.execute(
                    "INSERT INTO kv_log (position, account, namespace, key, kind, value, value_blob, metadata, expiration)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                     ON CONFLICT (account, namespace, key) DO UPDATE SET position = excluded.position,
                        kind = excluded.kind, value = excluded.value, value_blob = excluded.value_blob,
                        metadata = excluded.metadata, expiration = excluded.expiration",
                    &[
                        position.into(),
                        account,
                        namespace,
                        key,
                        kind.into(),
                        value,
                        blob,
                        metadata,
                        expiration,
                    ],
                )?;
            }
            changing.execute("UPDATE kv_head SET position = $1 WHERE one = 1", &[position.into()])?;
            changing.note("keys", edits.len() as u64);
            changing.note("position", position);
            Ok(position)
        })
        .await
    }

    /// The position of the last edit.
    pub async fn kv_position(&self) -> Result<u64> {
        self.read(|transaction| {
            let rows = transaction.query("SELECT position FROM kv_head WHERE one = 1", &[])?;
            let row = rows
                .first()
                .ok_or_else(|| CatalogError::Damaged("the head of the KV log is missing".to_owned()))?;
            Ok(row.unsigned(0)?)
        })
        .await
    }

    /// Edits after a position, in their order.
    pub async fn kv_since(&self, after: u64, limit: u32) -> Result<Vec<KvLogged>> {
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT position, account, namespace, key, kind, value, value_blob, metadata, expiration FROM kv_log
                 WHERE position > $1 ORDER BY position LIMIT $2",
                &[after.into(), limit.min(super::super::PAGE_MAX).into()],
            )?;
            rows.iter().map(logged).collect()
        })
        .await
    }

    /// The last edit of a key that the log knows: what the API itself has set, before any PoP is asked.
    pub async fn kv_last(&self, account: TenantId, namespace: NamespaceId, key: String) -> Result<Option<KvLogged>> {
        self.read(move |transaction| {
            let rows = transaction.query(
                "SELECT position, account, namespace, key, kind, value, value_blob, metadata, expiration FROM kv_log
                 WHERE account = $1 AND namespace = $2 AND key = $3",
                &[account.as_str().into(), namespace.as_str().into(), key.as_str().into()],
            )?;
            rows.first().map(logged).transpose()
        })
        .await
    }
}
