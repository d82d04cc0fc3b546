//! The operations on one namespace.

use crate::keys::Scope;
use crate::limits::*;
use crate::record::{EXPIRY_VALUE, Header, is_expired};
use crate::{Kv, KvError, Operation, cursor};
use atoll_store::{Batch, Reply, Scan, Verdict};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// A namespace of one tenant. Clones are handles to the same namespace.
#[derive(Debug, Clone)]
pub struct Namespace {
    kv: Kv,
    scope: Scope,
}

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The bytes.
    pub value: Bytes,
    /// Serialized JSON, as it was written.
    pub metadata: Option<String>,
    /// Seconds since the Unix epoch.
    pub expiration: Option<u64>,
}

/// A write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Put {
    /// The key.
    pub key: String,
    /// The bytes.
    pub value: Bytes,
    /// Serialized JSON.
    pub metadata: Option<String>,
    /// Absolute, seconds since the Unix epoch. With `expiration_ttl` too, the latter counts.
    pub expiration: Option<u64>,
    /// Relative, seconds from now.
    pub expiration_ttl: Option<u64>,
}

/// What to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Only keys that start with this.
    pub prefix: String,
    /// 1 to [`LIST_LIMIT_MAX`].
    pub limit: u32,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// A page of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// In the order of their UTF-8 bytes.
    pub keys: Vec<Key>,
    /// Where the next page starts; `None` if this was the last. A page may be short, even empty, and have one.
    pub cursor: Option<String>,
}

/// A key in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Seconds since the Unix epoch.
    pub expiration: Option<u64>,
    /// Serialized JSON.
    pub metadata: Option<String>,
}

impl Namespace {
    pub(crate) fn open(kv: Kv, tenant: &str, namespace: &str) -> Result<Self, KvError> {
        Ok(Self {
            kv,
            scope: Scope::new(tenant, namespace)?,
        })
    }

    /// Reads one key; `None` for what is absent or expired.
    ///
    /// # Errors
    /// [`KvError::KeyName`], [`KvError::Rejected`] for the key's form, [`KvError::Store`].
    pub async fn get(&self, key: &str) -> Result<Option<Entry>, KvError> {
        let operation = Operation::Get;
        check_key(operation, key)?;
        let stored = answer(operation, self.kv.keyspace.get(&self.scope.record(key))).await?;
        self.entry(operation, stored, self.kv.clock.now_secs())
    }

    /// Reads 1 to [`BULK_KEYS_MAX`] keys as of one moment; the answers stand in the order of `keys`.
    ///
    /// # Errors
    /// As [`Self::get`], and if the values together exceed [`BULK_BYTES_MAX`].
    pub async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Entry>>, KvError> {
        let operation = Operation::GetBulk;
        if keys.len() > BULK_KEYS_MAX {
            let message = format!("You can request a maximum of {BULK_KEYS_MAX} keys");
            return Err(KvError::rejected(operation, 400, message));
        }
        if keys.is_empty() {
            return Err(KvError::rejected(
                operation,
                400,
                "You must request a minimum of 1 key".to_owned(),
            ));
        }
        for key in keys {
            check_key_in_bulk(operation, key)?;
        }
        let stored = keys.iter().map(|key| self.scope.record(key)).collect();
        let stored = answer(operation, self.kv.keyspace.get_many(stored)).await?;
        let now = self.kv.clock.now_secs();
        let mut entries = Vec::with_capacity(keys.len());
        let mut bytes = 0;
        for stored in stored {
            let entry = self.entry(operation, stored, now)?;
            bytes += entry.as_ref().map_or(0, |entry| entry.value.len());
            entries.push(entry);
        }
        if bytes > BULK_BYTES_MAX {
            let message = format!(
                "Total size of request exceeds the limit of {}MB",
                BULK_BYTES_MAX / 1024 / 1024
            );
            return Err(KvError::rejected(operation, 413, message));
        }
        Ok(entries)
    }

    /// Writes one key, replacing what was there. Durable when it returns.
    ///
    /// # Errors
    /// [`KvError::KeyName`], [`KvError::Rejected`] for a limit, [`KvError::Store`].
    pub async fn put(&self, put: Put) -> Result<(), KvError> {
        let operation = Operation::Put;
        let now_ms = self.kv.clock.now_ms();
        let expiration = check_put(&put, now_ms / 1000)?;
        let (record_key, index_key) = (self.scope.record(&put.key), self.scope.index(&put.key));
        let header = Header {
            written_ms: now_ms,
            expiration,
            metadata: put.metadata,
        };
        let mut batch = Batch::new();
        self.forget_expiry(operation, &put.key, &index_key, &mut batch).await?;
        batch.put(index_key, header.index(put.value.len()));
        batch.put(record_key, header.record(&put.value));
        if let Some(expiration) = expiration {
            batch.put(self.scope.expiry(expiration, &put.key), EXPIRY_VALUE);
        }
        answer(operation, self.kv.keyspace.commit(batch)).await.map(drop)
    }

    /// Deletes keys; absent ones are no error. All of them or none; durable when it returns.
    ///
    /// # Errors
    /// [`KvError::KeyName`], [`KvError::Rejected`] for a key's form or more than [`DELETE_KEYS_MAX`] keys,
    /// [`KvError::Store`].
    pub async fn delete(&self, keys: &[String]) -> Result<(), KvError> {
        let operation = Operation::Delete;
        if keys.len() > DELETE_KEYS_MAX {
            let message = format!("You can delete a maximum of {DELETE_KEYS_MAX} keys");
            return Err(KvError::rejected(operation, 400, message));
        }
        for key in keys {
            check_key(operation, key)?;
        }
        let mut batch = Batch::new();
        for key in keys {
            let index_key = self.scope.index(key);
            self.forget_expiry(operation, key, &index_key, &mut batch).await?;
            batch.delete(index_key);
            batch.delete(self.scope.record(key));
        }
        if batch.is_empty() {
            return Ok(());
        }
        answer(operation, self.kv.keyspace.commit(batch)).await.map(drop)
    }

    /// One page of keys in the order of their UTF-8 bytes, as of one moment, without expired ones.
    ///
    /// # Errors
    /// [`KvError::Rejected`] for a limit, prefix or cursor that no list takes, [`KvError::Store`].
    pub async fn list(&self, options: &ListOptions) -> Result<List, KvError> {
        let operation = Operation::List;
        let after = check_list(options)?;
        let now = self.kv.clock.now_secs();
        // The limit is at most LIST_LIMIT_MAX.
        let mut scan = Scan::prefix(&self.scope.index(&options.prefix), options.limit as usize).filtered(Arc::new(
            move |_, entry| {
                if is_expired(entry, now) {
                    Verdict::Skip
                } else {
                    Verdict::Keep
                }
            },
        ));
        if let Some(after) = after {
            scan = scan.after(self.scope.index_bytes(&after));
        }
        let page = answer(operation, self.kv.keyspace.scan(scan)).await?;
        let mut keys = Vec::with_capacity(page.entries.len());
        for (index_key, entry) in page.entries {
            let (header, _) = Header::decode(entry).map_err(|unreadable| unreadable.during(operation))?;
            let name = self.name(operation, &index_key)?;
            let name = std::str::from_utf8(name)
                .map_err(|_| KvError::Damaged {
                    operation,
                    detail: "its key is no text",
                })?
                .to_owned();
            keys.push(Key {
                name,
                expiration: header.expiration,
                metadata: header.metadata,
            });
        }
        let cursor = match page.next {
            Some(index_key) => Some(cursor::encode(self.name(operation, &index_key)?)),
            None => None,
        };
        Ok(List { keys, cursor })
    }

    fn name<'a>(&self, operation: Operation, index_key: &'a [u8]) -> Result<&'a [u8], KvError> {
        let name = self.scope.key_of_index(index_key);
        name.ok_or(KvError::Damaged {
            operation,
            detail: "it lies outside its namespace",
        })
    }

    fn entry(&self, operation: Operation, stored: Option<Bytes>, now: u64) -> Result<Option<Entry>, KvError> {
        let Some(stored) = stored else { return Ok(None) };
        if is_expired(&stored, now) {
            return Ok(None);
        }
        let (header, value) = Header::decode(stored).map_err(|unreadable| unreadable.during(operation))?;
        Ok(Some(Entry {
            value,
            metadata: header.metadata,
            expiration: header.expiration,
        }))
    }

    /// Adds to `batch` the removal of the expiry entry that what is stored now has. Without a lock: of two writers at the
    /// same moment one leaves its entry behind, which the sweep finds to stand for nothing and removes.
    async fn forget_expiry(
        &self,
        operation: Operation,
        key: &str,
        index_key: &Bytes,
        batch: &mut Batch,
    ) -> Result<(), KvError> {
        let Some(old) = answer(operation, self.kv.keyspace.get(index_key)).await? else {
            return Ok(());
        };
        // A newer release's record may need more than this release knows to be taken back: it is not overwritten.
        let (header, _) = Header::decode(old).map_err(|unreadable| unreadable.during(operation))?;
        if let Some(expiration) = header.expiration {
            batch.delete(self.scope.expiry(expiration, key));
        }
        Ok(())
    }
}

/// Waits for the store, but not for ever.
pub(crate) async fn answer<T>(operation: Operation, mut reply: Reply<T>) -> Result<T, KvError> {
    let result = if reply.is_ready() {
        // No timer for what is there already.
        (&mut reply).await
    } else {
        match tokio::time::timeout(Duration::from_secs(OPERATION_SECS_MAX), reply).await {
            Ok(result) => result,
            Err(_) => return Err(KvError::Deadline { operation }),
        }
    };
    result.map_err(|source| KvError::Store { operation, source })
}

/// The rules for keys given one at a time; the platform refuses impossible names as wrong arguments.
fn check_key(operation: Operation, key: &str) -> Result<(), KvError> {
    match key {
        "" => Err(KvError::KeyName("Key name cannot be empty.")),
        "." => Err(KvError::KeyName("\".\" is not allowed as a key name.")),
        ".." => Err(KvError::KeyName("\"..\" is not allowed as a key name.")),
        _ => check_key_length(operation, key),
    }
}

/// The same rules for keys in bulk; the platform refuses all of them as broken rules.
fn check_key_in_bulk(operation: Operation, key: &str) -> Result<(), KvError> {
    match key {
        "" => Err(KvError::rejected(
            operation,
            400,
            "Key names must not be empty".to_owned(),
        )),
        "." | ".." => {
            let message = format!("Illegal key name \"{key}\". Please use a different name.");
            Err(KvError::rejected(operation, 400, message))
        }
        _ => check_key_length(operation, key),
    }
}

fn check_key_length(operation: Operation, key: &str) -> Result<(), KvError> {
    if key.len() > KEY_BYTES_MAX {
        let message = format!(
            "UTF-8 encoded length of {} exceeds key length limit of {KEY_BYTES_MAX}.",
            key.len()
        );
        return Err(KvError::rejected(operation, 414, message));
    }
    Ok(())
}

/// Returns the absolute expiration.
fn check_put(put: &Put, now: u64) -> Result<Option<u64>, KvError> {
    let operation = Operation::Put;
    let rejected = |status, message| Err(KvError::rejected(operation, status, message));
    check_key(operation, &put.key)?;
    let expiration = match (put.expiration_ttl, put.expiration) {
        (Some(0), _) => {
            return rejected(
                400,
                "Invalid expiration_ttl of 0. Please specify integer greater than 0.".to_owned(),
            );
        }
        (Some(ttl), _) if ttl < TTL_SECS_MIN => {
            return rejected(
                400,
                format!("Invalid expiration_ttl of {ttl}. Expiration TTL must be at least {TTL_SECS_MIN}."),
            );
        }
        (Some(ttl), _) => Some(now.saturating_add(ttl)),
        (None, Some(at)) if at <= now => {
            return rejected(
                400,
                format!(
                    "Invalid expiration of {at}. Please specify integer greater than the current number of seconds since \
                     the UNIX epoch."
                ),
            );
        }
        (None, Some(at)) if at < now.saturating_add(TTL_SECS_MIN) => {
            return rejected(
                400,
                format!(
                    "Invalid expiration of {at}. Expiration times must be at least {TTL_SECS_MIN} seconds in the future."
                ),
            );
        }
        (None, at) => at,
    };
    if let Some(metadata) = &put.metadata
        && metadata.len() > METADATA_BYTES_MAX
    {
        return rejected(
            413,
            format!(
                "Metadata length of {} exceeds limit of {METADATA_BYTES_MAX}.",
                metadata.len()
            ),
        );
    }
    if put.value.len() > VALUE_BYTES_MAX {
        return rejected(
            413,
            format!(
                "Value length of {} exceeds limit of {VALUE_BYTES_MAX}.",
                put.value.len()
            ),
        );
    }
    Ok(expiration)
}

/// Returns the key after which the page starts.
fn check_list(options: &ListOptions) -> Result<Option<Vec<u8>>, KvError> {
    let operation = Operation::List;
    let rejected = |message| Err(KvError::rejected(operation, 400, message));
    let limit = options.limit;
    if limit < 1 {
        return rejected(format!(
            "Invalid key_count_limit of {limit}. Please specify an integer greater than 0."
        ));
    }
    if limit > LIST_LIMIT_MAX {
        return rejected(format!(
            "Invalid key_count_limit of {limit}. Please specify an integer less than {LIST_LIMIT_MAX}."
        ));
    }
    check_key_length(operation, &options.prefix)?;
    match &options.cursor {
        None => Ok(None),
        Some(cursor) => match cursor::decode(cursor) {
            Some(after) => Ok(Some(after)),
            None => rejected("Invalid cursor. Please use the cursor of an earlier page.".to_owned()),
        },
    }
}
