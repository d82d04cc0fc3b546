//! Properties over seeded configurations, and the sizes that deployments have to keep.

use super::*;
use crate::{AliasName, BlobHash, DeploymentId, DomainName, SecretName, TenantId, VersionId, WorkerName};
use atoll_stdx::SplitMix64;

fn name(rng: &mut SplitMix64, kinds: u64) -> String {
    format!("n{}", rng.below(kinds))
}

fn share(version: &str, weight: u16) -> Share {
    Share {
        version: VersionId::new(version),
        artifact: BlobHash::of(version.as_bytes()),
        weight,
        secrets: vec![SecretRef {
            name: SecretName::new("KEY"),
            revision: u64::from(weight),
        }],
        created_ms: 1_795_257_600_123,
        tag: weight.is_multiple_of(2).then(|| "v1.2".to_owned()),
    }
}

fn shares(rng: &mut SplitMix64) -> Vec<Share> {
    let first = 1 + rng.below(9_999) as u16;
    match rng.below(2) {
        0 => vec![share("a", WEIGHT_WHOLE)],
        _ => vec![share("b", first), share("a", WEIGHT_WHOLE - first)],
    }
}

fn worker(rng: &mut SplitMix64) -> EdgeWorker {
    EdgeWorker {
        deployment: DeploymentId::new(format!("d{}", rng.next_u64())),
        shares: shares(rng),
        aliases: (0..rng.below(3))
            .map(|at| Alias {
                name: AliasName::new(format!("alias{at}")),
                shares: shares(rng),
            })
            .collect(),
        recent: (0..rng.below(3)).map(|at| share(&format!("recent{at}"), 0)).collect(),
        crons: vec!["*/5 * * * *".into(); rng.below(2) as usize],
        subdomain: rng.below(2) == 0,
        previews: false,
    }
}

/// An entry with one of `kinds` keys of each kind.
fn entry(rng: &mut SplitMix64, kinds: u64) -> (EdgeKey, EdgeEntry) {
    let account = TenantId::new(format!("account{}", rng.below(3)));
    let of = WorkerName::new(name(rng, kinds));
    match rng.below(5) {
        0 => {
            let entry = EdgeAccount {
                suspended: rng.below(2) == 0,
                limits: [("cpu_ms".to_owned(), rng.below(100))].into(),
                subdomain: (rng.below(2) == 0).then(|| account.as_str().to_owned()),
            };
            (EdgeKey::Account(account), EdgeEntry::Account(entry))
        }
        1 => {
            let worker = (rng.below(4) > 0).then_some(of);
            let pattern = format!("{}.example.com/*", name(rng, kinds));
            (EdgeKey::Route(pattern), EdgeEntry::Route(EdgeRoute { account, worker }))
        }
        2 => {
            let domain = DomainName::new(format!("{}.example.org", name(rng, kinds)));
            let worker = of;
            (
                EdgeKey::Domain(domain),
                EdgeEntry::Domain(EdgeDomain { account, worker }),
            )
        }
        _ => (EdgeKey::Worker(account, of), EdgeEntry::Worker(worker(rng))),
    }
}

fn changes(rng: &mut SplitMix64, kinds: u64) -> Vec<Change> {
    let mut changes: BTreeMap<EdgeKey, Option<EdgeEntry>> = BTreeMap::new();
    for _ in 0..=rng.below(6) {
        let (key, entry) = entry(rng, kinds);
        changes.insert(key, (rng.below(3) > 0).then_some(entry));
    }
    let changes = changes.into_iter();
    changes.map(|(key, entry)| Change { key, entry }).collect()
}

/// Revisions that follow each other, and what led from one to the next.
fn history(seed: u64) -> (Vec<EdgeConfig>, Vec<ConfigDelta>) {
    let mut rng = SplitMix64::new(seed);
    let (mut configs, mut deltas) = (vec![EdgeConfig::default()], Vec::new());
    for revision in 1..=20 {
        let changes = changes(&mut rng, 8);
        let (next, delta) = configs.last().unwrap().change(Revision(revision), changes).unwrap();
        configs.push(next);
        deltas.push(delta);
    }
    (configs, deltas)
}

#[test]
fn every_revision_is_reached_by_deltas_and_by_the_whole() {
    for seed in 0..10 {
        let (configs, deltas) = history(seed);
        let mut follower = EdgeConfig::default();
        for (config, delta) in configs[1..].iter().zip(&deltas) {
            let delta = ConfigDelta::decode(&delta.encode()).unwrap();
            follower = follower.apply(&delta).unwrap();
            assert_eq!((&follower, follower.len()), (config, config.len()));
            let whole = EdgeConfig::decode(&config.encode()).unwrap();
            assert_eq!((&whole, whole.len()), (config, config.len()));
            // From entries alone, in whatever order, the same hash.
            let entries = config.entries().map(|(key, entry)| (key.clone(), (**entry).clone()));
            let mut entries: Vec<_> = entries.collect();
            entries.reverse();
            assert_eq!(&EdgeConfig::from_entries(config.revision(), entries).unwrap(), config);
        }
    }
}

#[test]
fn deltas_join_and_are_found_between_any_two() {
    for seed in 0..50 {
        let (configs, deltas) = history(seed);
        let mut rng = SplitMix64::new(seed);
        let from = rng.below(19) as usize;
        let to = from + 1 + rng.below(20 - from as u64) as usize;
        let mut joined = deltas[from].clone();
        for next in &deltas[from + 1..to] {
            joined = joined.then(next.clone()).unwrap();
        }
        let found = configs[from].delta_to(&configs[to]);
        for delta in [joined, found] {
            let made = configs[from].apply(&delta).unwrap();
            assert_eq!(made, configs[to]);
        }
        assert_eq!(deltas[0].clone().then(deltas[2].clone()), None);
    }
}

#[test]
fn a_delta_applies_to_its_own_base_alone() {
    let (configs, deltas) = history(7);
    for (at, config) in configs.iter().enumerate() {
        for (of, delta) in deltas.iter().enumerate() {
            match config.apply(delta) {
                Ok(next) => assert_eq!((at, &next), (of, &configs[at + 1])),
                Err(ApplyError::Base { .. }) => assert_ne!(at, of),
                Err(other) => panic!("{other}"),
            }
        }
    }
    // The same number with other entries.
    let (others, _) = history(8);
    assert!(matches!(others[3].apply(&deltas[3]), Err(ApplyError::Diverged { .. })));
    let mut lying = deltas[3].clone();
    lying.to_root = hash::EMPTY_BUCKET;
    assert!(matches!(configs[3].apply(&lying), Err(ApplyError::Result { .. })));
    let mut backward = deltas[3].clone();
    backward.to = backward.from;
    assert!(matches!(configs[3].apply(&backward), Err(ApplyError::Backward { .. })));
}

#[test]
fn every_changed_byte_is_noticed() {
    let (configs, deltas) = history(3);
    let (full, delta) = (configs[20].encode(), deltas[4].encode());
    for at in 0..delta.len() {
        for bit in [1u8, 0x80] {
            let mut bytes = delta.clone();
            bytes[at] ^= bit;
            assert!(ConfigDelta::decode(&bytes).is_err(), "byte {at}");
        }
        assert!(ConfigDelta::decode(&delta[..at]).is_err());
    }
    for at in (0..full.len()).step_by(7) {
        let mut bytes = full.clone();
        bytes[at] ^= 4;
        assert!(EdgeConfig::decode(&bytes).is_err(), "byte {at}");
    }
    assert!(matches!(EdgeConfig::decode(&delta), Err(CodecError::Foreign { .. })));
}

#[test]
fn a_newer_format_says_what_to_do() {
    let mut bytes = EdgeConfig::default().encode();
    bytes[5] = 2;
    let error = EdgeConfig::decode(&bytes).unwrap_err();
    assert_eq!(
        error,
        CodecError::NewerFormat {
            what: "whole",
            found: 2
        }
    );
    assert!(error.to_string().contains("upgrade this node"), "{error}");
}

#[test]
fn entries_that_are_not_well_formed() {
    let account = || TenantId::new("a");
    let check = |key: EdgeKey, entry: EdgeEntry, expected: &str| {
        let config = EdgeConfig::from_entries(Revision(1), [(key.clone(), entry.clone())]);
        let error = config.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        let delta = EdgeConfig::default().change(
            Revision(1),
            vec![Change {
                key,
                entry: Some(entry),
            }],
        );
        assert_eq!(delta.unwrap_err().to_string(), error);
    };
    let of_worker = |change: fn(&mut EdgeWorker), expected: &str| {
        let mut worker = worker(&mut SplitMix64::new(1));
        change(&mut worker);
        let key = EdgeKey::Worker(account(), WorkerName::new("w"));
        check(key, EdgeEntry::Worker(worker), expected);
    };
    of_worker(|worker| worker.shares.clear(), "0 versions");
    of_worker(|worker| worker.shares = vec![share("a", 9_999)], "99.99 % in all");
    of_worker(
        |worker| worker.shares = vec![share("a", 5_000), share("a", 5_000)],
        "two shares",
    );
    of_worker(
        |worker| worker.shares = vec![share("a", 10_000), share("b", 0)],
        "share of nothing",
    );
    of_worker(|worker| worker.shares = vec![share("", 10_000)], "has no name");
    of_worker(
        |worker| worker.crons = vec!["* * * * *".into(); CRONS_MAX + 1],
        "cron expressions",
    );
    of_worker(
        |worker| {
            worker.aliases = vec![Alias {
                name: AliasName::new("x"),
                shares: vec![],
            }];
        },
        "alias x: it has 0 versions",
    );
    let route = |account| EdgeEntry::Route(EdgeRoute { account, worker: None });
    check(EdgeKey::Route("a.com:1/*".into()), route(account()), "port");
    check(
        EdgeKey::Route("A.com/*".into()),
        route(account()),
        "one spelling is \"a.com/*\"",
    );
    check(EdgeKey::Route("a.com/*".into()), route(TenantId::new("")), "no name");
    check(EdgeKey::Account(account()), route(account()), "another kind");
    let domain = EdgeEntry::Domain(EdgeDomain {
        account: account(),
        worker: WorkerName::new("w"),
    });
    check(EdgeKey::Domain(DomainName::new("a..b")), domain.clone(), "host name");
    check(EdgeKey::Domain(DomainName::new("A.b")), domain, "host name");
    let limits = EdgeAccount {
        suspended: false,
        limits: [("speed".to_owned(), 1)].into(),
        subdomain: None,
    };
    check(
        EdgeKey::Account(account()),
        EdgeEntry::Account(limits),
        "\"speed\" is not known",
    );
    let twice = [EdgeKey::Route("a.com/*".into()), EdgeKey::Route("a.com/*".into())];
    let error = EdgeConfig::from_entries(Revision(1), twice.map(|key| (key, route(account())))).unwrap_err();
    assert!(error.to_string().contains("stands twice"), "{error}");
}

#[test]
fn shares_divide_the_range() {
    let shares = [share("new", 1_000), share("old", 9_000)];
    let count = |shares: &[Share], version: &str| {
        let points = 0..WEIGHT_WHOLE;
        points
            .filter(|point| pick(shares, *point).unwrap().version.as_str() == version)
            .count()
    };
    assert_eq!((count(&shares, "new"), count(&shares, "old")), (1_000, 9_000));
    // Whoever had the new version keeps it when its share grows.
    let grown = [share("new", 5_000), share("old", 5_000)];
    let stays = |point| pick(&shares, point).unwrap().version == pick(&grown, point).unwrap().version;
    assert!((0..1_000).all(stays));
    assert!(pick(&[], 0).is_none());
    assert_eq!(pick(&shares, u16::MAX).unwrap().version.as_str(), "old");
}

/// What a deployment costs on the wire. It does not depend on how many workers there are, so an ordinary run has a few.
#[test]
fn a_change_among_many_workers_is_small() {
    a_change_is_small_among(2_000);
}

/// The same with the fleet that is promised: half a minute without optimization.
#[test]
#[ignore = "for measurements: cargo test -p atoll-model --release -- --ignored --nocapture"]
fn a_change_among_a_hundred_thousand_workers_is_small() {
    a_change_is_small_among(100_000);
}

fn a_change_is_small_among(workers: u64) {
    let mut rng = SplitMix64::new(1);
    let account = |at: u64| TenantId::new(format!("{:032x}", at / 100));
    let mut entries = Vec::new();
    for at in 0..workers {
        let name = WorkerName::new(format!("worker-{at}"));
        let route = EdgeRoute {
            account: account(at),
            worker: Some(name.clone()),
        };
        entries.push((EdgeKey::Route(format!("w{at}.example.com/*")), EdgeEntry::Route(route)));
        entries.push((EdgeKey::Worker(account(at), name), EdgeEntry::Worker(worker(&mut rng))));
    }
    let config = EdgeConfig::from_entries(Revision(1), entries).unwrap();
    let change = Change {
        key: EdgeKey::Worker(account(5), WorkerName::new("worker-5")),
        entry: Some(EdgeEntry::Worker(worker(&mut rng))),
    };
    let (next, delta) = config.change(Revision(2), vec![change]).unwrap();
    let bytes = delta.encode();
    assert!(bytes.len() < 1_000, "{} bytes", bytes.len());
    assert_eq!(config.delta_to(&next), delta);
    assert_eq!(config.apply(&ConfigDelta::decode(&bytes).unwrap()).unwrap(), next);
    let whole = next.encode();
    assert_eq!(EdgeConfig::decode(&whole).unwrap(), next);
    println!(
        "{workers} workers: delta {} bytes, whole {} bytes",
        bytes.len(),
        whole.len()
    );
}
