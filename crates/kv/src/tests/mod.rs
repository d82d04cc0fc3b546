//! The semantics of a namespace, case by case, over the simulated disk. Random runs and crashes are in [`model`].

mod model;

use crate::limits::*;
use crate::{Inspection, Key, Kv, KvError, List, ListOptions, Namespace, Put, SWEEP_BATCH_MAX, SweepReport};
use atoll_model::{NamespaceId, TenantId};
use atoll_stdx::ManualClock;
use atoll_store::{Batch, Keyspace, SCAN_EXAMINE_MAX, SimDisk, SimKeyspace};
use bytes::Bytes;
use std::sync::Arc;

/// When the manual clock starts, seconds since the Unix epoch.
const NOW: u64 = 1_800_000_000;

struct World {
    disk: SimDisk,
    clock: ManualClock,
    keyspace: SimKeyspace,
    kv: Kv,
}

impl World {
    fn new() -> Self {
        let disk = SimDisk::new(1);
        disk.set_auto_sync(true);
        Self::on(disk, ManualClock::new(NOW * 1000 + 7))
    }

    fn on(disk: SimDisk, clock: ManualClock) -> Self {
        let keyspace = disk.open().unwrap();
        let kv = Kv::new(Arc::new(keyspace.clone()), Arc::new(clock.clone()));
        Self {
            disk,
            clock,
            keyspace,
            kv,
        }
    }

    fn namespace(&self, name: &str) -> Namespace {
        self.kv
            .namespace(&TenantId::new("tenant"), &NamespaceId::new(name))
            .unwrap()
    }

    async fn inspect(&self) -> Inspection {
        let inspection = crate::inspect(&self.kv).await.unwrap();
        assert_eq!(inspection.disagreements, 0, "{:#?}", inspection.findings);
        inspection
    }
}

fn put(key: &str, value: &str) -> Put {
    Put {
        key: key.to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ..Put::default()
    }
}

fn strings(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

fn names(list: &List) -> Vec<&str> {
    list.keys.iter().map(|key| key.name.as_str()).collect()
}

fn options(prefix: &str, limit: u32) -> ListOptions {
    ListOptions {
        prefix: prefix.to_owned(),
        limit,
        cursor: None,
    }
}

/// Compares the outcome with a message, `""` meaning success. The messages are what `workerd` with Miniflare gives for the
/// same call, with its clock at `NOW`.
fn same<T>(outcome: Result<T, KvError>, expected: &str, case: &str) {
    let got = outcome.err().map_or_else(String::new, |error| error.to_string());
    assert_eq!(got, expected, "{case}");
}

#[tokio::test]
async fn key_rules() {
    let world = World::new();
    let namespace = world.namespace("n");
    let check = async |key: &str, expected: &str| {
        let with = |verb: &str| expected.replace("VERB", verb);
        same(namespace.get(key).await, &with("GET"), key);
        same(namespace.put(put(key, "v")).await, &with("PUT"), key);
        same(namespace.delete(&strings(&[key])).await, &with("DELETE"), key);
    };
    let long = |length: usize| {
        format!("KV VERB failed: 414 UTF-8 encoded length of {length} exceeds key length limit of 512.")
    };
    check("k", "").await;
    check(" ", "").await;
    check("\u{0}", "").await;
    check("...", "").await;
    check("a/b?c#d%20", "").await;
    check("\u{1f600}", "").await;
    check("", "Key name cannot be empty.").await;
    check(".", "\".\" is not allowed as a key name.").await;
    check("..", "\"..\" is not allowed as a key name.").await;
    check(&"a".repeat(512), "").await;
    check(&"a".repeat(513), &long(513)).await;
    check(&"a".repeat(600), &long(600)).await;
    check(&"\u{e9}".repeat(256), "").await;
    check(&"\u{e9}".repeat(257), &long(514)).await;
    let check = async |keys: &[&str], expected: &str| same(namespace.get_many(&strings(keys)).await, expected, "bulk");
    check(&["a", "b"], "").await;
    check(&["a"; 100], "").await;
    check(
        &["a"; 101],
        "KV GET_BULK failed: 400 You can request a maximum of 100 keys",
    )
    .await;
    check(&[], "KV GET_BULK failed: 400 You must request a minimum of 1 key").await;
    check(&["a", ""], "KV GET_BULK failed: 400 Key names must not be empty").await;
    check(
        &["a", "."],
        "KV GET_BULK failed: 400 Illegal key name \".\". Please use a different name.",
    )
    .await;
    check(
        &["..", "a"],
        "KV GET_BULK failed: 400 Illegal key name \"..\". Please use a different name.",
    )
    .await;
    check(&["a", &"x".repeat(600)], &long(600).replace("VERB", "GET_BULK")).await;
}

#[tokio::test]
async fn expiration_rules() {
    let world = World::new();
    let namespace = world.namespace("n");
    // Absolute, relative; the message or the expiration that results.
    let check = async |expiration: Option<u64>, expiration_ttl: Option<u64>, expected: Result<Option<u64>, &str>| {
        let case = format!("{expiration:?} {expiration_ttl:?}");
        let outcome = namespace
            .put(Put {
                expiration,
                expiration_ttl,
                ..put("k", "v")
            })
            .await;
        same(outcome, expected.err().unwrap_or_default(), &case);
        if let Ok(expected) = expected {
            assert_eq!(
                namespace.get("k").await.unwrap().unwrap().expiration,
                expected,
                "{case}"
            );
        }
    };
    check(None, None, Ok(None)).await;
    check(None, Some(60), Ok(Some(NOW + 60))).await;
    check(None, Some(3600), Ok(Some(NOW + 3600))).await;
    check(None, Some(u64::MAX), Ok(Some(u64::MAX))).await;
    let ttl =
        |ttl: u64| format!("KV PUT failed: 400 Invalid expiration_ttl of {ttl}. Expiration TTL must be at least 60.");
    check(None, Some(59), Err(&ttl(59))).await;
    check(None, Some(10), Err(&ttl(10))).await;
    check(None, Some(1), Err(&ttl(1))).await;
    let zero = "KV PUT failed: 400 Invalid expiration_ttl of 0. Please specify integer greater than 0.";
    check(None, Some(0), Err(zero)).await;
    check(Some(NOW + 60), None, Ok(Some(NOW + 60))).await;
    check(Some(NOW + 61), None, Ok(Some(NOW + 61))).await;
    check(Some(u64::MAX), None, Ok(Some(u64::MAX))).await;
    let soon = |at: u64| {
        format!(
            "KV PUT failed: 400 Invalid expiration of {at}. Expiration times must be at least 60 seconds in the future."
        )
    };
    check(Some(NOW + 59), None, Err(&soon(NOW + 59))).await;
    check(Some(NOW + 1), None, Err(&soon(NOW + 1))).await;
    let past = |at: u64| {
        format!(
            "KV PUT failed: 400 Invalid expiration of {at}. Please specify integer greater than the current number of \
             seconds since the UNIX epoch."
        )
    };
    check(Some(NOW), None, Err(&past(NOW))).await;
    check(Some(100), None, Err(&past(100))).await;
    check(Some(0), None, Err(&past(0))).await;
    // The relative one counts, right or wrong.
    check(Some(5), Some(100), Ok(Some(NOW + 100))).await;
    check(Some(NOW + 100), Some(5), Err(&ttl(5))).await;
}

#[tokio::test]
async fn size_limits() {
    let world = World::new();
    let namespace = world.namespace("n");
    let check = async |metadata: usize, value: usize, expected: &str| {
        let metadata = (metadata > 0).then(|| format!("\"{}\"", "a".repeat(metadata - 2)));
        let put = Put {
            metadata: metadata.clone(),
            value: vec![7; value].into(),
            ..put("k", "")
        };
        same(namespace.put(put).await, expected, &format!("{value}"));
        if expected.is_empty() {
            let entry = namespace.get("k").await.unwrap().unwrap();
            assert_eq!((entry.metadata, entry.value.len()), (metadata, value));
        }
    };
    check(0, 0, "").await;
    check(1024, 0, "").await;
    check(
        1025,
        0,
        "KV PUT failed: 413 Metadata length of 1025 exceeds limit of 1024.",
    )
    .await;
    check(2, VALUE_BYTES_MAX, "").await;
    check(
        0,
        VALUE_BYTES_MAX + 1,
        "KV PUT failed: 413 Value length of 26214401 exceeds limit of 26214400.",
    )
    .await;
    // The last good write is still there.
    assert_eq!(namespace.get("k").await.unwrap().unwrap().value.len(), VALUE_BYTES_MAX);
    namespace.put(put("one byte", "x")).await.unwrap();
    let both = namespace.get_many(&strings(&["k", "one byte"])).await;
    same(
        both,
        "KV GET_BULK failed: 413 Total size of request exceeds the limit of 25MB",
        "bulk",
    );
    namespace.get_many(&strings(&["k", "absent"])).await.unwrap();
    same(namespace.delete(&vec!["k".to_owned(); 1000]).await, "", "1000 keys");
    let many = namespace.delete(&vec!["k".to_owned(); 1001]).await;
    same(
        many,
        "KV DELETE failed: 400 You can delete a maximum of 1000 keys",
        "1001 keys",
    );
    namespace.delete(&[]).await.unwrap();
}

#[tokio::test]
async fn list_rules() {
    let world = World::new();
    let namespace = world.namespace("n");
    namespace.put(put("k", "v")).await.unwrap();
    let check = async |limit: u32, prefix: &str, cursor: Option<&str>, expected: &str| {
        let options = ListOptions {
            limit,
            prefix: prefix.to_owned(),
            cursor: cursor.map(str::to_owned),
        };
        same(namespace.list(&options).await, expected, &format!("{options:?}"));
    };
    let limit =
        |limit: u32| format!("KV GET failed: 400 Invalid key_count_limit of {limit}. Please specify an integer");
    check(1, "", None, "").await;
    check(1000, "", None, "").await;
    check(0, "", None, &format!("{} greater than 0.", limit(0))).await;
    check(1001, "", None, &format!("{} less than 1000.", limit(1001))).await;
    check(10, &"a".repeat(512), None, "").await;
    let long = "KV GET failed: 414 UTF-8 encoded length of 600 exceeds key length limit of 512.";
    check(10, &"a".repeat(600), None, long).await;
    let cursor = "KV GET failed: 400 Invalid cursor. Please use the cursor of an earlier page.";
    for wrong in ["", "!!!", "zzzz", "AA", &"A".repeat(10_000)] {
        check(10, "", Some(wrong), cursor).await;
    }
}

#[tokio::test]
async fn lists_are_in_the_order_of_their_bytes() {
    let world = World::new();
    let namespace = world.namespace("n");
    let keys = [
        "a",
        "B",
        "\u{e9}",
        "z",
        "\u{ffff}",
        "\u{1f600}",
        "a/b",
        "a/",
        "a.",
        "10",
        "9",
        "a\u{0}",
        "\u{0}",
    ];
    for key in keys {
        let metadata = Some(format!("{{\"k\":{}}}", key.len()));
        namespace
            .put(Put {
                metadata,
                expiration_ttl: Some(100),
                ..put(key, "v")
            })
            .await
            .unwrap();
    }
    // Neighbours that must not show up.
    for other in ["m", "n\u{0}", "n2", "nn"] {
        world.namespace(other).put(put("a", "other")).await.unwrap();
    }
    let mut sorted = keys;
    sorted.sort_by_key(|key| key.as_bytes());
    let all = namespace.list(&options("", 1000)).await.unwrap();
    assert_eq!((names(&all), &all.cursor), (sorted.to_vec(), &None));
    let first = Key {
        name: "\u{0}".to_owned(),
        expiration: Some(NOW + 100),
        metadata: Some("{\"k\":1}".to_owned()),
    };
    assert_eq!(all.keys[0], first);
    let check = async |prefix: &str, expected: &[&str]| {
        assert_eq!(
            names(&namespace.list(&options(prefix, 1000)).await.unwrap()),
            expected,
            "{prefix}"
        );
    };
    check("a", &["a", "a\u{0}", "a.", "a/", "a/b"]).await;
    check("a/", &["a/", "a/b"]).await;
    check("a/b", &["a/b"]).await;
    check("a/bc", &[]).await;
    check("\u{e9}", &["\u{e9}"]).await;
    check("1", &["10"]).await;
    for limit in 1..15 {
        let (mut got, mut pages) = (Vec::new(), 0);
        let mut options = options("", limit);
        loop {
            let page = namespace.list(&options).await.unwrap();
            got.extend(page.keys.into_iter().map(|key| key.name));
            pages += 1;
            match page.cursor {
                Some(cursor) => options.cursor = Some(cursor),
                None => break,
            }
        }
        assert_eq!(got, sorted, "limit {limit}");
        assert_eq!(pages, 13usize.div_ceil(limit as usize), "limit {limit}");
    }
}

#[tokio::test]
async fn a_cursor_is_stable_under_writes_and_reaches_no_other_namespace() {
    let world = World::new();
    let namespace = world.namespace("n");
    for key in ["b", "d", "f", "h"] {
        namespace.put(put(key, "v")).await.unwrap();
    }
    world.namespace("o").put(put("z", "secret")).await.unwrap();
    let page = namespace.list(&options("", 2)).await.unwrap();
    assert_eq!(names(&page), ["b", "d"]);
    // The key the cursor names goes, others come before and after it.
    namespace.delete(&strings(&["d"])).await.unwrap();
    for key in ["a", "c", "e"] {
        namespace.put(put(key, "v")).await.unwrap();
    }
    let next = ListOptions {
        cursor: page.cursor.clone(),
        ..options("", 1000)
    };
    assert_eq!(names(&namespace.list(&next).await.unwrap()), ["e", "f", "h"]);
    // With another prefix it still is only a place in the order.
    let narrower = ListOptions {
        prefix: "f".to_owned(),
        ..next.clone()
    };
    assert_eq!(names(&namespace.list(&narrower).await.unwrap()), ["f"]);
    let earlier = ListOptions {
        prefix: "a".to_owned(),
        ..next.clone()
    };
    assert_eq!(names(&namespace.list(&earlier).await.unwrap()), [""; 0]);
    let other = world.namespace("p");
    assert_eq!(names(&other.list(&next).await.unwrap()), [""; 0]);
}

#[tokio::test]
async fn an_expired_key_is_hidden_at_once_and_swept_later() {
    let world = World::new();
    let namespace = world.namespace("n");
    for (key, ttl) in [("a", 60), ("b", 100), ("c", 100)] {
        namespace
            .put(Put {
                expiration_ttl: Some(ttl),
                ..put(key, "v")
            })
            .await
            .unwrap();
    }
    namespace.put(put("d", "v")).await.unwrap();
    let check = async |at: u64, expected: &[&str]| {
        world.clock.set_ms(at * 1000);
        assert_eq!(
            names(&namespace.list(&options("", 1000)).await.unwrap()),
            expected,
            "at {at}"
        );
        let many = namespace.get_many(&strings(&["a", "b", "c", "d"])).await.unwrap();
        for (key, found) in ["a", "b", "c", "d"].iter().zip(many) {
            assert_eq!(found, namespace.get(key).await.unwrap(), "at {at}");
            assert_eq!(found.is_some(), expected.contains(key), "{key} at {at}");
        }
    };
    check(NOW + 59, &["a", "b", "c", "d"]).await;
    check(NOW + 60, &["b", "c", "d"]).await;
    check(NOW + 99, &["b", "c", "d"]).await;
    check(NOW + 100, &["d"]).await;
    // The clock is set back: what was not swept is there again, what was swept is not.
    check(NOW + 61, &["b", "c", "d"]).await;
    assert_eq!(
        world.kv.sweep().await.unwrap(),
        SweepReport {
            removed: 1,
            ..SweepReport::default()
        }
    );
    check(NOW + 59, &["b", "c", "d"]).await;
    let inspection = world.inspect().await;
    assert_eq!((inspection.records, inspection.indexes, inspection.expiries), (3, 3, 2));
    // Written again, it lives by its new expiration, whatever the old one was.
    namespace.put(put("b", "again")).await.unwrap();
    namespace
        .put(Put {
            expiration_ttl: Some(1000),
            ..put("c", "again")
        })
        .await
        .unwrap();
    check(NOW + 100, &["b", "c", "d"]).await;
    assert_eq!(world.kv.sweep().await.unwrap(), SweepReport::default());
    namespace.delete(&strings(&["c"])).await.unwrap();
    let inspection = world.inspect().await;
    assert_eq!((inspection.records, inspection.expiries), (2, 0));
}

#[tokio::test]
async fn a_list_pages_past_many_expired_keys() {
    let world = World::new();
    let namespace = world.namespace("n");
    for n in 0..SCAN_EXAMINE_MAX + 5 {
        namespace
            .put(Put {
                expiration_ttl: Some(60),
                ..put(&format!("k{n:06}"), "")
            })
            .await
            .unwrap();
    }
    namespace.put(put("z", "alive")).await.unwrap();
    world.clock.advance_ms(60_000);
    // The first page is empty and says that more follows.
    let first = namespace.list(&options("", 10)).await.unwrap();
    assert_eq!(names(&first), [""; 0]);
    let second = namespace
        .list(&ListOptions {
            cursor: first.cursor,
            ..options("", 10)
        })
        .await
        .unwrap();
    assert_eq!((names(&second), &second.cursor), (vec!["z"], &None));
    // The sweep goes in bounded rounds.
    let report = world.kv.sweep().await.unwrap();
    assert_eq!(
        report,
        SweepReport {
            removed: SWEEP_BATCH_MAX,
            more: true,
            ..SweepReport::default()
        }
    );
}

#[tokio::test]
async fn the_sweep_never_removes_a_newer_write() {
    // The write lands between the sweep's reading and its commit: the disk does not sync until told.
    let disk = SimDisk::new(1);
    let world = World::on(disk.clone(), ManualClock::new(NOW * 1000));
    let namespace = world.namespace("n");
    disk.set_auto_sync(true);
    namespace
        .put(Put {
            expiration_ttl: Some(60),
            ..put("k", "old")
        })
        .await
        .unwrap();
    namespace
        .put(Put {
            expiration_ttl: Some(60),
            ..put("l", "old")
        })
        .await
        .unwrap();
    world.clock.advance_ms(61_000);
    disk.set_auto_sync(false);
    let write = async {
        let put = namespace.put(Put {
            expiration_ttl: Some(600),
            ..put("k", "new")
        });
        let sync = async {
            // Both commits are queued, the write's first.
            while disk.unsynced() < 2 {
                tokio::task::yield_now().await;
            }
            disk.set_auto_sync(true);
            disk.sync();
        };
        tokio::join!(put, sync).0
    };
    let (written, swept) = tokio::join!(write, world.kv.sweep());
    written.unwrap();
    assert_eq!(
        swept.unwrap(),
        SweepReport {
            removed: 1,
            changed: 1,
            ..SweepReport::default()
        }
    );
    assert_eq!(namespace.get("k").await.unwrap().unwrap().value, "new");
    assert_eq!(namespace.get("l").await.unwrap(), None);
    // The old expiry entry is gone with the write that replaced it.
    assert_eq!(world.inspect().await.stale_expiries, 0);
}

#[tokio::test]
async fn writers_at_the_same_moment_leave_nothing_the_sweep_does_not_find() {
    let disk = SimDisk::new(1);
    let world = World::on(disk.clone(), ManualClock::new(NOW * 1000));
    let namespace = world.namespace("n");
    let writes = async {
        let write = |ttl: u64| {
            namespace.put(Put {
                expiration_ttl: Some(ttl),
                ..put("k", "v")
            })
        };
        tokio::join!(write(60), write(70), write(80), write(90))
    };
    let sync = async {
        while disk.unsynced() < 4 {
            tokio::task::yield_now().await;
        }
        disk.set_auto_sync(true);
        disk.sync();
    };
    let _ = tokio::join!(writes, sync);
    let inspection = world.inspect().await;
    assert_eq!(
        (inspection.records, inspection.expiries, inspection.stale_expiries),
        (1, 4, 3)
    );
    world.clock.advance_ms(85_000);
    assert_eq!(
        world.kv.sweep().await.unwrap(),
        SweepReport {
            stale: 3,
            ..SweepReport::default()
        }
    );
    assert_eq!(namespace.get("k").await.unwrap().unwrap().expiration, Some(NOW + 90));
}

#[tokio::test]
async fn the_sweeper_runs_until_its_group_stops() {
    let world = World::new();
    let namespace = world.namespace("n");
    for n in 0..SWEEP_BATCH_MAX + 5 {
        namespace
            .put(Put {
                expiration_ttl: Some(60),
                ..put(&format!("k{n}"), "")
            })
            .await
            .unwrap();
    }
    world.clock.advance_ms(60_000);
    let group = atoll_stdx::TaskGroup::new();
    world.kv.spawn_sweeper(&group, std::time::Duration::from_secs(3600));
    while crate::inspect(&world.kv).await.unwrap().records > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(group.drain(std::time::Duration::from_secs(10)).await, 0);
}

#[tokio::test]
async fn records_of_a_newer_release_and_damaged_ones_are_told() {
    let world = World::new();
    let namespace = world.namespace("n");
    let scope = crate::keys::Scope::new("tenant", "n").unwrap();
    let check = async |record: &'static [u8], expected: &str| {
        namespace.delete(&strings(&["other"])).await.unwrap();
        let mut batch = Batch::new();
        batch.put(scope.record("k"), record).put(scope.index("k"), record);
        world.keyspace.commit(batch).await.unwrap();
        let with = |verb: &str| expected.replace("VERB", verb);
        same(namespace.get("k").await, &with("GET"), expected);
        same(
            namespace.get_many(&strings(&["a", "k"])).await,
            &with("GET_BULK"),
            expected,
        );
        same(namespace.list(&options("", 10)).await, &with("GET"), expected);
        // It is not overwritten either: what it holds may not be this release's to throw away.
        same(namespace.put(put("k", "v")).await, &with("PUT"), expected);
        same(namespace.delete(&strings(&["k"])).await, &with("DELETE"), expected);
        assert_eq!(crate::inspect(&world.kv).await.unwrap().disagreements, 2);
        namespace.put(put("other", "v")).await.unwrap();
    };
    let newer =
        "KV VERB failed: the record has format 2, this release reads up to 1; start the newer release that wrote it";
    check(b"\x02 whatever comes then", newer).await;
    let damaged =
        |detail: &str| format!("KV VERB failed: a stored record is damaged ({detail}); restore the store from a copy");
    check(b"", &damaged("it is empty")).await;
    check(b"\x01\x00", &damaged("it is shorter than a header")).await;
    check(
        b"\x01\xf0\x0e\0\0\0\0\0\0\0\0\0\0\0",
        &damaged("it has flags that its version does not know"),
    )
    .await;
}

#[tokio::test]
async fn tenants_and_namespaces_are_worlds_of_their_own() {
    let world = World::new();
    let mut all = Vec::new();
    for tenant in ["a", "ab", "b"] {
        for name in ["a", "b", "bc", "c"] {
            let namespace = world
                .kv
                .namespace(&TenantId::new(tenant), &NamespaceId::new(name))
                .unwrap();
            namespace.put(put("k", &format!("{tenant}/{name}"))).await.unwrap();
            all.push((namespace, format!("{tenant}/{name}")));
        }
    }
    for (namespace, value) in &all {
        assert_eq!(namespace.get("k").await.unwrap().unwrap().value, value.as_bytes());
        assert_eq!(names(&namespace.list(&options("", 10)).await.unwrap()), ["k"]);
    }
    all[0].0.delete(&strings(&["k"])).await.unwrap();
    let left = futures_count(&all).await;
    assert_eq!(left, all.len() - 1);
}

async fn futures_count(all: &[(Namespace, String)]) -> usize {
    let mut count = 0;
    for (namespace, _) in all {
        count += usize::from(namespace.get("k").await.unwrap().is_some());
    }
    count
}
