//! The check of a whole store: do records, index entries and expiry entries agree? For campaigns and operators.

use crate::keys::{StoredKind, expiry_of_record, index_of_record, kind, parse_expiry};
use crate::namespace::answer;
use crate::record::Header;
use crate::{Kv, KvError, Operation};
use atoll_store::Scan;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Entries read at a time.
const PAGE: usize = 1000;
/// Findings kept; the rest is only counted.
const FINDINGS_MAX: usize = 100;

/// What a check of the whole store found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Records, expired ones that the sweep has not removed too.
    pub records: u64,
    /// Index entries.
    pub indexes: u64,
    /// Expiry entries.
    pub expiries: u64,
    /// Expiry entries that stand for nothing; harmless, the sweep removes them.
    pub stale_expiries: u64,
    /// How often something did not agree.
    pub disagreements: u64,
    /// The first of them, in words.
    pub findings: Vec<String>,
}

impl Inspection {
    fn disagree(&mut self, key: &[u8], what: &str) {
        self.disagreements += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(format!("{}: {what}", key.escape_ascii()));
        }
    }
}

/// Reads everything and compares. It holds the index of the whole store in memory and expects that nobody writes meanwhile.
///
/// # Errors
/// [`KvError::Store`].
pub async fn inspect(kv: &Kv) -> Result<Inspection, KvError> {
    let operation = Operation::List;
    let mut result = Inspection::default();
    // By record key: the record's own header and value length, to be met by its index and expiry entry.
    let mut records: BTreeMap<Bytes, (Header, u64)> = BTreeMap::new();
    let mut indexes: BTreeMap<Bytes, (Header, u64)> = BTreeMap::new();
    let mut expiries: BTreeMap<Bytes, Bytes> = BTreeMap::new();
    let mut scan = Scan {
        start: Bound::Unbounded,
        end: Bound::Unbounded,
        limit: PAGE,
        filter: None,
    };
    loop {
        let page = answer(operation, kv.keyspace.scan(scan.clone())).await?;
        for (key, value) in page.entries {
            match kind(&key) {
                StoredKind::Record => match Header::decode(value) {
                    Ok((header, value)) => drop(records.insert(key, (header, value.len() as u64))),
                    Err(error) => result.disagree(&key, &format!("{error:?}")),
                },
                StoredKind::Index => match Header::decode(value) {
                    Ok((header, length)) => match <[u8; 8]>::try_from(&length[..]) {
                        Ok(length) => drop(indexes.insert(key, (header, u64::from_le_bytes(length)))),
                        Err(_) => result.disagree(&key, "the index entry has no length"),
                    },
                    Err(error) => result.disagree(&key, &format!("{error:?}")),
                },
                StoredKind::Expiry => drop(expiries.insert(key, value)),
                StoredKind::Unknown => result.disagree(&key, "nothing of this release"),
            }
        }
        match page.next {
            Some(next) => scan = scan.after(next),
            None => break,
        }
    }
    result.records = records.len() as u64;
    result.indexes = indexes.len() as u64;
    result.expiries = expiries.len() as u64;
    for (key, record) in &records {
        match indexes.remove(&index_of_record(key)) {
            None => result.disagree(key, "a record without index entry"),
            Some(index) if index != *record => result.disagree(key, "record and index entry differ"),
            Some(_) => {}
        }
        if let Some(expiration) = record.0.expiration
            && !expiries.contains_key(&expiry_of_record(key, expiration))
        {
            result.disagree(key, "a record that expires has no expiry entry");
        }
    }
    for key in indexes.keys() {
        result.disagree(key, "an index entry without record");
    }
    for key in expiries.keys() {
        match parse_expiry(key) {
            None => result.disagree(key, "an expiry entry that names no key"),
            Some((expiration, record, _)) => {
                let stands = records
                    .get(&record)
                    .is_some_and(|(header, _)| header.expiration == Some(expiration));
                result.stale_expiries += u64::from(!stands);
            }
        }
    }
    Ok(result)
}
