use super::*;
use atoll_model::edge::{Alias, EdgeDomain, EdgeRoute};
use atoll_model::{AliasName, BlobHash, DeploymentId, DomainName};
use std::collections::BTreeMap;
use std::time::Instant;

fn share(id: &str, weight: u16) -> Share {
    Share {
        version: VersionId::new(id),
        artifact: BlobHash::of(id.as_bytes()),
        weight,
        secrets: Vec::new(),
        created_ms: 0,
        tag: None,
    }
}

fn worker(shares: &[(&str, u16)]) -> EdgeWorker {
    EdgeWorker {
        deployment: DeploymentId::new("d"),
        shares: shares.iter().map(|(id, weight)| share(id, *weight)).collect(),
        aliases: Vec::new(),
        recent: Vec::new(),
        crons: Vec::new(),
        subdomain: true,
        previews: true,
    }
}

const V1: &str = "11111111-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const V2: &str = "22222222-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
const V3: &str = "33333333-cccc-4ccc-8ccc-cccccccccccc";

fn put_worker(table: &mut Table, account: &str, name: &str, entry: EdgeWorker) {
    let key = EdgeKey::Worker(TenantId::new(account), WorkerName::new(name));
    table.change(&key, Some(&EdgeEntry::Worker(entry)));
}

fn put_account(table: &mut Table, account: &str, subdomain: Option<&str>, suspended: bool) {
    let entry = EdgeAccount {
        suspended,
        limits: BTreeMap::new(),
        subdomain: subdomain.map(str::to_owned),
    };
    table.change(
        &EdgeKey::Account(TenantId::new(account)),
        Some(&EdgeEntry::Account(entry)),
    );
}

fn route(table: &mut Table, pattern: &str, worker: Option<&str>) {
    let entry = EdgeRoute {
        account: TenantId::new("a"),
        worker: worker.map(WorkerName::new),
    };
    table.change(&EdgeKey::Route(pattern.to_owned()), Some(&EdgeEntry::Route(entry)));
}

fn domain(table: &mut Table, name: &str, worker: &str) {
    let entry = EdgeDomain {
        account: TenantId::new("a"),
        worker: WorkerName::new(worker),
    };
    table.change(&EdgeKey::Domain(DomainName::new(name)), Some(&EdgeEntry::Domain(entry)));
}

fn table() -> Table {
    let mut table = Table::default();
    table.set_domains(&["localhost".to_owned(), "apps.example.net".to_owned()]);
    put_account(&mut table, "a", Some("main"), false);
    put_account(&mut table, "b", Some("bad"), true);
    for name in ["shop", "api", "my-shop", "wide", "exact"] {
        put_worker(&mut table, "a", name, worker(&[(V1, 10_000)]));
    }
    put_worker(&mut table, "b", "shop", worker(&[(V1, 10_000)]));
    let mut full = worker(&[(V1, 9_000), (V2, 1_000)]);
    full.recent = vec![share(V3, 0)];
    full.aliases = vec![Alias {
        name: AliasName::new("staging"),
        shares: vec![share(V3, 10_000)],
    }];
    put_worker(&mut table, "a", "full", full);
    let mut hidden = worker(&[(V1, 10_000)]);
    (hidden.subdomain, hidden.previews) = (false, false);
    put_worker(&mut table, "a", "hidden", hidden);
    table
}

fn shown(way: Way) -> String {
    match way {
        Way::Nothing => "nothing".into(),
        Way::Suspended => "suspended".into(),
        Way::Worker(worker, Among::Deployment, _) => worker.name.to_string(),
        Way::Worker(worker, Among::Alias(at), _) => format!("{} alias {at}", worker.name),
        Way::Worker(worker, Among::Version(version), _) => {
            format!("{} version {}", worker.name, &version.as_str()[..2])
        }
    }
}

#[test]
fn names_of_the_platform() {
    let table = table();
    let check = |host: &str, expected: &str| assert_eq!(shown(table.look_up(host, "/x")), expected, "{host}");
    check("shop.main.localhost", "shop");
    check("shop.main.apps.example.net", "shop");
    check("my-shop.main.localhost", "my-shop");
    check("shop.other.localhost", "nothing");
    check("shop.bad.localhost", "suspended");
    check("none.bad.localhost", "nothing");
    check("shop.localhost", "nothing");
    check("main.localhost", "nothing");
    check("a.shop.main.localhost", "nothing");
    check("localhost", "nothing");
    check(".main.localhost", "nothing");
    check("hidden.main.localhost", "nothing");
    check("11111111-hidden.main.localhost", "nothing");
    check("staging-full.main.localhost", "full alias 0");
    check("11111111-full.main.localhost", "full version 11");
    check("22222222-full.main.localhost", "full version 22");
    check("33333333-full.main.localhost", "full version 33");
    check("44444444-full.main.localhost", "nothing");
    check("1111111-full.main.localhost", "nothing");
    check("11111111-my-shop.main.localhost", "my-shop version 11");
    check("production-full.main.localhost", "nothing");
    check("shop.main.example.net", "nothing");
}

#[test]
fn patterns_and_domains() {
    let mut table = table();
    route(&mut table, "*.example.com/*", Some("wide"));
    route(&mut table, "*example.com/any/*", Some("api"));
    route(&mut table, "*.b.example.com/*", Some("shop"));
    route(&mut table, "www.example.com/api/*", Some("api"));
    route(&mut table, "www.example.com/*", Some("exact"));
    route(&mut table, "off.example.com/*", None);
    route(&mut table, "shop.main.localhost/admin/*", Some("api"));
    route(&mut table, "custom.org/api/*", Some("api"));
    domain(&mut table, "custom.org", "shop");
    domain(&mut table, "c.example.com", "full");
    domain(&mut table, "dangling.org", "gone");
    {
        let check = |host: &str, path: &str, expected: &str| {
            assert_eq!(shown(table.look_up(host, path)), expected, "{host}{path}");
        };
        check("www.example.com", "/", "exact");
        check("www.example.com", "/api/x", "api");
        check("x.example.com", "/", "wide");
        check("x.b.example.com", "/", "shop");
        check("example.com", "/", "nothing");
        check("example.com", "/any/x", "api");
        check("myexample.com", "/any/x", "api");
        // The longer host wins over the longer path.
        check("x.example.com", "/any/x", "wide");
        check("off.example.com", "/", "nothing");
        check("custom.org", "/", "shop");
        check("custom.org", "/api/1", "api");
        check("c.example.com", "/", "full");
        check("dangling.org", "/", "nothing");
        // A route before the platform's name.
        check("shop.main.localhost", "/admin/x", "api");
        check("shop.main.localhost", "/", "shop");
    }
    route(&mut table, "*/*", Some("wide"));
    assert_eq!(shown(table.look_up("anything.at.all", "/")), "wide");
    for gone in ["*/*", "www.example.com/api/*", "*.b.example.com/*"] {
        table.change(&EdgeKey::Route(gone.into()), None);
    }
    assert_eq!(shown(table.look_up("anything.at.all", "/")), "nothing");
    assert_eq!(shown(table.look_up("www.example.com", "/api/x")), "exact");
    assert_eq!(shown(table.look_up("x.b.example.com", "/")), "wide");
    table.change(&EdgeKey::Domain(DomainName::new("custom.org")), None);
    assert_eq!(shown(table.look_up("custom.org", "/")), "nothing");
}

#[test]
fn entries_come_and_go() {
    let mut table = table();
    let before = table.workers();
    let key = EdgeKey::Worker(TenantId::new("a"), WorkerName::new("shop"));
    table.change(&key, None);
    table.change(&key, None);
    assert_eq!(table.workers(), before - 1);
    assert_eq!(shown(table.look_up("shop.main.localhost", "/")), "nothing");
    // The subdomain moves to another account, whatever comes first.
    put_account(&mut table, "c", Some("main"), false);
    put_account(&mut table, "a", Some("first"), false);
    put_worker(&mut table, "c", "shop", worker(&[(V2, 10_000)]));
    assert_eq!(shown(table.look_up("api.main.localhost", "/")), "nothing");
    assert_eq!(shown(table.look_up("shop.main.localhost", "/")), "shop");
    assert_eq!(shown(table.look_up("api.first.localhost", "/")), "api");
    table.change(&EdgeKey::Account(TenantId::new("c")), None);
    assert_eq!(shown(table.look_up("shop.main.localhost", "/")), "nothing");
}

#[test]
fn versions_are_chosen() {
    let table = table();
    let Way::Worker(full, ..) = table.look_up("full.main.localhost", "/") else {
        panic!("it is there");
    };
    let chosen = |among: &Among, key: Option<&str>, overrides: Option<&str>, draw: u64| {
        let share = full.choose(among, key, overrides, || draw);
        share.map_or("none", |share| &share.version.as_str()[..1]).to_owned()
    };
    let of = Among::Deployment;
    assert_eq!(chosen(&of, None, None, 0), "1");
    assert_eq!(chosen(&of, None, None, 8_999), "1");
    assert_eq!(chosen(&of, None, None, 9_000), "2");
    assert_eq!(chosen(&of, None, None, 19_999), "2");
    // A key decides alone.
    let stuck = chosen(&of, Some("user-7"), None, 0);
    assert_eq!(chosen(&of, Some("user-7"), None, 9_999), stuck);
    let second = (0..10_000)
        .filter(|n| chosen(&of, Some(&format!("k{n}")), None, 0) == "2")
        .count();
    assert!((800..1_200).contains(&second), "{second}");
    // An override names a version of the deployment, or is passed over.
    assert_eq!(chosen(&of, None, Some(&format!("full=\"{V2}\"")), 0), "2");
    assert_eq!(
        chosen(&of, None, Some(&format!("other=\"{V2}\", full=\"{V1}\"")), 9_999),
        "1"
    );
    assert_eq!(chosen(&of, None, Some(&format!("full=\"{V3}\"")), 0), "1");
    assert_eq!(chosen(&of, None, Some(&format!("other=\"{V2}\"")), 0), "1");
    assert_eq!(chosen(&Among::Alias(0), None, None, 9_999), "3");
    assert_eq!(chosen(&Among::Alias(7), None, None, 0), "none");
    assert_eq!(chosen(&Among::Version(VersionId::new(V2)), Some("k"), None, 0), "2");
    assert_eq!(chosen(&Among::Version(VersionId::new("x")), None, None, 0), "none");
}

#[test]
fn a_share_that_grows_keeps_whom_it_had() {
    let of = |weights: [u16; 2]| Worker {
        account: TenantId::new("a"),
        name: WorkerName::new("w"),
        entry: worker(&[(V2, weights[0]), (V1, weights[1])]),
    };
    let (small, large) = (of([1_000, 9_000]), of([5_000, 5_000]));
    let has = |worker: &Worker, key: &str| {
        let share = worker.choose(&Among::Deployment, Some(key), None, || 0);
        share.is_some_and(|share| share.version.as_str() == V2)
    };
    for n in 0..5_000 {
        let key = format!("visitor {n}");
        assert!(!has(&small, &key) || has(&large, &key), "{key}");
    }
}

#[test]
fn dictionaries() {
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(dictionary_string(text, "w").as_deref(), expected, "{text}");
    };
    check("w=\"1\"", Some("1"));
    check(" a=\"2\" , w=\"1\" ", Some("1"));
    check("w=\"1\",w=\"2\"", Some("2"));
    check("w=\"a\\\"b\\\\c\"", Some("a\"b\\c"));
    check("w", None);
    check("", None);
    check("w=1", None);
    check("w=\"1", None);
    check("w=\"1\",", None);
    check("w=\"1\" a=\"2\"", None);
    check("w=\"\\n\"", None);
    check("=\"1\"", None);
    check("w=\"\u{e4}\"", None);
    check("other=\"1\"", None);
}

/// Prints what a lookup costs with 10^5 workers, 10^4 routes and domains: `cargo test -- --ignored --nocapture lookups`.
#[test]
#[ignore = "a measurement, not a test"]
fn lookups_among_a_hundred_thousand_workers() {
    let mut table = Table::default();
    table.set_domains(&["localhost".to_owned()]);
    let begun = Instant::now();
    for account in 0..1_000 {
        put_account(&mut table, &format!("a{account}"), Some(&format!("s{account}")), false);
        for name in 0..100 {
            put_worker(
                &mut table,
                &format!("a{account}"),
                &format!("w{name}"),
                worker(&[(V1, 9_000), (V2, 1_000)]),
            );
        }
    }
    put_account(&mut table, "a", Some("main"), false);
    put_worker(&mut table, "a", "shop", worker(&[(V1, 10_000)]));
    for n in 0..10_000 {
        route(&mut table, &format!("h{n}.example.com/api/*"), Some("shop"));
        route(&mut table, &format!("*.z{n}.example.org/*"), Some("shop"));
        domain(&mut table, &format!("d{n}.example.net"), "shop");
    }
    println!("filled in {:?}", begun.elapsed());
    let cases = [
        ("platform name", "w57.s500.localhost", "/"),
        ("route", "h5000.example.com", "/api/x"),
        ("wildcard", "a.z5000.example.org", "/x"),
        ("domain", "d5000.example.net", "/"),
        ("nothing", "none.of.these.example.dev", "/"),
    ];
    for (what, host, path) in cases {
        const ROUNDS: u32 = 200_000;
        let begun = Instant::now();
        for _ in 0..ROUNDS {
            std::hint::black_box(table.look_up(std::hint::black_box(host), path));
        }
        println!(
            "{what}: {:.3} us",
            begun.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
        );
    }
    let begun = Instant::now();
    for n in 0..1_000_u16 {
        put_worker(&mut table, "a500", "w57", worker(&[(V1, 9_000 - n), (V2, 1_000 + n)]));
    }
    println!("one change: {:?}", begun.elapsed() / 1_000);
}
