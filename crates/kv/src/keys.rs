//! How a namespace's keys lie in the store's one ordered keyspace.
//!
//! ```text
//! scope   = tenant length u16 BE, tenant, namespace length u16 BE, namespace
//! record  = 0x10, scope, key                    -> header and value
//! index   = 0x11, scope, key                    -> header and the value's length: what a list needs, without values
//! expiry  = 0x12, expiration u64 BE, scope, key -> version byte; in the order in which keys expire
//! ```
//!
//! Lengths come before names, so no two scopes share a prefix and no key can reach into another scope. Within a scope keys
//! lie in the order of their UTF-8 bytes. Bytes below 0x10 and above 0x12 are free for what comes later.

use crate::KvError;
use crate::limits::SCOPE_ID_BYTES_MAX;
use bytes::{BufMut, Bytes, BytesMut};

const RECORD: u8 = 0x10;
const INDEX: u8 = 0x11;
const EXPIRY: u8 = 0x12;

/// A tenant's namespace, encoded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Scope(Bytes);

impl Scope {
    pub(crate) fn new(tenant: &str, namespace: &str) -> Result<Self, KvError> {
        let mut scope = BytesMut::with_capacity(4 + tenant.len() + namespace.len());
        for (what, id) in [("tenant", tenant), ("namespace", namespace)] {
            if id.is_empty() || id.len() > SCOPE_ID_BYTES_MAX {
                return Err(KvError::Scope { what, got: id.len() });
            }
            // Bounded by SCOPE_ID_BYTES_MAX above.
            scope.put_u16(id.len() as u16);
            scope.put_slice(id.as_bytes());
        }
        Ok(Self(scope.freeze()))
    }

    fn under(&self, tag: u8, key: &[u8]) -> Bytes {
        let mut bytes = BytesMut::with_capacity(1 + self.0.len() + key.len());
        bytes.put_u8(tag);
        bytes.put_slice(&self.0);
        bytes.put_slice(key);
        bytes.freeze()
    }

    pub(crate) fn record(&self, key: &str) -> Bytes {
        self.under(RECORD, key.as_bytes())
    }

    pub(crate) fn index(&self, key: &str) -> Bytes {
        self.under(INDEX, key.as_bytes())
    }

    /// As [`Self::index`], for a key that came from outside and may be no text.
    pub(crate) fn index_bytes(&self, key: &[u8]) -> Bytes {
        self.under(INDEX, key)
    }

    pub(crate) fn expiry(&self, expiration: u64, key: &str) -> Bytes {
        let mut bytes = BytesMut::with_capacity(9 + self.0.len() + key.len());
        bytes.put_u8(EXPIRY);
        bytes.put_u64(expiration);
        bytes.put_slice(&self.0);
        bytes.put_slice(key.as_bytes());
        bytes.freeze()
    }

    /// The key within the scope that an index key stands for.
    pub(crate) fn key_of_index<'a>(&self, index: &'a [u8]) -> Option<&'a [u8]> {
        index.strip_prefix(&[INDEX])?.strip_prefix(&self.0[..])
    }
}

/// All expiry keys.
pub(crate) const EXPIRY_PREFIX: [u8; 1] = [EXPIRY];

/// The first expiry key later than every one that expires at `now` or before.
pub(crate) fn expiry_end(now: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(9);
    bytes.put_u8(EXPIRY);
    bytes.put_u64(now.saturating_add(1));
    bytes.freeze()
}

/// When an expiry key expires, and the record and index keys it stands for.
pub(crate) fn parse_expiry(key: &[u8]) -> Option<(u64, Bytes, Bytes)> {
    let (expiration, scoped) = key.strip_prefix(&[EXPIRY])?.split_first_chunk::<8>()?;
    let with = |tag: u8| [&[tag], scoped].concat().into();
    Some((u64::from_be_bytes(*expiration), with(RECORD), with(INDEX)))
}

/// Whether a stored key is a record, an index entry or an expiry entry: for checks of the whole store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredKind {
    /// Header and value.
    Record,
    /// What a list needs.
    Index,
    /// An entry in the order of expiry.
    Expiry,
    /// Nothing this release knows.
    Unknown,
}

pub(crate) fn kind(key: &[u8]) -> StoredKind {
    match key.first() {
        Some(&RECORD) => StoredKind::Record,
        Some(&INDEX) => StoredKind::Index,
        Some(&EXPIRY) => StoredKind::Expiry,
        _ => StoredKind::Unknown,
    }
}

/// The index key of a record key.
pub(crate) fn index_of_record(record: &[u8]) -> Bytes {
    [&[INDEX], record.get(1..).unwrap_or_default()].concat().into()
}

/// The expiry key of a record key.
pub(crate) fn expiry_of_record(record: &[u8], expiration: u64) -> Bytes {
    [
        &[EXPIRY][..],
        &expiration.to_be_bytes(),
        record.get(1..).unwrap_or_default(),
    ]
    .concat()
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_never_share_a_prefix() {
        let names = ["a", "b", "aa", "ab", "a\u{0}", "\u{0}", "\u{0}\u{1}", "a\u{0}\u{1}a"];
        let mut scopes = Vec::new();
        for tenant in names {
            for namespace in names {
                scopes.push(Scope::new(tenant, namespace).unwrap());
            }
        }
        for (i, one) in scopes.iter().enumerate() {
            for (j, other) in scopes.iter().enumerate() {
                assert_eq!(one.0.starts_with(&other.0), i == j, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn ids_have_bounds() {
        fn check(tenant: &str, namespace: &str, expected: Option<&str>) {
            let error = Scope::new(tenant, namespace).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), expected);
        }
        check("t", "n", None);
        check(&"t".repeat(256), "n", None);
        check(
            "",
            "n",
            Some("a tenant id of 0 bytes is not between 1 and 256 bytes long"),
        );
        check(
            "t",
            &"n".repeat(257),
            Some("a namespace id of 257 bytes is not between 1 and 256 bytes long"),
        );
    }

    #[test]
    fn an_expiry_key_tells_what_it_stands_for() {
        let scope = Scope::new("t", "n").unwrap();
        let expiry = scope.expiry(77, "k");
        assert_eq!(parse_expiry(&expiry), Some((77, scope.record("k"), scope.index("k"))));
        assert_eq!(expiry_of_record(&scope.record("k"), 77), expiry);
        assert_eq!(index_of_record(&scope.record("k")), scope.index("k"));
        assert_eq!(scope.key_of_index(&scope.index("k")), Some(&b"k"[..]));
        assert!(expiry < expiry_end(77) && expiry > expiry_end(76));
        assert_eq!(parse_expiry(b"\x12short"), None);
        assert_eq!(parse_expiry(b""), None);
        assert_eq!(expiry_end(u64::MAX), expiry_end(u64::MAX - 1));
    }
}
