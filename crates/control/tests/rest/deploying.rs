//! Uploads, versions, deployments, going back, aliases, secrets.

use crate::bench::{Bench, upload};
use atoll_api::rest::{Rollout, RolloutPops, RolloutState};
use atoll_control::preflight::{PreflightError, PreflightErrorKind};
use atoll_model::{BlobHash, DeploymentId, Quota, TenantId};
use http::Method;
use serde_json::{Value, json};

const SHOP: &str = "/v1/accounts/acme/workers/shop";

fn share(version: &str, percent: f64) -> Value {
    json!({ "version": version, "percent": percent })
}

#[tokio::test]
async fn an_upload_becomes_a_version_and_serves() {
    let bench = Bench::new().await;
    let code = "export default {}";
    let hash = BlobHash::of(code.as_bytes()).to_string();
    let wanted = json!({ "hashes": [hash, hash, BlobHash::of(b"other").to_string()] });
    let missing = bench
        .post("/v1/accounts/acme/blobs/missing", wanted.clone())
        .await
        .expect(200);
    assert_eq!(missing["missing"], json!([hash, BlobHash::of(b"other").to_string()]));
    bench
        .post("/v1/accounts/acme/blobs/missing", json!({ "hashes": ["AB"] }))
        .await
        .refused(400, "invalid");
    // Before its blobs are there.
    let early = bench.post(&format!("{SHOP}/versions"), upload(code)).await;
    early.refused(409, "missing_blobs");
    assert_eq!(early.json()["error"]["missing"], json!([hash]));
    // Bytes of another hash.
    let path = format!("/v1/accounts/acme/blobs/{hash}");
    let wrong = bench.request(Some(&bench.acme), &Method::PUT, &path, "export default { }", &[]);
    bench.send(wrong).await.refused(400, "invalid");
    for _ in 0..2 {
        let right = bench.request(Some(&bench.acme), &Method::PUT, &path, code, &[]);
        let stored = bench.send(right).await.expect(201);
        assert_eq!(stored, json!({ "hash": hash, "size": code.len() }));
    }
    let missing = bench.post("/v1/accounts/acme/blobs/missing", wanted).await.expect(200);
    assert_eq!(missing["missing"], json!([BlobHash::of(b"other").to_string()]));
    let version = bench.post(&format!("{SHOP}/versions"), upload(code)).await.expect(201);
    assert_eq!((&version["number"], &version["startup_ms"]), (&json!(1), &json!(7)));
    assert_eq!(
        (&version["message"], &version["tag"]),
        (&json!("a message"), &json!("a-tag"))
    );
    assert_eq!(
        version["exports"],
        json!([{ "name": "default", "handlers": ["fetch"] }])
    );
    // Account and worker are those of the path.
    let id = version["id"].as_str().unwrap();
    let told = bench.get(&format!("{SHOP}/versions/{id}")).await.expect(200);
    assert_eq!(
        (&told["manifest"]["account"], &told["manifest"]["worker"]),
        (&json!("acme"), &json!("shop"))
    );
    bench
        .get(&format!("{SHOP}/versions/nothing"))
        .await
        .refused(404, "not_found");
    // It is deployed.
    bench
        .patch("/v1/accounts/acme", json!({ "subdomain": "acme" }))
        .await
        .expect(200);
    let body = json!({ "versions": [share(id, 100.0)], "message": "go", "immediate": true });
    let deployed = bench.post(&format!("{SHOP}/deployments"), body).await;
    let deployment = deployed.expect(201);
    assert_eq!(deployment["urls"], json!(["http://shop.acme.localhost:8787"]));
    assert_eq!(
        (&deployment["kind"], &deployment["immediate"]),
        (&json!("deploy"), &json!(true))
    );
    let revision: u64 = deployed.headers["atoll-revision"].to_str().unwrap().parse().unwrap();
    assert_eq!(bench.pops.recorded().changed.last().unwrap().0, revision);
    assert_eq!(bench.catalog.config_head().await.unwrap().revision.0, revision);
    let worker = bench.get(SHOP).await.expect(200);
    assert_eq!(worker["deployment"]["id"], deployment["id"]);
    let workers = bench.get("/v1/accounts/acme/workers").await.expect(200);
    assert_eq!(workers["items"][0]["name"], "shop");
    let changed = bench.patch(SHOP, json!({ "previews": true })).await.expect(200);
    assert_eq!(
        (&changed["previews"], &changed["subdomain"]),
        (&json!(true), &worker["subdomain"])
    );
    let versions = bench.get(&format!("{SHOP}/versions")).await.expect(200);
    let preview = format!("http://{}-shop.acme.localhost:8787", &id[..8]);
    assert_eq!(versions["items"][0]["preview_urls"], json!([preview]));
    bench.catalog.check().await.unwrap();
    bench.delete(SHOP).await.expect(200);
    bench.get(SHOP).await.refused(404, "not_found");
    bench.get(&format!("{SHOP}/versions")).await.refused(404, "not_found");
}

#[tokio::test]
async fn what_does_not_start_is_not_stored() {
    let bench = Bench::new().await;
    let error = |kind| PreflightError {
        kind,
        message: "Uncaught TypeError: x is not a function".into(),
    };
    for (kind, status, code) in [
        (PreflightErrorKind::Startup, 422, "preflight"),
        (PreflightErrorKind::Limit, 422, "preflight"),
        (PreflightErrorKind::Configuration, 422, "preflight"),
        (PreflightErrorKind::Unavailable, 503, "unavailable"),
    ] {
        *bench.trials.refuses.lock().unwrap() = Some(error(kind));
        let message = bench.upload("shop", "x()").await.refused(status, code);
        assert!(message.contains("x is not a function"));
    }
    bench.get(SHOP).await.refused(404, "not_found");
    *bench.trials.refuses.lock().unwrap() = None;
    bench.upload("shop", "x()").await.expect(201);
    // Quotas, before it is tried.
    let tried = bench.trials.secrets.lock().unwrap().len();
    let bounds = json!({ "bounds": { Quota::CodeBytes.key(): 3 } });
    bench
        .patch("/v1/accounts/acme", bounds.clone())
        .await
        .refused(403, "forbidden");
    bench
        .call_as(&bench.platform, Method::PATCH, "/v1/accounts/acme", bounds)
        .await
        .expect(200);
    bench.upload("shop", "x();").await.refused(403, "quota");
    assert_eq!(bench.trials.secrets.lock().unwrap().len(), tried);
    // It is tried with the account's limits. Quotas are none: nothing that runs workers knows them.
    let bounds = json!({ "bounds": { Quota::CodeBytes.key(): 100, Quota::Aliases.key(): 1, "cpu_ms": 20 } });
    bench
        .call_as(&bench.platform, Method::PATCH, "/v1/accounts/acme", bounds)
        .await
        .expect(200);
    bench.upload("shop", "x();").await.expect(201);
    let limits = bench.trials.limits.lock().unwrap().clone();
    assert_eq!(limits.into_iter().collect::<Vec<_>>(), [("cpu_ms".to_owned(), 20)]);
    let mut nonsense = upload("x()");
    nonsense["manifest"]["main_module"] = json!("other.js");
    bench
        .post(&format!("{SHOP}/versions"), nonsense)
        .await
        .refused(400, "invalid");
    let mut foreign = upload("x()");
    foreign["manifest"]["limits"] = json!({ "nothing": 1 });
    bench
        .post(&format!("{SHOP}/versions"), foreign)
        .await
        .refused(400, "invalid");
}

#[tokio::test]
async fn shares_rollouts_and_the_way_back() {
    let bench = Bench::new().await;
    let (first, deployment) = bench.deployed("shop", "1").await;
    let second = bench.upload("shop", "2").await.expect(201)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let deployments = format!("{SHOP}/deployments");
    let refused = [
        json!([share(&first, 50.0)]),
        json!([]),
        json!([share(&first, 100.0), share(&second, 0.0)]),
        json!([share(&first, 99.999), share(&second, 0.001)]),
        json!([share(&first, 150.0), share(&second, -50.0)]),
    ];
    for versions in refused {
        bench
            .post(&deployments, json!({ "versions": versions }))
            .await
            .refused(400, "invalid");
    }
    let unknown = json!({ "versions": [share("00000000-0000-4000-8000-000000000000", 100.0)] });
    bench.post(&deployments, unknown).await.refused(404, "not_found");
    let body = json!({ "versions": [share(&second, 12.34), share(&first, 87.66)] });
    let gradual = bench.post(&deployments, body).await.expect(201);
    assert_eq!(
        gradual["versions"],
        json!([share(&second, 12.34), share(&first, 87.66)])
    );
    let id = gradual["id"].as_str().unwrap();
    let rollout = Rollout {
        state: RolloutState::Baking,
        unproven: false,
        canary: Some("a".into()),
        requests: 3,
        errors: 1,
        reason: None,
        since_ms: 5,
        pops: RolloutPops { applied: 1, total: 3 },
    };
    bench.pops.recorded().rollouts.insert(DeploymentId::new(id), rollout);
    let told = bench.get(&format!("{deployments}/{id}")).await.expect(200);
    assert_eq!(
        (&told["rollout"]["state"], &told["rollout"]["pops"]["total"]),
        (&json!("baking"), &json!(3))
    );
    bench
        .get(&format!("{deployments}/{first}"))
        .await
        .refused(404, "not_found");
    // Pages, the newest first.
    let page = bench.get(&format!("{deployments}?limit=1")).await.expect(200);
    assert_eq!((&page["items"][0]["id"], &page["next"]), (&json!(id), &json!("2")));
    let page = bench.get(&format!("{deployments}?limit=1&after=2")).await.expect(200);
    assert_eq!(
        (&page["items"][0]["id"], &page["next"]),
        (&json!(deployment), &Value::Null)
    );
    // Back.
    let back = bench
        .post(&format!("{SHOP}/rollback"), json!({ "message": "oh" }))
        .await
        .expect(201);
    assert_eq!((&back["kind"], &back["immediate"]), (&json!("rollback"), &json!(true)));
    assert_eq!(back["versions"], json!([share(&first, 100.0)]));
    let to = bench
        .post(&format!("{SHOP}/rollback"), json!({ "version": second }))
        .await
        .expect(201);
    assert_eq!(to["versions"], json!([share(&second, 100.0)]));
    let stale = json!({ "version": first, "replaces": deployment });
    bench
        .post(&format!("{SHOP}/rollback"), stale)
        .await
        .refused(409, "conflict");
    // Aliases.
    bench
        .patch("/v1/accounts/acme", json!({ "subdomain": "acme" }))
        .await
        .expect(200);
    let alias = format!("{SHOP}/aliases/staging");
    bench.get(&alias).await.refused(404, "not_found");
    bench
        .put(&alias, json!({ "versions": [] }))
        .await
        .refused(400, "invalid");
    let made = bench
        .put(
            &alias,
            json!({ "versions": [share(&first, 50.0), share(&second, 50.0)] }),
        )
        .await
        .expect(200);
    assert_eq!(made["urls"], json!(["http://staging-shop.acme.localhost:8787"]));
    assert_eq!(bench.get(&alias).await.expect(200), made);
    assert_eq!(
        bench.get(&format!("{SHOP}/aliases")).await.expect(200)["items"],
        json!([made])
    );
    bench.delete(&alias).await.expect(200);
    bench.delete(&alias).await.refused(404, "not_found");
    bench.catalog.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_deployments_at_once_one_replaces() {
    let bench = Bench::new().await;
    let (first, mut serving) = bench.deployed("shop", "1").await;
    let path = format!("{SHOP}/deployments");
    for _ in 0..10 {
        let body = json!({ "versions": [share(&first, 100.0)], "replaces": serving });
        let (a, b) = tokio::join!(bench.post(&path, body.clone()), bench.post(&path, body.clone()));
        let (won, lost) = if a.status == 201 { (a, b) } else { (b, a) };
        serving = won.expect(201)["id"].as_str().unwrap().to_owned();
        lost.refused(409, "conflict");
    }
    let page = bench.get(&path).await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 11);
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_done_once() {
    let bench = Bench::new().await;
    let (version, _) = bench.deployed("shop", "1").await;
    let body = json!({ "versions": [share(&version, 100.0)] });
    let (first, second) = bench
        .twice(&bench.acme, Method::POST, &format!("{SHOP}/deployments"), body.clone())
        .await;
    assert_eq!(first.expect(201)["id"], second.expect(201)["id"]);
    let changed = bench.pops.recorded().changed.len();
    // The same key for something else.
    let headers = [("idempotency-key", "once"), ("content-type", "application/json")];
    let body = json!({ "versions": [share(&version, 100.0)], "message": "other" }).to_string();
    let other = bench.request(
        Some(&bench.acme),
        &Method::POST,
        &format!("{SHOP}/deployments"),
        body,
        &headers,
    );
    bench.send(other).await.refused(422, "key_reused");
    assert_eq!(bench.pops.recorded().changed.len(), changed);
    assert_eq!(
        bench.get(&format!("{SHOP}/deployments")).await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    bench.clock.advance_ms(25 * 60 * 60 * 1_000);
    let (first, second) = bench
        .twice(&bench.acme, Method::POST, &format!("{SHOP}/versions"), upload("1"))
        .await;
    assert_eq!(first.expect(201)["id"], second.expect(201)["id"]);
    assert_eq!(
        bench.get(&format!("{SHOP}/versions")).await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let new = json!({ "id": "third", "name": "Third" });
    let (first, second) = bench.twice(&bench.platform, Method::POST, "/v1/accounts", new).await;
    assert_eq!(first.expect(201), second.expect(201));
    bench.clock.advance_ms(25 * 60 * 60 * 1_000);
    let new = json!({ "name": "ci", "permissions": ["worker:write"] });
    let (first, second) = bench.twice(&bench.acme, Method::POST, "/v1/tokens", new).await;
    assert!(first.expect(201)["secret"].is_string());
    assert_eq!(
        (&second.expect(201)["secret"], &second.json()["token"]),
        (&Value::Null, &first.json()["token"])
    );
    for key in ["", &"x".repeat(256)] {
        let headers = [("idempotency-key", key), ("content-type", "application/json")];
        let request = bench.request(Some(&bench.acme), &Method::PATCH, SHOP, "{}", &headers);
        bench.send(request).await.refused(400, "invalid");
    }
}

#[tokio::test]
async fn secrets_go_in_and_never_out() {
    let bench = Bench::new().await;
    bench.deployed("shop", "1").await;
    let value = "a value that nobody sees";
    let secret = format!("{SHOP}/secrets/KEY");
    let made = bench
        .put(&secret, json!({ "value": value, "message": "new key" }))
        .await
        .expect(200);
    assert_eq!(made["secrets"], json!([{ "name": "KEY", "revision": 1 }]));
    let serving = bench.get(SHOP).await.expect(200);
    assert_eq!(serving["deployment"]["versions"][0]["version"], made["id"]);
    assert_eq!(serving["deployment"]["kind"], "secret");
    // The trial of an upload has the values that it will have.
    let mut next = upload("1");
    next["secrets"] = json!({ "OTHER": "b" });
    bench.post(&format!("{SHOP}/versions"), next.clone()).await.expect(201);
    let tried = bench.trials.secrets.lock().unwrap().last().cloned().unwrap();
    assert_eq!(
        tried,
        [
            ("KEY".to_owned(), value.to_owned()),
            ("OTHER".to_owned(), "b".to_owned())
        ]
    );
    next["keep_secrets"] = json!(["OTHER"]);
    next["secrets"] = json!({ "OTHER": null });
    let none = bench.post(&format!("{SHOP}/versions"), next).await.expect(201);
    assert_eq!(none["secrets"], json!([]));
    // The newest version does not serve.
    bench
        .put(&secret, json!({ "value": "x" }))
        .await
        .refused(409, "conflict");
    bench
        .put(&secret, json!({ "value": "x", "deploy": false }))
        .await
        .expect(200);
    let listed = bench.get(&format!("{SHOP}/secrets")).await;
    assert_eq!(listed.expect(200)["items"][0]["name"], "KEY");
    bench.delete(&format!("{secret}?deploy=false")).await.expect(200);
    bench
        .delete(&format!("{secret}?deploy=false"))
        .await
        .refused(404, "not_found");
    for name in ["", "a%20b"] {
        let answer = bench
            .put(
                &format!("{SHOP}/secrets/{name}"),
                json!({ "value": "x", "deploy": false }),
            )
            .await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{answer:?}");
    }
    bench
        .get("/v1/accounts/acme/workers/nothing/secrets")
        .await
        .refused(404, "not_found");
    let audit = bench.catalog.audit(Some(TenantId::new("acme")), 0, 100).await.unwrap();
    assert!(audit.iter().all(|record| !record.entry.detail.contains(value)));
}
