//! Who may what, and what nobody is told: secrets, keys, tokens, quotas, the audit log.

use super::*;

pub(super) async fn secrets_go_with_versions_and_are_told_to_nobody(bench: &Bench) {
    const CANARY: &str = "a canary that nobody may hear";
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let put = |name: &str, value: Option<&str>| SecretPut {
        name: SecretName::new(name),
        value: value.map(|value| SecretValue::new(value.to_owned())),
    };
    let mut new = version("1");
    new.put = vec![put("KEY", Some(CANARY)), put("OTHER", Some("o"))];
    let first = bench
        .catalog
        .create_version(&bench.caller, account.clone(), worker.clone(), new)
        .await
        .unwrap()
        .value;
    let opened = async |version: &VersionId| {
        let open = bench
            .catalog
            .open_secrets(account.clone(), worker.clone(), version.clone())
            .await
            .unwrap();
        let pair = |(secret, value): &(atoll_model::edge::SecretRef, SecretValue)| {
            (secret.name.as_str().to_owned(), value.expose().to_owned())
        };
        open.iter().map(pair).collect::<Vec<_>>()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    assert_eq!(opened(&first.id).await, pairs(&[("KEY", CANARY), ("OTHER", "o")]));
    let change = async |puts: Vec<SecretPut>, deploy: bool| {
        let id = VersionId::new(new_uuid().unwrap());
        let deploy = deploy.then(deployment);
        let (account, worker) = (account.clone(), worker.clone());
        let done = bench
            .catalog
            .change_secrets(&bench.caller, account, worker, puts, id, deploy, None)
            .await;
        done.map(|done| done.value)
    };
    bench.deploy(whole(&first.id)).await.unwrap();
    let second = change(vec![put("KEY", Some("new")), put("OTHER", None)], true)
        .await
        .unwrap();
    assert_eq!((second.artifact, second.number), (first.artifact, 2));
    assert_eq!(opened(&second.id).await, pairs(&[("KEY", "new")]));
    assert_eq!(bench.serving().await, [(second.id.clone(), WEIGHT_WHOLE)]);
    // The old version has its own for good.
    assert_eq!(opened(&first.id).await, pairs(&[("KEY", CANARY), ("OTHER", "o")]));
    let facts = bench.catalog.secrets(account.clone(), worker.clone()).await.unwrap();
    assert_eq!(
        facts.iter().map(|facts| facts.name.as_str()).collect::<Vec<_>>(),
        ["KEY"]
    );
    let kept = bench.upload("3").await;
    assert_eq!(opened(&kept).await, pairs(&[("KEY", "new")]));
    let mut bare = version("4");
    bare.keep = KeepSecrets::Only(vec![]);
    let bare = bench
        .catalog
        .create_version(&bench.caller, account.clone(), worker.clone(), bare)
        .await
        .unwrap()
        .value;
    assert_eq!(opened(&bare.id).await, []);
    // The newest version does not serve: a deployment would bring in more than the secret.
    refused(
        change(vec![put("KEY", Some("x"))], true).await,
        "not the one that serves everybody",
    );
    refused(change(vec![put("KEY", None)], false).await, "there is no secret");
    refused(
        change(vec![put("a b", Some("x"))], false).await,
        "is no name of a secret",
    );
    refused(
        change(vec![put("A", Some(&"x".repeat(6_000)))], false).await,
        "secret_bytes_max is 5120",
    );
    // Neither audit log nor edge configuration nor any row holds a value.
    let config = bench.catalog.check().await.unwrap().encode();
    let records = bench.catalog.audit(None, 0, 1_000).await.unwrap();
    let text = format!("{records:?}{facts:?}{first:?}");
    assert!(!config.windows(6).any(|window| window == b"canary") && !text.contains("canary"));
    let sealed = bench
        .database
        .read(|transaction| transaction.query("SELECT sealed FROM secrets", &[]));
    for row in sealed.await.unwrap() {
        assert!(!row.blob(0).unwrap().windows(6).any(|window| window == b"canary"));
    }
    // A sealed value that is moved to another name does not open.
    bench
        .execute("UPDATE secrets SET sealed = (SELECT s.sealed FROM secrets s WHERE s.revision = 1)")
        .await
        .unwrap();
    let moved = bench
        .catalog
        .open_secrets(account.clone(), worker.clone(), second.id)
        .await;
    refused(moved, "was changed or belongs to something else");
}

pub(super) async fn the_master_key_is_replaced(database: Arc<dyn Database>) {
    let (old, new) = (Vault::generate().unwrap(), Vault::generate().unwrap());
    let open = async |keys: &str| {
        let vault = Arc::new(Vault::parse(keys).unwrap());
        let clock = Arc::new(ManualClock::new(START_MS));
        Catalog::open(database.clone(), vault, clock).await.unwrap()
    };
    let (caller, worker) = (Caller::new("operator"), WorkerName::new("shop"));
    let catalog = open(&old).await;
    let mut versions = Vec::new();
    for at in 0..3 {
        let account = TenantId::new(format!("account{at}"));
        catalog
            .create_account(&caller, account.clone(), String::new())
            .await
            .unwrap();
        let mut made = version("1");
        made.put = vec![SecretPut {
            name: SecretName::new("KEY"),
            value: Some(SecretValue::new(format!("value {at}"))),
        }];
        let done = catalog
            .create_version(&caller, account.clone(), worker.clone(), made)
            .await
            .unwrap();
        versions.push((account, done.value.id));
    }
    let catalog = open(&format!("{}\n{}", *new, *old)).await;
    assert_eq!(catalog.rotate_master_key(&caller).await.unwrap().value, 3);
    assert_eq!(catalog.rotate_master_key(&caller).await.unwrap().value, 0);
    // The old key is no longer needed, and no longer enough.
    let (after, before) = (open(&new).await, open(&old).await);
    for (at, (account, version)) in versions.into_iter().enumerate() {
        let secrets = after
            .open_secrets(account.clone(), worker.clone(), version.clone())
            .await
            .unwrap();
        assert_eq!(secrets[0].1.expose(), format!("value {at}"));
        refused(
            before.open_secrets(account, worker.clone(), version).await,
            "is needed to open",
        );
    }
}

pub(super) async fn requests_are_known_by_their_key(bench: &Bench) {
    let first = bench.upload("1").await;
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let deploy = async |caller: &Caller, split: Vec<SplitOf>| {
        bench
            .catalog
            .deploy(caller, account.clone(), worker.clone(), split, deployment())
            .await
    };
    let caller = bench.caller.clone().with_key("key-1", b"deploy 1");
    let done = deploy(&caller, whole(&first)).await.unwrap();
    let marks = bench.marks().await;
    bench.clock.advance_ms(60_000);
    let again = deploy(&caller, whole(&first)).await.unwrap();
    assert_eq!(
        (&again.value, again.revision, again.repeated),
        (&done.value, done.revision, true)
    );
    assert_eq!(bench.marks().await, marks);
    // The same key for something else.
    let other = bench.caller.clone().with_key("key-1", b"deploy 2");
    refused(deploy(&other, whole(&first)).await, "used for another request");
    let suspend = bench.catalog.suspend(&caller, account.clone(), true).await;
    refused(suspend, "used for another request");
    // What failed may be tried again with its key.
    let failing = bench.caller.clone().with_key("key-2", b"deploy 3");
    refused(deploy(&failing, vec![]).await, "0 versions");
    let unknown = VersionId::new(new_uuid().unwrap());
    refused(deploy(&failing, whole(&unknown)).await, "there is no version");
    assert!(!deploy(&failing, whole(&first)).await.unwrap().repeated);
    // After a day a key is forgotten.
    bench.clock.advance_ms(super::change::ANSWER_KEPT_MS);
    assert!(!deploy(&caller, whole(&first)).await.unwrap().repeated);
}

pub(super) async fn tokens_stand_for_somebody(bench: &Bench) {
    let (catalog, caller, account) = (&bench.catalog, &bench.caller, &bench.account);
    let permissions = |list: &[&str]| Permissions(list.iter().map(|text| text.parse().unwrap()).collect());
    let new = |rights: TokenRights| NewToken {
        account: Some(account.clone()),
        name: "ci".into(),
        rights,
        expires_ms: Some(START_MS + 1_000),
    };
    let token = Token::generate().unwrap();
    let own = TokenRights::Own(permissions(&["worker:write@shop"]));
    catalog.create_token(caller, &token, new(own)).await.unwrap();
    let identity = catalog.authenticate(&token).await.unwrap();
    assert_eq!(identity.account.as_ref(), Some(account));
    let (shop, other) = (WorkerName::new("shop"), WorkerName::new("other"));
    assert!(identity.permissions.allow(Resource::Worker, Action::Write, Some(&shop)));
    assert!(
        !identity
            .permissions
            .allow(Resource::Worker, Action::Write, Some(&other))
    );
    // The id alone is nothing, and nothing that is stored is a token.
    refused(catalog.authenticate(&Token::generate().unwrap()).await, "not valid");
    let stored = bench
        .database
        .read(|transaction| transaction.query("SELECT hash FROM tokens", &[]));
    let stored = stored.await.unwrap();
    assert_eq!(stored[0].blob(0).unwrap(), token.hash());
    bench.clock.advance_ms(1_000);
    refused(catalog.authenticate(&token).await, "not valid");
    bench.clock.set_ms(START_MS);
    catalog.authenticate(&token).await.unwrap();
    catalog
        .note_token_uses(vec![(token.id().clone(), START_MS + 5)])
        .await
        .unwrap();
    let facts = catalog.tokens(Some(account.clone())).await.unwrap();
    assert_eq!((facts.len(), facts[0].used_ms), (1, Some(START_MS + 5)));
    let rival = catalog.revoke_token(caller, None, token.id().clone()).await;
    refused(rival, "there is no token");
    catalog
        .revoke_token(caller, Some(account.clone()), token.id().clone())
        .await
        .unwrap();
    refused(catalog.authenticate(&token).await, "not valid");

    // A role's tokens do what the role may do now.
    let role = |list: &[&str]| Role {
        name: "deployer".into(),
        permissions: permissions(list),
    };
    let with_role = || new(TokenRights::Role("deployer".into()));
    let token = Token::generate().unwrap();
    refused(
        catalog.create_token(caller, &token, with_role()).await,
        "there is no role",
    );
    catalog
        .set_role(caller, account.clone(), role(&["worker:read"]))
        .await
        .unwrap();
    catalog.create_token(caller, &token, with_role()).await.unwrap();
    let may = async || {
        let identity = catalog.authenticate(&token).await.unwrap();
        identity.permissions.allow(Resource::Worker, Action::Write, None)
    };
    assert!(!may().await);
    catalog
        .set_role(caller, account.clone(), role(&["worker:write"]))
        .await
        .unwrap();
    assert!(may().await);
    assert_eq!(catalog.roles(account.clone()).await.unwrap(), [role(&["worker:write"])]);
    refused(
        catalog.delete_role(caller, account.clone(), "deployer".into()).await,
        "give them another one first",
    );
    refused(
        catalog.set_role(caller, account.clone(), role(&[])).await,
        "0 permissions",
    );
    let mut expired = new(TokenRights::Own(Permissions::everything()));
    expired.expires_ms = Some(START_MS);
    refused(
        catalog.create_token(caller, &Token::generate().unwrap(), expired).await,
        "ended already",
    );
    // One for the platform.
    let token = Token::generate().unwrap();
    let platform = NewToken {
        account: None,
        name: "operator".into(),
        rights: TokenRights::Own(Permissions::everything()),
        expires_ms: None,
    };
    catalog.create_token(caller, &token, platform).await.unwrap();
    assert_eq!(catalog.authenticate(&token).await.unwrap().account, None);
    // A repeated request has made another token: it is told of the first.
    let keyed = caller.clone().with_key("token", b"token");
    let (one, two) = (Token::generate().unwrap(), Token::generate().unwrap());
    let everything = || new(TokenRights::Own(Permissions::everything()));
    catalog.create_token(&keyed, &one, everything()).await.unwrap();
    let again = catalog.create_token(&keyed, &two, everything()).await.unwrap();
    assert_eq!((again.repeated, &again.value.id), (true, one.id()));
    refused(catalog.authenticate(&two).await, "not valid");
    let records = catalog.audit(None, 0, 1_000).await.unwrap();
    assert!(!format!("{records:?}").contains(&one.expose()[20..]));
}

pub(super) async fn accounts_are_bounded(bench: &Bench) {
    let (catalog, caller, account) = (&bench.catalog, &bench.caller, &bench.account);
    let bound = async |key: &str, value| catalog.set_bound(caller, account.clone(), key.to_owned(), value).await;
    bound(Quota::Workers.key(), Some(2)).await.unwrap();
    let upload = async |name: &str| {
        let (account, name) = (account.clone(), WorkerName::new(name));
        catalog.create_version(caller, account, name, version("x")).await
    };
    upload("a").await.unwrap();
    upload("b").await.unwrap();
    upload("a").await.unwrap();
    refused(upload("c").await, "workers_max is 2, this would make 3");
    bound(Quota::Workers.key(), None).await.unwrap();
    upload("c").await.unwrap();
    bound(Quota::Routes.key(), Some(1)).await.unwrap();
    let patterns = ["a.com/*", "b.com/*"].map(str::to_owned);
    let routes = catalog
        .set_routes(caller, account.clone(), WorkerName::new("a"), &patterns)
        .await;
    refused(routes, "routes_max is 1, this would make 2");
    bound("cpu_ms", Some(50)).await.unwrap();
    refused(bound("speed", Some(1)).await, "no quota and no limit");
    refused(bound("cpu_ms", Some(u64::MAX)).await, "at most");
    catalog.suspend(caller, account.clone(), true).await.unwrap();
    let config = catalog.check().await.unwrap();
    match config
        .get(&EdgeKey::Account(account.clone()))
        .map(|entry| (**entry).clone())
    {
        Some(EdgeEntry::Account(entry)) => {
            assert!(entry.suspended);
            // Quotas are nobody's business at the edge.
            assert_eq!(
                entry.limits.into_iter().collect::<Vec<_>>(),
                [("cpu_ms".to_owned(), 50)]
            );
        }
        other => panic!("{other:?}"),
    }
    let told = catalog.account(account.clone()).await.unwrap();
    assert_eq!((told.suspended, told.bounds.len()), (true, 2));
    assert_eq!(catalog.accounts(String::new(), 10).await.unwrap(), [told]);
}

pub(super) async fn namespaces_have_titles(bench: &Bench) {
    let (catalog, caller, account) = (&bench.catalog, &bench.caller, &bench.account);
    let create = async |title: &str| {
        catalog
            .create_namespace(caller, account.clone(), "kv".into(), title.to_owned())
            .await
    };
    let sessions = create("sessions").await.unwrap().value;
    let carts = create("carts").await.unwrap().value;
    refused(create("carts").await, "exists already");
    refused(create("").await, "needs a title");
    let rename = async |id: &NamespaceId, title: &str| {
        let (account, id) = (account.clone(), id.clone());
        catalog
            .rename_namespace(caller, account, "kv".into(), id, title.to_owned())
            .await
    };
    refused(rename(&carts.id, "sessions").await, "exists already");
    rename(&carts.id, "baskets").await.unwrap();
    rename(&carts.id, "baskets").await.unwrap();
    let listed = catalog.namespaces(account.clone(), "kv".into()).await.unwrap();
    let titles: Vec<&str> = listed.iter().map(|namespace| namespace.title.as_str()).collect();
    assert_eq!(titles, ["baskets", "sessions"]);
    let delete = async |kind: &str, id: &NamespaceId| {
        catalog
            .delete_namespace(caller, account.clone(), kind.to_owned(), id.clone())
            .await
    };
    refused(delete("queue", &sessions.id).await, "there is no namespace");
    delete("kv", &sessions.id).await.unwrap();
    refused(delete("kv", &sessions.id).await, "there is no namespace");
    refused(rename(&sessions.id, "x").await, "there is no namespace");
}

pub(super) async fn tampering_with_the_audit_log_is_found(bench: &Bench) {
    for code in 0..6 {
        let version = bench.upload(&code.to_string()).await;
        bench.deploy(whole(&version)).await.unwrap();
    }
    let head = bench.catalog.verify_audit(vec![]).await.unwrap();
    assert_eq!(head.number, 13);
    for sql in [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit WHERE number = 4",
    ] {
        let error = bench.execute(sql).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{error}");
    }
    // Somebody who can change the schema can change the log, but not unseen.
    let unlock: &[&str] = match bench.database.dialect() {
        atoll_store::sql::Dialect::Sqlite => {
            &["DROP TRIGGER audit_is_not_changed", "DROP TRIGGER audit_is_not_removed"]
        }
        atoll_store::sql::Dialect::Postgres => &["DROP TRIGGER audit_is_not_changed ON audit"],
    };
    for sql in unlock {
        bench.execute(sql).await.unwrap();
    }
    let verify = async |kept: Vec<Link>| match bench.catalog.verify_audit(kept).await {
        Err(CatalogError::Audit(broken)) => broken,
        other => panic!("{other:?}"),
    };
    bench
        .execute("UPDATE audit SET actor = 'nobody' WHERE number = 7")
        .await
        .unwrap();
    assert_eq!(verify(vec![]).await, Broken::Changed { number: 7 });
    bench
        .execute("UPDATE audit SET actor = 'operator' WHERE number = 7")
        .await
        .unwrap();
    bench.catalog.verify_audit(vec![head]).await.unwrap();
    // Cut at the end: the head in the database finds it; with that rewritten as well, the one that was kept does.
    bench.execute("DELETE FROM audit WHERE number > 10").await.unwrap();
    assert_eq!(verify(vec![]).await, Broken::Cut { found: 10, kept: 13 });
    bench
        .execute("UPDATE head SET audit_number = 10, audit_hash = (SELECT hash FROM audit WHERE number = 10)")
        .await
        .unwrap();
    bench.catalog.verify_audit(vec![]).await.unwrap();
    assert_eq!(verify(vec![head]).await, Broken::Cut { found: 10, kept: 13 });
    // And once it has grown over that place again.
    for _ in 0..4 {
        bench.upload("again").await;
    }
    bench.catalog.verify_audit(vec![]).await.unwrap();
    assert_eq!(verify(vec![head]).await, Broken::Rewritten { number: 13 });
}

pub(super) async fn a_deposed_leader_changes_nothing(bench: &Bench) {
    let name = |name: &str| Caller::new(format!("system:{name}"));
    let (first, epoch) = bench.catalog.lead(&name("first"), "first".into()).await.unwrap();
    let suspend =
        async |catalog: &Catalog, suspended| catalog.suspend(&bench.caller, bench.account.clone(), suspended).await;
    suspend(&first, true).await.unwrap();
    let (second, later) = bench.catalog.lead(&name("second"), "second".into()).await.unwrap();
    assert!(later > epoch);
    let marks = bench.marks().await;
    refused(suspend(&first, false).await, "second has taken over in epoch");
    assert_eq!(bench.marks().await, marks);
    // It can still be asked.
    assert!(first.account(bench.account.clone()).await.unwrap().suspended);
    suspend(&second, false).await.unwrap();
    // Whoever led before may lead again, in an epoch of its own.
    let (first, last) = first.lead(&name("first"), "first".into()).await.unwrap();
    assert!(last > later);
    suspend(&first, true).await.unwrap();
    refused(suspend(&second, false).await, "first has taken over");
    // Above all that a copy of this catalog can have given away until now.
    bench.clock.advance_ms(3_600_000);
    let (_, by_clock) = first.lead(&name("first"), "first".into()).await.unwrap();
    assert!(by_clock >= last + 3_590, "{last}, then {by_clock}");
}
