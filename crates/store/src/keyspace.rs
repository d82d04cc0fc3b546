//! The seam: ordered byte keys, atomic durable commits, snapshot reads.
//!
//! A [`Reply`] is a future that needs no particular runtime and never blocks the thread that polls it; it may be ready at
//! once. Dropping a reply does not undo a commit. Deadlines belong to the caller, who knows what it is waiting for.

use crate::StoreError;
use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::ops::Bound;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// The longest key, bytes.
pub const KEY_BYTES_MAX: usize = 8 * 1024;
/// The longest value, bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most bytes (keys and values) of one batch.
pub const BATCH_BYTES_MAX: usize = 128 * 1024 * 1024;
/// The most operations of one batch.
pub const BATCH_OPS_MAX: usize = 10_000;
/// The most entries one scan looks at, kept or not, before it returns a page with [`Page::next`].
pub const SCAN_EXAMINE_MAX: usize = 10_000;
/// The most bytes (keys and values) of one page; the entry that crosses it is still returned.
pub const PAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Keys that start with this byte belong to the store itself.
pub const RESERVED_FIRST_BYTE: u8 = 0;

/// The number of a group of commits made durable together. Grows by one per group for as long as the store lives, across
/// restarts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitSeq(pub u64);

/// Ordered byte keys on one node's disk. Handles are shared behind an `Arc`.
pub trait Keyspace: Send + Sync + fmt::Debug + 'static {
    /// The value of one key.
    fn get(&self, key: &[u8]) -> Reply<Option<Bytes>>;
    /// The values of several keys as of one moment, in the order of `keys`.
    fn get_many(&self, keys: Vec<Bytes>) -> Reply<Vec<Option<Bytes>>>;
    /// One page of a range as of one moment.
    fn scan(&self, scan: Scan) -> Reply<Page>;
    /// Makes all of `batch` durable, or none of it. Operations on the same key apply in order. Batches of concurrent
    /// callers apply one after the other.
    fn commit(&self, batch: Batch) -> Reply<CommitSeq>;
}

/// What a filter says of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs in the page.
    Keep,
    /// It does not.
    Skip,
}

/// Decides by key and value; runs on the store's threads and must be quick.
pub type Filter = Arc<dyn Fn(&[u8], &[u8]) -> Verdict + Send + Sync>;

/// What to scan.
#[derive(Clone)]
pub struct Scan {
    /// Where to start.
    pub start: Bound<Bytes>,
    /// Where to end.
    pub end: Bound<Bytes>,
    /// The most entries of the page, at least 1.
    pub limit: usize,
    /// Which entries count.
    pub filter: Option<Filter>,
}

impl Scan {
    /// Every key that starts with `prefix`.
    pub fn prefix(prefix: &[u8], limit: usize) -> Self {
        Self {
            start: Bound::Included(Bytes::copy_from_slice(prefix)),
            end: prefix_end(prefix),
            limit,
            filter: None,
        }
    }

    /// Starts after `key` if that is later than where the scan would start.
    pub fn after(mut self, key: Bytes) -> Self {
        let later = match &self.start {
            Bound::Included(start) => key >= *start,
            Bound::Excluded(start) => key > *start,
            Bound::Unbounded => true,
        };
        if later {
            self.start = Bound::Excluded(key);
        }
        self
    }

    /// Keeps only what `filter` keeps.
    pub fn filtered(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Whether no key can lie in the range. The engines' range iterators may panic on such bounds.
    pub(crate) fn is_empty_range(&self) -> bool {
        match (&self.start, &self.end) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
                start >= end
            }
        }
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("start", &self.start)
            .field("end", &self.end)
            .field("limit", &self.limit)
            .field("filtered", &self.filter.is_some())
            .finish()
    }
}

/// The first key after every key that starts with `prefix`.
fn prefix_end(prefix: &[u8]) -> Bound<Bytes> {
    // The last byte that can grow does; whatever follows it is dropped. A prefix of 0xFF alone has no end.
    match prefix.iter().rposition(|byte| *byte != u8::MAX) {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            Bound::Excluded(Bytes::from(end))
        }
        None => Bound::Unbounded,
    }
}

/// Part of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// In order of their keys.
    pub entries: Vec<(Bytes, Bytes)>,
    /// More may follow after this key; `None` if the range is exhausted. A page may be short, even empty, with more to
    /// follow: a scan looks at no more than [`SCAN_EXAMINE_MAX`] entries.
    pub next: Option<Bytes>,
}

/// Fills a page from entries in order. Both implementations use it, so that paging cannot differ.
pub(crate) fn fill_page<E>(scan: &Scan, entries: impl Iterator<Item = Result<(Bytes, Bytes), E>>) -> Result<Page, E> {
    let mut page = Page::default();
    let (mut examined, mut bytes) = (0usize, 0usize);
    let mut last_examined: Option<Bytes> = None;
    for entry in entries {
        let (key, value) = entry?;
        if key.first() == Some(&RESERVED_FIRST_BYTE) {
            continue;
        }
        let keep = scan
            .filter
            .as_ref()
            .is_none_or(|filter| filter(&key, &value) == Verdict::Keep);
        // The page is full: one more entry that counts proves that more follows.
        if page.entries.len() >= scan.limit || bytes >= PAGE_BYTES_MAX {
            if keep || examined >= SCAN_EXAMINE_MAX {
                page.next = last_examined;
                return Ok(page);
            }
        } else if examined >= SCAN_EXAMINE_MAX {
            page.next = last_examined;
            return Ok(page);
        } else if keep {
            bytes += key.len() + value.len();
            page.entries.push((key.clone(), value));
        }
        examined += 1;
        last_examined = Some(key);
    }
    Ok(page)
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    Put(Bytes, Bytes),
    Delete(Bytes),
}

/// Changes that happen together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub(crate) expected: Vec<(Bytes, Option<Bytes>)>,
    pub(crate) ops: Vec<Op>,
}

impl Batch {
    /// No changes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        self.ops.push(Op::Put(key.into(), value.into()));
        self
    }

    /// Removes `key`; an absent one is no error.
    pub fn delete(&mut self, key: impl Into<Bytes>) -> &mut Self {
        self.ops.push(Op::Delete(key.into()));
        self
    }

    /// The batch applies only if `key` has exactly this value (`None`: is absent) when its turn comes; else it answers
    /// [`StoreError::Conflict`].
    pub fn expect(&mut self, key: impl Into<Bytes>, value: Option<Bytes>) -> &mut Self {
        self.expected.push((key.into(), value));
        self
    }

    /// How many changes.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Bytes of all keys and values.
    pub(crate) fn bytes(&self) -> usize {
        let ops: usize = self
            .ops
            .iter()
            .map(|op| match op {
                Op::Put(key, value) => key.len() + value.len(),
                Op::Delete(key) => key.len(),
            })
            .sum();
        let expected: usize = self
            .expected
            .iter()
            .map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len))
            .sum();
        ops + expected
    }

    /// The door: bounds and reserved keys. Returns the batch's size in bytes.
    pub(crate) fn check(&self) -> Result<usize, StoreError> {
        let count = self.ops.len() + self.expected.len();
        if count > BATCH_OPS_MAX {
            return Err(StoreError::TooMany {
                got: count,
                limit: BATCH_OPS_MAX,
            });
        }
        for op in &self.ops {
            match op {
                Op::Put(key, value) => {
                    check_key(key)?;
                    check_size("a value", value.len(), VALUE_BYTES_MAX)?;
                }
                Op::Delete(key) => check_key(key)?,
            }
        }
        for (key, _) in &self.expected {
            check_key(key)?;
        }
        let bytes = self.bytes();
        check_size("a batch", bytes, BATCH_BYTES_MAX)?;
        Ok(bytes)
    }
}

/// Refuses empty, reserved and overlong keys.
pub(crate) fn check_key(key: &[u8]) -> Result<(), StoreError> {
    match key.first() {
        None | Some(&RESERVED_FIRST_BYTE) => Err(StoreError::ReservedKey),
        Some(_) => check_size("a key", key.len(), KEY_BYTES_MAX),
    }
}

fn check_size(what: &'static str, got: usize, limit: usize) -> Result<(), StoreError> {
    if got > limit {
        Err(StoreError::TooLarge { what, got, limit })
    } else {
        Ok(())
    }
}

/// An answer, now or later.
pub struct Reply<T>(State<T>);

enum State<T> {
    Ready(Option<Result<T, StoreError>>),
    Waiting(oneshot::Receiver<Result<T, StoreError>>),
    Later(Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>),
}

// Nothing inside is self-referential: the boxed future is pinned by its box.
impl<T> Unpin for Reply<T> {}

impl<T> Reply<T> {
    /// An answer that is known.
    pub fn ready(result: Result<T, StoreError>) -> Self {
        Self(State::Ready(Some(result)))
    }

    /// An answer that another thread will send. If it goes away without, the answer is [`StoreError::Closed`].
    pub fn waiting(receiver: oneshot::Receiver<Result<T, StoreError>>) -> Self {
        Self(State::Waiting(receiver))
    }

    /// An answer that takes more than one step.
    pub fn later(future: impl Future<Output = Result<T, StoreError>> + Send + 'static) -> Self {
        Self(State::Later(Box::pin(future)))
    }

    /// Whether the first poll will answer.
    pub fn is_ready(&self) -> bool {
        matches!(self.0, State::Ready(_))
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => Poll::Ready(
                result
                    .take()
                    .unwrap_or_else(|| Err(StoreError::closed("polled after its answer"))),
            ),
            State::Waiting(receiver) => Pin::new(receiver)
                .poll(cx)
                .map(|answer| answer.unwrap_or_else(|_| Err(StoreError::closed("it stopped before it answered")))),
            State::Later(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_ready() {
            "Reply(ready)"
        } else {
            "Reply(pending)"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_its_successor() {
        fn check(prefix: &[u8], expected: Option<&[u8]>) {
            let expected = expected.map_or(Bound::Unbounded, |end| Bound::Excluded(Bytes::copy_from_slice(end)));
            assert_eq!(prefix_end(prefix), expected, "prefix {prefix:?}");
        }
        check(b"", None);
        check(b"a", Some(b"b"));
        check(b"ab", Some(b"ac"));
        check(b"a\xff", Some(b"b"));
        check(b"a\xff\xff", Some(b"b"));
        check(b"\xff", None);
        check(b"\xff\xff", None);
        check(b"\x00", Some(b"\x01"));
    }

    #[test]
    fn a_batch_is_checked_at_the_door() {
        fn check(build: impl Fn(&mut Batch), expected: Result<usize, &str>) {
            let mut batch = Batch::new();
            build(&mut batch);
            assert_eq!(
                batch.check().map_err(|error| error.to_string()),
                expected.map_err(str::to_owned)
            );
        }
        check(|_| {}, Ok(0));
        check(
            |b| {
                b.put("a", "bc");
            },
            Ok(3),
        );
        check(
            |b| {
                b.put("", "bc");
            },
            Err("a key must not be empty nor start with byte 0"),
        );
        check(
            |b| {
                b.delete("\0x");
            },
            Err("a key must not be empty nor start with byte 0"),
        );
        check(
            |b| {
                b.expect("\0x", None);
            },
            Err("a key must not be empty nor start with byte 0"),
        );
        check(
            |b| {
                b.delete(vec![1; 8192]);
            },
            Ok(8192),
        );
        check(
            |b| {
                b.delete(vec![1; 8193]);
            },
            Err("a key of 8193 bytes breaks the store's limit of 8192"),
        );
        check(
            |b| {
                b.put("k", vec![0; VALUE_BYTES_MAX + 1]);
            },
            Err("a value of 67108865 bytes breaks the store's limit of 67108864"),
        );
        check(
            |b| {
                (0..=BATCH_OPS_MAX).for_each(|_| {
                    b.delete("k");
                })
            },
            Err("a batch of 10001 operations breaks the store's limit of 10000"),
        );
    }
}
