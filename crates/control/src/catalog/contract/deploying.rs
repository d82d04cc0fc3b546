//! Versions, deployments, routes, domains, aliases and crons.

use super::*;

pub(super) async fn a_deployment_is_a_revision_and_an_audit_entry(bench: &Bench) {
    let (revision, link) = bench.marks().await;
    assert_eq!(bench.edge().await, None);
    let first = bench.upload("1").await;
    // An upload alone is nothing to the edge.
    assert_eq!(bench.marks().await.0, revision);
    let done = bench.deploy(whole(&first)).await.unwrap();
    assert_eq!((done.revision, done.repeated), (Revision(revision.0 + 1), false));
    assert_eq!((done.value.number, done.value.kind), (1, DeploymentKind::Deploy));
    let edge = bench.edge().await.unwrap();
    assert_eq!(edge.deployment, done.value.id);
    assert_eq!(edge.shares[0].artifact, BlobHash::of(b"1"));
    bench.clock.advance_ms(1_000);
    let second = bench.upload("2").await;
    bench.deploy(split(&[(&second, 1_000), (&first, 9_000)])).await.unwrap();
    assert_eq!(bench.serving().await, [(second.clone(), 1_000), (first.clone(), 9_000)]);
    // Two uploads, two deployments.
    let (after, end) = bench.marks().await;
    assert_eq!((after.0, end.number), (revision.0 + 2, link.number + 4));
    let records = bench
        .catalog
        .audit(Some(bench.account.clone()), link.number, 100)
        .await
        .unwrap();
    let told: Vec<(&str, &str, u64)> = records
        .iter()
        .map(|record| {
            (
                record.entry.action.as_str(),
                record.entry.actor.as_str(),
                record.entry.time_ms - START_MS,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("version.create", "operator", 0),
            ("worker.deploy", "operator", 0),
            ("version.create", "operator", 1_000),
            ("worker.deploy", "operator", 1_000),
        ]
    );
    assert!(
        records[3].entry.detail.contains(&format!("{second}@1000")),
        "{}",
        records[3].entry.detail
    );
    // What was told is what is there.
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let versions = bench
        .catalog
        .versions(account.clone(), worker.clone(), None, 10)
        .await
        .unwrap();
    assert_eq!(
        versions.iter().map(|version| version.number).collect::<Vec<_>>(),
        [2, 1]
    );
    assert_eq!(
        bench
            .catalog
            .version(account.clone(), worker.clone(), first)
            .await
            .unwrap(),
        versions[1]
    );
    let older = bench
        .catalog
        .versions(account.clone(), worker.clone(), Some(2), 10)
        .await
        .unwrap();
    assert_eq!(older, versions[1..]);
    let deployments = bench
        .catalog
        .deployments(account.clone(), worker.clone(), None, 10)
        .await
        .unwrap();
    assert_eq!(
        deployments
            .iter()
            .map(|deployment| deployment.number)
            .collect::<Vec<_>>(),
        [2, 1]
    );
    assert_eq!(deployments[0].split.len(), 2);
    assert_eq!(
        bench.catalog.workers(account, String::new(), 10).await.unwrap().len(),
        1
    );
}

pub(super) async fn what_is_refused_leaves_nothing(bench: &Bench) {
    let first = bench.upload("1").await;
    bench.deploy(whole(&first)).await.unwrap();
    let before = (bench.marks().await, bench.edge().await);
    let unknown = VersionId::new(new_uuid().unwrap());
    refused(bench.deploy(whole(&unknown)).await, "there is no version");
    refused(bench.deploy(vec![]).await, "0 versions are named");
    refused(bench.deploy(split(&[(&first, 9_999)])).await, "99.99 % in all");
    refused(
        bench.deploy(split(&[(&first, 5_000), (&first, 5_000)])).await,
        "named twice",
    );
    refused(
        bench.deploy(split(&[(&first, 10_000), (&unknown, 0)])).await,
        "share of 0 %",
    );
    // Refused half way: the known version's row was written before the unknown one was looked for.
    refused(
        bench.deploy(split(&[(&first, 5_000), (&unknown, 5_000)])).await,
        "there is no version",
    );
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let stale = NewDeployment {
        replaces: Some(DeploymentId::new(new_uuid().unwrap())),
        ..deployment()
    };
    let result = bench
        .catalog
        .deploy(&bench.caller, account.clone(), worker.clone(), whole(&first), stale)
        .await;
    refused(result, "no longer the one that serves");
    let mut again = version("1");
    again.id = first.clone();
    let result = bench
        .catalog
        .create_version(&bench.caller, account.clone(), worker.clone(), again)
        .await;
    refused(result, "exists already");
    let nobody = TenantId::new("nobody");
    let result = bench
        .catalog
        .create_version(&bench.caller, nobody.clone(), worker.clone(), version("x"))
        .await;
    refused(result, "there is no account");
    let result = bench
        .catalog
        .deploy(&bench.caller, nobody, worker, whole(&first), deployment())
        .await;
    refused(result, "there is no worker");
    for bad in ["", "Shop", "-shop", "a.b", "a/b", &"a".repeat(64)] {
        let bad = WorkerName::new(bad);
        let result = bench
            .catalog
            .create_version(&bench.caller, account.clone(), bad, version("x"))
            .await;
        refused(result, "is no name of a worker");
    }
    let result = bench
        .catalog
        .create_account(&bench.caller, account.clone(), "Again".into())
        .await;
    refused(result, "exists already");
    assert_eq!((bench.marks().await, bench.edge().await), before);
}

pub(super) async fn going_back_brings_back_what_was(bench: &Bench) {
    let (first, second) = (bench.upload("1").await, bench.upload("2").await);
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let rollback = async |to: Option<&VersionId>, automatic, new: NewDeployment| {
        let (account, worker) = (account.clone(), worker.clone());
        bench
            .catalog
            .rollback(&bench.caller, account, worker, to.cloned(), automatic, new)
            .await
    };
    refused(rollback(None, false, deployment()).await, "nothing to go back to");
    bench.deploy(whole(&first)).await.unwrap();
    refused(rollback(None, false, deployment()).await, "nothing to go back to");
    bench.deploy(split(&[(&second, 1_000), (&first, 9_000)])).await.unwrap();
    let bad = bench.deploy(whole(&second)).await.unwrap().value;
    let done = rollback(None, false, deployment()).await.unwrap();
    assert_eq!(done.value.kind, DeploymentKind::Rollback);
    assert_eq!(bench.serving().await, [(second.clone(), 1_000), (first.clone(), 9_000)]);
    rollback(Some(&first), false, deployment()).await.unwrap();
    assert_eq!(bench.serving().await, [(first.clone(), WEIGHT_WHOLE)]);
    // A health gate that is late does no harm: what it judged no longer serves.
    let of = |id: &DeploymentId| NewDeployment {
        replaces: Some(id.clone()),
        ..deployment()
    };
    refused(rollback(None, true, of(&bad.id)).await, "no longer the one that serves");
    let judged = bench.deploy(whole(&second)).await.unwrap().value;
    let done = rollback(None, true, of(&judged.id)).await.unwrap();
    assert_eq!(done.value.kind, DeploymentKind::AutomaticRollback);
    assert_eq!(bench.serving().await, [(first, WEIGHT_WHOLE)]);
}

pub(super) async fn routes_and_domains_have_one_owner(bench: &Bench) {
    let first = bench.upload("1").await;
    bench.deploy(whole(&first)).await.unwrap();
    let (catalog, caller) = (&bench.catalog, &bench.caller);
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let rival = TenantId::new("rival");
    catalog
        .create_account(caller, rival.clone(), "Rival".into())
        .await
        .unwrap();
    catalog
        .create_version(caller, rival.clone(), worker.clone(), version("r"))
        .await
        .unwrap();
    let route = catalog
        .add_route(
            caller,
            account.clone(),
            Some(worker.clone()),
            "https://Shop.example.com/*",
        )
        .await;
    let route = route.unwrap().value;
    assert_eq!(route.pattern, "shop.example.com/*");
    let entry = |config: &EdgeConfig, pattern: &str| config.get(&EdgeKey::Route(pattern.into())).cloned();
    assert!(entry(&catalog.check().await.unwrap(), "shop.example.com/*").is_some());
    let taken = catalog
        .add_route(caller, rival.clone(), Some(worker.clone()), "shop.example.com/*")
        .await;
    refused(taken, "exists already, in another account");
    refused(
        catalog
            .add_route(caller, account.clone(), Some(worker.clone()), "a.com:1/*")
            .await,
        "port",
    );
    let nobody = WorkerName::new("nobody");
    refused(
        catalog
            .add_route(caller, account.clone(), Some(nobody), "b.com/*")
            .await,
        "there is no worker",
    );
    let patterns = ["*.example.com/*", "b.com/x*", "*.example.com/*"].map(str::to_owned);
    let set = catalog
        .set_routes(caller, account.clone(), worker.clone(), &patterns)
        .await
        .unwrap();
    assert_eq!(set.value.len(), 2);
    let config = catalog.check().await.unwrap();
    assert!(entry(&config, "shop.example.com/*").is_none() && entry(&config, "b.com/x*").is_some());
    catalog
        .add_route(caller, account.clone(), None, "static.example.com/*")
        .await
        .unwrap();
    let listed = catalog.routes(account.clone()).await.unwrap();
    let listed: Vec<&str> = listed.iter().map(|route| route.pattern.as_str()).collect();
    assert_eq!(listed, ["*.example.com/*", "b.com/x*", "static.example.com/*"]);
    let id = set.value[0].id.clone();
    refused(
        catalog.delete_route(caller, rival.clone(), id.clone()).await,
        "there is no route",
    );
    catalog.delete_route(caller, account.clone(), id.clone()).await.unwrap();
    refused(
        catalog.delete_route(caller, account.clone(), id).await,
        "there is no route",
    );

    let domain = DomainName::new("shop.example.org");
    catalog
        .add_domain(caller, account.clone(), worker.clone(), domain.clone())
        .await
        .unwrap();
    let taken = catalog
        .add_domain(caller, rival.clone(), worker.clone(), domain.clone())
        .await;
    refused(taken, "exists already, in another account");
    let bad = catalog
        .add_domain(caller, account.clone(), worker.clone(), DomainName::new("A..b"))
        .await;
    refused(bad, "host name");
    assert_eq!(catalog.domains(account.clone()).await.unwrap().len(), 1);
    assert!(
        catalog
            .check()
            .await
            .unwrap()
            .get(&EdgeKey::Domain(domain.clone()))
            .is_some()
    );
    refused(
        catalog.delete_domain(caller, rival, domain.clone()).await,
        "there is no domain",
    );
    catalog.delete_domain(caller, account, domain.clone()).await.unwrap();
    assert!(catalog.check().await.unwrap().get(&EdgeKey::Domain(domain)).is_none());
}

pub(super) async fn aliases_and_crons_reach_the_edge(bench: &Bench) {
    let (first, second) = (bench.upload("1").await, bench.upload("2").await);
    bench.deploy(whole(&first)).await.unwrap();
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let alias = async |name: &str, split: Vec<SplitOf>| {
        let (account, worker, name) = (account.clone(), worker.clone(), AliasName::new(name));
        bench
            .catalog
            .set_alias(&bench.caller, account, worker, name, split)
            .await
    };
    alias("live", split(&[(&first, 9_000), (&second, 1_000)]))
        .await
        .unwrap();
    alias("beta", whole(&second)).await.unwrap();
    alias("beta", whole(&first)).await.unwrap();
    let edge = bench.edge().await.unwrap();
    let told: Vec<(&str, usize)> = edge
        .aliases
        .iter()
        .map(|alias| (alias.name.as_str(), alias.shares.len()))
        .collect();
    assert_eq!(told, [("beta", 1), ("live", 2)]);
    assert_eq!(edge.aliases[0].shares[0].version, first);
    refused(alias("live", split(&[(&first, 1)])).await, "0.01 % in all");
    refused(alias("gone", vec![]).await, "there is no alias");
    refused(alias("Not a name", whole(&first)).await, "is no name of a alias");
    alias("beta", vec![]).await.unwrap();
    let aliases = bench.catalog.aliases(account.clone(), worker.clone()).await.unwrap();
    assert_eq!(aliases.keys().map(AliasName::as_str).collect::<Vec<_>>(), ["live"]);

    let crons = async |crons: &[&str]| {
        let (account, worker) = (account.clone(), worker.clone());
        let crons = crons.iter().map(|cron| (*cron).to_owned()).collect();
        bench.catalog.set_crons(&bench.caller, account, worker, crons).await
    };
    crons(&["*/5 * * * *", "0 3 * * SUN"]).await.unwrap();
    assert_eq!(bench.edge().await.unwrap().crons, ["*/5 * * * *", "0 3 * * SUN"]);
    refused(crons(&["* * * *"]).await, "is no cron expression");
    refused(crons(&["61 * * * *"]).await, "is no cron expression");
    refused(crons(&["0 * * * * *"]).await, "is no cron expression");
    refused(crons(&["* * * * *"; 26]).await, "crons_max is 25");
    crons(&[]).await.unwrap();
    assert!(bench.edge().await.unwrap().crons.is_empty());
    let done = bench
        .catalog
        .set_addresses(&bench.caller, account, worker, Some(false), None)
        .await
        .unwrap();
    assert_eq!(bench.marks().await.0, done.revision);
    assert!(!bench.edge().await.unwrap().subdomain);
}

pub(super) async fn old_versions_make_room(bench: &Bench) {
    let (catalog, caller, account) = (&bench.catalog, &bench.caller, &bench.account);
    let bound = async |quota: Quota, value: u64| {
        catalog
            .set_bound(caller, account.clone(), quota.key().to_owned(), Some(value))
            .await
            .unwrap();
    };
    bound(Quota::Versions, 4).await;
    let first = bench.upload("0").await;
    let alias = AliasName::new("first");
    let (of, worker) = (account.clone(), bench.worker.clone());
    catalog
        .set_alias(caller, of, worker, alias, whole(&first))
        .await
        .unwrap();
    let second = bench.upload("1").await;
    bench.deploy(whole(&second)).await.unwrap();
    for code in 2..8 {
        bench.upload(&code.to_string()).await;
    }
    let numbers = async || {
        let versions = catalog
            .versions(account.clone(), bench.worker.clone(), None, 100)
            .await
            .unwrap();
        versions.into_iter().map(|version| version.number).collect::<Vec<_>>()
    };
    // The one of the alias and the one that serves stay.
    assert_eq!(numbers().await, [8, 7, 2, 1]);
    bench.edge().await;
    // If all of them are needed, there is no room.
    for _ in 0..2 {
        let newest = catalog
            .versions(account.clone(), bench.worker.clone(), None, 2)
            .await
            .unwrap();
        bench
            .deploy(split(&[(&newest[0].id, 5_000), (&newest[1].id, 5_000)]))
            .await
            .unwrap();
    }
    let result = catalog
        .create_version(caller, account.clone(), bench.worker.clone(), version("x"))
        .await;
    refused(result, "versions_max is 4, this would make 5");
    bound(Quota::Deployments, 3).await;
    for _ in 0..5 {
        bench.deploy(whole(&second)).await.unwrap();
    }
    let deployments = catalog
        .deployments(account.clone(), bench.worker.clone(), None, 100)
        .await
        .unwrap();
    assert_eq!(deployments.len(), 3);
}

pub(super) async fn a_deleted_worker_is_gone(bench: &Bench) {
    let (catalog, caller, account) = (&bench.catalog, &bench.caller, &bench.account);
    let empty = catalog.config().await.unwrap();
    let mut new = version("1");
    new.put = vec![SecretPut {
        name: SecretName::new("KEY"),
        value: Some(SecretValue::new("v".into())),
    }];
    let first = catalog
        .create_version(caller, account.clone(), bench.worker.clone(), new)
        .await
        .unwrap()
        .value
        .id;
    bench.deploy(whole(&first)).await.unwrap();
    let worker = bench.worker.clone();
    let alias = AliasName::new("live");
    catalog
        .set_alias(caller, account.clone(), worker.clone(), alias, whole(&first))
        .await
        .unwrap();
    catalog
        .set_crons(caller, account.clone(), worker.clone(), vec!["* * * * *".into()])
        .await
        .unwrap();
    catalog
        .add_route(caller, account.clone(), Some(worker.clone()), "a.com/*")
        .await
        .unwrap();
    catalog
        .add_domain(caller, account.clone(), worker.clone(), DomainName::new("b.com"))
        .await
        .unwrap();
    let tag = catalog.worker(account.clone(), worker.clone()).await.unwrap().tag;
    catalog
        .delete_worker(caller, account.clone(), worker.clone())
        .await
        .unwrap();
    refused(
        catalog.worker(account.clone(), worker.clone()).await,
        "there is no worker",
    );
    refused(
        catalog.delete_worker(caller, account.clone(), worker.clone()).await,
        "there is no worker",
    );
    let config = catalog.check().await.unwrap();
    assert_eq!((config.root(), config.len()), (empty.root(), 1));
    assert!(config.revision() > empty.revision());
    // One of the same name is another.
    bench.upload("2").await;
    assert_ne!(catalog.worker(account.clone(), worker.clone()).await.unwrap().tag, tag);
    assert_eq!(catalog.secrets(account.clone(), worker).await.unwrap(), []);
}

pub(super) async fn deployments_at_once_are_all_there(bench: Bench) {
    const WRITERS: u64 = 6;
    const EACH: u64 = 5;
    let first = bench.upload("1").await;
    let (before, link) = bench.marks().await;
    let bench = Arc::new(bench);
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (bench, first) = (bench.clone(), first.clone());
            tokio::spawn(async move {
                let mut revisions = Vec::new();
                for _ in 0..EACH {
                    let worker = WorkerName::new(format!("w{writer}"));
                    if writer % 2 == 0 {
                        revisions.push(bench.deploy(whole(&first)).await.unwrap().revision);
                    } else {
                        let (caller, account) = (&bench.caller, bench.account.clone());
                        let done = bench
                            .catalog
                            .create_version(caller, account.clone(), worker.clone(), version("w"))
                            .await;
                        let id = done.unwrap().value.id;
                        let done = bench
                            .catalog
                            .deploy(caller, account, worker, whole(&id), deployment())
                            .await;
                        revisions.push(done.unwrap().revision);
                    }
                }
                revisions
            })
        })
        .collect();
    let mut revisions = Vec::new();
    for task in tasks {
        revisions.extend(task.await.unwrap());
    }
    revisions.sort();
    // Each has a revision of its own, and none is missing.
    let expected: Vec<Revision> = (1..=WRITERS * EACH).map(|at| Revision(before.0 + at)).collect();
    assert_eq!(revisions, expected);
    let (_, end) = bench.marks().await;
    assert_eq!(end.number - link.number, WRITERS * EACH + WRITERS / 2 * EACH);
    bench.catalog.check().await.unwrap();
}

pub(super) async fn followers_keep_up(bench: &Bench) {
    let mut rng = SplitMix64::new(11);
    let mut followers = vec![EdgeConfig::default()];
    let (catalog, caller, account) = (&bench.catalog, &bench.caller, &bench.account);
    for step in 0..40u64 {
        let worker = WorkerName::new(format!("w{}", rng.below(4)));
        match rng.below(5) {
            0 => {
                let pattern = format!("{}.example.com/*", rng.below(5));
                catalog
                    .add_route(caller, account.clone(), None, &pattern)
                    .await
                    .unwrap();
            }
            1 => {
                // It may not be there.
                let _ = catalog.delete_worker(caller, account.clone(), worker).await;
            }
            _ => {
                let new = version(&step.to_string());
                let done = catalog
                    .create_version(caller, account.clone(), worker.clone(), new)
                    .await
                    .unwrap();
                let split = whole(&done.value.id);
                catalog
                    .deploy(caller, account.clone(), worker, split, deployment())
                    .await
                    .unwrap();
            }
        }
        // Followers of all ages.
        if step % 8 == 0 {
            followers.push(catalog.config().await.unwrap());
        }
    }
    let newest = catalog.check().await.unwrap();
    for follower in followers {
        match catalog.config_since(follower.revision()).await.unwrap() {
            Some(delta) => assert_eq!(follower.apply(&delta).unwrap(), newest),
            None => assert_eq!(follower, newest),
        }
    }
    assert_eq!(catalog.config_since(newest.revision()).await.unwrap(), None);
    refused(
        catalog.config_since(Revision(newest.revision().0 + 1)).await,
        "there is no way from revision",
    );
}
