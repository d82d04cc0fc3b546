//! What every [`Keyspace`] must do, whoever implements it. Each implementation's tests run [`run`].

use crate::{
    BATCH_BYTES_MAX, BATCH_OPS_MAX, Batch, CommitSeq, KEY_BYTES_MAX, Keyspace, Page, Reply, SCAN_EXAMINE_MAX, Scan,
    StoreError, VALUE_BYTES_MAX, Verdict,
};
use atoll_stdx::SplitMix64;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::pin::Pin;
use std::sync::Arc;

/// A future of a [`Subject`].
pub type Opening<'a> = Pin<Box<dyn Future<Output = Arc<dyn Keyspace>> + Send + 'a>>;

/// What is under test: gives out keyspaces.
pub trait Subject {
    /// A new, empty keyspace; earlier ones are no longer used.
    fn fresh(&mut self) -> Opening<'_>;
    /// Closes the last one in good order and opens it again. No other handle to it exists.
    fn reopen(&mut self, keyspace: Arc<dyn Keyspace>) -> Opening<'_>;
}

/// Runs every case. Needs a tokio runtime.
///
/// # Panics
/// If a case fails.
pub async fn run(subject: &mut impl Subject) {
    values_are_read_back(&*subject.fresh().await).await;
    changes_of_a_batch_apply_in_order(&*subject.fresh().await).await;
    expectations_hold_or_nothing_happens(&*subject.fresh().await).await;
    racing_expectations_lose_nothing(subject.fresh().await).await;
    scans_keep_to_their_range(&*subject.fresh().await).await;
    pages_cover_a_range_once(&*subject.fresh().await).await;
    a_scan_looks_at_so_many_entries(&*subject.fresh().await).await;
    reads_of_several_keys_are_of_one_moment(subject.fresh().await).await;
    a_writer_reads_its_own_write(subject.fresh().await).await;
    bounds_are_checked(&*subject.fresh().await).await;
    a_dropped_reply_undoes_nothing(&*subject.fresh().await).await;
    what_was_committed_is_there_after_reopening(subject).await;
    for seed in 0..4 {
        it_behaves_like_a_map(subject, seed).await;
    }
}

async fn put(keyspace: &dyn Keyspace, key: impl Into<Bytes>, value: impl Into<Bytes>) -> CommitSeq {
    let mut batch = Batch::new();
    batch.put(key, value);
    keyspace.commit(batch).await.unwrap()
}

async fn scan_all(keyspace: &dyn Keyspace, scan: Scan) -> Vec<(Bytes, Bytes)> {
    let mut all = Vec::new();
    let mut next = scan.clone();
    loop {
        let page = keyspace.scan(next).await.unwrap();
        all.extend(page.entries);
        match page.next {
            Some(key) => next = scan.clone().after(key),
            None => return all,
        }
    }
}

fn everything(limit: usize) -> Scan {
    Scan {
        start: Bound::Unbounded,
        end: Bound::Unbounded,
        limit,
        filter: None,
    }
}

async fn values_are_read_back(keyspace: &dyn Keyspace) {
    let mut rng = SplitMix64::new(1);
    let large: Vec<u8> = (0..5 << 20).map(|_| rng.next_u64() as u8).collect();
    let cases: [(&[u8], &[u8]); 7] = [
        (b"a", b"1"),
        (b"empty", b""),
        (b"\x01", b"\x00"),
        (b"\xff\xff", b"\xff"),
        (b"a\x00b", b"nul"),
        (&[7; KEY_BYTES_MAX], b"long key"),
        (b"large", &large),
    ];
    for (key, value) in cases {
        assert_eq!(keyspace.get(key).await.unwrap(), None);
        put(keyspace, Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)).await;
        // Twice: from wherever the first read put it.
        for _ in 0..2 {
            assert!(
                keyspace.get(key).await.unwrap().is_some_and(|got| got == value),
                "{}",
                key.escape_ascii()
            );
        }
    }
    put(keyspace, "a", "2").await;
    assert_eq!(keyspace.get(b"a").await.unwrap().unwrap(), "2");
    let mut batch = Batch::new();
    batch.delete("a").delete("never there");
    keyspace.commit(batch).await.unwrap();
    for _ in 0..2 {
        assert_eq!(keyspace.get(b"a").await.unwrap(), None);
    }
}

async fn changes_of_a_batch_apply_in_order(keyspace: &dyn Keyspace) {
    let mut batch = Batch::new();
    batch
        .put("a", "1")
        .put("a", "2")
        .put("b", "1")
        .delete("b")
        .delete("c")
        .put("c", "1");
    let first = keyspace.commit(batch).await.unwrap();
    let got = keyspace
        .get_many(["a", "b", "c"].map(Bytes::from).to_vec())
        .await
        .unwrap();
    assert_eq!(got, [Some(Bytes::from("2")), None, Some(Bytes::from("1"))]);
    assert!(put(keyspace, "d", "1").await > first);
    // Nothing to do is no error.
    keyspace.commit(Batch::new()).await.unwrap();
}

async fn expectations_hold_or_nothing_happens(keyspace: &dyn Keyspace) {
    put(keyspace, "k", "1").await;
    let check = async |expected: &[(&'static str, Option<&'static str>)], applies: bool| {
        let before = keyspace.get(b"mark").await.unwrap();
        let mut batch = Batch::new();
        for (key, value) in expected {
            batch.expect(*key, value.map(Bytes::from));
        }
        batch.put("mark", format!("{expected:?}"));
        match keyspace.commit(batch).await {
            Ok(_) => assert!(applies, "{expected:?}"),
            Err(StoreError::Conflict) => {
                assert!(!applies, "{expected:?}");
                assert_eq!(keyspace.get(b"mark").await.unwrap(), before);
            }
            Err(error) => panic!("{error}"),
        }
    };
    check(&[("k", Some("1"))], true).await;
    check(&[("k", None)], false).await;
    check(&[("k", Some(""))], false).await;
    check(&[("absent", None)], true).await;
    check(&[("absent", Some(""))], false).await;
    check(&[("absent", None), ("k", Some("2"))], false).await;
    check(&[("absent", None), ("k", Some("1"))], true).await;
}

async fn racing_expectations_lose_nothing(keyspace: Arc<dyn Keyspace>) {
    const WRITERS: u64 = 8;
    const ROUNDS: u64 = 20;
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let keyspace = keyspace.clone();
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    loop {
                        let old = keyspace.get(b"count").await.unwrap();
                        let count = old.as_deref().map_or(0, number);
                        let mut batch = Batch::new();
                        batch.expect("count", old).put("count", (count + 1).to_string());
                        match keyspace.commit(batch).await {
                            Ok(_) => break,
                            Err(StoreError::Conflict) => tokio::task::yield_now().await,
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let count = keyspace.get(b"count").await.unwrap().unwrap();
    assert_eq!(number(&count), WRITERS * ROUNDS);
}

fn number(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).unwrap().parse().unwrap()
}

async fn scans_keep_to_their_range(keyspace: &dyn Keyspace) {
    let mut batch = Batch::new();
    let keys: [&[u8]; 8] = [b"a", b"a\x00", b"ab", b"a\xff", b"b", b"ba", b"\xff", b"\xff\xff"];
    for key in keys {
        batch.put(key, key);
    }
    keyspace.commit(batch).await.unwrap();
    let check = async |scan: Scan, expected: &[&[u8]]| {
        let shown = format!("{scan:?}");
        let page = keyspace.scan(scan).await.unwrap();
        let got: Vec<&[u8]> = page.entries.iter().map(|(key, _)| &key[..]).collect();
        assert_eq!(got, expected, "{shown}");
        assert!(page.entries.iter().all(|(key, value)| key == value));
        assert_eq!(page.next, None, "{shown}");
    };
    check(everything(100), &keys).await;
    check(Scan::prefix(b"", 100), &keys).await;
    check(Scan::prefix(b"a", 100), &keys[..4]).await;
    check(Scan::prefix(b"a\xff", 100), &keys[3..4]).await;
    check(Scan::prefix(b"b", 100), &keys[4..6]).await;
    check(Scan::prefix(b"\xff", 100), &keys[6..]).await;
    check(Scan::prefix(b"c", 100), &[]).await;
    check(Scan::prefix(b"a", 100).after("a".into()), &keys[1..4]).await;
    check(Scan::prefix(b"a", 100).after("a0".into()), &keys[2..4]).await;
    check(Scan::prefix(b"b", 100).after("a".into()), &keys[4..6]).await;
    check(Scan::prefix(b"a", 100).after("zz".into()), &[]).await;
    let range = |start: Bound<&'static str>, end: Bound<&'static str>| {
        let bound = |bound: Bound<&'static str>| bound.map(Bytes::from);
        Scan {
            start: bound(start),
            end: bound(end),
            limit: 100,
            filter: None,
        }
    };
    check(range(Bound::Included("ab"), Bound::Included("b")), &keys[2..5]).await;
    check(range(Bound::Excluded("ab"), Bound::Excluded("b")), &keys[3..4]).await;
    check(range(Bound::Included("b"), Bound::Included("b")), &keys[4..5]).await;
    check(range(Bound::Included("b"), Bound::Excluded("b")), &[]).await;
    check(range(Bound::Excluded("b"), Bound::Excluded("b")), &[]).await;
    check(range(Bound::Included("b"), Bound::Included("a")), &[]).await;
    check(range(Bound::Unbounded, Bound::Excluded("ab")), &keys[..2]).await;
    let b_only = everything(100).filtered(Arc::new(|key: &[u8], _: &[u8]| {
        if key.starts_with(b"b") {
            Verdict::Keep
        } else {
            Verdict::Skip
        }
    }));
    check(b_only, &keys[4..6]).await;
}

async fn pages_cover_a_range_once(keyspace: &dyn Keyspace) {
    let expected: Vec<(Bytes, Bytes)> = (0..100u8)
        .map(|n| (Bytes::from(vec![b'p', n]), Bytes::from(vec![n; usize::from(n)])))
        .collect();
    let mut batch = Batch::new();
    batch.put("o", "before").put("q", "after");
    for (key, value) in &expected {
        batch.put(key.clone(), value.clone());
    }
    keyspace.commit(batch).await.unwrap();
    for limit in [1, 2, 7, 50, 99, 100, 101] {
        assert_eq!(
            scan_all(keyspace, Scan::prefix(b"p", limit)).await,
            expected,
            "limit {limit}"
        );
        // The last page knows that it is the last.
        let first = keyspace.scan(Scan::prefix(b"p", limit)).await.unwrap();
        assert_eq!(first.next.is_some(), limit < 100, "limit {limit}");
        assert_eq!(first.entries.len(), limit.min(100));
        let odd = |_: &[u8], value: &[u8]| {
            if value.len() % 2 == 1 {
                Verdict::Keep
            } else {
                Verdict::Skip
            }
        };
        let odds = scan_all(keyspace, Scan::prefix(b"p", limit).filtered(Arc::new(odd))).await;
        assert!(odds.iter().eq(expected.iter().skip(1).step_by(2)), "limit {limit}");
    }
}

async fn a_scan_looks_at_so_many_entries(keyspace: &dyn Keyspace) {
    let total = SCAN_EXAMINE_MAX + 10;
    for part in (0..total).collect::<Vec<_>>().chunks(BATCH_OPS_MAX) {
        let mut batch = Batch::new();
        for n in part {
            batch.put(format!("{n:06}"), "");
        }
        keyspace.commit(batch).await.unwrap();
    }
    let last = format!("{:06}", total - 1);
    let last_only = everything(1).filtered(Arc::new(move |key: &[u8], _: &[u8]| {
        if key == last.as_bytes() {
            Verdict::Keep
        } else {
            Verdict::Skip
        }
    }));
    let page = keyspace.scan(last_only.clone()).await.unwrap();
    let looked_at = format!("{:06}", SCAN_EXAMINE_MAX - 1);
    assert_eq!(
        page,
        Page {
            entries: Vec::new(),
            next: Some(looked_at.into())
        }
    );
    assert_eq!(scan_all(keyspace, last_only).await.len(), 1);
}

async fn reads_of_several_keys_are_of_one_moment(keyspace: Arc<dyn Keyspace>) {
    let writer = {
        let keyspace = keyspace.clone();
        tokio::spawn(async move {
            for n in 0..100u32 {
                let mut batch = Batch::new();
                for key in ["x1", "x2", "x3"] {
                    batch.put(key, n.to_string());
                }
                keyspace.commit(batch).await.unwrap();
            }
        })
    };
    let mut last = None;
    while !writer.is_finished() {
        let keys = ["x3", "x1", "x2", "x1"].map(Bytes::from).to_vec();
        let got = keyspace.get_many(keys).await.unwrap();
        assert!(got.windows(2).all(|pair| pair[0] == pair[1]), "{got:?}");
        let page = keyspace.scan(Scan::prefix(b"x", 10)).await.unwrap();
        assert!(page.entries.windows(2).all(|pair| pair[0].1 == pair[1].1), "{page:?}");
        let now = page.entries.first().map(|(_, value)| number(value));
        assert!(now >= last, "a scan went back from {last:?} to {now:?}");
        last = now;
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    assert_eq!(keyspace.get_many(Vec::new()).await.unwrap(), []);
}

async fn a_writer_reads_its_own_write(keyspace: Arc<dyn Keyspace>) {
    let tasks: Vec<_> = (0..6u32)
        .map(|task| {
            let keyspace = keyspace.clone();
            tokio::spawn(async move {
                let mine = format!("own{task}");
                for n in 0..50u32 {
                    put(&*keyspace, mine.clone(), n.to_string()).await;
                    let got = keyspace.get(mine.as_bytes()).await.unwrap().unwrap();
                    assert_eq!(number(&got), u64::from(n));
                    // What others wrote may be anything up to now, but never goes back.
                    let other = format!("own{}", (task + 1) % 6);
                    let seen = keyspace
                        .get(other.as_bytes())
                        .await
                        .unwrap()
                        .map(|value| number(&value));
                    let again = keyspace
                        .get(other.as_bytes())
                        .await
                        .unwrap()
                        .map(|value| number(&value));
                    assert!(again >= seen, "{again:?} after {seen:?}");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn bounds_are_checked(keyspace: &dyn Keyspace) {
    let long = vec![1; KEY_BYTES_MAX + 1];
    for key in [&b""[..], b"\0", b"\0seq", &long] {
        let mut batch = Batch::new();
        batch.put("fine", "x").put(Bytes::copy_from_slice(key), "x");
        keyspace.commit(batch).await.unwrap_err();
        keyspace.get(key).await.unwrap_err();
        keyspace
            .get_many(vec!["fine".into(), Bytes::copy_from_slice(key)])
            .await
            .unwrap_err();
    }
    let mut batch = Batch::new();
    batch.put("fine", "x").put("large", vec![0; VALUE_BYTES_MAX + 1]);
    keyspace.commit(batch).await.unwrap_err();
    let mut batch = Batch::new();
    let value = Bytes::from(vec![0; VALUE_BYTES_MAX]);
    for n in 0..=BATCH_BYTES_MAX / VALUE_BYTES_MAX {
        batch.put(n.to_string(), value.clone());
    }
    keyspace.commit(batch).await.unwrap_err();
    let mut batch = Batch::new();
    for _ in 0..=BATCH_OPS_MAX {
        batch.put("fine", "x");
    }
    keyspace.commit(batch).await.unwrap_err();
    assert_eq!(keyspace.scan(everything(10)).await.unwrap(), Page::default());
}

async fn a_dropped_reply_undoes_nothing(keyspace: &dyn Keyspace) {
    let mut batch = Batch::new();
    batch.put("dropped", "1");
    drop::<Reply<_>>(keyspace.commit(batch));
    drop::<Reply<_>>(keyspace.get(b"dropped"));
    // The next commit comes after it.
    put(keyspace, "next", "1").await;
    assert_eq!(keyspace.get(b"dropped").await.unwrap().unwrap(), "1");
}

async fn what_was_committed_is_there_after_reopening(subject: &mut impl Subject) {
    let mut keyspace = subject.fresh().await;
    let mut last = put(&*keyspace, "k", "0").await;
    for n in 1..5u32 {
        let mut batch = Batch::new();
        batch
            .put(format!("k{n}"), vec![n as u8; 100_000])
            .put("k", n.to_string())
            .delete(format!("k{}", n - 1));
        let seq = keyspace.commit(batch).await.unwrap();
        assert!(seq > last, "{seq:?} after {last:?}");
        last = seq;
        keyspace = subject.reopen(keyspace).await;
        let entries = scan_all(&*keyspace, everything(100)).await;
        let keys: Vec<&Bytes> = entries.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [&Bytes::from("k"), &Bytes::from(format!("k{n}"))]);
        assert_eq!(entries[0].1, n.to_string());
        assert!(entries[1].1 == vec![n as u8; 100_000]);
    }
}

async fn it_behaves_like_a_map(subject: &mut impl Subject, seed: u64) {
    let mut rng = SplitMix64::new(seed);
    let mut keyspace = subject.fresh().await;
    let mut model: BTreeMap<Bytes, Bytes> = BTreeMap::new();
    let key = |rng: &mut SplitMix64| {
        let length = 1 + rng.below(3) as usize;
        let letter = |rng: &mut SplitMix64| [b'a', b'b', 0xff][rng.below(3) as usize];
        Bytes::from((0..length).map(|_| letter(rng)).collect::<Vec<_>>())
    };
    for step in 0..150 {
        match rng.below(20) {
            0..10 => {
                let mut batch = Batch::new();
                for _ in 0..=rng.below(5) {
                    let key = key(&mut rng);
                    if rng.below(3) == 0 {
                        batch.delete(key.clone());
                        model.remove(&key);
                    } else {
                        let size = if rng.below(20) == 0 {
                            70_000
                        } else {
                            rng.below(50) as usize
                        };
                        let value = Bytes::from(vec![step as u8; size]);
                        batch.put(key.clone(), value.clone());
                        model.insert(key, value);
                    }
                }
                keyspace.commit(batch).await.unwrap();
            }
            10..15 => {
                let key = key(&mut rng);
                assert_eq!(
                    keyspace.get(&key).await.unwrap().as_ref(),
                    model.get(&key),
                    "seed {seed}, step {step}"
                );
            }
            15..19 => {
                let prefix = key(&mut rng);
                let got = scan_all(&*keyspace, Scan::prefix(&prefix, 1 + rng.below(5) as usize)).await;
                let expected = model.iter().filter(|(key, _)| key.starts_with(&prefix));
                assert!(
                    got.iter().map(|(key, value)| (key, value)).eq(expected),
                    "seed {seed}, step {step}"
                );
            }
            _ => keyspace = subject.reopen(keyspace).await,
        }
    }
}
