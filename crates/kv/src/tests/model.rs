//! Random runs against a map with a clock, and crashes: seeded, over the simulated disk.

use super::{NOW, World, options};
use crate::{Entry, Key, List, Namespace, Put};
use atoll_stdx::{ManualClock, SplitMix64};
use atoll_store::SimDisk;
use bytes::Bytes;
use std::collections::BTreeMap;

type Model = BTreeMap<String, (Bytes, Option<String>, Option<u64>)>;

fn random_put(rng: &mut SplitMix64, now: u64) -> Put {
    let key = ["a", "a/", "a/b", "a/c", "b", "\u{e9}", "\u{1f600}"][rng.below(7) as usize].to_owned();
    let metadata = (rng.below(2) == 0).then(|| format!("{}", rng.below(100)));
    let expiration_ttl = (rng.below(3) == 0).then(|| 60 + rng.below(60));
    let expiration = (rng.below(5) == 0).then(|| now + 60 + rng.below(60));
    Put {
        key,
        value: vec![b'v'; rng.below(40) as usize].into(),
        metadata,
        expiration,
        expiration_ttl,
    }
}

fn apply(model: &mut Model, put: &Put, now: u64) {
    let expiration = put.expiration_ttl.map(|ttl| now + ttl).or(put.expiration);
    model.insert(put.key.clone(), (put.value.clone(), put.metadata.clone(), expiration));
}

async fn compare(namespace: &Namespace, model: &Model, now: u64, case: &str) {
    let alive: Vec<_> = model
        .iter()
        .filter(|(_, (_, _, at))| at.is_none_or(|at| at > now))
        .collect();
    let list = namespace.list(&options("", 1000)).await.unwrap();
    let expected: Vec<Key> = alive
        .iter()
        .map(|(name, (_, metadata, expiration))| Key {
            name: (*name).clone(),
            expiration: *expiration,
            metadata: metadata.clone(),
        })
        .collect();
    assert_eq!(
        list,
        List {
            keys: expected,
            cursor: None
        },
        "{case}"
    );
    for (key, (value, metadata, expiration)) in alive {
        let entry = Entry {
            value: value.clone(),
            metadata: metadata.clone(),
            expiration: *expiration,
        };
        assert_eq!(namespace.get(key).await.unwrap(), Some(entry), "{case}: {key}");
    }
}

#[tokio::test]
async fn it_behaves_like_a_map_with_a_clock() {
    for seed in 0..40 {
        let mut rng = SplitMix64::new(seed);
        let mut world = World::new();
        let mut model = Model::new();
        for step in 0..150 {
            let now = NOW + (world.now_ms() - NOW * 1000) / 1000;
            let namespace = world.namespace("n");
            let case = format!("seed {seed}, step {step}");
            match rng.below(12) {
                0..5 => {
                    let put = random_put(&mut rng, now);
                    apply(&mut model, &put, now);
                    namespace.put(put).await.unwrap();
                }
                5..7 => {
                    let keys = [random_put(&mut rng, now).key, random_put(&mut rng, now).key];
                    keys.iter().for_each(|key| drop(model.remove(key)));
                    namespace.delete(&keys).await.unwrap();
                }
                7..9 => world.clock.advance_ms(rng.below(40_000)),
                9 => {
                    world.kv.sweep().await.unwrap();
                    model.retain(|_, (_, _, at)| at.is_none_or(|at| at > now));
                    let inspection = world.inspect().await;
                    assert_eq!(inspection.records, model.len() as u64, "{case}");
                    assert_eq!(inspection.stale_expiries, 0, "{case}");
                }
                10 => {
                    let (disk, clock) = (world.disk.clone(), world.clock.clone());
                    drop((namespace, world));
                    world = World::on(disk, clock);
                }
                _ => compare(&namespace, &model, now, &case).await,
            }
        }
    }
}

impl World {
    fn now_ms(&self) -> u64 {
        use atoll_stdx::Clock;
        self.clock.now_ms()
    }
}

/// Many seeds of concurrent writers, syncs and crashes: acknowledged writes are there, and no write is half there.
#[tokio::test]
async fn crashes_lose_no_acknowledged_write_and_leave_no_half_of_one() {
    let mut lost = 0;
    for seed in 0..300 {
        let mut rng = SplitMix64::new(seed);
        let disk = SimDisk::new(seed);
        let clock = ManualClock::new(NOW * 1000);
        // What must be there: per key the last acknowledged write and those that came after it.
        let mut possible: BTreeMap<String, Vec<Option<Put>>> = BTreeMap::new();
        for _ in 0..4 {
            let world = World::on(disk.clone(), clock.clone());
            let namespace = world.namespace("n");
            for _ in 0..rng.below(12) {
                let syncs = rng.below(3) > 0;
                let mut puts: Vec<Put> = (0..=rng.below(3)).map(|_| random_put(&mut rng, NOW)).collect();
                // One writer per key at a time: their order is known then.
                puts.sort_by(|a, b| a.key.cmp(&b.key));
                puts.dedup_by(|a, b| a.key == b.key);
                let writes = puts.iter().cloned().map(|put| {
                    let namespace = namespace.clone();
                    tokio::spawn(async move { namespace.put(put).await })
                });
                let writes: Vec<_> = writes.collect();
                // Each task reads first and then writes; all writes reach the disk before it syncs.
                let target = disk.unsynced() + puts.len();
                while disk.unsynced() < target {
                    tokio::task::yield_now().await;
                }
                for put in &puts {
                    possible
                        .entry(put.key.clone())
                        .or_insert_with(|| vec![None])
                        .push(Some(put.clone()));
                }
                if syncs {
                    disk.sync();
                    for write in writes {
                        write.await.unwrap().unwrap();
                    }
                    for put in puts {
                        possible.insert(put.key.clone(), vec![Some(put)]);
                    }
                }
            }
            lost += disk.crash();
            drop((namespace, world));
            let world = World::on(disk.clone(), clock.clone());
            world.inspect().await;
            let namespace = world.namespace("n");
            for (key, possible) in &mut possible {
                let found = namespace.get(key).await.unwrap();
                let fits = possible.iter().rfind(|put| match (put, &found) {
                    (None, None) => true,
                    (Some(put), Some(entry)) => {
                        let expiration = put.expiration_ttl.map(|ttl| NOW + ttl).or(put.expiration);
                        put.value == entry.value && put.metadata == entry.metadata && expiration == entry.expiration
                    }
                    _ => false,
                });
                let Some(fits) = fits.cloned() else {
                    panic!("seed {seed}, {key}: {found:?} of {possible:?}")
                };
                *possible = vec![fits];
            }
            disk.crash();
        }
    }
    assert!(lost > 100, "{lost}");
}
