//! What every [`BlobStore`] must do. Each implementation's tests run [`run`].

use super::{
    BlobError, BlobStore, Etag, Expect, KEY_BYTES_MAX, OBJECT_BYTES_MAX, blob_key, get_blob, has_blob, put_blob,
};
use atoll_model::BlobHash;
use atoll_stdx::SplitMix64;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whether an object may lie below another one's key, as `a/b` below `a`. Blobs and artifacts do not need it, and a service
/// that keeps objects as files cannot do it; nor does such a one take keys that make long file names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    /// It may.
    Below,
    /// It may not.
    Apart,
}

/// Runs every case, each on a store of its own that `fresh` makes. Needs a tokio runtime with threads.
///
/// # Panics
/// If a case fails.
pub async fn run(nesting: Nesting, mut fresh: impl AsyncFnMut() -> Arc<dyn BlobStore>) {
    objects_are_read_back(&*fresh().await, nesting).await;
    ranges_are_parts(&*fresh().await).await;
    expectations_hold_or_nothing_happens(&*fresh().await).await;
    of_writers_with_one_expectation_one_succeeds(fresh().await).await;
    readers_see_whole_objects(fresh().await).await;
    pages_cover_a_list_once(&*fresh().await, nesting).await;
    bounds_are_checked(&*fresh().await).await;
    blobs_are_stored_once_and_verified(&*fresh().await).await;
    it_behaves_like_a_map(&*fresh().await).await;
}

/// What of the contract a store keeps that cannot expect anything of what it overwrites: enough for content that is known by
/// its hash.
pub async fn run_without_conditions(nesting: Nesting, mut fresh: impl AsyncFnMut() -> Arc<dyn BlobStore>) {
    objects_are_read_back(&*fresh().await, nesting).await;
    ranges_are_parts(&*fresh().await).await;
    readers_see_whole_objects(fresh().await).await;
    pages_cover_a_list_once(&*fresh().await, nesting).await;
    bounds_are_checked(&*fresh().await).await;
    blobs_are_stored_once_and_verified(&*fresh().await).await;
}

fn noise(seed: u64, bytes: usize) -> Bytes {
    let mut rng = SplitMix64::new(seed);
    (0..bytes).map(|_| rng.next_u64() as u8).collect()
}

async fn put(store: &dyn BlobStore, key: &str, bytes: impl Into<Bytes>) -> Etag {
    store.put(key, bytes.into(), Expect::Anything).await.unwrap()
}

async fn objects_are_read_back(store: &dyn BlobStore, nesting: Nesting) {
    let below = if nesting == Nesting::Below { "a/b" } else { "ab/b" };
    let further = if nesting == Nesting::Below {
        "a/b/c.d_e-f=g"
    } else {
        "ab/c.d_e-f=g"
    };
    let parts = if nesting == Nesting::Below { 6 } else { 1 };
    let long = format!("{}/x", vec!["p".repeat(84); parts].join("/"));
    for (key, bytes) in [
        ("a", Bytes::from_static(b"1")),
        (below, Bytes::new()),
        (further, Bytes::from_static(b"\0\xff")),
        ("A", Bytes::from_static(b"capital")),
        (long.as_str(), Bytes::from_static(b"long key")),
        ("large", noise(1, 9 << 20)),
    ] {
        assert!(
            matches!(store.get(key, None).await, Err(BlobError::NotFound { .. })),
            "{key}"
        );
        assert!(
            matches!(store.head(key).await, Err(BlobError::NotFound { .. })),
            "{key}"
        );
        let etag = put(store, key, bytes.clone()).await;
        let object = store.get(key, None).await.unwrap();
        assert!(object.bytes == bytes, "{key}");
        assert_eq!((object.size, &object.etag), (bytes.len() as u64, &etag));
        let facts = store.head(key).await.unwrap();
        assert_eq!((facts.size, facts.etag), (bytes.len() as u64, Some(etag)));
    }
    let before = put(store, "a", "2").await;
    assert_eq!(store.get("a", None).await.unwrap().bytes, "2");
    assert_ne!(put(store, "a", "3").await, before);
    for _ in 0..2 {
        store.delete("a").await.unwrap();
        assert!(matches!(store.get("a", None).await, Err(BlobError::NotFound { .. })));
    }
    // What lies below is another object.
    assert_eq!(store.get(below, None).await.unwrap().bytes, "");
}

async fn ranges_are_parts(store: &dyn BlobStore) {
    let etag = put(store, "k", "0123456789").await;
    for (range, expected) in [(0..10, "0123456789"), (0..1, "0"), (9..10, "9"), (3..7, "3456")] {
        let object = store.get("k", Some(range.clone())).await.unwrap();
        assert_eq!(object.bytes, expected, "{range:?}");
        assert_eq!((object.size, &object.etag), (10, &etag));
    }
    for range in [0..11, 10..11, 20..30] {
        let result = store.get("k", Some(range.clone())).await;
        assert!(matches!(result, Err(BlobError::Range { .. })), "{range:?}: {result:?}");
    }
    assert!(matches!(
        store.get("absent", Some(0..1)).await,
        Err(BlobError::NotFound { .. })
    ));
}

async fn expectations_hold_or_nothing_happens(store: &dyn BlobStore) {
    let check = async |expect: Expect, bytes: &'static str, holds: bool| {
        let before = store.get("k", None).await.ok();
        match store.put("k", bytes.into(), expect.clone()).await {
            Ok(etag) => {
                assert!(holds, "{expect:?}");
                let after = store.get("k", None).await.unwrap();
                assert_eq!((after.bytes, after.etag), (Bytes::from(bytes), etag));
            }
            Err(BlobError::Conflict { .. }) => {
                assert!(!holds, "{expect:?}");
                assert_eq!(store.get("k", None).await.ok(), before);
            }
            Err(error) => panic!("{error}"),
        }
    };
    let other = put(store, "other", "other").await;
    check(Expect::Etag(other.clone()), "0", false).await;
    check(Expect::Absent, "1", true).await;
    check(Expect::Absent, "2", false).await;
    check(Expect::Absent, "1", false).await;
    let first = store.head("k").await.unwrap().etag.unwrap();
    check(Expect::Etag(first.clone()), "2", true).await;
    check(Expect::Etag(first), "3", false).await;
    check(Expect::Etag(other), "3", false).await;
    check(Expect::Anything, "4", true).await;
    let last = store.head("k").await.unwrap().etag.unwrap();
    store.delete("k").await.unwrap();
    check(Expect::Etag(last), "5", false).await;
    check(Expect::Absent, "6", true).await;
}

async fn of_writers_with_one_expectation_one_succeeds(store: Arc<dyn BlobStore>) {
    for round in 0..10 {
        let key = format!("race/{round}");
        let expect = match round % 2 {
            0 => Expect::Absent,
            _ => Expect::Etag(put(&*store, &key, "start").await),
        };
        let tasks: Vec<_> = (0..8u8)
            .map(|writer| {
                let (store, key, expect) = (store.clone(), key.clone(), expect.clone());
                tokio::spawn(async move { (writer, store.put(&key, vec![writer; 100].into(), expect).await) })
            })
            .collect();
        let mut winners = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                (writer, Ok(_)) => winners.push(writer),
                (_, Err(BlobError::Conflict { .. })) => {}
                (_, Err(error)) => panic!("{error}"),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        assert_eq!(store.get(&key, None).await.unwrap().bytes, vec![winners[0]; 100]);
    }
}

async fn readers_see_whole_objects(store: Arc<dyn BlobStore>) {
    let content = |value: u8| Bytes::from(vec![value; 50_000 + usize::from(value)]);
    put(&*store, "k", content(0)).await;
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for value in 1..=20 {
                put(&*store, "k", content(value)).await;
            }
        })
    };
    loop {
        let over = writer.is_finished();
        let object = store.get("k", None).await.unwrap();
        assert!(object.bytes == content(object.bytes[0]), "a mixture of two writes");
        if over {
            break;
        }
    }
    writer.await.unwrap();
    assert!(store.get("k", None).await.unwrap().bytes == content(20));
}

async fn pages_cover_a_list_once(store: &dyn BlobStore, nesting: Nesting) {
    let mut keys: Vec<String> = ["b-c", "b/b", "b.d", "ba", "c/d/e/f", "c0", "B"]
        .map(str::to_owned)
        .to_vec();
    keys.extend(match nesting {
        Nesting::Below => ["b", "b/a", "b/a/c"].map(str::to_owned).to_vec(),
        Nesting::Apart => ["b0", "b/a/a", "b/a/c"].map(str::to_owned).to_vec(),
    });
    keys.extend((0..30).map(|n| format!("many/{}/{n}", n % 7)));
    for (at, key) in keys.iter().enumerate() {
        put(store, key, vec![0; at]).await;
    }
    let sizes: BTreeMap<String, u64> = keys
        .iter()
        .enumerate()
        .map(|(at, key)| (key.clone(), at as u64))
        .collect();
    for prefix in ["", "b/", "b/a/", "many/", "many/3/", "absent/", "c/d/"] {
        let expected: Vec<(&String, &u64)> = sizes.iter().filter(|(key, _)| key.starts_with(prefix)).collect();
        for limit in [1, 3, 1_000] {
            let mut found = Vec::new();
            let mut after: Option<String> = None;
            loop {
                let page = store.list(prefix, after.as_deref(), limit).await.unwrap();
                assert!(page.objects.len() <= limit);
                assert!(!page.more || page.objects.len() == limit);
                found.extend(page.objects.into_iter().map(|object| (object.key, object.size)));
                if !page.more {
                    break;
                }
                after = found.last().map(|(key, _)| key.clone());
            }
            let found: Vec<(&String, &u64)> = found.iter().map(|(key, size)| (key, size)).collect();
            assert_eq!(found, expected, "prefix {prefix:?} by {limit}");
        }
    }
    // From a key that is not there.
    let page = store.list("", Some("b/aa"), 1).await.unwrap();
    assert_eq!(page.objects[0].key, "b/b");
    store.delete("b/b").await.unwrap();
    let page = store.list("b/", None, 10).await.unwrap();
    let left: Vec<&str> = page.objects.iter().map(|object| object.key.as_str()).collect();
    let first = if nesting == Nesting::Below { "b/a" } else { "b/a/a" };
    assert_eq!(left, [first, "b/a/c"]);
}

async fn bounds_are_checked(store: &dyn BlobStore) {
    let long = "k".repeat(KEY_BYTES_MAX + 1);
    for key in [
        "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a b", "a~", "a\0", "\u{e9}", "a\\b", &long,
    ] {
        let refused = |result: Result<(), BlobError>| assert!(matches!(result, Err(BlobError::Key { .. })), "{key:?}");
        refused(store.put(key, Bytes::new(), Expect::Anything).await.map(drop));
        refused(store.get(key, None).await.map(drop));
        refused(store.head(key).await.map(drop));
        refused(store.delete(key).await);
    }
    for prefix in ["a", "/", "../", "a//", "a b/"] {
        assert!(
            matches!(store.list(prefix, None, 1).await, Err(BlobError::Key { .. })),
            "{prefix:?}"
        );
    }
    let large = Bytes::from(vec![0; OBJECT_BYTES_MAX + 1]);
    assert!(matches!(
        store.put("k", large, Expect::Anything).await,
        Err(BlobError::TooLarge { .. })
    ));
    assert_eq!(store.list("", None, 10).await.unwrap().objects, []);
}

async fn blobs_are_stored_once_and_verified(store: &dyn BlobStore) {
    let hash = BlobHash::of(b"some bytes");
    assert!(!has_blob(store, &hash).await.unwrap());
    for _ in 0..2 {
        assert_eq!(put_blob(store, "some bytes".into()).await.unwrap(), hash);
    }
    assert!(has_blob(store, &hash).await.unwrap());
    assert_eq!(get_blob(store, &hash).await.unwrap(), "some bytes");
    assert_eq!(store.list("blobs/", None, 10).await.unwrap().objects.len(), 1);
    put(store, &blob_key(&hash), "other bytes").await;
    assert!(matches!(get_blob(store, &hash).await, Err(BlobError::Corrupt { .. })));
}

async fn it_behaves_like_a_map(store: &dyn BlobStore) {
    let mut rng = SplitMix64::new(5);
    let mut model: BTreeMap<String, (Bytes, Etag)> = BTreeMap::new();
    for step in 0..200 {
        let key = format!("m/{}", rng.below(6));
        match rng.below(5) {
            0 => {
                store.delete(&key).await.unwrap();
                model.remove(&key);
            }
            1 => {
                let found = store
                    .get(&key, None)
                    .await
                    .ok()
                    .map(|object| (object.bytes, object.etag));
                assert_eq!(found.as_ref(), model.get(&key), "step {step}");
            }
            kind => {
                let bytes = noise(step, rng.below(2_000) as usize);
                let known = model.get(&key).map(|(_, etag)| etag.clone());
                let expect = match (kind, known.clone()) {
                    (2, _) => Expect::Absent,
                    (3, Some(etag)) => Expect::Etag(etag),
                    _ => Expect::Anything,
                };
                let result = store.put(&key, bytes.clone(), expect.clone()).await;
                if expect == Expect::Absent && known.is_some() {
                    assert!(matches!(result, Err(BlobError::Conflict { .. })), "step {step}");
                } else {
                    model.insert(key, (bytes, result.unwrap()));
                }
            }
        }
    }
    let page = store.list("m/", None, 100).await.unwrap();
    let found: Vec<&String> = page.objects.iter().map(|object| &object.key).collect();
    assert_eq!(found, model.keys().collect::<Vec<_>>());
}
