//! Where workers are reached: subdomains, versions at addresses of their own, hosts; and blobs that are held.

use super::*;
use atoll_model::edge::RECENT_MAX;

impl Bench {
    /// What the edge is told of the account.
    async fn edge_account(&self) -> atoll_model::edge::EdgeAccount {
        let config = self.catalog.check().await.unwrap();
        match config
            .get(&EdgeKey::Account(self.account.clone()))
            .map(|entry| &**entry)
        {
            Some(EdgeEntry::Account(account)) => account.clone(),
            other => panic!("{other:?}"),
        }
    }
}

pub(super) async fn subdomains_are_one_accounts(bench: &Bench) {
    let (catalog, caller, account) = (&bench.catalog, &bench.caller, &bench.account);
    let rival = TenantId::new("rival");
    catalog
        .create_account(caller, rival.clone(), "Rival".into())
        .await
        .unwrap();
    let choose =
        async |account: &TenantId, label: &str| catalog.set_subdomain(caller, account.clone(), label.into()).await;
    assert_eq!(bench.edge_account().await.subdomain, None);
    for bad in ["", "-a", "a-", "A", "a.b", "a_b", &"a".repeat(64)] {
        refused(choose(account, bad).await, "is no subdomain");
    }
    refused(choose(&TenantId::new("nobody"), "free").await, "there is no account");
    let done = choose(account, "acme").await.unwrap();
    assert_eq!(bench.edge_account().await.subdomain.as_deref(), Some("acme"));
    // Again, and nothing new.
    assert_eq!(choose(account, "acme").await.unwrap().revision, done.revision);
    refused(choose(&rival, "acme").await, "exists already");
    choose(account, "other").await.unwrap();
    choose(&rival, "acme").await.unwrap();
    // Several changes are one.
    let (revision, link) = bench.marks().await;
    let change = |subdomain: &str| AccountChange {
        suspended: Some(true),
        subdomain: Some(subdomain.into()),
        bounds: [
            ("cpu_ms".to_owned(), Some(50)),
            (Quota::Workers.key().to_owned(), Some(2)),
        ]
        .into(),
    };
    refused(
        catalog.change_account(caller, account.clone(), change("acme")).await,
        "exists already",
    );
    assert_eq!(bench.marks().await, (revision, link));
    let changed = catalog
        .change_account(caller, account.clone(), change("new"))
        .await
        .unwrap()
        .value;
    assert_eq!((changed.suspended, changed.subdomain.as_deref()), (true, Some("new")));
    assert_eq!(changed, catalog.account(account.clone()).await.unwrap());
    let edge = bench.edge_account().await;
    assert_eq!(
        (edge.suspended, edge.subdomain.as_deref(), edge.limits["cpu_ms"]),
        (true, Some("new"), 50)
    );
    let (after, end) = bench.marks().await;
    assert_eq!((after.0, end.number), (revision.0 + 1, link.number + 1));
    let back = AccountChange {
        bounds: [("cpu_ms".to_owned(), None)].into(),
        ..AccountChange::default()
    };
    catalog.change_account(caller, account.clone(), back).await.unwrap();
    assert_eq!(bench.edge_account().await.limits.len(), 0);
}

pub(super) async fn the_newest_versions_have_addresses(bench: &Bench) {
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let previews = async |on: bool| {
        let (account, worker) = (account.clone(), worker.clone());
        bench
            .catalog
            .set_addresses(&bench.caller, account, worker, Some(true), Some(on))
            .await
            .unwrap()
    };
    let first = bench.upload("0").await;
    let done = bench.deploy(whole(&first)).await.unwrap();
    let (account_of, worker_of) = (account.clone(), worker.clone());
    let found = bench
        .catalog
        .deployment(account_of, worker_of, done.value.id.clone())
        .await
        .unwrap();
    assert_eq!(found, done.value);
    previews(true).await;
    assert_eq!(bench.edge().await.unwrap().recent, []);
    let mut ids = Vec::new();
    for number in 1..=RECENT_MAX + 2 {
        let mut new = version(&number.to_string());
        new.tag = Some(format!("tag {number}"));
        ids.push(new.id.clone());
        bench
            .catalog
            .create_version(&bench.caller, account.clone(), worker.clone(), new)
            .await
            .unwrap();
    }
    ids.reverse();
    let edge = bench.edge().await.unwrap();
    assert!(edge.subdomain && edge.previews);
    let recent: Vec<&VersionId> = edge.recent.iter().map(|share| &share.version).collect();
    assert_eq!(recent, ids.iter().take(RECENT_MAX).collect::<Vec<_>>());
    let newest = &edge.recent[0];
    assert_eq!(
        (newest.weight, newest.tag.as_deref()),
        (0, Some(&*format!("tag {}", RECENT_MAX + 2)))
    );
    assert_eq!(newest.artifact, BlobHash::of((RECENT_MAX + 2).to_string().as_bytes()));
    // One that serves is no longer among them; one that does no more is, if it is new enough.
    bench.deploy(split(&[(&ids[0], 1_000), (&first, 9_000)])).await.unwrap();
    let edge = bench.edge().await.unwrap();
    assert_eq!(
        (edge.shares[0].tag.as_deref(), edge.shares[1].tag.as_deref()),
        (newest.tag.as_deref(), None)
    );
    let recent: Vec<&VersionId> = edge.recent.iter().map(|share| &share.version).collect();
    assert_eq!(recent, ids[1..].iter().take(RECENT_MAX).collect::<Vec<_>>());
    previews(false).await;
    assert_eq!(bench.edge().await.unwrap().recent, []);
    let revision = bench.marks().await.0;
    // Without addresses of its own an upload is nothing to the edge.
    bench.upload("more").await;
    assert_eq!(bench.marks().await.0, revision);
}

pub(super) async fn hosts_have_one_owner(bench: &Bench) {
    let first = bench.upload("1").await;
    bench.deploy(whole(&first)).await.unwrap();
    let catalog = bench.catalog.clone().with_domains(&["Edge.Test".to_owned()]);
    let (caller, account) = (&bench.caller, &bench.account);
    let rival = TenantId::new("rival");
    catalog
        .create_account(caller, rival.clone(), "Rival".into())
        .await
        .unwrap();
    let add = async |account: &TenantId, pattern: &str| catalog.add_route(caller, account.clone(), None, pattern).await;
    let names = async |account: &TenantId| {
        let hosts = catalog.hosts(account.clone()).await.unwrap();
        hosts.into_iter().map(|host| host.name).collect::<Vec<_>>()
    };
    add(account, "www.example.com/*").await.unwrap();
    assert_eq!(names(account).await, ["example.com"]);
    let before = bench.marks().await;
    for taken in ["example.com/*", "*.example.com/*", "www.example.com/a"] {
        refused(add(&rival, taken).await, "is another account's");
    }
    for wide in ["*/*", "*.com/*", "*example.com/*", "com/*", "co.uk/*"] {
        refused(add(account, wide).await, "only the operator");
    }
    for own in ["edge.test/*", "a.b.edge.test/*", "*.b.edge.test/*", "*.edge.test/*"] {
        refused(add(account, own).await, "the platform's own");
    }
    let domain = DomainName::new("www.example.com");
    refused(
        catalog
            .add_domain(caller, rival.clone(), bench.worker.clone(), domain.clone())
            .await,
        "there is no worker",
    );
    assert_eq!(bench.marks().await, before);
    catalog
        .add_domain(caller, account.clone(), bench.worker.clone(), domain)
        .await
        .unwrap();
    add(&rival, "b.edge.test/*").await.unwrap();
    add(&rival, "example.co.uk/*").await.unwrap();
    add(account, "other.co.uk/*").await.unwrap();
    assert_eq!(names(&rival).await, ["b.edge.test", "example.co.uk"]);
    // Guests; and what was given away.
    let set = async |account: &TenantId, name: &str, guests: &[&TenantId], force| {
        let guests = guests.iter().map(|guest| (*guest).clone()).collect();
        catalog
            .set_host(caller, account.clone(), name.into(), guests, force)
            .await
    };
    refused(set(&rival, "example.com", &[], false).await, "is another account's");
    refused(
        set(&rival, "shop.example.com", &[], false).await,
        "is another account's",
    );
    set(account, "example.com", &[&rival], false).await.unwrap();
    add(&rival, "www.example.com/guest/*").await.unwrap();
    set(&rival, "shop.example.com", &[], true).await.unwrap();
    refused(add(account, "shop.example.com/*").await, "is another account's");
    refused(set(account, "*", &[], false).await, "only the operator");
    refused(set(account, "Example.com", &[], true).await, "is no host");
    set(account, "*", &[], true).await.unwrap();
    add(account, "*/*").await.unwrap();
    refused(add(&rival, "*/rival").await, "is another account's");
    add(&rival, "new.example.org/*").await.unwrap();
    let release =
        async |account: &TenantId, name: &str| catalog.delete_host(caller, account.clone(), name.into()).await;
    refused(release(account, "example.com").await, "the account still has");
    refused(release(account, "shop.example.com").await, "there is no host");
    release(&rival, "shop.example.com").await.unwrap();
    bench.marks().await;
    bench.catalog.check().await.unwrap();
}

pub(super) async fn held_blobs_are_not_condemned(bench: &Bench) {
    let catalog = &bench.catalog;
    let (a, b, c) = (BlobHash::of(b"a"), BlobHash::of(b"b"), BlobHash::of(b"c"));
    let sorted = |mut hashes: Vec<BlobHash>| {
        hashes.sort();
        hashes
    };
    catalog.hold_blobs(vec![a, b]).await.unwrap();
    catalog.note_orphans(vec![], vec![a, b, c]).await.unwrap();
    bench.clock.advance_ms(1_000);
    // Since when, not when it was seen last; and a version needs one of them again.
    catalog.note_orphans(vec![c], vec![a, b]).await.unwrap();
    assert_eq!(catalog.due_orphans(START_MS - 1).await.unwrap(), []);
    assert_eq!(catalog.condemn(START_MS - 1, 10).await.unwrap(), []);
    assert_eq!(catalog.due_orphans(START_MS).await.unwrap(), sorted(vec![a, b]));
    catalog.hold_blobs(vec![b]).await.unwrap();
    assert_eq!(catalog.condemn(START_MS, 10).await.unwrap(), [a]);
    refused(catalog.hold_blobs(vec![b, a]).await, "is being removed");
    // Whatever a pass finds meanwhile: it goes. Broken off here, the next pass is told again.
    catalog.note_orphans(vec![a], vec![a]).await.unwrap();
    assert_eq!(catalog.condemn(0, 10).await.unwrap(), [a]);
    catalog.forget_orphans(vec![a, b]).await.unwrap();
    assert_eq!(catalog.condemn(u64::MAX, 10).await.unwrap(), []);
    catalog.hold_blobs(vec![a, b, c]).await.unwrap();
    // Artifacts, each once.
    assert_eq!(catalog.artifacts(None, 10).await.unwrap(), []);
    for code in ["1", "2", "2"] {
        bench.upload(code).await;
    }
    let artifacts = sorted(vec![BlobHash::of(b"1"), BlobHash::of(b"2")]);
    assert_eq!(catalog.artifacts(None, 10).await.unwrap(), artifacts);
    assert_eq!(catalog.artifacts(Some(artifacts[0]), 10).await.unwrap(), artifacts[1..]);
}
